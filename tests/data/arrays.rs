//! `.npy` files.

use elbo::data::{Dataset, OpenOptions};

use super::writers::{all, assert_refused, counting, file, halves, labels, npy, npy_with_header};

/// The pixels of all images in a file, in order.
fn pixels(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (_folder, path) = file("some.npy", bytes);
    let data = Dataset::open(path, &halves()).unwrap();
    assert_eq!(data.train.labels(), None);
    all(&data).into_iter().map(|(pixels, _)| pixels).collect()
}

fn refused(bytes: &[u8], words: &[&str]) {
    let (_folder, path) = file("some.npy", bytes);
    assert_refused(&path, &halves(), words);
}

/// Two images of 1 x 2 pixels of elements of this type.
fn two(description: &str, elements: &[u8]) -> Vec<u8> {
    npy(description, false, "(2, 1, 2)", elements)
}

#[test]
fn bytes_are_the_pixels() {
    let (_folder, path) = file("faces.npy", &counting(4, 2, 3));
    let data = Dataset::open(path, &halves()).unwrap();
    assert_eq!(data.name, "faces");
    assert_eq!((data.train.len(), data.test.len()), (2, 2));
    assert_eq!((data.train.height(), data.train.width()), (2, 3));
    let images: Vec<_> = all(&data).into_iter().map(|(pixels, _)| pixels).collect();
    let expected: Vec<Vec<u8>> = (0..4).map(|i| (6 * i..6 * i + 6).collect()).collect();
    assert_eq!(images, expected);
}

#[test]
fn every_shape_of_grey_images_is_read() {
    let elements: Vec<u8> = (0..16).collect();
    let open = |shape: &str| {
        let (_folder, path) = file("some.npy", &npy("|u1", false, shape, &elements));
        Dataset::open(path, &halves()).unwrap()
    };
    let expected = open("(2, 4, 2)");
    assert_eq!((expected.train.height(), expected.train.width()), (4, 2));
    assert_eq!(open("(2, 4, 2, 1)"), expected);
    assert_eq!(open("(2, 1, 4, 2)"), expected);
    // Squares may be flat.
    assert_eq!(open("(4, 4)"), open("(4, 2, 2)"));
}

#[test]
fn the_order_of_fortran_is_undone() {
    // The first axis runs fastest: image, then line, then column.
    let mut elements = Vec::new();
    for column in 0..3 {
        for line in 0..2 {
            for image in 0..2 {
                elements.push(6 * image + 3 * line + column);
            }
        }
    }
    assert_eq!(
        pixels(&npy("|u1", true, "(2, 2, 3)", &elements)),
        pixels(&counting(2, 2, 3))
    );
}

#[test]
fn floats_become_the_nearest_byte() {
    // 0.5 is the least that becomes 128, as a threshold at one half has it.
    let below = f64::from_bits(0.5_f64.to_bits() - 1);
    let elements: Vec<u8> = [0.5, below, 0.0, 1.0]
        .iter()
        .flat_map(|x: &f64| x.to_le_bytes())
        .collect();
    assert_eq!(pixels(&two("<f8", &elements)), [[0, 255], [128, 127]]);

    let elements: Vec<u8> = [-0.0, 1.0, 0.002, 0.001]
        .iter()
        .flat_map(|x: &f32| x.to_be_bytes())
        .collect();
    assert_eq!(pixels(&two(">f4", &elements)), [[0, 255], [1, 0]]);

    // 1, 1/2, 2^-24 (the least that is not 0), 0.333: sign, 5 bits of exponent, 10 of fraction.
    let elements: Vec<u8> = [0x3c00_u16, 0x3800, 0x0001, 0x3554]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    assert_eq!(pixels(&two("<f2", &elements)), [[0, 85], [255, 128]]);
}

#[test]
fn bytes_divided_by_255_come_back() {
    let expected: Vec<u8> = (0..=255).collect();
    let single: Vec<u8> = expected
        .iter()
        .flat_map(|&byte| (f32::from(byte) / 255.0).to_le_bytes())
        .collect();
    let double: Vec<u8> = expected
        .iter()
        .flat_map(|&byte| (f64::from(byte) / 255.0).to_be_bytes())
        .collect();
    for (description, elements) in [("<f4", single), (">f8", double)] {
        let images = pixels(&npy(description, false, "(2, 16, 8)", &elements));
        assert_eq!(images.concat(), expected);
    }
}

#[test]
fn booleans_are_black_and_white() {
    assert_eq!(pixels(&two("|b1", &[0, 1, 1, 1])), [[0, 255], [255, 255]]);
}

#[test]
fn bytes_of_0_and_1_are_binary_images() {
    assert_eq!(pixels(&two("|u1", &[0, 1, 1, 1])), [[0, 255], [255, 255]]);
    assert_eq!(pixels(&two("|u1", &[0, 1, 1, 2])), [[0, 1], [1, 2]]);
}

#[test]
fn headers_of_every_version_and_style_are_read() {
    let expected = pixels(&counting(2, 2, 3));
    let elements: Vec<u8> = (0..12).collect();
    for header in [
        // Other quotes, another order, no spaces, no comma at the end; the long integers of Python 2.
        r#"{"shape":(2,2,3),"fortran_order":False,"descr":"|u1"}"#,
        "  { 'descr' : 'u1' , 'shape' : ( 2L , 2L , 3L , ) , 'fortran_order' : False , }  ",
    ] {
        assert_eq!(pixels(&npy_with_header(header, &elements)), expected);
    }
    for version in [2, 3] {
        let mut bytes = counting(2, 2, 3);
        bytes[6] = version;
        bytes.splice(10..10, [0, 0]);
        assert_eq!(pixels(&bytes), expected);
    }
}

#[test]
fn numbers_out_of_range_are_refused_with_their_image() {
    let floats =
        |numbers: [f32; 4]| -> Vec<u8> { numbers.iter().flat_map(|x| x.to_le_bytes()).collect() };
    refused(
        &two("<f4", &floats([0.0, 1.0, 0.5, 255.0])),
        &["in [0, 1]", "found 255.0 in image 1", "divide by"],
    );
    refused(
        &two("<f4", &floats([f32::NAN, 0.0, 0.0, 0.0])),
        &["found NaN in image 0"],
    );
    refused(
        &two("<f4", &floats([0.0, 0.0, -1e-30, 0.0])),
        &["found -1.", "e-30 in image 1", "scale"],
    );
    refused(
        &two("<f4", &floats([0.0, f32::INFINITY, 0.0, 0.0])),
        &["found inf in image 0"],
    );
    // In the order of Fortran, the second number is of the second image.
    let elements = floats([0.0, 7.0, 0.0, 0.0]);
    refused(
        &npy("<f4", true, "(2, 1, 2)", &elements),
        &["found 7.0 in image 1"],
    );
    let elements: Vec<u8> = [0x7c00_u16, 0, 0, 0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    refused(&two("<f2", &elements), &["found inf"]);
    let elements: Vec<u8> = [0x7e00_u16, 0, 0, 0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    refused(&two("<f2", &elements), &["found NaN"]);
}

#[test]
fn other_types_are_refused() {
    refused(&two("<i8", &[0; 32]), &["found int64", "astype(np.uint8)"]);
    refused(&two(">u2", &[0; 8]), &["found uint16"]);
    refused(
        &two("|O", &[0; 8]),
        &["found elements of type |O", "Python objects"],
    );
    refused(&two("<U3", &[0; 8]), &["found elements of type <U3"]);
    refused(&two("<c8", &[0; 32]), &["found elements of type <c8"]);
    refused(
        &npy_with_header(
            "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (4, 1, 1), }",
            &[0; 4],
        ),
        &["expected a header like", "[(\\'a\\'"],
    );
}

#[test]
fn other_shapes_are_refused() {
    let shape = |shape: &str, words: &[&str]| refused(&npy("|u1", false, shape, &[0; 96]), words);
    shape("(96,)", &["found an array of shape (96,)", "reshape"]);
    shape("()", &["found an array of shape ()"]);
    shape(
        "(2, 48)",
        &[
            "squares",
            "found an array of shape (2, 48)",
            "x.reshape(n, h, w)",
        ],
    );
    shape(
        "(2, 4, 4, 3)",
        &["grey images", "(2, 4, 4, 3), with several channels"],
    );
    shape("(2, 3, 4, 4)", &["several channels"]);
    shape(
        "(2, 2, 2, 2, 6)",
        &["found an array of shape (2, 2, 2, 2, 6)"],
    );
    for nothing in ["(0, 28, 28)", "(96, 0, 1)", "(96, 1, 0)", "(5, 0)"] {
        refused(
            &npy("|u1", false, nothing, &[]),
            &["at least one image", nothing],
        );
    }
}

#[test]
fn more_or_less_than_the_header_says_is_refused() {
    let elements = [7; 12];
    refused(
        &npy("|u1", false, "(3, 2, 3)", &elements),
        &[
            "shape (3, 2, 3) (18 bytes after the header)",
            "found 12 bytes",
            "truncated",
        ],
    );
    refused(
        &npy("|u1", false, "(1, 2, 3)", &elements),
        &["(6 bytes after the header)", "found more", "too long"],
    );
    refused(
        &npy(
            "<f8",
            false,
            "(18446744073709551615, 18446744073709551615, 28)",
            &elements,
        ),
        &["found 12 bytes"],
    );
    // One more than a number of 64 bits.
    refused(
        &npy("|u1", false, "(18446744073709551616, 28, 28)", &elements),
        &["expected a header like"],
    );
}

#[test]
fn a_header_of_another_kind_is_refused() {
    for header in [
        "",
        "{}",
        "{'descr': '|u1', 'fortran_order': False}",
        "{'descr': '|u1', 'fortran_order': 0, 'shape': (2, 2, 3)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, -2, 3)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': [2, 2, 3]}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 3), 'more': 1}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 3)} more",
        "{'descr': '|u1' 'fortran_order': False 'shape': (2, 2, 3)}",
        "{'descr': '|u1",
    ] {
        refused(
            &npy_with_header(header, &[0; 12]),
            &["expected a header like", "np.save"],
        );
    }
    refused(b"\x93NUMPY\x09\x00", &["found version 9"]);
    refused(
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        &["found one of 4294967295"],
    );
    refused(
        b"\x93NUMPY\x01\x00\x76",
        &["2 more bytes of the header", "found 1;"],
    );
}

#[test]
fn what_is_no_array_is_told_by_its_kind() {
    for (bytes, words) in [
        (&b""[..], ["an empty file", "download"]),
        (b"hello", ["found another format", "np.save"]),
        (
            b"\x1f\x8b\x08\x00",
            ["an IDX or gzip file", "folder that holds the four files"],
        ),
        (
            b"\0\0\x08\x03\0\0\0\0",
            ["an IDX or gzip file", "folder that holds the four files"],
        ),
        (
            b"\x89PNG\r\n\x1a\n",
            ["a PNG image", "folder that holds the images"],
        ),
    ] {
        refused(bytes, &words);
    }
    // An array of labels where the images belong.
    refused(&labels(&[1, 2, 3]), &["found an array of shape (3,)"]);
}

#[test]
fn a_path_that_leads_nowhere_is_refused() {
    let (_folder, path) = file("some.npy", b"");
    let path = path.with_file_name("other.npy");
    assert_refused(
        &path,
        &OpenOptions::default(),
        &["cannot be read", "check that it exists"],
    );
}
