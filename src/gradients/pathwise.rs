//! The gradient along the path of a sample ([notes](crate::gradients#reparameterisation)).

use ndarray::ArrayView2;

use super::draws::{Draws, GradientError, side_by_side, values_of};
use crate::autodiff::{Tape, Var};
use crate::distributions::{DiagonalGaussian, GaussianParameters};

/// The gradients d f(q, z)/dφ, z = μ + σ ⊙ ε, of single draws with the noise ε ~ N(0, I) in rows: their mean is unbiased
/// for ∇_φ E_q f if f is differentiable in z but for a null set, and without jumps.
///
/// `f` receives q, with parameters in a row for each draw, and z, both of shape (n, d), and returns shape (n); its entry i
/// must depend on row i alone. Whether log q(z) within f moves with φ is f's own decision:
/// [`estimator_a`](super::estimator_a), [`sticking_the_landing`](super::sticking_the_landing).
///
/// ```
/// use elbo::gradients::{GaussianParameters, pathwise_gradient};
/// use ndarray::{arr1, arr2};
///
/// let q = GaussianParameters { mean: arr1(&[3.0]), log_variance: arr1(&[0.0]) };
/// let draws = pathwise_gradient(&q, arr2(&[[0.5], [-0.5]]).view(), |_, z| z.square().sum_last())?;
/// // ∂μ = 2z and ∂s = z σ ε.
/// assert_eq!(draws.gradients(), arr2(&[[7.0, 1.75], [5.0, -1.25]]));
/// assert_eq!(draws.estimate().entries[0].mean, 6.0);
/// # Ok::<(), elbo::gradients::GradientError>(())
/// ```
///
/// # Errors
/// If there are no draws, or parameters, noise, f or a gradient are not finite.
///
/// # Panics
/// If the shapes do not fit, or `f` does not give one value for each draw.
pub fn pathwise_gradient(
    q: &GaussianParameters,
    noise: ArrayView2<'_, f64>,
    f: impl for<'t> Fn(&DiagonalGaussian<'t, f64>, Var<'t, f64>) -> Var<'t, f64>,
) -> Result<Draws, GradientError> {
    q.check("pathwise_gradient", noise)?;
    let tape = Tape::new();
    let q = q.for_each_draw(&tape, noise.nrows());
    let z = q.sample(tape.constant(noise));
    let f = f(&q, z);
    let values = values_of("pathwise_gradient", f, noise.nrows())?;
    let gradients = tape.gradients(f.sum());
    let parts = [q.mean, q.log_variance].map(|phi| gradients.wrt(phi));
    Draws::new(values, side_by_side(&parts))
}
