//! docs/gradients.md#gradient-variance: the variances of the estimators of ∇ E z², in closed form.

use elbo::distributions::Estimate;
use elbo::gradients::{
    Baseline, Draws, GaussianParameters, best_baseline, pathwise_gradient, score_gradient,
    square_variances,
};
use elbo::kl::Nodes;
use ndarray::{Array1, ArrayView2, arr1, arr2};

use crate::common::comparing::Worst;
use crate::common::random::rng;
use crate::common::reporting::report;
use crate::gradients::shared::{gaussian, normal_noise, sin, unbiased, univariate};

/// The estimators of the gradient of E z², and what their variance is said to be.
fn estimators_of_the_square(
    q: &GaussianParameters,
    noise: ArrayView2<f64>,
) -> [(&'static str, Draws, [f64; 2]); 3] {
    let exact = square_variances(q.mean[0], q.log_variance[0]).unwrap();
    let score = |baseline: Baseline| {
        score_gradient(q, noise, |_, z| z.square().sum_last(), &baseline).unwrap()
    };
    let path = pathwise_gradient(q, noise, |_, z| z.square().sum_last()).unwrap();
    let best = Baseline::Entries(Array1::from(exact.baseline.to_vec()));
    [
        ("pathwise", path, exact.pathwise),
        ("score", score(Baseline::None), exact.score),
        ("score, b*", score(best), exact.with_baseline),
    ]
}

#[test]
fn by_quadrature() {
    let mut rng = rng(111);
    let nodes = Nodes::gauss_hermite(10, 1);
    let (mut variances, mut means, mut baselines) =
        (Worst::default(), Worst::default(), Worst::default());
    for _ in 0..20 {
        let q = gaussian(&mut rng, 1);
        let (mu, v) = (q.mean[0], q.log_variance[0].exp());
        for (_, draws, expected) in estimators_of_the_square(&q, nodes.points().view()) {
            let [mean, variance] = draws.moments(nodes.weights().view());
            means.entries(&mean.into_dyn(), &arr1(&[2.0 * mu, v]).into_dyn());
            for (found, expected) in variance.iter().zip(expected) {
                variances.number(*found, expected, expected);
            }
        }
        let best = best_baseline(&q, &nodes, |_, z| z.square().sum_last()).unwrap();
        let expected = arr1(&square_variances(mu, q.log_variance[0]).unwrap().baseline);
        baselines.entries(&best.into_dyn(), &expected.into_dyn());
    }
    means.within(1e-12, "means of all estimators = 2μ and σ²");
    variances.within(1e-12, "variances = closed forms, relative");
    baselines.within(1e-12, "best baselines = closed forms");
}

/// Mean and variance of two draws of a pathwise gradient with these weights.
fn two_draws(weights: [f64; 2]) -> [Array1<f64>; 2] {
    let (q, noise) = (univariate(1.0, 0.0), arr2(&[[0.5], [-0.5]]));
    let draws = pathwise_gradient(&q, noise.view(), |_, z| z.square().sum_last()).unwrap();
    draws.moments(arr1(&weights).view())
}

#[test]
fn of_weighted_draws() {
    // ∂μ = 2z: 3 and 1.
    let [mean, variance] = two_draws([0.75, 0.25]);
    assert_eq!((mean[0], variance[0]), (2.5, 0.75));
}

#[test]
fn of_the_path_is_not_always_the_smaller_one() {
    // f = sin ωz at N(0.3, 1): the slope grows with ω, the values do not.
    let q = univariate(0.3, 0.0);
    let nodes = Nodes::standard_normal(801, 1);
    let (noise, weights) = (nodes.points().view(), nodes.weights().view());
    let mut worst = Worst::default();
    for omega in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0] {
        let wave = |draws: Draws| draws.moments(weights);
        let [mean, path] =
            wave(pathwise_gradient(&q, noise, |_, z| sin(z * omega).sum_last()).unwrap());
        let by_score = score_gradient(&q, noise, |_, z| sin(z * omega).sum_last(), &Baseline::None);
        let [same, score] = wave(by_score.unwrap());
        // E cos 2ωz = e^(-2ω²) cos 2ωμ, and E ε² cos 2ωz = (1 - 4ω²) e^(-2ω²) cos 2ωμ.
        let double = (-2.0 * omega * omega).exp() * (0.6 * omega).cos();
        let exact = omega * (-0.5 * omega * omega).exp() * (0.3 * omega).cos();
        let of_path = omega * omega * 0.5 * (1.0 + double) - exact * exact;
        let of_score = 0.5 * (1.0 - (1.0 - 4.0 * omega * omega) * double) - exact * exact;
        report(format!(
            "ω = {omega}: pathwise {of_path:.4}, score {of_score:.4}"
        ));
        worst.number(mean[0], exact, 1.0);
        worst.number(same[0], exact, 1.0);
        worst.number(path[0], of_path, 1.0);
        worst.number(score[0], of_score, 1.0);
        if omega >= 2.0 {
            assert!(of_path > 2.0 * of_score);
        }
    }
    worst.within(1e-12, "means and variances for sin ωz");
}

#[test]
fn table() {
    let mut rng = rng(112);
    let noise = normal_noise(&mut rng, 100_000, 1);
    let mut worst = 0.0f64;
    report("f = z²        variance of ∂μ: exact, measured    of ∂s: exact, measured".to_owned());
    for (mu, v) in [
        (0.0, 1.0f64),
        (1.0, 1.0),
        (3.0, 1.0),
        (1.0, 0.25),
        (1.0, 0.01),
    ] {
        let q = univariate(mu, v.ln());
        let exact_mean = [2.0 * mu, v];
        report(format!("μ = {mu}, σ² = {v}"));
        for (name, draws, exact) in estimators_of_the_square(&q, noise.view()) {
            let measured: Vec<f64> = (0..2)
                .map(|entry| {
                    let column = draws.gradients();
                    let squares = column
                        .column(entry)
                        .mapv(|g| (g - exact_mean[entry]).powi(2));
                    // The mean of squares around the exact mean is unbiased for the variance.
                    let estimate = Estimate::of(squares).unwrap();
                    worst = worst.max(estimate.distance(exact[entry]).abs());
                    estimate.mean
                })
                .collect();
            report(format!(
                "  {name:10} {:18.4} {:10.4} {:16.4} {:10.4}",
                exact[0], measured[0], exact[1], measured[1]
            ));
            worst = worst.max(unbiased(&draws, &arr1(&exact_mean), name));
        }
    }
    report(format!(
        "worst of 60 means and variances: {worst:.2} standard errors"
    ));
    assert!(worst <= 4.0);
}

#[test]
fn at_the_edges() {
    let tiny = square_variances(0.0, -3000.0).unwrap();
    assert_eq!(tiny.score, [0.0, 0.0]);
    assert_eq!(
        square_variances(1.0, -3000.0).unwrap().score[0],
        f64::INFINITY
    );
    let huge = square_variances(0.0, 3000.0).unwrap();
    assert_eq!(
        (huge.pathwise, huge.score),
        ([f64::INFINITY; 2], [f64::INFINITY; 2])
    );
    for (mean, log_variance) in [
        (1e200, 3000.0),
        (1e200, -3000.0),
        (-1e200, 0.0),
        (1e-200, 700.0),
    ] {
        let v = square_variances(mean, log_variance).unwrap();
        let all = [v.pathwise, v.score, v.with_baseline, v.baseline].concat();
        assert!(all.iter().all(|x| *x >= 0.0), "{v:?}");
    }
    assert!(square_variances(f64::NAN, 0.0).is_err());
    assert!(square_variances(0.0, f64::INFINITY).is_err());
}

#[test]
#[should_panic(expected = "moments: expected weights that sum to 1, found the sum 2")]
fn needs_weights_that_sum_to_one() {
    two_draws([1.0, 1.0]);
}

#[test]
#[should_panic(
    expected = "moments: expected weights that are finite and not negative, found [inf, 0]"
)]
fn needs_finite_weights() {
    two_draws([f64::INFINITY, 0.0]);
}
