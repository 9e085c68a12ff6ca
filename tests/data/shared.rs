//! Files of images and labels, and what the error about a bad one says.

use std::fs;
use std::path::{Path, PathBuf};

use elbo::data::{DataError, Dataset, idx};
use ndarray::{Array2, array};
use tempfile::{TempDir, tempdir};

/// The names of the four files of MNIST.
pub const MNIST: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// An IDX file: the words of the header, then the body.
pub fn idx_file(header: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend(body);
    bytes
}

/// `count` images of 2 x 3 pixels: `first`, `first + 1`, ...
pub fn image_file(count: u32, first: u8) -> Vec<u8> {
    let body: Vec<u8> = (0..6 * count).map(|i| first + i as u8).collect();
    idx_file(&[0x803, count, 2, 3], &body)
}

/// The labels 0, 1, ...
pub fn label_file(count: u32) -> Vec<u8> {
    let body: Vec<u8> = (0..count).map(|i| i as u8).collect();
    idx_file(&[0x801, count], &body)
}

/// The four files of a data set: three images to train on, two to test on.
pub fn four_files() -> [Vec<u8>; 4] {
    [
        image_file(3, 10),
        label_file(3),
        image_file(2, 100),
        label_file(2),
    ]
}

/// Writes four files into a folder, which is created.
pub fn write(folder: &Path, names: [&str; 4], files: [Vec<u8>; 4]) {
    fs::create_dir_all(folder).unwrap();
    for (name, file) in names.iter().zip(files) {
        fs::write(folder.join(name), file).unwrap();
    }
}

/// The names of the four files of a split of EMNIST.
pub fn emnist(split: &str) -> [String; 4] {
    [
        "train-images-idx3",
        "train-labels-idx1",
        "test-images-idx3",
        "test-labels-idx1",
    ]
    .map(|name| format!("emnist-{split}-{name}-ubyte"))
}

/// The four files under the names of a split of EMNIST.
pub fn write_emnist(folder: &Path, split: &str) {
    let names = emnist(split);
    write(folder, names.each_ref().map(String::as_str), four_files());
}

/// A file of the given bytes, in a folder that lives as long as the first part of the pair.
pub fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("some-file");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The message of an error: one line, in which all of `words` occur.
pub fn assert_message(error: &DataError, words: &[&str]) {
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

/// The error of reading these bytes as images; it names the file.
pub fn images_error(bytes: &[u8]) -> DataError {
    let (_folder, path) = file(bytes);
    let error = idx::read_images(&path).unwrap_err();
    assert_message(&error, &[path.to_str().unwrap()]);
    error
}

/// The error of reading these bytes as labels; it names the file.
pub fn labels_error(bytes: &[u8]) -> DataError {
    let (_folder, path) = file(bytes);
    let error = idx::read_labels(&path).unwrap_err();
    assert_message(&error, &[path.to_str().unwrap()]);
    error
}

/// The data set holds what [`four_files`] wrote.
pub fn assert_is_the_four_files(dataset: &Dataset) {
    assert_eq!((dataset.train.len(), dataset.test.len()), (3, 2));
    assert_eq!(
        dataset.train.pixels(),
        Array2::from_shape_fn((3, 6), |(i, j)| (10 + 6 * i + j) as u8)
    );
    assert_eq!(
        dataset.test.pixels(),
        Array2::from_shape_fn((2, 6), |(i, j)| (100 + 6 * i + j) as u8)
    );
    assert_eq!(dataset.train.labels().unwrap(), array![0, 1, 2]);
    assert_eq!(dataset.test.labels().unwrap(), array![0, 1]);
}
