//! docs/autoencoders.md#vq-ema: codes as moving averages, and what k-means has to do with them.

use elbo::autodiff::Tape;
use elbo::autoencoders::{Codebook, CodebookUpdate, MovingAverages, perplexity};
use elbo::distributions::noise::stream;
use elbo::gradients::nearest;
use elbo::nn::{Objective, Parameters, Step};
use ndarray::{Array1, Array2, Axis, arr1, arr2};
use rand::Rng;
use rand::rngs::StdRng;

use super::shared::gradients;
use crate::common::comparing::{REARRANGED, Worst};
use crate::common::random::{matrix, rng};
use crate::common::statistics::Statistics;

/// The mean of the rows that chose each code; the code itself if none did.
fn means(z: &Array2<f64>, chosen: &[usize], codes: &Array2<f64>) -> Array2<f64> {
    let mut found = codes.clone();
    for k in 0..codes.nrows() {
        let mine: Vec<usize> = (0..z.nrows()).filter(|&i| chosen[i] == k).collect();
        if !mine.is_empty() {
            found
                .row_mut(k)
                .assign(&z.select(Axis(0), &mine).mean_axis(Axis(0)).unwrap());
        }
    }
    found
}

#[test]
fn one_step_by_hand() {
    let z = arr2(&[[1.0, 2.0], [3.0, 0.0], [-1.0, 1.0]]);
    let batch = MovingAverages::of(z.view(), &[1, 1, 0], 3);
    assert_eq!(batch.counts, arr1(&[1.0, 2.0, 0.0]));
    assert_eq!(batch.sums, arr2(&[[-1.0, 1.0], [4.0, 2.0], [0.0, 0.0]]));
    let before = MovingAverages {
        counts: arr1(&[4.0, 2.0, 0.0]),
        sums: arr2(&[[8.0, 4.0], [0.0, 2.0], [0.0, 0.0]]),
    };
    let next = before.step(&batch, 0.75);
    assert_eq!(next.counts, arr1(&[3.25, 2.0, 0.0]));
    assert_eq!(next.sums, arr2(&[[5.75, 3.25], [1.0, 2.0], [0.0, 0.0]]));
    // m/N, and the code that was there where N is 0.
    let codes = next.codes(arr2(&[[9.0, 9.0], [9.0, 9.0], [7.0, -7.0]]).view());
    assert_eq!(codes, arr2(&[[5.75 / 3.25, 1.0], [0.5, 1.0], [7.0, -7.0]]));
}

/// With a count that does not change, the average is a step down the gradient of Σ‖z - e‖², of size (1-γ)/2N.
#[test]
fn is_a_step_down_the_gradient() {
    let mut rng = rng(730);
    let mut worst = Worst::default();
    let (z, codes) = (matrix(&mut rng, [12, 2]), matrix(&mut rng, [3, 2]));
    let chosen = nearest(z.view(), codes.view()).unwrap();
    let batch = MovingAverages::of(z.view(), &chosen, 3);
    let (_, found) = gradients(&[codes.clone().into_dyn()], |v| {
        let z = v[0].tape().constant(z.clone());
        (z - v[0].gather(&chosen)).square().sum()
    });
    for decay in [0.0, 0.5, 0.99] {
        let before = MovingAverages {
            counts: batch.counts.clone(),
            sums: &codes * &batch.counts.view().insert_axis(Axis(1)),
        };
        let averaged = before.step(&batch, decay).codes(codes.view());
        for (k, code) in averaged.rows().into_iter().enumerate() {
            let rate = if batch.counts[k] > 0.0 {
                (1.0 - decay) / (2.0 * batch.counts[k])
            } else {
                0.0
            };
            for j in 0..2 {
                worst.number(code[j], codes[[k, j]] - rate * found[0][[k, j]], 1.0);
            }
        }
    }
    worst.within(
        1e-14,
        "moving average, and gradient descent with rate (1-γ)/2N",
    );
}

/// A codebook with these codes, and the objective's buffers after a batch.
fn follow(
    codes: &Array2<f64>,
    decay: f64,
    restart: f64,
    batches: &[Array2<f64>],
    rng: &mut StdRng,
) -> (Parameters<f64>, Codebook) {
    let mut parameters = Parameters::new();
    let update = CodebookUpdate::MovingAverages { decay, restart };
    let shape = [codes.nrows(), codes.ncols()];
    let codebook = Codebook::new(&mut parameters, "codebook", shape, update, rng);
    let ones = Array1::<f64>::ones(shape[0]);
    parameters.set("codebook.codes", codes.clone()).unwrap();
    parameters.set("codebook.counts", ones).unwrap();
    parameters.set("codebook.sums", codes.clone()).unwrap();
    for z in batches {
        take(&mut parameters, &codebook, z, rng);
    }
    (parameters, codebook)
}

/// What a training step does to the buffers.
fn take(parameters: &mut Parameters<f64>, codebook: &Codebook, z: &Array2<f64>, rng: &mut StdRng) {
    let tape = Tape::new();
    let p = parameters.bind(&tape);
    let z = tape.constant(z.clone());
    let quantised = codebook.quantise(&p, z, rng);
    let mut step = Step {
        number: 0,
        training: true,
        rng,
    };
    let objective = Objective::new(tape.scalar(0.0), Vec::new());
    let objective = codebook.following(objective, &p, z, &quantised, &mut step);
    for (id, value) in objective.buffers {
        parameters.replace(id, value).unwrap();
    }
}

fn codes_of(parameters: &Parameters<f64>) -> Array2<f64> {
    let codes = parameters.get("codebook.codes").unwrap().to_owned();
    codes.into_dimensionality().unwrap()
}

#[test]
fn without_memory_it_is_k_means() {
    let mut rng = rng(731);
    let mut worst = Worst::default();
    for _ in 0..10 {
        let z = matrix(&mut rng, [60, 2]);
        let start = z.slice(ndarray::s![..5, ..]).to_owned();
        let (mut lloyd, mut steps) = (start.clone(), 0);
        loop {
            let chosen = nearest(z.view(), lloyd.view()).unwrap();
            let next = means(&z, &chosen, &lloyd);
            if next == lloyd {
                break;
            }
            (lloyd, steps) = (next, steps + 1);
        }
        let batches = vec![z.clone(); steps];
        let (parameters, _) = follow(&start, 0.0, 0.0, &batches, &mut rng);
        worst.entries(&codes_of(&parameters).into_dyn(), &lloyd.into_dyn());
    }
    worst.within(1e-13, "γ = 0 on all data, and Lloyd's k-means to its end");
}

#[test]
fn closed_form_of_fixed_assignments() {
    let mut rng = rng(732);
    let mut worst = Worst::default();
    let z = matrix(&mut rng, [9, 2]) + 10.0;
    let batch = MovingAverages::of(z.view(), &[0; 9], 1);
    for decay in [0.5, 0.9, 0.99f64] {
        let start = MovingAverages {
            counts: arr1(&[2.0]),
            sums: arr2(&[[1.0, -3.0]]),
        };
        let mut averages = start.clone();
        for t in 1..=100 {
            averages = averages.step(&batch, decay);
            let old = decay.powi(t);
            for j in 0..2 {
                let sum = old * start.sums[[0, j]] + (1.0 - old) * batch.sums[[0, j]];
                let count = old * 2.0 + (1.0 - old) * 9.0;
                let code = averages.codes(start.sums.view())[[0, j]];
                worst.relative(code, sum / count);
            }
        }
    }
    worst.within(
        1e-13,
        "(γᵗm₀ + (1-γᵗ)S)/(γᵗN₀ + (1-γᵗ)n) after up to 100 steps",
    );
}

/// With a minibatch at each step the code goes on moving about the mean of its cluster: variance (1-γ)/(1+γ) of that of a
/// batch's mean.
#[test]
fn minibatches_leave_a_variance() {
    let mut rng = rng(733);
    for decay in [0.5, 0.9] {
        let size = 8;
        let mut averages = MovingAverages {
            counts: arr1(&[size as f64]),
            sums: arr2(&[[0.0]]),
        };
        // Far apart, so that they are nearly independent.
        let apart = (10.0 / (1.0f64 - decay)) as usize;
        let squares: Vec<f64> = (0..4000)
            .map(|_| {
                for _ in 0..apart {
                    let z = Array2::from_shape_simple_fn((size, 1), || rng.random_range(-1.0..1.0));
                    averages = averages.step(&MovingAverages::of(z.view(), &[0; 8], 1), decay);
                }
                averages.codes(arr2(&[[0.0]]).view())[[0, 0]].powi(2)
            })
            .collect();
        // A uniform number from -1 to 1 has variance 1/3.
        let exact = (1.0 - decay) / (1.0 + decay) / (3.0 * size as f64);
        Statistics::of(&squares).agree_with(exact, &format!("variance left at γ = {decay}"));
    }
}

#[test]
fn begins_from_data_and_restarts_what_is_dead() {
    let mut rng = rng(734);
    let z = matrix(&mut rng, [20, 3]);
    let update = CodebookUpdate::default();
    let mut parameters = Parameters::<f64>::new();
    let codebook = Codebook::new(&mut parameters, "codebook", [6, 3], update, &mut rng);
    // Before the first batch, codes are vectors of the data, all different.
    let tape = Tape::new();
    let quantised = codebook.quantise(
        &parameters.bind(&tape),
        tape.constant(z.clone()),
        &mut stream(1, "first", 0),
    );
    let exact = (0..20).filter(|&i| {
        let values = quantised.codes.value();
        let code: Vec<f64> = values.index_axis(Axis(0), i).iter().copied().collect();
        code == z.row(i).to_vec()
    });
    assert_eq!(exact.count(), 6);
    // The first step is one of k-means: with the same noise, each code is the mean of what chose it.
    let mut expected = Array2::zeros((6, 3));
    for (k, mut code) in expected.rows_mut().into_iter().enumerate() {
        let mine: Vec<usize> = (0..20).filter(|&i| quantised.chosen[i] == k).collect();
        code.assign(&z.select(Axis(0), &mine).mean_axis(Axis(0)).unwrap());
    }
    take(&mut parameters, &codebook, &z, &mut stream(1, "first", 0));
    let mut worst = Worst::default();
    worst.entries(&codes_of(&parameters).into_dyn(), &expected.into_dyn());
    worst.within(
        REARRANGED,
        "first batch: a step of k-means from six of its vectors",
    );
    // A code that nobody chooses is put onto a vector of the batch; without restarts it stays.
    let far = arr2(&[[0.0, 0.0, 0.0], [1e3, 1e3, 1e3]]);
    let batches = vec![z.clone(); 300];
    for (restart, alive) in [(1.0, true), (0.0, false)] {
        let (parameters, _) = follow(&far, 0.9, restart, &batches, &mut rng);
        let codes = codes_of(&parameters);
        assert_eq!(codes[[1, 0]].abs() < 3.0, alive, "{codes}");
        if !alive {
            // Its count and sum have shrunk together; it has not moved but for rounding.
            assert!((codes[[1, 0]] / 1e3 - 1.0).abs() < 1e-10);
        }
    }
}

#[test]
fn perplexity_counts_the_codes_in_use() {
    let mut worst = Worst::default();
    worst.relative(perplexity(Array1::from_elem(7, 3.0).view()), 7.0);
    worst.relative(perplexity(arr1(&[0.0, 5.0, 0.0]).view()), 1.0);
    worst.relative(perplexity(arr1(&[2.0, 1.0, 1.0]).view()), 2f64.powf(1.5));
    worst.within(REARRANGED, "exp of the entropy of shares");
}
