//! What a backward pass returns and what it leaves behind.

use std::collections::BTreeSet;

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use ndarray::{ArrayD, IxDyn, arr1, arr2};

use crate::common::panics::panic_message;

#[test]
fn asking_twice_gives_the_same_and_leaves_nothing() {
    let tape = Tape::new();
    let x = tape.variable(arr2(&[[1.0, -2.0], [0.5, 3.0]]));
    let y = (x.exp() * x).softplus().sum();
    let length = tape.len();
    let first = tape.gradients(y);
    let second = tape.gradients(y);
    assert_eq!(first.wrt(x), second.wrt(x));
    assert_eq!(tape.len(), length);
}

#[test]
fn the_gradient_of_what_is_not_involved_is_zero() {
    let tape = Tape::new();
    let (x, other) = (
        tape.variable(arr1(&[1.0, 2.0])),
        tape.variable(arr2(&[[3.0]])),
    );
    let gradients = tape.gradients(x.square().sum());
    assert_eq!(gradients.wrt(other), ArrayD::<f64>::zeros(IxDyn(&[1, 1])));
    let constant = tape.scalar(2.0);
    assert_eq!(
        tape.gradients(constant).wrt(x),
        ArrayD::<f64>::zeros(IxDyn(&[2]))
    );
    assert_eq!(
        tape.differentiable_gradients(constant).wrt(x).value(),
        ArrayD::<f64>::zeros(IxDyn(&[2]))
    );
}

#[test]
fn an_intermediate_cotangent_is_kept_when_named() {
    let tape = Tape::new();
    let x = tape.variable(arr1(&[1.0, 2.0]));
    let h = x * 3.0;
    let y = h.square();
    let gradients = tape.pull_back(y, arr1(&[1.0, 10.0]), &[h]);
    assert_eq!(gradients.wrt(h), arr1(&[6.0, 120.0]).into_dyn());
    assert_eq!(gradients.wrt(x), arr1(&[18.0, 360.0]).into_dyn());
    // Named, but the result does not depend on it.
    let other = x + 1.0;
    let gradients = tape.pull_back(y, arr1(&[1.0, 10.0]), &[other]);
    assert_eq!(gradients.wrt(other), arr1(&[0.0, 0.0]).into_dyn());
}

#[test]
fn a_stopped_gradient_is_its_surrogate() {
    let x = arr1(&[0.3, -1.7, 2.0]).into_dyn();
    let y = arr1(&[1.1, 0.4, -0.6]).into_dyn();
    Check::new("stop-gradient")
        .run_surrogate(
            &[x, y],
            |v| (v[0] * v[1]).stop_gradient() * v[0].exp() + v[1].stop_gradient(),
            |v, frozen| frozen[0] * frozen[1] * v[0].exp() + frozen[1],
        )
        .unwrap();
}

#[test]
fn a_step_after_the_first_reuses_its_buffers() {
    let mut tape = Tape::<f32>::new();
    let mut addresses = Vec::new();
    for _ in 0..3 {
        let x = tape.variable(ArrayD::from_elem(IxDyn(&[64, 32]), 0.5f32));
        let y = (x.exp() * x).tanh();
        addresses.push(y.value().as_ptr());
        let gradients = tape.gradients(y.sum());
        addresses.push(gradients.wrt(x).as_ptr());
        drop(gradients);
        tape.reset();
    }
    let distinct: BTreeSet<_> = addresses[2..].iter().collect();
    assert!(distinct.len() <= 3, "buffers wander: {addresses:?}");
}

#[test]
fn a_backward_pass_that_panics_leaves_the_tape_recording() {
    let tape = Tape::new();
    let x = tape.variable(arr1(&[1.0, 2.0]));
    let y = x * x;
    panic_message(|| {
        let _ = tape.pull_back(y, arr1(&[1.0]), &[]);
    });
    assert_eq!(
        tape.gradients((x * x).sum()).wrt(x),
        arr1(&[2.0, 4.0]).into_dyn()
    );
}

#[test]
fn a_rule_may_own_gradients_of_its_own_tape() {
    let mut tape = Tape::new();
    let x = tape.variable(arr1(&[1.0, 2.0]));
    let owned = tape.gradients(x.square().sum());
    let _ = tape.record("owner", &[x], x.value(), move |p| {
        let _ = &owned;
        p.give(0, || p.cotangent);
    });
    tape.reset();
    assert!(tape.is_empty());
}
