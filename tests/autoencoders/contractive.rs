//! docs/autoencoders.md#contractive: ‖J‖² in closed form and by differentiating the Jacobian, for encoders of any depth.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::autoencoders::{Autoencoder, Contractive, JacobianNorm, Structure};
use elbo::nn::{Activation, Bound, Parameters};
use ndarray::{Array1, Array2, Array3, ArrayD, Axis, arr2};

use super::shared::{gradients, grey, loss, networks, sigmoid, small};
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::{matrix, random, rng};
use crate::common::statistics::Statistics;

fn two(x: &ArrayD<f64>) -> Array2<f64> {
    x.clone().into_dimensionality().unwrap()
}

/// The mean of ‖J‖² over x, from the parameters.
fn penalty<'t>(
    model: &Autoencoder,
    v: &[Var<'t, f64>],
    x: &Array2<f64>,
    norm: JacobianNorm,
) -> Var<'t, f64> {
    let p = Bound::from_vars(v);
    let x = p.tape().constant(x.clone());
    model.squared_jacobian(&p, x, norm, &mut rng(0)).0.mean()
}

/// J by the tape: one pass backwards from each unit, with the data as variables.
fn by_rows<'t>(model: &Autoencoder, v: &[Var<'t, f64>], x: &Array2<f64>) -> Var<'t, f64> {
    let p = Bound::from_vars(v);
    let tape = p.tape();
    let at = tape.variable(x.clone());
    let code = model.encode(&p, at);
    let rows = (0..code.shape()[1]).map(|unit| {
        let one = Array2::from_shape_fn((x.nrows(), code.shape()[1]), |(_, j)| {
            f64::from(u8::from(j == unit))
        });
        let row = tape
            .differentiable_pull_back(code, tape.constant(one))
            .wrt(at);
        row.square().sum()
    });
    let total = rows.fold(tape.scalar(0.0), |sum, row| sum + row);
    total * (1.0 / x.nrows() as f64)
}

fn structures() -> Vec<Structure> {
    let mut all = Vec::new();
    for activation in [
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Softplus,
        Activation::Identity,
        Activation::Relu,
    ] {
        for hidden in [vec![], vec![4], vec![4, 5]] {
            all.push(Structure {
                hidden,
                activation,
                code_activation: activation,
                ..small()
            });
        }
    }
    all
}

#[test]
fn gradient_by_hand() {
    let mut rng = rng(660);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for n in [1, 4] {
        let x = matrix(&mut rng, [n, 3]);
        let (model, _, p) = networks(small(), &mut rng);
        let w = two(&p[0]);
        let b: Array1<f64> = p[1].clone().into_dimensionality().unwrap();
        let h = (x.dot(&w.t()) + &b).mapv(sigmoid);
        let slope = &h * &(1.0 - &h);
        let norms = w.mapv(|w| w * w).sum_axis(Axis(1));
        let squares = slope.mapv(|s| s * s);
        let expected = (&squares * &norms).sum() / n as f64;
        // ∂W_ji = 2 s_j² W_ji + 2 |w_j|² s_j² (1 - 2h_j) x_i, ∂b_j the same without x_i.
        let through = &squares * &(1.0 - &h * 2.0) * &norms * (2.0 / n as f64);
        let direct = squares.sum_axis(Axis(0)) * (2.0 / n as f64);
        let by_w = through.t().dot(&x) + &w * &direct.insert_axis(Axis(1));
        let (found, slopes) = gradients(&p, |v| penalty(&model, v, &x, JacobianNorm::Exact));
        value.relative(found, expected);
        gradient.entries(&slopes[0], &by_w.into_dyn());
        gradient.entries(&slopes[1], &through.sum_axis(Axis(0)).into_dyn());
    }
    value.within(REARRANGED, "Σ_j [h_j(1-h_j)]² |w_j|²");
    gradient.within(REARRANGED, "its gradient by hand");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(661);
    let mut checked = Checked::default();
    let check = Check::new("contractive");
    let x = grey(&mut rng, [3, 3]);
    for structure in structures() {
        let (model, _, p) = networks(structure, &mut rng);
        let encoder = (p.len() / 2).max(1);
        for norm in [JacobianNorm::Exact, JacobianNorm::Sampled(2)] {
            let report = check.run(&p[..encoder], |v| {
                let tape = v[0].tape();
                let rest = p[encoder..].iter().map(|x| tape.constant(x.clone()));
                let all: Vec<_> = v.iter().copied().chain(rest).collect();
                penalty(&model, &all, &x, norm)
            });
            checked.add(report.unwrap());
        }
        let model = Contractive::new(model, 0.1);
        checked.add(check.run(&p, |v| loss(&model, v, &x, 0)).unwrap());
    }
    checked.print("‖J‖² exactly and with frozen directions, and every weight of a model");
}

#[test]
fn by_second_derivatives_and_the_explicit_jacobian() {
    let mut rng = rng(662);
    let (mut value, mut gradient, mut explicit) =
        (Worst::default(), Worst::default(), Worst::default());
    for structure in structures() {
        let x = grey(&mut rng, [3, 3]);
        let (model, parameters, p) = networks(structure, &mut rng);
        let (found, slopes) = gradients(&p, |v| penalty(&model, v, &x, JacobianNorm::Exact));
        let (oracle, by_tape) = gradients(&p, |v| by_rows(&model, v, &x));
        value.relative(found, oracle);
        let scale = by_tape
            .iter()
            .flatten()
            .fold(1e-300, |s: f64, x| s.max(x.abs()));
        for (found, expected) in slopes.iter().flatten().zip(by_tape.iter().flatten()) {
            gradient.number(*found, *expected, scale);
        }
        // All of J, one entry after the other.
        let tape = Tape::new();
        let bound = parameters.bind(&tape);
        let at = tape.variable(x.clone());
        let code = model.encode(&bound, at);
        let jacobian: Array3<f64> = {
            let value = model.jacobian(&bound, at).value().into_owned();
            value.into_dimensionality().unwrap()
        };
        for datum in 0..3 {
            for unit in 0..2 {
                let one =
                    Array2::from_shape_fn((3, 2), |at| f64::from(u8::from(at == (datum, unit))));
                let row = two(&tape.pull_back(code, one, &[]).wrt(at).into_owned());
                let found = jacobian.index_axis(Axis(0), datum).row(unit).to_owned();
                explicit.entries(&found.into_dyn(), &row.row(datum).to_owned().into_dyn());
            }
        }
    }
    value.within(1e-12, "‖J‖² by rows of the tape");
    gradient.within(1e-12, "its gradient by second derivatives");
    explicit.within(1e-12, "J entry by entry");
}

#[test]
fn random_directions_are_unbiased() {
    let mut rng = rng(663);
    for hidden in [vec![], vec![4]] {
        let structure = Structure { hidden, ..small() };
        let (model, parameters, _) = networks(structure, &mut rng);
        let x = Array2::from_shape_fn((100_000, 3), |(_, j)| 0.3 * j as f64 - 0.2);
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        let first = tape.constant(x.slice(ndarray::s![..1, ..]));
        let exact = model
            .squared_jacobian(&p, first, JacobianNorm::Exact, &mut rng)
            .0
            .item();
        let x = tape.constant(x);
        let draws = model
            .squared_jacobian(&p, x, JacobianNorm::Sampled(1), &mut rng)
            .0;
        Statistics::of(draws.value().iter()).agree_with(exact, "‖Jᵀv‖²");
    }
}

#[test]
fn limits() {
    let mut rng = rng(664);
    // Saturated units do not move: σ' is 0, also where 1 - h has no digits.
    let mut parameters = Parameters::<f64>::new();
    let model = Autoencoder::new(small(), &mut parameters, &mut rng);
    for bias in [-800.0, -40.0, 40.0, 800.0] {
        parameters
            .set("encoder.0.bias", Array1::from_elem(2, bias))
            .unwrap();
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        let x = tape.constant(arr2(&[[0.1, 0.2, 0.3]]));
        let found = model
            .squared_jacobian(&p, x, JacobianNorm::Exact, &mut rng)
            .0
            .item();
        assert!((0.0..1e-30).contains(&found), "{bias}: {found:e}");
    }
    // A linear encoder has ‖J‖² = ‖W‖² everywhere.
    let structure = Structure {
        code_activation: Activation::Identity,
        ..small()
    };
    let (model, _, p) = networks(structure, &mut rng);
    let x = matrix(&mut rng, [2, 3]) * 1e6;
    let (found, _) = gradients(&p, |v| penalty(&model, v, &x, JacobianNorm::Exact));
    assert!((found / p[0].iter().map(|w| w * w).sum::<f64>() - 1.0).abs() < 1e-14);
    // λ = 0 is the plain autoencoder.
    let free = Contractive::new(model.clone(), 0.0);
    let x = random(&mut rng, &[4, 3]).into_dimensionality().unwrap();
    let [with, without] = [
        gradients(&p, |v| loss(&free, v, &x, 0)),
        gradients(&p, |v| loss(&model, v, &x, 0)),
    ];
    assert_eq!(with, without);
}
