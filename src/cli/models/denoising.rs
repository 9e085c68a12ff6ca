//! The denoising autoencoder at the command line.

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::autoencoders::{AutoencoderCommand, CorruptionOptions, NetworkOptions, Term};
use super::{ImageShape, Training};
use crate::autoencoders::{Autoencoder, Corruption, Denoising};
use crate::train::Settings;

/// The options of a denoising autoencoder.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct DenoisingCommand {
    #[command(flatten)]
    network: NetworkOptions,

    #[command(flatten)]
    corruption: CorruptionOptions,
}

impl AutoencoderCommand for DenoisingCommand {
    const NAME: &'static str = "denoising";
    const TITLE: &'static str = "A denoising autoencoder";
    const ABOUT: &'static str =
        "Denoising autoencoder: sees corrupted images, is to give the clean ones";
    const DETAILS: &'static str = "Without any option: 784-500 sigmoid units with tied weights, on the cross-entropy, from images \
        with a quarter of the pixels masked. The error in the progress is that of reconstructions from corrupted images.";
    const SECTIONS: &'static [&'static str] = &[
        "denoising",
        "denoising-is-score-matching",
        "denoising-to-contractive",
    ];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("epochs", "20")];
    const TERMS: &'static [Term] = &[Term::error("error from corrupted images")];
    const LEGEND: &'static str =
        "The error of the reconstructions from corrupted images, summed over pixels.";

    type Model = Denoising;

    fn network(&self) -> &NetworkOptions {
        &self.network
    }

    fn check_own(&self, _: &ImageShape, _: &Settings) -> Result<()> {
        self.corruption.check()
    }

    fn around(&self, networks: Autoencoder, _: &Training) -> Denoising {
        Denoising::new(networks, self.corruption.corruption())
    }

    fn own_rows(&self) -> Vec<(String, String)> {
        let corruption = self.corruption.corruption().to_string();
        vec![("corruption".to_owned(), corruption)]
    }

    fn corruption(&self) -> Option<Corruption> {
        Some(self.corruption.corruption())
    }
}
