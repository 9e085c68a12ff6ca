//! The matrix product, of matrices and of stacks of matrices.

use ndarray::{Array, ArrayView, Dimension, Ix2, IxDyn};

use super::mismatch;
use super::shape::broadcast_shape;
use crate::Scalar;
use crate::autodiff::{Tape, Value, Var, product};

impl<'t, T: Scalar> Var<'t, T> {
    /// C = AB, as NumPy's `matmul`: matrices multiply; leading axes are stacks, broadcast against each other;
    /// a vector on the left is a row, on the right a column, and the axis made for it is dropped again.
    ///
    /// Ā = C̄Bᵀ and B̄ = AᵀC̄ ([notes](crate::gradients#matmul-adjoint)). Transposed operands are read in place.
    ///
    /// # Panics
    /// If an operand has no axis, or the inner lengths differ, or the stacks do not broadcast.
    pub fn matmul(self, other: Self) -> Self {
        let (left, right) = (self.shape(), other.shape());
        match (left.len(), right.len()) {
            (0, _) | (_, 0) => mismatch("matmul", &left, &right),
            (1, _) => {
                let c = self.reshape(&[1, left[0]]).matmul(other);
                c.squeeze(&[c.ndim() - if right.len() == 1 { 1 } else { 2 }])
            }
            (_, 1) => {
                let c = self.matmul(other.reshape(&[right[0], 1]));
                c.squeeze(&[c.ndim() - 1])
            }
            _ => {
                let value = self.tape().matmul_values(&self.value(), &other.value());
                self.tape().record("matmul", &[self, other], value, |p| {
                    p.give(0, || p.cotangent.matmul(p.input(1).matrix_transpose()));
                    p.give(1, || p.input(0).matrix_transpose().matmul(p.cotangent));
                })
            }
        }
    }
}

impl<T: Scalar> Tape<T> {
    /// AB for two operands of at least two axes, into a pooled buffer.
    pub(crate) fn matmul_values(&self, a: &Value<T>, b: &Value<T>) -> Value<T> {
        let (stack_a, [n, inner_a]) = split(a.shape());
        let (stack_b, [inner_b, m]) = split(b.shape());
        if inner_a != inner_b {
            mismatch("matmul", a.shape(), b.shape());
        }
        let stack = broadcast_shape("matmul", stack_a, stack_b);
        let shape = [stack.as_slice(), &[n, m]].concat();
        let mut c = self.buffer(&shape);
        if stack.is_empty() {
            let mut c = c.view_mut().into_dimensionality().expect("a matrix");
            product(
                T::one(),
                matrix(a.view()),
                matrix(b.view()),
                T::zero(),
                &mut c,
            );
        } else {
            let a = a.broadcast([stack.as_slice(), &[n, inner_a]].concat());
            let b = b.broadcast([stack.as_slice(), &[inner_b, m]].concat());
            let (a, b) = (a.expect("broadcast"), b.expect("broadcast"));
            multiply_stacks(a, b, &mut c);
        }
        c.into_shared()
    }
}

fn multiply_stacks<T: Scalar>(
    a: ArrayView<'_, T, IxDyn>,
    b: ArrayView<'_, T, IxDyn>,
    c: &mut Array<T, IxDyn>,
) {
    let (stack, _) = split(c.shape());
    for index in ndarray::indices(stack.to_vec()) {
        let mut c = c.view_mut();
        let (mut a, mut b) = (a.clone(), b.clone());
        for &i in index.slice() {
            a = a.index_axis_move(ndarray::Axis(0), i);
            b = b.index_axis_move(ndarray::Axis(0), i);
            c = c.index_axis_move(ndarray::Axis(0), i);
        }
        let mut c = c.into_dimensionality().expect("a matrix");
        product(T::one(), matrix(a), matrix(b), T::zero(), &mut c);
    }
}

/// The stack's shape, and the matrix's.
fn split(shape: &[usize]) -> (&[usize], [usize; 2]) {
    let (stack, matrix) = shape.split_at(shape.len() - 2);
    (stack, [matrix[0], matrix[1]])
}

fn matrix<T>(view: ArrayView<'_, T, IxDyn>) -> ArrayView<'_, T, Ix2> {
    view.into_dimensionality().expect("two axes are left")
}
