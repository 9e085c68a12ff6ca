//! The data layer against real files, good and bad.

use std::{
    fs,
    path::{Path, PathBuf},
};

use elbo::{
    Scalar,
    data::{Binarisation, DataError, Dataset, Images, idx},
};
use ndarray::{Array2, Axis, array, s};
use rand::{SeedableRng, rngs::StdRng};
use tempfile::{TempDir, tempdir};

const MNIST: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

/// An IDX file: the words of the header, then the body.
fn idx_file(header: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend(body);
    bytes
}

/// `count` images of 2 x 3 pixels: `first`, `first + 1`, ...
fn image_file(count: u32, first: u8) -> Vec<u8> {
    let body: Vec<u8> = (0..6 * count).map(|i| first + i as u8).collect();
    idx_file(&[0x803, count, 2, 3], &body)
}

/// The labels 0, 1, ...
fn label_file(count: u32) -> Vec<u8> {
    let body: Vec<u8> = (0..count).map(|i| i as u8).collect();
    idx_file(&[0x801, count], &body)
}

/// The four files of a data set: three images to train on, two to test on.
fn four_files() -> [Vec<u8>; 4] {
    [
        image_file(3, 10),
        label_file(3),
        image_file(2, 100),
        label_file(2),
    ]
}

fn write(folder: &Path, names: [&str; 4], files: [Vec<u8>; 4]) {
    fs::create_dir_all(folder).unwrap();
    for (name, file) in names.iter().zip(files) {
        fs::write(folder.join(name), file).unwrap();
    }
}

fn emnist(split: &str) -> [String; 4] {
    [
        "train-images-idx3",
        "train-labels-idx1",
        "test-images-idx3",
        "test-labels-idx1",
    ]
    .map(|name| format!("emnist-{split}-{name}-ubyte"))
}

fn write_emnist(folder: &Path, split: &str) {
    let names = emnist(split);
    write(folder, names.each_ref().map(String::as_str), four_files());
}

/// A file of the given bytes, in a folder that lives as long as the first part of the pair.
fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("some-file");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The message of an error: one line, in which all of `words` occur.
fn assert_message(error: &DataError, words: &[&str]) {
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

fn images_error(bytes: &[u8]) -> DataError {
    let (_folder, path) = file(bytes);
    let error = idx::read_images(&path).unwrap_err();
    assert_message(&error, &[path.to_str().unwrap()]);
    error
}

fn labels_error(bytes: &[u8]) -> DataError {
    let (_folder, path) = file(bytes);
    let error = idx::read_labels(&path).unwrap_err();
    assert_message(&error, &[path.to_str().unwrap()]);
    error
}

// ---------------------------------------------------------------------------------------------------
// Images
// ---------------------------------------------------------------------------------------------------

#[test]
fn images_know_their_shape() {
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
fn images_in_another_memory_layout_are_the_same_images() {
    let pixels = Array2::from_shape_fn((4, 6), |(i, j)| (10 * i + j) as u8);
    let fortran = pixels.t().as_standard_layout().into_owned().reversed_axes();
    assert!(!fortran.is_standard_layout());
    let images = Images::new(fortran, 2, 3, None).unwrap();
    assert_eq!(images, Images::new(pixels, 2, 3, None).unwrap());
    assert!(images.pixels().is_standard_layout());
}

#[test]
fn images_of_another_size_are_refused() {
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
fn images_with_too_few_labels_are_refused() {
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

// ---------------------------------------------------------------------------------------------------
// Batches and binarisation
// ---------------------------------------------------------------------------------------------------

/// One image whose pixels are all bytes, and one of all bytes the other way round.
fn all_bytes() -> Images {
    let pixels = Array2::from_shape_fn((2, 256), |(i, j)| (if i == 0 { j } else { 255 - j }) as u8);
    Images::new(pixels, 16, 16, None).unwrap()
}

fn grey_is_the_quotient<T: Scalar>(quotient: impl Fn(u8) -> T) {
    let batch = all_bytes().batch::<T>(&[1, 0, 0], Binarisation::None, &mut rng());
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
    let batch = all_bytes().batch::<f64>(&[0], Binarisation::Threshold, &mut rng());
    assert!(batch.slice(s![0, ..128]).iter().all(|&x| x == 0.0));
    assert!(batch.slice(s![0, 128..]).iter().all(|&x| x == 1.0));
}

#[test]
fn stochastic_pixels_are_binary_and_black_and_white_are_certain() {
    let images = all_bytes();
    let mut rng = rng();
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
    let (mut one, mut two) = (rng(), rng());
    let (first, second) = (draw(&mut one), draw(&mut one));
    assert_eq!(first, draw(&mut two));
    assert_eq!(second, draw(&mut two));
    assert_ne!(first, second);
    assert_ne!(first, draw(&mut StdRng::seed_from_u64(8)));
}

#[test]
fn the_mean_of_stochastic_binarisation_is_the_grey_pixel() {
    let images = all_bytes();
    let draws = 4000;
    let batch = images.batch::<f64>(&vec![0; draws], Binarisation::Stochastic, &mut rng());
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
        let (mut used, mut fresh) = (rng(), rng());
        all_bytes().batch::<f32>(&[0], binarisation, &mut used);
        assert_eq!(used.random::<u64>() != fresh.random::<u64>(), draws);
    }
}

#[test]
fn batch_into_fills_views_of_any_layout() {
    let images = all_bytes();
    for binarisation in Binarisation::ALL {
        let expected = images.batch::<f64>(&[1, 0], binarisation, &mut rng());

        let mut rows = Array2::from_elem((5, 256), 9.0);
        images.batch_into(
            &[1, 0],
            binarisation,
            &mut rng(),
            rows.slice_mut(s![1..3, ..]),
        );
        assert_eq!(rows.slice(s![1..3, ..]), expected);
        assert!(rows.row(0).iter().chain(rows.row(3)).all(|&x| x == 9.0));

        let mut columns = Array2::from_elem((256, 2), 9.0);
        images.batch_into(
            &[1, 0],
            binarisation,
            &mut rng(),
            columns.view_mut().reversed_axes(),
        );
        assert_eq!(columns.t(), expected);
    }
}

#[test]
fn an_empty_batch_is_empty() {
    let batch = all_bytes().batch::<f32>(&[], Binarisation::Stochastic, &mut rng());
    assert_eq!(batch.dim(), (0, 256));
}

#[test]
#[should_panic(expected = "there is no image 2 among 2")]
fn an_index_out_of_range_panics() {
    all_bytes().batch::<f32>(&[0, 2], Binarisation::None, &mut rng());
}

#[test]
#[should_panic(expected = "a batch is of shape")]
fn a_batch_of_another_shape_panics() {
    let mut batch = Array2::<f32>::zeros((1, 256));
    all_bytes().batch_into(&[0, 1], Binarisation::None, &mut rng(), batch.view_mut());
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

// ---------------------------------------------------------------------------------------------------
// One IDX file
// ---------------------------------------------------------------------------------------------------

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

// ---------------------------------------------------------------------------------------------------
// Folders
// ---------------------------------------------------------------------------------------------------

fn assert_is_the_four_files(dataset: &Dataset) {
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

// ---------------------------------------------------------------------------------------------------
// Gzip and the embedded digits
// ---------------------------------------------------------------------------------------------------

#[cfg(feature = "cli")]
mod with_gzip {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_told_from_the_content_and_gives_the_same() {
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

    /// The expected numbers were computed in Python from the four original files.
    #[test]
    fn the_embedded_digits_are_the_first_of_mnist() {
        let mnist = Dataset::embedded();
        for (images, count, first_labels, histogram, sum, ink, black, white) in [
            (
                &mnist.train,
                10_000,
                [5, 0, 4, 1, 9, 2, 1, 3, 1, 4],
                [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978],
                262_146_600,
                1_039_729,
                6_337_785,
                50_190,
            ),
            (
                &mnist.test,
                2_000,
                [7, 2, 1, 0, 4, 1, 4, 9, 5, 9],
                [175, 234, 219, 207, 217, 179, 178, 205, 192, 194],
                48_335_026,
                191_907,
                1_285_042,
                9_596,
            ),
        ] {
            assert_eq!(images.len(), count);
            assert_eq!((images.height(), images.width()), (28, 28));

            let labels = images.labels().unwrap();
            assert_eq!(labels.slice(s![..10]).to_vec(), first_labels);
            let mut counts = [0; 10];
            labels.iter().for_each(|&l| counts[usize::from(l)] += 1);
            assert_eq!(counts, histogram);

            let pixels = images.pixels();
            let how_many =
                |condition: fn(u8) -> bool| pixels.iter().filter(|&&p| condition(p)).count();
            assert_eq!(pixels.iter().map(|&p| u64::from(p)).sum::<u64>(), sum);
            assert_eq!(how_many(|p| p >= 128), ink);
            assert_eq!(how_many(|p| p == 0), black);
            assert_eq!(how_many(|p| p == 255), white);
        }

        // Sums of single images, and a line of the first, so that order and orientation count.
        let sums = |images: &Images, indices: [usize; 4]| {
            indices.map(|i| {
                images
                    .pixels()
                    .row(i)
                    .iter()
                    .map(|&p| u64::from(p))
                    .sum::<u64>()
            })
        };
        assert_eq!(
            sums(&mnist.train, [0, 1, 2, 9_999]),
            [27_525, 31_095, 19_443, 20_613]
        );
        assert_eq!(
            sums(&mnist.test, [0, 1, 2, 1_999]),
            [18_454, 28_850, 9_871, 21_683]
        );
        assert_eq!(
            mnist
                .train
                .pixels()
                .slice(s![0, 5 * 28 + 12..5 * 28 + 24])
                .to_vec(),
            [3, 18, 18, 18, 126, 136, 175, 26, 166, 255, 247, 127]
        );
        assert_eq!(mnist.train.labels().unwrap()[9_999], 7);
        assert_eq!(mnist.test.labels().unwrap()[1_999], 5);
    }
}
