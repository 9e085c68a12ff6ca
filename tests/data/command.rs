//! The options of the command line.

use std::{
    path::Path,
    process::{Command, Output},
};

use tempfile::tempdir;

use super::writers::{Method, counting, labels, small_png, write, write_emnist, zip};

fn elbo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_elbo"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Trains a tiny model, and returns the page of results.
fn report(data: &Path, options: &[&str]) -> String {
    let out = tempdir().unwrap();
    let tiny = [
        "--epochs", "1", "--hidden", "2", "--latent", "2", "--batch", "4",
    ];
    let paths = [
        "train",
        "--data",
        data.to_str().unwrap(),
        "--out",
        out.path().to_str().unwrap(),
    ];
    let output = elbo(&[&paths[..], &tiny, options].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let page = std::fs::read_to_string(out.path().join("report.html")).unwrap();
    // Each word of the command is an element of its own.
    page.replace("<span>", "").replace("</span>", "")
}

/// The one line on which a command is refused.
fn refused(arguments: &[&str]) -> String {
    let output = elbo(arguments);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn every_kind_of_data_trains_and_the_report_has_the_command() {
    let folder = tempdir().unwrap();
    let archive = folder.path().join("some digits.npz");
    let label: Vec<i64> = (0..10).collect();
    let members: [(&str, &[u8]); 2] = [("x.npy", &counting(10, 4, 4)), ("y.npy", &labels(&label))];
    write(&archive, &zip(Method::Deflated, &members));
    let page = report(&archive, &["--test-fraction", "0.3"]);
    assert!(page.contains("7 training and 3 test images of 4x4 pixels"));
    assert!(page.contains("A variational autoencoder on some digits"));
    assert!(page.contains("some digits.npz&#39; --test-fraction 0.3 --binarise none --epochs 1"));

    let letters = folder.path().join("emnist");
    write_emnist(&letters, "letters", 0);
    write_emnist(&letters, "digits", 0);
    let page = report(&letters, &["--split", "letters"]);
    assert!(page.contains("A variational autoencoder on EMNIST letters"));
    assert!(page.contains("emnist --split letters --binarise none --epochs 1"));

    for i in 0..10 {
        write(
            &folder.path().join(format!("faces/{i}.png")),
            &small_png(20 * i),
        );
    }
    let page = report(&folder.path().join("faces"), &[]);
    assert!(page.contains("on faces: 9 training and 1 test images of 2x3 pixels"));
    assert!(page.contains("faces --binarise none --epochs 1"));
}

#[test]
fn bad_data_is_one_line() {
    let folder = tempdir().unwrap();
    let letters = folder.path().join("emnist");
    write_emnist(&letters, "letters", 0);
    write_emnist(&letters, "digits", 0);
    let letters = letters.to_str().unwrap();
    let said = refused(&["train", "--data", letters]);
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.contains("add --split digits"), "{said}");
    let said = refused(&[
        "evaluate",
        "--data",
        letters,
        "--split",
        "letters",
        "--test-fraction",
        "0.1",
    ]);
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
}

#[test]
fn options_without_data_and_fractions_out_of_range_are_refused() {
    for option in ["--split", "--test-fraction"] {
        let value = if option == "--split" {
            "letters"
        } else {
            "0.1"
        };
        let said = refused(&["train", option, value]);
        assert!(said.contains("--data <PATH>"), "{said}");
    }
    for value in ["0", "1", "-0.1", "1.5", "nan", "some"] {
        let said = refused(&["train", "--data", "x.npy", "--test-fraction", value]);
        assert!(said.contains("greater than 0 and less than 1"), "{said}");
    }
}
