//! Two states of a sequence: what is known of both, and the bound of a q that believes something else.

use ndarray::{Array2, ArrayView1, Axis, concatenate, s};

use super::smoother::together;
use super::{StateSpace, observe};
use crate::autodiff::{Tape, Var, array};
use crate::autoencoders::PairBound;
use crate::distributions::{GaussianError, Moments, MultivariateGaussian};

/// q(z₁, z₂) = q(z₂) q(z₁|z₂), both Gaussian, with E[z₁|z₂] = m₁ + G (z₂ - m₂): what a filter at the later time and a look back
/// believe.
#[derive(Clone, Copy, Debug)]
pub struct PairPosterior<'t> {
    /// q(z₂).
    pub later: MultivariateGaussian<'t, f64>,
    /// q(z₁|z₂) at z₂ = m₂.
    pub earlier: MultivariateGaussian<'t, f64>,
    /// G, of shape (k, k).
    pub gain: Var<'t, f64>,
}

impl<'t> PairPosterior<'t> {
    /// The joint N(m, Σ) of (z₁, z₂), of 2k dimensions, taken apart, as constants on a tape.
    ///
    /// # Errors
    /// If Σ is no covariance.
    pub fn of(joint: &Moments, tape: &'t Tape<f64>) -> Result<Self, GaussianError> {
        let k = joint.mean.len() / 2;
        let later = marginal(joint, k..2 * k).on(tape)?;
        let between = joint.covariance.slice(s![k.., ..k]);
        // With Σ₂₂ = LLᵀ and V = L⁻¹Σ₂₁: G = VᵀL⁻¹, and Σ₁₁ - VᵀV is left of z₁.
        let v = later.factor().solve_lower(tape.constant(between));
        let gain = later.factor().solve_lower_transposed(v).t();
        let mut earlier = marginal(joint, 0..k);
        earlier.covariance -= &array::<f64, ndarray::Ix2>(v.t().matmul(v).value());
        Ok(Self {
            later,
            earlier: earlier.on(tape)?,
            gain,
        })
    }

    /// q(z₁|z₂) for each row of z₂, of shape (…, k).
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn looking_back(&self, z2: Var<'t, f64>) -> MultivariateGaussian<'t, f64> {
        let mean = self.earlier.mean() + (z2 - self.later.mean()).matmul(self.gain.t());
        MultivariateGaussian::from_factor(mean, self.earlier.factor())
            .expect("the factor was one before")
    }
}

impl StateSpace {
    /// p(z₁, z₂) for a belief about z₁ and the next state z₂: of 2k dimensions. For a state further on, ask [`every`](Self::every).
    pub fn pair(&self, belief: &Moments) -> Moments {
        let between = belief.covariance.dot(&self.transition.t());
        together(belief, &self.predict(belief), &between)
    }

    /// p(z₁, z₂|x₂): the same once the later observation is known, and nothing of what lies between.
    ///
    /// # Errors
    /// If the belief's covariance is none.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn pair_given_later(
        &self,
        belief: &Moments,
        x: ArrayView1<'_, f64>,
    ) -> Result<Moments, GaussianError> {
        let unseen = Array2::zeros(self.emission.raw_dim());
        let map = concatenate![Axis(1), unseen, self.emission];
        Ok(observe(&self.pair(belief), &map, &self.emission_noise, x)?.0)
    }

    /// The log-densities of the bound of log p(x₂) for a belief about z₁, at draws z₂ ~ q, z₁ ~ q(·|z₂) by noise of shape
    /// (2, …, k), that of z₂ first.
    ///
    /// # Errors
    /// If the belief's covariance is none.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn pair_bound<'t>(
        &self,
        belief: &Moments,
        x: ArrayView1<'_, f64>,
        q: &PairPosterior<'t>,
        noise: Var<'t, f64>,
    ) -> Result<PairBound<'t, f64>, GaussianError> {
        let tape = noise.tape();
        let matrix = |a: &Array2<f64>| tape.constant(a.clone());
        let linear = |z: Var<'t, f64>, map, covariance| {
            let mean = z.matmul(matrix(map).t());
            MultivariateGaussian::from_covariance(mean, matrix(covariance))
        };
        let [noise2, noise1] = [0, 1].map(|i| noise.slice(0, i..i + 1).squeeze(&[0]));
        let z2 = q.later.sample(noise2);
        let back = q.looking_back(z2);
        let z1 = back.sample(noise1);
        Ok(PairBound {
            observation: linear(z2, &self.emission, &self.emission_noise)?
                .log_density(tape.constant(x)),
            belief: belief.on(tape)?.log_density(z1),
            transition: linear(z1, &self.transition, &self.transition_noise)?.log_density(z2),
            later: q.later.log_density(z2),
            earlier: back.log_density(z1),
        })
    }
}

/// Some of the dimensions, whatever the others are.
fn marginal(joint: &Moments, range: std::ops::Range<usize>) -> Moments {
    Moments {
        mean: joint.mean.slice(s![range.clone()]).to_owned(),
        covariance: joint.covariance.slice(s![range.clone(), range]).to_owned(),
    }
}
