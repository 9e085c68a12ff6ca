//! Zeros, an unknown normaliser, directions that agree, and targets that are refused.

use elbo::autodiff::Var;
use elbo::kl::{
    FitError, FitOptions, Grid, Moments, Shape, Target, UnivariateMixture, reverse_fit, starts,
    tables,
};
use ndarray::arr1;

use crate::common::comparing::Worst;
use crate::kl::shared::full_of;

#[test]
fn without_the_normaliser() {
    // 3.7 more in the log-density: the same q, 3.7 less in the reverse value, 3.7 in log Z.
    let target = UnivariateMixture::pair(0.3, 2.0).unwrap();
    let grid = Grid {
        lower: vec![-9.0],
        upper: vec![11.0],
        points: 401,
    };
    let (start, effort) = (Moments::isotropic(arr1(&[0.5]), 1.5), FitOptions::default());
    let fits = [0.0, 3.7].map(|more| {
        let fit = reverse_fit(
            |z| target.log_density(z) + more,
            Shape::Full,
            &start,
            &effort,
        );
        let on_grid = Target::on_grid(|z| target.log_density(z) + more, &grid).unwrap();
        let forward = on_grid.forward_fit(Shape::Full, &start, &effort).unwrap();
        (fit.unwrap(), on_grid.log_normaliser(), forward.divergence)
    });
    let mut worst = Worst::default();
    let [
        (reverse, log_z, forward),
        (shifted, shifted_log_z, shifted_forward),
    ] = fits;
    worst.number(log_z, 0.0, 1.0);
    worst.number(shifted_log_z, 3.7, 1.0);
    worst.number(shifted.divergence + shifted_log_z, reverse.divergence, 1.0);
    worst.number(shifted.q.mean[0], reverse.q.mean[0], 1.0);
    worst.number(shifted_forward, forward, 1.0);
    worst.within(1e-8, "with and without the normaliser");
}

#[test]
fn avoids_zeros_or_forces_them() {
    // Forward: q > 0 wherever p > 0, or the divergence is infinite. Reverse: q = 0 wherever p = 0.
    let p = arr1(&[0.5, 0.5, 0.0]).into_dyn();
    let narrow = arr1(&[1.0, 0.0, 0.0]).into_dyn();
    let wide = arr1(&[0.4, 0.4, 0.2]).into_dyn();
    assert_eq!(tables(&p, &narrow).unwrap(), f64::INFINITY);
    assert!((tables(&narrow, &p).unwrap() - 2f64.ln()).abs() < 1e-15);
    assert!((tables(&p, &wide).unwrap() - 1.25f64.ln()).abs() < 1e-15);
    assert_eq!(tables(&wide, &p).unwrap(), f64::INFINITY);
}

#[test]
fn directions_that_agree() {
    // KL(N(0, 1) ‖ N(μ, 1)) = μ²/2 in both directions: equal divergences do not mean equal distributions.
    for mu in [0.5, -2.0, 10.0] {
        let [q, p] = [0.0, mu].map(|mean| Moments::isotropic(arr1(&[mean]), 1.0));
        assert_eq!(full_of(&q, &p), full_of(&p, &q));
        assert!((full_of(&q, &p) - 0.5 * mu * mu).abs() < 1e-13 * mu * mu);
    }
    // Nor does it obey the triangle inequality: the way from 0 to 2 over 1 is shorter.
    let at = |mean: f64| Moments::isotropic(arr1(&[mean]), 1.0);
    assert!(
        full_of(&at(0.0), &at(2.0)) > full_of(&at(0.0), &at(1.0)) + full_of(&at(1.0), &at(2.0))
    );
}

#[test]
fn bad_targets_are_refused() {
    let grid = |points| Grid {
        lower: vec![-5.0],
        upper: vec![5.0],
        points,
    };
    let flat = Target::on_grid(|z| z.sum_last() * 0.0, &grid(11)).unwrap_err();
    assert_eq!(flat, FitError::CutOff(1.0));
    let nowhere = Target::on_grid(|z| z.sum_last() * 0.0 + f64::NEG_INFINITY, &grid(11));
    assert_eq!(nowhere.unwrap_err(), FitError::NoMass);
    let root = Target::on_grid(|z| z.sqrt().sum_last(), &grid(11)).unwrap_err();
    assert_eq!(root, FitError::Density(vec![-5.0]));
    // Targets narrower than the spacing: all mass on one node, or on so few that mass and moments are wrong.
    for deviation in [2e-5, 0.05, 0.1, 0.2, 0.4] {
        let target = UnivariateMixture::new(&[1.0], &[0.3], &[deviation]).unwrap();
        let refused = Target::on_grid(|z| target.log_density(z), &grid(11)).unwrap_err();
        assert!(matches!(refused, FitError::Coarse(error) if error > 0.01));
        assert!(refused.to_string().contains("take more points"));
    }
    let fits = Target::on_grid(|z| z.square().sum_last() * -2.0, &grid(41)).unwrap();
    let projection = fits.forward_projection(Shape::Full).unwrap();
    assert!((projection.q.covariance[[0, 0]] - 0.25).abs() < 1e-9);
    assert!(projection.quadrature_error > 0.0 && projection.quadrature_error < 0.01);
    // No minimum: the density grows without end.
    let start = Moments::isotropic(arr1(&[0.0]), 1.0);
    let runs_off = reverse_fit(
        |z| z.sum_last(),
        Shape::Full,
        &start,
        &FitOptions::default(),
    );
    assert!(
        matches!(runs_off, Err(FitError::NotConverged { .. })),
        "{runs_off:?}"
    );
    let singular = Moments::isotropic(arr1(&[0.0]), 0.0);
    let refused = reverse_fit(
        |z| -z.square().sum_last(),
        Shape::Full,
        &singular,
        &FitOptions::default(),
    );
    assert!(matches!(refused, Err(FitError::Start(_))));
    // A component of weight 0 does not count.
    let with = UnivariateMixture::new(&[1.0, 0.0], &[0.0, 3.0], &[1.0, 1.0]).unwrap();
    let fit = reverse_fit(
        |z| with.log_density(z),
        Shape::Full,
        &Moments::isotropic(arr1(&[2.0]), 0.5),
        &FitOptions::default(),
    );
    let fit = fit.unwrap();
    assert!(
        fit.q.mean[0].abs() < 1e-8 && fit.divergence.abs() < 1e-12,
        "{fit:?}"
    );
    for bad in [
        UnivariateMixture::new(&[], &[], &[]),
        UnivariateMixture::new(&[0.5, 0.6], &[0.0, 1.0], &[1.0, 1.0]),
        UnivariateMixture::new(&[1.5, -0.5], &[0.0, 1.0], &[1.0, 1.0]),
        UnivariateMixture::new(&[1.0], &[f64::NAN], &[1.0]),
        UnivariateMixture::new(&[1.0], &[0.0], &[0.0]),
    ] {
        assert!(bad.unwrap_err().to_string().contains("expected"));
    }
}

#[test]
fn a_grid_without_an_inside_is_refused() {
    fn gaussian<'t>(z: Var<'t, f64>) -> Var<'t, f64> {
        z.square().sum_last() * -0.5
    }
    let sound = Grid {
        lower: vec![0.0, 0.0],
        upper: vec![1.0, 2.0],
        points: 5,
    };
    assert_eq!(starts(&sound, 2).len(), 8);
    let grid = |lower: &[f64], upper: &[f64], points| Grid {
        lower: lower.to_vec(),
        upper: upper.to_vec(),
        points,
    };
    for unsound in [
        grid(&[], &[], 5),
        grid(&[0.0], &[1.0, 2.0], 5),
        grid(&[0.0, 0.0], &[1.0], 5),
        grid(&[0.0, 0.0], &[1.0, 0.0], 5),
        grid(&[0.0], &[1.0], 1),
    ] {
        let result = std::panic::catch_unwind(|| Target::on_grid(gaussian, &unsound).is_ok());
        assert!(result.is_err(), "{unsound:?}");
    }
}
