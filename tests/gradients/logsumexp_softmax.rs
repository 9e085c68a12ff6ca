//! docs/gradients.md#logsumexp-softmax: the gradient of log Σ e^x is p = softmax(x), its Hessian diag p - ppᵀ, and
//! neither overflows.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::gradients::{hessian_product, softmax_jacobian};
use ndarray::{Array1, Array2, ArrayD, Axis, IxDyn, arr1, arr2};

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, Worst};
use crate::common::random::{random, rng, vector};
use crate::gradients::shared::dynamic;

#[test]
fn by_hand() {
    let mut rng = rng(151);
    let (mut value, mut gradient, mut hessian) =
        (Worst::default(), Worst::default(), Worst::default());
    for n in [1, 2, 5, 12] {
        let x = vector(&mut rng, n) * 3.0;
        let total: f64 = x.iter().map(|x| x.exp()).sum();
        let p = x.mapv(|x| x.exp() / total);
        let tape = Tape::new();
        let vx = tape.variable(x.clone());
        let y = vx.logsumexp();
        value.number(y.item(), total.ln(), total.ln().abs());
        let first = tape.differentiable_gradients(y).wrt(vx);
        gradient.entries(&owned(first.value()), &p.clone().into_dyn());
        gradient.entries(&owned(vx.softmax(0).value()), &p.clone().into_dyn());
        let by_hand = Array2::from_shape_fn((n, n), |(i, j)| p[i] * (f64::from(i == j) - p[j]));
        hessian.entries(&dynamic(&softmax_jacobian(p.view())), &dynamic(&by_hand));
        for i in 0..n {
            let row = tape.gradients(first.slice(0, i..i + 1).sum()).wrt(vx);
            hessian.entries(&owned(row), &by_hand.row(i).to_owned().into_dyn());
            let row = tape
                .gradients(vx.softmax(0).slice(0, i..i + 1).sum())
                .wrt(vx);
            hessian.entries(&owned(row), &by_hand.row(i).to_owned().into_dyn());
        }
        // vᵀ(diag p - ppᵀ)v is the variance of v under p; along the ones it is 0.
        let v = vector(&mut rng, n);
        let mean = p.dot(&v);
        let variance = p.dot(&v.mapv(|v| (v - mean).powi(2)));
        let product = hessian_product(x.clone(), v.clone(), |x| x.logsumexp());
        let form: f64 = product.iter().zip(&v).map(|(a, b)| a * b).sum();
        hessian.number(form, variance, 4.0);
        let ones = hessian_product(x, Array1::ones(n), |x| x.logsumexp());
        ones.iter().for_each(|&g| hessian.number(g, 0.0, 1.0));
    }
    value.within(1e-14, "log Σ e^x: hand = tape");
    gradient.within(1e-13, "gradient = softmax");
    hessian.within(1e-13, "Hessian = diag p - ppᵀ");
}

#[test]
fn pullbacks() {
    // Softmax: x̄ = y ⊙ (ȳ - ⟨ȳ, y⟩). Log-softmax: x̄ = ȳ - y Σ ȳ. Along each axis of a stack.
    let mut rng = rng(152);
    let (mut worst, mut checked) = (Worst::default(), Checked::default());
    for (shape, axis) in [(&[4][..], 0), (&[3, 5], 1), (&[3, 5], 0), (&[2, 3, 4], 1)] {
        let (x, y_bar) = (random(&mut rng, shape), random(&mut rng, shape));
        let exponential = x.mapv(f64::exp);
        let along = |x: &ArrayD<f64>| x.sum_axis(Axis(axis)).insert_axis(Axis(axis));
        let y = &exponential / &along(&exponential);
        let tape = Tape::new();
        let vx = tape.variable(x.clone());
        let pulled =
            |output: Var<'_, f64>| owned(tape.pull_back(output, y_bar.clone(), &[]).wrt(vx));
        worst.entries(
            &pulled(vx.softmax(axis)),
            &(&y * &(&y_bar - &along(&(&y_bar * &y)))),
        );
        worst.entries(
            &pulled(vx.log_softmax(axis)),
            &(&y_bar - &(&y * &along(&y_bar))),
        );
        // A cotangent of ones cannot tell a softmax from a constant.
        let ones = tape.pull_back(vx.softmax(axis), ArrayD::ones(IxDyn(shape)), &[]);
        ones.wrt(vx).iter().for_each(|&g| worst.number(g, 0.0, 1.0));
        let check = Check::new("logsumexp-softmax");
        let point = [x];
        checked.add(check.run(&point, |v| v[0].softmax(axis)).unwrap());
        checked.add(check.run(&point, |v| v[0].log_softmax(axis)).unwrap());
        checked.add(check.run(&point, |v| v[0].logsumexp_axes(&[axis])).unwrap());
        checked.add(
            check
                .run_second_order(&point, |v| v[0].softmax(axis))
                .unwrap(),
        );
        checked.add(
            check
                .run_second_order(&point, |v| v[0].log_softmax(axis))
                .unwrap(),
        );
        checked.add(
            check
                .run_second_order(&point, |v| v[0].logsumexp_axes(&[axis]))
                .unwrap(),
        );
    }
    worst.within(1e-13, "pullbacks: hand = autodiff");
    checked.print("first and second order");
}

#[test]
fn hessian_of_a_sure_class() {
    // p - p² has no digit of e^-40 left; p times the sum of the others has all.
    let mut rng = rng(155);
    for n in [2, 3, 7] {
        for scale in [1.0, 40.0, 300.0] {
            let mut x = vector(&mut rng, n);
            x[n / 2] += scale;
            let p = owned(Tape::new().constant(x).softmax(0).value());
            let hessian = softmax_jacobian(p.view().into_dimensionality().unwrap());
            assert_eq!(hessian, hessian.t());
            for (i, row) in hessian.outer_iter().enumerate() {
                // What lies on the diagonal is what the others in its row take away: no less, as an eigenvalue below 0 needs.
                assert!(row[i] > 0.0 && row.sum().abs() <= 1e-14 * row[i], "{row}");
            }
        }
    }
    let p = arr1(&[1.0, (-40f64).exp()]);
    let small = p[1];
    assert_eq!(
        softmax_jacobian(p.view()),
        arr2(&[[small, -small], [-small, small]])
    );
    assert_eq!(softmax_jacobian(arr1(&[1.0]).view()), arr2(&[[0.0]]));
}

#[test]
fn far_from_zero() {
    let mut rng = rng(153);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for offset in [1e3, -1e3, 1e6, 2f64.powi(40)] {
        // Numbers with few digits, so that x + c itself is exact.
        let x = vector(&mut rng, 6).mapv(|x| (x * 1024.0).round() / 1024.0);
        let moved = &x + offset;
        let on = |x: &Array1<f64>| {
            let tape = Tape::new();
            let vx = tape.variable(x.clone());
            let y = vx.logsumexp();
            (
                y.item(),
                owned(tape.gradients(y).wrt(vx)),
                owned(vx.log_softmax(0).value()),
            )
        };
        let (near, far) = (on(&x), on(&moved));
        value.number(far.0, near.0 + offset, offset.abs());
        value.entries(&far.2, &near.2);
        // e^(x - y): the digits that x + c pushed out of y are missing in the exponent.
        let lost = f64::EPSILON * offset.abs();
        for (found, expected) in far.1.iter().zip(&near.1) {
            assert!((found / expected - 1.0).abs() <= 2.0 * lost + 1e-14);
        }
        let tape = Tape::new();
        let softmax = |x: &Array1<f64>| owned(tape.constant(x.clone()).softmax(0).value());
        gradient.entries(&softmax(&moved), &softmax(&x));
        let naive = moved.iter().map(|x| x.exp()).sum::<f64>().ln();
        assert!(naive.is_infinite(), "log Σ e^x as it stands is {naive}");
    }
    value.within(
        1e-15,
        "log Σ e^(x+c) = c + log Σ e^x, and log-softmax unmoved",
    );
    gradient.within(1e-15, "softmax unmoved");
}

#[test]
fn between_the_largest_and_log_n_more() {
    let mut rng = rng(154);
    for n in [1, 2, 7, 100] {
        for scale in [0.0, 1e-3, 1.0, 1e3] {
            let x = vector(&mut rng, n) * scale;
            let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let y = Tape::new().constant(x).logsumexp().item();
            assert!(y >= largest && y <= largest + (n as f64).ln() + 1e-12);
        }
    }
    // What is -∞ adds nothing and receives nothing; where all are, so is the result.
    let tape = Tape::new();
    let x = tape.variable(arr1(&[0.5, f64::NEG_INFINITY, 0.5]));
    let y = x.logsumexp();
    assert!((y.item() - (0.5 + 2f64.ln())).abs() < 1e-15);
    assert_eq!(tape.gradients(y).wrt(x)[1], 0.0);
    let none = tape.constant(arr1(&[f64::NEG_INFINITY; 3]));
    assert_eq!(none.logsumexp().item(), f64::NEG_INFINITY);
}

#[test]
fn in_two_steps_loses_what_is_far_below() {
    let two_steps = |below: f64| ((-below).exp() / (1.0 + (-below).exp())).ln();
    assert!(two_steps(745.13).is_finite() && two_steps(745.14) == f64::NEG_INFINITY);
    let tape = Tape::new();
    let x = tape.variable(arr1(&[0.0, -745.14]));
    assert_eq!(x.log_softmax(0).value()[1], -745.14);
}
