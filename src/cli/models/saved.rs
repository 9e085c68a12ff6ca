//! A saved model: the weights and, in the same file, everything needed to use them again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{DataCommand, ModelCommand, ShapeOf, TestData, Training};
use crate::distributions::noise::stream;
use crate::nn::{Parameters, checkpoint};
use crate::train::Settings;

/// The name of the model's file in the folder that a training run leaves.
pub const FILE: &str = "model.safetensors";

/// No model has more weights: a gigabyte of them, of which training needs several.
const MOST_WEIGHTS: usize = 1 << 28;

/// Changes when an older reader would misunderstand the file.
pub const FORMAT: u32 = 2;

/// What is written beside the weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Configuration<M: ModelCommand> {
    /// The version of this description.
    pub format: u32,
    /// Which model it is.
    pub model: String,
    /// Its options.
    pub options: M,
    /// How it was trained.
    pub settings: Settings,
    /// The options that chose the data.
    pub data: M::Data,
    /// What the model knows of the data.
    pub shape: ShapeOf<M>,
    /// What the data are called.
    pub data_name: String,
    /// How many there were to train on.
    pub training_data: usize,
    /// Tells other data apart from these.
    pub data_checksum: u32,
    /// The command that repeats the run.
    pub command: Vec<String>,
    /// The files that belong to the same results.
    pub files: Vec<String>,
}

/// What every description begins with, whatever the model.
#[derive(Deserialize)]
pub struct Header {
    /// The version of the description.
    pub format: u32,
    /// Which model it is.
    pub model: String,
    /// The files that belong to the same results.
    #[serde(default)]
    pub files: Vec<String>,
    /// How it was trained.
    pub settings: Option<Settings>,
    /// Tells other data apart from those that it was trained on.
    pub data_checksum: Option<u32>,
}

/// What kind of model the bytes of a file hold.
///
/// # Errors
/// If they are not a model of this version.
pub fn header(bytes: &[u8]) -> Result<Header> {
    let description = checkpoint::description(bytes)?;
    let header: Header = serde_json::from_str(&description).context(
        "expected a model that `elbo train` wrote, found another description (a checkpoint? `elbo train --resume` \
         finishes it)",
    )?;
    header.check("model")?;
    Ok(header)
}

impl Header {
    /// Refuses the description of another version, of a model or a checkpoint.
    ///
    /// # Errors
    /// If it is one.
    pub fn check(&self, whose: &str) -> Result<()> {
        ensure!(
            self.format == FORMAT,
            "expected format {FORMAT} of the {whose}'s description, found {}: it was written by another version",
            self.format
        );
        Ok(())
    }
}

impl<M: ModelCommand> Configuration<M> {
    /// What of the training the model's schedules must know.
    pub fn training(&self) -> Training {
        Training {
            batch: self.settings.batch,
            data: self.training_data,
        }
    }

    /// The model with fresh weights.
    pub fn fresh(&self) -> (M::Model, Parameters<f32>) {
        let mut parameters = Parameters::new();
        let mut rng = stream(self.settings.seed, "weights", 0);
        let model = (self.options).build(&self.shape, &self.training(), &mut parameters, &mut rng);
        (model, parameters)
    }

    /// Refuses a damaged description, so that it ends neither in a panic nor in an endless allocation.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.settings.batch > 0 && self.training_data > 0,
            "a batch and the training data must not be empty"
        );
        let rate = &self.settings.rate;
        ensure!(
            rate.is_sound() && rate.at(0) > 0.0 && self.settings.patience != Some(0),
            "expected a positive learning rate and a positive patience"
        );
        self.options.check(&self.shape, &self.settings)?;
        let weights = self.options.weights(&self.shape).unwrap_or(usize::MAX);
        ensure!(
            weights <= MOST_WEIGHTS,
            "layers of these widths have too many weights: the most is {MOST_WEIGHTS}"
        );
        Ok(())
    }

    /// The same for the description in a file of so many bytes, which must be large enough for the weights.
    ///
    /// # Errors
    /// If it is damaged, or the file is too small.
    pub fn check_in_file(&self, whose: &str, bytes: usize) -> Result<()> {
        (self.check()).with_context(|| format!("the {whose}'s description is damaged"))?;
        // Only what is out of all proportion: of what is not, the tensor that does not fit is named.
        let weights = self.options.weights(&self.shape);
        ensure!(
            weights.is_some_and(|weights| weights <= bytes),
            "the file holds another architecture: it is too small for the weights of this one"
        );
        Ok(())
    }

    /// The test set that a saved model is shown: `chosen`, which the options of a command made of the model's own.
    ///
    /// # Errors
    /// If they cannot be read, or are of another shape than the data that the model was trained on.
    pub fn test_data(&self, chosen: &M::Data) -> Result<TestData<M::Data>> {
        let mut data = chosen.load_test();
        if *chosen == self.data {
            data = data.context("the data that the model was trained on (`--data` names others)");
        }
        let data = data?;
        self.accepts(&data.name, &data.shape)?;
        Ok(data)
    }

    /// Checks that other data have the shape of those that the model was trained on.
    ///
    /// # Errors
    /// If they do not.
    pub fn accepts(&self, name: &str, shape: &ShapeOf<M>) -> Result<()> {
        ensure!(
            *shape == self.shape,
            "the model was trained on {} ({}), but {name} has {}",
            M::Data::describe(&self.shape),
            self.data_name,
            M::Data::describe(shape)
        );
        Ok(())
    }
}

/// A model with its weights and their description.
pub struct Saved<M: ModelCommand> {
    /// What is known of it.
    pub configuration: Configuration<M>,
    /// Its structure.
    pub model: M::Model,
    /// Its weights.
    pub parameters: Parameters<f32>,
}

impl<M: ModelCommand> Saved<M> {
    /// The bytes of its file.
    ///
    /// # Errors
    /// If the description cannot be written as text.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let description = serde_json::to_string(&self.configuration)?;
        Ok(checkpoint::write(&self.parameters, &description))
    }

    /// Reads the bytes of its file.
    ///
    /// # Errors
    /// If they are damaged or hold another model.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let description = checkpoint::description(bytes)?;
        let configuration: Configuration<M> = serde_json::from_str(&description)
            .context("expected a model that `elbo train` wrote, found another description")?;
        configuration.check_in_file("model", bytes.len())?;
        let (model, mut parameters) = configuration.fresh();
        checkpoint::read(bytes, &mut parameters)?;
        Ok(Self {
            configuration,
            model,
            parameters,
        })
    }
}

/// The model's file: in a folder, the one that `elbo train` left there.
pub fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join(FILE)
    } else {
        path.to_path_buf()
    }
}

/// A file that is said to hold a model.
pub struct ModelFile {
    /// Where it is.
    path: PathBuf,
    /// What is in it.
    bytes: Vec<u8>,
}

impl ModelFile {
    /// Reads a file, or the one in a folder that `elbo train` left.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let path = file_of(path);
        let bytes = fs::read(&path).with_context(|| match path.exists() {
            true => format!("cannot read the model {}", path.display()),
            false => format!(
                "cannot read the model {}: train one first (elbo train), or name the folder of one",
                path.display()
            ),
        })?;
        Ok(Self { path, bytes })
    }

    /// What kind of model it holds.
    ///
    /// # Errors
    /// As [`header`], with the name of the file.
    pub fn header(&self) -> Result<Header> {
        header(&self.bytes).with_context(|| self.path.display().to_string())
    }

    /// The model.
    ///
    /// # Errors
    /// As [`Saved::read`], with the name of the file.
    pub fn model<M: ModelCommand>(&self) -> Result<Saved<M>> {
        Saved::read(&self.bytes).with_context(|| self.path.display().to_string())
    }
}
