//! Exponential families on finitely many outcomes, and the member that is nearest in forward divergence.

use std::fmt;

use ndarray::{Array1, Array2, Axis};

use super::tables::tables;
use crate::autodiff::{NotPositiveDefinite, Tape, Var, array};
use crate::background::{BadData, check_distribution, check_numbers};

/// q_η(x_i) = h_i e^(η·T(x_i) - A(η)) over outcomes x_1 … x_n, with A(η) = log Σ h_i e^(η·T(x_i)).
///
/// The outcomes may be the nodes of a quadrature rule, with the rule's weights in h; then it is a density, cut off where the
/// rule ends.
#[derive(Clone, Debug, PartialEq)]
pub struct ExponentialFamily {
    statistics: Array2<f64>,
    base: Array1<f64>,
}

/// The member of a family with E_q T = E_p T.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// η, of shape (m).
    pub natural: Array1<f64>,
    /// q_η, of shape (n).
    pub probabilities: Array1<f64>,
    /// KL(p ‖ q_η), in nats: the least that the family allows.
    pub divergence: f64,
    /// Newton steps.
    pub iterations: usize,
}

/// Why there is no family, or no nearest member.
#[derive(Clone, Debug, PartialEq)]
pub enum ProjectionError {
    /// The base measure or p is no table of probabilities.
    Table(BadData),
    /// A statistic is NaN or infinite at this outcome, counted from 0.
    Statistic(usize),
    /// p allows an outcome, counted from 0, that every member excludes: the divergence is ∞.
    Excluded(usize),
    /// One statistic is constant, or a combination of those before it: η is not determined.
    Dependent(NotPositiveDefinite),
    /// The moments of p lie on the border of what the family reaches, as when every draw was the same outcome: η runs off
    /// to infinity and the least divergence is not attained.
    OnTheBorder {
        /// Newton steps.
        iterations: usize,
        /// The largest difference of a moment that is left.
        difference: f64,
    },
}

impl fmt::Display for ProjectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(reason) => write!(f, "{reason}"),
            Self::Statistic(i) => write!(
                f,
                "expected finite statistics, found NaN or infinity at outcome {i} (counted from 0)"
            ),
            Self::Excluded(i) => write!(
                f,
                "expected p to be 0 where the base measure is, found more at outcome {i} (counted from 0): every \
                 divergence from it is infinite"
            ),
            Self::Dependent(reason) => write!(
                f,
                "expected statistics of which none is a combination of a constant and the others; their covariance: {reason}"
            ),
            Self::OnTheBorder {
                iterations,
                difference,
            } => write!(
                f,
                "expected moments inside of what the family reaches, found them on the border ({difference:e} away after \
                 {iterations} steps): no parameter attains the least divergence; mix p with a little of a wider distribution"
            ),
        }
    }
}

impl std::error::Error for ProjectionError {}

impl From<BadData> for ProjectionError {
    fn from(reason: BadData) -> Self {
        Self::Table(reason)
    }
}

/// Newton steps before giving up. A strictly convex problem needs about ten; near the border a natural parameter grows by about
/// 1 a step, and probabilities of 10⁻³⁰⁰ are 700 steps away.
const STEPS: usize = 1000;

impl ExponentialFamily {
    /// The family with statistics T(x_i) in rows, of shape (n, m), and the base measure h, of shape (n).
    ///
    /// # Errors
    /// If a statistic is not finite, or h is not a table of probabilities. (h enters q divided by its sum only: divide it.)
    ///
    /// # Panics
    /// If the numbers of rows differ.
    pub fn new(statistics: Array2<f64>, base: Array1<f64>) -> Result<Self, ProjectionError> {
        assert!(
            statistics.nrows() == base.len(),
            "exponential family: shapes {:?} (statistics) and {:?} (base measure) do not fit",
            statistics.shape(),
            base.shape()
        );
        check_distribution("base measure", &base.to_vec())?;
        let bad = |row: ndarray::ArrayView1<'_, f64>| row.iter().any(|t| !t.is_finite());
        if let Some(i) = statistics.outer_iter().position(bad) {
            return Err(ProjectionError::Statistic(i));
        }
        Ok(Self { statistics, base })
    }

    /// log q_η(x_i), of shape (n), for η of shape (m) on the tape; -∞ where h is 0.
    pub fn log_probabilities<'t>(&self, natural: Var<'t, f64>) -> Var<'t, f64> {
        let tape = natural.tape();
        let statistics = tape.constant(self.statistics.clone());
        let log_base = tape.constant(self.base.mapv(f64::ln));
        (statistics.matmul(natural) + log_base).log_softmax(0)
    }

    /// E_q T under any probabilities of the outcomes.
    ///
    /// # Panics
    /// If there is not one for each outcome.
    pub fn moments(&self, probabilities: &Array1<f64>) -> Array1<f64> {
        probabilities.dot(&self.statistics)
    }

    /// The η that minimises KL(p ‖ q_η), by Newton's method. Its gradient is E_q T - E_p T, its Hessian the covariance of T
    /// under q, so that the problem is convex and has one solution at most
    /// ([notes](crate::kl#forward-kl-moment-matching)).
    ///
    /// ```
    /// use elbo::kl::ExponentialFamily;
    /// use ndarray::{Array1, Array2};
    ///
    /// // Counts 0 to 4 with the statistic k, of 4 tosses: binomials. The mean 1 is that of the success probability ¼.
    /// let tosses = Array1::from(vec![1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0;
    /// let family = ExponentialFamily::new(Array2::from_shape_fn((5, 1), |(k, _)| k as f64), tosses)?;
    /// let p = Array1::from(vec![0.25, 0.5, 0.25, 0.0, 0.0]);
    /// let nearest = family.project(&p)?;
    /// assert!((nearest.natural[0] - (0.25f64 / 0.75).ln()).abs() < 1e-12);
    /// # Ok::<(), elbo::kl::ProjectionError>(())
    /// ```
    ///
    /// # Errors
    /// If p is not a table of probabilities or allows what the family excludes, if the statistics depend on each other, or if
    /// the minimum is not attained.
    ///
    /// # Panics
    /// If p has not one probability for each outcome.
    pub fn project(&self, p: &Array1<f64>) -> Result<Projection, ProjectionError> {
        assert!(
            p.len() == self.base.len(),
            "project: shapes {:?} (p) and {:?} (base measure) do not fit",
            p.shape(),
            self.base.shape()
        );
        check_distribution("p", &p.to_vec())?;
        if let Some(i) = (0..p.len()).find(|&i| p[i] > 0.0 && self.base[i] == 0.0) {
            return Err(ProjectionError::Excluded(i));
        }
        // Statistics less their means under p: the same family, and a gradient that keeps its digits near the border.
        let centred = Self {
            statistics: &self.statistics - &self.moments(p),
            base: self.base.clone(),
        };
        centred.project_on_mean_zero(p)
    }

    /// [`project`](Self::project) where E_p T = 0.
    fn project_on_mean_zero(&self, p: &Array1<f64>) -> Result<Projection, ProjectionError> {
        let mut natural = Array1::zeros(self.statistics.ncols());
        let mut state = self.state(&natural);
        for iterations in 0..STEPS {
            let border = ProjectionError::OnTheBorder {
                iterations,
                difference: largest(&state.gradient),
            };
            let step = match self.newton_step(&state) {
                Ok(step) => step,
                Err(reason) if iterations == 0 => return Err(ProjectionError::Dependent(reason)),
                Err(_) => return Err(border),
            };
            // On the border the moments come ever nearer, but the steps do not get shorter.
            if largest(&step) <= 1e-10 * (1.0 + largest(&natural)) {
                natural += &step;
                let probabilities = self.state(&natural).q;
                let (p, q) = (p.clone().into_dyn(), probabilities.clone().into_dyn());
                return Ok(Projection {
                    natural,
                    probabilities,
                    divergence: tables(&p, &q)?,
                    iterations,
                });
            }
            let decrease = -state.gradient.dot(&step);
            let rounding = 1e-15 * (1.0 + state.objective.abs());
            let mut length = 1.0;
            loop {
                let next = &natural + &(&step * length);
                let there = self.state(&next);
                let enough = state.objective - 1e-4 * length * decrease + rounding;
                if there.objective <= enough || length < 1e-10 {
                    (natural, state) = (next, there);
                    break;
                }
                length *= 0.5;
            }
        }
        Err(ProjectionError::OnTheBorder {
            iterations: STEPS,
            difference: largest(&state.gradient),
        })
    }

    /// The member under which counts of the outcomes are most likely: [`project`](Self::project) of their frequencies, since
    /// KL(p̂ ‖ q_η) is minus the mean log-likelihood, up to a number that η does not change.
    ///
    /// # Errors
    /// As [`project`](Self::project); also if there are no data, or a count is negative or not finite.
    ///
    /// # Panics
    /// If there is not one count for each outcome.
    pub fn maximum_likelihood(&self, counts: &Array1<f64>) -> Result<Projection, ProjectionError> {
        let finite = |count: f64| count >= 0.0 && count.is_finite();
        check_numbers(
            "counts",
            counts.iter().copied(),
            "finite numbers from 0 up",
            finite,
        )?;
        let total = counts.sum();
        if total == 0.0 {
            return Err(ProjectionError::Table(BadData::Empty { what: "counts" }));
        }
        self.project(&(counts / total))
    }

    /// q_η, and A(η) with its gradient E_q T: the divergence up to a constant, where E_p T = 0.
    fn state(&self, natural: &Array1<f64>) -> State {
        let logits = self.statistics.dot(natural) + self.base.mapv(f64::ln);
        let most = logits.fold(f64::NEG_INFINITY, |m, &x| m.max(x));
        let unnormalised = logits.mapv(|x| (x - most).exp());
        let total = unnormalised.sum();
        let q = unnormalised / total;
        State {
            objective: most + total.ln(),
            gradient: self.moments(&q),
            q,
        }
    }

    /// -H⁻¹ ∇ with H the covariance of T under q.
    fn newton_step(&self, state: &State) -> Result<Array1<f64>, NotPositiveDefinite> {
        let centred = &self.statistics - &self.moments(&state.q);
        let weighted = &centred * &state.q.view().insert_axis(Axis(1));
        let tape = Tape::new();
        let factor = tape.constant(weighted.t().dot(&centred)).cholesky()?;
        let half = factor.solve_lower(tape.constant(-&state.gradient));
        let step = factor.solve_lower_transposed(half).value();
        Ok(array(step))
    }
}

struct State {
    q: Array1<f64>,
    objective: f64,
    gradient: Array1<f64>,
}

fn largest(vector: &Array1<f64>) -> f64 {
    vector.fold(0.0, |m: f64, x| m.max(x.abs()))
}
