//! What a VAE costs: its likelihood, a training step by the tape and by hand, and the evidence.

use std::hint::black_box;

use by_hand::{ByHand, assert_same_step};
use common::{normal, short, uniform};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use elbo::autodiff::{Tape, Value, Var};
use elbo::background::LinearGaussian;
use elbo::distributions::noise::stream;
use elbo::distributions::{Bernoulli, DiagonalGaussian};
use elbo::vae::{Evidence, Ppca};
use ndarray::{Array1, Array2, ArrayView2};
use taped::Taped;

mod by_hand;
mod common;
mod taped;

/// log p(x|z) of a batch of pixels and its gradient, as one operation and out of elementary ones.
fn bernoulli_logits(c: &mut Criterion) {
    type Density = for<'t> fn(Var<'t, f32>, Var<'t, f32>) -> Var<'t, f32>;
    let variants: [(&str, Density); 2] = [
        ("fused", |x, logits| Bernoulli { logits }.log_density(x)),
        ("composed", |x, a| (x * a - a.softplus()).sum_last()),
    ];
    let mut group = c.benchmark_group("vae/bernoulli-logits");
    for batch in [128, 1024] {
        let (data, logits) = (uniform(&[batch, 784]), normal(&[batch, 784], 0));
        let mut tape = Tape::new();
        for (name, density) in variants {
            group.bench_function(BenchmarkId::new(name, batch), |b| {
                b.iter(|| {
                    let a = tape.variable(logits.clone());
                    let density = density(tape.constant(data.clone()), a).sum();
                    black_box(tape.gradients(density).wrt(a));
                    tape.reset();
                });
            });
        }
    }
    group.finish();
}

/// The step of 784-400-20 at many batch sizes, in data per second.
fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("vae/vae-elbo");
    for batch in [1, 4, 16, 64, 128, 256, 1024, 4096] {
        step(&mut group, &[784, 400, 20], batch);
    }
    group.finish();
}

/// The step at batch 128, as the layers grow wider, more, and the latent larger; and a large model.
fn architectures(c: &mut Criterion) {
    let mut group = c.benchmark_group("vae/vae-elbo-architectures");
    for width in [100, 200, 400, 800, 1600] {
        step(&mut group, &[784, width, 20], 128);
    }
    for depth in 2..=4 {
        let widths = [&[784][..], &vec![400; depth], &[20]].concat();
        step(&mut group, &widths, 128);
    }
    for latent in [2, 64, 256] {
        step(&mut group, &[784, 400, latent], 128);
    }
    step(&mut group, &[784, 1024, 1024, 64], 256);
    group.finish();
}

/// Noise, forward, backward, Adam: on the tape, and written by hand, after a check that both do the same.
fn step(group: &mut BenchmarkGroup<'_, WallTime>, widths: &[usize], batch: usize) {
    let x = uniform(&[batch, widths[0]]);
    assert_same_step(widths, &x);
    let widths_text: Vec<String> = widths.iter().map(usize::to_string).collect();
    let parameter = format!("{}/{batch}", widths_text.join("-"));
    group.throughput(Throughput::Elements(batch as u64));
    let mut model = Taped::new(widths);
    group.bench_function(BenchmarkId::new("tape", &parameter), |b| {
        b.iter(|| model.step(&x));
    });
    drop(model);
    let mut model = ByHand::new(widths, batch);
    group.bench_function(BenchmarkId::new("by hand", &parameter), |b| {
        b.iter(|| model.step(matrix(&x)));
    });
}

/// The importance-weighted estimate for sixteen data and K samples each, in samples per second: one sample costs the
/// less, the more rows the decoder gets at once.
fn evidence(c: &mut Criterion) {
    let mut group = c.benchmark_group("vae/evidence");
    let Taped {
        vae, parameters, ..
    } = Taped::new(&[784, 400, 20]);
    let x = uniform(&[16, 784]);
    for samples in [1, 10, 100, 1000] {
        let mut rng = stream(1, "evidence", 0);
        group.throughput(Throughput::Elements(16 * samples as u64));
        group.bench_function(BenchmarkId::from_parameter(samples), |b| {
            b.iter(|| Evidence { samples }.estimate(&vae, &parameters, matrix(&x), &mut rng));
        });
    }
    group.finish();
}

fn matrix(value: &Value<f32>) -> ArrayView2<'_, f32> {
    value.view().into_dimensionality().expect("two axes")
}

/// Principal components by maximum likelihood, from a covariance, and the bound of a linear VAE against the exact evidence.
fn linear(c: &mut Criterion) {
    let mut group = c.benchmark_group("vae/ppca-maximum-likelihood");
    for dimensions in [32, 128] {
        let a = normal(&[2 * dimensions, dimensions], 0).mapv(f64::from);
        let a: Array2<f64> = a.into_dimensionality().expect("rows");
        let covariance = a.t().dot(&a) / (2 * dimensions) as f64;
        group.bench_function(BenchmarkId::from_parameter(dimensions), |b| {
            let mean = Array1::zeros(dimensions);
            b.iter(|| Ppca::from_covariance(mean.clone(), black_box(&covariance), 10));
        });
    }
    group.finish();
    let mut group = c.benchmark_group("vae/linear-vae-gap");
    let (data, weights) = (normal(&[128, 784], 0), normal(&[784, 20], 1));
    let codes = [2, 3].map(|index| normal(&[128, 20], index));
    let mut tape = Tape::new();
    for name in ["bound", "evidence"] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let model = LinearGaussian {
                    weights: tape.variable(weights.clone()),
                    offset: tape.constant(normal(&[784], 4)),
                    log_noise: tape.scalar(0.0),
                };
                let [mean, log_variance] = [0, 1].map(|i| tape.constant(codes[i].clone()));
                let (x, q) = (
                    tape.constant(data.clone()),
                    DiagonalGaussian { mean, log_variance },
                );
                let value = match name {
                    "bound" => model.elbo_diagonal(x, &q),
                    _ => model.log_evidence(x).expect("a Gaussian"),
                };
                black_box(tape.gradients(value.sum()).wrt(model.weights));
                tape.reset();
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = short();
    targets = bernoulli_logits, batches, architectures, evidence, linear
}
criterion_main!(benches);
