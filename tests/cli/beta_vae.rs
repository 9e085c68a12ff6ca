//! The β-VAE at the command line: on shapes that are drawn, on images with factors, and without them.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cli::shared::{elbo, files, refused, small_data, stdout};
use crate::data::writers::{Method, npy, zip};

const SMALL: [&str; 10] = [
    "--hidden", "12", "--latent", "3", "--batch", "32", "--rate", "0.01", "--epochs", "2",
];

/// An archive as dSprites': images of 6 x 6 pixels, a bright square of one of two sizes in one of nine places.
fn sprites() -> (TempDir, PathBuf) {
    let (mut images, mut classes) = (Vec::new(), Vec::new());
    for copy in 0..12 {
        for form in 0..18usize {
            let [size, x, y] = [form / 9, form / 3 % 3, form % 3];
            images.extend((0..36).map(|at| {
                let inside = |at: usize, from: usize| (from..from + 2 + size).contains(&at);
                u8::from(inside(at % 6, x) && inside(at / 6, y))
            }));
            classes.extend([0, copy % 2, size, x, y].map(|class| class as i64));
        }
    }
    let count = images.len() / 36;
    let bytes: Vec<u8> = classes
        .iter()
        .flat_map(|class| class.to_le_bytes())
        .collect();
    let archive = zip(
        Method::Deflated,
        &[
            (
                "imgs.npy",
                &npy("|u1", false, &format!("({count}, 6, 6)"), &images),
            ),
            (
                "latents_classes.npy",
                &npy("<i8", false, &format!("({count}, 5)"), &bytes),
            ),
        ],
    );
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sprites.npz");
    fs::write(&path, archive).unwrap();
    (folder, path)
}

fn train(more: &[&str], out: &TempDir) -> String {
    let out = ["--out", out.path().to_str().unwrap()];
    let output = elbo(&[&["train", "beta-vae"], SMALL.as_slice(), more, &out].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{more:?}: {said}");
    stdout(&output)
}

#[test]
fn shapes_are_drawn_and_the_metric_is_printed() {
    let out = TempDir::new().unwrap();
    let said = train(&["--draws", "640"], &out);
    assert!(said.contains("1024-12-3 β-VAE (β = 4)"), "{said}");
    assert!(
        said.contains("640 drawn from 727280 combinations"),
        "{said}"
    );
    assert!(
        said.contains("Higgins' metric:") && said.contains("without shape"),
        "{said}"
    );
    let names: Vec<String> = files(out.path()).into_iter().map(|file| file.0).collect();
    for expected in [
        "elbo.svg",
        "traversals.svg",
        "higgins-metric.svg",
        "samples.png",
        "reconstructions.png",
        "report.html",
    ] {
        assert!(
            names.iter().any(|name| name == expected),
            "{expected}: {names:?}"
        );
    }
    let traversals = fs::read_to_string(out.path().join("traversals.svg")).unwrap();
    assert_eq!(traversals.matches("<image").count(), 3);
    let folder = out.path().to_str().unwrap();
    for command in ["sample", "reconstruct"] {
        let png = out.path().join(format!("{command}-again.png"));
        let output = elbo(&[
            command,
            folder,
            "--count",
            "6",
            "--out",
            png.to_str().unwrap(),
        ]);
        assert!(output.status.success() && png.exists(), "{output:?}");
    }
}

#[test]
fn factors_of_an_archive_are_used() {
    let (_folder, path) = sprites();
    let out = TempDir::new().unwrap();
    train(
        &[
            "--data",
            path.to_str().unwrap(),
            "--capacity",
            "3",
            "--gamma",
            "20",
            "--warm-up",
            "1",
        ],
        &out,
    );
    let report = fs::read_to_string(out.path().join("report.html")).unwrap();
    assert!(report.contains("capacity C, nats") && report.contains("3, rising over 1 epochs"));
    let evaluate = [
        "evaluate",
        out.path().to_str().unwrap(),
        "--images",
        "5",
        "--samples",
        "5",
    ];
    let printed = stdout(&elbo(&evaluate));
    for line in [
        "KL by unit",
        "Higgins' metric in %: all 4 factors, and 3 without the first",
        "this encoder",
        "untrained encoder",
        "pixels",
        "chance             25.0          33.3",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
}

#[test]
fn images_without_factors_do() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    train(&["--data", data.path().to_str().unwrap()], &out);
    assert!(!out.path().join("higgins-metric.svg").exists());
    let evaluate = [
        "evaluate",
        out.path().to_str().unwrap(),
        "--images",
        "5",
        "--samples",
        "5",
    ];
    let printed = stdout(&elbo(&evaluate));
    assert!(
        printed.contains("the factors of these images are not known"),
        "{printed}"
    );
}

#[test]
fn a_resumed_run_ends_in_the_same_bits() {
    let images = small_data();
    for data in [
        &["--data", images.path().to_str().unwrap()][..],
        &["--draws", "96"],
    ] {
        let [whole, halves] = [(); 2].map(|()| TempDir::new().unwrap());
        train(&[data, &["--epochs", "3"]].concat(), &whole);
        train(&[data, &["--epochs", "1"]].concat(), &halves);
        let folder = halves.path().to_str().unwrap();
        let output = elbo(&["train", "--resume", "--out", folder, "--epochs", "3"]);
        assert!(output.status.success(), "{output:?}");
        assert!(
            files(whole.path()) == files(halves.path()),
            "{data:?}: not the same bits"
        );
    }
}

#[test]
fn options_that_do_not_fit_are_refused() {
    for (more, reason) in [
        (&["--size", "48"][..], "expected 32 or 64"),
        (&["--draws", "0"], "from 1 to 268435456"),
        (&["--draws", "1000000000000000"], "from 1 to 268435456"),
        (&["--beta", "2", "--capacity", "3"], "cannot be used with"),
        (&["--gamma", "2"], "--capacity"),
        (&["--beta", "-1"], "from 0 to 1e6"),
    ] {
        let out = TempDir::new().unwrap();
        let folder = out.path().join("run");
        let words = [
            &["train", "beta-vae", "--out", folder.to_str().unwrap()],
            more,
        ]
        .concat();
        let output = elbo(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(reason),
            "{more:?}: {said}"
        );
        assert!(!folder.exists(), "{more:?}");
    }
    let (data, out) = (small_data(), TempDir::new().unwrap());
    for option in [["--size", "32"], ["--draws", "640"]] {
        let folder = out.path().join("run");
        let path = data.path().to_str().unwrap();
        let words = ["train", "beta-vae", "--data", path, "--out"];
        let message = refused(&[&words[..], &[folder.to_str().unwrap()], &option].concat());
        for part in [
            &format!("expected {} without --data", option[0]),
            path,
            "leave out one of the two",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!folder.exists());
    }
    let (_folder, path) = sprites();
    train(&["--data", path.to_str().unwrap(), "--epochs", "1"], &out);
    let other = [
        "evaluate",
        out.path().to_str().unwrap(),
        "--data",
        data.path().to_str().unwrap(),
    ];
    assert!(refused(&other).contains("images of 6x6 pixels"));
}

/// Replaces a part of the description of the model and of the checkpoint in a folder.
fn describe_otherwise(folder: &Path, from: &str, to: &str) {
    // The description is a string in JSON, which stands behind its length and is filled up with spaces.
    let [from, to] = [from, to].map(|part| part.replace('"', "\\\""));
    for name in ["model.safetensors", "checkpoint.safetensors"] {
        let path = folder.join(name);
        let bytes = fs::read(&path).unwrap();
        let (length, rest) = bytes.split_at(8);
        let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let (header, tensors) = rest.split_at(length);
        let header = std::str::from_utf8(header).unwrap();
        assert!(header.contains(&from), "{header}");
        let mut header = header.replace(&from, &to);
        header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
        let length = (header.len() as u64).to_le_bytes();
        fs::write(&path, [&length, header.as_bytes(), tensors].concat()).unwrap();
    }
}

#[test]
fn files_of_older_runs_are_read() {
    // They hold a size and a number of draws beside the path of images, too.
    let (data, out) = (small_data(), TempDir::new().unwrap());
    train(&["--data", data.path().to_str().unwrap()], &out);
    let folder = out.path().to_str().unwrap();
    describe_otherwise(
        out.path(),
        r#""size":null,"draws":null"#,
        r#""size":32,"draws":51200"#,
    );
    let resume = ["train", "--resume", "--out", folder, "--epochs", "3"];
    assert!(elbo(&resume).status.success());
    let evaluate = ["evaluate", folder, "--images", "5", "--samples", "5"];
    assert!(stdout(&elbo(&evaluate)).contains("40 test images"));
}

#[test]
fn a_damaged_number_of_draws_is_refused() {
    for (from, to) in [
        (r#""draws":96"#, r#""draws":1000000000000000"#),
        (r#""size":null"#, r#""size":48"#),
    ] {
        let out = TempDir::new().unwrap();
        train(&["--draws", "96"], &out);
        let folder = out.path().to_str().unwrap();
        describe_otherwise(out.path(), from, to);
        let resume = ["train", "--resume", "--out", folder, "--epochs", "3"];
        for words in [&resume[..], &["evaluate", folder]] {
            let message = refused(words);
            assert!(message.contains("from 1 to 268435456 draws"), "{message}");
        }
    }
}
