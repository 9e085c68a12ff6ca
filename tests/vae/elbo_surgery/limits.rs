//! Codes that are equal, far apart, or very narrow, and what is refused.

use std::f64::consts::LN_2;

use elbo::distributions::GaussianParameters;
use elbo::vae::{Surgery, SurgeryError};
use ndarray::Array2;

use super::random_codes;
use crate::common::random::rng;
use crate::common::reporting::report;

#[test]
fn at_its_limits() {
    let line = |means: &[f64], s: f64| GaussianParameters {
        mean: Array2::from_shape_vec((means.len(), 1), means.to_vec()).unwrap(),
        log_variance: Array2::from_elem((means.len(), 1), s),
    };
    // Equal codes carry no information, and what is left is the divergence of one of them.
    let same = Surgery::exact(&line(&[0.8; 5], -1.0)).unwrap();
    assert!(same.information.abs() < 1e-12 && (same.marginal - same.divergence).abs() < 1e-12);
    // Codes far apart determine the index, log N nats, at the price of a large divergence.
    for distance in [4.0f64, 10.0, 40.0] {
        let found = Surgery::exact(&line(&[-distance, 0.0, distance], 0.0)).unwrap();
        let left = found.bound - found.information;
        // At most the mean of the overlaps e^(-Δ²/8) with the other codes: four at Δ, two at 2Δ.
        let most =
            (4.0 * (-distance.powi(2) / 8.0).exp() + 2.0 * (-distance.powi(2) / 2.0).exp()) / 3.0;
        report(format!(
            "three codes {distance} deviations apart: log 3 - I = {left:.1e}, at most {most:.1e}; divergence {:.1}",
            found.divergence
        ));
        assert!(-1e-12 < left && left <= most + 1e-12);
    }
    // A collapsed encoder: all three are 0.
    let none = Surgery::exact(&line(&[0.0; 4], 0.0)).unwrap();
    assert!(
        none.divergence == 0.0 && none.marginal.abs() < 1e-13 && none.information.abs() < 1e-13
    );
    let mut rng = rng(142);
    assert_eq!(Surgery::exact(&line(&[], 0.0)), Err(SurgeryError::Empty));
    assert!(Surgery::sampled(&line(&[], 0.0), 10, &mut rng).is_err());
    assert!(matches!(
        Surgery::sampled(&line(&[1.0], 0.0), 0, &mut rng),
        Err(SurgeryError::Estimate(_))
    ));
    let broken = Surgery::exact(&line(&[0.0, f64::NAN], 0.0)).unwrap_err();
    assert!(
        broken.to_string().contains("NaN for unit 0 of datum 1"),
        "{broken}"
    );
    let narrow = Surgery::exact(&line(&[-1.0, 1.0], -40.0)).unwrap_err();
    assert!(narrow.to_string().contains("Surgery::sampled"), "{narrow}");
    let three = Surgery::exact(&random_codes(&mut rng, [2, 3], 1.0));
    assert_eq!(three, Err(SurgeryError::Dimensions(3)));
    let none = Surgery::exact(&random_codes(&mut rng, [2, 0], 1.0));
    assert_eq!(none, Err(SurgeryError::Dimensions(0)));
    let beyond = Surgery::sampled(&line(&[1.0, 1.0], -2001.0), 9, &mut rng).unwrap_err();
    assert!(
        beyond.to_string().contains("-2001 for unit 0 of datum 0"),
        "{beyond}"
    );
}

#[test]
fn of_narrow_codes() {
    let mut rng = rng(144);
    let line = |codes: &[(f64, f64)]| GaussianParameters {
        mean: Array2::from_shape_fn((codes.len(), 1), |(n, _)| codes[n].0),
        log_variance: Array2::from_shape_fn((codes.len(), 1), |(n, _)| codes[n].1),
    };
    // One code carries no information on its index, however narrow it is; the grid is right or refuses.
    for s in [-20.0, -30.0, -36.0, -60.0, -70.0, -80.0, -1480.0, -1500.0] {
        let codes = line(&[(3.0, s)]);
        let found = Surgery::sampled(&codes, 5, &mut rng).unwrap();
        let parts = (found.information.mean, found.marginal.mean);
        assert_eq!(parts, (0.0, found.divergence), "{s}");
        assert!((found.divergence - 0.5 * (8.0 - s)).abs() < 1e-8);
        match Surgery::exact(&codes) {
            Ok(exact) => {
                assert!(s > -60.0);
                let off = exact.information.abs() + (exact.marginal - exact.divergence).abs();
                report(format!(
                    "one code of deviation e^({s}/2): the grid is off by {off:.1e}"
                ));
                assert!(off < 1e-6, "{s}: {off:e}");
            }
            Err(reason) => assert!(matches!(reason, SurgeryError::TooNarrow { .. }), "{reason}"),
        }
    }
    // Two codes with one mean: only the ratio of their deviations counts.
    let wide = Surgery::exact(&line(&[(3.0, 0.0), (3.0, -2.0)])).unwrap();
    for s in [0.0, -80.0, -1480.0] {
        let codes = line(&[(3.0, s), (3.0, s - 2.0)]);
        let found = Surgery::sampled(&codes, 20_000, &mut rng).unwrap();
        let distance = found.information.distance(wide.information);
        report(format!(
            "s = {s} and {}: I = {}, {distance:+.2} standard errors",
            s - 2.0,
            found.information
        ));
        assert!(distance.abs() <= 4.0);
    }
    // A point beside a unit code: it determines the index, log 2.
    for means in [[0.0, 3.0], [3.0, 3.0]] {
        let codes = line(&[(means[0], 0.0), (means[1], -1480.0)]);
        let found = Surgery::sampled(&codes, 50, &mut rng).unwrap();
        assert!((found.information.mean - LN_2).abs() < 1e-15);
        assert!((found.marginal.mean + LN_2 - found.divergence).abs() < 1e-12);
    }
}
