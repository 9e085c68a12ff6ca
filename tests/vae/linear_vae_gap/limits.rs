//! Columns that are orthogonal, 0 or equal, and hardly any noise.

use std::f64::consts::TAU;

use elbo::autodiff::Tape;
use elbo::background::LinearGaussian;
use elbo::distributions::DiagonalGaussian;
use elbo::vae::Ppca;
use ndarray::{Array1, Array2, arr0, arr2};

use crate::common::comparing::Worst;
use crate::common::random::rng;
use crate::common::reporting::report;
use crate::vae::shared::linear_models::{at_log_noise, decoder, elongated, rotation, variables};

#[test]
fn is_zero_for_orthogonal_columns_only() {
    let mut rng = rng(83);
    let mut evidence = Worst::default();
    for [n, d, k] in [[20, 4, 2], [30, 6, 3], [9, 5, 4]] {
        let x = elongated(&mut rng, [n, d]);
        let ppca = Ppca::fit(x.view(), k).unwrap();
        let tape = Tape::new();
        let straight = ppca.decoder(&tape);
        let rotated = LinearGaussian {
            weights: tape.constant(ppca.weights.dot(&rotation(&mut rng, k))),
            ..straight
        };
        let mean = |model: &LinearGaussian<'_, f64>| {
            model
                .log_evidence(tape.constant(x.clone()))
                .unwrap()
                .mean()
                .item()
        };
        evidence.number(mean(&rotated), mean(&straight), 1.0);
        let gaps = [straight, rotated].map(|model| model.diagonal_gap().unwrap().item());
        report(format!(
            "{d} dimensions, {k} latents: gap {:.1e}, with W rotated {:.4} nats",
            gaps[0], gaps[1]
        ));
        assert!(gaps[0] < 1e-28 && gaps[1] > 1e-3);
    }
    evidence.within(1e-12, "the evidence of a rotated W");
    // A column of zeros, and columns that agree.
    let gap = |w: Array2<f64>| {
        let tape = Tape::new();
        let v = variables(
            &tape,
            &[
                w.into_dyn(),
                Array1::zeros(2).into_dyn(),
                arr0(0.0).into_dyn(),
            ],
        );
        decoder(&v).diagonal_gap().unwrap().item()
    };
    assert_eq!(gap(arr2(&[[1.0, 0.0], [2.0, 0.0]])), 0.0);
    // M = [[2, 1], [1, 2]]: ½ (2 log 2 - log 3).
    assert!((gap(arr2(&[[1.0, 1.0], [0.0, 0.0]])) - 0.5 * (4.0f64 / 3.0).ln()).abs() < 1e-15);
}

#[test]
fn with_hardly_any_noise() {
    assert!(at_log_noise::<f64>(-712.0)[1].abs() < 1e-12);
    assert!(at_log_noise::<f32>(-92.0)[1].abs() < 1e-5);
    // A column of 0 costs nothing, whatever is divided by.
    let tape = Tape::<f64>::new();
    let model = LinearGaussian {
        weights: tape.full(&[3, 2], 0.0),
        offset: tape.full(&[3], 0.5),
        log_noise: tape.scalar(-712.0),
    };
    let prior = DiagonalGaussian {
        mean: tape.full(&[2], 0.0),
        log_variance: tape.full(&[2], 0.0),
    };
    let bound = model.elbo_diagonal(tape.full(&[3], 0.5), &prior).item();
    assert!((bound + 1.5 * (TAU.ln() - 712.0)).abs() < 1e-10, "{bound}");
}
