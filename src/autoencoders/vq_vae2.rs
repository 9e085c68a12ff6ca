//! Codes on two levels (Razavi, van den Oord and Vinyals, *Generating diverse high-fidelity images with VQ-VAE-2*, 2019;
//! [notes](crate::autoencoders#vq-vae-2)).

use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use rand::Rng;
use rand::rngs::StdRng;

use super::codebook::Quantised;
use super::vq_vae::by_datum;
use super::{
    AutoregressivePrior, Codebook, DiscreteCoding, PriorStructure, VqStructure, quadratic_terms,
};
use crate::Scalar;
use crate::autodiff::{Tape, Var};
use crate::gradients::straight_through;
use crate::nn::{Batch, Bound, Initialisation, Mlp, Model, Objective, Parameters, Step};
use crate::vae::{Decoder, Observation};

/// x → hidden layers → upper codes; hidden layers and upper codes → lower codes; both → p(x|e). The prior is p(k_t) p(k_b|k_t),
/// each of them autoregressive: one distribution of all codes, the upper ones first.
///
/// It holds the structure; the weights are in [`Parameters`]: `encoder.0.weight`, …, `upper.0.weight`, `lower.0.weight`,
/// `upper_codebook.codes`, `lower_codebook.codes`, `decoder.0.weight`, …, `prior.embedding`, ….
#[derive(Clone, Debug)]
pub struct VqVae2 {
    structure: VqStructure,
    upper: usize,
    trunk: Mlp,
    heads: [Mlp; 2],
    codebooks: [Codebook; 2],
    decoder: Decoder,
    prior: AutoregressivePrior,
}

/// What a batch became on both levels: the upper one first.
struct Levels<'t, T: Scalar> {
    vectors: [Var<'t, T>; 2],
    quantised: [Quantised<'t, T>; 2],
}

impl VqVae2 {
    /// Adds weights to `parameters`, drawn after Glorot. Of the positions of the structure the first `upper` are the upper
    /// codes.
    ///
    /// # Panics
    /// If a level has no position, there is no hidden layer, a width is 0, or the likelihood's or the codebooks' numbers are
    /// not sound.
    pub fn new<T: Scalar>(
        structure: VqStructure,
        upper: usize,
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
        assert!(
            (1..positions).contains(&upper),
            "expected from 1 to {} upper codes of {positions}, found {upper}",
            positions.saturating_sub(1)
        );
        let features = *hidden
            .last()
            .expect("a hidden layer, which both levels read");
        let glorot = Initialisation::Glorot;
        let mut network = |name: &str, widths: &[usize], parameters: &mut Parameters<T>| {
            Mlp::new(parameters, name, widths, activation, glorot, rng)
        };
        let down = [&[dimensions], hidden.as_slice()].concat();
        let trunk = network("encoder", &down, parameters);
        let (above, below) = (upper * width, (positions - upper) * width);
        let heads = [
            network("upper", &[features, above], parameters),
            network("lower", &[features + above, below], parameters),
        ];
        let codebooks = ["upper_codebook", "lower_codebook"]
            .map(|name| Codebook::new(parameters, name, [codes, width], update, rng));
        let reversed: Vec<usize> = down.iter().rev().copied().collect();
        let up = [&[positions * width], reversed.as_slice()].concat();
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
            upper,
            trunk,
            heads,
            codebooks,
            decoder,
            prior,
        }
    }

    /// What it is made of.
    pub fn structure(&self) -> &VqStructure {
        &self.structure
    }

    /// How many of the codes are upper ones.
    pub fn upper(&self) -> usize {
        self.upper
    }

    /// The vectors and the codes of data, the lower ones from the upper codes that were chosen.
    fn encode<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        x: Var<'t, T>,
        rng: &mut StdRng,
    ) -> Levels<'t, T> {
        let (count, width) = (x.shape()[0], self.structure.width);
        let positions = self.positions();
        let features = self.structure.activation.apply(self.trunk.forward(p, x));
        let vectors = |level: usize, input| {
            self.heads[level]
                .forward(p, input)
                .reshape(&[count * positions[level], width])
        };
        let upper = vectors(0, features);
        let above = self.codebooks[0].quantise(p, upper, rng);
        let seen = straight_through(above.codes.stop_gradient(), upper);
        let seen = seen.reshape(&[count, positions[0] * width]);
        let lower = vectors(1, p.tape().concatenate(1, &[features, seen]));
        let below = self.codebooks[1].quantise(p, lower, rng);
        Levels {
            vectors: [upper, lower],
            quantised: [above, below],
        }
    }

    fn positions(&self) -> [usize; 2] {
        [self.upper, self.structure.positions - self.upper]
    }

    /// p(x|e) for the codes of both levels, each as the rows of a matrix.
    fn decode<'t, T: Scalar>(&self, p: &Bound<'t, T>, e: [Var<'t, T>; 2]) -> Observation<'t, T> {
        let positions = self.positions();
        let width = self.structure.width;
        let count = e[0].shape()[0] / positions[0];
        let flat = [0, 1].map(|level| e[level].reshape(&[count, positions[level] * width]));
        self.decoder.forward(p, p.tape().concatenate(1, &flat))
    }

    /// All codes of a batch, the upper ones first.
    fn numbers<T: Scalar>(&self, levels: &Levels<'_, T>) -> Array2<usize> {
        let positions = self.positions();
        let [upper, lower] =
            [0, 1].map(|level| by_datum(&levels.quantised[level].chosen, positions[level]));
        concatenate![Axis(1), upper, lower]
    }
}

impl DiscreteCoding for VqVae2 {
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
        self.numbers(&self.encode(&p, tape.constant(data), rng))
    }

    fn observation<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        codes: ArrayView2<'_, usize>,
    ) -> Observation<'t, T> {
        let parts = [
            codes.slice(s![.., ..self.upper]),
            codes.slice(s![.., self.upper..]),
        ];
        let e = [0, 1].map(|level| {
            let rows: Vec<usize> = parts[level].iter().copied().collect();
            self.codebooks[level].codes(p).gather(&rows)
        });
        self.decode(p, e)
    }
}

impl<T: Scalar> Model<T> for VqVae2 {
    /// -log p(x|k_t, k_b) - log p(k_t) - log p(k_b|k_t) and β‖z - sg(e)‖² of both levels, and ‖sg(z) - e‖² for codes that have
    /// gradients; the mean over the batch.
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        step: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let x = batch.data;
        let levels = self.encode(p, x, step.rng);
        let moving = [0, 1].map(|level| {
            straight_through(
                levels.quantised[level].codes.stop_gradient(),
                levels.vectors[level],
            )
        });
        let reconstruction = self.decode(p, moving).log_density(x).mean();
        let each = self.prior.log_conditionals(p, self.numbers(&levels).view());
        let of_level = |range| each.slice(0, range).sum_axes(&[0]).mean();
        let upper = of_level(0..self.upper);
        let lower = of_level(self.upper..self.structure.positions);
        let count = T::of(x.shape()[0] as f64);
        let quadratic = [0, 1].map(|level| {
            let terms = quadratic_terms(levels.vectors[level], levels.quantised[level].codes);
            terms.map(|term| term.sum() / count)
        });
        let commitment = quadratic[0][1] + quadratic[1][1];
        let mut loss =
            commitment * T::of(self.structure.commitment) - reconstruction - upper - lower;
        if self.structure.update.is_gradient() {
            loss = loss + quadratic[0][0] + quadratic[1][0];
        }
        let terms = vec![
            ("reconstruction", reconstruction),
            ("log_prior", upper + lower),
            ("log_prior_lower", lower),
            ("commitment", commitment),
        ];
        let mut objective = Objective::new(loss, terms);
        for level in [0, 1] {
            let (vectors, quantised) = (levels.vectors[level], &levels.quantised[level]);
            objective = self.codebooks[level].following(objective, p, vectors, quantised, step);
        }
        objective
    }
}
