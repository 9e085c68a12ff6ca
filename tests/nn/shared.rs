//! Layers by loops over single numbers, and small networks with given gradients.

use elbo::autodiff::Tape;
use elbo::nn::{Activation, Initialisation, Mlp, ParameterGradients, Parameters};
use ndarray::{ArrayD, arr1, arr2};
use rand::rngs::StdRng;

use crate::common::random::{random, rng};

/// A dense layer and its data.
pub struct Layer {
    pub x: ArrayD<f64>,
    pub weight: ArrayD<f64>,
    pub bias: ArrayD<f64>,
}

impl Layer {
    pub fn random(rng: &mut StdRng, (leading, inputs, outputs): (&[usize], usize, usize)) -> Self {
        Self {
            x: random(rng, &[leading, &[inputs]].concat()),
            weight: random(rng, &[outputs, inputs]),
            bias: random(rng, &[outputs]),
        }
    }

    pub fn inputs(&self) -> [ArrayD<f64>; 3] {
        [self.x.clone(), self.weight.clone(), self.bias.clone()]
    }

    pub fn output_shape(&self) -> Vec<usize> {
        let mut shape = self.x.shape().to_vec();
        *shape.last_mut().unwrap() = self.bias.len();
        shape
    }
}

/// Within 10⁻¹² of the largest entry expected.
pub fn assert_close(what: &str, found: &ArrayD<f64>, expected: &ArrayD<f64>) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    let scale = expected.iter().fold(0.0, |s: f64, x| s.max(x.abs()));
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= 1e-12 * scale, "{what}: {f} and {e}");
    }
}

/// The activation f and its slope f'.
pub fn activation_by_hand(activation: Activation, a: f64) -> (f64, f64) {
    let sigmoid = 1.0 / (1.0 + (-a).exp());
    match activation {
        Activation::Identity => (a, 1.0),
        Activation::Relu => (a.max(0.0), if a > 0.0 { 1.0 } else { 0.0 }),
        Activation::Tanh => (a.tanh(), 1.0 / a.cosh().powi(2)),
        Activation::Sigmoid => (sigmoid, sigmoid * (1.0 - sigmoid)),
        Activation::Softplus => ((1.0 + a.exp()).ln(), sigmoid),
    }
}

/// y, x̄, W̄ and b̄ by loops over single numbers.
pub fn naive(layer: &Layer, activation: Activation, cotangent: &ArrayD<f64>) -> [ArrayD<f64>; 4] {
    let (outputs, inputs) = (layer.weight.shape()[0], layer.weight.shape()[1]);
    let rows = layer.x.len() / inputs;
    let x: Vec<f64> = layer.x.iter().copied().collect();
    let c: Vec<f64> = cotangent.iter().copied().collect();
    let mut y = vec![0.0; rows * outputs];
    let mut x_bar = vec![0.0; rows * inputs];
    let mut w_bar = ArrayD::zeros(layer.weight.raw_dim());
    let mut b_bar = ArrayD::zeros(layer.bias.raw_dim());
    for r in 0..rows {
        for o in 0..outputs {
            let mut a = layer.bias[[o]];
            for i in 0..inputs {
                a += layer.weight[[o, i]] * x[r * inputs + i];
            }
            let (value, slope) = activation_by_hand(activation, a);
            y[r * outputs + o] = value;
            let a_bar = c[r * outputs + o] * slope;
            b_bar[[o]] += a_bar;
            for i in 0..inputs {
                w_bar[[o, i]] += a_bar * x[r * inputs + i];
                x_bar[r * inputs + i] += a_bar * layer.weight[[o, i]];
            }
        }
    }
    let y = ArrayD::from_shape_vec(layer.output_shape(), y).unwrap();
    let x_bar = ArrayD::from_shape_vec(layer.x.raw_dim(), x_bar).unwrap();
    [y, x_bar, w_bar, b_bar]
}

/// A network with random weights, named `encoder`.
pub fn network(widths: &[usize], activation: Activation) -> (Parameters<f64>, Mlp) {
    let mut parameters = Parameters::new();
    let net = Mlp::new(
        &mut parameters,
        "encoder",
        widths,
        activation,
        Initialisation::Glorot,
        &mut rng(21),
    );
    (parameters, net)
}

/// The gradients of a loss Σ g ⊙ θ, which are exactly g.
pub fn gradients_of(
    parameters: &Parameters<f64>,
    given: &[ArrayD<f64>],
) -> ParameterGradients<f64> {
    let mut tape = Tape::new();
    let (_, gradients) = parameters.value_and_gradients(&mut tape, |p| {
        let terms = p.vars().iter().zip(given);
        let loss = terms
            .map(|(&var, g)| (var * p.tape().constant(g.clone())).sum())
            .reduce(|a, b| a + b)
            .expect("a parameter");
        (loss, ())
    });
    for (found, given) in gradients.values().iter().zip(given) {
        assert_eq!(found, given);
    }
    gradients
}

/// A matrix `a` and a vector `b`.
pub fn two_parameters() -> Parameters<f64> {
    let mut parameters = Parameters::new();
    parameters.add("a", arr2(&[[0.5, -1.5, 2.0], [1.0, 0.25, -0.75]]));
    parameters.add("b", arr1(&[3.0, -0.1]));
    parameters
}

/// Three steps' gradients for [`two_parameters`], of very different sizes.
pub fn three_gradients() -> Vec<[ArrayD<f64>; 2]> {
    [1.0, 1e-3, 40.0]
        .into_iter()
        .zip(41..)
        .map(|(scale, seed)| {
            let mut rng = rng(seed);
            [random(&mut rng, &[2, 3]), random(&mut rng, &[2])].map(|g| g * scale)
        })
        .collect()
}
