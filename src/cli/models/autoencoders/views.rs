//! What a trained autoencoder makes of images: arrays, in batches.

use ndarray::{Array1, Array2, Array3, ArrayView2, Axis, concatenate, s};

use super::AutoencoderCommand;
use crate::autodiff::{Mask, Tape, Var, array};
use crate::autoencoders::{Coding, Corruption, JacobianNorm};
use crate::cli::models::{Saved, seen};
use crate::data::{Pixels, Source};
use crate::distributions::noise::stream;
use crate::nn::{Bound, Parameters};
use crate::vae::symmetric_eigen;

/// Images at once.
const BATCH: usize = 512;

/// All images of a set, as a model sees them in training.
pub fn all_images(pixels: &Pixels, seed: u64) -> Array2<f32> {
    let indices: Vec<usize> = (0..Source::<f32>::len(pixels)).collect();
    seen(pixels, &indices, seed)
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

/// Entries of J, or of what is pulled back to it, at once.
const ENTRIES: usize = 1 << 23;

/// The mean of ‖J‖² of the code over images: in closed form or, behind several layers, from 16 directions for each image. Of a
/// k-sparse code, by the rows of the units that are kept, the only ones that are not 0.
pub fn squared_jacobian<M: Coding>(
    model: &M,
    parameters: &Parameters<f32>,
    x: ArrayView2<'_, f32>,
) -> f64 {
    let networks = model.autoencoder();
    let code = networks.structure().code;
    let mut rng = stream(0, "jacobian", 0);
    let (mut total, mut tape) = (0.0, Tape::new());
    let norm = match networks.structure().hidden.is_empty() {
        true => JacobianNorm::Exact,
        false => JacobianNorm::Sampled(16),
    };
    let kept = |x: ArrayView2<'_, f32>| {
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        model
            .kept_units(&p, tape.constant(x))
            .map(|mask| most_kept(&mask))
    };
    let batch = match (kept(x.slice(s![..1, ..])), norm) {
        (Some(rows), _) => (ENTRIES / (rows * code).max(1)).clamp(1, BATCH),
        // The closed form takes any number at once.
        (None, JacobianNorm::Exact) => BATCH,
        (None, JacobianNorm::Sampled(_)) => 64,
    };
    for x in x.axis_chunks_iter(Axis(0), batch) {
        let p = parameters.bind_constant(&tape);
        let x = tape.constant(x);
        let squares = match model.kept_units(&p, x) {
            Some(mask) => kept_jacobian(model, &p, x, &mask).square().sum(),
            None => networks.squared_jacobian(&p, x, norm, &mut rng).0.sum(),
        };
        total += f64::from(squares.item());
        tape.reset();
    }
    total / x.nrows() as f64
}

/// The most units that are kept for a datum.
fn most_kept(mask: &Mask) -> usize {
    let counts = mask
        .outer_iter()
        .map(|row| row.iter().filter(|&&kept| kept).count());
    counts.max().unwrap_or(0)
}

/// The rows of J of the units that are kept at each datum: of shape (data, kept units, dimensions). A datum that keeps fewer than
/// others has rows of 0 at the end.
fn kept_jacobian<'t, M: Coding>(
    model: &M,
    p: &Bound<'t, f32>,
    x: Var<'t, f32>,
    mask: &Mask,
) -> Var<'t, f32> {
    let shape = (mask.shape()[0], most_kept(mask), mask.shape()[1]);
    let mut rows = Array3::zeros(shape);
    for (mask, mut rows) in mask.outer_iter().zip(rows.outer_iter_mut()) {
        let kept = mask.iter().enumerate().filter(|&(_, &kept)| kept);
        for ((unit, _), mut row) in kept.zip(rows.rows_mut()) {
            row[unit] = 1.0;
        }
    }
    model.autoencoder().pull_back(p, x, p.tape().constant(rows))
}

/// The singular values of the code's Jacobian, in descending order, the mean over images.
pub fn singular_values<M: Coding>(
    model: &M,
    parameters: &Parameters<f32>,
    x: ArrayView2<'_, f32>,
) -> Array1<f64> {
    let mut total: Option<Array1<f64>> = None;
    for row in x.axis_chunks_iter(Axis(0), 1) {
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        let row = tape.constant(row);
        let jacobian = match model.kept_units(&p, row) {
            Some(mask) => kept_jacobian(model, &p, row, &mask),
            None => model.autoencoder().jacobian(&p, row),
        };
        let jacobian: Array3<f32> = array(jacobian.value());
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

/// The weights of the encoder's first layer, one filter a row.
pub fn first_weights<M: AutoencoderCommand>(saved: &Saved<M>) -> Array2<f32> {
    let value = saved.parameters.get("encoder.0.weight");
    array(value.expect("an encoder").clone())
}

/// Filters as images: each stretched to all greys between its extremes around a middle grey of 0.
pub fn filters(weights: &Array2<f32>, units: &[usize]) -> Array2<f32> {
    let mut shown = weights.select(Axis(0), units);
    for mut filter in shown.rows_mut() {
        let largest = filter
            .iter()
            .fold(f32::MIN_POSITIVE, |most, w| most.max(w.abs()));
        filter.mapv_inplace(|w| 0.5 + 0.5 * w / largest);
    }
    shown
}
