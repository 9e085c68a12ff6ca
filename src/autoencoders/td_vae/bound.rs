//! The bound itself, from five log-densities, whoever computed them.

use crate::Scalar;
use crate::autodiff::Var;

/// The log-densities of two latents z₁ and z₂, drawn from q(z₁, z₂) = q(z₂) q(z₁|z₂), and of the observation at the later time,
/// in nats (Gregor et al. 2019, eq. 7; [notes](crate::autoencoders#td-vae-one-step)). All of one shape: (pairs), or one number for each
/// pair of states.
///
/// It does not matter where they come from: from networks ([`TdVae`](super::TdVae)), from the Kalman filter
/// ([`StateSpace`](crate::autoencoders::StateSpace)), or from tables.
#[derive(Clone, Copy, Debug)]
pub struct PairBound<'t, T: Scalar> {
    /// log p(x₂|z₂): the decoder.
    pub observation: Var<'t, T>,
    /// log p(z₁|x up to the earlier time): the belief.
    pub belief: Var<'t, T>,
    /// log p(z₂|z₁): the transition.
    pub transition: Var<'t, T>,
    /// log q(z₂): what is believed of the later state once x₂ is known.
    pub later: Var<'t, T>,
    /// log q(z₁|z₂): what is believed of the earlier state, looking back.
    pub earlier: Var<'t, T>,
}

impl<'t, T: Scalar> PairBound<'t, T> {
    /// log p(x₂|z₂) + log p(z₁) + log p(z₂|z₁) - log q(z₂) - log q(z₁|z₂). Its mean under q is the bound; the mean of its
    /// exponential, an importance weight, is p(x₂|x up to the earlier time) itself.
    pub fn value(&self) -> Var<'t, T> {
        self.observation + self.belief + self.transition - self.later - self.earlier
    }

    /// log q(z₁|z₂) - log p(z₁): the mean under q is how much more the later time says of the earlier state.
    pub fn smoothing(&self) -> Var<'t, T> {
        self.earlier - self.belief
    }

    /// log q(z₂) - log p(z₂|z₁): the mean under q is what the transition did not foresee.
    pub fn surprise(&self) -> Var<'t, T> {
        self.later - self.transition
    }
}
