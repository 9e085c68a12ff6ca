//! Reverse-mode automatic differentiation over ndarray.

pub mod check;
mod gradients;
mod ops;
mod pool;
mod product;
mod tape;
mod trace;

pub(crate) use gradients::Lender;
pub use gradients::{DifferentiableGradients, Gradients};
pub use ops::{Mask, NotPositiveDefinite, broadcast_shape, top_k_mask};
pub(crate) use ops::{columns, relu, sigmoid, softplus};
pub use product::product;
pub(crate) use tape::array;
pub use tape::{IntoValue, Pullback, Tape, Value, Var};
pub use trace::{Trace, TraceStep};
