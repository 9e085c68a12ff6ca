//! Sequences made of images: digits that roll around, digits that move and bounce.

use std::f64::consts::TAU;

use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis, s};
use rand::Rng;
use rand::rngs::StdRng;

use super::{Binarisation, Images, Source};
use crate::Scalar;
use crate::autodiff::Tape;
use crate::nn::Batch;

/// What an image does from one frame to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// It rolls one pixel to the left or to the right, always the same way: what leaves on one side comes back on the other
    /// (Gregor et al. 2019, section 5.2). The first frame is the image as it is.
    Rolling,
    /// It moves over a square canvas of so many pixels a side and bounces off its edges, after *Moving MNIST* (Srivastava et al.
    /// 2015): from a uniform place on, in a uniform direction, each frame by a tenth of the room around the image; clamped at the
    /// edge, where the direction reverses.
    Moving {
        /// Its side, in pixels.
        canvas: usize,
    },
}

/// Which way a rolling image goes: the last of a sequence's factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Factor 0.
    Left,
    /// Factor 1.
    Right,
}

/// The part of the free room that a moving image crosses in a frame.
const STEP: f64 = 0.1;

/// Sequences that are made when they are asked for, one from each image: how it moves is drawn anew every time, so that no two epochs
/// see the same sequence.
#[derive(Clone, Debug)]
pub struct ImageSequences {
    images: Images,
    binarisation: Binarisation,
    motion: Motion,
    frames: usize,
}

impl ImageSequences {
    /// Sequences of so many frames. Grey pixels become binary once for a sequence, before the image moves: it stays the same
    /// in all frames.
    ///
    /// # Panics
    /// If there is no frame, or the canvas is smaller than the images.
    pub fn new(images: Images, binarisation: Binarisation, motion: Motion, frames: usize) -> Self {
        assert!(frames > 0, "expected at least one frame, found none");
        if let Motion::Moving { canvas } = motion {
            assert!(
                canvas >= images.height().max(images.width()),
                "expected a canvas of at least the images' {} x {} pixels, found one of {canvas} x {canvas}",
                images.height(),
                images.width()
            );
        }
        Self {
            images,
            binarisation,
            motion,
            frames,
        }
    }

    /// The images that move.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// What they do.
    pub fn motion(&self) -> Motion {
        self.motion
    }

    /// How many frames a sequence has.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Height and width of a frame, in pixels.
    pub fn frame(&self) -> (usize, usize) {
        match self.motion {
            Motion::Rolling => (self.images.height(), self.images.width()),
            Motion::Moving { canvas } => (canvas, canvas),
        }
    }
}

impl<T: Scalar> Source<T> for ImageSequences {
    fn len(&self) -> usize {
        self.images.len()
    }

    /// Of shape (batch, frames, pixels of a frame). The factors are the label, if there are labels, and of a rolling image the
    /// [`Direction`].
    fn batch<'t>(&self, tape: &'t Tape<T>, indices: &[usize], rng: &mut StdRng) -> Batch<'t, T> {
        let images = self.images.batch::<T>(indices, self.binarisation, rng);
        let (height, width) = self.frame();
        let mut x = tape.buffer(&[indices.len(), self.frames, height * width]);
        let mut directions = Vec::new();
        for (mut sequence, image) in x.outer_iter_mut().zip(images.rows()) {
            let frames = sequence.outer_iter_mut();
            let frames = frames.map(|frame| frame.into_dimensionality().expect("a row"));
            match self.motion {
                Motion::Rolling => {
                    let direction = Direction::of_factor(usize::from(rng.random::<bool>()));
                    directions.push(direction.factor());
                    for (step, frame) in frames.enumerate() {
                        roll(image, width, direction.shift(step), frame);
                    }
                }
                Motion::Moving { canvas } => {
                    let size = [self.images.height(), self.images.width()];
                    let image = image.into_shape_with_order(size).expect("as many pixels");
                    let places = Bounce::random(rng);
                    for (place, frame) in places.zip(frames) {
                        let [top, left] = [0, 1].map(|i| {
                            let room = canvas - size[i];
                            (place[i] * room as f64) as usize
                        });
                        paste(image, (top, left), width, frame);
                    }
                }
            }
        }
        Batch {
            data: tape.constant(x),
            factors: self.factors(indices, &directions),
        }
    }
}

impl ImageSequences {
    /// One row for each sequence; none if nothing is known of them.
    fn factors(&self, indices: &[usize], directions: &[usize]) -> Option<Array2<usize>> {
        let labels = self.images.labels();
        let labels = labels.map(|labels| indices.iter().map(|&i| usize::from(labels[i])).collect());
        let directions = (!directions.is_empty()).then(|| directions.to_vec());
        let columns: Vec<Vec<usize>> = [labels, directions].into_iter().flatten().collect();
        let shape = (indices.len(), columns.len());
        (!columns.is_empty())
            .then(|| Array2::from_shape_fn(shape, |(i, factor)| columns[factor][i]))
    }
}

impl Direction {
    /// The direction that the factor stands for: 0 is left, anything else right.
    pub fn of_factor(factor: usize) -> Self {
        match factor {
            0 => Self::Left,
            _ => Self::Right,
        }
    }

    /// 0 for left, 1 for right.
    pub fn factor(self) -> usize {
        match self {
            Self::Left => 0,
            Self::Right => 1,
        }
    }

    /// The other one.
    pub fn reversed(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    /// By how many pixels to the right it has rolled after so many frames.
    pub fn shift(self, frames: usize) -> isize {
        let pixels = isize::try_from(frames).expect("fewer frames than that");
        match self {
            Self::Left => -pixels,
            Self::Right => pixels,
        }
    }
}

/// `rolled` ← an image of lines `width` pixels long, rolled so many pixels to the right.
///
/// # Panics
/// If `rolled` has another number of pixels.
pub fn roll<T: Copy>(
    image: ArrayView1<'_, T>,
    width: usize,
    shift: isize,
    mut rolled: ArrayViewMut1<'_, T>,
) {
    let lines = image.len() / width;
    let whole = isize::try_from(width).expect("no image is wider");
    let shift = usize::try_from(shift.rem_euclid(whole)).expect("not negative");
    for line in 0..lines {
        let from = image.slice(s![line * width..(line + 1) * width]);
        let mut to = rolled.slice_mut(s![line * width..(line + 1) * width]);
        to.slice_mut(s![shift..])
            .assign(&from.slice(s![..width - shift]));
        to.slice_mut(s![..shift])
            .assign(&from.slice(s![width - shift..]));
    }
}

/// `frame`, lines of `width` pixels ← black, with the image at a place.
fn paste<T: Scalar>(
    image: ArrayView2<'_, T>,
    (top, left): (usize, usize),
    width: usize,
    mut frame: ArrayViewMut1<'_, T>,
) {
    frame.fill(T::zero());
    for (y, line) in image.axis_iter(Axis(0)).enumerate() {
        let start = (top + y) * width + left;
        frame.slice_mut(s![start..start + line.len()]).assign(&line);
    }
}

/// The places of a point in the unit square that moves in a straight line and bounces off the edges.
struct Bounce {
    place: [f64; 2],
    velocity: [f64; 2],
}

impl Bounce {
    fn random(rng: &mut StdRng) -> Self {
        let place = [rng.random(), rng.random()];
        let angle = TAU * rng.random::<f64>();
        Self {
            place,
            velocity: [angle.sin(), angle.cos()],
        }
    }
}

impl Iterator for Bounce {
    type Item = [f64; 2];

    fn next(&mut self) -> Option<[f64; 2]> {
        let now = self.place;
        for (place, velocity) in self.place.iter_mut().zip(&mut self.velocity) {
            *place += STEP * *velocity;
            if !(0.0..=1.0).contains(place) {
                *place = place.clamp(0.0, 1.0);
                *velocity = -*velocity;
            }
        }
        Some(now)
    }
}
