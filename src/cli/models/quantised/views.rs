//! What a trained model with codes from a table makes of images, in batches.

use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate};

use super::{Levels, QuantisedCommand, Saved};
use crate::autodiff::{Tape, array};
use crate::autoencoders::{AutoregressivePrior, DiscreteCoding};
use crate::data::{Pixels, Source};
use crate::distributions::noise::stream;
use crate::nn::Parameters;

/// Images at once.
const BATCH: usize = 512;

/// A trained model.
pub type SavedModel<L> = Saved<QuantisedCommand<L>>;

/// All images as the model saw them in training; pixels that are drawn are drawn once.
pub fn images(pixels: &Pixels, seed: u64) -> Array2<f32> {
    let indices: Vec<usize> = (0..Source::<f32>::len(pixels)).collect();
    let tape = Tape::new();
    let rng = &mut stream(seed, "view", 0);
    array(pixels.batch(&tape, &indices, rng).data.value())
}

/// The codes of images.
pub fn codes<L: Levels>(saved: &SavedModel<L>, x: ArrayView2<'_, f32>) -> Array2<usize> {
    let rng = &mut stream(0, "codes", 0);
    let chunks = x.axis_chunks_iter(Axis(0), BATCH);
    let parts: Vec<Array2<usize>> = chunks
        .map(|x| saved.model.codes(&saved.parameters, x, rng))
        .collect();
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    concatenate(Axis(0), &views).expect("codes of one width")
}

/// E[x|k].
pub fn means<L: Levels>(saved: &SavedModel<L>, codes: ArrayView2<'_, usize>) -> Array2<f32> {
    let mut tape = Tape::new();
    let mut parts: Vec<Array2<f32>> = Vec::new();
    for codes in codes.axis_chunks_iter(Axis(0), BATCH) {
        let p = saved.parameters.bind_constant(&tape);
        parts.push(array(saved.model.observation(&p, codes).mean().value()));
        tape.reset();
    }
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    concatenate(Axis(0), &views).expect("images of one size")
}

/// log p(x|k), of shape (N), in nats.
pub fn log_likelihoods<L: Levels>(
    saved: &SavedModel<L>,
    x: ArrayView2<'_, f32>,
    codes: ArrayView2<'_, usize>,
) -> Array1<f64> {
    let mut tape = Tape::new();
    let mut fits = Vec::new();
    let chunks = x.axis_chunks_iter(Axis(0), BATCH);
    for (x, codes) in chunks.zip(codes.axis_chunks_iter(Axis(0), BATCH)) {
        let p = saved.parameters.bind_constant(&tape);
        let fit = saved
            .model
            .observation(&p, codes)
            .log_density(tape.constant(x));
        fits.extend(fit.value().iter().map(|&value| f64::from(value)));
        tape.reset();
    }
    fits.into()
}

/// log p(kᵢ | k₁, …, kᵢ₋₁), of shape (N, n), in nats.
pub fn log_conditionals(
    prior: &AutoregressivePrior,
    parameters: &Parameters<f32>,
    codes: ArrayView2<'_, usize>,
) -> Array2<f64> {
    let mut tape = Tape::new();
    let mut parts = Vec::new();
    for codes in codes.axis_chunks_iter(Axis(0), BATCH) {
        let p = parameters.bind_constant(&tape);
        let each: Array2<f32> = array(prior.log_conditionals(&p, codes).value());
        parts.push(each.reversed_axes().mapv(f64::from));
        tape.reset();
    }
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    concatenate(Axis(0), &views).expect("codes of one width")
}

/// Codes drawn from the learnt prior.
pub fn drawn<L: Levels>(saved: &SavedModel<L>, count: usize, seed: u64) -> Array2<usize> {
    let rng = &mut stream(seed, "prior", 0);
    let prior = saved.model.prior();
    let counts = (0..count)
        .step_by(BATCH)
        .map(|first| BATCH.min(count - first));
    let parts: Vec<Array2<usize>> = counts
        .map(|count| prior.sample(&saved.parameters, count, rng))
        .collect();
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    concatenate(Axis(0), &views).expect("codes of one width")
}
