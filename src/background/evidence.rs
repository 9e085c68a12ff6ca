//! The evidence p(x) = Σ_z p(x, z): by enumeration, and where no enumeration is needed
//! ([notes](crate::background#evidence)).

use std::f64::consts::TAU;

use super::error::{BadData, check_numbers};
use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::{GaussianError, LogSum, MultivariateGaussian, standardise};

/// log Σ_z exp(log p(x, z)) over all Kⁿ states of n variables with K values each, and the number of terms.
///
/// `log_joint` receives z as n numbers from 0 to K-1 and returns log p(x, z), -∞ for an impossible state. The sum is
/// formed as the states go by: the memory does not grow, the time does, as Kⁿ.
///
/// ```
/// use elbo::background::enumerate;
///
/// // Three fair coins z; x says how many show heads, and is certain to say 2 if they do.
/// let (log_evidence, terms) = enumerate(2, 3, |z| match z.iter().sum() {
///     2 => 0.125f64.ln(),
///     _ => f64::NEG_INFINITY,
/// })?;
/// assert_eq!(terms, 8);
/// assert!((log_evidence - 0.375f64.ln()).abs() < 1e-15);
/// # Ok::<(), elbo::background::BadData>(())
/// ```
///
/// # Errors
/// If there is no state, there are more than 2⁶⁴, a log-joint is NaN or ∞, or all are -∞.
pub fn enumerate(
    values: usize,
    variables: usize,
    mut log_joint: impl FnMut(&[usize]) -> f64,
) -> Result<(f64, u64), BadData> {
    let power = u32::try_from(variables).ok();
    let terms = power.and_then(|n| (values as u64).checked_pow(n));
    let terms = terms.ok_or(BadData::TooMany {
        states: values,
        variables,
    })?;
    let mut z = vec![0; variables];
    let mut sum = LogSum::default();
    for term in 0..terms {
        let log_p = log_joint(&z);
        let index = term as usize;
        if log_p.is_nan() || log_p == f64::INFINITY {
            return Err(BadData::Number {
                what: "log-joint",
                index,
                expected: "numbers below ∞",
                found: log_p,
            });
        }
        sum.add(log_p);
        advance(&mut z, values);
    }
    match (terms, sum.value()) {
        (0, _) => Err(BadData::Empty { what: "states" }),
        (_, f64::NEG_INFINITY) => Err(BadData::Impossible { row: 0 }),
        (_, value) => Ok((value, terms)),
    }
}

/// The next state: the last variable changes fastest.
fn advance(z: &mut [usize], values: usize) {
    for digit in z.iter_mut().rev() {
        *digit += 1;
        if *digit < values {
            return;
        }
        *digit = 0;
    }
}

/// The linear-Gaussian model: z ~ N(0, I) in d dimensions and x = Wz + b + σε in D, with ε ~ N(0, I).
///
/// Its evidence and its posterior are Gaussians, in any dimension (Tipping and Bishop, *Probabilistic principal component
/// analysis*, 1999).
#[derive(Clone, Copy, Debug)]
pub struct LinearGaussian<'t, T: Scalar> {
    /// W, of shape (D, d).
    pub weights: Var<'t, T>,
    /// b, of shape (D).
    pub offset: Var<'t, T>,
    /// log σ², of shape [].
    pub log_noise: Var<'t, T>,
}

impl<'t, T: Scalar> LinearGaussian<'t, T> {
    /// log p(x) = log N(x; b, WWᵀ + σ²I) for x of shape (…, D), in nats, of shape (…): by the smaller of the two matrices.
    ///
    /// # Errors
    /// If the noise is not finite, or so small that its digits are lost in the covariance.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn log_evidence(&self, x: Var<'t, T>) -> Result<Var<'t, T>, BadData> {
        let (dimensions, latents) = self.check();
        match latents < dimensions {
            true => self.log_evidence_by_latents(x),
            false => self.log_evidence_by_covariance(x),
        }
    }

    /// The same by the Cholesky factor of the D×D covariance C = WWᵀ + σ²I, in O(D³).
    ///
    /// # Errors
    /// If C is not positive definite to the digits of T.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn log_evidence_by_covariance(&self, x: Var<'t, T>) -> Result<Var<'t, T>, BadData> {
        let (dimensions, _) = self.check();
        self.check_noise()?;
        let w = self.weights;
        let covariance = w.matmul(w.t()) + self.identity(dimensions) * self.log_noise.exp();
        let evidence = MultivariateGaussian::from_covariance(self.offset, covariance);
        Ok(evidence.map_err(reason)?.log_density(x))
    }

    /// The same by the Cholesky factor of the d×d matrix M = WᵀW + σ²I, in O(d³) and a few products with W. Two
    /// identities give it: |C| = σ^(2(D-d)) |M|, and δᵀC⁻¹δ = |δ - Wm|²/σ² + |m|² with δ = x - b and m = M⁻¹Wᵀδ.
    ///
    /// # Errors
    /// If M is not positive definite to the digits of T.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn log_evidence_by_latents(&self, x: Var<'t, T>) -> Result<Var<'t, T>, BadData> {
        let (dimensions, latents) = self.check();
        let (l, m) = self.solve(x)?;
        // A sum of squares: δᵀδ - δᵀWm, divided by σ², would cancel.
        let residual = x - self.offset - m.matmul(self.weights.t());
        let residual = standardise(residual, self.log_noise);
        let distance = residual.square().sum_last() + m.square().sum_last();
        let rest = dimensions as f64 - latents as f64;
        let log_determinant = self.log_noise * T::of(rest) + l.diagonal().ln().sum() * T::of(2.0);
        let constant = T::of(dimensions as f64 * TAU.ln());
        Ok((distance + log_determinant + constant) * T::of(-0.5))
    }

    /// p(z|x) = N(M⁻¹Wᵀ(x - b), σ²M⁻¹) with M = WᵀW + σ²I, for x of shape (…, D): means of shape (…, d), one covariance.
    ///
    /// # Errors
    /// If the noise is not finite, or M is not positive definite to the digits of T.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn posterior(&self, x: Var<'t, T>) -> Result<MultivariateGaussian<'t, T>, BadData> {
        let (_, latents) = self.check();
        let (l, mean) = self.solve(x)?;
        // M⁻¹ = L⁻ᵀL⁻¹.
        let inverse = l.solve_lower(self.identity(latents));
        let covariance = inverse.t().matmul(inverse) * self.log_noise.exp();
        MultivariateGaussian::from_covariance(mean, covariance).map_err(reason)
    }

    /// M = WᵀW + σ²I, of shape (d, d).
    pub(crate) fn second_moments(&self) -> Var<'t, T> {
        let (_, latents) = self.check();
        let w = self.weights;
        w.t().matmul(w) + self.identity(latents) * self.log_noise.exp()
    }

    /// The Cholesky factor of M = WᵀW + σ²I, and M⁻¹Wᵀ(x - b), of shape (…, d).
    pub(crate) fn solve(&self, x: Var<'t, T>) -> Result<(Var<'t, T>, Var<'t, T>), BadData> {
        let (dimensions, latents) = self.check();
        self.check_noise()?;
        let shape = x.shape();
        assert!(
            shape.last() == Some(&dimensions),
            "linear gaussian: shapes {shape:?} (data) and {:?} (weights) do not fit",
            self.weights.shape()
        );
        let (w, rows) = (self.weights, shape[..shape.len() - 1].iter().product());
        let l = self.second_moments().cholesky()?;
        // Data lie in rows: each becomes a column to be solved for.
        let delta = (x - self.offset).reshape(&[rows, dimensions]);
        let projected = w.t().matmul(delta.t());
        let mean = l.solve_lower_transposed(l.solve_lower(projected)).t();
        let shape = [&shape[..shape.len() - 1], &[latents]].concat();
        Ok((l, mean.reshape(&shape)))
    }

    /// p(x|z) = N(x; Wz + b, σ²I), its logarithm, for x of shape (…, D) and z of shape (…, d).
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn log_likelihood(&self, x: Var<'t, T>, z: Var<'t, T>) -> Var<'t, T> {
        let (dimensions, _) = self.check();
        let mean = z.matmul(self.weights.t()) + self.offset;
        let distance = standardise(x - mean, self.log_noise).square().sum_last();
        let constant = (self.log_noise + T::of(TAU.ln())) * T::of(dimensions as f64);
        (distance + constant) * T::of(-0.5)
    }

    /// x = Wz + b + σε for latents z of shape (…, d) and noise ε of shape (…, D).
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn sample(&self, z: Var<'t, T>, noise: Var<'t, T>) -> Var<'t, T> {
        self.check();
        let deviation = (self.log_noise * T::of(0.5)).exp();
        z.matmul(self.weights.t()) + self.offset + noise * deviation
    }

    /// D and d.
    fn check(&self) -> (usize, usize) {
        let (w, b) = (self.weights.shape(), self.offset.shape());
        let s = self.log_noise.shape();
        match (w.as_slice(), b.as_slice(), s.as_slice()) {
            (&[dimensions, latents], &[offsets], []) if dimensions == offsets => {
                (dimensions, latents)
            }
            _ => panic!(
                "linear gaussian: shapes {w:?} (weights), {b:?} (offset) and {s:?} (log-noise) do not fit"
            ),
        }
    }

    fn check_noise(&self) -> Result<(), BadData> {
        let noise = [self.log_noise.item().as_f64()];
        check_numbers("log-noise", noise, "a finite number", f64::is_finite)
    }

    fn identity(&self, k: usize) -> Var<'t, T> {
        self.weights.tape().constant(ndarray::Array2::eye(k))
    }
}

/// A covariance that was formed as a product and a multiple of the identity is symmetric.
fn reason(no_gaussian: GaussianError) -> BadData {
    match no_gaussian {
        GaussianError::NotPositiveDefinite(reason) => reason.into(),
        other => unreachable!("{other}"),
    }
}
