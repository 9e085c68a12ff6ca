//! A state that moves linearly under Gaussian noise and is seen through Gaussian noise: everything that a TD-VAE estimates, exactly
//! (Kalman 1960; Rauch, Tung and Striebel 1965; [notes](crate::autoencoders#td-vae-one-step)).

mod pairs;
mod smoother;

pub use pairs::PairPosterior;
pub use smoother::Smoothed;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rand::Rng;

use crate::autodiff::{Tape, array};
use crate::distributions::{GaussianError, Moments, MultivariateGaussian};

/// z₁ ~ N(m, P), z_t = A z_(t-1) + N(0, Q), x_t = C z_t + N(0, R), for a state of k and observations of D dimensions.
///
/// ```
/// use elbo::autoencoders::StateSpace;
/// use elbo::distributions::Moments;
/// use ndarray::{arr1, arr2, array};
///
/// // A walk z_t = z_(t-1) + N(0, 2), seen through N(0, 3): the first update is Bayes' rule for N(0, 1).
/// let start = Moments { mean: arr1(&[0.0]), covariance: arr2(&[[1.0]]) };
/// let [a, q, c, r] = [1.0, 2.0, 1.0, 3.0].map(|x| arr2(&[[x]]));
/// let walk = StateSpace::new((a, q), (c, r), start)?;
/// let filtered = walk.filter(array![[4.0], [4.0]].view())?;
/// assert!((filtered.states[0].mean[0] - 1.0).abs() < 1e-15); // 4 · 1/(1 + 3)
/// assert!((filtered.states[0].covariance[[0, 0]] - 0.75).abs() < 1e-15); // 1 · 3/(1 + 3)
/// # Ok::<(), elbo::distributions::GaussianError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StateSpace {
    transition: Array2<f64>,
    transition_noise: Array2<f64>,
    emission: Array2<f64>,
    emission_noise: Array2<f64>,
    start: Moments,
}

/// What the filter says after each observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Filtered {
    /// p(z_t|x₁, …, x_t), one for each time.
    pub states: Vec<Moments>,
    /// log p(x_t|x₁, …, x_(t-1)) in nats, of shape (time); their sum is log p(x₁, …, x_T).
    pub log_densities: Array1<f64>,
}

impl StateSpace {
    /// From (A, Q), (C, R) and N(m, P), of shapes (k, k), (k, k), (D, k), (D, D), (k) and (k, k).
    ///
    /// # Errors
    /// If Q, R or P is not the covariance of a Gaussian with a density.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn new(
        (transition, transition_noise): (Array2<f64>, Array2<f64>),
        (emission, emission_noise): (Array2<f64>, Array2<f64>),
        start: Moments,
    ) -> Result<Self, GaussianError> {
        let (k, d) = (start.mean.len(), emission.nrows());
        assert!(
            transition.dim() == (k, k) && emission.ncols() == k,
            "state space: shapes {:?} (A) and {:?} (C) do not fit {k} dimensions of the state",
            transition.shape(),
            emission.shape()
        );
        let centred = |covariance: &Array2<f64>, dimensions| Moments {
            mean: Array1::zeros(dimensions),
            covariance: covariance.clone(),
        };
        let tape = Tape::new();
        start.on(&tape)?;
        centred(&transition_noise, k).on(&tape)?;
        centred(&emission_noise, d).on(&tape)?;
        Ok(Self {
            transition,
            transition_noise,
            emission,
            emission_noise,
            start,
        })
    }

    /// k, the dimensions of the state.
    pub fn state(&self) -> usize {
        self.transition.nrows()
    }

    /// D, the dimensions of an observation.
    pub fn dimensions(&self) -> usize {
        self.emission.nrows()
    }

    /// p(z₁).
    pub fn start(&self) -> &Moments {
        &self.start
    }

    /// The same system, looked at every `jump` steps: A^j and Σ_(i<j) A^i Q (A^i)ᵀ.
    ///
    /// # Panics
    /// If the jump is 0: without noise, the transition has no density.
    pub fn every(&self, jump: usize) -> Self {
        assert!(jump > 0, "expected a jump of at least one step, found 0");
        let k = self.state();
        let still = (Array2::eye(k), Array2::zeros((k, k)));
        let (transition, transition_noise) = (0..jump).fold(still, |(power, noise), _| {
            let moved = conjugated(&self.transition, &noise) + &self.transition_noise;
            (self.transition.dot(&power), moved)
        });
        Self {
            transition,
            transition_noise,
            ..self.clone()
        }
    }

    /// The next state: N(A m, A P Aᵀ + Q).
    pub fn predict(&self, state: &Moments) -> Moments {
        Moments {
            mean: self.transition.dot(&state.mean),
            covariance: conjugated(&self.transition, &state.covariance) + &self.transition_noise,
        }
    }

    /// What is known of a state once it is seen, and log p(x), by Bayes' rule.
    ///
    /// # Errors
    /// If the state's covariance is none.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn update(
        &self,
        state: &Moments,
        x: ArrayView1<'_, f64>,
    ) -> Result<(Moments, f64), GaussianError> {
        observe(state, &self.emission, &self.emission_noise, x)
    }

    /// The Kalman filter, for observations of shape (time, D).
    ///
    /// # Errors
    /// If a covariance is none by rounding.
    ///
    /// # Panics
    /// If the shape does not fit.
    pub fn filter(&self, x: ArrayView2<'_, f64>) -> Result<Filtered, GaussianError> {
        let mut states: Vec<Moments> = Vec::with_capacity(x.nrows());
        let mut log_densities = Array1::zeros(x.nrows());
        for (t, x) in x.axis_iter(Axis(0)).enumerate() {
            let expected = states
                .last()
                .map_or_else(|| self.start.clone(), |state| self.predict(state));
            let (state, log_density) = self.update(&expected, x)?;
            states.push(state);
            log_densities[t] = log_density;
        }
        Ok(Filtered {
            states,
            log_densities,
        })
    }

    /// log p(x_(t+j)|x₁, …, x_t) in nats for a jump j and every t that it can be made from: of shape (time - j).
    ///
    /// # Errors
    /// If a covariance is none by rounding.
    ///
    /// # Panics
    /// If the shape does not fit, or the jump is 0.
    pub fn log_predictive(
        &self,
        x: ArrayView2<'_, f64>,
        jump: usize,
    ) -> Result<Array1<f64>, GaussianError> {
        let (states, jumped) = (self.filter(x)?.states, self.every(jump));
        (states.iter().zip(x.axis_iter(Axis(0)).skip(jump)))
            .map(|(state, x)| Ok(jumped.update(&jumped.predict(state), x)?.1))
            .collect()
    }

    /// A sequence of states, of shape (length, k), and what is seen of them, of shape (length, D).
    pub fn sample(&self, length: usize, rng: &mut impl Rng) -> (Array2<f64>, Array2<f64>) {
        let mut states = Array2::zeros((length, self.state()));
        let mut seen = Array2::zeros((length, self.dimensions()));
        for t in 0..length {
            let state = match t {
                0 => draw(self.start.mean.clone(), &self.start.covariance, rng),
                _ => {
                    let mean = self.transition.dot(&states.row(t - 1));
                    draw(mean, &self.transition_noise, rng)
                }
            };
            seen.row_mut(t)
                .assign(&draw(self.emission.dot(&state), &self.emission_noise, rng));
            states.row_mut(t).assign(&state);
        }
        (states, seen)
    }
}

/// A draw from N(m, S), for an S that has been a covariance before.
fn draw(mean: Array1<f64>, covariance: &Array2<f64>, rng: &mut impl Rng) -> Array1<f64> {
    let tape = Tape::new();
    let covariance = covariance.clone();
    let gaussian = (Moments { mean, covariance }).on(&tape);
    array(gaussian.expect("checked when it came in").draw(rng).value())
}

/// A S Aᵀ.
fn conjugated(a: &Array2<f64>, s: &Array2<f64>) -> Array2<f64> {
    a.dot(s).dot(&a.t())
}

/// Bayes' rule for z ~ N(m, P) and y = H z + N(0, R): with S = H P Hᵀ + R = LLᵀ and V = L⁻¹ H P,
///
/// p(z|y) = N(m + Vᵀ L⁻¹(y - Hm), P - VᵀV), and log p(y) = log N(y; Hm, S).
fn observe(
    prior: &Moments,
    map: &Array2<f64>,
    noise: &Array2<f64>,
    y: ArrayView1<'_, f64>,
) -> Result<(Moments, f64), GaussianError> {
    let tape = Tape::new();
    let (y, seen) = (tape.constant(y), map.dot(&prior.covariance));
    let evidence = Moments {
        mean: map.dot(&prior.mean),
        covariance: seen.dot(&map.t()) + noise,
    };
    let evidence: MultivariateGaussian<'_, f64> = evidence.on(&tape)?;
    let v: Array2<f64> = array(evidence.factor().solve_lower(tape.constant(seen)).value());
    let offset: Array1<f64> = array(evidence.standardise(y).value());
    let posterior = Moments {
        mean: &prior.mean + &v.t().dot(&offset),
        covariance: &prior.covariance - &v.t().dot(&v),
    };
    Ok((posterior, evidence.log_density(y).item()))
}
