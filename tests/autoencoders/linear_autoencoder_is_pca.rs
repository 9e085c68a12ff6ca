//! docs/autoencoders.md#linear-autoencoder-is-pca: the least error is the sum of the dropped eigenvalues, and every other
//! critical point is a saddle.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::autoencoders::{Autoencoder, Centring, Pca, ReconstructionLoss, Structure};
use elbo::nn::{Activation, Adam, Batch, Model, Parameters, Step};
use elbo::vae::symmetric_eigen;
use ndarray::{Array1, Array2, ArrayD, Axis, arr2, s};
use rand::rngs::StdRng;

use super::shared::gradients;
use crate::common::comparing::{Checked, Worst};
use crate::common::linear_algebra::inverse;
use crate::common::random::{matrix, rng, vector};

/// Data of n rows and d dimensions with different variances and a mean.
fn data(rng: &mut StdRng, [n, d]: [usize; 2]) -> Array2<f64> {
    let scales = Array1::from_shape_fn(d, |i| 2.0 / (1.0 + i as f64));
    let mix = matrix(rng, [d, d]);
    (matrix(rng, [n, d]) * scales).dot(&mix) + vector(rng, d)
}

/// The mean error of x̂ = D(E(x - m)) + m, from E of shape (k, D) and D of shape (D, k).
fn error<'t>(v: &[Var<'t, f64>], centred: &Array2<f64>) -> Var<'t, f64> {
    let x = v[0].tape().constant(centred.clone());
    (x.matmul(v[0].t()).matmul(v[1].t()) - x)
        .square()
        .sum_last()
        .mean()
}

/// E = M⁻¹U_Kᵀ and D = U_K M for the axes of the given numbers.
fn critical(pca: &Pca, axes: &[usize], m: &Array2<f64>) -> Vec<ArrayD<f64>> {
    let u = pca.spectrum.vectors.select(Axis(1), axes);
    vec![inverse(m).dot(&u.t()).into_dyn(), u.dot(m).into_dyn()]
}

#[test]
fn the_gradient_by_hand() {
    let mut rng = rng(610);
    let mut worst = Worst::default();
    for [d, k] in [[2, 1], [4, 2], [3, 3]] {
        let x = data(&mut rng, [7, d]);
        let x = &x - &x.mean_axis(Axis(0)).unwrap();
        let s = x.t().dot(&x) / 7.0;
        let (e, u) = (matrix(&mut rng, [k, d]), matrix(&mut rng, [d, k]));
        let at = [e.clone().into_dyn(), u.clone().into_dyn()];
        let (value, slopes) = gradients(&at, |v| error(v, &x));
        // R = I - DE: ∂E = -2 Dᵀ R S, ∂D = -2 R S Eᵀ.
        let r = Array2::<f64>::eye(d) - u.dot(&e);
        let by_hand = r.dot(&s).dot(&r.t()).diag().sum();
        worst.relative(value, by_hand);
        worst.entries(&slopes[0], &(u.t().dot(&r).dot(&s) * -2.0).into_dyn());
        worst.entries(&slopes[1], &(r.dot(&s).dot(&e.t()) * -2.0).into_dyn());
    }
    worst.within(1e-12, "tr RSRᵀ and its gradients");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(611);
    let mut checked = Checked::default();
    let check = Check::new("linear-autoencoder-is-pca");
    let x = data(&mut rng, [6, 3]);
    let point = [
        matrix(&mut rng, [2, 3]).into_dyn(),
        matrix(&mut rng, [3, 2]).into_dyn(),
    ];
    checked.add(check.run(&point, |v| error(v, &x)).unwrap());
    checked.add(check.run_second_order(&point, |v| error(v, &x)).unwrap());
    checked.print("first and second order");
}

#[test]
fn every_choice_of_axes_is_critical_and_the_leading_one_is_best() {
    let mut rng = rng(612);
    let (mut value, mut slope) = (Worst::default(), Worst::default());
    for centring in [Centring::Mean, Centring::Origin] {
        for d in [2, 4] {
            let x = data(&mut rng, [9, d]);
            let pca = Pca::fit(x.view(), centring).unwrap();
            let centred = &x - &pca.centre;
            let total = pca.spectrum.values.sum();
            for k in 1..d {
                value.number(pca.error_on(x.view(), k), pca.error(k), total);
                for bits in 0..1u32 << d {
                    let axes: Vec<usize> = (0..d).filter(|i| bits >> i & 1 == 1).collect();
                    if axes.len() != k {
                        continue;
                    }
                    // Columns that are no eigenvectors: U_K M for any invertible M.
                    let m = matrix(&mut rng, [k, k]) + Array2::<f64>::eye(k) * 3.0;
                    let (found, slopes) =
                        gradients(&critical(&pca, &axes, &m), |v| error(v, &centred));
                    let kept: f64 = axes.iter().map(|&i| pca.spectrum.values[i]).sum();
                    value.number(found, total - kept, total);
                    for slopes in slopes {
                        slopes.iter().for_each(|&s| slope.number(s, 0.0, total));
                    }
                    assert!(found >= pca.error(k) - 1e-12 * total);
                }
            }
        }
    }
    value.within(
        1e-12,
        "errors at all choices of k axes, and sums of eigenvalues",
    );
    slope.within(1e-12, "gradients there");
}

/// ∂²error over the entries of E and D, as a matrix.
fn hessian(point: &[ArrayD<f64>], x: &Array2<f64>) -> Array2<f64> {
    let tape = Tape::new();
    let v: Vec<Var<'_, f64>> = point.iter().map(|p| tape.variable(p.clone())).collect();
    let gradients = tape.differentiable_gradients(error(&v, x));
    let slopes: Vec<Var<'_, f64>> = v.iter().map(|&v| gradients.wrt(v).flatten()).collect();
    let slope = tape.concatenate(0, &slopes);
    let n = slope.size();
    let mut rows = Array2::zeros((n, n));
    for i in 0..n {
        let unit = Array1::from_shape_fn(n, |j| f64::from(u8::from(i == j)));
        let row = tape.pull_back(slope, unit, &[]);
        let entries = v.iter().flat_map(|&v| row.wrt(v).into_owned().into_iter());
        rows.row_mut(i).assign(&Array1::from_iter(entries));
    }
    rows
}

#[test]
fn other_critical_points_are_saddles() {
    let mut rng = rng(613);
    let mut along = Worst::default();
    let (d, k) = (4, 2);
    let x = data(&mut rng, [9, d]);
    let pca = Pca::fit(x.view(), Centring::Mean).unwrap();
    let (centred, values) = (&x - &pca.centre, &pca.spectrum.values);
    for axes in [[0, 1], [0, 2], [1, 2], [0, 3], [2, 3]] {
        let point = critical(&pca, &axes, &Array2::eye(k));
        let h = hessian(&point, &centred);
        let least = *symmetric_eigen(&((&h + &h.t()) * 0.5))
            .unwrap()
            .values
            .last()
            .unwrap();
        println!("axes {axes:?}: least eigenvalue of the Hessian {least:.4}");
        assert_eq!(axes == [0, 1], least > -1e-10, "{axes:?}: {least}");
        // Turning axis i of the code towards axis j: the second derivative is 2(λ_i - λ_j).
        for (position, &i) in axes.iter().enumerate() {
            for j in (0..d).filter(|j| !axes.contains(j)) {
                let u_j = pca.spectrum.vectors.column(j);
                let mut turned = Array2::zeros((k, d));
                turned.row_mut(position).assign(&u_j);
                let direction =
                    Array1::from_iter(turned.iter().chain(turned.t().to_owned().iter()).copied());
                let second = direction.dot(&h.dot(&direction));
                along.number(second, 2.0 * (values[i] - values[j]), values[0]);
            }
        }
    }
    along.within(1e-11, "curvature from axis i to axis j: 2(λ_i - λ_j)");
}

#[test]
fn training_reaches_the_subspace() {
    let mut rng = rng(614);
    let (d, k) = (5, 2);
    let x = data(&mut rng, [40, d]);
    let pca = Pca::fit(x.view(), Centring::Mean).unwrap();
    let structure = Structure {
        dimensions: d,
        hidden: Vec::new(),
        code: k,
        code_activation: Activation::Identity,
        activation: Activation::Identity,
        tied: false,
        loss: ReconstructionLoss::SquaredError,
    };
    let mut parameters = Parameters::new();
    let model = Autoencoder::new(structure, &mut parameters, &mut rng);
    let (mut tape, mut last) = (Tape::new(), 0.0);
    for rate in [0.03, 0.003, 0.0003] {
        let mut adam = Adam::new(rate);
        for _ in 0..2000 {
            let (loss, gradients) = parameters.value_and_gradients(&mut tape, |p| {
                let batch = Batch::from(p.tape().constant(x.clone()));
                let loss = model
                    .objective(p, &batch, &mut Step::evaluation(&mut rng))
                    .loss;
                (loss, loss.item())
            });
            adam.step(&mut parameters, &gradients);
            last = loss;
        }
    }
    println!(
        "trained to {last:.8}, the dropped eigenvalues sum to {:.8}",
        pca.error(k)
    );
    assert!(last >= pca.error(k) * (1.0 - 1e-12) && last < pca.error(k) * (1.0 + 1e-6));
    // The columns of D span the leading axes: what is left of them beside those is nothing.
    let decoder = parameters.get("decoder.0.weight").unwrap().to_owned();
    let decoder: Array2<f64> = decoder.into_owned().into_dimensionality().unwrap();
    let axes = pca.axes(k);
    let beside = &decoder - &axes.dot(&axes.t().dot(&decoder));
    assert!(beside.iter().all(|b| b.abs() < 1e-3), "{beside}");
    // But they are no eigenvectors: they need not be orthogonal.
    let gram = decoder.t().dot(&decoder);
    assert!(gram[[0, 1]].abs() > 1e-3, "{gram}");
}

#[test]
fn limits() {
    // Equal eigenvalues: every direction of their plane is as good.
    let square = arr2(&[[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]);
    for angle in [0.0f64, 0.3, 1.0] {
        let u = arr2(&[[angle.cos()], [angle.sin()]]);
        let (found, _) = gradients(&[u.t().to_owned().into_dyn(), u.into_dyn()], |v| {
            error(v, &square)
        });
        assert!((found - 0.5).abs() < 1e-15);
    }
    let pca = Pca::fit(square.view(), Centring::Mean).unwrap();
    assert_eq!(
        [pca.error(0), pca.error(1), pca.error(2), pca.error(9)],
        [1.0, 0.5, 0.0, 0.0]
    );
    // Biases are worth the mean: without them it takes an axis of its own.
    let far = &square + 100.0;
    let [with, without] =
        [Centring::Mean, Centring::Origin].map(|c| Pca::fit(far.view(), c).unwrap().error(1));
    assert!((with - 0.5).abs() < 1e-10 && (without - 0.5).abs() < 1e-4);
    assert!((Pca::fit(far.view(), Centring::Origin).unwrap().error(0) - 20001.0).abs() < 1e-8);
    // Units do not matter, nor does a constant column, nor a single datum.
    let mut rng = rng(615);
    let x = data(&mut rng, [6, 3]);
    let exact = Pca::fit(x.view(), Centring::Mean).unwrap().error(1);
    for unit in [1e-60, 1e60] {
        let scaled = Pca::fit((&x * unit).view(), Centring::Mean)
            .unwrap()
            .error(1);
        assert!((scaled / (exact * unit * unit) - 1.0).abs() < 1e-12);
    }
    let mut wide = Array2::from_elem((6, 4), 7.0);
    wide.slice_mut(s![.., ..3]).assign(&x);
    assert!((Pca::fit(wide.view(), Centring::Mean).unwrap().error(1) / exact - 1.0).abs() < 1e-12);
    let one = Pca::fit(x.slice(s![..1, ..]), Centring::Mean).unwrap();
    assert_eq!(one.error(1), 0.0);
    assert!(Pca::fit(arr2(&[[f64::NAN]]).view(), Centring::Mean).is_err());
}
