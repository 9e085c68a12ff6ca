//! Extreme logits, and where the form with probabilities breaks.

use std::f64::consts::LN_2;

use super::{coin, naive};
use crate::common::comparing::Worst;
use crate::common::reporting::report;

/// a, log p(1), log p(0), σ(a), computed with 400 digits (mpmath) and rounded once.
const TABLE: [[f64; 4]; 7] = [
    [0.0, -LN_2, -LN_2, 0.5],
    [
        0.5,
        -0.4740769841801067,
        -0.9740769841801067,
        0.6224593312018546,
    ],
    [
        3.0,
        -0.04858735157374206,
        -3.048587351573742,
        0.9525741268224333,
    ],
    [
        20.0,
        -2.061153620314381e-09,
        -20.000000002061153,
        0.9999999979388464,
    ],
    [36.75, -1.0956650033262367e-16, -36.75, 0.9999999999999999],
    [40.0, -4.248354255291589e-18, -40.0, 1.0],
    [700.0, -9.85967654375977e-305, -700.0, 1.0],
];

#[test]
fn are_finite_at_the_extremes() {
    let mut worst = Worst::default();
    let mut worst_slope = 0.0f64;
    for [a, log_one, log_zero, p] in TABLE {
        // At -a the two outcomes change places.
        for (x, a, log_p, slope) in [
            (1.0, a, log_one, 1.0 - p),
            (0.0, a, log_zero, -p),
            (0.0, -a, log_one, p - 1.0),
            (1.0, -a, log_zero, p),
        ] {
            let [value, derivative] = coin::<f64>(x, a);
            worst.number(value, log_p, log_p.abs());
            worst_slope = worst_slope.max((derivative - slope).abs());
        }
    }
    report(format!("derivative: worst difference {worst_slope:.1e}"));
    assert!(worst_slope <= f64::EPSILON);
    worst.within(4.0 * f64::EPSILON, "value, relative to itself");
    assert_eq!(coin::<f64>(0.0, 700.0), [-700.0, -1.0]);
    assert_eq!(coin::<f64>(1.0, -700.0), [-700.0, 1.0]);
    assert_eq!(coin::<f32>(0.0, 700.0), [-700.0, -1.0]);
    assert_eq!(coin::<f32>(1.0, -700.0), [-700.0, 1.0]);
}

/// The first a from 0 on, in the given direction, at which `f` is no longer finite, to about 1e-4.
fn first_not_finite(direction: f64, f: impl Fn(f64) -> bool) -> f64 {
    let steps = (0..10_000_000).map(|i| direction * f64::from(i) * 1e-4);
    steps.into_iter().find(|&a| !f(a)).unwrap()
}

#[test]
fn where_the_naive_form_breaks() {
    let found = [
        first_not_finite(1.0, |a| naive(0.0, a).is_finite()),
        first_not_finite(1.0, |a| naive(1.0, a).is_finite()),
        first_not_finite(-1.0, |a| naive(1.0, a).is_finite()),
        first_not_finite(1.0, |a| naive(0.0f32, a as f32).is_finite()),
        first_not_finite(1.0, |a| naive(1.0f32, a as f32).is_finite()),
        first_not_finite(-1.0, |a| naive(1.0f32, a as f32).is_finite()),
    ];
    report(format!("the naive form breaks at {found:.4?}"));
    // 1 + e^-a rounds to 1 from e^-a = ε/2 on: 53 log 2 and 24 log 2.
    let rounds = [53.0, 24.0].map(|bits: f64| bits * LN_2);
    // e^-a overflows beyond the largest number.
    let overflows = [f64::MAX.ln(), f64::from(f32::MAX).ln()];
    let expected = [
        rounds[0],
        rounds[0],
        -overflows[0],
        rounds[1],
        rounds[1],
        -overflows[1],
    ];
    for (found, expected) in found.into_iter().zip(expected) {
        assert!((found - expected).abs() < 2e-4, "{found} {expected}");
        for x in [0.0, 1.0] {
            assert!(coin::<f64>(x, found).iter().all(|y| y.is_finite()));
            assert!(coin::<f32>(x, found).iter().all(|y| y.is_finite()));
        }
    }
    assert_eq!(naive(0.0f64, 37.0), f64::NEG_INFINITY);
    assert!(naive(1.0f64, 37.0).is_nan());
}
