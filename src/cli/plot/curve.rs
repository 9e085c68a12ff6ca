//! The training curve: the ELBO and its two terms over the epochs.

use super::axis::{Frame, Range, label, ticks};
use super::svg::{Anchor, Area, Entry, FAINT, Svg};

/// The two terms of the ELBO of a set of images, in nats per image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// How well images are explained by their codes: the expectation of `log p(x|z)`.
    pub reconstruction: f64,
    /// What the codes cost: the divergence of `q(z|x)` from the prior.
    pub kl: f64,
}

impl Terms {
    /// The ELBO: reconstruction less KL.
    pub fn elbo(&self) -> f64 {
        self.reconstruction - self.kl
    }
}

/// What an epoch ended with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Its number, usually from 1.
    pub number: usize,
    /// The mean over the training images.
    pub train: Terms,
    /// The mean over the held-out images, where it was computed.
    pub test: Option<Terms>,
}

/// How a curve is told from the others: its name, its colour (blue, vermilion and green of Okabe and Ito, which
/// colour-blind eyes tell apart), its width and its dashes.
struct Style {
    name: &'static str,
    color: &'static str,
    width: f64,
    dashes: &'static str,
}

/// The training images.
const TRAIN: Style = Style {
    name: "train",
    color: "#0072b2",
    width: 1.8,
    dashes: "6 4",
};

/// The held-out images: what counts.
const TEST: Style = Style {
    name: "test",
    color: "#d55e00",
    width: 2.4,
    dashes: "",
};

/// The reconstruction term of the training images, beside their ELBO, where there are no held-out ones.
const TRAIN_RECONSTRUCTION: Style = Style {
    name: "reconstruction (train)",
    ..TEST_RECONSTRUCTION
};

/// The reconstruction term of the held-out images, beside their ELBO.
const TEST_RECONSTRUCTION: Style = Style {
    name: "reconstruction (test)",
    color: "#009e73",
    width: 1.8,
    dashes: "",
};

/// The width of the plot.
const WIDTH: f64 = 640.0;

/// The part of it that the curves are in, from left to right.
const LEFT: f64 = 78.0;
const RIGHT: f64 = WIDTH - 18.0;

/// Up to so many epochs, each is marked with a dot.
const FEW: usize = 30;

/// A value of this size is no result of a training, and near the end of what `f64` can subtract.
const BEYOND: f64 = 1e100;

/// Differences below so many nats are not blown up to fill a panel.
const SPECK: f64 = 0.5;

/// So many nats need not fill more than a quarter of a panel, however little else there is to see.
const DETAIL: f64 = 10.0;

/// An SVG of two panels: above, the ELBO of training and held-out images, and the reconstruction term; below, the KL
/// divergence, which is too small to be seen on the scale of the others.
///
/// Values that are not finite, or might as well not be (of a training that went astray), are left out.
pub fn training_curve(epochs: &[Epoch]) -> String {
    let mut svg = Svg::new(
        WIDTH,
        616.0,
        "Training curve: the ELBO and its two terms, in nats per image, over the epochs",
    );

    let numbers = Range::of(epochs.iter().map(|epoch| epoch.number as f64));
    let numbers = numbers.unwrap_or(Range {
        low: 1.0,
        high: 1.0,
    });
    let room = (0.02 * numbers.span()).max(0.25);
    let x = Range {
        low: numbers.low - room,
        high: numbers.high + room,
    };

    // The reconstruction of the held-out images if there are any: the gap to the ELBO of the same is the KL.
    let reconstruction = if epochs.iter().any(|epoch| epoch.test.is_some()) {
        series(TEST_RECONSTRUCTION, epochs, |epoch| {
            epoch.test.map(|terms| terms.reconstruction)
        })
    } else {
        series(TRAIN_RECONSTRUCTION, epochs, |epoch| {
            Some(epoch.train.reconstruction)
        })
    };
    let curves = [
        series(TRAIN, epochs, |epoch| Some(epoch.train.elbo())),
        series(TEST, epochs, |epoch| epoch.test.map(|terms| terms.elbo())),
        reconstruction,
    ];
    let area = Area {
        left: LEFT,
        top: 82.0,
        width: RIGHT - LEFT,
        height: 256.0,
    };
    panel(&mut svg, area, x, "ELBO", &curves);

    let curves = [
        series(TRAIN, epochs, |epoch| Some(epoch.train.kl)),
        series(TEST, epochs, |epoch| epoch.test.map(|terms| terms.kl)),
    ];
    let area = Area {
        left: LEFT,
        top: 442.0,
        width: RIGHT - LEFT,
        height: 112.0,
    };
    let frame = panel(&mut svg, area, x, "KL", &curves);

    let (ticks, step) = epoch_ticks(numbers);
    frame.draw_x(&mut svg, &ticks, step, "epoch");
    svg.finish()
}

/// A curve and how it looks.
struct Series {
    style: Style,
    points: Vec<(f64, f64)>,
}

/// The curve of a figure that each epoch may have.
fn series(style: Style, epochs: &[Epoch], figure: impl Fn(&Epoch) -> Option<f64>) -> Series {
    let points = epochs
        .iter()
        .filter_map(|epoch| Some((epoch.number as f64, figure(epoch)?)))
        .filter(|(_, value)| value.abs() < BEYOND)
        .collect();
    Series { style, points }
}

/// Draws curves with their y axis and, above them, where it covers nothing, the legend.
fn panel(svg: &mut Svg, area: Area, x: Range, title: &str, curves: &[Series]) -> Frame {
    let frame = Frame {
        area,
        x,
        y: readable(curves).at_least(SPECK).padded(),
    };
    frame.draw_y(svg, (area.height / 37.0) as usize, "nats per image");

    let shown = || curves.iter().filter(|curve| !curve.points.is_empty());
    let entries: Vec<Entry> = shown()
        .map(|curve| (curve.style.color, curve.style.name))
        .collect();
    svg.legend((16.0, area.top - 54.0), title, &entries);
    if let Some(note) = off_the_scale(curves, frame.y) {
        svg.text((area.right(), area.top - 22.0), Anchor::End, FAINT, &note);
    }

    svg.within(area, |svg| {
        for Series { style, points } in shown() {
            let points: Vec<_> = points.iter().map(|point| frame.place(*point)).collect();
            svg.curve(&points, style.color, style.width, style.dashes);
            if points.len() <= FEW {
                svg.dots(&points, style.color, 3.0 * style.width, 1.0);
            }
        }
    });
    frame
}

/// The range of y that shows how the training went.
///
/// The first epochs are often far off; where they would press all others into a thin band, only the way in is shown.
fn readable(curves: &[Series]) -> Range {
    let all = values(curves, 0.0);
    let range = Range::of(all.iter().copied()).unwrap_or(Range {
        low: -1.0,
        high: 1.0,
    });
    let Some(settled) = Range::of(values(curves, 0.1)) else {
        return range;
    };
    let room = settled.span().max(DETAIL);
    if range.span() < 4.0 * room {
        return range;
    }
    Range {
        low: range.low.max(settled.low - room),
        high: range.high.min(settled.high + room),
    }
}

/// The values of all curves, without the first of each: the share `skipped` of them, rounded up.
fn values(curves: &[Series], skipped: f64) -> Vec<f64> {
    curves
        .iter()
        .flat_map(|curve| {
            let skipped = (skipped * curve.points.len() as f64).ceil() as usize;
            curve.points.iter().skip(skipped).map(|(_, value)| *value)
        })
        .collect()
}

/// A note of what the range does not show, if anything.
fn off_the_scale(curves: &[Series], shown: Range) -> Option<String> {
    let hidden = Range::of(
        values(curves, 0.0)
            .into_iter()
            .filter(|value| !shown.contains(*value)),
    )?;
    let worst = if hidden.low < shown.low {
        hidden.low
    } else {
        hidden.high
    };
    Some(format!("begins off the scale, at {}", label(worst, 1.0)))
}

/// Where the epochs are numbered: at round numbers, and at the first if there is room.
fn epoch_ticks(numbers: Range) -> (Vec<f64>, f64) {
    if numbers.span() == 0.0 {
        return (vec![numbers.low], 1.0);
    }
    let (mut ticks, step) = ticks(numbers, 6, 1.0);
    if ticks
        .first()
        .is_some_and(|first| first - numbers.low > 0.6 * step)
    {
        ticks.insert(0, numbers.low);
    }
    (ticks, step)
}

#[cfg(test)]
mod tests {
    use super::super::svg::check::well_formed;
    use super::*;

    /// A training that comes in from `first` and settles near -105, with a KL near 25.
    fn training(epochs: usize, first: f64) -> Vec<Epoch> {
        (1..=epochs)
            .map(|number| {
                let way = (number as f64).powi(-4);
                let terms = |offset: f64| Terms {
                    reconstruction: -80.0 + offset + way * (first + 80.0),
                    kl: 25.0 * (1.0 - 0.4 * way),
                };
                Epoch {
                    number,
                    train: terms(1.0),
                    test: Some(terms(0.0)),
                }
            })
            .collect()
    }

    #[test]
    fn the_elbo_is_reconstruction_less_kl() {
        assert_eq!(
            Terms {
                reconstruction: -80.0,
                kl: 25.0
            }
            .elbo(),
            -105.0
        );
    }

    #[test]
    fn any_training_gives_a_well_formed_plot() {
        let flat = |value| {
            let terms = Terms {
                reconstruction: value,
                kl: 0.0,
            };
            vec![
                Epoch {
                    number: 0,
                    train: terms,
                    test: None
                };
                3
            ]
        };
        let mut astray = training(10, -160.0);
        astray[7].train.kl = f64::NAN;
        astray[8].train.kl = f64::INFINITY;
        astray[9].test = None;
        for epochs in [
            vec![],
            training(1, -160.0),
            training(2, -160.0),
            training(1000, -543.0),
            flat(0.0),
            flat(-1e12),
            flat(f64::NAN),
            flat(-f64::MAX),
            astray,
        ] {
            well_formed(&training_curve(&epochs));
        }
    }

    #[test]
    fn one_epoch_is_a_marked_point_in_the_middle() {
        let svg = training_curve(&training(1, -160.0));
        assert!(svg.contains(&format!(r#"<path d="M{} "#, (LEFT + RIGHT) / 2.0)));
        assert_eq!(svg.matches("h0\"").count(), 5, "a dot for each curve");
        assert!(svg.contains(">1</text>"));
    }

    #[test]
    fn many_epochs_are_curves_without_marks() {
        let svg = training_curve(&training(1000, -160.0));
        assert_eq!(svg.matches("h0").count(), 0);
        for tick in [1, 200, 1000] {
            assert!(svg.contains(&format!(">{tick}</text>")), "{tick}");
        }
    }

    #[test]
    fn a_usual_first_epoch_is_shown_and_a_wild_one_is_noted() {
        assert!(!training_curve(&training(20, -160.0)).contains("off the scale"));
        let wild = training_curve(&training(20, -5000.0));
        assert!(wild.contains("begins off the scale, at −5015"));
        assert!(wild.contains(">−100</text>"), "the rest keeps its ticks");
    }

    #[test]
    fn without_held_out_images_there_is_no_such_curve() {
        let mut epochs = training(5, -160.0);
        assert!(training_curve(&epochs).contains(">test<"));
        epochs.iter_mut().for_each(|epoch| epoch.test = None);
        let svg = training_curve(&epochs);
        assert!(!svg.contains(">test<") && svg.contains("reconstruction (train)"));
    }
}
