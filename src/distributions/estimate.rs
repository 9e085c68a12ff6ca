//! Means of independent draws, with what they are worth.

use std::error::Error;
use std::fmt::{self, Display};

/// The mean of independent draws as an estimate of their expectation, and how far it may be off
/// ([notes](crate::background#monte-carlo-expectation)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// m = (1/n) Σ fᵢ: unbiased, E m = E f.
    pub mean: f64,
    /// √(s²/n) with s² = Σ (fᵢ - m)²/(n-1): the deviation of m, itself estimated from the draws. Infinite where the
    /// draws do not tell it: if there is only one, or if one of them is infinite or its square overflows.
    pub standard_error: f64,
    /// n.
    pub draws: usize,
}

/// Why draws have no mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EstimateError {
    /// There are none.
    NoDraws,
    /// The draw with this index is NaN.
    NotANumber(usize),
    /// Some draws are ∞ and others -∞, as found at this index.
    Indefinite(usize),
}

impl Display for EstimateError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::NoDraws => write!(f, "expected at least one draw, found none; draw some"),
            Self::NotANumber(index) => write!(
                f,
                "expected numbers, found NaN as draw {index}; see what the function does at that point"
            ),
            Self::Indefinite(index) => write!(
                f,
                "expected a mean, found draws of ∞ and of -∞, the first of the other sign as draw {index}: the \
                 expectation does not exist"
            ),
        }
    }
}

impl Error for EstimateError {}

impl Estimate {
    /// The mean of draws and its standard error, in one pass.
    ///
    /// Draws of ∞ (or of -∞) make the mean ∞ (or -∞), as they make the expectation.
    ///
    /// ```
    /// use elbo::distributions::Estimate;
    ///
    /// let estimate = Estimate::of([1.0, 2.0, 3.0, 4.0])?;
    /// assert_eq!(estimate.mean, 2.5);
    /// assert_eq!(estimate.standard_error, (5.0f64 / 3.0 / 4.0).sqrt());
    /// # Ok::<(), elbo::distributions::EstimateError>(())
    /// ```
    ///
    /// # Errors
    /// If there are no draws, if one is NaN, or if some are ∞ and others -∞.
    pub fn of(draws: impl IntoIterator<Item = f64>) -> Result<Self, EstimateError> {
        let (mut count, mut mean, mut squares) = (0, 0.0, 0.0);
        let mut infinite: Option<f64> = None;
        for (index, draw) in draws.into_iter().enumerate() {
            count += 1;
            if draw.is_nan() {
                return Err(EstimateError::NotANumber(index));
            }
            if draw.is_infinite() {
                if infinite.is_some_and(|other| other != draw) {
                    return Err(EstimateError::Indefinite(index));
                }
                infinite = Some(draw);
                continue;
            }
            // Welford's update of Σ(f - m)²: Σf² - n m² would cancel where the mean is large.
            let before = draw - mean;
            mean += match before.is_finite() {
                true => before / count as f64,
                false => draw / count as f64 - mean / count as f64,
            };
            squares += before * (draw - mean);
        }
        let standard_error = match (count, infinite) {
            (0, _) => return Err(EstimateError::NoDraws),
            (1, _) | (_, Some(_)) => f64::INFINITY,
            // The squares of huge draws overflow.
            (_, None) if !squares.is_finite() => f64::INFINITY,
            (n, None) => (squares / (n - 1) as f64 / n as f64).sqrt(),
        };
        Ok(Self {
            mean: infinite.unwrap_or(mean),
            standard_error,
            draws: count,
        })
    }

    /// s² = n (standard error)², the estimated variance of one draw.
    pub fn variance(&self) -> f64 {
        self.standard_error.powi(2) * self.draws as f64
    }

    /// (m - exact) in standard errors; about N(0, 1) for many draws of finite variance. 0 where both are equal, and ∞ or
    /// -∞ where only one is finite.
    pub fn distance(&self, exact: f64) -> f64 {
        let difference = self.mean - exact;
        if self.mean == exact {
            0.0
        } else if difference.is_infinite() {
            difference
        } else {
            difference / self.standard_error
        }
    }
}

impl Display for Estimate {
    /// `1.2345 ± 0.0067 (n = 1000)`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let decimals = match self.standard_error.log10().floor() {
            magnitude if magnitude.is_finite() => (1.0 - magnitude).clamp(0.0, 17.0) as usize,
            _ => 4,
        };
        let Self {
            mean,
            standard_error,
            draws,
        } = self;
        write!(
            f,
            "{mean:.decimals$} ± {standard_error:.decimals$} (n = {draws})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_keeps_its_digits_far_from_zero() {
        let offset = 1e9;
        let estimate = Estimate::of([1.0, 2.0, 4.0].map(|x| x + offset)).unwrap();
        assert!((estimate.mean - offset - 7.0 / 3.0).abs() < 1e-6);
        assert!((estimate.variance() - 7.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn what_has_no_mean_is_an_error_and_what_has_no_error_says_so() {
        let of = |draws: &[f64]| Estimate::of(draws.iter().copied());
        let inf = f64::INFINITY;
        assert_eq!(of(&[]), Err(EstimateError::NoDraws));
        assert_eq!(of(&[1.0, f64::NAN]), Err(EstimateError::NotANumber(1)));
        assert_eq!(of(&[inf, 1.0, -inf]), Err(EstimateError::Indefinite(2)));
        assert_eq!(of(&[3.0]).unwrap().standard_error, inf);
        let unlikely = of(&[1.0, -inf, 2.0]).unwrap();
        assert_eq!((unlikely.mean, unlikely.standard_error), (-inf, inf));
        assert_eq!(
            (unlikely.distance(-inf), unlikely.distance(0.0)),
            (0.0, -inf)
        );
        let huge = of(&[f64::MAX, -f64::MAX, 0.0]).unwrap();
        assert!(huge.mean.abs() < 1e300 && huge.standard_error == inf);
        let constant = of(&[2.0, 2.0]).unwrap();
        assert_eq!(
            (constant.standard_error, constant.distance(2.0)),
            (0.0, 0.0)
        );
    }

    #[test]
    fn shown_to_two_digits_of_the_error() {
        let shown = |mean, standard_error| {
            Estimate {
                mean,
                standard_error,
                draws: 10,
            }
            .to_string()
        };
        assert_eq!(shown(1.23456, 0.0123), "1.235 ± 0.012 (n = 10)");
        assert_eq!(shown(123.4, 20.0), "123 ± 20 (n = 10)");
        assert_eq!(shown(1.0, f64::INFINITY), "1.0000 ± inf (n = 10)");
    }
}
