//! docs/vae.md#minibatch-objective: N/M times the sum over a batch has the sum over all data as its mean, with the
//! variance of sampling with or without replacement.

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::nn::Bound;
use elbo::vae::{Drawing, minibatch_objective, minibatch_variance, profile_noise};
use ndarray::{Array1, ArrayD, Axis, arr1};
use rand::Rng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, Worst};
use crate::common::random::{matrix, random, rng, vector};
use crate::common::reporting::report;
use crate::common::statistics::Statistics;
use crate::vae::shared::networks::{LIKELIHOODS, data, model, small, values};

/// Every choice of m out of n, in order.
fn choices(n: usize, m: usize) -> Vec<Vec<usize>> {
    (0..1usize << n)
        .filter(|set| set.count_ones() as usize == m)
        .map(|set| (0..n).filter(|i| set >> i & 1 == 1).collect())
        .collect()
}

/// Every tuple of m out of n.
fn tuples(n: usize, m: usize) -> Vec<Vec<usize>> {
    (0..n.pow(m as u32))
        .map(|code| (0..m).map(|k| code / n.pow(k as u32) % n).collect())
        .collect()
}

/// The estimate from a batch of rows of `terms`, and its gradient with respect to all of them.
fn estimated(terms: &Array1<f64>, batch: &[usize]) -> (f64, ArrayD<f64>) {
    let tape = Tape::new();
    let all = tape.variable(terms.clone());
    let estimate = minibatch_objective(all.gather(batch), terms.len());
    (estimate.item(), owned(tape.gradients(estimate).wrt(all)))
}

#[test]
fn over_all_minibatches() {
    let mut rng = rng(130);
    let (mut mean, mut variance, mut gradient) =
        (Worst::default(), Worst::default(), Worst::default());
    for [n, m] in [[1, 1], [5, 1], [5, 2], [6, 3], [7, 4], [4, 4]] {
        let terms = vector(&mut rng, n) * 3.0 - 5.0;
        for drawing in [Drawing::WithoutReplacement, Drawing::WithReplacement] {
            let batches = match drawing {
                Drawing::WithoutReplacement => choices(n, m),
                Drawing::WithReplacement => tuples(n, m),
            };
            let count = batches.len() as f64;
            let found: Vec<_> = batches.iter().map(|b| estimated(&terms, b)).collect();
            let average = found.iter().map(|f| f.0).sum::<f64>() / count;
            mean.number(average, terms.sum(), terms.sum().abs());
            let squares: f64 = found.iter().map(|f| (f.0 - average).powi(2)).sum();
            let exact = minibatch_variance(terms.as_slice().unwrap(), m, drawing);
            variance.number(exact, squares / count, (n * n) as f64);
            // Each datum counts once on average.
            let total = found
                .iter()
                .fold(ArrayD::zeros(vec![n]), |sum, f| sum + &f.1);
            gradient.entries(&(total / count), &ArrayD::ones(vec![n]));
        }
    }
    mean.within(1e-13, "mean over all minibatches = sum over all data");
    variance.within(1e-13, "variance over all minibatches");
    gradient.within(1e-13, "mean gradient");
}

#[test]
fn of_a_vae_over_all_minibatches() {
    // Noise belongs to the datum and is frozen: then the bound of a datum is a fixed function of the weights.
    let mut rng = rng(131);
    let (mut worst, mut checked) = (Worst::default(), Checked::default());
    for likelihood in LIKELIHOODS {
        let (vae, p) = model(small(likelihood), &mut rng);
        let (n, m) = (5, 2);
        let x = data(likelihood, &mut rng, &[n, 3]);
        let noise = random(&mut rng, &[n, 2]);
        let gradient = |batch: &[usize]| {
            let tape = Tape::new();
            let bound = p.bind(&tape);
            let rows = |all: &ArrayD<f64>| tape.constant(all.select(Axis(0), batch));
            let elbo = vae.elbo(&bound, rows(&x), rows(&noise)).value();
            let gradients = tape.gradients(minibatch_objective(elbo, n));
            let flat = bound
                .vars()
                .iter()
                .flat_map(|&v| owned(gradients.wrt(v)).into_iter().collect::<Vec<_>>());
            Array1::from_iter(flat)
        };
        let all: Vec<usize> = (0..n).collect();
        let batches = choices(n, m);
        let sum = batches
            .iter()
            .fold(gradient(&all) * 0.0, |sum, b| sum + gradient(b));
        worst.entries(
            &(sum / batches.len() as f64).into_dyn(),
            &gradient(&all).into_dyn(),
        );
        let report = Check::new("minibatch-objective").run(&values(&p), |v| {
            let (bound, tape) = (Bound::from_vars(v), v[0].tape());
            let rows = |all: &ArrayD<f64>| tape.constant(all.select(Axis(0), &[3, 1]));
            minibatch_objective(vae.elbo(&bound, rows(&x), rows(&noise)).value(), n)
        });
        checked.add(report.unwrap());
    }
    worst.within(
        1e-12,
        "mean gradient over all minibatches = gradient over all data",
    );
    checked.print("every weight, on a minibatch");
}

#[test]
fn by_draws() {
    let mut rng = rng(132);
    let terms = vector(&mut rng, 30);
    for drawing in [Drawing::WithoutReplacement, Drawing::WithReplacement] {
        let (m, n) = (8, terms.len());
        let draws: Vec<f64> = (0..100_000)
            .map(|_| {
                let batch: Vec<usize> = match drawing {
                    Drawing::WithoutReplacement => {
                        rand::seq::index::sample(&mut rng, n, m).into_vec()
                    }
                    Drawing::WithReplacement => (0..m).map(|_| rng.random_range(0..n)).collect(),
                };
                batch.iter().map(|&i| terms[i]).sum::<f64>() * n as f64 / m as f64
            })
            .collect();
        let exact = terms.sum();
        Statistics::of(&draws).agree_with(exact, &format!("{drawing:?}"));
        let squares: Vec<f64> = draws.iter().map(|d| (d - exact).powi(2)).collect();
        let variance = minibatch_variance(terms.as_slice().unwrap(), m, drawing);
        Statistics::of(&squares).agree_with(variance, "its variance");
    }
}

#[test]
fn is_biased_where_data_are_not_added_up() {
    let mut rng = rng(133);
    // The profiled Gaussian log-likelihood is a logarithm of a mean: batches are too good, by Jensen's inequality.
    let (n, m, d) = (6, 2, 3);
    let (x, f) = (matrix(&mut rng, [n, d]), matrix(&mut rng, [n, d]));
    let of = |rows: &[usize]| {
        let (x, f) = (x.select(Axis(0), rows), f.select(Axis(0), rows));
        profile_noise(x.view(), f.view(), 0.0)
            .unwrap()
            .log_likelihood
    };
    let all: Vec<usize> = (0..n).collect();
    let batches = choices(n, m);
    let mean = batches.iter().map(|b| of(b)).sum::<f64>() / batches.len() as f64;
    report(format!(
        "profiled log-likelihood: {:.4} of all data, {mean:.4} on average over batches of {m}",
        of(&all)
    ));
    assert!(mean > of(&all) + 0.01);
    // An epoch whose last batch is short: the mean of the batches' means is not the mean of the data.
    let terms = arr1(&[1.0, 2.0, 3.0, 4.0, 10.0]);
    let epoch = [
        &terms.to_vec()[..2],
        &terms.to_vec()[2..4],
        &terms.to_vec()[4..],
    ]
    .map(|batch| batch.iter().sum::<f64>() / batch.len() as f64);
    assert_eq!(epoch.iter().sum::<f64>() / 3.0, 5.0);
    assert_eq!(terms.mean(), Some(4.0));
}

#[test]
fn has_its_variance_if_all_sets_are_equally_likely() {
    // {1, 2} or {3, 4}: every datum is as likely as any other, but not every pair.
    let terms = arr1(&[1.0, 1.0, 0.0, 0.0]);
    let found = [[0, 1], [2, 3]].map(|batch| estimated(&terms, &batch).0);
    assert_eq!(found, [4.0, 0.0]);
    let variance = minibatch_variance(&terms.to_vec(), 2, Drawing::WithoutReplacement);
    assert!((variance - 4.0 / 3.0).abs() < 1e-15); // and not 4
}

#[test]
#[should_panic(expected = "expected a vector of 1 to 5 terms, found shape [6]")]
fn of_more_than_there_is() {
    let tape = Tape::new();
    minibatch_objective(tape.constant(arr1(&[1.0; 6])), 5);
}

#[test]
#[should_panic(expected = "expected a vector of 1 to 5 terms, found shape [0]")]
fn of_nothing() {
    let tape = Tape::new();
    minibatch_objective(tape.constant(Array1::<f64>::zeros(0)), 5);
}

#[test]
fn has_another_variance_if_some_data_always_come_together() {
    // 1, 1, 0, 0 in batches of two: the first two or the last two estimate 4 or 0, and the variance is 4.
    let terms = [1.0, 1.0, 0.0, 0.0];
    let apart = minibatch_variance(&terms, 2, Drawing::WithoutReplacement);
    assert!((apart - 1.33).abs() < 0.005, "{apart}");
    let estimate = |batch: [f64; 2]| {
        let tape = Tape::new();
        minibatch_objective(tape.constant(arr1(&batch)), 4).item()
    };
    let together = [estimate([1.0, 1.0]), estimate([0.0, 0.0])];
    assert_eq!(together, [4.0, 0.0]);
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    use Drawing::{WithReplacement, WithoutReplacement};
    assert!(minibatch_variance(&[1.0, 3.0], 5, WithReplacement) > 0.0);
    for (terms, batch, drawing) in [
        (&[1.0, 3.0][..], 0, WithReplacement),
        (&[1.0, 3.0], 3, WithoutReplacement),
        (&[], 1, WithReplacement),
        (&[], 0, WithoutReplacement),
    ] {
        let result = std::panic::catch_unwind(|| minibatch_variance(terms, batch, drawing));
        assert!(result.is_err(), "{terms:?} {batch} {drawing:?}");
    }
}
