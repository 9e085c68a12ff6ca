//! `elbo evaluate` of an autoencoder.

use anyhow::Result;

use super::figures::{Errors, Measured};
use super::{AutoencoderCommand, Saved, unit};
use crate::autoencoders::Coding;
use crate::cli::models::{DataCommand, ImageCommand};
use crate::cli::progress::say;
use crate::cli::requests::Evaluate;
use crate::nn::Activation;

impl Evaluate {
    /// Prints the figures of an autoencoder.
    pub fn autoencoder<M: AutoencoderCommand>(&self, saved: &Saved<M>) -> Result<()> {
        self.ensure_no_latents(M::NAME)?;
        let as_trained = &saved.configuration.data;
        let data = as_trained.with(&self.data, self.binarise).load()?;
        saved.configuration.accepts(&data.name, &data.shape)?;
        let measured = Measured::of(saved, &data, self.seed)?;
        let loss = saved.model.autoencoder().structure().loss;
        say(&format!(
            "{}, {} test images: {}, and squared error per pixel, of reconstructions from",
            data.name,
            data.test.images.len(),
            unit(loss)
        ))?;
        let line = |name: &str, Errors { loss, square }: Errors| {
            say(&format!("    {name:<40} {loss:9.3}   {square:.4}"))
        };
        line("clean images", measured.clean)?;
        line("images with a quarter masked", measured.masked)?;
        line("images with Gaussian noise 0.5", measured.noisy)?;
        if let (Some(errors), Some(corruption)) =
            (measured.own, saved.configuration.options.corruption())
        {
            line(&format!("images as in training ({corruption})"), errors)?;
        }
        let units = &measured.units;
        let sigmoid = saved.model.autoencoder().structure().code_activation == Activation::Sigmoid;
        let saturated = match sigmoid {
            true => format!(
                ", {:.1} % below 0.05 or above 0.95",
                100.0 * units.saturated
            ),
            false => String::new(),
        };
        say(&format!(
            "  mean activation {:.3} (5 to 95 % of units: {:.3} to {:.3}), {:.1} % not 0{saturated}",
            units.means.mean().unwrap_or(0.0),
            units.quantile(0.05),
            units.quantile(0.95),
            100.0 * units.nonzero
        ))?;
        say(&format!(
            "  dead units {} of {}",
            units.dead(),
            units.means.len()
        ))?;
        say(&format!(
            "  ‖J‖² of the code {:.2}, mean over images",
            measured.squared_jacobian
        ))?;
        match &measured.probe {
            None => Ok(()),
            Some(errors) => say(&format!(
                "  a linear classifier is wrong on the codes for {:.2} %, on the pixels for {:.2} % of the test images",
                100.0 * errors.codes,
                100.0 * errors.pixels
            )),
        }
    }
}
