//! The command `elbo`: trains, evaluates and looks at variational autoencoders.

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match elbo::cli::run() {
        Ok(code) => code,
        Err(error) => {
            // If nobody can be told, the exit code still tells: `eprintln!` would panic.
            let _ = writeln!(io::stderr(), "error: {}", one_line(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Names of files may hold line breaks and worse; whoever reads errors line by line is to see one.
fn one_line(text: &str) -> String {
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}
