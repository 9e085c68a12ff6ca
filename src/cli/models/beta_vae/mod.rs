//! The β-VAE at the command line.

pub mod disentanglement;
mod evaluate;
mod pictures;

use anyhow::{Result, ensure};
use clap::Args;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::vae::{AroundVae, Networks, columns, curve, line};
use super::{Column, ImageShape, LoadedData, ModelCommand, Saved, ShapeData, Training};
use crate::autoencoders::{BetaVae, CodeCost};
use crate::cli::options::{WEIGHTS, Widths, positive, weight, widths};
use crate::cli::report::Figure;
use crate::cli::requests::{Evaluate, Reconstruct, Sample};
use crate::nn::{Activation, Parameters, Schedule};
use crate::train::{EpochMetrics, Metrics, Settings};
use crate::vae::{Architecture, Likelihood, Vae};

/// β, if nothing else is asked for.
const BETA: f64 = 4.0;

/// γ, if nothing else is asked for.
const GAMMA: f64 = 10.0;

/// Over how many epochs a capacity rises, if nothing else is asked for.
const CAPACITY_EPOCHS: usize = 10;

/// The options of a β-VAE.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(next_help_heading = "Model")]
pub struct BetaVaeCommand {
    /// Widths of the encoder's hidden layers, from image to latent, with commas; the decoder's are the reverse.
    /// `none` makes encoder and decoder linear
    #[arg(long, value_name = "WIDTHS", default_value = "256,256", value_parser = widths)]
    hidden: Widths,

    /// Dimensions of the latent z
    #[arg(long, value_name = "N", default_value = "10", value_parser = positive, allow_negative_numbers = true)]
    latent: usize,

    /// Function after each hidden layer: relu, tanh, sigmoid, softplus or identity
    #[arg(long, value_name = "NAME", default_value = "relu")]
    activation: Activation,

    /// β: the price of a nat of code [default: 4]
    #[arg(long, value_name = "BETA", value_parser = weight, allow_negative_numbers = true)]
    beta: Option<f64>,

    /// C, in place of β: the nats that the code is to carry, with γ |KL - C| as their cost
    #[arg(long, value_name = "NATS", conflicts_with = "beta", value_parser = weight, allow_negative_numbers = true)]
    capacity: Option<f64>,

    /// γ: how dearly a nat more or less than the capacity is paid for [default: 10]
    #[arg(long, value_name = "GAMMA", requires = "capacity", value_parser = weight, allow_negative_numbers = true)]
    gamma: Option<f64>,

    /// Let β or C rise from 0, on a straight line over so many epochs [default: 0 for β, 10 for C]
    #[arg(long, value_name = "EPOCHS", alias = "capacity-epochs")]
    warm_up: Option<usize>,
}

impl BetaVaeCommand {
    fn networks(&self) -> Networks<'_> {
        Networks {
            hidden: &self.hidden,
            latent: self.latent,
            samples: 1,
        }
    }

    fn warm_up(&self) -> usize {
        self.warm_up.unwrap_or(match self.capacity {
            Some(_) => CAPACITY_EPOCHS,
            None => 0,
        })
    }

    /// What a code costs, with so many steps in an epoch.
    fn cost(&self, steps: usize) -> CodeCost {
        let rising = |to| Schedule::linear(0.0, to, self.warm_up().saturating_mul(steps));
        match self.capacity {
            Some(capacity) => CodeCost::Capacity {
                weight: self.gamma.unwrap_or(GAMMA),
                capacity: rising(capacity),
            },
            None => CodeCost::Weight(rising(self.beta.unwrap_or(BETA))),
        }
    }
}

impl AroundVae for BetaVaeCommand {
    fn vae(model: &BetaVae) -> &Vae {
        model.vae()
    }
}

impl ModelCommand for BetaVaeCommand {
    const NAME: &'static str = "beta-vae";
    const TITLE: &'static str = "A β-VAE";
    const ABOUT: &'static str =
        "β-VAE: a VAE that pays more for a nat of code, or is given a capacity to fill";
    const DETAILS: &'static str = "Without any option: 1024-256-256-10 with a Bernoulli decoder and β = 4 on shapes that are drawn, 8000 \
        steps in about two minutes. The report shows what each latent does to an image, and how well a linear classifier tells \
        which factor two images share (Higgins' metric).";
    const SECTIONS: &'static [&'static str] = &["beta-vae", "beta-tempers"];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("epochs", "20")];

    type Data = ShapeData;
    type Model = BetaVae;

    fn check(&self, shape: &ImageShape, settings: &Settings) -> Result<()> {
        shape.check()?;
        // Once more: they may come from a file.
        let weights = [self.beta, self.capacity, self.gamma];
        ensure!(
            weights
                .iter()
                .flatten()
                .all(|weight| WEIGHTS.contains(weight))
                && !(self.beta.is_some() && self.capacity.is_some()),
            "expected a beta or a capacity and a gamma, each from 0 to 1e6"
        );
        self.networks().check(shape, settings.batch)
    }

    fn weights(&self, shape: &ImageShape) -> Option<usize> {
        self.networks().weights(shape)
    }

    fn build(
        &self,
        shape: &ImageShape,
        training: &Training,
        parameters: &mut Parameters<f32>,
        rng: &mut StdRng,
    ) -> BetaVae {
        let architecture = Architecture {
            dimensions: shape.dimensions(),
            hidden: self.hidden.0.clone(),
            latent: self.latent,
            activation: self.activation,
            likelihood: Likelihood::Bernoulli,
        };
        let vae = Vae::new(architecture, parameters, rng);
        BetaVae::new(vae, self.cost(training.steps()))
    }

    fn describe(&self, shape: &ImageShape) -> String {
        let cost = match self.capacity {
            Some(capacity) => format!("C = {capacity} nats"),
            None => format!("β = {}", self.beta.unwrap_or(BETA)),
        };
        format!("{} β-VAE ({cost})", self.networks().layers(shape))
    }

    fn rows(&self, shape: &ImageShape) -> Vec<(String, String)> {
        let rising = |number: f64| match self.warm_up() {
            0 => number.to_string(),
            epochs => format!("{number}, rising over {epochs} epochs"),
        };
        let layers = format!("{} and back", self.networks().layers(shape));
        let mut rows = vec![
            ("encoder", layers),
            ("activation", self.activation.to_string()),
            ("likelihood", Likelihood::Bernoulli.to_string()),
        ];
        match self.capacity {
            Some(capacity) => rows.extend([
                ("capacity C, nats", rising(capacity)),
                ("γ", self.gamma.unwrap_or(GAMMA).to_string()),
            ]),
            None => rows.push(("β", rising(self.beta.unwrap_or(BETA)))),
        }
        let named = |(name, value): (&str, String)| (name.to_owned(), value);
        rows.into_iter().map(named).collect()
    }

    fn legend() -> &'static str {
        "In nats per image, ELBO = reconstruction − KL (what is maximised weighs the KL otherwise)."
    }

    fn line(metrics: &Metrics) -> String {
        line(metrics)
    }

    fn columns(&self, metrics: &Metrics) -> Vec<Column> {
        columns(metrics)
    }

    fn curve(&self, epochs: &[EpochMetrics]) -> (&'static str, Figure) {
        let caption = "The bound and its terms, in nats per image. What is maximised is not the bound: it weighs the KL, or holds it at a \
                       capacity. Look for a KL that has settled; with a capacity, at C.";
        let figure = Figure {
            caption: caption.to_owned(),
            ..Figure::curve(curve(epochs))
        };
        ("elbo.svg", figure)
    }

    fn pictures(
        saved: &Saved<Self>,
        data: &LoadedData<ShapeData>,
    ) -> Result<Vec<(String, Figure)>> {
        pictures::all(saved, data)
    }

    fn evaluate(saved: Saved<Self>, options: &Evaluate) -> Result<()> {
        options.beta_vae(&saved)
    }

    fn sample(saved: Saved<Self>, options: &Sample) -> Result<()> {
        options.vae(&saved)
    }

    fn reconstruct(saved: Saved<Self>, options: &Reconstruct) -> Result<()> {
        options.vae(&saved)
    }
}
