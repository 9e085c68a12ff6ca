//! docs/autoencoders.md#td-vae-one-step: the bound of the next observation's log-density, where it is tight, and what a learnt
//! belief makes of it.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::autoencoders::{PairBound, PairPosterior};
use elbo::distributions::noise::standard_normal;
use elbo::distributions::{Moments, MultivariateGaussian};
use ndarray::{Array1, Array2, Axis, arr1, arr2, array};

use super::shared::gradients;
use super::shared::sequences::{Arrays, Hidden, divergence, joint_of, random_pair, rows};
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::quadrature::gauss_hermite_grid;
use crate::common::random::{matrix, random, rng, vector};
use crate::common::reporting::report;
use crate::common::statistics::Statistics;

mod limits;
mod networks;

/// What sums of a few hundred products and an inverse may differ by.
const EXACT: f64 = 1e-12;

/// q(z₂) and q(z₁|z₂) from m₂, L₂, m₁, L₁ and G; of the factors only the lower triangles count, with e^a on the diagonal.
fn q_of<'t>(v: &[Var<'t, f64>]) -> PairPosterior<'t> {
    let tape = v[0].tape();
    let gaussian = |mean: Var<'t, f64>, raw: Var<'t, f64>| {
        let k = mean.size();
        let below = tape.constant(Array2::from_shape_fn((k, k), |(i, j)| {
            f64::from(u8::from(i > j))
        }));
        let factor = raw * below + raw.exp() * tape.constant(Array2::eye(k));
        MultivariateGaussian::from_factor(mean, factor).unwrap()
    };
    PairPosterior {
        later: gaussian(v[0], v[1]),
        earlier: gaussian(v[2], v[3]),
        gain: v[4],
    }
}

#[test]
fn five_terms_and_their_gradients_by_hand() {
    let mut rng = rng(900);
    let mut worst = Worst::default();
    for _ in 0..20 {
        let scalars = Arrays::random(&mut rng, 1, 1);
        let belief = scalars.start.clone();
        let [a, q, c, r] = [&scalars.a, &scalars.q, &scalars.c, &scalars.r].map(|m| m[[0, 0]]);
        let (m, p) = (belief.mean[0], belief.covariance[[0, 0]]);
        let [m2, log2, m1, log1, gain, x, e2, e1] = [(); 8].map(|()| random(&mut rng, &[1])[0]);
        let square = |value: f64| arr2(&[[value]]).into_dyn();
        let values = [
            arr1(&[m2]).into_dyn(),
            square(log2),
            arr1(&[m1]).into_dyn(),
            square(log1),
            square(gain),
        ];
        let (value, found) = gradients(&values, |v| {
            let noise = v[0].tape().constant(array![[[e2]], [[e1]]]);
            let system = scalars.system();
            let bound = system.pair_bound(&belief, arr1(&[x]).view(), &q_of(v), noise);
            bound.unwrap().value().sum()
        });
        let (l2, l1) = (log2.exp(), log1.exp());
        let (z2, z1) = (m2 + l2 * e2, m1 + gain * l2 * e2 + l1 * e1);
        let log_n = |x: f64, mean: f64, variance: f64| {
            -0.5 * ((std::f64::consts::TAU * variance).ln() + (x - mean).powi(2) / variance)
        };
        let by_hand = log_n(x, c * z2, r) + log_n(z1, m, p) + log_n(z2, a * z1, q)
            - log_n(z2, m2, l2 * l2)
            - log_n(z1, m1 + gain * (z2 - m2), l1 * l1);
        worst.number(value, by_hand, by_hand.abs().max(1.0));
        // What log p(x₂, z₂, z₁) says to z₂ and to z₁; log q is log-normal noise and -log l, whatever z is.
        let to_z2 = c * (x - c * z2) / r - (z2 - a * z1) / q;
        let to_z1 = -(z1 - m) / p + a * (z2 - a * z1) / q;
        let expected = [
            to_z2,
            (to_z2 + to_z1 * gain) * e2 * l2 + 1.0,
            to_z1,
            to_z1 * e1 * l1 + 1.0,
            to_z1 * l2 * e2,
        ];
        for (found, expected) in found.iter().zip(expected) {
            worst.number(found.sum(), expected, to_z1.abs() + to_z2.abs() + 1.0);
        }
    }
    worst.within(REARRANGED, "bound and gradients of scalars, on paper");
}

#[test]
fn gradients_by_finite_differences() {
    let mut rng = rng(901);
    let mut checked = Checked::default();
    let check = Check::new("td-vae-one-step");
    for (k, d) in [(1, 1), (2, 3)] {
        let arrays = Arrays::random(&mut rng, k, d);
        let (x, noise) = (vector(&mut rng, d), random(&mut rng, &[2, 3, k]));
        let shapes: [&[usize]; 5] = [&[k], &[k, k], &[k], &[k, k], &[k, k]];
        let point = shapes.map(|shape| random(&mut rng, shape));
        let report = check.run(&point, |v| {
            let noise = v[0].tape().constant(noise.clone());
            let bound = arrays
                .system()
                .pair_bound(&arrays.start, x.view(), &q_of(v), noise);
            bound.unwrap().value()
        });
        checked.add(report.unwrap());
    }
    checked.print("bound in mean, factor and gain of q");
}

#[test]
fn filter_and_smoother_condition_the_joint_gaussian() {
    let mut rng = rng(902);
    let mut worst = Worst::default();
    for (k, d) in [(1, 1), (2, 1), (2, 3), (3, 2)] {
        let arrays = Arrays::random(&mut rng, k, d);
        let (system, joint) = (arrays.system(), arrays.joint(5));
        let x = matrix(&mut rng, [5, d]);
        let filtered = system.filter(x.view()).unwrap();
        let smoothed = system.smooth(&filtered.states).unwrap();
        let mut compare = |found: &Moments, expected| {
            let Moments { mean, covariance } = expected;
            worst.entries(&found.mean.clone().into_dyn(), &mean.into_dyn());
            worst.entries(&found.covariance.clone().into_dyn(), &covariance.into_dyn());
        };
        let past = |t: usize| (0..=t).collect::<Vec<_>>();
        for t in 0..5 {
            let state = joint.states(&[t]);
            compare(&filtered.states[t], joint.given(&state, &past(t), x.view()));
            compare(&smoothed.states[t], joint.given(&state, &past(4), x.view()));
        }
        for (t1, t2) in [(0, 1), (1, 4), (3, 4)] {
            let both = joint.states(&[t1, t2]);
            compare(
                &smoothed.pair(t1, t2),
                joint.given(&both, &past(4), x.view()),
            );
        }
        for t in 0..5 {
            let seen: Vec<usize> = (0..t).collect();
            let exact = joint.log_predictive(t, &seen, x.view());
            worst.number(filtered.log_densities[t], exact, exact.abs().max(1.0));
        }
    }
    worst.within(EXACT, "filter, smoother, pairs and log-densities");
}

#[test]
fn tight_at_the_exact_posterior() {
    let mut rng = rng(903);
    let mut worst = Worst::default();
    for (k, d) in [(1, 1), (2, 2), (3, 1)] {
        let arrays = Arrays::random(&mut rng, k, d);
        let (system, joint) = (arrays.system(), arrays.joint(4));
        let x = matrix(&mut rng, [4, d]);
        let filtered = system.filter(x.view()).unwrap();
        for t in 1..4 {
            let tape = Tape::new();
            let smoothed = system.smooth(&filtered.states[..=t]).unwrap();
            let q = PairPosterior::of(&smoothed.pair(t - 1, t), &tape).unwrap();
            let noise = standard_normal(&tape, &[2, 50, k], &mut rng);
            let belief = &filtered.states[t - 1];
            let bound = system.pair_bound(belief, x.row(t), &q, noise).unwrap();
            let past: Vec<usize> = (0..t).collect();
            let exact = joint.log_predictive(t, &past, x.view());
            for &value in &bound.value().value() {
                worst.number(value, exact, exact.abs().max(1.0));
            }
        }
    }
    worst.within(EXACT, "with filter and smoother as q, each draw");
}

/// E_q by Gauss–Hermite quadrature, which three nodes make exact: the bound is a polynomial of degree 2 in the noise.
fn mean_bound(arrays: &Arrays, x: &Array1<f64>, q: &PairPosterior<'_>) -> f64 {
    let k = arrays.a.nrows();
    let (nodes, weights) = gauss_hermite_grid(3, 2 * k);
    let parts = [
        nodes.slice(ndarray::s![.., ..k]),
        nodes.slice(ndarray::s![.., k..]),
    ];
    let noise = ndarray::stack(Axis(0), &parts).unwrap();
    let noise = q.gain.tape().constant(noise);
    let bound = (arrays.system()).pair_bound(&arrays.start, x.view(), q, noise);
    let values = bound.unwrap().value().value().into_owned();
    values
        .iter()
        .zip(&weights)
        .map(|(value, weight)| value * weight)
        .sum()
}

#[test]
fn the_gap_is_a_divergence() {
    let mut rng = rng(904);
    let mut worst = Worst::default();
    for (k, d) in [(1, 1), (1, 2), (2, 1), (2, 3)] {
        for _ in 0..10 {
            let arrays = Arrays::random(&mut rng, k, d);
            // The belief is the start: nothing was seen before.
            let (joint, x) = (arrays.joint(2), matrix(&mut rng, [2, d]));
            let tape = Tape::new();
            let q = PairPosterior::of(&random_pair(&mut rng, k), &tape).unwrap();
            let posterior = joint.given(&joint.states(&[0, 1]), &[1], x.view());
            let gap = joint.log_predictive(1, &[], x.view())
                - mean_bound(&arrays, &x.row(1).to_owned(), &q);
            let exact = divergence(&joint_of(&q), &posterior);
            assert!(gap > 0.0);
            worst.number(gap, exact, exact.max(1.0));
        }
    }
    worst.within(
        EXACT,
        "gap = KL(q ‖ p(z_{t-1}, z_t | x up to t)), by quadrature",
    );
}

/// The five log-densities as tables over z₁ (down) and z₂ (across).
fn of_tables<'t>(
    tape: &'t Tape<f64>,
    hidden: &Hidden,
    (belief, symbol): (&Array1<f64>, usize),
    q: &Array2<f64>,
) -> PairBound<'t, f64> {
    let table = |t: Array2<f64>| tape.constant(t.mapv(f64::ln));
    let likelihood = hidden.emission.column(symbol).to_owned();
    let later = q.sum_axis(Axis(0));
    PairBound {
        observation: table(likelihood.insert_axis(Axis(0))),
        belief: table(belief.clone().insert_axis(Axis(1))),
        transition: table(hidden.transition.clone()),
        later: table(later.clone().insert_axis(Axis(0))),
        earlier: table(q / &later),
    }
}

/// E_q of a table.
fn mean_under(q: &Array2<f64>, bound: &PairBound<'_, f64>) -> f64 {
    (q.clone().into_dyn() * bound.value().value()).sum()
}

#[test]
fn hidden_markov_models_by_enumeration() {
    let mut rng = rng(905);
    let mut worst = Worst::default();
    for _ in 0..30 {
        let hidden = Hidden::random(&mut rng, 3, 4);
        let tape = Tape::new();
        let seen = [2, 0, 3, 1].map(Some);
        for t in 1..4 {
            // p(z_{t-1}, z_t, x_1 … x_t), and the same with x_t still unknown.
            let known = hidden.pair(&seen[..=t], t - 1);
            let mut open = seen[..=t].to_vec();
            open[t] = None;
            let open = hidden.pair(&open, t - 1);
            let past = open.sum();
            let belief = open.sum_axis(Axis(1)) / past;
            let exact = (known.sum() / past).ln();
            let posterior = &known / known.sum();
            let input = (&belief, seen[t].unwrap());
            let at = |q: &Array2<f64>| mean_under(q, &of_tables(&tape, &hidden, input, q));
            worst.number(at(&posterior), exact, exact.abs());
            let q = rows(&mut rng, [1, 9])
                .into_shape_with_order((3, 3))
                .unwrap();
            let divergence = (&q * &(&q / &posterior).mapv(f64::ln)).sum();
            worst.number(exact - at(&q), divergence, 1.0);
        }
    }
    worst.within(
        1e-12,
        "tables of three states: tight at the posterior, KL elsewhere",
    );
}

#[test]
fn a_wrong_belief_wins_at_one_observation_and_never_on_average() {
    let mut rng = rng(906);
    let mut worst = Worst::default();
    let (mut wins, mut most) = (0, f64::NEG_INFINITY);
    for _ in 0..100 {
        let hidden = Hidden::random(&mut rng, 3, 4);
        let tape = Tape::new();
        let belief = hidden.start.clone();
        let wrong = rows(&mut rng, [1, 3]).row(0).to_owned();
        let predictive =
            |belief: &Array1<f64>| belief.dot(&hidden.transition).dot(&hidden.emission);
        let truth = predictive(&belief);
        // The best q for the wrong belief: its bound is the log-density of another predictive.
        let bounds = Array1::from_shape_fn(4, |symbol| {
            let joint = &wrong.clone().insert_axis(Axis(1))
                * &hidden.transition
                * hidden.emission.column(symbol);
            let q = &joint / joint.sum();
            mean_under(&q, &of_tables(&tape, &hidden, (&wrong, symbol), &q))
        });
        worst.relative(bounds.mapv(f64::exp).sum(), 1.0);
        let excess = &bounds - &truth.mapv(f64::ln);
        wins += usize::from(excess.iter().any(|&e| e > 0.0));
        most = excess.iter().fold(most, |most, &e| most.max(e));
        let on_average = (&truth * &excess).sum();
        assert!(on_average < 0.0);
        let divergence = (&truth * &(&truth / &predictive(&wrong)).mapv(f64::ln)).sum();
        worst.number(-on_average, divergence, 1.0);
    }
    report(format!(
        "of 100 wrong beliefs, so many exceed log p(x) somewhere: {wins}; by {most:.3} nats at most"
    ));
    assert_eq!(wins, 100);
    worst.within(
        1e-12,
        "their bounds are normalised; on average they lose KL(p ‖ p_B)",
    );
}

#[test]
fn statistics() {
    let mut rng = rng(907);
    let arrays = Arrays::random(&mut rng, 2, 2);
    let (joint, x) = (arrays.joint(2), matrix(&mut rng, [2, 2]));
    let exact = joint.log_predictive(1, &[], x.view());
    let mut posterior = joint.given(&joint.states(&[0, 1]), &[1], x.view());
    // Wider than the posterior: the weights have a variance.
    posterior.covariance *= 1.3;
    posterior.mean += 0.1;
    let tape = Tape::new();
    let q = PairPosterior::of(&posterior, &tape).unwrap();
    let noise = standard_normal(&tape, &[2, 40_000, 2], &mut rng);
    let bound = (arrays.system()).pair_bound(&arrays.start, x.row(1), &q, noise);
    let values = bound.unwrap().value().value();
    let weights = values.mapv(|value| (value - exact).exp());
    Statistics::of(&values).agree_with(
        mean_bound(&arrays, &x.row(1).to_owned(), &q),
        "bound of a q that is too wide",
    );
    Statistics::of(&weights).agree_with(1.0, "its importance weights, relative to p(x)");
}
