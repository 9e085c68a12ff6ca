//! The options of encoder and decoder, and of corruptions.

use std::ops::RangeInclusive;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::super::images::MAX_WIDTH;
use super::ImageShape;
use crate::autoencoders::{Corruption, ReconstructionLoss, Structure};
use crate::cli::options::{Widths, fraction, positive, weight, widths};
use crate::nn::Activation;
use crate::train::Settings;

/// The options of the networks.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(next_help_heading = "Networks")]
pub struct NetworkOptions {
    /// Widths of the encoder's hidden layers, from image to code, with commas; the decoder's are the reverse. `none`: one
    /// layer each
    #[arg(long, value_name = "WIDTHS", default_value = "none", value_parser = widths)]
    hidden: Widths,

    /// Units of the code
    #[arg(long, value_name = "N", default_value = "500", value_parser = positive, allow_negative_numbers = true)]
    code: usize,

    /// Function after each hidden layer: relu, tanh, sigmoid, softplus or identity
    #[arg(long, value_name = "NAME", default_value = "relu")]
    activation: Activation,

    /// Function after the code's layer: relu, tanh, sigmoid, softplus or identity
    #[arg(long, value_name = "NAME", default_value = "sigmoid")]
    code_activation: Activation,

    /// Does the decoder have weights of its own?
    #[arg(long, value_enum, default_value = "tied")]
    decoder: DecoderWeights,

    /// What is minimised
    #[arg(long, value_enum, default_value = "cross-entropy")]
    loss: LossName,
}

/// The weights of the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DecoderWeights {
    /// The encoder's, transposed
    Tied,
    /// Its own
    Untied,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LossName {
    /// The squared error, summed over pixels; reconstructions are linear in the last layer
    SquaredError,
    /// The cross-entropy in nats, summed over pixels; reconstructions are between 0 and 1
    CrossEntropy,
}

impl NetworkOptions {
    /// What they build for data of so many dimensions.
    pub fn structure(&self, dimensions: usize) -> Structure {
        Structure {
            dimensions,
            hidden: self.hidden.0.clone(),
            code: self.code,
            activation: self.activation,
            code_activation: self.code_activation,
            tied: self.decoder == DecoderWeights::Tied,
            loss: self.loss(),
        }
    }

    /// What is minimised.
    pub fn loss(&self) -> ReconstructionLoss {
        match self.loss {
            LossName::SquaredError => ReconstructionLoss::SquaredError,
            LossName::CrossEntropy => ReconstructionLoss::CrossEntropy,
        }
    }

    /// The function after the code's layer.
    pub fn code_activation(&self) -> Activation {
        self.code_activation
    }

    /// How many layers the encoder has.
    pub fn depth(&self) -> usize {
        self.hidden.0.len() + 1
    }

    /// Units of the code.
    pub fn code(&self) -> usize {
        self.code
    }

    fn all_widths(&self, shape: &ImageShape) -> Widths {
        self.hidden.between(shape.dimensions(), self.code)
    }

    /// The widest layer, or the image.
    pub fn widest(&self, shape: &ImageShape) -> usize {
        self.all_widths(shape).0.into_iter().fold(0, usize::max)
    }

    /// The widths from image to code: `784-400-64`.
    pub fn layers(&self, shape: &ImageShape) -> String {
        self.all_widths(shape).to_string()
    }

    /// How many weights there are; none if that is beyond counting.
    pub fn weights(&self, shape: &ImageShape) -> Option<usize> {
        let one_way = self.all_widths(shape).weights()?;
        match self.decoder {
            DecoderWeights::Tied => Some(one_way),
            DecoderWeights::Untied => one_way.checked_mul(2),
        }
    }

    /// Refuses layers that no machine holds.
    ///
    /// # Errors
    /// If a width is 0 or too large, or a batch has too many numbers.
    pub fn check(&self, shape: &ImageShape, settings: &Settings) -> Result<()> {
        for width in &self.all_widths(shape).0 {
            ensure!(
                (1..=MAX_WIDTH).contains(width),
                "the widths of layers may be from 1 to {MAX_WIDTH}, found {width}"
            );
        }
        let widest = self.widest(shape);
        let rows = settings.batch.max(512);
        ensure!(
            rows.checked_mul(widest)
                .is_some_and(|entries| entries <= 1 << 28),
            "{rows} images at once in layers up to {widest} wide are too many"
        );
        Ok(())
    }

    /// The choices as a person reads them.
    pub fn rows(&self, shape: &ImageShape) -> Vec<(String, String)> {
        let weights = match self.decoder {
            DecoderWeights::Tied => "the encoder's, transposed",
            DecoderWeights::Untied => "its own",
        };
        let mut rows = vec![("encoder", format!("{} and back", self.layers(shape)))];
        if self.depth() > 1 {
            rows.push(("activation", self.activation.to_string()));
        }
        rows.extend([
            ("activation of the code", self.code_activation.to_string()),
            ("decoder's weights", weights.to_owned()),
            ("loss", self.loss().to_string()),
        ]);
        rows.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// The options of a corruption.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(next_help_heading = "Model")]
pub struct CorruptionOptions {
    /// How images are corrupted
    #[arg(long, value_enum, default_value = "masking")]
    corruption: CorruptionName,

    /// The probability that a pixel is corrupted, of masking and salt-and-pepper [default: 0.25]
    #[arg(long, value_name = "FRACTION", value_parser = fraction, allow_negative_numbers = true)]
    fraction: Option<f64>,

    /// The deviation of Gaussian noise, in units of a pixel that runs from 0 to 1 [default: 0.5]
    #[arg(long, value_name = "S", value_parser = weight, allow_negative_numbers = true)]
    deviation: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum CorruptionName {
    /// Pixels become 0
    Masking,
    /// Pixels become 0 or 1, each as likely
    SaltAndPepper,
    /// Gaussian noise is added
    Gaussian,
}

impl CorruptionOptions {
    /// The corruption.
    pub fn corruption(&self) -> Corruption {
        let fraction = self.fraction.unwrap_or(0.25);
        match self.corruption {
            CorruptionName::Masking => Corruption::Masking { fraction },
            CorruptionName::SaltAndPepper => Corruption::SaltAndPepper { fraction },
            CorruptionName::Gaussian => Corruption::Gaussian {
                deviation: self.deviation.unwrap_or(0.5),
            },
        }
    }

    /// Refuses options that do not fit each other.
    ///
    /// # Errors
    /// If one belongs to another corruption, or a number is out of range.
    pub fn check(&self) -> Result<()> {
        let gaussian = self.corruption == CorruptionName::Gaussian;
        ensure!(
            self.deviation.is_none() || gaussian,
            "--deviation belongs to --corruption gaussian only"
        );
        ensure!(
            self.fraction.is_none() || !gaussian,
            "--fraction does not belong to --corruption gaussian: say --deviation"
        );
        ensure!(
            self.corruption().is_sound(),
            "expected a fraction from 0 to 1 and a deviation from 0 up"
        );
        Ok(())
    }
}

/// Proportions that f32 tells from 0 and from 1.
pub const PROPORTIONS: RangeInclusive<f64> = 1e-6..=1.0 - 1e-6;

/// A number between 0 and 1.
pub fn proportion(text: &str) -> Result<f64> {
    let number: f64 = text.parse().unwrap_or(f64::NAN);
    ensure!(
        PROPORTIONS.contains(&number),
        "expected a number from 0.000001 to 0.999999"
    );
    Ok(number)
}
