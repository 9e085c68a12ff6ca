//! The importance-weighted estimate of log p(x), against the one model whose evidence is known.

use elbo::autodiff::Tape;
use elbo::distributions::noise::standard_normal;
use elbo::nn::{Activation, Parameters};
use elbo::vae::{Architecture, Divergence, Evidence, Likelihood, Vae};
use ndarray::{Array1, Array2, Axis, arr1, arr2};
use rand::Rng;

use crate::common::random::rng;

/// log N(x; b, WWᵀ + σ²I), by a Cholesky factor.
fn exact_evidence(x: &Array1<f64>, weight: &Array2<f64>, bias: &Array1<f64>, sigma: f64) -> f64 {
    let d = x.len();
    let covariance = weight.dot(&weight.t()) + Array2::<f64>::eye(d) * sigma * sigma;
    let mut factor = Array2::<f64>::zeros((d, d));
    for i in 0..d {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| factor[[i, k]] * factor[[j, k]]).sum();
            let rest = covariance[[i, j]] - known;
            factor[[i, j]] = if i == j {
                rest.sqrt()
            } else {
                rest / factor[[j, j]]
            };
        }
    }
    // Forward substitution: L y = x - b.
    let mut y = x - bias;
    for i in 0..d {
        let known: f64 = (0..i).map(|k| factor[[i, k]] * y[k]).sum();
        y[i] = (y[i] - known) / factor[[i, i]];
    }
    let log_determinant: f64 = factor.diag().mapv(f64::ln).sum();
    -0.5 * (d as f64 * std::f64::consts::TAU.ln() + y.dot(&y)) - log_determinant
}

const SIGMA: f64 = 0.7;

/// A linear-Gaussian VAE: x = W z + b + σ ε, so that p(x) is known, and so is p(z|x) = N(V Wᵀ(x-b)/σ², V) with
/// V = (I + WᵀW/σ²)⁻¹, diagonal because W's columns are orthogonal.
struct Linear {
    vae: Vae,
    parameters: Parameters<f64>,
    weight: Array2<f64>,
    bias: Array1<f64>,
}

impl Linear {
    /// With an encoder that is the posterior, but for a factor on its weights and a summand of its log-variances.
    fn new(factor: f64, widening: f64) -> Self {
        let weight = arr2(&[[1.0, 0.5], [0.5, -1.0], [-0.6, 0.4], [0.2, 1.2]]);
        let bias = arr1(&[0.3, -0.2, 0.1, 0.6]);
        let precision = weight.mapv(|w| w * w).sum_axis(Axis(0)) / (SIGMA * SIGMA) + 1.0;
        assert!(weight.column(0).dot(&weight.column(1)).abs() < 1e-15);
        let (mut mean, mut start) = (Array2::zeros((4, 4)), Array1::zeros(4));
        for i in 0..2 {
            let row = &weight.column(i) * (factor / (precision[i] * SIGMA * SIGMA));
            start[i] = -row.dot(&bias);
            start[2 + i] = widening - precision[i].ln();
            mean.row_mut(i).assign(&row);
        }
        let mut parameters = Parameters::new();
        let architecture = Architecture {
            dimensions: 4,
            hidden: vec![],
            latent: 2,
            activation: Activation::Relu,
            likelihood: Likelihood::Gaussian { deviation: SIGMA },
        };
        let vae = Vae::new(architecture, &mut parameters, &mut rng(0));
        parameters.set("encoder.0.weight", mean).unwrap();
        parameters.set("encoder.0.bias", start).unwrap();
        parameters.set("decoder.0.weight", weight.clone()).unwrap();
        parameters.set("decoder.0.bias", bias.clone()).unwrap();
        Self {
            vae,
            parameters,
            weight,
            bias,
        }
    }

    fn evidence(&self, x: &Array1<f64>) -> f64 {
        exact_evidence(x, &self.weight, &self.bias, SIGMA)
    }

    fn estimate(&self, samples: usize, data: &Array2<f64>, seed: u64) -> Array1<f64> {
        let evidence = Evidence { samples };
        evidence.estimate(&self.vae, &self.parameters, data.view(), &mut rng(seed))
    }
}

fn data(rows: usize, seed: u64) -> Array2<f64> {
    let mut rng = rng(seed);
    Array2::from_shape_simple_fn((rows, 4), || rng.random_range(-1.5..1.5))
}

#[test]
fn with_the_exact_posterior_is_exact_for_any_noise() {
    // q(z|x) = p(z|x): every weight p(x|z) p(z) / q(z|x) is p(x) itself.
    let (linear, data) = (Linear::new(1.0, 0.0), data(5, 21));
    for samples in [1, 2, 7] {
        let estimate = linear.estimate(samples, &data, 22);
        for (x, found) in data.rows().into_iter().zip(&estimate) {
            let exact = linear.evidence(&x.to_owned());
            assert!((found - exact).abs() < 1e-12, "{found}, not {exact}");
        }
    }
}

#[test]
fn of_one_sample_is_the_bound_with_the_same_noise() {
    let data = data(6, 23);
    let linear = Linear::new(0.7, 0.4);
    let tape = Tape::new();
    let p = linear.parameters.bind_constant(&tape);
    let noise = standard_normal(&tape, &[6, 2], &mut rng(24));
    let monte_carlo = linear.vae.clone().with_divergence(Divergence::MonteCarlo);
    let bound = monte_carlo.elbo(&p, tape.constant(data.clone()), noise);
    let estimate = linear.estimate(1, &data, 24);
    // And by hand, number by number.
    let encode = |name: &str| linear.parameters.get(name).unwrap().to_owned();
    let (w, b) = (encode("encoder.0.weight"), encode("encoder.0.bias"));
    let log_normal = |x: f64, mean: f64, deviation: f64| {
        let normaliser = (deviation * std::f64::consts::TAU.sqrt()).ln();
        -0.5 * ((x - mean) / deviation).powi(2) - normaliser
    };
    for (i, x) in data.rows().into_iter().enumerate() {
        let output = |j: usize| b[[j]] + (0..4).map(|k| w[[j, k]] * x[k]).sum::<f64>();
        let (mut by_hand, mut z) = (0.0, [0.0; 2]);
        for (j, z) in z.iter_mut().enumerate() {
            let (mean, deviation) = (output(j), output(2 + j).exp().sqrt());
            *z = mean + deviation * noise.value()[[i, j]];
            by_hand += log_normal(*z, 0.0, 1.0) - log_normal(*z, mean, deviation);
        }
        for k in 0..4 {
            let mean = linear.bias[k] + linear.weight[[k, 0]] * z[0] + linear.weight[[k, 1]] * z[1];
            by_hand += log_normal(x[k], mean, SIGMA);
        }
        assert!((estimate[i] - by_hand).abs() < 1e-12);
        assert!((bound.value().value()[[i]] - by_hand).abs() < 1e-12);
    }
}

#[test]
fn with_many_samples_comes_to_the_exact_one() {
    // The relative error of a mean of K weights is sd(w)/(E w √K); the log's is the same.
    let linear = Linear::new(0.8, 0.5);
    for (seed, x) in (30..).zip(data(3, 25).rows()) {
        let x = x.to_owned();
        let exact = linear.evidence(&x);
        let single = x.clone().insert_axis(Axis(0));
        let many = linear.estimate(1, &single.broadcast((20_000, 4)).unwrap().to_owned(), seed);
        let weights = many.mapv(|log_weight| (log_weight - exact).exp());
        let deviation = weights.std(1.0);
        assert!((weights.mean().unwrap() - 1.0).abs() < 4.0 * deviation / 20_000f64.sqrt());
        let samples = 200_000;
        let found = linear.estimate(samples, &single, seed + 10)[0];
        let error = deviation / (samples as f64).sqrt();
        assert!(
            error < 3e-3 && (found - exact).abs() < 4.0 * error,
            "{found}, not {exact}"
        );
    }
}

#[test]
fn is_unbiased_as_a_weight_and_rises_towards_the_log() {
    let linear = Linear::new(0.5, 0.6);
    let x = data(1, 26).row(0).to_owned();
    let exact = linear.evidence(&x);
    let copies = x
        .insert_axis(Axis(0))
        .broadcast((10_000, 4))
        .unwrap()
        .to_owned();
    let mut last = f64::NEG_INFINITY;
    for samples in [1, 4, 16] {
        let estimate = linear.estimate(samples, &copies, 40 + samples as u64);
        let weights = estimate.mapv(|log_weight| (log_weight - exact).exp());
        let error = weights.std(1.0) / 100.0;
        assert!(
            (weights.mean().unwrap() - 1.0).abs() < 4.0 * error,
            "K = {samples}"
        );
        // E log p̂ rises with K and stays below log p: here by far more than the errors of the means.
        let mean = estimate.mean().unwrap();
        let error = estimate.std(1.0) / 100.0;
        assert!(
            mean > last + 4.0 * error && mean < exact - 4.0 * error,
            "K = {samples}"
        );
        last = mean;
    }
}

#[test]
fn does_not_depend_on_how_the_samples_are_split() {
    // 300 data at a time leave room for three samples at once: 3 + 3 + 3 + 1. All at once, with the same noise:
    let (linear, rows, samples) = (Linear::new(0.7, 0.4), 300, 10);
    let data = data(rows, 27);
    let tape = Tape::new();
    let p = linear.parameters.bind_constant(&tape);
    let x = tape.constant(data.clone());
    let q = linear.vae.encode(&p, x);
    let noise = standard_normal(&tape, &[samples, rows, 2], &mut rng(28));
    let z = q.sample(noise);
    let log_weights = linear.vae.decode(&p, z).log_density(x)
        + linear.vae.prior(&tape).log_density(z)
        - q.log_density(z);
    let expected = (log_weights.logsumexp_axes(&[0]) - (samples as f64).ln()).value();
    let found = linear.estimate(samples, &data, 28);
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-12);
    }
    let noise = noise.value();
    let noise = noise.view().into_dimensionality().unwrap();
    let given = Evidence::with_noise(&linear.vae, &linear.parameters, data.view(), noise);
    assert_eq!(given, found);
}

#[test]
fn of_no_data_is_empty_and_of_no_samples_a_panic() {
    let linear = Linear::new(1.0, 0.0);
    assert!(linear.estimate(3, &data(0, 0), 0).is_empty());
    let none = std::panic::catch_unwind(|| linear.estimate(0, &data(1, 0), 0));
    assert!(none.is_err());
}

#[test]
fn of_far_away_data_does_not_underflow() {
    // e^-5000 is 0: only the logarithms can be added up.
    let linear = Linear::new(1.0, 0.0);
    let far = arr2(&[[240.0, -180.0, 120.0, 150.0]]);
    let exact = linear.evidence(&far.row(0).to_owned());
    assert!(exact < -5000.0);
    let found = linear.estimate(50, &far, 29)[0];
    assert!(
        (found - exact).abs() < 1e-12 * exact.abs(),
        "{found}, not {exact}"
    );
}
