//! docs/background.md#log-derivative: ∇ E f = E[f ∇log q + ∇f], if the support of q stays where it is.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::background::{
    categorical_gradient, categorical_scores, gaussian_score_at, log_derivative,
};
use elbo::distributions::noise::standard_normal;
use elbo::distributions::{Categorical, DiagonalGaussian};
use ndarray::{Array1, Array2, arr1};

use crate::common::arrays::{Expression, owned};
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::quadrature::{QUADRATURE, gauss_hermite, gauss_legendre};
use crate::common::random::{random, rng, vector};
use crate::common::statistics::Statistics;

const INF: f64 = f64::INFINITY;

/// An f that depends on the parameters itself: f_k = tanh(a_k) + c_k a_0.
fn dependent<'t>(logits: Var<'t, f64>, c: Var<'t, f64>) -> Var<'t, f64> {
    logits.tanh() + c * logits.slice(0, 0..1)
}

#[test]
fn by_enumeration() {
    let mut rng = rng(131);
    let (mut value, mut gradient, mut hand) =
        (Worst::default(), Worst::default(), Worst::default());
    for k in [1, 2, 3, 7] {
        let (logits, c) = (vector(&mut rng, k), vector(&mut rng, k));
        let tape = Tape::new();
        let (a, c_var) = (tape.variable(logits.clone()), tape.constant(c.clone()));
        let classes = Categorical { logits: a };
        let (q, log_q, f) = (
            classes.probabilities(),
            classes.log_probabilities(),
            dependent(a, c_var),
        );
        // Directly: differentiate Σ q f.
        let plain = (q * f).sum();
        let identity = log_derivative(q, log_q, f);
        value.number(identity.item(), plain.item(), 1.0);
        let (plain, identity) = (tape.gradients(plain), tape.gradients(identity));
        gradient.entries(&owned(identity.wrt(a)), &owned(plain.wrt(a)));
        // By hand, for an f that does not depend on the logits: q ⊙ (f - E f), and Σ_k q_k f_k (e_k - q).
        let fixed = tape.gradients(log_derivative(q, log_q, c_var)).wrt(a);
        let p = owned(q.value()).into_dimensionality().unwrap();
        hand.entries(
            &categorical_gradient(p.view(), c.view()).into_dyn(),
            &owned(tape.gradients((q * c_var).sum()).wrt(a)),
        );
        hand.entries(
            &owned(fixed),
            &categorical_gradient(p.view(), c.view()).into_dyn(),
        );
        let scores = categorical_scores(p.view());
        let by_scores = (&p * &c).dot(&scores).into_dyn();
        hand.entries(
            &by_scores,
            &categorical_gradient(p.view(), c.view()).into_dyn(),
        );
        // E ∇log q = 0.
        p.dot(&scores)
            .iter()
            .for_each(|mean| hand.number(*mean, 0.0, 1.0));
        let ones = tape.full(&[k], 1.0);
        let mean_score = tape.gradients(log_derivative(q, log_q, ones)).wrt(a);
        mean_score
            .iter()
            .for_each(|mean| hand.number(*mean, 0.0, 1.0));
    }
    value.within(REARRANGED, "value of the identity = Σ q f");
    gradient.within(REARRANGED, "gradient of the identity = gradient of Σ q f");
    hand.within(REARRANGED, "hand = autodiff, and a mean score of 0");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(133);
    let mut checked = Checked::default();
    for k in [2, 5] {
        let point = [random(&mut rng, &[k]), random(&mut rng, &[k])];
        let expected: Expression = |v| (v[0].softmax(0) * dependent(v[0], v[1])).sum();
        let identity: Expression = |v| {
            let classes = Categorical { logits: v[0] };
            log_derivative(
                classes.probabilities(),
                classes.log_probabilities(),
                dependent(v[0], v[1]),
            )
        };
        // The identity is no function of a whose derivative it has: it is checked against the expectation.
        let check = Check::new("log-derivative");
        checked.add(
            check
                .run_surrogate(&point, identity, |v, _| expected(v))
                .unwrap(),
        );
    }
    checked.print("identity against differences of Σ q f");
}

/// f(z) = Σ_j [e^(z_j/2) + μ_j z_j²], over the last axis: it depends on the parameter μ, too.
fn smooth<'t>(z: Var<'t, f64>, mean: Var<'t, f64>) -> Var<'t, f64> {
    ((z * 0.5).exp() + mean * z.square()).sum_last()
}

#[test]
fn of_a_gaussian_by_quadrature() {
    // The nodes z = μ + σε are held fixed for the identity; the direct way differentiates E_ε f(μ + σε) through them.
    let mut rng = rng(132);
    let rule = gauss_hermite(30);
    let (mut value, mut gradient, mut mean_score) =
        (Worst::default(), Worst::default(), Worst::default());
    for _ in 0..6 {
        let (mean, s) = (vector(&mut rng, 1), vector(&mut rng, 1) * 0.5 - 1.0);
        let tape = Tape::new();
        let q = DiagonalGaussian {
            mean: tape.variable(mean.clone()),
            log_variance: tape.variable(s.clone()),
        };
        let noise = tape.constant(Array2::from_shape_fn((rule.len(), 1), |(i, _)| rule[i].0));
        let weights = tape.constant(Array1::from_iter(rule.iter().map(|node| node.1)));
        let z = q.sample(noise);
        let plain = (weights * smooth(z, q.mean)).sum();
        let z = z.stop_gradient();
        let identity = log_derivative(weights, q.log_density(z), smooth(z, q.mean));
        value.number(identity.item(), plain.item(), 1.0);
        let ones = tape.full(&[rule.len()], 1.0);
        let score = log_derivative(weights, q.log_density(z), ones);
        let [plain, identity, score] = [plain, identity, score].map(|y| tape.gradients(y));
        for parameter in [q.mean, q.log_variance] {
            gradient.number(identity.wrt(parameter)[[0]], plain.wrt(parameter)[[0]], 1.0);
            mean_score.number(score.wrt(parameter)[[0]], 0.0, 1.0);
        }
        // The scores by hand.
        let mut hand = [0.0; 2];
        for (z, weight) in z.value().iter().zip(weights.value()) {
            let [m, v] = gaussian_score_at(*z, mean[0], s[0]);
            hand[0] += weight * m * z.powi(3);
            hand[1] += weight * v * z.powi(3);
        }
        // E z³ = μ³ + 3μσ²: ∂μ = 3μ² + 3σ², ∂s = 3μσ².
        let (m, v) = (mean[0], s[0].exp());
        mean_score.number(hand[0], 3.0 * m * m + 3.0 * v, 1.0);
        mean_score.number(hand[1], 3.0 * m * v, 1.0);
    }
    value.within(QUADRATURE, "value of the identity = E f");
    gradient.within(QUADRATURE, "E[f ∇log q + ∇f] = ∇ E f by the sampler");
    mean_score.within(
        QUADRATURE,
        "E ∇log q = 0, and ∇ E z³ from the scores by hand",
    );
}

#[test]
fn from_draws() {
    let n = 100_000;
    let mut rng = rng(134);
    // Scores of a Gaussian, and f times them, at draws of the crate's sampler.
    let (mean, s) = (0.6, -0.3);
    let tape = Tape::new();
    let q = DiagonalGaussian {
        mean: tape.constant(arr1(&[mean])),
        log_variance: tape.constant(arr1(&[s])),
    };
    let z = owned(q.sample(standard_normal(&tape, &[n, 1], &mut rng)).value());
    let scores: Vec<[f64; 2]> = z.iter().map(|z| gaussian_score_at(*z, mean, s)).collect();
    for (i, what) in ["∂μ", "∂s"].into_iter().enumerate() {
        let draws: Vec<f64> = scores.iter().map(|score| score[i]).collect();
        Statistics::of(&draws).agree_with(0.0, &format!("mean score, {what}"));
        let weighted: Vec<f64> = z.iter().zip(&draws).map(|(z, g)| z.powi(3) * g).collect();
        let v = s.exp();
        let exact = [3.0 * mean * mean + 3.0 * v, 3.0 * mean * v][i];
        Statistics::of(&weighted).agree_with(exact, &format!("E[z³ score], {what}"));
    }
}

#[test]
fn needs_a_support_that_stays() {
    // U(0, θ) has the density 1/θ, and the score -1/θ wherever it is positive: its mean is not 0. E z = θ/2 has the
    // derivative ½, the identity says -½: it misses what comes in at the edge.
    for theta in [0.5, 1.0, 3.0] {
        let rule = gauss_legendre(4);
        let tape = Tape::new();
        let t = tape.variable(arr1(&[theta]));
        let z = tape.constant(Array1::from_iter(rule.iter().map(|node| node.0 * theta)));
        let weights = tape.constant(Array1::from_iter(rule.iter().map(|node| node.1)));
        let log_q = -(t.ln().broadcast_to(&[4]));
        let score = |f| tape.gradients(log_derivative(weights, log_q, f)).wrt(t)[[0]];
        assert!((score(tape.full(&[4], 1.0)) + 1.0 / theta).abs() < 1e-12);
        assert!((score(z) + 0.5).abs() < 1e-12);
    }
}

#[test]
fn with_an_impossible_class() {
    let tape = Tape::new();
    let a = tape.variable(arr1(&[0.0, -INF, 3f64.ln()]));
    let classes = Categorical { logits: a };
    // f is infinite where q is 0.
    let f = tape.variable(arr1(&[4.0, INF, 8.0]));
    let y = log_derivative(classes.probabilities(), classes.log_probabilities(), f);
    assert!((y.item() - 7.0f64).abs() < 1e-15);
    let gradients = tape.gradients(y);
    // q ⊙ (f - E f) and q.
    let expected = [[-0.75, 0.0, 0.75], [0.25, 0.0, 0.75]];
    for (found, expected) in [a, f].map(|v| gradients.wrt(v)).iter().zip(expected) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        }
    }
}

#[test]
fn of_an_infinite_f() {
    // Where q is 0, f does not count, however infinite.
    let q = arr1(&[0.5, 0.5, 0.0]);
    let by_hand = categorical_gradient(q.view(), arr1(&[1.0, 2.0, -INF]).view());
    assert_eq!(by_hand, arr1(&[-0.25, 0.25, 0.0]));
    let tape = Tape::new();
    let log_q = tape.variable(q.mapv(f64::ln));
    let f = |f: [f64; 3]| tape.constant(arr1(&f));
    let surrogate = log_derivative(tape.constant(q.clone()), log_q, f([1.0, 2.0, -INF]));
    assert_eq!(surrogate.item(), 1.5);
    let gradient = tape.gradients(surrogate).wrt(log_q);
    assert_eq!(owned(gradient), arr1(&[0.5, 1.0, 0.0]).into_dyn());
    // Where it is not, the expectation is infinite.
    for infinite in [INF, -INF] {
        let surrogate = log_derivative(tape.constant(q.clone()), log_q, f([1.0, infinite, 0.0]));
        assert_eq!(surrogate.item(), infinite);
    }
}

#[test]
#[should_panic(expected = "not ∞ here and -∞ there")]
fn refuses_infinities_of_both_signs() {
    let tape = Tape::new();
    let q = tape.constant(arr1(&[0.5, 0.5]));
    log_derivative(q, q.ln(), tape.constant(arr1(&[INF, -INF])));
}

#[test]
#[should_panic(expected = "expected finite values where q is positive, found -inf")]
fn refuses_a_class_with_an_infinite_f() {
    categorical_gradient(arr1(&[0.5, 0.5]).view(), arr1(&[1.0, -INF]).view());
}
