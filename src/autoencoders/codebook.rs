//! A table of code vectors, and how it follows the encoder ([notes](crate::autoencoders#vq-ema)).

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Ix1};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::Scalar;
use crate::autodiff::{Value, Var, array};
use crate::gradients::nearest;
use crate::nn::{Bound, Objective, ParameterId, Parameters, Step};

/// How the codes follow what the encoder says.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "cli", serde(rename_all = "kebab-case", tag = "kind"))]
pub enum CodebookUpdate {
    /// By the gradient of ‖sg(z) - e‖², from codes that are drawn uniformly from ±1/K.
    Gradient,
    /// By moving averages of the vectors that chose them, from vectors of the first batch.
    MovingAverages {
        /// γ in [0, 1): what is kept of an average at each step.
        decay: f64,
        /// A code whose average count falls below this is put onto a vector of the batch; 0 for never.
        restart: f64,
    },
}

impl Default for CodebookUpdate {
    /// Moving averages with γ = 0.99 (van den Oord et al. 2017, A.1), restarted below one vector a step.
    fn default() -> Self {
        Self::MovingAverages {
            decay: 0.99,
            restart: 1.0,
        }
    }
}

impl CodebookUpdate {
    /// Do the codes have gradients?
    pub fn is_gradient(&self) -> bool {
        matches!(self, Self::Gradient)
    }
}

/// Moving averages for K codes of D numbers: how many vectors chose each, and their sum.
#[derive(Clone, Debug, PartialEq)]
pub struct MovingAverages<T> {
    /// N, of shape (K).
    pub counts: Array1<T>,
    /// m, of shape (K, D).
    pub sums: Array2<T>,
}

/// Below this count a code is no longer read off its averages: both are about to underflow, in f32 too.
const LEAST_COUNT: f64 = 1e-20;

impl<T: Scalar> MovingAverages<T> {
    /// How often each of `size` codes was chosen by the vectors z, of shape (n, D), and the sums of those that did.
    ///
    /// # Panics
    /// If there is not one choice for each vector, or a choice is no code.
    pub fn of(z: ArrayView2<'_, T>, chosen: &[usize], size: usize) -> Self {
        assert_eq!(z.nrows(), chosen.len(), "one choice for each vector");
        let mut counts = Array1::zeros(size);
        let mut sums = Array2::zeros((size, z.ncols()));
        for (z, &code) in z.rows().into_iter().zip(chosen) {
            counts[code] += T::one();
            let mut sum = sums.row_mut(code);
            sum += &z;
        }
        Self { counts, sums }
    }

    /// γ times these plus 1 - γ times the batch's.
    pub fn step(&self, batch: &Self, decay: f64) -> Self {
        let (kept, new) = (T::of(decay), T::of(1.0 - decay));
        Self {
            counts: &self.counts * kept + &batch.counts * new,
            sums: &self.sums * kept + &batch.sums * new,
        }
    }

    /// e = m/N; where N is 0, the code that was there.
    pub fn codes(&self, before: ArrayView2<'_, T>) -> Array2<T> {
        let mut codes = before.to_owned();
        let averages = self.counts.iter().zip(self.sums.rows());
        for (mut code, (&count, sum)) in codes.rows_mut().into_iter().zip(averages) {
            if count > T::of(LEAST_COUNT) {
                code.assign(&(&sum / count));
            }
        }
        codes
    }

    /// Puts every code whose count is below `least` onto a vector of the batch, drawn for each, with that count.
    pub fn restart(&mut self, z: ArrayView2<'_, T>, least: f64, rng: &mut StdRng) {
        let least = T::of(least);
        for (count, mut sum) in self.counts.iter_mut().zip(self.sums.rows_mut()) {
            if *count < least {
                *count = least;
                sum.assign(&z.row(rng.random_range(0..z.nrows())));
                sum.mapv_inplace(|z| z * least);
            }
        }
    }
}

/// exp of the entropy of the shares of `counts`: K if all K codes are chosen equally often, 1 if all vectors choose one.
pub fn perplexity(counts: ArrayView1<'_, f64>) -> f64 {
    let total = counts.sum();
    let shares = counts.iter().filter(|&&count| count > 0.0);
    let entropy: f64 = shares
        .map(|count| -(count / total) * (count / total).ln())
        .sum();
    entropy.exp()
}

/// K codes of D numbers each.
#[derive(Clone, Debug)]
pub struct Codebook {
    size: usize,
    codes: ParameterId,
    averages: Option<Averages>,
    update: CodebookUpdate,
}

/// The buffers that [`MovingAverages`] are kept in.
#[derive(Clone, Copy, Debug)]
struct Averages {
    counts: ParameterId,
    sums: ParameterId,
}

/// What a batch of vectors became.
#[derive(Clone, Debug)]
pub struct Quantised<'t, T: Scalar> {
    /// The number of the code that is nearest to each vector.
    pub chosen: Vec<usize>,
    /// These codes, of the shape of the vectors; with a gradient if the codes are parameters.
    pub codes: Var<'t, T>,
    /// All codes, as they were when the vectors chose.
    table: Array2<T>,
}

impl Codebook {
    /// Adds `{name}.codes`, and for moving averages `{name}.counts` and `{name}.sums`, to `parameters`.
    ///
    /// # Panics
    /// If there is no code, or the decay is not in [0, 1).
    pub fn new<T: Scalar>(
        parameters: &mut Parameters<T>,
        name: &str,
        [size, width]: [usize; 2],
        update: CodebookUpdate,
        rng: &mut impl Rng,
    ) -> Self {
        assert!(size > 0, "a codebook needs a code");
        let most = 1.0 / size as f64;
        let codes =
            Array2::from_shape_simple_fn((size, width), || T::of(rng.random_range(-most..=most)));
        let (codes, averages) = match update {
            CodebookUpdate::Gradient => (parameters.add(format!("{name}.codes"), codes), None),
            CodebookUpdate::MovingAverages { decay, .. } => {
                assert!(
                    (0.0..1.0).contains(&decay),
                    "moving averages: expected a decay in [0, 1), found {decay}"
                );
                let codes = parameters.add_buffer(format!("{name}.codes"), codes);
                let (counts, sums) = (Array1::<T>::zeros(size), Array2::<T>::zeros((size, width)));
                let counts = parameters.add_buffer(format!("{name}.counts"), counts);
                let sums = parameters.add_buffer(format!("{name}.sums"), sums);
                (codes, Some(Averages { counts, sums }))
            }
        };
        Self {
            size,
            codes,
            averages,
            update,
        }
    }

    /// How many codes there are: K.
    pub fn size(&self) -> usize {
        self.size
    }

    /// All codes, of shape (K, D).
    pub fn codes<'t, T: Scalar>(&self, p: &Bound<'t, T>) -> Var<'t, T> {
        p[self.codes]
    }

    /// The nearest code to each of the vectors z, of shape (n, D); the first code to one that is not finite. Moving averages
    /// that have not begun take vectors of z as codes.
    ///
    /// # Panics
    /// If z is no matrix, or its rows have another width than the codes.
    pub fn quantise<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        z: Var<'t, T>,
        rng: &mut StdRng,
    ) -> Quantised<'t, T> {
        let z = matrix(&z.value());
        let codes = match self.has_begun(p) {
            true => p[self.codes],
            false => p.tape().constant(rows_of(&z, self.size, rng)),
        };
        let table = matrix(&codes.value());
        // Where training has diverged nothing is nearest; the loss is no number then, whichever code is taken.
        let first = |row: ArrayView1<'_, T>| {
            nearest(row.insert_axis(Axis(0)), table.view()).map_or(0, |codes| codes[0])
        };
        let chosen =
            nearest(z.view(), table.view()).unwrap_or_else(|_| z.outer_iter().map(first).collect());
        Quantised {
            codes: codes.gather(&chosen),
            table,
            chosen,
        }
    }

    fn has_begun<T: Scalar>(&self, p: &Bound<'_, T>) -> bool {
        (self.averages.as_ref())
            .is_none_or(|averages| p[averages.counts].value().iter().any(|&n| n > T::zero()))
    }

    /// An objective that also moves the averages, and the codes to them, if there are any.
    pub fn following<'t, T: Scalar>(
        &self,
        objective: Objective<'t, T>,
        p: &Bound<'t, T>,
        z: Var<'t, T>,
        quantised: &Quantised<'t, T>,
        step: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let (
            Some(Averages { counts, sums }),
            CodebookUpdate::MovingAverages { decay, restart },
            true,
        ) = (&self.averages, self.update, step.training)
        else {
            return objective;
        };
        let z = matrix(&z.value());
        let batch = MovingAverages::of(z.view(), &quantised.chosen, self.size);
        let mut next = match self.has_begun(p) {
            true => {
                let before = MovingAverages {
                    counts: array::<T, Ix1>(p[*counts].value()),
                    sums: matrix(&p[*sums].value()),
                };
                before.step(&batch, decay)
            }
            false => batch,
        };
        next.restart(z.view(), restart, step.rng);
        let codes = next.codes(quantised.table.view());
        objective
            .with_buffer(self.codes, codes.into_dyn().into_shared())
            .with_buffer(*counts, next.counts.into_dyn().into_shared())
            .with_buffer(*sums, next.sums.into_dyn().into_shared())
    }
}

/// `count` rows of z, drawn without replacement as far as there are enough.
fn rows_of<T: Scalar>(z: &Array2<T>, count: usize, rng: &mut StdRng) -> Array2<T> {
    let mut rows: Vec<usize> = (0..z.nrows()).collect();
    rows.shuffle(rng);
    let rows: Vec<usize> = rows.into_iter().cycle().take(count).collect();
    z.select(Axis(0), &rows)
}

fn matrix<T: Scalar>(value: &Value<T>) -> Array2<T> {
    let matrix = value.to_owned().into_dimensionality();
    matrix.unwrap_or_else(|_| {
        panic!(
            "expected vectors as the rows of a matrix, found shape {:?}",
            value.shape()
        )
    })
}
