//! Gradients of single draws, and what they say about the gradient of an expectation.

use std::fmt;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::autodiff::{Tape, Value, Var, array};
use crate::distributions::{DiagonalGaussian, Estimate, GaussianParameters};
use crate::kl::TOTAL;

impl GaussianParameters {
    /// q on a tape with parameters of its own for each of n draws, so that each draw has its own gradient.
    pub(super) fn for_each_draw<'t>(
        &self,
        tape: &'t Tape<f64>,
        draws: usize,
    ) -> DiagonalGaussian<'t, f64> {
        let rows = |x: &Array1<f64>| {
            let rows = x.broadcast((draws, x.len())).expect("a row for each draw");
            tape.variable(rows.to_owned())
        };
        DiagonalGaussian {
            mean: rows(&self.mean),
            log_variance: rows(&self.log_variance),
        }
    }

    /// Are there draws, do shapes fit, and are all numbers finite?
    pub(super) fn check(
        &self,
        operation: &str,
        noise: ArrayView2<'_, f64>,
    ) -> Result<(), GradientError> {
        let (mean, log_variance) = (&self.mean, &self.log_variance);
        assert!(
            mean.len() == log_variance.len() && noise.ncols() == mean.len(),
            "{operation}: shapes {:?} (mean), {:?} (log-variance) and {:?} (noise) do not fit",
            mean.shape(),
            log_variance.shape(),
            noise.shape()
        );
        if noise.nrows() == 0 {
            return Err(GradientError::NoDraws);
        }
        check_finite("mean", mean)?;
        check_finite("log-variance", log_variance)?;
        check_finite("noise", noise)
    }
}

/// Why there is no gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradientError {
    /// There are no draws.
    NoDraws,
    /// A number that was given is NaN or infinite.
    Given {
        /// Whose number it is.
        what: &'static str,
        /// Where it stands, entries counted row by row from 0.
        index: usize,
    },
    /// The function, or its derivative, is NaN or infinite at a draw.
    NotFinite {
        /// Value or gradient.
        what: &'static str,
        /// Which draw, from 0.
        draw: usize,
    },
    /// A draw of a class is not one 1 among zeros.
    NotOneHot {
        /// Which draw, from 0.
        draw: usize,
    },
    /// A draw is of a class that cannot be drawn: its probability is 0, or underflows.
    ImpossibleClass {
        /// Which draw, from 0.
        draw: usize,
        /// Which class, from 0.
        class: usize,
    },
    /// The best baseline is NaN or infinite.
    Baseline {
        /// For which entry of φ, from 0.
        entry: usize,
    },
}

impl fmt::Display for GradientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDraws => write!(f, "expected at least one draw, found none; draw some"),
            Self::Given { what, index } => write!(
                f,
                "{what}: expected finite numbers, found NaN or infinity at {index}"
            ),
            Self::NotFinite { what, draw } => write!(
                f,
                "expected a finite {what} at every draw, found NaN or infinity at draw {draw} (counted from 0): see what \
                 the function does there"
            ),
            Self::NotOneHot { draw } => write!(
                f,
                "expected a class as one 1 among zeros, found otherwise in draw {draw} (counted from 0)"
            ),
            Self::ImpossibleClass { draw, class } => write!(
                f,
                "expected classes of positive probability, found class {class} in draw {draw} (both counted from 0), whose \
                 probability is 0 or underflows: draw from these logits, or bring them closer together"
            ),
            Self::Baseline { entry } => write!(
                f,
                "expected a finite best baseline, found NaN or infinity for entry {entry} (counted from 0): make the \
                 function's values, or the noise, smaller"
            ),
        }
    }
}

impl std::error::Error for GradientError {}

pub(super) fn check_finite<'a>(
    what: &'static str,
    numbers: impl IntoIterator<Item = &'a f64>,
) -> Result<(), GradientError> {
    match numbers.into_iter().position(|x| !x.is_finite()) {
        Some(index) => Err(GradientError::Given { what, index }),
        None => Ok(()),
    }
}

/// The values of the function on the tape, one for each draw.
pub(super) fn values_of(
    operation: &str,
    f: Var<'_, f64>,
    draws: usize,
) -> Result<Array1<f64>, GradientError> {
    let values = f.value();
    assert!(
        values.shape() == [draws],
        "{operation}: expected one value for each draw, shape [{draws}], found {:?}",
        values.shape()
    );
    if let Some(draw) = values.iter().position(|x| !x.is_finite()) {
        let what = "value";
        return Err(GradientError::NotFinite { what, draw });
    }
    Ok(array(values))
}

/// Are the gradients of all draws finite?
pub(super) fn check_gradients(gradients: &Array2<f64>) -> Result<(), GradientError> {
    let finite = |row: ArrayView1<f64>| row.iter().all(|x| x.is_finite());
    let what = "gradient";
    match gradients.outer_iter().position(|row| !finite(row)) {
        Some(draw) => Err(GradientError::NotFinite { what, draw }),
        None => Ok(()),
    }
}

/// Gradients with respect to parts of φ, side by side: (n, d) and (n, d) give (n, 2d).
pub(super) fn side_by_side(parts: &[Value<f64>]) -> Array2<f64> {
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    let whole = ndarray::concatenate(Axis(1), &views).expect("a row for each draw");
    whole.into_dimensionality().expect("two axes")
}

/// The gradients of single draws: independent, each with the expectation that is sought (unless the estimator says
/// otherwise), so that their mean estimates it and their scatter tells how well.
#[derive(Clone, Debug, PartialEq)]
pub struct Draws {
    values: Array1<f64>,
    gradients: Array2<f64>,
}

impl Draws {
    pub(super) fn new(values: Array1<f64>, gradients: Array2<f64>) -> Result<Self, GradientError> {
        check_gradients(&gradients)?;
        Ok(Self { values, gradients })
    }

    /// f at each draw, of shape (n).
    pub fn values(&self) -> ArrayView1<'_, f64> {
        self.values.view()
    }

    /// The gradient of each draw in a row: (n, 2d) for a Gaussian, ∂μ in the first d columns and ∂s in the others;
    /// (n, K) for K classes.
    pub fn gradients(&self) -> ArrayView2<'_, f64> {
        self.gradients.view()
    }

    /// The means over the draws, with the standard errors of independent draws. Those of
    /// [`Baseline::LeaveOneOut`](super::Baseline::LeaveOneOut) depend on each other, and its few draws' standard errors are
    /// too small: there the figures are.
    pub fn estimate(&self) -> GradientEstimate {
        let of = |draws: ArrayView1<f64>| {
            Estimate::of(draws.iter().copied()).expect("at least one draw, all of them finite")
        };
        GradientEstimate {
            value: of(self.values.view()),
            entries: self.gradients.columns().into_iter().map(of).collect(),
        }
    }

    /// Mean and variance of one draw's gradient, entry by entry, if the draw is row i with probability wᵢ: exact where the
    /// rows are all classes or the nodes of a quadrature rule that is exact for the gradient and its square.
    ///
    /// # Panics
    /// If there is not one weight for each draw, one is negative or not finite, or their sum is not 1 (to 10⁻⁸).
    pub fn moments(&self, weights: ArrayView1<'_, f64>) -> [Array1<f64>; 2] {
        assert!(
            weights.len() == self.values.len(),
            "moments: shapes {:?} (weights) and {:?} (gradients) do not fit",
            weights.shape(),
            self.gradients.shape()
        );
        assert!(
            weights.iter().all(|w| w.is_finite() && *w >= 0.0),
            "moments: expected weights that are finite and not negative, found {weights}"
        );
        let total = weights.sum();
        assert!(
            (total - 1.0).abs() <= TOTAL,
            "moments: expected weights that sum to 1, found the sum {total}"
        );
        let mean = weights.dot(&self.gradients);
        let deviations = &self.gradients - &mean;
        let variance = weights.dot(&(&deviations * &deviations));
        [mean, variance]
    }
}

/// The estimate of E f and of its gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientEstimate {
    /// E f: the bound itself, where f is that of the evidence lower bound.
    pub value: Estimate,
    /// ∂ E f / ∂φ entry by entry, in the order of [`Draws::gradients`].
    pub entries: Vec<Estimate>,
}
