//! Shapes with known factors, in the manner of dSprites.
//!
//! A square, an ellipse or a heart, white on black, at one of 6 scales, 40 orientations and 32 × 32 positions: 737,280 images,
//! each determined by its five factors, numbered as in dSprites (Matthey, Higgins, Hassabis and Lerchner, *dSprites*, 2017).
//! The outlines of the original are not published; these are [by formulas](Outline). No file is read: an image is drawn when
//! it is asked for.

mod factors;
mod outline;
mod stamps;

use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayViewMut2, Axis};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

pub use factors::{COMBINATIONS, Factors, NAMES, VALUES};
pub use outline::{AREA, Outline};
use stamps::Stamps;

use super::Source;
use crate::Scalar;
use crate::autodiff::Tape;
use crate::nn::Batch;

/// What the choice of the held-out combinations depends on: the same in every run.
const SPLIT_SEED: u64 = 0;

/// Images of shapes as a source of batches: rows of side · side numbers 0 or 1, with the five [`Factors`].
///
/// The data are either a list of combinations, or so many draws from a list: then an epoch does not see the same images as the
/// one before, and an index says nothing but that one more is to be drawn.
#[derive(Clone, Debug)]
pub struct Shapes {
    stamps: Arc<Stamps>,
    combinations: Vec<u32>,
    draws: Option<usize>,
}

impl Shapes {
    /// The images of these combinations, given by their numbers, of `side` by `side` pixels.
    ///
    /// # Panics
    /// If the side is neither 32 nor 64, or a number is not less than [`COMBINATIONS`].
    pub fn new(side: usize, combinations: &[usize]) -> Self {
        assert!(
            side == 32 || side == 64,
            "shapes are drawn on 32 or 64 pixels, found {side}"
        );
        let number = |&number: &usize| {
            assert!(number < COMBINATIONS, "no combination {number}");
            number as u32
        };
        Self {
            stamps: Arc::new(Stamps::new(side)),
            combinations: combinations.iter().map(number).collect(),
            draws: None,
        }
    }

    /// To train on, `draws` images in an epoch, drawn from all combinations but `held_out` of them, which are chosen at random,
    /// the same in every run; and those to test on.
    ///
    /// # Panics
    /// If the side is neither 32 nor 64, or not less than all combinations are held out.
    pub fn split(side: usize, draws: usize, held_out: usize) -> [Self; 2] {
        assert!(
            held_out < COMBINATIONS,
            "{held_out} of {COMBINATIONS} combinations cannot be held out"
        );
        let mut numbers: Vec<usize> = (0..COMBINATIONS).collect();
        let mut rng = StdRng::seed_from_u64(SPLIT_SEED);
        let (test, train) = numbers.partial_shuffle(&mut rng, held_out);
        let test = Self::new(side, test);
        let train = Self {
            stamps: test.stamps.clone(),
            combinations: train.iter().map(|&number| number as u32).collect(),
            draws: Some(draws),
        };
        [train, test]
    }

    /// Pixels of an image's side.
    pub fn side(&self) -> usize {
        self.stamps.side()
    }

    /// How many combinations there are to list or to draw from.
    pub fn combinations(&self) -> usize {
        self.combinations.len()
    }

    /// The factors of the combination at a place of the list.
    ///
    /// # Panics
    /// If there is none.
    pub fn factors(&self, place: usize) -> Factors {
        Factors::of(self.combinations[place] as usize)
    }

    /// Draws images into the rows of an array that is there already.
    ///
    /// # Panics
    /// If there is not a row of side · side numbers for each.
    pub fn draw_into<T: Scalar>(&self, factors: &[Factors], mut images: ArrayViewMut2<'_, T>) {
        let pixels = self.side() * self.side();
        assert_eq!(
            images.dim(),
            (factors.len(), pixels),
            "images are of shape (number of factors, pixels)"
        );
        images.fill(T::zero());
        for (factors, image) in factors.iter().zip(images.axis_iter_mut(Axis(0))) {
            self.stamps.draw(factors, image);
        }
    }

    /// One image, line by line.
    pub fn image<T: Scalar>(&self, factors: &Factors) -> Array1<T> {
        let mut image = Array1::zeros(self.side() * self.side());
        self.stamps.draw(factors, image.view_mut());
        image
    }
}

impl<T: Scalar> Source<T> for Shapes {
    fn len(&self) -> usize {
        self.draws.unwrap_or(self.combinations.len())
    }

    fn batch<'t>(&self, tape: &'t Tape<T>, indices: &[usize], rng: &mut StdRng) -> Batch<'t, T> {
        let length = Source::<T>::len(self);
        let factors: Vec<Factors> = (indices.iter())
            .map(|&index| {
                assert!(
                    index < length,
                    "there are {length} data, found index {index}"
                );
                self.factors(match self.draws {
                    Some(_) => rng.random_range(0..self.combinations.len()),
                    None => index,
                })
            })
            .collect();
        let mut x = tape.buffer(&[indices.len(), self.side() * self.side()]);
        self.draw_into(
            &factors,
            x.view_mut().into_dimensionality().expect("a matrix"),
        );
        let known = Array2::from_shape_fn((indices.len(), 5), |(i, k)| factors[i].0[k]);
        Batch {
            data: tape.constant(x),
            factors: Some(known),
        }
    }
}
