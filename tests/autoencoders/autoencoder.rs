//! docs/autoencoders.md#autoencoder: the error of what comes back, and its gradient through decoder and encoder.

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::autoencoders::{Coding, ReconstructionLoss, Structure};
use elbo::nn::{Activation, Parameters};
use ndarray::{Array1, Array2, ArrayD, Axis, arr1, arr2};

use super::shared::{gradients, grey, loss, networks, sigmoid, small};
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::{matrix, rng};

fn two(x: &ArrayD<f64>) -> Array2<f64> {
    x.clone().into_dimensionality().unwrap()
}

fn one(x: &ArrayD<f64>) -> Array1<f64> {
    x.clone().into_dimensionality().unwrap()
}

/// The loss, and the gradients in the order V, b, U, c of x̂ = U σ(Vx + b) + c, by (6.2).
fn by_hand(
    x: &Array2<f64>,
    (v, b): (&Array2<f64>, &Array1<f64>),
    (u, c): (&Array2<f64>, &Array1<f64>),
    loss: ReconstructionLoss,
) -> (f64, [ArrayD<f64>; 4]) {
    let n = x.nrows() as f64;
    let h = (x.dot(&v.t()) + b).mapv(sigmoid);
    let a = h.dot(&u.t()) + c;
    let (error, delta) = match loss {
        ReconstructionLoss::SquaredError => {
            let r = &a - x;
            (r.mapv(|r| r * r).sum() / n, r * (2.0 / n))
        }
        ReconstructionLoss::CrossEntropy => {
            let f = a.mapv(sigmoid);
            let terms = x * &f.mapv(f64::ln) + (1.0 - x) * f.mapv(|f| (1.0 - f).ln());
            (-terms.sum() / n, (&f - x) / n)
        }
    };
    let back = delta.dot(u) * &h * &(1.0 - &h);
    let each = [
        back.t().dot(x).into_dyn(),
        back.sum_axis(Axis(0)).into_dyn(),
        delta.t().dot(&h).into_dyn(),
        delta.sum_axis(Axis(0)).into_dyn(),
    ];
    (error, each)
}

const LOSSES: [ReconstructionLoss; 2] = [
    ReconstructionLoss::SquaredError,
    ReconstructionLoss::CrossEntropy,
];

#[test]
fn gradients_by_hand() {
    let mut rng = rng(600);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for n in [1, 4] {
        for loss_kind in LOSSES {
            let structure = Structure {
                loss: loss_kind,
                ..small()
            };
            let x = grey(&mut rng, [n, 3]);
            let (model, _, p) = networks(structure.clone(), &mut rng);
            let (v, b, u, c) = (two(&p[0]), one(&p[1]), two(&p[2]), one(&p[3]));
            let (expected, each) = by_hand(&x, (&v, &b), (&u, &c), loss_kind);
            let (found, slopes) = gradients(&p, |p| loss(&model, p, &x, 0));
            value.relative(found, expected);
            for (found, expected) in slopes.iter().zip(&each) {
                gradient.entries(found, expected);
            }
            // Tied: V is met twice, and its gradient is the sum of both.
            let (model, _, p) = networks(
                Structure {
                    tied: true,
                    ..structure
                },
                &mut rng,
            );
            let (v, b, c) = (two(&p[0]), one(&p[1]), one(&p[2]));
            let u = v.t().to_owned();
            let (expected, [dv, db, du, dc]) = by_hand(&x, (&v, &b), (&u, &c), loss_kind);
            let (found, slopes) = gradients(&p, |p| loss(&model, p, &x, 0));
            value.relative(found, expected);
            let both = dv + two(&du).t().into_dyn();
            for (found, expected) in slopes.iter().zip([both, db, dc]) {
                gradient.entries(found, &expected);
            }
        }
    }
    value.within(REARRANGED, "loss by hand");
    gradient.within(REARRANGED, "gradients by hand, tied and untied");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(601);
    let mut checked = Checked::default();
    let check = Check::new("autoencoder");
    for activation in Activation::ALL {
        for (tied, hidden) in [(false, vec![]), (true, vec![4]), (false, vec![4, 2])] {
            for loss_kind in LOSSES {
                let structure = Structure {
                    hidden: hidden.clone(),
                    activation,
                    code_activation: activation,
                    tied,
                    loss: loss_kind,
                    ..small()
                };
                let x = grey(&mut rng, [3, 3]);
                let (model, _, p) = networks(structure, &mut rng);
                checked.add(check.run(&p, |p| loss(&model, p, &x, 0)).unwrap());
            }
        }
    }
    checked.print("every weight, five activations, tied and untied, up to three layers");
}

#[test]
fn a_net_of_two_units_on_paper() {
    // x = (1, 0), h = σ(x), x̂ = (h₁ + h₂, h₁ - h₂): h = (0.7311, 0.5).
    let h = sigmoid(1.0);
    let structure = Structure {
        dimensions: 2,
        ..small()
    };
    let mut parameters = Parameters::<f64>::new();
    let model = elbo::autoencoders::Autoencoder::new(structure, &mut parameters, &mut rng(0));
    parameters
        .set("encoder.0.weight", arr2(&[[1.0, 0.0], [0.0, 1.0]]))
        .unwrap();
    parameters
        .set("decoder.0.weight", arr2(&[[1.0, 1.0], [1.0, -1.0]]))
        .unwrap();
    let x = arr2(&[[1.0, 0.0]]);
    let code = model.codes(&parameters, x.view());
    assert!((code[[0, 0]] - h).abs() < 1e-15 && code[[0, 1]] == 0.5);
    let again = model.reconstructions(&parameters, x.view());
    assert!((again[[0, 0]] - (h + 0.5)).abs() < 1e-15 && (again[[0, 1]] - (h - 0.5)).abs() < 1e-15);
    let tape = Tape::new();
    let p = parameters.bind(&tape);
    let x = tape.constant(x);
    let error = model.error(&p, model.encode(&p, x), x).sum();
    // (h - ½)² twice.
    assert!((error.item() - 2.0 * (h - 0.5).powi(2)).abs() < 1e-15);
}

#[test]
fn cross_entropy_is_a_mean_over_binary_images() {
    let mut rng = rng(602);
    let mut worst = Worst::default();
    let (x, a) = (grey(&mut rng, [1, 4]), matrix(&mut rng, [1, 4]));
    let tape = Tape::new();
    let of = |x: Array2<f64>| {
        let (a, x) = (tape.constant(a.clone()), tape.constant(x));
        ReconstructionLoss::CrossEntropy.of(a, x).item()
    };
    let mean: f64 = (0..16)
        .map(|bits: u32| {
            let pixel = |j: usize| f64::from(bits >> j & 1);
            let binary = Array2::from_shape_fn((1, 4), |(_, j)| pixel(j));
            let chance = |j: usize| {
                if pixel(j) == 1.0 {
                    x[[0, j]]
                } else {
                    1.0 - x[[0, j]]
                }
            };
            (0..4).map(chance).product::<f64>() * of(binary)
        })
        .sum();
    worst.relative(of(x), mean);
    worst.within(
        1e-13,
        "cross-entropy of grey pixels, and the mean over all 16 binary images",
    );
}

#[test]
fn limits() {
    let tape = Tape::<f64>::new();
    let a = tape.variable(arr2(&[[700.0, -700.0, 0.0]]));
    let x = tape.constant(arr2(&[[0.0, 1.0, 0.5]]));
    let error = ReconstructionLoss::CrossEntropy.of(a, x);
    assert_eq!(error.item(), 1400.0 + 2f64.ln());
    let slope = tape.gradients(error.sum()).wrt(a);
    assert_eq!(slope, arr2(&[[1.0, -1.0, 0.0]]).into_dyn());
    // The error does not depend on the size of the batch: it is a mean over data and a sum over dimensions.
    let mut rng = rng(603);
    let (model, _, p) = networks(small(), &mut rng);
    let x = grey(&mut rng, [5, 3]);
    let of = |x: &Array2<f64>| gradients(&p, |p| loss(&model, p, x, 0)).0;
    let rows: f64 = x
        .axis_chunks_iter(Axis(0), 1)
        .map(|row| of(&row.to_owned()))
        .sum();
    assert!((of(&x) - rows / 5.0).abs() < 1e-14);
    // A code as wide as the data may copy them: the identity has no error.
    let structure = Structure {
        dimensions: 2,
        code_activation: Activation::Identity,
        ..small()
    };
    let (model, mut parameters, _) = networks(structure, &mut rng);
    for layer in ["encoder.0", "decoder.0"] {
        let eye = Array2::<f64>::eye(2);
        parameters.set(&format!("{layer}.weight"), eye).unwrap();
        parameters
            .set(&format!("{layer}.bias"), arr1(&[0.0, 0.0]))
            .unwrap();
    }
    let x = arr2(&[[1e150, -3.0]]);
    assert_eq!(model.reconstructions(&parameters, x.view()), x);
}
