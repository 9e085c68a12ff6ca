//! Variational autoencoders from scratch.

pub mod data;
mod scalar;

pub use scalar::Scalar;
