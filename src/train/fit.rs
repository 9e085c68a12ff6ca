//! Epochs, batches, and the averages that are told about them.

use std::fmt;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::Scalar;
use crate::autodiff::{Tape, Var};
use crate::data::{Binarisation, Dataset, Images};
use crate::distributions::noise::stream;
use crate::nn::{Adam, Bound, Model, Parameters};
use crate::threads::awake;

/// How to train.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct Settings {
    /// Passes over the training data.
    pub epochs: usize,
    /// Data in a step.
    pub batch: usize,
    /// Adam's learning rate.
    pub rate: f64,
    /// Determines everything random: initial weights, order of the data, noise.
    pub seed: u64,
    /// What becomes of grey pixels.
    pub binarisation: Binarisation,
}

/// Means over data: the loss and each named term, in nats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Average {
    /// The mean loss.
    pub loss: f64,
    /// The mean of each term, in the model's order.
    pub terms: Vec<(&'static str, f64)>,
    data: usize,
}

impl Average {
    /// The mean of the term of that name.
    pub fn term(&self, name: &str) -> Option<f64> {
        let found = self.terms.iter().find(|(other, _)| *other == name)?;
        Some(found.1)
    }

    /// Takes in the means over `count` more data.
    fn add(&mut self, count: usize, loss: f64, terms: &[(&'static str, f64)]) {
        self.data += count;
        let weight = count as f64 / self.data as f64;
        self.loss += weight * (loss - self.loss);
        if self.terms.is_empty() {
            self.terms = terms.iter().map(|&(name, _)| (name, 0.0)).collect();
        }
        for ((_, mean), (_, value)) in self.terms.iter_mut().zip(terms) {
            *mean += weight * (value - *mean);
        }
    }
}

/// What an epoch came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// From 1.
    pub number: usize,
    /// Over the training data, while the weights were changing.
    pub train: Average,
    /// Over the test data, with the weights at the epoch's end.
    pub test: Average,
    /// The time that its training steps took.
    pub training_time: Duration,
}

/// What the loop tells while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step of an epoch is done.
    Step {
        /// From 1.
        epoch: usize,
        /// From 1.
        step: usize,
        /// In each epoch.
        steps: usize,
        /// Over the epoch so far.
        average: &'a Average,
    },
    /// An epoch is done.
    Epoch(&'a Epoch),
}

/// The loss is no longer a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Diverged {
    /// From 1.
    pub epoch: usize,
    /// From 1.
    pub step: usize,
    /// NaN or infinite.
    pub loss: f64,
}

impl fmt::Display for Diverged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "training diverged: the loss is {} at step {} of epoch {}; a smaller learning rate may help",
            self.loss, self.step, self.epoch
        )
    }
}

impl std::error::Error for Diverged {}

/// What is trained, on what, and how.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a, M> {
    /// The model.
    pub model: &'a M,
    /// Training and test images.
    pub data: &'a Dataset,
    /// How.
    pub settings: &'a Settings,
}

/// Trains with Adam, on the threads of the pool that it is called in ([`awake`]). The same seed gives the same bits: every epoch's order and noise come from streams of
/// their own, and evaluation draws from others.
///
/// # Errors
/// If the loss becomes NaN or infinite, in training or on the test data; the parameters are then of no use.
///
/// # Panics
/// If the batch size is 0 or the images do not have the model's number of dimensions.
pub fn fit<T: Scalar, M: Model<T>>(
    task: Task<'_, M>,
    parameters: &mut Parameters<T>,
    tell: impl FnMut(Event<'_>),
) -> Result<Vec<Epoch>, Diverged> {
    awake(|| fit_awake(task, parameters, tell))
}

fn fit_awake<T: Scalar, M: Model<T>>(
    task: Task<'_, M>,
    parameters: &mut Parameters<T>,
    mut tell: impl FnMut(Event<'_>),
) -> Result<Vec<Epoch>, Diverged> {
    let Task {
        model,
        data,
        settings,
    } = task;
    let mut adam = Adam::new(settings.rate);
    let mut tape = Tape::new();
    let mut order: Vec<usize> = (0..data.train.len()).collect();
    let mut epochs = Vec::new();
    for number in 1..=settings.epochs {
        let started = Instant::now();
        order.shuffle(&mut stream(settings.seed, "order", number as u64));
        let mut rng = stream(settings.seed, "noise", number as u64);
        let mut train = Average::default();
        let steps = order.len().div_ceil(settings.batch);
        for (step, batch) in order.chunks(settings.batch).enumerate() {
            let ((loss, terms), gradients) = parameters.value_and_gradients(&mut tape, |p| {
                let (images, binarisation) = (&data.train, settings.binarisation);
                step_on(model, p, images, batch, binarisation, &mut rng)
            });
            if !loss.is_finite() {
                let (epoch, step) = (number, step + 1);
                return Err(Diverged { epoch, step, loss });
            }
            adam.step(parameters, &gradients);
            train.add(batch.len(), loss, &terms);
            tell(Event::Step {
                epoch: number,
                step: step + 1,
                steps,
                average: &train,
            });
        }
        let training_time = started.elapsed();
        let mut rng = stream(settings.seed, "test", number as u64);
        let test = evaluate(
            model,
            parameters,
            &data.test,
            settings.binarisation,
            &mut rng,
        );
        // The loss of a step is that before the step: the last one's harm shows only here.
        if !test.loss.is_finite() {
            return Err(Diverged {
                epoch: number,
                step: steps,
                loss: test.loss,
            });
        }
        epochs.push(Epoch {
            number,
            train,
            test,
            training_time,
        });
        tell(Event::Epoch(epochs.last().expect("just pushed")));
    }
    Ok(epochs)
}

/// A model's objective averaged over images, without touching the parameters.
pub fn evaluate<T: Scalar, M: Model<T>>(
    model: &M,
    parameters: &Parameters<T>,
    images: &Images,
    binarisation: Binarisation,
    rng: &mut StdRng,
) -> Average {
    let mut tape = Tape::new();
    let mut average = Average::default();
    let indices: Vec<usize> = (0..images.len()).collect();
    for batch in indices.chunks(512) {
        let (_, (loss, terms)) = step_on(
            model,
            &parameters.bind_constant(&tape),
            images,
            batch,
            binarisation,
            rng,
        );
        average.add(batch.len(), loss, &terms);
        tape.reset();
    }
    average
}

type Told = (f64, Vec<(&'static str, f64)>);

/// The loss of a batch, as a handle and as numbers.
fn step_on<'t, T: Scalar, M: Model<T>>(
    model: &M,
    p: &Bound<'t, T>,
    images: &Images,
    batch: &[usize],
    binarisation: Binarisation,
    rng: &mut StdRng,
) -> (Var<'t, T>, Told) {
    let tape = p.tape();
    let mut x = tape.buffer(&[batch.len(), images.dimensions()]);
    let view = x.view_mut().into_dimensionality().expect("a matrix");
    images.batch_into(batch, binarisation, rng, view);
    let objective = model.objective(p, tape.constant(x), rng);
    let number = |var: Var<'t, T>| var.item().as_f64();
    let terms = (objective.terms.iter())
        .map(|&(name, var)| (name, number(var)))
        .collect();
    (objective.loss, (number(objective.loss), terms))
}
