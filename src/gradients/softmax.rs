//! The second derivative of log Σ e^x ([notes](crate::gradients#logsumexp-softmax)).

use ndarray::{Array2, ArrayView1, Axis};

/// diag p - p pᵀ for p = softmax(x), of shape (K, K): the Jacobian of the softmax and the Hessian of log Σ e^x. Symmetric,
/// with no negative eigenvalue, and 0 along (1, …, 1).
pub fn softmax_jacobian(probabilities: ArrayView1<'_, f64>) -> Array2<f64> {
    let p = &probabilities;
    Array2::from_diag(p) - &p.insert_axis(Axis(1)) * p
}
