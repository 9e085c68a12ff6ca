//! Several data sets in one folder, as torchvision unpacks EMNIST.

use std::fs;

use elbo::data::{Dataset, OpenOptions};
use ndarray::array;
use tempfile::{TempDir, tempdir};

use super::writers::{assert_refused, halves, idx, write, write_emnist};

const SPLITS: [&str; 6] = [
    "balanced", "byclass", "bymerge", "digits", "letters", "mnist",
];

fn options(split: &str) -> OpenOptions {
    OpenOptions {
        split: Some(split.to_owned()),
        ..OpenOptions::default()
    }
}

/// A folder with all splits; the pixels of the first begin with 0, those of the next with 10, ...
fn six() -> TempDir {
    let folder = tempdir().unwrap();
    for (i, split) in SPLITS.into_iter().enumerate() {
        write_emnist(&folder.path().join("EMNIST/raw"), split, 10 * i as u8);
    }
    // Torchvision leaves the archive and a gzipped copy of each file.
    write(
        &folder
            .path()
            .join("EMNIST/raw/emnist-letters-train-images-idx3-ubyte.gz"),
        b"not read",
    );
    write(&folder.path().join("EMNIST/raw/gzip.zip"), b"not read");
    folder
}

#[test]
fn each_of_the_six_splits_is_found() {
    let folder = six();
    for path in [
        folder.path().to_owned(),
        folder.path().join("EMNIST"),
        folder.path().join("EMNIST/raw"),
    ] {
        for (i, split) in SPLITS.into_iter().enumerate() {
            let data = Dataset::open(&path, &options(split)).unwrap();
            assert_eq!(data.name, format!("EMNIST {split}"));
            // Stored lying down, as first, first + 1, first + 2 / first + 3, ...
            let first = 10 * i as u8;
            let upright = array![0, 3, 1, 4, 2, 5] + first;
            assert_eq!(data.train.pixels().row(0), upright);
            assert_eq!(data.test.pixels().row(0), upright);
            assert_eq!((data.train.height(), data.train.width()), (3, 2));
            assert_eq!(data.train.labels().unwrap(), array![1, 2]);
            assert_eq!(data.test.labels().unwrap(), array![3]);
        }
    }
}

#[test]
fn without_a_split_the_error_lists_them_and_the_option() {
    let folder = six();
    for path in [folder.path().to_owned(), folder.path().join("EMNIST/raw")] {
        assert_refused(
            &path,
            &OpenOptions::default(),
            &["expected one data set, found 6", "add --split balanced"],
        );
        for split in SPLITS {
            assert_refused(
                &path,
                &OpenOptions::default(),
                &[&format!("EMNIST {split} in")],
            );
        }
    }
}

#[test]
fn a_split_that_is_not_there_is_refused() {
    let folder = six();
    assert_refused(
        folder.path(),
        &options("leters"),
        &[
            "one of the splits balanced, byclass, bymerge, digits, letters, mnist",
            "found `leters`",
            "as --split balanced",
        ],
    );
}

#[test]
fn an_only_split_needs_no_choice_and_takes_it() {
    let folder = tempdir().unwrap();
    write_emnist(folder.path(), "letters", 0);
    let data = Dataset::open(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!(
        Dataset::open(folder.path(), &options("letters")).unwrap(),
        data
    );
    assert_eq!(Dataset::from_folder(folder.path()).unwrap(), data);
    assert_refused(
        folder.path(),
        &options("digits"),
        &["one of the splits letters"],
    );
}

#[test]
fn a_split_is_found_beside_other_data_sets() {
    let folder = six();
    let names = [
        "train-images-idx3",
        "train-labels-idx1",
        "t10k-images-idx3",
        "t10k-labels-idx1",
    ];
    for (i, name) in names.into_iter().enumerate() {
        let header: &[u32] = if i % 2 == 0 {
            &[0x803, 1, 2, 3]
        } else {
            &[0x801, 1]
        };
        let body: &[u8] = if i % 2 == 0 { &[9; 6] } else { &[7] };
        write(
            &folder.path().join(format!("MNIST/raw/{name}-ubyte")),
            &idx(header, body),
        );
    }
    let letters = Dataset::open(folder.path(), &options("letters")).unwrap();
    assert_eq!(letters.name, "EMNIST letters");
    assert_refused(
        folder.path(),
        &OpenOptions::default(),
        &["found 7", "MNIST in", "EMNIST letters in"],
    );
    let digits = Dataset::open(folder.path().join("MNIST"), &OpenOptions::default()).unwrap();
    assert_eq!(digits.name, "MNIST");
    assert_eq!(digits.test.labels().unwrap(), array![7]);

    // Without a split of EMNIST there is none to speak of.
    assert_refused(
        &folder.path().join("MNIST"),
        &options("letters"),
        &["found none", "leave out --split"],
    );
    fs::rename(
        folder.path().join("EMNIST"),
        folder.path().join("FashionMNIST"),
    )
    .unwrap();
}

#[test]
fn a_test_set_of_its_own_is_not_split_off_again() {
    let folder = six();
    let options = OpenOptions {
        test_fraction: Some(0.1),
        ..options("letters")
    };
    assert_refused(
        folder.path(),
        &options,
        &[
            "expected data without a test set for --test-fraction, found one",
            "leave out --test-fraction",
        ],
    );
    let folder = tempdir().unwrap();
    write_emnist(folder.path(), "letters", 0);
    assert_refused(folder.path(), &halves(), &["leave out --test-fraction"]);
}
