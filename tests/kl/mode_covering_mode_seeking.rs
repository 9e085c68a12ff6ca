//! docs/kl.md#mode-covering-mode-seeking: the forward fit to a mixture covers all modes, the reverse one has several
//! minima, and which there are depends on separation and weights.

mod fits;
mod limits;

use elbo::autodiff::Tape;
use elbo::kl::{
    Fit, FitOptions, Grid, Moments, Nodes, Shape, Target, UnivariateMixture, reverse_fit,
    reverse_minima, separation_of_own_minimum, starts,
};
use ndarray::{Array2, ArrayD, arr1};

use crate::common::arrays::owned;
use crate::common::comparing::Worst;
use crate::common::reporting::report;

/// All minima of the reverse fit to a pair of components of deviation 1.
fn minima(weight: f64, separation: f64) -> Vec<Fit> {
    let target = UnivariateMixture::pair(weight, separation).unwrap();
    let grid = Grid {
        lower: vec![-3.0],
        upper: vec![separation + 3.0],
        points: 2,
    };
    let effort = FitOptions {
        nodes: Some(301),
        ..FitOptions::default()
    };
    let found = reverse_minima(
        |z| target.log_density(z),
        Shape::Full,
        &starts(&grid, 5),
        &effort,
    );
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    found.fits
}

#[test]
fn minima_are_as_curved_as_the_target_is_on_average() {
    // E_q V' = 0 and E_q V'' = 1/σ², with V = -log p differentiated on the tape.
    let mut worst = Worst::default();
    let noise = Nodes::standard_normal(801, 1);
    for (weight, separation) in [(0.5, 3.0), (0.5, 6.0), (0.3, 7.0), (0.1, 4.0)] {
        let target = UnivariateMixture::pair(weight, separation).unwrap();
        for fit in minima(weight, separation) {
            let (mean, deviation) = (fit.q.mean[0], fit.q.covariance[[0, 0]].sqrt());
            let tape = Tape::new();
            let z = tape.variable(noise.points() * deviation + mean);
            let slope = tape
                .differentiable_gradients(-target.log_density(z).sum())
                .wrt(z);
            let curvature = tape.gradients(slope.sum()).wrt(z);
            let expectation = |values: &ArrayD<f64>| -> f64 {
                values.iter().zip(noise.weights()).map(|(v, w)| v * w).sum()
            };
            worst.number(expectation(&owned(slope.value())), 0.0, 1.0);
            let curvature = expectation(&owned(curvature));
            worst.number(curvature * deviation * deviation, 1.0, 1.0);
        }
    }
    worst.within(1e-7, "E_q V' = 0, σ² E_q V'' = 1");
}

/// KL(N(m, e^2l) ‖ pair) by the trapezium rule over z, without the crate.
fn pair_divergence(weight: f64, separation: f64, m: f64, l: f64) -> f64 {
    let normal = |z: f64| (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
    let (n, sigma) = (400, l.exp());
    let width = 8.0 * sigma;
    let sum: f64 = (0..=n)
        .map(|i| m - width + 2.0 * width * f64::from(i) / f64::from(n))
        .map(|z| {
            let q = normal((z - m) / sigma) / sigma;
            let p = weight * normal(z) + (1.0 - weight) * normal(z - separation);
            // p underflows only where q is negligible.
            if q < 1e-250 || p == 0.0 {
                0.0
            } else {
                q * (q / p).ln()
            }
        })
        .sum();
    sum * 2.0 * width / f64::from(n)
}

/// Minima of the divergence on a lattice of means and log-deviations: nodes that are lower than their eight neighbours.
fn lattice_minima(weight: f64, separation: f64) -> Vec<(f64, f64)> {
    let (columns, rows) = (72, 44);
    let at = |i: i32, j: i32| {
        let m = -1.0 + (separation + 2.0) * f64::from(i) / f64::from(columns);
        (m, -0.4 + 1.9 * f64::from(j) / f64::from(rows))
    };
    let values = Array2::from_shape_fn((columns as usize, rows as usize), |(i, j)| {
        let (m, l) = at(i as i32, j as i32);
        pair_divergence(weight, separation, m, l)
    });
    let mut found = Vec::new();
    for i in 1..columns - 1 {
        for j in 1..rows - 1 {
            let value = values[[i as usize, j as usize]];
            let lowest = (-1..=1).all(|di| {
                (-1..=1).all(|dj| values[[(i + di) as usize, (j + dj) as usize]] >= value)
            });
            if lowest {
                found.push(at(i, j));
            }
        }
    }
    found
}

#[test]
fn finds_the_minima_of_a_lattice() {
    for (weight, separation, count) in [(0.5, 2.0, 1), (0.5, 6.0, 3), (0.3, 7.0, 2), (0.1, 4.0, 1)]
    {
        let found = minima(weight, separation);
        let lattice = lattice_minima(weight, separation);
        assert_eq!(
            (found.len(), lattice.len()),
            (count, count),
            "{found:?} {lattice:?}"
        );
        for fit in &found {
            let (mean, log_deviation) = (fit.q.mean[0], 0.5 * fit.q.covariance[[0, 0]].ln());
            let near =
                |&(m, l): &(f64, f64)| (m - mean).abs() < 0.2 && (l - log_deviation).abs() < 0.1;
            assert!(
                lattice.iter().any(near),
                "{mean} {log_deviation} {lattice:?}"
            );
            let direct = pair_divergence(weight, separation, mean, log_deviation);
            assert!(
                (fit.divergence - direct).abs() < 1e-9,
                "{} {direct}",
                fit.divergence
            );
            assert!(fit.quadrature_error < 1e-8, "{:e}", fit.quadrature_error);
        }
    }
}

#[test]
fn forward_covers_and_reverse_chooses() {
    let (weight, separation) = (0.5, 6.0);
    let target = UnivariateMixture::pair(weight, separation).unwrap();
    let grid = Grid {
        lower: vec![-10.0],
        upper: vec![16.0],
        points: 1001,
    };
    let on_grid = Target::on_grid(|z| target.log_density(z), &grid).unwrap();
    let start = Moments::isotropic(arr1(&[1.0]), 1.0);
    let forward = on_grid
        .forward_fit(Shape::Full, &start, &FitOptions::default())
        .unwrap();
    assert!((forward.q.mean[0] - target.mean()).abs() < 1e-8);
    assert!((forward.q.covariance[[0, 0]] - target.variance()).abs() < 1e-8);
    assert!((target.variance() - 10.0).abs() < 1e-15);
    let reverse = minima(weight, separation);
    report(format!(
        "forward: mean {:.4}, variance {:.4}, divergence {:.4}",
        forward.q.mean[0],
        forward.q.covariance[[0, 0]],
        forward.divergence
    ));
    for fit in &reverse {
        let q = (fit.q.mean[0], fit.q.covariance[[0, 0]].sqrt());
        report(format!(
            "reverse: mean {:.4}, deviation {:.4}, divergence {:.4}",
            q.0, q.1, fit.divergence
        ));
    }
    // On a component the divergence is nearly -log of its weight; the third minimum, in the middle, is wide.
    assert_eq!(reverse.len(), 3);
    for fit in &reverse[..2] {
        assert!((fit.divergence - 2f64.ln()).abs() < 0.01);
    }
    let middle = &reverse[2];
    assert!((middle.q.mean[0] - 3.0).abs() < 1e-6 && middle.q.covariance[[0, 0]] > 7.0);
    let digits = |x: f64| (x * 1e3).round() / 1e3;
    let found = [&forward, &reverse[0], middle].map(|fit| digits(fit.divergence));
    assert_eq!(found, [0.462, 0.689, 0.841]);
}

#[test]
fn depends_on_separation_and_weights() {
    // Close modes: one minimum, in the middle, although the target has two modes as soon as they are 2 apart.
    for separation in [1.0, 2.5, 4.0] {
        let found = minima(0.5, separation);
        assert_eq!(found.len(), 1);
        assert!((found[0].q.mean[0] - 0.5 * separation).abs() < 1e-6);
        // Wider than a component, narrower than the target.
        let variance = found[0].q.covariance[[0, 0]];
        assert!(variance > 1.0 && variance < 1.0 + 0.25 * separation * separation);
    }
    let appears = separation_of_own_minimum(0.5, 1e-5).unwrap().unwrap();
    assert_eq!(
        (
            minima(0.5, appears - 0.02).len(),
            minima(0.5, appears + 0.02).len()
        ),
        (1, 3)
    );
    // Then there are three, and the one in the middle is the lowest until the modes are further apart.
    assert!((minima(0.5, appears + 0.02)[0].q.mean[0] - 0.5 * appears).abs() < 0.1);
    let gap = |separation: f64| {
        let target = UnivariateMixture::pair(0.5, separation).unwrap();
        let effort = FitOptions {
            nodes: Some(401),
            ..FitOptions::default()
        };
        let [middle, own] = [(0.5 * separation, 2.3), (0.0, 1.1)].map(|(mean, deviation)| {
            let start = Moments::isotropic(arr1(&[mean]), deviation);
            reverse_fit(|z| target.log_density(z), Shape::Full, &start, &effort).unwrap()
        });
        assert!(middle.minimum && own.minimum && own.q.mean[0] < 0.2 * separation);
        middle.divergence - own.divergence
    };
    let (mut low, mut high) = (appears + 0.02, 6.0);
    while high - low > 1e-4 {
        let between = 0.5 * (low + high);
        if gap(between) > 0.0 {
            high = between
        } else {
            low = between
        }
    }
    report(format!(
        "equal weights: one minimum below {appears:.4}, three above; the modes are lowest above {high:.4}"
    ));
    assert!((appears - 4.8245).abs() < 1e-4 && (high - 5.6002).abs() < 3e-4);
    // Unequal weights: the heavier component has its own minimum sooner than the lighter one, or never a fold at all.
    assert!(separation_of_own_minimum(0.0, 1e-3).is_err());
    assert!(separation_of_own_minimum(0.738, 1e-2).unwrap().is_some());
    assert!(separation_of_own_minimum(0.75, 1e-2).unwrap().is_none());
    for (weight, expected, heavier) in [(0.3, 5.252, Some(4.238)), (0.1, 5.801, None)] {
        let light = separation_of_own_minimum(weight, 1e-3).unwrap().unwrap();
        let heavy = separation_of_own_minimum(1.0 - weight, 1e-3).unwrap();
        report(format!(
            "weight {weight}: own minimum of the lighter from {light:.3}, of the heavier from {heavy:?}"
        ));
        // Each within the tolerance above the fold.
        let close = |found: f64, expected: f64| (found - expected).abs() < 2e-3;
        assert!(close(light, expected) && heavy.is_some() == heavier.is_some());
        assert!(
            heavy
                .iter()
                .zip(&heavier)
                .all(|(&heavy, &heavier)| close(heavy, heavier))
        );
        assert_eq!(minima(weight, light - 0.05).len(), 1);
        assert_eq!(minima(weight, light + 0.05).len(), 2);
    }
}
