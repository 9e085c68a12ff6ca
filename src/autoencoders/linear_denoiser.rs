//! The best linear denoiser in closed form ([notes](crate::autoencoders#denoising)).

use ndarray::{Array1, Array2, Axis, s};

use super::{Centring, Corruption};
use crate::distributions::Moments;
use crate::vae::{EigenError, symmetric_eigen};

/// x̂ = W x̃ + b with the least E ‖x - x̂‖².
#[derive(Clone, Debug, PartialEq)]
pub struct LinearDenoiser {
    /// W, of shape (D, D), of rank at most that of the bottleneck.
    pub weights: Array2<f64>,
    /// b, of shape (D).
    pub bias: Array1<f64>,
    /// E ‖x - x̂‖², the sum over dimensions.
    pub error: f64,
}

impl LinearDenoiser {
    /// For data with these moments (the covariance divided by n), a corruption, a bottleneck of so many units (D or more: none),
    /// with biases ([`Centring::Mean`]) or without ([`Centring::Origin`]).
    ///
    /// Of all minimisers the one that ignores directions in which x̃ does not vary.
    ///
    /// # Errors
    /// If the moments are not finite or not symmetric.
    ///
    /// # Panics
    /// If the corruption is not [sound](Corruption::is_sound), or the shapes of the moments do not fit.
    pub fn fit(
        data: &Moments,
        corruption: Corruption,
        bottleneck: usize,
        centring: Centring,
    ) -> Result<Self, EigenError> {
        assert!(
            corruption.is_sound(),
            "linear denoiser: cannot draw {corruption:?}"
        );
        let raw = outer(&data.mean, &data.mean);
        let moment = match centring {
            Centring::Mean => data.covariance.clone(),
            Centring::Origin => &data.covariance + &raw,
        };
        let (weights, error) = match corruption {
            Corruption::Gaussian { deviation } => gaussian(&moment, deviation, bottleneck)?,
            _ => general(data, &moment, corruption, bottleneck, centring)?,
        };
        let bias = match centring {
            Centring::Mean => {
                let linear = corruption.linear(data);
                &data.mean - &weights.dot(&(&data.mean * linear.scale + linear.offset))
            }
            Centring::Origin => Array1::zeros(data.mean.len()),
        };
        Ok(Self {
            weights,
            bias,
            error,
        })
    }
}

/// W = Σ_(j<=k) λ_j/(λ_j + s²) u_j u_jᵀ and its error s² Σ_(j<=k) λ_j/(λ_j + s²) + Σ_(j>k) λ_j.
fn gaussian(
    moment: &Array2<f64>,
    deviation: f64,
    bottleneck: usize,
) -> Result<(Array2<f64>, f64), EigenError> {
    let spectrum = symmetric_eigen(moment)?;
    let values = spectrum.values.mapv(|value| value.max(0.0));
    let noise = deviation * deviation;
    let least = smallest_seen(&values);
    let shrink = |value: f64| match value > least {
        true => value / (value + noise),
        false => 0.0,
    };
    let k = bottleneck.min(values.len());
    let axes = spectrum.vectors.slice(s![.., ..k]);
    let kept = values.slice(s![..k]).mapv(shrink);
    let error = noise * kept.sum() + values.iter().skip(k).sum::<f64>();
    Ok(((&axes * &kept).dot(&axes.t()), error))
}

/// Eigenvalues up to this are 0 but for rounding, for those of a matrix in falling order.
fn smallest_seen(values: &Array1<f64>) -> f64 {
    values.first().copied().unwrap_or(0.0) * f64::EPSILON * values.len() as f64
}

/// W = P C X⁺ with C = E x x̃ᵀ, X = E x̃ x̃ᵀ and P the projection onto the k leading eigenvectors of C X⁺ Cᵀ.
fn general(
    data: &Moments,
    moment: &Array2<f64>,
    corruption: Corruption,
    bottleneck: usize,
    centring: Centring,
) -> Result<(Array2<f64>, f64), EigenError> {
    let linear = corruption.linear(data);
    let (a, c) = (linear.scale, linear.offset);
    let mut seen = moment * (a * a) + Array2::from_diag(&linear.variances);
    let mut cross = moment * a;
    if centring == Centring::Origin {
        // Without biases the constant part counts: E x̃ = a m + c.
        let offset = Array1::from_elem(data.mean.len(), c);
        let mixed = outer(&data.mean, &offset);
        seen = seen + (&mixed + &mixed.t()) * a + outer(&offset, &offset);
        cross += &mixed;
    }
    let spectrum = symmetric_eigen(&seen)?;
    let least = smallest_seen(&spectrum.values);
    let inverse = spectrum.values.mapv(|value| match value > least {
        true => 1.0 / value,
        false => 0.0,
    });
    let weights = (cross.dot(&spectrum.vectors) * &inverse).dot(&spectrum.vectors.t());
    let explained = weights.dot(&cross.t());
    let explained = symmetric_eigen(&((&explained + &explained.t()) * 0.5))?;
    let k = bottleneck.min(moment.nrows());
    let axes = explained.vectors.slice(s![.., ..k]);
    let error = moment.diag().sum() - explained.values.slice(s![..k]).sum();
    let weights = match k == moment.nrows() {
        true => weights,
        false => axes.dot(&axes.t().dot(&weights)),
    };
    Ok((weights, error))
}

/// abᵀ.
fn outer(a: &Array1<f64>, b: &Array1<f64>) -> Array2<f64> {
    let (column, row) = (a.view().insert_axis(Axis(1)), b.view().insert_axis(Axis(0)));
    column.dot(&row)
}
