//! The models at the command line, each in a place of its own; [`registry`](super::registry) lists them.

mod autoencoder;
pub mod autoencoders;
pub mod beta_vae;
mod contractive;
mod denoising;
mod images;
mod k_sparse;
pub mod quantised;
mod saved;
mod shapes;
mod sparse;
pub mod td_vae;
mod vae;

use std::fmt;

use anyhow::{Result, bail};
use clap::Args;
use rand::rngs::StdRng;
use serde::{Serialize, de::DeserializeOwned};

use super::report::Figure;
use super::requests::{Evaluate, Reconstruct, Sample};
use crate::data::Source;
use crate::nn::{Model, Parameters};
use crate::train::{EpochMetrics, Metrics, Settings};

pub use autoencoder::PlainCommand;
pub use beta_vae::BetaVaeCommand;
pub use contractive::ContractiveCommand;
pub use denoising::DenoisingCommand;
pub use images::{ImageCommand, ImageData, ImageShape, seen};
pub use k_sparse::KSparseCommand;
pub use quantised::{OneLevel, QuantisedCommand, TwoLevels};
pub use saved::{Configuration, FILE, FORMAT, Header, ModelFile, Saved, file_of, header};
pub use shapes::{ShapeData, ShapeSource, draws};
pub use sparse::SparseCommand;
pub use td_vae::TdVaeCommand;
pub use vae::VaeCommand;

/// A model at the command line: its options (by deriving [`Args`]), what they build, and what a person gets to see.
pub trait ModelCommand: Args + Clone + fmt::Debug + Serialize + DeserializeOwned {
    /// What is typed after `elbo train`.
    const NAME: &'static str;
    /// What it is called, with its article: `A variational autoencoder`.
    const TITLE: &'static str;
    /// What it is, in a line.
    const ABOUT: &'static str;
    /// What else `elbo train NAME --help` says.
    const DETAILS: &'static str;
    /// The sections of the notes that derive it.
    const SECTIONS: &'static [&'static str];
    /// Options common to all models whose defaults are others here: name and value.
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[];

    /// What it is trained on.
    type Data: DataCommand;
    /// What the options build.
    type Model: Model<f32>;

    /// Refuses options that do not fit each other or the data: they may come from a damaged file.
    ///
    /// # Errors
    /// With what was expected and what was found.
    fn check(&self, shape: &ShapeOf<Self>, settings: &Settings) -> Result<()>;

    /// How many numbers its weights hold; `None` if that is beyond counting.
    fn weights(&self, shape: &ShapeOf<Self>) -> Option<usize>;

    /// The model, with fresh weights.
    fn build(
        &self,
        shape: &ShapeOf<Self>,
        training: &Training,
        parameters: &mut Parameters<f32>,
        rng: &mut StdRng,
    ) -> Self::Model;

    /// A noun phrase: `784-400-20 VAE (Bernoulli decoder)`.
    fn describe(&self, shape: &ShapeOf<Self>) -> String;

    /// The choices as a person reads them: name and value.
    fn rows(&self, shape: &ShapeOf<Self>) -> Vec<(String, String)>;

    /// What the columns of the progress mean: a sentence.
    fn legend() -> &'static str;

    /// The means of an epoch in one line, always of the same width.
    fn line(metrics: &Metrics) -> String;

    /// The columns of the table.
    fn columns(&self, metrics: &Metrics) -> Vec<Column>;

    /// The curve over the epochs, with the name of its file.
    fn curve(&self, epochs: &[EpochMetrics]) -> (&'static str, Figure);

    /// Pictures of the trained model, with their files' names.
    ///
    /// # Errors
    /// If a picture would be too large.
    fn pictures(
        saved: &Saved<Self>,
        data: &LoadedData<Self::Data>,
    ) -> Result<Vec<(String, Figure)>>;

    /// `elbo evaluate`.
    ///
    /// # Errors
    /// If the data cannot be read or do not fit.
    fn evaluate(_: Saved<Self>, _: &Evaluate) -> Result<()> {
        bail!(
            "`elbo evaluate` does not know what to measure of a model `{}`",
            Self::NAME
        )
    }

    /// `elbo sample`.
    ///
    /// # Errors
    /// If a file cannot be written.
    fn sample(_: Saved<Self>, _: &Sample) -> Result<()> {
        bail!("a model `{}` has no prior to sample from", Self::NAME)
    }

    /// `elbo reconstruct`.
    ///
    /// # Errors
    /// If the data cannot be read or do not fit, or a file cannot be written.
    fn reconstruct(_: Saved<Self>, _: &Reconstruct) -> Result<()> {
        bail!("a model `{}` does not reconstruct", Self::NAME)
    }
}

/// What is said of a saved model whose figures are not finite.
pub const DAMAGED: &str =
    "expected finite figures, found NaN or infinite ones: are the model's weights damaged?";

/// A figure of an epoch.
pub struct Column {
    /// What the file of metrics calls it, after `train_` or `test_`.
    pub name: &'static str,
    /// What the report calls it.
    pub title: &'static str,
    /// With a sign in front if it has one.
    pub value: f64,
    /// What it is measured in: `nats per image`.
    pub unit: &'static str,
}

/// Data at the command line: the options that choose them, and how they are read.
pub trait DataCommand:
    Args + Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned
{
    /// What a model must know of the data to be built: an image's height and width, say.
    type Shape: Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned;
    /// Where batches come from.
    type Source: Source<f32>;

    /// The same options with paths that hold in every working folder.
    fn absolute(self) -> Self {
        self
    }

    /// Refuses options that do not go together. Asked of those that are typed only: a file of an older run may hold such.
    ///
    /// # Errors
    /// With what was expected and what was found.
    fn check_typed(&self) -> Result<()> {
        Ok(())
    }

    /// Reads or makes the data.
    ///
    /// # Errors
    /// If a file cannot be read or holds something else.
    fn load(&self) -> Result<LoadedData<Self>>;

    /// Reads the test set, and no more than it needs for that.
    ///
    /// # Errors
    /// If a file cannot be read or holds something else.
    fn load_test(&self) -> Result<TestData<Self>> {
        let LoadedData {
            name, shape, test, ..
        } = self.load()?;
        Ok(TestData { name, shape, test })
    }

    /// How many there are: `10000 training and 2000 test`.
    fn count(data: &LoadedData<Self>) -> String;

    /// What a datum is: `images of 28x28 pixels`.
    fn describe(shape: &Self::Shape) -> String;
}

/// Data that were read.
pub struct LoadedData<D: DataCommand> {
    /// What they are called.
    pub name: String,
    /// What a model must know of them.
    pub shape: D::Shape,
    /// To train on.
    pub train: D::Source,
    /// Held out.
    pub test: D::Source,
    /// Tells other data apart from these.
    pub checksum: u32,
}

/// The test set of data that were read.
pub struct TestData<D: DataCommand> {
    /// What they are called.
    pub name: String,
    /// What a model must know of them.
    pub shape: D::Shape,
    /// Held out.
    pub test: D::Source,
}

/// The shape of a model's data.
pub type ShapeOf<M> = <<M as ModelCommand>::Data as DataCommand>::Shape;

/// Where a model's batches come from.
pub type SourceOf<M> = <<M as ModelCommand>::Data as DataCommand>::Source;

/// What of the training a model's schedules may depend on. Not the number of epochs, which can be raised later.
#[derive(Clone, Copy, Debug)]
pub struct Training {
    /// Data in a step.
    pub batch: usize,
    /// Training data, of which an epoch takes each once.
    pub data: usize,
}

impl Training {
    /// Steps in an epoch.
    pub fn steps(&self) -> usize {
        self.data.div_ceil(self.batch)
    }
}
