//! The gradient checker must catch wrong gradients. Each mutant here passes some checker in wide use.

use elbo::autodiff::check::{Check, Failure, Reason};
use elbo::autodiff::{Tape, Var};
use ndarray::{ArrayD, IxDyn, arr1};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// An identity whose backward pass is `mutation` of the cotangent.
fn mutated<'t>(
    x: Var<'t, f64>,
    mutation: impl for<'s> Fn(Var<'s, f64>) -> Var<'s, f64> + 'static,
) -> Var<'t, f64> {
    x.tape().record("mutant", &[x], x.value(), move |p| {
        p.give(0, || mutation(p.cotangent));
    })
}

fn input(shape: &[usize]) -> ArrayD<f64> {
    let mut rng = StdRng::seed_from_u64(7);
    ArrayD::from_shape_simple_fn(IxDyn(shape), || rng.random_range(-1.5..1.5))
}

fn caught(inputs: &[ArrayD<f64>], f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>) -> Failure {
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

fn differs(failure: &Failure) -> bool {
    matches!(failure.reason, Reason::Differs { .. })
}

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
fn noise_that_is_not_frozen() {
    let rng = std::cell::RefCell::new(StdRng::seed_from_u64(1));
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
fn nan_is_not_a_pass() {
    let failure = Check::new("ln")
        .run(&[arr1(&[-1.0]).into_dyn()], |v| v[0].ln())
        .unwrap_err();
    assert_eq!(failure.reason, Reason::NotFinite("value"));
    let failure = caught(&[input(&[2])], |v| mutated(v[0], |g| g * f64::NAN));
    assert_eq!(failure.reason, Reason::NotFinite("gradient"));
}

#[test]
fn a_failure_names_the_slug_the_entry_and_both_values() {
    let failure = Check::new("kl-gaussian-standard")
        .run(&[arr1(&[2.0]).into_dyn()], |v| {
            mutated(v[0].square(), |g| g * 1.5)
        })
        .unwrap_err();
    let said = failure.to_string();
    assert!(
        said.starts_with("kl-gaussian-standard: ∂y[0]/∂x0[0]: autodiff 6e0, finite differences 4")
            || said.starts_with(
                "kl-gaussian-standard: ∂y[0]/∂x0[0]: autodiff 6e0, finite differences 3.99"
            ),
        "{said}"
    );
    assert!(said.contains("error estimate"), "{said}");
}

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
fn the_tape_is_at_hand_in_the_expression() {
    Check::new("constant")
        .run(&[input(&[2])], |v| {
            let tape: &Tape<f64> = v[0].tape();
            v[0] * tape.scalar(3.0)
        })
        .unwrap();
}

#[test]
fn slopes_beyond_the_largest_number_are_not_a_pass() {
    let failure = caught(&[input(&[2])], |v| {
        mutated(v[0].tanh(), |g| g * 0.0) * 5e307
    });
    assert!(matches!(failure.reason, Reason::NotFinite(_)), "{failure}");
}

#[test]
fn many_kinks_at_once_are_moved_away_from_together() {
    let zeros = ArrayD::zeros(IxDyn(&[5, 6]));
    let report = Check::new("relu").run(&[zeros], |v| v[0].relu()).unwrap();
    assert!((1..5).contains(&report.moved), "{report:?}");
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

/// sin x, with its derivative.
fn sin<'t>(x: Var<'t, f64>) -> Var<'t, f64> {
    let value = x.value().mapv(f64::sin).into_shared();
    x.tape().record("sin", &[x], value, |p| {
        let cos = p.input(0).value().mapv(f64::cos);
        p.give(0, || p.cotangent * p.cotangent.tape().constant(cos));
    })
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
fn what_repeats_as_often_as_the_steps_is_not_flat() {
    for k in 4..15 {
        let often = f64::from(k).exp2() * std::f64::consts::TAU;
        let x = || [arr1(&[0.3]).into_dyn()];
        Check::new("sin").run(&x(), |v| sin(v[0] * often)).unwrap();
        let failure = caught(&x(), |v| mutated(sin(v[0] * often), |g| g * 0.0));
        assert!(differs(&failure), "{failure}");
    }
}
