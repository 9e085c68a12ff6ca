//! What makes a chapter pleasant to read: it opens with a picture and a list of its sections, the figures of its checks
//! stand in folds, its exercises have answers, and every work in the bibliography is cited.

use std::collections::BTreeSet;

use super::page::{Section, links, parse_page, resolve, sections};
use super::repository::{Files, pages, text_of};

const BIBLIOGRAPHY: &str = "docs/bibliography.md";

/// At most this share of a chapter's words may stand in Check paragraphs outside folds.
const CHECK_SHARE: f64 = 0.05;

/// The headings of a page with the anchors that lead to them.
fn headings(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut written = None;
    for (_, line) in parse_page(text).prose {
        if let Some(rest) = line.trim().strip_prefix("<a id=\"") {
            written = rest.strip_suffix("\"></a>").map(str::to_owned);
        } else if let Some(title) = line.strip_prefix("## ") {
            let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
            let slug: String = title.to_lowercase().chars().filter(kept).collect();
            let anchor = written.take().unwrap_or(slug.replace(' ', "-"));
            found.push((title.to_owned(), anchor));
        }
    }
    found
}

/// A chapter opens with a picture and the list of its sections, in their order.
pub fn opening_faults(files: &Files, chapter: &str) -> Vec<String> {
    let page = format!("docs/{chapter}.md");
    let text = text_of(files, &page);
    let opening = text.split("\n## ").next().unwrap_or(text).to_owned() + "\n";
    let mut found = Vec::new();
    if !opening.contains("](figures/") {
        found.push(format!(
            "{page}:1: the chapter opens without a picture. Show one from docs/figures before its first section."
        ));
    }
    let entries = headings(text)
        .iter()
        .map(|(title, anchor)| format!("- [{title}](#{anchor})\n"))
        .collect::<String>();
    if !entries.is_empty() && !opening.contains(&format!("**In this chapter**\n\n{entries}\n")) {
        found.push(format!(
            "{page}:1: the chapter's list of contents is not that of its headings. It should read\n\n**In this \
             chapter**\n\n{entries}"
        ));
    }
    found
}

fn words(line: &str) -> usize {
    line.split_whitespace().count()
}

/// The words of a section's Check paragraphs that stand outside of folds and blocks: from **Check.** to what follows.
fn words_of_the_check(section: &Section) -> usize {
    let text = section.lines.join("\n");
    let mut count = 0;
    let (mut in_check, mut in_fold) = (false, false);
    for (_, line) in parse_page(&text).prose {
        let line = line.trim();
        match line {
            "<details>" => in_fold = true,
            "</details>" => (in_fold, in_check) = (false, false),
            _ => in_check |= line.starts_with("**Check.**"),
        }
        if in_check && !in_fold {
            count += words(line);
        }
    }
    count
}

pub fn wordy_checks(files: &Files, chapter: &str) -> Option<String> {
    let page = format!("docs/{chapter}.md");
    let text = text_of(files, &page);
    let all: usize = parse_page(text).prose.iter().map(|(_, l)| words(l)).sum();
    let checks: usize = sections(text).iter().map(words_of_the_check).sum();
    let share = checks as f64 / all.max(1) as f64;
    (share > CHECK_SHARE).then(|| {
        format!(
            "{page}:1: {checks} of {all} words, {:.0} %, stand in Check paragraphs outside folds. One sentence says what \
             was found; the rest belongs into the fold beneath the command.",
            100.0 * share
        )
    })
}

/// Folds that GitHub, rustdoc and mdBook all show: `<details>`, a line of summary, a blank line, and closed again.
pub fn fold_faults(files: &Files, page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut opened = None;
    let prose = parse_page(text_of(files, page)).prose;
    for (i, (number, line)) in prose.iter().enumerate() {
        match line.trim() {
            "<details>" => {
                let next = |n: usize| prose.get(i + n).map_or("", |(_, line)| line.trim());
                let summary = next(1).starts_with("<summary>") && next(1).ends_with("</summary>");
                if opened.is_some() || !summary || !next(2).is_empty() {
                    found.push(format!(
                        "{page}:{number}: a fold is <details>, the line <summary>…</summary>, a blank line, the text, \
                         </details>, and holds no other fold."
                    ));
                }
                opened = Some(*number);
            }
            "</details>" if opened.take().is_none() => {
                found.push(format!("{page}:{number}: </details> closes no fold."));
            }
            _ => {}
        }
    }
    found.extend(opened.map(|line| format!("{page}:{line}: the fold is never closed.")));
    found
}

/// A section has a fold with what its check found, and an exercise with its answer.
pub fn sections_without_exercise(files: &Files, chapter: &str) -> Vec<String> {
    let page = format!("docs/{chapter}.md");
    let mut found = Vec::new();
    for section in sections(text_of(files, &page)) {
        let text = section.lines.join("\n");
        let after = |mark: &str| text.split_once(mark).map_or("", |(_, rest)| rest);
        for (mark, what) in [
            ("**Check.**", "what its check compared, allowed and found"),
            ("**Exercise.**", "the answer to an exercise"),
        ] {
            if !after(mark).contains("<details>\n<summary>") {
                found.push(format!(
                    "{page}:{}: the section `{}` has no fold after {mark} with {what}.",
                    section.line, section.slug
                ));
            }
        }
    }
    found
}

/// Every work is cited from somewhere, and the bibliography links each page that cites it.
pub fn uncited_works(files: &Files) -> Vec<String> {
    let text = text_of(files, BIBLIOGRAPHY);
    let mut found = Vec::new();
    let mut cited = BTreeSet::new();
    for page in pages(files).filter(|page| *page != BIBLIOGRAPHY) {
        for link in links(&parse_page(text_of(files, page))) {
            let (path, anchor) = resolve(page, &link.target);
            if let Some(work) = anchor.filter(|_| path == BIBLIOGRAPHY) {
                cited.insert((work, page.trim_start_matches("docs/")));
            }
        }
    }
    for (number, line) in (1..).zip(text.lines()) {
        let Some((work, _)) = line
            .strip_prefix("- <a id=\"")
            .and_then(|rest| rest.split_once('"'))
        else {
            continue;
        };
        let citing: Vec<&str> = cited
            .iter()
            .filter(|(name, _)| name == work)
            .map(|(_, page)| *page)
            .collect();
        if citing.is_empty() {
            found.push(format!(
                "{BIBLIOGRAPHY}:{number}: nothing cites `{work}`. Cite it where it is used, or drop it."
            ));
        }
        for page in citing {
            if !line.contains(&format!("]({page})")) {
                found.push(format!(
                    "{BIBLIOGRAPHY}:{number}: docs/{page} cites `{work}`. Say so at the end of the entry."
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::example::{only_defect, with};
    use super::super::repository::defects;

    const PAGE: &str = "docs/chapter.md";

    #[test]
    fn catches_contents_that_are_not_the_headings() {
        let files = with(PAGE, "- [Twice](#double-it)", "- [Two](#double-it)");
        only_defect(&files, &["list of contents", "- [Twice](#double-it)"]);
        let files = with(PAGE, "![](figures/twice.svg)\n\n", "");
        only_defect(&files, &["opens without a picture"]);
    }

    #[test]
    fn catches_checks_that_are_not_in_a_fold() {
        let many = format!("**Check.** {}", "word ".repeat(60));
        only_defect(
            &with(PAGE, "**Check.**", &many),
            &["61 of", "outside folds"],
        );
        let folded = format!("<summary>Found</summary>\n\n{}", "word ".repeat(60));
        let files = with(PAGE, "<summary>Found</summary>\n", &folded);
        assert!(defects(&files).is_empty());
    }

    #[test]
    fn catches_folds_that_are_not_shown_everywhere() {
        let files = with(
            PAGE,
            "<summary>Found</summary>\n\n",
            "<summary>Found</summary>\n",
        );
        only_defect(&files, &["a blank line"]);
        let files = with(PAGE, "knew.\n\n</details>", "knew.\n");
        only_defect(&files, &["holds no other fold"]);
    }

    #[test]
    fn catches_a_section_without_an_exercise() {
        let files = with(PAGE, "**Exercise.**", "**Question.**");
        only_defect(&files, &["no fold after **Exercise.**"]);
    }

    #[test]
    fn catches_works_that_nothing_cites() {
        let files = with(PAGE, "bibliography.md#euler1748", "bibliography.md");
        only_defect(&files, &["nothing cites `euler1748`"]);
        let files = with("docs/bibliography.md", " Cited in [1](chapter.md).", "");
        only_defect(&files, &["docs/chapter.md cites", "euler1748"]);
    }
}
