//! Windows: a slice of an axis, and arrays put side by side.

use ndarray::{Axis, Slice};

use super::{check_axis, mismatch};
use crate::Scalar;
use crate::autodiff::{Tape, Value, Var};
use std::ops::Range;

impl<'t, T: Scalar> Var<'t, T> {
    /// The entries at positions `range` of `axis`; a view, nothing is copied. Its adjoint puts the cotangent
    /// back among zeros.
    ///
    /// # Panics
    /// If the axis does not exist or is shorter than the range's end.
    pub fn slice(self, axis: usize, range: Range<usize>) -> Self {
        let shape = self.shape();
        check_axis("slice", axis, &shape);
        let total = shape[axis];
        assert!(
            range.start <= range.end && range.end <= total,
            "slice: {range:?} is out of range for axis {axis} of shape {shape:?}"
        );
        let mut value = self.value();
        value.slice_axis_inplace(Axis(axis), Slice::from(range.clone()));
        self.tape().record("slice", &[self], value, move |p| {
            p.give(0, || p.cotangent.embed(axis, range.start, total));
        })
    }

    /// Zeros of length `total` along `axis`, with x from position `start` on: the adjoint of
    /// [`slice`](Var::slice).
    ///
    /// # Panics
    /// If the axis does not exist or x does not fit.
    pub fn embed(self, axis: usize, start: usize, total: usize) -> Self {
        let mut shape = self.shape();
        check_axis("embed", axis, &shape);
        let range = start..start + shape[axis];
        if range.end > total {
            mismatch("embed", &shape, &[total]);
        }
        shape[axis] = total;
        let mut value = self.tape().buffer(&shape);
        value.fill(T::zero());
        value
            .slice_axis_mut(Axis(axis), Slice::from(range.clone()))
            .assign(&self.value());
        self.tape()
            .record("embed", &[self], value.into_shared(), move |p| {
                p.give(0, || p.cotangent.slice(axis, range.clone()));
            })
    }
}

impl<T: Scalar> Tape<T> {
    /// Arrays put one after the other along an axis that they have.
    ///
    /// # Panics
    /// If there is none, or their shapes differ along another axis.
    pub fn concatenate<'t>(&'t self, axis: usize, parts: &[Var<'t, T>]) -> Var<'t, T> {
        assert!(!parts.is_empty(), "concatenate: nothing to put together");
        let values: Vec<Value<T>> = parts.iter().map(|part| part.value()).collect();
        let mut shape = values[0].shape().to_vec();
        check_axis("concatenate", axis, &shape);
        let mut ranges = Vec::with_capacity(parts.len());
        let mut total = 0;
        for value in &values {
            let mut expected = shape.clone();
            if let Some(&length) = value.shape().get(axis) {
                expected[axis] = length;
            }
            if value.shape() != expected {
                mismatch("concatenate", &shape, value.shape());
            }
            ranges.push(total..total + expected[axis]);
            total += expected[axis];
        }
        shape[axis] = total;
        let mut whole = self.buffer(&shape);
        for (value, range) in values.iter().zip(&ranges) {
            whole
                .slice_axis_mut(Axis(axis), Slice::from(range.clone()))
                .assign(value);
        }
        self.record("concatenate", parts, whole.into_shared(), move |p| {
            for (index, range) in ranges.iter().enumerate() {
                p.give(index, || p.cotangent.slice(axis, range.clone()));
            }
        })
    }

    /// Arrays of one shape put side by side along a new axis.
    ///
    /// # Panics
    /// If there is none, their shapes differ, or they have too few axes.
    pub fn stack<'t>(&'t self, axis: usize, parts: &[Var<'t, T>]) -> Var<'t, T> {
        assert!(!parts.is_empty(), "stack: nothing to put together");
        let shape = parts[0].shape();
        assert!(
            axis <= shape.len(),
            "stack: axis {axis} is out of range for shape {shape:?}"
        );
        if let Some(part) = parts.iter().find(|part| part.shape() != shape) {
            mismatch("stack", &shape, &part.shape());
        }
        let parts: Vec<Var<'t, T>> = parts.iter().map(|part| part.unsqueeze(axis)).collect();
        self.concatenate(axis, &parts)
    }
}
