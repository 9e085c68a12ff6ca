//! Variational autoencoders from scratch: automatic differentiation, densities, networks, bounds, on `ndarray`.
//!
//! # The map
//!
//! One name goes through everything. A chapter of the notes, `docs/kl.md`, the module [`kl`] and the folder of
//! tests `tests/kl` are one place seen from three sides; a section and the file of its tests share a name, so that
//! `cargo test kl_gaussian_standard` runs what the section kl-gaussian-standard claims. The chapters are the
//! documentation of their modules.
//!
//! Each layer knows only those above it in this list:
//!
//! | layer | modules | what is in them |
//! |---|---|---|
//! | 1 | [`autodiff`] | the tape, the operations with their derivative rules, the gradient checker; nothing of probability |
//! | 2 | [`distributions`], [`nn`] | densities and sampling; parameters, dense layers, initialisation, optimisers |
//! | 3 | [`background`], [`variational`], [`kl`], [`gradients`], [`vae`], [`autoencoders`] | one for each chapter of the notes |
//! | 4 | [`data`], [`train`] | reading images; the training loop, which knows no model |
//! | 5 | the command `elbo` | what a person types, and the pictures that it leaves |
//!
//! # Conventions
//!
//! - All logarithms are natural and all entropies, divergences and bounds are in nats.
//! - Data lie in rows: an array of shape (…, d) holds data of d dimensions, and densities sum over the last axis.
//! - A Gaussian is given by its mean μ and its log-variance s = log σ²: variance e^s, deviation e^(s/2).
//! - Weights have the shape (outputs, inputs): a layer computes X Wᵀ + b.
//! - x̄ is the cotangent of x: the gradient of the final number with respect to x.
//! - Shapes that do not fit are a programming error and panic, with the operation and the shapes; files and
//!   arguments that are wrong are errors.

pub mod autodiff;
pub mod autoencoders;
pub mod background;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod data;
pub mod distributions;
mod elementary;
pub mod gradients;
pub mod kl;
mod lanes;
pub mod nn;
mod scalar;
pub mod threads;
pub mod train;
pub mod vae;
pub mod variational;

pub use scalar::Scalar;

/// The loops and functions that `benches/by_hand` shares with the crate, so that its step and the tape's differ in
/// nothing but the tape. Not part of the interface: it changes without notice.
#[doc(hidden)]
pub mod kernels {
    pub use crate::elementary::{exp, expm1, ln_1p_unit};
    pub use crate::lanes::{fold_columns, row_sums, update, update_rows, update3, zip};
}

/// The README's example, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
