//! When a latent goes unused ([notes](crate::vae#posterior-collapse)).

use std::fmt;

use ndarray::{Array1, ArrayView1, ArrayView2, Axis};

use super::eigen::Eigen;

/// The variance over data below which a unit counts as unused (Burda, Grosse and Salakhutdinov 2016).
pub const ACTIVE: f64 = 1e-2;

/// The second derivative of the mean log-evidence (and of the mean bound at its best q) of a linear model at W = 0, along the
/// unit vector that puts the eigenvector of λᵢ into one column of W: (λᵢ - σ²)/σ⁴, in nats per datum, for each λᵢ of S.
///
/// Total collapse, W = 0, is a strict local maximum if all are negative, and none if one is positive. In between, at σ² = λ₁,
/// it still is one, by terms of fourth order.
///
/// # Panics
/// If σ² is not a finite number above 0.
pub fn collapse_curvatures(spectrum: &Eigen, noise_variance: f64) -> Array1<f64> {
    assert!(
        noise_variance > 0.0 && noise_variance.is_finite(),
        "collapse_curvatures: expected a noise variance above 0, found {noise_variance}"
    );
    // Not by σ⁴, which may leave the range of f64.
    (&spectrum.values - noise_variance) / noise_variance / noise_variance
}

/// How much each unit of the latent is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// Var_x E[z_u|x] over the data (divided by N), of shape (d).
    pub variances: Array1<f64>,
    /// The variance from which on a unit counts as active, exclusive.
    pub threshold: f64,
}

/// Why there is no telling which units are active.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActivityError {
    /// There are no data.
    Empty,
    /// A mean is NaN or infinite.
    NotFinite {
        /// Which datum.
        datum: usize,
        /// Which unit.
        unit: usize,
        /// Its mean.
        found: f64,
    },
}

impl fmt::Display for ActivityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "expected the means of at least one datum, found none"),
            Self::NotFinite { datum, unit, found } => write!(
                f,
                "expected means that are finite, found {found} for unit {unit} of datum {datum}: did training diverge?"
            ),
        }
    }
}

impl std::error::Error for ActivityError {}

impl Activity {
    /// From the encoder's means E[z|x], of shape (N, d), with the customary threshold [`ACTIVE`].
    ///
    /// ```
    /// use elbo::vae::Activity;
    /// use ndarray::arr2;
    ///
    /// let activity = Activity::of(arr2(&[[1.0, 0.01], [-1.0, 0.02]]).view())?;
    /// assert_eq!((activity.active(), activity.is_active(1)), (1, false));
    /// # Ok::<(), elbo::vae::ActivityError>(())
    /// ```
    ///
    /// # Errors
    /// If there are no data, or a mean is not finite.
    pub fn of(means: ArrayView2<'_, f64>) -> Result<Self, ActivityError> {
        if let Some(((datum, unit), &found)) = means.indexed_iter().find(|(_, m)| !m.is_finite()) {
            return Err(ActivityError::NotFinite { datum, unit, found });
        }
        if means.nrows() == 0 {
            return Err(ActivityError::Empty);
        }
        Ok(Self {
            variances: means.map_axis(Axis(0), variance),
            threshold: ACTIVE,
        })
    }

    /// Does unit u change with the data?
    ///
    /// # Panics
    /// If there is no such unit.
    pub fn is_active(&self, unit: usize) -> bool {
        self.variances[unit] > self.threshold
    }

    /// How many units do.
    pub fn active(&self) -> usize {
        (0..self.variances.len())
            .filter(|&unit| self.is_active(unit))
            .count()
    }
}

fn variance(x: ArrayView1<'_, f64>) -> f64 {
    // From the first on: the sum of the means themselves may overflow where they hardly differ.
    let offsets = x.mapv(|mean| mean - x[0]);
    let centre = offsets.sum() / x.len() as f64;
    let squares = offsets.mapv(|offset| (offset - centre).powi(2)).sum() / x.len() as f64;
    // ∞ - ∞, of means as far apart as the range of f64.
    if squares.is_nan() {
        return f64::INFINITY;
    }
    squares
}
