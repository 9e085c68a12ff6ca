//! The k-sparse autoencoder ([notes](crate::autoencoders#k-sparse)).

use std::cmp::Ordering;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use super::{Autoencoder, Coding};
use crate::Scalar;
use crate::autodiff::{Mask, Value, Var};
use crate::nn::{Batch, Bound, Model, Objective, Schedule, Step};

/// True at the k largest entries of every row of z, of shape (n, units): not the largest in magnitude. Of equal ones the first;
/// NaN counts as smallest. As [`top_k_mask`](crate::autodiff::top_k_mask), in time linear in the units.
///
/// # Panics
/// If z is no matrix.
pub fn support<T: Scalar>(z: &Value<T>, k: usize) -> Mask {
    assert!(
        z.ndim() == 2,
        "k-sparse: expected shape (data, units), found {:?}",
        z.shape()
    );
    let units = z.shape()[1];
    let mut mask = Array2::from_elem((z.shape()[0], units), k >= units);
    if k > 0 && k < units {
        let mut sorted = Vec::with_capacity(units);
        for (row, mut chosen) in z.rows().into_iter().zip(mask.rows_mut()) {
            sorted.clear();
            sorted.extend(row.iter().copied());
            let (above, &mut least, _) = sorted.select_nth_unstable_by(k - 1, descending);
            // Entries equal to the k-th largest fill the places that greater ones leave.
            let is_greater = |x: &T| descending(x, &least) == Ordering::Less;
            let mut places = k - above.iter().filter(|x| is_greater(x)).count();
            for (chosen, x) in chosen.iter_mut().zip(&row) {
                let is_tie = descending(x, &least) == Ordering::Equal && places > 0;
                places -= usize::from(is_tie);
                *chosen = is_greater(x) || is_tie;
            }
        }
    }
    mask.into_dyn().into_shared()
}

/// The larger first, NaN last.
fn descending<T: Scalar>(a: &T, b: &T) -> Ordering {
    (b.partial_cmp(a)).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The k largest entries of every row, the others 0.
///
/// # Panics
/// If z is no matrix.
pub fn keep_largest<T: Scalar>(z: Var<'_, T>, k: usize) -> Var<'_, T> {
    z.keep_where(&support(&z.value(), k))
}

/// min over c of ‖x - Aᵀc‖² for the rows of A, of shape (k, D): the distance of x to the plane that they span, squared, by
/// Gram–Schmidt (twice, which is enough for orthogonality to all digits). Rows that depend on earlier ones add nothing.
///
/// # Panics
/// If the shapes do not fit.
pub fn least_squares_residual(x: ArrayView1<'_, f64>, rows: ArrayView2<'_, f64>) -> f64 {
    assert!(
        rows.ncols() == x.len(),
        "least_squares_residual: shapes {:?} (x) and {:?} (rows) do not fit",
        x.shape(),
        rows.shape()
    );
    let mut basis: Vec<Array1<f64>> = Vec::new();
    let mut residual = x.to_owned();
    for row in rows.rows() {
        let largest = row.iter().fold(0.0, |most: f64, a| most.max(a.abs()));
        if largest == 0.0 {
            continue;
        }
        // Of length 1 first: squares of tiny or huge entries leave the range of f64.
        let mut direction = &row / largest;
        direction /= direction.dot(&direction).sqrt();
        for _ in 0..2 {
            for unit in &basis {
                remove(&mut direction, unit);
            }
        }
        let length = direction.dot(&direction).sqrt();
        if length > 1e-12 {
            direction /= length;
            remove(&mut residual, &direction);
            basis.push(direction);
        }
    }
    for unit in &basis {
        remove(&mut residual, unit);
    }
    residual.dot(&residual)
}

/// Takes away what v has along a unit vector.
fn remove(v: &mut Array1<f64>, unit: &Array1<f64>) {
    let along = v.dot(unit);
    v.scaled_add(-along, unit);
}

/// An autoencoder with a linear code of which the k largest entries are kept (Makhzani and Frey, *k-sparse autoencoders*, 2013).
#[derive(Clone, Debug)]
pub struct KSparse {
    autoencoder: Autoencoder,
    k: Schedule,
    kept: usize,
}

impl KSparse {
    /// From the networks and k as a function of the step, rounded to the nearest whole number. After training, k is the
    /// schedule's last.
    ///
    /// # Panics
    /// If the schedule is not sound.
    pub fn new(autoencoder: Autoencoder, k: impl Into<Schedule>) -> Self {
        let k = k.into();
        assert!(
            k.is_sound(),
            "k-sparse: expected a schedule of numbers, found {k:?}"
        );
        let kept = rounded(k.at(usize::MAX));
        Self {
            autoencoder,
            k,
            kept,
        }
    }

    /// With another k in the codes that are used after training.
    pub fn with_kept(self, kept: usize) -> Self {
        Self { kept, ..self }
    }

    /// How many entries a code keeps after training.
    pub fn kept(&self) -> usize {
        self.kept
    }
}

fn rounded(k: f64) -> usize {
    k.round() as usize
}

impl Coding for KSparse {
    fn autoencoder(&self) -> &Autoencoder {
        &self.autoencoder
    }

    fn code<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        keep_largest(self.autoencoder.encode(p, x), self.kept)
    }

    fn kept_units<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Option<Mask> {
        Some(support(&self.autoencoder.encode(p, x).value(), self.kept))
    }
}

impl<T: Scalar> Model<T> for KSparse {
    /// The error of the reconstructions from the k largest entries, the mean over the batch.
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        step: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let x = batch.data;
        let k = rounded(self.k.at(step.number));
        let code = keep_largest(self.autoencoder.encode(p, x), k);
        let error = self.autoencoder.error(p, code, x).mean();
        Objective::new(error, vec![("error", error)])
    }
}
