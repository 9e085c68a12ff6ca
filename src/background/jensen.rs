//! Jensen's inequality for the logarithm ([notes](crate::background#jensen-gap)).

use super::error::{BadData, check_log_distribution, check_log_numbers, check_numbers};
use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::{expectation, mask, not, possible};

/// Both sides of log E w >= E log w, and what is between them.
#[derive(Clone, Copy, Debug)]
pub struct Jensen<'t, T: Scalar> {
    /// log E w, of shape [], in nats.
    pub log_mean: Var<'t, T>,
    /// E log w, of shape []; -∞ if w is 0 with a positive probability.
    pub mean_log: Var<'t, T>,
    /// log E w - E log w, of shape []: never negative, 0 if and only if w is constant where q is positive, and ∞ if w is
    /// 0 with a positive probability.
    pub gap: Var<'t, T>,
}

/// Jensen's inequality for a weight w >= 0 with finitely many values, by log q and log w of shape (K).
///
/// A weight of 0 counts if its log q is above -∞, even if q rounds to 0. Where a side is infinite it has no gradient, and what
/// the tape returns is none.
///
/// # Errors
/// If q is no distribution, a log w is NaN or ∞, or w is 0 with probability 1 (the two sides are then both -∞).
///
/// # Panics
/// If the shapes differ or are not that of a vector.
pub fn jensen<'t, T: Scalar>(
    log_q: Var<'t, T>,
    log_w: Var<'t, T>,
) -> Result<Jensen<'t, T>, BadData> {
    let shapes = [log_q.shape(), log_w.shape()];
    assert!(
        shapes[0] == shapes[1] && shapes[0].len() == 1,
        "jensen: shapes {:?} (log q) and {:?} (log w) do not fit",
        shapes[0],
        shapes[1]
    );
    check_log_distribution("log q", &log_q.value())?;
    check_log_numbers("log w", &log_w.value())?;

    let log_mean = (log_q + log_w).logsumexp();
    if log_mean.item() == T::neg_infinity() {
        return Err(BadData::Impossible { row: 0 });
    }
    // Where q is 0, w does not matter, and may be 0.
    let values = log_w.keep_where(&possible(log_q));
    let mean_log = expectation(log_q, values);
    let difference = log_mean - mean_log;
    Ok(Jensen {
        log_mean,
        mean_log,
        // A large difference keeps its digits, and may be ∞.
        gap: match difference.item() < T::of(20.0) {
            true => gap(log_q, values - mean_log),
            false => difference,
        },
    })
}

/// log E e^d for d = log w - E log w. As E d = 0, this is log(1 + E[e^d - 1 - d]), a sum of terms that are never
/// negative, and keeps its digits where w is nearly constant; the difference of the two sides would cancel to noise.
fn gap<'t, T: Scalar>(log_q: Var<'t, T>, d: Var<'t, T>) -> Var<'t, T> {
    let d = d.keep_where(&possible(log_q));
    // e^d overflows where w is far above its mean; there q e^d does not, and q (1 + d) is less than it.
    let near = mask(&d.value(), |d| d <= T::one());
    let far = not(&near);
    let (q, u, v) = (log_q.exp(), d.keep_where(&near), d.keep_where(&far));
    let tangent = q * (u.expm1() - u);
    let plain = (log_q + v).exp() - q * (v + T::one());
    plain.select(&far, tangent).sum().ln_1p()
}

/// log E w, E log w and their difference for log-normal w: log w ~ N(μ, σ²), in nats. E w = exp(μ + σ²/2), so that the
/// difference is σ²/2.
///
/// # Errors
/// If μ is not finite, or σ² is not a finite number from 0 up.
pub fn log_normal_jensen(mean: f64, variance: f64) -> Result<[f64; 3], BadData> {
    check_numbers("mean", [mean], "a finite number", f64::is_finite)?;
    let finite = |v: f64| v >= 0.0 && v.is_finite();
    check_numbers("variance", [variance], "a finite number from 0 up", finite)?;
    Ok([mean + variance / 2.0, mean, variance / 2.0])
}
