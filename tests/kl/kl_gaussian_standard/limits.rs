//! At the prior and near it, and where mean and log-variance broadcast.

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use ndarray::{Array1, ArrayD};

use super::{standard, standard_by_hand};
use crate::common::arrays::owned;
use crate::common::comparing::{REARRANGED, Worst};
use crate::common::random::{random, rng};
use crate::common::reporting::report;

#[test]
fn is_least_at_the_prior() {
    let mut rng = rng(34);
    let at = |mu: ArrayD<f64>, s: ArrayD<f64>| {
        let tape = Tape::new();
        let v = [tape.variable(mu), tape.variable(s)];
        let y = standard(&v);
        let gradients = tape.gradients(y.sum());
        let slopes = [0, 1].map(|i| {
            gradients
                .wrt(v[i])
                .iter()
                .fold(0.0, |m: f64, g| m.max(g.abs()))
        });
        (y.value().sum(), slopes)
    };
    let zero = || ArrayD::zeros(vec![3]);
    assert_eq!(at(zero(), zero()), (0.0, [0.0, 0.0]));
    for size in [2.0, 1e-2, 1e-5, 1e-8, 1e-12] {
        for _ in 0..200 {
            let [a, b, c, d] = std::array::from_fn(|_| random(&mut rng, &[3]) * size);
            let ends = [at(a.clone(), b.clone()).0, at(c.clone(), d.clone()).0];
            let middle = at((a + c) * 0.5, (b + d) * 0.5).0;
            assert!(ends[0] >= 0.0 && ends[1] >= 0.0, "{ends:?}");
            let chord = 0.5 * (ends[0] + ends[1]);
            assert!(
                middle <= chord + 10.0 * f64::EPSILON * size,
                "not convex: {middle} {chord}"
            );
        }
    }
}

#[test]
fn keeps_its_digits_near_the_prior() {
    // At μ = 0 and small s the divergence is ½(s²/2 + s³/6 + s⁴/24 + …): e^s - 1 - s would lose it in the rounding of e^s.
    for s in [1e-3, -1e-3, 1e-5, -1e-5, 1e-7, -1e-7] {
        let tape = Tape::new();
        let v = [
            tape.constant(Array1::zeros(1)),
            tape.constant(ndarray::arr1(&[s])),
        ];
        let found = standard(&v).value().sum();
        let naive = 0.5 * (f64::exp(s) - 1.0 - s);
        let series = 0.5 * (s * s / 2.0 + s.powi(3) / 6.0 + s.powi(4) / 24.0 + s.powi(5) / 120.0);
        let relative = |x: f64| ((x - series) / series).abs();
        report(format!(
            "s = {s:+e}: relative error {:.1e}; with exp {:.1e}",
            relative(found),
            relative(naive)
        ));
        // One rounding of e^s - 1, of size |s| ε, against s²/4.
        assert!(relative(found) <= 4.0 * f64::EPSILON / s.abs());
    }
}

#[test]
fn broadcasts_mean_against_log_variance() {
    let mut rng = rng(39);
    for (mean, log_variance, whole) in [
        (&[3, 4][..], &[4][..], &[3, 4][..]),
        (&[4], &[3, 1], &[3, 4]),
        (&[1], &[5], &[5]),
    ] {
        let point = [random(&mut rng, mean), random(&mut rng, log_variance)];
        let (mu, s) = (point[0].broadcast(whole), point[1].broadcast(whole));
        let expected = standard_by_hand(&mu.unwrap().to_owned(), &s.unwrap().to_owned());
        let tape = Tape::new();
        let found = standard(&[0, 1].map(|i: usize| tape.constant(point[i].clone())));
        let mut worst = Worst::default();
        worst.entries(&owned(found.value()), &expected);
        worst.within(REARRANGED, "broadcast");
        Check::new("kl-gaussian-standard")
            .run(&point, standard)
            .unwrap();
    }
}
