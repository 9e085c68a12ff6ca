//! Training that must succeed.

use elbo::data::Binarisation;
use elbo::distributions::noise::stream;
use elbo::nn::{Parameters, Schedule};
use elbo::train::{Outcome, Settings, evaluate};
use elbo::vae::{Divergence, Likelihood, Vae};

use crate::common::random::rng;
use crate::train::shared::{architecture, settings, train, two_pictures};

const LIKELIHOODS: [Likelihood; 3] = [
    Likelihood::Bernoulli,
    Likelihood::Gaussian { deviation: 0.25 },
    Likelihood::GaussianLearned,
];

#[test]
fn fit_raises_the_bound_for_every_likelihood_divergence_and_number_of_samples() {
    let data = two_pictures(Binarisation::None);
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
                    -evaluate(&vae, parameters, &data[1], &mut rng).loss
                };
                let before = bound(&parameters);
                let (outcome, run) = train(&vae, parameters, &data, &settings, |_| ());
                assert_eq!(outcome, Ok(Outcome::Finished));
                let (epochs, after) = (&run.epochs, bound(&run.parameters));
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
    let mut parameters = Parameters::<f64>::new();
    let vae = Vae::new(
        architecture(Likelihood::GaussianLearned),
        &mut parameters,
        &mut rng(14),
    );
    let settings = Settings {
        epochs: 300,
        rate: Schedule::constant(0.02),
        ..settings(15)
    };
    let data = two_pictures(Binarisation::None);
    let (outcome, run) = train(&vae, parameters, &data, &settings, |_| ());
    assert_eq!(outcome, Ok(Outcome::Finished));
    let log_variance = run.parameters.get("decoder.log_variance").unwrap().sum();
    let deviation = (log_variance / 2.0).exp();
    assert!((0.06..0.085).contains(&deviation), "{deviation}");
}
