//! Notes, code and tests hold together: every section has its code, its command and its test, every quoted
//! line is the line of the source, every link leads somewhere. What fails says what to do about it.
//!
//! The rules take texts, so that the tests at the end can show on a small example that each defect is caught.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Every file of the repository by its path, with its text (empty where it is no text).
type Files = BTreeMap<String, String>;

const CONTENTS: &str = "docs/README.md";
const FORBIDDEN: [&str; 4] = ["\\operatorname", "\\newcommand", "\\label", "\\eqref"];

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

fn read_repository(root: &Path) -> Files {
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
        if entry.file_type().unwrap().is_dir() {
            read_folder(root, &path, files);
        } else {
            read_file(root, path, files);
        }
    }
}

fn read_file(root: &Path, path: String, files: &mut Files) {
    let is_text = path.ends_with(".md") || path.ends_with(".rs");
    let text = match is_text {
        true => fs::read_to_string(root.join(&path)).unwrap(),
        false => String::new(),
    };
    files.insert(path, text);
}

/// Everything that is wrong, each with what to do about it.
fn defects(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for chapter in chapters(files) {
        found.extend(untested_sections(files, chapter));
        found.extend(homeless_tests(files, chapter));
        found.extend(incomplete_sections(files, chapter));
        found.extend(unlisted_sections(files, chapter));
        found.extend(module_without_chapter(files, chapter));
    }
    found.extend(repeated_slugs(files));
    found.extend(doc_comments_to_nowhere(files));
    for page in pages(files) {
        found.extend(fence_faults(files, page));
        found.extend(math_faults(files, page));
        found.extend(quote_faults(files, page));
        found.extend(links_to_nowhere(files, page));
    }
    found
}

/// The pages that are checked: docs/*.md and the README.
fn pages(files: &Files) -> impl Iterator<Item = &str> {
    files.keys().map(String::as_str).filter(|path| {
        *path == "README.md"
            || path
                .strip_prefix("docs/")
                .is_some_and(|name| name.ends_with(".md") && !name.contains('/'))
    })
}

/// The chapters: the pages in docs with a module of the same name.
fn chapters(files: &Files) -> impl Iterator<Item = &str> {
    pages(files)
        .filter_map(|page| page.strip_prefix("docs/")?.strip_suffix(".md"))
        .filter(|name| module_of(files, name).is_some())
}

fn module_of(files: &Files, chapter: &str) -> Option<String> {
    [format!("src/{chapter}.rs"), format!("src/{chapter}/mod.rs")]
        .into_iter()
        .find(|path| files.contains_key(path))
}

// ---------------------------------------------------------------------------------------------------------
// Reading a page.

/// A page as a list of lines outside fences, and the fenced blocks.
struct Page<'a> {
    prose: Vec<(usize, &'a str)>,
    blocks: Vec<Block<'a>>,
}

/// A fenced block; line numbers start at 1.
struct Block<'a> {
    opened: usize,
    language: &'a str,
    lines: Vec<&'a str>,
    closed: bool,
}

fn parse(text: &str) -> Page<'_> {
    let (mut prose, mut blocks) = (Vec::new(), Vec::<Block>::new());
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim();
        match blocks.last_mut().filter(|block| !block.closed) {
            Some(block) if trimmed == "```" => block.closed = true,
            Some(block) => block.lines.push(line),
            None if trimmed.starts_with("```") => blocks.push(Block {
                opened: number,
                language: trimmed.trim_start_matches('`'),
                lines: Vec::new(),
                closed: false,
            }),
            None => prose.push((number, line)),
        }
    }
    Page { prose, blocks }
}

/// A section of a chapter: from its anchor to the next anchor or the next heading that is not its own.
struct Section<'a> {
    slug: &'a str,
    title: &'a str,
    line: usize,
    lines: Vec<&'a str>,
}

impl Section<'_> {
    fn test_name(&self) -> String {
        self.slug.replace('-', "_")
    }
}

fn anchor(line: &str) -> Option<&str> {
    line.trim()
        .strip_prefix("<a id=\"")?
        .strip_suffix("\"></a>")
}

fn sections(text: &str) -> Vec<Section<'_>> {
    let outside: BTreeSet<usize> = parse(text).prose.iter().map(|(line, _)| *line).collect();
    let mut sections = Vec::<Section>::new();
    let mut open = false;
    for (number, line) in (1..).zip(text.lines()) {
        let is_prose = outside.contains(&number);
        let heading = line.strip_prefix("## ").or(line.strip_prefix("# "));
        if let Some(slug) = anchor(line).filter(|_| is_prose) {
            let (title, lines) = ("", Vec::new());
            sections.push(Section {
                slug,
                title,
                line: number,
                lines,
            });
            open = true;
        } else if let Some(section) = sections.last_mut().filter(|_| open) {
            match heading.filter(|_| is_prose) {
                Some(title) if section.title.is_empty() => section.title = title,
                Some(_) => open = false,
                None => section.lines.push(line),
            }
        }
    }
    sections
}

/// A paragraph with its code and math blanked out, and the math by itself.
struct Paragraph {
    first_line: usize,
    text: Vec<char>,
    /// As `text`, with code spans and math replaced by spaces.
    bare: Vec<char>,
    math: Vec<(usize, String)>,
    unclosed: Option<usize>,
}

impl Paragraph {
    fn line_at(&self, position: usize) -> usize {
        self.first_line + self.text[..position].iter().filter(|c| **c == '\n').count()
    }
}

fn paragraphs(page: &Page) -> Vec<Paragraph> {
    let mut groups: Vec<(usize, String)> = Vec::new();
    let mut previous = 0;
    for &(number, line) in &page.prose {
        if line.trim().is_empty() {
            continue;
        }
        match groups.last_mut().filter(|_| number == previous + 1) {
            Some((_, text)) => {
                text.push('\n');
                text.push_str(line);
            }
            None => groups.push((number, line.to_owned())),
        }
        previous = number;
    }
    groups.into_iter().map(spans).collect()
}

fn spans((first_line, text): (usize, String)) -> Paragraph {
    let text: Vec<char> = text.chars().collect();
    let mut paragraph = Paragraph {
        first_line,
        bare: text.clone(),
        text,
        math: Vec::new(),
        unclosed: None,
    };
    let mut at = 0;
    while at < paragraph.text.len() {
        let is_math = paragraph.text[at..].starts_with(&['$', '`']);
        let ticks = paragraph.text[at..]
            .iter()
            .take_while(|c| **c == '`')
            .count();
        if !is_math && ticks == 0 {
            at += 1;
            continue;
        }
        let opening = if is_math { 2 } else { ticks };
        let closing = if is_math {
            vec!['`', '$']
        } else {
            vec!['`'; ticks]
        };
        let inside = at + opening;
        let Some(length) = find(&paragraph.text[inside..], &closing) else {
            paragraph.unclosed = Some(paragraph.line_at(at));
            break;
        };
        if is_math {
            let math = paragraph.text[inside..inside + length].iter().collect();
            paragraph.math.push((paragraph.line_at(at), math));
        }
        let end = inside + length + opening;
        for c in &mut paragraph.bare[at..end] {
            *c = if *c == '\n' { '\n' } else { ' ' };
        }
        at = end;
    }
    paragraph
}

fn find(text: &[char], wanted: &[char]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

/// A link `[text](target)`.
#[derive(Clone)]
struct Link {
    line: usize,
    text: String,
    target: String,
}

fn links(page: &Page) -> Vec<Link> {
    let mut links = Vec::new();
    for paragraph in paragraphs(page) {
        let bare = &paragraph.bare;
        for at in 0..bare.len() {
            if !bare[at..].starts_with(&[']', '(']) {
                continue;
            }
            let start = bare[..at]
                .iter()
                .rposition(|c| *c == '[')
                .map_or(0, |i| i + 1);
            let target = bare[at + 2..].iter().take_while(|c| **c != ')');
            links.push(Link {
                line: paragraph.line_at(at),
                text: paragraph.text[start..at].iter().collect(),
                target: target.collect(),
            });
        }
    }
    links
}

/// The file that a relative link on a page leads to, seen from the root, and the part behind the #.
fn resolve(page: &str, target: &str) -> (String, Option<String>) {
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor.to_owned())),
        None => (target, None),
    };
    if path.is_empty() {
        return (page.to_owned(), anchor);
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    (parts.join("/"), anchor)
}

/// `L12-L30` or `L12`.
fn line_range(anchor: &str) -> Option<(usize, usize)> {
    let (first, last) = anchor.split_once('-').unwrap_or((anchor, anchor));
    let number = |text: &str| text.strip_prefix('L')?.parse().ok();
    Some((number(first)?, number(last)?))
}

// ---------------------------------------------------------------------------------------------------------
// Sections and tests.

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

/// The slug that a test belongs to: the longest one that its name begins with, so that
/// `denoising_is_score_matching` is not taken for a test of `denoising`.
fn section_of<'a>(test: &str, sections: &'a [Section<'a>]) -> Option<&'a str> {
    let begins = |section: &&Section| {
        test.strip_prefix(section.test_name().as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    let longest = sections.iter().filter(begins).max_by_key(|s| s.slug.len());
    longest.map(|section| section.slug)
}

fn text_of<'a>(files: &'a Files, path: &str) -> &'a str {
    files.get(path).map_or("", String::as_str)
}

fn untested_sections(files: &Files, chapter: &str) -> Vec<String> {
    let (page, test_file) = (format!("docs/{chapter}.md"), format!("tests/{chapter}.rs"));
    let sections = sections(text_of(files, &page));
    let tested: BTreeSet<&str> = tests_in(text_of(files, &test_file))
        .iter()
        .filter_map(|(_, name)| section_of(name, &sections))
        .collect();
    let untested = sections.iter().filter(|s| !tested.contains(s.slug));
    untested
        .map(|section| {
            format!(
                "{page}:{}: the section `{}` has no test. Write a `#[test] fn {}…()` in {test_file}.",
                section.line,
                section.slug,
                section.test_name()
            )
        })
        .collect()
}

fn homeless_tests(files: &Files, chapter: &str) -> Vec<String> {
    let (page, test_file) = (format!("docs/{chapter}.md"), format!("tests/{chapter}.rs"));
    let sections = sections(text_of(files, &page));
    let tests = tests_in(text_of(files, &test_file));
    let homeless = tests
        .iter()
        .filter(|(_, name)| section_of(name, &sections).is_none());
    homeless
        .map(|(line, name)| {
            format!(
                "{test_file}:{line}: the test `{name}` belongs to no section of {page}. Begin its name with \
                 a slug in snake case, or write the section with `<a id=\"slug\"></a>` above its heading."
            )
        })
        .collect()
}

fn incomplete_sections(files: &Files, chapter: &str) -> Vec<String> {
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
        let quotes_code = links(&parse(&text)).iter().any(|link| {
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
        let commands = text.lines().filter_map(|line| line.strip_prefix(&command));
        if !commands
            .into_iter()
            .any(|rest| rest.is_empty() || rest.starts_with(' '))
        {
            found.push(format!(
                "{page}:{line}: the section `{slug}` does not say how to check it. Add a ```sh block with \
                 `{command}` under **Check.**"
            ));
        }
    }
    found
}

fn unlisted_sections(files: &Files, chapter: &str) -> Vec<String> {
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

fn module_without_chapter(files: &Files, chapter: &str) -> Option<String> {
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

fn repeated_slugs(files: &Files) -> Vec<String> {
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
fn doc_comments_to_nowhere(files: &Files) -> Vec<String> {
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

// ---------------------------------------------------------------------------------------------------------
// Quotes.

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

fn quote_faults(files: &Files, page_path: &str) -> Vec<String> {
    let page = parse(text_of(files, page_path));
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
                 `UPDATE_NOTES=1 cargo test --test notes`.",
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
fn renumbered(files: &Files) -> Files {
    let mut changed = Files::new();
    for page_path in pages(files) {
        let text = text_of(files, page_path);
        let page = parse(text);
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

// ---------------------------------------------------------------------------------------------------------
// Fences, math, links.

fn fence_faults(files: &Files, page_path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for block in parse(text_of(files, page_path)).blocks {
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

fn math_faults(files: &Files, page_path: &str) -> Vec<String> {
    let page = parse(text_of(files, page_path));
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
    let page = parse(text);
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

fn links_to_nowhere(files: &Files, page_path: &str) -> Vec<String> {
    let page = parse(text_of(files, page_path));
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

// ---------------------------------------------------------------------------------------------------------
// Each rule catches what it is there for. One small repository, sound; then one thing at a time is broken.

const SOUND_PAGE: &str = r#"# Chapter

Words on $`x`$, see [the section](#double-it) and [contents](README.md).

<a id="double-it"></a>

## Twice

**Claim.** $`\bar x = 2 \bar y`$, costs \$0.

```math
y = 2x \tag{1.1}
```

**Code.** [`src/chapter.rs`, lines 4–6](../src/chapter.rs#L4-L6)

```rust,ignore
fn twice(x: f64) -> f64 {
    2.0 * x
}
```

**Check.**

```sh
cargo test double_it
```

| a | b |
|---|---|
| $`p(x \mid z)`$ | `a | b` |
"#;

const SOUND_MODULE: &str = r#"#![doc = include_str!("../docs/chapter.md")]

mod inner {
    fn twice(x: f64) -> f64 {
        2.0 * x
    }
    /// See [the notes](crate::chapter#double-it).
    fn other() {}
}
"#;

const SOUND_TESTS: &str = "#[test]\nfn double_it_by_hand() {}\n\nfn helper() {}\n";

fn sound() -> Files {
    [
        ("README.md", "[notes](docs/README.md#notes), [folder](docs)"),
        (CONTENTS, "# Notes\n\n- [Twice](chapter.md#double-it)\n"),
        ("docs/chapter.md", SOUND_PAGE),
        ("docs/other.md", "A page without a module.\n"),
        ("src/chapter.rs", SOUND_MODULE),
        ("tests/chapter.rs", SOUND_TESTS),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .into()
}

/// The sound repository with `old` replaced by `new` in one file.
fn with(path: &str, old: &str, new: &str) -> Files {
    let mut files = sound();
    let text = files.get_mut(path).unwrap();
    assert!(text.contains(old), "{path} has no {old:?}");
    *text = text.replacen(old, new, 1);
    files
}

/// Exactly one defect is found, and its message says all of this.
fn only_defect(files: &Files, says: &[&str]) {
    let found = defects(files);
    assert_eq!(found.len(), 1, "{found:#?}");
    for part in says {
        assert!(found[0].contains(part), "{part:?} is not in {:?}", found[0]);
    }
}

#[test]
fn a_sound_repository_has_no_defects() {
    assert_eq!(defects(&sound()), Vec::<String>::new());
    assert!(renumbered(&sound()).is_empty());
}

#[test]
fn catches_a_section_without_a_test() {
    let files = with("tests/chapter.rs", "#[test]\n", "");
    only_defect(
        &files,
        &["docs/chapter.md:5", "fn double_it…()", "tests/chapter.rs"],
    );
    let mut files = sound();
    files.remove("tests/chapter.rs");
    only_defect(&files, &["has no test"]);
}

#[test]
fn catches_a_section_whose_only_test_is_that_of_a_longer_slug() {
    let second = "<a id=\"double-it-twice\"></a>\n\n## Four times\n\n**Code.** \
                  [`src/chapter.rs`, line 5](../src/chapter.rs#L5)\n\n```rust,ignore\n2.0 * x\n```\n\n\
                  ```sh\ncargo test double_it_twice\n```\n\n<a id=\"double-it\">";
    let mut files = with("docs/chapter.md", "<a id=\"double-it\">", second);
    files.insert(
        CONTENTS.into(),
        "# Notes\n[](chapter.md#double-it) [](chapter.md#double-it-twice)".into(),
    );
    let only_longer = "#[test]\nfn double_it_twice_by_hand() {}\n";
    files.insert("tests/chapter.rs".into(), only_longer.into());
    only_defect(&files, &["`double-it` has no test"]);
}

#[test]
fn catches_a_test_without_a_section() {
    let files = with("tests/chapter.rs", "fn helper", "#[test]\nfn helper");
    only_defect(
        &files,
        &["tests/chapter.rs:5", "`helper`", "belongs to no section"],
    );
    let files = with(
        "tests/chapter.rs",
        "fn helper",
        "#[test]\n#[ignore]\nfn double_items",
    );
    only_defect(&files, &["`double_items`"]);
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
    only_defect(&files, &["docs/chapter.md:5", "links no code"]);
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
            "docs/chapter.md:15",
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
fn catches_math_that_does_not_work_everywhere() {
    for command in FORBIDDEN {
        let files = with("docs/chapter.md", "y = 2x", &format!("{command}{{y}} = 2x"));
        only_defect(&files, &["docs/chapter.md:12", command]);
        let files = with("docs/chapter.md", "$`x`$", &format!("$`{command}{{x}}`$"));
        only_defect(&files, &["docs/chapter.md:3", command]);
    }
    let files = with("docs/chapter.md", "$`x`$", "$$x$$");
    only_defect(&files, &["docs/chapter.md:3", "a bare $$"]);
    let files = with("docs/chapter.md", "y = 2x", "$$y = 2x$$");
    only_defect(&files, &["docs/chapter.md:12", "a dollar inside math"]);
    let files = with("docs/chapter.md", "$`x`$", "$x$");
    only_defect(
        &files,
        &["docs/chapter.md:3", "a dollar without a backtick"],
    );
    let files = with("docs/chapter.md", "$`x`$", "$`x`");
    only_defect(&files, &["docs/chapter.md:3", "not closed"]);
    let files = with("docs/chapter.md", "\\mid", "|");
    only_defect(&files, &["docs/chapter.md:31", "\\mid"]);
}

#[test]
fn catches_unbalanced_fences() {
    let files = with("docs/chapter.md", "\\tag{1.1}\n```\n", "\\tag{1.1}\n");
    assert!(
        defects(&files)
            .iter()
            .any(|d| d.contains("a fence opens inside the one opened at line 11"))
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
        &["docs/chapter.md:3", "docs/READ.md", "does not exist"],
    );
    let files = with("docs/chapter.md", "(#double-it)", "(#treble-it)");
    only_defect(&files, &["docs/chapter.md:3", "no `treble-it`"]);
    let files = with("README.md", "#notes", "#note");
    only_defect(&files, &["README.md:1", "no `note`"]);
    let files = with("README.md", "(docs)", "(../docs/assets)");
    only_defect(&files, &["README.md:1", "docs/assets"]);
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
        &["docs/chapter.md:5, docs/other.md:1", "`double-it`"],
    );
}
