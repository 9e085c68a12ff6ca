//! What a training step of a VAE costs: noise, forward, backward, Adam.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use elbo::autodiff::Tape;
use elbo::data::{Binarisation, Dataset};
use elbo::distributions::noise::stream;
use elbo::nn::{Adam, Model, Parameters};
use elbo::vae::{Architecture, Vae};

fn step(c: &mut Criterion) {
    let data = Dataset::embedded();
    let mut group = c.benchmark_group("vae/vae-elbo");
    for batch in [16, 128, 1024] {
        let mut parameters = Parameters::<f32>::new();
        let vae = Vae::new(
            Architecture::default(),
            &mut parameters,
            &mut stream(1, "weights", 0),
        );
        let (mut tape, mut adam) = (Tape::new(), Adam::new(1e-3));
        let mut rng = stream(1, "noise", 0);
        let indices: Vec<usize> = (0..batch).collect();
        let x = data
            .train
            .batch::<f32>(&indices, Binarisation::None, &mut rng)
            .into_shared();
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new("784-400-20", batch), |b| {
            b.iter(|| {
                let ((), gradients) = parameters.value_and_gradients(&mut tape, |p| {
                    let objective = vae.objective(p, p.tape().constant(x.clone()), &mut rng);
                    (objective.loss, ())
                });
                adam.step(&mut parameters, &gradients);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
