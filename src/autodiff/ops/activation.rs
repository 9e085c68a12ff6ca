//! The functions between layers, safe at the extremes: no intermediate result overflows
//! ([notes](crate::gradients#activation-derivatives)).

use crate::Scalar;
use crate::autodiff::Var;
use crate::elementary::{exp, ln_1p_unit, tanh};

/// 1/(1 + e^-x), from e^-|x| <= 1 so that nothing overflows.
#[inline(always)]
pub(crate) fn sigmoid<T: Scalar>(x: T) -> T {
    let e = exp(-x.abs());
    let numerator = if x >= T::zero() { T::one() } else { e };
    numerator / (T::one() + e)
}

/// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|).
#[inline(always)]
pub(crate) fn softplus<T: Scalar>(x: T) -> T {
    relu(x) + ln_1p_unit(exp(-x.abs()))
}

/// max(x, 0). Not by way of x > 0, which passes over NaN: a NaN shall be seen.
#[inline(always)]
pub(crate) fn relu<T: Scalar>(x: T) -> T {
    if x <= T::zero() { T::zero() } else { x }
}

impl<T: Scalar> Var<'_, T> {
    /// σ(x) = 1/(1 + e^-x), with σ'(x) = σ(x) σ(-x): where 1 - σ(x) would round to 0, σ(-x) keeps its digits.
    pub fn sigmoid(self) -> Self {
        self.map("sigmoid", sigmoid, |p| {
            p.cotangent.times_slope(p.output * (-p.input(0)).sigmoid())
        })
    }

    /// tanh x, with derivative 1 - tanh² x.
    pub fn tanh(self) -> Self {
        self.map("tanh", tanh, |p| p.cotangent.times_tanh_slope(p.output))
    }

    /// ȳ(1 - y²) in one pass, for y = tanh x.
    pub(crate) fn times_tanh_slope(self, tanh: Self) -> Self {
        self.zip_with(
            tanh,
            "tanh-slope",
            |g, y| {
                if g == T::zero() {
                    g
                } else {
                    g * (T::one() - y * y)
                }
            },
            |p| p.cotangent.times_tanh_slope(p.input(1)),
            |p| {
                let by_slope = p.input(0).times_slope(p.input(1));
                p.cotangent.absorbing_product(by_slope) * T::of(-2.0)
            },
        )
    }

    /// max(x, 0). The derivative at 0 is taken to be 0.
    pub fn relu(self) -> Self {
        self.map("relu", relu, |p| p.cotangent.where_positive(p.output))
    }

    /// g where `gate` > 0 (or NaN), else 0. Linear in g, and constant in the gate wherever it has a derivative.
    pub(crate) fn where_positive(self, gate: Self) -> Self {
        let gate = gate.stop_gradient();
        self.zip_with(
            gate,
            "where-positive",
            |g, gate| if gate <= T::zero() { T::zero() } else { g },
            |p| p.cotangent.where_positive(p.input(1)),
            |_| unreachable!("the gate is a constant"),
        )
    }

    /// log(1 + e^x), with derivative σ(x).
    pub fn softplus(self) -> Self {
        self.map("softplus", softplus, |p| {
            p.cotangent.times_slope(p.input(0).sigmoid())
        })
    }

    /// log σ(x) = -softplus(-x), with derivative σ(-x).
    pub fn log_sigmoid(self) -> Self {
        self.map(
            "log-sigmoid",
            |x| -softplus(-x),
            |p| p.cotangent.times_slope((-p.input(0)).sigmoid()),
        )
    }
}
