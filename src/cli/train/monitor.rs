//! What a person sees of a training while it runs.

use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cli::interrupt::Interrupt;
use crate::cli::models::{ModelCommand, Training};
use crate::cli::progress::{Progress, spoken, warn};
use crate::train::{EpochMetrics, Event, Run};

/// The bar, a line for each epoch, and what went wrong on the way.
pub struct Monitor<M> {
    progress: Progress,
    epochs: usize,
    /// How many epochs were done when it began.
    before: usize,
    started: Instant,
    failure: Option<anyhow::Error>,
    /// Is the last epoch in no checkpoint?
    unsaved: bool,
    model: PhantomData<M>,
}

impl<M: ModelCommand> Monitor<M> {
    /// For a run that is about to begin or to go on.
    pub fn new(training: Training, epochs: usize, run: &Run<f32>) -> Result<Self> {
        let steps = training.steps();
        let done = run.epochs.len().saturating_mul(steps) + run.step;
        let progress = Progress::new(steps.saturating_mul(epochs).saturating_sub(done) as u64);
        let width = M::line(&run.running).chars().count();
        progress.line(&format!(
            "{}\n{:>9}  {:>width$}  {:>width$}",
            M::legend(),
            "epoch",
            "training",
            "test"
        ))?;
        for epoch in &run.epochs {
            progress.line(&line::<M>(epoch, epochs))?;
        }
        Ok(Self {
            progress,
            epochs,
            before: run.epochs.len(),
            started: Instant::now(),
            failure: None,
            unsaved: false,
            model: PhantomData,
        })
    }

    /// Shows an event, saves a checkpoint at the end of an epoch, and says whether to go on.
    pub fn report(
        &mut self,
        event: Event<'_, f32>,
        interrupt: &Interrupt,
        checkpoint: impl FnOnce(&Run<f32>) -> Result<()>,
    ) -> ControlFlow<()> {
        match event {
            Event::Step { epoch, metrics, .. } => {
                self.progress.advance(1);
                let epochs = self.epochs;
                self.progress
                    .message(|| format!("epoch {epoch}/{epochs}: {}", M::line(metrics).trim()));
            }
            Event::Epoch(run) => {
                let epoch = run.epochs.last().expect("one is done");
                let line = format!(
                    "{}{}",
                    line::<M>(epoch, self.epochs),
                    self.left(epoch.number)
                );
                if let Err(error) = self.progress.line(&line) {
                    // Nobody listens any more: the run ends here, and can be taken up again.
                    self.failure = Some(error);
                }
                let saved = checkpoint(run);
                self.unsaved = saved.is_err();
                if let Err(error) = saved {
                    // The training itself is sound, and there may be room again by the next epoch.
                    self.progress.suspend(|| {
                        warn(&format!(
                            "no checkpoint of epoch {}: {error:#}",
                            epoch.number
                        ))
                    });
                }
            }
        }
        match interrupt.asked() || self.failure.is_some() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// The time left, in words.
    fn left(&self, number: usize) -> String {
        if number == self.epochs {
            return String::new();
        }
        let each = self.started.elapsed().as_secs_f64() / (number - self.before) as f64;
        let left = each * (self.epochs - number) as f64;
        let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
        format!("  {} left", spoken(left))
    }

    /// Takes the bar away, and says whether the last epoch still needs a checkpoint, and why the standard output could not be
    /// written to, if it could not.
    pub fn finish(self) -> (bool, Option<anyhow::Error>) {
        self.progress.finish();
        (self.unsaved, self.failure)
    }
}

fn line<M: ModelCommand>(epoch: &EpochMetrics, epochs: usize) -> String {
    let number = format!("{}/{epochs}", epoch.number);
    let (train, test) = (M::line(&epoch.train), M::line(&epoch.test));
    format!("{number:>9}  {train}  {test}")
}
