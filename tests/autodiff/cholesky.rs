//! Cholesky factors and triangular solves.

use elbo::autodiff::Tape;
use ndarray::{Array2, ArrayD, arr2};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::panics::panic_message;
use crate::common::random::rng;

/// AAᵀ + shift I of a random k × k matrix A.
fn covariance(rng: &mut StdRng, k: usize, shift: f64) -> Array2<f64> {
    let a = Array2::from_shape_simple_fn((k, k), || rng.random_range(-2.0..2.0));
    a.dot(&a.t()) + Array2::<f64>::eye(k) * shift
}

fn largest(x: &ArrayD<f64>) -> f64 {
    x.iter().fold(0.0, |m, x| m.max(x.abs()))
}

#[test]
fn and_triangular_solves_undo_their_products() {
    let mut rng = rng(11);
    for k in [1, 2, 3, 7, 40] {
        let a = covariance(&mut rng, k, 0.1);
        let b = Array2::from_shape_simple_fn((k, 3), || rng.random_range(-2.0..2.0));
        let tape = Tape::new();
        let (a, b) = (tape.constant(a), tape.constant(b));
        let l = a.cholesky().unwrap();
        let scale = largest(&a.value().into_owned());
        let off = largest(&(l.matmul(l.t()) - a).value().into_owned());
        assert!(off <= 1e-14 * scale * k as f64, "LLᵀ - A: {off}");
        for (i, row) in l.value().outer_iter().enumerate() {
            assert!(row[i] > 0.0 && row.iter().skip(i + 1).all(|&x| x == 0.0));
        }
        let forward = largest(&(l.matmul(l.solve_lower(b)) - b).value().into_owned());
        let backward = l.t().matmul(l.solve_lower_transposed(b)) - b;
        let backward = largest(&backward.value().into_owned());
        assert!(forward.max(backward) <= 1e-12, "{forward} {backward}");
    }
}

#[test]
fn gradient_of_the_log_determinant_is_the_inverse() {
    // ∂ log |A| / ∂A = A⁻¹, and A⁻¹ times A is the identity.
    let mut rng = rng(12);
    for k in [1, 2, 5, 9] {
        let tape = Tape::new();
        let a = tape.variable(covariance(&mut rng, k, 0.5));
        let log_determinant = a.cholesky().unwrap().diagonal().ln().sum() * 2.0;
        let inverse = tape.constant(tape.gradients(log_determinant).wrt(a));
        let identity = tape.constant(Array2::<f64>::eye(k));
        let off = largest(&(inverse.matmul(a) - identity).value().into_owned());
        assert!(off <= 1e-12, "{off}");
    }
}

#[test]
fn refuses_what_has_no_factor() {
    let refused = |rows: &[&[f64]]| {
        let k = rows.len();
        let a = Array2::from_shape_vec((k, k), rows.concat()).unwrap();
        Tape::new().constant(a).cholesky().unwrap_err()
    };
    let indefinite = refused(&[&[1.0, 2.0], &[2.0, 1.0]]);
    assert_eq!((indefinite.pivot, indefinite.value), (1, -3.0));
    let message = indefinite.to_string();
    assert!(message.contains("-3e0 as the pivot of row 1"), "{message}");
    assert_eq!(refused(&[&[0.0]]).pivot, 0);
    assert_eq!(refused(&[&[1.0, 2.0], &[2.0, 4.0]]).pivot, 1);
    // Singular but for rounding: what is left of the last pivot is 0 or noise.
    let mut rng = rng(13);
    for k in [2, 3, 6] {
        let v = Array2::from_shape_simple_fn((k, 1), || rng.random_range(0.5..2.0));
        let rank_one = Tape::new().constant(v.dot(&v.t())).cholesky().map(|_| ());
        assert_eq!(rank_one.unwrap_err().pivot, 1);
    }
    for bad in [f64::NAN, f64::INFINITY] {
        assert!(!refused(&[&[bad]]).value.is_finite());
        for rows in [
            [[bad, 0.0], [0.0, 1.0]],
            [[2.0, bad], [0.5, 1.0]],
            [[2.0, 0.5], [bad, 1.0]],
        ] {
            let error = refused(&[&rows[0], &rows[1]]);
            assert!(!error.value.is_finite(), "{error}");
        }
    }
    // Small or large is not singular, and two scales in one matrix are not either.
    for scale in [1e-300, 1e-20, 1e20, 1e300f64] {
        let tape = Tape::new();
        let a = tape.constant(arr2(&[
            [scale, 0.5 * scale.sqrt()],
            [0.5 * scale.sqrt(), 1.0],
        ]));
        assert!(a.cholesky().is_ok(), "{scale}");
    }
    // In single precision too, where rounding is larger.
    let a = Tape::new();
    let nearly = a.constant(arr2(&[[1.0f32, 1.0], [1.0, 1.0 + f32::EPSILON]]));
    assert!(nearly.cholesky().is_err());
}

#[test]
fn and_solves_refuse_shapes_that_do_not_fit() {
    let ones = |shape: &[usize]| ArrayD::<f64>::ones(shape);
    let message = panic_message(move || {
        let _ = Tape::new().variable(ones(&[2, 3])).cholesky();
    });
    assert_eq!(
        message,
        "cholesky: expected a square matrix, found shape [2, 3]"
    );
    let message = panic_message(move || {
        let tape = Tape::new();
        let _ = tape
            .variable(ones(&[2, 2]))
            .solve_lower(tape.variable(ones(&[3, 1])));
    });
    assert_eq!(message, "solve_lower: shapes [2, 2] and [3, 1] do not fit");
    // No rows is a matrix too.
    let tape = Tape::new();
    let empty = tape.variable(ones(&[0, 0]));
    assert_eq!(empty.cholesky().unwrap().diagonal().ln().sum().item(), 0.0);
}
