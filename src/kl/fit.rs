//! Fitting a Gaussian to any density, in either direction of the divergence.

use std::fmt;

use ndarray::{Array1, Array2, Axis};

use super::Nodes;
use super::descent::{End, Objective, descend, largest, slope_at};
use crate::autodiff::{Tape, Var, array};
use crate::distributions::{GaussianError, Moments, MultivariateGaussian};

/// Which Gaussians a fit may choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Independent dimensions: the mean-field family.
    Diagonal,
    /// Any covariance.
    Full,
}

/// How a fit is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitOptions {
    /// Nodes along each dimension for expectations under q. By default 1001, 61, 25 and 15 in one to four dimensions, and
    /// half as many more again and again while the error of the quadrature is too large.
    pub nodes: Option<usize>,
    /// The largest error of the quadrature of a reverse fit, in nats: 10⁻³.
    pub quadrature: f64,
    /// The largest entry of the gradient at which a fit has converged, in nats per deviation of the start (or of the q at
    /// which a descent that had come to a stop began anew): 10⁻⁹.
    pub tolerance: f64,
    /// Steps before giving up: 500.
    pub iterations: usize,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            nodes: None,
            quadrature: 1e-3,
            tolerance: 1e-9,
            iterations: 500,
        }
    }
}

/// A Gaussian at which the divergence is stationary.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Mean and covariance of q.
    pub q: Moments,
    /// The divergence, in nats. Of a reverse fit, E_q[log q - log p̃] for the given log-density log p̃: KL(q ‖ p) if that is
    /// normalised, else KL(q ‖ p) - log Z with Z = ∫ p̃.
    pub divergence: f64,
    /// By how much the divergence at q changes with another rule: of a reverse fit, with one that has half as many nodes more
    /// along each dimension; of a forward fit, with every second node of the grid.
    pub quadrature_error: f64,
    /// Is it a minimum (a positive definite Hessian)? If not, a saddle: a symmetric start may lead to one. The Hessian is that
    /// of the tape, which does not see the kinks of a log-density.
    pub minimum: bool,
    /// Steps.
    pub iterations: usize,
}

/// Why there is no fit.
#[derive(Clone, Debug, PartialEq)]
pub enum FitError {
    /// The start is no Gaussian.
    Start(GaussianError),
    /// At the start the divergence is not finite: the log-density is -∞, ∞ or NaN where q has mass.
    NotFinite,
    /// The gradient did not vanish.
    NotConverged {
        /// Steps.
        iterations: usize,
        /// The largest entry of the gradient.
        slope: f64,
    },
    /// The rule for expectations under q is too coarse: its error, in nats.
    Quadrature(f64),
    /// The target's log-density is NaN or ∞ at this point.
    Density(Vec<f64>),
    /// The target has no mass on its grid.
    NoMass,
    /// The target has mass at the border of its grid: this part of the largest density there is.
    CutOff(f64),
    /// The grid is too coarse for the target. With every second node, its mass (in nats), a mean (in deviations) or a variance
    /// (relative to it) differs by so much.
    Coarse(f64),
    /// The best Gaussian does not exist: the target's moments are those of a point or of a line.
    Degenerate(GaussianError),
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(reason) => write!(f, "the start is no Gaussian: {reason}"),
            Self::NotFinite => write!(
                f,
                "expected a finite divergence at the start, found none: the reverse divergence is infinite from a q that \
                 has mass where the target has none, as every Gaussian has on a bounded target"
            ),
            Self::NotConverged { iterations, slope } => write!(
                f,
                "expected a vanishing gradient, found an entry of {slope:e} after {iterations} steps; start nearer, allow \
                 more steps or a larger tolerance; or there is no minimum, as where the target cannot be normalised, or the \
                 log-density has a kink, where its slope jumps"
            ),
            Self::Quadrature(error) => write!(
                f,
                "expected expectations under q to be nearly exact, found an error of {error:e} nats; take more nodes, or allow \
                 a larger error"
            ),
            Self::Density(point) => write!(
                f,
                "expected a log-density that is a number or -∞, found another at {point:?}"
            ),
            Self::NoMass => write!(
                f,
                "expected a target with mass on its grid, found a density of 0 at every node"
            ),
            Self::CutOff(part) => write!(
                f,
                "expected a target inside of its grid, found {part:e} of its largest density at the border; widen the grid"
            ),
            Self::Coarse(difference) => write!(
                f,
                "expected a grid that is finer than the target, found that with every second node mass, mean or variance \
                 differs by {difference:e}; take more points, or a smaller box"
            ),
            Self::Degenerate(reason) => write!(
                f,
                "expected a target that a Gaussian can match, found moments of none ({reason}); refine the grid"
            ),
        }
    }
}

impl std::error::Error for FitError {}

/// A Gaussian family in coordinates in which the start is the standard one: μ = μ₀ + L₀m and L = L₀B, with B lower
/// triangular of diagonal e^ℓ. The parameters are m, ℓ and what is below B's diagonal, and none has a unit, so that one
/// tolerance serves every scale.
struct Family {
    shape: Shape,
    start_mean: Array1<f64>,
    start_factor: Array2<f64>,
}

impl Family {
    fn around(start: &Moments, shape: Shape) -> Result<Self, GaussianError> {
        let tape = Tape::new();
        let start = match shape {
            Shape::Full => start.clone(),
            Shape::Diagonal => start.diagonal(),
        };
        let factor = start.on(&tape)?.factor();
        Ok(Self {
            shape,
            start_mean: start.mean,
            start_factor: array(factor.value()),
        })
    }

    fn dimensions(&self) -> usize {
        self.start_mean.len()
    }

    /// Where in the flat matrix B the parameters after m go: first its diagonal, then what is below.
    fn places(&self) -> Vec<usize> {
        let d = self.dimensions();
        let diagonal = (0..d).map(|i| i * d + i);
        let below = (0..d).flat_map(|i| (0..i).map(move |j| i * d + j));
        match self.shape {
            Shape::Diagonal => diagonal.collect(),
            Shape::Full => diagonal.chain(below).collect(),
        }
    }

    /// The start, as parameters: all zeros.
    fn origin(&self) -> Array1<f64> {
        Array1::zeros(self.dimensions() + self.places().len())
    }

    /// The Gaussian of these parameters, if its factor neither under- nor overflows.
    fn gaussian<'t>(&self, parameters: Var<'t, f64>) -> Option<MultivariateGaussian<'t, f64>> {
        let (tape, d) = (parameters.tape(), self.dimensions());
        let mean = parameters.slice(0, 0..d);
        let diagonal = parameters.slice(0, d..2 * d).exp();
        let below = parameters.slice(0, 2 * d..parameters.size());
        let entries = tape.concatenate(0, &[diagonal, below]);
        let relative = entries.scatter_add(&self.places(), d * d).reshape(&[d, d]);
        let start = tape.constant(self.start_factor.clone());
        let mean = tape.constant(self.start_mean.clone()) + start.matmul(mean);
        MultivariateGaussian::from_factor(mean, start.matmul(relative).lower_triangle()).ok()
    }

    fn moments(&self, parameters: &Array1<f64>) -> Option<Moments> {
        let tape = Tape::new();
        let q = self.gaussian(tape.constant(parameters.clone()))?;
        Some(q.value())
    }

    /// The end of a descent, as a fit.
    fn fit(&self, end: End, other_rule: &dyn Divergence) -> Result<Fit, FitError> {
        let q = self.moments(&end.at);
        let other = InFamily(self, other_rule);
        Ok(Fit {
            q: q.ok_or_else(|| not_converged(&end))?,
            divergence: end.value,
            quadrature_error: (slope_at(&end.at, &other).0 - end.value).abs(),
            minimum: end.minimum,
            iterations: end.iterations,
        })
    }
}

fn not_converged(end: &End) -> FitError {
    FitError::NotConverged {
        iterations: end.iterations,
        slope: end.slope,
    }
}

/// log p̃ of points in rows, one number for each: behind a reference, so that what follows is compiled once and not once for
/// each density.
type LogDensity<'f> = dyn for<'t> Fn(Var<'t, f64>) -> Var<'t, f64> + 'f;

/// A divergence between q and the target, up to a constant, in nats.
trait Divergence {
    fn of<'t>(&self, q: &MultivariateGaussian<'t, f64>) -> Var<'t, f64>;
}

/// E_q[log q - log p̃] = -H(q) - Σ w log p̃(μ + Lε): the entropy exactly, the rest over the nodes of the noise.
struct Reverse<'a> {
    noise: Nodes,
    log_p: &'a LogDensity<'a>,
}

impl Divergence for Reverse<'_> {
    fn of<'t>(&self, q: &MultivariateGaussian<'t, f64>) -> Var<'t, f64> {
        let tape = q.mean().tape();
        let z = q.sample(tape.constant(self.noise.points().clone()));
        let log_p = (self.log_p)(z);
        assert!(
            log_p.shape() == [self.noise.len()],
            "reverse_fit: expected a log-density of shape [{}], found {:?}",
            self.noise.len(),
            log_p.shape()
        );
        let weights = tape.constant(self.noise.weights().clone());
        -(q.entropy() + (log_p * weights).sum())
    }
}

/// A divergence as a function of a family's parameters.
struct InFamily<'a>(&'a Family, &'a dyn Divergence);

impl Objective for InFamily<'_> {
    fn at<'t>(&self, parameters: Var<'t, f64>) -> Var<'t, f64> {
        match self.0.gaussian(parameters) {
            Some(q) => self.1.of(&q),
            // An infinite divergence, on the tape of the parameters.
            None => parameters.sum() * 0.0 + f64::INFINITY,
        }
    }
}

/// Descends from `start`, in stretches.
///
/// The gradient is in deviations of the Gaussian that a descent starts from. Where q has become much narrower than that, or
/// correlated, the rounding of z alone makes a slope, and the steps are short: so after a stretch q itself is the next start.
fn descend_to_fit(
    start: &Moments,
    shape: Shape,
    [divergence, other_rule]: [&dyn Divergence; 2],
    effort: &FitOptions,
) -> Result<Fit, FitError> {
    const STRETCH: usize = 100;
    const STOPS: usize = 3;
    let mut family = Family::around(start, shape).map_err(FitError::Start)?;
    let value = slope_at(&family.origin(), &InFamily(&family, divergence)).0;
    if !value.is_finite() {
        return Err(FitError::NotFinite);
    }
    let (mut iterations, mut stops) = (0, 0);
    loop {
        let stretch = STRETCH.min(effort.iterations - iterations);
        let objective = InFamily(&family, divergence);
        let mut end = descend(family.origin(), &objective, effort.tolerance, stretch);
        stops += usize::from(end.iterations < stretch);
        iterations += end.iterations;
        end.iterations = iterations;
        if end.converged {
            return family.fit(end, other_rule);
        }
        if stops > STOPS || iterations == effort.iterations {
            return Err(not_converged(&end));
        }
        let q = family.moments(&end.at);
        let next = q.and_then(|q| Family::around(&q, shape).ok());
        family = next.ok_or_else(|| not_converged(&end))?;
    }
}

/// Nodes along each dimension to begin with.
fn nodes_per_axis(effort: &FitOptions, dimensions: usize) -> usize {
    const PER_AXIS: [usize; 4] = [1001, 61, 25, 15];
    assert!(
        (1..=4).contains(&dimensions),
        "reverse_fit: expected 1 to 4 dimensions, found {dimensions}: a grid of nodes has no more"
    );
    effort.nodes.unwrap_or(PER_AXIS[dimensions - 1])
}

/// The Gaussian q at which KL(q ‖ p) is stationary and to which descent from `start` leads, for any log-density that is
/// smooth ([notes](crate::kl#mode-covering-mode-seeking)). At a kink, where its slope jumps, the gradient over nodes jumps too,
/// and a descent may find none that vanishes.
///
/// `log_p` receives points in rows, of shape (n, d), and returns a log-density for each, of shape (n); it need not be normalised.
/// Expectations are sums over a grid of noise, so that the result is deterministic, and as exact as its
/// `quadrature_error` says. There may be several minima: see [`reverse_minima`].
///
/// ```
/// use elbo::kl::{FitOptions, Moments, Shape, reverse_fit};
/// use ndarray::arr1;
///
/// // The density proportional to e^(-z⁴) has the variance 0.338. Its best Gaussian is narrower: 1/√12.
/// let start = Moments::isotropic(arr1(&[0.3]), 1.0);
/// let fit = reverse_fit(|z| -z.powi(4).sum_last(), Shape::Full, &start, &FitOptions::default())?;
/// assert!((fit.q.covariance[[0, 0]] - 12f64.sqrt().recip()).abs() < 1e-9);
/// # Ok::<(), elbo::kl::FitError>(())
/// ```
///
/// # Errors
/// If the start is no Gaussian, the divergence is infinite there, the gradient does not vanish, or the error of the quadrature
/// is too large.
///
/// # Panics
/// If there are more than four dimensions, or the log-density does not give one number for each point.
pub fn reverse_fit(
    log_p: impl for<'t> Fn(Var<'t, f64>) -> Var<'t, f64>,
    shape: Shape,
    start: &Moments,
    effort: &FitOptions,
) -> Result<Fit, FitError> {
    fit_to(&log_p, shape, start, effort)
}

fn fit_to(
    log_p: &LogDensity<'_>,
    shape: Shape,
    start: &Moments,
    effort: &FitOptions,
) -> Result<Fit, FitError> {
    /// More nodes than these in all are not tried.
    const MOST: usize = 100_000;
    let dimensions = start.mean.len();
    let mut nodes = nodes_per_axis(effort, dimensions);
    loop {
        let finer = nodes + nodes / 2;
        let [rule, finer_rule] = [nodes, finer].map(|nodes| Reverse {
            noise: Nodes::standard_normal(nodes, dimensions),
            log_p,
        });
        let fit = descend_to_fit(start, shape, [&rule, &finer_rule], effort)?;
        if fit.quadrature_error <= effort.quadrature {
            return Ok(fit);
        }
        if effort.nodes.is_some() || finer.pow(dimensions as u32) > MOST {
            return Err(FitError::Quadrature(fit.quadrature_error));
        }
        nodes = finer;
    }
}

/// What descents from several starts found.
#[derive(Clone, Debug, PartialEq)]
pub struct Minima {
    /// The distinct local minima, the least divergence first.
    pub fits: Vec<Fit>,
    /// How many starts ended at a saddle.
    pub saddles: usize,
    /// Why other starts led nowhere.
    pub failures: Vec<FitError>,
}

/// All distinct local minima of KL(q ‖ p) that descents from these starts lead to. A minimum that no start leads to is not
/// found: take many, narrow and wide ones ([`starts`]).
///
/// # Panics
/// As [`reverse_fit`].
pub fn reverse_minima(
    log_p: impl for<'t> Fn(Var<'t, f64>) -> Var<'t, f64>,
    shape: Shape,
    starts: &[Moments],
    effort: &FitOptions,
) -> Minima {
    minima_from(&log_p, shape, starts, effort)
}

fn minima_from(
    log_p: &LogDensity<'_>,
    shape: Shape,
    starts: &[Moments],
    effort: &FitOptions,
) -> Minima {
    let mut minima = Minima {
        fits: Vec::new(),
        saddles: 0,
        failures: Vec::new(),
    };
    for start in starts {
        match fit_to(log_p, shape, start, effort) {
            Ok(fit) if !fit.minimum => minima.saddles += 1,
            Ok(fit) if minima.fits.iter().any(|known| same(&known.q, &fit.q)) => {}
            Ok(fit) => minima.fits.push(fit),
            Err(failure) => minima.failures.push(failure),
        }
    }
    let by_divergence = |a: &Fit, b: &Fit| a.divergence.total_cmp(&b.divergence);
    minima.fits.sort_by(by_divergence);
    minima
}

/// Are two Gaussians the same but for what a descent leaves?
fn same(a: &Moments, b: &Moments) -> bool {
    const CLOSE: f64 = 1e-4;
    let d = a.mean.len();
    let deviation = |i: usize| a.covariance[[i, i]].sqrt();
    (0..d).all(|i| {
        (a.mean[i] - b.mean[i]).abs() <= CLOSE * deviation(i)
            && (0..d).all(|j| {
                let difference = (a.covariance[[i, j]] - b.covariance[[i, j]]).abs();
                difference <= CLOSE * deviation(i) * deviation(j)
            })
    })
}

/// Starts for [`reverse_minima`]: means on a lattice of `per_axis` points along each axis of a box, each with a narrow and
/// with a wide deviation, a twentieth and a quarter of the box.
///
/// # Panics
/// If the box has no inside or no dimension.
pub fn starts(grid: &Grid, per_axis: usize) -> Vec<Moments> {
    let lattice = Grid {
        points: per_axis,
        ..grid.clone()
    };
    let widths = grid.upper.iter().zip(&grid.lower).map(|(u, l)| u - l);
    let width = widths.fold(f64::INFINITY, f64::min);
    let means = lattice.interior();
    let both = |mean: ndarray::ArrayView1<'_, f64>| {
        [0.05, 0.25].map(|part| Moments::isotropic(mean.to_owned(), part * width))
    };
    means.outer_iter().flat_map(both).collect()
}

/// A box with equally spaced points along each axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The least coordinates.
    pub lower: Vec<f64>,
    /// The greatest.
    pub upper: Vec<f64>,
    /// How many points along each axis, both ends among them.
    pub points: usize,
}

impl Grid {
    /// The points, in rows.
    fn nodes(&self) -> Array2<f64> {
        let last = (self.points - 1) as f64;
        self.lattice(|i| i as f64 / last)
    }

    /// As many points inside of the box.
    fn interior(&self) -> Array2<f64> {
        let parts = self.points as f64;
        self.lattice(|i| (i as f64 + 0.5) / parts)
    }

    fn lattice(&self, part: impl Fn(usize) -> f64) -> Array2<f64> {
        let (d, n) = (self.lower.len(), self.points);
        let sound = d > 0
            && self.upper.len() == d
            && n >= 2
            && self.lower.iter().zip(&self.upper).all(|(l, u)| l < u);
        assert!(sound, "grid: no inside in {self:?}");
        Array2::from_shape_fn((n.pow(d as u32), d), |(i, j)| {
            let t = part(i / n.pow(j as u32) % n);
            self.lower[j] * (1.0 - t) + self.upper[j] * t
        })
    }

    /// Is this node at the border of the box?
    fn at_border(&self, i: usize) -> bool {
        self.places(i)
            .any(|place| [0, self.points - 1].contains(&place))
    }

    /// Is this a node of the grid of twice the spacing?
    fn is_even(&self, i: usize) -> bool {
        self.places(i).all(|place| place % 2 == 0)
    }

    /// The number of a node along each axis.
    fn places(&self, i: usize) -> impl Iterator<Item = usize> {
        let n = self.points;
        (0..self.lower.len()).map(move |j| i / n.pow(j as u32) % n)
    }
}

/// A density on a grid: what the forward divergence needs, an expectation under p itself.
#[derive(Clone, Debug)]
pub struct Target {
    all: Masses,
    /// With every second node along each axis.
    half: Masses,
}

/// The nodes of a grid that have mass.
#[derive(Clone, Debug)]
struct Masses {
    /// With p's probabilities.
    nodes: Nodes,
    /// E_p log p, with p normalised.
    negative_entropy: f64,
    log_normaliser: f64,
}

impl Masses {
    /// Of points with a log-density, each of which stands for a part of the box of this volume; `None` if there is no mass.
    fn of(points: Array2<f64>, log_p: Array1<f64>, volume: f64) -> Option<Self> {
        let most = log_p.fold(f64::NEG_INFINITY, |m, &x| m.max(x));
        if most == f64::NEG_INFINITY {
            return None;
        }
        let scaled = log_p.mapv(|x| (x - most).exp());
        let log_normaliser = most + (scaled.sum() * volume).ln();
        let weights = &scaled / scaled.sum();
        let with_mass = weights.iter().zip(&log_p).filter(|(w, _)| **w > 0.0);
        Some(Self {
            negative_entropy: with_mass
                .map(|(w, log_p)| w * (log_p - log_normaliser))
                .sum(),
            nodes: Nodes::new(points, weights).expect("normalised").support(),
            log_normaliser,
        })
    }

    /// How far another rule's mass, means and variances are from these: the largest difference, in nats, deviations and
    /// parts of the variance; ∞ if these have no extent.
    fn distance(&self, other: &Self) -> f64 {
        let [these, those] = [self, other].map(|masses| masses.nodes.moments());
        let variances = these.covariance.diag();
        if variances.iter().any(|&variance| variance == 0.0) {
            return f64::INFINITY;
        }
        let means = (&those.mean - &these.mean) / variances.mapv(f64::sqrt);
        let spreads = &those.covariance.diag() / &variances - 1.0;
        let mass = other.log_normaliser - self.log_normaliser;
        largest(&means.into_iter().chain(spreads).chain([mass]).collect())
    }
}

/// E_p[log p - log q], over the nodes of p.
impl Divergence for Masses {
    fn of<'t>(&self, q: &MultivariateGaussian<'t, f64>) -> Var<'t, f64> {
        let tape = q.mean().tape();
        let log_q = q.log_density(tape.constant(self.nodes.points().clone()));
        let weights = tape.constant(self.nodes.weights().clone());
        (log_q * weights)
            .sum()
            .subtracted_from(self.negative_entropy)
    }
}

/// The part of its largest density that a target may have at the border of its grid.
const BORDER: f64 = 1e-12;

/// How far mass, means and variances with every second node may be from those with all. For a Gaussian the error of all
/// nodes is then below 10⁻⁸: it falls as the fourth power when their number doubles.
const RESOLVED: f64 = 0.01;

impl Target {
    /// The density e^(log p̃)/Z by the trapezium rule on a grid: for what is smooth and small at the border, the error falls
    /// faster than any power of the spacing.
    ///
    /// # Errors
    /// If the log-density is NaN or ∞ somewhere, -∞ everywhere, or not small at the border, or if the grid is too coarse for it.
    ///
    /// # Panics
    /// If the grid has no inside, or the log-density does not give one number for each point.
    pub fn on_grid(
        log_p: impl for<'t> Fn(Var<'t, f64>) -> Var<'t, f64>,
        grid: &Grid,
    ) -> Result<Self, FitError> {
        Self::of_density(&log_p, grid)
    }

    fn of_density(log_p: &LogDensity<'_>, grid: &Grid) -> Result<Self, FitError> {
        let points = grid.nodes();
        let tape = Tape::new();
        let log_p = log_p(tape.constant(points.clone())).value();
        assert!(
            log_p.shape() == [points.nrows()],
            "target: expected a log-density of shape [{}], found {:?}",
            points.nrows(),
            log_p.shape()
        );
        let wrong = |x: &f64| x.is_nan() || *x == f64::INFINITY;
        if let Some(i) = log_p.iter().position(wrong) {
            return Err(FitError::Density(points.row(i).to_vec()));
        }
        let log_p: Array1<f64> = log_p.iter().copied().collect();
        let most = log_p.fold(f64::NEG_INFINITY, |m, &x| m.max(x));
        let border = (0..log_p.len()).filter(|&i| grid.at_border(i));
        let cut = border.map(|i| (log_p[i] - most).exp()).fold(0.0, f64::max);
        if cut > BORDER {
            return Err(FitError::CutOff(cut));
        }
        let spacing = |(l, u): (&f64, &f64)| (u - l) / (grid.points - 1) as f64;
        let volume: f64 = grid.lower.iter().zip(&grid.upper).map(spacing).product();
        let second: Vec<usize> = (0..log_p.len()).filter(|&i| grid.is_even(i)).collect();
        let half = Masses::of(
            points.select(Axis(0), &second),
            log_p.select(Axis(0), &second),
            volume * 2f64.powi(grid.lower.len() as i32),
        );
        let all = Masses::of(points, log_p, volume).ok_or(FitError::NoMass)?;
        let half = half.ok_or(FitError::Coarse(f64::INFINITY))?;
        let difference = all.distance(&half);
        match difference <= RESOLVED {
            true => Ok(Self { all, half }),
            false => Err(FitError::Coarse(difference)),
        }
    }

    /// log Z = log ∫ p̃: 0 if the log-density was normalised. A reverse fit's divergence plus log Z is KL(q ‖ p).
    pub fn log_normaliser(&self) -> f64 {
        self.all.log_normaliser
    }

    /// -E_p log p, in nats.
    pub fn entropy(&self) -> f64 {
        -self.all.negative_entropy
    }

    /// Mean and covariance of p.
    pub fn moments(&self) -> Moments {
        self.all.nodes.moments()
    }

    /// The Gaussian with the least KL(p ‖ q), in closed form: p's mean with its covariance, or with the diagonal of that
    /// ([notes](crate::kl#forward-kl-moment-matching)).
    ///
    /// # Errors
    /// If the moments are those of no Gaussian.
    pub fn forward_projection(&self, shape: Shape) -> Result<Fit, FitError> {
        let family = Family::around(&self.moments(), shape).map_err(FitError::Degenerate)?;
        // At the start already: no step is taken.
        let objective = InFamily(&family, &self.all);
        let end = descend(family.origin(), &objective, f64::INFINITY, 0);
        family.fit(end, &self.half)
    }

    /// The same by descent from a start. KL(p ‖ q) has one minimum: all starts lead there.
    ///
    /// # Errors
    /// If the start is no Gaussian, or the gradient does not vanish.
    pub fn forward_fit(
        &self,
        shape: Shape,
        start: &Moments,
        effort: &FitOptions,
    ) -> Result<Fit, FitError> {
        descend_to_fit(start, shape, [&self.all, &self.half], effort)
    }
}
