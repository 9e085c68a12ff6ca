//! The diagonal Gaussian, against quadrature and its own draws.
//!
//! Nothing is compared with a formula that the source also holds where an integral can say the same: whoever takes a
//! variance for a deviation does so in the formula, too.

use elbo::autodiff::{Tape, Var};
use elbo::distributions::DiagonalGaussian;
use elbo::distributions::noise::standard_normal;
use elbo::kl;
use ndarray::{Array2, Axis, arr1, arr2};

use crate::common::random::{random, rng};
use crate::distributions::shared::{
    assert_naive, assert_relative, at, broadcast_of, check, gaussian, gaussian_density,
    gaussian_entropy, gaussian_on_a_grid, grid, kl_diagonal, kl_of, slopes_at, vectors,
};

fn gaussian_sample<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    gaussian(v[0], v[1]).sample(v[2])
}

const MEANS: [f64; 3] = [0.7, -1.6, 0.0];

const LOG_VARIANCES: [f64; 3] = [-1.2, 0.9, 0.0];

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

/// ∫ p(z) f(z, log p) dz.
fn gaussian_integral(mean: f64, log_variance: f64, f: impl Fn(f64, f64) -> f64) -> f64 {
    let (points, h, log_p) = gaussian_on_a_grid(mean, log_variance);
    let terms = points.iter().zip(&log_p);
    h * terms.map(|(&z, &l)| l.exp() * f(z, l)).sum::<f64>()
}

#[test]
fn density_integrates_to_one_and_to_minus_its_entropy() {
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
fn density_in_two_dimensions_integrates_to_one_and_to_minus_its_entropy() {
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
fn sampler_draws_from_the_density() {
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

#[test]
fn draw_has_noise_of_its_own_for_every_entry() {
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
fn draw_is_a_sample_with_the_streams_noise() {
    let tape = Tape::new();
    let q = gaussian(
        tape.constant(arr2(&[[0.5, -1.0, 2.0], [0.1, 0.2, 0.3]])),
        tape.constant(arr1(&[0.3, -0.4, 1.1])),
    );
    let drawn = q.draw(&mut rng(3)).value();
    let noise = standard_normal(&tape, &[2, 3], &mut rng(3));
    assert_eq!(drawn, q.sample(noise).value());
}

#[test]
fn broadcasts_parameters_against_data_and_samples() {
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

#[test]
fn keeps_its_digits_at_extreme_log_variances() {
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
fn density_at_its_mean_is_finite_wherever_its_deviation_is() {
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
fn density_and_divergence_are_no_nan_however_narrow() {
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
        // Away from the mean the density rounds to 0.
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
