//! Where a step's time goes, and how near its products come to the processor's peak.

use elbo::autodiff::Value;

use crate::by_hand::ByHand;
use crate::by_hand::clock::Part;
use crate::machine;

/// Multiplications and additions of the products of one step, forward and backward: 2 for each weight and datum forward,
/// the same for the weight's gradient, and the same for the input's, which the first layer's does not need. The decoder
/// works on every sample of z.
pub fn operations(widths: &[usize], batch: usize, samples: usize) -> [f64; 2] {
    let latent = widths[widths.len() - 1];
    let encoder = [&widths[..widths.len() - 1], &[2 * latent]].concat();
    let decoder: Vec<usize> = widths.iter().rev().copied().collect();
    let weights = |widths: &[usize]| -> usize { widths.windows(2).map(|w| w[0] * w[1]).sum() };
    let all = weights(&encoder) + weights(&decoder) * samples;
    let first = encoder[0] * encoder[1];
    [all, 2 * all - first].map(|weights| 2.0 * (weights * batch) as f64)
}

/// Prints the table.
pub fn print(widths: &[usize], x: &Value<f32>, steps: usize) {
    let batch = x.shape()[0];
    let data = x.view().into_dimensionality().expect("a matrix");
    let mut model = ByHand::new(widths, batch);
    for _ in 0..steps / 5 + 1 {
        model.step(data);
    }
    model.clock = Default::default();
    for _ in 0..steps {
        model.step(data);
    }
    let milliseconds = |part| model.clock.milliseconds(part) / steps as f64;
    let total: f64 = Part::ALL.into_iter().map(milliseconds).sum();
    let [forward, backward] = operations(widths, batch, 1);
    println!("| part | ms | share | GFLOP/s |\n|---|---|---|---|");
    for part in Part::ALL {
        let (name, ms) = (part.name(), milliseconds(part));
        let rate = match part {
            Part::ForwardProducts => format!("{:.1}", forward / ms / 1e6),
            Part::BackwardProducts => format!("{:.1}", backward / ms / 1e6),
            _ => String::new(),
        };
        println!(
            "| {name} | {ms:.3} | {:.1} % | {rate} |",
            100.0 * ms / total
        );
    }
    let rate = (forward + backward) / total / 1e6;
    println!("| whole step | {total:.3} | 100.0 % | {rate:.1} |\n");
    #[cfg(feature = "simd")]
    {
        let peak = machine::peak();
        let share = 100.0 * rate / peak;
        println!(
            "fused multiply-adds at most: {peak:.1} GFLOP/s; the whole step is at {share:.0} % of it"
        );
    }
    let bandwidth = machine::bandwidth();
    println!("memory: {bandwidth:.1} GB/s");
}
