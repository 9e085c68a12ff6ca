//! The spectrum of a symmetric matrix, by Jacobi's rotations.

use std::fmt;

use ndarray::{Array1, Array2, Axis};

/// A = V diag(λ) Vᵀ with orthonormal columns of V.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigen {
    /// λ, the largest first, of shape (D).
    pub values: Array1<f64>,
    /// V, of shape (D, D): column i belongs to λᵢ. Of the two signs that an eigenvector may have, it has the one that makes its
    /// largest entry positive.
    pub vectors: Array2<f64>,
}

/// Why a matrix has no spectrum of real numbers that could be computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EigenError {
    /// An entry is NaN or infinite.
    NotFinite {
        /// Row and column, from 0.
        index: [usize; 2],
        /// What stands there.
        found: f64,
    },
    /// The matrix differs from its transpose by more than half of its digits.
    NotSymmetric {
        /// Row and column, from 0.
        index: [usize; 2],
        /// The entry there and the one in the mirrored place.
        found: [f64; 2],
    },
    /// An eigenvalue is beyond the range of f64.
    TooLarge {
        /// The largest entry.
        entry: f64,
    },
}

impl fmt::Display for EigenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite {
                index: [row, column],
                found,
            } => write!(
                f,
                "expected a matrix of finite numbers, found {found} at [{row}, {column}]; see where it comes from"
            ),
            Self::NotSymmetric {
                index: [row, column],
                found: [entry, mirrored],
            } => write!(
                f,
                "expected a symmetric matrix, found {entry:e} at [{row}, {column}] and {mirrored:e} at [{column}, {row}]; \
                 take half of the sum with its transpose, if that is what is meant"
            ),
            Self::TooLarge { entry } => write!(
                f,
                "expected a matrix whose eigenvalues are below {:e}, found entries up to {entry:e}; take another unit",
                f64::MAX
            ),
        }
    }
}

impl std::error::Error for EigenError {}

/// Sweeps over all pairs of axes. Convergence is quadratic: ten are enough for a thousand dimensions.
const SWEEPS: usize = 60;

/// All eigenvalues and eigenvectors of a symmetric matrix of shape (D, D).
///
/// Jacobi's method: a rotation in the plane of two axes makes their off-diagonal entry 0, and pair after pair the
/// off-diagonal fades. A sweep over all pairs takes time of order D³; a few hundred dimensions take about a second.
///
/// ```
/// use elbo::vae::symmetric_eigen;
/// use ndarray::arr2;
///
/// let eigen = symmetric_eigen(&arr2(&[[2.0, 1.0], [1.0, 2.0]]))?;
/// assert!((eigen.values[0] - 3.0).abs() < 1e-15 && (eigen.values[1] - 1.0).abs() < 1e-15);
/// # Ok::<(), elbo::vae::EigenError>(())
/// ```
///
/// # Errors
/// If an entry is not finite, the matrix is not symmetric (to half of its digits; then ½(A + Aᵀ) is taken), or an eigenvalue
/// overflows.
///
/// # Panics
/// If the matrix is not square.
pub fn symmetric_eigen(matrix: &Array2<f64>) -> Result<Eigen, EigenError> {
    assert!(
        matrix.is_square(),
        "symmetric_eigen: expected a square matrix, found shape {:?}",
        matrix.shape()
    );
    let scale = check(matrix)?;
    // In units of a power of two, which rounds nothing: differences and products of entries then stay within range.
    let unit = power_of_two(scale);
    let halves = matrix * (0.5 / unit);
    let mut a = &halves + &halves.t();
    // Its rows are to become the eigenvectors: rows lie together in memory.
    let mut v = Array2::eye(a.nrows());
    let floor = f64::EPSILON.powi(2) * (scale / unit);
    for _ in 0..SWEEPS {
        if sweep(&mut a, &mut v, floor) == 0 {
            break;
        }
    }
    let values = a.diag().mapv(|lambda| lambda * unit);
    if values.iter().any(|lambda| lambda.is_infinite()) {
        return Err(EigenError::TooLarge { entry: scale });
    }
    Ok(sorted(values, v))
}

/// The largest power of two that is at most x, and not subnormal.
fn power_of_two(x: f64) -> f64 {
    const EXPONENT: u64 = 0x7ff << 52;
    f64::from_bits(x.to_bits() & EXPONENT).max(f64::MIN_POSITIVE)
}

/// The largest entry of a matrix that has a spectrum.
fn check(matrix: &Array2<f64>) -> Result<f64, EigenError> {
    let mut scale = 0.0f64;
    for ((row, column), &found) in matrix.indexed_iter() {
        if !found.is_finite() {
            let index = [row, column];
            return Err(EigenError::NotFinite { index, found });
        }
        scale = scale.max(found.abs());
    }
    let allowed = f64::EPSILON.sqrt() * scale;
    for ((row, column), &entry) in matrix.indexed_iter() {
        let mirrored = matrix[[column, row]];
        if (entry - mirrored).abs() > allowed {
            return Err(EigenError::NotSymmetric {
                index: [row, column],
                found: [entry, mirrored],
            });
        }
    }
    Ok(scale)
}

/// A rotation for each pair of axes whose entry is not negligible; how many there were.
fn sweep(a: &mut Array2<f64>, v: &mut Array2<f64>, floor: f64) -> usize {
    let mut rotations = 0;
    for p in 0..a.nrows() {
        for q in p + 1..a.nrows() {
            let (pp, pq, qq) = (a[[p, p]], a[[p, q]], a[[q, q]]);
            let negligible = f64::EPSILON * pp.abs().sqrt() * qq.abs().sqrt();
            if pq.abs() <= negligible.max(floor) {
                continue;
            }
            // t = tan of the angle, the smaller of the two for which the new entry, pq (1 - t²) + t (pp - qq), is 0.
            let theta = (qq - pp) / (2.0 * pq);
            let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
            let cos = 1.0 / t.hypot(1.0);
            rotate_rows(a, [p, q], cos, t * cos);
            for k in 0..a.nrows() {
                (a[[k, p]], a[[k, q]]) = (a[[p, k]], a[[q, k]]);
            }
            (a[[p, p]], a[[q, q]]) = (pp - t * pq, qq + t * pq);
            (a[[p, q]], a[[q, p]]) = (0.0, 0.0);
            rotate_rows(v, [p, q], cos, t * cos);
            rotations += 1;
        }
    }
    rotations
}

/// Row p ← cos p - sin q, row q ← sin p + cos q.
fn rotate_rows(m: &mut Array2<f64>, [p, q]: [usize; 2], cos: f64, sin: f64) {
    let (mut upper, mut lower) = m.view_mut().split_at(Axis(0), q);
    let rows = (upper.row_mut(p), lower.row_mut(0));
    ndarray::Zip::from(rows.0).and(rows.1).for_each(|x, y| {
        (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
    });
}

fn sorted(values: Array1<f64>, rows: Array2<f64>) -> Eigen {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
    let mut vectors = rows.select(Axis(0), &order);
    for mut row in vectors.rows_mut() {
        let largest = row.fold(0.0f64, |m, &x| if x.abs() > m.abs() { x } else { m });
        if largest < 0.0 {
            row.mapv_inplace(|x| -x);
        }
    }
    Eigen {
        values: values.select(Axis(0), &order),
        vectors: vectors.reversed_axes(),
    }
}
