//! VQ-VAE and VQ-VAE-2 at the command line: codes from a table, on one level or two.

mod evaluate;
pub mod figures;
mod options;
mod pictures;
mod views;

use std::fmt;

use anyhow::{Result, ensure};
use clap::Args;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Column, ImageData, ImageShape, LoadedData, ModelCommand, Saved, Training};
use crate::autoencoders::{DiscreteCoding, VqStructure, VqVae, VqVae2};
use crate::cli::options::positive;
use crate::cli::plot::{Axis, Chart, Panel, colors};
use crate::cli::report::{Content, Figure};
use crate::cli::requests::{Evaluate, Reconstruct, Sample};
use crate::nn::{Model, Parameters};
use crate::train::{EpochMetrics, Metrics, Settings};

pub use options::QuantisedOptions;

/// On how many levels codes are, and what is to be said of it.
pub trait Levels: Args + Clone + fmt::Debug + Serialize + DeserializeOwned {
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

    /// The model.
    type Model: Model<f32> + DiscreteCoding;

    /// Refuses a number of upper codes that does not fit.
    ///
    /// # Errors
    /// With what was expected and what was found.
    fn check(&self, structure: &VqStructure) -> Result<()>;

    /// The model with fresh weights.
    fn build(
        &self,
        structure: VqStructure,
        parameters: &mut Parameters<f32>,
        rng: &mut StdRng,
    ) -> Self::Model;

    /// How many of the codes are upper ones.
    fn upper(&self) -> usize;
}

/// The options of a model whose codes are from a table.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct QuantisedCommand<L: Levels> {
    #[command(flatten)]
    shared: QuantisedOptions,

    #[command(flatten)]
    levels: L,
}

/// The VQ-VAE.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct OneLevel {}

impl Levels for OneLevel {
    const NAME: &'static str = "vq-vae";
    const TITLE: &'static str = "A VQ-VAE";
    const ABOUT: &'static str =
        "VQ-VAE: codes are numbers of vectors in a table, with a prior that learns beside";
    const DETAILS: &'static str = "Without any option: 784-512 hidden units, 16 codes of 128, moving averages, a Bernoulli decoder, and a \
        masked network as the prior.";
    const SECTIONS: &'static [&'static str] = &["vq-bound", "vq-straight-through", "vq-ema"];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("epochs", "20")];

    type Model = VqVae;

    fn check(&self, _: &VqStructure) -> Result<()> {
        Ok(())
    }

    fn build(
        &self,
        structure: VqStructure,
        parameters: &mut Parameters<f32>,
        rng: &mut StdRng,
    ) -> VqVae {
        VqVae::new(structure, parameters, rng)
    }

    fn upper(&self) -> usize {
        0
    }
}

/// The VQ-VAE-2.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct TwoLevels {
    /// How many of the codes are upper ones, which the lower ones and their prior read
    #[arg(long, value_name = "N", default_value = "4", value_parser = positive, allow_negative_numbers = true)]
    upper: usize,
}

impl Levels for TwoLevels {
    const NAME: &'static str = "vq-vae-2";
    const TITLE: &'static str = "A VQ-VAE-2";
    const ABOUT: &'static str = "VQ-VAE-2: upper codes for the whole, lower codes for the rest";
    const DETAILS: &'static str = "Without any option: 784-512 hidden units, 4 upper and 12 lower codes of 64, moving averages, a Bernoulli \
        decoder, and a masked network as the prior of both.";
    const SECTIONS: &'static [&'static str] = &["vq-vae-2"];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("epochs", "20"), ("codes", "64")];

    type Model = VqVae2;

    fn check(&self, structure: &VqStructure) -> Result<()> {
        ensure!(
            self.upper < structure.positions,
            "--upper is a part of the {} codes of an image: expected fewer, found {}",
            structure.positions,
            self.upper
        );
        ensure!(
            !structure.hidden.is_empty(),
            "both levels read the encoder's last hidden layer: expected --hidden WIDTHS, found none"
        );
        Ok(())
    }

    fn build(
        &self,
        structure: VqStructure,
        parameters: &mut Parameters<f32>,
        rng: &mut StdRng,
    ) -> VqVae2 {
        VqVae2::new(structure, self.upper, parameters, rng)
    }

    fn upper(&self) -> usize {
        self.upper
    }
}

impl<L: Levels> ModelCommand for QuantisedCommand<L> {
    const NAME: &'static str = L::NAME;
    const TITLE: &'static str = L::TITLE;
    const ABOUT: &'static str = L::ABOUT;
    const DETAILS: &'static str = L::DETAILS;
    const SECTIONS: &'static [&'static str] = L::SECTIONS;
    const DEFAULTS: &'static [(&'static str, &'static str)] = L::DEFAULTS;

    type Data = ImageData;
    type Model = L::Model;

    fn check(&self, shape: &ImageShape, settings: &Settings) -> Result<()> {
        shape.check()?;
        self.shared.check(shape, settings)?;
        self.levels
            .check(&self.shared.structure(shape.dimensions()))
    }

    fn weights(&self, shape: &ImageShape) -> Option<usize> {
        self.shared.weights(shape, self.levels.upper())
    }

    fn build(
        &self,
        shape: &ImageShape,
        _: &Training,
        parameters: &mut Parameters<f32>,
        rng: &mut StdRng,
    ) -> L::Model {
        let structure = self.shared.structure(shape.dimensions());
        self.levels.build(structure, parameters, rng)
    }

    fn describe(&self, shape: &ImageShape) -> String {
        let noun = L::TITLE.split_once(' ').map_or(L::TITLE, |(_, noun)| noun);
        let structure = self.shared.structure(shape.dimensions());
        format!(
            "{} {noun} with {} codes of {}",
            self.shared.layers(shape),
            structure.positions,
            structure.codes
        )
    }

    fn rows(&self, shape: &ImageShape) -> Vec<(String, String)> {
        let mut rows = self.shared.rows(shape);
        if self.levels.upper() > 0 {
            rows.push(("upper codes".to_owned(), self.levels.upper().to_string()));
        }
        rows
    }

    fn legend() -> &'static str {
        "In nats per image, bound = reconstruction − codes."
    }

    fn line(metrics: &Metrics) -> String {
        let Terms {
            reconstruction,
            codes,
        } = Terms::of(metrics);
        format!(
            "{:9.2} = {reconstruction:7.2} − {codes:6.2}",
            reconstruction - codes
        )
    }

    fn columns(&self, metrics: &Metrics) -> Vec<Column> {
        let Terms {
            reconstruction,
            codes,
        } = Terms::of(metrics);
        let column = |name, title, value, unit| Column {
            name,
            title,
            value,
            unit,
        };
        let nats = "nats per image";
        vec![
            column("bound", "bound on log p(x)", reconstruction - codes, nats),
            column("reconstruction", "reconstruction", reconstruction, nats),
            column("codes", "codes", codes, nats),
            column(
                "commitment",
                "squared distance to the codes",
                term(metrics, "commitment"),
                "per image",
            ),
        ]
    }

    fn curve(&self, epochs: &[EpochMetrics]) -> (&'static str, Figure) {
        let points = |of: &dyn Fn(&EpochMetrics) -> f64| {
            let points = epochs.iter().map(|epoch| (epoch.number as f64, of(epoch)));
            points.collect::<Vec<_>>()
        };
        let panel = |title: &str, of: fn(&Metrics) -> f64| {
            Panel::new(title, Axis::whole("epoch"), Axis::linear("nats per image"))
                .dashed("training", colors::BLUE, points(&|epoch| of(&epoch.train)))
                .line("test", colors::ORANGE, points(&|epoch| of(&epoch.test)))
        };
        let svg = Chart::new("The bound and the cost of the codes in every epoch")
            .panel(panel("Bound on log p(x)", |metrics| {
                Terms::of(metrics).bound()
            }))
            .below(panel("Cost of the codes", |metrics| {
                Terms::of(metrics).codes
            }))
            .svg();
        let figure = Figure {
            title: "Training".to_owned(),
            caption: "Above, log p(x|k) + log p(k) at the code k of each image, a bound on log p(x): higher is better. Below, what the codes \
                      cost under the prior that learns beside. While codes still move, the prior runs after them; look for both curves \
                      to level off."
                .to_owned(),
            content: Content::Svg(svg),
        };
        ("bound.svg", figure)
    }

    fn pictures(
        saved: &Saved<Self>,
        data: &LoadedData<ImageData>,
    ) -> Result<Vec<(String, Figure)>> {
        pictures::all(saved, data)
    }

    fn evaluate(saved: Saved<Self>, options: &Evaluate) -> Result<()> {
        options.quantised(&saved)
    }

    fn sample(saved: Saved<Self>, options: &Sample) -> Result<()> {
        options.quantised(&saved)
    }

    fn reconstruct(saved: Saved<Self>, options: &Reconstruct) -> Result<()> {
        options.quantised(&saved)
    }
}

/// The terms of the bound, in nats.
struct Terms {
    reconstruction: f64,
    codes: f64,
}

impl Terms {
    fn of(metrics: &Metrics) -> Self {
        Self {
            reconstruction: term(metrics, "reconstruction"),
            codes: -term(metrics, "log_prior"),
        }
    }

    fn bound(&self) -> f64 {
        self.reconstruction - self.codes
    }
}

fn term(metrics: &Metrics, name: &str) -> f64 {
    metrics.term(name).unwrap_or(f64::NAN)
}
