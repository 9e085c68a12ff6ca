//! Likelihoods: a density of the data, read as a function of the parameters
//! ([notes](crate::background#likelihood-is-not-a-density)).

use std::f64::consts::TAU;

use ndarray::{Array1, ArrayView1, ArrayView2, Axis, Zip};

use super::error::{BadData, check_numbers};
use super::expectation::average;
use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::{
    DiagonalGaussian, ln_beta, standardised, stirling_of_factorial, weighed,
};

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
    /// The two terms may be large and nearly cancel. In their place stand the distances of k from nθ and of n - k from
    /// n(1-θ), and Stirling's formula for n!/k!(n-k)! (Loader, *Fast and accurate computation of binomial probabilities*,
    /// 2000).
    ///
    /// # Errors
    /// If θ is not in [0, 1].
    pub fn log_probability(&self, theta: f64) -> Result<f64, BadData> {
        let log_likelihood = self.log_likelihood(theta)?;
        let (k, rest) = (self.successes as f64, self.failures as f64);
        // One order only, or none that is possible.
        if k == 0.0 || rest == 0.0 || log_likelihood == f64::NEG_INFINITY {
            return Ok(log_likelihood);
        }
        let n = k + rest;
        let offset = (-n).mul_add(theta, k);
        let distance = deviance(k, n * theta, offset) + deviance(rest, n * (1.0 - theta), -offset);
        let [n_lacks, k_lacks, rest_lacks] = [n, k, rest].map(stirling_of_factorial);
        let log_width = 0.5 * (TAU.ln() + k.ln() + (rest / n).ln());
        Ok(n_lacks - k_lacks - rest_lacks - distance - log_width)
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

/// x log(x/m) - (x - m) for x, m > 0, never negative, from the offset x - m.
fn deviance(x: f64, m: f64, offset: f64) -> f64 {
    let v = offset / (x + m);
    if v.abs() > 0.1 {
        return match x / m {
            f64::INFINITY => x * (x.ln() - m.ln()) - offset,
            ratio => x * ratio.ln() - offset,
        };
    }
    // log(x/m) = 2 artanh v = 2 (v + v³/3 + v⁵/5 + …), and 2xv - (x - m) = (x - m) v.
    let series = (1..10)
        .rev()
        .fold(0.0, |sum, i| (sum + 1.0 / f64::from(2 * i + 1)) * v * v);
    offset * v + 2.0 * x * v * series
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
/// No difference or deviation is squared before it is divided by e^(s/2): where the result is a number, so is what is returned.
/// Where it is beyond f64, ∞ is.
///
/// # Panics
/// If the shapes do not fit.
pub fn gaussian_score(
    data: ArrayView2<'_, f64>,
    mean: ArrayView1<'_, f64>,
    log_variance: ArrayView1<'_, f64>,
) -> (Array1<f64>, Array1<f64>) {
    let offset = &data - &mean;
    let by_deviation = |x: &f64, s: &f64| standardised(*x, *s);
    let standard = Zip::from(&offset)
        .and_broadcast(log_variance)
        .map_collect(by_deviation);
    let log_variance_bar = (&standard * &standard - 1.0).sum_axis(Axis(0)) * 0.5;
    // The offsets are added first: their multiples by e^-s may be ∞ and -∞.
    let mean_bar = Zip::from(&offset.sum_axis(Axis(0)))
        .and_broadcast(log_variance)
        .map_collect(|x, s| standardised(standardised(*x, *s), *s));
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
    if data.nrows() == 0 {
        return Err(BadData::Empty { what: "data" });
    }
    // The rounded mean of equal numbers may differ from them.
    let equal = |column: ArrayView1<f64>| column.iter().all(|x| *x == column[0]);
    if let Some(dimension) = data.columns().into_iter().position(equal) {
        return Err(BadData::Unbounded { dimension });
    }
    let moments: Vec<[f64; 2]> = data.columns().into_iter().map(moments).collect();
    let of = |i: usize| moments.iter().map(|m| m[i]).collect();
    Ok((of(0), of(1)))
}

/// The average of numbers that are not all equal, and the logarithm of their average squared distance from it.
fn moments(data: ArrayView1<'_, f64>) -> [f64; 2] {
    let unit = unit(largest(data));
    let in_units = &data / unit;
    let mean = average(&in_units.to_vec());
    // In units of the largest distance: its square may be beyond f64, or round to 0.
    let offset = in_units - mean;
    let scale = largest(offset.view());
    let variance = (offset / scale)
        .mapv(|x| x * x)
        .mean()
        .expect("there are data");
    [mean * unit, 2.0 * (scale.ln() + unit.ln()) + variance.ln()]
}

/// 1, or for numbers near an end of f64 a power of 2, by which they can be divided without rounding: so that neither their
/// differences nor the digits of their mean are lost.
fn unit(largest: f64) -> f64 {
    match largest {
        1e150.. => 2f64.powi(600),
        1e-150.. => 1.0,
        _ => 2f64.powi(-600),
    }
}

fn largest(numbers: ArrayView1<'_, f64>) -> f64 {
    numbers.fold(0.0, |most: f64, x| most.max(x.abs()))
}
