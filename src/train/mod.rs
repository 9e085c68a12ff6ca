//! The training loop: the same for every model.

#[cfg(feature = "cli")]
mod checkpoint;
mod fit;
mod metrics;
mod run;

#[cfg(feature = "cli")]
pub use checkpoint::{read, write};
pub use fit::{Diverged, Event, Outcome, Task, TrainError, evaluate, fit};
pub use metrics::{EpochMetrics, Metrics};
pub use run::{Best, Run, Settings};
