//! The weights w = p(x, z)/q(z) of draws z ~ q, and what is estimated from them.

use ndarray::Array1;

use crate::distributions::{Estimate, LogSum};

/// log w = log p(x, z) - log q(z) at independent draws z ~ q, for one observation x. -∞ is allowed: the joint may be 0 where q is
/// not.
#[derive(Clone, Debug, PartialEq)]
pub struct LogWeights {
    log_w: Array1<f64>,
}

impl LogWeights {
    /// From log w of each draw, in nats.
    ///
    /// # Panics
    /// If there is none, or one is NaN or +∞ (a draw from q does not land where q is 0).
    pub fn new(log_w: Array1<f64>) -> Self {
        assert!(
            !log_w.is_empty(),
            "log-weights: expected a draw, found none"
        );
        let wrong = |l: &&f64| l.is_nan() || **l == f64::INFINITY;
        if let Some(wrong) = log_w.iter().find(wrong) {
            panic!("log-weights: expected numbers or -inf, found {wrong}");
        }
        Self { log_w }
    }

    /// log w of each draw.
    pub fn values(&self) -> &Array1<f64> {
        &self.log_w
    }

    /// The bound, as the mean of log w: unbiased for the ELBO. -∞ if a weight is 0: then the bound is -∞, too.
    pub fn elbo(&self) -> Estimate {
        estimate(self.log_w.iter().copied())
    }

    /// The evidence p(x), as the mean of w: unbiased if q is positive wherever the posterior is. Below about e^-745 the weights
    /// round to 0; [`log_evidence`](Self::log_evidence) has no such limit.
    pub fn evidence(&self) -> Estimate {
        estimate(self.log_w.iter().map(|l| l.exp()))
    }

    /// log of the mean of w. Not unbiased for log p(x): its mean lies below, again by Jensen's inequality.
    pub fn log_evidence(&self) -> f64 {
        let mut sum = LogSum::default();
        self.log_w.iter().for_each(|&l| sum.add(l));
        sum.value() - (self.log_w.len() as f64).ln()
    }
}

fn estimate(draws: impl Iterator<Item = f64>) -> Estimate {
    Estimate::of(draws).expect("there are draws, none of them NaN or +∞")
}
