//! The step of an autoencoder of chapter 6: forward and backward on the tape, Adam.

use elbo::autodiff::{Tape, Value};
use elbo::autoencoders::{
    Autoencoder, Contractive, Corruption, Denoising, KSparse, ReconstructionLoss, Sparse, Structure,
};
use elbo::distributions::noise::stream;
use elbo::nn::{Activation, Adam, Model, Parameters, Step};

/// The names that `--model` takes beside `vae`.
pub const NAMES: [&str; 6] = [
    "autoencoder",
    "tied",
    "denoising",
    "sparse",
    "k-sparse",
    "contractive",
];

/// The times of the steps of the model of this name, with layers from the data's width to the code's.
pub fn times(name: &str, widths: &[usize], x: &Value<f32>, steps: usize) -> Vec<f64> {
    let [dimensions, hidden @ .., code] = widths else {
        panic!("the widths of data and code at least, found {widths:?}")
    };
    let plain = Structure {
        dimensions: *dimensions,
        hidden: hidden.to_vec(),
        code: *code,
        ..Structure::default()
    };
    let linear = Structure {
        tied: true,
        ..plain.clone()
    };
    let sigmoid = Structure {
        activation: Activation::Sigmoid,
        code_activation: Activation::Sigmoid,
        loss: ReconstructionLoss::CrossEntropy,
        ..linear.clone()
    };
    let masking = Corruption::Masking { fraction: 0.25 };
    match name {
        "autoencoder" => time(plain, |networks| networks, x, steps),
        "tied" => time(sigmoid, |networks| networks, x, steps),
        "denoising" => time(sigmoid, |n| Denoising::new(n, masking), x, steps),
        "sparse" => time(sigmoid, |n| Sparse::new(n, 0.1, 3.0), x, steps),
        "k-sparse" => time(linear, |n| KSparse::new(n, 25.0), x, steps),
        "contractive" => time(sigmoid, |n| Contractive::new(n, 0.1), x, steps),
        _ => panic!("{name}: not among {NAMES:?}"),
    }
}

fn time<M: Model<f32>>(
    structure: Structure,
    around: impl Fn(Autoencoder) -> M,
    x: &Value<f32>,
    steps: usize,
) -> Vec<f64> {
    let mut parameters = Parameters::new();
    let networks = Autoencoder::new(structure, &mut parameters, &mut stream(1, "weights", 0));
    let model = around(networks);
    let (mut tape, mut adam, mut rng) = (Tape::new(), Adam::new(1e-3), stream(1, "noise", 0));
    crate::time(steps, || {
        let (loss, gradients) = parameters.value_and_gradients(&mut tape, |p| {
            let batch = p.tape().constant(x.clone()).into();
            let loss = model
                .objective(p, &batch, &mut Step::evaluation(&mut rng))
                .loss;
            (loss, loss.item())
        });
        adam.step(&mut parameters, &gradients);
        loss
    })
}
