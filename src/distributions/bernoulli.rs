//! Coins, by their logits.

use ndarray::{CowArray, IxDyn};

use super::limits::bounded;
use crate::Scalar;
use crate::autodiff::{Value, Var, broadcast_shape, sigmoid};
use crate::elementary::{exp, ln_1p_unit};
use crate::lanes;

/// Independent coins with success probability σ(a), by their logits a = log p/(1-p), which any real number is. ±∞ are
/// the coins that are certain.
#[derive(Clone, Copy, Debug)]
pub struct Bernoulli<'t, T: Scalar> {
    /// a, of shape (…, d).
    pub logits: Var<'t, T>,
}

impl<'t, T: Scalar> Bernoulli<'t, T> {
    /// log p(x) = Σ [x a - softplus(a)], over the last axis, in nats; ∂a = x - σ(a)
    /// ([notes](crate::vae#bernoulli-logits)).
    ///
    /// x may lie between 0 and 1, as grey pixels do. The value is then minus the cross-entropy, not the
    /// logarithm of a density. What a certain coin (a = ±∞) cannot show has log p = -∞.
    ///
    /// # Panics
    /// If the shapes do not broadcast, or there is no axis.
    pub fn log_density(&self, x: Var<'t, T>) -> Var<'t, T> {
        bernoulli_log_density(x, self.logits)
    }

    /// The success probabilities σ(a).
    pub fn mean(&self) -> Var<'t, T> {
        self.logits.sigmoid()
    }

    /// 1 where u < σ(a), else 0, for u ~ U[0, 1) drawn by the caller. A step function of a: it has no pathwise
    /// gradient, and the result is a constant.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    pub fn sample(&self, uniform: Var<'t, T>) -> Var<'t, T> {
        let tape = self.logits.tape();
        let (a, u) = (self.logits.value(), uniform.value());
        let x = tape.zip_values("sample", &a, &u, |a, u| {
            if u < sigmoid(a) { T::one() } else { T::zero() }
        });
        tape.constant(x)
    }

    /// H = Σ [softplus(a) - a σ(a)], over the last axis, in nats.
    ///
    /// # Panics
    /// If there is no axis.
    pub fn entropy(&self) -> Var<'t, T> {
        let a = bounded(self.logits);
        // The sum over both outcomes, -p log p - (1-p) log(1-p): at large |a| softplus(a) - a σ(a) would cancel to
        // noise; these are two positive numbers. And no |a|, whose corner at 0 would hide the curvature there.
        (a.sigmoid() * (-a).softplus() + (-a).sigmoid() * a.softplus()).sum_last()
    }
}

/// Σ [x a - softplus(a)] over the last axis, in one pass over x and a.
fn bernoulli_log_density<'t, T: Scalar>(x: Var<'t, T>, logits: Var<'t, T>) -> Var<'t, T> {
    let tape = logits.tape();
    let (data, a) = (x.value(), logits.value());
    let shape = broadcast_shape("bernoulli", data.shape(), a.shape());
    assert!(
        !shape.is_empty(),
        "a density needs an event axis, found a single number"
    );
    let mut sums = tape.buffer(&shape[..shape.len() - 1]);
    let (data, a) = (repeated(&data, &shape), repeated(&a, &shape));
    let (data, a) = (data.as_slice(), a.as_slice());
    let out = sums.as_slice_mut().expect("a buffer is in standard layout");
    let (data, a) = (entries(data), entries(a));
    lanes::row_sums(data, a, out, log_density);
    settle_certain_coins(data, a, out);
    tape.record("bernoulli", &[x, logits], sums.into_shared(), |p| {
        let (x, a) = (p.input(0), p.input(1));
        let g = p.cotangent.unsqueeze(p.cotangent.ndim());
        p.give(0, || {
            // One logit may serve many data, and every datum has its own cotangent.
            let shape = broadcast_shape("bernoulli", &x.shape(), &a.shape());
            (g * a).broadcast_to(&shape)
        });
        p.give(1, || bernoulli_score(g, x, a));
    })
}

/// x a - softplus(a), written so that log p(1) = -log(1 + e^-a) keeps its digits at large a, where a - softplus(a) would
/// cancel to 0 and call the outcome certain.
#[inline(always)]
fn log_density<T: Scalar>(x: T, a: T) -> T {
    let likely = if a > T::zero() { T::one() } else { T::zero() };
    (x - likely) * a - ln_1p_unit(exp(-a.abs()))
}

/// x - σ(a), written so that 1 - σ(a) = σ(-a) keeps its digits at large a.
#[inline(always)]
fn residual<T: Scalar>(x: T, a: T) -> T {
    let e = exp(-a.abs());
    let unlikely = e / (T::one() + e);
    if a > T::zero() {
        (x - T::one()) + unlikely
    } else {
        x - unlikely
    }
}

/// The same on the tape.
fn residuals<'t, T: Scalar>(x: Var<'t, T>, a: Var<'t, T>) -> Var<'t, T> {
    x.zip_with(
        a,
        "bernoulli-residual",
        residual,
        |p| p.cotangent,
        |p| {
            let a = p.input(1);
            -p.cotangent.times_slope(a.sigmoid() * (-a).sigmoid())
        },
    )
}

/// Computes those sums anew that are NaN because a coin is certain: where it shows what it must, x a - softplus(a) is
/// 0·∞, and its limit is 0. (This way the loop above has nothing to ask.)
fn settle_certain_coins<T: Scalar>(data: &[T], logits: &[T], sums: &mut [T]) {
    let width = data.len() / sums.len().max(1);
    for (row, sum) in sums.iter_mut().enumerate().filter(|(_, sum)| sum.is_nan()) {
        let entries = row * width..(row + 1) * width;
        let coins = data[entries.clone()].iter().zip(&logits[entries]);
        *sum = coins
            .map(|(&x, &a)| match a.is_infinite() && x == sigmoid(a) {
                true => T::zero(),
                false => log_density(x, a),
            })
            .sum();
    }
}

/// g ⊙ (x - σ(a)) in one pass, for a weight g of last length 1.
fn bernoulli_score<'t, T: Scalar>(g: Var<'t, T>, x: Var<'t, T>, a: Var<'t, T>) -> Var<'t, T> {
    let tape = a.tape();
    let shape = broadcast_shape("bernoulli", &x.shape(), &a.shape());
    let rows = [&shape[..shape.len() - 1], &[1]].concat();
    let (weight, data, logits) = (g.value(), x.value(), a.value());
    let (weight, data, logits) = (
        repeated(&weight, &rows),
        repeated(&data, &shape),
        repeated(&logits, &shape),
    );
    let mut score = tape.buffer(&shape);
    let out = score
        .as_slice_mut()
        .expect("a buffer is in standard layout");
    let inputs = (entries(data.as_slice()), entries(logits.as_slice()));
    lanes::weighted_rows(entries(weight.as_slice()), inputs, out, |x, a| {
        residual(x, a)
    });
    tape.record("bernoulli-score", &[g, x, a], score.into_shared(), |p| {
        let (c, g, x, a) = (p.cotangent, p.input(0), p.input(1), p.input(2));
        p.give(0, || c.times_slope(residuals(x, a)));
        p.give(1, || c * g);
        p.give(2, || -(c * g * (a.sigmoid() * (-a).sigmoid())));
    })
}

/// The value broadcast to a shape, in standard layout: copied only if it is not there already.
fn repeated<'a, T: Scalar>(value: &'a Value<T>, shape: &[usize]) -> CowArray<'a, T, IxDyn> {
    let repeated = value.broadcast(shape).expect("the shapes broadcast");
    if repeated.is_standard_layout() {
        repeated.into()
    } else {
        repeated.as_standard_layout().into_owned().into()
    }
}

fn entries<T>(slice: Option<&[T]>) -> &[T] {
    slice.expect("in standard layout")
}
