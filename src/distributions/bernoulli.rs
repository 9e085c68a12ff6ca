//! Coins, by their logits.

use ndarray::{ArrayView1, Axis, Zip};

use crate::Scalar;
use crate::autodiff::{Value, Var, broadcast_shape, sigmoid, softplus};

/// Independent coins with success probability σ(a), by their logits a = log p/(1-p), which any real number is.
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
    /// logarithm of a density.
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
        let a = self.logits;
        // By symmetry in a. At large |a| the difference softplus(a) - a σ(a) would cancel to noise; with
        // b = |a| it is softplus(-b) + b σ(-b), two small positive numbers.
        let b = a.abs();
        ((-b).softplus() + b * (-b).sigmoid()).sum_last()
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
    let (data, a) = (broadcast(&data, &shape), broadcast(&a, &shape));
    let last = Axis(shape.len() - 1);
    Zip::from(&mut sums)
        .and(data.lanes(last))
        .and(a.lanes(last))
        .for_each(|sum, x, a| *sum = row_log_density(x, a));
    tape.record("bernoulli", &[x, logits], sums.into_shared(), |p| {
        let (x, a) = (p.input(0), p.input(1));
        let g = p.cotangent.unsqueeze(p.cotangent.ndim());
        p.give(0, || g * a);
        p.give(1, || bernoulli_score(g, x, a));
    })
}

fn row_log_density<T: Scalar>(x: ArrayView1<'_, T>, a: ArrayView1<'_, T>) -> T {
    let term = |(&x, &a): (&T, &T)| x * a - softplus(a);
    match (x.as_slice(), a.as_slice()) {
        (Some(x), Some(a)) => x.iter().zip(a).map(term).sum(),
        _ => x.iter().zip(a).map(term).sum(),
    }
}

/// g ⊙ (x - σ(a)) in one pass, for a weight g of last length 1.
fn bernoulli_score<'t, T: Scalar>(g: Var<'t, T>, x: Var<'t, T>, a: Var<'t, T>) -> Var<'t, T> {
    let tape = a.tape();
    let shape = broadcast_shape("bernoulli", &x.shape(), &a.shape());
    let (weight, data, logits) = (g.value(), x.value(), a.value());
    let mut score = tape.buffer(&shape);
    score.assign(&broadcast(&data, &shape));
    Zip::from(&mut score)
        .and(&broadcast(&logits, &shape))
        .and(&broadcast(&weight, &shape))
        .for_each(|x, &a, &g| *x = g * (*x - sigmoid(a)));
    tape.record("bernoulli-score", &[g, x, a], score.into_shared(), |p| {
        let (c, g, x, a) = (p.cotangent, p.input(0), p.input(1), p.input(2));
        p.give(0, || c * (x - a.sigmoid()));
        p.give(1, || c * g);
        p.give(2, || -(c * g * (a.sigmoid() * (-a).sigmoid())));
    })
}

fn broadcast<'a, T: Scalar>(value: &'a Value<T>, shape: &[usize]) -> ndarray::ArrayViewD<'a, T> {
    value.broadcast(shape).expect("the shapes broadcast")
}
