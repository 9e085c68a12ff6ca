//! A saved model: the weights and, in the same file, everything needed to use them again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::{Binarisation, Dataset};
use crate::distributions::noise::stream;
use crate::nn::{Parameters, checkpoint};
use crate::train::Settings;
use crate::vae::{Architecture, Divergence, Likelihood, Vae};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::output::write_atomically;

/// The name of the model's file in the folder that a training run leaves.
pub const FILE: &str = "model.safetensors";

/// Changes when an older reader would misunderstand the file.
const FORMAT: u32 = 1;

/// What is written beside the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The version of this description.
    pub format: u32,
    /// Of what it is made.
    pub architecture: Architecture,
    /// How the KL term was computed.
    pub divergence: Divergence,
    /// Samples of z for each datum.
    pub samples: usize,
    /// How it was trained.
    pub settings: Settings,
    /// On what: the data set's name.
    pub data: String,
    /// How many training images.
    pub images: usize,
    /// The images' height.
    pub height: usize,
    /// The images' width.
    pub width: usize,
}

impl Configuration {
    /// The description of a model trained on this data.
    pub fn new(
        architecture: Architecture,
        (divergence, samples): (Divergence, usize),
        settings: Settings,
        data: &Dataset,
    ) -> Self {
        Self {
            format: FORMAT,
            architecture,
            divergence,
            samples,
            settings,
            data: data.name.clone(),
            images: data.train.len(),
            height: data.train.height(),
            width: data.train.width(),
        }
    }

    /// The widths from image to latent: `784-400-20`.
    pub fn layers(&self) -> String {
        let Architecture {
            dimensions,
            hidden,
            latent,
            ..
        } = &self.architecture;
        let widths = [dimensions].into_iter().chain(hidden).chain([latent]);
        widths.map(usize::to_string).collect::<Vec<_>>().join("-")
    }

    /// What a person reads of it.
    pub fn rows(&self) -> Vec<(String, String)> {
        let architecture = &self.architecture;
        let settings = &self.settings;
        [
            (
                "data",
                format!("{}, {} training images", self.data, self.images),
            ),
            ("encoder", format!("{} and back", self.layers())),
            ("activation", architecture.activation.to_string()),
            ("likelihood", architecture.likelihood.to_string()),
            ("KL term", self.divergence.to_string()),
            ("samples of z", self.samples.to_string()),
            ("binarisation", settings.binarisation.to_string()),
            ("batch", settings.batch.to_string()),
            ("epochs", settings.epochs.to_string()),
            ("learning rate", format!("{} (Adam)", settings.rate)),
            ("seed", settings.seed.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// A VAE with its weights and their description.
pub struct SavedModel {
    /// What is known of it.
    pub configuration: Configuration,
    /// Its structure.
    pub vae: Vae,
    /// Its weights.
    pub parameters: Parameters<f32>,
}

impl SavedModel {
    /// A model with fresh weights.
    pub fn fresh(configuration: Configuration) -> Self {
        let mut parameters = Parameters::new();
        let mut rng = stream(configuration.settings.seed, "weights", 0);
        let vae = Vae::new(
            configuration.architecture.clone(),
            &mut parameters,
            &mut rng,
        )
        .with_divergence(configuration.divergence)
        .with_samples(configuration.samples);
        Self {
            configuration,
            vae,
            parameters,
        }
    }

    /// Writes it, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let description = serde_json::to_string(&self.configuration)?;
        let bytes = checkpoint::write(&self.parameters, &description);
        write_atomically(path, |file| Ok(file.write_all(&bytes)?))
    }

    /// Reads a model's file, or the one in a folder that `elbo train` left.
    pub fn load(path: &Path) -> Result<Self> {
        let path = &file_of(path);
        let at = || path.display().to_string();
        let bytes = fs::read(path).with_context(|| match path.exists() {
            true => format!("cannot read the model {}", at()),
            false => format!(
                "cannot read the model {}: train one first (elbo train), or name the folder of one",
                at()
            ),
        })?;
        let description = checkpoint::description(&bytes).with_context(at)?;
        let configuration: Configuration =
            serde_json::from_str(&description).with_context(|| {
                format!(
                    "{}: expected a model that `elbo train` wrote, found another description",
                    at()
                )
            })?;
        configuration.validate(bytes.len()).with_context(at)?;
        let mut model = Self::fresh(configuration);
        checkpoint::read(&bytes, &mut model.parameters).with_context(at)?;
        Ok(model)
    }

    /// Checks that images have the size that the model was trained on.
    pub fn accepts(&self, data: &Dataset) -> Result<()> {
        let (height, width) = (self.configuration.height, self.configuration.width);
        ensure!(
            (data.test.height(), data.test.width()) == (height, width),
            "the model was trained on {height}x{width} images ({}), but {} has {}x{} ones",
            self.configuration.data,
            data.name,
            data.test.height(),
            data.test.width()
        );
        Ok(())
    }

    /// What becomes of grey pixels, unless the caller wants otherwise.
    pub fn binarisation(&self, wanted: Option<Binarisation>) -> Binarisation {
        wanted.unwrap_or(self.configuration.settings.binarisation)
    }
}

impl Configuration {
    /// Checks that weights and intermediate results have a size that a machine can hold.
    pub fn check_size(&self) -> Result<()> {
        let weights = self.weights().unwrap_or(usize::MAX);
        ensure!(
            weights <= MOST_WEIGHTS,
            "layers of these widths have too many weights: the most is {MOST_WEIGHTS}"
        );
        let Architecture {
            dimensions,
            hidden,
            latent,
            ..
        } = &self.architecture;
        let widest = (hidden.iter().copied()).fold(*dimensions.max(&(2 * latent)), usize::max);
        let rows = self.settings.batch.min(self.images).max(TEST_BATCH);
        let entries = rows
            .checked_mul(self.samples)
            .and_then(|rows| rows.checked_mul(widest));
        ensure!(
            entries.is_some_and(|entries| entries <= MOST_ENTRIES),
            "{} samples of z for each of {rows} images in layers up to {widest} wide are too many at once: the most \
             is {MOST_ENTRIES} numbers",
            self.samples
        );
        Ok(())
    }

    /// How many numbers the matrices of encoder and decoder hold; `None` if that is beyond counting.
    fn weights(&self) -> Option<usize> {
        let Architecture {
            dimensions,
            hidden,
            latent,
            ..
        } = &self.architecture;
        let layers = |ends: [usize; 2]| -> Option<usize> {
            let widths = [&ends[..1], hidden.as_slice(), &ends[1..]].concat();
            (widths.windows(2)).try_fold(0usize, |total, pair| {
                total.checked_add(pair[0].checked_mul(pair[1])?)
            })
        };
        layers([*dimensions, latent.checked_mul(2)?])?.checked_add(layers([*dimensions, *latent])?)
    }

    /// A damaged description shall not end in a panic or an endless allocation. `bytes` is the size of the file.
    fn validate(&self, bytes: usize) -> Result<()> {
        ensure!(
            self.format == FORMAT,
            "expected format {FORMAT} of the model's description, found {}: it was written by another version",
            self.format
        );
        let Architecture {
            dimensions,
            hidden,
            latent,
            ..
        } = &self.architecture;
        let widths = hidden.iter().chain([dimensions, latent]);
        ensure!(
            widths
                .chain([&self.samples])
                .all(|&width| width > 0 && width <= MAX_WIDTH),
            "the model's description is damaged: widths and samples must be from 1 to {MAX_WIDTH}"
        );
        ensure!(
            self.height.checked_mul(self.width) == Some(*dimensions),
            "the model's description is damaged: {}x{} images do not have {dimensions} pixels",
            self.height,
            self.width
        );
        self.check_size()
            .context("the model's description is damaged")?;
        // Only what is out of all proportion: of what is not, the tensor that does not fit is named.
        ensure!(
            self.weights().is_some_and(|weights| weights <= bytes),
            "the file holds another architecture: it is too small for the weights of this one"
        );
        if let Likelihood::Gaussian { deviation } = self.architecture.likelihood {
            ensure!(
                deviation.is_finite() && deviation > 0.0,
                "the model's description is damaged: a deviation must be greater than 0, found {deviation}"
            );
        }
        Ok(())
    }
}

/// No layer is wider than this.
pub const MAX_WIDTH: usize = 1 << 16;

/// No model has more weights: a gigabyte of them, of which training needs several.
const MOST_WEIGHTS: usize = 1 << 28;

/// No intermediate result has more entries.
const MOST_ENTRIES: usize = 1 << 28;

/// How many test images go through the model at once.
const TEST_BATCH: usize = 512;

/// The model's file: in a folder, the one that `elbo train` left there.
pub fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join(FILE)
    } else {
        path.to_path_buf()
    }
}
