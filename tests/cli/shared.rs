//! Running the command as a person runs it, on small data.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs the command with these arguments.
pub fn elbo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_elbo"))
        .args(arguments)
        .output()
        .expect("the command starts")
}

/// What a command printed.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The command fails with one line on stderr, which is returned.
pub fn refused(arguments: &[&str]) -> String {
    let output = elbo(arguments);
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(
        !output.status.success(),
        "{arguments:?} succeeded: {}",
        stdout(&output)
    );
    assert_eq!(
        stderr.lines().count(),
        1,
        "{arguments:?}: more than one line:\n{stderr}"
    );
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr.trim_end().to_owned()
}

/// A folder of small images: bright squares in one of four places, labelled by the place.
pub fn small_data() -> TempDir {
    let folder = TempDir::new().unwrap();
    for (kind, count) in [("train", 96u32), ("t10k", 40)] {
        write_images(folder.path(), kind, count);
        write_labels(folder.path(), kind, count);
    }
    folder
}

/// An IDX file of `count` images of 8 x 6 pixels, named as those of MNIST.
pub fn write_images(folder: &Path, kind: &str, count: u32) {
    let mut bytes = header(&[0x0803, count, 8, 6]);
    for image in 0..count {
        let (top, left) = (4 * (image % 4 / 2), 3 * (image % 2));
        bytes.extend((0..48).map(|pixel: u32| {
            let (y, x) = (pixel / 6, pixel % 6);
            let inside = (top..top + 4).contains(&y) && (left..left + 3).contains(&x);
            if inside {
                200 + (image % 50) as u8
            } else {
                (image % 20) as u8
            }
        }));
    }
    fs::write(folder.join(format!("{kind}-images-idx3-ubyte")), bytes).unwrap();
}

/// An IDX file of `count` labels.
pub fn write_labels(folder: &Path, kind: &str, count: u32) {
    let mut bytes = header(&[0x0801, count]);
    bytes.extend((0..count).map(|image| (image % 4) as u8));
    fs::write(folder.join(format!("{kind}-labels-idx1-ubyte")), bytes).unwrap();
}

/// The header of an IDX file.
pub fn header(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A tiny run; returns its folder.
pub fn train(data: &Path, out: &Path, more: &[&str]) -> Output {
    let mut arguments = vec![
        "train",
        "--data",
        data.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--epochs",
        "3",
        "--batch",
        "25",
        "--hidden",
        "16",
        "--latent",
        "2",
        "--rate",
        "0.01",
    ];
    arguments.extend(more);
    let output = elbo(&arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The files of a folder: names and contents, sorted.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

/// A trained model, for the commands that take one.
pub fn trained(data: &TempDir) -> (TempDir, PathBuf) {
    let out = TempDir::new().unwrap();
    train(data.path(), out.path(), &[]);
    let model = out.path().join("model.safetensors");
    (out, model)
}
