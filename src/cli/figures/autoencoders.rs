//! The figures of chapter 6, autoencoders.

use ndarray::{Array2, arr1, arr2};
use rand::Rng;

use super::{Figure, beta_vae, codes, td_vae};
use crate::autodiff::{Tape, array};
use crate::autoencoders::{SmoothedMixture, sigmoid_expansion};
use crate::cli::plot::{Arrow, Axis, Chart, Flow, Kind, Node, Panel, colors, diagram};
use crate::distributions::noise::{standard_normal, stream};
use crate::nn::{Activation, Adam, Initialisation, Mlp, Parameters};

/// All of them.
pub fn figures() -> Vec<Figure> {
    let mut figures = vec![model(), denoising_score(), noise_expansion()];
    figures.extend(beta_vae::figures());
    figures.extend(codes::figures());
    figures.extend(td_vae::figures());
    figures
}

/// A datum, its code and its reconstruction, and where something stands in the way.
fn model() -> Figure {
    let node = Node::new;
    let nodes = [
        node(Kind::Computed, 90.0, 130.0, "x", "a datum"),
        node(Kind::Computed, 330.0, 130.0, "h = g(x)", "the code"),
        node(Kind::Computed, 570.0, 130.0, "f(h)", "reconstruction"),
        node(Kind::Random, 90.0, 260.0, "noise", "denoising"),
        node(
            Kind::Objective,
            330.0,
            260.0,
            "penalty",
            "sparse, contractive",
        ),
        node(Kind::Objective, 570.0, 260.0, "error", "to the clean x"),
    ];
    let arrow = |flow, from, to| Arrow { flow, from, to };
    let arrows = [
        arrow(Flow::Forward, 0, 1),
        arrow(Flow::Forward, 1, 2),
        arrow(Flow::Forward, 3, 0),
        arrow(Flow::Forward, 1, 4),
        arrow(Flow::Forward, 2, 5),
        arrow(Flow::Back, 5, 2),
        arrow(Flow::Back, 2, 1),
        arrow(Flow::Back, 4, 1),
    ];
    let label = "An autoencoder: the encoder turns x into the code h, the decoder turns h into a reconstruction; noise on x or a \
                 penalty on h stands in the way; the gradients of error and penalty meet at the code";
    let captions = [((183.0, 84.0), "encoder g"), ((423.0, 84.0), "decoder f")];
    Figure {
        name: "autoencoder-model",
        svg: diagram((660.0, 320.0), label, &captions, &nodes, &arrows),
    }
}

/// The noise of the figure.
const NOISE: f64 = 0.5;

/// Two Gaussians of deviation 0.3 at ±1.
fn two_bumps() -> SmoothedMixture {
    SmoothedMixture::new(
        &arr1(&[0.5, 0.5]),
        arr2(&[[-1.0], [1.0]]),
        &arr1(&[0.3, 0.3]),
        NOISE,
    )
}

/// A network of 24 units, trained to denoise draws of the two.
fn trained() -> impl Fn(f64) -> f64 {
    let mut rng = stream(6, "figure", 0);
    let mut parameters = Parameters::<f64>::new();
    let net = Mlp::new(
        &mut parameters,
        "denoiser",
        &[1, 24, 1],
        Activation::Tanh,
        Initialisation::Glorot,
        &mut rng,
    );
    let mut tape = Tape::new();
    for rate in [0.01, 0.003, 0.0005] {
        let mut adam = Adam::new(rate);
        for _ in 0..800 {
            let mut draw = || -> Array2<f64> {
                let own = Tape::new();
                array(standard_normal(&own, &[256, 1], &mut rng).value())
            };
            let (inner, outer) = (draw(), draw());
            let sign = Array2::from_shape_simple_fn((256, 1), || match rng.random::<bool>() {
                true => 1.0,
                false => -1.0,
            });
            let x = sign + inner * 0.3;
            let noisy = &x + &(outer * NOISE);
            let (_, gradients) = parameters.value_and_gradients(&mut tape, |p| {
                let output = net.forward(p, p.tape().constant(noisy));
                ((output - p.tape().constant(x)).square().mean(), ())
            });
            adam.step(&mut parameters, &gradients);
        }
    }
    move |x| {
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        net.forward(&p, tape.constant(arr2(&[[x]]))).item()
    }
}

/// The best denoiser of two bumps, the best line, and a network.
fn denoising_score() -> Figure {
    let (mixture, net) = (two_bumps(), trained());
    let curve = |f: &dyn Fn(f64) -> f64| -> Vec<(f64, f64)> {
        (0..=120)
            .map(|i| -3.0 + 0.05 * f64::from(i))
            .map(|x| (x, f(x)))
            .collect()
    };
    let at = |x: f64, of: &dyn Fn(&SmoothedMixture, f64) -> f64| of(&mixture, x);
    let best = |m: &SmoothedMixture, x: f64| {
        let tape = Tape::new();
        m.denoised(tape.constant(arr1(&[x]))).item()
    };
    let density = |m: &SmoothedMixture, x: f64| {
        let tape = Tape::new();
        m.log_density(tape.constant(arr1(&[x]))).item().exp()
    };
    let score = |m: &SmoothedMixture, x: f64| {
        let tape = Tape::new();
        m.score(tape.constant(arr1(&[x]))).value().sum()
    };
    // The variance of the clean data is 1 + 0.3².
    let shrink = 1.09 / (1.09 + NOISE * NOISE);
    let denoisers = Panel::new(
        "What is made of x̃",
        Axis::linear("noisy datum x̃").range(-3.0, 3.0),
        Axis::linear("r(x̃)").range(-2.6, 2.6),
    )
    .line(
        "best of all functions",
        colors::BLUE,
        curve(&|x| at(x, &best)),
    )
    .dashed("network of 24 units", colors::ORANGE, curve(&net))
    .dashed("best line", colors::GRAY, curve(&|x| shrink * x));
    let scores = Panel::new(
        "Density and score of noisy data",
        Axis::linear("noisy datum x̃").range(-3.0, 3.0),
        Axis::linear("p_s, and (r(x̃) − x̃)/s²").range(-4.0, 4.0),
    )
    .line("density", colors::GREEN, curve(&|x| at(x, &density)))
    .line("score", colors::BLUE, curve(&|x| at(x, &score)))
    .dashed(
        "from the network",
        colors::ORANGE,
        curve(&|x| (net(x) - x) / (NOISE * NOISE)),
    );
    let chart = Chart::new(
        "The best denoiser of two bumps moves every point along the score; a small network learns it",
    )
    .panel(denoisers)
    .panel(scores);
    Figure {
        name: "denoising-score",
        svg: chart.svg(),
    }
}

/// Points of the trapezium rule over twelve deviations, which for so smooth a function is exact but for rounding.
const POINTS: u32 = 481;

/// E (σ(a + swε) - σ(a))² by the trapezium rule.
fn expected(a: f64, w: f64, s: f64) -> f64 {
    let sigmoid = |a: f64| 1.0 / (1.0 + (-a).exp());
    let step = 24.0 / f64::from(POINTS - 1);
    (0..POINTS)
        .map(|i| {
            let e = -12.0 + step * f64::from(i);
            let density = (-0.5 * e * e).exp() / std::f64::consts::TAU.sqrt();
            density * (sigmoid(a + s * w * e) - sigmoid(a)).powi(2) * step
        })
        .sum()
}

/// What noise does to a sigmoid unit, against the first terms of its expansion.
fn noise_expansion() -> Figure {
    let (a, w) = (1.0f64, 2.0);
    let tape = Tape::new();
    let h = tape.constant(arr1(&[1.0 / (1.0 + (-a).exp())]));
    let [c2, c4] = sigmoid_expansion(h, tape.constant(arr2(&[[w]]))).map(|c| c.item());
    let steps = || (0..=40).map(|i| 0.03 * (1.0f64 / 0.03).powf(f64::from(i) / 40.0));
    let curve = |f: &dyn Fn(f64) -> f64| steps().map(|s| (s, f(s))).collect::<Vec<_>>();
    let ratio = Panel::new(
        "Ratio to s²‖J‖²",
        Axis::log("deviation of the noise s").range(0.03, 1.0),
        Axis::linear("ratio").range(0.5, 1.1),
    )
    .line(
        "exact",
        colors::BLUE,
        curve(&|s| expected(a, w, s) / (s * s * c2)),
    )
    .dashed("with c₄", colors::ORANGE, curve(&|s| 1.0 + s * s * c4 / c2));
    let first = |s: f64| (expected(a, w, s) - s * s * c2).abs();
    let second = |s: f64| (expected(a, w, s) - s * s * c2 - s.powi(4) * c4).abs();
    let remainders = Panel::new(
        "What is left",
        Axis::log("deviation of the noise s").range(0.03, 1.0),
        Axis::log("remainder").range(1e-10, 1.0),
    )
    .line("after s²‖J‖²", colors::BLUE, curve(&first))
    .line("after s⁴c₄", colors::ORANGE, curve(&second))
    .dashed("s⁴", colors::GRAY, curve(&|s| c4.abs() * s.powi(4)));
    let chart = Chart::new(
        "The ratio to s²‖J‖² goes to 1, and the remainders fall with the fourth and the sixth power of s",
    )
    .panel(ratio)
    .panel(remainders);
    Figure {
        name: "noise-expansion",
        svg: chart.svg(),
    }
}
