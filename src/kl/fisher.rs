//! The Fisher information: the divergence between neighbours.

use std::fmt;

use ndarray::{Array1, Array2, Axis, Ix2};

use super::Nodes;
use crate::autodiff::{Tape, Var, array};

/// The Fisher information of a family of densities at one parameter vector, along its two roads.
#[derive(Clone, Debug, PartialEq)]
pub struct FisherInformation {
    /// E ssᵀ, with the score s = ∇_θ log p_θ(x): of shape (k, k).
    pub score_square: Array2<f64>,
    /// -E H, with H the Hessian of log p_θ(x) in θ: of shape (k, k).
    pub curvature: Array2<f64>,
    /// E s, of shape (k): 0 if the expectation is under p_θ itself and the family is regular.
    pub mean_score: Array1<f64>,
}

/// The log-density, or a derivative of it, is not finite at a point that has weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotDifferentiable {
    /// Which point, from 0, among those of positive weight.
    pub index: usize,
}

impl fmt::Display for NotDifferentiable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected a finite log-density with finite derivatives wherever there is weight, found none at point {} \
             (counted from 0); give weight only to points that the density allows",
            self.index
        )
    }
}

impl std::error::Error for NotDifferentiable {}

/// F = E ssᵀ and -E H at θ, of shape (k), by differentiating the log-density once and twice on the tape
/// ([notes](crate::kl#fisher-information)).
///
/// `log_density(theta, x)` receives θ once for every point, of shape (n, k), and the points, of shape (n, d), and gives
/// log p_θ(x), of shape (n). As every point has a θ of its own, one backward pass gives all scores, and k more all Hessians.
/// The expectation must be under p_θ: with data in its place the result is the "empirical Fisher", which is another matrix.
///
/// ```
/// use elbo::distributions::DiagonalGaussian;
/// use elbo::kl::{Nodes, fisher_information};
/// use ndarray::{arr1, arr2};
///
/// // N(μ, e^s) at μ = 1, s = log 4, with the expectation over z = μ + σε.
/// let theta = arr1(&[1.0, 4f64.ln()]);
/// let noise = Nodes::gauss_hermite(8, 1);
/// let nodes = Nodes::new(noise.points() * 2.0 + 1.0, noise.weights().clone())?;
/// let fisher = fisher_information(&theta, &nodes, |theta, x| {
///     let (mean, log_variance) = (theta.slice(1, 0..1), theta.slice(1, 1..2));
///     DiagonalGaussian { mean, log_variance }.log_density(x)
/// })?;
/// let expected = arr2(&[[0.25, 0.0], [0.0, 0.5]]); // 1/σ², and ½ for the log-variance
/// assert!((fisher.score_square - &expected).iter().all(|d| d.abs() < 1e-14));
/// assert!((fisher.curvature - &expected).iter().all(|d| d.abs() < 1e-14));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the log-density or a derivative is not finite at a point of positive weight.
///
/// # Panics
/// If `log_density` does not give one number for each point.
pub fn fisher_information(
    theta: &Array1<f64>,
    nodes: &Nodes,
    log_density: impl for<'t> Fn(Var<'t, f64>, Var<'t, f64>) -> Var<'t, f64>,
) -> Result<FisherInformation, NotDifferentiable> {
    information(theta, nodes, &log_density)
}

/// log p of points in rows, for parameters in rows.
type LogDensity<'f> = dyn for<'t> Fn(Var<'t, f64>, Var<'t, f64>) -> Var<'t, f64> + 'f;

fn information(
    theta: &Array1<f64>,
    nodes: &Nodes,
    log_density: &LogDensity<'_>,
) -> Result<FisherInformation, NotDifferentiable> {
    let nodes = nodes.support();
    let (n, k) = (nodes.len(), theta.len());
    let tape = Tape::new();
    let rows = theta.broadcast((n, k)).expect("one row for each point");
    let theta = tape.variable(rows);
    let log_p = log_density(theta, tape.constant(nodes.points().clone()));
    assert!(
        log_p.shape() == [n],
        "fisher_information: expected a log-density of shape [{n}], found {:?}",
        log_p.shape()
    );
    let score = tape.differentiable_gradients(log_p.sum()).wrt(theta);
    let mut curvature = Array2::zeros((k, k));
    for j in 0..k {
        let row = tape.gradients(score.slice(1, j..j + 1).sum()).wrt(theta);
        check(log_p, row.view())?;
        let mean = nodes.weights().dot(&array::<_, Ix2>(row));
        curvature.row_mut(j).assign(&-mean);
    }
    let score = score.value();
    check(log_p, score.view())?;
    let score: Array2<f64> = array(score);
    let weighted = &score * &nodes.weights().view().insert_axis(Axis(1));
    Ok(FisherInformation {
        score_square: weighted.t().dot(&score),
        curvature,
        mean_score: nodes.weights().dot(&score),
    })
}

fn check(
    log_p: Var<'_, f64>,
    derivative: ndarray::ArrayViewD<'_, f64>,
) -> Result<(), NotDifferentiable> {
    let log_p = log_p.value();
    let values = log_p.iter().zip(derivative.outer_iter());
    for (index, (log_p, row)) in values.enumerate() {
        if !log_p.is_finite() || row.iter().any(|x| !x.is_finite()) {
            return Err(NotDifferentiable { index });
        }
    }
    Ok(())
}
