//! Between Gaussians: to the standard one, of diagonal ones, of any.

use crate::Scalar;
use crate::autodiff::{Var, broadcast_shape};
use crate::distributions::{DiagonalGaussian, MultivariateGaussian, off_diagonal, standardise};
use crate::elementary::exp_remainder;

/// KL(N(μ, diag e^s) ‖ N(0, I)) = ½ Σ (μ² + e^s - 1 - s), over the last axis, in nats.
///
/// With ȳ arriving, μ̄ = ȳ μ and s̄ = ȳ ½(e^s - 1) (Kingma and Welling 2014, appendix B; [notes](crate::kl#kl-gaussian-standard)).
///
/// # Panics
/// If the shapes of mean and log-variance do not broadcast, or there is no axis.
pub fn gaussian_standard<'t, T: Scalar>(q: &DiagonalGaussian<'t, T>) -> Var<'t, T> {
    let (mean, log_variance) = broadcast(q.mean, q.log_variance);
    let (half, tape) = (T::of(0.5), mean.tape());
    let terms = tape.zip_values("kl", &mean.value(), &log_variance.value(), move |mu, s| {
        half * (mu * mu + exp_remainder(s))
    });
    let event = terms.ndim() - 1;
    let value = tape.sum_value(&terms, &[event]);
    let value = value.index_axis_move(ndarray::Axis(event), 0);
    tape.recycle(terms);
    tape.record(
        "kl-gaussian-standard",
        &[mean, log_variance],
        value,
        move |p| {
            let (mu, s) = (p.input(0), p.input(1));
            let g = p.cotangent.unsqueeze(p.cotangent.ndim());
            p.give(0, || g.times_slope(mu));
            p.give(1, || g.times_slope(s.expm1() * half));
        },
    )
}

/// Both in the shape of a sample: one log-variance may serve many dimensions or data, each with its own term.
fn broadcast<'t, T: Scalar>(
    mean: Var<'t, T>,
    log_variance: Var<'t, T>,
) -> (Var<'t, T>, Var<'t, T>) {
    let (left, right) = (mean.shape(), log_variance.shape());
    assert!(
        !left.is_empty() || !right.is_empty(),
        "gaussian_standard: a divergence needs an event axis, found a single number"
    );
    if left == right {
        return (mean, log_variance);
    }
    let shape = broadcast_shape("gaussian_standard", &left, &right);
    (mean.broadcast_to(&shape), log_variance.broadcast_to(&shape))
}

/// KL(q ‖ p) = ½ Σ [(μ_q - μ_p)² e^(-s_p) + e^(s_q - s_p) - 1 - (s_q - s_p)] of two diagonal Gaussians, over the
/// last axis, in nats.
///
/// # Panics
/// If the shapes do not broadcast, or there is no axis.
pub fn gaussian_diagonal<'t, T: Scalar>(
    q: &DiagonalGaussian<'t, T>,
    p: &DiagonalGaussian<'t, T>,
) -> Var<'t, T> {
    let difference = q.log_variance - p.log_variance;
    // In deviations of p, then squared: e^-s overflows, and 0·∞ is not 0.
    let distance = standardise(q.mean - p.mean, p.log_variance);
    (distance.square() + difference.exp_remainder()).sum_last() * T::of(0.5)
}

/// KL(q ‖ p) = ½ [tr Σ₁⁻¹Σ₀ + ΔᵀΣ₁⁻¹Δ - k + log |Σ₁|/|Σ₀|] of q = N(μ₀, Σ₀) and p = N(μ₁, Σ₁), with Δ = μ₁ - μ₀, in nats;
/// means of shape (…, k) give the shape (…) ([notes](crate::kl#kl-gaussian-full)).
///
/// With Σ = LLᵀ and M = L₁⁻¹L₀, which is lower triangular: the trace is |M|², the sum of all squares, and the logarithm is
/// -2 Σ log M_jj. Nothing is inverted, and only differences of p from q are added, so that a small divergence keeps its
/// digits.
///
/// # Panics
/// If the shapes do not fit.
pub fn gaussian_full<'t, T: Scalar>(
    q: &MultivariateGaussian<'t, T>,
    p: &MultivariateGaussian<'t, T>,
) -> Var<'t, T> {
    assert!(
        q.dimensions() == p.dimensions(),
        "gaussian_full: factors of shapes {:?} and {:?} do not fit",
        q.factor().shape(),
        p.factor().shape()
    );
    let distance = p.standardise(q.mean()).square().sum_last();
    let ratio = p.factor().solve_lower(q.factor());
    let off_diagonal = off_diagonal(ratio).square().sum();
    let log_ratio = q.factor().diagonal().ln() - p.factor().diagonal().ln();
    // M_jj² - 1 - 2 log M_jj, by way of log M_jj.
    let twice = log_ratio * T::of(2.0);
    let diagonal = twice.exp_remainder().sum();
    (distance + off_diagonal + diagonal) * T::of(0.5)
}
