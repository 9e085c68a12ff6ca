//! Moments on the border or nearly, and what is no table.

use elbo::background::BadData;
use elbo::kl::{ExponentialFamily, ProjectionError};
use ndarray::{Array1, Array2, arr1, arr2};

#[test]
fn says_when_there_is_no_best() {
    let line = |n: usize| Array2::from_shape_fn((n, 1), |(k, _)| k as f64);
    let even = |n: usize| Array1::from_elem(n, 1.0 / n as f64);
    let family = ExponentialFamily::new(line(3), even(3)).unwrap();
    // All draws equal: η would have to be infinite.
    let border = family.maximum_likelihood(&arr1(&[0.0, 0.0, 5.0]));
    assert!(
        matches!(border, Err(ProjectionError::OnTheBorder { .. })),
        "{border:?}"
    );
    assert_eq!(
        family.maximum_likelihood(&Array1::zeros(3)),
        Err(ProjectionError::Table(BadData::Empty { what: "counts" }))
    );
    assert!(matches!(
        family.project(&arr1(&[0.5, 0.6, 0.0])),
        Err(ProjectionError::Table(_))
    ));
    // A constant statistic, one that is twice another, an outcome that no member allows.
    let constant = ExponentialFamily::new(Array2::ones((3, 1)), even(3)).unwrap();
    assert!(matches!(
        constant.project(&even(3)),
        Err(ProjectionError::Dependent(_))
    ));
    let twice = Array2::from_shape_fn((4, 2), |(k, j)| (k * (j + 1)) as f64);
    let twice = ExponentialFamily::new(twice, even(4)).unwrap();
    let error = twice.project(&even(4)).unwrap_err();
    assert!(
        matches!(error, ProjectionError::Dependent(reason) if reason.pivot == 1),
        "{error}"
    );
    let base = arr1(&[0.5, 0.5, 0.0]);
    let excluded = ExponentialFamily::new(line(3), base)
        .unwrap()
        .project(&even(3));
    assert_eq!(excluded, Err(ProjectionError::Excluded(2)));
    let bad = ExponentialFamily::new(arr2(&[[0.0], [f64::NAN]]), even(2));
    assert_eq!(bad, Err(ProjectionError::Statistic(1)));
}

#[test]
fn far_out_and_refused_counts() {
    let tosses = arr1(&[1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0;
    let statistics = Array2::from_shape_fn((5, 1), |(k, _)| k as f64);
    let family = ExponentialFamily::new(statistics, tosses).unwrap();
    for mean in [1e-80, 1e-100, 1e-280] {
        let p = arr1(&[1.0 - mean, mean, 0.0, 0.0, 0.0]);
        let natural = family.project(&p).unwrap().natural[0];
        // The binomial of mean m has the odds m/4 and the natural parameter log(m/4).
        assert!(
            (natural - (mean / 4.0).ln()).abs() < 1e-9,
            "{mean:e}: {natural}"
        );
    }
    for counts in [
        [-3.0, -1.0, 0.0, 0.0, 0.0],
        [1.0, -1.0, 0.0, 0.0, 0.0],
        [f64::NAN; 5],
    ] {
        let refused = family.maximum_likelihood(&arr1(&counts)).unwrap_err();
        assert!(matches!(
            refused,
            ProjectionError::Table(BadData::Number { what: "counts", .. })
        ));
    }
}
