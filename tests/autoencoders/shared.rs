//! Small autoencoders with random weights.

pub mod sequences;

use elbo::autodiff::{Tape, Var};
use elbo::autoencoders::{Autoencoder, ReconstructionLoss, Structure};
use elbo::distributions::noise::stream;
use elbo::nn::{Activation, Batch, Bound, Model, Parameters, Step};
use ndarray::{Array2, ArrayD};
use rand::rngs::StdRng;

use crate::common::random::random;

/// σ(a) as written.
pub fn sigmoid(a: f64) -> f64 {
    1.0 / (1.0 + (-a).exp())
}

/// Three dimensions, two units, one sigmoid layer.
pub fn small() -> Structure {
    Structure {
        dimensions: 3,
        hidden: Vec::new(),
        code: 2,
        activation: Activation::Tanh,
        code_activation: Activation::Sigmoid,
        tied: false,
        loss: ReconstructionLoss::SquaredError,
    }
}

/// The networks with every parameter drawn, biases too, and the values in their order.
pub fn networks(
    structure: Structure,
    rng: &mut StdRng,
) -> (Autoencoder, Parameters<f64>, Vec<ArrayD<f64>>) {
    let mut parameters = Parameters::new();
    let networks = Autoencoder::new(structure, &mut parameters, rng);
    let shapes: Vec<(String, Vec<usize>)> = (parameters.iter())
        .map(|(name, value)| (name.to_owned(), value.shape().to_vec()))
        .collect();
    let mut values = Vec::new();
    for (name, shape) in shapes {
        let value = random(rng, &shape) * 0.5;
        parameters.set(&name, value.clone()).unwrap();
        values.push(value);
    }
    (networks, parameters, values)
}

/// The loss of a model from its parameters, with the same noise every time, as in a training step.
pub fn loss<'t>(
    model: &impl Model<f64>,
    v: &[Var<'t, f64>],
    x: &Array2<f64>,
    number: usize,
) -> Var<'t, f64> {
    let p = Bound::from_vars(v);
    let batch = Batch::from(p.tape().constant(x.clone()));
    let mut step = Step {
        number,
        training: true,
        rng: &mut stream(1, "frozen", 0),
    };
    model.objective(&p, &batch, &mut step).loss
}

/// Entries between 0 and 1.
pub fn grey(rng: &mut StdRng, shape: [usize; 2]) -> Array2<f64> {
    let array = random(rng, &shape).mapv(|x| 0.25 * (x + 2.0));
    array.into_dimensionality().unwrap()
}

/// The gradients of a number made of variables with these values.
pub fn gradients(
    values: &[ArrayD<f64>],
    f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
) -> (f64, Vec<ArrayD<f64>>) {
    let tape = Tape::new();
    let v: Vec<Var<'_, f64>> = values.iter().map(|x| tape.variable(x.clone())).collect();
    let y = f(&v);
    let gradients = tape.gradients(y);
    let each = v.iter().map(|&v| gradients.wrt(v).into_owned());
    (y.item(), each.collect())
}
