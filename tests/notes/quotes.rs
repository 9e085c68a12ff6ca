//! A quoted block is the source at the lines that the link above it names.

use std::collections::BTreeSet;

use super::example::{SOUND_MODULE, SOUND_PAGE, only_defect, sound, with};
use super::page::{Block, Link, Page, line_range, links, parse_page, resolve};
use super::repository::{Files, defects, pages, text_of};

/// What is to be said of a quoted block.
enum Quote {
    Exact,
    /// The link's lines are others; the block stands at these instead.
    Moved {
        link: Link,
        path: String,
        to: (usize, usize),
    },
    Faulty(String),
}

/// The text of a link to lines of a file.
fn link_text(path: &str, (first, last): (usize, usize)) -> String {
    match first == last {
        true => format!("`{path}`, line {first}"),
        false => format!("`{path}`, lines {first}–{last}"),
    }
}

fn link_anchor((first, last): (usize, usize)) -> String {
    match first == last {
        true => format!("L{first}"),
        false => format!("L{first}-L{last}"),
    }
}

/// Lines without the indentation that they share.
fn dedent(lines: &[&str]) -> Vec<String> {
    let indentation = |line: &&&str| line.len() - line.trim_start().len();
    let written = lines.iter().filter(|line| !line.trim().is_empty());
    let shared = written.map(|line| indentation(&line)).min().unwrap_or(0);
    lines
        .iter()
        .map(|line| line.get(shared..).unwrap_or("").trim_end().to_owned())
        .collect()
}

/// Where a block stands in a source, as line numbers.
fn occurrences(block: &[&str], source: &[&str]) -> Vec<(usize, usize)> {
    let block = dedent(block);
    if block.is_empty() {
        return Vec::new();
    }
    (1..)
        .zip(source.windows(block.len()))
        .filter(|(_, window)| dedent(window) == block)
        .map(|(first, _)| (first, first + block.len() - 1))
        .collect()
}

/// The link that ends the last line of prose above a block, if only blank lines lie between.
fn link_above(page: &Page, block: &Block) -> Option<Link> {
    let above = page.prose.iter().filter(|(line, _)| *line < block.opened);
    let (line, text) = above.rev().find(|(_, text)| !text.trim().is_empty())?;
    let other_block = page
        .blocks
        .iter()
        .any(|b| *line < b.opened && b.opened < block.opened);
    let link = links(page).into_iter().rfind(|link| link.line == *line)?;
    let ends_with_it = text.trim_end().ends_with(&format!("]({})", link.target));
    (ends_with_it && !other_block).then_some(link)
}

fn is_quote(block: &Block) -> bool {
    block.language == "rust,ignore"
}

fn judge(files: &Files, page_path: &str, page: &Page, block: &Block) -> Quote {
    let place = format!("{page_path}:{}", block.opened);
    let target = link_above(page, block).and_then(|link| {
        let (path, anchor) = resolve(page_path, &link.target);
        let range = line_range(&anchor?)?;
        path.ends_with(".rs").then_some((link, path, range))
    });
    let Some((link, path, range)) = target else {
        return Quote::Faulty(format!(
            "{place}: the rust,ignore block does not say what it quotes. The line above it must end with a \
             link such as [`src/path.rs`, lines 12–30](../src/path.rs#L12-L30); an example of its own is \
             opened with ```rust and runs as a doctest."
        ));
    };
    let source: Vec<&str> = text_of(files, &path).lines().collect();
    let found = occurrences(&block.lines, &source);
    if found.contains(&range) {
        return if link.text == link_text(&path, range) {
            Quote::Exact
        } else {
            Quote::Moved {
                link,
                path,
                to: range,
            }
        };
    }
    match found[..] {
        [to] => Quote::Moved { link, path, to },
        [] => Quote::Faulty(format!(
            "{place}: the block is not in {path} any more. {}",
            first_difference(&block.lines, &source, range)
        )),
        _ => Quote::Faulty(format!(
            "{place}: the block is not at {} of {path}, but at several other places: {}. Link the one you mean.",
            link_anchor(range),
            found
                .iter()
                .map(|r| link_anchor(*r))
                .collect::<Vec<_>>()
                .join(", ")
        )),
    }
}

fn first_difference(block: &[&str], source: &[&str], (first, last): (usize, usize)) -> String {
    let Some(lines) = source.get(first.saturating_sub(1)..last) else {
        return format!(
            "It has {} lines, and the link says {}. Link and quote the lines you mean.",
            source.len(),
            link_anchor((first, last))
        );
    };
    let (quoted, actual) = (dedent(block), dedent(lines));
    if let Some(i) = (0..quoted.len().min(actual.len())).find(|&i| quoted[i] != actual[i]) {
        return format!(
            "Line {} reads\n    {}\nand the notes quote\n    {}\nQuote the lines anew, and see whether the derivation still holds.",
            first + i,
            actual[i],
            quoted[i]
        );
    }
    format!(
        "The link says {} ({} lines), and the block has {} lines. Quote exactly these lines.",
        link_anchor((first, last)),
        actual.len(),
        quoted.len()
    )
}

pub fn quote_faults(files: &Files, page_path: &str) -> Vec<String> {
    let page = parse_page(text_of(files, page_path));
    let mut found = Vec::new();
    let mut quoted = BTreeSet::new();
    for block in page.blocks.iter().filter(|block| is_quote(block)) {
        if let Some(link) = link_above(&page, block) {
            quoted.insert((link.line, link.target));
        }
        match judge(files, page_path, &page, block) {
            Quote::Exact => {}
            Quote::Moved { link, path, to } => found.push(format!(
                "{page_path}:{}: the quoted lines of {path} are [{}](…#{}), and the link is [{}]({}). Correct it, or run \
                 `UPDATE_NOTES=1 cargo test --test library notes`.",
                link.line,
                link_text(&path, to),
                link_anchor(to),
                link.text,
                link.target
            )),
            Quote::Faulty(message) => found.push(message),
        }
    }
    for link in links(&page) {
        let (path, anchor) = resolve(page_path, &link.target);
        let has_lines = path.ends_with(".rs") && anchor.as_deref().and_then(line_range).is_some();
        if has_lines && !quoted.contains(&(link.line, link.target.clone())) {
            found.push(format!(
                "{page_path}:{}: the link to {} has line numbers and no quote beneath it, so nothing would \
                 notice when the lines move. Quote the lines in a ```rust,ignore block directly beneath, or \
                 link the file without line numbers.",
                link.line, link.target
            ));
        }
    }
    found
}

/// The pages whose quotes stand elsewhere in their source than their links say, with link and link text set
/// right and nothing else changed.
pub fn renumbered(files: &Files) -> Files {
    let mut changed = Files::new();
    for page_path in pages(files) {
        let text = text_of(files, page_path);
        let page = parse_page(text);
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        for block in page.blocks.iter().filter(|block| is_quote(block)) {
            if let Quote::Moved { link, path, to } = judge(files, page_path, &page, block) {
                let (file, _) = link.target.split_once('#').expect("judged by its range");
                let old = format!("[{}]({})", link.text, link.target);
                let new = format!("[{}]({file}#{})", link_text(&path, to), link_anchor(to));
                let line = &mut lines[link.line - 1];
                *line = line.replace(&old, &new);
            }
        }
        let updated = lines.join("\n");
        if updated != text {
            changed.insert(page_path.to_owned(), updated);
        }
    }
    changed
}

#[test]
fn catches_a_quote_without_a_link() {
    let files = with("docs/chapter.md", "#L4-L6)\n", "#L4-L6)\n\nMore words.\n");
    let found = defects(&files);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("does not say what it quotes"));
    assert!(found[1].contains("no quote beneath it"));
}

#[test]
fn catches_a_quote_that_drifted_in_its_words() {
    for (path, old) in [
        ("src/chapter.rs", "2.0 * x"),
        ("docs/chapter.md", "2.0 * x"),
    ] {
        let files = with(path, old, "3.0 * x");
        only_defect(
            &files,
            &[
                "not in src/chapter.rs any more",
                "Line 5",
                "3.0 * x",
                "2.0 * x",
            ],
        );
    }
    let files = with("docs/chapter.md", "    2.0 * x", "  2.0 * x");
    only_defect(&files, &["Line 5"]);
    let files = with(
        "docs/chapter.md",
        "\n    2.0 * x\n}\n",
        "\n    2.0 * x\n}\n// more\n",
    );
    only_defect(&files, &["has 4 lines"]);
    let mut files = sound();
    files.insert(
        "src/chapter.rs".into(),
        SOUND_MODULE.lines().take(1).collect(),
    );
    let found = defects(&files);
    assert!(found[0].contains("It has 1 lines"), "{found:#?}");
}

#[test]
fn catches_a_quote_that_moved_and_renumbers_it() {
    let files = with("src/chapter.rs", "mod inner", "// One\n// two.\nmod inner");
    only_defect(
        &files,
        &[
            "docs/chapter.md:23",
            "lines 6–8",
            "#L6-L8",
            "UPDATE_NOTES=1",
        ],
    );
    let changed = renumbered(&files);
    assert_eq!(changed.keys().collect::<Vec<_>>(), ["docs/chapter.md"]);
    let expected = SOUND_PAGE
        .replace("lines 4–6", "lines 6–8")
        .replace("#L4-L6", "#L6-L8");
    assert_eq!(changed["docs/chapter.md"], expected);
}

#[test]
fn catches_a_quote_with_other_numbers_in_the_text_than_in_the_link() {
    let files = with("docs/chapter.md", "lines 4–6", "lines 4–7");
    only_defect(&files, &["lines 4–6"]);
    assert_eq!(renumbered(&files)["docs/chapter.md"], SOUND_PAGE);
}

#[test]
fn does_not_guess_among_several_places() {
    let twice = "    fn twice(x: f64) -> f64 {\n        2.0 * x\n    }\n";
    let files = with(
        "src/chapter.rs",
        "mod inner {\n",
        &format!("mod inner {{\n\n{twice}\n"),
    );
    only_defect(&files, &["several other places: L5-L7, L9-L11"]);
    assert!(renumbered(&files).is_empty());
}
