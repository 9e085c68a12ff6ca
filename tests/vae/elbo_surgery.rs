//! docs/vae.md#elbo-surgery: the mean divergence from the prior is KL(q̄ ‖ p) + I(n; z), and I is at most log N.

mod limits;

use std::f64::consts::TAU;

use elbo::autodiff::Tape;
use elbo::distributions::GaussianParameters;
use elbo::kl;
use elbo::vae::{Surgery, SurgeryError, unit_divergences};
use ndarray::{Array1, Array2, Ix2, arr1, arr2, s};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::comparing::Worst;
use crate::common::random::{matrix, rng};
use crate::common::reporting::report;

/// A random table of shape (n, k): rows add up to 1, some entries are 0.
fn table(rng: &mut StdRng, [n, k]: [usize; 2]) -> Array2<f64> {
    let mut t = matrix(rng, [n, k]).mapv(|x| if x < -1.0 { 0.0 } else { x + 1.1 });
    for mut row in t.rows_mut() {
        row[rng.random_range(0..k)] += 1.0;
        let sum = row.sum();
        row.mapv_inplace(|x| x / sum);
    }
    t
}

#[test]
fn of_tables() {
    let mut rng = rng(140);
    let (mut parts, mut sum) = (Worst::default(), Worst::default());
    for shape in [[1, 3], [2, 2], [4, 5], [9, 3], [3, 9]] {
        let (q, p) = (
            table(&mut rng, shape),
            table(&mut rng, [1, shape[1]]).mapv(|p| p * 0.9 + 0.1 / shape[1] as f64),
        );
        let [n, k] = shape;
        let found = Surgery::of_tables(q.view(), p.row(0)).unwrap();
        // In plain loops over the joint distribution q(n, z) = q(z|n)/N.
        let log_ratio = |a: f64, b: f64| if a > 0.0 { a * (a / b).ln() } else { 0.0 };
        let aggregate = |z: usize| (0..n).map(|i| q[[i, z]]).sum::<f64>() / n as f64;
        let over = |f: &dyn Fn(usize, usize) -> f64| {
            (0..n * k).map(|e| f(e / k, e % k)).sum::<f64>() / n as f64
        };
        parts.number(
            found.divergence,
            over(&|i, z| log_ratio(q[[i, z]], p[[0, z]])),
            1.0,
        );
        parts.number(
            found.information,
            over(&|i, z| log_ratio(q[[i, z]], aggregate(z))),
            1.0,
        );
        parts.number(
            found.marginal,
            (0..k).map(|z| log_ratio(aggregate(z), p[[0, z]])).sum(),
            1.0,
        );
        sum.number(found.marginal + found.information, found.divergence, 1.0);
        assert!(
            found.marginal >= 0.0 && found.information >= 0.0 && found.information <= found.bound
        );
        assert!((found.bound - (n as f64).ln()).abs() < 1e-15);
    }
    parts.within(1e-13, "each part = plain loops");
    sum.within(1e-13, "marginal + information = divergence");
    // Codes that exclude each other determine the index: I = log N. Equal codes carry no information.
    let apart = Surgery::of_tables(Array2::eye(4).view(), arr1(&[0.25; 4]).view()).unwrap();
    assert!((apart.information - 4f64.ln()).abs() < 1e-15 && apart.marginal == 0.0);
    let same = Surgery::of_tables(
        arr2(&[[0.5, 0.5], [0.5, 0.5]]).view(),
        arr1(&[1.0, 0.0]).view(),
    )
    .unwrap();
    assert_eq!(
        (same.information, same.marginal, same.divergence),
        (0.0, f64::INFINITY, f64::INFINITY)
    );
    let none = Array2::<f64>::zeros((0, 2));
    assert_eq!(
        Surgery::of_tables(none.view(), arr1(&[0.5, 0.5]).view()),
        Err(SurgeryError::Empty)
    );
    assert!(matches!(
        Surgery::of_tables(arr2(&[[0.5, 0.6]]).view(), arr1(&[0.5, 0.5]).view()),
        Err(SurgeryError::NotATable(_))
    ));
}

fn random_codes(rng: &mut StdRng, [n, d]: [usize; 2], spread: f64) -> GaussianParameters<f64, Ix2> {
    GaussianParameters {
        mean: matrix(rng, [n, d]) * spread,
        log_variance: matrix(rng, [n, d]) * 0.5 - 0.5,
    }
}

/// -(1/N) Σ E_q(z|n) log q̄(z), by a Gauss–Hermite rule for each code.
fn cross_entropy(codes: &GaussianParameters<f64, Ix2>, nodes: usize) -> f64 {
    let (n, d) = codes.mean.dim();
    let rule = kl::Nodes::standard_normal(nodes, d);
    let deviations = codes.log_variance.mapv(|s| (0.5 * s).exp());
    let log_q = |z: &Array1<f64>| {
        let terms = (0..n).map(|i| {
            let each = (0..d).map(|u| {
                let t = (z[u] - codes.mean[[i, u]]) / deviations[[i, u]];
                -0.5 * (t * t + TAU.ln()) - deviations[[i, u]].ln()
            });
            each.sum::<f64>().exp()
        });
        (terms.sum::<f64>() / n as f64).ln()
    };
    let mut total = 0.0;
    for i in 0..n {
        for (node, weight) in rule.points().rows().into_iter().zip(rule.weights()) {
            let z = &codes.mean.row(i) + &(&deviations.row(i) * &node);
            total -= weight * log_q(&z);
        }
    }
    total / n as f64
}

#[test]
fn of_gaussian_codes() {
    let mut rng = rng(141);
    let (mut sum, mut parts, mut closed) = (Worst::default(), Worst::default(), Worst::default());
    for (shape, spread) in [
        ([1, 1], 1.0),
        ([5, 1], 0.7),
        ([8, 1], 1.0),
        ([3, 2], 0.5),
        ([6, 2], 0.7),
    ] {
        let codes = random_codes(&mut rng, shape, spread);
        let found = Surgery::exact(&codes).unwrap();
        sum.number(found.marginal + found.information, found.divergence, 1.0);
        let entropies =
            (codes.log_variance.mapv(|s| s + 1.0 + TAU.ln()) * 0.5).sum() / shape[0] as f64;
        let nodes = if shape[1] == 1 { 120 } else { 60 };
        parts.number(
            found.information,
            cross_entropy(&codes, nodes) - entropies,
            1.0,
        );
        let tape = Tape::new();
        let kl = kl::gaussian_standard(&codes.on(&tape)).mean().item();
        closed.number(found.divergence, kl, 1.0);
        closed.number(unit_divergences(&codes).unwrap().sum(), kl, 1.0);
        assert!(found.information <= found.bound + 1e-12);
        report(format!(
            "{shape:?} codes: {:.4} = {:.4} + {:.4}, log N = {:.4}",
            found.divergence, found.marginal, found.information, found.bound
        ));
    }
    sum.within(1e-12, "marginal + information = divergence, absolute");
    parts.within(1e-6, "information: grid = Gauss–Hermite at each code");
    closed.within(1e-13, "divergence = kl::gaussian_standard");
}

#[test]
fn by_draws() {
    let mut rng = rng(143);
    for shape in [[4, 1], [6, 2]] {
        let codes = random_codes(&mut rng, shape, 1.0);
        let exact = Surgery::exact(&codes).unwrap();
        let found = Surgery::sampled(&codes, 100_000, &mut rng).unwrap();
        for (what, estimate, exact) in [
            ("KL(q̄‖p)", found.marginal, exact.marginal),
            ("I(n; z)", found.information, exact.information),
        ] {
            let distance = estimate.distance(exact);
            report(format!(
                "{shape:?} {what}: {estimate}, exact {exact:.5}, {distance:+.2} standard errors"
            ));
            assert!(distance.abs() <= 4.0);
        }
        assert!((found.divergence - exact.divergence).abs() < 1e-14);
    }
    // Where no grid reaches: the information by a Gauss–Hermite rule around each code.
    let codes = random_codes(&mut rng, [5, 3], 1.0);
    let found = Surgery::sampled(&codes, 20_000, &mut rng).unwrap();
    let entropies = (codes.log_variance.mapv(|s| s + 1.0 + TAU.ln()) * 0.5).sum() / 5.0;
    let exact = cross_entropy(&codes, 24) - entropies;
    let distance = found.information.distance(exact);
    assert!(distance.abs() <= 4.0, "{distance:+.2} standard errors");
    // The marginal has no noise of its own: the parts add up, in any dimension.
    let codes = random_codes(&mut rng, [5, 7], 1.0);
    let found = Surgery::sampled(&codes, 50, &mut rng).unwrap();
    let off = found.marginal.mean + found.information.mean - found.divergence;
    assert!(off.abs() < 1e-13, "{off:e}");
    assert_eq!(
        found.marginal.standard_error,
        found.information.standard_error
    );
}

#[test]
fn of_a_part_of_the_data_saturates() {
    // 64 codes that hardly overlap carry log 64; any M of them can show log M at most.
    let means = Array2::from_shape_fn((64, 1), |(n, _)| 10.0 * n as f64);
    let codes = |m: usize| GaussianParameters {
        mean: means.slice(s![..m, ..]).to_owned(),
        log_variance: Array2::zeros((m, 1)),
    };
    for m in [2, 8, 64] {
        let found = Surgery::exact(&codes(m)).unwrap();
        report(format!(
            "{m} of 64 codes: I = {:.4}, log M = {:.4}",
            found.information, found.bound
        ));
        assert!((found.information - (m as f64).ln()).abs() < 1e-4);
    }
}
