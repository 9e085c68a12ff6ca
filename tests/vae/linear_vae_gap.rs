//! docs/vae.md#linear-vae-gap: at the best diagonal q the gap is ½ (Σ log M_jj - log |M|), which is 0 for orthogonal
//! columns of W.

#[cfg(feature = "cli")]
mod digits;
mod limits;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::{DiagonalGaussian, MultivariateGaussian};
use elbo::kl;
use elbo::nn::{Bound, Model, Parameters, Step};
use elbo::vae::LinearVae;
use ndarray::{Array1, Array2, ArrayD, Axis, arr2};
use rand::rngs::StdRng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::linear_algebra::inverse;
use crate::common::random::{matrix, random, rng, vector};
use crate::common::reporting::report;
use crate::vae::shared::linear_models::{decoder, random_decoder, two_axes, variables};
use crate::vae::shared::networks::values;

/// The bound at q = N(m, diag e^s), from W, b, log σ², m, s.
fn bound_of<'t>(v: &[Var<'t, f64>], x: &Array2<f64>) -> Var<'t, f64> {
    let q = DiagonalGaussian {
        mean: v[3],
        log_variance: v[4],
    };
    decoder(v).elbo_diagonal(v[0].tape().constant(x.clone()), &q)
}

/// A decoder, and a q for each of n data.
fn random_bound(rng: &mut StdRng, [d, k, n]: [usize; 3]) -> Vec<ArrayD<f64>> {
    let mut point = random_decoder(rng, [d, k]);
    point.extend([random(rng, &[n, k]), random(rng, &[k])]);
    point
}

const LINEAR: [[usize; 3]; 4] = [[3, 1, 2], [4, 2, 3], [5, 3, 1], [2, 4, 2]];

#[test]
fn bound_by_hand() {
    let mut rng = rng(80);
    let mut worst = Worst::default();
    for [d, k, n] in LINEAR {
        let point = random_bound(&mut rng, [d, k, n]);
        let x = matrix(&mut rng, [n, d]);
        let y_bar = vector(&mut rng, n);
        let (w, m) = (two_axes(&point[0]), two_axes(&point[3]));
        let b: Array1<f64> = point[1].clone().into_dimensionality().unwrap();
        let variances: Array1<f64> = point[4].mapv(f64::exp).into_dimensionality().unwrap();
        let precision = (-point[2].sum()).exp();
        let total = y_bar.sum();
        let weighted = |r: &Array2<f64>| r * &y_bar.view().insert_axis(Axis(1));
        let error = &x - &m.dot(&w.t()) - &b;
        let columns = w.mapv(|w| w * w).sum_axis(Axis(0));
        let squares = error.mapv(|e| e * e).sum_axis(Axis(1)) + (&columns * &variances).sum();
        let by_hand = [
            ((weighted(&error).t().dot(&m)) - &w * &variances * total) * precision,
            (weighted(&error).sum_axis(Axis(0)) * precision).insert_axis(Axis(0)),
            arr2(&[[0.5 * (y_bar.dot(&squares) * precision - d as f64 * total)]]),
            weighted(&(error.dot(&w) * precision - &m)),
            ((&variances * &(&columns * precision + 1.0) - 1.0) * (-0.5 * total))
                .insert_axis(Axis(0)),
        ];
        let tape = Tape::new();
        let v = variables(&tape, &point);
        let gradients = tape.pull_back(bound_of(&v, &x), y_bar.into_dyn(), &[]);
        for (var, expected) in v.iter().zip(by_hand) {
            let found = owned(gradients.wrt(*var));
            let expected = expected.into_shape_with_order(found.raw_dim()).unwrap();
            worst.entries(&found, &expected);
        }
    }
    worst.within(1e-12, "gradient of the bound: hand = autodiff");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(81);
    let mut checked = Checked::default();
    let check = Check::new("linear-vae-gap");
    for [d, k, n] in LINEAR {
        let point = random_bound(&mut rng, [d, k, n]);
        let x = matrix(&mut rng, [n, d]);
        checked.add(check.run(&point, |v| bound_of(v, &x)).unwrap());
        checked.add(check.run_second_order(&point, |v| bound_of(v, &x)).unwrap());
        let point = &point[..3];
        // The offset plays no part in the gap; its own sum gives the checker something to see.
        checked.add(
            check
                .run(point, |v| decoder(v).diagonal_gap().unwrap() + v[1].sum())
                .unwrap(),
        );
        checked.add(
            check
                .run_second_order(point, |v| decoder(v).diagonal_gap().unwrap() + v[1].sum())
                .unwrap(),
        );
    }
    checked.print("bound and gap, first and second order");
}

#[test]
fn in_other_ways() {
    let mut rng = rng(82);
    let (mut bound, mut gap, mut slope, mut hand) = (
        Worst::default(),
        Worst::default(),
        Worst::default(),
        Worst::default(),
    );
    let mut least = f64::INFINITY;
    for [d, k, n] in [[3, 2, 4], [5, 3, 3], [6, 2, 5], [4, 6, 3]] {
        let tape = Tape::new();
        let mut point = random_bound(&mut rng, [d, k, n]);
        let x = matrix(&mut rng, [n, d]);
        let v = variables(&tape, &point);
        let (model, data) = (decoder(&v), tape.constant(x.clone()));
        // The bound of any Gaussian q, with a diagonal factor.
        let deviations: Array1<f64> = point[4]
            .mapv(|s| (0.5 * s).exp())
            .into_dimensionality()
            .unwrap();
        let factor = tape.constant(Array2::from_diag(&deviations));
        let q = MultivariateGaussian::from_factor(v[3], factor).unwrap();
        bound.entries(
            &owned(bound_of(&v, &x).value()),
            &owned(model.elbo(data, &q).value()),
        );
        // At the best q: the same gap for every datum, and the mean field's divergence from the posterior.
        let best = model.best_diagonal(data).unwrap();
        let difference = model.log_evidence(data).unwrap() - model.elbo_diagonal(data, &best);
        let found = model.diagonal_gap().unwrap().item();
        owned(difference.value())
            .iter()
            .for_each(|&g| gap.number(g, found, 1.0));
        let posterior = model.posterior(data).unwrap();
        let covariance = two_axes(&owned(posterior.covariance().value()));
        gap.number(
            kl::mean_field(&covariance).unwrap().reverse_divergence,
            found,
            1.0,
        );
        least = least.min(found);
        // No q nearby is better: the gradient with respect to m and s is 0.
        point[3] = owned(best.mean.value());
        point[4] = owned(best.log_variance.value());
        let v = variables(&tape, &point);
        let gradients = tape.gradients(bound_of(&v, &x).sum());
        for var in [v[3], v[4]] {
            owned(gradients.wrt(var))
                .iter()
                .for_each(|&g| slope.number(g, 0.0, 1.0));
        }
        // ∂gap/∂W = W (diag(1/M_jj) - M⁻¹), ∂gap/∂log σ² = ½σ² (Σ 1/M_jj - tr M⁻¹).
        let (w, noise) = (two_axes(&point[0]), point[2].sum().exp());
        let m = w.t().dot(&w) + Array2::<f64>::eye(k) * noise;
        let inner = Array2::from_diag(&m.diag().mapv(f64::recip)) - inverse(&m);
        let gradients = tape.gradients(decoder(&v).diagonal_gap().unwrap());
        hand.entries(&owned(gradients.wrt(v[0])), &w.dot(&inner).into_dyn());
        hand.number(
            gradients.wrt(v[2]).sum(),
            0.5 * noise * inner.diag().sum(),
            1.0,
        );
    }
    bound.within(1e-13, "bound of a diagonal q = bound of a full one");
    gap.within(1e-12, "gap in three ways, absolute");
    slope.within(1e-12, "gradient at the best q");
    hand.within(1e-12, "gradient of the gap: hand = autodiff");
    report(format!("smallest gap: {least:.3} nats"));
    assert!(least > 0.0);
}

#[test]
fn of_the_model_that_is_trained() {
    let mut rng = rng(84);
    let (mut checked, mut worst) = (Checked::default(), Worst::default());
    for [d, k, n] in LINEAR {
        let mut parameters = Parameters::<f64>::new();
        let vae = LinearVae::new(d, k, &mut parameters, &mut rng);
        let point: Vec<ArrayD<f64>> = values(&parameters)
            .iter()
            .map(|value| random(&mut rng, value.shape()) * 0.5)
            .collect();
        let x = matrix(&mut rng, [n, d]);
        let report = Check::new("linear-vae-gap").run(&point, |v| {
            vae.elbo(&Bound::from_vars(v), v[0].tape().constant(x.clone()))
        });
        checked.add(report.unwrap());
        let tape = Tape::new();
        let v = variables(&tape, &point);
        let (p, data) = (Bound::from_vars(&v), tape.constant(x.clone()));
        let objective = vae.objective(&p, &data.into(), &mut Step::evaluation(&mut rng));
        let bound = vae.elbo(&p, data).mean().item();
        worst.number(objective.loss.item(), -bound, 1.0);
        let parts = objective.terms[0].1.item() - objective.terms[1].1.item();
        worst.number(parts, bound, 1.0);
        // Its encoder is linear in x - b.
        let q = vae.encode(&p, data);
        let centred = &x
            - &point[1]
                .view()
                .into_dimensionality::<ndarray::Ix1>()
                .unwrap();
        let expected = centred.dot(&two_axes(&point[3]).t());
        worst.entries(&owned(q.mean.value()), &expected.into_dyn());
    }
    checked.print("every parameter of the linear VAE");
    worst.within(REARRANGED, "loss = -mean bound = KL - reconstruction");
}
