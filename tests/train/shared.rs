//! Two noisy pictures to learn, and settings for short runs.

use std::ops::ControlFlow;

use elbo::Scalar;
use elbo::data::Binarisation;
use elbo::data::{Images, Pixels};
use elbo::nn::{Activation, Adam, Model, Parameters, Schedule};
use elbo::train::{Event, Outcome, Run, Settings, Task, TrainError, fit};
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

/// One pixel an image, its number.
pub fn numbered(count: u8) -> Images {
    let pixels = Array2::from_shape_fn((usize::from(count), 1), |(i, _)| i as u8);
    Images::new(pixels, 1, 1, None).unwrap()
}

/// 96 noisy pictures to train on, 40 to test on.
pub fn two_pictures(binarisation: Binarisation) -> [Pixels; 2] {
    [(96, 1), (40, 2)].map(|(count, seed)| pictures(count, seed).pixels_as(binarisation))
}

/// Trains, and returns how it ended and the state that it ended in.
pub fn train<T: Scalar, M: Model<T>>(
    model: &M,
    parameters: Parameters<T>,
    [train, test]: &[Pixels; 2],
    settings: &Settings,
    mut on_event: impl FnMut(Event<'_, T>),
) -> (Result<Outcome, TrainError>, Run<T>) {
    let task = Task {
        model,
        train,
        test,
        settings,
    };
    let mut run = Run::new(parameters, Adam::new(settings.rate.at(0)));
    let outcome = fit(&task, &mut run, |event| {
        on_event(event);
        ControlFlow::Continue(())
    });
    (outcome, run)
}

/// Three epochs of batches of 20.
pub fn settings(seed: u64) -> Settings {
    Settings {
        epochs: 3,
        batch: 20,
        rate: Schedule::constant(0.01),
        seed,
        ..Settings::default()
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
