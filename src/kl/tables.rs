//! Divergences of tables of probabilities, and the chain rule of joint ones.

use ndarray::{ArrayD, Axis, IxDyn};

use crate::background::{BadData, check_distribution};

/// KL(q ‖ p) = Σ q log q/p of two tables of one shape, in nats. 0 log 0 is 0, and the divergence is ∞ if p excludes what q
/// allows. (On the tape: [`log_tables`](super::log_tables) for log-probabilities, [`categorical`](super::categorical) for
/// logits.)
///
/// # Errors
/// If one of them has no entries, a negative or not finite one, or a sum other than 1 (to 10⁻⁸).
///
/// # Panics
/// If the shapes differ.
pub fn tables(q: &ArrayD<f64>, p: &ArrayD<f64>) -> Result<f64, BadData> {
    check_pair("tables", q, p)?;
    Ok(relative_entropy(q, p))
}

/// What a divergence of joint tables is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChainRule {
    /// KL(q(x, y) ‖ p(x, y)).
    pub joint: f64,
    /// KL(q(x) ‖ p(x)).
    pub marginal: f64,
    /// E_q(x) KL(q(y|x) ‖ p(y|x)): the mean is under q, over the x that p allows. (Where p(x) = 0 < q(x), p(y|x) is not
    /// defined, and the marginal divergence is ∞ by itself.)
    pub conditional: f64,
}

/// KL(q(x, y) ‖ p(x, y)) and its parts, the marginal's and the conditional's divergence, each computed from its own
/// tables: x is what runs along the first `split` axes, y what runs along the others
/// ([notes](crate::kl#kl-chain-rule)).
///
/// ```
/// use elbo::kl::chain_rule;
/// use ndarray::arr2;
///
/// let q = arr2(&[[0.5, 0.0], [0.25, 0.25]]).into_dyn();
/// let p = arr2(&[[0.25, 0.25], [0.25, 0.25]]).into_dyn();
/// let parts = chain_rule(&q, &p, 1)?;
/// assert_eq!((parts.marginal, parts.conditional), (0.0, 0.5 * 2f64.ln()));
/// assert_eq!(parts.joint, parts.marginal + parts.conditional);
/// # Ok::<(), elbo::background::BadData>(())
/// ```
///
/// # Errors
/// As [`tables`].
///
/// # Panics
/// If the shapes differ or have fewer than `split` axes.
pub fn chain_rule(q: &ArrayD<f64>, p: &ArrayD<f64>, split: usize) -> Result<ChainRule, BadData> {
    check_pair("chain_rule", q, p)?;
    let shape = q.shape();
    assert!(
        split <= shape.len(),
        "chain_rule: cannot split shape {shape:?} after {split} axes"
    );
    let rows: usize = shape[..split].iter().product();
    let [q_rows, p_rows] = [q, p].map(|table| as_rows(table, rows));
    let [q_x, p_x] = [&q_rows, &p_rows].map(|table| table.sum_axis(Axis(1)));
    let conditional = (0..rows)
        .filter(|&x| q_x[x] > 0.0 && p_x[x] > 0.0)
        .map(|x| {
            let q_given_x = q_rows.index_axis(Axis(0), x).mapv(|q| q / q_x[x]);
            let p_given_x = p_rows.index_axis(Axis(0), x).mapv(|p| p / p_x[x]);
            q_x[x] * relative_entropy(&q_given_x, &p_given_x)
        })
        .sum();
    Ok(ChainRule {
        joint: relative_entropy(q, p),
        marginal: relative_entropy(&q_x, &p_x),
        conditional,
    })
}

/// E_q KL(q(x_j | x_1 … x_(j-1)) ‖ p(x_j | x_1 … x_(j-1))) for each axis j in turn: the chain rule used until every term
/// speaks of one variable. Their sum is the divergence of the joint tables; their order is that of the axes, and with
/// another order each term is another number.
///
/// # Errors
/// As [`tables`].
///
/// # Panics
/// If the shapes differ.
pub fn chain_terms(q: &ArrayD<f64>, p: &ArrayD<f64>) -> Result<Vec<f64>, BadData> {
    check_pair("chain_terms", q, p)?;
    (1..=q.ndim())
        .map(|axes| {
            let [q, p] = [q, p].map(|table| first_axes(table, axes));
            Ok(chain_rule(&q, &p, axes - 1)?.conditional)
        })
        .collect()
}

/// Σ q log q/p = Σ [q log q/p + p - q], as both tables have the sum 1. No term of the second sum is negative.
fn relative_entropy(q: &ArrayD<f64>, p: &ArrayD<f64>) -> f64 {
    let terms = q.iter().zip(p).map(|(&q, &p)| term(q, p));
    terms.sum()
}

/// q log q/p + p - q = q (t - log(1 + t)) with t = p/q - 1, never negative; 0 log 0 = 0.
fn term(q: f64, p: f64) -> f64 {
    let t = (p - q) / q;
    if q == 0.0 {
        p
    } else if p == 0.0 {
        f64::INFINITY
    } else if t.abs() < 0.5 {
        q * (t - t.ln_1p())
    } else {
        (p - q) + q * (q.ln() - p.ln())
    }
}

/// The table of shape (rows, rest).
fn as_rows(table: &ArrayD<f64>, rows: usize) -> ArrayD<f64> {
    let rest = table.len() / rows;
    table
        .to_shape(IxDyn(&[rows, rest]))
        .expect("the same number of entries")
        .into_owned()
}

/// The marginal table of the first axes.
fn first_axes(table: &ArrayD<f64>, axes: usize) -> ArrayD<f64> {
    let mut marginal = table.clone();
    while marginal.ndim() > axes {
        marginal = marginal.sum_axis(Axis(marginal.ndim() - 1));
    }
    marginal
}

fn check_pair(operation: &str, q: &ArrayD<f64>, p: &ArrayD<f64>) -> Result<(), BadData> {
    assert!(
        q.shape() == p.shape(),
        "{operation}: shapes {:?} and {:?} do not fit",
        q.shape(),
        p.shape()
    );
    for (name, table) in [("q", q), ("p", p)] {
        check_distribution(name, &table.iter().copied().collect::<Vec<_>>())?;
    }
    Ok(())
}
