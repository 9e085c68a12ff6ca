//! Variational autoencoders from scratch.

pub mod autodiff;
pub mod data;
pub mod distributions;
pub mod gradients;
pub mod kl;
pub mod nn;
mod scalar;

pub mod train;
pub mod vae;

pub use scalar::Scalar;
