//! docs/variational.md#elbo-from-kl: log p(x) = ELBO + KL(q ‖ p(z|x)).

use elbo::autodiff::{Tape, Var};
use elbo::background::BadData;
use elbo::variational::Enumerated;
use ndarray::{arr1, arr2};

use crate::common::comparing::{REARRANGED, Worst};
use crate::variational::shared::tables::{
    FORMS, NEVER, cases, form_against_finite_differences, form_has_the_gradient_by_hand, logs,
    naive_divergence, on_tape, row,
};

#[test]
fn gradients() {
    form_has_the_gradient_by_hand(111, 0).within(REARRANGED, "θ and φ by hand");
    form_against_finite_differences("elbo-from-kl", 112, 0);
}

/// Evidence, divergence from the posterior and bound of one row, from the definitions.
fn evidence_gap_and_bound(joint: &[f64], q: &[f64]) -> [f64; 3] {
    let evidence: f64 = joint.iter().sum();
    let posterior: Vec<f64> = joint.iter().map(|p| p / evidence).collect();
    let terms = q.iter().zip(joint).filter(|(q, _)| **q > 0.0);
    let bound = terms.map(|(q, p)| q * (p / q).ln()).sum();
    [evidence.ln(), naive_divergence(q, &posterior), bound]
}

#[test]
fn by_enumeration() {
    let mut worst = Worst::default();
    for zeros in [false, true] {
        for case in cases(110, zeros) {
            let tape = Tape::new();
            let model = on_tape(&tape, &case);
            let found = [model.evidence(), model.gap(), model.elbo_from_kl()].map(Var::value);
            for n in 0..case.q.nrows() {
                let exact = evidence_gap_and_bound(&row(&case.joint, n), &row(&case.q, n));
                for (found, exact) in found.iter().zip(exact) {
                    worst.number(found[n], exact, 1.0);
                }
            }
        }
    }
    worst.within(REARRANGED, "evidence, gap and bound, absolute");
}

#[test]
fn at_the_limits() {
    let tape = Tape::new();
    let table = |p: &[f64]| tape.constant(logs(p));
    // Mass where the joint is 0: the bound is -∞ on every form, the evidence is not.
    let model = Enumerated::new(table(&[0.3, 0.0]), table(&[0.5, 0.5])).unwrap();
    for form in FORMS {
        assert_eq!(form(model).item(), NEVER);
    }
    assert_eq!(model.gap().item(), f64::INFINITY);
    assert!((model.evidence().item() - 0.3f64.ln()).abs() < 1e-15);
    // Even if all of q lies there, or so little that it rounds to 0.
    let logits = tape.constant(arr1(&[0.0, -800.0])).log_softmax(0);
    for (joint, q) in [([0.0, 0.3], table(&[1.0, 0.0])), ([0.3, 0.0], logits)] {
        let model = Enumerated::new(table(&joint), q).unwrap();
        assert_eq!(FORMS.map(|form| form(model).item()), [NEVER; 3]);
    }
    // No z can have caused the second x.
    let joint = tape.constant(arr2(&[[0.1, 0.2], [0.0, 0.0]]).mapv(f64::ln));
    let error = Enumerated::new(joint, table(&[0.5, 0.5])).unwrap_err();
    assert_eq!(error, BadData::Impossible { row: 1 });
    assert!(Enumerated::new(table(&[0.3, 0.1]), table(&[0.3, 0.1])).is_err());
    assert!(Enumerated::new(tape.constant(arr1(&[f64::NAN, 0.0])), table(&[0.5, 0.5])).is_err());
    assert!(Enumerated::new(tape.constant(arr1(&[])), tape.constant(arr1(&[]))).is_err());
    // f32, where the joint is far below the smallest number.
    let tape = Tape::<f32>::new();
    let joint = tape.constant(arr1(&[-500.0f32, -500.0]));
    let q = tape.constant(arr1(&[0.5f32.ln(), 0.5f32.ln()]));
    let model = Enumerated::new(joint, q).unwrap();
    assert!((model.elbo_from_kl().item() - (2f32.ln() - 500.0)).abs() < 1e-3);
}
