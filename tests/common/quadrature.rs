//! Quadrature rules: expectations under a Gaussian by Gauss–Hermite, integrals over a range by Gauss–Legendre and by
//! the trapezium rule.

use std::f64::consts::PI;

use ndarray::{Array1, Array2};

/// What a quadrature that is exact but for rounding may differ by.
pub const QUADRATURE: f64 = 1e-12;

/// Nodes and weights with Σ w f(ε) = E f(ε) for ε ~ N(0, 1) and every polynomial f of degree below 2n: Gauss–Hermite
/// quadrature.
///
/// The nodes are the roots of the orthonormal Hermite polynomial h_n. Between two roots of h_n lies one of h_(n-1), which
/// brackets them for a bisection; the weights are 1 / Σ_(k<n) h_k².
pub fn gauss_hermite(n: usize) -> Vec<(f64, f64)> {
    let mut roots: Vec<f64> = Vec::new();
    for degree in 1..=n {
        let bound = 2.0 * (degree as f64).sqrt() + 1.0;
        let ends = [&[-bound], roots.as_slice(), &[bound]].concat();
        let last = |x: f64| hermite(degree, x)[degree];
        roots = ends
            .windows(2)
            .map(|ends| bisect(last, ends[0], ends[1]))
            .collect();
    }
    let weight = |x| 1.0 / hermite(n - 1, x).iter().map(|h: &f64| h * h).sum::<f64>();
    roots.into_iter().map(|x| (x, weight(x))).collect()
}

/// h_0 to h_n, orthonormal under N(0, 1): √(k+1) h_(k+1) = x h_k - √k h_(k-1).
fn hermite(n: usize, x: f64) -> Vec<f64> {
    let mut h = vec![1.0, x];
    for k in 1..n {
        let (root, next) = ((k as f64).sqrt(), ((k + 1) as f64).sqrt());
        h.push((x * h[k] - root * h[k - 1]) / next);
    }
    h.truncate(n + 1);
    h
}

fn bisect(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let rising = f(high) > 0.0;
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        match (f(middle) > 0.0) == rising {
            true => high = middle,
            false => low = middle,
        }
    }
}

/// The product of `d` Gauss–Hermite rules of `n` nodes: every combination of nodes as a row, and its weight.
pub fn gauss_hermite_grid(n: usize, d: usize) -> (Array2<f64>, Array1<f64>) {
    let rule = gauss_hermite(n);
    let digit = |i: usize, j: usize| rule[i / n.pow(j as u32) % n];
    let count = n.pow(d as u32);
    (
        Array2::from_shape_fn((count, d), |(i, j)| digit(i, j).0),
        Array1::from_shape_fn(count, |i| (0..d).map(|j| digit(i, j).1).product()),
    )
}

/// Nodes and weights with Σ w f(x) = ∫ f dx over [0, 1] for every polynomial f of degree below 2n: Gauss–Legendre
/// quadrature, its nodes by Newton's method.
pub fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let legendre = |x: f64| {
        let (mut last, mut p) = (1.0, x);
        for k in 1..n {
            let k = k as f64;
            (last, p) = (p, ((2.0 * k + 1.0) * x * p - k * last) / (k + 1.0));
        }
        (p, n as f64 * (x * p - last) / (x * x - 1.0))
    };
    let node = |i: usize| {
        let mut x = ((i as f64 + 0.75) / (n as f64 + 0.5) * PI).cos();
        for _ in 0..20 {
            let (p, slope) = legendre(x);
            x -= p / slope;
        }
        let slope = legendre(x).1;
        (0.5 * (x + 1.0), 1.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..n).map(node).collect()
}

/// ∫ f over a range by the trapezium rule: exact but for rounding for functions that fall off smoothly at both ends.
pub fn trapezium(low: f64, high: f64, points: usize, f: impl Fn(f64) -> f64) -> f64 {
    let step = (high - low) / (points - 1) as f64;
    (0..points).map(|i| f(low + step * i as f64)).sum::<f64>() * step
}
