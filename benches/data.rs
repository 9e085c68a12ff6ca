//! What a batch costs: from bytes to numbers, into an array that is there already.

use common::short;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use elbo::data::{Binarisation, Dataset};
use elbo::distributions::noise::stream;
use ndarray::Array2;

mod common;

/// 128 images of digits, for each way to make grey pixels binary: in data per second, to be held against those of a
/// training step.
fn batch_into(c: &mut Criterion) {
    const BATCH: usize = 128;
    let mut group = c.benchmark_group("data/batch");
    let images = Dataset::embedded().train;
    // From all over the set, as a shuffled epoch takes them.
    let indices: Vec<usize> = (0..BATCH).map(|i| i * 7919 % images.len()).collect();
    let mut batch = Array2::<f32>::zeros((BATCH, images.dimensions()));
    let mut rng = stream(1, "bench", 0);
    group.throughput(Throughput::Elements(BATCH as u64));
    for binarisation in Binarisation::ALL {
        group.bench_function(binarisation.to_string(), |b| {
            b.iter(|| images.batch_into(&indices, binarisation, &mut rng, batch.view_mut()));
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = short(); targets = batch_into }
criterion_main!(benches);
