//! `elbo evaluate`, `elbo sample` and `elbo reconstruct` of a model with codes from a table.

use anyhow::Result;
use ndarray::Axis;

use super::Levels;
use super::figures::Measured;
use super::views::{self, SavedModel};
use crate::cli::models::{DataCommand, ImageCommand, file_of};
use crate::cli::options::ensure_png;
use crate::cli::output::{ensure_distinct, write_atomically};
use crate::cli::picture::{Tiles, check_count};
use crate::cli::progress::say;
use crate::cli::requests::{Evaluate, Reconstruct, Sample};

impl Evaluate {
    /// Prints the figures of a model with codes from a table.
    pub(super) fn quantised<L: Levels>(&self, saved: &SavedModel<L>) -> Result<()> {
        self.ensure_no_latents(L::NAME)?;
        let configuration = &saved.configuration;
        let data = configuration.data.with(&self.data, self.binarise).load()?;
        configuration.accepts(&data.name, &data.shape)?;
        let measured = Measured::of(saved, &data, self.seed)?;
        let reconstruction = measured.reconstruction;
        say(&format!(
            "{}, {} test images, in nats per image:",
            data.name, measured.count
        ))?;
        say(&format!("  reconstruction          {reconstruction:9.2}"))?;
        say("  the codes, and the bound log p(x|k) + log p(k), under a prior that is")?;
        for (name, cost) in [
            ("uniform", measured.uniform),
            ("one for each position", measured.factorised),
            ("learnt, code by code", measured.learnt),
        ] {
            let bound = reconstruction - cost;
            say(&format!("    {name:<22} {cost:8.2}  {bound:9.2}"))?;
        }
        if let Some(lower) = measured.learnt_lower {
            let upper = measured.learnt - lower;
            say(&format!(
                "  of which the upper codes {upper:.2} and the lower ones, given these, {lower:.2}"
            ))?;
        }
        let names: &[&str] = match measured.uses.len() {
            1 => &[""],
            _ => &[" of the upper level", " of the lower level"],
        };
        for (name, usage) in names.iter().zip(&measured.uses) {
            say(&format!("  codes in use{name}: {usage}"))?;
        }
        Ok(())
    }
}

impl Sample {
    /// Writes the picture of a model with codes from a table.
    pub(super) fn quantised<L: Levels>(&self, saved: &SavedModel<L>) -> Result<()> {
        let source = file_of(&self.model);
        ensure_distinct([&source, &self.out])?;
        ensure_png(&self.out)?;
        anyhow::ensure!(
            self.arrays.is_none(),
            "--arrays writes Gaussian latents, which a model `{}` does not have",
            L::NAME
        );
        let shape = saved.configuration.shape;
        check_count(self.count, (shape.height, shape.width))?;
        let codes = views::drawn(saved, self.count, self.seed);
        let mean = views::means(saved, codes.view());
        let tiles = self
            .layout
            .scale(Tiles::new(mean.view(), shape.height, shape.width)?);
        let png = tiles.grid(self.layout.columns)?.png()?;
        write_atomically(&self.out, |file| Ok(file.write_all(&png)?))?;
        say(&format!("{} samples in {}", self.count, self.out.display()))
    }
}

impl Reconstruct {
    /// Writes the picture of a model with codes from a table.
    pub(super) fn quantised<L: Levels>(&self, saved: &SavedModel<L>) -> Result<()> {
        self.draw(saved, |images, shown, seed| {
            let x = views::images(images, seed).select(Axis(0), shown);
            let again = views::means(saved, views::codes(saved, x.view()).view());
            (x, again)
        })
    }
}
