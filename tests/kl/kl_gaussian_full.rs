//! docs/kl.md#kl-gaussian-full: the divergence between two Gaussians, by their Cholesky factors, is
//! ½ [tr Σ₁⁻¹Σ₀ + ΔᵀΣ₁⁻¹Δ - k + log |Σ₁|/|Σ₀|].

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::noise::standard_normal;
use elbo::distributions::{DiagonalGaussian, MultivariateGaussian};
use elbo::kl;
use elbo::kl::Moments;
use ndarray::{Array1, Array2, ArrayD, Axis};
use rand::Rng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::linear_algebra::{determinant, inverse};
use crate::common::quadrature::gauss_hermite_grid;
use crate::common::random::{random, rng};
use crate::common::reporting::report;
use crate::common::statistics::Statistics;
use crate::kl::shared::{full_of, random_moments};

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

#[test]
fn by_hand() {
    let mut rng = rng(41);
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
fn against_finite_differences() {
    let mut rng = rng(42);
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
    checked.print("first and second order");
}

#[test]
fn of_diagonal_covariances_is_the_diagonal_formula() {
    let mut rng = rng(43);
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
        let prior = Moments::isotropic(Array1::zeros(k), 1.0);
        let expected = kl::gaussian_standard(&diagonal(0)).item();
        worst.number(full_of(&moments(0), &prior), expected, expected);
    }
    worst.within(REARRANGED, "full = diagonal, and = standard");
}

#[test]
fn by_its_definition() {
    let mut rng = rng(44);
    let mut worst = Worst::default();
    for k in [1, 2] {
        for _ in 0..5 {
            let [q, p] = [0, 1].map(|_| random_moments(&mut rng, k));
            let (nodes, weights) = gauss_hermite_grid(6, k);
            let tape = Tape::new();
            let (q_tape, p_tape) = (q.on(&tape).unwrap(), p.on(&tape).unwrap());
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
fn does_not_depend_on_the_coordinates() {
    // Both distributions seen through z ↦ Az + c, and the two directions, which are two numbers.
    let mut rng = rng(47);
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
fn of_a_batch_of_means() {
    let mut rng = rng(48);
    let [q, p] = [0, 1].map(|_| random_moments(&mut rng, 3));
    let tape = Tape::new();
    let means = random(&mut rng, &[4, 3]);
    let covariance = tape.constant(q.covariance.clone());
    let batch = MultivariateGaussian::from_covariance(tape.constant(means.clone()), covariance);
    let found = kl::gaussian_full(&batch.unwrap(), &p.on(&tape).unwrap()).value();
    assert_eq!(found.shape(), [4]);
    for (i, mean) in means.outer_iter().enumerate() {
        let mean = mean.to_owned().into_dimensionality().unwrap();
        let one = full_of(&Moments { mean, ..q.clone() }, &p);
        assert!((found[i] - one).abs() <= 1e-13 * one);
    }
}

#[test]
fn by_monte_carlo() {
    let mut rng = rng(45);
    for k in [1, 3, 6] {
        let [q, p] = [0, 1].map(|_| random_moments(&mut rng, k));
        let tape = Tape::new();
        let (q_tape, p_tape) = (q.on(&tape).unwrap(), p.on(&tape).unwrap());
        let z = q_tape.sample(standard_normal(&tape, &[100_000, k], &mut rng));
        let draws = owned((q_tape.log_density(z) - p_tape.log_density(z)).value());
        Statistics::of(&draws).agree_with(full_of(&q, &p), &format!("{k} dimensions"));
    }
}

#[test]
fn is_zero_at_equality_and_keeps_its_digits_nearby() {
    let mut rng = rng(46);
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
            report(format!(
                "k = {k}, δ = {size:e}: relative error {relative:.1e}"
            ));
            assert!(
                relative <= 20.0 * f64::EPSILON * k as f64 / size + 1e-11,
                "{relative:e}"
            );
        }
    }
}
