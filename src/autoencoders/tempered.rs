//! What a weight β of the KL term makes of the posterior and of the evidence ([notes](crate::autoencoders#beta-tempers)).

use super::ScalarTradeOff;
use crate::Scalar;
use crate::autodiff::Var;
use crate::elementary::ln_1p;

/// log q*(z) of q* ∝ p(z) p(x|z)^{1/β}, the q that maximises E log p(x|z) - β KL(q ‖ p), over a finite set of z along the last
/// axis: from log p(z) and log p(x|z) at each of them.
///
/// # Panics
/// If there is no axis, the shapes do not broadcast, or β is not a number greater than 0.
pub fn tempered_log_posterior<'t, T: Scalar>(
    log_prior: Var<'t, T>,
    log_likelihood: Var<'t, T>,
    beta: f64,
) -> Var<'t, T> {
    let logits = tempered(log_prior, log_likelihood, beta);
    logits.log_softmax(logits.ndim() - 1)
}

/// β log E_p p(x|z)^{1/β}, the maximum over q of E log p(x|z) - β KL(q ‖ p), in nats, over a finite set of z along the last
/// axis: log p(x) for β = 1, above it for smaller β and below it for greater ones.
///
/// # Panics
/// If there is no axis, the shapes do not broadcast, or β is not a number greater than 0.
pub fn tempered_evidence<'t, T: Scalar>(
    log_prior: Var<'t, T>,
    log_likelihood: Var<'t, T>,
    beta: f64,
) -> Var<'t, T> {
    let logits = tempered(log_prior, log_likelihood, beta);
    logits.logsumexp_axes(&[logits.ndim() - 1]) * T::of(beta)
}

/// log p(z) + log p(x|z)/β.
fn tempered<'t, T: Scalar>(
    log_prior: Var<'t, T>,
    log_likelihood: Var<'t, T>,
    beta: f64,
) -> Var<'t, T> {
    assert!(
        beta > 0.0 && beta.is_finite(),
        "expected a β greater than 0, found {beta}"
    );
    log_prior + log_likelihood / T::of(beta)
}

impl ScalarTradeOff {
    /// β log E_p p(x|z)^{1/β} of one datum x, in nats: -½ log 2πσ² - (β/2) log(1 + w²/βσ²) - βx²/2(w² + βσ²).
    pub fn tempered_evidence(&self, x: f64, beta: f64) -> f64 {
        let (signal, noise) = (self.weight * self.weight, beta * self.noise_variance);
        let scale = (std::f64::consts::TAU * self.noise_variance).ln();
        -0.5 * (scale + beta * ln_1p(signal / noise) + beta * x * x / (signal + noise))
    }
}
