//! Numbers that change in the course of a training.

/// A number as a function of the step: a learning rate, the β of a warm-up, a capacity.
///
/// ```
/// use elbo::nn::Schedule;
///
/// let beta = Schedule::linear(0.0, 4.0, 100);
/// assert_eq!([beta.at(0), beta.at(50), beta.at(100), beta.at(1000)], [0.0, 2.0, 4.0, 4.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "cli", serde(rename_all = "kebab-case", tag = "kind"))]
pub enum Schedule {
    /// The same number at every step.
    Constant {
        /// That number.
        value: f64,
    },
    /// On a straight line from one number to another, where it stays.
    Linear {
        /// At step 0.
        from: f64,
        /// From step `steps` on.
        to: f64,
        /// How long the way is.
        steps: usize,
    },
    /// One number after another.
    Piecewise {
        /// The step from which each number holds, in ascending order, and the number. The first holds before its step
        /// too.
        pieces: Vec<(usize, f64)>,
    },
}

impl Schedule {
    /// The same number at every step.
    pub fn constant(value: f64) -> Self {
        Self::Constant { value }
    }

    /// From one number to another in so many steps.
    pub fn linear(from: f64, to: f64, steps: usize) -> Self {
        Self::Linear { from, to, steps }
    }

    /// Numbers, each from a step on.
    ///
    /// # Panics
    /// If there is none, or the steps do not ascend.
    pub fn piecewise(pieces: Vec<(usize, f64)>) -> Self {
        assert!(
            !pieces.is_empty() && pieces.is_sorted_by(|a, b| a.0 < b.0),
            "a schedule needs pieces whose steps ascend, found {pieces:?}"
        );
        Self::Piecewise { pieces }
    }

    /// Are there pieces, in ascending order, and are all numbers finite? What was read from a file may be otherwise.
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Constant { value } => value.is_finite(),
            Self::Linear { from, to, .. } => from.is_finite() && to.is_finite(),
            Self::Piecewise { pieces } => {
                let finite = pieces.iter().all(|(_, value)| value.is_finite());
                finite && !pieces.is_empty() && pieces.is_sorted_by(|a, b| a.0 < b.0)
            }
        }
    }

    /// The least of all numbers that it takes.
    pub fn least(&self) -> f64 {
        match self {
            Self::Constant { value } => *value,
            Self::Linear { from, to, .. } => from.min(*to),
            Self::Piecewise { pieces } => {
                let numbers = pieces.iter().map(|&(_, number)| number);
                numbers.fold(f64::INFINITY, f64::min)
            }
        }
    }

    /// The number at a step, counted from 0.
    ///
    /// # Panics
    /// If a schedule of pieces has none.
    pub fn at(&self, step: usize) -> f64 {
        match self {
            Self::Constant { value } => *value,
            Self::Linear { to, steps, .. } if step >= *steps => *to,
            Self::Linear { from, to, steps } => from + (to - from) * (step as f64 / *steps as f64),
            Self::Piecewise { pieces } => {
                let after = pieces.partition_point(|&(from, _)| from <= step);
                pieces[after.saturating_sub(1)].1
            }
        }
    }
}

impl From<f64> for Schedule {
    fn from(value: f64) -> Self {
        Self::constant(value)
    }
}
