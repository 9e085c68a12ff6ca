//! Descent to a local minimum: quasi-Newton steps on the tape's gradient, then Newton steps on its Hessian.

use ndarray::{Array1, Array2, Axis};

use crate::autodiff::{Tape, Var, array};

/// A function of a vector, to be minimised.
pub(super) trait Objective {
    /// Its value on the tape, of shape []; not finite where it is not defined.
    fn at<'t>(&self, parameters: Var<'t, f64>) -> Var<'t, f64>;
}

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
    objective: &dyn Objective,
    tolerance: f64,
    limit: usize,
) -> End {
    let Point {
        mut at,
        mut value,
        mut gradient,
    } = Point::of(start, objective);
    let mut inverse: Array2<f64> = Array2::eye(at.len()) / largest(&gradient).max(1.0);
    let mut iterations = 0;
    while largest(&gradient) > tolerance && iterations < limit {
        iterations += 1;
        let near_the_end = largest(&gradient) <= CLOSE;
        let newton = near_the_end
            .then(|| newton(&at, &gradient, objective))
            .flatten();
        let Some(next) =
            newton.or_else(|| downhill(&at, value, &gradient, &mut inverse, objective))
        else {
            break;
        };
        improve(
            &mut inverse,
            &(&next.at - &at),
            &(&next.gradient - &gradient),
        );
        Point {
            at,
            value,
            gradient,
        } = next;
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

/// A point, with what the objective says there.
struct Point {
    at: Array1<f64>,
    value: f64,
    gradient: Array1<f64>,
}

impl Point {
    fn of(at: Array1<f64>, objective: &dyn Objective) -> Self {
        let (value, gradient) = slope_at(&at, objective);
        Self {
            at,
            value,
            gradient,
        }
    }
}

/// A Newton step, if there is one and it flattens the slope.
fn newton(at: &Array1<f64>, gradient: &Array1<f64>, objective: &dyn Objective) -> Option<Point> {
    let next = Point::of(at + &newton_step(at, gradient, objective)?, objective);
    (largest(&next.gradient) < largest(gradient)).then_some(next)
}

/// A quasi-Newton step, halved until the value falls by a part of what the slope promises; or, where that is less than the
/// rounding of the value, until the slope flattens.
fn downhill(
    at: &Array1<f64>,
    value: f64,
    gradient: &Array1<f64>,
    inverse: &mut Array2<f64>,
    objective: &dyn Objective,
) -> Option<Point> {
    let mut step = -inverse.dot(gradient);
    if gradient.dot(&step) >= 0.0 {
        *inverse = Array2::eye(at.len());
        step = -gradient;
    }
    let promised = gradient.dot(&step);
    let rounding = 1e-13 * (1.0 + value.abs());
    let mut length = 1.0;
    while length > 1e-12 {
        let next = Point::of(at + &(&step * length), objective);
        let falls = next.value <= value + 1e-4 * length * promised;
        let flattens =
            next.value <= value + rounding && largest(&next.gradient) < largest(gradient);
        let defined = next.gradient.iter().all(|g| g.is_finite());
        if defined && (falls || flattens) {
            return Some(next);
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

/// The value and its gradient.
pub(super) fn slope_at(at: &Array1<f64>, objective: &dyn Objective) -> (f64, Array1<f64>) {
    let tape = Tape::new();
    let x = tape.variable(at.clone());
    let y = objective.at(x);
    (y.item(), array(tape.gradients(y).wrt(x)))
}

/// -H⁻¹∇, or nothing where the Hessian is not positive definite.
fn newton_step(
    at: &Array1<f64>,
    gradient: &Array1<f64>,
    objective: &dyn Objective,
) -> Option<Array1<f64>> {
    let tape = Tape::new();
    let x = tape.variable(at.clone());
    let slope = tape.differentiable_gradients(objective.at(x)).wrt(x);
    let rows: Vec<_> = (0..at.len())
        .map(|j| tape.gradients(slope.slice(0, j..j + 1).sum()).wrt(x))
        .collect();
    let hessian = Array2::from_shape_fn((at.len(), at.len()), |(i, j)| rows[i][j]);
    let factor = tape.constant(hessian).cholesky().ok()?;
    let half = factor.solve_lower(tape.constant(-gradient));
    Some(array(factor.solve_lower_transposed(half).value()))
}

/// The largest absolute entry; NaN if there is one.
pub(super) fn largest(vector: &Array1<f64>) -> f64 {
    vector.fold(
        0.0,
        |m: f64, x| if x.abs() <= m { m } else { x.abs() + 0.0 * m },
    )
}
