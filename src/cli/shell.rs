//! `elbo completions` and `elbo man`: what a shell and a manual want to know.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

use super::output::{Prepared, create_folder, prepare};
use super::progress::say;

/// Print a script that completes commands and options
///
/// For bash: elbo completions bash > ~/.local/share/bash-completion/completions/elbo
#[derive(Args, Debug)]
pub struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints it.
    pub fn run(&self, mut command: Command) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "elbo", &mut script);
        match io::stdout().write_all(&script) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Write manual pages, one for each command
#[derive(Args, Debug)]
pub struct Man {
    /// The folder that the pages go to; it is created if it is not there
    #[arg(value_name = "DIR", default_value = "man")]
    out: PathBuf,
}

impl Man {
    /// Writes them.
    pub fn run(&self, command: Command) -> Result<()> {
        create_folder(&self.out)?;
        let mut pages = Vec::new();
        collect(command.disable_help_subcommand(true), "", &mut pages)?;
        let count = pages.len();
        let files: Vec<Prepared> = pages
            .into_iter()
            .map(|(name, page)| {
                let path = self.out.join(format!("{name}.1"));
                prepare(&path, |file| Ok(file.write_all(&page)?))
            })
            .collect::<Result<_>>()?;
        files.into_iter().try_for_each(Prepared::publish)?;
        say(&format!(
            "{count} pages in {}: read one with `man {}`",
            self.out.display(),
            self.out.join("elbo.1").display()
        ))
    }
}

/// The page of a command and of those below it, under names such as `elbo-train-vae`.
fn collect(command: Command, above: &str, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let name = match above {
        "" => command.get_name().to_owned(),
        above => format!("{above}-{}", command.get_name()),
    };
    let command = command.name(name.clone());
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    pages.push((name.clone(), page));
    for below in command.get_subcommands() {
        collect(below.clone(), &name, pages)?;
    }
    Ok(())
}
