//! What a training loop takes its batches from.

use ndarray::{Array2, Axis};
use rand::rngs::StdRng;

use super::{Binarisation, Images};
use crate::Scalar;
use crate::autodiff::Tape;
use crate::nn::Batch;

/// Data that can be asked for a batch: images, images with factors, sequences.
pub trait Source<T: Scalar> {
    /// How many data there are. One epoch asks for each of them once.
    fn len(&self) -> usize;

    /// Is there none?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The data of the given indices, in that order, on a tape; whatever is drawn for them (binary pixels, corruptions, whole
    /// images) comes from `rng`.
    ///
    /// # Panics
    /// If an index is not less than [`len`](Source::len).
    fn batch<'t>(&self, tape: &'t Tape<T>, indices: &[usize], rng: &mut StdRng) -> Batch<'t, T>;
}

/// Images as a model sees them: with a choice of what becomes of grey pixels.
#[derive(Clone, Debug)]
pub struct Pixels {
    /// The images.
    pub images: Images,
    /// What becomes of grey pixels.
    pub binarisation: Binarisation,
}

impl Images {
    /// These images as a source of batches: rows of `height * width` numbers in `[0, 1]`, with their factors, or the label
    /// as the only factor if there are labels.
    pub fn pixels_as(self, binarisation: Binarisation) -> Pixels {
        Pixels {
            images: self,
            binarisation,
        }
    }
}

impl<T: Scalar> Source<T> for Pixels {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn batch<'t>(&self, tape: &'t Tape<T>, indices: &[usize], rng: &mut StdRng) -> Batch<'t, T> {
        let mut x = tape.buffer(&[indices.len(), self.images.dimensions()]);
        let view = x.view_mut().into_dimensionality().expect("a matrix");
        self.images
            .batch_into(indices, self.binarisation, rng, view);
        let known = self.images.factors();
        let labels = self
            .images
            .labels()
            .map(|labels| labels.insert_axis(Axis(1)));
        let factors = known.or(labels).map(|factors| {
            let shape = (indices.len(), factors.ncols());
            Array2::from_shape_fn(shape, |(i, k)| usize::from(factors[(indices[i], k)]))
        });
        Batch {
            data: tape.constant(x),
            factors,
        }
    }
}
