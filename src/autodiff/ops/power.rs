//! Powers, exponentials and logarithms.

use crate::Scalar;
use crate::autodiff::Var;
use crate::elementary::{exp, exp_remainder, expm1, ln_1p};

impl<T: Scalar> Var<'_, T> {
    /// e^x.
    pub fn exp(self) -> Self {
        self.map("exp", exp, |p| p.cotangent.times_slope(p.output))
    }

    /// e^x - 1, exact near 0.
    pub fn expm1(self) -> Self {
        self.map("expm1", expm1, |p| {
            p.cotangent.times_slope(p.input(0).exp())
        })
    }

    /// e^x - 1 - x: what the exponential is above its tangent at 0, exact near it. Its slope is e^x - 1.
    pub fn exp_remainder(self) -> Self {
        self.map("exp-remainder", exp_remainder, |p| {
            p.cotangent.times_slope(p.input(0).expm1())
        })
    }

    /// log x, the natural logarithm.
    pub fn ln(self) -> Self {
        self.map("ln", T::ln, |p| p.cotangent.over_slope(p.input(0)))
    }

    /// log(1 + x), exact near 0.
    pub fn ln_1p(self) -> Self {
        self.map("ln_1p", ln_1p, |p| {
            p.cotangent.over_slope(p.input(0) + T::one())
        })
    }

    /// √x. The slope 1/(2√x) is infinite at 0, so that the gradient of a norm √(Σ x²) is NaN where all x are 0: ∞·0. The
    /// norm has a kink there. To take 0, choose before the root:
    ///
    /// ```
    /// use elbo::autodiff::Tape;
    /// use ndarray::arr1;
    ///
    /// let tape = Tape::new();
    /// let x = tape.variable(arr1(&[0.0, 0.0]));
    /// let square = x.square().sum();
    /// let positive = square.value().mapv(|s| s > 0.0).into_shared();
    /// let norm = square.select(&positive, tape.scalar(1.0)).sqrt().keep_where(&positive);
    /// assert_eq!(norm.item(), 0.0);
    /// assert_eq!(tape.gradients(norm).wrt(x), arr1(&[0.0, 0.0]).into_dyn());
    /// ```
    pub fn sqrt(self) -> Self {
        self.map("sqrt", T::sqrt, |p| {
            p.cotangent.over_slope(p.output * T::of(2.0))
        })
    }

    /// x².
    pub fn square(self) -> Self {
        self.map(
            "square",
            |x| x * x,
            |p| p.cotangent.times_slope(p.input(0) * T::of(2.0)),
        )
    }

    /// x^n for a whole number n, of either sign.
    pub fn powi(self, n: i32) -> Self {
        self.map(
            "powi",
            |x| x.powi(n),
            move |p| {
                let x = p.input(0);
                let power = match (n, n.checked_sub(1)) {
                    // Not n·x^(n-1), which is 0·∞ at x = 0.
                    (0, _) => return p.cotangent * T::zero(),
                    (_, Some(less)) => x.powi(less),
                    (_, None) => p.output / x,
                };
                p.cotangent.times_slope(power * T::of(f64::from(n)))
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
                    p.cotangent.times_slope(p.input(0).powf(c - T::one()) * c)
                }
            },
        )
    }

    /// a^b, both differentiable, for a >= 0: ā = ȳ b a^(b-1), b̄ = ȳ y log a. At a = 0 that is ā = 0 for b = 0, and
    /// b̄ = 0 for b > 0, the limits; b̄ = -∞ for b = 0, where a^b jumps from 1 to 0. For a < 0, b̄ is NaN: a^b is defined
    /// for whole b only.
    pub fn pow(self, exponent: Self) -> Self {
        self.zip_with(
            exponent,
            "pow",
            T::powf,
            |p| {
                let (a, b) = (p.input(0), p.input(1));
                p.cotangent.times_slope(b.times_slope(a.pow(b - T::one())))
            },
            |p| {
                p.cotangent
                    .times_slope(p.output.times_slope(p.input(0).ln()))
            },
        )
    }

    /// |x|. The derivative at 0 is taken to be 0.
    pub fn abs(self) -> Self {
        self.map("abs", T::abs, |p| {
            p.cotangent.times_slope(p.input(0).signum_or_zero())
        })
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
