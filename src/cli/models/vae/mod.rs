//! The VAE at the command line.

mod evaluate;
mod reconstruct;
mod sample;
pub mod views;

use std::ops::RangeInclusive;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::images::MAX_WIDTH;
use super::{
    Column, ImageCommand, ImageData, ImageShape, LoadedData, ModelCommand, Saved, Training, seen,
};
use crate::cli::options::{WEIGHTS, Widths, positive, positive_real, weight, widths};
use crate::cli::plot::{self, latent_scatter, training_curve};
use crate::cli::report::Figure;
use crate::cli::requests::{Evaluate, Reconstruct, Sample};
use crate::nn::{Activation, Parameters, Schedule};
use crate::train::{EpochMetrics, Metrics, Settings};
use crate::vae::{Architecture, Divergence, Likelihood, Vae};

/// A model of images around a [`Vae`]: whatever it is trained on, it is looked at and measured in the same way.
pub trait AroundVae: ModelCommand<Data: ImageCommand> {
    /// The networks, and the bound that they have.
    fn vae(model: &Self::Model) -> &Vae;
}

impl AroundVae for VaeCommand {
    fn vae(model: &Vae) -> &Vae {
        model
    }
}

/// The options of a VAE.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(next_help_heading = "Model")]
pub struct VaeCommand {
    /// Widths of the encoder's hidden layers, from image to latent, with commas; the decoder's are the reverse.
    /// `none` makes encoder and decoder linear
    #[arg(long, value_name = "WIDTHS", default_value = "400", value_parser = widths)]
    hidden: Widths,

    /// Dimensions of the latent z (with 2, the report shows the latent plane)
    #[arg(long, value_name = "N", default_value = "20", value_parser = positive, allow_negative_numbers = true)]
    latent: usize,

    /// Function after each hidden layer: relu, tanh, sigmoid, softplus or identity
    #[arg(long, value_name = "NAME", default_value = "relu")]
    activation: Activation,

    /// What the decoder's output means
    #[arg(long, value_enum, default_value = "bernoulli")]
    likelihood: LikelihoodName,

    /// σ of `--likelihood gaussian`, in units of a pixel that runs from 0 to 1 [default: 0.1]
    #[arg(long, value_name = "SIGMA", value_parser = deviation)]
    deviation: Option<f64>,

    /// How the KL term is computed
    #[arg(long, value_enum, default_value = "closed-form")]
    kl: KlName,

    /// Samples of z for each image
    #[arg(long, value_name = "L", default_value = "1", value_parser = positive, allow_negative_numbers = true)]
    samples: usize,

    /// Weight β of the KL term in what is minimised; other than 1, it is no longer the bound
    #[arg(long, value_name = "BETA", default_value = "1", value_parser = weight, allow_negative_numbers = true)]
    beta: f64,

    /// Let β rise from 0, on a straight line over so many epochs
    #[arg(long, value_name = "EPOCHS", default_value = "0")]
    warm_up: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LikelihoodName {
    /// Bernoulli pixels: for black-and-white images, and by custom for grey ones
    Bernoulli,
    /// A Gaussian with the σ of `--deviation`
    Gaussian,
    /// A Gaussian with one σ, which is learnt
    GaussianLearned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KlName {
    /// Exactly
    ClosedForm,
    /// At the same samples as the reconstruction term
    MonteCarlo,
}

/// Beyond these, the square of σ or of its inverse comes near the end of f32, and training diverges.
const DEVIATIONS: RangeInclusive<f64> = 1e-6..=1e6;

fn deviation(text: &str) -> Result<f64> {
    let sigma = positive_real(text)?;
    ensure!(
        DEVIATIONS.contains(&sigma),
        "expected a number from 1e-6 to 1e6"
    );
    Ok(sigma)
}

impl VaeCommand {
    fn likelihood(&self) -> Likelihood {
        match self.likelihood {
            LikelihoodName::Bernoulli => Likelihood::Bernoulli,
            LikelihoodName::Gaussian => Likelihood::Gaussian {
                deviation: self.deviation.unwrap_or(0.1),
            },
            LikelihoodName::GaussianLearned => Likelihood::GaussianLearned,
        }
    }

    fn divergence(&self) -> Divergence {
        match self.kl {
            KlName::ClosedForm => Divergence::ClosedForm,
            KlName::MonteCarlo => Divergence::MonteCarlo,
        }
    }

    fn networks(&self) -> Networks<'_> {
        Networks {
            hidden: &self.hidden,
            latent: self.latent,
            samples: self.samples,
        }
    }
}

/// The sizes that are chosen of encoder and decoder.
pub struct Networks<'a> {
    /// Widths of the encoder's hidden layers.
    pub hidden: &'a Widths,
    /// Dimensions of z.
    pub latent: usize,
    /// Samples of z for each image.
    pub samples: usize,
}

impl Networks<'_> {
    /// The widths from image to latent: `784-400-20`.
    pub fn layers(&self, shape: &ImageShape) -> String {
        self.hidden
            .between(shape.dimensions(), self.latent)
            .to_string()
    }

    /// How many weights there are; none if that is beyond counting.
    pub fn weights(&self, shape: &ImageShape) -> Option<usize> {
        let (pixels, latent) = (shape.dimensions(), self.latent);
        let encoder = self.hidden.between(pixels, latent.checked_mul(2)?);
        let decoder = self.hidden.between(pixels, latent);
        encoder.weights()?.checked_add(decoder.weights()?)
    }

    /// Refuses layers and batches that no machine holds.
    ///
    /// # Errors
    /// With what was expected and what was found.
    pub fn check(&self, shape: &ImageShape, batch: usize) -> Result<()> {
        let widths = self.hidden.0.iter().chain([&self.latent, &self.samples]);
        for width in widths {
            ensure!(
                (1..=MAX_WIDTH).contains(width),
                "the widths of layers and latents, and samples, may be from 1 to {MAX_WIDTH}, found {width}"
            );
        }
        let inner = self.hidden.0.iter().copied();
        let widest = inner.fold(shape.dimensions().max(2 * self.latent), usize::max);
        let rows = batch.max(TEST_BATCH);
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
}

/// No intermediate result has more entries.
const MOST_ENTRIES: usize = 1 << 28;

/// How many test images go through the model at once.
const TEST_BATCH: usize = 512;

impl ModelCommand for VaeCommand {
    const NAME: &'static str = "vae";
    const TITLE: &'static str = "A variational autoencoder";
    const ABOUT: &'static str =
        "Variational autoencoder: Gaussian codes, trained on the evidence lower bound";
    const DETAILS: &'static str = "Without any option: a 784-400-20 VAE with a Bernoulli decoder on the embedded digits, in \
        about a minute. Open `report.html` in the folder when it is done; it shows everything in one page.";
    const SECTIONS: &'static [&'static str] =
        &["vae-elbo", "bernoulli-logits", "kl-gaussian-standard"];

    type Data = ImageData;
    type Model = Vae;

    fn check(&self, shape: &ImageShape, settings: &Settings) -> Result<()> {
        shape.check()?;
        ensure!(
            self.deviation.is_none() || matches!(self.likelihood, LikelihoodName::Gaussian),
            "--deviation belongs to --likelihood gaussian only"
        );
        // Once more: they may come from a file.
        ensure!(
            self.deviation
                .is_none_or(|sigma| DEVIATIONS.contains(&sigma))
                && WEIGHTS.contains(&self.beta),
            "expected a deviation from 1e-6 to 1e6 and a beta from 0 to 1e6"
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
    ) -> Vae {
        let architecture = Architecture {
            dimensions: shape.dimensions(),
            hidden: self.hidden.0.clone(),
            latent: self.latent,
            activation: self.activation,
            likelihood: self.likelihood(),
        };
        let warm_up = self.warm_up.saturating_mul(training.steps());
        Vae::new(architecture, parameters, rng)
            .with_divergence(self.divergence())
            .with_samples(self.samples)
            .with_beta(Schedule::linear(0.0, self.beta, warm_up))
    }

    fn describe(&self, shape: &ImageShape) -> String {
        format!(
            "{} variational autoencoder ({} decoder)",
            self.networks().layers(shape),
            self.likelihood()
        )
    }

    fn rows(&self, shape: &ImageShape) -> Vec<(String, String)> {
        let beta = match self.warm_up {
            0 => self.beta.to_string(),
            epochs => format!("{}, rising over {epochs} epochs", self.beta),
        };
        [
            (
                "encoder",
                format!("{} and back", self.networks().layers(shape)),
            ),
            ("activation", self.activation.to_string()),
            ("likelihood", self.likelihood().to_string()),
            ("KL term", self.divergence().to_string()),
            ("samples of z", self.samples.to_string()),
            ("β", beta),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn legend() -> &'static str {
        "In nats per image, ELBO = reconstruction − KL."
    }

    fn line(metrics: &Metrics) -> String {
        line(metrics)
    }

    fn columns(&self, metrics: &Metrics) -> Vec<Column> {
        columns(metrics)
    }

    fn curve(&self, epochs: &[EpochMetrics]) -> (&'static str, Figure) {
        ("elbo.svg", Figure::curve(curve(epochs)))
    }

    fn pictures(
        saved: &Saved<Self>,
        data: &LoadedData<ImageData>,
    ) -> Result<Vec<(String, Figure)>> {
        let seed = saved.configuration.settings.seed;
        let (pixels, images) = (&data.test, &data.test.images);
        let shown: Vec<usize> = (0..images.len().min(48)).collect();
        let x = seen(pixels, &shown, seed);
        let again = views::decode(saved, views::encode(saved, x.view()).view());
        let samples = views::decode(saved, views::prior(saved, 120, seed).view());
        let above = saved
            .tiles(x.view())?
            .above(&saved.tiles(again.view())?, 12)?;
        let samples = saved.tiles(samples.view())?.grid(12)?.png()?;
        let mut pictures = vec![
            ("samples.png", Figure::samples(samples)),
            ("reconstructions.png", Figure::reconstructions(above.png()?)),
        ];
        if images.len() >= 2 {
            let steps = 10;
            let paths = views::interpolation(saved, pixels, (8, steps));
            let sheet = saved.tiles(paths.view())?.paths(steps + 2)?;
            pictures.push(("interpolation.png", Figure::interpolation(sheet.png()?)));
        }
        if saved.configuration.options.latent == 2 {
            let side = 20;
            let plane = views::manifold(saved, side);
            let sheet = saved.tiles(plane.view())?.manifold(side)?;
            pictures.push(("manifold.png", Figure::manifold(sheet.png()?)));
            if let Some(labels) = images.labels() {
                let all: Vec<usize> = (0..images.len()).collect();
                let x = seen(pixels, &all, seed);
                let codes = views::encode(saved, x.view());
                let svg = latent_scatter(codes.view(), &labels.to_vec())?;
                pictures.push(("latent-plane.svg", Figure::scatter(svg)));
            }
        }
        Ok((pictures.into_iter())
            .map(|(name, figure)| (name.to_owned(), figure))
            .collect())
    }

    fn evaluate(saved: Saved<Self>, options: &Evaluate) -> Result<()> {
        options.vae(&saved)
    }

    fn sample(saved: Saved<Self>, options: &Sample) -> Result<()> {
        options.vae(&saved)
    }

    fn reconstruct(saved: Saved<Self>, options: &Reconstruct) -> Result<()> {
        options.vae(&saved)
    }
}

fn terms(metrics: &Metrics) -> plot::Terms {
    plot::Terms {
        reconstruction: metrics.term("reconstruction").unwrap_or(f64::NAN),
        kl: metrics.term("kl").unwrap_or(f64::NAN),
    }
}

/// The bound and its terms in one line, always of the same width.
pub fn line(metrics: &Metrics) -> String {
    let terms = terms(metrics);
    format!(
        "{:9.2} = {:7.2} − {:6.2}",
        terms.elbo(),
        terms.reconstruction,
        terms.kl
    )
}

/// The bound and its terms as columns of the table.
pub fn columns(metrics: &Metrics) -> Vec<Column> {
    let terms = terms(metrics);
    let column = |name, title, value| Column {
        name,
        title,
        value,
        unit: "nats per image",
    };
    vec![
        column("elbo", "ELBO", terms.elbo()),
        column("reconstruction", "reconstruction", terms.reconstruction),
        column("kl", "KL", terms.kl),
    ]
}

/// The curves of the bound and its terms, as an SVG.
pub fn curve(epochs: &[EpochMetrics]) -> String {
    let point = |epoch: &EpochMetrics| plot::Epoch {
        number: epoch.number,
        train: terms(&epoch.train),
        test: Some(terms(&epoch.test)),
    };
    let points: Vec<plot::Epoch> = epochs.iter().map(point).collect();
    training_curve(&points)
}
