//! Where a step's time goes.

#![allow(dead_code, reason = "only one of the benches reads it")]

use std::time::{Duration, Instant};

/// The parts of a step.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    Noise,
    ForwardProducts,
    ForwardLoops,
    BackwardProducts,
    BackwardLoops,
    Adam,
}

impl Part {
    pub const ALL: [Self; 6] = [
        Self::Noise,
        Self::ForwardProducts,
        Self::ForwardLoops,
        Self::BackwardProducts,
        Self::BackwardLoops,
        Self::Adam,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::ForwardProducts => "forward, products",
            Self::ForwardLoops => "forward, elementwise",
            Self::BackwardProducts => "backward, products",
            Self::BackwardLoops => "backward, elementwise",
            Self::Adam => "Adam",
        }
    }
}

/// Time spent in each part. Reading the clock costs some 30 ns, fifty times a step.
#[derive(Debug, Default)]
pub struct Clock([Duration; Part::ALL.len()]);

impl Clock {
    pub fn time<R>(&mut self, part: Part, f: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = f();
        self.0[part as usize] += start.elapsed();
        result
    }

    /// The time of a part so far, in milliseconds.
    pub fn milliseconds(&self, part: Part) -> f64 {
        self.0[part as usize].as_secs_f64() * 1e3
    }
}
