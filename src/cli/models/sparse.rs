//! The sparse autoencoder at the command line.

use anyhow::{Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::autoencoders::{
    AutoencoderCommand, NetworkOptions, PROPORTIONS, Term, ensure_sigmoid, proportion,
};
use super::{ImageShape, Training};
use crate::autoencoders::{Autoencoder, Sparse};
use crate::cli::options::{WEIGHTS, weight};
use crate::train::Settings;

/// The options of a sparse autoencoder.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct SparseCommand {
    #[command(flatten)]
    network: NetworkOptions,

    /// ρ: the mean activation that every unit is to have
    #[arg(long, value_name = "RHO", default_value = "0.1", value_parser = proportion, allow_negative_numbers = true)]
    target: f64,

    /// β: the weight of the penalty
    #[arg(long, value_name = "BETA", default_value = "3", value_parser = weight, allow_negative_numbers = true)]
    beta: f64,
}

impl AutoencoderCommand for SparseCommand {
    const NAME: &'static str = "sparse";
    const TITLE: &'static str = "A sparse autoencoder";
    const ABOUT: &'static str = "Sparse autoencoder: every unit is active at a given mean rate";
    const DETAILS: &'static str = "Without any option: 784-500 sigmoid units with tied weights, on the cross-entropy and 3 times the \
        divergence of the rates of a batch from 0.1.";
    const SECTIONS: &'static [&'static str] = &["sparse"];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("epochs", "20")];
    const TERMS: &'static [Term] = &[
        Term::error("reconstruction error"),
        Term {
            name: "sparsity",
            title: "divergence of the rates",
            unit: Some("nats, summed over units"),
        },
    ];
    const LEGEND: &'static str = "The error of the reconstructions, summed over pixels, and the divergence of the rates, summed over units.";

    type Model = Sparse;

    fn network(&self) -> &NetworkOptions {
        &self.network
    }

    fn check_own(&self, _: &ImageShape, _: &Settings) -> Result<()> {
        ensure_sigmoid(&self.network, "a sparse autoencoder")?;
        ensure!(
            PROPORTIONS.contains(&self.target) && WEIGHTS.contains(&self.beta),
            "expected a target from 0.000001 to 0.999999 and a beta from 0 to 1e6"
        );
        Ok(())
    }

    fn around(&self, networks: Autoencoder, _: &Training) -> Sparse {
        Sparse::new(networks, self.target, self.beta)
    }

    fn own_rows(&self) -> Vec<(String, String)> {
        vec![
            ("ρ".to_owned(), self.target.to_string()),
            ("β".to_owned(), self.beta.to_string()),
        ]
    }
}
