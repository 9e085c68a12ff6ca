//! The evidence itself, estimated.

use std::ops::Range;

use ndarray::{Array1, ArrayView2, ArrayView3, Axis, s};
use rand::Rng;

use super::Vae;
use crate::Scalar;
use crate::autodiff::{Tape, Var};
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
    /// log p̂(x) for every row of `data`, in nats, of shape (N). The weights stream through: memory does not grow with K.
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
        let shape = |samples| [samples, data.nrows(), vae.architecture().latent];
        estimate(vae, parameters, data, self.samples, &mut |tape, samples| {
            standard_normal(tape, &shape(samples.len()), rng)
        })
    }

    /// The same with given noise ε ~ N(0, I) of shape (K, N, latent), so that z = μ(x) + σ(x) ⊙ ε: the same noise gives the
    /// same estimate, as a comparison of two models needs.
    ///
    /// ```
    /// use elbo::nn::Parameters;
    /// use elbo::vae::{Architecture, Evidence, Vae};
    /// use ndarray::{Array2, Array3};
    /// use rand::{SeedableRng, rngs::StdRng};
    ///
    /// let mut parameters = Parameters::<f64>::new();
    /// let architecture = Architecture { dimensions: 3, hidden: vec![4], latent: 2, ..Architecture::default() };
    /// let vae = Vae::new(architecture, &mut parameters, &mut StdRng::seed_from_u64(1));
    /// let (data, noise) = (Array2::ones((5, 3)), Array3::from_elem((4, 5, 2), 0.5));
    /// let evidence = Evidence::with_noise(&vae, &parameters, data.view(), noise.view());
    /// assert_eq!(evidence.len(), 5);
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit, K is 0, or the data do not have the model's number of dimensions.
    pub fn with_noise<T: Scalar>(
        vae: &Vae,
        parameters: &Parameters<T>,
        data: ArrayView2<'_, T>,
        noise: ArrayView3<'_, T>,
    ) -> Array1<f64> {
        let (samples, rows, latent) = noise.dim();
        assert!(
            (rows, latent) == (data.nrows(), vae.architecture().latent),
            "evidence: shapes {:?} (data) and {:?} (noise) do not fit {} latents",
            data.shape(),
            noise.shape(),
            vae.architecture().latent
        );
        estimate(vae, parameters, data, samples, &mut |tape, samples| {
            tape.constant(noise.slice(s![samples, .., ..]))
        })
    }
}

/// Puts the noise of a range of the samples on a tape.
type Noise<'f, T> = dyn for<'t> FnMut(&'t Tape<T>, Range<usize>) -> Var<'t, T> + 'f;

/// log p̂(x) for every row of `data`, with noise by the range of samples.
fn estimate<T: Scalar>(
    vae: &Vae,
    parameters: &Parameters<T>,
    data: ArrayView2<'_, T>,
    samples: usize,
    noise: &mut Noise<'_, T>,
) -> Array1<f64> {
    assert!(samples > 0, "the estimate needs a sample");
    let rows = data.nrows();
    let mut sums = vec![LogSum::default(); rows];
    // q(z|x) once for each datum.
    let (mean, log_variance) = {
        let tape = Tape::new();
        let q = vae.encode(&parameters.bind_constant(&tape), tape.constant(data));
        (q.mean.value(), q.log_variance.value())
    };
    let at_once = (ROWS / rows.max(1)).clamp(1, samples);
    let mut tape = Tape::new();
    let mut done = 0;
    while done < samples && rows > 0 {
        let next = done..samples.min(done + at_once);
        done = next.end;
        let log_weights = {
            let p = parameters.bind_constant(&tape);
            let q = DiagonalGaussian {
                mean: tape.constant(mean.clone()),
                log_variance: tape.constant(log_variance.clone()),
            };
            let z = q.sample(noise(&tape, next));
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
    let log_samples = (samples as f64).ln();
    sums.iter().map(|sum| sum.value() - log_samples).collect()
}
