//! Fences are balanced, math works everywhere the notes are read, and links lead somewhere.

use std::collections::BTreeSet;

use super::example::{only_defect, with};
use super::page::{Link, Paragraph, line_range, links, paragraphs, parse_page, resolve};
use super::repository::{Files, defects, text_of};

const FORBIDDEN: [&str; 4] = ["\\operatorname", "\\newcommand", "\\label", "\\eqref"];

pub fn fence_faults(files: &Files, page_path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for block in parse_page(text_of(files, page_path)).blocks {
        let opened = block.opened;
        let inner = block
            .lines
            .iter()
            .position(|line| line.trim().starts_with("```"));
        if let Some(inner) = inner {
            found.push(format!(
                "{page_path}:{}: a fence opens inside the one opened at line {opened}. Close that one with ``` first.",
                opened + 1 + inner
            ));
        } else if !block.closed {
            found.push(format!(
                "{page_path}:{opened}: the fence is never closed. Add ```."
            ));
        } else if block.language.is_empty() {
            found.push(format!(
                "{page_path}:{opened}: the fence names no language, and rustdoc would compile it as Rust. Open \
                 it with ```math, ```sh, ```text, ```rust or ```rust,ignore."
            ));
        }
    }
    found
}

pub fn math_faults(files: &Files, page_path: &str) -> Vec<String> {
    let page = parse_page(text_of(files, page_path));
    let mut found = Vec::new();
    let mut math: Vec<(usize, String)> = Vec::new();
    for block in page.blocks.iter().filter(|block| block.language == "math") {
        math.extend((block.opened + 1..).zip(block.lines.iter().map(|line| line.to_string())));
    }
    for paragraph in paragraphs(&page) {
        if let Some(line) = paragraph.unclosed {
            found.push(format!(
                "{page_path}:{line}: code or math is opened with a backtick and not closed in this paragraph. \
                 Code is `…`, math is $`…`$."
            ));
        } else {
            found.extend(bare_dollar(page_path, &paragraph));
        }
        found.extend(bars_in_tables(page_path, &paragraph));
        math.extend(paragraph.math);
    }
    for (line, text) in math {
        for command in FORBIDDEN.iter().filter(|command| text.contains(**command)) {
            found.push(format!(
                "{page_path}:{line}: {command} does not work everywhere the notes are read. Use \\mathrm for \
                 names, write macros out, and number equations with \\tag{{4.1}} and \"(4.1)\"."
            ));
        }
        if text.contains('$') {
            found.push(format!(
                "{page_path}:{line}: a dollar inside math. Display is a ```math fence without $$, inline math is \
                 $`…`$."
            ));
        }
    }
    found
}

fn bare_dollar(page_path: &str, paragraph: &Paragraph) -> Option<String> {
    let bare = &paragraph.bare;
    let escaped = |at: usize| at > 0 && bare[at - 1] == '\\';
    let at = (0..bare.len()).find(|&at| bare[at] == '$' && !escaped(at))?;
    let line = paragraph.line_at(at);
    Some(match bare[at..].starts_with(&['$', '$']) {
        true => format!("{page_path}:{line}: a bare $$. Write display math in a ```math fence."),
        false => format!(
            "{page_path}:{line}: a dollar without a backtick. Write inline math as $`…`$, and a dollar that is \
             one as \\$."
        ),
    })
}

/// In a row of a table a | ends the cell, in math too.
fn bars_in_tables(page_path: &str, paragraph: &Paragraph) -> Vec<String> {
    let text: String = paragraph.text.iter().collect();
    let rows: Vec<&str> = text.lines().collect();
    let in_table = |line: usize| {
        rows[line - paragraph.first_line]
            .trim_start()
            .starts_with('|')
    };
    let with_bar = paragraph
        .math
        .iter()
        .filter(|(line, math)| in_table(*line) && math.contains('|'));
    with_bar
        .map(|(line, _)| {
            format!("{page_path}:{line}: a | in the math of a table ends the cell. Write \\mid.")
        })
        .collect()
}

/// The anchors of a page: those written as such, and those that headings get on GitHub.
fn anchors(text: &str) -> BTreeSet<String> {
    let page = parse_page(text);
    let mut anchors = BTreeSet::new();
    for (_, line) in page.prose {
        let written = line
            .split("<a id=\"")
            .skip(1)
            .filter_map(|rest| rest.split_once('"'));
        anchors.extend(written.map(|(slug, _)| slug.to_owned()));
        let title = line.trim_start_matches('#');
        if title.len() < line.len() && title.starts_with(' ') {
            let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
            let slug: String = title.trim().to_lowercase().chars().filter(kept).collect();
            anchors.insert(slug.replace(' ', "-"));
        }
    }
    anchors
}

pub fn links_to_nowhere(files: &Files, page_path: &str) -> Vec<String> {
    let page = parse_page(text_of(files, page_path));
    let mut found = Vec::new();
    for Link { line, target, .. } in links(&page) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = resolve(page_path, &target);
        let is_folder = || {
            files
                .keys()
                .any(|file| file.starts_with(&format!("{path}/")))
        };
        let Some(text) = files.get(&path) else {
            if !is_folder() {
                found.push(format!(
                    "{page_path}:{line}: the link {target} leads to {path}, which does not exist. Correct it."
                ));
            }
            continue;
        };
        let Some(anchor) = anchor else { continue };
        let exists = match line_range(&anchor).filter(|_| !path.ends_with(".md")) {
            Some((first, last)) => 1 <= first && first <= last && last <= text.lines().count(),
            None => anchors(text).contains(&anchor),
        };
        if !exists {
            found.push(format!(
                "{page_path}:{line}: the link {target} leads to {path}, which has no `{anchor}`. Correct the link."
            ));
        }
    }
    found
}

#[test]
fn catches_math_that_does_not_work_everywhere() {
    for command in FORBIDDEN {
        let files = with("docs/chapter.md", "y = 2x", &format!("{command}{{y}} = 2x"));
        only_defect(&files, &["docs/chapter.md:20", command]);
        let files = with("docs/chapter.md", "$`x`$", &format!("$`{command}{{x}}`$"));
        only_defect(&files, &["docs/chapter.md:11", command]);
    }
    let files = with("docs/chapter.md", "$`x`$", "$$x$$");
    only_defect(&files, &["docs/chapter.md:11", "a bare $$"]);
    let files = with("docs/chapter.md", "y = 2x", "$$y = 2x$$");
    only_defect(&files, &["docs/chapter.md:20", "a dollar inside math"]);
    let files = with("docs/chapter.md", "$`x`$", "$x$");
    only_defect(
        &files,
        &["docs/chapter.md:11", "a dollar without a backtick"],
    );
    let files = with("docs/chapter.md", "$`x`$", "$`x`");
    only_defect(&files, &["docs/chapter.md:11", "not closed"]);
    let files = with("docs/chapter.md", "\\mid", "|");
    only_defect(&files, &["docs/chapter.md:68", "\\mid"]);
}

#[test]
fn catches_unbalanced_fences() {
    let files = with("docs/chapter.md", "\\tag{1.1}\n```\n", "\\tag{1.1}\n");
    assert!(
        defects(&files)
            .iter()
            .any(|d| d.contains("a fence opens inside the one opened at line 19"))
    );
    let files = with("docs/other.md", "module.\n", "module.\n\n```sh\nls\n");
    only_defect(&files, &["docs/other.md:3", "never closed"]);
    let files = with("docs/other.md", "module.\n", "module.\n\n```\nls\n```\n");
    only_defect(&files, &["docs/other.md:3", "names no language"]);
}

#[test]
fn catches_links_to_nowhere() {
    let files = with("docs/chapter.md", "(README.md)", "(READ.md)");
    only_defect(
        &files,
        &["docs/chapter.md:11", "docs/READ.md", "does not exist"],
    );
    let files = with(
        "docs/chapter.md",
        "[the section](#double-it)",
        "[the section](#treble-it)",
    );
    only_defect(&files, &["docs/chapter.md:11", "no `treble-it`"]);
    let files = with("README.md", "#notes", "#note");
    only_defect(&files, &["README.md:1", "no `note`"]);
    let files = with("README.md", "(docs)", "(../docs/assets)");
    only_defect(&files, &["README.md:1", "docs/assets"]);
}

#[test]
fn the_documentation_has_the_katex_of_the_book() {
    let read = |name: &str| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/assets");
        std::fs::read_to_string(folder.join(name)).unwrap()
    };
    let (header, katex) = (read("rustdoc-header.html"), read("katex.min.js"));
    assert!(
        header.contains(katex.trim_end()),
        "docs/assets/rustdoc-header.html has another KaTeX than katex.min.js: put that file into its first script"
    );
}
