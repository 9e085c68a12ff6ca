//! Classes, against sums over all of them and their own draws.

use elbo::autodiff::Tape;
use elbo::distributions::Categorical;
use elbo::distributions::noise::standard_uniform;
use ndarray::{Array2, ArrayD, Axis, IxDyn, arr1, arr2};

use crate::common::random::{random, rng};
use crate::distributions::shared::{
    assert_entries, at, categorical_density, categorical_entropy, check, slopes_at,
};

#[test]
fn density_sums_to_one_and_to_minus_its_entropy() {
    let mut rng = rng(8);
    for k in [1, 2, 5] {
        let logits = random(&mut rng, &[3, 1, k]);
        let each = Array2::<f64>::eye(k).into_dyn();
        let log_p = at(&[logits.clone(), each], categorical_density);
        assert_eq!(log_p.shape(), [3, k]);
        let entropy = at(&[logits], categorical_entropy);
        for (log_p, &entropy) in log_p.rows().into_iter().zip(&entropy) {
            let mass: f64 = log_p.iter().map(|l| l.exp()).sum();
            assert!((mass - 1.0).abs() < 1e-14);
            let expected = -log_p.iter().map(|l| l.exp() * l).sum::<f64>();
            assert!((entropy - expected).abs() < 1e-14);
        }
    }
}

#[test]
fn sampler_draws_from_the_density() {
    let n = 100_000;
    let logits = arr2(&[[0.3, -1.0, 1.4, 0.0], [-0.5, 2.0, -3.0, 0.2]]);
    let tape = Tape::new();
    let wide = logits.broadcast((n, 2, 4)).unwrap().to_owned();
    let classes = Categorical {
        logits: tape.variable(wide),
    };
    let sample = classes.sample(standard_uniform(&tape, &[n, 2, 1], &mut rng(9)));
    assert!(!sample.is_active());
    let sample = sample.value();
    assert!(sample.sum_axis(Axis(2)).iter().all(|&ones| ones == 1.0));
    assert!(sample.iter().all(|&x| x == 0.0 || x == 1.0));
    let frequencies = sample.sum_axis(Axis(0)) / n as f64;
    for row in 0..2 {
        let own = logits.row(row).to_owned().into_dyn();
        let log_p = at(
            &[own, Array2::<f64>::eye(4).into_dyn()],
            categorical_density,
        );
        for (class, p) in log_p.mapv(f64::exp).iter().enumerate() {
            let error = (p * (1.0 - p) / n as f64).sqrt();
            assert!((frequencies[[row, class]] - p).abs() < 4.0 * error);
        }
    }
    // The two rows are drawn with noise of their own: for independent ones P(0, 0) = P(0) P(0).
    let both = sample.outer_iter().filter(|x| x[[0, 2]] + x[[1, 1]] == 2.0);
    let p = frequencies[[0, 2]] * frequencies[[1, 1]];
    let found = both.count() as f64 / n as f64;
    assert!((found - p).abs() < 4.0 * (p * (1.0 - p) / n as f64).sqrt());
}

#[test]
fn sample_lays_the_probabilities_end_to_end() {
    let tape = Tape::new();
    let logits = tape.constant(arr1(&[0.2f64, 0.5, 0.3]).mapv(f64::ln));
    let class = |u: f64| {
        let one_hot = Categorical { logits }.sample(tape.constant(arr1(&[u])));
        one_hot.value().iter().position(|&x| x == 1.0)
    };
    let expected = [(0.0, 0), (0.199, 0), (0.201, 1), (0.699, 1), (0.701, 2)];
    for (u, k) in expected {
        assert_eq!(class(u), Some(k), "u = {u}");
    }
    // Ten tenths add up to 1 - 10⁻¹⁶: a u beyond that belongs to the last class that is possible, and the eleventh
    // is not.
    let mut logits = vec![0.0; 11];
    logits[10] = -1e4;
    let logits = tape.constant(arr1(&logits));
    let largest = tape.constant(arr1(&[1.0 - f64::EPSILON / 2.0]));
    let one_hot = Categorical { logits }.sample(largest).value();
    assert_eq!((one_hot[[9]], one_hot.sum()), (1.0, 1.0));
}

#[test]
fn passes_the_gradient_check() {
    let mut rng = rng(10);
    for shapes in [
        [&[4][..], &[4][..]],
        [&[2, 3], &[2, 3]],
        [&[3], &[2, 3]],
        [&[2, 1, 3], &[2, 3]],
    ] {
        let what = format!("categorical {shapes:?}");
        let inputs = shapes.map(|shape| random(&mut rng, shape));
        check(&what, &inputs, categorical_density);
        check(&what, &inputs[..1], categorical_entropy);
        check(&what, &inputs[..1], |v| {
            Categorical { logits: v[0] }.probabilities()
        });
        check(&what, &inputs[..1], |v| {
            Categorical { logits: v[0] }.log_probabilities()
        });
    }
}

#[test]
fn at_extreme_logits_is_finite_and_right() {
    let logits = arr1(&[700.0, -700.0, 699.0]).into_dyn();
    let rest = (-1f64).exp();
    let log_sum = rest.ln_1p();
    let log_p = at(
        &[logits.clone(), Array2::<f64>::eye(3).into_dyn()],
        categorical_density,
    );
    for (found, expected) in log_p
        .iter()
        .zip([-log_sum, -1400.0 - log_sum, -1.0 - log_sum])
    {
        // The logits' own rounding is 700·10⁻¹⁶.
        assert!((found - expected).abs() < 1e-12);
    }
    let entropy = at(std::slice::from_ref(&logits), categorical_entropy)[[]];
    let expected = log_sum + rest / (1.0 + rest);
    assert!((entropy - expected).abs() < 1e-12);
    let slopes = slopes_at(
        &[logits, arr1(&[0.0, 1.0, 0.0]).into_dyn()],
        categorical_density,
    );
    let p = 1.0 / (1.0 + rest);
    for (found, expected) in slopes[0].iter().zip([-p, 1.0, p - 1.0]) {
        assert!((found - expected).abs() < 1e-12);
    }
}

#[test]
fn with_impossible_and_certain_classes_has_its_limits() {
    let inf = f64::INFINITY;
    let log = |p: f64| p.ln();
    for (logits, p) in [
        (vec![-inf, 0.0, log(3.0)], vec![0.0, 0.25, 0.75]),
        (vec![-inf, -inf, 5.0], vec![0.0, 0.0, 1.0]),
        (vec![inf, 0.0, -inf], vec![1.0, 0.0, 0.0]),
        (vec![inf, 7.0, inf], vec![0.5, 0.0, 0.5]),
        (vec![-inf, -inf], vec![0.5, 0.5]),
    ] {
        let k = p.len();
        let logits = arr1(&logits).into_dyn();
        let what = format!("{logits}");
        let found = at(std::slice::from_ref(&logits), |v| {
            Categorical { logits: v[0] }.probabilities()
        });
        assert_entries(&what, &found, &p);
        for class in 0..k {
            let mut x = ArrayD::zeros(IxDyn(&[k]));
            x[[class]] = 1.0;
            let inputs = [logits.clone(), x.clone()];
            assert_entries(&what, &at(&inputs, categorical_density), &[log(p[class])]);
            // x - p.
            let expected: Vec<f64> = x.iter().zip(&p).map(|(x, p)| x - p).collect();
            let slopes = slopes_at(&inputs, categorical_density);
            assert_entries(&what, &slopes[0].to_owned(), &expected);
        }
        let inputs = std::slice::from_ref(&logits);
        let terms = p.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln());
        let entropy: f64 = terms.sum();
        assert_entries(&what, &at(inputs, categorical_entropy), &[entropy]);
        // -p (log p + H), and 0 where p is.
        let slope = |p: &f64| match *p {
            0.0 => 0.0,
            p => -p * (p.ln() + entropy),
        };
        let expected: Vec<f64> = p.iter().map(slope).collect();
        let found = slopes_at(inputs, categorical_entropy);
        assert_entries(&what, &found[0].to_owned(), &expected);
    }
    // One lane of a batch does not touch the others, and a NaN is seen.
    let logits = arr2(&[[inf, 0.0], [f64::NAN, inf], [0.0, 0.0]]).into_dyn();
    let log_p = at(&[logits], |v| {
        Categorical { logits: v[0] }.log_probabilities()
    });
    assert_eq!((log_p[[0, 0]], log_p[[0, 1]]), (0.0, -inf));
    assert!(log_p[[1, 0]].is_nan() && log_p[[1, 1]].is_nan());
    assert!((log_p[[2, 0]] - 0.5f64.ln()).abs() < 1e-15);
}

#[test]
fn with_an_impossible_class_has_second_derivatives() {
    // The Hessian of the entropy at p = (0, ½, ½) is that of a fair coin, with a row of zeros.
    let tape = Tape::new();
    let logits = tape.variable(arr1(&[f64::NEG_INFINITY, 0.0, 0.0]));
    let slopes = tape.differentiable_gradients(Categorical { logits }.entropy());
    let direction = tape.constant(arr1(&[1.0, 1.0, -1.0]));
    let product = tape.gradients((slopes.wrt(logits) * direction).sum());
    assert_entries(
        "Hessian",
        &product.wrt(logits).to_owned(),
        &[0.0, -0.5, 0.5],
    );
}
