//! Folders that cannot be written to, full disks, closed pipes, and outputs that would replace a model.

use std::fs;
use std::process::Command;

use crate::cli::shared::{elbo, files, refused, small_data, stdout, trained};

#[test]
fn an_unwritable_folder_is_noticed_before_the_work() {
    let data = small_data();
    let file = data.path().join("a-file");
    fs::write(&file, "mine").unwrap();
    let data_path = data.path().to_str().unwrap();
    for out in [file.clone(), file.join("below")] {
        let message = refused(&["train", "--data", data_path, "--out", out.to_str().unwrap()]);
        assert!(message.contains("a-file"), "{message}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    // And nothing was computed first: the heading of the table never came.
    let output = elbo(&[
        "train",
        "--data",
        data_path,
        "--out",
        file.to_str().unwrap(),
    ]);
    assert_eq!(stdout(&output), "");
}

#[test]
fn no_output_replaces_the_model_or_another_output() {
    let data = small_data();
    let (out, model) = trained(&data);
    let before = files(out.path());
    let (data, folder) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
    let detour = format!("{folder}/../{}", out.path().file_name().unwrap().display());
    let detour = format!("{detour}/model.safetensors");
    let (model, both) = (model.to_str().unwrap(), out.path().join("both"));
    let both = both.to_str().unwrap();
    for arguments in [
        vec!["sample", model, "--out", model],
        vec!["sample", folder, "--out", &detour],
        vec!["sample", folder, "--out", both, "--arrays", &detour],
        vec!["sample", folder, "--out", both, "--arrays", both],
        vec!["reconstruct", folder, "--data", data, "--out", model],
        // And what cannot be written takes nothing else along.
        vec![
            "sample",
            folder,
            "--out",
            "/no/such/folder/y",
            "--arrays",
            both,
        ],
    ] {
        let message = refused(&arguments);
        assert!(message.contains("cannot write"), "{message}");
        assert!(files(out.path()) == before, "{arguments:?} left something");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_output_replaces_the_data() {
    let data = small_data();
    let (_out, model) = trained(&data);
    let picture = data.path().join("mine.png");
    fs::write(&picture, "mine").unwrap();
    let [model, folder, file] =
        [model.as_path(), data.path(), &picture].map(|path| path.to_str().unwrap());
    for chosen in [&["--data", folder][..], &[]] {
        let message = refused(&[&["reconstruct", model, "--out", file], chosen].concat());
        assert!(
            message.contains("mine.png") && message.contains("the data"),
            "{message}"
        );
    }
    assert_eq!(fs::read(&picture).unwrap(), b"mine");
}

#[test]
fn a_full_disk_under_stdout_is_an_error_and_a_closed_pipe_is_not() {
    let data = small_data();
    let (out, _) = trained(&data);
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let arguments = [
        "evaluate",
        out.path().to_str().unwrap(),
        "--data",
        data.path().to_str().unwrap(),
        "--samples",
        "2",
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_elbo"))
        .args(arguments)
        .stdout(full)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && stderr.contains("No space left"),
        "{stderr}"
    );

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_elbo"))
        .args(arguments)
        .stdout(writer)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_under_stderr_is_no_panic() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_elbo"))
        .args(["sample", "/no/such/model"])
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}
