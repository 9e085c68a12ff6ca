//! The figures of the sections beta-vae and beta-tempers: what a nat buys, and posteriors at several temperatures.

use ndarray::Array1;

use super::Figure;
use crate::autodiff::Tape;
use crate::autoencoders::{ScalarTradeOff, tempered_evidence, tempered_log_posterior};
use crate::cli::plot::{Axis, Chart, Panel, colors};

/// All of them.
pub fn figures() -> Vec<Figure> {
    vec![price_of_a_nat(), tempered_posteriors()]
}

/// Prices from dear to cheap: the rate rises along them.
fn prices(from: f64, to: f64) -> impl Iterator<Item = f64> {
    (0..=240).map(move |i| from * (to / from).powf(f64::from(i) / 240.0))
}

/// E*(δ), point by point.
fn frontier(model: &ScalarTradeOff, from: f64, to: f64) -> Vec<(f64, f64)> {
    let point = |beta| (model.rate(beta), model.log_likelihood(beta));
    prices(from, to).map(point).collect()
}

/// The best E log p(x|z) of each rate with its tangents, and that of two decoders with the rates that no price buys.
fn price_of_a_nat() -> Figure {
    let model = ScalarTradeOff {
        weight: 1.0,
        noise_variance: 0.25,
        data_variance: 1.25,
    };
    let mut one = Panel::new(
        "One decoder: the slope is the price",
        Axis::linear("rate δ, nats").range(0.0, 2.0),
        Axis::linear("E log p(x|z), nats").range(-3.4, 0.0),
    )
    .line("E*(δ)", colors::BLUE, frontier(&model, 1e3, 0.02));
    for (beta, color) in [
        (0.5, colors::GREEN),
        (1.0, colors::ORANGE),
        (3.0, colors::GRAY),
    ] {
        let (rate, value) = (model.rate(beta), model.log_likelihood(beta));
        let tangent = [rate - 0.45, rate + 0.45].map(|x| (x.max(0.0), x.max(0.0) - rate));
        let line = tangent.map(|(x, along)| (x, value + beta * along));
        one = one
            .dashed(&format!("slope β = {beta}"), color, line.to_vec())
            .dots("", color, vec![(rate, value)]);
    }
    let with_noise = |noise_variance| ScalarTradeOff {
        weight: 1.0,
        noise_variance,
        data_variance: 4.0,
    };
    let (coarse, fine) = (with_noise(1.0), with_noise(0.05));
    let (low, high, price) = gap(&coarse, &fine);
    let chord = [low, high].map(|rate| (rate, coarse.log_likelihood(price) + price * (rate - low)));
    let two = Panel::new(
        "Two decoders: rates that no price buys",
        Axis::linear("rate δ, nats").range(0.0, 4.0),
        Axis::linear("E log p(x|z), nats").range(-6.0, 1.0),
    )
    .line("coarse, σ² = 1", colors::BLUE, frontier(&coarse, 1e3, 1e-3))
    .line(
        "fine, σ² = 0.05",
        colors::ORANGE,
        frontier(&fine, 1e3, 1e-2),
    )
    .dashed(
        &format!("slope β = {price:.2}"),
        colors::GRAY,
        chord.to_vec(),
    )
    .vertical(low, "")
    .vertical(high, "");
    Figure {
        name: "price-of-a-nat",
        svg: Chart::new(
            "Left: the best E log p(x|z) of each rate is concave, and its tangents have the slope β. Right: two decoders and the line \
             that touches both, between whose ends no price leads to a rate",
        )
        .panel(one)
        .panel(two)
        .svg(),
    }
}

/// The price at which both decoders are worth the same, by bisection, and the rates that they have there.
fn gap(coarse: &ScalarTradeOff, fine: &ScalarTradeOff) -> (f64, f64, f64) {
    let value = |model: &ScalarTradeOff, beta| model.log_likelihood(beta) - beta * model.rate(beta);
    let (mut low, mut high) = (0.1, 10.0);
    for _ in 0..60 {
        let middle: f64 = 0.5 * (low + high);
        match value(fine, middle) > value(coarse, middle) {
            true => low = middle,
            false => high = middle,
        }
    }
    (coarse.rate(low), fine.rate(low), low)
}

/// The datum and the decoder's variance of the figure.
const DATUM: f64 = 0.7;
const VARIANCE: f64 = 0.1;

/// The best q of a decoder that bends, at several prices, and the maximum of the objective.
fn tempered_posteriors() -> Figure {
    let step = 0.02;
    let z = Array1::from_iter((-200..=200).map(|i| step * f64::from(i)));
    let log_prior = z.mapv(|z| -0.5 * (z * z + std::f64::consts::TAU.ln()) + step.ln());
    let log_likelihood = z.mapv(|z| {
        let error = z.abs().sqrt() * (1.3 * z).sin() - DATUM;
        -0.5 * (error * error / VARIANCE + (std::f64::consts::TAU * VARIANCE).ln())
    });
    let tape = Tape::new();
    let terms = || {
        (
            tape.constant(log_prior.clone()),
            tape.constant(log_likelihood.clone()),
        )
    };
    let density = |log_mass: &dyn Fn(usize) -> f64| {
        let point = |i: usize| (z[i], log_mass(i).exp() / step);
        (0..z.len()).map(point).collect::<Vec<_>>()
    };
    let mut posteriors = Panel::new(
        "The best q(z) at several prices",
        Axis::linear("z").range(-4.0, 4.0),
        Axis::linear("density").range(0.0, 2.5),
    )
    .dashed("prior", colors::GRAY, density(&|i| log_prior[i]));
    for (beta, color) in [
        (0.25, colors::GREEN),
        (1.0, colors::BLUE),
        (4.0, colors::ORANGE),
        (16.0, colors::PURPLE),
    ] {
        let (prior, likelihood) = terms();
        let log_q = tempered_log_posterior(prior, likelihood, beta).value();
        let name = match beta {
            1.0 => "β = 1, the posterior".to_owned(),
            _ => format!("β = {beta}"),
        };
        posteriors = posteriors.line(&name, color, density(&|i| log_q[i]));
    }
    let maximum = |beta| {
        let (prior, likelihood) = terms();
        tempered_evidence(prior, likelihood, beta).item()
    };
    let curve = prices(0.1, 20.0).map(|beta| (beta, maximum(beta)));
    let values = Panel::new(
        "The maximum of the objective",
        Axis::log("β").range(0.1, 20.0),
        Axis::linear("nats"),
    )
    .line("L_β(x)", colors::BLUE, curve.collect())
    .horizontal(maximum(1.0), "log p(x)")
    .vertical(1.0, "");
    Figure {
        name: "tempered-posteriors",
        svg: Chart::new(
            "Left: the posterior of a decoder that bends, sharper for β below 1 and nearer to the prior for β above it. Right: the \
             maximum of the objective falls as β rises and meets log p(x) at β = 1",
        )
        .panel(posteriors)
        .panel(values)
        .svg(),
    }
}
