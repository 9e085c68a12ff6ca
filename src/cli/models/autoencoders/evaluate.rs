//! `elbo evaluate` of an autoencoder.

use anyhow::Result;

use super::pictures::probe_errors;
use super::{AutoencoderCommand, Saved, views};
use crate::autoencoders::{Coding, Corruption, UnitStatistics};
use crate::cli::models::DataCommand;
use crate::cli::progress::say;
use crate::cli::requests::Evaluate;

impl Evaluate {
    /// Prints the figures of an autoencoder.
    pub fn autoencoder<M: AutoencoderCommand>(&self, saved: &Saved<M>) -> Result<()> {
        let as_trained = &saved.configuration.data;
        let data = as_trained.with(&self.data, self.binarise).load()?;
        saved.configuration.accepts(&data.name, &data.shape)?;
        let x = views::all_images(&data.test, self.seed);
        let (model, parameters) = (&saved.model, &saved.parameters);
        let loss = model.autoencoder().structure().loss;
        say(&format!("{}, {} test images:", data.name, x.nrows()))?;
        let mut inputs = vec![
            ("clean images".to_owned(), None),
            (
                "a quarter masked".to_owned(),
                Some(Corruption::Masking { fraction: 0.25 }),
            ),
            (
                "Gaussian noise 0.5".to_owned(),
                Some(Corruption::Gaussian { deviation: 0.5 }),
            ),
        ];
        if let Some(own) = saved.configuration.options.corruption()
            && inputs.iter().all(|(_, other)| *other != Some(own))
        {
            inputs.push((own.to_string(), Some(own)));
        }
        say(&format!(
            "  {loss} per image, and squared error per pixel, of reconstructions from"
        ))?;
        for (name, corruption) in inputs {
            let input = corruption.map(|c| views::corrupted(x.view(), c, self.seed));
            let input = input.as_ref().unwrap_or(&x);
            let (error, squares) = views::errors(model, parameters, (input.view(), x.view()));
            say(&format!("    {name:<28} {error:9.3}   {squares:.4}"))?;
        }
        let codes = views::codes(model, parameters, x.view());
        let statistics = UnitStatistics::of(codes.view());
        say(&format!(
            "  mean activation {:.3} (5 to 95 % of units: {:.3} to {:.3}), {:.1} % not 0, {:.1} % saturated",
            statistics.means.mean().unwrap_or(0.0),
            statistics.quantile(0.05),
            statistics.quantile(0.95),
            100.0 * statistics.nonzero,
            100.0 * statistics.saturated
        ))?;
        say(&format!(
            "  dead units {} of {}",
            statistics.dead(),
            codes.ncols()
        ))?;
        let norm = views::squared_jacobian(model, parameters, x.view());
        say(&format!("  ‖J‖² of the encoder {norm:.2}"))?;
        match probe_errors(saved, &data.train, &data.test)? {
            None => Ok(()),
            Some(errors) => say(&format!(
                "  a linear classifier is wrong on the codes for {:.2} %, on the pixels for {:.2} % of the test images",
                100.0 * errors.codes,
                100.0 * errors.pixels
            )),
        }
    }
}
