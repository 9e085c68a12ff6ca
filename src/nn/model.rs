//! What a training loop needs to know of a model.

use rand::rngs::StdRng;

use super::Bound;
use crate::Scalar;
use crate::autodiff::Var;

/// Something that can be trained: it has an objective for a batch.
pub trait Model<T: Scalar> {
    /// The loss of a batch x of shape (batch, dimensions), with the model's own noise from `rng`.
    fn objective<'t>(&self, p: &Bound<'t, T>, x: Var<'t, T>, rng: &mut StdRng) -> Objective<'t, T>;
}

/// A batch's loss, and the terms that a person wants to watch.
#[derive(Clone, Debug)]
pub struct Objective<'t, T: Scalar> {
    /// What is minimised: a single number, the mean over the batch, in nats.
    pub loss: Var<'t, T>,
    /// Named parts of it, each a single number, the mean over the batch.
    pub terms: Vec<(&'static str, Var<'t, T>)>,
}
