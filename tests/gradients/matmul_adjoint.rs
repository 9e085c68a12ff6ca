//! docs/gradients.md#matmul-adjoint: for C = AB the cotangents are Ā = C̄Bᵀ and B̄ = AᵀC̄.

mod layer;
mod stacks;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use ndarray::{Array2, ArrayView2, Axis};

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::{matrix, random, rng};
use crate::gradients::shared::inner;

/// Rows, inner length and columns: all different, with lengths of 1 in every place, and square, where a
/// transposition too many or too few fits.
const SIZES: [[usize; 3]; 10] = [
    [3, 4, 2],
    [2, 3, 5],
    [1, 4, 3],
    [5, 1, 2],
    [4, 3, 1],
    [1, 1, 1],
    [7, 5, 6],
    [4, 4, 4],
    [2, 3, 3],
    [23, 17, 31],
];

/// Σ_l A_il B_lj, entry by entry.
fn naive_product(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
        (0..a.ncols()).map(|l| a[[i, l]] * b[[l, j]]).sum()
    })
}

/// Ā_il = Σ_j C̄_ij B_lj.
fn naive_left(c_bar: ArrayView2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    Array2::from_shape_fn((c_bar.nrows(), b.nrows()), |(i, l)| {
        (0..b.ncols()).map(|j| c_bar[[i, j]] * b[[l, j]]).sum()
    })
}

/// B̄_lj = Σ_i A_il C̄_ij.
fn naive_right(a: ArrayView2<f64>, c_bar: ArrayView2<f64>) -> Array2<f64> {
    Array2::from_shape_fn((a.ncols(), c_bar.ncols()), |(l, j)| {
        (0..a.nrows()).map(|i| a[[i, l]] * c_bar[[i, j]]).sum()
    })
}

#[test]
fn by_naive_loops() {
    let mut rng = rng(41);
    let (mut forward, mut adjoint) = (Worst::default(), Worst::default());
    for [n, k, m] in SIZES {
        let (a, b) = (matrix(&mut rng, [n, k]), matrix(&mut rng, [k, m]));
        let c_bar = matrix(&mut rng, [n, m]);
        let tape = Tape::new();
        let (va, vb) = (tape.variable(a.clone()), tape.variable(b.clone()));
        let c = va.matmul(vb);
        let gradients = tape.pull_back(c, c_bar.clone(), &[]);
        forward.entries(
            &owned(c.value()),
            &naive_product(a.view(), b.view()).into_dyn(),
        );
        let (a_bar, b_bar) = (
            naive_left(c_bar.view(), b.view()),
            naive_right(a.view(), c_bar.view()),
        );
        adjoint.entries(&owned(gradients.wrt(va)), &a_bar.into_dyn());
        adjoint.entries(&owned(gradients.wrt(vb)), &b_bar.into_dyn());
    }
    forward.within(REARRANGED, "product = naive loops");
    adjoint.within(REARRANGED, "adjoints = naive loops");
}

#[test]
fn by_the_inner_product() {
    // ⟨C̄, dA B + A dB⟩ = ⟨Ā, dA⟩ + ⟨B̄, dB⟩ for every dA and dB.
    let mut rng = rng(42);
    let mut worst = Worst::default();
    for [n, k, m] in SIZES {
        let (a, b) = (matrix(&mut rng, [n, k]), matrix(&mut rng, [k, m]));
        let (da, db) = (matrix(&mut rng, [n, k]), matrix(&mut rng, [k, m]));
        let c_bar = random(&mut rng, &[n, m]);
        let tape = Tape::new();
        let (va, vb) = (tape.variable(a.clone()), tape.variable(b.clone()));
        let gradients = tape.pull_back(va.matmul(vb), c_bar.clone(), &[]);
        let (left, right) = (
            naive_product(da.view(), b.view()),
            naive_product(a.view(), db.view()),
        );
        let dc = (left + right).into_dyn();
        let from_a = inner(&owned(gradients.wrt(va)), &da.into_dyn());
        let from_b = inner(&owned(gradients.wrt(vb)), &db.into_dyn());
        let scale = inner(&c_bar.mapv(f64::abs), &dc.mapv(f64::abs));
        worst.number(from_a + from_b, inner(&c_bar, &dc), scale);
    }
    worst.within(REARRANGED, "⟨C̄, dC⟩ = ⟨Ā, dA⟩ + ⟨B̄, dB⟩");
}

/// Batch, inputs, outputs.
const LAYERS: [[usize; 3]; 6] = [
    [4, 3, 2],
    [2, 5, 3],
    [1, 3, 4],
    [6, 1, 2],
    [3, 2, 1],
    [3, 3, 3],
];

fn dense<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    v[0].matmul(v[1].t()) + v[2]
}

#[test]
fn of_a_dense_layer() {
    let mut rng = rng(43);
    let mut worst = Worst::default();
    for [batch, inputs, outputs] in LAYERS {
        let (x, w) = (
            matrix(&mut rng, [batch, inputs]),
            matrix(&mut rng, [outputs, inputs]),
        );
        let b = random(&mut rng, &[outputs]);
        let y_bar = matrix(&mut rng, [batch, outputs]);
        let tape = Tape::new();
        let v = [
            tape.variable(x.clone()),
            tape.variable(w.clone()),
            tape.variable(b),
        ];
        let gradients = tape.pull_back(dense(&v), y_bar.clone(), &[]);
        let x_bar = y_bar.dot(&w);
        let w_bar = y_bar.t().dot(&x);
        let b_bar = y_bar.sum_axis(Axis(0));
        worst.entries(&owned(gradients.wrt(v[0])), &x_bar.into_dyn());
        worst.entries(&owned(gradients.wrt(v[1])), &w_bar.into_dyn());
        worst.entries(&owned(gradients.wrt(v[2])), &b_bar.into_dyn());
    }
    worst.within(REARRANGED, "dense layer: hand = autodiff");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(44);
    let mut checked = Checked::default();
    for [batch, inputs, outputs] in LAYERS {
        let shapes = [vec![batch, inputs], vec![outputs, inputs], vec![outputs]];
        let point = shapes.map(|shape| random(&mut rng, &shape));
        let check = Check::new("matmul-adjoint");
        // The square makes the layer's second derivative with respect to the weights something other than 0.
        let second = check.run_second_order(&point, |v| dense(v).square());
        checked.add(check.run(&point, dense).unwrap());
        checked.add(second.unwrap());
    }
    checked.print("dense layer");
}
