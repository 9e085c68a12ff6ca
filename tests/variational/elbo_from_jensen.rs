//! docs/variational.md#elbo-from-jensen: ELBO = E log w <= log E w, with w = p(x, z)/q(z), tight only for constant w.

use elbo::autodiff::{Tape, Var};
use elbo::kl::log_tables;
use elbo::variational::{Enumerated, LogWeights, elbo_from_prior};
use ndarray::arr1;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::common::comparing::{REARRANGED, Worst};
use crate::common::random::rng;
use crate::common::reporting::report;
use crate::common::statistics::estimate_agrees;
use crate::variational::shared::linear_models::linear;
use crate::variational::shared::tables::{
    NEVER, cases, form_against_finite_differences, form_has_the_gradient_by_hand, logs, on_tape,
    probabilities,
};

#[test]
fn gradients() {
    form_has_the_gradient_by_hand(121, 1).within(REARRANGED, "θ and φ by hand");
    form_against_finite_differences("elbo-from-jensen", 122, 1);
}

#[test]
fn equals_elbo_from_kl() {
    let mut worst = Worst::default();
    for zeros in [false, true] {
        for case in cases(120, zeros) {
            let tape = Tape::new();
            let model = on_tape(&tape, &case);
            let [from_kl, jensen] =
                [model.elbo_from_kl(), model.elbo_from_jensen()].map(Var::value);
            let (evidence, mean) = (
                model.evidence().value(),
                model.log_expected_weight().value(),
            );
            for n in 0..case.q.nrows() {
                worst.number(jensen[n], from_kl[n], 1.0);
                assert!(jensen[n] <= mean[n] + 1e-14 && mean[n] <= evidence[n] + 1e-14);
            }
        }
    }
    worst.within(REARRANGED, "E log w = log p(x) - KL, absolute");
}

#[test]
fn as_likelihood_minus_the_divergence_from_the_prior() {
    let mut rng = rng(124);
    let mut worst = Worst::default();
    let (mut with_plus_above, mut cases) = (0, 0);
    for case in 0..100 {
        let states = 2 + case % 5;
        let prior = probabilities(&mut rng, states, case % 3 == 0);
        // Possible under q only where it is under the prior.
        let raw: Vec<f64> = prior
            .iter()
            .map(|p| if *p > 0.0 { rng.random() } else { 0.0 })
            .collect();
        let q: Vec<f64> = raw.iter().map(|r| r / raw.iter().sum::<f64>()).collect();
        let likelihood: Vec<f64> = (0..states).map(|_| rng.random_range(0.01..3.0)).collect();
        let tape = Tape::new();
        let [prior, q, likelihood] = [&prior, &q, &likelihood].map(|p| tape.constant(logs(p)));
        let model = Enumerated::new(likelihood + prior, q).unwrap();
        let found = elbo_from_prior(likelihood, prior, q).unwrap().item();
        worst.number(found, model.elbo_from_jensen().item(), 1.0);
        // With a plus it is no lower bound.
        let wrong = found + 2.0 * log_tables(q, prior).unwrap().item();
        with_plus_above += usize::from(wrong > model.evidence().item());
        cases += 1;
    }
    report(format!(
        "with + KL the `bound` lies above log p(x) in {with_plus_above} of {cases} cases"
    ));
    assert!(with_plus_above > 20);
    worst.within(REARRANGED, "E log p(x|z) - KL(q‖prior) = E log w, absolute");
}

#[test]
fn is_tight_only_for_constant_weights() {
    let mut rng = rng(123);
    for states in 2..8 {
        let posterior = probabilities(&mut rng, states, states % 2 == 0);
        let evidence = rng.random_range(0.01..1.0);
        let joint: Vec<f64> = posterior.iter().map(|p| p * evidence).collect();
        let slack = |q: &[f64]| {
            let tape = Tape::new();
            let model =
                Enumerated::new(tape.constant(logs(&joint)), tape.constant(logs(q))).unwrap();
            model.evidence().item() - model.elbo_from_jensen().item()
        };
        assert!(slack(&posterior).abs() < 1e-14);
        let mut other = posterior.clone();
        other[0] *= 0.9;
        let total: f64 = other.iter().sum();
        other.iter_mut().for_each(|q| *q /= total);
        assert!(posterior[0] == 1.0 || slack(&other) > 1e-6);
        // A q that is proportional to the posterior where it is not 0 has constant weights, and is not tight: it misses mass.
        let mut part = posterior.clone();
        part[0] = 0.0;
        let total: f64 = part.iter().sum();
        if total > 0.0 {
            part.iter_mut().for_each(|q| *q /= total);
            assert!((slack(&part) + total.ln()).abs() < 1e-13);
        }
    }
}

#[test]
fn by_sampling() {
    let mut rng = rng(125);
    let mut farthest = 0.0f64;
    for states in [2, 5, 9] {
        let tape = Tape::new();
        let joint = logs(&probabilities(&mut rng, states, false)) + 0.1f64.ln();
        let q = logs(&probabilities(&mut rng, states, true));
        let model = Enumerated::new(tape.constant(joint), tape.constant(q)).unwrap();
        let estimate = model.draw(100_000, &mut rng).elbo();
        farthest = farthest.max(estimate_agrees(
            estimate,
            model.elbo_from_jensen().item(),
            "E log w, table",
        ));
    }
    for seed in 0..3 {
        let (tape, mut rng) = (Tape::new(), StdRng::seed_from_u64(1250 + seed));
        let (model, x, q) = linear(&tape, &mut rng, 4, 2);
        let estimate = model.draw(x, &q, 100_000, &mut rng).elbo();
        farthest = farthest.max(estimate_agrees(
            estimate,
            model.elbo(x, &q).item(),
            "E log w, linear",
        ));
        // At the posterior every weight is p(x): no draw differs from another.
        let posterior = model.posterior(x).unwrap();
        let constant = model.draw(x, &posterior, 1000, &mut rng).elbo();
        assert!(
            constant.standard_error < 1e-14
                && (constant.mean - model.log_evidence(x).unwrap().item()).abs() < 1e-12
        );
    }
    report(format!("farthest {farthest:.2} standard errors"));
    // A weight of 0 is no accident: the bound is -∞.
    let weights = LogWeights::new(arr1(&[-1.0, NEVER]));
    assert_eq!(
        (weights.elbo().mean, weights.evidence().mean),
        (NEVER, 0.5 * (-1.0f64).exp())
    );
    assert_eq!(LogWeights::new(arr1(&[NEVER, NEVER])).log_evidence(), NEVER);
}
