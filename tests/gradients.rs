//! Chapter 4 of the notes: each section's claims against finite differences, formulas written out by hand, and
//! oracles that reach the same numbers by another road.

mod common;

use common::{Checked, Statistics, Worst, gauss_hermite, owned, random};
use elbo::Scalar;
use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var, broadcast_shape};
use elbo::distributions::DiagonalGaussian;
use elbo::distributions::noise::standard_normal;
use elbo::nn::{self, Activation};
use ndarray::{Array1, Array2, ArrayD, ArrayView2, Axis, Dimension, Ix2, IxDyn, s};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// What rearranging a sum in f64 may change, relative to the largest entry.
const REARRANGED: f64 = 1e-13;

fn matrix(rng: &mut StdRng, rows: usize, columns: usize) -> Array2<f64> {
    random(rng, &[rows, columns]).into_dimensionality().unwrap()
}

fn inner(a: &ArrayD<f64>, b: &ArrayD<f64>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

// ---------------------------------------------------------------------------------------------------------
// matmul-adjoint

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
fn matmul_adjoint_by_naive_loops() {
    let mut rng = StdRng::seed_from_u64(41);
    let (mut forward, mut adjoint) = (Worst::default(), Worst::default());
    for [n, k, m] in SIZES {
        let (a, b) = (matrix(&mut rng, n, k), matrix(&mut rng, k, m));
        let c_bar = matrix(&mut rng, n, m);
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
fn matmul_adjoint_by_the_inner_product() {
    // ⟨C̄, dA B + A dB⟩ = ⟨Ā, dA⟩ + ⟨B̄, dB⟩ for every dA and dB.
    let mut rng = StdRng::seed_from_u64(42);
    let mut worst = Worst::default();
    for [n, k, m] in SIZES {
        let (a, b) = (matrix(&mut rng, n, k), matrix(&mut rng, k, m));
        let (da, db) = (matrix(&mut rng, n, k), matrix(&mut rng, k, m));
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
fn matmul_adjoint_of_a_dense_layer() {
    let mut rng = StdRng::seed_from_u64(43);
    let mut worst = Worst::default();
    for [batch, inputs, outputs] in LAYERS {
        let (x, w) = (
            matrix(&mut rng, batch, inputs),
            matrix(&mut rng, outputs, inputs),
        );
        let b = random(&mut rng, &[outputs]);
        let y_bar = matrix(&mut rng, batch, outputs);
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
fn matmul_adjoint_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(44);
    let (mut entries, mut worst) = (0, 0.0f64);
    for [batch, inputs, outputs] in LAYERS {
        let shapes = [vec![batch, inputs], vec![outputs, inputs], vec![outputs]];
        let point = shapes.map(|shape| random(&mut rng, &shape));
        let check = Check::new("matmul-adjoint");
        // The square makes the layer's second derivative with respect to the weights something other than 0.
        let reports = [
            check.run(&point, dense).unwrap(),
            check
                .run_second_order(&point, |v| dense(v).square())
                .unwrap(),
        ];
        for report in reports {
            entries += report.entries;
            worst = worst.max(report.worst);
        }
    }
    println!("dense layer: {entries} entries of Jacobians, worst {worst:.1e} of what is allowed");
}

/// f'(a), as the section on activations gives it.
fn slope(activation: Activation, a: f64) -> f64 {
    let sigmoid = |a: f64| 1.0 / (1.0 + (-a).exp());
    match activation {
        Activation::Identity => 1.0,
        Activation::Relu => f64::from(a > 0.0),
        Activation::Tanh => a.cosh().powi(-2),
        Activation::Sigmoid => sigmoid(a) * sigmoid(-a),
        Activation::Softplus => sigmoid(a),
    }
}

#[test]
fn matmul_adjoint_of_the_layer_that_trains() {
    // Layer, bias and activation in one operation: Ā = Ȳ ⊙ f'(A) takes the place of Ȳ.
    let mut rng = StdRng::seed_from_u64(48);
    let (mut by_hand, mut composed) = (Worst::default(), Worst::default());
    for (activation, [batch, inputs, outputs]) in every_layer() {
        let (x, w) = (
            matrix(&mut rng, batch, inputs),
            matrix(&mut rng, outputs, inputs),
        );
        let (b, y_bar) = (
            random(&mut rng, &[outputs]),
            matrix(&mut rng, batch, outputs),
        );
        let tape = Tape::new();
        let v = [
            tape.variable(x.clone()),
            tape.variable(w.clone()),
            tape.variable(b.clone()),
        ];
        let fused = nn::dense(v[0], v[1], v[2], activation);
        let gradients = tape.pull_back(fused, y_bar.clone(), &[]);
        let a = (naive_product(x.view(), w.t()).into_dyn() + b)
            .into_dimensionality::<Ix2>()
            .unwrap();
        let a_bar = &y_bar * &a.mapv(|a| slope(activation, a));
        let expected = [
            naive_product(a_bar.view(), w.view()).into_dyn(),
            naive_product(a_bar.t(), x.view()).into_dyn(),
            a_bar.sum_axis(Axis(0)).into_dyn(),
        ];
        let plain = activation.apply(dense(&v));
        let plain_gradients = tape.pull_back(plain, y_bar, &[]);
        composed.entries(&owned(fused.value()), &owned(plain.value()));
        for (v, expected) in v.into_iter().zip(&expected) {
            by_hand.entries(&owned(gradients.wrt(v)), expected);
            composed.entries(&owned(gradients.wrt(v)), &owned(plain_gradients.wrt(v)));
        }
    }
    by_hand.within(REARRANGED, "layer in one operation: hand = autodiff");
    composed.within(REARRANGED, "layer in one operation = composed of several");
}

fn every_layer() -> impl Iterator<Item = (Activation, [usize; 3])> {
    let with = |activation| LAYERS.into_iter().map(move |layer| (activation, layer));
    Activation::ALL.into_iter().flat_map(with)
}

#[test]
fn matmul_adjoint_of_the_layer_that_trains_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(49);
    let (mut entries, mut worst) = (0, 0.0f64);
    for (activation, [batch, inputs, outputs]) in every_layer() {
        // Data of one axis, and of three: the leading axes are all rows.
        for leading in [vec![batch], vec![], vec![2, batch]] {
            let data = [leading.as_slice(), &[inputs]].concat();
            let shapes = [data, vec![outputs, inputs], vec![outputs]];
            let point = shapes.map(|shape| random(&mut rng, &shape));
            let check = Check::new("matmul-adjoint");
            let report = check
                .run(&point, |v| nn::dense(v[0], v[1], v[2], activation))
                .unwrap();
            entries += report.entries;
            worst = worst.max(report.worst);
        }
        let point = [vec![batch, inputs], vec![outputs, inputs], vec![outputs]]
            .map(|s| random(&mut rng, &s));
        let report = Check::new("matmul-adjoint")
            .run_second_order(&point, |v| nn::dense(v[0], v[1], v[2], activation).square())
            .unwrap();
        entries += report.entries;
        worst = worst.max(report.worst);
    }
    println!(
        "layer in one operation: {entries} entries of Jacobians, worst {worst:.1e} of what is allowed"
    );
}

#[test]
fn matmul_adjoint_of_stacks() {
    // One matrix for the whole stack, or a stack that is itself repeated: its cotangents add.
    let mut rng = StdRng::seed_from_u64(45);
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

/// The indices of the entry that broadcasting puts at `index`, for leading axes of `shape`.
fn source_index(shape: &[usize], index: &[usize]) -> Vec<usize> {
    let skipped = index.len() - shape.len();
    let along = shape.iter().zip(&index[skipped..]);
    along
        .map(|(&length, &i)| if length == 1 { 0 } else { i })
        .collect()
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
fn matmul_adjoint_of_vectors() {
    // c = aᵀb: ā = c̄b. c = Ab: Ā = c̄bᵀ, b̄ = Aᵀc̄. c = aᵀB: ā = Bc̄, B̄ = ac̄ᵀ.
    let mut rng = StdRng::seed_from_u64(46);
    let (a, b, m) = (
        random(&mut rng, &[5]),
        random(&mut rng, &[5]),
        matrix(&mut rng, 5, 3),
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
        let square = matrix(&mut rng, 5, 5);
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
fn matmul_adjoint_of_views_and_of_nothing() {
    let mut rng = StdRng::seed_from_u64(47);
    let tape = Tape::new();
    // Every second row and column of something larger, backwards.
    let wide = matrix(&mut rng, 6, 8).into_shared();
    let view = wide.slice_move(s![..;-2, 1..;3]);
    let b = matrix(&mut rng, 3, 2);
    let (va, vb) = (tape.variable(view.clone()), tape.variable(b.clone()));
    let c_bar = matrix(&mut rng, 3, 2);
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

// ---------------------------------------------------------------------------------------------------------
// broadcast-adjoint

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

/// Does `from` broadcast to `to`? NumPy's rule, said once more.
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

/// (Bᵀȳ)_j = Σ ȳ_i over the i with s(i) = j, entry by entry.
fn sum_by_hand(y_bar: &ArrayD<f64>, from: &[usize]) -> ArrayD<f64> {
    let mut x_bar = ArrayD::zeros(IxDyn(from));
    for (i, &term) in y_bar.indexed_iter() {
        x_bar[IxDyn(&source_index(from, i.slice()))] += term;
    }
    x_bar
}

#[test]
fn broadcast_adjoint_dot_test() {
    let mut rng = StdRng::seed_from_u64(51);
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
    println!("{} pairs of shapes", pairs.len());
    oracle.within(REARRANGED, "broadcast and its adjoint = loops over indices");
    dot.within(REARRANGED, "⟨ȳ, Bx⟩ = ⟨Bᵀȳ, x⟩");
}

#[test]
fn broadcast_adjoint_and_conversely() {
    // The adjoint of the sum over axes is broadcasting over them.
    let mut rng = StdRng::seed_from_u64(52);
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

#[test]
fn broadcast_adjoint_inside_operations() {
    // y = ab: ā = Bₐᵀ(ȳ ⊙ b) and b̄ = B_bᵀ(ȳ ⊙ a), the arrays repeated to the common shape.
    let mut rng = StdRng::seed_from_u64(53);
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
    println!("{met} pairs of operands");
    worst.within(
        REARRANGED,
        "products of broadcast operands: hand = autodiff",
    );
}

/// The smallest shape that both broadcast to, found by trying.
fn meeting(left: &[usize], right: &[usize]) -> Option<Vec<usize>> {
    let both = every_shape()
        .into_iter()
        .filter(|to| fits(left, to) && fits(right, to));
    both.min_by_key(|to| (to.len(), to.iter().filter(|length| **length != 1).count()))
}

#[test]
fn broadcast_adjoint_where_uses_add() {
    // x + xᵀ of a column: y_ij = x_i + x_j, so x̄_i = Σ_j (ȳ_ij + ȳ_ji). Each use sums over its own axis.
    let mut rng = StdRng::seed_from_u64(54);
    let mut worst = Worst::default();
    for n in [1, 2, 5, 12] {
        let (x, y_bar) = (matrix(&mut rng, n, 1), matrix(&mut rng, n, n));
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
fn broadcast_adjoint_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(55);
    let pairs: Vec<_> = pairs()
        .into_iter()
        .filter(|(_, to)| to.iter().product::<usize>() > 0)
        .collect();
    let check = Check::new("broadcast-adjoint");
    let (mut entries, mut worst) = (0, 0.0f64);
    // The Jacobians are small, and one pair in five is enough: the others are in the tests above.
    for (from, to) in pairs.iter().step_by(5) {
        let point = [random(&mut rng, from), random(&mut rng, to)];
        let reports = [
            check.run(&point[..1], |v| v[0].broadcast_to(to)).unwrap(),
            check.run(&point[1..], |v| v[0].sum_to(from)).unwrap(),
            check
                .run_second_order(&point, |v| (v[0] * v[1]).sum_to(from))
                .unwrap(),
        ];
        for report in reports {
            entries += report.entries;
            worst = worst.max(report.worst);
        }
    }
    println!("{entries} entries of Jacobians, worst {worst:.1e} of what is allowed");
}

// ---------------------------------------------------------------------------------------------------------
// activation-derivatives

/// x, σ, σ', tanh, tanh', softplus and log σ, correctly rounded from 800 digits. Every x is a number of f64; all
/// but ±2⁻¹⁰⁰⁰ are numbers of f32, too. Written by
///
/// ```text
/// python3 - <<'END'
/// from decimal import Decimal as D, getcontext
/// getcontext().prec = 800
/// def row(x):
///     e = D(x).exp(); s = e / (1 + e); t = (e*e - 1) / (e*e + 1)
///     return x, *map(float, (s, s / (1 + e), t, 4*e*e / (e*e + 1)**2, (1 + e).ln(), s.ln()))
/// grid = [2.0**-1000, 2.0**-100, 2.0**-27, 2.0**-10, 0.125, 0.5, 1.0, 2.5, 5.0, 10.0, 18.25, 20.0, 36.5, 40.0,
///         80.0, 300.0, 700.0, 720.0, 745.0]
/// for x in [-x for x in grid[::-1]] + [0.0] + grid:
///     print("    [" + ", ".join(map(repr, row(x))) + "],")
/// END
/// ```
#[rustfmt::skip]
#[expect(clippy::approx_constant, reason = "log 2 is one of the results")]
const TABLE: [[f64; 7]; 39] = [
    [-745.0, 5e-324, 5e-324, -1.0, 0.0, 5e-324, -745.0],
    [-720.0, 2.0322308024e-313, 2.0322308024e-313, -1.0, 0.0, 2.0322308024e-313, -720.0],
    [-700.0, 9.85967654375977e-305, 9.85967654375977e-305, -1.0, 0.0, 9.85967654375977e-305, -700.0],
    [-300.0, 5.148200222412013e-131, 5.148200222412013e-131, -1.0, 1.0601586212017243e-260, 5.148200222412013e-131, -300.0],
    [-80.0, 1.8048513878454153e-35, 1.8048513878454153e-35, -1.0, 1.3029954128830085e-69, 1.8048513878454153e-35, -80.0],
    [-40.0, 4.248354255291589e-18, 4.248354255291589e-18, -1.0, 7.219405551381661e-35, 4.248354255291589e-18, -40.0],
    [-36.5, 1.4068617124461467e-16, 1.4068617124461464e-16, -1.0, 7.917039511787618e-32, 1.4068617124461467e-16, -36.5],
    [-20.0, 2.0611536181902037e-09, 2.061153613941849e-09, -1.0, 1.6993417021166355e-17, 2.061153620314381e-09, -20.000000002061153],
    [-18.25, 1.1861120010657661e-08, 1.1861119869971492e-08, -0.9999999999999997, 5.627446849784586e-16, 1.1861120081000745e-08, -18.25000001186112],
    [-10.0, 4.5397868702434395e-05, 4.5395807735951673e-05, -0.9999999958776927, 8.244614455767397e-09, 4.539889921686465e-05, -10.000045398899218],
    [-5.0, 0.0066928509242848554, 0.006648056670790155, -0.9999092042625951, 0.0001815832309438067, 0.006715348489118068, -5.006715348489118],
    [-2.5, 0.07585818002124355, 0.07010371654510816, -0.9866142981514303, 0.02659222668316062, 0.07888973429254963, -2.5788897342925496],
    [-1.0, 0.2689414213699951, 0.19661193324148185, -0.7615941559557649, 0.4199743416140261, 0.3132616875182228, -1.3132616875182228],
    [-0.5, 0.37754066879814546, 0.2350037122015945, -0.46211715726000974, 0.7864477329659274, 0.4740769841801067, -0.9740769841801067],
    [-0.125, 0.46879062662624377, 0.24902597501361748, -0.12435300177159621, 0.9845363309503934, 0.6325990353171691, -0.7575990353171691],
    [-0.0009765625, 0.49975585939440254, 0.2499999403953647, -0.0009765621895592603, 0.9999990463262899, 0.6926590185192302, -0.6936355810192302],
    [-7.450580596923828e-09, 0.49999999813735485, 0.25, -7.450580596923828e-09, 1.0, 0.693147176834655, -0.6931471842852356],
    [-7.888609052210118e-31, 0.5, 0.25, -7.888609052210118e-31, 1.0, 0.6931471805599453, -0.6931471805599453],
    [-9.332636185032189e-302, 0.5, 0.25, -9.332636185032189e-302, 1.0, 0.6931471805599453, -0.6931471805599453],
    [0.0, 0.5, 0.25, 0.0, 1.0, 0.6931471805599453, -0.6931471805599453],
    [9.332636185032189e-302, 0.5, 0.25, 9.332636185032189e-302, 1.0, 0.6931471805599453, -0.6931471805599453],
    [7.888609052210118e-31, 0.5, 0.25, 7.888609052210118e-31, 1.0, 0.6931471805599453, -0.6931471805599453],
    [7.450580596923828e-09, 0.5000000018626451, 0.25, 7.450580596923828e-09, 1.0, 0.6931471842852356, -0.693147176834655],
    [0.0009765625, 0.5002441406055974, 0.2499999403953647, 0.0009765621895592603, 0.9999990463262899, 0.6936355810192302, -0.6926590185192302],
    [0.125, 0.5312093733737563, 0.24902597501361748, 0.12435300177159621, 0.9845363309503934, 0.7575990353171691, -0.6325990353171691],
    [0.5, 0.6224593312018546, 0.2350037122015945, 0.46211715726000974, 0.7864477329659274, 0.9740769841801067, -0.4740769841801067],
    [1.0, 0.7310585786300049, 0.19661193324148185, 0.7615941559557649, 0.4199743416140261, 1.3132616875182228, -0.3132616875182228],
    [2.5, 0.9241418199787564, 0.07010371654510816, 0.9866142981514303, 0.02659222668316062, 2.5788897342925496, -0.07888973429254963],
    [5.0, 0.9933071490757152, 0.006648056670790155, 0.9999092042625951, 0.0001815832309438067, 5.006715348489118, -0.006715348489118068],
    [10.0, 0.9999546021312976, 4.5395807735951673e-05, 0.9999999958776927, 8.244614455767397e-09, 10.000045398899218, -4.539889921686465e-05],
    [18.25, 0.99999998813888, 1.1861119869971492e-08, 0.9999999999999997, 5.627446849784586e-16, 18.25000001186112, -1.1861120081000745e-08],
    [20.0, 0.9999999979388464, 2.061153613941849e-09, 1.0, 1.6993417021166355e-17, 20.000000002061153, -2.061153620314381e-09],
    [36.5, 0.9999999999999999, 1.4068617124461464e-16, 1.0, 7.917039511787618e-32, 36.5, -1.4068617124461467e-16],
    [40.0, 1.0, 4.248354255291589e-18, 1.0, 7.219405551381661e-35, 40.0, -4.248354255291589e-18],
    [80.0, 1.0, 1.8048513878454153e-35, 1.0, 1.3029954128830085e-69, 80.0, -1.8048513878454153e-35],
    [300.0, 1.0, 5.148200222412013e-131, 1.0, 1.0601586212017243e-260, 300.0, -5.148200222412013e-131],
    [700.0, 1.0, 9.85967654375977e-305, 1.0, 0.0, 700.0, -9.85967654375977e-305],
    [720.0, 1.0, 2.0322308024e-313, 1.0, 0.0, 720.0, -2.0322308024e-313],
    [745.0, 1.0, 5e-324, 1.0, 0.0, 745.0, -5e-324],
];

type Function<T> = for<'t> fn(Var<'t, T>) -> Var<'t, T>;

/// Value and slope at one number.
fn at<T: Scalar>(f: Function<T>, x: f64) -> [f64; 2] {
    let tape = Tape::new();
    let x = tape.variable(ndarray::arr0(T::of(x)));
    let y = f(x);
    let slope = tape.gradients(y).wrt(x);
    [y.item().as_f64(), slope.sum().as_f64()]
}

/// How many units of rounding ε off, relative to the expected value, or to the smallest normal number where the
/// expected value lies below it and numbers have fewer digits.
fn roundings<T: Scalar>(found: f64, expected: f64) -> f64 {
    assert!(found.is_finite(), "{found} instead of {expected}");
    let scale = expected.abs().max(T::min_positive_value().as_f64());
    (found - expected).abs() / (T::epsilon().as_f64() * scale)
}

/// A column of the table, as a function.
type Oracle = fn(f64) -> f64;

/// The functions with the oracles of value and derivative.
fn relative<T: Scalar>() -> [(&'static str, Function<T>, [Oracle; 2]); 3] {
    let sigmoid: [Oracle; 2] = [|x| row_at(x)[1], |x| row_at(x)[2]];
    let softplus: [Oracle; 2] = [|x| row_at(x)[5], |x| row_at(x)[1]];
    let log_sigmoid: [Oracle; 2] = [|x| row_at(x)[6], |x| row_at(-x)[1]];
    [
        ("sigmoid", |x| x.sigmoid(), sigmoid),
        ("softplus", |x| x.softplus(), softplus),
        ("log-sigmoid", |x| x.log_sigmoid(), log_sigmoid),
    ]
}

fn row_at(x: f64) -> [f64; 7] {
    *TABLE.iter().find(|row| row[0] == x).unwrap()
}

/// The rows up to ±`edge` whose x is a number of the type.
fn rows<T: Scalar>(edge: f64) -> impl Iterator<Item = [f64; 7]> {
    let exact = move |x: f64| x.abs() <= edge && T::of(x).as_f64() == x;
    TABLE.into_iter().filter(move |row| exact(row[0]))
}

fn relative_accuracy<T: Scalar>(edge: f64, least_rows: usize) {
    assert!(rows::<T>(edge).count() >= least_rows);
    for (name, f, [value, slope]) in relative::<T>() {
        let (mut worst_value, mut worst_slope) = (0.0f64, 0.0f64);
        for [x, ..] in rows::<T>(edge) {
            let [y, dy] = at(f, x);
            worst_value = worst_value.max(roundings::<T>(y, value(x)));
            worst_slope = worst_slope.max(roundings::<T>(dy, slope(x)));
        }
        println!(
            "{name} in {}: value {worst_value:.2} ε, derivative {worst_slope:.2} ε, relative",
            std::any::type_name::<T>()
        );
        assert!(worst_value <= 4.0, "{name}: value off by {worst_value} ε");
        assert!(
            worst_slope <= 4.0,
            "{name}: derivative off by {worst_slope} ε"
        );
    }
}

#[test]
fn activation_derivatives_keep_their_digits() {
    relative_accuracy::<f64>(745.0, 39);
    relative_accuracy::<f32>(80.0, 29);
}

fn tanh_accuracy<T: Scalar>(edge: f64) {
    let epsilon = T::epsilon().as_f64();
    let (mut value, mut absolute) = (0.0f64, 0.0f64);
    for row in rows::<T>(edge) {
        let [y, dy] = at::<T>(|x| x.tanh(), row[0]);
        value = value.max(roundings::<T>(y, row[3]));
        assert!(dy.is_finite(), "tanh' at {} = {dy}", row[0]);
        absolute = absolute.max((dy - row[4]).abs() / epsilon);
    }
    println!(
        "tanh in {}: value {value:.2} ε, relative; derivative {absolute:.2} ε, absolute",
        std::any::type_name::<T>()
    );
    assert!(value <= 4.0, "tanh: value off by {value} ε");
    assert!(absolute <= 4.0, "tanh: derivative off by {absolute} ε");
}

#[test]
fn activation_derivatives_of_tanh_keep_their_absolute_accuracy() {
    tanh_accuracy::<f64>(745.0);
    tanh_accuracy::<f32>(80.0);
    for x in [5.0, 10.0, 18.25, 20.0] {
        let [_, dy] = at::<f64>(|x| x.tanh(), x);
        let relative = (dy - row_at(x)[4]).abs() / row_at(x)[4];
        println!("1 - tanh² at {x}: relative error {relative:.1e}");
    }
    let [_, dy] = at::<f64>(|x| x.tanh(), 20.0);
    assert_eq!(dy, 0.0, "the notes say that nothing is left at 20");
}

#[test]
fn activation_derivatives_where_the_other_forms_fail() {
    let naive_sigmoid = |x: f64| x.exp() / (1.0 + x.exp());
    let naive_slope = |x: f64| naive_sigmoid(x) * (1.0 - naive_sigmoid(x));
    let naive_softplus = |x: f64| (1.0 + x.exp()).ln();
    // What the notes say of the forms that are not used.
    assert!(naive_sigmoid(745.0).is_nan());
    assert_eq!(naive_slope(40.0), 0.0);
    assert_eq!(naive_softplus(-40.0), 0.0);
    assert_eq!(naive_softplus(745.0), f64::INFINITY);
    // And of those that are, at the same points.
    assert_eq!(at::<f64>(|x| x.sigmoid(), 745.0), [1.0, 5e-324]);
    let [_, slope] = at::<f64>(|x| x.sigmoid(), 40.0);
    assert!(roundings::<f64>(slope, row_at(40.0)[2]) <= 4.0);
    let [value, _] = at::<f64>(|x| x.softplus(), -40.0);
    assert!(roundings::<f64>(value, row_at(-40.0)[5]) <= 4.0);
    assert_eq!(at::<f64>(|x| x.softplus(), 745.0), [745.0, 1.0]);
}

#[test]
fn activation_derivatives_of_relu() {
    for x in TABLE.map(|row| row[0]) {
        let expected = if x > 0.0 { [x, 1.0] } else { [0.0, 0.0] };
        assert_eq!(at::<f64>(|x| x.relu(), x), expected, "at {x}");
    }
}

/// The first and second derivatives as the notes give them, from y and x by plain arithmetic.
fn by_hand(name: &str, x: f64) -> [f64; 2] {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let slope = |x: f64| sigmoid(x) * sigmoid(-x);
    match name {
        "sigmoid" => [slope(x), slope(x) * (sigmoid(-x) - sigmoid(x))],
        "tanh" => {
            let y = x.tanh();
            [1.0 - y * y, -2.0 * y * (1.0 - y * y)]
        }
        "softplus" => [sigmoid(x), slope(x)],
        "log-sigmoid" => [sigmoid(-x), -slope(x)],
        "relu" => [if x > 0.0 { 1.0 } else { 0.0 }, 0.0],
        _ => unreachable!("{name}"),
    }
}

const ALL: [(&str, Function<f64>); 5] = [
    ("sigmoid", |x| x.sigmoid()),
    ("tanh", |x| x.tanh()),
    ("softplus", |x| x.softplus()),
    ("log-sigmoid", |x| x.log_sigmoid()),
    ("relu", |x| x.relu()),
];

#[test]
fn activation_derivatives_by_hand() {
    let mut rng = StdRng::seed_from_u64(61);
    let mut worst = Worst::default();
    for (name, f) in ALL {
        for shape in [&[][..], &[7], &[3, 5], &[2, 4, 3]] {
            let (x, y_bar) = (random(&mut rng, shape) * 5.0, random(&mut rng, shape));
            let tape = Tape::new();
            let vx = tape.variable(x.clone());
            let first = tape
                .differentiable_pull_back(f(vx), tape.constant(y_bar.clone()))
                .wrt(vx);
            let second = tape.gradients(first.sum()).wrt(vx);
            worst.entries(
                &owned(first.value()),
                &(&y_bar * &x.mapv(|x| by_hand(name, x)[0])),
            );
            worst.entries(&owned(second), &(&y_bar * &x.mapv(|x| by_hand(name, x)[1])));
        }
    }
    worst.within(REARRANGED, "first and second derivatives: hand = autodiff");
}

#[test]
fn activation_derivatives_of_second_order_are_finite_at_the_extremes() {
    for (name, f) in ALL {
        for x in TABLE.map(|row| row[0]) {
            let tape = Tape::new();
            let vx = tape.variable(ndarray::arr0(x));
            let slope = tape.differentiable_gradients(f(vx)).wrt(vx);
            let curvature = tape.gradients(slope).wrt(vx).sum();
            assert!(curvature.is_finite(), "{name}'' at {x} = {curvature}");
        }
    }
}

#[test]
fn activation_derivatives_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(62);
    let (mut entries, mut worst) = (0, 0.0f64);
    for (name, f) in ALL {
        for shape in [&[][..], &[5], &[3, 4], &[2, 1, 3]] {
            let point = [random(&mut rng, shape) * 2.0];
            let check = Check::new("activation-derivatives");
            let reports = [
                check.run(&point, |v| f(v[0])),
                check.run_second_order(&point, |v| f(v[0])),
            ];
            for report in reports {
                let report = report.unwrap_or_else(|failure| panic!("{name}: {failure}"));
                entries += report.entries;
                worst = worst.max(report.worst);
            }
        }
    }
    println!("{entries} entries of Jacobians, worst {worst:.1e} of what is allowed");
}

// ---------------------------------------------------------------------------------------------------------
// reparameterisation

fn sample<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let [mean, log_variance, noise] = [v[0], v[1], v[2]];
    DiagonalGaussian { mean, log_variance }.sample(noise)
}

/// μ + e^(s/2) ε, operation by operation.
fn sample_composed<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    v[0] + (v[1] * 0.5).exp() * v[2]
}

/// Shapes of μ, s and ε.
const SAMPLES: [[&[usize]; 3]; 7] = [
    [&[3], &[3], &[3]],
    [&[4, 2], &[4, 2], &[4, 2]],
    [&[4, 2], &[4, 2], &[5, 4, 2]],
    [&[2, 3], &[3], &[2, 3]],
    [&[1, 3], &[2, 1], &[4, 2, 3]],
    [&[3], &[], &[2, 3]],
    [&[1], &[1], &[1]],
];

#[test]
fn reparameterisation_by_hand() {
    let mut rng = StdRng::seed_from_u64(71);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for shapes in SAMPLES {
        let [mu, s, noise] = shapes.map(|shape| random(&mut rng, shape));
        let deviation = s.mapv(|s| (0.5 * s).exp());
        let z = &mu + &(&deviation * &noise);
        let z_bar = random(&mut rng, z.shape());
        let mu_bar = sum_by_hand(&z_bar, mu.shape());
        let s_bar = sum_by_hand(&(&z_bar * &(&z - &mu) * 0.5), s.shape());
        let noise_bar = sum_by_hand(&(&z_bar * &deviation), noise.shape());
        for f in [sample, sample_composed] {
            let tape = Tape::new();
            let v = [&mu, &s, &noise].map(|x| tape.variable(x.clone()));
            let y = f(&v);
            let gradients = tape.pull_back(y, z_bar.clone(), &[]);
            value.entries(&owned(y.value()), &z);
            gradient.entries(&owned(gradients.wrt(v[0])), &mu_bar);
            gradient.entries(&owned(gradients.wrt(v[1])), &s_bar);
            gradient.entries(&owned(gradients.wrt(v[2])), &noise_bar);
        }
    }
    value.within(REARRANGED, "sample: hand = autodiff");
    gradient.within(REARRANGED, "gradients of the sample: hand = autodiff");
}

#[test]
fn reparameterisation_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(72);
    let mut checked = Checked::default();
    for shapes in SAMPLES {
        let point = shapes.map(|shape| random(&mut rng, shape));
        let check = Check::new("reparameterisation");
        checked.add(check.run(&point, sample).unwrap());
        checked.add(
            check
                .run_second_order(&point, |v| sample(v).square())
                .unwrap(),
        );
    }
    checked.tell("first and second order");
}

#[test]
fn reparameterisation_keeps_the_digits_of_small_deviations() {
    let mut worst = Worst::default();
    for s in [0.0, -20.0, -40.0, -60.0, -80.0, -300.0] {
        let noise = 1.234567;
        let tape = Tape::new();
        let v = [3.0, s, noise].map(|x| tape.variable(ndarray::arr0(x)));
        let z = sample(&v);
        let found = tape.gradients(z).wrt(v[1]).sum();
        let expected = 0.5 * f64::exp(0.5 * s) * noise;
        worst.number(found, expected, expected);
        let from_z = 0.5 * (z.item() - 3.0);
        println!(
            "s = {s}: ½(z - μ) is off by {:.1e}",
            (from_z / expected - 1.0).abs()
        );
        assert!(s > -80.0 || from_z == 0.0, "the notes say that it is 0");
    }
    worst.within(1e-14, "∂z/∂s, relative");
}

/// sin is not among the crate's operations; as a derivative sin' x = sin(x + π/2).
fn sin(x: Var<'_, f64>) -> Var<'_, f64> {
    x.map("sin", f64::sin, |p| {
        p.cotangent * sin(p.input(0) + std::f64::consts::FRAC_PI_2)
    })
}

/// E f(z) for z ~ N(μ, v), and its derivatives with respect to μ and s = log v.
type Expectation = fn(f64, f64) -> [f64; 3];

/// Functions with expectations in closed form. As dv/ds = v, the last entry is v times the derivative with respect to v.
const SMOOTH: [(&str, Function<f64>, Expectation); 4] = [
    ("z²", |z| z.square(), |mu, v| [mu * mu + v, 2.0 * mu, v]),
    (
        "z⁴",
        |z| z.powi(4),
        |mu, v| {
            [
                mu.powi(4) + 6.0 * mu * mu * v + 3.0 * v * v,
                4.0 * mu.powi(3) + 12.0 * mu * v,
                v * (6.0 * mu * mu + 6.0 * v),
            ]
        },
    ),
    ("sin z", sin, |mu, v| {
        let damping = (-0.5 * v).exp();
        [
            damping * mu.sin(),
            damping * mu.cos(),
            -0.5 * v * damping * mu.sin(),
        ]
    }),
    (
        "e^z",
        |z| z.exp(),
        |mu, v| {
            let mean = (mu + 0.5 * v).exp();
            [mean, mean, 0.5 * v * mean]
        },
    ),
];

/// The standard normal density.
fn normal_density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

/// P(ε <= x), by the trapezium rule from -12 on; the error is about 1e-8.
fn normal_distribution(x: f64) -> f64 {
    let steps = 20_000;
    let width = (x + 12.0) / steps as f64;
    let inside: f64 = (1..steps)
        .map(|i| normal_density(-12.0 + width * i as f64))
        .sum();
    (inside + 0.5 * normal_density(x)) * width
}

/// max(z, 0) has a kink, and no jump: E = μ Φ(μ/σ) + σ φ(μ/σ).
const WITH_A_KINK: (&str, Function<f64>, Expectation) = (
    "max(z, 0)",
    |z| z.relu(),
    |mu, v| {
        let sigma = v.sqrt();
        let (below, density) = (normal_distribution(mu / sigma), normal_density(mu / sigma));
        [mu * below + sigma * density, below, 0.5 * sigma * density]
    },
);

/// Means and log-variances.
const GAUSSIANS: [[f64; 2]; 5] = [
    [0.3, -1.0],
    [-1.2, 0.4],
    [0.0, 0.0],
    [0.5, -1.5],
    [-0.7, 1.0],
];

#[test]
fn reparameterisation_by_quadrature() {
    let (nodes, weights): (Vec<f64>, Vec<f64>) = gauss_hermite(40).into_iter().unzip();
    let mut worst = Worst::default();
    for (_, f, exact) in SMOOTH {
        for [mu, s] in GAUSSIANS {
            let tape = Tape::new();
            let [mean, log_variance] = [mu, s].map(|x| tape.variable(ndarray::arr0(x)));
            let z = sample(&[
                mean,
                log_variance,
                tape.constant(Array1::from(nodes.clone())),
            ]);
            let expectation = (f(z) * tape.constant(Array1::from(weights.clone()))).sum();
            let gradients = tape.gradients(expectation);
            let found = [
                expectation.item(),
                gradients.wrt(mean).sum(),
                gradients.wrt(log_variance).sum(),
            ];
            let expected = exact(mu, s.exp());
            for (found, expected) in found.into_iter().zip(expected) {
                worst.number(found, expected, expected.abs().max(1.0));
            }
        }
    }
    worst.within(
        1e-12,
        "Gauss–Hermite expectation and its gradient = closed form",
    );
}

/// The pathwise gradients of single samples, with respect to μ and s.
fn pathwise(f: Function<f64>, [mu, s]: [f64; 2], rng: &mut StdRng) -> [ArrayD<f64>; 2] {
    const DRAWS: usize = 100_000;
    let tape = Tape::new();
    // One mean and one log-variance for each draw, so that each draw has its own gradient.
    let [mean, log_variance] = [mu, s].map(|x| tape.variable(Array1::from_elem(DRAWS, x)));
    let z = sample(&[mean, log_variance, standard_normal(&tape, &[DRAWS], rng)]);
    let gradients = tape.gradients(f(z).sum());
    [mean, log_variance].map(|v| owned(gradients.wrt(v)))
}

#[test]
fn reparameterisation_is_unbiased() {
    let mut rng = StdRng::seed_from_u64(73);
    let mut worst = 0.0f64;
    for (name, f, exact) in SMOOTH.into_iter().chain([WITH_A_KINK]) {
        for at in GAUSSIANS {
            let [_, to_mean, to_log_variance] = exact(at[0], at[1].exp());
            let [mean, log_variance] = pathwise(f, at, &mut rng);
            let what = format!("{name} at μ = {}, s = {}", at[0], at[1]);
            for (draws, exact) in [(mean, to_mean), (log_variance, to_log_variance)] {
                worst = worst.max(Statistics::of(&draws).agree_with(exact, &what));
            }
        }
    }
    println!("worst: {worst:.2} standard errors");
}

/// 1 for z > 0, else 0; its derivative is 0 wherever it has one.
fn step(z: Var<'_, f64>) -> Var<'_, f64> {
    z.map(
        "step",
        |z| if z > 0.0 { 1.0 } else { 0.0 },
        |p| p.cotangent * 0.0,
    )
}

#[test]
fn reparameterisation_fails_for_a_step() {
    let mut rng = StdRng::seed_from_u64(74);
    for [mu, s] in GAUSSIANS {
        let sigma = (0.5 * s).exp();
        // ∂μ P(z > 0) = N(0; μ, σ²), which is N(μ; 0, σ²).
        let exact = normal_density(mu / sigma) / sigma;
        let [mean, log_variance] = pathwise(step, [mu, s], &mut rng);
        assert!(
            mean.iter()
                .chain(&log_variance)
                .all(|&gradient| gradient == 0.0)
        );

        // The difference quotients at frozen noise: the fewer draws cross 0, the larger each quotient. Their mean stays.
        for h in [0.1, 0.01] {
            let tape = Tape::new();
            let noise = standard_normal(&tape, &[400_000], &mut rng);
            let at = |mu| {
                let [mean, log_variance] = [mu, s].map(|x| tape.constant(ndarray::arr0(x)));
                step(sample(&[mean, log_variance, noise]))
            };
            let quotients = owned(((at(mu + h) - at(mu - h)) / (2.0 * h)).value());
            let crossed = quotients.iter().filter(|&&q| q != 0.0).count() as f64 / 4e5;
            let secant =
                normal_distribution((mu + h) / sigma) - normal_distribution((mu - h) / sigma);
            println!(
                "μ = {mu}, s = {s}: pathwise 0, exact {exact:.4}; h = {h}: {:.2} % of the quotients are {:.0}",
                100.0 * crossed,
                0.5 / h
            );
            Statistics::of(&quotients).agree_with(secant / (2.0 * h), "quotients");
            if h == 0.01 {
                Statistics::of(&quotients).agree_with(exact, "quotients against the derivative");
            }
        }
    }
}
