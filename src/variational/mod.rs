#![doc = include_str!("../../docs/variational.md")]

mod enumerated;
mod linear_gaussian;
pub(crate) mod log_tables;
mod mean_field;
mod mean_field_gaussian;
mod mixture;
mod weights;

pub use enumerated::{Enumerated, elbo_from_prior};
pub use mean_field::{
    Stopping, TableMeanField, coordinate_ascent, distinct_optima, elbo, expected_log_joint,
    optimal_factor,
};
pub use mean_field_gaussian::{GaussianAscent, GaussianTarget, GaussianTargetError};
pub use mixture::{Covariances, EmFit, GaussianMixture, GaussianMixtureError, em};
pub use weights::LogWeights;
