//! What the pullback alone gives: the product with the Jacobian itself, and with the Hessian
//! ([notes](crate::gradients#vjp-chain-rule)).

use crate::Scalar;
use crate::autodiff::{IntoValue, Tape, Value, Var};

/// J v, the derivative of y = f(x) in the direction v: the forward product, from two pullbacks. Jᵀȳ is linear in ȳ, and the
/// gradient of ⟨Jᵀȳ, v⟩ with respect to ȳ is J v.
///
/// ```
/// use elbo::gradients::push_forward;
/// use ndarray::arr1;
///
/// // y = x₁ x₂ changes by x₂ v₁ + x₁ v₂.
/// let change = push_forward(arr1(&[3.0, -2.0]), arr1(&[1.0, 10.0]), |x| x.slice(0, 0..1) * x.slice(0, 1..2));
/// assert_eq!(change, arr1(&[28.0]).into_dyn());
/// ```
///
/// # Panics
/// If x and v differ in shape.
pub fn push_forward<T: Scalar>(
    x: impl IntoValue<T>,
    v: impl IntoValue<T>,
    f: impl for<'t> Fn(Var<'t, T>) -> Var<'t, T>,
) -> Value<T> {
    let tape = Tape::new();
    let (x, v) = point_and_direction("push_forward", &tape, x, v);
    let y = f(x);
    // Any ȳ would do: the map that takes it to Jᵀȳ has one slope everywhere.
    let y_bar = tape.variable(ndarray::ArrayD::zeros(y.shape()));
    let x_bar = tape.differentiable_pull_back(y, y_bar).wrt(x);
    tape.gradients((x_bar * v).sum()).wrt(y_bar)
}

/// H v for the Hessian H of a function with one number as its result: the gradient of ⟨∇f, v⟩.
/// (Over all parameters of a network: [`Parameters::hessian_product`](crate::nn::Parameters::hessian_product).)
///
/// ```
/// use elbo::gradients::hessian_product;
/// use ndarray::arr1;
///
/// // f = x₁² x₂ has the Hessian [[2x₂, 2x₁], [2x₁, 0]].
/// let product = hessian_product(arr1(&[3.0, -2.0]), arr1(&[1.0, 10.0]), |x| {
///     (x.slice(0, 0..1).square() * x.slice(0, 1..2)).sum()
/// });
/// assert_eq!(product, arr1(&[56.0, 6.0]).into_dyn());
/// ```
///
/// # Panics
/// If x and v differ in shape, or f has more or less than one entry.
pub fn hessian_product<T: Scalar>(
    x: impl IntoValue<T>,
    v: impl IntoValue<T>,
    f: impl for<'t> Fn(Var<'t, T>) -> Var<'t, T>,
) -> Value<T> {
    let tape = Tape::new();
    let (x, v) = point_and_direction("hessian_product", &tape, x, v);
    let gradient = tape.differentiable_gradients(f(x)).wrt(x);
    tape.gradients((gradient * v).sum()).wrt(x)
}

fn point_and_direction<'t, T: Scalar>(
    operation: &str,
    tape: &'t Tape<T>,
    x: impl IntoValue<T>,
    v: impl IntoValue<T>,
) -> (Var<'t, T>, Var<'t, T>) {
    let (x, v) = (tape.variable(x.into_value()), tape.constant(v.into_value()));
    assert!(
        x.shape() == v.shape(),
        "{operation}: shapes {:?} (x) and {:?} (v) do not fit",
        x.shape(),
        v.shape()
    );
    (x, v)
}
