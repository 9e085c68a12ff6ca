//! Chapter 2 of the notes: bounds, gaps and coordinate ascent against enumeration, closed forms, quadrature and
//! finite differences.

// Its statistics are for the chapters that do without the crate's own `Estimate`.
#[allow(dead_code)]
mod common;

use common::{Checked, Worst, gauss_hermite, owned, random};
use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::background::BadData;
use elbo::background::LinearGaussian;
use elbo::distributions::{Estimate, MultivariateGaussian};
use elbo::kl;
use elbo::variational::{
    self, Covariances, Enumerated, GaussianTarget, GaussianTargetError, LogWeights, Mixture,
    MixtureError, Stopping, coordinate_ascent, distinct_optima, divergence, elbo_from_prior, em,
    expected_log_joint, optimal_factor,
};
use ndarray::{Array1, Array2, Array3, ArrayD, Axis, IxDyn, arr0, arr1, arr2, s};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What rearranging a sum in f64 may change, relative to the largest entry.
const REARRANGED: f64 = 1e-13;

const NEVER: f64 = f64::NEG_INFINITY;

/// Probabilities of K states, some of them 0 if `zeros`, but never the first.
fn probabilities(rng: &mut StdRng, states: usize, zeros: bool) -> Vec<f64> {
    let mut p: Vec<f64> = (0..states)
        .map(|k| match zeros && k > 0 && rng.random_bool(0.3) {
            true => 0.0,
            false => rng.random_range(0.02..1.0),
        })
        .collect();
    let total: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= total);
    p
}

fn logs(p: &[f64]) -> Array1<f64> {
    p.iter().map(|p| p.ln()).collect()
}

/// Σ_{q > 0} q log(q/p), as the definition has it.
fn naive_divergence(q: &[f64], p: &[f64]) -> f64 {
    let terms = q.iter().zip(p).filter(|(q, _)| **q > 0.0);
    terms.map(|(q, p)| q * (q / p).ln()).sum()
}

fn plain_divergence(q: &[f64], p: &[f64]) -> f64 {
    let tape = Tape::new();
    let tables = [tape.constant(logs(q)), tape.constant(logs(p))];
    divergence(tables[0], tables[1]).unwrap().item()
}

// ---------------------------------------------------------------------------------------------------------
// kl-nonnegative

#[test]
fn kl_nonnegative_against_the_definition() {
    let mut rng = StdRng::seed_from_u64(101);
    let mut worst = Worst::default();
    for case in 0..600 {
        let states = 1 + case % 9;
        let q = probabilities(&mut rng, states, case % 2 == 1);
        let p = probabilities(&mut rng, states, false);
        worst.number(plain_divergence(&q, &p), naive_divergence(&q, &p), 1.0);
    }
    worst.within(REARRANGED, "600 pairs of tables, absolute");
}

#[test]
fn kl_nonnegative_with_rows_that_broadcast() {
    let mut rng = StdRng::seed_from_u64(102);
    let q: Vec<Vec<f64>> = (0..3).map(|_| probabilities(&mut rng, 4, true)).collect();
    let p = probabilities(&mut rng, 4, false);
    let tape = Tape::new();
    let log_q = Array2::from_shape_fn((3, 4), |(i, k)| q[i][k].ln());
    let found = divergence(tape.constant(log_q), tape.constant(logs(&p))).unwrap();
    assert_eq!(found.shape(), [3]);
    for (row, q) in q.iter().enumerate() {
        assert!((found.value()[row] - naive_divergence(q, &p)).abs() < 1e-14);
    }
}

#[test]
fn kl_nonnegative_and_zero_only_where_the_tables_agree() {
    let mut rng = StdRng::seed_from_u64(103);
    let (mut lowest, mut naive_lowest) = (f64::INFINITY, f64::INFINITY);
    for case in 0..3000 {
        let states = 2 + case % 7;
        let q = probabilities(&mut rng, states, case % 3 == 0);
        assert_eq!(plain_divergence(&q, &q), 0.0);
        let size = 10f64.powf(-rng.random_range(0.0..12.0));
        let other = probabilities(&mut rng, states, false);
        let p: Vec<f64> = q
            .iter()
            .zip(&other)
            .map(|(q, o)| (1.0 - size) * q + size * o)
            .collect();
        let found = plain_divergence(&q, &p);
        // Pinsker: at least half of the squared distance, which is 0 for equal tables only.
        let distance: f64 = q.iter().zip(&p).map(|(q, p)| (q - p).abs()).sum();
        assert!(
            found >= 0.499 * distance.powi(2) - 1e-30,
            "{found} {distance}"
        );
        lowest = lowest.min(found);
        naive_lowest = naive_lowest.min(naive_divergence(&q, &p));
    }
    println!(
        "lowest of 3000 divergences {lowest:.1e}, from the definition as written {naive_lowest:.1e}"
    );
    assert!(lowest >= 0.0);
    assert!(
        naive_lowest < 0.0,
        "the definition as written rounds below 0"
    );
}

/// Rows of logits, divergence of their softmaxes.
fn of_logits<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let axis = v[0].ndim() - 1;
    divergence(v[0].log_softmax(axis), v[1].log_softmax(axis)).unwrap()
}

#[test]
fn kl_nonnegative_gradient_by_hand() {
    let mut rng = StdRng::seed_from_u64(104);
    let mut worst = Worst::default();
    for case in 0..60 {
        let states = 2 + case % 6;
        // Every third q and every fourth p has an impossible state; where p has one, so has q.
        let (mut a, mut b) = (random(&mut rng, &[states]), random(&mut rng, &[states]));
        if case % 3 == 0 {
            a[1] = NEVER;
        }
        if case % 12 == 0 {
            b[1] = NEVER;
        }
        let tape = Tape::new();
        let v = [tape.variable(a), tape.variable(b)];
        let kl = of_logits(&v);
        let gradients = tape.gradients(kl);
        let (q, p) = (v[0].softmax(0).value(), v[1].softmax(0).value());
        let by_a = ArrayD::from_shape_fn(q.raw_dim(), |k| match q[&k] > 0.0 {
            true => q[&k] * ((q[&k] / p[&k]).ln() - kl.item()),
            false => 0.0,
        });
        for (v, exact) in [(v[0], by_a), (v[1], &p - &q)] {
            for (found, exact) in gradients.wrt(v).iter().zip(&exact) {
                worst.number(*found, *exact, 1.0);
            }
        }
    }
    worst.within(REARRANGED, "q (log q/p - KL) and p - q, absolute");
}

#[test]
fn kl_nonnegative_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(105);
    let mut checked = Checked::default();
    for shape in [vec![2], vec![5], vec![3, 4], vec![2, 1, 3]] {
        let point = [random(&mut rng, &shape), random(&mut rng, &shape)];
        let check = Check::new("kl-nonnegative");
        checked.add(check.run(&point, of_logits).unwrap());
        checked.add(check.run_second_order(&point, of_logits).unwrap());
    }
    checked.tell("first and second order");
}

#[test]
fn kl_nonnegative_but_no_metric() {
    let coin = |p: f64| [p, 1.0 - p];
    let kl = |q: f64, p: f64| plain_divergence(&coin(q), &coin(p));
    println!(
        "KL(0.5, 0.1) = {:.4}, KL(0.1, 0.5) = {:.4}",
        kl(0.5, 0.1),
        kl(0.1, 0.5)
    );
    assert!((kl(0.5, 0.1) - 0.5108).abs() < 1e-4 && (kl(0.1, 0.5) - 0.3681).abs() < 1e-4);
    // The detour over 0.25 is shorter than the straight way, and so it is for the sum of both directions.
    let (straight, detour) = (kl(0.5, 0.1), kl(0.5, 0.25) + kl(0.25, 0.1));
    println!("straight {straight:.4}, with a detour {detour:.4}");
    assert!(detour < straight);
    let both = |q, p| kl(q, p) + kl(p, q);
    assert!(both(0.5, 0.25) + both(0.25, 0.1) < both(0.5, 0.1));
    // The directions agree where a reflection exchanges the two, different though they are.
    assert!(kl(0.2, 0.8) > 0.5 && (kl(0.2, 0.8) - kl(0.8, 0.2)).abs() < 1e-15);
    let tape = Tape::new();
    let normal = |mean: f64| {
        let (mean, variance) = (tape.constant(arr1(&[mean])), tape.constant(arr2(&[[1.0]])));
        MultivariateGaussian::from_covariance(mean, variance).unwrap()
    };
    let (near, far) = (normal(0.0), normal(1.5));
    for directed in [
        kl::gaussian_full(&near, &far),
        kl::gaussian_full(&far, &near),
    ] {
        assert!((directed.item() - 0.5 * 1.5f64.powi(2)).abs() < 1e-15);
    }
    // One direction is infinite, the other is not.
    assert_eq!(kl(0.5, 0.0), f64::INFINITY);
    assert!((kl(0.0, 0.5) - 2f64.ln()).abs() < 1e-15);
    // Far apart, where e^t overflows or q rounds to 0, nothing is NaN.
    let tape = Tape::new();
    let table = |a: f64| tape.constant(arr1(&[0.0, a])).log_softmax(0);
    for (q, p, expected) in [
        (-800.0, 0.0, 2f64.ln()),
        (0.0, -800.0, 400.0 - 2f64.ln()),
        (-800.0, -1500.0, 0.0),
        (-800.0, NEVER, f64::INFINITY),
    ] {
        let found = divergence(table(q), table(p)).unwrap().item();
        assert!(
            found == expected || (found - expected).abs() < 1e-12,
            "{q} {p} {found}"
        );
    }
}

#[test]
fn kl_nonnegative_refuses_what_is_no_table() {
    let tape = Tape::new();
    let good = tape.constant(logs(&[0.5, 0.5]));
    let with = |table: Array1<f64>| divergence(tape.constant(table), good).unwrap_err();
    assert!(matches!(
        with(arr1(&[f64::NAN, 0.0])),
        BadData::Number {
            what: "q",
            index: 0,
            ..
        }
    ));
    assert!(matches!(
        with(arr1(&[f64::INFINITY, 0.0])),
        BadData::Number { .. }
    ));
    assert!(matches!(with(logs(&[0.5, 0.6])), BadData::Total { found, .. } if found > 1.09));
    assert!(matches!(with(arr1(&[])), BadData::Empty { what: "q" }));
    assert!(matches!(
        divergence(good, tape.constant(arr1(&[NEVER, NEVER]))).unwrap_err(),
        BadData::Total { what: "p", .. }
    ));
    for error in [
        with(arr1(&[f64::NAN, 0.0])),
        with(logs(&[0.5, 0.6])),
        with(arr1(&[])),
    ] {
        let message = error.to_string();
        assert!(
            message.contains("expected") && message.contains("found"),
            "{message}"
        );
    }
}

#[test]
fn kl_nonnegative_and_bounds_are_infinite_and_no_nan() {
    // Where the value is infinite there is no gradient; the value is never NaN.
    let tables = [
        [1.0, 0.0, 0.0],
        [0.0, 1.0, 0.0],
        [0.5, 0.5, 0.0],
        [0.2, 0.3, 0.5],
    ];
    for (q, p) in tables
        .iter()
        .flat_map(|q| tables.iter().map(move |p| (q, p)))
    {
        let covered = q.iter().zip(p).all(|(q, p)| *q == 0.0 || *p > 0.0);
        let divergence = plain_divergence(q, p);
        assert!(divergence.is_finite() == covered && divergence >= 0.0);
        let tape = Tape::new();
        let model = Enumerated::new(tape.constant(logs(p)), tape.constant(logs(q))).unwrap();
        for road in ROADS {
            let bound = road(model).item();
            assert!(
                !bound.is_nan() && (bound == NEVER) != covered,
                "{q:?} {p:?} {bound}"
            );
        }
        let gap = model.jensen_gap().item();
        assert!(gap >= 0.0 && (gap == f64::INFINITY) != covered);
        assert!(model.log_expected_weight().item() <= 1e-15);
    }
}

// ---------------------------------------------------------------------------------------------------------
// elbo-from-kl, elbo-from-jensen, elbo-from-importance-weights

/// A joint p(x, z) for some x in rows, and a q for each, with and without zeros.
struct Case {
    joint: Array2<f64>,
    q: Array2<f64>,
}

fn rows(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, k)| rows[i][k])
}

/// With `zeros`, q is 0 in places and, where it is, the joint as well or not; where the joint is 0, so is q.
fn cases(seed: u64, zeros: bool) -> Vec<Case> {
    let mut rng = StdRng::seed_from_u64(seed);
    let sizes = [(1, 1), (1, 2), (3, 4), (2, 7), (4, 3), (5, 12)];
    sizes
        .into_iter()
        .map(|(data, states)| {
            let q: Vec<Vec<f64>> = (0..data)
                .map(|_| probabilities(&mut rng, states, zeros))
                .collect();
            let scale = 10f64.powf(rng.random_range(-3.0..0.0));
            let joint = rows(&q).mapv(|q| {
                let p = scale * rng.random_range(0.02..1.0);
                if q == 0.0 && rng.random_bool(0.5) {
                    0.0
                } else {
                    p
                }
            });
            Case { joint, q: rows(&q) }
        })
        .collect()
}

fn on_tape<'t>(tape: &'t Tape<f64>, case: &Case) -> Enumerated<'t, f64> {
    let [joint, q] = [&case.joint, &case.q].map(|table| tape.constant(table.mapv(f64::ln)));
    Enumerated::new(joint, q).unwrap()
}

/// Evidence, divergence from the posterior and bound of one row, from the definitions.
fn by_enumeration(joint: &[f64], q: &[f64]) -> [f64; 3] {
    let evidence: f64 = joint.iter().sum();
    let posterior: Vec<f64> = joint.iter().map(|p| p / evidence).collect();
    let terms = q.iter().zip(joint).filter(|(q, _)| **q > 0.0);
    let bound = terms.map(|(q, p)| q * (p / q).ln()).sum();
    [evidence.ln(), naive_divergence(q, &posterior), bound]
}

fn row(table: &Array2<f64>, row: usize) -> Vec<f64> {
    table.row(row).to_vec()
}

#[test]
fn elbo_from_kl_by_enumeration() {
    let mut worst = Worst::default();
    for zeros in [false, true] {
        for case in cases(110, zeros) {
            let tape = Tape::new();
            let model = on_tape(&tape, &case);
            let found = [model.evidence(), model.gap(), model.elbo_from_kl()].map(Var::value);
            for n in 0..case.q.nrows() {
                let exact = by_enumeration(&row(&case.joint, n), &row(&case.q, n));
                for (found, exact) in found.iter().zip(exact) {
                    worst.number(found[n], exact, 1.0);
                }
            }
        }
    }
    worst.within(REARRANGED, "evidence, gap and bound, absolute");
}

/// Logits of p(x, z) over all x and z, logits of q(z|x) for the x that was seen; which of the bounds, of shape [].
fn bound<'t>(
    v: &[Var<'t, f64>],
    seen: usize,
    of: impl Fn(Enumerated<'t, f64>) -> Var<'t, f64>,
) -> Var<'t, f64> {
    let [values, states] = v[0].shape()[..] else {
        panic!("a table of x and z")
    };
    let table = v[0].flatten().log_softmax(0).reshape(&[values, states]);
    let log_joint = table.slice(0, seen..seen + 1).squeeze(&[0]);
    of(Enumerated::new(log_joint, v[1].log_softmax(0)).unwrap())
}

type Road = for<'t> fn(Enumerated<'t, f64>) -> Var<'t, f64>;

const ROADS: [Road; 3] = [
    |model| model.elbo_from_kl(),
    |model| model.elbo_from_jensen(),
    |model| model.elbo_from_importance_weights(),
];

/// The gradients that the notes derive: ∇θ = [x' = x] q(z) - p(x', z) for the joint's logits, ∇φ = q (log w - ELBO) for q's.
fn gradients_by_hand(theta: &ArrayD<f64>, a: &ArrayD<f64>, seen: usize) -> [ArrayD<f64>; 2] {
    let softmax = |x: &ArrayD<f64>| {
        let e = x.mapv(f64::exp);
        &e / e.sum()
    };
    let (p, q) = (softmax(theta), softmax(a));
    let log_w = ArrayD::from_shape_fn(q.raw_dim(), |z| match q[&z] > 0.0 {
        true => (p[[seen, z[0]]] / q[&z]).ln(),
        false => 0.0,
    });
    let elbo = (&q * &log_w).sum();
    let by_theta = ArrayD::from_shape_fn(theta.raw_dim(), |xz| {
        (if xz[0] == seen { q[[xz[1]]] } else { 0.0 }) - p[&xz]
    });
    [by_theta, &q * &(log_w - elbo)]
}

fn every_road_has_the_gradient_by_hand(seed: u64, road: usize) -> Worst {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut worst = Worst::default();
    for (case, [values, states]) in [[1, 2], [3, 4], [2, 5], [4, 1], [3, 3]]
        .into_iter()
        .enumerate()
    {
        let mut theta = random(&mut rng, &[values, states]);
        let mut a = random(&mut rng, &[states]);
        let seen = rng.random_range(0..values);
        if case % 2 == 1 && states > 2 {
            // A state that q excludes, and one that the joint and q do.
            a[1] = NEVER;
            a[2] = NEVER;
            theta[[seen, 2]] = NEVER;
        }
        let expected = gradients_by_hand(&theta, &a, seen);
        let tape = Tape::new();
        let v = [tape.variable(theta), tape.variable(a)];
        let gradients = tape.gradients(bound(&v, seen, ROADS[road]));
        for (v, expected) in v.iter().zip(&expected) {
            // For one state there is nothing to choose, and 0 is to be found but for rounding.
            let found = owned(gradients.wrt(*v));
            match expected.iter().all(|e| e.abs() < 1e-15) {
                true => assert!(found.iter().all(|f| f.abs() < 1e-15)),
                false => worst.entries(&found, expected),
            }
        }
    }
    worst
}

fn every_road_against_finite_differences(slug: &str, seed: u64, road: usize) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut checked = Checked::default();
    for [values, states] in [[1, 2], [3, 4], [2, 3]] {
        let point = [
            random(&mut rng, &[values, states]),
            random(&mut rng, &[states]),
        ];
        let check = Check::new(slug);
        checked.add(
            check
                .run(&point, |v| bound(v, values - 1, ROADS[road]))
                .unwrap(),
        );
        let second = check.run_second_order(&point, |v| bound(v, values - 1, ROADS[road]));
        checked.add(second.unwrap());
    }
    checked.tell("logits of the joint and of q, first and second order");
}

#[test]
fn elbo_from_kl_gradients() {
    every_road_has_the_gradient_by_hand(111, 0).within(REARRANGED, "θ and φ by hand");
    every_road_against_finite_differences("elbo-from-kl", 112, 0);
}

#[test]
fn elbo_from_kl_at_the_limits() {
    let tape = Tape::new();
    let table = |p: &[f64]| tape.constant(logs(p));
    // Mass where the joint is 0: the bound is -∞ on every road, the evidence is not.
    let model = Enumerated::new(table(&[0.3, 0.0]), table(&[0.5, 0.5])).unwrap();
    for road in ROADS {
        assert_eq!(road(model).item(), NEVER);
    }
    assert_eq!(model.gap().item(), f64::INFINITY);
    assert!((model.evidence().item() - 0.3f64.ln()).abs() < 1e-15);
    // Even if all of q lies there, or so little that it rounds to 0.
    let logits = tape.constant(arr1(&[0.0, -800.0])).log_softmax(0);
    for (joint, q) in [([0.0, 0.3], table(&[1.0, 0.0])), ([0.3, 0.0], logits)] {
        let model = Enumerated::new(table(&joint), q).unwrap();
        assert_eq!(ROADS.map(|road| road(model).item()), [NEVER; 3]);
    }
    // No z can have caused the second x.
    let joint = tape.constant(arr2(&[[0.1, 0.2], [0.0, 0.0]]).mapv(f64::ln));
    let error = Enumerated::new(joint, table(&[0.5, 0.5])).unwrap_err();
    assert_eq!(error, BadData::Impossible { row: 1 });
    assert!(Enumerated::new(table(&[0.3, 0.1]), table(&[0.3, 0.1])).is_err());
    assert!(Enumerated::new(tape.constant(arr1(&[f64::NAN, 0.0])), table(&[0.5, 0.5])).is_err());
    assert!(Enumerated::new(tape.constant(arr1(&[])), tape.constant(arr1(&[]))).is_err());
    // f32, where the joint is far below the smallest number.
    let tape = Tape::<f32>::new();
    let joint = tape.constant(arr1(&[-500.0f32, -500.0]));
    let q = tape.constant(arr1(&[0.5f32.ln(), 0.5f32.ln()]));
    let model = Enumerated::new(joint, q).unwrap();
    assert!((model.elbo_from_kl().item() - (2f32.ln() - 500.0)).abs() < 1e-3);
}

#[test]
fn elbo_from_jensen_equals_elbo_from_kl() {
    let mut worst = Worst::default();
    for zeros in [false, true] {
        for case in cases(120, zeros) {
            let tape = Tape::new();
            let model = on_tape(&tape, &case);
            let [from_kl, jensen] =
                [model.elbo_from_kl(), model.elbo_from_jensen()].map(Var::value);
            let (evidence, mean) = (
                model.evidence().value(),
                model.log_expected_weight().value(),
            );
            for n in 0..case.q.nrows() {
                worst.number(jensen[n], from_kl[n], 1.0);
                assert!(jensen[n] <= mean[n] + 1e-14 && mean[n] <= evidence[n] + 1e-14);
            }
        }
    }
    worst.within(REARRANGED, "E log w = log p(x) - KL, absolute");
}

#[test]
fn elbo_from_jensen_gradients() {
    every_road_has_the_gradient_by_hand(121, 1).within(REARRANGED, "θ and φ by hand");
    every_road_against_finite_differences("elbo-from-jensen", 122, 1);
}

#[test]
fn elbo_from_jensen_is_tight_only_for_constant_weights() {
    let mut rng = StdRng::seed_from_u64(123);
    for states in 2..8 {
        let posterior = probabilities(&mut rng, states, states % 2 == 0);
        let evidence = rng.random_range(0.01..1.0);
        let joint: Vec<f64> = posterior.iter().map(|p| p * evidence).collect();
        let slack = |q: &[f64]| {
            let tape = Tape::new();
            let model =
                Enumerated::new(tape.constant(logs(&joint)), tape.constant(logs(q))).unwrap();
            model.evidence().item() - model.elbo_from_jensen().item()
        };
        assert!(slack(&posterior).abs() < 1e-14);
        let mut other = posterior.clone();
        other[0] *= 0.9;
        let total: f64 = other.iter().sum();
        other.iter_mut().for_each(|q| *q /= total);
        assert!(posterior[0] == 1.0 || slack(&other) > 1e-6);
        // A q that is proportional to the posterior where it is not 0 has constant weights, and is not tight: it misses mass.
        let mut part = posterior.clone();
        part[0] = 0.0;
        let total: f64 = part.iter().sum();
        if total > 0.0 {
            part.iter_mut().for_each(|q| *q /= total);
            assert!((slack(&part) + total.ln()).abs() < 1e-13);
        }
    }
}

#[test]
fn elbo_from_jensen_as_likelihood_minus_the_divergence_from_the_prior() {
    let mut rng = StdRng::seed_from_u64(124);
    let mut worst = Worst::default();
    let (mut with_plus_above, mut cases) = (0, 0);
    for case in 0..100 {
        let states = 2 + case % 5;
        let prior = probabilities(&mut rng, states, case % 3 == 0);
        // Possible under q only where it is under the prior.
        let raw: Vec<f64> = prior
            .iter()
            .map(|p| if *p > 0.0 { rng.random() } else { 0.0 })
            .collect();
        let q: Vec<f64> = raw.iter().map(|r| r / raw.iter().sum::<f64>()).collect();
        let likelihood: Vec<f64> = (0..states).map(|_| rng.random_range(0.01..3.0)).collect();
        let tape = Tape::new();
        let [prior, q, likelihood] = [&prior, &q, &likelihood].map(|p| tape.constant(logs(p)));
        let model = Enumerated::new(likelihood + prior, q).unwrap();
        let found = elbo_from_prior(likelihood, prior, q).unwrap().item();
        worst.number(found, model.elbo_from_jensen().item(), 1.0);
        // With a plus it is no lower bound.
        let wrong = found + 2.0 * divergence(q, prior).unwrap().item();
        with_plus_above += usize::from(wrong > model.evidence().item());
        cases += 1;
    }
    println!("with + KL the `bound` lies above log p(x) in {with_plus_above} of {cases} cases");
    assert!(with_plus_above > 20);
    worst.within(REARRANGED, "E log p(x|z) - KL(q‖prior) = E log w, absolute");
}

#[test]
fn elbo_from_jensen_by_sampling() {
    let mut rng = StdRng::seed_from_u64(125);
    let mut farthest = 0.0f64;
    for states in [2, 5, 9] {
        let tape = Tape::new();
        let joint = logs(&probabilities(&mut rng, states, false)) + 0.1f64.ln();
        let q = logs(&probabilities(&mut rng, states, true));
        let model = Enumerated::new(tape.constant(joint), tape.constant(q)).unwrap();
        let estimate = model.draw(100_000, &mut rng).elbo();
        farthest = farthest.max(told(
            estimate,
            model.elbo_from_jensen().item(),
            "E log w, table",
        ));
    }
    for seed in 0..3 {
        let (tape, mut rng) = (Tape::new(), StdRng::seed_from_u64(1250 + seed));
        let (model, x, q) = linear(&tape, &mut rng, 4, 2);
        let estimate = model.draw(x, &q, 100_000, &mut rng).elbo();
        farthest = farthest.max(told(estimate, model.elbo(x, &q).item(), "E log w, linear"));
        // At the posterior every weight is p(x): no draw differs from another.
        let posterior = model.posterior(x).unwrap();
        let constant = model.draw(x, &posterior, 1000, &mut rng).elbo();
        assert!(
            constant.standard_error < 1e-14
                && (constant.mean - model.log_evidence(x).unwrap().item()).abs() < 1e-12
        );
    }
    println!("farthest {farthest:.2} standard errors");
    // A weight of 0 is no accident: the bound is -∞.
    let weights = LogWeights::new(arr1(&[-1.0, NEVER]));
    assert_eq!(
        (weights.elbo().mean, weights.evidence().mean),
        (NEVER, 0.5 * (-1.0f64).exp())
    );
    assert_eq!(LogWeights::new(arr1(&[NEVER, NEVER])).log_evidence(), NEVER);
}

fn told(estimate: Estimate, exact: f64, what: &str) -> f64 {
    let distance = estimate.distance(exact).abs();
    println!("{what}: {estimate}, exact {exact:.6}, {distance:.2} standard errors");
    assert!(distance <= 4.0, "{what}: {estimate} and {exact}");
    distance
}

#[test]
fn elbo_from_importance_weights_equals_the_other_roads() {
    let mut worst = Worst::default();
    for zeros in [false, true] {
        for case in cases(130, zeros) {
            let tape = Tape::new();
            let model = on_tape(&tape, &case);
            let bounds = ROADS.map(|road| road(model).value());
            let (mean, gap) = (
                model.log_expected_weight().value(),
                model.jensen_gap().value(),
            );
            for n in 0..case.q.nrows() {
                worst.number(bounds[2][n], bounds[0][n], 1.0);
                worst.number(mean[n] - bounds[1][n], gap[n], 1.0);
                assert!(gap[n] >= -1e-15);
            }
        }
    }
    worst.within(REARRANGED, "log E w - gap of w = log p(x) - KL, absolute");
}

#[test]
fn elbo_from_importance_weights_gradients() {
    every_road_has_the_gradient_by_hand(131, 2).within(REARRANGED, "θ and φ by hand");
    every_road_against_finite_differences("elbo-from-importance-weights", 132, 2);
}

#[test]
fn elbo_from_importance_weights_have_the_evidence_as_their_mean_where_q_covers() {
    let mut worst = Worst::default();
    let mut missed = 0;
    for zeros in [false, true] {
        for case in cases(133, zeros) {
            let tape = Tape::new();
            let model = on_tape(&tape, &case);
            let (log_w, found) = (
                model.log_weights().value(),
                model.log_expected_weight().value(),
            );
            for n in 0..case.q.nrows() {
                let (joint, q) = (row(&case.joint, n), row(&case.q, n));
                let mean: f64 = (0..q.len()).map(|z| q[z] * log_w[[n, z]].exp()).sum();
                let covered: f64 = (0..q.len()).filter(|&z| q[z] > 0.0).map(|z| joint[z]).sum();
                worst.number(mean, covered, covered);
                worst.number(found[n].exp(), covered, covered);
                let evidence: f64 = joint.iter().sum();
                assert!(covered <= evidence * (1.0 + 1e-15));
                missed += usize::from(covered < 0.999 * evidence);
            }
        }
    }
    println!("{missed} rows in which q misses mass, where E w < p(x)");
    assert!(missed > 3);
    worst.within(REARRANGED, "E w = Σ_{q > 0} p(x, z), relative");
}

#[test]
fn elbo_from_importance_weights_by_sampling() {
    let mut rng = StdRng::seed_from_u64(134);
    for states in [2, 6] {
        let tape = Tape::new();
        let joint = logs(&probabilities(&mut rng, states, false)) + 0.2f64.ln();
        let q = logs(&probabilities(&mut rng, states, true));
        let model = Enumerated::new(tape.constant(joint), tape.constant(q)).unwrap();
        let estimate = model.draw(100_000, &mut rng).evidence();
        told(
            estimate,
            model.log_expected_weight().item().exp(),
            "E w, table",
        );
    }
    for seed in 0..3 {
        let (tape, mut rng) = (Tape::new(), StdRng::seed_from_u64(1340 + seed));
        let (model, x, _) = linear(&tape, &mut rng, 3, 2);
        // Twice the posterior's variance: the weights are bounded.
        let posterior = model.posterior(x).unwrap();
        let wide = posterior.factor() * 2f64.sqrt();
        let q = MultivariateGaussian::from_factor(posterior.mean(), wide).unwrap();
        let weights = model.draw(x, &q, 100_000, &mut rng);
        let evidence = model.log_evidence(x).unwrap().item();
        told(weights.evidence(), evidence.exp(), "E w, linear");
        assert!((weights.log_evidence() - evidence).abs() < 0.02);
        assert!((weights.log_evidence() - weights.evidence().mean.ln()).abs() < 1e-12);
    }
}

#[test]
fn elbo_from_importance_weights_lose_half_the_variance_near_the_posterior() {
    // log E w - E log w = ½ Var(w)/p(x)² + O(ε³), for q at distance ε from the posterior.
    let mut rng = StdRng::seed_from_u64(135);
    let posterior = probabilities(&mut rng, 6, false);
    let raw = probabilities(&mut rng, 6, false);
    let mut points = Vec::new();
    for step in 0..6 {
        let size = 0.01 * 0.5f64.powi(step);
        let q: Vec<f64> = (0..6)
            .map(|z| (1.0 - size) * posterior[z] + size * raw[z])
            .collect();
        let tape = Tape::new();
        let joint = logs(&posterior) + 0.3f64.ln();
        let model = Enumerated::new(tape.constant(joint), tape.constant(logs(&q))).unwrap();
        let variance: f64 = (0..6)
            .map(|z| q[z] * (posterior[z] / q[z] - 1.0).powi(2))
            .sum();
        points.push((size.ln(), (model.gap().item() - 0.5 * variance).abs().ln()));
    }
    let slope = slope(&points);
    println!("remainder of ½ Var w/p²: slope {slope:.3} in log ε, expected 3");
    assert!((slope - 3.0).abs() < 0.1);
}

/// Least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let covariance: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    covariance / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

#[test]
fn elbo_from_importance_weights_of_a_narrow_q_have_no_variance() {
    // Posterior N(0, 1), p(x) = 1, q = N(0, s): E w² = s/√(2s - 1) for s > ½, and infinite from there down.
    let second_moment = |s: f64, range: f64| {
        let step = 1e-3;
        let log_normal = |z: f64, s: f64| -0.5 * (z * z / s + (std::f64::consts::TAU * s).ln());
        let nodes = (-(range / step) as i64)..=((range / step) as i64);
        let integrand = nodes.map(|i| {
            let z = i as f64 * step;
            (2.0 * log_normal(z, 1.0) - log_normal(z, s)).exp()
        });
        integrand.sum::<f64>() * step
    };
    for s in [0.6, 1.0, 3.0] {
        let exact = s / (2.0f64 * s - 1.0).sqrt();
        assert!((second_moment(s, 20.0) - exact).abs() < 1e-9, "{s}");
    }
    // At s = ½ the integrand is constant, below it grows: the integral over [-r, r] has no limit.
    assert!((second_moment(0.5, 40.0) / second_moment(0.5, 20.0) - 2.0).abs() < 1e-3);
    assert!(second_moment(0.4, 20.0) > 1e20);
}

// ---------------------------------------------------------------------------------------------------------
// exact-gap

/// A random linear-Gaussian model, one x, and a random Gaussian q.
fn linear<'t>(
    tape: &'t Tape<f64>,
    rng: &mut StdRng,
    d: usize,
    k: usize,
) -> (
    LinearGaussian<'t, f64>,
    Var<'t, f64>,
    MultivariateGaussian<'t, f64>,
) {
    let v = linear_inputs(rng, d, k).map(|input| tape.variable(input));
    (model_of(&v), v[3], q_of(&v))
}

/// W, b, log σ², x, m, and numbers for the factor of q's covariance.
fn linear_inputs(rng: &mut StdRng, d: usize, k: usize) -> [ArrayD<f64>; 6] {
    let noise = arr0(rng.random_range(-1.0..1.0)).into_dyn();
    [
        random(rng, &[d, k]) * 0.7,
        random(rng, &[d]),
        noise,
        random(rng, &[d]),
        random(rng, &[k]),
        random(rng, &[k, k]) * 0.5,
    ]
}

fn model_of<'t>(v: &[Var<'t, f64>]) -> LinearGaussian<'t, f64> {
    LinearGaussian {
        weights: v[0],
        offset: v[1],
        log_noise: v[2],
    }
}

/// Lower triangular, with e^a on the diagonal.
fn q_of<'t>(v: &[Var<'t, f64>]) -> MultivariateGaussian<'t, f64> {
    let k = v[5].shape()[0];
    let tape = v[5].tape();
    let below = tape.constant(Array2::from_shape_fn((k, k), |(i, j)| {
        f64::from(u8::from(i > j))
    }));
    let on = tape.constant(Array2::eye(k));
    MultivariateGaussian::from_factor(v[4], v[5] * below + v[5].exp() * on).unwrap()
}

const MODELS: [(usize, usize); 6] = [(1, 1), (2, 1), (4, 2), (2, 3), (3, 3), (6, 2)];

#[test]
fn exact_gap_of_a_table() {
    let mut rng = StdRng::seed_from_u64(140);
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
        let of = |of: Road| bound(&v, seen, of);
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
fn exact_gap_by_finite_differences() {
    let mut rng = StdRng::seed_from_u64(141);
    let mut checked = Checked::default();
    let check = Check::new("exact-gap");
    for [values, states] in [[2, 3], [1, 4]] {
        let point = [
            random(&mut rng, &[values, states]),
            random(&mut rng, &[states]),
        ];
        for of in [(|m| m.gap()) as Road, |m| m.evidence()] {
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
    checked.tell("tables and linear models");
}

#[test]
fn exact_gap_of_a_linear_model_is_the_divergence_from_the_posterior() {
    let mut rng = StdRng::seed_from_u64(142);
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
    println!("smallest gap of a random q {smallest:.2} nats");
    worst.within(1e-12, "log p(x) - ELBO = KL(q‖posterior), relative");
}

#[test]
fn exact_gap_of_a_linear_model_by_quadrature() {
    // E log w, E_prior p(x|z), and p(z|x) = p(x, z)/p(x), each by another road than the closed forms.
    let mut rng = StdRng::seed_from_u64(143);
    let rule = gauss_hermite(40);
    let (mut bound, mut evidence, mut posterior) =
        (Worst::default(), Worst::default(), Worst::default());
    for (d, k) in [(1, 1), (3, 1), (2, 2), (4, 2)] {
        let tape = Tape::new();
        let (model, x, q) = linear(&tape, &mut rng, d, k);
        let mut grid = vec![(vec![], 1.0)];
        for _ in 0..k {
            grid = grid
                .iter()
                .flat_map(|(e, w)| {
                    rule.iter()
                        .map(move |(x, v)| ([&e[..], &[*x]].concat(), w * v))
                })
                .collect();
        }
        let noise = Array2::from_shape_fn((grid.len(), k), |(i, j)| grid[i].0[j]);
        let weights: Array1<f64> = grid.iter().map(|(_, w)| *w).collect();
        let noise = tape.constant(noise);
        let mean = |f: Var<'_, f64>| {
            f.value()
                .iter()
                .zip(&weights)
                .map(|(f, w)| f * w)
                .sum::<f64>()
        };
        let z = q.sample(noise);
        let log_w = model.log_joint(x, z) - q.log_density(z);
        worst_number(&mut bound, mean(log_w), model.elbo(x, &q).item());
        // The weights of the posterior itself are constant: a check of its density at many points, and of its mean and factor.
        let exact = model.posterior(x).unwrap();
        let z = exact.sample(noise * 1.5);
        let log_p = model.log_evidence(x).unwrap().item();
        for found in (model.log_joint(x, z) - exact.log_density(z))
            .value()
            .iter()
        {
            worst_number(&mut posterior, *found, log_p);
        }
        // With q wider than the posterior, the mean of w is an integral over p(x, z).
        let wide = MultivariateGaussian::from_factor(exact.mean(), exact.factor() * 1.2).unwrap();
        let z = wide.sample(noise);
        let w = (model.log_joint(x, z) - wide.log_density(z)).exp();
        worst_number(&mut evidence, mean(w).ln(), log_p);
    }
    bound.within(1e-12, "E log w by quadrature, relative");
    evidence.within(1e-9, "log E w by quadrature, relative");
    posterior.within(1e-12, "w at the exact posterior, relative");
}

fn worst_number(worst: &mut Worst, found: f64, exact: f64) {
    worst.number(found, exact, exact.abs());
}

#[test]
fn exact_gap_and_the_gradient_of_the_model() {
    // With the posterior's mean and another covariance, b learns from the bound as from the evidence; W and σ² do not.
    let mut rng = StdRng::seed_from_u64(144);
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
    println!("W and log σ² with another covariance: at least {least:.1e} off");
    assert!(least > 1e-3);
    same.within(1e-11, "∇θ ELBO = ∇θ log p where E_q ∇θ log p(z|x) = 0");
}

#[test]
fn exact_gap_for_many_data_at_once() {
    let mut rng = StdRng::seed_from_u64(145);
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

// ---------------------------------------------------------------------------------------------------------
// optimal-q-and-em

#[test]
fn optimal_q_and_em_no_q_is_better_than_the_posterior() {
    let mut rng = StdRng::seed_from_u64(150);
    let mut slopes = 0.0f64;
    for states in 2..8 {
        let joint = probabilities(&mut rng, states, states % 2 == 0);
        let tape = Tape::new();
        let log_joint = tape.constant(logs(&joint) + 0.4f64.ln());
        let logits = tape.variable(logs(&joint));
        let elbo = |q| Enumerated::new(log_joint, q).unwrap().elbo_from_jensen();
        let best = elbo(logits.log_softmax(0));
        assert!((best.item() - 0.4f64.ln()).abs() < 1e-14);
        let slope = tape.gradients(best).wrt(logits);
        slopes = slope.iter().fold(slopes, |m, s| m.max(s.abs()));
        for _ in 0..200 {
            let q: Vec<f64> = probabilities(&mut rng, states, true);
            assert!(elbo(tape.constant(logs(&q))).item() <= best.item() + 1e-14);
        }
        // Among the q that are certain, the best is the mode, with log p(x, z).
        for (z, p) in joint.iter().enumerate() {
            let certain: Vec<f64> = (0..states).map(|k| f64::from(u8::from(k == z))).collect();
            let found = elbo(tape.constant(logs(&certain))).item();
            assert!(found == NEVER && *p == 0.0 || (found - (0.4 * p).ln()).abs() < 1e-14);
        }
    }
    println!("largest slope at the posterior {slopes:.1e}");
    assert!(slopes < 1e-15);
}

#[test]
fn optimal_q_and_em_by_climbing_the_bound() {
    // Plain gradient ascent on q's logits, from anywhere, ends in the posterior.
    let mut rng = StdRng::seed_from_u64(151);
    for states in [2, 4, 6] {
        let posterior = probabilities(&mut rng, states, false);
        let mut a = random(&mut rng, &[states]);
        for _ in 0..4000 {
            let tape = Tape::new();
            let logits = tape.variable(a.clone());
            let model = Enumerated::new(tape.constant(logs(&posterior)), logits.log_softmax(0));
            let gradients = tape.gradients(model.unwrap().elbo_from_jensen());
            a = a + gradients.wrt(logits);
        }
        let tape = Tape::new();
        let q = tape.constant(a).softmax(0).value();
        assert!((0..states).all(|z| (q[z] - posterior[z]).abs() < 1e-8));
    }
}

/// A random mixture.
fn mixture(rng: &mut StdRng, k: usize, d: usize, covariances: Covariances) -> Mixture {
    let covariances = match covariances {
        Covariances::Diagonal => (0..k)
            .flat_map(|_| {
                let v = Array1::from_shape_simple_fn(d, || rng.random_range(0.3..1.5));
                Array2::from_diag(&v)
            })
            .collect(),
        Covariances::Full => (0..k)
            .flat_map(|_| {
                let a: Array2<f64> = random(rng, &[d, d]).into_dimensionality().unwrap();
                a.dot(&a.t()) * 0.3 + Array2::<f64>::eye(d) * 0.3
            })
            .collect(),
    };
    Mixture {
        weights: probabilities(rng, k, false).into(),
        means: random(rng, &[k, d]).into_dimensionality().unwrap() * 1.5,
        covariances: Array3::from_shape_vec((k, d, d), covariances).unwrap(),
    }
}

/// Draws from a random mixture.
fn sampled(rng: &mut StdRng, k: usize, d: usize, kind: Covariances, n: usize) -> Array2<f64> {
    let made_from = mixture(rng, k, d, kind);
    draws(rng, &made_from, n)
}

/// Draws from it.
fn draws(rng: &mut StdRng, mixture: &Mixture, n: usize) -> Array2<f64> {
    let d = mixture.means.ncols();
    let factors: Vec<Array2<f64>> = mixture
        .covariances
        .outer_iter()
        .map(|c| {
            let tape = Tape::new();
            let factor = tape.constant(c).cholesky().unwrap().value();
            factor.into_owned().into_dimensionality().unwrap()
        })
        .collect();
    let mut data = Array2::zeros((n, d));
    for mut x in data.rows_mut() {
        let u: f64 = rng.random();
        let ends = mixture.weights.iter().scan(0.0, |end, w| {
            *end += w;
            Some(*end)
        });
        let k = ends
            .take_while(|end| *end <= u)
            .count()
            .min(mixture.weights.len() - 1);
        let tape = Tape::new();
        let noise = elbo::distributions::noise::standard_normal(&tape, &[d], rng).value();
        let noise: Array1<f64> = noise.into_owned().into_dimensionality().unwrap();
        x.assign(&(factors[k].dot(&noise) + mixture.means.row(k)));
    }
    data
}

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
fn optimal_q_and_em_one_step_by_naive_loops() {
    let mut rng = StdRng::seed_from_u64(152);
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
        worst_number(&mut likelihood, fit.log_likelihoods[0], log_likelihood);
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

#[test]
fn optimal_q_and_em_never_lowers_the_likelihood() {
    let mut rng = StdRng::seed_from_u64(153);
    let (mut steps, mut lowest_rise) = (0, f64::INFINITY);
    let mut widest = 0.0f64;
    for case in 0..24 {
        let (k, d) = (1 + case % 4, 1 + case % 3);
        let kind = [Covariances::Full, Covariances::Diagonal][case % 2];
        let data = sampled(&mut rng, k, d, kind, 60);
        let start = Mixture::start(data.view(), k, kind, &mut rng).unwrap();
        let stopping = Stopping {
            steps: 60,
            tolerance: 1e-9,
        };
        let fit = match em(data.view(), start, kind, stopping) {
            Ok(fit) => fit,
            Err(MixtureError::Collapsed { .. }) => continue,
            Err(other) => panic!("{other}"),
        };
        let rounding = 1e-13 * fit.log_likelihoods[0].abs();
        for (step, bound) in fit.bounds.iter().enumerate() {
            let [before, after] = [fit.log_likelihoods[step], fit.log_likelihoods[step + 1]];
            assert!(before - rounding <= *bound && *bound <= after + rounding);
            lowest_rise = lowest_rise.min(after - before);
            widest = widest.max(after - bound);
            steps += 1;
        }
    }
    println!(
        "{steps} steps, lowest rise {lowest_rise:.1e} nats, widest gap after an M-step {widest:.2} nats"
    );
    assert!(steps > 300 && widest > 0.1);
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
fn optimal_q_and_em_gradients() {
    // Fisher: at q = posterior, ∇θ of the bound is ∇θ log p. After the M-step, ∇θ of the bound is 0.
    let mut rng = StdRng::seed_from_u64(154);
    let (mut fisher, mut largest) = (Worst::default(), 0.0f64);
    let mut checked = Checked::default();
    for (k, d) in [(1, 1), (2, 1), (3, 2), (2, 3)] {
        let start = mixture(&mut rng, k, d, Covariances::Diagonal);
        let data = sampled(&mut rng, k, d, Covariances::Diagonal, 15);
        let q = start.responsibilities(data.view()).unwrap();
        let inputs = |m: &Mixture| {
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
    println!("largest slope of the bound after an M-step {largest:.1e}");
    assert!(largest < 1e-12);
    fisher.within(1e-12, "∇θ bound = ∇θ log p at the posterior");
    checked.tell("bound of the mixture");
}

#[test]
fn optimal_q_and_em_of_one_component_is_maximum_likelihood_at_once() {
    let mut rng = StdRng::seed_from_u64(155);
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

#[test]
fn optimal_q_and_em_keeps_an_impossible_component_out() {
    let mut rng = StdRng::seed_from_u64(156);
    let kind = Covariances::Full;
    let data = sampled(&mut rng, 2, 2, kind, 50);
    let two = mixture(&mut rng, 2, 2, kind);
    let (weights, means) = (
        arr1(&[two.weights[0], 0.0, two.weights[1]]),
        two.means.select(Axis(0), &[0, 0, 1]),
    );
    let mut covariances = two.covariances.select(Axis(0), &[0, 0, 1]);
    // It has no density, and needs none.
    covariances.index_axis_mut(Axis(0), 1).fill(0.0);
    let three = Mixture {
        weights,
        means,
        covariances,
    };
    let stopping = Stopping {
        steps: 30,
        tolerance: 0.0,
    };
    let with = em(data.view(), three, kind, stopping).unwrap();
    let without = em(data.view(), two, kind, stopping).unwrap();
    assert_eq!(with.log_likelihoods, without.log_likelihoods);
    assert_eq!(with.mixture.weights[1], 0.0);
    let entries = with.mixture.weights.iter().chain(&with.mixture.means);
    assert!(
        entries
            .chain(&with.mixture.covariances)
            .all(|x| x.is_finite())
    );
    let q = with.mixture.responsibilities(data.view()).unwrap();
    assert!(q.column(1).iter().all(|q| *q == 0.0));
}

#[test]
fn optimal_q_and_em_refuses_what_has_no_maximum() {
    let normal = |weights: &[f64], means: &[f64], variances: &[f64]| Mixture {
        weights: arr1(weights),
        means: Array2::from_shape_vec((means.len(), 1), means.to_vec()).unwrap(),
        covariances: Array3::from_shape_vec((means.len(), 1, 1), variances.to_vec()).unwrap(),
    };
    let fit = |data: &[f64], start: Mixture| {
        let data = Array2::from_shape_vec((data.len(), 1), data.to_vec()).unwrap();
        em(data.view(), start, Covariances::Full, Stopping::default())
    };
    let data = [-1.0, 0.0, 0.5, 1.0, 30.0];
    // One component on one point.
    let collapsed = fit(&data, normal(&[0.5, 0.5], &[0.0, 30.0], &[1.0, 0.01])).unwrap_err();
    assert!(
        matches!(collapsed, MixtureError::Collapsed { component: 1, .. }),
        "{collapsed}"
    );
    // On several equal ones, far from 0, where the mean rounds and leaves a variance of rounding.
    for x in [30.1, 29.7, 33.3, 57.9, 1000.0 / 3.0] {
        for copies in 2..9 {
            let heap = [vec![-1.0, 0.1, 0.5, 1.0], vec![x; copies]].concat();
            let error = fit(&heap, normal(&[0.5, 0.5], &[0.0, x], &[1.0, 1.0])).unwrap_err();
            let expected = matches!(error, MixtureError::Collapsed { component: 1, .. });
            assert!(expected, "{error}");
        }
    }
    assert!(matches!(
        fit(&[2.0], normal(&[1.0], &[0.0], &[1.0])).unwrap_err(),
        MixtureError::Collapsed {
            component: 0,
            step: 1,
            ..
        }
    ));
    // Data on a line have no density in the plane, but diagonal covariances do.
    let line = Array2::from_shape_fn((9, 2), |(i, j)| (i as f64) * (1.0 + j as f64));
    let mut rng = StdRng::seed_from_u64(157);
    let start = Mixture::start(line.view(), 1, Covariances::Diagonal, &mut rng).unwrap();
    let flat = em(
        line.view(),
        start.clone(),
        Covariances::Full,
        Stopping::default(),
    )
    .unwrap_err();
    assert!(
        matches!(flat, MixtureError::Collapsed { dimension: 1, .. }),
        "{flat}"
    );
    assert!(
        em(
            line.view(),
            start,
            Covariances::Diagonal,
            Stopping::default()
        )
        .is_ok()
    );
    assert_eq!(
        fit(&[], normal(&[1.0], &[0.0], &[1.0])).unwrap_err(),
        MixtureError::NoData
    );
    let one = || normal(&[1.0], &[0.0], &[1.0]);
    assert!(matches!(
        fit(&[0.0, f64::NAN], one()).unwrap_err(),
        MixtureError::NotANumber { what: "data", ref index, .. } if *index == [1, 0]
    ));
    assert!(matches!(
        fit(&data, normal(&[0.5, 0.6], &[0.0, 1.0], &[1.0, 1.0])).unwrap_err(),
        MixtureError::Weights { .. }
    ));
    assert!(matches!(
        fit(&data, normal(&[-0.5, 1.5], &[0.0, 1.0], &[1.0, 1.0])).unwrap_err(),
        MixtureError::NotANumber {
            what: "weights",
            ..
        }
    ));
    assert!(matches!(
        fit(&data, normal(&[1.0], &[0.0], &[-1.0])).unwrap_err(),
        MixtureError::Component { component: 0, .. }
    ));
    for error in [
        collapsed,
        flat,
        MixtureError::NoData,
        MixtureError::Weights { total: 1.1 },
    ] {
        let message = error.to_string();
        assert!(
            message.contains("expected") && message.contains("found"),
            "{message}"
        );
    }
}

#[test]
fn optimal_q_and_em_with_diagonal_covariances_from_a_start_with_full_ones() {
    let mut rng = StdRng::seed_from_u64(158);
    let narrow = Mixture {
        weights: arr1(&[0.5, 0.5]),
        means: arr2(&[[-3.0, 0.0], [3.0, 0.0]]),
        covariances: Array3::from_shape_fn((2, 2, 2), |(_, i, j)| if i == j { 1.0 } else { 0.99 }),
    };
    let data = draws(&mut rng, &narrow, 200);
    let full = em(data.view(), narrow, Covariances::Full, Stopping::default()).unwrap();
    assert!(full.converged);
    let start = full.mixture;
    let from = |start: &Mixture| {
        let kind = Covariances::Diagonal;
        em(data.view(), start.clone(), kind, Stopping::default()).unwrap()
    };
    let fit = from(&start);
    println!(
        "{:.2?}",
        [fit.log_likelihoods[0], *fit.log_likelihoods.last().unwrap()]
    );
    let rises = fit.log_likelihoods.windows(2).all(|l| l[1] >= l[0] - 1e-9);
    assert!(rises && fit.converged, "{:?}", fit.log_likelihoods);
    // The start counts by its variances alone, and the end is one: another step changes nothing.
    let mut diagonal = start.clone();
    for ((_, i, j), entry) in diagonal.covariances.indexed_iter_mut() {
        *entry *= f64::from(u8::from(i == j));
    }
    assert_eq!(from(&diagonal), fit);
    let again = from(&fit.mixture);
    let gained = again.log_likelihoods.last().unwrap() - fit.log_likelihoods.last().unwrap();
    assert!(gained.abs() < 1e-8, "{gained:e}");
}

#[test]
fn optimal_q_and_em_finds_the_mixture_that_made_the_data() {
    let mut rng = StdRng::seed_from_u64(158);
    let truth = Mixture {
        weights: arr1(&[0.3, 0.7]),
        means: arr2(&[[-2.0], [1.5]]),
        covariances: Array3::from_shape_vec((2, 1, 1), vec![0.25, 1.0]).unwrap(),
    };
    let n = 20_000;
    let data = draws(&mut rng, &truth, n);
    let start = Mixture {
        weights: arr1(&[0.5, 0.5]),
        means: arr2(&[[-1.0], [1.0]]),
        covariances: Array3::ones((2, 1, 1)),
    };
    let stopping = Stopping {
        steps: 200,
        tolerance: 1e-10,
    };
    let fit = em(data.view(), start, Covariances::Full, stopping).unwrap();
    let m = &fit.mixture;
    println!("after {} steps: {m:?}", fit.bounds.len());
    // With the components known a mean is off by σ/√(nπ), which is 0.0065 and 0.0085; overlap makes it a little more.
    assert!(fit.converged && (&m.means - &truth.means).iter().all(|e| e.abs() < 0.05));
    assert!((&m.weights - &truth.weights).iter().all(|e| e.abs() < 0.02));
    assert!(
        (&m.covariances - &truth.covariances)
            .iter()
            .all(|e| e.abs() < 0.06)
    );
    // The maximum likelihood is above that of the truth, by about a number of parameters times ½.
    let of_truth: f64 = truth.log_densities(data.view()).unwrap().sum();
    let excess = fit.log_likelihoods.last().unwrap() - of_truth;
    println!("log-likelihood above that of the truth by {excess:.2} nats");
    assert!(excess > 0.0 && excess < 15.0);
}

#[test]
fn optimal_q_and_em_starts_at_different_data() {
    // Few values, many times each: two components that begin alike would stay so.
    let data = Array2::from_shape_fn((30, 1), |(i, _)| (i % 4) as f64);
    for seed in 0..50 {
        let mut rng = StdRng::seed_from_u64(seed);
        let start = Mixture::start(data.view(), 4, Covariances::Full, &mut rng).unwrap();
        let mut means: Vec<f64> = start.means.iter().copied().collect();
        means.sort_by(f64::total_cmp);
        assert_eq!(means, [0.0, 1.0, 2.0, 3.0]);
        for components in [0, 5] {
            let refused = Mixture::start(data.view(), components, Covariances::Full, &mut rng);
            assert!(matches!(
                refused.unwrap_err(),
                MixtureError::Components { components: found, .. } if found == components
            ));
        }
    }
}

// ---------------------------------------------------------------------------------------------------------
// mean-field-factor

const TABLES: [&[usize]; 5] = [&[2, 2, 2], &[3, 2, 4], &[5], &[2, 3, 2, 2], &[1, 3]];

fn factors(rng: &mut StdRng, shape: &[usize], zeros: bool) -> Vec<Array1<f64>> {
    let factor = |&states: &usize| probabilities(rng, states, zeros).into();
    shape.iter().map(factor).collect()
}

/// Π_j q_j(z_j) as a table.
fn product(factors: &[Array1<f64>]) -> ArrayD<f64> {
    let shape: Vec<usize> = factors.iter().map(Array1::len).collect();
    ArrayD::from_shape_fn(IxDyn(&shape), |z| {
        (0..factors.len()).map(|j| factors[j][z[j]]).product()
    })
}

#[test]
fn mean_field_factor_by_enumeration() {
    let mut rng = StdRng::seed_from_u64(160);
    let (mut expectation, mut bound) = (Worst::default(), Worst::default());
    for shape in TABLES {
        for zeros in [false, true] {
            let mut log_joint = random(&mut rng, shape);
            let q = factors(&mut rng, shape, zeros);
            // Where q is 0 the joint may be 0.
            let mass = product(&q);
            log_joint.zip_mut_with(&mass, |l, q| {
                if *q == 0.0 {
                    *l = NEVER
                }
            });
            let terms = || log_joint.indexed_iter().filter(|(z, _)| mass[z] > 0.0);
            let naive: f64 = terms().map(|(z, l)| mass[&z] * (l - mass[&z].ln())).sum();
            bound.number(variational::elbo(&log_joint, &q).unwrap(), naive, 1.0);
            for j in 0..shape.len() {
                let expected = expected_log_joint(&log_joint, &q, j).unwrap();
                let updated = optimal_factor(&log_joint, &q, j).unwrap();
                assert!((updated.sum() - 1.0).abs() < 1e-14);
                for state in (0..shape[j]).filter(|&state| q[j][state] > 0.0) {
                    let exact: f64 = terms()
                        .filter(|(z, _)| z[j] == state)
                        .map(|(z, l)| mass[&z] / q[j][state] * l)
                        .sum();
                    expectation.number(expected[state], exact, 1.0);
                    // q_j* ∝ exp of it.
                    let constant = expected[0] - updated[0].ln();
                    expectation.number(updated[state].ln() + constant, expected[state], 1.0);
                }
            }
        }
    }
    expectation.within(REARRANGED, "E_{-j} log p, absolute");
    bound.within(REARRANGED, "bound of a product, absolute");
}

/// The bound of a product of softmaxes on the tape, through the table of all states.
fn product_bound<'t>(v: &[Var<'t, f64>], log_joint: &ArrayD<f64>) -> Var<'t, f64> {
    let tape = v[0].tape();
    let mut log_q = tape.full(&vec![1; v.len()], 0.0);
    for (j, logits) in v.iter().enumerate() {
        let mut shape = vec![1; v.len()];
        shape[j] = logits.size();
        log_q = log_q + logits.log_softmax(0).reshape(&shape);
    }
    let log_joint = tape.constant(log_joint.clone()).flatten();
    let model = Enumerated::new(log_joint, log_q.flatten()).unwrap();
    model.elbo_from_jensen()
}

#[test]
fn mean_field_factor_gradients() {
    // Before an update ∇ of the bound in the logits of factor j is q_j (log q_j* - log q_j - its mean), after it 0.
    let mut rng = StdRng::seed_from_u64(161);
    let (mut by_hand, mut largest) = (Worst::default(), 0.0f64);
    let mut checked = Checked::default();
    for shape in TABLES {
        let log_joint = random(&mut rng, shape);
        let mut q = factors(&mut rng, shape, false);
        let j = rng.random_range(0..shape.len());
        let gradient = |q: &[Array1<f64>]| {
            let tape = Tape::new();
            let v: Vec<Var<'_, f64>> = q.iter().map(|q| tape.variable(q.mapv(f64::ln))).collect();
            let bound = product_bound(&v, &log_joint);
            assert!((bound.item() - variational::elbo(&log_joint, q).unwrap()).abs() < 1e-13);
            owned(tape.gradients(bound).wrt(v[j]))
        };
        let best = optimal_factor(&log_joint, &q, j).unwrap();
        let score = (&best / &q[j]).mapv(f64::ln);
        let mean = (&q[j] * &score).sum();
        let exact = &q[j] * &(score - mean);
        if shape[j] > 1 {
            by_hand.entries(&gradient(&q), &exact.into_dyn());
        }
        q[j] = best;
        largest = gradient(&q).iter().fold(largest, |m, g| m.max(g.abs()));
        let point: Vec<ArrayD<f64>> = q.iter().map(|q| random(&mut rng, q.shape())).collect();
        let check = Check::new("mean-field-factor");
        checked.add(check.run(&point, |v| product_bound(v, &log_joint)).unwrap());
        checked.add(
            check
                .run_second_order(&point, |v| product_bound(v, &log_joint))
                .unwrap(),
        );
    }
    println!("largest slope after an update {largest:.1e}");
    assert!(largest < 1e-14);
    by_hand.within(1e-12, "∇ of the bound by hand");
    checked.tell("bound of a product");
}

#[test]
fn mean_field_factor_never_lowers_the_bound() {
    let mut rng = StdRng::seed_from_u64(162);
    let (mut sweeps, mut nearest) = (0, f64::INFINITY);
    for case in 0..100 {
        let shape = TABLES[case % TABLES.len()];
        let log_joint = random(&mut rng, shape) * 2.0;
        let evidence = log_joint.iter().map(|l| l.exp()).sum::<f64>().ln();
        let start = factors(&mut rng, shape, false);
        let fit = coordinate_ascent(&log_joint, &start, Stopping::default()).unwrap();
        assert!(fit.converged);
        assert!(
            fit.elbos
                .windows(2)
                .all(|e| e[1] >= e[0] - 1e-14 * e[0].abs().max(1.0))
        );
        assert!(fit.elbo() <= evidence + 1e-14 * evidence.abs().max(1.0));
        sweeps += fit.elbos.len() - 1;
        if shape.iter().filter(|&&states| states > 1).count() > 1 {
            nearest = nearest.min(evidence - fit.elbo());
        } else {
            // One variable alone is no restriction.
            assert!((evidence - fit.elbo()).abs() < 1e-13);
        }
    }
    println!("{sweeps} sweeps; smallest gap of a product {nearest:.1e} nats");
    assert!(nearest > 0.0);
}

#[test]
fn mean_field_factor_reaches_different_optima_from_different_starts() {
    // Three coins that agree: all heads with 0.5, all tails with 0.4, and the other six outcomes share 0.1.
    let log_joint = ArrayD::from_shape_fn(IxDyn(&[2, 2, 2]), |z| match z[0] + z[1] + z[2] {
        0 => 0.5f64,
        3 => 0.4,
        _ => 0.1 / 6.0,
    })
    .mapv(f64::ln);
    let mut rng = StdRng::seed_from_u64(163);
    let starts: Vec<Vec<Array1<f64>>> = (0..40)
        .map(|_| factors(&mut rng, &[2, 2, 2], false))
        .collect();
    let optima = distinct_optima(&log_joint, &starts, Stopping::default()).unwrap();
    for optimum in &optima {
        let heads: Vec<f64> = optimum.factors.iter().map(|q| q[0]).collect();
        println!(
            "bound {:.4}, gap {:.4}, P(heads) {heads:.4?}",
            optimum.elbo(),
            -optimum.elbo()
        );
    }
    assert_eq!(optima.len(), 2);
    assert!(optima[0].elbo() > optima[1].elbo() + 0.1);
    assert!(optima[0].factors[0][0] > 0.9 && optima[1].factors[0][0] < 0.1);
    // Under the table itself each coin shows heads with 0.55.
    let exact = log_joint.mapv(f64::exp).index_axis(Axis(0), 0).sum();
    assert!((exact - 0.55).abs() < 1e-12);
    // A fixed point between them is no maximum: the symmetric table, from the symmetric start.
    let symmetric =
        ArrayD::from_shape_fn(
            IxDyn(&[2, 2]),
            |z| if z[0] == z[1] { 0.45f64 } else { 0.05 },
        );
    let symmetric = symmetric.mapv(f64::ln);
    let even = vec![arr1(&[0.5, 0.5]); 2];
    // (The start of the factor that is updated first is forgotten at once.)
    let nearly = vec![arr1(&[0.5, 0.5]), arr1(&[0.501, 0.499])];
    let [stuck, free] =
        [even, nearly].map(|s| coordinate_ascent(&symmetric, &s, Stopping::default()).unwrap());
    assert!(stuck.converged && stuck.factors[0][0] == 0.5);
    assert!(
        free.elbo() > stuck.elbo() + 0.01,
        "{} {}",
        free.elbo(),
        stuck.elbo()
    );
}

#[test]
fn mean_field_factor_leaves_a_saddle() {
    // Two coins that agree with 0.9. At ½ each nothing moves, and any push leads up.
    let agree = |states: usize, p: f64| {
        let others = (1.0 - p) / (states * (states - 1)) as f64;
        let entry = move |z: IxDyn| {
            if z[0] == z[1] {
                p / states as f64
            } else {
                others
            }
        };
        ArrayD::from_shape_fn(IxDyn(&[states, states]), entry).mapv(f64::ln)
    };
    let log_joint = agree(2, 0.9);
    let coin = |p: f64| vec![arr1(&[p, 1.0 - p]); 2];
    let starts = [coin(0.5), coin(0.6), coin(0.4)];
    let optima = distinct_optima(&log_joint, &starts, Stopping::default()).unwrap();
    assert_eq!(optima.len(), 2);
    for optimum in &optima {
        assert!(optimum.elbo() > -0.4979, "{}", optimum.elbo());
        // m = tanh(m log 3) for P(heads) = ½ (1 + m), and tanh(½ log 3) = ½.
        let heads = optimum.factors[0][0];
        assert!(((heads - 0.5).abs() - 0.25).abs() < 1e-9, "{heads}");
        assert!(optimum.elbos.windows(2).all(|e| e[1] >= e[0] - 1e-14));
    }
    // Three sides each, from the centre: by way of another saddle or not, to one of three optima.
    let centre = vec![Array1::from_elem(3, 1.0 / 3.0); 2];
    let optima = distinct_optima(&agree(3, 0.95), &[centre], Stopping::default()).unwrap();
    let highest = optima[0].factors[0].fold(0.0, |m: f64, q| m.max(*q));
    assert!(optima.len() == 1 && highest > 0.9, "{highest}");
    // Where q must be 0 no push moves it.
    let never = arr2(&[[0.3, 0.0], [0.3, 0.4]]).mapv(f64::ln).into_dyn();
    let optima = distinct_optima(&never, &[coin(0.5)], Stopping::default()).unwrap();
    assert!(optima[0].elbo() > NEVER);
}

#[test]
fn mean_field_factor_may_overestimate_a_variance() {
    // Of random 2 × 2 tables: how often the best product has a larger variance of z_1 than the table itself.
    let mut rng = StdRng::seed_from_u64(164);
    let (mut above, mut tables, mut largest) = (0, 0, (0.0, vec![]));
    for _ in 0..1000 {
        let p = probabilities(&mut rng, 4, false);
        let table = ArrayD::from_shape_vec(IxDyn(&[2, 2]), p.clone()).unwrap();
        let log_joint = table.mapv(f64::ln);
        let starts: Vec<_> = (0..3).map(|_| factors(&mut rng, &[2, 2], false)).collect();
        let best = &distinct_optima(&log_joint, &starts, Stopping::default()).unwrap()[0];
        let variance = |p: f64| p * (1.0 - p);
        let (exact, found) = (variance(p[0] + p[1]), variance(best.factors[0][0]));
        tables += 1;
        above += usize::from(found > exact + 1e-9);
        if found - exact > largest.0 {
            largest = (found - exact, p);
        }
    }
    println!(
        "variance of z_1 overestimated in {above} of {tables} tables, most by {:.4} in {:.3?}",
        largest.0, largest.1
    );
    assert!(above > 0 && above < tables);
}

#[test]
fn mean_field_factor_at_the_limits() {
    let table = |p: [[f64; 2]; 2]| arr2(&p).mapv(f64::ln).into_dyn();
    let ascend = |joint: &ArrayD<f64>, start: &[Array1<f64>]| {
        coordinate_ascent(joint, start, Stopping::default())
    };
    let (even, first) = (arr1(&[0.5, 0.5]), arr1(&[1.0, 0.0]));
    // Either both or none: with the other undecided, neither value of the first is possible.
    let both_or_none = table([[0.5, 0.0], [0.0, 0.5]]);
    assert_eq!(
        ascend(&both_or_none, &[even.clone(), even.clone()]).unwrap_err(),
        BadData::NothingFeasible { variable: 0 }
    );
    let fit = ascend(&both_or_none, &[even.clone(), first.clone()]).unwrap();
    assert!(fit.elbos[0] == NEVER && fit.factors == [first.clone(), first.clone()]);
    assert!((fit.elbo() - 0.5f64.ln()).abs() < 1e-15);
    // One impossible state, from a start that has mass there.
    let fit = ascend(
        &table([[0.2, 0.4], [0.4, 0.0]]),
        &[even.clone(), even.clone()],
    )
    .unwrap();
    assert!(
        fit.converged && fit.elbo() <= 0.0 && fit.factors.iter().flatten().all(|q| q.is_finite())
    );
    let error =
        |joint: &ArrayD<f64>, q: Array1<f64>| ascend(joint, &[q, even.clone()]).unwrap_err();
    assert_eq!(
        error(&table([[0.0; 2]; 2]), even.clone()),
        BadData::Impossible { row: 0 }
    );
    assert!(matches!(
        error(&both_or_none, arr1(&[0.5, 0.6])),
        BadData::Total { .. }
    ));
    assert!(matches!(
        error(&both_or_none, arr1(&[1.5, -0.5])),
        BadData::Number { .. }
    ));
    assert!(matches!(
        error(&table([[f64::NAN, 0.1], [0.1, 0.1]]), even.clone()),
        BadData::Number { .. }
    ));
    let empty = ArrayD::zeros(IxDyn(&[0, 2]));
    assert!(matches!(error(&empty, arr1(&[])), BadData::Empty { .. }));
}

#[test]
fn mean_field_factor_of_what_is_no_probability_is_an_error() {
    let all = |joint: [[f64; 2]; 2], first: [f64; 2]| {
        let (joint, q) = (arr2(&joint).into_dyn(), [arr1(&first), arr1(&[0.5, 0.5])]);
        [
            optimal_factor(&joint, &q, 1).map(|_| ()),
            expected_log_joint(&joint, &q, 1).map(|_| ()),
            variational::elbo(&joint, &q).map(|_| ()),
        ]
    };
    let even = [0.5, 0.5];
    for bad in [f64::NAN, f64::INFINITY] {
        for result in all([[-1.0, bad], [-2.0, -2.0]], even) {
            assert!(matches!(result, Err(BadData::Number { what: "joint", .. })));
        }
    }
    for result in all([[-1.0; 2]; 2], [0.5, f64::NAN]) {
        assert!(matches!(
            result,
            Err(BadData::Number { what: "factor", .. })
        ));
    }
    for result in all([[-1.0; 2]; 2], [0.5, 0.6]) {
        assert!(matches!(result, Err(BadData::Total { what: "factor", .. })));
    }
    assert_eq!(
        all([[-1.0, -1.0], [-1.0, NEVER]], even),
        [Ok(()), Ok(()), Ok(())]
    );
}

// ---------------------------------------------------------------------------------------------------------
// cavi-gaussian

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
fn cavi_gaussian_update_is_the_minimum_in_its_factor() {
    let mut rng = StdRng::seed_from_u64(170);
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
    println!("largest slope after an update {largest:.1e}");
    assert!(largest < 1e-11);
    divergences.within(1e-11, "KL in closed form = the general formula");
    checked.tell("KL of a product");
}

#[test]
fn cavi_gaussian_is_the_mean_field_factor() {
    // log q_j* = E_{-j} log p: its slope and curvature in z_j, from the density, by quadrature over the other factors.
    let mut rng = StdRng::seed_from_u64(171);
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

/// The inverse by Gauss and Jordan, with pivoting.
fn inverse(matrix: &Array2<f64>) -> Array2<f64> {
    let n = matrix.nrows();
    let mut both = Array2::zeros((n, 2 * n));
    both.slice_mut(s![.., ..n]).assign(matrix);
    both.slice_mut(s![.., n..]).assign(&Array2::<f64>::eye(n));
    for i in 0..n {
        let pivot = (i..n).max_by(|&a, &b| both[[a, i]].abs().total_cmp(&both[[b, i]].abs()));
        for j in 0..2 * n {
            both.swap([i, j], [pivot.unwrap(), j]);
        }
        let row = &both.row(i) / both[[i, i]];
        both.row_mut(i).assign(&row);
        for k in (0..n).filter(|&k| k != i) {
            let factor = both[[k, i]];
            both.row_mut(k).scaled_add(-factor, &row);
        }
    }
    both.slice(s![.., n..]).to_owned()
}

#[test]
fn cavi_gaussian_error_map_is_that_of_gauss_seidel() {
    let mut rng = StdRng::seed_from_u64(172);
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
fn cavi_gaussian_rate() {
    let mut rng = StdRng::seed_from_u64(173);
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
        println!(
            "d = {d}: spectral radius {rate:.5}, from the divergence's decay {fitted:.5} ({} sweeps)",
            late.len()
        );
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
fn cavi_gaussian_variances_are_those_given_all_others() {
    let mut rng = StdRng::seed_from_u64(174);
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

#[test]
fn cavi_gaussian_refuses_what_is_no_gaussian() {
    let error =
        |precision: Array2<f64>| GaussianTarget::new(arr1(&[0.0, 0.0]), precision).unwrap_err();
    assert!(matches!(
        error(arr2(&[[1.0, 2.0], [2.0, 1.0]])),
        GaussianTargetError::NotPositiveDefinite(_)
    ));
    assert!(matches!(
        error(arr2(&[[1.0, 1.0], [1.0, 1.0]])),
        GaussianTargetError::NotPositiveDefinite(_)
    ));
    assert!(matches!(
        error(arr2(&[[f64::NAN, 0.0], [0.0, 1.0]])),
        GaussianTargetError::NotPositiveDefinite(_)
    ));
    assert_eq!(
        error(arr2(&[[1.0, 0.5], [0.4, 1.0]])),
        GaussianTargetError::NotSymmetric {
            index: [0, 1],
            found: [0.5, 0.4]
        }
    );
    let mean = GaussianTarget::new(arr1(&[0.0, f64::NAN]), Array2::eye(2)).unwrap_err();
    assert!(matches!(mean, GaussianTargetError::Mean { index: 1, .. }));
    let message = mean.to_string();
    assert!(
        message.contains("expected") && message.contains("found"),
        "{message}"
    );
}

#[test]
fn cavi_gaussian_measures_asymmetry_by_the_diagonal() {
    let of = |rows: Array2<f64>| GaussianTarget::new(Array1::zeros(rows.nrows()), rows);
    let hidden = arr2(&[[1e10, 0.0, 0.0], [0.0, 1.0, 0.9], [0.0, -0.9, 1.0]]);
    let error = of(hidden).unwrap_err();
    assert!(
        matches!(
            error,
            GaussianTargetError::NotSymmetric { index: [1, 2], .. }
        ),
        "{error}"
    );
    assert!(of(arr2(&[[1e200, 5e199], [-5e199, 1e200]])).is_err());
    assert!(of(arr2(&[[1e-170, 1e-190], [-1e-190, 1e-170]])).is_ok());
    assert!(of(arr2(&[[1e20, 1.0], [1.0 + 1e-3, 1.0]])).is_ok());
}
