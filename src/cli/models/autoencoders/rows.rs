//! Rows of a matrix as data to train on.

use ndarray::{Array2, ArrayView2, Axis};
use rand::rngs::StdRng;

use crate::autodiff::Tape;
use crate::data::{Pixels, Source};
use crate::nn::Batch;

/// Rows of a matrix: codes, say.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// One datum a row.
    pub data: ArrayView2<'a, f32>,
    /// The label of each, if there are labels.
    pub labels: Option<&'a [usize]>,
}

impl Source<f32> for Rows<'_> {
    fn len(&self) -> usize {
        self.data.nrows()
    }

    fn batch<'t>(&self, tape: &'t Tape<f32>, indices: &[usize], _: &mut StdRng) -> Batch<'t, f32> {
        let factors = self
            .labels
            .map(|labels| Array2::from_shape_fn((indices.len(), 1), |(i, _)| labels[indices[i]]));
        Batch {
            data: tape.constant(self.data.select(Axis(0), indices)),
            factors,
        }
    }
}

/// The labels of images, if there are any.
pub fn labels(pixels: &Pixels) -> Option<Vec<usize>> {
    let labels = pixels.images.labels()?;
    Some(labels.iter().map(|&label| usize::from(label)).collect())
}

/// How many classes labels tell apart: one more than the largest label.
pub fn classes<'a>(labels: impl IntoIterator<Item = &'a usize>) -> usize {
    1 + labels.into_iter().copied().max().unwrap_or(0)
}
