//! Bayes' rule for a cause z with finitely many values ([notes](crate::background#bayes-rule)).

use ndarray::{Array1, ArrayView1};

use super::error::{
    BadData, check_distribution, check_log_distribution, check_log_numbers, check_numbers,
};
use crate::Scalar;
use crate::autodiff::Var;

/// p(z|x) = p(x|z) p(z) / p(x) and p(x) = Σ_z p(x|z) p(z), in probabilities, for one observation x.
///
/// `prior` holds p(z) and `likelihood` p(x|z), both of shape (K); a likelihood may be a density, and be larger than 1.
/// Products of many small factors underflow here: [`posterior`] computes with logarithms.
///
/// ```
/// use elbo::background::bayes;
/// use ndarray::arr1;
///
/// // One in a hundred is ill; the test finds 95 % of them, and 10 % of the others.
/// let (posterior, evidence) = bayes(arr1(&[0.01, 0.99]).view(), arr1(&[0.95, 0.10]).view())?;
/// assert!((evidence - 0.1085).abs() < 1e-15);
/// assert!((posterior[0] - 0.0095 / 0.1085).abs() < 1e-15); // 8.8 %
/// # Ok::<(), elbo::background::BadData>(())
/// ```
///
/// # Errors
/// If the prior is no distribution, a likelihood is negative or not finite, x is impossible, or all products underflow.
///
/// # Panics
/// If the shapes differ.
pub fn bayes(
    prior: ArrayView1<'_, f64>,
    likelihood: ArrayView1<'_, f64>,
) -> Result<(Array1<f64>, f64), BadData> {
    assert!(
        prior.len() == likelihood.len(),
        "bayes: shapes {:?} (prior) and {:?} (likelihood) do not fit",
        prior.shape(),
        likelihood.shape()
    );
    check_distribution("prior", &prior.to_vec())?;
    let finite = |p: f64| p >= 0.0 && p.is_finite();
    let numbers = likelihood.iter().copied();
    check_numbers("likelihood", numbers, "finite numbers from 0 up", finite)?;
    let joint = &prior * &likelihood;
    let evidence = joint.sum();
    if evidence == 0.0 {
        let mut pairs = prior.iter().zip(&likelihood);
        let possible = pairs.any(|(prior, likelihood)| *prior > 0.0 && *likelihood > 0.0);
        return Err(match possible {
            true => BadData::Underflow,
            false => BadData::Impossible { row: 0 },
        });
    }
    Ok((joint / evidence, evidence))
}

/// What [`posterior`] finds.
#[derive(Clone, Copy, Debug)]
pub struct Posterior<'t, T: Scalar> {
    /// log p(z|x), of shape (…, K).
    pub log_posterior: Var<'t, T>,
    /// log p(x), of shape (…), in nats.
    pub log_evidence: Var<'t, T>,
}

/// Bayes' rule in log space: log p(z|x) = log p(x|z) + log p(z) - log p(x) with log p(x) = log Σ_z exp(log p(x|z) + log
/// p(z)).
///
/// `log_prior`, of shape (…, K), and `log_likelihood`, of shape (…, K), broadcast: a row for each observation. -∞ is a
/// probability of 0. The gradient of log p(x) with respect to the log-joint is the posterior.
///
/// # Errors
/// If the prior's probabilities do not add up to 1 (to half of the digits), a log-likelihood is NaN or ∞, there is no
/// observation or no value of z, or an observation is impossible.
///
/// # Panics
/// If the shapes do not broadcast, or the prior's last axis is not that of z.
pub fn posterior<'t, T: Scalar>(
    log_prior: Var<'t, T>,
    log_likelihood: Var<'t, T>,
) -> Result<Posterior<'t, T>, BadData> {
    let log_joint = log_prior + log_likelihood;
    let (prior, joint) = (log_prior.shape(), log_joint.shape());
    assert!(
        prior.last().is_some() && prior.last() == joint.last(),
        "posterior: shapes {prior:?} (prior) and {:?} (likelihood) do not fit: the last axis is that of z",
        log_likelihood.shape()
    );
    let z = joint.len() - 1;
    if log_joint.size() == 0 {
        return Err(BadData::Empty { what: "log-joint" });
    }
    check_log_distribution("log-prior", &log_prior.value())?;
    check_log_numbers("log-likelihood", &log_likelihood.value())?;

    let log_evidence = log_joint.logsumexp_axes(&[z]);
    let value = log_evidence.value();
    if let Some(row) = value.iter().position(|e| *e == T::neg_infinity()) {
        return Err(BadData::Impossible { row });
    }
    // The difference log_joint - log_evidence, with the digits of the log-joint that all z share taken away first.
    let log_posterior = log_joint.log_softmax(z);
    Ok(Posterior {
        log_posterior,
        log_evidence,
    })
}
