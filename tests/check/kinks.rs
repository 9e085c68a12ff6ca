//! Kinks are found and moved away from, and nothing else is.

use elbo::autodiff::check::{Check, Reason};
use ndarray::{ArrayD, IxDyn, arr1};

use crate::check::shared::{caught, differs, mutated, sin};

#[test]
fn a_kink_is_moved_away_from_and_a_step_is_reported() {
    let report = Check::new("relu")
        .run(&[arr1(&[0.0, 1.0]).into_dyn()], |v| v[0].relu())
        .unwrap();
    assert!(report.moved > 0);
    // Near a kink, not on it: a smaller step is enough.
    let near = arr1(&[0.003, -0.001]).into_dyn();
    let report = Check::new("abs").run(&[near], |v| v[0].abs()).unwrap();
    assert_eq!(report.moved, 0);
    // Not a function with a kink, but noise, however small the step.
    let failure = Check::new("noise")
        .run(&[arr1(&[0.3]).into_dyn()], |v| {
            let value = v[0]
                .value()
                .mapv(|x| ((x * 0.7234e13).sin() * 43758.5453).fract())
                .into_shared();
            v[0].tape()
                .record("noise", &[v[0]], value, |p| p.give(0, || p.cotangent))
        })
        .unwrap_err();
    assert!(
        matches!(failure.reason, Reason::Unreliable { .. }),
        "{failure}"
    );
}

#[test]
fn many_kinks_at_once_are_moved_away_from_together() {
    let zeros = ArrayD::zeros(IxDyn(&[5, 6]));
    let report = Check::new("relu").run(&[zeros], |v| v[0].relu()).unwrap();
    assert!((1..5).contains(&report.moved), "{report:?}");
}

#[test]
fn weak_kinks_are_found_too() {
    let zero = || [arr1(&[0.0]).into_dyn()];
    let weak = Check::new("weak").run(&zero(), |v| v[0] + v[0].relu() * 1e-4);
    assert!(weak.unwrap().moved > 0);
    let beside = Check::new("beside").run(&zero(), |v| {
        v[0].tape().concatenate(0, &[v[0] * 1e4, v[0].relu()])
    });
    assert!(beside.unwrap().moved > 0);
}

#[test]
fn what_is_steep_is_not_moved_away_from() {
    for steepness in [1e5, 1e7, 1e9] {
        let zero = || [arr1(&[0.0]).into_dyn()];
        let report = Check::new("tanh").run(&zero(), |v| (v[0] * steepness).tanh());
        assert_eq!(report.unwrap().moved, 0);
        let failure = caught(&zero(), |v| mutated((v[0] * steepness).tanh(), |g| g * 0.0));
        assert!(differs(&failure), "{failure}");
    }
    let bell = |x: f64, factor: f64| {
        Check::new("bell").run(&[arr1(&[x]).into_dyn()], move |v| {
            mutated((-(v[0] * 1e6).square()).exp(), move |g| g * factor)
        })
    };
    assert_eq!(bell(0.0, 1.0).unwrap().moved, 0);
    assert_eq!(bell(5e-7, 1.0).unwrap().moved, 0);
    assert!(differs(&bell(5e-7, 0.0).unwrap_err()));
}

#[test]
fn what_repeats_as_often_as_the_steps_is_not_flat() {
    for k in 4..15 {
        let often = f64::from(k).exp2() * std::f64::consts::TAU;
        let x = || [arr1(&[0.3]).into_dyn()];
        Check::new("sin").run(&x(), |v| sin(v[0] * often)).unwrap();
        let failure = caught(&x(), |v| mutated(sin(v[0] * often), |g| g * 0.0));
        assert!(differs(&failure), "{failure}");
    }
}
