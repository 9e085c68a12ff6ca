//! The command line.

mod figures;
mod interrupt;
pub mod models;
pub mod options;
mod output;
mod picture;
mod plot;
mod progress;
pub mod registry;
pub mod report;
mod reproduce;
pub mod requests;
mod shell;
mod train;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use models::ModelFile;
use registry::{Entry, MODELS, entry};
use requests::{Evaluate, Reconstruct, Sample};

/// Autoencoders and variational autoencoders from scratch: train one, evaluate it, look at it.
#[derive(Parser, Debug)]
#[command(
    name = "elbo",
    version,
    about,
    max_term_width = 100,
    arg_required_else_help = true,
    args_override_self = true
)]
#[command(
    after_help = "Start with `elbo train`: it needs no file, and leaves a page that explains what it shows."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Threads to compute on [default: one for each core]; results are bit-identical for any number
    #[arg(long, value_name = "N", global = true, value_parser = options::threads, allow_negative_numbers = true)]
    threads: Option<usize>,
}

/// Every command but `train`, whose own commands are the models.
#[derive(Subcommand, Debug)]
enum Command {
    /// List the models that can be trained
    Models,
    Evaluate(Evaluate),
    Sample(Sample),
    Reconstruct(Reconstruct),
    Reproduce(reproduce::Reproduce),
    Figures(figures::Figures),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// Parses the arguments of the program and runs the command that they name.
///
/// # Errors
/// With one line that says what was expected and what was found.
pub fn run() -> Result<ExitCode> {
    run_with(MODELS, std::env::args_os())
}

/// The same with models and arguments of the caller's choice; the first argument is the program's name.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    models: &[Entry],
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<ExitCode> {
    let (arguments, named) =
        with_model(models, arguments.into_iter().collect()).unwrap_or_else(|error| error.exit());
    let matches = command(models).get_matches_from(arguments);
    // This thread is one of them: handing work to others while it sleeps would wake two threads for every loop.
    rayon::ThreadPoolBuilder::new()
        .num_threads(matches.get_one("threads").copied().unwrap_or(0))
        .use_current_thread()
        .build_global()
        .context("cannot start the threads")?;
    execute(models, &matches, named)
}

/// As [`run_with`], on the threads that are there, and with mistakes in the arguments as errors: for tests.
///
/// # Errors
/// As [`run`], and if the arguments are not understood.
pub fn run_on(models: &[Entry], arguments: impl IntoIterator<Item = OsString>) -> Result<ExitCode> {
    let (arguments, named) = with_model(models, arguments.into_iter().collect())?;
    let matches = command(models).try_get_matches_from(arguments)?;
    execute(models, &matches, named)
}

fn execute(models: &[Entry], matches: &ArgMatches, named: bool) -> Result<ExitCode> {
    if let Some(("train", matches)) = matches.subcommand() {
        return run_training(models, named, matches);
    }
    match Cli::from_arg_matches(matches)?.command {
        Command::Models => list(models),
        Command::Evaluate(command) => of_file(models, &command.model, |entry, file| {
            (entry.evaluate)(file, &command)
        }),
        Command::Sample(command) => of_file(models, &command.model, |entry, file| {
            (entry.sample)(file, &command)
        }),
        Command::Reconstruct(command) => of_file(models, &command.model, |entry, file| {
            (entry.reconstruct)(file, &command)
        }),
        Command::Reproduce(command) => return command.run(),
        Command::Figures(command) => command.run(),
        Command::Completions(command) => command.run(self::command(models)),
        Command::Man(command) => command.run(self::command(models)),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The whole command line.
fn command(models: &[Entry]) -> clap::Command {
    let train = clap::Command::new("train")
        .about("Train a model and leave a folder with its pictures, curves and weights")
        .after_help(
            "Without the name of a model, `elbo train` trains a VAE. `elbo train MODEL --help` lists a model's options.",
        )
        .subcommand_required(true)
        .subcommand_value_name("MODEL")
        .subcommand_help_heading("Models")
        .disable_help_subcommand(true)
        .args_override_self(true)
        .display_order(0)
        .subcommands(models.iter().map(|entry| {
            // Each is a command of its own, which does not inherit this.
            (entry.command)().args_override_self(true)
        }));
    Cli::command().subcommand(train)
}

/// `elbo train --epochs 3` is `elbo train vae --epochs 3`. Was a model named?
///
/// # Errors
/// As of the parser, if something else stands where a model is named.
fn with_model(
    models: &[Entry],
    mut arguments: Vec<OsString>,
) -> Result<(Vec<OsString>, bool), clap::Error> {
    let Some(train) = position_of_train(&arguments) else {
        return Ok((arguments, true));
    };
    match arguments.get(train + 1).map(|word| word.to_string_lossy()) {
        Some(word) if !word.starts_with('-') => match entry(models, &word) {
            Ok(_) => Ok((arguments, true)),
            // In place of the parser's own, which does not list the models.
            Err(error) => Err(command(models).error(ErrorKind::InvalidSubcommand, error)),
        },
        _ => {
            arguments.insert(train + 1, models[0].name.into());
            Ok((arguments, false))
        }
    }
}

/// Where the command `train` stands, if it is the command.
fn position_of_train(arguments: &[OsString]) -> Option<usize> {
    let mut words = arguments.iter().enumerate().skip(1);
    while let Some((at, word)) = words.next() {
        match word.to_str()? {
            "train" => return Some(at),
            "--threads" => drop(words.next()),
            word if word.starts_with("--threads=") => {}
            _ => return None,
        }
    }
    None
}

fn run_training(models: &[Entry], named: bool, matches: &ArgMatches) -> Result<ExitCode> {
    let (name, matches) = matches.subcommand().expect("a model is required");
    let Some((out, epochs)) = train::asks_to_resume(matches)? else {
        return (entry(models, name)?.train)(matches);
    };
    let found = train::checkpoint_model(&out)?;
    ensure!(
        !named || found == name,
        "the run in {} is of a model `{found}`, not `{name}`",
        out.display()
    );
    (entry(models, &found)?.resume)(&out, epochs)
}

/// Does something with the model in a file or a folder.
fn of_file(
    models: &[Entry],
    path: &Path,
    run: impl FnOnce(&Entry, &ModelFile) -> Result<()>,
) -> Result<()> {
    let named = models.iter().find(|entry| Path::new(entry.name) == path);
    if let (Some(entry), false) = (named, path.exists()) {
        bail!(
            "`{0}` is the name of a model: expected the folder of a run, which is runs/{0} without `--out`",
            entry.name
        );
    }
    let file = ModelFile::open(path)?;
    run(entry(models, &file.header()?.model)?, &file)
}

/// `elbo models`.
fn list(models: &[Entry]) -> Result<()> {
    let width = models.iter().map(|entry| entry.name.len()).max();
    let width = width.unwrap_or(0);
    for entry in models {
        progress::say(&format!("{:width$}  {}", entry.name, entry.about))?;
        progress::say(&format!(
            "{:width$}  notes: {}",
            "",
            entry.sections.join(", ")
        ))?;
    }
    progress::say("\n`elbo train MODEL` trains one, `elbo train MODEL --help` lists its options.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        command(MODELS).debug_assert();
    }

    #[test]
    fn a_vae_is_meant_where_no_model_is_named() {
        let words = |text: &str| -> Vec<OsString> { text.split(' ').map(OsString::from).collect() };
        for (typed, meant, named) in [
            ("elbo train", "elbo train vae", false),
            ("elbo train --epochs 3", "elbo train vae --epochs 3", false),
            (
                "elbo --threads 2 train -h",
                "elbo --threads 2 train vae -h",
                false,
            ),
            (
                "elbo --threads=2 train",
                "elbo --threads=2 train vae",
                false,
            ),
            ("elbo train vae --beta 2", "elbo train vae --beta 2", true),
            ("elbo sample train", "elbo sample train", true),
        ] {
            assert_eq!(
                with_model(MODELS, words(typed)).unwrap(),
                (words(meant), named)
            );
        }
        assert!(with_model(MODELS, words("elbo train vea")).is_err());
    }
}
