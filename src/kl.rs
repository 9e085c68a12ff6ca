#![doc = include_str!("../docs/kl.md")]

use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::{Bernoulli, Categorical, DiagonalGaussian};
use crate::elementary::expm1;

/// KL(N(μ, diag e^s) ‖ N(0, I)) = ½ Σ (μ² + e^s - 1 - s), over the last axis, in nats.
///
/// With ȳ arriving, μ̄ = ȳ μ and s̄ = ȳ ½(e^s - 1) (Kingma and Welling 2014, appendix B; [notes](crate::kl#kl-gaussian-standard)).
///
/// # Panics
/// If the shapes of mean and log-variance differ, or there is no axis.
pub fn gaussian_standard<'t, T: Scalar>(q: &DiagonalGaussian<'t, T>) -> Var<'t, T> {
    let (mean, log_variance) = (q.mean, q.log_variance);
    let (half, tape) = (T::of(0.5), mean.tape());
    assert!(
        mean.shape() == log_variance.shape() && mean.ndim() > 0,
        "gaussian_standard: shapes {:?} (mean) and {:?} (log-variance) do not fit",
        mean.shape(),
        log_variance.shape()
    );
    let terms = tape.zip_values("kl", &mean.value(), &log_variance.value(), move |mu, s| {
        half * (mu * mu + (expm1(s) - s))
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
            p.give(0, || g * mu);
            p.give(1, || g * (s.expm1() * half));
        },
    )
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
    // In deviations of p, then squared: e^-s itself overflows where 1/σ does not.
    let distance = (q.mean - p.mean) * (p.log_variance * T::of(-0.5)).exp();
    (distance.square() + (difference.expm1() - difference)).sum_last() * T::of(0.5)
}

/// KL(q ‖ p) = Σ_k q_k (log q_k - log p_k), over the last axis, in nats.
///
/// # Panics
/// If the shapes do not broadcast, or there is no axis.
pub fn categorical<'t, T: Scalar>(q: &Categorical<'t, T>, p: &Categorical<'t, T>) -> Var<'t, T> {
    (q.probabilities() * (q.log_probabilities() - p.log_probabilities())).sum_last()
}

/// KL(q ‖ p) = Σ [σ(a) (a - b) - softplus(a) + softplus(b)] of independent coins with logits a (of q) and b
/// (of p), over the last axis, in nats.
///
/// Computed as the sum over both outcomes of q log q/p: the three terms above are of the logits' size and
/// cancel to noise where both coins are nearly certain.
///
/// # Panics
/// If the shapes do not broadcast, or there is no axis.
pub fn bernoulli<'t, T: Scalar>(q: &Bernoulli<'t, T>, p: &Bernoulli<'t, T>) -> Var<'t, T> {
    let outcome = |a: Var<'t, T>, b: Var<'t, T>| a.sigmoid() * (a.log_sigmoid() - b.log_sigmoid());
    let (a, b) = (q.logits, p.logits);
    (outcome(a, b) + outcome(-a, -b)).sum_last()
}
