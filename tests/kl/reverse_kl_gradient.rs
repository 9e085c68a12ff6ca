//! docs/kl.md#reverse-kl-gradient: the gradient of KL(q_φ ‖ p), by the score, by the path through a sample and, for a
//! Gaussian p, in closed form.

use elbo::autodiff::{Tape, Var};
use elbo::distributions::noise::standard_normal;
use elbo::kl::{
    DiagonalFamily, Family, FitError, FitOptions, Moments, Nodes, Shape, UnivariateMixture,
    reverse_fit, reverse_gradient_by_path, reverse_gradient_by_score,
};
use ndarray::{Array1, Axis, arr1};
use rand::Rng;

use crate::common::arrays::{owned, softmax};
use crate::common::comparing::{REARRANGED, Worst};
use crate::common::linear_algebra::inverse;
use crate::common::random::{random, rng};
use crate::common::statistics::Statistics;
use crate::kl::shared::{at_logits, categorical, gaussian_target, random_moments};

/// ∇ KL(q ‖ p) of the diagonal q with φ = (μ, s) in closed form, for a Gaussian p: Λ(μ - m), and ½(Λ_jj e^s_j - 1).
fn reverse_gradient_by_hand(phi: &Array1<f64>, p: &Moments) -> Array1<f64> {
    let d = p.mean.len();
    let precision = inverse(&p.covariance);
    let mean = precision.dot(&(&phi.slice(ndarray::s![..d]) - &p.mean));
    let scale = Array1::from_shape_fn(d, |j| 0.5 * (precision[[j, j]] * phi[d + j].exp() - 1.0));
    ndarray::concatenate![Axis(0), mean, scale]
}

#[test]
fn by_score_by_path_and_by_hand() {
    let mut rng = rng(91);
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
fn for_a_target_without_a_closed_form() {
    // Against the finite difference of the divergence itself, and one way against the other.
    let mut rng = rng(92);
    let target =
        UnivariateMixture::new(&[0.3, 0.7, 0.0], &[-1.5, 1.0, 9.0], &[0.5, 0.9, 1.0]).unwrap();
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
fn of_classes_by_enumeration() {
    // Σ_k q_k ∇log q_k (log q_k - log p_k), with ∇_a log q_k = e_k - q, is the gradient of kl-categorical.
    let mut rng = rng(94);
    let mut worst = Worst::default();
    for k in [2, 3, 6] {
        let [a, b] = [0, 1].map(|_| random(&mut rng, &[k]).into_raw_vec_and_offset().0);
        let (q, p) = (softmax(&arr1(&a)), softmax(&arr1(&b)));
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
fn from_samples() {
    // 100 batches of 1000 draws: the mean of their estimates, by both ways, within 4 standard errors.
    let mut rng = rng(93);
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
fn is_refused_where_the_divergence_is_infinite() {
    // A target that is 0 for z < 0: every Gaussian has mass there.
    let noise = Nodes::gauss_hermite(8, 1);
    let family = DiagonalFamily { dimensions: 1 };
    let phi = arr1(&[0.5, 0.0]);
    let score = reverse_gradient_by_score(&family, &phi, &noise, |z| z.ln().sum_last());
    let path = reverse_gradient_by_path(&family, &phi, &noise, |z| z.ln().sum_last());
    assert!(score.is_err() && path.is_err());
    let start = Moments::isotropic(arr1(&[0.5]), 1.0);
    let fit = reverse_fit(
        |z| z.ln().sum_last(),
        Shape::Full,
        &start,
        &FitOptions::default(),
    );
    assert_eq!(fit, Err(FitError::NotFinite));
}
