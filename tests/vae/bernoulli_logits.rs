//! docs/vae.md#bernoulli-logits: log p(x) = Σ x a - softplus(a) and its gradient x - σ(a), finite for every logit.

mod limits;

use elbo::Scalar;
use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::Bernoulli;
use ndarray::{Array2, ArrayD, Axis, arr1};
use rand::Rng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::{random, rng};
use crate::common::reporting::report;
use crate::vae::shared::networks::{grey, sigmoid, softplus};

/// log p(x) for data and logits.
fn coins<'t, T: Scalar>(v: &[Var<'t, T>]) -> Var<'t, T> {
    Bernoulli { logits: v[1] }.log_density(v[0])
}

/// Σ x a - softplus(a), operation by operation.
fn coins_composed<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    (v[0] * v[1] - v[1].softplus()).sum_last()
}

/// log p(x) and its derivative with respect to a, of a single coin.
fn coin<T: Scalar>(x: f64, a: f64) -> [f64; 2] {
    let tape = Tape::new();
    let v = [x, a].map(|number| tape.variable(arr1(&[T::of(number)])));
    let y = coins(&v);
    let slope = tape.gradients(y).wrt(v[1]).sum();
    [y.item().as_f64(), slope.as_f64()]
}

/// x log p + (1-x) log(1-p), with p = σ(a) rounded: the form that is not used.
fn naive<T: Scalar>(x: T, a: T) -> T {
    let p = T::one() / (T::one() + (-a).exp());
    x * p.ln() + (T::one() - x) * (T::one() - p).ln()
}

/// Shapes of data and logits.
const COINS: [[&[usize]; 2]; 7] = [
    [&[4], &[4]],
    [&[3, 5], &[3, 5]],
    [&[3, 5], &[2, 3, 5]],
    [&[4, 3], &[3]],
    [&[2, 1], &[2, 4]],
    [&[2, 4], &[2, 1]],
    [&[1], &[1]],
];

/// Sums over the axes along which `shape` was broadcast.
fn summed(mut array: ArrayD<f64>, shape: &[usize]) -> ArrayD<f64> {
    while array.ndim() > shape.len() {
        array = array.sum_axis(Axis(0));
    }
    for (axis, &length) in shape.iter().enumerate() {
        if length == 1 {
            array = array.sum_axis(Axis(axis)).insert_axis(Axis(axis));
        }
    }
    array
}

#[test]
fn by_hand() {
    let mut rng = rng(51);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for [data, logits] in COINS {
        let (x, a) = (grey(&mut rng, data), random(&mut rng, logits) * 3.0);
        let terms = &x * &a - a.mapv(softplus);
        let expected = terms.sum_axis(Axis(terms.ndim() - 1));
        let cotangent = random(&mut rng, expected.shape());
        let weight = cotangent.clone().insert_axis(Axis(terms.ndim() - 1));
        // ȳ (x - σ(a)), and ȳ a; summed where an operand was broadcast.
        let a_bar = summed(&weight * &(&x - &a.mapv(sigmoid)), logits);
        let x_bar = summed(&weight * &a + ArrayD::<f64>::zeros(terms.raw_dim()), data);
        for f in [coins, coins_composed] {
            let tape = Tape::new();
            let v = [tape.variable(x.clone()), tape.variable(a.clone())];
            let y = f(&v);
            let gradients = tape.pull_back(y, cotangent.clone(), &[]);
            value.entries(&owned(y.value()), &expected);
            gradient.entries(&owned(gradients.wrt(v[0])), &x_bar);
            gradient.entries(&owned(gradients.wrt(v[1])), &a_bar);
        }
    }
    value.within(REARRANGED, "value: hand = autodiff");
    gradient.within(REARRANGED, "gradient: hand = autodiff");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(52);
    let mut checked = Checked::default();
    for [data, logits] in COINS {
        let point = [grey(&mut rng, data), random(&mut rng, logits) * 2.0];
        let check = Check::new("bernoulli-logits");
        checked.add(check.run(&point, coins).unwrap());
        checked.add(check.run_second_order(&point, coins).unwrap());
    }
    checked.print("first and second order");
}

#[test]
fn by_the_naive_form() {
    let mut rng = rng(53);
    let mut worst = Worst::default();
    for _ in 0..2000 {
        let a = rng.random_range(-5.0..5.0);
        for x in [0.0, 1.0, rng.random()] {
            worst.number(coin::<f64>(x, a)[0], naive(x, a), 1.0);
        }
    }
    worst.within(REARRANGED, "naive form for |a| < 5, absolute");
}

#[test]
fn sum_to_one_over_all_outcomes() {
    let mut rng = rng(54);
    let mut worst = Worst::default();
    for d in 1..=10 {
        let a = random(&mut rng, &[d]) * 3.0;
        let outcomes = Array2::from_shape_fn(
            (1 << d, d),
            |(i, j)| if i >> j & 1 == 1 { 1.0 } else { 0.0 },
        );
        let tape = Tape::new();
        let log_p = coins(&[tape.constant(outcomes), tape.constant(a)]);
        assert_eq!(
            log_p.shape(),
            [1 << d],
            "one number for each datum, in nats"
        );
        worst.number(log_p.value().mapv(f64::exp).sum(), 1.0, 1.0);
    }
    worst.within(REARRANGED, "Σ p(x) over {0, 1}^d, d up to 10");
}

#[test]
fn with_grey_pixels_are_a_mean_over_binary_ones() {
    // Draw each pixel 1 with probability x: the expected log-probability is that of the grey x.
    let mut rng = rng(55);
    let mut worst = Worst::default();
    for _ in 0..100 {
        let (x, a) = (rng.random::<f64>(), rng.random_range(-8.0..8.0));
        let mean = x * coin::<f64>(1.0, a)[0] + (1.0 - x) * coin::<f64>(0.0, a)[0];
        worst.number(coin::<f64>(x, a)[0], mean, 1.0);
        // Largest at σ(a) = x, where it is minus the entropy of the coin, not 0.
        let best = coin::<f64>(x, (x / (1.0 - x)).ln());
        worst.number(best[0], x * x.ln() + (1.0 - x) * (1.0 - x).ln(), 1.0);
        worst.number(best[1], 0.0, 1.0);
    }
    worst.within(REARRANGED, "grey pixels = mean over binary ones");
}

#[test]
fn with_grey_pixels_are_no_density() {
    // ∫ e^(x a - softplus(a)) dx over [0, 1] = tanh(a/2)/a, at most ½, by Simpson's rule.
    let mut worst = Worst::default();
    let intervals = 2000;
    let x = Array2::from_shape_fn((intervals + 1, 1), |(i, _)| i as f64 / intervals as f64);
    for a in [-30.0, -6.0, -1.0, -0.01, 0.0, 0.5, 2.0, 10.0] {
        let tape = Tape::new();
        let y = coins(&[tape.constant(x.clone()), tape.constant(arr1(&[a]))]).exp();
        let weight = |i| match i {
            0 => 1.0,
            i if i == intervals => 1.0,
            i => [2.0, 4.0][i % 2],
        };
        let sum: f64 = y
            .value()
            .iter()
            .enumerate()
            .map(|(i, y)| weight(i) * y)
            .sum();
        let integral = sum / (3.0 * intervals as f64);
        let exact = if a == 0.0 { 0.5 } else { (0.5 * a).tanh() / a };
        report(format!("a = {a}: the integral is {integral:.6}"));
        worst.number(integral, exact, 1.0);
        assert!(integral <= 0.5 + 1e-12);
    }
    worst.within(1e-9, "integral over grey values = tanh(a/2)/a");
}
