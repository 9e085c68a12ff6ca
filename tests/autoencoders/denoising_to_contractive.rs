//! docs/autoencoders.md#denoising-to-contractive: what little noise does to a code is s²‖J‖², and to a reconstruction one term
//! more.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::autoencoders::{
    Autoencoder, JacobianNorm, ReconstructionLoss, Structure, reconstruction_expansion,
    sigmoid_expansion, sigmoid_slopes,
};
use elbo::distributions::noise::standard_normal;
use elbo::nn::{Activation, Parameters};
use ndarray::{Array1, Array2, arr1, arr2};

use super::shared::{networks, sigmoid, small};
use crate::common::comparing::{Checked, Worst};
use crate::common::quadrature::{gauss_hermite, gauss_hermite_grid};
use crate::common::random::{matrix, random, rng, vector};
use crate::common::statistics::{Statistics, slope};

/// E ‖σ(W(x + sε) + b) - σ(Wx + b)‖²: unit j sees the one number |w_j| ε.
fn exact(a: &Array1<f64>, w: &Array2<f64>, s: f64) -> f64 {
    let rule = gauss_hermite(40);
    let unit = |j: usize| -> f64 {
        let length = w.row(j).dot(&w.row(j)).sqrt();
        let term =
            |(e, p): &(f64, f64)| p * (sigmoid(a[j] + s * length * e) - sigmoid(a[j])).powi(2);
        rule.iter().map(term).sum()
    };
    (0..a.len()).map(unit).sum()
}

fn coefficients(a: &Array1<f64>, w: &Array2<f64>) -> [f64; 2] {
    let tape = Tape::new();
    let h = tape.constant(a.mapv(sigmoid));
    sigmoid_expansion(h, tape.constant(w.clone())).map(|c| c.item())
}

#[test]
fn slopes_of_the_sigmoid_by_the_tape() {
    let mut worst = Worst::default();
    for a in [-5.0, -0.7, 0.0, 1.3, 30.0] {
        let tape = Tape::new();
        let at = tape.variable(arr1(&[a]));
        let first = tape.differentiable_gradients(at.sigmoid().sum()).wrt(at);
        let second = tape.differentiable_gradients(first.sum()).wrt(at);
        let third = tape.differentiable_gradients(second.sum()).wrt(at);
        let found = sigmoid_slopes(tape.constant(arr1(&[sigmoid(a)])));
        for (found, exact) in found.iter().zip([first, second, third]) {
            worst.number(found.item(), exact.item(), 1.0);
        }
    }
    worst.within(1e-14, "σ', σ'', σ''' from h");
}

#[test]
fn coefficients_by_hand_and_by_derivatives() {
    let mut rng = rng(670);
    let (mut second, mut fourth, mut norm) = (Worst::default(), Worst::default(), Worst::default());
    for d in [1, 2, 3] {
        let (model, parameters, p) = networks(
            Structure {
                dimensions: d,
                ..small()
            },
            &mut rng,
        );
        let x = vector(&mut rng, d);
        let w: Array2<f64> = p[0].clone().into_dimensionality().unwrap();
        let b: Array1<f64> = p[1].clone().into_dimensionality().unwrap();
        let a = w.dot(&x) + b;
        let [c2, c4] = coefficients(&a, &w);
        // Σ_a ½‖H_a‖² + ¼(Δg_a)² + ∇g_a·∇Δg_a by differentiating the code three times.
        let tape = Tape::new();
        let bound = parameters.bind(&tape);
        let at = tape.variable(x.clone());
        let code = model.encode(&bound, at);
        let unit = |n: usize, i: usize| {
            tape.constant(Array1::from_shape_fn(n, |j| f64::from(u8::from(i == j))))
        };
        let (mut by_tape, mut squares) = (0.0, 0.0);
        for j in 0..2 {
            let slope = tape.differentiable_pull_back(code, unit(2, j)).wrt(at);
            let rows: Vec<Var<'_, f64>> = (0..d)
                .map(|i| tape.differentiable_pull_back(slope, unit(d, i)).wrt(at))
                .collect();
            let hessian: f64 = rows.iter().map(|row| row.square().sum().item()).sum();
            let laplacian = (0..d).fold(tape.scalar(0.0), |sum, i| {
                sum + rows[i].slice(0, i..i + 1).sum()
            });
            let third = tape.gradients(laplacian).wrt(at);
            let mixed: f64 = slope
                .value()
                .iter()
                .zip(third.iter())
                .map(|(g, t)| g * t)
                .sum();
            by_tape += 0.5 * hessian + 0.25 * laplacian.item().powi(2) + mixed;
            squares += slope.square().sum().item();
        }
        second.relative(c2, squares);
        fourth.number(c4, by_tape, c2);
        let x = tape.constant(x.insert_axis(ndarray::Axis(0)));
        let squared = model
            .squared_jacobian(&bound, x, JacobianNorm::Exact, &mut rng)
            .0;
        norm.relative(squared.item(), c2);
    }
    second.within(1e-12, "c₂ = ‖J‖² by the tape");
    fourth.within(1e-12, "c₄ by second and third derivatives");
    norm.within(1e-12, "c₂, and the contractive penalty");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(671);
    let mut checked = Checked::default();
    let check = Check::new("denoising-to-contractive");
    let point = [random(&mut rng, &[3, 2]), random(&mut rng, &[2, 4])];
    for order in 0..2 {
        checked.add(
            check
                .run(&point, |v| sigmoid_expansion(v[0].sigmoid(), v[1])[order])
                .unwrap(),
        );
    }
    checked.print("both coefficients, with respect to pre-activations and weights");
}

#[test]
fn the_ratio_goes_to_one_and_the_remainder_falls_as_it_should() {
    let mut rng = rng(672);
    let (a, w) = (vector(&mut rng, 3), matrix(&mut rng, [3, 4]));
    let [c2, c4] = coefficients(&a, &w);
    let (mut first, mut both) = (Vec::new(), Vec::new());
    for i in 0..6 {
        let s: f64 = 0.16 * 0.7f64.powi(i);
        let found = exact(&a, &w, s);
        println!("s = {s:.4}: ratio {:.6}", found / (s * s * c2));
        let rest = found - s * s * c2;
        first.push((s.ln(), rest.abs().ln()));
        both.push((s.ln(), (rest - s.powi(4) * c4).abs().ln()));
    }
    let (first, both) = (slope(&first), slope(&both));
    println!("slope of the remainder {first:.2}, and beyond s⁴ {both:.2}");
    assert!((first - 4.0).abs() < 0.3 && (both - 6.0).abs() < 0.4);
    let s = 1e-3;
    assert!((exact(&a, &w, s) / (s * s * c2) - 1.0).abs() < 1e-4);
}

/// A deep decoder and encoder of tanh units on the plane.
fn deep() -> Structure {
    Structure {
        dimensions: 2,
        hidden: vec![3],
        activation: Activation::Tanh,
        code_activation: Activation::Tanh,
        loss: ReconstructionLoss::SquaredError,
        ..small()
    }
}

fn reconstruct<'t>(
    model: &Autoencoder,
    parameters: &Parameters<f64>,
    x: Var<'t, f64>,
) -> Var<'t, f64> {
    let p = parameters.bind_constant(x.tape());
    model.decode(&p, model.encode(&p, x))
}

#[test]
fn a_reconstruction_has_one_term_more() {
    let mut rng = rng(673);
    let (model, parameters, _) = networks(deep(), &mut rng);
    let x = vector(&mut rng, 2);
    let found = reconstruction_expansion(&x, |x| reconstruct(&model, &parameters, x));
    let (grid, weights) = gauss_hermite_grid(12, 2);
    let expected = |s: f64| -> f64 {
        let tape = Tape::new();
        let noisy = tape.constant(&grid * s + &x);
        let again = reconstruct(&model, &parameters, noisy).value().into_owned();
        let errors = &again.into_dimensionality::<ndarray::Ix2>().unwrap() - &x;
        errors
            .rows()
            .into_iter()
            .zip(&weights)
            .map(|(e, w)| w * e.dot(&e))
            .sum()
    };
    let leading = found.jacobian + found.curvature;
    let points: Vec<(f64, f64)> = (0..5)
        .map(|i| {
            let s = 0.2 * 0.7f64.powi(i);
            let rest = expected(s) - found.residual - s * s * leading;
            (s.ln(), rest.abs().ln())
        })
        .collect();
    println!(
        "‖x - r‖² {:.4}, ‖J‖² {:.4}, (r - x)·Δr {:.4}; remainder's slope {:.2}",
        found.residual,
        found.jacobian,
        found.curvature,
        slope(&points)
    );
    assert!((slope(&points) - 4.0).abs() < 0.3);
    assert!((expected(0.0) - found.residual).abs() < 1e-14);
    // The second term counts: without it the coefficient is wrong by more than a per cent.
    let s = 1e-3;
    let measured = (expected(s) - found.residual) / (s * s);
    assert!((measured - leading).abs() < 1e-4 * leading.abs());
    assert!((measured - found.jacobian).abs() > 1e-2 * found.jacobian);
}

#[test]
fn statistics() {
    let mut rng = rng(674);
    let (a, w) = (vector(&mut rng, 2), matrix(&mut rng, [2, 3]));
    let s = 0.3;
    let tape = Tape::new();
    let noise = standard_normal(&tape, &[100_000, 3], &mut rng);
    let code =
        (noise.matmul(tape.constant(w.clone()).t()) * s + tape.constant(a.clone())).sigmoid();
    let moved = (code - tape.constant(a.mapv(sigmoid))).square().sum_last();
    Statistics::of(moved.value().iter()).agree_with(exact(&a, &w, s), "‖g(x + sε) - g(x)‖²");
}

#[test]
fn limits() {
    // At a = 0 the sigmoid bends away on both sides: c₄ = -|w|⁴/32, exactly.
    let w = arr2(&[[2.0, 0.0]]);
    let [c2, c4] = coefficients(&arr1(&[0.0]), &w);
    assert_eq!([c2, c4], [0.25, -0.5]);
    // Where it is convex enough, it is positive.
    assert!(coefficients(&arr1(&[2.0]), &w)[1] > 0.0);
    // A linear reconstruction: no curvature, and the expansion ends with s².
    let m = arr2(&[[0.5, 1.0], [-1.0, 2.0]]);
    let x = arr1(&[1.0, -2.0]);
    let linear = reconstruction_expansion(&x, |x| x.tape().constant(m.clone()).matmul(x));
    assert_eq!(linear.curvature, 0.0);
    assert_eq!(linear.jacobian, 6.25);
    let error = m.dot(&x) - &x;
    assert!((linear.residual - error.dot(&error)).abs() < 1e-14);
    // A constant does not depend on x at all.
    let constant = reconstruction_expansion(&x, |x| x.tape().constant(arr1(&[1.0, 1.0])));
    assert_eq!([constant.jacobian, constant.curvature], [0.0, 0.0]);
    // Saturated units: no noise comes through.
    let [c2, c4] = coefficients(&arr1(&[60.0]), &w);
    assert!((0.0..1e-40).contains(&c2) && c4.abs() < 1e-40);
}
