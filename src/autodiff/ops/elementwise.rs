//! Functions applied entry by entry, of one value or of two broadcast against each other.

use ndarray::{Array, ArrayView1, IxDyn};

use super::shape::broadcast_shape;
use crate::Scalar;
use crate::autodiff::{Pullback, Tape, Value, Var};
use crate::lanes::{self, Operand};

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
        self.fill_from(x, &|x, y| lanes::map(x, y, &f))
    }

    /// f applied to every pair of entries of two values broadcast against each other, into a pooled buffer.
    pub(crate) fn zip_values(
        &self,
        name: &str,
        a: &Value<T>,
        b: &Value<T>,
        f: impl Fn(T, T) -> T + Sync,
    ) -> Value<T> {
        self.fill_from_pair(name, a, b, &|a, b, y| lanes::zip_operands(a, b, y, &f))
    }

    /// A pooled buffer of x's shape, filled by a loop over the entries of both.
    fn fill_from(&self, x: &Value<T>, fill: &dyn Fn(&[T], &mut [T])) -> Value<T> {
        let mut y = self.buffer(x.shape());
        match x.as_slice() {
            Some(x) => fill(x, entries_mut(&mut y)),
            None => {
                let x = self.in_order(x, x.shape());
                fill(entries(&x), entries_mut(&mut y));
                self.recycle(x);
            }
        }
        y.into_shared()
    }

    /// A pooled buffer of the shape of a and b broadcast against each other, filled by loops over the entries of all
    /// three: one loop if they lie in memory alike, else one for each long row, within which what is broadcast is one
    /// number repeated.
    fn fill_from_pair(
        &self,
        name: &str,
        a: &Value<T>,
        b: &Value<T>,
        fill: &PairLoop<'_, T>,
    ) -> Value<T> {
        let shape = broadcast_shape(name, a.shape(), b.shape());
        let mut y = self.buffer(&shape);
        let out = entries_mut(&mut y);
        if let (Some(a), Some(b)) = (whole(a, out.len()), whole(b, out.len())) {
            fill(a, b, out);
            return y.into_shared();
        }
        let width = shape.last().copied().unwrap_or(1);
        let by_row = |x: &Value<T>| match (x.shape().last(), x.strides().last()) {
            (Some(&length), Some(&stride)) => length == 1 || stride == 1,
            _ => true,
        };
        let readable = |x| match width >= LONG_ROW && by_row(x) {
            true => x.clone(),
            false => self.in_order(x, &shape),
        };
        let (a, b) = (readable(a), readable(b));
        if width >= LONG_ROW {
            let (a, b) = (a.broadcast(&*shape), b.broadcast(&*shape));
            let (a, b) = (a.expect("checked above"), b.expect("checked above"));
            let rows = a.rows().into_iter().zip(b.rows());
            for ((a, b), y) in rows.zip(out.chunks_exact_mut(width)) {
                fill(row(&a), row(&b), y);
            }
        } else {
            fill(
                Operand::Entries(entries(&a)),
                Operand::Entries(entries(&b)),
                out,
            );
        }
        self.recycle(a);
        self.recycle(b);
        y.into_shared()
    }

    /// x broadcast to `shape`, in standard layout: itself if it is so already, else a copy in a pooled buffer.
    fn in_order(&self, x: &Value<T>, shape: &[usize]) -> Value<T> {
        if x.shape() == shape && x.is_standard_layout() {
            return x.clone();
        }
        let mut copy = self.buffer(shape);
        match columns(x) {
            Some(columns) if x.shape() == shape => {
                lanes::transpose(columns, shape[0], entries_mut(&mut copy));
            }
            _ => copy.assign(&x.broadcast(shape).expect("shapes that broadcast")),
        }
        copy.into_shared()
    }

    /// sum + term, in sum's own buffer when nobody else holds it. Shapes are equal.
    pub(crate) fn add_into(&self, mut sum: Value<T>, term: Value<T>) -> Value<T> {
        if !sum.is_unique() || !sum.is_standard_layout() {
            // In row-major order, whichever way the first contribution lies: a sum is read more often than made.
            let total = self.zip_values("add", &sum, &term, |a, b| a + b);
            self.recycle(sum);
            return total;
        }
        let term = self.in_order(&term, sum.shape());
        let total = sum.as_slice_mut().expect("unique and in standard layout");
        lanes::update(total, entries(&term), |sum, term| sum + term);
        self.recycle(term);
        sum
    }
}

/// A loop that computes y from a and b.
type PairLoop<'f, T> = dyn Fn(Operand<'_, T>, Operand<'_, T>, &mut [T]) + 'f;

/// Rows from this length on are worth a vectorised loop each.
const LONG_ROW: usize = 16;

/// A value as one loop over `length` entries reads it, if it has as many in order, or one.
fn whole<T: Scalar>(x: &Value<T>, length: usize) -> Option<Operand<'_, T>> {
    match x.as_slice()? {
        &[number] => Some(Operand::Number(number)),
        entries if entries.len() == length => Some(Operand::Entries(entries)),
        _ => None,
    }
}

/// The row of a broadcast value: contiguous, or one number repeated.
fn row<'a, T: Scalar>(row: &'a ArrayView1<'_, T>) -> Operand<'a, T> {
    match row.as_slice() {
        Some(entries) => Operand::Entries(entries),
        None => Operand::Number(row[0]),
    }
}

/// The columns of a transposed matrix, one after the other.
pub(crate) fn columns<T: Scalar>(x: &Value<T>) -> Option<&[T]> {
    let rows = x.ndim() == 2 && x.t().is_standard_layout();
    rows.then(|| x.as_slice_memory_order())?
}

fn entries<T>(x: &Value<T>) -> &[T] {
    x.as_slice().expect("in standard layout")
}

fn entries_mut<T>(y: &mut Array<T, IxDyn>) -> &mut [T] {
    y.as_slice_mut()
        .expect("a pooled buffer is in standard layout")
}
