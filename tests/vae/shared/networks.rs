//! Small VAEs with random weights, and data for them.

use elbo::nn::{Activation, Parameters};
use elbo::vae::{Architecture, Divergence, Likelihood, Vae};
use ndarray::ArrayD;
use rand::rngs::StdRng;

use crate::common::random::random;

/// σ(a) as written.
pub fn sigmoid(a: f64) -> f64 {
    1.0 / (1.0 + (-a).exp())
}

/// log(1 + e^a) as written.
pub fn softplus(a: f64) -> f64 {
    a.exp().ln_1p()
}

/// Numbers in [0, 1), as grey pixels have them.
pub fn grey(rng: &mut StdRng, shape: &[usize]) -> ArrayD<f64> {
    random(rng, shape).mapv(|x| 0.25 * (x + 2.0))
}

/// A model with every parameter drawn, biases and log-variance too.
pub fn model(architecture: Architecture, rng: &mut StdRng) -> (Vae, Parameters<f64>) {
    let mut parameters = Parameters::new();
    let vae = Vae::new(architecture, &mut parameters, rng);
    let shapes: Vec<(String, Vec<usize>)> = parameters
        .iter()
        .map(|(name, value)| (name.to_owned(), value.shape().to_vec()))
        .collect();
    for (name, shape) in shapes {
        parameters.set(&name, random(rng, &shape) * 0.4).unwrap();
    }
    (vae, parameters)
}

/// All parameters, in their order.
pub fn values(parameters: &Parameters<f64>) -> Vec<ArrayD<f64>> {
    parameters
        .iter()
        .map(|(_, value)| value.to_owned().into_owned())
        .collect()
}

/// Random data of the kind that a likelihood is for.
pub fn data(likelihood: Likelihood, rng: &mut StdRng, shape: &[usize]) -> ArrayD<f64> {
    match likelihood {
        Likelihood::Bernoulli => grey(rng, shape).mapv(f64::round),
        _ => random(rng, shape),
    }
}

/// One of each kind.
pub const LIKELIHOODS: [Likelihood; 3] = [
    Likelihood::Bernoulli,
    Likelihood::Gaussian { deviation: 0.7 },
    Likelihood::GaussianLearned,
];

/// Both ways to take the divergence.
pub const DIVERGENCES: [Divergence; 2] = [Divergence::ClosedForm, Divergence::MonteCarlo];

/// Three pixels, a hidden layer of four, two latents.
pub fn small(likelihood: Likelihood) -> Architecture {
    Architecture {
        dimensions: 3,
        hidden: vec![4],
        latent: 2,
        activation: Activation::Tanh,
        likelihood,
    }
}
