//! Coordinate ascent ends in one of several optima, leaves a saddle, and may overestimate a variance.

use elbo::variational::{Stopping, coordinate_ascent, distinct_optima};
use ndarray::{Array1, ArrayD, Axis, IxDyn, arr1, arr2};

use super::factors;
use crate::common::random::rng;
use crate::common::reporting::report;
use crate::variational::shared::tables::{NEVER, probabilities};

#[test]
fn reaches_different_optima_from_different_starts() {
    // Three coins that agree: all heads with 0.5, all tails with 0.4, and the other six outcomes share 0.1.
    let log_joint = ArrayD::from_shape_fn(IxDyn(&[2, 2, 2]), |z| match z[0] + z[1] + z[2] {
        0 => 0.5f64,
        3 => 0.4,
        _ => 0.1 / 6.0,
    })
    .mapv(f64::ln);
    let mut rng = rng(163);
    let starts: Vec<Vec<Array1<f64>>> = (0..40)
        .map(|_| factors(&mut rng, &[2, 2, 2], false))
        .collect();
    let optima = distinct_optima(&log_joint, &starts, Stopping::default()).unwrap();
    for optimum in &optima {
        let heads: Vec<f64> = optimum.factors.iter().map(|q| q[0]).collect();
        report(format!(
            "bound {:.4}, gap {:.4}, P(heads) {heads:.4?}",
            optimum.elbo(),
            -optimum.elbo()
        ));
    }
    assert_eq!(optima.len(), 2);
    assert!(optima[0].elbo() > optima[1].elbo() + 0.1);
    assert!(optima[0].factors[0][0] > 0.9 && optima[1].factors[0][0] < 0.1);
    // Under the table itself each coin shows heads with 0.55.
    let exact = log_joint.mapv(f64::exp).index_axis(Axis(0), 0).sum();
    assert!((exact - 0.55).abs() < 1e-12);
    // A fixed point between them is no maximum: the symmetric table, from the symmetric start.
    let symmetric =
        ArrayD::from_shape_fn(
            IxDyn(&[2, 2]),
            |z| if z[0] == z[1] { 0.45f64 } else { 0.05 },
        );
    let symmetric = symmetric.mapv(f64::ln);
    let even = vec![arr1(&[0.5, 0.5]); 2];
    // (The start of the factor that is updated first is forgotten at once.)
    let nearly = vec![arr1(&[0.5, 0.5]), arr1(&[0.501, 0.499])];
    let [stuck, free] =
        [even, nearly].map(|s| coordinate_ascent(&symmetric, &s, Stopping::default()).unwrap());
    assert!(stuck.converged && stuck.factors[0][0] == 0.5);
    assert!(
        free.elbo() > stuck.elbo() + 0.01,
        "{} {}",
        free.elbo(),
        stuck.elbo()
    );
}

#[test]
fn leaves_a_saddle() {
    // Two coins that agree with 0.9. At ½ each nothing moves, and any push leads up.
    let agree = |states: usize, p: f64| {
        let others = (1.0 - p) / (states * (states - 1)) as f64;
        let entry = move |z: IxDyn| {
            if z[0] == z[1] {
                p / states as f64
            } else {
                others
            }
        };
        ArrayD::from_shape_fn(IxDyn(&[states, states]), entry).mapv(f64::ln)
    };
    let log_joint = agree(2, 0.9);
    let coin = |p: f64| vec![arr1(&[p, 1.0 - p]); 2];
    let starts = [coin(0.5), coin(0.6), coin(0.4)];
    let optima = distinct_optima(&log_joint, &starts, Stopping::default()).unwrap();
    assert_eq!(optima.len(), 2);
    for optimum in &optima {
        assert!(optimum.elbo() > -0.4979, "{}", optimum.elbo());
        // m = tanh(m log 3) for P(heads) = ½ (1 + m), and tanh(½ log 3) = ½.
        let heads = optimum.factors[0][0];
        let is = |p: f64| (heads - p).abs() < 1e-9;
        assert!(is(0.75) || is(0.25), "{heads}");
        assert!(optimum.elbos.windows(2).all(|e| e[1] >= e[0] - 1e-14));
    }
    // Three sides each, from the centre: by another saddle or not, to one of three optima.
    let centre = vec![Array1::from_elem(3, 1.0 / 3.0); 2];
    let optima = distinct_optima(&agree(3, 0.95), &[centre], Stopping::default()).unwrap();
    let highest = optima[0].factors[0].fold(0.0, |m: f64, q| m.max(*q));
    assert!(optima.len() == 1 && highest > 0.9, "{highest}");
    // Where q must be 0 no push moves it.
    let never = arr2(&[[0.3, 0.0], [0.3, 0.4]]).mapv(f64::ln).into_dyn();
    let optima = distinct_optima(&never, &[coin(0.5)], Stopping::default()).unwrap();
    assert!(optima[0].elbo() > NEVER);
}

#[test]
fn may_overestimate_a_variance() {
    // Of random 2 × 2 tables: how often the best product has a larger variance of z_1 than the table itself.
    let mut rng = rng(164);
    let (mut above, mut tables, mut largest) = (0, 0, (0.0, vec![]));
    for _ in 0..1000 {
        let p = probabilities(&mut rng, 4, false);
        let table = ArrayD::from_shape_vec(IxDyn(&[2, 2]), p.clone()).unwrap();
        let log_joint = table.mapv(f64::ln);
        let starts: Vec<_> = (0..3).map(|_| factors(&mut rng, &[2, 2], false)).collect();
        let best = &distinct_optima(&log_joint, &starts, Stopping::default()).unwrap()[0];
        let variance = |p: f64| p * (1.0 - p);
        let (exact, found) = (variance(p[0] + p[1]), variance(best.factors[0][0]));
        tables += 1;
        above += usize::from(found > exact + 1e-9);
        if found - exact > largest.0 {
            largest = (found - exact, p);
        }
    }
    report(format!(
        "variance of z_1 overestimated in {above} of {tables} tables, most by {:.4} in {:.3?}",
        largest.0, largest.1
    ));
    assert!(above > 0 && above < tables);
}
