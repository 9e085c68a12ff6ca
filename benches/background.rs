//! What an evidence costs: a sum over all states against a formula, and the formula by each of its two matrices.

use std::hint::black_box;

use common::{normal, short};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use elbo::autodiff::{Tape, Var};
use elbo::background::{BadData, LinearGaussian, enumerate};

mod common;

/// The sum over 2ⁿ states: each variable doubles it.
fn enumeration(c: &mut Criterion) {
    let mut group = c.benchmark_group("background/evidence-by-enumeration");
    for variables in [4, 8, 12, 16] {
        group.throughput(Throughput::Elements(1 << variables));
        group.bench_function(BenchmarkId::from_parameter(variables), |b| {
            // Neighbours tend to agree.
            let log_joint = |z: &[usize]| z.windows(2).filter(|z| z[0] == z[1]).count() as f64;
            b.iter(|| enumerate(2, black_box(variables), log_joint).expect("states"));
        });
    }
    group.finish();
}

/// 128 data of the linear-Gaussian model with 20 latents, forward and backward: by the D×D covariance, in O(D³), and by the
/// 20×20 matrix of the latents.
fn evidence(c: &mut Criterion) {
    type Road = for<'t> fn(&LinearGaussian<'t, f32>, Var<'t, f32>) -> Result<Var<'t, f32>, BadData>;
    let roads: [(&str, Road); 2] = [
        ("covariance", |model, x| model.log_evidence_by_covariance(x)),
        ("latents", |model, x| model.log_evidence_by_latents(x)),
    ];
    let mut group = c.benchmark_group("background/evidence");
    for dimensions in [50, 200] {
        let (data, weights) = (normal(&[128, dimensions], 0), normal(&[dimensions, 20], 1));
        let mut tape = Tape::new();
        for (name, road) in roads {
            group.bench_function(BenchmarkId::new(name, dimensions), |b| {
                b.iter(|| {
                    let model = LinearGaussian {
                        weights: tape.variable(weights.clone()),
                        offset: tape.constant(normal(&[dimensions], 2)),
                        log_noise: tape.scalar(0.0),
                    };
                    let evidence = road(&model, tape.constant(data.clone())).expect("a Gaussian");
                    black_box(tape.gradients(evidence.sum()).wrt(model.weights));
                    tape.reset();
                });
            });
        }
    }
    group.finish();
}

criterion_group! { name = benches; config = short(); targets = enumeration, evidence }
criterion_main!(benches);
