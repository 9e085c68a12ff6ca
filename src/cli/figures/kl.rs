//! The figures of chapter 3, forward and reverse divergence.

use std::f64::consts::{LN_2, TAU};

use crate::autodiff::{Tape, Var};
use crate::kl::{
    Fit, FitOptions, Grid, Moments, Shape, Target, UnivariateMixture, mean_field, reverse_fit,
    reverse_minima, separation_of_own_minimum, starts,
};
use ndarray::{arr1, arr2};

use super::Figure;
use crate::cli::plot::{Axis, Chart, Panel, colors};

/// All of them.
pub fn figures() -> Vec<Figure> {
    vec![
        mean_field_variance(),
        forward_and_reverse(),
        reverse_minima_by_separation(),
    ]
}

/// Evenly spaced numbers, both ends among them.
fn spaced(low: f64, high: f64, steps: u32) -> impl Iterator<Item = f64> {
    (0..=steps).map(move |i| low + (high - low) * f64::from(i) / f64::from(steps))
}

// ---------------------------------------------------------------------------------------------------------
// mean-field-variance

/// Two correlated dimensions of variance 1: the two best products of independent ones.
fn mean_field_variance() -> Figure {
    let fits = |rho: f64| mean_field(&arr2(&[[1.0, rho], [rho, 1.0]])).expect("|ρ| < 1");
    let curve = |of: fn(&crate::kl::GaussianMeanField) -> f64| {
        spaced(-0.99, 0.99, 198)
            .map(|rho| (rho, of(&fits(rho))))
            .collect()
    };
    let variances = Panel::new(
        "The variance of a dimension",
        Axis::linear("correlation ρ of the target").range(-1.0, 1.0),
        Axis::linear("variance (target: 1)").range(0.0, 1.15),
    )
    .line("forward: 1", colors::VERMILION, curve(|f| f.forward[0]))
    .line("reverse: 1 - ρ²", colors::BLUE, curve(|f| f.reverse[0]));
    let divergences = Panel::new(
        "The divergence that is left",
        Axis::linear("correlation ρ of the target").range(-1.0, 1.0),
        Axis::linear("nats").range(0.0, 2.1),
    )
    .line(
        "KL(p ‖ q) of the forward fit",
        colors::VERMILION,
        curve(|f| f.forward_divergence),
    )
    .dashed(
        "KL(q ‖ p) of the reverse fit",
        colors::BLUE,
        curve(|f| f.reverse_divergence),
    );
    let rho = 0.9;
    let covariance = [[1.0, rho], [rho, 1.0]];
    let best = fits(rho);
    let round = |variance: f64| [[variance, 0.0], [0.0, variance]];
    let ellipses = Panel::new(
        "One and two deviations, ρ = 0.9",
        Axis::linear("z₁").range(-2.6, 2.6),
        Axis::linear("z₂").range(-2.6, 2.6),
    )
    .same_scale()
    .contours(
        "target",
        colors::BLACK,
        vec![1.0, 2.0],
        deviations([0.0; 2], covariance),
    )
    .dashed_contours(
        "forward",
        colors::VERMILION,
        vec![1.0, 2.0],
        deviations([0.0; 2], round(best.forward[0])),
    )
    .contours(
        "reverse",
        colors::BLUE,
        vec![1.0, 2.0],
        deviations([0.0; 2], round(best.reverse[0])),
    );
    let chart = Chart::new(
        "Diagonal fits to a correlated Gaussian: their variance and divergence against the correlation, and their ellipses",
    )
    .panel(variances)
    .panel(divergences)
    .panel(ellipses);
    Figure {
        name: "mean-field-variance",
        svg: chart.svg(),
    }
}

/// √((z - μ)ᵀΣ⁻¹(z - μ)): how many deviations a point of the plane is away.
fn deviations(mean: [f64; 2], covariance: [[f64; 2]; 2]) -> impl Fn(f64, f64) -> f64 + 'static {
    let [[a, b], [_, c]] = covariance;
    let determinant = a * c - b * b;
    move |x, y| {
        let (x, y) = (x - mean[0], y - mean[1]);
        ((c * x * x - 2.0 * b * x * y + a * y * y) / determinant).sqrt()
    }
}

// ---------------------------------------------------------------------------------------------------------
// mode-covering-mode-seeking

/// How far the components of the pictures are apart.
const SEPARATION: f64 = 6.0;

/// The colours of the reverse fits, the least divergence first.
const REVERSE: [&str; 3] = [colors::BLUE, colors::GREEN, colors::PURPLE];

/// A target with two modes, with its forward fit and all reverse ones, on the line and in the plane.
fn forward_and_reverse() -> Figure {
    let chart = Chart::new(
        "Gaussians fitted to a mixture of two, in the forward direction and at every minimum of the reverse one",
    )
    .panel(on_the_line())
    .panel(in_the_plane());
    Figure {
        name: "forward-and-reverse",
        svg: chart.svg(),
    }
}

fn on_the_line() -> Panel {
    let target = UnivariateMixture::pair(0.4, SEPARATION).expect("a mixture");
    let grid = Grid {
        lower: vec![-10.0],
        upper: vec![SEPARATION + 10.0],
        points: 1001,
    };
    let effort = FitOptions::default();
    let forward = Target::on_grid(|z| target.log_density(z), &grid)
        .and_then(|target| target.forward_projection(Shape::Full))
        .expect("a target on its grid");
    let box_of_starts = Grid {
        lower: vec![-2.0],
        upper: vec![SEPARATION + 2.0],
        points: 2,
    };
    let reverse = reverse_minima(
        |z| target.log_density(z),
        Shape::Full,
        &starts(&box_of_starts, 6),
        &effort,
    );
    let density = |fit: &Fit| {
        let (mean, variance) = (fit.q.mean[0], fit.q.covariance[[0, 0]]);
        let at =
            move |z: f64| (-0.5 * (z - mean).powi(2) / variance).exp() / (TAU * variance).sqrt();
        spaced(-5.0, SEPARATION + 5.0, 320).map(move |z| (z, at(z)))
    };
    let p = spaced(-5.0, SEPARATION + 5.0, 320).map(|z| {
        let tape = Tape::new();
        let log_p = target.log_density(tape.constant(arr2(&[[z]])));
        (z, 0.0, log_p.item().exp())
    });
    let mut panel = Panel::new(
        "On the line, weights 0.4 and 0.6",
        Axis::linear("z").range(-5.0, SEPARATION + 5.0),
        Axis::linear("density").range(0.0, 0.46),
    )
    .band("target", colors::GRAY, p.collect())
    .dashed(
        &format!("forward, {:.2} nats", forward.divergence),
        colors::VERMILION,
        density(&forward).collect(),
    );
    for (fit, color) in reverse.fits.iter().zip(REVERSE) {
        let name = format!("reverse, {:.2} nats", fit.divergence);
        panel = panel.line(&name, color, density(fit).collect());
    }
    panel
}

/// log of the even mixture of N(∓c, I) with c = (2.4, 1.8), which are 6 apart.
fn in_the_plane_log_density(z: Var<'_, f64>) -> Var<'_, f64> {
    let tape = z.tape();
    let center = tape.constant(arr1(&CENTER));
    let parts = [z - center, z + center].map(|offset| offset.square().sum_last() * -0.5);
    tape.stack(0, &parts).logsumexp_axes(&[0]) - (2.0 * TAU).ln()
}

const CENTER: [f64; 2] = [2.4, 1.8];

fn in_the_plane() -> Panel {
    let grid = Grid {
        lower: vec![-11.0; 2],
        upper: vec![11.0; 2],
        points: 89,
    };
    let forward = Target::on_grid(in_the_plane_log_density, &grid)
        .and_then(|target| target.forward_projection(Shape::Full))
        .expect("a target on its grid");
    let effort = FitOptions {
        nodes: Some(81),
        ..FitOptions::default()
    };
    let [x, y] = CENTER;
    let mut candidates = [-0.9, 0.9]
        .map(|t| Moments::isotropic(arr1(&[t * x, t * y]), 1.1))
        .to_vec();
    candidates.push(Moments {
        mean: arr1(&[0.1, 0.0]),
        covariance: arr2(&[[5.0, 2.8], [2.8, 3.4]]),
    });
    let reverse = reverse_minima(in_the_plane_log_density, Shape::Full, &candidates, &effort);
    let density = |x: f64, y: f64| {
        let part = |sign: f64| {
            let (x, y) = (x - sign * CENTER[0], y - sign * CENTER[1]);
            (-0.5 * (x * x + y * y)).exp()
        };
        part(1.0) + part(-1.0)
    };
    // Of the peaks: a line around each component, and one around both.
    let levels = vec![0.4, 0.012];
    let ellipse = |fit: &Fit| {
        let c = &fit.q.covariance;
        let covariance = [[c[[0, 0]], c[[0, 1]]], [c[[1, 0]], c[[1, 1]]]];
        deviations([fit.q.mean[0], fit.q.mean[1]], covariance)
    };
    let mut panel = Panel::new(
        "In the plane, equal weights (fits: 1 and 2 deviations)",
        Axis::linear("z₁").range(-7.5, 7.5),
        Axis::linear("z₂").range(-6.0, 6.0),
    )
    .same_scale()
    .contours("target", colors::GRAY, levels, density)
    .dashed_contours(
        &format!("forward, {:.2} nats", forward.divergence),
        colors::VERMILION,
        vec![1.0, 2.0],
        ellipse(&forward),
    );
    for (fit, color) in reverse.fits.iter().zip(REVERSE) {
        let name = format!("reverse, {:.2} nats", fit.divergence);
        panel = panel.contours(&name, color, vec![1.0, 2.0], ellipse(fit));
    }
    panel
}

/// Where the minima of the reverse divergence are, and how low, as two equal components part.
fn reverse_minima_by_separation() -> Figure {
    let effort = FitOptions {
        nodes: Some(601),
        ..FitOptions::default()
    };
    let fit = |separation: f64, start: &Moments| {
        let target = UnivariateMixture::pair(0.5, separation).expect("a mixture");
        reverse_fit(|z| target.log_density(z), Shape::Full, start, &effort).expect("a minimum")
    };
    let appears = separation_of_own_minimum(0.5, 1e-5)
        .ok()
        .flatten()
        .expect("equal components part in a fold");
    // Each branch is followed from one separation to the next.
    let follow = |separations: Vec<f64>, start: Moments| {
        let mut q = start;
        let step = |separation: f64| {
            let found = fit(separation, &q);
            q = found.q.clone();
            (separation, found)
        };
        separations.into_iter().map(step).collect::<Vec<_>>()
    };
    let middle = follow(
        spaced(0.0, 9.0, 36).collect(),
        Moments::isotropic(arr1(&[0.0]), 1.0),
    );
    let own = follow(
        // Ever closer to where it ends.
        spaced(0.0, 1.0, 25)
            .map(|t| 9.0 + (appears - 9.0) * (1.0 - (1.0 - t) * (1.0 - t)))
            .collect(),
        Moments::isotropic(arr1(&[0.0]), 1.0),
    );
    let from_the_middle = |branch: &[(f64, Fit)], sign: f64| {
        let place = |(s, fit): &(f64, Fit)| (*s, sign * (fit.q.mean[0] - 0.5 * s));
        branch.iter().map(place).collect::<Vec<_>>()
    };
    let divergences = |branch: &[(f64, Fit)]| {
        let place = |(s, fit): &(f64, Fit)| (*s, fit.divergence);
        branch.iter().map(place).collect::<Vec<_>>()
    };
    let mark = format!("{appears:.2}");
    let means = Panel::new(
        "The means of the minima",
        Axis::linear("separation of the components, in deviations").range(0.0, 9.0),
        Axis::linear("mean of q, from the middle").range(-5.0, 5.0),
    )
    .vertical(appears, &mark)
    .dashed("components", colors::GRAY, vec![(0.0, 0.0), (9.0, 4.5)])
    .dashed("", colors::GRAY, vec![(0.0, 0.0), (9.0, -4.5)])
    .line(
        "covers both",
        colors::VERMILION,
        from_the_middle(&middle, 1.0),
    )
    .line("on one of them", colors::BLUE, from_the_middle(&own, 1.0))
    .line("", colors::BLUE, from_the_middle(&own, -1.0));
    let values = Panel::new(
        "Their divergences",
        Axis::linear("separation of the components, in deviations").range(0.0, 9.0),
        Axis::linear("KL(q ‖ p), nats").range(0.0, 2.0),
    )
    .vertical(appears, &mark)
    .horizontal(LN_2, "log 2")
    .line("covers both", colors::VERMILION, divergences(&middle))
    .line("on one of them", colors::BLUE, divergences(&own));
    let chart = Chart::new(
        "The minima of the reverse divergence from a pair of equal Gaussians, against their separation",
    )
    .panel(means)
    .panel(values);
    Figure {
        name: "reverse-minima",
        svg: chart.svg(),
    }
}
