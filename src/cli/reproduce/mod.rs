//! `elbo reproduce`: the tables of the notes, trained and printed.

mod autoencoders;
mod beta_vae;
mod codes;
mod stacked;
mod td_vae;
mod trainings;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use autoencoders::AutoencoderTable;
use beta_vae::BetaVaeTable;
use codes::CodeTable;
use stacked::StackedTable;
use td_vae::TdVaeTable;

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
        "Rows, for `--only`:\n  autoencoders: {}\n  beta-vae: {}\n  codes: {}\n  stacked: {}\n  td-vae: {}",
        list(autoencoders::names()),
        list(beta_vae::names()),
        list(codes::names()),
        list(stacked::names()),
        list(td_vae::names())
    )
}

/// The tables.
#[derive(Subcommand, Debug)]
#[command(subcommand_value_name = "TABLE", subcommand_help_heading = "Tables")]
enum Table {
    Autoencoders(AutoencoderTable),
    BetaVae(BetaVaeTable),
    Codes(CodeTable),
    Stacked(StackedTable),
    TdVae(TdVaeTable),
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
            Table::Codes(table) => table.run(),
            Table::Stacked(table) => table.run(),
            Table::TdVae(table) => table.run(),
        }
    }
}

/// Is the row of this name to be printed? Without `--only`, all are.
fn is_wanted(only: &[String], name: &str) -> bool {
    only.is_empty() || only.iter().any(|wanted| wanted == name)
}
