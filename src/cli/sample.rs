//! `elbo sample`.

use std::path::PathBuf;

use crate::nn::{Parameters, checkpoint};
use anyhow::Result;
use clap::Args;

use super::models::file_of;
use super::options::{Layout, ensure_png, positive, seed};
use super::output::{Prepared, ensure_distinct, prepare};
use super::picture::check_count;
use super::progress::say;
use super::views::{self, SavedVae};

/// Decode latents drawn from the prior into a picture
///
/// Each tile is the decoder's mean E[x|z] for z ~ N(0, I), not a sample of pixels.
#[derive(Args, Debug)]
pub struct Sample {
    /// The folder of a training run, or its model.safetensors
    #[arg(value_name = "MODEL", default_value = "runs/vae")]
    pub model: PathBuf,

    /// Where the picture goes
    #[arg(long, value_name = "FILE", default_value = "samples.png")]
    out: PathBuf,

    /// How many
    #[arg(long, value_name = "N", default_value = "120", value_parser = positive, allow_negative_numbers = true)]
    count: usize,

    #[command(flatten)]
    layout: Layout,

    /// Determines the latents
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed, allow_negative_numbers = true)]
    seed: u64,

    /// Also write the latents `z` and the means `mean` as a safetensors file, to compare with another
    /// implementation of the decoder
    #[arg(long, value_name = "FILE")]
    arrays: Option<PathBuf>,
}

impl Sample {
    /// Writes the picture of a VAE.
    pub fn vae(&self, model: &SavedVae) -> Result<()> {
        let source = file_of(&self.model);
        let files = [Some(&source), Some(&self.out), self.arrays.as_ref()];
        ensure_distinct(files.into_iter().flatten())?;
        ensure_png(&self.out)?;
        let shape = model.configuration.shape;
        check_count(self.count, (shape.height, shape.width))?;
        let z = views::prior(model, self.count, self.seed);
        let mean = views::decode(model, z.view());
        let tiles = self.layout.scale(views::tiles(model, mean.view())?);
        let png = tiles.grid(self.layout.columns)?.png()?;
        // Both are complete before either has its name: a failure leaves neither.
        let mut files = vec![prepare(&self.out, |file| Ok(file.write_all(&png)?))?];
        if let Some(path) = &self.arrays {
            let mut arrays = Parameters::new();
            arrays.add("z", z);
            arrays.add("mean", mean);
            let bytes = checkpoint::write(&arrays, "latents z and the decoder's means E[x|z]");
            files.push(prepare(path, |file| Ok(file.write_all(&bytes)?))?);
        }
        files.into_iter().try_for_each(Prepared::publish)?;
        say(&format!("{} samples in {}", self.count, self.out.display()))
    }
}
