//! What a TD-VAE is made of, and which times of a sequence are compared.

use rand::Rng;

use crate::nn::Activation;
use crate::vae::Likelihood;

/// What a [`TdVae`](super::TdVae) is made of.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct TdStructure {
    /// The number of dimensions of an observation.
    pub dimensions: usize,
    /// The widths of the hidden layers between an observation and the belief; the decoder's are the same in reverse. Without any,
    /// the belief reads observations as they are, and the decoder is linear.
    pub hidden: Vec<usize>,
    /// The units of the belief b_t.
    pub belief: usize,
    /// The numbers of a latent layer.
    pub latent: usize,
    /// The latent layers, at least 1. z_t is all of them.
    pub layers: usize,
    /// The units of the hidden layer of each conditional density: p_B, q_S and p_T, layer by layer.
    pub units: usize,
    /// The function after each hidden layer.
    pub activation: Activation,
    /// p(x_t|z_t).
    pub likelihood: Likelihood,
    /// Where the log-variance of a Gaussian decoder starts, if it is learnt.
    pub log_variance_start: f64,
    /// The least and the largest jump t₂ - t₁, at least 1. If they differ, transition and smoother are told the jump.
    pub jumps: (usize, usize),
}

impl Default for TdStructure {
    /// Frames of 14 x 14 pixels, 128 hidden units, a belief of 64, one layer of 8 latents, jumps from 1 to 4, Bernoulli.
    fn default() -> Self {
        Self {
            dimensions: 196,
            hidden: vec![128],
            belief: 64,
            latent: 8,
            layers: 1,
            units: 64,
            activation: Activation::Tanh,
            likelihood: Likelihood::Bernoulli,
            log_variance_start: 0.0,
            jumps: (1, 4),
        }
    }
}

impl TdStructure {
    /// The numbers of z_t: all layers.
    pub fn state(&self) -> usize {
        self.layers * self.latent
    }

    /// How many jumps there are to tell apart; 0 if there is but one.
    pub(crate) fn jump_inputs(&self) -> usize {
        match self.jumps {
            (least, largest) if least < largest => largest - least + 1,
            _ => 0,
        }
    }

    /// Draws `pairs` pairs of times for each of `count` sequences of `length` observations: the jump first, uniformly, then the
    /// earlier time.
    ///
    /// # Panics
    /// If the sequences are too short for the largest jump.
    pub fn draw_pairs(
        &self,
        (count, length): (usize, usize),
        pairs: usize,
        rng: &mut impl Rng,
    ) -> Vec<TimePair> {
        let (least, largest) = self.jumps;
        assert!(
            length > largest,
            "expected sequences of more than {largest} observations, for jumps up to {largest}, found {length}"
        );
        let one = |sequence| {
            let jump = rng.random_range(least..=largest);
            let earlier = rng.random_range(0..length - jump);
            TimePair {
                sequence,
                earlier,
                later: earlier + jump,
            }
        };
        (0..count)
            .flat_map(|sequence| std::iter::repeat_n(sequence, pairs))
            .map(one)
            .collect()
    }
}

/// Two times of a sequence: t₁ and t₂ > t₁, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimePair {
    /// Which sequence of the batch.
    pub sequence: usize,
    /// t₁.
    pub earlier: usize,
    /// t₂.
    pub later: usize,
}

impl TimePair {
    /// t₂ - t₁.
    ///
    /// # Panics
    /// If t₂ < t₁.
    pub fn jump(&self) -> usize {
        self.later - self.earlier
    }

    /// All pairs of this jump in `count` sequences of `length` observations, sequence by sequence.
    pub fn all((count, length): (usize, usize), jump: usize) -> Vec<Self> {
        let of = |sequence| {
            (0..length.saturating_sub(jump)).map(move |earlier| Self {
                sequence,
                earlier,
                later: earlier + jump,
            })
        };
        (0..count).flat_map(of).collect()
    }
}
