//! `elbo reproduce`: the tables of the notes, trained and printed.

mod autoencoders;
mod beta_vae;
mod stacked;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};

use super::models::{FILE, Header};
use super::registry::MODELS;
use super::run_on;
use super::train::is_unfinished;
use autoencoders::AutoencoderTable;
use beta_vae::BetaVaeTable;
use stacked::StackedTable;

/// Train the models of a table of the notes and print it, with the published figures beside it
///
/// What is trained already is not trained again: a table that was interrupted goes on where it was.
#[derive(Args, Debug)]
#[command(after_help = rows())]
pub struct Reproduce {
    #[command(subcommand)]
    table: Table,
}

/// The rows that `--only` takes.
fn rows() -> String {
    let list = |names: Vec<&str>| names.join(", ");
    format!(
        "Rows, for `--only`:\n  autoencoders: {}\n  beta-vae: {}\n  stacked: {}",
        list(autoencoders::names()),
        list(beta_vae::names()),
        list(stacked::names())
    )
}

/// The tables.
#[derive(Subcommand, Debug)]
#[command(subcommand_value_name = "TABLE", subcommand_help_heading = "Tables")]
enum Table {
    Autoencoders(AutoencoderTable),
    BetaVae(BetaVaeTable),
    Stacked(StackedTable),
}

impl Reproduce {
    /// Prints the table.
    ///
    /// # Errors
    /// If the data cannot be read, or a training fails.
    pub fn run(&self) -> Result<ExitCode> {
        match &self.table {
            Table::Autoencoders(table) => table.run(),
            Table::BetaVae(table) => table.run(),
            Table::Stacked(table) => table.run(),
        }
    }
}

/// `elbo train` with the arguments of a row: from the beginning, or on with what was interrupted, or not at all if it is done.
///
/// # Errors
/// As of the training.
fn train(arguments: &str, data: Option<&Path>, folder: &Path) -> Result<ExitCode> {
    if folder.join(FILE).exists() && !is_unfinished(folder) {
        return Ok(ExitCode::SUCCESS);
    }
    let mut words: Vec<PathBuf> = ["elbo", "train"].map(PathBuf::from).to_vec();
    words.extend([PathBuf::from("--out"), folder.to_owned()]);
    if is_unfinished(folder) {
        words.push(PathBuf::from("--resume"));
    } else {
        words.splice(2..2, arguments.split_whitespace().map(PathBuf::from));
        if let Some(path) = data {
            words.extend([PathBuf::from("--data"), path.to_owned()]);
        }
    }
    run_on(MODELS, words.into_iter().map(Into::into))
}

/// Refuses a model that is there already and was trained for another number of epochs or on other data.
///
/// # Errors
/// If it was.
fn ensure_of_row(arguments: &str, folder: &Path, header: &Header, checksum: u32) -> Result<()> {
    let epochs = arguments
        .rsplit_once("--epochs ")
        .map(|(_, epochs)| epochs.split(' ').next());
    let epochs: Option<usize> = epochs.flatten().and_then(|epochs| epochs.parse().ok());
    let trained = header.settings.as_ref().map(|settings| settings.epochs);
    ensure!(
        trained == epochs && header.data_checksum == Some(checksum),
        "{} holds a model that was trained for another number of epochs or on other data: remove it, or choose another \
         --out",
        folder.display()
    );
    Ok(())
}
