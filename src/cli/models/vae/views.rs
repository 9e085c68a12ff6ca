//! What a trained model looks like: arrays of images, ready to be laid out.

use crate::autodiff::{Tape, Var};
use crate::data::{Images, Pixels};
use crate::distributions::noise::{standard_normal, stream};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, concatenate};

use super::{AroundVae, VaeCommand};
use crate::cli::models::{Saved, seen};

/// A trained VAE.
pub type SavedVae = Saved<VaeCommand>;

/// E[x|z] for every row of z, as values in [0, 1].
pub fn decode<M: AroundVae>(model: &Saved<M>, z: ArrayView2<'_, f32>) -> Array2<f32> {
    let tape = Tape::new();
    let p = model.parameters.bind_constant(&tape);
    matrix(M::vae(&model.model).decode(&p, tape.constant(z)).mean())
}

/// The mean of q(z|x) for every row of x.
pub fn encode<M: AroundVae>(model: &Saved<M>, x: ArrayView2<'_, f32>) -> Array2<f32> {
    let tape = Tape::new();
    let p = model.parameters.bind_constant(&tape);
    matrix(M::vae(&model.model).encode(&p, tape.constant(x)).mean)
}

/// Latents drawn from the prior N(0, I).
pub fn prior<M: AroundVae>(model: &Saved<M>, count: usize, seed: u64) -> Array2<f32> {
    let tape = Tape::new();
    let shape = [count, M::vae(&model.model).architecture().latent];
    matrix(standard_normal(
        &tape,
        &shape,
        &mut stream(seed, "prior", 0),
    ))
}

/// Paths between pairs of test images: each from one image's mean code to the other's, in `steps` steps, with the two
/// images themselves at the ends.
pub fn interpolation(
    model: &SavedVae,
    pixels: &Pixels,
    (pairs, steps): (usize, usize),
) -> Array2<f32> {
    let ends = distinct_pairs(&pixels.images, pairs);
    let x = seen(pixels, &ends, model.configuration.settings.seed);
    let codes = encode(model, x.view());
    let latent = codes.ncols();
    let rows: Vec<Array2<f32>> = (0..ends.len() / 2)
        .map(|pair| {
            let (from, to) = (codes.row(2 * pair), codes.row(2 * pair + 1));
            let mut z = Array2::zeros((steps, latent));
            for (step, mut row) in z.rows_mut().into_iter().enumerate() {
                let t = step as f32 / (steps.max(2) - 1) as f32;
                row.assign(&(&from * (1.0 - t) + &to * t));
            }
            let between = decode(model, z.view());
            let end = |index: usize| x.slice(ndarray::s![index..=index, ..]);
            concatenate![Axis(0), end(2 * pair), between, end(2 * pair + 1)]
        })
        .collect();
    let views: Vec<_> = rows.iter().map(|row| row.view()).collect();
    concatenate(Axis(0), &views).expect("rows of one width")
}

/// The first test images that make so many pairs of two different labels (any two, without labels).
fn distinct_pairs(images: &Images, pairs: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..images.len()).collect();
    let mut chosen = Vec::with_capacity(2 * pairs);
    while chosen.len() < 2 * pairs && left.len() >= 2 {
        let first = left.remove(0);
        let differs = |labels: &ArrayView1<'_, u8>, other: usize| labels[other] != labels[first];
        let partner = match images.labels() {
            Some(labels) => left.iter().position(|&other| differs(&labels, other)),
            None => Some(0),
        };
        chosen.extend([first, left.remove(partner.unwrap_or(0))]);
    }
    chosen
}

/// How far out the manifold goes, in deviations of the prior: it leaves out 1 % on each side.
const REACH: f32 = 2.33;

/// A plane of latents, decoded: `side` by `side`, evenly spaced, the first axis to the right, the second up.
pub fn manifold(model: &SavedVae, side: usize) -> Array2<f32> {
    let at = |index: usize| REACH * (2.0 * index as f32 / (side.max(2) - 1) as f32 - 1.0);
    let z = Array2::from_shape_fn((side * side, 2), |(tile, axis)| match axis {
        0 => at(tile % side),
        _ => -at(tile / side),
    });
    decode(model, z.view())
}

fn matrix(var: Var<'_, f32>) -> Array2<f32> {
    let value = var.value().into_owned();
    value.into_dimensionality().expect("a matrix")
}
