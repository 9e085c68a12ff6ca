//! One step of EM on a Gaussian mixture, by naive loops and by gradients.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::variational::{Covariances, GaussianMixture, Stopping, em};
use ndarray::{Array2, Axis};

use super::{mixture, sampled};
use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::rng;
use crate::common::reporting::report;

/// log N(x; μ, Σ) of a diagonal or 2 × 2 covariance, by its determinant and inverse.
fn naive_log_density(x: &[f64], mean: &[f64], covariance: &Array2<f64>) -> f64 {
    let d = x.len();
    let delta = |i: usize| x[i] - mean[i];
    let c = |i: usize, j: usize| covariance[[i, j]];
    let (determinant, square) = match d {
        2 => {
            let determinant = c(0, 0) * c(1, 1) - c(0, 1) * c(1, 0);
            let square = (c(1, 1) * delta(0).powi(2) + c(0, 0) * delta(1).powi(2)
                - 2.0 * c(0, 1) * delta(0) * delta(1))
                / determinant;
            (determinant, square)
        }
        _ => (
            (0..d).map(|i| c(i, i)).product(),
            (0..d).map(|i| delta(i).powi(2) / c(i, i)).sum(),
        ),
    };
    -0.5 * (d as f64 * std::f64::consts::TAU.ln() + determinant.ln() + square)
}

#[test]
fn one_step_by_naive_loops() {
    let mut rng = rng(152);
    let (mut likelihood, mut moments) = (Worst::default(), Worst::default());
    for (k, d, kind) in [
        (1, 1, Covariances::Full),
        (3, 1, Covariances::Full),
        (2, 2, Covariances::Full),
        (4, 2, Covariances::Full),
        (2, 4, Covariances::Diagonal),
        (3, 2, Covariances::Diagonal),
    ] {
        let start = mixture(&mut rng, k, d, kind);
        let data = sampled(&mut rng, k, d, kind, 40);
        let stopping = Stopping {
            steps: 1,
            tolerance: 0.0,
        };
        let fit = em(data.view(), start.clone(), kind, stopping).unwrap();
        let mut log_likelihood = 0.0;
        let mut q = Array2::zeros((40, k));
        for (n, x) in data.rows().into_iter().enumerate() {
            for j in 0..k {
                let covariance = start.covariances.index_axis(Axis(0), j).to_owned();
                let log_density =
                    naive_log_density(&x.to_vec(), &start.means.row(j).to_vec(), &covariance);
                q[[n, j]] = start.weights[j] * log_density.exp();
            }
            let evidence = q.row(n).sum();
            log_likelihood += f64::ln(evidence);
            q.row_mut(n).mapv_inplace(|q| q / evidence);
        }
        likelihood.relative(fit.log_likelihoods[0], log_likelihood);
        let responsibilities = start.responsibilities(data.view()).unwrap();
        moments.entries(&responsibilities.into_dyn(), &q.clone().into_dyn());
        for j in 0..k {
            let count: f64 = q.column(j).sum();
            moments.number(fit.mixture.weights[j], count / 40.0, 1.0);
            let mean =
                |f: &dyn Fn(usize) -> f64| (0..40).map(|n| q[[n, j]] * f(n)).sum::<f64>() / count;
            for a in 0..d {
                let m = mean(&|n| data[[n, a]]);
                moments.number(fit.mixture.means[[j, a]], m, 1.0);
                for b in 0..d {
                    let second =
                        mean(&|n| data[[n, a]] * data[[n, b]]) - m * mean(&|n| data[[n, b]]);
                    let exact = match kind {
                        Covariances::Diagonal if a != b => 0.0,
                        _ => second,
                    };
                    moments.number(fit.mixture.covariances[[j, a, b]], exact, 1.0);
                }
            }
        }
    }
    likelihood.within(REARRANGED, "log-likelihood, relative");
    moments.within(1e-12, "responsibilities and moments, absolute");
}

/// Σ_n Σ_k q_nk log p(x_n, k) on the tape, from logits of the weights, means, and log-variances of diagonal covariances, of shapes
/// (K), (K, d), (K, d).
fn log_joint_on_tape<'t>(v: &[Var<'t, f64>], data: &Array2<f64>) -> Var<'t, f64> {
    let x = v[0].tape().constant(data.view()).unsqueeze(1);
    let gaussian = elbo::distributions::DiagonalGaussian {
        mean: v[1],
        log_variance: v[2],
    };
    gaussian.log_density(x) + v[0].log_softmax(0)
}

#[test]
fn gradients() {
    // Fisher: at q = posterior, ∇θ of the bound is ∇θ log p. After the M-step, ∇θ of the bound is 0.
    let mut rng = rng(154);
    let (mut fisher, mut largest) = (Worst::default(), 0.0f64);
    let mut checked = Checked::default();
    for (k, d) in [(1, 1), (2, 1), (3, 2), (2, 3)] {
        let start = mixture(&mut rng, k, d, Covariances::Diagonal);
        let data = sampled(&mut rng, k, d, Covariances::Diagonal, 15);
        let q = start.responsibilities(data.view()).unwrap();
        let inputs = |m: &GaussianMixture| {
            let log_variance =
                Array2::from_shape_fn((k, d), |(j, i)| m.covariances[[j, i, i]].ln());
            [
                m.weights.mapv(f64::ln).into_dyn(),
                m.means.clone().into_dyn(),
                log_variance.into_dyn(),
            ]
        };
        let bound = |v: &[Var<'_, f64>]| -> f64 {
            let q = v[0].tape().constant(q.view());
            (log_joint_on_tape(v, &data) * q - q * q.ln()).sum().item()
        };
        let tape = Tape::new();
        let v = inputs(&start).map(|input| tape.variable(input));
        let log_joint = log_joint_on_tape(&v, &data);
        let exact = tape.gradients(log_joint.logsumexp_axes(&[1]).sum());
        let found = tape.gradients((log_joint * tape.constant(q.view())).sum());
        for v in v {
            if exact.wrt(v).iter().any(|g| g.abs() > 1e-12) {
                fisher.entries(&owned(found.wrt(v)), &owned(exact.wrt(v)));
            }
        }
        let stopping = Stopping {
            steps: 1,
            tolerance: 0.0,
        };
        let fit = em(data.view(), start.clone(), Covariances::Diagonal, stopping).unwrap();
        let v = inputs(&fit.mixture).map(|input| tape.variable(input));
        assert!((bound(&v) - fit.bounds[0]).abs() < 1e-11 * fit.bounds[0].abs());
        let after = (log_joint_on_tape(&v, &data) * tape.constant(q.view())).sum();
        let gradients = tape.gradients(after);
        let slopes = v.map(|v| gradients.wrt(v).iter().fold(0.0f64, |m, g| m.max(g.abs())));
        largest = slopes.into_iter().fold(largest, f64::max);
        let check = Check::new("optimal-q-and-em");
        let report = check.run(&inputs(&start), |v| {
            let q = v[0].tape().constant(q.view());
            (log_joint_on_tape(v, &data) * q).sum()
        });
        checked.add(report.unwrap());
    }
    report(format!(
        "largest slope of the bound after an M-step {largest:.1e}"
    ));
    assert!(largest < 1e-12);
    fisher.within(1e-12, "∇θ bound = ∇θ log p at the posterior");
    checked.print("bound of the mixture");
}

#[test]
fn of_one_component_is_maximum_likelihood_at_once() {
    let mut rng = rng(155);
    for d in 1..4 {
        let data = sampled(&mut rng, 2, d, Covariances::Full, 30);
        let start = mixture(&mut rng, 1, d, Covariances::Full);
        let stopping = Stopping {
            steps: 10,
            tolerance: 1e-12,
        };
        let fit = em(data.view(), start, Covariances::Full, stopping).unwrap();
        assert!(
            fit.converged && fit.log_likelihoods.len() == 3,
            "one step up, one to see that it was enough"
        );
        let mean = data.mean_axis(Axis(0)).unwrap();
        let centred = &data - &mean;
        let covariance = centred.t().dot(&centred) / 30.0;
        assert!(
            (&fit.mixture.means.row(0) - &mean)
                .iter()
                .all(|e| e.abs() < 1e-13)
        );
        let found = fit.mixture.covariances.index_axis(Axis(0), 0);
        assert!((&found - &covariance).iter().all(|e| e.abs() < 1e-12));
    }
}
