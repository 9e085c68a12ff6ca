//! The gradient through the logarithm of the density, which asks nothing of f
//! ([notes](crate::gradients#score-function-estimator)).

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::draws::{Draws, GaussianParameters, NoGradient, check_finite, side_by_side, values_of};
use crate::autodiff::{Tape, Var};
use crate::background::{categorical_scores, gaussian_score_at};
use crate::distributions::{Categorical, DiagonalGaussian};
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
    /// draw, and the mean stays unbiased. The draws are no longer independent, but their correlation falls with their
    /// number. One draw alone has the baseline 0.
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
/// # Ok::<(), elbo::gradients::NoGradient>(())
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
) -> Result<Draws, NoGradient> {
    Parts::of_gaussian(q, noise, f)?.draws(baseline)
}

/// As [`score_gradient`], for one of K classes with probabilities softmax(a): the gradient with respect to the logits a, of
/// shape (K). The draws z are one-hot in rows, of shape (n, K), as [`Categorical::sample`] makes them; logits may be ±∞.
///
/// # Errors
/// If there are no draws, one is not one-hot or is an impossible class, a logit is NaN, or the baseline, f or a gradient are
/// not finite.
///
/// # Panics
/// If the shapes do not fit, or `f` does not give one value for each draw.
pub fn categorical_score_gradient(
    logits: ArrayView1<'_, f64>,
    one_hot: ArrayView2<'_, f64>,
    f: impl for<'t> Fn(&Categorical<'t, f64>, Var<'t, f64>) -> Var<'t, f64>,
    baseline: &Baseline,
) -> Result<Draws, NoGradient> {
    Parts::of_categorical(logits, one_hot, f)?.draws(baseline)
}

/// b* = E g s / E s² for each entry of φ, where g = f s + ∇_φ f and s is the score: of all numbers b, the one for which
/// g - b s has the least variance. If f does not use q, it is E f s² / E s².
///
/// The expectations are sums over nodes of the noise: a quadrature rule, or draws that are not used again (b* of the very
/// draws that it is subtracted from would bias their mean). Where E s² is 0, any b is as good; it is 0.
///
/// # Errors
/// If parameters, f or its gradient are not finite.
///
/// # Panics
/// If the shapes do not fit, or `f` does not give one value for each node.
pub fn best_baseline(
    q: &GaussianParameters,
    noise: &Nodes,
    f: impl for<'t> Fn(&DiagonalGaussian<'t, f64>, Var<'t, f64>) -> Var<'t, f64>,
) -> Result<Array1<f64>, NoGradient> {
    let parts = Parts::of_gaussian(q, noise.points().view(), f)?;
    let products = &parts.without_baseline() * &parts.scores;
    let squares = &parts.scores * &parts.scores;
    let weights = noise.weights();
    Ok(ratio(&weights.dot(&products), &weights.dot(&squares)))
}

/// What the draws' gradients are made of.
struct Parts {
    /// f, of shape (n).
    values: Array1<f64>,
    /// ∇_φ log q(z), a row for each draw.
    scores: Array2<f64>,
    /// ∇_φ f at a fixed z, a row for each draw.
    direct: Array2<f64>,
}

impl Parts {
    fn of_gaussian(
        q: &GaussianParameters,
        noise: ArrayView2<'_, f64>,
        f: impl for<'t> Fn(&DiagonalGaussian<'t, f64>, Var<'t, f64>) -> Var<'t, f64>,
    ) -> Result<Self, NoGradient> {
        q.check("score_gradient", noise)?;
        let scores = gaussian_scores(q, noise);
        let tape = Tape::new();
        let q = q.for_each_draw(&tape, noise.nrows());
        // A sample does not move: only the density does.
        let z = q.sample(tape.constant(noise)).stop_gradient();
        let f = f(&q, z);
        let values = values_of("score_gradient", f, noise.nrows())?;
        let gradients = tape.gradients(f.sum());
        let direct = side_by_side(&[q.mean, q.log_variance].map(|phi| gradients.wrt(phi)));
        Ok(Self {
            values,
            scores,
            direct,
        })
    }

    fn of_categorical(
        logits: ArrayView1<'_, f64>,
        one_hot: ArrayView2<'_, f64>,
        f: impl for<'t> Fn(&Categorical<'t, f64>, Var<'t, f64>) -> Var<'t, f64>,
    ) -> Result<Self, NoGradient> {
        let operation = "categorical_score_gradient";
        assert!(
            one_hot.ncols() == logits.len(),
            "{operation}: shapes {:?} (logits) and {:?} (draws) do not fit",
            logits.shape(),
            one_hot.shape()
        );
        if one_hot.nrows() == 0 {
            return Err(NoGradient::NoDraws);
        }
        if let Some(index) = logits.iter().position(|a| a.is_nan()) {
            let what = "logits";
            return Err(NoGradient::Given { what, index });
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
        let probabilities = probabilities.to_owned().into_dimensionality().expect("(K)");
        let classes = classes(one_hot, &probabilities)?;
        let scores = categorical_scores(probabilities.view()).select(Axis(0), &classes);
        let f = f(&q, tape.constant(one_hot));
        let values = values_of(operation, f, one_hot.nrows())?;
        let gradients = tape.gradients(f.sum());
        Ok(Self {
            values,
            scores,
            direct: side_by_side(&[gradients.wrt(q.logits)]),
        })
    }

    /// f s + ∇f.
    fn without_baseline(&self) -> Array2<f64> {
        &self.scores * &self.values.view().insert_axis(Axis(1)) + &self.direct
    }

    fn draws(self, baseline: &Baseline) -> Result<Draws, NoGradient> {
        let g = self.without_baseline();
        let s = &self.scores;
        let gradients = match baseline {
            Baseline::None => g,
            Baseline::Constant(b) => {
                check_finite("baseline", [b])?;
                g - s * *b
            }
            Baseline::Entries(b) => {
                assert!(
                    b.len() == s.ncols(),
                    "baseline: shapes {:?} (baseline) and {:?} (scores) do not fit",
                    b.shape(),
                    s.shape()
                );
                check_finite("baseline", b)?;
                g - s * b
            }
            Baseline::LeaveOneOut => {
                let b = leave_one_out(&(&g * s), &(s * s));
                g - s * &b
            }
        };
        Draws::new(self.values, gradients)
    }
}

/// ∇ log N(z; μ, e^s) at z = μ + σε: ε/σ and ½(ε² - 1), from the noise itself, as (z - μ)/σ has lost the digits of a small σ.
fn gaussian_scores(q: &GaussianParameters, noise: ArrayView2<'_, f64>) -> Array2<f64> {
    let d = noise.ncols();
    Array2::from_shape_fn((noise.nrows(), 2 * d), |(i, j)| {
        let [by_mean, by_log_variance] = gaussian_score_at(noise[[i, j % d]], 0.0, 0.0);
        match j < d {
            true => by_mean * (-0.5 * q.log_variance[j]).exp(),
            false => by_log_variance,
        }
    })
}

/// Which class each row is.
fn classes(
    one_hot: ArrayView2<'_, f64>,
    probabilities: &Array1<f64>,
) -> Result<Vec<usize>, NoGradient> {
    let class = |(draw, row): (usize, ArrayView1<f64>)| {
        let class = row.iter().position(|&x| x == 1.0);
        let zeros = row.iter().filter(|&&x| x == 0.0).count();
        match class {
            Some(class) if zeros + 1 == row.len() && probabilities[class] > 0.0 => Ok(class),
            _ => Err(NoGradient::NotOneHot { draw }),
        }
    };
    one_hot.outer_iter().enumerate().map(class).collect()
}

/// Σ products / Σ squares over all rows but one, for each row.
fn leave_one_out(products: &Array2<f64>, squares: &Array2<f64>) -> Array2<f64> {
    let rest = |x: &Array2<f64>| x.sum_axis(Axis(0)) - x;
    let (products, squares) = (rest(products), rest(squares));
    ndarray::Zip::from(&products)
        .and(&squares)
        .map_collect(|&p, &s| quotient(p, s))
}

fn ratio(products: &Array1<f64>, squares: &Array1<f64>) -> Array1<f64> {
    ndarray::Zip::from(products)
        .and(squares)
        .map_collect(|&p, &s| quotient(p, s))
}

/// A score that is 0 throughout needs no baseline.
fn quotient(product: f64, square: f64) -> f64 {
    if square > 0.0 { product / square } else { 0.0 }
}
