//! The gap between the bound and the exact evidence, of linear models and of coins over a plane of latents.

use std::f64::consts::TAU;

use elbo::autodiff::Tape;
use elbo::nn::Parameters;
use elbo::vae::{Divergence, Likelihood};
use ndarray::{Array1, Array2, Axis, Ix2};

use super::{exact_bound, repeated};
use crate::common::arrays::owned;
use crate::common::comparing::Worst;
use crate::common::linear_algebra::inverse;
use crate::common::random::{random, rng};
use crate::common::reporting::report;
use crate::vae::shared::linear_vae::{Linear, square};
use crate::vae::shared::networks::{DIVERGENCES, data, model, small, softplus};

#[test]
fn of_a_linear_model() {
    let mut rng = rng(60);
    let (mut bound, mut gap) = (Worst::default(), Worst::default());
    let mut least_gap = f64::INFINITY;
    for trial in 0..20 {
        let linear = Linear::random(&mut rng);
        let x = random(&mut rng, &[3]).into_dimensionality().unwrap();
        let closed = linear.reconstruction(&x) - linear.kl_to_prior(&x);
        for divergence in DIVERGENCES {
            let (vae, p) = linear.vae(trial % 2 == 0, &mut rng);
            // The terms are quadratic in ε: four nodes are exact.
            let (found, _) = exact_bound(&vae.with_divergence(divergence), &p, &x, 4);
            bound.number(found, closed, closed.abs());
            let (left, right) = (linear.log_evidence(&x) - found, linear.kl_to_posterior(&x));
            gap.number(left, right, closed.abs());
            assert!(left > 0.0);
            least_gap = least_gap.min(left);
        }
    }
    bound.within(1e-12, "bound of the linear model = closed form");
    gap.within(1e-12, "log p(x) - bound = KL(q‖posterior)");
    report(format!("smallest gap: {least_gap:.3} nats"));
}

#[test]
fn is_the_evidence_at_the_exact_posterior() {
    let mut rng = rng(61);
    let (mut worst, mut single) = (Worst::default(), Worst::default());
    for trial in 0..20 {
        let mut linear = Linear::random(&mut rng);
        // Orthogonal columns: M is diagonal, and so is the posterior.
        let (first, second) = (linear.w.column(0).to_owned(), linear.w.column(1).to_owned());
        let projected = &second - &(&first * (first.dot(&second) / square(&first)));
        linear.w.column_mut(1).assign(&projected);
        let m = linear.m();
        linear.a = inverse(&m).dot(&linear.w.t());
        linear.c = -linear.a.dot(&linear.b);
        linear.s = m.diag().mapv(|m| (linear.deviation.powi(2) / m).ln());
        let x = random(&mut rng, &[3]).into_dimensionality().unwrap();
        let evidence = linear.log_evidence(&x);
        let (vae, p) = linear.vae(trial % 2 == 0, &mut rng);
        let (found, _) = exact_bound(&vae, &p, &x, 4);
        worst.number(found, evidence, evidence.abs());
        // Then log p(x, z) - log q(z) is log p(x) for every z: a single sample has no noise.
        let vae = vae.with_divergence(Divergence::MonteCarlo);
        let tape = Tape::new();
        let noise = tape.constant(random(&mut rng, &[50, 2]));
        let elbo = vae
            .elbo(&p.bind(&tape), tape.constant(repeated(&x, 50)), noise)
            .value();
        owned(elbo.value())
            .iter()
            .for_each(|&found| single.number(found, evidence, evidence.abs()));
    }
    worst.within(1e-12, "bound at the exact posterior = log p(x)");
    single.within(
        1e-12,
        "every single sample with the Monte Carlo divergence = log p(x)",
    );
}

/// E_q log p(x|z) - KL, log p(x) and KL(q‖p(z|x)) of a Bernoulli model, by the trapezium rule over a plane of z, on plain
/// arrays.
fn by_grid(p: &Parameters<f64>, x: &Array1<f64>) -> [f64; 3] {
    let w = |name: &str| {
        p.get(name)
            .unwrap()
            .to_owned()
            .into_owned()
            .into_dimensionality::<Ix2>()
            .unwrap()
    };
    let b = |name: &str| p.get(name).unwrap().to_owned().into_owned();
    let layer = |x: &Array2<f64>, name: &str| {
        let y = x.dot(&w(&format!("{name}.weight")).t()) + b(&format!("{name}.bias"));
        y.into_dimensionality::<Ix2>().unwrap()
    };
    let row = x.clone().insert_axis(Axis(0));
    let o = layer(&layer(&row, "encoder.0").mapv(f64::tanh), "encoder.2");
    let (points, step) = (301, 0.1);
    let z = Array2::from_shape_fn((points * points, 2), |(i, j)| {
        ([i / points, i % points][j] as f64 - 150.0) * step
    });
    let a = layer(&layer(&z, "decoder.0").mapv(f64::tanh), "decoder.2");
    let normal = |z: f64, mu: f64, s: f64| -0.5 * ((z - mu).powi(2) / s.exp() + s + TAU.ln());
    // log p(x, z) and log q(z) at every point.
    let logs = z.rows().into_iter().zip(a.rows()).map(|(z, a)| {
        let log_p = |(&x, &a): (&f64, &f64)| -softplus(if x == 1.0 { -a } else { a });
        let prior: f64 = z.iter().map(|&z| normal(z, 0.0, 0.0)).sum();
        let log_q: f64 = (0..2).map(|j| normal(z[j], o[[0, j]], o[[0, 2 + j]])).sum();
        (x.iter().zip(a).map(log_p).sum::<f64>() + prior, log_q)
    });
    let logs: Vec<(f64, f64)> = logs.collect();
    let integral = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        logs.iter().map(|&(joint, q)| f(joint, q)).sum::<f64>() * step * step
    };
    let all = integral(&|_, q| q.exp());
    assert!((all - 1.0).abs() < 1e-12, "the grid holds all of q: {all}");
    let evidence = integral(&|joint, _| joint.exp()).ln();
    [
        integral(&|joint, q| q.exp() * (joint - q)),
        evidence,
        integral(&|joint, q| q.exp() * (q - (joint - evidence))),
    ]
}

#[test]
fn of_coins_over_a_plane_of_latents() {
    let mut rng = rng(62);
    let (mut bound, mut gap) = (Worst::default(), Worst::default());
    for _ in 0..3 {
        let (vae, p) = model(small(Likelihood::Bernoulli), &mut rng);
        let x = data(Likelihood::Bernoulli, &mut rng, &[3])
            .into_dimensionality()
            .unwrap();
        let [expected, evidence, divergence] = by_grid(&p, &x);
        for way in DIVERGENCES {
            let (found, _) = exact_bound(&vae.clone().with_divergence(way), &p, &x, 40);
            bound.number(found, expected, expected.abs());
            gap.number(evidence - found, divergence, expected.abs());
            report(format!(
                "log p(x) = {evidence:.4}, bound {found:.4}, KL(q‖posterior) {divergence:.4}"
            ));
            assert!(found < evidence);
        }
    }
    bound.within(1e-8, "Gauss–Hermite over ε = trapezium rule over z");
    gap.within(1e-8, "log p(x) - bound = KL(q‖posterior)");
}
