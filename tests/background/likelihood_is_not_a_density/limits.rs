//! Trials that all agree, data without a maximum, extreme data and variances, very many trials.

use elbo::autodiff::Tape;
use elbo::background::{
    BadData, Trials, gaussian_log_likelihood, gaussian_maximum_likelihood, gaussian_score,
    gaussian_score_at,
};
use elbo::distributions::DiagonalGaussian;
use ndarray::{Array2, arr1, arr2};

use crate::common::comparing::{REARRANGED, Worst};
use crate::common::quadrature::trapezium;
use crate::common::reporting::report;

const INF: f64 = f64::INFINITY;

#[test]
fn in_the_logit_if_all_trials_agree() {
    for (successes, failures) in [(3, 0), (0, 2), (0, 0)] {
        let trials = Trials {
            successes,
            failures,
        };
        let at = |a: f64| trials.log_likelihood(1.0 / (1.0 + (-a).exp())).unwrap();
        let area = |end: f64| trapezium(-end, end, 4001, |a| at(a).exp());
        let grown = area(36.0) - area(18.0);
        assert!(grown > 17.9, "k = {successes}: {grown}");
    }
}

#[test]
fn and_may_have_no_maximum() {
    let none = Array2::zeros((0, 2));
    let error = gaussian_maximum_likelihood(none.view()).unwrap_err();
    assert_eq!(error, BadData::Empty { what: "data" });
    let flat = arr2(&[[1.0, 0.1], [2.0, 0.1], [4.0, 0.1]]);
    let error = gaussian_maximum_likelihood(flat.view()).unwrap_err();
    assert_eq!(error, BadData::Unbounded { dimension: 1 });
    report(format!("{error}"));
    assert!(gaussian_maximum_likelihood(arr2(&[[f64::NAN]]).view()).is_err());
    let trials = |successes, failures| Trials {
        successes,
        failures,
    };
    assert!(trials(0, 0).maximum_likelihood().is_err());
    assert_eq!(trials(0, 0).log_area(), 0.0);
    // Certain and impossible data; no 0 log 0.
    assert_eq!(trials(0, 4).log_likelihood(0.0).unwrap(), 0.0);
    assert!(trials(4, 0).log_probability(1.0).unwrap().abs() < 1e-15);
    assert_eq!(trials(1, 4).log_likelihood(0.0).unwrap(), -INF);
    assert_eq!(trials(0, 4).score(0.0).unwrap(), -4.0);
    assert!(trials(1, 4).score(0.0).is_err());
    for bad in [-0.1, 1.1, f64::NAN] {
        assert!(trials(1, 1).log_likelihood(bad).is_err());
    }
    let tape = Tape::<f64>::new();
    let parameters = DiagonalGaussian {
        mean: tape.full(&[2], 0.0),
        log_variance: tape.full(&[2], 0.0),
    };
    let empty = tape.constant(Array2::zeros((0, 2)));
    assert_eq!(gaussian_log_likelihood(empty, &parameters).item(), 0.0);
}

#[test]
fn but_has_a_maximum_at_the_ends_of_f64() {
    let mut worst = Worst::default();
    for (data, mean, deviation) in [
        ([-1e200, 1e200], 0.0, 1e200),
        ([1.5e308, 1.6e308], 1.55e308, 5e306),
        ([-1.7e308, 1.7e308], 0.0, 1.7e308),
        ([0.0, 1e-170], 5e-171, 5e-171),
        ([0.0, 1e-323], 5e-324, 5e-324),
        ([1e-140, 1.5e-140], 1.25e-140, 2.5e-141),
    ] {
        let data = arr2(&data.map(|x| [x]));
        let (m, s) = gaussian_maximum_likelihood(data.view()).unwrap();
        let exact = 2.0 * f64::ln(deviation);
        worst.number(m[0], mean, mean.abs().max(f64::MIN_POSITIVE));
        worst.number(s[0], exact, exact.abs());
        let (mean_bar, log_variance_bar) = gaussian_score(data.view(), m.view(), s.view());
        worst.number(log_variance_bar[0], 0.0, exact.abs());
        assert!(!mean_bar[0].is_nan());
    }
    worst.within(REARRANGED, "maximum and score, extreme data");
    // The largest of many differs from their mean by more than f64 can hold.
    let mut data = Array2::from_elem((10, 1), 1.7e308);
    data[[0, 0]] = -1.7e308;
    let (m, s) = gaussian_maximum_likelihood(data.view()).unwrap();
    assert!((m[0] / 1.36e308 - 1.0).abs() < 1e-14);
    assert!((s[0] - 2.0 * (1.02f64.ln() + 308.0 * 10f64.ln())).abs() < 1e-11);
}

#[test]
fn and_its_score_is_no_nan() {
    // e^-s and e^(-s/2) overflow, and 0·∞ is not 0.
    for s in [-720.0, -1500.0, -4000.0, -1e300] {
        assert_eq!(gaussian_score_at(0.3, 0.3, s), [0.0, -0.5]);
        let (mean_bar, log_variance_bar) = gaussian_score(
            arr2(&[[0.3]]).view(),
            arr1(&[0.3]).view(),
            arr1(&[s]).view(),
        );
        assert_eq!((mean_bar[0], log_variance_bar[0]), (0.0, -0.5));
        let data = arr2(&[[0.0], [0.5], [1.0]]);
        let (mean_bar, _) = gaussian_score(data.view(), arr1(&[0.5]).view(), arr1(&[s]).view());
        assert_eq!(mean_bar[0], 0.0);
    }
    // Three deviations e^-367 from the mean.
    let (mean, s) = (0.0, -734.0f64);
    let data = arr2(&[[0.0], [3.0 * (s / 2.0).exp()]]);
    let (mean_bar, log_variance_bar) =
        gaussian_score(data.view(), arr1(&[mean]).view(), arr1(&[s]).view());
    assert!((mean_bar[0] / (3.0 * (-s / 2.0).exp()) - 1.0).abs() < 1e-13);
    assert!((log_variance_bar[0] - 0.5 * (9.0 - 2.0)).abs() < 1e-12);
}

#[test]
fn of_very_many_trials() {
    // Stirling's formula at k = n/2: log p = ½ log(2/πn) - 1/(4n) + O(n^-3).
    for n in [2_000u64, 2_000_000, 2_000_000_000_000] {
        let trials = Trials {
            successes: n / 2,
            failures: n / 2,
        };
        let n = n as f64;
        let expected = 0.5 * (2.0 / (std::f64::consts::PI * n)).ln() - 0.25 / n;
        let found = trials.log_probability(0.5).unwrap();
        assert!((found - expected).abs() < 1e-11, "{found} {expected}");
        // One deviation, ½ √n, from the mean.
        let moved = 0.5 + 0.5 / n.sqrt();
        let apart = found - trials.log_probability(moved).unwrap();
        assert!((apart - 0.5).abs() < 1.0 / n.sqrt() + 1e-9, "{apart}");
    }
    // As the product by hand, for all k and probabilities near and far.
    let mut worst = Worst::default();
    for n in [1u64, 2, 5, 30] {
        for theta in [1e-300, 1e-9, 0.2, 0.5, 0.77, 1.0 - 1e-9] {
            let mut log_choose = 0.0;
            for k in 0..=n {
                let trials = Trials {
                    successes: k,
                    failures: n - k,
                };
                let expected = log_choose + trials.log_likelihood(theta).unwrap();
                let found = trials.log_probability(theta).unwrap();
                worst.number(found, expected, expected.abs().max(1.0));
                log_choose += ((n - k) as f64 / (k + 1) as f64).ln();
            }
        }
    }
    worst.within(REARRANGED, "log p(k) by the product");
}
