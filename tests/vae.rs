//! Chapter 5 of the notes: the likelihood of coins by their logits, and the evidence lower bound, down to every weight.

mod common;

use std::f64::consts::{LN_2, TAU};

use common::{Checked, Statistics, Worst, gauss_hermite, owned, random};
use elbo::Scalar;
use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::Bernoulli;
use elbo::distributions::noise::{standard_normal, stream};
use elbo::nn::{Activation, Bound, Model, Parameters};
use elbo::vae::{Architecture, Divergence, Likelihood, Vae};
use ndarray::{Array1, Array2, ArrayD, Axis, Ix2, arr0, arr1, concatenate, s};
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
