//! Densities, samplers, noise and divergences, against quadrature, enumeration and each other.
//!
//! Nothing here is compared with a formula that the source also holds, where a sum over all outcomes or an
//! integral can say the same: whoever takes a variance for a deviation does so in the formula, too.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Value, Var};
use elbo::distributions::noise::{standard_normal, standard_uniform, stream};
use elbo::distributions::{
    Bernoulli, Categorical, DiagonalGaussian, MultivariateGaussian, NoGaussian,
};
use elbo::kl;
use ndarray::{Array2, ArrayD, Axis, IxDyn, arr1, arr2};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn random(rng: &mut StdRng, shape: &[usize]) -> ArrayD<f64> {
    ArrayD::from_shape_simple_fn(IxDyn(shape), || rng.random_range(-2.0..2.0))
}

type Expression = for<'t> fn(&[Var<'t, f64>]) -> Var<'t, f64>;

/// The value of an expression at constants.
fn at(inputs: &[ArrayD<f64>], f: Expression) -> ArrayD<f64> {
    let tape = Tape::new();
    let v: Vec<Var<'_, f64>> = inputs.iter().map(|x| tape.constant(x.clone())).collect();
    f(&v).value().into_owned()
}

/// The value of a sum of its entries, and the gradients.
fn slopes_at(inputs: &[ArrayD<f64>], f: Expression) -> Vec<Value<f64>> {
    let tape = Tape::new();
    let v: Vec<Var<'_, f64>> = inputs.iter().map(|x| tape.variable(x.clone())).collect();
    let gradients = tape.gradients(f(&v).sum());
    v.iter().map(|&x| gradients.wrt(x)).collect()
}

fn gaussian<'t>(mean: Var<'t, f64>, log_variance: Var<'t, f64>) -> DiagonalGaussian<'t, f64> {
    DiagonalGaussian { mean, log_variance }
}

fn gaussian_density<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    gaussian(v[0], v[1]).log_density(v[2])
}

fn gaussian_entropy<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    gaussian(v[0], v[1]).entropy()
}

fn gaussian_sample<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    gaussian(v[0], v[1]).sample(v[2])
}

fn bernoulli_density<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    Bernoulli { logits: v[0] }.log_density(v[1])
}

fn bernoulli_entropy<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    Bernoulli { logits: v[0] }.entropy()
}

fn categorical_density<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    Categorical { logits: v[0] }.log_density(v[1])
}

fn categorical_entropy<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    Categorical { logits: v[0] }.entropy()
}

fn kl_standard<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    kl::gaussian_standard(&gaussian(v[0], v[1]))
}

fn kl_diagonal<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    kl::gaussian_diagonal(&gaussian(v[0], v[1]), &gaussian(v[2], v[3]))
}

fn kl_categorical<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    kl::categorical(&Categorical { logits: v[0] }, &Categorical { logits: v[1] })
}

fn kl_bernoulli<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    kl::bernoulli(&Bernoulli { logits: v[0] }, &Bernoulli { logits: v[1] })
}

/// First and second order, at the given point and not at one nearby.
fn check(slug: &str, inputs: &[ArrayD<f64>], f: Expression) {
    let first = Check::new(slug).run(inputs, f);
    assert_eq!(first.unwrap_or_else(|e| panic!("{e}")).moved, 0, "{slug}");
    let second = Check::new(slug).run_second_order(inputs, f);
    let moved = second.unwrap_or_else(|e| panic!("second order: {e}")).moved;
    assert_eq!(moved, 0, "{slug}");
}

fn assert_relative(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance * expected.abs(),
        "{what}: {found:e}, not {expected:e}"
    );
}

/// Equally spaced points and their distance. For a smooth integrand that vanishes at both ends, the plain sum is
/// exact to rounding.
fn grid(from: f64, to: f64, points: usize) -> (Vec<f64>, f64) {
    let h = (to - from) / (points - 1) as f64;
    ((0..points).map(|i| from + h * i as f64).collect(), h)
}

const MEANS: [f64; 3] = [0.7, -1.6, 0.0];
const LOG_VARIANCES: [f64; 3] = [-1.2, 0.9, 0.0];

/// A Gaussian's log density on a wide grid: points, their distance, log p.
fn gaussian_on_a_grid(mean: f64, log_variance: f64) -> (Vec<f64>, f64, ArrayD<f64>) {
    let (points, h) = grid(-30.0, 30.0, 4001);
    let column = Array2::from_shape_vec((4001, 1), points.clone()).unwrap();
    let inputs = [
        arr1(&[mean]).into_dyn(),
        arr1(&[log_variance]).into_dyn(),
        column.into_dyn(),
    ];
    (points, h, at(&inputs, gaussian_density))
}

/// ∫ p(z) f(z, log p) dz.
fn gaussian_integral(mean: f64, log_variance: f64, f: impl Fn(f64, f64) -> f64) -> f64 {
    let (points, h, log_p) = gaussian_on_a_grid(mean, log_variance);
    let terms = points.iter().zip(&log_p);
    h * terms.map(|(&z, &l)| l.exp() * f(z, l)).sum::<f64>()
}

#[test]
fn gaussian_density_integrates_to_one_and_to_minus_its_entropy() {
    for (mean, s) in MEANS.into_iter().zip(LOG_VARIANCES) {
        let mass = gaussian_integral(mean, s, |_, _| 1.0);
        assert!((mass - 1.0).abs() < 1e-12, "{mass}");
        let entropy = at(
            &[arr1(&[mean]).into_dyn(), arr1(&[s]).into_dyn()],
            gaussian_entropy,
        );
        let expected = -gaussian_integral(mean, s, |_, l| l);
        assert!((entropy.sum() - expected).abs() < 1e-11);
    }
}

#[test]
fn gaussian_density_in_two_dimensions_integrates_to_one_and_to_minus_its_entropy() {
    let (points, h) = grid(-14.0, 14.0, 281);
    let flat = points
        .iter()
        .flat_map(|&x| points.iter().map(move |&y| [x, y]));
    let plane = Array2::from_shape_vec((281 * 281, 2), flat.flatten().collect()).unwrap();
    let (mean, s) = (arr1(&[0.7, -1.1]).into_dyn(), arr1(&[-0.8, 0.9]).into_dyn());
    let log_p = at(
        &[mean.clone(), s.clone(), plane.into_dyn()],
        gaussian_density,
    );
    assert_eq!(log_p.shape(), [281 * 281]);
    let mass: f64 = h * h * log_p.iter().map(|l| l.exp()).sum::<f64>();
    assert!((mass - 1.0).abs() < 1e-11, "{mass}");
    let entropy = -h * h * log_p.iter().map(|l| l.exp() * l).sum::<f64>();
    assert!((at(&[mean, s], gaussian_entropy).sum() - entropy).abs() < 1e-10);
}

#[test]
fn gaussian_sampler_draws_from_the_density() {
    // Moments and quartile counts of the sampler, against integrals of the density.
    let n = 200_000;
    let tape = Tape::new();
    let (mean, s) = (
        tape.constant(arr1(&MEANS)),
        tape.constant(arr1(&LOG_VARIANCES)),
    );
    let noise = standard_normal(&tape, &[n, 3], &mut rng(1));
    let z = gaussian(mean, s).sample(noise).value();
    for (i, (mean, s)) in MEANS.into_iter().zip(LOG_VARIANCES).enumerate() {
        let draws = z.index_axis(Axis(1), i);
        let moment = |k: i32| gaussian_integral(mean, s, |z, _| (z - mean).powi(k));
        assert!(moment(1).abs() < 1e-12);
        let (second, fourth) = (moment(2), moment(4));
        let found = draws.sum() / n as f64;
        assert!((found - mean).abs() < 4.0 * (second / n as f64).sqrt());
        let found = draws.mapv(|z| (z - mean).powi(2)).sum() / n as f64;
        let error = ((fourth - second * second) / n as f64).sqrt();
        assert!(
            (found - second).abs() < 4.0 * error,
            "{found}, not {second}"
        );
        for edge in [-2.0, -0.9, 0.1, 1.3] {
            let p = probability_below(edge, mean, s);
            let found = draws.iter().filter(|&&z| z < edge).count() as f64 / n as f64;
            assert!((found - p).abs() < 4.0 * (p * (1.0 - p) / n as f64).sqrt());
        }
    }
}

/// ∫ p up to an edge, by Simpson's rule: there the integrand does not vanish.
fn probability_below(edge: f64, mean: f64, log_variance: f64) -> f64 {
    let (points, h) = grid(-25.0, edge, 8001);
    let column = Array2::from_shape_vec((8001, 1), points)
        .unwrap()
        .into_dyn();
    let inputs = [
        arr1(&[mean]).into_dyn(),
        arr1(&[log_variance]).into_dyn(),
        column,
    ];
    let log_p = at(&inputs, gaussian_density);
    let weight = |i: usize| match i {
        0 | 8000 => 1.0,
        i if i % 2 == 1 => 4.0,
        _ => 2.0,
    };
    let terms = log_p.iter().enumerate();
    h / 3.0 * terms.map(|(i, l)| weight(i) * l.exp()).sum::<f64>()
}

#[test]
fn gaussian_draw_has_noise_of_its_own_for_every_entry() {
    // A mean shared by several dimensions does not share its noise among them.
    let n = 100_000;
    let tape = Tape::new();
    for (mean, s) in [(&[n, 1][..], &[2][..]), (&[n, 2], &[1]), (&[1, 2], &[n, 1])] {
        let mean = tape.full(mean, 0.0);
        let q = gaussian(mean, tape.full(s, 0.0));
        let z = q.draw(&mut rng(2)).value();
        assert_eq!(z.shape(), [n, 2]);
        let (x, y) = (z.index_axis(Axis(1), 0), z.index_axis(Axis(1), 1));
        let covariance = (&x * &y).sum() / n as f64;
        assert!(covariance.abs() < 4.0 / (n as f64).sqrt(), "{covariance}");
        let variance = (&x * &x).sum() / n as f64;
        assert!((variance - 1.0).abs() < 4.0 * (2.0 / n as f64).sqrt());
    }
}

#[test]
fn gaussian_draw_is_a_sample_with_the_streams_noise() {
    let tape = Tape::new();
    let q = gaussian(
        tape.constant(arr2(&[[0.5, -1.0, 2.0], [0.1, 0.2, 0.3]])),
        tape.constant(arr1(&[0.3, -0.4, 1.1])),
    );
    let drawn = q.draw(&mut rng(3)).value();
    let noise = standard_normal(&tape, &[2, 3], &mut rng(3));
    assert_eq!(drawn, q.sample(noise).value());
}

/// Shapes that broadcast: two parameters and the data or noise, with and without leading sample axes.
const TRIPLES: [[&[usize]; 3]; 9] = [
    [&[3], &[3], &[3]],
    [&[2, 3], &[2, 3], &[2, 3]],
    [&[2, 3], &[2, 3], &[4, 2, 3]],
    [&[2, 3], &[3], &[2, 1]],
    [&[1], &[3], &[2, 3]],
    [&[3], &[1], &[2, 1, 3]],
    [&[4, 1, 2], &[3, 1], &[1]],
    [&[3], &[], &[2, 3]],
    [&[1], &[1], &[3]],
];

fn broadcast_of(shapes: &[&[usize]]) -> Vec<usize> {
    let fold = |a: Vec<usize>, b: &&[usize]| elbo::autodiff::broadcast_shape("test", &a, b);
    shapes.iter().fold(Vec::new(), fold)
}

/// f of the entries of broadcast arrays, one by one, then the sum over the last axis.
fn naive_sum<const N: usize>(
    inputs: &[ArrayD<f64>; N],
    f: impl Fn([f64; N]) -> f64,
) -> ArrayD<f64> {
    let shapes = inputs.each_ref().map(|x| x.shape());
    let shape = broadcast_of(&shapes);
    let wide = inputs
        .each_ref()
        .map(|x| x.broadcast(shape.as_slice()).unwrap());
    let terms = ArrayD::from_shape_fn(shape.as_slice(), |index| {
        f(wide.each_ref().map(|x| x[index.clone()]))
    });
    terms.sum_axis(Axis(shape.len() - 1))
}

fn assert_naive<const N: usize>(
    what: &str,
    inputs: &[ArrayD<f64>; N],
    f: Expression,
    naive: impl Fn([f64; N]) -> f64,
) {
    let (found, expected) = (at(inputs, f), naive_sum(inputs, naive));
    assert_eq!(found.shape(), expected.shape(), "{what}");
    let scale = expected.iter().fold(1.0, |s: f64, x| s.max(x.abs()));
    for (f, e) in found.iter().zip(&expected) {
        assert!((f - e).abs() < 1e-13 * scale, "{what}: {f}, not {e}");
    }
}

#[test]
fn gaussian_broadcasts_parameters_against_data_and_samples() {
    let mut rng = rng(4);
    for shapes in TRIPLES {
        let what = format!("{shapes:?}");
        let inputs = shapes.map(|shape| random(&mut rng, shape));
        assert_naive(&what, &inputs, gaussian_density, |[mean, s, z]| {
            let deviation = (s / 2.0).exp();
            let standard = (z - mean) / deviation;
            -0.5 * standard * standard - deviation.ln() - 0.5 * (2.0 * std::f64::consts::PI).ln()
        });
        let [mean, s, noise] = inputs.clone();
        let samples = at(&inputs, gaussian_sample);
        let shape = broadcast_of(&[mean.shape(), s.shape(), noise.shape()]);
        assert_eq!(samples.shape(), shape);
        let expected = &mean + &(s.mapv(|s: f64| s.exp().sqrt()) * &noise);
        assert!((&samples - &expected).iter().all(|d| d.abs() < 1e-13));
        check(&what, &inputs, gaussian_density);
        check(&what, &inputs, gaussian_sample);
        check(&what, &[mean.clone(), s.clone()], gaussian_entropy);
        assert_naive(&what, &[mean, s], gaussian_entropy, |[_, s]| {
            0.5 * (2.0 * std::f64::consts::PI * std::f64::consts::E * s.exp()).ln()
        });
    }
}

const PAIRS: [[&[usize]; 2]; 8] = [
    [&[3], &[3]],
    [&[2, 3], &[2, 3]],
    [&[2, 3], &[4, 2, 3]],
    [&[4, 2, 3], &[2, 3]],
    [&[1], &[3]],
    [&[3], &[1]],
    [&[4, 1, 2], &[3, 1]],
    [&[2, 1], &[]],
];

#[test]
fn bernoulli_broadcasts_logits_against_data_and_samples() {
    let mut rng = rng(5);
    for shapes in PAIRS {
        let what = format!("{shapes:?}");
        let [logits, x] = shapes.map(|shape| random(&mut rng, shape));
        let inputs = [logits, x.mapv(|x| (x + 2.0) / 4.0)];
        // Grey x: minus the cross-entropy.
        assert_naive(&what, &inputs, bernoulli_density, |[a, x]| {
            let p = 1.0 / (1.0 + (-a).exp());
            x * p.ln() + (1.0 - x) * (1.0 - p).ln()
        });
        check(&what, &inputs, bernoulli_density);
        check(&what, &inputs[..1], |v| Bernoulli { logits: v[0] }.mean());
        if inputs[0].ndim() > 0 {
            check(&what, &inputs[..1], bernoulli_entropy);
        }
    }
}

#[test]
fn bernoulli_of_grey_data_is_best_at_its_own_logit() {
    let x = arr1(&[0.2, 0.5, 0.9]);
    let logits = x.mapv(|x: f64| (x / (1.0 - x)).ln());
    let slopes = slopes_at(&[logits.into_dyn(), x.into_dyn()], bernoulli_density);
    assert!(slopes[0].iter().all(|slope| slope.abs() < 1e-15));
}

/// All 2^d vectors of zeros and ones.
fn outcomes(d: usize) -> Array2<f64> {
    Array2::from_shape_fn((1 << d, d), |(row, i)| f64::from((row >> i & 1) as u8))
}

#[test]
fn bernoulli_density_sums_to_one_and_to_minus_its_entropy() {
    let mut rng = rng(6);
    for d in [1, 3, 6] {
        let logits = random(&mut rng, &[d]);
        let log_p = at(&[logits.clone(), outcomes(d).into_dyn()], bernoulli_density);
        assert_eq!(log_p.shape(), [1 << d]);
        let mass: f64 = log_p.iter().map(|l| l.exp()).sum();
        assert!((mass - 1.0).abs() < 1e-14);
        let expected = -log_p.iter().map(|l| l.exp() * l).sum::<f64>();
        assert!((at(&[logits], bernoulli_entropy).sum() - expected).abs() < 1e-14);
    }
}

#[test]
fn bernoulli_sampler_draws_from_the_density() {
    let n = 200_000;
    let logits = arr1(&[0.4, -1.7, 2.2]);
    let probabilities = at(
        &[logits.clone().into_dyn(), outcomes(3).into_dyn()],
        bernoulli_density,
    )
    .mapv(f64::exp);
    let tape = Tape::new();
    let coins = Bernoulli {
        logits: tape.variable(logits),
    };
    let uniform = standard_uniform(&tape, &[n, 3], &mut rng(7));
    let sample = coins.sample(uniform);
    assert!(
        !sample.is_active(),
        "a step function has no pathwise gradient"
    );
    let mut counts = [0.0; 8];
    for x in sample.value().rows() {
        assert!(x.iter().all(|&x| x == 0.0 || x == 1.0));
        counts[(x[0] + 2.0 * x[1] + 4.0 * x[2]) as usize] += 1.0;
    }
    for (count, p) in counts.iter().zip(&probabilities) {
        let error = (p * (1.0 - p) / n as f64).sqrt();
        assert!((count / n as f64 - p).abs() < 4.0 * error, "{count} {p}");
    }
    let mean = coins.mean().value();
    for i in 0..3 {
        let marginal = (outcomes(3).column(i).to_owned().into_dyn() * &probabilities).sum();
        assert!((mean[[i]] - marginal).abs() < 1e-15);
    }
}

#[test]
fn bernoulli_entropy_has_its_curvature_at_even_odds() {
    // H = log 2 - a²/8 + …: the maximum is smooth, whatever the formula is written with.
    check(
        "bernoulli-entropy",
        &[arr1(&[0.0, 0.7]).into_dyn()],
        bernoulli_entropy,
    );
}

#[test]
fn bernoulli_keeps_its_digits_at_extreme_logits() {
    // For a -> ∞, with q = e^-a: log p(1) = -q, log p(0) = -a - q, H = q (1 + a), up to q² and relative.
    for a in [40.0, 100.0, 700.0f64] {
        let q = (-a).exp();
        for (logit, x, expected) in [
            (a, 1.0, -q),
            (a, 0.0, -a),
            (-a, 0.0, -q),
            (-a, 1.0, -a),
            (a, 0.25, -0.75 * a),
        ] {
            let inputs = [arr1(&[logit]).into_dyn(), arr1(&[x]).into_dyn()];
            let log_p = at(&inputs, bernoulli_density)[[]];
            assert_relative(&format!("log p({x}) at {logit}"), log_p, expected, 1e-14);
            // x - σ(a), and for x the logit itself.
            let slopes = slopes_at(&inputs, bernoulli_density);
            let slope = if logit > 0.0 { x - 1.0 } else { x };
            assert!((slopes[0][[0]] - slope).abs() < 1e-15);
            assert_eq!(slopes[1][[0]], logit);
        }
        for logit in [a, -a] {
            let entropy = at(&[arr1(&[logit]).into_dyn()], bernoulli_entropy)[[]];
            assert_relative("entropy", entropy, q * (1.0 + a), 1e-14);
            let slope = &slopes_at(&[arr1(&[logit]).into_dyn()], bernoulli_entropy)[0];
            // H' = -a σ(a) σ(-a).
            assert_relative("entropy's slope", slope[[0]], -logit * q, 1e-14);
        }
    }
}

#[test]
fn bernoulli_in_single_precision_is_finite_at_extreme_logits() {
    let tape = Tape::<f32>::new();
    let logits = tape.variable(arr1(&[80.0f32, -80.0, 80.0, -80.0]));
    let x = tape.constant(arr1(&[1.0f32, 0.0, 0.0, 1.0]));
    let coins = Bernoulli { logits };
    let log_p = coins.log_density(x);
    assert_relative("log p", f64::from(log_p.item()), -160.0, 1e-6);
    // x - σ(a).
    let slopes = tape.gradients(log_p).wrt(logits);
    for (slope, expected) in slopes.iter().zip([0.0, 0.0, -1.0, 1.0]) {
        assert!((slope - expected).abs() < 1e-30);
    }
    let entropy = f64::from(coins.entropy().item());
    assert_relative("entropy", entropy, 4.0 * 81.0 * (-80f64).exp(), 1e-5);
}

#[test]
fn gaussian_keeps_its_digits_at_extreme_log_variances() {
    for s in [-40.0, -20.0, 20.0, 40.0f64] {
        let (mean, noise) = (0.5, 1.25);
        let inputs = [mean, s, noise].map(|x| arr1(&[x]).into_dyn());
        let z = at(&inputs, gaussian_sample)[[0]];
        let offset = (s / 2.0).exp() * noise;
        assert!((z - (mean + offset)).abs() <= 1e-15 * z.abs());
        // ∂z/∂s = ½ σ ε, also where σ ε is lost in μ + σ ε.
        let slopes = slopes_at(&inputs, gaussian_sample);
        assert_relative("∂z/∂s", slopes[1][[0]], 0.5 * offset, 1e-14);
        assert_relative("∂z/∂ε", slopes[2][[0]], (s / 2.0).exp(), 1e-14);
        // The density one and a quarter deviations away from 0.
        let inputs = [0.0, s, offset].map(|x| arr1(&[x]).into_dyn());
        let expected = -0.5 * (std::f64::consts::TAU.ln() + s + noise * noise);
        assert_relative("log p", at(&inputs, gaussian_density)[[]], expected, 1e-14);
        let slopes = slopes_at(&inputs, gaussian_density);
        let slope = -0.5 * (1.0 - noise * noise);
        assert_relative("∂log p/∂s", slopes[1][[0]], slope, 1e-14);
        assert_relative("∂log p/∂μ", slopes[0][[0]], noise / (s / 2.0).exp(), 1e-14);
    }
    let tape = Tape::<f32>::new();
    let s = tape.variable(arr1(&[-40.0f32, -20.0, 20.0, 40.0]));
    let mean = tape.variable(arr1(&[1.0f32; 4]));
    let q = DiagonalGaussian {
        mean,
        log_variance: s,
    };
    let z = q.sample(tape.constant(arr1(&[0.5f32; 4])));
    let slope = tape.gradients(z.sum()).wrt(s);
    for (&slope, &s) in slope.iter().zip(&s.value()) {
        let expected = 0.25 * f64::from(s / 2.0).exp();
        assert_relative("∂z/∂s in f32", f64::from(slope), expected, 1e-6);
    }
    let all = q.log_density(z) + q.entropy() + kl::gaussian_standard(&q);
    assert!(all.item().is_finite());
    let gradients = tape.gradients(all);
    assert!(
        gradients
            .wrt(s)
            .iter()
            .chain(&gradients.wrt(mean))
            .all(|g| g.is_finite())
    );
}

#[test]
fn gaussian_density_at_its_mean_is_finite_wherever_its_deviation_is() {
    // e^-s overflows long before 1/σ does, and 0·∞ is not 0.
    for s in [-1000.0, 1000.0] {
        let inputs = [0.3, s, 0.3].map(|x| arr1(&[x]).into_dyn());
        let expected = -0.5 * (std::f64::consts::TAU.ln() + s);
        assert_relative("log p", at(&inputs, gaussian_density)[[]], expected, 1e-15);
        let slopes = slopes_at(&inputs, gaussian_density);
        assert_eq!(slopes[1][[0]], -0.5);
        assert_eq!(slopes[0][[0]], 0.0);
    }
}

#[test]
fn gaussian_density_and_divergence_are_no_nan_however_narrow() {
    for s in [-1400.0, -1500.0, -3000.0, -1e300] {
        let inputs = [0.3, s, 0.3].map(|x| arr1(&[x]).into_dyn());
        let expected = -0.5 * (std::f64::consts::TAU.ln() + s);
        assert_relative("log p", at(&inputs, gaussian_density)[[]], expected, 1e-15);
        let slopes = slopes_at(&inputs, gaussian_density);
        assert_eq!([0, 1, 2].map(|i| slopes[i][[0]]), [0.0, -0.5, 0.0]);
        let inputs = vectors([&[0.3], &[s], &[0.3], &[s]]);
        assert_eq!(kl_of(&inputs, kl_diagonal), 0.0);
        assert!(
            slopes_at(&inputs, kl_diagonal)
                .iter()
                .all(|g| g[[0]] == 0.0)
        );
        // Beside the mean the density is as good as 0.
        let inputs = [0.3, s, 0.4].map(|x| arr1(&[x]).into_dyn());
        assert_eq!(at(&inputs, gaussian_density)[[]], f64::NEG_INFINITY);
    }
    // The smallest deviation from the mean that f64 can hold, in deviations of the density.
    let inputs = [0.0, -1480.0, 5e-324].map(|x| arr1(&[x]).into_dyn());
    let standard = (740.0 + 5e-324f64.ln()).exp();
    let expected = -0.5 * (std::f64::consts::TAU.ln() - 1480.0 + standard * standard);
    assert_relative("log p", at(&inputs, gaussian_density)[[]], expected, 1e-12);
    let tape = Tape::<f32>::new();
    let parameter = |x: f32| tape.variable(arr1(&[x]));
    let q = DiagonalGaussian {
        mean: parameter(0.3),
        log_variance: parameter(-200.0),
    };
    assert_eq!(kl::gaussian_diagonal(&q, &q).item(), 0.0);
    assert!((q.log_density(q.mean).item() - 99.08).abs() < 1e-2);
}

#[test]
fn categorical_density_sums_to_one_and_to_minus_its_entropy() {
    let mut rng = rng(8);
    for k in [1, 2, 5] {
        let logits = random(&mut rng, &[3, 1, k]);
        let each = Array2::<f64>::eye(k).into_dyn();
        let log_p = at(&[logits.clone(), each], categorical_density);
        assert_eq!(log_p.shape(), [3, k]);
        let entropy = at(&[logits], categorical_entropy);
        for (log_p, &entropy) in log_p.rows().into_iter().zip(&entropy) {
            let mass: f64 = log_p.iter().map(|l| l.exp()).sum();
            assert!((mass - 1.0).abs() < 1e-14);
            let expected = -log_p.iter().map(|l| l.exp() * l).sum::<f64>();
            assert!((entropy - expected).abs() < 1e-14);
        }
    }
}

#[test]
fn categorical_sampler_draws_from_the_density() {
    let n = 100_000;
    let logits = arr2(&[[0.3, -1.0, 1.4, 0.0], [-0.5, 2.0, -3.0, 0.2]]);
    let tape = Tape::new();
    let wide = logits.broadcast((n, 2, 4)).unwrap().to_owned();
    let classes = Categorical {
        logits: tape.variable(wide),
    };
    let sample = classes.sample(standard_uniform(&tape, &[n, 2, 1], &mut rng(9)));
    assert!(!sample.is_active());
    let sample = sample.value();
    assert!(sample.sum_axis(Axis(2)).iter().all(|&ones| ones == 1.0));
    assert!(sample.iter().all(|&x| x == 0.0 || x == 1.0));
    let frequencies = sample.sum_axis(Axis(0)) / n as f64;
    for row in 0..2 {
        let own = logits.row(row).to_owned().into_dyn();
        let log_p = at(
            &[own, Array2::<f64>::eye(4).into_dyn()],
            categorical_density,
        );
        for (class, p) in log_p.mapv(f64::exp).iter().enumerate() {
            let error = (p * (1.0 - p) / n as f64).sqrt();
            assert!((frequencies[[row, class]] - p).abs() < 4.0 * error);
        }
    }
    // The two rows are drawn with noise of their own: for independent ones P(0, 0) = P(0) P(0).
    let both = sample.outer_iter().filter(|x| x[[0, 2]] + x[[1, 1]] == 2.0);
    let p = frequencies[[0, 2]] * frequencies[[1, 1]];
    let found = both.count() as f64 / n as f64;
    assert!((found - p).abs() < 4.0 * (p * (1.0 - p) / n as f64).sqrt());
}

#[test]
fn categorical_sample_lays_the_probabilities_end_to_end() {
    let tape = Tape::new();
    let logits = tape.constant(arr1(&[0.2f64, 0.5, 0.3]).mapv(f64::ln));
    let class = |u: f64| {
        let one_hot = Categorical { logits }.sample(tape.constant(arr1(&[u])));
        one_hot.value().iter().position(|&x| x == 1.0)
    };
    let expected = [(0.0, 0), (0.199, 0), (0.201, 1), (0.699, 1), (0.701, 2)];
    for (u, k) in expected {
        assert_eq!(class(u), Some(k), "u = {u}");
    }
    // Ten tenths add up to 1 - 10⁻¹⁶: a u beyond that belongs to the last class that is possible, and the eleventh
    // is not.
    let mut logits = vec![0.0; 11];
    logits[10] = -1e4;
    let logits = tape.constant(arr1(&logits));
    let largest = tape.constant(arr1(&[1.0 - f64::EPSILON / 2.0]));
    let one_hot = Categorical { logits }.sample(largest).value();
    assert_eq!((one_hot[[9]], one_hot.sum()), (1.0, 1.0));
}

#[test]
fn categorical_passes_the_gradient_check() {
    let mut rng = rng(10);
    for shapes in [
        [&[4][..], &[4][..]],
        [&[2, 3], &[2, 3]],
        [&[3], &[2, 3]],
        [&[2, 1, 3], &[2, 3]],
    ] {
        let what = format!("categorical {shapes:?}");
        let inputs = shapes.map(|shape| random(&mut rng, shape));
        check(&what, &inputs, categorical_density);
        check(&what, &inputs[..1], categorical_entropy);
        check(&what, &inputs[..1], |v| {
            Categorical { logits: v[0] }.probabilities()
        });
        check(&what, &inputs[..1], |v| {
            Categorical { logits: v[0] }.log_probabilities()
        });
    }
}

#[test]
fn categorical_at_extreme_logits_is_finite_and_right() {
    let logits = arr1(&[700.0, -700.0, 699.0]).into_dyn();
    let rest = (-1f64).exp();
    let log_sum = rest.ln_1p();
    let log_p = at(
        &[logits.clone(), Array2::<f64>::eye(3).into_dyn()],
        categorical_density,
    );
    for (found, expected) in log_p
        .iter()
        .zip([-log_sum, -1400.0 - log_sum, -1.0 - log_sum])
    {
        // The logits' own rounding is 700·10⁻¹⁶.
        assert!((found - expected).abs() < 1e-12);
    }
    let entropy = at(std::slice::from_ref(&logits), categorical_entropy)[[]];
    let expected = log_sum + rest / (1.0 + rest);
    assert!((entropy - expected).abs() < 1e-12);
    let slopes = slopes_at(
        &[logits, arr1(&[0.0, 1.0, 0.0]).into_dyn()],
        categorical_density,
    );
    let p = 1.0 / (1.0 + rest);
    for (found, expected) in slopes[0].iter().zip([-p, 1.0, p - 1.0]) {
        assert!((found - expected).abs() < 1e-12);
    }
}

#[test]
fn densities_need_an_event_axis() {
    let panics = |f: Expression| {
        let number = || ndarray::arr0(0.5).into_dyn();
        let inputs = [number(), number(), number(), number()];
        let result = std::panic::catch_unwind(|| at(&inputs, f));
        assert!(result.is_err());
    };
    let all: [Expression; 10] = [
        gaussian_density,
        gaussian_entropy,
        bernoulli_density,
        bernoulli_entropy,
        categorical_density,
        categorical_entropy,
        kl_standard,
        kl_diagonal,
        kl_categorical,
        kl_bernoulli,
    ];
    all.into_iter().for_each(panics);
}

fn words(mut rng: StdRng, n: usize) -> Vec<u64> {
    (0..n).map(|_| rng.random()).collect()
}

#[test]
fn noise_streams_are_reproducible_and_their_own() {
    let first = words(stream(1, "noise", 3), 64);
    assert_eq!(first, words(stream(1, "noise", 3), 64));
    let others = [
        stream(2, "noise", 3),
        stream(1, "order", 3),
        stream(1, "noise", 4),
        stream(3, "noise", 1),
        stream(1, "Noise", 3),
        stream(1, "", 3),
        stream(1, "noise", 3 << 32),
        stream(1 << 32, "noise", 3),
    ];
    for other in others {
        let other = words(other, 64);
        // Not one word at the same place, nor anywhere else.
        assert!(other.iter().all(|word| !first.contains(word)));
    }
}

#[test]
fn noise_streams_are_uncorrelated() {
    let n = 100_000;
    let tape = Tape::<f64>::new();
    let draw = |mut rng: StdRng| standard_normal(&tape, &[n], &mut rng).value();
    let streams = [
        draw(stream(1, "noise", 1)),
        draw(stream(1, "noise", 2)),
        draw(stream(2, "noise", 1)),
        draw(stream(1, "test", 1)),
    ];
    for (i, a) in streams.iter().enumerate() {
        let mean = a.sum() / n as f64;
        assert!(mean.abs() < 4.0 / (n as f64).sqrt());
        let variance = (a * a).sum() / n as f64;
        assert!((variance - 1.0).abs() < 4.0 * (2.0 / n as f64).sqrt());
        // The fourth moment is 3, with variance 105 - 9.
        let fourth = a.mapv(|x| x.powi(4)).sum() / n as f64;
        assert!((fourth - 3.0).abs() < 4.0 * (96.0 / n as f64).sqrt());
        // Neighbours within a stream, and every other stream.
        let (head, tail) = (a.slice(ndarray::s![..n - 1]), a.slice(ndarray::s![1..]));
        assert!(((&head * &tail).sum() / n as f64).abs() < 4.0 / (n as f64).sqrt());
        for b in &streams[..i] {
            assert!(((a * b).sum() / n as f64).abs() < 4.0 / (n as f64).sqrt());
        }
    }
}

#[test]
fn noise_is_the_same_in_both_precisions() {
    let (single, double) = (Tape::<f32>::new(), Tape::<f64>::new());
    let rounded = standard_normal(&double, &[3, 5], &mut rng(11)).value();
    let found = standard_normal(&single, &[3, 5], &mut rng(11)).value();
    assert_eq!(found, rounded.mapv(|x| x as f32).into_shared());
    let exact = standard_uniform(&double, &[1000], &mut rng(12)).value();
    let found = standard_uniform(&single, &[1000], &mut rng(12)).value();
    assert_eq!(found.mapv(f64::from), exact);
}

/// A generator that knows one word.
struct Constant(u64);

impl RngCore for Constant {
    fn next_u32(&mut self) -> u32 {
        self.0 as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(self.0 as u8);
    }
}

#[test]
fn noise_standard_uniform_reaches_zero_and_never_one() {
    let (single, double) = (Tape::<f32>::new(), Tape::<f64>::new());
    for (word, expected) in [(0, 0.0), (u64::MAX, 1.0 - (-24f32).exp2())] {
        let u = standard_uniform(&single, &[1], &mut Constant(word)).item();
        assert_eq!(u, expected);
        let u = standard_uniform(&double, &[1], &mut Constant(word)).item();
        assert_eq!(u, f64::from(expected));
    }
}

#[test]
fn noise_standard_uniform_is_uniform_and_below_one() {
    let n = 200_000;
    let tape = Tape::<f32>::new();
    let u = standard_uniform(&tape, &[n], &mut rng(13)).value();
    assert!(u.iter().all(|&u| (0.0..1.0).contains(&u)));
    let mut counts = [0usize; 16];
    u.iter().for_each(|&u| counts[(16.0 * u) as usize] += 1);
    let (n, p) = (n as f64, 1.0 / 16.0);
    let error = (n * p * (1.0f64 - p)).sqrt();
    assert!(
        counts
            .iter()
            .all(|&count| (count as f64 - n * p).abs() < 4.0 * error)
    );
}

fn kl_of(inputs: &[ArrayD<f64>], f: Expression) -> f64 {
    let value = at(inputs, f);
    assert_eq!(value.len(), 1);
    value.sum()
}

fn vectors<const N: usize>(parts: [&[f64]; N]) -> [ArrayD<f64>; N] {
    parts.map(|part| arr1(part).into_dyn())
}

#[test]
fn kl_gaussians_are_the_integral_of_the_log_ratio() {
    let (_, h, log_standard) = gaussian_on_a_grid(0.0, 0.0);
    let integral = |log_q: &ArrayD<f64>, log_p: &ArrayD<f64>| {
        let terms = log_q.iter().zip(log_p);
        h * terms.map(|(q, p)| q.exp() * (q - p)).sum::<f64>()
    };
    for (mean, s) in [(0.7, -1.2), (-1.6, 0.9), (0.0, 0.4), (2.0, 0.0)] {
        let (_, _, log_q) = gaussian_on_a_grid(mean, s);
        let found = kl_of(&vectors([&[mean], &[s]]), kl_standard);
        assert!((found - integral(&log_q, &log_standard)).abs() < 1e-11);
        for (other, t) in [(0.4, 0.8), (-1.0, -0.9), (mean, 0.3), (1.1, s)] {
            let (_, _, log_p) = gaussian_on_a_grid(other, t);
            let found = kl_of(&vectors([&[mean], &[s], &[other], &[t]]), kl_diagonal);
            assert!((found - integral(&log_q, &log_p)).abs() < 1e-10, "{found}");
        }
    }
}

#[test]
fn kl_gaussian_diagonal_from_the_standard_is_gaussian_standard() {
    let mut rng = rng(14);
    for shape in [&[1][..], &[5], &[2, 3], &[2, 1, 4]] {
        let [mean, s] = [random(&mut rng, shape), random(&mut rng, shape)];
        let zeros = ArrayD::zeros(&shape[shape.len() - 1..]);
        let both = [mean.clone(), s.clone(), zeros.clone(), zeros];
        let (general, standard) = (at(&both, kl_diagonal), at(&[mean, s], kl_standard));
        assert_eq!(general.shape(), &shape[..shape.len() - 1]);
        for (a, b) in general.iter().zip(&standard) {
            assert_relative("KL", *a, *b, 1e-14);
        }
    }
}

#[test]
fn kl_bernoulli_and_categorical_are_sums_over_outcomes() {
    let mut rng = rng(15);
    for d in [1, 2, 5] {
        let [a, b] = [random(&mut rng, &[d]), random(&mut rng, &[d])];
        let log_density =
            |logits: &ArrayD<f64>| at(&[logits.clone(), outcomes(d).into_dyn()], bernoulli_density);
        let (log_q, log_p) = (log_density(&a), log_density(&b));
        let expected: f64 = log_q
            .iter()
            .zip(&log_p)
            .map(|(q, p)| q.exp() * (q - p))
            .sum();
        let found = kl_of(&[a.clone(), b.clone()], kl_bernoulli);
        assert!((found - expected).abs() < 1e-13, "{found}, not {expected}");
        let classes = |logits: &ArrayD<f64>| {
            at(
                &[logits.clone(), Array2::<f64>::eye(d).into_dyn()],
                categorical_density,
            )
        };
        let (log_q, log_p) = (classes(&a), classes(&b));
        let expected: f64 = log_q
            .iter()
            .zip(&log_p)
            .map(|(q, p)| q.exp() * (q - p))
            .sum();
        let found = kl_of(&[a, b], kl_categorical);
        assert!((found - expected).abs() < 1e-13, "{found}, not {expected}");
    }
}

#[test]
fn kl_of_two_classes_is_that_of_a_coin() {
    let mut rng = rng(16);
    let [a, b] = [random(&mut rng, &[6]), random(&mut rng, &[6])];
    let two = |logits: &ArrayD<f64>| {
        Array2::from_shape_fn((6, 2), |(i, k)| if k == 1 { logits[[i]] } else { 0.0 }).into_dyn()
    };
    let classes: f64 = at(&[two(&a), two(&b)], kl_categorical).sum();
    assert_relative("KL", kl_of(&[a, b], kl_bernoulli), classes, 1e-13);
}

#[test]
fn kl_of_a_distribution_from_itself_is_zero() {
    let mut rng = rng(17);
    for scale in [1.0, 20.0, 300.0] {
        let [a, b] = [0, 1].map(|_| random(&mut rng, &[2, 5]) * scale);
        let twice = [a.clone(), a.clone()];
        assert!(at(&twice, kl_categorical).iter().all(|&kl| kl == 0.0));
        assert!(at(&twice, kl_bernoulli).iter().all(|&kl| kl == 0.0));
        let [means, s] = [a, b];
        let twice = [means.clone(), s.clone(), means, s];
        assert!(at(&twice, kl_diagonal).iter().all(|&kl| kl == 0.0));
    }
    let zeros = ArrayD::zeros(vec![2, 5]);
    assert!(
        at(&[zeros.clone(), zeros], kl_standard)
            .iter()
            .all(|&kl| kl == 0.0)
    );
}

#[test]
fn kl_is_not_negative_near_or_far() {
    // q and p close to each other, where the first order cancels and what is left is of the second.
    let mut rng = rng(18);
    for distance in [1e-8, 1e-3, 1.0, 50.0] {
        for scale in [1e-6, 1.0, 15.0] {
            let n = 400;
            let near = |rng: &mut StdRng, x: &ArrayD<f64>| x + &(random(rng, &[n, 1]) * distance);
            let a = random(&mut rng, &[n, 1]) * scale;
            let b = near(&mut rng, &a);
            let least = |values: ArrayD<f64>| values.iter().copied().fold(f64::INFINITY, f64::min);
            // A coin's is a sum over two outcomes: what rounding leaves of the cross-entropy, a sum of two
            // positive numbers, but never of the logits' own size.
            let q = a.mapv(|a| 1.0 / (1.0 + (-a).exp()));
            let rounding = at(&[b.clone(), q], bernoulli_density) * -2.0 * f64::EPSILON;
            let coins = least(at(&[a.clone(), b.clone()], kl_bernoulli) + rounding);
            assert!(coins >= 0.0, "{coins:e} at {distance} and {scale}");
            let gaussians = least(at(
                &[a.clone(), a.clone(), b.clone(), b.clone()],
                kl_diagonal,
            ));
            assert!(
                gaussians >= -1e-16,
                "{gaussians:e} at {distance} and {scale}"
            );
            let standard = least(at(&[&b - &a, &b - &a], kl_standard));
            assert!(standard >= 0.0, "{standard:e} at {distance} and {scale}");
        }
    }
}

#[test]
fn kl_bernoulli_keeps_its_digits_at_extreme_logits() {
    // For a, b -> ∞: the rare outcome 0 has q = e^-a, p = e^-b, and KL = q (b - a) - q + p up to q².
    for (a, b) in [
        (40.0f64, 41.0f64),
        (41.0, 40.0),
        (30.0, 36.0),
        (700.0, 690.0),
        (100.0, 100.5),
    ] {
        let (q, p) = ((-a).exp(), (-b).exp());
        let expected: f64 = q * (b - a) - q + p;
        for (a, b) in [(a, b), (-a, -b)] {
            let found = kl_of(&vectors([&[a], &[b]]), kl_bernoulli);
            assert_relative(&format!("KL at {a}, {b}"), found, expected, 1e-11);
        }
    }
    // Opposite certainties: KL = log 1/p.
    for (a, b) in [(700.0, -700.0), (-700.0, 700.0)] {
        assert_relative(
            "KL",
            kl_of(&vectors([&[a], &[b]]), kl_bernoulli),
            700.0,
            1e-14,
        );
    }
    let tape = Tape::<f32>::new();
    let [a, b] = [[80.0f32, -80.0, 80.0], [-80.0, 80.0, 79.0]].map(|x| tape.variable(arr1(&x)));
    let kl = kl::bernoulli(&Bernoulli { logits: a }, &Bernoulli { logits: b });
    assert_relative("KL in f32", f64::from(kl.item()), 160.0, 1e-6);
    let gradients = tape.gradients(kl);
    assert!(
        gradients
            .wrt(a)
            .iter()
            .chain(&gradients.wrt(b))
            .all(|g| g.is_finite())
    );
}

#[test]
fn kl_at_extreme_log_variances_is_finite_and_right() {
    for s in [-40.0, -20.0, 20.0, 40.0f64] {
        let inputs = vectors([&[0.3], &[s]]);
        let expected = 0.5 * (0.09 + s.exp_m1() - s);
        assert_relative("KL", kl_of(&inputs, kl_standard), expected, 1e-14);
        let slopes = slopes_at(&inputs, kl_standard);
        assert_relative("∂KL/∂s", slopes[1][[0]], 0.5 * s.exp_m1(), 1e-14);
        let inputs = vectors([&[0.3], &[0.0], &[0.3], &[s]]);
        let expected = 0.5 * ((-s).exp_m1() + s);
        assert_relative("KL", kl_of(&inputs, kl_diagonal), expected, 1e-14);
    }
    // Two narrow Gaussians at the same place.
    let inputs = vectors([&[0.3], &[-999.0], &[0.3], &[-1000.0]]);
    let expected = 0.5 * (1f64.exp_m1() - 1.0);
    assert_relative("KL", kl_of(&inputs, kl_diagonal), expected, 1e-14);
}

#[test]
fn kl_passes_the_gradient_check_at_both_orders() {
    let mut rng = rng(19);
    for shape in [&[1][..], &[4], &[2, 3], &[2, 1, 2]] {
        let inputs = [0, 1, 2, 3].map(|_| random(&mut rng, shape));
        check("kl-gaussian-standard", &inputs[..2], kl_standard);
        check("kl-gaussian-diagonal", &inputs, kl_diagonal);
        check("kl-categorical", &inputs[..2], kl_categorical);
        check("kl-bernoulli", &inputs[..2], kl_bernoulli);
    }
    for [a, b] in [
        [&[2, 3][..], &[3][..]],
        [&[3], &[2, 3]],
        [&[2, 1, 3], &[4, 3]],
    ] {
        let [mean, s, other, t] = [a, a, b, b].map(|shape| random(&mut rng, shape));
        check(
            "kl-categorical, broadcast",
            &[mean.clone(), other.clone()],
            kl_categorical,
        );
        check(
            "kl-bernoulli, broadcast",
            &[mean.clone(), other.clone()],
            kl_bernoulli,
        );
        check(
            "kl-gaussian-diagonal, broadcast",
            &[mean, s, other, t],
            kl_diagonal,
        );
    }
}

#[test]
fn kl_is_the_difference_of_cross_entropy_and_entropy_on_average() {
    // E_q [log q - log p] by the sampler and the densities, n = 100 000, against the closed form.
    let n = 100_000;
    let tape = Tape::new();
    let constant = |x: &[f64]| tape.constant(arr1(x));
    let q = gaussian(constant(&[0.7, -1.0]), constant(&[-0.8, 0.5]));
    let p = gaussian(constant(&[0.2, 0.4]), constant(&[0.6, -0.3]));
    let z = q.sample(standard_normal(&tape, &[n, 2], &mut rng(20)));
    let log_ratio = (q.log_density(z) - p.log_density(z)).value();
    let mean = log_ratio.sum() / n as f64;
    let variance = log_ratio.mapv(|r| (r - mean).powi(2)).sum() / n as f64;
    let exact = kl::gaussian_diagonal(&q, &p).item();
    assert!((mean - exact).abs() < 4.0 * (variance / n as f64).sqrt());
}

// ---------------------------------------------------------------------------------------------------------
// The Gaussian with a full covariance

/// A random mean and a random well-conditioned covariance of k dimensions.
fn full_gaussian(rng: &mut StdRng, k: usize) -> (ArrayD<f64>, ArrayD<f64>) {
    let a = Array2::from_shape_simple_fn((k, k), || rng.random_range(-1.0..1.0));
    let covariance = a.dot(&a.t()) + Array2::<f64>::eye(k) * 0.2;
    (random(rng, &[k]), covariance.into_dyn())
}

fn multivariate<'t>(v: &[Var<'t, f64>]) -> MultivariateGaussian<'t, f64> {
    MultivariateGaussian::from_covariance(v[0], v[1]).unwrap()
}

#[test]
fn multivariate_of_a_diagonal_covariance_is_the_diagonal_gaussian() {
    let mut rng = rng(71);
    for (k, batch) in [(1, vec![]), (3, vec![5]), (2, vec![4, 3])] {
        let (mu, s) = (random(&mut rng, &[k]), random(&mut rng, &[k]));
        let shape = [batch.as_slice(), &[k]].concat();
        let (z, noise) = (random(&mut rng, &shape), random(&mut rng, &shape));
        let tape = Tape::new();
        let covariance = Array2::from_diag(&s.mapv(f64::exp).into_shape_with_order(k).unwrap());
        let full = multivariate(&[tape.constant(mu.clone()), tape.constant(covariance)]);
        let diagonal = gaussian(tape.constant(mu), tape.constant(s));
        let (z, noise) = (tape.constant(z), tape.constant(noise));
        for (found, expected) in [
            (full.log_density(z), diagonal.log_density(z)),
            (full.sample(noise), diagonal.sample(noise)),
            (full.entropy(), diagonal.entropy()),
        ] {
            let (found, expected) = (found.value(), expected.value());
            assert_eq!(found.shape(), expected.shape());
            for (&found, &expected) in found.iter().zip(&expected) {
                assert_relative("full = diagonal", found, expected, 1e-13);
            }
        }
    }
}

#[test]
fn multivariate_density_integrates_to_one_and_to_minus_its_entropy() {
    let mut rng = rng(72);
    for _ in 0..5 {
        let (mu, sigma) = full_gaussian(&mut rng, 2);
        let tape = Tape::new();
        let q = multivariate(&[tape.constant(mu.clone()), tape.constant(sigma.clone())]);
        // The trapezium rule over 10 deviations to each side.
        let [(x, dx), (y, dy)] = [0, 1].map(|j| {
            let width = 10.0 * sigma[[j, j]].sqrt();
            grid(mu[j] - width, mu[j] + width, 301)
        });
        let points = Array2::from_shape_fn((301 * 301, 2), |(i, j)| match j {
            0 => x[i / 301],
            _ => y[i % 301],
        });
        let log_q = q.log_density(tape.constant(points.clone())).value();
        let integral = |f: &dyn Fn(usize) -> f64| -> f64 {
            (0..log_q.len()).map(|i| log_q[i].exp() * f(i)).sum::<f64>() * dx * dy
        };
        assert_relative("mass", integral(&|_| 1.0), 1.0, 1e-10);
        assert_relative(
            "entropy",
            -integral(&|i| log_q[i]),
            q.entropy().item(),
            1e-10,
        );
        for (a, b) in [(0, 0), (0, 1), (1, 1)] {
            let moment = |i: usize| (points[[i, a]] - mu[a]) * (points[[i, b]] - mu[b]);
            let scale = (sigma[[a, a]] * sigma[[b, b]]).sqrt();
            let off = (integral(&moment) - sigma[[a, b]]) / scale;
            assert!(off.abs() <= 1e-10, "covariance: {off:e}");
        }
    }
}

#[test]
fn multivariate_sampler_draws_from_the_density() {
    // Standardised draws have mean 0 and covariance I, and the log-density's mean is minus the entropy.
    let mut rng = rng(73);
    let n = 100_000;
    for k in [1, 2, 4] {
        let (mu, sigma) = full_gaussian(&mut rng, k);
        let tape = Tape::new();
        let mean = tape.constant(mu).broadcast_to(&[n, k]);
        let q = multivariate(&[mean, tape.constant(sigma.clone())]);
        let z = q.draw(&mut rng);
        let centred = (z - mean)
            .value()
            .into_owned()
            .into_dimensionality()
            .unwrap();
        let centred: Array2<f64> = centred;
        for i in 0..k {
            let off = centred.column(i).sum() / (n as f64 * sigma[[i, i]]).sqrt();
            assert!(off.abs() <= 4.0, "mean: {off} standard errors");
            for j in 0..=i {
                let found = centred.column(i).dot(&centred.column(j)) / n as f64;
                // Var(z_i z_j) = Σ_ii Σ_jj + Σ_ij².
                let variance = sigma[[i, i]] * sigma[[j, j]] + sigma[[i, j]].powi(2);
                let off = (found - sigma[[i, j]]) / (variance / n as f64).sqrt();
                assert!(off.abs() <= 4.0, "covariance: {off} standard errors");
            }
        }
        // Var log q = k/2.
        let off = q.log_density(z).value().sum() / n as f64 + q.entropy().value().sum() / n as f64;
        let off = off / (k as f64 / 2.0 / n as f64).sqrt();
        assert!(off.abs() <= 4.0, "entropy: {off} standard errors");
    }
}

#[test]
fn multivariate_passes_the_gradient_check_at_both_orders() {
    let mut rng = rng(74);
    for k in [1, 2, 3] {
        let (mu, sigma) = full_gaussian(&mut rng, k);
        let inputs = [mu, sigma, random(&mut rng, &[2, k])];
        // The checker moves one entry at a time: half of it goes to the mirrored place.
        fn symmetric<'t>(v: &[Var<'t, f64>]) -> MultivariateGaussian<'t, f64> {
            multivariate(&[v[0], (v[1] + v[1].t()) * 0.5])
        }
        check("multivariate", &inputs, |v| symmetric(v).log_density(v[2]));
        check("multivariate", &inputs, |v| symmetric(v).sample(v[2]));
        check("multivariate", &inputs[..2], |v| symmetric(v).entropy());
        check("multivariate", &inputs[..2], |v| symmetric(v).covariance());
    }
}

#[test]
fn multivariate_refuses_what_is_no_covariance_and_no_factor() {
    let mean = || ndarray::Array1::<f64>::zeros(2);
    let covariance = |rows: [[f64; 2]; 2]| {
        let tape = Tape::new();
        MultivariateGaussian::from_covariance(tape.constant(mean()), tape.constant(arr2(&rows)))
            .map(|_| ())
            .unwrap_err()
    };
    let factor = |rows: [[f64; 2]; 2]| {
        let tape = Tape::new();
        MultivariateGaussian::from_factor(tape.constant(mean()), tape.constant(arr2(&rows)))
            .map(|_| ())
            .unwrap_err()
    };
    let singular = covariance([[1.0, 1.0], [1.0, 1.0]]);
    assert!(matches!(singular, NoGaussian::NotPositiveDefinite(reason) if reason.pivot == 1));
    let asymmetric = covariance([[1.0, 0.3], [0.2, 1.0]]);
    assert!(matches!(
        asymmetric,
        NoGaussian::NotSymmetric {
            row: 1,
            column: 0,
            ..
        }
    ));
    let nan = covariance([[1.0, f64::NAN], [f64::NAN, 1.0]]);
    assert!(matches!(nan, NoGaussian::NotPositiveDefinite(reason) if reason.value.is_nan()));
    let upper = factor([[1.0, 0.3], [0.0, 1.0]]);
    assert!(matches!(
        upper,
        NoGaussian::NotLowerTriangular {
            row: 0,
            column: 1,
            ..
        }
    ));
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = factor([[1.0, 0.0], [0.3, bad]]);
        assert!(
            matches!(error, NoGaussian::DiagonalNotPositive { row: 1, .. }),
            "{error}"
        );
    }
    for error in [singular, asymmetric, nan, upper] {
        assert!(error.to_string().contains("expected"), "{error}");
    }
}

#[test]
fn multivariate_measures_asymmetry_by_the_deviations() {
    let of = |rows: [[f64; 2]; 2]| {
        let tape = Tape::new();
        let mean = tape.constant(arr1(&[0.0, 0.0]));
        MultivariateGaussian::from_covariance(mean, tape.constant(arr2(&rows))).map(|_| ())
    };
    // The product of two variances may be beyond f64, or below it.
    let huge = of([[1e200, 5e199], [-5e199, 1e200]]).unwrap_err();
    assert!(matches!(huge, NoGaussian::NotSymmetric { .. }), "{huge}");
    assert!(of([[1e-170, 1e-190], [-1e-190, 1e-170]]).is_ok());
    let tiny = of([[1e-170, 5e-171], [-5e-171, 1e-170]]).unwrap_err();
    assert!(matches!(tiny, NoGaussian::NotSymmetric { .. }), "{tiny}");
    assert!(of([[1e200, 5e199], [5e199, 1e200]]).is_ok());
}

/// Every entry the same number, -∞ included; NaN is none.
fn assert_entries(what: &str, found: &ArrayD<f64>, expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}: {found}");
    for (found, expected) in found.iter().zip(expected) {
        let same = found == expected || (found - expected).abs() < 1e-14;
        assert!(same, "{what}: {found} is not {expected}");
    }
}

#[test]
fn bernoulli_that_is_certain_has_its_limits() {
    let inf = f64::INFINITY;
    // Each coin shows 1, then 0.
    let logits = arr2(&[[inf], [inf], [-inf], [-inf], [0.0]]).into_dyn();
    let x = arr2(&[[1.0], [0.0], [1.0], [0.0], [1.0]]).into_dyn();
    let inputs = [logits.clone(), x];
    let half = 0.5f64.ln();
    let log_p = at(&inputs, bernoulli_density);
    assert_entries("log p", &log_p, &[0.0, -inf, -inf, 0.0, half]);
    let slopes = slopes_at(&inputs, bernoulli_density);
    assert_entries("∂a", &slopes[0].to_owned(), &[0.0, -1.0, 1.0, 0.0, 0.5]);
    let entropy = at(&inputs[..1], bernoulli_entropy);
    assert_entries("H", &entropy, &[0.0, 0.0, 0.0, 0.0, -half]);
    let slope = slopes_at(&inputs[..1], bernoulli_entropy);
    assert_entries("∂H", &slope[0].to_owned(), &[0.0; 5]);
    let mean = at(&inputs[..1], |v| Bernoulli { logits: v[0] }.mean());
    assert_entries("mean", &mean, &[1.0, 1.0, 0.0, 0.0, 0.5]);
    // Many coins in a row, as in training: one that is impossible makes the whole row impossible.
    let row = |x: f64| {
        let logits = ArrayD::from_elem(IxDyn(&[2, 784]), inf);
        at(
            &[logits, ArrayD::from_elem(IxDyn(&[2, 784]), x)],
            bernoulli_density,
        )
    };
    assert_entries("rows", &row(1.0), &[0.0, 0.0]);
    assert_entries("rows", &row(0.0), &[-inf, -inf]);
    // A NaN is no limit: it is seen.
    let nan = ArrayD::from_elem(IxDyn(&[1]), f64::NAN);
    for x in [0.0, 0.5, 1.0] {
        let x = ArrayD::from_elem(IxDyn(&[1]), x);
        assert!(at(&[nan.clone(), x], bernoulli_density).sum().is_nan());
    }
    assert!(at(&[nan], bernoulli_entropy).sum().is_nan());
}

#[test]
fn bernoulli_that_is_certain_in_single_precision() {
    let tape = Tape::new();
    let logits = tape.variable(arr1(&[f32::INFINITY, f32::NEG_INFINITY]));
    let x = tape.constant(arr1(&[1.0f32, 0.0]));
    let coins = Bernoulli { logits };
    let both = coins.log_density(x) + coins.entropy();
    assert_eq!(both.item(), 0.0);
    assert!(tape.gradients(both).wrt(logits).iter().all(|g| *g == 0.0));
}

#[test]
fn categorical_with_impossible_and_certain_classes_has_its_limits() {
    let inf = f64::INFINITY;
    let log = |p: f64| p.ln();
    for (logits, p) in [
        (vec![-inf, 0.0, log(3.0)], vec![0.0, 0.25, 0.75]),
        (vec![-inf, -inf, 5.0], vec![0.0, 0.0, 1.0]),
        (vec![inf, 0.0, -inf], vec![1.0, 0.0, 0.0]),
        (vec![inf, 7.0, inf], vec![0.5, 0.0, 0.5]),
        (vec![-inf, -inf], vec![0.5, 0.5]),
    ] {
        let k = p.len();
        let logits = arr1(&logits).into_dyn();
        let what = format!("{logits}");
        let found = at(std::slice::from_ref(&logits), |v| {
            Categorical { logits: v[0] }.probabilities()
        });
        assert_entries(&what, &found, &p);
        for class in 0..k {
            let mut x = ArrayD::zeros(IxDyn(&[k]));
            x[[class]] = 1.0;
            let inputs = [logits.clone(), x.clone()];
            assert_entries(&what, &at(&inputs, categorical_density), &[log(p[class])]);
            // x - p.
            let expected: Vec<f64> = x.iter().zip(&p).map(|(x, p)| x - p).collect();
            let slopes = slopes_at(&inputs, categorical_density);
            assert_entries(&what, &slopes[0].to_owned(), &expected);
        }
        let inputs = std::slice::from_ref(&logits);
        let terms = p.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln());
        let entropy: f64 = terms.sum();
        assert_entries(&what, &at(inputs, categorical_entropy), &[entropy]);
        // -p (log p + H), and 0 where p is.
        let slope = |p: &f64| match *p {
            0.0 => 0.0,
            p => -p * (p.ln() + entropy),
        };
        let expected: Vec<f64> = p.iter().map(slope).collect();
        let found = slopes_at(inputs, categorical_entropy);
        assert_entries(&what, &found[0].to_owned(), &expected);
    }
    // One lane of a batch does not touch the others, and a NaN is seen.
    let logits = arr2(&[[inf, 0.0], [f64::NAN, inf], [0.0, 0.0]]).into_dyn();
    let log_p = at(&[logits], |v| {
        Categorical { logits: v[0] }.log_probabilities()
    });
    assert_eq!((log_p[[0, 0]], log_p[[0, 1]]), (0.0, -inf));
    assert!(log_p[[1, 0]].is_nan() && log_p[[1, 1]].is_nan());
    assert!((log_p[[2, 0]] - 0.5f64.ln()).abs() < 1e-15);
}

#[test]
fn categorical_with_an_impossible_class_has_second_derivatives() {
    // The Hessian of the entropy at p = (0, ½, ½) is that of a fair coin, with a row of zeros.
    let tape = Tape::new();
    let logits = tape.variable(arr1(&[f64::NEG_INFINITY, 0.0, 0.0]));
    let slopes = tape.differentiable_gradients(Categorical { logits }.entropy());
    let direction = tape.constant(arr1(&[1.0, 1.0, -1.0]));
    let product = tape.gradients((slopes.wrt(logits) * direction).sum());
    assert_entries(
        "Hessian",
        &product.wrt(logits).to_owned(),
        &[0.0, -0.5, 0.5],
    );
}
