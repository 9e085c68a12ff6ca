//! What the exact methods cost: a step of EM, a sweep of coordinate ascent over a table, and one over a Gaussian against the
//! solution by a factor.

use std::hint::black_box;

use common::{normal, short};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use elbo::autodiff::Tape;
use elbo::distributions::noise::stream;
use elbo::variational::{
    Covariances, GaussianMixture, GaussianTarget, Stopping, coordinate_ascent, em,
};
use ndarray::{Array1, Array2, ArrayD, IxDyn};

mod common;

fn numbers(shape: &[usize]) -> ArrayD<f64> {
    normal(shape, 0).mapv(f64::from)
}

/// One step of EM on 1000 data in 4 dimensions.
fn optimal_q_and_em(c: &mut Criterion) {
    let mut group = c.benchmark_group("variational/optimal-q-and-em");
    let data: Array2<f64> = numbers(&[1000, 4]).into_dimensionality().expect("rows");
    let stopping = Stopping {
        steps: 1,
        tolerance: 0.0,
    };
    for components in [2, 8] {
        for (name, kind) in [
            ("full", Covariances::Full),
            ("diagonal", Covariances::Diagonal),
        ] {
            let mut rng = stream(1, "bench", 0);
            let start =
                GaussianMixture::start(data.view(), components, kind, &mut rng).expect("data");
            group.bench_function(BenchmarkId::new(name, components), |b| {
                b.iter(|| em(data.view(), start.clone(), kind, stopping).expect("a step"));
            });
        }
    }
    group.finish();
}

/// One sweep over a table of n binary variables: n contractions of 2ⁿ entries.
fn mean_field_factor(c: &mut Criterion) {
    let mut group = c.benchmark_group("variational/mean-field-factor");
    let stopping = Stopping {
        steps: 1,
        tolerance: 0.0,
    };
    for variables in [4, 8, 12] {
        let log_joint = numbers(&vec![2; variables]);
        let start = vec![Array1::from_elem(2, 0.5); variables];
        group.bench_function(BenchmarkId::from_parameter(variables), |b| {
            b.iter(|| coordinate_ascent(black_box(&log_joint), &start, stopping).expect("a sweep"));
        });
    }
    group.finish();
}

/// One sweep, O(d²), against the mean by a Cholesky factor, O(d³).
fn cavi_gaussian(c: &mut Criterion) {
    let mut group = c.benchmark_group("variational/cavi-gaussian");
    for d in [16, 128] {
        let a: Array2<f64> = numbers(&[d, d]).into_dimensionality().expect("a matrix");
        let precision = a.dot(&a.t()) + Array2::<f64>::eye(d);
        let potential = precision.dot(&Array1::ones(d));
        let target = GaussianTarget::new(Array1::ones(d), precision.clone()).expect("a Gaussian");
        let order: Vec<usize> = (0..d).collect();
        let mut m = Array1::zeros(d);
        group.bench_function(BenchmarkId::new("sweep", d), |b| {
            b.iter(|| target.sweep(black_box(&mut m), &order));
        });
        let mut tape = Tape::new();
        let column = potential
            .to_shape(IxDyn(&[d, 1]))
            .expect("a column")
            .to_owned();
        group.bench_function(BenchmarkId::new("factor", d), |b| {
            b.iter(|| {
                let l = tape
                    .constant(precision.clone())
                    .cholesky()
                    .expect("definite");
                let half = l.solve_lower(tape.constant(column.clone()));
                black_box(l.solve_lower_transposed(half).value());
                tape.reset();
            });
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = short(); targets = optimal_q_and_em, mean_field_factor, cavi_gaussian }
criterion_main!(benches);
