//! The mean divergence of the codes, cut in two ([notes](crate::vae#elbo-surgery)).

use std::f64::consts::TAU;
use std::fmt;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Ix2};
use rand::Rng;

use crate::autodiff::Tape;
use crate::background::BadData;
use crate::distributions::noise::standard_normal;
use crate::distributions::{Estimate, EstimateError, GaussianParameters, LogSum};
use crate::kl;

/// (1/N) Σ KL(q(z|xₙ) ‖ p) = KL(q̄ ‖ p) + I(n; z), with q̄ = (1/N) Σ q(z|xₙ), all in nats (Hoffman and Johnson, *ELBO surgery*,
/// 2016).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surgery<E> {
    /// (1/N) Σ KL(q(z|xₙ) ‖ p): the KL term of the bound.
    pub divergence: f64,
    /// KL(q̄ ‖ p), how far all codes together are from the prior.
    pub marginal: E,
    /// I(n; z), what a code tells of the index of its datum; at most log N.
    pub information: E,
    /// log N.
    pub bound: f64,
}

/// Why codes cannot be cut.
#[derive(Clone, Debug, PartialEq)]
pub enum SurgeryError {
    /// There are no data.
    Empty,
    /// A mean or log-variance is NaN or infinite.
    NotFinite {
        /// Which datum.
        datum: usize,
        /// Which unit.
        unit: usize,
        /// The number.
        found: f64,
    },
    /// A deviation e^(s/2) so far out of the range of f64 that not even its root lies within.
    LogVariance {
        /// Which datum.
        datum: usize,
        /// Which unit.
        unit: usize,
        /// s.
        found: f64,
    },
    /// Quadrature is for one or two dimensions, and not for this many.
    Dimensions(usize),
    /// Quadrature with deviations so much smaller than the distances between the means takes too many points.
    TooManyPoints {
        /// As many points it would take.
        points: f64,
    },
    /// The narrowest deviation is so small beside the coordinates that f64 does not tell the points of a grid apart.
    TooNarrow {
        /// Which unit.
        unit: usize,
        /// The narrowest deviation.
        deviation: f64,
        /// The largest coordinate.
        reach: f64,
    },
    /// Not a table of probabilities.
    NotATable(BadData),
    /// The draws have no mean.
    Estimate(EstimateError),
}

impl fmt::Display for SurgeryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "expected the code of at least one datum, found none"),
            Self::NotFinite { datum, unit, found } => write!(
                f,
                "expected means and log-variances that are finite, found {found} for unit {unit} of datum {datum}: did \
                 training diverge?"
            ),
            Self::LogVariance { datum, unit, found } => write!(
                f,
                "expected log-variances between -{EXTREME} and {EXTREME}, found {found} for unit {unit} of datum {datum}"
            ),
            Self::Dimensions(found) => write!(
                f,
                "expected codes of one or two dimensions, found {found}; use `Surgery::sampled`"
            ),
            Self::TooManyPoints { points } => write!(
                f,
                "expected codes that a grid of at most {LARGEST:e} points resolves, found that it takes {points:.1e}; use \
                 `Surgery::sampled`"
            ),
            Self::TooNarrow {
                unit,
                deviation,
                reach,
            } => write!(
                f,
                "expected deviations that a grid resolves, found {deviation:.1e} at coordinates up to {reach:.1e} in unit \
                 {unit}; use `Surgery::sampled`"
            ),
            Self::NotATable(reason) => write!(f, "{reason}"),
            Self::Estimate(reason) => write!(f, "{reason}"),
        }
    }
}

impl std::error::Error for SurgeryError {}

impl From<BadData> for SurgeryError {
    fn from(reason: BadData) -> Self {
        Self::NotATable(reason)
    }
}

impl From<EstimateError> for SurgeryError {
    fn from(reason: EstimateError) -> Self {
        Self::Estimate(reason)
    }
}

/// The most points of a grid.
const LARGEST: f64 = 4e6;

/// Steps of a grid within the narrowest deviation, and deviations beyond the outermost mean.
const STEPS: f64 = 8.0;
const BEYOND: f64 = 10.0;

/// The least step of a grid, in units of the last place of its largest coordinate.
const FINEST: f64 = (1u64 << 20) as f64;

/// Up to here e^(±s/4) is within the range of f64, with room for the distance of two means.
const EXTREME: f64 = 2000.0;

impl Surgery<f64> {
    /// For codes over K states: q(z|xₙ) in the rows of a table of shape (N, K), the prior of shape (K). Exact.
    ///
    /// # Errors
    /// If there are no rows, or one of them or the prior is no distribution.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn of_tables(
        codes: ArrayView2<'_, f64>,
        prior: ArrayView1<'_, f64>,
    ) -> Result<Self, SurgeryError> {
        let prior = prior.to_owned().into_dyn();
        let aggregate = codes
            .mean_axis(Axis(0))
            .ok_or(SurgeryError::Empty)?
            .into_dyn();
        let mean_from = |target| -> Result<f64, BadData> {
            let rows = codes.rows().into_iter();
            let each = rows.map(|row| kl::tables(&row.to_owned().into_dyn(), target));
            Ok(each.sum::<Result<f64, _>>()? / codes.nrows() as f64)
        };
        Ok(Self {
            divergence: mean_from(&prior)?,
            information: mean_from(&aggregate)?,
            marginal: kl::tables(&aggregate, &prior)?,
            bound: (codes.nrows() as f64).ln(),
        })
    }

    /// For Gaussian codes of one or two dimensions and the prior N(0, I), by the trapezium rule over a grid; its error is that
    /// of rounding as long as the codes' deviations are not much smaller than the distances between their means.
    ///
    /// # Errors
    /// If there are no codes, a number is not finite, they have not one or two dimensions, or the grid would be too large or its
    /// points too close to be told apart.
    pub fn exact(codes: &GaussianParameters<f64, Ix2>) -> Result<Self, SurgeryError> {
        check(codes)?;
        let (points, volume) = grid(codes)?;
        let mixture = AggregatePosterior::new(codes);
        let (mut marginal, mut entropy) = (0.0, 0.0);
        for z in points.rows() {
            let log_q = mixture.log_density(z);
            // Where q̄ underflows it adds nothing.
            let weight = log_q.exp() * volume;
            if weight > 0.0 {
                marginal += weight * (log_q - log_prior(z));
                entropy -= weight * log_q;
            }
        }
        // I = H(q̄) - (1/N) Σ H(q(z|xₙ)).
        let each = (&codes.log_variance + (1.0 + TAU.ln())) * 0.5;
        Ok(Self {
            divergence: mean_divergence(codes),
            marginal,
            information: entropy - each.sum() / codes.mean.nrows() as f64,
            bound: mixture.log_count,
        })
    }
}

impl Surgery<Estimate> {
    /// For Gaussian codes of any dimension and the prior N(0, I), from independent draws of a datum and its z; each costs a
    /// sum over all N codes. Drawn is the information alone: the divergence is in closed form, and the marginal is what is
    /// left of it, with the same standard error.
    ///
    /// # Errors
    /// If there are no codes, a number is not finite, a log-variance is beyond ±2000, or there are no draws.
    pub fn sampled(
        codes: &GaussianParameters<f64, Ix2>,
        draws: usize,
        rng: &mut impl Rng,
    ) -> Result<Self, SurgeryError> {
        check(codes)?;
        let pairs = Pairs::new(codes)?;
        let (n, d) = codes.mean.dim();
        let tape = Tape::<f64>::new();
        let noise = standard_normal(&tape, &[draws, d], rng).value();
        let bound = (n as f64).ln();
        // log q(z|xₙ) - log q̄(z) = log N - log Σ_m q(z|x_m)/q(z|xₙ).
        let drawn = noise
            .rows()
            .into_iter()
            .map(|noise| bound - pairs.log_sum_of_ratios(rng.random_range(0..n), noise));
        let information = Estimate::of(drawn)?;
        let divergence = mean_divergence(codes);
        Ok(Self {
            divergence,
            marginal: Estimate {
                mean: divergence - information.mean,
                ..information
            },
            information,
            bound,
        })
    }
}

/// (1/N) Σ KL(q(z_u|xₙ) ‖ N(0, 1)) of each unit u, in nats, of shape (d).
///
/// # Errors
/// If there are no codes, or a number is not finite.
pub fn unit_divergences(codes: &GaussianParameters<f64, Ix2>) -> Result<Array1<f64>, SurgeryError> {
    check(codes)?;
    let terms = ndarray::Zip::from(&codes.mean)
        .and(&codes.log_variance)
        .map_collect(|&mu, &s| 0.5 * (mu * mu + (s.exp_m1() - s)));
    Ok(terms.mean_axis(Axis(0)).expect("checked: there are codes"))
}

fn mean_divergence(codes: &GaussianParameters<f64, Ix2>) -> f64 {
    unit_divergences(codes).expect("checked before").sum()
}

fn check(codes: &GaussianParameters<f64, Ix2>) -> Result<(), SurgeryError> {
    assert_eq!(
        codes.mean.shape(),
        codes.log_variance.shape(),
        "surgery: shapes {:?} (means) and {:?} (log-variances) do not fit",
        codes.mean.shape(),
        codes.log_variance.shape()
    );
    if codes.mean.nrows() == 0 {
        return Err(SurgeryError::Empty);
    }
    for numbers in [&codes.mean, &codes.log_variance] {
        let found = numbers.indexed_iter().find(|(_, x)| !x.is_finite());
        if let Some(((datum, unit), &found)) = found {
            return Err(SurgeryError::NotFinite { datum, unit, found });
        }
    }
    Ok(())
}

/// The codes as they stand to each other, with what does not depend on the draw computed once.
struct Pairs<'a> {
    codes: &'a GaussianParameters<f64, Ix2>,
    /// e^(s/4) and its inverse: the deviation e^(s/2) itself may be out of range where the ratio of two is not.
    roots: Array2<f64>,
    inverses: Array2<f64>,
}

impl<'a> Pairs<'a> {
    fn new(codes: &'a GaussianParameters<f64, Ix2>) -> Result<Self, SurgeryError> {
        let mut found = codes.log_variance.indexed_iter();
        if let Some(((datum, unit), &found)) = found.find(|(_, s)| s.abs() > EXTREME) {
            return Err(SurgeryError::LogVariance { datum, unit, found });
        }
        Ok(Self {
            codes,
            roots: codes.log_variance.mapv(|s| (0.25 * s).exp()),
            inverses: codes.log_variance.mapv(|s| (-0.25 * s).exp()),
        })
    }

    /// log Σ_m q(z|x_m)/q(z|xₙ) at z = μₙ + σₙ ε, never below 0: the m = n in it is 1.
    fn log_sum_of_ratios(&self, n: usize, noise: ArrayView1<'_, f64>) -> f64 {
        let mut sum = LogSum::default();
        for m in 0..self.codes.mean.nrows() {
            sum.add(match m == n {
                true => 0.0,
                false => self.log_ratio(m, n, noise),
            });
        }
        sum.value()
    }

    /// log q(z|x_m)/q(z|xₙ) = ½ Σ [sₙ - s_m + ε² - t²] at z = μₙ + σₙ ε, with t = (μₙ - μ_m + σₙ ε)/σ_m. Of the noise and
    /// not of z, in which a narrow code would be lost beside its mean.
    fn log_ratio(&self, m: usize, n: usize, noise: ArrayView1<'_, f64>) -> f64 {
        let (mu, s) = (&self.codes.mean, &self.codes.log_variance);
        let terms = noise.iter().enumerate().map(|(u, &epsilon)| {
            let (root, inverse) = (self.roots[[n, u]], self.inverses[[m, u]]);
            let offset = (mu[[n, u]] - mu[[m, u]]) * inverse + root * inverse * root * epsilon;
            let t = offset * inverse;
            s[[n, u]] - s[[m, u]] + (epsilon - t) * (epsilon + t)
        });
        0.5 * terms.sum::<f64>()
    }
}

fn log_prior(z: ArrayView1<'_, f64>) -> f64 {
    -0.5 * z.mapv(|z| z * z + TAU.ln()).sum()
}

/// q̄ for millions of points of a grid, which no tape is to hold; what does not depend on z is computed once.
struct AggregatePosterior<'a> {
    means: &'a Array2<f64>,
    deviations: Array2<f64>,
    /// -½ Σ (log 2π + s) of each code.
    constants: Array1<f64>,
    log_count: f64,
}

impl<'a> AggregatePosterior<'a> {
    fn new(codes: &'a GaussianParameters<f64, Ix2>) -> Self {
        let per_unit = (&codes.log_variance + TAU.ln()) * -0.5;
        Self {
            means: &codes.mean,
            deviations: codes.log_variance.mapv(|s| (0.5 * s).exp()),
            constants: per_unit.sum_axis(Axis(1)),
            log_count: (codes.mean.nrows() as f64).ln(),
        }
    }

    /// log q(z|xₙ).
    fn log_component(&self, n: usize, z: ArrayView1<'_, f64>) -> f64 {
        let standard = (&z - &self.means.row(n)) / self.deviations.row(n);
        self.constants[n] - 0.5 * standard.dot(&standard)
    }

    /// log q̄(z) = log (1/N) Σ q(z|xₙ).
    fn log_density(&self, z: ArrayView1<'_, f64>) -> f64 {
        let mut sum = LogSum::default();
        (0..self.constants.len()).for_each(|n| sum.add(self.log_component(n, z)));
        sum.value() - self.log_count
    }
}

/// A grid that holds all of q̄, its points in rows, and the volume of a cell.
fn grid(codes: &GaussianParameters<f64, Ix2>) -> Result<(Array2<f64>, f64), SurgeryError> {
    let dimensions = codes.mean.ncols();
    if !(1..=2).contains(&dimensions) {
        return Err(SurgeryError::Dimensions(dimensions));
    }
    let axes: Vec<Points> = (0..dimensions)
        .map(|unit| Points::of(codes, unit))
        .collect::<Result<_, _>>()?;
    let points: f64 = axes.iter().map(|axis| axis.count).product();
    // NaN where a deviation overflowed.
    let resolved = points <= LARGEST;
    if !resolved {
        return Err(SurgeryError::TooManyPoints { points });
    }
    let last = axes[dimensions - 1].count as usize;
    let at = |(i, u): (usize, usize)| {
        let index = if u + 1 == dimensions {
            i % last
        } else {
            i / last
        };
        axes[u].low + axes[u].step * index as f64
    };
    let volume = axes.iter().map(|axis| axis.step).product();
    Ok((
        Array2::from_shape_fn((points as usize, dimensions), at),
        volume,
    ))
}

/// Evenly spaced points along one axis, by the narrowest deviation.
struct Points {
    low: f64,
    step: f64,
    count: f64,
}

impl Points {
    fn of(codes: &GaussianParameters<f64, Ix2>, unit: usize) -> Result<Self, SurgeryError> {
        let mu = codes.mean.column(unit);
        let sigma = codes.log_variance.column(unit).mapv(|s| (0.5 * s).exp());
        let end = |sign: f64| {
            let ends = mu.iter().zip(&sigma).map(|(m, s)| sign * m + BEYOND * s);
            sign * ends.fold(f64::NEG_INFINITY, f64::max)
        };
        let (low, high) = (end(-1.0), end(1.0));
        let deviation = sigma.fold(f64::INFINITY, |a, &b| a.min(b));
        let (step, reach) = (deviation / STEPS, low.abs().max(high.abs()));
        if reach.is_finite() && step <= FINEST * f64::EPSILON * reach {
            return Err(SurgeryError::TooNarrow {
                unit,
                deviation,
                reach,
            });
        }
        Ok(Self {
            low,
            step,
            count: ((high - low) / step).ceil() + 1.0,
        })
    }
}
