//! Choices, which have no derivative of their own, and the one that may be declared for them
//! ([notes](crate::gradients#stop-gradient-and-selection)).

use std::fmt;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::Scalar;
use crate::autodiff::{Var, product};

/// Why no row is nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NearestError {
    /// There is nothing to choose from.
    NoCodes,
    /// A distance from this row, counted from 0, is NaN.
    NotANumber(usize),
    /// A coordinate of this row, counted from 0, is infinite: every finite code is infinitely far.
    Infinite(usize),
}

impl fmt::Display for NearestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCodes => write!(f, "expected at least one code to choose from, found none"),
            Self::NotANumber(row) => write!(
                f,
                "expected distances that are numbers, found NaN from row {row} (counted from 0) to some code"
            ),
            Self::Infinite(row) => write!(
                f,
                "expected finite coordinates, found an infinite one in row {row} (counted from 0)"
            ),
        }
    }
}

impl std::error::Error for NearestError {}

/// argmin_k |z_i - e_k|² for each row z_i of shape (n, d), among the rows e_k of shape (K, d); the first of several that are
/// equally near. Plain indices: piecewise constant in z and e, so that there is nothing to differentiate.
///
/// # Errors
/// If there are no codes, a coordinate of z is infinite, or a distance is NaN.
///
/// # Panics
/// If the rows differ in length.
pub fn nearest<T: Scalar>(
    z: ArrayView2<'_, T>,
    codes: ArrayView2<'_, T>,
) -> Result<Vec<usize>, NearestError> {
    assert!(
        z.ncols() == codes.ncols(),
        "nearest: shapes {:?} (z) and {:?} (codes) do not fit",
        z.shape(),
        codes.shape()
    );
    if codes.nrows() == 0 {
        return Err(NearestError::NoCodes);
    }
    let distance = |z: ArrayView1<T>, code: ArrayView1<T>| -> T {
        z.iter().zip(code).map(|(&z, &e)| (z - e) * (z - e)).sum()
    };
    let shortlist = Shortlist::of(z, codes);
    let first_least = |(row, z): (usize, ArrayView1<T>)| {
        let mut best = (0, T::infinity());
        for k in shortlist.of_row(row) {
            let found = distance(z, codes.row(k));
            if found.is_nan() {
                return Err(NearestError::NotANumber(row));
            }
            if found < best.1 {
                best = (k, found);
            }
        }
        match best.1.is_normal() {
            true => Ok(best.0),
            false if z.iter().any(|z| z.is_infinite()) => Err(NearestError::Infinite(row)),
            false => Ok(nearest_in_units(z, codes)),
        }
    };
    z.outer_iter().enumerate().map(first_least).collect()
}

/// Which codes may be nearest to each row, from one product for all of them.
struct Shortlist<T> {
    /// ½|e_k|² - z_i·e_k, which differs from ½|z_i - e_k|² by the same number for all k.
    scores: Array2<T>,
    /// Codes whose scores differ by less may be equally near.
    margins: Vec<T>,
}

impl<T: Scalar> Shortlist<T> {
    fn of(z: ArrayView2<'_, T>, codes: ArrayView2<'_, T>) -> Self {
        let square = |row: ArrayView1<T>| row.iter().map(|&x| x * x).sum::<T>();
        let half_squares: Array1<T> = codes.outer_iter().map(|e| square(e) * T::of(0.5)).collect();
        let largest = half_squares.iter().copied().fold(T::zero(), T::max);
        let mut scores = Array2::zeros((z.nrows(), codes.nrows()));
        product(-T::one(), z, codes.t(), T::zero(), &mut scores.view_mut());
        scores += &half_squares;
        // Rounding of a score and of a distance is at most (d + 2)ε (|z|² + |e|²) each; two of each meet. `largest` is half of
        // the largest |e|².
        let share = T::of(8.0 * (z.ncols() as f64 + 4.0)) * T::epsilon();
        let margins = z
            .outer_iter()
            .map(|z| share * (square(z) + largest))
            .collect();
        Self { scores, margins }
    }

    /// The codes in question for a row, in order: all of them if a score is no finite number.
    fn of_row(&self, row: usize) -> impl Iterator<Item = usize> {
        let scores = self.scores.row(row);
        let (mut least, mut finite) = (T::infinity(), self.margins[row].is_finite());
        for &score in scores {
            least = least.min(score);
            finite &= score.is_finite();
        }
        let most = if finite {
            least + self.margins[row]
        } else {
            T::infinity()
        };
        let possible = scores.into_iter().enumerate();
        possible
            .filter(move |&(_, &score)| !finite || score <= most)
            .map(|(code, _)| code)
    }
}

/// The nearest code to z where squares of differences overflow, or lose digits to underflow: in units of the smallest of the
/// codes' largest differences, in which the least |z - e|² is between 1 and d.
fn nearest_in_units<T: Scalar>(z: ArrayView1<'_, T>, codes: ArrayView2<'_, T>) -> usize {
    let largest = |code: ArrayView1<T>, share: T| {
        let differences = z.iter().zip(code).map(|(&z, &e)| z * share - e * share);
        differences.fold(T::zero(), |largest, x| largest.max(x.abs()))
    };
    let smallest = |share: T| {
        let all = codes.outer_iter().map(|code| largest(code, share));
        all.fold(T::infinity(), T::min)
    };
    // Numbers of opposite sign may be too far apart for their difference, but not for half of it.
    let whole = smallest(T::one()).is_finite();
    let share = if whole { T::one() } else { T::of(0.5) };
    let unit = smallest(share);
    let distance = |code: ArrayView1<T>| -> T {
        let differences = z.iter().zip(code).map(|(&z, &e)| z * share - e * share);
        // z itself is at no distance; of codes that are infinitely far each is as near as the others.
        match unit > T::zero() && unit.is_finite() {
            true => differences.map(|x| (x / unit) * (x / unit)).sum(),
            false => largest(code, share),
        }
    };
    let mut best = (0, T::infinity());
    for (k, code) in codes.outer_iter().enumerate() {
        let found = distance(code);
        if found < best.1 {
            best = (k, found);
        }
    }
    best.0
}

/// The value of `chosen`, exactly, and by declaration the derivative of `live`: chosen + live - sg(live). It is the
/// derivative of no function with these values (Bengio, Léonard and Courville 2013 call it the straight-through estimator).
///
/// # Panics
/// If the shapes differ.
pub fn straight_through<'t, T: Scalar>(chosen: Var<'t, T>, live: Var<'t, T>) -> Var<'t, T> {
    assert!(
        chosen.shape() == live.shape(),
        "straight_through: shapes {:?} (chosen) and {:?} (live) do not fit",
        chosen.shape(),
        live.shape()
    );
    let tape = live.tape();
    tape.record("straight-through", &[live], chosen.value(), |p| {
        p.give(0, || p.cotangent);
    })
}
