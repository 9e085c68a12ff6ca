//! The figures of chapter 1, background.

use super::Figure;
use crate::cli::plot::{Axis, Chart, Panel, colors};

/// All of them.
pub fn figures() -> Vec<Figure> {
    vec![likelihood_is_not_a_density()]
}

/// One function of k and θ, read along k and read along θ.
fn likelihood_is_not_a_density() -> Figure {
    let n = 10;
    let choose = |k: i32| (1..=k).fold(1.0, |c, i| c * f64::from(n - k + i) / f64::from(i));
    let binomial = |k: i32, theta: f64| choose(k) * theta.powi(k) * (1.0 - theta).powi(n - k);
    let along_k = |theta: f64| (0..=n).map(move |k| (f64::from(k), binomial(k, theta)));
    let along_theta = |k| {
        (0..=200)
            .map(move |i| f64::from(i) / 200.0)
            .map(move |t| (t, binomial(k, t)))
    };
    let density = Panel::new(
        "θ is fixed: a distribution over k",
        Axis::linear("successes k of n = 10"),
        Axis::linear("p(k; θ)"),
    )
    .bars(
        "θ = 0.3: the bars add up to 1",
        colors::BLUE,
        0.8,
        along_k(0.3).collect(),
    );
    let likelihood = Panel::new(
        "k is fixed: a likelihood of θ",
        Axis::linear("success probability θ"),
        Axis::linear("L(θ) = p(k; θ)"),
    )
    .line(
        "k = 3: the area is 1/11",
        colors::VERMILION,
        along_theta(3).collect(),
    );
    let chart = Chart::new(
        "The binomial probability of k successes, as a function of k and as a function of θ",
    )
    .panel(density)
    .panel(likelihood);
    Figure {
        name: "likelihood-is-not-a-density",
        svg: chart.svg(),
    }
}
