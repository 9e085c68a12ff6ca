//! The figures of chapter 1, background.

use crate::background::{Beta, Trials};
use crate::distributions::Estimate;
use crate::distributions::noise::stream;
use rand::Rng;
use rand::rngs::StdRng;

use super::Figure;
use crate::cli::plot::{Axis, Chart, Panel, colors};

/// All of them.
pub fn figures() -> Vec<Figure> {
    vec![
        prior_to_posterior(),
        likelihood_is_not_a_density(),
        monte_carlo_expectation(),
    ]
}

/// A coin's prior, its likelihood and its posterior, before the data, after a few tosses and after many.
fn prior_to_posterior() -> Figure {
    let prior = Beta::new(2.0, 2.0).expect("positive parameters");
    let panel = |title: &str, successes: u64, failures: u64, highest: f64| {
        let posterior = prior.posterior(successes, failures);
        let log_evidence = prior.log_evidence(successes, failures);
        let curve = |of: &dyn Fn(f64) -> f64| -> Vec<(f64, f64)> {
            (1..200)
                .map(|i| f64::from(i) / 200.0)
                .map(|theta| (theta, of(theta)))
                .collect()
        };
        let trials = Trials {
            successes,
            failures,
        };
        // Over the evidence, so that it is what the prior is multiplied by.
        let update = |theta: f64| {
            let log_likelihood = trials.log_likelihood(theta).expect("a probability");
            (log_likelihood - log_evidence).exp()
        };
        Panel::new(
            title,
            Axis::linear("probability of heads θ"),
            Axis::linear("density").range(0.0, highest),
        )
        .line(
            "prior",
            colors::GRAY,
            curve(&|theta| prior.log_density(theta).exp()),
        )
        .dashed("likelihood / evidence", colors::VERMILION, curve(&update))
        .line(
            "posterior",
            colors::BLUE,
            curve(&|theta| posterior.log_density(theta).exp()),
        )
    };
    let label = "Prior, likelihood over evidence, and posterior of a coin: after 4 tosses the posterior lies between prior and \
                 likelihood, after 40 it follows the likelihood";
    let chart = Chart::new(label)
        .panel(panel("3 heads, 1 tail", 3, 1, 3.0))
        .panel(panel("30 heads, 10 tails", 30, 10, 7.0));
    Figure {
        name: "prior-to-posterior",
        svg: chart.svg(),
    }
}

/// One function of k and θ, read along k and read along θ.
fn likelihood_is_not_a_density() -> Figure {
    let n = 10;
    let probability = |k: u64, theta: f64| {
        let trials = Trials {
            successes: k,
            failures: n - k,
        };
        trials
            .log_probability(theta)
            .expect("θ is a probability")
            .exp()
    };
    let along_k = (0..=n).map(|k| (k as f64, probability(k, 0.3)));
    let grid = || (0..=200).map(|i| f64::from(i) / 200.0);
    let y = |title| Axis::linear(title).range(0.0, 0.31);

    let density = Panel::new(
        "θ = 0.3 is fixed: a distribution over k",
        Axis::linear("successes k of n = 10 trials"),
        y("p(k; θ)"),
    )
    .bars("sum over k = 1", colors::BLUE, 0.8, along_k.collect());
    let likelihood = Panel::new(
        "k = 3 is fixed: a likelihood of θ",
        Axis::linear("success probability θ"),
        y("L(θ) = p(k; θ)"),
    )
    .band(
        "area = 1/11, not 1",
        colors::VERMILION,
        grid().map(|t| (t, 0.0, probability(3, t))).collect(),
    )
    .line(
        "",
        colors::VERMILION,
        grid().map(|t| (t, probability(3, t))).collect(),
    )
    .vertical(0.3, "maximum at k/n");
    let label = "The binomial probability of k successes in 10 trials: for a fixed success probability, as bars over k that \
                 add up to 1; for k = 3, as a curve over the success probability with an area of 1/11";
    let chart = Chart::new(label).panel(density).panel(likelihood);
    Figure {
        name: "likelihood-is-not-a-density",
        svg: chart.svg(),
    }
}

/// How many runs there are of each experiment.
const RUNS: u64 = 24;

/// The numbers of draws after which the mean is looked at: 1, 2, 4, … 2¹⁴.
const DOUBLINGS: u32 = 14;

/// Errors of means of n draws, with a variance and without one.
fn monte_carlo_expectation() -> Figure {
    let with = errors("uniform", 0.5, |rng| rng.random());
    let without = errors("pareto", 3.0, |rng| {
        (1.0 - rng.random::<f64>()).powf(-1.0 / 1.5)
    });
    let counts = || (0..=DOUBLINGS).map(|i| f64::from(1 << i));
    let law = |scale: f64, power: f64| counts().map(|n| (n, scale * n.powf(power))).collect();
    let x = || Axis::log("draws n").range(0.8, 20_000.0);
    let y = || Axis::log("|mean of n draws − exact|").range(2e-5, 30.0);

    let deviation = (1.0f64 / 12.0).sqrt();
    let finite = Panel::new("A variance: U(0, 1)", x(), y())
        .specks("errors of 24 runs", colors::SKY, with.concat())
        .line(
            "standard error: slope −½",
            colors::BLACK,
            law(deviation, -0.5),
        )
        .dots("root mean square", colors::BLUE, root_mean_square(&with));
    let infinite = Panel::new("No variance: Pareto, tail index 3/2", x(), y())
        .specks("errors of 24 runs", colors::ORANGE, without.concat())
        .dashed("slope −⅓", colors::BLACK, law(2.0, -1.0 / 3.0))
        .dots("median", colors::VERMILION, median(&without));
    let label = "Errors of Monte Carlo means against the number of draws, both logarithmic: with a variance they fall along a line \
                 of slope -1/2, without one more slowly, about as slope -1/3, and with leaps";
    let chart = Chart::new(label).panel(finite).panel(infinite);
    Figure {
        name: "monte-carlo-expectation",
        svg: chart.svg(),
    }
}

/// For each run, the absolute error of the mean of its first 1, 2, 4, … draws.
fn errors(name: &str, exact: f64, draw: impl Fn(&mut StdRng) -> f64) -> Vec<Vec<(f64, f64)>> {
    let run = |index: u64| {
        let mut rng = stream(1, name, index);
        let draws: Vec<f64> = (0..1 << DOUBLINGS).map(|_| draw(&mut rng)).collect();
        let error = |n: usize| {
            let estimate = Estimate::of(draws[..n].iter().copied()).expect("finite draws");
            (n as f64, (estimate.mean - exact).abs())
        };
        (0..=DOUBLINGS).map(|i| error(1 << i)).collect()
    };
    (0..RUNS).map(run).collect()
}

/// Over the runs, at each n.
fn root_mean_square(runs: &[Vec<(f64, f64)>]) -> Vec<(f64, f64)> {
    summary(runs, |errors| {
        let squares: f64 = errors.iter().map(|e| e * e).sum();
        (squares / errors.len() as f64).sqrt()
    })
}

/// Over the runs, at each n.
fn median(runs: &[Vec<(f64, f64)>]) -> Vec<(f64, f64)> {
    summary(runs, |mut errors| {
        errors.sort_by(f64::total_cmp);
        let middle = errors.len() / 2;
        (errors[middle - 1] + errors[middle]) / 2.0
    })
}

fn summary(runs: &[Vec<(f64, f64)>], of: impl Fn(Vec<f64>) -> f64) -> Vec<(f64, f64)> {
    let column = |i: usize| runs.iter().map(|run| run[i].1).collect();
    let points = runs[0].iter().enumerate();
    points.map(|(i, (n, _))| (*n, of(column(i)))).collect()
}
