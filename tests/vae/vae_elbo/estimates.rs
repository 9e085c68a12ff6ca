//! Estimates of the bound and of its gradient have them as their means.

use elbo::autodiff::Tape;
use elbo::distributions::noise::standard_normal;
use elbo::nn::Parameters;
use elbo::vae::{Divergence, Likelihood, Vae};
use ndarray::{Array1, Array2};
use rand::rngs::StdRng;

use super::{exact_bound, repeated};
use crate::common::arrays::owned;
use crate::common::comparing::Worst;
use crate::common::quadrature::gauss_hermite_grid;
use crate::common::random::rng;
use crate::common::reporting::report;
use crate::common::statistics::Statistics;
use crate::vae::shared::networks::{LIKELIHOODS, data, model, small};

/// Single-sample bounds of one datum: `groups` groups of 250, with each group's gradient of its mean.
fn draws(
    vae: &Vae,
    p: &Parameters<f64>,
    x: &Array1<f64>,
    groups: usize,
    rng: &mut StdRng,
) -> (Vec<f64>, Vec<Vec<f64>>) {
    const GROUP: usize = 250;
    let (mut values, mut gradients) = (Vec::new(), Vec::new());
    let mut tape = Tape::new();
    for _ in 0..groups {
        let (elbos, gradient) = p.value_and_gradients(&mut tape, |p| {
            let tape = p.tape();
            let noise = standard_normal(tape, &[GROUP, 2], rng);
            let elbo = vae
                .elbo(p, tape.constant(repeated(x, GROUP)), noise)
                .value();
            (elbo.mean(), owned(elbo.value()))
        });
        values.extend(elbos);
        gradients.push(
            gradient
                .values()
                .iter()
                .flat_map(|g| g.iter().copied().collect::<Vec<_>>())
                .collect(),
        );
    }
    (values, gradients)
}

#[test]
fn is_estimated_without_bias() {
    let mut rng = rng(63);
    let pairs = [
        (Likelihood::Bernoulli, Divergence::ClosedForm),
        (Likelihood::Bernoulli, Divergence::MonteCarlo),
        (LIKELIHOODS[1], Divergence::ClosedForm),
        (Likelihood::GaussianLearned, Divergence::MonteCarlo),
    ];
    for (likelihood, divergence) in pairs {
        let (vae, p) = model(small(likelihood), &mut rng);
        let vae = vae.with_divergence(divergence);
        let x = data(likelihood, &mut rng, &[3])
            .into_dimensionality()
            .unwrap();
        let (exact, exact_gradients) = exact_bound(&vae, &p, &x, 30);
        let (values, gradients) = draws(&vae, &p, &x, 400, &mut rng);
        let what = format!("{likelihood}, divergence in {divergence}");
        Statistics::of(&values).agree_with(exact, &what);
        let exact_gradients: Vec<f64> = exact_gradients
            .iter()
            .flat_map(|g| g.iter().copied())
            .collect();
        let mut worst = 0.0f64;
        for (i, &exact) in exact_gradients.iter().enumerate() {
            let means: Vec<f64> = gradients.iter().map(|g| g[i]).collect();
            worst = worst.max(Statistics::of(&means).distance(exact, 1e-12).abs());
        }
        report(format!(
            "{} weights: worst mean gradient {worst:.2} standard errors off",
            exact_gradients.len()
        ));
        assert!(worst <= 4.0, "{what}: {worst}");
    }
}

#[test]
fn with_either_divergence_has_the_same_mean() {
    let mut rng = rng(64);
    let mut worst = Worst::default();
    for trial in 0..5 {
        let (vae, p) = model(small(Likelihood::Bernoulli), &mut rng);
        let x: Array1<f64> = data(Likelihood::Bernoulli, &mut rng, &[3])
            .into_dimensionality()
            .unwrap();
        let kl = |divergence, noise: Array2<f64>| {
            let tape = Tape::new();
            let rows = tape.constant(repeated(&x, noise.nrows()));
            let vae = vae.clone().with_divergence(divergence);
            owned(
                vae.elbo(&p.bind_constant(&tape), rows, tape.constant(noise))
                    .kl
                    .value(),
            )
        };
        let (nodes, weights) = gauss_hermite_grid(3, 2);
        let exact = kl(Divergence::ClosedForm, nodes.clone())[[0]];
        let mean = (kl(Divergence::MonteCarlo, nodes) * weights).sum();
        worst.number(mean, exact, exact);
        if trial < 2 {
            let tape = Tape::new();
            let noise = owned(standard_normal(&tape, &[100_000, 2], &mut rng).value());
            let single = kl(Divergence::MonteCarlo, noise.into_dimensionality().unwrap());
            Statistics::of(&single).agree_with(exact, "log q - log p(z)");
        }
    }
    worst.within(
        1e-12,
        "mean of log q - log p(z) over the nodes = closed form",
    );
}
