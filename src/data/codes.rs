//! Codes as data: what a prior is fitted to.

use ndarray::Array2;
use rand::rngs::StdRng;

use super::Source;
use crate::Scalar;
use crate::autodiff::Tape;
use crate::nn::Batch;

/// Codes from a table, n to a datum, of shape (N, n): what a
/// [`VqVae`](crate::autoencoders::VqVae) made of images, for an
/// [`AutoregressivePrior`](crate::autoencoders::AutoregressivePrior) to be fitted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes(pub Array2<usize>);

impl<T: Scalar> Source<T> for Codes {
    fn len(&self) -> usize {
        self.0.nrows()
    }

    /// The codes as numbers: exact up to 2²⁴ in `f32`.
    fn batch<'t>(&self, tape: &'t Tape<T>, indices: &[usize], _: &mut StdRng) -> Batch<'t, T> {
        let shape = (indices.len(), self.0.ncols());
        let codes = Array2::from_shape_fn(shape, |(i, position)| {
            T::of(self.0[[indices[i], position]] as f64)
        });
        tape.constant(codes).into()
    }
}
