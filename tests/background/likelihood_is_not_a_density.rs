//! docs/background.md#likelihood-is-not-a-density: over the data a likelihood sums to 1, over the parameter its area is
//! something else, and its score is 0 at its maximum.

mod limits;

use std::f64::consts::TAU;

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::background::{
    Trials, UnivariateGaussian, gaussian_log_likelihood, gaussian_maximum_likelihood,
    gaussian_score,
};
use elbo::distributions::{DiagonalGaussian, ln_gamma};
use ndarray::{Array1, arr1};
use rand::Rng;

use crate::common::arrays::{Expression, owned};
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::quadrature::{QUADRATURE, gauss_legendre, trapezium};
use crate::common::random::{matrix, random, rng, vector};
use crate::common::reporting::report;

#[test]
fn and_its_score_is_zero_at_its_maximum() {
    let mut rng = rng(113);
    let (mut score, mut at_maximum) = (Worst::default(), Worst::default());
    for (n, d) in [(2, 1), (5, 3), (40, 2), (3, 8)] {
        let data = matrix(&mut rng, [n, d]);
        let (mean, log_variance) = gaussian_maximum_likelihood(data.view()).unwrap();
        for here in [false, true] {
            let (mean, log_variance) = match here {
                true => (mean.clone(), log_variance.clone()),
                false => (vector(&mut rng, d), vector(&mut rng, d)),
            };
            let tape = Tape::new();
            let parameters = DiagonalGaussian {
                mean: tape.variable(mean.clone()),
                log_variance: tape.variable(log_variance.clone()),
            };
            let log_likelihood = gaussian_log_likelihood(tape.constant(data.clone()), &parameters);
            let gradients = tape.gradients(log_likelihood);
            let found = [
                owned(gradients.wrt(parameters.mean)),
                owned(gradients.wrt(parameters.log_variance)),
            ];
            let (m, s) = gaussian_score(data.view(), mean.view(), log_variance.view());
            for (found, by_hand) in found.iter().zip([m.into_dyn(), s.into_dyn()]) {
                if here {
                    // n terms of size about 1 cancel.
                    found
                        .iter()
                        .for_each(|g| at_maximum.number(*g, 0.0, n as f64));
                    by_hand
                        .iter()
                        .for_each(|g| at_maximum.number(*g, 0.0, n as f64));
                } else {
                    score.entries(found, &by_hand);
                }
            }
        }
        // And it is a maximum: no step leads higher.
        let value = |mean: &Array1<f64>, log_variance: &Array1<f64>| {
            let tape = Tape::new();
            let parameters = DiagonalGaussian {
                mean: tape.constant(mean.clone()),
                log_variance: tape.constant(log_variance.clone()),
            };
            gaussian_log_likelihood(tape.constant(data.clone()), &parameters).item()
        };
        let highest = value(&mean, &log_variance);
        for _ in 0..50 {
            let size = rng.random_range(0.01..1.0);
            let (u, v) = (vector(&mut rng, d) * size, vector(&mut rng, d) * size);
            assert!(value(&(&mean + &u), &(&log_variance + &v)) < highest);
        }
    }
    score.within(REARRANGED, "score: hand = autodiff");
    at_maximum.within(REARRANGED, "score at the maximum = 0");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(114);
    let mut checked = Checked::default();
    let log_likelihood: Expression = |v| {
        let parameters = DiagonalGaussian {
            mean: v[0],
            log_variance: v[1],
        };
        gaussian_log_likelihood(v[2], &parameters)
    };
    for (n, d) in [(1, 1), (4, 3), (2, 5)] {
        let point = [
            random(&mut rng, &[d]),
            random(&mut rng, &[d]),
            random(&mut rng, &[n, d]),
        ];
        let check = Check::new("likelihood-is-not-a-density");
        checked.add(check.run(&point, log_likelihood).unwrap());
        checked.add(check.run_second_order(&point, log_likelihood).unwrap());
    }
    checked.print("Gaussian likelihood, first and second order");
    // The coin: k log θ + (n-k) log(1-θ) on the tape.
    let mut worst = Worst::default();
    for (k, rest) in [(0u64, 3u64), (4, 0), (2, 5), (20, 1)] {
        let theta = rng.random_range(0.05..0.95);
        let tape = Tape::new();
        let v = tape.variable(arr1(&[theta]));
        let y = (v.ln() * k as f64 + (1.0 - v).ln() * rest as f64).sum();
        let trials = Trials {
            successes: k,
            failures: rest,
        };
        let score = trials.score(theta).unwrap();
        worst.number(tape.gradients(y).wrt(v)[[0]], score, score.abs());
        worst.number(
            y.item(),
            trials.log_likelihood(theta).unwrap(),
            y.item().abs(),
        );
        let best = trials.maximum_likelihood().unwrap();
        if 0.0 < best && best < 1.0 {
            worst.number(trials.score(best).unwrap(), 0.0, (k + rest) as f64);
        }
    }
    worst.within(REARRANGED, "coin: hand = autodiff, and score 0 at k/n");
}

#[test]
fn over_the_parameter() {
    // Over θ the area is B(k+1, n-k+1), and 1/(n+1) with the binomial coefficient; over k the sum is 1.
    let mut rng = rng(111);
    let (mut over_parameter, mut over_data) = (Worst::default(), Worst::default());
    for n in [0u64, 1, 2, 5, 10, 33] {
        let rule = gauss_legendre(20);
        for k in 0..=n {
            let trials = Trials {
                successes: k,
                failures: n - k,
            };
            let area = |f: &dyn Fn(f64) -> f64| -> f64 {
                rule.iter().map(|(theta, w)| w * f(*theta).exp()).sum()
            };
            let likelihood = area(&|theta| trials.log_likelihood(theta).unwrap());
            let expected = trials.log_area().exp();
            over_parameter.number(likelihood, expected, expected);
            let probability = area(&|theta| trials.log_probability(theta).unwrap());
            over_parameter.number(probability * (n + 1) as f64, 1.0, 1.0);
        }
        let theta = rng.random_range(0.0..1.0);
        let total: f64 = (0..=n)
            .map(|k| Trials {
                successes: k,
                failures: n - k,
            })
            .map(|trials| trials.log_probability(theta).unwrap().exp())
            .sum();
        over_data.number(total, 1.0, 1.0);
    }
    over_parameter.within(QUADRATURE, "∫ L dθ = B(k+1, n-k+1)");
    over_data.within(QUADRATURE, "Σ_k p(k; θ) = 1");
}

#[test]
fn but_may_integrate_to_one() {
    // One measurement: ∫ N(x; μ, σ²) dμ = 1, as x and μ can change places. Several: (2πσ²)^(-(n-1)/2) n^(-½) e^(-SS/2σ²).
    let mut rng = rng(112);
    let mut worst = Worst::default();
    for n in [1, 2, 4] {
        for _ in 0..5 {
            let data: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
            let variance: f64 = rng.random_range(0.5..2.0);
            let area = trapezium(-20.0, 20.0, 2001, |mean| {
                let normal = UnivariateGaussian::new(mean, variance).unwrap();
                data.iter()
                    .map(|x| normal.log_density(*x))
                    .sum::<f64>()
                    .exp()
            });
            let count = n as f64;
            let mean = data.iter().sum::<f64>() / count;
            let squares: f64 = data.iter().map(|x| (x - mean).powi(2)).sum();
            let expected = (TAU * variance).powf(-(count - 1.0) / 2.0) / count.sqrt()
                * (-squares / (2.0 * variance)).exp();
            worst.number(area, expected, expected);
            if n == 1 {
                assert!((expected - 1.0).abs() < 1e-15);
            }
        }
    }
    worst.within(QUADRATURE, "∫ L dμ");
    // As a function of the variance the same density has no finite area: it falls as 1/σ.
    let area = |top: f64| {
        let density = |v: f64| {
            UnivariateGaussian::new(0.0, v)
                .unwrap()
                .log_density(1.0)
                .exp()
        };
        // v = e^s.
        trapezium(-9.0, top, 4001, |s| density(s.exp()) * s.exp())
    };
    let areas = [5.0, 10.0, 15.0].map(area);
    report(format!("∫ N(1; 0, v) dv up to e⁵, e¹⁰, e¹⁵: {areas:.2?}"));
    assert!(areas[1] > 5.0 * areas[0] && areas[2] > 5.0 * areas[1]);
}

#[test]
fn over_the_variance() {
    // ∫ v^(-n/2) e^(-S/2v) dv = Γ(n/2 - 1) (2/S)^(n/2 - 1) for three or more data, and ∞ for one or two.
    let mut worst = Worst::default();
    for data in [
        vec![1.0, -0.4, 2.0],
        vec![0.3, 0.1, -0.9, 1.2],
        vec![0.5; 7],
    ] {
        let likelihood = |v: f64| -> f64 {
            let normal = UnivariateGaussian::new(0.2, v).unwrap();
            data.iter().map(|x| normal.log_density(*x)).sum()
        };
        // v = e^s.
        let area = trapezium(-12.0, 80.0, 4001, |s| (likelihood(s.exp()) + s).exp());
        let squares: f64 = data.iter().map(|x| (x - 0.2).powi(2)).sum();
        let order = data.len() as f64 / 2.0;
        let expected = ln_gamma(order - 1.0) + (order - 1.0) * (2.0 / squares).ln();
        worst.number(area.ln(), expected - order * TAU.ln(), 1.0);
    }
    worst.within(QUADRATURE, "∫ L dv for three or more data");
    for data in [vec![1.0], vec![1.0, -1.0]] {
        let likelihood = |v: f64| -> f64 {
            let normal = UnivariateGaussian::new(0.0, v).unwrap();
            data.iter().map(|x| normal.log_density(*x)).sum()
        };
        let area = |top: f64| trapezium(-9.0, top, 4001, |s| (likelihood(s.exp()) + s).exp());
        let areas = [10.0, 20.0, 40.0].map(area);
        // It grows at least as the logarithm of the upper end.
        assert!(
            areas[2] - areas[1] > 1.5 * (areas[1] - areas[0]),
            "{areas:?}"
        );
    }
}

#[test]
fn in_other_coordinates() {
    // A density gets a factor |dθ/da| in other coordinates, a likelihood does not: its area changes, from B(k+1, n-k+1) to
    // ∫ L(σ(a)) da = B(k, n-k), and its maximum stays where it is.
    let mut worst = Worst::default();
    for (k, rest) in [(1, 1), (3, 7), (6, 2)] {
        let trials = Trials {
            successes: k,
            failures: rest,
        };
        let at = |a: f64| trials.log_likelihood(1.0 / (1.0 + (-a).exp())).unwrap();
        let area = trapezium(-40.0, 40.0, 4001, |a| at(a).exp());
        let fewer = Trials {
            successes: k - 1,
            failures: rest - 1,
        };
        worst.number(area, fewer.log_area().exp(), area);
        let best = trials.maximum_likelihood().unwrap();
        let logit = (best / (1.0 - best)).ln();
        assert!(at(logit) > at(logit + 1e-3) && at(logit) > at(logit - 1e-3));
        assert!(at(logit) - trials.log_likelihood(best).unwrap() < 1e-14);
    }
    worst.within(QUADRATURE, "∫ L(σ(a)) da = B(k, n-k)");
}
