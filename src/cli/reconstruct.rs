//! `elbo reconstruct`.

use std::path::PathBuf;

use crate::data::{Binarisation, Source};
use anyhow::Result;
use clap::Args;

use super::models::{DataCommand, file_of};
use super::options::{Data, Layout, ensure_png, positive};
use super::output::{ensure_distinct, ensure_not_data, write_atomically};
use super::progress::{say, warn};
use super::views::{self, SavedVae};

/// Put images of the test set above their reconstructions
///
/// A reconstruction is E[x|z] at z = μ(x), the mean of q(z|x).
#[derive(Args, Debug)]
pub struct Reconstruct {
    /// The folder of a training run, or its model.safetensors
    #[arg(value_name = "MODEL", default_value = "runs/vae")]
    pub model: PathBuf,

    #[command(flatten)]
    data: Data,

    /// Where the picture goes
    #[arg(long, value_name = "FILE", default_value = "reconstructions.png")]
    out: PathBuf,

    /// How many, from the beginning of the test set
    #[arg(long, value_name = "N", default_value = "48", value_parser = positive, allow_negative_numbers = true)]
    count: usize,

    #[command(flatten)]
    layout: Layout,

    /// Another binarisation than the one in training: none, threshold or stochastic
    #[arg(long, value_name = "HOW")]
    binarise: Option<Binarisation>,
}

impl Reconstruct {
    /// Writes the picture of a VAE.
    pub fn vae(&self, model: &SavedVae) -> Result<()> {
        ensure_distinct([&file_of(&self.model), &self.out])?;
        ensure_png(&self.out)?;
        let as_trained = &model.configuration.data;
        let chosen = as_trained.with(&self.data, self.binarise);
        ensure_not_data(&self.out, chosen.path())?;
        let data = chosen.load()?;
        model.configuration.accepts(&data)?;
        let there = Source::<f32>::len(&data.test);
        if self.count > there {
            warn(&format!("the test set has {there} images: all are shown"));
        }
        let shown: Vec<usize> = (0..there.min(self.count)).collect();
        let x = views::batch(&data.test, &shown, model.configuration.settings.seed);
        let again = views::decode(model, views::encode(model, x.view()).view());
        let above = self.layout.scale(views::tiles(model, x.view())?);
        let below = self.layout.scale(views::tiles(model, again.view())?);
        let png = above.above(&below, self.layout.columns)?.png()?;
        write_atomically(&self.out, |file| Ok(file.write_all(&png)?))?;
        say(&format!(
            "{} images and their reconstructions in {}",
            shown.len(),
            self.out.display()
        ))
    }
}
