#![doc = include_str!("../../docs/background.md")]

mod bayes;
mod conjugate;
mod error;
mod evidence;
mod expectation;
mod jensen;
mod likelihood;
mod score;

pub use bayes::{Posterior, bayes, posterior};
pub use conjugate::{Beta, UnivariateGaussian};
pub use error::BadData;
pub(crate) use error::{
    check_distribution, check_log_distribution, check_log_numbers, check_numbers,
};
pub use evidence::{LinearGaussian, enumerate};
pub use expectation::{expectation, monte_carlo, variance};
pub use jensen::{Jensen, jensen, log_normal_jensen};
pub use likelihood::{
    Trials, gaussian_log_likelihood, gaussian_maximum_likelihood, gaussian_score,
};
pub use score::{categorical_gradient, categorical_scores, gaussian_score_at, log_derivative};
