//! The one trait that the numbers of this crate share: `f64` for the checks, `f32` for training.

use ndarray::{NdFloat, ScalarOperand};

use crate::elementary::Format;

/// What the matrix product asks of a number.
#[cfg(all(feature = "faer", not(feature = "blas")))]
use faer::traits::ComplexField as Factor;
#[cfg(not(all(feature = "faer", not(feature = "blas"))))]
use std::any::Any as Factor;

/// A floating-point number that arrays are made of: `f32` or `f64`.
pub trait Scalar: NdFloat + Format + Factor + ScalarOperand + Default + std::iter::Sum {
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
