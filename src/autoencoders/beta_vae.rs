//! The weight of the KL term as the price of a nat ([notes](crate::autoencoders#beta-vae)).

use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::noise::standard_normal;
use crate::elementary::{exp_remainder, ln_1p};
use crate::nn::{Batch, Bound, Model, Objective, Schedule, Step};
use crate::vae::Vae;

/// What a code costs in the objective of a [`BetaVae`].
#[derive(Clone, Debug, PartialEq)]
pub enum CodeCost {
    /// β KL (Higgins et al., *β-VAE*, 2017).
    Weight(Schedule),
    /// γ |KL - C|: the code is to carry C nats, no fewer and no more (Burgess et al., *Understanding disentangling in β-VAE*,
    /// 2018, (8)).
    Capacity {
        /// γ.
        weight: f64,
        /// C, in nats.
        capacity: Schedule,
    },
}

impl CodeCost {
    /// The cost of the batch's mean KL, a single number in nats, at a step of the training.
    pub fn of<'t, T: Scalar>(&self, kl: Var<'t, T>, step: usize) -> Var<'t, T> {
        match self {
            Self::Weight(beta) => kl * T::of(beta.at(step)),
            Self::Capacity { weight, capacity } => {
                (kl - T::of(capacity.at(step))).abs() * T::of(*weight)
            }
        }
    }

    /// Are all numbers finite, and none below 0? What was read from a file may be otherwise.
    pub fn is_sound(&self) -> bool {
        let (schedule, weight) = match self {
            Self::Weight(beta) => (beta, 0.0),
            Self::Capacity { weight, capacity } => (capacity, *weight),
        };
        schedule.is_sound() && schedule.least() >= 0.0 && weight.is_finite() && weight >= 0.0
    }
}

/// A VAE whose code has a price of its own.
#[derive(Clone, Debug)]
pub struct BetaVae {
    vae: Vae,
    cost: CodeCost,
}

impl BetaVae {
    /// From a VAE, whose own weight β is not used.
    ///
    /// # Panics
    /// If the cost is not [sound](CodeCost::is_sound).
    pub fn new(vae: Vae, cost: CodeCost) -> Self {
        assert!(
            cost.is_sound(),
            "β-VAE: expected finite numbers from 0 on, found {cost:?}"
        );
        Self { vae, cost }
    }

    /// The networks, and the bound that they have: the cost changes what is trained, not what is true.
    pub fn vae(&self) -> &Vae {
        &self.vae
    }

    /// What its code costs.
    pub fn cost(&self) -> &CodeCost {
        &self.cost
    }
}

impl<T: Scalar> Model<T> for BetaVae {
    /// cost(KL) - reconstruction, with the means over the batch.
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        step: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let x = batch.data;
        let shape = self.vae.noise_shape(x.shape()[0]);
        let elbo = self
            .vae
            .elbo(p, x, standard_normal(p.tape(), &shape, step.rng));
        let (reconstruction, kl) = (elbo.reconstruction.mean(), elbo.kl.mean());
        let loss = self.cost.of(kl, step.number) - reconstruction;
        Objective::new(loss, vec![("reconstruction", reconstruction), ("kl", kl)])
    }
}

/// The model in which the trade of nats for accuracy can be solved on paper: z ~ N(0, 1), x | z ~ N(wz, σ²), and data
/// with mean 0 and variance λ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalarTradeOff {
    /// w.
    pub weight: f64,
    /// σ², greater than 0.
    pub noise_variance: f64,
    /// λ.
    pub data_variance: f64,
}

impl ScalarTradeOff {
    /// The w that is best at a price β, with the best q for it: w² = max(λ - βσ², 0). From β = λ/σ² on nothing is worth
    /// telling.
    pub fn with_best_weight(noise_variance: f64, data_variance: f64, beta: f64) -> Self {
        Self {
            weight: (data_variance - beta * noise_variance).max(0.0).sqrt(),
            noise_variance,
            data_variance,
        }
    }

    /// w²/(βσ²): what a datum adds to the precision of the best q.
    fn precision(&self, beta: f64) -> f64 {
        self.weight * self.weight / (beta * self.noise_variance)
    }

    /// The best q(z|x) = N(ax, v) at a price β: a and v.
    pub fn posterior(&self, beta: f64) -> (f64, f64) {
        let variance = 1.0 / (1.0 + self.precision(beta));
        (
            variance * self.weight / (beta * self.noise_variance),
            variance,
        )
    }

    /// E KL(q ‖ p) = ½ (v + λa² - 1 - log v) of the best q at a price β, over the data: what it buys, in nats.
    pub fn rate(&self, beta: f64) -> f64 {
        let (slope, _) = self.posterior(beta);
        let log_variance = -ln_1p(self.precision(beta));
        0.5 * (exp_remainder(log_variance) + self.data_variance * slope * slope)
    }

    /// E log p(x|z) = -½ log 2πσ² - [λ(1 - wa)² + w²v]/2σ² of the best q at a price β, over the data: what it gets, in nats.
    pub fn log_likelihood(&self, beta: f64) -> f64 {
        let (slope, variance) = self.posterior(beta);
        let missed = 1.0 - self.weight * slope;
        let error = self.data_variance * missed * missed + self.weight * self.weight * variance;
        -0.5 * ((std::f64::consts::TAU * self.noise_variance).ln() + error / self.noise_variance)
    }

    /// The price β at which the best q buys δ nats: the slope dE*/dδ of the best E log p(x|z) that δ nats can have.
    /// `None` if w = 0, where every q but the prior is a waste, or δ is not a number greater than 0, or more than any price that is a number buys.
    pub fn price(&self, rate: f64) -> Option<f64> {
        if self.weight == 0.0 || !(rate > 0.0 && rate.is_finite()) {
            return None;
        }
        // The rate falls from ∞ to 0 as β rises: bisection of log β, to the last digit.
        let least = (self.precision(1.0) / f64::MAX).max(f64::MIN_POSITIVE);
        let (mut low, mut high) = (least.ln() + 1.0, f64::MAX.ln());
        if self.rate(low.exp()) < rate {
            return None;
        }
        loop {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                return Some(middle.exp());
            }
            match self.rate(middle.exp()) > rate {
                true => low = middle,
                false => high = middle,
            }
        }
    }
}
