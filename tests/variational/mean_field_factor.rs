//! docs/variational.md#mean-field-factor: with the other factors fixed the best q_j is proportional to exp E_{-j} log
//! p.

mod limits;
mod optima;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::variational;
use elbo::variational::{
    Enumerated, Stopping, coordinate_ascent, expected_log_joint, optimal_factor,
};
use ndarray::{Array1, ArrayD, IxDyn};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::{random, rng};
use crate::common::reporting::report;
use crate::variational::shared::tables::{NEVER, probabilities};

const TABLES: [&[usize]; 5] = [&[2, 2, 2], &[3, 2, 4], &[5], &[2, 3, 2, 2], &[1, 3]];

fn factors(rng: &mut StdRng, shape: &[usize], zeros: bool) -> Vec<Array1<f64>> {
    let factor = |&states: &usize| probabilities(rng, states, zeros).into();
    shape.iter().map(factor).collect()
}

/// Π_j q_j(z_j) as a table.
fn product(factors: &[Array1<f64>]) -> ArrayD<f64> {
    let shape: Vec<usize> = factors.iter().map(Array1::len).collect();
    ArrayD::from_shape_fn(IxDyn(&shape), |z| {
        (0..factors.len()).map(|j| factors[j][z[j]]).product()
    })
}

#[test]
fn by_enumeration() {
    let mut rng = rng(160);
    let (mut expectation, mut bound) = (Worst::default(), Worst::default());
    for shape in TABLES {
        for zeros in [false, true] {
            let mut log_joint = random(&mut rng, shape);
            let q = factors(&mut rng, shape, zeros);
            // Where q is 0 the joint may be 0.
            let mass = product(&q);
            log_joint.zip_mut_with(&mass, |l, q| {
                if *q == 0.0 {
                    *l = NEVER
                }
            });
            let terms = || log_joint.indexed_iter().filter(|(z, _)| mass[z] > 0.0);
            let naive: f64 = terms().map(|(z, l)| mass[&z] * (l - mass[&z].ln())).sum();
            bound.number(variational::elbo(&log_joint, &q).unwrap(), naive, 1.0);
            for j in 0..shape.len() {
                let expected = expected_log_joint(&log_joint, &q, j).unwrap();
                let updated = optimal_factor(&log_joint, &q, j).unwrap();
                assert!((updated.sum() - 1.0).abs() < 1e-14);
                for state in (0..shape[j]).filter(|&state| q[j][state] > 0.0) {
                    let exact: f64 = terms()
                        .filter(|(z, _)| z[j] == state)
                        .map(|(z, l)| mass[&z] / q[j][state] * l)
                        .sum();
                    expectation.number(expected[state], exact, 1.0);
                    // q_j* ∝ exp of it.
                    let constant = expected[0] - updated[0].ln();
                    expectation.number(updated[state].ln() + constant, expected[state], 1.0);
                }
            }
        }
    }
    expectation.within(REARRANGED, "E_{-j} log p, absolute");
    bound.within(REARRANGED, "bound of a product, absolute");
}

/// The bound of a product of softmaxes on the tape, through the table of all states.
fn product_bound<'t>(v: &[Var<'t, f64>], log_joint: &ArrayD<f64>) -> Var<'t, f64> {
    let tape = v[0].tape();
    let mut log_q = tape.full(&vec![1; v.len()], 0.0);
    for (j, logits) in v.iter().enumerate() {
        let mut shape = vec![1; v.len()];
        shape[j] = logits.size();
        log_q = log_q + logits.log_softmax(0).reshape(&shape);
    }
    let log_joint = tape.constant(log_joint.clone()).flatten();
    let model = Enumerated::new(log_joint, log_q.flatten()).unwrap();
    model.elbo_from_jensen()
}

#[test]
fn gradients() {
    // Before an update ∇ of the bound in the logits of factor j is q_j (log q_j* - log q_j - its mean), after it 0.
    let mut rng = rng(161);
    let (mut by_hand, mut largest) = (Worst::default(), 0.0f64);
    let mut checked = Checked::default();
    for shape in TABLES {
        let log_joint = random(&mut rng, shape);
        let mut q = factors(&mut rng, shape, false);
        let j = rng.random_range(0..shape.len());
        let gradient = |q: &[Array1<f64>]| {
            let tape = Tape::new();
            let v: Vec<Var<'_, f64>> = q.iter().map(|q| tape.variable(q.mapv(f64::ln))).collect();
            let bound = product_bound(&v, &log_joint);
            assert!((bound.item() - variational::elbo(&log_joint, q).unwrap()).abs() < 1e-13);
            owned(tape.gradients(bound).wrt(v[j]))
        };
        let best = optimal_factor(&log_joint, &q, j).unwrap();
        let score = (&best / &q[j]).mapv(f64::ln);
        let mean = (&q[j] * &score).sum();
        let exact = &q[j] * &(score - mean);
        if shape[j] > 1 {
            by_hand.entries(&gradient(&q), &exact.into_dyn());
        }
        q[j] = best;
        largest = gradient(&q).iter().fold(largest, |m, g| m.max(g.abs()));
        let point: Vec<ArrayD<f64>> = q.iter().map(|q| random(&mut rng, q.shape())).collect();
        let check = Check::new("mean-field-factor");
        checked.add(check.run(&point, |v| product_bound(v, &log_joint)).unwrap());
        checked.add(
            check
                .run_second_order(&point, |v| product_bound(v, &log_joint))
                .unwrap(),
        );
    }
    report(format!("largest slope after an update {largest:.1e}"));
    assert!(largest < 1e-14);
    by_hand.within(1e-12, "∇ of the bound by hand");
    checked.print("bound of a product");
}

#[test]
fn never_lowers_the_bound() {
    let mut rng = rng(162);
    let (mut sweeps, mut nearest) = (0, f64::INFINITY);
    for case in 0..100 {
        let shape = TABLES[case % TABLES.len()];
        let log_joint = random(&mut rng, shape) * 2.0;
        let evidence = log_joint.iter().map(|l| l.exp()).sum::<f64>().ln();
        let start = factors(&mut rng, shape, false);
        let fit = coordinate_ascent(&log_joint, &start, Stopping::default()).unwrap();
        assert!(fit.converged);
        assert!(
            fit.elbos
                .windows(2)
                .all(|e| e[1] >= e[0] - 1e-14 * e[0].abs().max(1.0))
        );
        assert!(fit.elbo() <= evidence + 1e-14 * evidence.abs().max(1.0));
        sweeps += fit.elbos.len() - 1;
        if shape.iter().filter(|&&states| states > 1).count() > 1 {
            nearest = nearest.min(evidence - fit.elbo());
        } else {
            // One variable alone is no restriction.
            assert!((evidence - fit.elbo()).abs() < 1e-13);
        }
    }
    report(format!(
        "{sweeps} sweeps; smallest gap of a product {nearest:.1e} nats"
    ));
    assert!(nearest > 0.0);
}
