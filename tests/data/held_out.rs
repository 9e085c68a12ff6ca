//! Test sets that are split off.

use std::collections::BTreeSet;

use elbo::data::{DataError, Dataset, Images, OpenOptions, TEST_FRACTION};
use ndarray::Array2;
use rand::{SeedableRng, rngs::StdRng};

use super::writers::{
    Method, assert_message, assert_refused, counting, file, halves, labels, npy, zip,
};

fn fraction(fraction: f64) -> OpenOptions {
    OpenOptions {
        test_fraction: Some(fraction),
        ..OpenOptions::default()
    }
}

/// `n` images of two pixels, of which image `i` has the pixels and the label `i` (mod 256) and `i / 256`.
fn numbered(n: usize) -> Vec<u8> {
    let pixels: Vec<u8> = (0..n).flat_map(|i| [i as u8, (i / 256) as u8]).collect();
    let label: Vec<i64> = (0..n).map(|i| (i % 256) as i64).collect();
    zip(
        Method::Stored,
        &[
            (
                "x.npy",
                &npy("|u1", false, &format!("({n}, 1, 2)"), &pixels),
            ),
            ("y.npy", &labels(&label)),
        ],
    )
}

fn open(n: usize, options: &OpenOptions) -> Dataset {
    let (_folder, path) = file("numbered.npz", &numbered(n));
    Dataset::open(path, options).unwrap()
}

/// The numbers of the images, each checked against its label.
fn numbers(images: &Images) -> Vec<usize> {
    let label = images.labels().unwrap();
    (images.pixels().rows().into_iter().zip(label))
        .map(|(row, &label)| {
            assert_eq!(row[0], label);
            usize::from(row[0]) + 256 * usize::from(row[1])
        })
        .collect()
}

#[test]
fn the_sets_are_disjoint_and_complete() {
    for (n, part, expected) in [
        (1000, 0.1, 100),
        (1000, 0.25, 250),
        (999, 0.5, 500),
        (10, 0.94, 9),
        (3, 0.5, 2),
        (1000, 0.0005, 1),
    ] {
        let data = open(n, &fraction(part));
        assert_eq!(data.test.len(), expected, "{part} of {n}");
        let all: BTreeSet<usize> = numbers(&data.train)
            .into_iter()
            .chain(numbers(&data.test))
            .collect();
        assert_eq!(all, (0..n).collect());
        assert_eq!(data.train.len() + data.test.len(), n);
    }
}

#[test]
fn a_tenth_is_split_off_unless_said_otherwise() {
    assert_eq!(TEST_FRACTION, 0.1);
    assert_eq!(
        open(500, &OpenOptions::default()),
        open(500, &fraction(0.1))
    );
}

/// If this changes, models that were trained before will be evaluated on images that they know.
#[test]
fn the_choice_is_the_same_in_every_run() {
    let data = open(1000, &fraction(0.01));
    assert_eq!(data, open(1000, &fraction(0.01)));
    assert_eq!(
        numbers(&data.test),
        [841, 318, 716, 497, 910, 548, 960, 562, 66, 939]
    );
}

#[test]
fn a_smaller_test_set_is_part_of_a_larger_one() {
    let [small, large] = [0.1, 0.3].map(|part| open(1000, &fraction(part)));
    let large: BTreeSet<usize> = numbers(&large.test).into_iter().collect();
    assert!(
        numbers(&small.test)
            .iter()
            .all(|number| large.contains(number))
    );
}

/// Of 1000 images that come in order, 100 are drawn without replacement: the mean of their numbers is 499.5, with the
/// standard error sqrt((n + 1)(n - k) / (12 k)).
#[test]
fn the_choice_is_random() {
    let test = numbers(&open(1000, &OpenOptions::default()).test);
    let mean = test.iter().sum::<usize>() as f64 / 100.0;
    let standard_error = (1001.0 * 900.0 / 1200.0_f64).sqrt();
    assert!((mean - 499.5).abs() < 4.0 * standard_error, "{mean}");
    assert!(!test.is_sorted());
}

#[test]
fn at_least_one_image_is_left_in_each_set() {
    let refused = |n: usize, options: &OpenOptions, words: &[&str]| {
        let (_folder, path) = file("few.npy", &counting(n, 1, 2));
        assert_refused(&path, options, words);
    };
    refused(
        4,
        &OpenOptions::default(),
        &[
            "at least one training and one test image",
            "found 4 images",
            "--test-fraction 0.1 makes 0",
            "--test-fraction 0.5",
        ],
    );
    refused(4, &fraction(0.9), &["--test-fraction 0.9 makes 4"]);
    refused(1, &halves(), &["found 1 images", "add images"]);
    let (_folder, path) = file("few.npy", &counting(5, 1, 2));
    assert_eq!(
        Dataset::open(path, &OpenOptions::default())
            .unwrap()
            .test
            .len(),
        1
    );
}

#[test]
fn a_fraction_lies_between_0_and_1() {
    for part in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
        let (_folder, path) = file("some.npy", &counting(4, 1, 2));
        let error = Dataset::open(path, &fraction(part)).unwrap_err();
        assert!(matches!(error, DataError::TestFraction { .. }));
        assert_message(
            &error,
            &["greater than 0 and less than 1", &format!("found {part:?}")],
        );
    }
}

#[test]
fn a_given_test_set_is_taken_as_it_is() {
    let images = counting(4, 1, 2);
    let (_folder, path) = file(
        "some.npz",
        &zip(
            Method::Stored,
            &[("x_train.npy", &images), ("x_test.npy", &images)],
        ),
    );
    assert_refused(
        &path,
        &fraction(0.5),
        &[
            "expected data without a test set for --test-fraction, found one",
            "leave out --test-fraction",
        ],
    );
    let data = Dataset::open(path, &OpenOptions::default()).unwrap();
    assert_eq!(data.train, data.test);
}

#[test]
fn a_split_of_emnist_is_refused_elsewhere() {
    let (_folder, path) = file("some.npy", &counting(4, 1, 2));
    let options = OpenOptions {
        split: Some("letters".to_owned()),
        ..halves()
    };
    assert_refused(
        &path,
        &options,
        &["`letters`", "found none", "leave out --split"],
    );
}

#[test]
fn any_number_can_be_held_out() {
    let whole = Images::new(
        Array2::from_shape_fn((7, 2), |(i, j)| (2 * i + j) as u8),
        1,
        2,
        None,
    )
    .unwrap();
    for count in 0..=7 {
        let mut kept = whole.clone();
        let held_out = kept.hold_out(count, &mut StdRng::seed_from_u64(1));
        assert_eq!((kept.len(), held_out.len()), (7 - count, count));
        let mut rows: Vec<Vec<u8>> = [&kept, &held_out]
            .iter()
            .flat_map(|images| {
                images
                    .pixels()
                    .rows()
                    .into_iter()
                    .map(|row| row.to_vec())
                    .collect::<Vec<_>>()
            })
            .collect();
        rows.sort();
        assert_eq!(rows.concat(), (0..14).collect::<Vec<u8>>());
    }
}

#[test]
#[should_panic(expected = "3 images cannot be held out of 2")]
fn more_than_all_images_cannot_be_held_out() {
    let mut images = Images::new(Array2::zeros((2, 1)), 1, 1, None).unwrap();
    images.hold_out(3, &mut StdRng::seed_from_u64(1));
}
