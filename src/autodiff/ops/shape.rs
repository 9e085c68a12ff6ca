//! Other views of the same entries, and broadcasting with its adjoint, the sum over the broadcast axes.

use super::{check_axis, mismatch};
use crate::Scalar;
use crate::autodiff::Var;

/// The shape that two shapes broadcast to, by NumPy's rule: aligned at the last axis, lengths equal or 1.
///
/// # Panics
/// If they do not fit; `operation` is named in the message.
pub fn broadcast_shape(operation: &str, left: &[usize], right: &[usize]) -> Vec<usize> {
    let ndim = left.len().max(right.len());
    let length = |shape: &[usize], axis: usize| {
        (axis + shape.len())
            .checked_sub(ndim)
            .map_or(1, |axis| shape[axis])
    };
    (0..ndim)
        .map(|axis| match (length(left, axis), length(right, axis)) {
            (l, r) if l == r || r == 1 => l,
            (1, r) => r,
            _ => mismatch(operation, left, right),
        })
        .collect()
}

impl<'t, T: Scalar> Var<'t, T> {
    /// The axes in another order; a view, nothing is copied.
    ///
    /// # Panics
    /// If `axes` is not a permutation of 0, 1, …, ndim - 1.
    pub fn permute(self, axes: &[usize]) -> Self {
        let mut inverse = vec![usize::MAX; self.ndim()];
        for (to, &from) in axes.iter().enumerate() {
            check_axis("permute", from, &self.shape());
            inverse[from] = to;
        }
        assert!(
            axes.len() == self.ndim() && !inverse.contains(&usize::MAX),
            "permute: {axes:?} is not a permutation of the axes of shape {:?}",
            self.shape()
        );
        let value = self.value().permuted_axes(axes);
        self.tape().record("permute", &[self], value, move |p| {
            p.give(0, || p.cotangent.permute(&inverse));
        })
    }

    /// The transpose: all axes in reverse order, as NumPy's `.T`.
    pub fn t(self) -> Self {
        let axes: Vec<usize> = (0..self.ndim()).rev().collect();
        self.permute(&axes)
    }

    /// The transpose of every matrix in a stack: the last two axes exchanged.
    ///
    /// # Panics
    /// If there are fewer than two axes.
    pub fn matrix_transpose(self) -> Self {
        let ndim = self.ndim();
        assert!(
            ndim >= 2,
            "matrix_transpose: expected two axes or more, found shape {:?}",
            self.shape()
        );
        let mut axes: Vec<usize> = (0..ndim).collect();
        axes.swap(ndim - 2, ndim - 1);
        self.permute(&axes)
    }

    /// The same entries, in row-major order, under another shape. Copies only what is not in that order.
    ///
    /// # Panics
    /// If the number of entries differs.
    pub fn reshape(self, shape: &[usize]) -> Self {
        let from = self.shape();
        if from.iter().product::<usize>() != shape.iter().product::<usize>() {
            mismatch("reshape", &from, shape);
        }
        let value = self.value();
        let value = if value.is_standard_layout() {
            value
        } else {
            self.tape().map_value(&value, |x| x)
        };
        let value = value
            .into_shape_with_order(shape)
            .expect("standard layout, the same number of entries");
        self.tape().record("reshape", &[self], value, move |p| {
            p.give(0, || p.cotangent.reshape(&from));
        })
    }

    /// All entries along one axis.
    pub fn flatten(self) -> Self {
        self.reshape(&[self.size()])
    }

    /// Drops axes of length 1.
    ///
    /// # Panics
    /// If one of them has another length.
    pub fn squeeze(self, axes: &[usize]) -> Self {
        let shape = self.shape();
        for &axis in axes {
            check_axis("squeeze", axis, &shape);
            assert!(
                shape[axis] == 1,
                "squeeze: axis {axis} of shape {shape:?} is not of length 1"
            );
        }
        let kept: Vec<usize> = (0..shape.len())
            .filter(|axis| !axes.contains(axis))
            .map(|axis| shape[axis])
            .collect();
        self.reshape(&kept)
    }

    /// Inserts an axis of length 1 before `axis`.
    pub fn unsqueeze(self, axis: usize) -> Self {
        let mut shape = self.shape();
        assert!(
            axis <= shape.len(),
            "unsqueeze: axis {axis} is out of range for shape {shape:?}"
        );
        shape.insert(axis, 1);
        self.reshape(&shape)
    }

    /// The entries repeated along axes of length 1 and new leading axes, until the shape is `shape`. Its
    /// adjoint is the sum over the same axes ([notes](crate::gradients#broadcast-adjoint)).
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn broadcast_to(self, shape: &[usize]) -> Self {
        let from = self.shape();
        if broadcast_shape("broadcast_to", &from, shape) != shape {
            mismatch("broadcast_to", &from, shape);
        }
        if from == shape {
            return self;
        }
        let mut value = self.tape().buffer(shape);
        value.assign(&self.value().broadcast(shape).expect("checked above"));
        self.tape()
            .record("broadcast", &[self], value.into_shared(), move |p| {
                p.give(0, || p.cotangent.sum_to(&from));
            })
    }

    /// The sum over everything that broadcasting from `shape` would repeat: the adjoint of
    /// [`broadcast_to`](Var::broadcast_to), and conversely.
    ///
    /// # Panics
    /// If `shape` does not broadcast to this shape.
    pub fn sum_to(self, shape: &[usize]) -> Self {
        let from = self.shape();
        if broadcast_shape("sum_to", shape, &from) != from {
            mismatch("sum_to", &from, shape);
        }
        if from == shape {
            return self;
        }
        let leading = from.len() - shape.len();
        let repeated: Vec<usize> = (0..from.len())
            .filter(|&axis| axis < leading || from[axis] != shape[axis - leading])
            .collect();
        let sum = self.tape().sum_value(&self.value(), &repeated);
        let value = sum
            .into_shape_with_order(shape)
            .expect("the summed axes have length 1");
        self.tape().record("sum", &[self], value, move |p| {
            p.give(0, || p.cotangent.broadcast_to(&from));
        })
    }
}
