//! docs/autoencoders.md#denoising-is-score-matching: the best denoiser moves along the score, r*(x̃) = x̃ + s² ∇log p_s(x̃), and
//! its error is s² - s⁴J.

use std::f64::consts::TAU;

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::autoencoders::{Centring, Corruption, LinearDenoiser, SmoothedMixture};
use elbo::distributions::Moments;
use elbo::distributions::noise::standard_normal;
use elbo::nn::{Activation, Adam, Initialisation, Mlp, Parameters};
use ndarray::{Array1, Array2, arr1, arr2};
use rand::Rng;
use rand::rngs::StdRng;

use super::shared::gradients;
use crate::common::comparing::{Checked, Worst};
use crate::common::quadrature::trapezium;
use crate::common::random::{matrix, random, rng};
use crate::common::statistics::Statistics;

/// Three components in d dimensions, one of them a point.
fn mixture(rng: &mut StdRng, d: usize, deviation: f64) -> SmoothedMixture {
    SmoothedMixture::new(
        &arr1(&[0.2, 0.5, 0.3]),
        matrix(rng, [3, d]),
        &arr1(&[0.5, 0.8, 0.0]),
        deviation,
    )
}

#[test]
fn bayes_rule_and_the_score_agree() {
    let mut rng = rng(630);
    let (mut tweedie, mut score) = (Worst::default(), Worst::default());
    for d in [1, 2, 5] {
        for s in [0.1, 0.7, 4.0] {
            let p = mixture(&mut rng, d, s);
            let x = matrix(&mut rng, [4, d]);
            // The gradient of the density by the tape, not by the formula.
            let (_, slopes) = gradients(&[x.clone().into_dyn()], |v| p.log_density(v[0]).sum());
            let tape = Tape::new();
            let at = tape.constant(x.clone());
            score.entries(&p.score(at).value().into_owned(), &slopes[0]);
            let moved = &x.into_dyn() + &(&slopes[0] * (s * s));
            tweedie.entries(&p.denoised(at).value().into_owned(), &moved);
        }
    }
    score.within(1e-12, "score by hand, and the gradient of log p_s");
    tweedie.within(1e-12, "E[x|x̃] by Bayes' rule, and x̃ + s² ∇log p_s");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(631);
    let mut checked = Checked::default();
    let check = Check::new("denoising-is-score-matching");
    for d in [1, 3] {
        let p = mixture(&mut rng, d, 0.7);
        let at = [random(&mut rng, &[3, d])];
        checked.add(check.run(&at, |v| p.log_density(v[0])).unwrap());
        checked.add(
            check
                .run_second_order(&at, |v| p.log_density(v[0]))
                .unwrap(),
        );
        checked.add(check.run(&at, |v| p.denoised(v[0])).unwrap());
        checked.add(check.run(&at, |v| p.score(v[0])).unwrap());
    }
    checked.print("log density in two orders, denoiser, score");
}

fn normal(x: f64, mean: f64, deviation: f64) -> f64 {
    let t = (x - mean) / deviation;
    (-0.5 * t * t).exp() / (deviation * TAU.sqrt())
}

#[test]
fn posterior_mean_and_least_error_by_quadrature() {
    let (weights, means, deviations, s) = ([0.3, 0.7], [-1.0, 1.5], [0.4, 0.6], 0.8);
    let p = SmoothedMixture::new(
        &arr1(&weights),
        arr2(&[[means[0]], [means[1]]]),
        &arr1(&deviations),
        s,
    );
    let prior = |x: f64| -> f64 {
        (0..2)
            .map(|k| weights[k] * normal(x, means[k], deviations[k]))
            .sum()
    };
    let tape = Tape::new();
    let best = |noisy: f64| p.denoised(tape.constant(arr1(&[noisy]))).item();
    let mut worst = Worst::default();
    for noisy in [-4.0, -1.0, 0.2, 3.0] {
        let moment = |power: i32| {
            trapezium(-12.0, 12.0, 2401, |x| {
                x.powi(power) * prior(x) * normal(noisy, x, s)
            })
        };
        worst.relative(best(noisy), moment(1) / moment(0));
        let density = p.log_density(tape.constant(arr1(&[noisy]))).item().exp();
        worst.relative(density, moment(0));
    }
    worst.within(1e-11, "E[x|x̃] and p_s by quadrature over x");
    // E (x - r*)² over x̃ and x.
    let error = trapezium(-12.0, 12.0, 481, |noisy| {
        let r = best(noisy);
        trapezium(-9.0, 9.0, 361, |x| {
            (x - r).powi(2) * prior(x) * normal(noisy, x, s)
        })
    });
    let mut least = Worst::default();
    least.relative(p.least_error(), error);
    least.within(1e-11, "s² - s⁴J, and the error by quadrature over x and x̃");
    // Any other function is worse: r* moved a little, or scaled.
    for change in [0.1, -0.1] {
        let other = trapezium(-12.0, 12.0, 481, |noisy| {
            let r = best(noisy) + change * noisy.sin();
            trapezium(-9.0, 9.0, 361, |x| {
                (x - r).powi(2) * prior(x) * normal(noisy, x, s)
            })
        });
        assert!(other > error + 1e-4);
    }
}

/// n draws x of the mixture with components at ±1, and x̃.
fn draws(rng: &mut StdRng, n: usize, s: f64) -> (Array2<f64>, Array2<f64>) {
    let tape = Tape::new();
    let mut noise = || -> Array2<f64> {
        let e = standard_normal(&tape, &[n, 1], rng).value().into_owned();
        e.into_dimensionality().unwrap()
    };
    let (inner, outer) = (noise(), noise());
    let sign = Array2::from_shape_fn((n, 1), |_| if rng.random::<bool>() { 1.0 } else { -1.0 });
    let x = sign + inner * 0.3;
    let noisy = &x + &(outer * s);
    (x, noisy)
}

fn two_bumps(s: f64) -> SmoothedMixture {
    SmoothedMixture::new(
        &arr1(&[0.5, 0.5]),
        arr2(&[[-1.0], [1.0]]),
        &arr1(&[0.3, 0.3]),
        s,
    )
}

#[test]
fn the_mean_error_of_draws() {
    let mut rng = rng(632);
    let s = 0.7;
    let p = two_bumps(s);
    let (x, noisy) = draws(&mut rng, 200_000, s);
    let tape = Tape::new();
    let best = p.denoised(tape.constant(noisy)).value().into_owned();
    let errors: Vec<f64> = (x.iter().zip(&best))
        .map(|(x, r)| (x - r).powi(2))
        .collect();
    Statistics::of(&errors).agree_with(p.least_error(), "(x - r*)²");
}

#[test]
fn a_trained_network_comes_near() {
    let mut rng = rng(633);
    let s = 0.5;
    let p = two_bumps(s);
    let mut parameters = Parameters::<f64>::new();
    let net = Mlp::new(
        &mut parameters,
        "denoiser",
        &[1, 24, 1],
        Activation::Tanh,
        Initialisation::Glorot,
        &mut rng,
    );
    let mut tape = Tape::new();
    for rate in [0.01, 0.003, 0.0005] {
        let mut adam = Adam::new(rate);
        for _ in 0..1500 {
            let (x, noisy) = draws(&mut rng, 256, s);
            let (_, gradients) = parameters.value_and_gradients(&mut tape, |p| {
                let output = net.forward(p, p.tape().constant(noisy));
                let loss = (output - p.tape().constant(x)).square().mean();
                (loss, ())
            });
            adam.step(&mut parameters, &gradients);
        }
    }
    let tape = Tape::new();
    let bound = parameters.bind_constant(&tape);
    // E (net - r*)² under p_s is what the network loses against the best.
    let excess = trapezium(-4.0, 4.0, 401, |noisy| {
        let at = tape.constant(arr2(&[[noisy]]));
        let difference = net.forward(&bound, at).item() - p.denoised(at).item();
        p.log_density(at).item().exp() * difference * difference
    });
    let least = p.least_error();
    println!("least error {least:.5}, the network's excess {excess:.2e}");
    assert!(excess < 0.02 * least, "{excess}");
}

#[test]
fn limits() {
    let mut rng = rng(634);
    // One Gaussian: the linear denoiser.
    let tau = 1.3;
    for s in [1e-3, 0.5, 50.0] {
        let p = SmoothedMixture::new(&arr1(&[1.0]), arr2(&[[2.0]]), &arr1(&[tau]), s);
        let data = Moments {
            mean: arr1(&[2.0]),
            covariance: arr2(&[[tau * tau]]),
        };
        let corruption = Corruption::Gaussian { deviation: s };
        let linear = LinearDenoiser::fit(&data, corruption, 1, Centring::Mean).unwrap();
        let tape = Tape::new();
        for noisy in [-3.0, 0.0, 7.0] {
            let best = p.denoised(tape.constant(arr1(&[noisy]))).item();
            let by_line = linear.weights[[0, 0]] * noisy + linear.bias[0];
            assert!((best - by_line).abs() < 1e-12 * (1.0 + best.abs()));
        }
        assert!(
            (p.least_error() / linear.error - 1.0).abs() < 1e-6,
            "s = {s}"
        );
    }
    // Data with little noise: the nearest datum, however far away, and no NaN.
    let x = matrix(&mut rng, [5, 2]);
    let p = SmoothedMixture::of_data(x.view(), 1e-3);
    let tape = Tape::new();
    let near = p
        .denoised(tape.constant(&x.view() + 1e-4))
        .value()
        .into_owned();
    assert!(
        (&near - &x.clone().into_dyn())
            .iter()
            .all(|e| e.abs() < 1e-12)
    );
    let far = p
        .denoised(tape.constant(arr2(&[[1e6, -1e6]])))
        .value()
        .into_owned();
    assert!(far.iter().all(|e| e.abs() < 3.0), "{far}");
    // With much noise: the mean of the data.
    let p = SmoothedMixture::of_data(x.view(), 1e6);
    let mean = x.mean_axis(ndarray::Axis(0)).unwrap();
    let middle = p
        .denoised(tape.constant(Array1::zeros(2)))
        .value()
        .into_owned();
    assert!((middle - mean.into_dyn()).iter().all(|e| e.abs() < 1e-9));
}

#[test]
fn little_noise_leaves_little_error() {
    // Two points ±1: E Var(x|x̃) = ∫ φ(y) e^(-1/2s²)/cosh(y/s) dy for y = x̃/s, by a rule of 4001 nodes. The difference s² - s⁴J
    // would round to ±1e-18.
    for s in [0.3, 0.2, 0.15, 0.1, 0.05, 0.04] {
        let (weights, still) = (arr1(&[0.5, 0.5]), arr1(&[0.0; 2]));
        let points = SmoothedMixture::new(&weights, arr2(&[[-1.0], [1.0]]), &still, s);
        let integrand = |y: f64| {
            let log_density = -0.5 * y * y - 0.5 * TAU.ln() - 0.5 / (s * s);
            let u = (y / s).abs();
            // 1/cosh u = 2e^-u/(1 + e^-2u).
            (log_density - u).exp() * 2.0 / (1.0 + (-2.0 * u).exp())
        };
        let exact = trapezium(-12.0, 12.0, 32_001, integrand);
        let found = points.least_error();
        assert!(
            (found / exact - 1.0).abs() < 1e-9,
            "{s}: {found:e}, {exact:e}"
        );
    }
}
