//! The gradient of the reverse divergence, by the score and along the path of a sample.

use std::fmt;

use ndarray::Array1;

use super::Nodes;
use crate::autodiff::{Tape, Var, array};

/// A family of densities q_φ that can be sampled by moving noise.
pub trait Family {
    /// z = g_φ(ε), for φ of shape (k) and noise in rows.
    fn sample<'t>(&self, phi: Var<'t, f64>, noise: Var<'t, f64>) -> Var<'t, f64>;

    /// log q_φ(z), one number for each row of z.
    fn log_density<'t>(&self, phi: Var<'t, f64>, z: Var<'t, f64>) -> Var<'t, f64>;
}

/// N(μ, diag e^s) in `dimensions` dimensions, with φ = (μ, s).
#[derive(Clone, Copy, Debug)]
pub struct DiagonalFamily {
    /// d; φ has the length 2d.
    pub dimensions: usize,
}

impl DiagonalFamily {
    fn at<'t>(&self, phi: Var<'t, f64>) -> crate::distributions::DiagonalGaussian<'t, f64> {
        let d = self.dimensions;
        crate::distributions::DiagonalGaussian {
            mean: phi.slice(0, 0..d),
            log_variance: phi.slice(0, d..2 * d),
        }
    }
}

impl Family for DiagonalFamily {
    fn sample<'t>(&self, phi: Var<'t, f64>, noise: Var<'t, f64>) -> Var<'t, f64> {
        self.at(phi).sample(noise)
    }

    fn log_density<'t>(&self, phi: Var<'t, f64>, z: Var<'t, f64>) -> Var<'t, f64> {
        self.at(phi).log_density(z)
    }
}

/// log q - log p is not finite at this node, counted from 0: the divergence is infinite, or not defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite(pub usize);

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected log q - log p to be finite wherever q has mass, found otherwise at node {} (counted from 0): the \
             reverse divergence is infinite where p excludes what q allows",
            self.0
        )
    }
}

impl std::error::Error for NotFinite {}

/// E_q[∇_φ log q_φ(z) (log q_φ(z) - log p(z))], over nodes of the noise, of shape (k)
/// ([notes](crate::kl#reverse-kl-gradient)). Needs no derivative of p.
///
/// # Errors
/// If log q - log p is not finite at a node of positive weight.
///
/// # Panics
/// If a log-density does not give one number for each node.
pub fn reverse_gradient_by_score(
    family: &impl Family,
    phi: &Array1<f64>,
    noise: &Nodes,
    log_p: impl for<'t> Fn(Var<'t, f64>) -> Var<'t, f64>,
) -> Result<Array1<f64>, NotFinite> {
    gradient(Road::Score, family, phi, noise, &log_p)
}

/// ∇_φ E_ε[log q_φ(z) - log p(z)] with z = g_φ(ε), along the paths of the samples, over nodes of the noise, of shape (k)
/// ([notes](crate::kl#reverse-kl-gradient)). Needs the derivative of p.
///
/// # Errors
/// If log q - log p is not finite at a node of positive weight.
///
/// # Panics
/// If a log-density does not give one number for each node.
pub fn reverse_gradient_by_path(
    family: &impl Family,
    phi: &Array1<f64>,
    noise: &Nodes,
    log_p: impl for<'t> Fn(Var<'t, f64>) -> Var<'t, f64>,
) -> Result<Array1<f64>, NotFinite> {
    gradient(Road::Path, family, phi, noise, &log_p)
}

/// By what a parameter moves the expectation.
enum Road {
    Score,
    Path,
}

fn gradient(
    road: Road,
    family: &dyn Family,
    phi: &Array1<f64>,
    noise: &Nodes,
    log_p: &dyn for<'t> Fn(Var<'t, f64>) -> Var<'t, f64>,
) -> Result<Array1<f64>, NotFinite> {
    let noise = noise.support();
    let tape = Tape::new();
    let phi = tape.variable(phi.clone());
    let sample = family.sample(phi, tape.constant(noise.points().clone()));
    let z = match road {
        // A sample does not move: only the density does.
        Road::Score => sample.stop_gradient(),
        Road::Path => sample,
    };
    let log_q = family.log_density(phi, z);
    let difference = log_q - log_p(z);
    check(difference, &noise)?;
    let moved = match road {
        Road::Score => log_q * difference.stop_gradient(),
        Road::Path => difference,
    };
    let weights = tape.constant(noise.weights().clone());
    let gradient = tape.gradients((moved * weights).sum()).wrt(phi);
    Ok(array(gradient))
}

fn check(difference: Var<'_, f64>, noise: &Nodes) -> Result<(), NotFinite> {
    let value = difference.value();
    assert!(
        value.shape() == [noise.len()],
        "reverse gradient: expected log-densities of shape [{}], found {:?}",
        noise.len(),
        value.shape()
    );
    match value.iter().position(|d| !d.is_finite()) {
        Some(index) => Err(NotFinite(index)),
        None => Ok(()),
    }
}
