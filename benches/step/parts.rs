//! Where a step's time goes, and how near its products come to the processor's peak.

use elbo::autodiff::Value;

use crate::by_hand::ByHand;
use crate::by_hand::clock::Part;
use crate::machine;

/// Multiplications and additions of the products of one step, forward and backward: 2 for each weight and datum forward,
/// the same for the weight's gradient, and the same for the input's, which the first layer's does not need. The decoder
/// works on every sample of z.
pub fn operations(widths: &[usize], batch: usize, samples: usize) -> [f64; 2] {
    let [encoder, decoder] = layers(widths);
    let weights = |widths: &[usize]| -> usize { widths.windows(2).map(|w| w[0] * w[1]).sum() };
    let all = weights(&encoder) + weights(&decoder) * samples;
    let first = encoder[0] * encoder[1];
    [all, 2 * all - first].map(|weights| 2.0 * (weights * batch) as f64)
}

/// Bytes that a step must move if every array were read and written only once where a formula names it: each product reads
/// two arrays and writes one, each elementwise pass reads and writes one, Adam reads four numbers for each parameter and
/// writes three.
pub fn bytes(widths: &[usize], batch: usize, samples: usize) -> f64 {
    let [encoder, decoder] = layers(widths);
    let numbers = |widths: &[usize], rows: usize, has_input_gradient: bool| -> usize {
        let layer = |(index, w): (usize, &[usize])| {
            let (x, y, weight) = (rows * w[0], rows * w[1], w[0] * w[1]);
            let forward = (x + weight + y) + 2 * y;
            let backward = 2 * y + (y + x + weight);
            let input_gradient = if index > 0 || has_input_gradient {
                y + weight + x
            } else {
                0
            };
            let adam = 7 * (weight + w[1]);
            forward + backward + input_gradient + adam
        };
        widths.windows(2).enumerate().map(layer).sum()
    };
    4.0 * (numbers(&encoder, batch, false) + numbers(&decoder, batch * samples, true)) as f64
}

/// The widths of the encoder, which gives a mean and a log-variance for each latent, and of the decoder.
fn layers(widths: &[usize]) -> [Vec<usize>; 2] {
    let latent = widths[widths.len() - 1];
    let encoder = [&widths[..widths.len() - 1], &[2 * latent]].concat();
    [encoder, widths.iter().rev().copied().collect()]
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
