//! What is no function, not finite or nothing at all is not a pass, and a failure says what it compared.

use elbo::autodiff::check::{Check, Reason};
use elbo::autodiff::{Tape, Var};
use ndarray::{ArrayD, IxDyn, arr1};
use rand::Rng;

use crate::check::shared::{caught, input, mutated};
use crate::common::random::rng;

#[test]
fn noise_that_is_not_frozen() {
    let rng = std::cell::RefCell::new(rng(1));
    let failure = caught(&[input(&[3])], |v| {
        v[0] * rng.borrow_mut().random_range(0.0..1.0)
    });
    assert_eq!(failure.reason, Reason::NotRepeatable("values"));
}

#[test]
fn a_value_that_depends_on_the_memory_layout() {
    let failure = caught(&[input(&[3, 2])], |v| {
        let contiguous = v[0].value().is_standard_layout();
        v[0] * if contiguous { 1.0 } else { 2.0 }
    });
    assert_eq!(failure.reason, Reason::LayoutMatters { input: None });
}

#[test]
fn nan_is_not_a_pass() {
    let failure = Check::new("ln")
        .run(&[arr1(&[-1.0]).into_dyn()], |v| v[0].ln())
        .unwrap_err();
    assert_eq!(failure.reason, Reason::NotFinite("value"));
    let failure = caught(&[input(&[2])], |v| mutated(v[0], |g| g * f64::NAN));
    assert_eq!(failure.reason, Reason::NotFinite("gradient"));
}

#[test]
fn slopes_beyond_the_largest_number_are_not_a_pass() {
    let failure = caught(&[input(&[2])], |v| {
        mutated(v[0].tanh(), |g| g * 0.0) * 5e307
    });
    assert!(matches!(failure.reason, Reason::NotFinite(_)), "{failure}");
}

#[test]
fn a_slope_below_the_rounding_of_the_value_is_not_a_pass() {
    for factor in [0.0, 1.0] {
        let failure = caught(&[input(&[3])], |v| {
            mutated(v[0].tanh(), move |g| g * factor) + 1e15
        });
        assert!(
            matches!(failure.reason, Reason::Drowned { .. }),
            "{failure}"
        );
    }
}

#[test]
fn nothing_compared_is_not_a_pass() {
    let empty = || [ArrayD::zeros(IxDyn(&[0]))];
    let check = Check::new("nothing");
    let failures = [
        check.run(&empty(), |v| v[0].exp()),
        check.run(&[input(&[3])], |v| v[0].slice(0, 0..0)),
        check.run_second_order(&empty(), |v| v[0].exp()),
        check.run_second_order(&[input(&[3])], |v| v[0].slice(0, 0..0)),
        check.run_surrogate(&empty(), |v| v[0].exp(), |v, _| v[0].exp()),
    ];
    for failure in failures {
        assert_eq!(failure.unwrap_err().reason, Reason::NothingToCompare);
    }
}

#[test]
fn no_inputs_at_all_are_nothing_to_compare() {
    thread_local! {
        static TAPE: &'static Tape<f64> = Box::leak(Box::default());
    }
    fn constant<'t>(_: &[Var<'t, f64>]) -> Var<'t, f64> {
        TAPE.with(|tape| tape.scalar(1.0))
    }
    for outcome in [
        Check::new("nothing").run(&[], constant),
        Check::new("nothing").run_second_order(&[], constant),
    ] {
        assert_eq!(outcome.unwrap_err().reason, Reason::NothingToCompare);
    }
}

#[test]
fn a_failure_names_the_slug_the_entry_and_both_values() {
    let failure = Check::new("kl-gaussian-standard")
        .run(&[arr1(&[2.0]).into_dyn()], |v| {
            mutated(v[0].square(), |g| g * 1.5)
        })
        .unwrap_err();
    let message = failure.to_string();
    assert!(
        message
            .starts_with("kl-gaussian-standard: ∂y[0]/∂x0[0]: autodiff 6e0, finite differences 4")
            || message.starts_with(
                "kl-gaussian-standard: ∂y[0]/∂x0[0]: autodiff 6e0, finite differences 3.99"
            ),
        "{message}"
    );
    assert!(message.contains("error estimate"), "{message}");
}

#[test]
fn the_tape_is_at_hand_in_the_expression() {
    Check::new("constant")
        .run(&[input(&[2])], |v| {
            let tape: &Tape<f64> = v[0].tape();
            v[0] * tape.scalar(3.0)
        })
        .unwrap();
}
