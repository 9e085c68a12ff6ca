//! What the chapters' tests share: random arrays, comparing, quadrature, statistics.

use elbo::autodiff::{Value, check::Report};
use ndarray::{ArrayD, IxDyn};
use rand::Rng;
use rand::rngs::StdRng;

pub fn random(rng: &mut StdRng, shape: &[usize]) -> ArrayD<f64> {
    ArrayD::from_shape_simple_fn(IxDyn(shape), || rng.random_range(-2.0..2.0))
}

pub fn owned(value: Value<f64>) -> ArrayD<f64> {
    value.into_owned()
}

/// The largest differences met, each relative to the scale of what was compared.
#[derive(Default)]
pub struct Worst(f64);

impl Worst {
    pub fn entries(&mut self, found: &ArrayD<f64>, expected: &ArrayD<f64>) {
        assert_eq!(found.shape(), expected.shape());
        let scale = expected.iter().fold(0.0, |s: f64, x| s.max(x.abs()));
        for (found, expected) in found.iter().zip(expected) {
            self.number(*found, *expected, scale);
        }
    }

    pub fn number(&mut self, found: f64, expected: f64, scale: f64) {
        assert!(
            found.is_finite() && expected.is_finite(),
            "{found} {expected}"
        );
        let difference = (found - expected).abs();
        if difference > 0.0 {
            self.0 = self.0.max(difference / scale);
        }
    }

    pub fn within(self, tolerance: f64, what: &str) {
        println!(
            "{what}: worst difference {:.1e}, allowed {tolerance:.1e}",
            self.0
        );
        assert!(self.0 <= tolerance, "{what}: {:e} > {tolerance:e}", self.0);
    }
}

/// What several runs of the gradient checker looked at.
#[derive(Default)]
pub struct Checked {
    entries: usize,
    worst: f64,
}

impl Checked {
    pub fn add(&mut self, report: Report) {
        self.entries += report.entries;
        self.worst = self.worst.max(report.worst);
    }

    pub fn tell(self, what: &str) {
        println!(
            "{what}: {} entries of Jacobians, worst {:.1e} of what is allowed",
            self.entries, self.worst
        );
    }
}

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

/// Mean and standard error of independent draws.
#[derive(Clone, Copy, Default)]
pub struct Statistics {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Statistics {
    pub fn of<'a>(draws: impl IntoIterator<Item = &'a f64>) -> Self {
        let mut statistics = Self::default();
        for &draw in draws {
            // Welford's update: Σ(x - mean)² without the cancellation of Σx² - n mean².
            statistics.count += 1.0;
            let before = draw - statistics.mean;
            statistics.mean += before / statistics.count;
            statistics.squares += before * (draw - statistics.mean);
        }
        statistics
    }

    /// How many standard errors the mean is away from `exact`; 0 for what is no further than rounding.
    pub fn distance(&self, exact: f64, rounding: f64) -> f64 {
        let standard_error = (self.squares / (self.count - 1.0) / self.count).sqrt();
        let difference = self.mean - exact;
        if difference.abs() <= rounding {
            return 0.0;
        }
        difference / standard_error
    }

    /// The distance to `exact`, without its sign: at most 4 standard errors, and told.
    pub fn agree_with(&self, exact: f64, what: &str) -> f64 {
        let distance = self.distance(exact, 0.0);
        println!(
            "{what}: mean {:.6} of {} draws, exact {exact:.6}, {distance:+.2} standard errors",
            self.mean, self.count
        );
        assert!(
            distance.abs() <= 4.0,
            "{what}: {distance} standard errors off"
        );
        distance.abs()
    }
}
