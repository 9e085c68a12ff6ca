//! Means over data.

use std::time::Duration;

/// Means over data: the loss and each named term, in nats.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct Metrics {
    /// The mean loss.
    pub loss: f64,
    /// The mean of each term, in the model's order.
    pub terms: Vec<(String, f64)>,
    /// Over how many data.
    pub data: usize,
}

impl Metrics {
    /// The mean of the term of that name.
    pub fn term(&self, name: &str) -> Option<f64> {
        let found = self.terms.iter().find(|(other, _)| other == name)?;
        Some(found.1)
    }

    /// Takes in the means over `count` more data.
    pub(super) fn add(&mut self, count: usize, loss: f64, terms: &[(&'static str, f64)]) {
        self.data += count;
        let weight = count as f64 / self.data as f64;
        self.loss += weight * (loss - self.loss);
        if self.terms.is_empty() {
            let zero = |&(name, _): &(&str, f64)| (name.to_owned(), 0.0);
            self.terms = terms.iter().map(zero).collect();
        }
        for ((_, mean), (_, value)) in self.terms.iter_mut().zip(terms) {
            *mean += weight * (value - *mean);
        }
    }
}

/// What an epoch came to.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct EpochMetrics {
    /// From 1.
    pub number: usize,
    /// How many steps of it were taken: fewer than it has if the training was interrupted.
    pub steps: usize,
    /// Over the training data, while the weights were changing.
    pub train: Metrics,
    /// Over the test data, with the weights at the epoch's end.
    pub test: Metrics,
    /// The time that its training steps took. It is not saved: the same seed is to leave the same bytes.
    #[cfg_attr(feature = "cli", serde(skip))]
    pub training_time: Duration,
}
