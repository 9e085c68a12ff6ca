//! The objective of all data, estimated from some of them ([notes](crate::vae#minibatch-objective)).

use crate::Scalar;
use crate::autodiff::Var;

/// (N/M) Σ yᵢ over the M data of a batch, of shape (M): an unbiased estimate of the sum over all N, if every datum is as likely
/// as any other to be in the batch (Kingma and Welling 2014, eq. 8).
///
/// # Panics
/// If the batch is empty, larger than the N data, or not a vector.
pub fn minibatch_objective<'t, T: Scalar>(batch: Var<'t, T>, data: usize) -> Var<'t, T> {
    let shape = batch.shape();
    assert!(
        matches!(shape.as_slice(), &[m] if 0 < m && m <= data),
        "minibatch_objective: expected a vector of 1 to {data} terms, found shape {shape:?}"
    );
    batch.sum() * T::of(data as f64 / shape[0] as f64)
}

/// How the data of a batch are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// All different: a shuffled epoch.
    WithoutReplacement,
    /// Each by itself.
    WithReplacement,
}

/// The variance of the estimate (N/M) Σ yᵢ, for the N terms of all data: N² s²/M (1 - M/N) without replacement, with
/// s² = Σ (y - ȳ)²/(N-1), if all sets of M different data are equally likely, and N² v/M with replacement, with
/// v = Σ (y - ȳ)²/N.
///
/// # Panics
/// If the batch is empty, or larger than the data and drawn without replacement.
pub fn minibatch_variance(terms: &[f64], batch: usize, drawing: Drawing) -> f64 {
    let (n, m) = (terms.len() as f64, batch as f64);
    let fits = batch > 0 && (batch <= terms.len() || drawing == Drawing::WithReplacement);
    assert!(
        fits && !terms.is_empty(),
        "minibatch_variance: a batch of {batch} does not fit {} data",
        terms.len()
    );
    let mean = terms.iter().sum::<f64>() / n;
    let squares: f64 = terms.iter().map(|y| (y - mean).powi(2)).sum();
    match drawing {
        Drawing::WithReplacement => n * squares / m,
        Drawing::WithoutReplacement if batch == terms.len() => 0.0,
        Drawing::WithoutReplacement => n * (n - m) / (n - 1.0) * squares / m,
    }
}
