//! Tables of probabilities, and the three forms of the bound on them.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::variational::Enumerated;
use ndarray::{Array1, Array2, ArrayD};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, Worst};
use crate::common::random::{random, rng};

/// The logarithm of the probability of what is impossible.
pub const NEVER: f64 = f64::NEG_INFINITY;

/// Probabilities of K states, some of them 0 if `zeros`, but never the first.
pub fn probabilities(rng: &mut StdRng, states: usize, zeros: bool) -> Vec<f64> {
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

/// Their logarithms.
pub fn logs(p: &[f64]) -> Array1<f64> {
    p.iter().map(|p| p.ln()).collect()
}

/// Σ_{q > 0} q log(q/p), as the definition has it.
pub fn naive_divergence(q: &[f64], p: &[f64]) -> f64 {
    let terms = q.iter().zip(p).filter(|(q, _)| **q > 0.0);
    terms.map(|(q, p)| q * (q / p).ln()).sum()
}

/// A joint p(x, z) for some x in rows, and a q for each, with and without zeros.
pub struct Case {
    pub joint: Array2<f64>,
    pub q: Array2<f64>,
}

/// A table with these rows.
pub fn rows(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, k)| rows[i][k])
}

/// With `zeros`, q is 0 in places and, where it is, the joint as well or not; where the joint is 0, so is q.
pub fn cases(seed: u64, zeros: bool) -> Vec<Case> {
    let mut rng = rng(seed);
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

/// The logarithms of both tables on a tape.
pub fn on_tape<'t>(tape: &'t Tape<f64>, case: &Case) -> Enumerated<'t, f64> {
    let [joint, q] = [&case.joint, &case.q].map(|table| tape.constant(table.mapv(f64::ln)));
    Enumerated::new(joint, q).unwrap()
}

/// One row of a table.
pub fn row(table: &Array2<f64>, row: usize) -> Vec<f64> {
    table.row(row).to_vec()
}

/// Logits of p(x, z) over all x and z, logits of q(z|x) for the x that was seen; which of the bounds, of shape [].
pub fn bound<'t>(
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

/// A form of the bound.
pub type Form = for<'t> fn(Enumerated<'t, f64>) -> Var<'t, f64>;

/// The bound from the divergence, from Jensen's inequality, and from importance weights.
pub const FORMS: [Form; 3] = [
    |model| model.elbo_from_kl(),
    |model| model.elbo_from_jensen(),
    |model| model.elbo_from_importance_weights(),
];

/// The gradients that the notes derive: ∇θ = [x' = x] q(z) - p(x', z) for the joint's logits, ∇φ = q (log w - ELBO) for q's.
pub fn gradients_by_hand(theta: &ArrayD<f64>, a: &ArrayD<f64>, seen: usize) -> [ArrayD<f64>; 2] {
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

/// The gradients of a form of the bound against those derived by hand.
pub fn form_has_the_gradient_by_hand(seed: u64, form: usize) -> Worst {
    let mut rng = rng(seed);
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
        let gradients = tape.gradients(bound(&v, seen, FORMS[form]));
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

/// The gradients of a form of the bound against finite differences.
pub fn form_against_finite_differences(slug: &str, seed: u64, form: usize) {
    let mut rng = rng(seed);
    let mut checked = Checked::default();
    for [values, states] in [[1, 2], [3, 4], [2, 3]] {
        let point = [
            random(&mut rng, &[values, states]),
            random(&mut rng, &[states]),
        ];
        let check = Check::new(slug);
        checked.add(
            check
                .run(&point, |v| bound(v, values - 1, FORMS[form]))
                .unwrap(),
        );
        let second = check.run_second_order(&point, |v| bound(v, values - 1, FORMS[form]));
        checked.add(second.unwrap());
    }
    checked.print("logits of the joint and of q, first and second order");
}
