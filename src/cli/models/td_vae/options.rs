//! The options of a TD-VAE.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::data::{SequenceName, SequenceShape};
use crate::autoencoders::TdStructure;
use crate::cli::models::images::MAX_WIDTH;
use crate::cli::options::{Widths, positive, widths};
use crate::nn::Activation;
use crate::train::Settings;
use crate::vae::Likelihood;

/// The options of `elbo train td-vae`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct TdVaeCommand {
    /// Widths of the hidden layers between a frame and the belief, the decoder's are the same in reverse; none for a belief that
    /// reads frames as they are, and a linear decoder [default: 128; none for linear-gaussian sequences]
    #[arg(long, value_name = "WIDTHS", value_parser = widths)]
    hidden: Option<Widths>,

    /// Units of the belief, a gated recurrent network
    #[arg(long, value_name = "N", default_value = "64", value_parser = positive, allow_negative_numbers = true)]
    belief: usize,

    /// Numbers of a latent layer
    #[arg(long, value_name = "N", default_value = "16", value_parser = positive, allow_negative_numbers = true)]
    latent: usize,

    /// Layers of latents, each conditional on those above
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive, allow_negative_numbers = true)]
    layers: usize,

    /// Units of the hidden layer of each conditional density: belief, transition and smoother
    #[arg(long, value_name = "N", default_value = "64", value_parser = positive, allow_negative_numbers = true)]
    units: usize,

    /// After each hidden layer: relu, tanh, sigmoid, softplus, identity
    #[arg(long, value_name = "NAME", default_value = "tanh")]
    activation: Activation,

    /// By how many frames a pair of times may differ: 1..4, or one number
    #[arg(long, value_name = "LEAST..LARGEST", default_value = "1..4")]
    jumps: Jumps,

    /// Pairs of times that a step takes from each sequence
    #[arg(long, value_name = "N", default_value = "8", value_parser = positive, allow_negative_numbers = true)]
    pairs: usize,

    /// Where the log-variance of the Gaussian decoder of linear-gaussian sequences starts, before it is learnt; far above the
    /// variance of the data (from 3, say) the model never begins to use its latents [default: -2]
    #[arg(long, value_name = "S", value_parser = log_variance, allow_negative_numbers = true)]
    log_variance: Option<f64>,
}

/// The least and the largest jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jumps {
    least: usize,
    largest: usize,
}

/// `1..4`
impl fmt::Display for Jumps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.least == self.largest {
            true => write!(f, "{}", self.least),
            false => write!(f, "{}..{}", self.least, self.largest),
        }
    }
}

impl FromStr for Jumps {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (least, largest) = text.split_once("..").unwrap_or((text, text));
        let expected = "expected a positive whole number or a range of them, 1..4";
        let [least, largest] = [least, largest].map(|number| positive(number).context(expected));
        let jumps = Self {
            least: least?,
            largest: largest?,
        };
        ensure!(jumps.least <= jumps.largest, expected);
        Ok(jumps)
    }
}

/// Where a log-variance starts, if nothing else is asked for.
const LOG_VARIANCE: f64 = -2.0;

/// What a log-variance may start from.
const LOG_VARIANCES: std::ops::RangeInclusive<f64> = -20.0..=20.0;

fn log_variance(text: &str) -> Result<f64> {
    let number: f64 = text.parse().unwrap_or(f64::NAN);
    ensure!(
        LOG_VARIANCES.contains(&number),
        "expected a number from -20 to 20"
    );
    Ok(number)
}

/// No intermediate result has more entries.
const MOST_ENTRIES: usize = 1 << 28;

/// How many sequences go through the model at once in an evaluation.
const ROWS: usize = 512;

/// How many sequences, with a pair at each of their times, a prediction is measured on at once; and the states of how many are drawn.
const PREDICTED: usize = 64;
const DRAWN: usize = 256;

impl TdVaeCommand {
    fn hidden(&self, shape: &SequenceShape) -> Widths {
        match (&self.hidden, shape.sequence) {
            (Some(widths), _) => widths.clone(),
            (None, SequenceName::LinearGaussian) => Widths(Vec::new()),
            (None, _) => Widths(vec![128]),
        }
    }

    /// What they build.
    pub fn structure(&self, shape: &SequenceShape) -> TdStructure {
        TdStructure {
            dimensions: shape.dimensions(),
            hidden: self.hidden(shape).0,
            belief: self.belief,
            latent: self.latent,
            layers: self.layers,
            units: self.units,
            activation: self.activation,
            likelihood: match shape.sequence {
                SequenceName::LinearGaussian => Likelihood::GaussianLearned,
                _ => Likelihood::Bernoulli,
            },
            log_variance_start: self.log_variance(),
            jumps: (self.jumps.least, self.jumps.largest),
        }
    }

    fn log_variance(&self) -> f64 {
        self.log_variance.unwrap_or(LOG_VARIANCE)
    }

    /// How many pairs of times a step takes from each sequence.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// The jumps.
    pub fn jumps(&self) -> std::ops::RangeInclusive<usize> {
        self.jumps.least..=self.jumps.largest
    }

    /// The widths from a frame to the belief: `196-128-64`.
    pub fn widths(&self, shape: &SequenceShape) -> String {
        let hidden = self.hidden(shape);
        hidden.between(shape.dimensions(), self.belief).to_string()
    }

    /// How many weights there are, without biases; none if that is beyond counting.
    pub fn weights(&self, shape: &SequenceShape) -> Option<usize> {
        let hidden = self.hidden(shape);
        let state = self.latent.checked_mul(self.layers)?;
        let features = hidden.0.last().copied().unwrap_or(shape.dimensions());
        let down = Widths([&[shape.dimensions()], hidden.0.as_slice()].concat()).weights()?;
        let up = hidden.between(shape.dimensions(), state).weights()?;
        let recurrent = features
            .checked_add(self.belief)?
            .checked_mul(self.belief)?
            .checked_mul(3)?;
        // Of the three densities p_B reads a belief, q_S two, a state and the jump, p_T a state and the jump; each of their layers
        // reads the layers above as well, and ends in means and log-variances.
        let jumps = self.structure(shape).jump_inputs();
        let contexts = [(3, self.belief), (2, state), (2, jumps)]
            .into_iter()
            .try_fold(0usize, |sum, (times, inputs)| {
                sum.checked_add(inputs.checked_mul(times)?)
            })?;
        let contexts = product(&[contexts, self.units, self.layers])?;
        let above = self.layers.checked_mul(self.layers.checked_sub(1)?)? / 2;
        let layers = above.checked_add(self.layers.checked_mul(2)?)?;
        let latents = product(&[3, self.latent, self.units, layers])?;
        [down, up, recurrent, contexts, latents]
            .into_iter()
            .try_fold(0usize, usize::checked_add)
    }

    /// Refuses layers that no machine holds, and jumps that no sequence has.
    ///
    /// # Errors
    /// If a width is 0 or too large, a jump too long, or a batch has too many numbers.
    pub fn check_against(&self, shape: &SequenceShape, settings: &Settings) -> Result<()> {
        shape.check()?;
        let hidden = self.hidden(shape);
        let state = self.latent.saturating_mul(self.layers);
        let counts = [
            self.belief,
            self.latent,
            self.layers,
            self.units,
            self.pairs,
            state,
        ];
        for width in hidden.0.iter().chain(&counts) {
            ensure!(
                (1..=MAX_WIDTH).contains(width),
                "the widths of layers, and numbers of layers and pairs, may be from 1 to {MAX_WIDTH}, found {width}"
            );
        }
        let Jumps { least, largest } = self.jumps;
        ensure!(
            (1..=largest).contains(&least) && largest < shape.frames,
            "sequences of {} frames have jumps from 1 to {}: expected such --jumps, found {}",
            shape.frames,
            shape.frames - 1,
            self.jumps
        );
        ensure!(
            self.log_variance.is_none() || shape.sequence == SequenceName::LinearGaussian,
            "--log-variance belongs to --sequence linear-gaussian, found --sequence {}",
            shape.sequence
        );
        ensure!(
            LOG_VARIANCES.contains(&self.log_variance()),
            "expected a log-variance from -20 to 20"
        );
        let rows = settings.batch.max(ROWS);
        let widest = (hidden.0.iter().copied())
            .chain([shape.dimensions(), 3 * self.belief])
            .fold(0, usize::max);
        let widest_pair = (2 * self.belief).max(self.units).max(shape.dimensions()) + 2 * state;
        let widest_state = self.units.max(self.belief + state).max(2 * state);
        for (sequences, times, widest) in [
            (rows, shape.frames, widest),
            (rows, self.pairs, widest_pair),
            (PREDICTED, shape.frames, widest_pair),
            (DRAWN, shape.frames, widest_state),
        ] {
            ensure!(
                product(&[sequences, times, widest]).is_some_and(|entries| entries <= MOST_ENTRIES),
                "{sequences} sequences at once, of {times} times or pairs of them, with layers up to {widest} wide are too many numbers: \
                 the most is {MOST_ENTRIES}"
            );
        }
        Ok(())
    }

    /// The choices as a person reads them: name and value.
    pub fn rows_of(&self, shape: &SequenceShape) -> Vec<(String, String)> {
        let likelihood = match shape.sequence {
            SequenceName::LinearGaussian => {
                format!("Gaussian, log σ² learnt from {} on", self.log_variance())
            }
            _ => "Bernoulli".to_owned(),
        };
        [
            ("frame to belief", self.widths(shape)),
            (
                "latents",
                format!("{} in each of {} layer(s)", self.latent, self.layers),
            ),
            ("units of the densities", self.units.to_string()),
            ("activation", self.activation.to_string()),
            ("likelihood", likelihood),
            ("jumps", self.jumps.to_string()),
            ("pairs of times", format!("{} a sequence", self.pairs)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// None if it is beyond counting.
fn product(factors: &[usize]) -> Option<usize> {
    factors
        .iter()
        .try_fold(1usize, |product, &factor| product.checked_mul(factor))
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::super::data::{SequenceName, SequenceShape};
    use super::TdVaeCommand;
    use crate::autoencoders::TdVae;
    use crate::distributions::noise::stream;
    use crate::nn::Parameters;
    use crate::train::Settings;

    fn options(arguments: &str) -> TdVaeCommand {
        let command = TdVaeCommand::augment_args(Command::new("td-vae").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments.split_whitespace());
        TdVaeCommand::from_arg_matches(&matches.unwrap()).unwrap()
    }

    fn shape(sequence: SequenceName, frames: usize, [height, width]: [usize; 2]) -> SequenceShape {
        SequenceShape {
            sequence,
            frames,
            height,
            width,
        }
    }

    #[test]
    fn weights_are_counted_as_they_are_built() {
        let numbers = shape(SequenceName::LinearGaussian, 20, [1, 1]);
        let images = shape(SequenceName::Rolling, 20, [3, 5]);
        for (arguments, shape) in [
            ("", &images),
            ("", &numbers),
            ("--layers 3 --latent 2 --units 7 --belief 5", &images),
            ("--layers 4 --latent 3 --jumps 2 --hidden 9,4", &images),
            ("--layers 2 --jumps 1..9 --hidden 6", &numbers),
        ] {
            let options = options(arguments);
            let mut parameters = Parameters::<f32>::new();
            TdVae::new(
                options.structure(shape),
                &mut parameters,
                &mut stream(1, "weights", 0),
            );
            let matrices = parameters.iter().filter(|(_, value)| value.ndim() == 2);
            let built: usize = matrices.map(|(_, value)| value.len()).sum();
            assert_eq!(
                options.weights(shape),
                Some(built),
                "{arguments}, {shape:?}"
            );
        }
    }

    #[test]
    fn units_and_beliefs_at_every_time_are_counted() {
        let long = shape(SequenceName::LinearGaussian, 2048, [1, 1]);
        let settings = Settings::default();
        assert!(options("").check_against(&long, &settings).is_ok());
        for arguments in ["--units 600 --pairs 1", "--layers 40 --pairs 1 --belief 8"] {
            let found = options(arguments).check_against(&long, &settings);
            let said = found.unwrap_err().to_string();
            assert!(said.contains("too many numbers"), "{arguments}: {said}");
        }
    }
}
