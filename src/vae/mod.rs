#![doc = include_str!("../../docs/vae.md")]

mod evidence;
mod model;

pub use evidence::Evidence;
pub use model::{Architecture, Divergence, Elbo, Likelihood, Observation, Vae};
