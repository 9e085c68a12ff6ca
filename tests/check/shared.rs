//! Operations with wrong gradients, and that the checker catches them whatever its random cotangents are.

use elbo::autodiff::Var;
use elbo::autodiff::check::{Check, Failure, Reason};
use ndarray::{ArrayD, IxDyn};
use rand::Rng;

use crate::common::random::rng;

/// An identity whose backward pass is `mutation` of the cotangent.
pub fn mutated<'t>(
    x: Var<'t, f64>,
    mutation: impl for<'s> Fn(Var<'s, f64>) -> Var<'s, f64> + 'static,
) -> Var<'t, f64> {
    x.tape().record("mutant", &[x], x.value(), move |p| {
        p.give(0, || mutation(p.cotangent));
    })
}

/// Random numbers of this shape, always the same.
pub fn input(shape: &[usize]) -> ArrayD<f64> {
    let mut rng = rng(7);
    ArrayD::from_shape_simple_fn(IxDyn(shape), || rng.random_range(-1.5..1.5))
}

/// The failure with which the checker rejects `f`, whatever its random cotangents are.
pub fn caught(
    inputs: &[ArrayD<f64>],
    f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
) -> Failure {
    // Whatever the random cotangents are.
    let failures: Vec<Failure> = (0..10)
        .map(
            |seed| match Check::new("mutant").seed(seed).run(inputs, &f) {
                Err(failure) => failure,
                Ok(report) => panic!("seed {seed}: the mutant passed: {report:?}"),
            },
        )
        .collect();
    failures.into_iter().next().unwrap()
}

/// Whether the gradient was found to differ from the finite differences.
pub fn differs(failure: &Failure) -> bool {
    matches!(failure.reason, Reason::Differs { .. })
}

/// sin x, with its derivative.
pub fn sin<'t>(x: Var<'t, f64>) -> Var<'t, f64> {
    let value = x.value().mapv(f64::sin).into_shared();
    x.tape().record("sin", &[x], value, |p| {
        let cos = p.input(0).value().mapv(f64::cos);
        p.give(0, || p.cotangent * p.cotangent.tape().constant(cos));
    })
}
