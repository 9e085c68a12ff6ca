//! docs/autoencoders.md#vq-straight-through: the gradients that are declared, and the ones that the loss really has.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::autoencoders::{CodebookUpdate, DiscreteCoding, VqStructure, VqVae, quadratic_terms};
use elbo::gradients::{nearest, straight_through};
use elbo::nn::{Activation, Batch, Bound, Model, Parameters, Step};
use elbo::vae::Likelihood;
use ndarray::{Array2, ArrayD, Ix2, arr2};

use super::shared::{gradients, grey, loss};
use crate::common::comparing::{Checked, Worst};
use crate::common::random::{matrix, random, rng};

const COMMITMENT: f64 = 0.25;

fn rows(value: &ArrayD<f64>) -> Array2<f64> {
    value.clone().into_dimensionality::<Ix2>().unwrap()
}

/// -log p(x|e) + ‖sg[z] - e‖² + β‖z - sg[e]‖² for x | e ~ N(Ae, ½I) up to a constant, with e the nearest code to each row
/// of z.
fn objective<'t>(
    z: Var<'t, f64>,
    codes: Var<'t, f64>,
    x: &Array2<f64>,
    a: &Array2<f64>,
) -> Var<'t, f64> {
    let tape = z.tape();
    let chosen = nearest(
        rows(&z.value().to_owned()).view(),
        rows(&codes.value().to_owned()).view(),
    );
    let e = codes.gather(&chosen.unwrap());
    let [to_codes, to_vectors] = quadratic_terms(z, e);
    let output = straight_through(e.stop_gradient(), z).matmul(tape.constant(a.t().to_owned()));
    let reconstruction = (output - tape.constant(x.clone())).square().sum_last();
    (reconstruction + to_codes + to_vectors * COMMITMENT).sum()
}

/// The surrogate whose true derivatives are the declared ones: the codes that were chosen, and what is stopped, are constants.
fn surrogate<'t>(
    [z, codes]: [Var<'t, f64>; 2],
    [z_then, codes_then]: [Var<'t, f64>; 2],
    x: &Array2<f64>,
    a: &Array2<f64>,
) -> Var<'t, f64> {
    let tape = z.tape();
    let chosen = nearest(
        rows(&z_then.value().to_owned()).view(),
        rows(&codes_then.value().to_owned()).view(),
    );
    let chosen = chosen.unwrap();
    let e_then = codes_then.gather(&chosen);
    let moved = z + (e_then - z_then);
    let error = (moved.matmul(tape.constant(a.t().to_owned())) - tape.constant(x.clone())).square();
    let to_codes = (z_then - codes.gather(&chosen)).square();
    let to_vectors = (z - e_then).square() * COMMITMENT;
    error.sum() + to_codes.sum() + to_vectors.sum()
}

#[test]
fn gradients_by_hand() {
    // z = 0.6 between the codes 0 and 1; x = 3, decoder 2e: the error is 2·1 - 3 = -1.
    let values = [arr2(&[[0.6]]).into_dyn(), arr2(&[[0.0], [1.0]]).into_dyn()];
    let (value, found) = gradients(&values, |v| {
        objective(v[0], v[1], &arr2(&[[3.0]]), &arr2(&[[2.0]]))
    });
    let mut worst = Worst::default();
    worst.relative(value, 1.0 + 0.16 + COMMITMENT * 0.16);
    // 2·2·(-1) from the reconstruction, as if z were the code, and 2β(z - e).
    worst.relative(found[0].sum(), -4.0 + 2.0 * COMMITMENT * (0.6 - 1.0));
    // 2(e - z) for the code that was chosen; nothing for the other, and nothing from the reconstruction.
    worst.entries(&found[1], &arr2(&[[0.0], [2.0 * (1.0 - 0.6)]]).into_dyn());
    worst.within(1e-15, "one vector between two codes");
}

#[test]
fn against_the_surrogate_and_finite_differences() {
    let mut rng = rng(720);
    let mut checked = Checked::default();
    let check = Check::new("vq-straight-through");
    for [n, d, k] in [[1, 1, 2], [4, 3, 5], [6, 2, 3]] {
        let (x, a) = (matrix(&mut rng, [n, 2]), matrix(&mut rng, [2, d]));
        let values = [random(&mut rng, &[n, d]), random(&mut rng, &[k, d])];
        checked.add(
            check
                .run_surrogate(
                    &values,
                    |v| objective(v[0], v[1], &x, &a),
                    |live, fixed| surrogate([live[0], live[1]], [fixed[0], fixed[1]], &x, &a),
                )
                .unwrap(),
        );
    }
    checked.print("declared gradients in vectors and codes");
}

fn small(update: CodebookUpdate) -> VqStructure {
    VqStructure {
        dimensions: 5,
        hidden: vec![4],
        activation: Activation::Tanh,
        positions: 2,
        codes: 3,
        width: 2,
        update,
        commitment: COMMITMENT,
        likelihood: Likelihood::Bernoulli,
        prior: [2, 3],
    }
}

/// A whole model, its codes by gradient: every weight of encoder, decoder, codebook and prior.
#[test]
fn of_a_model_against_the_surrogate() {
    let mut rng = rng(721);
    let mut parameters = Parameters::<f64>::new();
    let model = VqVae::new(small(CodebookUpdate::Gradient), &mut parameters, &mut rng);
    let values: Vec<ArrayD<f64>> = (parameters.iter())
        .map(|(_, value)| random(&mut rng, value.shape()) * 0.7)
        .collect();
    let codes_at = parameters
        .iter()
        .position(|(name, _)| name == "codebook.codes")
        .unwrap();
    let x = grey(&mut rng, [3, 5]);
    let report = Check::new("vq-straight-through").run_surrogate(
        &values,
        |v| loss(&model, v, &x, 0),
        |live, fixed| {
            let (p, then) = (Bound::from_vars(live), Bound::from_vars(fixed));
            let data = p.tape().constant(x.clone());
            let (z, z_then) = (model.encode(&p, data), model.encode(&then, data));
            let codes = rows(&fixed[codes_at].value().to_owned());
            let chosen = nearest(rows(&z_then.value().to_owned()).view(), codes.view()).unwrap();
            let e_then = fixed[codes_at].gather(&chosen);
            let fit = model
                .decode(&p, z + (e_then - z_then))
                .log_density(data)
                .mean();
            let numbers = Array2::from_shape_vec((3, 2), chosen.clone()).unwrap();
            let cost = model.prior().log_probability(&p, numbers.view()).mean();
            let to_codes = (z_then - live[codes_at].gather(&chosen)).square().sum();
            let to_vectors = (z - e_then).square().sum();
            (to_codes + to_vectors * COMMITMENT) / 3.0 - fit - cost
        },
    );
    let mut checked = Checked::default();
    checked.add(report.unwrap());
    checked.print("declared gradients in every weight of a model");
}

#[test]
fn what_the_loss_really_depends_on() {
    let mut rng = rng(722);
    let (x, a) = (matrix(&mut rng, [4, 2]), matrix(&mut rng, [2, 3]));
    let (z, codes) = (matrix(&mut rng, [4, 3]), matrix(&mut rng, [5, 3]));
    let chosen = nearest(z.view(), codes.view()).unwrap();
    let value = |z: &Array2<f64>, codes: &Array2<f64>| {
        let tape = Tape::new();
        objective(
            tape.constant(z.clone()),
            tape.constant(codes.clone()),
            &x,
            &a,
        )
        .item()
    };
    let difference = |f: &dyn Fn(f64) -> f64| (f(1e-5) - f(-1e-5)) / 2e-5;
    let mut worst = Worst::default();
    let values = [z.clone().into_dyn(), codes.clone().into_dyn()];
    let (_, declared) = gradients(&values, |v| objective(v[0], v[1], &x, &a));
    let mut dropped = 0.0f64;
    for i in 0..4 {
        let e = codes.row(chosen[i]);
        // 2Aᵀ(Ae - x): what the reconstruction has for the code, and the surrogate gives to z instead.
        let pull = a.t().dot(&(a.dot(&e) - x.row(i))) * 2.0;
        for j in 0..3 {
            let step = |h: f64| {
                let mut z = z.clone();
                z[[i, j]] += h;
                value(&z, &codes)
            };
            // Nothing of the reconstruction, and both quadratic terms.
            let apart = z[[i, j]] - e[j];
            worst.number(difference(&step), 2.0 * (1.0 + COMMITMENT) * apart, 10.0);
            worst.number(
                declared[0][[i, j]],
                pull[j] + 2.0 * COMMITMENT * apart,
                10.0,
            );
            dropped = dropped.max(pull[j].abs());
        }
    }
    for k in 0..5 {
        for j in 0..3 {
            let step = |h: f64| {
                let mut codes = codes.clone();
                codes[[k, j]] += h;
                value(&z, &codes)
            };
            let mine = (0..4).filter(|&i| chosen[i] == k);
            let expected: f64 = mine
                .map(|i| {
                    let pull = a.t().dot(&(a.dot(&codes.row(k)) - x.row(i))) * 2.0;
                    pull[j] - 2.0 * (1.0 + COMMITMENT) * (z[[i, j]] - codes[[k, j]])
                })
                .sum();
            worst.number(difference(&step), expected, 10.0);
        }
    }
    worst.within(
        1e-9,
        "true derivatives by differences, and the declared ones, on paper",
    );
    assert!(dropped > 1.0, "{dropped}");
}

#[test]
fn averages_take_the_place_of_the_gradient() {
    let mut rng = rng(723);
    let update = CodebookUpdate::MovingAverages {
        decay: 0.9,
        restart: 0.0,
    };
    let mut parameters = Parameters::<f64>::new();
    let model = VqVae::new(small(update), &mut parameters, &mut rng);
    let tape = Tape::new();
    let p = parameters.bind(&tape);
    let batch = Batch::from(tape.constant(grey(&mut rng, [6, 5])));
    for training in [true, false] {
        let mut step = Step {
            number: 0,
            training,
            rng: &mut rng,
        };
        let objective = model.objective(&p, &batch, &mut step);
        assert_eq!(objective.buffers.len(), if training { 3 } else { 0 });
        // The loss lacks ‖sg[z] - e‖², which could move nothing.
        let of = |name: &str| {
            objective
                .terms
                .iter()
                .find(|term| term.0 == name)
                .unwrap()
                .1
                .item()
        };
        let sum = COMMITMENT * of("commitment") - of("reconstruction") - of("log_prior");
        assert!((objective.loss.item() - sum).abs() < 1e-12);
    }
}
