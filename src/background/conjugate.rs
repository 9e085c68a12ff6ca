//! Two priors whose posteriors stay in the family: Bayes' rule for a continuous cause, in closed form
//! ([notes](crate::background#bayes-rule)).

use std::f64::consts::TAU;

use super::error::{BadData, check_numbers};
use super::expectation::average;
use crate::distributions::{ln_beta, ln_beta_ratio, stirling_of_factorial, weighed};

/// With both parameters from here on, a beta density is computed by Stirling's formula, which is then exact.
const CONCENTRATED: f64 = 10.0;

/// θ (a + b) - a, from exact products: near the mean they cancel.
fn excess(theta: f64, a: f64, b: f64) -> f64 {
    let [of_a, of_b] = [a, b].map(|x| theta * x);
    let lost = theta.mul_add(a, -of_a) + theta.mul_add(b, -of_b);
    of_b + (of_a - a) + lost
}

/// log(1 + x) - x, exact near 0.
fn ln_1p_remainder(x: f64) -> f64 {
    // 2 artanh s with s = x/(2+x), less x = 2s/(1-s): -s x + 2 (s³/3 + s⁵/5 + …).
    let s = x / (2.0 + x);
    if s.abs() > 0.1 {
        return x.ln_1p() - x;
    }
    let square = s * s;
    let series = (0..9)
        .rev()
        .fold(0.0, |sum, k| sum * square + 2.0 / f64::from(2 * k + 3));
    s * (square * series - x)
}

/// Beta(a, b): a distribution of a success probability θ, with density θ^(a-1) (1-θ)^(b-1) / B(a, b).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beta {
    a: f64,
    b: f64,
}

impl Beta {
    /// Beta(a, b), for a, b > 0. Beta(1, 1) is uniform.
    ///
    /// # Errors
    /// If a or b is not a positive, finite number.
    pub fn new(a: f64, b: f64) -> Result<Self, BadData> {
        let positive = |x: f64| x > 0.0 && x.is_finite();
        check_numbers("Beta(a, b)", [a, b], "finite numbers above 0", positive)?;
        Ok(Self { a, b })
    }

    /// a.
    pub fn a(&self) -> f64 {
        self.a
    }

    /// b.
    pub fn b(&self) -> f64 {
        self.b
    }

    /// log of the density at θ, in nats; -∞ outside of [0, 1], and at 0 and 1 its limit there.
    ///
    /// # Panics
    /// If θ is NaN.
    pub fn log_density(&self, theta: f64) -> f64 {
        assert!(!theta.is_nan(), "log_density: expected a number, found NaN");
        if !(0.0..=1.0).contains(&theta) {
            return f64::NEG_INFINITY;
        }
        let Self { a, b } = *self;
        if a.min(b) < CONCENTRATED || theta == 0.0 || theta == 1.0 {
            return weighed(a - 1.0, theta.ln()) + weighed(b - 1.0, (-theta).ln_1p())
                - ln_beta(a, b);
        }
        // Relative to the density at the mean: the terms above are of the size of a + b, and cancel.
        let offset = excess(theta, a, b);
        let peak = 0.5 * (a / (a + b)).ln() + 0.5 * b.ln() - 0.5 * TAU.ln();
        let shape = a * ln_1p_remainder(offset / a) + b * ln_1p_remainder(-offset / b);
        let lacking =
            stirling_of_factorial(a) + stirling_of_factorial(b) - stirling_of_factorial(a + b);
        peak + shape - lacking - theta.ln() - (-theta).ln_1p()
    }

    /// E θ = a/(a+b): also the probability that the next trial succeeds.
    pub fn mean(&self) -> f64 {
        self.a / (self.a + self.b)
    }

    /// Var θ = ab / ((a+b)² (a+b+1)).
    pub fn variance(&self) -> f64 {
        let n = self.a + self.b;
        self.a / n * (self.b / n) / (n + 1.0)
    }

    /// The posterior after so many successes and failures, in any order: Beta(a+k, b+n-k).
    pub fn posterior(&self, successes: u64, failures: u64) -> Self {
        Self {
            a: self.a + successes as f64,
            b: self.b + failures as f64,
        }
    }

    /// log p(x) = log B(a+k, b+n-k) - log B(a, b) for one given order of the trials, in nats. For their number alone,
    /// whatever the order, add log (n choose k).
    pub fn log_evidence(&self, successes: u64, failures: u64) -> f64 {
        ln_beta_ratio(self.a, self.b, successes, failures)
    }
}

/// N(m, v) in one dimension, as a distribution of the unknown mean of measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnivariateGaussian {
    mean: f64,
    variance: f64,
}

impl UnivariateGaussian {
    /// N(m, v), by its variance v, not its deviation.
    ///
    /// # Errors
    /// If m is not finite, or v is not a positive, finite number.
    pub fn new(mean: f64, variance: f64) -> Result<Self, BadData> {
        check_numbers("mean", [mean], "a finite number", f64::is_finite)?;
        check_variance("variance", variance)?;
        Ok(Self { mean, variance })
    }

    /// m.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// v.
    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// log N(z; m, v) = -½ [log 2πv + (z-m)²/v], in nats.
    ///
    /// # Panics
    /// If z is NaN.
    pub fn log_density(&self, z: f64) -> f64 {
        assert!(!z.is_nan(), "log_density: expected a number, found NaN");
        -0.5 * (TAU.ln() + self.variance.ln() + (z - self.mean).powi(2) / self.variance)
    }

    /// The posterior of the mean μ after measurements xᵢ ~ N(μ, σ²): precisions add, 1/v' = 1/v + n/σ², and the mean is
    /// m' = v' (m/v + Σ xᵢ/σ²).
    ///
    /// # Errors
    /// If σ² is not a positive, finite number, a measurement is not finite, or v' is less than f64 can hold.
    pub fn posterior(&self, data: &[f64], noise_variance: f64) -> Result<Self, BadData> {
        let (n, average) = summary(data, noise_variance)?;
        if n == 0.0 {
            return Ok(*self);
        }
        // The shares of data and prior in the mean are 1/(1 + r) and r/(1 + r) with r = σ²/(n v).
        let ratio = noise_variance / self.variance / n;
        let (share, rest) = (1.0 / (1.0 + ratio), 1.0 / (1.0 + 1.0 / ratio));
        let variance = match ratio < 1.0 {
            true => noise_variance / n * share,
            false => self.variance * rest,
        };
        Self::new(rest * self.mean + share * average, variance)
    }

    /// log p(x₁, …, xₙ) = log N(x; m 1, σ² I + v 1 1ᵀ), in nats; 0 for no data.
    ///
    /// # Errors
    /// If σ² is not a positive, finite number, or a measurement is not finite.
    pub fn log_evidence(&self, data: &[f64], noise_variance: f64) -> Result<f64, BadData> {
        let (n, average) = summary(data, noise_variance)?;
        // Along 1 the variance is σ² + n v, in the n - 1 directions across it σ².
        let deviation = noise_variance.sqrt();
        let along = deviation.hypot(n.sqrt() * self.variance.sqrt());
        let across: f64 = data
            .iter()
            .map(|x| apart(*x, average, deviation).powi(2))
            .sum();
        let distance = across + weighed(n, apart(average, self.mean, along).powi(2));
        let log_determinant = n * noise_variance.ln() + self.log_ratio(n, noise_variance);
        Ok(-0.5 * (n * TAU.ln() + log_determinant + distance))
    }

    /// log (σ² + n v)/σ².
    fn log_ratio(&self, n: f64, noise_variance: f64) -> f64 {
        let ratio = weighed(n, self.variance / noise_variance);
        match ratio.is_finite() {
            true => ratio.ln_1p(),
            false => n.ln() + self.variance.ln() - noise_variance.ln(),
        }
    }
}

fn check_variance(what: &'static str, variance: f64) -> Result<(), BadData> {
    let positive = |v: f64| v > 0.0 && v.is_finite();
    check_numbers(what, [variance], "a finite number above 0", positive)
}

/// n, and the mean (0 for no data).
fn summary(data: &[f64], noise_variance: f64) -> Result<(f64, f64), BadData> {
    check_variance("noise variance", noise_variance)?;
    let numbers = data.iter().copied();
    check_numbers("data", numbers, "finite numbers", f64::is_finite)?;
    Ok((data.len() as f64, average(data)))
}

/// (x - y)/deviation, where x - y itself may be beyond f64.
fn apart(x: f64, y: f64, deviation: f64) -> f64 {
    2.0 * ((0.5 * x - 0.5 * y) / deviation)
}
