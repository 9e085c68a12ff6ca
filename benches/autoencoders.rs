//! What a training step of each autoencoder costs, and the parts that are its own: corruption, rates, support, Jacobian, shapes.

use std::hint::black_box;

use common::{normal, short, uniform};
use criterion::{Criterion, criterion_group, criterion_main};
use elbo::autodiff::{Tape, Value};
use elbo::autoencoders::{
    Autoencoder, AutoregressivePrior, BetaVae, CodeCost, CodebookUpdate, Contractive, Corruption,
    Denoising, JacobianNorm, KSparse, MovingAverages, PriorStructure, ReconstructionLoss,
    SmoothedMixture, Sparse, Structure, TdStructure, TdVae, VqStructure, VqVae, VqVae2,
    sigmoid_expansion, sparsity, support, tempered_evidence,
};
use elbo::data::{Shapes, Source, noisy_autoregression};
use elbo::distributions::noise::stream;
use elbo::gradients::nearest;
use elbo::nn::{Activation, Adam, Model, Objective, Parameters, Step};
use elbo::vae::{Architecture, Vae};
use ndarray::Array2;
use rand::rngs::StdRng;

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
    step_of(c, name, &[BATCH, 784], |parameters, rng| {
        around(Autoencoder::new(structure, parameters, rng))
    });
}

/// Times the step of a model: forward and backward on the tape, Adam, and the updates that are no gradients.
fn step_of<M: Model<f32>>(
    c: &mut Criterion,
    name: &str,
    shape: &[usize],
    build: impl FnOnce(&mut Parameters<f32>, &mut StdRng) -> M,
) {
    let mut parameters = Parameters::new();
    let model = build(&mut parameters, &mut stream(1, "weights", 0));
    let (mut tape, mut adam, mut rng) = (Tape::new(), Adam::new(1e-3), stream(1, "noise", 0));
    let x: Value<f32> = uniform(shape);
    c.bench_function(&format!("autoencoders/{name}/step"), |b| {
        b.iter(|| {
            let ((loss, buffers), gradients) = parameters.value_and_gradients(&mut tape, |p| {
                let batch = p.tape().constant(x.clone()).into();
                let mut step = Step {
                    number: 0,
                    training: true,
                    rng: &mut rng,
                };
                let Objective { loss, buffers, .. } = model.objective(p, &batch, &mut step);
                (loss, (loss.item(), buffers))
            });
            adam.step(&mut parameters, &gradients);
            for (id, value) in buffers {
                parameters.replace(id, value).expect("of the same shape");
            }
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

/// VQ-VAE and VQ-VAE-2, and what is their own: choosing codes, averaging them, the price of codes.
fn codes(c: &mut Criterion) {
    let by_gradient = VqStructure {
        update: CodebookUpdate::Gradient,
        ..VqStructure::default()
    };
    step_of(
        c,
        "vq-straight-through",
        &[BATCH, 784],
        |parameters, rng| VqVae::new(by_gradient, parameters, rng),
    );
    step_of(c, "vq-ema", &[BATCH, 784], |parameters, rng| {
        VqVae::new(VqStructure::default(), parameters, rng)
    });
    let small = VqStructure {
        codes: 64,
        ..VqStructure::default()
    };
    step_of(c, "vq-vae-2", &[BATCH, 784], |parameters, rng| {
        VqVae2::new(small, 4, parameters, rng)
    });

    let vectors = |shape: [usize; 2], seed| -> Array2<f32> {
        let values: Value<f32> = normal(&shape, seed);
        values.into_dimensionality().expect("a matrix").to_owned()
    };
    let (z, table) = (vectors([BATCH * 16, 16], 0), vectors([128, 16], 1));
    c.bench_function("autoencoders/vq-straight-through/nearest", |b| {
        b.iter(|| black_box(nearest(z.view(), table.view()).expect("finite numbers")));
    });
    let chosen = nearest(z.view(), table.view()).expect("finite numbers");
    let averages = MovingAverages::of(z.view(), &chosen, 128);
    c.bench_function("autoencoders/vq-ema/averages", |b| {
        b.iter(|| black_box(averages.step(&MovingAverages::of(z.view(), &chosen, 128), 0.99)));
    });
    let structure = PriorStructure {
        positions: 16,
        codes: 128,
        embedding: 32,
        hidden: 64,
    };
    let mut parameters = Parameters::<f32>::new();
    let rng = &mut stream(1, "weights", 0);
    let prior = AutoregressivePrior::new(structure, &mut parameters, "prior", rng);
    let numbers = Array2::from_shape_vec((BATCH, 16), chosen).expect("sixteen to an image");
    let mut tape = Tape::new();
    c.bench_function("autoencoders/vq-bound/prior", |b| {
        b.iter(|| {
            let (_, gradients) = parameters.value_and_gradients(&mut tape, |p| {
                (prior.log_probability(p, numbers.view()).mean(), ())
            });
            black_box(gradients);
        });
    });
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
        step_of(c, name, &[BATCH, 1024], |parameters, rng| {
            BetaVae::new(Vae::new(architecture.clone(), parameters, rng), cost)
        });
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

/// Sequences in a step, and their frames.
const SEQUENCES: [usize; 2] = [32, 20];

/// A TD-VAE on frames of 14 x 14 pixels, from one step to the next and over jumps of 1 to 4.
fn sequences(c: &mut Criterion) {
    let [count, time] = SEQUENCES;
    for (name, jumps) in [("td-vae-one-step", (1, 1)), ("td-vae-jumpy", (1, 4))] {
        let structure = TdStructure {
            jumps,
            ..TdStructure::default()
        };
        step_of(c, name, &[count, time, 196], |parameters, rng| {
            TdVae::new(structure, parameters, rng)
        });
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
    targets = steps, prices, codes, sequences, parts
}
criterion_main!(benches);
