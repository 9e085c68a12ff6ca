//! Impossible components, collapsing ones, starts, and data without a maximum.

use elbo::variational::{Covariances, GaussianMixture, GaussianMixtureError, Stopping, em};
use ndarray::{Array2, Array3, Axis, arr1, arr2};

use super::{draws, mixture, sampled};
use crate::common::random::rng;
use crate::common::reporting::report;

#[test]
fn keeps_an_impossible_component_out() {
    let mut rng = rng(156);
    let kind = Covariances::Full;
    let data = sampled(&mut rng, 2, 2, kind, 50);
    let two = mixture(&mut rng, 2, 2, kind);
    let (weights, means) = (
        arr1(&[two.weights[0], 0.0, two.weights[1]]),
        two.means.select(Axis(0), &[0, 0, 1]),
    );
    let mut covariances = two.covariances.select(Axis(0), &[0, 0, 1]);
    // It has no density, and needs none.
    covariances.index_axis_mut(Axis(0), 1).fill(0.0);
    let three = GaussianMixture {
        weights,
        means,
        covariances,
    };
    let stopping = Stopping {
        steps: 30,
        tolerance: 0.0,
    };
    let with = em(data.view(), three, kind, stopping).unwrap();
    let without = em(data.view(), two, kind, stopping).unwrap();
    assert_eq!(with.log_likelihoods, without.log_likelihoods);
    assert_eq!(with.mixture.weights[1], 0.0);
    let entries = with.mixture.weights.iter().chain(&with.mixture.means);
    assert!(
        entries
            .chain(&with.mixture.covariances)
            .all(|x| x.is_finite())
    );
    let q = with.mixture.responsibilities(data.view()).unwrap();
    assert!(q.column(1).iter().all(|q| *q == 0.0));
}

#[test]
fn with_diagonal_covariances_from_a_start_with_full_ones() {
    let mut rng = rng(158);
    let narrow = GaussianMixture {
        weights: arr1(&[0.5, 0.5]),
        means: arr2(&[[-3.0, 0.0], [3.0, 0.0]]),
        covariances: Array3::from_shape_fn((2, 2, 2), |(_, i, j)| if i == j { 1.0 } else { 0.99 }),
    };
    let data = draws(&mut rng, &narrow, 200);
    let full = em(data.view(), narrow, Covariances::Full, Stopping::default()).unwrap();
    assert!(full.converged);
    let start = full.mixture;
    let from = |start: &GaussianMixture| {
        let kind = Covariances::Diagonal;
        em(data.view(), start.clone(), kind, Stopping::default()).unwrap()
    };
    let fit = from(&start);
    report(format!(
        "{:.2?}",
        [fit.log_likelihoods[0], *fit.log_likelihoods.last().unwrap()]
    ));
    let rises = fit.log_likelihoods.windows(2).all(|l| l[1] >= l[0] - 1e-9);
    assert!(rises && fit.converged, "{:?}", fit.log_likelihoods);
    // The start counts by its variances alone, and the end is one: another step changes nothing.
    let mut diagonal = start.clone();
    for ((_, i, j), entry) in diagonal.covariances.indexed_iter_mut() {
        *entry *= f64::from(u8::from(i == j));
    }
    assert_eq!(from(&diagonal), fit);
    let again = from(&fit.mixture);
    let gained = again.log_likelihoods.last().unwrap() - fit.log_likelihoods.last().unwrap();
    assert!(gained.abs() < 1e-8, "{gained:e}");
}

#[test]
fn starts_at_different_data() {
    // Few values, many times each: two components with the same start would stay equal.
    let data = Array2::from_shape_fn((30, 1), |(i, _)| (i % 4) as f64);
    for seed in 0..50 {
        let mut rng = rng(seed);
        let start = GaussianMixture::start(data.view(), 4, Covariances::Full, &mut rng).unwrap();
        let mut means: Vec<f64> = start.means.iter().copied().collect();
        means.sort_by(f64::total_cmp);
        assert_eq!(means, [0.0, 1.0, 2.0, 3.0]);
        for components in [0, 5] {
            let refused =
                GaussianMixture::start(data.view(), components, Covariances::Full, &mut rng);
            assert!(matches!(
                refused.unwrap_err(),
                GaussianMixtureError::Components { components: found, .. } if found == components
            ));
        }
    }
}

#[test]
fn refuses_what_has_no_maximum() {
    let normal = |weights: &[f64], means: &[f64], variances: &[f64]| GaussianMixture {
        weights: arr1(weights),
        means: Array2::from_shape_vec((means.len(), 1), means.to_vec()).unwrap(),
        covariances: Array3::from_shape_vec((means.len(), 1, 1), variances.to_vec()).unwrap(),
    };
    let fit = |data: &[f64], start: GaussianMixture| {
        let data = Array2::from_shape_vec((data.len(), 1), data.to_vec()).unwrap();
        em(data.view(), start, Covariances::Full, Stopping::default())
    };
    let data = [-1.0, 0.0, 0.5, 1.0, 30.0];
    // One component on one point.
    let collapsed = fit(&data, normal(&[0.5, 0.5], &[0.0, 30.0], &[1.0, 0.01])).unwrap_err();
    assert!(
        matches!(
            collapsed,
            GaussianMixtureError::Collapsed { component: 1, .. }
        ),
        "{collapsed}"
    );
    // On several equal ones, far from 0, where the mean rounds and leaves a variance of rounding.
    for x in [30.1, 29.7, 33.3, 57.9, 1000.0 / 3.0] {
        for copies in 2..9 {
            let heap = [vec![-1.0, 0.1, 0.5, 1.0], vec![x; copies]].concat();
            let error = fit(&heap, normal(&[0.5, 0.5], &[0.0, x], &[1.0, 1.0])).unwrap_err();
            let expected = matches!(error, GaussianMixtureError::Collapsed { component: 1, .. });
            assert!(expected, "{error}");
        }
    }
    assert!(matches!(
        fit(&[2.0], normal(&[1.0], &[0.0], &[1.0])).unwrap_err(),
        GaussianMixtureError::Collapsed {
            component: 0,
            step: 1,
            ..
        }
    ));
    // Data on a line have no density in the plane, but diagonal covariances do.
    let line = Array2::from_shape_fn((9, 2), |(i, j)| (i as f64) * (1.0 + j as f64));
    let mut rng = rng(157);
    let start = GaussianMixture::start(line.view(), 1, Covariances::Diagonal, &mut rng).unwrap();
    let flat = em(
        line.view(),
        start.clone(),
        Covariances::Full,
        Stopping::default(),
    )
    .unwrap_err();
    assert!(
        matches!(flat, GaussianMixtureError::Collapsed { dimension: 1, .. }),
        "{flat}"
    );
    assert!(
        em(
            line.view(),
            start,
            Covariances::Diagonal,
            Stopping::default()
        )
        .is_ok()
    );
    assert_eq!(
        fit(&[], normal(&[1.0], &[0.0], &[1.0])).unwrap_err(),
        GaussianMixtureError::NoData
    );
    let one = || normal(&[1.0], &[0.0], &[1.0]);
    assert!(matches!(
        fit(&[0.0, f64::NAN], one()).unwrap_err(),
        GaussianMixtureError::NotANumber { what: "data", ref index, .. } if *index == [1, 0]
    ));
    assert!(matches!(
        fit(&data, normal(&[0.5, 0.6], &[0.0, 1.0], &[1.0, 1.0])).unwrap_err(),
        GaussianMixtureError::Weights { .. }
    ));
    assert!(matches!(
        fit(&data, normal(&[-0.5, 1.5], &[0.0, 1.0], &[1.0, 1.0])).unwrap_err(),
        GaussianMixtureError::NotANumber {
            what: "weights",
            ..
        }
    ));
    assert!(matches!(
        fit(&data, normal(&[1.0], &[0.0], &[-1.0])).unwrap_err(),
        GaussianMixtureError::Component { component: 0, .. }
    ));
    for error in [
        collapsed,
        flat,
        GaussianMixtureError::NoData,
        GaussianMixtureError::Weights { total: 1.1 },
    ] {
        let message = error.to_string();
        assert!(
            message.contains("expected") && message.contains("found"),
            "{message}"
        );
    }
}
