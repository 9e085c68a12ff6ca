//! docs/autoencoders.md#sparse: the penalty on mean activations, its gradient, and what a minibatch makes of it.

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::autoencoders::{Sparse, Structure, rate_divergence, sparsity, sparsity_of_logits};
use elbo::distributions::Bernoulli;
use elbo::kl;
use ndarray::{Array1, Array2, Axis, arr1};
use rand::Rng;

use super::shared::{gradients, grey, loss, networks, small};
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::random::rng;
use crate::common::statistics::Statistics;

/// Σ_j KL(ρ‖ρ̂_j) as written.
fn by_hand(h: &Array2<f64>, rho: f64) -> f64 {
    let rates = h.mean_axis(Axis(0)).unwrap();
    let terms = rates.mapv(|r| rho * (rho / r).ln() + (1.0 - rho) * ((1.0 - rho) / (1.0 - r)).ln());
    terms.sum()
}

const TARGETS: [f64; 4] = [0.05, 0.1, 0.5, 0.93];

#[test]
fn gradient_by_hand() {
    let mut rng = rng(640);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for shape in [[1, 1], [5, 3], [2, 7]] {
        for rho in TARGETS {
            let h = grey(&mut rng, shape);
            let rates = h.mean_axis(Axis(0)).unwrap();
            let n = shape[0] as f64;
            let slopes = rates.mapv(|r| -rho / r + (1.0 - rho) / (1.0 - r)) / n;
            let (found, each) = gradients(&[h.clone().into_dyn()], |v| sparsity(v[0], rho));
            let exact = by_hand(&h, rho);
            value.number(found, exact, exact.max(1e-3));
            let expected = Array2::from_shape_fn((shape[0], shape[1]), |(_, j)| slopes[j]);
            gradient.entries(&each[0], &expected.into_dyn());
        }
    }
    value.within(1e-12, "Σ KL(ρ‖ρ̂) as written");
    gradient.within(1e-12, "each example's share, 1/n of (1-ρ)/(1-ρ̂) - ρ/ρ̂");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(641);
    let mut checked = Checked::default();
    let check = Check::new("sparse").largest_step(0.01);
    for rho in TARGETS {
        // Away from the ends, which a step must not reach.
        let h = grey(&mut rng, [4, 3]).mapv(|h| 0.1 + 0.8 * h).into_dyn();
        checked.add(
            check
                .run(std::slice::from_ref(&h), |v| sparsity(v[0], rho))
                .unwrap(),
        );
        checked.add(
            check
                .run_second_order(&[h], |v| sparsity(v[0], rho))
                .unwrap(),
        );
    }
    for tied in [false, true] {
        let structure = Structure {
            hidden: vec![4],
            tied,
            ..small()
        };
        let x = grey(&mut rng, [5, 3]);
        let (model, _, p) = networks(structure, &mut rng);
        let model = Sparse::new(model, 0.1, 3.0);
        let check = Check::new("sparse");
        checked.add(check.run(&p, |p| loss(&model, p, &x, 0)).unwrap());
    }
    checked.print("penalty in two orders, every weight of a model");
}

#[test]
fn is_a_divergence_of_coins() {
    let mut worst = Worst::default();
    let tape = Tape::new();
    let logit = |p: f64| (p / (1.0 - p)).ln();
    let rates = Array1::from_shape_fn(19, |i| 0.05 * (i + 1) as f64);
    for rho in TARGETS {
        let coins = |p: Array1<f64>| Bernoulli {
            logits: tape.constant(p.mapv(logit).insert_axis(Axis(1))),
        };
        let oracle = kl::bernoulli(&coins(Array1::from_elem(19, rho)), &coins(rates.clone()));
        let found = rate_divergence(tape.constant(rates.clone()), rho);
        for (found, exact) in found.value().iter().zip(oracle.value().iter()) {
            worst.number(*found, *exact, exact.max(1e-6));
        }
    }
    worst.within(1e-9, "KL of two coins by their logits");
}

/// All sets of m of the numbers below n.
fn subsets(n: usize, m: usize) -> Vec<Vec<usize>> {
    let all = (0u32..1 << n).filter(|bits| bits.count_ones() as usize == m);
    all.map(|bits| (0..n).filter(|i| bits >> i & 1 == 1).collect())
        .collect()
}

fn penalty(h: &Array2<f64>, rho: f64) -> f64 {
    let tape = Tape::new();
    sparsity(tape.constant(h.clone()), rho).item()
}

#[test]
fn minibatches_are_biased_upwards() {
    let mut rng = rng(642);
    let rho = 0.1;
    let h = grey(&mut rng, [6, 2]);
    let full = penalty(&h, rho);
    let mean = |m: usize| {
        let batches = subsets(6, m);
        let count = batches.len() as f64;
        batches
            .iter()
            .map(|rows| penalty(&h.select(Axis(0), rows), rho))
            .sum::<f64>()
            / count
    };
    let means: Vec<f64> = (1..=6).map(mean).collect();
    println!("mean penalty of batches of 1 to 6 of six data: {means:.4?}");
    // The fewer data, the higher: a batch of m is the mean of its parts of m - 1.
    assert!(means.windows(2).all(|pair| pair[0] > pair[1]));
    assert!((means[5] / full - 1.0).abs() < REARRANGED);
    // To the leading order the bias is ½ KL''(ρ̂) Var ρ̂: for the mean rates drawn without replacement.
    let rates = h.mean_axis(Axis(0)).unwrap();
    let variances = h.var_axis(Axis(0), 0.0) * ((6.0 - 5.0) / (5.0 * 5.0));
    let curvature = rates.mapv(|r| rho / (r * r) + (1.0 - rho) / ((1.0 - r) * (1.0 - r)));
    let leading = 0.5 * (curvature * variances).sum();
    assert!(
        ((means[4] - full) / leading - 1.0).abs() < 0.2,
        "{} {leading}",
        means[4] - full
    );
    // Random batches of two agree with the enumeration, and not with the full penalty.
    let draws: Vec<f64> = (0..100_000)
        .map(|_| {
            let first = rng.random_range(0..6usize);
            let second = (first + rng.random_range(1..6usize)) % 6;
            by_hand(&h.select(Axis(0), &[first, second]), rho)
        })
        .collect();
    Statistics::of(&draws).agree_with(means[1], "batches of two");
    assert!(Statistics::of(&draws).distance(full, 0.0) > 100.0);
}

#[test]
fn limits() {
    let tape = Tape::<f64>::new();
    for rho in [1e-9, 1e-3, 0.1, 0.5, 1.0 - 1e-6] {
        let at = tape.variable(arr1(&[rho]));
        let penalty = rate_divergence(at, rho);
        assert_eq!(penalty.item(), 0.0);
        assert_eq!(tape.gradients(penalty.sum()).wrt(at)[0], 0.0);
        // Near ρ it is δ²/2ρ(1-ρ), with all its digits.
        for relative in [1e-4, -1e-6, 1e-8] {
            let room = rho.min(1.0 - rho);
            let rate = rho + room * relative;
            let delta = rate - rho;
            let found = rate_divergence(tape.constant(arr1(&[rate])), rho).item();
            let (a, b) = (delta / rho, -delta / (1.0 - rho));
            let series = |t: f64| t * t * (0.5 - t / 3.0 + t * t / 4.0);
            let exact = rho * series(a) + (1.0 - rho) * series(b);
            assert!(
                (found / exact - 1.0).abs() < 1e-9,
                "ρ = {rho}, {relative}: {found} {exact}"
            );
        }
    }
    // Towards 0 it grows like -ρ log ρ̂; at 0 and 1 it is infinite.
    let rates = tape.variable(arr1(&[1e-300, 0.0, 1.0]));
    let values = rate_divergence(rates, 0.1);
    let slopes = tape.gradients(values.sum()).wrt(rates);
    let values = values.value();
    let exact = 0.1 * (0.1f64.ln() + 300.0 * 10f64.ln()) + 0.9 * 0.9f64.ln();
    assert!((values[0] - exact).abs() < 1e-12 && slopes[0] == -0.1 / 1e-300);
    assert!(values[1] == f64::INFINITY && values[2] == f64::INFINITY);
    // In f32 the digits near ρ are kept too.
    let tape = Tape::<f32>::new();
    let found = rate_divergence(tape.constant(arr1(&[0.1001f32])), 0.1).item();
    let exact = 1e-4f64.powi(2) / (2.0 * 0.1 * 0.9);
    assert!(
        (f64::from(found) / exact - 1.0).abs() < 2e-3,
        "{found} {exact}"
    );
}

#[test]
fn by_logits_as_by_activations() {
    let mut rng = rng(639);
    let mut worst = Worst::default();
    for _ in 0..20 {
        let a = Array2::from_shape_simple_fn([7, 3], || rng.random_range(-4.0..4.0));
        let rho = rng.random_range(0.01..0.99);
        let tape = Tape::<f64>::new();
        let [logits, again] = [(); 2].map(|()| tape.variable(a.clone()));
        let by_logits = sparsity_of_logits(logits, rho);
        let by_activations = sparsity(again.sigmoid(), rho);
        worst.number(by_logits.item(), by_activations.item(), 1.0);
        let [found, expected] = [(by_logits, logits), (by_activations, again)]
            .map(|(loss, a)| tape.gradients(loss).wrt(a));
        for (&found, &expected) in found.iter().zip(&expected) {
            worst.number(found, expected, 1.0);
        }
    }
    worst.within(1e-13, "by logits = by activations, value and gradient");
    let point = [Array2::<f64>::from_elem([4, 2], 0.3).into_dyn()];
    Check::new("sparse-logits")
        .run(&point, |v| sparsity_of_logits(v[0], 0.2))
        .unwrap();
}

#[test]
fn saturated_units_come_back() {
    // Four equal data: with ρ̂ = σ(a), the slope of each logit is (σ(a) - ρ)/4 for every a.
    fn slope<T: elbo::Scalar>(a: f64) -> (f64, f64) {
        let tape = Tape::<T>::new();
        let logits = tape.variable(Array2::from_elem([4, 1], T::of(a)));
        let loss = sparsity_of_logits(logits, 0.1);
        let slope = tape.gradients(loss).wrt(logits)[[0, 0]];
        (loss.item().to_f64().unwrap(), slope.to_f64().unwrap())
    }
    for a in [
        -800.0, -740.0, -104.0, -20.0, 12.0, 16.0, 17.0, 20.0, 37.0, 40.0, 800.0,
    ] {
        let exact = (1.0 / (1.0 + f64::exp(-a)) - 0.1) / 4.0;
        let ((value, wide), (_, narrow)) = (slope::<f64>(a), slope::<f32>(a));
        assert!(value.is_finite() && value > 0.0, "{a}: {value}");
        assert!((wide / exact - 1.0).abs() < 1e-13, "{a}: {wide}, {exact}");
        assert!(
            (narrow / exact - 1.0).abs() < 1e-5,
            "{a}: {narrow}, {exact}"
        );
    }
}
