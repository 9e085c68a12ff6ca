//! docs/gradients.md#activation-derivatives: first and second derivatives of sigmoid, tanh, softplus, log-sigmoid and
//! ReLU.

mod accuracy;

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::{random, rng};
use crate::gradients::shared::Function;

/// The first and second derivatives as the notes give them, from y and x by plain arithmetic.
fn slopes_by_hand(name: &str, x: f64) -> [f64; 2] {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let slope = |x: f64| sigmoid(x) * sigmoid(-x);
    match name {
        "sigmoid" => [slope(x), slope(x) * (sigmoid(-x) - sigmoid(x))],
        "tanh" => {
            let y = x.tanh();
            [1.0 - y * y, -2.0 * y * (1.0 - y * y)]
        }
        "softplus" => [sigmoid(x), slope(x)],
        "log-sigmoid" => [sigmoid(-x), -slope(x)],
        "relu" => [if x > 0.0 { 1.0 } else { 0.0 }, 0.0],
        _ => unreachable!("{name}"),
    }
}

const ALL: [(&str, Function<f64>); 5] = [
    ("sigmoid", |x| x.sigmoid()),
    ("tanh", |x| x.tanh()),
    ("softplus", |x| x.softplus()),
    ("log-sigmoid", |x| x.log_sigmoid()),
    ("relu", |x| x.relu()),
];

#[test]
fn by_hand() {
    let mut rng = rng(61);
    let mut worst = Worst::default();
    for (name, f) in ALL {
        for shape in [&[][..], &[7], &[3, 5], &[2, 4, 3]] {
            let (x, y_bar) = (random(&mut rng, shape) * 5.0, random(&mut rng, shape));
            let tape = Tape::new();
            let vx = tape.variable(x.clone());
            let first = tape
                .differentiable_pull_back(f(vx), tape.constant(y_bar.clone()))
                .wrt(vx);
            let second = tape.gradients(first.sum()).wrt(vx);
            worst.entries(
                &owned(first.value()),
                &(&y_bar * &x.mapv(|x| slopes_by_hand(name, x)[0])),
            );
            worst.entries(
                &owned(second),
                &(&y_bar * &x.mapv(|x| slopes_by_hand(name, x)[1])),
            );
        }
    }
    worst.within(REARRANGED, "first and second derivatives: hand = autodiff");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(62);
    let mut checked = Checked::default();
    for (name, f) in ALL {
        for shape in [&[][..], &[5], &[3, 4], &[2, 1, 3]] {
            let point = [random(&mut rng, shape) * 2.0];
            let check = Check::new("activation-derivatives");
            let reports = [
                check.run(&point, |v| f(v[0])),
                check.run_second_order(&point, |v| f(v[0])),
            ];
            for report in reports {
                checked.add(report.unwrap_or_else(|failure| panic!("{name}: {failure}")));
            }
        }
    }
    checked.print("first and second order");
}
