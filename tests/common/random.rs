//! Random numbers and arrays with entries between -2 and 2, from a fixed seed.

use ndarray::{Array1, Array2, ArrayD, IxDyn};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The generator of a test.
pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// An array of this shape.
pub fn random(rng: &mut StdRng, shape: &[usize]) -> ArrayD<f64> {
    ArrayD::from_shape_simple_fn(IxDyn(shape), || rng.random_range(-2.0..2.0))
}

/// A vector of this length.
pub fn vector(rng: &mut StdRng, length: usize) -> Array1<f64> {
    Array1::from_shape_simple_fn(length, || rng.random_range(-2.0..2.0))
}

/// A matrix of this shape.
pub fn matrix(rng: &mut StdRng, shape: [usize; 2]) -> Array2<f64> {
    Array2::from_shape_simple_fn(shape, || rng.random_range(-2.0..2.0))
}
