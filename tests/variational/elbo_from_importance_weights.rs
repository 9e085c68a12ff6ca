//! docs/variational.md#elbo-from-importance-weights: E w = p(x) where q covers the posterior, and what log E w - E
//! log w loses is half the variance of w/p(x).

use elbo::autodiff::Tape;
use elbo::distributions::MultivariateGaussian;
use elbo::variational::Enumerated;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::common::comparing::{REARRANGED, Worst};
use crate::common::random::rng;
use crate::common::reporting::report;
use crate::common::statistics::{estimate_agrees, slope};
use crate::variational::shared::linear_models::linear;
use crate::variational::shared::tables::{
    FORMS, cases, form_against_finite_differences, form_has_the_gradient_by_hand, logs, on_tape,
    probabilities, row,
};

#[test]
fn gradients() {
    form_has_the_gradient_by_hand(131, 2).within(REARRANGED, "θ and φ by hand");
    form_against_finite_differences("elbo-from-importance-weights", 132, 2);
}

#[test]
fn equals_the_other_forms() {
    let mut worst = Worst::default();
    for zeros in [false, true] {
        for case in cases(130, zeros) {
            let tape = Tape::new();
            let model = on_tape(&tape, &case);
            let bounds = FORMS.map(|form| form(model).value());
            let (mean, gap) = (
                model.log_expected_weight().value(),
                model.jensen_gap().value(),
            );
            for n in 0..case.q.nrows() {
                worst.number(bounds[2][n], bounds[0][n], 1.0);
                worst.number(mean[n] - bounds[1][n], gap[n], 1.0);
                assert!(gap[n] >= -1e-15);
            }
        }
    }
    worst.within(REARRANGED, "log E w - gap of w = log p(x) - KL, absolute");
}

#[test]
fn have_the_evidence_as_their_mean_where_q_covers() {
    let mut worst = Worst::default();
    let mut missed = 0;
    for zeros in [false, true] {
        for case in cases(133, zeros) {
            let tape = Tape::new();
            let model = on_tape(&tape, &case);
            let (log_w, found) = (
                model.log_weights().value(),
                model.log_expected_weight().value(),
            );
            for n in 0..case.q.nrows() {
                let (joint, q) = (row(&case.joint, n), row(&case.q, n));
                let mean: f64 = (0..q.len()).map(|z| q[z] * log_w[[n, z]].exp()).sum();
                let covered: f64 = (0..q.len()).filter(|&z| q[z] > 0.0).map(|z| joint[z]).sum();
                worst.number(mean, covered, covered);
                worst.number(found[n].exp(), covered, covered);
                let evidence: f64 = joint.iter().sum();
                assert!(covered <= evidence * (1.0 + 1e-15));
                missed += usize::from(covered < 0.999 * evidence);
            }
        }
    }
    report(format!(
        "{missed} rows in which q misses mass, where E w < p(x)"
    ));
    assert!(missed > 3);
    worst.within(REARRANGED, "E w = Σ_{q > 0} p(x, z), relative");
}

#[test]
fn lose_half_the_variance_near_the_posterior() {
    // log E w - E log w = ½ Var(w)/p(x)² + O(ε³), for q at distance ε from the posterior.
    let mut rng = rng(135);
    let posterior = probabilities(&mut rng, 6, false);
    let raw = probabilities(&mut rng, 6, false);
    let mut points = Vec::new();
    for step in 0..6 {
        let size = 0.01 * 0.5f64.powi(step);
        let q: Vec<f64> = (0..6)
            .map(|z| (1.0 - size) * posterior[z] + size * raw[z])
            .collect();
        let tape = Tape::new();
        let joint = logs(&posterior) + 0.3f64.ln();
        let model = Enumerated::new(tape.constant(joint), tape.constant(logs(&q))).unwrap();
        let variance: f64 = (0..6)
            .map(|z| q[z] * (posterior[z] / q[z] - 1.0).powi(2))
            .sum();
        points.push((size.ln(), (model.gap().item() - 0.5 * variance).abs().ln()));
    }
    let slope = slope(&points);
    report(format!(
        "remainder of ½ Var w/p²: slope {slope:.3} in log ε, expected 3"
    ));
    assert!((slope - 3.0).abs() < 0.1);
}

#[test]
fn by_sampling() {
    let mut rng = rng(134);
    for states in [2, 6] {
        let tape = Tape::new();
        let joint = logs(&probabilities(&mut rng, states, false)) + 0.2f64.ln();
        let q = logs(&probabilities(&mut rng, states, true));
        let model = Enumerated::new(tape.constant(joint), tape.constant(q)).unwrap();
        let estimate = model.draw(100_000, &mut rng).evidence();
        estimate_agrees(
            estimate,
            model.log_expected_weight().item().exp(),
            "E w, table",
        );
    }
    for seed in 0..3 {
        let (tape, mut rng) = (Tape::new(), StdRng::seed_from_u64(1340 + seed));
        let (model, x, _) = linear(&tape, &mut rng, 3, 2);
        // Twice the posterior's variance: the weights are bounded.
        let posterior = model.posterior(x).unwrap();
        let wide = posterior.factor() * 2f64.sqrt();
        let q = MultivariateGaussian::from_factor(posterior.mean(), wide).unwrap();
        let weights = model.draw(x, &q, 100_000, &mut rng);
        let evidence = model.log_evidence(x).unwrap().item();
        estimate_agrees(weights.evidence(), evidence.exp(), "E w, linear");
        assert!((weights.log_evidence() - evidence).abs() < 0.02);
        assert!((weights.log_evidence() - weights.evidence().mean.ln()).abs() < 1e-12);
    }
}

#[test]
fn of_a_narrow_q_have_no_variance() {
    // Posterior N(0, 1), p(x) = 1, q = N(0, s): E w² = s/√(2s - 1) for s > ½, and infinite from there down.
    let second_moment = |s: f64, range: f64| {
        let step = 1e-3;
        let log_normal = |z: f64, s: f64| -0.5 * (z * z / s + (std::f64::consts::TAU * s).ln());
        let nodes = (-(range / step) as i64)..=((range / step) as i64);
        let integrand = nodes.map(|i| {
            let z = i as f64 * step;
            (2.0 * log_normal(z, 1.0) - log_normal(z, s)).exp()
        });
        integrand.sum::<f64>() * step
    };
    for s in [0.6, 1.0, 3.0] {
        let exact = s / (2.0f64 * s - 1.0).sqrt();
        assert!((second_moment(s, 20.0) - exact).abs() < 1e-9, "{s}");
    }
    // At s = ½ the integrand is constant, below it grows: the integral over [-r, r] has no limit.
    assert!((second_moment(0.5, 40.0) / second_moment(0.5, 20.0) - 2.0).abs() < 1e-3);
    assert!(second_moment(0.4, 20.0) > 1e20);
}
