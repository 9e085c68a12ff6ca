//! docs/kl.md#forward-kl-moment-matching: ∇ KL(p ‖ q_η) = E_q T - E_p T, so the nearest member of an exponential
//! family has the moments of p.

mod limits;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::kl::{
    ExponentialFamily, FitOptions, Grid, Moments, Nodes, ProjectionError, Shape, Target,
    UnivariateMixture, tables,
};
use ndarray::{Array1, Array2, Axis, arr1, arr2};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::{random, rng};
use crate::common::reporting::report;

/// A random family over `n` outcomes with `m` statistics, with one outcome that the base measure excludes.
fn random_family(rng: &mut StdRng, n: usize, m: usize) -> ExponentialFamily {
    let statistics = Array2::from_shape_simple_fn((n, m), || rng.random_range(-1.0..1.0));
    let mut base = Array1::from_shape_simple_fn(n, || rng.random_range(0.1..1.0));
    base[n - 1] = 0.0;
    let total = base.sum();
    ExponentialFamily::new(statistics, base / total).unwrap()
}

/// Probabilities of n outcomes, the last and one more of them 0.
fn random_outcomes(rng: &mut StdRng, n: usize) -> Array1<f64> {
    let mut p = Array1::from_shape_simple_fn(n, || rng.random_range(0.1..1.0));
    p[n - 1] = 0.0;
    p[1] = 0.0;
    let total = p.sum();
    p / total
}

/// KL(p ‖ q_η) on the tape, over the outcomes that p allows.
fn forward_divergence<'t>(
    family: &ExponentialFamily,
    p: &Array1<f64>,
    natural: Var<'t, f64>,
) -> Var<'t, f64> {
    let allowed: Vec<usize> = (0..p.len()).filter(|&i| p[i] > 0.0).collect();
    let p = p.select(Axis(0), &allowed);
    let entropy = -p.iter().map(|p| p * p.ln()).sum::<f64>();
    let log_q = family.log_probabilities(natural).gather(&allowed);
    -(log_q * natural.tape().constant(p)).sum() - entropy
}

#[test]
fn by_hand() {
    let mut rng = rng(81);
    let (mut gradient, mut value) = (Worst::default(), Worst::default());
    let mut checked = Checked::default();
    for (n, m) in [(4, 1), (6, 2), (9, 4)] {
        let (family, p) = (random_family(&mut rng, n, m), random_outcomes(&mut rng, n));
        let natural = random(&mut rng, &[m]);
        let tape = Tape::new();
        let eta = tape.variable(natural.clone());
        let divergence = forward_divergence(&family, &p, eta);
        let q = owned(family.log_probabilities(eta).value()).mapv(f64::exp);
        value.number(
            tables(&p.clone().into_dyn(), &q).unwrap(),
            divergence.item(),
            1.0,
        );
        let q = q.into_dimensionality().unwrap();
        let by_hand = family.moments(&q) - family.moments(&p);
        gradient.entries(
            &owned(tape.gradients(divergence).wrt(eta)),
            &by_hand.into_dyn(),
        );
        let check = Check::new("forward-kl-moment-matching");
        let point = [natural];
        checked.add(
            check
                .run(&point, |v| forward_divergence(&family, &p, v[0]))
                .unwrap(),
        );
        checked.add(
            check
                .run_second_order(&point, |v| forward_divergence(&family, &p, v[0]))
                .unwrap(),
        );
    }
    value.within(REARRANGED, "value: enumeration");
    gradient.within(1e-12, "∇ KL(p ‖ q) = E_q T - E_p T");
    checked.print("first and second order");
}

#[test]
fn projects_onto_the_family() {
    let mut rng = rng(82);
    let mut worst = Worst::default();
    let mut steps = 0;
    for (n, m) in [(4, 1), (6, 2), (9, 4)] {
        for _ in 0..5 {
            let (family, p) = (random_family(&mut rng, n, m), random_outcomes(&mut rng, n));
            let nearest = match family.project(&p) {
                Ok(nearest) => nearest,
                // Few outcomes and many statistics: the moments may lie on the border.
                Err(ProjectionError::OnTheBorder { .. }) => continue,
                Err(other) => panic!("{other}"),
            };
            steps = steps.max(nearest.iterations);
            let (found, wanted) = (family.moments(&nearest.probabilities), family.moments(&p));
            worst.entries(&found.into_dyn(), &wanted.into_dyn());
            // Pythagoras: KL(p ‖ r) = KL(p ‖ q) + KL(q ‖ r) for every other member r.
            let tape = Tape::new();
            let eta = tape.constant(
                &nearest.natural
                    + &random(&mut rng, &[m])
                        .into_dimensionality::<ndarray::Ix1>()
                        .unwrap(),
            );
            let r = owned(family.log_probabilities(eta).value()).mapv(f64::exp);
            let q = nearest.probabilities.clone().into_dyn();
            let whole = tables(&p.clone().into_dyn(), &r).unwrap();
            let parts = nearest.divergence + tables(&q, &r).unwrap();
            worst.number(parts, whole, 1.0);
        }
    }
    report(format!("at most {steps} Newton steps"));
    worst.within(1e-10, "moments of q = moments of p; Pythagoras");
}

#[test]
fn on_a_quadrature_rule_is_the_gaussian_with_the_moments() {
    // T = (x, x²) on a fine grid: the nearest member to a skewed p is the Gaussian with p's mean and variance.
    let n = 2001;
    let x = Array1::linspace(-12.0, 12.0, n);
    let family = ExponentialFamily::new(
        Array2::from_shape_fn((n, 2), |(i, j)| f64::powi(x[i], j as i32 + 1)),
        Array1::from_elem(n, 1.0 / n as f64),
    )
    .unwrap();
    let target = UnivariateMixture::new(&[0.3, 0.7], &[-1.5, 1.0], &[0.5, 0.9]).unwrap();
    let tape = Tape::new();
    let points = x.clone().insert_axis(Axis(1));
    let density = owned(target.log_density(tape.constant(points)).value()).mapv(f64::exp);
    let p: Array1<f64> = density.into_dimensionality().unwrap();
    let total = p.sum();
    let nearest = family.project(&(p / total)).unwrap();
    let (mean, variance) = (target.mean(), target.variance());
    let mut worst = Worst::default();
    worst.number(nearest.natural[0], mean / variance, 1.0);
    worst.number(nearest.natural[1], -0.5 / variance, 1.0);
    // By descent on the tape, over the target's own grid.
    let grid = Grid {
        lower: vec![-12.0],
        upper: vec![12.0],
        points: n,
    };
    let target = Target::on_grid(|x| target.log_density(x), &grid).unwrap();
    let closed = target.forward_projection(Shape::Full).unwrap();
    for start in [
        Moments::isotropic(arr1(&[0.0]), 1.0),
        Moments::isotropic(arr1(&[4.0]), 0.3),
    ] {
        let fit = target
            .forward_fit(Shape::Full, &start, &FitOptions::default())
            .unwrap();
        report(format!("forward fit in {} steps", fit.iterations));
        worst.number(fit.q.mean[0], mean, 1.0);
        worst.number(fit.q.covariance[[0, 0]], variance, 1.0);
        worst.number(fit.divergence, nearest.divergence, 1.0);
        worst.number(fit.divergence, closed.divergence, 1.0);
        assert!(fit.minimum);
    }
    worst.number(target.log_normaliser(), 0.0, 1.0);
    worst.within(1e-9, "natural parameters, descent and closed form agree");
}

#[test]
fn is_maximum_likelihood() {
    // Counts 0 to 6 with the statistic k: binomials. The most likely success probability is the mean over 6.
    let mut rng = rng(84);
    let n = 100_000;
    let success: f64 = 0.3;
    let choose = [1.0, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0];
    let family = ExponentialFamily::new(
        Array2::from_shape_fn((7, 1), |(k, _)| k as f64),
        arr1(&choose) / 64.0,
    )
    .unwrap();
    let mut counts = Array1::<f64>::zeros(7);
    for _ in 0..n {
        let k = (0..6).filter(|_| rng.random_bool(success)).count();
        counts[k] += 1.0;
    }
    let nearest = family.maximum_likelihood(&counts).unwrap();
    let mean = counts
        .iter()
        .enumerate()
        .map(|(k, c)| k as f64 * c)
        .sum::<f64>()
        / n as f64;
    let logit = |p: f64| (p / (1.0 - p)).ln();
    assert!((nearest.natural[0] - logit(mean / 6.0)).abs() < 1e-12);
    // The estimate's variance is 1 over n times the Fisher information, the variance of k.
    let error = (1.0 / (n as f64 * 6.0 * success * (1.0 - success))).sqrt();
    let distance = (nearest.natural[0] - logit(success)) / error;
    report(format!(
        "natural parameter of {n} draws: {distance:+.2} standard errors from the truth"
    ));
    assert!(distance.abs() <= 4.0);
    // Minus the mean log-likelihood is the divergence from the frequencies plus their entropy, for every parameter.
    let frequencies = &counts / n as f64;
    let entropy = -frequencies
        .iter()
        .filter(|f| **f > 0.0)
        .map(|f| f * f.ln())
        .sum::<f64>();
    for eta in [-2.0, 0.0, nearest.natural[0]] {
        let tape = Tape::new();
        let log_q = owned(
            family
                .log_probabilities(tape.constant(arr1(&[eta])))
                .value(),
        );
        let log_likelihood: f64 = counts.iter().zip(&log_q).map(|(c, l)| c * l).sum();
        let divergence = tables(&frequencies.clone().into_dyn(), &log_q.mapv(f64::exp)).unwrap();
        assert!((log_likelihood / n as f64 + divergence + entropy).abs() < 1e-12);
    }
    // Samples of a Gaussian: the likeliest one has their mean and their variance with n, not n - 1, below.
    let points = arr2(&[[1.0], [2.0], [6.0]]);
    let moments = Nodes::samples(points).unwrap().moments();
    assert!((moments.mean[0] - 3.0).abs() < 1e-15);
    assert!((moments.covariance[[0, 0]] - 14.0 / 3.0).abs() < 1e-14);
}
