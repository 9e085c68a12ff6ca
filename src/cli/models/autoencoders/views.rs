//! What a trained autoencoder makes of images: arrays, in batches.

use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate, s};

use super::AutoencoderCommand;
use crate::autodiff::{Tape, array};
use crate::autoencoders::{Coding, Corruption, JacobianNorm};
use crate::cli::models::Saved;
use crate::data::{Pixels, Source};
use crate::distributions::noise::stream;
use crate::nn::Parameters;
use crate::vae::symmetric_eigen;

/// Images at once.
const BATCH: usize = 512;

/// Images as the model saw them in training, before any corruption.
pub fn images(pixels: &Pixels, indices: &[usize], seed: u64) -> Array2<f32> {
    let tape = Tape::new();
    array(
        pixels
            .batch(&tape, indices, &mut stream(seed, "view", 0))
            .data
            .value(),
    )
}

/// All of them.
pub fn all_images(pixels: &Pixels, seed: u64) -> Array2<f32> {
    let indices: Vec<usize> = (0..Source::<f32>::len(pixels)).collect();
    images(pixels, &indices, seed)
}

/// A function of rows, applied to so many rows at once.
fn by_batches(
    x: ArrayView2<'_, f32>,
    f: impl FnMut(ArrayView2<'_, f32>) -> Array2<f32>,
) -> Array2<f32> {
    let parts: Vec<Array2<f32>> = x.axis_chunks_iter(Axis(0), BATCH).map(f).collect();
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    concatenate(Axis(0), &views).expect("rows of one width")
}

/// The codes of images.
pub fn codes<M: Coding>(
    model: &M,
    parameters: &Parameters<f32>,
    x: ArrayView2<'_, f32>,
) -> Array2<f32> {
    by_batches(x, |x| model.codes(parameters, x))
}

/// Images after they have gone through the code.
pub fn reconstructions<M: Coding>(
    model: &M,
    parameters: &Parameters<f32>,
    x: ArrayView2<'_, f32>,
) -> Array2<f32> {
    by_batches(x, |x| model.reconstructions(parameters, x))
}

/// The mean error of the reconstructions of `target` from `input`, and their squared error per pixel.
pub fn errors<M: Coding>(
    model: &M,
    parameters: &Parameters<f32>,
    (input, target): (ArrayView2<'_, f32>, ArrayView2<'_, f32>),
) -> (f64, f64) {
    let (mut error, mut squares) = (0.0, 0.0);
    let mut tape = Tape::new();
    let chunks = input.axis_chunks_iter(Axis(0), BATCH);
    for (input, target) in chunks.zip(target.axis_chunks_iter(Axis(0), BATCH)) {
        let p = parameters.bind_constant(&tape);
        let networks = model.autoencoder();
        let output = networks.decode(&p, model.code(&p, tape.constant(input)));
        let (loss, target) = (networks.structure().loss, tape.constant(target));
        error += f64::from(loss.of(output, target).sum().item());
        squares += f64::from((loss.mean(output) - target).square().sum().item());
        tape.reset();
    }
    (error / input.nrows() as f64, squares / input.len() as f64)
}

/// Corrupted images, the same for the same seed.
pub fn corrupted(x: ArrayView2<'_, f32>, corruption: Corruption, seed: u64) -> Array2<f32> {
    let mut rng = stream(seed, "corruption", 0);
    by_batches(x, |x| {
        let tape = Tape::new();
        array(corruption.corrupt(tape.constant(x), &mut rng).value())
    })
}

/// The mean of ‖J‖² of the encoder over images.
pub fn squared_jacobian<M: Coding>(
    model: &M,
    parameters: &Parameters<f32>,
    x: ArrayView2<'_, f32>,
) -> f64 {
    let networks = model.autoencoder();
    // The closed form takes any number at once; all of J only a few.
    let (norm, batch) = match networks.structure().hidden.is_empty() {
        true => (JacobianNorm::Exact, BATCH),
        false => (JacobianNorm::Sampled(16), 64),
    };
    let mut rng = stream(0, "jacobian", 0);
    let (mut total, mut tape) = (0.0, Tape::new());
    for x in x.axis_chunks_iter(Axis(0), batch) {
        let p = parameters.bind_constant(&tape);
        let (squares, _) = networks.squared_jacobian(&p, tape.constant(x), norm, &mut rng);
        total += f64::from(squares.sum().item());
        tape.reset();
    }
    total / x.nrows() as f64
}

/// The singular values of the encoder's Jacobian, in descending order, the mean over images.
pub fn singular_values<M: Coding>(
    model: &M,
    parameters: &Parameters<f32>,
    x: ArrayView2<'_, f32>,
) -> Array1<f64> {
    let mut total: Option<Array1<f64>> = None;
    for row in x.axis_chunks_iter(Axis(0), 1) {
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        let jacobian = model.autoencoder().jacobian(&p, tape.constant(row));
        let jacobian: ndarray::Array3<f32> = array(jacobian.value());
        let j = jacobian.slice(s![0, .., ..]).mapv(f64::from);
        // The smaller of JJᵀ and JᵀJ has all of them.
        let square = match j.nrows() <= j.ncols() {
            true => j.dot(&j.t()),
            false => j.t().dot(&j),
        };
        let eigen = symmetric_eigen(&((&square + &square.t()) * 0.5)).expect("finite weights");
        let values = eigen.values.mapv(|value| value.max(0.0).sqrt());
        total = Some(total.map_or(values.clone(), |total| total + &values));
    }
    total.expect("an image at least") / x.nrows() as f64
}

/// The weights of the encoder's first layer, one filter a row, each stretched to all greys between its extremes around a
/// middle grey of 0; those with the largest weights first, at most `count`.
pub fn filters<M: AutoencoderCommand>(saved: &Saved<M>, count: usize) -> Array2<f32> {
    let value = saved
        .parameters
        .get("encoder.0.weight")
        .expect("an encoder");
    let weights: Array2<f32> = array(value.clone());
    let norm = |unit: usize| weights.row(unit).dot(&weights.row(unit));
    let mut order: Vec<usize> = (0..weights.nrows()).collect();
    order.sort_by(|&a, &b| norm(b).total_cmp(&norm(a)));
    order.truncate(count);
    let mut shown = weights.select(Axis(0), &order);
    for mut filter in shown.rows_mut() {
        let largest = filter
            .iter()
            .fold(f32::MIN_POSITIVE, |most, w| most.max(w.abs()));
        filter.mapv_inplace(|w| 0.5 + 0.5 * w / largest);
    }
    shown
}
