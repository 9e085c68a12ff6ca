//! What a trained TD-VAE makes of sequences, in batches.

use std::ops::RangeInclusive;

use ndarray::{Array1, Array2, Array3, ArrayView3, Axis, concatenate, s};
use rand::rngs::StdRng;

use super::{SequenceName, Sequences, TdVaeCommand};
use crate::autodiff::{Tape, array};
use crate::cli::models::Saved;
use crate::data::{Direction, Source, roll};
use crate::distributions::noise::{standard_normal, stream};

/// Sequences at once.
const BATCH: usize = 256;

/// After so many frames the direction of a rolling image is read off a roll-out.
const AHEAD: usize = 4;

/// A trained model.
pub type SavedModel = Saved<TdVaeCommand>;

/// Test sequences as the model meets them, made once, with what is known of each.
pub struct Seen {
    /// Of shape (sequences, time, dimensions).
    pub frames: Array3<f32>,
    /// The direction of each rolling image.
    pub directions: Option<Vec<Direction>>,
}

impl Seen {
    /// The first `count` sequences, or all if there are fewer.
    pub fn of(sequences: &Sequences, count: usize, seed: u64) -> Self {
        let indices: Vec<usize> = (0..sequences.len().min(count)).collect();
        let tape = Tape::new();
        let batch = sequences.batch(&tape, &indices, &mut stream(seed, "view", 0));
        let is_rolling = match sequences {
            Sequences::Images(images) => images.motion() == crate::data::Motion::Rolling,
            Sequences::LinearGaussian(_) => false,
        };
        let factors = batch.factors.filter(|_| is_rolling);
        let directions = factors.map(|factors| {
            let last = factors.column(factors.ncols() - 1).to_owned();
            last.into_iter().map(Direction::of_factor).collect()
        });
        Self {
            frames: array(batch.data.value()),
            directions,
        }
    }
}

/// How many frames the model sees before it goes on by itself: half of a sequence, or fewer, so that a jump of the least length ends
/// within it.
pub fn seen(saved: &SavedModel) -> usize {
    let least = *saved.configuration.options.jumps().start();
    seen_of(saved.configuration.shape.frames, least)
}

fn seen_of(frames: usize, least: usize) -> usize {
    (frames / 2).min(frames - least).max(1)
}

/// Jumps that go on from the frames that were seen: each that the model knows in turn, until the sequence ends.
pub fn jumps(saved: &SavedModel) -> Vec<usize> {
    let left = saved.configuration.shape.frames - seen(saved);
    jumps_within(left, saved.configuration.options.jumps())
}

fn jumps_within(mut left: usize, known: RangeInclusive<usize>) -> Vec<usize> {
    let (least, mut jumps) = (*known.start(), Vec::new());
    for jump in known.cycle() {
        if jump > left && least > left || jumps.len() == 8 {
            break;
        }
        if jump <= left {
            left -= jump;
            jumps.push(jump);
        }
    }
    jumps
}

/// What the model makes of the frames after the first `seen` ones: a state drawn from the belief, then one for each jump, decoded,
/// E[x|z]; an array of shape (sequences, dimensions) for each jump. What comes later in the sequences is not looked at.
pub fn roll_outs(
    saved: &SavedModel,
    frames: ArrayView3<'_, f32>,
    jumps: &[usize],
    rng: &mut StdRng,
) -> Vec<Array2<f32>> {
    let none = Array2::zeros((0, saved.configuration.shape.dimensions()));
    let mut all = vec![none; jumps.len()];
    let seen = seen(saved);
    let mut tape = Tape::new();
    for chunk in frames.axis_chunks_iter(Axis(0), BATCH) {
        let p = saved.parameters.bind_constant(&tape);
        let past = tape.constant(chunk.slice(s![.., ..seen, ..]));
        let belief = saved.model.beliefs(&p, past);
        let belief = belief.slice(1, seen - 1..seen).squeeze(&[1]);
        let shape = [chunk.len_of(Axis(0)), saved.model.structure().state()];
        let (z, _) = (saved.model).filtered(&p, belief, standard_normal(&tape, &shape, rng));
        let states = saved.model.roll_out(&p, z, jumps, rng);
        for (frames, z) in all.iter_mut().zip(states) {
            let mean: Array2<f32> = array(saved.model.decode(&p, z).mean().value());
            *frames = concatenate![Axis(0), frames.view(), mean.view()];
        }
        tape.reset();
    }
    all
}

/// The fraction of sequences that a roll-out takes on in the direction in which they rolled, and after how many frames: the
/// frame that the model draws then is compared with the last one that it has seen, rolled as far to the right and to the left;
/// that with which it shares more ink is its direction. A model that does not know is right half of the time.
///
/// None if the images do not roll, or as far to the right is as far to the left.
pub fn direction_accuracy(
    saved: &SavedModel,
    seen_sequences: &Seen,
    seed: u64,
) -> Option<(f64, usize)> {
    let directions = seen_sequences.directions.as_ref()?;
    let known = saved.configuration.options.jumps();
    let jumps = match *known.start() {
        1 => vec![1; AHEAD],
        _ if known.contains(&AHEAD) => vec![AHEAD],
        least => vec![least],
    };
    let (ahead, width) = (jumps.iter().sum::<usize>(), saved.configuration.shape.width);
    if (2 * ahead).is_multiple_of(width) {
        return None;
    }
    let mut rng = stream(seed, "direction", 0);
    let frames = seen_sequences.frames.view();
    let drawn = roll_outs(saved, frames, &jumps, &mut rng).pop()?;
    let last = frames.index_axis(Axis(1), seen(saved) - 1);
    let right = drawn
        .rows()
        .into_iter()
        .zip(last.rows())
        .zip(directions)
        .filter(|((drawn, last), direction)| {
            let shared = |direction: Direction| {
                let mut rolled = Array1::zeros(last.len());
                roll(
                    last.view(),
                    width,
                    direction.shift(ahead),
                    rolled.view_mut(),
                );
                rolled.dot(drawn)
            };
            shared(**direction) > shared(direction.reversed())
        })
        .count();
    Some((right as f64 / directions.len() as f64, ahead))
}

/// The deviation of p_B(z_t|x₁, …, x_t) at every time, the mean over sequences and over the latents of a layer; the uppermost layer
/// first.
pub fn uncertainty(saved: &SavedModel, frames: ArrayView3<'_, f32>, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = stream(seed, "uncertainty", 0);
    let (count, time, _) = frames.dim();
    let mut sums = vec![vec![0.0; time]; saved.model.structure().layers];
    let mut tape = Tape::new();
    for chunk in frames.axis_chunks_iter(Axis(0), BATCH) {
        let p = saved.parameters.bind_constant(&tape);
        let beliefs = saved.model.beliefs(&p, tape.constant(chunk));
        let shape = [chunk.len_of(Axis(0)), time, saved.model.structure().state()];
        let noise = standard_normal(&tape, &shape, &mut rng);
        let (_, layers) = saved.model.filtered(&p, beliefs, noise);
        for (sums, layer) in sums.iter_mut().zip(layers) {
            let deviation = (layer.log_variance * 0.5).exp().mean_axes(&[2]);
            for (sum, at) in sums.iter_mut().zip(deviation.sum_axes(&[0]).value().iter()) {
                *sum += f64::from(*at) / count as f64;
            }
        }
        tape.reset();
    }
    sums
}

/// Are the sequences of images?
pub fn are_images(saved: &SavedModel) -> bool {
    saved.configuration.shape.sequence != SequenceName::LinearGaussian
}

#[cfg(test)]
mod tests {
    use super::{jumps_within, seen_of};

    #[test]
    fn every_jump_shown_ends_within_the_sequence() {
        for frames in 2..=24 {
            for least in 1..frames {
                for largest in least..frames {
                    let seen = seen_of(frames, least);
                    let jumps = jumps_within(frames - seen, least..=largest);
                    let case = format!("{frames} frames, {least}..{largest}: {seen}, {jumps:?}");
                    assert!((1..=frames / 2).contains(&seen), "{case}");
                    assert!(!jumps.is_empty(), "{case}");
                    assert!(
                        jumps.iter().all(|jump| (least..=largest).contains(jump)),
                        "{case}"
                    );
                    assert!(seen + jumps.iter().sum::<usize>() <= frames, "{case}");
                }
            }
        }
        assert_eq!((seen_of(20, 15), jumps_within(15, 15..=15)), (5, vec![15]));
    }
}
