//! Divergences, against integrals and sums of log-ratios, and at extreme parameters.

use elbo::autodiff::Tape;
use elbo::distributions::Bernoulli;
use elbo::distributions::noise::standard_normal;
use elbo::kl;
use ndarray::{Array2, ArrayD, arr1};
use rand::rngs::StdRng;

use crate::common::random::{random, rng};
use crate::distributions::shared::{
    assert_relative, at, bernoulli_density, categorical_density, check, gaussian,
    gaussian_on_a_grid, kl_bernoulli, kl_categorical, kl_diagonal, kl_of, kl_standard, outcomes,
    slopes_at, vectors,
};

#[test]
fn gaussians_are_the_integral_of_the_log_ratio() {
    let (_, h, log_standard) = gaussian_on_a_grid(0.0, 0.0);
    let integral = |log_q: &ArrayD<f64>, log_p: &ArrayD<f64>| {
        let terms = log_q.iter().zip(log_p);
        h * terms.map(|(q, p)| q.exp() * (q - p)).sum::<f64>()
    };
    for (mean, s) in [(0.7, -1.2), (-1.6, 0.9), (0.0, 0.4), (2.0, 0.0)] {
        let (_, _, log_q) = gaussian_on_a_grid(mean, s);
        let found = kl_of(&vectors([&[mean], &[s]]), kl_standard);
        assert!((found - integral(&log_q, &log_standard)).abs() < 1e-11);
        for (other, t) in [(0.4, 0.8), (-1.0, -0.9), (mean, 0.3), (1.1, s)] {
            let (_, _, log_p) = gaussian_on_a_grid(other, t);
            let found = kl_of(&vectors([&[mean], &[s], &[other], &[t]]), kl_diagonal);
            assert!((found - integral(&log_q, &log_p)).abs() < 1e-10, "{found}");
        }
    }
}

#[test]
fn gaussian_diagonal_from_the_standard_is_gaussian_standard() {
    let mut rng = rng(14);
    for shape in [&[1][..], &[5], &[2, 3], &[2, 1, 4]] {
        let [mean, s] = [random(&mut rng, shape), random(&mut rng, shape)];
        let zeros = ArrayD::zeros(&shape[shape.len() - 1..]);
        let both = [mean.clone(), s.clone(), zeros.clone(), zeros];
        let (general, standard) = (at(&both, kl_diagonal), at(&[mean, s], kl_standard));
        assert_eq!(general.shape(), &shape[..shape.len() - 1]);
        for (a, b) in general.iter().zip(&standard) {
            assert_relative("KL", *a, *b, 1e-14);
        }
    }
}

#[test]
fn bernoulli_and_categorical_are_sums_over_outcomes() {
    let mut rng = rng(15);
    for d in [1, 2, 5] {
        let [a, b] = [random(&mut rng, &[d]), random(&mut rng, &[d])];
        let log_density =
            |logits: &ArrayD<f64>| at(&[logits.clone(), outcomes(d).into_dyn()], bernoulli_density);
        let (log_q, log_p) = (log_density(&a), log_density(&b));
        let expected: f64 = log_q
            .iter()
            .zip(&log_p)
            .map(|(q, p)| q.exp() * (q - p))
            .sum();
        let found = kl_of(&[a.clone(), b.clone()], kl_bernoulli);
        assert!((found - expected).abs() < 1e-13, "{found}, not {expected}");
        let classes = |logits: &ArrayD<f64>| {
            at(
                &[logits.clone(), Array2::<f64>::eye(d).into_dyn()],
                categorical_density,
            )
        };
        let (log_q, log_p) = (classes(&a), classes(&b));
        let expected: f64 = log_q
            .iter()
            .zip(&log_p)
            .map(|(q, p)| q.exp() * (q - p))
            .sum();
        let found = kl_of(&[a, b], kl_categorical);
        assert!((found - expected).abs() < 1e-13, "{found}, not {expected}");
    }
}

#[test]
fn of_two_classes_is_that_of_a_coin() {
    let mut rng = rng(16);
    let [a, b] = [random(&mut rng, &[6]), random(&mut rng, &[6])];
    let two = |logits: &ArrayD<f64>| {
        Array2::from_shape_fn((6, 2), |(i, k)| if k == 1 { logits[[i]] } else { 0.0 }).into_dyn()
    };
    let classes: f64 = at(&[two(&a), two(&b)], kl_categorical).sum();
    assert_relative("KL", kl_of(&[a, b], kl_bernoulli), classes, 1e-13);
}

#[test]
fn of_a_distribution_from_itself_is_zero() {
    let mut rng = rng(17);
    for scale in [1.0, 20.0, 300.0] {
        let [a, b] = [0, 1].map(|_| random(&mut rng, &[2, 5]) * scale);
        let twice = [a.clone(), a.clone()];
        assert!(at(&twice, kl_categorical).iter().all(|&kl| kl == 0.0));
        assert!(at(&twice, kl_bernoulli).iter().all(|&kl| kl == 0.0));
        let [means, s] = [a, b];
        let twice = [means.clone(), s.clone(), means, s];
        assert!(at(&twice, kl_diagonal).iter().all(|&kl| kl == 0.0));
    }
    let zeros = ArrayD::zeros(vec![2, 5]);
    assert!(
        at(&[zeros.clone(), zeros], kl_standard)
            .iter()
            .all(|&kl| kl == 0.0)
    );
}

#[test]
fn is_not_negative_near_or_far() {
    // q and p close to each other, where the first order cancels and what is left is of the second.
    let mut rng = rng(18);
    for distance in [1e-8, 1e-3, 1.0, 50.0] {
        for scale in [1e-6, 1.0, 15.0] {
            let n = 400;
            let near = |rng: &mut StdRng, x: &ArrayD<f64>| x + &(random(rng, &[n, 1]) * distance);
            let a = random(&mut rng, &[n, 1]) * scale;
            let b = near(&mut rng, &a);
            let least = |values: ArrayD<f64>| values.iter().copied().fold(f64::INFINITY, f64::min);
            // A coin's is a sum over two outcomes: what rounding leaves of the cross-entropy, a sum of two
            // positive numbers, but never of the logits' own size.
            let q = a.mapv(|a| 1.0 / (1.0 + (-a).exp()));
            let rounding = at(&[b.clone(), q], bernoulli_density) * -2.0 * f64::EPSILON;
            let coins = least(at(&[a.clone(), b.clone()], kl_bernoulli) + rounding);
            assert!(coins >= 0.0, "{coins:e} at {distance} and {scale}");
            let gaussians = least(at(
                &[a.clone(), a.clone(), b.clone(), b.clone()],
                kl_diagonal,
            ));
            assert!(
                gaussians >= -1e-16,
                "{gaussians:e} at {distance} and {scale}"
            );
            let standard = least(at(&[&b - &a, &b - &a], kl_standard));
            assert!(standard >= 0.0, "{standard:e} at {distance} and {scale}");
        }
    }
}

#[test]
fn bernoulli_keeps_its_digits_at_extreme_logits() {
    // For a, b -> ∞: the rare outcome 0 has q = e^-a, p = e^-b, and KL = q (b - a) - q + p up to q².
    for (a, b) in [
        (40.0f64, 41.0f64),
        (41.0, 40.0),
        (30.0, 36.0),
        (700.0, 690.0),
        (100.0, 100.5),
    ] {
        let (q, p) = ((-a).exp(), (-b).exp());
        let expected: f64 = q * (b - a) - q + p;
        for (a, b) in [(a, b), (-a, -b)] {
            let found = kl_of(&vectors([&[a], &[b]]), kl_bernoulli);
            assert_relative(&format!("KL at {a}, {b}"), found, expected, 1e-11);
        }
    }
    // Opposite certainties: KL = log 1/p.
    for (a, b) in [(700.0, -700.0), (-700.0, 700.0)] {
        assert_relative(
            "KL",
            kl_of(&vectors([&[a], &[b]]), kl_bernoulli),
            700.0,
            1e-14,
        );
    }
    let tape = Tape::<f32>::new();
    let [a, b] = [[80.0f32, -80.0, 80.0], [-80.0, 80.0, 79.0]].map(|x| tape.variable(arr1(&x)));
    let kl = kl::bernoulli(&Bernoulli { logits: a }, &Bernoulli { logits: b });
    assert_relative("KL in f32", f64::from(kl.item()), 160.0, 1e-6);
    let gradients = tape.gradients(kl);
    assert!(
        gradients
            .wrt(a)
            .iter()
            .chain(&gradients.wrt(b))
            .all(|g| g.is_finite())
    );
}

#[test]
fn at_extreme_log_variances_is_finite_and_right() {
    for s in [-40.0, -20.0, 20.0, 40.0f64] {
        let inputs = vectors([&[0.3], &[s]]);
        let expected = 0.5 * (0.09 + s.exp_m1() - s);
        assert_relative("KL", kl_of(&inputs, kl_standard), expected, 1e-14);
        let slopes = slopes_at(&inputs, kl_standard);
        assert_relative("∂KL/∂s", slopes[1][[0]], 0.5 * s.exp_m1(), 1e-14);
        let inputs = vectors([&[0.3], &[0.0], &[0.3], &[s]]);
        let expected = 0.5 * ((-s).exp_m1() + s);
        assert_relative("KL", kl_of(&inputs, kl_diagonal), expected, 1e-14);
    }
    // Two narrow Gaussians at the same place.
    let inputs = vectors([&[0.3], &[-999.0], &[0.3], &[-1000.0]]);
    let expected = 0.5 * (1f64.exp_m1() - 1.0);
    assert_relative("KL", kl_of(&inputs, kl_diagonal), expected, 1e-14);
}

#[test]
fn passes_the_gradient_check_at_both_orders() {
    let mut rng = rng(19);
    for shape in [&[1][..], &[4], &[2, 3], &[2, 1, 2]] {
        let inputs = [0, 1, 2, 3].map(|_| random(&mut rng, shape));
        check("kl-gaussian-standard", &inputs[..2], kl_standard);
        check("kl-gaussian-diagonal", &inputs, kl_diagonal);
        check("kl-categorical", &inputs[..2], kl_categorical);
        check("kl-bernoulli", &inputs[..2], kl_bernoulli);
    }
    for [a, b] in [
        [&[2, 3][..], &[3][..]],
        [&[3], &[2, 3]],
        [&[2, 1, 3], &[4, 3]],
    ] {
        let [mean, s, other, t] = [a, a, b, b].map(|shape| random(&mut rng, shape));
        check(
            "kl-categorical, broadcast",
            &[mean.clone(), other.clone()],
            kl_categorical,
        );
        check(
            "kl-bernoulli, broadcast",
            &[mean.clone(), other.clone()],
            kl_bernoulli,
        );
        check(
            "kl-gaussian-diagonal, broadcast",
            &[mean, s, other, t],
            kl_diagonal,
        );
    }
}

#[test]
fn is_the_difference_of_cross_entropy_and_entropy_on_average() {
    // E_q [log q - log p] by the sampler and the densities, n = 100 000, against the closed form.
    let n = 100_000;
    let tape = Tape::new();
    let constant = |x: &[f64]| tape.constant(arr1(x));
    let q = gaussian(constant(&[0.7, -1.0]), constant(&[-0.8, 0.5]));
    let p = gaussian(constant(&[0.2, 0.4]), constant(&[0.6, -0.3]));
    let z = q.sample(standard_normal(&tape, &[n, 2], &mut rng(20)));
    let log_ratio = (q.log_density(z) - p.log_density(z)).value();
    let mean = log_ratio.sum() / n as f64;
    let variance = log_ratio.mapv(|r| (r - mean).powi(2)).sum() / n as f64;
    let exact = kl::gaussian_diagonal(&q, &p).item();
    assert!((mean - exact).abs() < 4.0 * (variance / n as f64).sqrt());
}
