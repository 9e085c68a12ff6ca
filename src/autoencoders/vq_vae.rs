//! Codes from a table (van den Oord et al., *Neural discrete representation learning*, 2017;
//! [notes](crate::autoencoders#vq-straight-through)).

use ndarray::{Array2, ArrayView2};
use rand::Rng;
use rand::rngs::StdRng;

use super::{AutoregressivePrior, Codebook, CodebookUpdate, PriorStructure};
use crate::Scalar;
use crate::autodiff::{Tape, Var};
use crate::gradients::straight_through;
use crate::nn::{
    Activation, Batch, Bound, Initialisation, Mlp, Model, Objective, Parameters, Step,
};
use crate::vae::{Decoder, Likelihood, Observation};

/// log p(x|k) - log K for each of K equally likely codes k, from the log-likelihoods along the last axis, in nats: the bound
/// on log p(x) of a q that is sure of one code. It misses log p(x) by -log p(k|x).
///
/// # Panics
/// If there is no axis.
pub fn uniform_code_bounds<T: Scalar>(log_likelihoods: Var<'_, T>) -> Var<'_, T> {
    let codes = log_likelihoods.shape();
    let codes = codes.last().expect("an axis of codes");
    log_likelihoods - T::of((*codes as f64).ln())
}

/// ‖sg(z) - e‖² and ‖z - sg(e)‖², summed over the last axis: what draws the codes to the vectors, and the vectors to the
/// codes. Their values are equal; their gradients go to e alone and to z alone.
///
/// # Panics
/// If the shapes do not fit.
pub fn quadratic_terms<'t, T: Scalar>(z: Var<'t, T>, e: Var<'t, T>) -> [Var<'t, T>; 2] {
    let codes = (z.stop_gradient() - e).square().sum_last();
    let commitment = (z - e.stop_gradient()).square().sum_last();
    [codes, commitment]
}

/// What a [`VqVae`] is made of.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct VqStructure {
    /// The number of dimensions of a datum.
    pub dimensions: usize,
    /// The widths of the encoder's hidden layers, from data to codes; the decoder's are the same in reverse.
    pub hidden: Vec<usize>,
    /// The function after each hidden layer.
    pub activation: Activation,
    /// n, the codes of a datum.
    pub positions: usize,
    /// K, what each of them is one of.
    pub codes: usize,
    /// D, the numbers of a code.
    pub width: usize,
    /// How the codes follow the encoder.
    pub update: CodebookUpdate,
    /// β, the weight of ‖z - sg(e)‖².
    pub commitment: f64,
    /// p(x|e).
    pub likelihood: Likelihood,
    /// The numbers that stand for an earlier code in the prior, and the hidden units of each position.
    pub prior: [usize; 2],
}

impl Default for VqStructure {
    /// 784-512, 16 of 128 codes of 64 numbers, moving averages, β = 1, Bernoulli.
    fn default() -> Self {
        Self {
            dimensions: 784,
            hidden: vec![512],
            activation: Activation::Relu,
            positions: 16,
            codes: 128,
            width: 64,
            update: CodebookUpdate::default(),
            commitment: 1.0,
            likelihood: Likelihood::Bernoulli,
            prior: [32, 64],
        }
    }
}

/// x → n vectors z → the nearest of K codes to each → p(x|e), and p(k) by an autoregressive network.
///
/// It holds the structure; the weights are in [`Parameters`]: `encoder.0.weight`, …, `codebook.codes`, `decoder.0.weight`, …,
/// `prior.embedding`, ….
#[derive(Clone, Debug)]
pub struct VqVae {
    structure: VqStructure,
    encoder: Mlp,
    codebook: Codebook,
    decoder: Decoder,
    prior: AutoregressivePrior,
}

impl VqVae {
    /// Adds weights to `parameters`, drawn after Glorot.
    ///
    /// # Panics
    /// If a width is 0, or the likelihood's or the codebook's numbers are not sound.
    pub fn new<T: Scalar>(
        structure: VqStructure,
        parameters: &mut Parameters<T>,
        rng: &mut impl Rng,
    ) -> Self {
        let VqStructure {
            dimensions,
            ref hidden,
            activation,
            positions,
            codes,
            width,
            update,
            likelihood,
            prior: [embedding, units],
            ..
        } = structure;
        let down = [&[dimensions], hidden.as_slice(), &[positions * width]].concat();
        let up: Vec<usize> = down.iter().rev().copied().collect();
        let glorot = Initialisation::Glorot;
        let encoder = Mlp::new(parameters, "encoder", &down, activation, glorot, rng);
        let codebook = Codebook::new(parameters, "codebook", [codes, width], update, rng);
        let decoder = Decoder::new(likelihood, parameters, &up, activation, rng);
        let prior = PriorStructure {
            positions,
            codes,
            embedding,
            hidden: units,
        };
        let prior = AutoregressivePrior::new(prior, parameters, "prior", rng);
        Self {
            structure,
            encoder,
            codebook,
            decoder,
            prior,
        }
    }

    /// What it is made of.
    pub fn structure(&self) -> &VqStructure {
        &self.structure
    }

    /// The vectors z of data of shape (batch, dimensions), n to a datum, as the rows of a matrix of shape (batch n, D).
    ///
    /// # Panics
    /// If the data have another number of dimensions.
    pub fn encode<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        let z = self.encoder.forward(p, x);
        z.reshape(&[
            x.shape()[0] * self.structure.positions,
            self.structure.width,
        ])
    }

    /// p(x|e) for codes as the rows of a matrix, n to a datum.
    ///
    /// # Panics
    /// If the shape does not fit.
    pub fn decode<'t, T: Scalar>(&self, p: &Bound<'t, T>, e: Var<'t, T>) -> Observation<'t, T> {
        let (n, width) = (self.structure.positions, self.structure.width);
        self.decoder
            .forward(p, e.reshape(&[e.shape()[0] / n, n * width]))
    }
}

/// The numbers of codes with n of them to a datum, of shape (N, n).
pub(super) fn by_datum(chosen: &[usize], positions: usize) -> Array2<usize> {
    let shape = (chosen.len() / positions, positions);
    Array2::from_shape_vec(shape, chosen.to_vec()).expect("n codes to a datum")
}

/// A model whose codes are numbers, with a prior over them.
pub trait DiscreteCoding {
    /// p(k).
    fn prior(&self) -> &AutoregressivePrior;

    /// The codes of data of shape (N, dimensions), of shape (N, n), off the tape. The noise is used only by a codebook that has
    /// not met data yet.
    ///
    /// # Panics
    /// If the data have another number of dimensions.
    fn codes<T: Scalar>(
        &self,
        parameters: &Parameters<T>,
        data: ArrayView2<'_, T>,
        rng: &mut StdRng,
    ) -> Array2<usize>;

    /// p(x|k) for codes of shape (N, n).
    ///
    /// # Panics
    /// If there is another number of positions, or a code is K or more.
    fn observation<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        codes: ArrayView2<'_, usize>,
    ) -> Observation<'t, T>;
}

impl DiscreteCoding for VqVae {
    fn prior(&self) -> &AutoregressivePrior {
        &self.prior
    }

    fn codes<T: Scalar>(
        &self,
        parameters: &Parameters<T>,
        data: ArrayView2<'_, T>,
        rng: &mut StdRng,
    ) -> Array2<usize> {
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        let z = self.encode(&p, tape.constant(data));
        let chosen = self.codebook.quantise(&p, z, rng).chosen;
        by_datum(&chosen, self.structure.positions)
    }

    fn observation<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        codes: ArrayView2<'_, usize>,
    ) -> Observation<'t, T> {
        assert_eq!(codes.ncols(), self.structure.positions, "codes of a datum");
        let rows: Vec<usize> = codes.iter().copied().collect();
        self.decode(p, self.codebook.codes(p).gather(&rows))
    }
}

impl<T: Scalar> Model<T> for VqVae {
    /// -log p(x|k) - log p(k) + β‖z - sg(e)‖², and ‖sg(z) - e‖² for codes that have gradients; the mean over the batch.
    ///
    /// The prior learns beside the rest: codes are numbers, through which no gradient passes.
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        step: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let x = batch.data;
        let z = self.encode(p, x);
        let quantised = self.codebook.quantise(p, z, step.rng);
        let e = straight_through(quantised.codes.stop_gradient(), z);
        let reconstruction = self.decode(p, e).log_density(x).mean();
        let numbers = by_datum(&quantised.chosen, self.structure.positions);
        let log_prior = self.prior.log_probability(p, numbers.view()).mean();
        // The rows are vectors, of which a datum has n.
        let count = T::of(x.shape()[0] as f64);
        let terms = quadratic_terms(z, quantised.codes);
        let [codes, commitment] = terms.map(|term| term.sum() / count);
        let mut loss = commitment * T::of(self.structure.commitment) - reconstruction - log_prior;
        if self.structure.update.is_gradient() {
            loss = loss + codes;
        }
        let terms = vec![
            ("reconstruction", reconstruction),
            ("log_prior", log_prior),
            ("commitment", commitment),
        ];
        let objective = Objective::new(loss, terms);
        self.codebook.following(objective, p, z, &quantised, step)
    }
}
