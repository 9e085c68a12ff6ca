//! What the processor can do at most, as the roofline needs it.

use std::hint::black_box;
use std::time::Instant;

/// Multiplications and additions a second on one thread, in 10⁹, when nothing waits for memory: chains of fused
/// multiply-adds that are independent of each other, in the widest vectors.
#[cfg(feature = "simd")]
pub fn peak() -> f64 {
    struct Chains;

    /// Enough vectors to hide the latency, few enough to stay in registers.
    const ENTRIES: usize = 16 * 12;
    const ROUNDS: usize = 200_000;

    impl pulp::NullaryFnOnce for Chains {
        type Output = f64;

        #[inline(always)]
        fn call(self) -> f64 {
            let (a, b) = (black_box(0.999_f32), black_box(1e-3_f32));
            let mut chains = [1.0_f32; ENTRIES];
            let start = Instant::now();
            for _ in 0..ROUNDS {
                for x in &mut chains {
                    *x = x.mul_add(a, b);
                }
            }
            let seconds = start.elapsed().as_secs_f64();
            black_box(chains);
            2.0 * (ENTRIES * ROUNDS) as f64 / seconds / 1e9
        }
    }
    fastest((0..20).map(|_| pulp::Arch::new().dispatch(Chains)))
}

/// Bytes a second that one thread reads and writes, in 10⁹, for y ← x + y over arrays that no cache holds.
pub fn bandwidth() -> f64 {
    let x = vec![1.0_f32; 1 << 25];
    let mut y = x.clone();
    let bytes = (3 * size_of_val(&x[..])) as f64;
    fastest((0..8).map(|_| {
        let start = Instant::now();
        elbo::kernels::update(&mut y, &x, |y, x| y + x);
        bytes / black_box(start.elapsed()).as_secs_f64() / 1e9
    }))
}

fn fastest(rates: impl Iterator<Item = f64>) -> f64 {
    rates.fold(0.0, f64::max)
}
