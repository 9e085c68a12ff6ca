//! The folder of a run: its checkpoint while it runs, its results at the end.
//!
//! `checkpoint.safetensors` is the state after the last complete epoch of the last run that was started here. The results
//! (model, metrics, pictures, report) are all of one run, the last one that left any: they are written beside the old ones and
//! take their names together, the report last.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::summary;
use crate::cli::models::{
    Column, Configuration, FILE, Header, LoadedData, ModelCommand, Saved, header,
};
use crate::cli::output::{Prepared, prepare};
use crate::cli::report::{Report, Table};
use crate::nn::checkpoint::CheckpointError;
use crate::train::{EpochMetrics, Run, read as read_state, write as write_state};

/// The name of the checkpoint's file.
pub const CHECKPOINT: &str = "checkpoint.safetensors";

const REPORT: &str = "report.html";

/// The folder that a run leaves its files in.
pub struct Folder<'a> {
    path: &'a Path,
}

impl<'a> Folder<'a> {
    /// The folder at a path.
    pub fn new(path: &'a Path) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.path
    }

    /// Has a run left its results here?
    pub fn has_results(&self) -> bool {
        self.path.join(FILE).is_file()
    }

    /// After how many epochs the run in it stopped, if it is not finished.
    pub fn unfinished(&self) -> Option<usize> {
        let bytes = fs::read(self.path.join(CHECKPOINT)).ok()?;
        let progress = progress(&bytes).ok()?;
        let done = progress.epochs.len();
        (done < progress.description.settings.epochs && !progress.stopped_early()).then_some(done)
    }

    /// Replaces the checkpoint by the present state.
    pub fn checkpoint<M: ModelCommand>(
        &self,
        run: &Run<f32>,
        configuration: &Configuration<M>,
    ) -> Result<()> {
        let bytes = write_state(run, configuration)?;
        self.prepare(CHECKPOINT, &bytes)?.publish()
    }

    /// Puts the state before the first step in the place of an earlier run's checkpoint, which is returned: a run that is
    /// killed in its first epoch is not to be mistaken for the earlier one.
    pub fn begin<M: ModelCommand>(
        &self,
        run: &Run<f32>,
        configuration: &Configuration<M>,
    ) -> Result<Option<Vec<u8>>> {
        let earlier = fs::read(self.path.join(CHECKPOINT)).ok();
        self.checkpoint(run, configuration)?;
        Ok(earlier)
    }

    /// Nothing came of the run: the earlier one's checkpoint takes its place again.
    pub fn undo(&self, earlier: Option<Vec<u8>>) -> Result<()> {
        match earlier {
            Some(bytes) => self.prepare(CHECKPOINT, &bytes)?.publish(),
            None => self.remove(CHECKPOINT),
        }
    }

    /// The model, and the state to go on from.
    pub fn read<M: ModelCommand>(&self) -> Result<(M::Model, Run<f32>, Configuration<M>)> {
        let path = self.path.join(CHECKPOINT);
        let bytes = read(&path)?;
        let (mut model, mut refused) = (None, None);
        let state = read_state(&bytes, |configuration: &Configuration<M>| {
            if let Err(error) = configuration.check_in_file("checkpoint", bytes.len()) {
                refused = Some(error);
                return Err(CheckpointError::NoDescription);
            }
            let (fresh, parameters) = configuration.fresh();
            model = Some(fresh);
            Ok((parameters, super::optimiser(configuration)))
        });
        let state = state.and_then(|(run, configuration)| {
            let steps = configuration.training().steps();
            let taken = run.epochs.len() * steps + run.step;
            match run.step < steps && run.optimiser.steps() == taken {
                true => Ok((model.expect("made above"), run, configuration)),
                false => Err(CheckpointError::Inconsistent(format!(
                    "{} steps of the optimiser, not {taken}",
                    run.optimiser.steps()
                ))),
            }
        });
        match refused {
            Some(error) => Err(error),
            None => state.map_err(Into::into),
        }
        .with_context(|| path.display().to_string())
    }

    /// Writes the results: all of them are complete before the first takes its name, and no report is there while they do.
    pub fn leave<M: ModelCommand>(
        &self,
        (configuration, model): (&Configuration<M>, M::Model),
        run: &Run<f32>,
        epochs: &[EpochMetrics],
        data: &LoadedData<M::Data>,
    ) -> Result<()> {
        let mut saved = Saved {
            configuration: configuration.clone(),
            model,
            parameters: run.result().clone(),
        };
        let options = &configuration.options;
        let table = table(options, epochs);
        let (curve_name, curve) = options.curve(epochs);
        let mut figures = vec![(curve_name.to_owned(), curve)];
        figures.extend(M::pictures(&saved, data)?);
        let names = figures.iter().map(|(name, _)| name.clone());
        saved.configuration.files = ["metrics.csv".to_owned()]
            .into_iter()
            .chain(names)
            .collect();

        let model = self.prepare(FILE, &saved.bytes()?)?;
        let mut files = vec![self.prepare("metrics.csv", csv(&table).as_bytes())?];
        for (name, figure) in &figures {
            files.push(self.prepare(name, figure.content.bytes())?);
        }
        let report = Report {
            title: format!("{} on {}", M::TITLE, data.name),
            summary: summary(configuration, run.parameters.count(), data),
            command: configuration.command.join(" "),
            figures: figures.into_iter().map(|(_, figure)| figure).collect(),
            results: results(&configuration.options, run, epochs),
            configuration: rows(configuration, run, epochs),
            epochs: table,
        };
        let report = self.prepare(REPORT, report.to_html().as_bytes())?;
        let stale = self.stale(&saved.configuration.files);
        // The model's file, which lists the others, comes last but one: whoever is killed on the way finds the old list.
        self.remove(REPORT)?;
        stale.iter().try_for_each(|name| self.remove(name))?;
        files.into_iter().try_for_each(Prepared::publish)?;
        model.publish()?;
        report.publish()
    }

    fn prepare(&self, name: &str, bytes: &[u8]) -> Result<Prepared> {
        prepare(&self.path.join(name), |file| Ok(file.write_all(bytes)?))
    }

    /// What an earlier run left and this one does not make: it would be taken for this one's.
    fn stale(&self, made: &[String]) -> Vec<String> {
        let old = fs::read(self.path.join(FILE)).ok();
        let files = old
            .and_then(|bytes| header(&bytes).ok())
            .map_or(Vec::new(), |h| h.files);
        let ours =
            |name: &String| Path::new(name).components().count() == 1 && !made.contains(name);
        files.into_iter().filter(ours).collect()
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove the old {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Which model the checkpoint in a folder is of.
///
/// # Errors
/// If there is none, or it is damaged.
pub fn checkpoint_model(out: &Path) -> Result<String> {
    let path = out.join(CHECKPOINT);
    ensure!(
        path.is_file(),
        "there is no run to resume in {}: expected a {CHECKPOINT} there, which `elbo train` leaves after each epoch",
        out.display()
    );
    let progress = progress(&read(&path)?).with_context(|| path.display().to_string())?;
    Ok(progress.description.header.model)
}

/// The part of a checkpoint's description that does not depend on the model.
#[derive(serde::Deserialize)]
struct Progress {
    description: Description,
    epochs: Vec<EpochMetrics>,
    best: Option<(usize, f64, bool)>,
}

#[derive(serde::Deserialize)]
struct Description {
    #[serde(flatten)]
    header: Header,
    settings: crate::train::Settings,
}

impl Progress {
    fn stopped_early(&self) -> bool {
        let best = self.best.map_or(0, |(epoch, ..)| epoch);
        (self.description.settings).is_patience_over(self.epochs.len(), best)
    }
}

fn progress(bytes: &[u8]) -> Result<Progress> {
    let text = crate::nn::checkpoint::description(bytes)?;
    let progress: Progress =
        serde_json::from_str(&text).context("expected a checkpoint, found another description")?;
    progress.description.header.check("checkpoint")?;
    Ok(progress)
}

fn rows<M: ModelCommand>(
    configuration: &Configuration<M>,
    run: &Run<f32>,
    epochs: &[EpochMetrics],
) -> Vec<(String, String)> {
    let settings = &configuration.settings;
    let row = |name: &str, value: String| (name.to_owned(), value);
    let mut rows = vec![row(
        "data",
        format!(
            "{}, {} to train on",
            configuration.data_name, configuration.training_data
        ),
    )];
    rows.extend(configuration.options.rows(&configuration.shape));
    rows.extend([
        row("batch", settings.batch.to_string()),
        row("epochs", trained_for(settings.epochs, run, epochs)),
        row("learning rate", format!("{} (Adam)", settings.rate.at(0))),
        row("seed", settings.seed.to_string()),
    ]);
    if let Some(best) = run.best.as_ref().filter(|best| best.parameters.is_some()) {
        rows.push(row("weights", format!("of epoch {}, the best", best.epoch)));
    }
    rows
}

/// How many epochs, and how far into the next the training came.
fn trained_for(planned: usize, run: &Run<f32>, epochs: &[EpochMetrics]) -> String {
    match epochs.get(run.epochs.len()) {
        Some(partial) => format!(
            "{} of {planned}, and {} steps of the next, which are the last row of the table",
            run.epochs.len(),
            partial.steps
        ),
        None if run.epochs.len() < planned => format!("{} of {planned}", run.epochs.len()),
        None => planned.to_string(),
    }
}

fn table<M: ModelCommand>(options: &M, epochs: &[EpochMetrics]) -> Table {
    let names: Vec<&str> = epochs.first().map_or(Vec::new(), |epoch| {
        options
            .columns(&epoch.train)
            .into_iter()
            .map(|column| column.name)
            .collect()
    });
    let header = ["train", "test"]
        .iter()
        .flat_map(|set| names.iter().map(move |name| format!("{set}_{name}")));
    let row = |epoch: &EpochMetrics| {
        let sets = [&epoch.train, &epoch.test].into_iter();
        let numbers = sets.flat_map(|metrics| options.columns(metrics));
        let numbers = numbers.map(|column| format!("{:.4}", column.value));
        std::iter::once(epoch.number.to_string())
            .chain(numbers)
            .collect()
    };
    Table {
        header: std::iter::once("epoch".to_owned()).chain(header).collect(),
        rows: epochs.iter().map(row).collect(),
    }
}

/// Numbers and plain names only: nothing needs quoting.
fn csv(table: &Table) -> String {
    let lines = std::iter::once(&table.header).chain(&table.rows);
    lines.map(|cells| cells.join(",") + "\n").collect()
}

/// The figures of the epoch that the weights are from.
fn results<M: ModelCommand>(
    options: &M,
    run: &Run<f32>,
    epochs: &[EpochMetrics],
) -> Vec<(String, String)> {
    let best = run.best.as_ref().filter(|best| best.parameters.is_some());
    let number = best.map_or(epochs.len(), |best| best.epoch);
    let Some(epoch) = epochs.get(number.wrapping_sub(1)) else {
        return Vec::new();
    };
    let of = |set: &'static str, metrics| {
        let columns = options.columns(metrics).into_iter();
        columns.map(move |column| {
            let Column {
                title, value, unit, ..
            } = column;
            (format!("{set} {title}"), format!("{value:.2} {unit}"))
        })
    };
    of("test", &epoch.test)
        .chain(of("training", &epoch.train))
        .collect()
}

/// Reads a file that must be there.
fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
