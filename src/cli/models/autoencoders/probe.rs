//! How much of the label a linear classifier reads from codes: softmax regression, trained by this crate.

use std::ops::ControlFlow;

use anyhow::Result;
use ndarray::{Array1, Array2, Axis};
use rand::rngs::StdRng;

use crate::autodiff::Tape;
use crate::data::Source;
use crate::distributions::Categorical;
use crate::nn::{
    Activation, Adam, Batch, Bound, Dense, Initialisation, Model, Objective, Parameters, Schedule,
    Step,
};
use crate::train::{Run, Settings, Task, fit};

/// Codes with their labels.
pub struct Labelled {
    /// One code a row.
    pub codes: Array2<f32>,
    /// The label of each.
    pub labels: Vec<usize>,
}

impl Source<f32> for Labelled {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn batch<'t>(&self, tape: &'t Tape<f32>, indices: &[usize], _: &mut StdRng) -> Batch<'t, f32> {
        let labels = Array2::from_shape_fn((indices.len(), 1), |(i, _)| self.labels[indices[i]]);
        Batch {
            data: tape.constant(self.codes.select(Axis(0), indices)),
            factors: Some(labels),
        }
    }
}

/// Softmax regression: p(label | code) from logits that are linear in the code.
struct Probe {
    layer: Dense,
    classes: usize,
}

impl Model<f32> for Probe {
    /// The mean of -log p(label | code), in nats.
    fn objective<'t>(
        &self,
        p: &Bound<'t, f32>,
        batch: &Batch<'t, f32>,
        _: &mut Step<'_>,
    ) -> Objective<'t, f32> {
        let logits = self.layer.forward(p, batch.data);
        let labels = batch.factors.as_ref().expect("codes come with labels");
        let one_hot = Array2::from_shape_fn((labels.nrows(), self.classes), |(i, class)| {
            f32::from(labels[[i, 0]] == class)
        });
        let density = Categorical { logits }.log_density(p.tape().constant(one_hot));
        Objective::new(-density.mean(), Vec::new())
    }
}

/// Passes over the codes.
const EPOCHS: usize = 20;

/// The share of test codes that softmax regression on the training codes takes for another class.
///
/// Every unit is shifted to mean 0 and all are scaled alike, to a mean variance of 1: one learning rate then suits all codes.
///
/// # Errors
/// If there are no data, or training diverges.
pub fn error(train: &Labelled, test: &Labelled, seed: u64) -> Result<f64> {
    let mean = train.codes.mean_axis(Axis(0)).unwrap_or_default();
    let scale = (train.codes.var_axis(Axis(0), 0.0).mean().unwrap_or(1.0)).sqrt();
    let standardised = |data: &Labelled| Labelled {
        codes: standardise(&data.codes, &mean, scale.max(f32::MIN_POSITIVE)),
        labels: data.labels.clone(),
    };
    let (train, test) = (&standardised(train), &standardised(test));
    let classes = 1 + train
        .labels
        .iter()
        .chain(&test.labels)
        .copied()
        .max()
        .unwrap_or(0);
    let mut parameters = Parameters::new();
    let layer = Dense::new(
        &mut parameters,
        "probe",
        (train.codes.ncols(), classes),
        Activation::Identity,
        Initialisation::Glorot,
        &mut crate::distributions::noise::stream(seed, "probe", 0),
    );
    let probe = Probe { layer, classes };
    let steps = train.labels.len().div_ceil(128) * EPOCHS;
    let settings = Settings {
        epochs: EPOCHS,
        rate: Schedule::linear(3e-3, 1e-4, steps),
        seed,
        ..Settings::default()
    };
    let task = Task {
        model: &probe,
        train,
        test,
        settings: &settings,
    };
    let mut run = Run::new(parameters, Adam::new(3e-3));
    fit(&task, &mut run, |_| ControlFlow::Continue(()))?;
    let tape = Tape::new();
    let p = run.parameters.bind_constant(&tape);
    let logits = probe
        .layer
        .forward(&p, tape.constant(test.codes.view()))
        .value();
    let wrong = (logits.rows().into_iter().zip(&test.labels)).filter(|(row, label)| {
        let first = row
            .iter()
            .enumerate()
            .fold(0, |best, (i, &x)| if x > row[best] { i } else { best });
        first != **label
    });
    Ok(wrong.count() as f64 / test.labels.len() as f64)
}

fn standardise(codes: &Array2<f32>, mean: &Array1<f32>, scale: f32) -> Array2<f32> {
    (codes - mean) / scale
}
