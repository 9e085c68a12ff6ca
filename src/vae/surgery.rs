//! The mean divergence of the codes, cut in two ([notes](crate::vae#elbo-surgery)).

use std::f64::consts::TAU;
use std::fmt;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rand::Rng;

use super::Codes;
use crate::autodiff::Tape;
use crate::background::BadData;
use crate::distributions::noise::standard_normal;
use crate::distributions::{Estimate, EstimateError};
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
pub enum NoSurgery {
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
    /// Quadrature over this many dimensions, or with codes so narrow, takes too many points.
    TooManyPoints {
        /// d.
        dimensions: usize,
        /// As many points it would take.
        points: f64,
    },
    /// Not a table of probabilities.
    NotATable(BadData),
    /// The draws have no mean.
    Estimate(EstimateError),
}

impl fmt::Display for NoSurgery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "expected the code of at least one datum, found none"),
            Self::NotFinite { datum, unit, found } => write!(
                f,
                "expected means and log-variances that are finite, found {found} for unit {unit} of datum {datum}: did \
                 training diverge?"
            ),
            Self::TooManyPoints { dimensions, points } => write!(
                f,
                "expected codes that a grid of at most {LARGEST:e} points resolves, found {dimensions} dimensions and \
                 {points:.1e} points; use `Surgery::sampled`"
            ),
            Self::NotATable(reason) => write!(f, "{reason}"),
            Self::Estimate(reason) => write!(f, "{reason}"),
        }
    }
}

impl std::error::Error for NoSurgery {}

impl From<BadData> for NoSurgery {
    fn from(reason: BadData) -> Self {
        Self::NotATable(reason)
    }
}

impl From<EstimateError> for NoSurgery {
    fn from(reason: EstimateError) -> Self {
        Self::Estimate(reason)
    }
}

/// The most points of a grid.
const LARGEST: f64 = 4e6;

/// Steps of a grid within the narrowest deviation, and deviations beyond the outermost mean.
const STEPS: f64 = 8.0;
const BEYOND: f64 = 10.0;

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
    ) -> Result<Self, NoSurgery> {
        let prior = prior.to_owned().into_dyn();
        let aggregate = codes.mean_axis(Axis(0)).ok_or(NoSurgery::Empty)?.into_dyn();
        let mean_from = |target| -> Result<f64, BadData> {
            let rows = codes.rows().into_iter();
            let each = rows.map(|row| kl::of_tables(&row.to_owned().into_dyn(), target));
            Ok(each.sum::<Result<f64, _>>()? / codes.nrows() as f64)
        };
        Ok(Self {
            divergence: mean_from(&prior)?,
            information: mean_from(&aggregate)?,
            marginal: kl::of_tables(&aggregate, &prior)?,
            bound: (codes.nrows() as f64).ln(),
        })
    }

    /// For Gaussian codes of one or two dimensions and the prior N(0, I), by the trapezium rule over a grid; its error is that
    /// of rounding as long as the codes' deviations are not much smaller than the distances between their means.
    ///
    /// # Errors
    /// If there are no codes, a number is not finite, or the grid would be too large.
    pub fn exact(codes: &Codes<f64>) -> Result<Self, NoSurgery> {
        check(codes)?;
        let (points, volume) = grid(codes)?;
        let mixture = Mixture::new(codes);
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
        let each = (&codes.log_variances + (1.0 + TAU.ln())) * 0.5;
        Ok(Self {
            divergence: mean_divergence(codes),
            marginal,
            information: entropy - each.sum() / codes.means.nrows() as f64,
            bound: mixture.log_count,
        })
    }
}

impl Surgery<Estimate> {
    /// For Gaussian codes of any dimension and the prior N(0, I), from independent draws of a datum and its z; each costs a
    /// sum over all N codes. The divergence is in closed form.
    ///
    /// # Errors
    /// If there are no codes, a number is not finite, or there are no draws.
    pub fn sampled(
        codes: &Codes<f64>,
        draws: usize,
        rng: &mut impl Rng,
    ) -> Result<Self, NoSurgery> {
        check(codes)?;
        let mixture = Mixture::new(codes);
        let (mut marginal, mut information) = (Vec::new(), Vec::new());
        let (n, d) = codes.means.dim();
        for _ in 0..draws {
            let datum = rng.random_range(0..n);
            let tape = Tape::<f64>::new();
            let noise = standard_normal(&tape, &[d], rng).value();
            let z: Array1<f64> = (0..d)
                .map(|u| codes.means[[datum, u]] + mixture.deviations[[datum, u]] * noise[u])
                .collect();
            let log_q = mixture.log_density(z.view());
            marginal.push(log_q - log_prior(z.view()));
            information.push(mixture.log_component(datum, z.view()) - log_q);
        }
        Ok(Self {
            divergence: mean_divergence(codes),
            marginal: Estimate::of(marginal)?,
            information: Estimate::of(information)?,
            bound: mixture.log_count,
        })
    }
}

/// (1/N) Σ KL(q(z_u|xₙ) ‖ N(0, 1)) of each unit u, in nats, of shape (d).
///
/// # Errors
/// If there are no codes, or a number is not finite.
pub fn unit_divergences(codes: &Codes<f64>) -> Result<Array1<f64>, NoSurgery> {
    check(codes)?;
    let terms = ndarray::Zip::from(&codes.means)
        .and(&codes.log_variances)
        .map_collect(|&mu, &s| 0.5 * (mu * mu + (s.exp_m1() - s)));
    Ok(terms.mean_axis(Axis(0)).expect("checked: there are codes"))
}

fn mean_divergence(codes: &Codes<f64>) -> f64 {
    unit_divergences(codes).expect("checked before").sum()
}

fn check(codes: &Codes<f64>) -> Result<(), NoSurgery> {
    assert_eq!(
        codes.means.shape(),
        codes.log_variances.shape(),
        "surgery: shapes {:?} (means) and {:?} (log-variances) do not fit",
        codes.means.shape(),
        codes.log_variances.shape()
    );
    if codes.means.nrows() == 0 {
        return Err(NoSurgery::Empty);
    }
    for numbers in [&codes.means, &codes.log_variances] {
        let found = numbers.indexed_iter().find(|(_, x)| !x.is_finite());
        if let Some(((datum, unit), &found)) = found {
            return Err(NoSurgery::NotFinite { datum, unit, found });
        }
    }
    Ok(())
}

fn log_prior(z: ArrayView1<'_, f64>) -> f64 {
    -0.5 * z.mapv(|z| z * z + TAU.ln()).sum()
}

/// q̄, with what does not depend on z computed once.
struct Mixture<'a> {
    means: &'a Array2<f64>,
    deviations: Array2<f64>,
    /// -½ Σ (log 2π + s) of each code.
    constants: Array1<f64>,
    log_count: f64,
}

impl<'a> Mixture<'a> {
    fn new(codes: &'a Codes<f64>) -> Self {
        let per_unit = (&codes.log_variances + TAU.ln()) * -0.5;
        Self {
            means: &codes.means,
            deviations: codes.log_variances.mapv(|s| (0.5 * s).exp()),
            constants: per_unit.sum_axis(Axis(1)),
            log_count: (codes.means.nrows() as f64).ln(),
        }
    }

    /// log q(z|xₙ).
    fn log_component(&self, n: usize, z: ArrayView1<'_, f64>) -> f64 {
        let standard = (&z - &self.means.row(n)) / self.deviations.row(n);
        self.constants[n] - 0.5 * standard.dot(&standard)
    }

    /// log q̄(z) = log (1/N) Σ q(z|xₙ).
    fn log_density(&self, z: ArrayView1<'_, f64>) -> f64 {
        let logs: Vec<f64> = (0..self.constants.len())
            .map(|n| self.log_component(n, z))
            .collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let scaled: f64 = logs.iter().map(|l| (l - largest).exp()).sum();
        largest + scaled.ln() - self.log_count
    }
}

/// A grid that holds all of q̄, its points in rows, and the volume of a cell.
fn grid(codes: &Codes<f64>) -> Result<(Array2<f64>, f64), NoSurgery> {
    let dimensions = codes.means.ncols();
    let deviations = codes.log_variances.mapv(|s| (0.5 * s).exp());
    let axes: Vec<(f64, f64, f64)> = (0..dimensions)
        .map(|u| {
            let (mu, sigma) = (codes.means.column(u), deviations.column(u));
            let reach = |sign: f64| {
                let ends = mu.iter().zip(sigma).map(|(m, s)| sign * m + BEYOND * s);
                sign * ends.fold(f64::NEG_INFINITY, f64::max)
            };
            let step = sigma.fold(f64::INFINITY, |a, &b| a.min(b)) / STEPS;
            let (low, high) = (reach(-1.0), reach(1.0));
            (low, step, ((high - low) / step).ceil() + 1.0)
        })
        .collect();
    let points: f64 = axes.iter().map(|(_, _, count)| count).product();
    // NaN where a deviation underflowed to 0.
    let resolved = points <= LARGEST;
    if !resolved || !(1..=2).contains(&dimensions) {
        return Err(NoSurgery::TooManyPoints { dimensions, points });
    }
    let last = axes[dimensions - 1].2 as usize;
    let at = |(i, u): (usize, usize)| {
        let index = if u + 1 == dimensions {
            i % last
        } else {
            i / last
        };
        axes[u].0 + axes[u].1 * index as f64
    };
    let volume = axes.iter().map(|(_, step, _)| step).product();
    Ok((
        Array2::from_shape_fn((points as usize, dimensions), at),
        volume,
    ))
}
