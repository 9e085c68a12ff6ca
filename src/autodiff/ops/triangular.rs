//! Triangular matrices: their solves, their diagonal, and the triangle of a full one.

use ndarray::{Array2, ArrayView2, Ix2, s};

use super::mismatch;
use crate::Scalar;
use crate::autodiff::{Mask, Tape, Value, Var};

impl<'t, T: Scalar> Var<'t, T> {
    /// X = L⁻¹B for this lower triangular matrix L, of shape (k, k), and B of shape (k, n) or (k): by forward
    /// substitution, without an inverse. What stands above L's diagonal is not read.
    ///
    /// B̄ = L⁻ᵀX̄, and L̄ is the lower triangle of -B̄Xᵀ. A 0 on the diagonal divides by 0, as `/` does.
    ///
    /// ```
    /// use elbo::autodiff::Tape;
    /// use ndarray::{arr1, arr2};
    ///
    /// let tape = Tape::new();
    /// let l = tape.variable(arr2(&[[2.0, 0.0], [1.0, 4.0]]));
    /// let b = tape.variable(arr1(&[2.0, 9.0]));
    /// assert_eq!(l.solve_lower(b).value(), arr1(&[1.0, 2.0]).into_dyn());
    /// ```
    ///
    /// # Panics
    /// If L is not square, or B is neither a matrix nor a vector of as many rows.
    pub fn solve_lower(self, b: Self) -> Self {
        if b.ndim() == 1 {
            return column(self, b, Self::solve_lower);
        }
        let value = solve("solve_lower", &self.value(), &b.value(), forward);
        self.tape().record("solve-lower", &[self, b], value, |p| {
            let (l, x) = (p.input(0), p.output);
            let b_bar = l.solve_lower_transposed(p.cotangent);
            p.give(0, || -b_bar.matmul(x.t()).lower_triangle());
            p.give(1, || b_bar);
        })
    }

    /// X = L⁻ᵀB for this lower triangular matrix L, of shape (k, k), and B of shape (k, n) or (k): by backward
    /// substitution. What stands above L's diagonal is not read.
    ///
    /// B̄ = L⁻¹X̄, and L̄ is the lower triangle of -XB̄ᵀ.
    ///
    /// # Panics
    /// If L is not square, or B is neither a matrix nor a vector of as many rows.
    pub fn solve_lower_transposed(self, b: Self) -> Self {
        if b.ndim() == 1 {
            return column(self, b, Self::solve_lower_transposed);
        }
        let value = solve(
            "solve_lower_transposed",
            &self.value(),
            &b.value(),
            backward,
        );
        self.tape()
            .record("solve-lower-transposed", &[self, b], value, |p| {
                let (l, x) = (p.input(0), p.output);
                let b_bar = l.solve_lower(p.cotangent);
                p.give(0, || -x.matmul(b_bar.t()).lower_triangle());
                p.give(1, || b_bar);
            })
    }

    /// The matrix with zeros above its diagonal: its own adjoint.
    ///
    /// # Panics
    /// If it is not a matrix.
    pub fn lower_triangle(self) -> Self {
        let shape = self.shape();
        let &[rows, columns] = shape.as_slice() else {
            panic!("lower_triangle: expected a matrix, found shape {shape:?}");
        };
        let mask = Array2::from_shape_fn((rows, columns), |(i, j)| i >= j);
        self.keep_where(&Mask::from(mask.into_dyn()))
    }

    /// The diagonal of a square matrix, of shape (k).
    ///
    /// # Panics
    /// If it is not a square matrix.
    pub fn diagonal(self) -> Self {
        let k = order("diagonal", &self.shape());
        let rows: Vec<usize> = (0..k).map(|i| i * (k + 1)).collect();
        self.flatten().gather(&rows)
    }
}

/// A vector on the right as a matrix of one column.
fn column<'t, T: Scalar>(
    l: Var<'t, T>,
    b: Var<'t, T>,
    solve: impl Fn(Var<'t, T>, Var<'t, T>) -> Var<'t, T>,
) -> Var<'t, T> {
    solve(l, b.unsqueeze(1)).squeeze(&[1])
}

/// The k of a k × k matrix.
pub(super) fn order(operation: &str, shape: &[usize]) -> usize {
    match shape {
        &[rows, columns] if rows == columns => rows,
        _ => panic!("{operation}: expected a square matrix, found shape {shape:?}"),
    }
}

/// Substitution, in place: receives L and B, leaves X in the place of B.
type Substitution<T> = fn(ArrayView2<'_, T>, &mut Array2<T>);

fn solve<T: Scalar>(
    operation: &str,
    l: &Value<T>,
    b: &Value<T>,
    substitute: Substitution<T>,
) -> Value<T> {
    let k = order(operation, l.shape());
    if b.ndim() != 2 || b.shape()[0] != k {
        mismatch(operation, l.shape(), b.shape());
    }
    let l = l.view().into_dimensionality::<Ix2>().expect("a matrix");
    let b = b.view().into_dimensionality::<Ix2>().expect("a matrix");
    // In rows, along which the inner loops run, whatever the layout of B.
    let mut x = b.as_standard_layout().into_owned();
    substitute(l, &mut x);
    x.into_dyn().into_shared()
}

/// x_i = (b_i - Σ_(j<i) L_ij x_j) / L_ii, from the first row to the last.
fn forward<T: Scalar>(l: ArrayView2<'_, T>, x: &mut Array2<T>) {
    for i in 0..l.nrows() {
        let (above, mut row) = x.multi_slice_mut((s![..i, ..], s![i, ..]));
        for (j, known) in above.outer_iter().enumerate() {
            row.scaled_add(-l[[i, j]], &known);
        }
        row /= l[[i, i]];
    }
}

/// x_i = (b_i - Σ_(j>i) L_ji x_j) / L_ii, from the last row to the first.
fn backward<T: Scalar>(l: ArrayView2<'_, T>, x: &mut Array2<T>) {
    for i in (0..l.nrows()).rev() {
        let (mut row, below) = x.multi_slice_mut((s![i, ..], s![i + 1.., ..]));
        for (j, known) in below.outer_iter().enumerate() {
            row.scaled_add(-l[[i + 1 + j, i]], &known);
        }
        row /= l[[i, i]];
    }
}

impl<T: Scalar> Tape<T> {
    /// The k × k matrix with 1 below its diagonal, ½ on it and 0 above, as a constant.
    pub(super) fn halved_lower_triangle(&self, k: usize) -> Var<'_, T> {
        let entry = |(i, j): (usize, usize)| match i.cmp(&j) {
            std::cmp::Ordering::Less => T::zero(),
            std::cmp::Ordering::Equal => T::of(0.5),
            std::cmp::Ordering::Greater => T::one(),
        };
        self.constant(Array2::from_shape_fn((k, k), entry))
    }
}
