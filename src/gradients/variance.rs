//! The variance of the estimators where it has a closed form ([notes](crate::gradients#gradient-variance)).

use super::draws::{GradientError, check_finite};
use crate::distributions::weighed;

/// For f(z) = z² and z ~ N(μ, σ²): the variance of one draw of each estimator of the derivatives of
/// E f = μ² + σ², first that with respect to μ, 2μ, then that with respect to s = log σ², σ².
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SquareVariances {
    /// Along the path: 4σ² and μ²σ² + 2σ⁴.
    pub pathwise: [f64; 2],
    /// By the score: μ⁴/σ² + 14μ² + 15σ² and ½μ⁴ + 15μ²σ² + 18½σ⁴.
    pub score: [f64; 2],
    /// By the score with the best baselines: 8μ² + 6σ² and 10μ²σ² + 6σ⁴.
    pub with_baseline: [f64; 2],
    /// The best baselines, b* = E f s² / E s²: μ² + 3σ² and μ² + 5σ².
    pub baseline: [f64; 2],
}

/// The variances for the mean μ and the log-variance s.
///
/// # Errors
/// If one of them is NaN or infinite.
pub fn square_variances(mean: f64, log_variance: f64) -> Result<SquareVariances, GradientError> {
    check_finite("mean", [&mean])?;
    check_finite("log-variance", [&log_variance])?;
    let (m2, v) = (mean * mean, log_variance.exp());
    // Squares last, and 0·∞ = 0: μ⁴/σ² is 0 at μ = 0, however small σ is.
    let times_mean = |x: f64| weighed(mean, x);
    let steep = times_mean(times_mean((-0.5 * log_variance).exp())).powi(2);
    let mixed = times_mean((0.5 * log_variance).exp()).powi(2);
    Ok(SquareVariances {
        pathwise: [4.0 * v, mixed + 2.0 * v * v],
        score: [
            steep + 14.0 * m2 + 15.0 * v,
            0.5 * m2 * m2 + 15.0 * mixed + 18.5 * v * v,
        ],
        with_baseline: [8.0 * m2 + 6.0 * v, 10.0 * mixed + 6.0 * v * v],
        baseline: [m2 + 3.0 * v, m2 + 5.0 * v],
    })
}
