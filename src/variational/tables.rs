//! Log-probability tables on the tape: expectations in which 0 · ∞ is 0.

use crate::Scalar;
use crate::autodiff::{Mask, Value, Var};

/// Where a log-probability is not -∞.
pub(super) fn possible<T: Scalar>(log_q: Var<'_, T>) -> Mask {
    mask(&log_q.value(), |l| l != T::neg_infinity())
}

pub(super) fn mask<T: Scalar>(value: &Value<T>, is_kept: impl Fn(T) -> bool) -> Mask {
    value.mapv(is_kept).into_shared()
}

/// Both where `a` and where `b`, of one shape.
pub(super) fn both(a: &Mask, b: &Mask) -> Mask {
    let mut both = a.to_owned();
    both.zip_mut_with(b, |a, &b| *a &= b);
    both.into_shared()
}

/// Where not.
pub(super) fn not(a: &Mask) -> Mask {
    a.mapv(|a| !a).into_shared()
}

/// The terms q f of an expectation. A state without mass adds 0, whatever f is there; one with mass, however little, and an
/// infinite f makes the sum infinite (q may have rounded to 0 where log q is finite, and 0 · ∞ would be NaN).
pub(super) fn weighted<'t, T: Scalar>(log_q: Var<'t, T>, f: Var<'t, T>) -> Var<'t, T> {
    let possible = possible(log_q);
    let finite = both(&possible, &mask(&f.value(), T::is_finite));
    let infinite = both(&possible, &mask(&f.value(), |f| !f.is_finite()));
    let terms = log_q.exp() * f.keep_where(&finite);
    if infinite.iter().any(|&is| is) {
        f.select(&infinite, terms)
    } else {
        terms
    }
}

/// E_q f = Σ_z q(z) f(z) over the last axis.
pub(super) fn expectation<'t, T: Scalar>(log_q: Var<'t, T>, f: Var<'t, T>) -> Var<'t, T> {
    weighted(log_q, f).sum_last()
}
