//! Notes, code and tests hold together: every section has its code, its command and its tests, every quoted line is the
//! line of the source, every link leads somewhere. What fails says what to do about it.
//!
//! The rules take texts, so that their tests can show on a small example that each defect is caught.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::digits::{DIGITS, figures_of_no_run, unbound_figures};
use super::exercises::exercise_faults;
use super::format::{fence_faults, links_to_nowhere, math_faults};
use super::quotes::{quote_faults, renumbered};
use super::reading::{
    fold_faults, opening_faults, sections_without_exercise, uncited_works, wordy_checks,
};
use super::sections::{
    doc_comments_to_nowhere, incomplete_sections, module_without_chapter, repeated_slugs,
    unlisted_sections,
};
use super::test_files::{files_never_compiled, homeless_tests, untested_sections};

/// Every file of the repository by its path, with its text (empty where it is no text).
pub type Files = BTreeMap<String, String>;

pub const CONTENTS: &str = "docs/README.md";

#[test]
fn notes_code_and_tests_hold_together() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = read_repository(root);
    if std::env::var_os("UPDATE_NOTES").is_some_and(|value| value == "1") {
        for (path, text) in renumbered(&files) {
            println!("{path}: line numbers brought up to date");
            fs::write(root.join(&path), &text).unwrap();
            files.insert(path, text);
        }
    }
    let defects = defects(&files);
    assert!(defects.is_empty(), "\n\n{}\n", defects.join("\n\n"));
}

pub fn read_repository(root: &Path) -> Files {
    let mut files = Files::new();
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let is_folder = entry.file_type().unwrap().is_dir();
        if is_folder && ["docs", "src", "tests", "benches"].contains(&name.as_str()) {
            read_folder(root, &name, &mut files);
        } else if !is_folder {
            read_file(root, name, &mut files);
        }
    }
    files
}

fn read_folder(root: &Path, folder: &str, files: &mut Files) {
    for entry in fs::read_dir(root.join(folder)).unwrap().map(Result::unwrap) {
        let path = format!("{folder}/{}", entry.file_name().into_string().unwrap());
        if entry.path().join("Cargo.toml").exists() {
            // A crate of its own: the fuzz targets.
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            read_folder(root, &path, files);
        } else {
            read_file(root, path, files);
        }
    }
}

fn read_file(root: &Path, path: String, files: &mut Files) {
    let is_text = path.ends_with(".md") || path.ends_with(".rs") || path == DIGITS;
    let text = match is_text {
        true => fs::read_to_string(root.join(&path)).unwrap(),
        false => String::new(),
    };
    files.insert(path, text);
}

pub fn text_of<'a>(files: &'a Files, path: &str) -> &'a str {
    files.get(path).map_or("", String::as_str)
}

/// Everything that is wrong, each with what to do about it.
pub fn defects(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for chapter in chapters(files) {
        found.extend(untested_sections(files, chapter));
        found.extend(homeless_tests(files, chapter));
        found.extend(incomplete_sections(files, chapter));
        found.extend(unlisted_sections(files, chapter));
        found.extend(module_without_chapter(files, chapter));
        found.extend(opening_faults(files, chapter));
        found.extend(wordy_checks(files, chapter));
        found.extend(sections_without_exercise(files, chapter));
        found.extend(exercise_faults(files, chapter));
        found.extend(unbound_figures(files, chapter));
    }
    found.extend(files_never_compiled(files));
    found.extend(repeated_slugs(files));
    found.extend(doc_comments_to_nowhere(files));
    found.extend(uncited_works(files));
    found.extend(figures_of_no_run(files));
    for page in pages(files) {
        found.extend(fence_faults(files, page));
        found.extend(fold_faults(files, page));
        found.extend(math_faults(files, page));
        found.extend(quote_faults(files, page));
        found.extend(links_to_nowhere(files, page));
    }
    found
}

/// The pages that are checked: docs/*.md and the README.
pub fn pages(files: &Files) -> impl Iterator<Item = &str> {
    files.keys().map(String::as_str).filter(|path| {
        *path == "README.md"
            || path
                .strip_prefix("docs/")
                .is_some_and(|name| name.ends_with(".md") && !name.contains('/'))
    })
}

/// The chapters: the pages in docs with a module of the same name.
pub fn chapters(files: &Files) -> impl Iterator<Item = &str> {
    pages(files)
        .filter_map(|page| page.strip_prefix("docs/")?.strip_suffix(".md"))
        .filter(|name| module_of(files, name).is_some())
}

pub fn module_of(files: &Files, chapter: &str) -> Option<String> {
    [format!("src/{chapter}.rs"), format!("src/{chapter}/mod.rs")]
        .into_iter()
        .find(|path| files.contains_key(path))
}
