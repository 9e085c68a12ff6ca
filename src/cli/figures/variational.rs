//! The figures of chapter 2, variational inference.

use crate::autodiff::Tape;
use crate::distributions::noise::{standard_normal, stream};
use crate::variational::{Covariances, Enumerated, GaussianMixture, GaussianTarget, Stopping, em};
use ndarray::{Array1, Array2, ArrayView1, arr1, arr2, arr3};

use super::Figure;
use crate::cli::plot::{Axis, Chart, Panel, colors};

/// All of them.
pub fn figures() -> Vec<Figure> {
    vec![
        evidence_bound_and_gap(),
        coordinate_ascent(),
        expectation_maximisation(),
    ]
}

/// p(x, z) of five states.
const JOINT: [f64; 5] = [0.02, 0.10, 0.05, 0.02, 0.01];

/// A q that is far from the posterior.
const POOR: [f64; 5] = [0.01, 0.02, 0.07, 0.30, 0.60];

/// What the table says of q at `position` on the way from the poor one, 0, to the posterior, 1; probabilities are mixed
/// geometrically.
struct OnTheWay {
    evidence: f64,
    /// By the roads over KL, Jensen and the importance weights.
    bounds: [f64; 3],
    gap: f64,
    /// Var w / p(x)².
    variance: f64,
}

fn on_the_way(position: f64) -> OnTheWay {
    let tape = Tape::new();
    let log_joint = tape.constant(arr1(&JOINT).mapv(f64::ln));
    let logits = log_joint * position + tape.constant(arr1(&POOR).mapv(f64::ln)) * (1.0 - position);
    let log_q = logits.log_softmax(0);
    let model = Enumerated::new(log_joint, log_q).expect("tables of probabilities");
    let relative = (model.log_weights() - model.evidence()).exp();
    OnTheWay {
        evidence: model.evidence().item(),
        bounds: [
            model.elbo_from_kl(),
            model.elbo_from_jensen(),
            model.elbo_from_importance_weights(),
        ]
        .map(|bound| bound.item()),
        gap: model.gap().item(),
        variance: (log_q.exp() * (relative - 1.0).square()).sum().item(),
    }
}

/// Evidence = bound + gap, and the gap beside half of the variance of the weights.
fn evidence_bound_and_gap() -> Figure {
    let positions = |steps: u32| (0..=steps).map(move |i| f64::from(i) / f64::from(steps));
    let curve = |of: fn(&OnTheWay) -> f64, steps| {
        positions(steps)
            .map(|t| (t, of(&on_the_way(t))))
            .collect::<Vec<_>>()
    };
    let floor = -4.5;
    let bounded = |t: f64| (t, on_the_way(t));
    let bound = positions(100)
        .map(bounded)
        .map(|(t, at)| (t, floor, at.bounds[1]));
    let gap = positions(100)
        .map(bounded)
        .map(|(t, at)| (t, at.bounds[1], at.bounds[1] + at.gap));
    let way = || Axis::linear("q: from a poor one (0) to the posterior (1)").range(0.0, 1.0);
    let stacked = Panel::new(
        "Evidence = bound + gap",
        way(),
        Axis::linear("nats").range(floor, -1.0),
    )
    .band("", colors::SKY, bound.collect())
    .band("gap, KL(q‖p(z|x))", colors::ORANGE, gap.collect())
    .line("log p(x)", colors::BLACK, curve(|at| at.evidence, 1))
    .line(
        "bound: log p(x) − KL",
        colors::BLUE,
        curve(|at| at.bounds[0], 100),
    )
    .dots("E log w", colors::VERMILION, curve(|at| at.bounds[1], 10))
    .specks(
        "log E w − gap of w",
        colors::BLACK,
        curve(|at| at.bounds[2], 20),
    );
    let near = || positions(60).map(|i| 10f64.powf(-3.0 * i));
    let distance = |of: fn(&OnTheWay) -> f64| {
        near()
            .map(|d| (d, of(&on_the_way(1.0 - d))))
            .collect::<Vec<_>>()
    };
    let close = Panel::new(
        "Near the posterior",
        Axis::log("distance of q from the posterior, 1 − position").range(1e-3, 1.0),
        Axis::log("nats").range(1e-6, 10.0),
    )
    .line("gap", colors::ORANGE, distance(|at| at.gap))
    .dashed(
        "½ Var(w)/p(x)²",
        colors::BLUE,
        distance(|at| 0.5 * at.variance),
    );
    let chart = Chart::new(
        "The evidence is constant while q moves towards the posterior; the bound rises by what the gap loses",
    )
    .panel(stacked)
    .panel(close);
    Figure {
        name: "evidence-bound-and-gap",
        svg: chart.svg(),
    }
}

/// The precision of a Gaussian with variances 1 and correlation ρ.
fn correlated(rho: f64) -> GaussianTarget {
    let scale = 1.0 / (1.0 - rho * rho);
    let precision = arr2(&[[scale, -rho * scale], [-rho * scale, scale]]);
    GaussianTarget::new(arr1(&[0.0, 0.0]), precision).expect("a positive definite precision")
}

/// The way of the means over a correlated target, and the divergence sweep by sweep.
fn coordinate_ascent() -> Figure {
    let target = correlated(0.9);
    let start = arr1(&[-2.0, 1.4]);
    let (mut m, mut path) = (start.clone(), vec![(start[0], start[1])]);
    for step in 0..24 {
        target.update(&mut m, step % 2);
        path.push((m[0], m[1]));
    }
    let square = |a: f64, b: f64| (a * a - 1.8 * a * b + b * b) / (1.0 - 0.81);
    let deviation = target.variances()[0].sqrt();
    let way = Panel::new(
        "Target of correlation 0.9",
        Axis::linear("z₁").range(-3.1, 3.1),
        Axis::linear("z₂").range(-2.4, 2.4),
    )
    .same_scale()
    .contours(
        "target, 1 and 2 deviations",
        colors::GRAY,
        vec![1.0, 4.0],
        square,
    )
    .contours(
        "best q, likewise",
        colors::BLUE,
        vec![1.0, 4.0],
        move |a, b| (a * a + b * b) / (deviation * deviation),
    )
    .line(
        "the means of q, factor by factor",
        colors::VERMILION,
        path.clone(),
    )
    .specks("", colors::VERMILION, path);
    let mut decay = Panel::new(
        "Each sweep shrinks it by the squared rate, ρ⁴",
        Axis::linear("sweep"),
        Axis::log("KL(q‖p) above its least value (nats)").range(1e-10, 100.0),
    );
    for (rho, name, color) in [
        (0.5, "ρ = 0.5", colors::GREEN),
        (0.9, "ρ = 0.9", colors::VERMILION),
        (0.98, "ρ = 0.98", colors::PURPLE),
    ] {
        let target = correlated(rho);
        let order = [0, 1];
        let ascent = target.ascend(&start, &order, 30);
        let excess = |sweep: usize| ascent.divergences[sweep] - target.least_divergence();
        let shown = (1..=30).map(|sweep| (sweep as f64, excess(sweep)));
        let shown: Vec<(f64, f64)> = shown.filter(|(_, excess)| *excess > 1e-10).collect();
        let rate = target.rate(&order);
        let predicted = shown
            .iter()
            .map(|(sweep, _)| (*sweep, excess(1) * rate.powf(2.0 * (sweep - 1.0))));
        decay = decay
            .line("", color, predicted.collect())
            .dots(name, color, shown);
    }
    let decay = decay.line("lines: predicted", colors::GRAY, Vec::new());
    let chart = Chart::new(
        "Coordinate ascent zigzags along a correlated target; its error shrinks by the predicted factor each sweep",
    )
    .panel(way)
    .panel(decay);
    Figure {
        name: "coordinate-ascent",
        svg: chart.svg(),
    }
}

/// 300 numbers, a third from N(-2, 0.6²), two thirds from N(1.2, 1).
fn two_groups() -> Array2<f64> {
    let tape = Tape::<f64>::new();
    let noise = standard_normal(&tape, &[300, 1], &mut stream(2, "figure", 0)).value();
    Array2::from_shape_fn((300, 1), |(n, _)| match n < 100 {
        true => -2.0 + 0.6 * noise[[n, 0]],
        false => 1.2 + noise[[n, 0]],
    })
}

/// The log-likelihood and the bound of each step, and the mixtures that belong to some of them.
fn expectation_maximisation() -> Figure {
    let data = two_groups();
    let start = GaussianMixture {
        weights: arr1(&[0.5, 0.5]),
        means: arr2(&[[-0.5], [0.5]]),
        covariances: arr3(&[[[4.0]], [[4.0]]]),
    };
    let run = |steps| {
        let stopping = Stopping {
            steps,
            tolerance: 0.0,
        };
        em(data.view(), start.clone(), Covariances::Full, stopping).expect("a fit")
    };
    let fit = run(36);
    let likelihood = fit.log_likelihoods.iter().enumerate();
    let likelihood: Vec<(f64, f64)> = likelihood.map(|(t, l)| (t as f64, *l)).collect();
    let mut bound = vec![likelihood[0]];
    for (step, after) in fit.bounds.iter().enumerate() {
        bound.push((step as f64 + 1.0, *after));
        bound.push(likelihood[step + 1]);
    }
    let climb = Panel::new(
        "Each M-step lifts the bound, each E-step closes the gap",
        Axis::linear("step"),
        Axis::linear("nats"),
    )
    .line("bound", colors::VERMILION, bound)
    .dots("Σ log p(x)", colors::BLUE, likelihood);
    let (low, width) = (-4.0, 0.5);
    let bars = (0..16).map(|bin| {
        let left = low + width * f64::from(bin);
        let inside = data
            .iter()
            .filter(|x| (left..left + width).contains(*x))
            .count();
        (
            left + 0.5 * width,
            inside as f64 / (width * data.nrows() as f64),
        )
    });
    let density = |mixture: &GaussianMixture| -> Vec<(f64, f64)> {
        let x = Array1::linspace(low, 4.0, 161);
        let densities = mixture
            .log_densities(column(x.view()).view())
            .expect("numbers");
        x.iter()
            .zip(densities)
            .map(|(x, l)| (*x, l.exp()))
            .collect()
    };
    let fits = Panel::new(
        "300 data and the mixtures",
        Axis::linear("x").range(low, 4.0),
        Axis::linear("density"),
    )
    .bars("data", "#d9d9d9", width, bars.collect())
    .dashed("start", colors::GRAY, density(&start))
    .line("step 1", colors::ORANGE, density(&run(1).mixture))
    .line("step 36", colors::BLUE, density(&fit.mixture));
    let chart = Chart::new("EM on a mixture of two Gaussians: the likelihood never falls")
        .panel(climb)
        .panel(fits);
    Figure {
        name: "expectation-maximisation",
        svg: chart.svg(),
    }
}

fn column(x: ArrayView1<f64>) -> Array2<f64> {
    x.insert_axis(ndarray::Axis(1)).to_owned()
}
