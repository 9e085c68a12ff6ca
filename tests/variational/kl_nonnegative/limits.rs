//! Infinite divergences, and what is no table.

use elbo::autodiff::Tape;
use elbo::background::BadData;
use elbo::kl::log_tables;
use elbo::variational::Enumerated;
use ndarray::{Array1, arr1};

use super::plain_divergence;
use crate::variational::shared::tables::{FORMS, NEVER, logs};

#[test]
fn and_bounds_are_infinite_and_no_nan() {
    // Where the value is infinite there is no gradient; the value is never NaN.
    let tables = [
        [1.0, 0.0, 0.0],
        [0.0, 1.0, 0.0],
        [0.5, 0.5, 0.0],
        [0.2, 0.3, 0.5],
    ];
    for (q, p) in tables
        .iter()
        .flat_map(|q| tables.iter().map(move |p| (q, p)))
    {
        let covered = q.iter().zip(p).all(|(q, p)| *q == 0.0 || *p > 0.0);
        let divergence = plain_divergence(q, p);
        assert!(divergence.is_finite() == covered && divergence >= 0.0);
        let tape = Tape::new();
        let model = Enumerated::new(tape.constant(logs(p)), tape.constant(logs(q))).unwrap();
        for form in FORMS {
            let bound = form(model).item();
            assert!(
                !bound.is_nan() && (bound == NEVER) != covered,
                "{q:?} {p:?} {bound}"
            );
        }
        let gap = model.jensen_gap().item();
        assert!(gap >= 0.0 && (gap == f64::INFINITY) != covered);
        assert!(model.log_expected_weight().item() <= 1e-15);
    }
}

#[test]
fn refuses_what_is_no_table() {
    let tape = Tape::new();
    let good = tape.constant(logs(&[0.5, 0.5]));
    let with = |table: Array1<f64>| log_tables(tape.constant(table), good).unwrap_err();
    assert!(matches!(
        with(arr1(&[f64::NAN, 0.0])),
        BadData::Number {
            what: "q",
            index: 0,
            ..
        }
    ));
    assert!(matches!(
        with(arr1(&[f64::INFINITY, 0.0])),
        BadData::Number { .. }
    ));
    assert!(matches!(with(logs(&[0.5, 0.6])), BadData::Total { found, .. } if found > 1.09));
    assert!(matches!(with(arr1(&[])), BadData::Empty { what: "q" }));
    assert!(matches!(
        log_tables(good, tape.constant(arr1(&[NEVER, NEVER]))).unwrap_err(),
        BadData::Total { what: "p", .. }
    ));
    for error in [
        with(arr1(&[f64::NAN, 0.0])),
        with(logs(&[0.5, 0.6])),
        with(arr1(&[])),
    ] {
        let message = error.to_string();
        assert!(
            message.contains("expected") && message.contains("found"),
            "{message}"
        );
    }
}
