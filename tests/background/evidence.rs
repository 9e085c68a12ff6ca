//! docs/background.md#evidence: the evidence is a sum over all latents, Kⁿ terms without structure, and in the
//! linear-Gaussian model the density N(x; b, WWᵀ + σ²I).

mod limits;

use std::f64::consts::TAU;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::background::{LinearGaussian, enumerate, posterior};
use elbo::distributions::DiagonalGaussian;
use elbo::distributions::noise::standard_normal;
use ndarray::{Array1, Array2, ArrayD, Axis, IxDyn};
use rand::rngs::StdRng;

use crate::common::arrays::{Expression, owned, softmax};
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::linear_algebra::inverse_and_determinant;
use crate::common::quadrature::{QUADRATURE, gauss_hermite};
use crate::common::random::{random, rng, vector};
use crate::common::reporting::report;
use crate::common::statistics::Statistics;

/// W, b, log σ² and data, D×d and n of them.
fn linear(rng: &mut StdRng, dimensions: usize, latents: usize, n: usize) -> [ArrayD<f64>; 4] {
    [
        random(rng, &[dimensions, latents]),
        random(rng, &[dimensions]),
        random(rng, &[]),
        random(rng, &[n, dimensions]),
    ]
}

fn model<'t>(v: &[Var<'t, f64>]) -> LinearGaussian<'t, f64> {
    LinearGaussian {
        weights: v[0],
        offset: v[1],
        log_noise: v[2],
    }
}

const SIZES: [(usize, usize, usize); 6] = [
    (1, 1, 3),
    (2, 1, 4),
    (3, 2, 2),
    (2, 2, 1),
    (2, 4, 3),
    (6, 3, 2),
];

#[test]
fn of_the_linear_gaussian_model_by_hand() {
    // -½ [D log 2π + log |C| + δᵀC⁻¹δ] with C formed, inverted and its determinant taken by elimination; and the gradient,
    // with u = C⁻¹δ: b̄ = u, W̄ = (u uᵀ - C⁻¹) W, s̄ = ½ σ² (|u|² - tr C⁻¹).
    let mut rng = rng(153);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for (dimensions, latents, n) in SIZES {
        let point = linear(&mut rng, dimensions, latents, n);
        let w: Array2<f64> = point[0].clone().into_dimensionality().unwrap();
        let b: Array1<f64> = point[1].clone().into_dimensionality().unwrap();
        let x: Array2<f64> = point[3].clone().into_dimensionality().unwrap();
        let noise = point[2].sum().exp();
        let covariance = w.dot(&w.t()) + Array2::<f64>::eye(dimensions) * noise;
        let (inverse, determinant) = inverse_and_determinant(&covariance);
        let mut expected = Array1::zeros(n);
        let mut bars = [
            ArrayD::zeros(point[0].shape()),
            ArrayD::zeros(point[1].shape()),
            ArrayD::zeros(vec![]),
        ];
        for (row, x) in x.outer_iter().enumerate() {
            let delta = &x - &b;
            let u = inverse.dot(&delta);
            let constant = dimensions as f64 * TAU.ln() + determinant.ln();
            expected[row] = -0.5 * (constant + delta.dot(&u));
            let column = u.clone().insert_axis(Axis(1));
            bars[0] += &(column.dot(&column.t()) - &inverse).dot(&w);
            bars[1] += &u;
            let trace = inverse.diag().sum();
            bars[2] += 0.5 * noise * (u.dot(&u) - trace);
        }
        let tape = Tape::new();
        let v: Vec<_> = point.iter().map(|p| tape.variable(p.clone())).collect();
        let ways = [
            model(&v).log_evidence_by_covariance(v[3]).unwrap(),
            model(&v).log_evidence_by_latents(v[3]).unwrap(),
            model(&v).log_evidence(v[3]).unwrap(),
        ];
        for found in ways {
            value.entries(&owned(found.value()), &expected.clone().into_dyn());
            let gradients = tape.gradients(found.sum());
            for (v, bar) in v.iter().zip(&bars) {
                gradient.entries(&owned(gradients.wrt(*v)), bar);
            }
        }
    }
    // The condition numbers of these covariances go up to some hundreds.
    value.within(1e-12, "both ways = elimination");
    gradient.within(1e-11, "gradient: hand = autodiff in both ways");
}

#[test]
fn of_the_linear_gaussian_model_against_finite_differences() {
    let mut rng = rng(154);
    let mut checked = Checked::default();
    let ways: [Expression; 2] = [
        |v| model(v).log_evidence_by_covariance(v[3]).unwrap(),
        |v| model(v).log_evidence_by_latents(v[3]).unwrap(),
    ];
    for (dimensions, latents, n) in SIZES {
        let point = linear(&mut rng, dimensions, latents, n);
        for f in ways {
            let check = Check::new("evidence");
            checked.add(check.run(&point, f).unwrap());
            checked.add(check.run_second_order(&point, f).unwrap());
        }
    }
    checked.print("both ways, first and second order");
}

#[test]
fn by_enumeration() {
    let mut rng = rng(151);
    let mut worst = Worst::default();
    for (k, n) in [(1usize, 4usize), (2, 1), (2, 6), (3, 4), (5, 0), (7, 2)] {
        let total = k.pow(n as u32);
        let table = vector(&mut rng, total) * 3.0;
        let index = |z: &[usize]| z.iter().fold(0, |index, digit| index * k + digit);
        let (found, terms) = enumerate(k, n, |z| table[index(z)]).unwrap();
        assert_eq!(terms, total as u64);
        let naive = table.mapv(f64::exp).sum().ln();
        worst.number(found, naive, naive.abs().max(1.0));
        // The same by the tape, as Bayes' rule with a uniform prior.
        let tape = Tape::new();
        let prior = tape.full(&[total], -(total as f64).ln());
        let likelihood = tape.constant(table.clone() + (total as f64).ln());
        let by_rule = posterior(prior, likelihood).unwrap().log_evidence.item();
        worst.number(found, by_rule, naive.abs().max(1.0));
    }
    worst.within(REARRANGED, "streaming = naive sum = Bayes' rule");
    // No exponential over- or underflows.
    let (high, _) = enumerate(2, 3, |z| 1e4 * z[0] as f64).unwrap();
    assert!((high - (1e4 + 4f64.ln())).abs() < 1e-9);
    let (low, _) = enumerate(2, 3, |_| -1e4).unwrap();
    assert!((low - (-1e4 + 8f64.ln())).abs() < 1e-9);
}

#[test]
fn with_structure_needs_few_terms() {
    // Kⁿ terms for a table without structure; n K² for a chain z₁ → z₂ → … with an observation each, by passing sums on.
    let mut rng = rng(152);
    let mut worst = Worst::default();
    for (k, n) in [(2usize, 10usize), (3, 7), (4, 5)] {
        let start = softmax(&vector(&mut rng, k));
        let step: Vec<Array1<f64>> = (0..k).map(|_| softmax(&vector(&mut rng, k))).collect();
        let seen: Vec<Array1<f64>> = (0..n).map(|_| vector(&mut rng, k).mapv(f64::exp)).collect();
        let (exhaustive, terms) = enumerate(k, n, |z| {
            let first = start[z[0]].ln() + seen[0][z[0]].ln();
            let rest = (1..n).map(|i| step[z[i - 1]][z[i]].ln() + seen[i][z[i]].ln());
            first + rest.sum::<f64>()
        })
        .unwrap();
        let mut message = &start * &seen[0];
        let mut products = k;
        for seen in &seen[1..] {
            let next = Array1::from_shape_fn(k, |to| {
                (0..k)
                    .map(|from| message[from] * step[from][to])
                    .sum::<f64>()
                    * seen[to]
            });
            products += k * k;
            message = next;
        }
        report(format!(
            "K = {k}, n = {n}: {terms} terms, or {products} by the chain"
        ));
        worst.number(message.sum().ln(), exhaustive, exhaustive.abs().max(1.0));
    }
    worst.within(REARRANGED, "chain = enumeration");
}

#[test]
fn is_the_integral_over_the_latents() {
    // E p(x|z) over z ~ N(0, I), by Gauss–Hermite in one and two dimensions, with the model's own density.
    let mut rng = rng(155);
    let rule = gauss_hermite(60);
    let mut worst = Worst::default();
    for (dimensions, latents) in [(1, 1), (3, 1), (1, 2), (2, 2)] {
        let [w, b, _, x] = linear(&mut rng, dimensions, latents, 1);
        let count = rule.len().pow(latents as u32);
        let node = |i: usize, j: usize| rule[i / rule.len().pow(j as u32) % rule.len()];
        let z = Array2::from_shape_fn((count, latents), |(i, j)| node(i, j).0);
        let tape = Tape::new();
        let v = [w * 0.5, b, ArrayD::from_elem(IxDyn(&[]), -0.6), x].map(|p| tape.constant(p));
        let log_p = model(&v).log_likelihood(v[3], tape.constant(z)).value();
        let sum: f64 = log_p
            .iter()
            .enumerate()
            .map(|(i, l)| l.exp() * (0..latents).map(|j| node(i, j).1).product::<f64>())
            .sum();
        let found = model(&v).log_evidence(v[3]).unwrap();
        worst.number(found.item().exp(), sum, sum);
    }
    worst.within(QUADRATURE, "closed form = quadrature over z");
}

#[test]
fn obeys_bayes_rule() {
    // log p(x|z) + log p(z) - log p(x) = log p(z|x) at every z.
    let mut rng = rng(156);
    let mut worst = Worst::default();
    for (dimensions, latents, n) in SIZES {
        let point = linear(&mut rng, dimensions, latents, n);
        let tape = Tape::new();
        let v: Vec<_> = point.iter().map(|p| tape.constant(p.clone())).collect();
        let z = tape.constant(random(&mut rng, &[n, latents]));
        let zero = tape.full(&[latents], 0.0);
        let prior = DiagonalGaussian {
            mean: zero,
            log_variance: zero,
        };
        let joint = model(&v).log_likelihood(v[3], z) + prior.log_density(z);
        let found = joint - model(&v).log_evidence(v[3]).unwrap();
        let after = model(&v).posterior(v[3]).unwrap();
        let expected = after.log_density(z);
        let scale = owned(joint.value())
            .iter()
            .fold(1.0, |s: f64, l| s.max(l.abs()));
        for (found, expected) in found.value().iter().zip(expected.value()) {
            worst.number(*found, expected, scale);
        }
    }
    worst.within(1e-12, "joint / evidence = posterior");
}

#[test]
fn from_draws_of_the_model() {
    // The mean of p(x|z) over draws of the prior, and the mean of δδᵀ over the model's own x.
    let n = 100_000;
    let mut rng = rng(157);
    let [w, b, _, x] = linear(&mut rng, 2, 2, 1);
    let tape = Tape::new();
    let log_noise = ArrayD::from_elem(IxDyn(&[]), -0.6);
    let v = [w * 0.5, b, log_noise, x].map(|p| tape.constant(p));
    let z = standard_normal(&tape, &[n, 2], &mut rng);
    let p = owned(model(&v).log_likelihood(v[3], z).exp().value());
    let exact = model(&v).log_evidence(v[3]).unwrap().item().exp();
    Statistics::of(&p).agree_with(exact, "mean of p(x|z)");
    let noise = standard_normal(&tape, &[n, 2], &mut rng);
    let offsets = owned((model(&v).sample(z, noise) - v[1]).value());
    let noise = tape.constant(Array2::eye(2)) * (-0.6f64).exp();
    let covariance = owned((v[0].matmul(v[0].t()) + noise).value());
    for (i, j) in [(0, 0), (0, 1), (1, 1)] {
        let products: Vec<f64> = offsets.rows().into_iter().map(|d| d[i] * d[j]).collect();
        Statistics::of(&products).agree_with(covariance[[i, j]], &format!("Cov x[{i}] x[{j}]"));
    }
}
