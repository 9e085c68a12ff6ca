//! `elbo sample` of a VAE.

use anyhow::Result;

use super::{AroundVae, views};
use crate::cli::models::{Saved, file_of};
use crate::cli::options::ensure_png;
use crate::cli::output::{Prepared, ensure_distinct, prepare};
use crate::cli::picture::check_count;
use crate::cli::progress::say;
use crate::cli::requests::Sample;
use crate::nn::{Parameters, checkpoint};

impl Sample {
    /// Writes the picture of a VAE.
    pub fn vae<M: AroundVae>(&self, model: &Saved<M>) -> Result<()> {
        let source = file_of(&self.model);
        let files = [Some(&source), Some(&self.out), self.arrays.as_ref()];
        ensure_distinct(files.into_iter().flatten())?;
        ensure_png(&self.out)?;
        let shape = model.configuration.shape;
        check_count(self.count, (shape.height, shape.width))?;
        let z = views::prior(model, self.count, self.seed);
        let mean = views::decode(model, z.view());
        let tiles = self.layout.scale(model.tiles(mean.view())?);
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
