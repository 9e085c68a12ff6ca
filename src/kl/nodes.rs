//! Expectations as weighted sums: quadrature, enumeration, samples.

use std::f64::consts::TAU;
use std::fmt;

use ndarray::{Array1, Array2, Axis};

use crate::distributions::Moments;

/// Points with weights: Σ w_i f(x_i) is, or estimates, the expectation of f.
///
/// Three kinds have constructors: quadrature, whose sum is exact for a class of functions; enumeration of finitely many
/// outcomes ([`new`](Nodes::new)); and samples, of weight 1/n each, whose sum is an estimate.
#[derive(Clone, Debug, PartialEq)]
pub struct Nodes {
    points: Array2<f64>,
    weights: Array1<f64>,
}

/// Why points and weights make no expectation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NodesError {
    /// There is no point.
    Empty,
    /// A weight is negative, NaN or infinite.
    Weight {
        /// Which, from 0.
        index: usize,
        /// The weight.
        weight: f64,
    },
    /// The weights do not sum to 1.
    Total(f64),
    /// A coordinate is NaN or infinite.
    Point {
        /// Which point, from 0.
        index: usize,
    },
}

impl fmt::Display for NodesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "expected at least one point with a weight, found none"),
            Self::Weight { index, weight } => write!(
                f,
                "expected weights that are not negative, found {weight:e} as weight {index} (counted from 0)"
            ),
            Self::Total(total) => write!(
                f,
                "expected weights that sum to 1, found the sum {total}; divide them by it"
            ),
            Self::Point { index } => write!(
                f,
                "expected finite coordinates, found NaN or infinity in point {index} (counted from 0)"
            ),
        }
    }
}

impl std::error::Error for NodesError {}

/// How far a sum of weights or probabilities may be from 1.
pub(crate) const TOTAL: f64 = 1e-8;

impl Nodes {
    /// Points in rows, of shape (n, d), with weights of shape (n) that are probabilities.
    ///
    /// # Errors
    /// If there is none, a coordinate is not finite, a weight is negative or not finite, or their sum is not 1 (to 10⁻⁸).
    ///
    /// # Panics
    /// If the numbers of points and weights differ.
    pub fn new(points: Array2<f64>, weights: Array1<f64>) -> Result<Self, NodesError> {
        assert!(
            points.nrows() == weights.len(),
            "nodes: shapes {:?} (points) and {:?} (weights) do not fit",
            points.shape(),
            weights.shape()
        );
        if weights.is_empty() {
            return Err(NodesError::Empty);
        }
        let bad = |x: &f64| !x.is_finite();
        if let Some(index) = points.outer_iter().position(|point| point.iter().any(bad)) {
            return Err(NodesError::Point { index });
        }
        if let Some(index) = weights.iter().position(|w| bad(w) || *w < 0.0) {
            let weight = weights[index];
            return Err(NodesError::Weight { index, weight });
        }
        let total = weights.sum();
        if (total - 1.0).abs() > TOTAL {
            return Err(NodesError::Total(total));
        }
        Ok(Self { points, weights })
    }

    /// Samples in rows, each of weight 1/n.
    ///
    /// # Errors
    /// If there is none, or a coordinate is not finite.
    pub fn samples(points: Array2<f64>) -> Result<Self, NodesError> {
        let n = points.nrows();
        Self::new(points, Array1::from_elem(n, 1.0 / n as f64))
    }

    /// The Gauss–Hermite rule for N(0, I) in `dimensions` dimensions, n nodes along each: exact for polynomials of degree
    /// below 2n in each coordinate.
    ///
    /// # Panics
    /// If n is 0 or greater than 150, beyond which the outer weights underflow.
    pub fn gauss_hermite(n: usize, dimensions: usize) -> Self {
        assert!(
            (1..=150).contains(&n),
            "gauss_hermite: expected 1 to 150 nodes, found {n}"
        );
        product(&hermite_rule(n), dimensions)
    }

    /// The trapezium rule for N(0, I) in `dimensions` dimensions: `n` equally spaced nodes along each, over 9 deviations to
    /// each side, where the density is 10⁻¹⁸.
    ///
    /// For a function that is analytic in a strip of half-width a about the real line (a logarithm of a mixture is, between
    /// its complex zeros) the error falls as e^(-2πa/h) with the spacing h, sooner than that of Gauss–Hermite, which is the
    /// better one only for what is close to a polynomial.
    ///
    /// # Panics
    /// If n is less than 2.
    pub fn standard_normal(n: usize, dimensions: usize) -> Self {
        assert!(
            n >= 2,
            "standard_normal: expected at least 2 nodes, found {n}"
        );
        let at = |i: usize| 9.0 * (2.0 * i as f64 / (n - 1) as f64 - 1.0);
        let density = |x: f64| (-0.5 * x * x).exp() / TAU.sqrt();
        let total: f64 = (0..n).map(|i| density(at(i))).sum();
        let rule: Vec<(f64, f64)> = (0..n).map(|i| (at(i), density(at(i)) / total)).collect();
        product(&rule, dimensions)
    }

    /// The points x = m + Lε for the points ε, with the same weights: from a rule for N(0, I) one for N(m, LLᵀ), of any
    /// mean m of shape (k) and any matrix L of shape (k, d).
    ///
    /// ```
    /// use elbo::kl::Nodes;
    /// use ndarray::{arr1, arr2};
    ///
    /// // N(m, LLᵀ) with the covariance [[4, 2], [2, 10]]: E x₁x₂ = 2 + m₁m₂.
    /// let (mean, factor) = (arr1(&[1.0, -1.0]), arr2(&[[2.0, 0.0], [1.0, 3.0]]));
    /// let nodes = Nodes::gauss_hermite(3, 2).affine(&mean, &factor);
    /// let products = &nodes.points().column(0) * &nodes.points().column(1);
    /// assert!((nodes.weights().dot(&products) - 1.0).abs() < 1e-14);
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit, or a coordinate of a point is no longer finite.
    pub fn affine(&self, mean: &Array1<f64>, factor: &Array2<f64>) -> Self {
        assert!(
            factor.dim() == (mean.len(), self.points.ncols()),
            "affine: shapes {:?} (mean), {:?} (factor) and {:?} (points) do not fit",
            mean.shape(),
            factor.shape(),
            self.points.shape()
        );
        let points = self.points.dot(&factor.t()) + mean;
        assert!(
            points.iter().all(|x| x.is_finite()),
            "affine: expected finite coordinates, found NaN or infinity"
        );
        Self {
            points,
            weights: self.weights.clone(),
        }
    }

    /// The points, in rows, of shape (n, d).
    pub fn points(&self) -> &Array2<f64> {
        &self.points
    }

    /// The weights, of shape (n), of sum 1.
    pub fn weights(&self) -> &Array1<f64> {
        &self.weights
    }

    /// Their mean and covariance. The Gaussian that has them is nearest in forward divergence; for samples it is the most
    /// likely one ([notes](crate::kl#forward-kl-moment-matching)).
    pub fn moments(&self) -> Moments {
        Moments::of(self.points.view(), self.weights.view())
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Without the points of weight 0, at which a function need not even be defined.
    pub(super) fn support(&self) -> Self {
        let kept: Vec<usize> = (0..self.len()).filter(|&i| self.weights[i] > 0.0).collect();
        Self {
            points: self.points.select(Axis(0), &kept),
            weights: self.weights.select(Axis(0), &kept),
        }
    }
}

/// Every combination of a rule's nodes along each dimension, with the product of the weights.
fn product(rule: &[(f64, f64)], dimensions: usize) -> Nodes {
    let n = rule.len();
    let count = n.pow(u32::try_from(dimensions).expect("few dimensions"));
    let digit = |i: usize, j: usize| rule[i / n.pow(j as u32) % n];
    Nodes {
        points: Array2::from_shape_fn((count, dimensions), |(i, j)| digit(i, j).0),
        weights: Array1::from_shape_fn(count, |i| (0..dimensions).map(|j| digit(i, j).1).product()),
    }
}

/// Nodes and weights of Gauss–Hermite quadrature under N(0, 1). The nodes are the roots of the orthonormal Hermite
/// polynomial h_n. Between two roots of h_n lies one of h_(n-1), which brackets them for a bisection; the weights are
/// 1 / Σ_(k<n) h_k².
fn hermite_rule(n: usize) -> Vec<(f64, f64)> {
    let mut roots: Vec<f64> = Vec::new();
    for degree in 1..=n {
        let bound = 2.0 * (degree as f64).sqrt() + 1.0;
        let ends = [&[-bound], roots.as_slice(), &[bound]].concat();
        roots = ends
            .windows(2)
            .map(|ends| bisect(|x| hermite(degree, x).0, ends[0], ends[1]))
            .collect();
    }
    roots
        .into_iter()
        .map(|x| (x, 1.0 / hermite(n, x).1))
        .collect()
}

/// h_n(x) and Σ_(k<n) h_k(x)², orthonormal under N(0, 1): √(k+1) h_(k+1) = x h_k - √k h_(k-1).
fn hermite(n: usize, x: f64) -> (f64, f64) {
    let (mut before, mut last, mut squares) = (0.0, 1.0, 0.0);
    for k in 0..n {
        squares += last * last;
        let next = (x * last - (k as f64).sqrt() * before) / ((k + 1) as f64).sqrt();
        (before, last) = (last, next);
    }
    (last, squares)
}

/// The place where a function changes its sign, to the last digit.
pub(super) fn bisect(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let rising = f(high) > 0.0;
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        if (f(middle) > 0.0) == rising {
            high = middle;
        } else {
            low = middle;
        }
    }
}
