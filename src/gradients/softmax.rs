//! The second derivative of log Σ e^x ([notes](crate::gradients#logsumexp-softmax)).

use ndarray::{Array1, Array2, ArrayView1, Axis};

/// diag p - p pᵀ for p = softmax(x), of shape (K, K): the Jacobian of the softmax and the Hessian of log Σ e^x. Symmetric,
/// with no negative eigenvalue, and 0 along (1, …, 1).
pub fn softmax_jacobian(probabilities: ArrayView1<'_, f64>) -> Array2<f64> {
    let p = &probabilities;
    let mut jacobian = -(&p.insert_axis(Axis(1)) * p);
    jacobian.diag_mut().assign(&(p * &all_others(*p)));
    jacobian
}

/// Σ_(j≠i) p_j for each i: 1 - p_i without its cancellation where p_i is near 1.
pub(super) fn all_others(probabilities: ArrayView1<'_, f64>) -> Array1<f64> {
    let mut others = Array1::zeros(probabilities.len());
    let (mut before, mut after) = (0.0, 0.0);
    for i in 0..probabilities.len() {
        let from_last = probabilities.len() - 1 - i;
        others[i] += before;
        others[from_last] += after;
        before += probabilities[i];
        after += probabilities[from_last];
    }
    others
}
