//! What a training step of each autoencoder costs, and the parts that are its own: corruption, rates, support, Jacobian, shapes.

use std::hint::black_box;

use common::{normal, short, uniform};
use criterion::{Criterion, criterion_group, criterion_main};
use elbo::autodiff::{Tape, Value};
use elbo::autoencoders::{
    Autoencoder, BetaVae, CodeCost, Contractive, Corruption, Denoising, JacobianNorm, KSparse,
    ReconstructionLoss, SmoothedMixture, Sparse, Structure, sigmoid_expansion, sparsity, support,
    tempered_evidence,
};
use elbo::data::{Shapes, Source};
use elbo::distributions::noise::stream;
use elbo::nn::{Activation, Adam, Model, Parameters, Step};
use elbo::vae::{Architecture, Vae};

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

/// Times the step of an autoencoder on images of 784 pixels.
fn step<M: Model<f32>>(
    c: &mut Criterion,
    name: &str,
    structure: Structure,
    around: impl Fn(Autoencoder) -> M,
) {
    let mut parameters = Parameters::new();
    let networks = Autoencoder::new(structure, &mut parameters, &mut stream(1, "weights", 0));
    step_of(c, name, parameters, &around(networks), 784);
}

/// Times the step of a model: forward and backward on the tape, Adam.
fn step_of<M: Model<f32>>(
    c: &mut Criterion,
    name: &str,
    mut parameters: Parameters<f32>,
    model: &M,
    pixels: usize,
) {
    let (mut tape, mut adam, mut rng) = (Tape::new(), Adam::new(1e-3), stream(1, "noise", 0));
    let x: Value<f32> = uniform(&[BATCH, pixels]);
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

/// The β-VAE of `elbo train beta-vae`, the shapes that it is trained on, and tempering.
fn prices(c: &mut Criterion) {
    let architecture = Architecture {
        dimensions: 1024,
        hidden: vec![256, 256],
        latent: 10,
        ..Architecture::default()
    };
    for (name, cost) in [
        ("beta-vae", CodeCost::Weight(4.0.into())),
        (
            "beta-vae-capacity",
            CodeCost::Capacity {
                weight: 100.0,
                capacity: 25.0.into(),
            },
        ),
    ] {
        let mut parameters = Parameters::new();
        let mut rng = stream(1, "weights", 0);
        let vae = Vae::new(architecture.clone(), &mut parameters, &mut rng);
        step_of(c, name, parameters, &BetaVae::new(vae, cost), 1024);
    }
    let [shapes, _] = Shapes::split(32, 51_200, 10_000);
    let (indices, mut tape) = (Vec::from_iter(0..BATCH), Tape::<f32>::new());
    let mut rng = stream(1, "noise", 0);
    c.bench_function("autoencoders/beta-vae/shapes", |b| {
        b.iter(|| {
            black_box(shapes.batch(&tape, &indices, &mut rng));
            tape.reset();
        });
    });
    let terms = [0, 1].map(|seed| normal(&[BATCH, 500], seed));
    c.bench_function("autoencoders/beta-tempers/evidence", |b| {
        b.iter(|| {
            let [log_prior, log_likelihood] = [0, 1].map(|i| tape.variable(terms[i].clone()));
            let evidence = tempered_evidence(log_prior, log_likelihood, 4.0).sum();
            black_box(tape.gradients(evidence).wrt(log_likelihood));
            tape.reset();
        });
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
    targets = steps, prices, parts
}
criterion_main!(benches);
