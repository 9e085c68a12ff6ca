//! The training loop, with a model that watches it.

use std::cell::RefCell;
use std::collections::HashSet;

use elbo::Scalar;
use elbo::autodiff::Tape;
use elbo::data::{Binarisation, Images, Pixels};
use elbo::distributions::noise::{standard_normal, stream};
use elbo::nn::{Batch, Bound, Model, Objective, Parameters, Schedule, Step};
use elbo::train::{Diverged, EpochMetrics, Event, Outcome, TrainError, evaluate};
use elbo::vae::{Divergence, Likelihood, Vae};
use ndarray::{Array2, arr1};
use rand::Rng;

use crate::common::random::rng;
use crate::train::shared::{architecture, numbered, pictures, settings, train, two_pictures};

/// Trains a fresh VAE; its parameters and epochs.
fn train_vae<T: Scalar>(
    seed: u64,
    binarisation: Binarisation,
) -> (Parameters<T>, Vec<EpochMetrics>) {
    let mut parameters = Parameters::new();
    let likelihood = Likelihood::Bernoulli;
    let vae = Vae::new(architecture(likelihood), &mut parameters, &mut rng(3));
    let data = two_pictures(binarisation);
    let (outcome, run) = train(&vae, parameters, &data, &settings(seed), |_| ());
    assert_eq!(outcome, Ok(Outcome::Finished));
    (run.parameters, run.epochs)
}

fn losses(epochs: &[EpochMetrics]) -> Vec<(f64, f64)> {
    epochs.iter().map(|e| (e.train.loss, e.test.loss)).collect()
}

#[test]
fn gives_the_same_bits_for_the_same_seed_and_others_for_another() {
    for binarisation in Binarisation::ALL {
        let (first, epochs) = train_vae::<f32>(5, binarisation);
        let (again, repeated) = train_vae::<f32>(5, binarisation);
        let (other, others) = train_vae::<f32>(6, binarisation);
        assert_eq!(first, again);
        assert_eq!(losses(&epochs), losses(&repeated));
        assert_ne!(first, other);
        assert_ne!(losses(&epochs), losses(&others));
        let terms = |e: &EpochMetrics| (e.train.terms.clone(), e.test.terms.clone());
        assert_eq!(terms(&epochs[2]), terms(&repeated[2]));
    }
}

#[test]
fn in_single_precision_follows_the_double_one() {
    let (_, single) = train_vae::<f32>(5, Binarisation::None);
    let (_, double) = train_vae::<f64>(5, Binarisation::None);
    for (s, d) in single.iter().zip(&double) {
        assert!((s.train.loss - d.train.loss).abs() < 1e-4 * d.train.loss.abs());
        assert!((s.test.loss - d.test.loss).abs() < 1e-4 * d.test.loss.abs());
    }
}

/// A model that records the batches that it sees and the first word of each of its streams. Its loss is the mean pixel
/// plus its parameter squared, or a given value at a given call.
#[derive(Default)]
struct Probe {
    batches: RefCell<Vec<Vec<u8>>>,
    words: RefCell<Vec<u64>>,
    numbers: RefCell<Vec<(usize, bool)>>,
    broken_at: Option<(usize, f64)>,
}

impl Model<f64> for Probe {
    fn objective<'t>(
        &self,
        p: &Bound<'t, f64>,
        batch: &Batch<'t, f64>,
        step: &mut Step<'_>,
    ) -> Objective<'t, f64> {
        let x = batch.data;
        self.words.borrow_mut().push(step.rng.random());
        self.numbers.borrow_mut().push((step.number, step.training));
        let mut batches = self.batches.borrow_mut();
        let seen = x
            .value()
            .iter()
            .map(|x| (x * 255.0).round() as u8)
            .collect();
        batches.push(seen);
        let pixel = x.mean();
        let weight = p.vars()[0].square().sum();
        let loss = match self.broken_at {
            Some((call, value)) if call == batches.len() => weight * value,
            _ => pixel + weight,
        };
        let terms = vec![("pixel", pixel), ("twice", pixel * 2.0)];
        Objective::new(loss, terms)
    }
}

fn numbers(train: u8, test: u8) -> [Pixels; 2] {
    [train, test].map(|count| numbered(count).pixels_as(Binarisation::None))
}

fn probe_parameters() -> Parameters<f64> {
    let mut parameters = Parameters::new();
    parameters.add("w", arr1(&[1.0]));
    parameters
}

#[test]
fn shows_every_image_once_an_epoch_in_a_new_order_and_the_short_batch_last() {
    let (probe, data) = (Probe::default(), numbers(96, 7));
    let mut events = Vec::new();
    let (outcome, run) = train(&probe, probe_parameters(), &data, &settings(7), |event| {
        events.push(match event {
            Event::Step {
                epoch, step, steps, ..
            } => (epoch, step, steps),
            Event::Epoch(run) => (run.epochs.len(), 0, 0),
        });
    });
    assert_eq!(outcome, Ok(Outcome::Finished));
    // What the model is told of the step: how many came before, and whether it trains. The test set comes last.
    let training = |steps: std::ops::Range<usize>| steps.map(|step| (step, true));
    let expected: Vec<(usize, bool)> = [0..5, 5..10, 10..15]
        .into_iter()
        .flat_map(|steps| training(steps).chain([(usize::MAX, false)]))
        .collect();
    assert_eq!(*probe.numbers.borrow(), expected);
    let batches = probe.batches.into_inner();
    assert_eq!(batches.len(), 3 * 6);
    let words: HashSet<u64> = probe.words.into_inner().into_iter().collect();
    assert_eq!(words.len(), 3 * 6, "no noise is seen twice");
    let mut orders = Vec::new();
    for (epoch, batches) in batches.chunks(6).enumerate() {
        let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, [20, 20, 20, 20, 16, 7], "epoch {epoch}");
        let order = batches[..5].concat();
        let mut sorted = order.clone();
        sorted.sort();
        assert!(sorted.into_iter().eq(0..96), "every image once");
        assert!(batches[5].iter().copied().eq(0..7), "the test set in order");
        assert!(!orders.contains(&order), "a new order");
        orders.push(order);
    }
    // Nor is it the first epoch's shuffle applied twice.
    let first: Vec<u8> = orders[0].clone();
    let twice = first.iter().map(|&i| first[usize::from(i)]);
    assert!(!twice.eq(orders[1].iter().copied()));
    let number = |e: &EpochMetrics| (e.number, e.steps);
    let numbers: Vec<(usize, usize)> = run.epochs.iter().map(number).collect();
    assert_eq!(numbers, [(1, 5), (2, 5), (3, 5)]);
    let expected: Vec<(usize, usize, usize)> = (1..=3)
        .flat_map(|epoch| (1..=5).map(move |s| (epoch, s, 5)).chain([(epoch, 0, 0)]))
        .collect();
    assert_eq!(events, expected);
}

#[test]
fn averages_over_data_not_over_batches() {
    // 96 numbers in batches of 20, 20, 20, 20 and 16: a mean of means would weigh the last ones too heavily.
    let (probe, mut parameters) = (Probe::default(), probe_parameters());
    parameters.set("w", arr1(&[0.0])).unwrap();
    let data = numbers(96, 33);
    let mut running = Vec::new();
    let (_, run) = train(&probe, parameters, &data, &settings(8), |event| {
        if let Event::Step { metrics, .. } = event {
            running.push(metrics.loss);
        }
    });
    let batches = probe.batches.into_inner();
    let batches = batches.chunks(6).flat_map(|epoch| {
        let seen = (1..=5).map(|n| epoch[..n].concat());
        seen.map(|seen| seen.iter().map(|&x| f64::from(x)).sum::<f64>() / seen.len() as f64)
    });
    for (found, expected) in running.iter().zip(batches) {
        assert!((found - expected / 255.0).abs() < 1e-15);
    }
    assert_eq!(run.epochs.len(), 3);
    for epoch in &run.epochs {
        for (average, mean) in [(&epoch.train, 47.5 / 255.0), (&epoch.test, 16.0 / 255.0)] {
            assert!((average.loss - mean).abs() < 1e-15);
            assert!((average.term("pixel").unwrap() - mean).abs() < 1e-15);
            assert!((average.term("twice").unwrap() - 2.0 * mean).abs() < 1e-15);
            assert_eq!(average.term("thrice"), None);
        }
    }
}

#[test]
fn stops_at_the_step_where_the_loss_is_no_number() {
    // Epochs of five steps and one evaluation: the ninth call is the third step of the second epoch.
    for value in [f64::NAN, f64::INFINITY] {
        let probe = Probe {
            broken_at: Some((9, value)),
            ..Probe::default()
        };
        let (data, mut steps) = (numbers(96, 7), 0);
        let (outcome, run) = train(&probe, probe_parameters(), &data, &settings(10), |event| {
            steps += usize::from(matches!(event, Event::Step { .. }));
        });
        let error = outcome.unwrap_err();
        let TrainError::Diverged(Diverged { epoch, step, loss }) = error.clone() else {
            panic!("{error}");
        };
        assert_eq!((epoch, step, loss.is_nan()), (2, 3, value.is_nan()));
        let text = format!(
            "training diverged: the loss is {loss} at step 3 of epoch 2; a smaller learning rate may help"
        );
        assert_eq!(error.to_string(), text);
        assert_eq!(steps, 7);
        // The broken step itself is not taken.
        assert!(run.parameters.get("w").unwrap()[[0]].is_finite());
    }
}

#[test]
fn minimises_the_mean_over_samples_and_data() {
    // Three samples at once, against the bound for each with its own slice of the noise.
    for divergence in [Divergence::ClosedForm, Divergence::MonteCarlo] {
        let mut parameters = Parameters::<f64>::new();
        let likelihood = Likelihood::Gaussian { deviation: 0.25 };
        let single = Vae::new(architecture(likelihood), &mut parameters, &mut rng(16))
            .with_divergence(divergence);
        let vae = single.clone().with_samples(3);
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        let x = pictures(5, 17).batch::<f64>(&[0, 1, 2, 3, 4], Binarisation::None, &mut rng(0));
        let x = tape.constant(x);
        let mut rng_of_step = rng(18);
        let mut step = Step::evaluation(&mut rng_of_step);
        let found = vae.objective(&p, &x.into(), &mut step).loss.item();
        let noise = standard_normal(&tape, &[3, 5, 2], &mut rng(18)).value();
        let bounds = noise.outer_iter().map(|noise| {
            let bound = single.elbo(&p, x, tape.constant(noise));
            bound.value().value().sum()
        });
        let expected = -bounds.sum::<f64>() / 15.0;
        assert!((found - expected).abs() < 1e-12 * expected.abs());
    }
}

#[test]
fn evaluate_averages_over_data_and_uses_the_short_batch() {
    // 700 images: more than one batch, the last of which is short and far from the others' mean.
    let pixels = Array2::from_shape_fn((700, 1), |(i, _)| if i < 512 { 10 } else { 200 });
    let images = Images::new(pixels, 1, 1, None).unwrap();
    let images = images.pixels_as(Binarisation::None);
    let (probe, mut parameters) = (Probe::default(), probe_parameters());
    parameters.set("w", arr1(&[0.0])).unwrap();
    let average = evaluate(&probe, &parameters, &images, &mut rng(0));
    let expected = (512.0 * 10.0 + 188.0 * 200.0) / (700.0 * 255.0);
    assert!((average.loss - expected).abs() < 1e-14);
    assert!((average.term("twice").unwrap() - 2.0 * expected).abs() < 1e-14);
}

#[test]
fn evaluate_changes_no_parameter_and_repeats_with_the_same_stream() {
    let mut parameters = Parameters::<f64>::new();
    let vae = Vae::new(
        architecture(Likelihood::GaussianLearned),
        &mut parameters,
        &mut rng(9),
    );
    let images = pictures(40, 2).pixels_as(Binarisation::Stochastic);
    let before = parameters.clone();
    let run = |seed| {
        let mut rng = stream(seed, "test", 1);
        evaluate(&vae, &parameters, &images, &mut rng)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let average = run(1);
    let [reconstruction, kl] = ["reconstruction", "kl"].map(|name| average.term(name).unwrap());
    assert!((average.loss - (kl - reconstruction)).abs() < 1e-13);
    assert_eq!(parameters, before);
}

#[test]
fn beta_weighs_the_divergence_in_training_and_warms_up() {
    let mut parameters = Parameters::<f64>::new();
    let likelihood = Likelihood::Bernoulli;
    let plain = Vae::new(architecture(likelihood), &mut parameters, &mut rng(19));
    let beta = plain.clone().with_beta(Schedule::linear(0.0, 4.0, 8));
    let tape = Tape::new();
    let p = parameters.bind_constant(&tape);
    let x = pictures(5, 17).batch::<f64>(&[0, 1, 2, 3, 4], Binarisation::None, &mut rng(0));
    let x = tape.constant(x);
    for (number, weight) in [(0, 0.0), (2, 1.0), (6, 3.0), (8, 4.0), (usize::MAX, 4.0)] {
        let mut rng = rng(20);
        let mut step = Step {
            number,
            training: number < usize::MAX,
            rng: &mut rng,
        };
        let objective = beta.objective(&p, &x.into(), &mut step);
        let [reconstruction, kl] = [0, 1].map(|term| objective.terms[term].1.item());
        assert!((objective.loss.item() - (weight * kl - reconstruction)).abs() < 1e-13);
        assert!(kl > 0.01 && reconstruction < 0.0);
    }
}
