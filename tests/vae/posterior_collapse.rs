//! docs/vae.md#posterior-collapse: at W = 0 the curvature along v_i is (λ_i - σ²)/σ⁴, so that total collapse is a
//! maximum exactly if σ² is at least every eigenvalue.

mod limits;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::DiagonalGaussian;
use elbo::vae::{Activity, Ppca, collapse_curvatures, symmetric_eigen};
use ndarray::{Array1, Array2, ArrayD, arr0};
use rand::Rng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, Worst};
use crate::common::random::{matrix, rng, vector};
use crate::vae::shared::linear_models::{
    Spectral, decoder, flat, mean_evidence, random_decoder, two_axes, variables,
};

/// W = 0, b = 0 and log σ², as values.
fn collapsed(d: usize, k: usize, noise: f64) -> Vec<ArrayD<f64>> {
    flat([
        Array2::zeros((d, k)).into_dyn(),
        Array1::zeros(d).into_dyn(),
        arr0(noise.ln()).into_dyn(),
    ])
}

/// ∂²f/∂W² as a matrix over the entries of W, row by row, from the tape.
fn hessian<'t>(tape: &'t Tape<f64>, f: Var<'t, f64>, w: Var<'t, f64>) -> Array2<f64> {
    let slope = tape.differentiable_gradients(f).wrt(w);
    let rows = (0..w.size()).map(|i| {
        let mut unit = ArrayD::zeros(w.shape());
        unit.as_slice_mut().unwrap()[i] = 1.0;
        let row = tape.pull_back(slope, unit, &[]).wrt(w);
        row.iter().copied().collect::<Vec<_>>()
    });
    let entries: Vec<f64> = rows.flatten().collect();
    Array2::from_shape_vec((w.size(), w.size()), entries).unwrap()
}

#[test]
fn curvature_by_second_derivatives() {
    let mut rng = rng(90);
    let (mut whole, mut along, mut bound) = (Worst::default(), Worst::default(), Worst::default());
    for [d, k] in [[2, 1], [3, 2], [5, 3]] {
        let spectral = Spectral::random(&mut rng, d);
        let noise: f64 = rng.random_range(0.3..3.0);
        let tape = Tape::new();
        let v = variables(&tape, &collapsed(d, k, noise));
        let x = tape.constant(spectral.data.clone());
        let evidence = decoder(&v).log_evidence(x).unwrap().mean();
        let best = decoder(&v).best_diagonal(x).unwrap();
        let elbo = decoder(&v).elbo_diagonal(x, &best).mean();
        // (S - σ²I)/σ⁴ for each column of W by itself.
        let block = (spectral.covariance() - Array2::<f64>::eye(d) * noise) / (noise * noise);
        let by_hand = Array2::from_shape_fn((d * k, d * k), |(i, j)| {
            if i % k == j % k {
                block[[i / k, j / k]]
            } else {
                0.0
            }
        });
        let found = hessian(&tape, evidence, v[0]);
        whole.entries(&found.clone().into_dyn(), &by_hand.clone().into_dyn());
        // The bound at its best diagonal q has the same curvature: the gap is of fourth order.
        bound.entries(&hessian(&tape, elbo, v[0]).into_dyn(), &by_hand.into_dyn());
        let eigen = symmetric_eigen(&spectral.covariance()).unwrap();
        let curvatures = collapse_curvatures(&eigen, noise);
        for i in 0..d {
            let direction = Array1::from_shape_fn(d * k, |e| {
                if e % k == k - 1 {
                    eigen.vectors[[e / k, i]]
                } else {
                    0.0
                }
            });
            let second = direction.dot(&found.dot(&direction));
            along.number(second, curvatures[i], curvatures[i].abs().max(1.0));
        }
    }
    whole.within(1e-12, "Hessian of the mean evidence at W = 0");
    bound.within(1e-12, "Hessian of the mean bound at its best q");
    along.within(1e-12, "along eigenvectors: (λ - σ²)/σ⁴");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(91);
    let mut checked = Checked::default();
    let check = Check::new("posterior-collapse");
    for [d, k] in [[3, 1], [4, 2]] {
        let spectral = Spectral::random(&mut rng, d);
        // At W = 0 the gradient is 0: what is to be compared is the second order, near it the first as well.
        let near = random_decoder(&mut rng, [d, k]);
        checked.add(
            check
                .run(&near, |v| mean_evidence(v, &spectral.data))
                .unwrap(),
        );
        let at = collapsed(d, k, 0.8);
        checked.add(
            check
                .run_second_order(&at, |v| mean_evidence(v, &spectral.data))
                .unwrap(),
        );
    }
    checked.print("near W = 0 first order, at W = 0 second order");
}

/// The mean bound with an encoder A, from W, b, log σ², A, s.
fn autoencoder<'t>(v: &[Var<'t, f64>], x: &Array2<f64>) -> Var<'t, f64> {
    let x = v[0].tape().constant(x.clone());
    let q = DiagonalGaussian {
        mean: x.matmul(v[3].t()),
        log_variance: v[4],
    };
    decoder(v).elbo_diagonal(x, &q).mean()
}

#[test]
fn is_a_strict_maximum_above_every_eigenvalue_and_none_below() {
    let mut rng = rng(92);
    let (mut stationary, mut joint) = (Worst::default(), Worst::default());
    for trial in 0..12 {
        let [d, k] = [[3, 1], [4, 2], [3, 3]][trial % 3];
        let spectral = Spectral::random(&mut rng, d);
        let highest = spectral.lambda[0];
        let noise = highest * if trial % 2 == 0 { 1.02 } else { 0.98 };
        let mut start = collapsed(d, k, noise);
        start.extend([
            Array2::zeros((k, d)).into_dyn(),
            Array1::zeros(k).into_dyn(),
        ]);
        let tape = Tape::new();
        let v = variables(&tape, &start);
        let at_rest = autoencoder(&v, &spectral.data);
        let gradients = tape.gradients(at_rest);
        for i in [0, 1, 3, 4] {
            owned(gradients.wrt(v[i]))
                .iter()
                .for_each(|&g| stationary.number(g, 0.0, 1.0));
        }
        let value = |w: Array2<f64>, a: Array2<f64>, s: Array1<f64>| {
            let mut point = start.clone();
            (point[0], point[3], point[4]) = (w.into_dyn(), a.into_dyn(), s.into_dyn());
            let tape = Tape::new();
            autoencoder(&variables(&tape, &point), &spectral.data).item() - at_rest.item()
        };
        // Along v₁ in decoder and encoder at once, α = w/σ², the curvature is the Schur complement (λ - σ²)/σ⁴.
        let step = 1e-3;
        let w = Array2::from_shape_fn((d, k), |(i, j)| {
            if j == 0 {
                step * spectral.v[[i, 0]]
            } else {
                0.0
            }
        });
        let along = value(w.clone(), w.t().to_owned() / noise, Array1::zeros(k));
        let curvature = 2.0 * along / (step * step);
        let exact = (highest - noise) / (noise * noise);
        joint.number(curvature, exact, 1.0);
        // The decoder alone, or the encoder alone, always makes it worse.
        assert!(value(w.clone(), Array2::zeros((k, d)), Array1::zeros(k)) < 0.0);
        assert!(value(Array2::zeros((d, k)), w.t().to_owned(), Array1::zeros(k)) < 0.0);
        let all_worse = (0..200).all(|_| {
            let size = 10f64.powf(-2.0 * rng.random::<f64>() - 1.0);
            let w = matrix(&mut rng, [d, k]) * size;
            let a = matrix(&mut rng, [k, d]) * size;
            value(w, a, vector(&mut rng, k) * size) < 0.0
        });
        assert_eq!(along < 0.0, noise > highest);
        assert!(noise < highest || all_worse);
    }
    stationary.within(1e-14, "gradient at W = 0, A = 0, s = 0");
    joint.within(
        1e-5,
        "curvature of the joint loss along v₁, by a step of 10⁻³",
    );
}

#[test]
fn at_a_given_noise_is_what_maximum_likelihood_asks_for() {
    let mut rng = rng(93);
    let (mut used, mut slope) = (Worst::default(), Worst::default());
    for trial in 0..10 {
        let [d, k] = [[4, 2], [5, 4], [6, 3]][trial % 3];
        let spectral = Spectral::random(&mut rng, d);
        let noise: f64 = rng.random_range(0.1..5.0);
        let ppca = Ppca::with_noise(Array1::zeros(d), &spectral.covariance(), k, noise).unwrap();
        let wanted = spectral
            .lambda
            .iter()
            .take(k)
            .filter(|&&l| l > noise)
            .count();
        let kept = ppca
            .weights
            .columns()
            .into_iter()
            .filter(|w| w.dot(w) > 0.0)
            .count();
        assert_eq!(kept, wanted);
        let tape = Tape::new();
        let model = ppca.decoder(&tape);
        let x = tape.constant(spectral.data.clone());
        let evidence = model.log_evidence(x).unwrap().mean();
        owned(tape.gradients(evidence).wrt(model.weights))
            .iter()
            .for_each(|&g| slope.number(g, 0.0, 1.0));
        used.number(evidence.item(), ppca.log_likelihood, 1.0);
        // Var E[z|x] = 1 - σ²/λ: a used unit counts as active if λ > σ²/0.99.
        let means = two_axes(&owned(model.posterior(x).unwrap().mean().value()));
        let activity = Activity::of(means.view()).unwrap();
        for (variance, lambda) in activity.variances.iter().zip(&spectral.lambda) {
            used.number(*variance, (1.0 - noise / lambda).max(0.0), 1.0);
        }
        let counted = spectral
            .lambda
            .iter()
            .take(k)
            .filter(|&&l| l > noise / 0.99)
            .count();
        assert_eq!(activity.active(), counted);
        for _ in 0..50 {
            let w = &ppca.weights + &(matrix(&mut rng, [d, k]) * rng.random::<f64>());
            let point = flat([
                w.into_dyn(),
                Array1::zeros(d).into_dyn(),
                arr0(noise.ln()).into_dyn(),
            ]);
            let tape = Tape::new();
            let other = mean_evidence(&variables(&tape, &point), &spectral.data).item();
            assert!(other <= ppca.log_likelihood + 1e-12);
        }
    }
    slope.within(1e-12, "gradient at the best W for a given σ²");
    used.within(1e-12, "its evidence, and Var E[z|x] = 1 - σ²/λ");
}
