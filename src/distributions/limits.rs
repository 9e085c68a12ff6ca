//! The limits at probabilities of exactly 0 and 1, where a formula as it stands would compute 0·∞ or ∞ - ∞.

use crate::Scalar;
use crate::autodiff::Var;

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
        |p| p.cotangent * p.input(0),
    )
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
