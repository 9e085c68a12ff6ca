//! Densities as functions of arrays, and comparing them.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Value, Var};
use elbo::distributions::{Bernoulli, Categorical, DiagonalGaussian};
use elbo::kl;
use ndarray::{Array2, ArrayD, Axis, arr1};

use crate::common::arrays::Expression;

/// The value of an expression at constants.
pub fn at(inputs: &[ArrayD<f64>], f: Expression) -> ArrayD<f64> {
    let tape = Tape::new();
    let v: Vec<Var<'_, f64>> = inputs.iter().map(|x| tape.constant(x.clone())).collect();
    f(&v).value().into_owned()
}

/// The value of a sum of its entries, and the gradients.
pub fn slopes_at(inputs: &[ArrayD<f64>], f: Expression) -> Vec<Value<f64>> {
    let tape = Tape::new();
    let v: Vec<Var<'_, f64>> = inputs.iter().map(|x| tape.variable(x.clone())).collect();
    let gradients = tape.gradients(f(&v).sum());
    v.iter().map(|&x| gradients.wrt(x)).collect()
}

/// First and second order, at the given point and not at one nearby.
pub fn check(slug: &str, inputs: &[ArrayD<f64>], f: Expression) {
    let first = Check::new(slug).run(inputs, f);
    assert_eq!(first.unwrap_or_else(|e| panic!("{e}")).moved, 0, "{slug}");
    let second = Check::new(slug).run_second_order(inputs, f);
    let moved = second.unwrap_or_else(|e| panic!("second order: {e}")).moved;
    assert_eq!(moved, 0, "{slug}");
}

/// Within `tolerance`, relative to the number expected.
pub fn assert_relative(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance * expected.abs(),
        "{what}: {found:e}, not {expected:e}"
    );
}

/// Every entry the same number, -∞ included; NaN is none.
pub fn assert_entries(what: &str, found: &ArrayD<f64>, expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}: {found}");
    for (found, expected) in found.iter().zip(expected) {
        let same = found == expected || (found - expected).abs() < 1e-14;
        assert!(same, "{what}: {found} is not {expected}");
    }
}

/// Equally spaced points and their distance. For a smooth integrand that vanishes at both ends, the plain sum is
/// exact to rounding.
pub fn grid(from: f64, to: f64, points: usize) -> (Vec<f64>, f64) {
    let h = (to - from) / (points - 1) as f64;
    ((0..points).map(|i| from + h * i as f64).collect(), h)
}

/// The shape to which all of these broadcast.
pub fn broadcast_of(shapes: &[&[usize]]) -> Vec<usize> {
    let fold = |a: Vec<usize>, b: &&[usize]| elbo::autodiff::broadcast_shape("test", &a, b);
    shapes.iter().fold(Vec::new(), fold)
}

/// f of the entries of broadcast arrays, one by one, then the sum over the last axis.
pub fn naive_sum<const N: usize>(
    inputs: &[ArrayD<f64>; N],
    f: impl Fn([f64; N]) -> f64,
) -> ArrayD<f64> {
    let shapes = inputs.each_ref().map(|x| x.shape());
    let shape = broadcast_of(&shapes);
    let wide = inputs
        .each_ref()
        .map(|x| x.broadcast(shape.as_slice()).unwrap());
    let terms = ArrayD::from_shape_fn(shape.as_slice(), |index| {
        f(wide.each_ref().map(|x| x[index.clone()]))
    });
    terms.sum_axis(Axis(shape.len() - 1))
}

/// The values of `f` are those of [`naive_sum`].
pub fn assert_naive<const N: usize>(
    what: &str,
    inputs: &[ArrayD<f64>; N],
    f: Expression,
    naive: impl Fn([f64; N]) -> f64,
) {
    let (found, expected) = (at(inputs, f), naive_sum(inputs, naive));
    assert_eq!(found.shape(), expected.shape(), "{what}");
    let scale = expected.iter().fold(1.0, |s: f64, x| s.max(x.abs()));
    for (f, e) in found.iter().zip(&expected) {
        assert!((f - e).abs() < 1e-13 * scale, "{what}: {f}, not {e}");
    }
}

/// All 2^d vectors of zeros and ones.
pub fn outcomes(d: usize) -> Array2<f64> {
    Array2::from_shape_fn((1 << d, d), |(row, i)| f64::from((row >> i & 1) as u8))
}

/// The Gaussian with this mean and log-variance.
pub fn gaussian<'t>(mean: Var<'t, f64>, log_variance: Var<'t, f64>) -> DiagonalGaussian<'t, f64> {
    DiagonalGaussian { mean, log_variance }
}

/// log N(v2; v0, e^v1).
pub fn gaussian_density<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    gaussian(v[0], v[1]).log_density(v[2])
}

/// The entropy of N(v0, e^v1).
pub fn gaussian_entropy<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    gaussian(v[0], v[1]).entropy()
}

/// A Gaussian's log density on a wide grid: points, their distance, log p.
pub fn gaussian_on_a_grid(mean: f64, log_variance: f64) -> (Vec<f64>, f64, ArrayD<f64>) {
    let (points, h) = grid(-30.0, 30.0, 4001);
    let column = Array2::from_shape_vec((4001, 1), points.clone()).unwrap();
    let inputs = [
        arr1(&[mean]).into_dyn(),
        arr1(&[log_variance]).into_dyn(),
        column.into_dyn(),
    ];
    (points, h, at(&inputs, gaussian_density))
}

/// log p(v1) of coins with the logits v0.
pub fn bernoulli_density<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    Bernoulli { logits: v[0] }.log_density(v[1])
}

/// The entropy of coins with the logits v0.
pub fn bernoulli_entropy<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    Bernoulli { logits: v[0] }.entropy()
}

/// log p(v1) of classes with the logits v0.
pub fn categorical_density<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    Categorical { logits: v[0] }.log_density(v[1])
}

/// The entropy of classes with the logits v0.
pub fn categorical_entropy<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    Categorical { logits: v[0] }.entropy()
}

/// KL(N(v0, e^v1) ‖ N(0, I)).
pub fn kl_standard<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    kl::gaussian_standard(&gaussian(v[0], v[1]))
}

/// KL(N(v0, e^v1) ‖ N(v2, e^v3)).
pub fn kl_diagonal<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    kl::gaussian_diagonal(&gaussian(v[0], v[1]), &gaussian(v[2], v[3]))
}

/// The divergence between classes with the logits v0 and v1.
pub fn kl_categorical<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    kl::categorical(&Categorical { logits: v[0] }, &Categorical { logits: v[1] })
}

/// The divergence between coins with the logits v0 and v1.
pub fn kl_bernoulli<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    kl::bernoulli(&Bernoulli { logits: v[0] }, &Bernoulli { logits: v[1] })
}

/// The one number that `f` is at these inputs.
pub fn kl_of(inputs: &[ArrayD<f64>], f: Expression) -> f64 {
    let value = at(inputs, f);
    assert_eq!(value.len(), 1);
    value.sum()
}

/// Vectors as inputs of an expression.
pub fn vectors<const N: usize>(parts: [&[f64]; N]) -> [ArrayD<f64>; N] {
    parts.map(|part| arr1(part).into_dyn())
}
