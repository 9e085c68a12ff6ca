//! Higgins' metric of a trained model, and what it is to be compared with.

use ndarray::{Array2, ArrayView2, Axis, concatenate, s};

use super::BetaVaeCommand;
use crate::autodiff::{Tape, array};
use crate::autoencoders::HigginsMetric;
use crate::cli::models::{Configuration, Saved, ShapeSource};
use crate::data::Source;
use crate::data::shapes::{NAMES, VALUES};
use crate::distributions::Estimate;
use crate::distributions::noise::stream;
use crate::nn::Parameters;
use crate::vae::Vae;

/// Test images whose pairs the metric is made of, at most.
const IMAGES: usize = 10_000;

/// Images that are coded at once.
const BATCH: usize = 512;

/// Draws of points, and untrained encoders.
pub const REPEATS: u64 = 3;

/// Test images whose factors are known.
pub struct Known {
    /// Of shape (N, pixels).
    pub images: Array2<f32>,
    /// Of shape (N, factors), two factors or more.
    factors: Array2<usize>,
    /// How it is measured.
    pub metric: HigginsMetric,
}

/// The metric of a code: the mean over repetitions and their standard deviation, both in per cent.
#[derive(Clone, Copy, Debug)]
pub struct Score {
    /// All factors are chosen from.
    pub all: (f64, f64),
    /// All but the first, which of shapes is the shape.
    pub without_first: (f64, f64),
}

impl Known {
    /// The first test images; `None` if fewer than two factors are known of each.
    pub fn of(test: &ShapeSource, seed: u64) -> Option<Self> {
        let indices: Vec<usize> = (0..test.len().min(IMAGES)).collect();
        let tape = Tape::new();
        let batch = test.batch(&tape, &indices, &mut stream(seed, "view", 0));
        let factors = batch.factors.filter(|factors| factors.ncols() > 1)?;
        let images = array(batch.data.value());
        Some(Self {
            images,
            factors,
            metric: HigginsMetric::default(),
        })
    }

    /// What the first factor is called, which the second of two metrics leaves out.
    pub fn first(&self) -> &'static str {
        // Five factors that take no more values than the shapes' are the shapes'.
        let most = |k: usize| self.factors.column(k).iter().copied().max().unwrap_or(0);
        let shapes =
            self.factors.ncols() == VALUES.len() && (0..VALUES.len()).all(|k| most(k) < VALUES[k]);
        if shapes { NAMES[0] } else { "the first" }
    }

    /// How many factors there are.
    pub fn count(&self) -> usize {
        self.factors.ncols()
    }

    /// The metric of codes, one for each repetition: of one encoder with other points, or of several encoders.
    pub fn score<'a>(&self, codes: impl IntoIterator<Item = ArrayView2<'a, f32>>) -> Score {
        let all: Vec<usize> = (0..self.count()).collect();
        let (mut whole, mut rest) = (Vec::new(), Vec::new());
        for (repeat, codes) in codes.into_iter().enumerate() {
            let accuracy = |among: &[usize]| {
                let mut rng = stream(repeat as u64, "higgins", among.len() as u64);
                100.0
                    * self
                        .metric
                        .accuracy(codes, self.factors.view(), among, &mut rng)
            };
            whole.push(accuracy(&all));
            rest.push(accuracy(&all[1..]));
        }
        Score {
            all: spread(&whole),
            without_first: spread(&rest),
        }
    }

    /// The metric of a trained encoder, from so many draws of points.
    pub fn of_model(&self, saved: &Saved<BetaVaeCommand>, draws: u64) -> Score {
        let codes = self.codes(saved.model.vae(), &saved.parameters);
        self.score((0..draws).map(|_| codes.view()))
    }

    /// The metric of encoders with fresh weights from several seeds.
    pub fn of_untrained(&self, saved: &Saved<BetaVaeCommand>) -> Score {
        let codes: Vec<Array2<f32>> = (0..REPEATS)
            .map(|repeat| {
                let mut configuration = saved.configuration.clone();
                let settings = &mut configuration.settings;
                settings.seed = settings.seed.wrapping_add(repeat);
                self.fresh_codes(&configuration)
            })
            .collect();
        self.score(codes.iter().map(|codes| codes.view()))
    }

    /// The metric of the encoder that a trained one began as.
    pub fn of_fresh(&self, saved: &Saved<BetaVaeCommand>) -> Score {
        self.score([self.fresh_codes(&saved.configuration).view()])
    }

    fn fresh_codes(&self, configuration: &Configuration<BetaVaeCommand>) -> Array2<f32> {
        let (model, parameters) = configuration.fresh();
        self.codes(model.vae(), &parameters)
    }

    /// The metric of the pixels themselves.
    pub fn of_pixels(&self) -> Score {
        self.score([self.images.view()])
    }

    /// The means of q(z|x).
    fn codes(&self, vae: &Vae, parameters: &Parameters<f32>) -> Array2<f32> {
        let chunks = (0..self.images.nrows()).step_by(BATCH);
        let parts: Vec<Array2<f32>> = chunks
            .map(|first| {
                let last = self.images.nrows().min(first + BATCH);
                let images = self.images.slice(s![first..last, ..]);
                vae.codes(parameters, images).mean
            })
            .collect();
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        concatenate(Axis(0), &views).expect("codes of one width")
    }
}

/// The mean and the standard deviation, which one value alone does not have: it is infinite then.
pub fn spread(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let estimate = Estimate::of(values.iter().copied()).expect("accuracies are numbers");
    (estimate.mean, estimate.standard_error * count.sqrt())
}
