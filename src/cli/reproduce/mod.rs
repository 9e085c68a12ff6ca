//! `elbo reproduce`: the tables of the notes, trained and printed.

mod autoencoders;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::options::Data;

/// Train the models of a table of the notes and print it, with the reference beside it
///
/// A model whose folder is there already is not trained again: a table that was interrupted goes on where it was.
#[derive(Args, Debug)]
pub struct Reproduce {
    /// Which table
    #[arg(value_enum)]
    table: Table,

    #[command(flatten)]
    data: Data,

    /// The folder with one folder for each model
    #[arg(long, value_name = "DIR", default_value = "runs/reproduce")]
    out: PathBuf,

    /// Only the rows of these names, with commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
}

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Table {
    /// The autoencoders of chapter 6
    Autoencoders,
}

impl Reproduce {
    /// Prints the table.
    ///
    /// # Errors
    /// If the data cannot be read, a row is not known, or a training fails.
    pub fn run(&self) -> Result<()> {
        match self.table {
            Table::Autoencoders => autoencoders::run(self),
        }
    }
}
