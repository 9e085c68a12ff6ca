//! + - × ÷ and negation, on handles and on plain numbers.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::Scalar;
use crate::autodiff::Var;

impl<T: Scalar> Add for Var<'_, T> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.zip_with(other, "add", |a, b| a + b, |p| p.cotangent, |p| p.cotangent)
    }
}

impl<T: Scalar> Sub for Var<'_, T> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.zip_with(
            other,
            "sub",
            |a, b| a - b,
            |p| p.cotangent,
            |p| -p.cotangent,
        )
    }
}

impl<T: Scalar> Mul for Var<'_, T> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        self.zip_with(
            other,
            "mul",
            |a, b| a * b,
            |p| p.cotangent.times_slope(p.input(1)),
            |p| p.cotangent.times_slope(p.input(0)),
        )
    }
}

impl<T: Scalar> Div for Var<'_, T> {
    type Output = Self;

    /// y = a/b: ā = ȳ/b, b̄ = -ȳ y/b.
    fn div(self, other: Self) -> Self {
        self.zip_with(
            other,
            "div",
            |a, b| a / b,
            |p| p.cotangent.over_slope(p.input(1)),
            |p| -p.cotangent.times_slope(p.output).over_slope(p.input(1)),
        )
    }
}

impl<T: Scalar> Neg for Var<'_, T> {
    type Output = Self;

    fn neg(self) -> Self {
        self.map("neg", |x| -x, |p| -p.cotangent)
    }
}

impl<T: Scalar> Add<T> for Var<'_, T> {
    type Output = Self;

    fn add(self, number: T) -> Self {
        self.map("add-number", move |x| x + number, |p| p.cotangent)
    }
}

impl<T: Scalar> Sub<T> for Var<'_, T> {
    type Output = Self;

    fn sub(self, number: T) -> Self {
        self.map("sub-number", move |x| x - number, |p| p.cotangent)
    }
}

impl<T: Scalar> Mul<T> for Var<'_, T> {
    type Output = Self;

    fn mul(self, number: T) -> Self {
        self.map(
            "mul-number",
            move |x| x * number,
            move |p| p.cotangent * number,
        )
    }
}

impl<T: Scalar> Div<T> for Var<'_, T> {
    type Output = Self;

    fn div(self, number: T) -> Self {
        self.map(
            "div-number",
            move |x| x / number,
            move |p| p.cotangent / number,
        )
    }
}

impl<T: Scalar> Var<'_, T> {
    /// ȳ y', and 0 where ȳ is 0, whatever the slope y' is: what was not chosen has no gradient, even where its slope is
    /// infinite or NaN. Derivative rules multiply by this and not by `*`.
    ///
    /// ```
    /// use elbo::autodiff::{Mask, Tape};
    /// use ndarray::arr1;
    ///
    /// let tape = Tape::new();
    /// let x = tape.variable(arr1(&[-1.0, 0.0, 2.0]));
    /// let positive = x.value().mapv(|x| x > 0.0).into_shared();
    /// let y = x.ln().select(&positive, tape.scalar(0.0)).sum();
    /// assert_eq!(tape.gradients(y).wrt(x), arr1(&[0.0, 0.0, 0.5]).into_dyn());
    /// ```
    ///
    /// Rules that sum over products cannot tell which factor was chosen: matrix products, softmax, Cholesky factors and
    /// triangular solves of what is not finite have NaN gradients. There, replace the argument before, not the result
    /// after: `x.select(&valid, one).matmul(w)`.
    ///
    /// # Panics
    /// If the shapes cannot be broadcast against each other.
    pub fn times_slope(self, slope: Self) -> Self {
        self.zip_with(
            slope,
            "times-slope",
            |g, slope| if g == T::zero() { g } else { g * slope },
            |p| p.cotangent.times_slope(p.input(1)),
            |p| p.cotangent.absorbing_product(p.input(0)),
        )
    }

    /// a b, and 0 where either is 0: how [`times_slope`](Var::times_slope), which is 0 for ȳ = 0 and any slope, depends on
    /// the slope.
    pub(crate) fn absorbing_product(self, other: Self) -> Self {
        self.zip_with(
            other,
            "absorbing-product",
            |a, b| {
                if a == T::zero() || b == T::zero() {
                    T::zero()
                } else {
                    a * b
                }
            },
            |p| p.cotangent.absorbing_product(p.input(1)),
            |p| p.cotangent.absorbing_product(p.input(0)),
        )
    }

    /// ȳ / d, and 0 where ȳ is 0, whatever d is: [`times_slope`](Var::times_slope) for a slope 1/d.
    ///
    /// # Panics
    /// If the shapes cannot be broadcast against each other.
    pub fn over_slope(self, divisor: Self) -> Self {
        self.zip_with(
            divisor,
            "over-slope",
            |g, divisor| if g == T::zero() { g } else { g / divisor },
            |p| p.cotangent.over_slope(p.input(1)),
            |p| {
                -p.cotangent
                    .absorbing_product(p.output)
                    .over_slope(p.input(1))
            },
        )
    }

    /// number - x.
    pub fn subtracted_from(self, number: T) -> Self {
        self.map("number-sub", move |x| number - x, |p| -p.cotangent)
    }

    /// number / x: x̄ = -ȳ y/x.
    pub fn dividing(self, number: T) -> Self {
        self.map(
            "number-div",
            move |x| number / x,
            |p| -p.cotangent.times_slope(p.output).over_slope(p.input(0)),
        )
    }
}

/// `1.0 - x` with the number on the left. The orphan rule allows this for named types only, hence a macro.
macro_rules! number_on_the_left {
    ($($number:ty),*) => {$(
        impl<'t> Add<Var<'t, $number>> for $number {
            type Output = Var<'t, $number>;

            fn add(self, var: Var<'t, $number>) -> Self::Output {
                var + self
            }
        }

        impl<'t> Sub<Var<'t, $number>> for $number {
            type Output = Var<'t, $number>;

            fn sub(self, var: Var<'t, $number>) -> Self::Output {
                var.subtracted_from(self)
            }
        }

        impl<'t> Mul<Var<'t, $number>> for $number {
            type Output = Var<'t, $number>;

            fn mul(self, var: Var<'t, $number>) -> Self::Output {
                var * self
            }
        }

        impl<'t> Div<Var<'t, $number>> for $number {
            type Output = Var<'t, $number>;

            fn div(self, var: Var<'t, $number>) -> Self::Output {
                var.dividing(self)
            }
        }
    )*};
}

number_on_the_left!(f32, f64);
