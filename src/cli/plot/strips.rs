//! Rows of small pictures, each with its name and a number beside it.

use super::svg::{Area, END, FAINT, INK, PLAIN, START, Svg};

/// A row of pictures.
pub struct Strip {
    /// In front of it.
    pub name: String,
    /// A PNG file.
    pub png: Vec<u8>,
    /// Its width and height in pixels.
    pub size: (usize, usize),
    /// Behind it.
    pub note: String,
}

/// The room for the names, for the notes and around everything.
const NAMES: f64 = 64.0;
const NOTES: f64 = 96.0;
const MARGIN: f64 = 12.0;

/// The height of the line above the rows.
const HEAD: f64 = 28.0;

/// An SVG of the rows, one below the other; `label` says what it shows, and `heads` stand above the names and the notes.
pub fn strips(label: &str, heads: [&str; 2], rows: &[Strip]) -> String {
    let widest = rows.iter().map(|row| row.size.0).max().unwrap_or(0) as f64;
    let total: usize = rows.iter().map(|row| row.size.1).sum();
    let (left, right) = (MARGIN + NAMES, MARGIN + NAMES + widest);
    let height = 2.0 * MARGIN + HEAD + total as f64;
    let mut svg = Svg::new(right + NOTES + MARGIN, height, label);
    let middle = MARGIN + 0.5 * HEAD;
    svg.text((left - 12.0, middle), END, FAINT, PLAIN, heads[0]);
    svg.text((right + 12.0, middle), START, FAINT, PLAIN, heads[1]);
    let mut top = MARGIN + HEAD;
    for row in rows {
        let (width, height) = (row.size.0 as f64, row.size.1 as f64);
        let area = Area {
            left,
            top,
            width,
            height,
        };
        svg.png(area, &row.png);
        let middle = top + 0.5 * height;
        svg.text((left - 12.0, middle), END, INK, PLAIN, &row.name);
        svg.text((right + 12.0, middle), START, INK, PLAIN, &row.note);
        top += height;
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plot::svg::check;

    #[test]
    fn rows_stand_below_each_other() {
        let row = |name: &str| Strip {
            name: name.to_owned(),
            png: vec![1, 2, 3],
            size: (100, 34),
            note: "<0.1>".to_owned(),
        };
        let svg = strips("two rows", ["unit", "KL"], &[row("z1"), row("z2")]);
        check(&svg);
        assert_eq!(svg.matches("<image").count(), 2);
        for part in [r#"y="40""#, r#"y="74""#, "&lt;0.1&gt;", "AQID", ">z2<"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }
}
