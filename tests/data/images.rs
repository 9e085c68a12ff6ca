//! Sets of images in memory.

use elbo::data::{DataError, Images};
use ndarray::{Array2, array, s};

use crate::data::shared::assert_message;

#[test]
fn know_their_shape() {
    let pixels = Array2::from_shape_fn((4, 6), |(i, j)| (10 * i + j) as u8);
    let images = Images::new(pixels.clone(), 2, 3, Some(array![4, 3, 2, 1])).unwrap();
    assert_eq!(
        (
            images.len(),
            images.height(),
            images.width(),
            images.dimensions()
        ),
        (4, 2, 3, 6)
    );
    assert!(!images.is_empty());
    assert_eq!(images.pixels(), pixels);
    assert_eq!(images.labels().unwrap(), array![4, 3, 2, 1]);

    let head = images.head(2);
    assert_eq!(head.pixels(), pixels.slice(s![..2, ..]));
    assert_eq!(head.labels().unwrap(), array![4, 3]);
    assert_eq!((head.height(), head.width()), (2, 3));
    assert!(images.head(0).is_empty());
    assert_eq!(images.head(9), images);
}

#[test]
fn in_another_memory_layout_are_the_same_images() {
    let pixels = Array2::from_shape_fn((4, 6), |(i, j)| (10 * i + j) as u8);
    let fortran = pixels.t().as_standard_layout().into_owned().reversed_axes();
    assert!(!fortran.is_standard_layout());
    let images = Images::new(fortran, 2, 3, None).unwrap();
    assert_eq!(images, Images::new(pixels, 2, 3, None).unwrap());
    assert!(images.pixels().is_standard_layout());
}

#[test]
fn of_another_size_are_refused() {
    for (height, width) in [(2, 2), (0, 6), (usize::MAX, 2)] {
        let error = Images::new(Array2::zeros((1, 6)), height, width, None).unwrap_err();
        assert!(matches!(error, DataError::PixelsPerImage { found: 6, .. }));
        assert_message(&error, &["rows of 6 pixels"]);
    }
    assert!(matches!(
        Images::new(Array2::zeros((3, 0)), 0, 5, None),
        Err(DataError::PixelsPerImage { .. })
    ));
}

#[test]
fn with_too_few_labels_are_refused() {
    let error = Images::new(Array2::zeros((3, 6)), 2, 3, Some(array![1, 2])).unwrap_err();
    assert!(matches!(
        error,
        DataError::LabelsPerImage {
            images: 3,
            labels: 2
        }
    ));
    assert_message(&error, &["expected 3 labels", "found 2"]);
}

#[test]
fn with_too_few_rows_of_factors_are_refused() {
    let images = Images::new(Array2::zeros((3, 6)), 2, 3, None).unwrap();
    let error = images.with_factors(Array2::zeros((2, 5))).unwrap_err();
    assert!(matches!(
        error,
        DataError::FactorsPerImage { images: 3, rows: 2 }
    ));
    assert_message(&error, &["expected 3 rows of factors", "found 2"]);
}

#[test]
fn transposed_mirrors_at_the_main_diagonal() {
    let images = Images::new(
        array![[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]],
        2,
        3,
        Some(array![0, 1]),
    )
    .unwrap();
    let transposed = images.clone().transposed();
    assert_eq!(
        transposed.pixels(),
        array![[1, 4, 2, 5, 3, 6], [7, 10, 8, 11, 9, 12]]
    );
    assert_eq!((transposed.height(), transposed.width()), (3, 2));
    assert_eq!(transposed.labels(), images.labels());
    assert_eq!(transposed.transposed(), images);
}
