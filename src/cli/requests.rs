//! What is asked of a saved model: the options of `elbo evaluate`, `elbo sample` and `elbo reconstruct`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use super::options::{Data, Layout, positive, seed};
use crate::data::Binarisation;

/// What a saved model reaches on the test images
///
/// Of a VAE: the ELBO and log p(x), which is estimated with K samples from q(z|x), weighted: log (1/K) Σ p(x,z)/q(z|x). In
/// expectation it lies between the ELBO (K = 1) and log p(x), and rises with K. The gap log p(x) - ELBO is paired: both for the
/// same images, pixel by pixel. Of the codes q(z|x) it reports how many units are active (Var_x E[z_u|x] > 0.01), each unit's
/// KL, and what the mean KL is made of: KL(q̄ ‖ p) of the mixture q̄ of all codes, and I(n; z), what a code tells of the index of
/// its image, at most the logarithm of their number. From a part of the images KL(q̄ ‖ p) is too high and I(n; z) too low, on
/// average by the same amount.
///
/// Of a β-VAE: the same and, if the factors of the images are known, Higgins' metric: how often a linear classifier tells which
/// factor the images of 64 pairs share, from the mean distance of their codes. Beside it, that of encoders with fresh weights
/// and of the pixels.
///
/// Of an autoencoder (autoencoder, denoising, sparse, k-sparse, contractive): the error of reconstructions from clean, masked
/// and noisy images, the activations of the code's units and how many are dead, ‖J‖² of the code, and how often a linear
/// classifier is wrong on the codes and on the pixels, if there are labels.
///
/// Of a TD-VAE: the bound for each jump, of rolling images also how often a roll-out goes on in the right direction, and of
/// linear-Gaussian sequences the gap to the exact log-density.
#[derive(Args, Debug)]
pub struct Evaluate {
    /// The folder of a training run, or its model.safetensors
    #[arg(value_name = "MODEL", default_value = "runs/vae")]
    pub model: PathBuf,

    #[command(flatten)]
    pub data: Data,

    /// Of a VAE: K, the samples for each image; 5000 is customary for published figures [default: 500]
    #[arg(long, value_name = "K", value_parser = positive, allow_negative_numbers = true)]
    pub samples: Option<usize>,

    /// Of a VAE: how many test images the importance-weighted estimate takes; the ELBO takes them all [default: at most 500]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub images: Option<usize>,

    /// Of a VAE: how many codes the aggregate posterior q̄ is made of [default: at most 1000]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub codes: Option<usize>,

    /// Of a VAE: search the best q of each image by itself for so many steps, and report what the encoder loses against it, the
    /// amortisation gap [default: 0, no search]
    #[arg(long, value_name = "STEPS")]
    pub refine: Option<usize>,

    /// Another binarisation than the one in training: none, threshold or stochastic
    #[arg(long, value_name = "HOW")]
    pub binarise: Option<Binarisation>,

    /// Determines the noise
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed, allow_negative_numbers = true)]
    pub seed: u64,
}

impl Evaluate {
    /// Refuses the options that only a VAE reads.
    ///
    /// # Errors
    /// If one was given.
    pub fn ensure_no_latents(&self, model: &str) -> Result<()> {
        let given = [
            ("--samples", self.samples),
            ("--images", self.images),
            ("--codes", self.codes),
            ("--refine", self.refine),
        ];
        match given.iter().find(|(_, value)| value.is_some()) {
            Some((option, _)) => bail!(
                "{option} belongs to the evaluation of a VAE: a model `{model}` has no distribution of codes"
            ),
            None => Ok(()),
        }
    }
}

/// Decode latents drawn from the prior into a picture
///
/// Each tile is the decoder's mean E[x|z] for z ~ N(0, I), not a sample of pixels.
/// Of a TD-VAE each row is the last frame that it has seen of a test sequence, and how it goes on from there.
#[derive(Args, Debug)]
pub struct Sample {
    /// The folder of a training run, or its model.safetensors
    #[arg(value_name = "MODEL", default_value = "runs/vae")]
    pub model: PathBuf,

    /// Where the picture goes
    #[arg(long, value_name = "FILE", default_value = "samples.png")]
    pub out: PathBuf,

    /// How many
    #[arg(long, value_name = "N", default_value = "120", value_parser = positive, allow_negative_numbers = true)]
    pub count: usize,

    #[command(flatten)]
    pub layout: Layout,

    /// Determines the latents
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed, allow_negative_numbers = true)]
    pub seed: u64,

    /// Also write the latents `z` and the means `mean` as a safetensors file, to compare with another
    /// implementation of the decoder
    #[arg(long, value_name = "FILE")]
    pub arrays: Option<PathBuf>,
}

/// Put images of the test set above their reconstructions
///
/// A VAE's reconstruction is E[x|z] at z = μ(x), the mean of q(z|x); an autoencoder's is what its decoder makes of the code.
/// A denoising autoencoder is shown images that are corrupted as in training.
#[derive(Args, Debug)]
pub struct Reconstruct {
    /// The folder of a training run, or its model.safetensors
    #[arg(value_name = "MODEL", default_value = "runs/vae")]
    pub model: PathBuf,

    #[command(flatten)]
    pub data: Data,

    /// Where the picture goes
    #[arg(long, value_name = "FILE", default_value = "reconstructions.png")]
    pub out: PathBuf,

    /// How many, from the beginning of the test set
    #[arg(long, value_name = "N", default_value = "48", value_parser = positive, allow_negative_numbers = true)]
    pub count: usize,

    #[command(flatten)]
    pub layout: Layout,

    /// Another binarisation than the one in training: none, threshold or stochastic
    #[arg(long, value_name = "HOW")]
    pub binarise: Option<Binarisation>,
}
