//! The evidence itself, estimated.

use ndarray::{Array1, ArrayView2, Axis};
use rand::Rng;

use super::Vae;
use crate::Scalar;
use crate::autodiff::Tape;
use crate::distributions::noise::standard_normal;
use crate::distributions::{DiagonalGaussian, LogSum};
use crate::nn::Parameters;

/// How many decoded rows are held at once: enough for the matrix products to be large, few enough that
/// K = 5000 samples of a hundred data need no more memory than a training step.
const ROWS: usize = 1024;

/// The importance-weighted estimate of log p(x).
///
/// log p̂(x) = log (1/K) Σ_k w_k with w = p(x|z) p(z) / q(z|x) and z ~ q(z|x) (Burda, Grosse and Salakhutdinov 2016,
/// eq. 8). E w = p(x), so that E log p̂ <= log p, and the gap falls as 1/K. K = 1 is the ELBO.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// K, the number of samples for each datum.
    pub samples: usize,
}

impl Evidence {
    /// log p̂(x) for every row of `data`, in nats. The weights stream through: memory does not grow with K.
    ///
    /// # Panics
    /// If K is 0 or the data do not have the model's number of dimensions.
    pub fn estimate<T: Scalar>(
        &self,
        vae: &Vae,
        parameters: &Parameters<T>,
        data: ArrayView2<'_, T>,
        rng: &mut impl Rng,
    ) -> Array1<f64> {
        assert!(self.samples > 0, "the estimate needs a sample");
        let (rows, latent) = (data.nrows(), vae.architecture().latent);
        let mut sums = vec![LogSum::default(); rows];
        // q(z|x) once for each datum.
        let (mean, log_variance) = {
            let tape = Tape::new();
            let q = vae.encode(&parameters.bind_constant(&tape), tape.constant(data));
            (q.mean.value(), q.log_variance.value())
        };
        let at_once = (ROWS / rows.max(1)).clamp(1, self.samples);
        let mut tape = Tape::new();
        let mut left = self.samples;
        while left > 0 && rows > 0 {
            let samples = left.min(at_once);
            left -= samples;
            let log_weights = {
                let p = parameters.bind_constant(&tape);
                let q = DiagonalGaussian {
                    mean: tape.constant(mean.clone()),
                    log_variance: tape.constant(log_variance.clone()),
                };
                let z = q.sample(standard_normal(&tape, &[samples, rows, latent], rng));
                let joint = vae.decode(&p, z).log_density(tape.constant(data))
                    + vae.prior(&tape).log_density(z);
                (joint - q.log_density(z)).value()
            };
            for (column, sum) in log_weights.axis_iter(Axis(1)).zip(&mut sums) {
                column
                    .iter()
                    .for_each(|log_weight| sum.add(log_weight.as_f64()));
            }
            tape.reset();
        }
        let log_samples = (self.samples as f64).ln();
        sums.iter().map(|sum| sum.value() - log_samples).collect()
    }
}
