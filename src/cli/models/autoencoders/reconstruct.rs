//! `elbo reconstruct` with an autoencoder.

use anyhow::Result;

use super::{AutoencoderCommand, Saved, views};
use crate::cli::models::file_of;
use crate::cli::options::ensure_png;
use crate::cli::output::{ensure_distinct, ensure_not_data, write_atomically};
use crate::cli::picture::Tiles;
use crate::cli::progress::{say, warn};
use crate::cli::requests::Reconstruct;
use crate::data::Source;

impl Reconstruct {
    /// Writes the picture of an autoencoder: originals (corrupted, if it was trained to restore them) above what it makes of
    /// them.
    pub fn autoencoder<M: AutoencoderCommand>(&self, saved: &Saved<M>) -> Result<()> {
        ensure_distinct([&file_of(&self.model), &self.out])?;
        ensure_png(&self.out)?;
        let chosen = saved.configuration.data.with(&self.data, self.binarise);
        ensure_not_data(&self.out, chosen.path())?;
        let data = saved.configuration.test_data(&chosen)?;
        let there = Source::<f32>::len(&data.test);
        if self.count > there {
            warn(&format!("the test set has {there} images: all are shown"));
        }
        let shown: Vec<usize> = (0..there.min(self.count)).collect();
        let seed = saved.configuration.settings.seed;
        let mut x = views::images(&data.test, &shown, seed);
        if let Some(corruption) = saved.configuration.options.corruption() {
            x = views::corrupted(x.view(), corruption, seed);
        }
        let again = views::reconstructions(&saved.model, &saved.parameters, x.view());
        let shape = saved.configuration.shape;
        let above = self
            .layout
            .scale(Tiles::new(x.view(), shape.height, shape.width)?);
        let below = self
            .layout
            .scale(Tiles::new(again.view(), shape.height, shape.width)?);
        let png = above.above(&below, self.layout.columns)?.png()?;
        write_atomically(&self.out, |file| Ok(file.write_all(&png)?))?;
        say(&format!(
            "{} images and their reconstructions in {}",
            shown.len(),
            self.out.display()
        ))
    }
}
