#![doc = include_str!("../../docs/vae.md")]

mod collapse;
mod decoder;
mod eigen;
mod evidence;
mod gap;
mod linear;
mod minibatch;
mod model;
mod ppca;
mod profile;
mod scaling;
mod surgery;

pub use collapse::{ACTIVE, Activity, ActivityError, collapse_curvatures};
pub use decoder::Decoder;
pub use eigen::{Eigen, EigenError, symmetric_eigen};
pub use evidence::Evidence;
pub use gap::{Gaps, Refinement};
pub use linear::LinearVae;
pub use minibatch::{Drawing, minibatch_objective, minibatch_variance};
pub use model::{Architecture, Divergence, Elbo, Likelihood, Observation, Vae};
pub use ppca::{Ppca, PpcaError};
pub use profile::{NoiseProfile, ProfileError, profile_log_likelihood, profile_noise};
pub use scaling::{LossScaling, Reduction};
pub use surgery::{Surgery, SurgeryError, unit_divergences};
