//! Descent to a local minimum: quasi-Newton steps on the tape's gradient, then Newton steps on its Hessian.

use ndarray::{Array1, Array2, Axis};

use crate::autodiff::{Tape, Var};

/// A function of a vector on the tape, of shape []; not finite where it is not defined.
pub(super) trait Objective: for<'t> Fn(Var<'t, f64>) -> Var<'t, f64> {}

impl<F: for<'t> Fn(Var<'t, f64>) -> Var<'t, f64>> Objective for F {}

/// Where a descent ended.
pub(super) struct End {
    pub at: Array1<f64>,
    pub value: f64,
    /// The largest entry of the gradient.
    pub slope: f64,
    pub iterations: usize,
    pub converged: bool,
    /// Is the Hessian positive definite?
    pub minimum: bool,
}

/// Below this slope Newton's method converges quadratically, and values no longer tell better from worse.
const CLOSE: f64 = 1e-5;

/// From `start` downhill until no entry of the gradient is larger than `tolerance`.
///
/// Broyden, Fletcher, Goldfarb and Shanno's approximation of the inverse Hessian, with steps halved until the value falls;
/// near the end the Hessian itself, differentiated on the tape.
pub(super) fn descend(
    start: Array1<f64>,
    objective: &impl Objective,
    tolerance: f64,
    limit: usize,
) -> End {
    let mut at = start;
    let (mut value, mut gradient) = slope_at(&at, objective);
    let mut inverse: Array2<f64> = Array2::eye(at.len()) / largest(&gradient).max(1.0);
    let mut iterations = 0;
    while largest(&gradient) > CLOSE && iterations < limit {
        iterations += 1;
        let mut step = -inverse.dot(&gradient);
        if gradient.dot(&step) >= 0.0 {
            inverse = Array2::eye(at.len());
            step = -&gradient;
        }
        let Some((next, next_value, next_gradient)) =
            shorten(&at, value, &gradient, &step, objective)
        else {
            break;
        };
        improve(&mut inverse, &(&next - &at), &(&next_gradient - &gradient));
        (at, value, gradient) = (next, next_value, next_gradient);
    }
    while largest(&gradient) > tolerance && largest(&gradient) <= CLOSE && iterations < limit {
        iterations += 1;
        let Some(step) = newton_step(&at, &gradient, objective) else {
            break;
        };
        let next = &at + &step;
        let (next_value, next_gradient) = slope_at(&next, objective);
        if !(largest(&next_gradient) < largest(&gradient)) {
            break;
        }
        (at, value, gradient) = (next, next_value, next_gradient);
    }
    let slope = largest(&gradient);
    End {
        minimum: newton_step(&at, &gradient, objective).is_some(),
        converged: slope <= tolerance && value.is_finite(),
        at,
        value,
        slope,
        iterations,
    }
}

/// The step, halved until the value falls by a part of what the slope promises.
fn shorten(
    at: &Array1<f64>,
    value: f64,
    gradient: &Array1<f64>,
    step: &Array1<f64>,
    objective: &impl Objective,
) -> Option<(Array1<f64>, f64, Array1<f64>)> {
    let promised = gradient.dot(step);
    let mut length = 1.0;
    while length > 1e-12 {
        let next = at + &(step * length);
        let (next_value, next_gradient) = slope_at(&next, objective);
        let falls = next_value <= value + 1e-4 * length * promised;
        if falls && next_gradient.iter().all(|g| g.is_finite()) {
            return Some((next, next_value, next_gradient));
        }
        length *= 0.5;
    }
    None
}

/// H ← (I - s yᵀ/yᵀs) H (I - y sᵀ/yᵀs) + s sᵀ/yᵀs, if the gradient grew along the step.
fn improve(inverse: &mut Array2<f64>, step: &Array1<f64>, change: &Array1<f64>) {
    let curvature = step.dot(change);
    if curvature <= 1e-12 * step.dot(step).sqrt() * change.dot(change).sqrt() {
        return;
    }
    let column = |v: &Array1<f64>| v.clone().insert_axis(Axis(1));
    let (s, y) = (column(step), column(change));
    let left = Array2::eye(step.len()) - s.dot(&y.t()) / curvature;
    *inverse = left.dot(inverse).dot(&left.t()) + s.dot(&s.t()) / curvature;
}

pub(super) fn slope_at(at: &Array1<f64>, objective: &impl Objective) -> (f64, Array1<f64>) {
    let tape = Tape::new();
    let x = tape.variable(at.clone());
    let y = objective(x);
    (y.item(), vector(tape.gradients(y).wrt(x)))
}

/// -H⁻¹∇, or nothing where the Hessian is not positive definite.
fn newton_step(
    at: &Array1<f64>,
    gradient: &Array1<f64>,
    objective: &impl Objective,
) -> Option<Array1<f64>> {
    let tape = Tape::new();
    let x = tape.variable(at.clone());
    let slope = tape.differentiable_gradients(objective(x)).wrt(x);
    let rows: Vec<_> = (0..at.len())
        .map(|j| tape.gradients(slope.slice(0, j..j + 1).sum()).wrt(x))
        .collect();
    let hessian = Array2::from_shape_fn((at.len(), at.len()), |(i, j)| rows[i][j]);
    let factor = tape.constant(hessian).cholesky().ok()?;
    let half = factor.solve_lower(tape.constant(-gradient));
    Some(vector(factor.solve_lower_transposed(half).value()))
}

fn vector(value: crate::autodiff::Value<f64>) -> Array1<f64> {
    value.into_owned().into_dimensionality().expect("a vector")
}

/// The largest absolute entry; NaN if there is one.
fn largest(vector: &Array1<f64>) -> f64 {
    vector.fold(
        0.0,
        |m: f64, x| if x.abs() <= m { m } else { x.abs() + 0.0 * m },
    )
}
