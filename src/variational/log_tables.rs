//! The Kullback–Leibler divergence between two tables.

use crate::Scalar;
use crate::autodiff::{Var, broadcast_shape};
use crate::background::{BadData, check_log_distribution};
use crate::distributions::{both, mask, not, possible, weighted};

/// KL(q ‖ p) = Σ_z q(z) log(q(z)/p(z)) in nats, on the tape, for tables of log-probabilities of shape (…, K) that broadcast; the result has
/// the shape (…).
///
/// A state with q = 0 adds 0; one with q > 0 = p makes the divergence ∞ (there it has no gradient, and what the tape returns
/// is none, though it may be finite). Every other gradient exists, also with zeros in the tables.
/// ([Notes](crate::variational#kl-nonnegative); [`tables`](crate::kl::tables) is for plain arrays,
/// [`categorical`](crate::kl::categorical) for logits.)
///
/// ```
/// use elbo::autodiff::Tape;
/// use elbo::kl::log_tables;
/// use ndarray::arr1;
///
/// let tape = Tape::new();
/// let coin = tape.constant(arr1(&[0.5f64.ln(), 0.5f64.ln()]));
/// let certain = tape.constant(arr1(&[0.0, f64::NEG_INFINITY]));
/// assert!((log_tables(certain, coin)?.item() - 2f64.ln()).abs() < 1e-15);
/// assert_eq!(log_tables(coin, certain)?.item(), f64::INFINITY);
/// # Ok::<(), elbo::background::BadData>(())
/// ```
///
/// # Errors
/// If an entry is NaN or +∞, if there is no state, or if a table's probabilities do not add up to 1.
///
/// # Panics
/// If the shapes do not broadcast.
pub fn log_tables<'t, T: Scalar>(
    log_q: Var<'t, T>,
    log_p: Var<'t, T>,
) -> Result<Var<'t, T>, BadData> {
    check_log_distribution("q", &log_q.value())?;
    check_log_distribution("p", &log_p.value())?;
    let shape = broadcast_shape("log_tables", &log_q.shape(), &log_p.shape());
    Ok(between(
        log_q.broadcast_to(&shape),
        log_p.broadcast_to(&shape),
    ))
}

/// Σ [q log(q/p) + p - q], the same for tables that add up to 1, and a sum in which no term is negative: the tangent's
/// distance from the logarithm, state by state. With t = log(p/q) a term is q (e^t - 1 - t).
pub(super) fn between<'t, T: Scalar>(log_q: Var<'t, T>, log_p: Var<'t, T>) -> Var<'t, T> {
    let possible = possible(log_q);
    let t = log_p.keep_where(&possible) - log_q.keep_where(&possible);
    // e^t overflows where p is far above q; there p - q - q t loses nothing.
    let near = both(&possible, &mask(&t.value(), |t| t <= T::one()));
    let u = t.keep_where(&near);
    let tangent = weighted(log_q, u.expm1() - u);
    let far = not(&near);
    let plain = log_p.exp() - log_q.exp() * (t.keep_where(&far) + T::one());
    plain.select(&far, tangent).sum_last()
}
