//! docs/vae.md#ppca-maximum-likelihood: the likeliest linear decoder is given by the eigenvalues and eigenvectors of
//! the data's covariance.

mod limits;

use std::f64::consts::TAU;

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::distributions::noise::standard_normal;
use elbo::vae::{EigenError, Ppca, symmetric_eigen};
use ndarray::{Array1, Array2, Axis, arr0, arr1, arr2};
use rand::Rng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, Worst};
use crate::common::linear_algebra::inverse;
use crate::common::random::{matrix, rng};
use crate::common::reporting::report;
use crate::common::statistics::Statistics;
use crate::vae::shared::linear_models::{
    decoder, elongated, mean_evidence, moments_of, random_decoder, rotation, two_axes, variables,
    with_spectrum,
};

#[test]
fn gradient_by_hand() {
    let mut rng = rng(71);
    let mut worst = Worst::default();
    for [d, k] in [[2, 1], [4, 2], [5, 4], [7, 3]] {
        let point = random_decoder(&mut rng, [d, k]);
        let x = elongated(&mut rng, [3 * d, d]);
        let (mean, covariance) = moments_of(&x);
        let (w, noise) = (two_axes(&point[0]), point[2].sum().exp());
        let inverse = inverse(&(w.dot(&w.t()) + Array2::<f64>::eye(d) * noise));
        let off = &mean
            - &point[1]
                .clone()
                .into_dimensionality::<ndarray::Ix1>()
                .unwrap();
        // Second moments about b, not about the mean.
        let column = off.view().insert_axis(Axis(1));
        let s = covariance + column.dot(&column.t());
        let inner = inverse.dot(&s).dot(&inverse) - &inverse;
        let by_hand = [
            inner.dot(&w).into_dyn(),
            inverse.dot(&off).into_dyn(),
            arr0(0.5 * noise * inner.diag().sum()).into_dyn(),
        ];
        let tape = Tape::new();
        let v = variables(&tape, &point);
        let gradients = tape.gradients(mean_evidence(&v, &x));
        for (var, expected) in v.iter().zip(&by_hand) {
            worst.entries(&owned(gradients.wrt(*var)), expected);
        }
    }
    worst.within(1e-12, "gradient: hand = autodiff");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(72);
    let mut checked = Checked::default();
    for [d, k] in [[2, 1], [4, 2], [5, 3]] {
        let point = random_decoder(&mut rng, [d, k]);
        let x = elongated(&mut rng, [6, d]);
        let check = Check::new("ppca-maximum-likelihood");
        checked.add(check.run(&point, |v| mean_evidence(v, &x)).unwrap());
        checked.add(
            check
                .run_second_order(&point, |v| mean_evidence(v, &x))
                .unwrap(),
        );
    }
    checked.print("first and second order");
}

#[test]
fn is_the_maximum() {
    let mut rng = rng(73);
    let (mut slope, mut value, mut dropped) =
        (Worst::default(), Worst::default(), Worst::default());
    let mut least_loss = f64::INFINITY;
    for [n, d, k] in [
        [10, 2, 1],
        [30, 5, 2],
        [20, 6, 5],
        [8, 4, 0],
        [5, 7, 2],
        [40, 8, 3],
    ] {
        let x = elongated(&mut rng, [n, d]);
        let ppca = Ppca::fit(x.view(), k).unwrap();
        let (mean, covariance) = moments_of(&x);
        assert!((&mean - &ppca.mean).iter().all(|e| e.abs() < 1e-14));
        let inside = &ppca.weights.dot(&ppca.weights.t());
        // What W leaves of the trace is noise in D dimensions.
        let rest = (covariance.diag().sum() - inside.diag().sum()) / d as f64;
        dropped.number(ppca.noise_variance, rest, rest);
        value.number(
            ppca.log_density(x.view()).mean().unwrap(),
            ppca.log_likelihood,
            1.0,
        );
        if k == 0 {
            continue;
        }
        let at = |w: &Array2<f64>, noise: f64| {
            let tape = Tape::new();
            let point = [
                w.clone().into_dyn(),
                mean.clone().into_dyn(),
                arr0(noise.ln()).into_dyn(),
            ];
            mean_evidence(&variables(&tape, &point), &x).item()
        };
        value.number(
            at(&ppca.weights, ppca.noise_variance),
            ppca.log_likelihood,
            1.0,
        );
        // Any rotation of the latents is as good.
        let rotated = ppca.weights.dot(&rotation(&mut rng, k));
        value.number(at(&rotated, ppca.noise_variance), ppca.log_likelihood, 1.0);
        let tape = Tape::new();
        let model = ppca.decoder(&tape);
        let gradients =
            tape.gradients(model.log_evidence(tape.constant(x.clone())).unwrap().mean());
        for var in [model.weights, model.offset, model.log_noise] {
            owned(gradients.wrt(var))
                .iter()
                .for_each(|&g| slope.number(g, 0.0, 1.0));
        }
        for trial in 0..200 {
            let size = 10f64.powf(-3.0 * f64::from(trial % 10) / 9.0);
            let w = &ppca.weights + &(matrix(&mut rng, [d, k]) * size);
            let noise = ppca.noise_variance * (rng.random_range(-1.0..1.0) * size).exp();
            least_loss = least_loss.min(ppca.log_likelihood - at(&w, noise));
        }
    }
    slope.within(1e-12, "gradient at the maximum");
    value.within(1e-12, "log-likelihood in three ways, and rotated");
    dropped.within(1e-13, "σ² = (tr S - tr WWᵀ)/D");
    report(format!(
        "1000 other models: the nearest was {least_loss:.1e} nats below the maximum"
    ));
    assert!(least_loss > 0.0);
}

#[test]
fn finds_known_spectra() {
    let mut rng = rng(70);
    let (mut values, mut product, mut orthogonal) =
        (Worst::default(), Worst::default(), Worst::default());
    for n in [1, 2, 3, 5, 8, 13, 40] {
        for kind in 0..4 {
            let mut lambda = Array1::from_shape_fn(n, |i| match kind {
                0 => rng.random_range(-2.0..2.0),
                1 => 10f64.powi(-(i as i32)), // graded down to 10⁻³⁹
                2 => (i / 3) as f64,          // thrice the same, and zeros
                _ => {
                    if i == 0 {
                        1e8
                    } else {
                        1.0
                    }
                } // one that stands out
            });
            let v = rotation(&mut rng, n);
            let a = with_spectrum(&v, &lambda);
            let eigen = symmetric_eigen(&a).unwrap();
            lambda
                .as_slice_mut()
                .unwrap()
                .sort_by(|a, b| b.total_cmp(a));
            values.entries(&eigen.values.clone().into_dyn(), &lambda.clone().into_dyn());
            let back = with_spectrum(&eigen.vectors, &eigen.values);
            product.entries(&back.into_dyn(), &a.into_dyn());
            let gram = eigen.vectors.t().dot(&eigen.vectors);
            orthogonal.entries(&gram.into_dyn(), &Array2::eye(n).into_dyn());
        }
    }
    values.within(2e-14, "eigenvalues, of the largest");
    product.within(2e-14, "V diag(λ) Vᵀ = A");
    orthogonal.within(2e-14, "VᵀV = I");
    // Nothing to rotate, and scales at the ends of f64.
    for scale in [1e-300, 1.0, 1e300] {
        let eigen = symmetric_eigen(&(arr2(&[[1.0, 2.0], [2.0, 1.0]]) * scale)).unwrap();
        assert!((eigen.values[0] / scale - 3.0).abs() < 1e-15);
        assert!((eigen.values[1] / scale + 1.0).abs() < 1e-15);
    }
    assert_eq!(
        symmetric_eigen(&Array2::zeros((3, 3))).unwrap().values,
        arr1(&[0.0; 3])
    );
    for (a, b, c) in [(9e307, 1e307, -9e307), (1e308, 1e308, -1e308)] {
        let eigen = symmetric_eigen(&arr2(&[[a, b], [b, c]])).unwrap();
        let exact = f64::hypot(a, b);
        assert!((eigen.values[0] / exact - 1.0).abs() < 1e-15);
        assert!((eigen.values[1] / exact + 1.0).abs() < 1e-15);
    }
    let beyond = symmetric_eigen(&Array2::from_elem((2, 2), 1e308));
    assert_eq!(beyond, Err(EigenError::TooLarge { entry: 1e308 }));
    // Symmetric to half of the digits, and not less.
    let lopsided = |by: f64| symmetric_eigen(&arr2(&[[1.0, 0.5], [0.5 + by, 1.0]]));
    assert!(lopsided(1e-9).is_ok());
    assert!(matches!(
        lopsided(1e-6),
        Err(EigenError::NotSymmetric { .. })
    ));
}

/// d, σ² and mean log-likelihood from scikit-learn 1.9.1 (`PCA(d, svd_solver="full")`, whose covariance is divided by
/// N - 1: it was given data pulled together by √((N-1)/N), and its `score` the data themselves).
#[test]
fn as_another_library_has_it() {
    let x = Array2::from_shape_fn((12, 5), |(i, j)| {
        let (i, j) = (i as f64, j as f64);
        (1.3 * i + 0.7 * j * j + 0.9 * i * j).sin() * (j + 1.0) + 0.1 * j * i
    });
    let mut worst = Worst::default();
    for (latent, noise, score) in [
        (1, 3.055010839116106, -10.777213046811717),
        (2, 1.1450526523173776, -9.833339034618968),
        (4, 0.38166634286652124, -9.343862133483752),
    ] {
        let ppca = Ppca::fit(x.view(), latent).unwrap();
        worst.number(ppca.noise_variance, noise, noise);
        worst.number(ppca.log_likelihood, score, 1.0);
    }
    worst.within(1e-12, "σ² and log-likelihood of scikit-learn");
}

#[test]
fn of_many_draws_is_the_model() {
    let mut rng = rng(74);
    let [n, d, k] = [100_000, 6, 2];
    let point = random_decoder(&mut rng, [d, k]);
    let tape = Tape::new();
    let v = variables(&tape, &point);
    let z = standard_normal(&tape, &[n, k], &mut rng);
    let x = decoder(&v).sample(z, standard_normal(&tape, &[n, d], &mut rng));
    let log_p = owned(decoder(&v).log_evidence(x).unwrap().value());
    let (w, noise) = (two_axes(&point[0]), point[2].sum().exp());
    let c = w.dot(&w.t()) + Array2::<f64>::eye(d) * noise;
    let log_determinant = symmetric_eigen(&c).unwrap().values.mapv(f64::ln).sum();
    let exact = -0.5 * (d as f64 * (1.0 + TAU.ln()) + log_determinant);
    Statistics::of(&log_p).agree_with(exact, "log p(x) of the model's own draws");
    let ppca = Ppca::fit(two_axes(&owned(x.value())).view(), k).unwrap();
    let error = noise * (2.0 / (n * (d - k)) as f64).sqrt();
    let distance = (ppca.noise_variance - noise) / error;
    report(format!(
        "σ² {noise:.4}, fitted {:.4}: {distance:+.2} standard errors",
        ppca.noise_variance
    ));
    assert!(distance.abs() <= 4.0);
    // The maximum lies above the truth, by about half of the free parameters over N.
    let excess = ppca.log_likelihood - log_p.mean().unwrap();
    assert!(0.0 < excess && excess < 20.0 / n as f64, "{excess:e}");
}
