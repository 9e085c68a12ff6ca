//! How well a linear classifier tells which factor two images share (Higgins et al., *β-VAE*, 2017, section 3;
//! [notes](crate::autoencoders#beta-vae)).

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip, s};
use rand::Rng;
use rand::rngs::StdRng;

use super::Classifier;
use crate::Scalar;
use crate::autodiff::Tape;
use crate::nn::{Adam, Batch, Model, Parameters, Schedule, Step};

/// Of a code in which every factor has units of its own, those of a factor that is kept do not change. For each point:
///
/// 1. choose one of the factors y, each as likely;
/// 2. choose L pairs of images with the same value of y, all other factors at random;
/// 3. take the mean over the pairs of |z₁ - z₂|, unit by unit, with the means of q(z|x) as z.
///
/// A linear classifier (softmax regression) learns to predict y from some points; the metric is the share of other points at
/// which it is right. The paper leaves the numbers open; the defaults are those of the implementation that Locatello et al.,
/// *Challenging common assumptions in the unsupervised learning of disentangled representations*, 2019, compare models with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HigginsMetric {
    /// L, the pairs of a point.
    pub pairs: usize,
    /// Points that the classifier learns from.
    pub training_points: usize,
    /// Points that it is tested on.
    pub test_points: usize,
}

impl Default for HigginsMetric {
    /// 64 pairs, 10,000 points to learn from and 5,000 to test on.
    fn default() -> Self {
        Self {
            pairs: 64,
            training_points: 10_000,
            test_points: 5_000,
        }
    }
}

/// Passes of the classifier over its points.
const EPOCHS: usize = 20;

/// Points in a step of the classifier.
const BATCH: usize = 128;

/// Adam's learning rate in its first step, from where it falls to 0 on a straight line.
const RATE: f64 = 0.01;

impl HigginsMetric {
    /// The share of points at which the classifier is right, from the codes of images, of shape (N, units), and what each was
    /// drawn from, of shape (N, factors). `among` are the columns of the factors that y is one of.
    ///
    /// # Panics
    /// If the numbers of rows differ, or there are no images, no factors to choose from or no points.
    pub fn accuracy<T: Scalar>(
        &self,
        codes: ArrayView2<'_, T>,
        factors: ArrayView2<'_, usize>,
        among: &[usize],
        rng: &mut StdRng,
    ) -> f64 {
        assert!(
            codes.nrows() == factors.nrows() && codes.nrows() > 0 && !among.is_empty(),
            "expected codes and factors of the same images and factors to choose from, found codes {:?}, factors {:?} and a \
             choice of {}",
            codes.dim(),
            factors.dim(),
            among.len()
        );
        assert!(
            self.pairs > 0 && self.training_points > 0 && self.test_points > 0,
            "expected pairs and points, found {self:?}"
        );
        let (points, kept) = self.points(codes, factors, among, rng);
        let (train, test) = points.view().split_at(Axis(0), self.training_points);
        let (learnt, asked) = kept.split_at(self.training_points);
        let (classifier, parameters) = classifier((train, learnt), among.len(), rng);
        let found = classifier.classify(&parameters, test);
        let right = found.iter().zip(asked).filter(|(a, b)| a == b).count();
        right as f64 / asked.len() as f64
    }

    /// All points, one a row, and the place of each one's y in `among`.
    fn points<T: Scalar>(
        &self,
        codes: ArrayView2<'_, T>,
        factors: ArrayView2<'_, usize>,
        among: &[usize],
        rng: &mut StdRng,
    ) -> (Array2<T>, Vec<usize>) {
        let groups: Vec<_> = (among.iter())
            .map(|&factor| by_value(factors, factor))
            .collect();
        let count = self.training_points + self.test_points;
        let mut points = Array2::<T>::zeros((count, codes.ncols()));
        let mut kept = Vec::with_capacity(count);
        for mut point in points.rows_mut() {
            let y = rng.random_range(0..among.len());
            for _ in 0..self.pairs {
                let first = rng.random_range(0..codes.nrows());
                let second = another(&groups[y][factors[(first, among[y])]], first, rng);
                // The sum, and not yet the mean: scales are taken away below.
                let [z1, z2] = [first, second].map(|image| codes.row(image));
                Zip::from(&mut point)
                    .and(&z1)
                    .and(&z2)
                    .for_each(|sum, &a, &b| *sum += (a - b).abs());
            }
            kept.push(y);
        }
        standardise(&mut points, self.training_points);
        (points, kept)
    }
}

/// One of the images that is not this one, each as likely; if there is no other, this one. An image is no pair with itself: it
/// would tell the factors with many values, of which few images share one, by their small distances.
fn another(images: &[usize], this: usize, rng: &mut StdRng) -> usize {
    let (&last, others) = images.split_last().expect("this one at least");
    match others.len() {
        0 => last,
        count => match others[rng.random_range(0..count)] {
            same if same == this => last,
            other => other,
        },
    }
}

/// The images with each value of a factor.
fn by_value(factors: ArrayView2<'_, usize>, factor: usize) -> Vec<Vec<usize>> {
    let column = factors.column(factor);
    let values = 1 + column.iter().copied().max().unwrap_or(0);
    let mut groups = vec![Vec::new(); values];
    for (image, &value) in column.iter().enumerate() {
        groups[value].push(image);
    }
    groups
}

/// Every unit with mean 0 and deviation 1 over the first points, those that the classifier learns from: how large a unit's numbers
/// are does not matter then. A unit that never changes there becomes 0.
fn standardise<T: Scalar>(points: &mut Array2<T>, training: usize) {
    let count = T::of(training as f64);
    let mean = points.slice(s![..training, ..]).sum_axis(Axis(0)) / count;
    *points -= &mean;
    let learnt = points.slice(s![..training, ..]);
    let squares: Array1<T> = learnt.map_axis(Axis(0), |unit| unit.dot(&unit)) / count;
    let scale = squares.mapv(|variance| match variance > T::zero() {
        true => variance.sqrt().recip(),
        false => T::zero(),
    });
    *points *= &scale;
}

/// Softmax regression of y on points.
fn classifier<T: Scalar>(
    (points, y): (ArrayView2<'_, T>, &[usize]),
    classes: usize,
    rng: &mut StdRng,
) -> (Classifier, Parameters<T>) {
    let mut parameters = Parameters::new();
    let classifier = Classifier::new(&[points.ncols(), classes], &mut parameters, rng);
    let y = Array2::from_shape_vec((y.len(), 1), y.to_vec()).expect("one for each point");
    let rate = Schedule::linear(RATE, 0.0, EPOCHS * y.nrows().div_ceil(BATCH));
    let mut adam = Adam::new(RATE);
    let mut tape = Tape::new();
    for _ in 0..EPOCHS {
        // The points were drawn independently: their order is a random one already.
        for first in (0..y.nrows()).step_by(BATCH) {
            let rows = s![first..y.nrows().min(first + BATCH), ..];
            let (_, gradients) = parameters.value_and_gradients(&mut tape, |p| {
                let batch = Batch {
                    data: p.tape().constant(points.slice(rows)),
                    factors: Some(y.slice(rows).to_owned()),
                };
                (
                    classifier
                        .objective(p, &batch, &mut Step::evaluation(rng))
                        .loss,
                    (),
                )
            });
            adam.set_rate(rate.at(adam.steps()));
            adam.step(&mut parameters, &gradients);
        }
    }
    (classifier, parameters)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn test_points_are_scaled_by_the_training_points_alone() {
        let factors = Array2::from_shape_fn((60, 2), |(i, k)| [i % 3, i % 4][k]);
        let codes = factors.mapv(|value| 5.0 * value as f64);
        let points = |test_points| {
            let metric = HigginsMetric {
                pairs: 3,
                training_points: 40,
                test_points,
            };
            let mut rng = StdRng::seed_from_u64(1);
            metric
                .points(codes.view(), factors.view(), &[0, 1], &mut rng)
                .0
        };
        let (few, many) = (points(1), points(400));
        let learnt = few.slice(s![..40, ..]);
        assert_eq!(learnt, many.slice(s![..40, ..]));
        for unit in learnt.columns() {
            assert!((unit.sum() / 40.0).abs() < 1e-12);
            assert!((unit.dot(&unit) / 40.0 - 1.0).abs() < 1e-12);
        }
        // The others are moved by the same numbers: their own mean is not quite 0.
        assert!(many.slice(s![40.., ..]).sum().abs() > 1e-3);
    }
}
