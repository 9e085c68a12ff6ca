//! docs/gradients.md#score-function-estimator: E[(f - b) ∇log q] = ∇ E f for every baseline b, steps and classes
//! included.

mod baselines;
mod limits;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::noise::standard_uniform;
use elbo::distributions::{Categorical, DiagonalGaussian};
use elbo::gradients::{
    Baseline, GaussianParameters, best_baseline, categorical_score_gradient, pathwise_gradient,
    score_gradient,
};
use elbo::kl::Nodes;
use ndarray::{Array1, Array2, Axis, arr1};

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, Worst};
use crate::common::random::{matrix, rng, vector};
use crate::common::reporting::report;
use crate::gradients::shared::{
    GAUSSIANS, bent, bent_by_hand, dynamic, gaussian, moved, normal_density, normal_noise,
    scores_by_hand, step, unbiased, univariate,
};

#[test]
fn by_hand() {
    let mut rng = rng(101);
    let mut worst = Worst::default();
    for (n, d) in [(1, 1), (7, 2), (4, 5), (9, 3)] {
        let (q, noise, a) = (
            gaussian(&mut rng, d),
            normal_noise(&mut rng, n, d),
            matrix(&mut rng, [d, 3]),
        );
        let z = moved(&q, &noise);
        let s = scores_by_hand(&q, &z);
        let f = bent_by_hand(&z, &a).insert_axis(Axis(1));
        let b = vector(&mut rng, 2 * d);
        let cases = [
            (Baseline::None, &f * &s),
            (Baseline::Constant(0.7), (&f - 0.7) * &s),
            (Baseline::Entries(b.clone()), &f * &s - &s * &b),
        ];
        for (baseline, expected) in cases {
            let draws = score_gradient(&q, noise.view(), |_, z| bent(z, &a), &baseline).unwrap();
            worst.entries(&dynamic(&draws.gradients().to_owned()), &dynamic(&expected));
        }
        // q within f: (f + μ·z + Σs) s, and its own gradient at fixed z, which is z and 1.
        let draws = score_gradient(
            &q,
            noise.view(),
            |q, z| bent(z, &a) + (q.mean * z).sum_last() + q.log_variance.sum_last(),
            &Baseline::None,
        )
        .unwrap();
        let f =
            (f.column(0).to_owned() + z.dot(&q.mean) + q.log_variance.sum()).insert_axis(Axis(1));
        let direct = ndarray::concatenate![Axis(1), z, Array2::ones((n, d))];
        worst.entries(
            &dynamic(&draws.gradients().to_owned()),
            &dynamic(&(&f * &s + direct)),
        );
    }
    worst.within(1e-12, "single draws: hand = estimator");
}

fn weighed_density<'t>(v: &[Var<'t, f64>], z: &Array2<f64>, f: &Array1<f64>) -> Var<'t, f64> {
    let tape = v[0].tape();
    let q = DiagonalGaussian {
        mean: v[0],
        log_variance: v[1],
    };
    (q.log_density(tape.constant(z.clone())) * tape.constant(f.clone())).sum()
}

#[test]
fn is_the_gradient_of_the_log_density() {
    // Σ f log q_φ(z) at frozen f and z: an ordinary function of φ, whose gradient the estimator adds up.
    let mut rng = rng(102);
    let (mut checked, mut worst) = (Checked::default(), Worst::default());
    for (n, d) in [(3, 1), (4, 2), (2, 4)] {
        let (q, noise, a) = (
            gaussian(&mut rng, d),
            normal_noise(&mut rng, n, d),
            matrix(&mut rng, [d, 3]),
        );
        let z = moved(&q, &noise);
        let f = bent_by_hand(&z, &a);
        let point = [q.mean.clone().into_dyn(), q.log_variance.clone().into_dyn()];
        let tape = Tape::new();
        let v = point.clone().map(|x| tape.variable(x));
        let gradients = tape.gradients(weighed_density(&v, &z, &f));
        let on_tape = v.map(|v| owned(gradients.wrt(v)));
        let check = Check::new("score-function-estimator");
        checked.add(check.run(&point, |v| weighed_density(v, &z, &f)).unwrap());
        checked.add(
            check
                .run_second_order(&point, |v| weighed_density(v, &z, &f))
                .unwrap(),
        );
        let draws = score_gradient(&q, noise.view(), |_, z| bent(z, &a), &Baseline::None).unwrap();
        let sum = draws.gradients().sum_axis(Axis(0));
        let expected = ndarray::concatenate![Axis(0), on_tape[0], on_tape[1]];
        worst.entries(&sum.into_dyn(), &expected);
    }
    worst.within(1e-12, "sum of the draws = gradient of Σ f log q");
    checked.print("Σ f log q, first and second order");
}

/// (wᵀz)², its expectation (wᵀμ)² + Σ w²σ², and the gradient of that.
fn squared_projection<'t>(z: Var<'t, f64>, w: &Array1<f64>) -> Var<'t, f64> {
    (z * z.tape().constant(w.clone())).sum_last().square()
}

fn squared_projection_exact(q: &GaussianParameters, w: &Array1<f64>) -> Array1<f64> {
    let by_mean = w * (2.0 * w.dot(&q.mean));
    let by_log_variance = w * w * q.log_variance.mapv(f64::exp);
    ndarray::concatenate![Axis(0), by_mean, by_log_variance]
}

#[test]
fn has_the_right_mean_for_every_baseline() {
    let mut rng = rng(103);
    let mut worst = Worst::default();
    for d in [1, 2, 3] {
        let (q, w) = (gaussian(&mut rng, d), vector(&mut rng, d));
        let nodes = Nodes::gauss_hermite(8, d);
        let best = best_baseline(&q, &nodes, |_, z| squared_projection(z, &w)).unwrap();
        let baselines = [
            Baseline::None,
            Baseline::Constant(5.0),
            Baseline::Constant(-300.0),
            Baseline::Entries(best),
        ];
        let exact = squared_projection_exact(&q, &w);
        for baseline in baselines {
            let noise = nodes.points().view();
            let draws = score_gradient(&q, noise, |_, z| squared_projection(z, &w), &baseline);
            let [mean, _] = draws.unwrap().moments(nodes.weights().view());
            worst.entries(&mean.into_dyn(), &exact.clone().into_dyn());
        }
    }
    worst.within(1e-12, "E[(f - b) s] by quadrature = closed form");
}

#[test]
fn of_classes_by_enumeration() {
    let mut rng = rng(104);
    let (mut worst, mut single) = (Worst::default(), Worst::default());
    for classes in 1..=7 {
        let mut logits = vector(&mut rng, classes);
        if classes > 4 {
            // An impossible class is never drawn, and its logit has no gradient.
            logits[1] = f64::NEG_INFINITY;
        }
        let f = vector(&mut rng, classes);
        let total: f64 = logits.mapv(f64::exp).sum();
        let p = logits.mapv(|a| a.exp() / total);
        let possible: Vec<usize> = (0..classes).filter(|&k| p[k] > 0.0).collect();
        let one_hot = Array2::eye(classes).select(Axis(0), &possible);
        let weights = p.select(Axis(0), &possible);
        // ∂/∂a_j Σ p_k f_k = p_j (f_j - Σ p f).
        let exact = &p * &(&f - p.dot(&f));
        for baseline in [
            Baseline::None,
            Baseline::Constant(-20.0),
            Baseline::Entries(f.clone()),
        ] {
            let draws = categorical_score_gradient(
                logits.view(),
                one_hot.view(),
                |_, z| (z * z.tape().constant(f.clone())).sum_last(),
                &baseline,
            )
            .unwrap();
            for (row, &k) in draws.gradients().outer_iter().zip(&possible) {
                let b = match &baseline {
                    Baseline::None => Array1::zeros(classes),
                    Baseline::Constant(b) => Array1::from_elem(classes, *b),
                    Baseline::Entries(b) => b.clone(),
                    Baseline::LeaveOneOut => unreachable!("not among them"),
                };
                let score = Array1::from_shape_fn(classes, |j| f64::from(j == k) - p[j]);
                single.entries(
                    &row.to_owned().into_dyn(),
                    &((f[k] - &b) * score).into_dyn(),
                );
            }
            let [mean, _] = draws.moments(weights.view());
            for (found, exact) in mean.iter().zip(&exact) {
                worst.number(*found, *exact, 20.0);
            }
        }
    }
    single.within(1e-12, "single classes: hand = estimator");
    worst.within(1e-14, "sum over all classes = closed form");
}

#[test]
fn is_unbiased_for_every_constant() {
    let mut rng = rng(105);
    let mut worst = 0.0f64;
    let noise = normal_noise(&mut rng, 100_000, 2);
    let (q, w) = (gaussian(&mut rng, 2), vector(&mut rng, 2));
    let exact = squared_projection_exact(&q, &w);
    let baselines = [
        Baseline::None,
        Baseline::Constant(2.0),
        Baseline::Constant(-9.0),
        Baseline::Entries(vector(&mut rng, 4)),
        Baseline::LeaveOneOut,
    ];
    for baseline in baselines {
        let draws = score_gradient(
            &q,
            noise.view(),
            |_, z| squared_projection(z, &w),
            &baseline,
        );
        worst = worst.max(unbiased(&draws.unwrap(), &exact, &format!("{baseline:?}")));
    }
    report(format!("worst of 20 entries: {worst:.2} standard errors"));
}

#[test]
fn of_classes_is_unbiased() {
    let mut rng = rng(107);
    let logits = vector(&mut rng, 5);
    let f = vector(&mut rng, 5);
    let tape = Tape::new();
    let q = Categorical {
        logits: tape.constant(Array2::from_shape_fn((100_000, 5), |(_, k)| logits[k])),
    };
    let z = q
        .sample(standard_uniform(&tape, &[100_000, 1], &mut rng))
        .value();
    let z: Array2<f64> = z.into_owned().into_dimensionality().unwrap();
    let p = logits.mapv(f64::exp) / logits.mapv(f64::exp).sum();
    let exact = &p * &(&f - p.dot(&f));
    let mut worst = 0.0f64;
    for baseline in [
        Baseline::None,
        Baseline::Constant(3.0),
        Baseline::LeaveOneOut,
    ] {
        let draws = categorical_score_gradient(
            logits.view(),
            z.view(),
            |_, z| (z * z.tape().constant(f.clone())).sum_last(),
            &baseline,
        );
        worst = worst.max(unbiased(&draws.unwrap(), &exact, "classes"));
    }
    report(format!("worst of 15 entries: {worst:.2} standard errors"));
}

#[test]
fn sees_a_step() {
    // Where the pathwise gradient is 0 at every draw, the score finds N(μ; 0, σ²).
    let mut rng = rng(106);
    let noise = normal_noise(&mut rng, 100_000, 1);
    let mut worst = 0.0f64;
    for [mu, s] in GAUSSIANS {
        let sigma = (0.5 * s).exp();
        let to_mean = normal_density(mu / sigma) / sigma;
        let exact = arr1(&[to_mean, -0.5 * mu * to_mean]);
        let q = univariate(mu, s);
        for baseline in [Baseline::None, Baseline::LeaveOneOut] {
            let draws = score_gradient(&q, noise.view(), |_, z| step(z).sum_last(), &baseline);
            worst = worst.max(unbiased(&draws.unwrap(), &exact, "step"));
        }
        let path = pathwise_gradient(&q, noise.view(), |_, z| step(z).sum_last()).unwrap();
        assert!(path.gradients().iter().all(|&g| g == 0.0));
    }
    report(format!("worst of 20 entries: {worst:.2} standard errors"));
}
