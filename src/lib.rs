//! Variational autoencoders from scratch.

pub mod autodiff;
pub mod data;
pub mod nn;
mod scalar;

pub use scalar::Scalar;
