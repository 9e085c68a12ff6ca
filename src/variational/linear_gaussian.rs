//! The bound of the model in which everything is known: linear, with Gaussian noise.

use std::f64::consts::TAU;

use rand::Rng;

use super::LogWeights;
use crate::Scalar;
use crate::autodiff::Var;
use crate::background::LinearGaussian;
use crate::distributions::noise::standard_normal;
use crate::distributions::{MultivariateGaussian, standardise};

impl<'t, T: Scalar> LinearGaussian<'t, T> {
    /// log p(x, z) = log N(x; Wz + b, σ²I) + log N(z; 0, I), for x of shape (…, D) and z of shape (…, d).
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn log_joint(&self, x: Var<'t, T>, z: Var<'t, T>) -> Var<'t, T> {
        self.log_likelihood(x, z) - self.prior_energy(z.square().sum_last())
    }

    /// The bound E_q[log p(x, z) - log q(z)] for a Gaussian q(z) = N(m, S), S = LLᵀ, in nats:
    ///
    /// log p(x|m) - |WL|²/2σ² - ½ [d log 2π + |m|² + |L|²] + H(q),
    ///
    /// where |WL|² = tr WSWᵀ and |L|² = tr S are sums of squares of all entries. ([Notes](crate::variational#exact-gap))
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn elbo(&self, x: Var<'t, T>, q: &MultivariateGaussian<'t, T>) -> Var<'t, T> {
        let (m, l) = (q.mean(), q.factor());
        let blur = standardise(self.weights.matmul(l), self.log_noise)
            .square()
            .sum();
        let second_moment = m.square().sum_last() + l.square().sum();
        self.log_likelihood(x, m) - blur * T::of(0.5) - self.prior_energy(second_moment)
            + q.entropy()
    }

    /// log w = log p(x, z) - log q(z) of `draws` independent z ~ q, for one x of shape (D) and a q with a mean of shape (d).
    ///
    /// # Panics
    /// If the shapes do not fit, or there is no draw.
    pub fn draw(
        &self,
        x: Var<'t, T>,
        q: &MultivariateGaussian<'t, T>,
        draws: usize,
        rng: &mut impl Rng,
    ) -> LogWeights {
        let z = q.sample(standard_normal(x.tape(), &[draws, q.dimensions()], rng));
        let log_w = self.log_joint(x, z) - q.log_density(z);
        LogWeights::new(log_w.value().iter().map(|l| l.as_f64()).collect())
    }

    /// -E log N(z; 0, I), from E|z|².
    fn prior_energy(&self, second_moment: Var<'t, T>) -> Var<'t, T> {
        let latents = self.weights.shape()[1] as f64;
        (second_moment + T::of(latents * TAU.ln())) * T::of(0.5)
    }
}
