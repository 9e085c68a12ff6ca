//! Gzipped files, whole and broken.

use std::io::Write;

use elbo::data::{DataError, Dataset, idx};
use ndarray::array;
use tempfile::tempdir;

use crate::data::shared::{
    MNIST, assert_is_the_four_files, assert_message, emnist, file, four_files, image_file,
    images_error, write,
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn is_recognised_by_the_content_and_gives_the_same() {
    let plain = image_file(3, 10);
    let (_a, plain_path) = file(&plain);
    let (_b, gzip_path) = file(&gzip(&plain));
    assert_eq!(
        idx::read_images(plain_path).unwrap(),
        idx::read_images(gzip_path).unwrap()
    );
}

#[test]
fn a_plain_file_may_end_in_gz() {
    let folder = tempdir().unwrap();
    let names = MNIST.map(|name| format!("{name}.gz"));
    write(
        folder.path(),
        names.each_ref().map(String::as_str),
        four_files(),
    );
    assert_is_the_four_files(&Dataset::from_folder(folder.path()).unwrap());
}

#[test]
fn gzipped_folders_give_the_same() {
    let names = MNIST.map(|name| format!("{name}.gz"));
    let dotted = names.each_ref().map(|name| name.replace("s-idx", "s.idx"));
    for names in [names, dotted] {
        let folder = tempdir().unwrap();
        write(
            folder.path(),
            names.each_ref().map(String::as_str),
            four_files().map(|file| gzip(&file)),
        );
        assert_is_the_four_files(&Dataset::from_folder(folder.path()).unwrap());
    }
}

#[test]
fn gzipped_emnist_is_turned_upright_too() {
    let folder = tempdir().unwrap();
    let names = emnist("digits").map(|name| format!("{name}.gz"));
    write(
        folder.path(),
        names.each_ref().map(String::as_str),
        four_files().map(|file| gzip(&file)),
    );
    let dataset = Dataset::from_folder(folder.path()).unwrap();
    assert_eq!(dataset.name, "EMNIST digits");
    assert_eq!(
        dataset.train.pixels().row(0),
        array![10, 13, 11, 14, 12, 15]
    );
}

#[test]
fn plain_files_are_preferred() {
    let folder = tempdir().unwrap();
    write(folder.path(), MNIST, four_files());
    let names = MNIST.map(|name| format!("{name}.gz"));
    write(
        folder.path(),
        names.each_ref().map(String::as_str),
        [(); 4].map(|()| b"nonsense".to_vec()),
    );
    assert_is_the_four_files(&Dataset::from_folder(folder.path()).unwrap());
}

#[test]
fn truncated_gzip_is_refused_wherever_it_ends() {
    let whole = gzip(&image_file(3, 10));
    for length in 2..whole.len() {
        let error = images_error(&whole[..length]);
        assert!(
            matches!(error, DataError::BadGzip { .. }),
            "{length}: {error}"
        );
        assert_message(&error, &["gzip", "download it again"]);
    }
}

#[test]
fn corrupt_gzip_is_refused() {
    let whole = gzip(&image_file(3, 10));
    // A bit of the checksum: it is the first half of the last eight bytes.
    let mut checksum = whole.clone();
    let position = checksum.len() - 8;
    checksum[position] ^= 1;
    assert!(matches!(images_error(&checksum), DataError::BadGzip { .. }));

    let mut trailing = whole;
    trailing.extend(b"junk");
    assert!(matches!(images_error(&trailing), DataError::BadGzip { .. }));
}

#[test]
fn errors_of_the_content_count_decompressed_bytes() {
    let mut bytes = image_file(3, 0);
    bytes.pop();
    assert!(matches!(
        images_error(&gzip(&bytes)),
        DataError::Truncated {
            expected: 18,
            found: 17,
            ..
        }
    ));
    assert!(matches!(
        images_error(&gzip(b"")),
        DataError::ShortHeader { found: 0, .. }
    ));
}
