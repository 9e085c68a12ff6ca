//! `elbo evaluate`, `elbo sample` and `elbo reconstruct` of a model with codes from a table.

use anyhow::Result;
use ndarray::{Array1, Axis, s};

use super::Levels;
use super::views::{self, SavedModel};
use crate::autoencoders::{DiscreteCoding, FactorisedPrior, perplexity, uniform_cost};
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
        let x = views::images(&data.test, self.seed);
        let codes = views::codes(saved, x.view());
        let (fits, priors) = views::log_probabilities(saved, x.view(), codes.view());
        let (count, positions) = codes.dim();
        let size = saved.model.prior().structure().codes;
        say(&format!(
            "{}, {count} test images, in nats per image:",
            data.name
        ))?;
        let mean = |values: &Array1<f64>| values.mean().unwrap_or(f64::NAN);
        let reconstruction = mean(&fits);
        anyhow::ensure!(
            reconstruction.is_finite() && priors.iter().all(|cost| !cost.is_nan()),
            "expected finite figures, found NaN or infinite ones: are the model's weights damaged?"
        );
        say(&format!("  reconstruction          {reconstruction:9.2}"))?;
        say("  the codes, and the bound log p(x|k) + log p(k), under a prior that is")?;
        let cost = |name: &str, cost: f64| {
            say(&format!(
                "    {name:<22} {cost:8.2}  {:9.2}",
                reconstruction - cost
            ))
        };
        cost("uniform", uniform_cost(positions, size))?;
        // Its frequencies are those of the training images; half a code more, so that none is impossible.
        let train = views::codes(saved, views::images(&data.train, self.seed).view());
        let factorised = FactorisedPrior::fit(train.view(), size, 0.5);
        cost(
            "one for each position",
            -mean(&factorised.log_probability(codes.view())),
        )?;
        cost("learnt, code by code", -mean(&priors.sum_axis(Axis(1))))?;
        let upper = saved.configuration.options.levels.upper();
        if upper > 0 {
            let level = |part: ndarray::ArrayView2<'_, f64>| -part.sum() / count as f64;
            say(&format!(
                "  of which the upper codes {:.2} and the lower ones, given these, {:.2}",
                level(priors.slice(s![.., ..upper])),
                level(priors.slice(s![.., upper..]))
            ))?;
        }
        let levels = match upper {
            0 => vec![("", 0..positions)],
            _ => vec![
                (" of the upper level", 0..upper),
                (" of the lower level", upper..positions),
            ],
        };
        for (name, range) in levels {
            let mut counts = Array1::<f64>::zeros(size);
            codes
                .slice(s![.., range])
                .iter()
                .for_each(|&code| counts[code] += 1.0);
            let used = counts.iter().filter(|&&count| count > 0.0).count();
            say(&format!(
                "  codes in use{name}: {used} of {size}, perplexity {:.1}",
                perplexity(counts.view())
            ))?;
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
