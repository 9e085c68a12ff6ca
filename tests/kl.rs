//! Chapter 3 of the notes: divergences in closed form against their definition, evaluated with the crate's own sampler
//! and density.

mod common;

use common::{Checked, Statistics, Worst, gauss_hermite, owned, random};
use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::DiagonalGaussian;
use elbo::distributions::noise::standard_normal;
use elbo::kl;
use ndarray::{Array1, Array2, ArrayD, Axis};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// What rearranging a sum in f64 may change, relative to the largest entry.
const REARRANGED: f64 = 1e-13;

/// Shapes of mean and log-variance: one datum, batches, a stack of batches; lengths of 1.
const SHAPES: [&[usize]; 6] = [&[1], &[4], &[3, 2], &[1, 5], &[5, 1], &[2, 3, 4]];

// ---------------------------------------------------------------------------------------------------------
// kl-gaussian-standard

fn standard<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    kl::gaussian_standard(&DiagonalGaussian {
        mean: v[0],
        log_variance: v[1],
    })
}

/// -½ Σ (1 + s - μ² - e^s), operation by operation.
fn standard_composed<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let (mu, s) = (v[0], v[1]);
    (s + 1.0 - mu.square() - s.exp()).sum_last() * -0.5
}

/// The same on plain arrays.
fn standard_by_hand(mu: &ArrayD<f64>, s: &ArrayD<f64>) -> ArrayD<f64> {
    let terms = s + 1.0 - mu.mapv(|mu| mu * mu) - s.mapv(f64::exp);
    terms.sum_axis(Axis(s.ndim() - 1)) * -0.5
}

#[test]
fn kl_gaussian_standard_by_hand() {
    let mut rng = StdRng::seed_from_u64(31);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for shape in SHAPES {
        let (mu, s) = (random(&mut rng, shape), random(&mut rng, shape));
        let cotangent = random(&mut rng, &shape[..shape.len() - 1]);
        let weight = cotangent.clone().insert_axis(Axis(shape.len() - 1));
        let mu_bar = &weight * &mu;
        let s_bar = &weight * &s.mapv(|s| 0.5 * (s.exp() - 1.0));
        for f in [standard, standard_composed] {
            let tape = Tape::new();
            let v = [tape.variable(mu.clone()), tape.variable(s.clone())];
            let y = f(&v);
            let gradients = tape.pull_back(y, cotangent.clone(), &[]);
            value.entries(&owned(y.value()), &standard_by_hand(&mu, &s));
            gradient.entries(&owned(gradients.wrt(v[0])), &mu_bar);
            gradient.entries(&owned(gradients.wrt(v[1])), &s_bar);
        }
    }
    value.within(REARRANGED, "value: hand = autodiff");
    gradient.within(REARRANGED, "gradient: hand = autodiff");
}

#[test]
fn kl_gaussian_standard_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(32);
    let mut checked = Checked::default();
    for shape in SHAPES {
        let point = [random(&mut rng, shape), random(&mut rng, shape)];
        let check = Check::new("kl-gaussian-standard");
        checked.add(check.run(&point, standard).unwrap());
        checked.add(check.run_second_order(&point, standard).unwrap());
    }
    checked.tell("first and second order");
}

#[test]
fn kl_gaussian_standard_has_a_diagonal_hessian() {
    // H u = (u_μ, ½ e^s u_s) for every direction u: no entry couples μ with s or one dimension with another.
    let mut rng = StdRng::seed_from_u64(33);
    let mut worst = Worst::default();
    for shape in SHAPES {
        let (mu, s) = (random(&mut rng, shape), random(&mut rng, shape));
        let (u_mu, u_s) = (random(&mut rng, shape), random(&mut rng, shape));
        let tape = Tape::new();
        let v = [tape.variable(mu), tape.variable(s.clone())];
        let gradients = tape.differentiable_gradients(standard(&v).sum());
        let along = gradients.wrt(v[0]) * tape.constant(u_mu.clone())
            + gradients.wrt(v[1]) * tape.constant(u_s.clone());
        let product = tape.gradients(along.sum());
        worst.entries(&owned(product.wrt(v[0])), &u_mu);
        worst.entries(&owned(product.wrt(v[1])), &(s.mapv(f64::exp) * 0.5 * u_s));
    }
    worst.within(REARRANGED, "Hessian times a direction: hand = autodiff");
}

#[test]
fn kl_gaussian_standard_is_least_at_the_prior() {
    let mut rng = StdRng::seed_from_u64(34);
    let at = |mu: ArrayD<f64>, s: ArrayD<f64>| {
        let tape = Tape::new();
        let v = [tape.variable(mu), tape.variable(s)];
        let y = standard(&v);
        let gradients = tape.gradients(y.sum());
        let slopes = [0, 1].map(|i| {
            gradients
                .wrt(v[i])
                .iter()
                .fold(0.0, |m: f64, g| m.max(g.abs()))
        });
        (y.value().sum(), slopes)
    };
    let zero = || ArrayD::zeros(vec![3]);
    assert_eq!(at(zero(), zero()), (0.0, [0.0, 0.0]));
    for size in [2.0, 1e-2, 1e-5, 1e-8, 1e-12] {
        for _ in 0..200 {
            let [a, b, c, d] = std::array::from_fn(|_| random(&mut rng, &[3]) * size);
            let ends = [at(a.clone(), b.clone()).0, at(c.clone(), d.clone()).0];
            let middle = at((a + c) * 0.5, (b + d) * 0.5).0;
            assert!(ends[0] >= 0.0 && ends[1] >= 0.0, "{ends:?}");
            let chord = 0.5 * (ends[0] + ends[1]);
            assert!(
                middle <= chord + 10.0 * f64::EPSILON * size,
                "not convex: {middle} {chord}"
            );
        }
    }
}

#[test]
fn kl_gaussian_standard_keeps_its_digits_near_the_prior() {
    // At μ = 0 and small s the divergence is ½(s²/2 + s³/6 + s⁴/24 + …): e^s - 1 - s would lose it in the rounding of e^s.
    for s in [1e-3, -1e-3, 1e-5, -1e-5, 1e-7, -1e-7] {
        let tape = Tape::new();
        let v = [
            tape.constant(Array1::zeros(1)),
            tape.constant(ndarray::arr1(&[s])),
        ];
        let found = standard(&v).value().sum();
        let naive = 0.5 * (f64::exp(s) - 1.0 - s);
        let series = 0.5 * (s * s / 2.0 + s.powi(3) / 6.0 + s.powi(4) / 24.0 + s.powi(5) / 120.0);
        let relative = |x: f64| ((x - series) / series).abs();
        println!(
            "s = {s:+e}: relative error {:.1e}; with exp {:.1e}",
            relative(found),
            relative(naive)
        );
        // One rounding of e^s - 1, of size |s| ε, against s²/4.
        assert!(relative(found) <= 4.0 * f64::EPSILON / s.abs());
    }
}

/// A q and its prior on a tape.
fn q_and_p<'t>(
    tape: &'t Tape<f64>,
    mu: &ArrayD<f64>,
    s: &ArrayD<f64>,
) -> [DiagonalGaussian<'t, f64>; 2] {
    let zeros = tape.full(mu.shape(), 0.0);
    [
        DiagonalGaussian {
            mean: tape.constant(mu.clone()),
            log_variance: tape.constant(s.clone()),
        },
        DiagonalGaussian {
            mean: zeros,
            log_variance: zeros,
        },
    ]
}

/// Every combination of the nodes of `n` along each of `d` dimensions, as rows, with its weight.
fn grid(n: usize, d: usize) -> (Array2<f64>, Array1<f64>) {
    let rule = gauss_hermite(n);
    let digit = |i: usize, j: usize| rule[i / n.pow(j as u32) % n];
    let count = n.pow(d as u32);
    (
        Array2::from_shape_fn((count, d), |(i, j)| digit(i, j).0),
        Array1::from_shape_fn(count, |i| (0..d).map(|j| digit(i, j).1).product()),
    )
}

/// E[log q(z) - log p(z)] by quadrature over the noise of a sampler.
fn definition(
    mu: &ArrayD<f64>,
    s: &ArrayD<f64>,
    sampler: impl for<'t> Fn(&DiagonalGaussian<'t, f64>, Var<'t, f64>) -> Var<'t, f64>,
    density: impl for<'t> Fn(&DiagonalGaussian<'t, f64>, Var<'t, f64>) -> Var<'t, f64>,
) -> f64 {
    let (nodes, weights) = grid(6, mu.len());
    let tape = Tape::new();
    let [q, p] = q_and_p(&tape, mu, s);
    let z = sampler(&q, tape.constant(nodes));
    let difference = density(&q, z) - p.log_density(z);
    owned(difference.value())
        .iter()
        .zip(&weights)
        .map(|(d, w)| d * w)
        .sum()
}

#[test]
fn kl_gaussian_standard_by_its_definition() {
    let mut rng = StdRng::seed_from_u64(35);
    let mut worst = Worst::default();
    for dimensions in [1, 2, 3, 4] {
        for _ in 0..5 {
            let (mu, s) = (
                random(&mut rng, &[dimensions]),
                random(&mut rng, &[dimensions]),
            );
            let expected = definition(&mu, &s, |q, noise| q.sample(noise), |q, z| q.log_density(z));
            let tape = Tape::new();
            let [q, _] = q_and_p(&tape, &mu, &s);
            worst.number(kl::gaussian_standard(&q).item(), expected, expected);
        }
    }
    worst.within(
        1e-12,
        "closed form = E[log q - log p] over the crate's sampler and density",
    );
}

#[test]
fn kl_gaussian_standard_with_sampler_and_density_of_one_distribution() {
    // ∫ q(z) z^k dz by the density, E z^k by the sampler, and what μ and e^s say, for k = 0, 1, 2.
    let mut rng = StdRng::seed_from_u64(36);
    let (mut by_density, mut by_sampler) = (Worst::default(), Worst::default());
    for _ in 0..20 {
        let (mu, s) = (random(&mut rng, &[1]), random(&mut rng, &[1]));
        let (m, variance) = (mu[[0]], s[[0]].exp());
        let expected = [1.0, m, m * m + variance];
        let tape = Tape::new();
        let [q, _] = q_and_p(&tape, &mu, &s);
        // The trapezium rule over 12 deviations to each side: its error is far below rounding.
        let (points, width) = (2001, 12.0 * variance.sqrt());
        let step = 2.0 * width / (points - 1) as f64;
        let z = Array2::from_shape_fn((points, 1), |(i, _)| m - width + step * i as f64);
        let density = q.log_density(tape.constant(z.clone())).exp().value();
        let (nodes, weights) = grid(6, 1);
        let sample = owned(q.sample(tape.constant(nodes)).value());
        for (k, &expected) in (0..).zip(&expected) {
            let sum: f64 = density.iter().zip(&z).map(|(q, z)| q * z.powi(k)).sum();
            by_density.number(sum * step, expected, 1.0);
            let mean = sample
                .iter()
                .zip(&weights)
                .map(|(z, w)| w * z.powi(k))
                .sum();
            by_sampler.number(mean, expected, 1.0);
        }
    }
    by_density.within(1e-12, "moments of the density");
    by_sampler.within(1e-12, "moments of the sampler");
}

#[test]
fn kl_gaussian_standard_by_monte_carlo() {
    let mut rng = StdRng::seed_from_u64(37);
    for dimensions in [1, 3, 8] {
        let (mu, s) = (
            random(&mut rng, &[dimensions]),
            random(&mut rng, &[dimensions]),
        );
        let tape = Tape::new();
        let [q, p] = q_and_p(&tape, &mu, &s);
        let z = q.sample(standard_normal(&tape, &[100_000, dimensions], &mut rng));
        let draws = owned((q.log_density(z) - p.log_density(z)).value());
        let exact = kl::gaussian_standard(&q).item();
        Statistics::of(&draws).agree_with(exact, &format!("{dimensions} dimensions"));
    }
}

#[test]
fn kl_gaussian_standard_mismatch_passes_the_gradient_check_and_fails_the_oracle() {
    // The bug: one line takes s for log σ², another for log σ.
    fn wrong_sampler<'t>(q: &DiagonalGaussian<'t, f64>, noise: Var<'t, f64>) -> Var<'t, f64> {
        q.mean + q.log_variance.exp() * noise
    }
    fn wrong_density<'t>(q: &DiagonalGaussian<'t, f64>, z: Var<'t, f64>) -> Var<'t, f64> {
        let log_variance = q.log_variance * 2.0;
        DiagonalGaussian { log_variance, ..*q }.log_density(z)
    }
    let mut rng = StdRng::seed_from_u64(38);
    let (mut least, mut checked) = (f64::INFINITY, Checked::default());
    for dimensions in [1, 2, 3] {
        let (mu, s) = (
            random(&mut rng, &[dimensions]),
            random(&mut rng, &[dimensions]),
        );
        let noise = random(&mut rng, &[dimensions]);
        // Reconstruction from the wrong sampler, next to the right KL: every gradient is that of its function.
        let loss = Check::new("kl-gaussian-standard").run(&[mu.clone(), s.clone()], |v| {
            let q = DiagonalGaussian {
                mean: v[0],
                log_variance: v[1],
            };
            let z = wrong_sampler(&q, v[0].tape().constant(noise.clone()));
            kl::gaussian_standard(&q) + z.tanh().square().sum()
        });
        checked.add(loss.unwrap());

        let tape = Tape::new();
        let [q, _] = q_and_p(&tape, &mu, &s);
        let divergence = kl::gaussian_standard(&q).item();
        // The model that samples with deviation e^s has the log-variance 2s.
        let actual = standard_by_hand(&mu, &(&s * 2.0)).sum();
        let expected = definition(&mu, &s, wrong_sampler, wrong_density);
        assert!((expected - actual).abs() <= 1e-12 * actual);
        let mixed = definition(&mu, &s, wrong_sampler, |q, z| q.log_density(z));
        for oracle in [expected, mixed] {
            println!("{dimensions} dimensions: KL {divergence:.3}, oracle {oracle:.3}");
            least = least.min((divergence - oracle).abs() / divergence);
        }
    }
    checked.tell("mismatched pair passes");
    println!("and is at least {:.0} % off the oracle", 100.0 * least);
    assert!(least > 0.1, "{least}");
}
