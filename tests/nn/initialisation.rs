//! The distribution of initial weights.

use elbo::autodiff::Tape;
use elbo::nn::{Activation, Initialisation, dense};
use ndarray::{Array1, Array2};

use crate::common::random::{random, rng};

/// Mean, variance, and the part of the draws within one deviation of 0.
fn statistics(weights: &Array2<f64>) -> [f64; 3] {
    let n = weights.len() as f64;
    let mean = weights.sum() / n;
    let variance = weights.mapv(|w| (w - mean).powi(2)).sum() / n;
    let inside = weights.iter().filter(|w| w.abs() < variance.sqrt()).count();
    [mean, variance, inside as f64 / n]
}

/// Each within four standard errors; `kurtosis` is E w⁴/σ⁴, which gives the error of a variance.
fn assert_statistics(weights: &Array2<f64>, variance: f64, kurtosis: f64, inside: f64) {
    let n = weights.len() as f64;
    let [m, v, i] = statistics(weights);
    assert!(m.abs() < 4.0 * (variance / n).sqrt(), "mean {m}");
    let error = variance * ((kurtosis - 1.0) / n).sqrt();
    assert!(
        (v - variance).abs() < 4.0 * error,
        "variance {v}, not {variance}"
    );
    let error = (inside * (1.0 - inside) / n).sqrt();
    assert!((i - inside).abs() < 4.0 * error, "inside {i}, not {inside}");
}

#[test]
fn glorot_is_uniform_with_variance_two_by_the_sum_of_the_widths() {
    let (outputs, inputs) = (500, 260);
    let weights = Initialisation::Glorot.draw::<f64>(outputs, inputs, &mut rng(31));
    assert_eq!(weights.dim(), (outputs, inputs));
    let bound = (6.0f64 / 760.0).sqrt();
    let largest = weights.iter().fold(0.0, |m: f64, w| m.max(w.abs()));
    assert!(largest <= bound && largest > 0.9999 * bound);
    // A uniform variable: E w⁴ = 9/5 σ⁴, and within ±σ lies 1/√3 of it.
    assert_statistics(&weights, 2.0 / 760.0, 1.8, 1.0 / 3f64.sqrt());
}

#[test]
fn he_is_normal_with_variance_two_by_the_inputs() {
    let (outputs, inputs) = (500, 260);
    let weights = Initialisation::He.draw::<f64>(outputs, inputs, &mut rng(32));
    assert_eq!(weights.dim(), (outputs, inputs));
    assert_statistics(&weights, 2.0 / 260.0, 3.0, 0.682_689_492_137_086);
}

#[test]
fn he_keeps_the_second_moment_through_relu_layers() {
    // What its 2 is for: E y² after ReLU and the next layer is again that of before.
    let mut rng = rng(33);
    let x = random(&mut rng, &[300, 400]);
    let tape = Tape::new();
    let mut h = tape.constant(x);
    let zeros = tape.constant(Array1::<f64>::zeros(400));
    let mut moments = Vec::new();
    for _ in 0..3 {
        let weight = tape.constant(Initialisation::He.draw::<f64>(400, 400, &mut rng));
        let a = dense(h, weight, zeros, Activation::Identity);
        moments.push(a.square().mean().item());
        h = a.relu();
    }
    // The moment is random through the 160 000 weights; a factor 2 forgotten would make it a half.
    for pair in moments.windows(2) {
        assert!((pair[1] / pair[0] - 1.0).abs() < 0.15, "{moments:?}");
    }
}

#[test]
fn is_the_seeds_and_the_same_in_both_precisions() {
    for kind in [Initialisation::Glorot, Initialisation::He] {
        let double = kind.draw::<f64>(7, 5, &mut rng(34));
        assert_eq!(double, kind.draw::<f64>(7, 5, &mut rng(34)));
        assert_ne!(double, kind.draw::<f64>(7, 5, &mut rng(35)));
        let single = kind.draw::<f32>(7, 5, &mut rng(34));
        assert_eq!(single, double.mapv(|w| w as f32));
    }
}
