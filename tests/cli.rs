//! The command, run as a person runs it: what it leaves, what it says, and what it does with bad input.
#![cfg(feature = "cli")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use elbo::data::{Binarisation, Dataset};
use elbo::distributions::noise::stream;
use elbo::nn::{Parameters, checkpoint};
use elbo::vae::{Activity, Architecture, Codes, Vae, unit_divergences};
use ndarray::{Array2, Axis};
use tempfile::TempDir;

fn elbo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_elbo"))
        .args(arguments)
        .output()
        .expect("the command starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The command fails with one line on stderr, which is returned.
fn refused(arguments: &[&str]) -> String {
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
fn small_data() -> TempDir {
    let folder = TempDir::new().unwrap();
    for (kind, count) in [("train", 96u32), ("t10k", 40)] {
        write_images(folder.path(), kind, count);
        write_labels(folder.path(), kind, count);
    }
    folder
}

fn write_images(folder: &Path, kind: &str, count: u32) {
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

fn write_labels(folder: &Path, kind: &str, count: u32) {
    let mut bytes = header(&[0x0801, count]);
    bytes.extend((0..count).map(|image| (image % 4) as u8));
    fs::write(folder.join(format!("{kind}-labels-idx1-ubyte")), bytes).unwrap();
}

fn header(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A tiny run; returns its folder.
fn train(data: &Path, out: &Path, more: &[&str]) -> Output {
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

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
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
fn trained(data: &TempDir) -> (TempDir, PathBuf) {
    let out = TempDir::new().unwrap();
    train(data.path(), out.path(), &[]);
    let model = out.path().join("model.safetensors");
    (out, model)
}

#[test]
fn training_leaves_everything_and_the_bound_rises() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let output = train(data.path(), out.path(), &["--epochs", "8"]);
    let names: Vec<String> = files(out.path())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let expected = [
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
        let told = elbo(&["evaluate", out, "--data", data, "--samples", "20"]);
        assert!(
            told.status.success(),
            "{choice:?}: {}",
            String::from_utf8_lossy(&told.stderr)
        );
    }
}

#[test]
fn the_model_can_be_evaluated_sampled_and_looked_at() {
    let data = small_data();
    let (out, model) = trained(&data);
    let (data, folder) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
    let told = stdout(&elbo(&[
        "evaluate",
        folder,
        "--data",
        data,
        "--samples",
        "200",
    ]));
    let number = |name: &str| -> f64 {
        let line = told
            .lines()
            .find(|line| line.trim().starts_with(name))
            .expect(&told);
        let rest = line.trim().strip_prefix(name).unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    assert!(
        (number("ELBO") - (number("reconstruction") - number("KL"))).abs() < 2e-3,
        "{told}"
    );
    assert!(number("log p(x)") > number("ELBO"), "{told}");
    let target = TempDir::new().unwrap();
    let at = |name: &str| target.path().join(name).to_str().unwrap().to_owned();
    let model = model.to_str().unwrap();
    let (picture, arrays) = (at("samples.png"), at("samples.safetensors"));
    let sampled = elbo(&[
        "sample", model, "--out", &picture, "--count", "7", "--arrays", &arrays,
    ]);
    assert!(sampled.status.success());
    let reconstructed = elbo(&[
        "reconstruct",
        folder,
        "--data",
        data,
        "--out",
        &at("pairs.png"),
    ]);
    assert!(reconstructed.status.success());
    let written: Vec<String> = files(target.path())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(written, ["pairs.png", "samples.png", "samples.safetensors"]);
    let mut read = Parameters::<f32>::new();
    read.add("z", ndarray::Array2::zeros((7, 2)));
    read.add("mean", ndarray::Array2::zeros((7, 48)));
    checkpoint::read(&fs::read(arrays).unwrap(), &mut read).unwrap();
    assert!(
        read.get("mean")
            .unwrap()
            .iter()
            .all(|&x| x > 0.0 && x < 1.0)
    );
}

#[test]
fn bad_data_is_one_line_and_leaves_nothing() {
    let out = TempDir::new().unwrap();
    let results = out.path().join("results");
    let try_training = |data: &TempDir| {
        let data = data.path().to_str().unwrap();
        let said = refused(&["train", "--data", data, "--out", results.to_str().unwrap()]);
        assert!(!results.exists(), "{said}: something was left behind");
        said
    };

    let data = small_data();
    fs::remove_file(data.path().join("train-labels-idx1-ubyte")).unwrap();
    let said = try_training(&data);
    assert!(said.contains("train-labels-idx1-ubyte"), "{said}");

    let data = small_data();
    let images = data.path().join("train-images-idx3-ubyte");
    let whole = fs::read(&images).unwrap();
    fs::remove_file(&images).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &whole).unwrap();
    let compressed = gzip.finish().unwrap();
    let half = &compressed[..compressed.len() / 2];
    fs::write(data.path().join("train-images-idx3-ubyte.gz"), half).unwrap();
    let said = try_training(&data);
    assert!(
        said.contains("train-images-idx3-ubyte.gz") && said.contains("gzip"),
        "{said}"
    );

    let data = small_data();
    let mut wrong = whole.clone();
    wrong[3] = 1;
    fs::write(data.path().join("train-images-idx3-ubyte"), wrong).unwrap();
    let said = try_training(&data);
    assert!(
        said.contains("magic") && said.contains("0x00000803"),
        "{said}"
    );

    let data = small_data();
    write_labels(data.path(), "train", 95);
    let said = try_training(&data);
    assert!(said.contains("96") && said.contains("95"), "{said}");
}

#[test]
fn an_unwritable_folder_is_noticed_before_the_work() {
    let data = small_data();
    let file = data.path().join("a-file");
    fs::write(&file, "mine").unwrap();
    let data_path = data.path().to_str().unwrap();
    for out in [file.clone(), file.join("below")] {
        let said = refused(&["train", "--data", data_path, "--out", out.to_str().unwrap()]);
        assert!(said.contains("a-file"), "{said}");
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
fn a_diverging_run_stops_and_replaces_nothing() {
    let data = small_data();
    let (out, _) = trained(&data);
    let before = files(out.path());
    let (data, folder) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
    let said = refused(&[
        "train", "--data", data, "--out", folder, "--rate", "1e30", "--hidden", "16",
    ]);
    assert!(
        said.contains("diverged") && said.contains("learning rate"),
        "{said}"
    );
    assert!(
        files(out.path()) == before,
        "a failed run touched the results of a good one"
    );
    // In the only step that there is.
    let said = refused(&[
        "train", "--data", data, "--out", folder, "--rate", "1e30", "--hidden", "16", "--epochs",
        "1", "--batch", "1000",
    ]);
    assert!(said.contains("diverged"), "{said}");
    assert!(
        files(out.path()) == before,
        "a failed run touched the results of a good one"
    );
}

#[test]
fn bad_models_are_one_line() {
    let data = small_data();
    let (out, model) = trained(&data);
    let bytes = fs::read(&model).unwrap();
    let other = out.path().join("other.safetensors");
    let picture = out.path().join("picture.png");
    let refuse = |bytes: &[u8]| {
        fs::write(&other, bytes).unwrap();
        let said = refused(&[
            "sample",
            other.to_str().unwrap(),
            "--out",
            picture.to_str().unwrap(),
        ]);
        assert!(said.contains("other.safetensors"), "{said}");
        assert!(!picture.exists());
        said
    };

    let said = refuse(&bytes[..bytes.len() - 5]);
    assert!(said.contains("only a part"), "{said}");
    let said = refuse(b"");
    assert!(said.contains("expected a safetensors file"), "{said}");
    let said = refuse(b"\xff\xff\xff\xff\xff\xff\xff\x7fnonsense");
    assert!(said.contains("expected a safetensors file"), "{said}");

    // The description of one architecture around the weights of another.
    let described = checkpoint::description(&bytes).unwrap();
    let wider = described.replace("\"hidden\":[16]", "\"hidden\":[17]");
    assert_ne!(described, wider);
    let mut weights = Parameters::<f32>::new();
    for (name, shape) in [
        ("encoder.0.weight", vec![16, 48]),
        ("encoder.0.bias", vec![16]),
        ("encoder.2.weight", vec![4, 16]),
        ("encoder.2.bias", vec![4]),
        ("decoder.0.weight", vec![16, 2]),
        ("decoder.0.bias", vec![16]),
        ("decoder.2.weight", vec![48, 16]),
        ("decoder.2.bias", vec![48]),
    ] {
        weights.add(name, ndarray::ArrayD::<f32>::zeros(shape));
    }
    checkpoint::read(&bytes, &mut weights).expect("these are the names and shapes of the file");
    let said = refuse(&checkpoint::write(&weights, &wider));
    assert!(
        said.contains("another architecture") && said.contains("[17, 48]"),
        "{said}"
    );
    let said = refuse(&checkpoint::write(&weights, "not JSON"));
    assert!(
        said.contains("expected a model that `elbo train` wrote"),
        "{said}"
    );
    let huge = described.replace("\"hidden\":[16]", "\"hidden\":[1000000000000]");
    let said = refuse(&checkpoint::write(&weights, &huge));
    assert!(said.contains("widths"), "{said}");
    let deeper = described.replace("\"hidden\":[16]", "\"hidden\":[16,16]");
    let said = refuse(&checkpoint::write(&weights, &deeper));
    assert!(said.contains("another architecture"), "{said}");
    let later = described.replace("\"format\":1", "\"format\":2");
    let said = refuse(&checkpoint::write(&weights, &later));
    assert!(said.contains("another version"), "{said}");
    weights
        .set("encoder.0.bias", ndarray::Array1::from_elem(16, f32::NAN))
        .unwrap();
    let said = refuse(&checkpoint::write(&weights, &described));
    assert!(
        said.contains("encoder.0.bias") && said.contains("NaN"),
        "{said}"
    );

    // Images of another size than the model's.
    let said = refused(&["evaluate", model.to_str().unwrap()]);
    assert!(said.contains("8x6") && said.contains("28x28"), "{said}");
    let said = refused(&["sample", "/no/such/model"]);
    assert!(said.contains("/no/such/model"), "{said}");
}

#[test]
fn mistyped_arguments_are_explained() {
    let wrong: [(&[&str], &str); 9] = [
        (&["train", "--rate", "-1"], "a number greater than 0"),
        (&["train", "--epochs", "-1"], "a whole number from 1 up"),
        (&["train", "--epoch", "3"], "--epochs"),
        (&["train", "--epochs", "0"], "a whole number from 1 up"),
        (&["train", "--rate", "NaN"], "a number greater than 0"),
        (&["train", "--likelihood", "gauss"], "gaussian"),
        (&["train", "--binarise", "maybe"], "stochastic"),
        (&["train", "--activation", "gelu"], "softplus"),
        (&["train", "--hidden", "400,,3"], "a whole number from 1 up"),
    ];
    for (arguments, explanation) in wrong {
        let output = elbo(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(explanation), "{arguments:?}: {stderr}");
    }
}

#[test]
fn the_help_teaches() {
    for command in ["train", "evaluate", "sample", "reconstruct", "figures"] {
        let output = elbo(&[command, "--help"]);
        assert!(output.status.success());
        assert!(
            stdout(&output).contains("Usage: elbo"),
            "{}",
            stdout(&output)
        );
    }
    assert!(stdout(&elbo(&["train", "--help"])).contains("report.html"));
}

#[cfg(target_os = "linux")]
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

#[test]
fn a_huge_number_of_epochs_is_no_panic() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let (data, out) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
    let epochs = usize::MAX.to_string();
    // It diverges at once, or the test would never end.
    let said = refused(&[
        "train", "--data", data, "--out", out, "--epochs", &epochs, "--rate", "1e30",
    ]);
    assert!(said.contains("diverged"), "{said}");
}

#[test]
fn images_that_no_model_could_be_read_for_are_refused_before_the_work() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    for kind in ["train", "t10k"] {
        let mut images = header(&[0x0803, 2, 257, 256]);
        images.resize(images.len() + 2 * 257 * 256, 7);
        fs::write(
            data.path().join(format!("{kind}-images-idx3-ubyte")),
            images,
        )
        .unwrap();
        write_labels(data.path(), kind, 2);
    }
    let results = out.path().join("results");
    let (data, out) = (data.path().to_str().unwrap(), results.to_str().unwrap());
    let said = refused(&["train", "--data", data, "--out", out, "--hidden", "4"]);
    assert!(said.contains("257x256") && said.contains("65536"), "{said}");
    assert!(!results.exists());
}

#[test]
fn sizes_that_no_machine_holds_are_refused_before_the_work() {
    let data = small_data();
    let (out, model) = trained(&data);
    let results = out.path().join("results");
    let picture = out.path().join("picture.png");
    let (data, model) = (data.path().to_str().unwrap(), model.to_str().unwrap());
    for count in ["100000000", "10000000000", "18446744073709551615"] {
        let picture = picture.to_str().unwrap();
        let said = refused(&["sample", model, "--count", count, "--out", picture]);
        assert!(said.contains(count) && said.contains("too large"), "{said}");
    }
    for (option, value, reason) in [
        ("--samples", "100000000000", "65536"),
        ("--samples", "9223372036854775807", "65536"),
        ("--samples", "65536", "too many at once"),
        ("--hidden", "65536,65536", "too many weights"),
    ] {
        let results = results.to_str().unwrap();
        let said = refused(&["train", "--data", data, "--out", results, option, value]);
        assert!(said.contains(reason), "{said}");
    }
    assert!(!results.exists() && !picture.exists());
}

#[test]
fn descriptions_of_huge_models_are_refused_before_the_work() {
    let data = small_data();
    let (out, model) = trained(&data);
    let bytes = fs::read(&model).unwrap();
    let described = checkpoint::description(&bytes).unwrap();
    let other = out.path().join("other.safetensors");
    for (from, to, reason) in [
        ("\"hidden\":[16]", "\"hidden\":[65536,65536]", "weights"),
        ("\"hidden\":[16]", "\"hidden\":[8000,8000]", "too small"),
        ("\"samples\":1", "\"samples\":1000000000000000", "65536"),
        ("\"samples\":1", "\"samples\":65536", "too many at once"),
    ] {
        let changed = described.replace(from, to);
        assert_ne!(described, changed);
        let mut weights = Parameters::<f32>::new();
        weights.add("encoder.0.bias", ndarray::Array1::zeros(16));
        fs::write(&other, checkpoint::write(&weights, &changed)).unwrap();
        let said = refused(&["sample", other.to_str().unwrap()]);
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn one_image_has_no_spread() {
    let data = small_data();
    let (out, _) = trained(&data);
    let (data, out) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
    let arguments = [
        "evaluate",
        out,
        "--data",
        data,
        "--samples",
        "5",
        "--refine",
        "3",
    ];
    let told = |images: &str| stdout(&elbo(&[&arguments[..], &["--images", images]].concat()));
    let line = |told: &str, name: &str| {
        let found = told
            .lines()
            .skip_while(|line| !line.contains("the first"))
            .find(|line| line.trim_start().starts_with(name));
        found.unwrap_or_else(|| panic!("{told}")).to_owned()
    };
    let (one, two) = (told("1"), told("2"));
    assert!(!one.contains("NaN") && !one.contains("inf"), "{one}");
    for name in ["ELBO", "log p(x)", "gap", "amortisation gap"] {
        assert!(!line(&one, name).contains('±'), "{one}");
        assert!(line(&two, name).contains('±'), "{two}");
    }
}

#[test]
fn evaluation_takes_the_divergence_apart() {
    let data = small_data();
    let (out, _) = trained(&data);
    let (data, out) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
    let told = |codes: &str| {
        stdout(&elbo(&[
            "evaluate",
            out,
            "--data",
            data,
            "--samples",
            "5",
            "--codes",
            codes,
        ]))
    };
    let number = |told: &str, name: &str| -> f64 {
        let lines = told
            .lines()
            .skip_while(|line| !line.contains("the codes of"));
        let mut rest = lines.filter_map(|line| line.trim_start().strip_prefix(name));
        let rest = rest.next().unwrap_or_else(|| panic!("{told}"));
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    let several = told("4");
    // Each of the three is printed to a thousandth.
    let parts = number(&several, "KL(q̄‖p)") + number(&several, "I(n; z)");
    assert!(
        (parts - number(&several, "KL  ")).abs() < 1.6e-3,
        "{several}"
    );
    assert!(number(&several, "I(n; z)") <= 4f64.ln() + 0.01, "{several}");
    let one = told("1");
    assert_eq!(number(&one, "I(n; z)"), 0.0, "{one}");
    assert_eq!(number(&one, "KL(q̄‖p)"), number(&one, "KL  "), "{one}");
    assert!(!one.contains("NaN") && !one.contains("inf"), "{one}");
    assert!(one.contains("active units       —"), "{one}");
}

#[test]
fn evaluation_tells_each_unit() {
    let data = small_data();
    let (out, model) = trained(&data);
    let bytes = fs::read(&model).unwrap();
    let mut parameters = Parameters::<f32>::new();
    let architecture = Architecture {
        dimensions: 48,
        hidden: vec![16],
        latent: 2,
        ..Architecture::default()
    };
    let vae = Vae::new(architecture, &mut parameters, &mut stream(1, "weights", 0));
    checkpoint::read(&bytes, &mut parameters).unwrap();
    // The same, but that the first unit's mean, the first row of the encoder's last layer, does not see the image.
    let mut blind = Parameters::new();
    for (name, value) in parameters.iter() {
        let mut value = value.to_owned().into_owned();
        if value.shape() == [4, 16] {
            value.index_axis_mut(Axis(0), 0).fill(0.0);
        }
        blind.add(name, value);
    }
    let other = out.path().join("blind.safetensors");
    let description = checkpoint::description(&bytes).unwrap();
    fs::write(&other, checkpoint::write(&blind, &description)).unwrap();

    let images = Dataset::from_folder(data.path()).unwrap().test;
    let all: Vec<usize> = (0..images.len()).collect();
    let x: Array2<f32> = images.batch(&all, Binarisation::None, &mut stream(1, "view", 0));
    for (file, parameters, most) in [(&model, &parameters, 2), (&other, &blind, 1)] {
        let codes = Codes::of(&vae, parameters, x.view());
        let codes = Codes {
            means: codes.means.mapv(f64::from),
            log_variances: codes.log_variances.mapv(f64::from),
        };
        let activity = Activity::of(codes.means.view()).unwrap();
        assert!(activity.active() <= most);
        let divergences = unit_divergences(&codes).unwrap();
        let units: Vec<String> = (0..2)
            .map(|unit| match activity.is_active(unit) {
                true => format!("{:.2}", divergences[unit]),
                false => format!("({:.2})", divergences[unit]),
            })
            .collect();
        let (file, data) = (file.to_str().unwrap(), data.path().to_str().unwrap());
        let told = stdout(&elbo(&[
            "evaluate",
            file,
            "--data",
            data,
            "--samples",
            "2",
            "--binarise",
            "none",
        ]));
        let active = format!("active units  {:6} of 2 ", activity.active());
        let listed = format!("KL by unit        {}", units.join(" "));
        assert!(told.contains(&active) && told.contains(&listed), "{told}");
    }
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
        let said = refused(&arguments);
        assert!(said.contains("cannot write"), "{said}");
        assert!(files(out.path()) == before, "{arguments:?} left something");
    }
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
    let quoted = r"it&#39;\&#39;&#39;s sp ace&#39; --epochs";
    assert!(
        text.contains("--data &#39;/") && text.contains(quoted),
        "{text}"
    );
}

#[test]
fn options_without_effect_or_sense_are_refused() {
    let out = TempDir::new().unwrap();
    let results = out.path().join("results");
    let results = results.to_str().unwrap();
    let said = refused(&["train", "--out", results, "--deviation", "0.2"]);
    assert!(said.contains("--likelihood gaussian"), "{said}");
    for deviation in ["1e-300", "1e300"] {
        let arguments = [
            "train",
            "--out",
            results,
            "--likelihood",
            "gaussian",
            "--deviation",
        ];
        let output = elbo(&[&arguments[..], &[deviation]].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains("from 1e-6 to 1e6"), "{stderr}");
    }
    assert!(!Path::new(results).exists());
}

#[test]
fn a_line_break_in_a_path_is_no_line_break_in_the_message() {
    let said = refused(&["sample", "/no/such\nmodel"]);
    assert!(said.contains("/no/such\\nmodel"), "{said}");
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

#[test]
fn the_figures_of_the_notes_are_those_that_the_code_draws() {
    let drawn = |folder: &TempDir| {
        let output = elbo(&["figures", "--out", folder.path().to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
        files(folder.path())
    };
    let (once, again) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let figures = drawn(&once);
    assert_eq!(figures, drawn(&again), "not the same bytes each time");

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/figures");
    let committed = match folder.exists() {
        true => files(&folder),
        false => Vec::new(),
    };
    let advice = "`cargo run --release -- figures` redraws docs/figures; look at them";
    let names = |figures: &[(String, Vec<u8>)]| -> Vec<String> {
        figures.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&committed), names(&figures), "{advice}");
    for ((name, old), (_, new)) in committed.iter().zip(&figures) {
        assert!(same_picture(old, new), "{name} is stale: {advice}");
    }
}

/// Whether two pictures differ in nothing but the last digit of coordinates, which are tenths of a pixel: another
/// processor may round the sum of a thousand numbers in another way.
fn same_picture(a: &[u8], b: &[u8]) -> bool {
    let parts = |svg: &[u8]| -> (Vec<f64>, Vec<String>) {
        let text = String::from_utf8(svg.to_vec()).unwrap();
        let number = |c: char| c.is_ascii_digit() || c == '.';
        let between = text.split(number).filter(|part| !part.is_empty());
        let numbers = text
            .split(|c| !number(c))
            .filter_map(|part| part.parse().ok());
        (numbers.collect(), between.map(str::to_owned).collect())
    };
    let ((a, words), (b, others)) = (parts(a), parts(b));
    let near = |(a, b): (&f64, &f64)| (a - b).abs() < 0.15;
    words == others && a.len() == b.len() && a.iter().zip(&b).all(near)
}
