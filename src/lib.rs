//! Variational autoencoders from scratch.

pub mod autodiff;
pub mod data;
mod scalar;

pub use scalar::Scalar;
