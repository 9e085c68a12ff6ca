//! Stacks of matrices, vectors, views, and products of nothing.

use elbo::autodiff::Tape;
use ndarray::{Array2, ArrayD, Axis, Dimension, Ix2, IxDyn, s};

use super::{naive_left, naive_product, naive_right};
use crate::common::arrays::owned;
use crate::common::comparing::{REARRANGED, Worst};
use crate::common::random::{matrix, random, rng};
use crate::gradients::shared::source_index;

/// Matrix by matrix: which one of A and of B met which one of C.
fn stack_by_hand(
    a: &ArrayD<f64>,
    b: &ArrayD<f64>,
    c_bar: &ArrayD<f64>,
) -> (ArrayD<f64>, ArrayD<f64>) {
    let stack = &c_bar.shape()[..c_bar.ndim() - 2];
    let (mut a_bar, mut b_bar) = (ArrayD::zeros(a.raw_dim()), ArrayD::zeros(b.raw_dim()));
    for index in ndarray::indices(stack) {
        let index = index.slice();
        let c_bar = picked(c_bar, index);
        let (a_i, b_i) = (picked(a, index), picked(b, index));
        add_at(&mut a_bar, index, &naive_left(c_bar.view(), b_i.view()));
        add_at(&mut b_bar, index, &naive_right(a_i.view(), c_bar.view()));
    }
    (a_bar, b_bar)
}

fn picked(array: &ArrayD<f64>, index: &[usize]) -> Array2<f64> {
    let mut view = array.view();
    for i in source_index(&array.shape()[..array.ndim() - 2], index) {
        view = view.index_axis_move(Axis(0), i);
    }
    view.to_owned().into_dimensionality::<Ix2>().unwrap()
}

fn add_at(array: &mut ArrayD<f64>, index: &[usize], term: &Array2<f64>) {
    let index = source_index(&array.shape()[..array.ndim() - 2], index);
    let mut view = array.view_mut();
    for i in index {
        view = view.index_axis_move(Axis(0), i);
    }
    view += &term.view().into_dyn();
}

#[test]
fn of_stacks() {
    // One matrix for the whole stack, or a stack that is itself repeated: its cotangents add.
    let mut rng = rng(45);
    let cases: [[&[usize]; 2]; 5] = [
        [&[4, 2, 3], &[4, 3, 5]],
        [&[4, 2, 3], &[3, 5]],
        [&[2, 3], &[4, 3, 5]],
        [&[3, 1, 2, 4], &[2, 4, 1]],
        [&[1, 3, 2], &[5, 2, 4]],
    ];
    let mut worst = Worst::default();
    for [left, right] in cases {
        let (a, b) = (random(&mut rng, left), random(&mut rng, right));
        let tape = Tape::new();
        let (va, vb) = (tape.variable(a.clone()), tape.variable(b.clone()));
        let c = va.matmul(vb);
        let c_bar = random(&mut rng, &c.shape());
        let gradients = tape.pull_back(c, c_bar.clone(), &[]);
        let (a_bar, b_bar) = stack_by_hand(&a, &b, &c_bar);
        worst.entries(&owned(gradients.wrt(va)), &a_bar);
        worst.entries(&owned(gradients.wrt(vb)), &b_bar);
    }
    worst.within(REARRANGED, "stacks: hand = autodiff");
}

#[test]
fn of_vectors() {
    // c = aᵀb: ā = c̄b. c = Ab: Ā = c̄bᵀ, b̄ = Aᵀc̄. c = aᵀB: ā = Bc̄, B̄ = ac̄ᵀ.
    let mut rng = rng(46);
    let (a, b, m) = (
        random(&mut rng, &[5]),
        random(&mut rng, &[5]),
        matrix(&mut rng, [5, 3]),
    );
    let (column, row) = (
        |v: &ArrayD<f64>| v.clone().insert_axis(Axis(1)),
        |v: &ArrayD<f64>| v.clone().insert_axis(Axis(0)),
    );
    let mut worst = Worst::default();
    let tape = Tape::new();
    let (va, vb, vm) = (
        tape.variable(a.clone()),
        tape.variable(b.clone()),
        tape.variable(m.clone()),
    );

    let gradients = tape.pull_back(va.matmul(vb), ndarray::arr0(-1.5), &[]);
    worst.entries(&owned(gradients.wrt(va)), &(&b * -1.5));
    worst.entries(&owned(gradients.wrt(vb)), &(&a * -1.5));

    let c_bar = random(&mut rng, &[5]);
    let (square, v_square) = {
        let square = matrix(&mut rng, [5, 5]);
        (square.clone(), tape.variable(square))
    };
    let gradients = tape.pull_back(v_square.matmul(vb), c_bar.clone(), &[]);
    worst.entries(&owned(gradients.wrt(v_square)), &(column(&c_bar) * row(&b)));
    let b_bar = naive_product(
        square.t(),
        column(&c_bar).into_dimensionality().unwrap().view(),
    );
    worst.entries(
        &owned(gradients.wrt(vb)),
        &b_bar.remove_axis(Axis(1)).into_dyn(),
    );

    let c_bar = random(&mut rng, &[3]);
    let gradients = tape.pull_back(va.matmul(vm), c_bar.clone(), &[]);
    let a_bar = naive_product(
        m.view(),
        column(&c_bar).into_dimensionality().unwrap().view(),
    );
    worst.entries(
        &owned(gradients.wrt(va)),
        &a_bar.remove_axis(Axis(1)).into_dyn(),
    );
    worst.entries(&owned(gradients.wrt(vm)), &(column(&a) * row(&c_bar)));
    worst.within(REARRANGED, "vectors: hand = autodiff");
}

#[test]
fn of_views_and_of_nothing() {
    let mut rng = rng(47);
    let tape = Tape::new();
    // Every second row and column of something larger, backwards.
    let wide = matrix(&mut rng, [6, 8]).into_shared();
    let view = wide.slice_move(s![..;-2, 1..;3]);
    let b = matrix(&mut rng, [3, 2]);
    let (va, vb) = (tape.variable(view.clone()), tape.variable(b.clone()));
    let c_bar = matrix(&mut rng, [3, 2]);
    let gradients = tape.pull_back(va.matmul(vb), c_bar.clone(), &[]);
    let mut worst = Worst::default();
    worst.entries(
        &owned(gradients.wrt(va)),
        &naive_left(c_bar.view(), b.view()).into_dyn(),
    );
    worst.entries(
        &owned(gradients.wrt(vb)),
        &naive_right(view.view(), c_bar.view()).into_dyn(),
    );
    worst.within(REARRANGED, "views: hand = autodiff");
    // A sum of no terms is 0, whatever the recycled buffer held.
    let mut tape = Tape::<f64>::new();
    let _ = tape.full(&[2, 3], f64::NAN);
    tape.reset();
    let (va, vb) = (
        tape.variable(Array2::zeros((2, 0))),
        tape.variable(Array2::zeros((0, 3))),
    );
    assert_eq!(va.matmul(vb).value(), ArrayD::<f64>::zeros(IxDyn(&[2, 3])));
}
