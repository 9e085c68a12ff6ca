//! Independent dimensions for a Gaussian that has none: what each direction of the divergence does.

use ndarray::{Array1, Array2, ArrayBase, Data, Ix1, s};

use super::fit::Moments;
use crate::autodiff::{Tape, Var};
use crate::distributions::{MultivariateGaussian, NoGaussian};

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
/// # Ok::<(), elbo::distributions::NoGaussian>(())
/// ```
///
/// # Errors
/// If Σ is not symmetric and positive definite.
///
/// # Panics
/// If Σ is not a square matrix.
pub fn mean_field(covariance: &Array2<f64>) -> Result<GaussianMeanField, NoGaussian> {
    let (tape, k) = (Tape::new(), covariance.nrows());
    let target = Moments {
        mean: Array1::zeros(k),
        covariance: covariance.clone(),
    };
    let p: MultivariateGaussian<'_, f64> = target.gaussian(&tape)?;
    // Σ = LLᵀ and Λ = L⁻ᵀL⁻¹: Σ_jj is the squared length of row j of L, Λ_jj that of column j of L⁻¹.
    let factor = matrix(p.factor());
    let inverse = matrix(p.factor().solve_lower(tape.constant(Array2::eye(k))));
    let precision = Array1::from_shape_fn(k, |j| squares(inverse.column(j)));
    // |Σ| = Π L_jj², so that a divergence is ½ Σ log of a length squared over its diagonal part, 1 + the rest: never negative.
    let reverse = (0..k).map(|j| squares(&inverse.slice(s![j + 1.., j]) * factor[[j, j]]).ln_1p());
    let forward = (0..k).map(|j| squares(&factor.slice(s![j, ..j]) / factor[[j, j]]).ln_1p());
    Ok(GaussianMeanField {
        reverse: precision.mapv(f64::recip),
        reverse_divergence: 0.5 * reverse.sum::<f64>(),
        forward_divergence: 0.5 * forward.sum::<f64>(),
        forward: covariance.diag().to_owned(),
    })
}

fn squares<S: Data<Elem = f64>>(vector: ArrayBase<S, Ix1>) -> f64 {
    vector.iter().map(|x| x * x).sum()
}

fn matrix(var: Var<'_, f64>) -> Array2<f64> {
    let value = var.value().into_owned();
    value.into_dimensionality().expect("a matrix")
}
