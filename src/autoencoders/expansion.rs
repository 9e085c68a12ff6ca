//! What a little noise does to a code and to a reconstruction ([notes](crate::autoencoders#denoising-to-contractive)).

use ndarray::{Array1, ArrayD};

use crate::Scalar;
use crate::autodiff::{Tape, Var};

/// σ', σ'' and σ''' at a, from h = σ(a).
pub fn sigmoid_slopes<T: Scalar>(h: Var<'_, T>) -> [Var<'_, T>; 3] {
    let one = T::one();
    let first = h * h.subtracted_from(one);
    let second = first * (h * T::of(2.0)).subtracted_from(one);
    let third = first * (first * T::of(6.0)).subtracted_from(one);
    [first, second, third]
}

/// E ‖σ(W(x + sε) + b) - h‖² = s² c₂ + s⁴ c₄ + O(s⁶) for ε ~ N(0, I): c₂ = ‖J‖² and c₄ for every row of codes
/// h = σ(Wx + b), of shape (n, units), with W of shape (units, D).
///
/// # Panics
/// If the shapes do not fit.
pub fn sigmoid_expansion<'t, T: Scalar>(h: Var<'t, T>, weight: Var<'t, T>) -> [Var<'t, T>; 2] {
    let norms = weight.square().sum_last();
    let [first, second, third] = sigmoid_slopes(h);
    let fourth = second.square() * T::of(0.75) + first * third;
    [
        (first.square() * norms).sum_last(),
        (fourth * norms.square()).sum_last(),
    ]
}

/// E ‖x - r(x + sε)‖² = residual + s² (jacobian + curvature) + O(s⁴).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResidualExpansion {
    /// ‖x - r(x)‖².
    pub residual: f64,
    /// ‖J‖²_F of r at x.
    pub jacobian: f64,
    /// (r - x)·Δr at x.
    pub curvature: f64,
}

/// The expansion at x of any reconstruction r, of shape (D) to (D), by differentiating twice: D gradients, and D times D of
/// their gradients.
///
/// # Panics
/// If r(x) does not have the shape of x.
pub fn reconstruction_expansion(
    x: &Array1<f64>,
    r: impl for<'t> Fn(Var<'t, f64>) -> Var<'t, f64>,
) -> ResidualExpansion {
    let tape = Tape::new();
    let at = tape.variable(x.clone());
    let value = r(at);
    assert!(
        value.shape() == [x.len()],
        "reconstruction_expansion: shapes {:?} (x) and {:?} (reconstruction) do not fit",
        x.shape(),
        value.shape()
    );
    let error = value.value().to_owned() - x.view().into_dyn();
    let unit = |i: usize| {
        let mut unit = Array1::zeros(x.len());
        unit[i] = 1.0;
        unit
    };
    let (mut jacobian, mut curvature) = (0.0, 0.0);
    for i in 0..x.len() {
        let row = tape
            .differentiable_pull_back(value, tape.constant(unit(i)))
            .wrt(at);
        jacobian += row.value().iter().map(|slope| slope * slope).sum::<f64>();
        let second = |j: usize| tape.pull_back(row, unit(j), &[]).wrt(at)[[j]];
        // A gradient that does not depend on x is a constant, behind which there is nothing to differentiate.
        let laplacian: f64 = match row.is_active() {
            true => (0..x.len()).map(second).sum(),
            false => 0.0,
        };
        curvature += error[[i]] * laplacian;
    }
    let squares = |array: &ArrayD<f64>| array.iter().map(|e| e * e).sum();
    ResidualExpansion {
        residual: squares(&error.into_dyn()),
        jacobian,
        curvature,
    }
}
