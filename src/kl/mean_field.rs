//! Independent dimensions for a Gaussian that has none: what each direction of the divergence does.

use ndarray::{Array1, Array2};

use crate::autodiff::{Tape, array};
use crate::distributions::{GaussianError, Moments, total_correlation};

/// The best Gaussians with independent dimensions for N(μ, Σ), in both directions of the divergence. Both have the mean μ.
/// (What coordinate ascent over a table finds is a [`variational::TableMeanField`](crate::variational::TableMeanField).)
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianMeanField {
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
/// # Ok::<(), elbo::distributions::GaussianError>(())
/// ```
///
/// # Errors
/// If Σ is not symmetric and positive definite.
///
/// # Panics
/// If Σ is not a square matrix.
pub fn mean_field(covariance: &Array2<f64>) -> Result<GaussianMeanField, GaussianError> {
    let (tape, k) = (Tape::new(), covariance.nrows());
    let target = Moments {
        mean: Array1::zeros(k),
        covariance: covariance.clone(),
    };
    let p = target.on(&tape)?;
    // Λ = UUᵀ with the upper triangular U = L⁻ᵀ.
    let factor = p.factor().solve_lower(tape.constant(Array2::eye(k))).t();
    let precision: Array1<f64> = array(factor.square().sum_last().value());
    Ok(GaussianMeanField {
        reverse: precision.mapv(f64::recip),
        reverse_divergence: total_correlation(factor).item(),
        forward_divergence: p.total_correlation().item(),
        forward: covariance.diag().to_owned(),
    })
}
