//! Data without a maximum, and what is no covariance.

use elbo::vae::{EigenError, Ppca, PpcaError};
use ndarray::{Array2, arr1, arr2, s};

use crate::common::random::rng;
use crate::vae::shared::linear_models::elongated;

#[test]
fn of_what_has_none() {
    let of = |x: Array2<f64>, k| Ppca::fit(x.view(), k);
    let mut rng = rng(75);
    let x = elongated(&mut rng, [9, 4]);
    assert_eq!(of(Array2::zeros((0, 4)), 1), Err(PpcaError::Empty));
    assert_eq!(of(Array2::zeros((4, 0)), 0), Err(PpcaError::Empty));
    let too_many = PpcaError::Latent {
        latent: 4,
        dimensions: 4,
    };
    assert_eq!(of(x.clone(), 4), Err(too_many));
    let mut missing = x.clone();
    missing[[2, 1]] = f64::NAN;
    let message = of(missing, 1).unwrap_err().to_string();
    assert!(message.contains("NaN at [2, 1]"), "{message}");
    // Three data span a plane; constant pixels alone do no harm.
    let few = x.slice(s![..3, ..]).to_owned();
    assert!(of(few.clone(), 1).is_ok());
    let plane = PpcaError::Unbounded {
        latent: 2,
        rank: 2,
        constant: 0,
    };
    assert_eq!(of(few, 2), Err(plane));
    let mut constant = x.clone();
    constant.column_mut(3).fill(0.25);
    assert!(of(constant.clone(), 2).is_ok());
    let flat = PpcaError::Unbounded {
        latent: 3,
        rank: 3,
        constant: 1,
    };
    assert_eq!(of(constant, 3), Err(flat));
    assert!(plane.to_string().contains("fewer latents or more data"));
    // A column of 0.1 is constant, though the mean of ten of them is not 0.1.
    let tenths = Array2::from_shape_fn((10, 3), |(i, j)| if j == 0 { i as f64 } else { 0.1 });
    let line = PpcaError::Unbounded {
        latent: 1,
        rank: 1,
        constant: 2,
    };
    assert_eq!(of(tenths, 1), Err(line));
    let still = PpcaError::Unbounded {
        latent: 0,
        rank: 0,
        constant: 4,
    };
    assert_eq!(of(Array2::ones((5, 4)), 0), Err(still));
    let from = |c: Array2<f64>| Ppca::from_covariance(arr1(&[0.0, 0.0]), &c, 1);
    let lopsided = from(arr2(&[[1.0, 0.5], [0.0, 1.0]])).unwrap_err();
    assert!(matches!(
        lopsided,
        PpcaError::Eigen(EigenError::NotSymmetric { .. })
    ));
    let negative = from(arr2(&[[1.0, 2.0], [2.0, 1.0]])).unwrap_err();
    assert!(
        matches!(negative, PpcaError::Indefinite { eigenvalue } if (eigenvalue + 1.0).abs() < 1e-12)
    );
    let given = |noise| Ppca::with_noise(arr1(&[0.0, 0.0]), &Array2::eye(2), 1, noise);
    assert_eq!(given(0.0), Err(PpcaError::Noise(0.0)));
    assert_eq!(given(2.0).unwrap().weights, Array2::<f64>::zeros((2, 1)));
}
