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
    /// The share of data for which each unit is not 0.
    pub used: Array1<f64>,
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
            used: codes.map_axis(Axis(0), |unit| {
                unit.iter().filter(|&&h| h != 0.0).count() as f64 / unit.len() as f64
            }),
            nonzero: share(|h| h != 0.0),
            saturated: share(|h| !(0.05..=0.95).contains(&h)),
        }
    }

    /// Does a unit have the same activation, to a thousandth, for all data? Of a k-sparse code, such a unit is never kept.
    ///
    /// # Panics
    /// If there is no such unit.
    pub fn is_dead(&self, unit: usize) -> bool {
        let (low, high) = self.ranges[unit];
        high - low < ALIVE
    }

    /// How many units are dead.
    pub fn dead(&self) -> usize {
        (0..self.ranges.len())
            .filter(|&unit| self.is_dead(unit))
            .count()
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
