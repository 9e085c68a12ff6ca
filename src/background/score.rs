//! The gradient of an expectation, through the logarithm of the density
//! ([notes](crate::background#log-derivative)).

use ndarray::{Array1, Array2, ArrayView1, Zip};

use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::{mask, standardised, weighed};

/// An expression with the value E_q f and the gradient E_q[f ∇log q + ∇f], from the log-density and f at points z that
/// are held fixed.
///
/// `log_q`, `f` and `weights` have one shape, an entry for each point. The weights say how Σ w f becomes E_q f: the
/// probabilities themselves, if the points are all values of z; the weights of a quadrature rule for q; or 1/n for n
/// draws. They are taken as constants, whatever they were computed from. Points of weight 0 do not count, and may have
/// log q = -∞ and an infinite f. If f is infinite at a point that counts, so is E_q f; there it has no gradient, and what the
/// tape returns is none.
///
/// # Panics
/// If the shapes differ, log q is -∞ at a point that counts (it cannot have been drawn), or f is NaN there, or ∞ at one and
/// -∞ at another.
pub fn log_derivative<'t, T: Scalar>(
    weights: Var<'t, T>,
    log_q: Var<'t, T>,
    f: Var<'t, T>,
) -> Var<'t, T> {
    let shapes = [weights.shape(), log_q.shape(), f.shape()];
    assert!(
        shapes[0] == shapes[1] && shapes[0] == shapes[2],
        "log_derivative: shapes {:?} (weights), {:?} (log q) and {:?} (f) do not fit",
        shapes[0],
        shapes[1],
        shapes[2]
    );
    let counts = weights.value().mapv(|w| w != T::zero()).into_shared();
    let (log_q, f) = (log_q.keep_where(&counts), f.keep_where(&counts));
    assert!(
        log_q.value().iter().all(|l| *l != T::neg_infinity()),
        "log_derivative: expected a density above 0 at every point with a weight, found log q = -∞"
    );
    // 0, with the gradient of log q.
    let score = log_q - log_q.stop_gradient();
    let factor = f
        .stop_gradient()
        .keep_where(&mask(&f.value(), T::is_finite));
    let expectation = (weights.stop_gradient() * (factor * score + f)).sum();
    assert!(
        !expectation.item().is_nan(),
        "log_derivative: expected values f that are no NaN, and not ∞ here and -∞ there"
    );
    expectation
}

/// ∇_a log q_k = e_k - q for q = softmax(a): row k of a matrix of shape (K, K).
pub fn categorical_scores(probabilities: ArrayView1<'_, f64>) -> Array2<f64> {
    Array2::eye(probabilities.len()) - probabilities
}

/// ∇_a E_q f = q ⊙ (f - E_q f) for q = softmax(a) and an f that does not depend on a. Where q is 0, f may be anything.
///
/// # Panics
/// If the lengths differ, or f is not finite where q is positive: E_q f then has no gradient.
pub fn categorical_gradient(
    probabilities: ArrayView1<'_, f64>,
    f: ArrayView1<'_, f64>,
) -> Array1<f64> {
    assert!(
        probabilities.len() == f.len(),
        "categorical_gradient: shapes {:?} (probabilities) and {:?} (f) do not fit",
        probabilities.shape(),
        f.shape()
    );
    let counted = Zip::from(&probabilities)
        .and(&f)
        .map_collect(|&q, &f| weighed(q, f));
    if let Some(found) = counted.iter().find(|f| !f.is_finite()) {
        panic!("categorical_gradient: expected finite values where q is positive, found {found}");
    }
    let mean = counted.sum();
    Zip::from(&probabilities)
        .and(&f)
        .map_collect(|&q, &f| weighed(q, f - mean))
}

/// ∇ log N(z; μ, e^s) in one dimension: ∂μ = (z-μ) e^-s and ∂s = ½ [(z-μ)² e^-s - 1].
pub fn gaussian_score_at(z: f64, mean: f64, log_variance: f64) -> [f64; 2] {
    let standard = standardised(z - mean, log_variance);
    [
        standardised(standard, log_variance),
        0.5 * (standard * standard - 1.0),
    ]
}
