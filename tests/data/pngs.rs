//! Folders of PNG images.

use elbo::data::{Dataset, Images, OpenOptions};
use ndarray::array;
use tempfile::{TempDir, tempdir};

use super::writers::{Colour, all, assert_refused, halves, png, small_png, sorted, write};

/// A folder of these files.
fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempdir().unwrap();
    for (name, content) in files {
        write(&folder.path().join(name), content);
    }
    folder
}

/// The first pixel of each image and its label, in the order of the pixels.
fn first_pixels(images: &Images) -> Vec<(u8, Option<u8>)> {
    (sorted(images).into_iter())
        .map(|(pixels, label)| (pixels[0], label))
        .collect()
}

/// The pixels of one image, twice in a folder.
fn pixels(image: &[u8]) -> Vec<u8> {
    let folder = folder(&[("1.png", image.to_vec()), ("2.png", image.to_vec())]);
    let data = Dataset::open(folder.path(), &halves()).unwrap();
    assert_eq!(data.train.pixels(), data.test.pixels());
    data.train.pixels().row(0).to_vec()
}

#[test]
fn files_in_the_folder_have_no_labels() {
    let folder = folder(&[
        ("faces/1.png", small_png(10)),
        ("faces/2.PNG", small_png(20)),
        ("faces/3.png", small_png(30)),
        ("faces/4.png", small_png(40)),
        ("faces/notes.txt", b"no image".to_vec()),
        ("faces/._1.png", b"what macOS leaves".to_vec()),
        ("faces/empty/notes.txt", b"no image".to_vec()),
    ]);
    let data = Dataset::open(folder.path().join("faces"), &halves()).unwrap();
    assert_eq!(data.name, "faces");
    assert_eq!((data.train.height(), data.train.width()), (2, 3));
    assert_eq!((data.train.len(), data.test.len()), (2, 2));
    let expected: Vec<_> = (1..5)
        .map(|i| ((10 * i..10 * i + 6).collect::<Vec<u8>>(), None))
        .collect();
    assert_eq!(all(&data), expected);
}

#[test]
fn sub_folders_are_classes_in_the_order_of_their_names() {
    let folder = folder(&[
        ("dog/1.png", small_png(10)),
        ("cat/9.png", small_png(20)),
        ("cat/1.png", small_png(30)),
        ("Zebra/1.png", small_png(40)),
        (".git/1.png", b"hidden".to_vec()),
        ("readme.txt", b"no image".to_vec()),
    ]);
    let data = Dataset::open(folder.path(), &halves()).unwrap();
    let labelled: Vec<_> = all(&data)
        .iter()
        .map(|(pixels, label)| (pixels[0], label.unwrap()))
        .collect();
    // Capitals come first, as in Python.
    assert_eq!(labelled, [(10, 2), (20, 1), (30, 1), (40, 0)]);
}

#[test]
fn train_and_test_are_the_two_sets() {
    let folder = folder(&[
        ("train/a/1.png", small_png(10)),
        ("train/b/1.png", small_png(20)),
        ("train/c/1.png", small_png(30)),
        ("train/c/0.png", small_png(40)),
        // Class a is missing here, and has its number all the same.
        ("test/c/1.png", small_png(50)),
        ("test/b/1.png", small_png(60)),
        ("val/b/1.png", small_png(70)),
        ("overview.png", b"not read".to_vec()),
    ]);
    let data = Dataset::open(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!(
        first_pixels(&data.train),
        [(10, Some(0)), (20, Some(1)), (30, Some(2)), (40, Some(2))]
    );
    assert_eq!(first_pixels(&data.test), [(50, Some(2)), (60, Some(1))]);
    assert_refused(
        folder.path(),
        &halves(),
        &[
            "expected data without a test set for --test-fraction, found one",
            "leave out --test-fraction",
        ],
    );

    let part = Dataset::open(folder.path().join("train"), &halves()).unwrap();
    assert_eq!(part.name, "train");
    assert_eq!((part.train.len(), part.test.len()), (2, 2));
}

/// Pictures and estimates take the first images of a test set.
#[test]
fn classes_are_mixed() {
    let names = |part: &str| -> Vec<String> {
        (0..100)
            .map(|i| format!("{part}/{}/{i:03}.png", if i < 50 { "a" } else { "b" }))
            .collect()
    };
    let names = [names("train"), names("test")].concat();
    let files: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(i, name)| (name.as_str(), small_png(i as u8)))
        .collect();
    let folder = folder(&files);
    let data = Dataset::open(folder.path(), &OpenOptions::default()).unwrap();
    // Half of each set; the number of a class in it is hypergeometric, with the standard deviation 2.5.
    for images in [&data.train, &data.test] {
        let labels = images.head(50).labels().unwrap().mapv(u32::from);
        assert!((15..=35).contains(&labels.sum()), "{labels}");
    }
    assert_ne!(data.train.labels(), data.test.labels());
    assert_eq!(
        data,
        Dataset::open(folder.path(), &OpenOptions::default()).unwrap()
    );
}

#[test]
fn train_and_test_may_be_without_labels() {
    let folder = folder(&[
        ("train/1.png", small_png(10)),
        ("test/1.png", small_png(20)),
    ]);
    let data = Dataset::open(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!(data.train.pixels().row(0), array![10, 11, 12, 13, 14, 15]);
    assert_eq!(data.test.pixels().row(0), array![20, 21, 22, 23, 24, 25]);
    assert_eq!((data.train.labels(), data.test.labels()), (None, None));
}

#[test]
fn train_without_test_is_not_a_class() {
    let parts = folder(&[("train/1.png", small_png(10)), ("val/1.png", small_png(20))]);
    assert_refused(
        parts.path(),
        &halves(),
        &[
            "expected sub-folders train and test",
            "found train, val",
            "give the folder train",
        ],
    );
    // Among vehicles it is one.
    let vehicles = folder(&[("train/1.png", small_png(10)), ("car/1.png", small_png(20))]);
    let data = Dataset::open(vehicles.path(), &halves()).unwrap();
    let labels: Vec<_> = all(&data)
        .into_iter()
        .map(|(pixels, label)| (pixels[0], label))
        .collect();
    assert_eq!(labels, [(10, Some(1)), (20, Some(0))]);
}

#[test]
fn grey_of_every_depth_fills_the_range() {
    assert_eq!(
        pixels(&png(3, (Colour::Grey, 1), &[&[0b1010_0000]], &[])),
        [255, 0, 255]
    );
    assert_eq!(
        pixels(&png(4, (Colour::Grey, 2), &[&[0b0001_1011]], &[])),
        [0, 85, 170, 255]
    );
    assert_eq!(
        pixels(&png(3, (Colour::Grey, 4), &[&[0x0f, 0x80]], &[])),
        [0, 255, 136]
    );
    assert_eq!(
        pixels(&png(3, (Colour::Grey, 8), &[&[7, 0, 255]], &[])),
        [7, 0, 255]
    );
    // 128 of 65535 is nearer to 0, 129 to 1 of 255; 65407 of 65535 is the first to be 255.
    let deep: Vec<u8> = [0_u16, 128, 129, 65406, 65407, 65535]
        .iter()
        .flat_map(|x| x.to_be_bytes())
        .collect();
    assert_eq!(
        pixels(&png(6, (Colour::Grey, 16), &[&deep], &[])),
        [0, 0, 1, 254, 255, 255]
    );
}

#[test]
fn colour_becomes_luma() {
    // As Pillow's convert("L").
    let line = [255, 0, 0, 0, 255, 0, 0, 0, 255, 100, 100, 100, 10, 20, 30];
    let expected = [76, 150, 29, 100, 18];
    assert_eq!(pixels(&png(5, (Colour::Rgb, 8), &[&line], &[])), expected);
    let opaque: Vec<u8> = line
        .chunks(3)
        .flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255])
        .collect();
    assert_eq!(
        pixels(&png(5, (Colour::Rgba, 8), &[&opaque], &[])),
        expected
    );
    let deep: Vec<u8> = line.iter().flat_map(|&byte| [byte, byte]).collect();
    assert_eq!(pixels(&png(5, (Colour::Rgb, 16), &[&deep], &[])), expected);
    let palette = [(b"PLTE", &line[..])];
    assert_eq!(
        pixels(&png(5, (Colour::Palette, 8), &[&[0, 1, 2, 3, 4]], &palette)),
        expected
    );
    assert_eq!(
        pixels(&png(2, (Colour::GreyAlpha, 8), &[&[9, 255, 200, 255]], &[])),
        [9, 200]
    );
}

#[test]
fn every_grey_colour_stays_as_it_is() {
    let line: Vec<u8> = (0..=255).flat_map(|grey| [grey; 3]).collect();
    assert_eq!(
        pixels(&png(256, (Colour::Rgb, 8), &[&line], &[])),
        (0..=255).collect::<Vec<u8>>()
    );
}

#[test]
fn transparent_pixels_are_refused() {
    for image in [
        png(2, (Colour::GreyAlpha, 8), &[&[9, 255, 200, 254]], &[]),
        png(1, (Colour::Rgba, 8), &[&[1, 2, 3, 0]], &[]),
        // A grey that means transparent.
        png(2, (Colour::Grey, 8), &[&[5, 6]], &[(b"tRNS", &[0, 5])]),
    ] {
        let folder = folder(&[("1.png", image)]);
        assert_refused(
            folder.path(),
            &halves(),
            &["1.png", "found transparent pixels", "background"],
        );
    }
}

#[test]
fn images_of_two_sizes_are_refused_by_name() {
    let other = png(2, (Colour::Grey, 8), &[&[1, 2]], &[]);
    for names in [
        ["a.png", "b.png", "c.png", "d.png"],
        ["a/1.png", "a/2.png", "b/1.png", "b/2.png"],
        ["train/1.png", "train/2.png", "test/1.png", "test/2.png"],
    ] {
        let folder = folder(&[
            (names[0], small_png(10)),
            (names[1], small_png(20)),
            (names[2], other.clone()),
            (names[3], png(9, (Colour::Grey, 8), &[&[0; 9]], &[])),
        ]);
        let [first, third] = [names[0], names[2]].map(|name| folder.path().join(name));
        assert_refused(
            folder.path(),
            &OpenOptions::default(),
            &[
                &format!(
                    "{}: expected 2 x 3 pixels as in {}, found 1 x 2",
                    third.display(),
                    first.display()
                ),
                "scale or crop",
            ],
        );
    }
}

#[test]
fn a_folder_without_images_says_what_was_found() {
    let refused = |files: &[&str], words: &[&str]| {
        let files: Vec<_> = files
            .iter()
            .map(|&name| (name, b"anything".to_vec()))
            .collect();
        assert_refused(folder(&files).path(), &halves(), words);
    };
    refused(
        &[],
        &[
            "train-images-idx3-ubyte",
            "PNG images",
            "found nothing",
            "give the folder",
        ],
    );
    refused(&["notes.txt"], &["found notes.txt"]);
    refused(
        &["1.jpg", "2.JPEG"],
        &["found 1.jpg, 2.JPEG", "convert the images to PNG"],
    );
    refused(
        &["mnist.npz"],
        &["found mnist.npz", "give the path of the array file itself"],
    );
    refused(
        &["deep/cats/1.png"],
        &["deep: expected", "give the folder that holds the images"],
    );
    let some = folder(&[("a/1.png", small_png(1)), ("b/notes.txt", Vec::new())]);
    assert_refused(some.path(), &halves(), &["b: expected", "found notes.txt"]);
}

#[test]
fn images_beside_classes_are_refused() {
    let folder = folder(&[("1.png", small_png(1)), ("a/1.png", small_png(1))]);
    assert_refused(
        folder.path(),
        &halves(),
        &["found both ", "a/1.png", "move one kind elsewhere"],
    );
}

#[test]
fn more_than_256_classes_are_refused() {
    let name = |i: usize| format!("{i:03}/1.png");
    let names: Vec<String> = (0..257).map(name).collect();
    let files: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), small_png(1)))
        .collect();
    assert_refused(
        folder(&files).path(),
        &halves(),
        &["at most 256 sub-folders", "found 257"],
    );
    let data = Dataset::open(folder(&files[..256]).path(), &halves()).unwrap();
    let mut labels: Vec<_> = all(&data)
        .into_iter()
        .map(|(_, label)| label.unwrap())
        .collect();
    labels.sort();
    assert_eq!(labels, (0..=255).collect::<Vec<u8>>());
}

#[test]
fn what_is_no_png_is_refused() {
    let folder = folder(&[("1.png", b"GIF89a".to_vec())]);
    assert_refused(
        folder.path(),
        &halves(),
        &["1.png: expected a whole PNG image", "save it again"],
    );
}

/// Found by fuzzing: the decoder panics at these.
#[test]
fn a_palette_is_of_whole_colours() {
    for length in [0, 1, 4, 262, 3 * 257, 1000] {
        let colours = vec![9; length];
        let bytes = png(2, (Colour::Palette, 8), &[&[0, 1]], &[(b"PLTE", &colours)]);
        let folder = folder(&[("a.png", bytes.clone()), ("b.png", bytes)]);
        let error = Dataset::open(folder.path(), &halves()).unwrap_err();
        let line = error.to_string();
        assert!(!line.contains('\n') && line.contains("a.png"), "{line}");
    }
}
