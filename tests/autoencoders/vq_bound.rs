//! docs/autoencoders.md#vq-bound: the bound of a code that is certain, what it misses, and what codes cost.

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::autoencoders::{
    AutoregressivePrior, FactorisedPrior, PriorStructure, uniform_code_bounds, uniform_cost,
};
use elbo::distributions::Categorical;
use elbo::gradients::nearest;
use elbo::kl;
use elbo::nn::{Bound, Parameters};
use ndarray::{Array1, Array2, ArrayD, Axis, arr1, arr2};
use rand::Rng;
use rand::rngs::StdRng;

use super::shared::gradients;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::{matrix, random, rng, vector};
use crate::common::reporting::report;
use crate::common::statistics::Statistics;

/// All K^n codes, each a row.
fn all_codes(positions: usize, size: usize) -> Array2<usize> {
    let count = size.pow(positions as u32);
    Array2::from_shape_fn((count, positions), |(i, j)| i / size.pow(j as u32) % size)
}

#[test]
fn divergence_of_a_certain_code_by_hand() {
    let tape = Tape::<f64>::new();
    for size in [1, 2, 7] {
        let certain = Array1::from_shape_fn(size, |k| {
            if k == size / 2 {
                0.0
            } else {
                f64::NEG_INFINITY
            }
        });
        let categorical = |logits: Array1<f64>| Categorical {
            logits: tape.constant(logits),
        };
        let uniform = categorical(Array1::zeros(size));
        let kl = kl::categorical(&categorical(certain), &uniform).item();
        assert!((kl - (size as f64).ln()).abs() < REARRANGED, "{size}: {kl}");
        assert_eq!(uniform_cost(3, size), 3.0 * (size as f64).ln());
    }
}

#[test]
fn gradient_by_hand_and_by_finite_differences() {
    let mut rng = rng(710);
    let x = random(&mut rng, &[3, 4]);
    let (value, found) = gradients(std::slice::from_ref(&x), |v| {
        uniform_code_bounds(v[0]).sum()
    });
    assert!((value - (x.sum() - 12.0 * 4f64.ln())).abs() < REARRANGED * 20.0);
    assert!(found[0].iter().all(|&slope| slope == 1.0));
    let mut checked = Checked::default();
    let check = Check::new("vq-bound");
    checked.add(check.run(&[x], |v| uniform_code_bounds(v[0])).unwrap());
    let (prior, _, values) = small_prior(&mut rng);
    let codes = arr2(&[[0, 2, 1], [1, 1, 1], [2, 0, 2]]);
    checked.add(
        check
            .run(&values, |v| {
                prior.log_probability(&Bound::from_vars(v), codes.view())
            })
            .unwrap(),
    );
    checked.print("bounds, and log p(k) in every weight of a prior");
}

/// A decoder from codes in the plane to three dimensions, which is not linear.
fn log_likelihoods(x: &Array1<f64>, codes: &Array2<f64>) -> Array1<f64> {
    let mean =
        |e: ndarray::ArrayView1<'_, f64>| arr1(&[e[0] * e[1], e[0] - e[1], (3.0 * e[0]).sin()]);
    let error = |e| (x - &mean(e)).mapv(|d| d * d).sum();
    codes.rows().into_iter().map(|e| -error(e) / 0.5).collect()
}

#[test]
fn the_gap_is_what_the_posterior_gives_other_codes() {
    let mut rng = rng(711);
    let mut worst = Worst::default();
    for _ in 0..200 {
        let (x, codes) = (vector(&mut rng, 3), matrix(&mut rng, [6, 2]));
        let tape = Tape::new();
        let each = tape.constant(log_likelihoods(&x, &codes));
        let bounds = uniform_code_bounds(each);
        // log p(x) = log (1/K) Σ p(x|k) by enumeration, and p(k|x) after Bayes.
        let joint = each
            .value()
            .mapv(|log_likelihood| log_likelihood.exp() / 6.0);
        let total = joint.sum();
        let evidence = total.ln();
        for (bound, joint) in bounds.value().iter().zip(&joint) {
            worst.number(evidence - bound, -(joint / total).ln(), 1.0);
            assert!(*bound <= evidence);
        }
    }
    worst.within(1e-12, "log p(x) minus the bound: -log p(k|x)");
}

/// x is what the decoder makes of z = 0 itself. Of two codes the nearer one to z is the less likely.
#[test]
fn the_nearest_code_need_not_be_the_likeliest() {
    let z = arr2(&[[0.0, 0.0]]);
    let x = arr1(&[0.0, 0.0, 0.0]);
    let codes = arr2(&[[0.5, 0.0], [1.0, 0.0]]);
    assert_eq!(log_likelihoods(&x, &z)[0], 0.0);
    assert_eq!(nearest(z.view(), codes.view()).unwrap(), [0]);
    let tape = Tape::new();
    let bounds = uniform_code_bounds(tape.constant(log_likelihoods(&x, &codes)));
    report(format!(
        "bounds of the nearer code and of the other: {:.3}, {:.3}",
        bounds.value()[0],
        bounds.value()[1]
    ));
    assert!(bounds.value()[0] < bounds.value()[1] - 0.4);
}

#[test]
fn several_positions_by_enumeration() {
    let mut rng = rng(712);
    let mut worst = Worst::default();
    let codes = all_codes(3, 4);
    // Any log p(x|k₁ k₂ k₃), under codes that are uniform and under ones that are not.
    let each = vector(&mut rng, codes.nrows());
    let uniform = -uniform_cost(3, 4);
    let counted = matrix(&mut rng, [50, 3]).mapv(|x| (x.abs() * 2.0) as usize);
    let factorised = FactorisedPrior::fit(counted.view(), 4, 0.5).log_probability(codes.view());
    for log_prior in [Array1::from_elem(64, uniform), factorised] {
        let joint = (&each + &log_prior).mapv(f64::exp);
        worst.relative(log_prior.mapv(f64::exp).sum(), 1.0);
        for (k, posterior) in (&joint / joint.sum()).iter().enumerate() {
            let gap = joint.sum().ln() - (each[k] + log_prior[k]);
            worst.number(gap, -posterior.ln(), 1.0);
        }
    }
    worst.within(1e-12, "the same for all 64 codes of three positions");
}

fn small_prior(rng: &mut StdRng) -> (AutoregressivePrior, Parameters<f64>, Vec<ArrayD<f64>>) {
    let structure = PriorStructure {
        positions: 3,
        codes: 3,
        embedding: 2,
        hidden: 4,
    };
    let mut parameters = Parameters::new();
    let prior = AutoregressivePrior::new(structure, &mut parameters, "prior", rng);
    let named: Vec<(String, ArrayD<f64>)> = (parameters.iter())
        .map(|(name, value)| (name.to_owned(), random(rng, value.shape())))
        .collect();
    for (name, value) in &named {
        parameters.set(name, value.clone()).unwrap();
    }
    let values = named.into_iter().map(|(_, value)| value).collect();
    (prior, parameters, values)
}

#[test]
fn an_autoregressive_prior_is_a_distribution() {
    let mut rng = rng(713);
    let mut worst = Worst::default();
    for _ in 0..5 {
        let (prior, parameters, _) = small_prior(&mut rng);
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        let codes = all_codes(3, 3);
        let log_probability = prior.log_probability(&p, codes.view()).value();
        worst.relative(log_probability.mapv(f64::exp).sum(), 1.0);
        // What comes later has no say: p(k₁ k₂) summed over k₃ is the product of the first two conditionals.
        let conditionals = prior
            .conditionals(&p, codes.view())
            .log_probabilities()
            .value();
        for (datum, code) in codes.rows().into_iter().enumerate() {
            let first_two = |other: &[usize]| other[..2] == code.to_vec()[..2];
            let together = codes.rows().into_iter().zip(&log_probability);
            let sum: f64 = together
                .filter(|(other, _)| first_two(&other.to_vec()))
                .map(|(_, log)| log.exp())
                .sum();
            let product = conditionals[[0, datum, code[0]]] + conditionals[[1, datum, code[1]]];
            worst.relative(sum, product.exp());
        }
    }
    worst.within(1e-12, "Σ p(k) = 1 over all codes, and over all third ones");
}

#[test]
fn statistics_of_drawn_codes() {
    let mut rng = rng(714);
    let (prior, parameters, _) = small_prior(&mut rng);
    let drawn = prior.sample(&parameters, 20_000, &mut rng);
    let codes = all_codes(3, 3);
    let tape = Tape::new();
    let log_probability = prior.log_probability(&parameters.bind_constant(&tape), codes.view());
    let probabilities = log_probability.value().mapv(f64::exp);
    let mut distances = Vec::new();
    for (code, &probability) in codes.rows().into_iter().zip(&probabilities) {
        let hits: Vec<f64> = drawn
            .axis_iter(Axis(0))
            .map(|row| f64::from(u8::from(row == code)))
            .collect();
        if probability * 20_000.0 > 20.0 {
            distances.push(Statistics::of(&hits).distance(probability, 0.0));
        }
    }
    let most = distances.iter().fold(0.0, |most: f64, d| most.max(d.abs()));
    println!(
        "frequencies of {} codes of three positions: at most {most:.2} standard errors off",
        distances.len()
    );
    assert!(distances.len() > 5 && most < 4.0);
    // Its cost is the entropy on average: the cross-entropy of what it draws itself.
    let tape = Tape::new();
    let costs = prior.log_probability(&parameters.bind_constant(&tape), drawn.view());
    let costs: Vec<f64> = costs.value().iter().map(|cost| -cost).collect();
    let entropy = -(&probabilities * &probabilities.mapv(f64::ln)).sum();
    Statistics::of(&costs).agree_with(entropy, "cost of codes drawn from the prior");
}

#[test]
fn relative_frequencies_cost_least() {
    let mut rng = rng(715);
    let codes = Array2::from_shape_fn((40, 2), |(i, j)| (i * (j + 3) / 5) % 3);
    let cost = |prior: &FactorisedPrior, codes: &Array2<usize>| {
        -prior.log_probability(codes.view()).mean().unwrap()
    };
    let best = FactorisedPrior::fit(codes.view(), 3, 0.0);
    let least = cost(&best, &codes);
    assert!(least < uniform_cost(2, 3));
    for _ in 0..50 {
        // The frequencies of other codes cost these codes more.
        let other = codes.mapv(|k| {
            if rng.random::<f64>() < 0.3 {
                rng.random_range(0..3)
            } else {
                k
            }
        });
        assert!(cost(&FactorisedPrior::fit(other.view(), 3, 0.5), &codes) >= least);
    }
    // A code that never occurred is impossible, unless something was added to its count.
    let constant = Array2::<usize>::zeros((5, 1));
    let unseen = arr2(&[[1]]);
    let log_probability = |added| {
        let prior = FactorisedPrior::fit(constant.view(), 2, added);
        prior.log_probability(unseen.view())[0]
    };
    assert_eq!(log_probability(0.0), f64::NEG_INFINITY);
    assert!((log_probability(1.0) - (1.0f64 / 7.0).ln()).abs() < REARRANGED);
}
