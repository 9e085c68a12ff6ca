//! What the autoencoders of chapter 6 share at the command line: the networks' options, the report, the probe.

mod evaluate;
pub mod figures;
mod options;
mod pictures;
pub mod probe;
mod reconstruct;
pub mod rows;
pub mod views;

use anyhow::{Result, ensure};
use clap::Args;
use rand::rngs::StdRng;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

use super::{Column, ImageData, ImageShape, LoadedData, ModelCommand, Saved, Training};
use crate::autoencoders::{Autoencoder, Coding, ReconstructionLoss};
use crate::cli::plot::{Axis, Chart, Panel, colors};
use crate::cli::report::{Content, Figure};
use crate::cli::requests::{Evaluate, Reconstruct};
use crate::nn::{Model, Parameters};
use crate::train::{EpochMetrics, Metrics, Settings};

pub use options::{CorruptionOptions, NetworkOptions, PROPORTIONS, proportion};

/// A term of an objective.
pub struct Term {
    /// In the metrics.
    pub name: &'static str,
    /// In the report.
    pub title: &'static str,
    /// What it is measured in; none: what the loss is.
    pub unit: Option<&'static str>,
}

impl Term {
    /// The error of the reconstructions, `error` in the metrics.
    pub const fn error(title: &'static str) -> Self {
        Self {
            name: "error",
            title,
            unit: None,
        }
    }

    fn unit(&self, loss: ReconstructionLoss) -> &'static str {
        self.unit.unwrap_or(unit(loss))
    }
}

/// What the error of a reconstruction is measured in, summed over pixels.
pub fn unit(loss: ReconstructionLoss) -> &'static str {
    match loss {
        ReconstructionLoss::SquaredError => "squared error per image",
        ReconstructionLoss::CrossEntropy => "nats per image",
    }
}

/// An autoencoder at the command line: what its options add to those of the networks.
pub trait AutoencoderCommand: Args + Clone + fmt::Debug + Serialize + DeserializeOwned {
    /// As [`ModelCommand::NAME`].
    const NAME: &'static str;
    /// As [`ModelCommand::TITLE`].
    const TITLE: &'static str;
    /// As [`ModelCommand::ABOUT`].
    const ABOUT: &'static str;
    /// As [`ModelCommand::DETAILS`].
    const DETAILS: &'static str;
    /// As [`ModelCommand::SECTIONS`].
    const SECTIONS: &'static [&'static str];
    /// As [`ModelCommand::DEFAULTS`].
    const DEFAULTS: &'static [(&'static str, &'static str)];
    /// The terms of the objective, the error of the reconstructions first.
    const TERMS: &'static [Term];
    /// What the columns of the progress mean: a sentence.
    const LEGEND: &'static str;

    /// What the options build.
    type Model: Model<f32> + Coding;

    /// The options of the networks.
    fn network(&self) -> &NetworkOptions;

    /// Refuses options that do not fit each other.
    ///
    /// # Errors
    /// With what was expected and what was found.
    fn check_own(&self, _: &ImageShape, _: &Settings) -> Result<()> {
        Ok(())
    }

    /// The model around its networks.
    fn around(&self, networks: Autoencoder, training: &Training) -> Self::Model;

    /// The choices beside those of the networks, as a person reads them: name and value.
    fn own_rows(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Corrupted images that the report shows, if the model is trained on such.
    fn corruption(&self) -> Option<crate::autoencoders::Corruption> {
        None
    }
}

impl<M: AutoencoderCommand> ModelCommand for M {
    const NAME: &'static str = M::NAME;
    const TITLE: &'static str = M::TITLE;
    const ABOUT: &'static str = M::ABOUT;
    const DETAILS: &'static str = M::DETAILS;
    const SECTIONS: &'static [&'static str] = M::SECTIONS;
    const DEFAULTS: &'static [(&'static str, &'static str)] = M::DEFAULTS;

    type Data = ImageData;
    type Model = <M as AutoencoderCommand>::Model;

    fn check(&self, shape: &ImageShape, settings: &Settings) -> Result<()> {
        shape.check()?;
        self.network().check(shape, settings)?;
        self.check_own(shape, settings)
    }

    fn weights(&self, shape: &ImageShape) -> Option<usize> {
        self.network().weights(shape)
    }

    fn build(
        &self,
        shape: &ImageShape,
        training: &Training,
        parameters: &mut Parameters<f32>,
        rng: &mut StdRng,
    ) -> Self::Model {
        let structure = self.network().structure(shape.dimensions());
        self.around(Autoencoder::new(structure, parameters, rng), training)
    }

    fn describe(&self, shape: &ImageShape) -> String {
        let article = M::TITLE.split_once(' ').map_or(M::TITLE, |(_, noun)| noun);
        format!(
            "{} {article} ({})",
            self.network().layers(shape),
            self.network().loss()
        )
    }

    fn rows(&self, shape: &ImageShape) -> Vec<(String, String)> {
        let mut rows = self.network().rows(shape);
        rows.extend(self.own_rows());
        rows
    }

    fn legend() -> &'static str {
        M::LEGEND
    }

    fn line(metrics: &Metrics) -> String {
        let terms = M::TERMS.iter();
        let numbers = terms.map(|term| format!("{:10.3}", mean(metrics, term)));
        numbers.collect::<Vec<_>>().join(" ")
    }

    fn columns(&self, metrics: &Metrics) -> Vec<Column> {
        let column = |term: &Term| Column {
            name: term.name,
            title: term.title,
            value: mean(metrics, term),
            unit: term.unit(self.network().loss()),
        };
        M::TERMS.iter().map(column).collect()
    }

    fn curve(&self, epochs: &[EpochMetrics]) -> (&'static str, Figure) {
        let panel = |term: &Term| {
            let points = |of: fn(&EpochMetrics) -> &Metrics| {
                let point = |epoch: &EpochMetrics| (epoch.number as f64, mean(of(epoch), term));
                epochs.iter().map(point).collect::<Vec<_>>()
            };
            let mut title = term.title.to_owned();
            title[..1].make_ascii_uppercase();
            let unit = term.unit(self.network().loss());
            Panel::new(title, Axis::whole("epoch"), Axis::linear(unit))
                .dashed("training", colors::GRAY, points(|epoch| &epoch.train))
                .line("test", colors::BLUE, points(|epoch| &epoch.test))
        };
        let chart = M::TERMS.iter().fold(
            Chart::new("The terms of the objective, epoch by epoch"),
            |chart, term| chart.panel(panel(term)),
        );
        let mut caption = "The error of the reconstructions, summed over the pixels of an image: lower is better. Look for a test \
                           curve that has levelled off; one that rises while the training curve falls is overfitting."
            .to_owned();
        if M::TERMS.len() > 1 {
            caption += " Beside it, the penalty before it is weighted: it rises where the model buys better reconstructions with it.";
        }
        let figure = Figure {
            title: "Training".to_owned(),
            caption,
            content: Content::Svg(chart.svg()),
        };
        ("error.svg", figure)
    }

    fn pictures(
        saved: &Saved<Self>,
        data: &LoadedData<ImageData>,
    ) -> Result<Vec<(String, Figure)>> {
        pictures::all(saved, data)
    }

    fn evaluate(saved: Saved<Self>, options: &Evaluate) -> Result<()> {
        options.autoencoder(&saved)
    }

    fn reconstruct(saved: Saved<Self>, options: &Reconstruct) -> Result<()> {
        options.autoencoder(&saved)
    }
}

fn mean(metrics: &Metrics, term: &Term) -> f64 {
    metrics.term(term.name).unwrap_or(f64::NAN)
}

/// Refuses a code whose activation does not lie between 0 and 1.
pub fn ensure_sigmoid(network: &NetworkOptions, whose: &str) -> Result<()> {
    ensure!(
        network.code_activation() == crate::nn::Activation::Sigmoid,
        "{whose} needs a code between 0 and 1: leave out --code-activation, or say sigmoid"
    );
    Ok(())
}
