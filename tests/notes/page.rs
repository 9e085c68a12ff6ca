//! Reading a page of Markdown: fences, sections, math, links.

use std::collections::BTreeSet;

/// A page as a list of lines outside fences, and the fenced blocks.
pub struct Page<'a> {
    pub prose: Vec<(usize, &'a str)>,
    pub blocks: Vec<Block<'a>>,
}

/// A fenced block; line numbers start at 1.
pub struct Block<'a> {
    pub opened: usize,
    pub language: &'a str,
    pub lines: Vec<&'a str>,
    pub closed: bool,
}

pub fn parse_page(text: &str) -> Page<'_> {
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
pub struct Section<'a> {
    pub slug: &'a str,
    pub title: &'a str,
    pub line: usize,
    pub lines: Vec<&'a str>,
}

impl Section<'_> {
    pub fn test_name(&self) -> String {
        self.slug.replace('-', "_")
    }
}

fn anchor(line: &str) -> Option<&str> {
    line.trim()
        .strip_prefix("<a id=\"")?
        .strip_suffix("\"></a>")
}

pub fn sections(text: &str) -> Vec<Section<'_>> {
    let outside: BTreeSet<usize> = parse_page(text)
        .prose
        .iter()
        .map(|(line, _)| *line)
        .collect();
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
pub struct Paragraph {
    pub first_line: usize,
    pub text: Vec<char>,
    /// As `text`, with code spans and math replaced by spaces.
    pub bare: Vec<char>,
    pub math: Vec<(usize, String)>,
    pub unclosed: Option<usize>,
}

impl Paragraph {
    pub fn line_at(&self, position: usize) -> usize {
        self.first_line + self.text[..position].iter().filter(|c| **c == '\n').count()
    }
}

pub fn paragraphs(page: &Page) -> Vec<Paragraph> {
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
pub struct Link {
    pub line: usize,
    pub text: String,
    pub target: String,
}

pub fn links(page: &Page) -> Vec<Link> {
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
        // A picture of a given width is HTML.
        let source: Vec<char> = "<img src=\"".chars().collect();
        for at in 0..bare.len() {
            if !bare[at..].starts_with(&source) {
                continue;
            }
            let target = bare[at + source.len()..].iter().take_while(|c| **c != '"');
            links.push(Link {
                line: paragraph.line_at(at),
                text: "img".to_owned(),
                target: target.collect(),
            });
        }
    }
    links
}

/// The file that a relative link on a page leads to, seen from the root, and the part behind the #.
pub fn resolve(page: &str, target: &str) -> (String, Option<String>) {
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
pub fn line_range(anchor: &str) -> Option<(usize, usize)> {
    let (first, last) = anchor.split_once('-').unwrap_or((anchor, anchor));
    let number = |text: &str| text.strip_prefix('L')?.parse().ok();
    Some((number(first)?, number(last)?))
}
