//! docs/variational.md#kl-nonnegative: KL(q ‖ p) >= 0, and 0 only where q = p; it is no metric.

mod limits;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::MultivariateGaussian;
use elbo::kl;
use elbo::kl::log_tables;
use ndarray::{Array2, ArrayD, arr1, arr2};
use rand::Rng;

use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::{random, rng};
use crate::common::reporting::report;
use crate::variational::shared::tables::{NEVER, logs, naive_divergence, probabilities};

fn plain_divergence(q: &[f64], p: &[f64]) -> f64 {
    let tape = Tape::new();
    let tables = [tape.constant(logs(q)), tape.constant(logs(p))];
    log_tables(tables[0], tables[1]).unwrap().item()
}

/// Rows of logits, divergence of their softmaxes.
fn of_logits<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let axis = v[0].ndim() - 1;
    log_tables(v[0].log_softmax(axis), v[1].log_softmax(axis)).unwrap()
}

#[test]
fn gradient_by_hand() {
    let mut rng = rng(104);
    let mut worst = Worst::default();
    for case in 0..60 {
        let states = 2 + case % 6;
        // Every third q and every fourth p has an impossible state; where p has one, so has q.
        let (mut a, mut b) = (random(&mut rng, &[states]), random(&mut rng, &[states]));
        if case % 3 == 0 {
            a[1] = NEVER;
        }
        if case % 12 == 0 {
            b[1] = NEVER;
        }
        let tape = Tape::new();
        let v = [tape.variable(a), tape.variable(b)];
        let kl = of_logits(&v);
        let gradients = tape.gradients(kl);
        let (q, p) = (v[0].softmax(0).value(), v[1].softmax(0).value());
        let by_a = ArrayD::from_shape_fn(q.raw_dim(), |k| match q[&k] > 0.0 {
            true => q[&k] * ((q[&k] / p[&k]).ln() - kl.item()),
            false => 0.0,
        });
        for (v, exact) in [(v[0], by_a), (v[1], &p - &q)] {
            for (found, exact) in gradients.wrt(v).iter().zip(&exact) {
                worst.number(*found, *exact, 1.0);
            }
        }
    }
    worst.within(REARRANGED, "q (log q/p - KL) and p - q, absolute");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(105);
    let mut checked = Checked::default();
    for shape in [vec![2], vec![5], vec![3, 4], vec![2, 1, 3]] {
        let point = [random(&mut rng, &shape), random(&mut rng, &shape)];
        let check = Check::new("kl-nonnegative");
        checked.add(check.run(&point, of_logits).unwrap());
        checked.add(check.run_second_order(&point, of_logits).unwrap());
    }
    checked.print("first and second order");
}

#[test]
fn against_the_definition() {
    let mut rng = rng(101);
    let mut worst = Worst::default();
    for case in 0..600 {
        let states = 1 + case % 9;
        let q = probabilities(&mut rng, states, case % 2 == 1);
        let p = probabilities(&mut rng, states, false);
        worst.number(plain_divergence(&q, &p), naive_divergence(&q, &p), 1.0);
    }
    worst.within(REARRANGED, "600 pairs of tables, absolute");
}

#[test]
fn with_rows_that_broadcast() {
    let mut rng = rng(102);
    let q: Vec<Vec<f64>> = (0..3).map(|_| probabilities(&mut rng, 4, true)).collect();
    let p = probabilities(&mut rng, 4, false);
    let tape = Tape::new();
    let log_q = Array2::from_shape_fn((3, 4), |(i, k)| q[i][k].ln());
    let found = log_tables(tape.constant(log_q), tape.constant(logs(&p))).unwrap();
    assert_eq!(found.shape(), [3]);
    for (row, q) in q.iter().enumerate() {
        assert!((found.value()[row] - naive_divergence(q, &p)).abs() < 1e-14);
    }
}

#[test]
fn and_zero_only_where_the_tables_agree() {
    let mut rng = rng(103);
    let (mut lowest, mut naive_lowest) = (f64::INFINITY, f64::INFINITY);
    for case in 0..3000 {
        let states = 2 + case % 7;
        let q = probabilities(&mut rng, states, case % 3 == 0);
        assert_eq!(plain_divergence(&q, &q), 0.0);
        let size = 10f64.powf(-rng.random_range(0.0..12.0));
        let other = probabilities(&mut rng, states, false);
        let p: Vec<f64> = q
            .iter()
            .zip(&other)
            .map(|(q, o)| (1.0 - size) * q + size * o)
            .collect();
        let found = plain_divergence(&q, &p);
        // Pinsker: at least half of the squared distance, which is 0 for equal tables only.
        let distance: f64 = q.iter().zip(&p).map(|(q, p)| (q - p).abs()).sum();
        assert!(
            found >= 0.499 * distance.powi(2) - 1e-30,
            "{found} {distance}"
        );
        lowest = lowest.min(found);
        naive_lowest = naive_lowest.min(naive_divergence(&q, &p));
    }
    report(format!(
        "lowest of 3000 divergences {lowest:.1e}, from the definition as written {naive_lowest:.1e}"
    ));
    assert!(lowest >= 0.0);
    assert!(
        naive_lowest < 0.0,
        "the definition as written rounds below 0"
    );
}

#[test]
fn but_no_metric() {
    let coin = |p: f64| [p, 1.0 - p];
    let kl = |q: f64, p: f64| plain_divergence(&coin(q), &coin(p));
    report(format!(
        "KL(0.5, 0.1) = {:.4}, KL(0.1, 0.5) = {:.4}",
        kl(0.5, 0.1),
        kl(0.1, 0.5)
    ));
    assert!((kl(0.5, 0.1) - 0.5108).abs() < 1e-4 && (kl(0.1, 0.5) - 0.3681).abs() < 1e-4);
    // The detour over 0.25 is shorter than the straight way, and so it is for the sum of both directions.
    let (straight, detour) = (kl(0.5, 0.1), kl(0.5, 0.25) + kl(0.25, 0.1));
    report(format!("straight {straight:.4}, with a detour {detour:.4}"));
    assert!(detour < straight);
    assert!((kl(0.5, 0.25) - 0.144).abs() < 5e-4 && (kl(0.25, 0.1) - 0.092).abs() < 5e-4);
    let both = |q, p| kl(q, p) + kl(p, q);
    assert!(both(0.5, 0.25) + both(0.25, 0.1) < both(0.5, 0.1));
    // The directions agree where a reflection exchanges the two, different though they are.
    assert!(kl(0.2, 0.8) > 0.5 && (kl(0.2, 0.8) - kl(0.8, 0.2)).abs() < 1e-15);
    let tape = Tape::new();
    let normal = |mean: f64| {
        let (mean, variance) = (tape.constant(arr1(&[mean])), tape.constant(arr2(&[[1.0]])));
        MultivariateGaussian::from_covariance(mean, variance).unwrap()
    };
    let (near, far) = (normal(0.0), normal(1.5));
    for directed in [
        kl::gaussian_full(&near, &far),
        kl::gaussian_full(&far, &near),
    ] {
        assert!((directed.item() - 0.5 * 1.5f64.powi(2)).abs() < 1e-15);
    }
    // One direction is infinite, the other is not.
    assert_eq!(kl(0.5, 0.0), f64::INFINITY);
    assert!((kl(0.0, 0.5) - 2f64.ln()).abs() < 1e-15);
    // Far apart, where e^t overflows or q rounds to 0, nothing is NaN.
    let tape = Tape::new();
    let table = |a: f64| tape.constant(arr1(&[0.0, a])).log_softmax(0);
    for (q, p, expected) in [
        (-800.0, 0.0, 2f64.ln()),
        (0.0, -800.0, 400.0 - 2f64.ln()),
        (-800.0, -1500.0, 0.0),
        (-800.0, NEVER, f64::INFINITY),
    ] {
        let found = log_tables(table(q), table(p)).unwrap().item();
        assert!(
            found == expected || (found - expected).abs() < 1e-12,
            "{q} {p} {found}"
        );
    }
}
