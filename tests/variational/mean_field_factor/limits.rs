//! Impossible states, and what is no probability.

use elbo::background::BadData;
use elbo::variational;
use elbo::variational::{Stopping, coordinate_ascent, expected_log_joint, optimal_factor};
use ndarray::{Array1, ArrayD, IxDyn, arr1, arr2};

use crate::variational::shared::tables::NEVER;

#[test]
fn at_the_limits() {
    let table = |p: [[f64; 2]; 2]| arr2(&p).mapv(f64::ln).into_dyn();
    let ascend = |joint: &ArrayD<f64>, start: &[Array1<f64>]| {
        coordinate_ascent(joint, start, Stopping::default())
    };
    let (even, first) = (arr1(&[0.5, 0.5]), arr1(&[1.0, 0.0]));
    // Either both or none: with the other undecided, neither value of the first is possible.
    let both_or_none = table([[0.5, 0.0], [0.0, 0.5]]);
    assert_eq!(
        ascend(&both_or_none, &[even.clone(), even.clone()]).unwrap_err(),
        BadData::NothingFeasible { variable: 0 }
    );
    let fit = ascend(&both_or_none, &[even.clone(), first.clone()]).unwrap();
    assert!(fit.elbos[0] == NEVER && fit.factors == [first.clone(), first.clone()]);
    assert!((fit.elbo() - 0.5f64.ln()).abs() < 1e-15);
    // One impossible state, from a start that has mass there.
    let fit = ascend(
        &table([[0.2, 0.4], [0.4, 0.0]]),
        &[even.clone(), even.clone()],
    )
    .unwrap();
    assert!(
        fit.converged && fit.elbo() <= 0.0 && fit.factors.iter().flatten().all(|q| q.is_finite())
    );
    let error =
        |joint: &ArrayD<f64>, q: Array1<f64>| ascend(joint, &[q, even.clone()]).unwrap_err();
    assert_eq!(
        error(&table([[0.0; 2]; 2]), even.clone()),
        BadData::Impossible { row: 0 }
    );
    assert!(matches!(
        error(&both_or_none, arr1(&[0.5, 0.6])),
        BadData::Total { .. }
    ));
    assert!(matches!(
        error(&both_or_none, arr1(&[1.5, -0.5])),
        BadData::Number { .. }
    ));
    assert!(matches!(
        error(&table([[f64::NAN, 0.1], [0.1, 0.1]]), even.clone()),
        BadData::Number { .. }
    ));
    let empty = ArrayD::zeros(IxDyn(&[0, 2]));
    assert!(matches!(error(&empty, arr1(&[])), BadData::Empty { .. }));
}

#[test]
fn of_what_is_no_probability_is_an_error() {
    let all = |joint: [[f64; 2]; 2], first: [f64; 2]| {
        let (joint, q) = (arr2(&joint).into_dyn(), [arr1(&first), arr1(&[0.5, 0.5])]);
        [
            optimal_factor(&joint, &q, 1).map(|_| ()),
            expected_log_joint(&joint, &q, 1).map(|_| ()),
            variational::elbo(&joint, &q).map(|_| ()),
        ]
    };
    let even = [0.5, 0.5];
    for bad in [f64::NAN, f64::INFINITY] {
        for result in all([[-1.0, bad], [-2.0, -2.0]], even) {
            assert!(matches!(result, Err(BadData::Number { what: "joint", .. })));
        }
    }
    for result in all([[-1.0; 2]; 2], [0.5, f64::NAN]) {
        assert!(matches!(
            result,
            Err(BadData::Number { what: "factor", .. })
        ));
    }
    for result in all([[-1.0; 2]; 2], [0.5, 0.6]) {
        assert!(matches!(result, Err(BadData::Total { what: "factor", .. })));
    }
    assert_eq!(
        all([[-1.0, -1.0], [-1.0, NEVER]], even),
        [Ok(()), Ok(()), Ok(())]
    );
}
