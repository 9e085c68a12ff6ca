//! Many dimensions, hardly any noise, single precision, and what is no model.

use std::f64::consts::TAU;

use elbo::autodiff::Tape;
use elbo::background::{BadData, LinearGaussian, enumerate, jensen, log_derivative, posterior};
use elbo::distributions::MultivariateGaussian;
use ndarray::{Array1, arr1, arr2};

use super::{linear, model};
use crate::common::arrays::owned;
use crate::common::comparing::{REARRANGED, Worst};
use crate::common::random::{random, rng};
use crate::common::reporting::report;

const INF: f64 = f64::INFINITY;

#[test]
fn in_many_dimensions() {
    // Dimension alone is no obstacle: 300 of data, 20 of latents, in both ways.
    let mut rng = rng(158);
    let point = linear(&mut rng, 300, 20, 3);
    let tape = Tape::new();
    let v: Vec<_> = point.iter().map(|p| tape.constant(p.clone())).collect();
    let ways = [
        owned(model(&v).log_evidence_by_covariance(v[3]).unwrap().value()),
        owned(model(&v).log_evidence_by_latents(v[3]).unwrap().value()),
    ];
    let mut worst = Worst::default();
    worst.entries(&ways[0], &ways[1]);
    report(format!(
        "log p(x) of three data in 300 dimensions: {:.3}",
        ways[0]
    ));
    worst.within(1e-11, "both ways in 300 dimensions");
    // The smaller matrix keeps its digits where the noise is small: |δ - Wm|²/σ² + |m|² is a sum of squares.
    let tape = Tape::new();
    let v: Vec<_> = point.iter().map(|p| tape.constant(p.clone())).collect();
    let quiet = LinearGaussian {
        log_noise: tape.scalar(-20.0),
        ..model(&v)
    };
    let on_the_plane = tape.constant(random(&mut rng, &[1, 20])).matmul(v[0].t()) + v[1];
    let by_latents = quiet.log_evidence_by_latents(on_the_plane).unwrap().item();
    let by_covariance = quiet
        .log_evidence_by_covariance(on_the_plane)
        .unwrap()
        .item();
    let relative = ((by_latents - by_covariance) / by_latents).abs();
    report(format!(
        "noise e^-20, x in the plane of W: the ways differ by {relative:.1e}"
    ));
    assert!(relative < 1e-6);
}

/// The plane of the first axis in two dimensions, at and off which x lies.
fn at_the_plane<T: elbo::Scalar>(log_noise: f64, off: f64) -> [f64; 3] {
    let tape = Tape::<T>::new();
    let numbers = |x: [f64; 2]| tape.variable(arr1(&x.map(T::of)));
    let model = LinearGaussian {
        weights: numbers([1.0, 0.0]).reshape(&[2, 1]),
        offset: numbers([0.25, 0.5]),
        log_noise: tape.variable(ndarray::arr0(T::of(log_noise))),
    };
    let x = numbers([0.25, 0.5 + off]);
    let z = tape.constant(arr1(&[T::zero()]));
    let q = MultivariateGaussian::from_factor(z, tape.constant(arr2(&[[T::of(1e-30)]]))).unwrap();
    let log_likelihood = model.log_likelihood(x, z);
    let gradients = tape.gradients(log_likelihood);
    let slopes = [gradients.wrt(x), gradients.wrt(model.offset)];
    assert!(slopes.iter().flatten().all(|g| !g.is_nan()));
    assert!(!gradients.wrt(model.log_noise)[[]].is_nan());
    [
        model.log_evidence_by_latents(x).unwrap(),
        log_likelihood,
        model.elbo(x, &q),
    ]
    .map(|y| y.item().as_f64())
}

#[test]
fn with_very_little_noise_is_no_nan() {
    let mut worst = Worst::default();
    for s in [-700.0, -710.0, -1400.0, -1500.0, -4000.0] {
        let [evidence, log_likelihood, bound] = at_the_plane::<f64>(s, 0.0);
        worst.number(evidence, -TAU.ln() - 0.5 * s, s.abs());
        worst.number(log_likelihood, -TAU.ln() - s, s.abs());
        assert!(bound < -1e80, "{bound}");
        // e^-s off the plane.
        let [evidence, _, _] = at_the_plane::<f64>(s, 1.0);
        assert!(evidence < -1e300, "{evidence}");
    }
    // Two deviations off it.
    let s = -715.0f64;
    let tape = Tape::new();
    let model = LinearGaussian {
        weights: tape.constant(arr2(&[[1.0], [0.0]])),
        offset: tape.constant(arr1(&[0.0, 0.0])),
        log_noise: tape.scalar(s),
    };
    let x = tape.constant(arr1(&[0.0, 2.0 * (s / 2.0).exp()]));
    let expected = -TAU.ln() - 0.5 * (s + 4.0);
    worst.number(model.log_evidence(x).unwrap().item(), expected, 100.0);
    worst.within(
        REARRANGED,
        "evidence and likelihood with σ² from e^-700 to e^-4000",
    );
    for s in [-90.0, -180.0, -1000.0] {
        let [evidence, log_likelihood, _] = at_the_plane::<f32>(s, 0.0);
        assert!((evidence + TAU.ln() + 0.5 * s).abs() < 1e-3);
        assert!((log_likelihood + TAU.ln() + s).abs() < 1e-3);
    }
}

#[test]
fn and_bayes_rule_in_single_precision() {
    // The same code in f32, against f64.
    fn found<T: elbo::Scalar>() -> Vec<f64> {
        let tape = Tape::<T>::new();
        let numbers =
            |values: &[f64]| tape.constant(Array1::from_iter(values.iter().map(|v| T::of(*v))));
        let prior = numbers(&[0.3, -1.0, 0.2]).log_softmax(0);
        let after = posterior(prior, numbers(&[-3.0, f64::NEG_INFINITY, -2.5])).unwrap();
        let sides = jensen(prior, numbers(&[0.1, 2.0, -0.7])).unwrap();
        let model = LinearGaussian {
            weights: numbers(&[1.0, 0.4, -0.5, 2.0, 0.3, 0.9]).reshape(&[3, 2]),
            offset: numbers(&[0.1, 0.2, 0.3]),
            log_noise: tape.scalar(T::of(-0.5)),
        };
        let x = numbers(&[1.0, -1.0, 0.4]);
        let surrogate = log_derivative(prior.exp(), prior, numbers(&[1.0, 5.0, -2.0]));
        [
            after.log_evidence,
            after.log_posterior.slice(0, 0..1).sum(),
            sides.log_mean,
            sides.gap,
            model.log_evidence_by_covariance(x).unwrap(),
            model.log_evidence_by_latents(x).unwrap(),
            surrogate,
        ]
        .map(|y| y.item().as_f64())
        .to_vec()
    }
    for (single, double) in found::<f32>().iter().zip(found::<f64>()) {
        assert!(
            (single - double).abs() < 2e-6 * double.abs().max(1.0),
            "{single} {double}"
        );
    }
}

#[test]
fn of_what_is_no_model_is_an_error() {
    let tape = Tape::new();
    let with = |log_noise: f64| {
        let model = LinearGaussian {
            weights: tape.constant(arr2(&[[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]])),
            offset: tape.constant(arr1(&[0.0, 0.0, 0.0])),
            log_noise: tape.scalar(log_noise),
        };
        let x = tape.constant(arr1(&[1.0, 2.0, 3.0]));
        [
            model.log_evidence_by_covariance(x).map(|e| e.item()),
            model.log_evidence_by_latents(x).map(|e| e.item()),
        ]
    };
    for bad in [-INF, INF, f64::NAN, -800.0, -80.0] {
        for result in with(bad) {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("expected"), "{error}");
        }
    }
    let [a, b] = with(-5.0).map(Result::unwrap);
    assert!((a - b).abs() < 1e-9 * a.abs());
}

#[test]
fn by_enumeration_refuses() {
    assert_eq!(
        enumerate(2, 64, |_| 0.0).unwrap_err(),
        BadData::TooMany {
            states: 2,
            variables: 64
        }
    );
    assert_eq!(
        enumerate(0, 2, |_| 0.0).unwrap_err(),
        BadData::Empty { what: "states" }
    );
    assert_eq!(
        enumerate(2, 2, |_| -INF).unwrap_err(),
        BadData::Impossible { row: 0 }
    );
    let at_third = |bad: f64| enumerate(2, 2, move |z| if z == [1, 0] { bad } else { 0.0 });
    for bad in [f64::NAN, INF] {
        assert!(matches!(
            at_third(bad),
            Err(BadData::Number { index: 2, .. })
        ));
    }
    assert_eq!(at_third(-INF).unwrap().0, 3f64.ln());
}
