//! One of K classes, by their logits.

use super::limits::{bounded, settled, weigh};
use crate::Scalar;
use crate::autodiff::Var;

/// One of K classes with probabilities softmax(a), by logits a that any real numbers are; adding the same
/// number to all of them changes nothing. A logit of -∞ is a class that is impossible, one of ∞ a class that is certain;
/// several of ∞ share equally, and so do all classes if all logits are -∞.
#[derive(Clone, Copy, Debug)]
pub struct Categorical<'t, T: Scalar> {
    /// a, of shape (…, K).
    pub logits: Var<'t, T>,
}

impl<'t, T: Scalar> Categorical<'t, T> {
    /// log p_k = a_k - log Σ e^a, of shape (…, K); -∞ for an impossible class.
    ///
    /// # Panics
    /// If there is no axis.
    pub fn log_probabilities(&self) -> Var<'t, T> {
        self.settled().log_softmax(self.class_axis())
    }

    /// p = softmax(a), of shape (…, K).
    ///
    /// # Panics
    /// If there is no axis.
    pub fn probabilities(&self) -> Var<'t, T> {
        self.settled().softmax(self.class_axis())
    }

    /// log p(x) = Σ_k x_k log p_k, for x one-hot along the last axis, in nats; -∞ if x is the impossible class.
    ///
    /// # Panics
    /// If the shapes do not broadcast, or there is no axis.
    pub fn log_density(&self, one_hot: Var<'t, T>) -> Var<'t, T> {
        weigh(one_hot, self.log_probabilities()).sum_last()
    }

    /// One-hot samples for u ~ U[0, 1) drawn by the caller, of shape (…, 1): the class in whose part of
    /// [0, 1) u falls, when the probabilities are laid end to end. A constant: a step function of a.
    ///
    /// # Panics
    /// If the noise is not of the logits' shape with last length 1.
    pub fn sample(&self, uniform: Var<'t, T>) -> Var<'t, T> {
        let tape = self.logits.tape();
        let p = self.probabilities().value();
        let u = uniform.value();
        let mut shape = self.logits.shape();
        let classes = std::mem::replace(&mut shape[p.ndim() - 1], 1);
        assert!(
            u.shape() == shape,
            "sample: expected noise of shape {shape:?}, found {:?}",
            u.shape()
        );
        let mut one_hot = tape.buffer(p.shape());
        one_hot.fill(T::zero());
        let axis = ndarray::Axis(self.class_axis());
        let lanes = one_hot.lanes_mut(axis).into_iter().zip(p.lanes(axis));
        for ((mut chosen, p), &u) in lanes.zip(&u) {
            let mut end = T::zero();
            let inside = p.iter().position(|&p| {
                end += p;
                u < end
            });
            // Rounding may leave the ends a hair below 1; such a u belongs to the last class that is possible.
            let possible = || p.iter().rposition(|&p| p > T::zero());
            let class = inside.or_else(possible).unwrap_or(classes - 1);
            chosen[class] = T::one();
        }
        tape.constant(one_hot)
    }

    /// H = -Σ_k p_k log p_k, over the last axis, in nats; 0 log 0 = 0.
    ///
    /// # Panics
    /// If there is no axis.
    pub fn entropy(&self) -> Var<'t, T> {
        // Where p is 0, log p must not be -∞: a gradient would meet 0·∞.
        -(self.probabilities() * bounded(self.log_probabilities())).sum_last()
    }

    fn settled(&self) -> Var<'t, T> {
        settled(self.logits, self.class_axis())
    }

    fn class_axis(&self) -> usize {
        let ndim = self.logits.ndim();
        assert!(
            ndim > 0,
            "a categorical needs an axis of classes, found a single number"
        );
        ndim - 1
    }
}
