//! Codes from a table on MNIST: bounds under three priors, and the use of the table.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::is_wanted;
use super::trainings::{Training, Trainings};
use crate::cli::models::quantised::figures::{Measured, Refitted};
use crate::cli::models::quantised::{Levels, OneLevel, QuantisedCommand, TwoLevels};
use crate::cli::models::{DataCommand, ImageCommand, ModelFile, Saved, VaeCommand};
use crate::cli::progress::say;
use crate::distributions::noise::stream;
use crate::train::evaluate;

/// VQ-VAE and VQ-VAE-2 of chapter 6 on binary MNIST, beside a VAE: bounds on log p(x), what the codes cost, how many are used
///
/// Pixels are drawn as coins, anew at every use in training, once for the test images. Each row is a model in a folder of its
/// own; one that was interrupted is resumed. Beside the prior that learns with the model, one is fitted to its codes afterwards,
/// for 10 epochs. The reference figures are those of all of MNIST after the default epochs.
#[derive(Args, Debug)]
pub struct CodeTable {
    #[command(flatten)]
    trainings: Trainings,

    /// Only these rows, with commas
    #[arg(long, value_name = "ROWS", value_delimiter = ',', value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,
}

/// A row of the table.
struct Row {
    /// Its name, and that of its folder.
    name: &'static str,
    /// What follows `elbo train`.
    arguments: &'static str,
    /// Passes over the images.
    epochs: usize,
    /// What PyTorch reached with the same architecture.
    reference: &'static str,
    /// Prints what this crate has reached.
    print: fn(&CodeTable, &Training<'_>, &ModelFile) -> Result<()>,
}

const ROWS: &[Row] = &[
    Row {
        name: "vae",
        arguments: "vae --hidden 512 --latent 20 --binarise stochastic",
        epochs: 10,
        reference: "bound −101.9",
        print: vae,
    },
    Row {
        name: "vq-vae",
        arguments: "vq-vae --binarise stochastic",
        epochs: 10,
        reference: "reconstruction −62.6; bounds: uniform −140.3, independent −116.9, learnt −109.3; 128 of 128 used, perplexity 112",
        print: quantised::<OneLevel>,
    },
    Row {
        name: "vq-vae-gradient",
        arguments: "vq-vae --codebook gradient --binarise stochastic",
        epochs: 6,
        reference: "bound: independent −142.1; 97 of 128 used",
        print: quantised::<OneLevel>,
    },
    Row {
        name: "vq-vae-2",
        arguments: "vq-vae-2 --binarise stochastic",
        epochs: 10,
        reference: "bound −107.5; lower codes 26.6 given the upper ones, 28.0 alone",
        print: quantised::<TwoLevels>,
    },
];

/// The names of the rows.
pub fn names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.name).collect()
}

/// Passes over the codes for a prior that is fitted to them afterwards.
const PRIOR_EPOCHS: usize = 10;

impl CodeTable {
    /// Trains what is not there yet, and prints all rows.
    ///
    /// # Errors
    /// If the data cannot be read, or a training fails.
    pub fn run(&self) -> Result<ExitCode> {
        for row in ROWS {
            if !is_wanted(&self.only, row.name) {
                continue;
            }
            let training = self.trainings.of(row.name, row.arguments, row.epochs);
            let file = match training.model()? {
                ControlFlow::Continue(file) => file,
                ControlFlow::Break(exit) => return Ok(exit),
            };
            say(&format!("\n{training}"))?;
            (row.print)(self, &training, &file)?;
            say(&format!("  reference  {}", row.reference))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn vae(table: &CodeTable, training: &Training<'_>, file: &ModelFile) -> Result<()> {
    let saved: Saved<VaeCommand> = file.model()?;
    let data = (saved.configuration.data)
        .with(&table.trainings.data, None)
        .load()?;
    training.ensure_trained_on(file, data.checksum)?;
    let rng = &mut stream(saved.configuration.settings.seed, "view", 0);
    let metrics = evaluate(&saved.model, &saved.parameters, &data.test, rng);
    say(&format!("  ours       bound {:.1}", -metrics.loss))
}

fn quantised<L: Levels>(
    table: &CodeTable,
    training: &Training<'_>,
    file: &ModelFile,
) -> Result<()> {
    let saved: Saved<QuantisedCommand<L>> = file.model()?;
    let data = (saved.configuration.data)
        .with(&table.trainings.data, None)
        .load()?;
    training.ensure_trained_on(file, data.checksum)?;
    let measured = Measured::of(&saved, &data, saved.configuration.settings.seed)?;
    let Measured {
        reconstruction,
        uniform,
        factorised,
        learnt,
        ..
    } = measured;
    let uses: Vec<String> = measured.uses.iter().map(ToString::to_string).collect();
    say(&format!(
        "  ours       reconstruction {reconstruction:.1}; bounds: uniform {:.1}, independent {:.1}, learnt {:.1}; used: {}",
        reconstruction - uniform,
        reconstruction - factorised,
        reconstruction - learnt,
        uses.join(", ")
    ))?;
    let refitted = Refitted::to(&saved, measured.codes, PRIOR_EPOCHS)?;
    say(&format!(
        "             a prior fitted afterwards, {PRIOR_EPOCHS} epochs: bound {:.1}",
        reconstruction - refitted.all
    ))?;
    if let (Some(given), Some(alone)) = (refitted.lower_given_upper, refitted.lower_alone) {
        say(&format!(
            "             lower codes {given:.1} given the upper ones, {alone:.1} alone"
        ))?;
    }
    Ok(())
}
