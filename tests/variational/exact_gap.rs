//! docs/variational.md#exact-gap: log p(x) - ELBO is KL(q ‖ p(z|x)), with its gradients, in tables and in
//! linear-Gaussian models.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::MultivariateGaussian;
use elbo::kl;
use ndarray::Axis;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::quadrature::gauss_hermite_grid;
use crate::common::random::{random, rng};
use crate::common::reporting::report;
use crate::variational::shared::linear_models::{linear, linear_inputs, model_of, q_of};
use crate::variational::shared::tables::{Form, bound};

const MODELS: [(usize, usize); 6] = [(1, 1), (2, 1), (4, 2), (2, 3), (3, 3), (6, 2)];

#[test]
fn of_a_table() {
    let mut rng = rng(140);
    let mut worst = Worst::default();
    for case in 0..40 {
        let (values, states) = (1 + case % 3, 2 + case % 5);
        let seen = case % values;
        let (theta, a) = (
            random(&mut rng, &[values, states]),
            random(&mut rng, &[states]),
        );
        let tape = Tape::new();
        let v = [tape.variable(theta.clone()), tape.variable(a.clone())];
        let of = |of: Form| bound(&v, seen, of);
        let [evidence, elbo, gap] = [
            of(|m| m.evidence()),
            of(|m| m.elbo_from_jensen()),
            of(|m| m.gap()),
        ];
        worst.number(evidence.item() - elbo.item(), gap.item(), 1.0);
        let [by_evidence, by_elbo, by_gap] = [evidence, elbo, gap].map(|y| tape.gradients(y));
        // ∇φ ELBO = -∇φ KL: the evidence does not know φ.
        assert!(by_evidence.wrt(v[1]).iter().all(|g| *g == 0.0));
        worst.entries(
            &owned(by_elbo.wrt(v[1])),
            &owned(by_gap.wrt(v[1]).mapv(|g| -g).into_shared()),
        );
        // ∇θ log p - ∇θ ELBO = ∇θ KL = -E_q ∇θ log p(z|x), which is posterior - q in the row of x.
        let posterior = bound(&v, seen, |m| m.log_posterior().exp()).value();
        let q = v[1].softmax(0).value();
        let difference = owned((&by_evidence.wrt(v[0]) - &by_elbo.wrt(v[0])).into_shared());
        for (index, found) in difference.indexed_iter() {
            let z = index[1];
            let exact = if index[0] == seen {
                posterior[z] - q[z]
            } else {
                0.0
            };
            worst.number(*found, exact, 1.0);
        }
    }
    worst.within(REARRANGED, "gap, ∇φ and ∇θ, absolute");
}

#[test]
fn by_finite_differences() {
    let mut rng = rng(141);
    let mut checked = Checked::default();
    let check = Check::new("exact-gap");
    for [values, states] in [[2, 3], [1, 4]] {
        let point = [
            random(&mut rng, &[values, states]),
            random(&mut rng, &[states]),
        ];
        for of in [(|m| m.gap()) as Form, |m| m.evidence()] {
            checked.add(check.run(&point[..], |v| bound(v, 0, of)).unwrap());
            checked.add(
                check
                    .run_second_order(&point[..], |v| bound(v, 0, of))
                    .unwrap(),
            );
        }
    }
    for (d, k) in MODELS {
        let point = linear_inputs(&mut rng, d, k);
        let elbo = check.run(&point, |v| model_of(v).elbo(v[3], &q_of(v)));
        checked.add(elbo.unwrap());
        let evidence = check.run(&point[..4], |v| model_of(v).log_evidence(v[3]).unwrap());
        checked.add(evidence.unwrap());
        let mean = check.run(&point[..4], |v| model_of(v).posterior(v[3]).unwrap().mean());
        checked.add(mean.unwrap());
        let factor = check.run(&point[..3], |v| {
            let x = v[0].tape().full(&[d], 0.3);
            model_of(v).posterior(x).unwrap().factor()
        });
        checked.add(factor.unwrap());
    }
    let point = linear_inputs(&mut rng, 2, 2);
    let second = check.run_second_order(&point, |v| model_of(v).elbo(v[3], &q_of(v)));
    checked.add(second.unwrap());
    let second = check.run_second_order(&point[..4], |v| model_of(v).log_evidence(v[3]).unwrap());
    checked.add(second.unwrap());
    checked.print("tables and linear models");
}

#[test]
fn of_a_linear_model_is_the_divergence_from_the_posterior() {
    let mut rng = rng(142);
    let mut worst = Worst::default();
    let mut smallest = f64::INFINITY;
    for (d, k) in MODELS {
        for _ in 0..4 {
            let tape = Tape::new();
            let (model, x, q) = linear(&tape, &mut rng, d, k);
            let posterior = model.posterior(x).unwrap();
            let evidence = model.log_evidence(x).unwrap().item();
            let gap = kl::gaussian_full(&q, &posterior).item();
            worst.number(
                evidence - model.elbo(x, &q).item(),
                gap,
                gap.max(evidence.abs()),
            );
            worst.number(model.elbo(x, &posterior).item(), evidence, evidence.abs());
            smallest = smallest.min(gap);
        }
    }
    report(format!("smallest gap of a random q {smallest:.2} nats"));
    worst.within(1e-12, "log p(x) - ELBO = KL(q‖posterior), relative");
}

#[test]
fn of_a_linear_model_by_quadrature() {
    // E log w, E_prior p(x|z), and p(z|x) = p(x, z)/p(x), each in another way than by its closed form.
    let mut rng = rng(143);
    let (mut bound, mut evidence, mut posterior) =
        (Worst::default(), Worst::default(), Worst::default());
    for (d, k) in [(1, 1), (3, 1), (2, 2), (4, 2)] {
        let tape = Tape::new();
        let (model, x, q) = linear(&tape, &mut rng, d, k);
        let (nodes, weights) = gauss_hermite_grid(40, k);
        let noise = tape.constant(nodes);
        let mean = |f: Var<'_, f64>| {
            f.value()
                .iter()
                .zip(&weights)
                .map(|(f, w)| f * w)
                .sum::<f64>()
        };
        let z = q.sample(noise);
        let log_w = model.log_joint(x, z) - q.log_density(z);
        bound.relative(mean(log_w), model.elbo(x, &q).item());
        // The weights of the posterior itself are constant: a check of its density at many points, and of its mean and factor.
        let exact = model.posterior(x).unwrap();
        let z = exact.sample(noise * 1.5);
        let log_p = model.log_evidence(x).unwrap().item();
        for found in (model.log_joint(x, z) - exact.log_density(z))
            .value()
            .iter()
        {
            posterior.relative(*found, log_p);
        }
        // With q wider than the posterior, the mean of w is an integral over p(x, z).
        let wide = MultivariateGaussian::from_factor(exact.mean(), exact.factor() * 1.2).unwrap();
        let z = wide.sample(noise);
        let w = (model.log_joint(x, z) - wide.log_density(z)).exp();
        evidence.relative(mean(w).ln(), log_p);
    }
    bound.within(1e-12, "E log w by quadrature, relative");
    evidence.within(1e-9, "log E w by quadrature, relative");
    posterior.within(1e-12, "w at the exact posterior, relative");
}

#[test]
fn and_the_gradient_of_the_model() {
    // With the posterior's mean and another covariance, b learns from the bound as from the evidence; W and σ² do not.
    let mut rng = rng(144);
    let (mut same, mut least) = (Worst::default(), f64::INFINITY);
    for (d, k) in MODELS {
        let tape = Tape::new();
        let (model, x, q) = linear(&tape, &mut rng, d, k);
        let evidence = model.log_evidence(x).unwrap();
        let posterior = model.posterior(x).unwrap();
        let mean = tape.constant(posterior.mean().value());
        let other = tape.constant(q.factor().value());
        let wrong_width = MultivariateGaussian::from_factor(mean, other).unwrap();
        let (exact, found) = (
            tape.gradients(evidence),
            tape.gradients(model.elbo(x, &wrong_width)),
        );
        same.entries(
            &owned(found.wrt(model.offset)),
            &owned(exact.wrt(model.offset)),
        );
        for learnt in [model.weights, model.log_noise] {
            let (found, exact) = (found.wrt(learnt), exact.wrt(learnt));
            least = least.min((&found - &exact).iter().fold(0.0, |m, d| m.max(d.abs())));
        }
        // At the posterior all of them do.
        let factor = tape.constant(posterior.factor().value());
        let exact_q = MultivariateGaussian::from_factor(mean, factor).unwrap();
        let found = tape.gradients(model.elbo(x, &exact_q));
        for learnt in [model.weights, model.offset, model.log_noise] {
            same.entries(&owned(found.wrt(learnt)), &owned(exact.wrt(learnt)));
        }
    }
    report(format!(
        "W and log σ² with another covariance: at least {least:.1e} off"
    ));
    assert!(least > 1e-3);
    same.within(1e-11, "∇θ ELBO = ∇θ log p where E_q ∇θ log p(z|x) = 0");
}

#[test]
fn for_many_data_at_once() {
    let mut rng = rng(145);
    let tape = Tape::new();
    let (model, _, q) = linear(&tape, &mut rng, 3, 2);
    let data = random(&mut rng, &[5, 3]);
    let x = tape.constant(data.clone());
    let (evidence, elbo) = (
        model.log_evidence(x).unwrap().value(),
        model.elbo(x, &q).value(),
    );
    let means = model.posterior(x).unwrap().mean().value();
    for n in 0..5 {
        let x = tape.constant(data.index_axis(Axis(0), n));
        assert!((evidence[n] - model.log_evidence(x).unwrap().item()).abs() < 1e-12);
        assert!((elbo[n] - model.elbo(x, &q).item()).abs() < 1e-12);
        let mean = model.posterior(x).unwrap().mean().value();
        assert!(
            (&means.index_axis(Axis(0), n) - &mean)
                .iter()
                .all(|d| d.abs() < 1e-12)
        );
    }
}
