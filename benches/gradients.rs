//! What the derived gradients save: fused operations against the same expressions out of elementary ones, forward and
//! backward.

use std::hint::black_box;

use common::{normal, short};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use elbo::autodiff::{Tape, Value, Var};
use elbo::distributions::DiagonalGaussian;
use elbo::gradients::{
    Baseline, GaussianParameters, estimator_a, pathwise_gradient, score_gradient,
    sticking_the_landing,
};
use elbo::nn::{Activation, dense};
use ndarray::Array2;

mod common;

type Function = for<'t> fn(&[Var<'t, f32>]) -> Var<'t, f32>;

/// Forward and backward of a function of variables, for a cotangent of its output.
fn pull_back(tape: &mut Tape<f32>, inputs: &[Value<f32>], cotangent: &Value<f32>, f: Function) {
    let variables: Vec<_> = (inputs.iter())
        .map(|value| tape.variable(value.clone()))
        .collect();
    black_box(tape.pull_back(f(&variables), cotangent.clone(), &[]));
    drop(variables);
    tape.reset();
}

/// A dense layer as one operation, against product, bias and activation as three: the gradient's products are the same,
/// the passes over the output are fewer.
fn matmul_adjoint(c: &mut Criterion) {
    let mut group = c.benchmark_group("gradients/matmul-adjoint");
    let variants: [(&str, Function); 2] = [
        ("fused", |v| dense(v[0], v[1], v[2], Activation::Relu)),
        ("composed", |v| (v[0].matmul(v[1].t()) + v[2]).relu()),
    ];
    for (inputs, outputs) in [(784, 400), (20, 400)] {
        let layer = [&[128, inputs][..], &[outputs, inputs], &[outputs]];
        let values = layer.map(|shape| normal(shape, shape.len() as u64));
        let cotangent = normal(&[128, outputs], 0);
        let mut tape = Tape::new();
        for (name, f) in variants {
            group.bench_function(BenchmarkId::new(name, format!("{inputs}x{outputs}")), |b| {
                b.iter(|| pull_back(&mut tape, &values, &cotangent, f));
            });
        }
    }
    group.finish();
}

/// A row added to every row of a batch and its gradient, the sum over the rows, against the same two loops written out.
fn broadcast_adjoint(c: &mut Criterion) {
    let mut group = c.benchmark_group("gradients/broadcast-adjoint");
    let (x, row) = (normal(&[128, 784], 0), normal(&[784], 1));
    let mut tape = Tape::new();
    group.bench_function("tape", |b| {
        b.iter(|| {
            let (x_var, row) = (tape.constant(x.clone()), tape.variable(row.clone()));
            black_box(tape.pull_back(x_var + row, x.clone(), &[]).wrt(row));
            tape.reset();
        });
    });
    let (x, row) = (x.as_slice().expect("rows"), row.as_slice().expect("a row"));
    let (mut y, mut sums) = (vec![0.0; x.len()], vec![0.0; row.len()]);
    group.bench_function("loops", |b| {
        b.iter(|| add_and_sum(x, row, black_box(&mut y), black_box(&mut sums)));
    });
    group.finish();
}

fn add_and_sum(x: &[f32], row: &[f32], y: &mut [f32], sums: &mut [f32]) {
    let width = row.len();
    for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
        for ((y, x), b) in y.iter_mut().zip(x).zip(row) {
            *y = x + b;
        }
    }
    sums.fill(0.0);
    for x in x.chunks_exact(width) {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += x;
        }
    }
}

/// Each activation: its value alone, and with its derivative, on a batch of 128x784.
fn activation_derivatives(c: &mut Criterion) {
    let mut group = c.benchmark_group("gradients/activation-derivatives");
    let (x, cotangent) = (normal(&[128, 784], 0), normal(&[128, 784], 1));
    let activations: [(Activation, Function); 4] = [
        (Activation::Relu, |v| v[0].relu()),
        (Activation::Tanh, |v| v[0].tanh()),
        (Activation::Sigmoid, |v| v[0].sigmoid()),
        (Activation::Softplus, |v| v[0].softplus()),
    ];
    let mut tape = Tape::new();
    for (activation, f) in activations {
        group.bench_function(BenchmarkId::new("value", activation), |b| {
            b.iter(|| {
                black_box(activation.apply(tape.constant(x.clone())));
                tape.reset();
            });
        });
        group.bench_function(BenchmarkId::new("value and derivative", activation), |b| {
            b.iter(|| pull_back(&mut tape, std::slice::from_ref(&x), &cotangent, f));
        });
    }
    group.finish();
}

/// A sample of the latent as one operation, against its formula.
fn reparameterisation(c: &mut Criterion) {
    let mut group = c.benchmark_group("gradients/reparameterisation");
    let variants: [(&str, Function); 2] = [
        ("fused", |v| {
            let [mean, log_variance, noise] = [v[0], v[1], v[2].stop_gradient()];
            DiagonalGaussian { mean, log_variance }.sample(noise)
        }),
        ("composed", |v| {
            v[0] + (v[1] * 0.5).exp() * v[2].stop_gradient()
        }),
    ];
    for batch in [128, 1024] {
        let values = [0, 1, 2].map(|index| normal(&[batch, 20], index));
        let cotangent = normal(&[batch, 20], 3);
        let mut tape = Tape::new();
        for (name, f) in variants {
            group.bench_function(BenchmarkId::new(name, batch), |b| {
                b.iter(|| pull_back(&mut tape, &values, &cotangent, f));
            });
        }
    }
    group.finish();
}

type Bound = for<'t> fn(&DiagonalGaussian<'t, f64>, Var<'t, f64>) -> Var<'t, f64>;

/// log p(x, z) of z ~ N(0, I) and x = 1, of deviation 1 about z.
fn log_joint(z: Var<'_, f64>) -> Var<'_, f64> {
    (z.square().sum_last() + (z - 1.0).square().sum_last()) * -0.5
}

fn bound<'t>(q: &DiagonalGaussian<'t, f64>, z: Var<'t, f64>) -> Var<'t, f64> {
    estimator_a(q, z, log_joint(z))
}

fn quieter<'t>(q: &DiagonalGaussian<'t, f64>, z: Var<'t, f64>) -> Var<'t, f64> {
    sticking_the_landing(q, z, log_joint(z))
}

/// The gradient of an evidence lower bound in 20 dimensions, with its standard errors, from 1000 draws.
fn estimators(c: &mut Criterion) {
    let mut group = c.benchmark_group("gradients/sgvb-estimators");
    let noise = normal(&[1000, 20], 0).mapv(f64::from);
    let noise: Array2<f64> = noise.into_dimensionality().expect("rows");
    let q = GaussianParameters::standard(20);
    group.bench_function("score", |b| {
        b.iter(|| {
            let draws = score_gradient(&q, noise.view(), bound, &Baseline::LeaveOneOut);
            black_box(draws.expect("finite").estimate())
        });
    });
    for (name, f) in [
        ("pathwise", bound as Bound),
        ("sticking the landing", quieter),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let draws = pathwise_gradient(&q, noise.view(), f);
                black_box(draws.expect("finite").estimate())
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = short();
    targets = matmul_adjoint, broadcast_adjoint, activation_derivatives, reparameterisation, estimators
}
criterion_main!(benches);
