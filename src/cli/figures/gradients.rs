//! The figures of chapter 4, gradients.

use crate::autodiff::{Tape, Trace, Value};
use crate::distributions::noise::{standard_normal, stream};
use crate::gradients::{
    Baseline, Draws, GaussianParameters, SquareVariances, pathwise_gradient, score_gradient,
    square_variances,
};
use ndarray::{Array1, Array2, arr0, arr1};

use super::Figure;
use crate::cli::plot::{
    Arrow, Axis, Chart, Flow, Kind, Node, Panel, Station, colors, diagram, graph,
};

/// All of them.
pub fn figures() -> Vec<Figure> {
    vec![randomness(), three_lines(), gradient_variance()]
}

// ---------------------------------------------------------------------------------------------------------
// the chapter's opening

/// Where the randomness sits before and after the sample is written as a function of noise.
fn randomness() -> Figure {
    let node = Node::new;
    let nodes = [
        node(Kind::Computed, 90.0, 140.0, "φ", "parameters"),
        node(Kind::Random, 300.0, 140.0, "z", "drawn from q(z; φ)"),
        node(Kind::Objective, 510.0, 140.0, "f(z)", "what is averaged"),
        node(Kind::Computed, 90.0, 290.0, "φ", "parameters"),
        node(Kind::Computed, 300.0, 290.0, "z", "g(φ, ε)"),
        node(Kind::Objective, 510.0, 290.0, "f(z)", "what is averaged"),
        node(Kind::Random, 300.0, 400.0, "ε", "independent of φ"),
    ];
    let arrow = |flow, from, to| Arrow { flow, from, to };
    let arrows = [
        arrow(Flow::Forward, 0, 1),
        arrow(Flow::Forward, 1, 2),
        arrow(Flow::Back, 2, 1),
        arrow(Flow::Blocked, 1, 0),
        arrow(Flow::Forward, 3, 4),
        arrow(Flow::Forward, 4, 5),
        arrow(Flow::Forward, 6, 4),
        arrow(Flow::Back, 5, 4),
        arrow(Flow::Back, 4, 3),
    ];
    let label = "Two graphs. Before: the parameters decide from which distribution z is drawn, and no gradient passes through \
                 the draw. After: z is computed from the parameters and from noise that is drawn beside them, and the \
                 gradient passes through z to the parameters";
    let captions = [
        ((24.0, 86.0), "before: the randomness lies on the way back"),
        (
            (24.0, 236.0),
            "after reparameterisation: it lies beside the way",
        ),
    ];
    Figure {
        name: "reparameterisation",
        svg: diagram((600.0, 450.0), label, &captions, &nodes, &arrows),
    }
}

// ---------------------------------------------------------------------------------------------------------
// vjp-chain-rule

/// The tape of u = x w, y = u + x, L = y², with what went forward and what came back.
fn three_lines() -> Figure {
    let tape = Tape::new();
    let (x, w) = (tape.variable(arr0(3.0)), tape.variable(arr0(-2.0)));
    let u = x * w;
    let y = u + x;
    let trace = Trace::of(y.square());
    let titles = ["x", "w", "u = x w", "y = u + x", "L = y²"];
    let steps = trace.steps();
    let station = |(number, title): (usize, &&str)| Station {
        title: (*title).to_owned(),
        value: shown(&steps[number].value),
        cotangent: steps[number]
            .cotangent
            .as_ref()
            .map_or("-".to_owned(), shown),
        inputs: steps[number]
            .given
            .iter()
            .map(|(input, part)| (*input, shown(part)))
            .collect(),
    };
    let stations: Vec<Station> = titles.iter().enumerate().map(station).collect();
    let label = "The graph of u = x w, y = u + x, L = y²: five boxes with values and cotangents, and on the arrows the parts \
                 of the cotangents that go back along them; the two parts that x receives add";
    Figure {
        name: "tape",
        svg: graph(label, &stations),
    }
}

/// A whole number with a proper minus.
fn shown(value: &Value<f64>) -> String {
    value.sum().to_string().replace('-', "−")
}

// ---------------------------------------------------------------------------------------------------------
// gradient-variance

/// Draws behind each dot.
const DRAWS: usize = 20_000;

/// The variance of one draw of ∂μ for f = z², against the mean and against the deviation: closed forms and samples.
fn gradient_variance() -> Figure {
    let by_mean = Axis::linear("mean μ (σ = 1)").range(-0.1, 4.1);
    let against_mean = panel(
        "Against the mean (dots: 20 000 draws)",
        by_mean,
        (0..=80)
            .map(|i| f64::from(i) / 20.0)
            .map(|mu| (mu, mu, 0.0)),
        (0..=8).map(|i| f64::from(i) / 2.0).map(|mu| (mu, mu, 0.0)),
    );
    let at = |power: f64| {
        (
            10f64.powf(power),
            1.0,
            2.0 * power * std::f64::consts::LN_10,
        )
    };
    let against_deviation = panel(
        "Against the deviation (dots: 20 000 draws)",
        Axis::log("deviation σ (μ = 1)").range(0.045, 2.2),
        (0..=80).map(|i| at(-1.3 + 1.6 * f64::from(i) / 80.0)),
        (0..=8).map(|i| at(-1.3 + 0.2 * f64::from(i))),
    );
    let chart = Chart::new(
        "The variance of one draw of the derivative in the mean of E z², by the score without and with the best baseline and \
         along the path, against the mean and against the deviation; dots of sample variances on lines of closed forms",
    )
    .panel(against_mean)
    .panel(against_deviation);
    Figure {
        name: "gradient-variance",
        svg: chart.svg(),
    }
}

/// Where along the axis, and which mean and log-variance.
type Place = (f64, f64, f64);

fn panel(
    title: &str,
    axis: Axis,
    lines: impl Iterator<Item = Place>,
    dots: impl Iterator<Item = Place>,
) -> Panel {
    let lines: Vec<(f64, SquareVariances)> = lines
        .map(|(x, mean, s)| (x, square_variances(mean, s).expect("numbers")))
        .collect();
    let line = |of: fn(&SquareVariances) -> f64| lines.iter().map(|(x, v)| (*x, of(v))).collect();
    let dots: Vec<(f64, [f64; 3])> = dots.map(|(x, mean, s)| (x, measured(mean, s))).collect();
    let dotted = |which: usize| dots.iter().map(|(x, v)| (*x, v[which])).collect();
    Panel::new(
        title,
        axis,
        Axis::log("variance of one draw of ∂μ").range(0.005, 1000.0),
    )
    .line("score", colors::VERMILION, line(|v| v.score[0]))
    .line(
        "score with b*",
        colors::PURPLE,
        line(|v| v.with_baseline[0]),
    )
    .line("pathwise", colors::BLUE, line(|v| v.pathwise[0]))
    .dots("", colors::VERMILION, dotted(0))
    .dots("", colors::PURPLE, dotted(1))
    .dots("", colors::BLUE, dotted(2))
}

/// Sample variances of ∂μ: by the score, with the best baseline, along the path.
fn measured(mean: f64, log_variance: f64) -> [f64; 3] {
    let q = GaussianParameters {
        mean: arr1(&[mean]),
        log_variance: arr1(&[log_variance]),
    };
    let tape = Tape::new();
    let noise = standard_normal(&tape, &[DRAWS, 1], &mut stream(4, "gradient-variance", 0)).value();
    let noise: Array2<f64> = noise.into_owned().into_dimensionality().expect("two axes");
    let best = square_variances(mean, log_variance)
        .expect("numbers")
        .baseline;
    let score = |baseline: Baseline| {
        score_gradient(&q, noise.view(), |_, z| z.square().sum_last(), &baseline)
    };
    let of = |draws: Draws| draws.estimate().entries[0].variance();
    [
        score(Baseline::None),
        score(Baseline::Entries(Array1::from(best.to_vec()))),
        pathwise_gradient(&q, noise.view(), |_, z| z.square().sum_last()),
    ]
    .map(|draws| of(draws.expect("finite draws")))
}
