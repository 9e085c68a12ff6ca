//! Higgins' metric of codes whose value is known: perfect, mixed, and noise.

use elbo::autoencoders::HigginsMetric;
use ndarray::{Array1, Array2, array};
use rand::Rng;

use crate::common::panics::panic_message;
use crate::common::random::{matrix, rng};
use crate::common::reporting::report;

const METRIC: HigginsMetric = HigginsMetric {
    pairs: 64,
    training_points: 4000,
    test_points: 2000,
};

/// Images enough that what a few of them share by chance does not show.
const MANY: usize = 40_000;

/// Factors with so many values each, drawn independently.
fn factors(values: &[usize], count: usize) -> Array2<usize> {
    let mut rng = rng(31);
    Array2::from_shape_fn((count, values.len()), |(_, k)| {
        rng.random_range(0..values[k])
    })
}

/// Each factor as a number around 0.
fn as_code(factors: &Array2<usize>) -> Array2<f64> {
    let code = factors.mapv(|value| value as f64);
    let mean = code.mean_axis(ndarray::Axis(0)).unwrap();
    code - mean
}

fn accuracy(codes: &Array2<f64>, factors: &Array2<usize>) -> f64 {
    let among: Vec<usize> = (0..factors.ncols()).collect();
    METRIC.accuracy(codes.view(), factors.view(), &among, &mut rng(32))
}

/// A share of the test points is as likely as the exact one says, within 4 standard errors.
fn agrees(found: f64, exact: f64, what: &str) {
    let error = (exact * (1.0 - exact) / METRIC.test_points as f64).sqrt();
    report(format!("{what}: {found:.3}, exact {exact:.3}"));
    assert!(
        (found - exact).abs() <= 4.0 * error,
        "{what}: {found} {exact}"
    );
}

#[test]
fn a_perfect_code_is_always_read() {
    let factors = factors(&[3, 6, 40, 32, 32], 5000);
    let code = as_code(&factors);
    assert_eq!(accuracy(&code, &factors), 1.0);
    // In another order, with other signs and scales, and with units that never change or are noise beside it.
    let scales = array![1e-6, -1.0, 1e5, 1.0, -0.1];
    let mut rng = rng(33);
    let wide = Array2::from_shape_fn((5000, 8), |(i, u)| match u {
        0..5 => code[(i, 4 - u)] * scales[u],
        5 => 7.0,
        _ => rng.random_range(-1.0..1.0),
    });
    assert_eq!(accuracy(&wide, &factors), 1.0);
}

#[test]
fn noise_is_at_chance_level() {
    let factors = factors(&[3, 6, 40, 32, 32], MANY);
    let noise = matrix(&mut rng(34), [MANY, 10]);
    agrees(accuracy(&noise, &factors), 0.2, "a code of noise");
    // A code that says everything of one factor and nothing of the others: that factor is told from them, which are not told
    // from each other. One point in five is always right, and of the others one in four.
    let one = as_code(&factors).slice_move(ndarray::s![.., 2..3]);
    agrees(
        accuracy(&one, &factors),
        0.4,
        "a code of one factor of five",
    );
}

#[test]
fn an_image_is_no_pair_with_itself() {
    // Two images share each value of the first factor: with itself, every other pair would be at distance 0.
    let known = Array2::from_shape_fn((MANY, 2), |(i, k)| [i / 2, i % 2][k]);
    let noise = matrix(&mut rng(37), [MANY, 6]);
    agrees(
        accuracy(&noise, &known),
        0.5,
        "noise, two images to a value",
    );
    // Alone with its value, there is no other.
    let alone = Array2::from_shape_fn((6, 1), |(i, _)| i);
    assert_eq!(accuracy(&Array2::zeros((6, 1)), &alone), 1.0);
}

/// Rows that mix four units: those of each pair by 45 degrees, or all four, each into each with weights ±½.
fn mixtures() -> [Array2<f64>; 2] {
    let r = 0.5f64.sqrt();
    let pairs = array![
        [r, r, 0., 0.],
        [r, -r, 0., 0.],
        [0., 0., r, r],
        [0., 0., r, -r]
    ];
    let all = array![
        [1., 1., 1., 1.],
        [1., -1., 1., -1.],
        [1., 1., -1., -1.],
        [1., -1., -1., 1.]
    ];
    [pairs, all * 0.5]
}

#[test]
fn mixed_factors_cannot_be_told_apart() {
    // Four factors of one distribution: where two are mixed with equal weights, no mean distance depends on which of them is held.
    let factors = factors(&[12; 4], MANY);
    let code = as_code(&factors);
    let [pairs, all] = mixtures().map(|mix| accuracy(&code.dot(&mix.t()), &factors));
    agrees(pairs, 0.5, "a code that mixes two and two");
    agrees(all, 0.25, "a code that mixes all four");
    // A rotation by less leaves more of a unit to one factor.
    let (sin, cos) = 0.7f64.sin_cos();
    let mut turn = Array2::eye(4);
    for (first, second) in [(0, 1), (2, 3)] {
        turn[(first, first)] = cos;
        turn[(second, second)] = cos;
        turn[(first, second)] = sin;
        turn[(second, first)] = -sin;
    }
    let between = accuracy(&code.dot(&turn), &factors);
    assert!(between > pairs + 0.05 && between < 1.0, "{between}");
}

#[test]
fn more_pairs_tell_more() {
    let factors = factors(&[12; 4], 5000);
    let [_, mix] = mixtures();
    // Half a perfect code, half a mixture.
    let code = as_code(&factors);
    let code = &code + &(code.dot(&mix.t()) * 0.5);
    let of = |pairs| {
        let metric = HigginsMetric { pairs, ..METRIC };
        metric.accuracy(code.view(), factors.view(), &[0, 1, 2, 3], &mut rng(35))
    };
    let found = [1, 3, 64].map(of);
    assert!(
        found[0] + 0.05 < found[1] && found[1] + 0.05 < found[2],
        "{found:?}"
    );
}

#[test]
fn only_the_factors_asked_for_are_chosen() {
    let factors = factors(&[3, 6, 40], 3000);
    // The code lacks the first factor.
    let code = as_code(&factors).slice_move(ndarray::s![.., 1..]);
    let of = |among: &[usize]| METRIC.accuracy(code.view(), factors.view(), among, &mut rng(36));
    // What has no unit is known by all others changing.
    assert_eq!(of(&[1, 2]), 1.0);
    assert_eq!(of(&[0, 1, 2]), 1.0);
    assert_eq!(of(&[0]), 1.0);
    assert_eq!(of(&[1, 2]), of(&[1, 2]));
}

#[test]
fn what_does_not_fit_is_refused() {
    let (codes, known) = (Array2::<f64>::zeros((3, 2)), Array2::zeros((4, 2)));
    let message = panic_message(|| assert!(accuracy(&codes, &known) >= 0.0));
    assert!(
        message.contains("codes (3, 2), factors (4, 2)"),
        "{message}"
    );
    let none = HigginsMetric { pairs: 0, ..METRIC };
    let message = panic_message(|| {
        let codes = Array1::<f64>::zeros(4).insert_axis(ndarray::Axis(1));
        none.accuracy(codes.view(), known.view(), &[0], &mut rng(1));
    });
    assert!(message.contains("expected pairs and points"), "{message}");
}
