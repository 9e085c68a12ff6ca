//! docs/gradients.md#reparameterisation: ∇ E f(μ + σε) = E ∇f(μ + σε), for f without jumps.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::DiagonalGaussian;
use elbo::distributions::noise::standard_normal;
use ndarray::{Array1, ArrayD};
use rand::rngs::StdRng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::quadrature::gauss_hermite;
use crate::common::random::{random, rng};
use crate::common::reporting::report;
use crate::common::statistics::Statistics;
use crate::gradients::shared::{Function, GAUSSIANS, normal_density, sin, step, sum_by_hand};

fn sample<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let [mean, log_variance, noise] = [v[0], v[1], v[2]];
    DiagonalGaussian { mean, log_variance }.sample(noise)
}

/// μ + e^(s/2) ε, operation by operation.
fn sample_composed<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    v[0] + (v[1] * 0.5).exp() * v[2]
}

/// Shapes of μ, s and ε.
const SAMPLES: [[&[usize]; 3]; 7] = [
    [&[3], &[3], &[3]],
    [&[4, 2], &[4, 2], &[4, 2]],
    [&[4, 2], &[4, 2], &[5, 4, 2]],
    [&[2, 3], &[3], &[2, 3]],
    [&[1, 3], &[2, 1], &[4, 2, 3]],
    [&[3], &[], &[2, 3]],
    [&[1], &[1], &[1]],
];

#[test]
fn by_hand() {
    let mut rng = rng(71);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for shapes in SAMPLES {
        let [mu, s, noise] = shapes.map(|shape| random(&mut rng, shape));
        let deviation = s.mapv(|s| (0.5 * s).exp());
        let z = &mu + &(&deviation * &noise);
        let z_bar = random(&mut rng, z.shape());
        let mu_bar = sum_by_hand(&z_bar, mu.shape());
        let s_bar = sum_by_hand(&(&z_bar * &(&z - &mu) * 0.5), s.shape());
        let noise_bar = sum_by_hand(&(&z_bar * &deviation), noise.shape());
        for f in [sample, sample_composed] {
            let tape = Tape::new();
            let v = [&mu, &s, &noise].map(|x| tape.variable(x.clone()));
            let y = f(&v);
            let gradients = tape.pull_back(y, z_bar.clone(), &[]);
            value.entries(&owned(y.value()), &z);
            gradient.entries(&owned(gradients.wrt(v[0])), &mu_bar);
            gradient.entries(&owned(gradients.wrt(v[1])), &s_bar);
            gradient.entries(&owned(gradients.wrt(v[2])), &noise_bar);
        }
    }
    value.within(REARRANGED, "sample: hand = autodiff");
    gradient.within(REARRANGED, "gradients of the sample: hand = autodiff");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(72);
    let mut checked = Checked::default();
    for shapes in SAMPLES {
        let point = shapes.map(|shape| random(&mut rng, shape));
        let check = Check::new("reparameterisation");
        checked.add(check.run(&point, sample).unwrap());
        checked.add(
            check
                .run_second_order(&point, |v| sample(v).square())
                .unwrap(),
        );
    }
    checked.print("first and second order");
}

#[test]
fn keeps_the_digits_of_small_deviations() {
    let mut worst = Worst::default();
    for s in [0.0, -20.0, -40.0, -60.0, -80.0, -300.0] {
        let noise = 1.234567;
        let tape = Tape::new();
        let v = [3.0, s, noise].map(|x| tape.variable(ndarray::arr0(x)));
        let z = sample(&v);
        let found = tape.gradients(z).wrt(v[1]).sum();
        let expected = 0.5 * f64::exp(0.5 * s) * noise;
        worst.number(found, expected, expected);
        let from_z = 0.5 * (z.item() - 3.0);
        report(format!(
            "s = {s}: ½(z - μ) is off by {:.1e}",
            (from_z / expected - 1.0).abs()
        ));
        assert!(s > -80.0 || from_z == 0.0, "the notes say that it is 0");
    }
    worst.within(1e-14, "∂z/∂s, relative");
}

/// E f(z) for z ~ N(μ, v), and its derivatives with respect to μ and s = log v.
type Expectation = fn(f64, f64) -> [f64; 3];

/// Functions with expectations in closed form. As dv/ds = v, the last entry is v times the derivative with respect to v.
const SMOOTH: [(&str, Function<f64>, Expectation); 4] = [
    ("z²", |z| z.square(), |mu, v| [mu * mu + v, 2.0 * mu, v]),
    (
        "z⁴",
        |z| z.powi(4),
        |mu, v| {
            [
                mu.powi(4) + 6.0 * mu * mu * v + 3.0 * v * v,
                4.0 * mu.powi(3) + 12.0 * mu * v,
                v * (6.0 * mu * mu + 6.0 * v),
            ]
        },
    ),
    ("sin z", sin, |mu, v| {
        let damping = (-0.5 * v).exp();
        [
            damping * mu.sin(),
            damping * mu.cos(),
            -0.5 * v * damping * mu.sin(),
        ]
    }),
    (
        "e^z",
        |z| z.exp(),
        |mu, v| {
            let mean = (mu + 0.5 * v).exp();
            [mean, mean, 0.5 * v * mean]
        },
    ),
];

#[test]
fn by_quadrature() {
    let (nodes, weights): (Vec<f64>, Vec<f64>) = gauss_hermite(40).into_iter().unzip();
    let mut worst = Worst::default();
    for (_, f, exact) in SMOOTH {
        for [mu, s] in GAUSSIANS {
            let tape = Tape::new();
            let [mean, log_variance] = [mu, s].map(|x| tape.variable(ndarray::arr0(x)));
            let z = sample(&[
                mean,
                log_variance,
                tape.constant(Array1::from(nodes.clone())),
            ]);
            let expectation = (f(z) * tape.constant(Array1::from(weights.clone()))).sum();
            let gradients = tape.gradients(expectation);
            let found = [
                expectation.item(),
                gradients.wrt(mean).sum(),
                gradients.wrt(log_variance).sum(),
            ];
            let expected = exact(mu, s.exp());
            for (found, expected) in found.into_iter().zip(expected) {
                worst.number(found, expected, expected.abs().max(1.0));
            }
        }
    }
    worst.within(
        1e-12,
        "Gauss–Hermite expectation and its gradient = closed form",
    );
}

/// The pathwise gradients of single samples, with respect to μ and s.
fn pathwise(f: Function<f64>, [mu, s]: [f64; 2], rng: &mut StdRng) -> [ArrayD<f64>; 2] {
    const DRAWS: usize = 100_000;
    let tape = Tape::new();
    // One mean and one log-variance for each draw, so that each draw has its own gradient.
    let [mean, log_variance] = [mu, s].map(|x| tape.variable(Array1::from_elem(DRAWS, x)));
    let z = sample(&[mean, log_variance, standard_normal(&tape, &[DRAWS], rng)]);
    let gradients = tape.gradients(f(z).sum());
    [mean, log_variance].map(|v| owned(gradients.wrt(v)))
}

/// P(ε <= x), by the trapezium rule from -12 on; the error is about 1e-8.
fn normal_distribution(x: f64) -> f64 {
    let steps = 20_000;
    let width = (x + 12.0) / steps as f64;
    let inside: f64 = (1..steps)
        .map(|i| normal_density(-12.0 + width * i as f64))
        .sum();
    (inside + 0.5 * normal_density(x)) * width
}

/// max(z, 0) has a kink, and no jump: E = μ Φ(μ/σ) + σ φ(μ/σ).
const WITH_A_KINK: (&str, Function<f64>, Expectation) = (
    "max(z, 0)",
    |z| z.relu(),
    |mu, v| {
        let sigma = v.sqrt();
        let (below, density) = (normal_distribution(mu / sigma), normal_density(mu / sigma));
        [mu * below + sigma * density, below, 0.5 * sigma * density]
    },
);

#[test]
fn is_unbiased() {
    let mut rng = rng(73);
    let mut worst = 0.0f64;
    for (name, f, exact) in SMOOTH.into_iter().chain([WITH_A_KINK]) {
        for at in GAUSSIANS {
            let [_, to_mean, to_log_variance] = exact(at[0], at[1].exp());
            let [mean, log_variance] = pathwise(f, at, &mut rng);
            let what = format!("{name} at μ = {}, s = {}", at[0], at[1]);
            for (draws, exact) in [(mean, to_mean), (log_variance, to_log_variance)] {
                worst = worst.max(Statistics::of(&draws).agree_with(exact, &what));
            }
        }
    }
    report(format!("worst: {worst:.2} standard errors"));
}

#[test]
fn fails_for_a_step() {
    let mut rng = rng(74);
    for [mu, s] in GAUSSIANS {
        let sigma = (0.5 * s).exp();
        // ∂μ P(z > 0) = N(0; μ, σ²), which is N(μ; 0, σ²).
        let exact = normal_density(mu / sigma) / sigma;
        let [mean, log_variance] = pathwise(step, [mu, s], &mut rng);
        assert!(
            mean.iter()
                .chain(&log_variance)
                .all(|&gradient| gradient == 0.0)
        );

        // The difference quotients at frozen noise: the fewer draws cross 0, the larger each quotient. Their mean stays.
        for h in [0.1, 0.01] {
            let tape = Tape::new();
            let noise = standard_normal(&tape, &[400_000], &mut rng);
            let at = |mu| {
                let [mean, log_variance] = [mu, s].map(|x| tape.constant(ndarray::arr0(x)));
                step(sample(&[mean, log_variance, noise]))
            };
            let quotients = owned(((at(mu + h) - at(mu - h)) / (2.0 * h)).value());
            let crossed = quotients.iter().filter(|&&q| q != 0.0).count() as f64 / 4e5;
            let secant =
                normal_distribution((mu + h) / sigma) - normal_distribution((mu - h) / sigma);
            report(format!(
                "μ = {mu}, s = {s}: pathwise 0, exact {exact:.4}; h = {h}: {:.2} % of the quotients are {:.0}",
                100.0 * crossed,
                0.5 / h
            ));
            Statistics::of(&quotients).agree_with(secant / (2.0 * h), "quotients");
            if h == 0.01 {
                Statistics::of(&quotients).agree_with(exact, "quotients against the derivative");
            }
        }
    }
}
