//! What is no Gaussian.

use elbo::variational::{GaussianTarget, GaussianTargetError};
use ndarray::{Array1, Array2, arr1, arr2};

#[test]
fn refuses_what_is_no_gaussian() {
    let error =
        |precision: Array2<f64>| GaussianTarget::new(arr1(&[0.0, 0.0]), precision).unwrap_err();
    assert!(matches!(
        error(arr2(&[[1.0, 2.0], [2.0, 1.0]])),
        GaussianTargetError::NotPositiveDefinite(_)
    ));
    assert!(matches!(
        error(arr2(&[[1.0, 1.0], [1.0, 1.0]])),
        GaussianTargetError::NotPositiveDefinite(_)
    ));
    assert!(matches!(
        error(arr2(&[[f64::NAN, 0.0], [0.0, 1.0]])),
        GaussianTargetError::NotPositiveDefinite(_)
    ));
    assert_eq!(
        error(arr2(&[[1.0, 0.5], [0.4, 1.0]])),
        GaussianTargetError::NotSymmetric {
            index: [0, 1],
            found: [0.5, 0.4]
        }
    );
    let mean = GaussianTarget::new(arr1(&[0.0, f64::NAN]), Array2::eye(2)).unwrap_err();
    assert!(matches!(mean, GaussianTargetError::Mean { index: 1, .. }));
    let message = mean.to_string();
    assert!(
        message.contains("expected") && message.contains("found"),
        "{message}"
    );
}

#[test]
fn measures_asymmetry_by_the_diagonal() {
    let of = |rows: Array2<f64>| GaussianTarget::new(Array1::zeros(rows.nrows()), rows);
    let hidden = arr2(&[[1e10, 0.0, 0.0], [0.0, 1.0, 0.9], [0.0, -0.9, 1.0]]);
    let error = of(hidden).unwrap_err();
    assert!(
        matches!(
            error,
            GaussianTargetError::NotSymmetric { index: [1, 2], .. }
        ),
        "{error}"
    );
    assert!(of(arr2(&[[1e200, 5e199], [-5e199, 1e200]])).is_err());
    assert!(of(arr2(&[[1e-170, 1e-190], [-1e-190, 1e-170]])).is_ok());
    assert!(of(arr2(&[[1e20, 1.0], [1.0 + 1e-3, 1.0]])).is_ok());
}
