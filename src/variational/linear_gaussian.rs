//! The model in which everything is known: linear, with Gaussian noise.

use std::f64::consts::TAU;

use ndarray::Array2;
use rand::Rng;

use super::LogWeights;
use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::noise::standard_normal;
use crate::distributions::{MultivariateGaussian, NoGaussian};

/// z ~ N(0, I) in k dimensions, x = Wz + b + σε in D, with ε ~ N(0, I).
///
/// Evidence, posterior and bound have closed forms, in any number of dimensions. Data of shape (…, D) give results of shape (…),
/// in nats. ([Notes](crate::variational#exact-gap))
#[derive(Clone, Copy, Debug)]
pub struct LinearGaussian<'t, T: Scalar> {
    /// W, of shape (D, k).
    pub weight: Var<'t, T>,
    /// b, of shape (D).
    pub offset: Var<'t, T>,
    /// log σ², of shape [].
    pub log_variance: Var<'t, T>,
}

impl<'t, T: Scalar> LinearGaussian<'t, T> {
    /// log p(x) = log N(x; b, WWᵀ + σ²I).
    ///
    /// # Errors
    /// If that covariance is singular in floating-point numbers (σ² far below WWᵀ), or not finite.
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn evidence(&self, x: Var<'t, T>) -> Result<Var<'t, T>, NoGaussian> {
        let (w, identity) = (self.weight, self.identity(self.dimensions()));
        let covariance = w.matmul(w.t()) + identity * self.log_variance.exp();
        Ok(MultivariateGaussian::from_covariance(self.offset, covariance)?.log_density(x))
    }

    /// p(z|x) = N(A⁻¹Wᵀ(x - b)/σ², A⁻¹) with A = I + WᵀW/σ²; one mean for each x, and one covariance for all.
    ///
    /// # Errors
    /// If the covariance is singular in floating-point numbers, or not finite.
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn posterior(&self, x: Var<'t, T>) -> Result<MultivariateGaussian<'t, T>, NoGaussian> {
        let precision = (-self.log_variance).exp();
        let identity = self.identity(self.latents());
        let a = identity + self.weight.t().matmul(self.weight) * precision;
        let l = a.cholesky()?;
        let covariance = l.solve_lower_transposed(l.solve_lower(identity));
        // Rows are data: (A⁻¹Wᵀ(x - b)/σ²)ᵀ = (x - b)ᵀ W A⁻¹/σ², A⁻¹ being symmetric.
        let mean = (x - self.offset).matmul(self.weight).matmul(covariance) * precision;
        MultivariateGaussian::from_covariance(mean, covariance)
    }

    /// The bound for a Gaussian q(z) = N(m, S), S = LLᵀ:
    ///
    /// -½ [D log 2πσ² + (|x - Wm - b|² + |WL|²)/σ²] - ½ [k log 2π + |m|² + |L|²] + H(q),
    ///
    /// where |WL|² = tr WSWᵀ and |L|² = tr S are sums of squares of all entries.
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn elbo(&self, x: Var<'t, T>, q: &MultivariateGaussian<'t, T>) -> Var<'t, T> {
        let (m, l) = (q.mean(), q.factor());
        let at_mean = self.log_joint(x, m);
        let spread =
            self.weight.matmul(l).square().sum() * (-self.log_variance).exp() + l.square().sum();
        at_mean - spread * T::of(0.5) + q.entropy()
    }

    /// log p(x, z) = log N(x; Wz + b, σ²I) + log N(z; 0, I), for z of shape (…, k).
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn log_joint(&self, x: Var<'t, T>, z: Var<'t, T>) -> Var<'t, T> {
        let residual = x - z.matmul(self.weight.t()) - self.offset;
        let (d, k) = (self.dimensions() as f64, self.latents() as f64);
        let squares = residual.square().sum_last() * (-self.log_variance).exp();
        let normaliser = self.log_variance * T::of(d) + T::of((d + k) * TAU.ln());
        (squares + z.square().sum_last() + normaliser) * T::of(-0.5)
    }

    /// log w of `draws` independent z ~ q, for one x of shape (D) and a q with a mean of shape (k).
    ///
    /// # Panics
    /// If shapes do not fit, or there is no draw.
    pub fn draw(
        &self,
        x: Var<'t, T>,
        q: &MultivariateGaussian<'t, T>,
        draws: usize,
        rng: &mut impl Rng,
    ) -> LogWeights {
        let z = q.sample(standard_normal(x.tape(), &[draws, self.latents()], rng));
        let log_w = self.log_joint(x, z) - q.log_density(z);
        LogWeights::new(log_w.value().iter().map(|l| l.as_f64()).collect())
    }

    /// D.
    fn dimensions(&self) -> usize {
        self.weight.shape()[0]
    }

    /// k.
    fn latents(&self) -> usize {
        self.weight.shape()[1]
    }

    fn identity(&self, size: usize) -> Var<'t, T> {
        self.weight.tape().constant(Array2::eye(size))
    }
}
