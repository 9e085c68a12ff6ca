//! Data with Gaussian noise on them, and the best denoiser of all functions
//! ([notes](crate::autoencoders#denoising-is-score-matching)).

use std::f64::consts::TAU;

use ndarray::{Array1, Array2, ArrayView2, arr1};

use crate::Scalar;
use crate::autodiff::{Tape, Var};

/// x ~ Σ_k w_k N(m_k, τ_k² I) in D dimensions and x̃ = x + sε, ε ~ N(0, I). With τ = 0 it is a set of points: the data themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct SmoothedMixture {
    /// log w, of shape (K).
    log_weights: Array1<f64>,
    /// m, of shape (K, D).
    means: Array2<f64>,
    /// τ², of shape (K).
    variances: Array1<f64>,
    /// s.
    deviation: f64,
}

impl SmoothedMixture {
    /// From weights w of sum 1, means m of shape (K, D), deviations τ >= 0 and the noise's deviation s > 0.
    ///
    /// # Panics
    /// If the shapes do not fit, a weight is negative or they do not sum to 1 (to 10⁻⁸), a deviation is negative, or s is not
    /// a positive number.
    pub fn new(
        weights: &Array1<f64>,
        means: Array2<f64>,
        deviations: &Array1<f64>,
        deviation: f64,
    ) -> Self {
        assert!(
            weights.len() == means.nrows() && weights.len() == deviations.len(),
            "smoothed mixture: shapes {:?} (weights), {:?} (means) and {:?} (deviations) do not fit",
            weights.shape(),
            means.shape(),
            deviations.shape()
        );
        assert!(
            weights.iter().all(|&w| w >= 0.0) && (weights.sum() - 1.0).abs() < 1e-8,
            "smoothed mixture: expected weights of sum 1, found {weights}"
        );
        assert!(
            deviations.iter().all(|&tau| tau >= 0.0) && deviation > 0.0 && deviation.is_finite(),
            "smoothed mixture: expected deviations from 0 up and positive noise, found {deviations} and {deviation}"
        );
        Self {
            log_weights: weights.ln(),
            means,
            variances: deviations * deviations,
            deviation,
        }
    }

    /// Data of shape (n, D), each as likely, with noise of deviation s.
    ///
    /// # Panics
    /// If there are none, or s is not a positive number.
    pub fn of_data(data: ArrayView2<'_, f64>, deviation: f64) -> Self {
        let n = data.nrows();
        assert!(n > 0, "smoothed mixture: expected data, found none");
        let weights = Array1::from_elem(n, 1.0 / n as f64);
        Self::new(&weights, data.to_owned(), &Array1::zeros(n), deviation)
    }

    /// τ_k² + s².
    fn spread(&self) -> Array1<f64> {
        &self.variances + self.deviation * self.deviation
    }

    /// log w_k N(x̃; m_k, (τ_k² + s²) I), of shape (…, K).
    fn joint<'t, T: Scalar>(&self, noisy: Var<'t, T>) -> Var<'t, T> {
        let tape = noisy.tape();
        let constant = |x: &Array1<f64>| tape.constant(x.mapv(T::of));
        let distances = self.differences(noisy).square().sum_last();
        let (spread, d) = (self.spread(), self.means.ncols() as f64);
        let normaliser = &self.log_weights - spread.mapv(|v| 0.5 * d * (TAU * v).ln());
        constant(&normaliser) - distances * constant(&spread.mapv(|v| 0.5 / v))
    }

    /// x̃ - m_k, of shape (…, K, D).
    fn differences<'t, T: Scalar>(&self, noisy: Var<'t, T>) -> Var<'t, T> {
        let means = noisy.tape().constant(self.means.mapv(T::of));
        noisy.unsqueeze(noisy.ndim() - 1) - means
    }

    /// log p_s(x̃) of points of shape (…, D), in nats.
    ///
    /// # Panics
    /// If the points have another number of dimensions.
    pub fn log_density<'t, T: Scalar>(&self, noisy: Var<'t, T>) -> Var<'t, T> {
        let joint = self.joint(noisy);
        joint.logsumexp_axes(&[joint.ndim() - 1])
    }

    /// ∇ log p_s(x̃) = -Σ_k r_k (x̃ - m_k)/(τ_k² + s²), with r_k the probability of component k given x̃.
    ///
    /// # Panics
    /// If the points have another number of dimensions.
    pub fn score<'t, T: Scalar>(&self, noisy: Var<'t, T>) -> Var<'t, T> {
        let inverse = self.spread().mapv(|v| T::of(-1.0 / v));
        self.weighted(noisy, noisy.tape().constant(inverse))
    }

    /// r*(x̃) = E[x|x̃], by Bayes' rule: Σ_k r_k [x̃ - s²/(τ_k² + s²) (x̃ - m_k)].
    ///
    /// # Panics
    /// If the points have another number of dimensions.
    pub fn denoised<'t, T: Scalar>(&self, noisy: Var<'t, T>) -> Var<'t, T> {
        let noise = self.deviation * self.deviation;
        let pulled = self.spread().mapv(|v| T::of(-noise / v));
        noisy + self.weighted(noisy, noisy.tape().constant(pulled))
    }

    /// Σ_k r_k c_k (x̃ - m_k).
    fn weighted<'t, T: Scalar>(&self, noisy: Var<'t, T>, factors: Var<'t, T>) -> Var<'t, T> {
        let joint = self.joint(noisy);
        let axis = joint.ndim() - 1;
        let weights = (joint.softmax(axis) * factors).unsqueeze(axis + 1);
        (weights * self.differences(noisy)).sum_axes(&[axis])
    }

    /// J = E ‖∇ log p_s(x̃)‖² on the line (D = 1), by the trapezium rule, which for smooth densities is exact but for rounding.
    ///
    /// # Panics
    /// If the data have several dimensions.
    pub fn fisher_information(&self) -> f64 {
        assert!(
            self.means.ncols() == 1,
            "fisher_information: expected data on the line, found {} dimensions",
            self.means.ncols()
        );
        let spread = self.spread();
        let narrow = spread.iter().fold(f64::INFINITY, |a, &b| a.min(b)).sqrt();
        let reach = |sign: f64| {
            let ends = self.means.column(0).to_owned() + spread.mapv(|v| sign * 12.0 * v.sqrt());
            ends.iter()
                .fold(-sign * f64::INFINITY, |a, &b| match sign > 0.0 {
                    true => a.max(b),
                    false => a.min(b),
                })
        };
        let (low, high) = (reach(-1.0), reach(1.0));
        // An eighth of the narrowest component's deviation.
        let steps = ((high - low) / (narrow / 8.0)).ceil() as usize;
        let step = (high - low) / steps as f64;
        let tape = Tape::<f64>::new();
        let mut total = 0.0;
        for i in 0..=steps {
            let x = tape.constant(arr1(&[low + step * i as f64]));
            let score = self.score(x).value().sum();
            total += self.log_density(x).item().exp() * score * score;
        }
        total * step
    }

    /// The least E (x - r(x̃))² of all functions r on the line: s² - s⁴ J.
    ///
    /// # Panics
    /// If the data have several dimensions.
    pub fn least_error(&self) -> f64 {
        let noise = self.deviation * self.deviation;
        noise - noise * noise * self.fisher_information()
    }
}
