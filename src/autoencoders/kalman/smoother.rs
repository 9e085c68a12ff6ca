//! What later observations say of earlier states.

use ndarray::{Array2, Axis, concatenate, s};

use super::StateSpace;
use crate::autodiff::{Tape, array};
use crate::distributions::{GaussianError, Moments};

/// p(z_t|x₁, …, x_T) for every t <= T, and how neighbouring states hang together.
#[derive(Clone, Debug, PartialEq)]
pub struct Smoothed {
    /// p(z_t|x₁, …, x_T), one for each time.
    pub states: Vec<Moments>,
    /// J_t with E[z_t|z_(t+1), x₁, …, x_T] = m_t + J_t (z_(t+1) - m_(t+1)), one for each time but the last.
    pub gains: Vec<Array2<f64>>,
}

impl StateSpace {
    /// The smoother of Rauch, Tung and Striebel, from the filter's states: backwards in time,
    ///
    /// m_t + J (m'_(t+1) - A m_t) and P_t + J (P'_(t+1) - S) Jᵀ, with S = A P_t Aᵀ + Q and J = P_t Aᵀ S⁻¹.
    ///
    /// # Errors
    /// If a covariance is none by rounding.
    pub fn smooth(&self, filtered: &[Moments]) -> Result<Smoothed, GaussianError> {
        let mut states: Vec<Moments> = filtered.last().cloned().into_iter().collect();
        let mut gains = Vec::new();
        for state in filtered.iter().rev().skip(1) {
            let (expected, gain) = (self.predict(state), self.gain(state)?);
            let later = &states[states.len() - 1];
            let news = &later.covariance - &expected.covariance;
            states.push(Moments {
                mean: &state.mean + &gain.dot(&(&later.mean - &expected.mean)),
                covariance: &state.covariance + &super::conjugated(&gain, &news),
            });
            gains.push(gain);
        }
        states.reverse();
        gains.reverse();
        Ok(Smoothed { states, gains })
    }

    /// J = P Aᵀ S⁻¹ with S = A P Aᵀ + Q: how much of a difference in the next state is put down to this one.
    fn gain(&self, state: &Moments) -> Result<Array2<f64>, GaussianError> {
        let tape = Tape::new();
        let expected = self.predict(state).on(&tape)?;
        let moved = tape.constant(self.transition.dot(&state.covariance));
        let factor = expected.factor();
        let transposed = factor.solve_lower_transposed(factor.solve_lower(moved));
        Ok(array(transposed.t().value()))
    }
}

impl Smoothed {
    /// p(z_t1, z_t2|x₁, …, x_T), of 2k dimensions, for t₁ < t₂ counted from 0: the covariance between the two is
    /// J_t1 … J_(t2-1) P_t2.
    ///
    /// # Panics
    /// If t₂ is not after t₁, or there is no such time.
    pub fn pair(&self, earlier: usize, later: usize) -> Moments {
        assert!(
            earlier < later,
            "expected a time after {earlier}, found {later}"
        );
        let [first, second] = [earlier, later].map(|t| &self.states[t]);
        let covariance = (self.gains[earlier..later].iter().rev())
            .fold(second.covariance.clone(), |product, gain| {
                gain.dot(&product)
            });
        together(first, second, &covariance)
    }
}

/// The joint moments of two vectors, from each one's own and the covariance between them.
pub(super) fn together(first: &Moments, second: &Moments, between: &Array2<f64>) -> Moments {
    let k = first.mean.len();
    let size = k + second.mean.len();
    let mut covariance = Array2::zeros((size, size));
    covariance.slice_mut(s![..k, ..k]).assign(&first.covariance);
    covariance
        .slice_mut(s![k.., k..])
        .assign(&second.covariance);
    covariance.slice_mut(s![..k, k..]).assign(between);
    covariance.slice_mut(s![k.., ..k]).assign(&between.t());
    Moments {
        mean: concatenate![Axis(0), first.mean, second.mean],
        covariance,
    }
}
