//! Folders with the four files of a data set.

use std::fs;

use elbo::data::{DataError, Dataset};
use ndarray::array;
use tempfile::tempdir;

use crate::data::shared::{
    MNIST, assert_is_the_four_files, assert_message, file, four_files, idx_file, label_file, write,
    write_emnist,
};

#[test]
fn the_four_files_are_found_where_they_use_to_be() {
    for (place, name) in [
        ("", "digits"),
        ("raw", "digits"),
        ("MNIST/raw", "MNIST"),
        ("FashionMNIST/raw", "FashionMNIST"),
    ] {
        let folder = tempdir().unwrap();
        let given = folder.path().join("digits");
        write(&given.join(place), MNIST, four_files());
        let dataset = Dataset::from_folder(&given).unwrap();
        assert_is_the_four_files(&dataset);
        assert_eq!(dataset.name, name);
    }
}

#[test]
fn the_folder_itself_comes_first() {
    let folder = tempdir().unwrap();
    write(folder.path(), MNIST, four_files());
    write(
        &folder.path().join("raw"),
        MNIST,
        [(); 4].map(|()| b"nonsense".to_vec()),
    );
    assert_is_the_four_files(&Dataset::from_folder(folder.path()).unwrap());
}

#[test]
fn a_dot_may_stand_for_the_dash() {
    let folder = tempdir().unwrap();
    let names = [
        "train-images.idx3-ubyte",
        "train-labels.idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels.idx1-ubyte",
    ];
    write(folder.path(), names, four_files());
    // Some archives unpack to folders of the other spelling beside the files.
    fs::create_dir(folder.path().join("train-images-idx3-ubyte")).unwrap();
    assert_is_the_four_files(&Dataset::from_folder(folder.path()).unwrap());
}

#[test]
fn a_folder_in_the_place_of_a_file_is_an_error() {
    let folder = tempdir().unwrap();
    write(folder.path(), MNIST, four_files());
    let path = folder.path().join(MNIST[1]);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = Dataset::from_folder(folder.path()).unwrap_err();
    assert!(matches!(error, DataError::NotAFile { path: found } if found == path));
}

#[test]
fn each_missing_file_is_named() {
    for missing in MNIST {
        let folder = tempdir().unwrap();
        write(folder.path(), MNIST, four_files());
        fs::remove_file(folder.path().join(missing)).unwrap();
        let error = Dataset::from_folder(folder.path()).unwrap_err();
        assert_message(
            &error,
            &[folder.path().to_str().unwrap(), &format!("no {missing}")],
        );
        assert!(
            matches!(error, DataError::MissingFiles { missing: names, .. } if names == [missing])
        );
    }
}

#[test]
fn an_empty_folder_says_what_was_looked_for_and_where() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "nothing").unwrap();
    let error = Dataset::from_folder(folder.path()).unwrap_err();
    assert!(matches!(error, DataError::NoDataset { .. }));
    assert_message(&error, &MNIST);
    for place in ["", "raw", "MNIST/raw", "FashionMNIST/raw", "EMNIST/raw"] {
        assert_message(&error, &[folder.path().join(place).to_str().unwrap()]);
    }
}

#[test]
fn a_folder_that_is_none_is_an_error() {
    let (folder, path) = file(b"");
    let error = Dataset::from_folder(&path).unwrap_err();
    assert!(matches!(error, DataError::NotAFolder { .. }));
    assert_message(&error, &["expected a folder, found a file"]);

    let error = Dataset::from_folder(folder.path().join("nowhere")).unwrap_err();
    assert!(matches!(error, DataError::Unreadable { .. }));
    assert_message(&error, &["nowhere", "check that it exists"]);
}

#[test]
fn a_bad_file_in_a_folder_is_named() {
    let folder = tempdir().unwrap();
    let [a, b, c, _] = four_files();
    write(folder.path(), MNIST, [a, b, c, label_file(7)]);
    assert_message(
        &Dataset::from_folder(folder.path()).unwrap_err(),
        &[MNIST[3], "expected 2 labels", "found 7"],
    );
}

#[test]
fn test_images_of_another_size_are_refused() {
    let folder = tempdir().unwrap();
    let [a, b, _, d] = four_files();
    let c = idx_file(&[0x803, 2, 3, 2], &[0; 12]);
    write(folder.path(), MNIST, [a, b, c, d]);
    let error = Dataset::from_folder(folder.path()).unwrap_err();
    assert!(matches!(
        error,
        DataError::SizesDiffer {
            train: (2, 3),
            test: (3, 2),
            ..
        }
    ));
    assert_message(&error, &["2 x 3 pixels", "found 3 x 2"]);
}

#[test]
fn emnist_is_turned_upright() {
    for place in ["", "raw", "EMNIST/raw"] {
        let folder = tempdir().unwrap();
        write_emnist(&folder.path().join(place), "letters");
        let dataset = Dataset::from_folder(folder.path()).unwrap();
        assert_eq!(dataset.name, "EMNIST letters");
        assert_eq!((dataset.train.height(), dataset.train.width()), (3, 2));
        // Stored as 10 11 12 / 13 14 15.
        assert_eq!(
            dataset.train.pixels().row(0),
            array![10, 13, 11, 14, 12, 15]
        );
        assert_eq!(
            dataset.test.pixels().row(1),
            array![106, 109, 107, 110, 108, 111]
        );
        assert_eq!(dataset.train.labels().unwrap(), array![0, 1, 2]);
    }
}

#[test]
fn several_splits_of_emnist_are_not_guessed_from() {
    let folder = tempdir().unwrap();
    write_emnist(folder.path(), "letters");
    write_emnist(folder.path(), "balanced");
    let error = Dataset::from_folder(folder.path()).unwrap_err();
    assert!(matches!(error, DataError::SeveralDatasets { .. }));
    assert_message(
        &error,
        &["found 2", "EMNIST balanced", "EMNIST letters", "to choose"],
    );
}

#[test]
fn several_data_sets_of_torchvision_are_not_guessed_from() {
    let folder = tempdir().unwrap();
    write(&folder.path().join("MNIST/raw"), MNIST, four_files());
    write(&folder.path().join("FashionMNIST/raw"), MNIST, four_files());
    assert_message(
        &Dataset::from_folder(folder.path()).unwrap_err(),
        &["FashionMNIST in", "MNIST in", "found 2"],
    );
    let fashion = Dataset::from_folder(folder.path().join("FashionMNIST")).unwrap();
    assert_eq!(fashion.name, "FashionMNIST");
}

#[test]
fn a_missing_file_of_emnist_goes_by_its_own_name() {
    let folder = tempdir().unwrap();
    write_emnist(folder.path(), "letters");
    let missing = "emnist-letters-test-labels-idx1-ubyte";
    fs::remove_file(folder.path().join(missing)).unwrap();
    assert_message(
        &Dataset::from_folder(folder.path()).unwrap_err(),
        &[&format!("no {missing}")],
    );
}
