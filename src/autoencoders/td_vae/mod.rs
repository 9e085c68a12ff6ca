//! TD-VAE (Gregor, Papamakarios, Besse, Buesing and Weber, *Temporal Difference Variational Auto-Encoder*, 2019;
//! [notes](crate::autoencoders#td-vae-one-step)).

mod bound;
mod gap;
mod layered;
mod structure;

pub use bound::PairBound;
pub use gap::{ExactGap, GapError, Predictive, exact_gap};
pub use layered::LayeredGaussian;
pub use structure::{TdStructure, TimePair};

use ndarray::{Array2, arr0};
use rand::Rng;

use self::layered::log_density_of;
use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::DiagonalGaussian;
use crate::distributions::noise::standard_normal;
use crate::nn::{Batch, Bound, Gru, Initialisation, Mlp, Model, Objective, Parameters, Step};
use crate::vae::{Decoder, Likelihood, Observation};

/// x₁, …, x_t → hidden layers → the belief b_t, by a recurrent network; p_B(z_t|b_t) is what is believed of the state,
/// p_T(z_t2|z_t1) how it goes on, p(x_t|z_t) the decoder, and q_S(z_t1|z_t2, b_t1, b_t2) looks back from t₂ to t₁.
///
/// z_t has one or more layers, each conditional on those above ([`LayeredGaussian`]). One recurrent belief serves all of them:
/// a layer that needs something else of the past takes it out of b_t by its own network. (The paper gives each layer a
/// recurrent network of its own.)
///
/// It holds the structure; the weights are in [`Parameters`]: `encoder.0.weight`, …, `belief.…` of the recurrent network,
/// `filter.0.0.weight`, … (p_B), `smoother.0.0.weight`, … (q_S), `transition.0.0.weight`, … (p_T), `decoder.0.weight`, ….
#[derive(Clone, Debug)]
pub struct TdVae {
    structure: TdStructure,
    pairs: usize,
    encoder: Option<Mlp>,
    belief: Gru,
    filter: LayeredGaussian,
    smoother: LayeredGaussian,
    transition: LayeredGaussian,
    decoder: Decoder,
}

impl TdVae {
    /// Adds weights to `parameters`, drawn after Glorot.
    ///
    /// # Panics
    /// If a width or the number of layers is 0, a jump is 0 or the least is above the largest, or the likelihood's numbers are
    /// not sound.
    pub fn new<T: Scalar>(
        structure: TdStructure,
        parameters: &mut Parameters<T>,
        rng: &mut impl Rng,
    ) -> Self {
        let TdStructure {
            dimensions,
            ref hidden,
            belief,
            activation,
            likelihood,
            log_variance_start,
            jumps: (least, largest),
            ..
        } = structure;
        assert!(
            0 < least && least <= largest,
            "expected jumps of at least 1, the least first, found {least} to {largest}"
        );
        let (state, jump) = (structure.state(), structure.jump_inputs());
        let down = [&[dimensions], hidden.as_slice()].concat();
        let glorot = Initialisation::Glorot;
        let encoder = (!hidden.is_empty())
            .then(|| Mlp::new(parameters, "encoder", &down, activation, glorot, rng));
        let features = down[down.len() - 1];
        let recurrent = Gru::new(parameters, "belief", features, belief, rng);
        let mut density = |name: &str, inputs, parameters: &mut Parameters<T>| {
            LayeredGaussian::new(&structure, inputs, parameters, name, rng)
        };
        let filter = density("filter", belief, parameters);
        let smoother = density("smoother", 2 * belief + state + jump, parameters);
        let transition = density("transition", state + jump, parameters);
        let reversed: Vec<usize> = down.iter().rev().copied().collect();
        let up = [&[state], reversed.as_slice()].concat();
        let decoder = Decoder::new(likelihood, parameters, &up, activation, rng);
        if likelihood == Likelihood::GaussianLearned {
            let start = arr0(T::of(log_variance_start));
            let set = parameters.set("decoder.log_variance", start);
            set.expect("added with this likelihood");
        }
        Self {
            structure,
            pairs: 1,
            encoder,
            belief: recurrent,
            filter,
            smoother,
            transition,
            decoder,
        }
    }

    /// With so many pairs of times of each sequence in a step: the recurrent network runs once for all of them.
    ///
    /// # Panics
    /// If there is none.
    pub fn with_pairs(self, pairs: usize) -> Self {
        assert!(pairs > 0, "expected at least one pair of times, found none");
        Self { pairs, ..self }
    }

    /// What it is made of.
    pub fn structure(&self) -> &TdStructure {
        &self.structure
    }

    /// The beliefs b₁, …, b_T of sequences, from shape (batch, time, dimensions) to (batch, time, belief): b_t has seen x₁ to x_t.
    ///
    /// # Panics
    /// If the shape does not fit.
    pub fn beliefs<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        let features = match &self.encoder {
            Some(encoder) => self.structure.activation.apply(encoder.forward(p, x)),
            None => x,
        };
        self.belief.forward(p, features)
    }

    /// A state z ~ p_B(z|b) as a function of `noise` of shape (…, state), for beliefs of shape (…, belief), and the densities
    /// that its layers were drawn from, the uppermost first: those below it depend on what was drawn.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn filtered<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        beliefs: Var<'t, T>,
        noise: Var<'t, T>,
    ) -> (Var<'t, T>, Vec<DiagonalGaussian<'t, T>>) {
        self.filter.sample(p, beliefs, noise)
    }

    /// p(x|z) for states of shape (…, state).
    ///
    /// # Panics
    /// If the shape does not fit.
    pub fn decode<'t, T: Scalar>(&self, p: &Bound<'t, T>, z: Var<'t, T>) -> Observation<'t, T> {
        self.decoder.forward(p, z)
    }

    /// The states that follow states z of shape (rows, state), one array for each of the jumps that are made in turn, each drawn
    /// from p_T. No belief is asked: from the last observation on, the model is on its own.
    ///
    /// # Panics
    /// If the shape does not fit, or a jump is not one of the structure's.
    pub fn roll_out<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        z: Var<'t, T>,
        jumps: &[usize],
        rng: &mut impl Rng,
    ) -> Vec<Var<'t, T>> {
        let mut z = z;
        let next = |&jump: &usize| {
            let context = self.with_jumps(p, &[z], &vec![jump; z.shape()[0]]);
            let noise = standard_normal(p.tape(), &z.shape(), rng);
            z = self.transition.sample(p, context, noise).0;
            z
        };
        jumps.iter().map(next).collect()
    }

    /// The log-densities of the bound for pairs of times, each of shape (pairs), from the beliefs of all times; z_t2 ~ p_B and
    /// z_t1 ~ q_S by noise of shape (2, pairs, state), that of t₂ first.
    ///
    /// # Panics
    /// If the shapes do not fit, or a pair has a time that is not there or a jump that is not one of the structure's.
    pub fn bound<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        (x, beliefs): (Var<'t, T>, Var<'t, T>),
        pairs: &[TimePair],
        noise: Var<'t, T>,
    ) -> PairBound<'t, T> {
        let shape = x.shape();
        assert!(
            shape.len() == 3 && beliefs.shape()[..2] == shape[..2],
            "td-vae: expected sequences of shape (batch, time, dimensions) with a belief for each time, found shapes {shape:?} and {:?}",
            beliefs.shape()
        );
        let time = shape[1];
        let at = |array: Var<'t, T>, time_of: fn(&TimePair) -> usize| {
            let rows: Vec<usize> = (pairs.iter())
                .map(|pair| pair.sequence * time + time_of(pair))
                .collect();
            let shape = array.shape();
            array
                .reshape(&[shape[0] * shape[1], shape[2]])
                .gather(&rows)
        };
        let [b1, b2] = [|pair: &TimePair| pair.earlier, |pair: &TimePair| pair.later]
            .map(|time_of| at(beliefs, time_of));
        let x2 = at(x, |pair| pair.later);
        let jumps: Vec<usize> = pairs.iter().map(TimePair::jump).collect();
        let [noise2, noise1] = [0, 1].map(|i| noise.slice(0, i..i + 1).squeeze(&[0]));
        let (z2, q2) = self.filter.sample(p, b2, noise2);
        let looking_back = self.with_jumps(p, &[b1, b2, z2], &jumps);
        let (z1, q1) = self.smoother.sample(p, looking_back, noise1);
        PairBound {
            observation: self.decode(p, z2).log_density(x2),
            belief: self.filter.log_density(p, b1, z1),
            transition: (self.transition).log_density(p, self.with_jumps(p, &[z1], &jumps), z2),
            later: log_density_of(&q2, z2),
            earlier: log_density_of(&q1, z1),
        }
    }

    /// Arrays of shape (rows, …) side by side, and which of several jumps each row makes, as a 1 among zeros.
    fn with_jumps<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        parts: &[Var<'t, T>],
        jumps: &[usize],
    ) -> Var<'t, T> {
        let (least, largest) = self.structure.jumps;
        for &jump in jumps {
            assert!(
                (least..=largest).contains(&jump),
                "td-vae: expected a jump from {least} to {largest}, found {jump}"
            );
        }
        let mut parts = parts.to_vec();
        if self.structure.jump_inputs() > 0 {
            let shape = (jumps.len(), self.structure.jump_inputs());
            let chosen = Array2::from_shape_fn(shape, |(row, column)| {
                T::of(f64::from(u8::from(jumps[row] - least == column)))
            });
            parts.push(p.tape().constant(chosen));
        }
        match parts.as_slice() {
            [one] => *one,
            several => p.tape().concatenate(1, several),
        }
    }
}

impl<T: Scalar> Model<T> for TdVae {
    /// Minus the bound, the mean over the pairs, in nats per predicted observation. Jump and earlier time are drawn for each
    /// pair by itself.
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        step: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let x = batch.data;
        let shape = x.shape();
        let pairs = (self.structure).draw_pairs((shape[0], shape[1]), self.pairs, step.rng);
        let noise_shape = [2, pairs.len(), self.structure.state()];
        let noise = standard_normal(p.tape(), &noise_shape, step.rng);
        let bound = self.bound(p, (x, self.beliefs(p, x)), &pairs, noise);
        let value = bound.value().mean();
        let terms = vec![
            ("bound", value),
            ("reconstruction", bound.observation.mean()),
            ("smoothing", bound.smoothing().mean()),
            ("surprise", bound.surprise().mean()),
        ];
        Objective::new(-value, terms)
    }
}
