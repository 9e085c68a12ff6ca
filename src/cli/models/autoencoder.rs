//! The plain autoencoder at the command line.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::Training;
use super::autoencoders::{AutoencoderCommand, NetworkOptions, Term};
use crate::autoencoders::Autoencoder;

/// The options of an autoencoder.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct PlainCommand {
    #[command(flatten)]
    network: NetworkOptions,
}

impl AutoencoderCommand for PlainCommand {
    const NAME: &'static str = "autoencoder";
    const TITLE: &'static str = "An autoencoder";
    const ABOUT: &'static str = "Autoencoder: a code from which the image comes back";
    const DETAILS: &'static str = "Without any option: 784-400-64 with ReLU and a linear code, on the squared error. With \
        `--hidden none --code-activation identity` it is linear, and converges to the principal components.";
    const SECTIONS: &'static [&'static str] = &["autoencoder", "linear-autoencoder-is-pca"];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[
        ("epochs", "20"),
        ("hidden", "400"),
        ("code", "64"),
        ("code_activation", "identity"),
        ("decoder", "untied"),
        ("loss", "squared-error"),
    ];
    const TERMS: &'static [Term] = &[Term::error("reconstruction error")];
    const LEGEND: &'static str = "The error of the reconstructions, summed over pixels.";

    type Model = Autoencoder;

    fn network(&self) -> &NetworkOptions {
        &self.network
    }

    fn around(&self, networks: Autoencoder, _: &Training) -> Autoencoder {
        networks
    }
}
