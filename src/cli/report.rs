//! The report: one HTML page with everything in it, to be opened, kept, sent and printed.

use std::fmt::{self, Display};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

use super::plot::Escaped;

/// The style of the page.
const STYLE: &str = include_str!("report.css");

/// What the page says. Any text may hold any character; empty parts are left out.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The heading.
    pub title: String,
    /// The sentence that says what was trained on what.
    pub summary: String,
    /// The command line that leads to the same result.
    pub command: String,
    /// The pictures, in order.
    pub figures: Vec<Figure>,
    /// The final figures: a name and a value with its unit.
    pub results: Vec<(String, String)>,
    /// The settings of the run: a name and a value.
    pub configuration: Vec<(String, String)>,
    /// The figures of every epoch.
    pub epochs: Table,
}

/// A table of figures.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// The names of the columns.
    pub header: Vec<String>,
    /// The rows, each as long as the header.
    pub rows: Vec<Vec<String>>,
}

/// A picture with its heading above and a caption below.
#[derive(Debug, Clone)]
pub struct Figure {
    /// The heading.
    pub title: String,
    /// What to look for.
    pub caption: String,
    /// The picture.
    pub content: Content,
}

/// A picture.
#[derive(Debug, Clone)]
pub enum Content {
    /// The bytes of a PNG file.
    Png(Vec<u8>),
    /// An SVG element, put on the page as it is.
    Svg(String),
}

impl Content {
    /// As the bytes of a file.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Png(bytes) => bytes,
            Self::Svg(svg) => svg.as_bytes(),
        }
    }
}

impl Figure {
    /// Of the training curve (an SVG).
    pub fn curve(svg: String) -> Self {
        Self::new(
            "Training",
            "ELBO = reconstruction − KL, in nats per image, and higher is better: the vertical distance between the \
             reconstruction and the ELBO is the KL, what the codes cost, shown on its own below. Look for a test \
             curve that has levelled off; one that turns down while the training curve still rises is overfitting. (The training curve is the mean over an \
             epoch, while the weights still change: it begins lower.)",
            Content::Svg(svg),
        )
    }

    /// Of samples (a PNG).
    pub fn samples(png: Vec<u8>) -> Self {
        Self::new(
            "Samples",
            "Codes z ~ N(0, I), decoded. Each picture is the decoder's mean, not a sample of pixels, hence the soft \
             edges. Look for digits that could have been written by hand, in all ten classes; in-between shapes are \
             codes from regions of the prior that no training image claims.",
            Content::Png(png),
        )
    }

    /// Of originals above their reconstructions (a PNG).
    pub fn reconstructions(png: Vec<u8>) -> Self {
        Self::new(
            "Reconstructions",
            "In each pair of rows, held-out originals are above and their reconstructions right below. Look for what \
             gets lost: identity and slant should survive the passage through the code, while thin strokes and \
             ornaments are smoothed away.",
            Content::Png(png),
        )
    }

    /// Of paths between two images (a PNG).
    pub fn interpolation(png: Vec<u8>) -> Self {
        Self::new(
            "Interpolation",
            "Each row walks through the latent space from the held-out original at its left end to that at its right \
             end, decoding on the way. Look for a gradual change of one shape into the other: a row that fades \
             between two overlaid digits would have memorised images rather than learnt shapes.",
            Content::Png(png),
        )
    }

    /// Of a plane of codes, decoded (a PNG).
    pub fn manifold(png: Vec<u8>) -> Self {
        Self::new(
            "Manifold",
            "The latent plane, decoded on an even grid that reaches 2.33 deviations of the prior in each direction. Look for regions of \
             the same digit that pass into their neighbours without a break.",
            Content::Png(png),
        )
    }

    /// Of the codes of labelled images (an SVG).
    pub fn scatter(svg: String) -> Self {
        Self::new(
            "Latent plane",
            "The mean code of each held-out image, coloured by its label, which training never saw. The dashed circle \
             holds 86 % of the prior. Look for classes that form clusters, and for digits that look alike, such as 4 \
             and 9, as neighbours.",
            Content::Svg(svg),
        )
    }

    /// With the name of its file.
    pub fn named(
        name: &str,
        title: &str,
        caption: impl Into<String>,
        content: Content,
    ) -> (String, Self) {
        let figure = Self {
            title: title.to_owned(),
            caption: caption.into(),
            content,
        };
        (name.to_owned(), figure)
    }

    /// A figure with fixed text.
    fn new(title: &str, caption: &str, content: Content) -> Self {
        Self {
            title: title.to_owned(),
            caption: caption.to_owned(),
            content,
        }
    }
}

impl Report {
    /// The page. It needs no other file, no script and no network.
    pub fn to_html(&self) -> String {
        self.to_string()
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let title = Escaped(&self.title);
        write!(
            f,
            r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{STYLE}</style>
</head>
<body>
<h1>{title}</h1>
"#
        )?;
        if !self.summary.is_empty() {
            writeln!(f, r#"<p class="summary">{}</p>"#, Escaped(&self.summary))?;
        }
        pairs(f, "results", &self.results)?;
        for figure in &self.figures {
            write!(f, "{figure}")?;
        }
        if !self.configuration.is_empty() {
            f.write_str("<section>\n<h2>Configuration</h2>\n")?;
            pairs(f, "configuration", &self.configuration)?;
            f.write_str("</section>\n")?;
        }
        if !self.command.is_empty() {
            f.write_str("<section>\n<h2>Reproduce</h2>\n<pre><code>")?;
            // Word by word, as a browser would rather break a line after the hyphens of `--option`.
            for (i, word) in self.command.split(' ').enumerate() {
                let space = if i == 0 { "" } else { " " };
                write!(f, "{space}<span>{}</span>", Escaped(word))?;
            }
            f.write_str("</code></pre>\n</section>\n")?;
        }
        if !self.epochs.rows.is_empty() {
            writeln!(
                f,
                "<details>\n<summary>Every epoch</summary>\n{}</details>",
                self.epochs
            )?;
        }
        f.write_str("</body>\n</html>\n")
    }
}

impl Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (title, caption) = (Escaped(&self.title), Escaped(&self.caption));
        writeln!(f, "<section>\n<h2>{title}</h2>\n<figure>")?;
        match &self.content {
            Content::Png(bytes) => {
                let data = Base64Display::new(bytes, &STANDARD);
                writeln!(
                    f,
                    r#"<img alt="{title}" src="data:image/png;base64,{data}">"#
                )?;
            }
            Content::Svg(svg) => f.write_str(svg)?,
        }
        writeln!(
            f,
            "<figcaption>{caption}</figcaption>\n</figure>\n</section>"
        )
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("<div class=\"scroll\">\n<table class=\"numbers\">\n<thead>")?;
        row(f, "th", &self.header)?;
        f.write_str("</thead>\n<tbody>\n")?;
        for cells in &self.rows {
            row(f, "td", cells)?;
        }
        f.write_str("</tbody>\n</table>\n</div>\n")
    }
}

/// A row of a table, of cells of one kind.
fn row(f: &mut fmt::Formatter, kind: &str, cells: &[String]) -> fmt::Result {
    f.write_str("<tr>")?;
    for cell in cells {
        write!(f, "<{kind}>{}</{kind}>", Escaped(cell))?;
    }
    f.write_str("</tr>\n")
}

/// A table of names and values, if there are any.
fn pairs(f: &mut fmt::Formatter, class: &str, pairs: &[(String, String)]) -> fmt::Result {
    if pairs.is_empty() {
        return Ok(());
    }
    writeln!(f, r#"<table class="pairs {class}">"#)?;
    for (name, value) in pairs {
        writeln!(
            f,
            r#"<tr><th scope="row">{}</th><td>{}</td></tr>"#,
            Escaped(name),
            Escaped(value)
        )?;
    }
    f.write_str("</table>\n")
}

#[cfg(test)]
mod tests {
    use super::super::plot::{Epoch, Terms, latent_scatter, training_curve};
    use super::*;

    /// A report with something in every part.
    fn full() -> Report {
        let terms = Terms {
            reconstruction: -80.0,
            kl: 25.0,
        };
        let epoch = Epoch {
            number: 1,
            train: terms,
            test: Some(terms),
        };
        let codes = ndarray::array![[0.0, 1.0], [1.0, 0.0]];
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Report {
            title: "A VAE of <digits>".into(),
            summary: "Trained on \"digits\" & nothing else.".into(),
            command: "elbo train --out '<script>alert(1)</script>'".into(),
            figures: vec![
                Figure::curve(training_curve(&[epoch])),
                Figure::samples(vec![1, 2, 3]),
                Figure::reconstructions(vec![4]),
                Figure::interpolation(vec![5]),
                Figure::manifold(vec![6]),
                Figure::scatter(latent_scatter(codes.view(), &[0, 1]).unwrap()),
            ],
            results: vec![pair("ELBO", "−105.00 nats per image")],
            configuration: vec![pair("data", "a&b/<c>\"d\"")],
            epochs: Table {
                header: vec!["epoch".into(), "ELBO".into()],
                rows: vec![vec!["1".into(), "<b>−105</b>".into()]],
            },
        }
    }

    #[test]
    fn whatever_a_person_wrote_is_escaped() {
        let html = full().to_html();
        for raw in ["<digits>", "<script", "<c>", "<b>", "\"digits\" & "] {
            assert!(!html.contains(raw), "{raw}");
        }
        for escaped in [
            "A VAE of &lt;digits&gt;",
            "&#39;&lt;script&gt;alert(1)&lt;/script&gt;&#39;",
            "<td>a&amp;b/&lt;c&gt;&quot;d&quot;</td>",
            "<td>&lt;b&gt;−105&lt;/b&gt;</td>",
        ] {
            assert!(html.contains(escaped), "{escaped}");
        }
    }

    #[test]
    fn the_page_stands_alone() {
        let html = full().to_html();
        let inside = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for outside in ["http", "//", "@import", "url(", "<script"] {
            assert!(!inside.contains(outside), "{outside}");
        }
        for reference in inside
            .split("src=\"")
            .skip(1)
            .chain(inside.split("href=\"").skip(1))
        {
            assert!(reference.starts_with("data:"));
        }
    }

    #[test]
    fn pictures_are_embedded_in_order() {
        let html = full().to_html();
        let places = [
            "<h2>Training",
            "AQID",
            "BA==",
            "BQ==",
            "Bg==",
            "<h2>Latent plane",
        ]
        .map(|part| html.find(part).expect(part));
        assert!(places.is_sorted(), "{places:?}");
        assert!(html.contains(r#"<img alt="Samples" src="data:image/png;base64,AQID">"#));
        assert_eq!(html.matches("<figure>").count(), 6);
    }

    #[test]
    fn empty_parts_are_left_out() {
        let html = Report {
            title: "Nothing".into(),
            ..Report::default()
        }
        .to_html();
        for part in ["<p", "<table", "<h2", "<details", "<figure"] {
            assert!(!html.contains(part), "{part}");
        }
        assert_eq!(
            html,
            Report {
                title: "Nothing".into(),
                ..Report::default()
            }
            .to_html()
        );
    }
}
