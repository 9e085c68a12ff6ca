//! A set of grey images, as bytes.

use std::mem;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Zip, s};
use rand::Rng;

use super::{Binarisation, DataError, binarisation::bernoulli};
use crate::Scalar;

/// Grey images of one height and width, one byte per pixel, with or without labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Shape (count, height * width), always in standard layout: an image is a slice.
    pixels: Array2<u8>,
    height: usize,
    width: usize,
    labels: Option<Array1<u8>>,
    /// Shape (count, factors).
    factors: Option<Array2<u8>>,
}

impl Images {
    /// Images from `pixels` of shape (count, `height * width`), each row an image from its top left to
    /// its bottom right, line by line, and one label per image, or `None`.
    ///
    /// # Errors
    ///
    /// [`DataError::PixelsPerImage`] if an image has no pixels or the rows are not of length
    /// `height * width`; [`DataError::LabelsPerImage`] if there is not one label per image.
    pub fn new(
        pixels: Array2<u8>,
        height: usize,
        width: usize,
        labels: Option<Array1<u8>>,
    ) -> Result<Self, DataError> {
        let found = pixels.ncols();
        if found == 0 || height.checked_mul(width) != Some(found) {
            return Err(DataError::PixelsPerImage {
                height,
                width,
                found,
            });
        }
        if let Some(labels) = &labels
            && labels.len() != pixels.nrows()
        {
            return Err(DataError::LabelsPerImage {
                images: pixels.nrows(),
                labels: labels.len(),
            });
        }
        let pixels = if pixels.is_standard_layout() {
            pixels
        } else {
            pixels.as_standard_layout().into_owned()
        };
        Ok(Self {
            pixels,
            height,
            width,
            labels,
            factors: None,
        })
    }

    /// These images with what each was made from, of shape (count, factors), each factor counted from 0.
    ///
    /// # Errors
    ///
    /// [`DataError::FactorsPerImage`] if there is not one row for each image.
    pub fn with_factors(self, factors: Array2<u8>) -> Result<Self, DataError> {
        if factors.nrows() != self.len() {
            return Err(DataError::FactorsPerImage {
                images: self.len(),
                rows: factors.nrows(),
            });
        }
        let factors = Some(factors.as_standard_layout().into_owned());
        Ok(Self { factors, ..self })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.nrows()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Height of an image, in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width of an image, in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of pixels of an image: `height * width`.
    pub fn dimensions(&self) -> usize {
        self.pixels.ncols()
    }

    /// All pixels, of shape (count, `height * width`): 0 is the background of MNIST, 255 full ink.
    pub fn pixels(&self) -> ArrayView2<'_, u8> {
        self.pixels.view()
    }

    /// All pixels, in standard layout, without a copy.
    pub(super) fn into_pixels(self) -> Array2<u8> {
        self.pixels
    }

    /// The labels, of shape (count), if there are any.
    pub fn labels(&self) -> Option<ArrayView1<'_, u8>> {
        self.labels.as_ref().map(|labels| labels.view())
    }

    /// What the images were made from, of shape (count, factors), if that is known.
    pub fn factors(&self) -> Option<ArrayView2<'_, u8>> {
        self.factors.as_ref().map(|factors| factors.view())
    }

    /// The first `n` images with their labels, or all if there are fewer.
    pub fn head(&self, n: usize) -> Self {
        let n = n.min(self.len());
        Self {
            pixels: self.pixels.slice(s![..n, ..]).to_owned(),
            height: self.height,
            width: self.width,
            labels: self
                .labels
                .as_ref()
                .map(|labels| labels.slice(s![..n]).to_owned()),
            factors: (self.factors.as_ref()).map(|factors| factors.slice(s![..n, ..]).to_owned()),
        }
    }

    /// Removes `count` images, chosen at random, and returns them with their labels.
    ///
    /// With the same state of `rng`, a smaller `count` gives a subset of a greater one. The images that remain change
    /// their order.
    ///
    /// # Panics
    ///
    /// If `count` is greater than [`len`](Self::len).
    pub fn hold_out(&mut self, count: usize, rng: &mut impl Rng) -> Self {
        assert!(
            count <= self.len(),
            "{count} images cannot be held out of {}",
            self.len()
        );
        let kept = self.len() - count;
        self.draw_last(kept, rng);
        let held_out = Self {
            pixels: self.pixels.slice(s![kept.., ..]).to_owned(),
            labels: (self.labels.as_ref()).map(|labels| labels.slice(s![kept..]).to_owned()),
            factors: (self.factors.as_ref()).map(|known| known.slice(s![kept.., ..]).to_owned()),
            ..*self
        };
        self.pixels.slice_collapse(s![..kept, ..]);
        if let Some(labels) = &mut self.labels {
            labels.slice_collapse(s![..kept]);
        }
        if let Some(factors) = &mut self.factors {
            factors.slice_collapse(s![..kept, ..]);
        }
        held_out
    }

    /// Puts the images and their labels in a random order.
    #[cfg(feature = "cli")]
    pub(super) fn shuffle(&mut self, rng: &mut impl Rng) {
        self.draw_last(0, rng);
    }

    /// Draws the images at index `first` and after at random from all images: the first steps of a Fisher-Yates shuffle,
    /// which begins with the last image. Works in place, because images may take most of the memory.
    fn draw_last(&mut self, first: usize, rng: &mut impl Rng) {
        for last in (first..self.len()).rev() {
            let other = rng.random_range(0..=last);
            if other == last {
                continue;
            }
            for rows in [Some(&mut self.pixels), self.factors.as_mut()]
                .into_iter()
                .flatten()
            {
                let (one, two) = rows.multi_slice_mut((s![other, ..], s![last, ..]));
                Zip::from(one).and(two).for_each(mem::swap);
            }
            if let Some(labels) = &mut self.labels {
                labels.swap(other, last);
            }
        }
    }

    /// The images mirrored at their main diagonal: pixel `(y, x)` moves to `(x, y)`, and height and
    /// width change places.
    pub fn transposed(mut self) -> Self {
        let (height, width) = (self.height, self.width);
        let mut image = vec![0; height * width];
        for mut row in self.pixels.rows_mut() {
            image
                .iter_mut()
                .zip(&row)
                .for_each(|(pixel, &byte)| *pixel = byte);
            for (y, line) in image.chunks_exact(width).enumerate() {
                for (x, &pixel) in line.iter().enumerate() {
                    row[x * height + y] = pixel;
                }
            }
        }
        (self.height, self.width) = (width, height);
        self
    }

    /// The images at half the height and width: each pixel the mean of four, rounded to the nearest byte, halves up. A last line or
    /// column that has no partner is left out.
    ///
    /// # Panics
    ///
    /// If an image is less than two pixels high or wide.
    pub fn halved(&self) -> Self {
        let (height, width) = (self.height / 2, self.width / 2);
        assert!(
            height > 0 && width > 0,
            "images of {} x {} pixels have no half",
            self.height,
            self.width
        );
        let pixels = Array2::from_shape_fn((self.len(), height * width), |(image, pixel)| {
            let (y, x) = (2 * (pixel / width), 2 * (pixel % width));
            let four = [(y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)];
            let sum: u16 = (four.iter())
                .map(|(y, x)| u16::from(self.pixels[(image, y * self.width + x)]))
                .sum();
            u8::try_from((sum + 2) / 4).expect("the mean of four bytes")
        });
        Self {
            pixels,
            height,
            width,
            labels: self.labels.clone(),
            factors: self.factors.clone(),
        }
    }

    /// The images of the given `indices`, in that order, as numbers in `[0, 1]`: an array of shape
    /// (`indices.len()`, `height * width`).
    ///
    /// Only [`Binarisation::Stochastic`] draws from `rng`; its draws, hence the batch, are determined
    /// by the state of `rng`.
    ///
    /// # Panics
    ///
    /// If an index is not less than [`len`](Self::len).
    pub fn batch<T: Scalar>(
        &self,
        indices: &[usize],
        binarisation: Binarisation,
        rng: &mut impl Rng,
    ) -> Array2<T> {
        let mut batch = Array2::zeros((indices.len(), self.dimensions()));
        self.batch_into(indices, binarisation, rng, batch.view_mut());
        batch
    }

    /// As [`batch`](Self::batch), into an array that is there already; allocates nothing.
    ///
    /// # Panics
    ///
    /// If an index is not less than [`len`](Self::len), or `batch` is not of shape
    /// (`indices.len()`, `height * width`).
    pub fn batch_into<T: Scalar>(
        &self,
        indices: &[usize],
        binarisation: Binarisation,
        rng: &mut impl Rng,
        batch: ArrayViewMut2<T>,
    ) {
        match binarisation {
            Binarisation::None => {
                let white = T::of(255.0);
                self.fill(indices, batch, move |pixel| T::of(f64::from(pixel)) / white);
            }
            Binarisation::Threshold => {
                self.fill(indices, batch, |pixel| indicator(pixel >= 128));
            }
            Binarisation::Stochastic => {
                self.fill(indices, batch, |pixel| indicator(bernoulli(pixel, rng)));
            }
        }
    }

    /// Writes `value` of each pixel of the images of the given indices, line by line.
    fn fill<T>(
        &self,
        indices: &[usize],
        mut batch: ArrayViewMut2<T>,
        mut value: impl FnMut(u8) -> T,
    ) {
        assert_eq!(
            batch.dim(),
            (indices.len(), self.dimensions()),
            "a batch is of shape (number of indices, pixels of an image)"
        );
        for (&index, row) in indices.iter().zip(batch.rows_mut()) {
            assert!(
                index < self.len(),
                "there is no image {index} among {}",
                self.len()
            );
            Zip::from(row)
                .and(self.pixels.row(index))
                .for_each(|number, &pixel| *number = value(pixel));
        }
    }
}

/// 1 if `condition` holds, else 0.
fn indicator<T: Scalar>(condition: bool) -> T {
    if condition { T::one() } else { T::zero() }
}
