//! The figures of chapter 6, codes from a table.

use ndarray::{Array2, arr1, arr2};
use rand::Rng;

use super::Figure;
use crate::autodiff::Tape;
use crate::autoencoders::{MovingAverages, quadratic_terms, uniform_code_bounds};
use crate::cli::plot::{Arrow, Axis, Chart, Flow, Kind, Node, Panel, colors, diagram};
use crate::distributions::LogSum;
use crate::distributions::noise::stream;
use crate::gradients::{nearest, straight_through};

/// All of them.
pub fn figures() -> Vec<Figure> {
    vec![bounds(), declared_gradient(), averages(), two_levels()]
}

/// What the decoder makes of three codes: means of a datum in one dimension, with their deviations.
const DECODED: [(f64, f64); 3] = [(-1.5, 0.5), (0.0, 1.0), (2.0, 0.4)];

/// log p(x|k) of all three.
fn log_likelihoods(x: f64) -> [f64; 3] {
    DECODED.map(|(mean, deviation)| {
        let error = (x - mean) / deviation;
        -0.5 * error * error - deviation.ln() - 0.5 * std::f64::consts::TAU.ln()
    })
}

/// The bound of each code, and what it misses.
fn bounds() -> Figure {
    let points = || (0..=160).map(|i| -4.0 + 0.05 * f64::from(i));
    let bounds = |x: f64| -> Vec<f64> {
        let tape = Tape::new();
        let each = uniform_code_bounds(tape.constant(arr1(&log_likelihoods(x))));
        each.value().iter().copied().collect()
    };
    let evidence = |x: f64| {
        let mut sum = LogSum::default();
        bounds(x).into_iter().for_each(|bound| sum.add(bound));
        sum.value()
    };
    let curve = |f: &dyn Fn(f64) -> f64| points().map(|x| (x, f(x))).collect::<Vec<_>>();
    let axis = || Axis::linear("datum x").range(-4.0, 4.0);
    let mut under = Panel::new(
        "log p(x) and the bound of each code",
        axis(),
        Axis::linear("nats").range(-8.0, 0.0),
    );
    let mut missing = Panel::new(
        "What a bound misses: −log p(k|x)",
        axis(),
        Axis::linear("nats").range(0.0, 6.0),
    );
    let kinds = [
        ("code 1", colors::BLUE),
        ("code 2", colors::ORANGE),
        ("code 3", colors::GREEN),
    ];
    for (k, (name, color)) in kinds.into_iter().enumerate() {
        under = under.line(name, color, curve(&|x| bounds(x)[k]));
        missing = missing.line(name, color, curve(&|x| evidence(x) - bounds(x)[k]));
    }
    let svg = Chart::new(
        "Three codes: the bound of the likeliest code is near log p(x), except where two are about equally likely",
    )
    .panel(under.dashed("log p(x)", colors::GRAY, curve(&evidence)))
    .panel(missing)
    .svg();
    Figure {
        name: "vq-bound",
        svg,
    }
}

/// The codes of the second figure: numbers, on a line.
const CODES: [f64; 5] = [-1.6, -0.7, 0.1, 0.9, 1.7];

/// -log p(x|e) up to a constant: the decoder gives 0 the highest density.
fn loss_of(e: f64) -> f64 {
    0.5 * e * e
}

/// The loss of the decoder as a function of the encoder's vector, and the gradient that is declared.
fn declared_gradient() -> Figure {
    let table = arr2(&CODES.map(|e| [e]));
    let code = |z: f64| {
        let chosen = nearest(arr2(&[[z]]).view(), table.view()).expect("finite numbers");
        CODES[chosen[0]]
    };
    // Of the reconstruction and the commitment: z̄ as the tape gives it.
    let declared = |z: f64| {
        let tape = Tape::<f64>::new();
        let z = tape.variable(arr2(&[[z]]));
        let e = tape.constant(arr2(&[[code(z.item())]]));
        let loss = straight_through(e, z).square().sum() * 0.5;
        let [_, commitment] = quadratic_terms(z, e);
        let gradient = |loss| tape.gradients(loss).wrt(z).sum();
        [
            gradient(loss),
            gradient(loss + commitment.sum() * COMMITMENT),
        ]
    };
    let points = || (0..=1000).map(|i| -2.2 + 0.0044 * f64::from(i));
    let curve = |f: &dyn Fn(f64) -> f64| points().map(|z| (z, f(z))).collect::<Vec<_>>();
    let axis = || Axis::linear("what the encoder says, z").range(-2.2, 2.2);
    let value = Panel::new(
        "The loss of the decoder",
        axis(),
        Axis::linear("−log p(x|e)").range(0.0, 2.0),
    )
    .line(
        "at the nearest code",
        colors::BLUE,
        curve(&|z| loss_of(code(z))),
    )
    .dashed("at z itself", colors::GRAY, curve(&loss_of))
    .dots(
        "codes",
        colors::VERMILION,
        CODES.map(|e| (e, loss_of(e))).into(),
    );
    let gradient = Panel::new(
        "The gradient that the encoder gets",
        axis(),
        Axis::linear("z̄").range(-2.2, 2.2),
    )
    .line("straight through", colors::BLUE, curve(&|z| declared(z)[0]))
    .line(
        "with commitment",
        colors::ORANGE,
        curve(&|z| declared(z)[1]),
    )
    .dashed("true, of the left curve", colors::GRAY, curve(&|_| 0.0));
    let svg = Chart::new(
        "The decoder's loss is a staircase in z, with the derivative 0; the declared gradient is that at the code, and the \
         commitment leads to the code within each step",
    )
    .panel(value)
    .panel(gradient)
    .svg();
    Figure {
        name: "vq-straight-through",
        svg,
    }
}

/// β of the figure.
const COMMITMENT: f64 = 0.25;

/// The way of one code to the mean of its vectors, in batches of four, for three γ.
fn averages() -> Figure {
    let steps = 120;
    let draws: Vec<Array2<f64>> = {
        let mut rng = stream(6, "figure of averages", 0);
        // Uniform on [0, 2]: mean 1.
        let mut batch = || Array2::from_shape_simple_fn((4, 1), || 2.0 * rng.random::<f64>());
        (0..steps).map(|_| batch()).collect()
    };
    let path = |decay: f64| {
        let mut averages = MovingAverages {
            counts: arr1(&[4.0]),
            sums: arr2(&[[0.0]]),
        };
        let mut path = vec![(0.0, 0.0)];
        for (t, z) in draws.iter().enumerate() {
            let batch = MovingAverages::of(z.view(), &[0; 4], 1);
            averages = averages.step(&batch, decay);
            let code = averages.codes(arr2(&[[0.0]]).view())[[0, 0]];
            path.push(((t + 1) as f64, code));
        }
        path
    };
    let expected = |decay: f64| {
        let value = |t: i32| (f64::from(t), 1.0 - decay.powi(t));
        (0..=steps).map(value).collect::<Vec<_>>()
    };
    let panel = Panel::new(
        "A code on its way to the mean of its vectors",
        Axis::linear("step").range(0.0, f64::from(steps)),
        Axis::linear("e").range(0.0, 1.6),
    )
    .height(240.0)
    .line("γ = 0", colors::GRAY, path(0.0))
    .line("γ = 0.9", colors::ORANGE, path(0.9))
    .line("γ = 0.98", colors::BLUE, path(0.98))
    .dashed("all data, γ = 0.9", colors::VERMILION, expected(0.9))
    .dashed("all data, γ = 0.98", colors::SKY, expected(0.98));
    let svg = Chart::new(
        "Without memory a code jumps to the mean of each batch; with memory it takes time, and its noise is smaller",
    )
    .panel(panel)
    .svg();
    Figure {
        name: "vq-moving-averages",
        svg,
    }
}

/// What reads what on two levels.
fn two_levels() -> Figure {
    let node = Node::new;
    let nodes = [
        node(Kind::Computed, 90.0, 180.0, "x", "an image"),
        node(Kind::Computed, 290.0, 180.0, "features", "hidden layers"),
        node(Kind::Computed, 490.0, 90.0, "k_t", "upper codes"),
        node(Kind::Computed, 490.0, 270.0, "k_b", "lower codes"),
        node(Kind::Computed, 690.0, 180.0, "p(x|k_t, k_b)", "decoder"),
        node(Kind::Objective, 690.0, 60.0, "p(k_t)", "prior"),
        node(Kind::Objective, 690.0, 300.0, "p(k_b|k_t)", "prior"),
    ];
    let arrow = |from, to| Arrow {
        flow: Flow::Forward,
        from,
        to,
    };
    let arrows = [
        arrow(0, 1),
        arrow(1, 2),
        arrow(1, 3),
        arrow(2, 3),
        arrow(2, 4),
        arrow(3, 4),
        arrow(2, 5),
        arrow(3, 6),
    ];
    let label = "Two levels of codes: the upper codes read the features of x; the lower codes read the features and the upper codes; \
                 the decoder reads both, and the prior of the lower codes the upper ones";
    Figure {
        name: "vq-two-levels",
        svg: diagram((790.0, 345.0), label, &[], &nodes, &arrows),
    }
}
