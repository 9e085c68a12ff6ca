//! The dense layer against plain loops and its own composition.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Value, Var};
use elbo::nn::{Activation, dense};
use ndarray::{Array1, Array2, ArrayD, Axis, Slice, arr1, arr2};

use crate::common::panics::panic_message;
use crate::common::random::{random, rng};
use crate::nn::shared::{Layer, assert_close, naive};

/// Leading axes, inputs, outputs.
const SHAPES: [(&[usize], usize, usize); 7] = [
    (&[4], 3, 2),
    (&[1], 5, 3),
    (&[6], 1, 4),
    (&[3], 4, 1),
    (&[2, 3], 4, 5),
    (&[3, 1, 2], 2, 3),
    (&[], 3, 4),
];

/// The same entries, last axis slowest, every axis backwards and every second entry skipped.
fn scattered(x: &ArrayD<f64>) -> Value<f64> {
    let wide: Vec<usize> = x.shape().iter().rev().map(|n| 2 * n).collect();
    let mut copy = ArrayD::from_elem(wide, f64::NAN).reversed_axes();
    for axis in 0..x.ndim() {
        copy.slice_axis_inplace(Axis(axis), Slice::new(0, None, -2));
    }
    copy.assign(x);
    copy.into_shared()
}

type Build = for<'t> fn(&[Var<'t, f64>], Activation) -> Var<'t, f64>;

fn fused<'t>(v: &[Var<'t, f64>], activation: Activation) -> Var<'t, f64> {
    dense(v[0], v[1], v[2], activation)
}

fn composed<'t>(v: &[Var<'t, f64>], activation: Activation) -> Var<'t, f64> {
    activation.apply(v[0].matmul(v[1].t()) + v[2])
}

fn on_tape(
    build: Build,
    inputs: [Value<f64>; 3],
    activation: Activation,
    cotangent: &ArrayD<f64>,
) -> [ArrayD<f64>; 4] {
    let tape = Tape::new();
    let v = inputs.map(|x| tape.variable(x));
    let y = build(&v, activation);
    let gradients = tape.pull_back(y, cotangent.clone(), &[]);
    let wrt = |i: usize| gradients.wrt(v[i]).into_owned();
    [y.value().into_owned(), wrt(0), wrt(1), wrt(2)]
}

#[test]
fn is_the_loop_and_the_composition_in_value_and_gradients() {
    let mut rng = rng(11);
    for shapes in SHAPES {
        for activation in Activation::ALL {
            let layer = Layer::random(&mut rng, shapes);
            let cotangent = random(&mut rng, &layer.output_shape());
            let expected = naive(&layer, activation, &cotangent);
            let plain = || layer.inputs().map(|x| x.into_shared());
            let strided = || layer.inputs().map(|x| scattered(&x));
            for (way, found) in [
                ("fused", on_tape(fused, plain(), activation, &cotangent)),
                (
                    "composed",
                    on_tape(composed, plain(), activation, &cotangent),
                ),
                (
                    "fused, strided",
                    on_tape(fused, strided(), activation, &cotangent),
                ),
            ] {
                for (part, (f, e)) in found.iter().zip(&expected).enumerate() {
                    let what = format!("{way} {activation} {shapes:?} part {part}");
                    assert_close(&what, f, e);
                }
            }
        }
    }
}

#[test]
fn reads_transposed_data_and_weights_in_place() {
    let mut rng = rng(12);
    let layer = Layer::random(&mut rng, (&[5], 3, 4));
    let cotangent = random(&mut rng, &[5, 4]);
    let transposed = |x: &ArrayD<f64>| {
        let stored = x.t().as_standard_layout().into_owned();
        stored.reversed_axes().into_shared()
    };
    let inputs = [
        transposed(&layer.x),
        transposed(&layer.weight),
        transposed(&layer.bias),
    ];
    assert!(!inputs[0].is_standard_layout() && !inputs[1].is_standard_layout());
    let found = on_tape(fused, inputs, Activation::Tanh, &cotangent);
    let expected = naive(&layer, Activation::Tanh, &cotangent);
    for (f, e) in found.iter().zip(&expected) {
        assert_close("transposed", f, e);
    }
}

#[test]
fn passes_the_gradient_check_at_both_orders() {
    let mut rng = rng(13);
    for shapes in [SHAPES[0], SHAPES[2], SHAPES[5], SHAPES[6]] {
        for activation in Activation::ALL {
            let layer = Layer::random(&mut rng, shapes);
            let slug = format!("dense {activation} {shapes:?}");
            let check = Check::new(&slug);
            check
                .run(&layer.inputs(), |v| dense(v[0], v[1], v[2], activation))
                .unwrap_or_else(|e| panic!("{e}"));
            check
                .run_second_order(&layer.inputs(), |v| dense(v[0], v[1], v[2], activation))
                .unwrap_or_else(|e| panic!("second order: {e}"));
        }
    }
}

#[test]
fn of_no_rows_has_no_rows_and_zero_gradients() {
    let tape = Tape::new();
    let x = tape.variable(Array2::<f64>::zeros((0, 3)));
    let weight = tape.variable(Array2::<f64>::ones((2, 3)));
    let bias = tape.variable(Array1::<f64>::ones(2));
    let y = dense(x, weight, bias, Activation::Relu);
    assert_eq!(y.shape(), [0, 2]);
    let gradients = tape.gradients(y.sum());
    assert_eq!(
        gradients.wrt(weight),
        Array2::<f64>::zeros((2, 3)).into_dyn()
    );
    assert_eq!(gradients.wrt(bias), Array1::<f64>::zeros(2).into_dyn());
}

#[test]
fn activations_keep_a_nan() {
    // A unit whose weights are broken must not look like one that is off.
    for activation in Activation::ALL {
        let tape = Tape::new();
        let x = tape.constant(arr2(&[[1.0, 2.0]]));
        let weight = tape.constant(arr2(&[[f64::NAN, 1.0], [1.0, 1.0]]));
        let bias = tape.constant(arr1(&[0.0, 0.0]));
        let fused = dense(x, weight, bias, activation).value();
        assert!(fused[[0, 0]].is_nan(), "{activation} hides a NaN");
        assert!(!fused[[0, 1]].is_nan());
        let applied = activation.apply(tape.constant(arr1(&[f64::NAN, 1.0])));
        assert!(applied.value()[[0]].is_nan(), "{activation} hides a NaN");
    }
}

#[test]
fn names_itself_and_every_shape_when_they_do_not_fit() {
    let attempt = |x: &[usize], w: &[usize], b: &[usize]| {
        panic_message(|| {
            let tape = Tape::<f64>::new();
            let [x, w, b] = [x, w, b].map(|shape| tape.constant(ArrayD::zeros(shape)));
            dense(x, w, b, Activation::Relu);
        })
    };
    assert_eq!(
        attempt(&[4, 3], &[2, 5], &[2]),
        "dense: shapes [4, 3] (data), [2, 5] (weight) and [2] (bias) do not fit"
    );
    // The weight the wrong way round, a bias to be broadcast, a stack of weights, no data axis.
    for (x, w, b) in [
        (&[4, 3][..], &[3, 2][..], &[2][..]),
        (&[4, 3], &[2, 3], &[1]),
        (&[4, 3], &[2, 3], &[1, 2]),
        (&[4, 3], &[7, 2, 3], &[2]),
        (&[], &[2, 3], &[2]),
    ] {
        let text = attempt(x, w, b);
        assert!(text.starts_with("dense: "), "{text}");
        for shape in [x, w, b] {
            assert!(text.contains(&format!("{shape:?}")), "{text}");
        }
    }
}

#[test]
fn activations_are_read_by_the_names_they_are_written_with() {
    for activation in Activation::ALL {
        assert_eq!(activation.to_string().parse(), Ok(activation));
    }
    let error = "swish".parse::<Activation>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected an activation (identity, relu, tanh, sigmoid, softplus), found `swish`"
    );
}
