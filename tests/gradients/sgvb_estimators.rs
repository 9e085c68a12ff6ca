//! docs/gradients.md#sgvb-estimators: both estimators have the bound as their mean; A is constant at the exact
//! posterior.

mod variances;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use elbo::distributions::DiagonalGaussian;
use elbo::gradients::{Draws, GaussianParameters, estimator_a, estimator_b, pathwise_gradient};
use elbo::kl::Nodes;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::comparing::{Checked, Worst};
use crate::common::random::{random, rng, vector};
use crate::common::reporting::report;
use crate::gradients::shared::{
    along_the_path, dynamic, from_vars, gaussian, moved, normal_noise, unbiased,
};

/// Prior N(m₀, v₀) and x | z ~ N(z, r²), dimension by dimension: log p(x) and the posterior are known.
struct Conjugate {
    x: Array1<f64>,
    noise_variance: f64,
    prior: GaussianParameters,
}

impl Conjugate {
    fn random(rng: &mut StdRng, d: usize) -> Self {
        Self {
            x: vector(rng, d),
            noise_variance: rng.random_range(0.3..2.0),
            prior: gaussian(rng, d),
        }
    }

    fn log_likelihood<'t>(&self, z: Var<'t, f64>) -> Var<'t, f64> {
        let tape = z.tape();
        let log_variance = tape.scalar(self.noise_variance.ln());
        DiagonalGaussian {
            mean: z,
            log_variance: log_variance.broadcast_to(&z.shape()),
        }
        .log_density(tape.constant(self.x.clone()))
    }

    fn prior<'t>(&self, tape: &'t Tape<f64>) -> DiagonalGaussian<'t, f64> {
        DiagonalGaussian {
            mean: tape.constant(self.prior.mean.clone()),
            log_variance: tape.constant(self.prior.log_variance.clone()),
        }
    }

    fn log_joint<'t>(&self, z: Var<'t, f64>) -> Var<'t, f64> {
        self.log_likelihood(z) + self.prior(z.tape()).log_density(z)
    }

    fn posterior(&self) -> GaussianParameters {
        let prior_precision = self.prior.log_variance.mapv(|s| (-s).exp());
        let precision = &prior_precision + 1.0 / self.noise_variance;
        let mean =
            (&self.prior.mean * &prior_precision + &self.x / self.noise_variance) / &precision;
        GaussianParameters {
            mean,
            log_variance: precision.mapv(|p| -p.ln()),
        }
    }

    /// log N(x; m₀, v₀ + r²).
    fn log_evidence(&self) -> f64 {
        let variance = self.prior.log_variance.mapv(f64::exp) + self.noise_variance;
        let offset = &self.x - &self.prior.mean;
        let terms =
            variance.mapv(|v| (std::f64::consts::TAU * v).ln()) + &offset * &offset / &variance;
        -0.5 * terms.sum()
    }

    /// The bound and its gradient at q: E log p(x|z) - KL in closed form.
    fn bound(&self, q: &GaussianParameters) -> (f64, Array1<f64>) {
        let (v, v0) = (
            q.log_variance.mapv(f64::exp),
            self.prior.log_variance.mapv(f64::exp),
        );
        let (r2, to_x, to_prior) = (
            self.noise_variance,
            &self.x - &q.mean,
            &q.mean - &self.prior.mean,
        );
        let likelihood = (&to_x * &to_x + &v) / r2 + (std::f64::consts::TAU * r2).ln();
        let divergence =
            (&to_prior * &to_prior + &v) / &v0 - 1.0 - (&q.log_variance - &self.prior.log_variance);
        let value = -0.5 * (likelihood + divergence).sum();
        let to_mean = &to_x / r2 - &to_prior / &v0;
        let to_log_variance = (1.0 - &v / r2 - &v / &v0) * 0.5;
        (
            value,
            ndarray::concatenate![Axis(0), to_mean, to_log_variance],
        )
    }

    fn a(&self, q: &GaussianParameters, noise: ArrayView2<f64>) -> Draws {
        pathwise_gradient(q, noise, |q, z| estimator_a(q, z, self.log_joint(z))).unwrap()
    }

    fn b(&self, q: &GaussianParameters, noise: ArrayView2<f64>) -> Draws {
        pathwise_gradient(q, noise, |q, z| {
            estimator_b(q, &self.prior(z.tape()), self.log_likelihood(z))
        })
        .unwrap()
    }
}

#[test]
fn by_hand() {
    let mut rng = rng(131);
    let (mut values, mut gradients) = (Worst::default(), Worst::default());
    for (n, d) in [(1, 1), (5, 2), (4, 4)] {
        let model = Conjugate::random(&mut rng, d);
        let (q, noise) = (gaussian(&mut rng, d), normal_noise(&mut rng, n, d));
        let z = moved(&q, &noise);
        let (v, v0) = (
            q.log_variance.mapv(f64::exp),
            model.prior.log_variance.mapv(f64::exp),
        );
        let log_normal = |offset: &Array2<f64>, v: &Array1<f64>| {
            (offset * offset / v + &v.mapv(|v| (std::f64::consts::TAU * v).ln())).sum_axis(Axis(1))
                * -0.5
        };
        let r2 = Array1::from_elem(d, model.noise_variance);
        let to_x = &z - &model.x;
        let to_prior = &z - &model.prior.mean;
        let likelihood = log_normal(&to_x, &r2);
        let a = &likelihood + &log_normal(&to_prior, &v0) - log_normal(&(&z - &q.mean), &v);
        let apart = &q.mean - &model.prior.mean;
        let divergence = 0.5
            * ((&apart * &apart + &v) / &v0 - 1.0 - (&q.log_variance - &model.prior.log_variance))
                .sum();
        let b = &likelihood - divergence;
        // ∂μ and ∂s of log q(μ + σε) are 0 and -½.
        let mut grad_a = along_the_path(&q, &noise, &(-(&to_x / &r2) - &to_prior / &v0));
        grad_a.slice_mut(s![.., d..]).mapv_inplace(|g| g + 0.5);
        let of_divergence = ndarray::concatenate![Axis(0), &apart / &v0, (&v / &v0 - 1.0) * 0.5];
        let grad_b = along_the_path(&q, &noise, &-(&to_x / &r2)) - &of_divergence;
        for (draws, value, gradient) in [
            (model.a(&q, noise.view()), a, grad_a),
            (model.b(&q, noise.view()), b, grad_b),
        ] {
            values.entries(&draws.values().to_owned().into_dyn(), &value.into_dyn());
            gradients.entries(&dynamic(&draws.gradients().to_owned()), &dynamic(&gradient));
        }
    }
    values.within(1e-12, "values of A and B: hand = code");
    gradients.within(1e-12, "gradients of A and B: hand = autodiff");
}

fn one_draw<'t>(
    v: &[Var<'t, f64>],
    model: &Conjugate,
    noise: &Array2<f64>,
    a: bool,
) -> Var<'t, f64> {
    let q = from_vars(v);
    let tape = v[0].tape();
    let z = q.sample(tape.constant(noise.clone()));
    match a {
        true => estimator_a(&q, z, model.log_joint(z)),
        false => estimator_b(&q, &model.prior(tape), model.log_likelihood(z)),
    }
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(132);
    let mut checked = Checked::default();
    for (n, d) in [(3, 1), (2, 3)] {
        let model = Conjugate::random(&mut rng, d);
        let noise = normal_noise(&mut rng, n, d);
        let point = [random(&mut rng, &[d]), random(&mut rng, &[d])];
        let check = Check::new("sgvb-estimators");
        checked.add(
            check
                .run(&point, |v| one_draw(v, &model, &noise, true))
                .unwrap(),
        );
        checked.add(
            check
                .run(&point, |v| one_draw(v, &model, &noise, false))
                .unwrap(),
        );
        let second = check.run_second_order(&point, |v| one_draw(v, &model, &noise, false));
        checked.add(second.unwrap());
    }
    checked.print("A and B");
}

#[test]
fn at_the_exact_posterior() {
    // A is log p(x) at every draw. B varies as log p(x|z) does: (2σ⁴ + 4σ²(x-μ)²)/4r⁴ in each dimension.
    let mut rng = rng(134);
    let mut worst = Worst::default();
    for d in [1, 2, 4] {
        let model = Conjugate::random(&mut rng, d);
        let q = model.posterior();
        let noise = normal_noise(&mut rng, 1000, d);
        let evidence = model.log_evidence();
        for value in model.a(&q, noise.view()).values() {
            worst.number(*value, evidence, evidence.abs());
        }
        let nodes = Nodes::gauss_hermite(4, d);
        let (weights, r4) = (nodes.weights().view(), model.noise_variance.powi(2));
        let b = model.b(&q, nodes.points().view());
        let mean = weights.dot(&b.values());
        let deviations = &b.values() - mean;
        let variance = weights.dot(&(&deviations * &deviations));
        let (v, to_x) = (q.log_variance.mapv(f64::exp), &model.x - &q.mean);
        let expected = ((&v * &v * 2.0 + &v * &to_x * &to_x * 4.0) / (4.0 * r4)).sum();
        report(format!(
            "{d} dimensions: variance of B {variance:.4}, of A 0"
        ));
        worst.number(mean, evidence, evidence.abs());
        worst.number(variance, expected, expected);
        assert!(variance > 0.01);
    }
    worst.within(
        1e-12,
        "A = log p(x) at every draw; variance of B = closed form",
    );
}

#[test]
fn have_the_bound_as_their_mean() {
    let mut rng = rng(133);
    let (mut exactly, mut furthest) = (Worst::default(), 0.0f64);
    for d in [1, 3] {
        let model = Conjugate::random(&mut rng, d);
        let q = gaussian(&mut rng, d);
        let (bound, gradient) = model.bound(&q);
        let nodes = Nodes::gauss_hermite(4, d);
        let noise = normal_noise(&mut rng, 100_000, d);
        for estimator in [Conjugate::a, Conjugate::b] {
            let draws = estimator(&model, &q, nodes.points().view());
            let weights = nodes.weights().view();
            exactly.number(weights.dot(&draws.values()), bound, bound.abs());
            let [mean, _] = draws.moments(weights);
            exactly.entries(&mean.into_dyn(), &gradient.clone().into_dyn());
            let draws = estimator(&model, &q, noise.view());
            let distance = draws.estimate().value.distance(bound).abs();
            assert!(distance <= 4.0, "bound: {distance} standard errors");
            furthest = furthest
                .max(distance)
                .max(unbiased(&draws, &gradient, "gradient"));
        }
    }
    exactly.within(1e-12, "means of A and B by quadrature = closed form");
    report(format!("worst of 20 means: {furthest:.2} standard errors"));
}
