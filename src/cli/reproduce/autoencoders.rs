//! The autoencoders on MNIST: errors, Jacobians, probes, and closed forms.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;
use ndarray::{Array2, Axis};

use super::is_wanted;
use super::trainings::Trainings;
use crate::autodiff::array;
use crate::autoencoders::{Centring, Corruption, LinearDenoiser, Pca};
use crate::cli::models::autoencoders::{AutoencoderCommand, figures::Measured, views};
use crate::cli::models::{
    ContractiveCommand, DataCommand, DenoisingCommand, ImageCommand, ImageData, KSparseCommand,
    LoadedData, ModelFile, PlainCommand, Saved, SparseCommand,
};
use crate::cli::progress::say;
use crate::distributions::Moments;
use crate::vae::symmetric_eigen;

/// The autoencoders of chapter 6 on MNIST: errors, Jacobians, probes, and closed forms
///
/// Each row is a model in a folder of its own; one that was interrupted is resumed.
#[derive(Args, Debug)]
pub struct AutoencoderTable {
    #[command(flatten)]
    trainings: Trainings,

    /// Only these rows, with commas
    #[arg(long, value_name = "ROWS", value_delimiter = ',', value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,
}

/// The names of the rows.
pub fn names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.name).collect()
}

/// A row of the table.
struct Row {
    /// Its name, and that of its folder.
    name: &'static str,
    /// What follows `elbo train`.
    arguments: &'static str,
    /// Passes over the images.
    epochs: usize,
    /// What PyTorch reached with the same architecture.
    reference: &'static str,
    /// Prints what this crate has reached.
    print: fn(&ModelFile, &Context) -> Result<()>,
}

const TIED: &str =
    "--hidden none --code 500 --code-activation sigmoid --decoder tied --loss cross-entropy";

const ROWS: &[Row] = &[
    Row {
        name: "linear",
        arguments: "autoencoder --hidden none --code 32 --code-activation identity",
        epochs: 20,
        reference: "13.196, angle cos 0.998",
        print: linear,
    },
    Row {
        name: "deep",
        arguments: "autoencoder",
        epochs: 10,
        reference: "5.44",
        print: print::<PlainCommand>,
    },
    Row {
        name: "plain",
        arguments: "autoencoder TIED",
        epochs: 8,
        reference: "57.7; from masked 86.6; from noise .0258 per pixel; ‖J‖² 358; probe 4.99 %",
        print: print::<PlainCommand>,
    },
    Row {
        name: "masked",
        arguments: "denoising TIED",
        epochs: 8,
        reference: "68.4; from masked 71.7; from noise .0180 per pixel; probe 4.60 %",
        print: print::<DenoisingCommand>,
    },
    Row {
        name: "gaussian",
        arguments: "denoising TIED --corruption gaussian --deviation 0.5",
        epochs: 8,
        reference: "from noise .0152 per pixel; probe 4.27 %",
        print: print::<DenoisingCommand>,
    },
    Row {
        name: "linear-denoiser",
        arguments: "denoising --hidden none --code 784 --code-activation identity --decoder untied --loss squared-error \
                    --corruption gaussian --deviation 0.5 --rate 0.0001 --batch 1024",
        epochs: 80,
        reference: "the best linear map: .0198 per pixel",
        print: linear_denoiser,
    },
    Row {
        name: "contractive",
        arguments: "contractive TIED --lambda 0.1",
        epochs: 8,
        reference: "63.1; from masked 82.9; from noise .0192 per pixel; ‖J‖² 121; probe 4.32 %",
        print: print::<ContractiveCommand>,
    },
    Row {
        name: "sparse",
        arguments: "sparse TIED --target 0.1 --beta 3",
        epochs: 8,
        reference: "75.7; from masked 87.1; activation .114 (.101 to .137), none dead; probe 3.19 %",
        print: print::<SparseCommand>,
    },
    Row {
        name: "k-sparse",
        arguments: "k-sparse --code 1000 --k 25",
        epochs: 10,
        reference: "7.45; 505 dead; probe 2.84 %, with 3k 2.27 %",
        print: k_sparse,
    },
    Row {
        name: "k-sparse-annealed",
        arguments: "k-sparse --code 1000 --k 25 --anneal-from 100 --anneal-epochs 5",
        epochs: 10,
        reference: "7.43; 225 dead; probe 2.80 %, with 3k 2.06 %",
        print: k_sparse,
    },
];

/// What the rows share.
struct Context {
    data: LoadedData<ImageData>,
}

impl AutoencoderTable {
    /// Trains what is not there yet, and prints all rows.
    ///
    /// # Errors
    /// If the data cannot be read, or a training fails.
    pub fn run(&self) -> Result<ExitCode> {
        let mut context: Option<Context> = None;
        for row in ROWS {
            if !is_wanted(&self.only, row.name) {
                continue;
            }
            let arguments = row.arguments.replace("TIED", TIED);
            let training = self.trainings.of(row.name, &arguments, row.epochs);
            let file = match training.model()? {
                ControlFlow::Continue(file) => file,
                ControlFlow::Break(exit) => return Ok(exit),
            };
            if context.is_none() {
                let data = self.data_of(&file)?;
                context = Some(Context { data });
            }
            let context = context.as_ref().expect("read above");
            training.ensure_trained_on(&file, context.data.checksum)?;
            say(&format!("\n{training}"))?;
            (row.print)(&file, context)?;
            say(&format!("  reference  {}", row.reference))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The data of the table: those that the first model was trained on.
    fn data_of(&self, file: &ModelFile) -> Result<LoadedData<ImageData>> {
        let options = match file.header()?.model.as_str() {
            "denoising" => file.model::<DenoisingCommand>()?.configuration.data,
            "contractive" => file.model::<ContractiveCommand>()?.configuration.data,
            "sparse" => file.model::<SparseCommand>()?.configuration.data,
            "k-sparse" => file.model::<KSparseCommand>()?.configuration.data,
            _ => file.model::<PlainCommand>()?.configuration.data,
        };
        options.with(&self.trainings.data, None).load()
    }
}

fn say_measured(measured: &Measured) -> Result<()> {
    let (units, probe) = (&measured.units, &measured.probe);
    let percent = |error: f64| format!("{:.2} %", 100.0 * error);
    say(&format!(
        "  ours       {:.3}; from masked {:.2}; from noise {:.4} per pixel; ‖J‖² {:.1}; activation {:.3} ({:.3} to {:.3}), {} of {} \
         dead; probe {} (pixels {})",
        measured.clean.loss,
        measured.masked.loss,
        measured.noisy.square,
        measured.squared_jacobian,
        units.means.mean().unwrap_or(0.0),
        units.quantile(0.05),
        units.quantile(0.95),
        units.dead(),
        units.means.len(),
        probe.as_ref().map_or("—".to_owned(), |p| percent(p.codes)),
        probe.as_ref().map_or("—".to_owned(), |p| percent(p.pixels)),
    ))
}

fn print<M: AutoencoderCommand>(file: &ModelFile, context: &Context) -> Result<()> {
    let saved: Saved<M> = file.model()?;
    say_measured(&Measured::of(&saved, &context.data, 1)?)
}

fn k_sparse(file: &ModelFile, context: &Context) -> Result<()> {
    let mut saved: Saved<KSparseCommand> = file.model()?;
    say_measured(&Measured::of(&saved, &context.data, 1)?)?;
    let kept = 3 * saved.model.kept();
    saved.model = saved.model.clone().with_kept(kept);
    let measured = Measured::of(&saved, &context.data, 1)?;
    match measured.probe {
        None => Ok(()),
        Some(probe) => say(&format!(
            "             with {kept} entries kept after training: probe {:.2} %",
            100.0 * probe.codes
        )),
    }
}

fn linear(file: &ModelFile, context: &Context) -> Result<()> {
    let saved: Saved<PlainCommand> = file.model()?;
    say_measured(&Measured::of(&saved, &context.data, 1)?)?;
    let [train, test] = [&context.data.train, &context.data.test]
        .map(|pixels| views::all_images(pixels, 1).mapv(f64::from));
    let pca = Pca::fit(train.view(), Centring::Mean)?;
    let weights = saved.parameters.get("decoder.0.weight").cloned();
    let decoder: Array2<f32> = array(weights.expect("a decoder"));
    let decoder = decoder.mapv(f64::from);
    let k = decoder.ncols();
    // The cosines of the angles between the two spaces are the singular values of UᵀQ, for an orthonormal basis Q of the
    // decoder's columns: those of UᵀD (DᵀD)^-½.
    let gram = symmetric_eigen(&symmetric(&decoder.t().dot(&decoder)))?;
    let basis = decoder.dot(&gram.vectors) / gram.values.mapv(f64::sqrt);
    let overlap = pca.axes(k).t().dot(&basis);
    let squares = symmetric_eigen(&symmetric(&overlap.t().dot(&overlap)))?;
    let least = squares.values.last().copied().unwrap_or(0.0).max(0.0);
    say(&format!(
        "  PCA        {:.3} on the test images; the largest angle between the two spaces has cos {:.4}",
        pca.error_on(test.view(), k),
        least.sqrt()
    ))
}

fn symmetric(matrix: &Array2<f64>) -> Array2<f64> {
    (matrix + &matrix.t()) * 0.5
}

fn linear_denoiser(file: &ModelFile, context: &Context) -> Result<()> {
    let saved: Saved<DenoisingCommand> = file.model()?;
    let corruption = Corruption::Gaussian { deviation: 0.5 };
    let test = views::all_images(&context.data.test, 1);
    let noisy = views::corrupted(test.view(), corruption, 1);
    let (_, trained) = views::errors(&saved.model, &saved.parameters, (noisy.view(), test.view()));
    let train = views::all_images(&context.data.train, 1).mapv(f64::from);
    let mean = train.mean_axis(Axis(0)).expect("there are images");
    let centred = &train - &mean;
    let moments = Moments {
        covariance: symmetric(&(centred.t().dot(&centred) / train.nrows() as f64)),
        mean,
    };
    let best = LinearDenoiser::fit(&moments, corruption, moments.mean.len(), Centring::Mean)?;
    let again = noisy.mapv(f64::from).dot(&best.weights.t()) + &best.bias;
    let errors = again - test.mapv(f64::from);
    let square = errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64;
    say(&format!(
        "  ours       from noise {trained:.5} per pixel\n  closed form {square:.5} on the same test images, {:.5} in expectation over \
         the training images",
        best.error / best.bias.len() as f64
    ))
}
