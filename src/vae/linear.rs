//! The linear variational autoencoder: linear decoder, linear encoder, everything in closed form
//! ([notes](crate::vae#linear-vae-gap)).

use ndarray::arr0;
use rand::Rng;

use crate::Scalar;
use crate::autodiff::Var;
use crate::background::{BadData, LinearGaussian};
use crate::distributions::{DiagonalGaussian, standardise, total_correlation};
use crate::kl;
use crate::nn::{Batch, Bound, Initialisation, Model, Objective, ParameterId, Parameters, Step};

impl<'t, T: Scalar> LinearGaussian<'t, T> {
    /// The evidence lower bound of x of shape (…, D) for any q = N(m, diag e^s) with m of shape (…, d) and s that broadcasts
    /// to it, in nats, of shape (…):
    ///
    /// log N(x; Wm + b, σ²I) - Σ_j |W_j|² e^(s_j) / 2σ² - KL(q ‖ N(0, I)).
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn elbo_diagonal(&self, x: Var<'t, T>, q: &DiagonalGaussian<'t, T>) -> Var<'t, T> {
        let columns = self.weights.square().sum_axes(&[0]);
        // |W_j|² e^(s_j - log σ²), and 0 for a column of 0, however little noise there is.
        let blur = standardise(columns, (self.log_noise - q.log_variance) * T::of(2.0)).sum_last();
        self.log_likelihood(x, q.mean) - blur * T::of(0.5) - kl::gaussian_standard(q)
    }

    /// The diagonal q with the highest bound: the posterior's means M⁻¹Wᵀ(x - b) and the variances σ²/M_jj, the same for
    /// every x, with M = WᵀW + σ²I.
    ///
    /// # Errors
    /// If the noise is not finite, or M is not positive definite to the digits of T.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn best_diagonal(&self, x: Var<'t, T>) -> Result<DiagonalGaussian<'t, T>, BadData> {
        let (_, mean) = self.solve(x)?;
        Ok(DiagonalGaussian {
            mean,
            log_variance: self.log_noise - self.second_moments().diagonal().ln(),
        })
    }

    /// log p(x) - ELBO at the best diagonal q, ½ (Σ_j log M_jj - log |M|), in nats, of shape []: the same for every x, and 0
    /// if and only if the columns of W are orthogonal.
    ///
    /// # Errors
    /// If M is not positive definite to the digits of T.
    pub fn diagonal_gap(&self) -> Result<Var<'t, T>, BadData> {
        Ok(total_correlation(self.second_moments().cholesky()?))
    }
}

/// A variational autoencoder with p(x|z) = N(Wz + b, σ²I) and q(z|x) = N(A(x - b), diag e^s): σ is learnt, and s is one for all
/// data. Its bound needs no samples.
///
/// It holds the structure; the weights are in [`Parameters`]: `decoder.weight` W of shape (D, d), `decoder.bias` b,
/// `decoder.log_variance` log σ², `encoder.weight` A of shape (d, D), `encoder.log_variance` s.
#[derive(Clone, Copy, Debug)]
pub struct LinearVae {
    weights: ParameterId,
    offset: ParameterId,
    log_noise: ParameterId,
    encoder: ParameterId,
    log_variance: ParameterId,
}

impl LinearVae {
    /// Adds the parameters, freshly drawn: W and A after Glorot, the others 0 (σ and the deviations of q are 1).
    pub fn new<T: Scalar>(
        dimensions: usize,
        latent: usize,
        parameters: &mut Parameters<T>,
        rng: &mut impl Rng,
    ) -> Self {
        let mut draw =
            |outputs, inputs| Initialisation::Glorot.draw::<T>(outputs, inputs, &mut *rng);
        let (w, a) = (draw(dimensions, latent), draw(latent, dimensions));
        let zeros = |n: usize| ndarray::Array1::<T>::zeros(n);
        Self {
            weights: parameters.add("decoder.weight", w),
            offset: parameters.add("decoder.bias", zeros(dimensions)),
            log_noise: parameters.add("decoder.log_variance", arr0(T::zero())),
            encoder: parameters.add("encoder.weight", a),
            log_variance: parameters.add("encoder.log_variance", zeros(latent)),
        }
    }

    /// p(x|z), with its prior: the model whose evidence is bounded.
    pub fn decoder<'t, T: Scalar>(&self, p: &Bound<'t, T>) -> LinearGaussian<'t, T> {
        LinearGaussian {
            weights: p[self.weights],
            offset: p[self.offset],
            log_noise: p[self.log_noise],
        }
    }

    /// q(z|x) for data of shape (…, D).
    ///
    /// # Panics
    /// If the data have another number of dimensions.
    pub fn encode<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        x: Var<'t, T>,
    ) -> DiagonalGaussian<'t, T> {
        DiagonalGaussian {
            mean: (x - p[self.offset]).matmul(p[self.encoder].t()),
            log_variance: p[self.log_variance],
        }
    }

    /// The evidence lower bound of every datum, in nats, of shape (…).
    ///
    /// # Panics
    /// If the data have another number of dimensions.
    pub fn elbo<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        self.decoder(p).elbo_diagonal(x, &self.encode(p, x))
    }
}

impl<T: Scalar> Model<T> for LinearVae {
    /// Minus the mean of the bound over the batch; there is no noise.
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        _: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let x = batch.data;
        let elbo = self.elbo(p, x).mean();
        let kl = kl::gaussian_standard(&self.encode(p, x)).mean();
        Objective::new(-elbo, vec![("reconstruction", elbo + kl), ("kl", kl)])
    }
}
