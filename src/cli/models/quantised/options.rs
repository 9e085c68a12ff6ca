//! The options of encoder, codebook, decoder and prior.

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::super::images::MAX_WIDTH;
use super::ImageShape;
use crate::autoencoders::{CodebookUpdate, VqStructure};
use crate::cli::options::{WEIGHTS, Widths, positive, positive_real, weight, widths};
use crate::nn::Activation;
use crate::train::Settings;
use crate::vae::Likelihood;

/// The options that one level and two have alike.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(next_help_heading = "Model")]
pub struct QuantisedOptions {
    /// Widths of the encoder's hidden layers, from image to codes, with commas; the decoder's are the reverse
    #[arg(long, value_name = "WIDTHS", default_value = "512", value_parser = widths)]
    hidden: Widths,

    /// Function after each hidden layer: relu, tanh, sigmoid, softplus or identity
    #[arg(long, value_name = "NAME", default_value = "relu")]
    activation: Activation,

    /// How many codes an image has
    #[arg(long, value_name = "N", default_value = "16", value_parser = positive, allow_negative_numbers = true)]
    positions: usize,

    /// How many vectors are in the table, of which each code is one
    #[arg(long, value_name = "K", default_value = "128", value_parser = positive, allow_negative_numbers = true)]
    codes: usize,

    /// How many numbers a vector of the table has
    #[arg(long, value_name = "D", default_value = "64", value_parser = positive, allow_negative_numbers = true)]
    width: usize,

    /// How the table follows the encoder
    #[arg(long, value_enum, default_value = "moving-averages")]
    codebook: UpdateName,

    /// γ: what is kept of the moving averages at each step
    #[arg(long, value_name = "GAMMA", default_value = "0.99", value_parser = decay)]
    decay: f64,

    /// A vector that fewer than N of the encoder's choose in a step, on average, is put onto one of them; 0 for never
    #[arg(long, value_name = "N", default_value = "1", value_parser = weight, allow_negative_numbers = true)]
    restart: f64,

    /// β: how strongly the encoder is drawn to the vectors of the table
    #[arg(long, value_name = "BETA", default_value = "1", value_parser = weight, allow_negative_numbers = true)]
    commitment: f64,

    /// σ of a Gaussian decoder, in units of a pixel that runs from 0 to 1; without it pixels are coins
    #[arg(long, value_name = "SIGMA", value_parser = positive_real)]
    deviation: Option<f64>,

    /// Numbers that stand for an earlier code in the prior
    #[arg(long, value_name = "N", default_value = "32", value_parser = positive, allow_negative_numbers = true)]
    prior_embedding: usize,

    /// Hidden units of each position in the prior
    #[arg(long, value_name = "N", default_value = "64", value_parser = positive, allow_negative_numbers = true)]
    prior_hidden: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum UpdateName {
    /// By moving averages, from vectors of the first batch
    MovingAverages,
    /// By gradient, from small random vectors
    Gradient,
}

fn decay(text: &str) -> Result<f64> {
    let decay: f64 = text.parse()?;
    ensure!(
        DECAYS.contains(&decay) && (decay as f32) < 1.0,
        "expected a number from 0 to less than 1"
    );
    Ok(decay)
}

const DECAYS: std::ops::Range<f64> = 0.0..1.0;

/// No intermediate result has more entries.
const MOST_ENTRIES: usize = 1 << 28;

/// How many images go through the model at once, at least.
const ROWS: usize = 512;

impl QuantisedOptions {
    /// What they build for data of so many dimensions.
    pub fn structure(&self, dimensions: usize) -> VqStructure {
        VqStructure {
            dimensions,
            hidden: self.hidden.0.clone(),
            activation: self.activation,
            positions: self.positions,
            codes: self.codes,
            width: self.width,
            update: match self.codebook {
                UpdateName::Gradient => CodebookUpdate::Gradient,
                UpdateName::MovingAverages => CodebookUpdate::MovingAverages {
                    decay: self.decay,
                    restart: self.restart,
                },
            },
            commitment: self.commitment,
            likelihood: match self.deviation {
                None => Likelihood::Bernoulli,
                Some(deviation) => Likelihood::Gaussian { deviation },
            },
            prior: [self.prior_embedding, self.prior_hidden],
        }
    }

    /// The widths from image to codes: `784-512-256`.
    pub fn layers(&self, shape: &ImageShape) -> String {
        let code = self.positions.saturating_mul(self.width);
        self.hidden.between(shape.dimensions(), code).to_string()
    }

    /// How many weights there are, with so many upper codes; none if that is beyond counting.
    pub fn weights(&self, shape: &ImageShape, upper: usize) -> Option<usize> {
        let code = self.positions.checked_mul(self.width)?;
        let networks = self
            .hidden
            .between(shape.dimensions(), code)
            .weights()?
            .checked_mul(2)?;
        // The lower level reads the upper codes, and has a table of its own.
        let levels = if upper > 0 { 2 } else { 1 };
        let below = (self.positions.checked_sub(upper)?).checked_mul(self.width)?;
        let seen = upper.checked_mul(self.width)?.checked_mul(below)?;
        let averages = if self.codebook == UpdateName::MovingAverages {
            2
        } else {
            1
        };
        let tables = self
            .codes
            .checked_mul(self.width + 1)?
            .checked_mul(levels * averages)?;
        let units = self.positions.checked_mul(self.prior_hidden)?;
        let embeddings = self.positions.checked_mul(self.prior_embedding)?;
        let prior = [
            embeddings.checked_mul(self.codes)?,
            embeddings.checked_mul(units)?,
            units.checked_mul(self.codes)?,
        ];
        let parts = prior.into_iter().chain([networks, seen, tables]);
        parts.reduce(usize::saturating_add)
    }

    /// Refuses layers that no machine holds.
    ///
    /// # Errors
    /// If a width is 0 or too large, or a batch has too many numbers.
    pub fn check(&self, shape: &ImageShape, settings: &Settings) -> Result<()> {
        let counts = [
            self.positions,
            self.codes,
            self.width,
            self.prior_embedding,
            self.prior_hidden,
        ];
        for width in self.hidden.0.iter().chain(&counts) {
            ensure!(
                (1..=MAX_WIDTH).contains(width),
                "the widths of layers, and numbers of codes, may be from 1 to {MAX_WIDTH}, found {width}"
            );
        }
        ensure!(
            DECAYS.contains(&self.decay)
                && (self.decay as f32) < 1.0
                && WEIGHTS.contains(&self.restart)
                && WEIGHTS.contains(&self.commitment)
                && self
                    .deviation
                    .is_none_or(|sigma| sigma > 0.0 && sigma.is_finite()),
            "expected a decay from 0 to less than 1, weights from 0 to 1e6 and a deviation greater than 0"
        );
        // Of the images, of the distances to all codes, and of the prior.
        let rows = settings.batch.max(ROWS);
        let prior = self
            .positions
            .saturating_mul(self.codes.max(self.prior_hidden).max(self.prior_embedding));
        let code = self.positions.saturating_mul(self.width);
        let widest = self
            .hidden
            .0
            .iter()
            .copied()
            .fold(shape.dimensions().max(prior).max(code), usize::max);
        ensure!(
            rows.checked_mul(widest)
                .is_some_and(|entries| entries <= MOST_ENTRIES),
            "{rows} images at once, with {} codes of {} and layers up to {widest} wide, are too many numbers: the most is \
             {MOST_ENTRIES}",
            self.positions,
            self.codes
        );
        Ok(())
    }

    /// The choices as a person reads them: name and value.
    pub fn rows(&self, shape: &ImageShape) -> Vec<(String, String)> {
        let codebook = match self.codebook {
            UpdateName::Gradient => "by gradient".to_owned(),
            UpdateName::MovingAverages => {
                format!(
                    "moving averages, γ = {}, restart below {}",
                    self.decay, self.restart
                )
            }
        };
        let decoder = self.structure(shape.dimensions()).likelihood.to_string();
        [
            ("encoder", format!("{} and back", self.layers(shape))),
            ("activation", self.activation.to_string()),
            (
                "codes",
                format!(
                    "{} of {}, {} numbers each",
                    self.positions, self.codes, self.width
                ),
            ),
            ("codebook", codebook),
            ("commitment", self.commitment.to_string()),
            ("likelihood", decoder),
            (
                "prior",
                format!(
                    "{} numbers a code, {} units a position",
                    self.prior_embedding, self.prior_hidden
                ),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}
