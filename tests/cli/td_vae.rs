//! TD-VAE at the command line: what a run leaves, that it is resumed to the same bits, and what is refused.

use std::fs;

use elbo::autoencoders::{TdStructure, TdVae};
use elbo::distributions::noise::stream;
use elbo::nn::{Parameters, checkpoint};
use elbo::vae::Likelihood;
use ndarray::Array1;
use tempfile::TempDir;

use crate::cli::shared::{elbo, files, header, refused, small_data, stdout, write_labels};

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
            "--size and --binarise belong",
        ),
        (
            &["--sequence", "linear-gaussian", "--binarise", "none"],
            "--binarise belong",
        ),
        (
            &[
                "--sequence",
                "linear-gaussian",
                "--sequences",
                "1000000000000",
            ],
            "--sequences may be from 1 to",
        ),
        (
            &[
                "--sequence",
                "linear-gaussian",
                "--sequences",
                "2",
                "--frames",
                "4096",
                "--belief",
                "8",
                "--units",
                "300",
                "--pairs",
                "1",
            ],
            "too many",
        ),
        (
            &["--log-variance", "-2"],
            "--log-variance belongs to --sequence linear-gaussian",
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

/// Images so flat or so narrow that they have no half.
#[test]
fn images_without_a_half_stay_as_they_are() {
    let data = TempDir::new().unwrap();
    for kind in ["train", "t10k"] {
        let mut bytes = header(&[0x0803, 40, 1, 8]);
        bytes.extend((0..40 * 8u32).map(|pixel| if pixel % 11 < 3 { 255 } else { 0 }));
        fs::write(data.path().join(format!("{kind}-images-idx3-ubyte")), bytes).unwrap();
        write_labels(data.path(), kind, 40);
    }
    let out = TempDir::new().unwrap();
    train(&["--frames", "6"], &data, &out, "1");
    let [data, folder] = [&data, &out].map(|folder| folder.path().to_str().unwrap());
    assert!(stdout(&elbo(&["evaluate", folder])).contains("jump 4: bound"));
    let other = out.path().join("other");
    let command = ["train", "td-vae", "--size", "4", "--data", data, "--out"];
    let said = refused(&[&command[..], &[other.to_str().unwrap()]].concat());
    assert!(said.contains("no half: expected 8, found 4"), "{said}");
}

/// A jump beyond the middle of a sequence starts earlier.
#[test]
fn long_jumps_end_within_the_sequence() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let sequence = ["--size", "6", "--frames", "20", "--jumps", "14"];
    train(&sequence, &data, &out, "1");
    let printed = stdout(&elbo(&["evaluate", out.path().to_str().unwrap()]));
    assert!(
        printed.contains("direction right after 14 frames, 6 having been seen"),
        "{printed}"
    );
}

#[test]
fn damaged_beliefs_are_one_line() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    train(SEQUENCES[2], &data, &out, "1");
    let said = refused(&[
        "evaluate",
        out.path().to_str().unwrap(),
        "--binarise",
        "none",
    ]);
    assert!(said.contains("--binarise belong"), "{said}");
    let bytes = fs::read(out.path().join("model.safetensors")).unwrap();
    let structure = TdStructure {
        dimensions: 1,
        hidden: Vec::new(),
        belief: 6,
        latent: 2,
        units: 5,
        likelihood: Likelihood::GaussianLearned,
        jumps: (1, 2),
        ..TdStructure::default()
    };
    let mut parameters = Parameters::new();
    TdVae::new(structure, &mut parameters, &mut stream(1, "weights", 0));
    checkpoint::read(&bytes, &mut parameters).unwrap();
    let description = checkpoint::description(&bytes).unwrap();
    let other = out.path().join("other.safetensors");
    // A description that asks for more sequences than there is room for.
    let greedy = description.replace("\"sequences\":60", "\"sequences\":1000000000000");
    assert_ne!(greedy, description);
    fs::write(&other, checkpoint::write(&parameters, &greedy)).unwrap();
    let said = refused(&["evaluate", other.to_str().unwrap()]);
    assert!(said.contains("--sequences may be from 1 to"), "{said}");
    for number in [200.0, f32::NAN] {
        let bias = Array1::from_elem(4, number);
        parameters.set("smoother.0.2.bias", bias).unwrap();
        fs::write(&other, checkpoint::write(&parameters, &description)).unwrap();
        let said = refused(&["evaluate", other.to_str().unwrap()]);
        assert!(said.contains("NaN or infinite"), "{number}: {said}");
    }
}
