//! A model whose latent takes finitely many values: evidence, bound and gap by summing over all of them.

use rand::Rng;

use super::LogWeights;
use super::log_tables::{between, log_tables};
use crate::Scalar;
use crate::autodiff::{Var, broadcast_shape};
use crate::background::{BadData, check_log_distribution, check_log_numbers};
use crate::distributions::noise::standard_uniform;
use crate::distributions::{Categorical, expectation, mask, possible};

/// The joint of a model at given observations, and an approximation of the posterior, as tables over the states of z.
///
/// Made of log-probabilities on a tape: every method returns an expression that can be differentiated with respect to what
/// either table was computed from. Zero probabilities are -∞. All results have the shape (…) and are in nats.
///
/// Where q has mass and the joint has none the gap is ∞ and the bound -∞, on every road, never NaN. An infinite value has no
/// gradient, and what the tape returns is none: it may be NaN, or finite.
///
/// ```
/// use elbo::autodiff::Tape;
/// use elbo::variational::Enumerated;
/// use ndarray::{arr1, arr2};
///
/// let tape = Tape::new();
/// // p(x, z) for one x that was seen, and three states of z.
/// let joint = tape.constant(arr1(&[0.06, 0.12, 0.02]).mapv(f64::ln));
/// let logits = tape.variable(arr1(&[0.0, 0.0, 0.0]));
/// let model = Enumerated::new(joint, logits.log_softmax(0))?;
/// assert!((model.evidence().item() - 0.2f64.ln()).abs() < 1e-15);
///
/// let elbo = model.elbo_from_jensen();
/// assert!((elbo.item() + model.gap().item() - model.evidence().item()).abs() < 1e-15);
/// // Uphill is towards the posterior (0.3, 0.6, 0.1).
/// let gradient = tape.gradients(elbo).wrt(logits);
/// assert!(gradient[1] > 0.0 && gradient[2] < 0.0);
/// # Ok::<(), elbo::background::BadData>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Enumerated<'t, T: Scalar> {
    log_joint: Var<'t, T>,
    log_q: Var<'t, T>,
}

impl<'t, T: Scalar> Enumerated<'t, T> {
    /// log p(x, z) and log q(z|x), of shapes (…, K) that broadcast: the last axis is z, which several latents share if their
    /// axes are flattened into one. The joint is for the x that was observed, and so does not add up to 1 over z.
    ///
    /// # Errors
    /// If an entry is NaN or +∞, if there is no state, if q does not add up to 1, or if no z can have caused an x.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    pub fn new(log_joint: Var<'t, T>, log_q: Var<'t, T>) -> Result<Self, BadData> {
        check_log_numbers("joint", &log_joint.value())?;
        check_log_distribution("q", &log_q.value())?;
        let evidence = log_joint.stop_gradient().logsumexp_axes(&[last(log_joint)]);
        let impossible = |log_p: &T| *log_p == T::neg_infinity();
        if let Some(row) = evidence.value().iter().position(impossible) {
            return Err(BadData::Impossible { row });
        }
        let shape = broadcast_shape("enumerated", &log_joint.shape(), &log_q.shape());
        Ok(Self {
            log_joint: log_joint.broadcast_to(&shape),
            log_q: log_q.broadcast_to(&shape),
        })
    }

    /// log p(x) = log Σ_z p(x, z).
    pub fn evidence(&self) -> Var<'t, T> {
        self.log_joint.logsumexp_axes(&[last(self.log_joint)])
    }

    /// log p(z|x) = log p(x, z) - log p(x), of shape (…, K).
    pub fn log_posterior(&self) -> Var<'t, T> {
        self.log_joint - self.log_joint.logsumexp_axes_keep(&[last(self.log_joint)])
    }

    /// log w = log p(x, z) - log q(z|x), of shape (…, K). Where q is 0 no draw lands, and 0 stands there.
    pub fn log_weights(&self) -> Var<'t, T> {
        let possible = possible(self.log_q);
        self.log_joint.keep_where(&possible) - self.log_q.keep_where(&possible)
    }

    /// The gap, KL(q‖p(z|x)): how far the bound lies below the evidence.
    pub fn gap(&self) -> Var<'t, T> {
        between(self.log_q, self.log_posterior())
    }

    /// log p(x) - KL(q‖p(z|x)): the first road, which needs the posterior.
    pub fn elbo_from_kl(&self) -> Var<'t, T> {
        self.evidence() - self.gap()
    }

    /// E_q log w: the second road, Jensen's inequality. It needs neither evidence nor posterior.
    ///
    /// -∞ if q has mass where the joint is 0.
    pub fn elbo_from_jensen(&self) -> Var<'t, T> {
        expectation(self.log_q, self.log_weights())
    }

    /// log E_q w - (log E_q w - E_q log w): the third road, what the logarithm loses on weights whose mean is exact.
    pub fn elbo_from_importance_weights(&self) -> Var<'t, T> {
        self.log_expected_weight() - self.jensen_gap()
    }

    /// log E_q w = log Σ_{q > 0} p(x, z). This is log p(x) if q is positive wherever the posterior is, and smaller otherwise.
    pub fn log_expected_weight(&self) -> Var<'t, T> {
        let nothing = self.log_q.tape().scalar(T::neg_infinity());
        let covered = self.log_joint.select(&possible(self.log_q), nothing);
        covered.logsumexp_axes(&[last(covered)])
    }

    /// log E_q w - E_q log w >= 0. Equal to the gap if q is positive wherever the posterior is, and smaller otherwise.
    pub fn jensen_gap(&self) -> Var<'t, T> {
        let mean = self.log_expected_weight().unsqueeze(last(self.log_q));
        // Where q misses the joint altogether the mean is 0; log w is -∞ already.
        let finite = mask(&mean.value(), T::is_finite);
        -expectation(self.log_q, self.log_weights() - mean.keep_where(&finite))
    }

    /// log w of `draws` independent z ~ q, for one observation.
    ///
    /// # Panics
    /// If there are several observations, or no draw.
    pub fn draw(&self, draws: usize, rng: &mut impl Rng) -> LogWeights {
        let shape = self.log_q.shape();
        let observations: usize = shape[..shape.len() - 1].iter().product();
        assert_eq!(
            observations, 1,
            "draw: expected one observation, found shape {shape:?}"
        );
        let tape = self.log_q.tape();
        let logits = self
            .log_q
            .flatten()
            .broadcast_to(&[draws, self.log_q.size()]);
        let z = Categorical { logits }.sample(standard_uniform(tape, &[draws, 1], rng));
        let log_w = self.log_weights().value();
        let states = z.value();
        let chosen = states.rows().into_iter().map(|one_hot| {
            let drawn = one_hot.iter().position(|&chosen| chosen == T::one());
            let state = drawn.expect("one state is drawn");
            log_w
                .iter()
                .nth(state)
                .expect("a state of the table")
                .as_f64()
        });
        LogWeights::new(chosen.collect())
    }
}

/// E_q log p(x|z) - KL(q‖p(z)): the bound in the form in which it is trained. The likelihood is added, the divergence from the
/// *prior* subtracted. Log-tables of shapes (…, K) that broadcast; the result has the shape (…).
///
/// # Errors
/// If an entry is NaN, +∞ in a probability, if there is no state, or if prior or q do not add up to 1. (The likelihood need
/// not, and may be above 1 where it is a density.)
///
/// # Panics
/// If the shapes do not broadcast.
pub fn elbo_from_prior<'t, T: Scalar>(
    log_likelihood: Var<'t, T>,
    log_prior: Var<'t, T>,
    log_q: Var<'t, T>,
) -> Result<Var<'t, T>, BadData> {
    check_log_numbers("likelihood", &log_likelihood.value())?;
    let kl = log_tables(log_q, log_prior)?;
    let shape = broadcast_shape("elbo", &log_likelihood.shape(), &log_q.shape());
    let log_q = log_q.broadcast_to(&shape);
    Ok(expectation(log_q, log_likelihood.broadcast_to(&shape)) - kl)
}

/// The axis of z.
fn last<T: Scalar>(table: Var<'_, T>) -> usize {
    table.ndim() - 1
}
