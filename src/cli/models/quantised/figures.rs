//! The figures of a model with codes from a table.

use std::fmt;
use std::ops::{ControlFlow, Range};

use anyhow::{Result, ensure};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use super::views::{self, SavedModel};
use super::{ImageData, Levels, LoadedData};
use crate::autoencoders::{
    AutoregressivePrior, DiscreteCoding, FactorisedPrior, PriorStructure, perplexity, uniform_cost,
};
use crate::cli::models::DAMAGED;
use crate::data::Codes;
use crate::distributions::noise::stream;
use crate::nn::{Adam, Parameters};
use crate::train::{Run, Settings, Task, fit};

/// Means over the test images, in nats.
pub struct Measured {
    /// How many test images.
    pub count: usize,
    /// E log p(x|k).
    pub reconstruction: f64,
    /// What the codes cost if all are equally likely.
    pub uniform: f64,
    /// What they cost if positions are independent, each with the frequencies of the training images.
    pub factorised: f64,
    /// What they cost under the prior that was trained beside.
    pub learnt: f64,
    /// Of this, the part of the lower codes, if there are two levels.
    pub learnt_lower: Option<f64>,
    /// The use of the table of each level: one, or the upper and the lower.
    pub uses: Vec<Use>,
    /// The codes of the training images and of the test images, which all this is of.
    pub codes: [Array2<usize>; 2],
}

/// How much of a table is in use.
pub struct Use {
    /// The codes that some position of some image has.
    pub used: usize,
    /// All codes of the table.
    pub size: usize,
    /// exp of the entropy of their frequencies.
    pub perplexity: f64,
}

impl Measured {
    /// Measures a model.
    ///
    /// # Errors
    /// If a figure is not a number.
    pub fn of<L: Levels>(
        saved: &SavedModel<L>,
        data: &LoadedData<ImageData>,
        seed: u64,
    ) -> Result<Self> {
        let x = views::images(&data.test, seed);
        let codes = views::codes(saved, x.view());
        let fits = views::log_likelihoods(saved, x.view(), codes.view());
        let prior = saved.model.prior();
        let priors = views::log_conditionals(prior, &saved.parameters, codes.view());
        let positions = codes.ncols();
        let size = prior.structure().codes;
        let mean = |values: &Array1<f64>| values.mean().unwrap_or(f64::NAN);
        let reconstruction = mean(&fits);
        ensure!(
            reconstruction.is_finite() && priors.iter().all(|cost| !cost.is_nan()),
            DAMAGED
        );
        // Half a code more than there are, so that none is impossible.
        let train = views::codes(saved, views::images(&data.train, seed).view());
        let factorised = FactorisedPrior::fit(train.view(), size, 0.5);
        let upper = saved.configuration.options.levels.upper();
        let lower = priors.slice(s![.., upper..]);
        Ok(Self {
            count: codes.nrows(),
            reconstruction,
            uniform: uniform_cost(positions, size),
            factorised: -mean(&factorised.log_probability(codes.view())),
            learnt: -mean(&priors.sum_axis(Axis(1))),
            learnt_lower: (upper > 0).then(|| -mean(&lower.sum_axis(Axis(1)))),
            uses: ranges(upper, positions)
                .map(|range| Use::of(&counts(codes.slice(s![.., range]), size)))
                .collect(),
            codes: [train, codes],
        })
    }
}

/// The positions of each level.
fn ranges(upper: usize, positions: usize) -> impl Iterator<Item = Range<usize>> {
    [0..upper, upper..positions]
        .into_iter()
        .filter(|range| !range.is_empty())
}

/// How often each of `size` codes occurs.
pub fn counts(codes: ArrayView2<'_, usize>, size: usize) -> Array1<f64> {
    let mut counts = Array1::zeros(size);
    codes.iter().for_each(|&code| counts[code] += 1.0);
    counts
}

impl Use {
    /// From how often each code occurs.
    pub fn of(counts: &Array1<f64>) -> Self {
        Self {
            used: counts.iter().filter(|&&count| count > 0.0).count(),
            size: counts.len(),
            perplexity: perplexity(counts.view()),
        }
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            used,
            size,
            perplexity,
        } = self;
        write!(f, "{used} of {size}, perplexity {perplexity:.1}")
    }
}

/// What codes cost under priors that are fitted to them afterwards, each from fresh weights: all of them, and the lower ones by
/// themselves, if there are two levels.
pub struct Refitted {
    /// All codes, position by position.
    pub all: f64,
    /// Of this, the part of the lower codes: their cost, given the upper ones.
    pub lower_given_upper: Option<f64>,
    /// The lower codes, by a prior that does not see the upper ones.
    pub lower_alone: Option<f64>,
}

impl Refitted {
    /// Fits the priors to the codes of training images, and measures them on those of test images.
    ///
    /// # Errors
    /// If one diverges.
    pub fn to<L: Levels>(
        saved: &SavedModel<L>,
        codes: [Array2<usize>; 2],
        epochs: usize,
    ) -> Result<Self> {
        let seed = saved.configuration.settings.seed;
        let sets = codes.map(Codes);
        let upper = saved.configuration.options.levels.upper();
        let structure = *saved.model.prior().structure();
        let all = cost_of_each(&sets, structure, (epochs, seed))?;
        let lower = match upper {
            0 => None,
            _ => {
                let sets = sets.map(|codes| Codes(codes.0.slice(s![.., upper..]).to_owned()));
                let structure = PriorStructure {
                    positions: structure.positions - upper,
                    ..structure
                };
                Some(cost_of_each(&sets, structure, (epochs, seed))?.sum())
            }
        };
        Ok(Self {
            all: all.sum(),
            lower_given_upper: (upper > 0).then(|| all.slice(s![upper..]).sum()),
            lower_alone: lower,
        })
    }
}

/// The mean cost of the test codes at each position, under a prior that is fitted to the training codes.
fn cost_of_each(
    [train, test]: &[Codes; 2],
    structure: PriorStructure,
    (epochs, seed): (usize, u64),
) -> Result<Array1<f64>> {
    let mut parameters = Parameters::new();
    let rng = &mut stream(seed, "prior weights", 0);
    let prior = AutoregressivePrior::new(structure, &mut parameters, "prior", rng);
    let settings = Settings {
        epochs,
        batch: 128,
        seed,
        ..Settings::default()
    };
    let task = Task {
        model: &prior,
        train,
        test,
        settings: &settings,
    };
    let adam = Adam::new(settings.rate.at(0));
    let mut run = Run::new(parameters, adam);
    fit(&task, &mut run, |_| ControlFlow::Continue(()))?;
    let each = views::log_conditionals(&prior, &run.parameters, test.0.view());
    Ok(-each.mean_axis(Axis(0)).expect("there are test codes"))
}
