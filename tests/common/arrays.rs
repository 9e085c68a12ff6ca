//! Arrays from the tape, softmax on plain arrays, and the type of an expression.

use elbo::autodiff::{Value, Var};
use ndarray::{Array1, ArrayD};

/// A function of variables, for any tape.
pub type Expression = for<'t> fn(&[Var<'t, f64>]) -> Var<'t, f64>;

/// The array itself, out of a value of the tape.
pub fn owned(value: Value<f64>) -> ArrayD<f64> {
    value.into_owned()
}

/// e^a / Σ e^a.
pub fn softmax(logits: &Array1<f64>) -> Array1<f64> {
    let e = logits.mapv(f64::exp);
    &e / e.sum()
}
