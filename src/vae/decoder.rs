//! p(x|z): a network, and what its output means.

use rand::Rng;

use super::{Likelihood, Observation};
use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::{Bernoulli, DiagonalGaussian};
use crate::nn::{Activation, Bound, Initialisation, Mlp, ParameterId, Parameters};

/// A dense network from latents to the parameters of p(x|z).
///
/// Its weights are in [`Parameters`], under the names `decoder.0.weight`, … ; a σ that is learnt is
/// `decoder.log_variance`, log σ².
#[derive(Clone, Debug)]
pub struct Decoder {
    network: Mlp,
    likelihood: Likelihood,
    log_variance: Option<ParameterId>,
}

impl Decoder {
    /// Adds weights for these widths, from latents to data, drawn after Glorot.
    ///
    /// # Panics
    /// If a width is 0, or a given deviation is not a number greater than 0.
    pub fn new<T: Scalar>(
        likelihood: Likelihood,
        parameters: &mut Parameters<T>,
        widths: &[usize],
        activation: Activation,
        rng: &mut impl Rng,
    ) -> Self {
        if let Likelihood::Gaussian { deviation } = likelihood {
            assert!(
                deviation > 0.0 && deviation.is_finite(),
                "a Gaussian decoder needs a deviation greater than 0, found {deviation}"
            );
        }
        let glorot = Initialisation::Glorot;
        let network = Mlp::new(parameters, "decoder", widths, activation, glorot, rng);
        let log_variance = matches!(likelihood, Likelihood::GaussianLearned)
            .then(|| parameters.add("decoder.log_variance", ndarray::arr0(T::zero())));
        Self {
            network,
            likelihood,
            log_variance,
        }
    }

    /// p(x|z) for latents of shape (…, latent).
    ///
    /// # Panics
    /// If the latents have another number of dimensions.
    pub fn forward<'t, T: Scalar>(&self, p: &Bound<'t, T>, z: Var<'t, T>) -> Observation<'t, T> {
        let output = self.network.forward(p, z);
        let log_variance = match self.likelihood {
            Likelihood::Bernoulli => {
                return Observation::Bernoulli(Bernoulli { logits: output });
            }
            Likelihood::Gaussian { deviation } => output.tape().scalar(T::of(2.0 * deviation.ln())),
            Likelihood::GaussianLearned => {
                p[self.log_variance.expect("added with this likelihood")]
            }
        };
        Observation::Gaussian(DiagonalGaussian {
            mean: output,
            log_variance,
        })
    }
}
