//! TD-VAE at the command line: what a run leaves, that it is resumed to the same bits, and what is refused.

use std::fs;

use tempfile::TempDir;

use crate::cli::shared::{elbo, files, refused, small_data, stdout};

/// Networks for small data.
const SMALL: [&str; 8] = [
    "--belief", "6", "--latent", "2", "--units", "5", "--pairs", "2",
];

/// Rolling images with two layers of latents, moving ones, and numbers.
const SEQUENCES: [&[&str]; 3] = [
    &[
        "--sequence",
        "rolling",
        "--size",
        "6",
        "--frames",
        "9",
        "--hidden",
        "8",
        "--layers",
        "2",
        "--jumps",
        "1..2",
    ],
    &[
        "--sequence",
        "moving",
        "--canvas",
        "9",
        "--frames",
        "6",
        "--hidden",
        "8",
        "--jumps",
        "2",
        "--binarise",
        "stochastic",
    ],
    &[
        "--sequence",
        "linear-gaussian",
        "--sequences",
        "60",
        "--frames",
        "8",
        "--jumps",
        "1..2",
    ],
];

fn train(sequence: &[&str], data: &TempDir, out: &TempDir, epochs: &str) {
    let data = ["--data", data.path().to_str().unwrap()];
    let data = match sequence.contains(&"linear-gaussian") {
        true => &[][..],
        false => &data,
    };
    let out = out.path().to_str().unwrap();
    let run = [
        "--out", out, "--batch", "25", "--rate", "0.01", "--epochs", epochs,
    ];
    let output = elbo(&[&["train", "td-vae"], sequence, &SMALL, data, &run].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{sequence:?}: {said}");
}

#[test]
fn sequences_leave_their_reports_and_are_measured() {
    let data = small_data();
    for sequence in SEQUENCES {
        let out = TempDir::new().unwrap();
        train(sequence, &data, &out, "6");
        let is_numbers = sequence.contains(&"linear-gaussian");
        let first = if is_numbers {
            "prediction.svg"
        } else {
            "roll-outs.png"
        };
        let names: Vec<String> = files(out.path()).into_iter().map(|file| file.0).collect();
        for expected in [first, "bound.svg", "uncertainty.svg", "report.html"] {
            assert!(
                names.iter().any(|name| name == expected),
                "{sequence:?}: {names:?}"
            );
        }
        let metrics = fs::read_to_string(out.path().join("metrics.csv")).unwrap();
        let bound = |row: usize| -> f64 {
            let row = metrics.lines().nth(row).unwrap();
            row.split(',').nth(1).unwrap().parse().unwrap()
        };
        assert!(bound(6) > bound(1), "{sequence:?}: {metrics}");

        let folder = out.path().to_str().unwrap();
        let printed = stdout(&elbo(&["evaluate", folder]));
        let is_rolling = sequence.contains(&"rolling");
        assert_eq!(printed.contains("direction right"), is_rolling, "{printed}");
        assert_eq!(
            printed.contains("gap of the bound"),
            is_numbers,
            "{printed}"
        );
        let lines = printed.lines().filter(|line| line.contains("jump "));
        assert_eq!(
            lines.count(),
            if sequence.contains(&"2") && !is_rolling && !is_numbers {
                1
            } else {
                2
            }
        );
        assert!(!printed.contains("NaN"), "{printed}");

        let picture = out.path().join("picture.png");
        let command = ["sample", folder, "--count", "12", "--columns", "4"];
        let output = elbo(&[&command[..], &["--out", picture.to_str().unwrap()]].concat());
        if is_numbers {
            assert!(!output.status.success() && !picture.exists());
        } else {
            assert!(stdout(&output).contains("3 roll-outs of 3 frames"));
            assert!(fs::read(picture).unwrap().starts_with(b"\x89PNG"));
        }
        let said = refused(&["reconstruct", folder]);
        assert!(said.contains("roll-outs"), "{said}");
    }
}

#[test]
fn beliefs_resume_to_the_same_bits() {
    let data = small_data();
    for sequence in SEQUENCES {
        let [whole, halves] = [(); 2].map(|()| TempDir::new().unwrap());
        train(sequence, &data, &whole, "4");
        train(sequence, &data, &halves, "2");
        let folder = halves.path().to_str().unwrap();
        let output = elbo(&["train", "--resume", "--out", folder, "--epochs", "4"]);
        assert!(output.status.success());
        assert!(
            files(whole.path()) == files(halves.path()),
            "{sequence:?}: not the same bits"
        );
    }
}

#[test]
fn sequences_that_make_no_sense_are_refused() {
    for (arguments, reason) in [
        (&["--jumps", "0"][..], "1..4"),
        (&["--jumps", "4..1"], "1..4"),
        (&["--jumps", "1..20"], "jumps from 1 to 19"),
        (&["--frames", "1"], "--frames may be from 2"),
        (&["--size", "20"], "expected 28 or 14, found 20"),
        (&["--canvas", "64"], "--canvas belongs to --sequence moving"),
        (
            &["--sequence", "moving", "--canvas", "9"],
            "expected from 14",
        ),
        (&["--sequences", "9"], "linear-gaussian"),
        (
            &["--sequence", "linear-gaussian", "--size", "14"],
            "--size belong",
        ),
        (&["--log-variance", "-21"], "from -20 to 20"),
        (&["--layers", "0"], "a positive whole number"),
        (&["--belief", "60000", "--pairs", "60000"], "too many"),
    ] {
        let out = TempDir::new().unwrap();
        let folder = out.path().join("run");
        let out = ["--out", folder.to_str().unwrap()];
        let output = elbo(&[&["train", "td-vae"], arguments, &out].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(reason), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        assert!(!folder.exists(), "{arguments:?}");
    }
}

#[test]
fn a_row_of_the_table_is_trained_and_measured() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let [data, folder] = [&data, &out].map(|folder| folder.path().to_str().unwrap());
    let row = ["reproduce", "td-vae", "--only", "rolling", "--epochs", "1"];
    let output = elbo(&[&row[..], &["--data", data, "--out", folder]].concat());
    let printed = stdout(&output);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for line in ["jump 1: bound", "jump 4: bound", "reference"] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
}
