//! `elbo sample`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use elbo::nn::{Parameters, checkpoint};

use super::model::SavedModel;
use super::options::{Layout, positive};
use super::output::write_atomically;
use super::progress::say;
use super::views;

/// Decode latents drawn from the prior into a picture
///
/// Each tile is the decoder's mean E[x|z] for z ~ N(0, I), not a sample of pixels.
#[derive(Args, Debug)]
pub struct Sample {
    /// The folder of a training run, or its model.safetensors
    #[arg(value_name = "MODEL", default_value = "runs/vae")]
    model: PathBuf,

    /// Where the picture goes
    #[arg(long, value_name = "FILE", default_value = "samples.png")]
    out: PathBuf,

    /// How many
    #[arg(long, value_name = "N", default_value = "120", value_parser = positive)]
    count: usize,

    #[command(flatten)]
    layout: Layout,

    /// Determines the latents
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,

    /// Also write the latents `z` and the means `mean` as a safetensors file, to compare with another
    /// implementation of the decoder
    #[arg(long, value_name = "FILE")]
    arrays: Option<PathBuf>,
}

impl Sample {
    /// Writes the picture.
    pub fn run(&self) -> Result<()> {
        let model = SavedModel::load(&self.model)?;
        let z = views::prior(&model, self.count, self.seed);
        let mean = views::decode(&model, z.view());
        let tiles = self.layout.scale(views::tiles(&model, mean.view())?);
        let png = tiles.grid(self.layout.columns)?.png()?;
        if let Some(path) = &self.arrays {
            let mut arrays = Parameters::new();
            arrays.add("z", z);
            arrays.add("mean", mean);
            let bytes = checkpoint::write(&arrays, "latents z and the decoder's means E[x|z]");
            write_atomically(path, |file| Ok(file.write_all(&bytes)?))?;
        }
        write_atomically(&self.out, |file| Ok(file.write_all(&png)?))?;
        say(&format!("{} samples in {}", self.count, self.out.display()))
    }
}
