#![doc = include_str!("../../docs/kl.md")]

mod classes;
mod descent;
mod exponential_family;
mod fisher;
mod fit;
mod gaussian;
mod mean_field;
mod mixture;
mod nodes;
mod reverse_gradient;
mod tables;

pub use crate::distributions::Moments;
pub use crate::variational::log_tables::log_tables;
pub use classes::{bernoulli, categorical};
pub use exponential_family::{ExponentialFamily, Projection, ProjectionError};
pub use fisher::{FisherInformation, NotDifferentiable, fisher_information};
pub use fit::{
    Fit, FitError, FitOptions, Grid, Minima, Shape, Target, reverse_fit, reverse_minima, starts,
};
pub use gaussian::{gaussian_diagonal, gaussian_full, gaussian_standard};
pub use mean_field::{GaussianMeanField, mean_field};
pub use mixture::{UnivariateMixture, UnivariateMixtureError, separation_of_own_minimum};
pub(crate) use nodes::TOTAL;
pub use nodes::{Nodes, NodesError};
pub use reverse_gradient::{
    DiagonalFamily, Family, NotFinite, reverse_gradient_by_path, reverse_gradient_by_score,
};
pub use tables::{ChainRule, chain_rule, chain_terms, tables};
