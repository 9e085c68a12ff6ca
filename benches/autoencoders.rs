//! What a training step of each autoencoder costs, and the parts that are its own: corruption, rates, support, Jacobian.

use std::hint::black_box;

use common::{normal, short, uniform};
use criterion::{Criterion, criterion_group, criterion_main};
use elbo::autodiff::{Tape, Value};
use elbo::autoencoders::{
    Autoencoder, Contractive, Corruption, Denoising, JacobianNorm, KSparse, ReconstructionLoss,
    SmoothedMixture, Sparse, Structure, TdStructure, TdVae, sigmoid_expansion, sparsity, support,
};
use elbo::data::noisy_autoregression;
use elbo::distributions::noise::stream;
use elbo::nn::{Activation, Adam, Model, Parameters, Step};

mod common;

/// Images in a step.
const BATCH: usize = 128;

/// One layer of 500 sigmoid units with tied weights, on the cross-entropy.
fn tied() -> Structure {
    Structure {
        hidden: Vec::new(),
        code: 500,
        code_activation: Activation::Sigmoid,
        tied: true,
        loss: ReconstructionLoss::CrossEntropy,
        ..Structure::default()
    }
}

/// Times the step of a model of images: forward and backward on the tape, Adam.
fn step<M: Model<f32>>(
    c: &mut Criterion,
    name: &str,
    structure: Structure,
    around: impl Fn(Autoencoder) -> M,
) {
    let mut parameters = Parameters::new();
    let networks = Autoencoder::new(structure, &mut parameters, &mut stream(1, "weights", 0));
    train(
        c,
        name,
        &around(networks),
        parameters,
        &uniform(&[BATCH, 784]),
    );
}

/// Times steps on the same data.
fn train(
    c: &mut Criterion,
    name: &str,
    model: &impl Model<f32>,
    mut parameters: Parameters<f32>,
    x: &Value<f32>,
) {
    let (mut tape, mut adam, mut rng) = (Tape::new(), Adam::new(1e-3), stream(1, "noise", 0));
    c.bench_function(&format!("autoencoders/{name}/step"), |b| {
        b.iter(|| {
            let (loss, gradients) = parameters.value_and_gradients(&mut tape, |p| {
                let batch = p.tape().constant(x.clone()).into();
                let mut step = Step {
                    number: 0,
                    training: true,
                    rng: &mut rng,
                };
                let loss = model.objective(p, &batch, &mut step).loss;
                (loss, loss.item())
            });
            adam.step(&mut parameters, &gradients);
            black_box(loss)
        });
    });
}

fn steps(c: &mut Criterion) {
    let linear = Structure {
        hidden: Vec::new(),
        code: 32,
        activation: Activation::Identity,
        ..Structure::default()
    };
    step(c, "linear-autoencoder-is-pca", linear, |networks| networks);
    step(c, "autoencoder", Structure::default(), |networks| networks);
    let masking = Corruption::Masking { fraction: 0.25 };
    step(c, "denoising", tied(), |networks| {
        Denoising::new(networks, masking)
    });
    let noise = Corruption::Gaussian { deviation: 0.5 };
    step(c, "denoising-gaussian", tied(), |networks| {
        Denoising::new(networks, noise)
    });
    step(c, "sparse", tied(), |networks| {
        Sparse::new(networks, 0.1, 3.0)
    });
    step(c, "contractive", tied(), |networks| {
        Contractive::new(networks, 0.1)
    });
    let deep = Structure {
        hidden: vec![400],
        code: 64,
        activation: Activation::Sigmoid,
        ..tied()
    };
    step(c, "contractive-deep", deep, |networks| {
        Contractive::new(networks, 0.1).with_norm(JacobianNorm::Sampled(1))
    });
    let wide = Structure {
        code: 1000,
        code_activation: Activation::Identity,
        loss: ReconstructionLoss::SquaredError,
        ..tied()
    };
    step(c, "k-sparse", wide, |networks| KSparse::new(networks, 25.0));
}

/// Sequences in a step, and their frames.
const SEQUENCES: [usize; 2] = [32, 20];

/// A TD-VAE on frames of 14 x 14 pixels, from one step to the next and over jumps of 1 to 4.
fn sequences(c: &mut Criterion) {
    let [count, time] = SEQUENCES;
    let x: Value<f32> = uniform(&[count, time, 196]);
    for (name, jumps) in [("td-vae-one-step", (1, 1)), ("td-vae-jumpy", (1, 4))] {
        let structure = TdStructure {
            jumps,
            ..TdStructure::default()
        };
        let mut parameters = Parameters::new();
        let model = TdVae::new(structure, &mut parameters, &mut stream(1, "weights", 0));
        train(c, name, &model, parameters, &x);
    }
    // What a learnt belief is compared with: of one sequence.
    let system = noisy_autoregression();
    let (_, seen) = system.sample(time, &mut stream(1, "sequence", 0));
    c.bench_function("autoencoders/td-vae-one-step/filter-and-smoother", |b| {
        b.iter(|| {
            let filtered = system.filter(seen.view()).expect("variances");
            black_box(system.smooth(&filtered.states).expect("variances"))
        });
    });
    c.bench_function("autoencoders/td-vae-jumpy/log-predictive", |b| {
        b.iter(|| black_box(system.log_predictive(seen.view(), 4).expect("variances")));
    });
}

fn parts(c: &mut Criterion) {
    let (x, codes) = (uniform(&[BATCH, 784]), uniform(&[BATCH, 500]));
    let mut tape = Tape::new();
    for (name, corruption) in [
        ("masking", Corruption::Masking { fraction: 0.25 }),
        (
            "salt-and-pepper",
            Corruption::SaltAndPepper { fraction: 0.25 },
        ),
        ("gaussian", Corruption::Gaussian { deviation: 0.5 }),
    ] {
        let mut rng = stream(1, "noise", 0);
        c.bench_function(&format!("autoencoders/denoising/{name}"), |b| {
            b.iter(|| {
                black_box(
                    corruption
                        .corrupt(tape.constant(x.clone()), &mut rng)
                        .value(),
                );
                tape.reset();
            });
        });
    }
    c.bench_function("autoencoders/sparse/penalty", |b| {
        b.iter(|| {
            let h = tape.variable(codes.clone());
            black_box(tape.gradients(sparsity(h, 0.1)).wrt(h));
            tape.reset();
        });
    });
    let z = normal(&[BATCH, 1000], 0);
    c.bench_function("autoencoders/k-sparse/support", |b| {
        b.iter(|| black_box(support(&z, 25)));
    });
    let weight = normal(&[500, 784], 1);
    c.bench_function("autoencoders/denoising-to-contractive/coefficients", |b| {
        b.iter(|| {
            let [h, w] = [&codes, &weight].map(|value| tape.constant(value.clone()));
            black_box(sigmoid_expansion(h, w)[1].value());
            tape.reset();
        });
    });
    let data = x
        .view()
        .into_dimensionality()
        .expect("a matrix")
        .mapv(f64::from);
    let smoothed = SmoothedMixture::of_data(data.view(), 0.5);
    let own = Tape::<f64>::new();
    let noisy = own.constant(data.view());
    c.bench_function("autoencoders/denoising-is-score-matching/denoised", |b| {
        b.iter(|| black_box(smoothed.denoised(noisy).value()));
    });
}

criterion_group! {
    name = benches;
    config = short();
    targets = steps, sequences, parts
}
criterion_main!(benches);
