//! Densities with gradients: Gaussians with a diagonal or a full covariance, Bernoulli, categorical; and means of draws
//! with their standard error.
//!
//! The last axis is one event: an array of shape (…, d) holds data of d dimensions, and every density,
//! entropy and divergence is a sum over that axis, of shape (…), in nats. Never a mean: a mean over pixels
//! weighs the divergence against it by their number. Parameters broadcast against data.
//!
//! How a Gaussian is held:
//!
//! | on a tape | off the tape | by |
//! |---|---|---|
//! | [`DiagonalGaussian`] | [`GaussianParameters`], of one datum or of N | mean and log-variance |
//! | [`MultivariateGaussian`] | [`Moments`] | mean and covariance (on the tape: its Cholesky factor) |
//! | | [`UnivariateGaussian`](crate::background::UnivariateGaussian) | mean and variance, each a number |
//!
//! `on(&tape)` puts one on a tape, as constants, and `value()` is the way back.
//!
//! Sampling takes its noise from outside, as an array: frozen noise makes a sample a function, which can be
//! checked and differentiated.

mod bernoulli;
mod categorical;
mod estimate;
mod gaussian;
mod limits;
mod log_sum;
mod multivariate;
pub mod noise;
mod off_tape;
mod special;

pub use bernoulli::Bernoulli;
pub use categorical::Categorical;
pub use estimate::{Estimate, EstimateError};
pub use gaussian::DiagonalGaussian;
pub(crate) use limits::{
    both, expectation, mask, not, possible, standardise, standardised, weighed, weighted,
};
pub(crate) use log_sum::LogSum;
pub use multivariate::{GaussianError, MultivariateGaussian};
pub(crate) use multivariate::{asymmetric_entry, off_diagonal, total_correlation};
pub use off_tape::{GaussianParameters, Moments};
pub use special::{ln_beta, ln_gamma};
pub(crate) use special::{ln_beta_ratio, stirling_of_factorial};
