//! docs/kl.md#kl-gaussian-standard: the divergence of a diagonal Gaussian from N(0, I) is ½ Σ (μ² + e^s - 1 - s), and
//! its gradient is (μ, ½(e^s - 1)).

mod limits;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::DiagonalGaussian;
use elbo::distributions::noise::standard_normal;
use elbo::kl;
use ndarray::{Array2, ArrayD, Axis};

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::quadrature::gauss_hermite_grid;
use crate::common::random::{random, rng};
use crate::common::reporting::report;
use crate::common::statistics::Statistics;

/// Shapes of mean and log-variance: one datum, batches, a stack of batches; lengths of 1.
const SHAPES: [&[usize]; 6] = [&[1], &[4], &[3, 2], &[1, 5], &[5, 1], &[2, 3, 4]];

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
fn by_hand() {
    let mut rng = rng(31);
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
fn has_a_diagonal_hessian() {
    // H u = (u_μ, ½ e^s u_s) for every direction u: no entry couples μ with s or one dimension with another.
    let mut rng = rng(33);
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
fn against_finite_differences() {
    let mut rng = rng(32);
    let mut checked = Checked::default();
    for shape in SHAPES {
        let point = [random(&mut rng, shape), random(&mut rng, shape)];
        let check = Check::new("kl-gaussian-standard");
        checked.add(check.run(&point, standard).unwrap());
        checked.add(check.run_second_order(&point, standard).unwrap());
    }
    checked.print("first and second order");
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

/// E[log q(z) - log p(z)] by quadrature over the noise of a sampler.
fn definition(
    mu: &ArrayD<f64>,
    s: &ArrayD<f64>,
    sampler: impl for<'t> Fn(&DiagonalGaussian<'t, f64>, Var<'t, f64>) -> Var<'t, f64>,
    density: impl for<'t> Fn(&DiagonalGaussian<'t, f64>, Var<'t, f64>) -> Var<'t, f64>,
) -> f64 {
    let (nodes, weights) = gauss_hermite_grid(6, mu.len());
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
fn by_its_definition() {
    let mut rng = rng(35);
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
fn with_sampler_and_density_of_one_distribution() {
    // ∫ q(z) z^k dz by the density, E z^k by the sampler, and what μ and e^s say, for k = 0, 1, 2.
    let mut rng = rng(36);
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
        let (nodes, weights) = gauss_hermite_grid(6, 1);
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
fn mismatch_passes_the_gradient_check_and_fails_the_oracle() {
    // The bug: one line takes s for log σ², another for log σ.
    fn wrong_sampler<'t>(q: &DiagonalGaussian<'t, f64>, noise: Var<'t, f64>) -> Var<'t, f64> {
        q.mean + q.log_variance.exp() * noise
    }
    fn wrong_density<'t>(q: &DiagonalGaussian<'t, f64>, z: Var<'t, f64>) -> Var<'t, f64> {
        let log_variance = q.log_variance * 2.0;
        DiagonalGaussian { log_variance, ..*q }.log_density(z)
    }
    let mut rng = rng(38);
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
            report(format!(
                "{dimensions} dimensions: KL {divergence:.3}, oracle {oracle:.3}"
            ));
            least = least.min((divergence - oracle).abs() / divergence);
        }
    }
    checked.print("mismatched pair passes");
    report(format!(
        "and is at least {:.0} % off the oracle",
        100.0 * least
    ));
    assert!(least > 0.1, "{least}");
}

#[test]
fn by_monte_carlo() {
    let mut rng = rng(37);
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
