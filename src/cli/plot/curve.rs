//! The training curve: the ELBO and its two terms over the epochs.

use super::axis::{Axis, Range, label, ticks};
use super::chart::{Chart, Panel, colors};

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

/// Up to so many epochs, each is marked with a dot.
const FEW: usize = 30;

/// A value of this size is no result of a training, and near the end of what `f64` can subtract.
const BEYOND: f64 = 1e100;

/// Differences below so many nats are not blown up to fill a panel.
const SPECK: f64 = 0.5;

/// So many nats need not fill more than a quarter of a panel, however little else there is to see.
const DETAIL: f64 = 10.0;

/// A curve: its name, its colour, whether it is dashed, and its points.
struct Curve {
    name: &'static str,
    color: &'static str,
    dashed: bool,
    points: Vec<(f64, f64)>,
}

/// An SVG of two panels: above, the ELBO of training and held-out images, and the reconstruction term; below, the KL
/// divergence, which is too small to be seen on the scale of the others.
///
/// Values that are not finite, or might as well not be (of a training that went astray), are left out.
pub fn training_curve(epochs: &[Epoch]) -> String {
    // A figure that each epoch may have, over the epochs.
    let points = |figure: &dyn Fn(&Epoch) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = epochs
            .iter()
            .filter_map(|e| Some((e.number as f64, figure(e)?)));
        points.filter(|(_, value)| value.abs() < BEYOND).collect()
    };
    let train = |figure: fn(&Terms) -> f64| Curve {
        name: "train",
        color: colors::BLUE,
        dashed: true,
        points: points(&|epoch| Some(figure(&epoch.train))),
    };
    let test = |figure: fn(&Terms) -> f64| Curve {
        name: "test",
        color: colors::VERMILION,
        dashed: false,
        points: points(&|epoch| epoch.test.as_ref().map(figure)),
    };
    // The reconstruction of the held-out images if there are any: the gap to the ELBO of the same is the KL.
    let (name, reconstruction) = match epochs.iter().any(|epoch| epoch.test.is_some()) {
        true => ("reconstruction (test)", test(|terms| terms.reconstruction)),
        false => (
            "reconstruction (train)",
            train(|terms| terms.reconstruction),
        ),
    };
    let reconstruction = Curve {
        name,
        color: colors::GREEN,
        dashed: false,
        ..reconstruction
    };

    let numbers = Range::of(epochs.iter().map(|epoch| epoch.number as f64));
    let numbers = numbers.unwrap_or(Range::new(1.0, 1.0));
    let elbo = [train(Terms::elbo), test(Terms::elbo), reconstruction];
    let kl = [train(|terms| terms.kl), test(|terms| terms.kl)];
    let label = "Training curve: the ELBO and its two terms, in nats per image, over the epochs";
    Chart::new(label)
        .panel(panel("ELBO", epoch_axis("", numbers), &elbo).height(256.0))
        .below(panel("KL", epoch_axis("epoch", numbers), &kl).height(112.0))
        .svg()
}

/// Curves, each with dots where there are few, and a note of what the range does not show.
fn panel(title: &str, x: Axis, curves: &[Curve]) -> Panel {
    let shown = readable(curves).at_least(SPECK).padded();
    let y = Axis::linear("nats per image").range(shown.low, shown.high);
    let panel = Panel::new(title, x, y).note(off_the_scale(curves, shown));
    let curves = curves.iter().filter(|curve| !curve.points.is_empty());
    curves.fold(panel, |panel, curve| {
        let (color, points) = (curve.color, curve.points.clone());
        let panel = match curve.dashed {
            true => panel.dashed(curve.name, color, points.clone()),
            false => panel.line(curve.name, color, points.clone()),
        };
        match points.len() <= FEW {
            true => panel.dots("", color, points),
            false => panel,
        }
    })
}

/// The range of y that shows how the training went.
///
/// The first epochs are often far off; where they would press all others into a thin band, only the way in is shown.
fn readable(curves: &[Curve]) -> Range {
    let all = values(curves, 0.0);
    let range = Range::of(all).unwrap_or(Range::new(-1.0, 1.0));
    let Some(settled) = Range::of(values(curves, 0.1)) else {
        return range;
    };
    let room = settled.span().max(DETAIL);
    if range.span() < 4.0 * room {
        return range;
    }
    Range::new(
        range.low.max(settled.low - room),
        range.high.min(settled.high + room),
    )
}

/// The values of all curves, without the first of each: the share `skipped` of them, rounded up.
fn values(curves: &[Curve], skipped: f64) -> Vec<f64> {
    curves
        .iter()
        .flat_map(|curve| {
            let skipped = (skipped * curve.points.len() as f64).ceil() as usize;
            curve.points.iter().skip(skipped).map(|(_, value)| *value)
        })
        .collect()
}

/// A note of what the range does not show; empty if it shows everything.
fn off_the_scale(curves: &[Curve], shown: Range) -> String {
    let all = values(curves, 0.0).into_iter();
    match Range::of(all.filter(|value| !shown.contains(*value))) {
        None => String::new(),
        Some(Range { low, high }) => {
            let worst = if low < shown.low { low } else { high };
            format!("begins off the scale, at {}", label(worst, 1.0))
        }
    }
}

/// The axis of the epochs, with numbers at round ones, and at the first if there is room.
fn epoch_axis(title: &str, numbers: Range) -> Axis {
    let room = (0.02 * numbers.span()).max(0.25);
    let axis = Axis::linear(title).range(numbers.low - room, numbers.high + room);
    if numbers.span() == 0.0 {
        return axis.ticks(vec![numbers.low], 1.0);
    }
    let (mut ticks, step) = ticks(numbers, 6, 1.0);
    if ticks
        .first()
        .is_some_and(|first| first - numbers.low > 0.6 * step)
    {
        ticks.insert(0, numbers.low);
    }
    axis.ticks(ticks, step)
}

#[cfg(test)]
mod tests {
    use super::super::svg::check;
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
            check(&training_curve(&epochs));
        }
    }

    #[test]
    fn one_epoch_is_a_marked_point_in_the_middle() {
        let svg = training_curve(&training(1, -160.0));
        // Between the numbers on the left and the right edge.
        let middle = (66.0 + 640.0 - 22.0) / 2.0;
        assert!(svg.contains(&format!(r#"<path d="M{middle} "#)));
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
