//! Encoder, decoder, and the evidence lower bound between them.

use std::fmt;

use ndarray::{ArrayView2, Ix2};
use rand::Rng;

use super::Decoder;
use crate::Scalar;
use crate::autodiff::{Tape, Var};
use crate::distributions::noise::standard_normal;
use crate::distributions::{Bernoulli, DiagonalGaussian, GaussianParameters};
use crate::kl;
use crate::nn::{
    Activation, Batch, Bound, Initialisation, Mlp, Model, Objective, Parameters, Schedule, Step,
};

/// p(x|z): what the decoder's output means.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "cli", serde(rename_all = "kebab-case", tag = "kind"))]
pub enum Likelihood {
    /// Coins, one for each dimension; the output is their logits.
    #[default]
    Bernoulli,
    /// N(output, σ² I) with a given deviation σ.
    Gaussian {
        /// σ, in the units of the data.
        deviation: f64,
    },
    /// N(output, σ² I) with one σ that is learnt; it starts at 1.
    GaussianLearned,
}

/// How the KL term of the bound is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "cli", serde(rename_all = "kebab-case"))]
pub enum Divergence {
    /// KL(q(z|x) ‖ p(z)) exactly.
    #[default]
    ClosedForm,
    /// log q(z|x) - log p(z) at the same samples of z as the reconstruction term.
    MonteCarlo,
}

impl fmt::Display for Likelihood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bernoulli => write!(f, "Bernoulli"),
            Self::Gaussian { deviation } => write!(f, "Gaussian with σ = {deviation}"),
            Self::GaussianLearned => write!(f, "Gaussian with learnt σ"),
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ClosedForm => "closed form",
            Self::MonteCarlo => "Monte Carlo",
        })
    }
}

/// What a [`Vae`] is made of.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct Architecture {
    /// The number of dimensions of a datum.
    pub dimensions: usize,
    /// The widths of the encoder's hidden layers, from data to latent; the decoder's are the same in reverse.
    pub hidden: Vec<usize>,
    /// The number of dimensions of the latent z.
    pub latent: usize,
    /// The function after each hidden layer.
    pub activation: Activation,
    /// p(x|z).
    pub likelihood: Likelihood,
}

impl Default for Architecture {
    /// 784-400-20, ReLU, Bernoulli.
    fn default() -> Self {
        Self {
            dimensions: 784,
            hidden: vec![400],
            latent: 20,
            activation: Activation::Relu,
            likelihood: Likelihood::Bernoulli,
        }
    }
}

/// A variational autoencoder: q(z|x) = N(μ(x), diag e^s(x)), p(z) = N(0, I), p(x|z) from the decoder.
///
/// It holds the structure; the weights are in [`Parameters`], under the names `encoder.0.weight`, … ,
/// `decoder.0.weight`, … The encoder's last layer gives μ and s = log σ² side by side.
#[derive(Clone, Debug)]
pub struct Vae {
    architecture: Architecture,
    encoder: Mlp,
    decoder: Decoder,
    divergence: Divergence,
    samples: usize,
    beta: Schedule,
}

/// The two terms of the bound, of shape (batch), in nats: ELBO = reconstruction - KL.
#[derive(Clone, Copy, Debug)]
pub struct Elbo<'t, T: Scalar> {
    /// E_q log p(x|z), by Monte Carlo.
    pub reconstruction: Var<'t, T>,
    /// KL(q(z|x) ‖ p(z)).
    pub kl: Var<'t, T>,
}

impl<'t, T: Scalar> Elbo<'t, T> {
    /// The bound itself, of shape (batch).
    pub fn value(&self) -> Var<'t, T> {
        self.reconstruction - self.kl
    }
}

/// The distribution of a datum given z.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'t, T: Scalar> {
    /// Coins.
    Bernoulli(Bernoulli<'t, T>),
    /// A Gaussian.
    Gaussian(DiagonalGaussian<'t, T>),
}

impl<'t, T: Scalar> Observation<'t, T> {
    /// log p(x|z), summed over dimensions, in nats.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    pub fn log_density(&self, x: Var<'t, T>) -> Var<'t, T> {
        match self {
            Self::Bernoulli(coins) => coins.log_density(x),
            Self::Gaussian(gaussian) => gaussian.log_density(x),
        }
    }

    /// E[x|z]: what one looks at.
    pub fn mean(&self) -> Var<'t, T> {
        match self {
            Self::Bernoulli(coins) => coins.mean(),
            Self::Gaussian(gaussian) => gaussian.mean,
        }
    }
}

impl Vae {
    /// Adds the weights of encoder and decoder to `parameters`, freshly drawn (Glorot, for ReLU too: on MNIST it
    /// ends a nat above He, whose first logits are too large).
    ///
    /// # Panics
    /// If a width is 0, or a given deviation is not a number greater than 0.
    pub fn new<T: Scalar>(
        architecture: Architecture,
        parameters: &mut Parameters<T>,
        rng: &mut impl Rng,
    ) -> Self {
        let Architecture {
            dimensions,
            latent,
            activation,
            likelihood,
            ..
        } = architecture;
        let hidden = &architecture.hidden;
        let down = [&[dimensions], hidden.as_slice(), &[2 * latent]].concat();
        let reversed: Vec<usize> = hidden.iter().rev().copied().collect();
        let up = [&[latent], reversed.as_slice(), &[dimensions]].concat();
        let glorot = Initialisation::Glorot;
        let encoder = Mlp::new(parameters, "encoder", &down, activation, glorot, rng);
        let decoder = Decoder::new(likelihood, parameters, &up, activation, rng);
        Self {
            architecture,
            encoder,
            decoder,
            divergence: Divergence::default(),
            samples: 1,
            beta: Schedule::constant(1.0),
        }
    }

    /// With another way to compute the KL term.
    pub fn with_divergence(self, divergence: Divergence) -> Self {
        Self { divergence, ..self }
    }

    /// With L samples of z for each datum, in training and evaluation.
    ///
    /// # Panics
    /// If L is 0.
    pub fn with_samples(self, samples: usize) -> Self {
        assert!(samples > 0, "the bound needs a sample for each datum");
        Self { samples, ..self }
    }

    /// With a weight β of the KL term in the training objective: other than 1 it is a β-VAE, rising from 0 a warm-up
    /// ([notes](crate::vae#loss-scaling)). The bound itself does not change.
    pub fn with_beta(self, beta: impl Into<Schedule>) -> Self {
        let beta = beta.into();
        Self { beta, ..self }
    }

    /// What it is made of.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// q(z|x) for data of shape (…, dimensions).
    ///
    /// # Panics
    /// If the data have another number of dimensions.
    pub fn encode<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        x: Var<'t, T>,
    ) -> DiagonalGaussian<'t, T> {
        let output = self.encoder.forward(p, x);
        let (axis, latent) = (output.ndim() - 1, self.architecture.latent);
        DiagonalGaussian {
            mean: output.slice(axis, 0..latent),
            log_variance: output.slice(axis, latent..2 * latent),
        }
    }

    /// q(z|x) for data of shape (N, dimensions), off the tape.
    ///
    /// # Panics
    /// If the data have another number of dimensions.
    pub fn codes<T: Scalar>(
        &self,
        parameters: &Parameters<T>,
        data: ArrayView2<'_, T>,
    ) -> GaussianParameters<T, Ix2> {
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        self.encode(&p, tape.constant(data)).value()
    }

    /// p(x|z) for latents of shape (…, latent).
    ///
    /// # Panics
    /// If the latents have another number of dimensions.
    pub fn decode<'t, T: Scalar>(&self, p: &Bound<'t, T>, z: Var<'t, T>) -> Observation<'t, T> {
        self.decoder.forward(p, z)
    }

    /// p(z) = N(0, I).
    pub fn prior<'t, T: Scalar>(&self, tape: &'t Tape<T>) -> DiagonalGaussian<'t, T> {
        let zeros = tape.full(&[self.architecture.latent], T::zero());
        DiagonalGaussian {
            mean: zeros,
            log_variance: zeros,
        }
    }

    /// The evidence lower bound of every datum ([notes](crate::vae#vae-elbo)), with frozen noise ε of
    /// shape (L, batch, latent) for L samples of z, or (batch, latent) for one.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn elbo<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        x: Var<'t, T>,
        noise: Var<'t, T>,
    ) -> Elbo<'t, T> {
        self.elbo_of(p, x, &self.encode(p, x), noise)
    }

    /// The same for any q(z) = N(μ, diag e^s) in the place of the encoder's, one for each datum.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn elbo_of<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        x: Var<'t, T>,
        q: &DiagonalGaussian<'t, T>,
        noise: Var<'t, T>,
    ) -> Elbo<'t, T> {
        let z = q.sample(noise);
        let several = noise.ndim() > q.mean.ndim();
        let over_samples = |terms: Var<'t, T>| match several {
            true => terms.mean_axes(&[0]),
            false => terms,
        };
        let reconstruction = over_samples(self.decode(p, z).log_density(x));
        let kl = match self.divergence {
            Divergence::ClosedForm => kl::gaussian_standard(q),
            Divergence::MonteCarlo => {
                over_samples(q.log_density(z) - self.prior(p.tape()).log_density(z))
            }
        };
        Elbo { reconstruction, kl }
    }

    /// The shape of the noise that [`elbo`](Vae::elbo) takes for a batch: (L, batch, latent), for every L.
    pub fn noise_shape(&self, batch: usize) -> [usize; 3] {
        [self.samples, batch, self.architecture.latent]
    }
}

impl<T: Scalar> Model<T> for Vae {
    /// β KL - reconstruction, the mean over the batch: for β = 1, minus the bound.
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        step: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let x = batch.data;
        let noise = standard_normal(p.tape(), &self.noise_shape(x.shape()[0]), step.rng);
        let elbo = self.elbo(p, x, noise);
        let (reconstruction, kl) = (elbo.reconstruction.mean(), elbo.kl.mean());
        let beta = T::of(self.beta.at(step.number));
        let loss = kl * beta - reconstruction;
        Objective::new(loss, vec![("reconstruction", reconstruction), ("kl", kl)])
    }
}
