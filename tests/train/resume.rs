//! A training that is broken off after any step, written to a checkpoint and read again ends in the same bits.
#![cfg(feature = "cli")]

use std::ops::ControlFlow;

use elbo::data::Binarisation;
use elbo::nn::{Adam, Parameters, Schedule};
use elbo::train::{self, Event, Outcome, Run, Settings, Task, TrainError, fit};
use elbo::vae::{Likelihood, Vae};

use super::shared::{architecture, numbered, settings, two_pictures};
use crate::common::random::rng;

/// A VAE with a warm-up, so that the step's number matters, and noise in the pixels.
fn fresh() -> (Vae, Run<f32>) {
    let mut parameters = Parameters::new();
    let vae = Vae::new(
        architecture(Likelihood::GaussianLearned),
        &mut parameters,
        &mut rng(3),
    );
    let vae = vae.with_beta(Schedule::linear(0.0, 1.0, 9));
    (vae, Run::new(parameters, Adam::new(0.01)))
}

fn how() -> Settings {
    Settings {
        rate: Schedule::piecewise(vec![(0, 0.01), (7, 0.003)]),
        keep_best: true,
        ..settings(5)
    }
}

/// Trains until `stop` steps are done in all (`None`: to the end).
fn go_on(vae: &Vae, run: &mut Run<f32>, stop: Option<usize>) -> Outcome {
    let ([train, test], settings) = (two_pictures(Binarisation::Stochastic), how());
    let task = Task {
        model: vae,
        train: &train,
        test: &test,
        settings: &settings,
    };
    let mut done = run.epochs.len() * 5 + run.step;
    // Asked once, after a step, be it the last one of an epoch.
    fit(&task, run, |event| {
        let is_step = matches!(event, Event::Step { .. });
        done += usize::from(is_step);
        match is_step && Some(done) == stop {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })
    .unwrap()
}

/// As if the program had ended and been started again.
fn reread(run: &Run<f32>) -> Run<f32> {
    let bytes = train::write(run, &"a note").unwrap();
    let read = train::read(&bytes, |note: &String| {
        assert_eq!(note, "a note");
        let (_, run) = fresh();
        Ok((run.parameters, run.optimiser))
    });
    let (again, _) = read.unwrap();
    assert_eq!(
        train::write(&again, &"a note").unwrap(),
        bytes,
        "the same state, the same bytes"
    );
    again
}

#[test]
fn after_any_step_to_the_same_bits() {
    let (vae, mut whole) = fresh();
    assert_eq!(go_on(&vae, &mut whole, None), Outcome::Finished);
    for stop in 1..15 {
        let (vae, mut run) = fresh();
        let outcome = go_on(&vae, &mut run, Some(stop));
        let Outcome::Interrupted(partial) = outcome else {
            panic!("interrupted after {stop} steps, found {outcome:?}");
        };
        assert_eq!(partial.is_none(), stop % 5 == 0, "an epoch has 5 steps");
        assert!(partial.is_none_or(|epoch| epoch.steps == stop % 5));
        let mut run = reread(&run);
        assert_eq!(go_on(&vae, &mut run, None), Outcome::Finished);
        assert_eq!(run.parameters, whole.parameters, "after {stop} steps");
        assert_eq!(run.best, whole.best);
        let losses = |run: &Run<f32>| -> Vec<(f64, f64)> {
            run.epochs
                .iter()
                .map(|epoch| (epoch.train.loss, epoch.test.loss))
                .collect()
        };
        assert_eq!(losses(&run), losses(&whole));
    }
}

#[test]
fn nothing_to_train_or_to_test_on_is_an_error() {
    let images = |count| numbered(count).pixels_as(Binarisation::None);
    let (vae, settings) = (fresh().0, how());
    for (train, test, expected) in [
        (0, 3, TrainError::NothingToTrainOn),
        (3, 0, TrainError::NothingToTestOn),
    ] {
        let (train, test) = (images(train), images(test));
        let task = Task {
            model: &vae,
            train: &train,
            test: &test,
            settings: &settings,
        };
        let mut run = fresh().1;
        let found = fit(&task, &mut run, |_| ControlFlow::Continue(()));
        assert_eq!(found, Err(expected));
    }
}

#[test]
fn the_best_epoch_is_kept_and_patience_ends() {
    let (vae, mut run) = fresh();
    let [train, test] = two_pictures(Binarisation::Stochastic);
    // A rate at which the loss soon rises again.
    let settings = Settings {
        epochs: 200,
        rate: Schedule::constant(0.1),
        patience: Some(4),
        ..how()
    };
    let task = Task {
        model: &vae,
        train: &train,
        test: &test,
        settings: &settings,
    };
    let mut kept = Vec::new();
    let outcome = fit(&task, &mut run, |event| {
        if let Event::Epoch(run) = event {
            kept.push(run.parameters.clone());
        }
        ControlFlow::Continue(())
    });
    assert_eq!(outcome, Ok(Outcome::StoppedEarly));
    let losses: Vec<f64> = run.epochs.iter().map(|epoch| epoch.test.loss).collect();
    let best = (0..losses.len())
        .min_by(|&a, &b| losses[a].total_cmp(&losses[b]))
        .unwrap();
    assert_eq!(run.best.as_ref().unwrap().epoch, best + 1);
    assert_eq!(run.result(), &kept[best]);
    assert_eq!(losses.len(), best + 1 + 4);
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let (_, mut run) = fresh();
    assert!(train::write(&run, &"a note").is_ok());
    run.parameters.add("best.w", ndarray::arr1(&[1.0f32]));
    let refused = train::write(&run, &"a note").unwrap_err().to_string();
    assert!(refused.contains("reserved name `best.w`"), "{refused}");
    let (_, mut run) = fresh();
    run.running.terms = vec![("kl".to_owned(), f64::NAN)];
    let refused = train::write(&run, &"a note").unwrap_err().to_string();
    assert!(refused.contains("`kl`"), "{refused}");
    let (_, mut run) = fresh();
    let name = run.parameters.iter().next().unwrap().0.to_owned();
    let broken = run.parameters.get(&name).unwrap().mapv(|_| f32::INFINITY);
    run.parameters.set(&name, broken).unwrap();
    let refused = train::write(&run, &"a note").unwrap_err().to_string();
    assert!(refused.contains(&name), "{refused}");
}
