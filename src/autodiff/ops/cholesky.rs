//! The Cholesky factor of a symmetric, positive definite matrix.

use std::fmt;

use ndarray::{Array2, ArrayView2, Ix2, s};

use super::triangular::order;
use crate::Scalar;
use crate::autodiff::Var;

/// A matrix has no Cholesky factor: it is singular, indefinite, or holds what is not a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotPositiveDefinite {
    /// The row, from 0, at which the factorisation stopped.
    pub pivot: usize,
    /// What is left of that row's diagonal entry when the rows before it have explained their part of it: it is not
    /// positive, or no larger than rounding, or not finite.
    pub value: f64,
}

impl fmt::Display for NotPositiveDefinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pivot, value } = self;
        write!(
            f,
            "expected a positive definite matrix, found {value:e} as the pivot of row {pivot} (counted from 0): "
        )?;
        if value.is_finite() {
            write!(
                f,
                "the row depends on those before it; drop it, or add a small multiple of the identity"
            )
        } else {
            write!(f, "an entry up to this row is NaN, infinite or too large")
        }
    }
}

impl std::error::Error for NotPositiveDefinite {}

impl<'t, T: Scalar> Var<'t, T> {
    /// The lower triangular L with LLᵀ = A and a positive diagonal, for this matrix A. A is symmetrised first:
    /// ½(A + Aᵀ) is factored, and the cotangent is symmetric, too.
    ///
    /// From dA = dL Lᵀ + L dLᵀ follows L⁻¹ dL = Φ(L⁻¹ dA L⁻ᵀ), where Φ keeps the lower triangle and halves the diagonal.
    /// Φ is its own adjoint, so that with P = Φ(LᵀL̄): Ā = ½ L⁻ᵀ(P + Pᵀ)L⁻¹ (Murray, *Differentiation of the Cholesky
    /// decomposition*, 2016).
    ///
    /// log |A| is 2 Σ log L_ii.
    ///
    /// ```
    /// use elbo::autodiff::Tape;
    /// use ndarray::arr2;
    ///
    /// let tape = Tape::new();
    /// let a = tape.variable(arr2(&[[4.0, 2.0], [2.0, 10.0]]));
    /// let l = a.cholesky()?;
    /// assert_eq!(l.value(), arr2(&[[2.0, 0.0], [1.0, 3.0]]).into_dyn());
    ///
    /// // The gradient of log |A| is A⁻¹.
    /// let log_determinant = l.diagonal().ln().sum() * 2.0;
    /// let gradient = tape.gradients(log_determinant).wrt(a);
    /// assert!((gradient[[0, 0]] - 10.0 / 36.0f64).abs() < 1e-15);
    /// # Ok::<(), elbo::autodiff::NotPositiveDefinite>(())
    /// ```
    ///
    /// # Errors
    /// If a pivot is not positive, is within rounding of 0 (its digits would be noise), or is not finite.
    ///
    /// # Panics
    /// If it is not a square matrix.
    pub fn cholesky(self) -> Result<Self, NotPositiveDefinite> {
        let k = order("cholesky", &self.shape());
        let a = self.value();
        let a = a.view().into_dimensionality::<Ix2>().expect("a matrix");
        let value = factor(a)?.into_dyn().into_shared();
        Ok(self.tape().record("cholesky", &[self], value, move |p| {
            p.give(0, || {
                let (l, l_bar) = (p.output, p.cotangent);
                let inner = l.t().matmul(l_bar) * l.tape().halved_lower_triangle(k);
                let symmetric = (inner + inner.t()) * T::of(0.5);
                // Twice L⁻ᵀ from the left: the matrix is symmetric before and after.
                l.solve_lower_transposed(l.solve_lower_transposed(symmetric).t())
            });
        }))
    }
}

/// L row by row: L_ij = (A_ij - Σ_(m<j) L_im L_jm) / L_jj, and the diagonal from what its row leaves.
fn factor<T: Scalar>(a: ArrayView2<'_, T>) -> Result<Array2<T>, NotPositiveDefinite> {
    let k = a.nrows();
    let half = T::of(0.5);
    let mut l = Array2::zeros((k, k));
    for i in 0..k {
        for j in 0..i {
            let known = l.slice(s![i, ..j]).dot(&l.slice(s![j, ..j]));
            // Halved before they are added: the sum of two large entries may overflow.
            l[[i, j]] = (half * a[[i, j]] + half * a[[j, i]] - known) / l[[j, j]];
        }
        let row = l.slice(s![i, ..i]);
        let pivot: T = a[[i, i]] - row.dot(&row);
        // i products were subtracted, each rounded to ε of at most a_ii.
        let rounding = T::of(i as f64) * T::epsilon() * a[[i, i]];
        if !(pivot > rounding && pivot.is_finite()) {
            return Err(NotPositiveDefinite {
                pivot: i,
                value: pivot.as_f64(),
            });
        }
        l[[i, i]] = pivot.sqrt();
    }
    Ok(l)
}
