//! What several sections of chapter 3 share: Gaussians of full covariance, and the divergences at given parameters.

use elbo::autodiff::{Tape, Var};
use elbo::distributions::{Bernoulli, Categorical};
use elbo::kl;
use elbo::kl::Moments;
use ndarray::{Array1, Array2, arr1};
use rand::Rng;
use rand::rngs::StdRng;

/// A random mean and a random covariance of k dimensions, of moderate condition.
pub fn random_moments(rng: &mut StdRng, k: usize) -> Moments {
    let a = Array2::from_shape_simple_fn((k, k), || rng.random_range(-1.0..1.0));
    Moments {
        mean: Array1::from_shape_simple_fn(k, || rng.random_range(-1.0..1.0)),
        covariance: a.dot(&a.t()) + Array2::<f64>::eye(k) * 0.3,
    }
}

/// KL(q ‖ p) by the closed form.
pub fn full_of(q: &Moments, p: &Moments) -> f64 {
    let tape = Tape::new();
    kl::gaussian_full(&q.on(&tape).unwrap(), &p.on(&tape).unwrap()).item()
}

/// log N(z; m, C) as a target of fits.
pub fn gaussian_target<'t>(p: &Moments, z: Var<'t, f64>) -> Var<'t, f64> {
    p.on(z.tape()).unwrap().log_density(z)
}

/// The divergence between classes with the logits v0 and v1.
pub fn categorical<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    kl::categorical(&Categorical { logits: v[0] }, &Categorical { logits: v[1] })
}

/// The divergence between coins with the logits v0 and v1.
pub fn bernoulli<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    kl::bernoulli(&Bernoulli { logits: v[0] }, &Bernoulli { logits: v[1] })
}

/// Value and both gradients of a function of two vectors of logits.
pub fn at_logits(
    f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
    a: &[f64],
    b: &[f64],
) -> (f64, [Vec<f64>; 2]) {
    let tape = Tape::new();
    let v = [tape.variable(arr1(a)), tape.variable(arr1(b))];
    let y = f(&v);
    let gradients = tape.gradients(y);
    (
        y.item(),
        v.map(|x| gradients.wrt(x).iter().copied().collect()),
    )
}

/// The largest entry in magnitude.
pub fn largest(x: &Array2<f64>) -> f64 {
    x.iter().fold(0.0, |m: f64, x| m.max(x.abs()))
}
