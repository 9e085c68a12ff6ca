//! The sparse autoencoder ([notes](crate::autoencoders#sparse)).

use super::{Autoencoder, Coding};
use crate::Scalar;
use crate::autodiff::Var;
use crate::nn::{Batch, Bound, Model, Objective, Step};

/// KL(ρ ‖ ρ̂) of two coins, ρ fixed, for every entry ρ̂ of `rates`, in nats.
///
/// ∞ where ρ̂ is 0 or 1 and ρ is not. The slope is (1-ρ)/(1-ρ̂) - ρ/ρ̂.
///
/// # Panics
/// If ρ is not between 0 and 1.
pub fn rate_divergence<T: Scalar>(rates: Var<'_, T>, target: f64) -> Var<'_, T> {
    assert!(
        0.0 < target && target < 1.0,
        "sparsity: expected a target between 0 and 1, found {target}"
    );
    let rho = T::of(target);
    rates.map(
        "kl-rate",
        move |rate| {
            // ρ φ(ρ̂/ρ) + (1-ρ) φ((1-ρ̂)/(1-ρ)) with φ(u) = u - 1 - log u: of the terms of KL as it is written, these keep
            // their digits where ρ̂ is near ρ.
            let (excess, others) = (rate - rho, T::one() - rho);
            let active = excess_over_log(excess / rho, rate / rho);
            let silent = excess_over_log(-excess / others, (T::one() - rate) / others);
            rho * active + others * silent
        },
        move |p| {
            let rate = p.input(0);
            p.cotangent
                * (rate.subtracted_from(T::one()).dividing(T::one() - rho) - rate.dividing(rho))
        },
    )
}

/// u - 1 - log u, from t = u - 1 and u: near 1 the first has the digits, near 0 the second.
fn excess_over_log<T: Scalar>(t: T, u: T) -> T {
    if t.abs() > T::of(0.02) {
        return t - u.ln();
    }
    // The series t²/2 - t³/3 + …, of which ten terms reach 1e-18 of the first.
    let term = |k: i32| T::of(1.0 / f64::from(k));
    let series = (2..12).rev().fold(T::zero(), |sum, k| term(k) - t * sum);
    t * t * series
}

/// Σ_j KL(ρ ‖ ρ̂_j) for activations h in (0, 1) of shape (n, units), with ρ̂_j the mean of unit j over the n data.
///
/// # Panics
/// If h is no matrix, or ρ is not between 0 and 1.
pub fn sparsity<T: Scalar>(activations: Var<'_, T>, target: f64) -> Var<'_, T> {
    assert!(
        activations.ndim() == 2,
        "sparsity: expected shape (data, units), found {:?}",
        activations.shape()
    );
    rate_divergence(activations.mean_axes(&[0]), target).sum()
}

/// An autoencoder whose units are to be active at a given mean rate (Ng, *Sparse autoencoder*, 2011).
#[derive(Clone, Debug)]
pub struct Sparse {
    autoencoder: Autoencoder,
    target: f64,
    weight: f64,
}

impl Sparse {
    /// From the networks, ρ and β. The code must have values in (0, 1): a sigmoid.
    ///
    /// # Panics
    /// If ρ is not between 0 and 1, β is negative, or the code is no sigmoid's.
    pub fn new(autoencoder: Autoencoder, target: f64, weight: f64) -> Self {
        assert!(
            0.0 < target && target < 1.0 && weight >= 0.0,
            "a sparse autoencoder needs a target between 0 and 1 and a weight from 0 up, found {target} and {weight}"
        );
        let activation = autoencoder.structure().code_activation;
        assert!(
            activation == crate::nn::Activation::Sigmoid,
            "a sparse autoencoder needs a code between 0 and 1, found the activation {activation}"
        );
        Self {
            autoencoder,
            target,
            weight,
        }
    }
}

impl Coding for Sparse {
    fn autoencoder(&self) -> &Autoencoder {
        &self.autoencoder
    }
}

impl<T: Scalar> Model<T> for Sparse {
    /// The error, the mean over the batch, and β Σ_j KL(ρ ‖ ρ̂_j) with the batch's rates.
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        _: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let x = batch.data;
        let code = self.autoencoder.encode(p, x);
        let error = self.autoencoder.error(p, code, x).mean();
        let penalty = sparsity(code, self.target);
        let loss = error + penalty * T::of(self.weight);
        Objective::new(loss, vec![("error", error), ("sparsity", penalty)])
    }
}
