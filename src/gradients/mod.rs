#![doc = include_str!("../../docs/gradients.md")]

mod bound;
mod draws;
mod pathwise;
mod products;
mod score;
mod selection;
mod softmax;
mod variance;

pub use crate::distributions::GaussianParameters;
pub use bound::{estimator_a, estimator_b, sticking_the_landing};
pub use draws::{Draws, GradientError, GradientEstimate};
pub use pathwise::pathwise_gradient;
pub use products::{hessian_product, push_forward};
pub use score::{Baseline, best_baseline, categorical_score_gradient, score_gradient};
pub use selection::{NearestError, nearest, straight_through};
pub use softmax::softmax_jacobian;
pub use variance::{SquareVariances, square_variances};
