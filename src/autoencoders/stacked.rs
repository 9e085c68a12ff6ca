//! Denoising autoencoders on top of each other ([notes](crate::autoencoders#denoising)).

use ndarray::{Array2, ArrayView2, Axis, concatenate};
use rand::rngs::StdRng;

use super::{Autoencoder, Coding, Corruption, Denoising, ReconstructionLoss, Structure};
use crate::Scalar;
use crate::autodiff::Value;
use crate::nn::{Activation, Parameters};

/// Rows of data that are encoded at once.
const BATCH: usize = 1024;

/// What a stack is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Stacked {
    /// The units of each layer, from the data upwards.
    pub widths: Vec<usize>,
    /// How the inputs of every layer are corrupted while it is trained: its own inputs, the codes of the layers below, which
    /// themselves see clean data.
    pub corruption: Corruption,
}

/// A layer that is to be trained.
#[derive(Debug)]
pub struct StackedLayer<'a, T: Scalar> {
    /// From 0.
    pub index: usize,
    /// Its autoencoder.
    pub model: &'a Denoising,
    /// With fresh weights.
    pub parameters: Parameters<T>,
    /// The codes of each set of data under the layers below; for the first layer, the data.
    pub sets: &'a [Array2<T>],
}

impl Stacked {
    /// Trains one layer after the other (Vincent et al., *Stacked denoising autoencoders*, 2010, section 3.5): each is a tied
    /// sigmoid layer that restores the codes of the layers below from corrupted ones, on the cross-entropy. `train` returns the
    /// parameters of a trained layer. With a corruption that changes nothing, it is a stack of plain autoencoders.
    ///
    /// # Errors
    /// Those of `train`.
    ///
    /// # Panics
    /// If there is no set of data, the sets differ in width, or a width is 0.
    pub fn pretrain<T: Scalar, E>(
        &self,
        mut sets: Vec<Array2<T>>,
        rng: &mut StdRng,
        mut train: impl FnMut(StackedLayer<'_, T>) -> Result<Parameters<T>, E>,
    ) -> Result<Encoders<T>, E> {
        let mut layers = Vec::new();
        for (index, &code) in self.widths.iter().enumerate() {
            let structure = Structure {
                dimensions: sets[0].ncols(),
                hidden: Vec::new(),
                code,
                code_activation: Activation::Sigmoid,
                tied: true,
                loss: ReconstructionLoss::CrossEntropy,
                ..Structure::default()
            };
            let mut parameters = Parameters::new();
            let networks = Autoencoder::new(structure, &mut parameters, rng);
            let model = Denoising::new(networks, self.corruption);
            let trained = train(StackedLayer {
                index,
                model: &model,
                parameters,
                sets: &sets,
            })?;
            for set in &mut sets {
                *set = by_rows(set.view(), |x| model.codes(&trained, x));
            }
            let part = |name: &str| trained.get(name).expect("an encoder's").clone();
            layers.push([part("encoder.0.weight"), part("encoder.0.bias")]);
        }
        Ok(Encoders { layers })
    }
}

fn by_rows<T: Scalar>(
    x: ArrayView2<'_, T>,
    f: impl FnMut(ArrayView2<'_, T>) -> Array2<T>,
) -> Array2<T> {
    let parts: Vec<Array2<T>> = x.axis_chunks_iter(Axis(0), BATCH).map(f).collect();
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    concatenate(Axis(0), &views).expect("rows of one width")
}

/// The trained encoders of a stack, from the data upwards.
#[derive(Clone, Debug)]
pub struct Encoders<T: Scalar> {
    /// Weight and bias.
    layers: Vec<[Value<T>; 2]>,
}

impl<T: Scalar> Encoders<T> {
    /// Sets the hidden layers of a [`Classifier`](super::Classifier) of the same widths: fine-tuning begins with them, and with
    /// a last layer of its own.
    ///
    /// # Panics
    /// If the parameters are not those of such a classifier.
    pub fn initialise(&self, classifier: &mut Parameters<T>) {
        for (i, [weight, bias]) in self.layers.iter().enumerate() {
            for (kind, value) in [("weight", weight), ("bias", bias)] {
                let name = format!("classifier.{}.{kind}", 2 * i);
                let set = classifier.set(&name, value.clone());
                set.unwrap_or_else(|mismatch| panic!("a stack of other widths: {mismatch}"));
            }
        }
    }
}
