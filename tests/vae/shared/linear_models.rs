//! Linear decoders, data with a known spectrum, and the exact log-likelihood.

use std::f64::consts::TAU;

use elbo::Scalar;
use elbo::autodiff::{Tape, Var};
use elbo::background::LinearGaussian;
use ndarray::{Array1, Array2, ArrayD, Axis, arr1, arr2, concatenate};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::random::{matrix, random, vector};

/// W, b, log σ².
pub fn decoder<'t>(v: &[Var<'t, f64>]) -> LinearGaussian<'t, f64> {
    LinearGaussian {
        weights: v[0],
        offset: v[1],
        log_noise: v[2],
    }
}

/// Random W, b and log σ².
pub fn random_decoder(rng: &mut StdRng, [dimensions, latent]: [usize; 2]) -> Vec<ArrayD<f64>> {
    flat([
        random(rng, &[dimensions, latent]),
        random(rng, &[dimensions]),
        random(rng, &[]) * 0.5,
    ])
}

/// These values as variables.
pub fn variables<'t>(tape: &'t Tape<f64>, values: &[ArrayD<f64>]) -> Vec<Var<'t, f64>> {
    values.iter().map(|x| tape.variable(x.clone())).collect()
}

/// The array as a matrix.
pub fn two_axes(x: &ArrayD<f64>) -> Array2<f64> {
    x.clone().into_dimensionality().unwrap()
}

/// Arrays as the point at which a function is checked.
pub fn flat<const N: usize>(arrays: [ArrayD<f64>; N]) -> Vec<ArrayD<f64>> {
    arrays.into()
}

/// A random orthogonal matrix, by Gram and Schmidt.
pub fn rotation(rng: &mut StdRng, n: usize) -> Array2<f64> {
    let mut q = matrix(rng, [n, n]);
    for _ in 0..2 {
        for j in 0..n {
            for k in 0..j {
                let along = q.column(j).dot(&q.column(k));
                let earlier = q.column(k).to_owned();
                q.column_mut(j).scaled_add(-along, &earlier);
            }
            let length = q.column(j).dot(&q.column(j)).sqrt();
            q.column_mut(j).mapv_inplace(|x| x / length);
        }
    }
    q
}

/// V diag(λ) Vᵀ.
pub fn with_spectrum(v: &Array2<f64>, lambda: &Array1<f64>) -> Array2<f64> {
    (v * lambda).dot(&v.t())
}

/// Data of shape (N, D) with very different variances along random axes.
pub fn elongated(rng: &mut StdRng, [n, d]: [usize; 2]) -> Array2<f64> {
    let scales = Array1::from_shape_fn(d, |i| 3.0 * 0.6f64.powi(i as i32));
    let q = rotation(rng, d);
    let shift = vector(rng, d);
    (matrix(rng, [n, d]) * &scales).dot(&q) + &shift
}

/// Mean and covariance, divided by N, in plain loops.
pub fn moments_of(x: &Array2<f64>) -> (Array1<f64>, Array2<f64>) {
    let (n, d) = x.dim();
    let mean = Array1::from_shape_fn(d, |j| x.column(j).sum() / n as f64);
    let covariance = Array2::from_shape_fn((d, d), |(i, j)| {
        (0..n)
            .map(|k| (x[[k, i]] - mean[i]) * (x[[k, j]] - mean[j]))
            .sum::<f64>()
            / n as f64
    });
    (mean, covariance)
}

/// (1/N) Σ log p(x) of a linear decoder.
pub fn mean_evidence<'t>(v: &[Var<'t, f64>], x: &Array2<f64>) -> Var<'t, f64> {
    let x = v[0].tape().constant(x.clone());
    decoder(v).log_evidence(x).unwrap().mean()
}

/// A covariance with its eigenvalues and eigenvectors, and data that have it exactly: rows ±√(Dλᵢ) vᵢ.
pub struct Spectral {
    pub lambda: Array1<f64>,
    pub v: Array2<f64>,
    pub data: Array2<f64>,
}

impl Spectral {
    pub fn random(rng: &mut StdRng, d: usize) -> Self {
        let mut lambda = Array1::from_shape_fn(d, |_| rng.random_range(0.2f64..4.0));
        lambda
            .as_slice_mut()
            .unwrap()
            .sort_by(|a, b| b.total_cmp(a));
        let v = rotation(rng, d);
        let half = (&v * &lambda.mapv(|l| (l * d as f64).sqrt())).reversed_axes();
        let data = concatenate![Axis(0), half, -&half];
        Self { lambda, v, data }
    }

    pub fn covariance(&self) -> Array2<f64> {
        with_spectrum(&self.v, &self.lambda)
    }
}

/// The largest amortisation gap of the best q, and the bound at the offset itself less its value by hand, at this log σ².
pub fn at_log_noise<T: Scalar>(log_noise: f64) -> [f64; 2] {
    let tape = Tape::<T>::new();
    let constant = |x: Array2<f64>| tape.constant(x.mapv(T::of));
    let model = LinearGaussian {
        weights: constant(arr2(&[[1.0], [0.5], [-1.0]])),
        offset: tape.constant(arr1(&[0.5, 1.0, -2.0]).mapv(T::of)),
        log_noise: tape.scalar(T::of(log_noise)),
    };
    let x = constant(arr2(&[[0.5, 1.0, -2.0], [0.1, 0.2, 0.3]]));
    let best = model.best_diagonal(x).unwrap();
    let gap = model.gaps(x, &best).unwrap().amortisation;
    let largest = gap.value().iter().fold(0.0, |m: f64, g| m.max(g.as_f64()));
    assert!(gap.value().iter().all(|g| g.is_finite()));
    let log_variance = log_noise - 2.25f64.ln();
    let divergence = 0.5 * (log_variance.exp_m1() - log_variance);
    let by_hand = -1.5 * (TAU.ln() + log_noise) - 0.5 - divergence;
    let bound = model.elbo_diagonal(x, &best).value()[0].as_f64();
    [largest, (bound - by_hand) / by_hand]
}
