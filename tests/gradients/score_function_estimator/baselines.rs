//! The best baseline, the one that leaves its own draw out, and what goes wrong with others.

use elbo::autodiff::Var;
use elbo::distributions::Estimate;
use elbo::gradients::{
    Baseline, Draws, GaussianParameters, best_baseline, categorical_score_gradient, score_gradient,
};
use elbo::kl::Nodes;
use ndarray::{Array1, Array2, Axis, arr1, arr2};

use crate::common::comparing::Worst;
use crate::common::random::{matrix, rng, vector};
use crate::common::reporting::report;
use crate::common::statistics::Statistics;
use crate::gradients::shared::{
    bent, bent_by_hand, dynamic, gaussian, moved, normal_noise, scores_by_hand, univariate,
};

/// (f_i - b_i) s_i + ∇f_i, with b_i = Σ g s / Σ s² over all rows but i, where g = f s + ∇f.
fn leave_one_out_by_hand(f: &Array1<f64>, s: &Array2<f64>, direct: &Array2<f64>) -> Array2<f64> {
    let g = |j: usize, entry: usize| f[j] * s[[j, entry]] + direct[[j, entry]];
    Array2::from_shape_fn(s.dim(), |(i, entry)| {
        let others = || (0..f.len()).filter(|&j| j != i);
        let products: f64 = others().map(|j| g(j, entry) * s[[j, entry]]).sum();
        let squares: f64 = others().map(|j| s[[j, entry]].powi(2)).sum();
        let b = if squares > 0.0 {
            products / squares
        } else {
            0.0
        };
        g(i, entry) - b * s[[i, entry]]
    })
}

#[test]
fn leaves_one_out_by_hand() {
    let mut rng = rng(114);
    let mut worst = Worst::default();
    for (n, d) in [(1, 2), (2, 1), (4, 1), (4, 3), (7, 2)] {
        let (q, noise) = (gaussian(&mut rng, d), normal_noise(&mut rng, n, d));
        let a = matrix(&mut rng, [d, 3]);
        let z = moved(&q, &noise);
        let (f, s) = (bent_by_hand(&z, &a), scores_by_hand(&q, &z));
        let one_out = Baseline::LeaveOneOut;
        let draws = score_gradient(&q, noise.view(), |_, z| bent(z, &a), &one_out).unwrap();
        let expected = leave_one_out_by_hand(&f, &s, &Array2::zeros(s.dim()));
        worst.entries(&dynamic(&draws.gradients().to_owned()), &dynamic(&expected));
        let with_parameters = score_gradient(
            &q,
            noise.view(),
            |q, z| bent(z, &a) + (q.mean * z).sum_last() + q.log_variance.sum_last(),
            &one_out,
        );
        let f = f + z.dot(&q.mean) + q.log_variance.sum();
        let direct = ndarray::concatenate![Axis(1), z, Array2::ones((n, d))];
        let expected = leave_one_out_by_hand(&f, &s, &direct);
        let found = with_parameters.unwrap().gradients().to_owned();
        worst.entries(&dynamic(&found), &dynamic(&expected));
    }
    // Classes: the scores are e_k - p.
    let (logits, f) = (vector(&mut rng, 3), vector(&mut rng, 3));
    let p = logits.mapv(f64::exp) / logits.mapv(f64::exp).sum();
    let classes = [0, 2, 1, 2];
    let one_hot = Array2::<f64>::eye(3).select(Axis(0), &classes);
    let draws = categorical_score_gradient(
        logits.view(),
        one_hot.view(),
        |_, z| (z * z.tape().constant(f.clone())).sum_last(),
        &Baseline::LeaveOneOut,
    );
    let values = f.select(Axis(0), &classes);
    let expected = leave_one_out_by_hand(&values, &(&one_hot - &p), &Array2::zeros((4, 3)));
    let found = draws.unwrap().gradients().to_owned();
    worst.entries(&dynamic(&found), &dynamic(&expected));
    worst.within(1e-12, "b* of the other draws: hand = estimator");
}

#[test]
fn has_a_best_baseline() {
    // Var(b) = Var(b*) + (b - b*)² E s², for each entry by itself.
    let mut rng = rng(108);
    let (mut parabola, mut best_is) = (Worst::default(), Worst::default());
    for d in [1, 2, 3] {
        let (q, a) = (gaussian(&mut rng, d), matrix(&mut rng, [d, 2]));
        let nodes = Nodes::gauss_hermite(12, d);
        let (noise, weights) = (nodes.points(), nodes.weights().view());
        let best = best_baseline(&q, &nodes, |_, z| bent(z, &a)).unwrap();
        let z = moved(&q, noise);
        let (f, s) = (
            bent_by_hand(&z, &a).insert_axis(Axis(1)),
            scores_by_hand(&q, &z),
        );
        let squares = &s * &s;
        let by_hand = weights.dot(&(&f * &squares)) / weights.dot(&squares);
        best_is.entries(&best.clone().into_dyn(), &by_hand.into_dyn());
        let variance = |b: Array1<f64>| {
            let baseline = Baseline::Entries(b);
            let draws = score_gradient(&q, noise.view(), |_, z| bent(z, &a), &baseline).unwrap();
            let [_, variance] = draws.moments(weights);
            variance
        };
        let least = variance(best.clone());
        for _ in 0..5 {
            let offset = vector(&mut rng, 2 * d);
            let expected = &least + &(&offset * &offset * weights.dot(&squares));
            let found = variance(&best + &offset);
            parabola.entries(&found.into_dyn(), &expected.into_dyn());
        }
    }
    best_is.within(1e-12, "best baseline = E[f s²]/E[s²]");
    parabola.within(1e-12, "variance = its least + (b - b*)² E s²");
}

#[test]
fn has_a_best_baseline_where_f_has_parameters() {
    // f = μ z + s: b* = E[(f S + ∇f) S]/E[S²], for the mean with ∇f = z: E[(μz + s)ε² + σzε] = μ² + s + σ². For the
    // log-variance ∇f = 1 adds E S = 0.
    let mut rng = rng(110);
    let nodes = Nodes::gauss_hermite(8, 1);
    let mut worst = Worst::default();
    for _ in 0..10 {
        let q = gaussian(&mut rng, 1);
        let (mu, s) = (q.mean[0], q.log_variance[0]);
        let best = best_baseline(&q, &nodes, |q, z| {
            (q.mean * z).sum_last() + q.log_variance.sum_last()
        })
        .unwrap();
        let exact = arr1(&[mu * mu + s + s.exp(), mu * mu + s]);
        worst.entries(&best.into_dyn(), &exact.into_dyn());
    }
    worst.within(1e-12, "best baseline of μz + s = closed form");
}

#[test]
fn can_suffer_from_the_mean_as_baseline() {
    // f = e^(-2z²) under N(0, 1) is large where the score is small: E f = 5^(-1/2), b* = 5^(-3/2).
    let q = GaussianParameters::standard(1);
    let nodes = Nodes::standard_normal(201, 1);
    let bump = |baseline: &Baseline| {
        let noise = nodes.points().view();
        let draws = score_gradient(
            &q,
            noise,
            |_, z| (z.square() * -2.0).exp().sum_last(),
            baseline,
        );
        let [_, variance] = draws.unwrap().moments(nodes.weights().view());
        variance[0]
    };
    let best = best_baseline(&q, &nodes, |_, z| (z.square() * -2.0).exp().sum_last()).unwrap()[0];
    assert!((best - 5f64.powf(-1.5)).abs() < 1e-12, "{best}");
    let [none, mean, least] = [0.0, 5f64.powf(-0.5), best].map(|b| bump(&Baseline::Constant(b)));
    report(format!(
        "variance without a baseline {none:.4}, with E f {mean:.4}, with b* {least:.4}"
    ));
    // E f² s² = E ε² e^(-4ε²) = 9^(-3/2).
    assert!((none - 1.0 / 27.0).abs() < 1e-12);
    assert!((least - (1.0 / 27.0 - 1.0 / 125.0)).abs() < 1e-12);
    assert!(mean > 3.0 * none);
}

#[test]
fn is_biased_by_the_baseline_of_its_own_draws() {
    // Ten draws at a time, f = z² at N(1, 1), whose derivative is 2. b* from all of them sees the draw that it serves; from
    // the other nine it does not.
    let mut rng = rng(109);
    let (mut own, mut other) = (Vec::new(), Vec::new());
    let q = univariate(1.0, 0.0);
    let square = |noise: &Array2<f64>, baseline: &Baseline| {
        score_gradient(&q, noise.view(), |_, z| z.square().sum_last(), baseline).unwrap()
    };
    for _ in 0..100_000 / 10 {
        let noise = normal_noise(&mut rng, 10, 1);
        let samples = Nodes::samples(noise.clone()).unwrap();
        let b = best_baseline(&q, &samples, |_, z| z.square().sum_last()).unwrap();
        let mean = |draws: Draws| draws.gradients().column(0).mean().unwrap();
        own.push(mean(square(&noise, &Baseline::Entries(b))));
        other.push(mean(square(&noise, &Baseline::LeaveOneOut)));
    }
    Statistics::of(&other).agree_with(2.0, "b* of the other draws");
    let own = Estimate::of(own).unwrap();
    let distance = own.distance(2.0);
    report(format!(
        "b* of all ten draws: {own} instead of 2, {distance:+.0} standard errors"
    ));
    assert_eq!(
        (format!("{:.3}", own.mean), distance.round()),
        ("1.501".to_owned(), -46.0)
    );
}

#[test]
fn understates_the_error_of_few_draws() {
    // f = z² at N(1, 1) and ∂μ. Two draws that leave one out have the mean ½(f₁ - f₂)(ε₁ - ε₂), of variance 14, and the
    // squared standard error ¼(f₁ - f₂)²(ε₁ + ε₂)², of mean 10: by quadrature over both, exactly.
    let q = univariate(1.0, 0.0);
    let of = |noise: &Array2<f64>| {
        let one_out = Baseline::LeaveOneOut;
        let draws = score_gradient(&q, noise.view(), |_, z| z.square().sum_last(), &one_out);
        let mean = draws.unwrap().estimate().entries[0];
        [(mean.mean - 2.0).powi(2), mean.standard_error.powi(2)]
    };
    let nodes = Nodes::gauss_hermite(8, 2);
    let pairs = nodes.points().outer_iter().zip(nodes.weights());
    let exact = pairs.fold([0.0, 0.0], |[variance, reported], (pair, weight)| {
        let [a, b] = of(&pair.to_owned().insert_axis(Axis(1)));
        [variance + weight * a, reported + weight * b]
    });
    report(format!(
        "2 draws: variance of the mean {:.4}, reported {:.4}",
        exact[0], exact[1]
    ));
    assert!((exact[0] - 14.0).abs() < 1e-11 && (exact[1] - 10.0).abs() < 1e-11);
    // More of them by experiments.
    let mut rng = rng(116);
    for (n, experiments, expected) in [
        (5, 10_000, [2.33, 2.07]),
        (10, 10_000, [1.52, 1.41]),
        (100, 2_000, [0.392, 0.387]),
    ] {
        let found: Vec<[f64; 2]> = (0..experiments)
            .map(|_| of(&normal_noise(&mut rng, n, 1)))
            .collect();
        let [variance, reported] =
            [0, 1].map(|part| Estimate::of(found.iter().map(|pair| pair[part])).unwrap());
        report(format!(
            "{n} draws: deviation of the mean {:.3}, reported {:.3}",
            variance.mean.sqrt(),
            reported.mean.sqrt()
        ));
        for (estimate, expected) in [variance, reported].iter().zip(expected) {
            let distance = estimate.distance(expected * expected);
            assert!(distance.abs() <= 4.0, "{n} draws: {estimate}, {expected}²");
        }
    }
}

#[test]
fn understates_it_with_the_mean_of_the_others_too() {
    // The same f and ∂μ, five draws, and as baseline the mean of the other draws' f.
    let (n, mut rng) = (5, rng(117));
    let experiment = |noise: Array2<f64>| {
        let f = noise.column(0).mapv(|e| (1.0 + e).powi(2));
        let others = |i: usize| (f.sum() - f[i]) / (n - 1) as f64;
        let draws = (0..n).map(|i| (f[i] - others(i)) * noise[[i, 0]]);
        let mean = Estimate::of(draws).unwrap();
        [(mean.mean - 2.0).powi(2), mean.standard_error.powi(2)]
    };
    let found: Vec<[f64; 2]> = (0..10_000)
        .map(|_| experiment(normal_noise(&mut rng, n, 1)))
        .collect();
    for (part, expected) in [(0, 2.02), (1, 1.96)] {
        let estimate = Estimate::of(found.iter().map(|pair| pair[part])).unwrap();
        let distance = estimate.distance(expected * expected);
        assert!(distance.abs() <= 4.0, "{estimate}, {expected}²");
    }
    // The deviations of two draws with one left out, for the eye.
    assert!((14f64.sqrt() - 3.74).abs() < 0.005 && (10f64.sqrt() - 3.16).abs() < 0.005);
}

fn constant(z: Var<'_, f64>, f: f64) -> Var<'_, f64> {
    z.sum_last() * 0.0 + f
}

#[test]
fn takes_a_constant_away_entirely() {
    // b* of a constant is that constant, and (f - b)s is 0: also where s² overflows or is 0 in f64.
    let nodes = Nodes::gauss_hermite(8, 1);
    let mut rng = rng(115);
    let noise = normal_noise(&mut rng, 5, 1);
    for log_variance in [-1400.0, -720.0, 0.0, 0.3, 760.0, 1400.0] {
        let q = univariate(0.5, log_variance);
        for f in [1.0, 1000.0, -0.1] {
            let best = best_baseline(&q, &nodes, |_, z| constant(z, f));
            assert_eq!(best, Ok(arr1(&[f, f])), "{log_variance}");
            let one_out = Baseline::LeaveOneOut;
            let draws = score_gradient(&q, noise.view(), |_, z| constant(z, f), &one_out).unwrap();
            assert!(draws.gradients().iter().all(|&g| g == 0.0), "{draws:?}");
        }
    }
    // At σ = e^-360 every z is 1: z² is 1 as well, and μz has b* = μ² + σ² = 1.
    let narrow = univariate(1.0, -720.0);
    let square = best_baseline(&narrow, &nodes, |_, z| z.square().sum_last());
    assert_eq!(square, Ok(arr1(&[1.0, 1.0])));
    let product = best_baseline(&narrow, &nodes, |q, z| (q.mean * z).sum_last()).unwrap();
    assert!((product - 1.0).iter().all(|b| b.abs() < 1e-14));
    // Four draws, one of them of a rare class, whose score is nearly all of Σ s².
    let one_hot = arr2(&[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]);
    for logit in [-1.0, -30.0, -40.0, -400.0] {
        let draws = categorical_score_gradient(
            arr1(&[0.0, logit]).view(),
            one_hot.view(),
            |_, z| constant(z, 1000.0),
            &Baseline::LeaveOneOut,
        );
        let gradients = draws.unwrap().gradients().to_owned();
        assert!(gradients.iter().all(|&g| g == 0.0), "{logit}: {gradients}");
    }
}
