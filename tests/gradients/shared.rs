//! What several sections of chapter 4 share: broadcasting by hand, and Gaussians with functions to estimate gradients
//! of.

use elbo::autodiff::{Tape, Var};
use elbo::distributions::DiagonalGaussian;
use elbo::distributions::noise::standard_normal;
use elbo::gradients::{Draws, GaussianParameters};
use ndarray::{Array1, Array2, ArrayD, Axis, Dimension, IxDyn, arr1};
use rand::rngs::StdRng;

use crate::common::random::{matrix, vector};

/// ⟨a, b⟩.
pub fn inner(a: &ArrayD<f64>, b: &ArrayD<f64>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A matrix as an array of any number of axes.
pub fn dynamic(array: &Array2<f64>) -> ArrayD<f64> {
    array.clone().into_dyn()
}

/// The indices of the entry that broadcasting puts at `index`, for leading axes of `shape`.
pub fn source_index(shape: &[usize], index: &[usize]) -> Vec<usize> {
    let skipped = index.len() - shape.len();
    let along = shape.iter().zip(&index[skipped..]);
    along
        .map(|(&length, &i)| if length == 1 { 0 } else { i })
        .collect()
}

/// (Bᵀȳ)_j = Σ ȳ_i over the i with s(i) = j, entry by entry.
pub fn sum_by_hand(y_bar: &ArrayD<f64>, from: &[usize]) -> ArrayD<f64> {
    let mut x_bar = ArrayD::zeros(IxDyn(from));
    for (i, &term) in y_bar.indexed_iter() {
        x_bar[IxDyn(&source_index(from, i.slice()))] += term;
    }
    x_bar
}

/// A function of one variable, for any tape.
pub type Function<T> = for<'t> fn(Var<'t, T>) -> Var<'t, T>;

/// Means and log-variances.
pub const GAUSSIANS: [[f64; 2]; 5] = [
    [0.3, -1.0],
    [-1.2, 0.4],
    [0.0, 0.0],
    [0.5, -1.5],
    [-0.7, 1.0],
];

/// The standard normal density.
pub fn normal_density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

/// sin is not among the crate's operations; as a derivative sin' x = sin(x + π/2).
pub fn sin(x: Var<'_, f64>) -> Var<'_, f64> {
    x.map("sin", f64::sin, |p| {
        p.cotangent * sin(p.input(0) + std::f64::consts::FRAC_PI_2)
    })
}

/// 1 for z > 0, else 0; its derivative is 0 wherever it has one.
pub fn step(z: Var<'_, f64>) -> Var<'_, f64> {
    z.map(
        "step",
        |z| if z > 0.0 { 1.0 } else { 0.0 },
        |p| p.cotangent * 0.0,
    )
}

/// Normal noise in rows.
pub fn normal_noise(rng: &mut StdRng, draws: usize, dimensions: usize) -> Array2<f64> {
    let tape = Tape::new();
    let noise = standard_normal(&tape, &[draws, dimensions], rng).value();
    noise.into_owned().into_dimensionality().unwrap()
}

/// A random Gaussian.
pub fn gaussian(rng: &mut StdRng, dimensions: usize) -> GaussianParameters {
    GaussianParameters {
        mean: vector(rng, dimensions),
        log_variance: vector(rng, dimensions) * 0.5,
    }
}

/// The Gaussian in one dimension.
pub fn univariate(mean: f64, log_variance: f64) -> GaussianParameters {
    GaussianParameters {
        mean: arr1(&[mean]),
        log_variance: arr1(&[log_variance]),
    }
}

/// z = μ + σ ⊙ ε in rows.
pub fn moved(q: &GaussianParameters, noise: &Array2<f64>) -> Array2<f64> {
    &q.mean + &(&q.log_variance.mapv(|s| (0.5 * s).exp()) * noise)
}

/// The scores (z-μ)/σ² and ½((z-μ)²/σ² - 1), side by side.
pub fn scores_by_hand(q: &GaussianParameters, z: &Array2<f64>) -> Array2<f64> {
    let variance = q.log_variance.mapv(f64::exp);
    let offset = z - &q.mean;
    let to_log_variance = (&offset * &offset / &variance - 1.0) * 0.5;
    ndarray::concatenate![Axis(1), &offset / &variance, to_log_variance]
}

/// A function of rows that is no polynomial, with the matrix that makes it one of all dimensions: Σ_j tanh(zA)_j + |z|²/4.
pub fn bent<'t>(z: Var<'t, f64>, a: &Array2<f64>) -> Var<'t, f64> {
    let a = z.tape().constant(a.clone());
    z.matmul(a).tanh().sum_last() + z.square().sum_last() * 0.25
}

/// The same on plain arrays.
pub fn bent_by_hand(z: &Array2<f64>, a: &Array2<f64>) -> Array1<f64> {
    z.dot(a).mapv(f64::tanh).sum_axis(Axis(1)) + (z * z).sum_axis(Axis(1)) * 0.25
}

/// All entries of a gradient within 4 standard errors; how far the worst is.
pub fn unbiased(draws: &Draws, exact: &Array1<f64>, what: &str) -> f64 {
    let gradient = draws.estimate();
    let distances = gradient.entries.iter().zip(exact);
    distances
        .map(|(entry, exact)| {
            let distance = entry.distance(*exact).abs();
            assert!(distance <= 4.0, "{what}: {entry}, exact {exact}");
            distance
        })
        .fold(0.0, f64::max)
}

/// The Gaussian with mean v0 and log-variance v1.
pub fn from_vars<'t>(v: &[Var<'t, f64>]) -> DiagonalGaussian<'t, f64> {
    DiagonalGaussian {
        mean: v[0],
        log_variance: v[1],
    }
}

/// -½ (z-m)ᵀΛ(z-m) for a positive definite Λ, up to a constant the log-joint of a Gaussian posterior N(m, Λ⁻¹).
pub struct Quadratic {
    pub mean: Array1<f64>,
    pub precision: Array2<f64>,
}

impl Quadratic {
    pub fn random(rng: &mut StdRng, d: usize) -> Self {
        let a = matrix(rng, [d, d]);
        let precision = a.t().dot(&a) + Array2::<f64>::eye(d);
        let mean = vector(rng, d);
        Self { mean, precision }
    }

    pub fn diagonal(mean: Array1<f64>, variance: &Array1<f64>) -> Self {
        let precision = Array2::from_diag(&variance.mapv(|v| 1.0 / v));
        Self { mean, precision }
    }

    pub fn log_joint<'t>(&self, z: Var<'t, f64>) -> Var<'t, f64> {
        let tape = z.tape();
        let offset = z - tape.constant(self.mean.clone());
        (offset.matmul(tape.constant(self.precision.clone())) * offset).sum_last() * -0.5
    }

    /// ∇_z, in rows.
    pub fn slope(&self, z: &Array2<f64>) -> Array2<f64> {
        -(z - &self.mean).dot(&self.precision)
    }
}

/// (g, ½ g ⊙ σε): a slope in z as a slope in μ and s.
pub fn along_the_path(
    q: &GaussianParameters,
    noise: &Array2<f64>,
    slope: &Array2<f64>,
) -> Array2<f64> {
    let deviation = q.log_variance.mapv(|s| (0.5 * s).exp());
    ndarray::concatenate![Axis(1), slope.clone(), slope * noise * &deviation * 0.5]
}
