//! The Gaussian decoder with the noise that suits it best ([notes](crate::vae#gaussian-likelihood)).

use std::f64::consts::TAU;
use std::fmt;

use ndarray::ArrayView2;

use crate::Scalar;
use crate::autodiff::{Var, broadcast_shape};

/// The best σ² of N(f, σ²I) for given means f, and what it comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseProfile {
    /// σ² = SSE/ND, or the floor if that is larger; in squared units of the data.
    pub variance: f64,
    /// (1/N) Σ log N(x; f, σ²I) at this σ², in nats per datum.
    pub log_likelihood: f64,
}

/// Why there is no best σ².
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ProfileError {
    /// There are no data, or they have no dimensions.
    Empty,
    /// An error x - f is NaN or infinite.
    NotFinite {
        /// Row and column, from 0.
        index: [usize; 2],
        /// The error.
        found: f64,
    },
    /// All errors are 0 (or their squares underflow) and so is the floor: the likelihood grows without bound.
    Unbounded,
    /// The mean of the squared errors is beyond the range of f64.
    TooLarge,
    /// The floor is negative, NaN or infinite.
    Floor(f64),
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "expected data of at least one dimension, found none"),
            Self::NotFinite {
                index: [row, column],
                found,
            } => write!(
                f,
                "expected errors x - f that are finite, found {found} at [{row}, {column}]; see whether the data or the means \
                 are at fault"
            ),
            Self::Unbounded => write!(
                f,
                "expected errors that are not all 0, found only zeros: the likelihood grows without bound as σ² goes to 0; \
                 give σ² a floor above 0"
            ),
            Self::TooLarge => write!(
                f,
                "expected errors x - f whose squares have a mean, found that it overflows; take another unit of the data"
            ),
            Self::Floor(found) => write!(
                f,
                "expected a floor of σ² that is finite and not negative, found {found}"
            ),
        }
    }
}

impl std::error::Error for ProfileError {}

/// The σ² at or above `floor` under which data of shape (N, D) are most likely around `means` of the same shape.
///
/// ```
/// use elbo::vae::profile_noise;
/// use ndarray::arr2;
///
/// let (x, f) = (arr2(&[[1.0, 2.0], [3.0, 4.0]]), arr2(&[[1.0, 2.0], [3.0, 2.0]]));
/// assert_eq!(profile_noise(x.view(), f.view(), 0.0)?.variance, 1.0);
/// assert!(profile_noise(x.view(), x.view(), 0.0).is_err()); // unbounded
/// # Ok::<(), elbo::vae::ProfileError>(())
/// ```
///
/// # Errors
/// If there are no data, an error is not finite or the mean of the squares overflows, all errors and the floor are 0, or the
/// floor is no variance.
///
/// # Panics
/// If the shapes differ.
pub fn profile_noise(
    data: ArrayView2<'_, f64>,
    means: ArrayView2<'_, f64>,
    floor: f64,
) -> Result<NoiseProfile, ProfileError> {
    assert_eq!(
        data.shape(),
        means.shape(),
        "profile_noise: shapes {:?} (data) and {:?} (means) do not fit",
        data.shape(),
        means.shape()
    );
    if !(floor >= 0.0 && floor.is_finite()) {
        return Err(ProfileError::Floor(floor));
    }
    let errors = &data - &means;
    if let Some(((row, column), &found)) = errors.indexed_iter().find(|(_, e)| !e.is_finite()) {
        let index = [row, column];
        return Err(ProfileError::NotFinite { index, found });
    }
    let mean_square = errors.mapv(|e| e * e).mean().ok_or(ProfileError::Empty)?;
    if mean_square.is_infinite() {
        return Err(ProfileError::TooLarge);
    }
    let variance = mean_square.max(floor);
    if variance == 0.0 {
        return Err(ProfileError::Unbounded);
    }
    let dimensions = data.ncols() as f64;
    let log_likelihood = -0.5 * dimensions * (TAU.ln() + variance.ln() + mean_square / variance);
    Ok(NoiseProfile {
        variance,
        log_likelihood,
    })
}

/// (1/N) Σ log N(x; f, σ²I) at σ² = SSE/ND, in nats per datum: -(D/2) [log 2π + 1 + log MSE], for x and f of shape (…, D),
/// with the N data along all axes but the last. Of shape []; ∞ if every error is 0, -∞ where a square overflows.
///
/// Its derivative is that of the plain log-density at this σ²: f̄ = (x - f)/(N σ²).
///
/// # Panics
/// If the shapes do not broadcast, or there is no entry.
pub fn profile_log_likelihood<'t, T: Scalar>(x: Var<'t, T>, mean: Var<'t, T>) -> Var<'t, T> {
    let shape = broadcast_shape("profile_log_likelihood", &x.shape(), &mean.shape());
    let dimensions = match shape.last() {
        Some(&d) if !shape.contains(&0) => d as f64,
        _ => panic!(
            "profile_log_likelihood: expected data along the last axis, found shape {shape:?}"
        ),
    };
    let mean_square = (x - mean).square().mean();
    (mean_square.ln() + T::of(TAU.ln() + 1.0)) * T::of(-0.5 * dimensions)
}
