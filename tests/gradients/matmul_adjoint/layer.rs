//! The layer that trains: product, bias and activation in one operation.

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::nn;
use elbo::nn::Activation;
use ndarray::{Axis, Ix2};

use super::{LAYERS, dense, naive_product};
use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::{matrix, random, rng};

/// f'(a), as the section on activations gives it.
fn activation_slope(activation: Activation, a: f64) -> f64 {
    let sigmoid = |a: f64| 1.0 / (1.0 + (-a).exp());
    match activation {
        Activation::Identity => 1.0,
        Activation::Relu => f64::from(a > 0.0),
        Activation::Tanh => a.cosh().powi(-2),
        Activation::Sigmoid => sigmoid(a) * sigmoid(-a),
        Activation::Softplus => sigmoid(a),
    }
}

fn every_layer() -> impl Iterator<Item = (Activation, [usize; 3])> {
    let with = |activation| LAYERS.into_iter().map(move |layer| (activation, layer));
    Activation::ALL.into_iter().flat_map(with)
}

#[test]
fn of_the_layer_that_trains() {
    // Layer, bias and activation in one operation: Ā = Ȳ ⊙ f'(A) takes the place of Ȳ.
    let mut rng = rng(48);
    let (mut by_hand, mut composed) = (Worst::default(), Worst::default());
    for (activation, [batch, inputs, outputs]) in every_layer() {
        let (x, w) = (
            matrix(&mut rng, [batch, inputs]),
            matrix(&mut rng, [outputs, inputs]),
        );
        let (b, y_bar) = (
            random(&mut rng, &[outputs]),
            matrix(&mut rng, [batch, outputs]),
        );
        let tape = Tape::new();
        let v = [
            tape.variable(x.clone()),
            tape.variable(w.clone()),
            tape.variable(b.clone()),
        ];
        let fused = nn::dense(v[0], v[1], v[2], activation);
        let gradients = tape.pull_back(fused, y_bar.clone(), &[]);
        let a = (naive_product(x.view(), w.t()).into_dyn() + b)
            .into_dimensionality::<Ix2>()
            .unwrap();
        let a_bar = &y_bar * &a.mapv(|a| activation_slope(activation, a));
        let expected = [
            naive_product(a_bar.view(), w.view()).into_dyn(),
            naive_product(a_bar.t(), x.view()).into_dyn(),
            a_bar.sum_axis(Axis(0)).into_dyn(),
        ];
        let plain = activation.apply(dense(&v));
        let plain_gradients = tape.pull_back(plain, y_bar, &[]);
        composed.entries(&owned(fused.value()), &owned(plain.value()));
        for (v, expected) in v.into_iter().zip(&expected) {
            by_hand.entries(&owned(gradients.wrt(v)), expected);
            composed.entries(&owned(gradients.wrt(v)), &owned(plain_gradients.wrt(v)));
        }
    }
    by_hand.within(REARRANGED, "layer in one operation: hand = autodiff");
    composed.within(REARRANGED, "layer in one operation = composed of several");
}

#[test]
fn of_the_layer_that_trains_against_finite_differences() {
    let mut rng = rng(49);
    let mut checked = Checked::default();
    for (activation, [batch, inputs, outputs]) in every_layer() {
        // Data of one axis, and of three: the leading axes are all rows.
        for leading in [vec![batch], vec![], vec![2, batch]] {
            let data = [leading.as_slice(), &[inputs]].concat();
            let shapes = [data, vec![outputs, inputs], vec![outputs]];
            let point = shapes.map(|shape| random(&mut rng, &shape));
            let check = Check::new("matmul-adjoint");
            let report = check.run(&point, |v| nn::dense(v[0], v[1], v[2], activation));
            checked.add(report.unwrap());
        }
        let point = [vec![batch, inputs], vec![outputs, inputs], vec![outputs]]
            .map(|s| random(&mut rng, &s));
        let report = Check::new("matmul-adjoint")
            .run_second_order(&point, |v| nn::dense(v[0], v[1], v[2], activation).square());
        checked.add(report.unwrap());
    }
    checked.print("layer in one operation");
}
