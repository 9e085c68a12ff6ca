//! Small files that would unpack to 16 GB. No more is unpacked than a header promises, so each is refused at once.

use std::io::Write;

use elbo::data::{DataError, OpenOptions, idx};
use flate2::{
    Compression, FlushCompress, Status,
    write::{DeflateEncoder, GzEncoder},
};

use super::writers::{
    Colour, Member, Method, archive, assert_message, assert_refused, file, halves, idx, npy,
    png_of, small_png, write,
};

/// Zeros that are packed and repeated, 16 MB each.
static ZEROS: [u8; 1 << 24] = [0; 1 << 24];
const REPEATED: usize = 1 << 10;

/// `start` and 16 GB of zeros after it, deflated. A block that is flushed ends at a byte, and may follow itself.
fn deflated(start: &[u8]) -> Vec<u8> {
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
    packed.write_all(start).unwrap();
    packed.flush().unwrap();
    let mut packed = packed.get_ref().clone();

    let mut block = Vec::with_capacity(1 << 16);
    let mut compress = flate2::Compress::new(Compression::best(), false);
    let status = compress
        .compress_vec(&ZEROS, &mut block, FlushCompress::Full)
        .unwrap();
    assert_eq!(
        (status, compress.total_in()),
        (Status::Ok, ZEROS.len() as u64)
    );
    packed.extend(block.repeat(REPEATED));
    packed.extend([3, 0]);
    packed
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_idx_file() {
    // A gzip stream may consist of several.
    let mut bytes = gzip(&idx(&[0x803, 1, 2, 3], &[]));
    bytes.extend(gzip(&ZEROS).repeat(REPEATED));
    let (_folder, path) = file("images", &bytes);
    let error = idx::read_images(&path).unwrap_err();
    assert!(matches!(
        error,
        DataError::TrailingBytes {
            expected: 6,
            found: 7,
            ..
        }
    ));
    assert_message(&error, &["1 images of 2 x 3 pixels", "found at least 7"]);
}

#[test]
fn an_idx_file_of_another_kind() {
    let mut bytes = gzip(&idx(&[0x801, 6], &[]));
    bytes.extend(gzip(&ZEROS).repeat(REPEATED));
    let (_folder, path) = file("images", &bytes);
    let error = idx::read_images(&path).unwrap_err();
    assert!(matches!(error, DataError::WrongMagic { .. }));
}

#[test]
fn a_member_of_an_archive() {
    let bytes = archive(&[Member {
        name: "x.npy",
        method: Method::Deflated,
        packed: deflated(&npy("|u1", false, "(1, 2, 3)", &[])),
        crc: 0,
        size: u32::MAX - 1,
    }]);
    let (_folder, path) = file("bomb.npz", &bytes);
    assert_refused(
        &path,
        &halves(),
        &["(6 bytes after the header)", "found more"],
    );
}

#[test]
fn a_member_that_is_longer_than_the_directory_says() {
    let bytes = archive(&[Member {
        name: "x.npy",
        method: Method::Deflated,
        packed: deflated(&npy("|u1", false, "(1000000, 28, 28)", &[])),
        crc: 0,
        size: 1000,
    }]);
    let (_folder, path) = file("bomb.npz", &bytes);
    assert_refused(&path, &halves(), &["corrupt", "expected 1000"]);
}

#[test]
fn an_image_of_more_pixels_than_its_file_can_hold() {
    let folder = tempfile::tempdir().unwrap();
    let size = (i32::MAX as u32, i32::MAX as u32);
    let bytes = png_of(
        size,
        (Colour::Rgba, 16),
        &[],
        &[0x78, 0x9c, 3, 0, 0, 0, 0, 1],
    );
    write(&folder.path().join("1.png"), &bytes);
    assert_refused(
        folder.path(),
        &OpenOptions::default(),
        &["2147483647 x 2147483647 pixels", "too small"],
    );
}

#[test]
fn an_image_with_more_behind_its_last_line() {
    // Pixels that are all there may be read or refused, but what follows them is not unpacked.
    let folder = tempfile::tempdir().unwrap();
    let mut packed = vec![0x78, 0x9c];
    packed.extend(deflated(&[0, 1, 2, 3, 0, 4, 5, 6]));
    packed.extend([0; 4]);
    write(&folder.path().join("1.png"), &small_png(10));
    write(
        &folder.path().join("2.png"),
        &png_of((2, 3), (Colour::Grey, 8), &[], &packed),
    );
    if let Err(error) = elbo::data::Dataset::open(folder.path(), &halves()) {
        assert_message(&error, &["2.png"]);
    }
}
