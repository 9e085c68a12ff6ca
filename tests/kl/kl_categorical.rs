//! docs/kl.md#kl-categorical: the divergence between classes is Σ q (log q - log p), that between coins is the case
//! of two classes; both are defined where a class is impossible.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::{Bernoulli, Categorical};
use elbo::kl;
use ndarray::{Array1, arr1};
use rand::Rng;

use crate::common::arrays::{owned, softmax};
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::{random, rng};
use crate::kl::shared::{at_logits, bernoulli, categorical};

/// Σ q log q/p with log-probabilities from the definition.
fn categorical_composed<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let [log_q, log_p] = [v[0], v[1]].map(|a| a.log_softmax(a.ndim() - 1));
    (log_q.exp() * (log_q - log_p)).sum_last()
}

/// σ(a)(log σ(a) - log σ(b)) and the same of the other outcome.
fn bernoulli_composed<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let outcome =
        |a: Var<'t, f64>, b: Var<'t, f64>| a.sigmoid() * (a.log_sigmoid() - b.log_sigmoid());
    (outcome(v[0], v[1]) + outcome(-v[0], -v[1])).sum_last()
}

#[test]
fn by_hand() {
    let mut rng = rng(51);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for classes in [1, 2, 3, 7] {
        for f in [categorical, categorical_composed] {
            let [a, b] = [0, 1].map(|_| random(&mut rng, &[classes]).into_raw_vec_and_offset().0);
            let (q, p) = (softmax(&arr1(&a)), softmax(&arr1(&b)));
            let expected: f64 = q.iter().zip(&p).map(|(q, p)| q * (q / p).ln()).sum();
            let by_hand = [
                q.iter()
                    .zip(&p)
                    .map(|(q, p)| q * ((q / p).ln() - expected))
                    .collect::<Vec<_>>(),
                q.iter().zip(&p).map(|(q, p)| p - q).collect(),
            ];
            let (found, gradients) = at_logits(f, &a, &b);
            value.number(found, expected, 1.0);
            for (found, by_hand) in gradients.iter().flatten().zip(by_hand.iter().flatten()) {
                gradient.number(*found, *by_hand, 1.0);
            }
        }
    }
    value.within(REARRANGED, "value: enumeration");
    gradient.within(REARRANGED, "gradient: hand = autodiff");
}

#[test]
fn of_stacks_and_second_order() {
    let mut rng = rng(52);
    let (mut checked, mut gradient) = (Checked::default(), Worst::default());
    type Pair = [for<'t> fn(&[Var<'t, f64>]) -> Var<'t, f64>; 2];
    let pairs: [Pair; 2] = [
        [categorical, categorical_composed],
        [bernoulli, bernoulli_composed],
    ];
    for [fused, composed] in pairs {
        for (a, b) in [
            (&[3][..], &[3][..]),
            (&[2, 3], &[3]),
            (&[4], &[2, 1, 4]),
            (&[2, 1, 3], &[4, 3]),
        ] {
            let point = [random(&mut rng, a), random(&mut rng, b)];
            let check = Check::new("kl-categorical");
            checked.add(check.run(&point, fused).unwrap());
            checked.add(check.run_second_order(&point, fused).unwrap());
            let gradients = |f: for<'t> fn(&[Var<'t, f64>]) -> Var<'t, f64>| {
                let tape = Tape::new();
                let v: Vec<_> = point.iter().map(|x| tape.variable(x.clone())).collect();
                let gradients = tape.gradients(f(&v).square().sum());
                [0, 1].map(|i| owned(gradients.wrt(v[i])))
            };
            for (found, expected) in gradients(fused).iter().zip(&gradients(composed)) {
                gradient.entries(found, expected);
            }
        }
    }
    checked.print("first and second order");
    gradient.within(REARRANGED, "gradient of stacks: fused = composed");
}

#[test]
fn bernoulli_is_the_two_class_case() {
    let mut rng = rng(53);
    let mut worst = Worst::default();
    for _ in 0..20 {
        let [a, b]: [f64; 2] = std::array::from_fn(|_| rng.random_range(-4.0..4.0));
        let coin = at_logits(bernoulli, &[a], &[b]);
        let classes = at_logits(categorical, &[a, 0.0], &[b, 0.0]);
        worst.number(coin.0, classes.0, 1.0);
        let sigmoid = |a: f64| 1.0 / (1.0 + (-a).exp());
        let by_hand = [sigmoid(a) * sigmoid(-a) * (a - b), sigmoid(b) - sigmoid(a)];
        for ((coin, classes), by_hand) in coin.1.iter().zip(&classes.1).zip(by_hand) {
            worst.number(coin[0], classes[0], 1.0);
            worst.number(coin[0], by_hand, 1.0);
        }
    }
    worst.within(REARRANGED, "coin = two classes = by hand");
}

#[test]
fn where_a_class_is_impossible() {
    const NO: f64 = f64::NEG_INFINITY;
    let half = 2f64.ln();
    // Excluded by q only: 0 log 0 = 0. KL((½, ½, 0) ‖ (¼, ¼, ½)) = log 2.
    let (value, [a, b]) = at_logits(categorical, &[0.0, 0.0, NO], &[0.0, 0.0, half]);
    assert!((value - half).abs() < 1e-15);
    assert!(a.iter().all(|a| a.abs() < 1e-15), "{a:?}");
    for (found, expected) in b.iter().zip([-0.25, -0.25, 0.5]) {
        assert!((found - expected).abs() < 1e-15, "{b:?}");
    }
    // Excluded by both: as if the class were not there.
    let (value, gradients) = at_logits(categorical, &[0.3, -1.0, NO], &[0.1, 0.6, NO]);
    let (without, smaller) = at_logits(categorical, &[0.3, -1.0], &[0.1, 0.6]);
    assert!((value - without).abs() < 1e-15);
    for (found, smaller) in gradients.iter().zip(&smaller) {
        assert_eq!(found[2], 0.0);
        assert!((found[0] - smaller[0]).abs() + (found[1] - smaller[1]).abs() < 1e-15);
    }
    // Excluded by p only: infinite, and uphill is towards that class.
    let (value, [a, b]) = at_logits(categorical, &[0.0, 0.0, NO], &[NO, 0.0, 0.0]);
    assert_eq!(value, f64::INFINITY);
    assert_eq!(a, [f64::INFINITY, f64::NEG_INFINITY, 0.0]);
    assert_eq!(b, [-0.5, 0.0, 0.5]);
    // KL(q ‖ q) = 0 with zeros, and nothing to improve.
    let (value, gradients) = at_logits(categorical, &[0.3, NO, -1.0, NO], &[0.3, NO, -1.0, NO]);
    assert_eq!(value, 0.0);
    assert!(gradients.iter().flatten().all(|g| g.abs() < 1e-15));
    // A limit, not an exception: the same numbers along logits that run to -∞.
    let mut before = f64::INFINITY;
    for far in [10.0, 20.0, 40.0] {
        let (near, _) = at_logits(categorical, &[0.3, -1.0, -far], &[0.1, 0.6, 0.0]);
        let (limit, _) = at_logits(categorical, &[0.3, -1.0, NO], &[0.1, 0.6, 0.0]);
        let off = (near - limit).abs();
        assert!(off < 0.01 * before, "{off:e} after {before:e}");
        before = off.max(1e-13);
    }
    // A certain class, by a logit of ∞, against itself and against chances: KL = -log p of that class.
    let sure = [0.0, f64::INFINITY, 1.0];
    assert_eq!(at_logits(categorical, &sure, &sure).0, 0.0);
    let (value, [a, b]) = at_logits(categorical, &sure, &[0.0, 0.0, 0.0]);
    assert!(
        (value - 3f64.ln()).abs() < 1e-15 && a.iter().all(|a| a.abs() < 1e-15),
        "{value} {a:?}"
    );
    assert!((b[1] + 2.0 / 3.0).abs() < 1e-15, "{b:?}");
    // What is not a number is not taken for an impossible class.
    assert!(
        at_logits(categorical, &[0.3, f64::NAN], &[0.1, 0.6])
            .0
            .is_nan()
    );
    assert!(at_logits(bernoulli, &[f64::NAN], &[0.6]).0.is_nan());
    assert!(at_logits(bernoulli, &[0.6], &[f64::NAN]).0.is_nan());
}

#[test]
fn of_certain_coins() {
    const SURE: f64 = f64::INFINITY;
    for (a, b, value, slopes) in [
        (SURE, SURE, 0.0, [0.0, 0.0]),
        (-SURE, -SURE, 0.0, [0.0, 0.0]),
        (SURE, 0.0, 2f64.ln(), [0.0, -0.5]),
        (-SURE, 0.0, 2f64.ln(), [0.0, 0.5]),
        (0.0, SURE, SURE, [-SURE, 0.5]),
        (0.0, -SURE, SURE, [SURE, -0.5]),
        (SURE, -SURE, SURE, [0.0, -1.0]),
    ] {
        let (found, [at_a, at_b]) = at_logits(bernoulli, &[a], &[b]);
        assert!(
            found == value || (found - value).abs() < 1e-15,
            "KL({a}, {b}) = {found}"
        );
        assert_eq!([at_a[0], at_b[0]], slopes, "at {a}, {b}");
    }
}

#[test]
fn keeps_its_digits_nearby() {
    // ½ Var_q(δ) for logits that differ by δ, to second order: a plain Σ q (log q - log p) would leave no digit.
    let tape = Tape::new();
    let (a, direction) = (arr1(&[0.3, -1.2, 0.8, 2.0]), arr1(&[1.0, -0.5, 0.25, 0.7]));
    let q: Array1<f64> = a.mapv(f64::exp) / a.mapv(f64::exp).sum();
    for delta in [1e-4, 1e-6, 1e-8] {
        let shift = &direction * delta;
        let mean = (&q * &shift).sum();
        let expected = 0.5 * (&q * &(&shift - mean).mapv(|d| d * d)).sum();
        let [one, other] = [a.clone(), &a + &shift].map(|logits| tape.constant(logits));
        let classes = kl::categorical(&Categorical { logits: one }, &Categorical { logits: other });
        assert!(
            (classes.item() / expected - 1.0).abs() < 2e-4 + 1e-11 / delta,
            "{delta:e}"
        );
        let coins = kl::bernoulli(&Bernoulli { logits: one }, &Bernoulli { logits: other });
        let variance = |a: f64, d: f64| 0.5 * d * d / ((1.0 + a.exp()) * (1.0 + (-a).exp()));
        let expected: f64 = a.iter().zip(&shift).map(|(&a, &d)| variance(a, d)).sum();
        assert!(
            (coins.item() / expected - 1.0).abs() < 2e-4 + 1e-11 / delta,
            "{delta:e}"
        );
    }
    // Where q has rounded to 0 and is not, an excluding p makes it infinite.
    let q = Categorical {
        logits: tape.constant(arr1(&[0.0, -800.0])),
    };
    let p = Categorical {
        logits: tape.constant(arr1(&[0.0, f64::NEG_INFINITY])),
    };
    assert_eq!(kl::categorical(&q, &p).item(), f64::INFINITY);
}
