//! `elbo evaluate`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use elbo::autodiff::Tape;
use elbo::data::{Binarisation, Images};
use elbo::distributions::Estimate;
use elbo::distributions::noise::{standard_normal, stream};
use elbo::train::evaluate;
use elbo::vae::{Activity, Codes, Elbo, Evidence, Refinement, Surgery, unit_divergences};
use ndarray::{Array1, ArrayView2};
use rand::Rng;

use super::model::SavedModel;
use super::options::{Data, positive};
use super::progress::{Progress, say};
use super::views;

/// The ELBO and the importance-weighted log-likelihood of a saved model
///
/// log p(x) is estimated with K samples from q(z|x), weighted: log (1/K) Σ p(x,z)/q(z|x). In expectation it lies
/// between the ELBO (K = 1) and log p(x), and rises with K.
///
/// Of the codes q(z|x) of the test images it tells how many units are active (Var_x E[z_u|x] > 0.01), each unit's KL,
/// and what the mean KL is made of: KL(q̄ ‖ p) of the mixture q̄ of all codes, and I(n; z), what a code tells of the index
/// of its image, at most the logarithm of their number.
#[derive(Args, Debug)]
pub struct Evaluate {
    /// The folder of a training run, or its model.safetensors
    #[arg(value_name = "MODEL", default_value = "runs/vae")]
    model: PathBuf,

    #[command(flatten)]
    data: Data,

    /// K, the samples for each image; 5000 is customary for published figures
    #[arg(long, value_name = "K", default_value = "500", value_parser = positive)]
    samples: usize,

    /// How many test images the importance-weighted estimate takes (the ELBO takes them all)
    #[arg(long, value_name = "N", default_value = "500", value_parser = positive)]
    images: usize,

    /// How many codes the aggregate posterior q̄ is made of
    #[arg(long, value_name = "N", default_value = "1000", value_parser = positive)]
    codes: usize,

    /// Search the best q of each image by itself for so many steps, and tell what the encoder loses against it: the
    /// amortisation gap (0: no search)
    #[arg(long, value_name = "STEPS", default_value = "0")]
    refine: usize,

    /// Another binarisation than the one in training: none, threshold or stochastic
    #[arg(long, value_name = "HOW")]
    binarise: Option<Binarisation>,

    /// Determines the noise
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
}

/// Images that are evaluated at once.
const BATCH: usize = 100;

/// Draws of an image and its z, for the parts of the KL.
const DRAWS: usize = 5000;

/// Samples of z for each image, to compare two q.
const COMPARED: usize = 100;

impl Evaluate {
    /// Prints the figures.
    pub fn run(&self) -> Result<()> {
        let model = SavedModel::load(&self.model)?;
        let data = self.data.load()?;
        model.accepts(&data)?;
        let binarisation = model.binarisation(self.binarise);
        let (images, parameters) = (&data.test, &model.parameters);
        let mut rng = stream(self.seed, "evaluate", 0);
        let average = evaluate(&model.vae, parameters, images, binarisation, &mut rng);
        say(&format!(
            "{}, {} test images, in nats per image:",
            data.name,
            images.len()
        ))?;
        let term = |name| average.term(name).unwrap_or(f64::NAN);
        say(&format!("  ELBO            {:10.3}", -average.loss))?;
        say(&format!(
            "  reconstruction  {:10.3}",
            term("reconstruction")
        ))?;
        say(&format!("  KL              {:10.3}", term("kl")))?;
        self.tell_codes(&model, images, binarisation)?;

        let evidence = self.evidence(&model, &data.test, binarisation);
        let count = evidence.len();
        // The bound of the same images: the difference from log p(x) is then the gap, and not another selection.
        let mut rng = stream(self.seed, "evaluate", 1);
        let same = evaluate(
            &model.vae,
            parameters,
            &images.head(count),
            binarisation,
            &mut rng,
        );
        say(&format!("  the first {count} images:"))?;
        say(&format!("    ELBO          {:10.3}", -same.loss))?;
        let mean = evidence.mean().unwrap_or(f64::NAN);
        let how = format!("importance-weighted, K = {}", self.samples);
        let spread = match count {
            // One image has no spread.
            1 => format!("  ({how})"),
            _ => {
                let error = evidence.std(1.0) / (count as f64).sqrt();
                format!(" ± {error:.3}  ({how}; ± is the standard error over images)")
            }
        };
        say(&format!("    log p(x)      {mean:10.3}{spread}"))?;
        match self.refine {
            0 => Ok(()),
            steps => self.tell_gaps(&model, &data.test, binarisation, steps),
        }
    }

    /// Active units, the KL of each, and what the KL is made of.
    fn tell_codes(
        &self,
        model: &SavedModel,
        images: &Images,
        binarisation: Binarisation,
    ) -> Result<()> {
        let indices: Vec<usize> = (0..images.len().min(self.codes)).collect();
        let x = views::batch(images, &indices, binarisation, self.seed);
        let codes = Codes::of(&model.vae, &model.parameters, x.view());
        let codes = Codes {
            means: codes.means.mapv(f64::from),
            log_variances: codes.log_variances.mapv(f64::from),
        };
        let activity = Activity::of(codes.means.view())?;
        let units = activity.variances.len();
        say(&format!(
            "  the codes of the first {} images:",
            indices.len()
        ))?;
        say(&format!(
            "    active units  {:6} of {units}  (Var E[z|x] > {})",
            activity.active(),
            activity.threshold
        ))?;
        let mut divergences = unit_divergences(&codes)?.to_vec();
        divergences.sort_by(|a, b| b.total_cmp(a));
        let listed: Vec<String> = divergences.iter().map(|kl| format!("{kl:.2}")).collect();
        say(&format!("    KL by unit        {}", listed.join(" ")))?;
        let mut rng = stream(self.seed, "evaluate", 2);
        let parts = Surgery::sampled(&codes, DRAWS, &mut rng)?;
        say(&format!(
            "    KL            {:10.3}  = KL(q̄‖p) + I(n; z)",
            parts.divergence
        ))?;
        let told = |name: &str, part: Estimate, note: &str| {
            let Estimate {
                mean,
                standard_error,
                ..
            } = part;
            say(&format!(
                "    {name:12}  {mean:10.3} ± {standard_error:.3}{note}"
            ))
        };
        told("KL(q̄‖p)", parts.marginal, "")?;
        let most = format!("  (at most log {} = {:.3})", indices.len(), parts.bound);
        told("I(n; z)", parts.information, &most)
    }

    /// What the encoder's q loses against the best q of each image.
    fn tell_gaps(
        &self,
        model: &SavedModel,
        images: &Images,
        binarisation: Binarisation,
        steps: usize,
    ) -> Result<()> {
        let indices: Vec<usize> = (0..images.len().min(self.images)).collect();
        let refinement = Refinement {
            steps,
            rate: 0.02,
            samples: 1,
        };
        let progress = Progress::new(indices.len() as u64);
        progress.message(|| "the best q of each image".to_owned());
        let mut gains = Vec::with_capacity(indices.len());
        for (number, batch) in indices.chunks(BATCH).enumerate() {
            // The same pixels as for log p(x).
            let seed = self.seed.wrapping_add(number as u64);
            let x = views::batch(images, batch, binarisation, seed);
            let mut rng = stream(self.seed, "refinement", number as u64);
            let (vae, parameters) = (&model.vae, &model.parameters);
            let encoded = Codes::of(vae, parameters, x.view());
            let refined = refinement.fit(vae, parameters, x.view(), &mut rng);
            let bounds = [encoded, refined].map(|codes| {
                let mut rng = stream(self.seed, "comparison", number as u64);
                bound_of(model, x.view(), &codes, &mut rng)
            });
            gains.extend(&bounds[1] - &bounds[0]);
            progress.advance(batch.len() as u64);
        }
        let gain = Estimate::of(gains)?;
        let (mean, error) = (gain.mean, gain.standard_error);
        let how = format!("gained by {steps} steps of search for each image");
        match gain.draws {
            // One image has no spread.
            1 => say(&format!("    amortisation gap {mean:7.3}  ({how})")),
            _ => say(&format!(
                "    amortisation gap {mean:7.3} ± {error:.3}  ({how})"
            )),
        }
    }

    fn evidence(
        &self,
        model: &SavedModel,
        images: &Images,
        binarisation: Binarisation,
    ) -> Array1<f64> {
        let indices: Vec<usize> = (0..images.len().min(self.images)).collect();
        let progress = Progress::new(indices.len() as u64);
        progress.message(|| "log p(x)".to_owned());
        let evidence = Evidence {
            samples: self.samples,
        };
        let mut estimates = Vec::with_capacity(indices.len());
        for (number, batch) in indices.chunks(BATCH).enumerate() {
            let x = views::batch(
                images,
                batch,
                binarisation,
                self.seed.wrapping_add(number as u64),
            );
            let mut rng = stream(self.seed, "evidence", number as u64);
            estimates.extend(evidence.estimate(&model.vae, &model.parameters, x.view(), &mut rng));
            progress.advance(batch.len() as u64);
        }
        estimates.into()
    }
}

/// The bound of each image at given codes, the mean over fresh samples.
fn bound_of(
    model: &SavedModel,
    x: ArrayView2<'_, f32>,
    codes: &Codes<f32>,
    rng: &mut impl Rng,
) -> Array1<f64> {
    let mut total = Array1::zeros(x.nrows());
    for _ in 0..COMPARED {
        let tape = Tape::new();
        let p = model.parameters.bind_constant(&tape);
        let noise = standard_normal(&tape, codes.means.shape(), rng);
        let elbo: Elbo<'_, f32> = model
            .vae
            .elbo_of(&p, tape.constant(x), &codes.on(&tape), noise);
        let each = elbo.value().value();
        total.zip_mut_with(&each, |total, &bound| *total += f64::from(bound));
    }
    total / COMPARED as f64
}
