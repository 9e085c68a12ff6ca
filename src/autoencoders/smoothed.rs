//! Data with Gaussian noise on them, and the best denoiser of all functions
//! ([notes](crate::autoencoders#denoising-is-score-matching)).

use std::f64::consts::TAU;

use ndarray::{Array1, Array2, ArrayView2, Axis};

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

    /// J = E ‖∇ log p_s(x̃)‖² on the line (D = 1).
    ///
    /// # Panics
    /// If the data have several dimensions.
    pub fn fisher_information(&self) -> f64 {
        self.expectation(|noisy| self.score(noisy).square().sum_last())
    }

    /// The least E (x - r(x̃))² of all functions r on the line: E Var(x|x̃) = s² - s⁴ J. As the variance itself, which keeps its
    /// digits where nearly nothing is left of s².
    ///
    /// # Panics
    /// If the data have several dimensions.
    pub fn least_error(&self) -> f64 {
        self.expectation(|noisy| self.posterior_variance(noisy))
    }

    /// Var(x|x̃) on the line: Σ_k r_k [v_k + (u_k - E[x|x̃])²] with v_k = s²τ_k²/(τ_k² + s²) and u_k the mean given k. The means of
    /// two components differ by u_k - u_l, so that the second part is ½ Σ_kl r_k r_l (u_k - u_l)², in which nothing cancels.
    fn posterior_variance<'t>(&self, noisy: Var<'t, f64>) -> Var<'t, f64> {
        let (tape, noise) = (noisy.tape(), self.deviation * self.deviation);
        let joint = self.joint(noisy);
        let axis = joint.ndim() - 1;
        let weights = joint.softmax(axis);
        let spread = self.spread();
        let own = spread.mapv(|v| noise * (v - noise) / v);
        // u_k = x̃ - s²/(τ_k² + s²) (x̃ - m_k).
        let pulled = tape.constant(spread.mapv(|v| -noise / v));
        let means = (self.differences(noisy).squeeze(&[axis + 1]) * pulled) + noisy;
        let between = (means.unsqueeze(axis + 1) - means.unsqueeze(axis)).square();
        let pairs = weights.unsqueeze(axis + 1) * weights.unsqueeze(axis) * between;
        (weights * tape.constant(own)).sum_axes(&[axis]) + pairs.sum_axes(&[axis, axis + 1]) * 0.5
    }

    /// E f(x̃) on the line, for an f of points of shape (n, 1) with values of shape (n), by the trapezium rule, which for smooth
    /// densities is exact but for rounding.
    fn expectation(&self, f: impl Fn(Var<'_, f64>) -> Var<'_, f64>) -> f64 {
        assert!(
            self.means.ncols() == 1,
            "expected data on the line, found {} dimensions",
            self.means.ncols()
        );
        let spread = self.spread();
        let narrow = spread.iter().fold(f64::INFINITY, |a, &b| a.min(b)).sqrt();
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (&mean, variance) in self.means.column(0).iter().zip(&spread) {
            let reach = 12.0 * variance.sqrt();
            (low, high) = (low.min(mean - reach), high.max(mean + reach));
        }
        // Nodes at once, and where it is enough for an eighth of the narrowest deviation, altogether.
        const CHUNK: usize = 4096;
        const MOST: f64 = (1 << 20) as f64;
        // Between two components at distance Δ the posterior changes over v/Δ, with v the variance. That is too narrow to
        // resolve only where they are so far apart that the density between them is 0.
        let distance = (high - low) - 24.0 * narrow;
        let change = narrow * narrow / distance.max(narrow);
        let coarse = (high - low) / (narrow / 8.0);
        let fine = (high - low) / (change / 8.0);
        let steps = coarse.max(fine.min(MOST)).ceil() as usize;
        let step = (high - low) / steps as f64;
        let mut tape = Tape::<f64>::new();
        let mut total = 0.0;
        for first in (0..=steps).step_by(CHUNK) {
            let places = first..(first + CHUNK).min(steps + 1);
            let nodes = Array1::from_iter(places.map(|i| low + step * i as f64));
            let noisy = tape.constant(nodes.insert_axis(Axis(1)));
            total += (self.log_density(noisy).exp() * f(noisy)).sum().item();
            tape.reset();
        }
        total * step
    }
}
