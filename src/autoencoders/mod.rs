#![doc = include_str!("../../docs/autoencoders.md")]

mod beta_vae;
mod classifier;
mod code_prior;
mod codebook;
mod contractive;
mod corruption;
mod denoising;
mod expansion;
mod higgins_metric;
mod k_sparse;
mod kalman;
mod linear_denoiser;
mod model;
mod pca;
mod smoothed;
mod sparse;
mod stacked;
mod td_vae;
mod tempered;
mod units;
mod vq_vae;
mod vq_vae2;

pub use beta_vae::{BetaVae, CodeCost, ScalarTradeOff};
pub use classifier::Classifier;
pub use code_prior::{AutoregressivePrior, FactorisedPrior, PriorStructure, uniform_cost};
pub use codebook::{Codebook, CodebookUpdate, MovingAverages, Quantised, perplexity};
pub use contractive::{Contractive, JacobianNorm};
pub use corruption::{Corruption, LinearCorruption};
pub use denoising::Denoising;
pub use expansion::{
    ResidualExpansion, reconstruction_expansion, sigmoid_expansion, sigmoid_slopes,
};
pub use higgins_metric::HigginsMetric;
pub use k_sparse::{KSparse, keep_largest, least_squares_residual, support};
pub use kalman::{Filtered, PairPosterior, Smoothed, StateSpace};
pub use linear_denoiser::LinearDenoiser;
pub use model::{Autoencoder, Coding, ReconstructionLoss, Structure, slope_from_output};
pub use pca::{Centring, Pca};
pub use smoothed::SmoothedMixture;
pub use sparse::{Sparse, rate_divergence, sparsity, sparsity_of_logits};
pub use stacked::{Encoders, Stacked, StackedLayer};
pub use td_vae::{
    ExactGap, GapError, LayeredGaussian, PairBound, Predictive, TdStructure, TdVae, TimePair,
    exact_gap,
};
pub use tempered::{tempered_evidence, tempered_log_posterior};
pub use units::UnitStatistics;
pub use vq_vae::{DiscreteCoding, VqStructure, VqVae, quadratic_terms, uniform_code_bounds};
pub use vq_vae2::VqVae2;
