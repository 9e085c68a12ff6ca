//! Equality, learnt noise, curvatures at the ends of f64, and which units count as active.

use elbo::autodiff::Tape;
use elbo::distributions::GaussianParameters;
use elbo::vae::{
    Activity, ActivityError, Ppca, collapse_curvatures, symmetric_eigen, unit_divergences,
};
use ndarray::{Array1, Array2, Axis, arr1, arr2};
use rand::Rng;

use super::collapsed;
use crate::common::comparing::Worst;
use crate::common::random::{matrix, rng};
use crate::vae::shared::linear_models::{Spectral, decoder, mean_evidence, moments_of, variables};

#[test]
fn is_a_strict_maximum_at_equality_as_well() {
    // Along v₁ the evidence is -½ (log c + λ/c) with c = λ + t²: -¼ (t²/λ)² to the fourth order.
    let mut rng = rng(96);
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
fn with_learnt_noise_is_a_saddle() {
    // At W = 0 the best σ² is the mean eigenvalue, which is below the largest unless all are equal.
    let mut rng = rng(94);
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
fn curvatures_at_the_ends_of_the_range() {
    let at = |lambda: f64, noise: f64| {
        let spectrum = symmetric_eigen(&arr2(&[[lambda]])).unwrap();
        collapse_curvatures(&spectrum, noise)[0]
    };
    for (lambda, noise, exact) in [(0.0, 1e-170, -1e170), (1e165, 1e160, 99999e-160)] {
        assert!((at(lambda, noise) / exact - 1.0).abs() < 1e-14);
    }
    assert_eq!(at(1e-170, 1e-170), 0.0);
}

#[test]
fn counts_units_by_their_means() {
    let mut rng = rng(95);
    let mut worst = Worst::default();
    let means = matrix(&mut rng, [50, 3]) * &arr1(&[1.0, 0.05, 0.0]) + &arr1(&[7.0, 0.0, 3.0]);
    let activity = Activity::of(means.view()).unwrap();
    let (_, covariance) = moments_of(&means);
    for u in 0..3 {
        worst.number(activity.variances[u], covariance[[u, u]], 1.0);
    }
    worst.within(1e-14, "Var_x E[u|x]");
    assert_eq!(activity.active(), 1);
    // The last unit is far from the prior and carries no information: a divergence above 0 is no activity.
    let codes = GaussianParameters {
        mean: means,
        log_variance: Array2::zeros((50, 3)),
    };
    assert!((unit_divergences(&codes).unwrap()[2] - 4.5).abs() < 1e-12);
    assert!(!activity.is_active(2));
    assert_eq!(
        Activity::of(Array2::zeros((0, 3)).view()),
        Err(ActivityError::Empty)
    );
    // The threshold is 10⁻².
    let spread = |variance: f64| variance.sqrt() * arr1(&[1.0, -1.0]);
    let near = ndarray::stack![Axis(1), spread(0.0105), spread(0.0095)];
    assert_eq!(Activity::of(near.view()).unwrap().active(), 1);
    assert!(Activity::of(near.view()).unwrap().is_active(0));
    // Means at the end of the range: equal, and as far apart as can be.
    let huge = Activity::of(arr2(&[[1e308, 1e308], [1e308, -1e308]]).view()).unwrap();
    assert_eq!(huge.variances, arr1(&[0.0, f64::INFINITY]));
    let message = Activity::of(arr2(&[[0.0, f64::INFINITY]]).view()).unwrap_err();
    assert!(
        message.to_string().contains("inf for unit 1 of datum 0"),
        "{message}"
    );
}
