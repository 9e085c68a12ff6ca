//! The five factors of an image of a shape, and the number of their combination.

use std::f64::consts::TAU;

use super::Outline;

/// How many values each factor takes: shape, scale, orientation, x, y.
pub const VALUES: [usize; 5] = [3, 6, 40, 32, 32];

/// What the factors are called.
pub const NAMES: [&str; 5] = ["shape", "scale", "orientation", "x", "y"];

/// How many combinations there are: 737,280.
pub const COMBINATIONS: usize = VALUES[0] * VALUES[1] * VALUES[2] * VALUES[3] * VALUES[4];

/// What an image is drawn from, each factor counted from 0: shape, scale, orientation, x, y.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factors(pub [usize; 5]);

impl Factors {
    /// Those of a combination's number: the shape varies slowest and y fastest, as in dSprites.
    ///
    /// # Panics
    /// If the number is not less than [`COMBINATIONS`].
    pub fn of(number: usize) -> Self {
        assert!(
            number < COMBINATIONS,
            "there are {COMBINATIONS} combinations of factors, found number {number}"
        );
        let mut rest = number;
        let mut factors = [0; 5];
        for (factor, values) in factors.iter_mut().zip(VALUES).rev() {
            *factor = rest % values;
            rest /= values;
        }
        Self(factors)
    }

    /// The number of this combination.
    ///
    /// # Panics
    /// If a factor has a value that it does not take.
    pub fn number(&self) -> usize {
        let pairs = self.0.iter().zip(VALUES);
        pairs.fold(0, |number, (&factor, values)| {
            assert!(factor < values, "no such factors: {:?}", self.0);
            number * values + factor
        })
    }

    /// Which shape.
    pub fn outline(&self) -> Outline {
        [Outline::Square, Outline::Ellipse, Outline::Heart][self.0[0]]
    }

    /// 0.5, 0.6, …, 1: all lengths are that part of the largest.
    pub fn scale(&self) -> f64 {
        (5 + self.0[1]) as f64 / 10.0
    }

    /// cos and sin of the angle 2π k/40, anticlockwise on an upright canvas. Quarter turns are exact.
    pub fn direction(&self) -> [f64; 2] {
        let (k, quarter) = (self.0[2], VALUES[2] / 4);
        let (sin, cos) = (TAU * (k % quarter) as f64 / VALUES[2] as f64).sin_cos();
        [[cos, sin], [-sin, cos], [-cos, -sin], [sin, -cos]][k / quarter]
    }

    /// Where the centre is: x to the right and y downwards, on a canvas of side 1. Neighbours are 1/64 apart.
    pub fn centre(&self) -> [f64; 2] {
        [self.0[3], self.0[4]].map(|k| (16.5 + k as f64) / 64.0)
    }
}
