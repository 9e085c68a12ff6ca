//! The IDX format of MNIST and its kin, gzipped or not.
//!
//! A file begins with a magic number of four bytes: two zeros, the type of an element (8: unsigned
//! byte) and the number of dimensions; then come the dimensions, each a big-endian `u32`, then the
//! elements, the last dimension fastest. Images have the magic number `0x00000803` and the dimensions
//! count, height, width; labels have `0x00000801` and the dimension count.
//!
//! Whether a file is gzipped is told from its content, not its name. Gzip needs the feature `cli`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use ndarray::{Array1, Array2};

use super::{DataError, Images, file};

/// Two zeros, the type "unsigned byte", and no dimensions yet.
const UNSIGNED_BYTES: u32 = 0x0000_0800;

/// The first two bytes of every gzip stream.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The images of an IDX file, without labels.
///
/// # Errors
///
/// Any that concern one file: it cannot be read or decompressed, or it is not just what its header
/// promises.
pub fn read_images(path: impl AsRef<Path>) -> Result<Images, DataError> {
    let path = path.as_ref();
    decode_images(path, &mut open(path)?)
}

/// The labels of an IDX file, of shape (count).
///
/// # Errors
///
/// As for [`read_images`].
pub fn read_labels(path: impl AsRef<Path>) -> Result<Array1<u8>, DataError> {
    let path = path.as_ref();
    decode_labels(path, &mut open(path)?)
}

/// The images of one IDX file with the labels of another.
///
/// # Errors
///
/// As for [`read_images`], and [`DataError::CountsDiffer`] if there is not one label per image.
pub fn read_labelled(
    images: impl AsRef<Path>,
    labels: impl AsRef<Path>,
) -> Result<Images, DataError> {
    let (images, labels) = (images.as_ref(), labels.as_ref());
    decode_labelled((images, &mut open(images)?), (labels, &mut open(labels)?))
}

/// As [`read_labelled`], from what the two files contain; the paths are for the messages.
pub(super) fn decode_labelled(
    (images_path, images): (&Path, &mut dyn BufRead),
    (labels_path, labels): (&Path, &mut dyn BufRead),
) -> Result<Images, DataError> {
    let images = decode_images(images_path, images)?;
    let labels = decode_labels(labels_path, labels)?;
    if images.len() != labels.len() {
        return Err(DataError::CountsDiffer {
            images_path: images_path.to_owned(),
            images: images.len(),
            labels_path: labels_path.to_owned(),
            labels: labels.len(),
        });
    }
    let (height, width) = (images.height(), images.width());
    Images::new(images.into_pixels(), height, width, Some(labels))
}

fn decode_images(path: &Path, file: &mut dyn BufRead) -> Result<Images, DataError> {
    let ([_, height, width], pixels) = decode::<3>(path, file)?;
    let dimensions = height * width;
    let pixels = Array2::from_shape_vec((pixels.len() / dimensions, dimensions), pixels)
        .expect("decode checks the number of pixels");
    Images::new(pixels, height, width, None)
}

fn decode_labels(path: &Path, file: &mut dyn BufRead) -> Result<Array1<u8>, DataError> {
    decode::<1>(path, file).map(|(_, labels)| Array1::from_vec(labels))
}

/// The dimensions and the elements of an IDX file of `D` dimensions: at least one element, and exactly as many as the
/// dimensions say. Decompresses one byte more at most, to notice that the file goes on.
fn decode<const D: usize>(
    path: &Path,
    file: &mut dyn BufRead,
) -> Result<([usize; D], Vec<u8>), DataError> {
    let unreadable = |cause| DataError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    if file.fill_buf().map_err(unreadable)?.starts_with(&GZIP) {
        decode_gzip(path, file)
    } else {
        decode_plain(path, file, &unreadable)
    }
}

/// As [`decode`], from gzip: its checksum is checked, and nothing may follow it but more gzip.
#[cfg(feature = "cli")]
fn decode_gzip<const D: usize>(
    path: &Path,
    file: &mut dyn BufRead,
) -> Result<([usize; D], Vec<u8>), DataError> {
    let bad = |cause| DataError::BadGzip {
        path: path.to_owned(),
        cause,
    };
    decode_plain(path, &mut flate2::bufread::MultiGzDecoder::new(file), &bad)
}

#[cfg(not(feature = "cli"))]
fn decode_gzip<const D: usize>(
    path: &Path,
    _: &mut dyn BufRead,
) -> Result<([usize; D], Vec<u8>), DataError> {
    Err(DataError::GzipNotBuiltIn {
        path: path.to_owned(),
    })
}

/// As [`decode`], from uncompressed bytes. `failed` converts an error in reading them.
fn decode_plain<const D: usize>(
    path: &Path,
    bytes: &mut dyn Read,
    failed: &dyn Fn(io::Error) -> DataError,
) -> Result<([usize; D], Vec<u8>), DataError> {
    let header_length = 4 + 4 * D;
    let header = file::read_at_most(bytes, header_length as u64).map_err(failed)?;
    let dimensions = parse_header::<D>(path, &header)?;

    // Three factors below 2^32 cannot overflow here, and no memory is asked for on the word of a header.
    let expected: u128 = dimensions.iter().map(|&d| u128::from(d)).product();
    let path = path.to_owned();
    let dimensions = dimensions.to_vec();
    if expected == 0 {
        return Err(DataError::NothingInside { path, dimensions });
    }
    let most = u64::try_from(expected + 1).unwrap_or(u64::MAX);
    let elements = file::read_at_most(bytes, most).map_err(failed)?;
    let found = elements.len();
    if (found as u128) < expected {
        return Err(DataError::Truncated {
            path,
            dimensions,
            expected,
            found,
        });
    }
    if (found as u128) > expected {
        return Err(DataError::TrailingBytes {
            path,
            dimensions,
            expected,
            found,
        });
    }
    // No dimension exceeds their product, which is the length of a vector.
    Ok((std::array::from_fn(|i| dimensions[i] as usize), elements))
}

/// The dimensions in the header of an IDX file of `D` dimensions; `header` is shorter if the file is.
fn parse_header<const D: usize>(path: &Path, header: &[u8]) -> Result<[u32; D], DataError> {
    let (words, _) = header.as_chunks::<4>();
    let mut words = words.iter().map(|&word| u32::from_be_bytes(word));
    let expected = UNSIGNED_BYTES + D as u32;
    if let Some(found) = words.next()
        && found != expected
    {
        return Err(DataError::WrongMagic {
            path: path.to_owned(),
            expected,
            found,
        });
    }
    let dimensions: Vec<u32> = words.collect();
    dimensions.try_into().map_err(|_| DataError::ShortHeader {
        path: path.to_owned(),
        expected: 4 + 4 * D,
        found: header.len(),
    })
}

fn open(path: &Path) -> Result<BufReader<File>, DataError> {
    file::open(path).map(BufReader::new)
}
