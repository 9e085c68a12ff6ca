//! Extreme arguments, NaN and equal entries, where finite differences cannot look.

use elbo::Scalar;
use elbo::autodiff::{Tape, Var, top_k_mask};
use elbo::nn::{Activation, dense};
use ndarray::{arr1, arr2};

/// Value and gradient at one number.
fn at<T: Scalar>(x: f64, f: for<'t> fn(Var<'t, T>) -> Var<'t, T>) -> (f64, f64) {
    let tape = Tape::new();
    let x = tape.variable(arr1(&[T::of(x)]));
    let y = f(x);
    (
        y.sum().item().as_f64(),
        tape.gradients(y.sum()).wrt(x).sum().as_f64(),
    )
}

fn extremes_are_finite<T: Scalar>(edge: f64) {
    type Function<T> = for<'t> fn(Var<'t, T>) -> Var<'t, T>;
    let functions: [(&str, Function<T>); 9] = [
        ("sigmoid", |x| x.sigmoid()),
        ("tanh", |x| x.tanh()),
        ("softplus", |x| x.softplus()),
        ("log-sigmoid", |x| x.log_sigmoid()),
        ("relu", |x| x.relu()),
        ("logsumexp", |x| {
            x.tape().concatenate(0, &[x, -x, x * T::zero()]).logsumexp()
        }),
        ("softmax", |x| {
            x.tape()
                .concatenate(0, &[x, -x, x * T::zero()])
                .softmax(0)
                .slice(0, 0..1)
        }),
        ("log-softmax", |x| {
            x.tape()
                .concatenate(0, &[x, -x])
                .log_softmax(0)
                .slice(0, 0..1)
        }),
        ("abs", |x| x.abs()),
    ];
    for (name, f) in functions {
        for x in [edge, -edge, 0.0, edge / 2.0, -edge / 20.0] {
            let (y, slope) = at::<T>(x, f);
            assert!(
                y.is_finite() && slope.is_finite(),
                "{name}({x}) = {y}, slope {slope}"
            );
        }
    }
}

#[test]
fn are_finite_in_both_precisions() {
    extremes_are_finite::<f64>(700.0);
    extremes_are_finite::<f32>(80.0);
}

#[test]
fn have_the_right_limits() {
    // Below, e^-700 = 9.86e-305 is still a number, and none of its digits may be lost.
    let tiny = (-700.0f64).exp();
    assert_eq!(at::<f64>(-700.0, |x| x.sigmoid()), (tiny, tiny));
    assert_eq!(at::<f64>(700.0, |x| x.sigmoid()), (1.0, tiny));
    assert_eq!(at::<f64>(-700.0, |x| x.softplus()), (tiny, tiny));
    assert_eq!(at::<f64>(700.0, |x| x.softplus()), (700.0, 1.0));
    assert_eq!(at::<f64>(-700.0, |x| x.log_sigmoid()), (-700.0, 1.0));
    assert_eq!(at::<f64>(700.0, |x| x.log_sigmoid()), (-tiny, tiny));
    assert_eq!(at::<f64>(700.0, |x| x.tanh()), (1.0, 0.0));
    let tiny = (-80.0f32).exp();
    assert_eq!(
        at::<f32>(-80.0, |x| x.softplus()),
        (tiny.into(), tiny.into())
    );
    assert_eq!(at::<f32>(80.0, |x| x.sigmoid()), (1.0, tiny.into()));
    // Only differences between logits count, whatever they all have in common.
    for common in [80.0f32, 1e4, 1e8] {
        let tape = Tape::new();
        let x = tape.variable(arr1(&[common, common]));
        let half = x.log_softmax(0).value()[0].exp();
        assert!((half - 0.5).abs() < 1e-6, "{half} at {common}");
    }
    // An impossible outcome weighs nothing, and says nothing.
    let tape = Tape::new();
    let x = tape.variable(arr1(&[f64::NEG_INFINITY, 0.0, 1.0]));
    let y = x.logsumexp();
    assert!((y.item() - (1.0 + 1.0f64.exp()).ln()).abs() < 1e-15);
    assert_eq!(tape.gradients(y).wrt(x)[0], 0.0);
}

#[test]
fn a_nan_is_not_swallowed() {
    type Function = for<'t> fn(Var<'t, f64>) -> Var<'t, f64>;
    let functions: [(&str, Function); 8] = [
        ("sigmoid", |x| x.sigmoid()),
        ("tanh", |x| x.tanh()),
        ("relu", |x| x.relu()),
        ("softplus", |x| x.softplus()),
        ("log-sigmoid", |x| x.log_sigmoid()),
        ("abs", |x| x.abs()),
        ("max", |x| x.max()),
        ("logsumexp", |x| x.logsumexp()),
    ];
    for (name, f) in functions {
        let (y, _) = at::<f64>(f64::NAN, f);
        assert!(y.is_nan(), "{name}(NaN) = {y}");
    }
    for position in 0..3 {
        let mut entries = arr1(&[-1.0, 0.5, 2.0]);
        entries[position] = f64::NAN;
        let y = Tape::new().variable(entries).max().item();
        assert!(y.is_nan(), "max = {y} with NaN at {position}");
    }
    for activation in Activation::ALL {
        let tape = Tape::new();
        let one = |value: f64| tape.variable(arr2(&[[value]]));
        let y = dense(
            one(f64::NAN),
            one(1.0),
            tape.variable(arr1(&[0.0])),
            activation,
        )
        .item();
        assert!(y.is_nan(), "a layer with {activation} makes {y} of NaN");
    }
}

#[test]
fn top_k_takes_the_largest_and_of_equals_the_first() {
    let x = arr2(&[
        [1.0, -9.0, 3.0, 3.0, 3.0],
        [0.0, f64::NAN, -1.0, -2.0, -3.0],
    ])
    .into_dyn()
    .into_shared();
    let mask = top_k_mask(&x, 2, 1);
    let expected = arr2(&[
        [false, false, true, true, false],
        [true, false, true, false, false],
    ]);
    assert_eq!(mask, expected.into_dyn());
    let first = |x: [f64; 2]| top_k_mask(&arr1(&x).into_dyn().into_shared(), 1, 0)[0];
    assert!(first([-0.0, 0.0]) && first([0.0, -0.0]));
    assert!(!first([f64::NAN, f64::NEG_INFINITY]));
}
