//! `elbo evaluate` and `elbo sample` of a TD-VAE.

use anyhow::{Result, anyhow, ensure};
use ndarray::{Array2, Axis, concatenate, s};

use super::views::{self, SavedModel, Seen};
use super::{SequenceData, Sequences};
use crate::autoencoders::{GapError, Predictive, exact_gap};
use crate::cli::models::{DAMAGED, DataCommand, file_of};
use crate::cli::options::ensure_png;
use crate::cli::output::{ensure_distinct, write_atomically};
use crate::cli::picture::{Tiles, check_count};
use crate::cli::progress::say;
use crate::cli::requests::{Evaluate, Sample};
use crate::data::Source;
use crate::distributions::Estimate;
use crate::distributions::noise::stream;

/// Draws for each predictive density of numbers, where it is compared with the exact one.
const DRAWS: usize = 50;

/// No evaluation holds more numbers of sequences at once: four gigabytes.
const MOST_MEASURED: usize = 1 << 30;

impl Evaluate {
    /// Prints the figures of a TD-VAE.
    pub(super) fn td_vae(&self, saved: &SavedModel) -> Result<()> {
        self.ensure_no_latents("td-vae")?;
        let configuration = &saved.configuration;
        let data = configuration.data.with(&self.data, self.binarise);
        let data = configuration.test_data(&data)?;
        say(&format!(
            "{}, {} test sequences, in nats per predicted frame:",
            data.name,
            data.test.len()
        ))?;
        for line in figures(saved, &data.test, self.seed)? {
            say(&format!("  {line}"))?;
        }
        Ok(())
    }
}

/// What a model reaches on test sequences, a line for each jump and one for the direction.
///
/// # Errors
/// If a figure is not finite.
pub fn figures(saved: &SavedModel, test: &Sequences, seed: u64) -> Result<Vec<String>> {
    let model = (&saved.model, &saved.parameters);
    let (count, shape) = (test.len(), &saved.configuration.shape);
    let numbers =
        (count.checked_mul(shape.frames)).and_then(|frames| frames.checked_mul(shape.dimensions()));
    ensure!(
        numbers.is_some_and(|numbers| numbers <= MOST_MEASURED),
        "{count} {} are too many numbers to measure at once: the most is {MOST_MEASURED}",
        SequenceData::describe(shape)
    );
    let seen = Seen::of(test, test.len(), seed);
    let mut lines = Vec::new();
    for jump in saved.configuration.options.jumps() {
        let rng = &mut stream(seed, "evaluation", jump as u64);
        if let Sequences::LinearGaussian(sequences) = test {
            let (frames, system) = (sequences.observations(), sequences.system());
            let gap = exact_gap(model, system, frames, (jump, DRAWS), rng);
            let gap = gap.map_err(|reason| match reason {
                GapError::Filter(reason) => reason.into(),
                GapError::Estimate(_) => anyhow!(DAMAGED),
            })?;
            let means = [gap.bound.mean, gap.prediction.mean];
            ensure!(means.iter().all(|mean| mean.is_finite()), DAMAGED);
            lines.push(format!(
                "jump {jump}: log p(x) {}, gap of the bound {}, of the prediction {}; ignoring the past costs {:.4}",
                figure(&gap.exact),
                figure(&gap.bound),
                figure(&gap.prediction),
                sequences.worth_of_the_past(jump)?
            ));
        } else {
            let ours = Predictive::of(model, seen.frames.view(), (jump, 1), rng);
            let means = ours.bound.mean_axis(Axis(1)).expect("frames to predict");
            ensure!(means.iter().all(|mean| mean.is_finite()), DAMAGED);
            lines.push(format!(
                "jump {jump}: bound {}",
                figure(&Estimate::of(means)?)
            ));
        }
    }
    if let Some((right, ahead)) = views::direction_accuracy(saved, &seen, seed) {
        let error = (right * (1.0 - right) / test.len() as f64).sqrt();
        lines.push(format!(
            "direction right after {ahead} frames, {} having been seen: {:.2} % ± {:.2} (a guess: 50 %)",
            views::seen(saved),
            100.0 * right,
            100.0 * error
        ));
        if right < LEARNT {
            lines.push(
                "the state does not say where the digit is going: train longer, or from another --seed"
                    .to_owned(),
            );
        }
    }
    Ok(lines)
}

/// Right in fewer cases, a model has not learnt the direction; of those that have, nearly all reach 99 %.
const LEARNT: f64 = 0.9;

/// The mean and its standard error over sequences.
fn figure(estimate: &Estimate) -> String {
    format!("{:.4} ± {:.4}", estimate.mean, estimate.standard_error)
}

impl Sample {
    /// Writes the picture of a TD-VAE: from the first test sequences, a row for each, the last frame seen and roll-outs by the
    /// least jump.
    pub(super) fn td_vae(&self, saved: &SavedModel) -> Result<()> {
        ensure_distinct([&file_of(&self.model), &self.out])?;
        ensure_png(&self.out)?;
        ensure!(
            self.arrays.is_none(),
            "--arrays writes latents from a prior, which a model `td-vae` does not have"
        );
        ensure!(
            views::are_images(saved),
            "sequences of numbers make no picture: `elbo evaluate` measures them, and the report charts them"
        );
        let columns = self.layout.columns;
        ensure!(
            columns >= 2,
            "a row is the last frame seen and at least one that follows: expected --columns 2 or more, found {columns}"
        );
        let shape = saved.configuration.shape;
        let rows = self.count.div_ceil(columns);
        check_count(rows.saturating_mul(columns), (shape.height, shape.width))?;
        let data = saved.configuration.data.load_test()?;
        saved.configuration.accepts(&data.name, &data.shape)?;
        let seen = Seen::of(&data.test, rows, self.seed);
        let rng = &mut stream(self.seed, "roll-outs", 0);
        let jumps = vec![*saved.configuration.options.jumps().start(); columns - 1];
        let drawn = views::roll_outs(saved, seen.frames.view(), &jumps, rng);
        let mut frames: Array2<f32> = Array2::zeros((0, shape.dimensions()));
        for (index, sequence) in seen.frames.outer_iter().enumerate() {
            let last = views::seen(saved) - 1;
            frames = concatenate![Axis(0), frames, sequence.slice(s![last..=last, ..])];
            for roll_out in &drawn {
                frames = concatenate![Axis(0), frames, roll_out.slice(s![index..=index, ..])];
            }
        }
        let tiles = Tiles::new(frames.view(), shape.height, shape.width)?;
        let png = self.layout.scale(tiles).groups((columns, 1), 1)?.png()?;
        write_atomically(&self.out, |file| Ok(file.write_all(&png)?))?;
        say(&format!(
            "{} roll-outs of {} frames in {}",
            seen.frames.len_of(Axis(0)),
            columns - 1,
            self.out.display()
        ))
    }
}
