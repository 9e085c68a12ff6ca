//! Chapter 1 of the notes: Bayes' rule, likelihoods, expectations and the evidence, against enumeration, quadrature and
//! closed forms.

mod common;

use std::f64::consts::TAU;

use common::{Checked, Statistics, Worst, gauss_hermite, owned, random};
use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::background::{
    BadData, Beta, Jensen, LinearGaussian, Normal, Trials, bayes, categorical_gradient,
    categorical_scores, enumerate, expectation, gaussian_log_likelihood,
    gaussian_maximum_likelihood, gaussian_score, gaussian_score_at, jensen, log_derivative,
    log_normal_jensen, monte_carlo, posterior, variance,
};
use elbo::distributions::noise::{standard_normal, standard_uniform};
use elbo::distributions::{
    Categorical, DiagonalGaussian, Estimate, EstimateError, MultivariateGaussian, ln_gamma,
};
use ndarray::{Array1, Array2, ArrayD, Axis, IxDyn, arr1, arr2};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What rearranging a sum in f64 may change, relative to the largest entry.
const REARRANGED: f64 = 1e-13;

/// What a quadrature that is exact but for rounding may differ by.
const QUADRATURE: f64 = 1e-12;

const INF: f64 = f64::INFINITY;

type Expression = for<'t> fn(&[Var<'t, f64>]) -> Var<'t, f64>;

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// Nodes and weights with Σ w f(x) = ∫ f dx over [0, 1] for every polynomial f of degree below 2n: Gauss–Legendre
/// quadrature, its nodes by Newton's method.
fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let legendre = |x: f64| {
        let (mut last, mut p) = (1.0, x);
        for k in 1..n {
            let k = k as f64;
            (last, p) = (p, ((2.0 * k + 1.0) * x * p - k * last) / (k + 1.0));
        }
        (p, n as f64 * (x * p - last) / (x * x - 1.0))
    };
    let node = |i: usize| {
        let mut x = ((i as f64 + 0.75) / (n as f64 + 0.5) * std::f64::consts::PI).cos();
        for _ in 0..20 {
            let (p, slope) = legendre(x);
            x -= p / slope;
        }
        let slope = legendre(x).1;
        (0.5 * (x + 1.0), 1.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..n).map(node).collect()
}

/// ∫ f over a range by the trapezium rule: exact but for rounding for functions that fall off smoothly at both ends.
fn trapezium(low: f64, high: f64, points: usize, f: impl Fn(f64) -> f64) -> f64 {
    let step = (high - low) / (points - 1) as f64;
    (0..points).map(|i| f(low + step * i as f64)).sum::<f64>() * step
}

/// The slope of the least-squares line through points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let x = points.iter().map(|p| p.0).sum::<f64>() / n;
    let y = points.iter().map(|p| p.1).sum::<f64>() / n;
    let product: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let square: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    product / square
}

fn softmax(logits: &Array1<f64>) -> Array1<f64> {
    let e = logits.mapv(f64::exp);
    &e / e.sum()
}

fn vector(rng: &mut StdRng, n: usize) -> Array1<f64> {
    Array1::from_shape_simple_fn(n, || rng.random_range(-2.0..2.0))
}

fn matrix(rng: &mut StdRng, rows: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || rng.random_range(-2.0..2.0))
}

// ---------------------------------------------------------------------------------------------------------
// bayes-rule

/// The shapes of the logits of the prior and of the log-likelihood.
const TABLES: [[&[usize]; 2]; 5] = [
    [&[1], &[1]],
    [&[4], &[4]],
    [&[3], &[5, 3]],
    [&[2, 1, 3], &[4, 3]],
    [&[1, 6], &[1, 6]],
];

fn log_evidence<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let last = v[0].ndim() - 1;
    posterior(v[0].log_softmax(last), v[1])
        .unwrap()
        .log_evidence
}

fn log_posterior<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let last = v[0].ndim() - 1;
    posterior(v[0].log_softmax(last), v[1])
        .unwrap()
        .log_posterior
}

#[test]
fn bayes_rule_by_hand() {
    let mut rng = rng(101);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for [prior_shape, likelihood_shape] in TABLES {
        let point = [
            random(&mut rng, prior_shape),
            random(&mut rng, likelihood_shape),
        ];
        let tape = Tape::new();
        let v = [
            tape.variable(point[0].clone()),
            tape.variable(point[1].clone()),
        ];
        let evidence = log_evidence(&v);
        let (log_p, log_x) = (owned(log_posterior(&v).value()), owned(evidence.value()));
        let cotangent = random(&mut rng, log_x.shape());
        let gradients = tape.pull_back(evidence, cotangent.clone(), &[]);

        // Row by row, in probabilities: ∂ log p(x)/∂ log p(x|z) is the posterior, and with respect to the prior's
        // logits it is posterior - prior.
        let shape = log_p.shape();
        let k = shape[shape.len() - 1];
        let wide = |x: &ArrayD<f64>| x.broadcast(shape).unwrap().to_owned();
        let (logits, likelihood) = (wide(&point[0]), wide(&point[1]));
        let (mut a_bar, mut l_bar) = (ArrayD::zeros(shape), ArrayD::zeros(shape));
        let rows = logits.rows().into_iter().zip(likelihood.rows());
        for (row, (logits, likelihood)) in rows.enumerate() {
            let prior = softmax(&logits.to_owned());
            let (expected, p_x) = bayes(prior.view(), likelihood.mapv(f64::exp).view()).unwrap();
            let found = log_p.rows().into_iter().nth(row).unwrap();
            let found = found.mapv(f64::exp).into_dyn();
            value.entries(&found, &expected.clone().into_dyn());
            value.number(log_x.iter().nth(row).unwrap().exp(), p_x, p_x);
            let weight = *cotangent.iter().nth(row).unwrap();
            for z in 0..k {
                *a_bar.iter_mut().nth(row * k + z).unwrap() = weight * (expected[z] - prior[z]);
                *l_bar.iter_mut().nth(row * k + z).unwrap() = weight * expected[z];
            }
        }
        let narrow = |wide: ArrayD<f64>, shape: &[usize]| {
            let tape = Tape::new();
            owned(tape.constant(wide).sum_to(shape).value())
        };
        gradient.entries(&owned(gradients.wrt(v[0])), &narrow(a_bar, prior_shape));
        gradient.entries(
            &owned(gradients.wrt(v[1])),
            &narrow(l_bar, likelihood_shape),
        );
    }
    value.within(
        REARRANGED,
        "posterior and evidence: in log space = in probabilities",
    );
    gradient.within(REARRANGED, "gradient of log p(x): hand = autodiff");
}

#[test]
fn bayes_rule_against_finite_differences() {
    let mut rng = rng(102);
    let mut checked = Checked::default();
    for shapes in TABLES {
        let point = shapes.map(|shape| random(&mut rng, shape));
        for f in [log_evidence, log_posterior] {
            let check = Check::new("bayes-rule");
            checked.add(check.run(&point, f).unwrap());
            checked.add(check.run_second_order(&point, f).unwrap());
        }
    }
    checked.tell("first and second order");
}

#[test]
fn bayes_rule_is_the_frequency_of_causes() {
    // z from the prior, x from its row of the table; among the draws that show x, the share of each z.
    let n = 100_000;
    let mut rng = rng(103);
    let prior = softmax(&vector(&mut rng, 3));
    let table: Vec<Array1<f64>> = (0..3).map(|_| softmax(&vector(&mut rng, 4))).collect();
    let rows = ndarray::stack(
        Axis(0),
        &[table[0].view(), table[1].view(), table[2].view()],
    );
    let tape = Tape::new();
    let mut draw = |logits: Var<'_, f64>| {
        let u = standard_uniform(logits.tape(), &[n, 1], &mut rng);
        let one_hot = Categorical { logits }.sample(u).value();
        let class = |row: ndarray::ArrayView1<f64>| row.iter().position(|x| *x == 1.0).unwrap();
        one_hot.rows().into_iter().map(class).collect::<Vec<_>>()
    };
    let causes = draw(tape.constant(prior.mapv(f64::ln)).broadcast_to(&[n, 3]));
    let effects = draw(tape.constant(rows.unwrap().mapv(f64::ln)).gather(&causes));
    let mut counts = Array2::<f64>::zeros((4, 3));
    for (i, &z) in causes.iter().enumerate() {
        counts[[effects[i], z]] += 1.0;
    }
    let mut worst = 0.0f64;
    for x in 0..4 {
        let likelihood = Array1::from_shape_fn(3, |z| table[z][x]);
        let (posterior, evidence) = bayes(prior.view(), likelihood.view()).unwrap();
        let shown = counts.row(x).sum();
        let deviation = |p: f64, n: f64| (p * (1.0 - p) / n).sqrt();
        let n = n as f64;
        worst = worst.max((shown / n - evidence).abs() / deviation(evidence, n));
        for z in 0..3 {
            let share = counts[[x, z]] / shown;
            worst = worst.max((share - posterior[z]).abs() / deviation(posterior[z], shown));
        }
    }
    println!("{n} pairs: worst of 16 frequencies {worst:.2} standard errors away");
    assert!(worst < 4.0);
}

#[test]
fn bayes_rule_one_observation_after_another() {
    // The posterior of the first is the prior of the second; p(x, y) = p(x) p(y|x).
    let mut rng = rng(104);
    let mut worst = Worst::default();
    for k in [1, 2, 5] {
        let tape = Tape::new();
        let prior = tape.constant(vector(&mut rng, k)).log_softmax(0);
        let [x, y] = [0, 1].map(|_| tape.constant(vector(&mut rng, k)));
        let both = posterior(prior, x + y).unwrap();
        let first = posterior(prior, x).unwrap();
        let second = posterior(first.log_posterior, y).unwrap();
        worst.entries(
            &owned(second.log_posterior.value()),
            &owned(both.log_posterior.value()),
        );
        let sum = first.log_evidence + second.log_evidence;
        worst.number(sum.item(), both.log_evidence.item(), 1.0);
    }
    worst.within(REARRANGED, "two observations at once = one after the other");
}

#[test]
fn bayes_rule_with_zeros() {
    let tape = Tape::new();
    let log = |p: &[f64]| tape.variable(arr1(p).mapv(f64::ln));
    // z = 0 cannot be, and z = 2 cannot show x: only z = 1 is left, whatever its prior.
    let prior = log(&[0.0, 0.1, 0.9]);
    let found = posterior(prior, log(&[1.0, 0.5, 0.0])).unwrap();
    assert_eq!(
        owned(found.log_posterior.value()),
        arr1(&[-INF, 0.0, -INF]).into_dyn()
    );
    assert!((found.log_evidence.item() - 0.05f64.ln()).abs() < 1e-15);
    let gradient = tape.gradients(found.log_evidence).wrt(prior);
    assert_eq!(owned(gradient), arr1(&[0.0, 1.0, 0.0]).into_dyn());
    let (plain, evidence) =
        bayes(arr1(&[0.0, 0.1, 0.9]).view(), arr1(&[1.0, 0.5, 0.0]).view()).unwrap();
    assert_eq!((plain, evidence), (arr1(&[0.0, 1.0, 0.0]), 0.05));

    // The second observation of two has no cause.
    let two = tape.constant(arr2(&[[0.0, -1.0, 0.0], [0.0, -INF, -INF]]));
    let error = posterior(prior, two).unwrap_err();
    assert_eq!(error, BadData::Impossible { row: 1 });
    let likelihood = arr1(&[1.0, 0.0, 0.0]);
    let error = bayes(arr1(&[0.0, 0.1, 0.9]).view(), likelihood.view()).unwrap_err();
    assert_eq!(error, BadData::Impossible { row: 0 });
    println!("{error}");
}

#[test]
fn bayes_rule_refuses_what_is_no_distribution() {
    let uniform = arr1(&[0.5, 0.5]);
    let with_prior = |p: &[f64]| bayes(arr1(p).view(), uniform.view());
    assert!(matches!(
        with_prior(&[0.5, 0.6]),
        Err(BadData::Total { .. })
    ));
    for bad in [[-0.5, 1.5], [f64::NAN, 1.0], [INF, 0.0]] {
        assert!(with_prior(&bad).is_err(), "{bad:?}");
        assert!(
            with_prior(&bad)
                .unwrap_err()
                .to_string()
                .contains("expected")
        );
    }
    for bad in [[-0.5, 1.5], [f64::NAN, 1.0], [INF, 0.0]] {
        assert!(bayes(uniform.view(), arr1(&bad).view()).is_err());
    }
    let none = Array1::zeros(0);
    let error = bayes(none.view(), none.view()).unwrap_err();
    assert_eq!(error, BadData::Empty { what: "prior" });

    let tape = Tape::new();
    let fair = tape.constant(uniform.mapv(f64::ln));
    for bad in [[f64::NAN, 0.0], [INF, 0.0]] {
        let bad = tape.constant(arr1(&bad));
        assert!(posterior(fair, bad).is_err() && posterior(bad, fair).is_err());
    }
    let twice = tape.constant(arr1(&[0.0, 0.0]));
    assert!(matches!(
        posterior(twice, fair),
        Err(BadData::Total { row: 0, .. })
    ));
    let none = tape.constant(Array2::zeros((0, 2)));
    assert!(matches!(posterior(fair, none), Err(BadData::Empty { .. })));
}

#[test]
fn bayes_rule_needs_logarithms() {
    // A thousand observations of a coin that is one of two: the products are below the smallest f64.
    let tape = Tape::new();
    let (k, n) = (510.0, 1000.0);
    let log_likelihood = [0.4f64, 0.6].map(|p| k * p.ln() + (n - k) * (1.0 - p).ln());
    let half = arr1(&[0.5, 0.5]);
    let quarter = Array1::from_elem(4, 0.25);
    let tiny = bayes(quarter.view(), Array1::from_elem(4, 5e-324).view());
    assert_eq!(tiny.unwrap_err(), BadData::Underflow);
    let found = posterior(
        tape.constant(half.mapv(f64::ln)),
        tape.constant(arr1(&log_likelihood) - 1e4),
    )
    .unwrap();
    // The odds are 1.5^(k - (n - k)).
    let odds = 1.5f64.powi(20);
    let p = found.log_posterior.value().mapv(f64::exp);
    assert!((p[[1]] / p[[0]] / odds - 1.0).abs() < 1e-10);
    assert!(found.log_evidence.item() < -1e4);
}

#[test]
fn bayes_rule_for_a_coin() {
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
        let after = prior.after(k, rest);
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
            belief = belief.after(u64::from(success), u64::from(!success));
        }
        product.number(
            prior.log_evidence(k, rest),
            log_product,
            log_product.abs().max(1.0),
        );

        let prior = Beta::new(a.ceil(), b.ceil()).unwrap();
        let after = prior.after(k, rest);
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
    let after = uniform.after(1, 0);
    assert_eq!(
        (after.log_density(0.0), after.a(), after.b()),
        (-INF, 2.0, 1.0)
    );
    for bad in [0.0, -1.0, f64::NAN, INF] {
        assert!(Beta::new(bad, 1.0).is_err() && Beta::new(1.0, bad).is_err());
    }
}

#[test]
fn bayes_rule_for_a_coin_of_which_much_is_known() {
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
fn bayes_rule_for_a_mean() {
    let mut rng = rng(106);
    let (mut rule, mut area, mut full) = (Worst::default(), Worst::default(), Worst::default());
    for n in [0, 1, 2, 5, 9] {
        for _ in 0..5 {
            let prior =
                Normal::new(rng.random_range(-2.0..2.0), rng.random_range(0.2..3.0)).unwrap();
            let noise = rng.random_range(0.5..3.0);
            let data: Vec<f64> = (0..n).map(|_| rng.random_range(-3.0..3.0)).collect();
            let after = prior.after(&data, noise).unwrap();
            let evidence = prior.log_evidence(&data, noise).unwrap();
            let likelihood = |mean: f64| -> f64 {
                let normal = Normal::new(mean, noise).unwrap();
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
                let prediction = Normal::new(belief.mean(), belief.variance() + noise).unwrap();
                sum += prediction.log_density(*x);
                belief = belief.after(&[*x], noise).unwrap();
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
    let prior = Normal::new(0.0, 1.0).unwrap();
    assert!(prior.after(&[f64::NAN], 1.0).is_err() && prior.log_evidence(&[1.0], 0.0).is_err());
    assert!(Normal::new(INF, 1.0).is_err() && Normal::new(0.0, -1.0).is_err());
    assert_eq!(prior.log_evidence(&[], 1.0).unwrap(), 0.0);
}

#[test]
fn bayes_rule_for_a_mean_at_the_ends_of_f64() {
    let mut worst = Worst::default();
    let mut same = |found: f64, expected: f64| worst.number(found, expected, expected.abs());
    let normal = |mean, variance| Normal::new(mean, variance).unwrap();
    // v n is beyond f64.
    let after = normal(0.0, 1e308).after(&[2.0; 10], 1.0).unwrap();
    same(after.mean(), 2.0);
    same(after.variance(), 0.1);
    let after = normal(0.0, 1e308).after(&[2.0; 10], 1e308).unwrap();
    same(after.mean(), 20.0 / 11.0);
    same(after.variance(), 1e308 / 11.0);
    // So is the ratio of the variances, on either side, and the sum of the data.
    let after = normal(1.0, 1e-200).after(&[2.0], 1e200).unwrap();
    same(after.mean(), 1.0);
    same(after.variance(), 1e-200);
    let after = normal(1.0, 1e200).after(&[1e308; 2], 1e-200).unwrap();
    same(after.mean(), 1e308);
    same(after.variance(), 5e-201);
    let after = normal(-1.5e308, 1.0).after(&[1.5e308], 2.0).unwrap();
    same(after.mean(), -0.5e308);
    assert!(normal(0.0, 1.0).after(&[1.0; 9], 5e-324).is_err());

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
        assert_eq!(prior.after(&[], noise).unwrap(), prior);
        assert_eq!(prior.log_evidence(&[], noise).unwrap(), 0.0);
    }
}

// ---------------------------------------------------------------------------------------------------------
// likelihood-is-not-a-density

#[test]
fn likelihood_is_not_a_density_over_the_parameter() {
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
fn likelihood_is_not_a_density_but_may_integrate_to_one() {
    // One measurement: ∫ N(x; μ, σ²) dμ = 1, as x and μ can change places. Several: (2πσ²)^(-(n-1)/2) n^(-½) e^(-SS/2σ²).
    let mut rng = rng(112);
    let mut worst = Worst::default();
    for n in [1, 2, 4] {
        for _ in 0..5 {
            let data: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
            let variance: f64 = rng.random_range(0.5..2.0);
            let area = trapezium(-20.0, 20.0, 2001, |mean| {
                let normal = Normal::new(mean, variance).unwrap();
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
        let density = |v: f64| Normal::new(0.0, v).unwrap().log_density(1.0).exp();
        // v = e^s.
        trapezium(-9.0, top, 4001, |s| density(s.exp()) * s.exp())
    };
    let areas = [5.0, 10.0, 15.0].map(area);
    println!("∫ N(1; 0, v) dv up to e⁵, e¹⁰, e¹⁵: {areas:.2?}");
    assert!(areas[1] > 5.0 * areas[0] && areas[2] > 5.0 * areas[1]);
}

#[test]
fn likelihood_is_not_a_density_over_the_variance() {
    // ∫ v^(-n/2) e^(-S/2v) dv = Γ(n/2 - 1) (2/S)^(n/2 - 1) for three or more data, and ∞ for one or two.
    let mut worst = Worst::default();
    for data in [
        vec![1.0, -0.4, 2.0],
        vec![0.3, 0.1, -0.9, 1.2],
        vec![0.5; 7],
    ] {
        let likelihood = |v: f64| -> f64 {
            let normal = Normal::new(0.2, v).unwrap();
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
            let normal = Normal::new(0.0, v).unwrap();
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
fn likelihood_is_not_a_density_in_other_coordinates() {
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

#[test]
fn likelihood_is_not_a_density_in_the_logit_if_all_trials_agree() {
    for (successes, failures) in [(3, 0), (0, 2), (0, 0)] {
        let trials = Trials {
            successes,
            failures,
        };
        let at = |a: f64| trials.log_likelihood(1.0 / (1.0 + (-a).exp())).unwrap();
        let area = |end: f64| trapezium(-end, end, 4001, |a| at(a).exp());
        let grown = area(36.0) - area(18.0);
        assert!(grown > 17.9, "k = {successes}: {grown}");
    }
}

#[test]
fn likelihood_is_not_a_density_and_its_score_is_zero_at_its_maximum() {
    let mut rng = rng(113);
    let (mut score, mut at_maximum) = (Worst::default(), Worst::default());
    for (n, d) in [(2, 1), (5, 3), (40, 2), (3, 8)] {
        let data = matrix(&mut rng, n, d);
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
fn likelihood_is_not_a_density_against_finite_differences() {
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
    checked.tell("Gaussian likelihood, first and second order");
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
fn likelihood_is_not_a_density_and_may_have_no_maximum() {
    let none = Array2::zeros((0, 2));
    let error = gaussian_maximum_likelihood(none.view()).unwrap_err();
    assert_eq!(error, BadData::Empty { what: "data" });
    let flat = arr2(&[[1.0, 0.1], [2.0, 0.1], [4.0, 0.1]]);
    let error = gaussian_maximum_likelihood(flat.view()).unwrap_err();
    assert_eq!(error, BadData::Unbounded { dimension: 1 });
    println!("{error}");
    assert!(gaussian_maximum_likelihood(arr2(&[[f64::NAN]]).view()).is_err());
    let trials = |successes, failures| Trials {
        successes,
        failures,
    };
    assert!(trials(0, 0).maximum_likelihood().is_err());
    assert_eq!(trials(0, 0).log_area(), 0.0);
    // Certain and impossible data; no 0 log 0.
    assert_eq!(trials(0, 4).log_likelihood(0.0).unwrap(), 0.0);
    assert!(trials(4, 0).log_probability(1.0).unwrap().abs() < 1e-15);
    assert_eq!(trials(1, 4).log_likelihood(0.0).unwrap(), -INF);
    assert_eq!(trials(0, 4).score(0.0).unwrap(), -4.0);
    assert!(trials(1, 4).score(0.0).is_err());
    for bad in [-0.1, 1.1, f64::NAN] {
        assert!(trials(1, 1).log_likelihood(bad).is_err());
    }
    let tape = Tape::<f64>::new();
    let parameters = DiagonalGaussian {
        mean: tape.full(&[2], 0.0),
        log_variance: tape.full(&[2], 0.0),
    };
    let empty = tape.constant(Array2::zeros((0, 2)));
    assert_eq!(gaussian_log_likelihood(empty, &parameters).item(), 0.0);
}

#[test]
fn likelihood_is_not_a_density_but_has_a_maximum_at_the_ends_of_f64() {
    let mut worst = Worst::default();
    for (data, mean, deviation) in [
        ([-1e200, 1e200], 0.0, 1e200),
        ([1.5e308, 1.6e308], 1.55e308, 5e306),
        ([-1.7e308, 1.7e308], 0.0, 1.7e308),
        ([0.0, 1e-170], 5e-171, 5e-171),
        ([0.0, 1e-323], 5e-324, 5e-324),
        ([1e-140, 1.5e-140], 1.25e-140, 2.5e-141),
    ] {
        let data = arr2(&data.map(|x| [x]));
        let (m, s) = gaussian_maximum_likelihood(data.view()).unwrap();
        let exact = 2.0 * f64::ln(deviation);
        worst.number(m[0], mean, mean.abs().max(f64::MIN_POSITIVE));
        worst.number(s[0], exact, exact.abs());
        let (mean_bar, log_variance_bar) = gaussian_score(data.view(), m.view(), s.view());
        worst.number(log_variance_bar[0], 0.0, exact.abs());
        assert!(!mean_bar[0].is_nan());
    }
    worst.within(REARRANGED, "maximum and score, extreme data");
    // The largest of many differs from their mean by more than f64 can hold.
    let mut data = Array2::from_elem((10, 1), 1.7e308);
    data[[0, 0]] = -1.7e308;
    let (m, s) = gaussian_maximum_likelihood(data.view()).unwrap();
    assert!((m[0] / 1.36e308 - 1.0).abs() < 1e-14);
    assert!((s[0] - 2.0 * (1.02f64.ln() + 308.0 * 10f64.ln())).abs() < 1e-11);
}

#[test]
fn likelihood_is_not_a_density_and_its_score_is_no_nan() {
    // e^-s and e^(-s/2) overflow, and 0·∞ is not 0.
    for s in [-720.0, -1500.0, -4000.0, -1e300] {
        assert_eq!(gaussian_score_at(0.3, 0.3, s), [0.0, -0.5]);
        let (mean_bar, log_variance_bar) = gaussian_score(
            arr2(&[[0.3]]).view(),
            arr1(&[0.3]).view(),
            arr1(&[s]).view(),
        );
        assert_eq!((mean_bar[0], log_variance_bar[0]), (0.0, -0.5));
        let data = arr2(&[[0.0], [0.5], [1.0]]);
        let (mean_bar, _) = gaussian_score(data.view(), arr1(&[0.5]).view(), arr1(&[s]).view());
        assert_eq!(mean_bar[0], 0.0);
    }
    // Three deviations e^-367 from the mean.
    let (mean, s) = (0.0, -734.0f64);
    let data = arr2(&[[0.0], [3.0 * (s / 2.0).exp()]]);
    let (mean_bar, log_variance_bar) =
        gaussian_score(data.view(), arr1(&[mean]).view(), arr1(&[s]).view());
    assert!((mean_bar[0] / (3.0 * (-s / 2.0).exp()) - 1.0).abs() < 1e-13);
    assert!((log_variance_bar[0] - 0.5 * (9.0 - 2.0)).abs() < 1e-12);
}

#[test]
fn likelihood_is_not_a_density_of_very_many_trials() {
    // Stirling's formula at k = n/2: log p = ½ log(2/πn) - 1/(4n) + O(n^-3).
    for n in [2_000u64, 2_000_000, 2_000_000_000_000] {
        let trials = Trials {
            successes: n / 2,
            failures: n / 2,
        };
        let n = n as f64;
        let expected = 0.5 * (2.0 / (std::f64::consts::PI * n)).ln() - 0.25 / n;
        let found = trials.log_probability(0.5).unwrap();
        assert!((found - expected).abs() < 1e-11, "{found} {expected}");
        // One deviation, ½ √n, from the mean.
        let moved = 0.5 + 0.5 / n.sqrt();
        let apart = found - trials.log_probability(moved).unwrap();
        assert!((apart - 0.5).abs() < 1.0 / n.sqrt() + 1e-9, "{apart}");
    }
    // As the product by hand, for all k and probabilities near and far.
    let mut worst = Worst::default();
    for n in [1u64, 2, 5, 30] {
        for theta in [1e-300, 1e-9, 0.2, 0.5, 0.77, 1.0 - 1e-9] {
            let mut log_choose = 0.0;
            for k in 0..=n {
                let trials = Trials {
                    successes: k,
                    failures: n - k,
                };
                let expected = log_choose + trials.log_likelihood(theta).unwrap();
                let found = trials.log_probability(theta).unwrap();
                worst.number(found, expected, expected.abs().max(1.0));
                log_choose += ((n - k) as f64 / (k + 1) as f64).ln();
            }
        }
    }
    worst.within(REARRANGED, "log p(k) by the product");
}

// ---------------------------------------------------------------------------------------------------------
// monte-carlo-expectation

#[test]
fn monte_carlo_expectation_by_enumeration() {
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
fn monte_carlo_expectation_of_a_class_and_of_a_gaussian() {
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
    println!(
        "classes: {estimate}, exact {exact:.6}: {:+.2}",
        estimate.distance(exact)
    );
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
    println!(
        "Gaussian: {estimate}, exact {exact:.6}: {:+.2}",
        estimate.distance(exact)
    );
    assert!(estimate.distance(exact).abs() < 4.0);
}

#[test]
fn monte_carlo_expectation_error_falls_as_the_root() {
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
    println!("Var of the mean: slope {found:.4} in log n");
    assert!((found + 1.0).abs() < 0.04);
    let share = covered as f64 / repetitions as f64;
    println!(
        "exact value within 1.96 standard errors in {:.1} % of the runs",
        100.0 * share
    );
    assert!((share - 0.95).abs() < 4.0 * (0.95f64 * 0.05 / repetitions as f64).sqrt());
}

#[test]
fn monte_carlo_expectation_without_a_variance_converges_slower() {
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
    println!("no variance: slope of the median error {found:.3} in log n");
    assert!((-0.42..-0.26).contains(&found));
}

#[test]
fn monte_carlo_expectation_needs_independent_draws() {
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
fn monte_carlo_expectation_of_odd_data() {
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

// ---------------------------------------------------------------------------------------------------------
// log-derivative

/// An f that depends on the parameters itself: f_k = tanh(a_k) + c_k a_0.
fn dependent<'t>(logits: Var<'t, f64>, c: Var<'t, f64>) -> Var<'t, f64> {
    logits.tanh() + c * logits.slice(0, 0..1)
}

#[test]
fn log_derivative_by_enumeration() {
    let mut rng = rng(131);
    let (mut value, mut gradient, mut hand) =
        (Worst::default(), Worst::default(), Worst::default());
    for k in [1, 2, 3, 7] {
        let (logits, c) = (vector(&mut rng, k), vector(&mut rng, k));
        let tape = Tape::new();
        let (a, c_var) = (tape.variable(logits.clone()), tape.constant(c.clone()));
        let classes = Categorical { logits: a };
        let (q, log_q, f) = (
            classes.probabilities(),
            classes.log_probabilities(),
            dependent(a, c_var),
        );
        // The plain road: differentiate Σ q f.
        let plain = (q * f).sum();
        let identity = log_derivative(q, log_q, f);
        value.number(identity.item(), plain.item(), 1.0);
        let (plain, identity) = (tape.gradients(plain), tape.gradients(identity));
        gradient.entries(&owned(identity.wrt(a)), &owned(plain.wrt(a)));
        // By hand, for an f that does not depend on the logits: q ⊙ (f - E f), and Σ_k q_k f_k (e_k - q).
        let fixed = tape.gradients(log_derivative(q, log_q, c_var)).wrt(a);
        let p = owned(q.value()).into_dimensionality().unwrap();
        hand.entries(
            &categorical_gradient(p.view(), c.view()).into_dyn(),
            &owned(tape.gradients((q * c_var).sum()).wrt(a)),
        );
        hand.entries(
            &owned(fixed),
            &categorical_gradient(p.view(), c.view()).into_dyn(),
        );
        let scores = categorical_scores(p.view());
        let by_scores = (&p * &c).dot(&scores).into_dyn();
        hand.entries(
            &by_scores,
            &categorical_gradient(p.view(), c.view()).into_dyn(),
        );
        // E ∇log q = 0.
        p.dot(&scores)
            .iter()
            .for_each(|mean| hand.number(*mean, 0.0, 1.0));
        let ones = tape.full(&[k], 1.0);
        let mean_score = tape.gradients(log_derivative(q, log_q, ones)).wrt(a);
        mean_score
            .iter()
            .for_each(|mean| hand.number(*mean, 0.0, 1.0));
    }
    value.within(REARRANGED, "value of the identity = Σ q f");
    gradient.within(REARRANGED, "gradient of the identity = gradient of Σ q f");
    hand.within(REARRANGED, "hand = autodiff, and a mean score of 0");
}

/// f(z) = Σ_j [e^(z_j/2) + μ_j z_j²], over the last axis: it depends on the parameter μ, too.
fn smooth<'t>(z: Var<'t, f64>, mean: Var<'t, f64>) -> Var<'t, f64> {
    ((z * 0.5).exp() + mean * z.square()).sum_last()
}

#[test]
fn log_derivative_of_a_gaussian_by_quadrature() {
    // The nodes z = μ + σε are held fixed for the identity; the plain road differentiates E_ε f(μ + σε) through them.
    let mut rng = rng(132);
    let rule = gauss_hermite(30);
    let (mut value, mut gradient, mut mean_score) =
        (Worst::default(), Worst::default(), Worst::default());
    for _ in 0..6 {
        let (mean, s) = (vector(&mut rng, 1), vector(&mut rng, 1) * 0.5 - 1.0);
        let tape = Tape::new();
        let q = DiagonalGaussian {
            mean: tape.variable(mean.clone()),
            log_variance: tape.variable(s.clone()),
        };
        let noise = tape.constant(Array2::from_shape_fn((rule.len(), 1), |(i, _)| rule[i].0));
        let weights = tape.constant(Array1::from_iter(rule.iter().map(|node| node.1)));
        let z = q.sample(noise);
        let plain = (weights * smooth(z, q.mean)).sum();
        let z = z.stop_gradient();
        let identity = log_derivative(weights, q.log_density(z), smooth(z, q.mean));
        value.number(identity.item(), plain.item(), 1.0);
        let ones = tape.full(&[rule.len()], 1.0);
        let score = log_derivative(weights, q.log_density(z), ones);
        let [plain, identity, score] = [plain, identity, score].map(|y| tape.gradients(y));
        for parameter in [q.mean, q.log_variance] {
            gradient.number(identity.wrt(parameter)[[0]], plain.wrt(parameter)[[0]], 1.0);
            mean_score.number(score.wrt(parameter)[[0]], 0.0, 1.0);
        }
        // The scores by hand.
        let mut hand = [0.0; 2];
        for (z, weight) in z.value().iter().zip(weights.value()) {
            let [m, v] = gaussian_score_at(*z, mean[0], s[0]);
            hand[0] += weight * m * z.powi(3);
            hand[1] += weight * v * z.powi(3);
        }
        // E z³ = μ³ + 3μσ²: ∂μ = 3μ² + 3σ², ∂s = 3μσ².
        let (m, v) = (mean[0], s[0].exp());
        mean_score.number(hand[0], 3.0 * m * m + 3.0 * v, 1.0);
        mean_score.number(hand[1], 3.0 * m * v, 1.0);
    }
    value.within(QUADRATURE, "value of the identity = E f");
    gradient.within(QUADRATURE, "E[f ∇log q + ∇f] = ∇ E f by the sampler");
    mean_score.within(
        QUADRATURE,
        "E ∇log q = 0, and ∇ E z³ from the scores by hand",
    );
}

#[test]
fn log_derivative_against_finite_differences() {
    let mut rng = rng(133);
    let mut checked = Checked::default();
    for k in [2, 5] {
        let point = [random(&mut rng, &[k]), random(&mut rng, &[k])];
        let expected: Expression = |v| (v[0].softmax(0) * dependent(v[0], v[1])).sum();
        let identity: Expression = |v| {
            let classes = Categorical { logits: v[0] };
            log_derivative(
                classes.probabilities(),
                classes.log_probabilities(),
                dependent(v[0], v[1]),
            )
        };
        // The identity is no function of a whose derivative it has: it is checked against the expectation.
        let check = Check::new("log-derivative");
        checked.add(
            check
                .run_surrogate(&point, identity, |v, _| expected(v))
                .unwrap(),
        );
    }
    checked.tell("identity against differences of Σ q f");
}

#[test]
fn log_derivative_from_draws() {
    let n = 100_000;
    let mut rng = rng(134);
    // Scores of a Gaussian, and f times them, at draws of the crate's sampler.
    let (mean, s) = (0.6, -0.3);
    let tape = Tape::new();
    let q = DiagonalGaussian {
        mean: tape.constant(arr1(&[mean])),
        log_variance: tape.constant(arr1(&[s])),
    };
    let z = owned(q.sample(standard_normal(&tape, &[n, 1], &mut rng)).value());
    let scores: Vec<[f64; 2]> = z.iter().map(|z| gaussian_score_at(*z, mean, s)).collect();
    for (i, what) in ["∂μ", "∂s"].into_iter().enumerate() {
        let draws: Vec<f64> = scores.iter().map(|score| score[i]).collect();
        Statistics::of(&draws).agree_with(0.0, &format!("mean score, {what}"));
        let weighted: Vec<f64> = z.iter().zip(&draws).map(|(z, g)| z.powi(3) * g).collect();
        let v = s.exp();
        let exact = [3.0 * mean * mean + 3.0 * v, 3.0 * mean * v][i];
        Statistics::of(&weighted).agree_with(exact, &format!("E[z³ score], {what}"));
    }
}

#[test]
fn log_derivative_needs_a_support_that_stays() {
    // U(0, θ) has the density 1/θ, and the score -1/θ wherever it is positive: its mean is not 0. E z = θ/2 has the
    // derivative ½, the identity says -½: it misses what comes in at the edge.
    for theta in [0.5, 1.0, 3.0] {
        let rule = gauss_legendre(4);
        let tape = Tape::new();
        let t = tape.variable(arr1(&[theta]));
        let z = tape.constant(Array1::from_iter(rule.iter().map(|node| node.0 * theta)));
        let weights = tape.constant(Array1::from_iter(rule.iter().map(|node| node.1)));
        let log_q = -(t.ln().broadcast_to(&[4]));
        let score = |f| tape.gradients(log_derivative(weights, log_q, f)).wrt(t)[[0]];
        assert!((score(tape.full(&[4], 1.0)) + 1.0 / theta).abs() < 1e-12);
        assert!((score(z) + 0.5).abs() < 1e-12);
    }
}

#[test]
fn log_derivative_with_an_impossible_class() {
    let tape = Tape::new();
    let a = tape.variable(arr1(&[0.0, -INF, 3f64.ln()]));
    let classes = Categorical { logits: a };
    // f is infinite where q is 0.
    let f = tape.variable(arr1(&[4.0, INF, 8.0]));
    let y = log_derivative(classes.probabilities(), classes.log_probabilities(), f);
    assert!((y.item() - 7.0f64).abs() < 1e-15);
    let gradients = tape.gradients(y);
    // q ⊙ (f - E f) and q.
    let expected = [[-0.75, 0.0, 0.75], [0.25, 0.0, 0.75]];
    for (found, expected) in [a, f].map(|v| gradients.wrt(v)).iter().zip(expected) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        }
    }
}

#[test]
fn log_derivative_of_an_infinite_f() {
    // Where q is 0, f does not count, however infinite.
    let q = arr1(&[0.5, 0.5, 0.0]);
    let by_hand = categorical_gradient(q.view(), arr1(&[1.0, 2.0, -INF]).view());
    assert_eq!(by_hand, arr1(&[-0.25, 0.25, 0.0]));
    let tape = Tape::new();
    let log_q = tape.variable(q.mapv(f64::ln));
    let f = |f: [f64; 3]| tape.constant(arr1(&f));
    let surrogate = log_derivative(tape.constant(q.clone()), log_q, f([1.0, 2.0, -INF]));
    assert_eq!(surrogate.item(), 1.5);
    let gradient = tape.gradients(surrogate).wrt(log_q);
    assert_eq!(owned(gradient), arr1(&[0.5, 1.0, 0.0]).into_dyn());
    // Where it is not, the expectation is infinite.
    for infinite in [INF, -INF] {
        let surrogate = log_derivative(tape.constant(q.clone()), log_q, f([1.0, infinite, 0.0]));
        assert_eq!(surrogate.item(), infinite);
    }
}

#[test]
#[should_panic(expected = "not ∞ here and -∞ there")]
fn log_derivative_refuses_infinities_of_both_signs() {
    let tape = Tape::new();
    let q = tape.constant(arr1(&[0.5, 0.5]));
    log_derivative(q, q.ln(), tape.constant(arr1(&[INF, -INF])));
}

#[test]
#[should_panic(expected = "expected finite values where q is positive, found -inf")]
fn log_derivative_refuses_a_class_with_an_infinite_f() {
    categorical_gradient(arr1(&[0.5, 0.5]).view(), arr1(&[1.0, -INF]).view());
}

// ---------------------------------------------------------------------------------------------------------
// jensen-gap

/// log E w, E log w and the gap for q = softmax(a).
fn sides<'t>(v: &[Var<'t, f64>]) -> Jensen<'t, f64> {
    jensen(v[0].log_softmax(0), v[1]).unwrap()
}

#[test]
fn jensen_gap_by_hand() {
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
fn jensen_gap_against_finite_differences() {
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
    checked.tell("both sides and the gap, first and second order");
}

#[test]
fn jensen_gap_of_a_log_normal_weight() {
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
fn jensen_gap_from_draws() {
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
        println!("E log of the mean of {n} weights: {logs}, log E w = {log_mean}");
        if n == 1 {
            assert!(logs.distance(mean_log).abs() < 4.0);
        }
        assert!(logs.mean > last && logs.mean + 4.0 * logs.standard_error < log_mean);
        last = logs.mean;
    }
}

#[test]
fn jensen_gap_is_zero_only_for_constant_weights() {
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
        println!("log w = 7 ± {size:e}: relative error of the gap {error:.1e}");
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
fn jensen_gap_is_never_negative_and_no_nan() {
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

// ---------------------------------------------------------------------------------------------------------
// evidence

#[test]
fn evidence_by_enumeration() {
    let mut rng = rng(151);
    let mut worst = Worst::default();
    for (k, n) in [(1usize, 4usize), (2, 1), (2, 6), (3, 4), (5, 0), (7, 2)] {
        let total = k.pow(n as u32);
        let table = vector(&mut rng, total) * 3.0;
        let index = |z: &[usize]| z.iter().fold(0, |index, digit| index * k + digit);
        let (found, terms) = enumerate(k, n, |z| table[index(z)]).unwrap();
        assert_eq!(terms, total as u64);
        let naive = table.mapv(f64::exp).sum().ln();
        worst.number(found, naive, naive.abs().max(1.0));
        // The same by the tape, as Bayes' rule with a uniform prior.
        let tape = Tape::new();
        let prior = tape.full(&[total], -(total as f64).ln());
        let likelihood = tape.constant(table.clone() + (total as f64).ln());
        let by_rule = posterior(prior, likelihood).unwrap().log_evidence.item();
        worst.number(found, by_rule, naive.abs().max(1.0));
    }
    worst.within(REARRANGED, "streaming = naive sum = Bayes' rule");
    // No exponential over- or underflows.
    let (high, _) = enumerate(2, 3, |z| 1e4 * z[0] as f64).unwrap();
    assert!((high - (1e4 + 4f64.ln())).abs() < 1e-9);
    let (low, _) = enumerate(2, 3, |_| -1e4).unwrap();
    assert!((low - (-1e4 + 8f64.ln())).abs() < 1e-9);
}

#[test]
fn evidence_by_enumeration_refuses() {
    assert_eq!(
        enumerate(2, 64, |_| 0.0).unwrap_err(),
        BadData::TooMany {
            states: 2,
            variables: 64
        }
    );
    assert_eq!(
        enumerate(0, 2, |_| 0.0).unwrap_err(),
        BadData::Empty { what: "states" }
    );
    assert_eq!(
        enumerate(2, 2, |_| -INF).unwrap_err(),
        BadData::Impossible { row: 0 }
    );
    let at_third = |bad: f64| enumerate(2, 2, move |z| if z == [1, 0] { bad } else { 0.0 });
    for bad in [f64::NAN, INF] {
        assert!(matches!(
            at_third(bad),
            Err(BadData::Number { index: 2, .. })
        ));
    }
    assert_eq!(at_third(-INF).unwrap().0, 3f64.ln());
}

#[test]
fn evidence_with_structure_needs_few_terms() {
    // Kⁿ terms for a table without structure; n K² for a chain z₁ → z₂ → … with an observation each, by passing sums on.
    let mut rng = rng(152);
    let mut worst = Worst::default();
    for (k, n) in [(2usize, 10usize), (3, 7), (4, 5)] {
        let start = softmax(&vector(&mut rng, k));
        let step: Vec<Array1<f64>> = (0..k).map(|_| softmax(&vector(&mut rng, k))).collect();
        let seen: Vec<Array1<f64>> = (0..n).map(|_| vector(&mut rng, k).mapv(f64::exp)).collect();
        let (exhaustive, terms) = enumerate(k, n, |z| {
            let first = start[z[0]].ln() + seen[0][z[0]].ln();
            let rest = (1..n).map(|i| step[z[i - 1]][z[i]].ln() + seen[i][z[i]].ln());
            first + rest.sum::<f64>()
        })
        .unwrap();
        let mut message = &start * &seen[0];
        let mut products = k;
        for seen in &seen[1..] {
            let next = Array1::from_shape_fn(k, |to| {
                (0..k)
                    .map(|from| message[from] * step[from][to])
                    .sum::<f64>()
                    * seen[to]
            });
            products += k * k;
            message = next;
        }
        println!("K = {k}, n = {n}: {terms} terms, or {products} by the chain");
        worst.number(message.sum().ln(), exhaustive, exhaustive.abs().max(1.0));
    }
    worst.within(REARRANGED, "chain = enumeration");
}

/// W, b, log σ² and data, D×d and n of them.
fn linear(rng: &mut StdRng, dimensions: usize, latents: usize, n: usize) -> [ArrayD<f64>; 4] {
    [
        random(rng, &[dimensions, latents]),
        random(rng, &[dimensions]),
        random(rng, &[]),
        random(rng, &[n, dimensions]),
    ]
}

fn model<'t>(v: &[Var<'t, f64>]) -> LinearGaussian<'t, f64> {
    LinearGaussian {
        weights: v[0],
        offset: v[1],
        log_noise: v[2],
    }
}

const SIZES: [(usize, usize, usize); 6] = [
    (1, 1, 3),
    (2, 1, 4),
    (3, 2, 2),
    (2, 2, 1),
    (2, 4, 3),
    (6, 3, 2),
];

/// The inverse and the determinant by elimination with pivoting: no Cholesky factor.
fn inverse_and_determinant(matrix: &Array2<f64>) -> (Array2<f64>, f64) {
    let n = matrix.nrows();
    let (mut a, mut inverse, mut determinant) = (matrix.clone(), Array2::eye(n), 1.0);
    for column in 0..n {
        let pivot = (column..n)
            .max_by(|i, j| a[[*i, column]].abs().total_cmp(&a[[*j, column]].abs()))
            .unwrap();
        if pivot != column {
            for j in 0..n {
                a.swap([pivot, j], [column, j]);
                inverse.swap([pivot, j], [column, j]);
            }
            determinant = -determinant;
        }
        let p = a[[column, column]];
        determinant *= p;
        for j in 0..n {
            a[[column, j]] /= p;
            inverse[[column, j]] /= p;
        }
        for i in (0..n).filter(|i| *i != column) {
            let factor = a[[i, column]];
            for j in 0..n {
                a[[i, j]] -= factor * a[[column, j]];
                inverse[[i, j]] -= factor * inverse[[column, j]];
            }
        }
    }
    (inverse, determinant)
}

#[test]
fn evidence_of_the_linear_gaussian_model_by_hand() {
    // -½ [D log 2π + log |C| + δᵀC⁻¹δ] with C formed, inverted and its determinant taken by elimination; and the gradient,
    // with u = C⁻¹δ: b̄ = u, W̄ = (u uᵀ - C⁻¹) W, s̄ = ½ σ² (|u|² - tr C⁻¹).
    let mut rng = rng(153);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for (dimensions, latents, n) in SIZES {
        let point = linear(&mut rng, dimensions, latents, n);
        let w: Array2<f64> = point[0].clone().into_dimensionality().unwrap();
        let b: Array1<f64> = point[1].clone().into_dimensionality().unwrap();
        let x: Array2<f64> = point[3].clone().into_dimensionality().unwrap();
        let noise = point[2].sum().exp();
        let covariance = w.dot(&w.t()) + Array2::<f64>::eye(dimensions) * noise;
        let (inverse, determinant) = inverse_and_determinant(&covariance);
        let mut expected = Array1::zeros(n);
        let mut bars = [
            ArrayD::zeros(point[0].shape()),
            ArrayD::zeros(point[1].shape()),
            ArrayD::zeros(vec![]),
        ];
        for (row, x) in x.outer_iter().enumerate() {
            let delta = &x - &b;
            let u = inverse.dot(&delta);
            let constant = dimensions as f64 * TAU.ln() + determinant.ln();
            expected[row] = -0.5 * (constant + delta.dot(&u));
            let column = u.clone().insert_axis(Axis(1));
            bars[0] += &(column.dot(&column.t()) - &inverse).dot(&w);
            bars[1] += &u;
            let trace = inverse.diag().sum();
            bars[2] += 0.5 * noise * (u.dot(&u) - trace);
        }
        let tape = Tape::new();
        let v: Vec<_> = point.iter().map(|p| tape.variable(p.clone())).collect();
        let roads = [
            model(&v).log_evidence_by_covariance(v[3]).unwrap(),
            model(&v).log_evidence_by_latents(v[3]).unwrap(),
            model(&v).log_evidence(v[3]).unwrap(),
        ];
        for found in roads {
            value.entries(&owned(found.value()), &expected.clone().into_dyn());
            let gradients = tape.gradients(found.sum());
            for (v, bar) in v.iter().zip(&bars) {
                gradient.entries(&owned(gradients.wrt(*v)), bar);
            }
        }
    }
    // The condition numbers of these covariances go up to some hundreds.
    value.within(1e-12, "both roads = elimination");
    gradient.within(1e-11, "gradient: hand = autodiff on both roads");
}

#[test]
fn evidence_of_the_linear_gaussian_model_against_finite_differences() {
    let mut rng = rng(154);
    let mut checked = Checked::default();
    let roads: [Expression; 2] = [
        |v| model(v).log_evidence_by_covariance(v[3]).unwrap(),
        |v| model(v).log_evidence_by_latents(v[3]).unwrap(),
    ];
    for (dimensions, latents, n) in SIZES {
        let point = linear(&mut rng, dimensions, latents, n);
        for f in roads {
            let check = Check::new("evidence");
            checked.add(check.run(&point, f).unwrap());
            checked.add(check.run_second_order(&point, f).unwrap());
        }
    }
    checked.tell("both roads, first and second order");
}

#[test]
fn evidence_is_the_integral_over_the_latents() {
    // E p(x|z) over z ~ N(0, I), by Gauss–Hermite in one and two dimensions, with the model's own density; and the mean and
    // covariance of its own sampler's x, by quadrature over all of its noise.
    let mut rng = rng(155);
    let rule = gauss_hermite(60);
    let mut worst = Worst::default();
    for (dimensions, latents) in [(1, 1), (3, 1), (1, 2), (2, 2)] {
        let [w, b, _, x] = linear(&mut rng, dimensions, latents, 1);
        let count = rule.len().pow(latents as u32);
        let node = |i: usize, j: usize| rule[i / rule.len().pow(j as u32) % rule.len()];
        let z = Array2::from_shape_fn((count, latents), |(i, j)| node(i, j).0);
        let tape = Tape::new();
        let v = [w * 0.5, b, ArrayD::from_elem(IxDyn(&[]), -0.6), x].map(|p| tape.constant(p));
        let log_p = model(&v).log_likelihood(v[3], tape.constant(z)).value();
        let sum: f64 = log_p
            .iter()
            .enumerate()
            .map(|(i, l)| l.exp() * (0..latents).map(|j| node(i, j).1).product::<f64>())
            .sum();
        let found = model(&v).log_evidence(v[3]).unwrap();
        worst.number(found.item().exp(), sum, sum);
    }
    worst.within(QUADRATURE, "closed form = quadrature over z");
}

#[test]
fn evidence_obeys_bayes_rule() {
    // log p(x|z) + log p(z) - log p(x) = log p(z|x) at every z.
    let mut rng = rng(156);
    let mut worst = Worst::default();
    for (dimensions, latents, n) in SIZES {
        let point = linear(&mut rng, dimensions, latents, n);
        let tape = Tape::new();
        let v: Vec<_> = point.iter().map(|p| tape.constant(p.clone())).collect();
        let z = tape.constant(random(&mut rng, &[n, latents]));
        let zero = tape.full(&[latents], 0.0);
        let prior = DiagonalGaussian {
            mean: zero,
            log_variance: zero,
        };
        let joint = model(&v).log_likelihood(v[3], z) + prior.log_density(z);
        let found = joint - model(&v).log_evidence(v[3]).unwrap();
        let after = model(&v).posterior(v[3]).unwrap();
        let expected = after.log_density(z);
        let scale = owned(joint.value())
            .iter()
            .fold(1.0, |s: f64, l| s.max(l.abs()));
        for (found, expected) in found.value().iter().zip(expected.value()) {
            worst.number(*found, expected, scale);
        }
    }
    worst.within(1e-12, "joint / evidence = posterior");
}

#[test]
fn evidence_from_draws_of_the_model() {
    // The mean of p(x|z) over draws of the prior, and the mean of δδᵀ over the model's own x.
    let n = 100_000;
    let mut rng = rng(157);
    let [w, b, _, x] = linear(&mut rng, 2, 2, 1);
    let tape = Tape::new();
    let log_noise = ArrayD::from_elem(IxDyn(&[]), -0.6);
    let v = [w * 0.5, b, log_noise, x].map(|p| tape.constant(p));
    let z = standard_normal(&tape, &[n, 2], &mut rng);
    let p = owned(model(&v).log_likelihood(v[3], z).exp().value());
    let exact = model(&v).log_evidence(v[3]).unwrap().item().exp();
    Statistics::of(&p).agree_with(exact, "mean of p(x|z)");
    let noise = standard_normal(&tape, &[n, 2], &mut rng);
    let offsets = owned((model(&v).sample(z, noise) - v[1]).value());
    let noise = tape.constant(Array2::eye(2)) * (-0.6f64).exp();
    let covariance = owned((v[0].matmul(v[0].t()) + noise).value());
    for (i, j) in [(0, 0), (0, 1), (1, 1)] {
        let products: Vec<f64> = offsets.rows().into_iter().map(|d| d[i] * d[j]).collect();
        Statistics::of(&products).agree_with(covariance[[i, j]], &format!("Cov x[{i}] x[{j}]"));
    }
}

#[test]
fn evidence_in_many_dimensions() {
    // Dimension alone is no obstacle: 300 of data, 20 of latents, both roads.
    let mut rng = rng(158);
    let point = linear(&mut rng, 300, 20, 3);
    let tape = Tape::new();
    let v: Vec<_> = point.iter().map(|p| tape.constant(p.clone())).collect();
    let roads = [
        owned(model(&v).log_evidence_by_covariance(v[3]).unwrap().value()),
        owned(model(&v).log_evidence_by_latents(v[3]).unwrap().value()),
    ];
    let mut worst = Worst::default();
    worst.entries(&roads[0], &roads[1]);
    println!("log p(x) of three data in 300 dimensions: {:.3}", roads[0]);
    worst.within(1e-11, "both roads in 300 dimensions");
    // The smaller matrix keeps its digits where the noise is small: |δ - Wm|²/σ² + |m|² is a sum of squares.
    let tape = Tape::new();
    let v: Vec<_> = point.iter().map(|p| tape.constant(p.clone())).collect();
    let quiet = LinearGaussian {
        log_noise: tape.scalar(-20.0),
        ..model(&v)
    };
    let on_the_plane = tape.constant(random(&mut rng, &[1, 20])).matmul(v[0].t()) + v[1];
    let by_latents = quiet.log_evidence_by_latents(on_the_plane).unwrap().item();
    let by_covariance = quiet
        .log_evidence_by_covariance(on_the_plane)
        .unwrap()
        .item();
    let relative = ((by_latents - by_covariance) / by_latents).abs();
    println!("noise e^-20, x in the plane of W: roads differ by {relative:.1e}");
    assert!(relative < 1e-6);
}

#[test]
fn evidence_of_what_is_no_model_is_an_error() {
    let tape = Tape::new();
    let with = |log_noise: f64| {
        let model = LinearGaussian {
            weights: tape.constant(arr2(&[[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]])),
            offset: tape.constant(arr1(&[0.0, 0.0, 0.0])),
            log_noise: tape.scalar(log_noise),
        };
        let x = tape.constant(arr1(&[1.0, 2.0, 3.0]));
        [
            model.log_evidence_by_covariance(x).map(|e| e.item()),
            model.log_evidence_by_latents(x).map(|e| e.item()),
        ]
    };
    for bad in [-INF, INF, f64::NAN, -800.0, -80.0] {
        for result in with(bad) {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("expected"), "{error}");
        }
    }
    let [a, b] = with(-5.0).map(Result::unwrap);
    assert!((a - b).abs() < 1e-9 * a.abs());
}

/// The plane of the first axis in two dimensions, at and off which x lies.
fn at_the_plane<T: elbo::Scalar>(log_noise: f64, off: f64) -> [f64; 3] {
    let tape = Tape::<T>::new();
    let numbers = |x: [f64; 2]| tape.variable(arr1(&x.map(T::of)));
    let model = LinearGaussian {
        weights: numbers([1.0, 0.0]).reshape(&[2, 1]),
        offset: numbers([0.25, 0.5]),
        log_noise: tape.variable(ndarray::arr0(T::of(log_noise))),
    };
    let x = numbers([0.25, 0.5 + off]);
    let z = tape.constant(arr1(&[T::zero()]));
    let q = MultivariateGaussian::from_factor(z, tape.constant(arr2(&[[T::of(1e-30)]]))).unwrap();
    let log_likelihood = model.log_likelihood(x, z);
    let gradients = tape.gradients(log_likelihood);
    let slopes = [gradients.wrt(x), gradients.wrt(model.offset)];
    assert!(slopes.iter().flatten().all(|g| !g.is_nan()));
    assert!(!gradients.wrt(model.log_noise)[[]].is_nan());
    [
        model.log_evidence_by_latents(x).unwrap(),
        log_likelihood,
        model.elbo(x, &q),
    ]
    .map(|y| y.item().as_f64())
}

#[test]
fn evidence_with_very_little_noise_is_no_nan() {
    let mut worst = Worst::default();
    for s in [-700.0, -710.0, -1400.0, -1500.0, -4000.0] {
        let [evidence, log_likelihood, bound] = at_the_plane::<f64>(s, 0.0);
        worst.number(evidence, -TAU.ln() - 0.5 * s, s.abs());
        worst.number(log_likelihood, -TAU.ln() - s, s.abs());
        assert!(bound < -1e80, "{bound}");
        // e^-s off the plane.
        let [evidence, _, _] = at_the_plane::<f64>(s, 1.0);
        assert!(evidence < -1e300, "{evidence}");
    }
    // Two deviations off it.
    let s = -715.0f64;
    let tape = Tape::new();
    let model = LinearGaussian {
        weights: tape.constant(arr2(&[[1.0], [0.0]])),
        offset: tape.constant(arr1(&[0.0, 0.0])),
        log_noise: tape.scalar(s),
    };
    let x = tape.constant(arr1(&[0.0, 2.0 * (s / 2.0).exp()]));
    let expected = -TAU.ln() - 0.5 * (s + 4.0);
    worst.number(model.log_evidence(x).unwrap().item(), expected, 100.0);
    worst.within(
        REARRANGED,
        "evidence and likelihood with σ² from e^-700 to e^-4000",
    );
    for s in [-90.0, -180.0, -1000.0] {
        let [evidence, log_likelihood, _] = at_the_plane::<f32>(s, 0.0);
        assert!((evidence + TAU.ln() + 0.5 * s).abs() < 1e-3);
        assert!((log_likelihood + TAU.ln() + s).abs() < 1e-3);
    }
}

#[test]
fn evidence_and_bayes_rule_in_single_precision() {
    // The same code in f32, against f64.
    fn found<T: elbo::Scalar>() -> Vec<f64> {
        let tape = Tape::<T>::new();
        let numbers =
            |values: &[f64]| tape.constant(Array1::from_iter(values.iter().map(|v| T::of(*v))));
        let prior = numbers(&[0.3, -1.0, 0.2]).log_softmax(0);
        let after = posterior(prior, numbers(&[-3.0, f64::NEG_INFINITY, -2.5])).unwrap();
        let sides = jensen(prior, numbers(&[0.1, 2.0, -0.7])).unwrap();
        let model = LinearGaussian {
            weights: numbers(&[1.0, 0.4, -0.5, 2.0, 0.3, 0.9]).reshape(&[3, 2]),
            offset: numbers(&[0.1, 0.2, 0.3]),
            log_noise: tape.scalar(T::of(-0.5)),
        };
        let x = numbers(&[1.0, -1.0, 0.4]);
        let surrogate = log_derivative(prior.exp(), prior, numbers(&[1.0, 5.0, -2.0]));
        [
            after.log_evidence,
            after.log_posterior.slice(0, 0..1).sum(),
            sides.log_mean,
            sides.gap,
            model.log_evidence_by_covariance(x).unwrap(),
            model.log_evidence_by_latents(x).unwrap(),
            surrogate,
        ]
        .map(|y| y.item().as_f64())
        .to_vec()
    }
    for (single, double) in found::<f32>().iter().zip(found::<f64>()) {
        assert!(
            (single - double).abs() < 2e-6 * double.abs().max(1.0),
            "{single} {double}"
        );
    }
}
