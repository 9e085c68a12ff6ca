//! The Gaussian with independent dimensions.

use std::f64::consts::TAU;

use super::limits::{standardise, standardised, weighed};
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
        let per_dimension = deviance(z - mu, s) + T::of(TAU.ln());
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

/// x² e^-s + s, for the offset x. With r = x e^(-s/2): x̄ = 2 ȳ r e^(-s/2), and s̄ = ȳ (1 - r²) at once: where one s serves
/// many data, the sums of 1 and of r² are much larger than their difference.
fn deviance<'t, T: Scalar>(offset: Var<'t, T>, log_variance: Var<'t, T>) -> Var<'t, T> {
    offset.zip_with(
        log_variance,
        "deviance",
        |x, s| {
            // (z-μ)/σ, squared: e^-s overflows, and 0·∞ is not 0.
            let r = standardised(x, s);
            r * r + s
        },
        |p| {
            let r = standardise(p.input(0), p.input(1));
            p.cotangent
                .times_slope(standardise(r, p.input(1)) * T::of(2.0))
        },
        |p| {
            let r = standardise(p.input(0), p.input(1));
            p.cotangent
                .times_slope(r.square().subtracted_from(T::one()))
        },
    )
}

/// z = μ + e^(s/2) ⊙ ε in one operation. With z̄ arriving: μ̄ = z̄, s̄ = ½ z̄ ⊙ ε ⊙ e^(s/2),
/// ε̄ = z̄ ⊙ e^(s/2). 0 deviations are no offset, even where e^(s/2) overflows. Not s̄ = ½ z̄ ⊙ (z - μ), which is the same but for rounding: a small σ ε is lost in z.
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
        move |s, e| weighed(e, exp(s * half)),
    );
    let z = tape.zip_values("reparameterise", &mean.value(), &offset, |mu, o| mu + o);
    tape.record(
        "reparameterise",
        &[mean, log_variance, noise],
        z,
        move |p| {
            p.give(0, || p.cotangent);
            let deviation = || (p.input(1) * half).exp();
            p.give(1, || {
                p.cotangent.times_slope(p.input(2).times_slope(deviation())) * half
            });
            p.give(2, || p.cotangent.times_slope(deviation()));
        },
    )
}
