//! TD-VAE at the command line: sequences whose next frames are foreseen.

mod data;
mod evaluate;
mod options;
mod pictures;
pub mod views;

use anyhow::{Result, bail};
use rand::rngs::StdRng;

use super::{Column, LoadedData, ModelCommand, Saved, Training};
use crate::autoencoders::TdVae;
use crate::cli::plot::{Axis, Chart, Panel, colors};
use crate::cli::report::{Content, Figure};
use crate::cli::requests::{Evaluate, Reconstruct, Sample};
use crate::nn::Parameters;
use crate::train::{EpochMetrics, Metrics, Settings};

pub use data::{SequenceData, SequenceName, SequenceShape, Sequences};
pub use evaluate::figures;
pub use options::TdVaeCommand;

impl ModelCommand for TdVaeCommand {
    const NAME: &'static str = "td-vae";
    const TITLE: &'static str = "A TD-VAE";
    const ABOUT: &'static str =
        "TD-VAE: what is believed of a sequence's state, and jumps into its future";
    const DETAILS: &'static str = "Without any option: digits of 14x14 pixels that roll to the left or right, 128 hidden units, a recurrent belief of \
        64, one layer of 8 latents, jumps of 1 to 4 frames. The report shows roll-outs beside what happened.";
    const SECTIONS: &'static [&'static str] = &["td-vae-one-step", "td-vae-jumpy"];
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("epochs", "30"), ("batch", "32"), ("rate", "0.002")];

    type Data = SequenceData;
    type Model = TdVae;

    fn check(&self, shape: &SequenceShape, settings: &Settings) -> Result<()> {
        self.check_against(shape, settings)
    }

    fn weights(&self, shape: &SequenceShape) -> Option<usize> {
        TdVaeCommand::weights(self, shape)
    }

    fn build(
        &self,
        shape: &SequenceShape,
        _: &Training,
        parameters: &mut Parameters<f32>,
        rng: &mut StdRng,
    ) -> TdVae {
        TdVae::new(self.structure(shape), parameters, rng).with_pairs(self.pairs())
    }

    fn describe(&self, shape: &SequenceShape) -> String {
        let structure = self.structure(shape);
        let layers = match structure.layers {
            1 => String::new(),
            layers => format!("{layers} layers of "),
        };
        format!(
            "{} TD-VAE with {layers}{} latents",
            self.widths(shape),
            structure.latent
        )
    }

    fn rows(&self, shape: &SequenceShape) -> Vec<(String, String)> {
        self.rows_of(shape)
    }

    fn legend() -> &'static str {
        "In nats per predicted frame, bound = reconstruction − smoothing − surprise."
    }

    fn line(metrics: &Metrics) -> String {
        let [reconstruction, smoothing, surprise] =
            ["reconstruction", "smoothing", "surprise"].map(|name| term(metrics, name));
        format!(
            "{:9.3} = {reconstruction:8.3} − {smoothing:6.3} − {surprise:6.3}",
            term(metrics, "bound")
        )
    }

    fn columns(&self, metrics: &Metrics) -> Vec<Column> {
        [
            ("bound", "bound on the log-density"),
            ("reconstruction", "reconstruction"),
            ("smoothing", "smoothing"),
            ("surprise", "surprise"),
        ]
        .map(|(name, title)| Column {
            name,
            title,
            value: term(metrics, name),
            unit: "nats per predicted frame",
        })
        .into()
    }

    fn curve(&self, epochs: &[EpochMetrics]) -> (&'static str, Figure) {
        let points = |of: &dyn Fn(&EpochMetrics) -> f64| {
            let points = epochs.iter().map(|epoch| (epoch.number as f64, of(epoch)));
            points.collect::<Vec<_>>()
        };
        let panel = |title: &str| Panel::new(title, Axis::whole("epoch"), Axis::linear("nats"));
        let bound = |metrics: &Metrics| term(metrics, "bound");
        let svg = Chart::new("The bound and its divergences in every epoch")
            .panel(
                panel("Bound on the log-density of a predicted frame")
                    .dashed("training", colors::BLUE, points(&|e| bound(&e.train)))
                    .line("test", colors::ORANGE, points(&|e| bound(&e.test))),
            )
            .below(
                panel("What the bound pays, on test sequences")
                    .line(
                        "smoothing",
                        colors::GREEN,
                        points(&|e| term(&e.test, "smoothing")),
                    )
                    .line(
                        "surprise",
                        colors::VERMILION,
                        points(&|e| term(&e.test, "surprise")),
                    ),
            )
            .svg();
        let figure = Figure {
            title: "Training".to_owned(),
            caption: "Above, the bound, averaged over pairs of times whose distance is one of the jumps: higher is better. Below, smoothing \
                      is what the later frame reveals of the earlier state, and surprise what the transition did not foresee; near 0 both, \
                      the latents are not used."
                .to_owned(),
            content: Content::Svg(svg),
        };
        ("bound.svg", figure)
    }

    fn pictures(
        saved: &Saved<Self>,
        data: &LoadedData<SequenceData>,
    ) -> Result<Vec<(String, Figure)>> {
        pictures::all(saved, &data.test)
    }

    fn evaluate(saved: Saved<Self>, options: &Evaluate) -> Result<()> {
        options.td_vae(&saved)
    }

    fn sample(saved: Saved<Self>, options: &Sample) -> Result<()> {
        options.td_vae(&saved)
    }

    fn reconstruct(_: Saved<Self>, _: &Reconstruct) -> Result<()> {
        bail!(
            "a TD-VAE predicts frames instead of reconstructing them: `elbo sample` draws roll-outs"
        )
    }
}

/// A term's mean.
fn term(metrics: &Metrics, name: &str) -> f64 {
    metrics.term(name).unwrap_or(f64::NAN)
}
