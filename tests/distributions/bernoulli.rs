//! Coins, against sums over all outcomes and their own draws.

use elbo::autodiff::Tape;
use elbo::distributions::Bernoulli;
use elbo::distributions::noise::standard_uniform;
use ndarray::{ArrayD, IxDyn, arr1, arr2};

use crate::common::random::{random, rng};
use crate::distributions::shared::{
    assert_entries, assert_naive, assert_relative, at, bernoulli_density, bernoulli_entropy, check,
    outcomes, slopes_at,
};

const PAIRS: [[&[usize]; 2]; 8] = [
    [&[3], &[3]],
    [&[2, 3], &[2, 3]],
    [&[2, 3], &[4, 2, 3]],
    [&[4, 2, 3], &[2, 3]],
    [&[1], &[3]],
    [&[3], &[1]],
    [&[4, 1, 2], &[3, 1]],
    [&[2, 1], &[]],
];

#[test]
fn broadcasts_logits_against_data_and_samples() {
    let mut rng = rng(5);
    for shapes in PAIRS {
        let what = format!("{shapes:?}");
        let [logits, x] = shapes.map(|shape| random(&mut rng, shape));
        let inputs = [logits, x.mapv(|x| (x + 2.0) / 4.0)];
        // Grey x: minus the cross-entropy.
        assert_naive(&what, &inputs, bernoulli_density, |[a, x]| {
            let p = 1.0 / (1.0 + (-a).exp());
            x * p.ln() + (1.0 - x) * (1.0 - p).ln()
        });
        check(&what, &inputs, bernoulli_density);
        check(&what, &inputs[..1], |v| Bernoulli { logits: v[0] }.mean());
        if inputs[0].ndim() > 0 {
            check(&what, &inputs[..1], bernoulli_entropy);
        }
    }
}

#[test]
fn of_grey_data_is_best_at_its_own_logit() {
    let x = arr1(&[0.2, 0.5, 0.9]);
    let logits = x.mapv(|x: f64| (x / (1.0 - x)).ln());
    let slopes = slopes_at(&[logits.into_dyn(), x.into_dyn()], bernoulli_density);
    assert!(slopes[0].iter().all(|slope| slope.abs() < 1e-15));
}

#[test]
fn density_sums_to_one_and_to_minus_its_entropy() {
    let mut rng = rng(6);
    for d in [1, 3, 6] {
        let logits = random(&mut rng, &[d]);
        let log_p = at(&[logits.clone(), outcomes(d).into_dyn()], bernoulli_density);
        assert_eq!(log_p.shape(), [1 << d]);
        let mass: f64 = log_p.iter().map(|l| l.exp()).sum();
        assert!((mass - 1.0).abs() < 1e-14);
        let expected = -log_p.iter().map(|l| l.exp() * l).sum::<f64>();
        assert!((at(&[logits], bernoulli_entropy).sum() - expected).abs() < 1e-14);
    }
}

#[test]
fn sampler_draws_from_the_density() {
    let n = 200_000;
    let logits = arr1(&[0.4, -1.7, 2.2]);
    let probabilities = at(
        &[logits.clone().into_dyn(), outcomes(3).into_dyn()],
        bernoulli_density,
    )
    .mapv(f64::exp);
    let tape = Tape::new();
    let coins = Bernoulli {
        logits: tape.variable(logits),
    };
    let uniform = standard_uniform(&tape, &[n, 3], &mut rng(7));
    let sample = coins.sample(uniform);
    assert!(
        !sample.is_active(),
        "a step function has no pathwise gradient"
    );
    let mut counts = [0.0; 8];
    for x in sample.value().rows() {
        assert!(x.iter().all(|&x| x == 0.0 || x == 1.0));
        counts[(x[0] + 2.0 * x[1] + 4.0 * x[2]) as usize] += 1.0;
    }
    for (count, p) in counts.iter().zip(&probabilities) {
        let error = (p * (1.0 - p) / n as f64).sqrt();
        assert!((count / n as f64 - p).abs() < 4.0 * error, "{count} {p}");
    }
    let mean = coins.mean().value();
    for i in 0..3 {
        let marginal = (outcomes(3).column(i).to_owned().into_dyn() * &probabilities).sum();
        assert!((mean[[i]] - marginal).abs() < 1e-15);
    }
}

#[test]
fn entropy_has_its_curvature_at_even_odds() {
    // H = log 2 - a²/8 + …: the maximum is smooth, whatever the formula is written with.
    check(
        "bernoulli-entropy",
        &[arr1(&[0.0, 0.7]).into_dyn()],
        bernoulli_entropy,
    );
}

#[test]
fn keeps_its_digits_at_extreme_logits() {
    // For a -> ∞, with q = e^-a: log p(1) = -q, log p(0) = -a - q, H = q (1 + a), up to q² and relative.
    for a in [40.0, 100.0, 700.0f64] {
        let q = (-a).exp();
        for (logit, x, expected) in [
            (a, 1.0, -q),
            (a, 0.0, -a),
            (-a, 0.0, -q),
            (-a, 1.0, -a),
            (a, 0.25, -0.75 * a),
        ] {
            let inputs = [arr1(&[logit]).into_dyn(), arr1(&[x]).into_dyn()];
            let log_p = at(&inputs, bernoulli_density)[[]];
            assert_relative(&format!("log p({x}) at {logit}"), log_p, expected, 1e-14);
            // x - σ(a), and for x the logit itself.
            let slopes = slopes_at(&inputs, bernoulli_density);
            let slope = if logit > 0.0 { x - 1.0 } else { x };
            assert!((slopes[0][[0]] - slope).abs() < 1e-15);
            assert_eq!(slopes[1][[0]], logit);
        }
        for logit in [a, -a] {
            let entropy = at(&[arr1(&[logit]).into_dyn()], bernoulli_entropy)[[]];
            assert_relative("entropy", entropy, q * (1.0 + a), 1e-14);
            let slope = &slopes_at(&[arr1(&[logit]).into_dyn()], bernoulli_entropy)[0];
            // H' = -a σ(a) σ(-a).
            assert_relative("entropy's slope", slope[[0]], -logit * q, 1e-14);
        }
    }
}

#[test]
fn in_single_precision_is_finite_at_extreme_logits() {
    let tape = Tape::<f32>::new();
    let logits = tape.variable(arr1(&[80.0f32, -80.0, 80.0, -80.0]));
    let x = tape.constant(arr1(&[1.0f32, 0.0, 0.0, 1.0]));
    let coins = Bernoulli { logits };
    let log_p = coins.log_density(x);
    assert_relative("log p", f64::from(log_p.item()), -160.0, 1e-6);
    // x - σ(a).
    let slopes = tape.gradients(log_p).wrt(logits);
    for (slope, expected) in slopes.iter().zip([0.0, 0.0, -1.0, 1.0]) {
        assert!((slope - expected).abs() < 1e-30);
    }
    let entropy = f64::from(coins.entropy().item());
    assert_relative("entropy", entropy, 4.0 * 81.0 * (-80f64).exp(), 1e-5);
}

#[test]
fn that_is_certain_has_its_limits() {
    let inf = f64::INFINITY;
    // Each coin shows 1, then 0.
    let logits = arr2(&[[inf], [inf], [-inf], [-inf], [0.0]]).into_dyn();
    let x = arr2(&[[1.0], [0.0], [1.0], [0.0], [1.0]]).into_dyn();
    let inputs = [logits.clone(), x];
    let half = 0.5f64.ln();
    let log_p = at(&inputs, bernoulli_density);
    assert_entries("log p", &log_p, &[0.0, -inf, -inf, 0.0, half]);
    let slopes = slopes_at(&inputs, bernoulli_density);
    assert_entries("∂a", &slopes[0].to_owned(), &[0.0, -1.0, 1.0, 0.0, 0.5]);
    let entropy = at(&inputs[..1], bernoulli_entropy);
    assert_entries("H", &entropy, &[0.0, 0.0, 0.0, 0.0, -half]);
    let slope = slopes_at(&inputs[..1], bernoulli_entropy);
    assert_entries("∂H", &slope[0].to_owned(), &[0.0; 5]);
    let mean = at(&inputs[..1], |v| Bernoulli { logits: v[0] }.mean());
    assert_entries("mean", &mean, &[1.0, 1.0, 0.0, 0.0, 0.5]);
    // Many coins in a row, as in training: one that is impossible makes the whole row impossible.
    let row = |x: f64| {
        let logits = ArrayD::from_elem(IxDyn(&[2, 784]), inf);
        at(
            &[logits, ArrayD::from_elem(IxDyn(&[2, 784]), x)],
            bernoulli_density,
        )
    };
    assert_entries("rows", &row(1.0), &[0.0, 0.0]);
    assert_entries("rows", &row(0.0), &[-inf, -inf]);
    // A NaN is no limit: it is seen.
    let nan = ArrayD::from_elem(IxDyn(&[1]), f64::NAN);
    for x in [0.0, 0.5, 1.0] {
        let x = ArrayD::from_elem(IxDyn(&[1]), x);
        assert!(at(&[nan.clone(), x], bernoulli_density).sum().is_nan());
    }
    assert!(at(&[nan], bernoulli_entropy).sum().is_nan());
}

#[test]
fn that_is_certain_in_single_precision() {
    let tape = Tape::new();
    let logits = tape.variable(arr1(&[f32::INFINITY, f32::NEG_INFINITY]));
    let x = tape.constant(arr1(&[1.0f32, 0.0]));
    let coins = Bernoulli { logits };
    let both = coins.log_density(x) + coins.entropy();
    assert_eq!(both.item(), 0.0);
    assert!(tape.gradients(both).wrt(logits).iter().all(|g| *g == 0.0));
}
