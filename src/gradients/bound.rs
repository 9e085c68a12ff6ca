//! Three expressions with the evidence lower bound as their mean, or its gradient ([notes](crate::gradients#sgvb-estimators)).

use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::DiagonalGaussian;
use crate::kl;

/// log p(x, z) - log q(z): estimator A of Kingma and Welling 2014 (eq. 6), of shape (…), for z sampled from q and its
/// log-joint of shape (…). Along the path of z its gradient is that of the bound plus noise of mean 0.
///
/// # Panics
/// If the shapes do not broadcast.
pub fn estimator_a<'t, T: Scalar>(
    q: &DiagonalGaussian<'t, T>,
    z: Var<'t, T>,
    log_joint: Var<'t, T>,
) -> Var<'t, T> {
    log_joint - q.log_density(z)
}

/// log p(x | z) - KL(q ‖ p(z)): estimator B of Kingma and Welling 2014 (eq. 7), of shape (…), with the divergence in closed
/// form, for the log-likelihood at a z sampled from q, of shape (…).
///
/// # Panics
/// If the shapes do not broadcast.
pub fn estimator_b<'t, T: Scalar>(
    q: &DiagonalGaussian<'t, T>,
    prior: &DiagonalGaussian<'t, T>,
    log_likelihood: Var<'t, T>,
) -> Var<'t, T> {
    log_likelihood - kl::gaussian_diagonal(q, prior)
}

/// log p(x, z) - log q(z) with q's own parameters stopped, so that they move the value through z alone (Roeder, Wu and
/// Duvenaud 2017; [notes](crate::gradients#sticking-the-landing)). Where q is the posterior, the gradient is 0 at every z.
///
/// The score of q that is left out has mean 0 here. Inside of anything but a mean (a logarithm of a mean of several
/// weights, say) it has not.
///
/// # Panics
/// If the shapes do not broadcast.
pub fn sticking_the_landing<'t, T: Scalar>(
    q: &DiagonalGaussian<'t, T>,
    z: Var<'t, T>,
    log_joint: Var<'t, T>,
) -> Var<'t, T> {
    let stopped = DiagonalGaussian {
        mean: q.mean.stop_gradient(),
        log_variance: q.log_variance.stop_gradient(),
    };
    log_joint - stopped.log_density(z)
}
