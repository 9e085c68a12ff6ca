//! Encoder and decoder, and the error of what comes out ([notes](crate::autoencoders#autoencoder)).

use std::fmt;

use ndarray::{Array1, Array2, ArrayView2};
use rand::Rng;

use crate::Scalar;
use crate::autodiff::{Mask, Tape, Var, array};
use crate::distributions::Bernoulli;
use crate::nn::{
    Activation, Batch, Bound, Initialisation, Model, Objective, ParameterId, Parameters, Step,
    dense,
};

/// How a reconstruction is compared with the datum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "cli", serde(rename_all = "kebab-case"))]
pub enum ReconstructionLoss {
    /// ‖x - f‖², the sum over dimensions; the decoder's output is f.
    #[default]
    SquaredError,
    /// -Σ [x log σ(a) + (1 - x) log σ(-a)] in nats, for data in [0, 1]; the decoder's output is the logits a.
    CrossEntropy,
}

impl fmt::Display for ReconstructionLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SquaredError => "squared error",
            Self::CrossEntropy => "cross-entropy",
        })
    }
}

impl ReconstructionLoss {
    /// The error of the decoder's `output` for data x of shape (…, D), summed over the last axis: of shape (…).
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn of<'t, T: Scalar>(self, output: Var<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        match self {
            Self::SquaredError => (output - x).square().sum_last(),
            Self::CrossEntropy => -Bernoulli { logits: output }.log_density(x),
        }
    }

    /// The reconstruction that a decoder's `output` stands for.
    pub fn mean<T: Scalar>(self, output: Var<'_, T>) -> Var<'_, T> {
        match self {
            Self::SquaredError => output,
            Self::CrossEntropy => output.sigmoid(),
        }
    }
}

/// What an [`Autoencoder`] is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Structure {
    /// The number of dimensions D of a datum.
    pub dimensions: usize,
    /// The widths of the encoder's hidden layers, from data to code; the decoder's are the same in reverse.
    pub hidden: Vec<usize>,
    /// The number of units of the code.
    pub code: usize,
    /// The function after each hidden layer.
    pub activation: Activation,
    /// The function after the code's layer.
    pub code_activation: Activation,
    /// Are the decoder's weights the transposes of the encoder's? Each layer has a bias of its own in either case.
    pub tied: bool,
    /// How reconstructions are compared with data.
    pub loss: ReconstructionLoss,
}

impl Default for Structure {
    /// 784-400-64, ReLU, a linear code, weights of their own, squared error.
    fn default() -> Self {
        Self {
            dimensions: 784,
            hidden: vec![400],
            code: 64,
            activation: Activation::Relu,
            code_activation: Activation::Identity,
            tied: false,
            loss: ReconstructionLoss::SquaredError,
        }
    }
}

/// A layer whose weights may be another layer's, transposed.
#[derive(Clone, Copy, Debug)]
struct Layer {
    weight: ParameterId,
    transposed: bool,
    bias: ParameterId,
    activation: Activation,
}

impl Layer {
    /// W, of shape (outputs, inputs).
    fn weight<'t, T: Scalar>(&self, p: &Bound<'t, T>) -> Var<'t, T> {
        match self.transposed {
            true => p[self.weight].t(),
            false => p[self.weight],
        }
    }

    fn forward<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        dense(x, self.weight(p), p[self.bias], self.activation)
    }
}

/// x → h = g(x) → f(h), which is to come out near x.
///
/// It holds the structure; the weights are in [`Parameters`], under the names `encoder.0.weight`, `encoder.0.bias`, … ,
/// `decoder.0.weight`, `decoder.0.bias`, …; with tied weights the decoder has biases only.
#[derive(Clone, Debug)]
pub struct Autoencoder {
    structure: Structure,
    encoder: Vec<Layer>,
    decoder: Vec<Layer>,
}

impl Autoencoder {
    /// Adds weights to `parameters`, drawn after Glorot; biases are 0.
    ///
    /// # Panics
    /// If a width is 0.
    pub fn new<T: Scalar>(
        structure: Structure,
        parameters: &mut Parameters<T>,
        rng: &mut impl Rng,
    ) -> Self {
        let down: Vec<usize> = [
            &[structure.dimensions],
            structure.hidden.as_slice(),
            &[structure.code],
        ]
        .concat();
        let count = down.len() - 1;
        let mut draw = |name: String, outputs, inputs, parameters: &mut Parameters<T>| {
            let weight: Array2<T> = Initialisation::Glorot.draw(outputs, inputs, rng);
            parameters.add(name, weight)
        };
        let zeros = |n: usize| Array1::<T>::zeros(n);
        let encoder: Vec<Layer> = (0..count)
            .map(|i| {
                let (inputs, outputs) = (down[i], down[i + 1]);
                let name = format!("encoder.{}", 2 * i);
                Layer {
                    weight: draw(format!("{name}.weight"), outputs, inputs, parameters),
                    transposed: false,
                    bias: parameters.add(format!("{name}.bias"), zeros(outputs)),
                    activation: match i + 1 == count {
                        true => structure.code_activation,
                        false => structure.activation,
                    },
                }
            })
            .collect();
        let decoder = (0..count)
            .map(|i| {
                let (inputs, outputs) = (down[count - i], down[count - 1 - i]);
                let name = format!("decoder.{}", 2 * i);
                let weight = match structure.tied {
                    true => encoder[count - 1 - i].weight,
                    false => draw(format!("{name}.weight"), outputs, inputs, parameters),
                };
                Layer {
                    weight,
                    transposed: structure.tied,
                    bias: parameters.add(format!("{name}.bias"), zeros(outputs)),
                    activation: match i + 1 == count {
                        true => Activation::Identity,
                        false => structure.activation,
                    },
                }
            })
            .collect();
        Self {
            structure,
            encoder,
            decoder,
        }
    }

    /// What it is made of.
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// The code h = g(x), of shape (…, code), for data of shape (…, D).
    ///
    /// # Panics
    /// If the data have another number of dimensions.
    pub fn encode<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        self.encoder.iter().fold(x, |x, layer| layer.forward(p, x))
    }

    /// The code before its activation: for a sigmoid, its logits.
    ///
    /// # Panics
    /// If the data have another number of dimensions.
    pub fn encode_before_activation<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        x: Var<'t, T>,
    ) -> Var<'t, T> {
        let (last, others) = self.encoder.split_last().expect("there is a layer");
        let x = others.iter().fold(x, |x, layer| layer.forward(p, x));
        let linear = Layer {
            activation: Activation::Identity,
            ..*last
        };
        linear.forward(p, x)
    }

    /// The outputs of every layer of the encoder, the code last.
    pub(super) fn encoder_outputs<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        x: Var<'t, T>,
    ) -> Vec<Var<'t, T>> {
        let mut outputs = Vec::with_capacity(self.encoder.len());
        self.encoder.iter().fold(x, |x, layer| {
            let y = layer.forward(p, x);
            outputs.push(y);
            y
        });
        outputs
    }

    /// The activation and the weights of every layer of the encoder.
    pub(super) fn encoder_layers<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
    ) -> Vec<(Activation, Var<'t, T>)> {
        let layers = self.encoder.iter();
        layers
            .map(|layer| (layer.activation, layer.weight(p)))
            .collect()
    }

    /// The decoder's output for codes of shape (…, code): the reconstruction, or for
    /// [`CrossEntropy`](ReconstructionLoss::CrossEntropy) its logits.
    ///
    /// # Panics
    /// If the codes have another number of units.
    pub fn decode<'t, T: Scalar>(&self, p: &Bound<'t, T>, code: Var<'t, T>) -> Var<'t, T> {
        let layers = self.decoder.iter();
        layers.fold(code, |h, layer| layer.forward(p, h))
    }

    /// The error of the reconstruction of `target` from `code`, of shape (…), summed over dimensions.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn error<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        code: Var<'t, T>,
        target: Var<'t, T>,
    ) -> Var<'t, T> {
        self.structure.loss.of(self.decode(p, code), target)
    }
}

/// A model that turns data into codes and codes into reconstructions.
pub trait Coding {
    /// The networks.
    fn autoencoder(&self) -> &Autoencoder;

    /// The code of data of shape (…, D), as it is used after training.
    fn code<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        self.autoencoder().encode(p, x)
    }

    /// Which units of the codes of data of shape (N, D) are let through, of shape (N, code): the derivatives of the others are
    /// 0. None if all are.
    fn kept_units<'t, T: Scalar>(&self, _: &Bound<'t, T>, _: Var<'t, T>) -> Option<Mask> {
        None
    }

    /// The code of data of shape (N, D), off the tape.
    ///
    /// # Panics
    /// If the data have another number of dimensions.
    fn codes<T: Scalar>(&self, parameters: &Parameters<T>, data: ArrayView2<'_, T>) -> Array2<T> {
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        array(self.code(&p, tape.constant(data)).value())
    }

    /// Data of shape (N, D) after they have gone through the code, off the tape.
    ///
    /// # Panics
    /// If the data have another number of dimensions.
    fn reconstructions<T: Scalar>(
        &self,
        parameters: &Parameters<T>,
        data: ArrayView2<'_, T>,
    ) -> Array2<T> {
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        let autoencoder = self.autoencoder();
        let output = autoencoder.decode(&p, self.code(&p, tape.constant(data)));
        array(autoencoder.structure.loss.mean(output).value())
    }
}

impl Coding for Autoencoder {
    fn autoencoder(&self) -> &Autoencoder {
        self
    }
}

impl<T: Scalar> Model<T> for Autoencoder {
    /// The error of the reconstructions, the mean over the batch.
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        _: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let error = self.error(p, self.encode(p, batch.data), batch.data).mean();
        Objective::new(error, vec![("error", error)])
    }
}

/// f'(a), entry by entry, from y = f(a) alone.
pub fn slope_from_output<T: Scalar>(activation: Activation, y: Var<'_, T>) -> Var<'_, T> {
    match activation {
        Activation::Identity => y.tape().full(&y.shape(), T::one()),
        Activation::Relu => y.tape().full(&y.shape(), T::one()).where_positive(y),
        Activation::Tanh => y.square().subtracted_from(T::one()),
        Activation::Sigmoid => y * y.subtracted_from(T::one()),
        // f'(a) = σ(a) = 1 - e^-y.
        Activation::Softplus => -(-y).expm1(),
    }
}
