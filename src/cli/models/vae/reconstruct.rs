//! `elbo reconstruct` with a VAE.

use anyhow::Result;

use super::views::{self, SavedVae};
use crate::cli::models::file_of;
use crate::cli::options::ensure_png;
use crate::cli::output::{ensure_distinct, ensure_not_data, write_atomically};
use crate::cli::progress::{say, warn};
use crate::cli::requests::Reconstruct;
use crate::data::Source;

impl Reconstruct {
    /// Writes the picture of a VAE.
    pub fn vae(&self, model: &SavedVae) -> Result<()> {
        ensure_distinct([&file_of(&self.model), &self.out])?;
        ensure_png(&self.out)?;
        let as_trained = &model.configuration.data;
        let chosen = as_trained.with(&self.data, self.binarise);
        ensure_not_data(&self.out, chosen.path())?;
        let data = model.configuration.test_data(&chosen)?;
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
