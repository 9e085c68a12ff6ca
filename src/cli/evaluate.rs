//! `elbo evaluate`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use elbo::data::Binarisation;
use elbo::distributions::noise::stream;
use elbo::train::evaluate;
use elbo::vae::Evidence;
use ndarray::Array1;

use super::model::SavedModel;
use super::options::{Data, positive};
use super::progress::{Progress, say};
use super::views;

/// The ELBO and the importance-weighted log-likelihood of a saved model
///
/// log p(x) is estimated with K samples from q(z|x), weighted: log (1/K) Σ p(x,z)/q(z|x). In expectation it lies
/// between the ELBO (K = 1) and log p(x), and rises with K.
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

    /// Another binarisation than the one in training: none, threshold or stochastic
    #[arg(long, value_name = "HOW")]
    binarise: Option<Binarisation>,

    /// Determines the noise
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
}

/// Images that are evaluated at once.
const BATCH: usize = 100;

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
        if count < 2 {
            // One image has no spread.
            return say(&format!("    log p(x)      {mean:10.3}  ({how})"));
        }
        let error = evidence.std(1.0) / (count as f64).sqrt();
        say(&format!(
            "    log p(x)      {mean:10.3} ± {error:.3}  ({how}; ± is the standard error over images)"
        ))
    }

    fn evidence(
        &self,
        model: &SavedModel,
        images: &elbo::data::Images,
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
