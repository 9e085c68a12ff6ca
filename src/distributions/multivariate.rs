//! The Gaussian with any covariance.

use std::f64::consts::TAU;
use std::fmt;

use ndarray::{Array2, ArrayView2};
use rand::Rng;

use super::noise::standard_normal;
use crate::Scalar;
use crate::autodiff::{Mask, NotPositiveDefinite, Value, Var};

/// N(μ, Σ) with Σ = LLᵀ, by its mean μ and the lower triangular factor L. Nothing is ever inverted: L⁻¹ stands for a
/// triangular solve.
///
/// ```
/// use elbo::autodiff::Tape;
/// use elbo::distributions::MultivariateGaussian;
/// use ndarray::{arr1, arr2};
///
/// let tape = Tape::new();
/// let mean = tape.variable(arr1(&[1.0, -1.0]));
/// let covariance = tape.variable(arr2(&[[4.0, 2.0], [2.0, 10.0]]));
/// let gaussian = MultivariateGaussian::from_covariance(mean, covariance)?;
/// let at_mean: f64 = gaussian.log_density(mean).item();
/// assert!((at_mean + 0.5 * 36f64.ln() + std::f64::consts::TAU.ln()).abs() < 1e-14);
/// # Ok::<(), elbo::distributions::GaussianError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MultivariateGaussian<'t, T: Scalar> {
    mean: Var<'t, T>,
    factor: Var<'t, T>,
}

/// Why a matrix is not the covariance of a Gaussian with a density, or not the factor of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GaussianError {
    /// The covariance is singular or indefinite, or an entry is not finite.
    NotPositiveDefinite(NotPositiveDefinite),
    /// The covariance differs from its transpose by more than rounding.
    NotSymmetric {
        /// The row, from 0.
        row: usize,
        /// The column, from 0.
        column: usize,
        /// The entry there.
        entry: f64,
        /// The entry in the mirrored place.
        mirrored: f64,
    },
    /// The factor has an entry other than 0 above its diagonal.
    NotLowerTriangular {
        /// The row, from 0.
        row: usize,
        /// The column, from 0.
        column: usize,
        /// The entry there.
        entry: f64,
    },
    /// A diagonal entry of the factor is not a positive number.
    DiagonalNotPositive {
        /// Row and column, from 0.
        row: usize,
        /// The entry there.
        entry: f64,
    },
}

impl fmt::Display for GaussianError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPositiveDefinite(reason) => write!(f, "covariance: {reason}"),
            Self::NotSymmetric {
                row,
                column,
                entry,
                mirrored,
            } => write!(
                f,
                "covariance: expected a symmetric matrix, found {entry:e} at [{row}, {column}] and {mirrored:e} at \
                 [{column}, {row}]; take half of the sum with its transpose, if that is what is meant"
            ),
            Self::NotLowerTriangular { row, column, entry } => write!(
                f,
                "factor: expected zeros above the diagonal, found {entry:e} at [{row}, {column}]; transpose an upper \
                 factor, or take `lower_triangle`"
            ),
            Self::DiagonalNotPositive { row, entry } => write!(
                f,
                "factor: expected positive numbers on the diagonal, found {entry:e} at [{row}, {row}]; a factor with \
                 this row's sign turned has the same covariance, one with a 0 has no density"
            ),
        }
    }
}

impl std::error::Error for GaussianError {}

impl From<NotPositiveDefinite> for GaussianError {
    fn from(reason: NotPositiveDefinite) -> Self {
        Self::NotPositiveDefinite(reason)
    }
}

impl<'t, T: Scalar> MultivariateGaussian<'t, T> {
    /// N(μ, LLᵀ), for μ of shape (…, k) and L of shape (k, k), lower triangular with a positive diagonal.
    ///
    /// # Errors
    /// If L is not lower triangular, or its diagonal is not positive.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn from_factor(mean: Var<'t, T>, factor: Var<'t, T>) -> Result<Self, GaussianError> {
        check_shapes(&mean.shape(), &factor.shape());
        check_factor(&factor.value())?;
        Ok(Self { mean, factor })
    }

    /// N(μ, Σ), for μ of shape (…, k) and Σ of shape (k, k), symmetric and positive definite.
    ///
    /// # Errors
    /// If Σ is not symmetric (to half of its digits), or singular, indefinite or not finite.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn from_covariance(
        mean: Var<'t, T>,
        covariance: Var<'t, T>,
    ) -> Result<Self, GaussianError> {
        check_shapes(&mean.shape(), &covariance.shape());
        check_symmetric(&covariance.value())?;
        let factor = covariance.cholesky()?;
        Ok(Self { mean, factor })
    }

    /// μ, of shape (…, k).
    pub fn mean(&self) -> Var<'t, T> {
        self.mean
    }

    /// L, of shape (k, k): lower triangular, with a positive diagonal.
    pub fn factor(&self) -> Var<'t, T> {
        self.factor
    }

    /// k, the number of dimensions.
    pub fn dimensions(&self) -> usize {
        self.factor.shape()[0]
    }

    /// Σ = LLᵀ.
    pub fn covariance(&self) -> Var<'t, T> {
        self.factor.matmul(self.factor.t())
    }

    /// log |Σ| = 2 Σ_j log L_jj, of shape [].
    pub fn log_determinant(&self) -> Var<'t, T> {
        self.factor.diagonal().ln().sum() * T::of(2.0)
    }

    /// KL(N(μ, Σ) ‖ Π_j N(μ_j, Σ_jj)) = ½ (Σ_j log Σ_jj - log |Σ|), in nats, of shape []: the total correlation, 0 if and
    /// only if Σ is diagonal.
    ///
    /// ```
    /// use elbo::autodiff::Tape;
    /// use elbo::distributions::Moments;
    /// use ndarray::{arr1, arr2};
    ///
    /// // Correlation 0.6: -½ log(1 - 0.36).
    /// let p = Moments { mean: arr1(&[0.0, 0.0]), covariance: arr2(&[[4.0, 1.2], [1.2, 1.0]]) };
    /// let correlation = p.on(&Tape::new())?.total_correlation().item();
    /// assert!((correlation + 0.5 * 0.64f64.ln()).abs() < 1e-15);
    /// # Ok::<(), elbo::distributions::GaussianError>(())
    /// ```
    pub fn total_correlation(&self) -> Var<'t, T> {
        total_correlation(self.factor)
    }

    /// L⁻¹ (z - μ), the point in the coordinates in which the Gaussian is the standard one, of shape (…, k).
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    pub fn standardise(&self, z: Var<'t, T>) -> Var<'t, T> {
        let offset = z - self.mean;
        let shape = offset.shape();
        let k = self.dimensions();
        assert!(
            shape.last() == Some(&k),
            "standardise: shapes {shape:?} (point) and {:?} (factor) do not fit",
            [k, k]
        );
        let rows: usize = shape[..shape.len() - 1].iter().product();
        let columns = offset.reshape(&[rows, k]).t();
        self.factor.solve_lower(columns).t().reshape(&shape)
    }

    /// log N(z; μ, Σ) = -½ [k log 2π + log |Σ| + |L⁻¹(z - μ)|²], for z of shape (…, k), in nats.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    pub fn log_density(&self, z: Var<'t, T>) -> Var<'t, T> {
        let distance = self.standardise(z).square().sum_last();
        let constant = T::of(self.dimensions() as f64 * TAU.ln());
        (distance + self.log_determinant() + constant) * T::of(-0.5)
    }

    /// z = μ + Lε, for ε ~ N(0, I) of shape (…, k) drawn by the caller: a sample that is a function of μ and L
    /// ([notes](crate::gradients#reparameterisation)).
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    pub fn sample(&self, noise: Var<'t, T>) -> Var<'t, T> {
        // Data lie in rows: (Lε)ᵀ = εᵀLᵀ.
        self.mean + noise.matmul(self.factor.t())
    }

    /// A sample with fresh noise from `rng`, of the mean's shape.
    pub fn draw(&self, rng: &mut impl Rng) -> Var<'t, T> {
        self.sample(standard_normal(self.mean.tape(), &self.mean.shape(), rng))
    }

    /// H = ½ [k (1 + log 2π) + log |Σ|], of shape (…), in nats.
    pub fn entropy(&self) -> Var<'t, T> {
        let shape = self.mean.shape();
        let constant = T::of(self.dimensions() as f64 * (1.0 + TAU.ln()));
        let entropy = (self.log_determinant() + constant) * T::of(0.5);
        entropy.broadcast_to(&shape[..shape.len() - 1])
    }
}

/// ½ (Σ_j log A_jj - log |A|) of A = LLᵀ, from a triangular factor L, lower or upper: of shape [], and never negative
/// (Hadamard's inequality).
///
/// A_jj = Σ_k L_jk² and |A| = Π L_jj², so that it is ½ Σ_j log(1 + Σ_(k≠j) (L_jk/L_jj)²): no term is negative, and nothing
/// cancels.
pub fn total_correlation<'t, T: Scalar>(factor: Var<'t, T>) -> Var<'t, T> {
    let relative = off_diagonal(factor) / factor.diagonal().unsqueeze(1);
    relative.square().sum_last().ln_1p().sum() * T::of(0.5)
}

/// The square matrix with zeros on its diagonal.
pub fn off_diagonal<'t, T: Scalar>(matrix: Var<'t, T>) -> Var<'t, T> {
    let k = matrix.shape()[0];
    let mask = Array2::from_shape_fn((k, k), |(i, j)| i != j);
    matrix.keep_where(&Mask::from(mask.into_dyn()))
}

fn check_shapes(mean: &[usize], matrix: &[usize]) {
    let fits = matches!((mean, matrix), ([.., k], [m, n]) if k == m && m == n);
    assert!(
        fits,
        "multivariate gaussian: shapes {mean:?} (mean) and {matrix:?} (matrix) do not fit"
    );
}

fn check_symmetric<T: Scalar>(covariance: &Value<T>) -> Result<(), GaussianError> {
    let matrix = covariance.mapv(|entry| entry.as_f64());
    let matrix = matrix.into_dimensionality().expect("a matrix");
    match asymmetric_entry(matrix.view(), T::epsilon().as_f64()) {
        None => Ok(()),
        Some([row, column]) => Err(GaussianError::NotSymmetric {
            row,
            column,
            entry: matrix[[row, column]],
            mirrored: matrix[[column, row]],
        }),
    }
}

/// The first entry below the diagonal, row by row, that differs from the one in the mirrored place by more than half of the
/// digits. What two roads to the same entry may differ by is measured by its own row and column, as a correlation is: a large
/// variance elsewhere hides nothing.
pub fn asymmetric_entry(matrix: ArrayView2<'_, f64>, epsilon: f64) -> Option<[usize; 2]> {
    let deviation = matrix.diag().mapv(|variance| variance.abs().sqrt());
    let below = (0..matrix.nrows()).flat_map(|row| (0..row).map(move |column| [row, column]));
    let differs = |&[row, column]: &[usize; 2]| {
        let (entry, mirrored) = (matrix[[row, column]], matrix[[column, row]]);
        let scale = deviation[row] * deviation[column];
        // NaN is for the factorisation to find.
        (entry - mirrored).abs() > epsilon.sqrt() * scale.max(entry.abs())
    };
    below.into_iter().find(differs)
}

fn check_factor<T: Scalar>(factor: &Value<T>) -> Result<(), GaussianError> {
    let k = factor.shape()[0];
    let at = |i: usize, j: usize| factor[[i, j]].as_f64();
    for row in 0..k {
        let entry = at(row, row);
        if !(entry > 0.0 && entry.is_finite()) {
            return Err(GaussianError::DiagonalNotPositive { row, entry });
        }
        for column in row + 1..k {
            let entry = at(row, column);
            if entry != 0.0 {
                return Err(GaussianError::NotLowerTriangular { row, column, entry });
            }
        }
    }
    Ok(())
}
