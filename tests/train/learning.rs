//! Training that must succeed.

use elbo::data::Binarisation;
use elbo::distributions::noise::stream;
use elbo::nn::Parameters;
use elbo::train::{Settings, Task, evaluate, fit};
use elbo::vae::{Divergence, Likelihood, Vae};

use crate::common::random::rng;
use crate::train::shared::{architecture, dataset, settings};

const LIKELIHOODS: [Likelihood; 3] = [
    Likelihood::Bernoulli,
    Likelihood::Gaussian { deviation: 0.25 },
    Likelihood::GaussianLearned,
];

#[test]
fn fit_raises_the_bound_for_every_likelihood_divergence_and_number_of_samples() {
    let data = dataset();
    let settings = Settings {
        epochs: 40,
        ..settings(11)
    };
    for likelihood in LIKELIHOODS {
        for divergence in [Divergence::ClosedForm, Divergence::MonteCarlo] {
            for samples in [1, 3] {
                let mut parameters = Parameters::<f32>::new();
                let vae = Vae::new(architecture(likelihood), &mut parameters, &mut rng(12))
                    .with_divergence(divergence)
                    .with_samples(samples);
                let bound = |parameters: &Parameters<f32>| {
                    let mut rng = stream(13, "test", 0);
                    let none = Binarisation::None;
                    -evaluate(&vae, parameters, &data.test, none, &mut rng).loss
                };
                let before = bound(&parameters);
                let task = Task {
                    model: &vae,
                    data: &data,
                    settings: &settings,
                };
                let epochs = fit(task, &mut parameters, |_| ()).unwrap();
                let after = bound(&parameters);
                let what = format!("{likelihood:?} {divergence:?} {samples}: {before} to {after}");
                assert!(after > before + 3.0, "{what}");
                assert!(epochs[39].train.loss < epochs[0].train.loss - 2.0, "{what}");
                // It has learnt which of the two pictures it sees: log 2 nats at least.
                assert!(epochs[39].test.term("kl").unwrap() > 0.6, "{what}");
            }
        }
    }
}

#[test]
fn fit_learns_the_deviation_of_the_noise() {
    // The pixels' noise is uniform on 60 grey values: deviation 17.3/255 = 0.068 around each of two pictures.
    let (mut parameters, data) = (Parameters::<f64>::new(), dataset());
    let vae = Vae::new(
        architecture(Likelihood::GaussianLearned),
        &mut parameters,
        &mut rng(14),
    );
    let settings = Settings {
        epochs: 300,
        rate: 0.02,
        ..settings(15)
    };
    let task = Task {
        model: &vae,
        data: &data,
        settings: &settings,
    };
    fit(task, &mut parameters, |_| ()).unwrap();
    let log_variance = parameters.get("decoder.log_variance").unwrap().sum();
    let deviation = (log_variance / 2.0).exp();
    assert!((0.06..0.085).contains(&deviation), "{deviation}");
}
