//! Where the gap of the bound comes from: the family of q, and the encoder that serves all data at once
//! ([notes](crate::vae#amortisation-gap)).

use ndarray::{ArrayView2, Ix2};
use rand::Rng;

use super::Vae;
use crate::Scalar;
use crate::autodiff::{Tape, Var, array};
use crate::background::{BadData, LinearGaussian};
use crate::distributions::noise::standard_normal;
use crate::distributions::{DiagonalGaussian, GaussianParameters, standardise};
use crate::nn::{Adam, Parameters};

/// log p(x) - ELBO(q) in two parts, in nats; neither is negative.
#[derive(Clone, Copy, Debug)]
pub struct Gaps<'t, T: Scalar> {
    /// log p(x) - ELBO(q*): what the family costs, for its best member q*. Of shape [] where it is the same for every x.
    pub approximation: Var<'t, T>,
    /// ELBO(q*) - ELBO(q), of shape (…): what this q costs, against the best of its family.
    pub amortisation: Var<'t, T>,
}

impl<'t, T: Scalar> LinearGaussian<'t, T> {
    /// The two gaps of q = N(m, diag e^s) at x of shape (…, D). With P = M/σ² the posterior's precision and m*
    /// its mean, the second is ½ [|W(m - m*)|²/σ² + |m - m*|² + Σ_j (r_j - 1 - log r_j)], r_j = P_jj e^(s_j).
    ///
    /// # Errors
    /// If the noise is not finite, or M is not positive definite to the digits of T.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn gaps(&self, x: Var<'t, T>, q: &DiagonalGaussian<'t, T>) -> Result<Gaps<'t, T>, BadData> {
        let best = self.best_diagonal(x)?;
        let offset = q.mean - best.mean;
        // In deviations before it is squared: 1/σ² overflows long before their ratio does.
        let seen = standardise(offset.matmul(self.weights.t()), self.log_noise);
        let distance = seen.square().sum_last() + offset.square().sum_last();
        let log_ratio = q.log_variance - best.log_variance;
        let spread = (log_ratio.expm1() - log_ratio).sum_last();
        Ok(Gaps {
            approximation: self.diagonal_gap()?,
            amortisation: (distance + spread) * T::of(0.5),
        })
    }
}

/// The search for the best q of each datum by itself, from the encoder's answer on: Adam on mean and log-variance, with the
/// model fixed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refinement {
    /// Steps of Adam.
    pub steps: usize,
    /// Its rate; over the last half of the steps it falls to a hundredth.
    pub rate: f64,
    /// Samples of z for each datum and step; every step draws its own.
    pub samples: usize,
}

impl Refinement {
    /// The q of each row of `data`, of shape (N, D), after the search. What it gains on fresh noise is at most the
    /// amortisation gap, but for the error of the estimate: the search may fall short, it cannot overshoot.
    ///
    /// # Panics
    /// If the data have another number of dimensions, or there is no sample.
    pub fn fit<T: Scalar>(
        &self,
        vae: &Vae,
        parameters: &Parameters<T>,
        data: ArrayView2<'_, T>,
        rng: &mut impl Rng,
    ) -> GaussianParameters<T, Ix2> {
        assert!(self.samples > 0, "the refinement needs a sample");
        let start = vae.codes(parameters, data);
        let shape = [self.samples, data.nrows(), start.mean.ncols()];
        let mut own = Parameters::new();
        let mean = own.add("mean", start.mean);
        let log_variance = own.add("log_variance", start.log_variance);
        let mut adam = Adam::new(self.rate);
        let mut tape = Tape::new();
        for step in 0..self.steps {
            adam.set_rate(self.rate * cooling(step, self.steps));
            let (_, gradients) = own.value_and_gradients(&mut tape, |q| {
                let tape = q.tape();
                let noise = standard_normal(tape, &shape, rng);
                let q = DiagonalGaussian {
                    mean: q[mean],
                    log_variance: q[log_variance],
                };
                let p = parameters.bind_constant(tape);
                let elbo = vae.elbo_of(&p, tape.constant(data), &q, noise);
                // The sum: no datum's step depends on the others.
                (-elbo.value().sum(), ())
            });
            adam.step(&mut own, &gradients);
        }
        let found = |name| array(own.get(name).expect("added above").clone());
        GaussianParameters {
            mean: found("mean"),
            log_variance: found("log_variance"),
        }
    }
}

/// 1 over the first half, then down to 1/100.
fn cooling(step: usize, steps: usize) -> f64 {
    let late = 2.0 * step as f64 / steps as f64 - 1.0;
    0.01f64.powf(late.max(0.0))
}
