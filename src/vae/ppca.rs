//! Probabilistic principal component analysis: the linear decoder whose maximum likelihood is known
//! ([notes](crate::vae#ppca-maximum-likelihood)).

use std::f64::consts::TAU;
use std::fmt;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};

use super::eigen::{Eigen, EigenError, symmetric_eigen};
use crate::Scalar;
use crate::autodiff::Tape;
use crate::background::LinearGaussian;
use crate::distributions::Moments;

/// x = Wz + b + σε with z ~ N(0, I) in d dimensions and ε ~ N(0, I) in D, fitted by maximum likelihood (Tipping and Bishop,
/// *Probabilistic principal component analysis*, 1999).
///
/// ```
/// use elbo::vae::Ppca;
/// use ndarray::{arr1, arr2};
///
/// let covariance = arr2(&[[5.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]);
/// let ppca = Ppca::from_covariance(arr1(&[0.0; 3]), &covariance, 1)?;
/// assert_eq!(ppca.noise_variance, 1.5); // the mean of 2 and 1
/// assert!((ppca.weights[[0, 0]].powi(2) - 3.5).abs() < 1e-14); // 5 - 1.5
/// # Ok::<(), elbo::vae::PpcaError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Ppca {
    /// b, of shape (D): the mean of the data.
    pub mean: Array1<f64>,
    /// W = U(Λ - σ²I)^½, of shape (D, d). WR is as likely for every rotation R.
    pub weights: Array2<f64>,
    /// σ², in squared units of the data.
    pub noise_variance: f64,
    /// The mean of log p(x) over the data, in nats per datum.
    pub log_likelihood: f64,
    /// The spectrum of the data's covariance S = (1/N) Σ (x - b)(x - b)ᵀ.
    pub spectrum: Eigen,
}

/// Why there is no most likely model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PpcaError {
    /// There are no data, or they have no dimensions.
    Empty,
    /// A number of the data, of the mean or of the covariance is NaN or infinite, or the covariance is not symmetric.
    Eigen(EigenError),
    /// The covariance has an eigenvalue below 0, and not by rounding.
    Indefinite {
        /// The least eigenvalue.
        eigenvalue: f64,
    },
    /// At least as many latents as dimensions: no direction is left for the noise.
    Latent {
        /// d.
        latent: usize,
        /// D.
        dimensions: usize,
    },
    /// The data lie in a plane of at most d dimensions. As σ² goes to 0 the likelihood grows without bound.
    Unbounded {
        /// d.
        latent: usize,
        /// In how many directions the data vary.
        rank: usize,
        /// In how many of the dimensions they do not vary at all.
        constant: usize,
    },
    /// A given σ² is not a positive, finite number.
    Noise(f64),
}

impl fmt::Display for PpcaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(
                f,
                "expected data of at least one dimension, found none; pass an array of shape (data, dimensions)"
            ),
            Self::Eigen(reason) => write!(f, "{reason}"),
            Self::Indefinite { eigenvalue } => write!(
                f,
                "expected a covariance, found one with the eigenvalue {eigenvalue:e}; a covariance has none below 0"
            ),
            Self::Latent { latent, dimensions } => write!(
                f,
                "expected fewer latents than the {dimensions} dimensions of the data, found {latent}; take at most {}",
                dimensions.saturating_sub(1)
            ),
            Self::Unbounded {
                latent,
                rank,
                constant,
            } => write!(
                f,
                "expected data that vary in more than {latent} directions, found {rank} ({constant} dimensions are constant): \
                 the likelihood has no maximum; take fewer latents or more data, or fix the noise (`Ppca::with_noise`)"
            ),
            Self::Noise(found) => write!(
                f,
                "expected a noise variance that is finite and above 0, found {found}"
            ),
        }
    }
}

impl std::error::Error for PpcaError {}

impl From<EigenError> for PpcaError {
    fn from(reason: EigenError) -> Self {
        Self::Eigen(reason)
    }
}

impl Ppca {
    /// The most likely model with d latents, for data of shape (N, D).
    ///
    /// Constant dimensions do no harm by themselves, and N may be less than D: what is needed is a direction in which the data
    /// vary beyond the first d.
    ///
    /// # Errors
    /// If there are no data, if one is not finite, if d >= D, or if the data vary in at most d directions.
    pub fn fit(data: ArrayView2<'_, f64>, latent: usize) -> Result<Self, PpcaError> {
        let Moments { mean, covariance } = moments(data)?;
        Self::from_covariance(mean, &covariance, latent).map_err(|reason| match reason {
            // A constant column has a variance by rounding.
            PpcaError::Unbounded { latent, rank, .. } => PpcaError::Unbounded {
                latent,
                rank,
                constant: constant_columns(data),
            },
            other => other,
        })
    }

    /// The same from the mean of the data, of shape (D), and their covariance S of shape (D, D), divided by N (not N - 1).
    ///
    /// # Errors
    /// If the mean or S is not finite, S is not symmetric or has an eigenvalue below -√ε λ₁ (one between that and 0 is taken for
    /// 0, the rounding of a covariance), d >= D, or the eigenvalues after the first d have a mean of at most D ε λ₁.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn from_covariance(
        mean: Array1<f64>,
        covariance: &Array2<f64>,
        latent: usize,
    ) -> Result<Self, PpcaError> {
        let spectrum = spectrum(&mean, covariance, latent)?;
        let dimensions = mean.len();
        let noise = spectrum.values.slice(s![latent..]).mean().unwrap_or(0.0);
        let rounding = dimensions as f64 * f64::EPSILON * spectrum.values[0];
        if noise <= rounding {
            return Err(PpcaError::Unbounded {
                latent,
                rank: spectrum.values.iter().filter(|&&l| l > rounding).count(),
                constant: covariance.diag().iter().filter(|&&v| v == 0.0).count(),
            });
        }
        Ok(Self::at(mean, spectrum, latent, noise))
    }

    /// The most likely W for a given σ²: W = U max(Λ - σ²I, 0)^½. A direction whose variance is at most σ² is left to the noise,
    /// and the column of its latent is 0.
    ///
    /// # Errors
    /// As [`from_covariance`](Self::from_covariance), without the last reason; if σ² is not a finite number above 0.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn with_noise(
        mean: Array1<f64>,
        covariance: &Array2<f64>,
        latent: usize,
        noise_variance: f64,
    ) -> Result<Self, PpcaError> {
        if !(noise_variance > 0.0 && noise_variance.is_finite()) {
            return Err(PpcaError::Noise(noise_variance));
        }
        let spectrum = spectrum(&mean, covariance, latent)?;
        Ok(Self::at(mean, spectrum, latent, noise_variance))
    }

    fn at(mean: Array1<f64>, spectrum: Eigen, latent: usize, noise_variance: f64) -> Self {
        let kept = spectrum.values.slice(s![..latent]);
        let lengths = kept.mapv(|lambda| (lambda - noise_variance).max(0.0).sqrt());
        let weights = &spectrum.vectors.slice(s![.., ..latent]) * &lengths;
        let variances = model_variances(&spectrum, latent, noise_variance);
        // tr C⁻¹S: both have the eigenvectors U.
        let distance = (&spectrum.values / &variances).sum();
        let log_likelihood = log_normal(&variances, distance);
        Self {
            mean,
            weights,
            noise_variance,
            log_likelihood,
            spectrum,
        }
    }

    /// d.
    pub fn latent(&self) -> usize {
        self.weights.ncols()
    }

    /// log p(x) = log N(x; b, WWᵀ + σ²I) for each row of data of shape (N, D), in nats.
    ///
    /// # Panics
    /// If the data have another number of dimensions.
    pub fn log_density(&self, data: ArrayView2<'_, f64>) -> Array1<f64> {
        assert_eq!(
            data.ncols(),
            self.mean.len(),
            "log_density: shapes {:?} (data) and {:?} (mean) do not fit",
            data.shape(),
            self.mean.shape()
        );
        let variances = model_variances(&self.spectrum, self.latent(), self.noise_variance);
        let coordinates = (&data - &self.mean).dot(&self.spectrum.vectors);
        let distances = (coordinates.mapv(|y| y * y) / &variances).sum_axis(Axis(1));
        distances.mapv(|distance| log_normal(&variances, distance))
    }

    /// W, b and log σ² on a tape, as variables: the decoder of a linear VAE.
    pub fn decoder<'t, T: Scalar>(&self, tape: &'t Tape<T>) -> LinearGaussian<'t, T> {
        LinearGaussian {
            weights: tape.variable(self.weights.mapv(T::of)),
            offset: tape.variable(self.mean.mapv(T::of)),
            log_noise: tape.variable(ndarray::arr0(T::of(self.noise_variance.ln()))),
        }
    }
}

/// Mean and covariance of data of shape (N, D), divided by N.
fn moments(data: ArrayView2<'_, f64>) -> Result<Moments, PpcaError> {
    let not_finite = data.indexed_iter().find(|(_, x)| !x.is_finite());
    if let Some(((row, column), &found)) = not_finite {
        let index = [row, column];
        return Err(EigenError::NotFinite { index, found }.into());
    }
    Moments::of_samples(data).ok_or(PpcaError::Empty)
}

fn constant_columns(data: ArrayView2<'_, f64>) -> usize {
    let is_constant = |column: &ArrayView1<'_, f64>| column.iter().all(|&x| x == column[0]);
    data.columns().into_iter().filter(is_constant).count()
}

fn spectrum(
    mean: &Array1<f64>,
    covariance: &Array2<f64>,
    latent: usize,
) -> Result<Eigen, PpcaError> {
    let dimensions = mean.len();
    assert!(
        covariance.shape() == [dimensions, dimensions],
        "ppca: shapes {:?} (mean) and {:?} (covariance) do not fit",
        mean.shape(),
        covariance.shape()
    );
    if dimensions == 0 {
        return Err(PpcaError::Empty);
    }
    if let Some((row, &found)) = mean.indexed_iter().find(|(_, x)| !x.is_finite()) {
        let index = [row, 0];
        return Err(EigenError::NotFinite { index, found }.into());
    }
    if latent >= dimensions {
        return Err(PpcaError::Latent { latent, dimensions });
    }
    let mut spectrum = symmetric_eigen(covariance)?;
    let (largest, least) = (spectrum.values[0], spectrum.values[dimensions - 1]);
    if least < -f64::EPSILON.sqrt() * largest.abs() {
        let eigenvalue = least;
        return Err(PpcaError::Indefinite { eigenvalue });
    }
    spectrum.values.mapv_inplace(|lambda| lambda.max(0.0));
    Ok(spectrum)
}

/// The eigenvalues of C = WWᵀ + σ²I: λᵢ where a latent serves the direction, σ² elsewhere.
fn model_variances(spectrum: &Eigen, latent: usize, noise_variance: f64) -> Array1<f64> {
    let mut variances = Array1::from_elem(spectrum.values.len(), noise_variance);
    for (variance, lambda) in variances.iter_mut().zip(&spectrum.values).take(latent) {
        *variance = lambda.max(noise_variance);
    }
    variances
}

/// -½ [D log 2π + log |C| + distance], by the eigenvalues of C.
fn log_normal(variances: &Array1<f64>, distance: f64) -> f64 {
    let log_determinant = variances.mapv(f64::ln).sum();
    -0.5 * (variances.len() as f64 * TAU.ln() + log_determinant + distance)
}
