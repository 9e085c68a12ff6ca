//! Independent dimensions for a Gaussian that has none: what each direction of the divergence does.

use ndarray::{Array1, Array2};

use super::fit::Moments;
use crate::autodiff::Tape;
use crate::distributions::{MultivariateGaussian, NoGaussian};

/// The best Gaussians with independent dimensions for N(μ, Σ), in both directions of the divergence. Both have the mean μ.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanField {
    /// 1/Λ_jj with Λ = Σ⁻¹, of shape (k): the variances that minimise KL(q ‖ p), those of each dimension given the others.
    pub reverse: Array1<f64>,
    /// Σ_jj, of shape (k): the variances that minimise KL(p ‖ q), those of the marginals.
    pub forward: Array1<f64>,
    /// KL(q ‖ p) = ½ (Σ log Λ_jj + log |Σ|) of the reverse fit.
    pub reverse_divergence: f64,
    /// KL(p ‖ q) = ½ (Σ log Σ_jj - log |Σ|) of the forward fit.
    pub forward_divergence: f64,
}

/// The mean-field approximations of N(·, Σ) ([notes](crate::kl#mean-field-variance)).
///
/// ```
/// use elbo::kl::mean_field;
/// use ndarray::{arr1, arr2};
///
/// // Correlation 0.6: 1 - 0.36 of the variance is left when the other dimension is known.
/// let fits = mean_field(&arr2(&[[1.0, 0.6], [0.6, 1.0]]))?;
/// assert!((fits.reverse[0] - 0.64).abs() < 1e-15);
/// assert_eq!(fits.forward[0], 1.0);
/// assert!((fits.reverse_divergence + 0.5 * 0.64f64.ln()).abs() < 1e-15);
/// # Ok::<(), elbo::distributions::NoGaussian>(())
/// ```
///
/// # Errors
/// If Σ is not symmetric and positive definite.
///
/// # Panics
/// If Σ is not a square matrix.
pub fn mean_field(covariance: &Array2<f64>) -> Result<MeanField, NoGaussian> {
    let (tape, k) = (Tape::new(), covariance.nrows());
    let target = Moments {
        mean: Array1::zeros(k),
        covariance: covariance.clone(),
    };
    let p: MultivariateGaussian<'_, f64> = target.gaussian(&tape)?;
    // Λ = L⁻ᵀL⁻¹, so that Λ_jj is the squared length of column j of L⁻¹.
    let columns = p.factor().solve_lower(tape.constant(Array2::eye(k)));
    let precision: Array1<f64> = columns
        .square()
        .sum_axes(&[0])
        .value()
        .into_owned()
        .into_dimensionality()
        .expect("a vector");
    let forward = covariance.diag().to_owned();
    let log_determinant = p.log_determinant().item();
    Ok(MeanField {
        reverse: precision.mapv(f64::recip),
        reverse_divergence: 0.5 * (precision.mapv(f64::ln).sum() + log_determinant),
        forward_divergence: 0.5 * (forward.mapv(f64::ln).sum() - log_determinant),
        forward,
    })
}
