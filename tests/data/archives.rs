//! `.npz` files.

use elbo::data::{Dataset, OpenOptions};
use ndarray::array;

use super::writers::{Method, all, assert_refused, counting, file, halves, labels, npy, zip};

/// An archive of the given arrays, opened.
fn open(arrays: &[(&str, &[u8])]) -> Dataset {
    let options = if arrays
        .iter()
        .any(|(name, _)| name.contains("test") || *name == "arr_2.npy")
    {
        OpenOptions::default()
    } else {
        halves()
    };
    let [stored, deflated] = [Method::Stored, Method::Deflated].map(|method| {
        let (_folder, path) = file("things.npz", &zip(method, arrays));
        Dataset::open(path, &options).unwrap()
    });
    assert_eq!(stored, deflated);
    assert_eq!(stored.name, "things");
    stored
}

fn refused(arrays: &[(&str, &[u8])], words: &[&str]) {
    for method in [Method::Stored, Method::Deflated] {
        let (_folder, path) = file("things.npz", &zip(method, arrays));
        assert_refused(&path, &halves(), words);
    }
}

#[test]
fn two_sets_with_labels_go_by_their_usual_names() {
    for [x_train, y_train, x_test, y_test] in [
        ["x_train", "y_train", "x_test", "y_test"],
        ["X_train", "Y_train", "X_test", "Y_test"],
        ["train_images", "train_labels", "test_images", "test_labels"],
        ["arr_0", "arr_1", "arr_2", "arr_3"],
    ]
    .map(|names| names.map(|name| format!("{name}.npy")))
    {
        // Not in the order of the names.
        let data = open(&[
            (&y_test, &labels(&[9, 200])),
            (&x_test, &npy("|u1", false, "(2, 2, 3)", &[50; 12])),
            (&y_train, &labels(&[5, 0, 255])),
            (&x_train, &counting(3, 2, 3)),
            ("notes.npy", b"no array at all"),
            ("val_images.npy", &counting(1, 9, 9)),
        ]);
        assert_eq!((data.train.len(), data.test.len()), (3, 2));
        assert_eq!(data.train.labels().unwrap(), array![5, 0, 255]);
        assert_eq!(data.test.labels().unwrap(), array![9, 200]);
        assert_eq!(data.train.pixels().row(2), array![12, 13, 14, 15, 16, 17]);
        assert!(data.test.pixels().iter().all(|&pixel| pixel == 50));
    }
}

#[test]
fn one_set_goes_by_its_usual_names() {
    for [images, label] in [
        ["x", "y"],
        ["images", "labels"],
        ["imgs", "labels"],
        ["arr_0", "arr_1"],
        ["x_train", "y_train"],
    ] {
        let data = open(&[
            (&format!("{images}.npy"), &counting(4, 2, 3)),
            (&format!("{label}.npy"), &labels(&[4, 3, 2, 1])),
        ]);
        assert_eq!((data.train.len(), data.test.len()), (2, 2));
        let expected: Vec<_> = (0..4)
            .map(|i| ((6 * i..6 * i + 6).collect::<Vec<u8>>(), Some(4 - i)))
            .collect();
        assert_eq!(all(&data), expected);
    }
}

#[test]
fn labels_may_be_missing() {
    for name in ["imgs.npy", "arr_0.npy", "an only array of any name.npy"] {
        let data = open(&[(name, &counting(4, 2, 3))]);
        assert_eq!(all(&data).len(), 4);
        assert_eq!((data.train.labels(), data.test.labels()), (None, None));
    }
    let images = counting(4, 2, 3);
    let data = open(&[("x_train.npy", &images), ("x_test.npy", &images)]);
    assert_eq!((data.train.labels(), data.test.labels()), (None, None));
}

#[test]
fn the_images_of_d_sprites_are_binary() {
    let imgs = npy("|u1", false, "(2, 1, 2)", &[0, 1, 1, 1]);
    // With an array of Python objects beside it, and one of other factors.
    let data = open(&[
        ("metadata.npy", &npy("|O", false, "()", b"\x80\x02")),
        ("imgs.npy", &imgs),
        (
            "latents_classes.npy",
            &npy("<i8", false, "(2, 6)", &[0; 96]),
        ),
    ]);
    assert_eq!(all(&data), [(vec![0, 255], None), (vec![255, 255], None)]);
}

/// Six images of one pixel, the number of the image, with factors beside them: one that never changes, the number, and its
/// parity.
fn with_factors(fortran_order: bool, elements: &[i64], shape: &str) -> Vec<u8> {
    let bytes: Vec<u8> = elements
        .iter()
        .flat_map(|class| class.to_le_bytes())
        .collect();
    zip(
        Method::Deflated,
        &[
            (
                "imgs.npy",
                &npy("|u1", false, "(6, 1, 1)", &[10, 11, 12, 13, 14, 15]),
            ),
            (
                "latents_classes.npy",
                &npy("<i8", fortran_order, shape, &bytes),
            ),
        ],
    )
}

#[test]
fn factors_stay_with_their_images() {
    let by_row = [7, 0, 0, 7, 1, 1, 7, 2, 0, 7, 3, 1, 7, 4, 0, 7, 5, 1];
    let by_column = [7, 7, 7, 7, 7, 7, 0, 1, 2, 3, 4, 5, 0, 1, 0, 1, 0, 1];
    for (fortran_order, elements) in [(false, by_row), (true, by_column)] {
        let archive = with_factors(fortran_order, &elements, "(6, 3)");
        let (_folder, path) = file("sprites.npz", &archive);
        let data = Dataset::open(path, &halves()).unwrap();
        let mut seen = Vec::new();
        for set in [&data.train, &data.test, &data.train.head(2)] {
            let factors = set.factors().unwrap();
            assert_eq!(factors.dim(), (set.len(), 2), "the first never changes");
            for (pixels, factors) in set.pixels().rows().into_iter().zip(factors.rows()) {
                let number = pixels[0] - 10;
                assert_eq!(factors, array![number, number % 2]);
                seen.push(number);
            }
        }
        seen.truncate(6);
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    }
}

#[test]
fn factors_that_do_not_fit_are_refused() {
    for (elements, shape, words) in [
        (vec![0; 15], "(5, 3)", ["the factors of 6 images", "(5, 3)"]),
        (vec![0; 6], "(6,)", ["the factors of 6 images", "(6,)"]),
        (
            vec![300; 6],
            "(6, 1)",
            ["whole numbers from 0 to 255", "300 for image 0"],
        ),
        (
            vec![0, 0, 0, 0, 0, -1],
            "(6, 1)",
            ["whole numbers from 0 to 255", "-1 for image 5"],
        ),
    ] {
        let (_folder, path) = file("sprites.npz", &with_factors(false, &elements, shape));
        assert_refused(&path, &halves(), &words);
    }
    // The second factor of image 4, row by row and column by column.
    for (fortran_order, place) in [(false, 3 * 4 + 1), (true, 6 + 4)] {
        let mut elements = vec![0; 18];
        elements[place] = 300;
        let archive = with_factors(fortran_order, &elements, "(6, 3)");
        let (_folder, path) = file("sprites.npz", &archive);
        let words = [
            "expected factors that are whole",
            "300 for image 4; number the values of each factor from 0",
        ];
        assert_refused(&path, &halves(), &words);
    }
    let images = counting(6, 1, 1);
    let floats = npy("<f4", false, "(6, 1)", &[0; 24]);
    refused(
        &[("imgs.npy", &images), ("latents_classes.npy", &floats)],
        &[
            "expected factors that are whole",
            "found float32; number the values of each factor from 0",
        ],
    );
}

#[test]
fn factors_beside_two_sets_are_refused() {
    let images = counting(2, 1, 1);
    let factors = npy("|u1", false, "(2, 1)", &[0, 1]);
    refused(
        &[
            ("x_train.npy", &images),
            ("x_test.npy", &images),
            ("latents_classes.npy", &factors),
        ],
        &[
            "things.npz, latents_classes: expected factors beside images of one set",
            "leave the factors out",
        ],
    );
    // One set by the same name does.
    let data = open(&[("x_train.npy", &images), ("latents_classes.npy", &factors)]);
    assert_eq!(data.train.factors().map(|known| known.ncols()), Some(1));
}

#[test]
fn binary_is_judged_of_both_sets_together() {
    let binary = npy("|u1", false, "(1, 1, 2)", &[0, 1]);
    let grey = npy("|u1", false, "(1, 1, 2)", &[0, 200]);
    let bool = npy("|b1", false, "(1, 1, 2)", &[0, 1]);
    let data = open(&[("x_train.npy", &binary), ("x_test.npy", &grey)]);
    assert_eq!(data.train.pixels(), array![[0, 1]]);
    let data = open(&[("x_train.npy", &binary), ("x_test.npy", &binary)]);
    assert_eq!(data.train.pixels(), array![[0, 255]]);
    assert_eq!(data.test.pixels(), array![[0, 255]]);
    let data = open(&[("x_train.npy", &bool), ("x_test.npy", &binary)]);
    assert_eq!(data.train.pixels(), array![[0, 255]]);
    assert_eq!(data.test.pixels(), array![[0, 255]]);
}

#[test]
fn labels_of_every_type_are_read() {
    let images = counting(2, 1, 2);
    for (description, shape, elements) in [
        ("|u1", "(2,)", vec![7, 1]),
        ("|i1", "(2,)", vec![7, 1]),
        ("<u2", "(2,)", vec![7, 0, 1, 0]),
        (">u2", "(2,)", vec![0, 7, 0, 1]),
        (">i4", "(2, 1)", vec![0, 0, 0, 7, 0, 0, 0, 1]),
        (
            "<u8",
            "(2, 1)",
            [7_u64, 1].iter().flat_map(|x| x.to_le_bytes()).collect(),
        ),
    ] {
        let label = npy(description, false, shape, &elements);
        let data = open(&[
            ("x_train.npy", &images),
            ("y_train.npy", &label),
            ("x_test.npy", &images),
        ]);
        assert_eq!(data.train.labels().unwrap(), array![7, 1], "{description}");
        assert_eq!(data.test.labels(), None);
    }
    let label = npy("|b1", false, "(2,)", &[1, 0]);
    let data = open(&[
        ("x_train.npy", &images),
        ("y_train.npy", &label),
        ("x_test.npy", &images),
    ]);
    assert_eq!(data.train.labels().unwrap(), array![1, 0]);
}

#[test]
fn labels_that_are_none_are_refused() {
    let images = counting(2, 1, 2);
    let with = |label: &[u8], words: &[&str]| {
        refused(&[("x.npy", &images), ("y.npy", label)], words);
    };
    with(
        &labels(&[1, 2, 3]),
        &[
            "things.npz, y: expected 2 labels",
            "found an array of shape (3,)",
        ],
    );
    with(
        &labels(&[1, -1]),
        &["whole numbers from 0 to 255, found -1 for image 1"],
    );
    with(
        &labels(&[256, 0]),
        &["found 256 for image 0", "leave the labels out"],
    );
    with(&npy("<f4", false, "(2,)", &[0; 8]), &["found float32"]);
    with(
        &npy("<u8", false, "(2,)", &[0xff; 16]),
        &["found 18446744073709551615"],
    );
    with(
        &npy("|u1", false, "(2, 10)", &[0; 20]),
        &["found an array of shape (2, 10)", "argmax"],
    );
    with(
        &npy("<U1", false, "(2,)", &[0; 8]),
        &["found elements of type <U1"],
    );
}

#[test]
fn sets_of_two_sizes_are_refused() {
    refused(
        &[
            ("x_train.npy", &counting(2, 2, 3)),
            ("x_test.npy", &counting(2, 3, 2)),
        ],
        &[
            "things.npz, x_test: expected images of 2 x 3 pixels",
            "found images of 3 x 2 pixels",
        ],
    );
}

#[test]
fn an_archive_without_images_says_what_it_has() {
    let images = counting(2, 2, 3);
    refused(
        &[("first.npy", &images), ("second.npy", &images)],
        &[
            "x_train, train_images, x, images, imgs, arr_0",
            "found first, second",
        ],
    );
    refused(
        &[("x_test.npy", &images), ("y_test.npy", &labels(&[0, 1]))],
        &["found x_test, y_test", "rename the array"],
    );
    refused(
        &[("cats/1.png", b""), ("cats/2.png", b"")],
        &["found cats/1.png, cats/2.png", "unpack it"],
    );
    refused(&[("two\nlines", b"")], &["found two\\nlines"]);
    refused(&[], &["found nothing"]);
    let many: Vec<(String, &[u8])> = (0..50)
        .map(|i| (format!("{i:02}.npy"), &images[..]))
        .collect();
    let many: Vec<(&str, &[u8])> = many
        .iter()
        .map(|(name, image)| (name.as_str(), *image))
        .collect();
    refused(&many, &["found 00, 01, 02, 03, 04, 05, 06, 07, 42 more;"]);
}

#[test]
fn a_wrong_checksum_or_length_is_refused() {
    for method in [Method::Stored, Method::Deflated] {
        let whole = zip(method, &[("x.npy", &counting(4, 2, 3))]);
        let directory = whole
            .windows(4)
            .position(|word| word == b"PK\x01\x02")
            .unwrap();
        // The checksum and the unpacked size in the directory; the local header is not asked.
        for position in [16, 24] {
            let mut bytes = whole.clone();
            bytes[directory + position] ^= 1;
            let (_folder, path) = file("things.npz", &bytes);
            assert_refused(
                &path,
                &halves(),
                &["things.npz, x: expected an intact file", "corrupt"],
            );
        }
    }
}

#[test]
fn a_member_that_is_packed_otherwise_is_refused() {
    let whole = zip(Method::Stored, &[("x.npy", &counting(4, 2, 3))]);
    let directory = whole
        .windows(4)
        .position(|word| word == b"PK\x01\x02")
        .unwrap();
    for (position, value, words) in [
        (
            10,
            14,
            ["stored or compressed by deflate", "np.savez_compressed"],
        ),
        (8, 1, ["an encrypted one", "without a password"]),
    ] {
        let mut bytes = whole.clone();
        bytes[directory + position] = value;
        let (_folder, path) = file("things.npz", &bytes);
        assert_refused(&path, &halves(), &words);
    }
}

#[test]
fn the_kind_of_a_file_is_told_from_its_content() {
    let (_folder, path) = file(
        "archive.npy",
        &zip(Method::Deflated, &[("x.npy", &counting(4, 2, 3))]),
    );
    let archive = Dataset::open(path, &halves()).unwrap();
    let (_folder, path) = file("archive", &counting(4, 2, 3));
    assert_eq!(Dataset::open(path, &halves()).unwrap(), archive);
}
