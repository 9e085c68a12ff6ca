//! The Gaussian with a full covariance, against the diagonal one, quadrature and its own draws.

use elbo::autodiff::{Tape, Var};
use elbo::distributions::{GaussianError, MultivariateGaussian};
use ndarray::{Array2, ArrayD, arr1, arr2};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::random::{random, rng};
use crate::distributions::shared::{assert_relative, check, gaussian, grid};

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
fn of_a_diagonal_covariance_is_the_diagonal_gaussian() {
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
fn density_integrates_to_one_and_to_minus_its_entropy() {
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
fn sampler_draws_from_the_density() {
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
fn passes_the_gradient_check_at_both_orders() {
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
fn refuses_what_is_no_covariance_and_no_factor() {
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
    assert!(matches!(singular, GaussianError::NotPositiveDefinite(reason) if reason.pivot == 1));
    let asymmetric = covariance([[1.0, 0.3], [0.2, 1.0]]);
    assert!(matches!(
        asymmetric,
        GaussianError::NotSymmetric {
            row: 1,
            column: 0,
            ..
        }
    ));
    let nan = covariance([[1.0, f64::NAN], [f64::NAN, 1.0]]);
    assert!(matches!(nan, GaussianError::NotPositiveDefinite(reason) if reason.value.is_nan()));
    let upper = factor([[1.0, 0.3], [0.0, 1.0]]);
    assert!(matches!(
        upper,
        GaussianError::NotLowerTriangular {
            row: 0,
            column: 1,
            ..
        }
    ));
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = factor([[1.0, 0.0], [0.3, bad]]);
        assert!(
            matches!(error, GaussianError::DiagonalNotPositive { row: 1, .. }),
            "{error}"
        );
    }
    for error in [singular, asymmetric, nan, upper] {
        assert!(error.to_string().contains("expected"), "{error}");
    }
}

#[test]
fn measures_asymmetry_by_the_deviations() {
    let of = |rows: [[f64; 2]; 2]| {
        let tape = Tape::new();
        let mean = tape.constant(arr1(&[0.0, 0.0]));
        MultivariateGaussian::from_covariance(mean, tape.constant(arr2(&rows))).map(|_| ())
    };
    // The product of two variances may be beyond f64, or below it.
    let huge = of([[1e200, 5e199], [-5e199, 1e200]]).unwrap_err();
    assert!(matches!(huge, GaussianError::NotSymmetric { .. }), "{huge}");
    assert!(of([[1e-170, 1e-190], [-1e-190, 1e-170]]).is_ok());
    let tiny = of([[1e-170, 5e-171], [-5e-171, 1e-170]]).unwrap_err();
    assert!(matches!(tiny, GaussianError::NotSymmetric { .. }), "{tiny}");
    assert!(of([[1e200, 5e199], [5e199, 1e200]]).is_ok());
}
