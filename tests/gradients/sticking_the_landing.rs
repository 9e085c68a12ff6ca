//! docs/gradients.md#sticking-the-landing: without the score the pathwise gradient has the same mean, and at the
//! posterior it is 0 at every draw.

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::gradients::{
    Baseline, Draws, estimator_a, pathwise_gradient, score_gradient, sticking_the_landing,
};
use elbo::kl::Nodes;
use ndarray::{Axis, arr1, s};

use crate::common::comparing::{Checked, Worst};
use crate::common::random::{matrix, random, rng};
use crate::common::reporting::report;
use crate::gradients::shared::{
    Quadratic, along_the_path, bent, dynamic, from_vars, gaussian, moved, normal_noise,
    scores_by_hand, unbiased, univariate,
};

#[test]
fn by_hand() {
    // ∇_z log p - ∇_z log q, and ∇_z log q = -(z-μ)/σ² = -ε/σ.
    let mut rng = rng(121);
    let (mut stuck, mut plain) = (Worst::default(), Worst::default());
    for (n, d) in [(1, 1), (6, 2), (5, 4)] {
        let (q, noise) = (gaussian(&mut rng, d), normal_noise(&mut rng, n, d));
        let target = Quadratic::random(&mut rng, d);
        let z = moved(&q, &noise);
        let deviation = q.log_variance.mapv(|s| (0.5 * s).exp());
        let slope = target.slope(&z);
        let by_hand = along_the_path(&q, &noise, &(&slope + &(&noise / &deviation)));
        let draws = pathwise_gradient(&q, noise.view(), |q, z| {
            sticking_the_landing(q, z, target.log_joint(z))
        })
        .unwrap();
        stuck.entries(&dynamic(&draws.gradients().to_owned()), &dynamic(&by_hand));
        // With the score: log q(μ + σε) is -½s and what does not depend on φ.
        let mut by_hand = along_the_path(&q, &noise, &slope);
        by_hand.slice_mut(s![.., d..]).mapv_inplace(|g| g + 0.5);
        let draws = pathwise_gradient(&q, noise.view(), |q, z| {
            estimator_a(q, z, target.log_joint(z))
        });
        plain.entries(
            &dynamic(&draws.unwrap().gradients().to_owned()),
            &dynamic(&by_hand),
        );
    }
    stuck.within(1e-12, "without the score: hand = autodiff");
    plain.within(1e-12, "with the score: hand = autodiff");
}

#[test]
fn against_its_declared_surrogate() {
    let mut rng = rng(122);
    let mut checked = Checked::default();
    for (n, d) in [(3, 1), (4, 2), (2, 3)] {
        let target = Quadratic::random(&mut rng, d);
        let noise = normal_noise(&mut rng, n, d);
        let point = [random(&mut rng, &[d]), random(&mut rng, &[d])];
        let report = Check::new("sticking-the-landing").run_surrogate(
            &point,
            |v| {
                let q = from_vars(v);
                let z = q.sample(v[0].tape().constant(noise.clone()));
                sticking_the_landing(&q, z, target.log_joint(z))
            },
            |live, frozen| {
                let z = from_vars(live).sample(live[0].tape().constant(noise.clone()));
                target.log_joint(z) - from_vars(frozen).log_density(z)
            },
        );
        checked.add(report.unwrap());
    }
    checked.print("with q frozen in the density");
}

#[test]
fn is_zero_at_the_posterior() {
    let mut rng = rng(123);
    let mut worst = Worst::default();
    let mut plain = Worst::default();
    for d in [1, 3, 8] {
        let (q, noise) = (gaussian(&mut rng, d), normal_noise(&mut rng, 1000, d));
        let target = Quadratic::diagonal(q.mean.clone(), &q.log_variance.mapv(f64::exp));
        let draws = pathwise_gradient(&q, noise.view(), |q, z| {
            sticking_the_landing(q, z, target.log_joint(z))
        })
        .unwrap();
        let scores = scores_by_hand(&q, &moved(&q, &noise));
        let scale = scores.iter().fold(0.0, |s: f64, x| s.max(x.abs()));
        for gradient in draws.gradients() {
            worst.number(*gradient, 0.0, scale);
        }
        // The plain estimator there is minus the score: mean 0, and nothing but noise.
        let draws = pathwise_gradient(&q, noise.view(), |q, z| {
            estimator_a(q, z, target.log_joint(z))
        });
        plain.entries(
            &dynamic(&draws.unwrap().gradients().to_owned()),
            &dynamic(&-scores),
        );
    }
    worst.within(1e-14, "gradient of every draw = 0, of the largest score");
    plain.within(1e-12, "with the score: minus the score");
}

#[test]
fn has_the_mean_of_the_plain_estimator() {
    let mut rng = rng(124);
    let mut worst = Worst::default();
    for d in [1, 2] {
        let (q, a) = (gaussian(&mut rng, d), matrix(&mut rng, [d, 3]) * 0.5);
        let nodes = Nodes::standard_normal(161, d);
        let mean = |draws: Draws| draws.moments(nodes.weights().view())[0].clone();
        let noise = nodes.points().view();
        let plain = pathwise_gradient(&q, noise, |q, z| estimator_a(q, z, -bent(z, &a)));
        let stuck = pathwise_gradient(&q, noise, |q, z| sticking_the_landing(q, z, -bent(z, &a)));
        // By the score, with log q stopped as well: no derivative of log p at all.
        let score = score_gradient(
            &q,
            noise,
            |q, z| sticking_the_landing(q, z, -bent(z, &a)),
            &Baseline::Constant(-1.0),
        );
        let expected = mean(plain.unwrap()).into_dyn();
        worst.entries(&mean(stuck.unwrap()).into_dyn(), &expected);
        worst.entries(&mean(score.unwrap()).into_dyn(), &expected);
    }
    worst.within(
        1e-12,
        "with the score = without = by the score, by quadrature",
    );

    let (q, noise) = (gaussian(&mut rng, 2), normal_noise(&mut rng, 100_000, 2));
    let target = Quadratic::random(&mut rng, 2);
    // ∇ E[log p - log q] = (-Λ(μ-m), ½ - ½ Λ_jj σ_j²).
    let exact = ndarray::concatenate![
        Axis(0),
        -target.precision.dot(&(&q.mean - &target.mean)),
        (1.0 - &target.precision.diag() * &q.log_variance.mapv(f64::exp)) * 0.5
    ];
    let plain = pathwise_gradient(&q, noise.view(), |q, z| {
        estimator_a(q, z, target.log_joint(z))
    });
    let stuck = pathwise_gradient(&q, noise.view(), |q, z| {
        sticking_the_landing(q, z, target.log_joint(z))
    });
    let distance = unbiased(&plain.unwrap(), &exact, "with the score").max(unbiased(
        &stuck.unwrap(),
        &exact,
        "without the score",
    ));
    report(format!("worst of 8 entries: {distance:.2} standard errors"));
}

#[test]
fn is_the_noisier_one_where_q_is_too_narrow() {
    // Target N(m, τ²), r = σ²/τ²: variances for ∂μ are (1 - r)²/σ² and r²/σ²; equal at r = ½.
    let nodes = Nodes::gauss_hermite(8, 1);
    let (noise, weights) = (nodes.points().view(), nodes.weights().view());
    let mut worst = Worst::default();
    for (m, tau2, ratio) in [
        (0.4, 2.0, 0.1),
        (-1.0, 0.7, 0.3),
        (0.0, 1.0, 0.5),
        (2.0, 1.5, 0.9),
        (0.3, 0.5, 4.0),
    ] {
        let (mu, v) = (0.8, ratio * tau2);
        let q = univariate(mu, f64::ln(v));
        let target = Quadratic::diagonal(arr1(&[m]), &arr1(&[tau2]));
        let variance = |draws: Draws| draws.moments(weights)[1].clone();
        let stuck = variance(
            pathwise_gradient(&q, noise, |q, z| {
                sticking_the_landing(q, z, target.log_joint(z))
            })
            .unwrap(),
        );
        let plain = variance(
            pathwise_gradient(&q, noise, |q, z| estimator_a(q, z, target.log_joint(z))).unwrap(),
        );
        let common = (mu - m).powi(2) * ratio / (4.0 * tau2);
        let expected = [
            (stuck[0], (1.0 - ratio).powi(2) / v),
            (stuck[1], 0.5 * (1.0 - ratio).powi(2) + common),
            (plain[0], ratio.powi(2) / v),
            (plain[1], 0.5 * ratio.powi(2) + common),
        ];
        report(format!(
            "σ²/τ² = {ratio}: variance of ∂μ without the score {:.3}, with it {:.3}",
            stuck[0], plain[0]
        ));
        for (found, expected) in expected {
            worst.number(found, expected, plain[0].max(stuck[0]));
        }
        assert_eq!(stuck[0] < plain[0] - 1e-12, ratio > 0.5);
    }
    worst.within(1e-12, "variances = closed forms");
}

#[test]
fn is_biased_inside_a_logarithm() {
    // L₂ = E log ½(w₁ + w₂) for two draws: the score that is dropped has the draw's own weight before it.
    let q = univariate(0.5, 0.3);
    let target = Quadratic::diagonal(arr1(&[-0.4]), &arr1(&[1.0]));
    let nodes = Nodes::standard_normal(81, 2);
    let gradient = |mean: f64, log_variance: f64, stuck: bool| {
        let tape = Tape::new();
        let v = [mean, log_variance].map(|x| tape.variable(arr1(&[x])));
        let log_weights = [0, 1].map(|draw| {
            let noise = nodes.points().slice(s![.., draw..draw + 1]).to_owned();
            let q = from_vars(&v);
            let z = q.sample(tape.constant(noise));
            let log_joint = target.log_joint(z);
            match stuck {
                true => sticking_the_landing(&q, z, log_joint),
                false => estimator_a(&q, z, log_joint),
            }
        });
        let bound = tape.stack(0, &log_weights).logsumexp_axes(&[0]) - 2f64.ln();
        let bound = (bound * tape.constant(nodes.weights().clone())).sum();
        let gradients = tape.gradients(bound);
        (bound.item(), gradients.wrt(v[0])[0], gradients.wrt(v[1])[0])
    };
    let (mu, s) = (q.mean[0], q.log_variance[0]);
    let (_, to_mean, to_log_variance) = gradient(mu, s, false);
    let (_, stuck_mean, stuck_log_variance) = gradient(mu, s, true);
    let h = 1e-4;
    let slope = (gradient(mu + h, s, false).0 - gradient(mu - h, s, false).0) / (2.0 * h);
    report(format!(
        "L₂: ∂μ {to_mean:.4}, without the score {stuck_mean:.4}; ∂s {to_log_variance:.4}, without the score \
         {stuck_log_variance:.4}"
    ));
    assert!((slope - to_mean).abs() < 1e-7, "{slope} {to_mean}");
    let slope = (gradient(mu, s + h, false).0 - gradient(mu, s - h, false).0) / (2.0 * h);
    assert!((slope - to_log_variance).abs() < 1e-7, "{slope}");
    let found = [to_mean, stuck_mean, to_log_variance, stuck_log_variance];
    let notes = ["-0.476", "-0.790", "0.063", "0.028"];
    assert_eq!(found.map(|g| format!("{g:.3}")), notes);
}
