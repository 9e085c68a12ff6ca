//! The contractive autoencoder at the command line.

use anyhow::{Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::autoencoders::{AutoencoderCommand, NetworkOptions, Term};
use super::{ImageShape, Training};
use crate::autoencoders::{Autoencoder, Contractive, JacobianNorm};
use crate::cli::options::{WEIGHTS, weight, whole};
use crate::train::Settings;

/// The options of a contractive autoencoder.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct ContractiveCommand {
    #[command(flatten)]
    network: NetworkOptions,

    /// λ: the weight of ‖J‖²
    #[arg(long, value_name = "LAMBDA", default_value = "0.1", value_parser = weight, allow_negative_numbers = true)]
    lambda: f64,

    /// Estimate ‖J‖² from so many random directions instead of taking all of J: what a wide code behind several layers needs
    /// (0: exactly, for one layer in closed form)
    #[arg(long, value_name = "N", default_value = "0", value_parser = whole, allow_negative_numbers = true)]
    directions: usize,
}

/// No array of J has more entries, of which training holds several.
const MOST_ENTRIES: usize = 1 << 26;

impl AutoencoderCommand for ContractiveCommand {
    const NAME: &'static str = "contractive";
    const TITLE: &'static str = "A contractive autoencoder";
    const ABOUT: &'static str =
        "Contractive autoencoder: the code changes little where the image does";
    const DETAILS: &'static str = "Without any option: 784-500 sigmoid units with tied weights, on the cross-entropy and 0.1 times the \
        squared norm of the encoder's Jacobian. Several layers: `--hidden 400 --code 64`.";
    const SECTIONS: &'static [&'static str] = &["contractive", "denoising-to-contractive"];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("epochs", "20")];
    const TERMS: &'static [Term] = &[
        Term::error("reconstruction error"),
        Term {
            name: "jacobian",
            title: "squared norm of the Jacobian",
            unit: Some("‖J‖², mean over images"),
        },
    ];
    const LEGEND: &'static str =
        "The error of the reconstructions, summed over pixels, and ‖J‖² of the encoder.";

    type Model = Contractive;

    fn network(&self) -> &NetworkOptions {
        &self.network
    }

    fn check_own(&self, shape: &ImageShape, settings: &Settings) -> Result<()> {
        ensure!(
            WEIGHTS.contains(&self.lambda) && self.directions <= 1 << 16,
            "expected a lambda from 0 to 1e6 and at most 65536 directions"
        );
        // Of one layer, ‖J‖² is a product of two matrices.
        let copies = match (self.directions, self.network.depth()) {
            (0, 1) => 1,
            (0, _) => self.network.code(),
            (directions, _) => directions,
        };
        let entries = (settings.batch.checked_mul(copies))
            .and_then(|rows| rows.checked_mul(self.network.widest(shape)));
        ensure!(
            entries.is_some_and(|entries| entries <= MOST_ENTRIES),
            "‖J‖² of {} images at once takes {copies} rows for each, which is too much memory: lower --batch, --code or \
             --directions",
            settings.batch
        );
        Ok(())
    }

    fn around(&self, networks: Autoencoder, _: &Training) -> Contractive {
        let norm = match self.directions {
            0 => JacobianNorm::Exact,
            draws => JacobianNorm::Sampled(draws),
        };
        Contractive::new(networks, self.lambda).with_norm(norm)
    }

    fn own_rows(&self) -> Vec<(String, String)> {
        let norm = match (self.directions, self.network.depth()) {
            (0, 1) => "in closed form".to_owned(),
            (0, _) => "from all of J".to_owned(),
            (draws, _) => format!("from {draws} random directions"),
        };
        vec![
            ("λ".to_owned(), self.lambda.to_string()),
            ("‖J‖²".to_owned(), norm),
        ]
    }
}
