//! docs/background.md#bayes-rule: the posterior is prior times likelihood over the evidence, and the gradient of the
//! log-evidence in the log-likelihoods is the posterior.

mod conjugate;
mod limits;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::background::{bayes, posterior};
use elbo::distributions::Categorical;
use elbo::distributions::noise::standard_uniform;
use ndarray::{Array1, Array2, ArrayD, Axis};

use crate::common::arrays::{owned, softmax};
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::{random, rng, vector};
use crate::common::reporting::report;

/// The shapes of the logits of the prior and of the log-likelihood.
const TABLES: [[&[usize]; 2]; 5] = [
    [&[1], &[1]],
    [&[4], &[4]],
    [&[3], &[5, 3]],
    [&[2, 1, 3], &[4, 3]],
    [&[1, 6], &[1, 6]],
];

fn log_evidence<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let last = v[0].ndim() - 1;
    posterior(v[0].log_softmax(last), v[1])
        .unwrap()
        .log_evidence
}

fn log_posterior<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let last = v[0].ndim() - 1;
    posterior(v[0].log_softmax(last), v[1])
        .unwrap()
        .log_posterior
}

#[test]
fn by_hand() {
    let mut rng = rng(101);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for [prior_shape, likelihood_shape] in TABLES {
        let point = [
            random(&mut rng, prior_shape),
            random(&mut rng, likelihood_shape),
        ];
        let tape = Tape::new();
        let v = [
            tape.variable(point[0].clone()),
            tape.variable(point[1].clone()),
        ];
        let evidence = log_evidence(&v);
        let (log_p, log_x) = (owned(log_posterior(&v).value()), owned(evidence.value()));
        let cotangent = random(&mut rng, log_x.shape());
        let gradients = tape.pull_back(evidence, cotangent.clone(), &[]);

        // Row by row, in probabilities: ∂ log p(x)/∂ log p(x|z) is the posterior, and with respect to the prior's
        // logits it is posterior - prior.
        let shape = log_p.shape();
        let k = shape[shape.len() - 1];
        let wide = |x: &ArrayD<f64>| x.broadcast(shape).unwrap().to_owned();
        let (logits, likelihood) = (wide(&point[0]), wide(&point[1]));
        let (mut a_bar, mut l_bar) = (ArrayD::zeros(shape), ArrayD::zeros(shape));
        let rows = logits.rows().into_iter().zip(likelihood.rows());
        for (row, (logits, likelihood)) in rows.enumerate() {
            let prior = softmax(&logits.to_owned());
            let (expected, p_x) = bayes(prior.view(), likelihood.mapv(f64::exp).view()).unwrap();
            let found = log_p.rows().into_iter().nth(row).unwrap();
            let found = found.mapv(f64::exp).into_dyn();
            value.entries(&found, &expected.clone().into_dyn());
            value.number(log_x.iter().nth(row).unwrap().exp(), p_x, p_x);
            let weight = *cotangent.iter().nth(row).unwrap();
            for z in 0..k {
                *a_bar.iter_mut().nth(row * k + z).unwrap() = weight * (expected[z] - prior[z]);
                *l_bar.iter_mut().nth(row * k + z).unwrap() = weight * expected[z];
            }
        }
        let narrow = |wide: ArrayD<f64>, shape: &[usize]| {
            let tape = Tape::new();
            owned(tape.constant(wide).sum_to(shape).value())
        };
        gradient.entries(&owned(gradients.wrt(v[0])), &narrow(a_bar, prior_shape));
        gradient.entries(
            &owned(gradients.wrt(v[1])),
            &narrow(l_bar, likelihood_shape),
        );
    }
    value.within(
        REARRANGED,
        "posterior and evidence: in log space = in probabilities",
    );
    gradient.within(REARRANGED, "gradient of log p(x): hand = autodiff");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(102);
    let mut checked = Checked::default();
    for shapes in TABLES {
        let point = shapes.map(|shape| random(&mut rng, shape));
        for f in [log_evidence, log_posterior] {
            let check = Check::new("bayes-rule");
            checked.add(check.run(&point, f).unwrap());
            checked.add(check.run_second_order(&point, f).unwrap());
        }
    }
    checked.print("first and second order");
}

#[test]
fn one_observation_after_another() {
    // The posterior of the first is the prior of the second; p(x, y) = p(x) p(y|x).
    let mut rng = rng(104);
    let mut worst = Worst::default();
    for k in [1, 2, 5] {
        let tape = Tape::new();
        let prior = tape.constant(vector(&mut rng, k)).log_softmax(0);
        let [x, y] = [0, 1].map(|_| tape.constant(vector(&mut rng, k)));
        let both = posterior(prior, x + y).unwrap();
        let first = posterior(prior, x).unwrap();
        let second = posterior(first.log_posterior, y).unwrap();
        worst.entries(
            &owned(second.log_posterior.value()),
            &owned(both.log_posterior.value()),
        );
        let sum = first.log_evidence + second.log_evidence;
        worst.number(sum.item(), both.log_evidence.item(), 1.0);
    }
    worst.within(REARRANGED, "two observations at once = one after the other");
}

#[test]
fn is_the_frequency_of_causes() {
    // z from the prior, x from its row of the table; among the draws that show x, the share of each z.
    let n = 100_000;
    let mut rng = rng(103);
    let prior = softmax(&vector(&mut rng, 3));
    let table: Vec<Array1<f64>> = (0..3).map(|_| softmax(&vector(&mut rng, 4))).collect();
    let rows = ndarray::stack(
        Axis(0),
        &[table[0].view(), table[1].view(), table[2].view()],
    );
    let tape = Tape::new();
    let mut draw = |logits: Var<'_, f64>| {
        let u = standard_uniform(logits.tape(), &[n, 1], &mut rng);
        let one_hot = Categorical { logits }.sample(u).value();
        let class = |row: ndarray::ArrayView1<f64>| row.iter().position(|x| *x == 1.0).unwrap();
        one_hot.rows().into_iter().map(class).collect::<Vec<_>>()
    };
    let causes = draw(tape.constant(prior.mapv(f64::ln)).broadcast_to(&[n, 3]));
    let effects = draw(tape.constant(rows.unwrap().mapv(f64::ln)).gather(&causes));
    let mut counts = Array2::<f64>::zeros((4, 3));
    for (i, &z) in causes.iter().enumerate() {
        counts[[effects[i], z]] += 1.0;
    }
    let mut worst = 0.0f64;
    for x in 0..4 {
        let likelihood = Array1::from_shape_fn(3, |z| table[z][x]);
        let (posterior, evidence) = bayes(prior.view(), likelihood.view()).unwrap();
        let shown = counts.row(x).sum();
        let deviation = |p: f64, n: f64| (p * (1.0 - p) / n).sqrt();
        let n = n as f64;
        worst = worst.max((shown / n - evidence).abs() / deviation(evidence, n));
        for z in 0..3 {
            let share = counts[[x, z]] / shown;
            worst = worst.max((share - posterior[z]).abs() / deviation(posterior[z], shown));
        }
    }
    report(format!(
        "{n} pairs: worst of 16 frequencies {worst:.2} standard errors away"
    ));
    assert!(worst < 4.0);
}
