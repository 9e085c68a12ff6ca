//! Chapter 3 of the notes: divergences in closed form against their definition, evaluated with the crate's own sampler
//! and density.

mod common;

use common::{Checked, Statistics, Worst, gauss_hermite, owned, random};
use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::background::BadData;
use elbo::distributions::noise::standard_normal;
use elbo::distributions::{Bernoulli, Categorical, DiagonalGaussian, MultivariateGaussian};
use elbo::kl;
use elbo::kl::{
    ChainRule, DiagonalFamily, Effort, ExponentialFamily, Family, Fit, Grid, Mixture, Moments,
    NoFit, NoProjection, Nodes, Shape, Target, chain_rule, chain_terms, fisher_information,
    mean_field, of_tables, reverse_fit, reverse_gradient_by_path, reverse_gradient_by_score,
    reverse_minima, separation_of_own_minimum, starts,
};
use ndarray::{Array1, Array2, ArrayD, Axis, IxDyn, arr1, arr2};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

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

#[test]
fn kl_gaussian_standard_broadcasts_mean_against_log_variance() {
    let mut rng = StdRng::seed_from_u64(39);
    for (mean, log_variance, whole) in [
        (&[3, 4][..], &[4][..], &[3, 4][..]),
        (&[4], &[3, 1], &[3, 4]),
        (&[1], &[5], &[5]),
    ] {
        let point = [random(&mut rng, mean), random(&mut rng, log_variance)];
        let (mu, s) = (point[0].broadcast(whole), point[1].broadcast(whole));
        let expected = standard_by_hand(&mu.unwrap().to_owned(), &s.unwrap().to_owned());
        let tape = Tape::new();
        let found = standard(&[0, 1].map(|i: usize| tape.constant(point[i].clone())));
        let mut worst = Worst::default();
        worst.entries(&owned(found.value()), &expected);
        worst.within(REARRANGED, "broadcast");
        Check::new("kl-gaussian-standard")
            .run(&point, standard)
            .unwrap();
    }
}

// ---------------------------------------------------------------------------------------------------------
// kl-gaussian-full

/// A random mean and a random covariance of k dimensions, of moderate condition.
fn random_moments(rng: &mut StdRng, k: usize) -> Moments {
    let a = Array2::from_shape_simple_fn((k, k), || rng.random_range(-1.0..1.0));
    Moments {
        mean: Array1::from_shape_simple_fn(k, || rng.random_range(-1.0..1.0)),
        covariance: a.dot(&a.t()) + Array2::<f64>::eye(k) * 0.3,
    }
}

/// A⁻¹ by Gauss–Jordan elimination: the oracle's road, which the code never takes.
fn inverse(a: &Array2<f64>) -> Array2<f64> {
    let k = a.nrows();
    let mut rows = ndarray::concatenate![Axis(1), *a, Array2::eye(k)];
    for i in 0..k {
        let pivot = rows[[i, i]];
        rows.row_mut(i).mapv_inplace(|x| x / pivot);
        for j in (0..k).filter(|&j| j != i) {
            let factor = rows[[j, i]];
            let row = rows.row(i).to_owned();
            rows.row_mut(j).scaled_add(-factor, &row);
        }
    }
    rows.slice(ndarray::s![.., k..]).to_owned()
}

/// |A| by elimination.
fn determinant(a: &Array2<f64>) -> f64 {
    let mut rows = a.clone();
    let mut product = 1.0;
    for i in 0..a.nrows() {
        product *= rows[[i, i]];
        for j in i + 1..a.nrows() {
            let factor = rows[[j, i]] / rows[[i, i]];
            let row = rows.row(i).to_owned();
            rows.row_mut(j).scaled_add(-factor, &row);
        }
    }
    product
}

/// ½ [tr Σ₁⁻¹Σ₀ + ΔᵀΣ₁⁻¹Δ - k + log |Σ₁|/|Σ₀|] as it stands.
fn full_by_hand(q: &Moments, p: &Moments) -> f64 {
    let (precision, delta) = (inverse(&p.covariance), &p.mean - &q.mean);
    let trace = precision.dot(&q.covariance).diag().sum();
    let distance = delta.dot(&precision.dot(&delta));
    let ratio = determinant(&p.covariance) / determinant(&q.covariance);
    0.5 * (trace + distance - q.mean.len() as f64 + ratio.ln())
}

/// KL between the Gaussians with means v0, v2 and the symmetric parts of v1, v3 as covariances.
fn full<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let gaussian = |mean, matrix: Var<'t, f64>| {
        let covariance = (matrix + matrix.t()) * 0.5;
        MultivariateGaussian::from_covariance(mean, covariance).unwrap()
    };
    kl::gaussian_full(&gaussian(v[0], v[1]), &gaussian(v[2], v[3]))
}

fn full_of(q: &Moments, p: &Moments) -> f64 {
    let tape = Tape::new();
    kl::gaussian_full(&q.gaussian(&tape).unwrap(), &p.gaussian(&tape).unwrap()).item()
}

#[test]
fn kl_gaussian_full_by_hand() {
    let mut rng = StdRng::seed_from_u64(41);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for k in [1, 2, 3, 5, 8] {
        let [q, p] = [0, 1].map(|_| random_moments(&mut rng, k));
        let tape = Tape::new();
        let v = [
            tape.variable(q.mean.clone()),
            tape.variable(q.covariance.clone()),
            tape.variable(p.mean.clone()),
            tape.variable(p.covariance.clone()),
        ];
        let y = full(&v);
        let expected = full_by_hand(&q, &p);
        value.number(y.item(), expected, expected);
        let gradients = tape.gradients(y);
        let (precision, delta) = (inverse(&p.covariance), &p.mean - &q.mean);
        let column = delta.clone().insert_axis(Axis(1));
        let second = &q.covariance + &column.dot(&column.t());
        let by_hand = [
            (-precision.dot(&delta)).into_dyn(),
            ((&precision - &inverse(&q.covariance)) * 0.5).into_dyn(),
            precision.dot(&delta).into_dyn(),
            ((&precision - &precision.dot(&second).dot(&precision)) * 0.5).into_dyn(),
        ];
        for (variable, by_hand) in v.iter().zip(by_hand) {
            gradient.entries(&owned(gradients.wrt(*variable)), &by_hand);
        }
    }
    value.within(1e-12, "value: Cholesky = inverse and determinants");
    gradient.within(1e-12, "gradient: hand = autodiff");
}

#[test]
fn kl_gaussian_full_against_finite_differences() {
    let mut rng = StdRng::seed_from_u64(42);
    let mut checked = Checked::default();
    for k in [1, 2, 3] {
        let [q, p] = [0, 1].map(|_| random_moments(&mut rng, k));
        let point = [
            q.mean.into_dyn(),
            q.covariance.into_dyn(),
            p.mean.into_dyn(),
            p.covariance.into_dyn(),
        ];
        let check = Check::new("kl-gaussian-full");
        checked.add(check.run(&point, full).unwrap());
        checked.add(check.run_second_order(&point, full).unwrap());
    }
    checked.tell("first and second order");
}

#[test]
fn kl_gaussian_full_of_diagonal_covariances_is_the_diagonal_formula() {
    let mut rng = StdRng::seed_from_u64(43);
    let mut worst = Worst::default();
    for k in [1, 3, 6] {
        let parts: Vec<ArrayD<f64>> = (0..4).map(|_| random(&mut rng, &[k])).collect();
        let tape = Tape::new();
        let diagonal = |i: usize| DiagonalGaussian {
            mean: tape.constant(parts[i].clone()),
            log_variance: tape.constant(parts[i + 1].clone()),
        };
        let moments = |i: usize| Moments {
            mean: parts[i].clone().into_dimensionality().unwrap(),
            covariance: Array2::from_diag(
                &parts[i + 1].mapv(f64::exp).into_dimensionality().unwrap(),
            ),
        };
        let expected = kl::gaussian_diagonal(&diagonal(0), &diagonal(2)).item();
        worst.number(full_of(&moments(0), &moments(2)), expected, expected);
        let prior = Moments::round(Array1::zeros(k), 1.0);
        let expected = kl::gaussian_standard(&diagonal(0)).item();
        worst.number(full_of(&moments(0), &prior), expected, expected);
    }
    worst.within(REARRANGED, "full = diagonal, and = standard");
}

#[test]
fn kl_gaussian_full_by_its_definition() {
    let mut rng = StdRng::seed_from_u64(44);
    let mut worst = Worst::default();
    for k in [1, 2] {
        for _ in 0..5 {
            let [q, p] = [0, 1].map(|_| random_moments(&mut rng, k));
            let (nodes, weights) = grid(6, k);
            let tape = Tape::new();
            let (q_tape, p_tape) = (q.gaussian(&tape).unwrap(), p.gaussian(&tape).unwrap());
            let z = q_tape.sample(tape.constant(nodes));
            let difference = owned((q_tape.log_density(z) - p_tape.log_density(z)).value());
            let expected = difference.iter().zip(&weights).map(|(d, w)| d * w).sum();
            worst.number(full_of(&q, &p), expected, expected);
        }
    }
    worst.within(
        1e-12,
        "closed form = E[log q - log p] over the crate's sampler and density",
    );
}

#[test]
fn kl_gaussian_full_by_monte_carlo() {
    let mut rng = StdRng::seed_from_u64(45);
    for k in [1, 3, 6] {
        let [q, p] = [0, 1].map(|_| random_moments(&mut rng, k));
        let tape = Tape::new();
        let (q_tape, p_tape) = (q.gaussian(&tape).unwrap(), p.gaussian(&tape).unwrap());
        let z = q_tape.sample(standard_normal(&tape, &[100_000, k], &mut rng));
        let draws = owned((q_tape.log_density(z) - p_tape.log_density(z)).value());
        Statistics::of(&draws).agree_with(full_of(&q, &p), &format!("{k} dimensions"));
    }
}

#[test]
fn kl_gaussian_full_is_zero_at_equality_and_keeps_its_digits_nearby() {
    let mut rng = StdRng::seed_from_u64(46);
    for k in [1, 2, 5] {
        let p = random_moments(&mut rng, k);
        assert_eq!(full_of(&p, &p), 0.0);
        for size in [1e-2, 1e-4, 1e-6f64] {
            // N(μ, (1+δ)²Σ) from N(μ, Σ): k (δ + δ²/2 - log(1 + δ)), whatever Σ is.
            let wider = Moments {
                covariance: &p.covariance * (1.0f64 + size).powi(2),
                ..p.clone()
            };
            let higher: f64 = (3..12).map(|n| (-size).powi(n) / f64::from(n)).sum();
            let series = size * size + higher;
            let expected = k as f64 * series;
            let relative = (full_of(&wider, &p) - expected).abs() / expected;
            println!("k = {k}, δ = {size:e}: relative error {relative:.1e}");
            assert!(
                relative <= 20.0 * f64::EPSILON * k as f64 / size + 1e-11,
                "{relative:e}"
            );
        }
    }
}

#[test]
fn kl_gaussian_full_does_not_depend_on_the_coordinates() {
    // Both distributions seen through z ↦ Az + c, and the two directions, which are two numbers.
    let mut rng = StdRng::seed_from_u64(47);
    let mut worst = Worst::default();
    for k in [1, 2, 4] {
        let [q, p] = [0, 1].map(|_| random_moments(&mut rng, k));
        let a = Array2::from_shape_simple_fn((k, k), || rng.random_range(-1.0..1.0))
            + Array2::<f64>::eye(k) * 3.0;
        let moved = |m: &Moments| Moments {
            mean: a.dot(&m.mean) + 0.7,
            covariance: {
                let c = a.dot(&m.covariance).dot(&a.t());
                (&c + &c.t()) * 0.5
            },
        };
        let expected = full_of(&q, &p);
        worst.number(full_of(&moved(&q), &moved(&p)), expected, expected);
        assert!(expected > 0.0 && (expected - full_of(&p, &q)).abs() > 1e-3 * expected);
    }
    worst.within(1e-12, "the same in other coordinates");
}

#[test]
fn kl_gaussian_full_of_a_batch_of_means() {
    let mut rng = StdRng::seed_from_u64(48);
    let [q, p] = [0, 1].map(|_| random_moments(&mut rng, 3));
    let tape = Tape::new();
    let means = random(&mut rng, &[4, 3]);
    let covariance = tape.constant(q.covariance.clone());
    let batch = MultivariateGaussian::from_covariance(tape.constant(means.clone()), covariance);
    let found = kl::gaussian_full(&batch.unwrap(), &p.gaussian(&tape).unwrap()).value();
    assert_eq!(found.shape(), [4]);
    for (i, mean) in means.outer_iter().enumerate() {
        let mean = mean.to_owned().into_dimensionality().unwrap();
        let one = full_of(&Moments { mean, ..q.clone() }, &p);
        assert!((found[i] - one).abs() <= 1e-13 * one);
    }
}

// ---------------------------------------------------------------------------------------------------------
// kl-categorical

fn categorical<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    kl::categorical(&Categorical { logits: v[0] }, &Categorical { logits: v[1] })
}

fn bernoulli<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    kl::bernoulli(&Bernoulli { logits: v[0] }, &Bernoulli { logits: v[1] })
}

/// Σ q log q/p with log-probabilities from the definition.
fn categorical_composed<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let [log_q, log_p] = [v[0], v[1]].map(|a| a.log_softmax(a.ndim() - 1));
    (log_q.exp() * (log_q - log_p)).sum_last()
}

/// σ(a)(log σ(a) - log σ(b)) and the same of the other outcome.
fn bernoulli_composed<'t>(v: &[Var<'t, f64>]) -> Var<'t, f64> {
    let outcome =
        |a: Var<'t, f64>, b: Var<'t, f64>| a.sigmoid() * (a.log_sigmoid() - b.log_sigmoid());
    (outcome(v[0], v[1]) + outcome(-v[0], -v[1])).sum_last()
}

fn softmax(a: &[f64]) -> Vec<f64> {
    let total: f64 = a.iter().map(|a| a.exp()).sum();
    a.iter().map(|a| a.exp() / total).collect()
}

/// Value and both gradients of a function of two vectors of logits.
fn at_logits(
    f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
    a: &[f64],
    b: &[f64],
) -> (f64, [Vec<f64>; 2]) {
    let tape = Tape::new();
    let v = [tape.variable(arr1(a)), tape.variable(arr1(b))];
    let y = f(&v);
    let gradients = tape.gradients(y);
    (
        y.item(),
        v.map(|x| gradients.wrt(x).iter().copied().collect()),
    )
}

#[test]
fn kl_categorical_by_hand() {
    let mut rng = StdRng::seed_from_u64(51);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for classes in [1, 2, 3, 7] {
        for f in [categorical, categorical_composed] {
            let [a, b] = [0, 1].map(|_| random(&mut rng, &[classes]).into_raw_vec_and_offset().0);
            let (q, p) = (softmax(&a), softmax(&b));
            let expected: f64 = q.iter().zip(&p).map(|(q, p)| q * (q / p).ln()).sum();
            let by_hand = [
                q.iter()
                    .zip(&p)
                    .map(|(q, p)| q * ((q / p).ln() - expected))
                    .collect::<Vec<_>>(),
                q.iter().zip(&p).map(|(q, p)| p - q).collect(),
            ];
            let (found, gradients) = at_logits(f, &a, &b);
            value.number(found, expected, 1.0);
            for (found, by_hand) in gradients.iter().flatten().zip(by_hand.iter().flatten()) {
                gradient.number(*found, *by_hand, 1.0);
            }
        }
    }
    value.within(REARRANGED, "value: enumeration");
    gradient.within(REARRANGED, "gradient: hand = autodiff");
}

#[test]
fn kl_categorical_of_stacks_and_second_order() {
    let mut rng = StdRng::seed_from_u64(52);
    let (mut checked, mut gradient) = (Checked::default(), Worst::default());
    type Pair = [for<'t> fn(&[Var<'t, f64>]) -> Var<'t, f64>; 2];
    let pairs: [Pair; 2] = [
        [categorical, categorical_composed],
        [bernoulli, bernoulli_composed],
    ];
    for [fused, composed] in pairs {
        for (a, b) in [
            (&[3][..], &[3][..]),
            (&[2, 3], &[3]),
            (&[4], &[2, 1, 4]),
            (&[2, 1, 3], &[4, 3]),
        ] {
            let point = [random(&mut rng, a), random(&mut rng, b)];
            let check = Check::new("kl-categorical");
            checked.add(check.run(&point, fused).unwrap());
            checked.add(check.run_second_order(&point, fused).unwrap());
            let gradients = |f: for<'t> fn(&[Var<'t, f64>]) -> Var<'t, f64>| {
                let tape = Tape::new();
                let v: Vec<_> = point.iter().map(|x| tape.variable(x.clone())).collect();
                let gradients = tape.gradients(f(&v).square().sum());
                [0, 1].map(|i| owned(gradients.wrt(v[i])))
            };
            for (found, expected) in gradients(fused).iter().zip(&gradients(composed)) {
                gradient.entries(found, expected);
            }
        }
    }
    checked.tell("first and second order");
    gradient.within(REARRANGED, "gradient of stacks: fused = composed");
}

#[test]
fn kl_categorical_bernoulli_is_the_two_class_case() {
    let mut rng = StdRng::seed_from_u64(53);
    let mut worst = Worst::default();
    for _ in 0..20 {
        let [a, b]: [f64; 2] = std::array::from_fn(|_| rng.random_range(-4.0..4.0));
        let coin = at_logits(bernoulli, &[a], &[b]);
        let classes = at_logits(categorical, &[a, 0.0], &[b, 0.0]);
        worst.number(coin.0, classes.0, 1.0);
        let sigmoid = |a: f64| 1.0 / (1.0 + (-a).exp());
        let by_hand = [sigmoid(a) * sigmoid(-a) * (a - b), sigmoid(b) - sigmoid(a)];
        for ((coin, classes), by_hand) in coin.1.iter().zip(&classes.1).zip(by_hand) {
            worst.number(coin[0], classes[0], 1.0);
            worst.number(coin[0], by_hand, 1.0);
        }
    }
    worst.within(REARRANGED, "coin = two classes = by hand");
}

#[test]
fn kl_categorical_where_a_class_is_impossible() {
    const NO: f64 = f64::NEG_INFINITY;
    let half = 2f64.ln();
    // Excluded by q only: 0 log 0 = 0. KL((½, ½, 0) ‖ (¼, ¼, ½)) = log 2.
    let (value, [a, b]) = at_logits(categorical, &[0.0, 0.0, NO], &[0.0, 0.0, half]);
    assert!((value - half).abs() < 1e-15);
    assert!(a.iter().all(|a| a.abs() < 1e-15), "{a:?}");
    for (found, expected) in b.iter().zip([-0.25, -0.25, 0.5]) {
        assert!((found - expected).abs() < 1e-15, "{b:?}");
    }
    // Excluded by both: as if the class were not there.
    let (value, gradients) = at_logits(categorical, &[0.3, -1.0, NO], &[0.1, 0.6, NO]);
    let (without, smaller) = at_logits(categorical, &[0.3, -1.0], &[0.1, 0.6]);
    assert!((value - without).abs() < 1e-15);
    for (found, smaller) in gradients.iter().zip(&smaller) {
        assert_eq!(found[2], 0.0);
        assert!((found[0] - smaller[0]).abs() + (found[1] - smaller[1]).abs() < 1e-15);
    }
    // Excluded by p only: infinite, and uphill is towards that class.
    let (value, [a, b]) = at_logits(categorical, &[0.0, 0.0, NO], &[NO, 0.0, 0.0]);
    assert_eq!(value, f64::INFINITY);
    assert_eq!(a, [f64::INFINITY, f64::NEG_INFINITY, 0.0]);
    assert_eq!(b, [-0.5, 0.0, 0.5]);
    // KL(q ‖ q) = 0 with zeros, and nothing to improve.
    let (value, gradients) = at_logits(categorical, &[0.3, NO, -1.0, NO], &[0.3, NO, -1.0, NO]);
    assert_eq!(value, 0.0);
    assert!(gradients.iter().flatten().all(|g| g.abs() < 1e-15));
    // A limit, not an exception: the same numbers along logits that run to -∞.
    let mut before = f64::INFINITY;
    for far in [10.0, 20.0, 40.0] {
        let (near, _) = at_logits(categorical, &[0.3, -1.0, -far], &[0.1, 0.6, 0.0]);
        let (limit, _) = at_logits(categorical, &[0.3, -1.0, NO], &[0.1, 0.6, 0.0]);
        let off = (near - limit).abs();
        assert!(off < 0.01 * before, "{off:e} after {before:e}");
        before = off.max(1e-13);
    }
    // A certain class, by a logit of ∞, against itself and against chances: KL = -log p of that class.
    let sure = [0.0, f64::INFINITY, 1.0];
    assert_eq!(at_logits(categorical, &sure, &sure).0, 0.0);
    let (value, [a, b]) = at_logits(categorical, &sure, &[0.0, 0.0, 0.0]);
    assert!(
        (value - 3f64.ln()).abs() < 1e-15 && a.iter().all(|a| a.abs() < 1e-15),
        "{value} {a:?}"
    );
    assert!((b[1] + 2.0 / 3.0).abs() < 1e-15, "{b:?}");
    // What is not a number is not taken for an impossible class.
    assert!(
        at_logits(categorical, &[0.3, f64::NAN], &[0.1, 0.6])
            .0
            .is_nan()
    );
    assert!(at_logits(bernoulli, &[f64::NAN], &[0.6]).0.is_nan());
    assert!(at_logits(bernoulli, &[0.6], &[f64::NAN]).0.is_nan());
}

#[test]
fn kl_categorical_of_certain_coins() {
    const SURE: f64 = f64::INFINITY;
    for (a, b, value, slopes) in [
        (SURE, SURE, 0.0, [0.0, 0.0]),
        (-SURE, -SURE, 0.0, [0.0, 0.0]),
        (SURE, 0.0, 2f64.ln(), [0.0, -0.5]),
        (-SURE, 0.0, 2f64.ln(), [0.0, 0.5]),
        (0.0, SURE, SURE, [-SURE, 0.5]),
        (0.0, -SURE, SURE, [SURE, -0.5]),
        (SURE, -SURE, SURE, [0.0, -1.0]),
    ] {
        let (found, [at_a, at_b]) = at_logits(bernoulli, &[a], &[b]);
        assert!(
            found == value || (found - value).abs() < 1e-15,
            "KL({a}, {b}) = {found}"
        );
        assert_eq!([at_a[0], at_b[0]], slopes, "at {a}, {b}");
    }
}

// ---------------------------------------------------------------------------------------------------------
// fisher-information

/// log N(x; μ, σ) for θ = (μ, log σ) in rows.
fn gaussian_by_deviation<'t>(theta: Var<'t, f64>, x: Var<'t, f64>) -> Var<'t, f64> {
    let gaussian = DiagonalGaussian {
        mean: theta.slice(1, 0..1),
        log_variance: theta.slice(1, 1..2) * 2.0,
    };
    gaussian.log_density(x)
}

/// log softmax(θ)_x for one-hot x in rows.
fn class<'t>(theta: Var<'t, f64>, x: Var<'t, f64>) -> Var<'t, f64> {
    Categorical { logits: theta }.log_density(x)
}

/// All classes with their probabilities softmax(a).
fn classes(a: &[f64]) -> Nodes {
    Nodes::new(Array2::eye(a.len()), Array1::from(softmax(a))).unwrap()
}

fn largest(x: &Array2<f64>) -> f64 {
    x.iter().fold(0.0, |m: f64, x| m.max(x.abs()))
}

#[test]
fn fisher_information_of_a_gaussian_and_of_classes() {
    let mut rng = StdRng::seed_from_u64(61);
    let mut worst = Worst::default();
    for _ in 0..10 {
        let (mu, log_sigma): (f64, f64) =
            (rng.random_range(-2.0..2.0), rng.random_range(-2.0..2.0));
        let noise = Nodes::gauss_hermite(10, 1);
        let points = noise.points() * log_sigma.exp() + mu;
        let nodes = Nodes::new(points, noise.weights().clone()).unwrap();
        let found =
            fisher_information(&arr1(&[mu, log_sigma]), &nodes, gaussian_by_deviation).unwrap();
        let expected = arr2(&[[(-2.0 * log_sigma).exp(), 0.0], [0.0, 2.0]]).into_dyn();
        worst.entries(&found.score_square.into_dyn(), &expected);
        worst.entries(&found.curvature.into_dyn(), &expected);
        worst.number(found.mean_score.dot(&found.mean_score).sqrt(), 0.0, 1.0);
    }
    for k in [2, 3, 6] {
        let a = random(&mut rng, &[k]).into_raw_vec_and_offset().0;
        let found = fisher_information(&Array1::from(a.clone()), &classes(&a), class).unwrap();
        let p = Array1::from(softmax(&a));
        let column = p.clone().insert_axis(Axis(1));
        let expected = (Array2::from_diag(&p) - column.dot(&column.t())).into_dyn();
        worst.entries(&found.score_square.into_dyn(), &expected);
        worst.entries(&found.curvature.into_dyn(), &expected);
    }
    worst.within(1e-12, "E ssᵀ = -E H = the closed form");
}

#[test]
fn fisher_information_is_the_hessian_of_the_divergence() {
    // ∇²_δ KL(p_θ ‖ p_(θ+δ)) at δ = 0, by differentiating the gradient of the closed form.
    let mut rng = StdRng::seed_from_u64(62);
    let mut worst = Worst::default();
    for k in [2, 4] {
        let a = random(&mut rng, &[k]);
        let tape = Tape::new();
        let (fixed, moving) = (tape.constant(a.clone()), tape.variable(a.clone()));
        let slope = tape
            .differentiable_gradients(categorical(&[fixed, moving]))
            .wrt(moving);
        let raw = a.clone().into_raw_vec_and_offset().0;
        let found = fisher_information(&Array1::from(raw.clone()), &classes(&raw), class).unwrap();
        for j in 0..k {
            let row = owned(tape.gradients(slope.slice(0, j..j + 1).sum()).wrt(moving));
            worst.entries(&row, &found.curvature.row(j).to_owned().into_dyn());
        }
    }
    worst.within(1e-12, "Hessian of the divergence = Fisher information");
}

/// The fitted slope of log |KL(p_θ ‖ p_(θ+tδ)) - ½ t² δᵀFδ| against log t.
fn remainder_slope(kl: impl Fn(f64) -> f64, quadratic: f64) -> f64 {
    let points: Vec<(f64, f64)> = [0.2, 0.1, 0.05, 0.025, 0.0125]
        .iter()
        .map(|&t: &f64| (t.ln(), (kl(t) - 0.5 * t * t * quadratic).abs().ln()))
        .collect();
    let n = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let covariance: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let variance: f64 = points.iter().map(|p| (p.0 - x) * (p.0 - x)).sum();
    covariance / variance
}

#[test]
fn fisher_information_leaves_a_remainder_of_third_order() {
    let gaussian = |theta: [f64; 2], delta: [f64; 2], t: f64| {
        let moments = |mu: f64, log_sigma: f64| Moments::round(arr1(&[mu]), log_sigma.exp());
        let p = moments(theta[0], theta[1]);
        full_of(
            &p,
            &moments(theta[0] + t * delta[0], theta[1] + t * delta[1]),
        )
    };
    for (theta, delta) in [([0.3, -0.2], [0.5, 1.0]), ([-1.0, 0.7], [1.0, -0.8])] {
        let f = [f64::exp(-2.0 * theta[1]), 2.0];
        let quadratic = f[0] * delta[0] * delta[0] + f[1] * delta[1] * delta[1];
        let slope = remainder_slope(|t| gaussian(theta, delta, t), quadratic);
        println!("Gaussian: remainder of order {slope:.3}");
        assert!((slope - 3.0).abs() < 0.1, "{slope}");
    }
    let a = [0.4, -0.9, 0.1];
    let delta = arr1(&[1.0, -0.3, 0.2]);
    let f = fisher_information(&arr1(&a), &classes(&a), class)
        .unwrap()
        .curvature;
    let kl = |t: f64| {
        let b: Vec<f64> = a.iter().zip(&delta).map(|(a, d)| a + t * d).collect();
        at_logits(categorical, &a, &b).0
    };
    let slope = remainder_slope(kl, delta.dot(&f.dot(&delta)));
    println!("classes: remainder of order {slope:.3}");
    assert!((slope - 3.0).abs() < 0.1, "{slope}");
    // At an even coin the third derivative is 0 by symmetry; along the mean of a Gaussian all of them are.
    let slope = remainder_slope(|t| at_logits(bernoulli, &[0.0], &[t]).0, 0.25);
    println!("an even coin: remainder of order {slope:.3}");
    assert!((slope - 4.0).abs() < 0.1, "{slope}");
    for t in [0.5, 2.0] {
        let remainder = gaussian([0.3, 0.2], [1.0, 0.0], t) - 0.5 * t * t * (-0.4f64).exp();
        assert!(remainder.abs() < 1e-14, "{remainder:e}");
    }
}

#[test]
fn fisher_information_needs_the_right_expectation_and_a_fixed_support() {
    // Data from another distribution: E ssᵀ and -E H are two matrices, neither the information.
    let theta = arr1(&[0.0, 0.0]);
    let noise = Nodes::gauss_hermite(10, 1);
    let nodes = Nodes::new(noise.points() * 2.0 + 1.0, noise.weights().clone()).unwrap();
    let found = fisher_information(&theta, &nodes, gaussian_by_deviation).unwrap();
    assert!(largest(&(&found.score_square - &found.curvature)) > 1.0);
    assert!(found.mean_score.iter().any(|s| s.abs() > 0.5));
    // U(0, θ): log p = -log θ on a support that moves. E s² = 1/θ², -E H = -1/θ², E s = -1/θ; and the divergence
    // from U(0, θ) to U(0, θ + δ) is log(1 + δ/θ), of first order.
    let uniform = Nodes::samples(Array2::from_shape_fn((100, 1), |(i, _)| {
        0.02 * (i as f64 + 0.5)
    }))
    .unwrap();
    let found =
        fisher_information(&arr1(&[2.0]), &uniform, |theta, _| -theta.ln().sum_last()).unwrap();
    assert!((found.score_square[[0, 0]] - 0.25).abs() < 1e-14);
    assert!((found.curvature[[0, 0]] + 0.25).abs() < 1e-14);
    assert!((found.mean_score[0] + 0.5).abs() < 1e-14);
    // An impossible outcome counts only where it has weight.
    let excluded = |weights: [f64; 2]| {
        let nodes = Nodes::new(arr2(&[[1.0], [0.0]]), arr1(&weights)).unwrap();
        fisher_information(&arr1(&[0.3]), &nodes, |theta, x| {
            (theta * x + x.ln()).sum_last()
        })
    };
    assert_eq!(excluded([0.5, 0.5]).unwrap_err().index, 1);
    assert!(excluded([1.0, 0.0]).is_ok());
    for weights in [vec![0.5, 0.6], vec![1.5, -0.5], vec![f64::NAN, 1.0]] {
        assert!(Nodes::new(Array2::eye(2), Array1::from(weights)).is_err());
    }
    assert!(Nodes::samples(Array2::zeros((0, 1))).is_err());
    assert!(Nodes::samples(arr2(&[[f64::NAN]])).is_err());
}

#[test]
fn fisher_information_from_samples() {
    // 10⁵ draws of N(μ, σ): every entry of both estimates within 4 standard errors.
    let mut rng = StdRng::seed_from_u64(64);
    let (mu, log_sigma, n) = (0.5, 0.3f64, 100_000);
    let tape = Tape::new();
    let noise = owned(standard_normal(&tape, &[n, 1], &mut rng).value());
    let points = noise.into_dimensionality().unwrap() * log_sigma.exp() + mu;
    let nodes = Nodes::samples(points).unwrap();
    let found = fisher_information(&arr1(&[mu, log_sigma]), &nodes, gaussian_by_deviation).unwrap();
    // s = (ε/σ, ε² - 1), -H = ((1/σ², 2ε/σ), (2ε/σ, 2ε²)); the variances by the moments 1, 3, 15, 105 of ε.
    let r = (-log_sigma).exp();
    let error = |variance: f64| (variance / n as f64).sqrt();
    let cases = [
        (found.score_square[[0, 0]], r * r, error(2.0 * r.powi(4))),
        (found.score_square[[0, 1]], 0.0, error(10.0 * r * r)),
        (found.score_square[[1, 1]], 2.0, error(56.0)),
        (found.curvature[[0, 1]], 0.0, error(4.0 * r * r)),
        (found.curvature[[1, 1]], 2.0, error(8.0)),
    ];
    for (found, exact, error) in cases {
        let distance = (found - exact) / error;
        println!("{found:.5}, exact {exact:.5}: {distance:+.2} standard errors");
        assert!(distance.abs() <= 4.0);
    }
}

// ---------------------------------------------------------------------------------------------------------
// kl-chain-rule

/// A random table, with about this part of its entries 0.
fn random_table(rng: &mut StdRng, shape: &[usize], zeros: f64) -> ArrayD<f64> {
    let mut entry = || {
        if rng.random_bool(zeros) {
            0.0
        } else {
            rng.random_range(0.01..1.0)
        }
    };
    let mut table = ArrayD::from_shape_simple_fn(IxDyn(shape), &mut entry);
    if table.sum() == 0.0 {
        table.fill(1.0);
    }
    let total = table.sum();
    table / total
}

#[test]
fn kl_chain_rule_on_random_tables() {
    let mut rng = StdRng::seed_from_u64(71);
    let (mut worst, mut by_enumeration) = (Worst::default(), Worst::default());
    for shape in [&[4][..], &[2, 3], &[3, 1, 2], &[2, 3, 2, 2], &[1, 1]] {
        for zeros in [0.0, 0.4] {
            for _ in 0..5 {
                let q = random_table(&mut rng, shape, zeros);
                let p = random_table(&mut rng, shape, 0.0);
                let expected: f64 = q
                    .iter()
                    .zip(&p)
                    .filter(|(q, _)| **q > 0.0)
                    .map(|(q, p)| q * (q / p).ln())
                    .sum();
                by_enumeration.number(of_tables(&q, &p).unwrap(), expected, 1.0);
                for split in 0..=shape.len() {
                    let parts = chain_rule(&q, &p, split).unwrap();
                    worst.number(parts.marginal + parts.conditional, parts.joint, 1.0);
                    assert!(parts.marginal >= 0.0 && parts.conditional >= 0.0);
                }
                let terms = chain_terms(&q, &p).unwrap();
                assert_eq!(terms.len(), shape.len());
                worst.number(terms.iter().sum(), expected, 1.0);
            }
        }
    }
    by_enumeration.within(1e-14, "of_tables = enumeration");
    worst.within(1e-14, "joint = marginal + conditional");
}

#[test]
fn kl_chain_rule_where_there_are_zeros() {
    let q = arr2(&[[0.5, 0.0], [0.0, 0.5]]).into_dyn();
    let p = arr2(&[[0.5, 0.5], [0.0, 0.0]]).into_dyn();
    // p excludes the second row, which q allows: the marginal alone is infinite.
    let ChainRule {
        joint,
        marginal,
        conditional,
    } = chain_rule(&q, &p, 1).unwrap();
    assert_eq!((joint, marginal), (f64::INFINITY, f64::INFINITY));
    assert!((conditional - 0.5 * 2f64.ln()).abs() < 1e-15);
    // The other way round p's second column is met nowhere.
    assert_eq!(chain_rule(&p, &q, 1).unwrap().joint, f64::INFINITY);
    for table in [&p, &q] {
        let parts = chain_rule(table, table, 1).unwrap();
        assert_eq!(
            (parts.joint, parts.marginal, parts.conditional),
            (0.0, 0.0, 0.0)
        );
    }
    // A row that q does not allow has a conditional that nobody needs.
    let r = arr2(&[[0.25, 0.75], [0.0, 0.0]]).into_dyn();
    let uniform = ArrayD::from_elem(IxDyn(&[2, 2]), 0.25);
    let parts = chain_rule(&r, &uniform, 1).unwrap();
    assert!((parts.marginal + parts.conditional - parts.joint).abs() < 1e-15);
    assert!(parts.conditional.is_finite());
}

#[test]
fn kl_chain_rule_takes_its_mean_under_the_first_distribution() {
    // With the mean of the conditional divergences under p(x), the parts do not add up.
    let q = arr2(&[[0.6, 0.1], [0.1, 0.2]]).into_dyn();
    let p = arr2(&[[0.1, 0.1], [0.4, 0.4]]).into_dyn();
    let parts = chain_rule(&q, &p, 1).unwrap();
    let row = |i: usize| {
        let slice = |t: &ArrayD<f64>| {
            let row = t.index_axis(Axis(0), i).to_owned();
            let total = row.sum();
            row / total
        };
        of_tables(&slice(&q), &slice(&p)).unwrap()
    };
    let under_p = 0.2 * row(0) + 0.8 * row(1);
    let off = parts.marginal + under_p - parts.joint;
    println!("mean under p: off by {off:.3} of {:.3}", parts.joint);
    assert!(off.abs() > 0.05);
    assert!((0.7 * row(0) + 0.3 * row(1) - parts.conditional).abs() < 1e-15);
    // And the order of the variables makes other terms of the same sum.
    let turned = |t: &ArrayD<f64>| t.t().to_owned();
    let (forth, back) = (
        chain_terms(&q, &p).unwrap(),
        chain_terms(&turned(&q), &turned(&p)).unwrap(),
    );
    assert!((forth[0] - back[1]).abs() > 0.01);
    assert!((forth.iter().sum::<f64>() - back.iter().sum::<f64>()).abs() < 1e-15);
}

#[test]
fn kl_chain_rule_refuses_what_is_no_table() {
    let good = arr1(&[0.5, 0.5]).into_dyn();
    let refused = |bad: &[f64]| of_tables(&arr1(bad).into_dyn(), &good).unwrap_err();
    assert!(matches!(
        refused(&[1.5, -0.5]),
        BadData::Number {
            what: "q",
            index: 1,
            found: -0.5,
            ..
        }
    ));
    assert!(matches!(refused(&[f64::NAN, 0.5]), BadData::Number { .. }));
    assert!(matches!(refused(&[0.5, 0.6]), BadData::Total { .. }));
    let empty = ArrayD::zeros(IxDyn(&[0]));
    assert_eq!(of_tables(&empty, &empty), Err(BadData::Empty { what: "q" }));
}

// ---------------------------------------------------------------------------------------------------------
// forward-kl-moment-matching

/// A random family over `n` outcomes with `m` statistics, with one outcome that the base measure excludes.
fn random_family(rng: &mut StdRng, n: usize, m: usize) -> ExponentialFamily {
    let statistics = Array2::from_shape_simple_fn((n, m), || rng.random_range(-1.0..1.0));
    let mut base = Array1::from_shape_simple_fn(n, || rng.random_range(0.1..1.0));
    base[n - 1] = 0.0;
    let total = base.sum();
    ExponentialFamily::new(statistics, base / total).unwrap()
}

/// Probabilities of n outcomes, the last and one more of them 0.
fn random_outcomes(rng: &mut StdRng, n: usize) -> Array1<f64> {
    let mut p = Array1::from_shape_simple_fn(n, || rng.random_range(0.1..1.0));
    p[n - 1] = 0.0;
    p[1] = 0.0;
    let total = p.sum();
    p / total
}

/// KL(p ‖ q_η) on the tape, over the outcomes that p allows.
fn forward_divergence<'t>(
    family: &ExponentialFamily,
    p: &Array1<f64>,
    natural: Var<'t, f64>,
) -> Var<'t, f64> {
    let allowed: Vec<usize> = (0..p.len()).filter(|&i| p[i] > 0.0).collect();
    let p = p.select(Axis(0), &allowed);
    let entropy = -p.iter().map(|p| p * p.ln()).sum::<f64>();
    let log_q = family.log_probabilities(natural).gather(&allowed);
    -(log_q * natural.tape().constant(p)).sum() - entropy
}

#[test]
fn forward_kl_moment_matching_by_hand() {
    let mut rng = StdRng::seed_from_u64(81);
    let (mut gradient, mut value) = (Worst::default(), Worst::default());
    let mut checked = Checked::default();
    for (n, m) in [(4, 1), (6, 2), (9, 4)] {
        let (family, p) = (random_family(&mut rng, n, m), random_outcomes(&mut rng, n));
        let natural = random(&mut rng, &[m]);
        let tape = Tape::new();
        let eta = tape.variable(natural.clone());
        let divergence = forward_divergence(&family, &p, eta);
        let q = owned(family.log_probabilities(eta).value()).mapv(f64::exp);
        value.number(
            of_tables(&p.clone().into_dyn(), &q).unwrap(),
            divergence.item(),
            1.0,
        );
        let q = q.into_dimensionality().unwrap();
        let by_hand = family.moments(&q) - family.moments(&p);
        gradient.entries(
            &owned(tape.gradients(divergence).wrt(eta)),
            &by_hand.into_dyn(),
        );
        let check = Check::new("forward-kl-moment-matching");
        let point = [natural];
        checked.add(
            check
                .run(&point, |v| forward_divergence(&family, &p, v[0]))
                .unwrap(),
        );
        checked.add(
            check
                .run_second_order(&point, |v| forward_divergence(&family, &p, v[0]))
                .unwrap(),
        );
    }
    value.within(REARRANGED, "value: enumeration");
    gradient.within(1e-12, "∇ KL(p ‖ q) = E_q T - E_p T");
    checked.tell("first and second order");
}

#[test]
fn forward_kl_moment_matching_projects_onto_the_family() {
    let mut rng = StdRng::seed_from_u64(82);
    let mut worst = Worst::default();
    let mut steps = 0;
    for (n, m) in [(4, 1), (6, 2), (9, 4)] {
        for _ in 0..5 {
            let (family, p) = (random_family(&mut rng, n, m), random_outcomes(&mut rng, n));
            let nearest = match family.project(&p) {
                Ok(nearest) => nearest,
                // Few outcomes and many statistics: the moments may lie on the border.
                Err(NoProjection::OnTheBorder { .. }) => continue,
                Err(other) => panic!("{other}"),
            };
            steps = steps.max(nearest.iterations);
            let (found, wanted) = (family.moments(&nearest.probabilities), family.moments(&p));
            worst.entries(&found.into_dyn(), &wanted.into_dyn());
            // Pythagoras: KL(p ‖ r) = KL(p ‖ q) + KL(q ‖ r) for every other member r.
            let tape = Tape::new();
            let eta = tape.constant(
                &nearest.natural
                    + &random(&mut rng, &[m])
                        .into_dimensionality::<ndarray::Ix1>()
                        .unwrap(),
            );
            let r = owned(family.log_probabilities(eta).value()).mapv(f64::exp);
            let q = nearest.probabilities.clone().into_dyn();
            let whole = of_tables(&p.clone().into_dyn(), &r).unwrap();
            let parts = nearest.divergence + of_tables(&q, &r).unwrap();
            worst.number(parts, whole, 1.0);
        }
    }
    println!("at most {steps} Newton steps");
    worst.within(1e-10, "moments of q = moments of p; Pythagoras");
}

#[test]
fn forward_kl_moment_matching_on_a_quadrature_rule_is_the_gaussian_with_the_moments() {
    // T = (x, x²) on a fine grid: the nearest member to a skewed p is the Gaussian with p's mean and variance.
    let n = 2001;
    let x = Array1::linspace(-12.0, 12.0, n);
    let family = ExponentialFamily::new(
        Array2::from_shape_fn((n, 2), |(i, j)| f64::powi(x[i], j as i32 + 1)),
        Array1::from_elem(n, 1.0 / n as f64),
    )
    .unwrap();
    let target = Mixture::new(&[0.3, 0.7], &[-1.5, 1.0], &[0.5, 0.9]).unwrap();
    let tape = Tape::new();
    let points = x.clone().insert_axis(Axis(1));
    let density = owned(target.log_density(tape.constant(points)).value()).mapv(f64::exp);
    let p: Array1<f64> = density.into_dimensionality().unwrap();
    let total = p.sum();
    let nearest = family.project(&(p / total)).unwrap();
    let (mean, variance) = (target.mean(), target.variance());
    let mut worst = Worst::default();
    worst.number(nearest.natural[0], mean / variance, 1.0);
    worst.number(nearest.natural[1], -0.5 / variance, 1.0);
    // By descent on the tape, over the target's own grid.
    let grid = Grid {
        lower: vec![-12.0],
        upper: vec![12.0],
        points: n,
    };
    let target = Target::on_grid(|x| target.log_density(x), &grid).unwrap();
    let closed = target.forward_projection(Shape::Full).unwrap();
    for start in [
        Moments::round(arr1(&[0.0]), 1.0),
        Moments::round(arr1(&[4.0]), 0.3),
    ] {
        let fit = target
            .forward_fit(Shape::Full, &start, &Effort::default())
            .unwrap();
        println!("forward fit in {} steps", fit.iterations);
        worst.number(fit.q.mean[0], mean, 1.0);
        worst.number(fit.q.covariance[[0, 0]], variance, 1.0);
        worst.number(fit.divergence, nearest.divergence, 1.0);
        worst.number(fit.divergence, closed.divergence, 1.0);
        assert!(fit.minimum);
    }
    worst.number(target.log_normaliser(), 0.0, 1.0);
    worst.within(1e-9, "natural parameters, descent and closed form agree");
}

#[test]
fn forward_kl_moment_matching_is_maximum_likelihood() {
    // Counts 0 to 6 with the statistic k: binomials. The most likely success probability is the mean over 6.
    let mut rng = StdRng::seed_from_u64(84);
    let n = 100_000;
    let success: f64 = 0.3;
    let choose = [1.0, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0];
    let family = ExponentialFamily::new(
        Array2::from_shape_fn((7, 1), |(k, _)| k as f64),
        arr1(&choose) / 64.0,
    )
    .unwrap();
    let mut counts = Array1::<f64>::zeros(7);
    for _ in 0..n {
        let k = (0..6).filter(|_| rng.random_bool(success)).count();
        counts[k] += 1.0;
    }
    let nearest = family.maximum_likelihood(&counts).unwrap();
    let mean = counts
        .iter()
        .enumerate()
        .map(|(k, c)| k as f64 * c)
        .sum::<f64>()
        / n as f64;
    let logit = |p: f64| (p / (1.0 - p)).ln();
    assert!((nearest.natural[0] - logit(mean / 6.0)).abs() < 1e-12);
    // The estimate's variance is 1 over n times the Fisher information, the variance of k.
    let error = (1.0 / (n as f64 * 6.0 * success * (1.0 - success))).sqrt();
    let distance = (nearest.natural[0] - logit(success)) / error;
    println!("natural parameter of {n} draws: {distance:+.2} standard errors from the truth");
    assert!(distance.abs() <= 4.0);
    // Minus the mean log-likelihood is the divergence from the frequencies plus their entropy, for every parameter.
    let frequencies = &counts / n as f64;
    let entropy = -frequencies
        .iter()
        .filter(|f| **f > 0.0)
        .map(|f| f * f.ln())
        .sum::<f64>();
    for eta in [-2.0, 0.0, nearest.natural[0]] {
        let tape = Tape::new();
        let log_q = owned(
            family
                .log_probabilities(tape.constant(arr1(&[eta])))
                .value(),
        );
        let log_likelihood: f64 = counts.iter().zip(&log_q).map(|(c, l)| c * l).sum();
        let divergence = of_tables(&frequencies.clone().into_dyn(), &log_q.mapv(f64::exp)).unwrap();
        assert!((log_likelihood / n as f64 + divergence + entropy).abs() < 1e-12);
    }
    // Samples of a Gaussian: the likeliest one has their mean and their variance with n, not n - 1, below.
    let points = arr2(&[[1.0], [2.0], [6.0]]);
    let moments = Moments::of(&Nodes::samples(points).unwrap());
    assert!((moments.mean[0] - 3.0).abs() < 1e-15);
    assert!((moments.covariance[[0, 0]] - 14.0 / 3.0).abs() < 1e-14);
}

#[test]
fn forward_kl_moment_matching_says_when_there_is_no_best() {
    let line = |n: usize| Array2::from_shape_fn((n, 1), |(k, _)| k as f64);
    let even = |n: usize| Array1::from_elem(n, 1.0 / n as f64);
    let family = ExponentialFamily::new(line(3), even(3)).unwrap();
    // All draws alike: η would have to be infinite.
    let border = family.maximum_likelihood(&arr1(&[0.0, 0.0, 5.0]));
    assert!(
        matches!(border, Err(NoProjection::OnTheBorder { .. })),
        "{border:?}"
    );
    assert_eq!(
        family.maximum_likelihood(&Array1::zeros(3)),
        Err(NoProjection::Table(BadData::Empty { what: "counts" }))
    );
    assert!(matches!(
        family.project(&arr1(&[0.5, 0.6, 0.0])),
        Err(NoProjection::Table(_))
    ));
    // A constant statistic, one that is twice another, an outcome that no member allows.
    let constant = ExponentialFamily::new(Array2::ones((3, 1)), even(3)).unwrap();
    assert!(matches!(
        constant.project(&even(3)),
        Err(NoProjection::Dependent(_))
    ));
    let twice = Array2::from_shape_fn((4, 2), |(k, j)| (k * (j + 1)) as f64);
    let twice = ExponentialFamily::new(twice, even(4)).unwrap();
    let error = twice.project(&even(4)).unwrap_err();
    assert!(
        matches!(error, NoProjection::Dependent(reason) if reason.pivot == 1),
        "{error}"
    );
    let base = arr1(&[0.5, 0.5, 0.0]);
    let excluded = ExponentialFamily::new(line(3), base)
        .unwrap()
        .project(&even(3));
    assert_eq!(excluded, Err(NoProjection::Excluded(2)));
    let bad = ExponentialFamily::new(arr2(&[[0.0], [f64::NAN]]), even(2));
    assert_eq!(bad, Err(NoProjection::Statistic(1)));
}

// ---------------------------------------------------------------------------------------------------------
// reverse-kl-gradient

/// log N(z; m, C) as a target of fits.
fn gaussian_target<'t>(p: &Moments, z: Var<'t, f64>) -> Var<'t, f64> {
    p.gaussian(z.tape()).unwrap().log_density(z)
}

/// ∇ KL(q ‖ p) of the diagonal q with φ = (μ, s) in closed form, for a Gaussian p: Λ(μ - m), and ½(Λ_jj e^s_j - 1).
fn reverse_gradient_by_hand(phi: &Array1<f64>, p: &Moments) -> Array1<f64> {
    let d = p.mean.len();
    let precision = inverse(&p.covariance);
    let mean = precision.dot(&(&phi.slice(ndarray::s![..d]) - &p.mean));
    let scale = Array1::from_shape_fn(d, |j| 0.5 * (precision[[j, j]] * phi[d + j].exp() - 1.0));
    ndarray::concatenate![Axis(0), mean, scale]
}

#[test]
fn reverse_kl_gradient_by_score_by_path_and_by_hand() {
    let mut rng = StdRng::seed_from_u64(91);
    let mut worst = Worst::default();
    for d in [1, 2, 3] {
        for _ in 0..4 {
            let p = random_moments(&mut rng, d);
            let phi = Array1::from_shape_simple_fn(2 * d, || rng.random_range(-1.0..1.0));
            let (family, noise) = (DiagonalFamily { dimensions: d }, Nodes::gauss_hermite(8, d));
            let expected = reverse_gradient_by_hand(&phi, &p).into_dyn();
            let score =
                reverse_gradient_by_score(&family, &phi, &noise, |z| gaussian_target(&p, z));
            let path = reverse_gradient_by_path(&family, &phi, &noise, |z| gaussian_target(&p, z));
            worst.entries(&score.unwrap().into_dyn(), &expected);
            worst.entries(&path.unwrap().into_dyn(), &expected);
        }
    }
    worst.within(1e-12, "score = path = closed form, for Gaussian targets");
}

#[test]
fn reverse_kl_gradient_for_a_target_without_a_closed_form() {
    // Against the finite difference of the divergence itself, by the gradient checker, and one road against the other.
    let mut rng = StdRng::seed_from_u64(92);
    let target = Mixture::new(&[0.3, 0.7, 0.0], &[-1.5, 1.0, 9.0], &[0.5, 0.9, 1.0]).unwrap();
    let (family, noise) = (
        DiagonalFamily { dimensions: 1 },
        Nodes::standard_normal(801, 1),
    );
    let divergence = |phi: Var<'_, f64>| {
        let tape = phi.tape();
        let z = family.sample(phi, tape.constant(noise.points().clone()));
        let difference = family.log_density(phi, z) - target.log_density(z);
        (difference * tape.constant(noise.weights().clone()))
            .sum()
            .item()
    };
    let mut worst = Worst::default();
    for _ in 0..5 {
        let phi = Array1::from_shape_simple_fn(2, || rng.random_range(-1.0..1.0));
        let score =
            reverse_gradient_by_score(&family, &phi, &noise, |z| target.log_density(z)).unwrap();
        let path =
            reverse_gradient_by_path(&family, &phi, &noise, |z| target.log_density(z)).unwrap();
        for j in 0..2 {
            // Fourth-order central differences.
            let h = 1e-3;
            let at = |steps: f64| {
                let mut moved = phi.clone();
                moved[j] += steps * h;
                divergence(Tape::new().constant(moved))
            };
            let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * h);
            worst.number(score[j], slope, 1.0);
            worst.number(path[j], slope, 1.0);
        }
    }
    worst.within(1e-9, "score = path = finite difference, for a mixture");
}

#[test]
fn reverse_kl_gradient_from_samples() {
    // 100 batches of 1000 draws: the mean of their estimates, by both roads, within 4 standard errors.
    let mut rng = StdRng::seed_from_u64(93);
    let p = random_moments(&mut rng, 2);
    let family = DiagonalFamily { dimensions: 2 };
    let phi = arr1(&[0.3, -0.6, 0.2, -0.4]);
    let exact = reverse_gradient_by_hand(&phi, &p);
    let (mut by_score, mut by_path) = (vec![Vec::new(); 4], vec![Vec::new(); 4]);
    for _ in 0..100 {
        let tape = Tape::new();
        let noise = owned(standard_normal(&tape, &[1000, 2], &mut rng).value());
        let noise = Nodes::samples(noise.into_dimensionality().unwrap()).unwrap();
        let score =
            reverse_gradient_by_score(&family, &phi, &noise, |z| gaussian_target(&p, z)).unwrap();
        let path =
            reverse_gradient_by_path(&family, &phi, &noise, |z| gaussian_target(&p, z)).unwrap();
        for j in 0..4 {
            by_score[j].push(score[j]);
            by_path[j].push(path[j]);
        }
    }
    for j in 0..4 {
        Statistics::of(&by_score[j]).agree_with(exact[j], &format!("score, parameter {j}"));
        Statistics::of(&by_path[j]).agree_with(exact[j], &format!("path, parameter {j}"));
    }
}

#[test]
fn reverse_kl_gradient_of_classes_by_enumeration() {
    // Σ_k q_k ∇log q_k (log q_k - log p_k), with ∇_a log q_k = e_k - q, is the gradient of kl-categorical.
    let mut rng = StdRng::seed_from_u64(94);
    let mut worst = Worst::default();
    for k in [2, 3, 6] {
        let [a, b] = [0, 1].map(|_| random(&mut rng, &[k]).into_raw_vec_and_offset().0);
        let (q, p) = (softmax(&a), softmax(&b));
        let (_, [found, _]) = at_logits(categorical, &a, &b);
        for j in 0..k {
            let terms = (0..k).map(|i| {
                let score = f64::from(u8::from(i == j)) - q[j];
                q[i] * score * (q[i] / p[i]).ln()
            });
            worst.number(found[j], terms.sum(), 1.0);
        }
    }
    worst.within(REARRANGED, "enumerated score = autodiff");
}

#[test]
fn reverse_kl_gradient_is_refused_where_the_divergence_is_infinite() {
    // A target that is 0 for z < 0: every Gaussian has mass there.
    let noise = Nodes::gauss_hermite(8, 1);
    let family = DiagonalFamily { dimensions: 1 };
    let phi = arr1(&[0.5, 0.0]);
    let score = reverse_gradient_by_score(&family, &phi, &noise, |z| z.ln().sum_last());
    let path = reverse_gradient_by_path(&family, &phi, &noise, |z| z.ln().sum_last());
    assert!(score.is_err() && path.is_err());
    let start = Moments::round(arr1(&[0.5]), 1.0);
    let fit = reverse_fit(
        |z| z.ln().sum_last(),
        Shape::Full,
        &start,
        &Effort::default(),
    );
    assert_eq!(fit, Err(NoFit::NotFinite));
}

// ---------------------------------------------------------------------------------------------------------
// mean-field-variance

fn diagonal(mean: &Array1<f64>, variances: &Array1<f64>) -> Moments {
    Moments {
        mean: mean.clone(),
        covariance: Array2::from_diag(variances),
    }
}

#[test]
fn mean_field_variance_in_closed_form() {
    let mut rng = StdRng::seed_from_u64(101);
    let mut worst = Worst::default();
    for k in [1, 2, 3, 6] {
        let p = random_moments(&mut rng, k);
        let fits = mean_field(&p.covariance).unwrap();
        let precision = inverse(&p.covariance);
        for j in 0..k {
            worst.number(fits.reverse[j], 1.0 / precision[[j, j]], fits.reverse[j]);
            worst.number(fits.forward[j], p.covariance[[j, j]], fits.forward[j]);
            assert!(fits.reverse[j] <= fits.forward[j] * (1.0 + 1e-14));
        }
        let (reverse, forward) = (
            diagonal(&p.mean, &fits.reverse),
            diagonal(&p.mean, &fits.forward),
        );
        worst.number(fits.reverse_divergence, full_of(&reverse, &p), 1.0);
        // What the fits lose is entropy that is missing, or too much.
        let entropy = |m: &Moments| m.gaussian(&Tape::new()).unwrap().entropy().item();
        worst.number(
            entropy(&reverse),
            entropy(&p) - fits.reverse_divergence,
            1.0,
        );
        worst.number(
            entropy(&forward),
            entropy(&p) + fits.forward_divergence,
            1.0,
        );
        // In two dimensions both lose the same.
        let apart = (fits.reverse_divergence - fits.forward_divergence).abs();
        assert_eq!(apart < 1e-14, k <= 2, "{k} dimensions: {apart}");
        worst.number(fits.forward_divergence, full_of(&p, &forward), 1.0);
        // No other diagonal Gaussian is nearer, in either direction.
        for _ in 0..50 {
            let other = |best: &Moments| {
                let factors = Array1::from_shape_simple_fn(k, || rng.random_range(0.7..1.4));
                Moments {
                    covariance: &best.covariance * &factors,
                    ..best.clone()
                }
            };
            let others = [&reverse, &forward].map(other);
            assert!(full_of(&others[0], &p) >= fits.reverse_divergence);
            assert!(full_of(&p, &others[1]) >= fits.forward_divergence);
        }
    }
    worst.within(1e-12, "closed forms = kl-gaussian-full");
    // Equal exactly if the dimensions are independent.
    let fits = mean_field(&Array2::from_diag(&arr1(&[0.5, 3.0]))).unwrap();
    let difference = &fits.reverse - &fits.forward;
    assert!(difference.iter().all(|d| d.abs() < 1e-15), "{difference}");
    assert!(fits.reverse_divergence.abs() + fits.forward_divergence.abs() < 1e-15);
    assert!(mean_field(&arr2(&[[1.0, 1.0], [1.0, 1.0]])).is_err());
}

#[test]
fn mean_field_variance_by_fits() {
    // The general fits know nothing of Gaussians' algebra: they see a log-density.
    let mut rng = StdRng::seed_from_u64(102);
    let mut worst = Worst::default();
    for rho in [0.0, 0.5, -0.9] {
        let p = Moments {
            mean: Array1::from_shape_simple_fn(2, || rng.random_range(-0.5..0.5)),
            covariance: arr2(&[[1.0, 0.6 * rho], [0.6 * rho, 0.36]]),
        };
        let fits = mean_field(&p.covariance).unwrap();
        let start = Moments::round(arr1(&[0.4, -0.4]), 0.8);
        let effort = Effort {
            nodes: Some(21),
            ..Effort::default()
        };
        let reverse =
            reverse_fit(|z| gaussian_target(&p, z), Shape::Diagonal, &start, &effort).unwrap();
        let grid = Grid {
            lower: vec![-9.0, -6.0],
            upper: vec![9.0, 6.0],
            points: 101,
        };
        let target = Target::on_grid(|z| gaussian_target(&p, z), &grid).unwrap();
        let forward = target
            .forward_fit(Shape::Diagonal, &start, &effort)
            .unwrap();
        for j in 0..2 {
            worst.number(reverse.q.covariance[[j, j]], fits.reverse[j], 1.0);
            worst.number(forward.q.covariance[[j, j]], fits.forward[j], 1.0);
            worst.number(reverse.q.mean[j], p.mean[j], 1.0);
            worst.number(forward.q.mean[j], p.mean[j], 1.0);
        }
        worst.number(reverse.divergence, fits.reverse_divergence, 1.0);
        worst.number(forward.divergence, fits.forward_divergence, 1.0);
        println!(
            "ρ = {rho}: {} and {} steps",
            reverse.iterations, forward.iterations
        );
        // With a full covariance both fits are the target.
        let full = reverse_fit(|z| gaussian_target(&p, z), Shape::Full, &start, &effort).unwrap();
        worst.entries(
            &full.q.covariance.into_dyn(),
            &p.covariance.clone().into_dyn(),
        );
        worst.number(full.divergence, 0.0, 1.0);
    }
    worst.within(1e-8, "fits by descent = closed forms");
}

#[test]
fn mean_field_variance_too_narrow_is_not_a_law() {
    // A narrow and a broad component with one mean: of the two reverse fits the one on the broad component is wider than
    // the target.
    let target = Mixture::new(&[0.5, 0.5], &[0.0, 0.0], &[0.05, 1.0]).unwrap();
    let effort = Effort::default();
    let start = Moments::round(arr1(&[0.0]), 1.0);
    let fit = reverse_fit(|z| target.log_density(z), Shape::Full, &start, &effort).unwrap();
    let (own, its) = (target.variance(), fit.q.covariance[[0, 0]]);
    println!("variance of the target {own:.3}, of a reverse fit {its:.3}");
    assert!(
        fit.minimum && (its / own - 1.48).abs() < 0.01,
        "{}",
        its / own
    );
}

#[test]
fn mean_field_variance_divergences_are_never_negative() {
    // Nearly independent dimensions: a difference of determinants would round below 0.
    let mut rng = StdRng::seed_from_u64(88);
    for _ in 0..300 {
        let d = rng.random_range(1..5);
        let scales: Vec<f64> = (0..d)
            .map(|_| rng.random_range(-8.0f64..8.0).exp())
            .collect();
        let coupling = 10f64.powf(rng.random_range(-12.0..-4.0));
        let covariance = Array2::from_shape_fn((d, d), |(i, j)| {
            let correlation = if i == j { 1.0 } else { coupling };
            correlation * scales[i] * scales[j]
        });
        let fits = mean_field(&covariance).unwrap();
        // log |1 + N| for a correlation matrix with equal entries, to second order in them.
        let expected = 0.25 * (d * (d - 1)) as f64 * coupling * coupling;
        for divergence in [fits.reverse_divergence, fits.forward_divergence] {
            assert!(divergence >= 0.0);
            assert!(
                (divergence - expected).abs() <= 1e-3 * expected,
                "{divergence:e} {expected:e}"
            );
        }
    }
}

// ---------------------------------------------------------------------------------------------------------
// mode-covering-mode-seeking

/// All minima of the reverse fit to a pair of components of deviation 1.
fn minima(weight: f64, separation: f64) -> Vec<Fit> {
    let target = Mixture::pair(weight, separation).unwrap();
    let grid = Grid {
        lower: vec![-3.0],
        upper: vec![separation + 3.0],
        points: 2,
    };
    let effort = Effort {
        nodes: Some(301),
        ..Effort::default()
    };
    let found = reverse_minima(
        |z| target.log_density(z),
        Shape::Full,
        &starts(&grid, 5),
        &effort,
    );
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    found.fits
}

#[test]
fn mode_covering_mode_seeking_minima_are_as_curved_as_the_target_is_on_average() {
    // E_q V' = 0 and E_q V'' = 1/σ², with V = -log p differentiated on the tape.
    let mut worst = Worst::default();
    let noise = Nodes::standard_normal(801, 1);
    for (weight, separation) in [(0.5, 3.0), (0.5, 6.0), (0.3, 7.0), (0.1, 4.0)] {
        let target = Mixture::pair(weight, separation).unwrap();
        for fit in minima(weight, separation) {
            let (mean, deviation) = (fit.q.mean[0], fit.q.covariance[[0, 0]].sqrt());
            let tape = Tape::new();
            let z = tape.variable(noise.points() * deviation + mean);
            let slope = tape
                .differentiable_gradients(-target.log_density(z).sum())
                .wrt(z);
            let curvature = tape.gradients(slope.sum()).wrt(z);
            let expectation = |values: &ArrayD<f64>| -> f64 {
                values.iter().zip(noise.weights()).map(|(v, w)| v * w).sum()
            };
            worst.number(expectation(&owned(slope.value())), 0.0, 1.0);
            let curvature = expectation(&owned(curvature));
            worst.number(curvature * deviation * deviation, 1.0, 1.0);
        }
    }
    worst.within(1e-7, "E_q V' = 0, σ² E_q V'' = 1");
}

#[test]
fn mode_covering_mode_seeking_far_apart_the_middle_is_still_a_minimum() {
    // Where the components meet, log p turns within 1/d: as log p gets sharper, the rule has to get finer.
    for (separation, nodes) in [(12.0f64, 2001), (20.0, 8001)] {
        let c = 0.5 * separation * std::f64::consts::FRAC_2_PI.sqrt();
        let predicted = 0.5 * (c + (c * c + 4.0).sqrt());
        let target = Mixture::pair(0.5, separation).unwrap();
        let start = Moments::round(arr1(&[0.5 * separation + 0.1]), 0.95 * predicted);
        let effort = Effort {
            nodes: Some(nodes),
            ..Effort::default()
        };
        let fit = reverse_fit(|z| target.log_density(z), Shape::Full, &start, &effort);
        let fit = fit.unwrap();
        let deviation = fit.q.covariance[[0, 0]].sqrt();
        println!("{separation} apart: deviation {deviation:.4}, predicted {predicted:.4}");
        assert!(fit.minimum && (fit.q.mean[0] - 0.5 * separation).abs() < 1e-6);
        assert!((deviation - predicted).abs() < 0.001 * predicted);
        assert!(fit.quadrature_error < 1e-8);
    }
}

#[test]
fn mode_covering_mode_seeking_takes_more_nodes_where_it_needs_them() {
    // In the plane, 12 apart along one axis: the nodes to begin with are too few for the wide q in the middle.
    fn log_p<'t>(z: Var<'t, f64>) -> Var<'t, f64> {
        let (tape, x, y) = (z.tape(), z.slice(1, 0..1), z.slice(1, 1..2));
        let both = [0.0, 12.0].map(|m| (x - m).square().sum_last() * -0.5);
        let mixture = tape.stack(0, &both).logsumexp_axes(&[0]) - 2f64.ln();
        mixture - y.square().sum_last() * 0.5 - std::f64::consts::TAU.ln()
    }
    let start = Moments {
        mean: arr1(&[6.0, 0.0]),
        covariance: arr2(&[[16.0, 0.0], [0.0, 1.0]]),
    };
    let effort = Effort::default();
    let fit = reverse_fit(log_p, Shape::Full, &start, &effort).unwrap();
    let c = 6.0 * std::f64::consts::FRAC_2_PI.sqrt();
    let predicted = (0.5 * (c + (c * c + 4.0).sqrt())).powi(2);
    println!("12 apart: {:?}, predicted {predicted:.4}", fit.q);
    assert!(fit.minimum && fit.quadrature_error < effort.quadrature);
    assert!((fit.q.mean[0] - 6.0).abs() < 1e-6);
    assert!((fit.q.covariance[[0, 0]] / predicted - 1.0).abs() < 0.01);
    // As many as one asks for, and no more.
    let few = Effort {
        nodes: Some(5),
        ..effort
    };
    let refused = reverse_fit(log_p, Shape::Full, &start, &few).unwrap_err();
    assert!(matches!(refused, NoFit::Quadrature(error) if error > 0.1));
    assert!(refused.to_string().contains("take more nodes"));
}

#[test]
fn mode_covering_mode_seeking_narrow_and_correlated_targets_are_reached() {
    // From the standard Gaussian, of which the target is a small part.
    let start = Moments::round(arr1(&[0.0, 0.0]), 1.0);
    for (rho, scale) in [
        (0.0, 1e-6),
        (0.9999, 1e-3),
        (-0.999999, 1.0),
        (-0.999999, 1e-3),
        (-0.999999, 1e3),
    ] {
        let target = Moments {
            mean: arr1(&[1.0, -0.5]),
            covariance: arr2(&[[1.0, rho * scale], [rho * scale, scale * scale]]),
        };
        let effort = Effort {
            nodes: Some(21),
            ..Effort::default()
        };
        let fit = reverse_fit(
            |z| gaussian_target(&target, z),
            Shape::Full,
            &start,
            &effort,
        );
        let fit = fit.unwrap_or_else(|error| panic!("ρ = {rho}, scale {scale}: {error}"));
        println!("ρ = {rho}, scale {scale}: {} steps", fit.iterations);
        let scales = [1.0, scale];
        for i in 0..2 {
            assert!((fit.q.mean[i] - target.mean[i]).abs() < 1e-6 * scales[i]);
            for j in 0..2 {
                let off = fit.q.covariance[[i, j]] - target.covariance[[i, j]];
                assert!(off.abs() < 1e-6 * scales[i] * scales[j], "{:?}", fit.q);
            }
        }
    }
    // One dimension, a millionth as wide as the start.
    fn narrow<'t>(z: Var<'t, f64>) -> Var<'t, f64> {
        ((z - 1.0) * 1e6).square().sum_last() * -0.5
    }
    let start = Moments::round(arr1(&[0.0]), 1.0);
    let fit = reverse_fit(narrow, Shape::Full, &start, &Effort::default());
    // Its divergence at the start is 10¹²: an error of the quadrature that is nothing beside that is not one at the end.
    let fit = fit.unwrap();
    assert!((fit.q.covariance[[0, 0]] * 1e12 - 1.0).abs() < 1e-6);
}

/// KL(N(m, e^2l) ‖ pair) by the trapezium rule over z, without the crate.
fn pair_divergence(weight: f64, separation: f64, m: f64, l: f64) -> f64 {
    let normal = |z: f64| (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
    let (n, sigma) = (400, l.exp());
    let width = 8.0 * sigma;
    let sum: f64 = (0..=n)
        .map(|i| m - width + 2.0 * width * f64::from(i) / f64::from(n))
        .map(|z| {
            let q = normal((z - m) / sigma) / sigma;
            let p = weight * normal(z) + (1.0 - weight) * normal(z - separation);
            // p underflows only where q is negligible.
            if q < 1e-250 || p == 0.0 {
                0.0
            } else {
                q * (q / p).ln()
            }
        })
        .sum();
    sum * 2.0 * width / f64::from(n)
}

/// Minima of the divergence on a lattice of means and log-deviations: nodes that are lower than their eight neighbours.
fn lattice_minima(weight: f64, separation: f64) -> Vec<(f64, f64)> {
    let (columns, rows) = (72, 44);
    let at = |i: i32, j: i32| {
        let m = -1.0 + (separation + 2.0) * f64::from(i) / f64::from(columns);
        (m, -0.4 + 1.9 * f64::from(j) / f64::from(rows))
    };
    let values = Array2::from_shape_fn((columns as usize, rows as usize), |(i, j)| {
        let (m, l) = at(i as i32, j as i32);
        pair_divergence(weight, separation, m, l)
    });
    let mut found = Vec::new();
    for i in 1..columns - 1 {
        for j in 1..rows - 1 {
            let value = values[[i as usize, j as usize]];
            let lowest = (-1..=1).all(|di| {
                (-1..=1).all(|dj| values[[(i + di) as usize, (j + dj) as usize]] >= value)
            });
            if lowest {
                found.push(at(i, j));
            }
        }
    }
    found
}

#[test]
fn mode_covering_mode_seeking_finds_the_minima_of_a_lattice() {
    for (weight, separation, count) in [(0.5, 2.0, 1), (0.5, 6.0, 3), (0.3, 7.0, 2), (0.1, 4.0, 1)]
    {
        let found = minima(weight, separation);
        let lattice = lattice_minima(weight, separation);
        assert_eq!(
            (found.len(), lattice.len()),
            (count, count),
            "{found:?} {lattice:?}"
        );
        for fit in &found {
            let (mean, log_deviation) = (fit.q.mean[0], 0.5 * fit.q.covariance[[0, 0]].ln());
            let near =
                |&(m, l): &(f64, f64)| (m - mean).abs() < 0.2 && (l - log_deviation).abs() < 0.1;
            assert!(
                lattice.iter().any(near),
                "{mean} {log_deviation} {lattice:?}"
            );
            let direct = pair_divergence(weight, separation, mean, log_deviation);
            assert!(
                (fit.divergence - direct).abs() < 1e-9,
                "{} {direct}",
                fit.divergence
            );
            assert!(fit.quadrature_error < 1e-8, "{:e}", fit.quadrature_error);
        }
    }
}

#[test]
fn mode_covering_mode_seeking_forward_covers_and_reverse_chooses() {
    let (weight, separation) = (0.5, 6.0);
    let target = Mixture::pair(weight, separation).unwrap();
    let grid = Grid {
        lower: vec![-10.0],
        upper: vec![16.0],
        points: 1001,
    };
    let on_grid = Target::on_grid(|z| target.log_density(z), &grid).unwrap();
    let start = Moments::round(arr1(&[1.0]), 1.0);
    let forward = on_grid
        .forward_fit(Shape::Full, &start, &Effort::default())
        .unwrap();
    assert!((forward.q.mean[0] - target.mean()).abs() < 1e-8);
    assert!((forward.q.covariance[[0, 0]] - target.variance()).abs() < 1e-8);
    assert!((target.variance() - 10.0).abs() < 1e-15);
    let reverse = minima(weight, separation);
    println!(
        "forward: {:?}, divergence {:.4}",
        forward.q, forward.divergence
    );
    for fit in &reverse {
        let q = (fit.q.mean[0], fit.q.covariance[[0, 0]].sqrt());
        println!(
            "reverse: mean {:.4}, deviation {:.4}, divergence {:.4}",
            q.0, q.1, fit.divergence
        );
    }
    // On a component the divergence is nearly -log of its weight; the third minimum, in the middle, is wide.
    assert_eq!(reverse.len(), 3);
    for fit in &reverse[..2] {
        assert!((fit.divergence - 2f64.ln()).abs() < 0.01);
    }
    let middle = &reverse[2];
    assert!((middle.q.mean[0] - 3.0).abs() < 1e-6 && middle.q.covariance[[0, 0]] > 7.0);
    let digits = |x: f64| (x * 1e3).round() / 1e3;
    let found = [&forward, &reverse[0], middle].map(|fit| digits(fit.divergence));
    assert_eq!(found, [0.462, 0.689, 0.841]);
}

#[test]
fn mode_covering_mode_seeking_depends_on_separation_and_weights() {
    // Close modes: one minimum, in the middle, although the target has two modes as soon as they are 2 apart.
    for separation in [1.0, 2.5, 4.0] {
        let found = minima(0.5, separation);
        assert_eq!(found.len(), 1);
        assert!((found[0].q.mean[0] - 0.5 * separation).abs() < 1e-6);
        // Wider than a component, narrower than the target.
        let variance = found[0].q.covariance[[0, 0]];
        assert!(variance > 1.0 && variance < 1.0 + 0.25 * separation * separation);
    }
    let appears = separation_of_own_minimum(0.5, 1e-5).unwrap().unwrap();
    assert_eq!(
        (
            minima(0.5, appears - 0.02).len(),
            minima(0.5, appears + 0.02).len()
        ),
        (1, 3)
    );
    // Then there are three, and the one in the middle is the lowest until the modes are further apart.
    assert!((minima(0.5, appears + 0.02)[0].q.mean[0] - 0.5 * appears).abs() < 0.1);
    let gap = |separation: f64| {
        let target = Mixture::pair(0.5, separation).unwrap();
        let effort = Effort {
            nodes: Some(401),
            ..Effort::default()
        };
        let [middle, own] = [(0.5 * separation, 2.3), (0.0, 1.1)].map(|(mean, deviation)| {
            let start = Moments::round(arr1(&[mean]), deviation);
            reverse_fit(|z| target.log_density(z), Shape::Full, &start, &effort).unwrap()
        });
        assert!(middle.minimum && own.minimum && own.q.mean[0] < 0.2 * separation);
        middle.divergence - own.divergence
    };
    let (mut low, mut high) = (appears + 0.02, 6.0);
    while high - low > 1e-4 {
        let between = 0.5 * (low + high);
        if gap(between) > 0.0 {
            high = between
        } else {
            low = between
        }
    }
    println!(
        "equal weights: one minimum below {appears:.4}, three above; the modes are lowest above {high:.4}"
    );
    assert!((appears - 4.8245).abs() < 1e-4 && (high - 5.6002).abs() < 3e-4);
    // Unequal weights: the heavier component has its own minimum sooner than the lighter one, or never a fold at all.
    assert!(separation_of_own_minimum(0.0, 1e-3).is_err());
    assert!(separation_of_own_minimum(0.738, 1e-2).unwrap().is_some());
    assert!(separation_of_own_minimum(0.75, 1e-2).unwrap().is_none());
    for (weight, expected, heavier) in [(0.3, 5.252, Some(4.238)), (0.1, 5.801, None)] {
        let light = separation_of_own_minimum(weight, 1e-3).unwrap().unwrap();
        let heavy = separation_of_own_minimum(1.0 - weight, 1e-3).unwrap();
        println!(
            "weight {weight}: own minimum of the lighter from {light:.3}, of the heavier from {heavy:?}"
        );
        // Each within the tolerance above the fold.
        let close = |found: f64, expected: f64| (found - expected).abs() < 2e-3;
        assert!(close(light, expected) && heavy.is_some() == heavier.is_some());
        assert!(
            heavy
                .iter()
                .zip(&heavier)
                .all(|(&heavy, &heavier)| close(heavy, heavier))
        );
        assert_eq!(minima(weight, light - 0.05).len(), 1);
        assert_eq!(minima(weight, light + 0.05).len(), 2);
    }
}

#[test]
fn mode_covering_mode_seeking_in_the_plane() {
    // Two components at ±(2, 2): forward the moments, with correlation; reverse a component each, and where one starts
    // decides.
    fn log_p<'t>(z: Var<'t, f64>) -> Var<'t, f64> {
        let tape = z.tape();
        let [one, other] = [2.0, -2.0].map(|m| (z - m).square().sum_last() * -0.5);
        tape.stack(0, &[one, other]).logsumexp_axes(&[0]) - (2.0 * std::f64::consts::TAU).ln()
    }
    let grid = Grid {
        lower: vec![-10.0; 2],
        upper: vec![10.0; 2],
        points: 81,
    };
    let target = Target::on_grid(log_p, &grid).unwrap();
    assert!(target.log_normaliser().abs() < 1e-10);
    let start = Moments::round(arr1(&[0.5, 0.1]), 1.5);
    let effort = Effort {
        nodes: Some(41),
        ..Effort::default()
    };
    let forward = target.forward_fit(Shape::Full, &start, &effort).unwrap();
    let expected = arr2(&[[5.0, 4.0], [4.0, 5.0]]);
    assert!(
        largest(&(&forward.q.covariance - &expected)) < 1e-7,
        "{:?}",
        forward.q
    );
    let far = [arr1(&[1.5, 2.5]), arr1(&[-2.5, -1.0])].map(|mean| Moments::round(mean, 0.8));
    for shape in [Shape::Full, Shape::Diagonal] {
        let found = reverse_minima(log_p, shape, &far, &effort);
        assert_eq!(
            (found.fits.len(), found.saddles, found.failures.len()),
            (2, 0, 0)
        );
        for fit in &found.fits {
            assert!((fit.divergence - 2f64.ln()).abs() < 0.02, "{fit:?}");
            assert!((fit.q.mean[0].abs() - 2.0).abs() < 0.05);
        }
    }
}

#[test]
fn mode_covering_mode_seeking_tells_a_saddle_from_a_minimum() {
    // Two long components that cross at right angles: by symmetry a round q is stationary, and lying along one of them is
    // better.
    fn log_p<'t>(z: Var<'t, f64>) -> Var<'t, f64> {
        let tape = z.tape();
        let arms = [0.95, -0.95].map(|rho| {
            let arm = Moments {
                mean: arr1(&[0.0, 0.0]),
                covariance: arr2(&[[1.0, rho], [rho, 1.0]]),
            };
            gaussian_target(&arm, z)
        });
        tape.stack(0, &arms).logsumexp_axes(&[0]) - 2f64.ln()
    }
    let effort = Effort {
        nodes: Some(101),
        ..Effort::default()
    };
    let round = Moments::round(arr1(&[0.0, 0.0]), 0.5);
    let tilted = |covariance: f64| Moments {
        covariance: arr2(&[[0.5, covariance], [covariance, 0.5]]),
        ..round.clone()
    };
    let starts = [round.clone(), tilted(0.3), tilted(0.4), tilted(-0.3)];
    let saddle = reverse_fit(log_p, Shape::Full, &round, &effort).unwrap();
    let found = reverse_minima(log_p, Shape::Full, &starts, &effort);
    println!(
        "round: {:.4}, along an arm: {:.4}",
        saddle.divergence, found.fits[0].divergence
    );
    let digits = |x: f64| (x * 1e3).round() / 1e3;
    let divergences = [saddle.divergence, found.fits[0].divergence].map(digits);
    assert!(
        !saddle.minimum && divergences == [0.681, 0.475],
        "{divergences:?}"
    );
    // Both arms, each once.
    let counts = (found.fits.len(), found.saddles, found.failures.len());
    assert_eq!(counts, (2, 1, 0));
}

#[test]
fn mode_covering_mode_seeking_without_the_normaliser() {
    // 3.7 more in the log-density: the same q, 3.7 less in the reverse value, 3.7 in log Z.
    let target = Mixture::pair(0.3, 2.0).unwrap();
    let grid = Grid {
        lower: vec![-9.0],
        upper: vec![11.0],
        points: 401,
    };
    let (start, effort) = (Moments::round(arr1(&[0.5]), 1.5), Effort::default());
    let fits = [0.0, 3.7].map(|more| {
        let fit = reverse_fit(
            |z| target.log_density(z) + more,
            Shape::Full,
            &start,
            &effort,
        );
        let on_grid = Target::on_grid(|z| target.log_density(z) + more, &grid).unwrap();
        let forward = on_grid.forward_fit(Shape::Full, &start, &effort).unwrap();
        (fit.unwrap(), on_grid.log_normaliser(), forward.divergence)
    });
    let mut worst = Worst::default();
    let [
        (reverse, log_z, forward),
        (shifted, shifted_log_z, shifted_forward),
    ] = fits;
    worst.number(log_z, 0.0, 1.0);
    worst.number(shifted_log_z, 3.7, 1.0);
    worst.number(shifted.divergence + shifted_log_z, reverse.divergence, 1.0);
    worst.number(shifted.q.mean[0], reverse.q.mean[0], 1.0);
    worst.number(shifted_forward, forward, 1.0);
    worst.within(1e-8, "with and without the normaliser");
}

#[test]
fn mode_covering_mode_seeking_avoids_zeros_or_forces_them() {
    // Forward: q > 0 wherever p > 0, or the divergence is infinite. Reverse: q = 0 wherever p = 0.
    let p = arr1(&[0.5, 0.5, 0.0]).into_dyn();
    let narrow = arr1(&[1.0, 0.0, 0.0]).into_dyn();
    let wide = arr1(&[0.4, 0.4, 0.2]).into_dyn();
    assert_eq!(of_tables(&p, &narrow).unwrap(), f64::INFINITY);
    assert!((of_tables(&narrow, &p).unwrap() - 2f64.ln()).abs() < 1e-15);
    assert!((of_tables(&p, &wide).unwrap() - 1.25f64.ln()).abs() < 1e-15);
    assert_eq!(of_tables(&wide, &p).unwrap(), f64::INFINITY);
}

#[test]
fn mode_covering_mode_seeking_directions_that_agree() {
    // KL(N(0, 1) ‖ N(μ, 1)) = μ²/2 in both directions: equal divergences do not mean equal distributions.
    for mu in [0.5, -2.0, 10.0] {
        let [q, p] = [0.0, mu].map(|mean| Moments::round(arr1(&[mean]), 1.0));
        assert_eq!(full_of(&q, &p), full_of(&p, &q));
        assert!((full_of(&q, &p) - 0.5 * mu * mu).abs() < 1e-13 * mu * mu);
    }
    // Nor does it obey the triangle inequality: from 0 to 2 by way of 1 it is shorter.
    let at = |mean: f64| Moments::round(arr1(&[mean]), 1.0);
    assert!(
        full_of(&at(0.0), &at(2.0)) > full_of(&at(0.0), &at(1.0)) + full_of(&at(1.0), &at(2.0))
    );
}

#[test]
fn mode_covering_mode_seeking_bad_targets_are_refused() {
    let grid = |points| Grid {
        lower: vec![-5.0],
        upper: vec![5.0],
        points,
    };
    let flat = Target::on_grid(|z| z.sum_last() * 0.0, &grid(11)).unwrap_err();
    assert_eq!(flat, NoFit::CutOff(1.0));
    let nowhere = Target::on_grid(|z| z.sum_last() * 0.0 + f64::NEG_INFINITY, &grid(11));
    assert_eq!(nowhere.unwrap_err(), NoFit::NoMass);
    let root = Target::on_grid(|z| z.sqrt().sum_last(), &grid(11)).unwrap_err();
    assert_eq!(root, NoFit::Density(vec![-5.0]));
    // Targets narrower than the spacing: all mass on one node, or on so few that mass and moments are wrong.
    for deviation in [2e-5, 0.05, 0.1, 0.2, 0.4] {
        let target = Mixture::new(&[1.0], &[0.3], &[deviation]).unwrap();
        let refused = Target::on_grid(|z| target.log_density(z), &grid(11)).unwrap_err();
        assert!(matches!(refused, NoFit::Coarse(error) if error > 0.01));
        assert!(refused.to_string().contains("take more points"));
    }
    let fits = Target::on_grid(|z| z.square().sum_last() * -2.0, &grid(41)).unwrap();
    let projection = fits.forward_projection(Shape::Full).unwrap();
    assert!((projection.q.covariance[[0, 0]] - 0.25).abs() < 1e-9);
    assert!(projection.quadrature_error > 0.0 && projection.quadrature_error < 0.01);
    // No minimum: the density grows without end.
    let start = Moments::round(arr1(&[0.0]), 1.0);
    let runs_off = reverse_fit(|z| z.sum_last(), Shape::Full, &start, &Effort::default());
    assert!(
        matches!(runs_off, Err(NoFit::NotConverged { .. })),
        "{runs_off:?}"
    );
    let singular = Moments::round(arr1(&[0.0]), 0.0);
    let refused = reverse_fit(
        |z| -z.square().sum_last(),
        Shape::Full,
        &singular,
        &Effort::default(),
    );
    assert!(matches!(refused, Err(NoFit::Start(_))));
    // A component of weight 0 is as good as none.
    let with = Mixture::new(&[1.0, 0.0], &[0.0, 3.0], &[1.0, 1.0]).unwrap();
    let fit = reverse_fit(
        |z| with.log_density(z),
        Shape::Full,
        &Moments::round(arr1(&[2.0]), 0.5),
        &Effort::default(),
    );
    let fit = fit.unwrap();
    assert!(
        fit.q.mean[0].abs() < 1e-8 && fit.divergence.abs() < 1e-12,
        "{fit:?}"
    );
    for bad in [
        Mixture::new(&[], &[], &[]),
        Mixture::new(&[0.5, 0.6], &[0.0, 1.0], &[1.0, 1.0]),
        Mixture::new(&[1.5, -0.5], &[0.0, 1.0], &[1.0, 1.0]),
        Mixture::new(&[1.0], &[f64::NAN], &[1.0]),
        Mixture::new(&[1.0], &[0.0], &[0.0]),
    ] {
        assert!(bad.unwrap_err().to_string().contains("expected"));
    }
}

#[test]
fn kl_categorical_keeps_its_digits_nearby() {
    // ½ Var_q(δ) for logits that differ by δ, to second order: a plain Σ q (log q - log p) would leave no digit.
    let tape = Tape::new();
    let (a, direction) = (arr1(&[0.3, -1.2, 0.8, 2.0]), arr1(&[1.0, -0.5, 0.25, 0.7]));
    let q: Array1<f64> = a.mapv(f64::exp) / a.mapv(f64::exp).sum();
    for delta in [1e-4, 1e-6, 1e-8] {
        let shift = &direction * delta;
        let mean = (&q * &shift).sum();
        let expected = 0.5 * (&q * &(&shift - mean).mapv(|d| d * d)).sum();
        let [one, other] = [a.clone(), &a + &shift].map(|logits| tape.constant(logits));
        let classes = kl::categorical(&Categorical { logits: one }, &Categorical { logits: other });
        assert!(
            (classes.item() / expected - 1.0).abs() < 2e-4 + 1e-11 / delta,
            "{delta:e}"
        );
        let coins = kl::bernoulli(&Bernoulli { logits: one }, &Bernoulli { logits: other });
        let variance = |a: f64, d: f64| 0.5 * d * d / ((1.0 + a.exp()) * (1.0 + (-a).exp()));
        let expected: f64 = a.iter().zip(&shift).map(|(&a, &d)| variance(a, d)).sum();
        assert!(
            (coins.item() / expected - 1.0).abs() < 2e-4 + 1e-11 / delta,
            "{delta:e}"
        );
    }
    // Where q has rounded to 0 and is not, an excluding p makes it infinite.
    let q = Categorical {
        logits: tape.constant(arr1(&[0.0, -800.0])),
    };
    let p = Categorical {
        logits: tape.constant(arr1(&[0.0, f64::NEG_INFINITY])),
    };
    assert_eq!(kl::categorical(&q, &p).item(), f64::INFINITY);
}

#[test]
fn forward_kl_moment_matching_far_out_and_refused_counts() {
    let tosses = arr1(&[1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0;
    let statistics = Array2::from_shape_fn((5, 1), |(k, _)| k as f64);
    let family = ExponentialFamily::new(statistics, tosses).unwrap();
    for mean in [1e-80, 1e-100, 1e-280] {
        let p = arr1(&[1.0 - mean, mean, 0.0, 0.0, 0.0]);
        let natural = family.project(&p).unwrap().natural[0];
        // The binomial of mean m has the odds m/4 and the natural parameter log(m/4).
        assert!(
            (natural - (mean / 4.0).ln()).abs() < 1e-9,
            "{mean:e}: {natural}"
        );
    }
    for counts in [
        [-3.0, -1.0, 0.0, 0.0, 0.0],
        [1.0, -1.0, 0.0, 0.0, 0.0],
        [f64::NAN; 5],
    ] {
        let refused = family.maximum_likelihood(&arr1(&counts)).unwrap_err();
        assert!(matches!(
            refused,
            NoProjection::Table(BadData::Number { what: "counts", .. })
        ));
    }
}
