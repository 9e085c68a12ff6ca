//! `elbo evaluate` of a VAE.

use anyhow::Result;
use ndarray::{Array1, Array2, ArrayView2, Ix2};

use super::AroundVae;
use crate::autodiff::Tape;
use crate::cli::models::{ImageCommand, Saved, SourceOf, seen};
use crate::cli::progress::{Progress, say, warn};
use crate::cli::requests::Evaluate;
use crate::data::Source;
use crate::distributions::noise::{standard_normal, stream};
use crate::distributions::{Estimate, GaussianParameters};
use crate::train::{Metrics, evaluate};
use crate::vae::{Activity, Elbo, Evidence, Refinement, Surgery, unit_divergences};

/// Images that are evaluated at once.
const BATCH: usize = 100;

/// Draws of z for each test image, in the ELBO of all of them.
const PASSES: u64 = 10;

/// Draws of an image and its z, for the parts of the KL.
const DRAWS: usize = 5000;

/// Samples of z for each image in the estimate of log p(x), if nothing else is asked for.
const SAMPLES: usize = 500;

/// Samples of z for each image, to compare two q.
const COMPARED: usize = 100;

impl Evaluate {
    /// Prints the figures of a VAE.
    pub fn vae<M: AroundVae>(&self, model: &Saved<M>) -> Result<()> {
        let as_trained = &model.configuration.data;
        let chosen = as_trained.with(&self.data, self.binarise);
        let data = model.configuration.test_data(&chosen)?;
        let images = &data.test;
        for (option, asked) in [("--images", self.images), ("--codes", self.codes)] {
            if asked.is_some_and(|asked| asked > count(images)) {
                warn(&format!(
                    "{option}: the test set has {} images, which are all taken",
                    count(images)
                ));
            }
        }
        say(&format!(
            "{}, {} test images, in nats per image:",
            data.name,
            count(images)
        ))?;
        self.report_bound(model, images)?;
        self.report_codes(model, images)?;

        let found = self.compare(model, images);
        let count = found.bounds.len();
        let legend = match count {
            // One image has no spread.
            1 => "",
            _ => " (± is the standard error over images)",
        };
        say(&format!("  the first {count} images{legend}:"))?;
        let (bounds, evidence) = (&found.bounds, &found.evidence);
        report(
            "ELBO",
            bounds,
            &format!("(mean of {COMPARED} samples of z)"),
        )?;
        let how = format!(
            "(importance-weighted, K = {})",
            self.samples.unwrap_or(SAMPLES)
        );
        report("log p(x)", evidence, &how)?;
        report("gap", &(evidence - bounds), "(log p(x) - ELBO)")?;
        match self.refine.unwrap_or(0) {
            0 => Ok(()),
            _ => {
                let refined = self.refined(model, images);
                let how = format!(
                    "(gained by {} steps of search for each image)",
                    self.refine.unwrap_or(0)
                );
                report("amortisation gap", &(refined - bounds), &how)
            }
        }
    }

    /// The ELBO of all test images and its two terms, and how far the draws scatter: the report has one draw only.
    fn report_bound<M: AroundVae>(&self, model: &Saved<M>, images: &SourceOf<M>) -> Result<()> {
        let passes: Vec<_> = (0..PASSES)
            .map(|pass| {
                let mut rng = stream(self.seed, "evaluate", pass);
                evaluate(&model.model, &model.parameters, images, &mut rng)
            })
            .collect();
        let of = |value: &dyn Fn(&Metrics) -> Option<f64>| {
            Estimate::of(
                passes
                    .iter()
                    .map(|metrics| value(metrics).unwrap_or(f64::NAN)),
            )
        };
        let elbo = |metrics: &Metrics| Some(metrics.term("reconstruction")? - metrics.term("kl")?);
        let draws = format!("(mean of {PASSES} draws of z; ± is their standard error)");
        let lines = [
            ("ELBO", of(&elbo)?, draws.as_str()),
            (
                "reconstruction",
                of(&|metrics| metrics.term("reconstruction"))?,
                "",
            ),
            ("KL", of(&|metrics| metrics.term("kl"))?, ""),
        ];
        for (name, estimate, note) in lines {
            let (mean, error) = (estimate.mean, estimate.standard_error);
            // A divergence in closed form does not depend on the draws.
            let spread = match error < 5e-4 {
                true => String::new(),
                false => format!(" ± {error:.3}"),
            };
            let line = format!("  {name:14}  {mean:10.3}{spread}  {note}");
            say(line.trim_end())?;
        }
        Ok(())
    }

    /// Active units, the KL of each, and what the KL is made of.
    fn report_codes<M: AroundVae>(&self, model: &Saved<M>, images: &SourceOf<M>) -> Result<()> {
        let codes = self.codes.unwrap_or(1000).min(count(images));
        let indices: Vec<usize> = (0..codes).collect();
        let x = seen(images, &indices, self.seed);
        let codes = M::vae(&model.model)
            .codes(&model.parameters, x.view())
            .as_f64();
        let activity = Activity::of(codes.mean.view())?;
        let units = activity.variances.len();
        say(&format!(
            "  the codes of the first {} images:",
            indices.len()
        ))?;
        say(&match indices.len() {
            1 => "    active units       —  (one image has no variance)".to_owned(),
            _ => format!(
                "    active units  {:6} of {units}  (Var E[z|x] > {})",
                activity.active(),
                activity.threshold
            ),
        })?;
        let all_count = indices.len() == 1 || activity.active() == units;
        let listed: Vec<String> = unit_divergences(&codes)?
            .iter()
            .enumerate()
            .map(|(unit, kl)| match all_count || activity.is_active(unit) {
                true => format!("{kl:.2}"),
                false => format!("({kl:.2})"),
            })
            .collect();
        let legend = if all_count { "" } else { "  (…): not active" };
        say(&format!(
            "    KL by unit        {}{legend}",
            listed.join(" ")
        ))?;
        let mut rng = stream(self.seed, "surgery", 0);
        let parts = Surgery::sampled(&codes, DRAWS, &mut rng)?;
        say(&format!(
            "    KL            {:10.3}  = KL(q̄‖p) + I(n; z)",
            parts.divergence
        ))?;
        // What a part of the images shows, against all of them.
        let (less, more) = match indices.len() < count(images) {
            true => (
                "(too high: a part of the images)",
                "too low: a part of the images; ",
            ),
            false => ("", ""),
        };
        report_estimate("KL(q̄‖p)", parts.marginal, less)?;
        let most = format!("({more}at most log {} = {:.3})", indices.len(), parts.bound);
        report_estimate("I(n; z)", parts.information, &most)
    }

    /// How many images log p(x) is estimated for.
    fn compared(&self, images: &impl Source<f32>) -> usize {
        self.images.unwrap_or(500).min(count(images))
    }

    /// The images that log p(x) is estimated for, in batches of pixels: the same whenever it is asked.
    fn batches<'a, S: Source<f32>>(
        &self,
        images: &'a S,
    ) -> impl Iterator<Item = (u64, Array2<f32>)> + use<'a, S> {
        let (seed, count) = (self.seed, self.compared(images));
        (0..count.div_ceil(BATCH)).map(move |number| {
            let indices: Vec<usize> = (number * BATCH..count.min((number + 1) * BATCH)).collect();
            let seed = seed.wrapping_add(number as u64);
            let x = seen(images, &indices, seed);
            (number as u64, x)
        })
    }

    /// The bound and log p(x) of each image.
    fn compare<M: AroundVae>(&self, model: &Saved<M>, images: &SourceOf<M>) -> Compared {
        let progress = Progress::new(self.compared(images) as u64);
        progress.message(|| "log p(x)".to_owned());
        let estimate = Evidence {
            samples: self.samples.unwrap_or(SAMPLES),
        };
        let (vae, parameters) = (M::vae(&model.model), &model.parameters);
        let (mut bounds, mut evidence) = (Vec::new(), Vec::new());
        for (number, x) in self.batches(images) {
            let encoded = vae.codes(parameters, x.view());
            bounds.extend(self.bounds(model, number, x.view(), &encoded));
            let mut rng = stream(self.seed, "evidence", number);
            evidence.extend(estimate.estimate(vae, parameters, x.view(), &mut rng));
            progress.advance(x.nrows() as u64);
        }
        Compared {
            bounds: bounds.into(),
            evidence: evidence.into(),
        }
    }

    /// The bound of each image at the q that a search finds for it by itself.
    fn refined<M: AroundVae>(&self, model: &Saved<M>, images: &SourceOf<M>) -> Array1<f64> {
        let refinement = Refinement {
            steps: self.refine.unwrap_or(0),
            rate: 0.02,
            samples: 1,
        };
        let progress = Progress::new(self.compared(images) as u64);
        progress.message(|| "the best q of each image".to_owned());
        let mut bounds = Vec::new();
        for (number, x) in self.batches(images) {
            let mut rng = stream(self.seed, "refinement", number);
            let refined =
                refinement.fit(M::vae(&model.model), &model.parameters, x.view(), &mut rng);
            bounds.extend(self.bounds(model, number, x.view(), &refined));
            progress.advance(x.nrows() as u64);
        }
        bounds.into()
    }

    /// The bound of each image at given codes, the mean over samples that are the same for all codes.
    fn bounds<M: AroundVae>(
        &self,
        model: &Saved<M>,
        number: u64,
        x: ArrayView2<'_, f32>,
        codes: &GaussianParameters<f32, Ix2>,
    ) -> Array1<f64> {
        let mut rng = stream(self.seed, "comparison", number);
        let mut total = Array1::zeros(x.nrows());
        let mut tape = Tape::new();
        for _ in 0..COMPARED {
            let p = model.parameters.bind_constant(&tape);
            let noise = standard_normal(&tape, codes.mean.shape(), &mut rng);
            let elbo: Elbo<'_, f32> =
                M::vae(&model.model).elbo_of(&p, tape.constant(x), &codes.on(&tape), noise);
            let each = elbo.value().value();
            total.zip_mut_with(&each, |total, &bound| *total += f64::from(bound));
            tape.reset();
        }
        total / COMPARED as f64
    }
}

/// How many images there are.
fn count(images: &impl Source<f32>) -> usize {
    images.len()
}

/// What is known of each image, of the same pixels.
struct Compared {
    bounds: Array1<f64>,
    evidence: Array1<f64>,
}

/// The mean over images.
fn report(name: &str, each: &Array1<f64>, note: &str) -> Result<()> {
    report_estimate(name, Estimate::of(each.iter().copied())?, note)
}

fn report_estimate(name: &str, estimate: Estimate, note: &str) -> Result<()> {
    let (mean, error) = (estimate.mean, estimate.standard_error);
    // So that the numbers stand below each other.
    let width = 24 - name.chars().count();
    let spread = match estimate.draws {
        // One image has no spread.
        1 => String::new(),
        _ => format!(" ± {error:.3}"),
    };
    let line = format!("    {name}{mean:width$.3}{spread}  {note}");
    say(line.trim_end())
}
