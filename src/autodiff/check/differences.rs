//! Finite differences that know their own error.
//!
//! Central differences at h, h/2 and h/4, extrapolated twice (Richardson): with
//! D(h) = (f(x+h) - f(x-h))/2h = f' + c₂h² + c₄h⁴ + …, the combination (4D(h/2) - D(h))/3 cancels c₂, and a second
//! such step cancels c₄. What the second step changes is the error estimate; rounding adds its own part.

use ndarray::{ArrayD, ArrayViewD};

/// One column of a Jacobian: ∂y/∂x_j for every entry of y, and how far off it may be.
pub(super) struct Column {
    pub(super) slope: Vec<f64>,
    pub(super) error: Vec<f64>,
}

/// Why a column could not be had at this point.
pub(super) enum Obstacle {
    /// Slopes from the left and from the right do not approach each other, or no step gave a stable value.
    Kink,
    /// f is not finite even at the smallest step.
    NotFinite,
}

/// Relative to max(1, |x|): the first that gives a converged result is taken.
const STEPS: [f64; 6] = [
    1.0 / 64.0,
    1.0 / 256.0,
    1.0 / 1024.0,
    1.0 / 4096.0,
    1.0 / 16384.0,
    1.0 / 65536.0,
];

/// A column whose error estimate exceeds this part of its largest slope is not used.
const UNSTABLE: f64 = 1e-6;

/// ∂y/∂x_j by extrapolated central differences.
pub(super) fn column(
    f: &impl Fn(&[ArrayD<f64>]) -> ArrayD<f64>,
    inputs: &mut [ArrayD<f64>],
    center: ArrayViewD<'_, f64>,
    (input, entry): (usize, usize),
) -> Result<Column, Obstacle> {
    let x = entry_of(&inputs[input], entry);
    let mut best: Option<(f64, Column)> = None;
    let mut finite = false;
    for step in STEPS {
        let h = step * x.abs().max(1.0);
        let mut at = |offset: f64| {
            set_entry(&mut inputs[input], entry, x + offset);
            let y = f(inputs);
            set_entry(&mut inputs[input], entry, x);
            y
        };
        let levels = [h, h / 2.0, h / 4.0].map(|h| (at(h), at(-h)));
        if !levels
            .iter()
            .all(|(up, down)| up.iter().chain(down).all(|y| y.is_finite()))
        {
            continue;
        }
        let (column, rounding) = extrapolate(&levels, h);
        // The values may be finite and the slopes not; and to compare with NaN never says no.
        if !column
            .slope
            .iter()
            .chain(&column.error)
            .all(|d| d.is_finite())
        {
            continue;
        }
        finite = true;
        let scale = slope_scale(&levels[2], h / 4.0);
        if has_kink(&levels, &center, h, scale) {
            continue;
        }
        let error = column.error.iter().copied().fold(0.0, f64::max);
        let converged = error <= 1e-10 * scale + 4.0 * rounding;
        if best.as_ref().is_none_or(|(least, _)| error < *least) {
            best = Some((error, column));
        }
        if converged {
            break;
        }
    }
    match best {
        Some((error, column)) => {
            let scale = column.slope.iter().fold(0.0, |s, d| d.abs().max(s));
            let magnitude = center.iter().fold(0.0, |s, y| y.abs().max(s));
            if error <= UNSTABLE * scale + 1e-9 * magnitude {
                Ok(column)
            } else {
                Err(Obstacle::Kink)
            }
        }
        None if finite => Err(Obstacle::Kink),
        None => Err(Obstacle::NotFinite),
    }
}

fn slope_scale((up, down): &(ArrayD<f64>, ArrayD<f64>), h: f64) -> f64 {
    up.iter()
        .zip(down)
        .fold(0.0, |s, (u, d)| ((u - d) / (2.0 * h)).abs().max(s))
}

/// The slopes to the right and to the left differ by h f'' where f is smooth, so that halving h halves their
/// difference. At a kink within reach it does not.
fn has_kink(
    levels: &[(ArrayD<f64>, ArrayD<f64>); 3],
    center: &ArrayViewD<'_, f64>,
    h: f64,
    scale: f64,
) -> bool {
    let mut entries = levels.each_ref().map(|(up, down)| up.iter().zip(down));
    center.iter().any(|&c| {
        let mut magnitude = c.abs();
        let mut h = 2.0 * h;
        let [first, second, third] = entries.each_mut().map(|pairs| {
            let (&up, &down) = pairs.next().expect("as many as in the center");
            magnitude = magnitude.max(up.abs()).max(down.abs());
            h /= 2.0;
            (up - 2.0 * c + down) / h
        });
        let rounding = 16.0 * f64::EPSILON * magnitude / h;
        let smooth = 1e-3 * scale.max(0.01 * first.abs()) + rounding;
        (first - 2.0 * second).abs() > smooth || (second - 2.0 * third).abs() > smooth
    })
}

fn extrapolate(levels: &[(ArrayD<f64>, ArrayD<f64>); 3], h: f64) -> (Column, f64) {
    let count = levels[0].0.len();
    let mut column = Column {
        slope: Vec::with_capacity(count),
        error: Vec::with_capacity(count),
    };
    let mut most_rounding: f64 = 0.0;
    let mut entries = levels.each_ref().map(|(up, down)| up.iter().zip(down));
    for _ in 0..count {
        let mut magnitude: f64 = 0.0;
        let mut h = 2.0 * h;
        let [first, second, third] = entries.each_mut().map(|pairs| {
            let (up, down) = pairs.next().expect("count entries");
            magnitude = magnitude.max(up.abs()).max(down.abs());
            h /= 2.0;
            (up - down) / (2.0 * h)
        });
        let coarse = (4.0 * second - first) / 3.0;
        let fine = (4.0 * third - second) / 3.0;
        let slope = (16.0 * fine - coarse) / 15.0;
        let rounding = 2.0 * f64::EPSILON * magnitude / h;
        most_rounding = most_rounding.max(rounding);
        column.slope.push(slope);
        column.error.push((slope - fine).abs() + rounding);
    }
    (column, most_rounding)
}

/// The entry at a position in row-major order.
pub(super) fn entry_of(array: &ArrayD<f64>, entry: usize) -> f64 {
    *array.iter().nth(entry).expect("the entry exists")
}

pub(super) fn set_entry(array: &mut ArrayD<f64>, entry: usize, value: f64) {
    *array.iter_mut().nth(entry).expect("the entry exists") = value;
}
