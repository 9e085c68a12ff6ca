//! A training step of a VAE as the crate takes it: noise, forward and backward on the tape, Adam.

use elbo::autodiff::{Tape, Value};
use elbo::distributions::noise::stream;
use elbo::nn::{Adam, Model, Parameters, Step};
use elbo::vae::{Architecture, Vae};
use rand::rngs::StdRng;

/// A model in training.
pub struct Taped {
    pub vae: Vae,
    pub parameters: Parameters<f32>,
    tape: Tape<f32>,
    adam: Adam<f32>,
    rng: StdRng,
}

impl Taped {
    /// Layers from the data's width over the hidden ones to the latent's; always the same weights and noise.
    ///
    /// # Panics
    /// If there are fewer than two widths.
    pub fn new(widths: &[usize]) -> Self {
        let [dimensions, hidden @ .., latent] = widths else {
            panic!("the widths of data and latent at least, found {widths:?}")
        };
        let mut parameters = Parameters::new();
        let architecture = Architecture {
            dimensions: *dimensions,
            hidden: hidden.to_vec(),
            latent: *latent,
            ..Architecture::default()
        };
        Self {
            vae: Vae::new(architecture, &mut parameters, &mut stream(1, "weights", 0)),
            parameters,
            tape: Tape::new(),
            adam: Adam::new(1e-3),
            rng: stream(1, "noise", 0),
        }
    }

    /// With L samples of z for each datum.
    #[allow(dead_code, reason = "not every bench asks for it")]
    pub fn with_samples(self, samples: usize) -> Self {
        let vae = self.vae.with_samples(samples);
        Self { vae, ..self }
    }

    /// One step; returns the loss before it.
    pub fn step(&mut self, x: &Value<f32>) -> f32 {
        let (vae, rng) = (&self.vae, &mut self.rng);
        let (loss, gradients) = self.parameters.value_and_gradients(&mut self.tape, |p| {
            let x = p.tape().constant(x.clone()).into();
            let loss = vae.objective(p, &x, &mut Step::evaluation(rng)).loss;
            (loss, loss.item())
        });
        self.adam.step(&mut self.parameters, &gradients);
        loss
    }
}
