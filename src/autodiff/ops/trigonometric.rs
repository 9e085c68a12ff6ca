//! Sine and cosine.

use crate::Scalar;
use crate::autodiff::Var;

impl<T: Scalar> Var<'_, T> {
    /// sin x, for x in radians, entry by entry, with derivative cos x.
    ///
    /// ```
    /// use elbo::autodiff::Tape;
    /// use ndarray::arr1;
    ///
    /// let tape = Tape::new();
    /// let x = tape.variable(arr1(&[0.0, 1.0]));
    /// let y = x.sin();
    /// assert_eq!(y.value(), arr1(&[0.0, 1f64.sin()]).into_dyn());
    /// assert_eq!(tape.gradients(y.sum()).wrt(x), arr1(&[1.0, 1f64.cos()]).into_dyn());
    /// ```
    pub fn sin(self) -> Self {
        self.map("sin", T::sin, |p| p.cotangent.times_slope(p.input(0).cos()))
    }

    /// cos x, for x in radians, entry by entry, with derivative -sin x.
    ///
    /// ```
    /// use elbo::autodiff::Tape;
    /// use ndarray::arr1;
    ///
    /// let tape = Tape::new();
    /// let x = tape.variable(arr1(&[0.0, 1.0]));
    /// let y = x.cos();
    /// assert_eq!(y.value(), arr1(&[1.0, 1f64.cos()]).into_dyn());
    /// assert_eq!(tape.gradients(y.sum()).wrt(x), arr1(&[0.0, -1f64.sin()]).into_dyn());
    /// ```
    pub fn cos(self) -> Self {
        self.map("cos", T::cos, |p| {
            p.cotangent.times_slope(-p.input(0).sin())
        })
    }
}
