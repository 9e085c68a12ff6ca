//! The β-VAE on shapes: what the price of a nat makes of reconstructions, codes and Higgins' metric.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::is_wanted;
use super::trainings::Trainings;
use crate::cli::models::beta_vae::disentanglement::{Known, REPEATS, Score, spread};
use crate::cli::models::{BetaVaeCommand, DataCommand, LoadedData, Saved, ShapeData, draws};
use crate::cli::options::positive;
use crate::cli::progress::say;
use crate::distributions::noise::stream;
use crate::train::evaluate;

/// β-VAEs on shapes: reconstruction, KL and Higgins' metric for several prices of a nat, over several seeds
///
/// Each row and seed is a model in a folder of its own; one that was interrupted is resumed.
#[derive(Args, Debug)]
pub struct BetaVaeTable {
    /// The folder with one folder for each model
    #[arg(long, value_name = "DIR", default_value = "runs/reproduce")]
    out: PathBuf,

    /// Only these rows, with commas
    #[arg(long, value_name = "ROWS", value_delimiter = ',', value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,

    /// Passes over the images, for a quick look
    #[arg(long, value_name = "N", default_value = "20", value_parser = positive, allow_negative_numbers = true)]
    epochs: usize,

    /// Models of a row, each from another seed
    #[arg(long, value_name = "N", default_value = "3", value_parser = positive, allow_negative_numbers = true)]
    seeds: usize,

    /// Shapes in an epoch, for a quick look
    #[arg(long, value_name = "N", default_value = "51200", value_parser = draws, allow_negative_numbers = true)]
    draws: usize,

    /// Points that the metric's classifier learns from, for a quick look; half as many test it
    #[arg(long, value_name = "N", default_value = "10000", value_parser = points)]
    points: usize,
}

/// A number of points of which half is not 0.
fn points(text: &str) -> Result<usize> {
    let points: usize = text.parse()?;
    ensure!(
        (2..=MOST_POINTS).contains(&points),
        "expected a number from 2 to {MOST_POINTS}"
    );
    Ok(points)
}

/// More would take hours.
const MOST_POINTS: usize = 10_000_000;

/// A row of the table.
struct Row {
    /// Its name, and that of its folders.
    name: &'static str,
    /// What follows `elbo train beta-vae`.
    arguments: &'static str,
    /// What PyTorch reached with the same architecture.
    reference: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        name: "beta-1",
        arguments: "--beta 1",
        reference: "reconstruction -18.9, KL 11.6; metric 71.5, 86.9; untrained 62.3; pixels 31.8",
    },
    Row {
        name: "beta-4",
        arguments: "--beta 4",
        reference: "metric 79.1, 96.2",
    },
    Row {
        name: "beta-10",
        arguments: "--beta 10",
        reference: "metric 77.5, 95.3",
    },
    Row {
        name: "capacity-25",
        arguments: "--capacity 25",
        reference: "KL 24.985; metric 80.2, 96.0",
    },
];

/// The names of the rows.
pub fn names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.name).collect()
}

/// What is measured of one model.
struct Measured {
    reconstruction: f64,
    kl: f64,
    score: Score,
    untrained: Score,
}

impl BetaVaeTable {
    /// Trains what is not there yet, and prints all rows.
    ///
    /// # Errors
    /// If a training fails.
    pub fn run(&self) -> Result<ExitCode> {
        let trainings = Trainings::on_drawn_data(&self.out, None);
        let mut shared: Option<(LoadedData<ShapeData>, Known)> = None;
        let mut untrained: Option<Vec<Score>> = None;
        for row in ROWS {
            if !is_wanted(&self.only, row.name) {
                continue;
            }
            let mut measured = Vec::new();
            for seed in 1..=self.seeds {
                let arguments = format!(
                    "beta-vae {} --draws {} --seed {seed}",
                    row.arguments, self.draws
                );
                let name = format!("{}-seed-{seed}", row.name);
                let training = trainings.of(&name, &arguments, self.epochs);
                let file = match training.model()? {
                    ControlFlow::Continue(file) => file,
                    ControlFlow::Break(exit) => return Ok(exit),
                };
                let saved: Saved<BetaVaeCommand> = file.model()?;
                let shared = match &mut shared {
                    Some(shared) => shared,
                    empty => {
                        let data = saved.configuration.data.load()?;
                        let mut known =
                            Known::of(&data.test, 1).expect("factors of shapes are known");
                        known.metric.training_points = self.points;
                        known.metric.test_points = self.points / 2;
                        empty.insert((data, known))
                    }
                };
                training.ensure_trained_on(&file, shared.0.checksum)?;
                measured.push(measure(&saved, shared));
            }
            say(&format!("\n{}: {} seeds", row.name, self.seeds))?;
            say_row(&measured)?;
            say(&format!("  reference  {}", row.reference))?;
            untrained = untrained.or(Some(measured.iter().map(|one| one.untrained).collect()));
        }
        if let (Some((_, known)), Some(untrained)) = (&shared, untrained) {
            say(&format!("\nuntrained: metric {}", both(&untrained)))?;
            say(&format!("pixels: metric {}", both(&[known.of_pixels()])))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn measure(
    saved: &Saved<BetaVaeCommand>,
    (data, known): &(LoadedData<ShapeData>, Known),
) -> Measured {
    let rng = &mut stream(1, "evaluate", 0);
    let metrics = evaluate(&saved.model, &saved.parameters, &data.test, rng);
    let term = |name: &str| metrics.term(name).unwrap_or(f64::NAN);
    Measured {
        reconstruction: term("reconstruction"),
        kl: term("kl"),
        score: known.of_model(saved, REPEATS),
        untrained: known.of_fresh(saved),
    }
}

fn say_row(measured: &[Measured]) -> Result<()> {
    let of = |number: fn(&Measured) -> f64| {
        let numbers: Vec<f64> = measured.iter().map(number).collect();
        shown(spread(&numbers), 3)
    };
    let scores: Vec<Score> = measured.iter().map(|one| one.score).collect();
    say(&format!(
        "  ours       reconstruction {}, KL {}; metric {}",
        of(|one| one.reconstruction),
        of(|one| one.kl),
        both(&scores)
    ))
}

/// The two metrics over several encoders, in per cent.
fn both(scores: &[Score]) -> String {
    let [all, rest]: [fn(&Score) -> f64; 2] = [|score| score.all.0, |score| score.without_first.0];
    let text = |of: fn(&Score) -> f64| {
        let numbers: Vec<f64> = scores.iter().map(of).collect();
        shown(spread(&numbers), 1)
    };
    format!("{} of 5 factors, {} without shape", text(all), text(rest))
}

/// The mean, and the standard deviation if there is one.
fn shown((mean, deviation): (f64, f64), digits: usize) -> String {
    match deviation.is_finite() {
        true => format!("{mean:.digits$} ± {deviation:.digits$}"),
        false => format!("{mean:.digits$}"),
    }
}
