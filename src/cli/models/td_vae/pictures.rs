//! What the report shows of a TD-VAE.

use anyhow::Result;
use ndarray::{Array2, Axis, concatenate, s};

use super::Sequences;
use super::views::{self, SavedModel, Seen};
use crate::autoencoders::Predictive;
use crate::cli::picture::{PAPER, Sheet, Tiles};
use crate::cli::plot::{Axis as ChartAxis, Chart, Panel, colors};
use crate::cli::report::{Content, Figure};
use crate::data::LinearGaussianSequences;
use crate::distributions::noise::stream;

/// Sequences in the picture of roll-outs.
const SHOWN: usize = 8;

/// Frames that were seen in it, at most.
const PAST: usize = 5;

/// Roll-outs of each sequence.
const DRAWN: usize = 2;

/// Sequences that figures are measured on.
const MEASURED: usize = 500;

/// Draws for each predictive density.
const DRAWS: usize = 50;

/// All pictures.
///
/// # Errors
/// If one would be too large, or a filter breaks down.
pub fn all(saved: &SavedModel, test: &Sequences) -> Result<Vec<(String, Figure)>> {
    let seed = saved.configuration.settings.seed;
    let seen = Seen::of(test, MEASURED, seed);
    let mut pictures = Vec::new();
    match test {
        Sequences::Images(_) => {
            let shown = seen.frames.len_of(Axis(0)).min(SHOWN);
            let frames = seen.frames.slice(s![..shown, .., ..]);
            let sheet = beside_the_truth(saved, frames, seed)?;
            let accuracy = match views::direction_accuracy(saved, &seen, seed) {
                None => String::new(),
                Some((right, ahead)) => format!(
                    " Of {} sequences, {:.1} % roll on in the right direction after {ahead} frames.",
                    seen.frames.len_of(Axis(0)),
                    100.0 * right
                ),
            };
            let jumps: Vec<String> = views::jumps(saved).iter().map(usize::to_string).collect();
            let caption = format!(
                "In each group, the upper row is what happened: to the left the last frames that the model has seen, to the right \
                 the frames after jumps of {}. Below, {DRAWN} roll-outs: a state drawn from the belief, then one for each jump, decoded. The \
                 frames between are never drawn. Look for the digit that was seen, in the place where it must be by then.{accuracy}",
                jumps.join(", ")
            );
            pictures.push(Figure::named(
                "roll-outs.png",
                "Roll-outs",
                &caption,
                Content::Png(sheet.png()?),
            ));
        }
        Sequences::LinearGaussian(sequences) => pictures.push(prediction(saved, sequences, seed)?),
    }
    pictures.push(uncertainty(saved, &seen, seed));
    Ok(pictures)
}

/// Each sequence in a group of rows: what happened, and roll-outs.
///
/// # Errors
/// If there are too many for a picture.
pub fn beside_the_truth(
    saved: &SavedModel,
    frames: ndarray::ArrayView3<'_, f32>,
    seed: u64,
) -> Result<Sheet> {
    let (count, _, dimensions) = frames.dim();
    let (seen, jumps) = (views::seen(saved), views::jumps(saved));
    let past = PAST.min(seen);
    let rng = &mut stream(seed, "roll-outs", 0);
    let drawn: Vec<Vec<Array2<f32>>> = (0..DRAWN)
        .map(|_| views::roll_outs(saved, frames, &jumps, rng))
        .collect();
    // Where a roll-out has nothing to show, the sheet.
    let nothing = Array2::from_elem((past, dimensions), f32::from(PAPER) / 255.0);
    let mut rows = Array2::zeros((0, dimensions));
    for (index, sequence) in frames.outer_iter().enumerate() {
        rows = concatenate![Axis(0), rows, sequence.slice(s![seen - past..seen, ..])];
        let mut time = seen - 1;
        for jump in &jumps {
            time += jump;
            let frame = sequence.slice(s![time, ..]);
            rows = concatenate![Axis(0), rows, frame.insert_axis(Axis(0))];
        }
        for roll_out in &drawn {
            rows = concatenate![Axis(0), rows, nothing.view()];
            for frames in roll_out {
                rows = concatenate![Axis(0), rows, frames.slice(s![index..=index, ..])];
            }
        }
    }
    let shape = saved.configuration.shape;
    debug_assert_eq!(rows.nrows(), count * (DRAWN + 1) * (past + jumps.len()));
    Tiles::new(rows.view(), shape.height, shape.width)?
        .groups((past + jumps.len(), past), DRAWN + 1)
}

/// What the model predicts of each number, beside what could be predicted.
fn prediction(
    saved: &SavedModel,
    sequences: &LinearGaussianSequences<f32>,
    seed: u64,
) -> Result<(String, Figure)> {
    let jump = *saved.configuration.options.jumps().start();
    let rng = &mut stream(seed, "prediction", 0);
    let model = (&saved.model, &saved.parameters);
    let ours = Predictive::of(model, sequences.observations(), (jump, DRAWS), rng);
    let mut exact = Array2::zeros(ours.bound.raw_dim());
    for (mut row, x) in exact
        .outer_iter_mut()
        .zip(sequences.observations().outer_iter())
    {
        let x = x.mapv(f64::from);
        row.assign(&sequences.system().log_predictive(x.view(), jump)?);
    }
    let by_time = |table: &Array2<f64>| -> Vec<(f64, f64)> {
        let means = table.mean_axis(Axis(0)).expect("there are sequences");
        let times = (jump + 1..).map(|time| time as f64);
        times.zip(means).collect()
    };
    let panel = Panel::new(
        format!("Log-density of a number, {jump} ahead"),
        ChartAxis::whole("time"),
        ChartAxis::linear("nats"),
    )
    .line(
        "the best there is, by the Kalman filter",
        colors::BLACK,
        by_time(&exact),
    )
    .line("the model's", colors::BLUE, by_time(&ours.log_density))
    .dashed("its bound", colors::ORANGE, by_time(&ours.bound));
    Ok(Figure::named(
        "prediction.svg",
        "Prediction",
        "The mean over test sequences at every time. The ups and downs are those of the sequences, which all lines share: look at the \
         distance between them. A model that ignores its state lies far below, by what the past is worth.",
        Content::Svg(
            Chart::new("What is predicted and what could be")
                .panel(panel)
                .svg(),
        ),
    ))
}

/// How sure the belief is, from frame to frame.
fn uncertainty(saved: &SavedModel, seen: &Seen, seed: u64) -> (String, Figure) {
    const COLORS: [&str; 5] = [
        colors::BLUE,
        colors::VERMILION,
        colors::GREEN,
        colors::PURPLE,
        colors::ORANGE,
    ];
    let layers = views::uncertainty(saved, seen.frames.view(), seed);
    let count = layers.len();
    let mut panel = Panel::new(
        "Deviation of the belief about the state",
        ChartAxis::whole("time"),
        ChartAxis::linear("deviation"),
    );
    for (index, deviations) in layers.into_iter().enumerate() {
        let name = match (count, index) {
            (1, _) => "mean over latents and sequences".to_owned(),
            (_, 0) => "uppermost layer".to_owned(),
            _ => format!("layer {}", count - index),
        };
        let points = (1..).map(|time| time as f64).zip(deviations).collect();
        panel = panel.line(&name, COLORS[index % COLORS.len()], points);
    }
    Figure::named(
        "uncertainty.svg",
        "What the belief is not sure of",
        "The deviation of p(z|frames so far) at every time, in the units of the latents, which are the model's own: look for its course, not \
         for its height. Where the belief gets to know its state better from frame to frame, the line falls.",
        Content::Svg(
            Chart::new("The belief's deviation over time")
                .panel(panel)
                .svg(),
        ),
    )
}
