//! docs/autoencoders.md#k-sparse: the gradient on the support, and when the loss is the least-squares residual.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Value, Var, top_k_mask};
use elbo::autoencoders::{
    Coding, KSparse, ReconstructionLoss, Structure, UnitStatistics, keep_largest,
    least_squares_residual, support,
};
use elbo::nn::{Activation, Schedule};
use ndarray::{Array1, Array2, Axis, arr1, arr2};
use rand::Rng;

use super::shared::{gradients, loss, networks, small};
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::linear_algebra::inverse;
use crate::common::random::{matrix, rng, vector};

/// ‖x - Wᵀz‖², z the k largest of W(x - c), for rows x; from W of shape (units, D), less c.
fn residual<'t>(w: Var<'t, f64>, centred: &Array2<f64>, k: usize) -> Var<'t, f64> {
    let x = w.tape().constant(centred.clone());
    let z = keep_largest(x.matmul(w.t()), k);
    (z.matmul(w) - x).square().sum_last().mean()
}

/// 1 at the k largest entries of every row, else 0, by sorting the row's places.
fn mask_of(z: &Array2<f64>, k: usize) -> Array2<f64> {
    let mut mask = Array2::zeros(z.raw_dim());
    for (i, row) in z.rows().into_iter().enumerate() {
        let mut places: Vec<usize> = (0..row.len()).collect();
        places.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        for &j in places.iter().take(k) {
            mask[[i, j]] = 1.0;
        }
    }
    mask
}

#[test]
fn gradient_in_two_parts_by_hand() {
    let mut rng = rng(650);
    let (mut gradient, mut outside) = (Worst::default(), 0);
    for [n, d, units, k] in [[1, 3, 4, 2], [5, 4, 6, 2], [4, 2, 3, 3], [3, 3, 5, 0]] {
        let (w, x) = (matrix(&mut rng, [units, d]), matrix(&mut rng, [n, d]));
        let (_, found) = gradients(&[w.clone().into_dyn()], |v| residual(v[0], &x, k));
        let z = x.dot(&w.t());
        let mask = mask_of(&z, k);
        let kept = &z * &mask;
        let r = (kept.dot(&w) - &x) * (2.0 / n as f64);
        // Decoder z(2r)ᵀ, encoder (2Wr ⊙ mask)xᵀ.
        let decoder = kept.t().dot(&r);
        let encoder = (r.dot(&w.t()) * &mask).t().dot(&x);
        gradient.entries(&found[0], &(decoder + encoder).into_dyn());
        // A unit that no datum keeps has no gradient at all.
        for unit in (0..units).filter(|&unit| mask.column(unit).sum() == 0.0) {
            assert!(found[0].index_axis(Axis(0), unit).iter().all(|&g| g == 0.0));
            outside += 1;
        }
    }
    assert!(outside > 0);
    gradient.within(REARRANGED, "z(2r)ᵀ + (2Wr ⊙ mask)xᵀ");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(651);
    let mut checked = Checked::default();
    let check = Check::new("k-sparse");
    let x = matrix(&mut rng, [4, 3]);
    let w = matrix(&mut rng, [5, 3]);
    checked.add(
        check
            .run_surrogate(
                &[w.into_dyn()],
                |v| residual(v[0], &x, 2),
                |live, fixed| {
                    let x = live[0].tape().constant(x.clone());
                    let mask = support(&x.matmul(fixed[0].t()).value(), 2);
                    let z = x.matmul(live[0].t()).keep_where(&mask);
                    (z.matmul(live[0]) - x).square().sum_last().mean()
                },
            )
            .unwrap(),
    );
    for tied in [true, false] {
        let structure = Structure {
            code: 4,
            code_activation: Activation::Identity,
            tied,
            hidden: vec![3],
            ..small()
        };
        let (model, _, p) = networks(structure, &mut rng);
        let model = KSparse::new(model, 2.0);
        // Small steps do not change which entries are largest.
        let check = Check::new("k-sparse").largest_step(1e-4);
        checked.add(check.run(&p, |p| loss(&model, p, &x, 0)).unwrap());
    }
    checked.print("with the support frozen, and every weight of a model");
}

#[test]
fn the_support_is_that_of_a_sort() {
    let mut rng = rng(652);
    for _ in 0..300 {
        let shape = [rng.random_range(1..4), rng.random_range(1..8)];
        // Few different values: ties; and now and then a NaN or an infinity.
        let z: Array2<f64> =
            Array2::from_shape_simple_fn(shape, || match rng.random_range(0..12) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 => f64::NEG_INFINITY,
                i => f64::from(i % 4) - 1.5,
            });
        let has_nan = z.iter().any(|z| z.is_nan());
        let z: Value<f64> = z.into_dyn().into_shared();
        for k in 0..=shape[1] + 1 {
            let (found, by_sort) = (support(&z, k), top_k_mask(&z, k, 1));
            let counts = found
                .rows()
                .into_iter()
                .map(|row| row.iter().filter(|&&kept| kept).count());
            assert!(counts.into_iter().all(|count| count == k.min(shape[1])));
            if !has_nan || z.iter().all(|&z| z != f64::NEG_INFINITY) {
                assert_eq!(found, by_sort, "{z} {k}");
            }
        }
    }
    // The largest, not the largest in magnitude: with one positive code, a negative one is kept.
    let tape = Tape::new();
    let z = keep_largest(tape.constant(arr2(&[[-5.0, 1.0, -2.0, -0.5]])), 2);
    assert_eq!(
        z.value(),
        arr2(&[[0.0, 1.0, 0.0, -0.5]]).into_dyn().into_shared()
    );
}

/// min_c ‖x - Aᵀc‖² by the normal equations.
fn normal_equations(x: &Array1<f64>, a: &Array2<f64>) -> f64 {
    let c = inverse(&a.dot(&a.t())).dot(&a.dot(x));
    let r = x - &a.t().dot(&c);
    r.dot(&r)
}

#[test]
fn the_loss_is_least_squares_exactly_for_orthonormal_rows() {
    let mut rng = rng(653);
    let (mut exact, mut oracle) = (Worst::default(), Worst::default());
    let mut larger = 0;
    for _ in 0..50 {
        let (d, k) = (4, 2);
        let x = vector(&mut rng, d);
        let w = matrix(&mut rng, [6, d]);
        let z = w.dot(&x);
        let rows: Vec<usize> = {
            let mask = mask_of(&z.clone().insert_axis(Axis(0)), k);
            (0..6).filter(|&j| mask[[0, j]] == 1.0).collect()
        };
        let chosen = w.select(Axis(0), &rows);
        let least = least_squares_residual(x.view(), chosen.view());
        oracle.number(least, normal_equations(&x, &chosen), x.dot(&x));
        let tape = Tape::new();
        let of = |w: &Array2<f64>| {
            residual(tape.constant(w.clone()), &x.clone().insert_axis(Axis(0)), k).item()
        };
        assert!(of(&w) >= least - 1e-12);
        larger += usize::from(of(&w) > least + 1e-3);
        // Orthonormal rows: turn the identity.
        let turned = elbo::vae::symmetric_eigen(&(&w.t().dot(&w) * 1.0))
            .unwrap()
            .vectors;
        let z = turned.dot(&x);
        let mask = mask_of(&z.insert_axis(Axis(0)), k);
        let rows: Vec<usize> = (0..d).filter(|&j| mask[[0, j]] == 1.0).collect();
        let least = least_squares_residual(x.view(), turned.select(Axis(0), &rows).view());
        exact.number(of(&turned), least, x.dot(&x));
    }
    oracle.within(
        1e-11,
        "least squares by Gram–Schmidt and by the normal equations",
    );
    exact.within(1e-13, "orthonormal rows: loss = least squares");
    println!("rows of any kind: the loss is larger for {larger} of 50 inputs");
    assert!(larger > 45);
}

#[test]
fn a_bias_of_the_code_is_in_the_way() {
    // Orthonormal rows, W = I, and a code Wx + b: the loss exceeds least squares by ‖b on the support‖².
    let structure = Structure {
        code: 3,
        code_activation: Activation::Identity,
        tied: true,
        loss: ReconstructionLoss::SquaredError,
        ..small()
    };
    let (model, parameters, _) = networks(structure, &mut rng(655));
    let model = KSparse::new(model, 2.0);
    let names: Vec<&str> = parameters.iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["encoder.0.weight", "encoder.0.bias", "decoder.0.bias"]
    );
    let x = arr1(&[3.0, 2.0, -1.0]);
    let eye = Array2::<f64>::eye(3);
    for (b, rows, least, excess) in [
        ([0.0, 0.0, 0.0], [0, 1], 1.0, 0.0),
        ([0.5, -0.25, 0.0], [0, 1], 1.0, 0.3125),
        // Outside the support it costs nothing.
        ([0.5, -0.25, -7.0], [0, 1], 1.0, 0.3125),
        // It also decides what the support is.
        ([-5.0, 0.0, 0.5], [1, 2], 9.0, 0.25),
    ] {
        let p = [
            eye.clone().into_dyn(),
            arr1(&b).into_dyn(),
            Array1::zeros(3).into_dyn(),
        ];
        let data = x.clone().insert_axis(Axis(0));
        let (found, _) = gradients(&p, |p| loss(&model, p, &data, 0));
        let chosen = eye.select(Axis(0), &rows);
        assert_eq!(least_squares_residual(x.view(), chosen.view()), least);
        assert!((found - least - excess).abs() < 1e-15, "{b:?}: {found}");
    }
}

#[test]
fn limits() {
    let mut rng = rng(654);
    let x = vector(&mut rng, 3);
    let none = Array2::<f64>::zeros((0, 3));
    let square = x.dot(&x);
    assert_eq!(least_squares_residual(x.view(), none.view()), square);
    // Rows that are 0, repeated, tiny, huge or dependent.
    let row = arr2(&[[1.0, 2.0, 3.0]]);
    let single = least_squares_residual(x.view(), row.view());
    for unit in [1e-200, 1.0, 1e200] {
        let mut rows = Array2::zeros((3, 3));
        rows.row_mut(1).assign(&(&row.row(0) * unit));
        rows.row_mut(2).assign(&(&row.row(0) * (-2.0 * unit)));
        let found = least_squares_residual(x.view(), rows.view());
        assert!(
            (found - single).abs() < 1e-12 * square,
            "{unit}: {found} {single}"
        );
    }
    let all = matrix(&mut rng, [4, 3]);
    assert!(least_squares_residual(x.view(), all.view()) < 1e-20);
    // k = 0 keeps nothing, k >= units everything: then the autoencoder is the linear one.
    let structure = Structure {
        code_activation: Activation::Identity,
        tied: true,
        loss: ReconstructionLoss::SquaredError,
        ..small()
    };
    let (model, parameters, p) = networks(structure, &mut rng);
    let data = matrix(&mut rng, [4, 3]);
    let plain = gradients(&p, |p| loss(&model, p, &data, 0));
    let wide = KSparse::new(model.clone(), 2.0);
    assert_eq!(gradients(&p, |p| loss(&wide, p, &data, 0)), plain);
    let nothing = KSparse::new(model.clone(), 0.0);
    assert!(
        nothing
            .codes(&parameters, data.view())
            .iter()
            .all(|&z| z == 0.0)
    );
    // k follows its schedule: 2 at the start, 1 at the end; codes after training have the last k.
    let annealed = KSparse::new(model.clone(), Schedule::linear(2.0, 1.0, 10));
    let [first, last] =
        [0, 10].map(|number| gradients(&p, |p| loss(&annealed, p, &data, number)).0);
    assert_eq!(first, plain.0);
    assert_eq!(
        last,
        gradients(&p, |p| loss(&KSparse::new(model.clone(), 1.0), p, &data, 0)).0
    );
    assert_eq!([annealed.kept(), annealed.with_kept(2).kept()], [1, 2]);
}

#[test]
fn dead_units_are_counted() {
    let codes = arr2(&[
        [0.0f32, 1.0, 0.0, -0.5],
        [0.0, 0.0, 0.0, 0.5],
        [0.0, 2.0, 0.0005, 0.0],
    ]);
    let statistics = UnitStatistics::of(codes.view());
    assert_eq!(statistics.dead(), 2);
    assert_eq!(statistics.means[1], 1.0);
    assert!((statistics.nonzero - 5.0 / 12.0).abs() < 1e-12);
    assert_eq!(statistics.ranges[3], (-0.5, 0.5));
}

#[test]
fn the_jacobian_has_the_rows_of_the_units_that_are_kept() {
    let mut rng = rng(77);
    let structure = Structure {
        hidden: vec![4],
        code: 5,
        code_activation: Activation::Identity,
        ..small()
    };
    let (networks, parameters, _) = networks(structure, &mut rng);
    let model = KSparse::new(networks, Schedule::constant(2.0));
    let x = matrix(&mut rng, [3, 3]);
    let tape = Tape::new();
    let p = parameters.bind_constant(&tape);
    let input = tape.variable(x);
    let code = model.code(&p, input);
    let mask = model.kept_units(&p, input).expect("k units are kept");
    let rows = ndarray::Array3::from_shape_fn((1, 5, 5), |(_, i, j)| f64::from(i == j));
    let jacobian = (model.autoencoder())
        .pull_back(&p, input, tape.constant(rows))
        .value();
    for unit in 0..5 {
        let weight = ndarray::Array2::from_shape_fn((3, 5), |(_, j)| f64::from(j == unit));
        let along = (code * tape.constant(weight)).sum();
        let gradient = tape.gradients(along);
        let found = gradient.wrt(input);
        for datum in 0..3 {
            let kept = mask[[datum, unit]];
            assert_eq!(kept, code.value()[[datum, unit]] != 0.0);
            for i in 0..3 {
                let expected = if kept {
                    jacobian[[datum, unit, i]]
                } else {
                    0.0
                };
                let found = found[[datum, i]];
                assert!((found - expected).abs() < 1e-14, "{found} {expected}");
            }
        }
    }
}
