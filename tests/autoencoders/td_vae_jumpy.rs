//! docs/autoencoders.md#td-vae-jumpy: the bound over a jump, and what is lost by knowing what lies between.

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::autoencoders::{PairPosterior, TdStructure, TimePair};
use elbo::distributions::noise::standard_normal;
use elbo::distributions::{Moments, MultivariateGaussian};
use ndarray::{Array1, Array2, Axis, s};
use rand::rngs::StdRng;

use super::shared::sequences::{Arrays, Hidden, Joint, divergence, random_pair};
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::linear_algebra::determinant;
use crate::common::quadrature::gauss_hermite_grid;
use crate::common::random::{matrix, random, rng};
use crate::common::reporting::report;
use crate::common::statistics::Statistics;

/// What sums of a few hundred products and an inverse may differ by.
const EXACT: f64 = 1e-12;

/// t₁ and t₂, counted from 0, of five observations.
const TIMES: (usize, usize) = (1, 4);

/// A model, everything about it as one Gaussian, and a sequence of it.
fn drawn(rng: &mut StdRng, k: usize, d: usize) -> (Arrays, Joint, Array2<f64>) {
    let arrays = Arrays::random(rng, k, d);
    let joint = arrays.joint(TIMES.1 + 1);
    let (_, x) = arrays.system().sample(TIMES.1 + 1, rng);
    (arrays, joint, x)
}

/// p(z_t1, z_t2|x up to t₁, x_t2).
fn given_the_ends(joint: &Joint, x: &Array2<f64>) -> Moments {
    let mut seen: Vec<usize> = (0..=TIMES.0).collect();
    seen.push(TIMES.1);
    joint.given(&joint.states(&[TIMES.0, TIMES.1]), &seen, x.view())
}

/// p(z_t1, z_t2|x up to t₂).
fn given_all(joint: &Joint, x: &Array2<f64>) -> Moments {
    let seen: Vec<usize> = (0..=TIMES.1).collect();
    joint.given(&joint.states(&[TIMES.0, TIMES.1]), &seen, x.view())
}

#[test]
fn two_steps_by_hand() {
    let mut rng = rng(950);
    let arrays = Arrays::random(&mut rng, 3, 2);
    let (a, q) = (&arrays.a, &arrays.q);
    let jumped = arrays.system().every(2);
    let by_hand = Moments {
        mean: a.dot(&a.dot(&arrays.start.mean)),
        covariance: a
            .dot(&(a.dot(&arrays.start.covariance).dot(&a.t()) + q))
            .dot(&a.t())
            + q,
    };
    let found = jumped.predict(&arrays.start);
    let mut worst = Worst::default();
    worst.entries(&found.mean.into_dyn(), &by_hand.mean.into_dyn());
    worst.entries(&found.covariance.into_dyn(), &by_hand.covariance.into_dyn());
    worst.within(REARRANGED, "a jump of two steps, step by step");
}

#[test]
fn gradients_by_finite_differences() {
    let mut rng = rng(951);
    let arrays = Arrays::random(&mut rng, 2, 2);
    let jumped = arrays.system().every(3);
    let (x, noise) = (matrix(&mut rng, [1, 2]), random(&mut rng, &[2, 2, 2]));
    let point = [
        random(&mut rng, &[2]),
        random(&mut rng, &[2]),
        random(&mut rng, &[2, 2]),
    ];
    let mut checked = Checked::default();
    let report = Check::new("td-vae-jumpy").run(&point, |v| {
        let tape = v[0].tape();
        let gaussian = |mean| {
            let factor = tape.constant(Array2::<f64>::eye(2) * 0.6);
            MultivariateGaussian::from_factor(mean, factor).unwrap()
        };
        let q = PairPosterior {
            later: gaussian(v[0]),
            earlier: gaussian(v[1]),
            gain: v[2],
        };
        let bound = jumped.pair_bound(&arrays.start, x.row(0), &q, tape.constant(noise.clone()));
        bound.unwrap().value()
    });
    checked.add(report.unwrap());
    checked.print("bound over a jump, in means and gain of q");
}

/// E_q of the bound over the jump by quadrature, which three nodes make exact.
fn mean_bound(arrays: &Arrays, x: &Array2<f64>, q: &Moments) -> f64 {
    let (system, k) = (arrays.system(), arrays.a.nrows());
    let tape = Tape::new();
    let q = PairPosterior::of(q, &tape).unwrap();
    let (nodes, weights) = gauss_hermite_grid(3, 2 * k);
    let parts = [nodes.slice(s![.., ..k]), nodes.slice(s![.., k..])];
    let noise = tape.constant(ndarray::stack(Axis(0), &parts).unwrap());
    let (t1, t2) = TIMES;
    let belief = &system.filter(x.slice(s![..=t1, ..])).unwrap().states[t1];
    let bound = system
        .every(t2 - t1)
        .pair_bound(belief, x.row(t2), &q, noise);
    let values = bound.unwrap().value().value();
    values
        .iter()
        .zip(&weights)
        .map(|(value, weight)| value * weight)
        .sum()
}

fn log_predictive(joint: &Joint, x: &Array2<f64>) -> f64 {
    let past: Vec<usize> = (0..=TIMES.0).collect();
    joint.log_predictive(TIMES.1, &past, x.view())
}

#[test]
fn the_gap_is_the_divergence_from_what_the_ends_say() {
    let mut rng = rng(952);
    let mut worst = Worst::default();
    for (k, d) in [(1, 1), (1, 3), (2, 1), (2, 2)] {
        for _ in 0..5 {
            let (arrays, joint, x) = drawn(&mut rng, k, d);
            let ends = given_the_ends(&joint, &x);
            for q in [random_pair(&mut rng, k), given_all(&joint, &x)] {
                let gap = log_predictive(&joint, &x) - mean_bound(&arrays, &x, &q);
                let exact = divergence(&q, &ends);
                worst.number(gap, exact, exact.max(1.0));
            }
        }
    }
    worst.within(EXACT, "gap = KL(q ‖ p(z_t1, z_t2 | x up to t1, x_t2))");
}

#[test]
fn a_q_that_ignores_what_lies_between_is_tight() {
    let mut rng = rng(953);
    let mut worst = Worst::default();
    for (k, d) in [(1, 1), (2, 3), (3, 2)] {
        let (arrays, joint, x) = drawn(&mut rng, k, d);
        let (system, tape) = (arrays.system(), Tape::new());
        let (t1, t2) = TIMES;
        let belief = &system.filter(x.slice(s![..=t1, ..])).unwrap().states[t1];
        let jumped = system.every(t2 - t1);
        let ends = jumped.pair_given_later(belief, x.row(t2)).unwrap();
        let expected = given_the_ends(&joint, &x);
        worst.entries(&ends.mean.clone().into_dyn(), &expected.mean.into_dyn());
        worst.entries(
            &ends.covariance.clone().into_dyn(),
            &expected.covariance.into_dyn(),
        );
        let q = PairPosterior::of(&ends, &tape).unwrap();
        let noise = standard_normal(&tape, &[2, 20, k], &mut rng);
        let bound = jumped.pair_bound(belief, x.row(t2), &q, noise).unwrap();
        let exact = log_predictive(&joint, &x);
        for &value in &bound.value().value() {
            worst.number(value, exact, exact.abs().max(1.0));
        }
        let over_jump = system.log_predictive(x.view(), t2 - t1).unwrap()[t1];
        worst.number(over_jump, exact, exact.abs().max(1.0));
    }
    worst.within(EXACT, "its moments, and the bound at each draw");
}

/// I(z_t1, z_t2; x between|x up to t₁, x_t2) = ½ log |Σ_ends|/|Σ_all|.
fn information(joint: &Joint, x: &Array2<f64>) -> f64 {
    let [ends, all] = [given_the_ends(joint, x), given_all(joint, x)];
    0.5 * (determinant(&ends.covariance) / determinant(&all.covariance)).ln()
}

/// The mean gap of the posterior given everything, over what may lie between: E KL of Gaussians of one covariance each, whose
/// means have the covariance Σ_ends - Σ_all.
#[test]
fn the_mean_gap_is_what_lies_between_tells() {
    let mut rng = rng(954);
    let mut worst = Worst::default();
    for (k, d) in [(1, 1), (1, 2), (2, 2)] {
        for _ in 0..5 {
            let (arrays, joint, x) = drawn(&mut rng, k, d);
            let [ends, all] = [given_the_ends(&joint, &x), given_all(&joint, &x)];
            // A divergence is quadratic in the mean: quadrature over it is exact.
            let tape = Tape::new();
            let moves = Moments {
                mean: ends.mean.clone(),
                covariance: &ends.covariance - &all.covariance,
            };
            let (nodes, weights) = gauss_hermite_grid(3, 2 * k);
            let of_means = moves.on(&tape).unwrap();
            let means = of_means.sample(tape.constant(nodes)).value();
            let gap = |mean: Array1<f64>| {
                let q = Moments {
                    mean,
                    covariance: all.covariance.clone(),
                };
                log_predictive(&joint, &x) - mean_bound(&arrays, &x, &q)
            };
            let mean_gap: f64 = (means.axis_iter(Axis(0)).zip(&weights))
                .map(|(mean, w)| w * gap(mean.to_owned().into_dimensionality().unwrap()))
                .sum();
            let exact = information(&joint, &x);
            assert!(exact > 0.0);
            worst.number(mean_gap, exact, exact.max(1.0));
        }
    }
    worst.within(
        EXACT,
        "mean gap = I(z_t1, z_t2; x between | x up to t1, x_t2)",
    );
}

#[test]
fn statistics_of_the_gap() {
    let mut rng = rng(955);
    let (arrays, joint, _) = drawn(&mut rng, 2, 1);
    let (system, (t1, t2)) = (arrays.system(), TIMES);
    let mut gaps = Vec::new();
    let mut exact = 0.0;
    for _ in 0..400 {
        let (_, x) = system.sample(t2 + 1, &mut rng);
        exact = information(&joint, &x);
        // The library's own way to the posterior: filter, smoother, pair.
        let filtered = system.filter(x.view()).unwrap();
        let q = system.smooth(&filtered.states).unwrap().pair(t1, t2);
        gaps.push(log_predictive(&joint, &x) - mean_bound(&arrays, &x, &q));
    }
    Statistics::of(&gaps).agree_with(exact, "gap of the smoother as q");
    let negative = gaps.iter().filter(|&&gap| gap < 0.0).count();
    assert_eq!(negative, 0);
}

#[test]
fn hidden_markov_models_by_enumeration() {
    let mut rng = rng(956);
    let mut worst = Worst::default();
    for _ in 0..20 {
        let hidden = Hidden::random(&mut rng, 3, 2);
        // x₁ and x₂ are seen, x₃ lies between, x₄ is predicted from x₂: every x₃.
        let ends = hidden.pair(&[Some(1), Some(0), None, Some(1)], 1);
        let past = hidden.pair(&[Some(1), Some(0), None, None], 1);
        let belief = past.sum_axis(Axis(1)) / past.sum();
        let exact = (ends.sum() / past.sum()).ln();
        let (mut mean_gap, mut information) = (0.0, 0.0);
        for between in 0..2 {
            let all = hidden.pair(&[Some(1), Some(0), Some(between), Some(1)], 1);
            let q = &all / all.sum();
            // E_q of the bound, whose transition is that of two steps.
            let likelihood = hidden.emission.column(1).to_owned();
            let joint = &belief.clone().insert_axis(Axis(1)) * &hidden.jump(2) * &likelihood;
            let bound = (&q * &(&joint / &q).mapv(f64::ln)).sum();
            let weight = all.sum() / ends.sum();
            mean_gap += weight * (exact - bound);
            let p = &ends / ends.sum();
            information += weight * (&q * &(&q / &p).mapv(f64::ln)).sum();
        }
        assert!(mean_gap > 0.0);
        worst.number(mean_gap, information, 1.0);
    }
    worst.within(
        1e-12,
        "tables of three states, over all that may lie between",
    );
}

#[test]
fn limits() {
    let mut rng = rng(957);
    let mut last = 0.0;
    let mut shown = Vec::new();
    let scalar = Arrays {
        a: Array2::from_elem((1, 1), 0.9),
        q: Array2::from_elem((1, 1), 0.1),
        c: Array2::eye(1),
        r: Array2::from_elem((1, 1), 0.16),
        start: Moments {
            mean: Array1::zeros(1),
            covariance: Array2::from_elem((1, 1), 0.1 / 0.19),
        },
    };
    let (system, mut worst) = (scalar.system(), Worst::default());
    for length in [2, 3, 5, 9] {
        let joint = scalar.joint(length + 1);
        let x = Array2::zeros((length + 1, 1));
        // The library's way: filter, jump and smoother.
        let states = system.filter(x.view()).unwrap().states;
        let ends = system.every(length - 1);
        let ends = ends.pair_given_later(&states[1], x.row(length)).unwrap();
        let all = system.smooth(&states).unwrap().pair(1, length);
        let information = 0.5 * (determinant(&ends.covariance) / determinant(&all.covariance)).ln();
        // The joint of everything, conditioned.
        let of = |seen: Vec<usize>| {
            determinant(
                &joint
                    .given(&joint.states(&[1, length]), &seen, x.view())
                    .covariance,
            )
        };
        let exact = 0.5 * (of(vec![0, 1, length]) / of((0..=length).collect())).ln();
        worst.number(information, exact, 1.0);
        // More between, more to lose; nothing between, nothing.
        match length {
            2 => assert!(information.abs() < 1e-12),
            _ => assert!(information > last),
        }
        last = information;
        shown.push(format!("{information:.3}"));
    }
    worst.within(EXACT, "what a jump of a scalar loses");
    report(format!(
        "of a scalar, jumps of 1, 2, 4, 8 lose {} nats",
        shown.join(", ")
    ));
    // Through much noise, what lies between says nothing.
    let (mut noisy, _, x) = drawn(&mut rng, 1, 1);
    noisy.r *= 1e12;
    assert!(information(&noisy.joint(TIMES.1 + 1), &x) < 1e-11);
}

#[test]
fn pairs_are_drawn_evenly() {
    let mut rng = rng(958);
    let structure = TdStructure {
        jumps: (2, 4),
        ..TdStructure::default()
    };
    let pairs = structure.draw_pairs((2, 6), 6000, &mut rng);
    assert_eq!(pairs.len(), 12_000);
    for jump in 2..=4 {
        for earlier in 0..6 - jump {
            let hits: Vec<f64> = (pairs.iter())
                .map(|p| f64::from(u8::from(p.jump() == jump && p.earlier == earlier)))
                .collect();
            let expected = 1.0 / 3.0 / (6 - jump) as f64;
            let distance = Statistics::of(&hits).distance(expected, 0.0);
            assert!(distance.abs() < 4.0, "{jump} {earlier}: {distance}");
        }
    }
    let all = TimePair::all((2, 5), 3);
    let places: Vec<_> = all
        .iter()
        .map(|p| (p.sequence, p.earlier, p.later))
        .collect();
    assert_eq!(places, [(0, 0, 3), (0, 1, 4), (1, 0, 3), (1, 1, 4)]);
    assert!(TimePair::all((2, 3), 3).is_empty());
}
