//! Mean field on a table: the best product of factors, found one factor at a time.

use ndarray::{Array1, ArrayD, ArrayView1, Axis};

use crate::background::{BadData, check_distribution, check_log_numbers};

/// When an ascent ends; by default after 10,000 steps or at a tolerance of 10⁻¹².
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stopping {
    /// The largest number of sweeps or steps.
    pub steps: usize,
    /// It has converged when a step changes nothing by more than this: no probability for mean field, no log-likelihood (in nats
    /// per datum) for EM.
    pub tolerance: f64,
}

impl Default for Stopping {
    fn default() -> Self {
        Self {
            steps: 10_000,
            tolerance: 1e-12,
        }
    }
}

impl Stopping {
    /// After exactly this many sweeps or steps: no change, not even none, is small enough to end sooner, and what is found
    /// does not count as converged.
    ///
    /// ```
    /// use elbo::variational::{Covariances, GaussianMixture, Stopping, em};
    /// use ndarray::{arr1, arr2, arr3};
    ///
    /// // One component: the first step of EM is the last that changes anything.
    /// let data = arr2(&[[1.0], [3.0]]);
    /// let start = GaussianMixture {
    ///     weights: arr1(&[1.0]),
    ///     means: arr2(&[[0.0]]),
    ///     covariances: arr3(&[[[1.0]]]),
    /// };
    /// let fit = em(data.view(), start, Covariances::Full, Stopping::exactly(5))?;
    /// assert_eq!(fit.bounds.len(), 5);
    /// assert!(!fit.converged);
    /// # Ok::<(), elbo::variational::GaussianMixtureError>(())
    /// ```
    pub fn exactly(steps: usize) -> Self {
        Self {
            steps,
            tolerance: f64::NEG_INFINITY,
        }
    }
}

/// What coordinate ascent found.
#[derive(Clone, Debug, PartialEq)]
pub struct TableMeanField {
    /// q_j, one vector of probabilities for each variable.
    pub factors: Vec<Array1<f64>>,
    /// The bound at the start and after each sweep, in nats; it never falls.
    pub elbos: Vec<f64>,
    /// Did the last sweep change no probability by more than the tolerance?
    pub converged: bool,
}

impl TableMeanField {
    /// The bound that was reached.
    pub fn elbo(&self) -> f64 {
        *self.elbos.last().expect("the start's bound at least")
    }
}

/// Coordinate ascent on the bound of q(z) = Π_j q_j(z_j), for a table log p(x, z_1, …, z_n) with one axis for each variable. Each sweep
/// sets every factor to its optimum given the others, in order.
///
/// The table may be unnormalised and hold -∞. Cost: n contractions of the whole table a sweep.
/// ([Notes](crate::variational#mean-field-factor))
///
/// ```
/// use elbo::variational::{Stopping, coordinate_ascent};
/// use ndarray::{arr1, arr2};
///
/// // Two coins that tend to agree.
/// let log_joint = arr2(&[[0.4, 0.1], [0.1, 0.4]]).mapv(f64::ln).into_dyn();
/// let start = [arr1(&[0.6, 0.4]), arr1(&[0.5, 0.5])];
/// let fit = coordinate_ascent(&log_joint, &start, Stopping::default())?;
/// assert!(fit.converged && fit.elbo() <= 0.0); // log p(x) = 0
/// # Ok::<(), elbo::background::BadData>(())
/// ```
///
/// # Errors
/// If the table or the start hold what is no probability, or from this start no factor can be chosen.
///
/// # Panics
/// If there is not one factor of the right length for each axis.
pub fn coordinate_ascent(
    log_joint: &ArrayD<f64>,
    start: &[Array1<f64>],
    stopping: Stopping,
) -> Result<TableMeanField, BadData> {
    check(log_joint, start)?;
    let mut factors = start.to_vec();
    let mut elbos = vec![bound(log_joint, &factors)];
    let mut converged = false;
    while !converged && elbos.len() <= stopping.steps {
        let before = factors.clone();
        for j in 0..factors.len() {
            factors[j] = best_factor(log_joint, &factors, j)?;
        }
        elbos.push(bound(log_joint, &factors));
        converged = distance(&before, &factors) <= stopping.tolerance;
    }
    Ok(TableMeanField {
        factors,
        elbos,
        converged,
    })
}

/// Factors that differ by less than this in every probability are the same.
const SAME: f64 = 1e-5;

/// The different optima that ascents from several starts end in, the highest bound first: a bound over products has more than one
/// maximum, and which is reached depends on the start. Ascents that did not converge are left out.
///
/// An ascent may also end in a saddle, which the next push would leave. So each end is pushed, always in the same way, by at
/// most 1 % of each probability, and the ascent goes on from there as long as that leads to a higher bound; `elbos` are those
/// since the last push that did. (An optimum whose neighbourhood is flat to the digits of f64 cannot be told from a saddle.)
///
/// # Errors
/// As [`coordinate_ascent`].
///
/// # Panics
/// As [`coordinate_ascent`].
pub fn distinct_optima(
    log_joint: &ArrayD<f64>,
    starts: &[Vec<Array1<f64>>],
    stopping: Stopping,
) -> Result<Vec<TableMeanField>, BadData> {
    let mut found: Vec<TableMeanField> = Vec::new();
    for start in starts {
        let fit = ascent_past_saddles(log_joint, start, stopping)?;
        let is_known = |known: &TableMeanField| distance(&known.factors, &fit.factors) < SAME;
        if fit.converged && !found.iter().any(is_known) {
            found.push(fit);
        }
    }
    found.sort_by(|a, b| b.elbo().total_cmp(&a.elbo()));
    Ok(found)
}

fn ascent_past_saddles(
    log_joint: &ArrayD<f64>,
    start: &[Array1<f64>],
    stopping: Stopping,
) -> Result<TableMeanField, BadData> {
    let mut fit = coordinate_ascent(log_joint, start, stopping)?;
    while fit.converged {
        let next = coordinate_ascent(log_joint, &pushed(&fit.factors), stopping)?;
        let rounding = f64::EPSILON.sqrt() * fit.elbo().abs().max(1.0);
        let is_same = distance(&next.factors, &fit.factors) < SAME;
        if is_same || next.elbo() <= fit.elbo() + rounding {
            break;
        }
        fit = next;
    }
    Ok(fit)
}

/// Every probability times a number within 1 % of 1, all of them different: no symmetry of the table is one of these. What
/// is 0 stays 0.
fn pushed(factors: &[Array1<f64>]) -> Vec<Array1<f64>> {
    let mut angles = (1..).map(f64::from);
    let mut push = |q: &f64| q * (1.0 + 0.01 * angles.next().expect("endless").sin());
    let mut tilted = |factor: &Array1<f64>| {
        let tilted: Array1<f64> = factor.iter().map(&mut push).collect();
        let total = tilted.sum();
        tilted / total
    };
    factors.iter().map(&mut tilted).collect()
}

/// q_j* ∝ exp E_{-j} log p(x, z): the factor of the largest bound, given the others.
///
/// # Errors
/// If the table or a factor holds what is no probability, or the expectation is -∞ for every state of variable j.
///
/// # Panics
/// If there is not one factor of the right length for each axis, or no axis j.
pub fn optimal_factor(
    log_joint: &ArrayD<f64>,
    factors: &[Array1<f64>],
    j: usize,
) -> Result<Array1<f64>, BadData> {
    check(log_joint, factors)?;
    best_factor(log_joint, factors, j)
}

/// E_{-j} log p(x, z) in nats, for each state of variable j: the mean over all variables but j. -∞ where the others have mass
/// at an impossible state.
///
/// # Errors
/// If the table or a factor holds what is no probability.
///
/// # Panics
/// If there is not one factor of the right length for each axis, or no axis j.
pub fn expected_log_joint(
    log_joint: &ArrayD<f64>,
    factors: &[Array1<f64>],
    j: usize,
) -> Result<Array1<f64>, BadData> {
    check(log_joint, factors)?;
    Ok(mean_over_others(log_joint, factors, j))
}

/// The bound E_q log p(x, z) - Σ_j E log q_j of a product of factors, in nats. -∞ if it has mass at an impossible state.
///
/// # Errors
/// If the table or a factor holds what is no probability.
///
/// # Panics
/// If there is not one factor of the right length for each axis, or no variable.
pub fn elbo(log_joint: &ArrayD<f64>, factors: &[Array1<f64>]) -> Result<f64, BadData> {
    check(log_joint, factors)?;
    Ok(bound(log_joint, factors))
}

fn best_factor(
    log_joint: &ArrayD<f64>,
    factors: &[Array1<f64>],
    j: usize,
) -> Result<Array1<f64>, BadData> {
    let expected = mean_over_others(log_joint, factors, j);
    let largest = expected.fold(f64::NEG_INFINITY, |m, &e| m.max(e));
    if largest == f64::NEG_INFINITY {
        return Err(BadData::NothingFeasible { variable: j });
    }
    let unnormalised = expected.mapv(|e| (e - largest).exp());
    let total = unnormalised.sum();
    Ok(unnormalised / total)
}

fn mean_over_others(log_joint: &ArrayD<f64>, factors: &[Array1<f64>], j: usize) -> Array1<f64> {
    assert!(
        j < factors.len(),
        "mean field: there is no variable {j} among {}",
        factors.len()
    );
    let mut table = log_joint.clone();
    // Last axis first, so that the axes before keep their numbers.
    for k in (0..factors.len()).rev().filter(|&k| k != j) {
        table = table.map_axis(Axis(k), |lane| mean(factors[k].view(), lane));
    }
    table.into_dimensionality().expect("only axis j is left")
}

fn bound(log_joint: &ArrayD<f64>, factors: &[Array1<f64>]) -> f64 {
    let expected = mean_over_others(log_joint, factors, 0);
    let entropies = factors
        .iter()
        .map(|q| -mean(q.view(), q.mapv(f64::ln).view()));
    mean(factors[0].view(), expected.view()) + entropies.sum::<f64>()
}

/// Σ q f, in which a state without mass adds 0.
fn mean(q: ArrayView1<f64>, f: ArrayView1<f64>) -> f64 {
    let terms = q.iter().zip(f).filter(|(q, _)| **q > 0.0);
    terms.map(|(q, f)| q * f).sum()
}

fn distance(a: &[Array1<f64>], b: &[Array1<f64>]) -> f64 {
    let entries = |q: &[Array1<f64>]| q.iter().flatten().copied().collect::<Vec<f64>>();
    let differences = entries(a).into_iter().zip(entries(b));
    differences.fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

fn check_shapes(log_joint: &ArrayD<f64>, factors: &[Array1<f64>]) {
    let lengths: Vec<usize> = factors.iter().map(Array1::len).collect();
    assert!(
        log_joint.shape() == lengths && !lengths.is_empty(),
        "mean field: a joint of shape {:?} and factors of lengths {lengths:?} do not fit",
        log_joint.shape()
    );
}

fn check(log_joint: &ArrayD<f64>, factors: &[Array1<f64>]) -> Result<(), BadData> {
    check_shapes(log_joint, factors);
    if log_joint.is_empty() {
        return Err(BadData::Empty { what: "joint" });
    }
    check_log_numbers("joint", &log_joint.to_shared())?;
    if log_joint.iter().all(|&l| l == f64::NEG_INFINITY) {
        return Err(BadData::Impossible { row: 0 });
    }
    factors
        .iter()
        .try_for_each(|factor| check_distribution("factor", &factor.to_vec()))
}
