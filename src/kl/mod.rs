#![doc = include_str!("../../docs/kl.md")]

mod classes;
mod fisher;
mod gaussian;
mod nodes;
mod tables;

pub use classes::{bernoulli, categorical};
pub use fisher::{FisherInformation, NotDifferentiable, fisher_information};
pub use gaussian::{gaussian_diagonal, gaussian_full, gaussian_standard};
pub use nodes::{Nodes, NotAnExpectation};
pub use tables::{ChainRule, NotATable, chain_rule, chain_terms, of_tables};
