//! Choosing entries. A choice is piecewise constant: its cotangent follows the chosen entries, and the rule
//! by which they were chosen has no derivative (notes, stop-gradient-and-selection).

use ndarray::{ArcArray, Axis, IxDyn, Zip};

use super::shape::broadcast_shape;
use super::{check_axis, mismatch};
use crate::Scalar;
use crate::autodiff::{Tape, Value, Var};

/// Which entries to keep.
pub type Mask = ArcArray<bool, IxDyn>;

impl<'t, T: Scalar> Var<'t, T> {
    /// sg(x): the value x, and no cotangent: whatever is computed from it is constant in x.
    pub fn stop_gradient(self) -> Self {
        self.tape().push("stop-gradient", self.value(), false, None)
    }

    /// x where the mask is true, else 0: linear in x, so that its adjoint is itself. An entry that is not
    /// kept is never multiplied by 0, so an infinite one does no harm, nor does an infinite slope behind it
    /// ([`times_slope`](Var::times_slope) says where it does).
    ///
    /// # Panics
    /// If the mask cannot be broadcast against x.
    pub fn keep_where(self, mask: &Mask) -> Self {
        let tape = self.tape();
        let value = choose(
            "keep-where",
            tape,
            mask,
            &self.value(),
            &Value::zeros(IxDyn(&[])),
        );
        let mask = mask.clone();
        tape.record("keep-where", &[self], value, move |p| {
            p.give(0, || p.cotangent.keep_where(&mask));
        })
    }

    /// a where the mask is true, else b, all three broadcast against each other. The other one has the gradient 0, even
    /// where its value or its slope is infinite or NaN ([`times_slope`](Var::times_slope) says where not).
    ///
    /// # Panics
    /// If the shapes cannot be broadcast against each other.
    pub fn select(self, mask: &Mask, other: Self) -> Self {
        let tape = self.tape();
        let value = choose("select", tape, mask, &self.value(), &other.value());
        let mask = mask.clone();
        tape.record("select", &[self, other], value, move |p| {
            p.give(0, || p.cotangent.keep_where(&mask));
            p.give(1, || {
                p.cotangent.keep_where(&mask.mapv(|m| !m).into_shared())
            });
        })
    }

    /// The k largest entries along `axis`, the others 0.
    ///
    /// # Panics
    /// If the axis does not exist.
    pub fn keep_top_k(self, k: usize, axis: usize) -> Self {
        self.keep_where(&top_k_mask(&self.value(), k, axis))
    }

    /// Rows by number: y_i = x_(rows i). Its adjoint adds each row's cotangent where the row came from.
    ///
    /// # Panics
    /// If x has no axis, or a row does not exist.
    pub fn gather(self, rows: &[usize]) -> Self {
        let x = self.value();
        let mut shape = self.shape();
        check_axis("gather", 0, &shape);
        let total = std::mem::replace(&mut shape[0], rows.len());
        let mut y = self.tape().buffer(&shape);
        for (mut to, &from) in y.axis_iter_mut(Axis(0)).zip(rows) {
            assert!(
                from < total,
                "gather: row {from} is out of range for {total} rows"
            );
            to.assign(&x.index_axis(Axis(0), from));
        }
        let rows = rows.to_vec();
        self.tape()
            .record("gather", &[self], y.into_shared(), move |p| {
                p.give(0, || p.cotangent.scatter_add(&rows, total));
            })
    }

    /// y, of `total` rows, with y_(rows i) the sum of the x_i sent there, and 0 where none is: the adjoint of
    /// [`gather`](Var::gather).
    ///
    /// # Panics
    /// If there is not one row number for each row, or one is out of range.
    pub fn scatter_add(self, rows: &[usize], total: usize) -> Self {
        let x = self.value();
        let mut shape = self.shape();
        check_axis("scatter_add", 0, &shape);
        if shape[0] != rows.len() {
            mismatch("scatter_add", &shape, &[rows.len()]);
        }
        shape[0] = total;
        let mut y = self.tape().buffer(&shape);
        y.fill(T::zero());
        for (from, &to) in x.axis_iter(Axis(0)).zip(rows) {
            assert!(
                to < total,
                "scatter_add: row {to} is out of range for {total} rows"
            );
            let mut to = y.index_axis_mut(Axis(0), to);
            to += &from;
        }
        let rows = rows.to_vec();
        self.tape()
            .record("scatter-add", &[self], y.into_shared(), move |p| {
                p.give(0, || p.cotangent.gather(&rows));
            })
    }
}

/// True at the k largest entries along `axis` (not the largest in magnitude); of equal ones the first.
///
/// # Panics
/// If the axis does not exist.
pub fn top_k_mask<T: Scalar>(x: &Value<T>, k: usize, axis: usize) -> Mask {
    check_axis("top-k", axis, x.shape());
    let mut mask = Mask::from_elem(x.raw_dim(), false);
    let lanes = x.lanes(Axis(axis)).into_iter();
    for (lane, mut chosen) in lanes.zip(mask.lanes_mut(Axis(axis))) {
        let mut order: Vec<usize> = (0..lane.len()).collect();
        // A stable sort keeps the first of equal entries first; NaN counts as smallest.
        order.sort_by(|&i, &j| {
            let (a, b) = (lane[i], lane[j]);
            let by_value = || b.partial_cmp(&a).unwrap_or(std::cmp::Ordering::Equal);
            a.is_nan().cmp(&b.is_nan()).then_with(by_value)
        });
        for &i in order.iter().take(k) {
            chosen[i] = true;
        }
    }
    mask
}

fn choose<T: Scalar>(
    operation: &str,
    tape: &Tape<T>,
    mask: &Mask,
    a: &Value<T>,
    b: &Value<T>,
) -> Value<T> {
    let shape = broadcast_shape(operation, a.shape(), b.shape());
    let shape = broadcast_shape(operation, &shape, mask.shape());
    let mut y = tape.buffer(&shape);
    // Two passes, since ndarray's Zip broadcasts at most so many operands at once with dynamic dimensions.
    y.assign(&b.broadcast(shape.as_slice()).expect("checked above"));
    Zip::from(&mut y)
        .and_broadcast(mask)
        .and_broadcast(a)
        .for_each(|y, &keep, &a| {
            if keep {
                *y = a;
            }
        });
    y.into_shared()
}
