//! The shapes that the plots are made of.

use std::fmt::{self, Display, Write};

/// The colour of text.
pub const INK: &str = "#333333";

/// The colour of what stands back: axis lines, notes.
pub const FAINT: &str = "#6b6b6b";

/// The colour of grid lines.
pub const GRID: &str = "#e6e6e6";

/// A rectangle, in the units of the picture, y downward.
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

/// The side of a text that its position is at.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// The text begins there.
    Start,
    /// The text is centred there.
    Middle,
    /// The text ends there.
    End,
}

/// A piece of running text, with a coloured mark before it if it stands for a curve or a class.
pub type Entry<'a> = (&'a str, &'a str);

/// A picture in the making.
pub struct Svg {
    width: f64,
    height: f64,
    /// What the picture says, for those who cannot see it.
    label: String,
    body: String,
}

impl Svg {
    /// An empty picture with a white ground, so that it reads the same on a dark page.
    pub fn new(width: f64, height: f64, label: &str) -> Self {
        let mut svg = Self {
            width,
            height,
            label: label.to_owned(),
            body: String::new(),
        };
        svg.push(format_args!(
            r##"<rect width="{width}" height="{height}" fill="#ffffff"/>"##
        ));
        svg
    }

    /// A straight line.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), color: &str) {
        let (x1, y1, x2, y2) = (Number(x1), Number(y1), Number(x2), Number(y2));
        self.push(format_args!(
            r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{color}"/>"#
        ));
    }

    /// A dashed circle that is seen even on a crowd of dots.
    pub fn ring(&mut self, (x, y): (f64, f64), radius: f64) {
        let (x, y, radius) = (Number(x), Number(y), Number(radius));
        for stroke in [
            r##"stroke="#ffffff" stroke-width="5" opacity="0.8""##,
            r##"stroke="#000000" stroke-width="2" stroke-dasharray="7 5""##,
        ] {
            self.push(format_args!(
                r#"<circle cx="{x}" cy="{y}" r="{radius}" fill="none" {stroke}/>"#
            ));
        }
    }

    /// A curve through points; `dashes` as SVG has them, empty for a solid curve.
    pub fn curve(&mut self, points: &[(f64, f64)], color: &str, width: f64, dashes: &str) {
        let mut path = String::new();
        for (i, &(x, y)) in points.iter().enumerate() {
            let command = if i == 0 { 'M' } else { 'L' };
            append(
                &mut path,
                format_args!("{command}{} {}", Number(x), Number(y)),
            );
        }
        let dashes = match dashes {
            "" => String::new(),
            dashes => format!(r#" stroke-dasharray="{dashes}""#),
        };
        self.push(format_args!(
            r#"<path d="{path}" fill="none" stroke="{color}" stroke-width="{width}" stroke-linejoin="round"{dashes}/>"#
        ));
    }

    /// Round dots, all in one path: a few bytes each, however many there are.
    pub fn dots(&mut self, points: &[(f64, f64)], color: &str, diameter: f64, opacity: f64) {
        let mut path = String::new();
        for &(x, y) in points {
            // A line of no length with round ends is a dot.
            append(&mut path, format_args!("M{} {}h0", Number(x), Number(y)));
        }
        self.push(format_args!(
            r#"<path d="{path}" fill="none" stroke="{color}" stroke-width="{diameter}" stroke-linecap="round" opacity="{opacity}"/>"#
        ));
    }

    /// A line of text, its middle at the height `y`.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, color: &str, text: &str) {
        let (x, y, anchor, text) = (Number(x), Number(y), anchor.name(), Escaped(text));
        self.push(format_args!(
            r#"<text x="{x}" y="{y}" dy="0.35em" text-anchor="{anchor}" fill="{color}">{text}</text>"#
        ));
    }

    /// The same, readable on whatever lines it lies on.
    pub fn label(&mut self, place: (f64, f64), anchor: Anchor, text: &str) {
        self.coloured_label(place, anchor, INK, text);
    }

    /// The same in a colour.
    pub fn coloured_label(&mut self, (x, y): (f64, f64), anchor: Anchor, color: &str, text: &str) {
        let (x, y, anchor, text) = (Number(x), Number(y), anchor.name(), Escaped(text));
        self.push(format_args!(
            r##"<text x="{x}" y="{y}" dy="0.35em" text-anchor="{anchor}" font-size="0.93em" fill="{color}" stroke="#ffffff" stroke-width="4" stroke-linejoin="round" paint-order="stroke">{text}</text>"##
        ));
    }

    /// A line of bold text that begins at a place.
    pub fn heading(&mut self, (x, y): (f64, f64), text: &str) {
        let (x, y, text) = (Number(x), Number(y), Escaped(text));
        self.push(format_args!(
            r#"<text x="{x}" y="{y}" dy="0.35em" font-weight="bold" fill="{INK}">{text}</text>"#
        ));
    }

    /// A filled outline.
    pub fn filled(&mut self, outline: &[(f64, f64)], color: &str, opacity: f64) {
        let mut path = String::new();
        for (i, &(x, y)) in outline.iter().enumerate() {
            let command = if i == 0 { 'M' } else { 'L' };
            append(
                &mut path,
                format_args!("{command}{} {}", Number(x), Number(y)),
            );
        }
        self.push(format_args!(
            r#"<path d="{path}Z" fill="{color}" opacity="{opacity}"/>"#
        ));
    }

    /// A word that stays readable on a crowd of dots, `size` times as large as other text.
    pub fn tag(&mut self, (x, y): (f64, f64), size: f64, text: &str) {
        let (x, y, text) = (Number(x), Number(y), Escaped(text));
        self.push(format_args!(
            r##"<text x="{x}" y="{y}" dy="0.35em" text-anchor="middle" font-size="{size}em" font-weight="bold" fill="#000000" stroke="#ffffff" stroke-width="5" stroke-linejoin="round" paint-order="stroke">{text}</text>"##
        ));
    }

    /// A line of names, each after a mark in its colour. It is one text, so that no name runs into the next, however
    /// wide the letters are.
    pub fn legend(&mut self, (x, y): (f64, f64), title: &str, entries: &[Entry]) {
        let mut spans = String::new();
        if !title.is_empty() {
            append(
                &mut spans,
                format_args!(r#"<tspan font-weight="bold">{}</tspan>"#, Escaped(title)),
            );
        }
        for (i, (color, name)) in entries.iter().enumerate() {
            let gap = if i == 0 && title.is_empty() {
                "0"
            } else {
                "0.85em"
            };
            append(
                &mut spans,
                format_args!(
                    r#"<tspan dx="{gap}" fill="{color}" font-size="1.35em">●</tspan><tspan dx="0.3em">{}</tspan>"#,
                    Escaped(name)
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
        // A picture in the picture clips, and needs no name that could be taken on the page.
        let (x, y, width, height) = (
            Number(area.left),
            Number(area.top),
            Number(area.width),
            Number(area.height),
        );
        self.push(format_args!(
            r#"<svg x="{x}" y="{y}" width="{width}" height="{height}" viewBox="{x} {y} {width} {height}" overflow="hidden">"#
        ));
        draw(self);
        self.push(format_args!("</svg>"));
    }

    /// The finished picture.
    pub fn finish(self) -> String {
        let Self {
            width,
            height,
            label,
            body,
        } = self;
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-label="{}" font-family="sans-serif" font-size="14">
{body}</svg>
"#,
            Escaped(&label)
        )
    }

    /// Adds an element.
    fn push(&mut self, element: fmt::Arguments) {
        append(&mut self.body, element);
        self.body.push('\n');
    }
}

impl Anchor {
    /// The name that SVG has for it.
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
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

/// Checks for the plots.
#[cfg(test)]
pub mod check {
    /// Panics unless every element is closed, in order, every attribute is quoted and every `&` begins an entity; and
    /// unless all numbers are numbers.
    pub fn well_formed(svg: &str) {
        assert!(
            !svg.contains("NaN") && !svg.contains("inf"),
            "a number is none: {svg}"
        );
        let mut open = Vec::new();
        let mut rest = svg.trim_end();
        while let Some(start) = rest.find('<') {
            entities(&rest[..start]);
            let end = start + rest[start..].find('>').expect("a tag ends");
            let tag = &rest[start + 1..end];
            assert!(!tag.contains('<'), "a tag in a tag: {tag}");
            assert_eq!(tag.matches('"').count() % 2, 0, "an open quote: {tag}");
            entities(tag);
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(tag.split(' ').next().unwrap());
            }
            rest = &rest[end + 1..];
        }
        assert_eq!((rest, open.len()), ("", 0), "open: {open:?}");
    }

    /// Panics at an `&` that begins no entity.
    fn entities(text: &str) {
        for after in text.split('&').skip(1) {
            let name = after.split(';').next().unwrap();
            assert!(
                ["amp", "lt", "gt", "quot", "#39"].contains(&name),
                "&{after}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_always_numbers() {
        let shown: Vec<_> = [1.0, 2.25, -0.01, 1e30, f64::NEG_INFINITY]
            .map(|value| Number(value).to_string())
            .into();
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
        svg.within(area, |svg| {
            svg.curve(&[(1.0, 2.0), (3.0, 4.5)], "red", 1.5, "4 2")
        });
        svg.line((0.0, 0.0), (1.0, 1.0), GRID);
        svg.ring((1.0, 2.0), 3.0);
        svg.dots(&[(1.0, 2.0)], "red", 3.0, 0.5);
        svg.text((1.0, 2.0), Anchor::End, INK, "</text>&");
        svg.tag((1.0, 2.0), 1.5, "'");
        svg.label((1.0, 2.0), Anchor::Middle, "<");
        svg.heading((1.0, 2.0), "&");
        svg.filled(&[(1.0, 2.0), (3.0, 4.0), (0.0, 1.0)], "red", 0.3);
        svg.legend((1.0, 2.0), "<title>", &[("red", "a & b")]);
        let svg = svg.finish();
        check::well_formed(&svg);
        assert!(svg.contains("&lt;/text&gt;&amp;"));
        assert!(svg.contains(r#"<path d="M1 2L3 4.5""#));
        assert!(svg.contains(r#"<path d="M1 2h0""#));
    }
}
