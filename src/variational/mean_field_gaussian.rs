//! Mean field on a Gaussian: coordinate ascent, and how fast it is.

use std::fmt;

use ndarray::{Array1, Array2};

use crate::autodiff::{NotPositiveDefinite, Tape};
use crate::distributions::{asymmetric_entry, total_correlation};

/// A Gaussian target by its mean μ and precision Λ = Σ⁻¹, which the product Π_j N(z_j; m_j, 1/Λ_jj) approximates.
///
/// ```
/// use elbo::variational::GaussianTarget;
/// use ndarray::{arr1, arr2};
///
/// let target = GaussianTarget::new(arr1(&[1.0, -1.0]), arr2(&[[2.0, 1.0], [1.0, 2.0]]))?;
/// let mut m = arr1(&[0.0, 0.0]);
/// for _ in 0..20 {
///     target.sweep(&mut m, &[0, 1]);
/// }
/// assert!((m[0] - 1.0).abs() < 1e-10); // the means are found, at ρ² = ¼ of the error a sweep
/// assert!((target.rate(&[0, 1]) - 0.25).abs() < 1e-12);
/// assert_eq!(target.variances(), arr1(&[0.5, 0.5])); // not 2/3, the variance of the marginals
/// # Ok::<(), elbo::variational::GaussianTargetError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianTarget {
    mean: Array1<f64>,
    precision: Array2<f64>,
    least_divergence: f64,
}

/// Why a mean and a precision are no Gaussian.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum GaussianTargetError {
    /// The mean has an entry that is NaN or infinite.
    Mean {
        /// The entry.
        index: usize,
        /// What stands there.
        found: f64,
    },
    /// The precision is not symmetric, to half of its digits.
    NotSymmetric {
        /// Row and column.
        index: [usize; 2],
        /// The two entries.
        found: [f64; 2],
    },
    /// The precision is singular, indefinite, or has an entry that is NaN or infinite.
    NotPositiveDefinite(NotPositiveDefinite),
}

impl fmt::Display for GaussianTargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean { index, found } => write!(
                f,
                "mean: expected a number, found {found} at {index}: correct the mean"
            ),
            Self::NotSymmetric {
                index: [i, j],
                found: [upper, lower],
            } => write!(
                f,
                "precision: expected a symmetric matrix, found {upper} at [{i}, {j}] and {lower} at [{j}, {i}]: pass \
                 ½(Λ + Λᵀ) if they should agree"
            ),
            Self::NotPositiveDefinite(cause) => write!(f, "precision: {cause}"),
        }
    }
}

impl std::error::Error for GaussianTargetError {}

/// What coordinate ascent went through.
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianAscent {
    /// m, at the start and after each sweep.
    pub means: Vec<Array1<f64>>,
    /// KL(q‖p) in nats, likewise; it never rises.
    pub divergences: Vec<f64>,
}

impl GaussianTarget {
    /// N(μ, Λ⁻¹).
    ///
    /// # Errors
    /// If μ is not finite, or Λ is not symmetric and positive definite.
    ///
    /// # Panics
    /// If Λ is not square or does not have the length of μ, or that is 0.
    pub fn new(mean: Array1<f64>, precision: Array2<f64>) -> Result<Self, GaussianTargetError> {
        let d = mean.len();
        assert!(
            precision.shape() == [d, d] && d > 0,
            "gaussian target: mean of shape {:?} and precision of shape {:?} do not fit",
            mean.shape(),
            precision.shape()
        );
        if let Some((index, &found)) = mean.indexed_iter().find(|(_, m)| !m.is_finite()) {
            return Err(GaussianTargetError::Mean { index, found });
        }
        check_symmetric(&precision)?;
        let tape = Tape::new();
        let factor = tape
            .constant(precision.view())
            .cholesky()
            .map_err(GaussianTargetError::NotPositiveDefinite)?;
        Ok(Self {
            mean,
            precision,
            least_divergence: total_correlation(factor).item(),
        })
    }

    /// The number of dimensions.
    pub fn dimensions(&self) -> usize {
        self.mean.len()
    }

    /// 1/Λ_jj: the variance of each factor, whatever the means are. It is the target's variance of z_j *given* all others, and at
    /// most that of z_j.
    pub fn variances(&self) -> Array1<f64> {
        self.precision.diag().mapv(f64::recip)
    }

    /// m_j ← μ_j - Λ_jj⁻¹ Σ_(k≠j) Λ_jk (m_k - μ_k), the best mean of factor j, given the others.
    ///
    /// # Panics
    /// If m has another length, or there is no dimension j.
    pub fn update(&self, m: &mut Array1<f64>, j: usize) {
        self.check_length(m);
        let row = self.precision.row(j);
        let from_others: f64 = (0..m.len())
            .filter(|&k| k != j)
            .map(|k| row[k] * (m[k] - self.mean[k]))
            .sum();
        m[j] = self.mean[j] - from_others / row[j];
    }

    /// One sweep: an update of every mean, in the given order.
    ///
    /// # Panics
    /// If m has another length, or `order` does not name every dimension once.
    pub fn sweep(&self, m: &mut Array1<f64>, order: &[usize]) {
        self.check_order(order);
        order.iter().for_each(|&j| self.update(m, j));
    }

    /// Some sweeps from a start.
    ///
    /// # Panics
    /// As [`sweep`](Self::sweep).
    pub fn ascend(&self, start: &Array1<f64>, order: &[usize], sweeps: usize) -> GaussianAscent {
        let mut means = vec![start.clone()];
        for _ in 0..sweeps {
            let mut m = means[means.len() - 1].clone();
            self.sweep(&mut m, order);
            means.push(m);
        }
        let divergences = means.iter().map(|m| self.divergence(m)).collect();
        GaussianAscent { means, divergences }
    }

    /// KL(q‖p) for q = Π_j N(m_j, 1/Λ_jj), in nats: ½ [(m - μ)ᵀΛ(m - μ) + Σ_j log Λ_jj - log |Λ|].
    ///
    /// # Panics
    /// If m has another length.
    pub fn divergence(&self, m: &Array1<f64>) -> f64 {
        self.check_length(m);
        let error = m - &self.mean;
        0.5 * error.dot(&self.precision.dot(&error)) + self.least_divergence()
    }

    /// KL(q‖p) at m = μ, ½ [Σ_j log Λ_jj - log |Λ|], in nats: what the independence of the factors costs.
    pub fn least_divergence(&self) -> f64 {
        self.least_divergence
    }

    /// G of one sweep, m - μ → G (m - μ): the matrix of the Gauss–Seidel method for Λ(m - μ) = 0, with its equations taken in the given
    /// order. (D + A) G = -B, where D is the diagonal of Λ, A what stands before j in the order, B what stands behind.
    ///
    /// # Panics
    /// If `order` does not name every dimension once.
    pub fn error_map(&self, order: &[usize]) -> Array2<f64> {
        self.check_order(order);
        let mut map = Array2::zeros(self.precision.raw_dim());
        for (position, &j) in order.iter().enumerate() {
            let (before, behind) = (&order[..position], &order[position + 1..]);
            let mut row = Array1::zeros(self.dimensions());
            for &k in before {
                row.scaled_add(-self.precision[[j, k]], &map.row(k));
            }
            for &k in behind {
                row[k] -= self.precision[[j, k]];
            }
            map.row_mut(j).assign(&(row / self.precision[[j, j]]));
        }
        map
    }

    /// The factor by which a sweep shrinks the error in the long run: the spectral radius of [`error_map`](Self::error_map), below 1. The
    /// divergence's excess over the least one shrinks by its square.
    ///
    /// # Panics
    /// If `order` does not name every dimension once.
    pub fn rate(&self, order: &[usize]) -> f64 {
        spectral_radius(self.error_map(order))
    }

    fn check_length(&self, m: &Array1<f64>) {
        assert_eq!(
            m.len(),
            self.dimensions(),
            "gaussian target: expected a mean of the target's length"
        );
    }

    fn check_order(&self, order: &[usize]) {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        assert!(
            sorted.into_iter().eq(0..self.dimensions()),
            "gaussian target: the order {order:?} does not name each of {} dimensions once",
            self.dimensions()
        );
    }
}

/// lim |Gⁿ|^(1/n) (Gelfand's formula), with n doubled by squaring: unlike a power iteration, it does not mind several
/// eigenvalues of the same magnitude, complex ones among them.
fn spectral_radius(mut g: Array2<f64>) -> f64 {
    let (mut log_radius, mut part) = (0.0, 1.0);
    // After 60 squarings |Gⁿ|^(1/n) is the limit to all digits.
    for _ in 0..60 {
        let norm = g.iter().fold(0.0, |m: f64, x| m.hypot(*x));
        if norm == 0.0 {
            return 0.0;
        }
        g /= norm;
        log_radius += part * norm.ln();
        g = g.dot(&g);
        part *= 0.5;
    }
    log_radius.exp()
}

fn check_symmetric(matrix: &Array2<f64>) -> Result<(), GaussianTargetError> {
    match asymmetric_entry(matrix.view(), f64::EPSILON) {
        None => Ok(()),
        Some([i, j]) => Err(GaussianTargetError::NotSymmetric {
            index: [j, i],
            found: [matrix[[j, i]], matrix[[i, j]]],
        }),
    }
}
