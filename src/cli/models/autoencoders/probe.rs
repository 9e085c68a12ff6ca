//! How much of the label a linear classifier reads from codes: softmax regression, trained by this crate.

use std::ops::ControlFlow;

use anyhow::Result;
use ndarray::{Array2, Axis};

use super::rows::{Rows, classes};
use crate::autoencoders::Classifier;
use crate::distributions::noise::stream;
use crate::nn::{Adam, Parameters, Schedule};
use crate::train::{Run, Settings, Task, fit};

/// Passes over the codes.
const EPOCHS: usize = 20;

/// The share of test codes that softmax regression on the training codes takes for another class; of each the codes and their
/// labels.
///
/// Every unit is shifted to mean 0 and all are scaled alike, to a mean variance of 1: one learning rate then suits all codes.
///
/// # Errors
/// If there are no data, or training diverges.
pub fn error(
    train: (&Array2<f32>, &[usize]),
    test: (&Array2<f32>, &[usize]),
    seed: u64,
) -> Result<f64> {
    let mean = train.0.mean_axis(Axis(0)).unwrap_or_default();
    let variance = train.0.var_axis(Axis(0), 0.0).mean().unwrap_or(1.0);
    let scale = variance.sqrt().max(f32::MIN_POSITIVE);
    let standardised = [train.0, test.0].map(|codes| (codes - &mean) / scale);
    let [train, test] = [(0, train.1), (1, test.1)].map(|(set, labels)| Rows {
        data: standardised[set].view(),
        labels: Some(labels),
    });
    let labels = [train, test].into_iter().filter_map(|rows| rows.labels);
    let widths = [train.data.ncols(), classes(labels.flatten())];
    let mut parameters = Parameters::new();
    let mut rng = stream(seed, "probe", 0);
    let probe = Classifier::new(&widths, &mut parameters, &mut rng);
    let steps = train.data.nrows().div_ceil(128) * EPOCHS;
    let settings = Settings {
        epochs: EPOCHS,
        rate: Schedule::linear(3e-3, 1e-4, steps),
        seed,
        ..Settings::default()
    };
    let task = Task {
        model: &probe,
        train: &train,
        test: &test,
        settings: &settings,
    };
    let mut run = Run::new(parameters, Adam::new(3e-3));
    fit(&task, &mut run, |_| ControlFlow::Continue(()))?;
    let last = run.epochs.last().expect("there are epochs");
    Ok(last.test.term("wrong").expect("a classifier's"))
}
