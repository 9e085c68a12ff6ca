//! The limits at probabilities of exactly 0 and 1, and at variances beyond the range of a number, where a formula as it stands
//! would compute 0·∞ or ∞ - ∞.

use crate::Scalar;
use crate::autodiff::{Mask, Value, Var};
use crate::elementary::exp;

/// e^-10⁴ is 0 in either precision, and so is 10⁴ e^-10⁴: for an entropy, a logit beyond it is as good as infinite.
const CERTAIN: f64 = 1e4;

/// x y with 0·(±∞) = 0: what has no weight does not count.
pub fn weighed<T: Scalar>(weight: T, number: T) -> T {
    if weight == T::zero() {
        weight
    } else {
        weight * number
    }
}

/// x log p, with 0·(-∞) = 0: what is not counted costs nothing, however impossible. x̄ = ȳ log p, and the cotangent of
/// log p is ȳ x.
pub fn weigh<'t, T: Scalar>(x: Var<'t, T>, log_p: Var<'t, T>) -> Var<'t, T> {
    x.zip_with(
        log_p,
        "weigh",
        weighed,
        |p| weigh(p.cotangent, p.input(1)),
        |p| p.cotangent.times_slope(p.input(0)),
    )
}

/// x e^(-s/2), the offset x in deviations of a variance e^s: 0 for x = 0, however small the variance is. With ȳ arriving,
/// x̄ = ȳ e^(-s/2) and s̄ = -½ ȳ y.
pub fn standardise<'t, T: Scalar>(offset: Var<'t, T>, log_variance: Var<'t, T>) -> Var<'t, T> {
    offset.zip_with(
        log_variance,
        "standardise",
        standardised,
        |p| standardise(p.cotangent, p.input(1)),
        |p| p.cotangent.times_slope(standardise(p.input(0), p.input(1))) * T::of(-0.5),
    )
}

/// The same of numbers. In two factors e^(-s/4), held below ∞: whatever x other than 0 they multiply is then of the right
/// magnitude, or so large that its square is ∞, as it should be.
#[inline(always)]
pub fn standardised<T: Scalar>(offset: T, log_variance: T) -> T {
    let root = exp(log_variance * T::of(-0.25));
    // A comparison, and not `min`, keeps a NaN as it is.
    let root = if root > T::max_value() {
        T::max_value()
    } else {
        root
    };
    offset * root * root
}

/// Logits with those beyond ±10⁴ brought back to it, for functions that are constant to the last digit out there. The
/// derivative is taken to be 1: the function's own is 0.
pub fn bounded<'t, T: Scalar>(logits: Var<'t, T>) -> Var<'t, T> {
    let bound = T::of(CERTAIN);
    let nearer = move |a: T| {
        // Comparisons, and not `clamp`, keep a NaN as it is.
        let a = if a > bound { bound } else { a };
        if a < -bound { -bound } else { a }
    };
    logits.map("bounded", nearer, |p| p.cotangent)
}

/// Logits of K classes with the same probabilities, none of them ∞ and not all -∞: ∞ makes its class certain, several
/// that are ∞ share equally, and so do all if all are -∞. The derivative is taken to be 1: what follows has the slope.
///
/// Logits that need none of this are returned as they are.
pub fn settled<'t, T: Scalar>(logits: Var<'t, T>, classes: usize) -> Var<'t, T> {
    let mut value = logits.value();
    let axis = ndarray::Axis(classes);
    let highest = |lane: ndarray::ArrayView1<T>| lane.fold(T::neg_infinity(), |m, &a| m.max(a));
    if value
        .lanes(axis)
        .into_iter()
        .all(|lane| highest(lane).is_finite())
    {
        return logits;
    }
    for mut lane in value.lanes_mut(axis) {
        let m = highest(lane.view());
        if !m.is_finite() && !lane.iter().any(|a| a.is_nan()) {
            lane.mapv_inplace(|a| if a == m { T::zero() } else { T::neg_infinity() });
        }
    }
    let tape = logits.tape();
    tape.record("settled", &[logits], value, |p| p.give(0, || p.cotangent))
}

/// Where a log-probability is not -∞.
pub fn possible<T: Scalar>(log_q: Var<'_, T>) -> Mask {
    mask(&log_q.value(), |l| l != T::neg_infinity())
}

pub fn mask<T: Scalar>(value: &Value<T>, is_kept: impl Fn(T) -> bool) -> Mask {
    value.mapv(is_kept).into_shared()
}

/// Both where `a` and where `b`, of one shape.
pub fn both(a: &Mask, b: &Mask) -> Mask {
    let mut both = a.to_owned();
    both.zip_mut_with(b, |a, &b| *a &= b);
    both.into_shared()
}

/// Where not.
pub fn not(a: &Mask) -> Mask {
    a.mapv(|a| !a).into_shared()
}

/// The terms q f of an expectation. A state without mass adds 0, whatever f is there; one with mass, however little, and an
/// infinite f makes the sum infinite (q may have rounded to 0 where log q is finite, and 0 · ∞ would be NaN).
pub fn weighted<'t, T: Scalar>(log_q: Var<'t, T>, f: Var<'t, T>) -> Var<'t, T> {
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
pub fn expectation<'t, T: Scalar>(log_q: Var<'t, T>, f: Var<'t, T>) -> Var<'t, T> {
    weighted(log_q, f).sum_last()
}
