//! docs/autoencoders.md#denoising: the best linear denoiser in closed form, for Gaussian, masking and salt-and-pepper noise.

mod limits;
mod stacked;

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::autoencoders::{Centring, Corruption, Denoising, LinearDenoiser, Structure};
use elbo::distributions::Moments;
use elbo::nn::{Adam, Parameters};
use elbo::vae::symmetric_eigen;
use ndarray::{Array1, Array2, ArrayD, Axis};
use rand::rngs::StdRng;

use super::shared::{gradients, grey, loss, networks, small};
use crate::common::comparing::{Checked, Worst};
use crate::common::linear_algebra::inverse;
use crate::common::quadrature::gauss_hermite;
use crate::common::random::{matrix, rng};
use crate::common::statistics::Statistics;

const CORRUPTIONS: [Corruption; 3] = [
    Corruption::Gaussian { deviation: 0.6 },
    Corruption::Masking { fraction: 0.3 },
    Corruption::SaltAndPepper { fraction: 0.4 },
];

/// The mean and the covariance of data, divided by n.
pub fn moments(x: &Array2<f64>) -> Moments {
    let mean = x.mean_axis(Axis(0)).unwrap();
    let centred = x - &mean;
    Moments {
        covariance: centred.t().dot(&centred) / x.nrows() as f64,
        mean,
    }
}

/// Every outcome of the corruption of one number, with its probability. For Gaussian noise the two nodes of a quadrature rule
/// that is exact for squares.
fn outcomes(corruption: Corruption, x: f64) -> Vec<(f64, f64)> {
    match corruption {
        Corruption::Gaussian { deviation } => (gauss_hermite(2).into_iter())
            .map(|(e, w)| (x + deviation * e, w))
            .collect(),
        Corruption::Masking { fraction: nu } => vec![(0.0, nu), (x, 1.0 - nu)],
        Corruption::SaltAndPepper { fraction: nu } => {
            vec![(0.0, nu / 2.0), (1.0, nu / 2.0), (x, 1.0 - nu)]
        }
    }
}

/// All corrupted data with the data that they come from, and their probabilities.
pub fn enumerated(
    corruption: Corruption,
    x: &Array2<f64>,
) -> (Array2<f64>, Array2<f64>, Array1<f64>) {
    let (mut seen, mut clean, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for row in x.rows() {
        let mut partial: Vec<(Vec<f64>, f64)> = vec![(Vec::new(), 1.0 / x.nrows() as f64)];
        for &pixel in row {
            partial = (partial.iter())
                .flat_map(|(values, weight)| {
                    outcomes(corruption, pixel)
                        .into_iter()
                        .map(move |(outcome, p)| {
                            ([values.as_slice(), &[outcome]].concat(), weight * p)
                        })
                })
                .collect();
        }
        for (values, weight) in partial {
            seen.extend(values);
            clean.extend(row);
            weights.push(weight);
        }
    }
    let shape = (weights.len(), x.ncols());
    (
        Array2::from_shape_vec(shape, seen).unwrap(),
        Array2::from_shape_vec(shape, clean).unwrap(),
        weights.into(),
    )
}

/// E ‖x - Wx̃ - b‖² over all outcomes, and its gradients with respect to W and b.
fn expected_error(
    (w, b): (&Array2<f64>, &Array1<f64>),
    corruption: Corruption,
    x: &Array2<f64>,
) -> (f64, Vec<ArrayD<f64>>) {
    let (seen, clean, weights) = enumerated(corruption, x);
    gradients(&[w.clone().into_dyn(), b.clone().into_dyn()], |v| {
        let constant = |a: &Array2<f64>| v[0].tape().constant(a.clone());
        let output = constant(&seen).matmul(v[0].t()) + v[1];
        let errors = (output - constant(&clean)).square().sum_last();
        (errors * v[0].tape().constant(weights.clone())).sum()
    })
}

#[test]
fn the_gradient_by_hand_and_its_zero() {
    let mut rng = rng(620);
    let (mut value, mut gradient, mut zero) =
        (Worst::default(), Worst::default(), Worst::default());
    for corruption in CORRUPTIONS {
        for [n, d] in [[5, 3], [2, 3], [4, 1]] {
            let x = grey(&mut rng, [n, d]);
            let data = moments(&x);
            // By (6.8): ∂W = 2 (W X - C + (Wm̃ + b - m) m̃ᵀ), ∂b = 2 (W m̃ + b - m), from enumerated moments.
            let (seen, clean, p) = enumerated(corruption, &x);
            let weighted = &seen * &p.view().insert_axis(Axis(1));
            let (w, b) = (
                matrix(&mut rng, [d, d]),
                matrix(&mut rng, [d, 1]).remove_axis(Axis(1)),
            );
            let residual = seen.dot(&w.t()) + &b - &clean;
            let by_hand = (residual.t().dot(&weighted) * 2.0).into_dyn();
            let of_bias = (residual.t().dot(&p) * 2.0).into_dyn();
            let (_, found) = expected_error((&w, &b), corruption, &x);
            gradient.entries(&found[0], &by_hand);
            gradient.entries(&found[1], &of_bias);

            let best = LinearDenoiser::fit(&data, corruption, d, Centring::Mean).unwrap();
            let (found, slopes) = expected_error((&best.weights, &best.bias), corruption, &x);
            let total = data.covariance.diag().sum();
            value.number(best.error, found, total);
            for slope in &slopes {
                slope.iter().for_each(|&s| zero.number(s, 0.0, 1.0));
            }
            // Without a bias the raw second moment counts, and ∂W alone is 0.
            let raw = LinearDenoiser::fit(&data, corruption, d, Centring::Origin).unwrap();
            let (found, slopes) = expected_error((&raw.weights, &raw.bias), corruption, &x);
            value.number(raw.error, found, total);
            slopes[0].iter().for_each(|&s| zero.number(s, 0.0, 1.0));
            assert!(raw.bias.iter().all(|&b| b == 0.0) && raw.error >= best.error - 1e-14);
            for _ in 0..20 {
                let other = &best.weights + &(matrix(&mut rng, [d, d]) * 0.1);
                assert!(
                    expected_error((&other, &best.bias), corruption, &x).0 > best.error - 1e-14
                );
            }
        }
    }
    value.within(
        1e-12,
        "least error, and the mean over every outcome of the corruption",
    );
    gradient.within(1e-12, "gradient by hand");
    zero.within(1e-12, "gradient at the closed form");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(621);
    let mut checked = Checked::default();
    let check = Check::new("denoising");
    for corruption in CORRUPTIONS {
        for tied in [false, true] {
            let structure = Structure {
                hidden: vec![4],
                tied,
                ..small()
            };
            let x = grey(&mut rng, [4, 3]);
            let (model, _, p) = networks(structure, &mut rng);
            let model = Denoising::new(model, corruption);
            checked.add(check.run(&p, |p| loss(&model, p, &x, 0)).unwrap());
        }
    }
    checked.print("every weight, with the corruption frozen");
}

#[test]
fn gaussian_noise_by_another_way() {
    let mut rng = rng(622);
    let mut worst = Worst::default();
    for d in [1, 3, 6] {
        let x = matrix(&mut rng, [9, d]);
        let data = moments(&x);
        for deviation in [0.05, 0.5, 3.0] {
            let corruption = Corruption::Gaussian { deviation };
            let found = LinearDenoiser::fit(&data, corruption, d, Centring::Mean).unwrap();
            // S(S + s²I)⁻¹ by elimination, b = (I - W)m, error s² tr W.
            let noise = deviation * deviation;
            let s = &data.covariance;
            let w = s.dot(&inverse(&(s + &(Array2::<f64>::eye(d) * noise))));
            worst.entries(&found.weights.clone().into_dyn(), &w.clone().into_dyn());
            worst.number(found.error, noise * w.diag().sum(), s.diag().sum());
            let bias = &data.mean - &w.dot(&data.mean);
            worst.entries(&found.bias.into_dyn(), &bias.into_dyn());
        }
    }
    worst.within(1e-12, "S(S + s²I)⁻¹ by elimination");
}

#[test]
fn a_bottleneck_keeps_the_leading_axes() {
    let mut rng = rng(623);
    let (d, k) = (3, 1);
    for corruption in CORRUPTIONS {
        let x = grey(&mut rng, [6, d]) * ndarray::arr1(&[1.0, 0.7, 0.4]);
        let data = moments(&x);
        let best = LinearDenoiser::fit(&data, corruption, k, Centring::Mean).unwrap();
        let (found, _) = expected_error((&best.weights, &best.bias), corruption, &x);
        assert!((found - best.error).abs() < 1e-12);
        if let Corruption::Gaussian { deviation } = corruption {
            let eigen = symmetric_eigen(&data.covariance).unwrap();
            let (u, lambda) = (eigen.vectors.column(0), eigen.values[0]);
            let shrunk = lambda / (lambda + deviation * deviation);
            let by_hand = Array2::from_shape_fn((d, d), |(i, j)| shrunk * u[i] * u[j]);
            assert!((&best.weights - &by_hand).iter().all(|e| e.abs() < 1e-12));
        }
        // A descent over W = AB with one unit ends there, and no lower.
        let (seen, clean, weights) = enumerated(corruption, &x);
        let mut parameters = Parameters::new();
        let a = parameters.add("a", matrix(&mut rng, [d, k]));
        let b = parameters.add("b", matrix(&mut rng, [k, d]));
        let c = parameters.add("c", Array1::<f64>::zeros(d));
        let (mut tape, mut last) = (Tape::new(), 0.0);
        for rate in [0.02, 0.002, 0.0002] {
            let mut adam = Adam::new(rate);
            for _ in 0..1500 {
                let (loss, gradients) = parameters.value_and_gradients(&mut tape, |p| {
                    let constant = |array: &Array2<f64>| p.tape().constant(array.clone());
                    let code = constant(&seen).matmul(p[b].t());
                    let output = code.matmul(p[a].t()) + p[c];
                    let errors = (output - constant(&clean)).square().sum_last();
                    let loss = (errors * p.tape().constant(weights.clone())).sum();
                    (loss, loss.item())
                });
                adam.step(&mut parameters, &gradients);
                last = loss;
            }
        }
        println!(
            "{corruption}, one unit: closed form {:.8}, descent {last:.8}",
            best.error
        );
        assert!(last >= best.error - 1e-12 && last < best.error * (1.0 + 1e-4));
    }
}

fn repeated(x: &Array2<f64>, times: usize) -> Array2<f64> {
    Array2::from_shape_fn((times * x.nrows(), x.ncols()), |(i, j)| {
        x[[i % x.nrows(), j]]
    })
}

#[test]
fn statistics() {
    let mut rng: StdRng = rng(624);
    let x = grey(&mut rng, [4, 3]);
    let data = moments(&x);
    for corruption in CORRUPTIONS {
        let best = LinearDenoiser::fit(&data, corruption, 3, Centring::Mean).unwrap();
        let clean = repeated(&x, 30_000);
        let tape = Tape::new();
        let seen = corruption
            .corrupt(tape.constant(clean.clone()), &mut rng)
            .value()
            .into_owned();
        let seen: Array2<f64> = seen.into_dimensionality().unwrap();
        let errors = seen.dot(&best.weights.t()) + &best.bias - &clean;
        let errors: Vec<f64> = errors.rows().into_iter().map(|row| row.dot(&row)).collect();
        Statistics::of(&errors).agree_with(best.error, &corruption.to_string());
        // What the sampler draws has the moments that the closed form takes.
        let linear = corruption.linear(&data);
        let first: Vec<f64> = seen.column(0).to_vec();
        let mean = linear.scale * data.mean[0] + linear.offset;
        Statistics::of(&first).agree_with(mean, "mean of a corrupted pixel");
        let spread: Vec<f64> = (seen.column(0).iter().zip(clean.column(0)))
            .map(|(seen, x)| (seen - linear.scale * x - linear.offset).powi(2))
            .collect();
        Statistics::of(&spread).agree_with(linear.variances[0], "variance added to it");
    }
}
