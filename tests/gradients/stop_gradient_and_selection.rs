//! docs/gradients.md#stop-gradient-and-selection: what flows back through stopped values, selections and
//! straight-through estimates is declared, and checked against the declaration.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::gradients::{NearestError, nearest, straight_through};
use ndarray::{Array2, ArrayD, arr1, arr2};

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, Worst};
use crate::common::random::{matrix, random, rng};
use crate::gradients::shared::dynamic;

#[test]
fn of_stopped_values() {
    let mut rng = rng(141);
    let mut worst = Worst::default();
    let mut checked = Checked::default();
    for shape in [&[][..], &[4], &[3, 2], &[2, 1, 3]] {
        let (x, y_bar) = (random(&mut rng, shape), random(&mut rng, shape));
        let tape = Tape::new();
        let vx = tape.variable(x.clone());
        let stopped = vx.stop_gradient();
        assert_eq!(stopped.value(), vx.value());
        // x sg(x) has the value x² and the cotangent ȳ x, half of that of x².
        let product = vx * stopped;
        worst.entries(&owned(product.value()), &(&x * &x));
        let gradients = tape.pull_back(product, y_bar.clone(), &[]);
        worst.entries(&owned(gradients.wrt(vx)), &(&y_bar * &x));
        // And its own derivative, by the same declaration, is that of a constant.
        let first = tape.differentiable_gradients(product.sum()).wrt(vx);
        let second = tape.gradients(first.sum()).wrt(vx);
        worst.entries(&owned(second), &ArrayD::zeros(x.raw_dim()));
        let check = Check::new("stop-gradient-and-selection");
        let point = [x, y_bar];
        let report = check.run_surrogate(
            &point,
            |v| (v[0] - v[1].stop_gradient()).square() + v[0].stop_gradient().exp() * v[1],
            |live, frozen| (live[0] - frozen[1]).square() + frozen[0].exp() * live[1],
        );
        checked.add(report.unwrap());
        // Against the function itself, plain finite differences see that something was stopped.
        let plain = check.run(&point[..1], |v| v[0] * v[0].stop_gradient());
        assert!(plain.is_err(), "{plain:?}");
    }
    worst.within(1e-14, "stopped values: hand = autodiff");
    checked.print("against the declared surrogate");
}

#[test]
fn of_the_largest() {
    let mut rng = rng(142);
    let (mut worst, mut checked) = (Worst::default(), Checked::default());
    for (n, d, k) in [(1, 1, 1), (4, 6, 2), (3, 5, 0), (2, 4, 4), (5, 3, 9)] {
        let (x, y_bar) = (matrix(&mut rng, [n, d]), matrix(&mut rng, [n, d]));
        let tape = Tape::new();
        let vx = tape.variable(x.clone());
        let y = vx.keep_top_k(k, 1);
        let x_bar = owned(tape.pull_back(y, y_bar.clone(), &[]).wrt(vx));
        // An entry is kept if fewer than k others of its row are larger.
        let kept = |(i, j): (usize, usize)| (0..d).filter(|&l| x[[i, l]] > x[[i, j]]).count() < k;
        let mask = Array2::from_shape_fn((n, d), |at| f64::from(kept(at)));
        worst.entries(&owned(y.value()), &dynamic(&(&mask * &x)));
        worst.entries(&x_bar, &dynamic(&(&mask * &y_bar)));
        let check = Check::new("stop-gradient-and-selection");
        let point = [dynamic(&x)];
        checked.add(check.run(&point, |v| v[0].keep_top_k(k, 1)).unwrap());
        let second = check.run_second_order(&point, |v| v[0].keep_top_k(k, 1).square());
        checked.add(second.unwrap());
    }
    worst.within(0.0, "the k largest: hand = autodiff");
    checked.print("the k largest, first and second order");
    // Of equal entries the first; the largest, not the largest in magnitude; NaN last.
    let tape = Tape::new();
    let x = tape.variable(arr1(&[1.0, -9.0, 1.0, f64::NAN, 0.5]));
    let y = x.keep_top_k(1, 0);
    assert_eq!(y.value(), arr1(&[1.0, 0.0, 0.0, 0.0, 0.0]).into_dyn());
}

/// argmin_k |z_i - e_k|², by going through all of them.
fn nearest_by_hand(z: &Array2<f64>, codes: &Array2<f64>) -> Vec<usize> {
    z.outer_iter()
        .map(|z| {
            let distances: Vec<f64> = codes
                .outer_iter()
                .map(|e| (&z - &e).mapv(|x| x * x).sum())
                .collect();
            let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
            distances.iter().position(|&d| d == least).unwrap()
        })
        .collect()
}

/// Far from 0 the squares of vectors and codes cancel in their differences, and of many codes several are all but equally
/// near: the choice is that of the differences all the same.
#[test]
fn of_the_nearest_far_from_zero() {
    let mut rng = rng(150);
    for offset in [0.0, 1e3, -1e7, 1e12] {
        for scale in [1.0, 1e-6, 1e-160] {
            let z = matrix(&mut rng, [40, 3]) * scale + offset;
            let mut codes = matrix(&mut rng, [64, 3]) * scale + offset;
            // Some codes twice, and some on vectors.
            codes.row_mut(9).assign(&z.row(3));
            codes.row_mut(60).assign(&z.row(3));
            let expected = nearest_by_hand(&z, &codes);
            let found = nearest(z.view(), codes.view()).unwrap();
            // Where squares underflow, the loop by hand sees several codes at no distance at all.
            match offset == 0.0 && scale < 1e-100 {
                true => assert_eq!(found[3], 9),
                false => assert_eq!(found, expected, "offset {offset}, scale {scale}"),
            }
        }
    }
}

#[test]
fn of_the_nearest() {
    let mut rng = rng(143);
    let (mut worst, mut checked) = (Worst::default(), Checked::default());
    for (n, codes, d) in [(1, 1, 1), (7, 3, 2), (5, 8, 4), (20, 4, 1)] {
        let (z, e) = (matrix(&mut rng, [n, d]), matrix(&mut rng, [codes, d]));
        let rows = nearest(z.view(), e.view()).unwrap();
        assert_eq!(rows, nearest_by_hand(&z, &e));
        // A small move of z changes neither the choice nor the value: the derivative in z is 0.
        let near = &z + &(matrix(&mut rng, [n, d]) * 1e-9);
        assert_eq!(nearest(near.view(), e.view()).unwrap(), rows);
        // The chosen rows' cotangents add up where several chose the same code.
        let tape = Tape::new();
        let ve = tape.variable(e.clone());
        let y_bar = matrix(&mut rng, [n, d]);
        let e_bar = owned(tape.pull_back(ve.gather(&rows), y_bar.clone(), &[]).wrt(ve));
        let mut by_hand = Array2::<f64>::zeros((codes, d));
        for (i, &k) in rows.iter().enumerate() {
            for j in 0..d {
                by_hand[[k, j]] += y_bar[[i, j]];
            }
        }
        worst.entries(&e_bar, &dynamic(&by_hand));
        let check = Check::new("stop-gradient-and-selection");
        let point = [dynamic(&e)];
        checked.add(check.run(&point, |v| v[0].gather(&rows)).unwrap());
        checked.add(
            check
                .run_second_order(&point, |v| v[0].gather(&rows).square())
                .unwrap(),
        );
    }
    worst.within(1e-15, "chosen rows: hand = autodiff");
    checked.print("chosen rows, first and second order");

    let codes = arr2(&[[1.0], [-1.0], [1.0]]);
    assert_eq!(
        nearest(arr2(&[[0.0], [2.0]]).view(), codes.view()),
        Ok(vec![0, 0])
    );
    let none = Array2::<f64>::zeros((0, 1));
    assert_eq!(
        nearest(arr2(&[[0.0]]).view(), none.view()),
        Err(NearestError::NoCodes)
    );
    assert_eq!(nearest(none.view(), codes.view()), Ok(vec![]));
    for z in [arr2(&[[0.0], [f64::NAN]]), arr2(&[[0.5], [f64::INFINITY]])] {
        let far = arr2(&[[f64::INFINITY], [0.0]]);
        assert_eq!(
            nearest(z.view(), far.view()),
            Err(NearestError::NotANumber(1))
        );
    }
}

#[test]
fn of_straight_through_estimates() {
    let mut rng = rng(144);
    let mut checked = Checked::default();
    for (n, codes, d) in [(3, 4, 2), (5, 2, 3), (1, 1, 1)] {
        let (z, e) = (matrix(&mut rng, [n, d]), matrix(&mut rng, [codes, d]));
        let rows = nearest(z.view(), e.view()).unwrap();
        let tape = Tape::new();
        let (vz, ve) = (tape.variable(z.clone()), tape.variable(e.clone()));
        let chosen = ve.gather(&rows);
        let y = straight_through(chosen, vz);
        assert_eq!(y.value(), chosen.value());
        let y_bar = matrix(&mut rng, [n, d]);
        let gradients = tape.pull_back(y, y_bar.clone(), &[]);
        assert_eq!(owned(gradients.wrt(vz)), dynamic(&y_bar));
        assert!(gradients.wrt(ve).iter().all(|&g| g == 0.0));
        let check = Check::new("stop-gradient-and-selection");
        let point = [dynamic(&z), dynamic(&e)];
        let report = check.run_surrogate(
            &point,
            |v| straight_through(v[1].gather(&rows), v[0]).square(),
            |live, frozen| (frozen[1].gather(&rows) + live[0] - frozen[0]).square(),
        );
        checked.add(report.unwrap());
        // The derivative is a declaration: as a function of z the value does not move at all.
        let plain = check.run(&point[..1], |v| {
            straight_through(v[0].tape().constant(e.clone()).gather(&rows), v[0])
        });
        assert!(plain.is_err(), "{plain:?}");
    }
    checked.print("straight through, against the declared surrogate");
}

#[test]
fn of_the_nearest_of_far_and_close_codes() {
    // Squares of these distances are ∞ or 0.
    let at = |z: f64, codes: &[f64]| {
        let codes = Array2::from_shape_fn((codes.len(), 1), |(k, _)| codes[k]);
        nearest(arr2(&[[z]]).view(), codes.view()).unwrap()[0]
    };
    for unit in [1e-323, 1e-310, 1e-200, 1e-160, 1.0, 1e154, 1e200, 1e307] {
        assert_eq!(at(0.0, &[3.0 * unit, unit]), 1, "{unit:e}");
        assert_eq!(at(0.0, &[unit, -unit, 0.5]), if unit < 0.5 { 0 } else { 2 });
        assert_eq!(at(unit, &[3.0 * unit, unit, unit]), 1, "{unit:e}");
    }
    // One far away does not hide that two are close, nor one close that two are far.
    assert_eq!(at(0.0, &[1e200, 3e-200, 1e-200]), 2);
    assert_eq!(at(0.0, &[3e200, f64::INFINITY, 2e200]), 2);
    // The differences themselves overflow.
    assert_eq!(at(1.7e308, &[-1.7e308, -1.6e308]), 1);
    assert_eq!(at(0.0, &[f64::INFINITY, f64::NEG_INFINITY]), 0);
    let single = arr2(&[[3e20f32], [2e19]]);
    assert_eq!(nearest(arr2(&[[0f32]]).view(), single.view()), Ok(vec![1]));
    // In several dimensions, as without the powers of 2.
    let mut rng = rng(145);
    for exponent in [-800, -530, 520, 900] {
        for _ in 0..20 {
            let (z, e) = (matrix(&mut rng, [5, 3]), matrix(&mut rng, [6, 3]));
            let unit = 2f64.powi(exponent);
            let moved = nearest((&z * unit).view(), (&e * unit).view()).unwrap();
            assert_eq!(moved, nearest_by_hand(&z, &e));
        }
    }
}

#[test]
fn of_the_nearest_to_what_is_infinitely_far() {
    let codes = arr2(&[[0.0, 1.0], [2.0, 3.0]]);
    for z in [f64::INFINITY, f64::NEG_INFINITY] {
        let z = arr2(&[[0.5, 0.5], [z, 0.0]]);
        assert_eq!(
            nearest(z.view(), codes.view()),
            Err(NearestError::Infinite(1))
        );
    }
    // A code may be.
    let codes = arr2(&[[f64::INFINITY, 0.0], [2.0, 3.0]]);
    assert_eq!(
        nearest(arr2(&[[0.5, 0.5]]).view(), codes.view()),
        Ok(vec![1])
    );
}

#[test]
fn what_was_not_chosen_has_no_gradient_and_neither_has_an_arithmetic_zero() {
    // ln has an infinite slope at 0 and none below, where it was not chosen.
    let tape = Tape::new();
    let x = tape.variable(arr1(&[-1.0, 0.0, 2.0]));
    let positive = x.value().mapv(|x| x > 0.0).into_shared();
    let y = x.ln().select(&positive, tape.scalar(0.0)).sum();
    assert_eq!(tape.gradients(y).wrt(x), arr1(&[0.0, 0.0, 0.5]).into_dyn());
    // The price: these are x, with the derivative 1, and have it everywhere but at 0.
    type Identity = for<'t> fn(Var<'t, f64>) -> Var<'t, f64>;
    let roundabout: [Identity; 3] = [|x| 1.0 / (1.0 / x), |x| x.sqrt().square(), |x| x.ln().exp()];
    for f in roundabout {
        let slope = |at: f64| {
            let tape = Tape::new();
            let x = tape.variable(arr1(&[at]));
            let y = f(x);
            assert!((y.value()[[0]] - at).abs() <= 1e-14 * at);
            tape.gradients(y.sum()).wrt(x)[[0]]
        };
        assert_eq!(slope(0.0), 0.0);
        for at in [1e-12, 0.25, 3.0] {
            assert!((slope(at) - 1.0).abs() < 1e-14, "{at}: {}", slope(at));
        }
    }
}
