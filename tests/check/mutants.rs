//! The gradient checker must catch wrong gradients. Each mutant here passes some checker in wide use.

use elbo::autodiff::Var;
use elbo::autodiff::check::{Check, Reason};
use ndarray::{ArrayD, IxDyn};

use crate::check::shared::{caught, differs, input, mutated};

#[test]
fn gradient_times_1_0005() {
    let failure = caught(&[input(&[3, 2])], |v| mutated(v[0].tanh(), |g| g * 1.0005));
    assert!(differs(&failure), "{failure}");
}

#[test]
fn upstream_cotangent_ignored() {
    let failure = caught(&[input(&[3, 2])], |v| {
        mutated(v[0].exp(), |g| g.tape().full(&g.shape(), 1.0))
    });
    assert!(differs(&failure), "{failure}");
    // Behind a sum the cotangent happens to be all ones: only another cotangent shows it.
    caught(&[input(&[3, 2])], |v| {
        mutated(v[0].exp(), |g| g.tape().full(&g.shape(), 1.0)).sum()
    });
}

#[test]
fn softmax_backward_zero() {
    // Under a cotangent of all ones it is 0 indeed.
    let failure = caught(&[input(&[2, 4])], |v| {
        let y = v[0].softmax(1);
        y.tape().record("mutant", &[v[0]], y.value(), |p| {
            p.give(0, || p.cotangent * 0.0);
        })
    });
    assert!(differs(&failure), "{failure}");
}

#[test]
fn one_entry_of_a_hundred_off_by_one_percent() {
    let failure = caught(&[input(&[10, 10])], |v| {
        mutated(v[0].sigmoid(), |g| {
            let mut factor = ArrayD::ones(IxDyn(&[10, 10]));
            factor[[6, 3]] = 1.01;
            g * g.tape().constant(factor)
        })
    });
    let Reason::Differs {
        input_index,
        output_index,
        ..
    } = &failure.reason
    else {
        panic!("{failure}");
    };
    assert_eq!(
        (input_index.as_slice(), output_index.as_slice()),
        (&[6, 3][..], &[6, 3][..])
    );
}

#[test]
fn sum_gradient_off_by_a_ten_thousandth() {
    let failure = caught(&[input(&[4, 5])], |v| {
        mutated(v[0], |g| g * (1.0 + 1e-4)).sum()
    });
    assert!(differs(&failure), "{failure}");
}

#[test]
fn derivative_computed_in_f32() {
    let failure = caught(&[input(&[3, 4])], |v| {
        let y = v[0].exp();
        y.tape().record("mutant", &[v[0]], y.value(), |p| {
            let slope = p.output.value().mapv(|y| f64::from(y as f32));
            p.give(0, || p.cotangent * p.output.tape().constant(slope));
        })
    });
    assert!(differs(&failure), "{failure}");
    // And where the cotangent itself has passed through f32.
    caught(&[input(&[3, 4])], |v| {
        mutated(v[0].exp(), |g| {
            g.tape().constant(g.value().mapv(|g| f64::from(g as f32)))
        })
    });
}

#[test]
fn tiny_loss_with_gradient_zero() {
    let failure = caught(&[input(&[3, 4])], |v| {
        mutated(v[0].square(), |g| g * 0.0).sum() * 1e-6
    });
    assert!(differs(&failure), "{failure}");
    caught(&[input(&[3])], |v| {
        mutated(v[0].square(), |g| g * 0.0).sum() * 1e-30
    });
}

#[test]
fn a_backward_pass_that_is_not_linear() {
    // Right for every single-entry cotangent up to its sign: it mixes entries through |ȳ|.
    let failure = caught(&[input(&[3])], |v| {
        mutated(v[0], |g| {
            let total = g.abs().sum();
            g + (total - g.abs().max()) * 0.1
        })
    });
    assert!(
        matches!(failure.reason, Reason::NotLinear { .. }),
        "{failure}"
    );
}

#[test]
fn second_order_rules_are_checked_too() {
    // The first derivative is right, but it is not an expression of x: a constant cuts it off.
    let inputs = [input(&[3])];
    fn f<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
        let value = v[0].value().mapv(f64::exp).into_shared();
        v[0].tape().record("mutant", &[v[0]], value, |p| {
            p.give(0, || p.cotangent * p.output.stop_gradient());
        })
    }
    Check::new("mutant").run(&inputs, f).unwrap();
    let failure = Check::new("mutant")
        .run_second_order(&inputs, f)
        .unwrap_err();
    assert!(differs(&failure), "{failure}");
}

#[test]
fn a_wrong_surrogate() {
    let check = Check::new("mutant");
    let x = [input(&[3])];
    let failure = check
        .run_surrogate(
            &x,
            |v| v[0].stop_gradient() * v[0],
            |live, _| live[0] * live[0],
        )
        .unwrap_err();
    assert!(differs(&failure), "{failure}");
    let failure = check
        .run_surrogate(
            &x,
            |v| v[0].stop_gradient() * v[0],
            |live, frozen| live[0] * frozen[0] * 2.0,
        )
        .unwrap_err();
    assert_eq!(failure.reason, Reason::SurrogateValue);
}
