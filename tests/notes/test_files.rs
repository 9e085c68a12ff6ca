//! A section has a file of tests, and every file of tests belongs to a section and is compiled.

use std::collections::BTreeSet;

use super::example::{only_defect, sound, with};
use super::page::{Section, sections};
use super::repository::{CONTENTS, Files, defects, text_of};

/// The program of which each chapter is a module, and each section a module of its chapter.
const PROGRAM: &str = "tests/derivations.rs";

/// The test functions of a file, with their lines.
fn tests_in(text: &str) -> Vec<(usize, &str)> {
    let mut tests = Vec::new();
    let mut marked = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line == "#[test]" {
            marked = true;
        } else if marked && let Some(rest) = line.strip_prefix("fn ") {
            tests.push((number, rest.split('(').next().unwrap_or(rest)));
            marked = false;
        }
    }
    tests
}

/// The files of the modules that a file declares, and of theirs. `mod a { mod b; }` in tests/program.rs is tests/a/b.rs;
/// in any other file it is beneath the folder of that file's name.
fn modules_of(files: &Files, path: &str, folder: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut parents: Vec<&str> = Vec::new();
    for line in text_of(files, path).lines() {
        let declaration = line.trim_start();
        let depth = (line.len() - declaration.len()) / 4;
        let declaration = declaration.strip_prefix("pub ").unwrap_or(declaration);
        let Some(name) = declaration.strip_prefix("mod ") else {
            continue;
        };
        parents.truncate(depth);
        if let Some(name) = name.strip_suffix(" {") {
            parents.push(name);
        } else if let Some(name) = name.strip_suffix(';') {
            let module = [&[folder], parents.as_slice(), &[name]].concat().join("/");
            let file = format!("{module}.rs");
            found.extend(modules_of(files, &file, &module));
            found.insert(file);
        }
    }
    found
}

/// The files that a program in tests/ compiles, itself included.
fn compiled_by(files: &Files, program: &str) -> BTreeSet<String> {
    let mut compiled = modules_of(files, program, "tests");
    compiled.insert(program.to_owned());
    compiled
}

/// Files below tests/ that no program compiles: their tests would never run.
pub fn files_never_compiled(files: &Files) -> Vec<String> {
    let in_tests = || {
        let rust = |path: &&String| path.starts_with("tests/") && path.ends_with(".rs");
        files.keys().filter(rust)
    };
    let programs = in_tests().filter(|path| path.matches('/').count() == 1);
    let compiled: BTreeSet<String> = programs.flat_map(|path| compiled_by(files, path)).collect();
    in_tests()
        .filter(|path| !compiled.contains(*path))
        .map(|path| {
            format!(
                "{path}: no program compiles this file, so its tests never run. Declare it as a module: the file of \
                 a section in {PROGRAM}, a part of a section in that section's file."
            )
        })
        .collect()
}

fn test_file(chapter: &str, section: &Section) -> String {
    format!("tests/{chapter}/{}.rs", section.test_name())
}

pub fn untested_sections(files: &Files, chapter: &str) -> Vec<String> {
    let page = format!("docs/{chapter}.md");
    let compiled = compiled_by(files, PROGRAM);
    let mut found = Vec::new();
    for section in sections(text_of(files, &page)) {
        let Section { slug, line, .. } = section;
        let file = test_file(chapter, &section);
        let text = text_of(files, &file);
        let opening = format!("//! {page}#{slug}");
        let named = text.strip_prefix(&opening);
        if tests_in(text).is_empty() {
            found.push(format!(
                "{page}:{line}: the section `{slug}` has no test. Write a `#[test] fn …()` in {file}."
            ));
        } else if !named.is_some_and(|rest| rest.starts_with([':', '\n'])) {
            found.push(format!(
                "{file}:1: the file does not say which section it checks. Open it with `{opening}: what is claimed`."
            ));
        } else if !compiled.contains(&file) && files_never_compiled(files).is_empty() {
            found.push(format!(
                "{file}: {PROGRAM} does not list it. Add `mod {};` to its module `{chapter}`.",
                section.test_name()
            ));
        }
    }
    found
}

/// In the folder of a chapter, a file or folder has the name of a section. What its sections share is in shared.rs or
/// shared/, and no test is.
pub fn homeless_tests(files: &Files, chapter: &str) -> Vec<String> {
    let page = format!("docs/{chapter}.md");
    let sections = sections(text_of(files, &page));
    let names: Vec<String> = sections.iter().map(Section::test_name).collect();
    let folder = format!("tests/{chapter}/");
    let mut found = Vec::new();
    for (path, text) in files {
        let Some(rest) = path
            .strip_prefix(&folder)
            .and_then(|p| p.strip_suffix(".rs"))
        else {
            continue;
        };
        let name = rest.split('/').next().unwrap_or(rest);
        if name == "shared" {
            found.extend(tests_in(text).iter().map(|(line, test)| {
                format!(
                    "{path}:{line}: the test `{test}` is in a file that sections share, so no section's command \
                     runs it. Move it to the file of a section."
                )
            }));
        } else if !names.iter().any(|section| section == name) {
            found.push(format!(
                "{path}: `{name}` belongs to no section of {page}. Name it after a section (its slug in snake \
                 case), or write the section with `<a id=\"slug\"></a>` above its heading."
            ));
        }
    }
    found
}

#[test]
fn catches_a_section_without_a_test() {
    let path = "tests/chapter/double_it.rs";
    only_defect(
        &with(path, "#[test]\n", ""),
        &["docs/chapter.md:13", "`double-it` has no test", path],
    );
    let mut files = sound();
    files.remove(path);
    only_defect(&files, &["`double-it` has no test"]);
}

#[test]
fn catches_a_section_whose_only_test_is_that_of_a_longer_slug() {
    let second = "<a id=\"double-it-twice\"></a>\n\n## Four times\n\n**Code.** \
                  [`src/chapter.rs`, line 5](../src/chapter.rs#L5)\n\n```rust,ignore\n2.0 * x\n```\n\n**Check.**\n\n\
                  **Check.**\n\n```sh\ncargo test double_it_twice\n```\n\n<details>\n<summary>Found</summary>\n\nIt does.\n\n</details>\n\n\
                  **Exercise.** Halve it.\n\n<details>\n<summary>Answer</summary>\n\nRed.\n\n</details>\n\n\
                  <a id=\"double-it\">";
    let mut files = with("docs/chapter.md", "<a id=\"double-it\">", second);
    let page = files.get_mut("docs/chapter.md").unwrap();
    let contents = "- [Four times](#double-it-twice)\n- [Twice](#double-it)";
    *page = page.replace("- [Twice](#double-it)", contents);
    files.insert(
        CONTENTS.into(),
        "# Notes\n[](chapter.md#double-it) [](chapter.md#double-it-twice)".into(),
    );
    let text = files.remove("tests/chapter/double_it.rs").unwrap();
    let text = text.replace("double-it", "double-it-twice");
    files.insert("tests/chapter/double_it_twice.rs".into(), text);
    let list = files.get_mut(PROGRAM).unwrap();
    *list = list.replace("double_it", "double_it_twice");
    only_defect(&files, &["`double-it` has no test"]);
}

#[test]
fn catches_a_test_without_a_section() {
    for test in [
        "#[test]\nfn helper() {}\n",
        "#[test]\n#[ignore]\nfn double_items() {}\n",
    ] {
        let mut files = with(
            PROGRAM,
            "    mod double_it;",
            "    mod double;\n    mod double_it;",
        );
        files.insert("tests/chapter/double.rs".into(), test.into());
        only_defect(
            &files,
            &["tests/chapter/double.rs", "belongs to no section"],
        );
    }
}

#[test]
fn catches_a_test_in_a_shared_file() {
    for path in ["tests/chapter/shared.rs", "tests/chapter/shared/tables.rs"] {
        let list = match path.contains("tables") {
            true => "    mod shared {\n        pub mod tables;\n    }\n    mod double_it;",
            false => "    mod shared;\n    mod double_it;",
        };
        let mut files = with(PROGRAM, "    mod double_it;", list);
        files.insert(path.into(), "pub fn helper() {}\n".into());
        assert_eq!(defects(&files), Vec::<String>::new());
        files.insert(path.into(), "\n#[test]\nfn lost() {}\n".into());
        only_defect(&files, &[&format!("{path}:3"), "`lost`"]);
    }
}

#[test]
fn catches_a_file_that_is_not_compiled() {
    let files = with(PROGRAM, "    mod double_it;\n", "");
    only_defect(
        &files,
        &["tests/chapter/double_it.rs", "no program compiles"],
    );
    // A part of a section is declared in that section's file.
    let mut files = sound();
    let part = "tests/chapter/double_it/limits.rs";
    files.insert(part.into(), "#[test]\nfn of_zero() {}\n".into());
    only_defect(&files, &[part, "no program compiles"]);
    let own = files.get_mut("tests/chapter/double_it.rs").unwrap();
    *own = own.replace("\n\n#[test]", "\n\nmod limits;\n\n#[test]");
    assert_eq!(defects(&files), Vec::<String>::new());
    // Another program is not that of the sections.
    let mut files = with(PROGRAM, "    mod double_it;\n", "");
    let other = "mod chapter {\n    mod double_it;\n}\n";
    files.insert("tests/other.rs".into(), other.into());
    only_defect(&files, &["tests/chapter/double_it.rs", "does not list it"]);
}

#[test]
fn catches_a_file_that_does_not_name_its_section() {
    for other in ["docs/other.md#double-it", "docs/chapter.md#double-items"] {
        let path = "tests/chapter/double_it.rs";
        let files = with(path, "docs/chapter.md#double-it", other);
        only_defect(
            &files,
            &[path, "`//! docs/chapter.md#double-it: what is claimed`"],
        );
    }
}
