//! A section has code, a command and a place in the contents, and its slug is its own.

use std::collections::BTreeMap;

use super::example::{only_defect, with};
use super::page::{Section, line_range, links, parse_page, resolve, sections};
use super::repository::{CONTENTS, Files, chapters, module_of, pages, text_of};

pub fn incomplete_sections(files: &Files, chapter: &str) -> Vec<String> {
    let page = format!("docs/{chapter}.md");
    let mut found = Vec::new();
    for section in sections(text_of(files, &page)) {
        let Section { slug, line, .. } = section;
        if section.title.is_empty() {
            found.push(format!(
                "{page}:{line}: no heading follows the anchor `{slug}`. Write `## Title` beneath it."
            ));
        }
        let text = section.lines.join("\n");
        let quotes_code = links(&parse_page(&text)).iter().any(|link| {
            let (path, anchor) = resolve(&page, &link.target);
            path.starts_with("src/") && anchor.as_deref().and_then(line_range).is_some()
        });
        if !quotes_code {
            found.push(format!(
                "{page}:{line}: the section `{slug}` links no code. Add \
                 **Code.** [`src/path.rs`, lines 12–30](../src/path.rs#L12-L30) and quote the lines beneath it."
            ));
        }
        let command = format!("cargo test {}", section.test_name());
        // Where another section's name contains this one's, the module selects this section alone.
        let module = format!("cargo test {chapter}::{}::", section.test_name());
        let commands = [module.as_str(), command.as_str()];
        let is_command = |line: &str| {
            let mut rests = commands.iter().filter_map(|c| line.strip_prefix(c));
            rests.any(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        if !text.lines().any(is_command) {
            found.push(format!(
                "{page}:{line}: the section `{slug}` does not say how to check it. Add a ```sh block with \
                 `{command}` under **Check.**"
            ));
        }
    }
    found
}

pub fn unlisted_sections(files: &Files, chapter: &str) -> Vec<String> {
    let page = format!("docs/{chapter}.md");
    let contents = text_of(files, CONTENTS);
    let sections = sections(text_of(files, &page));
    let unlisted = sections
        .iter()
        .filter(|section| !contents.contains(&format!("]({chapter}.md#{})", section.slug)));
    unlisted
        .map(|Section { slug, title, line, .. }| {
            format!(
                "{page}:{line}: {CONTENTS} does not list the section `{slug}`. Add to its chapter there: \
                 - [{title}]({chapter}.md#{slug})"
            )
        })
        .collect()
}

pub fn module_without_chapter(files: &Files, chapter: &str) -> Option<String> {
    let module = module_of(files, chapter)?;
    let up = "../".repeat(module.matches('/').count());
    let include = format!("#![doc = include_str!(\"{up}docs/{chapter}.md\")]");
    let missing = !text_of(files, &module).contains(&include);
    missing.then(|| {
        format!(
            "{module}: the chapter docs/{chapter}.md is not its documentation, so the chapter's examples are \
             never run. Put `{include}` at the top."
        )
    })
}

pub fn repeated_slugs(files: &Files) -> Vec<String> {
    let mut places = BTreeMap::<&str, Vec<String>>::new();
    for page in pages(files) {
        for section in sections(text_of(files, page)) {
            let place = format!("{page}:{}", section.line);
            places.entry(section.slug).or_default().push(place);
        }
    }
    places.retain(|_, places| places.len() > 1);
    places
        .iter()
        .map(|(slug, places)| {
            format!(
                "{}: the slug `{slug}` is used more than once. Give each section its own.",
                places.join(", ")
            )
        })
        .collect()
}

/// Doc comments link sections as `(crate::chapter#slug)`; rustdoc does not look behind the #.
pub fn doc_comments_to_nowhere(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("src/")) {
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_start();
            if !line.starts_with("//!") && !line.starts_with("///") {
                continue;
            }
            for rest in line.split("crate::").skip(1) {
                let Some((chapter, rest)) = rest.split_once('#') else {
                    continue;
                };
                let is_slug = |c: &char| c.is_alphanumeric() || *c == '-' || *c == '_';
                let slug: String = rest.chars().take_while(is_slug).collect();
                let page = format!("docs/{chapter}.md");
                let slugs = sections(text_of(files, &page));
                if chapters(files).any(|name| name == chapter)
                    && !slugs.iter().any(|section| section.slug == slug)
                {
                    found.push(format!(
                        "{path}:{number}: links crate::{chapter}#{slug}, but {page} has no section `{slug}`. \
                         Correct the slug, or write the section."
                    ));
                }
            }
        }
    }
    found
}

#[test]
fn catches_a_section_without_code() {
    let files = with(
        "docs/chapter.md",
        "\n```rust,ignore\nfn twice(x: f64) -> f64 {\n    2.0 * x\n}\n```\n",
        "",
    );
    let files = {
        let mut files = files;
        let page = files.get_mut("docs/chapter.md").unwrap();
        *page = page.replace("[`src/chapter.rs`, lines 4–6](../src/chapter.rs#L4-L6)", "");
        files
    };
    only_defect(&files, &["docs/chapter.md:13", "links no code"]);
}

#[test]
fn catches_a_section_without_its_command() {
    let files = with(
        "docs/chapter.md",
        "cargo test double_it",
        "cargo test double_items",
    );
    only_defect(&files, &["`cargo test double_it`"]);
}

#[test]
fn catches_an_anchor_without_a_heading() {
    only_defect(&with("docs/chapter.md", "## Twice\n", ""), &["no heading"]);
}

#[test]
fn catches_a_section_missing_from_the_contents() {
    let files = with(CONTENTS, "- [Twice](chapter.md#double-it)", "");
    only_defect(&files, &["- [Twice](chapter.md#double-it)", CONTENTS]);
}

#[test]
fn catches_a_module_that_does_not_include_its_chapter() {
    let files = with(
        "src/chapter.rs",
        "#![doc = include_str!(\"../docs/chapter.md\")]",
        "",
    );
    only_defect(
        &files,
        &["src/chapter.rs", "include_str!(\"../docs/chapter.md\")"],
    );
}

#[test]
fn catches_a_doc_comment_to_a_missing_section() {
    let files = with(
        "src/chapter.rs",
        "crate::chapter#double-it",
        "crate::chapter#double",
    );
    only_defect(
        &files,
        &[
            "src/chapter.rs:7",
            "crate::chapter#double",
            "docs/chapter.md",
        ],
    );
}

#[test]
fn catches_repeated_slugs() {
    let files = with(
        "docs/other.md",
        "A page",
        "<a id=\"double-it\"></a>\n\nA page",
    );
    only_defect(
        &files,
        &["docs/chapter.md:13, docs/other.md:1", "`double-it`"],
    );
}
