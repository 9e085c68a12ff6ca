//! Powers, exponentials and logarithms.

use crate::Scalar;
use crate::autodiff::Var;
use crate::elementary::{exp, expm1, ln_1p};

impl<T: Scalar> Var<'_, T> {
    /// e^x.
    pub fn exp(self) -> Self {
        self.map("exp", exp, |p| p.cotangent * p.output)
    }

    /// e^x - 1, exact near 0.
    pub fn expm1(self) -> Self {
        self.map("expm1", expm1, |p| p.cotangent * p.input(0).exp())
    }

    /// log x, the natural logarithm.
    pub fn ln(self) -> Self {
        self.map("ln", T::ln, |p| p.cotangent / p.input(0))
    }

    /// log(1 + x), exact near 0.
    pub fn ln_1p(self) -> Self {
        self.map("ln_1p", ln_1p, |p| p.cotangent / (p.input(0) + T::one()))
    }

    /// √x. The slope 1/(2√x) is infinite at 0.
    pub fn sqrt(self) -> Self {
        self.map("sqrt", T::sqrt, |p| p.cotangent / (p.output * T::of(2.0)))
    }

    /// x².
    pub fn square(self) -> Self {
        self.map(
            "square",
            |x| x * x,
            |p| p.cotangent * (p.input(0) * T::of(2.0)),
        )
    }

    /// x^n for a whole number n, of either sign.
    pub fn powi(self, n: i32) -> Self {
        self.map(
            "powi",
            |x| x.powi(n),
            move |p| match n {
                // Not n·x^(n-1), which is 0·∞ at x = 0.
                0 => p.cotangent * T::zero(),
                _ => p.cotangent * (p.input(0).powi(n - 1) * T::of(f64::from(n))),
            },
        )
    }

    /// x^c for a number c and x > 0 (x >= 0 where c > 1).
    pub fn powf(self, c: T) -> Self {
        self.map(
            "powf",
            |x| x.powf(c),
            move |p| {
                if c == T::zero() {
                    p.cotangent * T::zero()
                } else {
                    p.cotangent * (p.input(0).powf(c - T::one()) * c)
                }
            },
        )
    }

    /// a^b, both differentiable, for a > 0: ā = ȳ b a^(b-1), b̄ = ȳ y log a.
    pub fn pow(self, exponent: Self) -> Self {
        self.zip_with(
            exponent,
            "pow",
            T::powf,
            |p| p.cotangent * p.input(1) * p.input(0).pow(p.input(1) - T::one()),
            |p| p.cotangent * p.output * p.input(0).ln(),
        )
    }

    /// |x|. The derivative at 0 is taken to be 0.
    pub fn abs(self) -> Self {
        self.map("abs", T::abs, |p| p.cotangent * p.input(0).signum_or_zero())
    }

    /// -1, 0 or 1: constant wherever it has a derivative.
    fn signum_or_zero(self) -> Self {
        let signs = self.tape().map_value(&self.value(), |x| {
            if x == T::zero() {
                T::zero()
            } else {
                x.signum()
            }
        });
        self.tape().constant(signs)
    }
}
