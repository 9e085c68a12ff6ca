//! Jensen's inequality for the logarithm ([notes](crate::background#jensen-gap)).

use super::error::{BadData, check_log_distribution, check_log_numbers, check_numbers};
use crate::Scalar;
use crate::autodiff::Var;

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

    let possible = log_q.value().mapv(|l| l > T::neg_infinity()).into_shared();
    let log_mean = (log_q + log_w).logsumexp();
    if log_mean.item() == T::neg_infinity() {
        return Err(BadData::Impossible { row: 0 });
    }
    // Where q is 0, w does not matter, and may be 0.
    let (q, values) = (log_q.exp(), log_w.keep_where(&possible));
    let mean_log = (q * values).sum();
    Ok(Jensen {
        log_mean,
        mean_log,
        gap: gap(q, log_mean, mean_log, values),
    })
}

/// log E e^d for d = log w - E log w. As E d = 0, this is log(1 + E[e^d - 1 - d]), a sum of terms that are never
/// negative, and keeps its digits where w is nearly constant; the difference of the two sides would cancel to noise.
fn gap<'t, T: Scalar>(
    q: Var<'t, T>,
    log_mean: Var<'t, T>,
    mean_log: Var<'t, T>,
    values: Var<'t, T>,
) -> Var<'t, T> {
    let d = values - mean_log;
    let moderate = d.value().iter().all(|d| d.abs() < T::of(20.0));
    match moderate {
        true => (q * (d.expm1() - d)).sum().ln_1p(),
        false => log_mean - mean_log,
    }
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
