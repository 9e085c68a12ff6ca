//! What the divergences cost: the fused operation with its derived gradient against the composed expression.

use std::hint::black_box;

use common::{normal, short};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use elbo::autodiff::{Tape, Var};
use elbo::distributions::DiagonalGaussian;
use elbo::kl;

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

criterion_group! { name = benches; config = short(); targets = gaussian_standard }
criterion_main!(benches);
