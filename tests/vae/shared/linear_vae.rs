//! A linear decoder with a linear encoder, of which everything is known in closed form.

use std::f64::consts::TAU;

use elbo::nn::Parameters;
use elbo::vae::{Architecture, Likelihood, Vae};
use ndarray::{Array1, Array2, Axis, Ix2, arr0, concatenate};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::linear_algebra::{determinant, inverse};
use crate::common::random::random;
use crate::vae::shared::networks::{model, small};

/// A linear model with a linear encoder: x ~ N(W z + b, σ² I), q = N(A x + c, diag e^s).
pub struct Linear {
    pub w: Array2<f64>,
    pub b: Array1<f64>,
    pub deviation: f64,
    pub a: Array2<f64>,
    pub c: Array1<f64>,
    pub s: Array1<f64>,
}

impl Linear {
    pub fn random(rng: &mut StdRng) -> Self {
        let mut matrix =
            |shape: [usize; 2]| random(rng, &shape).into_dimensionality::<Ix2>().unwrap();
        let (w, a) = (matrix([3, 2]), matrix([2, 3]) * 0.3);
        let mut vector = |n: usize| matrix([1, n]).row(0).to_owned();
        let (b, c, s) = (vector(3), vector(2), vector(2));
        Self {
            w,
            b,
            deviation: rng.random_range(0.5..1.5),
            a,
            c,
            s,
        }
    }

    /// σ² M⁻¹ is the covariance of the posterior, M = WᵀW + σ² I.
    pub fn m(&self) -> Array2<f64> {
        self.w.t().dot(&self.w) + Array2::<f64>::eye(2) * self.deviation.powi(2)
    }

    /// The mean of the posterior, M⁻¹ Wᵀ (x - b).
    pub fn posterior_mean(&self, x: &Array1<f64>) -> Array1<f64> {
        inverse(&self.m()).dot(&self.w.t().dot(&(x - &self.b)))
    }

    pub fn encode(&self, x: &Array1<f64>) -> Array1<f64> {
        self.a.dot(x) + &self.c
    }

    /// As a [`Vae`] without hidden layers. `learned`: with σ as a parameter.
    pub fn vae(&self, learned: bool, rng: &mut StdRng) -> (Vae, Parameters<f64>) {
        let likelihood = match learned {
            true => Likelihood::GaussianLearned,
            false => Likelihood::Gaussian {
                deviation: self.deviation,
            },
        };
        let architecture = Architecture {
            hidden: vec![],
            ..small(likelihood)
        };
        let (vae, mut p) = model(architecture, rng);
        // The log-variance does not depend on x.
        let weight = concatenate![Axis(0), self.a, Array2::zeros((2, 3))];
        p.set("encoder.0.weight", weight).unwrap();
        p.set("encoder.0.bias", concatenate![Axis(0), self.c, self.s])
            .unwrap();
        p.set("decoder.0.weight", self.w.clone()).unwrap();
        p.set("decoder.0.bias", self.b.clone()).unwrap();
        if learned {
            p.set("decoder.log_variance", arr0(2.0 * self.deviation.ln()))
                .unwrap();
        }
        (vae, p)
    }

    /// E_q log p(x|z) = -½ [D log 2πσ² + (‖x - Wm - b‖² + Σ_j ‖W_j‖² e^(s_j))/σ²].
    pub fn reconstruction(&self, x: &Array1<f64>) -> f64 {
        let error = x - &self.w.dot(&self.encode(x)) - &self.b;
        let spread: f64 = (0..2)
            .map(|j| square(&self.w.column(j).to_owned()) * self.s[j].exp())
            .sum();
        let variance = self.deviation.powi(2);
        -0.5 * (3.0 * (TAU * variance).ln() + (square(&error) + spread) / variance)
    }

    pub fn kl_to_prior(&self, x: &Array1<f64>) -> f64 {
        0.5 * (square(&self.encode(x)) + self.s.mapv(|s| s.exp() - 1.0 - s).sum())
    }

    /// KL(q ‖ p(z|x)) = ½ [tr P S + δᵀ P δ - 2 - log |P| - Σ s] for the posterior's precision P = M/σ².
    pub fn kl_to_posterior(&self, x: &Array1<f64>) -> f64 {
        let precision = self.m() / self.deviation.powi(2);
        let delta = self.encode(x) - self.posterior_mean(x);
        let trace: f64 = (0..2).map(|j| precision[[j, j]] * self.s[j].exp()).sum();
        let distance = delta.dot(&precision.dot(&delta));
        0.5 * (trace + distance - 2.0 - determinant(&precision).ln() - self.s.sum())
    }

    /// log N(x; b, W Wᵀ + σ² I), by the Cholesky factor L: Σ log L_ii and ‖L⁻¹ (x - b)‖².
    pub fn log_evidence(&self, x: &Array1<f64>) -> f64 {
        let covariance = self.w.dot(&self.w.t()) + Array2::<f64>::eye(3) * self.deviation.powi(2);
        let (mut l, mut y) = (Array2::<f64>::zeros((3, 3)), x - &self.b);
        for i in 0..3 {
            for j in 0..=i {
                let rest = covariance[[i, j]] - (0..j).map(|k| l[[i, k]] * l[[j, k]]).sum::<f64>();
                l[[i, j]] = if i == j {
                    rest.sqrt()
                } else {
                    rest / l[[j, j]]
                };
            }
            y[i] = (y[i] - (0..i).map(|k| l[[i, k]] * y[k]).sum::<f64>()) / l[[i, i]];
        }
        let log_determinant = 2.0 * l.diag().mapv(f64::ln).sum();
        -0.5 * (3.0 * TAU.ln() + log_determinant + square(&y))
    }
}

/// |v|².
pub fn square(v: &Array1<f64>) -> f64 {
    v.dot(v)
}
