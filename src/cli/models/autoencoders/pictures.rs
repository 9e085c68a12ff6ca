//! What the report shows of a trained autoencoder.

use anyhow::Result;
use ndarray::{Array2, ArrayView2};

use super::probe;
use super::rows::labels;
use super::{AutoencoderCommand, ImageData, LoadedData, Saved, views};
use crate::autoencoders::{Coding, UnitStatistics};
use crate::cli::picture::Tiles;
use crate::cli::plot::{Axis, Chart, Panel, colors};
use crate::cli::report::{Content, Figure};
use crate::data::Pixels;

/// Filters that are shown.
const FILTERS: usize = 120;

/// Images whose Jacobians are taken apart.
const JACOBIANS: usize = 4;

/// Codes up to this wide have their Jacobians taken apart: a spectrum takes time of order its cube.
const WIDEST: usize = 512;

/// All pictures.
///
/// # Errors
/// If one would be too large, or the probe cannot be trained.
pub fn all<M: AutoencoderCommand>(
    saved: &Saved<M>,
    data: &LoadedData<ImageData>,
) -> Result<Vec<(String, Figure)>> {
    let seed = saved.configuration.settings.seed;
    let x = views::all_images(&data.test, seed);
    let shown = x.slice(ndarray::s![..x.nrows().min(48), ..]);
    let mut pictures = vec![reconstructions(saved, shown)?];
    if let Some(corruption) = saved.configuration.options.corruption() {
        let corrupted = views::corrupted(shown, corruption, seed);
        pictures.push(restored(saved, corrupted.view())?);
    }
    pictures.push(filters(saved)?);
    let codes = views::codes(&saved.model, &saved.parameters, x.view());
    pictures.push(activations(saved, &codes, data)?);
    if saved.model.autoencoder().structure().code <= WIDEST {
        let few = x.slice(ndarray::s![..x.nrows().min(JACOBIANS), ..]);
        pictures.push(singular_values(saved, few, x.view()));
    }
    Ok(pictures)
}

fn tiles<'a, M: AutoencoderCommand>(
    saved: &Saved<M>,
    images: ArrayView2<'a, f32>,
) -> Result<Tiles<'a>> {
    let shape = saved.configuration.shape;
    Tiles::new(images, shape.height, shape.width)
}

fn figure(name: &str, title: &str, caption: String, content: Content) -> (String, Figure) {
    let title = title.to_owned();
    (
        name.to_owned(),
        Figure {
            title,
            caption,
            content,
        },
    )
}

fn reconstructions<M: AutoencoderCommand>(
    saved: &Saved<M>,
    x: ArrayView2<'_, f32>,
) -> Result<(String, Figure)> {
    let again = views::reconstructions(&saved.model, &saved.parameters, x);
    let sheet = tiles(saved, x)?.above(&tiles(saved, again.view())?, 12)?;
    let caption = "In each pair of rows, held-out originals are above and their reconstructions right below. Look for what the \
                   code has no room for: thin strokes, ornaments, unusual shapes.";
    Ok(figure(
        "reconstructions.png",
        "Reconstructions",
        caption.to_owned(),
        Content::Png(sheet.png()?),
    ))
}

fn restored<M: AutoencoderCommand>(
    saved: &Saved<M>,
    corrupted: ArrayView2<'_, f32>,
) -> Result<(String, Figure)> {
    let again = views::reconstructions(&saved.model, &saved.parameters, corrupted);
    let sheet = tiles(saved, corrupted)?.above(&tiles(saved, again.view())?, 12)?;
    let caption = "Held-out images, corrupted as in training, and what the autoencoder restores from them right below. Look for \
                   strokes that are closed again, and for digits that were taken for others.";
    Ok(figure(
        "restored.png",
        "Restored images",
        caption.to_owned(),
        Content::Png(sheet.png()?),
    ))
}

fn filters<M: AutoencoderCommand>(saved: &Saved<M>) -> Result<(String, Figure)> {
    let filters = views::filters(saved, FILTERS);
    let sheet = tiles(saved, filters.view())?.grid(20)?;
    let caption = "What the units of the first layer look at: the weights of each as an image, middle grey for 0, white for the \
                   largest; the units with the largest weights first. Look for strokes and edges: grainy filters have learnt \
                   nothing that many images share.";
    Ok(figure(
        "filters.png",
        "Filters",
        caption.to_owned(),
        Content::Png(sheet.png()?),
    ))
}

fn activations<M: AutoencoderCommand>(
    saved: &Saved<M>,
    codes: &Array2<f32>,
    data: &LoadedData<ImageData>,
) -> Result<(String, Figure)> {
    let statistics = UnitStatistics::of(codes.view());
    let (low, high) = codes
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &h| {
            (low.min(h), high.max(h))
        });
    let bins = 50;
    let width = ((high - low) / bins as f32).max(f32::MIN_POSITIVE);
    let mut counts = vec![0usize; bins];
    for &h in codes {
        counts[(((h - low) / width) as usize).min(bins - 1)] += 1;
    }
    let share = |count: usize| 100.0 * count as f64 / codes.len() as f64;
    let edges = counts.iter().enumerate().flat_map(|(i, &count)| {
        let edge = |i: usize| f64::from(low + width * i as f32);
        [(edge(i), share(count)), (edge(i + 1), share(count))]
    });
    let panel = Panel::new(
        "Activations of all units on the test images",
        Axis::linear("activation"),
        Axis::linear("per cent of the activations"),
    )
    .line("codes", colors::BLUE, edges.collect());
    let svg = Chart::new("The histogram of the codes' entries")
        .panel(panel)
        .svg();
    let mean = statistics.means.mean().unwrap_or(0.0);
    let mut caption = format!(
        "How often a unit has which activation. The mean is {mean:.3}; the means of single units lie between {:.3} and {:.3} \
         (5 to 95 % of them). {} of {} units are dead: the same for every image. {:.1} % of the entries are not 0.",
        statistics.quantile(0.05),
        statistics.quantile(0.95),
        statistics.dead(),
        codes.ncols(),
        100.0 * statistics.nonzero
    );
    if let Some(errors) = probe_errors(saved, &data.train, &data.test)? {
        caption += &format!(
            " A linear classifier on the codes is wrong for {:.2} % of the test images, on the pixels for {:.2} %.",
            100.0 * errors.codes,
            100.0 * errors.pixels
        );
    }
    Ok(figure(
        "activations.svg",
        "Activations",
        caption,
        Content::Svg(svg),
    ))
}

/// The errors of linear classifiers.
pub struct ProbeErrors {
    /// On the codes.
    pub codes: f64,
    /// On the pixels.
    pub pixels: f64,
}

/// How well a linear classifier does on the codes, and on the pixels; none without labels.
///
/// # Errors
/// If a classifier cannot be trained.
pub fn probe_errors<M: AutoencoderCommand>(
    saved: &Saved<M>,
    train: &Pixels,
    test: &Pixels,
) -> Result<Option<ProbeErrors>> {
    let seed = saved.configuration.settings.seed;
    let (Some(train_labels), Some(test_labels)) = (labels(train), labels(test)) else {
        return Ok(None);
    };
    let pixels = [train, test].map(|pixels| views::all_images(pixels, seed));
    let codes =
        (pixels.each_ref()).map(|x| views::codes(&saved.model, &saved.parameters, x.view()));
    let error = |[train, test]: [Array2<f32>; 2]| {
        probe::error((&train, &train_labels), (&test, &test_labels), seed)
    };
    Ok(Some(ProbeErrors {
        codes: error(codes)?,
        pixels: error(pixels)?,
    }))
}

fn singular_values<M: AutoencoderCommand>(
    saved: &Saved<M>,
    few: ArrayView2<'_, f32>,
    all: ArrayView2<'_, f32>,
) -> (String, Figure) {
    let values = views::singular_values(&saved.model, &saved.parameters, few);
    let points = (values.iter().enumerate())
        .filter(|&(_, &value)| value > 1e-6)
        .map(|(i, &value)| ((i + 1) as f64, value))
        .collect();
    let panel = Panel::new(
        "Singular values of the encoder's Jacobian",
        Axis::linear("number"),
        Axis::log("singular value"),
    )
    .line("mean over images", colors::BLUE, points);
    let norm = views::squared_jacobian(&saved.model, &saved.parameters, all);
    let caption = format!(
        "How much the code changes in its most sensitive directions, in descending order, at {} test images. The mean of \
         ‖J‖², the sum of their squares, is {norm:.2} over all test images. Look for a steep fall: a code that is sensitive in \
         a few directions only, along which images of the same digit differ.",
        few.nrows()
    );
    let svg = Chart::new("Singular values of the Jacobian")
        .panel(panel)
        .svg();
    figure(
        "singular-values.svg",
        "Singular values",
        caption,
        Content::Svg(svg),
    )
}
