//! `elbo train`: any model, from its first step or from a checkpoint on.

mod folder;
mod monitor;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::interrupt::Interrupt;
use super::models::{Configuration, DataCommand, FORMAT, LoadedData, ModelCommand};
use super::options::{positive, positive_real, quoted, seed};
use super::output::Created;
use super::progress::{say, spoken};
use crate::data::Source;
use crate::nn::{Adam, Schedule};
use crate::train::{EpochMetrics, Outcome, Run, Settings, Task, TrainError, fit};

use folder::Folder;
pub use folder::checkpoint_model;
use monitor::Monitor;

/// Of fewer test examples than this, a mean says little.
const FEW: usize = 100;

/// The options that all models share.
#[derive(Args, Debug)]
#[command(next_help_heading = "Training")]
struct Options {
    /// Where the results go: created if missing; the results of an earlier run are replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Passes over the training data
    #[arg(long, value_name = "N", default_value = "60", value_parser = positive, allow_negative_numbers = true)]
    epochs: usize,

    /// Training examples per step
    #[arg(long, value_name = "N", alias = "batch-size", default_value = "128", value_parser = positive, allow_negative_numbers = true)]
    batch: usize,

    /// Adam's learning rate
    #[arg(long, value_name = "RATE", aliases = ["lr", "learning-rate"], default_value = "0.001", value_parser = positive_real, allow_negative_numbers = true)]
    rate: f64,

    /// Determines the initial weights, the order of the data and all noise: the same seed gives the same bits
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        value_parser = seed,
        allow_negative_numbers = true
    )]
    seed: u64,

    /// Save the weights of the epoch with the lowest test loss, not those of the last one
    #[arg(long)]
    keep_best: bool,

    /// Stop when the test loss has not fallen for so many epochs
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    patience: Option<usize>,

    /// Resume the run in the folder of `--out` from its last checkpoint, to the same bits as without the interruption; all
    /// other options are those of that run, only `--epochs` may change, to no fewer than have begun
    #[arg(long)]
    resume: bool,
}

/// `elbo train NAME` with its options.
pub fn command<M: ModelCommand>() -> Command {
    let command = M::augment_args(Command::new(M::NAME)).next_help_heading("Data");
    let command = Options::augment_args(M::Data::augment_args(command));
    // After the options, whose own descriptions would take its place.
    let command = command.about(M::ABOUT).long_about(format!(
        "{}\n\n{}\n\nIn the notes: {}.",
        M::ABOUT,
        M::DETAILS,
        M::SECTIONS.join(", ")
    ));
    let command = command.after_help(
        "A model may be named behind `train`; without a name it is `vae`. `elbo models` lists them.",
    );
    let out = format!("runs/{}", M::NAME);
    let command = command.mut_arg("out", |arg| arg.required(false).default_value(out));
    M::DEFAULTS.iter().fold(command, |command, &(name, value)| {
        command.mut_arg(name, |arg| arg.default_value(value))
    })
}

/// Trains a new model.
pub fn start<M: ModelCommand>(matches: &ArgMatches) -> Result<ExitCode> {
    let common = Options::from_arg_matches(matches)?;
    let options = M::from_arg_matches(matches)?;
    let data_options = M::Data::from_arg_matches(matches)?.absolute();
    data_options.check_typed()?;
    let data = data_options.load()?;
    let configuration = Configuration {
        format: FORMAT,
        model: M::NAME.to_owned(),
        options,
        settings: Settings {
            epochs: common.epochs,
            batch: common.batch,
            rate: Schedule::constant(common.rate),
            seed: common.seed,
            keep_best: common.keep_best,
            patience: common.patience,
        },
        data: data_options,
        shape: data.shape.clone(),
        data_name: data.name.clone(),
        training_data: data.train.len(),
        data_checksum: data.checksum,
        command: typed::<M>(matches),
        files: Vec::new(),
    };
    configuration.check()?;
    serde_json::to_string(&configuration).context("cannot describe this run in its files")?;
    // Before the work, not after it: nothing is lost to a folder that cannot be written.
    let created = Created::folder(&common.out)?;
    let folder = Folder::new(&common.out);
    match folder.unfinished() {
        Some(epochs) => say(&format!(
            "{} held an unfinished run ({epochs} epochs were done), which this one replaces. (`--resume` would have continued \
             it.)",
            common.out.display()
        ))?,
        None if folder.has_results() => say(&format!(
            "The results of an earlier run in {} will be replaced when this one ends.",
            common.out.display()
        ))?,
        None => {}
    }
    let (model, parameters) = configuration.fresh();
    let run = Run::new(parameters, optimiser(&configuration));
    let earlier = folder.begin(&run, &configuration)?;
    match train((configuration, model), run, data, &folder) {
        Err(error) if error.is::<TrainError>() => {
            // What diverged in its first epoch leaves nothing to go on with; a later checkpoint is left.
            if folder.unfinished() == Some(0) {
                folder.undo(earlier)?;
            }
            Err(error)
        }
        result => {
            created.keep();
            result
        }
    }
}

/// Resumes the run in a folder.
pub fn resume<M: ModelCommand>(out: &Path, epochs: Option<usize>) -> Result<ExitCode> {
    let folder = Folder::new(out);
    let (model, run, mut configuration) = folder.read::<M>()?;
    if let Some(epochs) = epochs {
        let begun = run.epochs.len() + usize::from(run.step > 0);
        ensure!(
            epochs >= begun,
            "--epochs {epochs} is less than the {begun} epochs that are done or begun already"
        );
        let settings = &mut configuration.settings;
        ensure!(
            !run.is_exhausted(settings),
            "the run has stopped early, as `--patience` asked for: more epochs would not be trained"
        );
        settings.epochs = epochs;
        let words = &mut configuration.command;
        if let Some(at) = words.iter().position(|word| word == "--epochs") {
            words[at + 1] = epochs.to_string();
        }
    }
    let data = configuration.data.load()?;
    ensure!(
        data.checksum == configuration.data_checksum && data.shape == configuration.shape,
        "the run in {} was trained on other data than {} holds now: resuming would not give the same result",
        out.display(),
        data.name
    );
    Created::folder(out)?.keep();
    train((configuration, model), run, data, &folder)
}

/// Is the run in a folder not finished?
pub fn is_unfinished(out: &Path) -> bool {
    Folder::new(out).unfinished().is_some()
}

/// What the words behind `elbo train` ask for, if it is to resume: the folder and the number of epochs.
///
/// # Errors
/// If other options stand beside it: they are those of the run.
pub fn asks_to_resume(matches: &ArgMatches) -> Result<Option<(PathBuf, Option<usize>)>> {
    if !matches.get_flag("resume") {
        return Ok(None);
    }
    let typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    for id in matches.ids().map(|id| id.as_str()) {
        // Groups that clap makes of argument structs have capitals; options have none.
        let allowed = ["out", "epochs", "resume", "threads"].contains(&id);
        if !allowed && typed(id) && !id.starts_with(char::is_uppercase) {
            bail!(
                "--resume takes the options of the run: leave out --{} (only --epochs may change)",
                id.replace('_', "-")
            );
        }
    }
    let out = matches.get_one::<PathBuf>("out").expect("has a default");
    let epochs = matches.get_one::<usize>("epochs").copied();
    Ok(Some((out.clone(), epochs.filter(|_| typed("epochs")))))
}

fn optimiser<M: ModelCommand>(configuration: &Configuration<M>) -> Adam<f32> {
    Adam::new(configuration.settings.rate.at(0))
}

/// The command that repeats this run, with every choice spelt out.
fn typed<M: ModelCommand>(matches: &ArgMatches) -> Vec<String> {
    let mut words = vec!["elbo train".to_owned(), M::NAME.to_owned()];
    for argument in command::<M>().get_arguments() {
        let id = argument.get_id().as_str();
        let Some(long) = argument.get_long().filter(|_| id != "out") else {
            continue;
        };
        if !argument.get_action().takes_values() {
            if matches.get_flag(id) {
                words.push(format!("--{long}"));
            }
        } else if let Some(values) = matches.get_raw(id) {
            for value in values {
                words.extend([format!("--{long}"), quoted(&value.to_string_lossy())]);
            }
        }
    }
    words
}

/// Trains from the state `run` on, with a checkpoint after every epoch, and leaves the results.
fn train<M: ModelCommand>(
    (configuration, model): (Configuration<M>, M::Model),
    mut run: Run<f32>,
    data: LoadedData<M::Data>,
    folder: &Folder<'_>,
) -> Result<ExitCode> {
    say(&introduction(&configuration, &run, &data))?;
    let done_before = run.epochs.len();
    let interrupt = Interrupt::listen()?;
    let planned = configuration.settings.epochs;
    let mut monitor = Monitor::<M>::new(configuration.training(), planned, &run)?;
    let task = Task {
        model: &model,
        train: &data.train,
        test: &data.test,
        settings: &configuration.settings,
    };
    let started = Instant::now();
    let outcome = fit(&task, &mut run, |event| {
        monitor.report(event, &interrupt, |run| {
            folder.checkpoint(run, &configuration)
        })
    })?;
    let (mut unsaved, silenced) = monitor.finish();
    let elapsed = started.elapsed();

    let mut epochs = run.epochs.clone();
    let interrupted = match &outcome {
        Outcome::Interrupted(partial) => {
            epochs.extend(partial.clone());
            unsaved = true;
            true
        }
        Outcome::Finished | Outcome::StoppedEarly => false,
    };
    // The results first, for which there may be room where there is none for a checkpoint.
    let saved = match unsaved {
        true => folder.checkpoint(&run, &configuration),
        false => Ok(()),
    };
    folder.leave((&configuration, model), &run, &epochs, &data)?;
    saved?;
    if let Some(error) = silenced {
        return Err(error);
    }
    say(&ending::<M>(
        &outcome,
        &configuration,
        &run,
        folder,
        (elapsed, done_before),
    ))?;
    Ok(match interrupted {
        true => interrupt.exit_code(),
        false => ExitCode::SUCCESS,
    })
}

fn introduction<M: ModelCommand>(
    configuration: &Configuration<M>,
    run: &Run<f32>,
    data: &LoadedData<M::Data>,
) -> String {
    let continued = match (run.epochs.len(), run.step) {
        (0, 0) => String::new(),
        (epochs, 0) => format!("\nResuming after epoch {epochs}."),
        (epochs, step) => format!("\nResuming after step {step} of epoch {}.", epochs + 1),
    };
    let few = match data.test.len() {
        count if count < FEW => format!("\nWith {count} test examples, their figures scatter."),
        _ => String::new(),
    };
    format!(
        "{}{few}{continued}",
        summary(configuration, run.parameters.count(), data)
    )
}

/// The sentence that says what is trained on what.
fn summary<M: ModelCommand>(
    configuration: &Configuration<M>,
    weights: usize,
    data: &LoadedData<M::Data>,
) -> String {
    format!(
        "A {} with {weights} weights on {}: {} {}.",
        configuration.options.describe(&configuration.shape),
        data.name,
        M::Data::count(data),
        M::Data::describe(&data.shape)
    )
}

/// The last line: what happened, and what to open.
fn ending<M: ModelCommand>(
    outcome: &Outcome,
    configuration: &Configuration<M>,
    run: &Run<f32>,
    folder: &Folder<'_>,
    (elapsed, done_before): (std::time::Duration, usize),
) -> String {
    let report = folder.path().join("report.html");
    let (time, epochs) = (spoken(elapsed), configuration.settings.epochs);
    let kept = match &run.best {
        Some(best) if best.parameters.is_some() => {
            format!(" The weights are those of epoch {}, the best.", best.epoch)
        }
        _ => String::new(),
    };
    let what = match outcome {
        Outcome::Finished if done_before == epochs => {
            format!("All {epochs} epochs were done already: raise `--epochs` to train further.")
        }
        Outcome::Finished => format!("Trained in {time}."),
        Outcome::StoppedEarly => format!(
            "Stopped after {time}: the test loss has not fallen since epoch {}.",
            run.best.as_ref().map_or(0, |best| best.epoch)
        ),
        Outcome::Interrupted(partial) => {
            let at = match partial {
                Some(EpochMetrics { number, steps, .. }) => {
                    format!("step {steps} of epoch {number}")
                }
                None => format!("epoch {}", run.epochs.len()),
            };
            format!(
                "Interrupted after {at} of {epochs}. Resume with `elbo train --resume --out {}`.",
                quoted(&folder.path().display().to_string())
            )
        }
    };
    format!("\n{what}{kept} Open {} in a browser.", report.display())
}
