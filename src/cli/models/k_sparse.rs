//! The k-sparse autoencoder at the command line.

use anyhow::{Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::autoencoders::{AutoencoderCommand, NetworkOptions, Term};
use super::{ImageShape, Training};
use crate::autoencoders::{Autoencoder, KSparse};
use crate::cli::options::positive;
use crate::nn::Schedule;
use crate::train::Settings;

/// The options of a k-sparse autoencoder.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct KSparseCommand {
    #[command(flatten)]
    network: NetworkOptions,

    /// How many entries of a code are kept
    #[arg(long, value_name = "K", default_value = "25", value_parser = positive, allow_negative_numbers = true)]
    k: usize,

    /// How many are kept at the beginning, from where k falls on a straight line [default: k]
    #[arg(long, value_name = "K", value_parser = positive, allow_negative_numbers = true)]
    anneal_from: Option<usize>,

    /// Over how many epochs it falls [default: 5]
    #[arg(long, value_name = "EPOCHS", requires = "anneal_from", value_parser = positive, allow_negative_numbers = true)]
    anneal_epochs: Option<usize>,

    /// How many entries are kept in the codes after training [default: k]
    #[arg(long, value_name = "K", value_parser = positive, allow_negative_numbers = true)]
    test_k: Option<usize>,
}

impl KSparseCommand {
    fn anneal_epochs(&self) -> usize {
        self.anneal_epochs.unwrap_or(5)
    }
}

impl AutoencoderCommand for KSparseCommand {
    const NAME: &'static str = "k-sparse";
    const TITLE: &'static str = "A k-sparse autoencoder";
    const ABOUT: &'static str =
        "k-sparse autoencoder: of a linear code only the k largest entries are kept";
    const DETAILS: &'static str = "Without any option: 784-1000 linear units with tied weights, of which the 25 largest are kept, on \
        the squared error. `--anneal-from 100` leaves fewer dead units.";
    const SECTIONS: &'static [&'static str] = &["k-sparse"];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[
        ("epochs", "20"),
        ("code", "1000"),
        ("code_activation", "identity"),
        ("loss", "squared-error"),
    ];
    const TERMS: &'static [Term] = &[Term::error("reconstruction error")];
    const LEGEND: &'static str = "The error of the reconstructions, summed over pixels.";

    type Model = KSparse;

    fn network(&self) -> &NetworkOptions {
        &self.network
    }

    fn check_own(&self, _: &ImageShape, _: &Settings) -> Result<()> {
        let units = self.network.code();
        let counts = [Some(self.k), self.anneal_from, self.test_k];
        for k in counts.into_iter().flatten() {
            ensure!(
                (1..=units).contains(&k),
                "a code of {units} units keeps from 1 to {units} of them, found {k}"
            );
        }
        ensure!(
            self.anneal_from.is_none_or(|from| from >= self.k),
            "--anneal-from is where k falls from: expected at least --k {}",
            self.k
        );
        Ok(())
    }

    fn around(&self, networks: Autoencoder, training: &Training) -> KSparse {
        let k = self.k as f64;
        let steps = self.anneal_epochs().saturating_mul(training.steps());
        let schedule = match self.anneal_from {
            Some(from) => Schedule::linear(from as f64, k, steps),
            None => Schedule::constant(k),
        };
        KSparse::new(networks, schedule).with_kept(self.test_k.unwrap_or(self.k))
    }

    fn own_rows(&self) -> Vec<(String, String)> {
        let k = match self.anneal_from {
            Some(from) => format!(
                "{}, falling from {from} over {} epochs",
                self.k,
                self.anneal_epochs()
            ),
            None => self.k.to_string(),
        };
        let test = self.test_k.unwrap_or(self.k).to_string();
        vec![("k".to_owned(), k), ("k after training".to_owned(), test)]
    }
}
