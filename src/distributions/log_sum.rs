//! The logarithm of a sum that is too long, or too large, to be formed at once.

/// log Σ e^x of numbers x that come one by one: the largest so far, and the sum relative to it.
#[derive(Clone, Copy, Debug)]
pub struct LogSum {
    max: f64,
    scaled: f64,
}

impl Default for LogSum {
    fn default() -> Self {
        Self {
            max: f64::NEG_INFINITY,
            scaled: 0.0,
        }
    }
}

impl LogSum {
    pub fn add(&mut self, x: f64) {
        if x == f64::NEG_INFINITY {
            // A weight of 0 adds nothing, and x - max would be NaN were it the first.
            return;
        }
        if x <= self.max {
            self.scaled += (x - self.max).exp();
        } else {
            // Also where x is NaN: it is to be seen in the result.
            self.scaled = self.scaled * (self.max - x).exp() + 1.0;
            self.max = x;
        }
    }

    pub fn value(&self) -> f64 {
        self.max + self.scaled.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::LogSum;

    fn streamed(numbers: &[f64]) -> f64 {
        let mut sum = LogSum::default();
        numbers.iter().for_each(|&x| sum.add(x));
        sum.value()
    }

    #[test]
    fn a_stream_has_the_logsumexp_of_its_numbers() {
        let numbers = [-3.0, 1.5, 0.2, 7.0, 6.9, -100.0];
        let direct = numbers.iter().map(|x: &f64| x.exp()).sum::<f64>().ln();
        assert!((streamed(&numbers) - direct).abs() < 1e-14);
        let far: Vec<f64> = numbers.iter().map(|x| x - 5000.0).collect();
        assert!((streamed(&far) - (direct - 5000.0)).abs() < 1e-11);
    }

    #[test]
    fn impossible_weights_count_for_nothing() {
        assert_eq!(streamed(&[f64::NEG_INFINITY, 0.0]), 0.0);
        assert_eq!(streamed(&[f64::NEG_INFINITY; 2]), f64::NEG_INFINITY);
        assert!(streamed(&[0.0, f64::NAN, 1.0]).is_nan());
    }
}
