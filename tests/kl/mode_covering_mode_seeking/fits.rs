//! Targets that are hard to fit: in the plane, far apart, narrow, correlated, with a saddle.

use crate::common::reporting::report;
use elbo::autodiff::Var;
use elbo::kl::{
    FitError, FitOptions, Grid, Moments, Shape, Target, UnivariateMixture, reverse_fit,
    reverse_minima,
};
use ndarray::{arr1, arr2};

use crate::kl::shared::{gaussian_target, largest};

#[test]
fn in_the_plane() {
    // Two components at ±(2, 2): the forward fit has their moments, with correlation; a reverse fit ends on one
    // component, and the start decides on which.
    fn log_p<'t>(z: Var<'t, f64>) -> Var<'t, f64> {
        let tape = z.tape();
        let [one, other] = [2.0, -2.0].map(|m| (z - m).square().sum_last() * -0.5);
        tape.stack(0, &[one, other]).logsumexp_axes(&[0]) - (2.0 * std::f64::consts::TAU).ln()
    }
    let grid = Grid {
        lower: vec![-10.0; 2],
        upper: vec![10.0; 2],
        points: 81,
    };
    let target = Target::on_grid(log_p, &grid).unwrap();
    assert!(target.log_normaliser().abs() < 1e-10);
    let start = Moments::isotropic(arr1(&[0.5, 0.1]), 1.5);
    let effort = FitOptions {
        nodes: Some(41),
        ..FitOptions::default()
    };
    let forward = target.forward_fit(Shape::Full, &start, &effort).unwrap();
    let expected = arr2(&[[5.0, 4.0], [4.0, 5.0]]);
    assert!(
        largest(&(&forward.q.covariance - &expected)) < 1e-7,
        "{:?}",
        forward.q
    );
    let far = [arr1(&[1.5, 2.5]), arr1(&[-2.5, -1.0])].map(|mean| Moments::isotropic(mean, 0.8));
    for shape in [Shape::Full, Shape::Diagonal] {
        let found = reverse_minima(log_p, shape, &far, &effort);
        assert_eq!(
            (found.fits.len(), found.saddles, found.failures.len()),
            (2, 0, 0)
        );
        for fit in &found.fits {
            assert!((fit.divergence - 2f64.ln()).abs() < 0.02, "{fit:?}");
            assert!((fit.q.mean[0].abs() - 2.0).abs() < 0.05);
        }
    }
}

#[test]
fn tells_a_saddle_from_a_minimum() {
    // Two long components that cross at right angles: by symmetry a round q is stationary, and lying along one of them is
    // better.
    fn log_p<'t>(z: Var<'t, f64>) -> Var<'t, f64> {
        let tape = z.tape();
        let arms = [0.95, -0.95].map(|rho| {
            let arm = Moments {
                mean: arr1(&[0.0, 0.0]),
                covariance: arr2(&[[1.0, rho], [rho, 1.0]]),
            };
            gaussian_target(&arm, z)
        });
        tape.stack(0, &arms).logsumexp_axes(&[0]) - 2f64.ln()
    }
    let effort = FitOptions {
        nodes: Some(101),
        ..FitOptions::default()
    };
    let round = Moments::isotropic(arr1(&[0.0, 0.0]), 0.5);
    let tilted = |covariance: f64| Moments {
        covariance: arr2(&[[0.5, covariance], [covariance, 0.5]]),
        ..round.clone()
    };
    let starts = [round.clone(), tilted(0.3), tilted(0.4), tilted(-0.3)];
    let saddle = reverse_fit(log_p, Shape::Full, &round, &effort).unwrap();
    let found = reverse_minima(log_p, Shape::Full, &starts, &effort);
    report(format!(
        "round: {:.4}, along an arm: {:.4}",
        saddle.divergence, found.fits[0].divergence
    ));
    let digits = |x: f64| (x * 1e3).round() / 1e3;
    let divergences = [saddle.divergence, found.fits[0].divergence].map(digits);
    assert!(
        !saddle.minimum && divergences == [0.681, 0.475],
        "{divergences:?}"
    );
    // Both arms, each once.
    let counts = (found.fits.len(), found.saddles, found.failures.len());
    assert_eq!(counts, (2, 1, 0));
}

#[test]
fn far_apart_the_middle_is_still_a_minimum() {
    // Where the components meet, log p turns within 1/d: as log p gets sharper, the rule has to get finer.
    for (separation, nodes) in [(12.0f64, 2001), (20.0, 8001)] {
        let c = 0.5 * separation * std::f64::consts::FRAC_2_PI.sqrt();
        let predicted = 0.5 * (c + (c * c + 4.0).sqrt());
        let target = UnivariateMixture::pair(0.5, separation).unwrap();
        let start = Moments::isotropic(arr1(&[0.5 * separation + 0.1]), 0.95 * predicted);
        let effort = FitOptions {
            nodes: Some(nodes),
            ..FitOptions::default()
        };
        let fit = reverse_fit(|z| target.log_density(z), Shape::Full, &start, &effort);
        let fit = fit.unwrap();
        let deviation = fit.q.covariance[[0, 0]].sqrt();
        report(format!(
            "{separation} apart: deviation {deviation:.4}, predicted {predicted:.4}"
        ));
        assert!(fit.minimum && (fit.q.mean[0] - 0.5 * separation).abs() < 1e-6);
        assert!((deviation - predicted).abs() < 0.001 * predicted);
        assert!(fit.quadrature_error < 1e-8);
    }
}

#[test]
fn takes_more_nodes_where_it_needs_them() {
    // In the plane, 12 apart along one axis: the nodes to begin with are too few for the wide q in the middle.
    fn log_p<'t>(z: Var<'t, f64>) -> Var<'t, f64> {
        let (tape, x, y) = (z.tape(), z.slice(1, 0..1), z.slice(1, 1..2));
        let both = [0.0, 12.0].map(|m| (x - m).square().sum_last() * -0.5);
        let mixture = tape.stack(0, &both).logsumexp_axes(&[0]) - 2f64.ln();
        mixture - y.square().sum_last() * 0.5 - std::f64::consts::TAU.ln()
    }
    let start = |variance: f64| Moments {
        mean: arr1(&[6.0, 0.0]),
        covariance: arr2(&[[variance, 0.0], [0.0, 1.0]]),
    };
    let effort = FitOptions::default();
    // While the nodes are few, the middle is no minimum in their rule, and rounding decides whether a fit leaves it before there
    // are more: one of several starts stays.
    let fit = (14..30)
        .map(|variance| reverse_fit(log_p, Shape::Full, &start(f64::from(variance)), &effort))
        .map(Result::unwrap)
        .find(|fit| (fit.q.mean[0] - 6.0).abs() < 1.0)
        .expect("a fit in the middle");
    let c = 6.0 * std::f64::consts::FRAC_2_PI.sqrt();
    let predicted = (0.5 * (c + (c * c + 4.0).sqrt())).powi(2);
    report(format!(
        "12 apart: mean {:.4}, variance {:.4}, predicted {predicted:.4}",
        fit.q.mean[0],
        fit.q.covariance[[0, 0]]
    ));
    assert!(fit.minimum && fit.quadrature_error < effort.quadrature);
    assert!((fit.q.mean[0] - 6.0).abs() < 1e-6);
    assert!((fit.q.covariance[[0, 0]] / predicted - 1.0).abs() < 0.01);
    // A number of nodes that was asked for is not increased.
    let few = FitOptions {
        nodes: Some(5),
        ..effort
    };
    let refused = reverse_fit(log_p, Shape::Full, &start(16.0), &few).unwrap_err();
    assert!(matches!(refused, FitError::Quadrature(error) if error > 0.1));
    assert!(refused.to_string().contains("take more nodes"));
}

#[test]
fn narrow_and_correlated_targets_are_reached() {
    // From the standard Gaussian, of which the target is a small part.
    let start = Moments::isotropic(arr1(&[0.0, 0.0]), 1.0);
    for (rho, scale) in [
        (0.0, 1e-6),
        (0.9999, 1e-3),
        (-0.999999, 1.0),
        (-0.999999, 1e-3),
        (-0.999999, 1e3),
    ] {
        let target = Moments {
            mean: arr1(&[1.0, -0.5]),
            covariance: arr2(&[[1.0, rho * scale], [rho * scale, scale * scale]]),
        };
        let effort = FitOptions {
            nodes: Some(21),
            ..FitOptions::default()
        };
        let fit = reverse_fit(
            |z| gaussian_target(&target, z),
            Shape::Full,
            &start,
            &effort,
        );
        let fit = fit.unwrap_or_else(|error| panic!("ρ = {rho}, scale {scale}: {error}"));
        report(format!(
            "ρ = {rho}, scale {scale}: {} steps",
            fit.iterations
        ));
        let scales = [1.0, scale];
        for i in 0..2 {
            assert!((fit.q.mean[i] - target.mean[i]).abs() < 1e-6 * scales[i]);
            for j in 0..2 {
                let off = fit.q.covariance[[i, j]] - target.covariance[[i, j]];
                assert!(off.abs() < 1e-6 * scales[i] * scales[j], "{:?}", fit.q);
            }
        }
    }
    // One dimension, a millionth as wide as the start.
    fn narrow<'t>(z: Var<'t, f64>) -> Var<'t, f64> {
        ((z - 1.0) * 1e6).square().sum_last() * -0.5
    }
    let start = Moments::isotropic(arr1(&[0.0]), 1.0);
    let fit = reverse_fit(narrow, Shape::Full, &start, &FitOptions::default());
    // The divergence at the start is 10¹²: a quadrature error that is negligible there would not be at the end.
    let fit = fit.unwrap();
    assert!((fit.q.covariance[[0, 0]] * 1e12 - 1.0).abs() < 1e-6);
}

#[test]
fn minima_that_differ_in_their_widths_alone_are_counted_in_every_unit() {
    // A narrow and a broad component about the same mean: two minima, whatever unit z is measured in.
    for unit in [1.0, 1e-4, 1e4] {
        let deviations = [0.05 * unit, unit];
        let target = UnivariateMixture::new(&[0.5, 0.5], &[0.0, 0.0], &deviations).unwrap();
        let starts = deviations.map(|deviation| Moments::isotropic(arr1(&[0.0]), deviation));
        let effort = FitOptions::default();
        let found = reverse_minima(|z| target.log_density(z), Shape::Full, &starts, &effort);
        let widths: Vec<f64> = (found.fits.iter())
            .map(|fit| fit.q.covariance[[0, 0]].sqrt() / unit)
            .collect();
        assert_eq!(widths.len(), 2, "unit {unit}: {widths:?}");
    }
}
