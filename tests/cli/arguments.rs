//! Options that are mistyped, without effect or too large are refused before the work, and the help teaches.

use std::path::Path;

use tempfile::TempDir;

use crate::cli::shared::{elbo, refused, small_data, stdout, trained};

#[test]
fn mistyped_arguments_are_explained() {
    let wrong: [(&[&str], &str); 15] = [
        (&["train", "--rate", "-1"], "a number greater than 0"),
        (&["train", "--epochs", "-1"], "a positive whole number"),
        (&["train", "--epoch", "3"], "--epochs"),
        (&["train", "--epochs", "0"], "a positive whole number"),
        (&["train", "--rate", "NaN"], "a number greater than 0"),
        (&["train", "--likelihood", "gauss"], "gaussian"),
        (&["train", "--binarise", "maybe"], "stochastic"),
        (&["train", "--activation", "gelu"], "softplus"),
        (&["train", "--hidden", "400,,3"], "a positive whole number"),
        (&["train", "--seed", "-1"], "a whole number from 0 to"),
        (&["sample", "--seed", "-1"], "a whole number from 0 to"),
        (&["train", "--beta", "-1"], "a number from 0 to 1e6"),
        (&["train", "--beta", "NaN"], "a number from 0 to 1e6"),
        (&["train", "--patience", "0"], "a positive whole number"),
        (&["train", "--threads", "100000000"], "from 1 to 1024"),
    ];
    for (arguments, explanation) in wrong {
        let output = elbo(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(explanation), "{arguments:?}: {stderr}");
    }
}

#[test]
fn options_without_effect_or_sense_are_refused() {
    let out = TempDir::new().unwrap();
    let results = out.path().join("results");
    let results = results.to_str().unwrap();
    let message = refused(&["train", "--out", results, "--deviation", "0.2"]);
    assert!(message.contains("--likelihood gaussian"), "{message}");
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
    let output = elbo(&["train", "vea"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2)
            && message.contains("a model (vae")
            && message.contains("`vea`"),
        "{message}"
    );
    let data = small_data();
    let (_out, model) = trained(&data);
    let model = model.to_str().unwrap();
    for command in ["sample", "reconstruct"] {
        let message = refused(&[command, model, "--out", "sheet.jpg"]);
        assert!(message.contains("ends in .png"), "{message}");
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

#[test]
fn a_huge_number_of_epochs_is_no_panic() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let (data, out) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
    let epochs = usize::MAX.to_string();
    // It diverges at once, or the test would never end.
    let message = refused(&[
        "train", "--data", data, "--out", out, "--epochs", &epochs, "--rate", "1e30",
    ]);
    assert!(message.contains("diverged"), "{message}");
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
        let message = refused(&["sample", model, "--count", count, "--out", picture]);
        assert!(
            message.contains(count) && message.contains("too large"),
            "{message}"
        );
    }
    for (option, value, reason) in [
        ("--samples", "100000000000", "65536"),
        ("--samples", "9223372036854775807", "65536"),
        ("--samples", "65536", "too many at once"),
        ("--hidden", "65536,65536", "too many weights"),
    ] {
        let results = results.to_str().unwrap();
        let message = refused(&["train", "--data", data, "--out", results, option, value]);
        assert!(message.contains(reason), "{message}");
    }
    assert!(!results.exists() && !picture.exists());
}

#[test]
fn a_line_break_in_a_path_is_no_line_break_in_the_message() {
    let message = refused(&["sample", "/no/such\nmodel"]);
    assert!(message.contains("/no/such\\nmodel"), "{message}");
}

#[test]
fn the_models_are_listed_and_what_shells_and_manuals_want_is_written() {
    let output = elbo(&["models"]);
    assert!(stdout(&output).contains("vae") && stdout(&output).contains("vae-elbo"));
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&elbo(&["completions", shell]));
        assert!(
            script.contains("--keep-best") || script.contains("keep-best"),
            "{shell}"
        );
    }
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("man");
    let output = elbo(&["man", pages.to_str().unwrap()]);
    assert!(stdout(&output).contains("pages in"));
    let page = std::fs::read_to_string(pages.join("elbo-train-vae.1")).unwrap();
    assert!(page.contains("warm\\-up") && page.contains("patience"));
}
