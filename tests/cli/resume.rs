//! A training that was interrupted or killed goes on to the same bits.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use super::shared::{elbo, files, refused, small_data, stdout};

/// A run of some length: 100 epochs of 4 steps.
const EPOCHS: &str = "100";

fn arguments<'a>(data: &'a Path, out: &'a Path) -> Vec<&'a str> {
    let (data, out) = (data.to_str().unwrap(), out.to_str().unwrap());
    let model = [
        "--hidden",
        "16",
        "--latent",
        "2",
        "--binarise",
        "stochastic",
    ];
    let run = [
        "--epochs",
        EPOCHS,
        "--batch",
        "25",
        "--rate",
        "0.01",
        "--keep-best",
    ];
    [&["train", "--data", data, "--out", out][..], &model, &run].concat()
}

fn start(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_elbo"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts")
}

/// Sends a signal to a program, which may be gone already.
fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let _ = Command::new("kill").args([name, &pid]).status();
}

fn resume(out: &Path) -> Output {
    let output = elbo(&["train", "--resume", "--out", out.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    output
}

/// The folder of an uninterrupted run, and how long it took.
fn uninterrupted(data: &Path) -> (TempDir, Duration) {
    let out = TempDir::new().unwrap();
    let started = Instant::now();
    let output = elbo(&arguments(data, out.path()));
    assert!(output.status.success());
    (out, started.elapsed())
}

fn assert_same(found: &Path, expected: &Path, what: &str) {
    let (found, expected) = (files(found), files(expected));
    let names = |files: &[(String, Vec<u8>)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&found), names(&expected), "{what}");
    for ((name, found), (_, expected)) in found.iter().zip(&expected) {
        assert!(found == expected, "{what}: {name} differs");
    }
}

/// `ELBO_KILLS=200 cargo test killed_at_any_moment -- --nocapture` is the whole campaign.
#[test]
fn a_run_that_is_killed_at_any_moment_goes_on_to_the_same_bits() {
    let kills: usize = std::env::var("ELBO_KILLS").map_or(5, |count| count.parse().unwrap());
    let data = small_data();
    let (expected, duration) = uninterrupted(data.path());
    let mut rng = StdRng::seed_from_u64(51);
    let (mut resumed, mut killed) = (0, 0);
    while killed < kills {
        let out = TempDir::new().unwrap();
        let checkpoint = out.path().join("checkpoint.safetensors");
        // Killed again and again, until it comes through.
        loop {
            let child = match checkpoint.exists() {
                true => {
                    resumed += 1;
                    let (out, threads) = (out.path().to_str().unwrap(), resumed % 3 + 1);
                    let threads = threads.to_string();
                    start(&["train", "--resume", "--out", out, "--threads", &threads])
                }
                false => start(&arguments(data.path(), out.path())),
            };
            sleep(duration.mul_f64(rng.random_range(0.0..1.05)));
            signal(&child, "-KILL");
            let output = child.wait_with_output().unwrap();
            if output.status.success() {
                break;
            }
            assert_eq!(output.status.code(), None, "killed, not failed: {output:?}");
            killed += 1;
        }
        assert_same(
            out.path(),
            expected.path(),
            &format!("after {killed} kills"),
        );
    }
    println!("killed {killed} times, taken up again {resumed} times, the same bits every time");
}

#[test]
fn ctrl_c_and_sigterm_end_the_run_after_the_step_with_everything_written() {
    let data = small_data();
    let (expected, duration) = uninterrupted(data.path());
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let out = TempDir::new().unwrap();
        let child = start(&arguments(data.path(), out.path()));
        let checkpoint: PathBuf = out.path().join("checkpoint.safetensors");
        let started = Instant::now();
        while !checkpoint.exists() && started.elapsed() < Duration::from_secs(20) {
            sleep(duration.mul_f64(0.01));
        }
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let said = stdout(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(
            said.contains("Interrupted after") && said.contains("--resume"),
            "{said}"
        );
        let names: Vec<String> = files(out.path())
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let finished: Vec<String> = files(expected.path())
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, finished);
        // A model that can be used, and a run that can be taken up.
        let sheet = out.path().join("sheet.png");
        let folder = out.path().to_str().unwrap();
        assert!(
            elbo(&["sample", folder, "--out", sheet.to_str().unwrap()])
                .status
                .success()
        );
        fs::remove_file(sheet).unwrap();
        resume(out.path());
        assert_same(out.path(), expected.path(), name);
    }
}

#[test]
fn a_finished_run_can_be_lengthened() {
    let data = small_data();
    let short = |out: &Path, epochs: &str| {
        let words = arguments(data.path(), out);
        let words: Vec<&str> = (words.into_iter())
            .map(|word| if word == EPOCHS { epochs } else { word })
            .collect();
        assert!(elbo(&words).status.success());
    };
    let (out, expected) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    short(out.path(), "3");
    short(expected.path(), "5");
    let folder = out.path().to_str().unwrap();
    let output = elbo(&["train", "--resume", "--out", folder, "--epochs", "5"]);
    assert!(output.status.success());
    assert_same(out.path(), expected.path(), "3 epochs and 2 more");
    let said = refused(&["train", "--resume", "--out", folder, "--epochs", "4"]);
    assert!(said.contains("less than the 5 epochs"), "{said}");
    // Nothing is left to do: the results are written anew, to the same bits.
    resume(out.path());
    assert_same(out.path(), expected.path(), "no epoch more");
}

#[test]
fn a_run_that_is_killed_in_its_first_epoch_is_not_mistaken_for_an_earlier_one() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let (expected, duration) = uninterrupted(data.path());
    let other_seed = [&arguments(data.path(), out.path())[..], &["--seed", "7"]].concat();
    assert!(elbo(&other_seed).status.success());
    let checkpoint = out.path().join("checkpoint.safetensors");
    let earlier = fs::read(&checkpoint).unwrap();
    let child = start(&arguments(data.path(), out.path()));
    while fs::read(&checkpoint).unwrap() == earlier {
        sleep(duration.mul_f64(1e-4));
    }
    signal(&child, "-KILL");
    child.wait_with_output().unwrap();
    resume(out.path());
    assert_same(out.path(), expected.path(), "the later run");
}

#[test]
fn a_path_that_is_no_text_is_refused_before_the_work() {
    use std::os::unix::ffi::OsStrExt;
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let odd = data.path().join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    fs::create_dir(&odd).unwrap();
    for entry in fs::read_dir(data.path()).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), odd.join(entry.file_name())).unwrap();
        }
    }
    let output = Command::new(env!("CARGO_BIN_EXE_elbo"))
        .args(["train", "--epochs", "1", "--hidden", "4", "--out"])
        .arg(out.path())
        .arg("--data")
        .arg(&odd)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.lines().count() == 1,
        "{said}"
    );
    assert!(
        said.contains("UTF-8") && files(out.path()).is_empty(),
        "{said}"
    );
}

#[test]
fn what_cannot_be_taken_up_is_explained() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let folder = out.path().to_str().unwrap();
    let said = refused(&["train", "--resume", "--out", folder]);
    assert!(
        said.contains("no run to resume") && said.contains("checkpoint"),
        "{said}"
    );
    let mut words = arguments(data.path(), out.path());
    words.retain(|word| *word != EPOCHS && *word != "--epochs");
    words.extend(["--epochs", "2"]);
    assert!(elbo(&words).status.success());
    let said = refused(&["train", "--resume", "--out", folder, "--batch", "7"]);
    assert!(said.contains("leave out --batch"), "{said}");

    // Other data than those of the run.
    let images = data.path().join("train-images-idx3-ubyte");
    let mut bytes = fs::read(&images).unwrap();
    bytes[100] ^= 1;
    fs::write(&images, bytes).unwrap();
    let said = refused(&["train", "--resume", "--out", folder]);
    assert!(said.contains("other data"), "{said}");

    // A checkpoint that was cut short.
    let checkpoint = out.path().join("checkpoint.safetensors");
    let bytes = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, &bytes[..bytes.len() / 2]).unwrap();
    let said = refused(&["train", "--resume", "--out", folder]);
    assert!(
        said.contains("checkpoint.safetensors") && said.contains("only a part"),
        "{said}"
    );
}

#[test]
fn training_stops_early_when_asked_to() {
    let (data, out) = (small_data(), TempDir::new().unwrap());
    let mut words = arguments(data.path(), out.path());
    words.extend(["--patience", "3"]);
    let output = elbo(&words);
    let said = stdout(&output);
    assert!(
        output.status.success() && said.contains("has not fallen since epoch"),
        "{said}"
    );
    let metrics = fs::read_to_string(out.path().join("metrics.csv")).unwrap();
    let losses: Vec<f64> = (metrics.lines().skip(1))
        .map(|line| -line.split(',').nth(4).unwrap().parse::<f64>().unwrap())
        .collect();
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let at = losses.iter().position(|&loss| loss == best).unwrap();
    assert_eq!(losses.len(), at + 1 + 3);
    assert!(
        said.contains(&format!("those of epoch {}, the best", at + 1)),
        "{said}"
    );
    let folder = out.path().to_str().unwrap();
    let said = refused(&["train", "--resume", "--out", folder, "--epochs", "200"]);
    assert!(said.contains("stopped early"), "{said}");
    // There is nothing to go on with.
    resume(out.path());
    let again = fs::read_to_string(out.path().join("metrics.csv")).unwrap();
    assert_eq!(metrics, again);
}

/// No file may grow beyond so many blocks of 512 bytes: a disk that is full after so much.
fn with_limit(blocks: u32, arguments: &[&str]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    Command::new("sh")
        .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_elbo")])
        .args(arguments)
        .output()
        .expect("a shell")
}

#[test]
fn a_second_run_that_finds_the_disk_full_leaves_the_results_of_the_first() {
    let data = small_data();
    let out = TempDir::new().unwrap();
    let (data, folder) = (data.path().to_str().unwrap(), out.path().to_str().unwrap());
    let run = |seed| -> Vec<&str> {
        let model = [
            "--hidden", "16", "--latent", "2", "--epochs", "2", "--batch", "25",
        ];
        [
            &["train", "--data", data, "--out", folder, "--seed", seed][..],
            &model,
        ]
        .concat()
    };
    assert!(elbo(&run("1")).status.success());
    let results = || -> Vec<(String, Vec<u8>)> {
        let files = files(out.path()).into_iter();
        files
            .filter(|(name, _)| name != "checkpoint.safetensors")
            .collect()
    };
    let first = results();
    let sizes = first.iter().map(|(_, bytes)| bytes.len() as u32 / 512);
    // Just too little for each of the files, and for the checkpoint.
    let mut limits: Vec<u32> = sizes.chain([0, 1, 8, 40]).collect();
    limits.sort_unstable();
    limits.dedup();
    let mut refusals = 0;
    for blocks in limits {
        let output = with_limit(blocks, &run("2"));
        if output.status.success() {
            assert!(results() != first, "the second run's own");
            break;
        }
        refusals += 1;
        let said = String::from_utf8(output.stderr).unwrap();
        let errors: Vec<&str> = (said.lines())
            .filter(|line| !line.starts_with("warning: "))
            .collect();
        assert_eq!(errors.len(), 1, "{blocks}: {said}");
        assert!(errors[0].starts_with("error: cannot write"), "{said}");
        assert!(
            results() == first,
            "{blocks} blocks: results of two runs, or none"
        );
    }
    assert!(refusals >= 4, "{refusals}");
}
