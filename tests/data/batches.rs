//! Batches of pixels as numbers, grey or binary.

use elbo::Scalar;
use elbo::data::{Binarisation, Images};
use ndarray::{Array2, Axis, s};
use rand::rngs::StdRng;

use crate::common::random::rng;

/// One image whose pixels are all bytes, and one of all bytes the other way round.
fn all_bytes() -> Images {
    let pixels = Array2::from_shape_fn((2, 256), |(i, j)| (if i == 0 { j } else { 255 - j }) as u8);
    Images::new(pixels, 16, 16, None).unwrap()
}

fn grey_is_the_quotient<T: Scalar>(quotient: impl Fn(u8) -> T) {
    let batch = all_bytes().batch::<T>(&[1, 0, 0], Binarisation::None, &mut rng(7));
    assert_eq!(batch.dim(), (3, 256));
    for byte in 0..=255 {
        assert_eq!(batch[[1, usize::from(byte)]], quotient(byte));
        assert_eq!(batch[[0, usize::from(255 - byte)]], quotient(byte));
        assert_eq!(batch[[2, usize::from(byte)]], quotient(byte));
    }
}

#[test]
fn a_grey_batch_holds_the_nearest_number_to_each_quotient() {
    grey_is_the_quotient(|byte| f32::from(byte) / 255.0);
    grey_is_the_quotient(|byte| f64::from(byte) / 255.0);
}

#[test]
fn the_threshold_lies_between_the_bytes_127_and_128() {
    let batch = all_bytes().batch::<f64>(&[0], Binarisation::Threshold, &mut rng(7));
    assert!(batch.slice(s![0, ..128]).iter().all(|&x| x == 0.0));
    assert!(batch.slice(s![0, 128..]).iter().all(|&x| x == 1.0));
}

#[test]
fn stochastic_pixels_are_binary_and_black_and_white_are_certain() {
    let images = all_bytes();
    let mut rng = rng(7);
    for _ in 0..200 {
        let batch = images.batch::<f32>(&[0], Binarisation::Stochastic, &mut rng);
        assert!(batch.iter().all(|&x| x == 0.0 || x == 1.0));
        assert_eq!((batch[[0, 0]], batch[[0, 255]]), (0.0, 1.0));
    }
}

#[test]
fn stochastic_batches_depend_on_the_seed_alone_and_are_drawn_afresh() {
    let images = all_bytes();
    let draw = |rng: &mut StdRng| images.batch::<f32>(&[0, 1], Binarisation::Stochastic, rng);
    let (mut one, mut two) = (rng(7), rng(7));
    let (first, second) = (draw(&mut one), draw(&mut one));
    assert_eq!(first, draw(&mut two));
    assert_eq!(second, draw(&mut two));
    assert_ne!(first, second);
    assert_ne!(first, draw(&mut rng(8)));
}

#[test]
fn the_mean_of_stochastic_binarisation_is_the_grey_pixel() {
    let images = all_bytes();
    let draws = 4000;
    let batch = images.batch::<f64>(&vec![0; draws], Binarisation::Stochastic, &mut rng(7));
    let mean = batch.mean_axis(Axis(0)).unwrap();
    for (byte, &mean) in mean.iter().enumerate() {
        let grey = byte as f64 / 255.0;
        let standard_error = (grey * (1.0 - grey) / draws as f64).sqrt();
        assert!(
            (mean - grey).abs() <= 4.0 * standard_error,
            "byte {byte}: mean {mean}, grey {grey}, standard error {standard_error}"
        );
    }
    // All pixels together are a far sharper test than each alone.
    let mean_of_all = batch.mean().unwrap();
    let variance: f64 = (0..256)
        .map(|byte| f64::from(byte) / 255.0)
        .map(|grey| grey * (1.0 - grey))
        .sum();
    let standard_error = (variance / draws as f64).sqrt() / 256.0;
    assert!((mean_of_all - 0.5).abs() <= 4.0 * standard_error);
}

#[test]
fn only_stochastic_binarisation_draws_random_numbers() {
    use rand::Rng;

    for (binarisation, draws) in [
        (Binarisation::None, false),
        (Binarisation::Threshold, false),
        (Binarisation::Stochastic, true),
    ] {
        let (mut used, mut fresh) = (rng(7), rng(7));
        all_bytes().batch::<f32>(&[0], binarisation, &mut used);
        assert_eq!(used.random::<u64>() != fresh.random::<u64>(), draws);
    }
}

#[test]
fn batch_into_fills_views_of_any_layout() {
    let images = all_bytes();
    for binarisation in Binarisation::ALL {
        let expected = images.batch::<f64>(&[1, 0], binarisation, &mut rng(7));

        let mut rows = Array2::from_elem((5, 256), 9.0);
        images.batch_into(
            &[1, 0],
            binarisation,
            &mut rng(7),
            rows.slice_mut(s![1..3, ..]),
        );
        assert_eq!(rows.slice(s![1..3, ..]), expected);
        assert!(rows.row(0).iter().chain(rows.row(3)).all(|&x| x == 9.0));

        let mut columns = Array2::from_elem((256, 2), 9.0);
        images.batch_into(
            &[1, 0],
            binarisation,
            &mut rng(7),
            columns.view_mut().reversed_axes(),
        );
        assert_eq!(columns.t(), expected);
    }
}

#[test]
fn an_empty_batch_is_empty() {
    let batch = all_bytes().batch::<f32>(&[], Binarisation::Stochastic, &mut rng(7));
    assert_eq!(batch.dim(), (0, 256));
}

#[test]
#[should_panic(expected = "there is no image 2 among 2")]
fn an_index_out_of_range_panics() {
    all_bytes().batch::<f32>(&[0, 2], Binarisation::None, &mut rng(7));
}

#[test]
#[should_panic(expected = "a batch is of shape")]
fn a_batch_of_another_shape_panics() {
    let mut batch = Array2::<f32>::zeros((1, 256));
    all_bytes().batch_into(&[0, 1], Binarisation::None, &mut rng(7), batch.view_mut());
}

#[test]
fn binarisations_are_written_as_they_are_read() {
    let names = ["none", "threshold", "stochastic"];
    for (binarisation, name) in Binarisation::ALL.into_iter().zip(names) {
        assert_eq!(binarisation.to_string(), name);
        assert_eq!(name.parse(), Ok(binarisation));
    }
    assert_eq!(
        "Fixed".parse::<Binarisation>().unwrap_err().to_string(),
        "unknown binarisation `Fixed`: expected one of none, threshold, stochastic"
    );
}
