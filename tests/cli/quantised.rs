//! VQ-VAE and VQ-VAE-2 at the command line: what a run leaves, that it is resumed to the same bits, and what is refused.

use std::fs;

use tempfile::TempDir;

use crate::cli::shared::{elbo, files, small_data, stdout};

/// The models with options for small data: moving averages with codes that die, codes by gradient, two levels.
const MODELS: [&[&str]; 3] = [
    &[
        "vq-vae",
        "--hidden",
        "10",
        "--positions",
        "3",
        "--codes",
        "8",
        "--width",
        "2",
    ],
    &[
        "vq-vae",
        "--hidden",
        "none",
        "--positions",
        "2",
        "--codes",
        "4",
        "--codebook",
        "gradient",
    ],
    &[
        "vq-vae-2",
        "--hidden",
        "10",
        "--positions",
        "3",
        "--upper",
        "1",
        "--codes",
        "4",
    ],
];

fn train(model: &[&str], data: &TempDir, out: &TempDir, epochs: &str) {
    let data = data.path().to_str().unwrap();
    let out = out.path().to_str().unwrap();
    let run = [
        "--data", data, "--out", out, "--batch", "25", "--rate", "0.01", "--epochs", epochs,
    ];
    let output = elbo(&[&["train"], model, &run].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{model:?}: {said}");
}

#[test]
fn codes_from_a_table_leave_their_reports_and_are_measured() {
    let data = small_data();
    for model in MODELS {
        let out = TempDir::new().unwrap();
        train(model, &data, &out, "6");
        let names: Vec<String> = files(out.path()).into_iter().map(|file| file.0).collect();
        for expected in [
            "bound.svg",
            "samples.png",
            "reconstructions.png",
            "report.html",
            "model.safetensors",
        ] {
            assert!(
                names.iter().any(|name| name == expected),
                "{model:?}: {names:?}"
            );
        }
        let metrics = fs::read_to_string(out.path().join("metrics.csv")).unwrap();
        let bound = |row: usize| -> f64 {
            let row = metrics.lines().nth(row).unwrap();
            row.split(',').nth(1).unwrap().parse().unwrap()
        };
        assert!(bound(6) > bound(1), "{model:?}: {metrics}");

        let folder = out.path().to_str().unwrap();
        let output = elbo(&["evaluate", folder]);
        let printed = stdout(&output);
        for line in [
            "reconstruction",
            "uniform",
            "learnt, code by code",
            "codes in use",
            "perplexity",
        ] {
            assert!(printed.contains(line), "{model:?}, {line}: {printed}");
        }
        assert!(!printed.contains("NaN"), "{printed}");
        for command in ["sample", "reconstruct"] {
            let picture = out.path().join("picture.png");
            let output = elbo(&[command, folder, "--out", picture.to_str().unwrap()]);
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(fs::read(picture).unwrap().starts_with(b"\x89PNG"));
        }
    }
}

#[test]
fn codebooks_resume_to_the_same_bits() {
    let data = small_data();
    for model in MODELS {
        let [whole, halves] = [(); 2].map(|()| TempDir::new().unwrap());
        train(model, &data, &whole, "4");
        train(model, &data, &halves, "2");
        let folder = halves.path().to_str().unwrap();
        let output = elbo(&["train", "--resume", "--out", folder, "--epochs", "4"]);
        assert!(output.status.success());
        assert!(
            files(whole.path()) == files(halves.path()),
            "{model:?}: not the same bits"
        );
    }
}

#[test]
fn codes_that_make_no_sense_are_refused() {
    for (arguments, reason) in [
        (&["vq-vae", "--codes", "0"][..], "a positive whole number"),
        (&["vq-vae", "--decay", "1"], "less than 1"),
        (&["vq-vae", "--commitment", "-1"], "from 0"),
        (&["vq-vae-2", "--upper", "16"], "expected fewer, found 16"),
        (&["vq-vae-2", "--hidden", "none"], "expected --hidden"),
        (
            &["vq-vae", "--positions", "60000", "--codes", "60000"],
            "too many",
        ),
    ] {
        let out = TempDir::new().unwrap();
        let folder = out.path().join("run");
        let output = elbo(&[&["train"], arguments, &["--out", folder.to_str().unwrap()]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(reason), "{arguments:?}: {said}");
        assert!(!folder.exists(), "{arguments:?}");
    }
}

#[test]
fn a_diverging_run_says_so() {
    let data = small_data();
    let out = TempDir::new().unwrap();
    let folder = out.path().join("run");
    let (data, folder) = (data.path().to_str().unwrap(), folder.to_str().unwrap());
    for rate in ["1e20", "1e38"] {
        let run = [
            "--data", data, "--out", folder, "--rate", rate, "--batch", "25",
        ];
        let output = elbo(&[&["train"], MODELS[0], &run].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("diverged"),
            "{rate}: {said}"
        );
        assert!(!said.contains("panicked"), "{said}");
    }
}
