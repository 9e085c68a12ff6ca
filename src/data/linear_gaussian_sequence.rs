//! Sequences of which everything is known: a state that moves linearly under noise, seen through noise.

use ndarray::{Array1, Array3, ArrayView3, Axis, arr2};
use rand::rngs::StdRng;

use super::Source;
use crate::Scalar;
use crate::autodiff::Tape;
use crate::autoencoders::StateSpace;
use crate::distributions::noise::stream;
use crate::distributions::{GaussianError, Moments};
use crate::nn::Batch;

/// Sequences drawn from a [`StateSpace`].
#[derive(Clone, Debug, PartialEq)]
pub struct LinearGaussianSequences<T> {
    system: StateSpace,
    observations: Array3<T>,
}

/// z_t = 0.9 z_(t-1) + N(0, 0.1), from its stationary distribution on, and x_t = z_t + N(0, 0.16): an autoregression seen through
/// noise. Once the filter has settled, knowing the past is worth 0.372 nats per observation.
pub fn noisy_autoregression() -> StateSpace {
    let [a, q, c, r] = [0.9, 0.1, 1.0, 0.16];
    let matrix = |x| arr2(&[[x]]);
    let start = Moments {
        mean: Array1::zeros(1),
        covariance: matrix(q / (1.0 - a * a)),
    };
    let noise_after = |map, noise| (matrix(map), matrix(noise));
    StateSpace::new(noise_after(a, q), noise_after(c, r), start).expect("three variances above 0")
}

impl<T: Scalar> LinearGaussianSequences<T> {
    /// So many sequences of a length; the same seed draws the same ones, and each of them whatever their number.
    pub fn new(system: StateSpace, (count, length): (usize, usize), seed: u64) -> Self {
        let mut observations = Array3::zeros((count, length, system.dimensions()));
        for (index, mut sequence) in observations.outer_iter_mut().enumerate() {
            let mut rng = stream(seed, "linear-gaussian sequence", index as u64);
            let (_, seen) = system.sample(length, &mut rng);
            sequence.assign(&seen.mapv(T::of));
        }
        Self {
            system,
            observations,
        }
    }

    /// What they were drawn from.
    pub fn system(&self) -> &StateSpace {
        &self.system
    }

    /// The observations, of shape (sequences, time, dimensions).
    pub fn observations(&self) -> ArrayView3<'_, T> {
        self.observations.view()
    }

    /// What ignoring the past costs, in nats per observation j steps ahead: the mean of log p(x_(t+j)|x₁, …, x_t) - log p(x_(t+j))
    /// over these sequences, exactly. A model with a state that it does not use cannot come nearer to the exact log-density, on average
    /// over sequences.
    ///
    /// # Errors
    /// If a covariance of the filter is none by rounding.
    pub fn worth_of_the_past(&self, jump: usize) -> Result<f64, GaussianError> {
        let (mut sum, mut count) = (0.0, 0);
        for sequence in self.observations.outer_iter() {
            let sequence = sequence.mapv(T::as_f64);
            let known = self.system.log_predictive(sequence.view(), jump)?;
            let mut state = self.system.start().clone();
            for (t, x) in sequence.axis_iter(Axis(0)).enumerate() {
                if t >= jump {
                    sum += known[t - jump] - self.system.update(&state, x)?.1;
                    count += 1;
                }
                state = self.system.predict(&state);
            }
        }
        Ok(sum / f64::from(count.max(1)))
    }
}

impl<T: Scalar> Source<T> for LinearGaussianSequences<T> {
    fn len(&self) -> usize {
        self.observations.len_of(Axis(0))
    }

    /// Of shape (batch, time, dimensions). Nothing is drawn: the sequences stay the same.
    fn batch<'t>(&self, tape: &'t Tape<T>, indices: &[usize], _: &mut StdRng) -> Batch<'t, T> {
        tape.constant(self.observations.select(Axis(0), indices))
            .into()
    }
}
