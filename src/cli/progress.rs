//! What a person sees while something runs: a bar on a terminal, plain lines elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

/// Writes a line to stdout. A reader that has gone away (`elbo train | head`) is no error: the work goes on.
pub fn say(line: &str) -> Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to the standard output"),
    }
}

/// Writes a line to stderr: something is wrong, but the work goes on. If nobody can be told, it goes on too.
pub fn warn(line: &str) {
    let _ = writeln!(io::stderr(), "warning: {line}");
}

/// A bar with a message, the time left, and lines above it.
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// For work of so many steps. There is a bar only if stdout and stderr are a terminal.
    pub fn new(steps: u64) -> Self {
        let terminal = io::stdout().is_terminal() && io::stderr().is_terminal();
        let bar = terminal.then(|| {
            let bar = ProgressBar::new(steps);
            let style = "{wide_bar:.cyan/black} {percent:>3} %  {msg}  {elapsed} gone, {eta} left";
            bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar }
    }

    /// So many more steps are done.
    pub fn advance(&self, steps: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(steps);
        }
    }

    /// What the bar says; made only if somebody sees it.
    pub fn message(&self, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_message(message());
        }
    }

    /// A line that stays, above the bar.
    pub fn line(&self, line: &str) -> Result<()> {
        self.suspend(|| say(line))
    }

    /// Does something else with the terminal, above the bar.
    pub fn suspend<R>(&self, f: impl FnOnce() -> R) -> R {
        match &self.bar {
            Some(bar) => bar.suspend(f),
            None => f(),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    /// An error on the way leaves no bar behind.
    fn drop(&mut self) {
        self.finish();
    }
}

/// A duration as a person says it: `4.2 s`, `1 min 05 s`, `2 h 03 min`.
pub fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let said = |seconds| spoken(Duration::from_secs_f64(seconds));
        assert_eq!(said(4.24), "4.2 s");
        assert_eq!(said(59.4), "59 s");
        assert_eq!(said(65.0), "1 min 05 s");
        assert_eq!(said(7380.0), "2 h 03 min");
    }
}
