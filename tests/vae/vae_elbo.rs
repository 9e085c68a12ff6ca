//! docs/vae.md#vae-elbo: the bound E_q log p(x|z) - KL(q ‖ p), with its gradient in every weight.

mod estimates;
mod evidence;

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::distributions::noise::{standard_normal, stream};
use elbo::nn::{Activation, Bound, Model, Parameters};
use elbo::vae::{Architecture, Likelihood, Vae};
use ndarray::{Array1, Array2, ArrayD, Axis, Ix2, concatenate, s};

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::quadrature::gauss_hermite_grid;
use crate::common::random::{random, rng};
use crate::vae::shared::networks::{
    DIVERGENCES, LIKELIHOODS, data, model, sigmoid, small, softplus, values,
};

/// ELBO and gradients of a Bernoulli VAE with one hidden tanh layer on each side, written out.
fn bound_and_gradients_by_hand(
    p: &Parameters<f64>,
    x: &Array2<f64>,
    noise: &Array2<f64>,
    elbo_bar: &Array1<f64>,
) -> (Array1<f64>, Vec<(&'static str, ArrayD<f64>)>) {
    let w = |name: &str| -> Array2<f64> {
        p.get(name)
            .unwrap()
            .to_owned()
            .into_owned()
            .into_dimensionality()
            .unwrap()
    };
    let b = |name: &str| p.get(name).unwrap().to_owned().into_owned();
    let (w1, w2) = (w("encoder.0.weight"), w("encoder.2.weight"));
    let (v1, v2) = (w("decoder.0.weight"), w("decoder.2.weight"));
    let plus = |m: Array2<f64>, name: &str| -> Array2<f64> {
        (m + b(name)).into_dimensionality::<Ix2>().unwrap()
    };

    let h = plus(x.dot(&w1.t()), "encoder.0.bias").mapv(f64::tanh);
    let o = plus(h.dot(&w2.t()), "encoder.2.bias");
    let latent = noise.ncols();
    let (mu, log_var) = (o.slice(s![.., ..latent]), o.slice(s![.., latent..]));
    let z = &mu + log_var.mapv(|s| (0.5 * s).exp()) * noise;
    let g = plus(z.dot(&v1.t()), "decoder.0.bias").mapv(f64::tanh);
    let a = plus(g.dot(&v2.t()), "decoder.2.bias");
    let reconstruction = (x * &a - a.mapv(softplus)).sum_axis(Axis(1));
    let kl = (&mu * &mu + log_var.mapv(|s| s.exp() - 1.0 - s)).sum_axis(Axis(1)) * 0.5;

    let weight = elbo_bar.clone().insert_axis(Axis(1));
    let a_bar = &weight * &(x - a.mapv(sigmoid));
    let g_bar = a_bar.dot(&v2);
    let c_bar = g_bar * g.mapv(|g| 1.0 - g * g);
    let z_bar = c_bar.dot(&v1);
    let mu_bar = &z_bar - &weight * &mu;
    let s_bar = (&z_bar * (&z - &mu) - &weight * log_var.mapv(|s| s.exp() - 1.0)) * 0.5;
    let o_bar = concatenate![Axis(1), mu_bar, s_bar];
    let h_bar = o_bar.dot(&w2) * h.mapv(|h| 1.0 - h * h);

    let rows = |m: &Array2<f64>| m.sum_axis(Axis(0)).into_dyn();
    let gradients = vec![
        ("encoder.0.weight", h_bar.t().dot(x).into_dyn()),
        ("encoder.0.bias", rows(&h_bar)),
        ("encoder.2.weight", o_bar.t().dot(&h).into_dyn()),
        ("encoder.2.bias", rows(&o_bar)),
        ("decoder.0.weight", c_bar.t().dot(&z).into_dyn()),
        ("decoder.0.bias", rows(&c_bar)),
        ("decoder.2.weight", a_bar.t().dot(&g).into_dyn()),
        ("decoder.2.bias", rows(&a_bar)),
    ];
    (reconstruction - kl, gradients)
}

#[test]
fn by_hand() {
    let mut rng = rng(57);
    let (mut value, mut gradient) = (Worst::default(), Worst::default());
    for [batch, dimensions, hidden, latent] in
        [[1, 2, 3, 1], [4, 5, 3, 2], [6, 7, 8, 3], [3, 3, 3, 3]]
    {
        let architecture = Architecture {
            dimensions,
            hidden: vec![hidden],
            latent,
            activation: Activation::Tanh,
            likelihood: Likelihood::Bernoulli,
        };
        let (vae, parameters) = model(architecture, &mut rng);
        let matrix = |array: ArrayD<f64>| array.into_dimensionality::<Ix2>().unwrap();
        let x = matrix(data(Likelihood::Bernoulli, &mut rng, &[batch, dimensions]));
        let noise = matrix(random(&mut rng, &[batch, latent]));
        let elbo_bar = random(&mut rng, &[batch]).into_dimensionality().unwrap();
        let (expected, by_hand) = bound_and_gradients_by_hand(&parameters, &x, &noise, &elbo_bar);
        let tape = Tape::new();
        let p = parameters.bind(&tape);
        let elbo = vae.elbo(&p, tape.constant(x), tape.constant(noise)).value();
        let gradients = tape.pull_back(elbo, elbo_bar, &[]);
        value.entries(&owned(elbo.value()), &expected.into_dyn());
        assert_eq!(by_hand.len(), parameters.len());
        for ((name, _), &var) in parameters.iter().zip(p.vars()) {
            let (_, expected) = by_hand.iter().find(|(other, _)| *other == name).unwrap();
            gradient.entries(&owned(gradients.wrt(var)), expected);
        }
    }
    value.within(REARRANGED, "ELBO: hand = autodiff");
    gradient.within(REARRANGED, "gradient of every weight: hand = autodiff");
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(56);
    let mut checked = Checked::default();
    let mut models = 0;
    let networks: [(&[usize], Activation); 5] = [
        (&[], Activation::Identity),
        (&[4], Activation::Tanh),
        (&[4], Activation::Softplus),
        (&[4, 3], Activation::Tanh),
        (&[5, 2], Activation::Softplus),
    ];
    for (hidden, activation) in networks {
        for likelihood in LIKELIHOODS {
            for divergence in DIVERGENCES {
                for samples in [1, 3] {
                    let architecture = Architecture {
                        dimensions: 3,
                        hidden: hidden.to_vec(),
                        latent: 2,
                        activation,
                        likelihood,
                    };
                    let (vae, parameters) = model(architecture, &mut rng);
                    let vae = vae.with_divergence(divergence).with_samples(samples);
                    let x = data(likelihood, &mut rng, &[2, 3]);
                    let noise = random(&mut rng, &vae.noise_shape(2));
                    // Every weight of encoder and decoder is an input; data and noise are frozen.
                    let report = Check::new("vae-elbo").run(&values(&parameters), |v| {
                        let (p, tape) = (Bound::from_vars(v), v[0].tape());
                        let (x, noise) = (tape.constant(x.clone()), tape.constant(noise.clone()));
                        vae.elbo(&p, x, noise).value()
                    });
                    let report = report.unwrap_or_else(|failure| {
                        panic!("{hidden:?} {likelihood} {divergence} {samples}: {failure}")
                    });
                    // Two data, each with a derivative with respect to each weight.
                    assert_eq!(report.entries, 2 * parameters.count());
                    checked.add(report);
                    models += 1;
                }
            }
        }
    }
    checked.print(&format!("{models} models"));
}

#[test]
fn of_several_samples_is_their_mean() {
    let mut rng = rng(58);
    let mut worst = Worst::default();
    for divergence in DIVERGENCES {
        let (vae, parameters) = model(small(Likelihood::Bernoulli), &mut rng);
        let vae = vae.with_divergence(divergence);
        let x = data(Likelihood::Bernoulli, &mut rng, &[4, 3]);
        let noise = random(&mut rng, &[5, 4, 2]);
        let tape = Tape::new();
        let p = parameters.bind(&tape);
        let at = |noise: ArrayD<f64>| {
            owned(
                vae.elbo(&p, tape.constant(x.clone()), tape.constant(noise))
                    .value()
                    .value(),
            )
        };
        let singles = noise.outer_iter().map(|noise| at(noise.to_owned()));
        let mean = singles.fold(ArrayD::zeros(vec![4]), |sum, elbo| sum + elbo) / 5.0;
        worst.entries(&at(noise), &mean);
    }
    worst.within(
        REARRANGED,
        "L = 5: the mean of five single-sample estimates",
    );
}

#[test]
fn is_what_is_trained() {
    let mut rng = rng(59);
    for samples in [1, 3] {
        let (vae, parameters) = model(small(Likelihood::Bernoulli), &mut rng);
        let vae = vae.with_samples(samples);
        let x = data(Likelihood::Bernoulli, &mut rng, &[4, 3]);
        let tape = Tape::new();
        let (p, x) = (parameters.bind(&tape), tape.constant(x));
        let objective = vae.objective(&p, x, &mut stream(1, "noise", 0));
        let noise = standard_normal(&tape, &vae.noise_shape(4), &mut stream(1, "noise", 0));
        let elbo = vae.elbo(&p, x, noise).value();
        let mut worst = Worst::default();
        worst.number(objective.loss.item(), -elbo.value().sum() / 4.0, 1.0);
        worst.within(REARRANGED, "loss = - mean over the batch of the ELBO");
    }
}

fn repeated(x: &Array1<f64>, rows: usize) -> Array2<f64> {
    x.broadcast((rows, x.len())).unwrap().to_owned()
}

/// The mean over the noise of the single-sample bound of one datum, by quadrature, and its gradients.
fn exact_bound(
    vae: &Vae,
    parameters: &Parameters<f64>,
    x: &Array1<f64>,
    n: usize,
) -> (f64, Vec<ArrayD<f64>>) {
    let (nodes, weights) = gauss_hermite_grid(n, 2);
    let tape = Tape::new();
    let p = parameters.bind(&tape);
    let rows = tape.constant(repeated(x, nodes.nrows()));
    let elbo = vae.elbo(&p, rows, tape.constant(nodes)).value();
    let mean = (elbo * tape.constant(weights)).sum();
    let gradients = tape.gradients(mean);
    (
        mean.item(),
        p.vars().iter().map(|&v| owned(gradients.wrt(v))).collect(),
    )
}
