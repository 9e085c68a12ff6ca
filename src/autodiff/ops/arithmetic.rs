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
            |p| p.cotangent * p.input(1),
            |p| p.cotangent * p.input(0),
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
            |p| p.cotangent / p.input(1),
            |p| -(p.cotangent * p.output / p.input(1)),
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
    /// number - x.
    pub fn subtracted_from(self, number: T) -> Self {
        self.map("number-sub", move |x| number - x, |p| -p.cotangent)
    }

    /// number / x: x̄ = -ȳ y/x.
    pub fn dividing(self, number: T) -> Self {
        self.map(
            "number-div",
            move |x| number / x,
            |p| -(p.cotangent * p.output / p.input(0)),
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
