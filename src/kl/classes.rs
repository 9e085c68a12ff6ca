//! Between categoricals and between coins, certain ones included.

use crate::Scalar;
use crate::autodiff::{Mask, Pullback, Value, Var, softplus};
use crate::distributions::{Bernoulli, Categorical};
use crate::elementary::{exp, exp_remainder, expm1};

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
    let (log_q, log_p) = (q.log_probabilities(), p.log_probabilities());
    // q log q/p + p - q for each class: as Σ p = Σ q, their sum is the divergence, and none is negative.
    let terms = weighted(log_q, log_p, |log_q, log_p| excess(log_p - log_q));
    let classes = terms.ndim() - 1;
    let value = tape.sum_value(&terms, &[classes]);
    let value = value.index_axis_move(ndarray::Axis(classes), 0);
    tape.recycle(terms);
    // The rule reads the log-probabilities, and the cotangents go to the logits: by way of the log-probabilities, those
    // of log q would be q (log q/p + 1), whose 1 cancels.
    let inputs = [q.logits, p.logits, log_q, log_p];
    tape.record("kl-categorical", &inputs, value, |pull| {
        let (log_q, log_p) = (pull.input(2), pull.input(3));
        let g = pull.cotangent.unsqueeze(pull.cotangent.ndim());
        let divergence = pull.output.unsqueeze(pull.output.ndim());
        pull.give(0, || {
            g.times_slope(weighted_deviation(log_q, log_p, divergence))
        });
        pull.give(1, || g.times_slope(difference(log_q, log_p)));
    })
}

/// q ⊙ (log q/p - KL), with 0 where q is, and ∞ - ∞ = ∞: with p_k → 0 the logarithm outgrows its mean.
fn weighted_deviation<'t, T: Scalar>(
    log_q: Var<'t, T>,
    log_p: Var<'t, T>,
    divergence: Var<'t, T>,
) -> Var<'t, T> {
    let deviation = log_ratio(log_q, log_p).zip_with(
        divergence,
        "deviation",
        |ratio, divergence| {
            if ratio == T::infinity() {
                ratio
            } else {
                ratio - divergence
            }
        },
        |p| p.cotangent,
        |p| {
            let finite = p.input(0).value().mapv(|r| r != T::infinity());
            -p.cotangent.keep_where(&finite.into_shared())
        },
    );
    log_q.exp().times_slope(deviation)
}

/// log q_k - log p_k where q_k is not 0, else 0.
fn log_ratio<'t, T: Scalar>(log_q: Var<'t, T>, log_p: Var<'t, T>) -> Var<'t, T> {
    fn kept<'t, T: Scalar>(p: &Pullback<'t, T>) -> Var<'t, T> {
        let q = p.input(0).value().mapv(exp).into_shared();
        p.cotangent.keep_where(&possible(&q))
    }
    log_q.zip_with(
        log_p,
        "log-ratio",
        |log_q, log_p| {
            if exp(log_q) == T::zero() {
                T::zero()
            } else {
                log_q - log_p
            }
        },
        |p| kept(p),
        |p| -kept(p),
    )
}

/// p - q, by their logarithms, with t = log p/q: as q (e^t - 1), or where p is much larger as p (1 - e^-t). So what differs
/// between two probabilities near 1 keeps its digits.
fn difference<'t, T: Scalar>(log_q: Var<'t, T>, log_p: Var<'t, T>) -> Var<'t, T> {
    let value = weighted(log_q, log_p, |log_q, log_p| {
        let t = log_p - log_q;
        let near = is_near(t);
        let e = expm1(if near { t } else { -t });
        if near { e } else { -e }
    });
    let tape = log_q.tape();
    tape.record("probability-difference", &[log_q, log_p], value, |p| {
        p.give(0, || -p.cotangent.times_slope(p.input(0).exp()));
        p.give(1, || p.cotangent.times_slope(p.input(1).exp()));
    })
}

/// Is p not much larger than q, for t = log p/q?
#[inline(always)]
fn is_near<T: Scalar>(t: T) -> bool {
    t <= T::one()
}

/// The factors f(log q, log p) times q, or times p where that is much larger: in a loop of its own for each exponential.
fn weighted<'t, T: Scalar>(
    log_q: Var<'t, T>,
    log_p: Var<'t, T>,
    factor: impl Fn(T, T) -> T + Sync,
) -> Value<T> {
    let tape = log_q.tape();
    let (log_q, log_p) = (log_q.value(), log_p.value());
    let factors = tape.zip_values("kl", &log_q, &log_p, factor);
    let weights = tape.zip_values("kl", &log_q, &log_p, |log_q, log_p| {
        exp(if is_near(log_p - log_q) { log_q } else { log_p })
    });
    let value = tape.zip_values("kl", &weights, &factors, |weight, factor| {
        if factor == T::infinity() {
            // Also where q has rounded to 0.
            factor
        } else if weight == T::zero() {
            weight
        } else {
            weight * factor
        }
    });
    for value in [factors, weights] {
        tape.recycle(value);
    }
    value
}

/// False where a probability is 0. A NaN is possible, so that it is seen.
fn possible<T: Scalar>(probability: &Value<T>) -> Mask {
    probability.mapv(|q| q != T::zero()).into_shared()
}

/// log q/p + p/q - 1 by t = log p/q: e^t - 1 - t, which keeps its digits where p is near q. Where p is much larger, the
/// same by p, 1 - e^-t (1 + t), as e^t might overflow.
#[inline(always)]
fn excess<T: Scalar>(t: T) -> T {
    let near = is_near(t);
    let u = if near { t } else { -t };
    let far = T::one() - (expm1(u) + T::one()) * (T::one() - u);
    let value = if near { exp_remainder(u) } else { far };
    // 0·∞ for a q of 0.
    if t == T::infinity() { T::one() } else { value }
}

/// q log q/p + p - q, by the logarithms of q and p: a part of the divergence, as Σ p = Σ q, and never negative.
fn term<T: Scalar>(log_q: T, log_p: T) -> T {
    let t = log_p - log_q;
    let (weight, factor) = (exp(if is_near(t) { log_q } else { log_p }), excess(t));
    if factor == T::infinity() {
        factor
    } else if weight == T::zero() {
        weight
    } else {
        weight * factor
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
            p.cotangent
                .times_slope(variance * (a - b).keep_where(&possible(&variance.value())))
        },
        |p| {
            let (a, b) = (p.input(0), p.input(1));
            // σ(b) - σ(a) as a difference of what both coins have little of.
            p.cotangent
                .times_slope((-a).sigmoid() * b.sigmoid() - a.sigmoid() * (-b).sigmoid())
        },
    );
    terms.sum_last()
}
