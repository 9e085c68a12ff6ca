//! The autoencoders at the command line: what a run leaves, what is measured, and that a run is resumed to the same bits.

use std::fs;

use tempfile::TempDir;

use crate::cli::shared::{elbo, files, refused, small_data, stdout};

/// The models with options for small data.
const MODELS: [&[&str]; 5] = [
    &["autoencoder", "--hidden", "10", "--code", "3"],
    &[
        "denoising",
        "--code",
        "12",
        "--corruption",
        "salt-and-pepper",
    ],
    &["sparse", "--code", "12"],
    &[
        "k-sparse",
        "--code",
        "20",
        "--k",
        "2",
        "--anneal-from",
        "5",
        "--anneal-epochs",
        "2",
    ],
    &["contractive", "--code", "12"],
];

/// Trains and returns what was printed.
fn train(model: &[&str], data: &TempDir, out: &TempDir, more: &[&str]) -> String {
    let run = [
        "--data",
        data.path().to_str().unwrap(),
        "--out",
        out.path().to_str().unwrap(),
        "--batch",
        "25",
        "--rate",
        "0.01",
    ];
    let output = elbo(&[&["train"], model, &run, more].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{model:?}: {said}");
    stdout(&output)
}

#[test]
fn autoencoders_leave_their_reports_and_are_measured() {
    let data = small_data();
    for model in MODELS {
        let out = TempDir::new().unwrap();
        train(model, &data, &out, &["--epochs", "4"]);
        let mut expected = vec![
            "activations.svg",
            "checkpoint.safetensors",
            "error.svg",
            "filters.png",
            "metrics.csv",
            "model.safetensors",
            "reconstructions.png",
            "report.html",
            "singular-values.svg",
        ];
        if model[0] == "denoising" {
            expected.insert(8, "restored.png");
        }
        let names: Vec<String> = files(out.path()).into_iter().map(|file| file.0).collect();
        assert_eq!(names, expected, "{model:?}");

        let report = fs::read_to_string(out.path().join("report.html")).unwrap();
        let unit = match model[0] {
            "autoencoder" | "k-sparse" => "squared error per image",
            _ => "nats per image",
        };
        assert!(report.contains(unit), "{model:?}");
        let metrics = fs::read_to_string(out.path().join("metrics.csv")).unwrap();
        let error = |row: usize| -> f64 {
            let row = metrics.lines().nth(row).unwrap();
            row.split(',').nth(1).unwrap().parse().unwrap()
        };
        assert!(error(4) < error(1), "{model:?}: {metrics}");

        let folder = out.path().to_str().unwrap();
        let printed = stdout(&elbo(&["evaluate", folder]));
        for line in [
            "clean images",
            "a quarter masked",
            "dead units",
            "‖J‖²",
            "a linear classifier",
        ] {
            assert!(printed.contains(line), "{model:?}, {line}: {printed}");
        }
        assert!(!printed.contains("NaN"), "{printed}");
        let saturated = printed.contains("below 0.05 or above 0.95");
        let sigmoid = !matches!(model[0], "autoencoder" | "k-sparse");
        assert_eq!(saturated, sigmoid, "{model:?}: {printed}");

        let picture = out.path().join("pairs.png");
        let output = elbo(&["reconstruct", folder, "--out", picture.to_str().unwrap()]);
        assert!(output.status.success());
        assert!(fs::read(picture).unwrap().starts_with(b"\x89PNG"));
    }
}

#[test]
fn autoencoders_resume_to_the_same_bits() {
    let data = small_data();
    for model in MODELS {
        let [whole, halves] = [(); 2].map(|()| TempDir::new().unwrap());
        train(model, &data, &whole, &["--epochs", "4"]);
        train(model, &data, &halves, &["--epochs", "2"]);
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
fn autoencoders_refuse_what_makes_no_sense() {
    let out = TempDir::new().unwrap();
    let results = out.path().join("results");
    let results = results.to_str().unwrap();
    let wrong: [(&[&str], &str); 8] = [
        (
            &["denoising", "--deviation", "0.2"],
            "--corruption gaussian",
        ),
        (
            &["denoising", "--corruption", "gaussian", "--fraction", "0.2"],
            "--deviation",
        ),
        (&["sparse", "--code-activation", "relu"], "between 0 and 1"),
        (&["k-sparse", "--code", "20", "--k", "21"], "from 1 to 20"),
        (&["k-sparse", "--anneal-from", "10"], "at least --k 25"),
        (&["k-sparse", "--test-k", "2000"], "from 1 to 1000"),
        (
            &["contractive", "--directions", "100000"],
            "at most 65536 directions",
        ),
        (&["autoencoder", "--code", "100000"], "from 1 to 65536"),
    ];
    for (arguments, reason) in wrong {
        let message = refused(&[&["train"], arguments, &["--out", results]].concat());
        assert!(message.contains(reason), "{arguments:?}: {message}");
    }
    assert!(!out.path().join("results").exists());
    for (arguments, reason) in [
        (["denoising", "--fraction", "1.5"], "a number from 0 to 1"),
        (["sparse", "--target", "0"], "0.000001"),
        (["contractive", "--lambda", "-1"], "a number from 0 to 1e6"),
        (["autoencoder", "--loss", "mse"], "squared-error"),
    ] {
        let output = elbo(&[&["train"], &arguments[..]].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(2) && said.contains(reason),
            "{said}"
        );
    }
}

#[test]
fn what_belongs_to_a_vae_is_refused_and_names_are_guessed() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    train(MODELS[2], &data, &out, &["--epochs", "1"]);
    let folder = out.path().to_str().unwrap();
    for option in ["--samples", "--images", "--codes", "--refine"] {
        let message = refused(&["evaluate", folder, option, "5"]);
        assert!(
            message.contains(option) && message.contains("VAE"),
            "{message}"
        );
    }
    let message = refused(&["sample", folder]);
    assert!(message.contains("no prior"), "{message}");
    let message = refused(&["evaluate", "k-sparse"]);
    assert!(message.contains("runs/k-sparse"), "{message}");
    let output = elbo(&["train", "autoencodr"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("did you mean autoencoder?"), "{said}");
}
