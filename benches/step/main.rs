//! The time of one training step, or the memory that it needs, on one line: what `benches/peers/compare.py` runs.
//!
//! ```sh
//! cargo bench --bench step -- --batch 128 --layers 784-400-20 --steps 300 --threads 1 [--by-hand] [--memory]
//! ```
//!
//! prints `elbo,<threads>,<batch>,<layers>,<median ms>,<min ms>`, the first fifth of the steps left out; with
//! `--by-hand` the name is `by-hand` and the step is the one of `benches/by_hand`; with `--memory` the last two are the
//! peak of the resident memory and what was resident before the model was made, in MiB. `--samples L` draws L samples
//! of z for each datum.
//!
//! `--model autoencoder`, `tied`, `denoising`, `sparse`, `k-sparse` or `contractive` takes an autoencoder of chapter 6 in
//! the place of the VAE, with layers from the data's width to the code's, and the line begins with `elbo` all the same:
//! what `benches/peers/autoencoders.py` runs.
//!
//! Two more modes, for the notes: `--parts` prints what each part of the step takes, beside the processor's peak, and
//! `--growth` how time and memory grow, as a table of comma-separated values.

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use by_hand::ByHand;
use elbo::autodiff::{Tape, Value};
use elbo::distributions::noise::{standard_uniform, stream};
use taped::Taped;

#[path = "../by_hand/mod.rs"]
mod by_hand;
mod codes;
mod growth;
mod machine;
mod parts;
#[path = "../taped/mod.rs"]
mod taped;

struct Arguments {
    batch: usize,
    layers: String,
    steps: usize,
    threads: usize,
    samples: usize,
    by_hand: bool,
    memory: bool,
    /// Of `codes::NAMES`; a VAE if none is named.
    model: Option<String>,
    mode: Mode,
}

/// What is printed.
#[derive(PartialEq)]
enum Mode {
    Line,
    Parts,
    Growth,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self {
            batch: 128,
            layers: "784-400-20".to_owned(),
            steps: 100,
            threads: 1,
            samples: 1,
            by_hand: false,
            memory: false,
            model: None,
            mode: Mode::Line,
        };
        while let Some(name) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or(format!("{name}: a value is missing"))
            };
            match name.as_str() {
                "--batch" => parsed.batch = positive(&value()?)?,
                "--layers" => parsed.layers = value()?,
                "--steps" => parsed.steps = positive(&value()?)?,
                "--threads" => parsed.threads = positive(&value()?)?,
                "--samples" => parsed.samples = positive(&value()?)?,
                "--by-hand" => parsed.by_hand = true,
                "--memory" => parsed.memory = true,
                "--model" => parsed.model = known(value()?)?,
                "--parts" => parsed.mode = Mode::Parts,
                "--growth" => parsed.mode = Mode::Growth,
                // Cargo's, and Criterion's for the other benches.
                "--bench" | "--quick" => {}
                _ => return Err(format!("{name}: no such option")),
            }
        }
        let of_a_vae = parsed.by_hand || parsed.samples > 1 || parsed.mode != Mode::Line;
        if parsed.model.is_some() && of_a_vae {
            return Err("--model goes without the options of the VAE".to_owned());
        }
        match parsed.by_hand && parsed.samples > 1 {
            true => Err("--by-hand draws one sample".to_owned()),
            false => Ok(parsed),
        }
    }

    fn widths(&self) -> Result<Vec<usize>, String> {
        let widths: Vec<usize> = self
            .layers
            .split('-')
            .map(positive)
            .collect::<Result<_, _>>()?;
        match widths.len() {
            0 | 1 => Err(format!("{}: two widths at least", self.layers)),
            _ => Ok(widths),
        }
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match usize::from_str(text) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{text}: expected a number greater than 0")),
    }
}

/// The name of an autoencoder, none for `vae`.
fn known(name: String) -> Result<Option<String>, String> {
    match name.as_str() {
        "vae" => Ok(None),
        other if codes::NAMES.contains(&other) => Ok(Some(name)),
        _ => Err(format!("{name}: no such model")),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let widths = arguments.widths()?;
    use_threads(arguments.threads)?;
    if arguments.mode == Mode::Growth {
        return growth::print(arguments.threads);
    }
    let before = resident("VmRSS:");
    let x = data(arguments.batch, widths[0]);
    // Not where memory is measured: the check holds both models at once.
    if !arguments.memory && arguments.samples == 1 && arguments.model.is_none() {
        by_hand::assert_same_step(&widths, &x);
    }
    if arguments.mode == Mode::Parts {
        elbo::threads::awake(|| parts::print(&widths, &x, arguments.steps));
        return Ok(());
    }
    let times = elbo::threads::awake(|| {
        if let Some(name) = &arguments.model {
            codes::times(name, &widths, &x, arguments.steps)
        } else if arguments.by_hand {
            let mut model = ByHand::new(&widths, arguments.batch);
            let x = x.view().into_dimensionality().expect("a matrix");
            time(arguments.steps, || model.step(x))
        } else {
            let mut model = Taped::new(&widths).with_samples(arguments.samples);
            time(arguments.steps, || model.step(&x))
        }
    });
    let figures = if arguments.memory {
        [resident("VmHWM:")?, before?]
    } else {
        [times[times.len() / 2], times[0]]
    };
    println!(
        "{},{},{},{},{:.4},{:.4}",
        if arguments.by_hand { "by-hand" } else { "elbo" },
        arguments.threads,
        arguments.batch,
        arguments.layers,
        figures[0],
        figures[1]
    );
    Ok(())
}

fn data(batch: usize, dimensions: usize) -> Value<f32> {
    let tape = Tape::new();
    standard_uniform(&tape, &[batch, dimensions], &mut stream(1, "data", 0)).value()
}

/// The steps' times in milliseconds, in ascending order, without the first fifth.
fn time(steps: usize, mut step: impl FnMut() -> f32) -> Vec<f64> {
    let mut times: Vec<f64> = (0..steps)
        .map(|_| {
            let start = Instant::now();
            let loss = step();
            let elapsed = start.elapsed().as_secs_f64() * 1e3;
            assert!(loss.is_finite(), "the training diverged");
            elapsed
        })
        .collect();
    times.drain(..steps / 5);
    times.sort_by(f64::total_cmp);
    times
}

#[cfg(feature = "threads")]
fn use_threads(threads: usize) -> Result<(), String> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .use_current_thread();
    pool.build_global().map_err(|error| error.to_string())
}

#[cfg(not(feature = "threads"))]
fn use_threads(threads: usize) -> Result<(), String> {
    match threads {
        1 => Ok(()),
        _ => Err("more threads than one need the feature `threads`".to_owned()),
    }
}

/// A line of `/proc/self/status`, in MiB.
fn resident(line: &str) -> Result<f64, String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|found| found.strip_prefix(line)?.trim().strip_suffix(" kB"))
        .and_then(|number| number.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0)
        .ok_or_else(|| "memory is measured on Linux only".to_owned())
}
