//! The state of a training.

use super::{EpochMetrics, Metrics};
use crate::Scalar;
use crate::nn::{Adam, Parameters, Schedule};

/// How to train.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct Settings {
    /// Passes over the training data.
    pub epochs: usize,
    /// Data in a step.
    pub batch: usize,
    /// Adam's learning rate, which [`fit`](super::fit()) sets before every step.
    pub rate: Schedule,
    /// Determines everything random: the order of the data, noise.
    pub seed: u64,
    /// Remember the parameters of the epoch with the lowest test loss.
    pub keep_best: bool,
    /// Stop when the test loss has not fallen for so many epochs, at least 1.
    pub patience: Option<usize>,
}

impl Default for Settings {
    /// 10 epochs in batches of 128, rate 0.001, seed 1, no early stopping.
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 128,
            rate: Schedule::constant(1e-3),
            seed: 1,
            keep_best: false,
            patience: None,
        }
    }
}

impl Settings {
    /// Is the patience over after so many epochs, of which this was the best (0: none)?
    pub fn is_patience_over(&self, epochs: usize, best: usize) -> bool {
        (self.patience).is_some_and(|patience| epochs.saturating_sub(best) >= patience)
    }
}

/// The state of a training after any step: everything that is needed to go on to the same bits. (The noise needs nothing:
/// every step draws from a stream of its own, which the seed and the step's number determine.)
#[derive(Clone, Debug)]
pub struct Run<T: Scalar> {
    /// Parameters and buffers.
    pub parameters: Parameters<T>,
    /// The optimiser with its moments.
    pub optimiser: Adam<T>,
    /// The epochs that are complete.
    pub epochs: Vec<EpochMetrics>,
    /// How many steps of the next epoch are done.
    pub step: usize,
    /// The means over those steps.
    pub running: Metrics,
    /// The best epoch so far.
    pub best: Option<Best<T>>,
}

/// The epoch with the lowest test loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Best<T: Scalar> {
    /// Its number, from 1.
    pub epoch: usize,
    /// Its test loss, in nats.
    pub loss: f64,
    /// Its parameters, if [`Settings::keep_best`] asked for them.
    pub parameters: Option<Parameters<T>>,
}

impl<T: Scalar> Run<T> {
    /// A training that has not begun. The optimiser's β₁, β₂ and ε are its own, its rate comes from [`Settings::rate`].
    pub fn new(parameters: Parameters<T>, optimiser: Adam<T>) -> Self {
        Self {
            parameters,
            optimiser,
            epochs: Vec::new(),
            step: 0,
            running: Metrics::default(),
            best: None,
        }
    }

    /// The parameters that the training is for: the best epoch's if they were kept, else the last ones.
    pub fn result(&self) -> &Parameters<T> {
        let best = self.best.as_ref();
        let best = best.and_then(|best| best.parameters.as_ref());
        best.unwrap_or(&self.parameters)
    }

    /// Takes the epoch that has just ended into account.
    pub(super) fn close_epoch(&mut self, epoch: EpochMetrics, keep_best: bool) {
        if (self.best.as_ref()).is_none_or(|best| epoch.test.loss < best.loss) {
            self.best = Some(Best {
                epoch: epoch.number,
                loss: epoch.test.loss,
                parameters: keep_best.then(|| self.parameters.clone()),
            });
        }
        self.epochs.push(epoch);
        (self.step, self.running) = (0, Metrics::default());
    }

    /// Has the test loss not fallen for as many epochs as the settings allow?
    pub fn is_exhausted(&self, settings: &Settings) -> bool {
        let best = self.best.as_ref().map_or(0, |best| best.epoch);
        settings.is_patience_over(self.epochs.len(), best)
    }
}
