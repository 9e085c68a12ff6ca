//! The exercises: a line to change, and the tests that turn red.
//!
//! That the line is in the source and the tests exist is checked each time. That they turn red is tried, change by change,
//! by
//!
//! ```sh
//! cargo test --test library -- --ignored every_answer_is_right --nocapture
//! ```
//!
//! or, for the sections whose names contain a word, `EXERCISES=vae#posterior cargo test …`.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::example::{only_defect, with};
use super::page::{Section, parse_page, resolve, sections};
use super::repository::{Files, chapters, read_repository, text_of};

/// One exercise of a section.
struct Exercise {
    line: usize,
    /// The file to change.
    file: String,
    /// A line of it, without its indentation, and what is put in its place.
    old: String,
    new: String,
    /// The tests that the answer says turn red, seen from the section's module.
    red: Vec<String>,
    /// How many turn red: those named, and "and 2 more".
    count: usize,
    /// The answer is "Red: nothing.": the lesson is what stays green.
    is_nothing: bool,
}

/// The exercises of a section: "In [`file`](…) change", a block, "to", a block, and an answer that begins with "Red:".
fn exercises(page: &str, section: &Section) -> Vec<Exercise> {
    let text = section.lines.join("\n");
    let mut found = Vec::new();
    for (start, _) in text.match_indices("**Exercise.** In [") {
        let rest = &text[start..];
        let blocks = parse_page(rest).blocks;
        let changed = blocks.iter().filter(|block| block.language == "text");
        let lines: Vec<String> = changed.map(|block| block.lines.join("\n")).collect();
        let target = rest
            .split_once("](")
            .and_then(|(_, rest)| rest.split_once(')'));
        let answer = rest.split_once("\nRed: ").map_or("", |(_, rest)| rest);
        let tests = answer.split(". ").next().unwrap_or_default();
        let more = (tests.split(" and ").last()).and_then(|last| last.strip_suffix(" more"));
        let (Some((target, _)), [old, new, ..]) = (target, lines.as_slice()) else {
            continue;
        };
        let red: Vec<String> = tests
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        found.push(Exercise {
            line: section.line + 1 + text[..start].matches('\n').count(),
            file: resolve(page, target).0,
            old: old.clone(),
            new: new.clone(),
            count: red.len() + more.and_then(|n| n.parse().ok()).unwrap_or(0),
            red,
            is_nothing: tests == "nothing",
        });
    }
    found
}

/// The text of the tests of a section.
pub fn tests_of(files: &Files, chapter: &str, section: &Section) -> String {
    let name = section.test_name();
    let (own, folder) = (
        format!("tests/{chapter}/{name}.rs"),
        format!("tests/{chapter}/{name}/"),
    );
    let of_section = |path: &str| path == own || path.starts_with(&folder);
    let texts = files.iter().filter(|(path, _)| of_section(path));
    texts.map(|(_, text)| text.as_str()).collect()
}

pub fn exercise_faults(files: &Files, chapter: &str) -> Vec<String> {
    let page = format!("docs/{chapter}.md");
    let mut found = Vec::new();
    for section in sections(text_of(files, &page)) {
        let tests = tests_of(files, chapter, &section);
        for exercise in exercises(&page, &section) {
            let place = format!("{page}:{}", exercise.line);
            let Exercise {
                file,
                old,
                red,
                is_nothing,
                ..
            } = exercise;
            let count = text_of(files, &file).matches(&old).count();
            if count != 1 {
                found.push(format!(
                    "{place}: the line to change is in {file} {count} times, not once:\n    {old}"
                ));
            }
            if red.is_empty() && !is_nothing {
                found.push(format!(
                    "{place}: the answer does not say which tests turn red. Begin it with \"Red: `by_hand`. Why …\""
                ));
            }
            // A section without tests is told so elsewhere.
            for test in red.iter().filter(|_| !tests.is_empty()) {
                let function = test.rsplit("::").next().unwrap_or(test);
                if !tests.contains(&format!("fn {function}(")) {
                    found.push(format!(
                        "{place}: the section has no test `{test}`, which the answer says turns red."
                    ));
                }
            }
        }
    }
    found
}

/// Applies every change in a copy of the project and sees that the tests named in the answer fail, and as many as it says.
#[test]
#[ignore = "compiles the project once for each exercise"]
fn every_answer_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = root.join("target/exercises/project");
    fs::create_dir_all(&copy).unwrap();
    let copied = Command::new("sh")
        .arg("-c")
        .arg(r#"git -C "$0" ls-files -z | tar -C "$0" --null -T - -cf - | tar -C "$1" -xf -"#)
        .args([root, &copy])
        .status();
    assert!(copied.unwrap().success(), "the project cannot be copied");
    let files = read_repository(&copy);
    let chosen = std::env::var("EXERCISES").unwrap_or_default();
    let mut wrong = Vec::new();
    for chapter in chapters(&files) {
        let page = format!("docs/{chapter}.md");
        for section in sections(text_of(&files, &page)) {
            if !format!("{chapter}#{}", section.slug).contains(&chosen) {
                continue;
            }
            for exercise in exercises(&page, &section) {
                let path = copy.join(&exercise.file);
                let text = text_of(&files, &exercise.file);
                fs::write(&path, text.replacen(&exercise.old, &exercise.new, 1)).unwrap();
                let module = format!("{chapter}::{}", section.test_name());
                let output = Command::new(env!("CARGO"))
                    .args(["test", "--test", "derivations", &module])
                    .current_dir(&copy)
                    .env("CARGO_TARGET_DIR", root.join("target/exercises/target"))
                    .output()
                    .unwrap();
                fs::write(&path, text).unwrap();
                let printed = String::from_utf8_lossy(&output.stdout);
                // Other sections of the chapter may have names that contain this one's.
                let own = format!("test {module}::");
                let results = printed.lines().filter(|line| line.starts_with(&own));
                let failed = results.clone().filter(|line| line.ends_with("FAILED"));
                let (run, failed) = (results.count(), failed.count());
                println!(
                    "{page}:{}: {failed} of {run} red, {} in the answer",
                    exercise.line, exercise.count
                );
                if run == 0 || failed != exercise.count {
                    wrong.push(format!(
                        "{page}:{}: {failed} of {run} tests red, {} in the answer",
                        exercise.line, exercise.count
                    ));
                }
                for test in &exercise.red {
                    let name = format!("test {module}::{test} ");
                    let is_red = |line: &str| line.starts_with(&name) && line.ends_with("FAILED");
                    let red = printed.lines().any(is_red);
                    println!(
                        "{page}#{}: {test} {}",
                        section.slug,
                        if red { "red" } else { "GREEN" }
                    );
                    if !red {
                        wrong.push(format!("{page}:{}: {test}", exercise.line));
                    }
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "other tests are red than the answer says:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn catches_exercises_that_drifted() {
    let files = with("src/thrice.rs", "3.0 * x", "x + x + x");
    only_defect(&files, &["in src/thrice.rs 0 times"]);
    let files = with("docs/chapter.md", "Red: `by_hand`.", "Everything.");
    only_defect(&files, &["does not say which tests"]);
    let files = with("docs/chapter.md", "Red: `by_hand`.", "Red: nothing.");
    assert!(super::repository::defects(&files).is_empty());
    let files = with("docs/chapter.md", "Red: `by_hand`.", "Red: `by_foot`.");
    only_defect(&files, &["no test `by_foot`"]);
}
