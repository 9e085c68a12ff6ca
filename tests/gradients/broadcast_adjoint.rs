//! docs/gradients.md#broadcast-adjoint: the adjoint of repeating along axes is the sum over them, and conversely, for
//! every pair of shapes.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, broadcast_shape};
use ndarray::{ArrayD, Axis, Dimension, IxDyn};

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::{matrix, random, rng};
use crate::common::reporting::report;
use crate::gradients::shared::{inner, source_index, sum_by_hand};

/// Every shape of up to three axes with lengths 0, 1, 2 and 3.
fn every_shape() -> Vec<Vec<usize>> {
    let mut shapes = vec![vec![]];
    let mut last = shapes.clone();
    for _ in 0..3 {
        last = last
            .iter()
            .flat_map(|shape| (0..4).map(|length| [&[length], shape.as_slice()].concat()))
            .collect();
        shapes.extend(last.clone());
    }
    shapes
}

/// Does `from` broadcast to `to`? NumPy's rule.
fn fits(from: &[usize], to: &[usize]) -> bool {
    from.len() <= to.len()
        && from
            .iter()
            .rev()
            .zip(to.iter().rev())
            .all(|(&f, &t)| f == t || f == 1)
}

/// All pairs of a shape and one that it broadcasts to.
fn pairs() -> Vec<(Vec<usize>, Vec<usize>)> {
    let shapes = every_shape();
    let with = |from: &Vec<usize>| {
        let from = from.clone();
        let to = shapes.iter().filter(move |to| fits(&from, to));
        to.cloned().collect::<Vec<_>>()
    };
    shapes
        .iter()
        .flat_map(|from| with(from).into_iter().map(|to| (from.clone(), to)))
        .collect()
}

/// (Bx)_i = x_s(i), entry by entry.
fn broadcast_by_hand(x: &ArrayD<f64>, to: &[usize]) -> ArrayD<f64> {
    ArrayD::from_shape_fn(IxDyn(to), |i| x[IxDyn(&source_index(x.shape(), i.slice()))])
}

/// The smallest shape that both broadcast to, found by trying.
fn meeting(left: &[usize], right: &[usize]) -> Option<Vec<usize>> {
    let both = every_shape()
        .into_iter()
        .filter(|to| fits(left, to) && fits(right, to));
    both.min_by_key(|to| (to.len(), to.iter().filter(|length| **length != 1).count()))
}

#[test]
fn inside_operations() {
    // y = ab: ā = Bₐᵀ(ȳ ⊙ b) and b̄ = B_bᵀ(ȳ ⊙ a), the arrays repeated to the common shape.
    let mut rng = rng(53);
    let mut worst = Worst::default();
    let mut met = 0;
    let shapes = every_shape();
    for (left, right) in shapes
        .iter()
        .flat_map(|l| shapes.iter().map(move |r| (l, r)))
    {
        let Some(common) = meeting(left, right) else {
            continue;
        };
        met += 1;
        assert_eq!(broadcast_shape("test", left, right), common);
        let (a, b) = (random(&mut rng, left), random(&mut rng, right));
        let y_bar = random(&mut rng, &common);
        let tape = Tape::new();
        let (va, vb) = (tape.variable(a.clone()), tape.variable(b.clone()));
        let gradients = tape.pull_back(va * vb, y_bar.clone(), &[]);
        let a_bar = sum_by_hand(&(&y_bar * &broadcast_by_hand(&b, &common)), left);
        let b_bar = sum_by_hand(&(&y_bar * &broadcast_by_hand(&a, &common)), right);
        worst.entries(&owned(gradients.wrt(va)), &a_bar);
        worst.entries(&owned(gradients.wrt(vb)), &b_bar);
    }
    report(format!("{met} pairs of operands"));
    worst.within(
        REARRANGED,
        "products of broadcast operands: hand = autodiff",
    );
}

#[test]
fn where_uses_add() {
    // x + xᵀ of a column: y_ij = x_i + x_j, so x̄_i = Σ_j (ȳ_ij + ȳ_ji). Each use sums over its own axis.
    let mut rng = rng(54);
    let mut worst = Worst::default();
    for n in [1, 2, 5, 12] {
        let (x, y_bar) = (matrix(&mut rng, [n, 1]), matrix(&mut rng, [n, n]));
        let tape = Tape::new();
        let vx = tape.variable(x);
        let gradients = tape.pull_back(vx + vx.t(), y_bar.clone(), &[]);
        let x_bar = y_bar.sum_axis(Axis(1)) + y_bar.sum_axis(Axis(0));
        worst.entries(
            &owned(gradients.wrt(vx)),
            &x_bar.insert_axis(Axis(1)).into_dyn(),
        );
    }
    worst.within(REARRANGED, "a column and its transpose: hand = autodiff");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(55);
    let pairs: Vec<_> = pairs()
        .into_iter()
        .filter(|(_, to)| to.iter().product::<usize>() > 0)
        .collect();
    let check = Check::new("broadcast-adjoint");
    let mut checked = Checked::default();
    // The Jacobians are small, and one pair in five is enough: the other tests have all of them.
    for (from, to) in pairs.iter().step_by(5) {
        let point = [random(&mut rng, from), random(&mut rng, to)];
        let reports = [
            check.run(&point[..1], |v| v[0].broadcast_to(to)).unwrap(),
            check.run(&point[1..], |v| v[0].sum_to(from)).unwrap(),
            check
                .run_second_order(&point, |v| (v[0] * v[1]).sum_to(from))
                .unwrap(),
        ];
        reports.into_iter().for_each(|report| checked.add(report));
    }
    checked.print("broadcasting, sums and products");
}

#[test]
fn dot_test() {
    let mut rng = rng(51);
    let (mut dot, mut oracle) = (Worst::default(), Worst::default());
    let pairs = pairs();
    for (from, to) in &pairs {
        let (x, y_bar) = (random(&mut rng, from), random(&mut rng, to));
        let tape = Tape::new();
        let vx = tape.variable(x.clone());
        let bx = vx.broadcast_to(to);
        let bt_y = owned(tape.pull_back(bx, y_bar.clone(), &[]).wrt(vx));
        oracle.entries(&owned(bx.value()), &broadcast_by_hand(&x, to));
        oracle.entries(&bt_y, &sum_by_hand(&y_bar, from));
        let bx = owned(bx.value());
        let scale = inner(&y_bar.mapv(f64::abs), &bx.mapv(f64::abs));
        dot.number(inner(&bt_y, &x), inner(&y_bar, &bx), scale);
    }
    report(format!("{} pairs of shapes", pairs.len()));
    oracle.within(REARRANGED, "broadcast and its adjoint = loops over indices");
    dot.within(REARRANGED, "⟨ȳ, Bx⟩ = ⟨Bᵀȳ, x⟩");
}

#[test]
fn and_conversely() {
    // The adjoint of the sum over axes is broadcasting over them.
    let mut rng = rng(52);
    let mut worst = Worst::default();
    for (small, large) in pairs() {
        let (y, x_bar) = (random(&mut rng, &large), random(&mut rng, &small));
        let tape = Tape::new();
        let vy = tape.variable(y.clone());
        let sum = vy.sum_to(&small);
        worst.entries(&owned(sum.value()), &sum_by_hand(&y, &small));
        let y_bar = owned(tape.pull_back(sum, x_bar.clone(), &[]).wrt(vy));
        worst.entries(&y_bar, &broadcast_by_hand(&x_bar, &large));
    }
    worst.within(REARRANGED, "the sum and its adjoint = loops over indices");
}
