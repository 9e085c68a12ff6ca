//! A whole training state in a safetensors file.
//!
//! Parameters and buffers are tensors under their own names, Adam's moments under `adam.first.NAME` and
//! `adam.second.NAME`, the best epoch's parameters under `best.NAME`. The rest (epochs, steps, means) is text in the file's
//! metadata, together with a description of the caller's.

use ndarray::{ArrayD, IxDyn};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Best, EpochMetrics, Metrics, Run};
use crate::nn::checkpoint::{self, CheckpointError};
use crate::nn::{Adam, Parameters};

/// Prefixes of what is not a parameter.
const FIRST: &str = "adam.first.";
const SECOND: &str = "adam.second.";
const BEST: &str = "best.";

/// The part of the state that is no array.
#[derive(Serialize, Deserialize)]
struct Progress<D> {
    description: D,
    epochs: Vec<EpochMetrics>,
    step: usize,
    running: Metrics,
    optimiser_steps: usize,
    best: Option<(usize, f64, bool)>,
}

/// The bytes of a checkpoint: the state with a description of what is trained. The same state gives the same bytes.
///
/// # Errors
/// If an array or a mean is not finite, so that it could not be read back; if the description cannot be written as text; or
/// if a parameter's name begins with `adam.first.`, `adam.second.` or `best.`.
pub fn write<D: Serialize>(run: &Run<f32>, description: &D) -> Result<Vec<u8>, CheckpointError> {
    let inconsistent = |what: String| Err(CheckpointError::Inconsistent(what));
    for (name, _) in run.parameters.iter() {
        if [FIRST, SECOND, BEST]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            return inconsistent(format!("a parameter of the reserved name `{name}`"));
        }
    }
    let means = run
        .epochs
        .iter()
        .flat_map(|epoch| [&epoch.train, &epoch.test]);
    for (name, value) in means.chain([&run.running]).flat_map(|means| &means.terms) {
        if !value.is_finite() {
            return inconsistent(format!("{value} as the mean of `{name}`"));
        }
    }
    let progress = Progress {
        description,
        epochs: run.epochs.clone(),
        step: run.step,
        running: run.running.clone(),
        optimiser_steps: run.optimiser.steps(),
        best: (run.best.as_ref()).map(|best| (best.epoch, best.loss, best.parameters.is_some())),
    };
    let mut arrays = run.parameters.clone();
    for (prefix, moments) in [FIRST, SECOND].into_iter().zip(run.optimiser.moments()) {
        for ((name, value), moment) in run.parameters.iter().zip(moments) {
            let moment = ArrayD::from_shape_vec(IxDyn(value.shape()), moment.clone());
            arrays.add(
                format!("{prefix}{name}"),
                moment.expect("a moment for each entry"),
            );
        }
    }
    if let Some(Best {
        parameters: Some(parameters),
        ..
    }) = &run.best
    {
        for (name, value) in parameters.iter() {
            arrays.add(format!("{BEST}{name}"), value.clone());
        }
    }
    if let Some((name, _)) = (arrays.iter()).find(|(_, value)| !value.iter().all(|x| x.is_finite()))
    {
        return Err(CheckpointError::NotFinite(name.to_owned()));
    }
    match serde_json::to_string(&progress) {
        Ok(text) => Ok(checkpoint::write(&arrays, &text)),
        Err(error) => inconsistent(error.to_string()),
    }
}

/// Reads a checkpoint. `fresh` makes, from the description, the parameters that training began with and the optimiser.
///
/// # Errors
/// If these are not the bytes of a checkpoint, or the arrays are not those of the parameters.
pub fn read<D: DeserializeOwned>(
    bytes: &[u8],
    fresh: impl FnOnce(&D) -> Result<(Parameters<f32>, Adam<f32>), CheckpointError>,
) -> Result<(Run<f32>, D), CheckpointError> {
    let text = checkpoint::description(bytes)?;
    let progress: Progress<D> = serde_json::from_str(&text)
        .map_err(|error| CheckpointError::Inconsistent(format!("another description ({error})")))?;
    let numbers = progress.epochs.iter().map(|epoch| epoch.number);
    let last = progress.epochs.len();
    if !numbers.eq(1..=last)
        || progress
            .best
            .is_some_and(|(epoch, ..)| epoch == 0 || epoch > last)
    {
        return Err(CheckpointError::Inconsistent(
            "epochs that are not numbered from 1".to_owned(),
        ));
    }
    let (parameters, optimiser) = fresh(&progress.description)?;
    let names: Vec<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();

    let mut arrays = parameters.clone();
    let with_moments = progress.optimiser_steps > 0;
    let with_best = progress.best.is_some_and(|(.., kept)| kept);
    let prefixes = [
        (FIRST, with_moments),
        (SECOND, with_moments),
        (BEST, with_best),
    ];
    for (prefix, _) in prefixes.into_iter().filter(|(_, present)| *present) {
        for (name, value) in parameters.iter() {
            arrays.add(format!("{prefix}{name}"), value.clone());
        }
    }
    checkpoint::read(bytes, &mut arrays)?;
    let under = |prefix: &str| {
        let get = |name: &String| arrays.get(&format!("{prefix}{name}")).expect("added above");
        names.iter().map(get).cloned().collect::<Vec<_>>()
    };
    let filled = |prefix: &str| {
        let mut filled = parameters.clone();
        for (name, value) in names.iter().zip(under(prefix)) {
            filled.set(name, value).expect("of the same shape");
        }
        filled
    };

    let mut run = Run::new(filled(""), optimiser);
    if with_moments {
        let entries = |prefix| {
            let arrays = under(prefix).into_iter();
            arrays
                .map(|array| array.iter().copied().collect())
                .collect()
        };
        let moments = [entries(FIRST), entries(SECOND)];
        run.optimiser.restore(progress.optimiser_steps, moments);
    }
    run.best = progress.best.map(|(epoch, loss, kept)| Best {
        epoch,
        loss,
        parameters: kept.then(|| filled(BEST)),
    });
    (run.epochs, run.step, run.running) = (progress.epochs, progress.step, progress.running);
    Ok((run, progress.description))
}
