//! docs/variational.md#optimal-q-and-em: the posterior alone maximises the bound over all q, so that EM never lowers
//! the likelihood.

mod limits;
mod steps;

use elbo::autodiff::Tape;
use elbo::variational::{
    Covariances, Enumerated, GaussianMixture, GaussianMixtureError, Stopping, em,
};
use ndarray::{Array1, Array2, Array3, arr1, arr2};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::random::{random, rng};
use crate::common::reporting::report;
use crate::variational::shared::tables::{NEVER, logs, probabilities};

#[test]
fn no_q_is_better_than_the_posterior() {
    let mut rng = rng(150);
    let mut slopes = 0.0f64;
    for states in 2..8 {
        let joint = probabilities(&mut rng, states, states % 2 == 0);
        let tape = Tape::new();
        let log_joint = tape.constant(logs(&joint) + 0.4f64.ln());
        let logits = tape.variable(logs(&joint));
        let elbo = |q| Enumerated::new(log_joint, q).unwrap().elbo_from_jensen();
        let best = elbo(logits.log_softmax(0));
        assert!((best.item() - 0.4f64.ln()).abs() < 1e-14);
        let slope = tape.gradients(best).wrt(logits);
        slopes = slope.iter().fold(slopes, |m, s| m.max(s.abs()));
        for _ in 0..200 {
            let q: Vec<f64> = probabilities(&mut rng, states, true);
            assert!(elbo(tape.constant(logs(&q))).item() <= best.item() + 1e-14);
        }
        // Among the q that are certain, the best is the mode, with log p(x, z).
        for (z, p) in joint.iter().enumerate() {
            let certain: Vec<f64> = (0..states).map(|k| f64::from(u8::from(k == z))).collect();
            let found = elbo(tape.constant(logs(&certain))).item();
            assert!(found == NEVER && *p == 0.0 || (found - (0.4 * p).ln()).abs() < 1e-14);
        }
    }
    report(format!("largest slope at the posterior {slopes:.1e}"));
    assert!(slopes < 1e-15);
}

#[test]
fn by_climbing_the_bound() {
    // Plain gradient ascent on q's logits, from anywhere, ends in the posterior.
    let mut rng = rng(151);
    for states in [2, 4, 6] {
        let posterior = probabilities(&mut rng, states, false);
        let mut a = random(&mut rng, &[states]);
        for _ in 0..4000 {
            let tape = Tape::new();
            let logits = tape.variable(a.clone());
            let model = Enumerated::new(tape.constant(logs(&posterior)), logits.log_softmax(0));
            let gradients = tape.gradients(model.unwrap().elbo_from_jensen());
            a = a + gradients.wrt(logits);
        }
        let tape = Tape::new();
        let q = tape.constant(a).softmax(0).value();
        assert!((0..states).all(|z| (q[z] - posterior[z]).abs() < 1e-8));
    }
}

/// A random mixture.
fn mixture(rng: &mut StdRng, k: usize, d: usize, covariances: Covariances) -> GaussianMixture {
    let covariances = match covariances {
        Covariances::Diagonal => (0..k)
            .flat_map(|_| {
                let v = Array1::from_shape_simple_fn(d, || rng.random_range(0.3..1.5));
                Array2::from_diag(&v)
            })
            .collect(),
        Covariances::Full => (0..k)
            .flat_map(|_| {
                let a: Array2<f64> = random(rng, &[d, d]).into_dimensionality().unwrap();
                a.dot(&a.t()) * 0.3 + Array2::<f64>::eye(d) * 0.3
            })
            .collect(),
    };
    GaussianMixture {
        weights: probabilities(rng, k, false).into(),
        means: random(rng, &[k, d]).into_dimensionality().unwrap() * 1.5,
        covariances: Array3::from_shape_vec((k, d, d), covariances).unwrap(),
    }
}

/// Draws from a random mixture.
fn sampled(rng: &mut StdRng, k: usize, d: usize, kind: Covariances, n: usize) -> Array2<f64> {
    let made_from = mixture(rng, k, d, kind);
    draws(rng, &made_from, n)
}

/// Draws from a mixture.
fn draws(rng: &mut StdRng, mixture: &GaussianMixture, n: usize) -> Array2<f64> {
    let d = mixture.means.ncols();
    let factors: Vec<Array2<f64>> = mixture
        .covariances
        .outer_iter()
        .map(|c| {
            let tape = Tape::new();
            let factor = tape.constant(c).cholesky().unwrap().value();
            factor.into_owned().into_dimensionality().unwrap()
        })
        .collect();
    let mut data = Array2::zeros((n, d));
    for mut x in data.rows_mut() {
        let u: f64 = rng.random();
        let ends = mixture.weights.iter().scan(0.0, |end, w| {
            *end += w;
            Some(*end)
        });
        let k = ends
            .take_while(|end| *end <= u)
            .count()
            .min(mixture.weights.len() - 1);
        let tape = Tape::new();
        let noise = elbo::distributions::noise::standard_normal(&tape, &[d], rng).value();
        let noise: Array1<f64> = noise.into_owned().into_dimensionality().unwrap();
        x.assign(&(factors[k].dot(&noise) + mixture.means.row(k)));
    }
    data
}

#[test]
fn never_lowers_the_likelihood() {
    let mut rng = rng(153);
    let (mut steps, mut lowest_rise) = (0, f64::INFINITY);
    let mut widest = 0.0f64;
    for case in 0..24 {
        let (k, d) = (1 + case % 4, 1 + case % 3);
        let kind = [Covariances::Full, Covariances::Diagonal][case % 2];
        let data = sampled(&mut rng, k, d, kind, 60);
        let start = GaussianMixture::start(data.view(), k, kind, &mut rng).unwrap();
        let stopping = Stopping {
            steps: 60,
            tolerance: 1e-9,
        };
        let fit = match em(data.view(), start, kind, stopping) {
            Ok(fit) => fit,
            Err(GaussianMixtureError::Collapsed { .. }) => continue,
            Err(other) => panic!("{other}"),
        };
        let rounding = 1e-13 * fit.log_likelihoods[0].abs();
        for (step, bound) in fit.bounds.iter().enumerate() {
            let [before, after] = [fit.log_likelihoods[step], fit.log_likelihoods[step + 1]];
            assert!(before - rounding <= *bound && *bound <= after + rounding);
            lowest_rise = lowest_rise.min(after - before);
            widest = widest.max(after - bound);
            steps += 1;
        }
    }
    report(format!(
        "{steps} steps, lowest rise {lowest_rise:.1e} nats, widest gap after an M-step {widest:.2} nats"
    ));
    assert!(steps > 300 && widest > 0.1);
}

#[test]
fn finds_the_mixture_that_made_the_data() {
    let mut rng = rng(158);
    let truth = GaussianMixture {
        weights: arr1(&[0.3, 0.7]),
        means: arr2(&[[-2.0], [1.5]]),
        covariances: Array3::from_shape_vec((2, 1, 1), vec![0.25, 1.0]).unwrap(),
    };
    let n = 20_000;
    let data = draws(&mut rng, &truth, n);
    let start = GaussianMixture {
        weights: arr1(&[0.5, 0.5]),
        means: arr2(&[[-1.0], [1.0]]),
        covariances: Array3::ones((2, 1, 1)),
    };
    let stopping = Stopping {
        steps: 200,
        tolerance: 1e-10,
    };
    let fit = em(data.view(), start, Covariances::Full, stopping).unwrap();
    let m = &fit.mixture;
    report(format!(
        "after {} steps: means {:.4} and {:.4}",
        fit.bounds.len(),
        m.means[[0, 0]],
        m.means[[1, 0]]
    ));
    // With the components known a mean is off by σ/√(nπ), which is 0.0065 and 0.0085; overlap makes it a little more.
    assert!(fit.converged && (&m.means - &truth.means).iter().all(|e| e.abs() < 0.05));
    assert!((&m.weights - &truth.weights).iter().all(|e| e.abs() < 0.02));
    assert!(
        (&m.covariances - &truth.covariances)
            .iter()
            .all(|e| e.abs() < 0.06)
    );
    // The maximum likelihood is above that of the truth, by about a number of parameters times ½.
    let of_truth: f64 = truth.log_densities(data.view()).unwrap().sum();
    let excess = fit.log_likelihoods.last().unwrap() - of_truth;
    report(format!(
        "log-likelihood above that of the truth by {excess:.2} nats"
    ));
    assert!(excess > 0.0 && excess < 15.0);
}
