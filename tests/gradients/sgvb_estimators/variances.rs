//! The variances of the two estimators' gradients.

use elbo::gradients::{
    Draws, GaussianParameters, GradientError, estimator_a, estimator_b, pathwise_gradient,
};
use elbo::kl::Nodes;
use ndarray::{arr1, arr2};

use super::Conjugate;
use crate::common::comparing::Worst;
use crate::common::random::rng;
use crate::common::reporting::report;
use crate::gradients::shared::{Quadratic, gaussian, univariate};

#[test]
fn as_gradients() {
    // The variance of ∂μ is σ²(1/r² + 1/v₀)² for A and σ²/r⁴ for B, at the posterior as well, where A as a value has none.
    let mut rng = rng(135);
    let mut worst = Worst::default();
    let nodes = Nodes::gauss_hermite(6, 1);
    let (noise, weights) = (nodes.points().view(), nodes.weights().view());
    for _ in 0..10 {
        let model = Conjugate::random(&mut rng, 1);
        for q in [model.posterior(), gaussian(&mut rng, 1)] {
            let (v, v0) = (q.log_variance[0].exp(), model.prior.log_variance[0].exp());
            let r2 = model.noise_variance;
            let [a, b] = [model.a(&q, noise), model.b(&q, noise)].map(|d| d.moments(weights)[1][0]);
            let expected = [v * (1.0 / r2 + 1.0 / v0).powi(2), v / r2.powi(2)];
            worst.number(a, expected[0], expected[0]);
            worst.number(b, expected[1], expected[1]);
            assert!(b < a);
        }
    }
    worst.within(1e-12, "variances of ∂μ = closed forms, relative");

    // In several dimensions A's noise in μ₁ has the variance Σ_j (H_1j + P_1j)² σ_j², B's Σ_j H_1j² σ_j², where H and P are
    // the likelihood's and the prior's precision. With P_12 = -H_12 the prior undoes what the second entry does to the first.
    let both = |coupling: f64| Quadratic {
        mean: arr1(&[0.4, -0.7]),
        precision: arr2(&[[1.0, coupling], [coupling, 1.0]]),
    };
    let q = GaussianParameters {
        mean: arr1(&[0.2, 1.1]),
        log_variance: arr1(&[0.0, 5f64.ln()]),
    };
    let plane = Nodes::gauss_hermite(6, 2);
    let variance =
        |draws: Result<Draws, GradientError>| draws.unwrap().moments(plane.weights().view())[1][0];
    for (coupling, expected) in [
        (-0.9, [4.0, 5.05]),
        (0.0, [8.05, 5.05]),
        (0.9, [20.2, 5.05]),
    ] {
        let (likelihood, prior) = (both(0.9), both(coupling));
        let a = pathwise_gradient(&q, plane.points().view(), |q, z| {
            estimator_a(q, z, likelihood.log_joint(z) + prior.log_joint(z))
        });
        // -KL(q‖p) = E log p + ½ Σ s, up to constants: the quadratic form at μ, and -½ Σ P_jj σ_j².
        let b = pathwise_gradient(&q, plane.points().view(), |q, z| {
            let spread = q.log_variance.exp().sum_last() * -0.5;
            let negative_divergence =
                prior.log_joint(q.mean) + spread + q.log_variance.sum_last() * 0.5;
            likelihood.log_joint(z) + negative_divergence
        });
        let [a, b] = [variance(a), variance(b)];
        report(format!(
            "prior precision {coupling} beside 1: variance of ∂μ₁ {a:.2} for A, {b:.2} for B"
        ));
        let relative = [a / expected[0], b / expected[1]];
        assert!(relative.iter().all(|r| (r - 1.0).abs() < 1e-12), "{a} {b}");
    }

    // A log-likelihood that is convex where q is: its slope and the prior's oppose each other, and A has both.
    let (q, curvature) = (univariate(0.3, -0.5), 0.8);
    let standard = Conjugate {
        x: arr1(&[0.0]),
        noise_variance: 1.0,
        prior: GaussianParameters::standard(1),
    };
    let a = pathwise_gradient(&q, noise, |q, z| {
        let convex = z.square().sum_last() * (0.5 * curvature);
        estimator_a(q, z, convex + standard.prior(z.tape()).log_density(z))
    });
    let b = pathwise_gradient(&q, noise, |q, z| {
        let convex = z.square().sum_last() * (0.5 * curvature);
        estimator_b(q, &standard.prior(z.tape()), convex)
    });
    let [a, b] = [a, b].map(|draws| draws.unwrap().moments(weights)[1][0]);
    report(format!(
        "convex log-likelihood: variance of ∂μ {a:.4} for A, {b:.4} for B"
    ));
    let v = (-0.5f64).exp();
    assert!((a - v * (1.0 - curvature).powi(2)).abs() < 1e-12);
    assert!((b - v * curvature.powi(2)).abs() < 1e-12);
}
