//! Mixtures of Gaussians, and the EM algorithm that fits them.

use std::fmt;

use ndarray::{Array1, Array2, Array3, ArrayView2, Axis, s};
use rand::Rng;
use rand::seq::index::sample;

use super::Stopping;
use crate::autodiff::Tape;
use crate::distributions::{GaussianError, Moments, MultivariateGaussian};

/// Σ_k π_k N(x; μ_k, Σ_k) in d dimensions, to be fitted to data ([`kl::UnivariateMixture`](crate::kl::UnivariateMixture) is a target on the line). One-dimensional data are of shape (n, 1).
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianMixture {
    /// π, of shape (K); it adds up to 1, and may hold 0.
    pub weights: Array1<f64>,
    /// μ, of shape (K, d).
    pub means: Array2<f64>,
    /// Σ, of shape (K, d, d).
    pub covariances: Array3<f64>,
}

/// The covariances that the M-step may choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covariances {
    /// Diagonal ones.
    Diagonal,
    /// All.
    Full,
}

/// What EM found.
#[derive(Clone, Debug, PartialEq)]
pub struct EmFit {
    /// The mixture after the last step.
    pub mixture: GaussianMixture,
    /// Σ_n log p(x_n) in nats, at the start and after each step; it never falls, but for rounding.
    pub log_likelihoods: Vec<f64>,
    /// The bound of each step after its M-step, with q still the posterior of the mixture before: between the log-likelihood
    /// before and that after.
    pub bounds: Vec<f64>,
    /// Did the last step raise the log-likelihood by no more than the tolerance per datum, and not lower it, but for rounding?
    pub converged: bool,
}

/// Why a mixture cannot be fitted, or is none.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GaussianMixtureError {
    /// There is no datum, or a datum has no dimensions.
    NoData,
    /// An entry of the data, means or weights is not a finite number, or a weight is negative.
    NotANumber {
        /// Where.
        what: &'static str,
        /// The entry.
        index: Vec<usize>,
        /// What stands there.
        found: f64,
    },
    /// No component is asked for, or more than there are different data.
    Components {
        /// The number of components.
        components: usize,
        /// The number of different data, as far as they were looked at.
        different: usize,
    },
    /// There is no component, or the weights do not add up to 1.
    Weights {
        /// What they add up to.
        total: f64,
    },
    /// A component of the mixture that was passed has no density.
    Component {
        /// The component.
        component: usize,
        /// What is wrong with its covariance.
        cause: GaussianError,
    },
    /// A component has shrunk onto a point, a line or a plane: its density, and with it the likelihood, has no upper limit there, and
    /// a maximum-likelihood fit does not exist in this direction.
    Collapsed {
        /// The component.
        component: usize,
        /// The M-step, from 1, that made it so; 0 for the start.
        step: usize,
        /// The dimension that the ones before it explain.
        dimension: usize,
    },
}

impl fmt::Display for GaussianMixtureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoData => write!(
                f,
                "data: expected rows with at least one entry, found none: pass an array of shape (n, d), (n, 1) for \
                 numbers"
            ),
            Self::NotANumber { what, index, found } => write!(
                f,
                "{what}: expected a finite number (weights: at least 0), found {found} at {index:?}: remove or replace it"
            ),
            Self::Components {
                components,
                different,
            } => write!(
                f,
                "components: expected at least 1 and as many different data, found {components} components and {different} \
                 data to start them from: take fewer components or more data"
            ),
            Self::Weights { total: 0.0 } => write!(
                f,
                "weights: expected one component or more with a weight above 0, found none"
            ),
            Self::Weights { total } => write!(
                f,
                "weights: expected weights that add up to 1, found a sum of {total}: divide by it"
            ),
            Self::Component { component, cause } => write!(f, "component {component}: {cause}"),
            Self::Collapsed {
                component,
                step,
                dimension,
            } => write!(
                f,
                "component {component}: expected an extent in every direction, found none in dimension {dimension} after \
                 step {step}: the likelihood has no maximum there; start elsewhere, use fewer components, or drop \
                 dimensions and duplicates that determine each other"
            ),
        }
    }
}

impl std::error::Error for GaussianMixtureError {}

impl GaussianMixture {
    /// A start for EM: equal weights, the covariance of all data for every component, and means at randomly chosen data, no
    /// two the same: two components that begin alike stay so.
    ///
    /// # Errors
    /// If there are no data, they are not finite, or there are not as many different ones as components, or no component.
    pub fn start(
        data: ArrayView2<f64>,
        components: usize,
        covariances: Covariances,
        rng: &mut impl Rng,
    ) -> Result<Self, GaussianMixtureError> {
        check_data(data)?;
        let covariance = weighted_moments(data, Array1::ones(data.nrows()), covariances).covariance;
        let mut chosen: Vec<usize> = Vec::new();
        for index in sample(rng, data.nrows(), data.nrows()) {
            let is_new = || {
                chosen
                    .iter()
                    .all(|&known| data.row(known) != data.row(index))
            };
            if chosen.len() < components && is_new() {
                chosen.push(index);
            }
        }
        if chosen.len() < components || components == 0 {
            return Err(GaussianMixtureError::Components {
                components,
                different: chosen.len(),
            });
        }
        let d = data.ncols();
        let shape = (components, d, d);
        Ok(Self {
            weights: Array1::from_elem(components, 1.0 / components as f64),
            means: data.select(Axis(0), &chosen),
            covariances: covariance
                .broadcast(shape)
                .expect("one matrix for each")
                .to_owned(),
        })
    }

    /// log π_k + log N(x_n; μ_k, Σ_k), of shape (n, K): -∞ for a component of weight 0, whatever its covariance is.
    ///
    /// # Errors
    /// If the mixture or the data hold what does not belong there.
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn log_joint(&self, data: ArrayView2<f64>) -> Result<Array2<f64>, GaussianMixtureError> {
        Ok(self.joint(data)?.log_joint)
    }

    fn joint(&self, data: ArrayView2<f64>) -> Result<Joint, GaussianMixtureError> {
        check_data(data)?;
        self.check(data.ncols())?;
        let mut log_joint =
            Array2::from_elem((data.nrows(), self.weights.len()), f64::NEG_INFINITY);
        let tape = Tape::new();
        let x = tape.constant(data);
        for (k, mut column) in log_joint.columns_mut().into_iter().enumerate() {
            if self.weights[k] == 0.0 {
                continue;
            }
            let mean = tape.constant(self.means.row(k));
            let covariance = tape.constant(self.covariances.index_axis(Axis(0), k));
            let gaussian =
                MultivariateGaussian::from_covariance(mean, covariance).map_err(|cause| {
                    GaussianMixtureError::Component {
                        component: k,
                        cause,
                    }
                })?;
            let log_density = gaussian.log_density(x).value();
            column.assign(&(&log_density + self.weights[k].ln()));
        }
        let log_densities = log_sums(&log_joint);
        match log_densities.indexed_iter().find(|(_, l)| !l.is_finite()) {
            Some((datum, &found)) => Err(GaussianMixtureError::NotANumber {
                what: "log-density of a datum that is too far from every component",
                index: vec![datum],
                found,
            }),
            None => Ok(Joint {
                log_joint,
                log_densities,
            }),
        }
    }

    /// log p(x_n) of each datum, of shape (n), in nats.
    ///
    /// # Errors
    /// As [`log_joint`](Self::log_joint).
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn log_densities(
        &self,
        data: ArrayView2<f64>,
    ) -> Result<Array1<f64>, GaussianMixtureError> {
        Ok(self.joint(data)?.log_densities)
    }

    /// p(k|x_n), of shape (n, K): the exact posterior, which is EM's q.
    ///
    /// # Errors
    /// As [`log_joint`](Self::log_joint).
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn responsibilities(
        &self,
        data: ArrayView2<f64>,
    ) -> Result<Array2<f64>, GaussianMixtureError> {
        Ok(self.joint(data)?.posterior())
    }

    /// With the diagonals of its covariances alone, if only diagonal ones are to be chosen from.
    fn restricted(
        mut self,
        covariances: Covariances,
        d: usize,
    ) -> Result<Self, GaussianMixtureError> {
        self.check(d)?;
        if covariances == Covariances::Diagonal {
            self.covariances *= &Array2::eye(d);
        }
        Ok(self)
    }

    fn check(&self, d: usize) -> Result<(), GaussianMixtureError> {
        let k = self.weights.len();
        assert!(
            self.means.shape() == [k, d] && self.covariances.shape() == [k, d, d],
            "mixture: {k} weights, means of shape {:?} and covariances of shape {:?} do not fit data of {d} dimensions",
            self.means.shape(),
            self.covariances.shape()
        );
        check_finite("means", self.means.view())?;
        let wrong = |w: &&f64| !(**w >= 0.0 && w.is_finite());
        if let Some(index) = self.weights.iter().position(|w| wrong(&w)) {
            return Err(GaussianMixtureError::NotANumber {
                what: "weights",
                index: vec![index],
                found: self.weights[index],
            });
        }
        let total = self.weights.sum();
        match (total - 1.0).abs() <= f64::EPSILON.sqrt() {
            true => Ok(()),
            false => Err(GaussianMixtureError::Weights { total }),
        }
    }
}

/// EM: the E-step sets q to the posterior of the component, p(k|x_n); the M-step sets the mixture to the maximum of the bound for
/// this q, which are the weighted moments of the data. ([Notes](crate::variational#optimal-q-and-em))
///
/// With [`Covariances::Diagonal`] the start counts with the diagonals of its covariances alone: the likelihood of full ones
/// might be out of reach, and would fall.
///
/// A component to which no datum gives anything (its weight is 0, at the start or by underflow) stays as it is, with weight 0.
/// A component counts as collapsed when its deviation in some direction is below 1e-8 of that of the data, or is rounding.
///
/// ```
/// use elbo::variational::{Covariances, GaussianMixture, Stopping, em};
/// use ndarray::{arr1, arr2, arr3};
///
/// let data = arr2(&[[-2.1], [-1.9], [-2.0], [2.0], [2.2], [1.8]]);
/// let start = GaussianMixture {
///     weights: arr1(&[0.5, 0.5]),
///     means: arr2(&[[-1.0], [1.0]]),
///     covariances: arr3(&[[[1.0]], [[1.0]]]),
/// };
/// let fit = em(data.view(), start, Covariances::Full, Stopping::default())?;
/// assert!((fit.mixture.means[[0, 0]] + 2.0).abs() < 1e-6);
/// // It never falls, but for rounding.
/// assert!(fit.log_likelihoods.windows(2).all(|l| l[1] >= l[0] - 1e-12));
/// # Ok::<(), elbo::variational::GaussianMixtureError>(())
/// ```
///
/// # Errors
/// If there are no data, if data or start hold what does not belong there, or if a component collapses.
///
/// # Panics
/// If shapes do not fit.
pub fn em(
    data: ArrayView2<f64>,
    start: GaussianMixture,
    covariances: Covariances,
    stopping: Stopping,
) -> Result<EmFit, GaussianMixtureError> {
    check_data(data)?;
    let start = start.restricted(covariances, data.ncols())?;
    let mut joint = start.joint(data)?;
    let least_variances = least_variances(data);
    check_extent(&start, &least_variances, 0)?;
    let mut fit = EmFit {
        mixture: start,
        log_likelihoods: vec![joint.log_densities.sum()],
        bounds: Vec::new(),
        converged: false,
    };
    for step in 1..=stopping.steps {
        let q = joint.posterior();
        fit.mixture = maximise(data, &q, fit.mixture, covariances);
        check_extent(&fit.mixture, &least_variances, step)?;
        let next = fit.mixture.joint(data)?;
        fit.bounds.push(lower_bound(&next.log_joint, &q));
        fit.log_likelihoods.push(next.log_densities.sum());
        fit.converged = is_settled(
            &joint.log_densities,
            &next.log_densities,
            stopping.tolerance,
        );
        joint = next;
        if fit.converged {
            break;
        }
    }
    Ok(fit)
}

/// The log-likelihood has risen by no more than the tolerance per datum. A fall by rounding counts, for half of the digits:
/// a larger one would be no step of EM.
fn is_settled(before: &Array1<f64>, after: &Array1<f64>, tolerance: f64) -> bool {
    let rise = after.sum() - before.sum();
    let allowed = tolerance * after.len() as f64;
    let rounding = f64::EPSILON.sqrt() * before.mapv(f64::abs).sum();
    -allowed.max(rounding) <= rise && rise <= allowed
}

/// The M-step: weights, means and covariances of the data, each datum counted for component k as much as q_nk.
fn maximise(
    data: ArrayView2<f64>,
    q: &Array2<f64>,
    mut mixture: GaussianMixture,
    covariances: Covariances,
) -> GaussianMixture {
    let counts = q.sum_axis(Axis(0));
    mixture.weights = &counts / counts.sum();
    for (k, &count) in counts.iter().enumerate() {
        if count < f64::MIN_POSITIVE {
            // No datum speaks for it: the bound does not depend on its moments.
            mixture.weights[k] = 0.0;
            continue;
        }
        let moments = weighted_moments(data, &q.column(k) / count, covariances);
        mixture.means.row_mut(k).assign(&moments.mean);
        mixture
            .covariances
            .index_axis_mut(Axis(0), k)
            .assign(&moments.covariance);
    }
    mixture
}

/// Mean and covariance of the rows under weights, which are divided by their sum.
fn weighted_moments(
    data: ArrayView2<f64>,
    weights: Array1<f64>,
    covariances: Covariances,
) -> Moments {
    let weights = &weights / weights.sum();
    let moments = Moments::of(data, weights.view());
    match covariances {
        Covariances::Full => moments,
        Covariances::Diagonal => moments.diagonal(),
    }
}

/// Σ_n Σ_k q_nk [log p(x_n, k) - log q_nk], in nats.
fn lower_bound(log_joint: &Array2<f64>, q: &Array2<f64>) -> f64 {
    let terms = log_joint.iter().zip(q).filter(|(_, q)| **q > 0.0);
    terms.map(|(l, q)| q * (l - q.ln())).sum()
}

/// log Σ_k e^l of each row.
fn log_sums(log_joint: &Array2<f64>) -> Array1<f64> {
    log_joint.map_axis(Axis(1), |row| {
        let largest = row.fold(f64::NEG_INFINITY, |m, &l| m.max(l));
        largest + row.mapv(|l| (l - largest).exp()).sum().ln()
    })
}

/// log p(x_n, k), of shape (n, K), and log p(x_n), of shape (n).
struct Joint {
    log_joint: Array2<f64>,
    log_densities: Array1<f64>,
}

impl Joint {
    /// p(k|x_n), of shape (n, K).
    fn posterior(&self) -> Array2<f64> {
        let evidence = self.log_densities.view().insert_axis(Axis(1));
        (&self.log_joint - &evidence).mapv(f64::exp)
    }
}

/// The variances of the data, in each dimension, times (1e-8)², and at least the rounding of a mean, squared.
fn least_variances(data: ArrayView2<f64>) -> Array1<f64> {
    let largest = data.map_axis(Axis(0), |x| x.fold(0.0, |m: f64, x| m.max(x.abs())));
    let rounding = largest.mapv(|x| (8.0 * f64::EPSILON * x).powi(2));
    let variances = data.var_axis(Axis(0), 0.0) * 1e-16;
    ndarray::Zip::from(&variances)
        .and(&rounding)
        .map_collect(|v, r| v.max(*r))
}

/// No component is flat: each variance, given the dimensions before it, is larger than the least one.
fn check_extent(
    mixture: &GaussianMixture,
    least: &Array1<f64>,
    step: usize,
) -> Result<(), GaussianMixtureError> {
    for component in (0..mixture.weights.len()).filter(|&k| mixture.weights[k] > 0.0) {
        let tape = Tape::new();
        let covariance = mixture.covariances.slice(s![component, .., ..]);
        let flat = match tape.constant(covariance).cholesky() {
            Ok(factor) => {
                let pivots = factor.diagonal().value();
                (0..least.len()).find(|&j| pivots[j].powi(2) <= least[j])
            }
            Err(cause) => Some(cause.pivot),
        };
        if let Some(dimension) = flat {
            return Err(GaussianMixtureError::Collapsed {
                component,
                step,
                dimension,
            });
        }
    }
    Ok(())
}

fn check_data(data: ArrayView2<f64>) -> Result<(), GaussianMixtureError> {
    if data.is_empty() {
        return Err(GaussianMixtureError::NoData);
    }
    check_finite("data", data)
}

fn check_finite(what: &'static str, entries: ArrayView2<f64>) -> Result<(), GaussianMixtureError> {
    match entries.indexed_iter().find(|(_, x)| !x.is_finite()) {
        Some(((i, j), &found)) => Err(GaussianMixtureError::NotANumber {
            what,
            index: vec![i, j],
            found,
        }),
        None => Ok(()),
    }
}
