//! Chapter 4 of the notes: each section's claims against finite differences, formulas written out by hand, and
//! oracles that reach the same numbers by another road.

mod common;

use common::{Checked, Statistics, Worst, gauss_hermite, owned, random};
use elbo::Scalar;
use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Trace, Var, broadcast_shape};
use elbo::distributions::noise::{standard_normal, standard_uniform};
use elbo::distributions::{Categorical, DiagonalGaussian, Estimate};
use elbo::gradients::{
    Baseline, Draws, GaussianParameters, NoGradient, NoNearest, best_baseline,
    categorical_score_gradient, estimator_a, estimator_b, hessian_product, nearest,
    pathwise_gradient, push_forward, score_gradient, softmax_jacobian, square_variances,
    sticking_the_landing, straight_through,
};
use elbo::kl::Nodes;
use elbo::nn::{self, Activation, Adam, ParameterGradients, Parameters, Sgd};
use ndarray::{
    Array1, Array2, ArrayD, ArrayView2, Axis, Dimension, Ix2, IxDyn, arr0, arr1, arr2, s,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

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

// ---------------------------------------------------------------------------------------------------------
// What the estimators share

/// Normal noise in rows.
fn normal_noise(rng: &mut StdRng, draws: usize, dimensions: usize) -> Array2<f64> {
    let tape = Tape::new();
    let noise = standard_normal(&tape, &[draws, dimensions], rng).value();
    noise.into_owned().into_dimensionality().unwrap()
}

fn vector(rng: &mut StdRng, length: usize) -> Array1<f64> {
    random(rng, &[length]).into_dimensionality().unwrap()
}

fn gaussian(rng: &mut StdRng, dimensions: usize) -> GaussianParameters {
    GaussianParameters {
        mean: vector(rng, dimensions),
        log_variance: vector(rng, dimensions) * 0.5,
    }
}

fn univariate(mean: f64, log_variance: f64) -> GaussianParameters {
    GaussianParameters {
        mean: arr1(&[mean]),
        log_variance: arr1(&[log_variance]),
    }
}

/// z = μ + σ ⊙ ε in rows.
fn moved(q: &GaussianParameters, noise: &Array2<f64>) -> Array2<f64> {
    &q.mean + &(&q.log_variance.mapv(|s| (0.5 * s).exp()) * noise)
}

/// The scores (z-μ)/σ² and ½((z-μ)²/σ² - 1), side by side.
fn scores_by_hand(q: &GaussianParameters, z: &Array2<f64>) -> Array2<f64> {
    let variance = q.log_variance.mapv(f64::exp);
    let offset = z - &q.mean;
    let to_log_variance = (&offset * &offset / &variance - 1.0) * 0.5;
    ndarray::concatenate![Axis(1), &offset / &variance, to_log_variance]
}

/// A function of rows that is no polynomial, with the matrix that makes it one of all dimensions: Σ_j tanh(zA)_j + |z|²/4.
fn bent<'t>(z: Var<'t, f64>, a: &Array2<f64>) -> Var<'t, f64> {
    let a = z.tape().constant(a.clone());
    z.matmul(a).tanh().sum_last() + z.square().sum_last() * 0.25
}

fn bent_by_hand(z: &Array2<f64>, a: &Array2<f64>) -> Array1<f64> {
    z.dot(a).mapv(f64::tanh).sum_axis(Axis(1)) + (z * z).sum_axis(Axis(1)) * 0.25
}

fn dynamic(array: &Array2<f64>) -> ArrayD<f64> {
    array.clone().into_dyn()
}

/// All entries of a gradient within 4 standard errors; how far the worst is.
fn unbiased(draws: &Draws, exact: &Array1<f64>, what: &str) -> f64 {
    let gradient = draws.estimate();
    let distances = gradient.entries.iter().zip(exact);
    distances
        .map(|(entry, exact)| {
            let distance = entry.distance(*exact).abs();
            assert!(distance <= 4.0, "{what}: {entry}, exact {exact}");
            distance
        })
        .fold(0.0, f64::max)
}

// ---------------------------------------------------------------------------------------------------------
// score-function-estimator

#[test]
fn score_function_estimator_by_hand() {
    let mut rng = StdRng::seed_from_u64(101);
    let mut worst = Worst::default();
    for (n, d) in [(1, 1), (7, 2), (4, 5), (9, 3)] {
        let (q, noise, a) = (
            gaussian(&mut rng, d),
            normal_noise(&mut rng, n, d),
            matrix(&mut rng, d, 3),
        );
        let z = moved(&q, &noise);
        let s = scores_by_hand(&q, &z);
        let f = bent_by_hand(&z, &a).insert_axis(Axis(1));
        let b = vector(&mut rng, 2 * d);
        let cases = [
            (Baseline::None, &f * &s),
            (Baseline::Constant(0.7), (&f - 0.7) * &s),
            (Baseline::Entries(b.clone()), &f * &s - &s * &b),
        ];
        for (baseline, expected) in cases {
            let draws = score_gradient(&q, noise.view(), |_, z| bent(z, &a), &baseline).unwrap();
            worst.entries(&dynamic(&draws.gradients().to_owned()), &dynamic(&expected));
        }
        // q within f: (f + μ·z + Σs) s, and its own gradient at fixed z, which is z and 1.
        let draws = score_gradient(
            &q,
            noise.view(),
            |q, z| bent(z, &a) + (q.mean * z).sum_last() + q.log_variance.sum_last(),
            &Baseline::None,
        )
        .unwrap();
        let f =
            (f.column(0).to_owned() + z.dot(&q.mean) + q.log_variance.sum()).insert_axis(Axis(1));
        let direct = ndarray::concatenate![Axis(1), z, Array2::ones((n, d))];
        worst.entries(
            &dynamic(&draws.gradients().to_owned()),
            &dynamic(&(&f * &s + direct)),
        );
    }
    worst.within(1e-12, "single draws: hand = estimator");
}

#[test]
fn score_function_estimator_is_the_gradient_of_the_log_density() {
    // Σ f log q_φ(z) at frozen f and z: an ordinary function of φ, whose gradient the estimator adds up.
    let mut rng = StdRng::seed_from_u64(102);
    let (mut checked, mut worst) = (Checked::default(), Worst::default());
    for (n, d) in [(3, 1), (4, 2), (2, 4)] {
        let (q, noise, a) = (
            gaussian(&mut rng, d),
            normal_noise(&mut rng, n, d),
            matrix(&mut rng, d, 3),
        );
        let z = moved(&q, &noise);
        let f = bent_by_hand(&z, &a);
        let point = [q.mean.clone().into_dyn(), q.log_variance.clone().into_dyn()];
        let tape = Tape::new();
        let v = point.clone().map(|x| tape.variable(x));
        let gradients = tape.gradients(weighed_density(&v, &z, &f));
        let on_tape = v.map(|v| owned(gradients.wrt(v)));
        let check = Check::new("score-function-estimator");
        checked.add(check.run(&point, |v| weighed_density(v, &z, &f)).unwrap());
        checked.add(
            check
                .run_second_order(&point, |v| weighed_density(v, &z, &f))
                .unwrap(),
        );
        let draws = score_gradient(&q, noise.view(), |_, z| bent(z, &a), &Baseline::None).unwrap();
        let sum = draws.gradients().sum_axis(Axis(0));
        let expected = ndarray::concatenate![Axis(0), on_tape[0], on_tape[1]];
        worst.entries(&sum.into_dyn(), &expected);
    }
    worst.within(1e-12, "sum of the draws = gradient of Σ f log q");
    checked.tell("Σ f log q, first and second order");
}

fn weighed_density<'t>(v: &[Var<'t, f64>], z: &Array2<f64>, f: &Array1<f64>) -> Var<'t, f64> {
    let tape = v[0].tape();
    let q = DiagonalGaussian {
        mean: v[0],
        log_variance: v[1],
    };
    (q.log_density(tape.constant(z.clone())) * tape.constant(f.clone())).sum()
}

/// (wᵀz)², its expectation (wᵀμ)² + Σ w²σ², and the gradient of that.
fn squared_projection<'t>(z: Var<'t, f64>, w: &Array1<f64>) -> Var<'t, f64> {
    (z * z.tape().constant(w.clone())).sum_last().square()
}

fn squared_projection_exact(q: &GaussianParameters, w: &Array1<f64>) -> Array1<f64> {
    let by_mean = w * (2.0 * w.dot(&q.mean));
    let by_log_variance = w * w * q.log_variance.mapv(f64::exp);
    ndarray::concatenate![Axis(0), by_mean, by_log_variance]
}

#[test]
fn score_function_estimator_has_the_right_mean_for_every_baseline() {
    let mut rng = StdRng::seed_from_u64(103);
    let mut worst = Worst::default();
    for d in [1, 2, 3] {
        let (q, w) = (gaussian(&mut rng, d), vector(&mut rng, d));
        let nodes = Nodes::gauss_hermite(8, d);
        let best = best_baseline(&q, &nodes, |_, z| squared_projection(z, &w)).unwrap();
        let baselines = [
            Baseline::None,
            Baseline::Constant(5.0),
            Baseline::Constant(-300.0),
            Baseline::Entries(best),
        ];
        let exact = squared_projection_exact(&q, &w);
        for baseline in baselines {
            let noise = nodes.points().view();
            let draws = score_gradient(&q, noise, |_, z| squared_projection(z, &w), &baseline);
            let [mean, _] = draws.unwrap().moments(nodes.weights().view());
            worst.entries(&mean.into_dyn(), &exact.clone().into_dyn());
        }
    }
    worst.within(1e-12, "E[(f - b) s] by quadrature = closed form");
}

#[test]
fn score_function_estimator_of_classes_by_enumeration() {
    let mut rng = StdRng::seed_from_u64(104);
    let (mut worst, mut single) = (Worst::default(), Worst::default());
    for classes in 1..=7 {
        let mut logits = vector(&mut rng, classes);
        if classes > 4 {
            // An impossible class is never drawn, and its logit has no gradient.
            logits[1] = f64::NEG_INFINITY;
        }
        let f = vector(&mut rng, classes);
        let total: f64 = logits.mapv(f64::exp).sum();
        let p = logits.mapv(|a| a.exp() / total);
        let possible: Vec<usize> = (0..classes).filter(|&k| p[k] > 0.0).collect();
        let one_hot = Array2::eye(classes).select(Axis(0), &possible);
        let weights = p.select(Axis(0), &possible);
        // ∂/∂a_j Σ p_k f_k = p_j (f_j - Σ p f).
        let exact = &p * &(&f - p.dot(&f));
        for baseline in [
            Baseline::None,
            Baseline::Constant(-20.0),
            Baseline::Entries(f.clone()),
        ] {
            let draws = categorical_score_gradient(
                logits.view(),
                one_hot.view(),
                |_, z| (z * z.tape().constant(f.clone())).sum_last(),
                &baseline,
            )
            .unwrap();
            for (row, &k) in draws.gradients().outer_iter().zip(&possible) {
                let b = match &baseline {
                    Baseline::None => Array1::zeros(classes),
                    Baseline::Constant(b) => Array1::from_elem(classes, *b),
                    Baseline::Entries(b) => b.clone(),
                    Baseline::LeaveOneOut => unreachable!("not among them"),
                };
                let score = Array1::from_shape_fn(classes, |j| f64::from(j == k) - p[j]);
                single.entries(
                    &row.to_owned().into_dyn(),
                    &((f[k] - &b) * score).into_dyn(),
                );
            }
            let [mean, _] = draws.moments(weights.view());
            for (found, exact) in mean.iter().zip(&exact) {
                worst.number(*found, *exact, 20.0);
            }
        }
    }
    single.within(1e-12, "single classes: hand = estimator");
    worst.within(1e-14, "sum over all classes = closed form");
}

#[test]
fn score_function_estimator_is_unbiased_for_every_constant() {
    let mut rng = StdRng::seed_from_u64(105);
    let mut worst = 0.0f64;
    let noise = normal_noise(&mut rng, 100_000, 2);
    let (q, w) = (gaussian(&mut rng, 2), vector(&mut rng, 2));
    let exact = squared_projection_exact(&q, &w);
    let baselines = [
        Baseline::None,
        Baseline::Constant(2.0),
        Baseline::Constant(-9.0),
        Baseline::Entries(vector(&mut rng, 4)),
        Baseline::LeaveOneOut,
    ];
    for baseline in baselines {
        let draws = score_gradient(
            &q,
            noise.view(),
            |_, z| squared_projection(z, &w),
            &baseline,
        );
        worst = worst.max(unbiased(&draws.unwrap(), &exact, &format!("{baseline:?}")));
    }
    println!("worst of 20 entries: {worst:.2} standard errors");
}

#[test]
fn score_function_estimator_sees_a_step() {
    // Where the pathwise gradient is 0 at every draw, the score finds N(μ; 0, σ²).
    let mut rng = StdRng::seed_from_u64(106);
    let noise = normal_noise(&mut rng, 100_000, 1);
    let mut worst = 0.0f64;
    for [mu, s] in GAUSSIANS {
        let sigma = (0.5 * s).exp();
        let to_mean = normal_density(mu / sigma) / sigma;
        let exact = arr1(&[to_mean, -0.5 * mu * to_mean]);
        let q = univariate(mu, s);
        for baseline in [Baseline::None, Baseline::LeaveOneOut] {
            let draws = score_gradient(&q, noise.view(), |_, z| step(z).sum_last(), &baseline);
            worst = worst.max(unbiased(&draws.unwrap(), &exact, "step"));
        }
        let path = pathwise_gradient(&q, noise.view(), |_, z| step(z).sum_last()).unwrap();
        assert!(path.gradients().iter().all(|&g| g == 0.0));
    }
    println!("worst of 20 entries: {worst:.2} standard errors");
}

#[test]
fn score_function_estimator_of_classes_is_unbiased() {
    let mut rng = StdRng::seed_from_u64(107);
    let logits = vector(&mut rng, 5);
    let f = vector(&mut rng, 5);
    let tape = Tape::new();
    let q = Categorical {
        logits: tape.constant(Array2::from_shape_fn((100_000, 5), |(_, k)| logits[k])),
    };
    let z = q
        .sample(standard_uniform(&tape, &[100_000, 1], &mut rng))
        .value();
    let z: Array2<f64> = z.into_owned().into_dimensionality().unwrap();
    let p = logits.mapv(f64::exp) / logits.mapv(f64::exp).sum();
    let exact = &p * &(&f - p.dot(&f));
    let mut worst = 0.0f64;
    for baseline in [
        Baseline::None,
        Baseline::Constant(3.0),
        Baseline::LeaveOneOut,
    ] {
        let draws = categorical_score_gradient(
            logits.view(),
            z.view(),
            |_, z| (z * z.tape().constant(f.clone())).sum_last(),
            &baseline,
        );
        worst = worst.max(unbiased(&draws.unwrap(), &exact, "classes"));
    }
    println!("worst of 15 entries: {worst:.2} standard errors");
}

#[test]
fn score_function_estimator_has_a_best_baseline() {
    // Var(b) = Var(b*) + (b - b*)² E s², for each entry by itself.
    let mut rng = StdRng::seed_from_u64(108);
    let (mut parabola, mut best_is) = (Worst::default(), Worst::default());
    for d in [1, 2, 3] {
        let (q, a) = (gaussian(&mut rng, d), matrix(&mut rng, d, 2));
        let nodes = Nodes::gauss_hermite(12, d);
        let (noise, weights) = (nodes.points(), nodes.weights().view());
        let best = best_baseline(&q, &nodes, |_, z| bent(z, &a)).unwrap();
        let z = moved(&q, noise);
        let (f, s) = (
            bent_by_hand(&z, &a).insert_axis(Axis(1)),
            scores_by_hand(&q, &z),
        );
        let squares = &s * &s;
        let by_hand = weights.dot(&(&f * &squares)) / weights.dot(&squares);
        best_is.entries(&best.clone().into_dyn(), &by_hand.into_dyn());
        let variance = |b: Array1<f64>| {
            let baseline = Baseline::Entries(b);
            let draws = score_gradient(&q, noise.view(), |_, z| bent(z, &a), &baseline).unwrap();
            let [_, variance] = draws.moments(weights);
            variance
        };
        let least = variance(best.clone());
        for _ in 0..5 {
            let offset = vector(&mut rng, 2 * d);
            let expected = &least + &(&offset * &offset * weights.dot(&squares));
            let found = variance(&best + &offset);
            parabola.entries(&found.into_dyn(), &expected.into_dyn());
        }
    }
    best_is.within(1e-12, "best baseline = E[f s²]/E[s²]");
    parabola.within(1e-12, "variance = its least + (b - b*)² E s²");
}

#[test]
fn score_function_estimator_has_a_best_baseline_where_f_has_parameters() {
    // f = μ z + s: b* = E[(f S + ∇f) S]/E[S²], for the mean with ∇f = z: E[(μz + s)ε² + σzε] = μ² + s + σ². For the
    // log-variance ∇f = 1 adds E S = 0.
    let mut rng = StdRng::seed_from_u64(110);
    let nodes = Nodes::gauss_hermite(8, 1);
    let mut worst = Worst::default();
    for _ in 0..10 {
        let q = gaussian(&mut rng, 1);
        let (mu, s) = (q.mean[0], q.log_variance[0]);
        let best = best_baseline(&q, &nodes, |q, z| {
            (q.mean * z).sum_last() + q.log_variance.sum_last()
        })
        .unwrap();
        let exact = arr1(&[mu * mu + s + s.exp(), mu * mu + s]);
        worst.entries(&best.into_dyn(), &exact.into_dyn());
    }
    worst.within(1e-12, "best baseline of μz + s = closed form");
}

/// (f_i - b_i) s_i + ∇f_i, with b_i = Σ g s / Σ s² over all rows but i, where g = f s + ∇f.
fn leave_one_out_by_hand(f: &Array1<f64>, s: &Array2<f64>, direct: &Array2<f64>) -> Array2<f64> {
    let g = |j: usize, entry: usize| f[j] * s[[j, entry]] + direct[[j, entry]];
    Array2::from_shape_fn(s.dim(), |(i, entry)| {
        let others = || (0..f.len()).filter(|&j| j != i);
        let products: f64 = others().map(|j| g(j, entry) * s[[j, entry]]).sum();
        let squares: f64 = others().map(|j| s[[j, entry]].powi(2)).sum();
        let b = if squares > 0.0 {
            products / squares
        } else {
            0.0
        };
        g(i, entry) - b * s[[i, entry]]
    })
}

#[test]
fn score_function_estimator_leaves_one_out_by_hand() {
    let mut rng = StdRng::seed_from_u64(114);
    let mut worst = Worst::default();
    for (n, d) in [(1, 2), (2, 1), (4, 1), (4, 3), (7, 2)] {
        let (q, noise) = (gaussian(&mut rng, d), normal_noise(&mut rng, n, d));
        let a = matrix(&mut rng, d, 3);
        let z = moved(&q, &noise);
        let (f, s) = (bent_by_hand(&z, &a), scores_by_hand(&q, &z));
        let one_out = Baseline::LeaveOneOut;
        let draws = score_gradient(&q, noise.view(), |_, z| bent(z, &a), &one_out).unwrap();
        let expected = leave_one_out_by_hand(&f, &s, &Array2::zeros(s.dim()));
        worst.entries(&dynamic(&draws.gradients().to_owned()), &dynamic(&expected));
        let with_parameters = score_gradient(
            &q,
            noise.view(),
            |q, z| bent(z, &a) + (q.mean * z).sum_last() + q.log_variance.sum_last(),
            &one_out,
        );
        let f = f + z.dot(&q.mean) + q.log_variance.sum();
        let direct = ndarray::concatenate![Axis(1), z, Array2::ones((n, d))];
        let expected = leave_one_out_by_hand(&f, &s, &direct);
        let found = with_parameters.unwrap().gradients().to_owned();
        worst.entries(&dynamic(&found), &dynamic(&expected));
    }
    // Classes: the scores are e_k - p.
    let (logits, f) = (vector(&mut rng, 3), vector(&mut rng, 3));
    let p = logits.mapv(f64::exp) / logits.mapv(f64::exp).sum();
    let classes = [0, 2, 1, 2];
    let one_hot = Array2::<f64>::eye(3).select(Axis(0), &classes);
    let draws = categorical_score_gradient(
        logits.view(),
        one_hot.view(),
        |_, z| (z * z.tape().constant(f.clone())).sum_last(),
        &Baseline::LeaveOneOut,
    );
    let values = f.select(Axis(0), &classes);
    let expected = leave_one_out_by_hand(&values, &(&one_hot - &p), &Array2::zeros((4, 3)));
    let found = draws.unwrap().gradients().to_owned();
    worst.entries(&dynamic(&found), &dynamic(&expected));
    worst.within(1e-12, "b* of the other draws: hand = estimator");
}

fn constant(z: Var<'_, f64>, f: f64) -> Var<'_, f64> {
    z.sum_last() * 0.0 + f
}

#[test]
fn score_function_estimator_takes_a_constant_away_entirely() {
    // b* of a constant is that constant, and (f - b)s is 0: also where s² overflows or is 0 in f64.
    let nodes = Nodes::gauss_hermite(8, 1);
    let mut rng = StdRng::seed_from_u64(115);
    let noise = normal_noise(&mut rng, 5, 1);
    for log_variance in [-1400.0, -720.0, 0.0, 0.3, 760.0, 1400.0] {
        let q = univariate(0.5, log_variance);
        for f in [1.0, 1000.0, -0.1] {
            let best = best_baseline(&q, &nodes, |_, z| constant(z, f));
            assert_eq!(best, Ok(arr1(&[f, f])), "{log_variance}");
            let one_out = Baseline::LeaveOneOut;
            let draws = score_gradient(&q, noise.view(), |_, z| constant(z, f), &one_out).unwrap();
            assert!(draws.gradients().iter().all(|&g| g == 0.0), "{draws:?}");
        }
    }
    // At σ = e^-360 every z is 1: z² is 1 as well, and μz has b* = μ² + σ² = 1.
    let narrow = univariate(1.0, -720.0);
    let square = best_baseline(&narrow, &nodes, |_, z| z.square().sum_last());
    assert_eq!(square, Ok(arr1(&[1.0, 1.0])));
    let product = best_baseline(&narrow, &nodes, |q, z| (q.mean * z).sum_last()).unwrap();
    assert!((product - 1.0).iter().all(|b| b.abs() < 1e-14));
    // Four draws, one of them of a rare class, whose score is nearly all of Σ s².
    let one_hot = arr2(&[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]);
    for logit in [-1.0, -30.0, -40.0, -400.0] {
        let draws = categorical_score_gradient(
            arr1(&[0.0, logit]).view(),
            one_hot.view(),
            |_, z| constant(z, 1000.0),
            &Baseline::LeaveOneOut,
        );
        let gradients = draws.unwrap().gradients().to_owned();
        assert!(gradients.iter().all(|&g| g == 0.0), "{logit}: {gradients}");
    }
}

#[test]
fn score_function_estimator_can_suffer_from_the_mean_as_baseline() {
    // f = e^(-2z²) under N(0, 1) is large where the score is small: E f = 5^(-1/2), b* = 5^(-3/2).
    let q = GaussianParameters::standard(1);
    let nodes = Nodes::standard_normal(201, 1);
    let bump = |baseline: &Baseline| {
        let noise = nodes.points().view();
        let draws = score_gradient(
            &q,
            noise,
            |_, z| (z.square() * -2.0).exp().sum_last(),
            baseline,
        );
        let [_, variance] = draws.unwrap().moments(nodes.weights().view());
        variance[0]
    };
    let best = best_baseline(&q, &nodes, |_, z| (z.square() * -2.0).exp().sum_last()).unwrap()[0];
    assert!((best - 5f64.powf(-1.5)).abs() < 1e-12, "{best}");
    let [none, mean, least] = [0.0, 5f64.powf(-0.5), best].map(|b| bump(&Baseline::Constant(b)));
    println!("variance without a baseline {none:.4}, with E f {mean:.4}, with b* {least:.4}");
    // E f² s² = E ε² e^(-4ε²) = 9^(-3/2).
    assert!((none - 1.0 / 27.0).abs() < 1e-12);
    assert!((least - (1.0 / 27.0 - 1.0 / 125.0)).abs() < 1e-12);
    assert!(mean > 3.0 * none);
}

#[test]
fn score_function_estimator_is_biased_by_the_baseline_of_its_own_draws() {
    // Ten draws at a time, f = z² at N(1, 1), whose derivative is 2. b* from all of them sees the draw that it serves; from
    // the other nine it does not.
    let mut rng = StdRng::seed_from_u64(109);
    let (mut own, mut other) = (Vec::new(), Vec::new());
    let q = univariate(1.0, 0.0);
    let square = |noise: &Array2<f64>, baseline: &Baseline| {
        score_gradient(&q, noise.view(), |_, z| z.square().sum_last(), baseline).unwrap()
    };
    for _ in 0..100_000 / 10 {
        let noise = normal_noise(&mut rng, 10, 1);
        let samples = Nodes::samples(noise.clone()).unwrap();
        let b = best_baseline(&q, &samples, |_, z| z.square().sum_last()).unwrap();
        let mean = |draws: Draws| draws.gradients().column(0).mean().unwrap();
        own.push(mean(square(&noise, &Baseline::Entries(b))));
        other.push(mean(square(&noise, &Baseline::LeaveOneOut)));
    }
    Statistics::of(&other).agree_with(2.0, "b* of the other draws");
    let own = Estimate::of(own).unwrap();
    let distance = own.distance(2.0);
    println!("b* of all ten draws: {own} instead of 2, {distance:+.0} standard errors");
    assert_eq!(
        (format!("{:.3}", own.mean), distance.round()),
        ("1.501".to_owned(), -46.0)
    );
}

#[test]
fn score_function_estimator_understates_the_error_of_few_draws() {
    // f = z² at N(1, 1) and ∂μ. Two draws that leave one out have the mean ½(f₁ - f₂)(ε₁ - ε₂), of variance 14, and the
    // squared standard error ¼(f₁ - f₂)²(ε₁ + ε₂)², of mean 10: by quadrature over both, exactly.
    let q = univariate(1.0, 0.0);
    let of = |noise: &Array2<f64>| {
        let one_out = Baseline::LeaveOneOut;
        let draws = score_gradient(&q, noise.view(), |_, z| z.square().sum_last(), &one_out);
        let mean = draws.unwrap().estimate().entries[0];
        [(mean.mean - 2.0).powi(2), mean.standard_error.powi(2)]
    };
    let nodes = Nodes::gauss_hermite(8, 2);
    let pairs = nodes.points().outer_iter().zip(nodes.weights());
    let exact = pairs.fold([0.0, 0.0], |[variance, told], (pair, weight)| {
        let [a, b] = of(&pair.to_owned().insert_axis(Axis(1)));
        [variance + weight * a, told + weight * b]
    });
    println!(
        "2 draws: variance of the mean {}, told {}",
        exact[0], exact[1]
    );
    assert!((exact[0] - 14.0).abs() < 1e-11 && (exact[1] - 10.0).abs() < 1e-11);
    // More of them by experiments.
    let mut rng = StdRng::seed_from_u64(116);
    for (n, experiments, expected) in [
        (5, 10_000, [2.33, 2.07]),
        (10, 10_000, [1.52, 1.41]),
        (100, 2_000, [0.392, 0.387]),
    ] {
        let found: Vec<[f64; 2]> = (0..experiments)
            .map(|_| of(&normal_noise(&mut rng, n, 1)))
            .collect();
        let [variance, told] =
            [0, 1].map(|part| Estimate::of(found.iter().map(|pair| pair[part])).unwrap());
        println!(
            "{n} draws: deviation of the mean {:.3}, told {:.3}",
            variance.mean.sqrt(),
            told.mean.sqrt()
        );
        for (estimate, expected) in [variance, told].iter().zip(expected) {
            let distance = estimate.distance(expected * expected);
            assert!(distance.abs() <= 4.0, "{n} draws: {estimate}, {expected}²");
        }
    }
}

#[test]
fn score_function_estimator_says_what_is_wrong() {
    let q = univariate(0.3, -1.0);
    let square = |noise: Array2<f64>, q: &GaussianParameters, baseline: Baseline| {
        score_gradient(q, noise.view(), |_, z| z.square().sum_last(), &baseline).map(|_| ())
    };
    let given = |what, index| Err(NoGradient::Given { what, index });
    let noise = || arr2(&[[0.1], [0.2]]);
    assert_eq!(
        square(Array2::zeros((0, 1)), &q, Baseline::None),
        Err(NoGradient::NoDraws)
    );
    assert_eq!(
        square(arr2(&[[0.1], [f64::NAN]]), &q, Baseline::None),
        given("noise", 1)
    );
    assert_eq!(
        square(noise(), &univariate(f64::NAN, 0.0), Baseline::None),
        given("mean", 0)
    );
    let infinite = univariate(0.0, f64::NEG_INFINITY);
    assert_eq!(
        square(noise(), &infinite, Baseline::None),
        given("log-variance", 0)
    );
    assert_eq!(
        square(noise(), &q, Baseline::Constant(f64::NAN)),
        given("baseline", 0)
    );
    // A single draw has no others: its baseline is 0.
    let alone = |baseline: &Baseline| {
        let noise = arr2(&[[0.4]]);
        score_gradient(&q, noise.view(), |_, z| z.square().sum_last(), baseline).unwrap()
    };
    assert_eq!(alone(&Baseline::LeaveOneOut), alone(&Baseline::None));
    assert_eq!(
        alone(&Baseline::None).estimate().entries[0].standard_error,
        f64::INFINITY
    );

    let logarithm = score_gradient(
        &q,
        arr2(&[[-9.0]]).view(),
        |_, z| z.ln().sum_last(),
        &Baseline::None,
    );
    let (what, draw) = ("value", 0);
    assert_eq!(logarithm, Err(NoGradient::NotFinite { what, draw }));
    let root = pathwise_gradient(
        &univariate(0.0, 0.0),
        arr2(&[[1.0], [0.0]]).view(),
        |_, z| z.sqrt().sum_last(),
    );
    let (what, draw) = ("gradient", 1);
    assert_eq!(root, Err(NoGradient::NotFinite { what, draw }));

    let classes = |logits: [f64; 2], z: [f64; 2]| {
        let (logits, z) = (arr1(&logits), arr2(&[[1.0, 0.0], z]));
        categorical_score_gradient(
            logits.view(),
            z.view(),
            |_, z| z.sum_last(),
            &Baseline::None,
        )
        .map(|_| ())
    };
    assert_eq!(classes([0.0, 1.0], [0.0, 1.0]), Ok(()));
    assert_eq!(classes([0.0, f64::NAN], [0.0, 1.0]), given("logits", 1));
    for wrong in [[1.0, 1.0], [0.0, 0.0], [0.5, 0.5], [f64::NAN, 1.0]] {
        assert_eq!(
            classes([0.0, 1.0], wrong),
            Err(NoGradient::NotOneHot { draw: 1 })
        );
    }
    let impossible = classes([0.0, f64::NEG_INFINITY], [0.0, 1.0]);
    let (draw, class) = (1, 1);
    assert_eq!(impossible, Err(NoGradient::ImpossibleClass { draw, class }));
    // e^-800 is 0 in f64.
    let underflow = classes([0.0, -800.0], [0.0, 1.0]);
    assert_eq!(underflow, Err(NoGradient::ImpossibleClass { draw, class }));

    // √μ is 0 at 0, and its gradient is infinite.
    let nodes = Nodes::gauss_hermite(3, 1);
    let zero = univariate(0.0, 0.0);
    let root = best_baseline(&zero, &nodes, |q, z| (q.mean.sqrt() + z * 0.0).sum_last());
    let (what, draw) = ("gradient", 0);
    assert_eq!(root, Err(NoGradient::NotFinite { what, draw }));
    let huge = best_baseline(&univariate(0.0, 50.0), &nodes, |q, z| {
        (q.mean * 1e300 + z * 0.0).sum_last()
    });
    assert_eq!(huge, Err(NoGradient::Baseline { entry: 0 }));

    let (draw, class, entry) = (3, 2, 1);
    for error in [
        NoGradient::NoDraws,
        NoGradient::NotOneHot { draw },
        NoGradient::ImpossibleClass { draw, class },
        NoGradient::Baseline { entry },
    ] {
        assert!(error.to_string().contains("expected"), "{error}");
    }
}

#[test]
#[should_panic(
    expected = "score_gradient: shapes [2] (mean), [2] (log-variance) and [3, 1] (noise) do not fit"
)]
fn score_function_estimator_names_the_shapes() {
    let noise = Array2::zeros((3, 1));
    let q = GaussianParameters::standard(2);
    let _ = score_gradient(&q, noise.view(), |_, z| z.sum_last(), &Baseline::None);
}

// ---------------------------------------------------------------------------------------------------------
// gradient-variance

/// The estimators of the gradient of E z², and what their variance is said to be.
fn estimators_of_the_square(
    q: &GaussianParameters,
    noise: ArrayView2<f64>,
) -> [(&'static str, Draws, [f64; 2]); 3] {
    let exact = square_variances(q.mean[0], q.log_variance[0]).unwrap();
    let score = |baseline: Baseline| {
        score_gradient(q, noise, |_, z| z.square().sum_last(), &baseline).unwrap()
    };
    let path = pathwise_gradient(q, noise, |_, z| z.square().sum_last()).unwrap();
    let best = Baseline::Entries(Array1::from(exact.baseline.to_vec()));
    [
        ("pathwise", path, exact.pathwise),
        ("score", score(Baseline::None), exact.score),
        ("score, b*", score(best), exact.with_baseline),
    ]
}

#[test]
fn gradient_variance_by_quadrature() {
    let mut rng = StdRng::seed_from_u64(111);
    let nodes = Nodes::gauss_hermite(10, 1);
    let (mut variances, mut means, mut baselines) =
        (Worst::default(), Worst::default(), Worst::default());
    for _ in 0..20 {
        let q = gaussian(&mut rng, 1);
        let (mu, v) = (q.mean[0], q.log_variance[0].exp());
        for (_, draws, expected) in estimators_of_the_square(&q, nodes.points().view()) {
            let [mean, variance] = draws.moments(nodes.weights().view());
            means.entries(&mean.into_dyn(), &arr1(&[2.0 * mu, v]).into_dyn());
            for (found, expected) in variance.iter().zip(expected) {
                variances.number(*found, expected, expected);
            }
        }
        let best = best_baseline(&q, &nodes, |_, z| z.square().sum_last()).unwrap();
        let expected = arr1(&square_variances(mu, q.log_variance[0]).unwrap().baseline);
        baselines.entries(&best.into_dyn(), &expected.into_dyn());
    }
    means.within(1e-12, "means of all estimators = 2μ and σ²");
    variances.within(1e-12, "variances = closed forms, relative");
    baselines.within(1e-12, "best baselines = closed forms");
}

#[test]
fn gradient_variance_table() {
    let mut rng = StdRng::seed_from_u64(112);
    let noise = normal_noise(&mut rng, 100_000, 1);
    let mut worst = 0.0f64;
    println!("f = z²        variance of ∂μ: exact, measured    of ∂s: exact, measured");
    for (mu, v) in [
        (0.0, 1.0f64),
        (1.0, 1.0),
        (3.0, 1.0),
        (1.0, 0.25),
        (1.0, 0.01),
    ] {
        let q = univariate(mu, v.ln());
        let exact_mean = [2.0 * mu, v];
        println!("μ = {mu}, σ² = {v}");
        for (name, draws, exact) in estimators_of_the_square(&q, noise.view()) {
            let measured: Vec<f64> = (0..2)
                .map(|entry| {
                    let column = draws.gradients();
                    let squares = column
                        .column(entry)
                        .mapv(|g| (g - exact_mean[entry]).powi(2));
                    // The mean of squares around the exact mean is unbiased for the variance.
                    let estimate = Estimate::of(squares).unwrap();
                    worst = worst.max(estimate.distance(exact[entry]).abs());
                    estimate.mean
                })
                .collect();
            println!(
                "  {name:10} {:18.4} {:10.4} {:16.4} {:10.4}",
                exact[0], measured[0], exact[1], measured[1]
            );
            worst = worst.max(unbiased(&draws, &arr1(&exact_mean), name));
        }
    }
    println!("worst of 60 means and variances: {worst:.2} standard errors");
    assert!(worst <= 4.0);
}

#[test]
fn gradient_variance_of_the_path_is_not_always_the_smaller_one() {
    // f = sin ωz at N(0.3, 1): the slope grows with ω, the values do not.
    let q = univariate(0.3, 0.0);
    let nodes = Nodes::standard_normal(801, 1);
    let (noise, weights) = (nodes.points().view(), nodes.weights().view());
    let mut worst = Worst::default();
    for omega in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0] {
        let wave = |draws: Draws| draws.moments(weights);
        let [mean, path] =
            wave(pathwise_gradient(&q, noise, |_, z| sin(z * omega).sum_last()).unwrap());
        let by_score = score_gradient(&q, noise, |_, z| sin(z * omega).sum_last(), &Baseline::None);
        let [same, score] = wave(by_score.unwrap());
        // E cos 2ωz = e^(-2ω²) cos 2ωμ, and E ε² cos 2ωz = (1 - 4ω²) e^(-2ω²) cos 2ωμ.
        let double = (-2.0 * omega * omega).exp() * (0.6 * omega).cos();
        let exact = omega * (-0.5 * omega * omega).exp() * (0.3 * omega).cos();
        let of_path = omega * omega * 0.5 * (1.0 + double) - exact * exact;
        let of_score = 0.5 * (1.0 - (1.0 - 4.0 * omega * omega) * double) - exact * exact;
        println!("ω = {omega}: pathwise {of_path:.3}, score {of_score:.3}");
        worst.number(mean[0], exact, 1.0);
        worst.number(same[0], exact, 1.0);
        worst.number(path[0], of_path, 1.0);
        worst.number(score[0], of_score, 1.0);
        if omega >= 2.0 {
            assert!(of_path > 2.0 * of_score);
        }
    }
    worst.within(1e-12, "means and variances for sin ωz");
}

#[test]
fn gradient_variance_at_the_edges() {
    let tiny = square_variances(0.0, -3000.0).unwrap();
    assert_eq!(tiny.score, [0.0, 0.0]);
    assert_eq!(
        square_variances(1.0, -3000.0).unwrap().score[0],
        f64::INFINITY
    );
    let huge = square_variances(0.0, 3000.0).unwrap();
    assert_eq!(
        (huge.pathwise, huge.score),
        ([f64::INFINITY; 2], [f64::INFINITY; 2])
    );
    for (mean, log_variance) in [
        (1e200, 3000.0),
        (1e200, -3000.0),
        (-1e200, 0.0),
        (1e-200, 700.0),
    ] {
        let v = square_variances(mean, log_variance).unwrap();
        let all = [v.pathwise, v.score, v.with_baseline, v.baseline].concat();
        assert!(all.iter().all(|x| *x >= 0.0), "{v:?}");
    }
    assert!(square_variances(f64::NAN, 0.0).is_err());
    assert!(square_variances(0.0, f64::INFINITY).is_err());
}

/// Mean and variance of two draws of a pathwise gradient with these weights.
fn two_draws(weights: [f64; 2]) -> [Array1<f64>; 2] {
    let (q, noise) = (univariate(1.0, 0.0), arr2(&[[0.5], [-0.5]]));
    let draws = pathwise_gradient(&q, noise.view(), |_, z| z.square().sum_last()).unwrap();
    draws.moments(arr1(&weights).view())
}

#[test]
fn gradient_variance_of_weighted_draws() {
    // ∂μ = 2z: 3 and 1.
    let [mean, variance] = two_draws([0.75, 0.25]);
    assert_eq!((mean[0], variance[0]), (2.5, 0.75));
}

#[test]
#[should_panic(expected = "moments: expected weights that sum to 1, found the sum 2")]
fn gradient_variance_needs_weights_that_sum_to_one() {
    two_draws([1.0, 1.0]);
}

#[test]
#[should_panic(
    expected = "moments: expected weights that are finite and not negative, found [inf, 0]"
)]
fn gradient_variance_needs_finite_weights() {
    two_draws([f64::INFINITY, 0.0]);
}

// ---------------------------------------------------------------------------------------------------------
// sticking-the-landing

/// -½ (z-m)ᵀΛ(z-m) for a positive definite Λ, up to a constant the log-joint of a Gaussian posterior N(m, Λ⁻¹).
struct Quadratic {
    mean: Array1<f64>,
    precision: Array2<f64>,
}

impl Quadratic {
    fn random(rng: &mut StdRng, d: usize) -> Self {
        let a = matrix(rng, d, d);
        let precision = a.t().dot(&a) + Array2::<f64>::eye(d);
        let mean = vector(rng, d);
        Self { mean, precision }
    }

    fn diagonal(mean: Array1<f64>, variance: &Array1<f64>) -> Self {
        let precision = Array2::from_diag(&variance.mapv(|v| 1.0 / v));
        Self { mean, precision }
    }

    fn log_joint<'t>(&self, z: Var<'t, f64>) -> Var<'t, f64> {
        let tape = z.tape();
        let offset = z - tape.constant(self.mean.clone());
        (offset.matmul(tape.constant(self.precision.clone())) * offset).sum_last() * -0.5
    }

    /// ∇_z, in rows.
    fn slope(&self, z: &Array2<f64>) -> Array2<f64> {
        -(z - &self.mean).dot(&self.precision)
    }
}

/// (g, ½ g ⊙ σε): a slope in z as a slope in μ and s.
fn along_the_path(q: &GaussianParameters, noise: &Array2<f64>, slope: &Array2<f64>) -> Array2<f64> {
    let deviation = q.log_variance.mapv(|s| (0.5 * s).exp());
    ndarray::concatenate![Axis(1), slope.clone(), slope * noise * &deviation * 0.5]
}

#[test]
fn sticking_the_landing_by_hand() {
    // ∇_z log p - ∇_z log q, and ∇_z log q = -(z-μ)/σ² = -ε/σ.
    let mut rng = StdRng::seed_from_u64(121);
    let (mut stuck, mut plain) = (Worst::default(), Worst::default());
    for (n, d) in [(1, 1), (6, 2), (5, 4)] {
        let (q, noise) = (gaussian(&mut rng, d), normal_noise(&mut rng, n, d));
        let target = Quadratic::random(&mut rng, d);
        let z = moved(&q, &noise);
        let deviation = q.log_variance.mapv(|s| (0.5 * s).exp());
        let slope = target.slope(&z);
        let by_hand = along_the_path(&q, &noise, &(&slope + &(&noise / &deviation)));
        let draws = pathwise_gradient(&q, noise.view(), |q, z| {
            sticking_the_landing(q, z, target.log_joint(z))
        })
        .unwrap();
        stuck.entries(&dynamic(&draws.gradients().to_owned()), &dynamic(&by_hand));
        // With the score: log q(μ + σε) is -½s and what does not depend on φ.
        let mut by_hand = along_the_path(&q, &noise, &slope);
        by_hand.slice_mut(s![.., d..]).mapv_inplace(|g| g + 0.5);
        let draws = pathwise_gradient(&q, noise.view(), |q, z| {
            estimator_a(q, z, target.log_joint(z))
        });
        plain.entries(
            &dynamic(&draws.unwrap().gradients().to_owned()),
            &dynamic(&by_hand),
        );
    }
    stuck.within(1e-12, "without the score: hand = autodiff");
    plain.within(1e-12, "with the score: hand = autodiff");
}

#[test]
fn sticking_the_landing_against_its_declared_surrogate() {
    let mut rng = StdRng::seed_from_u64(122);
    let mut checked = Checked::default();
    for (n, d) in [(3, 1), (4, 2), (2, 3)] {
        let target = Quadratic::random(&mut rng, d);
        let noise = normal_noise(&mut rng, n, d);
        let point = [random(&mut rng, &[d]), random(&mut rng, &[d])];
        let report = Check::new("sticking-the-landing").run_surrogate(
            &point,
            |v| {
                let q = from_vars(v);
                let z = q.sample(v[0].tape().constant(noise.clone()));
                sticking_the_landing(&q, z, target.log_joint(z))
            },
            |live, frozen| {
                let z = from_vars(live).sample(live[0].tape().constant(noise.clone()));
                target.log_joint(z) - from_vars(frozen).log_density(z)
            },
        );
        checked.add(report.unwrap());
    }
    checked.tell("with q frozen in the density");
}

fn from_vars<'t>(v: &[Var<'t, f64>]) -> DiagonalGaussian<'t, f64> {
    DiagonalGaussian {
        mean: v[0],
        log_variance: v[1],
    }
}

#[test]
fn sticking_the_landing_is_zero_at_the_posterior() {
    let mut rng = StdRng::seed_from_u64(123);
    let mut worst = Worst::default();
    let mut plain = Worst::default();
    for d in [1, 3, 8] {
        let (q, noise) = (gaussian(&mut rng, d), normal_noise(&mut rng, 1000, d));
        let target = Quadratic::diagonal(q.mean.clone(), &q.log_variance.mapv(f64::exp));
        let draws = pathwise_gradient(&q, noise.view(), |q, z| {
            sticking_the_landing(q, z, target.log_joint(z))
        })
        .unwrap();
        let scores = scores_by_hand(&q, &moved(&q, &noise));
        let scale = scores.iter().fold(0.0, |s: f64, x| s.max(x.abs()));
        for gradient in draws.gradients() {
            worst.number(*gradient, 0.0, scale);
        }
        // The plain estimator there is minus the score: mean 0, and nothing but noise.
        let draws = pathwise_gradient(&q, noise.view(), |q, z| {
            estimator_a(q, z, target.log_joint(z))
        });
        plain.entries(
            &dynamic(&draws.unwrap().gradients().to_owned()),
            &dynamic(&-scores),
        );
    }
    worst.within(1e-14, "gradient of every draw = 0, of the largest score");
    plain.within(1e-12, "with the score: minus the score");
}

#[test]
fn sticking_the_landing_has_the_mean_of_the_plain_estimator() {
    let mut rng = StdRng::seed_from_u64(124);
    let mut worst = Worst::default();
    for d in [1, 2] {
        let (q, a) = (gaussian(&mut rng, d), matrix(&mut rng, d, 3) * 0.5);
        let nodes = Nodes::standard_normal(161, d);
        let mean = |draws: Draws| draws.moments(nodes.weights().view())[0].clone();
        let noise = nodes.points().view();
        let plain = pathwise_gradient(&q, noise, |q, z| estimator_a(q, z, -bent(z, &a)));
        let stuck = pathwise_gradient(&q, noise, |q, z| sticking_the_landing(q, z, -bent(z, &a)));
        // By the score, with log q stopped as well: no derivative of log p at all.
        let score = score_gradient(
            &q,
            noise,
            |q, z| sticking_the_landing(q, z, -bent(z, &a)),
            &Baseline::Constant(-1.0),
        );
        let expected = mean(plain.unwrap()).into_dyn();
        worst.entries(&mean(stuck.unwrap()).into_dyn(), &expected);
        worst.entries(&mean(score.unwrap()).into_dyn(), &expected);
    }
    worst.within(
        1e-12,
        "with the score = without = by the score, by quadrature",
    );

    let (q, noise) = (gaussian(&mut rng, 2), normal_noise(&mut rng, 100_000, 2));
    let target = Quadratic::random(&mut rng, 2);
    // ∇ E[log p - log q] = (-Λ(μ-m), ½ - ½ Λ_jj σ_j²).
    let exact = ndarray::concatenate![
        Axis(0),
        -target.precision.dot(&(&q.mean - &target.mean)),
        (1.0 - &target.precision.diag() * &q.log_variance.mapv(f64::exp)) * 0.5
    ];
    let plain = pathwise_gradient(&q, noise.view(), |q, z| {
        estimator_a(q, z, target.log_joint(z))
    });
    let stuck = pathwise_gradient(&q, noise.view(), |q, z| {
        sticking_the_landing(q, z, target.log_joint(z))
    });
    let distance = unbiased(&plain.unwrap(), &exact, "with the score").max(unbiased(
        &stuck.unwrap(),
        &exact,
        "without the score",
    ));
    println!("worst of 8 entries: {distance:.2} standard errors");
}

#[test]
fn sticking_the_landing_is_the_noisier_one_where_q_is_too_narrow() {
    // Target N(m, τ²), r = σ²/τ²: variances for ∂μ are (1 - r)²/σ² and r²/σ²; equal at r = ½.
    let nodes = Nodes::gauss_hermite(8, 1);
    let (noise, weights) = (nodes.points().view(), nodes.weights().view());
    let mut worst = Worst::default();
    for (m, tau2, ratio) in [
        (0.4, 2.0, 0.1),
        (-1.0, 0.7, 0.3),
        (0.0, 1.0, 0.5),
        (2.0, 1.5, 0.9),
        (0.3, 0.5, 4.0),
    ] {
        let (mu, v) = (0.8, ratio * tau2);
        let q = univariate(mu, f64::ln(v));
        let target = Quadratic::diagonal(arr1(&[m]), &arr1(&[tau2]));
        let variance = |draws: Draws| draws.moments(weights)[1].clone();
        let stuck = variance(
            pathwise_gradient(&q, noise, |q, z| {
                sticking_the_landing(q, z, target.log_joint(z))
            })
            .unwrap(),
        );
        let plain = variance(
            pathwise_gradient(&q, noise, |q, z| estimator_a(q, z, target.log_joint(z))).unwrap(),
        );
        let common = (mu - m).powi(2) * ratio / (4.0 * tau2);
        let expected = [
            (stuck[0], (1.0 - ratio).powi(2) / v),
            (stuck[1], 0.5 * (1.0 - ratio).powi(2) + common),
            (plain[0], ratio.powi(2) / v),
            (plain[1], 0.5 * ratio.powi(2) + common),
        ];
        println!(
            "σ²/τ² = {ratio}: variance of ∂μ without the score {:.3}, with it {:.3}",
            stuck[0], plain[0]
        );
        for (found, expected) in expected {
            worst.number(found, expected, plain[0].max(stuck[0]));
        }
        assert_eq!(stuck[0] < plain[0] - 1e-12, ratio > 0.5);
    }
    worst.within(1e-12, "variances = closed forms");
}

#[test]
fn sticking_the_landing_is_biased_inside_a_logarithm() {
    // L₂ = E log ½(w₁ + w₂) for two draws: the score that is dropped has the draw's own weight before it.
    let q = univariate(0.5, 0.3);
    let target = Quadratic::diagonal(arr1(&[-0.4]), &arr1(&[1.0]));
    let nodes = Nodes::standard_normal(81, 2);
    let gradient = |mean: f64, log_variance: f64, stuck: bool| {
        let tape = Tape::new();
        let v = [mean, log_variance].map(|x| tape.variable(arr1(&[x])));
        let log_weights = [0, 1].map(|draw| {
            let noise = nodes.points().slice(s![.., draw..draw + 1]).to_owned();
            let q = from_vars(&v);
            let z = q.sample(tape.constant(noise));
            let log_joint = target.log_joint(z);
            match stuck {
                true => sticking_the_landing(&q, z, log_joint),
                false => estimator_a(&q, z, log_joint),
            }
        });
        let bound = tape.stack(0, &log_weights).logsumexp_axes(&[0]) - 2f64.ln();
        let bound = (bound * tape.constant(nodes.weights().clone())).sum();
        let gradients = tape.gradients(bound);
        (bound.item(), gradients.wrt(v[0])[0], gradients.wrt(v[1])[0])
    };
    let (mu, s) = (q.mean[0], q.log_variance[0]);
    let (_, to_mean, to_log_variance) = gradient(mu, s, false);
    let (_, stuck_mean, stuck_log_variance) = gradient(mu, s, true);
    let h = 1e-4;
    let slope = (gradient(mu + h, s, false).0 - gradient(mu - h, s, false).0) / (2.0 * h);
    println!(
        "L₂: ∂μ {to_mean:.4}, without the score {stuck_mean:.4}; ∂s {to_log_variance:.4}, without the score \
         {stuck_log_variance:.4}"
    );
    assert!((slope - to_mean).abs() < 1e-7, "{slope} {to_mean}");
    let slope = (gradient(mu, s + h, false).0 - gradient(mu, s - h, false).0) / (2.0 * h);
    assert!((slope - to_log_variance).abs() < 1e-7, "{slope}");
    let found = [to_mean, stuck_mean, to_log_variance, stuck_log_variance];
    let notes = ["-0.476", "-0.790", "0.063", "0.028"];
    assert_eq!(found.map(|g| format!("{g:.3}")), notes);
}

// ---------------------------------------------------------------------------------------------------------
// sgvb-estimators

/// Prior N(m₀, v₀) and x | z ~ N(z, r²), dimension by dimension: log p(x) and the posterior are known.
struct Conjugate {
    x: Array1<f64>,
    noise_variance: f64,
    prior: GaussianParameters,
}

impl Conjugate {
    fn random(rng: &mut StdRng, d: usize) -> Self {
        Self {
            x: vector(rng, d),
            noise_variance: rng.random_range(0.3..2.0),
            prior: gaussian(rng, d),
        }
    }

    fn log_likelihood<'t>(&self, z: Var<'t, f64>) -> Var<'t, f64> {
        let tape = z.tape();
        let log_variance = tape.scalar(self.noise_variance.ln());
        DiagonalGaussian {
            mean: z,
            log_variance: log_variance.broadcast_to(&z.shape()),
        }
        .log_density(tape.constant(self.x.clone()))
    }

    fn prior<'t>(&self, tape: &'t Tape<f64>) -> DiagonalGaussian<'t, f64> {
        DiagonalGaussian {
            mean: tape.constant(self.prior.mean.clone()),
            log_variance: tape.constant(self.prior.log_variance.clone()),
        }
    }

    fn log_joint<'t>(&self, z: Var<'t, f64>) -> Var<'t, f64> {
        self.log_likelihood(z) + self.prior(z.tape()).log_density(z)
    }

    fn posterior(&self) -> GaussianParameters {
        let prior_precision = self.prior.log_variance.mapv(|s| (-s).exp());
        let precision = &prior_precision + 1.0 / self.noise_variance;
        let mean =
            (&self.prior.mean * &prior_precision + &self.x / self.noise_variance) / &precision;
        GaussianParameters {
            mean,
            log_variance: precision.mapv(|p| -p.ln()),
        }
    }

    /// log N(x; m₀, v₀ + r²).
    fn log_evidence(&self) -> f64 {
        let variance = self.prior.log_variance.mapv(f64::exp) + self.noise_variance;
        let offset = &self.x - &self.prior.mean;
        let terms =
            variance.mapv(|v| (std::f64::consts::TAU * v).ln()) + &offset * &offset / &variance;
        -0.5 * terms.sum()
    }

    /// The bound and its gradient at q: E log p(x|z) - KL in closed form.
    fn bound(&self, q: &GaussianParameters) -> (f64, Array1<f64>) {
        let (v, v0) = (
            q.log_variance.mapv(f64::exp),
            self.prior.log_variance.mapv(f64::exp),
        );
        let (r2, to_x, to_prior) = (
            self.noise_variance,
            &self.x - &q.mean,
            &q.mean - &self.prior.mean,
        );
        let likelihood = (&to_x * &to_x + &v) / r2 + (std::f64::consts::TAU * r2).ln();
        let divergence =
            (&to_prior * &to_prior + &v) / &v0 - 1.0 - (&q.log_variance - &self.prior.log_variance);
        let value = -0.5 * (likelihood + divergence).sum();
        let to_mean = &to_x / r2 - &to_prior / &v0;
        let to_log_variance = (1.0 - &v / r2 - &v / &v0) * 0.5;
        (
            value,
            ndarray::concatenate![Axis(0), to_mean, to_log_variance],
        )
    }

    fn a(&self, q: &GaussianParameters, noise: ArrayView2<f64>) -> Draws {
        pathwise_gradient(q, noise, |q, z| estimator_a(q, z, self.log_joint(z))).unwrap()
    }

    fn b(&self, q: &GaussianParameters, noise: ArrayView2<f64>) -> Draws {
        pathwise_gradient(q, noise, |q, z| {
            estimator_b(q, &self.prior(z.tape()), self.log_likelihood(z))
        })
        .unwrap()
    }
}

#[test]
fn sgvb_estimators_by_hand() {
    let mut rng = StdRng::seed_from_u64(131);
    let (mut values, mut gradients) = (Worst::default(), Worst::default());
    for (n, d) in [(1, 1), (5, 2), (4, 4)] {
        let model = Conjugate::random(&mut rng, d);
        let (q, noise) = (gaussian(&mut rng, d), normal_noise(&mut rng, n, d));
        let z = moved(&q, &noise);
        let (v, v0) = (
            q.log_variance.mapv(f64::exp),
            model.prior.log_variance.mapv(f64::exp),
        );
        let log_normal = |offset: &Array2<f64>, v: &Array1<f64>| {
            (offset * offset / v + &v.mapv(|v| (std::f64::consts::TAU * v).ln())).sum_axis(Axis(1))
                * -0.5
        };
        let r2 = Array1::from_elem(d, model.noise_variance);
        let to_x = &z - &model.x;
        let to_prior = &z - &model.prior.mean;
        let likelihood = log_normal(&to_x, &r2);
        let a = &likelihood + &log_normal(&to_prior, &v0) - log_normal(&(&z - &q.mean), &v);
        let apart = &q.mean - &model.prior.mean;
        let divergence = 0.5
            * ((&apart * &apart + &v) / &v0 - 1.0 - (&q.log_variance - &model.prior.log_variance))
                .sum();
        let b = &likelihood - divergence;
        // ∂μ and ∂s of log q(μ + σε) are 0 and -½.
        let mut grad_a = along_the_path(&q, &noise, &(-(&to_x / &r2) - &to_prior / &v0));
        grad_a.slice_mut(s![.., d..]).mapv_inplace(|g| g + 0.5);
        let of_divergence = ndarray::concatenate![Axis(0), &apart / &v0, (&v / &v0 - 1.0) * 0.5];
        let grad_b = along_the_path(&q, &noise, &-(&to_x / &r2)) - &of_divergence;
        for (draws, value, gradient) in [
            (model.a(&q, noise.view()), a, grad_a),
            (model.b(&q, noise.view()), b, grad_b),
        ] {
            values.entries(&draws.values().to_owned().into_dyn(), &value.into_dyn());
            gradients.entries(&dynamic(&draws.gradients().to_owned()), &dynamic(&gradient));
        }
    }
    values.within(1e-12, "values of A and B: hand = code");
    gradients.within(1e-12, "gradients of A and B: hand = autodiff");
}

#[test]
fn sgvb_estimators_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(132);
    let mut checked = Checked::default();
    for (n, d) in [(3, 1), (2, 3)] {
        let model = Conjugate::random(&mut rng, d);
        let noise = normal_noise(&mut rng, n, d);
        let point = [random(&mut rng, &[d]), random(&mut rng, &[d])];
        let check = Check::new("sgvb-estimators");
        checked.add(
            check
                .run(&point, |v| one_draw(v, &model, &noise, true))
                .unwrap(),
        );
        checked.add(
            check
                .run(&point, |v| one_draw(v, &model, &noise, false))
                .unwrap(),
        );
        let second = check.run_second_order(&point, |v| one_draw(v, &model, &noise, false));
        checked.add(second.unwrap());
    }
    checked.tell("A and B");
}

fn one_draw<'t>(
    v: &[Var<'t, f64>],
    model: &Conjugate,
    noise: &Array2<f64>,
    a: bool,
) -> Var<'t, f64> {
    let q = from_vars(v);
    let tape = v[0].tape();
    let z = q.sample(tape.constant(noise.clone()));
    match a {
        true => estimator_a(&q, z, model.log_joint(z)),
        false => estimator_b(&q, &model.prior(tape), model.log_likelihood(z)),
    }
}

#[test]
fn sgvb_estimators_have_the_bound_as_their_mean() {
    let mut rng = StdRng::seed_from_u64(133);
    let (mut exactly, mut furthest) = (Worst::default(), 0.0f64);
    for d in [1, 3] {
        let model = Conjugate::random(&mut rng, d);
        let q = gaussian(&mut rng, d);
        let (bound, gradient) = model.bound(&q);
        let nodes = Nodes::gauss_hermite(4, d);
        let noise = normal_noise(&mut rng, 100_000, d);
        for estimator in [Conjugate::a, Conjugate::b] {
            let draws = estimator(&model, &q, nodes.points().view());
            let weights = nodes.weights().view();
            exactly.number(weights.dot(&draws.values()), bound, bound.abs());
            let [mean, _] = draws.moments(weights);
            exactly.entries(&mean.into_dyn(), &gradient.clone().into_dyn());
            let draws = estimator(&model, &q, noise.view());
            let distance = draws.estimate().value.distance(bound).abs();
            assert!(distance <= 4.0, "bound: {distance} standard errors");
            furthest = furthest
                .max(distance)
                .max(unbiased(&draws, &gradient, "gradient"));
        }
    }
    exactly.within(1e-12, "means of A and B by quadrature = closed form");
    println!("worst of 20 means: {furthest:.2} standard errors");
}

#[test]
fn sgvb_estimators_at_the_exact_posterior() {
    // A is log p(x) at every draw. B varies as log p(x|z) does: (2σ⁴ + 4σ²(x-μ)²)/4r⁴ in each dimension.
    let mut rng = StdRng::seed_from_u64(134);
    let mut worst = Worst::default();
    for d in [1, 2, 4] {
        let model = Conjugate::random(&mut rng, d);
        let q = model.posterior();
        let noise = normal_noise(&mut rng, 1000, d);
        let evidence = model.log_evidence();
        for value in model.a(&q, noise.view()).values() {
            worst.number(*value, evidence, evidence.abs());
        }
        let nodes = Nodes::gauss_hermite(4, d);
        let (weights, r4) = (nodes.weights().view(), model.noise_variance.powi(2));
        let b = model.b(&q, nodes.points().view());
        let mean = weights.dot(&b.values());
        let deviations = &b.values() - mean;
        let variance = weights.dot(&(&deviations * &deviations));
        let (v, to_x) = (q.log_variance.mapv(f64::exp), &model.x - &q.mean);
        let expected = ((&v * &v * 2.0 + &v * &to_x * &to_x * 4.0) / (4.0 * r4)).sum();
        println!("{d} dimensions: variance of B {variance:.4}, of A 0");
        worst.number(mean, evidence, evidence.abs());
        worst.number(variance, expected, expected);
        assert!(variance > 0.01);
    }
    worst.within(
        1e-12,
        "A = log p(x) at every draw; variance of B = closed form",
    );
}

#[test]
fn sgvb_estimators_as_gradients() {
    // The variance of ∂μ is σ²(1/r² + 1/v₀)² for A and σ²/r⁴ for B, at the posterior as well, where A as a value has none.
    let mut rng = StdRng::seed_from_u64(135);
    let mut worst = Worst::default();
    let nodes = Nodes::gauss_hermite(6, 1);
    let (noise, weights) = (nodes.points().view(), nodes.weights().view());
    for _ in 0..10 {
        let model = Conjugate::random(&mut rng, 1);
        for q in [model.posterior(), gaussian(&mut rng, 1)] {
            let (v, v0) = (q.log_variance[0].exp(), model.prior.log_variance[0].exp());
            let r2 = model.noise_variance;
            let [a, b] = [model.a(&q, noise), model.b(&q, noise)].map(|d| d.moments(weights)[1][0]);
            let expected = [v * (1.0 / r2 + 1.0 / v0).powi(2), v / r2.powi(2)];
            worst.number(a, expected[0], expected[0]);
            worst.number(b, expected[1], expected[1]);
            assert!(b < a);
        }
    }
    worst.within(1e-12, "variances of ∂μ = closed forms, relative");

    // In several dimensions A's noise in μ₁ has the variance Σ_j (H_1j + P_1j)² σ_j², B's Σ_j H_1j² σ_j², where H and P are
    // the likelihood's and the prior's precision. With P_12 = -H_12 the prior undoes what the second entry does to the first.
    let both = |coupling: f64| Quadratic {
        mean: arr1(&[0.4, -0.7]),
        precision: arr2(&[[1.0, coupling], [coupling, 1.0]]),
    };
    let q = GaussianParameters {
        mean: arr1(&[0.2, 1.1]),
        log_variance: arr1(&[0.0, 5f64.ln()]),
    };
    let plane = Nodes::gauss_hermite(6, 2);
    let variance =
        |draws: Result<Draws, NoGradient>| draws.unwrap().moments(plane.weights().view())[1][0];
    for (coupling, expected) in [
        (-0.9, [4.0, 5.05]),
        (0.0, [8.05, 5.05]),
        (0.9, [20.2, 5.05]),
    ] {
        let (likelihood, prior) = (both(0.9), both(coupling));
        let a = pathwise_gradient(&q, plane.points().view(), |q, z| {
            estimator_a(q, z, likelihood.log_joint(z) + prior.log_joint(z))
        });
        // -KL(q‖p) = E log p + ½ Σ s, up to constants: the quadratic form at μ, and -½ Σ P_jj σ_j².
        let b = pathwise_gradient(&q, plane.points().view(), |q, z| {
            let spread = q.log_variance.exp().sum_last() * -0.5;
            let negative_divergence =
                prior.log_joint(q.mean) + spread + q.log_variance.sum_last() * 0.5;
            likelihood.log_joint(z) + negative_divergence
        });
        let [a, b] = [variance(a), variance(b)];
        println!("prior precision {coupling} beside 1: variance of ∂μ₁ {a:.2} for A, {b:.2} for B");
        let relative = [a / expected[0], b / expected[1]];
        assert!(relative.iter().all(|r| (r - 1.0).abs() < 1e-12), "{a} {b}");
    }

    // A log-likelihood that is convex where q is: its slope and the prior's oppose each other, and A has both.
    let (q, curvature) = (univariate(0.3, -0.5), 0.8);
    let standard = Conjugate {
        x: arr1(&[0.0]),
        noise_variance: 1.0,
        prior: GaussianParameters::standard(1),
    };
    let a = pathwise_gradient(&q, noise, |q, z| {
        let convex = z.square().sum_last() * (0.5 * curvature);
        estimator_a(q, z, convex + standard.prior(z.tape()).log_density(z))
    });
    let b = pathwise_gradient(&q, noise, |q, z| {
        let convex = z.square().sum_last() * (0.5 * curvature);
        estimator_b(q, &standard.prior(z.tape()), convex)
    });
    let [a, b] = [a, b].map(|draws| draws.unwrap().moments(weights)[1][0]);
    println!("convex log-likelihood: variance of ∂μ {a:.4} for A, {b:.4} for B");
    let v = (-0.5f64).exp();
    assert!((a - v * (1.0 - curvature).powi(2)).abs() < 1e-12);
    assert!((b - v * curvature.powi(2)).abs() < 1e-12);
}

// ---------------------------------------------------------------------------------------------------------
// stop-gradient-and-selection

#[test]
fn stop_gradient_and_selection_of_stopped_values() {
    let mut rng = StdRng::seed_from_u64(141);
    let mut worst = Worst::default();
    let mut checked = Checked::default();
    for shape in [&[][..], &[4], &[3, 2], &[2, 1, 3]] {
        let (x, y_bar) = (random(&mut rng, shape), random(&mut rng, shape));
        let tape = Tape::new();
        let vx = tape.variable(x.clone());
        let stopped = vx.stop_gradient();
        assert_eq!(stopped.value(), vx.value());
        // x sg(x) has the value x² and the cotangent ȳ x, half of that of x².
        let product = vx * stopped;
        worst.entries(&owned(product.value()), &(&x * &x));
        let gradients = tape.pull_back(product, y_bar.clone(), &[]);
        worst.entries(&owned(gradients.wrt(vx)), &(&y_bar * &x));
        // And its own derivative, by the same declaration, is that of a constant.
        let first = tape.differentiable_gradients(product.sum()).wrt(vx);
        let second = tape.gradients(first.sum()).wrt(vx);
        worst.entries(&owned(second), &ArrayD::zeros(x.raw_dim()));
        let check = Check::new("stop-gradient-and-selection");
        let point = [x, y_bar];
        let report = check.run_surrogate(
            &point,
            |v| (v[0] - v[1].stop_gradient()).square() + v[0].stop_gradient().exp() * v[1],
            |live, frozen| (live[0] - frozen[1]).square() + frozen[0].exp() * live[1],
        );
        checked.add(report.unwrap());
        // Against the function itself, plain finite differences see that something was stopped.
        let plain = check.run(&point[..1], |v| v[0] * v[0].stop_gradient());
        assert!(plain.is_err(), "{plain:?}");
    }
    worst.within(1e-14, "stopped values: hand = autodiff");
    checked.tell("against the declared surrogate");
}

#[test]
fn stop_gradient_and_selection_of_the_largest() {
    let mut rng = StdRng::seed_from_u64(142);
    let (mut worst, mut checked) = (Worst::default(), Checked::default());
    for (n, d, k) in [(1, 1, 1), (4, 6, 2), (3, 5, 0), (2, 4, 4), (5, 3, 9)] {
        let (x, y_bar) = (matrix(&mut rng, n, d), matrix(&mut rng, n, d));
        let tape = Tape::new();
        let vx = tape.variable(x.clone());
        let y = vx.keep_top_k(k, 1);
        let x_bar = owned(tape.pull_back(y, y_bar.clone(), &[]).wrt(vx));
        // An entry is kept if fewer than k others of its row are larger.
        let kept = |(i, j): (usize, usize)| (0..d).filter(|&l| x[[i, l]] > x[[i, j]]).count() < k;
        let mask = Array2::from_shape_fn((n, d), |at| f64::from(kept(at)));
        worst.entries(&owned(y.value()), &dynamic(&(&mask * &x)));
        worst.entries(&x_bar, &dynamic(&(&mask * &y_bar)));
        let check = Check::new("stop-gradient-and-selection");
        let point = [dynamic(&x)];
        checked.add(check.run(&point, |v| v[0].keep_top_k(k, 1)).unwrap());
        let second = check.run_second_order(&point, |v| v[0].keep_top_k(k, 1).square());
        checked.add(second.unwrap());
    }
    worst.within(0.0, "the k largest: hand = autodiff");
    checked.tell("the k largest, first and second order");
    // Of equal entries the first; the largest, not the largest in magnitude; NaN last.
    let tape = Tape::new();
    let x = tape.variable(arr1(&[1.0, -9.0, 1.0, f64::NAN, 0.5]));
    let y = x.keep_top_k(1, 0);
    assert_eq!(y.value(), arr1(&[1.0, 0.0, 0.0, 0.0, 0.0]).into_dyn());
}

/// argmin_k |z_i - e_k|², by going through all of them.
fn nearest_by_hand(z: &Array2<f64>, codes: &Array2<f64>) -> Vec<usize> {
    z.outer_iter()
        .map(|z| {
            let distances: Vec<f64> = codes
                .outer_iter()
                .map(|e| (&z - &e).mapv(|x| x * x).sum())
                .collect();
            let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
            distances.iter().position(|&d| d == least).unwrap()
        })
        .collect()
}

#[test]
fn stop_gradient_and_selection_of_the_nearest() {
    let mut rng = StdRng::seed_from_u64(143);
    let (mut worst, mut checked) = (Worst::default(), Checked::default());
    for (n, codes, d) in [(1, 1, 1), (7, 3, 2), (5, 8, 4), (20, 4, 1)] {
        let (z, e) = (matrix(&mut rng, n, d), matrix(&mut rng, codes, d));
        let rows = nearest(z.view(), e.view()).unwrap();
        assert_eq!(rows, nearest_by_hand(&z, &e));
        // A small move of z changes neither the choice nor the value: the derivative in z is 0.
        let near = &z + &(matrix(&mut rng, n, d) * 1e-9);
        assert_eq!(nearest(near.view(), e.view()).unwrap(), rows);
        // The chosen rows' cotangents add up where several chose the same code.
        let tape = Tape::new();
        let ve = tape.variable(e.clone());
        let y_bar = matrix(&mut rng, n, d);
        let e_bar = owned(tape.pull_back(ve.gather(&rows), y_bar.clone(), &[]).wrt(ve));
        let mut by_hand = Array2::<f64>::zeros((codes, d));
        for (i, &k) in rows.iter().enumerate() {
            for j in 0..d {
                by_hand[[k, j]] += y_bar[[i, j]];
            }
        }
        worst.entries(&e_bar, &dynamic(&by_hand));
        let check = Check::new("stop-gradient-and-selection");
        let point = [dynamic(&e)];
        checked.add(check.run(&point, |v| v[0].gather(&rows)).unwrap());
        checked.add(
            check
                .run_second_order(&point, |v| v[0].gather(&rows).square())
                .unwrap(),
        );
    }
    worst.within(1e-15, "chosen rows: hand = autodiff");
    checked.tell("chosen rows, first and second order");

    let codes = arr2(&[[1.0], [-1.0], [1.0]]);
    assert_eq!(
        nearest(arr2(&[[0.0], [2.0]]).view(), codes.view()),
        Ok(vec![0, 0])
    );
    let none = Array2::<f64>::zeros((0, 1));
    assert_eq!(
        nearest(arr2(&[[0.0]]).view(), none.view()),
        Err(NoNearest::NoCodes)
    );
    assert_eq!(nearest(none.view(), codes.view()), Ok(vec![]));
    for z in [arr2(&[[0.0], [f64::NAN]]), arr2(&[[0.5], [f64::INFINITY]])] {
        let far = arr2(&[[f64::INFINITY], [0.0]]);
        assert_eq!(nearest(z.view(), far.view()), Err(NoNearest::NotANumber(1)));
    }
}

#[test]
fn stop_gradient_and_selection_of_the_nearest_of_far_and_close_codes() {
    // Squares of these distances are ∞ or 0.
    let at = |z: f64, codes: &[f64]| {
        let codes = Array2::from_shape_fn((codes.len(), 1), |(k, _)| codes[k]);
        nearest(arr2(&[[z]]).view(), codes.view()).unwrap()[0]
    };
    for unit in [1e-323, 1e-310, 1e-200, 1e-160, 1.0, 1e154, 1e200, 1e307] {
        assert_eq!(at(0.0, &[3.0 * unit, unit]), 1, "{unit:e}");
        assert_eq!(at(0.0, &[unit, -unit, 0.5]), if unit < 0.5 { 0 } else { 2 });
        assert_eq!(at(unit, &[3.0 * unit, unit, unit]), 1, "{unit:e}");
    }
    // One far away does not hide that two are close, nor one close that two are far.
    assert_eq!(at(0.0, &[1e200, 3e-200, 1e-200]), 2);
    assert_eq!(at(0.0, &[3e200, f64::INFINITY, 2e200]), 2);
    // The differences themselves overflow.
    assert_eq!(at(1.7e308, &[-1.7e308, -1.6e308]), 1);
    assert_eq!(at(0.0, &[f64::INFINITY, f64::NEG_INFINITY]), 0);
    let single = arr2(&[[3e20f32], [2e19]]);
    assert_eq!(nearest(arr2(&[[0f32]]).view(), single.view()), Ok(vec![1]));
    // In several dimensions, as without the powers of 2.
    let mut rng = StdRng::seed_from_u64(145);
    for exponent in [-800, -530, 520, 900] {
        for _ in 0..20 {
            let (z, e) = (matrix(&mut rng, 5, 3), matrix(&mut rng, 6, 3));
            let unit = 2f64.powi(exponent);
            let moved = nearest((&z * unit).view(), (&e * unit).view()).unwrap();
            assert_eq!(moved, nearest_by_hand(&z, &e));
        }
    }
}

#[test]
fn stop_gradient_and_selection_straight_through() {
    let mut rng = StdRng::seed_from_u64(144);
    let mut checked = Checked::default();
    for (n, codes, d) in [(3, 4, 2), (5, 2, 3), (1, 1, 1)] {
        let (z, e) = (matrix(&mut rng, n, d), matrix(&mut rng, codes, d));
        let rows = nearest(z.view(), e.view()).unwrap();
        let tape = Tape::new();
        let (vz, ve) = (tape.variable(z.clone()), tape.variable(e.clone()));
        let chosen = ve.gather(&rows);
        let y = straight_through(chosen, vz);
        assert_eq!(y.value(), chosen.value());
        let y_bar = matrix(&mut rng, n, d);
        let gradients = tape.pull_back(y, y_bar.clone(), &[]);
        assert_eq!(owned(gradients.wrt(vz)), dynamic(&y_bar));
        assert!(gradients.wrt(ve).iter().all(|&g| g == 0.0));
        let check = Check::new("stop-gradient-and-selection");
        let point = [dynamic(&z), dynamic(&e)];
        let report = check.run_surrogate(
            &point,
            |v| straight_through(v[1].gather(&rows), v[0]).square(),
            |live, frozen| (frozen[1].gather(&rows) + live[0] - frozen[0]).square(),
        );
        checked.add(report.unwrap());
        // The derivative is a declaration: as a function of z the value does not move at all.
        let plain = check.run(&point[..1], |v| {
            straight_through(v[0].tape().constant(e.clone()).gather(&rows), v[0])
        });
        assert!(plain.is_err(), "{plain:?}");
    }
    checked.tell("straight through, against the declared surrogate");
}

// ---------------------------------------------------------------------------------------------------------
// logsumexp-softmax

#[test]
fn logsumexp_softmax_by_hand() {
    let mut rng = StdRng::seed_from_u64(151);
    let (mut value, mut gradient, mut hessian) =
        (Worst::default(), Worst::default(), Worst::default());
    for n in [1, 2, 5, 12] {
        let x = vector(&mut rng, n) * 3.0;
        let total: f64 = x.iter().map(|x| x.exp()).sum();
        let p = x.mapv(|x| x.exp() / total);
        let tape = Tape::new();
        let vx = tape.variable(x.clone());
        let y = vx.logsumexp();
        value.number(y.item(), total.ln(), total.ln().abs());
        let first = tape.differentiable_gradients(y).wrt(vx);
        gradient.entries(&owned(first.value()), &p.clone().into_dyn());
        gradient.entries(&owned(vx.softmax(0).value()), &p.clone().into_dyn());
        let by_hand = Array2::from_shape_fn((n, n), |(i, j)| p[i] * (f64::from(i == j) - p[j]));
        hessian.entries(&dynamic(&softmax_jacobian(p.view())), &dynamic(&by_hand));
        for i in 0..n {
            let row = tape.gradients(first.slice(0, i..i + 1).sum()).wrt(vx);
            hessian.entries(&owned(row), &by_hand.row(i).to_owned().into_dyn());
            let row = tape
                .gradients(vx.softmax(0).slice(0, i..i + 1).sum())
                .wrt(vx);
            hessian.entries(&owned(row), &by_hand.row(i).to_owned().into_dyn());
        }
        // vᵀ(diag p - ppᵀ)v is the variance of v under p; along the ones it is 0.
        let v = vector(&mut rng, n);
        let mean = p.dot(&v);
        let variance = p.dot(&v.mapv(|v| (v - mean).powi(2)));
        let product = hessian_product(x.clone(), v.clone(), |x| x.logsumexp());
        let form: f64 = product.iter().zip(&v).map(|(a, b)| a * b).sum();
        hessian.number(form, variance, 4.0);
        let ones = hessian_product(x, Array1::ones(n), |x| x.logsumexp());
        ones.iter().for_each(|&g| hessian.number(g, 0.0, 1.0));
    }
    value.within(1e-14, "log Σ e^x: hand = tape");
    gradient.within(1e-13, "gradient = softmax");
    hessian.within(1e-13, "Hessian = diag p - ppᵀ");
}

#[test]
fn logsumexp_softmax_hessian_of_a_sure_class() {
    // p - p² has no digit of e^-40 left; p times the sum of the others has all.
    let mut rng = StdRng::seed_from_u64(155);
    for n in [2, 3, 7] {
        for scale in [1.0, 40.0, 300.0] {
            let mut x = vector(&mut rng, n);
            x[n / 2] += scale;
            let p = owned(Tape::new().constant(x).softmax(0).value());
            let hessian = softmax_jacobian(p.view().into_dimensionality().unwrap());
            assert_eq!(hessian, hessian.t());
            for (i, row) in hessian.outer_iter().enumerate() {
                // What lies on the diagonal is what the others in its row take away: no less, as an eigenvalue below 0 needs.
                assert!(row[i] > 0.0 && row.sum().abs() <= 1e-14 * row[i], "{row}");
            }
        }
    }
    let p = arr1(&[1.0, (-40f64).exp()]);
    let small = p[1];
    assert_eq!(
        softmax_jacobian(p.view()),
        arr2(&[[small, -small], [-small, small]])
    );
    assert_eq!(softmax_jacobian(arr1(&[1.0]).view()), arr2(&[[0.0]]));
}

#[test]
fn logsumexp_softmax_pullbacks() {
    // Softmax: x̄ = y ⊙ (ȳ - ⟨ȳ, y⟩). Log-softmax: x̄ = ȳ - y Σ ȳ. Along each axis of a stack.
    let mut rng = StdRng::seed_from_u64(152);
    let (mut worst, mut checked) = (Worst::default(), Checked::default());
    for (shape, axis) in [(&[4][..], 0), (&[3, 5], 1), (&[3, 5], 0), (&[2, 3, 4], 1)] {
        let (x, y_bar) = (random(&mut rng, shape), random(&mut rng, shape));
        let exponential = x.mapv(f64::exp);
        let along = |x: &ArrayD<f64>| x.sum_axis(Axis(axis)).insert_axis(Axis(axis));
        let y = &exponential / &along(&exponential);
        let tape = Tape::new();
        let vx = tape.variable(x.clone());
        let pulled =
            |output: Var<'_, f64>| owned(tape.pull_back(output, y_bar.clone(), &[]).wrt(vx));
        worst.entries(
            &pulled(vx.softmax(axis)),
            &(&y * &(&y_bar - &along(&(&y_bar * &y)))),
        );
        worst.entries(
            &pulled(vx.log_softmax(axis)),
            &(&y_bar - &(&y * &along(&y_bar))),
        );
        // A cotangent of ones cannot tell a softmax from a constant.
        let ones = tape.pull_back(vx.softmax(axis), ArrayD::ones(IxDyn(shape)), &[]);
        ones.wrt(vx).iter().for_each(|&g| worst.number(g, 0.0, 1.0));
        let check = Check::new("logsumexp-softmax");
        let point = [x];
        checked.add(check.run(&point, |v| v[0].softmax(axis)).unwrap());
        checked.add(check.run(&point, |v| v[0].log_softmax(axis)).unwrap());
        checked.add(check.run(&point, |v| v[0].logsumexp_axes(&[axis])).unwrap());
        checked.add(
            check
                .run_second_order(&point, |v| v[0].softmax(axis))
                .unwrap(),
        );
        checked.add(
            check
                .run_second_order(&point, |v| v[0].log_softmax(axis))
                .unwrap(),
        );
        checked.add(
            check
                .run_second_order(&point, |v| v[0].logsumexp_axes(&[axis]))
                .unwrap(),
        );
    }
    worst.within(1e-13, "pullbacks: hand = autodiff");
    checked.tell("first and second order");
}

#[test]
fn logsumexp_softmax_far_from_zero() {
    let mut rng = StdRng::seed_from_u64(153);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for offset in [1e3, -1e3, 1e6, 2f64.powi(40)] {
        // Numbers with few digits, so that x + c itself is exact.
        let x = vector(&mut rng, 6).mapv(|x| (x * 1024.0).round() / 1024.0);
        let moved = &x + offset;
        let on = |x: &Array1<f64>| {
            let tape = Tape::new();
            let vx = tape.variable(x.clone());
            let y = vx.logsumexp();
            (
                y.item(),
                owned(tape.gradients(y).wrt(vx)),
                owned(vx.log_softmax(0).value()),
            )
        };
        let (near, far) = (on(&x), on(&moved));
        value.number(far.0, near.0 + offset, offset.abs());
        value.entries(&far.2, &near.2);
        // e^(x - y): the digits that x + c pushed out of y are missing in the exponent.
        let lost = f64::EPSILON * offset.abs();
        for (found, expected) in far.1.iter().zip(&near.1) {
            assert!((found / expected - 1.0).abs() <= 2.0 * lost + 1e-14);
        }
        let tape = Tape::new();
        let softmax = |x: &Array1<f64>| owned(tape.constant(x.clone()).softmax(0).value());
        gradient.entries(&softmax(&moved), &softmax(&x));
        let naive = moved.iter().map(|x| x.exp()).sum::<f64>().ln();
        assert!(naive.is_infinite(), "log Σ e^x as it stands is {naive}");
    }
    value.within(
        1e-15,
        "log Σ e^(x+c) = c + log Σ e^x, and log-softmax unmoved",
    );
    gradient.within(1e-15, "softmax unmoved");
}

#[test]
fn logsumexp_softmax_between_the_largest_and_log_n_more() {
    let mut rng = StdRng::seed_from_u64(154);
    for n in [1, 2, 7, 100] {
        for scale in [0.0, 1e-3, 1.0, 1e3] {
            let x = vector(&mut rng, n) * scale;
            let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let y = Tape::new().constant(x).logsumexp().item();
            assert!(y >= largest && y <= largest + (n as f64).ln() + 1e-12);
        }
    }
    // What is -∞ adds nothing and receives nothing; where all are, so is the result.
    let tape = Tape::new();
    let x = tape.variable(arr1(&[0.5, f64::NEG_INFINITY, 0.5]));
    let y = x.logsumexp();
    assert!((y.item() - (0.5 + 2f64.ln())).abs() < 1e-15);
    assert_eq!(tape.gradients(y).wrt(x)[1], 0.0);
    let none = tape.constant(arr1(&[f64::NEG_INFINITY; 3]));
    assert_eq!(none.logsumexp().item(), f64::NEG_INFINITY);
}

// ---------------------------------------------------------------------------------------------------------
// vjp-chain-rule

/// One step of a program over arrays of one shape: what is computed from which of the earlier ones.
#[derive(Clone, Copy, Debug)]
enum Step {
    Add(usize, usize),
    Sub(usize, usize),
    Mul(usize, usize),
    Tanh(usize),
    Sigmoid(usize),
    Square(usize),
    Reverse(usize),
}

/// A program of `inputs` and `steps` at random, in which many values have several uses.
fn program(rng: &mut StdRng, inputs: usize, steps: usize) -> Vec<Step> {
    (inputs..inputs + steps)
        .map(|known| {
            let (a, b) = (rng.random_range(0..known), rng.random_range(0..known));
            match rng.random_range(0..7) {
                0 => Step::Add(a, b),
                1 => Step::Sub(a, b),
                2 => Step::Mul(a, b),
                3 => Step::Tanh(a),
                4 => Step::Sigmoid(a),
                5 => Step::Square(a),
                _ => Step::Reverse(a),
            }
        })
        .collect()
}

/// On the tape, from one vector that holds all inputs; the last value, scaled down so that squares of squares stay small.
fn on_tape<'t>(program: &[Step], inputs: usize, x: Var<'t, f64>) -> Var<'t, f64> {
    let length = x.size() / inputs;
    let mut values: Vec<Var<'t, f64>> = (0..inputs)
        .map(|i| x.slice(0, i * length..(i + 1) * length))
        .collect();
    for step in program {
        values.push(match *step {
            Step::Add(a, b) => (values[a] + values[b]) * 0.5,
            Step::Sub(a, b) => values[a] - values[b],
            Step::Mul(a, b) => values[a] * values[b],
            Step::Tanh(a) => values[a].tanh(),
            Step::Sigmoid(a) => values[a].sigmoid(),
            Step::Square(a) => values[a].square() * 0.5,
            Step::Reverse(a) => {
                let order: Vec<usize> = (0..length).rev().collect();
                values[a].gather(&order)
            }
        });
    }
    values[values.len() - 1]
}

/// Value and change, both forwards: (f, f' v) for every step, by the rules of differentials on plain numbers.
fn forwards(program: &[Step], inputs: usize, x: &Array1<f64>, v: &Array1<f64>) -> [Array1<f64>; 2] {
    let length = x.len() / inputs;
    let part = |x: &Array1<f64>, i: usize| x.slice(s![i * length..(i + 1) * length]).to_owned();
    let mut known: Vec<[Array1<f64>; 2]> = (0..inputs).map(|i| [part(x, i), part(v, i)]).collect();
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for step in program {
        let of = |a: usize| (&known[a][0], &known[a][1]);
        known.push(match *step {
            Step::Add(a, b) => {
                let ((x, dx), (y, dy)) = (of(a), of(b));
                [(x + y) * 0.5, (dx + dy) * 0.5]
            }
            Step::Sub(a, b) => {
                let ((x, dx), (y, dy)) = (of(a), of(b));
                [x - y, dx - dy]
            }
            Step::Mul(a, b) => {
                let ((x, dx), (y, dy)) = (of(a), of(b));
                [x * y, dx * y + x * dy]
            }
            Step::Tanh(a) => {
                let (x, dx) = of(a);
                [x.mapv(f64::tanh), dx * &x.mapv(|x| x.cosh().powi(-2))]
            }
            Step::Sigmoid(a) => {
                let (x, dx) = of(a);
                [x.mapv(sigmoid), dx * &x.mapv(|x| sigmoid(x) * sigmoid(-x))]
            }
            Step::Square(a) => {
                let (x, dx) = of(a);
                [x * x * 0.5, x * dx]
            }
            Step::Reverse(a) => {
                let (x, dx) = of(a);
                [
                    x.slice(s![..;-1]).to_owned(),
                    dx.slice(s![..;-1]).to_owned(),
                ]
            }
        });
    }
    known.pop().unwrap()
}

/// A program, the number of its inputs, a point and a direction.
type Case = (Vec<Step>, usize, Array1<f64>, Array1<f64>);

fn programs(rng: &mut StdRng) -> Vec<Case> {
    let mut found = Vec::new();
    for (inputs, steps, length) in [
        (1, 3, 1),
        (2, 6, 3),
        (3, 12, 2),
        (2, 25, 4),
        (4, 40, 3),
        (1, 30, 5),
    ] {
        for _ in 0..8 {
            let program = program(rng, inputs, steps);
            let [x, v] = [(); 2].map(|()| vector(rng, inputs * length));
            found.push((program, inputs, x, v));
        }
    }
    found
}

#[test]
fn vjp_chain_rule_dot_test_on_random_graphs() {
    let mut rng = StdRng::seed_from_u64(161);
    let (mut value, mut dot, mut forward) = (Worst::default(), Worst::default(), Worst::default());
    let mut moving = 0;
    for (program, inputs, x, v) in programs(&mut rng) {
        let [y, jv] = forwards(&program, inputs, &x, &v);
        let y_bar = vector(&mut rng, y.len());
        let tape = Tape::new();
        let vx = tape.variable(x.clone());
        let output = on_tape(&program, inputs, vx);
        value.entries(&owned(output.value()), &y.into_dyn());
        let x_bar = owned(tape.pull_back(output, y_bar.clone(), &[]).wrt(vx));
        let left = y_bar.dot(&jv);
        let right: f64 = x_bar.iter().zip(&v).map(|(a, b)| a * b).sum();
        let terms = x_bar.iter().zip(&v).map(|(a, b)| (a * b).abs());
        let scale = terms.sum::<f64>()
            + y_bar
                .iter()
                .zip(&jv)
                .map(|(a, b)| (a * b).abs())
                .sum::<f64>();
        dot.number(right, left, scale);
        let pushed = push_forward(x, v, |x| on_tape(&program, inputs, x));
        forward.entries(&owned(pushed), &jv.clone().into_dyn());
        moving += usize::from(left != 0.0);
    }
    println!("48 graphs, {moving} of them with a slope");
    assert!(moving > 30);
    value.within(1e-13, "values = plain arithmetic");
    dot.within(1e-13, "⟨ȳ, Jv⟩ = ⟨Jᵀȳ, v⟩, J v by differentials forwards");
    forward.within(1e-12, "J v from two pullbacks = J v forwards");
}

#[test]
fn vjp_chain_rule_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(162);
    let mut checked = Checked::default();
    for (program, inputs, x, _) in programs(&mut rng).into_iter().step_by(3) {
        let point = [x.into_dyn()];
        let check = Check::new("vjp-chain-rule");
        checked.add(
            check
                .run(&point, |v| on_tape(&program, inputs, v[0]))
                .unwrap(),
        );
        let second = check.run_second_order(&point, |v| on_tape(&program, inputs, v[0]).square());
        checked.add(second.unwrap());
    }
    checked.tell("random graphs, first and second order");
}

#[test]
fn vjp_chain_rule_adds_over_every_path() {
    // x + x, sixty times over: 2⁶⁰ paths from x to the end, each with the derivative 1, on a tape of 61 lines.
    let tape = Tape::new();
    let x = tape.variable(arr0(1.0));
    let doubled = (0..60).fold(x, |x, _| x + x);
    assert_eq!(tape.gradients(doubled).wrt(x).sum(), 2f64.powi(60));
    assert_eq!(tape.len(), 61);
    // A use behind a stop does not count, one that is not on the way neither.
    let once = x * x.stop_gradient() + x;
    let _ = x.exp();
    assert_eq!(tape.gradients(once).wrt(x).sum(), 2.0);
}

#[test]
fn vjp_chain_rule_on_three_lines() {
    let tape = Tape::new();
    let (x, w) = (tape.variable(arr0(3.0)), tape.variable(arr0(-2.0)));
    let u = x * w;
    let y = u + x;
    let loss = y.square();
    let expected = "\
step  operation    value  cotangent
%0    variable         3          6
%1    variable        -2        -18
%2    mul(%0, %1)     -6         -6
%3    add(%2, %0)     -3         -6
%4    square(%3)       9          1
";
    let trace = Trace::of(loss);
    println!("{trace}");
    assert_eq!(trace.to_string(), expected);
    // The loss is x²(w + 1)²: by hand 2x(w + 1)² and 2x²(w + 1).
    let cotangent = |step: usize| trace.steps()[step].cotangent.as_ref().unwrap().sum();
    assert_eq!([cotangent(0), cotangent(1)], [6.0, -18.0]);
    assert_eq!(trace.steps()[3].inputs, [2, 0]);
    // x receives 12 from the product and -6 from the sum.
    let given = |step: usize| {
        trace.steps()[step]
            .given
            .iter()
            .map(|(i, part)| (*i, part.sum()))
    };
    assert!(given(2).eq([(0, 12.0), (1, -18.0)]) && given(3).eq([(2, -6.0), (0, -6.0)]));
    // Arrays stand on one line; what no variable is behind has no cotangent.
    let short = Tape::<f32>::new();
    let sum = (short.variable(arr1(&[1.0, 2.0])) * short.constant(arr1(&[3.0, 4.0]))).sum();
    let table = Trace::of(sum).to_string();
    assert!(
        table.contains("[1, 2]     [3, 4]") && table.contains("[3, 4]          -"),
        "{table}"
    );
    // What the result does not use is in its table as well, with the cotangent 0.
    let _ = x.exp();
    let trace = Trace::of(loss + 1.0);
    let unused = trace.steps().iter().find(|step| step.operation == "exp");
    assert_eq!(unused.unwrap().cotangent, Some(arr0(0.0).into_dyn().into()));
    // And once more: the gradient 2x(w + 1)² is on the tape, with the derivatives 2(w + 1)² and 4x(w + 1).
    let gradient = tape.differentiable_gradients(loss).wrt(x);
    let second = tape.gradients(gradient);
    assert_eq!([second.wrt(x).sum(), second.wrt(w).sum()], [2.0, -12.0]);
}

#[test]
fn vjp_chain_rule_gives_hessian_products() {
    // f = Σ_ij a_ij tanh(x_i) x_j²: by hand from the two slopes of each factor.
    let mut rng = StdRng::seed_from_u64(163);
    let mut worst = Worst::default();
    for n in [1, 3, 6] {
        let (a, x, v) = (
            matrix(&mut rng, n, n),
            vector(&mut rng, n),
            vector(&mut rng, n),
        );
        let product = hessian_product(x.clone(), v.clone(), |x| {
            let a = x.tape().constant(a.clone());
            x.tanh().matmul(a).matmul(x.square())
        });
        let (t, t1) = (x.mapv(f64::tanh), x.mapv(|x| 1.0 - x.tanh().powi(2)));
        let t2 = -2.0 * &t * &t1;
        let (q, q1) = (&x * &x, &x * 2.0);
        let by_hand = &t2 * &a.dot(&q) * &v
            + &t1 * &a.dot(&(&q1 * &v))
            + &q1 * &a.t().dot(&(&t1 * &v))
            + a.t().dot(&t) * 2.0 * &v;
        worst.entries(&owned(product), &by_hand.into_dyn());
    }
    worst.within(1e-12, "H v: hand = two passes");
}

// ---------------------------------------------------------------------------------------------------------
// adam

/// A step with given gradients: the loss ⟨g, θ⟩ has them.
fn step_along(
    parameters: &mut Parameters<f64>,
    g: &ArrayD<f64>,
    step: impl FnOnce(&mut Parameters<f64>, &ParameterGradients<f64>),
) {
    let mut tape = Tape::new();
    let (_, gradients) = parameters.value_and_gradients(&mut tape, |p| {
        ((p.vars()[0] * p.tape().constant(g.clone())).sum(), ())
    });
    step(parameters, &gradients);
}

fn adam_step(adam: &mut Adam<f64>, parameters: &mut Parameters<f64>, g: &ArrayD<f64>) {
    step_along(parameters, g, |p, gradients| adam.step(p, gradients));
}

fn theta(start: ArrayD<f64>) -> Parameters<f64> {
    let mut parameters = Parameters::new();
    parameters.add("θ", start);
    parameters
}

#[test]
fn adam_three_steps_by_hand() {
    // β₁ = ½, β₂ = ¾, α = 1, ε = 0, gradients 1, 2, -1: m = ½, 5/4, 1/8 and v = ¼, 19/16, 73/64;
    // m̂ = 1, 5/3, 1/7 and v̂ = 1, 19/7, 73/37.
    let mut adam = Adam::with(1.0, 0.5, 0.75, 0.0);
    let mut parameters = theta(arr1(&[0.0]).into_dyn());
    let steps: [f64; 3] = [
        1.0,
        5.0 / 3.0 / (19f64 / 7.0).sqrt(),
        1.0 / 7.0 / (73f64 / 37.0).sqrt(),
    ];
    let mut expected = 0.0;
    for (g, step) in [1.0, 2.0, -1.0].into_iter().zip(steps) {
        adam_step(&mut adam, &mut parameters, &arr1(&[g]).into_dyn());
        expected -= step;
        let found = parameters.get("θ").unwrap()[0];
        println!("g = {g}: step {step:.6}, θ = {found:.6}");
        assert!((found - expected).abs() < 1e-15 * expected.abs().max(1.0) * 4.0);
    }
}

#[test]
fn adam_against_the_sums() {
    // m_t = (1-β₁) Σ β₁^(t-i) g_i and v_t alike, each step from the whole past.
    let mut rng = StdRng::seed_from_u64(171);
    let mut worst = Worst::default();
    for (shape, [alpha, beta1, beta2, epsilon]) in [
        (&[3, 2][..], [0.1, 0.9, 0.999, 1e-8]),
        (&[5], [0.02, 0.6, 0.8, 0.3]),
        (&[], [1.0, 0.0, 0.5, 1e-3]),
    ] {
        let mut adam = Adam::with(alpha, beta1, beta2, epsilon);
        let start = random(&mut rng, shape);
        let (mut parameters, mut expected) = (theta(start.clone()), start);
        let mut past: Vec<ArrayD<f64>> = Vec::new();
        for t in 1..=12 {
            past.push(random(&mut rng, shape));
            adam_step(&mut adam, &mut parameters, &past[t - 1]);
            let average = |beta: f64, of: fn(f64) -> f64| {
                let weight = |i: usize| beta.powi((t - 1 - i) as i32);
                let total: f64 = (0..t).map(weight).sum();
                let sum =
                    |a: ArrayD<f64>, (i, g): (usize, &ArrayD<f64>)| a + g.mapv(of) * weight(i);
                past.iter()
                    .enumerate()
                    .fold(ArrayD::zeros(IxDyn(shape)), sum)
                    / total
            };
            let (m, v) = (average(beta1, |g| g), average(beta2, |g| g * g));
            expected = expected - m / (v.mapv(f64::sqrt) + epsilon) * alpha;
            worst.entries(&owned(parameters.get("θ").unwrap().clone()), &expected);
        }
    }
    worst.within(1e-12, "12 steps = weighted averages of all gradients");
}

#[test]
fn adam_with_a_constant_gradient() {
    let g = arr1(&[1e-9, -1e-6, 0.3, -7e5, 0.0]).into_dyn();
    let mut adam = Adam::new(1e-3);
    let mut parameters = theta(ArrayD::zeros(IxDyn(&[5])));
    let mut worst = Worst::default();
    for t in 1..=50 {
        adam_step(&mut adam, &mut parameters, &g);
        let expected = g.mapv(|g: f64| -1e-3 * f64::from(t) * g / (g.abs() + 1e-8));
        for (found, expected) in parameters.get("θ").unwrap().iter().zip(&expected) {
            worst.number(*found, *expected, expected.abs());
        }
    }
    worst.within(1e-12, "every step = α g/(|g| + ε)");
}

#[test]
fn adam_corrects_the_bias_of_its_averages() {
    // One entry, one experiment: 10⁵ of them, g ~ N(0.3, 1). With a large ε = α a step is m̂; with β₁ = 0 and ε = 0
    // it is α g/√v̂. Momentum with the rate 1 - β₁ steps by m itself.
    const DRAWS: usize = 100_000;
    let mut rng = StdRng::seed_from_u64(172);
    let zeros = || ArrayD::zeros(IxDyn(&[DRAWS]));
    let mut first = (Adam::with(1e12, 0.9, 0.999, 1e12), theta(zeros()));
    let mut second = (Adam::with(1.0, 0.0, 0.999, 0.0), theta(zeros()));
    let mut corrected = Worst::default();
    let mut plain = (Sgd::with_momentum(1.0 - 0.9, 0.9), theta(zeros()));
    let mut worst = 0.0f64;
    for t in 1..=4 {
        let g = normal_noise(&mut rng, DRAWS, 1)
            .remove_axis(Axis(1))
            .into_dyn()
            + 0.3;
        let step = |(adam, parameters): &mut (Adam<f64>, Parameters<f64>)| {
            let before = owned(parameters.get("θ").unwrap().clone());
            adam_step(adam, parameters, &g);
            before - owned(parameters.get("θ").unwrap().clone())
        };
        let m = step(&mut first);
        worst = worst.max(Statistics::of(&m).agree_with(0.3, &format!("m̂ after {t} steps")));
        let v = (&g / &step(&mut second)).mapv(|x| x * x);
        worst = worst.max(Statistics::of(&v).agree_with(1.09, &format!("v̂ after {t} steps")));
        // Without the correction the mean is (1 - β₁ᵗ) E g.
        let before = owned(plain.1.get("θ").unwrap().clone());
        step_along(&mut plain.1, &g, |p, gradients| plain.0.step(p, gradients));
        let raw = before - owned(plain.1.get("θ").unwrap().clone());
        let lacking = 1.0 - 0.9f64.powi(t);
        worst = worst
            .max(Statistics::of(&raw).agree_with(0.3 * lacking, &format!("m after {t} steps")));
        corrected.entries(&(m * lacking), &raw);
    }
    corrected.within(1e-11, "m̂ (1 - β₁ᵗ) = m");
    println!("worst: {worst:.2} standard errors");
}

#[test]
fn adam_lags_behind_a_gradient_that_drifts() {
    // g_t = t: the correction makes the weights sum to 1; the average is still one of the past.
    let mut adam = Adam::with(1e12, 0.9, 0.999, 1e12);
    let mut parameters = theta(arr1(&[0.0]).into_dyn());
    let mut before = 0.0;
    for t in 1..=200 {
        adam_step(
            &mut adam,
            &mut parameters,
            &arr1(&[f64::from(t)]).into_dyn(),
        );
        let now = parameters.get("θ").unwrap()[0];
        let (m, power) = (before - now, 0.9f64.powi(t));
        // Σ β^(t-i) i / Σ β^(t-i) = t/(1-βᵗ) - β/(1-β).
        let exact = f64::from(t) / (1.0 - power) - 9.0;
        assert!((m - exact).abs() < 1e-8 * exact, "{m} {exact}");
        before = now;
    }
    println!("after 200 steps of g_t = t, m̂ is 191, 9 behind");
}

#[test]
fn adam_can_go_the_wrong_way() {
    // Gradients 4, -1, -1 over and over: their sum is positive, so descent goes down. With β₁ = 0, β₂ = 1/(1 + 4²)
    // the large one is divided by its own size, and forgotten when the small ones come (Reddi, Kale and Kumar 2018).
    let mut adam = Adam::with(0.01, 0.0, 1.0 / 17.0, 1e-8);
    let mut usual = Adam::with(0.01, 0.9, 0.999, 1e-8);
    let [mut wrong, mut right] = [(); 2].map(|()| theta(arr1(&[0.0]).into_dyn()));
    for t in 0..3000 {
        let g = arr1(&[if t % 3 == 0 { 4.0 } else { -1.0 }]).into_dyn();
        adam_step(&mut adam, &mut wrong, &g);
        adam_step(&mut usual, &mut right, &g);
    }
    let [wrong, right] = [wrong, right].map(|p| p.get("θ").unwrap()[0]);
    println!("3000 steps: θ = {wrong:.2} with β₂ = 1/17, {right:.2} with β₂ = 0.999");
    assert!(wrong > 1.0 && right < -1.0);
}
