//! What is wrong with data.

use std::error::Error;
use std::fmt::{self, Display};

use ndarray::Axis;

use crate::Scalar;
use crate::autodiff::{NotPositiveDefinite, Value};

/// Data that no probability can be computed from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BadData {
    /// There are none.
    Empty {
        /// Of what.
        what: &'static str,
    },
    /// A number is not one of those that it may be.
    Number {
        /// Whose number it is.
        what: &'static str,
        /// Where it stands, entries counted row by row from 0.
        index: usize,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: f64,
    },
    /// Probabilities do not add up to 1.
    Total {
        /// Whose probabilities.
        what: &'static str,
        /// Which of several distributions, from 0.
        row: usize,
        /// What they add up to.
        found: f64,
    },
    /// An observation that has probability 0 whatever the cause: there is no posterior.
    Impossible {
        /// Which of several observations, from 0.
        row: usize,
    },
    /// Whatever value a factor gives its variable, the other factors leave mass where the joint is 0: the bound is -∞ for
    /// every choice of this factor, and there is no best one.
    NothingFeasible {
        /// The variable.
        variable: usize,
    },
    /// All products are too small for f64, though not 0.
    Underflow,
    /// The likelihood grows without bound, so that nothing maximises it.
    Unbounded {
        /// The dimension, from 0, in which all data are equal.
        dimension: usize,
    },
    /// More states than can be counted.
    TooMany {
        /// The number of states of one variable.
        states: usize,
        /// The number of variables.
        variables: usize,
    },
    /// A covariance is none.
    NotPositiveDefinite(NotPositiveDefinite),
}

impl Display for BadData {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Empty { what } => {
                write!(f, "{what}: expected at least one number, found none")
            }
            Self::Number {
                what,
                index,
                expected,
                found,
            } => write!(
                f,
                "{what}: expected {expected}, found {found} at {index} (entries counted row by row from 0)"
            ),
            Self::Total { what, row, found } => write!(
                f,
                "{what}: expected probabilities that add up to 1, found a sum of {found} in row {row}; divide by it, if \
                 that is what is meant"
            ),
            Self::Impossible { row } => write!(
                f,
                "expected an observation that some cause with a prior above 0 can bring about, found none for row {row}; \
                 give such a cause a prior"
            ),
            Self::NothingFeasible { variable } => write!(
                f,
                "factor {variable}: expected a value of the variable for which the other factors have no mass where the \
                 joint is 0, found none; start from factors whose product is 0 there"
            ),
            Self::Underflow => write!(
                f,
                "expected products of prior and likelihood that f64 can hold, found all of them rounded to 0; use logarithms \
                 (`posterior`)"
            ),
            Self::Unbounded { dimension } => write!(
                f,
                "expected data that differ, found the same value throughout in dimension {dimension}: the likelihood grows \
                 without bound as the variance goes to 0; fix the variance or give it a floor"
            ),
            Self::TooMany { states, variables } => write!(
                f,
                "expected a number of states that can be counted, found {states} to the power {variables}; use the model's \
                 structure, or a bound"
            ),
            Self::NotPositiveDefinite(reason) => write!(f, "covariance: {reason}"),
        }
    }
}

impl Error for BadData {}

impl From<NotPositiveDefinite> for BadData {
    fn from(reason: NotPositiveDefinite) -> Self {
        Self::NotPositiveDefinite(reason)
    }
}

/// Every number passes `holds`, or the first that does not is told.
pub fn check_numbers(
    what: &'static str,
    numbers: impl IntoIterator<Item = f64>,
    expected: &'static str,
    holds: impl Fn(f64) -> bool,
) -> Result<(), BadData> {
    let mut numbers = (0..).zip(numbers);
    match numbers.find(|(_, number)| !holds(*number)) {
        None => Ok(()),
        Some((index, found)) => Err(BadData::Number {
            what,
            index,
            expected,
            found,
        }),
    }
}

/// Probabilities: not negative, and 1 in all but for rounding.
pub fn check_distribution(what: &'static str, probabilities: &[f64]) -> Result<(), BadData> {
    if probabilities.is_empty() {
        return Err(BadData::Empty { what });
    }
    let numbers = probabilities.iter().copied();
    check_numbers(what, numbers, "probabilities", |p| p >= 0.0)?;
    let found: f64 = probabilities.iter().sum();
    match (found - 1.0).abs() <= f64::EPSILON.sqrt() {
        true => Ok(()),
        false => Err(BadData::Total {
            what,
            row: 0,
            found,
        }),
    }
}

/// Logarithms of numbers from 0 up, along the last axis of which something is to be summed.
pub fn check_log_numbers<T: Scalar>(
    what: &'static str,
    log_numbers: &Value<T>,
) -> Result<(), BadData> {
    if log_numbers.shape().last().is_none_or(|&length| length == 0) {
        return Err(BadData::Empty { what });
    }
    let numbers = log_numbers.iter().map(|l| l.as_f64());
    check_numbers(what, numbers, "logarithms, numbers below ∞", |l| {
        l < f64::INFINITY
    })
}

/// Logarithms of probabilities: each row 1 in all, to half of the digits of T.
pub fn check_log_distribution<T: Scalar>(
    what: &'static str,
    log_p: &Value<T>,
) -> Result<(), BadData> {
    check_log_numbers(what, log_p)?;
    for (row, lane) in log_p.lanes(Axis(log_p.ndim() - 1)).into_iter().enumerate() {
        let found: f64 = lane.iter().map(|l| l.as_f64().exp()).sum();
        if (found - 1.0).abs() > T::epsilon().as_f64().sqrt() {
            return Err(BadData::Total { what, row, found });
        }
    }
    Ok(())
}
