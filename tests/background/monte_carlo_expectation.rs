//! docs/background.md#monte-carlo-expectation: the mean of n draws has the expectation E f and the variance Var f / n.

use elbo::autodiff::Tape;
use elbo::background::{expectation, monte_carlo, variance};
use elbo::distributions::noise::{standard_normal, standard_uniform};
use elbo::distributions::{Categorical, DiagonalGaussian, Estimate, EstimateError};
use ndarray::arr1;
use rand::Rng;

use crate::common::arrays::{owned, softmax};
use crate::common::comparing::{REARRANGED, Worst};
use crate::common::random::{rng, vector};
use crate::common::reporting::report;
use crate::common::statistics::slope;

const INF: f64 = f64::INFINITY;

#[test]
fn by_enumeration() {
    // All Kⁿ samples of n draws, each with its probability: the mean of the estimates is E f, their variance Var f / n, and
    // the mean of s² is Var f.
    let mut rng = rng(121);
    let mut worst = Worst::default();
    for (k, n) in [(1usize, 3usize), (2, 2), (3, 4), (4, 3), (2, 7), (3, 1)] {
        let q = softmax(&vector(&mut rng, k)).to_vec();
        let f = vector(&mut rng, k).to_vec();
        let (mean, spread) = (expectation(&q, &f).unwrap(), variance(&q, &f).unwrap());
        let (mut first, mut second, mut estimated) = (0.0, 0.0, 0.0);
        for sample in 0..k.pow(n as u32) {
            let class = |i: usize| sample / k.pow(i as u32) % k;
            let p: f64 = (0..n).map(|i| q[class(i)]).product();
            let estimate = Estimate::of((0..n).map(|i| f[class(i)])).unwrap();
            first += p * estimate.mean;
            second += p * (estimate.mean - mean).powi(2);
            estimated += p * estimate.variance();
        }
        worst.number(first, mean, 1.0);
        worst.number(second, spread / n as f64, 1.0);
        if n > 1 {
            worst.number(estimated, spread, 1.0);
        }
    }
    worst.within(REARRANGED, "E m = E f, Var m = Var f / n, E s² = Var f");
}

#[test]
fn of_a_class_and_of_a_gaussian() {
    let mut rng = rng(122);
    let n = 100_000;
    let logits = vector(&mut rng, 5);
    let f = vector(&mut rng, 5);
    let q = softmax(&logits);
    let exact = expectation(&q.to_vec(), &f.to_vec()).unwrap();
    let tape = Tape::new();
    let logits = tape.constant(logits).broadcast_to(&[n, 5]);
    let u = standard_uniform(&tape, &[n, 1], &mut rng);
    let values = (Categorical { logits }.sample(u) * tape.constant(f.clone())).sum_last();
    let estimate = Estimate::of(values.value().iter().copied()).unwrap();
    report(format!(
        "classes: {estimate}, exact {exact:.6}: {:+.2}",
        estimate.distance(exact)
    ));
    assert!(estimate.distance(exact).abs() < 4.0);
    let spread = variance(&q.to_vec(), &f.to_vec()).unwrap();
    assert!((estimate.variance() / spread - 1.0).abs() < 0.05);

    // E z⁴ = 3σ⁴ + 6μ²σ² + μ⁴ for a Gaussian, by its sampler.
    let (mean, log_variance): (f64, f64) = (0.7, -0.4);
    let gaussian = DiagonalGaussian {
        mean: tape.constant(arr1(&[mean])),
        log_variance: tape.constant(arr1(&[log_variance])),
    };
    let z = owned(
        gaussian
            .sample(standard_normal(&tape, &[n, 1], &mut rng))
            .value(),
    );
    let mut draws = z.iter();
    let estimate = monte_carlo(n, || *draws.next().unwrap(), |z| z.powi(4)).unwrap();
    let v = log_variance.exp();
    let exact = 3.0 * v * v + 6.0 * mean * mean * v + mean.powi(4);
    report(format!(
        "Gaussian: {estimate}, exact {exact:.6}: {:+.2}",
        estimate.distance(exact)
    ));
    assert!(estimate.distance(exact).abs() < 4.0);
}

#[test]
fn error_falls_as_the_root() {
    // The mean square of the error over many repetitions, for n from 8 to 1024: slope -1 in log n.
    let mut rng = rng(123);
    let repetitions = 1000;
    let square = |z: f64| z * z;
    let mut points = Vec::new();
    let mut covered = 0;
    for n in (3..=10).map(|power| 1usize << power) {
        let mut sum = 0.0;
        let tape = Tape::new();
        let z = standard_normal(&tape, &[repetitions, n], &mut rng).value();
        let mut draws = z.iter();
        for _ in 0..repetitions {
            let estimate = monte_carlo(n, || *draws.next().unwrap(), square).unwrap();
            sum += (estimate.mean - 1.0f64).powi(2);
            covered += usize::from(n == 1024 && estimate.distance(1.0).abs() < 1.96);
        }
        points.push(((n as f64).ln(), (sum / repetitions as f64).ln()));
    }
    let found = slope(&points);
    // The mean square of 1000 errors is uncertain by about 5 %: over 7 octaves this moves the slope by 0.01.
    report(format!("Var of the mean: slope {found:.4} in log n"));
    assert!((found + 1.0).abs() < 0.04);
    let share = covered as f64 / repetitions as f64;
    report(format!(
        "exact value within 1.96 standard errors in {:.1} % of the runs",
        100.0 * share
    ));
    assert!((share - 0.95).abs() < 4.0 * (0.95f64 * 0.05 / repetitions as f64).sqrt());
}

#[test]
fn without_a_variance_converges_slower() {
    // Pareto with tail index 3/2: mean 3, no variance. Typical errors fall as n^-(1 - 1/1.5) = n^-⅓.
    let mut rng = rng(124);
    let repetitions = 1001;
    let mut points = Vec::new();
    for n in (4..=11).map(|power| 1usize << power) {
        let mut errors: Vec<f64> = (0..repetitions)
            .map(|_| {
                let draw = || (1.0 - rng.random::<f64>()).powf(-1.0 / 1.5);
                let estimate = monte_carlo(n, draw, |x| x).unwrap();
                (estimate.mean - 3.0).abs()
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        points.push(((n as f64).ln(), errors[repetitions / 2].ln()));
    }
    let found = slope(&points);
    report(format!(
        "no variance: slope of the median error {found:.3} in log n"
    ));
    assert!((-0.42..-0.26).contains(&found));
}

#[test]
fn needs_independent_draws() {
    // Every draw counted twice: the same mean, and a standard error that is too small by √2.
    let mut rng = rng(125);
    let draws: Vec<f64> = (0..1000).map(|_| rng.random::<f64>()).collect();
    let once = Estimate::of(draws.iter().copied()).unwrap();
    let twice = Estimate::of(draws.iter().flat_map(|x| [*x, *x])).unwrap();
    assert!((once.mean - twice.mean).abs() < 1e-15);
    let ratio = once.standard_error / twice.standard_error;
    assert!((ratio / 2.0f64.sqrt() - 1.0).abs() < 1e-3, "{ratio}");
}

#[test]
fn of_odd_data() {
    assert_eq!(expectation(&[0.0, 1.0], &[INF, 2.0]).unwrap(), 2.0);
    assert_eq!(expectation(&[0.5, 0.5], &[-INF, 2.0]).unwrap(), -INF);
    assert_eq!(variance(&[0.0, 1.0], &[INF, 2.0]).unwrap(), 0.0);
    assert!(expectation(&[0.5, 0.5], &[-INF, INF]).is_err());
    assert!(expectation(&[0.5, 0.5], &[f64::NAN, 0.0]).is_err());
    assert!(expectation(&[0.4, 0.5], &[0.0, 0.0]).is_err() && expectation(&[], &[]).is_err());
    assert!(variance(&[0.5, 0.5], &[INF, 0.0]).is_err());
    assert_eq!(monte_carlo(0, || 1.0, |x| x), Err(EstimateError::NoDraws));
    let nan = monte_carlo(3, || f64::NAN, |x: f64| x);
    assert_eq!(nan, Err(EstimateError::NotANumber(0)));
}
