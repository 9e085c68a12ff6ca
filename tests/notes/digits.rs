//! The figures in the text are those that the tests have. Those of a trained network come from one run, whose output is docs/digits.txt:
//!
//! ```sh
//! cargo run --release -- train
//! cargo run --release -- evaluate --refine 300 --images 200 --samples 2000 > docs/digits.txt
//! ```

use super::example::{only_defect, with};
use super::exercises::tests_of;
use super::page::{Section, paragraphs, parse_page, sections};
use super::repository::{Files, pages, text_of};

pub const DIGITS: &str = "docs/digits.txt";

/// The numbers of a text that have decimals, without their signs.
fn decimals(text: &str) -> Vec<&str> {
    let number = |c: char| c.is_ascii_digit() || c == '.';
    text.split(|c| !number(c))
        .map(|part| part.trim_matches('.'))
        .filter(|part| part.contains('.'))
        .collect()
}

/// The README shows the output as it is, and each figure of a paragraph "On digits" about `elbo evaluate` is one of it,
/// to the digits shown.
pub fn figures_of_no_run(files: &Files) -> Vec<String> {
    let output = text_of(files, DIGITS);
    let mut found = Vec::new();
    if output.is_empty() || !text_of(files, "README.md").contains(output) {
        found.push(format!("README.md does not show {DIGITS} as it is."));
    }
    let known: Vec<f64> = decimals(output)
        .iter()
        .filter_map(|n| n.parse().ok())
        .collect();
    for page in pages(files) {
        for paragraph in paragraphs(&parse_page(text_of(files, page))) {
            let text: String = paragraph.text.iter().collect();
            if !text.starts_with("*On digits.*") || !text.contains("`elbo evaluate") {
                continue;
            }
            for figure in decimals(&text) {
                let (_, digits) = figure.split_once('.').unwrap_or((figure, ""));
                let half = 0.5001 * 10f64.powi(-(digits.len() as i32));
                let value: f64 = figure.parse().unwrap_or(f64::NAN);
                if !known.iter().any(|k| (k - value).abs() <= half) {
                    found.push(format!(
                        "{page}:{}: {figure} is not in {DIGITS}, the output of the run that the paragraph is about.",
                        paragraph.first_line
                    ));
                }
            }
        }
    }
    found
}

/// The text of a section without its folds, its code and the numbers of its equations.
fn prose_of(section: &Section) -> String {
    let text = section.lines.join("\n");
    let page = parse_page(&text);
    let formulas = page.blocks.iter().filter(|block| block.language == "math");
    let mut lines: Vec<String> = formulas
        .flat_map(|block| &block.lines)
        .map(|l| l.to_string())
        .collect();
    let mut in_fold = false;
    for (_, line) in &page.prose {
        in_fold |= line.trim() == "<details>";
        if !in_fold {
            lines.push((*line).to_owned());
        }
        in_fold &= line.trim() != "</details>";
    }
    // (4.20) and \\tag{4.20} are names, not figures.
    let mut words = lines.join("\n");
    for mark in ["(", "\\tag{"] {
        let parts: Vec<&str> = words.split(mark).collect();
        let rest = parts[1..].iter().map(|part| {
            let name = |c: char| !c.is_ascii_digit() && c != '.';
            let end = part.find(name).unwrap_or(part.len());
            match part[end..].starts_with([')', '}']) {
                true => &part[end..],
                false => part,
            }
        });
        words = std::iter::once(parts[0])
            .chain(rest)
            .collect::<Vec<_>>()
            .join(mark);
    }
    words
}

/// A figure with decimals in the text of a section is in its fold, in its tests, in its code or in the stored run, to the
/// digits shown; what the fold says, the checks compare with what they print.
pub fn unbound_figures(files: &Files, chapter: &str) -> Vec<String> {
    let page = format!("docs/{chapter}.md");
    let mut found = Vec::new();
    for section in sections(text_of(files, &page)) {
        let text = section.lines.join("\n");
        let folds = text.split("<details>").skip(1);
        let folds = folds.filter_map(|fold| fold.split("</details>").next());
        let blocks = parse_page(&text).blocks;
        let code = blocks
            .iter()
            .filter(|block| block.language.starts_with("rust"));
        let mut sources: Vec<String> = folds.map(str::to_owned).collect();
        sources.extend(code.map(|block| block.lines.join("\n")));
        sources.push(tests_of(files, chapter, &section));
        sources.push(text_of(files, DIGITS).to_owned());
        let known: Vec<f64> = sources.iter().flat_map(|source| numbers(source)).collect();
        for figure in decimals(&prose_of(&section)) {
            let (_, digits) = figure.split_once('.').unwrap_or((figure, ""));
            let half = 0.5001 * 10f64.powi(-(digits.len() as i32));
            let value: f64 = figure.parse().unwrap_or(f64::NAN);
            let cited = text.contains(&format!("section {figure}"));
            if !cited && !known.iter().any(|k| (k - value).abs() <= half) {
                found.push(format!(
                    "{page}:{}: {figure} in the section `{}` is in none of its tests and not in its fold. Let a test \
                     print or assert it.",
                    section.line, section.slug
                ));
            }
        }
    }
    found
}

/// All numbers of a text, as Rust and the checks write them: 20_000, 1.5e-3.
fn numbers(text: &str) -> Vec<f64> {
    let text = text.replace('_', "");
    let mut found = Vec::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        rest = &rest[start..];
        let plain = |c: char| c.is_ascii_digit() || c == '.';
        let end = rest.find(|c: char| !plain(c)).unwrap_or(rest.len());
        let mut number = rest[..end].trim_end_matches('.').to_owned();
        if let Some(exponent) = rest[end..].strip_prefix('e') {
            let signed = |c: char| c.is_ascii_digit() || c == '-' || c == '+';
            let length = exponent
                .find(|c: char| !signed(c))
                .unwrap_or(exponent.len());
            if exponent[..length].ends_with(|c: char| c.is_ascii_digit()) {
                number = format!("{number}e{}", &exponent[..length]);
            }
        }
        found.extend(number.parse::<f64>());
        rest = &rest[end..];
    }
    found
}

/// Trains and evaluates the network anew; the output is the stored one, on the processor that it was stored on.
#[cfg(feature = "cli")]
#[test]
#[ignore = "trains a network for some minutes"]
fn the_stored_run_is_what_the_command_prints() {
    let folder = tempfile::TempDir::new().unwrap();
    let run = folder.path().join("vae");
    let run = run.to_str().unwrap();
    let elbo = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_elbo"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    elbo(&["train", "--out", run]);
    let search = ["--refine", "300", "--images", "200", "--samples", "2000"];
    let printed = elbo(&[&["evaluate", run], &search[..]].concat());
    let stored = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(DIGITS);
    assert_eq!(printed, std::fs::read_to_string(stored).unwrap());
}

#[test]
fn catches_figures_of_another_run() {
    let files = with("docs/chapter.md", "-107.61", "-107.62");
    only_defect(&files, &["docs/chapter.md:9", "107.62", DIGITS]);
    let files = with(DIGITS, "-107.607", "-107.608");
    only_defect(&files, &["README.md", DIGITS]);
}

#[test]
fn catches_figures_that_no_test_has() {
    let files = with(
        "docs/chapter.md",
        "**Claim.**",
        "**Claim.** About 3.14 by (1.1).",
    );
    only_defect(&files, &["docs/chapter.md:13", "3.14", "`double-it`"]);
    let files = with("docs/chapter.md", "**Claim.**", "**Claim.** About 2.0.");
    assert!(super::repository::defects(&files).is_empty());
}
