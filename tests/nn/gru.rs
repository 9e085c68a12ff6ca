//! The gated recurrent unit against one unit by hand, loops over single steps, and finite differences.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::nn::{Bound, Gru, Parameters};
use ndarray::{Array1, Array2, ArrayD, Axis, arr2};

use crate::common::panics::panic_message;
use crate::common::random::{random, rng};
use crate::nn::shared::assert_close;

/// A unit named `belief`, and its parameters.
fn unit(inputs: usize, units: usize) -> (Parameters<f64>, Gru) {
    let mut parameters = Parameters::new();
    let gru = Gru::new(&mut parameters, "belief", inputs, units, &mut rng(61));
    (parameters, gru)
}

/// Weights, biases, x and h_0, all between -2 and 2.
fn inputs(seed: u64, [batch, time, inputs, units]: [usize; 4]) -> Vec<ArrayD<f64>> {
    let mut rng = rng(seed);
    [
        &[3 * units, inputs][..],
        &[3 * units, units],
        &[3 * units],
        &[3 * units],
        &[batch, time, inputs],
        &[batch, units],
    ]
    .map(|shape| random(&mut rng, shape))
    .into()
}

/// One step as PyTorch documents it, in the tape's plain operations.
fn plain_step<'t>(v: &[Var<'t, f64>], x: Var<'t, f64>, h: Var<'t, f64>) -> Var<'t, f64> {
    let units = h.shape()[1];
    let of = |data: Var<'t, f64>, weight: Var<'t, f64>, bias: Var<'t, f64>, k: usize| {
        let gate = k * units..(k + 1) * units;
        data.matmul(weight.slice(0, gate.clone()).t()) + bias.slice(0, gate)
    };
    let r = (of(x, v[0], v[2], 0) + of(h, v[1], v[3], 0)).sigmoid();
    let z = (of(x, v[0], v[2], 1) + of(h, v[1], v[3], 1)).sigmoid();
    let n = (of(x, v[0], v[2], 2) + r * of(h, v[1], v[3], 2)).tanh();
    (1.0 - z) * n + z * h
}

fn plain<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let (x, mut h, mut states) = (v[4], v[5], Vec::new());
    for t in 0..x.shape()[1] {
        h = plain_step(v, x.slice(1, t..t + 1).squeeze(&[1]), h);
        states.push(h);
    }
    h.tape().stack(1, &states)
}

fn unrolled<'t>(gru: &Gru, v: &[Var<'t, f64>]) -> Var<'t, f64> {
    gru.forward_from(&Bound::from_vars(&v[..4]), v[4], v[5])
}

/// The states, and the gradients of ⟨cotangent, states⟩ with respect to everything.
fn on_tape(
    values: &[ArrayD<f64>],
    cotangent: &ArrayD<f64>,
    build: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
) -> Vec<ArrayD<f64>> {
    let tape = Tape::new();
    let v: Vec<Var<'_, f64>> = values.iter().map(|x| tape.variable(x.clone())).collect();
    let states = build(&v);
    let gradients = tape.pull_back(states, cotangent.clone(), &[]);
    let gradients = v.iter().map(|&v| gradients.wrt(v).into_owned());
    std::iter::once(states.value().into_owned())
        .chain(gradients)
        .collect()
}

#[test]
fn of_one_unit_and_two_steps_is_the_formula_and_its_derivative_by_hand() {
    let values = inputs(62, [1, 2, 1, 1]);
    let at = |array: usize, k: usize| *values[array].iter().nth(k).unwrap();
    let sigmoid = |a: f64| 1.0 / (1.0 + (-a).exp());
    // The state after a step, with r, z, n and what of n's argument comes from h.
    let step = |x: f64, h: f64| {
        let from_x = |k| at(0, k) * x + at(2, k);
        let from_h = |k| at(1, k) * h + at(3, k);
        let (r, z) = (
            sigmoid(from_x(0) + from_h(0)),
            sigmoid(from_x(1) + from_h(1)),
        );
        let n = (from_x(2) + r * from_h(2)).tanh();
        ((1.0 - z) * n + z * h, [r, z, n, from_h(2)])
    };
    let (x, start) = ([at(4, 0), at(4, 1)], at(5, 0));
    let (h1, gates1) = step(x[0], start);
    let (h2, gates2) = step(x[1], h1);
    // The cotangents of the arguments of r and z, of n's part from x and of that from h; and of h.
    let back = |bar: f64, h: f64, [r, z, n, from_h]: [f64; 4]| {
        let n_bar = bar * (1.0 - z) * (1.0 - n * n);
        let r_bar = n_bar * from_h * r * (1.0 - r);
        let z_bar = bar * (h - n) * z * (1.0 - z);
        let through = r_bar * at(1, 0) + z_bar * at(1, 1) + n_bar * r * at(1, 2);
        ([r_bar, z_bar, n_bar, n_bar * r], bar * z + through)
    };
    let y_bar = [0.7, -1.3];
    let (bar2, from_after) = back(y_bar[1], h1, gates2);
    let (bar1, start_bar) = back(y_bar[0] + from_after, start, gates1);
    let sum = |k: [usize; 3], of1: f64, of2: f64| -> ArrayD<f64> {
        Array1::from_iter(k.map(|k| bar1[k] * of1 + bar2[k] * of2)).into_dyn()
    };
    let column = |a: ArrayD<f64>| a.into_shape_with_order(vec![3, 1]).unwrap();
    let x_bar = [bar1, bar2].map(|bar| (0..3).map(|k| bar[k] * at(0, k)).sum::<f64>());
    let expected = [
        arr2(&[[h1], [h2]]).into_dyn(),
        column(sum([0, 1, 2], x[0], x[1])),
        column(sum([0, 1, 3], start, h1)),
        sum([0, 1, 2], 1.0, 1.0),
        sum([0, 1, 3], 1.0, 1.0),
        arr2(&x_bar.map(|bar| [bar])).into_dyn(),
        arr2(&[[start_bar]]).into_dyn(),
    ];
    let cotangent = ArrayD::from_shape_vec(vec![1, 2, 1], y_bar.to_vec()).unwrap();
    let (_, gru) = unit(1, 1);
    let found = on_tape(&values, &cotangent, |v| unrolled(&gru, v));
    for (part, (found, expected)) in found.iter().zip(expected).enumerate() {
        let expected = expected.into_shape_with_order(found.raw_dim()).unwrap();
        assert_close(&format!("part {part}"), found, &expected);
    }
}

#[test]
fn is_the_loop_over_plain_steps_in_value_and_gradients() {
    // Batch, time, inputs, units.
    for (seed, shape) in (63..).zip([
        [3, 4, 2, 5],
        [1, 1, 3, 2],
        [4, 2, 1, 1],
        [2, 5, 3, 17],
        [1, 3, 2, 16],
    ]) {
        let [batch, time, width, units] = shape;
        let (_, gru) = unit(width, units);
        let values = inputs(seed, shape);
        let cotangent = random(&mut rng(seed + 100), &[batch, time, units]);
        let found = on_tape(&values, &cotangent, |v| unrolled(&gru, v));
        let expected = on_tape(&values, &cotangent, plain);
        for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_close(&format!("{shape:?}, part {part}"), found, expected);
        }
    }
}

#[test]
fn passes_the_gradient_check_at_both_orders() {
    for shape in [[2, 3, 2, 2], [1, 1, 1, 3], [3, 2, 2, 1]] {
        let (_, gru) = unit(shape[2], shape[3]);
        let (values, slug) = (inputs(71, shape), format!("gru {shape:?}"));
        let check = Check::new(&slug);
        check
            .run(&values, |v| unrolled(&gru, v))
            .unwrap_or_else(|e| panic!("{e}"));
        check
            .run_second_order(&values, |v| unrolled(&gru, v))
            .unwrap_or_else(|e| panic!("second order: {e}"));
    }
}

#[test]
fn of_a_sequence_is_as_many_steps_and_starts_at_zero() {
    let (parameters, gru) = unit(3, 4);
    let x = random(&mut rng(72), &[2, 6, 3]);
    let tape = Tape::new();
    let p = parameters.bind(&tape);
    let x = tape.constant(x);
    let mut h = tape.full(&[2, 4], 0.0);
    let states = gru.forward(&p, x);
    assert_eq!(states.shape(), [2, 6, 4]);
    for t in 0..6 {
        h = gru.step(&p, x.slice(1, t..t + 1).squeeze(&[1]), h);
        let of_sequence = states.slice(1, t..t + 1).squeeze(&[1]);
        assert_eq!(of_sequence.value(), h.value(), "step {t}");
    }
}

#[test]
fn of_a_long_sequence_forgets_its_beginning_and_its_gradients_agree() {
    let shape = [2, 300, 2, 3];
    let (_, gru) = unit(2, 3);
    let values = inputs(73, shape);
    // The cotangent of the last state alone: it travels through all of the steps.
    let mut cotangent = ArrayD::zeros(vec![2, 300, 3]);
    cotangent.slice_mut(ndarray::s![.., 299, ..]).fill(1.0);
    let found = on_tape(&values, &cotangent, |v| unrolled(&gru, v));
    let expected = on_tape(&values, &cotangent, plain);
    for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_close(&format!("part {part}"), found, expected);
        assert!(found.iter().all(|x| x.is_finite()));
    }
    let start_bar = &found[6];
    assert!(start_bar.iter().all(|bar| bar.abs() < 1e-6), "{start_bar}");
}

#[test]
fn with_a_saturated_update_gate_keeps_its_state_and_passes_the_cotangent_on() {
    let (mut parameters, gru) = unit(2, 3);
    let bias = |r: f64, z: f64| {
        let of = |gate: usize| {
            if gate == 0 {
                r
            } else if gate == 1 {
                z
            } else {
                0.0
            }
        };
        Array1::from_shape_fn(9, |i| of(i / 3))
    };
    let x = random(&mut rng(74), &[2, 40, 2]);
    let start = random(&mut rng(75), &[2, 3]);
    let mut run = |r: f64, z: f64| {
        parameters.set("belief.bias_ih_l0", bias(r, z)).unwrap();
        let tape = Tape::new();
        let p = parameters.bind(&tape);
        let start = tape.variable(start.clone());
        let states = gru.forward_from(&p, tape.constant(x.clone()), start);
        let last = states.slice(1, 39..40).squeeze(&[1]);
        let gradients = tape.gradients(last.sum());
        let z_bar = gradients
            .wrt(p.vars()[2])
            .slice(ndarray::s![3..6])
            .to_owned();
        (
            last.value().into_owned(),
            gradients.wrt(start).into_owned(),
            z_bar,
        )
    };
    // z = 1 to the last bit: h stays. σ(-60) = 8.8e-27 remains of the slope: its digits are not lost in 1 - z.
    let (last, start_bar, z_bar) = run(0.0, 60.0);
    assert_eq!(last, start);
    assert_eq!(start_bar, ArrayD::<f64>::ones(start.raw_dim()));
    let (_, _, of_less) = run(0.0, 59.0);
    for (more, less) in z_bar.iter().zip(&of_less) {
        let ratio = less / more;
        assert!((ratio - 1f64.exp()).abs() < 1e-9, "{less} by {more}");
    }
    // z = 0 and r = 0: the state is tanh(W_n x + b_n + 0), and nothing of the first remains.
    let (last, start_bar, _) = run(-800.0, -800.0);
    assert!(start_bar.iter().all(|&bar| bar == 0.0));
    let (weight, x) = (parameters.get("belief.weight_ih_l0").unwrap(), &x);
    for i in 0..2 {
        for unit in 0..3 {
            let from_x: f64 = (0..2).map(|j| weight[[6 + unit, j]] * x[[i, 39, j]]).sum();
            assert!((last[[i, unit]] - from_x.tanh()).abs() < 1e-15);
        }
    }
}

#[test]
fn has_the_names_the_shapes_and_the_start_of_pytorchs() {
    let (parameters, gru) = unit(200, 64);
    assert_eq!(gru.units(), 64);
    let found: Vec<(&str, &[usize])> = parameters
        .iter()
        .map(|(name, value)| (name, value.shape()))
        .collect();
    let expected: [(&str, &[usize]); 4] = [
        ("belief.weight_ih_l0", &[192, 200]),
        ("belief.weight_hh_l0", &[192, 64]),
        ("belief.bias_ih_l0", &[192]),
        ("belief.bias_hh_l0", &[192]),
    ];
    assert_eq!(found, expected);
    for (name, value) in parameters.iter() {
        // Uniform on ±1/8: the variance is 1/192, its fourth moment 9/5 of that squared.
        let n = value.len() as f64;
        assert!(value.iter().all(|w| w.abs() <= 0.125), "{name}");
        let (mean, square) = (value.sum() / n, value.mapv(|w| w * w).sum() / n);
        assert!(
            mean.abs() < 4.0 * (1.0 / 192.0 / n).sqrt(),
            "{name}: {mean}"
        );
        let error = (0.8 / n).sqrt() / 192.0;
        assert!(
            (square - 1.0 / 192.0).abs() < 4.0 * error,
            "{name}: {square}"
        );
    }
    let mut single = Parameters::<f32>::new();
    Gru::new(&mut single, "belief", 200, 64, &mut rng(61));
    for ((_, single), (_, double)) in single.iter().zip(parameters.iter()) {
        assert_eq!(*single, double.mapv(|w| w as f32));
    }
}

#[test]
fn names_itself_and_every_shape_when_they_do_not_fit() {
    let (parameters, gru) = unit(3, 4);
    let attempt = |x: &[usize], h: &[usize]| {
        panic_message(|| {
            let tape = Tape::new();
            let p = parameters.bind(&tape);
            let [x, h] = [x, h].map(|shape| tape.constant(ArrayD::zeros(shape)));
            gru.forward_from(&p, x, h);
        })
    };
    assert_eq!(
        attempt(&[2, 5, 3], &[1, 4]),
        "gru: shapes [2, 5, 3] (batch, time, inputs) and [1, 4] (state of 4 units) do not fit"
    );
    for (x, h) in [
        (&[2, 5, 3][..], &[2, 3][..]),
        (&[2, 0, 3], &[2, 4]),
        (&[2, 3], &[2, 4]),
        (&[2, 5, 3], &[2, 1, 4]),
    ] {
        assert!(attempt(x, h).starts_with("gru: shapes "), "{x:?} {h:?}");
    }
    let empty = panic_message(|| drop(unit(0, 4)));
    assert!(empty.contains("found 0 and 4"), "{empty}");
    let matrix = Array2::<f64>::zeros((2, 3));
    let flat = panic_message(|| {
        let tape = Tape::new();
        gru.forward(&parameters.bind(&tape), tape.constant(matrix));
    });
    assert!(flat.starts_with("gru: shapes "), "{flat}");
}

/// Computed by ONNX Runtime 1.32 in single precision: its operator GRU with `linear_before_reset = 1`, which is PyTorch's
/// convention.
const BY_ONNX_RUNTIME: [[f64; 3]; 4] = [
    [0.17105697, -0.013027065, -0.62216842],
    [-0.43310627, -0.044877563, 0.16064397],
    [-0.17060363, -0.31182733, -0.000075764954],
    [0.020287625, -0.044681191, -0.4849624],
];

#[test]
fn is_the_unit_of_other_libraries() {
    let (inputs, units) = (2, 3);
    let table = |rows: usize, columns: usize, of: &dyn Fn(f64) -> f64| {
        Array2::from_shape_fn((rows, columns), |(i, j)| of((i * columns + j) as f64))
    };
    let weight_ih = table(3 * units, inputs, &|k| (1.0 + k).sin());
    let weight_hh = table(3 * units, units, &|k| (2.0 + k).cos());
    let bias_ih = Array1::from_shape_fn(3 * units, |i| 0.1 * (3.0 + i as f64).sin());
    let bias_hh = Array1::from_shape_fn(3 * units, |i| 0.1 * (4.0 + i as f64).cos());
    let x = table(4, inputs, &|k| (0.5 + 1.3 * k).sin());
    let (mut parameters, gru) = unit(inputs, units);
    let mut set = |name: &str, value: ArrayD<f64>| {
        let name = format!("belief.{name}_l0");
        parameters.set(&name, value).expect("of this shape");
    };
    set("weight_ih", weight_ih.into_dyn());
    set("weight_hh", weight_hh.into_dyn());
    set("bias_ih", bias_ih.into_dyn());
    set("bias_hh", bias_hh.into_dyn());
    let tape = Tape::new();
    let x = tape.constant(x.insert_axis(Axis(0)));
    let states = gru.forward(&parameters.bind(&tape), x).value();
    for (found, expected) in states.iter().zip(BY_ONNX_RUNTIME.as_flattened()) {
        // Single precision, after four steps.
        assert!((found - expected).abs() < 2e-7, "{found} and {expected}");
    }
}
