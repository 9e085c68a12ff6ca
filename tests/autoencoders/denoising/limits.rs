//! No noise, all noise, data that do not vary.

use elbo::autodiff::Tape;
use elbo::autoencoders::{Centring, Corruption, LinearDenoiser};
use elbo::distributions::Moments;
use ndarray::{Array1, Array2, arr1, arr2};

use super::moments;
use crate::autoencoders::shared::grey;
use crate::common::random::rng;

fn fit(data: &Moments, corruption: Corruption) -> LinearDenoiser {
    LinearDenoiser::fit(data, corruption, 99, Centring::Mean).unwrap()
}

#[test]
fn without_noise_nothing_is_lost() {
    let mut rng = rng(625);
    let data = moments(&grey(&mut rng, [7, 3]));
    for corruption in [
        Corruption::Gaussian { deviation: 0.0 },
        Corruption::Masking { fraction: 0.0 },
        Corruption::SaltAndPepper { fraction: 0.0 },
    ] {
        let best = fit(&data, corruption);
        assert!(best.error.abs() < 1e-14, "{corruption}: {}", best.error);
        let off = &best.weights - &Array2::<f64>::eye(3);
        assert!(off.iter().all(|e| e.abs() < 1e-10), "{corruption}: {off}");
    }
}

#[test]
fn of_noise_alone_the_mean_is_made() {
    let mut rng = rng(626);
    let data = moments(&grey(&mut rng, [7, 3]));
    let total = data.covariance.diag().sum();
    for corruption in [
        Corruption::Gaussian { deviation: 1e9 },
        Corruption::Masking { fraction: 1.0 },
        Corruption::SaltAndPepper { fraction: 1.0 },
    ] {
        let best = fit(&data, corruption);
        assert!((best.error - total).abs() < 1e-12, "{corruption}");
        assert!(best.weights.iter().all(|w| w.abs() < 1e-12));
        assert!((&best.bias - &data.mean).iter().all(|b| b.abs() < 1e-9));
    }
}

#[test]
fn a_pixel_that_never_varies() {
    // The second pixel is always 0, as at the border of digits: masking does not change it, and there is nothing to invert.
    let x = arr2(&[[0.2, 0.0], [0.8, 0.0], [0.5, 0.0]]);
    for fraction in [0.25, 0.9] {
        let best = fit(&moments(&x), Corruption::Masking { fraction });
        assert!(best.weights.iter().chain(&best.bias).all(|w| w.is_finite()));
        assert_eq!(best.bias[1], 0.0);
    }
    // One pixel on paper: S = 0.06, E x² = 0.31, ν = ¼: w = ¾ S/(9/16 S + 3/16 · 0.31).
    let best = fit(&moments(&x), Corruption::Masking { fraction: 0.25 });
    let (s, square) = (0.06, 0.31);
    let w = 0.75 * s / (0.5625 * s + 0.1875 * square);
    assert!((best.weights[[0, 0]] - w).abs() < 1e-12);
    assert!((best.error - s * (1.0 - 0.75 * w)).abs() < 1e-12);
}

#[test]
fn little_noise_keeps_its_digits() {
    // Two directions of variances 1 and 1e-12, noise of deviation 1e-8: the error is the sum of λ s²/(λ + s²).
    let data = Moments {
        mean: arr1(&[0.0, 0.0]),
        covariance: Array2::from_diag(&arr1(&[1.0, 1e-12])),
    };
    let best = fit(&data, Corruption::Gaussian { deviation: 1e-8 });
    let s = 1e-16;
    let exact = s / (1.0 + s) + 1e-12 * s / (1e-12 + s);
    assert!((best.error / exact - 1.0).abs() < 1e-12);
    // No bottleneck at all and one of 0 units: the mean is all that is left.
    let none = LinearDenoiser::fit(
        &data,
        Corruption::Gaussian { deviation: 1.0 },
        0,
        Centring::Mean,
    );
    assert_eq!(none.unwrap().error, 1.0 + 1e-12);
}

#[test]
fn what_is_drawn() {
    let mut rng = rng(627);
    let tape = Tape::<f32>::new();
    let x = tape.constant(Array1::from_elem(1000, 0.5f32));
    let draw = |corruption: Corruption, rng: &mut _| corruption.corrupt(x, rng).value();
    let masked = draw(Corruption::Masking { fraction: 0.25 }, &mut rng);
    assert!(masked.iter().all(|&x| x == 0.0 || x == 0.5));
    let salted = draw(Corruption::SaltAndPepper { fraction: 0.5 }, &mut rng);
    let count = |value: f32| salted.iter().filter(|&&x| x == value).count();
    assert!(count(0.0) > 180 && count(1.0) > 180 && count(0.5) > 400);
    assert_eq!(count(0.0) + count(1.0) + count(0.5), 1000);
    let all = draw(Corruption::Masking { fraction: 1.0 }, &mut rng);
    assert!(all.iter().all(|&x| x == 0.0));
    for unsound in [
        Corruption::Gaussian { deviation: -1.0 },
        Corruption::Masking { fraction: 1.5 },
        Corruption::SaltAndPepper { fraction: f64::NAN },
    ] {
        assert!(!unsound.is_sound());
    }
}

#[test]
fn directions_without_variance_are_ignored() {
    // Data of rank 2 in 6 dimensions, and hardly any noise: W is the projection onto their plane, of trace 2.
    let mut rng = rng(626);
    let plane = grey(&mut rng, [2, 6]);
    let data = moments(&grey(&mut rng, [40, 2]).dot(&plane));
    for corruption in [
        Corruption::Gaussian { deviation: 0.0 },
        Corruption::Gaussian { deviation: 1e-9 },
        Corruption::Masking { fraction: 0.0 },
    ] {
        let best = fit(&data, corruption);
        let trace = best.weights.diag().sum();
        assert!((trace - 2.0).abs() < 1e-8, "{corruption}: {trace}");
    }
}
