//! What the report shows of a trained autoencoder.

use anyhow::Result;
use ndarray::{ArrayView2, s};

use super::figures::Measured;
use super::{AutoencoderCommand, ImageData, LoadedData, Saved, views};
use crate::autoencoders::Coding;
use crate::cli::plot::{Axis, Chart, Panel, colors};
use crate::cli::report::{Content, Figure};
use crate::nn::Activation;

/// Filters that are shown.
const FILTERS: usize = 120;

/// Images whose Jacobians are taken apart.
const JACOBIANS: usize = 4;

/// Codes up to this wide have their Jacobians taken apart: a spectrum takes time of order the cube of its length.
const WIDEST: usize = 1024;

/// All pictures.
///
/// # Errors
/// If one would be too large, or the probe cannot be trained.
pub fn all<M: AutoencoderCommand>(
    saved: &Saved<M>,
    data: &LoadedData<ImageData>,
) -> Result<Vec<(String, Figure)>> {
    let seed = saved.configuration.settings.seed;
    let measured = Measured::of(saved, data, seed)?;
    let first = |count: usize| {
        measured
            .images
            .slice(s![..measured.images.nrows().min(count), ..])
    };
    let mut pictures = vec![reconstructions(saved, first(48))?];
    if let Some(corruption) = saved.configuration.options.corruption() {
        let corrupted = views::corrupted(first(48), corruption, seed);
        pictures.push(restored(saved, corrupted.view())?);
    }
    pictures.push(filters(saved, &measured)?);
    pictures.push(activations(saved, &measured));
    if saved.model.autoencoder().structure().code <= WIDEST {
        pictures.push(singular_values(
            saved,
            first(JACOBIANS),
            measured.squared_jacobian,
        ));
    }
    Ok(pictures)
}

fn reconstructions<M: AutoencoderCommand>(
    saved: &Saved<M>,
    x: ArrayView2<'_, f32>,
) -> Result<(String, Figure)> {
    let again = views::reconstructions(&saved.model, &saved.parameters, x);
    let sheet = saved.tiles(x)?.above(&saved.tiles(again.view())?, 12)?;
    let caption = "In each pair of rows, held-out originals are above and their reconstructions right below. Look for what the \
                   code has no room for: thin strokes, ornaments, unusual shapes.";
    Ok(Figure::named(
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
    let sheet = saved
        .tiles(corrupted)?
        .above(&saved.tiles(again.view())?, 12)?;
    let caption = "Held-out images, corrupted as in training, and what the autoencoder restores from them right below. Look for \
                   strokes that are closed again, and for digits that were taken for others.";
    Ok(Figure::named(
        "restored.png",
        "Restored images",
        caption.to_owned(),
        Content::Png(sheet.png()?),
    ))
}

/// Filters of the first layer. Those of a code of which units are silent (a k-sparse one) come in the order of their use, so that
/// dead units do not stand first; all others by the size of their weights.
fn filters<M: AutoencoderCommand>(
    saved: &Saved<M>,
    measured: &Measured,
) -> Result<(String, Figure)> {
    let (weights, units) = (views::first_weights(saved), &measured.units);
    let one_layer = saved.model.autoencoder().structure().hidden.is_empty();
    let by_use = one_layer && units.nonzero < 1.0;
    let rank = |unit: usize| match by_use {
        true => units.used[unit],
        false => f64::from(weights.row(unit).dot(&weights.row(unit))),
    };
    let mut order: Vec<usize> = (0..weights.nrows()).collect();
    order.sort_by(|&a, &b| rank(b).total_cmp(&rank(a)));
    order.truncate(FILTERS);
    let filters = views::filters(&weights, &order);
    let sheet = saved.tiles(filters.view())?.grid(20)?;
    let first = match by_use {
        true => "the units that are used for most test images first",
        false => "the units with the largest weights first",
    };
    let dead = match one_layer {
        false => String::new(),
        true => {
            let shown = order.iter().filter(|&&unit| units.is_dead(unit)).count();
            let place = match (units.dead(), shown, by_use) {
                (0, ..) => "",
                (_, 0, _) => ": none of them is shown here",
                (_, _, true) => ": those that are shown here stand last",
                (_, _, false) => ": they stand among the others",
            };
            format!(
                " {} of {} units are dead{place}.",
                units.dead(),
                units.means.len()
            )
        }
    };
    let caption = format!(
        "What the units of the first layer look at: the weights of each as an image, middle grey for 0, white for the largest; \
         {first}.{dead} Look for strokes and edges: grainy filters have learnt nothing that many images share."
    );
    Ok(Figure::named(
        "filters.png",
        "Filters",
        caption,
        Content::Png(sheet.png()?),
    ))
}

fn activations<M: AutoencoderCommand>(saved: &Saved<M>, measured: &Measured) -> (String, Figure) {
    let (codes, units) = (&measured.codes, &measured.units);
    let shown: Vec<f32> = codes.iter().copied().filter(|&h| h != 0.0).collect();
    let (low, high) = shown
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &h| {
            (low.min(h), high.max(h))
        });
    let bins = 50;
    let width = ((high - low) / bins as f32).max(f32::MIN_POSITIVE);
    let mut counts = vec![0usize; bins];
    for &h in &shown {
        counts[(((h - low) / width) as usize).min(bins - 1)] += 1;
    }
    let share = |count: usize| 100.0 * count as f64 / shown.len().max(1) as f64;
    let edges = counts.iter().enumerate().flat_map(|(i, &count)| {
        let edge = |i: usize| f64::from(low + width * i as f32);
        [(edge(i), share(count)), (edge(i + 1), share(count))]
    });
    let silent = units.nonzero < 1.0;
    let (title, unit) = match silent {
        true => ("Activations that are not 0", "per cent of those"),
        false => ("Activations of all units", "per cent of the activations"),
    };
    let panel = Panel::new(title, Axis::linear("activation"), Axis::linear(unit)).line(
        "test images",
        colors::BLUE,
        edges.collect(),
    );
    let svg = Chart::new("The histogram of the codes' entries")
        .panel(panel)
        .svg();
    let mut caption = "How often a unit has which activation.".to_owned();
    if silent {
        caption += &format!(
            " Only the activations that are not 0 are shown: {:.1} % of all are 0.",
            100.0 * (1.0 - units.nonzero)
        );
    }
    caption += &format!(
        " The mean is {:.3}; the means of single units lie between {:.3} and {:.3} (5 to 95 % of them). {} of {} units are dead: \
         the same for every image.",
        units.means.mean().unwrap_or(0.0),
        units.quantile(0.05),
        units.quantile(0.95),
        units.dead(),
        codes.ncols()
    );
    if saved.configuration.options.network().code_activation() == Activation::Sigmoid {
        caption += &format!(
            " {:.1} % of the activations are below 0.05 or above 0.95.",
            100.0 * units.saturated
        );
    }
    if let Some(errors) = &measured.probe {
        caption += &format!(
            " A linear classifier on the codes is wrong for {:.2} % of the test images, on the pixels for {:.2} %.",
            100.0 * errors.codes,
            100.0 * errors.pixels
        );
    }
    Figure::named("activations.svg", "Activations", caption, Content::Svg(svg))
}

fn singular_values<M: AutoencoderCommand>(
    saved: &Saved<M>,
    few: ArrayView2<'_, f32>,
    squared_jacobian: f64,
) -> (String, Figure) {
    let values = views::singular_values(&saved.model, &saved.parameters, few);
    let points = (values.iter().enumerate())
        .filter(|&(_, &value)| value > 1e-6)
        .map(|(i, &value)| ((i + 1) as f64, value))
        .collect();
    let panel = Panel::new(
        "Singular values of the code's Jacobian",
        Axis::whole("number"),
        Axis::log("change of the code per change of the image"),
    )
    .line("mean over images", colors::BLUE, points);
    let caption = format!(
        "How much the code changes in its most sensitive directions, in descending order: a singular value is the length of the \
         change of the code over that of the image, and the curve its mean at {} test images.{} The mean of ‖J‖², the sum of \
         their squares, is {squared_jacobian:.2} over all test images. Look for a steep fall: a code that is sensitive in a few \
         directions only, along which images of the same digit differ.",
        few.nrows(),
        match values.len() < saved.model.autoencoder().structure().code.min(few.ncols()) {
            true =>
                " Only the units that are kept change with the image, so that there are no more values than those.",
            false => "",
        }
    );
    let svg = Chart::new("Singular values of the Jacobian")
        .panel(panel)
        .svg();
    Figure::named(
        "singular-values.svg",
        "Singular values",
        caption,
        Content::Svg(svg),
    )
}
