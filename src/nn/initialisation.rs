//! Where weights start.

use ndarray::Array2;
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::{Normal, Uniform};
use rand::Rng;

use crate::Scalar;

/// How a weight matrix of shape (outputs, inputs) is drawn. Biases start at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Initialisation {
    /// Uniform on ±√(6 / (inputs + outputs)): variance 2/(inputs + outputs), the compromise between keeping the
    /// variance of values forwards and of cotangents backwards (Glorot and Bengio 2010, eq. 16).
    #[default]
    Glorot,
    /// Normal with variance 2/inputs: keeps the variance forwards through ReLU, which halves it
    /// (He et al. 2015, eq. 10).
    He,
}

impl Initialisation {
    /// A weight matrix of shape (outputs, inputs).
    ///
    /// # Panics
    /// If `inputs` or `outputs` is 0.
    pub fn draw<T: Scalar>(self, outputs: usize, inputs: usize, rng: &mut impl Rng) -> Array2<T> {
        assert!(
            inputs > 0 && outputs > 0,
            "a layer needs inputs and outputs, found {inputs} and {outputs}"
        );
        let shape = (outputs, inputs);
        // Drawn in f64 so that both precisions start from the same numbers.
        let weights: Array2<f64> = match self {
            Self::Glorot => {
                let bound = (6.0 / (inputs + outputs) as f64).sqrt();
                Array2::random_using(shape, Uniform::new(-bound, bound).expect("a range"), rng)
            }
            Self::He => {
                let deviation = (2.0 / inputs as f64).sqrt();
                Array2::random_using(shape, Normal::new(0.0, deviation).expect("finite"), rng)
            }
        };
        weights.mapv(T::of)
    }
}
