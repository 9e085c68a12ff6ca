//! The figures of chapter 5, the variational autoencoder.

use crate::autodiff::Tape;
use crate::background::LinearGaussian;
use crate::distributions::DiagonalGaussian;
use crate::distributions::noise::{standard_normal, stream};
use crate::nn::{Adam, Parameters};
use crate::vae::{LinearVae, Ppca};
use ndarray::{Array1, Array2, Ix2, arr0, arr1, arr2};

use super::Figure;
use crate::cli::plot::{Arrow, Axis, Chart, Flow, Kind, Node, Panel, colors, diagram};

/// All of them.
pub fn figures() -> Vec<Figure> {
    vec![model(), elbo_training(), posterior_collapse()]
}

/// From a datum to its reconstruction, with both terms of the bound and the paths of their gradients.
fn model() -> Figure {
    let node = Node::new;
    let nodes = [
        node(Kind::Computed, 90.0, 130.0, "x", "a datum"),
        node(Kind::Computed, 300.0, 130.0, "μ, s", "encoder's output"),
        node(Kind::Computed, 530.0, 130.0, "z", "μ + exp(s/2) ε"),
        node(Kind::Computed, 760.0, 130.0, "x̂", "decoder's output"),
        node(Kind::Random, 530.0, 270.0, "ε", "from N(0, I)"),
        node(
            Kind::Objective,
            300.0,
            270.0,
            "KL(q ‖ p)",
            "charge: subtracted",
        ),
        node(
            Kind::Objective,
            760.0,
            270.0,
            "log p(x | z)",
            "reward: added",
        ),
    ];
    let arrow = |flow, from, to| Arrow { flow, from, to };
    let arrows = [
        arrow(Flow::Forward, 0, 1),
        arrow(Flow::Forward, 1, 2),
        arrow(Flow::Forward, 2, 3),
        arrow(Flow::Forward, 4, 2),
        arrow(Flow::Forward, 1, 5),
        arrow(Flow::Forward, 3, 6),
        arrow(Flow::Back, 6, 3),
        arrow(Flow::Back, 3, 2),
        arrow(Flow::Back, 2, 1),
        arrow(Flow::Back, 5, 1),
    ];
    let label = "A variational autoencoder: the encoder turns x into μ and s, noise makes of them z, the decoder turns z into \
                 the parameters of x; the gradient of the reconstruction goes back through the sample, that of the divergence \
                 directly, and they meet at μ and s";
    let captions = [((163.0, 84.0), "encoder"), ((618.0, 84.0), "decoder")];
    Figure {
        name: "vae-model",
        svg: diagram((850.0, 330.0), label, &captions, &nodes, &arrows),
    }
}

/// 200 data in eight dimensions, of variances from 4 down to 0.1.
fn data() -> Array2<f64> {
    let tape = Tape::<f64>::new();
    let noise = standard_normal(&tape, &[200, 8], &mut stream(5, "figure", 0)).value();
    let noise = noise.into_owned().into_dimensionality::<Ix2>();
    let scales = Array1::from_shape_fn(8, |i| 2.0 * 0.65f64.powi(i as i32));
    noise.expect("a matrix") * scales
}

/// What is known of the linear VAE after a step of its training, in nats per datum.
struct Moment {
    step: f64,
    bound: f64,
    evidence: f64,
    gap: f64,
}

/// A linear VAE trained on all data at once.
fn training(x: &Array2<f64>, latent: usize, steps: usize) -> Vec<Moment> {
    let mut parameters = Parameters::new();
    let mut rng = stream(5, "figure", 1);
    let vae = LinearVae::new(x.ncols(), latent, &mut parameters, &mut rng);
    let (mut adam, mut tape) = (Adam::new(0.02), Tape::new());
    let mut moments = Vec::new();
    for step in 0..=steps {
        let (told, gradients) = parameters.value_and_gradients(&mut tape, |p| {
            let x = p.tape().constant(x.view());
            let (bound, model) = (vae.elbo(p, x).mean(), vae.decoder(p));
            let moment = (step % 10 == 0).then(|| Moment {
                step: step as f64,
                bound: bound.item(),
                evidence: model.log_evidence(x).expect("a model").mean().item(),
                gap: model.diagonal_gap().expect("a model").item(),
            });
            (-bound, moment)
        });
        moments.extend(told);
        adam.step(&mut parameters, &gradients);
    }
    moments
}

/// The bound of a linear VAE against the exact evidence, through training.
fn elbo_training() -> Figure {
    let (x, latent, steps) = (data(), 3, 700);
    let ppca = Ppca::fit(x.view(), latent).expect("data that vary in every direction");
    let moments = training(&x, latent, steps);
    let most = ppca.log_likelihood;
    let curve = |of: &dyn Fn(&Moment) -> f64| -> Vec<(f64, f64)> {
        moments.iter().map(|m| (m.step, of(m))).collect()
    };
    let shown = |of: &dyn Fn(&Moment) -> f64| -> Vec<(f64, f64)> {
        curve(of).into_iter().filter(|&(_, y)| y > 1e-4).collect()
    };
    let step = || Axis::linear("step").range(0.0, steps as f64);
    let rise = Panel::new(
        "Bound and evidence of the model so far",
        step(),
        Axis::linear("nats per datum").range(-14.0, -5.0),
    )
    .line(
        "most likely model",
        colors::BLACK,
        vec![(0.0, most), (steps as f64, most)],
    )
    .line("evidence", colors::ORANGE, curve(&|m| m.evidence))
    .dashed("bound", colors::BLUE, curve(&|m| m.bound));
    let missing = Panel::new(
        "What is missing",
        step(),
        Axis::log("nats per datum").range(1e-4, 10.0),
    )
    .line("maximum − bound", colors::BLUE, shown(&|m| most - m.bound))
    .dashed(
        "maximum − evidence",
        colors::ORANGE,
        shown(&|m| most - m.evidence),
    )
    .line("gap of the best q", colors::GREEN, shown(&|m| m.gap));
    let chart = Chart::new(
        "The bound of a linear variational autoencoder reaches the exact maximum of the likelihood",
    )
    .panel(rise)
    .panel(missing);
    Figure {
        name: "elbo-training",
        svg: chart.svg(),
    }
}

/// The mean bound of x = ±1, one dimension of variance 1, with decoder weight w and encoder weight α, q's variance at its
/// best; in nats.
fn mean_bound(noise: f64, w: f64, alpha: f64) -> f64 {
    let tape = Tape::new();
    let model = LinearGaussian {
        weights: tape.constant(arr2(&[[w]])),
        offset: tape.constant(arr1(&[0.0])),
        log_noise: tape.constant(arr0(noise.ln())),
    };
    let x = tape.constant(arr2(&[[1.0], [-1.0]]));
    let q = DiagonalGaussian {
        mean: x * alpha,
        log_variance: tape.constant(arr1(&[(noise / (w * w + noise)).ln()])),
    };
    model.elbo_diagonal(x, &q).mean().item()
}

/// The bound around total collapse, with little noise and with much.
fn posterior_collapse() -> Figure {
    let panel = |title: &str, noise: f64, above: Vec<f64>| {
        let collapsed = mean_bound(noise, 0.0, 0.0);
        let surface = move |w, alpha| mean_bound(noise, w, alpha) - collapsed;
        Panel::new(
            title,
            Axis::linear("decoder weight w, along v₁").range(-1.5, 1.5),
            Axis::linear("encoder weight α").range(-1.5, 1.5),
        )
        .contours(
            "worse than collapse",
            colors::GRAY,
            vec![-3.0, -1.0, -0.3, -0.1, -0.03],
            surface,
        )
        .contours("as good", colors::BLACK, vec![0.0], surface)
        .contours("better", colors::BLUE, above, surface)
        .dots("collapse", colors::VERMILION, vec![(0.0, 0.0)])
    };
    let chart = Chart::new(
        "With noise below the data's variance, collapse is a saddle between two maxima; above it, the only maximum",
    )
    .panel(panel("σ² = 0.5, λ₁ = 1: a saddle", 0.5, vec![0.03, 0.08, 0.13]))
    .panel(panel("σ² = 1.3, λ₁ = 1: the maximum", 1.3, Vec::new()));
    Figure {
        name: "posterior-collapse",
        svg: chart.svg(),
    }
}
