//! TD-VAE: the gap to a log-density that is known exactly, and roll-outs of digits.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::is_wanted;
use super::trainings::Trainings;
use crate::cli::models::td_vae::figures;
use crate::cli::models::{DataCommand, Saved, TdVaeCommand};
use crate::cli::progress::say;

/// TD-VAE of chapter 6: the gap to the exact log-density of a linear-Gaussian sequence, and rolling digits
///
/// Each row and seed is a model in a folder of its own; one that was interrupted is resumed. `--data` is for the digits.
#[derive(Args, Debug)]
pub struct TdVaeTable {
    #[command(flatten)]
    trainings: Trainings,

    /// Only these rows, with commas
    #[arg(long, value_name = "ROWS", value_delimiter = ',', value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,
}

/// A row of the table.
struct Row {
    /// Its name, and the beginning of its folders'.
    name: &'static str,
    /// What follows `elbo train td-vae`.
    arguments: &'static str,
    /// Passes over the sequences.
    epochs: usize,
    /// Models of the row, from the seeds 1, 2, ….
    seeds: usize,
    /// Are its sequences made of images?
    of_images: bool,
    /// What PyTorch reached with such a model.
    reference: &'static str,
}

/// A small model: its state is one number, as that of the sequences is.
const NUMBERS: &str = "--sequence linear-gaussian --belief 32 --units 32 --latent 1 --pairs 8 --batch 50 --rate 0.002";

const ROWS: &[Row] = &[
    Row {
        name: "wide-start",
        arguments: "NUMBERS --jumps 1 --log-variance 3",
        epochs: 80,
        seeds: 3,
        of_images: false,
        reference: "gap 0.368 for each of three seeds, from a log-variance of 0",
    },
    Row {
        name: "plain-start",
        arguments: "NUMBERS --jumps 1 --log-variance 0",
        epochs: 50,
        seeds: 3,
        of_images: false,
        reference: "gap 0.368 for each of three seeds: there the state is ignored from 0 too",
    },
    Row {
        name: "narrow-start",
        arguments: "NUMBERS --jumps 1 --log-variance -2",
        epochs: 50,
        seeds: 3,
        of_images: false,
        reference: "gap 0.0037, 0.0035, 0.0084",
    },
    Row {
        name: "jumpy",
        arguments: "NUMBERS --jumps 1..4 --log-variance -2",
        epochs: 50,
        seeds: 1,
        of_images: false,
        reference: "gap 0.064, 0.038 and 0.038 for jumps of 1, 2 and 4",
    },
    Row {
        name: "rolling",
        arguments: "--sequence rolling",
        epochs: 30,
        seeds: 3,
        of_images: true,
        reference: "direction right after 4 frames: 99.35 % (6000 steps)",
    },
];

/// The names of the rows.
pub fn names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.name).collect()
}

impl TdVaeTable {
    /// Trains what is not there yet, and prints all rows.
    ///
    /// # Errors
    /// If the data cannot be read, or a training fails.
    pub fn run(&self) -> Result<ExitCode> {
        let without_data = Trainings::on_drawn_data(&self.trainings.out, self.trainings.epochs);
        for row in ROWS {
            if !is_wanted(&self.only, row.name) {
                continue;
            }
            let trainings = match row.of_images {
                true => &self.trainings,
                false => &without_data,
            };
            for seed in 1..=row.seeds {
                let arguments = row.arguments.replace("NUMBERS", NUMBERS);
                let arguments = format!("td-vae {arguments} --seed {seed}");
                let name = format!("td-vae-{}-{seed}", row.name);
                let training = trainings.of(&name, &arguments, row.epochs);
                let file = match training.model()? {
                    ControlFlow::Continue(file) => file,
                    ControlFlow::Break(exit) => return Ok(exit),
                };
                say(&format!("\n{training}"))?;
                let saved: Saved<TdVaeCommand> = file.model()?;
                let data = saved
                    .configuration
                    .data
                    .with(&trainings.data, None)
                    .load()?;
                training.ensure_trained_on(&file, data.checksum)?;
                for line in figures(&saved, &data.test, 1)? {
                    say(&format!("  {line}"))?;
                }
            }
            say(&format!("  reference  {}", row.reference))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
