//! docs/autoencoders.md#beta-tempers: the q that a weight of the KL term asks for, and what it is then worth.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::autoencoders::{ScalarTradeOff, tempered_evidence, tempered_log_posterior};
use ndarray::{Array1, ArrayD, arr0};
use rand::Rng;

use super::shared::gradients;
use crate::common::comparing::{Checked, Worst};
use crate::common::quadrature::{QUADRATURE, gauss_hermite};
use crate::common::random::{random, rng};
use crate::common::reporting::report;

const MODEL: ScalarTradeOff = ScalarTradeOff {
    weight: 0.8,
    noise_variance: 0.6,
    data_variance: 1.9,
};

const BETAS: [f64; 4] = [0.5, 1.0, 2.5, 10.0];

/// Nodes z and log p(z) of a Gaussian prior on them.
fn lattice() -> (Array1<f64>, Array1<f64>) {
    let rule = gauss_hermite(120);
    // The outermost weights are below the least number; their nodes matter to nothing.
    let rule = rule.into_iter().filter(|&(_, weight)| weight > 1e-300);
    let (nodes, weights): (Vec<f64>, Vec<f64>) = rule.unzip();
    (nodes.into(), weights.into_iter().map(f64::ln).collect())
}

/// log N(x; f, s), entry by entry.
fn log_normal(x: f64, f: &Array1<f64>, s: f64) -> Array1<f64> {
    f.mapv(|f| -0.5 * ((2.0 * std::f64::consts::PI * s).ln() + (x - f).powi(2) / s))
}

/// A decoder that is not linear.
fn decoder(z: &Array1<f64>) -> Array1<f64> {
    z.mapv(|z| z + (2.0 * z).sin())
}

fn evidence(log_prior: &Array1<f64>, log_likelihood: &Array1<f64>, beta: f64) -> f64 {
    let tape = Tape::new();
    let constant = |x: &Array1<f64>| tape.constant(x.clone());
    tempered_evidence(constant(log_prior), constant(log_likelihood), beta).item()
}

fn posterior(log_prior: &Array1<f64>, log_likelihood: &Array1<f64>, beta: f64) -> Array1<f64> {
    let tape = Tape::new();
    let constant = |x: &Array1<f64>| tape.constant(x.clone());
    let log_q = tempered_log_posterior(constant(log_prior), constant(log_likelihood), beta);
    let q = log_q.exp().value().into_owned();
    q.into_dimensionality().unwrap()
}

/// E log p(x|z) - β KL(q ‖ p) of a table q, as written.
fn objective(
    q: &Array1<f64>,
    log_prior: &Array1<f64>,
    log_likelihood: &Array1<f64>,
    beta: f64,
) -> f64 {
    let terms = q.iter().zip(log_prior).zip(log_likelihood);
    let positive = terms.filter(|((q, _), _)| **q > 0.0);
    positive
        .map(|((&q, &p), &l)| q * (l - beta * (q.ln() - p)))
        .sum()
}

#[test]
fn gradient_by_hand() {
    let mut rng = rng(700);
    let (mut of_likelihood, mut of_prior) = (Worst::default(), Worst::default());
    for beta in BETAS {
        let values = [random(&mut rng, &[5]), random(&mut rng, &[5])];
        let (_, found) = gradients(&values, |v| tempered_evidence(v[0], v[1], beta));
        // ∂/∂ log p(x|z) = q*(z), and ∂/∂ log p(z) = β q*(z): weights of the prior that need not sum to 1.
        let logits = &values[0] + &values[1] / beta;
        let weights = logits.mapv(f64::exp);
        let q = &weights / weights.sum();
        of_likelihood.entries(&found[1], &q);
        of_prior.entries(&found[0], &(q * beta));
    }
    of_likelihood.within(1e-13, "∂/∂ log p(x|z) = q*");
    of_prior.within(1e-13, "∂/∂ log p(z) = β q*");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(701);
    let mut checked = Checked::default();
    let check = Check::new("beta-tempers");
    for beta in BETAS {
        let values: Vec<ArrayD<f64>> = vec![random(&mut rng, &[2, 4]), random(&mut rng, &[2, 4])];
        let run =
            |f: &dyn for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>| check.run(&values, f).unwrap();
        checked.add(run(&|v| tempered_evidence(v[0], v[1], beta)));
        checked.add(run(&|v| tempered_log_posterior(v[0], v[1], beta)));
    }
    checked.print("evidence and log q* in both terms");
}

#[test]
fn closed_form_by_quadrature() {
    let (z, log_prior) = lattice();
    let (mut value, mut moments) = (Worst::default(), Worst::default());
    for x in [-1.3, 0.0, 2.2] {
        for beta in BETAS {
            let log_likelihood = log_normal(x, &(&z * MODEL.weight), MODEL.noise_variance);
            value.relative(
                MODEL.tempered_evidence(x, beta),
                evidence(&log_prior, &log_likelihood, beta),
            );
            let q = posterior(&log_prior, &log_likelihood, beta);
            let (slope, variance) = MODEL.posterior(beta);
            let mean = q.dot(&z);
            moments.number(mean, slope * x, 1.0);
            moments.number(q.dot(&z.mapv(|z| (z - mean).powi(2))), variance, 1.0);
        }
    }
    value.within(QUADRATURE, "β log E p(x|z)^(1/β) of a linear decoder");
    moments.within(QUADRATURE, "mean and variance of q*");
}

#[test]
fn is_the_maximum_over_q() {
    let mut rng = rng(702);
    let (z, log_prior) = lattice();
    let mut worst = Worst::default();
    for beta in BETAS {
        let log_likelihood = log_normal(0.7, &decoder(&z), 0.3);
        let best = evidence(&log_prior, &log_likelihood, beta);
        let q = posterior(&log_prior, &log_likelihood, beta);
        worst.relative(objective(&q, &log_prior, &log_likelihood, beta), best);
        for _ in 0..200 {
            let noise = rng.random_range(0.001..2.0);
            let other = q.mapv(|q| q * (noise * rng.random_range(-1.0..1.0f64)).exp());
            let other = &other / other.sum();
            assert!(objective(&other, &log_prior, &log_likelihood, beta) < best);
        }
    }
    worst.within(
        1e-12,
        "E log p - β KL at q*, of a decoder that is not linear",
    );
}

/// The price as a temperature: a decoder of variance σ² at price β has the posterior and the gradient in its mean that one of
/// variance βσ² has at price 1, but not the gradient in its variance.
#[test]
fn a_gaussian_decoder_of_variance_beta_sigma_squared() {
    let (z, log_prior) = lattice();
    let (x, variance) = (0.9, 0.25);
    let (mut same, mut in_mean, mut in_variance) =
        (Worst::default(), Worst::default(), Worst::default());
    for beta in BETAS {
        let tempered = posterior(&log_prior, &log_normal(x, &decoder(&z), variance), beta);
        let plain = posterior(
            &log_prior,
            &log_normal(x, &decoder(&z), beta * variance),
            1.0,
        );
        same.entries(&tempered.into_dyn(), &plain.into_dyn());
        // Of the scale of the decoder's mean and of the logarithm of its variance.
        let slopes = |beta: f64, variance: f64| {
            let values = [arr0(1.0).into_dyn(), arr0(variance.ln()).into_dyn()];
            let (_, slopes) = gradients(&values, |v| {
                let tape = v[0].tape();
                let error = (v[0] * tape.constant(decoder(&z)) - x).square() / v[1].exp();
                let constant = (2.0 * std::f64::consts::PI).ln();
                let log_likelihood = -(error + v[1] + constant) * 0.5;
                tempered_evidence(tape.constant(log_prior.clone()), log_likelihood, beta)
            });
            [slopes[0].sum(), slopes[1].sum()]
        };
        let (tempered, plain) = (slopes(beta, variance), slopes(1.0, beta * variance));
        in_mean.relative(tempered[0], beta * plain[0]);
        in_variance.number(tempered[1], beta * plain[1] + 0.5 * (beta - 1.0), 1.0);
    }
    same.within(1e-12, "q* of (β, σ²) and of (1, βσ²)");
    in_mean.within(1e-11, "gradient in the decoder's mean: β times the other");
    in_variance.within(
        1e-11,
        "gradient in log σ²: β times the other, and (β - 1)/2 more",
    );
}

#[test]
fn is_a_bound_on_the_evidence_from_beta_one_on() {
    let (z, log_prior) = lattice();
    let log_likelihood = log_normal(-0.4, &decoder(&z), 0.3);
    let terms = log_prior.iter().zip(&log_likelihood);
    let exact = terms.map(|(p, l)| (p + l).exp()).sum::<f64>().ln();
    let betas = [0.1, 0.5, 0.9, 1.0, 1.1, 2.0, 10.0];
    let values = betas.map(|beta| evidence(&log_prior, &log_likelihood, beta));
    report(format!("β log E p^(1/β) for β of {betas:?}: {values:.4?}"));
    assert!(values.windows(2).all(|pair| pair[0] > pair[1]));
    assert!((values[3] - exact).abs() < QUADRATURE);
    // From E log p(x|z) for expensive nats to max log p(x|z) for free ones.
    let mean: f64 = log_likelihood
        .iter()
        .zip(&log_prior)
        .map(|(l, p)| l * p.exp())
        .sum();
    let largest = log_likelihood
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    assert!((evidence(&log_prior, &log_likelihood, 1e9) - mean).abs() < 1e-6);
    assert!((evidence(&log_prior, &log_likelihood, 1e-5) - largest).abs() < 1e-3);
}
