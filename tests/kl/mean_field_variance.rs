//! docs/kl.md#mean-field-variance: among Gaussians with independent dimensions the reverse divergence is least at the
//! variances 1/Λ_jj, the forward one at Σ_jj.

use elbo::autodiff::Tape;
use elbo::kl::{
    FitOptions, Grid, Moments, Shape, Target, UnivariateMixture, mean_field, reverse_fit,
};
use ndarray::{Array1, Array2, arr1, arr2};
use rand::Rng;

use crate::common::comparing::Worst;
use crate::common::linear_algebra::inverse;
use crate::common::random::rng;
use crate::common::reporting::report;
use crate::kl::shared::{full_of, gaussian_target, random_moments};

fn diagonal(mean: &Array1<f64>, variances: &Array1<f64>) -> Moments {
    Moments {
        mean: mean.clone(),
        covariance: Array2::from_diag(variances),
    }
}

#[test]
fn in_closed_form() {
    let mut rng = rng(101);
    let mut worst = Worst::default();
    for k in [1, 2, 3, 6] {
        let p = random_moments(&mut rng, k);
        let fits = mean_field(&p.covariance).unwrap();
        let precision = inverse(&p.covariance);
        for j in 0..k {
            worst.number(fits.reverse[j], 1.0 / precision[[j, j]], fits.reverse[j]);
            worst.number(fits.forward[j], p.covariance[[j, j]], fits.forward[j]);
            assert!(fits.reverse[j] <= fits.forward[j] * (1.0 + 1e-14));
        }
        let (reverse, forward) = (
            diagonal(&p.mean, &fits.reverse),
            diagonal(&p.mean, &fits.forward),
        );
        worst.number(fits.reverse_divergence, full_of(&reverse, &p), 1.0);
        // What the fits lose is entropy that is missing, or too much.
        let entropy = |m: &Moments| m.on(&Tape::new()).unwrap().entropy().item();
        worst.number(
            entropy(&reverse),
            entropy(&p) - fits.reverse_divergence,
            1.0,
        );
        worst.number(
            entropy(&forward),
            entropy(&p) + fits.forward_divergence,
            1.0,
        );
        // In two dimensions both lose the same.
        let apart = (fits.reverse_divergence - fits.forward_divergence).abs();
        assert_eq!(apart < 1e-14, k <= 2, "{k} dimensions: {apart}");
        worst.number(fits.forward_divergence, full_of(&p, &forward), 1.0);
        // No other diagonal Gaussian is nearer, in either direction.
        for _ in 0..50 {
            let other = |best: &Moments| {
                let factors = Array1::from_shape_simple_fn(k, || rng.random_range(0.7..1.4));
                Moments {
                    covariance: &best.covariance * &factors,
                    ..best.clone()
                }
            };
            let others = [&reverse, &forward].map(other);
            assert!(full_of(&others[0], &p) >= fits.reverse_divergence);
            assert!(full_of(&p, &others[1]) >= fits.forward_divergence);
        }
    }
    worst.within(1e-12, "closed forms = kl-gaussian-full");
    // Equal exactly if the dimensions are independent.
    let fits = mean_field(&Array2::from_diag(&arr1(&[0.5, 3.0]))).unwrap();
    let difference = &fits.reverse - &fits.forward;
    assert!(difference.iter().all(|d| d.abs() < 1e-15), "{difference}");
    assert!(fits.reverse_divergence.abs() + fits.forward_divergence.abs() < 1e-15);
    assert!(mean_field(&arr2(&[[1.0, 1.0], [1.0, 1.0]])).is_err());
}

#[test]
fn by_fits() {
    // The general fits know nothing of Gaussians' algebra: they see a log-density.
    let mut rng = rng(102);
    let mut worst = Worst::default();
    for rho in [0.0, 0.5, -0.9] {
        let p = Moments {
            mean: Array1::from_shape_simple_fn(2, || rng.random_range(-0.5..0.5)),
            covariance: arr2(&[[1.0, 0.6 * rho], [0.6 * rho, 0.36]]),
        };
        let fits = mean_field(&p.covariance).unwrap();
        let start = Moments::isotropic(arr1(&[0.4, -0.4]), 0.8);
        let effort = FitOptions {
            nodes: Some(21),
            ..FitOptions::default()
        };
        let reverse =
            reverse_fit(|z| gaussian_target(&p, z), Shape::Diagonal, &start, &effort).unwrap();
        let grid = Grid {
            lower: vec![-9.0, -6.0],
            upper: vec![9.0, 6.0],
            points: 101,
        };
        let target = Target::on_grid(|z| gaussian_target(&p, z), &grid).unwrap();
        let forward = target
            .forward_fit(Shape::Diagonal, &start, &effort)
            .unwrap();
        for j in 0..2 {
            worst.number(reverse.q.covariance[[j, j]], fits.reverse[j], 1.0);
            worst.number(forward.q.covariance[[j, j]], fits.forward[j], 1.0);
            worst.number(reverse.q.mean[j], p.mean[j], 1.0);
            worst.number(forward.q.mean[j], p.mean[j], 1.0);
        }
        worst.number(reverse.divergence, fits.reverse_divergence, 1.0);
        worst.number(forward.divergence, fits.forward_divergence, 1.0);
        report(format!(
            "ρ = {rho}: {} and {} steps",
            reverse.iterations, forward.iterations
        ));
        // With a full covariance both fits are the target.
        let full = reverse_fit(|z| gaussian_target(&p, z), Shape::Full, &start, &effort).unwrap();
        worst.entries(
            &full.q.covariance.into_dyn(),
            &p.covariance.clone().into_dyn(),
        );
        worst.number(full.divergence, 0.0, 1.0);
    }
    worst.within(1e-8, "fits by descent = closed forms");
}

#[test]
fn too_narrow_is_not_a_law() {
    // A narrow and a broad component with one mean: of the two reverse fits the one on the broad component is wider than
    // the target.
    let target = UnivariateMixture::new(&[0.5, 0.5], &[0.0, 0.0], &[0.05, 1.0]).unwrap();
    let effort = FitOptions::default();
    let start = Moments::isotropic(arr1(&[0.0]), 1.0);
    let fit = reverse_fit(|z| target.log_density(z), Shape::Full, &start, &effort).unwrap();
    let (own, its) = (target.variance(), fit.q.covariance[[0, 0]]);
    // Where the figure ends: both divergences are -½ log(1 - ρ²).
    assert!(-0.5 * (1.0 - 0.99f64 * 0.99).ln() > 1.9);
    report(format!(
        "variance of the target {own:.3}, of a reverse fit {its:.3}"
    ));
    assert!(
        fit.minimum && (its / own - 1.48).abs() < 0.01,
        "{}",
        its / own
    );
}

#[test]
fn divergences_are_never_negative() {
    // Nearly independent dimensions: a difference of determinants would round below 0.
    let mut rng = rng(88);
    for _ in 0..300 {
        let d = rng.random_range(1..5);
        let scales: Vec<f64> = (0..d)
            .map(|_| rng.random_range(-8.0f64..8.0).exp())
            .collect();
        let coupling = 10f64.powf(rng.random_range(-12.0..-4.0));
        let covariance = Array2::from_shape_fn((d, d), |(i, j)| {
            let correlation = if i == j { 1.0 } else { coupling };
            correlation * scales[i] * scales[j]
        });
        let fits = mean_field(&covariance).unwrap();
        // log |1 + N| for a correlation matrix with equal entries, to second order in them.
        let expected = 0.25 * (d * (d - 1)) as f64 * coupling * coupling;
        for divergence in [fits.reverse_divergence, fits.forward_divergence] {
            assert!(divergence >= 0.0);
            assert!(
                (divergence - expected).abs() <= 1e-3 * expected,
                "{divergence:e} {expected:e}"
            );
        }
    }
}
