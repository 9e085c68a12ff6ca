//! docs/vae.md#amortisation-gap: log p(x) - bound is the gap of the family plus the gap of the encoder.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::background::LinearGaussian;
use elbo::distributions::{DiagonalGaussian, GaussianParameters};
use elbo::vae::Refinement;
use ndarray::{Array1, Array2, ArrayD, Ix2};
use rand::rngs::StdRng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, Worst};
use crate::common::linear_algebra::inverse;
use crate::common::random::{matrix, random, rng};
use crate::common::reporting::report;
use crate::vae::shared::linear_models::{
    at_log_noise, decoder, moments_of, random_decoder, two_axes, variables,
};
use crate::vae::shared::linear_vae::Linear;

/// Both gaps of an encoder A (x - b) with log-variance s, from W, b, log σ², A, s: shape (2, N).
fn two_gaps<'t>(v: &[Var<'t, f64>], x: &Array2<f64>) -> [Var<'t, f64>; 2] {
    let x = v[0].tape().constant(x.clone());
    let q = DiagonalGaussian {
        mean: (x - v[1]).matmul(v[3].t()),
        log_variance: v[4],
    };
    let gaps = decoder(v).gaps(x, &q).unwrap();
    [gaps.approximation, gaps.amortisation]
}

/// Both for two data: shape (2, 2).
fn stacked_gaps<'t>(v: &[Var<'t, f64>], x: &Array2<f64>) -> Var<'t, f64> {
    let [approximation, amortisation] = two_gaps(v, x);
    let gaps = [approximation.broadcast_to(&[2]), amortisation];
    v[0].tape().stack(0, &gaps)
}

fn random_autoencoder(rng: &mut StdRng, [d, k]: [usize; 2]) -> Vec<ArrayD<f64>> {
    let mut point = random_decoder(rng, [d, k]);
    point.extend([random(rng, &[k, d]) * 0.5, random(rng, &[k])]);
    point
}

#[test]
fn adds_up() {
    let mut rng = rng(110);
    let (mut sum, mut hand, mut none) = (Worst::default(), Worst::default(), Worst::default());
    let mut least = f64::INFINITY;
    for [d, k, n] in [[3, 1, 4], [4, 2, 3], [5, 3, 2], [3, 4, 2]] {
        let mut point = random_autoencoder(&mut rng, [d, k]);
        let x = matrix(&mut rng, [n, d]);
        let tape = Tape::new();
        let v = variables(&tape, &point);
        let data = tape.constant(x.clone());
        let q = DiagonalGaussian {
            mean: tape.variable(random(&mut rng, &[n, k])),
            log_variance: tape.variable(random(&mut rng, &[n, k])),
        };
        let gaps = decoder(&v).gaps(data, &q).unwrap();
        let total = decoder(&v).log_evidence(data).unwrap() - decoder(&v).elbo_diagonal(data, &q);
        sum.entries(
            &owned((gaps.approximation + gaps.amortisation).value()),
            &owned(total.value()),
        );
        owned(gaps.amortisation.value())
            .iter()
            .for_each(|&g| least = least.min(g));
        // ∂m = P (m - m*), ∂s = ½ (P_jj e^s_j - 1).
        let gradients = tape.gradients(gaps.amortisation.sum());
        let (w, noise) = (two_axes(&point[0]), point[2].sum().exp());
        let precision = w.t().dot(&w) / noise + Array2::<f64>::eye(k);
        let b: Array1<f64> = point[1].clone().into_dimensionality().unwrap();
        let exact = (&x - &b).dot(&w).dot(&inverse(&precision)) / noise;
        let off = two_axes(&owned(q.mean.value())) - exact;
        hand.entries(
            &owned(gradients.wrt(q.mean)),
            &off.dot(&precision).into_dyn(),
        );
        let ratio = owned(q.log_variance.value()).mapv(f64::exp) * precision.diag();
        hand.entries(
            &owned(gradients.wrt(q.log_variance)),
            &((ratio - 1.0) * 0.5),
        );
        // The linear encoder A = M⁻¹Wᵀ serves every datum at once.
        point[3] = (inverse(&precision).dot(&w.t()) / noise).into_dyn();
        point[4] = precision.diag().mapv(|p| -p.ln()).into_dyn();
        let x = matrix(&mut rng, [20, d]) * 5.0;
        let found = owned(two_gaps(&variables(&tape, &point), &x)[1].value());
        found.iter().for_each(|&g| none.number(g, 0.0, 1.0));
    }
    sum.within(1e-12, "the two gaps = log p(x) - bound");
    hand.within(1e-12, "gradient of the amortisation gap: hand = autodiff");
    none.within(1e-12, "amortisation gap of the best linear encoder");
    assert!(least > 0.0);
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(111);
    let mut checked = Checked::default();
    for [d, k] in [[3, 1], [4, 2], [2, 3]] {
        let point = random_autoencoder(&mut rng, [d, k]);
        let x = matrix(&mut rng, [2, d]);
        checked.add(
            Check::new("amortisation-gap")
                .run(&point, |v| stacked_gaps(v, &x))
                .unwrap(),
        );
        checked.add(
            Check::new("amortisation-gap")
                .run_second_order(&point, |v| stacked_gaps(v, &x))
                .unwrap(),
        );
    }
    checked.print("both gaps, first and second order");
}

#[test]
fn of_an_encoder_that_cannot_see() {
    // Without its input the best an encoder can do is the mean of the posteriors' means: the gap is what they vary by.
    let mut rng = rng(112);
    let mut worst = Worst::default();
    for [n, d, k] in [[10, 3, 1], [20, 5, 2]] {
        let point = random_decoder(&mut rng, [d, k]);
        let x = matrix(&mut rng, [n, d]);
        let tape = Tape::new();
        let v = variables(&tape, &point);
        let data = tape.constant(x);
        let best = decoder(&v).best_diagonal(data).unwrap();
        let blind = DiagonalGaussian {
            mean: best.mean.mean_axes(&[0]),
            ..best
        };
        let gaps = decoder(&v).gaps(data, &blind).unwrap();
        let (w, noise) = (two_axes(&point[0]), point[2].sum().exp());
        let precision = w.t().dot(&w) / noise + Array2::<f64>::eye(k);
        let (_, covariance) = moments_of(&two_axes(&owned(best.mean.value())));
        let expected = 0.5 * precision.dot(&covariance).diag().sum();
        worst.number(gaps.amortisation.mean().item(), expected, expected);
        assert!(expected > 0.1);
    }
    worst.within(1e-12, "mean gap = ½ tr P Cov(m*)");
}

#[test]
fn is_closed_by_refinement() {
    let mut rng = rng(113);
    let linear = Linear::random(&mut rng);
    let (vae, p) = linear.vae(false, &mut rng);
    let x = matrix(&mut rng, [6, 3]);
    let refinement = Refinement {
        steps: 600,
        rate: 0.05,
        samples: 8,
    };
    let codes = refinement.fit(&vae, &p, x.view(), &mut rng);
    let tape = Tape::new();
    let model = LinearGaussian {
        weights: tape.constant(linear.w.clone()),
        offset: tape.constant(linear.b.clone()),
        log_noise: tape.scalar(2.0 * linear.deviation.ln()),
    };
    let gap = |codes: &GaussianParameters<f64, Ix2>| {
        let gaps = model
            .gaps(tape.constant(x.clone()), &codes.on(&tape))
            .unwrap();
        gaps.amortisation.mean().item()
    };
    let (before, after) = (gap(&vae.codes(&p, x.view())), gap(&codes));
    report(format!(
        "amortisation gap: {before:.3} nats with the encoder, {after:.4} after refinement"
    ));
    assert!(before > 1.0 && (0.0..0.01).contains(&after));
    let none = Refinement {
        steps: 0,
        ..refinement
    };
    assert_eq!(
        none.fit(&vae, &p, x.view(), &mut rng),
        vae.codes(&p, x.view())
    );
}

#[test]
fn with_hardly_any_noise() {
    assert!(at_log_noise::<f64>(-700.0)[0] < 1e-12);
    assert!(at_log_noise::<f64>(-712.0)[0] < 1e-12);
    assert!(at_log_noise::<f32>(-92.0)[0] < 1e-5);
}
