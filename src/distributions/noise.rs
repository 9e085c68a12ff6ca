//! Where randomness comes from: streams that a seed and a purpose determine.

use ndarray::ArrayD;
use ndarray_rand::rand_distr::{Distribution, StandardNormal, StandardUniform};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::Scalar;
use crate::autodiff::{Tape, Var};

/// The random stream for one purpose, such as epoch 3's order of the data. Streams of different `purpose` or
/// `index` are unrelated, so that drawing more for one purpose does not shift what another draws.
pub fn stream(seed: u64, purpose: &str, index: u64) -> StdRng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&index.to_le_bytes());
    key[16..24].copy_from_slice(&fnv1a(purpose).to_le_bytes());
    StdRng::from_seed(key)
}

/// The Fowler–Noll–Vo hash: it tells a handful of purposes apart, and is the same on every machine.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// ε ~ N(0, 1), independent entries, as a constant on the tape.
pub fn standard_normal<'t, T: Scalar>(
    tape: &'t Tape<T>,
    shape: &[usize],
    rng: &mut impl Rng,
) -> Var<'t, T> {
    fill(tape, shape, || {
        // Drawn in f64, so that both precisions see the same noise.
        let draw: f64 = StandardNormal.sample(rng);
        T::of(draw)
    })
}

/// u ~ U[0, 1), independent entries, as a constant on the tape.
pub fn standard_uniform<'t, T: Scalar>(
    tape: &'t Tape<T>,
    shape: &[usize],
    rng: &mut impl Rng,
) -> Var<'t, T> {
    fill(tape, shape, || {
        // Down to T without rounding up to 1: 24 random bits are exact in both precisions.
        let draw: f32 = StandardUniform.sample(rng);
        T::of(f64::from(draw))
    })
}

fn fill<'t, T: Scalar>(
    tape: &'t Tape<T>,
    shape: &[usize],
    mut draw: impl FnMut() -> T,
) -> Var<'t, T> {
    let mut noise: ArrayD<T> = tape.buffer(shape);
    noise.map_inplace(|entry| *entry = draw());
    tape.constant(noise)
}
