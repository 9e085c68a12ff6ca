//! The shapes that the plots are made of.

use std::fmt::{self, Display, Write};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

/// The colour of text.
pub const INK: &str = "#333333";

/// The colour of what stands back: axis lines, notes.
pub const FAINT: &str = "#6b6b6b";

/// The colour of grid lines.
pub const GRID: &str = "#e6e6e6";

/// A point of the picture, in its units, y downward.
pub type Point = (f64, f64);

/// A rectangle in the picture.
#[derive(Debug, Clone, Copy)]
pub struct Area {
    /// Its left edge.
    pub left: f64,
    /// Its upper edge.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

impl Area {
    /// The right edge.
    pub fn right(&self) -> f64 {
        self.left + self.width
    }

    /// The lower edge.
    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// The side of a text that its position is at, by the name that SVG has for it.
pub type Anchor = &'static str;
pub const START: Anchor = "start";
pub const MIDDLE: Anchor = "middle";
pub const END: Anchor = "end";

/// What a text looks like beside its colour: its attributes. Those of edged text keep it readable on lines and dots.
pub type Look = &'static str;
pub const PLAIN: Look = "";
pub const BOLD: Look = r#" font-weight="bold""#;
pub const EDGED: Look =
    r##" stroke="#ffffff" stroke-width="4" stroke-linejoin="round" paint-order="stroke""##;
pub const LARGE_EDGED: Look = r##" font-weight="bold" font-size="1.4em" stroke="#ffffff" stroke-width="5" stroke-linejoin="round" paint-order="stroke""##;

/// A name in a legend with its mark: a character in a colour and an opacity.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The mark.
    pub mark: &'static str,
    /// Its colour.
    pub color: &'static str,
    /// Its opacity.
    pub opacity: f64,
    /// The name.
    pub name: String,
}

impl Entry {
    /// The room that it takes, at most: the sum over its characters, of which an average font has three widths.
    pub fn width(&self) -> f64 {
        let width = |c: char| match c {
            ' ' | '(' | ')' | ',' | '.' | ':' | '|' | 'f' | 'i' | 'j' | 'l' | 't' => 5.5,
            'm' | 'w' | 'M' | 'W' | '−' | '=' | '–' => 13.0,
            _ => 9.3,
        };
        36.0 + self.name.chars().map(width).sum::<f64>()
    }
}

/// A picture in the making.
pub struct Svg {
    body: String,
}

impl Svg {
    /// An empty picture with a white ground, so that it reads the same on a dark page; `label` says what it shows, for
    /// those who cannot see it.
    pub fn new(width: f64, height: f64, label: &str) -> Self {
        let label = Escaped(label);
        let body = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-label="{label}" font-family="sans-serif" font-size="14">
<rect width="{width}" height="{height}" fill="#ffffff"/>
"##
        );
        Self { body }
    }

    /// A thin straight line.
    pub fn line(&mut self, (x1, y1): Point, (x2, y2): Point, color: &str) {
        let (x1, y1, x2, y2) = (Number(x1), Number(y1), Number(x2), Number(y2));
        self.push(format_args!(
            r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{color}"/>"#
        ));
    }

    /// A curve through points; `dashes` as SVG has them, empty for a solid curve.
    pub fn curve(&mut self, points: &[Point], color: &str, width: f64, dashes: &str) {
        let path = path(points, "L", "");
        let dashes = match dashes {
            "" => String::new(),
            dashes => format!(r#" stroke-dasharray="{dashes}""#),
        };
        self.push(format_args!(
            r#"<path d="{path}" fill="none" stroke="{color}" stroke-width="{width}" stroke-linejoin="round"{dashes}/>"#
        ));
    }

    /// Round dots, all in one path: a few bytes each, however many there are.
    pub fn dots(&mut self, points: &[Point], color: &str, diameter: f64, opacity: f64) {
        // A line of no length with round ends is a dot.
        let path = path(points, "M", "h0");
        self.push(format_args!(
            r#"<path d="{path}" fill="none" stroke="{color}" stroke-width="{diameter}" stroke-linecap="round" opacity="{opacity}"/>"#
        ));
    }

    /// A filled outline.
    pub fn filled(&mut self, outline: &[Point], color: &str, opacity: f64) {
        let path = path(outline, "L", "");
        self.push(format_args!(
            r#"<path d="{path}Z" fill="{color}" opacity="{opacity}"/>"#
        ));
    }

    /// A line of text, its middle at the height `y`.
    pub fn text(&mut self, (x, y): Point, anchor: Anchor, color: &str, look: Look, text: &str) {
        let (x, y, text) = (Number(x), Number(y), Escaped(text));
        self.push(format_args!(
            r#"<text x="{x}" y="{y}" dy="0.35em" text-anchor="{anchor}" fill="{color}"{look}>{text}</text>"#
        ));
    }

    /// The picture of a PNG file, stretched to an area.
    pub fn png(&mut self, area: Area, bytes: &[u8]) {
        let [x, y, width, height] = [area.left, area.top, area.width, area.height].map(Number);
        let data = Base64Display::new(bytes, &STANDARD);
        self.push(format_args!(
            r#"<image x="{x}" y="{y}" width="{width}" height="{height}" href="data:image/png;base64,{data}"/>"#
        ));
    }

    /// A line of names, each after its mark. It is one text, so that no name runs into the next, however wide the
    /// letters are.
    pub fn legend(&mut self, (x, y): Point, entries: &[Entry]) {
        let mut spans = String::new();
        for (i, entry) in entries.iter().enumerate() {
            let (gap, mark, color) = (i.min(1), entry.mark, entry.color);
            let (opacity, name) = (entry.opacity, Escaped(&entry.name));
            append(
                &mut spans,
                format_args!(
                    r#"<tspan dx="{gap}em" fill="{color}" stroke="{color}" fill-opacity="{opacity}" stroke-opacity="{opacity}">{mark}</tspan><tspan dx="0.35em">{name}</tspan>"#
                ),
            );
        }
        let (x, y) = (Number(x), Number(y));
        self.push(format_args!(
            r#"<text x="{x}" y="{y}" dy="0.35em" fill="{INK}">{spans}</text>"#
        ));
    }

    /// What `draw` draws, cut off at the edges of `area`. Coordinates stay those of the picture.
    pub fn within(&mut self, area: Area, draw: impl FnOnce(&mut Self)) {
        let (x, y) = (Number(area.left), Number(area.top));
        let (width, height) = (Number(area.width), Number(area.height));
        // A picture in the picture clips, and needs no name that could be taken on the page.
        self.push(format_args!(
            r#"<svg x="{x}" y="{y}" width="{width}" height="{height}" viewBox="{x} {y} {width} {height}" overflow="hidden">"#
        ));
        draw(self);
        self.push(format_args!("</svg>"));
    }

    /// The finished picture.
    pub fn finish(self) -> String {
        self.body + "</svg>\n"
    }

    /// Adds an element.
    fn push(&mut self, element: fmt::Arguments) {
        append(&mut self.body, element);
        self.body.push('\n');
    }
}

/// The data of a path: it moves to the first point and goes on to the others by a command, with something after each.
fn path(points: &[Point], command: &str, after: &str) -> String {
    let mut path = String::new();
    for (i, &(x, y)) in points.iter().enumerate() {
        let command = if i == 0 { "M" } else { command };
        let (x, y) = (Number(x), Number(y));
        append(&mut path, format_args!("{command}{x} {y}{after}"));
    }
    path
}

/// Appends formatted text, which cannot fail in memory.
fn append(text: &mut String, more: fmt::Arguments) {
    let _ = text.write_fmt(more);
}

/// A coordinate, to a tenth of a pixel. What is far outside of the picture is brought nearer, for the sake of
/// browsers, which count in `f32`.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let tenths = (self.0.clamp(-1e5, 1e5) * 10.0).round();
        // The sum turns -0 to 0.
        write!(f, "{}", tenths / 10.0 + 0.0)
    }
}

/// Text with the characters that mean something in XML and HTML replaced.
pub struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                character => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Panics unless the picture is well-formed XML and all numbers are numbers.
#[cfg(test)]
pub fn check(svg: &str) {
    assert!(
        !svg.contains("NaN") && !svg.contains("inf"),
        "a number is none: {svg}"
    );
    roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_always_numbers() {
        let shown = [1.0, 2.25, -0.01, 1e30, f64::NEG_INFINITY].map(|x| Number(x).to_string());
        assert_eq!(shown, ["1", "2.3", "0", "100000", "-100000"]);
    }

    #[test]
    fn every_shape_is_well_formed() {
        let mut svg = Svg::new(100.0, 50.0, "a \"label\" <with> & marks");
        let area = Area {
            left: 1.0,
            top: 2.0,
            width: 30.0,
            height: 40.0,
        };
        let points = [(1.0, 2.0), (3.0, 4.5), (0.0, 1.0)];
        svg.within(area, |svg| svg.curve(&points, "red", 1.5, "4 2"));
        svg.line(points[0], points[1], GRID);
        svg.dots(&points, "red", 3.0, 0.5);
        svg.text(points[0], END, INK, PLAIN, "</text>&");
        svg.text(points[0], MIDDLE, INK, BOLD, "'");
        svg.text(points[0], START, INK, EDGED, "<");
        svg.filled(&points, "red", 0.3);
        let entry = Entry {
            mark: "●",
            color: "red",
            opacity: 0.5,
            name: "a & b".to_owned(),
        };
        svg.legend(points[0], &[entry.clone(), entry]);
        let svg = svg.finish();
        check(&svg);
        assert!(svg.contains("&lt;/text&gt;&amp;"));
        assert!(svg.contains(r#"<path d="M1 2L3 4.5L0 1""#));
        assert!(svg.contains(r#"<path d="M1 2h0M3 4.5h0M0 1h0""#));
    }
}
