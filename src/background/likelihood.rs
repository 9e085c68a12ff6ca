//! Likelihoods: a density of the data, read as a function of the parameters
//! ([notes](crate::background#likelihood-is-not-a-density)).

use ndarray::{Array1, ArrayView1, ArrayView2, Axis};

use super::error::{BadData, check_numbers};
use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::{DiagonalGaussian, ln_beta, weighed};

/// Trials that succeed with one unknown probability θ, independent of each other: k successes and n - k failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trials {
    /// k.
    pub successes: u64,
    /// n - k.
    pub failures: u64,
}

impl Trials {
    /// log L(θ) = k log θ + (n-k) log(1-θ), with 0 log 0 = 0: the log-probability of one given order of the trials, in
    /// nats. -∞ where θ makes them impossible.
    ///
    /// # Errors
    /// If θ is not in [0, 1].
    pub fn log_likelihood(&self, theta: f64) -> Result<f64, BadData> {
        check_probability(theta)?;
        let (k, rest) = (self.successes as f64, self.failures as f64);
        Ok(weighed(k, theta.ln()) + weighed(rest, (-theta).ln_1p()))
    }

    /// log p(k; θ) = log (n choose k) + log L(θ): the log-probability of k successes in any order, in nats. Over k these
    /// probabilities add up to 1; over θ they integrate to 1/(n+1).
    ///
    /// # Errors
    /// If θ is not in [0, 1].
    pub fn log_probability(&self, theta: f64) -> Result<f64, BadData> {
        let (k, rest) = (self.successes as f64, self.failures as f64);
        // (n choose k) = 1 / ((n+1) B(k+1, n-k+1)).
        let log_orders = -ln_beta(k + 1.0, rest + 1.0) - (k + rest).ln_1p();
        Ok(log_orders + self.log_likelihood(theta)?)
    }

    /// log ∫ L(θ) dθ = log B(k+1, n-k+1), over [0, 1]: not 0, unless there are no trials.
    pub fn log_area(&self) -> f64 {
        ln_beta(self.successes as f64 + 1.0, self.failures as f64 + 1.0)
    }

    /// The score ∂ log L / ∂θ = k/θ - (n-k)/(1-θ).
    ///
    /// # Errors
    /// If θ is not in [0, 1], or is an end of it at which the likelihood is 0.
    pub fn score(&self, theta: f64) -> Result<f64, BadData> {
        check_probability(theta)?;
        let (k, rest) = (self.successes as f64, self.failures as f64);
        let per = |count: f64, p: f64| if count == 0.0 { 0.0 } else { count / p };
        let score = per(k, theta) - per(rest, 1.0 - theta);
        check_numbers(
            "score",
            [score],
            "a θ at which the data are possible",
            f64::is_finite,
        )?;
        Ok(score)
    }

    /// The θ that maximises the likelihood, k/n.
    ///
    /// # Errors
    /// If there are no trials: every θ is as good.
    pub fn maximum_likelihood(&self) -> Result<f64, BadData> {
        match self.successes + self.failures {
            0 => Err(BadData::Empty { what: "trials" }),
            n => Ok(self.successes as f64 / n as f64),
        }
    }
}

fn check_probability(theta: f64) -> Result<(), BadData> {
    check_numbers("θ", [theta], "a probability", |p| (0.0..=1.0).contains(&p))
}

/// log L(μ, s) = Σᵢ log N(xᵢ; μ, diag e^s) of data of shape (n, d), in nats, of shape []: a function of the mean and
/// the log-variance. 0 for no data.
///
/// # Panics
/// If the shapes do not broadcast.
pub fn gaussian_log_likelihood<'t, T: Scalar>(
    data: Var<'t, T>,
    parameters: &DiagonalGaussian<'t, T>,
) -> Var<'t, T> {
    parameters.log_density(data).sum()
}

/// The score of the Gaussian likelihood, ∂μ = Σᵢ (xᵢ-μ) e^-s and ∂s = ½ Σᵢ [(xᵢ-μ)² e^-s - 1], for data of shape (n, d).
///
/// # Panics
/// If the shapes do not fit.
pub fn gaussian_score(
    data: ArrayView2<'_, f64>,
    mean: ArrayView1<'_, f64>,
    log_variance: ArrayView1<'_, f64>,
) -> (Array1<f64>, Array1<f64>) {
    let offset = &data - &mean;
    let precision = log_variance.mapv(|s| (-s).exp());
    let mean_bar = (&offset * &precision).sum_axis(Axis(0));
    let log_variance_bar = (&offset * &offset * &precision - 1.0).sum_axis(Axis(0)) * 0.5;
    (mean_bar, log_variance_bar)
}

/// The mean and the log-variance, of shape (d), that maximise the Gaussian likelihood of data of shape (n, d): the
/// average of the data, and the average of its squared distance, with 1/n and not 1/(n-1).
///
/// # Errors
/// If there are no data, an entry is not finite, or all data agree in a dimension: the likelihood then has no maximum.
pub fn gaussian_maximum_likelihood(
    data: ArrayView2<'_, f64>,
) -> Result<(Array1<f64>, Array1<f64>), BadData> {
    let numbers = data.iter().copied();
    check_numbers("data", numbers, "finite numbers", f64::is_finite)?;
    let mean = data
        .mean_axis(Axis(0))
        .ok_or(BadData::Empty { what: "data" })?;
    let offset = &data - &mean;
    let variance = (&offset * &offset).sum_axis(Axis(0)) / data.nrows() as f64;
    // The rounded mean of equal numbers may differ from them.
    let equal = |column: ArrayView1<f64>| column.iter().all(|x| *x == column[0]);
    let mut dimensions = data.columns().into_iter().zip(&variance);
    if let Some(dimension) = dimensions.position(|(column, v)| equal(column) || *v == 0.0) {
        return Err(BadData::Unbounded { dimension });
    }
    Ok((mean, variance.mapv(f64::ln)))
}
