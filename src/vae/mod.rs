//! The variational autoencoder (Kingma and Welling 2014; Rezende, Mohamed and Wierstra 2014).

mod evidence;
mod model;

pub use evidence::Evidence;
pub use model::{Architecture, Divergence, Elbo, Likelihood, Observation, Vae};
