//! `elbo evaluate` of a β-VAE.

use anyhow::Result;

use super::BetaVaeCommand;
use super::disentanglement::{Known, REPEATS, Score};
use crate::cli::models::{ImageCommand, Saved};
use crate::cli::progress::say;
use crate::cli::requests::Evaluate;

impl Evaluate {
    /// Prints the figures of a β-VAE: those of a VAE, and Higgins' metric if the factors are known.
    pub(super) fn beta_vae(&self, saved: &Saved<BetaVaeCommand>) -> Result<()> {
        self.vae(saved)?;
        let configuration = &saved.configuration;
        let chosen = configuration.data.with(&self.data, self.binarise);
        let test = configuration.test_data(&chosen)?.test;
        let Some(known) = Known::of(&test, self.seed) else {
            return say("  Higgins' metric: the factors of these images are not known");
        };
        report(&known, saved)
    }
}

/// Prints Higgins' metric beside what it is to be compared with.
fn report(known: &Known, saved: &Saved<BetaVaeCommand>) -> Result<()> {
    let (factors, first) = (known.count(), known.first());
    say(&format!(
        "  Higgins' metric in %: all {factors} factors, and {} without {first} ({} images; ± is a standard deviation)",
        factors - 1,
        known.images.nrows()
    ))?;
    let line = |name: &str, score: Score, note: &str| {
        let one = |(mean, deviation): (f64, f64)| match deviation.is_finite() {
            true => format!("{mean:5.1} ± {deviation:4.1}"),
            false => format!("{mean:5.1}       "),
        };
        let (all, rest) = (one(score.all), one(score.without_first));
        say(format!("    {name:18}{all}  {rest}  {note}").trim_end())
    };
    let draws = format!("({REPEATS} draws of points)");
    line("this encoder", known.of_model(saved, REPEATS), &draws)?;
    let seeds = format!("({REPEATS} seeds)");
    line("untrained encoder", known.of_untrained(saved), &seeds)?;
    line("pixels", known.of_pixels(), "")?;
    let chance = |factors: usize| (100.0 / factors as f64, f64::INFINITY);
    let score = Score {
        all: chance(factors),
        without_first: chance(factors - 1),
    };
    line("chance", score, "")
}
