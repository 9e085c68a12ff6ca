//! Epochs, batches, and what is reported about them.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{EpochMetrics, Metrics, Run, Settings};
use crate::Scalar;
use crate::autodiff::{Tape, Value, Var};
use crate::data::Source;
use crate::distributions::noise::stream;
use crate::nn::{Bound, Model, ParameterId, Parameters, Step};
use crate::threads::awake;

/// What is trained, on what, and how.
#[derive(Debug)]
pub struct Task<'a, M, S> {
    /// The model.
    pub model: &'a M,
    /// The data to train on.
    pub train: &'a S,
    /// The held-out data.
    pub test: &'a S,
    /// How.
    pub settings: &'a Settings,
}

/// What the loop reports while it runs.
#[derive(Debug)]
pub enum Event<'a, T: Scalar> {
    /// A step of an epoch is done.
    Step {
        /// From 1.
        epoch: usize,
        /// From 1.
        step: usize,
        /// In each epoch.
        steps: usize,
        /// Over the epoch so far.
        metrics: &'a Metrics,
    },
    /// An epoch is done: the last one of `Run::epochs`. This is the moment for a checkpoint.
    Epoch(&'a Run<T>),
}

/// How a training ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// After the last epoch.
    Finished,
    /// The test loss had not fallen for [`Settings::patience`] epochs.
    StoppedEarly,
    /// The callback asked for it: within an epoch, with what that came to so far, or at the end of one.
    Interrupted(Option<EpochMetrics>),
}

/// Why there is no trained model.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainError {
    /// There are no training data.
    NothingToTrainOn,
    /// There are no test data.
    NothingToTestOn,
    /// The loss is no longer a number.
    Diverged(Diverged),
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

impl fmt::Display for TrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToTrainOn => write!(f, "expected training data, found none"),
            Self::NothingToTestOn => write!(f, "expected test data, found none"),
            Self::Diverged(Diverged { epoch, step, loss }) => write!(
                f,
                "training diverged: the loss is {loss} at step {step} of epoch {epoch}; a smaller learning rate may help"
            ),
        }
    }
}

impl std::error::Error for TrainError {}

/// Trains with Adam from the state `run` on, on the threads of the pool that it is called in ([`awake`]), and leaves in `run`
/// the state after the last step.
///
/// The same seed gives the same bits, however often the training is interrupted (`on_event` answers
/// [`ControlFlow::Break`]) and taken up again: the order of an epoch and the noise of a step come from streams of their own,
/// and evaluation draws from others.
///
/// # Errors
/// If there is nothing to train or to test on, or the loss becomes NaN or infinite, in training or on the test data; the
/// parameters are then of no use.
///
/// # Panics
/// If the batch size is 0, or the data do not have the shape that the model wants.
pub fn fit<T: Scalar, M: Model<T>, S: Source<T>>(
    task: &Task<'_, M, S>,
    run: &mut Run<T>,
    on_event: impl FnMut(Event<'_, T>) -> ControlFlow<()>,
) -> Result<Outcome, TrainError> {
    if task.train.is_empty() {
        return Err(TrainError::NothingToTrainOn);
    }
    if task.test.is_empty() {
        return Err(TrainError::NothingToTestOn);
    }
    awake(|| fit_awake(task, run, on_event))
}

fn fit_awake<T: Scalar, M: Model<T>, S: Source<T>>(
    task: &Task<'_, M, S>,
    run: &mut Run<T>,
    mut on_event: impl FnMut(Event<'_, T>) -> ControlFlow<()>,
) -> Result<Outcome, TrainError> {
    let settings = task.settings;
    let steps = task.train.len().div_ceil(settings.batch);
    let mut tape = Tape::new();
    while run.epochs.len() < settings.epochs {
        if run.is_exhausted(settings) {
            return Ok(Outcome::StoppedEarly);
        }
        let number = run.epochs.len() + 1;
        let started = Instant::now();
        let mut order: Vec<usize> = (0..task.train.len()).collect();
        order.shuffle(&mut stream(settings.seed, "order", number as u64));
        let mut stop = false;
        for batch in order.chunks(settings.batch).skip(run.step) {
            let so_far = (number - 1) * steps + run.step;
            take_step(task, run, &mut tape, (so_far, batch)).map_err(|loss| {
                let (epoch, step) = (number, run.step + 1);
                TrainError::Diverged(Diverged { epoch, step, loss })
            })?;
            run.step += 1;
            let event = Event::Step {
                epoch: number,
                step: run.step,
                steps,
                metrics: &run.running,
            };
            stop = on_event(event).is_break();
            if stop && run.step < steps {
                let epoch = measure(task, run, started)?;
                return Ok(Outcome::Interrupted(Some(epoch)));
            }
        }
        let epoch = measure(task, run, started)?;
        run.close_epoch(epoch, settings.keep_best);
        stop |= on_event(Event::Epoch(run)).is_break();
        if stop && number < settings.epochs {
            return Ok(Outcome::Interrupted(None));
        }
    }
    Ok(Outcome::Finished)
}

/// One step of training, on the data of these indices, with so many steps before it; or a loss that is no number.
fn take_step<T: Scalar, M: Model<T>, S: Source<T>>(
    task: &Task<'_, M, S>,
    run: &mut Run<T>,
    tape: &mut Tape<T>,
    (so_far, indices): (usize, &[usize]),
) -> Result<(), f64> {
    let settings = task.settings;
    let mut rng = stream(settings.seed, "noise", so_far as u64);
    let (reported, gradients) = run.parameters.value_and_gradients(tape, |p| {
        let mut step = Step {
            number: so_far,
            training: true,
            rng: &mut rng,
        };
        objective_on(task.model, p, (task.train, indices), &mut step)
    });
    if !reported.loss.is_finite() {
        return Err(reported.loss);
    }
    run.optimiser.set_rate(settings.rate.at(so_far));
    run.optimiser.step(&mut run.parameters, &gradients);
    for (id, value) in reported.buffers {
        let replaced = run.parameters.replace(id, value);
        replaced.expect("a buffer keeps its shape");
    }
    (run.running).add(indices.len(), reported.loss, &reported.terms);
    Ok(())
}

/// What the epoch under way has come to.
fn measure<T: Scalar, M: Model<T>, S: Source<T>>(
    task: &Task<'_, M, S>,
    run: &Run<T>,
    started: Instant,
) -> Result<EpochMetrics, TrainError> {
    let training_time = started.elapsed();
    let number = run.epochs.len() + 1;
    let mut rng = stream(task.settings.seed, "test", number as u64);
    let test = evaluate(task.model, &run.parameters, task.test, &mut rng);
    // The loss of a step is that before the step: the last one's harm shows only here.
    if !test.loss.is_finite() {
        return Err(TrainError::Diverged(Diverged {
            epoch: number,
            step: run.step,
            loss: test.loss,
        }));
    }
    Ok(EpochMetrics {
        number,
        steps: run.step,
        train: run.running.clone(),
        test,
        training_time,
    })
}

/// A model's objective averaged over data, without touching the parameters; schedules are at their end.
pub fn evaluate<T: Scalar, M: Model<T>>(
    model: &M,
    parameters: &Parameters<T>,
    data: &impl Source<T>,
    rng: &mut StdRng,
) -> Metrics {
    let mut tape = Tape::new();
    let mut metrics = Metrics::default();
    let indices: Vec<usize> = (0..data.len()).collect();
    for batch in indices.chunks(512) {
        let p = parameters.bind_constant(&tape);
        let (_, reported) = objective_on(model, &p, (data, batch), &mut Step::evaluation(rng));
        metrics.add(batch.len(), reported.loss, &reported.terms);
        tape.reset();
    }
    metrics
}

/// What an objective comes to, off the tape.
struct Reported<T: Scalar> {
    loss: f64,
    terms: Vec<(&'static str, f64)>,
    buffers: Vec<(ParameterId, Value<T>)>,
}

/// The loss of a batch, as a handle, and all of it as numbers.
fn objective_on<'t, T: Scalar, M: Model<T>>(
    model: &M,
    p: &Bound<'t, T>,
    (data, indices): (&impl Source<T>, &[usize]),
    step: &mut Step<'_>,
) -> (Var<'t, T>, Reported<T>) {
    let batch = data.batch(p.tape(), indices, step.rng);
    let objective = model.objective(p, &batch, step);
    let number = |var: Var<'t, T>| var.item().as_f64();
    let terms = (objective.terms.iter())
        .map(|&(name, var)| (name, number(var)))
        .collect();
    let reported = Reported {
        loss: number(objective.loss),
        terms,
        buffers: objective.buffers,
    };
    (objective.loss, reported)
}
