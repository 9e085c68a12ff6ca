//! Finite differences that know their own error.
//!
//! Central differences at h, h/2 and h/4, extrapolated twice (Richardson): with
//! D(h) = (f(x+h) - f(x-h))/2h = f' + c₂h² + c₄h⁴ + …, the combination (4D(h/2) - D(h))/3 cancels c₂, and a second
//! such step cancels c₄. What the second step changes is one part of the error estimate.
//!
//! The central difference is blind to a kink at x itself: it finds the mean of both slopes, at every h. So the jump
//! of the slope is estimated from the same values. S(h) = (f(x+h) - 2f(x) + f(x-h))/h is that jump plus
//! hf'' + c₃h³ + …; T(h) = S(h) - 2S(h/2) cancels f'' and (T(h) - 8T(h/2))/7 also c₃. Where f is smooth this is of
//! order h⁵, at a kink it is the jump: it is the second part of the error estimate. Rounding is the third.
//!
//! Where the slope is continuous and has a corner, D(h) = f' + ch: then D(h/2) - D(h/4) is half of D(h) - D(h/2), and
//! not a quarter, and is the estimate.
//!
//! Each output has its own best step, the one with the least estimate: what is steep in one output must not decide
//! for another. An estimate from one step can be wrong by chance: what oscillates faster than the step looks slow to
//! it. So the slopes are compared with a difference along a random direction, at all steps; if they disagree, every
//! step is tried for every entry, and one that smaller steps contradict is off by at least as much. Smaller steps also
//! contradict where they are less certain than rounding explains: what is smooth over a step is smooth within it, and a
//! function that jumps everywhere may look smooth to one step by chance. A function that looks rough even to the smallest
//! step is taken to jump.

use ndarray::ArrayD;

use super::Values;

/// One column of a Jacobian: ∂y/∂x_j for every entry of y, and how far off it may be.
pub(super) struct Column {
    pub(super) entries: Vec<Entry>,
}

/// One entry of a Jacobian.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) slope: f64,
    /// How far extrapolation and the two sides disagree: falls with the step where f is smooth.
    pub(super) truncation: f64,
    /// What the last digit of f can change: grows as the step falls.
    pub(super) rounding: f64,
}

impl Entry {
    /// How far off the slope may be.
    pub(super) fn error(self) -> f64 {
        self.truncation + self.rounding
    }

    /// Is there no use in a smaller step?
    fn settled(self) -> bool {
        self.error() <= ACCURATE * self.slope.abs() || self.truncation <= self.rounding
    }

    /// Do all steps see either a jump of the slope, or no slope at all? `scale` is that of the slopes near it.
    pub(super) fn on_a_kink(self, scale: f64) -> bool {
        self.truncation > UNSTABLE * scale + 16.0 * self.rounding
    }

    /// Is this one, at a smaller step, rougher than rounding explains, where `wider` found f smooth?
    fn rougher_than(self, wider: Self) -> bool {
        let explained = wider.error() + UNSTABLE * wider.slope.abs() + 16.0 * self.rounding;
        self.truncation > explained
    }
}

/// An error below this part of the slope is good enough.
const ACCURATE: f64 = 1e-10;

/// A truncation error above this part of the slopes is a kink's.
const UNSTABLE: f64 = 1e-6;

/// The exponents of the steps c 2⁻ᵏ, for functions that change over a length of 1 down to one of about 10⁻¹⁰.
const STEPS: [i32; 11] = [6, 8, 10, 12, 14, 17, 20, 24, 28, 32, 36];

/// The same for the steps c |x| 2⁻ᵏ, for functions that change over a length of |x|.
const RELATIVE_STEPS: [i32; 3] = [6, 10, 14];

/// c. Not a power of two: what repeats 2ᵏ times over a length of 1 would look flat to whole periods.
const STEP: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// The steps to try at x, the widest first.
fn steps(x: f64) -> Vec<f64> {
    let size = x.abs().log2().floor().exp2();
    let relative = RELATIVE_STEPS.map(|k| STEP * size * f64::from(-k).exp2());
    let absolute = STEPS.map(|k| STEP * f64::from(-k).exp2());
    let representable = (size * f64::from(-44).exp2()).max(4.0 * f64::MIN_POSITIVE);
    let mut steps: Vec<f64> = (relative.into_iter().chain(absolute))
        .filter(|&h| h >= representable)
        .map(|h| {
            // A whole number of last digits, so that x ± h/4 and the others are exact.
            let far = x.abs() + h;
            4.0 * ((far + h / 4.0) - far)
        })
        .collect();
    steps.sort_by(|a, b| b.total_cmp(a));
    steps.dedup();
    steps
}

/// Only steps up to this may be the last.
const WIDEST_TO_END_WITH: f64 = 1.0 / 64.0;

/// Which steps to try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// None is larger.
    pub(super) largest_step: f64,
    /// All of them, instead of ending with the first that is good enough.
    pub(super) every_step: bool,
}

/// f at x + h and x - h, at x + h/2 and x - h/2, and at half of that again.
type Levels = [(ArrayD<f64>, ArrayD<f64>); 3];

/// ∂y/∂x_j by extrapolated central differences; `None` if f or its slope is not finite even at the smallest step. The
/// rounding of each output is relative to its magnitude, or its value where that is larger.
pub(super) fn column(
    f: &Values<'_>,
    inputs: &mut [ArrayD<f64>],
    (center, magnitudes): (&ArrayD<f64>, &[f64]),
    (input, entry): (usize, usize),
    search: Search,
) -> Option<Column> {
    let x = entry_of(&inputs[input], entry);
    let mut best: Vec<Option<Entry>> = vec![None; center.len()];
    let mut tried: Vec<Vec<Entry>> = Vec::new();
    for h in steps(x).into_iter().filter(|&h| h <= search.largest_step) {
        let mut at = |offset: f64| {
            set_entry(&mut inputs[input], entry, x + offset);
            let y = f(inputs);
            set_entry(&mut inputs[input], entry, x);
            y
        };
        let levels = [h, h / 2.0, h / 4.0].map(|h| (at(h), at(-h)));
        let mut settled = true;
        let all_found = extrapolate(&levels, center, magnitudes, h);
        for (best, &found) in best.iter_mut().zip(&all_found) {
            let finite = found.slope.is_finite() && found.error().is_finite();
            let better = best.is_none_or(|best| found.error() < best.error());
            if finite && better {
                *best = Some(found);
            }
            settled &= finite && found.settled() || best.is_some_and(Entry::settled);
        }
        // A step far wider than 1 may find agreement by chance: what oscillates faster looks slow to it.
        if settled && h <= WIDEST_TO_END_WITH && !search.every_step {
            break;
        }
        tried.push(all_found);
    }
    if search.every_step {
        best = (0..center.len())
            .map(|output| least_contradicted(&tried, output))
            .collect();
    }
    let entries: Option<Vec<Entry>> = best.into_iter().collect();
    Some(Column { entries: entries? })
}

/// The entry with the least error, where an error is at least as large as what smaller steps say against it.
fn least_contradicted(tried: &[Vec<Entry>], output: usize) -> Option<Entry> {
    let entries: Vec<Entry> = (tried.iter().map(|found| found[output]))
        .filter(|found| found.slope.is_finite() && found.error().is_finite())
        .collect();
    let contradicted = |(k, entry): (usize, &Entry)| {
        let smaller = entries[k + 1..].iter();
        let against = smaller.map(|other| match other.rougher_than(*entry) {
            true => other.truncation,
            false => (entry.slope - other.slope).abs() - other.error(),
        });
        Entry {
            truncation: against.fold(entry.truncation, f64::max),
            ..*entry
        }
    };
    (entries.iter().enumerate().map(contradicted)).min_by(|a, b| a.error().total_cmp(&b.error()))
}

/// What differences along a direction say about the slopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Along {
    /// They agree at all steps, and what is smooth over one step is smooth within it.
    Agrees,
    /// They do not.
    Disagrees,
    /// They do not, and f does not look smooth to the smallest step.
    Rough,
}

/// The slopes against differences along `direction`, at all steps.
pub(super) fn along(
    f: &Values<'_>,
    inputs: &[ArrayD<f64>],
    (center, magnitudes): (&ArrayD<f64>, &[f64]),
    direction: &[ArrayD<f64>],
    (columns, search): (&[Vec<Column>], Search),
) -> Along {
    let at = |offset: f64| {
        let moved: Vec<ArrayD<f64>> = (inputs.iter().zip(direction))
            .map(|(x, v)| x + v * offset)
            .collect();
        f(&moved)
    };
    let steps = steps(0.0)
        .into_iter()
        .filter(|&h| h <= search.largest_step.min(WIDEST_TO_END_WITH));
    let found: Vec<(f64, Vec<Entry>)> = steps
        .map(|h| {
            let levels = [h, h / 2.0, h / 4.0].map(|h| (at(h), at(-h)));
            (h, extrapolate(&levels, center, magnitudes, h))
        })
        .collect();
    let coordinates: Vec<(f64, f64, &Column)> = (inputs.iter().zip(direction).zip(columns))
        .flat_map(|((x, v), columns)| (x.iter().zip(v).zip(columns)).map(|((&x, &v), c)| (x, v, c)))
        .collect();
    let outputs = (0..center.len()).map(|output| along_one(&found, &coordinates, output));
    outputs
        .max_by_key(|&along| along as u8)
        .unwrap_or(Along::Agrees)
}

/// The same for one output.
fn along_one(
    found: &[(f64, Vec<Entry>)],
    coordinates: &[(f64, f64, &Column)],
    output: usize,
) -> Along {
    let parts = coordinates
        .iter()
        .map(|&(x, v, column)| (x, v, column.entries[output]));
    let slope: f64 = parts.clone().map(|(_, v, entry)| v * entry.slope).sum();
    let scale: f64 = parts
        .clone()
        .map(|(_, v, entry)| (v * entry.slope).abs())
        .sum();
    let unknown: f64 = parts
        .clone()
        .map(|(_, v, entry)| (v * entry.error()).abs())
        .sum();
    // Along a direction, x ± h is rounded.
    let position: f64 = parts
        .clone()
        .map(|(x, _, entry)| (x * entry.slope).abs())
        .sum();
    let entries: Vec<Entry> = found
        .iter()
        .map(|(h, entries)| Entry {
            rounding: entries[output].rounding + 16.0 * f64::EPSILON * (position / h + scale),
            ..entries[output]
        })
        // What is not finite there says nothing.
        .filter(|entry| entry.slope.is_finite() && entry.error().is_finite() && !unknown.is_nan())
        .collect();
    let mut smoothest: Option<Entry> = None;
    let agrees = entries.iter().all(|&entry| {
        let smooth = smoothest.is_none_or(|wider| {
            !entry.rougher_than(Entry {
                slope: scale,
                ..wider
            })
        });
        if smoothest.is_none_or(|wider| entry.error() < wider.error()) {
            smoothest = Some(entry);
        }
        smooth && (entry.slope - slope).abs() <= unknown + entry.error()
    });
    match agrees {
        true => Along::Agrees,
        false if entries.last().is_some_and(|entry| entry.on_a_kink(scale)) => Along::Rough,
        false => Along::Disagrees,
    }
}

/// The slope of every output, from the values at three distances.
fn extrapolate(levels: &Levels, center: &ArrayD<f64>, magnitudes: &[f64], h: f64) -> Vec<Entry> {
    let mut levels = levels.each_ref().map(|(up, down)| up.iter().zip(down));
    (center.iter().zip(magnitudes))
        .map(|(&center, &magnitude)| {
            let pairs = (levels.each_mut())
                .map(|pairs| pairs.next().expect("as many as in the center"))
                .map(|(&up, &down)| (up, down));
            extrapolate_one(pairs, center, magnitude, h)
        })
        .collect()
}

fn extrapolate_one(pairs: [(f64, f64); 3], center: f64, magnitude: f64, h: f64) -> Entry {
    let steps = [h, h / 2.0, h / 4.0];
    let each = |difference: fn(f64, f64, f64) -> f64| {
        std::array::from_fn(|i| difference(pairs[i].0, center, pairs[i].1) / steps[i])
    };
    let [first, second, third]: [f64; 3] = each(|up, _, down| (up - down) / 2.0);
    let coarse = (4.0 * second - first) / 3.0;
    let fine = (4.0 * third - second) / 3.0;
    let slope = (16.0 * fine - coarse) / 15.0;
    let corner = match (first - second).abs() < 3.0 * (second - third).abs() {
        true => (second - third).abs(),
        false => 0.0,
    };

    let [first, second, third]: [f64; 3] = each(|up, center, down| (up - center) - (center - down));
    let jump = ((first - 2.0 * second) - 8.0 * (second - 2.0 * third)) / 7.0;

    let magnitude = (pairs.iter()).fold(magnitude.max(center.abs()), |most, (up, down)| {
        most.max(up.abs()).max(down.abs())
    });
    Entry {
        slope,
        truncation: ((slope - fine).abs() + jump.abs()).max(corner),
        rounding: 16.0 * f64::EPSILON * magnitude / h,
    }
}

/// The entry at a position in row-major order.
pub(super) fn entry_of(array: &ArrayD<f64>, entry: usize) -> f64 {
    *array.iter().nth(entry).expect("the entry exists")
}

pub(super) fn set_entry(array: &mut ArrayD<f64>, entry: usize, value: f64) {
    *array.iter_mut().nth(entry).expect("the entry exists") = value;
}
