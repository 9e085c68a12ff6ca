//! The training loop with models that watch it, training that must succeed, and the evidence against the one model
//! whose evidence is known.

use std::cell::RefCell;
use std::collections::HashSet;

use elbo::Scalar;
use elbo::autodiff::{Tape, Var};
use elbo::data::{Binarisation, Dataset, Images};
use elbo::distributions::noise::{standard_normal, stream};
use elbo::nn::{Activation, Bound, Model, Objective, Parameters};
use elbo::train::{Diverged, Epoch, Event, Settings, Task, evaluate, fit};
use elbo::vae::{Architecture, Divergence, Evidence, Likelihood, Vae};
use ndarray::{Array1, Array2, Axis, arr1, arr2};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// Noisy copies of two pictures of 3 x 4 pixels.
fn pictures(count: usize, seed: u64) -> Images {
    let mut rng = rng(seed);
    let mut pixels = Array2::zeros((count, 12));
    for (i, mut row) in pixels.rows_mut().into_iter().enumerate() {
        for (j, pixel) in row.iter_mut().enumerate() {
            let bright = if i % 2 == 0 { j % 4 < 2 } else { j >= 8 };
            let noise: u8 = rng.random_range(0..60);
            *pixel = if bright { 255 - noise } else { noise };
        }
    }
    Images::new(pixels, 3, 4, None).unwrap()
}

fn dataset() -> Dataset {
    Dataset {
        name: "two pictures".to_owned(),
        train: pictures(96, 1),
        test: pictures(40, 2),
    }
}

/// One pixel an image, its number.
fn numbered(count: u8) -> Images {
    let pixels = Array2::from_shape_fn((usize::from(count), 1), |(i, _)| i as u8);
    Images::new(pixels, 1, 1, None).unwrap()
}

fn settings(seed: u64) -> Settings {
    Settings {
        epochs: 3,
        batch: 20,
        rate: 0.01,
        seed,
        binarisation: Binarisation::None,
    }
}

fn architecture(likelihood: Likelihood) -> Architecture {
    Architecture {
        dimensions: 12,
        hidden: vec![16],
        latent: 2,
        activation: Activation::Tanh,
        likelihood,
    }
}

/// Trains a fresh VAE; its parameters and epochs.
fn train<T: Scalar>(settings: &Settings) -> (Parameters<T>, Vec<Epoch>) {
    let mut parameters = Parameters::new();
    let likelihood = Likelihood::Bernoulli;
    let vae = Vae::new(architecture(likelihood), &mut parameters, &mut rng(3));
    let data = dataset();
    let task = Task {
        model: &vae,
        data: &data,
        settings,
    };
    let epochs = fit(task, &mut parameters, |_| ()).unwrap();
    (parameters, epochs)
}

fn averages(epochs: &[Epoch]) -> Vec<(f64, f64)> {
    epochs.iter().map(|e| (e.train.loss, e.test.loss)).collect()
}

#[test]
fn fit_gives_the_same_bits_for_the_same_seed_and_others_for_another() {
    for binarisation in Binarisation::ALL {
        let settings = |seed| Settings {
            binarisation,
            ..settings(seed)
        };
        let (first, epochs) = train::<f32>(&settings(5));
        let (again, repeated) = train::<f32>(&settings(5));
        let (other, others) = train::<f32>(&settings(6));
        assert_eq!(first, again);
        assert_eq!(averages(&epochs), averages(&repeated));
        assert_ne!(first, other);
        assert_ne!(averages(&epochs), averages(&others));
        let terms = |e: &Epoch| (e.train.terms.clone(), e.test.terms.clone());
        assert_eq!(terms(&epochs[2]), terms(&repeated[2]));
    }
}

#[test]
fn fit_in_single_precision_follows_the_double_one() {
    let (_, single) = train::<f32>(&settings(5));
    let (_, double) = train::<f64>(&settings(5));
    for (s, d) in single.iter().zip(&double) {
        assert!((s.train.loss - d.train.loss).abs() < 1e-4 * d.train.loss.abs());
        assert!((s.test.loss - d.test.loss).abs() < 1e-4 * d.test.loss.abs());
    }
}

/// A model that writes down the batches that it sees, and a word of every stream that it is given. Its loss is the mean pixel plus its parameter squared, or NaN
/// at a given call.
#[derive(Default)]
struct Probe {
    batches: RefCell<Vec<Vec<u8>>>,
    words: RefCell<Vec<u64>>,
    broken_at: Option<(usize, f64)>,
}

impl Model<f64> for Probe {
    fn objective<'t>(
        &self,
        p: &Bound<'t, f64>,
        x: Var<'t, f64>,
        rng: &mut StdRng,
    ) -> Objective<'t, f64> {
        self.words.borrow_mut().push(rng.random());
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
        Objective { loss, terms }
    }
}

fn probe_parameters() -> Parameters<f64> {
    let mut parameters = Parameters::new();
    parameters.add("w", arr1(&[1.0]));
    parameters
}

#[test]
fn fit_shows_every_image_once_an_epoch_in_a_new_order_and_the_short_batch_last() {
    let (probe, mut parameters) = (Probe::default(), probe_parameters());
    let data = Dataset {
        name: "numbers".to_owned(),
        train: numbered(96),
        test: numbered(7),
    };
    let (settings, mut told) = (settings(7), Vec::new());
    let task = Task {
        model: &probe,
        data: &data,
        settings: &settings,
    };
    let epochs = fit(task, &mut parameters, |event| match event {
        Event::Step {
            epoch, step, steps, ..
        } => told.push((epoch, step, steps)),
        Event::Epoch(epoch) => told.push((epoch.number, 0, 0)),
    })
    .unwrap();
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
    // Nor is it the first epoch's shuffle once more.
    let first: Vec<u8> = orders[0].clone();
    let twice = first.iter().map(|&i| first[usize::from(i)]);
    assert!(!twice.eq(orders[1].iter().copied()));
    let number = |e: &Epoch| e.number;
    assert_eq!(epochs.iter().map(number).collect::<Vec<_>>(), [1, 2, 3]);
    let expected: Vec<(usize, usize, usize)> = (1..=3)
        .flat_map(|epoch| (1..=5).map(move |s| (epoch, s, 5)).chain([(epoch, 0, 0)]))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn fit_averages_over_data_not_over_batches() {
    // 96 numbers in batches of 20, 20, 20, 20 and 16: a mean of means would weigh the last ones too heavily.
    let (probe, mut parameters) = (Probe::default(), probe_parameters());
    parameters.set("w", arr1(&[0.0])).unwrap();
    let data = Dataset {
        name: "numbers".to_owned(),
        train: numbered(96),
        test: numbered(33),
    };
    let (settings, mut running) = (settings(8), Vec::new());
    let task = Task {
        model: &probe,
        data: &data,
        settings: &settings,
    };
    let epochs = fit(task, &mut parameters, |event| {
        if let Event::Step { average, .. } = event {
            running.push(average.loss);
        }
    })
    .unwrap();
    let batches = probe.batches.into_inner();
    let batches = batches.chunks(6).flat_map(|epoch| {
        let seen = (1..=5).map(|n| epoch[..n].concat());
        seen.map(|seen| seen.iter().map(|&x| f64::from(x)).sum::<f64>() / seen.len() as f64)
    });
    for (found, expected) in running.iter().zip(batches) {
        assert!((found - expected / 255.0).abs() < 1e-15);
    }
    for epoch in &epochs {
        for (average, mean) in [(&epoch.train, 47.5 / 255.0), (&epoch.test, 16.0 / 255.0)] {
            assert!((average.loss - mean).abs() < 1e-15);
            assert!((average.term("pixel").unwrap() - mean).abs() < 1e-15);
            assert!((average.term("twice").unwrap() - 2.0 * mean).abs() < 1e-15);
            assert_eq!(average.term("thrice"), None);
        }
    }
}

#[test]
fn evaluate_averages_over_data_and_uses_the_short_batch() {
    // 700 images: more than one batch, the last of which is short and far from the others' mean.
    let pixels = Array2::from_shape_fn((700, 1), |(i, _)| if i < 512 { 10 } else { 200 });
    let images = Images::new(pixels, 1, 1, None).unwrap();
    let (probe, mut parameters) = (Probe::default(), probe_parameters());
    parameters.set("w", arr1(&[0.0])).unwrap();
    let average = evaluate(
        &probe,
        &parameters,
        &images,
        Binarisation::None,
        &mut rng(0),
    );
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
    let (before, images) = (parameters.clone(), pictures(40, 2));
    let run = |seed| {
        let mut rng = stream(seed, "test", 1);
        evaluate(
            &vae,
            &parameters,
            &images,
            Binarisation::Stochastic,
            &mut rng,
        )
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let average = run(1);
    let [reconstruction, kl] = ["reconstruction", "kl"].map(|name| average.term(name).unwrap());
    assert!((average.loss - (kl - reconstruction)).abs() < 1e-13);
    assert_eq!(parameters, before);
}

#[test]
fn fit_stops_at_the_step_where_the_loss_is_no_number() {
    // Epochs of five steps and one evaluation: the ninth call is the third step of the second epoch.
    for value in [f64::NAN, f64::INFINITY] {
        let probe = Probe {
            broken_at: Some((9, value)),
            ..Probe::default()
        };
        let (mut parameters, mut steps) = (probe_parameters(), 0);
        let data = Dataset {
            name: "numbers".to_owned(),
            train: numbered(96),
            test: numbered(7),
        };
        let settings = settings(10);
        let task = Task {
            model: &probe,
            data: &data,
            settings: &settings,
        };
        let error = fit(task, &mut parameters, |event| {
            steps += usize::from(matches!(event, Event::Step { .. }));
        })
        .unwrap_err();
        let Diverged { epoch, step, loss } = error.clone();
        assert_eq!((epoch, step, loss.is_nan()), (2, 3, value.is_nan()));
        let text = format!(
            "training diverged: the loss is {loss} at step 3 of epoch 2; a smaller learning rate may help"
        );
        assert_eq!(error.to_string(), text);
        assert_eq!(steps, 7);
        // The broken step itself is not taken.
        assert!(parameters.get("w").unwrap()[[0]].is_finite());
    }
}

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
fn fit_minimises_the_mean_over_samples_and_data() {
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
        let found = vae.objective(&p, x, &mut rng(18)).loss.item();
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

/// log N(x; b, WWᵀ + σ²I), by a Cholesky factor.
fn exact_evidence(x: &Array1<f64>, weight: &Array2<f64>, bias: &Array1<f64>, sigma: f64) -> f64 {
    let d = x.len();
    let covariance = weight.dot(&weight.t()) + Array2::<f64>::eye(d) * sigma * sigma;
    let mut factor = Array2::<f64>::zeros((d, d));
    for i in 0..d {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| factor[[i, k]] * factor[[j, k]]).sum();
            let rest = covariance[[i, j]] - known;
            factor[[i, j]] = if i == j {
                rest.sqrt()
            } else {
                rest / factor[[j, j]]
            };
        }
    }
    // Forward substitution: L y = x - b.
    let mut y = x - bias;
    for i in 0..d {
        let known: f64 = (0..i).map(|k| factor[[i, k]] * y[k]).sum();
        y[i] = (y[i] - known) / factor[[i, i]];
    }
    let log_determinant: f64 = factor.diag().mapv(f64::ln).sum();
    -0.5 * (d as f64 * std::f64::consts::TAU.ln() + y.dot(&y)) - log_determinant
}

/// A linear-Gaussian VAE: x = W z + b + σ ε, so that p(x) is known, and so is p(z|x) = N(V Wᵀ(x-b)/σ², V) with
/// V = (I + WᵀW/σ²)⁻¹, diagonal because W's columns are orthogonal.
struct Linear {
    vae: Vae,
    parameters: Parameters<f64>,
    weight: Array2<f64>,
    bias: Array1<f64>,
}

const SIGMA: f64 = 0.7;

impl Linear {
    /// With an encoder that is the posterior, but for a factor on its weights and a summand of its log-variances.
    fn new(factor: f64, widening: f64) -> Self {
        let weight = arr2(&[[1.0, 0.5], [0.5, -1.0], [-0.6, 0.4], [0.2, 1.2]]);
        let bias = arr1(&[0.3, -0.2, 0.1, 0.6]);
        let precision = weight.mapv(|w| w * w).sum_axis(Axis(0)) / (SIGMA * SIGMA) + 1.0;
        assert!(weight.column(0).dot(&weight.column(1)).abs() < 1e-15);
        let (mut mean, mut start) = (Array2::zeros((4, 4)), Array1::zeros(4));
        for i in 0..2 {
            let row = &weight.column(i) * (factor / (precision[i] * SIGMA * SIGMA));
            start[i] = -row.dot(&bias);
            start[2 + i] = widening - precision[i].ln();
            mean.row_mut(i).assign(&row);
        }
        let mut parameters = Parameters::new();
        let architecture = Architecture {
            dimensions: 4,
            hidden: vec![],
            latent: 2,
            activation: Activation::Relu,
            likelihood: Likelihood::Gaussian { deviation: SIGMA },
        };
        let vae = Vae::new(architecture, &mut parameters, &mut rng(0));
        parameters.set("encoder.0.weight", mean).unwrap();
        parameters.set("encoder.0.bias", start).unwrap();
        parameters.set("decoder.0.weight", weight.clone()).unwrap();
        parameters.set("decoder.0.bias", bias.clone()).unwrap();
        Self {
            vae,
            parameters,
            weight,
            bias,
        }
    }

    fn evidence(&self, x: &Array1<f64>) -> f64 {
        exact_evidence(x, &self.weight, &self.bias, SIGMA)
    }

    fn estimate(&self, samples: usize, data: &Array2<f64>, seed: u64) -> Array1<f64> {
        let evidence = Evidence { samples };
        evidence.estimate(&self.vae, &self.parameters, data.view(), &mut rng(seed))
    }
}

fn data(rows: usize, seed: u64) -> Array2<f64> {
    let mut rng = rng(seed);
    Array2::from_shape_simple_fn((rows, 4), || rng.random_range(-1.5..1.5))
}

#[test]
fn evidence_with_the_exact_posterior_is_exact_for_any_noise() {
    // q(z|x) = p(z|x): every weight p(x|z) p(z) / q(z|x) is p(x) itself.
    let (linear, data) = (Linear::new(1.0, 0.0), data(5, 21));
    for samples in [1, 2, 7] {
        let estimate = linear.estimate(samples, &data, 22);
        for (x, found) in data.rows().into_iter().zip(&estimate) {
            let exact = linear.evidence(&x.to_owned());
            assert!((found - exact).abs() < 1e-12, "{found}, not {exact}");
        }
    }
}

#[test]
fn evidence_of_one_sample_is_the_bound_with_the_same_noise() {
    let data = data(6, 23);
    let linear = Linear::new(0.7, 0.4);
    let tape = Tape::new();
    let p = linear.parameters.bind_constant(&tape);
    let noise = standard_normal(&tape, &[6, 2], &mut rng(24));
    let monte_carlo = linear.vae.clone().with_divergence(Divergence::MonteCarlo);
    let bound = monte_carlo.elbo(&p, tape.constant(data.clone()), noise);
    let estimate = linear.estimate(1, &data, 24);
    // And by hand, number by number.
    let encode = |name: &str| linear.parameters.get(name).unwrap().to_owned();
    let (w, b) = (encode("encoder.0.weight"), encode("encoder.0.bias"));
    let log_normal = |x: f64, mean: f64, deviation: f64| {
        let normaliser = (deviation * std::f64::consts::TAU.sqrt()).ln();
        -0.5 * ((x - mean) / deviation).powi(2) - normaliser
    };
    for (i, x) in data.rows().into_iter().enumerate() {
        let output = |j: usize| b[[j]] + (0..4).map(|k| w[[j, k]] * x[k]).sum::<f64>();
        let (mut by_hand, mut z) = (0.0, [0.0; 2]);
        for (j, z) in z.iter_mut().enumerate() {
            let (mean, deviation) = (output(j), output(2 + j).exp().sqrt());
            *z = mean + deviation * noise.value()[[i, j]];
            by_hand += log_normal(*z, 0.0, 1.0) - log_normal(*z, mean, deviation);
        }
        for k in 0..4 {
            let mean = linear.bias[k] + linear.weight[[k, 0]] * z[0] + linear.weight[[k, 1]] * z[1];
            by_hand += log_normal(x[k], mean, SIGMA);
        }
        assert!((estimate[i] - by_hand).abs() < 1e-12);
        assert!((bound.value().value()[[i]] - by_hand).abs() < 1e-12);
    }
}

#[test]
fn evidence_with_many_samples_comes_to_the_exact_one() {
    // The relative error of a mean of K weights is sd(w)/(E w √K); the log's is the same.
    let linear = Linear::new(0.8, 0.5);
    for (seed, x) in (30..).zip(data(3, 25).rows()) {
        let x = x.to_owned();
        let exact = linear.evidence(&x);
        let single = x.clone().insert_axis(Axis(0));
        let many = linear.estimate(1, &single.broadcast((20_000, 4)).unwrap().to_owned(), seed);
        let weights = many.mapv(|log_weight| (log_weight - exact).exp());
        let deviation = weights.std(1.0);
        assert!((weights.mean().unwrap() - 1.0).abs() < 4.0 * deviation / 20_000f64.sqrt());
        let samples = 200_000;
        let found = linear.estimate(samples, &single, seed + 10)[0];
        let error = deviation / (samples as f64).sqrt();
        assert!(
            error < 3e-3 && (found - exact).abs() < 4.0 * error,
            "{found}, not {exact}"
        );
    }
}

#[test]
fn evidence_is_unbiased_as_a_weight_and_rises_towards_the_log() {
    let linear = Linear::new(0.5, 0.6);
    let x = data(1, 26).row(0).to_owned();
    let exact = linear.evidence(&x);
    let copies = x
        .insert_axis(Axis(0))
        .broadcast((10_000, 4))
        .unwrap()
        .to_owned();
    let mut last = f64::NEG_INFINITY;
    for samples in [1, 4, 16] {
        let estimate = linear.estimate(samples, &copies, 40 + samples as u64);
        let weights = estimate.mapv(|log_weight| (log_weight - exact).exp());
        let error = weights.std(1.0) / 100.0;
        assert!(
            (weights.mean().unwrap() - 1.0).abs() < 4.0 * error,
            "K = {samples}"
        );
        // E log p̂ rises with K and stays below log p: here by far more than the errors of the means.
        let mean = estimate.mean().unwrap();
        let error = estimate.std(1.0) / 100.0;
        assert!(
            mean > last + 4.0 * error && mean < exact - 4.0 * error,
            "K = {samples}"
        );
        last = mean;
    }
}

#[test]
fn evidence_does_not_depend_on_how_the_samples_are_split() {
    // 300 data at a time leave room for three samples at once: 3 + 3 + 3 + 1. All at once, with the same noise:
    let (linear, rows, samples) = (Linear::new(0.7, 0.4), 300, 10);
    let data = data(rows, 27);
    let tape = Tape::new();
    let p = linear.parameters.bind_constant(&tape);
    let x = tape.constant(data.clone());
    let q = linear.vae.encode(&p, x);
    let z = q.sample(standard_normal(&tape, &[samples, rows, 2], &mut rng(28)));
    let log_weights = linear.vae.decode(&p, z).log_density(x)
        + linear.vae.prior(&tape).log_density(z)
        - q.log_density(z);
    let expected = (log_weights.logsumexp_axes(&[0]) - (samples as f64).ln()).value();
    let found = linear.estimate(samples, &data, 28);
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-12);
    }
}

#[test]
fn evidence_of_no_data_is_empty_and_of_no_samples_a_panic() {
    let linear = Linear::new(1.0, 0.0);
    assert!(linear.estimate(3, &data(0, 0), 0).is_empty());
    let none = std::panic::catch_unwind(|| linear.estimate(0, &data(1, 0), 0));
    assert!(none.is_err());
}

#[test]
fn evidence_of_far_away_data_does_not_underflow() {
    // e^-5000 is 0: only the logarithms can be added up.
    let linear = Linear::new(1.0, 0.0);
    let far = arr2(&[[240.0, -180.0, 120.0, 150.0]]);
    let exact = linear.evidence(&far.row(0).to_owned());
    assert!(exact < -5000.0);
    let found = linear.estimate(50, &far, 29)[0];
    assert!(
        (found - exact).abs() < 1e-12 * exact.abs(),
        "{found}, not {exact}"
    );
}
