//! Zeros, products that underflow, and what is no distribution.

use elbo::autodiff::Tape;
use elbo::background::{BadData, bayes, posterior};
use ndarray::{Array1, Array2, arr1, arr2};

use crate::common::arrays::owned;
use crate::common::reporting::report;

const INF: f64 = f64::INFINITY;

#[test]
fn with_zeros() {
    let tape = Tape::new();
    let log = |p: &[f64]| tape.variable(arr1(p).mapv(f64::ln));
    // z = 0 cannot be, and z = 2 cannot show x: only z = 1 is left, whatever its prior.
    let prior = log(&[0.0, 0.1, 0.9]);
    let found = posterior(prior, log(&[1.0, 0.5, 0.0])).unwrap();
    assert_eq!(
        owned(found.log_posterior.value()),
        arr1(&[-INF, 0.0, -INF]).into_dyn()
    );
    assert!((found.log_evidence.item() - 0.05f64.ln()).abs() < 1e-15);
    let gradient = tape.gradients(found.log_evidence).wrt(prior);
    assert_eq!(owned(gradient), arr1(&[0.0, 1.0, 0.0]).into_dyn());
    let (plain, evidence) =
        bayes(arr1(&[0.0, 0.1, 0.9]).view(), arr1(&[1.0, 0.5, 0.0]).view()).unwrap();
    assert_eq!((plain, evidence), (arr1(&[0.0, 1.0, 0.0]), 0.05));

    // The second observation of two has no cause.
    let two = tape.constant(arr2(&[[0.0, -1.0, 0.0], [0.0, -INF, -INF]]));
    let error = posterior(prior, two).unwrap_err();
    assert_eq!(error, BadData::Impossible { row: 1 });
    let likelihood = arr1(&[1.0, 0.0, 0.0]);
    let error = bayes(arr1(&[0.0, 0.1, 0.9]).view(), likelihood.view()).unwrap_err();
    assert_eq!(error, BadData::Impossible { row: 0 });
    report(format!("{error}"));
}

#[test]
fn needs_logarithms() {
    // A thousand observations of a coin that is one of two: the products are below the smallest f64.
    let tape = Tape::new();
    let (k, n) = (510.0, 1000.0);
    let log_likelihood = [0.4f64, 0.6].map(|p| k * p.ln() + (n - k) * (1.0 - p).ln());
    let half = arr1(&[0.5, 0.5]);
    let quarter = Array1::from_elem(4, 0.25);
    let tiny = bayes(quarter.view(), Array1::from_elem(4, 5e-324).view());
    assert_eq!(tiny.unwrap_err(), BadData::Underflow);
    let found = posterior(
        tape.constant(half.mapv(f64::ln)),
        tape.constant(arr1(&log_likelihood) - 1e4),
    )
    .unwrap();
    // The odds are 1.5^(k - (n - k)).
    let odds = 1.5f64.powi(20);
    let p = found.log_posterior.value().mapv(f64::exp);
    assert!((p[[1]] / p[[0]] / odds - 1.0).abs() < 1e-10);
    assert!(found.log_evidence.item() < -1e4);
}

#[test]
fn refuses_what_is_no_distribution() {
    let uniform = arr1(&[0.5, 0.5]);
    let with_prior = |p: &[f64]| bayes(arr1(p).view(), uniform.view());
    assert!(matches!(
        with_prior(&[0.5, 0.6]),
        Err(BadData::Total { .. })
    ));
    for bad in [[-0.5, 1.5], [f64::NAN, 1.0], [INF, 0.0]] {
        assert!(with_prior(&bad).is_err(), "{bad:?}");
        assert!(
            with_prior(&bad)
                .unwrap_err()
                .to_string()
                .contains("expected")
        );
    }
    for bad in [[-0.5, 1.5], [f64::NAN, 1.0], [INF, 0.0]] {
        assert!(bayes(uniform.view(), arr1(&bad).view()).is_err());
    }
    let none = Array1::zeros(0);
    let error = bayes(none.view(), none.view()).unwrap_err();
    assert_eq!(error, BadData::Empty { what: "prior" });

    let tape = Tape::new();
    let fair = tape.constant(uniform.mapv(f64::ln));
    for bad in [[f64::NAN, 0.0], [INF, 0.0]] {
        let bad = tape.constant(arr1(&bad));
        assert!(posterior(fair, bad).is_err() && posterior(bad, fair).is_err());
    }
    let twice = tape.constant(arr1(&[0.0, 0.0]));
    assert!(matches!(
        posterior(twice, fair),
        Err(BadData::Total { row: 0, .. })
    ));
    let none = tape.constant(Array2::zeros((0, 2)));
    assert!(matches!(posterior(fair, none), Err(BadData::Empty { .. })));
}
