//! docs/kl.md#fisher-information: E ssᵀ = -E H is the Hessian of the divergence between neighbours, with a remainder of
//! third order.

use elbo::autodiff::{Tape, Var};
use elbo::distributions::noise::standard_normal;
use elbo::distributions::{Categorical, DiagonalGaussian};
use elbo::kl::{Moments, Nodes, fisher_information};
use ndarray::{Array1, Array2, Axis, arr1, arr2};
use rand::Rng;

use crate::common::arrays::{owned, softmax};
use crate::common::comparing::Worst;
use crate::common::random::{random, rng};
use crate::common::reporting::report;
use crate::common::statistics::slope;
use crate::kl::shared::{at_logits, bernoulli, categorical, full_of, largest};

/// log N(x; μ, σ) for θ = (μ, log σ) in rows.
fn gaussian_by_deviation<'t>(theta: Var<'t, f64>, x: Var<'t, f64>) -> Var<'t, f64> {
    let gaussian = DiagonalGaussian {
        mean: theta.slice(1, 0..1),
        log_variance: theta.slice(1, 1..2) * 2.0,
    };
    gaussian.log_density(x)
}

/// log softmax(θ)_x for one-hot x in rows.
fn class<'t>(theta: Var<'t, f64>, x: Var<'t, f64>) -> Var<'t, f64> {
    Categorical { logits: theta }.log_density(x)
}

/// All classes with their probabilities softmax(a).
fn classes(a: &[f64]) -> Nodes {
    Nodes::new(Array2::eye(a.len()), softmax(&arr1(a))).unwrap()
}

#[test]
fn of_a_gaussian_and_of_classes() {
    let mut rng = rng(61);
    let mut worst = Worst::default();
    for _ in 0..10 {
        let (mu, log_sigma): (f64, f64) =
            (rng.random_range(-2.0..2.0), rng.random_range(-2.0..2.0));
        let noise = Nodes::gauss_hermite(10, 1);
        let points = noise.points() * log_sigma.exp() + mu;
        let nodes = Nodes::new(points, noise.weights().clone()).unwrap();
        let found =
            fisher_information(&arr1(&[mu, log_sigma]), &nodes, gaussian_by_deviation).unwrap();
        let expected = arr2(&[[(-2.0 * log_sigma).exp(), 0.0], [0.0, 2.0]]).into_dyn();
        worst.entries(&found.score_square.into_dyn(), &expected);
        worst.entries(&found.curvature.into_dyn(), &expected);
        worst.number(found.mean_score.dot(&found.mean_score).sqrt(), 0.0, 1.0);
    }
    for k in [2, 3, 6] {
        let a = random(&mut rng, &[k]).into_raw_vec_and_offset().0;
        let found = fisher_information(&Array1::from(a.clone()), &classes(&a), class).unwrap();
        let p = softmax(&arr1(&a));
        let column = p.clone().insert_axis(Axis(1));
        let expected = (Array2::from_diag(&p) - column.dot(&column.t())).into_dyn();
        worst.entries(&found.score_square.into_dyn(), &expected);
        worst.entries(&found.curvature.into_dyn(), &expected);
    }
    worst.within(1e-12, "E ssᵀ = -E H = the closed form");
}

#[test]
fn is_the_hessian_of_the_divergence() {
    // ∇²_δ KL(p_θ ‖ p_(θ+δ)) at δ = 0, by differentiating the gradient of the closed form.
    let mut rng = rng(62);
    let mut worst = Worst::default();
    for k in [2, 4] {
        let a = random(&mut rng, &[k]);
        let tape = Tape::new();
        let (fixed, moving) = (tape.constant(a.clone()), tape.variable(a.clone()));
        let slope = tape
            .differentiable_gradients(categorical(&[fixed, moving]))
            .wrt(moving);
        let raw = a.clone().into_raw_vec_and_offset().0;
        let found = fisher_information(&Array1::from(raw.clone()), &classes(&raw), class).unwrap();
        for j in 0..k {
            let row = owned(tape.gradients(slope.slice(0, j..j + 1).sum()).wrt(moving));
            worst.entries(&row, &found.curvature.row(j).to_owned().into_dyn());
        }
    }
    worst.within(1e-12, "Hessian of the divergence = Fisher information");
}

/// The fitted slope of log |KL(p_θ ‖ p_(θ+tδ)) - ½ t² δᵀFδ| against log t.
fn remainder_slope(kl: impl Fn(f64) -> f64, quadratic: f64) -> f64 {
    let points: Vec<(f64, f64)> = [0.2, 0.1, 0.05, 0.025, 0.0125]
        .iter()
        .map(|&t: &f64| (t.ln(), (kl(t) - 0.5 * t * t * quadratic).abs().ln()))
        .collect();
    slope(&points)
}

#[test]
fn leaves_a_remainder_of_third_order() {
    let gaussian = |theta: [f64; 2], delta: [f64; 2], t: f64| {
        let moments = |mu: f64, log_sigma: f64| Moments::isotropic(arr1(&[mu]), log_sigma.exp());
        let p = moments(theta[0], theta[1]);
        full_of(
            &p,
            &moments(theta[0] + t * delta[0], theta[1] + t * delta[1]),
        )
    };
    for (theta, delta) in [([0.3, -0.2], [0.5, 1.0]), ([-1.0, 0.7], [1.0, -0.8])] {
        let f = [f64::exp(-2.0 * theta[1]), 2.0];
        let quadratic = f[0] * delta[0] * delta[0] + f[1] * delta[1] * delta[1];
        let slope = remainder_slope(|t| gaussian(theta, delta, t), quadratic);
        report(format!("Gaussian: remainder of order {slope:.3}"));
        assert!((slope - 3.0).abs() < 0.1, "{slope}");
    }
    let a = [0.4, -0.9, 0.1];
    let delta = arr1(&[1.0, -0.3, 0.2]);
    let f = fisher_information(&arr1(&a), &classes(&a), class)
        .unwrap()
        .curvature;
    let kl = |t: f64| {
        let b: Vec<f64> = a.iter().zip(&delta).map(|(a, d)| a + t * d).collect();
        at_logits(categorical, &a, &b).0
    };
    let slope = remainder_slope(kl, delta.dot(&f.dot(&delta)));
    report(format!("classes: remainder of order {slope:.3}"));
    assert!((slope - 3.0).abs() < 0.1, "{slope}");
    // At an even coin the third derivative is 0 by symmetry; along the mean of a Gaussian all of them are.
    let slope = remainder_slope(|t| at_logits(bernoulli, &[0.0], &[t]).0, 0.25);
    report(format!("an even coin: remainder of order {slope:.3}"));
    assert!((slope - 4.0).abs() < 0.1, "{slope}");
    for t in [0.5, 2.0] {
        let remainder = gaussian([0.3, 0.2], [1.0, 0.0], t) - 0.5 * t * t * (-0.4f64).exp();
        assert!(remainder.abs() < 1e-14, "{remainder:e}");
    }
}

#[test]
fn from_samples() {
    // 10⁵ draws of N(μ, σ): every entry of both estimates within 4 standard errors.
    let mut rng = rng(64);
    let (mu, log_sigma, n) = (0.5, 0.3f64, 100_000);
    let tape = Tape::new();
    let noise = owned(standard_normal(&tape, &[n, 1], &mut rng).value());
    let points = noise.into_dimensionality().unwrap() * log_sigma.exp() + mu;
    let nodes = Nodes::samples(points).unwrap();
    assert!(!nodes.is_empty());
    let found = fisher_information(&arr1(&[mu, log_sigma]), &nodes, gaussian_by_deviation).unwrap();
    // s = (ε/σ, ε² - 1), -H = ((1/σ², 2ε/σ), (2ε/σ, 2ε²)); the variances by the moments 1, 3, 15, 105 of ε.
    let r = (-log_sigma).exp();
    let error = |variance: f64| (variance / n as f64).sqrt();
    let cases = [
        (found.score_square[[0, 0]], r * r, error(2.0 * r.powi(4))),
        (found.score_square[[0, 1]], 0.0, error(10.0 * r * r)),
        (found.score_square[[1, 1]], 2.0, error(56.0)),
        (found.curvature[[0, 1]], 0.0, error(4.0 * r * r)),
        (found.curvature[[1, 1]], 2.0, error(8.0)),
    ];
    for (found, exact, error) in cases {
        let distance = (found - exact) / error;
        report(format!(
            "{found:.5}, exact {exact:.5}: {distance:+.2} standard errors"
        ));
        assert!(distance.abs() <= 4.0);
    }
}

#[test]
fn needs_the_right_expectation_and_a_fixed_support() {
    // Data from another distribution: E ssᵀ and -E H are two matrices, neither the information.
    let theta = arr1(&[0.0, 0.0]);
    let noise = Nodes::gauss_hermite(10, 1);
    let nodes = Nodes::new(noise.points() * 2.0 + 1.0, noise.weights().clone()).unwrap();
    let found = fisher_information(&theta, &nodes, gaussian_by_deviation).unwrap();
    assert!(largest(&(&found.score_square - &found.curvature)) > 1.0);
    assert!(found.mean_score.iter().any(|s| s.abs() > 0.5));
    // U(0, θ): log p = -log θ on a support that moves. E s² = 1/θ², -E H = -1/θ², E s = -1/θ; and the divergence
    // from U(0, θ) to U(0, θ + δ) is log(1 + δ/θ), of first order.
    let uniform = Nodes::samples(Array2::from_shape_fn((100, 1), |(i, _)| {
        0.02 * (i as f64 + 0.5)
    }))
    .unwrap();
    let found =
        fisher_information(&arr1(&[2.0]), &uniform, |theta, _| -theta.ln().sum_last()).unwrap();
    assert!((found.score_square[[0, 0]] - 0.25).abs() < 1e-14);
    assert!((found.curvature[[0, 0]] + 0.25).abs() < 1e-14);
    assert!((found.mean_score[0] + 0.5).abs() < 1e-14);
    // An impossible outcome counts only where it has weight.
    let excluded = |weights: [f64; 2]| {
        let nodes = Nodes::new(arr2(&[[1.0], [0.0]]), arr1(&weights)).unwrap();
        fisher_information(&arr1(&[0.3]), &nodes, |theta, x| {
            (theta * x + x.ln()).sum_last()
        })
    };
    assert_eq!(excluded([0.5, 0.5]).unwrap_err().index, 1);
    assert!(excluded([1.0, 0.0]).is_ok());
    for weights in [vec![0.5, 0.6], vec![1.5, -0.5], vec![f64::NAN, 1.0]] {
        assert!(Nodes::new(Array2::eye(2), Array1::from(weights)).is_err());
    }
    assert!(Nodes::samples(Array2::zeros((0, 1))).is_err());
    assert!(Nodes::samples(arr2(&[[f64::NAN]])).is_err());
}
