//! What a TD-VAE predicts, against what could be predicted.

use std::fmt;

use ndarray::{Array2, ArrayView3, Axis, concatenate};
use rand::Rng;

use super::{TdVae, TimePair};
use crate::Scalar;
use crate::autodiff::Tape;
use crate::autoencoders::StateSpace;
use crate::distributions::noise::standard_normal;
use crate::distributions::{Estimate, EstimateError, GaussianError, LogSum};
use crate::nn::Parameters;

/// Sequences whose beliefs are held at once.
const SEQUENCES: usize = 64;

/// What a model says of x_(t+j) when it has seen x₁ to x_t: of shape (sequences, time - j), in nats.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictive {
    /// The bound, a mean over draws from q.
    pub bound: Array2<f64>,
    /// log ∫ p_B(z₁|b₁) p_T(z₂|z₁) p(x₂|z₂), the logarithm of the mean importance weight: too low by what falls as 1/K.
    pub log_density: Array2<f64>,
}

impl Predictive {
    /// For sequences of shape (sequences, time, dimensions), with K draws for each predicted observation.
    ///
    /// # Panics
    /// If the shape does not fit, the jump is not one of the structure's, or K is 0.
    pub fn of<T: Scalar>(
        (model, parameters): (&TdVae, &Parameters<T>),
        sequences: ArrayView3<'_, T>,
        (jump, draws): (usize, usize),
        rng: &mut impl Rng,
    ) -> Self {
        assert!(draws > 0, "expected at least one draw, found none");
        let predicted = sequences.len_of(Axis(1)).saturating_sub(jump);
        let none = Array2::zeros((0, predicted));
        let mut all = Self {
            bound: none.clone(),
            log_density: none,
        };
        for chunk in sequences.axis_chunks_iter(Axis(0), SEQUENCES) {
            let (count, time, _) = chunk.dim();
            let pairs = TimePair::all((count, time), jump);
            let mut sums = vec![(0.0, LogSum::default()); pairs.len()];
            let mut tape = Tape::new();
            let beliefs = {
                let p = parameters.bind_constant(&tape);
                model.beliefs(&p, tape.constant(chunk)).value()
            };
            tape.reset();
            for _ in 0..draws {
                {
                    let p = parameters.bind_constant(&tape);
                    let seen = (tape.constant(chunk), tape.constant(beliefs.clone()));
                    let shape = [2, pairs.len(), model.structure().state()];
                    let noise = standard_normal(&tape, &shape, rng);
                    let log_weights = model.bound(&p, seen, &pairs, noise).value().value();
                    for (log_weight, (sum, log_sum)) in log_weights.iter().zip(&mut sums) {
                        *sum += log_weight.as_f64();
                        log_sum.add(log_weight.as_f64());
                    }
                }
                tape.reset();
            }
            let k = draws as f64;
            let table = |of: &dyn Fn(&(f64, LogSum)) -> f64| {
                let shape = (count, predicted);
                Array2::from_shape_vec(shape, sums.iter().map(of).collect())
                    .expect("a pair for each")
            };
            let bound = table(&|(sum, _)| sum / k);
            let log_density = table(&|(_, log_sum)| log_sum.value() - k.ln());
            all.bound = concatenate![Axis(0), all.bound, bound];
            all.log_density = concatenate![Axis(0), all.log_density, log_density];
        }
        all
    }
}

/// How far a model is from the best prediction there is, in nats per predicted observation: means over sequences, which are
/// independent, with their standard errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExactGap {
    /// log p(x_(t+j)|x₁, …, x_t), exactly.
    pub exact: Estimate,
    /// The exact log-density minus the bound.
    pub bound: Estimate,
    /// The exact log-density minus the model's own, [`Predictive::log_density`].
    pub prediction: Estimate,
}

/// Why there is no gap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GapError {
    /// A covariance of the filter is none by rounding.
    Filter(GaussianError),
    /// The log-densities have no mean over sequences: there is no sequence, or the model says NaN, or both ∞ and -∞.
    Estimate(EstimateError),
}

impl fmt::Display for GapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(reason) => write!(f, "{reason}"),
            Self::Estimate(reason) => write!(f, "{reason}"),
        }
    }
}

impl std::error::Error for GapError {}

impl From<GaussianError> for GapError {
    fn from(reason: GaussianError) -> Self {
        Self::Filter(reason)
    }
}

impl From<EstimateError> for GapError {
    fn from(reason: EstimateError) -> Self {
        Self::Estimate(reason)
    }
}

/// The gap on sequences of shape (sequences, time, dimensions) that were drawn from a state-space model which is known, for
/// predictions `jump` steps ahead, with K draws for each.
///
/// # Errors
/// If a covariance of the filter is none by rounding, there is no sequence, or the model's log-densities have no mean: its weights
/// may be damaged.
///
/// # Panics
/// If the shape does not fit, there is nothing to predict, the jump is not one of the structure's, or K is 0.
pub fn exact_gap<T: Scalar>(
    model: (&TdVae, &Parameters<T>),
    system: &StateSpace,
    sequences: ArrayView3<'_, T>,
    jump_and_draws: (usize, usize),
    rng: &mut impl Rng,
) -> Result<ExactGap, GapError> {
    let predictive = Predictive::of(model, sequences, jump_and_draws, rng);
    let mut exact = Array2::zeros(predictive.bound.raw_dim());
    for (mut row, sequence) in exact.outer_iter_mut().zip(sequences.outer_iter()) {
        let sequence = sequence.mapv(T::as_f64);
        row.assign(&system.log_predictive(sequence.view(), jump_and_draws.0)?);
    }
    let over_sequences = |terms: Array2<f64>| {
        let means = terms.mean_axis(Axis(1)).expect("something to predict");
        Estimate::of(means)
    };
    Ok(ExactGap {
        bound: over_sequences(&exact - &predictive.bound)?,
        prediction: over_sequences(&exact - &predictive.log_density)?,
        exact: over_sequences(exact)?,
    })
}
