//! Shapes as pixels, drawn once.

use ndarray::ArrayViewMut1;

use super::factors::{Factors, VALUES};
use crate::Scalar;

/// What the canvas's side is divided into: the step of the positions.
const GRID: usize = 64;

/// Every shape at every scale and orientation, and at every position within a pixel.
///
/// A pixel is set if its centre is in the shape. Positions are whole pixels apart at 64 × 64, so that 720 drawings are all that
/// there is; at 32 × 32 they are half a pixel apart, and there are four of each.
#[derive(Clone, Debug)]
pub(super) struct Stamps {
    /// Pixels of the canvas's side.
    side: usize,
    /// A drawing reaches so many pixels up, down, left and right from that of its centre.
    reach: usize,
    /// One row of pixels in each number, the leftmost in the lowest bit.
    rows: Vec<u64>,
}

impl Stamps {
    /// All drawings on a canvas of `side` by `side` pixels, 32 or 64.
    pub(super) fn new(side: usize) -> Self {
        let forms = || (0..VALUES[0] * VALUES[1] * VALUES[2]).map(form);
        let radius = forms().map(|form| form.outline().radius() * form.scale());
        let reach = (radius.fold(0.0, f64::max) * side as f64).ceil() as usize;
        let per_pixel = GRID / side;
        let mut rows = Vec::new();
        for form in forms() {
            for place in 0..per_pixel * per_pixel {
                let at = [place % per_pixel, place / per_pixel];
                // Where the centre is in its pixel.
                let centre = at.map(|k| (k as f64 + 0.5) / per_pixel as f64);
                rows.extend(draw(&form, centre, (side, reach)));
            }
        }
        Self { side, reach, rows }
    }

    /// Pixels of the canvas's side.
    pub(super) fn side(&self) -> usize {
        self.side
    }

    /// Sets the pixels of an image to 1 in the shape, and leaves the others.
    pub(super) fn draw<T: Scalar>(&self, factors: &Factors, mut image: ArrayViewMut1<'_, T>) {
        let [shape, scale, orientation, x, y] = factors.0;
        let form = (shape * VALUES[1] + scale) * VALUES[2] + orientation;
        let per_pixel = GRID / self.side;
        let place = (y % per_pixel) * per_pixel + x % per_pixel;
        let height = 2 * self.reach + 1;
        let first = (form * per_pixel * per_pixel + place) * height;
        let [left, top] = [x, y].map(|k| self.side / 4 + k / per_pixel);
        for (row, &bits) in self.rows[first..first + height].iter().enumerate() {
            let mut bits = bits;
            while bits != 0 {
                let column = bits.trailing_zeros() as usize;
                // No shape leaves the canvas: what is subtracted was added before.
                let (y, x) = (top + row - self.reach, left + column - self.reach);
                image[y * self.side + x] = T::one();
                bits &= bits - 1;
            }
        }
    }
}

/// A shape with its scale and orientation, at the first position.
fn form(number: usize) -> Factors {
    Factors::of(number * VALUES[3] * VALUES[4])
}

/// The rows of pixels around that of the centre.
fn draw(form: &Factors, centre: [f64; 2], (side, reach): (usize, usize)) -> Vec<u64> {
    let ([cos, sin], scale, outline) = (form.direction(), form.scale(), form.outline());
    let offset = |pixel: usize, centre: f64| pixel as f64 + 0.5 - (reach as f64 + centre);
    let unit = 1.0 / (side as f64 * scale);
    let row = |y: usize| {
        let v = -offset(y, centre[1]) * unit;
        let set = |x: &usize| {
            let u = offset(*x, centre[0]) * unit;
            // Rotated back by the angle.
            outline.contains([cos * u + sin * v, cos * v - sin * u])
        };
        let columns = (0..2 * reach + 1).filter(set);
        columns.fold(0, |bits, x| bits | 1 << x)
    };
    (0..2 * reach + 1).map(row).collect()
}
