//! What `elbo train` leaves, and that a seed gives the same bits on any number of threads.

use std::fs;

use tempfile::TempDir;

use crate::cli::shared::{
    elbo, files, header, refused, small_data, stdout, train, trained, write_images, write_labels,
};

#[test]
fn leaves_everything_and_the_bound_rises() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let output = train(data.path(), out.path(), &["--epochs", "8"]);
    let names: Vec<String> = files(out.path())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let expected = [
        "checkpoint.safetensors",
        "elbo.svg",
        "interpolation.png",
        "latent-plane.svg",
        "manifold.png",
        "metrics.csv",
        "model.safetensors",
        "reconstructions.png",
        "report.html",
        "samples.png",
    ];
    assert_eq!(names, expected);
    for (name, bytes) in files(out.path())
        .iter()
        .filter(|(name, _)| name.ends_with(".png"))
    {
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 200, "{name}");
    }
    let metrics = fs::read_to_string(out.path().join("metrics.csv")).unwrap();
    let rows: Vec<Vec<&str>> = metrics
        .lines()
        .map(|line| line.split(',').collect())
        .collect();
    assert_eq!(
        rows[0][..3],
        ["epoch", "train_elbo", "train_reconstruction"]
    );
    assert_eq!(rows.len(), 9);
    let number = |row: usize, column: usize| rows[row][column].parse::<f64>().unwrap();
    assert!(
        number(8, 1) > number(1, 1) && number(8, 4) > number(1, 4),
        "{metrics}"
    );
    for row in 1..=8 {
        assert!(
            (number(row, 4) - (number(row, 5) - number(row, 6))).abs() < 2e-4,
            "{metrics}"
        );
    }
    let report = fs::read_to_string(out.path().join("report.html")).unwrap();
    assert!(report.contains("data:image/png;base64,") && report.contains("<svg"));
    assert!(stdout(&output).contains("8/8"), "{}", stdout(&output));
    assert!(
        !stdout(&output).contains('\r'),
        "a bar, though stdout is no terminal"
    );
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let data = small_data();
    let outs: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    train(data.path(), outs[0].path(), &["--binarise", "stochastic"]);
    train(data.path(), outs[1].path(), &["--binarise", "stochastic"]);
    train(
        data.path(),
        outs[2].path(),
        &["--binarise", "stochastic", "--seed", "2"],
    );
    assert!(
        files(outs[0].path()) == files(outs[1].path()),
        "two runs of one seed differ"
    );
    let model = |out: &TempDir| fs::read(out.path().join("model.safetensors")).unwrap();
    assert!(
        model(&outs[0]) != model(&outs[2]),
        "two seeds give the same weights"
    );
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    // Large enough for the products and the loops to be split.
    let data = TempDir::new().unwrap();
    for (kind, count) in [("train", 300u32), ("t10k", 20)] {
        let mut images = header(&[0x0803, count, 28, 28]);
        images.extend((0..count * 784).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8));
        fs::write(
            data.path().join(format!("{kind}-images-idx3-ubyte")),
            images,
        )
        .unwrap();
        write_labels(data.path(), kind, count);
    }
    let models: Vec<Vec<u8>> = ["1", "2", "3", "7"]
        .map(|threads| {
            let out = TempDir::new().unwrap();
            let more = [
                "--threads",
                threads,
                "--batch",
                "128",
                "--hidden",
                "400",
                "--latent",
                "20",
            ];
            train(data.path(), out.path(), &more);
            fs::read(out.path().join("model.safetensors")).unwrap()
        })
        .into();
    assert!(models.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn pictures_of_an_earlier_run_do_not_stay() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    train(data.path(), out.path(), &[]);
    assert!(out.path().join("manifold.png").exists());
    train(data.path(), out.path(), &["--latent", "3"]);
    assert!(!out.path().join("manifold.png").exists());
}

#[test]
fn every_choice_of_model_trains() {
    let data = small_data();
    let choices: [&[&str]; 5] = [
        &[
            "--likelihood",
            "gaussian",
            "--deviation",
            "0.3",
            "--latent",
            "3",
        ],
        &["--likelihood", "gaussian-learned", "--activation", "tanh"],
        &["--kl", "monte-carlo", "--samples", "3"],
        &["--hidden", "none", "--binarise", "threshold"],
        &["--hidden", "12,8", "--activation", "softplus"],
    ];
    for choice in choices {
        let out = TempDir::new().unwrap();
        train(data.path(), out.path(), choice);
        let (data, out) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
        let output = elbo(&["evaluate", out, "--data", data, "--samples", "20"]);
        assert!(
            output.status.success(),
            "{choice:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn a_diverging_run_stops_and_replaces_nothing() {
    let data = small_data();
    let (out, _) = trained(&data);
    let before = files(out.path());
    let (data, folder) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
    let message = refused(&[
        "train", "--data", data, "--out", folder, "--rate", "1e30", "--hidden", "16",
    ]);
    assert!(
        message.contains("diverged") && message.contains("learning rate"),
        "{message}"
    );
    assert!(
        files(out.path()) == before,
        "a failed run touched the results of a good one"
    );
    // In the only step that there is.
    let message = refused(&[
        "train", "--data", data, "--out", folder, "--rate", "1e30", "--hidden", "16", "--epochs",
        "1", "--batch", "1000",
    ]);
    assert!(message.contains("diverged"), "{message}");
    assert!(
        files(out.path()) == before,
        "a failed run touched the results of a good one"
    );
}

#[test]
fn the_command_in_the_report_can_be_typed() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let spaced = data.path().join("it's sp ace");
    fs::create_dir(&spaced).unwrap();
    for (kind, count) in [("train", 96), ("t10k", 40)] {
        write_images(&spaced, kind, count);
        write_labels(&spaced, kind, count);
    }
    train(&spaced, out.path(), &[]);
    let report = fs::read_to_string(out.path().join("report.html")).unwrap();
    let text = report.replace("<span>", "").replace("</span>", "");
    let quoted = r"it&#39;\&#39;&#39;s sp ace&#39; --binarise";
    assert!(
        text.contains("--data &#39;/") && text.contains(quoted),
        "{text}"
    );
}
