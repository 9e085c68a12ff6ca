//! What a training loop needs to know of a model.

use ndarray::Array2;
use rand::rngs::StdRng;

use super::{Bound, ParameterId};
use crate::Scalar;
use crate::autodiff::{Value, Var};

/// Something that can be trained: it has an objective for a batch.
pub trait Model<T: Scalar> {
    /// The loss of a batch, with the model's own noise from `step.rng`.
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        step: &mut Step<'_>,
    ) -> Objective<'t, T>;
}

/// The data of one step.
#[derive(Clone, Debug)]
pub struct Batch<'t, T: Scalar> {
    /// The data, of shape (batch, …): (batch, dimensions) for images, (batch, time, dimensions) for sequences.
    pub data: Var<'t, T>,
    /// What is known of each datum beside it, of shape (batch, factors): a label, or the factors that an image was drawn
    /// from, each counted from 0. A model that learns without supervision does not look.
    pub factors: Option<Array2<usize>>,
}

impl<'t, T: Scalar> From<Var<'t, T>> for Batch<'t, T> {
    /// Data of which nothing else is known.
    fn from(data: Var<'t, T>) -> Self {
        Self {
            data,
            factors: None,
        }
    }
}

/// Where in the training a batch is met.
#[derive(Debug)]
pub struct Step<'a> {
    /// How many steps came before, over all epochs: what a [`Schedule`](super::Schedule) is read at. In an evaluation it is
    /// the largest number there is, at which every schedule has reached its end; do not count on from it.
    pub number: usize,
    /// Is this a step of training? Otherwise the objective is evaluated only, and what it says of buffers is ignored.
    pub training: bool,
    /// The noise of this step, from a stream of its own.
    pub rng: &'a mut StdRng,
}

impl<'a> Step<'a> {
    /// No step of training: schedules are at their end.
    pub fn evaluation(rng: &'a mut StdRng) -> Self {
        Self {
            number: usize::MAX,
            training: false,
            rng,
        }
    }
}

/// A batch's loss, the terms that a person wants to watch, and the updates that are no gradients.
#[derive(Clone, Debug)]
pub struct Objective<'t, T: Scalar> {
    /// What is minimised: a single number, the mean over the batch, in nats.
    pub loss: Var<'t, T>,
    /// Named parts of it, each a single number, the mean over the batch.
    pub terms: Vec<(&'static str, Var<'t, T>)>,
    /// New values of [buffers](super::Parameters::add_buffer), which they take after the optimiser's step: moving
    /// averages, say.
    pub buffers: Vec<(ParameterId, Value<T>)>,
}

impl<'t, T: Scalar> Objective<'t, T> {
    /// A loss with its named parts.
    pub fn new(loss: Var<'t, T>, terms: Vec<(&'static str, Var<'t, T>)>) -> Self {
        Self {
            loss,
            terms,
            buffers: Vec::new(),
        }
    }

    /// With a buffer's value after this step.
    pub fn with_buffer(mut self, id: ParameterId, value: Value<T>) -> Self {
        self.buffers.push((id, value));
        self
    }
}
