//! The two conjugate pairs: a beta prior for a coin, a Gaussian prior for a mean.

use std::f64::consts::TAU;

use elbo::autodiff::Tape;
use elbo::background::{Beta, Trials, UnivariateGaussian};
use elbo::distributions::MultivariateGaussian;
use ndarray::{Array1, Array2, arr1};
use rand::Rng;

use crate::common::comparing::{REARRANGED, Worst};
use crate::common::quadrature::{QUADRATURE, gauss_legendre, trapezium};
use crate::common::random::rng;

const INF: f64 = f64::INFINITY;

#[test]
fn for_a_coin() {
    // prior · likelihood / evidence = posterior, as densities and at any θ; evidence by quadrature (exact for whole a, b)
    // and as the product of the predictions.
    let mut rng = rng(105);
    let (mut rule, mut area, mut product) = (Worst::default(), Worst::default(), Worst::default());
    for _ in 0..40 {
        let (k, rest) = (rng.random_range(0..12u64), rng.random_range(0..12u64));
        let (a, b) = (rng.random_range(0.1..5.0), rng.random_range(0.1..5.0));
        let trials = Trials {
            successes: k,
            failures: rest,
        };
        let prior = Beta::new(a, b).unwrap();
        let after = prior.posterior(k, rest);
        for _ in 0..5 {
            let theta = rng.random_range(0.0..1.0);
            let joint = prior.log_density(theta) + trials.log_likelihood(theta).unwrap();
            let found = joint - prior.log_evidence(k, rest);
            let expected = after.log_density(theta);
            rule.number(found, expected, expected.abs().max(joint.abs()).max(1.0));
        }
        let mut log_product = 0.0;
        let mut belief = prior;
        for success in
            std::iter::repeat_n(true, k as usize).chain(std::iter::repeat_n(false, rest as usize))
        {
            let p = belief.mean();
            log_product += if success { p.ln() } else { (1.0 - p).ln() };
            belief = belief.posterior(u64::from(success), u64::from(!success));
        }
        product.number(
            prior.log_evidence(k, rest),
            log_product,
            log_product.abs().max(1.0),
        );

        let prior = Beta::new(a.ceil(), b.ceil()).unwrap();
        let after = prior.posterior(k, rest);
        let mut sums = [0.0; 3];
        for (theta, weight) in gauss_legendre(24) {
            let likelihood = trials.log_likelihood(theta).unwrap();
            let joint = weight * (prior.log_density(theta) + likelihood).exp();
            for (sum, power) in sums.iter_mut().zip(0..) {
                *sum += joint * theta.powi(power);
            }
        }
        let [mass, first, second] = sums;
        area.number(mass.ln(), prior.log_evidence(k, rest), 1.0);
        area.number(first / mass, after.mean(), 1.0);
        area.number(second / mass - after.mean().powi(2), after.variance(), 1.0);
    }
    rule.within(
        REARRANGED,
        "prior · likelihood / evidence = posterior at 200 points",
    );
    product.within(REARRANGED, "evidence = product of the predictions");
    area.within(QUADRATURE, "evidence, mean and variance = quadrature");

    let uniform = Beta::new(1.0, 1.0).unwrap();
    assert_eq!(
        (uniform.log_density(0.0), uniform.log_density(1.0)),
        (0.0, 0.0)
    );
    assert_eq!(
        (uniform.log_density(-0.1), uniform.log_density(1.1)),
        (-INF, -INF)
    );
    let after = uniform.posterior(1, 0);
    assert_eq!(
        (after.log_density(0.0), after.a(), after.b()),
        (-INF, 2.0, 1.0)
    );
    for bad in [0.0, -1.0, f64::NAN, INF] {
        assert!(Beta::new(bad, 1.0).is_err() && Beta::new(1.0, bad).is_err());
    }
}

#[test]
fn for_a_mean() {
    let mut rng = rng(106);
    let (mut rule, mut area, mut full) = (Worst::default(), Worst::default(), Worst::default());
    for n in [0, 1, 2, 5, 9] {
        for _ in 0..5 {
            let prior =
                UnivariateGaussian::new(rng.random_range(-2.0..2.0), rng.random_range(0.2..3.0))
                    .unwrap();
            let noise = rng.random_range(0.5..3.0);
            let data: Vec<f64> = (0..n).map(|_| rng.random_range(-3.0..3.0)).collect();
            let after = prior.posterior(&data, noise).unwrap();
            let evidence = prior.log_evidence(&data, noise).unwrap();
            let likelihood = |mean: f64| -> f64 {
                let normal = UnivariateGaussian::new(mean, noise).unwrap();
                data.iter().map(|x| normal.log_density(*x)).sum()
            };
            for _ in 0..5 {
                let mean = rng.random_range(-3.0..3.0);
                let joint = prior.log_density(mean) + likelihood(mean);
                rule.number(
                    joint - evidence,
                    after.log_density(mean),
                    joint.abs().max(1.0),
                );
            }
            // ∫ p(μ) p(x|μ) dμ, and one observation after another.
            let deviation = after.variance().sqrt();
            let (low, high) = (
                after.mean() - 12.0 * deviation,
                after.mean() + 12.0 * deviation,
            );
            let integral = trapezium(low, high, 400, |mean| {
                (prior.log_density(mean) + likelihood(mean) - evidence).exp()
            });
            area.number(integral, 1.0, 1.0);
            let mut belief = prior;
            let mut sum = 0.0;
            for x in &data {
                let prediction =
                    UnivariateGaussian::new(belief.mean(), belief.variance() + noise).unwrap();
                sum += prediction.log_density(*x);
                belief = belief.posterior(&[*x], noise).unwrap();
            }
            full.number(sum, evidence, evidence.abs().max(1.0));
            full.number(belief.mean(), after.mean(), 1.0);
            full.number(belief.variance(), after.variance(), 1.0);
            // N(x; m 1, σ² I + v 1 1ᵀ), by a Cholesky factor.
            if n > 0 {
                let tape = Tape::new();
                let covariance = Array2::eye(n) * noise + prior.variance();
                let mean = Array1::from_elem(n, prior.mean());
                let joint = MultivariateGaussian::from_covariance(
                    tape.constant(mean),
                    tape.constant(covariance),
                );
                let log_p = joint.unwrap().log_density(tape.constant(arr1(&data)));
                full.number(log_p.item(), evidence, evidence.abs().max(1.0));
            }
        }
    }
    rule.within(
        REARRANGED,
        "prior · likelihood / evidence = posterior at 125 points",
    );
    area.within(QUADRATURE, "evidence = quadrature");
    full.within(
        REARRANGED,
        "evidence = product of the predictions = N(x; m 1, σ² I + v 1 1ᵀ)",
    );
    let prior = UnivariateGaussian::new(0.0, 1.0).unwrap();
    assert!(prior.posterior(&[f64::NAN], 1.0).is_err() && prior.log_evidence(&[1.0], 0.0).is_err());
    assert!(
        UnivariateGaussian::new(INF, 1.0).is_err() && UnivariateGaussian::new(0.0, -1.0).is_err()
    );
    assert_eq!(prior.log_evidence(&[], 1.0).unwrap(), 0.0);
}

#[test]
fn for_a_coin_of_which_much_is_known() {
    let mut worst = Worst::default();
    let mut evidence = |[a, b]: [f64; 2], [k, rest]: [u64; 2], expected: f64| {
        let found = Beta::new(a, b).unwrap().log_evidence(k, rest);
        worst.number(found, expected, expected.abs());
    };
    // One trial: a/(a+b).
    evidence([1e12, 1e12], [1, 0], 0.5f64.ln());
    evidence([1e12, 1.0], [1, 0], -(1e-12f64).ln_1p());
    evidence([1e-200, 1e200], [1, 0], -400.0 * 10f64.ln());
    evidence([1e308, 1e308], [0, 1], 0.5f64.ln());
    // Two: a (a+1) / ((a+b) (a+b+1)).
    evidence([1e12, 1e12], [1, 1], (0.25 / (1.0 + 0.5e-12f64)).ln());
    // Uniform: 1/(n+1) (n choose k), here (n choose 1) = n and (n choose 0) = 1.
    evidence([1.0, 1.0], [0, 1 << 40], -(1099511627777f64).ln());
    evidence([1.0, 1.0], [1, 20_000], -(20_001f64.ln() + 20_002f64.ln()));
    // Many: as trials of known probability, and the leading terms k²/2a + m²/2b - n²/2(a+b) of what they change.
    let (known, changed) = (
        30_000.0 * 0.25f64.ln() + 50_000.0 * 0.75f64.ln(),
        0.5e-15 * (9e8 + 25e8 / 3.0 - 64e8 / 4.0),
    );
    evidence([1e15, 3e15], [30_000, 50_000], known + changed);
    worst.within(
        REARRANGED,
        "evidence of a coin, strong priors and many trials",
    );
    for (a, b) in [
        (1e-300, 1e300),
        (1e-320, 1e-320),
        (1e308, 1e-308),
        (3.0, 4.0),
    ] {
        let prior = Beta::new(a, b).unwrap();
        assert_eq!(prior.log_evidence(0, 0), 0.0);
        assert!(!prior.log_evidence(7, 0).is_nan() && !prior.log_evidence(0, 9000).is_nan());
    }
}

#[test]
fn for_a_mean_at_the_ends_of_f64() {
    let mut worst = Worst::default();
    let mut same = |found: f64, expected: f64| worst.number(found, expected, expected.abs());
    let normal = |mean, variance| UnivariateGaussian::new(mean, variance).unwrap();
    // v n is beyond f64.
    let after = normal(0.0, 1e308).posterior(&[2.0; 10], 1.0).unwrap();
    same(after.mean(), 2.0);
    same(after.variance(), 0.1);
    let after = normal(0.0, 1e308).posterior(&[2.0; 10], 1e308).unwrap();
    same(after.mean(), 20.0 / 11.0);
    same(after.variance(), 1e308 / 11.0);
    // So is the ratio of the variances, on either side, and the sum of the data.
    let after = normal(1.0, 1e-200).posterior(&[2.0], 1e200).unwrap();
    same(after.mean(), 1.0);
    same(after.variance(), 1e-200);
    let after = normal(1.0, 1e200).posterior(&[1e308; 2], 1e-200).unwrap();
    same(after.mean(), 1e308);
    same(after.variance(), 5e-201);
    let after = normal(-1.5e308, 1.0).posterior(&[1.5e308], 2.0).unwrap();
    same(after.mean(), -0.5e308);
    assert!(normal(0.0, 1.0).posterior(&[1.0; 9], 5e-324).is_err());

    // log N(x; m, v + σ²) of one measurement, where each part of it is beyond f64.
    let one = |mean: f64, variance: f64, x: f64, noise: f64, log_variance: f64, distance: f64| {
        let found = normal(mean, variance).log_evidence(&[x], noise).unwrap();
        (found, -0.5 * (TAU.ln() + log_variance + distance))
    };
    let ln_10 = 10f64.ln();
    for (found, expected) in [
        one(0.0, 1e160, 1e80, 1e-160, 160.0 * ln_10, 1.0),
        one(0.0, 1e308, 0.0, 1e308, 308.0 * ln_10 + 2f64.ln(), 0.0),
        one(0.0, 1e200, 3e200, 1e300, 300.0 * ln_10, 9e100),
        one(-1e308, 1.7e308, 1e308, 1.7e308, 0.0, 20.0 / 17.0 * 1e308),
    ] {
        same(found, expected);
    }
    for copies in 1..4 {
        let data = [vec![-1.7e308], vec![1.7e308; copies]].concat();
        let found = normal(1e308, 1e308).log_evidence(&data, 1e-308).unwrap();
        assert_eq!(found, -INF);
    }
    worst.within(
        REARRANGED,
        "posterior and evidence of a mean, extreme variances",
    );
    for (mean, variance, noise) in [(1.0, 1e300, 1e-300), (1e308, 1e-308, 1e308)] {
        let prior = normal(mean, variance);
        assert_eq!(prior.posterior(&[], noise).unwrap(), prior);
        assert_eq!(prior.log_evidence(&[], noise).unwrap(), 0.0);
    }
}
