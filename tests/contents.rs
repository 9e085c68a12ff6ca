//! Runs first in `cargo test`, and says which sections of the notes the filter names.
//!
//! It has no tests of its own. A filter that names a section in another spelling (`cargo test kl-gaussian-standard`)
//! selects no test and would look like success: this program says what to type, and fails.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let sections = read_sections(Path::new(env!("CARGO_MANIFEST_DIR")));
    match answer(&Request::new(&arguments), &sections) {
        Ok(text) => print!("{text}"),
        Err(advice) => {
            eprintln!("{advice}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// A section of the notes, with the full names of its tests.
pub struct Section {
    pub chapter: String,
    pub slug: String,
    pub title: String,
    pub tests: Vec<String>,
}

impl Section {
    /// The path of its test module, with which the names of its tests begin.
    fn module(&self) -> String {
        format!("{}::{}", self.chapter, self.slug.replace('-', "_"))
    }

    /// Whether a filter selects a test of this section by a part of the section's name.
    fn is_named_by(&self, filter: &str, request: &Request) -> bool {
        let length = self.module().len();
        let selected = |test: &&String| !request.skips(test) && request.selects(test, filter);
        let by_name = |test: &String| test.find(filter).is_some_and(|start| start < length);
        self.tests.iter().filter(selected).any(by_name)
    }
}

/// What libtest reads from its arguments, as far as it matters here.
#[derive(Default)]
pub struct Request {
    filters: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    /// Where the output is for programs, or wanted short.
    quiet: bool,
    list: bool,
}

impl Request {
    pub fn new(arguments: &[String]) -> Self {
        let mut request = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let (option, value) = match argument.split_once('=') {
                Some((option, value)) if option.starts_with('-') => (option, Some(value)),
                _ => (argument.as_str(), None),
            };
            let mut value = || {
                let next = || arguments.next().map(String::as_str);
                value.or_else(next).unwrap_or_default().to_owned()
            };
            match option {
                "--skip" => request.skipped.push(value()),
                "--format" => request.quiet |= value() != "pretty",
                "--test-threads" | "--color" | "--logfile" | "--shuffle-seed" | "-Z" => {
                    drop(value())
                }
                "--exact" => request.exact = true,
                "--list" => request.list = true,
                "-q" | "--quiet" => request.quiet = true,
                _ if option.starts_with('-') => {}
                _ => request.filters.push(argument.clone()),
            }
        }
        request
    }

    fn selects(&self, test: &str, filter: &str) -> bool {
        match self.exact {
            true => test == filter,
            false => test.contains(filter),
        }
    }

    fn skips(&self, test: &str) -> bool {
        self.skipped.iter().any(|skip| self.selects(test, skip))
    }
}

/// What to print, or what to type instead of a filter that selects no test.
pub fn answer(request: &Request, sections: &[Section]) -> Result<String, String> {
    if request.list {
        return Ok(String::new());
    }
    let tests = || sections.iter().flat_map(|section| &section.tests);
    for filter in &request.filters {
        let spelt = filter.replace('-', "_");
        let selects_none = !tests().any(|test| request.selects(test, filter));
        if selects_none && sections.iter().any(|s| s.module().contains(&spelt)) {
            let without = if request.exact {
                " without --exact"
            } else {
                ""
            };
            return Err(format!(
                "no test is called `{filter}`: type `cargo test {spelt}`{without}"
            ));
        }
    }
    if request.quiet {
        return Ok(String::new());
    }
    if request.filters.is_empty() {
        let mut chapters: Vec<&str> = sections.iter().map(|s| s.chapter.as_str()).collect();
        chapters.dedup();
        return Ok(format!(
            "{} sections in {} chapters: docs/README.md lists them, `cargo test <section>` checks one\n",
            sections.len(),
            chapters.len()
        ));
    }
    let named = sections.iter().filter(|section| {
        let mut filters = request.filters.iter();
        filters.any(|filter| section.is_named_by(filter, request))
    });
    Ok(named.map(line).collect())
}

fn line(section: &Section) -> String {
    let Section {
        chapter,
        slug,
        title,
        ..
    } = section;
    let file = section.module().replace("::", "/");
    format!("{slug}: \"{title}\", docs/{chapter}.md#{slug}, checked by tests/{file}.rs\n")
}

/// The sections of all pages in docs, in the order of the chapters' numbers.
fn read_sections(root: &Path) -> Vec<Section> {
    let mut pages: Vec<(String, String)> = files(&root.join("docs"), "md");
    // "# 3 Forward and reverse divergence"
    let number = |text: &str| {
        text.split(' ')
            .nth(1)
            .and_then(|word| word.parse::<u32>().ok())
    };
    pages.sort_by_key(|(_, text)| number(text));
    let mut sections = Vec::new();
    for (chapter, text) in pages {
        for mut section in sections_of(&chapter, &text) {
            let folder = root.join("tests").join(&chapter);
            let file = section.slug.replace('-', "_");
            let own = fs::read_to_string(folder.join(format!("{file}.rs"))).unwrap_or_default();
            section.tests = tests_of(&section.module(), &own);
            for (child, text) in files(&folder.join(file), "rs") {
                section
                    .tests
                    .extend(tests_of(&format!("{}::{child}", section.module()), &text));
            }
            sections.push(section);
        }
    }
    sections
}

/// The files of a folder with this extension: names without it, and texts. None if there is no such folder.
fn files(folder: &Path, extension: &str) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<(String, String)> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| {
            let name = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (name, fs::read_to_string(&path).expect("a readable file"))
        })
        .collect();
    files.sort();
    files
}

/// The sections of a page: an anchor, and the heading beneath it.
pub fn sections_of(chapter: &str, text: &str) -> Vec<Section> {
    let parts = text.split("<a id=\"").skip(1);
    let section = |part: &str| {
        let (slug, rest) = part.split_once("\"></a>\n\n## ")?;
        Some(Section {
            chapter: chapter.to_owned(),
            slug: slug.to_owned(),
            title: rest.lines().next()?.replace("$`", "").replace("`$", ""),
            tests: Vec::new(),
        })
    };
    parts.filter_map(section).collect()
}

/// The full names of the test functions in the text of a module.
pub fn tests_of(module: &str, text: &str) -> Vec<String> {
    let mut tests = Vec::new();
    let mut is_test = false;
    for line in text.lines() {
        is_test |= line == "#[test]";
        if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
            let name = rest.split('(').next().unwrap_or(rest);
            tests.push(format!("{module}::{name}"));
            is_test = false;
        }
    }
    tests
}
