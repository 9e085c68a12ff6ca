//! Mixtures of Gaussians on the line: a target with several modes, and how many the reverse fit sees.

use std::f64::consts::TAU;
use std::fmt;

use ndarray::{Array1, arr1};

use super::fit::{Fit, FitError, FitOptions, Shape, reverse_fit};
use crate::autodiff::Var;
use crate::distributions::Moments;

/// Σ_k w_k N(m_k, σ_k²) on the line: a target for fits ([`variational::GaussianMixture`](crate::variational::GaussianMixture) is the one that
/// EM fits to data).
#[derive(Clone, Debug, PartialEq)]
pub struct UnivariateMixture {
    weights: Array1<f64>,
    means: Array1<f64>,
    deviations: Array1<f64>,
}

/// Why numbers make no mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UnivariateMixtureError {
    /// There is no component.
    Empty,
    /// A weight is negative, NaN or infinite.
    Weight(f64),
    /// The weights do not sum to 1.
    Total(f64),
    /// A mean is NaN or infinite.
    Mean(f64),
    /// A deviation is not a positive number.
    Deviation(f64),
}

impl fmt::Display for UnivariateMixtureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "expected at least one component, found none"),
            Self::Weight(w) => write!(f, "expected weights that are not negative, found {w:e}"),
            Self::Total(total) => write!(
                f,
                "expected weights that sum to 1, found the sum {total}; divide them by it"
            ),
            Self::Mean(m) => write!(f, "expected finite means, found {m:e}"),
            Self::Deviation(s) => write!(f, "expected positive deviations, found {s:e}"),
        }
    }
}

impl std::error::Error for UnivariateMixtureError {}

impl UnivariateMixture {
    /// A mixture of these components; one of weight 0 is allowed, and counts for nothing.
    ///
    /// # Errors
    /// If there is none, a weight is negative, the weights do not sum to 1 (to 10⁻⁸), or a deviation is not positive.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn new(
        weights: &[f64],
        means: &[f64],
        deviations: &[f64],
    ) -> Result<Self, UnivariateMixtureError> {
        assert!(
            weights.len() == means.len() && means.len() == deviations.len(),
            "mixture: lengths {} (weights), {} (means) and {} (deviations) do not fit",
            weights.len(),
            means.len(),
            deviations.len()
        );
        if weights.is_empty() {
            return Err(UnivariateMixtureError::Empty);
        }
        let find =
            |numbers: &[f64], bad: fn(f64) -> bool| numbers.iter().copied().find(|&x| bad(x));
        if let Some(w) = find(weights, |w| !(w >= 0.0 && w.is_finite())) {
            return Err(UnivariateMixtureError::Weight(w));
        }
        if let Some(m) = find(means, |m| !m.is_finite()) {
            return Err(UnivariateMixtureError::Mean(m));
        }
        if let Some(s) = find(deviations, |s| !(s > 0.0 && s.is_finite())) {
            return Err(UnivariateMixtureError::Deviation(s));
        }
        let total: f64 = weights.iter().sum();
        if (total - 1.0).abs() > super::nodes::TOTAL {
            return Err(UnivariateMixtureError::Total(total));
        }
        Ok(Self {
            weights: arr1(weights),
            means: arr1(means),
            deviations: arr1(deviations),
        })
    }

    /// Two components of deviation 1: one of this weight at 0, the other at `separation`.
    ///
    /// # Errors
    /// If the weight is not between 0 and 1, or the separation is not finite.
    pub fn pair(weight: f64, separation: f64) -> Result<Self, UnivariateMixtureError> {
        Self::new(&[weight, 1.0 - weight], &[0.0, separation], &[1.0, 1.0])
    }

    /// w, of shape (K), of sum 1.
    pub fn weights(&self) -> &Array1<f64> {
        &self.weights
    }

    /// m, of shape (K).
    pub fn means(&self) -> &Array1<f64> {
        &self.means
    }

    /// σ, of shape (K): deviations, not variances.
    ///
    /// ```
    /// use elbo::kl::UnivariateMixture;
    ///
    /// let mixture = UnivariateMixture::pair(0.75, 4.0)?;
    /// assert_eq!(mixture.weights().to_vec(), [0.75, 0.25]);
    /// assert_eq!(mixture.means().to_vec(), [0.0, 4.0]);
    /// assert_eq!(mixture.deviations().to_vec(), [1.0, 1.0]);
    /// # Ok::<(), elbo::kl::UnivariateMixtureError>(())
    /// ```
    pub fn deviations(&self) -> &Array1<f64> {
        &self.deviations
    }

    /// Σ w_k m_k.
    pub fn mean(&self) -> f64 {
        self.weights.dot(&self.means)
    }

    /// Σ w_k (σ_k² + (m_k - m)²): the mean variance and the variance of the means.
    pub fn variance(&self) -> f64 {
        let centred = &self.means - self.mean();
        let second = &self.deviations * &self.deviations + &centred * &centred;
        self.weights.dot(&second)
    }

    /// log Σ_k w_k N(x; m_k, σ_k²), for x of shape (n, 1), of shape (n).
    ///
    /// # Panics
    /// If x has another shape.
    pub fn log_density<'t>(&self, x: Var<'t, f64>) -> Var<'t, f64> {
        let shape = x.shape();
        assert!(
            shape.len() == 2 && shape[1] == 1,
            "mixture: expected points of shape [n, 1], found {shape:?}"
        );
        let tape = x.tape();
        // What does not depend on x; a weight of 0 gives -∞, which the sum of exponentials passes over.
        let offset = self.weights.mapv(f64::ln) - self.deviations.mapv(f64::ln) - 0.5 * TAU.ln();
        let standard =
            (x - tape.constant(self.means.clone())) / tape.constant(self.deviations.clone());
        (standard.square() * -0.5 + tape.constant(offset)).logsumexp_axes(&[1])
    }
}

/// The least separation of two components of deviation 1, the one of this weight at 0 and the other to its right, at which
/// the reverse fit has a minimum of its own at the first component; to `tolerance`.
///
/// From far apart, where there is one, the minimum is followed as the components approach, each fit the start of the next,
/// until it is gone (two stationary points have met: a fold). `None` if it never is: then it becomes the only minimum without
/// a jump, as it does for weights above about 0.742.
///
/// # Errors
/// If there is no such mixture, if the weight is 0, or if there is no fit where they are far apart.
pub fn separation_of_own_minimum(
    weight: f64,
    tolerance: f64,
) -> Result<Option<f64>, Box<dyn std::error::Error>> {
    // At 20 deviations the other component is as good as not there.
    const FAR: f64 = 20.0;
    const STRIDE: f64 = 2.0;
    // The minimum is about as narrow as its component: no more nodes are needed. A start that is near needs few steps.
    let effort = FitOptions {
        nodes: Some(401),
        iterations: 60,
        ..FitOptions::default()
    };
    let fit = |separation: f64, start: &Moments| -> Result<Fit, FitError> {
        let target = UnivariateMixture::pair(weight, separation).expect("checked below");
        reverse_fit(|x| target.log_density(x), Shape::Full, start, &effort)
    };
    UnivariateMixture::pair(weight, FAR)?;
    if weight == 0.0 {
        return Err(
            "expected a component with weight, found one of weight 0: it has no minimum".into(),
        );
    }
    let mut known = (FAR, fit(FAR, &Moments::isotropic(arr1(&[0.0]), 1.0))?.q);
    let mut stride = STRIDE;
    while stride > tolerance {
        let nearer = known.0 - stride;
        if nearer <= 0.0 {
            return Ok(None);
        }
        match fit(nearer, &known.1) {
            Ok(found) if found.minimum && continues(&known.1, &found.q) => {
                known = (nearer, found.q)
            }
            _ => stride *= 0.5,
        }
    }
    Ok(Some(known.0))
}

/// Is the second Gaussian the first a little further on, rather than another minimum?
fn continues(from: &Moments, to: &Moments) -> bool {
    let deviation = from.covariance[[0, 0]].sqrt();
    let moved = (to.mean[0] - from.mean[0]).abs() / deviation;
    let widened = (to.covariance[[0, 0]].sqrt() / deviation).ln().abs();
    moved < 0.25 && widened < 0.15
}
