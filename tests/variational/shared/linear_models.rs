//! Random linear-Gaussian models with a datum and a Gaussian q, at which everything is known in closed form.

use elbo::autodiff::{Tape, Var};
use elbo::background::LinearGaussian;
use elbo::distributions::MultivariateGaussian;
use ndarray::{Array2, ArrayD, arr0};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::random::random;

/// A random linear-Gaussian model, one x, and a random Gaussian q.
pub fn linear<'t>(
    tape: &'t Tape<f64>,
    rng: &mut StdRng,
    d: usize,
    k: usize,
) -> (
    LinearGaussian<'t, f64>,
    Var<'t, f64>,
    MultivariateGaussian<'t, f64>,
) {
    let v = linear_inputs(rng, d, k).map(|input| tape.variable(input));
    (model_of(&v), v[3], q_of(&v))
}

/// W, b, log σ², x, m, and numbers for the factor of q's covariance.
pub fn linear_inputs(rng: &mut StdRng, d: usize, k: usize) -> [ArrayD<f64>; 6] {
    let noise = arr0(rng.random_range(-1.0..1.0)).into_dyn();
    [
        random(rng, &[d, k]) * 0.7,
        random(rng, &[d]),
        noise,
        random(rng, &[d]),
        random(rng, &[k]),
        random(rng, &[k, k]) * 0.5,
    ]
}

/// The model with W, b and log σ².
pub fn model_of<'t>(v: &[Var<'t, f64>]) -> LinearGaussian<'t, f64> {
    LinearGaussian {
        weights: v[0],
        offset: v[1],
        log_noise: v[2],
    }
}

/// Lower triangular, with e^a on the diagonal.
pub fn q_of<'t>(v: &[Var<'t, f64>]) -> MultivariateGaussian<'t, f64> {
    let k = v[5].shape()[0];
    let tape = v[5].tape();
    let below = tape.constant(Array2::from_shape_fn((k, k), |(i, j)| {
        f64::from(u8::from(i > j))
    }));
    let on = tape.constant(Array2::eye(k));
    MultivariateGaussian::from_factor(v[4], v[5] * below + v[5].exp() * on).unwrap()
}
