//! What the report shows of a model with codes from a table.

use anyhow::Result;
use ndarray::{Array1, s};

use super::figures::{Use, counts};
use super::views::{self, SavedModel};
use super::{ImageData, Levels, LoadedData};
use crate::autoencoders::DiscreteCoding;
use crate::cli::picture::Tiles;
use crate::cli::plot::{Axis, Chart, Panel, colors};
use crate::cli::report::{Content, Figure};

/// All pictures.
///
/// # Errors
/// If one would be too large.
pub fn all<L: Levels>(
    saved: &SavedModel<L>,
    data: &LoadedData<ImageData>,
) -> Result<Vec<(String, Figure)>> {
    let seed = saved.configuration.settings.seed;
    let shape = saved.configuration.shape;
    let tiles = |images| Tiles::new(images, shape.height, shape.width);
    let x = views::images(&data.test, seed);
    let codes = views::codes(saved, x.view());
    let shown = x.nrows().min(48);
    let again = views::means(saved, codes.slice(s![..shown, ..]));
    let pairs = tiles(x.slice(s![..shown, ..]))?
        .above(&tiles(again.view())?, 12)?
        .png()?;
    let drawn = views::drawn(saved, 120, seed);
    let samples = views::means(saved, drawn.view());
    let samples = tiles(samples.view())?.grid(12)?.png()?;
    let positions = codes.ncols();
    let upper = saved.configuration.options.levels.upper();
    let mut pictures = vec![
        Figure::named(
            "samples.png",
            "Samples",
            "Codes drawn from the learnt prior, one after the other, and decoded: the means of the pixels. Look for digits of all \
             classes; broken strokes are codes that the prior believes to go together and no image has.",
            Content::Png(samples),
        ),
        Figure::named(
            "reconstructions.png",
            "Reconstructions",
            format!(
                "In each pair of rows, held-out originals are above and right below what the decoder makes of their {positions} codes. Look \
                 for what the table has no word for: ornaments, breaks, unusual slants."
            ),
            Content::Png(pairs),
        ),
    ];
    let levels = match upper {
        0 => vec![("usage.svg", "Use of the codes", 0..positions)],
        _ => vec![
            ("usage-upper.svg", "Use of the upper codes", 0..upper),
            (
                "usage-lower.svg",
                "Use of the lower codes",
                upper..positions,
            ),
        ],
    };
    let size = saved.model.prior().structure().codes;
    for (name, title, range) in levels {
        let counts = counts(codes.slice(s![.., range]), size);
        pictures.push(usage(name, title, &counts));
    }
    Ok(pictures)
}

/// How often each code was chosen, in descending order.
fn usage(name: &str, title: &str, counts: &Array1<f64>) -> (String, Figure) {
    let total = counts.sum();
    let mut shares: Vec<f64> = counts.iter().map(|count| 100.0 * count / total).collect();
    shares.sort_by(|a, b| b.total_cmp(a));
    let bars = (shares.iter().enumerate()).map(|(i, &share)| ((i + 1) as f64, share));
    let panel = Panel::new(
        "How often each code is chosen",
        Axis::linear("code, in descending order of use"),
        Axis::linear("% of all choices"),
    )
    .bars("test images", colors::BLUE, 1.0, bars.collect());
    let Use {
        used,
        size,
        perplexity,
    } = Use::of(counts);
    let caption = format!(
        "{used} of {size} codes are in use; their perplexity is {perplexity:.1}: as many codes, chosen equally often, would say as much. Look for a \
         gentle slope. A few tall bars and a long empty tail are a table that has collapsed.",
    );
    let svg = Chart::new("The use of the codes").panel(panel).svg();
    Figure::named(name, title, caption, Content::Svg(svg))
}
