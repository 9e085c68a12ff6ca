//! Axes: the range that is shown, linear or logarithmic, and where it has numbers.

/// A stretch of the number line, never empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Where it begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

impl Range {
    /// From `low` to `high`.
    pub const fn new(low: f64, high: f64) -> Self {
        Self { low, high }
    }

    /// From the smallest to the largest of `values`; nothing if there is none. Not yet fit to plot in, as it may be a
    /// single point.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values = values.into_iter();
        let first = values.next()?;
        let widen = |Self { low, high }, value: f64| Self::new(low.min(value), high.max(value));
        Some(values.fold(Self::new(first, first), widen))
    }

    /// The distance between the ends.
    pub fn span(&self) -> f64 {
        self.high - self.low
    }

    /// Widened around its middle to a span of `least`, if it is narrower.
    pub fn at_least(&self, least: f64) -> Self {
        let lacking = (least - self.span()).max(0.0) / 2.0;
        Self::new(self.low - lacking, self.high + lacking)
    }

    /// With room at both ends, so that no curve runs along the frame; a flat curve comes to lie in the middle.
    pub fn padded(&self) -> Self {
        let size = self.low.abs().max(self.high.abs());
        let room = if self.span() > 1e-6 * size.max(1e-3) {
            0.06 * self.span()
        } else {
            (0.05 * size).max(1.0)
        };
        Self::new(self.low - room, self.high + room)
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

/// 10 with an exponent; the powers near 1 as they are.
fn power_of_ten(exponent: f64) -> String {
    if (-2.0..=3.0).contains(&exponent) {
        return label(10f64.powf(exponent), 10f64.powf(exponent));
    }
    let raised = |c: char| match c {
        '-' => '⁻',
        digit => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize - '0' as usize],
    };
    let exponent: String = format!("{exponent:.0}").chars().map(raised).collect();
    format!("10{exponent}")
}

/// What an axis shows, and how.
#[derive(Debug, Clone)]
pub struct Axis {
    pub(super) title: String,
    pub(super) logarithmic: bool,
    pub(super) range: Option<Range>,
    ticks: Option<(Vec<f64>, f64)>,
    /// Numbers at round values are at least so far apart.
    smallest_step: f64,
}

impl Axis {
    /// An axis with equal steps.
    pub fn linear(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            logarithmic: false,
            range: None,
            ticks: None,
            smallest_step: 0.0,
        }
    }

    /// An axis with equal steps and whole numbers: of epochs, say.
    pub fn whole(title: impl Into<String>) -> Self {
        Self {
            smallest_step: 1.0,
            ..Self::linear(title)
        }
    }

    /// An axis with equal factors; what is not positive is not shown.
    pub fn log(title: impl Into<String>) -> Self {
        Self {
            logarithmic: true,
            ..Self::linear(title)
        }
    }

    /// Shows exactly this range; by default, all of the data and some room.
    pub fn range(self, low: f64, high: f64) -> Self {
        assert!(low < high, "an axis from {low} to {high}");
        Self {
            range: Some(Range::new(low, high)),
            ..self
        }
    }

    /// Has numbers at these values, with the decimals of `step`; by default, at round ones.
    pub fn ticks(self, values: Vec<f64>, step: f64) -> Self {
        Self {
            ticks: Some((values, step)),
            ..self
        }
    }

    /// A value in the units that are even along the axis: itself or its logarithm.
    pub fn even(&self, value: f64) -> f64 {
        match self.logarithmic {
            true => value.log10(),
            false => value,
        }
    }

    /// The value at a place in even units.
    pub fn value(&self, even: f64) -> f64 {
        match self.logarithmic {
            true => 10f64.powf(even),
            false => even,
        }
    }

    /// What is shown, in even units: the range that was set, or that of `values`.
    pub fn shown(&self, values: impl IntoIterator<Item = f64>) -> Range {
        if let Some(Range { low, high }) = self.range {
            return Range::new(self.even(low), self.even(high));
        }
        let values = values.into_iter().map(|value| self.even(value));
        let range = Range::of(values.filter(|even| even.is_finite()));
        range.unwrap_or(Range::new(0.0, 1.0)).padded()
    }

    /// Where the axis has numbers, in even units, and the numbers.
    pub fn numbers(&self, shown: Range, wanted: usize) -> Vec<(f64, String)> {
        let at = |(values, step): (Vec<f64>, f64)| {
            let number = |&value: &f64| (self.even(value), label(value, step));
            values.iter().map(number).collect()
        };
        if let Some(ticks) = &self.ticks {
            at(ticks.clone())
        } else if !self.logarithmic {
            at(ticks(shown, wanted, self.smallest_step))
        } else if shown.span() < 1.5 {
            // At 1, 2 and 5 times the powers of ten.
            let powers =
                (shown.low.floor() as i32..=shown.high.ceil() as i32).map(|i| 10f64.powi(i));
            let values =
                powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| (digit * power, power)));
            values
                .map(|(value, step)| (value.log10(), label(value, step)))
                .filter(|(even, _)| shown.contains(*even))
                .collect()
        } else {
            let (exponents, _) = ticks(shown, wanted, 1.0);
            exponents.iter().map(|&e| (e, power_of_ten(e))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(axis: Axis, low: f64, high: f64) -> Vec<String> {
        let shown = axis.range(low, high);
        let numbers = shown.numbers(shown.shown([]), 5);
        numbers.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_numbers_in_the_range() {
        let labels = |low, high| numbers(Axis::linear(""), low, high);
        assert_eq!(
            labels(-163.0, -78.0),
            ["−160", "−140", "−120", "−100", "−80"]
        );
        assert_eq!(labels(-0.11, 0.26), ["−0.1", "0.0", "0.1", "0.2"]);
        assert_eq!(labels(24.3, 25.1), ["24.4", "24.6", "24.8", "25.0"]);
        assert_eq!(labels(0.0, 5e9)[1], "1.0e9");
    }

    #[test]
    fn numbers_of_logarithmic_axes() {
        let labels = |low, high| numbers(Axis::log(""), low, high);
        assert_eq!(labels(1.0, 10.0), ["1", "2", "5", "10"]);
        assert_eq!(labels(0.01, 0.1), ["0.01", "0.02", "0.05", "0.1"]);
        assert_eq!(labels(1.0, 1e5), ["1", "10", "100", "1000", "10⁴", "10⁵"]);
        assert_eq!(labels(1e-12, 1.0)[0], "10⁻¹²");
    }

    #[test]
    fn ticks_are_few_even_where_numbers_run_out_of_digits() {
        for (low, high) in [(1e16, 1e16 + 2.0), (-1e300, 1e300), (1e-300, 2e-300)] {
            let (ticks, step) = ticks(Range::new(low, high), 5, 0.0);
            assert!(
                ticks.len() <= 21 && step.is_finite(),
                "{low} to {high}: {ticks:?}"
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
}
