//! C ← αAB + βC: every α and β, every road that a product takes, against three loops.

use elbo::autodiff::product;
use ndarray::Array2;

use crate::common::random::{matrix, rng};

fn by_loops(
    alpha: f64,
    a: &Array2<f64>,
    b: &Array2<f64>,
    beta: f64,
    c: &Array2<f64>,
) -> Array2<f64> {
    Array2::from_shape_fn(c.dim(), |(i, j)| {
        let sum: f64 = (0..a.ncols()).map(|k| a[[i, k]] * b[[k, j]]).sum();
        // With β = 0, C is overwritten whatever it held.
        alpha * sum + if beta == 0.0 { 0.0 } else { beta * c[[i, j]] }
    })
}

#[test]
fn of_every_weight_and_shape() {
    let mut rng = rng(61);
    // Rows and columns of vectors, small ones, ones that the kernels take, and ones that threads share.
    for [m, k, n] in [
        [1, 7, 1],
        [9, 5, 1],
        [1, 5, 9],
        [6, 3, 4],
        [33, 40, 21],
        [200, 120, 130],
    ] {
        for (alpha, beta) in [
            (1.0, 0.0),
            (1.0, 1.0),
            (1.0, 0.5),
            (-2.0, 0.0),
            (0.3, 1.0),
            (2.0, -0.7),
        ] {
            for transposed in [false, true] {
                let (a, b) = match transposed {
                    false => (matrix(&mut rng, [m, k]), matrix(&mut rng, [k, n])),
                    true => (
                        matrix(&mut rng, [k, m]).reversed_axes(),
                        matrix(&mut rng, [n, k]).reversed_axes(),
                    ),
                };
                let mut c = matrix(&mut rng, [m, n]);
                if beta == 0.0 {
                    c.fill(f64::NAN);
                }
                let expected = by_loops(alpha, &a, &b, beta, &c);
                product(alpha, a.view(), b.view(), beta, &mut c.view_mut());
                for (found, expected) in c.iter().zip(&expected) {
                    assert!(
                        (found - expected).abs() < 1e-12 * k as f64,
                        "{m}x{k}x{n}, α = {alpha}, β = {beta}, transposed {transposed}: {found} and {expected}"
                    );
                }
            }
        }
    }
}
