//! Ctrl-C, SIGTERM and a closed terminal: the first asks the training to end after its step, the second ends the program at once.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// What has been asked for since the program began.
#[derive(Clone, Default)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn listen() -> Result<Self> {
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let (asked, which) = (Arc::clone(&interrupt.asked), Arc::clone(&interrupt.signal));
            // In this order: whoever asks twice does not want to wait.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))
                .and_then(|_| flag::register_usize(signal, which, signal as usize))
                .and_then(|_| flag::register(signal, asked))
                .context("cannot listen for Ctrl-C")?;
        }
        Ok(interrupt)
    }

    /// Has somebody asked?
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// What the program exits with then: 128 and the number of the signal, as a shell expects.
    pub fn exit_code(&self) -> ExitCode {
        let signal = self.signal.load(Ordering::Relaxed);
        u8::try_from(128 + signal).map_or(ExitCode::FAILURE, ExitCode::from)
    }
}
