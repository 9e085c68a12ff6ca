//! The one trait that the numbers of this crate share: `f64` for the checks, `f32` for training.

use ndarray::{NdFloat, ScalarOperand};

use crate::elementary::Format;

/// A floating-point number that arrays are made of: `f32` or `f64`.
pub trait Scalar: NdFloat + Format + ScalarOperand + Default + std::iter::Sum {
    /// The nearest value to `value`.
    fn of(value: f64) -> Self;

    /// The value as `f64`, exactly.
    fn as_f64(self) -> f64;
}

impl Scalar for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }

    fn as_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Scalar for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn as_f64(self) -> f64 {
        self
    }
}
