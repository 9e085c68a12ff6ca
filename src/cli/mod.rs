//! The command line.

mod evaluate;
mod figures;
mod model;
mod options;
mod output;
mod picture;
mod plot;
mod progress;
mod reconstruct;
mod report;
mod sample;
mod train;
mod views;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Variational autoencoders from scratch: train one, evaluate it, look at it.
#[derive(Parser, Debug)]
#[command(
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

    /// Threads to compute on [default: one for each core]; the results are the same bits on any number
    #[arg(long, value_name = "N", global = true, value_parser = options::positive)]
    threads: Option<usize>,
}

#[derive(Subcommand, Debug)]
enum Command {
    Train(train::Train),
    Evaluate(evaluate::Evaluate),
    Sample(sample::Sample),
    Reconstruct(reconstruct::Reconstruct),
    Figures(figures::Figures),
}

/// Parses the arguments and runs the command that they name.
pub fn run() -> Result<()> {
    let cli = Cli::parse();
    if let Some(threads) = cli.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global().context("cannot start the threads")?;
    }
    match cli.command {
        Command::Train(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Sample(command) => command.run(),
        Command::Reconstruct(command) => command.run(),
        Command::Figures(command) => command.run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
