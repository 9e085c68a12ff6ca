//! What the benchmarks share: how long they measure, and the numbers that they run on.
#![allow(dead_code, reason = "not every benchmark uses everything")]

use std::time::Duration;

use criterion::Criterion;
use elbo::autodiff::{Tape, Value};
use elbo::distributions::noise::{standard_normal, standard_uniform, stream};

/// Short measurements: the whole of `cargo bench` takes a few minutes.
pub fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(10)
        .nresamples(5000)
}

/// Normal numbers, the same on every run; another `index` gives others.
pub fn normal(shape: &[usize], index: u64) -> Value<f32> {
    let tape = Tape::new();
    standard_normal(&tape, shape, &mut stream(1, "bench", index)).value()
}

/// Numbers between 0 and 1, the same on every run.
pub fn uniform(shape: &[usize]) -> Value<f32> {
    let tape = Tape::new();
    standard_uniform(&tape, shape, &mut stream(1, "bench", 0)).value()
}
