//! What a linear autoencoder converges to ([notes](crate::autoencoders#linear-autoencoder-is-pca)).

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::distributions::Moments;
use crate::vae::{Eigen, EigenError, symmetric_eigen};

/// Which second moment counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Centring {
    /// The covariance (1/n) Σ (x - m)(x - m)ᵀ: both layers have biases.
    Mean,
    /// The raw second moment (1/n) Σ xxᵀ: there is no bias.
    Origin,
}

/// The principal axes of data: the best linear autoencoder for every width of its code.
///
/// ```
/// use elbo::autoencoders::{Centring, Pca};
/// use ndarray::arr2;
///
/// let pca = Pca::fit(arr2(&[[2.0, 1.0], [4.0, 1.0], [3.0, 1.5], [3.0, 0.5]]).view(), Centring::Mean)?;
/// assert!((pca.spectrum.values[0] - 0.5).abs() < 1e-14);
/// assert!((pca.error(1) - 0.125).abs() < 1e-14); // the other eigenvalue
/// # Ok::<(), elbo::vae::EigenError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// The mean of the data, or 0, of shape (D).
    pub centre: Array1<f64>,
    /// The second moment around it, its eigenvalues in descending order.
    pub spectrum: Eigen,
}

impl Pca {
    /// Of data of shape (n, D), or an error for what is not finite.
    ///
    /// # Errors
    /// If a number is NaN or infinite, or their squares are.
    ///
    /// # Panics
    /// If there are no data.
    pub fn fit(data: ArrayView2<'_, f64>, centring: Centring) -> Result<Self, EigenError> {
        let moments = second_moments(data, centring);
        Ok(Self {
            spectrum: symmetric_eigen(&moments.covariance)?,
            centre: moments.mean,
        })
    }

    /// The least mean squared error of a linear autoencoder with k units, Σ_(j>k) λ_j.
    pub fn error(&self, k: usize) -> f64 {
        let dropped = self.spectrum.values.iter().skip(k);
        // By rounding an eigenvalue may be below 0.
        dropped.map(|value| value.max(0.0)).sum()
    }

    /// The k leading axes as columns, of shape (D, k).
    ///
    /// # Panics
    /// If there are fewer.
    pub fn axes(&self, k: usize) -> Array2<f64> {
        self.spectrum.vectors.slice(s![.., ..k]).to_owned()
    }

    /// The mean squared error of the projection of data of shape (n, D) onto the k leading axes.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn error_on(&self, data: ArrayView2<'_, f64>, k: usize) -> f64 {
        let centred = &data - &self.centre;
        let axes = self.axes(k);
        let residual = &centred - &centred.dot(&axes).dot(&axes.t());
        residual.iter().map(|x| x * x).sum::<f64>() / data.nrows() as f64
    }
}

/// The mean (or 0) and the second moment around it.
///
/// # Panics
/// If there are no data.
pub(super) fn second_moments(data: ArrayView2<'_, f64>, centring: Centring) -> Moments {
    let n = data.nrows();
    assert!(n > 0, "moments: expected data, found none");
    let mean = match centring {
        Centring::Mean => data.mean_axis(Axis(0)).expect("there are data"),
        Centring::Origin => Array1::zeros(data.ncols()),
    };
    let centred = &data - &mean;
    Moments {
        covariance: centred.t().dot(&centred) / n as f64,
        mean,
    }
}
