//! Damage to data that a denoising autoencoder is to undo ([notes](crate::autoencoders#denoising)).

use std::fmt;

use ndarray::Array1;
use rand::rngs::StdRng;

use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::Moments;
use crate::distributions::noise::{standard_normal, standard_uniform};

/// How x̃ is drawn given x, each dimension by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "cli", serde(rename_all = "kebab-case", tag = "kind"))]
pub enum Corruption {
    /// x̃ = x + sε, ε ~ N(0, 1).
    Gaussian {
        /// s, in the units of the data.
        deviation: f64,
    },
    /// x̃ = 0 with this probability, else x.
    Masking {
        /// ν, from 0 to 1.
        fraction: f64,
    },
    /// With this probability x̃ is 0 or 1, each as likely; else it is x.
    SaltAndPepper {
        /// ν, from 0 to 1.
        fraction: f64,
    },
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gaussian { deviation } => write!(f, "Gaussian noise of deviation {deviation}"),
            Self::Masking { fraction } => write!(f, "masking of a fraction {fraction}"),
            Self::SaltAndPepper { fraction } => {
                write!(f, "salt and pepper on a fraction {fraction}")
            }
        }
    }
}

/// The first two moments of x̃ given x, of a corruption that acts on each dimension by itself:
/// E[x̃|x] = a x + c and E Var(x̃ᵢ|x) = vᵢ.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearCorruption {
    /// a.
    pub scale: f64,
    /// c, the same in every dimension.
    pub offset: f64,
    /// v, of shape (D): the variance that the corruption adds, averaged over the data.
    pub variances: Array1<f64>,
}

impl Corruption {
    /// Is the deviation finite and not negative, or the fraction from 0 to 1?
    pub fn is_sound(&self) -> bool {
        match *self {
            Self::Gaussian { deviation } => deviation >= 0.0 && deviation.is_finite(),
            Self::Masking { fraction } | Self::SaltAndPepper { fraction } => {
                (0.0..=1.0).contains(&fraction)
            }
        }
    }

    /// x̃, a constant on the tape of x.
    ///
    /// # Panics
    /// If the deviation is negative or the fraction is not from 0 to 1.
    pub fn corrupt<'t, T: Scalar>(&self, x: Var<'t, T>, rng: &mut StdRng) -> Var<'t, T> {
        assert!(self.is_sound(), "corruption: cannot draw {self:?}");
        let (tape, shape) = (x.tape(), x.shape());
        match *self {
            Self::Gaussian { deviation } => {
                x.stop_gradient() + standard_normal(tape, &shape, rng) * T::of(deviation)
            }
            Self::Masking { fraction } => {
                let (uniform, fraction) = (standard_uniform(tape, &shape, rng), T::of(fraction));
                let kept = |u, x| if u < fraction { T::zero() } else { x };
                tape.constant(tape.zip_values("masking", &uniform.value(), &x.value(), kept))
            }
            Self::SaltAndPepper { fraction } => {
                let uniform = standard_uniform(tape, &shape, rng);
                let (half, fraction) = (T::of(0.5 * fraction), T::of(fraction));
                let kept = |u, x| match (u < half, u < fraction) {
                    (true, _) => T::zero(),
                    (false, true) => T::one(),
                    (false, false) => x,
                };
                tape.constant(tape.zip_values("salt", &uniform.value(), &x.value(), kept))
            }
        }
    }

    /// The moments of x̃ given x, for data with these moments.
    pub fn linear(&self, data: &Moments) -> LinearCorruption {
        let mean = &data.mean;
        // E xᵢ².
        let squares = data.covariance.diag().to_owned() + mean * mean;
        let (scale, offset, variances) = match *self {
            Self::Gaussian { deviation } => (1.0, 0.0, mean.mapv(|_| deviation * deviation)),
            // Var(x̃|x) = ν(1-ν) x².
            Self::Masking { fraction: nu } => (1.0 - nu, 0.0, squares * (nu * (1.0 - nu))),
            // E[x̃²|x] = (1-ν) x² + ν/2, minus the square of (1-ν) x + ν/2.
            Self::SaltAndPepper { fraction: nu } => {
                let (kept, half) = (1.0 - nu, 0.5 * nu);
                let spread =
                    squares * (kept * nu) - mean * (2.0 * kept * half) + (half - half * half);
                (kept, half, spread)
            }
        };
        LinearCorruption {
            scale,
            offset,
            variances,
        }
    }
}
