//! Log-probability tables on the tape: what is wrong with one, and expectations in which 0 · ∞ is 0.

use std::fmt;

use crate::Scalar;
use crate::autodiff::{Mask, Value, Var};

/// Why a table of (log-)probabilities cannot be used.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TableError {
    /// There is no state to sum over.
    Empty {
        /// Which table.
        table: &'static str,
    },
    /// An entry is NaN, or is no (log-)probability: +∞ as a logarithm, negative or infinite as a probability.
    NotAProbability {
        /// Which table.
        table: &'static str,
        /// The entry.
        index: Vec<usize>,
        /// What stands there.
        found: f64,
    },
    /// The probabilities of a distribution do not add up to 1.
    NotNormalised {
        /// Which table.
        table: &'static str,
        /// Which of the distributions in it.
        index: Vec<usize>,
        /// What they add up to.
        total: f64,
    },
    /// The joint is 0 for every z: under this model the observation cannot happen, and it has no posterior.
    Impossible {
        /// Which of the observations.
        index: Vec<usize>,
    },
    /// Whatever state a factor takes, the others leave mass where the joint is 0: the bound is -∞ for every choice of this
    /// factor, and there is no best one.
    NothingFeasible {
        /// The variable.
        variable: usize,
    },
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { table } => write!(f, "{table}: expected at least one state, found none"),
            Self::NotAProbability {
                table,
                index,
                found,
            } => write!(
                f,
                "{table}: expected a probability or its logarithm, found {found} at {index:?}: an impossible state has \
                 probability 0 and logarithm -inf"
            ),
            Self::NotNormalised {
                table,
                index,
                total,
            } => write!(
                f,
                "{table}: expected probabilities that add up to 1, found {total} at {index:?}: divide by the sum, or \
                 pass logits through log_softmax"
            ),
            Self::Impossible { index } => write!(
                f,
                "joint: expected a state with a positive probability for observation {index:?}, found none: the model \
                 excludes this observation; check the data, or give the model more room"
            ),
            Self::NothingFeasible { variable } => write!(
                f,
                "factor {variable}: the other factors leave mass where the joint is 0, whatever this variable is: start \
                 from factors whose product is 0 there"
            ),
        }
    }
}

impl std::error::Error for TableError {}

/// Where a log-probability is not -∞.
pub(super) fn possible<T: Scalar>(log_q: Var<'_, T>) -> Mask {
    mask(&log_q.value(), |l| l != T::neg_infinity())
}

pub(super) fn mask<T: Scalar>(value: &Value<T>, is_kept: impl Fn(T) -> bool) -> Mask {
    value.mapv(is_kept).into_shared()
}

/// Both where `a` and where `b`, of one shape.
pub(super) fn both(a: &Mask, b: &Mask) -> Mask {
    let mut both = a.to_owned();
    both.zip_mut_with(b, |a, &b| *a &= b);
    both.into_shared()
}

/// Where not.
pub(super) fn not(a: &Mask) -> Mask {
    a.mapv(|a| !a).into_shared()
}

/// The terms q f of an expectation. A state without mass adds 0, whatever f is there; one with mass, however little, and an
/// infinite f makes the sum infinite (q may have rounded to 0 where log q is finite, and 0 · ∞ would be NaN).
pub(super) fn weighted<'t, T: Scalar>(log_q: Var<'t, T>, f: Var<'t, T>) -> Var<'t, T> {
    let possible = possible(log_q);
    let finite = both(&possible, &mask(&f.value(), T::is_finite));
    let infinite = both(&possible, &mask(&f.value(), |f| !f.is_finite()));
    let terms = log_q.exp() * f.keep_where(&finite);
    if infinite.iter().any(|&is| is) {
        f.select(&infinite, terms)
    } else {
        terms
    }
}

/// E_q f = Σ_z q(z) f(z) over the last axis.
pub(super) fn expectation<'t, T: Scalar>(log_q: Var<'t, T>, f: Var<'t, T>) -> Var<'t, T> {
    weighted(log_q, f).sum_last()
}

/// Every entry is a number or -∞, and there is a state.
pub(super) fn check_logarithms<T: Scalar>(
    table: &'static str,
    logarithms: &Value<T>,
) -> Result<(), TableError> {
    if logarithms.shape().last().is_none_or(|&states| states == 0) {
        return Err(TableError::Empty { table });
    }
    match logarithms
        .indexed_iter()
        .find(|(_, l)| l.is_nan() || **l == T::infinity())
    {
        Some((index, found)) => Err(TableError::NotAProbability {
            table,
            index: ndarray::Dimension::slice(&index).to_vec(),
            found: found.as_f64(),
        }),
        None => Ok(()),
    }
}

/// Along the last axis the probabilities add up to 1, but for the square root of rounding.
pub(super) fn check_normalised<T: Scalar>(
    table: &'static str,
    log_q: Var<'_, T>,
) -> Result<(), TableError> {
    check_logarithms(table, &log_q.value())?;
    let totals = log_q.exp().sum_last().value();
    let allowed = T::epsilon().sqrt();
    match totals
        .indexed_iter()
        .find(|(_, total)| (**total - T::one()).abs() > allowed)
    {
        Some((index, total)) => Err(TableError::NotNormalised {
            table,
            index: ndarray::Dimension::slice(&index).to_vec(),
            total: total.as_f64(),
        }),
        None => Ok(()),
    }
}
