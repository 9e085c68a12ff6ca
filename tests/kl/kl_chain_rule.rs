//! docs/kl.md#kl-chain-rule: the divergence of a joint distribution is that of a marginal plus the mean of those of the
//! conditionals.

use elbo::background::BadData;
use elbo::kl::{ChainRule, chain_rule, chain_terms, tables};
use ndarray::{ArrayD, Axis, IxDyn, arr1, arr2};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::comparing::Worst;
use crate::common::random::rng;
use crate::common::reporting::report;

/// A random table, with about this part of its entries 0.
fn random_table(rng: &mut StdRng, shape: &[usize], zeros: f64) -> ArrayD<f64> {
    let mut entry = || {
        if rng.random_bool(zeros) {
            0.0
        } else {
            rng.random_range(0.01..1.0)
        }
    };
    let mut table = ArrayD::from_shape_simple_fn(IxDyn(shape), &mut entry);
    if table.sum() == 0.0 {
        table.fill(1.0);
    }
    let total = table.sum();
    table / total
}

#[test]
fn on_random_tables() {
    let mut rng = rng(71);
    let (mut worst, mut by_enumeration) = (Worst::default(), Worst::default());
    for shape in [&[4][..], &[2, 3], &[3, 1, 2], &[2, 3, 2, 2], &[1, 1]] {
        for zeros in [0.0, 0.4] {
            for _ in 0..5 {
                let q = random_table(&mut rng, shape, zeros);
                let p = random_table(&mut rng, shape, 0.0);
                let expected: f64 = q
                    .iter()
                    .zip(&p)
                    .filter(|(q, _)| **q > 0.0)
                    .map(|(q, p)| q * (q / p).ln())
                    .sum();
                by_enumeration.number(tables(&q, &p).unwrap(), expected, 1.0);
                for split in 0..=shape.len() {
                    let parts = chain_rule(&q, &p, split).unwrap();
                    worst.number(parts.marginal + parts.conditional, parts.joint, 1.0);
                    assert!(parts.marginal >= 0.0 && parts.conditional >= 0.0);
                }
                let terms = chain_terms(&q, &p).unwrap();
                assert_eq!(terms.len(), shape.len());
                worst.number(terms.iter().sum(), expected, 1.0);
            }
        }
    }
    by_enumeration.within(1e-14, "tables = enumeration");
    worst.within(1e-14, "joint = marginal + conditional");
}

#[test]
fn takes_its_mean_under_the_first_distribution() {
    // With the mean of the conditional divergences under p(x), the parts do not add up.
    let q = arr2(&[[0.6, 0.1], [0.1, 0.2]]).into_dyn();
    let p = arr2(&[[0.1, 0.1], [0.4, 0.4]]).into_dyn();
    let parts = chain_rule(&q, &p, 1).unwrap();
    let row = |i: usize| {
        let slice = |t: &ArrayD<f64>| {
            let row = t.index_axis(Axis(0), i).to_owned();
            let total = row.sum();
            row / total
        };
        tables(&slice(&q), &slice(&p)).unwrap()
    };
    let under_p = 0.2 * row(0) + 0.8 * row(1);
    let off = parts.marginal + under_p - parts.joint;
    report(format!(
        "mean under p: off by {off:.3} of {:.3}",
        parts.joint
    ));
    assert!(off.abs() > 0.05);
    assert!((0.7 * row(0) + 0.3 * row(1) - parts.conditional).abs() < 1e-15);
    // And the order of the variables makes other terms of the same sum.
    let transposed = |t: &ArrayD<f64>| t.t().to_owned();
    let (forth, back) = (
        chain_terms(&q, &p).unwrap(),
        chain_terms(&transposed(&q), &transposed(&p)).unwrap(),
    );
    assert!((forth[0] - back[1]).abs() > 0.01);
    assert!((forth.iter().sum::<f64>() - back.iter().sum::<f64>()).abs() < 1e-15);
}

#[test]
fn where_there_are_zeros() {
    let q = arr2(&[[0.5, 0.0], [0.0, 0.5]]).into_dyn();
    let p = arr2(&[[0.5, 0.5], [0.0, 0.0]]).into_dyn();
    // p excludes the second row, which q allows: the marginal alone is infinite.
    let ChainRule {
        joint,
        marginal,
        conditional,
    } = chain_rule(&q, &p, 1).unwrap();
    assert_eq!((joint, marginal), (f64::INFINITY, f64::INFINITY));
    assert!((conditional - 0.5 * 2f64.ln()).abs() < 1e-15);
    // The other way round p's second column is met nowhere.
    assert_eq!(chain_rule(&p, &q, 1).unwrap().joint, f64::INFINITY);
    for table in [&p, &q] {
        let parts = chain_rule(table, table, 1).unwrap();
        assert_eq!(
            (parts.joint, parts.marginal, parts.conditional),
            (0.0, 0.0, 0.0)
        );
    }
    // A row that q excludes needs no conditional.
    let r = arr2(&[[0.25, 0.75], [0.0, 0.0]]).into_dyn();
    let uniform = ArrayD::from_elem(IxDyn(&[2, 2]), 0.25);
    let parts = chain_rule(&r, &uniform, 1).unwrap();
    assert!((parts.marginal + parts.conditional - parts.joint).abs() < 1e-15);
    assert!(parts.conditional.is_finite());
}

#[test]
fn refuses_what_is_no_table() {
    let good = arr1(&[0.5, 0.5]).into_dyn();
    let refused = |bad: &[f64]| tables(&arr1(bad).into_dyn(), &good).unwrap_err();
    assert!(matches!(
        refused(&[1.5, -0.5]),
        BadData::Number {
            what: "q",
            index: 1,
            found: -0.5,
            ..
        }
    ));
    assert!(matches!(refused(&[f64::NAN, 0.5]), BadData::Number { .. }));
    assert!(matches!(refused(&[0.5, 0.6]), BadData::Total { .. }));
    let empty = ArrayD::zeros(IxDyn(&[0]));
    assert_eq!(tables(&empty, &empty), Err(BadData::Empty { what: "q" }));
}
