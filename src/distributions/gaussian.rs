//! The Gaussian with independent dimensions.

use std::f64::consts::TAU;

use super::limits::standardise;
use super::noise::standard_normal;
use crate::Scalar;
use crate::autodiff::{Var, broadcast_shape};
use crate::elementary::exp;
use rand::Rng;

/// N(μ, diag σ²), by its mean μ and log-variance s = log σ², which any real number is.
///
/// The two broadcast against each other and against data.
#[derive(Clone, Copy, Debug)]
pub struct DiagonalGaussian<'t, T: Scalar> {
    /// μ, of shape (…, d).
    pub mean: Var<'t, T>,
    /// s = log σ², of shape (…, d). Not log σ: the variance is e^s and the deviation e^(s/2).
    pub log_variance: Var<'t, T>,
}

impl<'t, T: Scalar> DiagonalGaussian<'t, T> {
    /// log N(z; μ, σ²) = -½ Σ [log 2π + s + (z-μ)² e^-s], over the last axis, in nats.
    ///
    /// # Panics
    /// If the shapes do not broadcast, or there is no axis.
    pub fn log_density(&self, z: Var<'t, T>) -> Var<'t, T> {
        let (mu, s) = (self.mean, self.log_variance);
        // (z-μ)/σ, squared: e^-s overflows, and 0·∞ is not 0.
        let per_dimension = standardise(z - mu, s).square() + s + T::of(TAU.ln());
        per_dimension.sum_last() * T::of(-0.5)
    }

    /// z = μ + σ ⊙ ε, for ε ~ N(0, I) drawn by the caller: a sample that is a function of μ and s
    /// ([notes](crate::gradients#reparameterisation)).
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    pub fn sample(&self, noise: Var<'t, T>) -> Var<'t, T> {
        reparameterise(self.mean, self.log_variance, noise)
    }

    /// A sample with fresh noise from `rng`, of the shape that mean and log-variance broadcast to.
    pub fn draw(&self, rng: &mut impl Rng) -> Var<'t, T> {
        self.sample(standard_normal(self.mean.tape(), &self.shape("draw"), rng))
    }

    /// H = ½ Σ (1 + log 2π + s), over the last axis, in nats.
    ///
    /// # Panics
    /// If there is no axis.
    pub fn entropy(&self) -> Var<'t, T> {
        // One variance may serve many dimensions: each has its own entropy.
        let s = self.log_variance.broadcast_to(&self.shape("entropy"));
        (s + T::of(1.0 + TAU.ln())).sum_last() * T::of(0.5)
    }

    /// The shape of a sample.
    fn shape(&self, operation: &str) -> Vec<usize> {
        broadcast_shape(operation, &self.mean.shape(), &self.log_variance.shape())
    }
}

/// z = μ + e^(s/2) ⊙ ε in one operation. With z̄ arriving: μ̄ = z̄, s̄ = ½ z̄ ⊙ ε ⊙ e^(s/2),
/// ε̄ = z̄ ⊙ e^(s/2). Not s̄ = ½ z̄ ⊙ (z - μ), which is the same but for rounding: a small σ ε is lost in z.
fn reparameterise<'t, T: Scalar>(
    mean: Var<'t, T>,
    log_variance: Var<'t, T>,
    noise: Var<'t, T>,
) -> Var<'t, T> {
    let tape = mean.tape();
    let half = T::of(0.5);
    let offset = tape.zip_values(
        "reparameterise",
        &log_variance.value(),
        &noise.value(),
        move |s, e| exp(s * half) * e,
    );
    let z = tape.zip_values("reparameterise", &mean.value(), &offset, |mu, o| mu + o);
    tape.record(
        "reparameterise",
        &[mean, log_variance, noise],
        z,
        move |p| {
            p.give(0, || p.cotangent);
            let deviation = || (p.input(1) * half).exp();
            p.give(1, || p.cotangent * (p.input(2) * deviation()) * half);
            p.give(2, || p.cotangent * deviation());
        },
    )
}
