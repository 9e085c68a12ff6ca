//! Chapter 5 of the notes: the likelihood of coins by their logits, and the evidence lower bound, down to every weight.

mod common;

use std::f64::consts::{LN_2, TAU};

use common::{Checked, Statistics, Worst, gauss_hermite, owned, random};
use elbo::Scalar;
use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::background::LinearGaussian;
use elbo::distributions::noise::{standard_normal, stream};
use elbo::distributions::{Bernoulli, DiagonalGaussian, MultivariateGaussian};
use elbo::kl;
use elbo::nn::{Activation, Bound, Model, Parameters};
use elbo::vae::{
    Activity, Architecture, Codes, Divergence, Drawing, Likelihood, LinearVae, LossScaling,
    NoActivity, NoProfile, NoSpectrum, NoSurgery, Ppca, PpcaError, Reduction, Refinement, Surgery,
    Vae, collapse_curvatures, minibatch_objective, minibatch_variance, profile_log_likelihood,
    profile_noise, symmetric_eigen, unit_divergences,
};
#[cfg(feature = "cli")]
use elbo::{
    data::{Binarisation, Dataset, Images},
    train::{Settings, Task, fit},
};
use ndarray::{Array1, Array2, ArrayD, Axis, Ix2, arr0, arr1, arr2, concatenate, s};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What rearranging a sum in f64 may change, relative to the largest entry.
const REARRANGED: f64 = 1e-13;

// ---------------------------------------------------------------------------------------------------------
// bernoulli-logits

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

fn sigmoid(a: f64) -> f64 {
    1.0 / (1.0 + (-a).exp())
}

fn softplus(a: f64) -> f64 {
    a.exp().ln_1p()
}

/// x log p + (1-x) log(1-p), with p = σ(a) rounded: the form that is not used.
fn naive<T: Scalar>(x: T, a: T) -> T {
    let p = T::one() / (T::one() + (-a).exp());
    x * p.ln() + (T::one() - x) * (T::one() - p).ln()
}

/// Numbers in [0, 1), as grey pixels have them.
fn grey(rng: &mut StdRng, shape: &[usize]) -> ArrayD<f64> {
    random(rng, shape).mapv(|x| 0.25 * (x + 2.0))
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

#[test]
fn bernoulli_logits_by_hand() {
    let mut rng = StdRng::seed_from_u64(51);
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
fn bernoulli_logits_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(52);
    let mut checked = Checked::default();
    for [data, logits] in COINS {
        let point = [grey(&mut rng, data), random(&mut rng, logits) * 2.0];
        let check = Check::new("bernoulli-logits");
        checked.add(check.run(&point, coins).unwrap());
        checked.add(check.run_second_order(&point, coins).unwrap());
    }
    checked.tell("first and second order");
}

#[test]
fn bernoulli_logits_by_the_naive_form() {
    let mut rng = StdRng::seed_from_u64(53);
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
fn bernoulli_logits_sum_to_one_over_all_outcomes() {
    let mut rng = StdRng::seed_from_u64(54);
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

/// a, log p(1), log p(0), σ(a), computed with 400 digits (mpmath) and rounded once.
const TABLE: [[f64; 4]; 7] = [
    [0.0, -LN_2, -LN_2, 0.5],
    [
        0.5,
        -0.4740769841801067,
        -0.9740769841801067,
        0.6224593312018546,
    ],
    [
        3.0,
        -0.04858735157374206,
        -3.048587351573742,
        0.9525741268224333,
    ],
    [
        20.0,
        -2.061153620314381e-09,
        -20.000000002061153,
        0.9999999979388464,
    ],
    [36.75, -1.0956650033262367e-16, -36.75, 0.9999999999999999],
    [40.0, -4.248354255291589e-18, -40.0, 1.0],
    [700.0, -9.85967654375977e-305, -700.0, 1.0],
];

#[test]
fn bernoulli_logits_are_finite_at_the_extremes() {
    let mut worst = Worst::default();
    let mut worst_slope = 0.0f64;
    for [a, log_one, log_zero, p] in TABLE {
        // At -a the two outcomes change places.
        for (x, a, log_p, slope) in [
            (1.0, a, log_one, 1.0 - p),
            (0.0, a, log_zero, -p),
            (0.0, -a, log_one, p - 1.0),
            (1.0, -a, log_zero, p),
        ] {
            let [value, derivative] = coin::<f64>(x, a);
            worst.number(value, log_p, log_p.abs());
            worst_slope = worst_slope.max((derivative - slope).abs());
        }
    }
    println!("derivative: worst difference {worst_slope:.1e}");
    assert!(worst_slope <= f64::EPSILON);
    worst.within(4.0 * f64::EPSILON, "value, relative to itself");
    assert_eq!(coin::<f64>(0.0, 700.0), [-700.0, -1.0]);
    assert_eq!(coin::<f64>(1.0, -700.0), [-700.0, 1.0]);
    assert_eq!(coin::<f32>(0.0, 700.0), [-700.0, -1.0]);
    assert_eq!(coin::<f32>(1.0, -700.0), [-700.0, 1.0]);
}

/// The first a from 0 on, in the given direction, at which `f` is no longer finite, to about 1e-4.
fn first_not_finite(direction: f64, f: impl Fn(f64) -> bool) -> f64 {
    let steps = (0..10_000_000).map(|i| direction * f64::from(i) * 1e-4);
    steps.into_iter().find(|&a| !f(a)).unwrap()
}

#[test]
fn bernoulli_logits_where_the_naive_form_breaks() {
    let found = [
        first_not_finite(1.0, |a| naive(0.0, a).is_finite()),
        first_not_finite(1.0, |a| naive(1.0, a).is_finite()),
        first_not_finite(-1.0, |a| naive(1.0, a).is_finite()),
        first_not_finite(1.0, |a| naive(0.0f32, a as f32).is_finite()),
        first_not_finite(1.0, |a| naive(1.0f32, a as f32).is_finite()),
        first_not_finite(-1.0, |a| naive(1.0f32, a as f32).is_finite()),
    ];
    println!("the naive form breaks at {found:.4?}");
    // 1 + e^-a rounds to 1 from e^-a = ε/2 on: 53 log 2 and 24 log 2.
    let rounds = [53.0, 24.0].map(|bits: f64| bits * LN_2);
    // e^-a overflows beyond the largest number.
    let overflows = [f64::MAX.ln(), f64::from(f32::MAX).ln()];
    let expected = [
        rounds[0],
        rounds[0],
        -overflows[0],
        rounds[1],
        rounds[1],
        -overflows[1],
    ];
    for (found, expected) in found.into_iter().zip(expected) {
        assert!((found - expected).abs() < 2e-4, "{found} {expected}");
        for x in [0.0, 1.0] {
            assert!(coin::<f64>(x, found).iter().all(|y| y.is_finite()));
            assert!(coin::<f32>(x, found).iter().all(|y| y.is_finite()));
        }
    }
    assert_eq!(naive(0.0f64, 37.0), f64::NEG_INFINITY);
    assert!(naive(1.0f64, 37.0).is_nan());
}

#[test]
fn bernoulli_logits_with_grey_pixels_are_no_density() {
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
        println!("a = {a}: the integral is {integral:.6}");
        worst.number(integral, exact, 1.0);
        assert!(integral <= 0.5 + 1e-12);
    }
    worst.within(1e-9, "integral over grey values = tanh(a/2)/a");
}

#[test]
fn bernoulli_logits_with_grey_pixels_are_a_mean_over_binary_ones() {
    // Draw each pixel 1 with probability x: the expected log-probability is that of the grey x.
    let mut rng = StdRng::seed_from_u64(55);
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

// ---------------------------------------------------------------------------------------------------------
// vae-elbo

/// A model with every parameter drawn, biases and log-variance too.
fn model(architecture: Architecture, rng: &mut StdRng) -> (Vae, Parameters<f64>) {
    let mut parameters = Parameters::new();
    let vae = Vae::new(architecture, &mut parameters, rng);
    let shapes: Vec<(String, Vec<usize>)> = parameters
        .iter()
        .map(|(name, value)| (name.to_owned(), value.shape().to_vec()))
        .collect();
    for (name, shape) in shapes {
        parameters.set(&name, random(rng, &shape) * 0.4).unwrap();
    }
    (vae, parameters)
}

fn values(parameters: &Parameters<f64>) -> Vec<ArrayD<f64>> {
    parameters
        .iter()
        .map(|(_, value)| value.to_owned().into_owned())
        .collect()
}

fn data(likelihood: Likelihood, rng: &mut StdRng, shape: &[usize]) -> ArrayD<f64> {
    match likelihood {
        Likelihood::Bernoulli => grey(rng, shape).mapv(f64::round),
        _ => random(rng, shape),
    }
}

const LIKELIHOODS: [Likelihood; 3] = [
    Likelihood::Bernoulli,
    Likelihood::Gaussian { deviation: 0.7 },
    Likelihood::GaussianLearned,
];

const DIVERGENCES: [Divergence; 2] = [Divergence::ClosedForm, Divergence::MonteCarlo];

#[test]
fn vae_elbo_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(56);
    let mut checked = Checked::default();
    let mut models = 0;
    let networks: [(&[usize], Activation); 5] = [
        (&[], Activation::Identity),
        (&[4], Activation::Tanh),
        (&[4], Activation::Softplus),
        (&[4, 3], Activation::Tanh),
        (&[5, 2], Activation::Softplus),
    ];
    for (hidden, activation) in networks {
        for likelihood in LIKELIHOODS {
            for divergence in DIVERGENCES {
                for samples in [1, 3] {
                    let architecture = Architecture {
                        dimensions: 3,
                        hidden: hidden.to_vec(),
                        latent: 2,
                        activation,
                        likelihood,
                    };
                    let (vae, parameters) = model(architecture, &mut rng);
                    let vae = vae.with_divergence(divergence).with_samples(samples);
                    let x = data(likelihood, &mut rng, &[2, 3]);
                    let noise = random(&mut rng, &vae.noise_shape(2));
                    // Every weight of encoder and decoder is an input; data and noise are frozen.
                    let report = Check::new("vae-elbo").run(&values(&parameters), |v| {
                        let (p, tape) = (Bound::from_vars(v), v[0].tape());
                        let (x, noise) = (tape.constant(x.clone()), tape.constant(noise.clone()));
                        vae.elbo(&p, x, noise).value()
                    });
                    let report = report.unwrap_or_else(|failure| {
                        panic!("{hidden:?} {likelihood} {divergence} {samples}: {failure}")
                    });
                    // Two data, each with a derivative with respect to each weight.
                    assert_eq!(report.entries, 2 * parameters.count());
                    checked.add(report);
                    models += 1;
                }
            }
        }
    }
    checked.tell(&format!("{models} models"));
}

/// ELBO and gradients of a Bernoulli VAE with one hidden tanh layer on each side, written out.
fn by_hand(
    p: &Parameters<f64>,
    x: &Array2<f64>,
    noise: &Array2<f64>,
    elbo_bar: &Array1<f64>,
) -> (Array1<f64>, Vec<(&'static str, ArrayD<f64>)>) {
    let w = |name: &str| -> Array2<f64> {
        p.get(name)
            .unwrap()
            .to_owned()
            .into_owned()
            .into_dimensionality()
            .unwrap()
    };
    let b = |name: &str| p.get(name).unwrap().to_owned().into_owned();
    let (w1, w2) = (w("encoder.0.weight"), w("encoder.2.weight"));
    let (v1, v2) = (w("decoder.0.weight"), w("decoder.2.weight"));
    let plus = |m: Array2<f64>, name: &str| -> Array2<f64> {
        (m + b(name)).into_dimensionality::<Ix2>().unwrap()
    };

    let h = plus(x.dot(&w1.t()), "encoder.0.bias").mapv(f64::tanh);
    let o = plus(h.dot(&w2.t()), "encoder.2.bias");
    let latent = noise.ncols();
    let (mu, log_var) = (o.slice(s![.., ..latent]), o.slice(s![.., latent..]));
    let z = &mu + log_var.mapv(|s| (0.5 * s).exp()) * noise;
    let g = plus(z.dot(&v1.t()), "decoder.0.bias").mapv(f64::tanh);
    let a = plus(g.dot(&v2.t()), "decoder.2.bias");
    let reconstruction = (x * &a - a.mapv(softplus)).sum_axis(Axis(1));
    let kl = (&mu * &mu + log_var.mapv(|s| s.exp() - 1.0 - s)).sum_axis(Axis(1)) * 0.5;

    let weight = elbo_bar.clone().insert_axis(Axis(1));
    let a_bar = &weight * &(x - a.mapv(sigmoid));
    let g_bar = a_bar.dot(&v2);
    let c_bar = g_bar * g.mapv(|g| 1.0 - g * g);
    let z_bar = c_bar.dot(&v1);
    let mu_bar = &z_bar - &weight * &mu;
    let s_bar = (&z_bar * (&z - &mu) - &weight * log_var.mapv(|s| s.exp() - 1.0)) * 0.5;
    let o_bar = concatenate![Axis(1), mu_bar, s_bar];
    let h_bar = o_bar.dot(&w2) * h.mapv(|h| 1.0 - h * h);

    let rows = |m: &Array2<f64>| m.sum_axis(Axis(0)).into_dyn();
    let gradients = vec![
        ("encoder.0.weight", h_bar.t().dot(x).into_dyn()),
        ("encoder.0.bias", rows(&h_bar)),
        ("encoder.2.weight", o_bar.t().dot(&h).into_dyn()),
        ("encoder.2.bias", rows(&o_bar)),
        ("decoder.0.weight", c_bar.t().dot(&z).into_dyn()),
        ("decoder.0.bias", rows(&c_bar)),
        ("decoder.2.weight", a_bar.t().dot(&g).into_dyn()),
        ("decoder.2.bias", rows(&a_bar)),
    ];
    (reconstruction - kl, gradients)
}

#[test]
fn vae_elbo_by_hand() {
    let mut rng = StdRng::seed_from_u64(57);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for [batch, dimensions, hidden, latent] in
        [[1, 2, 3, 1], [4, 5, 3, 2], [6, 7, 8, 3], [3, 3, 3, 3]]
    {
        let architecture = Architecture {
            dimensions,
            hidden: vec![hidden],
            latent,
            activation: Activation::Tanh,
            likelihood: Likelihood::Bernoulli,
        };
        let (vae, parameters) = model(architecture, &mut rng);
        let matrix = |array: ArrayD<f64>| array.into_dimensionality::<Ix2>().unwrap();
        let x = matrix(data(Likelihood::Bernoulli, &mut rng, &[batch, dimensions]));
        let noise = matrix(random(&mut rng, &[batch, latent]));
        let elbo_bar = random(&mut rng, &[batch]).into_dimensionality().unwrap();
        let (expected, by_hand) = by_hand(&parameters, &x, &noise, &elbo_bar);
        let tape = Tape::new();
        let p = parameters.bind(&tape);
        let elbo = vae.elbo(&p, tape.constant(x), tape.constant(noise)).value();
        let gradients = tape.pull_back(elbo, elbo_bar, &[]);
        value.entries(&owned(elbo.value()), &expected.into_dyn());
        assert_eq!(by_hand.len(), parameters.len());
        for ((name, _), &var) in parameters.iter().zip(p.vars()) {
            let (_, expected) = by_hand.iter().find(|(other, _)| *other == name).unwrap();
            gradient.entries(&owned(gradients.wrt(var)), expected);
        }
    }
    value.within(REARRANGED, "ELBO: hand = autodiff");
    gradient.within(REARRANGED, "gradient of every weight: hand = autodiff");
}

#[test]
fn vae_elbo_of_several_samples_is_their_mean() {
    let mut rng = StdRng::seed_from_u64(58);
    let mut worst = Worst::default();
    for divergence in DIVERGENCES {
        let (vae, parameters) = model(small(Likelihood::Bernoulli), &mut rng);
        let vae = vae.with_divergence(divergence);
        let x = data(Likelihood::Bernoulli, &mut rng, &[4, 3]);
        let noise = random(&mut rng, &[5, 4, 2]);
        let tape = Tape::new();
        let p = parameters.bind(&tape);
        let at = |noise: ArrayD<f64>| {
            owned(
                vae.elbo(&p, tape.constant(x.clone()), tape.constant(noise))
                    .value()
                    .value(),
            )
        };
        let singles = noise.outer_iter().map(|noise| at(noise.to_owned()));
        let mean = singles.fold(ArrayD::zeros(vec![4]), |sum, elbo| sum + elbo) / 5.0;
        worst.entries(&at(noise), &mean);
    }
    worst.within(
        REARRANGED,
        "L = 5: the mean of five single-sample estimates",
    );
}

#[test]
fn vae_elbo_is_what_is_trained() {
    let mut rng = StdRng::seed_from_u64(59);
    for samples in [1, 3] {
        let (vae, parameters) = model(small(Likelihood::Bernoulli), &mut rng);
        let vae = vae.with_samples(samples);
        let x = data(Likelihood::Bernoulli, &mut rng, &[4, 3]);
        let tape = Tape::new();
        let (p, x) = (parameters.bind(&tape), tape.constant(x));
        let objective = vae.objective(&p, x, &mut stream(1, "noise", 0));
        let noise = standard_normal(&tape, &vae.noise_shape(4), &mut stream(1, "noise", 0));
        let elbo = vae.elbo(&p, x, noise).value();
        let mut worst = Worst::default();
        worst.number(objective.loss.item(), -elbo.value().sum() / 4.0, 1.0);
        worst.within(REARRANGED, "loss = - mean over the batch of the ELBO");
    }
}

/// Three pixels, a hidden layer of four, two latents.
fn small(likelihood: Likelihood) -> Architecture {
    Architecture {
        dimensions: 3,
        hidden: vec![4],
        latent: 2,
        activation: Activation::Tanh,
        likelihood,
    }
}

/// Products of two Gauss–Hermite rules: nodes as rows, and weights.
fn plane(n: usize) -> (Array2<f64>, Array1<f64>) {
    let rule = gauss_hermite(n);
    let pairs: Vec<_> = rule
        .iter()
        .flat_map(|&a| rule.iter().map(move |&b| (a, b)))
        .collect();
    (
        Array2::from_shape_fn((pairs.len(), 2), |(i, j)| [pairs[i].0.0, pairs[i].1.0][j]),
        pairs.iter().map(|(a, b)| a.1 * b.1).collect(),
    )
}

/// The mean over the noise of the single-sample bound of one datum, by quadrature, and its gradients.
fn exact_bound(
    vae: &Vae,
    parameters: &Parameters<f64>,
    x: &Array1<f64>,
    n: usize,
) -> (f64, Vec<ArrayD<f64>>) {
    let (nodes, weights) = plane(n);
    let tape = Tape::new();
    let p = parameters.bind(&tape);
    let rows = tape.constant(repeated(x, nodes.nrows()));
    let elbo = vae.elbo(&p, rows, tape.constant(nodes)).value();
    let mean = (elbo * tape.constant(weights)).sum();
    let gradients = tape.gradients(mean);
    (
        mean.item(),
        p.vars().iter().map(|&v| owned(gradients.wrt(v))).collect(),
    )
}

fn repeated(x: &Array1<f64>, rows: usize) -> Array2<f64> {
    x.broadcast((rows, x.len())).unwrap().to_owned()
}

/// A linear model with a linear encoder: x ~ N(W z + b, σ² I), q = N(A x + c, diag e^s).
struct Linear {
    w: Array2<f64>,
    b: Array1<f64>,
    deviation: f64,
    a: Array2<f64>,
    c: Array1<f64>,
    s: Array1<f64>,
}

impl Linear {
    fn random(rng: &mut StdRng) -> Self {
        let mut matrix =
            |shape: [usize; 2]| random(rng, &shape).into_dimensionality::<Ix2>().unwrap();
        let (w, a) = (matrix([3, 2]), matrix([2, 3]) * 0.3);
        let mut vector = |n: usize| matrix([1, n]).row(0).to_owned();
        let (b, c, s) = (vector(3), vector(2), vector(2));
        Self {
            w,
            b,
            deviation: rng.random_range(0.5..1.5),
            a,
            c,
            s,
        }
    }

    /// σ² M⁻¹ is the covariance of the posterior, M = WᵀW + σ² I.
    fn m(&self) -> Array2<f64> {
        self.w.t().dot(&self.w) + Array2::<f64>::eye(2) * self.deviation.powi(2)
    }

    /// The mean of the posterior, M⁻¹ Wᵀ (x - b).
    fn posterior_mean(&self, x: &Array1<f64>) -> Array1<f64> {
        inverse(&self.m()).dot(&self.w.t().dot(&(x - &self.b)))
    }

    fn encode(&self, x: &Array1<f64>) -> Array1<f64> {
        self.a.dot(x) + &self.c
    }

    /// As a [`Vae`] without hidden layers. `learned`: with σ as a parameter.
    fn vae(&self, learned: bool, rng: &mut StdRng) -> (Vae, Parameters<f64>) {
        let likelihood = match learned {
            true => Likelihood::GaussianLearned,
            false => Likelihood::Gaussian {
                deviation: self.deviation,
            },
        };
        let architecture = Architecture {
            hidden: vec![],
            ..small(likelihood)
        };
        let (vae, mut p) = model(architecture, rng);
        // The log-variance does not depend on x.
        let weight = concatenate![Axis(0), self.a, Array2::zeros((2, 3))];
        p.set("encoder.0.weight", weight).unwrap();
        p.set("encoder.0.bias", concatenate![Axis(0), self.c, self.s])
            .unwrap();
        p.set("decoder.0.weight", self.w.clone()).unwrap();
        p.set("decoder.0.bias", self.b.clone()).unwrap();
        if learned {
            p.set("decoder.log_variance", arr0(2.0 * self.deviation.ln()))
                .unwrap();
        }
        (vae, p)
    }

    /// E_q log p(x|z) = -½ [D log 2πσ² + (‖x - Wm - b‖² + Σ_j ‖W_j‖² e^(s_j))/σ²].
    fn reconstruction(&self, x: &Array1<f64>) -> f64 {
        let error = x - &self.w.dot(&self.encode(x)) - &self.b;
        let spread: f64 = (0..2)
            .map(|j| square(&self.w.column(j).to_owned()) * self.s[j].exp())
            .sum();
        let variance = self.deviation.powi(2);
        -0.5 * (3.0 * (TAU * variance).ln() + (square(&error) + spread) / variance)
    }

    fn kl_to_prior(&self, x: &Array1<f64>) -> f64 {
        0.5 * (square(&self.encode(x)) + self.s.mapv(|s| s.exp() - 1.0 - s).sum())
    }

    /// KL(q ‖ p(z|x)) = ½ [tr P S + δᵀ P δ - 2 - log |P| - Σ s] for the posterior's precision P = M/σ².
    fn kl_to_posterior(&self, x: &Array1<f64>) -> f64 {
        let precision = self.m() / self.deviation.powi(2);
        let delta = self.encode(x) - self.posterior_mean(x);
        let trace: f64 = (0..2).map(|j| precision[[j, j]] * self.s[j].exp()).sum();
        let distance = delta.dot(&precision.dot(&delta));
        0.5 * (trace + distance - 2.0 - determinant(&precision).ln() - self.s.sum())
    }

    /// log N(x; b, W Wᵀ + σ² I), by the Cholesky factor L: Σ log L_ii and ‖L⁻¹ (x - b)‖².
    fn log_evidence(&self, x: &Array1<f64>) -> f64 {
        let covariance = self.w.dot(&self.w.t()) + Array2::<f64>::eye(3) * self.deviation.powi(2);
        let (mut l, mut y) = (Array2::<f64>::zeros((3, 3)), x - &self.b);
        for i in 0..3 {
            for j in 0..=i {
                let rest = covariance[[i, j]] - (0..j).map(|k| l[[i, k]] * l[[j, k]]).sum::<f64>();
                l[[i, j]] = if i == j {
                    rest.sqrt()
                } else {
                    rest / l[[j, j]]
                };
            }
            y[i] = (y[i] - (0..i).map(|k| l[[i, k]] * y[k]).sum::<f64>()) / l[[i, i]];
        }
        let log_determinant = 2.0 * l.diag().mapv(f64::ln).sum();
        -0.5 * (3.0 * TAU.ln() + log_determinant + square(&y))
    }
}

fn square(v: &Array1<f64>) -> f64 {
    v.dot(v)
}

fn determinant(m: &Array2<f64>) -> f64 {
    m[[0, 0]] * m[[1, 1]] - m[[0, 1]] * m[[1, 0]]
}

fn inverse(m: &Array2<f64>) -> Array2<f64> {
    ndarray::arr2(&[[m[[1, 1]], -m[[0, 1]]], [-m[[1, 0]], m[[0, 0]]]]) / determinant(m)
}

#[test]
fn vae_elbo_of_a_linear_model() {
    let mut rng = StdRng::seed_from_u64(60);
    let (mut bound, mut gap) = (Worst::default(), Worst::default());
    let mut least_gap = f64::INFINITY;
    for trial in 0..20 {
        let linear = Linear::random(&mut rng);
        let x = random(&mut rng, &[3]).into_dimensionality().unwrap();
        let closed = linear.reconstruction(&x) - linear.kl_to_prior(&x);
        for divergence in DIVERGENCES {
            let (vae, p) = linear.vae(trial % 2 == 0, &mut rng);
            // The terms are quadratic in ε: four nodes are exact.
            let (found, _) = exact_bound(&vae.with_divergence(divergence), &p, &x, 4);
            bound.number(found, closed, closed.abs());
            let (left, right) = (linear.log_evidence(&x) - found, linear.kl_to_posterior(&x));
            gap.number(left, right, closed.abs());
            assert!(left > 0.0);
            least_gap = least_gap.min(left);
        }
    }
    bound.within(1e-12, "bound of the linear model = closed form");
    gap.within(1e-12, "log p(x) - bound = KL(q‖posterior)");
    println!("smallest gap: {least_gap:.3} nats");
}

#[test]
fn vae_elbo_is_the_evidence_at_the_exact_posterior() {
    let mut rng = StdRng::seed_from_u64(61);
    let (mut worst, mut single) = (Worst::default(), Worst::default());
    for trial in 0..20 {
        let mut linear = Linear::random(&mut rng);
        // Orthogonal columns: M is diagonal, and so is the posterior.
        let (first, second) = (linear.w.column(0).to_owned(), linear.w.column(1).to_owned());
        let projected = &second - &(&first * (first.dot(&second) / square(&first)));
        linear.w.column_mut(1).assign(&projected);
        let m = linear.m();
        linear.a = inverse(&m).dot(&linear.w.t());
        linear.c = -linear.a.dot(&linear.b);
        linear.s = m.diag().mapv(|m| (linear.deviation.powi(2) / m).ln());
        let x = random(&mut rng, &[3]).into_dimensionality().unwrap();
        let evidence = linear.log_evidence(&x);
        let (vae, p) = linear.vae(trial % 2 == 0, &mut rng);
        let (found, _) = exact_bound(&vae, &p, &x, 4);
        worst.number(found, evidence, evidence.abs());
        // Then log p(x, z) - log q(z) is log p(x) for every z: a single sample has no noise.
        let vae = vae.with_divergence(Divergence::MonteCarlo);
        let tape = Tape::new();
        let noise = tape.constant(random(&mut rng, &[50, 2]));
        let elbo = vae
            .elbo(&p.bind(&tape), tape.constant(repeated(&x, 50)), noise)
            .value();
        owned(elbo.value())
            .iter()
            .for_each(|&found| single.number(found, evidence, evidence.abs()));
    }
    worst.within(1e-12, "bound at the exact posterior = log p(x)");
    single.within(
        1e-12,
        "every single sample with the Monte Carlo divergence = log p(x)",
    );
}

/// E_q log p(x|z) - KL, log p(x) and KL(q‖p(z|x)) of a Bernoulli model, by the trapezium rule over a plane of z, on plain
/// arrays.
fn by_grid(p: &Parameters<f64>, x: &Array1<f64>) -> [f64; 3] {
    let w = |name: &str| {
        p.get(name)
            .unwrap()
            .to_owned()
            .into_owned()
            .into_dimensionality::<Ix2>()
            .unwrap()
    };
    let b = |name: &str| p.get(name).unwrap().to_owned().into_owned();
    let layer = |x: &Array2<f64>, name: &str| {
        let y = x.dot(&w(&format!("{name}.weight")).t()) + b(&format!("{name}.bias"));
        y.into_dimensionality::<Ix2>().unwrap()
    };
    let row = x.clone().insert_axis(Axis(0));
    let o = layer(&layer(&row, "encoder.0").mapv(f64::tanh), "encoder.2");
    let (points, step) = (301, 0.1);
    let z = Array2::from_shape_fn((points * points, 2), |(i, j)| {
        ([i / points, i % points][j] as f64 - 150.0) * step
    });
    let a = layer(&layer(&z, "decoder.0").mapv(f64::tanh), "decoder.2");
    let normal = |z: f64, mu: f64, s: f64| -0.5 * ((z - mu).powi(2) / s.exp() + s + TAU.ln());
    // log p(x, z) and log q(z) at every point.
    let logs = z.rows().into_iter().zip(a.rows()).map(|(z, a)| {
        let log_p = |(&x, &a): (&f64, &f64)| -softplus(if x == 1.0 { -a } else { a });
        let prior: f64 = z.iter().map(|&z| normal(z, 0.0, 0.0)).sum();
        let log_q: f64 = (0..2).map(|j| normal(z[j], o[[0, j]], o[[0, 2 + j]])).sum();
        (x.iter().zip(a).map(log_p).sum::<f64>() + prior, log_q)
    });
    let logs: Vec<(f64, f64)> = logs.collect();
    let integral = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        logs.iter().map(|&(joint, q)| f(joint, q)).sum::<f64>() * step * step
    };
    let all = integral(&|_, q| q.exp());
    assert!((all - 1.0).abs() < 1e-12, "the grid holds all of q: {all}");
    let evidence = integral(&|joint, _| joint.exp()).ln();
    [
        integral(&|joint, q| q.exp() * (joint - q)),
        evidence,
        integral(&|joint, q| q.exp() * (q - (joint - evidence))),
    ]
}

#[test]
fn vae_elbo_of_coins_over_a_plane_of_latents() {
    let mut rng = StdRng::seed_from_u64(62);
    let (mut bound, mut gap) = (Worst::default(), Worst::default());
    for _ in 0..3 {
        let (vae, p) = model(small(Likelihood::Bernoulli), &mut rng);
        let x = data(Likelihood::Bernoulli, &mut rng, &[3])
            .into_dimensionality()
            .unwrap();
        let [expected, evidence, divergence] = by_grid(&p, &x);
        for way in DIVERGENCES {
            let (found, _) = exact_bound(&vae.clone().with_divergence(way), &p, &x, 40);
            bound.number(found, expected, expected.abs());
            gap.number(evidence - found, divergence, expected.abs());
            println!("log p(x) = {evidence:.4}, bound {found:.4}, KL(q‖posterior) {divergence:.4}");
            assert!(found < evidence);
        }
    }
    bound.within(1e-8, "Gauss–Hermite over ε = trapezium rule over z");
    gap.within(1e-8, "log p(x) - bound = KL(q‖posterior)");
}

/// Single-sample bounds of one datum: `groups` groups of 250, with each group's gradient of its mean.
fn draws(
    vae: &Vae,
    p: &Parameters<f64>,
    x: &Array1<f64>,
    groups: usize,
    rng: &mut StdRng,
) -> (Vec<f64>, Vec<Vec<f64>>) {
    const GROUP: usize = 250;
    let (mut values, mut gradients) = (Vec::new(), Vec::new());
    let mut tape = Tape::new();
    for _ in 0..groups {
        let (elbos, gradient) = p.value_and_gradients(&mut tape, |p| {
            let tape = p.tape();
            let noise = standard_normal(tape, &[GROUP, 2], rng);
            let elbo = vae
                .elbo(p, tape.constant(repeated(x, GROUP)), noise)
                .value();
            (elbo.mean(), owned(elbo.value()))
        });
        values.extend(elbos);
        gradients.push(
            gradient
                .values()
                .iter()
                .flat_map(|g| g.iter().copied().collect::<Vec<_>>())
                .collect(),
        );
    }
    (values, gradients)
}

#[test]
fn vae_elbo_is_estimated_without_bias() {
    let mut rng = StdRng::seed_from_u64(63);
    let pairs = [
        (Likelihood::Bernoulli, Divergence::ClosedForm),
        (Likelihood::Bernoulli, Divergence::MonteCarlo),
        (LIKELIHOODS[1], Divergence::ClosedForm),
        (Likelihood::GaussianLearned, Divergence::MonteCarlo),
    ];
    for (likelihood, divergence) in pairs {
        let (vae, p) = model(small(likelihood), &mut rng);
        let vae = vae.with_divergence(divergence);
        let x = data(likelihood, &mut rng, &[3])
            .into_dimensionality()
            .unwrap();
        let (exact, exact_gradients) = exact_bound(&vae, &p, &x, 30);
        let (values, gradients) = draws(&vae, &p, &x, 400, &mut rng);
        let what = format!("{likelihood}, divergence in {divergence}");
        Statistics::of(&values).agree_with(exact, &what);
        let exact_gradients: Vec<f64> = exact_gradients
            .iter()
            .flat_map(|g| g.iter().copied())
            .collect();
        let mut worst = 0.0f64;
        for (i, &exact) in exact_gradients.iter().enumerate() {
            let means: Vec<f64> = gradients.iter().map(|g| g[i]).collect();
            worst = worst.max(Statistics::of(&means).distance(exact, 1e-12).abs());
        }
        println!(
            "{} weights: worst mean gradient {worst:.2} standard errors off",
            exact_gradients.len()
        );
        assert!(worst <= 4.0, "{what}: {worst}");
    }
}

#[test]
fn vae_elbo_with_either_divergence_has_the_same_mean() {
    let mut rng = StdRng::seed_from_u64(64);
    let mut worst = Worst::default();
    for trial in 0..5 {
        let (vae, p) = model(small(Likelihood::Bernoulli), &mut rng);
        let x: Array1<f64> = data(Likelihood::Bernoulli, &mut rng, &[3])
            .into_dimensionality()
            .unwrap();
        let kl = |divergence, noise: Array2<f64>| {
            let tape = Tape::new();
            let rows = tape.constant(repeated(&x, noise.nrows()));
            let vae = vae.clone().with_divergence(divergence);
            owned(
                vae.elbo(&p.bind_constant(&tape), rows, tape.constant(noise))
                    .kl
                    .value(),
            )
        };
        let (nodes, weights) = plane(3);
        let exact = kl(Divergence::ClosedForm, nodes.clone())[[0]];
        let mean = (kl(Divergence::MonteCarlo, nodes) * weights).sum();
        worst.number(mean, exact, exact);
        if trial < 2 {
            let tape = Tape::new();
            let noise = owned(standard_normal(&tape, &[100_000, 2], &mut rng).value());
            let single = kl(Divergence::MonteCarlo, noise.into_dimensionality().unwrap());
            Statistics::of(&single).agree_with(exact, "log q - log p(z)");
        }
    }
    worst.within(
        1e-12,
        "mean of log q - log p(z) over the nodes = closed form",
    );
}

// ---------------------------------------------------------------------------------------------------------
// What the sections on linear models share

fn matrix(rng: &mut StdRng, shape: [usize; 2]) -> Array2<f64> {
    random(rng, &shape).into_dimensionality().unwrap()
}

fn vector(rng: &mut StdRng, length: usize) -> Array1<f64> {
    random(rng, &[length]).into_dimensionality().unwrap()
}

fn flat<const N: usize>(arrays: [ArrayD<f64>; N]) -> Vec<ArrayD<f64>> {
    arrays.into()
}

/// W, b, log σ².
fn decoder<'t>(v: &[Var<'t, f64>]) -> LinearGaussian<'t, f64> {
    LinearGaussian {
        weights: v[0],
        offset: v[1],
        log_noise: v[2],
    }
}

/// Random W, b and log σ².
fn random_decoder(rng: &mut StdRng, [dimensions, latent]: [usize; 2]) -> Vec<ArrayD<f64>> {
    flat([
        random(rng, &[dimensions, latent]),
        random(rng, &[dimensions]),
        random(rng, &[]) * 0.5,
    ])
}

fn variables<'t>(tape: &'t Tape<f64>, values: &[ArrayD<f64>]) -> Vec<Var<'t, f64>> {
    values.iter().map(|x| tape.variable(x.clone())).collect()
}

fn two_axes(x: &ArrayD<f64>) -> Array2<f64> {
    x.clone().into_dimensionality().unwrap()
}

/// A⁻¹ by Gauss–Jordan elimination with pivots.
fn inverted(a: &Array2<f64>) -> Array2<f64> {
    let n = a.nrows();
    let mut work = concatenate![Axis(1), a.clone(), Array2::eye(n)];
    for k in 0..n {
        let pivot = (k..n)
            .max_by(|&i, &j| work[[i, k]].abs().total_cmp(&work[[j, k]].abs()))
            .unwrap();
        for column in 0..2 * n {
            work.swap([k, column], [pivot, column]);
        }
        let row = &work.row(k) / work[[k, k]];
        work.row_mut(k).assign(&row);
        for i in (0..n).filter(|&i| i != k) {
            let factor = work[[i, k]];
            work.row_mut(i).scaled_add(-factor, &row);
        }
    }
    work.slice(s![.., n..]).to_owned()
}

/// A random orthogonal matrix, by Gram and Schmidt.
fn rotation(rng: &mut StdRng, n: usize) -> Array2<f64> {
    let mut q = matrix(rng, [n, n]);
    for _ in 0..2 {
        for j in 0..n {
            for k in 0..j {
                let along = q.column(j).dot(&q.column(k));
                let earlier = q.column(k).to_owned();
                q.column_mut(j).scaled_add(-along, &earlier);
            }
            let length = q.column(j).dot(&q.column(j)).sqrt();
            q.column_mut(j).mapv_inplace(|x| x / length);
        }
    }
    q
}

/// V diag(λ) Vᵀ.
fn with_spectrum(v: &Array2<f64>, lambda: &Array1<f64>) -> Array2<f64> {
    (v * lambda).dot(&v.t())
}

/// Data of shape (N, D) with quite different variances along axes of their own.
fn elongated(rng: &mut StdRng, [n, d]: [usize; 2]) -> Array2<f64> {
    let scales = Array1::from_shape_fn(d, |i| 3.0 * 0.6f64.powi(i as i32));
    let turn = rotation(rng, d);
    let shift = vector(rng, d);
    (matrix(rng, [n, d]) * &scales).dot(&turn) + &shift
}

/// Mean and covariance, divided by N, in plain loops.
fn moments_of(x: &Array2<f64>) -> (Array1<f64>, Array2<f64>) {
    let (n, d) = x.dim();
    let mean = Array1::from_shape_fn(d, |j| x.column(j).sum() / n as f64);
    let covariance = Array2::from_shape_fn((d, d), |(i, j)| {
        (0..n)
            .map(|k| (x[[k, i]] - mean[i]) * (x[[k, j]] - mean[j]))
            .sum::<f64>()
            / n as f64
    });
    (mean, covariance)
}

// ---------------------------------------------------------------------------------------------------------
// ppca-maximum-likelihood

#[test]
fn ppca_maximum_likelihood_finds_known_spectra() {
    let mut rng = StdRng::seed_from_u64(70);
    let (mut values, mut product, mut orthogonal) =
        (Worst::default(), Worst::default(), Worst::default());
    for n in [1, 2, 3, 5, 8, 13, 40] {
        for kind in 0..4 {
            let mut lambda = Array1::from_shape_fn(n, |i| match kind {
                0 => rng.random_range(-2.0..2.0),
                1 => 10f64.powi(-(i as i32)), // graded down to 10⁻³⁹
                2 => (i / 3) as f64,          // thrice the same, and zeros
                _ => {
                    if i == 0 {
                        1e8
                    } else {
                        1.0
                    }
                } // one that stands out
            });
            let v = rotation(&mut rng, n);
            let a = with_spectrum(&v, &lambda);
            let eigen = symmetric_eigen(&a).unwrap();
            lambda
                .as_slice_mut()
                .unwrap()
                .sort_by(|a, b| b.total_cmp(a));
            values.entries(&eigen.values.clone().into_dyn(), &lambda.clone().into_dyn());
            let back = with_spectrum(&eigen.vectors, &eigen.values);
            product.entries(&back.into_dyn(), &a.into_dyn());
            let gram = eigen.vectors.t().dot(&eigen.vectors);
            orthogonal.entries(&gram.into_dyn(), &Array2::eye(n).into_dyn());
        }
    }
    values.within(2e-14, "eigenvalues, of the largest");
    product.within(2e-14, "V diag(λ) Vᵀ = A");
    orthogonal.within(2e-14, "VᵀV = I");
    // Nothing to rotate, and scales at the ends of f64.
    for scale in [1e-300, 1.0, 1e300] {
        let eigen = symmetric_eigen(&(arr2(&[[1.0, 2.0], [2.0, 1.0]]) * scale)).unwrap();
        assert!((eigen.values[0] / scale - 3.0).abs() < 1e-15);
        assert!((eigen.values[1] / scale + 1.0).abs() < 1e-15);
    }
    assert_eq!(
        symmetric_eigen(&Array2::zeros((3, 3))).unwrap().values,
        arr1(&[0.0; 3])
    );
    for (a, b, c) in [(9e307, 1e307, -9e307), (1e308, 1e308, -1e308)] {
        let eigen = symmetric_eigen(&arr2(&[[a, b], [b, c]])).unwrap();
        let exact = f64::hypot(a, b);
        assert!((eigen.values[0] / exact - 1.0).abs() < 1e-15);
        assert!((eigen.values[1] / exact + 1.0).abs() < 1e-15);
    }
    let beyond = symmetric_eigen(&Array2::from_elem((2, 2), 1e308));
    assert_eq!(beyond, Err(NoSpectrum::TooLarge { entry: 1e308 }));
    // Symmetric to half of the digits, and not less.
    let lopsided = |by: f64| symmetric_eigen(&arr2(&[[1.0, 0.5], [0.5 + by, 1.0]]));
    assert!(lopsided(1e-9).is_ok());
    assert!(matches!(
        lopsided(1e-6),
        Err(NoSpectrum::NotSymmetric { .. })
    ));
}

/// (1/N) Σ log p(x) of a linear decoder.
fn mean_evidence<'t>(v: &[Var<'t, f64>], x: &Array2<f64>) -> Var<'t, f64> {
    let x = v[0].tape().constant(x.clone());
    decoder(v).log_evidence(x).unwrap().mean()
}

#[test]
fn ppca_maximum_likelihood_gradient_by_hand() {
    let mut rng = StdRng::seed_from_u64(71);
    let mut worst = Worst::default();
    for [d, k] in [[2, 1], [4, 2], [5, 4], [7, 3]] {
        let point = random_decoder(&mut rng, [d, k]);
        let x = elongated(&mut rng, [3 * d, d]);
        let (mean, covariance) = moments_of(&x);
        let (w, noise) = (two_axes(&point[0]), point[2].sum().exp());
        let inverse = inverted(&(w.dot(&w.t()) + Array2::<f64>::eye(d) * noise));
        let off = &mean
            - &point[1]
                .clone()
                .into_dimensionality::<ndarray::Ix1>()
                .unwrap();
        // Second moments about b, not about the mean.
        let column = off.view().insert_axis(Axis(1));
        let s = covariance + column.dot(&column.t());
        let inner = inverse.dot(&s).dot(&inverse) - &inverse;
        let by_hand = [
            inner.dot(&w).into_dyn(),
            inverse.dot(&off).into_dyn(),
            arr0(0.5 * noise * inner.diag().sum()).into_dyn(),
        ];
        let tape = Tape::new();
        let v = variables(&tape, &point);
        let gradients = tape.gradients(mean_evidence(&v, &x));
        for (var, expected) in v.iter().zip(&by_hand) {
            worst.entries(&owned(gradients.wrt(*var)), expected);
        }
    }
    worst.within(1e-12, "gradient: hand = autodiff");
}

#[test]
fn ppca_maximum_likelihood_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(72);
    let mut checked = Checked::default();
    for [d, k] in [[2, 1], [4, 2], [5, 3]] {
        let point = random_decoder(&mut rng, [d, k]);
        let x = elongated(&mut rng, [6, d]);
        let check = Check::new("ppca-maximum-likelihood");
        checked.add(check.run(&point, |v| mean_evidence(v, &x)).unwrap());
        checked.add(
            check
                .run_second_order(&point, |v| mean_evidence(v, &x))
                .unwrap(),
        );
    }
    checked.tell("first and second order");
}

#[test]
fn ppca_maximum_likelihood_is_the_maximum() {
    let mut rng = StdRng::seed_from_u64(73);
    let (mut slope, mut value, mut dropped) =
        (Worst::default(), Worst::default(), Worst::default());
    let mut least_loss = f64::INFINITY;
    for [n, d, k] in [
        [10, 2, 1],
        [30, 5, 2],
        [20, 6, 5],
        [8, 4, 0],
        [5, 7, 2],
        [40, 8, 3],
    ] {
        let x = elongated(&mut rng, [n, d]);
        let ppca = Ppca::fit(x.view(), k).unwrap();
        let (mean, covariance) = moments_of(&x);
        assert!((&mean - &ppca.mean).iter().all(|e| e.abs() < 1e-14));
        let inside = &ppca.weights.dot(&ppca.weights.t());
        // What W leaves of the trace is noise in D dimensions.
        let rest = (covariance.diag().sum() - inside.diag().sum()) / d as f64;
        dropped.number(ppca.noise_variance, rest, rest);
        value.number(
            ppca.log_density(x.view()).mean().unwrap(),
            ppca.log_likelihood,
            1.0,
        );
        if k == 0 {
            continue;
        }
        let at = |w: &Array2<f64>, noise: f64| {
            let tape = Tape::new();
            let point = [
                w.clone().into_dyn(),
                mean.clone().into_dyn(),
                arr0(noise.ln()).into_dyn(),
            ];
            mean_evidence(&variables(&tape, &point), &x).item()
        };
        value.number(
            at(&ppca.weights, ppca.noise_variance),
            ppca.log_likelihood,
            1.0,
        );
        // Any rotation of the latents is as good.
        let turned = ppca.weights.dot(&rotation(&mut rng, k));
        value.number(at(&turned, ppca.noise_variance), ppca.log_likelihood, 1.0);
        let tape = Tape::new();
        let model = ppca.decoder(&tape);
        let gradients =
            tape.gradients(model.log_evidence(tape.constant(x.clone())).unwrap().mean());
        for var in [model.weights, model.offset, model.log_noise] {
            owned(gradients.wrt(var))
                .iter()
                .for_each(|&g| slope.number(g, 0.0, 1.0));
        }
        for trial in 0..200 {
            let size = 10f64.powf(-3.0 * f64::from(trial % 10) / 9.0);
            let w = &ppca.weights + &(matrix(&mut rng, [d, k]) * size);
            let noise = ppca.noise_variance * (rng.random_range(-1.0..1.0) * size).exp();
            least_loss = least_loss.min(ppca.log_likelihood - at(&w, noise));
        }
    }
    slope.within(1e-12, "gradient at the maximum");
    value.within(1e-12, "log-likelihood by three roads, and rotated");
    dropped.within(1e-13, "σ² = (tr S - tr WWᵀ)/D");
    println!("1000 other models: the nearest was {least_loss:.1e} nats below the maximum");
    assert!(least_loss > 0.0);
}

/// d, σ² and mean log-likelihood from scikit-learn 1.9.1 (`PCA(d, svd_solver="full")`, whose covariance is divided by
/// N - 1: it was given data pulled together by √((N-1)/N), and its `score` the data themselves).
#[test]
fn ppca_maximum_likelihood_as_another_library_has_it() {
    let x = Array2::from_shape_fn((12, 5), |(i, j)| {
        let (i, j) = (i as f64, j as f64);
        (1.3 * i + 0.7 * j * j + 0.9 * i * j).sin() * (j + 1.0) + 0.1 * j * i
    });
    let mut worst = Worst::default();
    for (latent, noise, score) in [
        (1, 3.055010839116106, -10.777213046811717),
        (2, 1.1450526523173776, -9.833339034618968),
        (4, 0.38166634286652124, -9.343862133483752),
    ] {
        let ppca = Ppca::fit(x.view(), latent).unwrap();
        worst.number(ppca.noise_variance, noise, noise);
        worst.number(ppca.log_likelihood, score, 1.0);
    }
    worst.within(1e-12, "σ² and log-likelihood of scikit-learn");
}

#[test]
fn ppca_maximum_likelihood_of_many_draws_is_the_model() {
    let mut rng = StdRng::seed_from_u64(74);
    let [n, d, k] = [100_000, 6, 2];
    let point = random_decoder(&mut rng, [d, k]);
    let tape = Tape::new();
    let v = variables(&tape, &point);
    let z = standard_normal(&tape, &[n, k], &mut rng);
    let x = decoder(&v).sample(z, standard_normal(&tape, &[n, d], &mut rng));
    let log_p = owned(decoder(&v).log_evidence(x).unwrap().value());
    let (w, noise) = (two_axes(&point[0]), point[2].sum().exp());
    let c = w.dot(&w.t()) + Array2::<f64>::eye(d) * noise;
    let log_determinant = symmetric_eigen(&c).unwrap().values.mapv(f64::ln).sum();
    let exact = -0.5 * (d as f64 * (1.0 + TAU.ln()) + log_determinant);
    Statistics::of(&log_p).agree_with(exact, "log p(x) of the model's own draws");
    let ppca = Ppca::fit(two_axes(&owned(x.value())).view(), k).unwrap();
    let error = noise * (2.0 / (n * (d - k)) as f64).sqrt();
    let distance = (ppca.noise_variance - noise) / error;
    println!(
        "σ² {noise:.4}, fitted {:.4}: {distance:+.2} standard errors",
        ppca.noise_variance
    );
    assert!(distance.abs() <= 4.0);
    // The maximum lies above the truth, by about half of the free parameters over N.
    let excess = ppca.log_likelihood - log_p.mean().unwrap();
    assert!(0.0 < excess && excess < 20.0 / n as f64, "{excess:e}");
}

#[test]
fn ppca_maximum_likelihood_of_what_has_none() {
    let of = |x: Array2<f64>, k| Ppca::fit(x.view(), k);
    let mut rng = StdRng::seed_from_u64(75);
    let x = elongated(&mut rng, [9, 4]);
    assert_eq!(of(Array2::zeros((0, 4)), 1), Err(PpcaError::Empty));
    assert_eq!(of(Array2::zeros((4, 0)), 0), Err(PpcaError::Empty));
    let too_many = PpcaError::Latent {
        latent: 4,
        dimensions: 4,
    };
    assert_eq!(of(x.clone(), 4), Err(too_many));
    let mut missing = x.clone();
    missing[[2, 1]] = f64::NAN;
    let told = of(missing, 1).unwrap_err().to_string();
    assert!(told.contains("NaN at [2, 1]"), "{told}");
    // Three data span a plane; constant pixels alone do no harm.
    let few = x.slice(s![..3, ..]).to_owned();
    assert!(of(few.clone(), 1).is_ok());
    let plane = PpcaError::Unbounded {
        latent: 2,
        rank: 2,
        constant: 0,
    };
    assert_eq!(of(few, 2), Err(plane));
    let mut constant = x.clone();
    constant.column_mut(3).fill(0.25);
    assert!(of(constant.clone(), 2).is_ok());
    let flat = PpcaError::Unbounded {
        latent: 3,
        rank: 3,
        constant: 1,
    };
    assert_eq!(of(constant, 3), Err(flat));
    assert!(plane.to_string().contains("fewer latents or more data"));
    // A column of 0.1 is constant, though the mean of ten of them is not 0.1.
    let tenths = Array2::from_shape_fn((10, 3), |(i, j)| if j == 0 { i as f64 } else { 0.1 });
    let line = PpcaError::Unbounded {
        latent: 1,
        rank: 1,
        constant: 2,
    };
    assert_eq!(of(tenths, 1), Err(line));
    let still = PpcaError::Unbounded {
        latent: 0,
        rank: 0,
        constant: 4,
    };
    assert_eq!(of(Array2::ones((5, 4)), 0), Err(still));
    let from = |c: Array2<f64>| Ppca::from_covariance(arr1(&[0.0, 0.0]), &c, 1);
    let lopsided = from(arr2(&[[1.0, 0.5], [0.0, 1.0]])).unwrap_err();
    assert!(matches!(
        lopsided,
        PpcaError::NoSpectrum(NoSpectrum::NotSymmetric { .. })
    ));
    let negative = from(arr2(&[[1.0, 2.0], [2.0, 1.0]])).unwrap_err();
    assert!(
        matches!(negative, PpcaError::Indefinite { eigenvalue } if (eigenvalue + 1.0).abs() < 1e-12)
    );
    let given = |noise| Ppca::with_noise(arr1(&[0.0, 0.0]), &Array2::eye(2), 1, noise);
    assert_eq!(given(0.0), Err(PpcaError::Noise(0.0)));
    assert_eq!(given(2.0).unwrap().weights, Array2::<f64>::zeros((2, 1)));
}

// ---------------------------------------------------------------------------------------------------------
// linear-vae-gap

/// The bound at q = N(m, diag e^s), from W, b, log σ², m, s.
fn bound_of<'t>(v: &[Var<'t, f64>], x: &Array2<f64>) -> Var<'t, f64> {
    let q = DiagonalGaussian {
        mean: v[3],
        log_variance: v[4],
    };
    decoder(v).elbo_diagonal(v[0].tape().constant(x.clone()), &q)
}

/// A decoder, and a q for each of n data.
fn random_bound(rng: &mut StdRng, [d, k, n]: [usize; 3]) -> Vec<ArrayD<f64>> {
    let mut point = random_decoder(rng, [d, k]);
    point.extend([random(rng, &[n, k]), random(rng, &[k])]);
    point
}

const LINEAR: [[usize; 3]; 4] = [[3, 1, 2], [4, 2, 3], [5, 3, 1], [2, 4, 2]];

#[test]
fn linear_vae_gap_bound_by_hand() {
    let mut rng = StdRng::seed_from_u64(80);
    let mut worst = Worst::default();
    for [d, k, n] in LINEAR {
        let point = random_bound(&mut rng, [d, k, n]);
        let x = matrix(&mut rng, [n, d]);
        let y_bar = vector(&mut rng, n);
        let (w, m) = (two_axes(&point[0]), two_axes(&point[3]));
        let b: Array1<f64> = point[1].clone().into_dimensionality().unwrap();
        let variances: Array1<f64> = point[4].mapv(f64::exp).into_dimensionality().unwrap();
        let precision = (-point[2].sum()).exp();
        let total = y_bar.sum();
        let weighted = |r: &Array2<f64>| r * &y_bar.view().insert_axis(Axis(1));
        let error = &x - &m.dot(&w.t()) - &b;
        let columns = w.mapv(|w| w * w).sum_axis(Axis(0));
        let squares = error.mapv(|e| e * e).sum_axis(Axis(1)) + (&columns * &variances).sum();
        let by_hand = [
            ((weighted(&error).t().dot(&m)) - &w * &variances * total) * precision,
            (weighted(&error).sum_axis(Axis(0)) * precision).insert_axis(Axis(0)),
            arr2(&[[0.5 * (y_bar.dot(&squares) * precision - d as f64 * total)]]),
            weighted(&(error.dot(&w) * precision - &m)),
            ((&variances * &(&columns * precision + 1.0) - 1.0) * (-0.5 * total))
                .insert_axis(Axis(0)),
        ];
        let tape = Tape::new();
        let v = variables(&tape, &point);
        let gradients = tape.pull_back(bound_of(&v, &x), y_bar.into_dyn(), &[]);
        for (var, expected) in v.iter().zip(by_hand) {
            let found = owned(gradients.wrt(*var));
            let expected = expected.into_shape_with_order(found.raw_dim()).unwrap();
            worst.entries(&found, &expected);
        }
    }
    worst.within(1e-12, "gradient of the bound: hand = autodiff");
}

#[test]
fn linear_vae_gap_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(81);
    let mut checked = Checked::default();
    let check = Check::new("linear-vae-gap");
    for [d, k, n] in LINEAR {
        let point = random_bound(&mut rng, [d, k, n]);
        let x = matrix(&mut rng, [n, d]);
        checked.add(check.run(&point, |v| bound_of(v, &x)).unwrap());
        checked.add(check.run_second_order(&point, |v| bound_of(v, &x)).unwrap());
        let point = &point[..3];
        // The offset plays no part in the gap; its own sum gives the checker something to see.
        checked.add(
            check
                .run(point, |v| decoder(v).diagonal_gap().unwrap() + v[1].sum())
                .unwrap(),
        );
        checked.add(
            check
                .run_second_order(point, |v| decoder(v).diagonal_gap().unwrap() + v[1].sum())
                .unwrap(),
        );
    }
    checked.tell("bound and gap, first and second order");
}

#[test]
fn linear_vae_gap_by_other_roads() {
    let mut rng = StdRng::seed_from_u64(82);
    let (mut bound, mut gap, mut slope, mut hand) = (
        Worst::default(),
        Worst::default(),
        Worst::default(),
        Worst::default(),
    );
    let mut least = f64::INFINITY;
    for [d, k, n] in [[3, 2, 4], [5, 3, 3], [6, 2, 5], [4, 6, 3]] {
        let tape = Tape::new();
        let mut point = random_bound(&mut rng, [d, k, n]);
        let x = matrix(&mut rng, [n, d]);
        let v = variables(&tape, &point);
        let (model, data) = (decoder(&v), tape.constant(x.clone()));
        // The bound of any Gaussian q, with a diagonal factor.
        let deviations: Array1<f64> = point[4]
            .mapv(|s| (0.5 * s).exp())
            .into_dimensionality()
            .unwrap();
        let factor = tape.constant(Array2::from_diag(&deviations));
        let q = MultivariateGaussian::from_factor(v[3], factor).unwrap();
        bound.entries(
            &owned(bound_of(&v, &x).value()),
            &owned(model.elbo(data, &q).value()),
        );
        // At the best q: the same gap for every datum, and the mean field's divergence from the posterior.
        let best = model.best_diagonal(data).unwrap();
        let difference = model.log_evidence(data).unwrap() - model.elbo_diagonal(data, &best);
        let found = model.diagonal_gap().unwrap().item();
        owned(difference.value())
            .iter()
            .for_each(|&g| gap.number(g, found, 1.0));
        let posterior = model.posterior(data).unwrap();
        let covariance = two_axes(&owned(posterior.covariance().value()));
        gap.number(
            kl::mean_field(&covariance).unwrap().reverse_divergence,
            found,
            1.0,
        );
        least = least.min(found);
        // No q nearby is better: the gradient with respect to m and s is 0.
        point[3] = owned(best.mean.value());
        point[4] = owned(best.log_variance.value());
        let v = variables(&tape, &point);
        let gradients = tape.gradients(bound_of(&v, &x).sum());
        for var in [v[3], v[4]] {
            owned(gradients.wrt(var))
                .iter()
                .for_each(|&g| slope.number(g, 0.0, 1.0));
        }
        // ∂gap/∂W = W (diag(1/M_jj) - M⁻¹), ∂gap/∂log σ² = ½σ² (Σ 1/M_jj - tr M⁻¹).
        let (w, noise) = (two_axes(&point[0]), point[2].sum().exp());
        let m = w.t().dot(&w) + Array2::<f64>::eye(k) * noise;
        let inner = Array2::from_diag(&m.diag().mapv(f64::recip)) - inverted(&m);
        let gradients = tape.gradients(decoder(&v).diagonal_gap().unwrap());
        hand.entries(&owned(gradients.wrt(v[0])), &w.dot(&inner).into_dyn());
        hand.number(
            gradients.wrt(v[2]).sum(),
            0.5 * noise * inner.diag().sum(),
            1.0,
        );
    }
    bound.within(1e-13, "bound of a diagonal q = bound of a full one");
    gap.within(1e-12, "gap by three roads, absolute");
    slope.within(1e-12, "gradient at the best q");
    hand.within(1e-12, "gradient of the gap: hand = autodiff");
    println!("smallest gap: {least:.3} nats");
    assert!(least > 0.0);
}

#[test]
fn linear_vae_gap_is_zero_for_orthogonal_columns_only() {
    let mut rng = StdRng::seed_from_u64(83);
    let mut evidence = Worst::default();
    for [n, d, k] in [[20, 4, 2], [30, 6, 3], [9, 5, 4]] {
        let x = elongated(&mut rng, [n, d]);
        let ppca = Ppca::fit(x.view(), k).unwrap();
        let tape = Tape::new();
        let straight = ppca.decoder(&tape);
        let turned = LinearGaussian {
            weights: tape.constant(ppca.weights.dot(&rotation(&mut rng, k))),
            ..straight
        };
        let mean = |model: &LinearGaussian<'_, f64>| {
            model
                .log_evidence(tape.constant(x.clone()))
                .unwrap()
                .mean()
                .item()
        };
        evidence.number(mean(&turned), mean(&straight), 1.0);
        let gaps = [straight, turned].map(|model| model.diagonal_gap().unwrap().item());
        println!(
            "{d} dimensions, {k} latents: gap {:.1e}, with W rotated {:.4} nats",
            gaps[0], gaps[1]
        );
        assert!(gaps[0] < 1e-28 && gaps[1] > 1e-3);
    }
    evidence.within(1e-12, "the evidence of a rotated W");
    // A column of zeros, and columns that agree.
    let gap = |w: Array2<f64>| {
        let tape = Tape::new();
        let v = variables(
            &tape,
            &[
                w.into_dyn(),
                Array1::zeros(2).into_dyn(),
                arr0(0.0).into_dyn(),
            ],
        );
        decoder(&v).diagonal_gap().unwrap().item()
    };
    assert_eq!(gap(arr2(&[[1.0, 0.0], [2.0, 0.0]])), 0.0);
    // M = [[2, 1], [1, 2]]: ½ (2 log 2 - log 3).
    assert!((gap(arr2(&[[1.0, 1.0], [0.0, 0.0]])) - 0.5 * (4.0f64 / 3.0).ln()).abs() < 1e-15);
}

#[test]
fn linear_vae_gap_of_the_model_that_is_trained() {
    let mut rng = StdRng::seed_from_u64(84);
    let (mut checked, mut worst) = (Checked::default(), Worst::default());
    for [d, k, n] in LINEAR {
        let mut parameters = Parameters::<f64>::new();
        let vae = LinearVae::new(d, k, &mut parameters, &mut rng);
        let point: Vec<ArrayD<f64>> = values(&parameters)
            .iter()
            .map(|value| random(&mut rng, value.shape()) * 0.5)
            .collect();
        let x = matrix(&mut rng, [n, d]);
        let report = Check::new("linear-vae-gap").run(&point, |v| {
            vae.elbo(&Bound::from_vars(v), v[0].tape().constant(x.clone()))
        });
        checked.add(report.unwrap());
        let tape = Tape::new();
        let v = variables(&tape, &point);
        let (p, data) = (Bound::from_vars(&v), tape.constant(x.clone()));
        let objective = vae.objective(&p, data, &mut rng);
        let bound = vae.elbo(&p, data).mean().item();
        worst.number(objective.loss.item(), -bound, 1.0);
        let parts = objective.terms[0].1.item() - objective.terms[1].1.item();
        worst.number(parts, bound, 1.0);
        // Its encoder is linear in x - b.
        let q = vae.encode(&p, data);
        let centred = &x
            - &point[1]
                .view()
                .into_dimensionality::<ndarray::Ix1>()
                .unwrap();
        let expected = centred.dot(&two_axes(&point[3]).t());
        worst.entries(&owned(q.mean.value()), &expected.into_dyn());
    }
    checked.tell("every parameter of the linear VAE");
    worst.within(REARRANGED, "loss = -mean bound = KL - reconstruction");
}

/// The embedded digits at half of their size: each pixel is the mean of four.
#[cfg(feature = "cli")]
fn small_digits() -> Dataset {
    let halved = |images: &Images| {
        let pixels = images.pixels();
        let (height, width) = (images.height() / 2, images.width() / 2);
        let at = |(n, i): (usize, usize)| {
            let (y, x) = (2 * (i / width), 2 * (i % width));
            let four = [(y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)];
            let sum: u32 = four
                .iter()
                .map(|(y, x)| u32::from(pixels[[n, y * images.width() + x]]))
                .sum();
            (sum / 4) as u8
        };
        let shape = (images.len(), height * width);
        Images::new(Array2::from_shape_fn(shape, at), height, width, None).unwrap()
    };
    let full = Dataset::embedded();
    Dataset {
        name: "MNIST at half size".to_owned(),
        train: halved(&full.train.head(5000)),
        test: halved(&full.test.head(500)),
    }
}

#[cfg(feature = "cli")]
#[test]
fn linear_vae_gap_on_digits() {
    let (data, latent) = (small_digits(), 10);
    let mut rng = stream(1, "weights", 0);
    let all: Vec<usize> = (0..data.train.len()).collect();
    let x: Array2<f64> = data.train.batch(&all, Binarisation::None, &mut rng);
    let ppca = Ppca::fit(x.view(), latent).unwrap();
    let constant = x
        .columns()
        .into_iter()
        .filter(|c| c.iter().all(|&p| p == c[0]))
        .count();
    println!(
        "{} images of {} pixels, {constant} of them constant; {latent} latents",
        x.nrows(),
        x.ncols()
    );
    println!(
        "largest eigenvalue {:.3}, σ² of the maximum {:.5}",
        ppca.spectrum.values[0], ppca.noise_variance
    );
    println!(
        "exact log-likelihood at the maximum {:10.3} nats per image",
        ppca.log_likelihood
    );
    let mut parameters = Parameters::<f64>::new();
    let vae = LinearVae::new(x.ncols(), latent, &mut parameters, &mut rng);
    let (mut reached, mut least_gap) = (f64::NEG_INFINITY, f64::INFINITY);
    for (epochs, batch, rate) in [(6, 50, 1e-2), (8, 50, 3e-3), (5, 100, 7e-4), (2, 200, 2e-4)] {
        let settings = Settings {
            epochs,
            batch,
            rate,
            seed: 1,
            binarisation: Binarisation::None,
        };
        let task = Task {
            model: &vae,
            data: &data,
            settings: &settings,
        };
        fit(task, &mut parameters, |_| ()).unwrap();
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        let images = tape.constant(x.clone());
        let bound = vae.elbo(&p, images).mean().item();
        let evidence = vae.decoder(&p).log_evidence(images).unwrap().mean().item();
        let gap = vae.decoder(&p).diagonal_gap().unwrap().item();
        assert!(bound < evidence && evidence < ppca.log_likelihood);
        (reached, least_gap) = (bound, gap);
        println!(
            "after {epochs} epochs more at rate {rate:e}: bound {bound:10.3}, its evidence {evidence:10.3}, least gap {gap:.4}"
        );
    }
    let missing = ppca.log_likelihood - reached;
    println!("the trained bound is {missing:.3} nats per image below the exact maximum");
    // As the notes have it.
    for (found, told) in [
        (ppca.log_likelihood, 76.732),
        (reached, 76.676),
        (least_gap, 0.010),
    ] {
        assert!((found - told).abs() < 1e-3, "{found}, not {told}");
    }
}

// ---------------------------------------------------------------------------------------------------------
// posterior-collapse

/// A covariance with its eigenvalues and eigenvectors, and data that have it exactly: rows ±√(Dλᵢ) vᵢ.
struct Spectral {
    lambda: Array1<f64>,
    v: Array2<f64>,
    data: Array2<f64>,
}

impl Spectral {
    fn random(rng: &mut StdRng, d: usize) -> Self {
        let mut lambda = Array1::from_shape_fn(d, |_| rng.random_range(0.2f64..4.0));
        lambda
            .as_slice_mut()
            .unwrap()
            .sort_by(|a, b| b.total_cmp(a));
        let v = rotation(rng, d);
        let half = (&v * &lambda.mapv(|l| (l * d as f64).sqrt())).reversed_axes();
        let data = concatenate![Axis(0), half, -&half];
        Self { lambda, v, data }
    }

    fn covariance(&self) -> Array2<f64> {
        with_spectrum(&self.v, &self.lambda)
    }
}

/// W = 0, b = 0 and log σ², as values.
fn collapsed(d: usize, k: usize, noise: f64) -> Vec<ArrayD<f64>> {
    flat([
        Array2::zeros((d, k)).into_dyn(),
        Array1::zeros(d).into_dyn(),
        arr0(noise.ln()).into_dyn(),
    ])
}

/// ∂²f/∂W² as a matrix over the entries of W, row by row, from the tape.
fn hessian<'t>(tape: &'t Tape<f64>, f: Var<'t, f64>, w: Var<'t, f64>) -> Array2<f64> {
    let slope = tape.differentiable_gradients(f).wrt(w);
    let rows = (0..w.size()).map(|i| {
        let mut unit = ArrayD::zeros(w.shape());
        unit.as_slice_mut().unwrap()[i] = 1.0;
        let row = tape.pull_back(slope, unit, &[]).wrt(w);
        row.iter().copied().collect::<Vec<_>>()
    });
    let entries: Vec<f64> = rows.flatten().collect();
    Array2::from_shape_vec((w.size(), w.size()), entries).unwrap()
}

#[test]
fn posterior_collapse_curvature_by_second_derivatives() {
    let mut rng = StdRng::seed_from_u64(90);
    let (mut whole, mut along, mut bound) = (Worst::default(), Worst::default(), Worst::default());
    for [d, k] in [[2, 1], [3, 2], [5, 3]] {
        let spectral = Spectral::random(&mut rng, d);
        let noise: f64 = rng.random_range(0.3..3.0);
        let tape = Tape::new();
        let v = variables(&tape, &collapsed(d, k, noise));
        let x = tape.constant(spectral.data.clone());
        let evidence = decoder(&v).log_evidence(x).unwrap().mean();
        let best = decoder(&v).best_diagonal(x).unwrap();
        let elbo = decoder(&v).elbo_diagonal(x, &best).mean();
        // (S - σ²I)/σ⁴ for each column of W by itself.
        let block = (spectral.covariance() - Array2::<f64>::eye(d) * noise) / (noise * noise);
        let by_hand = Array2::from_shape_fn((d * k, d * k), |(i, j)| {
            if i % k == j % k {
                block[[i / k, j / k]]
            } else {
                0.0
            }
        });
        let found = hessian(&tape, evidence, v[0]);
        whole.entries(&found.clone().into_dyn(), &by_hand.clone().into_dyn());
        // The bound at its best diagonal q bends alike: the gap is of fourth order.
        bound.entries(&hessian(&tape, elbo, v[0]).into_dyn(), &by_hand.into_dyn());
        let eigen = symmetric_eigen(&spectral.covariance()).unwrap();
        let curvatures = collapse_curvatures(&eigen, noise);
        for i in 0..d {
            let direction = Array1::from_shape_fn(d * k, |e| {
                if e % k == k - 1 {
                    eigen.vectors[[e / k, i]]
                } else {
                    0.0
                }
            });
            let second = direction.dot(&found.dot(&direction));
            along.number(second, curvatures[i], curvatures[i].abs().max(1.0));
        }
    }
    whole.within(1e-12, "Hessian of the mean evidence at W = 0");
    bound.within(1e-12, "Hessian of the mean bound at its best q");
    along.within(1e-12, "along eigenvectors: (λ - σ²)/σ⁴");
}

#[test]
fn posterior_collapse_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(91);
    let mut checked = Checked::default();
    let check = Check::new("posterior-collapse");
    for [d, k] in [[3, 1], [4, 2]] {
        let spectral = Spectral::random(&mut rng, d);
        // At W = 0 the gradient is 0: what is to be compared is the second order, near it the first as well.
        let near = random_decoder(&mut rng, [d, k]);
        checked.add(
            check
                .run(&near, |v| mean_evidence(v, &spectral.data))
                .unwrap(),
        );
        let at = collapsed(d, k, 0.8);
        checked.add(
            check
                .run_second_order(&at, |v| mean_evidence(v, &spectral.data))
                .unwrap(),
        );
    }
    checked.tell("near W = 0 first order, at W = 0 second order");
}

/// The mean bound with an encoder A, from W, b, log σ², A, s.
fn autoencoder<'t>(v: &[Var<'t, f64>], x: &Array2<f64>) -> Var<'t, f64> {
    let x = v[0].tape().constant(x.clone());
    let q = DiagonalGaussian {
        mean: x.matmul(v[3].t()),
        log_variance: v[4],
    };
    decoder(v).elbo_diagonal(x, &q).mean()
}

#[test]
fn posterior_collapse_is_a_strict_maximum_above_every_eigenvalue_and_none_below() {
    let mut rng = StdRng::seed_from_u64(92);
    let (mut stationary, mut joint) = (Worst::default(), Worst::default());
    for trial in 0..12 {
        let [d, k] = [[3, 1], [4, 2], [3, 3]][trial % 3];
        let spectral = Spectral::random(&mut rng, d);
        let highest = spectral.lambda[0];
        let noise = highest * if trial % 2 == 0 { 1.02 } else { 0.98 };
        let mut start = collapsed(d, k, noise);
        start.extend([
            Array2::zeros((k, d)).into_dyn(),
            Array1::zeros(k).into_dyn(),
        ]);
        let tape = Tape::new();
        let v = variables(&tape, &start);
        let at_rest = autoencoder(&v, &spectral.data);
        let gradients = tape.gradients(at_rest);
        for i in [0, 1, 3, 4] {
            owned(gradients.wrt(v[i]))
                .iter()
                .for_each(|&g| stationary.number(g, 0.0, 1.0));
        }
        let value = |w: Array2<f64>, a: Array2<f64>, s: Array1<f64>| {
            let mut point = start.clone();
            (point[0], point[3], point[4]) = (w.into_dyn(), a.into_dyn(), s.into_dyn());
            let tape = Tape::new();
            autoencoder(&variables(&tape, &point), &spectral.data).item() - at_rest.item()
        };
        // Along v₁ in decoder and encoder at once, α = w/σ², the curvature is the Schur complement (λ - σ²)/σ⁴.
        let step = 1e-3;
        let w = Array2::from_shape_fn((d, k), |(i, j)| {
            if j == 0 {
                step * spectral.v[[i, 0]]
            } else {
                0.0
            }
        });
        let along = value(w.clone(), w.t().to_owned() / noise, Array1::zeros(k));
        let curvature = 2.0 * along / (step * step);
        let exact = (highest - noise) / (noise * noise);
        joint.number(curvature, exact, 1.0);
        // The decoder alone, or the encoder alone, always makes it worse.
        assert!(value(w.clone(), Array2::zeros((k, d)), Array1::zeros(k)) < 0.0);
        assert!(value(Array2::zeros((d, k)), w.t().to_owned(), Array1::zeros(k)) < 0.0);
        let all_worse = (0..200).all(|_| {
            let size = 10f64.powf(-2.0 * rng.random::<f64>() - 1.0);
            let w = matrix(&mut rng, [d, k]) * size;
            let a = matrix(&mut rng, [k, d]) * size;
            value(w, a, vector(&mut rng, k) * size) < 0.0
        });
        assert_eq!(along < 0.0, noise > highest);
        assert!(noise < highest || all_worse);
    }
    stationary.within(1e-14, "gradient at W = 0, A = 0, s = 0");
    joint.within(
        1e-5,
        "curvature of the joint loss along v₁, by a step of 10⁻³",
    );
}

#[test]
fn posterior_collapse_at_a_given_noise_is_what_maximum_likelihood_asks_for() {
    let mut rng = StdRng::seed_from_u64(93);
    let (mut used, mut slope) = (Worst::default(), Worst::default());
    for trial in 0..10 {
        let [d, k] = [[4, 2], [5, 4], [6, 3]][trial % 3];
        let spectral = Spectral::random(&mut rng, d);
        let noise: f64 = rng.random_range(0.1..5.0);
        let ppca = Ppca::with_noise(Array1::zeros(d), &spectral.covariance(), k, noise).unwrap();
        let wanted = spectral
            .lambda
            .iter()
            .take(k)
            .filter(|&&l| l > noise)
            .count();
        let kept = ppca
            .weights
            .columns()
            .into_iter()
            .filter(|w| w.dot(w) > 0.0)
            .count();
        assert_eq!(kept, wanted);
        let tape = Tape::new();
        let model = ppca.decoder(&tape);
        let x = tape.constant(spectral.data.clone());
        let evidence = model.log_evidence(x).unwrap().mean();
        owned(tape.gradients(evidence).wrt(model.weights))
            .iter()
            .for_each(|&g| slope.number(g, 0.0, 1.0));
        used.number(evidence.item(), ppca.log_likelihood, 1.0);
        // Var E[z|x] = 1 - σ²/λ: a used unit counts as active if λ > σ²/0.99.
        let means = two_axes(&owned(model.posterior(x).unwrap().mean().value()));
        let activity = Activity::of(means.view()).unwrap();
        for (variance, lambda) in activity.variances.iter().zip(&spectral.lambda) {
            used.number(*variance, (1.0 - noise / lambda).max(0.0), 1.0);
        }
        let counted = spectral
            .lambda
            .iter()
            .take(k)
            .filter(|&&l| l > noise / 0.99)
            .count();
        assert_eq!(activity.active(), counted);
        for _ in 0..50 {
            let w = &ppca.weights + &(matrix(&mut rng, [d, k]) * rng.random::<f64>());
            let point = flat([
                w.into_dyn(),
                Array1::zeros(d).into_dyn(),
                arr0(noise.ln()).into_dyn(),
            ]);
            let tape = Tape::new();
            let other = mean_evidence(&variables(&tape, &point), &spectral.data).item();
            assert!(other <= ppca.log_likelihood + 1e-12);
        }
    }
    slope.within(1e-12, "gradient at the best W for a given σ²");
    used.within(1e-12, "its evidence, and Var E[z|x] = 1 - σ²/λ");
}

#[test]
fn posterior_collapse_with_learnt_noise_is_a_saddle() {
    // At W = 0 the best σ² is the mean eigenvalue, which is below the largest unless all are equal.
    let mut rng = StdRng::seed_from_u64(94);
    for d in [2, 3, 6] {
        let spectral = Spectral::random(&mut rng, d);
        let ppca = Ppca::from_covariance(Array1::zeros(d), &spectral.covariance(), 0).unwrap();
        assert!((ppca.noise_variance - spectral.lambda.mean().unwrap()).abs() < 1e-13);
        assert!(collapse_curvatures(&ppca.spectrum, ppca.noise_variance)[0] > 0.0);
    }
    let round = Ppca::from_covariance(Array1::zeros(3), &(Array2::eye(3) * 2.0), 1).unwrap();
    assert_eq!(
        collapse_curvatures(&round.spectrum, round.noise_variance),
        arr1(&[0.0; 3])
    );
    assert_eq!(round.weights, Array2::<f64>::zeros((3, 1)));
}

#[test]
fn posterior_collapse_counts_units_by_their_means() {
    let mut rng = StdRng::seed_from_u64(95);
    let mut worst = Worst::default();
    let means = matrix(&mut rng, [50, 3]) * &arr1(&[1.0, 0.05, 0.0]) + &arr1(&[7.0, 0.0, 3.0]);
    let activity = Activity::of(means.view()).unwrap();
    let (_, covariance) = moments_of(&means);
    for u in 0..3 {
        worst.number(activity.variances[u], covariance[[u, u]], 1.0);
    }
    worst.within(1e-14, "Var_x E[u|x]");
    assert_eq!(activity.active(), 1);
    // The last unit is as far from the prior as one likes and tells nothing: a divergence above 0 is no activity.
    let codes = Codes {
        means,
        log_variances: Array2::zeros((50, 3)),
    };
    assert!((unit_divergences(&codes).unwrap()[2] - 4.5).abs() < 1e-12);
    assert!(!activity.is_active(2));
    assert_eq!(
        Activity::of(Array2::zeros((0, 3)).view()),
        Err(NoActivity::Empty)
    );
    // The threshold is 10⁻².
    let spread = |variance: f64| variance.sqrt() * arr1(&[1.0, -1.0]);
    let near = ndarray::stack![Axis(1), spread(0.0105), spread(0.0095)];
    assert_eq!(Activity::of(near.view()).unwrap().active(), 1);
    assert!(Activity::of(near.view()).unwrap().is_active(0));
    // Means at the end of the range: equal, and as far apart as can be.
    let huge = Activity::of(arr2(&[[1e308, 1e308], [1e308, -1e308]]).view()).unwrap();
    assert_eq!(huge.variances, arr1(&[0.0, f64::INFINITY]));
    let told = Activity::of(arr2(&[[0.0, f64::INFINITY]]).view()).unwrap_err();
    assert!(
        told.to_string().contains("inf for unit 1 of datum 0"),
        "{told}"
    );
}

#[test]
fn posterior_collapse_is_a_strict_maximum_at_equality_as_well() {
    // Along v₁ the evidence is -½ (log c + λ/c) with c = λ + t²: -¼ (t²/λ)² to the fourth order.
    let mut rng = StdRng::seed_from_u64(96);
    for [d, k] in [[1, 1], [3, 1], [4, 2]] {
        let spectral = Spectral::random(&mut rng, d);
        let noise = spectral.lambda[0];
        let at = |w: Array2<f64>| {
            let mut point = collapsed(d, k, noise);
            point[0] = w.into_dyn();
            let tape = Tape::new();
            let v = variables(&tape, &point);
            let evidence = mean_evidence(&v, &spectral.data).item();
            let x = tape.constant(spectral.data.clone());
            let best = decoder(&v).best_diagonal(x).unwrap();
            [evidence, decoder(&v).elbo_diagonal(x, &best).mean().item()]
        };
        let rest = at(Array2::zeros((d, k)));
        let step = 0.03 * noise.sqrt();
        let along = Array2::from_shape_fn((d, k), |(i, j)| match j {
            0 => step * spectral.v[[i, 0]],
            _ => 0.0,
        });
        for (there, here) in at(along).iter().zip(&rest) {
            let fourth = (there - here) / 0.03f64.powi(4);
            assert!((fourth + 0.25).abs() < 1e-3, "{fourth}");
        }
        for _ in 0..100 {
            let w = matrix(&mut rng, [d, k]) * rng.random_range(0.1..1.0);
            assert!(at(w).iter().zip(&rest).all(|(there, here)| there < here));
        }
    }
}

#[test]
fn posterior_collapse_curvatures_at_the_ends_of_the_range() {
    let at = |lambda: f64, noise: f64| {
        let spectrum = symmetric_eigen(&arr2(&[[lambda]])).unwrap();
        collapse_curvatures(&spectrum, noise)[0]
    };
    for (lambda, noise, exact) in [(0.0, 1e-170, -1e170), (1e165, 1e160, 99999e-160)] {
        assert!((at(lambda, noise) / exact - 1.0).abs() < 1e-14);
    }
    assert_eq!(at(1e-170, 1e-170), 0.0);
}

// ---------------------------------------------------------------------------------------------------------
// loss-scaling

const SCALINGS: [[Reduction; 2]; 4] = [
    [Reduction::Sum, Reduction::Sum],
    [Reduction::Mean, Reduction::Sum],
    [Reduction::Sum, Reduction::Mean],
    [Reduction::Mean, Reduction::Mean],
];

fn scaling([reconstruction, divergence]: [Reduction; 2], weight: f64) -> LossScaling {
    LossScaling {
        reconstruction,
        divergence,
        weight,
    }
}

/// KL(q(z_u) ‖ N(0, 1)) of each unit, in plain operations.
fn units<'t>(m: Var<'t, f64>, s: Var<'t, f64>) -> Var<'t, f64> {
    (m.square() + (s.expm1() - s)) * 0.5
}

#[test]
fn loss_scaling_is_a_beta_vae() {
    let mut rng = StdRng::seed_from_u64(100);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for (trial, reductions) in SCALINGS.into_iter().cycle().take(16).enumerate() {
        let [n, d, k] = [[3, 5, 2], [1, 4, 3], [2, 7, 1]][trial % 3];
        let loss = scaling(reductions, rng.random_range(0.1..4.0));
        let beta = loss.beta(d, k);
        let [expected, divisor] = match trial % 4 {
            0 => [loss.weight, 1.0],
            1 => [loss.weight * d as f64, d as f64],
            2 => [loss.weight / k as f64, 1.0],
            _ => [loss.weight * d as f64 / k as f64, d as f64],
        };
        value.number(beta, expected, expected);
        let x = grey(&mut rng, &[n, d]).mapv(f64::round);
        let tape = Tape::new();
        let v = variables(
            &tape,
            &[
                random(&mut rng, &[n, d]),
                random(&mut rng, &[n, k]),
                random(&mut rng, &[n, k]),
            ],
        );
        let coin = Bernoulli { logits: v[0] };
        let errors = v[0].softplus() - tape.constant(x.clone()) * v[0];
        let trained = loss.loss(errors, units(v[1], v[2]));
        let q = DiagonalGaussian {
            mean: v[1],
            log_variance: v[2],
        };
        let bound = coin.log_density(tape.constant(x)) - kl::gaussian_standard(&q) * beta;
        value.entries(
            &owned((trained * divisor).value()),
            &owned((-bound).value()),
        );
        let (found, expected) = (tape.gradients(trained.sum()), tape.gradients(bound.sum()));
        for &var in &v {
            let expected = owned(expected.wrt(var)) * (-1.0 / divisor);
            gradient.entries(&owned(found.wrt(var)), &expected);
        }
    }
    value.within(1e-13, "loss = -(E log p - β KL)/divisor");
    gradient.within(1e-13, "and so are the gradients");
    assert_eq!(scaling(SCALINGS[1], 1.0).beta(784, 20), 784.0);
    assert!((scaling(SCALINGS[3], 1.0).beta(784, 20) - 39.2).abs() < 1e-12);
}

#[test]
fn loss_scaling_of_squared_errors_is_a_noise_variance() {
    let mut rng = StdRng::seed_from_u64(101);
    let mut worst = Worst::default();
    for (trial, reductions) in SCALINGS.into_iter().cycle().take(16).enumerate() {
        let [n, d, k] = [[3, 5, 2], [1, 4, 3], [2, 7, 1]][trial % 3];
        let loss = scaling(reductions, rng.random_range(0.1..4.0));
        let factor = [1.0, 0.5][trial % 2];
        let noise = loss.noise_variance(factor, d, k);
        let tape = Tape::new();
        let v = variables(
            &tape,
            &[
                random(&mut rng, &[n, d]),
                random(&mut rng, &[n, k]),
                random(&mut rng, &[n, k]),
            ],
        );
        let x = tape.constant(random(&mut rng, &[n, d]));
        let trained = loss.loss((x - v[0]).square() * factor, units(v[1], v[2]));
        let p = DiagonalGaussian {
            mean: v[0],
            log_variance: tape.scalar(noise.ln()),
        };
        let q = DiagonalGaussian {
            mean: v[1],
            log_variance: v[2],
        };
        let bound = p.log_density(x) - kl::gaussian_standard(&q);
        let (found, expected) = (tape.gradients(trained.sum()), tape.gradients(bound.sum()));
        // One factor for all: that of the divergence.
        let ratio = loss.weight / if trial % 4 >= 2 { k as f64 } else { 1.0 };
        for &var in &v {
            worst.entries(&owned(found.wrt(var)), &(owned(expected.wrt(var)) * -ratio));
        }
    }
    worst.within(
        1e-13,
        "gradient of squared error + w KL = that of the bound with its σ²",
    );
    assert_eq!(scaling(SCALINGS[0], 1.0).noise_variance(1.0, 784, 20), 0.5);
    assert_eq!(scaling(SCALINGS[0], 1.0).noise_variance(0.5, 784, 20), 1.0);
    assert_eq!(
        scaling(SCALINGS[1], 1.0).noise_variance(1.0, 784, 20),
        392.0
    );
}

#[test]
#[should_panic(expected = "beta: expected at least one dimension and one latent, found 3 and 0")]
fn loss_scaling_of_no_latents() {
    scaling(SCALINGS[2], 1.0).beta(3, 0);
}

#[test]
#[should_panic(expected = "beta: expected a weight that is finite and not negative, found -1")]
fn loss_scaling_by_a_negative_weight() {
    scaling(SCALINGS[0], -1.0).beta(3, 2);
}

#[test]
fn loss_scaling_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(102);
    let mut checked = Checked::default();
    for reductions in SCALINGS {
        let loss = scaling(reductions, 0.7);
        let point = [
            random(&mut rng, &[2, 4]),
            random(&mut rng, &[2, 3]),
            random(&mut rng, &[2, 3]),
        ];
        checked.add(
            Check::new("loss-scaling")
                .run(&point, |v| loss.loss(v[0].square(), units(v[1], v[2])))
                .unwrap(),
        );
        checked.add(
            Check::new("loss-scaling")
                .run_second_order(&point, |v| loss.loss(v[0].square(), units(v[1], v[2])))
                .unwrap(),
        );
    }
    checked.tell("first and second order");
}

#[test]
fn loss_scaling_moves_the_optimum_of_the_linear_model() {
    let mut rng = StdRng::seed_from_u64(103);
    let (mut slope, mut shrunk) = (Worst::default(), Worst::default());
    let mut least_loss = f64::INFINITY;
    for (trial, reductions) in SCALINGS.into_iter().cycle().take(12).enumerate() {
        let [d, k] = [[4, 2], [5, 3], [3, 2]][trial % 3];
        let spectral = Spectral::random(&mut rng, d);
        let x = &spectral.data;
        let noise: f64 = rng.random_range(0.05..0.4);
        let loss = scaling(reductions, rng.random_range(0.3..1.5));
        let beta = loss.beta(d, k);
        // Any decoder: the loss itself, built from squared errors and units, is stationary in m and s at the tempered q.
        let mut point = random_decoder(&mut rng, [d, k]);
        point[2] = arr0(noise.ln()).into_dyn();
        let of = |point: &[ArrayD<f64>]| -> (f64, Vec<ArrayD<f64>>) {
            let tape = Tape::new();
            let v = variables(&tape, point);
            let (w, m, s) = (v[0], v[3], v[4]);
            let error = tape.constant(x.clone()) - m.matmul(w.t()) - v[1];
            // E (x_j - f_j)² = (x - Wm - b)_j² + Σ_u W_ju² e^s_u.
            let spread = s.exp().matmul(w.square().t());
            let errors = (error.square() + spread) * (0.5 / noise);
            let trained = loss.loss(errors, units(m, s)).mean();
            let gradients = tape.gradients(trained);
            (
                trained.item(),
                v.iter().map(|&v| owned(gradients.wrt(v))).collect(),
            )
        };
        let tempered = |point: &[ArrayD<f64>]| {
            let tape = Tape::new();
            let v = variables(&tape, point);
            let q = decoder(&v)
                .tempered_diagonal(tape.constant(x.clone()), beta)
                .unwrap();
            let rows = [x.nrows(), k];
            [
                owned(q.mean.value()),
                owned(q.log_variance.broadcast_to(&rows).value()),
            ]
        };
        point.extend(tempered(&point));
        let (value, gradients) = of(&point);
        for i in [3, 4] {
            gradients[i].iter().for_each(|&g| slope.number(g, 0.0, 1.0));
        }
        for _ in 0..20 {
            let mut other = point.clone();
            other[3] = &other[3] + &(random(&mut rng, &[x.nrows(), k]) * 0.1);
            other[4] = &other[4] + &(random(&mut rng, &[x.nrows(), k]) * 0.1);
            least_loss = least_loss.min(of(&other).0 - value);
        }
        // The best decoder: principal components of a model whose noise is βσ², unused where λ <= βσ².
        let best =
            Ppca::with_noise(Array1::zeros(d), &spectral.covariance(), k, beta * noise).unwrap();
        let mut point = flat([
            best.weights.clone().into_dyn(),
            Array1::zeros(d).into_dyn(),
            arr0(noise.ln()).into_dyn(),
        ]);
        point.extend(tempered(&point));
        let (_, gradients) = of(&point);
        for i in [0, 1, 3, 4] {
            gradients[i].iter().for_each(|&g| slope.number(g, 0.0, 1.0));
        }
        // Its codes have the variance βσ²/λ where they are used, 1 where they are not.
        for u in 0..k {
            let expected = (beta * noise / spectral.lambda[u]).min(1.0);
            shrunk.number(point[4][[0, u]].exp(), expected, 1.0);
        }
    }
    slope.within(1e-12, "gradient at the optimum that β has");
    shrunk.within(1e-12, "variance of a code: βσ²/λ");
    println!("240 other q: the nearest was {least_loss:.1e} worse");
    assert!(least_loss > 0.0);
    let tape = Tape::new();
    let v = variables(&tape, &random_decoder(&mut rng, [3, 2]));
    for beta in [0.0, -1.0, f64::NAN] {
        assert!(decoder(&v).tempered_diagonal(v[1], beta).is_err());
    }
}

// ---------------------------------------------------------------------------------------------------------
// amortisation-gap

/// Both gaps of an encoder A (x - b) with log-variance s, from W, b, log σ², A, s: shape (2, N).
fn two_gaps<'t>(v: &[Var<'t, f64>], x: &Array2<f64>) -> [Var<'t, f64>; 2] {
    let x = v[0].tape().constant(x.clone());
    let q = DiagonalGaussian {
        mean: (x - v[1]).matmul(v[3].t()),
        log_variance: v[4],
    };
    let gaps = decoder(v).gaps(x, &q).unwrap();
    [gaps.approximation, gaps.amortisation]
}

/// Both for two data: shape (2, 2).
fn stacked_gaps<'t>(v: &[Var<'t, f64>], x: &Array2<f64>) -> Var<'t, f64> {
    let [approximation, amortisation] = two_gaps(v, x);
    let gaps = [approximation.broadcast_to(&[2]), amortisation];
    v[0].tape().stack(0, &gaps)
}

fn random_autoencoder(rng: &mut StdRng, [d, k]: [usize; 2]) -> Vec<ArrayD<f64>> {
    let mut point = random_decoder(rng, [d, k]);
    point.extend([random(rng, &[k, d]) * 0.5, random(rng, &[k])]);
    point
}

#[test]
fn amortisation_gap_adds_up() {
    let mut rng = StdRng::seed_from_u64(110);
    let (mut sum, mut hand, mut none) = (Worst::default(), Worst::default(), Worst::default());
    let mut least = f64::INFINITY;
    for [d, k, n] in [[3, 1, 4], [4, 2, 3], [5, 3, 2], [3, 4, 2]] {
        let mut point = random_autoencoder(&mut rng, [d, k]);
        let x = matrix(&mut rng, [n, d]);
        let tape = Tape::new();
        let v = variables(&tape, &point);
        let data = tape.constant(x.clone());
        let q = DiagonalGaussian {
            mean: tape.variable(random(&mut rng, &[n, k])),
            log_variance: tape.variable(random(&mut rng, &[n, k])),
        };
        let gaps = decoder(&v).gaps(data, &q).unwrap();
        let total = decoder(&v).log_evidence(data).unwrap() - decoder(&v).elbo_diagonal(data, &q);
        sum.entries(
            &owned((gaps.approximation + gaps.amortisation).value()),
            &owned(total.value()),
        );
        owned(gaps.amortisation.value())
            .iter()
            .for_each(|&g| least = least.min(g));
        // ∂m = P (m - m*), ∂s = ½ (P_jj e^s_j - 1).
        let gradients = tape.gradients(gaps.amortisation.sum());
        let (w, noise) = (two_axes(&point[0]), point[2].sum().exp());
        let precision = w.t().dot(&w) / noise + Array2::<f64>::eye(k);
        let b: Array1<f64> = point[1].clone().into_dimensionality().unwrap();
        let exact = (&x - &b).dot(&w).dot(&inverted(&precision)) / noise;
        let off = two_axes(&owned(q.mean.value())) - exact;
        hand.entries(
            &owned(gradients.wrt(q.mean)),
            &off.dot(&precision).into_dyn(),
        );
        let ratio = owned(q.log_variance.value()).mapv(f64::exp) * precision.diag();
        hand.entries(
            &owned(gradients.wrt(q.log_variance)),
            &((ratio - 1.0) * 0.5),
        );
        // The linear encoder A = M⁻¹Wᵀ serves every datum at once.
        point[3] = (inverted(&precision).dot(&w.t()) / noise).into_dyn();
        point[4] = precision.diag().mapv(|p| -p.ln()).into_dyn();
        let x = matrix(&mut rng, [20, d]) * 5.0;
        let found = owned(two_gaps(&variables(&tape, &point), &x)[1].value());
        found.iter().for_each(|&g| none.number(g, 0.0, 1.0));
    }
    sum.within(1e-12, "the two gaps = log p(x) - bound");
    hand.within(1e-12, "gradient of the amortisation gap: hand = autodiff");
    none.within(1e-12, "amortisation gap of the best linear encoder");
    assert!(least > 0.0);
}

#[test]
fn amortisation_gap_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(111);
    let mut checked = Checked::default();
    for [d, k] in [[3, 1], [4, 2], [2, 3]] {
        let point = random_autoencoder(&mut rng, [d, k]);
        let x = matrix(&mut rng, [2, d]);
        checked.add(
            Check::new("amortisation-gap")
                .run(&point, |v| stacked_gaps(v, &x))
                .unwrap(),
        );
        checked.add(
            Check::new("amortisation-gap")
                .run_second_order(&point, |v| stacked_gaps(v, &x))
                .unwrap(),
        );
    }
    checked.tell("both gaps, first and second order");
}

#[test]
fn amortisation_gap_of_an_encoder_that_cannot_see() {
    // Without its input the best an encoder can do is the mean of the posteriors' means: the gap is what they vary by.
    let mut rng = StdRng::seed_from_u64(112);
    let mut worst = Worst::default();
    for [n, d, k] in [[10, 3, 1], [20, 5, 2]] {
        let point = random_decoder(&mut rng, [d, k]);
        let x = matrix(&mut rng, [n, d]);
        let tape = Tape::new();
        let v = variables(&tape, &point);
        let data = tape.constant(x);
        let best = decoder(&v).best_diagonal(data).unwrap();
        let blind = DiagonalGaussian {
            mean: best.mean.mean_axes(&[0]),
            ..best
        };
        let gaps = decoder(&v).gaps(data, &blind).unwrap();
        let (w, noise) = (two_axes(&point[0]), point[2].sum().exp());
        let precision = w.t().dot(&w) / noise + Array2::<f64>::eye(k);
        let (_, covariance) = moments_of(&two_axes(&owned(best.mean.value())));
        let expected = 0.5 * precision.dot(&covariance).diag().sum();
        worst.number(gaps.amortisation.mean().item(), expected, expected);
        assert!(expected > 0.1);
    }
    worst.within(1e-12, "mean gap = ½ tr P Cov(m*)");
}

#[test]
fn amortisation_gap_is_closed_by_refinement() {
    let mut rng = StdRng::seed_from_u64(113);
    let linear = Linear::random(&mut rng);
    let (vae, p) = linear.vae(false, &mut rng);
    let x = matrix(&mut rng, [6, 3]);
    let refinement = Refinement {
        steps: 600,
        rate: 0.05,
        samples: 8,
    };
    let codes = refinement.fit(&vae, &p, x.view(), &mut rng);
    let tape = Tape::new();
    let model = LinearGaussian {
        weights: tape.constant(linear.w.clone()),
        offset: tape.constant(linear.b.clone()),
        log_noise: tape.scalar(2.0 * linear.deviation.ln()),
    };
    let gap = |codes: &Codes<f64>| {
        let gaps = model
            .gaps(tape.constant(x.clone()), &codes.on(&tape))
            .unwrap();
        gaps.amortisation.mean().item()
    };
    let (before, after) = (gap(&Codes::of(&vae, &p, x.view())), gap(&codes));
    println!("amortisation gap: {before:.3} nats with the encoder, {after:.4} after refinement");
    assert!(before > 1.0 && (0.0..0.01).contains(&after));
    let none = Refinement {
        steps: 0,
        ..refinement
    };
    assert_eq!(
        none.fit(&vae, &p, x.view(), &mut rng),
        Codes::of(&vae, &p, x.view())
    );
}

/// The largest amortisation gap of the best q, and the bound at the offset itself less its value by hand, at this log σ².
fn with_hardly_any_noise<T: Scalar>(log_noise: f64) -> [f64; 2] {
    let tape = Tape::<T>::new();
    let constant = |x: Array2<f64>| tape.constant(x.mapv(T::of));
    let model = LinearGaussian {
        weights: constant(arr2(&[[1.0], [0.5], [-1.0]])),
        offset: tape.constant(arr1(&[0.5, 1.0, -2.0]).mapv(T::of)),
        log_noise: tape.scalar(T::of(log_noise)),
    };
    let x = constant(arr2(&[[0.5, 1.0, -2.0], [0.1, 0.2, 0.3]]));
    let best = model.best_diagonal(x).unwrap();
    let gap = model.gaps(x, &best).unwrap().amortisation;
    let largest = gap.value().iter().fold(0.0, |m: f64, g| m.max(g.as_f64()));
    assert!(gap.value().iter().all(|g| g.is_finite()));
    let log_variance = log_noise - 2.25f64.ln();
    let divergence = 0.5 * (log_variance.exp_m1() - log_variance);
    let by_hand = -1.5 * (TAU.ln() + log_noise) - 0.5 - divergence;
    let bound = model.elbo_diagonal(x, &best).value()[0].as_f64();
    [largest, (bound - by_hand) / by_hand]
}

#[test]
fn amortisation_gap_with_hardly_any_noise() {
    assert!(with_hardly_any_noise::<f64>(-700.0)[0] < 1e-12);
    assert!(with_hardly_any_noise::<f64>(-712.0)[0] < 1e-12);
    assert!(with_hardly_any_noise::<f32>(-92.0)[0] < 1e-5);
}

#[test]
fn linear_vae_gap_with_hardly_any_noise() {
    assert!(with_hardly_any_noise::<f64>(-712.0)[1].abs() < 1e-12);
    assert!(with_hardly_any_noise::<f32>(-92.0)[1].abs() < 1e-5);
    // A column of 0 costs nothing, whatever is divided by.
    let tape = Tape::<f64>::new();
    let model = LinearGaussian {
        weights: tape.full(&[3, 2], 0.0),
        offset: tape.full(&[3], 0.5),
        log_noise: tape.scalar(-712.0),
    };
    let prior = DiagonalGaussian {
        mean: tape.full(&[2], 0.0),
        log_variance: tape.full(&[2], 0.0),
    };
    let bound = model.elbo_diagonal(tape.full(&[3], 0.5), &prior).item();
    assert!((bound + 1.5 * (TAU.ln() - 712.0)).abs() < 1e-10, "{bound}");
}

// ---------------------------------------------------------------------------------------------------------
// gaussian-likelihood

#[test]
fn gaussian_likelihood_profile_identity() {
    let mut rng = StdRng::seed_from_u64(120);
    let (mut value, mut gradient, mut stationary) =
        (Worst::default(), Worst::default(), Worst::default());
    for shape in [[1, 1], [4, 3], [7, 2], [2, 9]] {
        let [n, d] = shape;
        let (x, f) = (matrix(&mut rng, shape), matrix(&mut rng, shape));
        let sse: f64 = x.iter().zip(&f).map(|(x, f)| (x - f).powi(2)).sum();
        let mse = sse / (n * d) as f64;
        let by_hand = -0.5 * d as f64 * (TAU.ln() + 1.0 + mse.ln());
        let found = profile_noise(x.view(), f.view(), 0.0).unwrap();
        value.number(found.variance, mse, mse);
        value.number(found.log_likelihood, by_hand, by_hand.abs());
        let tape = Tape::new();
        let v = variables(
            &tape,
            &[
                x.clone().into_dyn(),
                f.clone().into_dyn(),
                arr0(mse.ln()).into_dyn(),
            ],
        );
        let profile = profile_log_likelihood(v[0], v[1]);
        value.number(profile.item(), by_hand, by_hand.abs());
        // The density that the decoder has, at this σ².
        let p = DiagonalGaussian {
            mean: v[1],
            log_variance: v[2],
        };
        let plain = p.log_density(v[0]).mean();
        value.number(plain.item(), by_hand, by_hand.abs());
        let expected = ((&x - &f) / (n as f64 * mse)).into_dyn();
        gradient.entries(&owned(tape.gradients(profile).wrt(v[1])), &expected);
        let gradients = tape.gradients(plain);
        gradient.entries(&owned(gradients.wrt(v[1])), &expected);
        stationary.number(gradients.wrt(v[2]).sum(), 0.0, d as f64);
        for factor in [0.5, 0.99, 1.01, 2.0] {
            let log_variance = tape.scalar((mse * factor).ln());
            let other = DiagonalGaussian {
                mean: v[1],
                log_variance,
            }
            .log_density(v[0]);
            assert!(other.mean().item() < by_hand);
        }
    }
    value.within(1e-13, "profiled log-likelihood by four roads");
    gradient.within(1e-13, "gradient = (x - f)/(N σ²)");
    stationary.within(1e-13, "slope in log σ² at the best σ²");
}

/// log N(x; f, e^s I), from x, f and one s.
fn spread_around<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    DiagonalGaussian {
        mean: v[1],
        log_variance: v[2],
    }
    .log_density(v[0])
}

#[test]
fn gaussian_likelihood_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(121);
    let mut checked = Checked::default();
    let check = Check::new("gaussian-likelihood");
    for shape in [[1, 2], [3, 4], [5, 2]] {
        let point = flat([
            random(&mut rng, &shape),
            random(&mut rng, &shape),
            random(&mut rng, &[]),
        ]);
        checked.add(
            check
                .run(&point[..2], |v| profile_log_likelihood(v[0], v[1]))
                .unwrap(),
        );
        checked.add(
            check
                .run_second_order(&point[..2], |v| profile_log_likelihood(v[0], v[1]))
                .unwrap(),
        );
        checked.add(check.run(&point, spread_around).unwrap());
        checked.add(check.run_second_order(&point, spread_around).unwrap());
    }
    checked.tell("first and second order");
}

#[test]
fn gaussian_likelihood_is_a_density_of_what_it_draws() {
    let mut rng = StdRng::seed_from_u64(122);
    let (mut total, mut log_variances) = (Worst::default(), Vec::new());
    for _ in 0..5 {
        let s = rng.random_range(-2.0..2.0);
        log_variances.push(s);
        let tape = Tape::new();
        let (step, points) = (0.05 * (0.5f64 * s).exp(), 801);
        let x = Array2::from_shape_fn((points, 1), |(i, _)| (i as f64 - 400.0) * step + 0.3);
        let p = DiagonalGaussian {
            mean: tape.full(&[1], 0.3),
            log_variance: tape.scalar(s),
        };
        total.number(
            p.log_density(tape.constant(x)).exp().sum().item() * step,
            1.0,
            1.0,
        );
    }
    total.within(1e-12, "∫ N(x; f, e^s) dx");
    let s: f64 = log_variances[0];
    let tape = Tape::new();
    let p = DiagonalGaussian {
        mean: tape.full(&[100_000, 2], 0.3),
        log_variance: tape.scalar(s),
    };
    let x = owned(p.draw(&mut rng).value());
    let squares: Vec<f64> = x.iter().map(|x| (x - 0.3).powi(2)).collect();
    Statistics::of(&squares).agree_with(s.exp(), "(x - f)² of draws, and σ²");
    let found = profile_noise(
        two_axes(&x).view(),
        Array2::from_elem((100_000, 2), 0.3).view(),
        0.0,
    );
    assert!((found.unwrap().variance / s.exp() - 1.0).abs() < 4.0 * (1.0f64 / 100_000.0).sqrt());
}

#[test]
fn gaussian_likelihood_is_unbounded_without_error() {
    let mut rng = StdRng::seed_from_u64(123);
    let x = matrix(&mut rng, [5, 4]);
    let of = |error: f64, floor: f64| {
        let means = &x + &(Array2::from_elem((5, 4), error));
        profile_noise(x.view(), means.view(), floor)
    };
    // A tenth of the error: D log 10 nats more, without end.
    let values: Vec<f64> = (0..5)
        .map(|i| of(10f64.powi(-i), 0.0).unwrap().log_likelihood)
        .collect();
    for pair in values.windows(2) {
        assert!(
            (pair[1] - pair[0] - 4.0 * 10f64.ln()).abs() < 1e-9,
            "{values:?}"
        );
    }
    println!("log-likelihood per datum at errors of 1, 0.1, …: {values:.2?}");
    assert_eq!(of(0.0, 0.0), Err(NoProfile::Unbounded));
    // With a floor it is bounded, and above the floor it is not felt.
    let floored = of(0.0, 1e-4).unwrap();
    assert_eq!(floored.variance, 1e-4);
    assert!((floored.log_likelihood + 2.0 * (TAU * 1e-4).ln()).abs() < 1e-12);
    assert_eq!(of(1.0, 1e-4), of(1.0, 0.0));
    assert_eq!(of(1.0, -1.0), Err(NoProfile::Floor(-1.0)));
    assert!(matches!(
        of(f64::NAN, 0.0),
        Err(NoProfile::NotFinite { index: [0, 0], .. })
    ));
    let huge = arr2(&[[1e200]]);
    let none = profile_noise(huge.view(), arr2(&[[0.0]]).view(), 0.0);
    assert_eq!(none, Err(NoProfile::TooLarge));
    let empty = Array2::<f64>::zeros((0, 4));
    assert_eq!(
        profile_noise(empty.view(), empty.view(), 1.0),
        Err(NoProfile::Empty)
    );
    let told = NoProfile::Unbounded.to_string();
    assert!(told.contains("give σ² a floor"), "{told}");
    let tape = Tape::new();
    let same = tape.constant(x);
    assert_eq!(profile_log_likelihood(same, same).item(), f64::INFINITY);
}

// ---------------------------------------------------------------------------------------------------------
// minibatch-objective

/// Every choice of m out of n, in order.
fn choices(n: usize, m: usize) -> Vec<Vec<usize>> {
    (0..1usize << n)
        .filter(|set| set.count_ones() as usize == m)
        .map(|set| (0..n).filter(|i| set >> i & 1 == 1).collect())
        .collect()
}

/// Every tuple of m out of n.
fn tuples(n: usize, m: usize) -> Vec<Vec<usize>> {
    (0..n.pow(m as u32))
        .map(|code| (0..m).map(|k| code / n.pow(k as u32) % n).collect())
        .collect()
}

/// The estimate from a batch of rows of `terms`, and its gradient with respect to all of them.
fn estimated(terms: &Array1<f64>, batch: &[usize]) -> (f64, ArrayD<f64>) {
    let tape = Tape::new();
    let all = tape.variable(terms.clone());
    let estimate = minibatch_objective(all.gather(batch), terms.len());
    (estimate.item(), owned(tape.gradients(estimate).wrt(all)))
}

#[test]
fn minibatch_objective_over_all_minibatches() {
    let mut rng = StdRng::seed_from_u64(130);
    let (mut mean, mut variance, mut gradient) =
        (Worst::default(), Worst::default(), Worst::default());
    for [n, m] in [[1, 1], [5, 1], [5, 2], [6, 3], [7, 4], [4, 4]] {
        let terms = vector(&mut rng, n) * 3.0 - 5.0;
        for drawing in [Drawing::WithoutReplacement, Drawing::WithReplacement] {
            let batches = match drawing {
                Drawing::WithoutReplacement => choices(n, m),
                Drawing::WithReplacement => tuples(n, m),
            };
            let count = batches.len() as f64;
            let found: Vec<_> = batches.iter().map(|b| estimated(&terms, b)).collect();
            let average = found.iter().map(|f| f.0).sum::<f64>() / count;
            mean.number(average, terms.sum(), terms.sum().abs());
            let squares: f64 = found.iter().map(|f| (f.0 - average).powi(2)).sum();
            let exact = minibatch_variance(terms.as_slice().unwrap(), m, drawing);
            variance.number(exact, squares / count, (n * n) as f64);
            // Each datum counts once on average.
            let total = found
                .iter()
                .fold(ArrayD::zeros(vec![n]), |sum, f| sum + &f.1);
            gradient.entries(&(total / count), &ArrayD::ones(vec![n]));
        }
    }
    mean.within(1e-13, "mean over all minibatches = sum over all data");
    variance.within(1e-13, "variance over all minibatches");
    gradient.within(1e-13, "mean gradient");
}

#[test]
fn minibatch_objective_of_a_vae_over_all_minibatches() {
    // Noise belongs to the datum and is frozen: then the bound of a datum is a fixed function of the weights.
    let mut rng = StdRng::seed_from_u64(131);
    let (mut worst, mut checked) = (Worst::default(), Checked::default());
    for likelihood in LIKELIHOODS {
        let (vae, p) = model(small(likelihood), &mut rng);
        let (n, m) = (5, 2);
        let x = data(likelihood, &mut rng, &[n, 3]);
        let noise = random(&mut rng, &[n, 2]);
        let gradient = |batch: &[usize]| {
            let tape = Tape::new();
            let bound = p.bind(&tape);
            let rows = |all: &ArrayD<f64>| tape.constant(all.select(Axis(0), batch));
            let elbo = vae.elbo(&bound, rows(&x), rows(&noise)).value();
            let gradients = tape.gradients(minibatch_objective(elbo, n));
            let flat = bound
                .vars()
                .iter()
                .flat_map(|&v| owned(gradients.wrt(v)).into_iter().collect::<Vec<_>>());
            Array1::from_iter(flat)
        };
        let all: Vec<usize> = (0..n).collect();
        let batches = choices(n, m);
        let sum = batches
            .iter()
            .fold(gradient(&all) * 0.0, |sum, b| sum + gradient(b));
        worst.entries(
            &(sum / batches.len() as f64).into_dyn(),
            &gradient(&all).into_dyn(),
        );
        let report = Check::new("minibatch-objective").run(&values(&p), |v| {
            let (bound, tape) = (Bound::from_vars(v), v[0].tape());
            let rows = |all: &ArrayD<f64>| tape.constant(all.select(Axis(0), &[3, 1]));
            minibatch_objective(vae.elbo(&bound, rows(&x), rows(&noise)).value(), n)
        });
        checked.add(report.unwrap());
    }
    worst.within(
        1e-12,
        "mean gradient over all minibatches = gradient over all data",
    );
    checked.tell("every weight, on a minibatch");
}

#[test]
fn minibatch_objective_by_draws() {
    let mut rng = StdRng::seed_from_u64(132);
    let terms = vector(&mut rng, 30);
    for drawing in [Drawing::WithoutReplacement, Drawing::WithReplacement] {
        let (m, n) = (8, terms.len());
        let draws: Vec<f64> = (0..100_000)
            .map(|_| {
                let batch: Vec<usize> = match drawing {
                    Drawing::WithoutReplacement => {
                        rand::seq::index::sample(&mut rng, n, m).into_vec()
                    }
                    Drawing::WithReplacement => (0..m).map(|_| rng.random_range(0..n)).collect(),
                };
                batch.iter().map(|&i| terms[i]).sum::<f64>() * n as f64 / m as f64
            })
            .collect();
        let exact = terms.sum();
        Statistics::of(&draws).agree_with(exact, &format!("{drawing:?}"));
        let squares: Vec<f64> = draws.iter().map(|d| (d - exact).powi(2)).collect();
        let variance = minibatch_variance(terms.as_slice().unwrap(), m, drawing);
        Statistics::of(&squares).agree_with(variance, "its variance");
    }
}

#[test]
fn minibatch_objective_is_biased_where_data_are_not_added_up() {
    let mut rng = StdRng::seed_from_u64(133);
    // The profiled Gaussian log-likelihood is a logarithm of a mean: batches are too good, by Jensen's inequality.
    let (n, m, d) = (6, 2, 3);
    let (x, f) = (matrix(&mut rng, [n, d]), matrix(&mut rng, [n, d]));
    let of = |rows: &[usize]| {
        let (x, f) = (x.select(Axis(0), rows), f.select(Axis(0), rows));
        profile_noise(x.view(), f.view(), 0.0)
            .unwrap()
            .log_likelihood
    };
    let all: Vec<usize> = (0..n).collect();
    let batches = choices(n, m);
    let mean = batches.iter().map(|b| of(b)).sum::<f64>() / batches.len() as f64;
    println!(
        "profiled log-likelihood: {:.4} of all data, {mean:.4} on average over batches of {m}",
        of(&all)
    );
    assert!(mean > of(&all) + 0.01);
    // An epoch whose last batch is short: the mean of the batches' means is not the mean of the data.
    let terms = arr1(&[1.0, 2.0, 3.0, 4.0, 10.0]);
    let epoch = [
        &terms.to_vec()[..2],
        &terms.to_vec()[2..4],
        &terms.to_vec()[4..],
    ]
    .map(|batch| batch.iter().sum::<f64>() / batch.len() as f64);
    assert_eq!(epoch.iter().sum::<f64>() / 3.0, 5.0);
    assert_eq!(terms.mean(), Some(4.0));
}

#[test]
fn minibatch_objective_has_its_variance_if_all_sets_are_equally_likely() {
    // {1, 2} or {3, 4}: every datum is as likely as any other, but not every pair.
    let terms = arr1(&[1.0, 1.0, 0.0, 0.0]);
    let found = [[0, 1], [2, 3]].map(|batch| estimated(&terms, &batch).0);
    assert_eq!(found, [4.0, 0.0]);
    let variance = minibatch_variance(&terms.to_vec(), 2, Drawing::WithoutReplacement);
    assert!((variance - 4.0 / 3.0).abs() < 1e-15); // and not 4
}

#[test]
#[should_panic(expected = "expected a vector of 1 to 5 terms, found shape [6]")]
fn minibatch_objective_of_more_than_there_is() {
    let tape = Tape::new();
    minibatch_objective(tape.constant(arr1(&[1.0; 6])), 5);
}

#[test]
#[should_panic(expected = "expected a vector of 1 to 5 terms, found shape [0]")]
fn minibatch_objective_of_nothing() {
    let tape = Tape::new();
    minibatch_objective(tape.constant(Array1::<f64>::zeros(0)), 5);
}

// ---------------------------------------------------------------------------------------------------------
// elbo-surgery

/// A random table of shape (n, k): rows add up to 1, some entries are 0.
fn table(rng: &mut StdRng, [n, k]: [usize; 2]) -> Array2<f64> {
    let mut t = matrix(rng, [n, k]).mapv(|x| if x < -1.0 { 0.0 } else { x + 1.1 });
    for mut row in t.rows_mut() {
        row[rng.random_range(0..k)] += 1.0;
        let sum = row.sum();
        row.mapv_inplace(|x| x / sum);
    }
    t
}

#[test]
fn elbo_surgery_of_tables() {
    let mut rng = StdRng::seed_from_u64(140);
    let (mut parts, mut sum) = (Worst::default(), Worst::default());
    for shape in [[1, 3], [2, 2], [4, 5], [9, 3], [3, 9]] {
        let (q, p) = (
            table(&mut rng, shape),
            table(&mut rng, [1, shape[1]]).mapv(|p| p * 0.9 + 0.1 / shape[1] as f64),
        );
        let [n, k] = shape;
        let found = Surgery::of_tables(q.view(), p.row(0)).unwrap();
        // In plain loops over the joint distribution q(n, z) = q(z|n)/N.
        let log_ratio = |a: f64, b: f64| if a > 0.0 { a * (a / b).ln() } else { 0.0 };
        let aggregate = |z: usize| (0..n).map(|i| q[[i, z]]).sum::<f64>() / n as f64;
        let over = |f: &dyn Fn(usize, usize) -> f64| {
            (0..n * k).map(|e| f(e / k, e % k)).sum::<f64>() / n as f64
        };
        parts.number(
            found.divergence,
            over(&|i, z| log_ratio(q[[i, z]], p[[0, z]])),
            1.0,
        );
        parts.number(
            found.information,
            over(&|i, z| log_ratio(q[[i, z]], aggregate(z))),
            1.0,
        );
        parts.number(
            found.marginal,
            (0..k).map(|z| log_ratio(aggregate(z), p[[0, z]])).sum(),
            1.0,
        );
        sum.number(found.marginal + found.information, found.divergence, 1.0);
        assert!(
            found.marginal >= 0.0 && found.information >= 0.0 && found.information <= found.bound
        );
        assert!((found.bound - (n as f64).ln()).abs() < 1e-15);
    }
    parts.within(1e-13, "each part = plain loops");
    sum.within(1e-13, "marginal + information = divergence");
    // Codes that exclude each other tell the index: I = log N. Equal codes tell nothing.
    let apart = Surgery::of_tables(Array2::eye(4).view(), arr1(&[0.25; 4]).view()).unwrap();
    assert!((apart.information - 4f64.ln()).abs() < 1e-15 && apart.marginal == 0.0);
    let same = Surgery::of_tables(
        arr2(&[[0.5, 0.5], [0.5, 0.5]]).view(),
        arr1(&[1.0, 0.0]).view(),
    )
    .unwrap();
    assert_eq!(
        (same.information, same.marginal, same.divergence),
        (0.0, f64::INFINITY, f64::INFINITY)
    );
    let none = Array2::<f64>::zeros((0, 2));
    assert_eq!(
        Surgery::of_tables(none.view(), arr1(&[0.5, 0.5]).view()),
        Err(NoSurgery::Empty)
    );
    assert!(matches!(
        Surgery::of_tables(arr2(&[[0.5, 0.6]]).view(), arr1(&[0.5, 0.5]).view()),
        Err(NoSurgery::NotATable(_))
    ));
}

fn random_codes(rng: &mut StdRng, [n, d]: [usize; 2], spread: f64) -> Codes<f64> {
    Codes {
        means: matrix(rng, [n, d]) * spread,
        log_variances: matrix(rng, [n, d]) * 0.5 - 0.5,
    }
}

/// -(1/N) Σ E_q(z|n) log q̄(z), by a Gauss–Hermite rule for each code.
fn cross_entropy(codes: &Codes<f64>, nodes: usize) -> f64 {
    let (n, d) = codes.means.dim();
    let rule = kl::Nodes::standard_normal(nodes, d);
    let deviations = codes.log_variances.mapv(|s| (0.5 * s).exp());
    let log_q = |z: &Array1<f64>| {
        let terms = (0..n).map(|i| {
            let each = (0..d).map(|u| {
                let t = (z[u] - codes.means[[i, u]]) / deviations[[i, u]];
                -0.5 * (t * t + TAU.ln()) - deviations[[i, u]].ln()
            });
            each.sum::<f64>().exp()
        });
        (terms.sum::<f64>() / n as f64).ln()
    };
    let mut total = 0.0;
    for i in 0..n {
        for (node, weight) in rule.points().rows().into_iter().zip(rule.weights()) {
            let z = &codes.means.row(i) + &(&deviations.row(i) * &node);
            total -= weight * log_q(&z);
        }
    }
    total / n as f64
}

#[test]
fn elbo_surgery_of_gaussian_codes() {
    let mut rng = StdRng::seed_from_u64(141);
    let (mut sum, mut parts, mut closed) = (Worst::default(), Worst::default(), Worst::default());
    for (shape, spread) in [
        ([1, 1], 1.0),
        ([5, 1], 0.7),
        ([8, 1], 1.0),
        ([3, 2], 0.5),
        ([6, 2], 0.7),
    ] {
        let codes = random_codes(&mut rng, shape, spread);
        let found = Surgery::exact(&codes).unwrap();
        sum.number(found.marginal + found.information, found.divergence, 1.0);
        let entropies =
            (codes.log_variances.mapv(|s| s + 1.0 + TAU.ln()) * 0.5).sum() / shape[0] as f64;
        let nodes = if shape[1] == 1 { 120 } else { 60 };
        parts.number(
            found.information,
            cross_entropy(&codes, nodes) - entropies,
            1.0,
        );
        let tape = Tape::new();
        let kl = kl::gaussian_standard(&codes.on(&tape)).mean().item();
        closed.number(found.divergence, kl, 1.0);
        closed.number(unit_divergences(&codes).unwrap().sum(), kl, 1.0);
        assert!(found.information <= found.bound + 1e-12);
        println!(
            "{shape:?} codes: {:.4} = {:.4} + {:.4}, log N = {:.4}",
            found.divergence, found.marginal, found.information, found.bound
        );
    }
    sum.within(1e-12, "marginal + information = divergence, absolute");
    parts.within(1e-6, "information: grid = Gauss–Hermite at each code");
    closed.within(1e-13, "divergence = kl::gaussian_standard");
}

#[test]
fn elbo_surgery_at_its_limits() {
    let line = |means: &[f64], s: f64| Codes {
        means: Array2::from_shape_vec((means.len(), 1), means.to_vec()).unwrap(),
        log_variances: Array2::from_elem((means.len(), 1), s),
    };
    // Equal codes tell nothing, and what is left is the divergence of one of them.
    let same = Surgery::exact(&line(&[0.8; 5], -1.0)).unwrap();
    assert!(same.information.abs() < 1e-12 && (same.marginal - same.divergence).abs() < 1e-12);
    // Codes far apart tell the index, log N, at a price: the divergence.
    for distance in [4.0f64, 10.0, 40.0] {
        let found = Surgery::exact(&line(&[-distance, 0.0, distance], 0.0)).unwrap();
        let left = found.bound - found.information;
        // At most the mean of the overlaps e^(-Δ²/8) with the other codes: four at Δ, two at 2Δ.
        let most =
            (4.0 * (-distance.powi(2) / 8.0).exp() + 2.0 * (-distance.powi(2) / 2.0).exp()) / 3.0;
        println!(
            "three codes {distance} deviations apart: log 3 - I = {left:.1e}, at most {most:.1e}; divergence {:.1}",
            found.divergence
        );
        assert!(-1e-12 < left && left <= most + 1e-12);
    }
    // A collapsed encoder: all three are 0.
    let none = Surgery::exact(&line(&[0.0; 4], 0.0)).unwrap();
    assert!(
        none.divergence == 0.0 && none.marginal.abs() < 1e-13 && none.information.abs() < 1e-13
    );
    let mut rng = StdRng::seed_from_u64(142);
    assert_eq!(Surgery::exact(&line(&[], 0.0)), Err(NoSurgery::Empty));
    assert!(Surgery::sampled(&line(&[], 0.0), 10, &mut rng).is_err());
    assert!(matches!(
        Surgery::sampled(&line(&[1.0], 0.0), 0, &mut rng),
        Err(NoSurgery::Estimate(_))
    ));
    let broken = Surgery::exact(&line(&[0.0, f64::NAN], 0.0)).unwrap_err();
    assert!(
        broken.to_string().contains("NaN for unit 0 of datum 1"),
        "{broken}"
    );
    let narrow = Surgery::exact(&line(&[-1.0, 1.0], -40.0)).unwrap_err();
    assert!(narrow.to_string().contains("Surgery::sampled"), "{narrow}");
    let three = Surgery::exact(&random_codes(&mut rng, [2, 3], 1.0));
    assert_eq!(three, Err(NoSurgery::Dimensions(3)));
    let none = Surgery::exact(&random_codes(&mut rng, [2, 0], 1.0));
    assert_eq!(none, Err(NoSurgery::Dimensions(0)));
    let beyond = Surgery::sampled(&line(&[1.0, 1.0], -2001.0), 9, &mut rng).unwrap_err();
    assert!(
        beyond.to_string().contains("-2001 for unit 0 of datum 0"),
        "{beyond}"
    );
}

#[test]
fn elbo_surgery_by_draws() {
    let mut rng = StdRng::seed_from_u64(143);
    for shape in [[4, 1], [6, 2]] {
        let codes = random_codes(&mut rng, shape, 1.0);
        let exact = Surgery::exact(&codes).unwrap();
        let found = Surgery::sampled(&codes, 100_000, &mut rng).unwrap();
        for (what, estimate, exact) in [
            ("KL(q̄‖p)", found.marginal, exact.marginal),
            ("I(n; z)", found.information, exact.information),
        ] {
            let distance = estimate.distance(exact);
            println!(
                "{shape:?} {what}: {estimate}, exact {exact:.5}, {distance:+.2} standard errors"
            );
            assert!(distance.abs() <= 4.0);
        }
        assert!((found.divergence - exact.divergence).abs() < 1e-14);
    }
    // Where no grid reaches: the information by a Gauss–Hermite rule around each code.
    let codes = random_codes(&mut rng, [5, 3], 1.0);
    let found = Surgery::sampled(&codes, 20_000, &mut rng).unwrap();
    let entropies = (codes.log_variances.mapv(|s| s + 1.0 + TAU.ln()) * 0.5).sum() / 5.0;
    let exact = cross_entropy(&codes, 24) - entropies;
    let distance = found.information.distance(exact);
    assert!(distance.abs() <= 4.0, "{distance:+.2} standard errors");
    // The marginal has no noise of its own: the parts add up, in any dimension.
    let codes = random_codes(&mut rng, [5, 7], 1.0);
    let found = Surgery::sampled(&codes, 50, &mut rng).unwrap();
    let off = found.marginal.mean + found.information.mean - found.divergence;
    assert!(off.abs() < 1e-13, "{off:e}");
    assert_eq!(
        found.marginal.standard_error,
        found.information.standard_error
    );
}

#[test]
fn elbo_surgery_of_narrow_codes() {
    let mut rng = StdRng::seed_from_u64(144);
    let line = |codes: &[(f64, f64)]| Codes {
        means: Array2::from_shape_fn((codes.len(), 1), |(n, _)| codes[n].0),
        log_variances: Array2::from_shape_fn((codes.len(), 1), |(n, _)| codes[n].1),
    };
    // One code tells nothing of its index, however narrow it is; the grid is right or refuses.
    for s in [-20.0, -30.0, -36.0, -60.0, -70.0, -80.0, -1480.0, -1500.0] {
        let codes = line(&[(3.0, s)]);
        let found = Surgery::sampled(&codes, 5, &mut rng).unwrap();
        let parts = (found.information.mean, found.marginal.mean);
        assert_eq!(parts, (0.0, found.divergence), "{s}");
        assert!((found.divergence - 0.5 * (8.0 - s)).abs() < 1e-8);
        match Surgery::exact(&codes) {
            Ok(exact) => {
                assert!(s > -60.0);
                let off = exact.information.abs() + (exact.marginal - exact.divergence).abs();
                println!("one code of deviation e^({s}/2): the grid is off by {off:.1e}");
                assert!(off < 1e-6, "{s}: {off:e}");
            }
            Err(reason) => assert!(matches!(reason, NoSurgery::TooNarrow { .. }), "{reason}"),
        }
    }
    // Two codes with one mean: only the ratio of their deviations counts.
    let wide = Surgery::exact(&line(&[(3.0, 0.0), (3.0, -2.0)])).unwrap();
    for s in [0.0, -80.0, -1480.0] {
        let codes = line(&[(3.0, s), (3.0, s - 2.0)]);
        let found = Surgery::sampled(&codes, 20_000, &mut rng).unwrap();
        let distance = found.information.distance(wide.information);
        println!(
            "s = {s} and {}: I = {}, {distance:+.2} standard errors",
            s - 2.0,
            found.information
        );
        assert!(distance.abs() <= 4.0);
    }
    // A point beside a unit code: the index is told, log 2.
    for means in [[0.0, 3.0], [3.0, 3.0]] {
        let codes = line(&[(means[0], 0.0), (means[1], -1480.0)]);
        let found = Surgery::sampled(&codes, 50, &mut rng).unwrap();
        assert!((found.information.mean - LN_2).abs() < 1e-15);
        assert!((found.marginal.mean + LN_2 - found.divergence).abs() < 1e-12);
    }
}

#[test]
fn elbo_surgery_of_a_part_of_the_data_saturates() {
    // 64 codes that hardly overlap carry log 64; any M of them can show log M at most.
    let means = Array2::from_shape_fn((64, 1), |(n, _)| 10.0 * n as f64);
    let codes = |m: usize| Codes {
        means: means.slice(s![..m, ..]).to_owned(),
        log_variances: Array2::zeros((m, 1)),
    };
    for m in [2, 8, 64] {
        let found = Surgery::exact(&codes(m)).unwrap();
        println!(
            "{m} of 64 codes: I = {:.4}, log M = {:.4}",
            found.information, found.bound
        );
        assert!((found.information - (m as f64).ln()).abs() < 1e-4);
    }
}
