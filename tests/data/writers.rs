//! Files of every kind, written byte by byte from the formats' specifications: what reads them has no part in it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use elbo::data::{DataError, Dataset, Images, OpenOptions};
use flate2::{
    Compression, Crc,
    write::{DeflateEncoder, ZlibEncoder},
};
use tempfile::{TempDir, tempdir};

/// An array of NumPy: format version 1, the header padded to a multiple of 64 bytes as NumPy does.
pub fn npy(description: &str, fortran_order: bool, shape: &str, elements: &[u8]) -> Vec<u8> {
    let order = if fortran_order { "True" } else { "False" };
    npy_with_header(
        &format!("{{'descr': '{description}', 'fortran_order': {order}, 'shape': {shape}, }}"),
        elements,
    )
}

pub fn npy_with_header(header: &str, elements: &[u8]) -> Vec<u8> {
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(length).unwrap().to_le_bytes());
    bytes.extend(format!("{header:<width$}\n", width = length - 1).bytes());
    bytes.extend(elements);
    bytes
}

/// Bytes of the shape (n, height, width): 0, 1, 2, ...
pub fn counting(n: usize, height: usize, width: usize) -> Vec<u8> {
    let elements: Vec<u8> = (0..n * height * width).map(|i| i as u8).collect();
    npy(
        "|u1",
        false,
        &format!("({n}, {height}, {width})"),
        &elements,
    )
}

/// Labels of eight bytes each, as NumPy makes them of a list.
pub fn labels(labels: &[i64]) -> Vec<u8> {
    let elements: Vec<u8> = labels
        .iter()
        .flat_map(|label| label.to_le_bytes())
        .collect();
    npy("<i8", false, &format!("({},)", labels.len()), &elements)
}

/// How a member of an archive is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Stored,
    Deflated,
}

/// A member of an archive.
pub struct Member<'a> {
    pub name: &'a str,
    pub method: Method,
    pub packed: Vec<u8>,
    /// Checksum and length of what is unpacked.
    pub crc: u32,
    pub size: u32,
}

impl<'a> Member<'a> {
    pub fn of(name: &'a str, method: Method, content: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(content);
        Self {
            name,
            method,
            packed: match method {
                Method::Stored => content.to_vec(),
                Method::Deflated => {
                    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
                    encoder.write_all(content).unwrap();
                    encoder.finish().unwrap()
                }
            },
            crc: crc.sum(),
            size: content.len() as u32,
        }
    }
}

/// An archive of these files.
pub fn zip(method: Method, files: &[(&str, &[u8])]) -> Vec<u8> {
    let members: Vec<Member> = files
        .iter()
        .map(|(name, content)| Member::of(name, method, content))
        .collect();
    archive(&members)
}

/// An archive as `np.savez` and `np.savez_compressed` write it: the sizes in the local headers are those of the zip64
/// field.
pub fn archive(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for member in members {
        let offset = bytes.len() as u32;
        let packed_size = member.packed.len() as u32;
        let name_length = (member.name.len() as u16).to_le_bytes();
        // Version, flags, method, time, date, checksum: alike in both headers.
        let mut start = Vec::new();
        let method = match member.method {
            Method::Stored => 0,
            Method::Deflated => 8,
        };
        for word in [45_u16, 0, method, 0, 0x21] {
            start.extend(word.to_le_bytes());
        }
        start.extend(member.crc.to_le_bytes());

        bytes.extend(b"PK\x03\x04");
        bytes.extend(&start);
        bytes.extend([0xff; 8]);
        bytes.extend(name_length);
        bytes.extend(20_u16.to_le_bytes());
        bytes.extend(member.name.bytes());
        bytes.extend([1, 0, 16, 0]);
        bytes.extend(u64::from(member.size).to_le_bytes());
        bytes.extend(u64::from(packed_size).to_le_bytes());
        bytes.extend(&member.packed);

        directory.extend(b"PK\x01\x02\x2d\x03");
        directory.extend(&start);
        directory.extend(packed_size.to_le_bytes());
        directory.extend(member.size.to_le_bytes());
        directory.extend(name_length);
        directory.extend([0; 12]);
        directory.extend(offset.to_le_bytes());
        directory.extend(member.name.bytes());
    }
    let (count, offset) = ((members.len() as u16).to_le_bytes(), bytes.len() as u32);
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(count);
    bytes.extend(count);
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// What the colours of a PNG image are made of.
#[derive(Clone, Copy)]
pub enum Colour {
    Grey = 0,
    Rgb = 2,
    Palette = 3,
    GreyAlpha = 4,
    Rgba = 6,
}

/// A PNG image of `width` pixels in a line; each of `lines` is packed as the format says, and not filtered. `chunks`
/// come before the pixels, as a palette does.
pub fn png(
    width: u32,
    (colour, depth): (Colour, u8),
    lines: &[&[u8]],
    chunks: &[(&[u8; 4], &[u8])],
) -> Vec<u8> {
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::best());
    for line in lines {
        pixels.write_all(&[0]).unwrap();
        pixels.write_all(line).unwrap();
    }
    let size = (lines.len() as u32, width);
    png_of(size, (colour, depth), chunks, &pixels.finish().unwrap())
}

/// As [`png`], of height and width and of lines that are packed already.
pub fn png_of(
    (height, width): (u32, u32),
    (colour, depth): (Colour, u8),
    chunks: &[(&[u8; 4], &[u8])],
    packed: &[u8],
) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([depth, colour as u8, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut bytes, b"IHDR", &header);
    for (kind, content) in chunks {
        chunk(&mut bytes, kind, content);
    }
    chunk(&mut bytes, b"IDAT", packed);
    chunk(&mut bytes, b"IEND", b"");
    bytes
}

fn chunk(bytes: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    bytes.extend((content.len() as u32).to_be_bytes());
    bytes.extend(kind);
    bytes.extend(content);
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(content);
    bytes.extend(crc.sum().to_be_bytes());
}

/// A grey image of 2 x 3 pixels: `first`, `first + 1`, ...
pub fn small_png(first: u8) -> Vec<u8> {
    let pixels: Vec<u8> = (0..6).map(|i| first + i).collect();
    png(3, (Colour::Grey, 8), &[&pixels[..3], &pixels[3..]], &[])
}

/// An IDX file: the words of the header, then the body.
pub fn idx(header: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend(body);
    bytes
}

/// Writes the four files of a split of EMNIST: two images of 2 x 3 pixels to train on, whose pixels are `first`,
/// `first + 1`, ..., and one to test on.
pub fn write_emnist(folder: &Path, split: &str, first: u8) {
    fs::create_dir_all(folder).unwrap();
    let pixels: Vec<u8> = (0..12).map(|i| first + i).collect();
    for (name, content) in [
        ("train-images-idx3", idx(&[0x803, 2, 2, 3], &pixels)),
        ("train-labels-idx1", idx(&[0x801, 2], &[1, 2])),
        ("test-images-idx3", idx(&[0x803, 1, 2, 3], &pixels[..6])),
        ("test-labels-idx1", idx(&[0x801, 1], &[3])),
    ] {
        fs::write(folder.join(format!("emnist-{split}-{name}-ubyte")), content).unwrap();
    }
}

/// A file of this name, in a folder that lives as long as the first part of the pair.
pub fn file(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join(name);
    write(&path, bytes);
    (folder, path)
}

/// Writes a file, and first the folder for it.
pub fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Half of the images to test on, so that small sets can be split.
pub fn halves() -> OpenOptions {
    OpenOptions {
        test_fraction: Some(0.5),
        ..OpenOptions::default()
    }
}

/// The message of an error: one line, in which all of `words` occur.
pub fn assert_message(error: &DataError, words: &[&str]) {
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

/// Opens what must not be opened: the message names the path and has all of `words`.
pub fn assert_refused(path: &Path, options: &OpenOptions, words: &[&str]) {
    let error = Dataset::open(path, options).unwrap_err();
    assert_message(&error, &[path.to_str().unwrap()]);
    assert_message(&error, words);
}

/// The images of a set and their labels, ordered by their pixels.
pub fn sorted(images: &Images) -> Vec<(Vec<u8>, Option<u8>)> {
    let labels = images.labels();
    let mut sorted: Vec<_> = (0..images.len())
        .map(|i| {
            (
                images.pixels().row(i).to_vec(),
                labels.map(|labels| labels[i]),
            )
        })
        .collect();
    sorted.sort();
    sorted
}

/// All images of a data set and their labels, ordered by their pixels.
pub fn all(data: &Dataset) -> Vec<(Vec<u8>, Option<u8>)> {
    let mut all = [sorted(&data.train), sorted(&data.test)].concat();
    all.sort();
    all
}
