//! What the divergences cost: the fused operation with its derived gradient against the composed expression.

use std::hint::black_box;

use common::{normal, short};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use elbo::autodiff::{Tape, Var};
use elbo::distributions::{Categorical, DiagonalGaussian, MultivariateGaussian};
use elbo::kl::{self, Nodes, fisher_information};
use ndarray::{Array1, Array2};

mod common;

/// The same formula out of elementary operations, for comparison.
fn composed<'t>(q: &DiagonalGaussian<'t, f32>) -> Var<'t, f32> {
    let (mu, s) = (q.mean, q.log_variance);
    (mu.square() + s.exp() - s - 1.0).sum_last() * 0.5
}

/// Forward and backward.
fn gaussian_standard(c: &mut Criterion) {
    let mut group = c.benchmark_group("kl/kl-gaussian-standard");
    for batch in [128, 1024] {
        let (mean, log_variance) = (normal(&[batch, 20], 0), normal(&[batch, 20], 1));
        let mut measure =
            |name: &str, divergence: for<'t> fn(&DiagonalGaussian<'t, f32>) -> Var<'t, f32>| {
                let mut tape = Tape::new();
                group.bench_function(BenchmarkId::new(name, batch), |b| {
                    b.iter(|| {
                        let q = DiagonalGaussian {
                            mean: tape.variable(mean.clone()),
                            log_variance: tape.variable(log_variance.clone()),
                        };
                        black_box(tape.gradients(divergence(&q).sum()).wrt(q.log_variance));
                        tape.reset();
                    });
                });
            };
        measure("fused", kl::gaussian_standard);
        measure("composed", composed);
    }
    group.finish();
}

/// Two full Gaussians, their factors among it, forward and backward: O(k³).
fn gaussian_full(c: &mut Criterion) {
    let mut group = c.benchmark_group("kl/kl-gaussian-full");
    for k in [2, 16, 64] {
        let covariance = |index: u64| -> Array2<f32> {
            let a = normal(&[k, k], index).into_owned();
            let a: Array2<f32> = a.into_dimensionality().expect("a matrix");
            a.dot(&a.t()) + Array2::<f32>::eye(k)
        };
        let (one, other) = (covariance(0), covariance(1));
        let mut tape = Tape::new();
        group.bench_function(BenchmarkId::from_parameter(k), |b| {
            b.iter(|| {
                let [p, q] = [&one, &other].map(|c| tape.variable(c.clone()));
                let gaussian = |covariance| {
                    let mean = tape.constant(Array1::<f32>::zeros(k));
                    MultivariateGaussian::from_covariance(mean, covariance).expect("definite")
                };
                let divergence = kl::gaussian_full(&gaussian(q), &gaussian(p));
                black_box(tape.gradients(divergence).wrt(q));
                tape.reset();
            });
        });
    }
    group.finish();
}

/// 128 pairs of distributions over 10 and over 1000 classes, forward and backward.
fn categorical(c: &mut Criterion) {
    type Divergence = for<'t> fn(&Categorical<'t, f32>, &Categorical<'t, f32>) -> Var<'t, f32>;
    let variants: [(&str, Divergence); 2] = [
        ("fused", kl::categorical),
        ("composed", |q, p| {
            let (log_q, log_p) = (q.log_probabilities(), p.log_probabilities());
            (q.probabilities() * (log_q - log_p)).sum_last()
        }),
    ];
    let mut group = c.benchmark_group("kl/kl-categorical");
    for classes in [10, 1000] {
        let logits = [0, 1].map(|index| normal(&[128, classes], index));
        let mut tape = Tape::new();
        for (name, divergence) in variants {
            group.bench_function(BenchmarkId::new(name, classes), |b| {
                b.iter(|| {
                    let [q, p] = [0, 1].map(|i| Categorical {
                        logits: tape.variable(logits[i].clone()),
                    });
                    black_box(tape.gradients(divergence(&q, &p).sum()).wrt(q.logits));
                    tape.reset();
                });
            });
        }
    }
    group.finish();
}

/// Scores and second derivatives of a Gaussian in d dimensions at 100 draws.
fn fisher(c: &mut Criterion) {
    let mut group = c.benchmark_group("kl/fisher-information");
    for d in [1, 4, 16] {
        let points = normal(&[100, d], 0).mapv(f64::from).into_dimensionality();
        let nodes = Nodes::samples(points.expect("rows")).expect("numbers");
        let theta = Array1::zeros(2 * d);
        group.bench_function(BenchmarkId::from_parameter(2 * d), |b| {
            b.iter(|| {
                fisher_information(black_box(&theta), &nodes, |theta, x| {
                    let q = DiagonalGaussian {
                        mean: theta.slice(1, 0..d),
                        log_variance: theta.slice(1, d..2 * d),
                    };
                    q.log_density(x)
                })
                .expect("smooth")
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = short();
    targets = gaussian_standard, gaussian_full, categorical, fisher
}
criterion_main!(benches);
