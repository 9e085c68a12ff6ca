//! Comparing what the code computes with what is expected: the worst difference over a whole test, and the gradient
//! checker's reports.

use elbo::autodiff::check::Report;
use ndarray::ArrayD;

use super::reporting::compare;

/// What rearranging a sum in f64 may change, relative to the largest entry.
pub const REARRANGED: f64 = 1e-13;

/// The largest difference met so far, relative to the scale of what was compared.
#[derive(Default)]
pub struct Worst(f64);

impl Worst {
    /// Compares two arrays entry by entry, relative to the largest entry expected.
    pub fn entries(&mut self, found: &ArrayD<f64>, expected: &ArrayD<f64>) {
        assert_eq!(found.shape(), expected.shape());
        let scale = expected.iter().fold(0.0, |s: f64, x| s.max(x.abs()));
        for (found, expected) in found.iter().zip(expected) {
            self.number(*found, *expected, scale);
        }
    }

    /// Compares two numbers, relative to `scale`; both must be finite.
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

    /// Compares two numbers, relative to the one expected.
    pub fn relative(&mut self, found: f64, expected: f64) {
        self.number(found, expected, expected.abs());
    }

    /// Prints the largest difference and fails if it exceeds `tolerance`.
    pub fn within(self, tolerance: f64, what: &str) {
        println!(
            "{what}: worst difference {:.1e}, allowed {tolerance:.1e}",
            self.0
        );
        assert!(
            self.0 <= tolerance,
            "{what}: the worst difference is {:e}, allowed are {tolerance:e}: the code does not compute what the section derives",
            self.0
        );
        compare(&format!("{what} ; {tolerance:.1e} ; {:.1e}", self.0));
    }
}

/// What several runs of the gradient checker compared.
#[derive(Default)]
pub struct Checked {
    entries: usize,
    worst: f64,
}

impl Checked {
    /// Adds the report of one run.
    pub fn add(&mut self, report: Report) {
        self.entries += report.entries;
        self.worst = self.worst.max(report.worst);
    }

    /// Prints how many entries were compared, and how close the worst came to what is allowed.
    pub fn print(self, what: &str) {
        println!(
            "{what}: {} entries of Jacobians, worst {:.1e} of what is allowed",
            self.entries, self.worst
        );
        compare(&format!(
            "{what}: {} entries of Jacobians = finite differences",
            self.entries
        ));
    }
}
