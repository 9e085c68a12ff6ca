//! `elbo train`.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::data::{Binarisation, Dataset};
use crate::nn::Activation;
use crate::train::{Average, Epoch, Event, Settings, Task, fit};
use crate::vae::{Architecture, Divergence, Likelihood};
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use super::model::{Configuration, FILE, MAX_WIDTH, SavedModel};
use super::options::{Data, positive, positive_real};
use super::output::{create_folder, write_atomically};
use super::plot::{self, latent_scatter, training_curve};
use super::progress::{Progress, say, spoken};
use super::report::{Figure, Report, Table};
use super::views;

/// Train a VAE and leave a folder with its pictures, curves and weights
///
/// Without any option: a 784-400-20 VAE with a Bernoulli decoder on the embedded digits, in about a minute. Open
/// `report.html` in the folder when it is done; it shows everything in one page.
#[derive(Args, Debug)]
pub struct Train {
    #[command(flatten)]
    data: Data,

    /// Where the results go; made if it is not there, files of an earlier run are replaced
    #[arg(long, value_name = "DIR", default_value = "runs/vae")]
    out: PathBuf,

    /// Passes over the training images
    #[arg(long, value_name = "N", default_value = "60", value_parser = positive, allow_negative_numbers = true)]
    epochs: usize,

    /// Images in a step
    #[arg(long, value_name = "N", default_value = "128", value_parser = positive, allow_negative_numbers = true)]
    batch: usize,

    /// Adam's learning rate
    #[arg(long, value_name = "RATE", default_value = "0.001", value_parser = positive_real, allow_negative_numbers = true)]
    rate: f64,

    /// Determines the initial weights, the order of the images and all noise: the same seed gives the same bits
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,

    /// Widths of the encoder's hidden layers, from image to latent, with commas; the decoder's are the reverse.
    /// `none` makes encoder and decoder linear
    #[arg(long, value_name = "WIDTHS", default_value = "400", value_parser = widths)]
    hidden: Widths,

    /// Dimensions of the latent z (with 2, the report shows the latent plane)
    #[arg(long, value_name = "N", default_value = "20", value_parser = positive, allow_negative_numbers = true)]
    latent: usize,

    /// Function after each hidden layer: relu, tanh, sigmoid, softplus or identity
    #[arg(long, value_name = "NAME", default_value = "relu")]
    activation: Activation,

    /// What the decoder's output means
    #[arg(long, value_enum, default_value = "bernoulli")]
    likelihood: LikelihoodName,

    /// σ of `--likelihood gaussian`, in units of a pixel that runs from 0 to 1 [default: 0.1]
    #[arg(long, value_name = "SIGMA", value_parser = deviation)]
    deviation: Option<f64>,

    /// What becomes of grey pixels: none (they stay grey), threshold (at one half), stochastic (drawn afresh each
    /// epoch)
    #[arg(long, value_name = "HOW", default_value = "none")]
    binarise: Binarisation,

    /// How the KL term is computed
    #[arg(long, value_enum, default_value = "closed-form")]
    kl: KlName,

    /// Samples of z for each image
    #[arg(long, value_name = "L", default_value = "1", value_parser = positive, allow_negative_numbers = true)]
    samples: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LikelihoodName {
    /// Coins: for black-and-white pixels, and by custom for grey ones
    Bernoulli,
    /// A Gaussian with the σ of `--deviation`
    Gaussian,
    /// A Gaussian with one σ, which is learnt
    GaussianLearned,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KlName {
    /// Exactly
    ClosedForm,
    /// At the same samples as the reconstruction term
    MonteCarlo,
}

/// The widths of the hidden layers.
#[derive(Clone, Debug)]
struct Widths(Vec<usize>);

fn widths(text: &str) -> Result<Widths> {
    if text == "none" {
        return Ok(Widths(Vec::new()));
    }
    let widths: Vec<usize> = text
        .split(',')
        .map(|width| positive(width.trim()))
        .collect::<Result<_>>()
        .context("expected a whole number from 1 up, several with commas (400,200), or none")?;
    let widest = widths.iter().copied().max().unwrap_or(0);
    ensure!(
        widest <= MAX_WIDTH,
        "a layer may be {MAX_WIDTH} wide, found {widest}"
    );
    Ok(Widths(widths))
}

/// Beyond these, the square of σ or of its inverse comes near the end of f32, and training cannot but diverge.
fn deviation(text: &str) -> Result<f64> {
    let sigma = positive_real(text)?;
    ensure!(
        (1e-6..=1e6).contains(&sigma),
        "expected a number from 1e-6 to 1e6"
    );
    Ok(sigma)
}

impl Train {
    /// Trains, and leaves everything in the folder.
    pub fn run(&self) -> Result<()> {
        ensure!(
            self.samples <= MAX_WIDTH,
            "--samples may be {MAX_WIDTH}, found {}",
            self.samples
        );
        ensure!(
            self.deviation.is_none() || matches!(self.likelihood, LikelihoodName::Gaussian),
            "--deviation belongs to --likelihood gaussian only"
        );
        ensure!(
            self.latent <= MAX_WIDTH,
            "the latent may have {MAX_WIDTH} dimensions, found {}",
            self.latent
        );
        let data = self.data.load()?;
        ensure!(
            data.train.dimensions() <= MAX_WIDTH,
            "images may have {MAX_WIDTH} pixels, found {}x{}",
            data.train.height(),
            data.train.width()
        );
        let configuration = self.configuration(&data);
        configuration.check_size()?;
        // Before the work, not after it: nothing is lost to a folder that cannot be written.
        create_folder(&self.out)?;
        let mut model = SavedModel::fresh(configuration);
        say(&introduction(&model, &data))?;

        let started = Instant::now();
        let epochs = self.fit(&mut model, &data)?;
        let elapsed = started.elapsed();
        self.leave(&model, &data, &epochs)?;
        say(&format!(
            "\nTrained in {}. Open {} in a browser.",
            spoken(elapsed),
            self.out.join("report.html").display()
        ))
    }

    fn deviation(&self) -> f64 {
        self.deviation.unwrap_or(0.1)
    }

    fn configuration(&self, data: &Dataset) -> Configuration {
        let likelihood = match self.likelihood {
            LikelihoodName::Bernoulli => Likelihood::Bernoulli,
            LikelihoodName::Gaussian => Likelihood::Gaussian {
                deviation: self.deviation(),
            },
            LikelihoodName::GaussianLearned => Likelihood::GaussianLearned,
        };
        let divergence = match self.kl {
            KlName::ClosedForm => Divergence::ClosedForm,
            KlName::MonteCarlo => Divergence::MonteCarlo,
        };
        let architecture = Architecture {
            dimensions: data.train.dimensions(),
            hidden: self.hidden.0.clone(),
            latent: self.latent,
            activation: self.activation,
            likelihood,
        };
        let settings = Settings {
            epochs: self.epochs,
            batch: self.batch,
            rate: self.rate,
            seed: self.seed,
            binarisation: self.binarise,
        };
        Configuration::new(architecture, (divergence, self.samples), settings, data)
    }

    fn fit(&self, model: &mut SavedModel, data: &Dataset) -> Result<Vec<Epoch>> {
        let SavedModel {
            configuration,
            vae,
            parameters,
        } = model;
        let steps = data.train.len().div_ceil(self.batch);
        let progress = Progress::new(steps.saturating_mul(self.epochs) as u64);
        progress.line(&heading())?;
        let task = Task {
            model: &*vae,
            data,
            settings: &configuration.settings,
        };
        let started = Instant::now();
        let mut failure = None;
        let epochs = fit(task, parameters, |event| match event {
            Event::Step { epoch, average, .. } => {
                progress.advance(1);
                progress.message(|| format!("epoch {epoch}/{}: {}", self.epochs, brief(average)));
            }
            Event::Epoch(epoch) => {
                let told = progress.line(&line(epoch, self.epochs, started.elapsed()));
                failure = failure.take().or(told.err());
            }
        })?;
        match failure {
            Some(error) => Err(error),
            None => Ok(epochs),
        }
    }

    /// Writes the weights first, the report last: whoever finds a report finds all of it.
    fn leave(&self, model: &SavedModel, data: &Dataset, epochs: &[Epoch]) -> Result<()> {
        // What can fail comes before anything is written.
        let pictures = pictures(model, data)?;
        let table = table(epochs);
        let mut figures = vec![Figure::curve(training_curve(&curve(epochs)))];
        model.save(&self.out.join(FILE))?;
        self.write("metrics.csv", csv(&table).as_bytes())?;
        self.write("elbo.svg", figures[0].content.bytes())?;
        self.remove_stale(&pictures)?;
        for (name, figure) in pictures {
            self.write(name, figure.content.bytes())?;
            figures.push(figure);
        }
        let report = Report {
            title: format!("A variational autoencoder on {}", data.name),
            summary: introduction(model, data),
            command: self.command(),
            figures,
            results: results(epochs),
            configuration: model.configuration.rows(),
            epochs: table,
        };
        self.write("report.html", report.to_html().as_bytes())
    }

    /// Pictures that an earlier run left and this one does not make would be taken for this one's.
    fn remove_stale(&self, made: &[(&str, Figure)]) -> Result<()> {
        for name in ["interpolation.png", "manifold.png", "latent-plane.svg"] {
            let path = self.out.join(name);
            if path.exists() && made.iter().all(|(other, _)| *other != name) {
                fs::remove_file(&path)
                    .with_context(|| format!("cannot remove the old {}", path.display()))?;
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_atomically(&self.out.join(name), |file| Ok(file.write_all(bytes)?))
    }

    /// The command that repeats this run, with every choice spelt out.
    fn command(&self) -> String {
        let hidden: Vec<String> = self.hidden.0.iter().map(usize::to_string).collect();
        let hidden = if hidden.is_empty() {
            "none".to_owned()
        } else {
            hidden.join(",")
        };
        let likelihood = match self.likelihood {
            LikelihoodName::Bernoulli => "bernoulli".to_owned(),
            LikelihoodName::Gaussian => format!("gaussian --deviation {}", self.deviation()),
            LikelihoodName::GaussianLearned => "gaussian-learned".to_owned(),
        };
        let kl = match self.kl {
            KlName::ClosedForm => "closed-form",
            KlName::MonteCarlo => "monte-carlo",
        };
        let data = self.data.arguments().join(" ");
        let words = [
            "elbo train".to_owned(),
            data,
            format!(
                "--epochs {} --batch {} --rate {}",
                self.epochs, self.batch, self.rate
            ),
            format!(
                "--seed {} --hidden {hidden} --latent {}",
                self.seed, self.latent
            ),
            format!("--activation {} --likelihood {likelihood}", self.activation),
            format!(
                "--binarise {} --kl {kl} --samples {}",
                self.binarise, self.samples
            ),
        ];
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.join(" ")
    }
}

fn introduction(model: &SavedModel, data: &Dataset) -> String {
    format!(
        "A {} VAE ({} decoder, {} weights) on {}: {} training and {} test images of {}x{} pixels.",
        model.configuration.layers(),
        model.vae.architecture().likelihood,
        model.parameters.count(),
        data.name,
        data.train.len(),
        data.test.len(),
        data.train.height(),
        data.train.width()
    )
}

/// The pictures of a trained model, with their files' names.
fn pictures(model: &SavedModel, data: &Dataset) -> Result<Vec<(&'static str, Figure)>> {
    let configuration = &model.configuration;
    let (seed, binarisation) = (
        configuration.settings.seed,
        configuration.settings.binarisation,
    );
    let shown: Vec<usize> = (0..data.test.len().min(48)).collect();
    let x = views::batch(&data.test, &shown, binarisation, seed);
    let again = views::decode(model, views::encode(model, x.view()).view());
    let samples = views::decode(model, views::prior(model, 120, seed).view());
    let mut pictures = vec![
        (
            "samples.png",
            Figure::samples(views::tiles(model, samples.view())?.grid(12)?.png()?),
        ),
        (
            "reconstructions.png",
            Figure::reconstructions(
                views::tiles(model, x.view())?
                    .above(&views::tiles(model, again.view())?, 12)?
                    .png()?,
            ),
        ),
    ];
    if data.test.len() >= 2 {
        let steps = 10;
        let paths = views::interpolation(model, &data.test, binarisation, (8, steps));
        let sheet = views::tiles(model, paths.view())?.paths(steps + 2)?;
        pictures.push(("interpolation.png", Figure::interpolation(sheet.png()?)));
    }
    if configuration.architecture.latent == 2 {
        let side = 20;
        let plane = views::manifold(model, side);
        let sheet = views::tiles(model, plane.view())?.manifold(side)?;
        pictures.push(("manifold.png", Figure::manifold(sheet.png()?)));
        if let Some(labels) = data.test.labels() {
            let all: Vec<usize> = (0..data.test.len()).collect();
            let x = views::batch(&data.test, &all, binarisation, seed);
            let codes = views::encode(model, x.view());
            let svg = latent_scatter(codes.view(), &labels.to_vec())?;
            pictures.push(("latent-plane.svg", Figure::scatter(svg)));
        }
    }
    Ok(pictures)
}

fn terms(average: &Average) -> plot::Terms {
    plot::Terms {
        reconstruction: average.term("reconstruction").unwrap_or(f64::NAN),
        kl: average.term("kl").unwrap_or(f64::NAN),
    }
}

fn curve(epochs: &[Epoch]) -> Vec<plot::Epoch> {
    let point = |epoch: &Epoch| plot::Epoch {
        number: epoch.number,
        train: terms(&epoch.train),
        test: Some(terms(&epoch.test)),
    };
    epochs.iter().map(point).collect()
}

fn brief(average: &Average) -> String {
    let terms = terms(average);
    format!(
        "ELBO {:.2} = {:.2} − {:.2}",
        terms.elbo(),
        terms.reconstruction,
        terms.kl
    )
}

fn heading() -> String {
    format!(
        "In nats per image, ELBO = reconstruction − KL.\n{:>9}  {:>28}  {:>28}",
        "epoch", "training", "test"
    )
}

fn line(epoch: &Epoch, epochs: usize, elapsed: Duration) -> String {
    let three = |average: &Average| {
        let terms = terms(average);
        format!(
            "{:9.2} = {:7.2} − {:6.2}",
            terms.elbo(),
            terms.reconstruction,
            terms.kl
        )
    };
    let left = elapsed.as_secs_f64() / epoch.number as f64 * (epochs - epoch.number) as f64;
    let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
    let left = if epoch.number == epochs {
        String::new()
    } else {
        format!("  {} left", spoken(left))
    };
    format!(
        "{:>9}  {}  {}{left}",
        format!("{}/{epochs}", epoch.number),
        three(&epoch.train),
        three(&epoch.test)
    )
}

fn table(epochs: &[Epoch]) -> Table {
    let header = [
        "epoch",
        "train_elbo",
        "train_reconstruction",
        "train_kl",
        "test_elbo",
        "test_reconstruction",
        "test_kl",
    ];
    let row = |epoch: &Epoch| {
        let (train, test) = (terms(&epoch.train), terms(&epoch.test));
        let numbers = [
            train.elbo(),
            train.reconstruction,
            train.kl,
            test.elbo(),
            test.reconstruction,
            test.kl,
        ];
        let mut row = vec![epoch.number.to_string()];
        row.extend(numbers.map(|number| format!("{number:.4}")));
        row
    };
    Table {
        header: header.map(str::to_owned).into(),
        rows: epochs.iter().map(row).collect(),
    }
}

/// Numbers and plain names only: nothing needs quoting.
fn csv(table: &Table) -> String {
    let lines = std::iter::once(&table.header).chain(&table.rows);
    lines.map(|cells| cells.join(",") + "\n").collect()
}

fn results(epochs: &[Epoch]) -> Vec<(String, String)> {
    let Some(last) = epochs.last() else {
        return Vec::new();
    };
    let (train, test) = (terms(&last.train), terms(&last.test));
    [
        ("test ELBO", test.elbo()),
        ("test reconstruction", test.reconstruction),
        ("test KL", test.kl),
        ("training ELBO", train.elbo()),
    ]
    .map(|(name, nats)| (name.to_owned(), format!("{nats:.2} nats per image")))
    .into()
}
