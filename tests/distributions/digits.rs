//! Values and slopes that are differences of nearly equal numbers, against mpmath with 60 digits.

use elbo::Scalar;
use elbo::autodiff::{Tape, Var};
use elbo::background::Beta;
use elbo::distributions::{Bernoulli, Categorical, DiagonalGaussian};
use elbo::kl::{self, Nodes, fisher_information};
use ndarray::{Array2, ArrayD, arr1, arr2};
use rand::Rng;

use crate::common::random::rng;

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    let error = (found - expected).abs();
    assert!(
        error <= tolerance * expected.abs(),
        "{what}: {found:e}, not {expected:e} (relative error {:.1e})",
        error / expected.abs()
    );
}

#[test]
fn of_concentrated_beta_densities() {
    let known = [
        (1e12, 1e12, 0.5, 13.936292795599394),
        (1e12, 1e12, 0.5000003, 13.576292795712212),
        (20.0, 30.0, 0.1, -12.835750928986446),
        (1e6, 3e5, 0.77, 4.816642077708848),
        (10.0, 1e9, 1e-8, 18.64470419881135),
        (1e5, 12.0, 0.9999, 9.339313588396687),
        (2e15, 1e15, 2.0 / 3.0, 17.65179450697286),
    ];
    for (a, b, theta, expected) in known {
        let found = Beta::new(a, b).unwrap().log_density(theta);
        close(
            found,
            expected,
            1e-13,
            &format!("Beta({a:e}, {b:e}) at {theta}"),
        );
    }
}

/// Value and slope in s of KL(N(0, e^s) ‖ N(0, 1)).
fn near_the_prior<T: Scalar>(s: T) -> [f64; 2] {
    let tape = Tape::new();
    let (mean, log_variance) = (tape.constant(arr1(&[T::zero()])), tape.variable(arr1(&[s])));
    let y = kl::gaussian_standard(&DiagonalGaussian { mean, log_variance });
    let slope = tape.gradients(y).wrt(log_variance)[0];
    [y.item().as_f64(), slope.as_f64()]
}

#[test]
fn of_a_gaussian_near_the_prior() {
    let known = [
        (1e-15, 2.500_000_000_000_001e-31, 5.000_000_000_000_003e-16),
        (1e-8, 2.500_000_008_333_333_5e-17, 5.000_000_025e-9),
        (-1e-4, 2.499_916_668_749_958_6e-9, -4.999_750_008_333_125e-5),
        (0.3, 0.024_929_403_788_001_55, 0.174_929_403_788_001_54),
        (-0.3466, 0.026_844_053_470_509_42, -0.146_455_946_529_490_6),
        (0.4, 0.04591234882063516, 0.245_912_348_820_635_18),
    ];
    for (s, value, slope) in known {
        let found = near_the_prior(s);
        close(found[0], value, 2e-15, &format!("KL at s = {s:e}"));
        close(found[1], slope, 2e-15, &format!("slope at s = {s:e}"));
    }
    let known = [
        (1e-4f32, 2.500_083_209_099_77e-9),
        (-3e-3, 2.247_751_725_544_94e-6),
        (0.2, 0.010_701_379_410_000_738),
    ];
    for (s, value) in known {
        close(
            near_the_prior(s)[0],
            value,
            3e-7,
            &format!("f32 at s = {s:e}"),
        );
    }
}

#[test]
fn of_two_gaussians_near_each_other() {
    let known = [
        (
            1.0,
            1.0 + 1e-9,
            2.500_000_412_868_538_6e-19,
            -5.000_000_411_201_855e-10,
        ),
        (
            0.5,
            0.5 - 1e-12,
            2.499_889_392_623_652e-25,
            4.999_889_391_401_892e-13,
        ),
    ];
    for (s_q, s_p, value, slope) in known {
        let tape = Tape::new();
        let gaussian = |s: f64| DiagonalGaussian {
            mean: tape.variable(arr1(&[0.3])),
            log_variance: tape.variable(arr1(&[s])),
        };
        let (q, p) = (gaussian(s_q), gaussian(s_p));
        let y = kl::gaussian_diagonal(&q, &p);
        let gradients = tape.gradients(y);
        close(y.item(), value, 1e-14, "KL");
        close(gradients.wrt(q.log_variance)[0], slope, 1e-14, "∂s_q");
        close(gradients.wrt(p.log_variance)[0], -slope, 1e-14, "∂s_p");
    }
}

#[test]
fn of_sure_categoricals() {
    let tape = Tape::new();
    let [q, p] = [[0.0, -40.0, -80.0], [0.0, -41.0, -79.0]].map(|logits| Categorical {
        logits: tape.variable(arr1(&logits)),
    });
    let y = kl::categorical(&q, &p);
    close(y.item(), 1.562_882_189_334_988_8e-18, 1e-14, "KL");
    let gradients = tape.gradients(y);
    let known = [
        -4.248_354_255_291_589e-18,
        4.248_354_255_291_589e-18,
        -1.804_851_387_845_415_2e-35,
    ];
    for (found, expected) in gradients.wrt(q.logits).iter().zip(known) {
        close(*found, expected, 1e-13, "∂a");
    }
    let known = [
        2.685_472_065_956_6e-18,
        -2.685_472_065_956_6e-18,
        3.101243342803865e-35,
    ];
    for (found, expected) in gradients.wrt(p.logits).iter().zip(known) {
        close(*found, expected, 1e-13, "∂b");
    }
    let log_q = q.log_probabilities().value();
    close(log_q[0], -4.248_354_255_291_589e-18, 1e-15, "log q₀");
    let sum = tape.variable(arr1(&[0.0, -40.0])).logsumexp().item();
    close(sum, 4.248_354_255_291_589e-18, 1e-15, "log(1 + e^-40)");
}

#[test]
fn of_sure_coins() {
    let tape = Tape::new();
    let a = tape.variable(arr1(&[40.0, -40.0]));
    let x = tape.constant(arr1(&[1.0, 0.0]));
    let y = Bernoulli { logits: a }.log_density(x);
    close(y.item(), -2.0 * 4.248_354_255_291_589e-18, 1e-15, "log p");
    let slope = tape.gradients(y).wrt(a);
    close(slope[0], 4.248_354_255_291_589e-18, 1e-15, "x = 1, a = 40");
    close(
        slope[1],
        -4.248_354_255_291_589e-18,
        1e-15,
        "x = 0, a = -40",
    );
    // The gradient's own gradient in x and a.
    let recorded = tape.differentiable_gradients(y).wrt(a);
    let curvature = tape.gradients(recorded.sum()).wrt(a);
    close(curvature[0], -4.248_354_255_291_589e-18, 1e-15, "curvature");
}

#[test]
fn of_the_information_of_a_sure_class() {
    let theta = arr1(&[40.0, 0.0, -40.0]);
    let e = [0.0f64, -40.0, -80.0].map(f64::exp);
    let total: f64 = e.iter().sum();
    let nodes = Nodes::new(Array2::eye(3), arr1(&e.map(|e| e / total))).unwrap();
    let fisher = fisher_information(&theta, &nodes, |logits, x| {
        Categorical { logits }.log_density(x)
    })
    .unwrap();
    let (first, second) = (4.248_354_255_291_589e-18, 1.804_851_387_845_415_2e-35);
    let expected = arr2(&[
        [first, -first, -second],
        [-first, first, -7.667648073722e-53],
        [-second, -7.667648073722e-53, second],
    ]);
    for (found, road) in [(&fisher.score_square, "E ssᵀ"), (&fisher.curvature, "-E H")] {
        for (found, expected) in found.iter().zip(&expected) {
            close(*found, *expected, 1e-13, road);
        }
    }
}

/// μ + e^(s/2) ε, and its gradients in s and ε.
fn sampled(s: f32, noise: f32) -> [f32; 3] {
    let tape = Tape::new();
    let [mean, log_variance, noise] = [0.5, s, noise].map(|x| tape.variable(arr1(&[x])));
    let z = DiagonalGaussian { mean, log_variance }.sample(noise);
    let gradients = tape.gradients(z.sum());
    [
        z.sum().item(),
        gradients.wrt(log_variance)[0],
        gradients.wrt(noise)[0],
    ]
}

#[test]
fn of_a_sample_whose_deviation_overflows() {
    assert_eq!(sampled(200.0, 0.0), [0.5, 0.0, f32::INFINITY]);
    assert_eq!(sampled(f32::INFINITY, 0.0)[..2], [0.5, 0.0]);
    assert_eq!(sampled(200.0, -1.0)[0], f32::NEG_INFINITY);
    assert_eq!(sampled(f32::NEG_INFINITY, 1.0), [0.5, 0.0, 0.0]);
}

/// The slope in one log-variance of the mean log-density of data.
fn shared_slope<T: Scalar>(offsets: &ArrayD<f32>) -> f64 {
    let tape = Tape::new();
    let log_variance: Var<'_, T> = tape.variable(arr1(&[T::zero()]));
    let data = tape.constant(offsets.mapv(|x| T::of(x.into())));
    let mean = tape.constant(arr1(&[T::zero()]));
    let density = DiagonalGaussian { mean, log_variance }.log_density(data);
    tape.gradients(density.mean()).wrt(log_variance)[0].as_f64()
}

#[test]
fn of_a_log_variance_that_serves_all_data_in_f32() {
    let mut rng = rng(17);
    for scale in [0.3f32, 1.5, 1.8] {
        for batch in [16, 128, 1024] {
            let offsets = ArrayD::from_shape_simple_fn(vec![batch, 784], || {
                scale * rng.random_range(-1.0..1.0f32)
            });
            let (single, double) = (shared_slope::<f32>(&offsets), shared_slope::<f64>(&offsets));
            close(single, double, 4e-7, &format!("±{scale}, {batch}"));
        }
    }
}
