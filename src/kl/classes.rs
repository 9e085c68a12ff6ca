//! Between categoricals and between coins, certain ones included.

use crate::Scalar;
use crate::autodiff::{Mask, Value, Var, softplus};
use crate::distributions::{Bernoulli, Categorical};

/// KL(q ‖ p) = Σ_k q_k (log q_k - log p_k), over the last axis, in nats ([notes](crate::kl#kl-categorical)). (From
/// probabilities: [`tables`](super::tables); from log-probabilities: [`log_tables`](super::log_tables).)
///
/// A class that q excludes (logit -∞) adds nothing, 0 log 0 being 0; one that p excludes and q does not makes it ∞.
///
/// With respect to q's logits a, ∇_a = q ⊙ (log q/p - KL); to p's logits b, ∇_b = p - q. Where KL = ∞, ∇_b is the same, and
/// ∇_a is +∞ at the classes that only p excludes, -∞ at the others that q allows.
///
/// # Panics
/// If the shapes do not broadcast, the numbers of classes differ, or there is no axis.
pub fn categorical<'t, T: Scalar>(q: &Categorical<'t, T>, p: &Categorical<'t, T>) -> Var<'t, T> {
    let shapes = (q.logits.shape(), p.logits.shape());
    assert!(
        shapes.0.last() == shapes.1.last(),
        "kl::categorical: shapes {:?} and {:?} do not fit",
        shapes.0,
        shapes.1
    );
    let tape = q.logits.tape();
    let logs = [q, p].map(|one| one.log_probabilities().value());
    let terms = tape.zip_values("kl", &logs[0], &logs[1], term);
    let classes = ndarray::Axis(terms.ndim() - 1);
    let value = terms.sum_axis(classes).into_shared();
    tape.record("kl-categorical", &[q.logits, p.logits], value, |pull| {
        let [q, p] = [0, 1].map(|i| Categorical {
            logits: pull.input(i),
        });
        let g = pull.cotangent.unsqueeze(pull.cotangent.ndim());
        let divergence = pull.output.unsqueeze(pull.output.ndim());
        pull.give(0, || g * weighted_deviation(&q, &p, divergence));
        pull.give(1, || g * (p.probabilities() - q.probabilities()));
    })
}

/// log q_k - log p_k where q_k is not 0, else 0.
fn log_ratio<'t, T: Scalar>(q: &Categorical<'t, T>, p: &Categorical<'t, T>) -> Var<'t, T> {
    let possible = possible(&q.probabilities().value());
    (q.log_probabilities() - p.log_probabilities()).keep_where(&possible)
}

/// q ⊙ (log q/p - KL), with 0 where q is, and ∞ - ∞ = ∞: with p_k → 0 the logarithm outgrows its mean.
fn weighted_deviation<'t, T: Scalar>(
    q: &Categorical<'t, T>,
    p: &Categorical<'t, T>,
    divergence: Var<'t, T>,
) -> Var<'t, T> {
    let (probability, ratio) = (q.probabilities(), log_ratio(q, p));
    let finite = ratio.value().mapv(|r| r != T::infinity()).into_shared();
    let deviation = (ratio - divergence).select(&finite, ratio);
    probability * deviation.keep_where(&possible(&probability.value()))
}

/// False where a probability is 0. A NaN is possible, so that it is seen.
fn possible<T: Scalar>(probability: &Value<T>) -> Mask {
    probability.mapv(|q| q != T::zero()).into_shared()
}

/// q log q/p + p - q, by the logarithms of q and p: a part of the divergence, as Σ p = Σ q, and never negative. With
/// t = log p/q it is q (e^t - 1 - t), which keeps its digits where p is near q.
fn term<T: Scalar>(log_q: T, log_p: T) -> T {
    let t = log_p - log_q;
    if log_q == T::neg_infinity() {
        log_p.exp()
    } else if t == T::neg_infinity() {
        // Also where q has rounded to 0.
        T::infinity()
    } else if t <= T::one() {
        log_q.exp() * (t.exp_m1() - t)
    } else {
        // e^t might overflow.
        log_p.exp() - log_q.exp() * (t + T::one())
    }
}

/// KL(q ‖ p) = Σ [σ(a) (a - b) - softplus(a) + softplus(b)] of independent coins with logits a (of q) and b
/// (of p), over the last axis, in nats ([notes](crate::kl#kl-categorical)).
///
/// Computed as the sum over both outcomes of q log q/p + p - q, of which neither is negative: the three terms above are of the
/// logits' size and cancel to noise where both coins are nearly certain or nearly the same. Logits may be ±∞: an outcome that q excludes adds nothing, one
/// that only p excludes makes it ∞.
///
/// ∂a = σ(a) σ(-a) (a - b), and 0 at a = ±∞; ∂b = σ(b) - σ(a).
///
/// # Panics
/// If the shapes do not broadcast, or there is no axis.
pub fn bernoulli<'t, T: Scalar>(q: &Bernoulli<'t, T>, p: &Bernoulli<'t, T>) -> Var<'t, T> {
    let (a, b) = (q.logits, p.logits);
    let terms = a.zip_with(
        b,
        "kl-bernoulli",
        |a, b| {
            let [heads, tails] =
                [(a, b), (-a, -b)].map(|(a, b)| term(-softplus(-a), -softplus(-b)));
            heads + tails
        },
        |p| {
            let (a, b) = (p.input(0), p.input(1));
            let variance = a.sigmoid() * (-a).sigmoid();
            p.cotangent * (variance * (a - b).keep_where(&possible(&variance.value())))
        },
        |p| {
            let (a, b) = (p.input(0), p.input(1));
            // σ(b) - σ(a) as a difference of what both coins have little of.
            p.cotangent * ((-a).sigmoid() * b.sigmoid() - a.sigmoid() * (-b).sigmoid())
        },
    );
    terms.sum_last()
}
