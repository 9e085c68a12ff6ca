//! The figures of the sections on TD-VAE: all of them from the Kalman filter, which knows everything.

use ndarray::{Array2, Axis, arr1, arr2};

use super::Figure;
use crate::autoencoders::StateSpace;
use crate::cli::plot::{Axis as Scale, Chart, Panel, colors};
use crate::data::noisy_autoregression;
use crate::distributions::Moments;
use crate::distributions::noise::stream;

/// All of them.
pub fn figures() -> Vec<Figure> {
    vec![belief(), jumpy()]
}

/// The last time at which something is seen.
const LAST: usize = 24;

/// What is known of a state while it is seen, and after; and the predictions of a belief that is wrong.
fn belief() -> Figure {
    let system = noisy_autoregression();
    let (states, seen) = system.sample(40, &mut stream(4, "figure", 0));
    let known = system
        .filter(seen.slice_axis(Axis(0), (..=LAST).into()))
        .expect("the variances of the filter");
    let mut beliefs = known.states;
    while beliefs.len() < 40 {
        beliefs.push(system.predict(&beliefs[beliefs.len() - 1]));
    }
    let band = |from: usize, to: usize| -> Vec<(f64, f64, f64)> {
        let of = |t: usize| {
            let (mean, deviation) = mean_and_deviation(&beliefs[t]);
            (t as f64, mean - 2.0 * deviation, mean + 2.0 * deviation)
        };
        (from..=to).map(of).collect()
    };
    let points = |values: &Array2<f64>, to: usize| -> Vec<(f64, f64)> {
        let column = values.column(0);
        (0..=to).map(|t| (t as f64, column[t])).collect()
    };
    let over_time = Panel::new(
        "The state: belief, then roll-out",
        Scale::whole("time t").range(0.0, 39.0),
        Scale::linear("state z").range(-2.4, 2.4),
    )
    .band("filter ± 2 deviations", colors::BLUE, band(0, LAST))
    .band("prediction", colors::ORANGE, band(LAST, 39))
    .line("state", colors::GRAY, points(&states, 39))
    .dots("observation", colors::GREEN, points(&seen, LAST));
    let right = &beliefs[LAST];
    let wrong = Moments {
        mean: &right.mean + 0.6,
        covariance: right.covariance.clone(),
    };
    let predictive = |belief: &Moments| -> Vec<(f64, f64)> {
        let next = system.predict(belief);
        let at = |x: f64| {
            let update = system.update(&next, arr1(&[x]).view());
            (x, update.expect("the variances of the filter").1)
        };
        (0..=80).map(|i| at(-2.0 + 0.05 * f64::from(i))).collect()
    };
    let predictions = Panel::new(
        "The next observation",
        Scale::linear("observation x").range(-2.0, 2.0),
        Scale::linear("log density").range(-6.0, 0.0),
    )
    .line("log p(x | past)", colors::BLUE, predictive(right))
    .dashed(
        "wrong belief: log p_B(x)",
        colors::ORANGE,
        predictive(&wrong),
    );
    let chart = Chart::new(
        "The filter's belief about a state, which widens where nothing is seen any more; a wrong belief is above the right \
         one for some observations and below it for others",
    )
    .panel(over_time)
    .panel(predictions);
    Figure {
        name: "td-vae-belief",
        svg: chart.svg(),
    }
}

/// The mean and the deviation of a scalar.
fn mean_and_deviation(state: &Moments) -> (f64, f64) {
    (state.mean[0], state.covariance[[0, 0]].sqrt())
}

/// The autoregression of the notes, seen through N(0, r).
fn seen_through(r: f64) -> StateSpace {
    let start = Moments {
        mean: arr1(&[0.0]),
        covariance: arr2(&[[0.1 / 0.19]]),
    };
    let [a, q, c, r] = [0.9, 0.1, 1.0, r].map(|x| arr2(&[[x]]));
    StateSpace::new((a, q), (c, r), start).expect("three variances above 0")
}

/// Variances of what is known of (z₁, z₂) over a jump from a belief that has settled: of each alone and of both.
struct Known {
    /// p(z₂|x up to t₁).
    predicted: f64,
    /// p(z₁, z₂|x up to t₁, x₂).
    ends: Array2<f64>,
    /// p(z₁, z₂|x up to t₂).
    all: Array2<f64>,
}

impl Known {
    /// How far one can see does not depend on what is seen: any observations will do.
    fn over(system: &StateSpace, jump: usize) -> Self {
        let settled = 30;
        let x = Array2::zeros((settled + jump + 1, 1));
        let expect = "the variances of the filter";
        let states = system.filter(x.view()).expect(expect).states;
        let (belief, jumped) = (&states[settled], system.every(jump));
        let smoothed = system.smooth(&states).expect(expect);
        let ends = jumped.pair_given_later(belief, x.row(0));
        Self {
            predicted: jumped.predict(belief).covariance[[0, 0]],
            ends: ends.expect(expect).covariance,
            all: smoothed.pair(settled, settled + jump).covariance,
        }
    }

    /// I(z₁, z₂; x between|x up to t₁, x₂).
    fn information(&self) -> f64 {
        let determinant = |m: &Array2<f64>| m[[0, 0]] * m[[1, 1]] - m[[0, 1]] * m[[1, 0]];
        0.5 * (determinant(&self.ends) / determinant(&self.all)).ln()
    }
}

/// What a q that has seen everything loses over a jump.
fn jumpy() -> Figure {
    let jumps = || 1..=12usize;
    let gaps = |r| -> Vec<(f64, f64)> {
        let system = seen_through(r);
        let gap = |jump| (jump as f64, Known::over(&system, jump).information());
        jumps().map(gap).collect()
    };
    let lost = Panel::new(
        "Mean gap of the posterior given everything",
        Scale::whole("jump t₂ − t₁").range(1.0, 12.0),
        Scale::linear("nats").range(0.0, 0.5),
    )
    .line("R = 0.04", colors::BLUE, gaps(0.04))
    .line("R = 0.16", colors::ORANGE, gaps(0.16))
    .line("R = 0.64", colors::GREEN, gaps(0.64));
    let system = seen_through(0.16);
    let deviations = |of: &dyn Fn(&Known) -> f64| -> Vec<(f64, f64)> {
        let at = |jump| (jump as f64, of(&Known::over(&system, jump)).sqrt());
        jumps().map(at).collect()
    };
    let later = Panel::new(
        "What is known of the later state, R = 0.16",
        Scale::whole("jump t₂ − t₁").range(1.0, 12.0),
        Scale::linear("deviation of z_t2").range(0.0, 0.8),
    )
    .line(
        "from x up to t₁",
        colors::GRAY,
        deviations(&|k| k.predicted),
    )
    .line("and x_t2", colors::ORANGE, deviations(&|k| k.ends[[1, 1]]))
    .line("from all", colors::BLUE, deviations(&|k| k.all[[1, 1]]));
    let chart = Chart::new(
        "The longer the jump, the more is lost by a q that has seen what lies between: nothing at a jump of 1; the \
         deviation of the later state, from the past, from the past and the later observation, and from all",
    )
    .panel(lost)
    .panel(later);
    Figure {
        name: "td-vae-jumpy",
        svg: chart.svg(),
    }
}
