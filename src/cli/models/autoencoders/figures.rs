//! What is measured of a trained autoencoder.

use anyhow::Result;
use ndarray::{Array2, ArrayView2};

use super::rows::labels;
use super::{AutoencoderCommand, ImageData, LoadedData, Saved, probe, views};
use crate::autoencoders::{Corruption, UnitStatistics};

/// The mean error of reconstructions.
#[derive(Clone, Copy, Debug)]
pub struct Errors {
    /// In the model's own loss, summed over pixels.
    pub loss: f64,
    /// Squared, per pixel.
    pub square: f64,
}

/// Of a trained autoencoder, on test images.
pub struct Measured {
    /// The test images.
    pub images: Array2<f32>,
    /// Their codes.
    pub codes: Array2<f32>,
    /// From clean images.
    pub clean: Errors,
    /// From images with a quarter of the pixels masked.
    pub masked: Errors,
    /// From images with Gaussian noise of deviation 0.5.
    pub noisy: Errors,
    /// From images that are corrupted as in training.
    pub own: Option<Errors>,
    /// Of the units of the code.
    pub units: UnitStatistics,
    /// The mean of ‖J‖² of the code.
    pub squared_jacobian: f64,
    /// Of linear classifiers; none without labels.
    pub probe: Option<ProbeErrors>,
}

impl Measured {
    /// Measures a model.
    ///
    /// # Errors
    /// If a classifier cannot be trained.
    pub fn of<M: AutoencoderCommand>(
        saved: &Saved<M>,
        data: &LoadedData<ImageData>,
        seed: u64,
    ) -> Result<Self> {
        let x = views::all_images(&data.test, seed);
        let (model, parameters) = (&saved.model, &saved.parameters);
        let errors = |input: ArrayView2<'_, f32>| {
            let (loss, square) = views::errors(model, parameters, (input, x.view()));
            Errors { loss, square }
        };
        let from = |corruption| errors(views::corrupted(x.view(), corruption, seed).view());
        let codes = views::codes(model, parameters, x.view());
        Ok(Self {
            clean: errors(x.view()),
            masked: from(Corruption::Masking { fraction: 0.25 }),
            noisy: from(Corruption::Gaussian { deviation: 0.5 }),
            own: saved.configuration.options.corruption().map(from),
            units: UnitStatistics::of(codes.view()),
            squared_jacobian: views::squared_jacobian(model, parameters, x.view()),
            probe: probe_errors(saved, data, (&x, &codes))?,
            images: x,
            codes,
        })
    }
}

/// The errors of linear classifiers.
pub struct ProbeErrors {
    /// On the codes.
    pub codes: f64,
    /// On the pixels.
    pub pixels: f64,
}

/// How well a linear classifier does on the test images' codes, and on their pixels; none without labels.
fn probe_errors<M: AutoencoderCommand>(
    saved: &Saved<M>,
    data: &LoadedData<ImageData>,
    (test_images, test_codes): (&Array2<f32>, &Array2<f32>),
) -> Result<Option<ProbeErrors>> {
    let seed = saved.configuration.settings.seed;
    let (Some(train_labels), Some(test_labels)) = (labels(&data.train), labels(&data.test)) else {
        return Ok(None);
    };
    let images = views::all_images(&data.train, seed);
    let codes = views::codes(&saved.model, &saved.parameters, images.view());
    let error = |train: &Array2<f32>, test: &Array2<f32>| {
        probe::error((train, &train_labels), (test, &test_labels), seed)
    };
    Ok(Some(ProbeErrors {
        codes: error(&codes, test_codes)?,
        pixels: error(&images, test_images)?,
    }))
}
