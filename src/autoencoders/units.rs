//! What the units of a code do over a set of data.

use ndarray::{Array1, ArrayView2, Axis};

/// The least range of a unit that is alive: a thousandth.
const ALIVE: f32 = 1e-3;

/// Statistics of every unit of a code, over data.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitStatistics {
    /// The mean activation of each unit.
    pub means: Array1<f32>,
    /// The smallest and the largest activation of each unit.
    pub ranges: Vec<(f32, f32)>,
    /// The mean share of entries of a code that are not 0.
    pub nonzero: f64,
    /// The mean share of entries of a code that are below 0.05 or above 0.95: of sigmoid units, the saturated ones.
    pub saturated: f64,
}

impl UnitStatistics {
    /// Of codes of shape (n, units).
    ///
    /// # Panics
    /// If there are no data.
    pub fn of(codes: ArrayView2<'_, f32>) -> Self {
        let means = codes
            .mean_axis(Axis(0))
            .expect("unit statistics of no data");
        let range = |column: ndarray::ArrayView1<'_, f32>| {
            column
                .iter()
                .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &h| {
                    (low.min(h), high.max(h))
                })
        };
        let share = |is: fn(f32) -> bool| {
            codes.iter().filter(|&&h| is(h)).count() as f64 / codes.len().max(1) as f64
        };
        Self {
            means,
            ranges: codes.columns().into_iter().map(range).collect(),
            nonzero: share(|h| h != 0.0),
            saturated: share(|h| !(0.05..=0.95).contains(&h)),
        }
    }

    /// How many units have the same activation, to a thousandth, for all data: for a k-sparse code, those that are never kept.
    pub fn dead(&self) -> usize {
        let ranges = self.ranges.iter();
        ranges.filter(|(low, high)| high - low < ALIVE).count()
    }

    /// The mean activation below which a fraction of the units lies.
    ///
    /// # Panics
    /// If there are no units.
    pub fn quantile(&self, fraction: f64) -> f32 {
        let mut sorted = self.means.to_vec();
        sorted.sort_by(f32::total_cmp);
        sorted[((sorted.len() - 1) as f64 * fraction).round() as usize]
    }
}
