//! Two noisy pictures to learn, and settings for short runs.

use elbo::data::{Binarisation, Dataset, Images};
use elbo::nn::Activation;
use elbo::train::Settings;
use elbo::vae::{Architecture, Likelihood};
use ndarray::Array2;
use rand::Rng;

use crate::common::random::rng;

/// Noisy copies of two pictures of 3 x 4 pixels.
pub fn pictures(count: usize, seed: u64) -> Images {
    let mut rng = rng(seed);
    let mut pixels = Array2::zeros((count, 12));
    for (i, mut row) in pixels.rows_mut().into_iter().enumerate() {
        for (j, pixel) in row.iter_mut().enumerate() {
            let bright = if i % 2 == 0 { j % 4 < 2 } else { j >= 8 };
            let noise: u8 = rng.random_range(0..60);
            *pixel = if bright { 255 - noise } else { noise };
        }
    }
    Images::new(pixels, 3, 4, None).unwrap()
}

/// 96 noisy copies to train on, 40 to test on.
pub fn dataset() -> Dataset {
    Dataset {
        name: "two pictures".to_owned(),
        train: pictures(96, 1),
        test: pictures(40, 2),
    }
}

/// Three epochs of batches of 20.
pub fn settings(seed: u64) -> Settings {
    Settings {
        epochs: 3,
        batch: 20,
        rate: 0.01,
        seed,
        binarisation: Binarisation::None,
    }
}

/// A network with one hidden layer and two latents for the pictures.
pub fn architecture(likelihood: Likelihood) -> Architecture {
    Architecture {
        dimensions: 12,
        hidden: vec![16],
        latent: 2,
        activation: Activation::Tanh,
        likelihood,
    }
}
