//! Sums, means, maxima, and the log of a sum of exponentials, over some axes or all.
//!
//! Each reduction comes in two forms: `…_keep` leaves the reduced axes in place with length 1, ready to be
//! broadcast back; the plain form drops them.

use super::check_axis;
use crate::Scalar;
use crate::autodiff::{Tape, Value, Var};
use crate::elementary::{exp, ln_1p};
use crate::lanes;

impl<T: Scalar> Var<'_, T> {
    /// The sum of all entries, of shape `[]`.
    pub fn sum(self) -> Self {
        self.sum_to(&[])
    }

    /// The sum over `axes`, which are dropped.
    ///
    /// # Panics
    /// If an axis does not exist.
    pub fn sum_axes(self, axes: &[usize]) -> Self {
        self.sum_axes_keep(axes).squeeze(axes)
    }

    /// The sum over the last axis, which is dropped: where data lie as rows, the sum over one datum.
    ///
    /// # Panics
    /// If there is no axis.
    pub fn sum_last(self) -> Self {
        let ndim = self.ndim();
        assert!(
            ndim > 0,
            "sum_last: expected an axis, found a single number"
        );
        self.sum_axes(&[ndim - 1])
    }

    /// The sum over `axes`, which keep length 1. Its adjoint is broadcasting.
    ///
    /// # Panics
    /// If an axis does not exist.
    pub fn sum_axes_keep(self, axes: &[usize]) -> Self {
        self.sum_to(&reduced("sum", &self.shape(), axes))
    }

    /// The mean of all entries, of shape `[]`.
    pub fn mean(self) -> Self {
        self.sum() / T::of(self.size() as f64)
    }

    /// The mean over `axes`, which are dropped.
    ///
    /// # Panics
    /// If an axis does not exist.
    pub fn mean_axes(self, axes: &[usize]) -> Self {
        self.mean_axes_keep(axes).squeeze(axes)
    }

    /// The mean over `axes`, which keep length 1.
    ///
    /// # Panics
    /// If an axis does not exist.
    pub fn mean_axes_keep(self, axes: &[usize]) -> Self {
        let sum = self.sum_to(&reduced("mean", &self.shape(), axes));
        sum / T::of((self.size() / sum.size().max(1)) as f64)
    }

    /// The largest of all entries, of shape `[]`.
    ///
    /// # Panics
    /// If there is none.
    pub fn max(self) -> Self {
        let axes: Vec<usize> = (0..self.ndim()).collect();
        self.max_axes(&axes)
    }

    /// The maximum over `axes`, which are dropped.
    ///
    /// # Panics
    /// If an axis does not exist or is empty.
    pub fn max_axes(self, axes: &[usize]) -> Self {
        self.max_axes_keep(axes).squeeze(axes)
    }

    /// The maximum over `axes`, which keep length 1. The cotangent goes to the entry that is largest, in
    /// equal parts where several are.
    ///
    /// # Panics
    /// If an axis does not exist or is empty.
    pub fn max_axes_keep(self, axes: &[usize]) -> Self {
        let axes = axes.to_vec();
        let value = self.tape().max_value("max", &self.value(), &axes);
        self.tape().record("max", &[self], value, move |p| {
            p.give(0, || {
                let (x, y) = (p.input(0), p.output);
                let is_max = x.tape().zip_values("max", &x.value(), &y.value(), |x, y| {
                    if x == y { T::one() } else { T::zero() }
                });
                let is_max = x.tape().constant(is_max);
                p.cotangent
                    .times_slope(is_max / is_max.sum_axes_keep(&axes))
            });
        })
    }

    /// log Σ e^x over all entries, of shape `[]`.
    pub fn logsumexp(self) -> Self {
        let axes: Vec<usize> = (0..self.ndim()).collect();
        self.logsumexp_axes(&axes)
    }

    /// log Σ e^x over `axes`, which are dropped.
    ///
    /// # Panics
    /// If an axis does not exist or is empty.
    pub fn logsumexp_axes(self, axes: &[usize]) -> Self {
        self.logsumexp_axes_keep(axes).squeeze(axes)
    }

    /// log Σ e^x over `axes`, which keep length 1: m + log Σ e^(x-m) with m the maximum, so that no exponential
    /// overflows and the largest, which is 1, is kept apart from the others, which may be small. Its gradient is the softmax, e^(x-y). All entries -∞ give
    /// -∞, and a gradient of NaN: there is none.
    ///
    /// # Panics
    /// If an axis does not exist or is empty.
    pub fn logsumexp_axes_keep(self, axes: &[usize]) -> Self {
        let tape = self.tape();
        let x = self.value();
        let (shift, rest) = tape.shifted_log_sum("logsumexp", &x, axes);
        let value = tape.zip_values("logsumexp", &rest, &shift, |rest, m| m + rest);
        for value in [rest, shift] {
            tape.recycle(value);
        }
        tape.record("logsumexp", &[self], value, |p| {
            p.give(0, || p.cotangent.times_slope((p.input(0) - p.output).exp()));
        })
    }

    /// e^x / Σ e^x along `axis`: x̄ = y ⊙ (ȳ - Σ ȳ⊙y). Where all entries are -∞ it is 0/0, and NaN.
    ///
    /// # Panics
    /// If the axis does not exist or is empty.
    pub fn softmax(self, axis: usize) -> Self {
        let tape = self.tape();
        let max = tape.max_value("softmax", &self.value(), &[axis]);
        let e = tape.zip_values("softmax", &self.value(), &max, |x, m| exp(x - m));
        let sum = tape.sum_value(&e, &[axis]);
        let value = tape.zip_values("softmax", &e, &sum, |e, s| e / s);
        for value in [max, e, sum] {
            tape.recycle(value);
        }
        tape.record("softmax", &[self], value, move |p| {
            p.give(0, || {
                let (g, y) = (p.cotangent, p.output);
                y * (g - (g * y).sum_axes_keep(&[axis]))
            });
        })
    }

    /// x - log Σ e^x along `axis`: x̄ = ȳ - e^y Σ ȳ, written as (1 - e^y) ȳ - e^y (Σ ȳ - ȳ), so that 1 - e^y keeps its
    /// digits for a probability e^y near 1.
    ///
    /// # Panics
    /// If the axis does not exist or is empty.
    pub fn log_softmax(self, axis: usize) -> Self {
        check_lane("log-softmax", axis, &self.shape());
        let tape = self.tape();
        let x = self.value();
        let (shift, rest) = tape.shifted_log_sum("log-softmax", &x, &[axis]);
        // First without what all entries have in common, or its digits would push out those of the difference.
        let shifted = tape.zip_values("log-softmax", &x, &shift, |x, m| x - m);
        let value = tape.zip_values("log-softmax", &shifted, &rest, |x, rest| x - rest);
        for value in [shifted, shift, rest] {
            tape.recycle(value);
        }
        tape.record("log-softmax", &[self], value, move |p| {
            p.give(0, || {
                let (g, y) = (p.cotangent, p.output);
                let others = g.sum_axes_keep(&[axis]) - g;
                -(g * y.expm1() + others.times_slope(y.exp()))
            });
        })
    }
}

/// The shape with `axes` reduced to length 1.
fn reduced(operation: &str, shape: &[usize], axes: &[usize]) -> Vec<usize> {
    let mut reduced = shape.to_vec();
    for &axis in axes {
        check_axis(operation, axis, shape);
        reduced[axis] = 1;
    }
    reduced
}

/// How panics say that an axis does not exist or has nothing on it.
fn check_lane(operation: &str, axis: usize, shape: &[usize]) {
    check_axis(operation, axis, shape);
    assert!(
        shape[axis] > 0,
        "{operation}: axis {axis} of shape {shape:?} is empty"
    );
}

impl<T: Scalar> Tape<T> {
    /// The sum over `axes`, which keep length 1.
    pub(crate) fn sum_value(&self, x: &Value<T>, axes: &[usize]) -> Value<T> {
        self.fold_axes(x, axes, T::zero(), |sum, x| sum + x)
    }

    /// m and log Σ e^(x-m) over `axes`, which keep length 1, for m the maximum, or 0 where that is infinite: ±∞ as the
    /// shift would make ∞ - ∞. One term of the sum is 1 and is left to log(1 + …), which keeps the digits of the others.
    fn shifted_log_sum(
        &self,
        operation: &'static str,
        x: &Value<T>,
        axes: &[usize],
    ) -> (Value<T>, Value<T>) {
        let finite = |m: T| if m.is_finite() { m } else { T::zero() };
        let shift = self.map_value(&self.max_value(operation, x, axes), finite);
        let highest = self.zip_values(operation, x, &shift, |x, m| {
            if x == m { T::one() } else { T::zero() }
        });
        let terms = self.zip_values(operation, x, &shift, |x, m| {
            if x == m { T::zero() } else { exp(x - m) }
        });
        let (count, others) = (self.sum_value(&highest, axes), self.sum_value(&terms, axes));
        let log_sum = self.zip_values(operation, &others, &count, |others, count| {
            ln_1p(others + (count - T::one()))
        });
        for value in [highest, terms, count, others] {
            self.recycle(value);
        }
        (shift, log_sum)
    }

    /// The maximum over `axes`, which keep length 1.
    fn max_value(&self, operation: &str, x: &Value<T>, axes: &[usize]) -> Value<T> {
        for &axis in axes {
            check_lane(operation, axis, x.shape());
        }
        // Not `max`, which passes over NaN: a NaN shall be seen, wherever it stands.
        self.fold_axes(x, axes, T::neg_infinity(), |m, x| {
            if x <= m || m.is_nan() { m } else { x }
        })
    }

    /// The entries along `axes`, which keep length 1, folded into one by an f that does not mind the order.
    fn fold_axes(
        &self,
        x: &Value<T>,
        axes: &[usize],
        start: T,
        f: impl Fn(T, T) -> T + Sync,
    ) -> Value<T> {
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        // Last axis first: its rows are contiguous, and what they leave is short.
        let mut folded = x.clone();
        for &axis in axes.iter().rev() {
            let next = self.fold_axis(&folded, axis, start, &f);
            self.recycle(std::mem::replace(&mut folded, next));
        }
        folded
    }

    fn fold_axis(
        &self,
        x: &Value<T>,
        axis: usize,
        start: T,
        f: &(impl Fn(T, T) -> T + Sync),
    ) -> Value<T> {
        let mut shape = x.shape().to_vec();
        let length = std::mem::replace(&mut shape[axis], 1);
        let inner: usize = shape[axis + 1..].iter().product();
        let x = x.as_standard_layout();
        let x = x.as_slice().expect("in standard layout");
        let mut folded = self.buffer(&shape);
        let folds = folded.as_slice_mut().expect("in standard layout");
        if inner == 1 {
            lanes::fold_rows(x, start, folds, f);
        } else if x.is_empty() {
            folds.fill(start);
        } else {
            for (block, folds) in x
                .chunks_exact(length * inner)
                .zip(folds.chunks_exact_mut(inner))
            {
                lanes::fold_columns(block, start, folds, f);
            }
        }
        folded.into_shared()
    }
}
