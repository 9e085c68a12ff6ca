//! Whatever the bytes: an error is one line that begins with the path, and nothing panics.

use std::{fs, path::Path};

use elbo::data::{DataError, Dataset, idx};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::tempdir;

use super::writers::{Colour, Method, counting, halves, idx, labels, npy, png, small_png, zip};

/// What a reader makes of a file.
type Outcome = Result<(), DataError>;

fn arrays(path: &Path) -> Outcome {
    Dataset::open(path, &halves()).map(drop)
}

fn images(path: &Path) -> Outcome {
    idx::read_images(path).map(drop)
}

/// A folder with a sound image before the damaged one.
fn png_folder(path: &Path) -> Outcome {
    Dataset::open(path.parent().unwrap(), &halves()).map(drop)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A sound file, and what reads it.
struct Sample {
    name: &'static str,
    bytes: Vec<u8>,
    read: fn(&Path) -> Outcome,
}

/// One of each kind.
fn samples() -> Vec<Sample> {
    let images_idx = idx(&[0x803, 3, 2, 3], &[7; 18]);
    let floats: Vec<u8> = (0..12)
        .flat_map(|i| (i as f32 / 12.0).to_be_bytes())
        .collect();
    let floats = npy(">f4", true, "(2, 2, 3)", &floats);
    let (bytes, label) = (counting(4, 2, 3), labels(&[3, 1, 4, 1]));
    let members: [(&str, &[u8]); 2] = [("x.npy", &bytes), ("y.npy", &label)];
    let palette: [(&[u8; 4], &[u8]); 1] = [(b"PLTE", &[9; 24])];
    let indexed = png(3, (Colour::Palette, 8), &[&[0, 1, 7], &[2, 2, 2]], &palette);
    let sample = |name, bytes, read| Sample { name, bytes, read };
    vec![
        sample("images", gzip(&images_idx), images as fn(&Path) -> Outcome),
        sample("images", images_idx, images),
        sample("x.npy", counting(4, 2, 3), arrays),
        sample("x.npy", floats, arrays),
        sample("x.npz", zip(Method::Stored, &members), arrays),
        sample("x.npz", zip(Method::Deflated, &members), arrays),
        sample("2.png", small_png(3), png_folder),
        sample("2.png", indexed, png_folder),
    ]
}

/// Reads what was damaged; whether it was refused.
fn is_refused(path: &Path, bytes: &[u8], read: fn(&Path) -> Outcome, how: &str) -> bool {
    // Some file systems wait for the disk when a file is written over.
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
    let Err(error) = read(path) else {
        return false;
    };
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{how}: {message}");
    let folder = path.parent().unwrap().to_str().unwrap();
    assert!(message.starts_with(folder), "{how}: {message}");
    assert!(!message.chars().any(char::is_control), "{how}: {message:?}");
    true
}

#[test]
fn sound_samples_are_read() {
    for Sample { name, bytes, read } in samples() {
        let folder = tempdir().unwrap();
        fs::write(folder.path().join("1.png"), small_png(0)).unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
        read(&folder.path().join(name)).unwrap();
    }
}

#[test]
fn files_that_end_anywhere_are_refused() {
    for Sample { name, bytes, read } in samples() {
        let folder = tempdir().unwrap();
        fs::write(folder.path().join("1.png"), small_png(0)).unwrap();
        let path = folder.path().join(name);
        for length in 0..bytes.len() {
            let refused = is_refused(
                &path,
                &bytes[..length],
                read,
                &format!("{name} up to {length}"),
            );
            // The chunk at the end of a PNG image, of 12 bytes, says nothing new, nor does the checksum before it.
            let tail = if name == "2.png" { 20 } else { 0 };
            assert!(
                refused || length + tail >= bytes.len(),
                "{name} up to {length} of {}",
                bytes.len()
            );
        }
    }
}

#[test]
fn a_wrong_byte_is_read_or_refused() {
    let mut rng = StdRng::seed_from_u64(1);
    for Sample { name, bytes, read } in samples() {
        let folder = tempdir().unwrap();
        fs::write(folder.path().join("1.png"), small_png(0)).unwrap();
        let path = folder.path().join(name);
        for position in 0..bytes.len() {
            for value in [0, 0xff, bytes[position] ^ 1, rng.random()] {
                let mut damaged = bytes.clone();
                damaged[position] = value;
                is_refused(
                    &path,
                    &damaged,
                    read,
                    &format!("{name}, {value} at {position}"),
                );
            }
        }
    }
}

#[test]
fn several_wrong_bytes_are_read_or_refused() {
    let mut rng = StdRng::seed_from_u64(2);
    for Sample { name, bytes, read } in samples() {
        let folder = tempdir().unwrap();
        fs::write(folder.path().join("1.png"), small_png(0)).unwrap();
        let path = folder.path().join(name);
        for round in 0..500 {
            let mut damaged = bytes.clone();
            for _ in 0..rng.random_range(2..20) {
                let position = rng.random_range(0..damaged.len());
                match rng.random_range(0..4) {
                    0 => damaged[position] = rng.random(),
                    1 => damaged[position] ^= 1 << rng.random_range(0..8),
                    2 => drop(damaged.remove(position)),
                    _ => damaged.insert(position, rng.random()),
                }
            }
            is_refused(&path, &damaged, read, &format!("{name}, round {round}"));
        }
    }
}
