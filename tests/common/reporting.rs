//! What a check prints is what the notes say: the fold of its section quotes the line or shows it as a row of the table.
//!
//! A number of the notes and one that is printed may differ by one in the last digit shown, by more where both are
//! rounding: their digits depend on the processor.

use std::path::Path;

/// Differences below this are rounding; that they are no more than is allowed, the check itself has seen.
const ROUNDING: f64 = 1e-8;

/// Prints a line and fails if the notes quote it with other numbers.
pub fn report(line: String) {
    println!("{line}");
    compare(&line);
}

/// Fails if the notes have this line with other numbers: the same words in a row of the table or in a quoted line of the
/// fold of the section whose test is running.
pub fn compare(line: &str) {
    // With one thread the tests run on the main one, and have no name.
    let thread = std::thread::current();
    let mut names = thread.name().unwrap_or("main").split("::");
    let (Some(chapter), Some(section), Some(_)) = (names.next(), names.next(), names.next()) else {
        return;
    };
    let slug = section.replace('_', "-");
    let page = format!("docs/{chapter}.md");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&page);
    let Ok(text) = std::fs::read_to_string(path) else {
        return;
    };
    let (words, numbers) = split(line);
    let mut others = Vec::new();
    for quoted in quoted_lines(&text, &slug) {
        let (same_words, shown) = split(&quoted);
        if same_words == words {
            if agree(&shown, &numbers) {
                return;
            }
            others.push(quoted);
        }
    }
    assert!(
        others.is_empty(),
        "{page}#{slug} says\n    {}\nand the check prints\n    {line}\nPut what it prints into the fold of the section.",
        others.join("\n    ")
    );
}

/// The rows of the table under **Check.**, cell after cell, and the lines quoted beneath it.
fn quoted_lines(text: &str, slug: &str) -> Vec<String> {
    let Some((_, section)) = text.split_once(&format!("<a id=\"{slug}\"></a>")) else {
        return Vec::new();
    };
    let section = section.split("<a id=\"").next().unwrap_or(section);
    let check = section
        .split_once("**Check.**")
        .map_or("", |(_, rest)| rest);
    let fold = check.split("</details>").next().unwrap_or(check);
    fold.lines().map(row).collect()
}

/// A row `| compared | allowed | found | test |` as one line without marks, without the test; any other line as it is.
fn row(line: &str) -> String {
    let Some(cells) = line.strip_prefix("| `") else {
        return line.to_owned();
    };
    let cells = cells.replace("\\|", "\u{1}");
    let cells: Vec<&str> = cells.trim_end_matches([' ', '|']).split(" | ").collect();
    // Which part of an error estimate the worst entry used is rounding, too.
    let shown = cells[..cells.len() - 1].join(" ; ");
    shown
        .split(" ; their error estimate")
        .next()
        .unwrap_or(&shown)
        .replace('`', "")
        .replace('\u{1}', "|")
}

/// The words between the numbers, and the numbers as they are written.
fn split(line: &str) -> (String, Vec<String>) {
    let (mut words, mut numbers) = (String::new(), Vec::new());
    let mut rest = line.trim();
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let digit_or_mark = |c: char| c.is_ascii_digit() || c == '.';
        let mut end = rest[start..]
            .find(|c: char| !digit_or_mark(c))
            .map_or(rest.len(), |length| start + length);
        // An exponent.
        if let Some(exponent) = rest[end..].strip_prefix('e') {
            let digits = exponent.trim_start_matches(['-', '+']);
            let count = digits.chars().take_while(char::is_ascii_digit).count();
            if count > 0 {
                end = rest.len() - digits.len() + count;
            }
        }
        let sign = rest[..start].ends_with(['-', '+', '−']);
        let before = match sign {
            true => rest[..start].trim_end_matches(['-', '+', '−']),
            false => &rest[..start],
        };
        words.push_str(before);
        words.push('#');
        let minus = rest[..start].ends_with(['-', '−']);
        let number = rest[start..end].trim_end_matches('.');
        numbers.push(if minus {
            format!("-{number}")
        } else {
            number.to_owned()
        });
        rest = &rest[start + number.len()..];
    }
    words.push_str(rest);
    (words, numbers)
}

/// Whether the numbers are the same, to the digits that the notes show.
fn agree(shown: &[String], printed: &[String]) -> bool {
    shown.len() == printed.len()
        && shown.iter().zip(printed).all(|(shown, printed)| {
            let value = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
            let (a, b) = (value(shown), value(printed));
            shown == printed
                || (a.abs() < ROUNDING && b.abs() < ROUNDING)
                || (a - b).abs() <= (1.001 * last_digit(shown)).max(ROUNDING * a.abs())
        })
}

/// One in the last digit of a number as it is written: 0.1 for 2.5, 1e-4 for 2.5e-3, and 0 for a count.
fn last_digit(number: &str) -> f64 {
    if !number.contains(['.', 'e']) {
        return 0.0;
    }
    let (digits, exponent) = number.split_once('e').unwrap_or((number, "0"));
    let decimals = digits.split_once('.').map_or(0, |(_, after)| after.len());
    let exponent: i32 = exponent.parse().unwrap_or(0);
    10f64.powi(exponent - decimals as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree_to_the_digits_shown() {
        let same = |a: &str, b: &str| {
            let (a, b) = (split(a), split(b));
            a.0 == b.0 && agree(&a.1, &b.1)
        };
        assert!(same("mean -0.05 of 3", "mean -0.05 of 3"));
        assert!(same("at 2.57e-3", "at 2.58e-3") && !same("at 2.57e-3", "at 2.59e-3"));
        assert!(
            same("off by 1.2e-16", "off by 8.0e-15") && !same("off by 1.2e-6", "off by 8.0e-6")
        );
        assert!(!same("mean 0.05", "mean -0.05") && !same("mean 0.05", "means 0.05"));
        assert!(!same("[1, 2]", "[1, 3]"));
    }

    #[test]
    fn rows_and_lines_of_the_fold() {
        let page = "<a id=\"a-b\"></a>\n**Check.** Yes.\n| `p(x\\|z)` | 1e-3 | 2.0 | `t` |\nline 3\n</details>\nlater";
        let lines = quoted_lines(page, "a-b");
        assert!(lines.contains(&"p(x|z) ; 1e-3 ; 2.0".to_owned()));
        assert!(lines.contains(&"line 3".to_owned()) && !lines.contains(&"later".to_owned()));
        assert!(quoted_lines(page, "b").is_empty());
    }
}
