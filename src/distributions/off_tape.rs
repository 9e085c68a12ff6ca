//! Gaussians off the tape: plain arrays, which outlive the tape and go back onto one when they are needed there.

use ndarray::{Array, Array1, Array2, ArrayView1, ArrayView2, Axis, Dimension, Ix1};

use super::{DiagonalGaussian, GaussianError, MultivariateGaussian};
use crate::Scalar;
use crate::autodiff::{Tape, array, broadcast_shape};

/// N(μ, diag e^s) off the tape: one of d dimensions, or one for each of N data, by the dimension of its arrays.
///
/// [`on`](Self::on) puts it on a tape, [`DiagonalGaussian::value`] is the way back.
///
/// ```
/// use elbo::autodiff::Tape;
/// use elbo::distributions::GaussianParameters;
/// use ndarray::{Ix2, arr2};
///
/// let q = GaussianParameters { mean: arr2(&[[0.0, 1.0]]), log_variance: arr2(&[[0.0, -1.0]]) };
/// assert_eq!(q.on(&Tape::new()).value::<Ix2>(), q);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianParameters<T = f64, D: Dimension = Ix1> {
    /// μ, of shape (d) or (N, d).
    pub mean: Array<T, D>,
    /// s = log σ², of the same shape.
    pub log_variance: Array<T, D>,
}

impl GaussianParameters {
    /// N(0, I).
    pub fn standard(dimensions: usize) -> Self {
        Self {
            mean: Array1::zeros(dimensions),
            log_variance: Array1::zeros(dimensions),
        }
    }
}

impl<T: Scalar, D: Dimension> GaussianParameters<T, D> {
    /// The same numbers in f64, exactly.
    pub fn as_f64(&self) -> GaussianParameters<f64, D> {
        GaussianParameters {
            mean: self.mean.mapv(T::as_f64),
            log_variance: self.log_variance.mapv(T::as_f64),
        }
    }

    /// As constants on a tape.
    pub fn on<'t>(&self, tape: &'t Tape<T>) -> DiagonalGaussian<'t, T> {
        DiagonalGaussian {
            mean: tape.constant(self.mean.clone().into_dyn()),
            log_variance: tape.constant(self.log_variance.clone().into_dyn()),
        }
    }
}

impl<T: Scalar> DiagonalGaussian<'_, T> {
    /// Mean and log-variance off the tape, both of a sample's shape.
    ///
    /// # Panics
    /// If the shapes do not broadcast, or have another number of axes than D.
    pub fn value<D: Dimension>(&self) -> GaussianParameters<T, D> {
        let shape = broadcast_shape("value", &self.mean.shape(), &self.log_variance.shape());
        let [mean, log_variance] =
            [self.mean, self.log_variance].map(|x| array(x.broadcast_to(&shape).value()));
        GaussianParameters { mean, log_variance }
    }
}

/// Mean and covariance of a distribution, off the tape: N(μ, Σ), if it is a Gaussian.
///
/// [`on`](Self::on) puts it on a tape, [`MultivariateGaussian::value`] is the way back.
///
/// ```
/// use elbo::autodiff::Tape;
/// use elbo::distributions::Moments;
/// use ndarray::{arr1, arr2};
///
/// let p = Moments { mean: arr1(&[1.0, -1.0]), covariance: arr2(&[[4.0, 2.0], [2.0, 10.0]]) };
/// let back = p.on(&Tape::new())?.value();
/// assert!((back.covariance - p.covariance).iter().all(|x| x.abs() < 1e-14));
/// # Ok::<(), elbo::distributions::GaussianError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Of shape (d).
    pub mean: Array1<f64>,
    /// Of shape (d, d).
    pub covariance: Array2<f64>,
}

impl Moments {
    /// Σ wᵢ xᵢ and Σ wᵢ (xᵢ - μ)(xᵢ - μ)ᵀ of points in rows, of shape (n, d), under weights of sum 1, of shape (n). The
    /// Gaussian that has them is nearest in forward divergence ([notes](crate::kl#forward-kl-moment-matching)).
    ///
    /// # Panics
    /// If the numbers of points and weights differ.
    pub fn of(points: ArrayView2<'_, f64>, weights: ArrayView1<'_, f64>) -> Self {
        let mean = weights.dot(&points);
        // About the mean: E xxᵀ - μμᵀ would cancel.
        let centred = &points - &mean;
        let weighted = &centred * &weights.insert_axis(Axis(1));
        Self {
            covariance: weighted.t().dot(&centred),
            mean,
        }
    }

    /// The same with the weight 1/n each, or nothing if there is no point. (The covariance is divided by n, not n - 1: the
    /// Gaussian of the highest likelihood.)
    pub fn of_samples(points: ArrayView2<'_, f64>) -> Option<Self> {
        let mean = points.mean_axis(Axis(0))?;
        let centred = &points - &mean;
        Some(Self {
            covariance: centred.t().dot(&centred) / points.nrows() as f64,
            mean,
        })
    }

    /// A mean with independent dimensions of one deviation.
    pub fn isotropic(mean: Array1<f64>, deviation: f64) -> Self {
        let covariance = Array2::eye(mean.len()) * (deviation * deviation);
        Self { mean, covariance }
    }

    /// The same mean, the covariance without what is off its diagonal.
    pub fn diagonal(&self) -> Self {
        Self {
            mean: self.mean.clone(),
            covariance: Array2::from_diag(&self.covariance.diag()),
        }
    }

    /// The Gaussian with these moments, as constants on a tape.
    ///
    /// # Errors
    /// If the covariance is that of no Gaussian.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn on<'t>(
        &self,
        tape: &'t Tape<f64>,
    ) -> Result<MultivariateGaussian<'t, f64>, GaussianError> {
        let covariance = tape.constant(self.covariance.clone());
        MultivariateGaussian::from_covariance(tape.constant(self.mean.clone()), covariance)
    }
}

impl MultivariateGaussian<'_, f64> {
    /// Mean and covariance off the tape.
    ///
    /// # Panics
    /// If there are several means.
    pub fn value(&self) -> Moments {
        Moments {
            mean: array(self.mean().value()),
            covariance: array(self.covariance().value()),
        }
    }
}
