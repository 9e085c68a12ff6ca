//! docs/autoencoders.md#vq-vae-2: the bound of codes on two levels, and the prior that is fitted to codes.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Value};
use elbo::autoencoders::{
    AutoregressivePrior, CodebookUpdate, DiscreteCoding, FactorisedPrior, PriorStructure,
    VqStructure, VqVae2,
};
use elbo::nn::{Activation, Adam, Batch, Bound, Model, Objective, Parameters, Step};
use elbo::vae::Likelihood;
use ndarray::{Array1, Array2, ArrayD, arr2};
use rand::Rng;

use super::shared::grey;
use crate::common::comparing::{Checked, Worst};
use crate::common::random::{matrix, random, rng};
use crate::common::reporting::report;

/// Tables of p(k_t) and p(k_b|k_t), rows that sum to 1.
fn table(rng: &mut rand::rngs::StdRng, shape: [usize; 2]) -> Array2<f64> {
    let mut table = matrix(rng, shape).mapv(f64::exp);
    for mut row in table.rows_mut() {
        let sum = row.sum();
        row /= sum;
    }
    table
}

#[test]
fn the_bound_by_enumeration() {
    let mut rng = rng(740);
    let mut worst = Worst::default();
    for _ in 0..20 {
        let upper = table(&mut rng, [1, 3]);
        let lower = table(&mut rng, [3, 4]);
        let log_likelihood = matrix(&mut rng, [3, 4]);
        let joint = Array2::from_shape_fn((3, 4), |(t, b)| {
            upper[[0, t]] * lower[[t, b]] * log_likelihood[[t, b]].exp()
        });
        // log p(x) along the tree: over the lower codes of each upper one first.
        let of_upper: Vec<f64> = (0..3)
            .map(|t| {
                let terms = (0..4).map(|b| lower[[t, b]] * log_likelihood[[t, b]].exp());
                upper[[0, t]] * terms.sum::<f64>()
            })
            .collect();
        let evidence = of_upper.iter().sum::<f64>().ln();
        for ((t, b), joint) in joint.indexed_iter() {
            let bound = log_likelihood[[t, b]] + upper[[0, t]].ln() + lower[[t, b]].ln();
            assert!(bound <= evidence);
            // What is missed: -log p(k_t|x) - log p(k_b|k_t, x), level by level.
            let missed = -(of_upper[t] / evidence.exp()).ln() - (joint / of_upper[t]).ln();
            worst.number(evidence - bound, missed, 1.0);
        }
    }
    worst.within(
        1e-13,
        "log p(x) minus the bound, and what the posterior gives other codes on both levels",
    );
}

fn small() -> VqStructure {
    VqStructure {
        dimensions: 5,
        hidden: vec![4],
        activation: Activation::Tanh,
        positions: 3,
        codes: 3,
        width: 2,
        update: CodebookUpdate::Gradient,
        commitment: 0.25,
        likelihood: Likelihood::Bernoulli,
        prior: [2, 3],
    }
}

fn objective<'t>(model: &VqVae2, p: &Bound<'t, f64>, x: &Array2<f64>) -> Objective<'t, f64> {
    let batch = Batch::from(p.tape().constant(x.clone()));
    let mut rng = rng(1);
    let mut step = Step {
        number: 0,
        training: true,
        rng: &mut rng,
    };
    model.objective(p, &batch, &mut step)
}

/// The prior alone, and whatever is differentiated truly: the decoder and both tables of codes in the terms that have them.
#[test]
fn against_finite_differences() {
    let mut rng = rng(741);
    let mut checked = Checked::default();
    let mut parameters = Parameters::<f64>::new();
    let model = VqVae2::new(small(), 1, &mut parameters, &mut rng);
    let named: Vec<(String, ArrayD<f64>)> = (parameters.iter())
        .map(|(name, value)| (name.to_owned(), random(&mut rng, value.shape()) * 0.7))
        .collect();
    let x = grey(&mut rng, [3, 5]);
    // Encoder and codes stay: nothing that is moved changes a choice, and no gradient is declared.
    let live: Vec<bool> = (named.iter())
        .map(|(name, _)| name.starts_with("decoder") || name.starts_with("prior"))
        .collect();
    let moved: Vec<ArrayD<f64>> = (named.iter().zip(&live))
        .filter(|&(_, &live)| live)
        .map(|((_, value), _)| value.clone())
        .collect();
    let report = Check::new("vq-vae-2").run(&moved, |v| {
        let tape = v[0].tape();
        let mut rest = v.iter();
        let all: Vec<_> = (named.iter().zip(&live))
            .map(|((_, value), &live)| match live {
                true => *rest.next().unwrap(),
                false => tape.constant(value.clone()),
            })
            .collect();
        objective(&model, &Bound::from_vars(&all), &x).loss
    });
    checked.add(report.unwrap());
    checked.print("decoder and prior of a model");
}

/// The declared gradients of the encoder, backwards on plain arrays.
#[test]
fn encoder_by_hand() {
    let mut rng = rng(742);
    let mut parameters = Parameters::<f64>::new();
    let model = VqVae2::new(small(), 1, &mut parameters, &mut rng);
    for (name, value) in parameters.clone().iter() {
        let drawn = random(&mut rng, value.shape()) * 0.7;
        parameters.set(name, drawn).unwrap();
    }
    let x = grey(&mut rng, [3, 5]);
    let get = |p: &Parameters<f64>, name: &str| -> Array2<f64> {
        p.get(name)
            .unwrap()
            .to_owned()
            .into_dimensionality()
            .unwrap()
    };
    let tape = Tape::new();
    let p = parameters.bind(&tape);
    let loss = objective(&model, &p, &x).loss;
    let gradients = tape.gradients(loss);
    let names: Vec<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
    let of = |name: &str| {
        let place = names.iter().position(|other| other == name).unwrap();
        gradients.wrt(p.vars()[place]).into_owned()
    };
    // By hand, from the upper codes' head: its gradient at the vectors z_t is that of the reconstruction at the upper codes,
    // that of the lower vectors' terms through what the lower head reads, and 2β(z_t - e_t).
    let affine = |input: &Array2<f64>, w: &str, b: &str| {
        let bias = parameters.get(b).unwrap().to_owned();
        let bias: Array1<f64> = bias.into_dimensionality().unwrap();
        input.dot(&get(&parameters, w).t()) + &bias
    };
    let features = affine(&x, "encoder.0.weight", "encoder.0.bias").mapv(f64::tanh);
    let nearest = |z: &Array2<f64>, codes: &Array2<f64>| -> Array2<f64> {
        let rows = elbo::gradients::nearest(z.view(), codes.view()).unwrap();
        codes.select(ndarray::Axis(0), &rows)
    };
    let upper = affine(&features, "upper.0.weight", "upper.0.bias");
    let e_upper = nearest(&upper, &get(&parameters, "upper_codebook.codes"));
    let read = ndarray::concatenate![ndarray::Axis(1), features, e_upper];
    let lower = affine(&read, "lower.0.weight", "lower.0.bias");
    let vectors = lower.to_shape((6, 2)).unwrap().into_owned();
    let e_lower = nearest(&vectors, &get(&parameters, "lower_codebook.codes"));
    let e_lower = e_lower.to_shape((3, 4)).unwrap().into_owned();
    let codes = ndarray::concatenate![ndarray::Axis(1), e_upper, e_lower];
    let hidden = affine(&codes, "decoder.0.weight", "decoder.0.bias").mapv(f64::tanh);
    let logits = affine(&hidden, "decoder.2.weight", "decoder.2.bias");
    let n = 3.0;
    let to_logits = (logits.mapv(|a| 1.0 / (1.0 + (-a).exp())) - &x) / n;
    let to_hidden =
        to_logits.dot(&get(&parameters, "decoder.2.weight")) * hidden.mapv(|h| 1.0 - h * h);
    let to_codes = to_hidden.dot(&get(&parameters, "decoder.0.weight"));
    let to_lower =
        to_codes.slice(ndarray::s![.., 2..]).to_owned() + (&lower - &e_lower) * (0.5 / n);
    let through = to_lower.dot(&get(&parameters, "lower.0.weight"));
    let to_upper = to_codes.slice(ndarray::s![.., ..2]).to_owned()
        + through.slice(ndarray::s![.., 4..])
        + (&upper - &e_upper) * (0.5 / n);
    let to_features = through.slice(ndarray::s![.., ..4]).to_owned()
        + to_upper.dot(&get(&parameters, "upper.0.weight"));
    let to_encoder = to_features * features.mapv(|h| 1.0 - h * h);
    let mut worst = Worst::default();
    worst.entries(&of("lower.0.weight"), &to_lower.t().dot(&read).into_dyn());
    worst.entries(
        &of("upper.0.weight"),
        &to_upper.t().dot(&features).into_dyn(),
    );
    worst.entries(&of("encoder.0.weight"), &to_encoder.t().dot(&x).into_dyn());
    worst.within(1e-13, "both heads and the encoder, backwards on paper");
    // The terms are those of the bound: the prior's parts add up to log p(k) of the codes.
    let tape = Tape::new();
    let p = parameters.bind_constant(&tape);
    let of_term = |name: &str| {
        let terms = objective(&model, &p, &x).terms;
        terms.iter().find(|term| term.0 == name).unwrap().1.item()
    };
    let codes = model.codes(&parameters, x.view(), &mut rng);
    let log_prior = model
        .prior()
        .log_probability(&p, codes.view())
        .mean()
        .item();
    let fit = model
        .observation(&p, codes.view())
        .log_density(tape.constant(x.clone()))
        .mean()
        .item();
    assert!((of_term("log_prior") - log_prior).abs() < 1e-12);
    assert!((of_term("reconstruction") - fit).abs() < 1e-12);
    let each = model.prior().log_conditionals(&p, codes.view());
    let lower = each.slice(0, 1..3).sum().item() / 3.0;
    assert!((of_term("log_prior_lower") - lower).abs() < 1e-12);
}

/// Fitted to codes, the prior reaches their relative frequencies; what it costs above their entropy is the forward KL.
#[test]
fn a_prior_fitted_to_codes_reaches_their_frequencies() {
    let mut rng = rng(743);
    // The second code is mostly the first one's neighbour, the third mostly the sum of both.
    let codes = Array2::from_shape_vec((120, 3), {
        (0..120)
            .flat_map(|_| {
                let a = rng.random_range(0..3usize);
                let b = if rng.random::<f64>() < 0.7 {
                    (a + 1) % 3
                } else {
                    rng.random_range(0..3)
                };
                let c = if rng.random::<f64>() < 0.8 {
                    (a + b) % 3
                } else {
                    rng.random_range(0..3)
                };
                [a, b, c]
            })
            .collect()
    })
    .unwrap();
    let mut counts = Array1::<f64>::zeros(27);
    for row in codes.rows() {
        counts[row[0] * 9 + row[1] * 3 + row[2]] += 1.0;
    }
    let shares = &counts / 120.0;
    let entropy: f64 = shares
        .iter()
        .filter(|&&q| q > 0.0)
        .map(|q| -q * q.ln())
        .sum();
    let structure = PriorStructure {
        positions: 3,
        codes: 3,
        embedding: 4,
        hidden: 16,
    };
    let mut parameters = Parameters::<f64>::new();
    let prior = AutoregressivePrior::new(structure, &mut parameters, "prior", &mut rng);
    let data: Value<f64> = codes.mapv(|code| code as f64).into_dyn().into_shared();
    let (mut tape, mut cost) = (Tape::new(), f64::INFINITY);
    for rate in [0.1, 0.02, 0.002] {
        let mut adam = Adam::new(rate);
        for _ in 0..120 {
            let (loss, gradients) = parameters.value_and_gradients(&mut tape, |p| {
                let batch = Batch::from(p.tape().constant(data.clone()));
                let mut noise = crate::common::random::rng(1);
                let loss = prior
                    .objective(p, &batch, &mut Step::evaluation(&mut noise))
                    .loss;
                (loss, loss.item())
            });
            adam.step(&mut parameters, &gradients);
            cost = loss;
        }
    }
    let factorised = -FactorisedPrior::fit(codes.view(), 3, 0.0)
        .log_probability(codes.view())
        .mean()
        .unwrap();
    report(format!(
        "codes: entropy {entropy:.4} nats, fitted prior {cost:.4}, codes as if independent {factorised:.4}, uniform {:.4}",
        27f64.ln()
    ));
    assert!(cost >= entropy - 1e-12 && cost < entropy + 2e-3);
    assert!(factorised > entropy + 0.1);
    // Cost = entropy + KL(codes ‖ prior), by all 27.
    let tape = Tape::new();
    let all = Array2::from_shape_fn((27, 3), |(i, j)| [i / 9, i / 3 % 3, i % 3][j]);
    let log_p = prior
        .log_probability(&parameters.bind_constant(&tape), all.view())
        .value();
    let kl: f64 = (shares.iter().zip(&log_p))
        .filter(|(q, _)| **q > 0.0)
        .map(|(q, log_p)| q * (q.ln() - log_p))
        .sum();
    let p = parameters.bind_constant(&tape);
    let now = -prior.log_probability(&p, codes.view()).mean().item();
    let mut worst = Worst::default();
    worst.relative(now, entropy + kl);
    worst.within(1e-13, "cost of codes = their entropy + forward KL");
}

/// Knowing the upper codes never makes the lower ones dearer: H(k_b|k_t) = H(k_b) - I(k_t; k_b).
#[test]
fn upper_codes_save_their_mutual_information() {
    let mut rng = rng(744);
    let mut worst = Worst::default();
    for _ in 0..20 {
        let joint = {
            let table = matrix(&mut rng, [3, 5]).mapv(f64::exp);
            let sum = table.sum();
            table / sum
        };
        let (upper, lower) = (
            joint.sum_axis(ndarray::Axis(1)),
            joint.sum_axis(ndarray::Axis(0)),
        );
        let alone: f64 = lower.iter().map(|q| -q * q.ln()).sum();
        let given: f64 = joint
            .indexed_iter()
            .map(|((t, _), q)| -q * (q / upper[t]).ln())
            .sum();
        let shared: f64 = joint
            .indexed_iter()
            .map(|((t, b), q)| q * (q / (upper[t] * lower[b])).ln())
            .sum();
        assert!(given < alone);
        worst.number(alone - given, shared, 1.0);
    }
    worst.within(1e-13, "H(k_b) - H(k_b|k_t) = I(k_t; k_b)");
    // Independent levels save nothing.
    let independent: Array2<f64> = arr2(&[[0.1, 0.3], [0.15, 0.45]]);
    let upper = independent.sum_axis(ndarray::Axis(1));
    let given: f64 = independent
        .indexed_iter()
        .map(|((t, _), q)| -q * (q / upper[t]).ln())
        .sum();
    let alone = -(0.25f64 * 0.25f64.ln() + 0.75 * 0.75f64.ln());
    assert!((given - alone).abs() < 1e-15);
}
