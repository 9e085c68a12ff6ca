//! The operations. Each is written once: its value and its derivative rule on the same screen.
//!
//! A rule says what cotangent x̄ = Jᵀȳ an input receives when ȳ arrives at the output. It is written in the
//! operations themselves, so that it can be differentiated in turn.

mod activation;
mod arithmetic;
mod cholesky;
mod elementwise;
mod matmul;
mod power;
mod reduce;
mod select;
mod shape;
mod triangular;
mod trigonometric;
mod window;

pub(crate) use activation::{relu, sigmoid, softplus};
pub use cholesky::NotPositiveDefinite;
pub(crate) use elementwise::columns;
pub use select::{Mask, top_k_mask};
pub use shape::broadcast_shape;

/// How panics say which operation met which shapes.
fn mismatch(operation: &str, left: &[usize], right: &[usize]) -> ! {
    panic!("{operation}: shapes {left:?} and {right:?} do not fit")
}

/// How panics say that an axis does not exist.
fn check_axis(operation: &str, axis: usize, shape: &[usize]) {
    assert!(
        axis < shape.len(),
        "{operation}: axis {axis} is out of range for shape {shape:?}"
    );
}
