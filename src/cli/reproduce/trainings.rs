//! The models of a table: each is trained with `elbo train`, into a folder of its own.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;

use crate::cli::models::{FILE, ModelFile};
use crate::cli::options::{Data, positive};
use crate::cli::registry::MODELS;
use crate::cli::run_on;
use crate::cli::train::is_unfinished;

/// What the trainings of a table share.
#[derive(Args, Debug)]
pub struct Trainings {
    #[command(flatten)]
    pub data: Data,

    /// The folder with one folder for each model
    #[arg(long, value_name = "DIR", default_value = "runs/reproduce")]
    pub out: PathBuf,

    /// Passes over the data, for a quick look [default: those of the notes]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub epochs: Option<usize>,
}

impl Trainings {
    /// Trainings on data that are drawn, into folders in `out`.
    pub fn on_drawn_data(out: &Path, epochs: Option<usize>) -> Self {
        Self {
            data: Data::default(),
            out: out.to_owned(),
            epochs,
        }
    }

    /// The training of a row: its name, what follows `elbo train`, and for how many epochs if nothing else is asked for.
    pub fn of(&self, name: &str, arguments: &str, epochs: usize) -> Training<'_> {
        Training {
            trainings: self,
            folder: self.out.join(name),
            name: name.to_owned(),
            epochs: self.epochs.unwrap_or(epochs),
            arguments: arguments.to_owned(),
        }
    }
}

/// A training: shown, its row's name and its command.
pub struct Training<'a> {
    trainings: &'a Trainings,
    name: String,
    arguments: String,
    epochs: usize,
    folder: PathBuf,
}

impl Training<'_> {
    /// The trained model: trained now, or on from where it was interrupted, if it is not there. Or how a training ended that
    /// left none.
    ///
    /// # Errors
    /// If the data cannot be read, or the training fails.
    pub fn model(&self) -> Result<ControlFlow<ExitCode, ModelFile>> {
        if is_unfinished(&self.folder) || !self.folder.join(FILE).exists() {
            let exit = self.train()?;
            if exit != ExitCode::SUCCESS {
                return Ok(ControlFlow::Break(exit));
            }
        }
        Ok(ControlFlow::Continue(ModelFile::open(&self.folder)?))
    }

    /// Refuses a model that was there already and was trained for another number of epochs or on other data.
    ///
    /// # Errors
    /// If it was.
    pub fn ensure_trained_on(&self, file: &ModelFile, checksum: u32) -> Result<()> {
        let header = file.header()?;
        let trained = header.settings.as_ref().map(|settings| settings.epochs);
        ensure!(
            trained == Some(self.epochs) && header.data_checksum == Some(checksum),
            "{} holds a model that was trained for another number of epochs or on other data: remove it, or choose another \
             --out",
            self.folder.display()
        );
        Ok(())
    }

    /// `elbo train` with the arguments of the row, or on with what is there of it.
    fn train(&self) -> Result<ExitCode> {
        let mut words: Vec<PathBuf> = ["elbo", "train"].map(PathBuf::from).to_vec();
        words.extend([PathBuf::from("--out"), self.folder.clone()]);
        if is_unfinished(&self.folder) {
            words.push(PathBuf::from("--resume"));
        } else {
            let epochs = self.epochs.to_string();
            let arguments = self
                .arguments
                .split_whitespace()
                .chain(["--epochs", &epochs]);
            words.splice(2..2, arguments.map(PathBuf::from));
            if let Some(path) = self.trainings.data.path() {
                words.extend([PathBuf::from("--data"), path.to_owned()]);
            }
        }
        run_on(MODELS, words.into_iter().map(Into::into))
    }
}

impl fmt::Display for Training<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            arguments,
            epochs,
            ..
        } = self;
        write!(f, "{name}: elbo train {arguments} --epochs {epochs}")
    }
}
