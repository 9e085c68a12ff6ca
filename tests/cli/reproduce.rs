//! `elbo reproduce` on small data.

use std::fs;

use tempfile::TempDir;

use crate::cli::shared::{elbo, refused, small_data, stdout};

/// Runs `elbo reproduce` and returns what it printed.
fn reproduce(table: &str, data: &TempDir, out: &TempDir, more: &[&str]) -> String {
    let (data, out) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
    let words = ["reproduce", table, "--data", data, "--out", out];
    let output = elbo(&[&words, more].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    stdout(&output)
}

#[test]
fn a_row_of_the_autoencoders_is_trained_once() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let more = ["--only", "deep", "--epochs", "1"];
    let first = reproduce("autoencoders", &data, &out, &more);
    assert!(
        first.contains("Trained in") && first.contains("reference"),
        "{first}"
    );
    let model = out.path().join("deep/model.safetensors");
    let written = fs::metadata(&model).unwrap().modified().unwrap();
    let second = reproduce("autoencoders", &data, &out, &more);
    assert!(
        !second.contains("Trained in") && second.contains("ours"),
        "{second}"
    );
    assert_eq!(fs::metadata(&model).unwrap().modified().unwrap(), written);
}

#[test]
fn a_row_that_was_interrupted_is_resumed() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let more = ["--only", "deep", "--epochs", "2"];
    reproduce("autoencoders", &data, &out, &more);
    let folder = out.path().join("deep");
    let whole = fs::read(folder.join("model.safetensors")).unwrap();
    // The state of a run of more epochs, as a kill would leave it.
    let resumed = [
        "train",
        "--resume",
        "--epochs",
        "3",
        "--out",
        folder.to_str().unwrap(),
    ];
    assert!(elbo(&resumed).status.success());
    assert!(fs::read(folder.join("model.safetensors")).unwrap() != whole);
    // A finished row is not trained again, and one of another number of epochs is not taken for this one.
    let longer = ["--only", "deep", "--epochs", "3"];
    let printed = reproduce("autoencoders", &data, &out, &longer);
    assert!(!printed.contains("Trained in"), "{printed}");
    let [data, out] = [&data, &out].map(|folder| folder.path().to_str().unwrap());
    let other = ["reproduce", "autoencoders", "--data", data, "--out", out];
    let said = refused(&[other.as_slice(), &more].concat());
    assert!(said.contains("another number of epochs"), "{said}");
}

#[test]
fn the_codes_are_measured_under_each_prior() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let more = ["--only", "vae,vq-vae-2", "--epochs", "1"];
    let printed = reproduce("codes", &data, &out, &more);
    for part in [
        "vae: elbo train vae --hidden 512 --latent 20 --binarise stochastic --epochs 1",
        "ours       bound -",
        "vq-vae-2: elbo train vq-vae-2 --binarise stochastic --epochs 1",
        "bounds: uniform -",
        "a prior fitted afterwards, 10 epochs: bound -",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert!(!printed.contains("vq-vae-gradient"), "{printed}");
    // The costs of the lower codes, given the upper ones and alone, are those of 12 codes of 64: at most about the uniform one.
    let (_, costs) = printed.split_once("lower codes ").unwrap();
    let cost = |text: &str| -> f64 { text.split(' ').next().unwrap().parse().unwrap() };
    let (given, rest) = costs.split_once(" given the upper ones, ").unwrap();
    let uniform = 12.0 * 64.0f64.ln();
    for cost in [cost(given), cost(rest)] {
        assert!((0.0..=uniform + 5.0).contains(&cost), "{cost}: {printed}");
    }
}

#[test]
fn the_stack_is_trained_layer_by_layer_and_once() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let more = [
        "--hidden",
        "9,7",
        "--pretraining-epochs",
        "1",
        "--epochs",
        "2",
    ];
    let first = reproduce("stacked", &data, &out, &more);
    assert!(
        first.contains("Nets 48-9-7-4 on 80 images, 16 for validation"),
        "{first}"
    );
    assert!(
        first.contains("stacked denoising autoencoders, layer 2 of 2, epoch 1/1"),
        "{first}"
    );
    assert!(first.contains("1.28") && first.contains("1.40"), "{first}");
    // The table is the same from what is there already, and for a row alone.
    let table = |printed: &str| printed.split_once("errors in %").unwrap().1.to_owned();
    let second = reproduce("stacked", &data, &out, &more);
    assert!(!second.contains("epoch"), "{second}");
    assert_eq!(table(&first), table(&second));
    let row = reproduce(
        "stacked",
        &data,
        &out,
        &[&more[..], &["--only", "denoising"]].concat(),
    );
    let line = row
        .lines()
        .find(|line| line.starts_with("stacked denoising"))
        .unwrap();
    assert!(first.contains(line), "{row}");
    // Other options are another training.
    let other = [
        "reproduce",
        "stacked",
        "--data",
        data.path().to_str().unwrap(),
        "--out",
        out.path().to_str().unwrap(),
        "--hidden",
        "9,7",
        "--pretraining-epochs",
        "2",
    ];
    let said = String::from_utf8(elbo(&other).stderr).unwrap();
    assert!(said.contains("choose another --out"), "{said}");
}

#[test]
fn the_help_lists_tables_and_rows() {
    let help = stdout(&elbo(&["reproduce", "--help"]));
    for name in [
        "autoencoders",
        "beta-vae",
        "capacity-25",
        "codes",
        "stacked",
        "k-sparse-annealed",
        "vq-vae-gradient",
    ] {
        assert!(help.contains(name), "{name}: {help}");
    }
    let output = elbo(&["reproduce", "stacked", "--only", "denoise"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && said.contains("denoising"),
        "{said}"
    );
}

#[test]
fn a_row_of_the_beta_vae_is_a_model_for_each_seed() {
    let output = elbo(&["reproduce", "beta-vae", "--draws", "1000000000000000"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("from 1 to 268435456"), "{said}");
    let out = TempDir::new().unwrap();
    let words = ["reproduce", "beta-vae", "--only", "beta-4", "--seeds", "1"];
    let quick = [
        "--epochs", "1", "--draws", "128", "--points", "200", "--out",
    ];
    let folder = out.path().to_str().unwrap();
    let output = elbo(&[&words[..], &quick, &[folder]].concat());
    assert!(output.status.success(), "{output:?}");
    let printed = stdout(&output);
    for part in [
        "Trained in",
        "beta-4:",
        "reference  metric 79.1",
        "untrained: metric",
        "pixels: metric",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert!(out.path().join("beta-4-seed-1/report.html").exists());
}
