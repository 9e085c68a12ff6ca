//! The training loop: the same for every model.

mod fit;

pub use fit::{Average, Diverged, Epoch, Event, Settings, Task, evaluate, fit};
