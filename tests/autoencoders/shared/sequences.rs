//! State-space models as one large Gaussian over all states and observations, and hidden Markov models as a list of all paths:
//! nothing is filtered, everything is conditioned at once.

use elbo::autoencoders::{PairPosterior, StateSpace};
use elbo::distributions::Moments;
use ndarray::{Array1, Array2, ArrayView2, s};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::linear_algebra::inverse_and_determinant;
use crate::common::random::{matrix, vector};

/// A random covariance.
pub fn covariance(rng: &mut StdRng, k: usize) -> Array2<f64> {
    let root = matrix(rng, [k, k]) * 0.5;
    root.dot(&root.t()) + Array2::<f64>::eye(k) * 0.3
}

/// The arrays of z₁ ~ N(m, P), z_t = A z_(t-1) + N(0, Q), x_t = C z_t + N(0, R).
pub struct Arrays {
    pub a: Array2<f64>,
    pub q: Array2<f64>,
    pub c: Array2<f64>,
    pub r: Array2<f64>,
    pub start: Moments,
}

impl Arrays {
    /// Random ones.
    pub fn random(rng: &mut StdRng, k: usize, d: usize) -> Self {
        Self {
            a: matrix(rng, [k, k]) * 0.5,
            q: covariance(rng, k),
            c: matrix(rng, [d, k]),
            r: covariance(rng, d),
            start: Moments {
                mean: vector(rng, k),
                covariance: covariance(rng, k),
            },
        }
    }

    /// The model of the library.
    pub fn system(&self) -> StateSpace {
        let [a, q, c, r] = [&self.a, &self.q, &self.c, &self.r].map(Clone::clone);
        StateSpace::new((a, q), (c, r), self.start.clone()).unwrap()
    }

    /// All states and observations of so many times as one Gaussian.
    pub fn joint(&self, length: usize) -> Joint {
        let (k, d) = (self.a.nrows(), self.c.nrows());
        let of_states = length * k;
        let size = of_states + length * d;
        // (z, x) = B (noise of all states, noise of all observations): z_t = Σ_s A^(t-s) w_s.
        let mut map = Array2::<f64>::eye(size);
        let mut noise = Array2::<f64>::zeros((size, size));
        let mut mean = Array1::<f64>::zeros(size);
        for t in 0..length {
            let of = if t == 0 {
                &self.start.covariance
            } else {
                &self.q
            };
            noise
                .slice_mut(s![t * k..(t + 1) * k, t * k..(t + 1) * k])
                .assign(of);
            let (from, to) = (of_states + t * d, of_states + (t + 1) * d);
            noise.slice_mut(s![from..to, from..to]).assign(&self.r);
            let mut power = Array2::<f64>::eye(k);
            for earlier in (0..=t).rev() {
                let columns = earlier * k..(earlier + 1) * k;
                map.slice_mut(s![t * k..(t + 1) * k, columns.clone()])
                    .assign(&power);
                map.slice_mut(s![from..to, columns])
                    .assign(&self.c.dot(&power));
                if earlier == 0 {
                    let state = power.dot(&self.start.mean);
                    mean.slice_mut(s![from..to]).assign(&self.c.dot(&state));
                    mean.slice_mut(s![t * k..(t + 1) * k]).assign(&state);
                }
                power = power.dot(&self.a);
            }
        }
        Joint {
            mean,
            covariance: map.dot(&noise).dot(&map.t()),
            shape: [k, d, length],
        }
    }
}

/// All states, then all observations.
pub struct Joint {
    mean: Array1<f64>,
    covariance: Array2<f64>,
    shape: [usize; 3],
}

impl Joint {
    /// The places of the states at these times.
    pub fn states(&self, times: &[usize]) -> Vec<usize> {
        let k = self.shape[0];
        times.iter().flat_map(|t| t * k..(t + 1) * k).collect()
    }

    /// The places of the observations at these times.
    pub fn seen(&self, times: &[usize]) -> Vec<usize> {
        let [k, d, length] = self.shape;
        let place = |t: &usize| length * k + t * d..length * k + (t + 1) * d;
        times.iter().flat_map(place).collect()
    }

    /// p(wanted|x at these times).
    pub fn given(&self, wanted: &[usize], times: &[usize], x: ArrayView2<'_, f64>) -> Moments {
        let observed = self.seen(times);
        let block = |rows: &[usize], columns: &[usize]| {
            Array2::from_shape_fn((rows.len(), columns.len()), |(i, j)| {
                self.covariance[[rows[i], columns[j]]]
            })
        };
        let pick = |places: &[usize]| Array1::from_shape_fn(places.len(), |i| self.mean[places[i]]);
        let values = Array1::from_iter(times.iter().flat_map(|&t| x.row(t).to_vec()));
        let (inverse, _) = inverse_and_determinant(&block(&observed, &observed));
        let gain = block(wanted, &observed).dot(&inverse);
        Moments {
            mean: pick(wanted) + gain.dot(&(values - pick(&observed))),
            covariance: block(wanted, wanted) - gain.dot(&block(&observed, wanted)),
        }
    }

    /// log p(x at this time|x at those).
    pub fn log_predictive(&self, time: usize, times: &[usize], x: ArrayView2<'_, f64>) -> f64 {
        log_normal(
            &x.row(time).to_owned(),
            &self.given(&self.seen(&[time]), times, x),
        )
    }
}

/// log N(x; m, S), by elimination.
pub fn log_normal(x: &Array1<f64>, moments: &Moments) -> f64 {
    let (inverse, determinant) = inverse_and_determinant(&moments.covariance);
    let offset = x - &moments.mean;
    let size = x.len() as f64;
    -0.5 * (size * std::f64::consts::TAU.ln()
        + determinant.ln()
        + offset.dot(&inverse.dot(&offset)))
}

/// KL(q ‖ p) of Gaussians, by elimination.
pub fn divergence(q: &Moments, p: &Moments) -> f64 {
    let (inverse, of_p) = inverse_and_determinant(&p.covariance);
    let (_, of_q) = inverse_and_determinant(&q.covariance);
    let offset = &q.mean - &p.mean;
    let trace = inverse.dot(&q.covariance).diag().sum();
    0.5 * (trace + offset.dot(&inverse.dot(&offset)) - q.mean.len() as f64 + (of_p / of_q).ln())
}

/// Any q(z₁, z₂).
pub fn random_pair(rng: &mut StdRng, k: usize) -> Moments {
    Moments {
        mean: vector(rng, 2 * k),
        covariance: covariance(rng, 2 * k),
    }
}

/// The moments that q has been taken apart from.
pub fn joint_of(q: &PairPosterior<'_>) -> Moments {
    let (later, earlier) = (q.later.value(), q.earlier.value());
    let gain: Array2<f64> = q.gain.value().into_owned().into_dimensionality().unwrap();
    let k = later.mean.len();
    let between = gain.dot(&later.covariance);
    let mut covariance = Array2::zeros((2 * k, 2 * k));
    let of_first = &earlier.covariance + &between.dot(&gain.t());
    covariance.slice_mut(s![..k, ..k]).assign(&of_first);
    covariance.slice_mut(s![..k, k..]).assign(&between);
    covariance.slice_mut(s![k.., ..k]).assign(&between.t());
    covariance.slice_mut(s![k.., k..]).assign(&later.covariance);
    let mean = earlier.mean.iter().chain(&later.mean).copied().collect();
    Moments { mean, covariance }
}

/// A hidden Markov model: p(z₁), p(z_t|z_(t-1)) by rows, p(x_t|z_t) by rows.
pub struct Hidden {
    pub start: Array1<f64>,
    pub transition: Array2<f64>,
    pub emission: Array2<f64>,
}

/// Rows of probabilities.
pub fn rows(rng: &mut StdRng, shape: [usize; 2]) -> Array2<f64> {
    let mut table = Array2::from_shape_simple_fn(shape, || rng.random_range(0.05..1.0));
    for mut row in table.rows_mut() {
        let total = row.sum();
        row /= total;
    }
    table
}

impl Hidden {
    /// A random one.
    pub fn random(rng: &mut StdRng, states: usize, symbols: usize) -> Self {
        Self {
            start: rows(rng, [1, states]).row(0).to_owned(),
            transition: rows(rng, [states, states]),
            emission: rows(rng, [states, symbols]),
        }
    }

    /// p(z_t1, z_t2, x at some of the times), with t₂ the last time, as a table over the two states: the sum over all paths.
    pub fn pair(&self, seen: &[Option<usize>], earlier: usize) -> Array2<f64> {
        let (states, length) = (self.start.len(), seen.len());
        let mut table = Array2::zeros((states, states));
        for path in 0..states.pow(length as u32) {
            let z = |t: usize| path / states.pow(t as u32) % states;
            let mut probability = self.start[z(0)];
            for t in 1..length {
                probability *= self.transition[[z(t - 1), z(t)]];
            }
            for (t, symbol) in seen.iter().enumerate() {
                probability *= symbol.map_or(1.0, |x| self.emission[[z(t), x]]);
            }
            table[[z(earlier), z(length - 1)]] += probability;
        }
        table
    }

    /// p(z_t2 = j|z_t1 = i) over so many steps.
    pub fn jump(&self, steps: usize) -> Array2<f64> {
        let still = Array2::eye(self.start.len());
        (0..steps).fold(still, |power, _| power.dot(&self.transition))
    }
}
