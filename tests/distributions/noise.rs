//! Streams of noise: reproducible, uncorrelated, and the same in both precisions.

use elbo::autodiff::Tape;
use elbo::distributions::noise::{standard_normal, standard_uniform, stream};
use rand::rngs::StdRng;
use rand::{Rng, RngCore};

use crate::common::random::rng;

fn words(mut rng: StdRng, n: usize) -> Vec<u64> {
    (0..n).map(|_| rng.random()).collect()
}

#[test]
fn streams_are_reproducible_and_their_own() {
    let first = words(stream(1, "noise", 3), 64);
    assert_eq!(first, words(stream(1, "noise", 3), 64));
    let others = [
        stream(2, "noise", 3),
        stream(1, "order", 3),
        stream(1, "noise", 4),
        stream(3, "noise", 1),
        stream(1, "Noise", 3),
        stream(1, "", 3),
        stream(1, "noise", 3 << 32),
        stream(1 << 32, "noise", 3),
    ];
    for other in others {
        let other = words(other, 64);
        // Not one word at the same place, nor anywhere else.
        assert!(other.iter().all(|word| !first.contains(word)));
    }
}

#[test]
fn streams_are_uncorrelated() {
    let n = 100_000;
    let tape = Tape::<f64>::new();
    let draw = |mut rng: StdRng| standard_normal(&tape, &[n], &mut rng).value();
    let streams = [
        draw(stream(1, "noise", 1)),
        draw(stream(1, "noise", 2)),
        draw(stream(2, "noise", 1)),
        draw(stream(1, "test", 1)),
    ];
    for (i, a) in streams.iter().enumerate() {
        let mean = a.sum() / n as f64;
        assert!(mean.abs() < 4.0 / (n as f64).sqrt());
        let variance = (a * a).sum() / n as f64;
        assert!((variance - 1.0).abs() < 4.0 * (2.0 / n as f64).sqrt());
        // The fourth moment is 3, with variance 105 - 9.
        let fourth = a.mapv(|x| x.powi(4)).sum() / n as f64;
        assert!((fourth - 3.0).abs() < 4.0 * (96.0 / n as f64).sqrt());
        // Neighbours within a stream, and every other stream.
        let (head, tail) = (a.slice(ndarray::s![..n - 1]), a.slice(ndarray::s![1..]));
        assert!(((&head * &tail).sum() / n as f64).abs() < 4.0 / (n as f64).sqrt());
        for b in &streams[..i] {
            assert!(((a * b).sum() / n as f64).abs() < 4.0 / (n as f64).sqrt());
        }
    }
}

#[test]
fn is_the_same_in_both_precisions() {
    let (single, double) = (Tape::<f32>::new(), Tape::<f64>::new());
    let rounded = standard_normal(&double, &[3, 5], &mut rng(11)).value();
    let found = standard_normal(&single, &[3, 5], &mut rng(11)).value();
    assert_eq!(found, rounded.mapv(|x| x as f32).into_shared());
    let exact = standard_uniform(&double, &[1000], &mut rng(12)).value();
    let found = standard_uniform(&single, &[1000], &mut rng(12)).value();
    assert_eq!(found.mapv(f64::from), exact);
}

/// A generator that knows one word.
struct Constant(u64);

impl RngCore for Constant {
    fn next_u32(&mut self) -> u32 {
        self.0 as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(self.0 as u8);
    }
}

#[test]
fn standard_uniform_reaches_zero_and_never_one() {
    let (single, double) = (Tape::<f32>::new(), Tape::<f64>::new());
    for (word, expected) in [(0, 0.0), (u64::MAX, 1.0 - (-24f32).exp2())] {
        let u = standard_uniform(&single, &[1], &mut Constant(word)).item();
        assert_eq!(u, expected);
        let u = standard_uniform(&double, &[1], &mut Constant(word)).item();
        assert_eq!(u, f64::from(expected));
    }
}

#[test]
fn standard_uniform_is_uniform_and_below_one() {
    let n = 200_000;
    let tape = Tape::<f32>::new();
    let u = standard_uniform(&tape, &[n], &mut rng(13)).value();
    assert!(u.iter().all(|&u| (0.0..1.0).contains(&u)));
    let mut counts = [0usize; 16];
    u.iter().for_each(|&u| counts[(16.0 * u) as usize] += 1);
    let (n, p) = (n as f64, 1.0 / 16.0);
    let error = (n * p * (1.0f64 - p)).sqrt();
    assert!(
        counts
            .iter()
            .all(|&count| (count as f64 - n * p).abs() < 4.0 * error)
    );
}
