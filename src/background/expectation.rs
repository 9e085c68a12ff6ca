//! Expectations, by the sum over all values and by draws ([notes](crate::background#monte-carlo-expectation)).

use super::error::{BadData, check_distribution, check_numbers};
use crate::distributions::{Estimate, EstimateError, weighed};

/// E_q f = Σ_z q(z) f(z), for probabilities q and values f of the same length. Where q is 0, f may be anything but NaN.
///
/// # Errors
/// If q is no distribution, an f is NaN, or f is ∞ and -∞ with positive probabilities each.
///
/// # Panics
/// If the lengths differ.
pub fn expectation(probabilities: &[f64], values: &[f64]) -> Result<f64, BadData> {
    assert!(
        probabilities.len() == values.len(),
        "expectation: lengths {} (probabilities) and {} (values) do not fit",
        probabilities.len(),
        values.len()
    );
    check_distribution("probabilities", probabilities)?;
    let numbers = values.iter().copied();
    check_numbers("values", numbers, "numbers", |f| !f.is_nan())?;
    let terms = probabilities.iter().zip(values);
    let sum: f64 = terms.map(|(&q, &f)| weighed(q, f)).sum();
    let expected = "values that are not ∞ here and -∞ there";
    check_numbers("expectation", [sum], expected, |sum| !sum.is_nan())?;
    Ok(sum)
}

/// Var_q f = E_q (f - E_q f)²: what one draw of f is worth. The mean of n independent draws has this by n.
///
/// # Errors
/// If q is no distribution, or f is not finite where q is positive.
///
/// # Panics
/// If the lengths differ.
pub fn variance(probabilities: &[f64], values: &[f64]) -> Result<f64, BadData> {
    let mean = expectation(probabilities, values)?;
    check_numbers("expectation", [mean], "a finite mean", f64::is_finite)?;
    let squares: Vec<f64> = values.iter().map(|f| (f - mean).powi(2)).collect();
    expectation(probabilities, &squares)
}

/// E_q f ≈ (1/n) Σ f(zᵢ), from n independent draws zᵢ ~ q that `sample` makes, with its standard error.
///
/// ```
/// use elbo::background::monte_carlo;
/// use rand::{Rng, SeedableRng, rngs::StdRng};
///
/// // The area of a quarter of the unit disc.
/// let mut rng = StdRng::seed_from_u64(1);
/// let point = || (rng.random::<f64>(), rng.random::<f64>());
/// let area = monte_carlo(10_000, point, |(x, y)| f64::from(x * x + y * y < 1.0))?;
/// assert!(area.distance(std::f64::consts::PI / 4.0).abs() < 4.0);
/// assert!(area.standard_error < 0.005);
/// # Ok::<(), elbo::distributions::EstimateError>(())
/// ```
///
/// # Errors
/// If n is 0, an f is NaN, or some are ∞ and others -∞.
pub fn monte_carlo<Z>(
    draws: usize,
    mut sample: impl FnMut() -> Z,
    f: impl Fn(Z) -> f64,
) -> Result<Estimate, EstimateError> {
    Estimate::of((0..draws).map(|_| f(sample())))
}

/// The mean of finite numbers, 0 if there are none: also where their sum is beyond f64.
pub(super) fn average(data: &[f64]) -> f64 {
    let n = data.len().max(1) as f64;
    let sum: f64 = data.iter().sum();
    if sum.is_finite() {
        return sum / n;
    }
    let [least, most] = [f64::min, f64::max].map(|of| data.iter().copied().fold(data[0], of));
    // Rounding must not lead out of their range.
    data.iter().map(|x| x / n).sum::<f64>().clamp(least, most)
}
