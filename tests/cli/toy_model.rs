//! A model that joins the command line from outside: one file of its own, and one line that registers it.

use anyhow::Result;
use clap::Args;
use elbo::cli::models::{Column, ImageData, ImageShape, LoadedData, ModelCommand, Saved, Training};
use elbo::cli::registry::{Entry, MODELS};
use elbo::cli::report::{Content, Figure};
use elbo::nn::{
    Activation, Batch, Bound, Dense, Initialisation, Model, Objective, ParameterId, Parameters,
    Step,
};
use elbo::train::{EpochMetrics, Metrics, Settings};
use ndarray::Array1;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::shared::{files, small_data};

/// The line that registers it.
const WITH_TOY: [Entry; 2] = [MODELS[0], Entry::of::<Toy>()];

/// x̂ = m + D E (x - m + σ ε): linear, with a moving average m of the data that no gradient changes, and noise that fades with
/// the steps.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Toy {
    /// Dimensions of the code
    #[arg(long, default_value = "3")]
    code: usize,
}

struct ToyModel {
    encoder: Dense,
    decoder: Dense,
    mean: ParameterId,
    noise: elbo::nn::Schedule,
}

impl Model<f32> for ToyModel {
    fn objective<'t>(
        &self,
        p: &Bound<'t, f32>,
        batch: &Batch<'t, f32>,
        step: &mut Step<'_>,
    ) -> Objective<'t, f32> {
        let (x, tape) = (batch.data, p.tape());
        let noise = elbo::distributions::noise::standard_normal(tape, &x.shape(), step.rng);
        let mean = p[self.mean];
        let seen = x - mean + noise * self.noise.at(step.number) as f32;
        let error = self.decoder.forward(p, self.encoder.forward(p, seen)) - (x - mean);
        let loss = error.square().sum_last().mean();
        let moved = (mean * 0.9 + x.mean_axes(&[0]) * 0.1).value();
        Objective::new(loss, vec![("error", loss)]).with_buffer(self.mean, moved)
    }
}

impl ModelCommand for Toy {
    const NAME: &'static str = "toy";
    const TITLE: &'static str = "A toy";
    const ABOUT: &'static str = "A linear autoencoder with a moving average";
    const DETAILS: &'static str = "It lives in a test.";
    const SECTIONS: &'static [&'static str] = &["minibatch-objective"];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("epochs", "4")];

    type Data = ImageData;
    type Model = ToyModel;

    fn check(&self, shape: &ImageShape, _: &Settings) -> Result<()> {
        shape.check()?;
        anyhow::ensure!(
            (1..=100).contains(&self.code),
            "expected a code from 1 to 100"
        );
        Ok(())
    }

    fn weights(&self, shape: &ImageShape) -> Option<usize> {
        Some(2 * self.code * shape.dimensions())
    }

    fn build(
        &self,
        shape: &ImageShape,
        training: &Training,
        parameters: &mut Parameters<f32>,
        rng: &mut StdRng,
    ) -> ToyModel {
        let (pixels, glorot) = (shape.dimensions(), Initialisation::Glorot);
        let mut layer = |name: &str, widths| {
            Dense::new(parameters, name, widths, Activation::Identity, glorot, rng)
        };
        let encoder = layer("encoder", (pixels, self.code));
        let decoder = layer("decoder", (self.code, pixels));
        ToyModel {
            encoder,
            decoder,
            mean: parameters.add_buffer("mean", Array1::zeros(pixels)),
            noise: elbo::nn::Schedule::linear(0.5, 0.0, training.steps()),
        }
    }

    fn describe(&self, shape: &ImageShape) -> String {
        format!("{}-{} toy", shape.dimensions(), self.code)
    }

    fn rows(&self, _: &ImageShape) -> Vec<(String, String)> {
        vec![("code".to_owned(), self.code.to_string())]
    }

    fn legend() -> &'static str {
        "Squared error per image."
    }

    fn line(metrics: &Metrics) -> String {
        format!("{:8.3}", metrics.loss)
    }

    fn columns(&self, metrics: &Metrics) -> Vec<Column> {
        vec![Column {
            name: "error",
            title: "squared error",
            value: metrics.loss,
            unit: "per image",
        }]
    }

    fn curve(&self, epochs: &[EpochMetrics]) -> (&'static str, Figure) {
        let content = Content::Svg(format!("<svg>{} epochs</svg>", epochs.len()));
        let (title, caption) = ("Training".to_owned(), String::new());
        (
            "error.svg",
            Figure {
                title,
                caption,
                content,
            },
        )
    }

    fn pictures(_: &Saved<Self>, _: &LoadedData<ImageData>) -> Result<Vec<(String, Figure)>> {
        Ok(Vec::new())
    }
}

fn run(words: &[&str]) -> Result<std::process::ExitCode> {
    let words = ["elbo"].iter().chain(words).map(Into::into);
    elbo::cli::run_on(&WITH_TOY, words)
}

#[test]
fn a_model_of_its_own_file_trains_resumes_and_is_known_by_its_file() {
    let (data, out, whole) = (
        small_data(),
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
    );
    let [data, folder, expected] =
        [&data, &out, &whole].map(|folder| folder.path().to_str().unwrap());
    let train = |folder, more: &[&str]| {
        let words = [
            "train", "toy", "--data", data, "--out", folder, "--rate", "0.01",
        ];
        run(&[&words, more].concat()).unwrap();
    };
    train(expected, &[]);
    train(folder, &["--epochs", "2"]);
    // Which model it is, the checkpoint knows; the moving average is part of it.
    run(&["train", "--resume", "--out", folder, "--epochs", "4"]).unwrap();
    assert!(
        files(out.path()) == files(whole.path()),
        "not the same bits"
    );

    let metrics = std::fs::read_to_string(out.path().join("metrics.csv")).unwrap();
    assert!(
        metrics.starts_with("epoch,train_error,test_error\n"),
        "{metrics}"
    );
    let bytes = std::fs::read(out.path().join("model.safetensors")).unwrap();
    let saved = Saved::<Toy>::read(&bytes).unwrap();
    let mean = saved.parameters.get("mean").unwrap().clone();
    assert!(
        mean.iter().all(|&mean| mean > 0.05),
        "16 batches moved it: {mean}"
    );

    // It has no prior, and says so; another model's name is refused.
    let said = run(&["sample", folder]).unwrap_err().to_string();
    assert!(said.contains("`toy` has no prior"), "{said}");
    let said = run(&["train", "vae", "--resume", "--out", folder])
        .unwrap_err()
        .to_string();
    assert!(said.contains("is of a model `toy`, not `vae`"), "{said}");
}
