//! Inverses and determinants by elimination.

use ndarray::Array2;

/// A⁻¹ by Gauss–Jordan elimination with pivoting.
pub fn inverse(a: &Array2<f64>) -> Array2<f64> {
    inverse_and_determinant(a).0
}

/// |A| by elimination with pivoting.
pub fn determinant(a: &Array2<f64>) -> f64 {
    inverse_and_determinant(a).1
}

/// The inverse and the determinant by elimination with pivoting: no Cholesky factor, which the code takes.
pub fn inverse_and_determinant(matrix: &Array2<f64>) -> (Array2<f64>, f64) {
    let n = matrix.nrows();
    let (mut a, mut inverse, mut determinant) = (matrix.clone(), Array2::eye(n), 1.0);
    for column in 0..n {
        let pivot = (column..n)
            .max_by(|i, j| a[[*i, column]].abs().total_cmp(&a[[*j, column]].abs()))
            .unwrap();
        if pivot != column {
            for j in 0..n {
                a.swap([pivot, j], [column, j]);
                inverse.swap([pivot, j], [column, j]);
            }
            determinant = -determinant;
        }
        let p = a[[column, column]];
        determinant *= p;
        for j in 0..n {
            a[[column, j]] /= p;
            inverse[[column, j]] /= p;
        }
        for i in (0..n).filter(|i| *i != column) {
            let factor = a[[i, column]];
            for j in 0..n {
                a[[i, j]] -= factor * a[[column, j]];
                inverse[[i, j]] -= factor * inverse[[column, j]];
            }
        }
    }
    (inverse, determinant)
}
