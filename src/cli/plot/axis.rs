//! Ranges, ticks, and the frame that a plot is drawn in.

use super::svg::{Anchor, Area, FAINT, GRID, INK, Svg};

/// A stretch of the number line, never empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Where it begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

impl Range {
    /// From the smallest to the largest of `values`; nothing if there is none. Not yet fit to plot in, as it may be a
    /// single point.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        values.into_iter().fold(None, |range, value| match range {
            None => Some(Self {
                low: value,
                high: value,
            }),
            Some(Self { low, high }) => Some(Self {
                low: low.min(value),
                high: high.max(value),
            }),
        })
    }

    /// The distance between the ends.
    pub fn span(&self) -> f64 {
        self.high - self.low
    }

    /// Widened around its middle to a span of `least`, if it is narrower.
    pub fn at_least(&self, least: f64) -> Self {
        let lacking = (least - self.span()).max(0.0) / 2.0;
        Self {
            low: self.low - lacking,
            high: self.high + lacking,
        }
    }

    /// With room at both ends, so that no curve runs along the frame; a flat curve comes to lie in the middle.
    pub fn padded(&self) -> Self {
        let size = self.low.abs().max(self.high.abs());
        let room = if self.span() > 1e-6 * size.max(1e-3) {
            0.06 * self.span()
        } else {
            (0.05 * size).max(1.0)
        };
        Self {
            low: self.low - room,
            high: self.high + room,
        }
    }

    /// Whether a value lies in it.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// The multiples of a round step (1, 2 or 5 times a power of ten) in a range, about `wanted` of them, and the step.
pub fn ticks(range: Range, wanted: usize, smallest_step: f64) -> (Vec<f64>, f64) {
    let rough = range.span() / wanted.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        // Rather a few ticks more than wanted than half as many.
        .find(|step| *step >= 0.7 * rough)
        .unwrap_or(rough)
        .max(smallest_step);
    let first = (range.low / step).ceil();
    let count = ((range.high / step).floor() - first) as usize;
    // Counted in whole steps, so that rounding does not add up; a bound, in case the range is beyond the digits of f64.
    let ticks = (0..=count.min(4 * wanted))
        .map(|i| (first + i as f64) * step)
        .collect();
    (ticks, step)
}

/// A number as tall as the axis needs it: with the decimals of `step`, and a minus sign as wide as a plus sign.
pub fn label(value: f64, step: f64) -> String {
    let text = if value != 0.0 && (value.abs() >= 1e6 || step < 1e-4) {
        format!("{value:.1e}")
    } else {
        let decimals = (-(step * 1.001).log10().floor()).clamp(0.0, 6.0) as usize;
        format!("{value:.decimals$}")
    };
    let is_zero = text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
    match text.strip_prefix('-') {
        Some(zero) if is_zero => zero.to_owned(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

/// A plane that is mapped to a part of the picture.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// The part of the picture.
    pub area: Area,
    /// What is shown from left to right.
    pub x: Range,
    /// What is shown from bottom to top.
    pub y: Range,
}

impl Frame {
    /// Where a point of the plane is in the picture.
    pub fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (
            self.area.left + (x - self.x.low) / self.x.span() * self.area.width,
            self.area.bottom() - (y - self.y.low) / self.y.span() * self.area.height,
        )
    }

    /// Grid lines and numbers at the ticks of y, and the title above the numbers.
    pub fn draw_y(&self, svg: &mut Svg, wanted: usize, title: &str) {
        let (ticks, step) = ticks(self.y, wanted, 0.0);
        for tick in ticks {
            let (_, y) = self.place((self.x.low, tick));
            svg.line((self.area.left, y), (self.area.right(), y), GRID);
            svg.text(
                (self.area.left - 8.0, y),
                Anchor::End,
                INK,
                &label(tick, step),
            );
        }
        // Level, not upright: easier to read, and out of the way of numbers however long they are.
        svg.text((16.0, self.area.top - 22.0), Anchor::Start, INK, title);
    }

    /// Marks and numbers at ticks of x, below the frame, and the line that they are on.
    pub fn draw_x(&self, svg: &mut Svg, ticks: &[f64], step: f64, title: &str) {
        let bottom = self.area.bottom();
        svg.line((self.area.left, bottom), (self.area.right(), bottom), FAINT);
        for &tick in ticks {
            let (x, _) = self.place((tick, self.y.low));
            svg.line((x, bottom), (x, bottom + 5.0), FAINT);
            svg.text((x, bottom + 19.0), Anchor::Middle, INK, &label(tick, step));
        }
        let middle = self.area.left + self.area.width / 2.0;
        svg.text((middle, bottom + 44.0), Anchor::Middle, INK, title);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64) -> Vec<String> {
        let (ticks, step) = ticks(Range { low, high }, 5, 0.0);
        ticks.into_iter().map(|tick| label(tick, step)).collect()
    }

    #[test]
    fn ticks_are_round_numbers_in_the_range() {
        assert_eq!(
            labels(-163.0, -78.0),
            ["−160", "−140", "−120", "−100", "−80"]
        );
        assert_eq!(labels(-0.11, 0.26), ["−0.1", "0.0", "0.1", "0.2"]);
        assert_eq!(labels(24.3, 25.1), ["24.4", "24.6", "24.8", "25.0"]);
        assert_eq!(labels(0.0, 5e9)[1], "1.0e9");
    }

    #[test]
    fn ticks_are_few_even_where_numbers_run_out_of_digits() {
        for range in [
            Range {
                low: 1e16,
                high: 1e16 + 2.0,
            },
            Range {
                low: -1e300,
                high: 1e300,
            },
            Range {
                low: 1e-300,
                high: 2e-300,
            },
        ] {
            let (ticks, step) = ticks(range, 5, 0.0);
            assert!(
                ticks.len() <= 21 && step.is_finite(),
                "{range:?}: {ticks:?}"
            );
        }
    }

    #[test]
    fn a_flat_curve_has_a_range_and_lies_in_its_middle() {
        for value in [0.0, -105.0, 1e12, 1e-12] {
            let range = Range::of([value, value]).unwrap();
            assert!(range.at_least(0.5).span() >= 0.49);
            let range = range.padded();
            assert!(range.span() > 0.0);
            assert!((range.low + range.high - 2.0 * value).abs() <= 1e-9 * range.span());
        }
        assert_eq!(Range::of([]), None);
    }

    #[test]
    fn a_point_is_placed_upright() {
        let frame = Frame {
            area: Area {
                left: 100.0,
                top: 10.0,
                width: 200.0,
                height: 50.0,
            },
            x: Range {
                low: 0.0,
                high: 4.0,
            },
            y: Range {
                low: -1.0,
                high: 1.0,
            },
        };
        assert_eq!(frame.place((0.0, -1.0)), (100.0, 60.0));
        assert_eq!(frame.place((4.0, 1.0)), (300.0, 10.0));
        assert_eq!(frame.place((1.0, 0.0)), (150.0, 35.0));
    }
}
