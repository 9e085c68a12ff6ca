//! Kinks are found and moved away from, and nothing else is.

use elbo::autodiff::Var;
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

/// A function with a continuous slope, given by its value and its derivative.
fn function<'t>(x: Var<'t, f64>, value: fn(f64) -> f64, slope: fn(f64) -> f64) -> Var<'t, f64> {
    let y = x.value().mapv(value).into_shared();
    x.tape().record("function", &[x], y, move |p| {
        let slope = p.input(0).value().mapv(slope);
        p.give(0, || p.cotangent * p.cotangent.tape().constant(slope));
    })
}

#[test]
fn corners_with_a_continuous_slope_pass_and_wrong_slopes_there_do_not() {
    let elu = |x: f64| if x > 0.0 { x } else { x.exp_m1() };
    let elu_slope = |x: f64| if x > 0.0 { 1.0 } else { x.exp() };
    let huber = |x: f64| if x < 1.0 { x * x / 2.0 } else { x - 0.5 };
    let huber_slope = |x: f64| x.min(1.0);
    let bent = |x: f64| (x - 1.0).max(0.0).powi(2) + x;
    let bent_slope = |x: f64| 2.0 * (x - 1.0).max(0.0) + 1.0;
    type Case = (fn(f64) -> f64, fn(f64) -> f64, f64);
    let cases: [Case; 3] = [
        (elu, elu_slope, 0.0),
        (huber, huber_slope, 1.0),
        (bent, bent_slope, 1.0),
    ];
    for (value, slope, x) in cases {
        let x = || [arr1(&[x]).into_dyn()];
        let check = Check::new("corner").at_this_point();
        check.run(&x(), |v| function(v[0], value, slope)).unwrap();
        let failure = caught(&x(), |v| {
            mutated(function(v[0], value, slope), |g| g * (1.0 + 1e-6))
        });
        assert!(differs(&failure), "{failure}");
    }
}

#[test]
fn a_point_that_may_not_be_moved_is_reported_as_a_kink() {
    let x = || [arr1(&[1.0, 0.0]).into_dyn()];
    let failure = Check::new("relu")
        .at_this_point()
        .run(&x(), |v| v[0].relu())
        .unwrap_err();
    let kink = Reason::Kink {
        input: 0,
        input_index: vec![1],
    };
    assert_eq!(failure.reason, kink);
    let report = Check::new("relu").run(&x(), |v| v[0].relu()).unwrap();
    assert!(report.point[0][1] != 0.0);
    assert_eq!(report.point[0][0], 1.0);
}

#[test]
fn a_whole_gradient_for_each_tied_entry_is_refused_at_its_point() {
    let failure = Check::new("mutant")
        .at_this_point()
        .run(&[arr1(&[0.5, 0.5]).into_dyn()], |v| {
            let y = v[0].value().fold(f64::MIN, |most, &x| most.max(x));
            let value = ArrayD::from_elem(IxDyn(&[1]), y).into_shared();
            v[0].tape().record("mutant", &[v[0]], value, |p| {
                let most = p.output.value()[0];
                let ties = p.input(0).value().mapv(|x| f64::from(x == most));
                p.give(0, || p.cotangent * p.cotangent.tape().constant(ties));
            })
        })
        .unwrap_err();
    assert!(matches!(failure.reason, Reason::Kink { .. }), "{failure}");
}
