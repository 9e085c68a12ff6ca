//! Functions applied entry by entry, of one value or of two broadcast against each other.

use ndarray::{ArrayView, ArrayView1, IxDyn, Zip};

use super::shape::broadcast_shape;
use crate::Scalar;
use crate::autodiff::{Pullback, Tape, Value, Var};
use crate::lanes;

impl<'t, T: Scalar> Var<'t, T> {
    /// y = f(x), entry by entry, with the rule that gives x̄ from ȳ.
    ///
    /// ```
    /// use elbo::autodiff::{Tape, Var};
    ///
    /// /// e^x is its own derivative.
    /// fn exp<'t>(x: Var<'t, f64>) -> Var<'t, f64> {
    ///     x.map("exp", f64::exp, |p| p.cotangent * p.output)
    /// }
    ///
    /// let tape = Tape::new();
    /// let x = tape.variable(ndarray::arr0(0.0));
    /// assert_eq!(tape.gradients(exp(x)).wrt(x).sum(), 1.0);
    /// ```
    pub fn map(
        self,
        name: &'static str,
        f: impl Fn(T) -> T + Sync,
        rule: impl for<'s> Fn(&Pullback<'s, T>) -> Var<'s, T> + 'static,
    ) -> Self {
        let value = self.tape().map_value(&self.value(), f);
        self.tape()
            .record(name, &[self], value, move |p| p.give(0, || rule(p)))
    }

    /// y = f(a, b), entry by entry after broadcasting, with one rule for ā and one for b̄.
    ///
    /// The rules work in the broadcast shape; the engine sums their results back down.
    ///
    /// # Panics
    /// If the shapes cannot be broadcast against each other.
    pub fn zip_with(
        self,
        other: Self,
        name: &'static str,
        f: impl Fn(T, T) -> T + Sync,
        left: impl for<'s> Fn(&Pullback<'s, T>) -> Var<'s, T> + 'static,
        right: impl for<'s> Fn(&Pullback<'s, T>) -> Var<'s, T> + 'static,
    ) -> Self {
        let value = self
            .tape()
            .zip_values(name, &self.value(), &other.value(), f);
        self.tape().record(name, &[self, other], value, move |p| {
            p.give(0, || left(p));
            p.give(1, || right(p));
        })
    }
}

impl<T: Scalar> Tape<T> {
    /// f applied to every entry, into a pooled buffer.
    pub(crate) fn map_value(&self, x: &Value<T>, f: impl Fn(T) -> T + Sync) -> Value<T> {
        let mut y = self.buffer(x.shape());
        match (x.as_slice(), y.as_slice_mut()) {
            (Some(x), Some(y)) => lanes::map(x, y, f),
            _ => Zip::from(&mut y).and(x).for_each(|y, &x| *y = f(x)),
        }
        y.into_shared()
    }

    /// f applied to every pair of entries of two values broadcast against each other, into a pooled buffer.
    pub(crate) fn zip_values(
        &self,
        name: &str,
        a: &Value<T>,
        b: &Value<T>,
        f: impl Fn(T, T) -> T + Sync,
    ) -> Value<T> {
        let shape = broadcast_shape(name, a.shape(), b.shape());
        let mut y = self.buffer(&shape);
        let out = y
            .as_slice_mut()
            .expect("a pooled buffer is in standard layout");
        match (a.as_slice(), b.as_slice()) {
            (Some(a), Some(b)) if a.len() == out.len() && b.len() == out.len() => {
                lanes::zip(a, b, out, f);
            }
            (Some(a), Some(&[b])) if a.len() == out.len() => lanes::map(a, out, move |a| f(a, b)),
            (Some(&[a]), Some(b)) if b.len() == out.len() => lanes::map(b, out, move |b| f(a, b)),
            _ if shape.last().is_some_and(|&width| width >= LONG_ROW) => {
                let (a, b) = (a.broadcast(&*shape), b.broadcast(&*shape));
                let (a, b) = (a.expect("checked above"), b.expect("checked above"));
                zip_rows(&a, &b, out, f);
            }
            _ => Zip::from(&mut y)
                .and_broadcast(a)
                .and_broadcast(b)
                .for_each(|y, &a, &b| *y = f(a, b)),
        }
        y.into_shared()
    }

    /// sum + term, in sum's own buffer when nobody else holds it. Shapes are equal.
    pub(crate) fn add_into(&self, mut sum: Value<T>, term: Value<T>) -> Value<T> {
        if sum.is_unique() {
            match term.as_slice() {
                Some(term) if sum.is_standard_layout() => {
                    let sum = sum.as_slice_mut().expect("unique and in standard layout");
                    lanes::update(sum, term, |sum, term| sum + term);
                }
                _ => sum += &term,
            }
            return sum;
        }
        self.zip_values("add", &sum, &term, |a, b| a + b)
    }
}

/// Rows from this length on are worth a vectorised loop each.
const LONG_ROW: usize = 16;

/// f of two arrays of one shape, row by row: within a row, what is broadcast is one number repeated.
fn zip_rows<T: Scalar>(
    a: &ArrayView<'_, T, IxDyn>,
    b: &ArrayView<'_, T, IxDyn>,
    y: &mut [T],
    f: impl Fn(T, T) -> T + Sync,
) {
    let f = &f;
    let repeated = |row: &ArrayView1<'_, T>| (row.strides() == [0]).then(|| row[0]);
    let width = *a.shape().last().expect("rows have an axis");
    for ((a, b), y) in a
        .rows()
        .into_iter()
        .zip(b.rows())
        .zip(y.chunks_exact_mut(width))
    {
        match (a.as_slice(), b.as_slice(), repeated(&a), repeated(&b)) {
            (Some(a), Some(b), ..) => lanes::zip(a, b, y, f),
            (Some(a), _, _, Some(b)) => lanes::map(a, y, move |a| f(a, b)),
            (_, Some(b), Some(a), _) => lanes::map(b, y, move |b| f(a, b)),
            _ => Zip::from(y)
                .and(a)
                .and(b)
                .for_each(|y, &a, &b| *y = f(a, b)),
        }
    }
}
