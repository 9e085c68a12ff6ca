//! docs/autoencoders.md#beta-vae: what a nat buys, its price, and the two forms of the objective.

mod higgins_metric;

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::autoencoders::{BetaVae, CodeCost, ScalarTradeOff, tempered_log_posterior};
use elbo::nn::{Activation, Parameters, Schedule};
use elbo::vae::{Architecture, Likelihood, Vae};
use ndarray::{Array1, ArrayD, arr1};
use rand::Rng;

use super::shared::{gradients, grey, loss};
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::quadrature::{QUADRATURE, gauss_hermite};
use crate::common::random::{random, rng};
use crate::common::reporting::report;

/// Weights, noise and data variances: a good channel, a poor one, and one that hardly carries anything.
const MODELS: [ScalarTradeOff; 3] = [
    ScalarTradeOff {
        weight: 1.3,
        noise_variance: 0.2,
        data_variance: 2.5,
    },
    ScalarTradeOff {
        weight: -0.7,
        noise_variance: 1.6,
        data_variance: 0.9,
    },
    ScalarTradeOff {
        weight: 1e-5,
        noise_variance: 1.0,
        data_variance: 3.0,
    },
];

const PRICES: [f64; 5] = [0.05, 0.5, 1.0, 4.0, 60.0];

/// E KL and E log p(x|z) of q(z|x) = N(ax, v) in nats, as written.
fn by_hand(model: &ScalarTradeOff, a: f64, v: f64) -> (f64, f64) {
    let (w, s, lambda) = (model.weight, model.noise_variance, model.data_variance);
    let rate = 0.5 * (v + lambda * a * a - 1.0 - v.ln());
    let error = lambda * (1.0 - w * a).powi(2) + w * w * v;
    let log_likelihood = -0.5 * (2.0 * std::f64::consts::PI * s).ln() - error / (2.0 * s);
    (rate, log_likelihood)
}

#[test]
fn rate_and_likelihood_by_hand() {
    let mut worst = Worst::default();
    for model in &MODELS[..2] {
        for beta in PRICES {
            let (a, v) = model.posterior(beta);
            let (rate, log_likelihood) = by_hand(model, a, v);
            worst.number(model.rate(beta), rate, rate.max(1e-3));
            worst.relative(model.log_likelihood(beta), log_likelihood);
        }
    }
    worst.within(1e-12, "rate and E log p(x|z) as written");
    // Where they cancel: t = w²/βσ² small, the rate is t²/4 + λt/(2βσ²) to the leading orders.
    let model = &MODELS[2];
    let t = model.weight * model.weight;
    let leading = 0.25 * t * t + 0.5 * model.data_variance * t;
    assert!((model.rate(1.0) / leading - 1.0).abs() < 1e-9);
}

#[test]
fn cost_by_hand() {
    let capacity = |from, to| CodeCost::Capacity {
        weight: 30.0,
        capacity: Schedule::linear(from, to, 10),
    };
    for (cost, step, value, slope) in [
        (CodeCost::Weight(Schedule::constant(4.0)), 3, 28.0, 4.0),
        (CodeCost::Weight(Schedule::linear(0.0, 4.0, 4)), 1, 7.0, 1.0),
        (capacity(0.0, 10.0), 5, 60.0, 30.0),
        (capacity(0.0, 10.0), 99, 90.0, -30.0),
        (capacity(7.0, 7.0), 0, 0.0, 0.0),
    ] {
        let (found, each) = gradients(&[ndarray::arr0(7.0).into_dyn()], |v| cost.of(v[0], step));
        assert_eq!((found, each[0].sum()), (value, slope), "{cost:?}");
    }
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(690);
    let mut checked = Checked::default();
    let x = grey(&mut rng, [4, 3]);
    for cost in [
        CodeCost::Weight(Schedule::constant(4.0)),
        // From below and from above.
        CodeCost::Capacity {
            weight: 5.0,
            capacity: Schedule::constant(0.01),
        },
        CodeCost::Capacity {
            weight: 5.0,
            capacity: Schedule::constant(50.0),
        },
    ] {
        let architecture = Architecture {
            dimensions: 3,
            hidden: vec![4],
            latent: 2,
            activation: Activation::Tanh,
            likelihood: Likelihood::Bernoulli,
        };
        let mut parameters = Parameters::<f64>::new();
        let vae = Vae::new(architecture, &mut parameters, &mut rng);
        let values: Vec<ArrayD<f64>> = (parameters.iter())
            .map(|(_, value)| random(&mut rng, value.shape()) * 0.5)
            .collect();
        let model = BetaVae::new(vae, cost);
        let check = Check::new("beta-vae");
        checked.add(check.run(&values, |p| loss(&model, p, &x, 0)).unwrap());
    }
    checked.print("objective in every weight, by weight and by capacity");
}

/// E*(δ), the best E log p(x|z) that a rate of δ nats can have.
fn best(model: &ScalarTradeOff, rate: f64) -> f64 {
    model.log_likelihood(model.price(rate).unwrap())
}

#[test]
fn the_price_is_the_slope() {
    let (mut envelope, mut inverse) = (Worst::default(), Worst::default());
    for model in &MODELS[..2] {
        for rate in [0.01, 0.3, 1.0, 4.0] {
            let price = model.price(rate).unwrap();
            inverse.relative(model.rate(price), rate);
            // Central differences with one step of Richardson's extrapolation.
            let slope = |h: f64| (best(model, rate + h) - best(model, rate - h)) / (2.0 * h);
            let h = 0.005 * rate;
            envelope.relative((4.0 * slope(h / 2.0) - slope(h)) / 3.0, price);
        }
    }
    inverse.within(1e-12, "the rate at the price of a rate");
    envelope.within(1e-6, "dE*/dδ by differences, and β");
    for silent in [
        ScalarTradeOff {
            weight: 0.0,
            ..MODELS[0]
        }
        .price(1.0),
        MODELS[0].price(0.0),
        MODELS[0].price(1e4),
        MODELS[0].price(f64::NAN),
    ] {
        assert_eq!(silent, None);
    }
}

/// E KL and E log p(x|z) of a q on a lattice of z for each of a few x, its rows.
fn on_lattice(q: &[Vec<f64>], prior: &[f64], log_likelihood: &[Vec<f64>]) -> (f64, f64) {
    let n = q.len() as f64;
    let (mut rate, mut fit) = (0.0, 0.0);
    for (q, log_likelihood) in q.iter().zip(log_likelihood) {
        for ((&q, &p), &l) in q.iter().zip(prior).zip(log_likelihood) {
            if q > 0.0 {
                rate += q * (q / p).ln() / n;
                fit += q * l / n;
            }
        }
    }
    (rate, fit)
}

/// The lattice is a quadrature, on which the best q of a fixed decoder is a table: no q of the same rate does better.
#[test]
fn no_q_does_better_at_its_rate() {
    let mut rng = rng(691);
    let rule = gauss_hermite(24);
    let prior: Vec<f64> = rule.iter().map(|&(_, weight)| weight).collect();
    let model = &MODELS[0];
    let data = [-1.7, 0.2, 1.1];
    let log_likelihood: Vec<Vec<f64>> = data
        .iter()
        .map(|x| {
            let error = |z: f64| (x - model.weight * z).powi(2) / model.noise_variance;
            rule.iter().map(|&(z, _)| -0.5 * error(z)).collect()
        })
        .collect();
    let normalised = |q: Vec<f64>| {
        let sum: f64 = q.iter().sum();
        q.into_iter().map(|q| q / sum).collect::<Vec<f64>>()
    };
    let tempered = |beta: f64| -> Vec<Vec<f64>> {
        let log_prior: Array1<f64> = prior.iter().map(|p| p.ln()).collect();
        let row = |l: &Vec<f64>| {
            let tape = Tape::new();
            let (log_prior, l) = (tape.constant(log_prior.clone()), tape.constant(arr1(l)));
            let q = tempered_log_posterior(log_prior, l, beta).exp().value();
            q.iter().copied().collect()
        };
        log_likelihood.iter().map(row).collect()
    };
    let mut least = f64::INFINITY;
    for beta in [0.5, 2.0, 8.0] {
        let best = tempered(beta);
        let (rate, fit) = on_lattice(&best, &prior, &log_likelihood);
        for _ in 0..300 {
            let noise = 10f64.powf(rng.random_range(-3.0..1.0));
            let other: Vec<Vec<f64>> = best
                .iter()
                .map(|q| {
                    let factor = |q: &f64| q * (noise * rng.random_range(-1.0..1.0f64)).exp();
                    normalised(q.iter().map(factor).collect())
                })
                .collect();
            let (other_rate, other_fit) = on_lattice(&other, &prior, &log_likelihood);
            // L(q) = E log p - β KL is largest at q*: what is gained in fit is paid for in nats, and more.
            least = least.min(beta * (other_rate - rate) - (other_fit - fit));
        }
    }
    println!("least excess of β ΔKL over ΔE log p for 900 other q: {least:.1e} nats");
    assert!(least > -1e-14);
}

#[test]
fn a_capacity_holds_from_its_price_on() {
    let mut worst = Worst::default();
    for model in &MODELS[..2] {
        for capacity in [0.2, 1.5] {
            let price = model.price(capacity).unwrap();
            for ratio in [0.3, 0.9, 1.1, 5.0] {
                let gamma = ratio * price;
                let objective = |rate: f64| best(model, rate) - gamma * (rate - capacity).abs();
                // A concave function of one variable: the best third of an interval, again and again.
                let (mut low, mut high) = (1e-3, 20.0);
                for _ in 0..200 {
                    let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
                    match objective(a) < objective(b) {
                        true => low = a,
                        false => high = b,
                    }
                }
                let expected = if ratio >= 1.0 {
                    capacity
                } else {
                    model.rate(gamma)
                };
                worst.relative(0.5 * (low + high), expected);
            }
        }
    }
    worst.within(
        1e-6,
        "where E* - γ|δ - C| is largest: C, or the rate at the price γ",
    );
}

/// With w learnt, the best objective at a price β, with the best q: a function of w² alone.
#[test]
fn a_learnt_weight_collapses_from_a_price_on() {
    let (noise, data) = (0.5, 2.0);
    let objective = |square: f64, beta: f64| {
        let model = ScalarTradeOff {
            weight: square.sqrt(),
            noise_variance: noise,
            data_variance: data,
        };
        model.log_likelihood(beta) - beta * model.rate(beta)
    };
    for beta in [0.5, 1.0, 3.0, 3.999, 4.001, 9.0] {
        let found = ScalarTradeOff::with_best_weight(noise, data, beta);
        let best = (0..=4000).map(|i| f64::from(i) * 1e-3);
        let best = best.max_by(|&a, &b| objective(a, beta).total_cmp(&objective(b, beta)));
        let square = found.weight * found.weight;
        assert!(
            (best.unwrap() - square).abs() <= 1e-3,
            "β = {beta}: {best:?}, {square}"
        );
        assert_eq!(square == 0.0, beta >= data / noise);
    }
}

/// The best of two decoders at each rate is not concave: a range of rates that no price buys.
#[test]
fn two_decoders_leave_a_gap_of_rates() {
    let coarse = ScalarTradeOff {
        weight: 1.0,
        noise_variance: 1.0,
        data_variance: 4.0,
    };
    let fine = ScalarTradeOff {
        weight: 1.0,
        noise_variance: 0.05,
        data_variance: 4.0,
    };
    let bought = |beta: f64| {
        let value = |m: &ScalarTradeOff| m.log_likelihood(beta) - beta * m.rate(beta);
        match value(&coarse) > value(&fine) {
            true => coarse.rate(beta),
            false => fine.rate(beta),
        }
    };
    let prices: Vec<f64> = (0..2000)
        .map(|i| 10f64.powf(-1.0 + 0.002 * f64::from(i)))
        .collect();
    let rates: Vec<f64> = prices.iter().map(|&beta| bought(beta)).collect();
    let jump = rates.windows(2).map(|pair| pair[0] - pair[1]);
    let (place, jump) = jump.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let (low, high) = (rates[place + 1], rates[place]);
    report(format!(
        "rates that no price buys: {low:.3} to {high:.3} nats"
    ));
    assert!(jump > 0.5);
    // In its middle the better of the two lies below the chord: less than a mixture of both models would give.
    let better = |rate: f64| best(&coarse, rate).max(best(&fine, rate));
    assert!(better(0.5 * (low + high)) < 0.5 * (better(low) + better(high)) - 1e-3);
}

#[test]
fn limits() {
    let model = &MODELS[0];
    // Free nats: the posterior is a point at x/w. Nats beyond price: the prior.
    let (a, v) = model.posterior(1e-300);
    assert!((a - 1.0 / model.weight).abs() < REARRANGED && v < 1e-290);
    let (a, v) = model.posterior(1e300);
    assert!(a.abs() < 1e-290 && v == 1.0 && model.rate(1e300) < 1e-290);
    // β = 1 is the exact posterior: E log p - KL is the evidence, the log-density of N(0, w² + σ²) over the data.
    let total = model.weight * model.weight + model.noise_variance;
    let evidence = -0.5 * ((2.0 * std::f64::consts::PI * total).ln() + model.data_variance / total);
    let bound = model.log_likelihood(1.0) - model.rate(1.0);
    assert!((bound - evidence).abs() < QUADRATURE);
    let tape = Tape::<f64>::new();
    let kl = tape.constant(Array1::from_elem(1, 0.0)).sum();
    let unsound = CodeCost::Weight(Schedule::constant(-1.0));
    assert!(!unsound.is_sound() && unsound.of(kl, 0).item() == 0.0);
}
