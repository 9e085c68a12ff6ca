//! The gradient through the logarithm of the density, which asks nothing of f
//! ([notes](crate::gradients#score-function-estimator)).

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, concatenate};

use super::draws::{Draws, GradientError, check_finite, check_gradients, side_by_side, values_of};
use super::softmax::all_others;
use crate::autodiff::{Tape, Var, array};
use crate::background::{categorical_scores, gaussian_score_at};
use crate::distributions::{Categorical, DiagonalGaussian, GaussianParameters, weighed};
use crate::kl::Nodes;

/// What is subtracted from f before it multiplies the score. As the score has mean 0, no number changes the mean of the
/// product; each changes its variance.
#[derive(Clone, Debug, PartialEq)]
pub enum Baseline {
    /// Nothing.
    None,
    /// One number for all entries.
    Constant(f64),
    /// A number for each entry of φ, such as [`best_baseline`] of other draws.
    Entries(Array1<f64>),
    /// For each draw and each entry b* = E f s² / E s², estimated from all the *other* draws: so it does not depend on the
    /// draw, and the mean stays unbiased. One draw alone has the baseline 0.
    ///
    /// The draws are no longer independent, so that the standard error of their mean comes out too small, the more so the
    /// fewer they are: for f = z² and ∂μ at N(1, 1) it is (root mean square) 3.16 of n = 2 draws, where their mean has the
    /// deviation 3.74; 2.07 and 2.33 of n = 5, 1.41 and 1.52 of n = 10, 0.387 and 0.392 of n = 100.
    LeaveOneOut,
}

/// The gradients (f - b) ∇_φ log q(z) + ∇_φ f of single draws z = μ + σ ⊙ ε, with the noise ε ~ N(0, I) in rows: their mean
/// is unbiased for ∇_φ E_q f, for any f with E|f s| < ∞, jumps and all.
///
/// `f` receives q, with parameters in a row for each draw, and z, which does not move with them, both of shape (n, d), and
/// returns shape (n); its entry i must depend on row i alone. ∇_φ f is what q contributes to f at a fixed z, and 0 if f
/// does not use q.
///
/// ```
/// use elbo::gradients::{Baseline, GaussianParameters, score_gradient};
/// use ndarray::{arr1, arr2};
///
/// let q = GaussianParameters { mean: arr1(&[3.0]), log_variance: arr1(&[0.0]) };
/// let noise = arr2(&[[0.5], [-0.5]]);
/// let draws = score_gradient(&q, noise.view(), |_, z| z.square().sum_last(), &Baseline::Constant(9.0))?;
/// // (z² - 9) times the scores ε/σ and ½(ε² - 1).
/// assert_eq!(draws.gradients(), arr2(&[[1.625, -1.21875], [1.375, 1.03125]]));
/// # Ok::<(), elbo::gradients::GradientError>(())
/// ```
///
/// # Errors
/// If there are no draws, or parameters, noise, baseline, f or a gradient are not finite.
///
/// # Panics
/// If the shapes do not fit, or `f` does not give one value for each draw.
pub fn score_gradient(
    q: &GaussianParameters,
    noise: ArrayView2<'_, f64>,
    f: impl for<'t> Fn(&DiagonalGaussian<'t, f64>, Var<'t, f64>) -> Var<'t, f64>,
    baseline: &Baseline,
) -> Result<Draws, GradientError> {
    Parts::of_gaussian(q, noise, &f)?.draws(baseline)
}

/// As [`score_gradient`], for one of K classes with probabilities softmax(a): the gradient with respect to the logits a, of
/// shape (K). The draws z are one-hot in rows, of shape (n, K), as [`Categorical::sample`] makes them; logits may be ±∞.
///
/// # Errors
/// If there are no draws, one is not one-hot or is of a class whose probability is 0 or underflows, a logit is NaN, or the baseline, f or a gradient are
/// not finite.
///
/// # Panics
/// If the shapes do not fit, or `f` does not give one value for each draw.
pub fn categorical_score_gradient(
    logits: ArrayView1<'_, f64>,
    one_hot: ArrayView2<'_, f64>,
    f: impl for<'t> Fn(&Categorical<'t, f64>, Var<'t, f64>) -> Var<'t, f64>,
    baseline: &Baseline,
) -> Result<Draws, GradientError> {
    Parts::of_categorical(logits, one_hot, &f)?.draws(baseline)
}

/// b* = E g s / E s² for each entry of φ, where g = f s + ∇_φ f and s is the score: of all numbers b, the one for which
/// g - b s has the least variance. If f does not use q, it is E f s² / E s².
///
/// The expectations are sums over nodes of the noise: a quadrature rule, or draws that are not used again (b* of the very
/// draws that it is subtracted from would bias their mean). Where s is 0 throughout, any b is as good; it is 0.
///
/// # Errors
/// If parameters, f or its gradient are not finite, or b* overflows.
///
/// # Panics
/// If the shapes do not fit, or `f` does not give one value for each node.
pub fn best_baseline(
    q: &GaussianParameters,
    noise: &Nodes,
    f: impl for<'t> Fn(&DiagonalGaussian<'t, f64>, Var<'t, f64>) -> Var<'t, f64>,
) -> Result<Array1<f64>, GradientError> {
    let parts = Parts::of_gaussian(q, noise.points().view(), &f)?;
    let best: Array1<f64> = (0..parts.scores.ncols())
        .map(|entry| parts.best(entry, noise.weights()))
        .collect();
    match best.iter().position(|b| !b.is_finite()) {
        Some(entry) => Err(GradientError::Baseline { entry }),
        None => Ok(best),
    }
}

/// f(q, z) for a Gaussian q: behind a reference, so that what follows is compiled once and not once for each f.
type OfGaussian<'f> = dyn for<'t> Fn(&DiagonalGaussian<'t, f64>, Var<'t, f64>) -> Var<'t, f64> + 'f;

/// The same for a categorical one.
type OfCategorical<'f> = dyn for<'t> Fn(&Categorical<'t, f64>, Var<'t, f64>) -> Var<'t, f64> + 'f;

/// What the draws' gradients are made of.
struct Parts {
    /// f, of shape (n).
    values: Array1<f64>,
    /// ∇_φ log q(z) times the unit, a row for each draw.
    scores: Array2<f64>,
    /// σ for a Gaussian's mean, whose score is ε/σ; 1 for all other entries. It cancels in b*, where the squares of 1/σ
    /// would overflow.
    units: Array1<f64>,
    /// ∇_φ f at a fixed z, a row for each draw.
    direct: Array2<f64>,
}

impl Parts {
    fn of_gaussian(
        q: &GaussianParameters,
        noise: ArrayView2<'_, f64>,
        f: &OfGaussian<'_>,
    ) -> Result<Self, GradientError> {
        q.check("score_gradient", noise)?;
        let scores = gaussian_scores(noise);
        let deviations = q.log_variance.mapv(|s| (0.5 * s).exp());
        let units = concatenate![Axis(0), deviations, Array1::ones(q.mean.len())];
        let tape = Tape::new();
        let q = q.for_each_draw(&tape, noise.nrows());
        // A sample does not move: only the density does.
        let z = q.sample(tape.constant(noise)).stop_gradient();
        let f = f(&q, z);
        let values = values_of("score_gradient", f, noise.nrows())?;
        let gradients = tape.gradients(f.sum());
        let direct = side_by_side(&[q.mean, q.log_variance].map(|phi| gradients.wrt(phi)));
        check_gradients(&direct)?;
        Ok(Self {
            values,
            scores,
            units,
            direct,
        })
    }

    fn of_categorical(
        logits: ArrayView1<'_, f64>,
        one_hot: ArrayView2<'_, f64>,
        f: &OfCategorical<'_>,
    ) -> Result<Self, GradientError> {
        let operation = "categorical_score_gradient";
        assert!(
            one_hot.ncols() == logits.len(),
            "{operation}: shapes {:?} (logits) and {:?} (draws) do not fit",
            logits.shape(),
            one_hot.shape()
        );
        if one_hot.nrows() == 0 {
            return Err(GradientError::NoDraws);
        }
        if let Some(index) = logits.iter().position(|a| a.is_nan()) {
            let what = "logits";
            return Err(GradientError::Given { what, index });
        }
        let tape = Tape::new();
        let rows = logits.broadcast(one_hot.dim()).expect("checked above");
        let q = Categorical {
            logits: tape.variable(rows.to_owned()),
        };
        let probabilities = Categorical {
            logits: tape.constant(logits),
        }
        .probabilities()
        .value();
        let probabilities = array(probabilities);
        let classes = classes(one_hot, &probabilities)?;
        let mut scores = categorical_scores(probabilities.view());
        // 1 - p_k has lost the digits of all other classes where they are rare.
        scores.diag_mut().assign(&all_others(probabilities.view()));
        let f = f(&q, tape.constant(one_hot));
        let values = values_of(operation, f, one_hot.nrows())?;
        let gradients = tape.gradients(f.sum());
        let direct = side_by_side(&[gradients.wrt(q.logits)]);
        check_gradients(&direct)?;
        Ok(Self {
            values,
            scores: scores.select(Axis(0), &classes),
            units: Array1::ones(logits.len()),
            direct,
        })
    }

    /// (f - b) s + ∇f.
    fn draws(self, baseline: &Baseline) -> Result<Draws, GradientError> {
        let s = &self.scores / &self.units;
        let f = self.values.view().insert_axis(Axis(1));
        let product = match baseline {
            Baseline::None => s * f,
            Baseline::Constant(b) => {
                check_finite("baseline", [b])?;
                s * (&f - *b)
            }
            Baseline::Entries(b) => {
                assert!(
                    b.len() == s.ncols(),
                    "baseline: shapes {:?} (baseline) and {:?} (scores) do not fit",
                    b.shape(),
                    s.shape()
                );
                check_finite("baseline", b)?;
                s * (&f - b)
            }
            Baseline::LeaveOneOut => s * (&f - &self.leave_one_out()),
        };
        Draws::new(self.values, product + self.direct)
    }

    /// b* of one draw alone, for one entry: g/s = f + ∇f/s.
    fn alone(&self, draw: usize, entry: usize) -> Best {
        let score = self.scores[[draw, entry]];
        if score == 0.0 {
            return Best::default();
        }
        let direct = weighed(self.direct[[draw, entry]], self.units[entry]);
        Best {
            baseline: self.values[draw] + direct / score,
            root: score.abs(),
        }
    }

    /// b* for one entry, if the draws have these weights.
    fn best(&self, entry: usize, weights: &Array1<f64>) -> f64 {
        let terms = weights.iter().enumerate().map(|(draw, weight)| {
            let Best { baseline, root } = self.alone(draw, entry);
            let root = weight.sqrt() * root;
            Best { baseline, root }
        });
        terms.fold(Best::default(), Best::and).baseline
    }

    /// b* of all other draws, for each draw and entry.
    fn leave_one_out(&self) -> Array2<f64> {
        let mut baselines = Array2::zeros(self.scores.dim());
        for (entry, mut column) in baselines.columns_mut().into_iter().enumerate() {
            let alone = |draw| self.alone(draw, entry);
            let before = running(0..column.len(), alone);
            let after = running((0..column.len()).rev(), alone);
            for ((b, before), after) in column.iter_mut().zip(before).zip(after.iter().rev()) {
                *b = before.and(*after).baseline;
            }
        }
        baselines
    }
}

/// b* of some of the draws: the mean of g/s with the weights s².
#[derive(Clone, Copy, Default)]
struct Best {
    baseline: f64,
    /// √Σ s², as the squares themselves may overflow, or be 0 for small scores.
    root: f64,
}

impl Best {
    /// b* of these draws and those. It starts from the one that counts more, so that a rare draw's large g/s leaves no
    /// rounding error of its own size; and of equal ones it is the same, exactly.
    fn and(self, other: Self) -> Self {
        let (more, less) = match self.root >= other.root {
            true => (self, other),
            false => (other, self),
        };
        if less.root == 0.0 {
            return more;
        }
        let root = more.root.hypot(less.root);
        let share = less.root / root;
        Self {
            baseline: more.baseline + (less.baseline - more.baseline) * share * share,
            root,
        }
    }
}

/// For each draw b* of all that come before it. (The sum of all less the one would cancel where that one is most of it.)
fn running(draws: impl Iterator<Item = usize>, alone: impl Fn(usize) -> Best) -> Vec<Best> {
    let before = draws.scan(Best::default(), |sum, draw| {
        let before = *sum;
        *sum = before.and(alone(draw));
        Some(before)
    });
    before.collect()
}

/// ∇ log N(z; μ, e^s) at z = μ + σε, that of μ in units of 1/σ: ε and ½(ε² - 1), from the noise itself, as (z - μ)/σ has
/// lost the digits of a small σ.
fn gaussian_scores(noise: ArrayView2<'_, f64>) -> Array2<f64> {
    let [by_mean, by_log_variance] =
        [0, 1].map(|part| noise.mapv(|epsilon| gaussian_score_at(epsilon, 0.0, 0.0)[part]));
    concatenate![Axis(1), by_mean, by_log_variance]
}

/// Which class each row is.
fn classes(
    one_hot: ArrayView2<'_, f64>,
    probabilities: &Array1<f64>,
) -> Result<Vec<usize>, GradientError> {
    let class = |(draw, row): (usize, ArrayView1<f64>)| {
        let class = row.iter().position(|&x| x == 1.0);
        let zeros = row.iter().filter(|&&x| x == 0.0).count();
        match class {
            Some(class) if zeros + 1 == row.len() => match probabilities[class] > 0.0 {
                true => Ok(class),
                false => Err(GradientError::ImpossibleClass { draw, class }),
            },
            _ => Err(GradientError::NotOneHot { draw }),
        }
    };
    one_hot.outer_iter().enumerate().map(class).collect()
}
