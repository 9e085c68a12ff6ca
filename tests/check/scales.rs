//! Right gradients pass and wrong ones do not, whatever the scale of values, slopes and arguments.

use elbo::autodiff::Var;
use elbo::autodiff::check::Check;
use ndarray::{ArrayD, IxDyn, arr1};
use rand::Rng;

use crate::check::shared::{caught, differs, input, mutated, sin};
use crate::common::random::rng;

#[test]
fn functions_with_large_values_and_small_slopes_pass() {
    // The rounding of 10⁶ must not be taken for a wrong gradient, nor hide a missing one.
    Check::new("offset")
        .run(&[input(&[3])], |v| v[0].tanh() + 1e6)
        .unwrap();
    caught(&[input(&[3])], |v| {
        mutated(v[0].tanh(), |g| g * 1.001) + 1e6
    });
}

#[test]
fn steep_functions_pass() {
    Check::new("steep")
        .run(&[input(&[3])], |v| (v[0] * 30.0).exp())
        .unwrap();
    Check::new("narrow")
        .run(&[input(&[3])], |v| (v[0] * 100.0).tanh())
        .unwrap();
    let tiny = arr1(&[1e-4, 2e-3]).into_dyn();
    Check::new("ln").run(&[tiny], |v| v[0].ln()).unwrap();
}

#[test]
fn small_slopes_beside_large_ones_are_held_to_their_own_scale() {
    fn beside(right: f64) -> impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64> {
        move |v| {
            let small = mutated(v[0], move |g| g * right) * 1e-4;
            v[0].tape().concatenate(0, &[v[0] * 1e6, small])
        }
    }
    fn sum(right: f64) -> impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64> {
        move |v| {
            let large = v[0].slice(0, 0..1) * 1e6;
            large + mutated(v[0].slice(0, 1..2), move |g| g * right) * 1e-4
        }
    }
    let one = || [arr1(&[0.3]).into_dyn()];
    let two = || [arr1(&[0.0, 0.7]).into_dyn()];
    Check::new("beside").run(&one(), beside(1.0)).unwrap();
    Check::new("sum").run(&two(), sum(1.0)).unwrap();
    for wrong in [0.0, 0.999] {
        assert!(differs(&caught(&one(), beside(wrong))));
        assert!(differs(&caught(&two(), sum(wrong))));
    }
}

#[test]
fn functions_that_change_over_lengths_far_from_1_pass() {
    for x in [1e-6, 1e-12, 1e-100] {
        let x = || [arr1(&[x]).into_dyn()];
        Check::new("ln").run(&x(), |v| v[0].ln()).unwrap();
        Check::new("sqrt").run(&x(), |v| v[0].sqrt()).unwrap();
        let failure = caught(&x(), |v| mutated(v[0].ln(), |g| g * 1.0005));
        assert!(differs(&failure), "{failure}");
    }
    for x in [1e3, 1e6, 1e6 + 0.3] {
        let x = || [arr1(&[x]).into_dyn()];
        Check::new("sin").run(&x(), |v| sin(v[0])).unwrap();
        let failure = caught(&x(), |v| mutated(sin(v[0]), |g| g * 1.0005));
        assert!(differs(&failure), "{failure}");
        Check::new("square").run(&x(), |v| v[0].square()).unwrap();
        let failure = caught(&x(), |v| mutated(v[0].square(), |g| g * (1.0 + 1e-7)));
        assert!(differs(&failure), "{failure}");
    }
}

#[test]
fn gradients_that_cancel_pass() {
    let x = arr1(&[0.3, -1.0, 2.0]).into_dyn();
    Check::new("a sum that is always 1")
        .run(&[x], |v| v[0].softmax(0).sum())
        .unwrap();
    for peak in [10.0, 20.0, 30.0] {
        let x = arr1(&[0.3, peak, -1.0]).into_dyn();
        Check::new("a peaked softmax")
            .run(&[x], |v| v[0].softmax(0))
            .unwrap();
    }
}

#[test]
fn gradients_that_cancel_pass_at_second_order() {
    for seed in 0..5 {
        for scale in [1.0, 1e-6] {
            Check::new("a sum that is always 1")
                .seed(seed)
                .run_second_order(&[input(&[2, 4])], |v| v[0].softmax(1).sum() * scale)
                .unwrap();
        }
    }
}

#[test]
fn sure_outcomes_pass() {
    // Logits far apart: log-probabilities of 10⁻¹⁰ beside those of -20, from sums whose terms are of size 1.
    fn net<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
        let hidden = (v[0].matmul(v[1].t()) + v[2]).relu();
        hidden.matmul(v[3].t()).log_softmax(1)
    }
    for seed in 0..30 {
        let mut rng = rng(seed);
        let mut draw = |shape: &[usize]| {
            ArrayD::from_shape_simple_fn(IxDyn(shape), || rng.random_range(-2.5..2.5))
        };
        let inputs = [draw(&[4, 3]), draw(&[8, 3]), draw(&[8]), draw(&[5, 8])];
        let check = Check::new("net").seed(seed);
        check.run(&inputs, net).unwrap();
        check.run_second_order(&inputs, net).unwrap();
    }
}

#[test]
fn fast_ripples_do_not_look_flat_to_a_step_that_happens_to_agree() {
    // x + (0.1/w) sin wx has slopes from 0.9 to 1.1.
    fn ripples<'t>(x: Var<'t, f64>, w: f64) -> Var<'t, f64> {
        x + sin(x * w) * (0.1 / w)
    }
    let first = (9161.005264500758, -2.958928974592051);
    let mut rng = rng(3);
    let others = (0..400).map(|k| {
        let w = 10f64.powf(1.0 + f64::from(k) / 50.0);
        (w, rng.random_range(-3.0..3.0))
    });
    for (w, x) in std::iter::once(first).chain(others) {
        let right = 1.0 + 0.1 * (w * x).cos();
        let x = || [arr1(&[x]).into_dyn()];
        let check = Check::new("ripples");
        check.run(&x(), |v| ripples(v[0], w)).unwrap();
        // A gradient of 1 is wrong wherever the slope is not 1.
        if (right - 1.0).abs() > 1e-3 {
            let wrong = check.run(&x(), |v| mutated(ripples(v[0], w), move |g| g / right));
            let failure = wrong.unwrap_err();
            // Beyond a million the ripples are near the end of what f64 resolves: they may be refused as a kink.
            assert!(differs(&failure) || w > 1e6, "w = {w}: {failure}");
        }
    }
}

#[test]
fn large_values_that_are_finite_pass() {
    for x in [350.0, 500.0, 700.0] {
        let x = || [arr1(&[x]).into_dyn()];
        Check::new("exp").run(&x(), |v| v[0].exp()).unwrap();
        let failure = caught(&x(), |v| mutated(v[0].exp(), |g| g * 1.0005));
        assert!(differs(&failure), "{failure}");
    }
}

#[test]
fn no_step_is_wider_than_allowed() {
    let farthest = std::cell::Cell::new(0.0f64);
    let report = Check::new("tanh")
        .largest_step(1e-3)
        .run(&[arr1(&[2.0]).into_dyn()], |v| {
            let x = v[0].value()[0];
            farthest.set(farthest.get().max((x - 2.0).abs()));
            v[0].tanh()
        });
    report.unwrap();
    assert!(0.0 < farthest.get() && farthest.get() <= 1e-3);
}
