//! One IDX file, good or bad.

use std::fs;

use elbo::data::{DataError, Dataset, idx};
use ndarray::array;
use tempfile::tempdir;

use crate::data::shared::{
    MNIST, assert_message, file, four_files, idx_file, image_file, images_error, label_file,
    labels_error,
};

#[test]
fn a_file_of_images_is_read() {
    let (_folder, path) = file(&image_file(2, 40));
    let images = idx::read_images(path).unwrap();
    assert_eq!((images.height(), images.width()), (2, 3));
    assert_eq!(
        images.pixels(),
        array![[40, 41, 42, 43, 44, 45], [46, 47, 48, 49, 50, 51]]
    );
    assert_eq!(images.labels(), None);
}

#[test]
fn a_file_of_labels_is_read() {
    let (_folder, path) = file(&label_file(3));
    assert_eq!(idx::read_labels(path).unwrap(), array![0, 1, 2]);
}

#[test]
fn another_magic_number_is_refused() {
    let error = images_error(&label_file(30));
    assert!(matches!(
        error,
        DataError::WrongMagic {
            expected: 0x803,
            found: 0x801,
            ..
        }
    ));
    assert_message(&error, &["0x00000803", "0x00000801 (labels"]);
    assert_message(
        &labels_error(&image_file(1, 0)),
        &["0x00000801", "0x00000803 (images"],
    );
    // Little-endian, floating-point, and what a server says when the file is not there.
    for bytes in [
        &[3, 8, 0, 0, 0, 0, 0, 0][..],
        &[0, 0, 13, 3, 0, 0, 0, 0],
        b"<!DOCTYPE html>",
    ] {
        assert_message(&images_error(bytes), &["neither images nor labels"]);
    }
}

#[test]
fn a_file_that_ends_in_its_header_is_refused() {
    let whole = image_file(1, 0);
    for length in 0..16 {
        let error = images_error(&whole[..length]);
        assert!(
            matches!(error, DataError::ShortHeader { expected: 16, found, .. } if found == length)
        );
    }
    assert_message(&images_error(b""), &["header of 16 bytes", "found 0 bytes"]);
    assert_message(&labels_error(&label_file(0)[..7]), &["header of 8 bytes"]);
}

#[test]
fn a_truncated_body_is_refused() {
    let whole = image_file(3, 0);
    for (bytes, left) in [(&whole[..whole.len() - 1], 17), (&whole[..16], 0)] {
        let error = images_error(bytes);
        assert!(matches!(error, DataError::Truncated { expected: 18, found, .. } if found == left));
        assert_message(
            &error,
            &["3 images of 2 x 3 pixels", "18 bytes", "cut short"],
        );
    }
    let labels = label_file(5);
    assert_message(
        &labels_error(&labels[..labels.len() - 2]),
        &["5 labels", "found 3 bytes"],
    );
}

#[test]
fn trailing_bytes_are_refused() {
    let mut bytes = image_file(3, 0);
    bytes.push(0);
    let error = images_error(&bytes);
    assert!(matches!(
        error,
        DataError::TrailingBytes {
            expected: 18,
            found: 19,
            ..
        }
    ));
    assert_message(&error, &["too long"]);
}

#[test]
fn a_file_of_nothing_is_refused() {
    for dimensions in [[0, 28, 28], [10, 0, 28], [10, 28, 0], [0, 0, 0]] {
        let error = images_error(&idx_file(&[&[0x803], &dimensions[..]].concat(), b""));
        assert!(matches!(error, DataError::NothingInside { .. }));
        assert_message(&error, &[&format!("{} images", dimensions[0])]);
    }
    assert_message(&labels_error(&label_file(0)), &["0 labels"]);
}

#[test]
fn a_header_that_claims_billions_asks_for_no_memory() {
    let most = u32::MAX;
    let error = images_error(&idx_file(&[0x803, most, 28, 28], &[0; 784]));
    assert!(matches!(
        error,
        DataError::Truncated {
            expected: 3_367_254_359_280,
            found: 784,
            ..
        }
    ));
    // Their product is beyond 64 bits: modulo 2^64 it would be small.
    let error = images_error(&idx_file(&[0x803, most, most, most], &[0; 784]));
    assert_message(&error, &["79228162458924105385300197375 bytes"]);
    let error = images_error(&idx_file(&[0x803, 1 << 31, 1 << 31, 1 << 31], b""));
    assert!(matches!(error, DataError::Truncated { .. }));
    assert_message(
        &labels_error(&idx_file(&[0x801, most], b"")),
        &["4294967295 labels"],
    );
}

#[test]
fn a_missing_file_is_an_error() {
    let folder = tempdir().unwrap();
    let error = idx::read_images(folder.path().join("nowhere")).unwrap_err();
    assert!(matches!(error, DataError::Unreadable { .. }));
    assert_message(&error, &["nowhere", "cannot be read"]);
}

#[test]
fn a_folder_is_not_a_file() {
    let folder = tempdir().unwrap();
    let error = idx::read_images(folder.path()).unwrap_err();
    assert!(matches!(error, DataError::NotAFile { .. }));
    assert_message(&error, &["expected a file, found a folder"]);
}

/// A link to itself cannot be opened, not even by the superuser, whom permissions do not stop.
#[cfg(unix)]
#[test]
fn an_unreadable_path_is_an_error() {
    let folder = tempdir().unwrap();
    let link = folder.path().join(MNIST[0]);
    std::os::unix::fs::symlink(&link, &link).unwrap();
    let error = idx::read_images(&link).unwrap_err();
    assert!(matches!(error, DataError::Unreadable { .. }));

    for (name, file) in MNIST.iter().zip(four_files()).skip(1) {
        fs::write(folder.path().join(name), file).unwrap();
    }
    let error = Dataset::from_folder(folder.path()).unwrap_err();
    assert!(matches!(error, DataError::Unreadable { path, .. } if path == link));
}

#[test]
fn images_and_labels_of_different_counts_are_refused() {
    let folder = tempdir().unwrap();
    let (images, labels) = (folder.path().join("images"), folder.path().join("labels"));
    fs::write(&images, image_file(3, 0)).unwrap();
    fs::write(&labels, label_file(4)).unwrap();
    let error = idx::read_labelled(&images, &labels).unwrap_err();
    assert!(matches!(
        error,
        DataError::CountsDiffer {
            images: 3,
            labels: 4,
            ..
        }
    ));
    assert_message(
        &error,
        &[
            images.to_str().unwrap(),
            labels.to_str().unwrap(),
            "expected 3 labels",
            "found 4",
        ],
    );
}

#[cfg(not(feature = "cli"))]
#[test]
fn without_gzip_the_message_says_what_to_do() {
    let error = images_error(&[0x1f, 0x8b, 8, 0]);
    assert!(matches!(error, DataError::GzipNotBuiltIn { .. }));
    assert_message(&error, &["gunzip it", "feature `cli`"]);
}
