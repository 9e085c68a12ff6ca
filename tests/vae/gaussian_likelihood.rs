//! docs/vae.md#gaussian-likelihood: with the best σ² = MSE the log-likelihood is -D/2 (log 2π + 1 + log MSE).

use std::f64::consts::TAU;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::DiagonalGaussian;
use elbo::vae::{ProfileError, profile_log_likelihood, profile_noise};
use ndarray::{Array2, ArrayD, arr0, arr2};
use rand::Rng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, Worst};
use crate::common::random::{matrix, random, rng};
use crate::common::reporting::report;
use crate::common::statistics::Statistics;
use crate::vae::shared::linear_models::{flat, two_axes, variables};

#[test]
fn profile_identity() {
    let mut rng = rng(120);
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
    value.within(1e-13, "profiled log-likelihood in four ways");
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
fn against_finite_differences() {
    let mut rng = rng(121);
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
    checked.print("first and second order");
}

#[test]
fn is_a_density_of_what_it_draws() {
    let mut rng = rng(122);
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
fn is_unbounded_without_error() {
    let mut rng = rng(123);
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
    report(format!(
        "log-likelihood per datum at errors of 1, 0.1, …: {values:.2?}"
    ));
    assert_eq!(of(0.0, 0.0), Err(ProfileError::Unbounded));
    // With a floor it is bounded, and above the floor it is not felt.
    let floored = of(0.0, 1e-4).unwrap();
    assert_eq!(floored.variance, 1e-4);
    assert!((floored.log_likelihood + 2.0 * (TAU * 1e-4).ln()).abs() < 1e-12);
    assert_eq!(of(1.0, 1e-4), of(1.0, 0.0));
    assert_eq!(of(1.0, -1.0), Err(ProfileError::Floor(-1.0)));
    assert!(matches!(
        of(f64::NAN, 0.0),
        Err(ProfileError::NotFinite { index: [0, 0], .. })
    ));
    let huge = arr2(&[[1e200]]);
    let none = profile_noise(huge.view(), arr2(&[[0.0]]).view(), 0.0);
    assert_eq!(none, Err(ProfileError::TooLarge));
    let empty = Array2::<f64>::zeros((0, 4));
    assert_eq!(
        profile_noise(empty.view(), empty.view(), 1.0),
        Err(ProfileError::Empty)
    );
    let message = ProfileError::Unbounded.to_string();
    assert!(message.contains("give σ² a floor"), "{message}");
    let tape = Tape::new();
    let same = tape.constant(x);
    assert_eq!(profile_log_likelihood(same, same).item(), f64::INFINITY);
}

#[test]
fn a_likelihood_of_no_data_is_refused() {
    for shape in [&[][..], &[0], &[3, 0], &[0, 3]] {
        let result = std::panic::catch_unwind(|| {
            let tape = Tape::<f64>::new();
            let x = tape.constant(ArrayD::zeros(shape));
            profile_log_likelihood(x, x).item()
        });
        assert!(result.is_err(), "{shape:?}");
    }
}
