//! What a loss that averages where the bound sums really trains ([notes](crate::vae#loss-scaling)).

use crate::Scalar;
use crate::autodiff::Var;
use crate::background::{BadData, LinearGaussian};
use crate::distributions::DiagonalGaussian;

/// How a term of a datum is brought down to one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// As in the bound.
    Sum,
    /// Divided by the number of entries.
    Mean,
}

/// A loss as one meets it: reduced(reconstruction errors) + w · reduced(divergences of the units).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScaling {
    /// Over the D dimensions of the datum.
    pub reconstruction: Reduction,
    /// Over the d units of the latent.
    pub divergence: Reduction,
    /// w.
    pub weight: f64,
}

impl Reduction {
    fn divisor(self, entries: usize) -> f64 {
        match self {
            Self::Sum => 1.0,
            Self::Mean => entries as f64,
        }
    }

    fn apply<'t, T: Scalar>(self, terms: Var<'t, T>) -> Var<'t, T> {
        let entries = *terms.shape().last().expect("an axis of terms");
        terms.sum_last() * T::of(1.0 / self.divisor(entries))
    }
}

impl LossScaling {
    /// The loss of each datum, from errors of shape (…, D) and divergences of shape (…, d).
    ///
    /// # Panics
    /// If there is no last axis, or the others do not broadcast.
    pub fn loss<'t, T: Scalar>(&self, errors: Var<'t, T>, divergences: Var<'t, T>) -> Var<'t, T> {
        let kl = self.divergence.apply(divergences);
        self.reconstruction.apply(errors) + kl * T::of(self.weight)
    }

    /// The β of the β-VAE that is trained, where the errors are -log p(x_j|z): w·D/d with the divisors that apply. The loss is
    /// a constant times -(E log p(x|z) - β KL).
    ///
    /// Where one term is averaged over a batch of M and the other is summed over it, pass M·D for D, or M·d for d.
    ///
    /// # Panics
    /// If w is negative or not finite, or D or d is 0.
    pub fn beta(&self, dimensions: usize, latent: usize) -> f64 {
        assert!(
            self.weight >= 0.0 && self.weight.is_finite(),
            "beta: expected a weight that is finite and not negative, found {}",
            self.weight
        );
        assert!(
            dimensions > 0 && latent > 0,
            "beta: expected at least one dimension and one latent, found {dimensions} and {latent}"
        );
        let (d_x, d_z) = (
            self.reconstruction.divisor(dimensions),
            self.divergence.divisor(latent),
        );
        self.weight * d_x / d_z
    }

    /// The σ² of the Gaussian decoder whose bound is trained, where the errors are `factor`·(x_j - f_j)²: β/(2·factor).
    /// The loss is a constant times -(E log N(x; f, σ²I) - KL), but for a summand.
    ///
    /// # Panics
    /// If the factor or w is not a positive number, or as [`beta`](Self::beta) does.
    pub fn noise_variance(&self, factor: f64, dimensions: usize, latent: usize) -> f64 {
        assert!(
            factor > 0.0 && factor.is_finite(),
            "noise_variance: expected a factor above 0, found {factor}"
        );
        assert!(
            self.weight > 0.0,
            "noise_variance: expected a weight above 0, found {}",
            self.weight
        );
        self.beta(dimensions, latent) / (2.0 * factor)
    }
}

impl<'t, T: Scalar> LinearGaussian<'t, T> {
    /// The diagonal q that maximises E_q log p(x|z) - β KL(q ‖ N(0, I)): that of the model with noise βσ² in the place of σ².
    ///
    /// # Errors
    /// If β is not a finite number above 0, or the noise or M is of no use as in [`best_diagonal`](Self::best_diagonal).
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn tempered_diagonal(
        &self,
        x: Var<'t, T>,
        beta: f64,
    ) -> Result<DiagonalGaussian<'t, T>, BadData> {
        if !(beta > 0.0 && beta.is_finite()) {
            return Err(BadData::Number {
                what: "β",
                index: 0,
                expected: "a finite number above 0",
                found: beta,
            });
        }
        let tempered = Self {
            log_noise: self.log_noise + T::of(beta.ln()),
            ..*self
        };
        tempered.best_diagonal(x)
    }
}
