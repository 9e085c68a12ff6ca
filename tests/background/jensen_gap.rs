//! docs/background.md#jensen-gap: E log w is at most log E w, and equal only for a constant weight.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::background::{BadData, Jensen, categorical_gradient, jensen, log_normal_jensen};
use elbo::distributions::Estimate;
use elbo::distributions::noise::standard_normal;
use ndarray::{Array1, arr1};

use crate::common::arrays::{Expression, owned, softmax};
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::quadrature::{QUADRATURE, gauss_hermite};
use crate::common::random::{random, rng, vector};
use crate::common::reporting::report;
use crate::common::statistics::Statistics;

const INF: f64 = f64::INFINITY;

/// log E w, E log w and the gap for q = softmax(a).
fn sides<'t>(v: &[Var<'t, f64>]) -> Jensen<'t, f64> {
    jensen(v[0].log_softmax(0), v[1]).unwrap()
}

#[test]
fn by_hand() {
    let mut rng = rng(141);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for k in [1, 2, 3, 8] {
        for size in [0.1, 1.0, 30.0] {
            let (a, log_w) = (vector(&mut rng, k), vector(&mut rng, k) * size);
            let tape = Tape::new();
            let v = [tape.variable(a.clone()), tape.variable(log_w.clone())];
            let Jensen {
                log_mean,
                mean_log,
                gap,
            } = sides(&v);
            let (q, w) = (softmax(&a), log_w.mapv(f64::exp));
            let by_hand = [q.dot(&w).ln(), q.dot(&log_w)];
            let scale = by_hand[0].abs().max(by_hand[1].abs()).max(1.0);
            value.number(log_mean.item(), by_hand[0], scale);
            value.number(mean_log.item(), by_hand[1], scale);
            value.number(gap.item(), by_hand[0] - by_hand[1], scale);
            assert!(gap.item() >= 0.0);
            // ∂ gap/∂ log w = q w/E w - q: the weights' shares less the probabilities.
            let share = &q * &w / q.dot(&w);
            let gradients = tape.gradients(gap);
            gradient.entries(&owned(gradients.wrt(v[1])), &(&share - &q).into_dyn());
            // ∂ gap/∂ a = share - q - q ⊙ (log w - E log w).
            let logs = categorical_gradient(q.view(), log_w.view());
            gradient.entries(&owned(gradients.wrt(v[0])), &(share - &q - logs).into_dyn());
        }
    }
    value.within(REARRANGED, "both sides: hand = tape");
    gradient.within(1e-12, "gradient of the gap: hand = autodiff");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(142);
    let mut checked = Checked::default();
    for k in [1, 2, 5] {
        for size in [1.0, 15.0] {
            let point = [random(&mut rng, &[k]), random(&mut rng, &[k]) * size];
            for f in [
                |v: &[_]| sides(v).log_mean,
                |v: &[_]| sides(v).mean_log,
                |v: &[_]| sides(v).gap,
            ] as [Expression; 3]
            {
                let check = Check::new("jensen-gap");
                checked.add(check.run(&point, f).unwrap());
                checked.add(check.run_second_order(&point, f).unwrap());
            }
        }
    }
    checked.print("both sides and the gap, first and second order");
}

#[test]
fn of_a_log_normal_weight() {
    // log w = μ + σε at the nodes of a Gauss–Hermite rule, whose weights are the probabilities.
    let rule = gauss_hermite(40);
    let mut worst = Worst::default();
    for (mean, variance) in [
        (0.0, 0.01),
        (-1.3, 0.5),
        (2.0, 1.0),
        (40.0, 4.0),
        (0.7, 0.0),
    ] {
        let tape = Tape::new();
        let log_q = tape.constant(Array1::from_iter(rule.iter().map(|node| node.1.ln())));
        let deviation: f64 = f64::sqrt(variance);
        let log_w = tape.constant(Array1::from_iter(
            rule.iter().map(|node| mean + deviation * node.0),
        ));
        let found = jensen(log_q, log_w).unwrap();
        let expected = log_normal_jensen(mean, variance).unwrap();
        let found = [found.log_mean, found.mean_log, found.gap].map(|side| side.item());
        for (found, expected) in found.iter().zip(expected) {
            worst.number(*found, expected, expected.abs().max(1.0));
        }
    }
    worst.within(QUADRATURE, "log-normal: closed form = quadrature");
    assert!(log_normal_jensen(0.0, -1.0).is_err() && log_normal_jensen(f64::NAN, 1.0).is_err());
}

#[test]
fn from_draws() {
    // The mean of n weights has an expectation of exactly E w, its logarithm one below log E w: the gap of the mean
    // shrinks with n, from σ²/2 for n = 1.
    let (sigma, repetitions) = (1.0f64, 100_000usize);
    let mut rng = rng(143);
    let mut last = -INF;
    let [log_mean, mean_log, _] = log_normal_jensen(0.0, sigma * sigma).unwrap();
    for n in [1usize, 2, 4, 8] {
        let tape = Tape::new();
        let noise = owned(standard_normal(&tape, &[repetitions, n], &mut rng).value());
        let weights = noise.mapv(|e| (sigma * e).exp());
        let means: Vec<f64> = weights
            .rows()
            .into_iter()
            .map(|row| row.mean().unwrap())
            .collect();
        let logs = Estimate::of(means.iter().map(|w| w.ln())).unwrap();
        Statistics::of(&means).agree_with(log_mean.exp(), &format!("mean of {n} weights"));
        report(format!(
            "E log of the mean of {n} weights: {logs}, log E w = {log_mean}"
        ));
        if n == 1 {
            assert!(logs.distance(mean_log).abs() < 4.0);
        }
        assert!(logs.mean > last && logs.mean + 4.0 * logs.standard_error < log_mean);
        last = logs.mean;
    }
}

#[test]
fn is_zero_only_for_constant_weights() {
    let gap = |q: &[f64], log_w: &[f64]| {
        let tape = Tape::new();
        let log_q = tape.constant(arr1(q).mapv(f64::ln));
        jensen(log_q, tape.constant(arr1(log_w))).map(|sides| sides.gap.item())
    };
    assert_eq!(gap(&[0.25, 0.75], &[3.0, 3.0]).unwrap(), 0.0);
    // Almost surely constant: what q never draws does not matter, not even if it is 0.
    assert_eq!(gap(&[0.0, 1.0], &[-INF, 3.0]).unwrap(), 0.0);
    assert_eq!(gap(&[0.0, 0.5, 0.5], &[700.0, 3.0, 3.0]).unwrap(), 0.0);
    // Nearly constant: half of the variance of log w, to the last digits of it.
    for size in [1e-3, 1e-6, 1e-9] {
        let found = gap(&[0.5, 0.5], &[7.0 + size, 7.0 - size]).unwrap();
        let apart = (7.0 + size) - (7.0 - size);
        let expected = (0.5 * apart).powi(2) / 2.0;
        let error = (found / expected - 1.0).abs();
        report(format!(
            "log w = 7 ± {size:e}: relative error of the gap {error:.1e}"
        ));
        assert!(error < size * size + 1e-15 / size);
    }
    // A weight of 0 that is drawn makes E log w = -∞, and the bound useless.
    assert_eq!(gap(&[0.1, 0.9], &[-INF, 3.0]).unwrap(), INF);
    assert_eq!(
        gap(&[0.5, 0.5], &[-INF, -INF]).unwrap_err(),
        BadData::Impossible { row: 0 }
    );
    assert!(gap(&[0.5, 0.5], &[f64::NAN, 0.0]).is_err() && gap(&[0.5, 0.5], &[INF, 0.0]).is_err());
    assert!(gap(&[0.5, 0.6], &[0.0, 0.0]).is_err() && gap(&[], &[]).is_err());
    // Far apart: no overflow.
    let far = gap(&[0.5, 0.5], &[0.0, 2000.0]).unwrap();
    assert!((far - (1000.0 + 0.5f64.ln())).abs() < 1e-10);
}

#[test]
fn is_never_negative_and_no_nan() {
    let sides = |log_q: &[f64], log_w: &[f64]| {
        let tape = Tape::new();
        let sides = jensen(tape.constant(arr1(log_q)), tape.constant(arr1(log_w))).unwrap();
        [sides.log_mean, sides.mean_log, sides.gap].map(|y| y.item())
    };
    let half = 0.5f64.ln();
    // What is possible, though q rounds to 0, makes E log w = -∞.
    assert_eq!(sides(&[0.0, -800.0], &[0.0, -INF]), [0.0, -INF, INF]);
    // An impossible state that differs, far from log w = 0.
    for i in 0..1000 {
        let log_w = -100.0 - 0.77 * f64::from(i);
        for other in [0.0, -INF, 700.0] {
            let [_, _, gap] = sides(&[half, half, -INF], &[log_w, log_w, other]);
            assert_eq!(gap, 0.0, "log w = {log_w}");
        }
    }
    // Nearly constant weights: half of the variance of log w, which is q (1 - q) 10⁻¹².
    let at = -999.7;
    let [_, _, gap] = sides(&[half, half, -INF], &[at, at + 1e-6, 0.0]);
    assert!((gap / 1.25e-13 - 1.0).abs() < 1e-6, "{gap:e}");
    let quarter = 0.25f64.ln();
    let [_, _, gap] = sides(&[quarter, 0.75f64.ln(), -INF], &[at, at + 1e-6, 0.0]);
    assert!((gap / 9.375e-14 - 1.0).abs() < 1e-6, "{gap:e}");
    // A rare state far above the others: log(1 + q (e^d - 1 - d)).
    for (log_q, d) in [(-700.0, 40.0), (-800.0, 600.0), (-800.0, 790.0f64)] {
        let [_, _, gap] = sides(&[0.0, log_q], &[-500.0, -500.0 + d]);
        let expected = (log_q + d).exp().ln_1p();
        assert!(
            (gap - expected).abs() <= 1e-11 * expected,
            "{gap:e} {expected:e}"
        );
        // And far below: q (d - 1).
        let q = (-30f64).exp();
        let [_, _, gap] = sides(&[(-q).ln_1p(), -30.0], &[-500.0, -500.0 - d]);
        let expected = q * (d - 1.0);
        assert!((gap / expected - 1.0).abs() < 1e-9, "{gap:e} {expected:e}");
    }
}
