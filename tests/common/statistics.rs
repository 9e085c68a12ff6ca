//! Statistics of random draws, and the slope of a line through points.

use elbo::distributions::Estimate;

use super::reporting::compare;

/// The mean and standard error of independent draws.
#[derive(Clone, Copy, Default)]
pub struct Statistics {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Statistics {
    /// The statistics of these draws.
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

    /// How many standard errors the mean is away from `exact`; 0 if it is within rounding.
    pub fn distance(&self, exact: f64, rounding: f64) -> f64 {
        let standard_error = (self.squares / (self.count - 1.0) / self.count).sqrt();
        let difference = self.mean - exact;
        if difference.abs() <= rounding {
            return 0.0;
        }
        difference / standard_error
    }

    /// Prints the distance to `exact` and fails if it is more than 4 standard errors; returns it without its sign.
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
        compare(&format!(
            "{what}: mean {:.6} of {} draws, exact {exact:.6} ; 4 standard errors ; {distance:+.2}",
            self.mean, self.count
        ));
        distance.abs()
    }
}

/// Prints the distance of an estimate to `exact` and fails if it is more than 4 standard errors; returns it without its
/// sign.
pub fn estimate_agrees(estimate: Estimate, exact: f64, what: &str) -> f64 {
    let distance = estimate.distance(exact).abs();
    println!("{what}: {estimate}, exact {exact:.6}, {distance:.2} standard errors");
    assert!(distance <= 4.0, "{what}: {estimate} and {exact}");
    compare(&format!(
        "{what}: {estimate}, exact {exact:.6} ; 4 standard errors ; {distance:.2}"
    ));
    distance
}

/// The slope of the least-squares line through points.
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let x = points.iter().map(|p| p.0).sum::<f64>() / n;
    let y = points.iter().map(|p| p.1).sum::<f64>() / n;
    let product: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let square: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    product / square
}
