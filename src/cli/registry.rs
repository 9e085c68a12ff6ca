//! Which models the command line knows.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{ArgMatches, Command};

use super::models::{
    BetaVaeCommand, ContractiveCommand, DenoisingCommand, KSparseCommand, ModelCommand, ModelFile,
    OneLevel, PlainCommand, QuantisedCommand, SparseCommand, TdVaeCommand, TwoLevels, VaeCommand,
};
use super::options::nearest;
use super::requests::{Evaluate, Reconstruct, Sample};
use super::train;

/// Every model that the command line knows, in the order of the notes. The first is what `elbo train` trains.
pub const MODELS: &[Entry] = &[
    Entry::of::<VaeCommand>(),
    Entry::of::<PlainCommand>(),
    Entry::of::<DenoisingCommand>(),
    Entry::of::<SparseCommand>(),
    Entry::of::<KSparseCommand>(),
    Entry::of::<ContractiveCommand>(),
    Entry::of::<BetaVaeCommand>(),
    Entry::of::<QuantisedCommand<OneLevel>>(),
    Entry::of::<QuantisedCommand<TwoLevels>>(),
    Entry::of::<TdVaeCommand>(),
];

/// What the command line does with a model.
#[derive(Clone, Copy)]
pub struct Entry {
    /// What is typed after `elbo train`.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The sections of the notes that derive it.
    pub sections: &'static [&'static str],
    /// `elbo train NAME` with its options.
    pub command: fn() -> Command,
    /// Trains a new one.
    pub train: fn(&ArgMatches) -> Result<ExitCode>,
    /// Goes on with the run in a folder; to so many epochs, if that is said.
    pub resume: fn(&Path, Option<usize>) -> Result<ExitCode>,
    /// Evaluates the model in a file.
    pub evaluate: fn(&ModelFile, &Evaluate) -> Result<()>,
    /// Samples from it.
    pub sample: fn(&ModelFile, &Sample) -> Result<()>,
    /// Reconstructs with it.
    pub reconstruct: fn(&ModelFile, &Reconstruct) -> Result<()>,
}

impl Entry {
    /// The entry of a model.
    pub const fn of<M: ModelCommand>() -> Self {
        Self {
            name: M::NAME,
            about: M::ABOUT,
            sections: M::SECTIONS,
            command: train::command::<M>,
            train: train::start::<M>,
            resume: train::resume::<M>,
            evaluate: |file, options| M::evaluate(file.model()?, options),
            sample: |file, options| M::sample(file.model()?, options),
            reconstruct: |file, options| M::reconstruct(file.model()?, options),
        }
    }
}

/// The model of this name.
///
/// # Errors
/// If there is none.
pub fn entry<'a>(models: &'a [Entry], name: &str) -> Result<&'a Entry> {
    let Some(entry) = models.iter().find(|entry| entry.name == name) else {
        let names: Vec<&str> = models.iter().map(|entry| entry.name).collect();
        let meant = match nearest(name, names.iter().copied()) {
            Some(meant) => format!(": did you mean {meant}?"),
            None => String::new(),
        };
        bail!(
            "expected a model ({}), found `{name}`{meant}",
            names.join(", ")
        );
    };
    Ok(entry)
}
