//! What the report shows of a β-VAE.

use anyhow::Result;
use ndarray::{Array2, ArrayView2, s};

use super::BetaVaeCommand;
use super::disentanglement::{Known, Score};
use crate::cli::models::vae::views;
use crate::cli::models::{LoadedData, Saved, ShapeData, seen};
use crate::cli::plot::{self, Chart, Panel, Strip, colors, strips};
use crate::cli::progress::say;
use crate::cli::report::{Content, Figure};
use crate::data::Source;
use crate::vae::unit_divergences;

/// Images whose codes say how much each unit carries.
const CODES: usize = 1000;

/// Pictures of a traversal.
const STEPS: usize = 11;

/// How far out a traversal goes, in deviations of the prior: it leaves out 5 %.
const REACH: f32 = 2.0;

/// Units that are traversed, those with the most nats.
const UNITS: usize = 20;

/// All pictures.
///
/// # Errors
/// If one would be too large, or the weights are damaged.
pub fn all(
    saved: &Saved<BetaVaeCommand>,
    data: &LoadedData<ShapeData>,
) -> Result<Vec<(String, Figure)>> {
    let seed = saved.configuration.settings.seed;
    let indices: Vec<usize> = (0..data.test.len().min(CODES)).collect();
    let x = seen(&data.test, &indices, seed);
    let shown = x.slice(s![..x.nrows().min(48), ..]);
    let codes = views::encode(saved, shown);
    let again = views::decode(saved, codes.view());
    let pairs = saved.tiles(shown)?.above(&saved.tiles(again.view())?, 12)?;
    let samples = views::decode(saved, views::prior(saved, 120, seed).view());
    let samples = saved.tiles(samples.view())?.grid(12)?.png()?;
    let mut pictures = vec![
        traversals(saved, x.view())?,
        Figure::named(
            "reconstructions.png",
            "Reconstructions",
            "In each pair of rows, held-out originals are above and their reconstructions right below. A large β blurs: look for \
             corners that are rounded and orientations that are lost, while position and size stay.",
            Content::Png(pairs.png()?),
        ),
        Figure::named(
            "samples.png",
            "Samples",
            "Codes z ~ N(0, I), decoded: the means of the pixels. Look for shapes in every place and size; codes \
             between shapes match no training image.",
            Content::Png(samples),
        ),
    ];
    if let Some(known) = Known::of(&data.test, seed) {
        pictures.push(metric(saved, &known)?);
    }
    Ok(pictures)
}

/// What each unit does to an image, the others held.
fn traversals(saved: &Saved<BetaVaeCommand>, x: ArrayView2<'_, f32>) -> Result<(String, Figure)> {
    let encoded = saved.model.vae().codes(&saved.parameters, x).as_f64();
    let nats = unit_divergences(&encoded)?;
    let mut order: Vec<usize> = (0..nats.len()).collect();
    order.sort_by(|&a, &b| nats[b].total_cmp(&nats[a]));
    order.truncate(UNITS);
    let code = encoded.mean.row(0).mapv(|mean| mean as f32);
    let rows = order.iter().map(|&unit| {
        let at = |step: usize| REACH * (2.0 * step as f32 / (STEPS - 1) as f32 - 1.0);
        let path = Array2::from_shape_fn((STEPS, code.len()), |(step, u)| match u == unit {
            true => at(step),
            false => code[u],
        });
        let images = views::decode(saved, path.view());
        let sheet = saved.tiles(images.view())?.grid(STEPS)?;
        Ok(Strip {
            name: format!("z{}", unit + 1),
            png: sheet.png()?,
            size: sheet.size(),
            note: format!("{:.2}", nats[unit]),
        })
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let label =
        "Traversals: each row changes one latent of an image from -2 to 2 deviations of the prior";
    let caption = "Each row changes one latent of the first held-out image from −2 to 2 and leaves the others as they are; beside it, the nats \
                   that the unit carries on average, the most first. Look for rows that change one thing only: a position, the size, the \
                   orientation. A row of equal pictures is a unit that is not used: its KL is near 0.";
    Ok(Figure::named(
        "traversals.svg",
        "Traversals",
        caption,
        Content::Svg(strips(label, ["latent", "KL, nats"], &rows)),
    ))
}

/// Higgins' metric, from one draw of points, beside that of the encoder before training; it is printed too.
fn metric(saved: &Saved<BetaVaeCommand>, known: &Known) -> Result<(String, Figure)> {
    let scores = [known.of_model(saved, 1), known.of_fresh(saved)];
    let (factors, first) = (known.count(), known.first());
    let text = |of: fn(&Score) -> f64| {
        let [trained, before] = scores.each_ref().map(of);
        format!("{trained:.1} % ({before:.1} % before training)")
    };
    let (all, rest) = (
        text(|score| score.all.0),
        text(|score| score.without_first.0),
    );
    say(&format!(
        "Higgins' metric: {all} of {factors} factors, {rest} without {first}."
    ))?;
    let panel = |title: String, count: usize, of: fn(&Score) -> f64| {
        let bars = (1..)
            .zip(&scores)
            .map(|(i, score)| (f64::from(i), of(score)));
        Panel::new(
            title,
            plot::Axis::whole("1: this encoder, 2: before training"),
            plot::Axis::linear("% right").range(0.0, 100.0),
        )
        .bars("", colors::BLUE, 0.6, bars.collect())
        .horizontal(100.0 / count as f64, "chance")
    };
    let svg = Chart::new("Higgins' metric of this encoder, and before training")
        .panel(panel(format!("All {factors} factors"), factors, |score| {
            score.all.0
        }))
        .panel(panel(format!("Without {first}"), factors - 1, |score| {
            score.without_first.0
        }))
        .svg();
    let caption = format!(
        "How often a linear classifier tells which factor the two images of 64 pairs share, from the mean distance of their codes: {all} of \
         {factors} factors, {rest} without {first}. The higher, the more a factor has units of its own. An encoder that has learnt nothing \
         is far above chance: compare with that. `elbo evaluate` adds the spread over draws and seeds, and the pixels."
    );
    Ok(Figure::named(
        "higgins-metric.svg",
        "Higgins' metric",
        &caption,
        Content::Svg(svg),
    ))
}
