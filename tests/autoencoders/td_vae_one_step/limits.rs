//! Much noise, none, a state that forgets, and what is refused.

use elbo::autoencoders::StateSpace;
use elbo::data::{LinearGaussianSequences, noisy_autoregression};
use elbo::distributions::Moments;
use ndarray::{Array2, arr1, arr2};

use crate::common::comparing::{REARRANGED, Worst};
use crate::common::panics::panic_message;
use crate::common::random::{matrix, rng};
use crate::common::reporting::report;

fn scalar([a, q, c, r]: [f64; 4]) -> Result<StateSpace, elbo::distributions::GaussianError> {
    let start = Moments {
        mean: arr1(&[0.0]),
        covariance: arr2(&[[1.0]]),
    };
    let [a, q, c, r] = [a, q, c, r].map(|x| arr2(&[[x]]));
    StateSpace::new((a, q), (c, r), start)
}

/// P = a² P r/(P + r) + q, the quadratic equation for the variance of the prediction once it has settled.
#[test]
fn a_long_sequence_reaches_the_riccati_equation() {
    let [a, q, r]: [f64; 3] = [0.9, 0.1, 0.16];
    let half = 0.5 * (q - r * (1.0 - a * a));
    let settled = half + (half * half + q * r).sqrt();
    let system = noisy_autoregression();
    let x = matrix(&mut rng(940), [60, 1]);
    let filtered = system.filter(x.view()).unwrap();
    let expected = system.predict(&filtered.states[59]).covariance[[0, 0]];
    let mut worst = Worst::default();
    worst.relative(expected, settled);
    worst.within(REARRANGED, "variance of the prediction after 60 steps");
    let marginal = q / (1.0 - a * a) + r;
    let worth = 0.5 * (marginal / (settled + r)).ln();
    report(format!(
        "knowing the past is worth {worth:.4} nats per observation"
    ));
    // Over sequences of 20, the first of which know little of it.
    let data = LinearGaussianSequences::<f64>::new(system, (2000, 20), 5);
    let measured = data.worth_of_the_past(1).unwrap();
    assert!(measured < worth && worth - measured < 0.03, "{measured}");
}

#[test]
fn noise_and_memory() {
    let x = matrix(&mut rng(941), [4, 1]);
    // What is seen without noise is known.
    let filtered = scalar([0.8, 0.5, 2.0, 1e-14])
        .unwrap()
        .filter(x.view())
        .unwrap();
    for (state, x) in filtered.states.iter().zip(&x) {
        assert!((state.mean[0] - x / 2.0).abs() < 1e-12 && state.covariance[[0, 0]] < 1e-14);
    }
    // Through much noise nothing is seen, and the smoother knows what the start said.
    let noisy = scalar([0.8, 0.5, 1.0, 1e14]).unwrap();
    let smoothed = noisy
        .smooth(&noisy.filter(x.view()).unwrap().states)
        .unwrap();
    assert!((smoothed.states[0].covariance[[0, 0]] - 1.0).abs() < 1e-12);
    // A state that forgets: no observation says anything of the next.
    let forgetful = scalar([0.0, 1.0, 1.0, 0.7]).unwrap();
    let alone = forgetful.update(forgetful.start(), x.row(3)).unwrap().1;
    let predicted = forgetful.filter(x.view()).unwrap().log_densities[3];
    assert!((alone - predicted).abs() < REARRANGED);
    // Looking at every step.
    let system = scalar([0.8, 0.5, 1.0, 0.7]).unwrap();
    assert_eq!(system.every(1), system);
    // Nothing seen, nothing known but the start.
    let none = system.filter(Array2::zeros((0, 1)).view()).unwrap();
    assert!(none.states.is_empty() && system.smooth(&none.states).unwrap().states.is_empty());
}

#[test]
fn what_is_refused() {
    let error = scalar([0.8, -0.5, 1.0, 0.7]).unwrap_err().to_string();
    assert!(
        error.contains("positive definite") && error.contains("-5e-1"),
        "{error}"
    );
    assert!(scalar([0.8, 0.5, 1.0, f64::NAN]).is_err());
    let message = panic_message(|| drop(scalar([0.8, 0.5, 1.0, 0.7]).unwrap().every(0)));
    assert!(message.contains("at least one step"), "{message}");
}
