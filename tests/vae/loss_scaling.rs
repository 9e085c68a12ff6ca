//! docs/vae.md#loss-scaling: a mean over pixels or latents instead of a sum trains a β-VAE, or another noise variance.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::{Bernoulli, DiagonalGaussian};
use elbo::kl;
use elbo::vae::{LossScaling, Ppca, Reduction};
use ndarray::{Array1, ArrayD, arr0};
use rand::Rng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, Worst};
use crate::common::random::{random, rng};
use crate::common::reporting::report;
use crate::vae::shared::linear_models::{Spectral, decoder, flat, random_decoder, variables};
use crate::vae::shared::networks::grey;

const SCALINGS: [[Reduction; 2]; 4] = [
    [Reduction::Sum, Reduction::Sum],
    [Reduction::Mean, Reduction::Sum],
    [Reduction::Sum, Reduction::Mean],
    [Reduction::Mean, Reduction::Mean],
];

fn scaling([reconstruction, divergence]: [Reduction; 2], weight: f64) -> LossScaling {
    LossScaling {
        reconstruction,
        divergence,
        weight,
    }
}

/// KL(q(z_u) ‖ N(0, 1)) of each unit, in plain operations.
fn units<'t>(m: Var<'t, f64>, s: Var<'t, f64>) -> Var<'t, f64> {
    (m.square() + (s.expm1() - s)) * 0.5
}

#[test]
fn is_a_beta_vae() {
    let mut rng = rng(100);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for (trial, reductions) in SCALINGS.into_iter().cycle().take(16).enumerate() {
        let [n, d, k] = [[3, 5, 2], [1, 4, 3], [2, 7, 1]][trial % 3];
        let loss = scaling(reductions, rng.random_range(0.1..4.0));
        let beta = loss.beta(d, k);
        let [expected, divisor] = match trial % 4 {
            0 => [loss.weight, 1.0],
            1 => [loss.weight * d as f64, d as f64],
            2 => [loss.weight / k as f64, 1.0],
            _ => [loss.weight * d as f64 / k as f64, d as f64],
        };
        value.number(beta, expected, expected);
        let x = grey(&mut rng, &[n, d]).mapv(f64::round);
        let tape = Tape::new();
        let v = variables(
            &tape,
            &[
                random(&mut rng, &[n, d]),
                random(&mut rng, &[n, k]),
                random(&mut rng, &[n, k]),
            ],
        );
        let coin = Bernoulli { logits: v[0] };
        let errors = v[0].softplus() - tape.constant(x.clone()) * v[0];
        let trained = loss.loss(errors, units(v[1], v[2]));
        let q = DiagonalGaussian {
            mean: v[1],
            log_variance: v[2],
        };
        let bound = coin.log_density(tape.constant(x)) - kl::gaussian_standard(&q) * beta;
        value.entries(
            &owned((trained * divisor).value()),
            &owned((-bound).value()),
        );
        let (found, expected) = (tape.gradients(trained.sum()), tape.gradients(bound.sum()));
        for &var in &v {
            let expected = owned(expected.wrt(var)) * (-1.0 / divisor);
            gradient.entries(&owned(found.wrt(var)), &expected);
        }
    }
    value.within(1e-13, "loss = -(E log p - β KL)/divisor");
    gradient.within(1e-13, "and so are the gradients");
    assert_eq!(scaling(SCALINGS[1], 1.0).beta(784, 20), 784.0);
    assert!((scaling(SCALINGS[3], 1.0).beta(784, 20) - 39.2).abs() < 1e-12);
}

#[test]
fn of_squared_errors_is_a_noise_variance() {
    let mut rng = rng(101);
    let mut worst = Worst::default();
    for (trial, reductions) in SCALINGS.into_iter().cycle().take(16).enumerate() {
        let [n, d, k] = [[3, 5, 2], [1, 4, 3], [2, 7, 1]][trial % 3];
        let loss = scaling(reductions, rng.random_range(0.1..4.0));
        let factor = [1.0, 0.5][trial % 2];
        let noise = loss.noise_variance(factor, d, k);
        let tape = Tape::new();
        let v = variables(
            &tape,
            &[
                random(&mut rng, &[n, d]),
                random(&mut rng, &[n, k]),
                random(&mut rng, &[n, k]),
            ],
        );
        let x = tape.constant(random(&mut rng, &[n, d]));
        let trained = loss.loss((x - v[0]).square() * factor, units(v[1], v[2]));
        let p = DiagonalGaussian {
            mean: v[0],
            log_variance: tape.scalar(noise.ln()),
        };
        let q = DiagonalGaussian {
            mean: v[1],
            log_variance: v[2],
        };
        let bound = p.log_density(x) - kl::gaussian_standard(&q);
        let (found, expected) = (tape.gradients(trained.sum()), tape.gradients(bound.sum()));
        // One factor for all: that of the divergence.
        let ratio = loss.weight / if trial % 4 >= 2 { k as f64 } else { 1.0 };
        for &var in &v {
            worst.entries(&owned(found.wrt(var)), &(owned(expected.wrt(var)) * -ratio));
        }
    }
    worst.within(
        1e-13,
        "gradient of squared error + w KL = that of the bound with its σ²",
    );
    assert_eq!(scaling(SCALINGS[0], 1.0).noise_variance(1.0, 784, 20), 0.5);
    assert_eq!(scaling(SCALINGS[0], 1.0).noise_variance(0.5, 784, 20), 1.0);
    assert_eq!(
        scaling(SCALINGS[1], 1.0).noise_variance(1.0, 784, 20),
        392.0
    );
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(102);
    let mut checked = Checked::default();
    for reductions in SCALINGS {
        let loss = scaling(reductions, 0.7);
        let point = [
            random(&mut rng, &[2, 4]),
            random(&mut rng, &[2, 3]),
            random(&mut rng, &[2, 3]),
        ];
        checked.add(
            Check::new("loss-scaling")
                .run(&point, |v| loss.loss(v[0].square(), units(v[1], v[2])))
                .unwrap(),
        );
        checked.add(
            Check::new("loss-scaling")
                .run_second_order(&point, |v| loss.loss(v[0].square(), units(v[1], v[2])))
                .unwrap(),
        );
    }
    checked.print("first and second order");
}

#[test]
fn moves_the_optimum_of_the_linear_model() {
    let mut rng = rng(103);
    let (mut slope, mut shrunk) = (Worst::default(), Worst::default());
    let mut least_loss = f64::INFINITY;
    for (trial, reductions) in SCALINGS.into_iter().cycle().take(12).enumerate() {
        let [d, k] = [[4, 2], [5, 3], [3, 2]][trial % 3];
        let spectral = Spectral::random(&mut rng, d);
        let x = &spectral.data;
        let noise: f64 = rng.random_range(0.05..0.4);
        let loss = scaling(reductions, rng.random_range(0.3..1.5));
        let beta = loss.beta(d, k);
        // Any decoder: the loss itself, built from squared errors and units, is stationary in m and s at the tempered q.
        let mut point = random_decoder(&mut rng, [d, k]);
        point[2] = arr0(noise.ln()).into_dyn();
        let of = |point: &[ArrayD<f64>]| -> (f64, Vec<ArrayD<f64>>) {
            let tape = Tape::new();
            let v = variables(&tape, point);
            let (w, m, s) = (v[0], v[3], v[4]);
            let error = tape.constant(x.clone()) - m.matmul(w.t()) - v[1];
            // E (x_j - f_j)² = (x - Wm - b)_j² + Σ_u W_ju² e^s_u.
            let spread = s.exp().matmul(w.square().t());
            let errors = (error.square() + spread) * (0.5 / noise);
            let trained = loss.loss(errors, units(m, s)).mean();
            let gradients = tape.gradients(trained);
            (
                trained.item(),
                v.iter().map(|&v| owned(gradients.wrt(v))).collect(),
            )
        };
        let tempered = |point: &[ArrayD<f64>]| {
            let tape = Tape::new();
            let v = variables(&tape, point);
            let q = decoder(&v)
                .tempered_diagonal(tape.constant(x.clone()), beta)
                .unwrap();
            let rows = [x.nrows(), k];
            [
                owned(q.mean.value()),
                owned(q.log_variance.broadcast_to(&rows).value()),
            ]
        };
        point.extend(tempered(&point));
        let (value, gradients) = of(&point);
        for i in [3, 4] {
            gradients[i].iter().for_each(|&g| slope.number(g, 0.0, 1.0));
        }
        for _ in 0..20 {
            let mut other = point.clone();
            other[3] = &other[3] + &(random(&mut rng, &[x.nrows(), k]) * 0.1);
            other[4] = &other[4] + &(random(&mut rng, &[x.nrows(), k]) * 0.1);
            least_loss = least_loss.min(of(&other).0 - value);
        }
        // The best decoder: principal components of a model whose noise is βσ², unused where λ <= βσ².
        let best =
            Ppca::with_noise(Array1::zeros(d), &spectral.covariance(), k, beta * noise).unwrap();
        let mut point = flat([
            best.weights.clone().into_dyn(),
            Array1::zeros(d).into_dyn(),
            arr0(noise.ln()).into_dyn(),
        ]);
        point.extend(tempered(&point));
        let (_, gradients) = of(&point);
        for i in [0, 1, 3, 4] {
            gradients[i].iter().for_each(|&g| slope.number(g, 0.0, 1.0));
        }
        // Its codes have the variance βσ²/λ where they are used, 1 where they are not.
        for u in 0..k {
            let expected = (beta * noise / spectral.lambda[u]).min(1.0);
            shrunk.number(point[4][[0, u]].exp(), expected, 1.0);
        }
    }
    slope.within(1e-12, "gradient at the optimum that β has");
    shrunk.within(1e-12, "variance of a code: βσ²/λ");
    report(format!(
        "240 other q: the nearest was {least_loss:.1e} worse"
    ));
    assert!(least_loss > 0.0);
    let tape = Tape::new();
    let v = variables(&tape, &random_decoder(&mut rng, [3, 2]));
    for beta in [0.0, -1.0, f64::NAN] {
        assert!(decoder(&v).tempered_diagonal(v[1], beta).is_err());
    }
}

#[test]
#[should_panic(expected = "beta: expected at least one dimension and one latent, found 3 and 0")]
fn of_no_latents() {
    scaling(SCALINGS[2], 1.0).beta(3, 0);
}

#[test]
#[should_panic(expected = "beta: expected a weight that is finite and not negative, found -1")]
fn by_a_negative_weight() {
    scaling(SCALINGS[0], -1.0).beta(3, 2);
}

#[test]
fn of_784_pixels_and_20_units() {
    use Reduction::{Mean, Sum};
    for (reconstruction, divergence, beta) in [
        (Sum, Sum, 1.0),
        (Mean, Sum, 784.0),
        (Sum, Mean, 0.05),
        (Mean, Mean, 39.2),
    ] {
        let scaling = LossScaling {
            reconstruction,
            divergence,
            weight: 1.0,
        };
        assert!((scaling.beta(784, 20) / beta - 1.0).abs() < 1e-15);
    }
}
