//! Stacked denoising autoencoders: a row of Table 3 of Vincent et al. (2010).

use std::fmt;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;
use ndarray::{Array2, ArrayView2, s};
use serde::{Deserialize, Serialize};

use super::is_wanted;
use crate::autoencoders::{Classifier, Corruption, Stacked};
use crate::cli::interrupt::Interrupt;
use crate::cli::models::autoencoders::rows::{Rows, classes, labels};
use crate::cli::models::autoencoders::views;
use crate::cli::options::{Data, Widths, positive, positive_real, seed, widths};
use crate::cli::output::{create_folder, write_atomically};
use crate::cli::progress::{Progress, say, spoken};
use crate::data::{Binarisation, Source};
use crate::distributions::noise::stream;
use crate::nn::{Adam, Model, Parameters, Schedule};
use crate::train::{self, Event, Metrics, Outcome, Run, Settings, Task, evaluate, fit};

/// Stacked denoising autoencoders as a start for a classifier: Vincent et al. (2010), Table 3, MNIST
///
/// Three sigmoid layers are trained one after the other, each to restore the codes of the layers below from corrupted ones
/// (tied weights, cross-entropy). With softmax regression on top they are then trained as a whole on the labels. The rows are
/// the same net without pretraining (none), pretrained on inputs that are not corrupted (autoencoders), and on inputs with a
/// quarter masked (denoising).
///
/// As in the paper, the last sixth of the training images, 10,000 of MNIST, is held out for validation. Unlike in the paper,
/// sizes, rates and epochs are not searched on it for each row: all rows share those below, of which only the rate of
/// fine-tuning was chosen on the validation images. The paper trains by stochastic gradient descent, this command with Adam; in
/// fine-tuning its rate falls to a tenth, and the weights are those of the last epoch, without early stopping.
///
/// On MNIST it takes about half an hour on two cores. Every epoch leaves its state in the folder of `--out`: the same command
/// goes on from there.
#[derive(Args, Debug)]
pub struct StackedTable {
    #[command(flatten)]
    data: Data,

    /// The folder for the states of the trainings
    #[arg(long, value_name = "DIR", default_value = "runs/reproduce/stacked")]
    out: PathBuf,

    /// Only these rows, with commas
    #[arg(long, value_name = "ROWS", value_delimiter = ',', value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,

    /// Widths of the hidden layers, with commas
    #[arg(long, value_name = "WIDTHS", default_value = "1000,1000,1000", value_parser = widths)]
    hidden: Widths,

    /// Passes over the images for each layer in pretraining
    #[arg(long, value_name = "N", default_value = "20", value_parser = positive, allow_negative_numbers = true)]
    pretraining_epochs: usize,

    /// Adam's learning rate in pretraining
    #[arg(long, value_name = "RATE", default_value = "0.001", value_parser = positive_real, allow_negative_numbers = true)]
    pretraining_rate: f64,

    /// Passes over the images in fine-tuning
    #[arg(long, value_name = "N", default_value = "20", value_parser = positive, allow_negative_numbers = true)]
    epochs: usize,

    /// Adam's learning rate in fine-tuning, at the beginning
    #[arg(long, value_name = "RATE", default_value = "0.002", value_parser = positive_real, allow_negative_numbers = true)]
    rate: f64,

    /// Determines the initial weights, the order of the images and all noise
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
}

/// A row of the table.
struct Row {
    name: &'static str,
    title: &'static str,
    /// The share of inputs that are masked in pretraining; none without pretraining.
    masked: Option<f64>,
    /// The test error in the paper, in per cent.
    published: Option<f64>,
}

const ROWS: [Row; 3] = [
    Row {
        name: "none",
        title: "no pretraining",
        masked: None,
        published: None,
    },
    Row {
        name: "autoencoders",
        title: "stacked autoencoders",
        masked: Some(0.0),
        published: Some(1.40),
    },
    Row {
        name: "denoising",
        title: "stacked denoising autoencoders",
        masked: Some(0.25),
        published: Some(1.28),
    },
];

/// The test error of a support vector machine with a Gaussian kernel in the paper, in per cent.
const PUBLISHED_SVM: f64 = 1.40;

/// The names of the rows.
pub fn names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.name).collect()
}

/// Images of a set with their labels.
struct Set {
    images: Array2<f32>,
    labels: Vec<usize>,
}

impl Set {
    fn rows(&self) -> Rows<'_> {
        Rows {
            data: self.images.view(),
            labels: Some(&self.labels),
        }
    }
}

/// The share of images that are taken for another class.
struct Errors {
    validation: f64,
    test: f64,
}

impl StackedTable {
    /// Trains what is not there yet, and prints all rows.
    ///
    /// # Errors
    /// If the images cannot be read or have no labels, a file cannot be written, or a training diverges.
    pub fn run(&self) -> Result<ExitCode> {
        let rows: Vec<&Row> = (ROWS.iter())
            .filter(|row| is_wanted(&self.only, row.name))
            .collect();
        let [train, validation, test] = self.sets()?;
        create_folder(&self.out)?;
        say(&format!(
            "Nets {} on {} images, {} for validation, {} to test on.",
            self.widths(&train, &test),
            train.labels.len(),
            validation.labels.len(),
            test.labels.len()
        ))?;
        let total = rows.iter().map(|row| self.work(row, &train)).sum();
        let mut trainer = Trainer::new(self, total)?;
        let mut lines = Vec::new();
        for row in rows {
            let errors = match self.row(row, &mut trainer, [&train, &validation, &test]) {
                Err(error) if error.is::<Interrupted>() => {
                    say("Interrupted: the same command goes on from here.")?;
                    return Ok(trainer.interrupt.exit_code());
                }
                errors => errors?,
            };
            lines.push(line(row, &errors, test.labels.len()));
            trainer.progress.line(lines.last().expect("pushed above"))?;
        }
        trainer.progress.finish();
        say(&format!(
            "\n{:<32}{:>12}{:>16}{:>22}",
            "errors in %, ± 95 %", "validation", "test", "Vincent et al. (2010)"
        ))?;
        for line in lines {
            say(&line)?;
        }
        let svm = format!("{PUBLISHED_SVM:.2}");
        say(&format!(
            "{:<32}{:>12}{:>16}{svm:>22}",
            "support vector machine", "", ""
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Training, validation and test images.
    fn sets(&self) -> Result<[Set; 3]> {
        let data = self.data.load()?;
        let [mut train, test] = [data.train, data.test]
            .map(|images| {
                let pixels = images.pixels_as(Binarisation::None);
                let labels = labels(&pixels).context("expected images with labels")?;
                let images = views::all_images(&pixels, self.seed);
                anyhow::Ok(Set { images, labels })
            })
            .into_iter()
            .collect::<Result<Vec<_>>>()?
            .try_into()
            .unwrap_or_else(|_| unreachable!("two sets"));
        let held_out = train.labels.len() / 6;
        ensure!(
            held_out > 0 && !test.labels.is_empty(),
            "expected at least six images to train on and one to test on"
        );
        let kept = train.labels.len() - held_out;
        let validation = Set {
            images: train.images.slice(s![kept.., ..]).to_owned(),
            labels: train.labels.split_off(kept),
        };
        train.images = train.images.slice(s![..kept, ..]).to_owned();
        Ok([train, validation, test])
    }

    /// The widths of a classifier, from the images to the classes.
    fn widths(&self, train: &Set, test: &Set) -> Widths {
        let classes = classes(train.labels.iter().chain(&test.labels));
        self.hidden.between(train.images.ncols(), classes)
    }

    /// How many products a row takes for an image, over all epochs: a measure of time.
    fn work(&self, row: &Row, train: &Set) -> f64 {
        let widths = Widths([&[train.images.ncols()], self.hidden.0.as_slice()].concat());
        let weights = widths.weights().unwrap_or(usize::MAX) as f64;
        // A tied weight serves the encoder and the decoder.
        let pretraining = row.masked.map_or(0, |_| 2 * self.pretraining_epochs);
        weights * (pretraining + self.epochs) as f64
    }

    /// Pretrains, fine-tunes and measures one net.
    fn row(
        &self,
        row: &Row,
        trainer: &mut Trainer<'_>,
        [train, validation, test]: [&Set; 3],
    ) -> Result<Errors> {
        let widths = self.widths(train, test).0;
        let mut parameters = Parameters::new();
        let mut rng = stream(self.seed, "weights", 0);
        let classifier = Classifier::new(&widths, &mut parameters, &mut rng);
        if let Some(fraction) = row.masked {
            let stacked = Stacked {
                widths: self.hidden.0.clone(),
                corruption: Corruption::Masking { fraction },
            };
            let sets = vec![train.images.clone(), validation.images.clone()];
            let count = self.hidden.0.len();
            let encoders = stacked.pretrain(sets, &mut rng, |layer| {
                let [train, validation] = [0, 1].map(|set| Rows {
                    data: layer.sets[set].view(),
                    labels: None,
                });
                let code = self.hidden.0[layer.index];
                let stage = Stage {
                    name: format!("{}-{}", row.name, layer.index + 1),
                    title: format!("{}, layer {} of {count}", row.title, layer.index + 1),
                    epochs: self.pretraining_epochs,
                    rate: Schedule::constant(self.pretraining_rate),
                    work: 2.0 * (train.data.ncols() * code) as f64,
                    show: |metrics| {
                        format!("{:9.3} nats", metrics.term("error").unwrap_or(f64::NAN))
                    },
                };
                trainer.train(&stage, layer.model, layer.parameters, [train, validation])
            })?;
            encoders.initialise(&mut parameters);
        }
        let steps = train.labels.len().div_ceil(Settings::default().batch) * self.epochs;
        let stage = Stage {
            name: format!("{}-classifier", row.name),
            title: format!("{}, fine-tuning", row.title),
            epochs: self.epochs,
            rate: Schedule::linear(self.rate, 0.1 * self.rate, steps),
            work: widths
                .windows(2)
                .map(|pair| pair[0] * pair[1])
                .sum::<usize>() as f64,
            show: |metrics| format!("{:5.2} % wrong", 100.0 * wrong(metrics)),
        };
        let sets = [train.rows(), validation.rows()];
        let trained = trainer.train(&stage, &classifier, parameters, sets)?;
        let [validation, test] = [validation, test].map(|set| {
            let mut rng = stream(self.seed, "test", 0);
            wrong(&evaluate(&classifier, &trained, &set.rows(), &mut rng))
        });
        Ok(Errors { validation, test })
    }
}

fn wrong(metrics: &Metrics) -> f64 {
    metrics.term("wrong").unwrap_or(f64::NAN)
}

/// A row of the table, as it is printed.
fn line(row: &Row, errors: &Errors, images: usize) -> String {
    let p = errors.test;
    let half_width = 1.96 * (p * (1.0 - p) / images as f64).sqrt();
    let test = format!("{:.2} ± {:.2}", 100.0 * p, 100.0 * half_width);
    let published = (row.published).map_or("—".to_owned(), |error| format!("{error:.2}"));
    format!(
        "{:<32}{:>12.2}{test:>16}{published:>22}",
        row.title,
        100.0 * errors.validation
    )
}

/// Somebody asked for an end before the table was complete.
#[derive(Debug)]
struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// One training of the table.
struct Stage {
    /// That of its file.
    name: String,
    /// What a person reads.
    title: String,
    epochs: usize,
    rate: Schedule,
    /// Products for an image.
    work: f64,
    /// What a person sees of an epoch.
    show: fn(&Metrics) -> String,
}

/// What a state belongs to; one of something else is not continued.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Description {
    stage: String,
    settings: Settings,
    /// All the options that come before this training.
    table: String,
}

/// Trains stage after stage, with the time that is left for all of them.
struct Trainer<'a> {
    table: &'a StackedTable,
    interrupt: Interrupt,
    progress: Progress,
    started: Instant,
    /// Products for an image: in all, done, and done by this process.
    total: f64,
    done: f64,
    done_here: f64,
}

impl<'a> Trainer<'a> {
    fn new(table: &'a StackedTable, total: f64) -> Result<Self> {
        Ok(Self {
            table,
            interrupt: Interrupt::listen()?,
            progress: Progress::new(1000),
            started: Instant::now(),
            total,
            done: 0.0,
            done_here: 0.0,
        })
    }

    fn file(&self, stage: &Stage) -> PathBuf {
        (self.table.out).join(format!("{}.safetensors", stage.name))
    }

    /// What was trained of a stage before, or a training that has not begun.
    fn begun(
        &self,
        file: &Path,
        description: &Description,
        parameters: Parameters<f32>,
    ) -> Result<Run<f32>> {
        let optimiser = Adam::new(description.settings.rate.at(0));
        if !file.exists() {
            return Ok(Run::new(parameters, optimiser));
        }
        let read = || {
            let bytes = fs::read(file)?;
            anyhow::Ok(train::read(&bytes, |_: &Description| {
                Ok((parameters, optimiser))
            })?)
        };
        let (run, found) =
            read().with_context(|| format!("cannot go on from {}", file.display()))?;
        ensure!(
            found == *description,
            "{} is the state of a training with other options: choose another --out",
            file.display()
        );
        Ok(run)
    }

    /// Trains a model, from where an earlier command left it.
    fn train<'b, M: Model<f32>>(
        &mut self,
        stage: &Stage,
        model: &M,
        parameters: Parameters<f32>,
        [train, validation]: [Rows<'b>; 2],
    ) -> Result<Parameters<f32>> {
        let settings = Settings {
            epochs: stage.epochs,
            rate: stage.rate.clone(),
            seed: self.table.seed,
            ..Settings::default()
        };
        let description = Description {
            stage: stage.name.clone(),
            settings: settings.clone(),
            table: format!(
                "{} after {} epochs at {}, {} images (checksum {:08x})",
                self.table.hidden,
                self.table.pretraining_epochs,
                self.table.pretraining_rate,
                train.data.nrows(),
                checksum(train.data.view())
            ),
        };
        let file = self.file(stage);
        let mut run = self.begun(&file, &description, parameters)?;
        let steps = train.len().div_ceil(settings.batch);
        self.advance(stage.work * (run.epochs.len() as f64 + run.step as f64 / steps as f64));
        let task = Task {
            model,
            train: &train,
            test: &validation,
            settings: &settings,
        };
        let save = |run: &Run<f32>| {
            let bytes = train::write(run, &description)?;
            write_atomically(&file, |out| Ok(out.write_all(&bytes)?))
        };
        let mut failure = Ok(());
        let outcome = fit(&task, &mut run, |event| {
            match event {
                Event::Step { epoch, metrics, .. } => {
                    self.advance(stage.work / steps as f64);
                    self.done_here += stage.work / steps as f64;
                    self.progress.message(|| {
                        let shown = (stage.show)(metrics);
                        format!(
                            "{}, epoch {epoch}/{}: {}",
                            stage.title,
                            stage.epochs,
                            shown.trim()
                        )
                    });
                }
                Event::Epoch(run) => {
                    failure = save(run).and_then(|()| self.show(stage, run));
                }
            }
            match self.interrupt.asked() || failure.is_err() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        failure?;
        match outcome {
            Outcome::Interrupted(_) => {
                save(&run)?;
                bail!(Interrupted)
            }
            Outcome::Finished | Outcome::StoppedEarly => Ok(run.parameters),
        }
    }

    fn advance(&mut self, work: f64) {
        let permille = |done: f64, total: f64| (1000.0 * done / total) as u64;
        let before = permille(self.done, self.total);
        self.done += work;
        let steps = permille(self.done, self.total).saturating_sub(before);
        self.progress.advance(steps);
    }

    /// A line for an epoch, with the time left.
    fn show(&self, stage: &Stage, run: &Run<f32>) -> Result<()> {
        let epoch = run.epochs.last().expect("one is done");
        let each = self.started.elapsed().as_secs_f64() / self.done_here;
        let left = Duration::try_from_secs_f64(each * (self.total - self.done).max(0.0));
        self.progress.line(&format!(
            "{}, epoch {}/{}: {} training, {} validation; {} left",
            stage.title,
            epoch.number,
            stage.epochs,
            (stage.show)(&epoch.train).trim(),
            (stage.show)(&epoch.test).trim(),
            spoken(left.unwrap_or(Duration::MAX))
        ))
    }
}

/// Tells other data apart from these.
fn checksum(data: ArrayView2<'_, f32>) -> u32 {
    let mut checksum = flate2::Crc::new();
    for row in data.rows() {
        let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        checksum.update(&bytes);
    }
    checksum.sum()
}
