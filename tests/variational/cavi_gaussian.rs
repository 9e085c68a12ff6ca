//! docs/variational.md#cavi-gaussian: coordinate ascent on a Gaussian is Gauss–Seidel on Λ, with its rate, and finds
//! variances 1/Λ_jj.

mod limits;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::MultivariateGaussian;
use elbo::kl;
use elbo::variational::GaussianTarget;
use ndarray::{Array1, Array2, Axis, arr1};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::comparing::{Checked, Worst};
use crate::common::linear_algebra::inverse;
use crate::common::quadrature::gauss_hermite;
use crate::common::random::{random, rng};
use crate::common::reporting::report;
use crate::common::statistics::slope;

fn target(rng: &mut StdRng, d: usize) -> (Array1<f64>, Array2<f64>) {
    let a: Array2<f64> = random(rng, &[d, d]).into_dimensionality().unwrap();
    let precision = a.dot(&a.t()) + Array2::<f64>::eye(d) * 0.5;
    (random(rng, &[d]).into_dimensionality().unwrap(), precision)
}

fn shuffled(rng: &mut StdRng, d: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..d).collect();
    for i in (1..d).rev() {
        order.swap(i, rng.random_range(0..=i));
    }
    order
}

/// KL(N(m, diag e^s)‖N(μ, Λ⁻¹)) on the tape, by the general formula.
fn product_divergence<'t>(
    v: &[Var<'t, f64>],
    mean: &Array1<f64>,
    precision: &Array2<f64>,
) -> Var<'t, f64> {
    let tape = v[0].tape();
    let identity = tape.constant(Array2::eye(mean.len()));
    let q = MultivariateGaussian::from_covariance(v[0], identity * v[1].exp()).unwrap();
    let l = tape.constant(precision.view()).cholesky().unwrap();
    let covariance = l.solve_lower_transposed(l.solve_lower(identity));
    let p = MultivariateGaussian::from_covariance(tape.constant(mean.view()), covariance).unwrap();
    kl::gaussian_full(&q, &p)
}

#[test]
fn update_is_the_minimum_in_its_factor() {
    let mut rng = rng(170);
    let (mut divergences, mut largest) = (Worst::default(), 0.0f64);
    let mut checked = Checked::default();
    for d in 1..6 {
        let (mean, precision) = target(&mut rng, d);
        let gaussian = GaussianTarget::new(mean.clone(), precision.clone()).unwrap();
        let log_variance = gaussian.variances().mapv(f64::ln);
        let mut m: Array1<f64> = random(&mut rng, &[d]).into_dimensionality().unwrap();
        for j in shuffled(&mut rng, d) {
            gaussian.update(&mut m, j);
            let tape = Tape::new();
            let v = [
                tape.variable(m.clone()),
                tape.variable(log_variance.clone()),
            ];
            let kl = product_divergence(&v, &mean, &precision);
            divergences.number(gaussian.divergence(&m), kl.item(), kl.item().max(1.0));
            let gradients = tape.gradients(kl);
            // Mean and variance of factor j are optimal; the other variances are, whatever the means.
            largest = largest.max(gradients.wrt(v[0])[j].abs());
            largest = gradients
                .wrt(v[1])
                .iter()
                .fold(largest, |m, g| m.max(g.abs()));
        }
        let point = [random(&mut rng, &[d]), random(&mut rng, &[d])];
        let check = Check::new("cavi-gaussian");
        checked.add(
            check
                .run(&point, |v| product_divergence(v, &mean, &precision))
                .unwrap(),
        );
        checked.add(
            check
                .run_second_order(&point, |v| product_divergence(v, &mean, &precision))
                .unwrap(),
        );
    }
    report(format!("largest slope after an update {largest:.1e}"));
    assert!(largest < 1e-11);
    divergences.within(1e-11, "KL in closed form = the general formula");
    checked.print("KL of a product");
}

#[test]
fn is_the_mean_field_factor() {
    // log q_j* = E_{-j} log p: its slope and curvature in z_j, from the density, by quadrature over the other factors.
    let mut rng = rng(171);
    let rule = gauss_hermite(4);
    let mut worst = Worst::default();
    for _ in 0..5 {
        let (mean, precision) = target(&mut rng, 2);
        let gaussian = GaussianTarget::new(mean.clone(), precision.clone()).unwrap();
        let before: Array1<f64> = random(&mut rng, &[2]).into_dimensionality().unwrap();
        for j in 0..2 {
            let other = 1 - j;
            // At three points of z_j, with a quadratic through them.
            let expected = [-1.0, 0.0, 1.0].map(|z| {
                rule.iter()
                    .map(|(e, w)| {
                        let mut point = before.clone();
                        point[j] = z;
                        point[other] += e * gaussian.variances()[other].sqrt();
                        let error = &point - &mean;
                        -0.5 * w * error.dot(&precision.dot(&error))
                    })
                    .sum::<f64>()
            });
            let curvature = expected[0] + expected[2] - 2.0 * expected[1];
            let slope = 0.5 * (expected[2] - expected[0]);
            let mut after = before.clone();
            gaussian.update(&mut after, j);
            worst.number(after[j], -slope / curvature, 1.0);
            worst.number(gaussian.variances()[j], -1.0 / curvature, 1.0);
        }
    }
    worst.within(1e-12, "mean and variance of exp E_{-j} log p, absolute");
}

#[test]
fn error_map_is_that_of_gauss_seidel() {
    let mut rng = rng(172);
    let mut worst = Worst::default();
    for d in 1..7 {
        let (mean, precision) = target(&mut rng, d);
        let gaussian = GaussianTarget::new(mean.clone(), precision.clone()).unwrap();
        let order = shuffled(&mut rng, d);
        let place = |j: usize| order.iter().position(|&k| k == j).unwrap();
        let part = |keep: &dyn Fn(usize, usize) -> bool| {
            Array2::from_shape_fn((d, d), |(j, k)| match keep(place(j), place(k)) {
                true => precision[[j, k]],
                false => 0.0,
            })
        };
        let (lower, upper) = (part(&|j, k| k <= j), part(&|j, k| k > j));
        let exact = -inverse(&lower).dot(&upper);
        let map = gaussian.error_map(&order);
        worst.entries(&map.clone().into_dyn(), &exact.into_dyn());
        // And the sweep itself does it.
        let mut m: Array1<f64> = random(&mut rng, &[d]).into_dimensionality().unwrap();
        let error = map.dot(&(&m - &mean));
        gaussian.sweep(&mut m, &order);
        for j in 0..d {
            worst.number(m[j] - mean[j], error[j], 1.0);
        }
        assert!(gaussian.rate(&order) < 1.0);
    }
    worst.within(1e-12, "-(D + A)⁻¹B, in random orders");
}

#[test]
fn rate() {
    let mut rng = rng(173);
    let mut worst = 0.0f64;
    for d in [2, 2, 3, 4, 6] {
        let (mean, precision) = target(&mut rng, d);
        let gaussian = GaussianTarget::new(mean, precision.clone()).unwrap();
        let order = shuffled(&mut rng, d);
        let rate = gaussian.rate(&order);
        if d == 2 {
            let squared = precision[[0, 1]].powi(2) / (precision[[0, 0]] * precision[[1, 1]]);
            assert!((rate - squared).abs() < 1e-14, "ρ² of two dimensions");
        }
        let start = Array1::from_shape_simple_fn(d, || rng.random_range(-1e6..1e6));
        // Long enough for the slowest direction to be alone, short enough for the excess to have digits.
        let sweeps = 400usize;
        let ascent = gaussian.ascend(&start, &order, sweeps);
        let least = gaussian.least_divergence();
        assert!(
            ascent
                .divergences
                .windows(2)
                .all(|d| d[1] <= d[0] * (1.0 + 1e-13))
        );
        let points: Vec<(f64, f64)> = ascent
            .divergences
            .iter()
            .enumerate()
            .map(|(sweep, kl)| (sweep as f64, kl - least))
            .filter(|(_, excess)| *excess > 1e-8 && *excess < 1e6)
            .map(|(sweep, excess)| (sweep, excess.ln()))
            .collect();
        let late = &points[points.len() / 2..];
        let fitted = (0.5 * slope(late)).exp();
        report(format!(
            "d = {d}: spectral radius {rate:.5}, from the divergence's decay {fitted:.5} ({} sweeps)",
            late.len()
        ));
        worst = worst.max((fitted - rate).abs());
    }
    assert!(worst < 5e-3, "{worst}");
    // Three coordinates, each correlated with each by the same a: the eigenvalues are 0 and, for this a, a complex pair of
    // magnitude a^(3/2), at which a power iteration would not settle.
    let a = 0.45f64;
    let equal = Array2::from_shape_fn((3, 3), |(i, j)| if i == j { 1.0 } else { a });
    let gaussian = GaussianTarget::new(Array1::zeros(3), equal).unwrap();
    let order = [1, 2, 0];
    let map = gaussian.error_map(&order);
    let trace = map.diag().sum();
    assert!(trace * trace < 4.0 * a.powi(3), "a complex pair");
    assert!((gaussian.rate(&order) - a.powf(1.5)).abs() < 1e-14);
    // Without correlations one sweep is enough.
    let gaussian = GaussianTarget::new(arr1(&[1.0, 2.0]), Array2::eye(2)).unwrap();
    assert_eq!(gaussian.rate(&[1, 0]), 0.0);
    assert_eq!(
        gaussian.ascend(&arr1(&[0.0, 0.0]), &[1, 0], 1).divergences[1],
        0.0
    );
}

#[test]
fn variances_are_those_given_all_others() {
    let mut rng = rng(174);
    for d in 1..6 {
        let (mean, precision) = target(&mut rng, d);
        let gaussian = GaussianTarget::new(mean, precision.clone()).unwrap();
        let covariance = inverse(&precision);
        for (j, found) in gaussian.variances().into_iter().enumerate() {
            // Var(z_j | others) = Σ_jj - Σ_jo Σ_oo⁻¹ Σ_oj.
            let others: Vec<usize> = (0..d).filter(|&k| k != j).collect();
            let inner = covariance.select(Axis(0), &others).select(Axis(1), &others);
            let cross = covariance.row(j).select(Axis(0), &others);
            let conditional = covariance[[j, j]] - cross.dot(&inverse(&inner).dot(&cross));
            assert!((found - conditional).abs() < 1e-10 * found);
            assert!(found <= covariance[[j, j]] * (1.0 + 1e-12));
        }
    }
}
