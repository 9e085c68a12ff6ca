//! Exponentials and logarithms in arithmetic that the compiler vectorises.
//!
//! The standard library's functions are calls, one number at a time. These are straight lines of additions,
//! multiplications and selections, the same for every argument, so that a loop over a slice becomes 4, 8 or 16
//! numbers at once. They use no fused multiply-add: the bits are the same on every processor.
//!
//! Errors are at most a few units in the last place over the whole range, subnormal results included (tested below
//! against a higher precision).

use ndarray::NdFloat;

/// What the algorithms need to know of a floating-point format.
pub trait Format: NdFloat {
    /// log 2 in two parts: the first has so few digits that its multiples by an exponent are exact.
    const LOG_2: [Self; 2];
    /// ½ log 2.
    const HALF_LOG_2: Self;
    /// 1/log 2.
    const PER_LOG_2: Self;
    /// 1.5·2^p, for p digits: added to a small number, it leaves the nearest integer in the lowest digits.
    const ROUNDER: Self;
    /// Beyond these, e^x is 0 and infinite.
    const EXP_RANGE: [Self; 2];
    /// Where e^x - 1 is e^x to the last digit.
    const EXP_DOMINATES: Self;
    /// 1/2!, 1/3!, …: the series of (e^r - 1 - r)/r², as many terms as |r| <= ½ log 2 needs.
    const EXP_SERIES: &'static [Self];
    /// 2/3, 2/5, …: the series of log((1+s)/(1-s))/s - 2 in s², as many terms as |s| <= 0.172 needs.
    const LOG_SERIES: &'static [Self];
    /// As [`LOG_SERIES`](Format::LOG_SERIES), with as many terms as 0 <= s <= 1/3 needs.
    const LONG_LOG_SERIES: &'static [Self];
    /// Where tanh x rounds to 1.
    const TANH_SATURATES: Self;

    /// The number itself, from one that this format can hold.
    fn constant(value: f32) -> Self;
    /// x 2ⁿ for the integer n that `rounded` holds in its lowest digits (see [`ROUNDER`](Format::ROUNDER)).
    fn scale(self, rounded: Self) -> Self;
    /// x = m 2ᵏ with √½ <= m < √2: m and k. For normal positive x.
    fn split(self) -> (Self, Self);
}

impl Format for f32 {
    const LOG_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const HALF_LOG_2: f32 = 0.346_573_6;
    const PER_LOG_2: f32 = std::f32::consts::LOG2_E;
    const ROUNDER: f32 = 12_582_912.0;
    const EXP_RANGE: [f32; 2] = [-104.0, 89.0];
    const EXP_DOMINATES: f32 = 20.0;
    const EXP_SERIES: &'static [f32] = &[
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5040.0,
    ];
    const LOG_SERIES: &'static [f32] = &[2.0 / 3.0, 2.0 / 5.0, 2.0 / 7.0, 2.0 / 9.0];
    const LONG_LOG_SERIES: &'static [f32] = &[
        2.0 / 3.0,
        2.0 / 5.0,
        2.0 / 7.0,
        2.0 / 9.0,
        2.0 / 11.0,
        2.0 / 13.0,
        2.0 / 15.0,
    ];
    const TANH_SATURATES: f32 = 10.0;

    #[inline(always)]
    fn constant(value: f32) -> f32 {
        value
    }

    #[inline(always)]
    fn scale(self, rounded: f32) -> f32 {
        // In two steps, so that neither power overflows and only the last product rounds to a subnormal.
        let n = (rounded.to_bits() as i32).wrapping_sub(Self::ROUNDER.to_bits() as i32);
        let half = n >> 1;
        let power = |n: i32| f32::from_bits((n.wrapping_add(127) << 23) as u32);
        self * power(half) * power(n.wrapping_sub(half))
    }

    #[inline(always)]
    fn split(self) -> (f32, f32) {
        const ROOT_HALF: u32 = 0x3f35_04f3;
        let offset = self.to_bits().wrapping_sub(ROOT_HALF);
        let mantissa = f32::from_bits((offset & 0x007f_ffff).wrapping_add(ROOT_HALF));
        (mantissa, ((offset as i32) >> 23) as f32)
    }
}

impl Format for f64 {
    const LOG_2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];
    const HALF_LOG_2: f64 = 0.346_573_590_279_972_64;
    const PER_LOG_2: f64 = std::f64::consts::LOG2_E;
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    const EXP_RANGE: [f64; 2] = [-746.0, 710.0];
    const EXP_DOMINATES: f64 = 40.0;
    const EXP_SERIES: &'static [f64] = &[
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5_040.0,
        1.0 / 40_320.0,
        1.0 / 362_880.0,
        1.0 / 3_628_800.0,
        1.0 / 39_916_800.0,
        1.0 / 479_001_600.0,
        1.0 / 6_227_020_800.0,
    ];
    const LOG_SERIES: &'static [f64] = &[
        2.0 / 3.0,
        2.0 / 5.0,
        2.0 / 7.0,
        2.0 / 9.0,
        2.0 / 11.0,
        2.0 / 13.0,
        2.0 / 15.0,
        2.0 / 17.0,
        2.0 / 19.0,
        2.0 / 21.0,
    ];
    const LONG_LOG_SERIES: &'static [f64] = &[
        2.0 / 3.0,
        2.0 / 5.0,
        2.0 / 7.0,
        2.0 / 9.0,
        2.0 / 11.0,
        2.0 / 13.0,
        2.0 / 15.0,
        2.0 / 17.0,
        2.0 / 19.0,
        2.0 / 21.0,
        2.0 / 23.0,
        2.0 / 25.0,
        2.0 / 27.0,
        2.0 / 29.0,
        2.0 / 31.0,
        2.0 / 33.0,
    ];
    const TANH_SATURATES: f64 = 20.0;

    #[inline(always)]
    fn constant(value: f32) -> f64 {
        f64::from(value)
    }

    #[inline(always)]
    fn scale(self, rounded: f64) -> f64 {
        let n = (rounded.to_bits() as i64).wrapping_sub(Self::ROUNDER.to_bits() as i64);
        let half = n >> 1;
        let power = |n: i64| f64::from_bits((n.wrapping_add(1023) << 52) as u64);
        self * power(half) * power(n.wrapping_sub(half))
    }

    #[inline(always)]
    fn split(self) -> (f64, f64) {
        const ROOT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
        let offset = self.to_bits().wrapping_sub(ROOT_HALF);
        let mantissa = f64::from_bits((offset & 0x000f_ffff_ffff_ffff).wrapping_add(ROOT_HALF));
        (mantissa, f64::from(((offset as i64) >> 52) as i32))
    }
}

/// c₀ + c₁x + c₂x² + …
#[inline(always)]
fn polynomial<T: Format>(x: T, coefficients: &[T]) -> T {
    coefficients
        .iter()
        .rev()
        .fold(T::zero(), |sum, &c| sum * x + c)
}

/// x = n log 2 + r with |r| <= ½ log 2: returns e^r - 1, and n in the lowest digits of the second number.
#[inline(always)]
fn reduced_expm1<T: Format>(x: T) -> (T, T) {
    // Selections by comparison, so that NaN passes through.
    let [least, most] = T::EXP_RANGE;
    let x = if x < least { least } else { x };
    let x = if x > most { most } else { x };
    let rounded = x * T::PER_LOG_2 + T::ROUNDER;
    let n = rounded - T::ROUNDER;
    let r = (x - n * T::LOG_2[0]) - n * T::LOG_2[1];
    (r + r * r * polynomial(r, T::EXP_SERIES), rounded)
}

/// e^x.
#[inline(always)]
pub fn exp<T: Format>(x: T) -> T {
    let (q, n) = reduced_expm1(x);
    (T::one() + q).scale(n)
}

/// e^x - 1 - x, exact near 0.
#[inline(always)]
pub fn exp_remainder<T: Format>(x: T) -> T {
    let near = x * x * polynomial(x, T::EXP_SERIES);
    let far = expm1(x) - x;
    if x.abs() < T::HALF_LOG_2 { near } else { far }
}

/// e^x - 1, exact near 0.
#[inline(always)]
pub fn expm1<T: Format>(x: T) -> T {
    let (q, n) = reduced_expm1(x);
    let large = (T::one() + q).scale(n);
    // 2ⁿ(1 + q) - 1 = 2ⁿq + (2ⁿ - 1), where nothing cancels.
    let precise = q.scale(n) + (T::one().scale(n) - T::one());
    let y = if x > T::EXP_DOMINATES { large } else { precise };
    // Below the smallest normal number, and to keep the sign of -0.
    if x.abs() < T::min_positive_value() {
        x
    } else {
        y
    }
}

/// log(1 + x), exact near 0.
#[inline(always)]
pub(crate) fn ln_1p<T: Format>(x: T) -> T {
    let one = T::one();
    let u = one + x;
    // What rounding took from u = 1 + x: log(1 + x) = log u + lost/u.
    let lost = if x > one {
        one - (u - x)
    } else {
        x - (u - one)
    };
    let (m, k) = u.split();
    let f = m - one;
    let s = f / (f + T::constant(2.0));
    let z = s * s;
    // log(1 + f) = f - f²/2 + s(f²/2 + R), for R the series' tail: the large term f stays apart from the corrections.
    let tail = z * polynomial(z, T::LOG_SERIES);
    let half_square = f * f * T::constant(0.5);
    let corrections = s * (half_square + tail) + (k * T::LOG_2[1] + lost / u);
    let y = k * T::LOG_2[0] - ((half_square - corrections) - f);
    let y = if x == T::infinity() { x } else { y };
    let y = if x == -one { T::neg_infinity() } else { y };
    let y = if x < -one { T::nan() } else { y };
    let y = if x.abs() < T::min_positive_value() {
        x
    } else {
        y
    };
    if x.is_nan() { x } else { y }
}

/// log(1 + x) for 0 <= x <= 1 alone, as the softplus needs it: half the work of `ln_1p`.
#[inline(always)]
pub fn ln_1p_unit<T: Format>(x: T) -> T {
    // 2 artanh s with s = x/(2+x), and 2s = x - s x: x itself is exact, and all rounding is in the smaller correction.
    let s = x / (x + T::constant(2.0));
    let z = s * s;
    x - s * (x - z * polynomial(z, T::LONG_LOG_SERIES))
}

/// tanh x = (e^2|x| - 1)/(e^2|x| + 1), with the sign of x.
#[inline(always)]
pub(crate) fn tanh<T: Format>(x: T) -> T {
    let magnitude = x.abs();
    let magnitude = if magnitude > T::TANH_SATURATES {
        T::TANH_SATURATES
    } else {
        magnitude
    };
    let t = expm1(magnitude + magnitude);
    (t / (t + T::constant(2.0))).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autodiff::{relu, sigmoid, softplus};

    /// The distance to `exact` in units of the last place of the format at that magnitude.
    fn ulps_f32(found: f32, exact: f64) -> f64 {
        if f64::from(found) == exact || (found.is_infinite() && exact.abs() > f64::from(f32::MAX)) {
            return 0.0;
        }
        let magnitude = (exact.abs() as f32).clamp(f32::MIN_POSITIVE, f32::MAX);
        let ulp =
            f64::from(f32::from_bits(magnitude.to_bits() & 0x7f80_0000)) * f64::from(f32::EPSILON);
        (f64::from(found) - exact).abs() / ulp
    }

    fn ulps_f64(found: f64, near_exact: f64) -> f64 {
        if found == near_exact {
            return 0.0;
        }
        let magnitude = near_exact.abs().clamp(f64::MIN_POSITIVE, f64::MAX);
        let ulp = f64::from_bits(magnitude.to_bits() & 0x7ff0_0000_0000_0000) * f64::EPSILON;
        (found - near_exact).abs() / ulp
    }

    type Function32 = (&'static str, fn(f32) -> f32, fn(f64) -> f64, f64);

    /// Name, ours, the same in f64, the bound in ulps.
    const IN_F32: [Function32; 6] = [
        ("exp", exp, f64::exp, 1.5),
        ("expm1", expm1, f64::exp_m1, 2.0),
        ("ln_1p", ln_1p, f64::ln_1p, 2.0),
        ("tanh", tanh, f64::tanh, 3.0),
        ("sigmoid", sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 3.0),
        (
            "softplus",
            softplus,
            |x| {
                if x > 0.0 {
                    x + (-x).exp().ln_1p()
                } else {
                    x.exp().ln_1p()
                }
            },
            3.0,
        ),
    ];

    type Function64 = (&'static str, fn(f64) -> f64, fn(f64) -> f64, f64);

    /// The standard library is itself off by up to an ulp or so, which the bounds include.
    const IN_F64: [Function64; 6] = [
        ("exp", exp, f64::exp, 2.5),
        ("expm1", expm1, f64::exp_m1, 3.0),
        ("ln_1p", ln_1p, f64::ln_1p, 3.0),
        ("tanh", tanh, f64::tanh, 4.0),
        (
            "sigmoid",
            sigmoid,
            |x| {
                if x < 0.0 {
                    x.exp() / (1.0 + x.exp())
                } else {
                    1.0 / (1.0 + (-x).exp())
                }
            },
            4.5,
        ),
        (
            "softplus",
            softplus,
            |x| x.max(0.0) + (-x.abs()).exp().ln_1p(),
            4.0,
        ),
    ];

    #[test]
    fn f32_is_within_its_bound_over_the_whole_range() {
        for (name, ours, exact, bound) in IN_F32 {
            let (mut worst, mut at) = (0.0, 0.0);
            // Every 997th of all numbers, of either sign: every exponent, subnormals included.
            for bits in (0..0x7f80_0000u32).step_by(997) {
                for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                    let expected = exact(f64::from(x));
                    if expected.is_nan() {
                        assert!(ours(x).is_nan(), "{name}({x:e}) = {:e}", ours(x));
                        continue;
                    }
                    let error = ulps_f32(ours(x), expected);
                    assert!(
                        error.is_finite(),
                        "{name}({x:e}) = {:e}, not {expected:e}",
                        ours(x)
                    );
                    if error > worst {
                        (worst, at) = (error, x);
                    }
                }
            }
            println!("{name} f32: {worst:.2} ulp at {at:e}");
            assert!(worst <= bound, "{name}: {worst:.2} ulp at {at:e}");
        }
    }

    #[test]
    fn f64_is_within_its_bound_over_the_whole_range() {
        for (name, ours, exact, bound) in IN_F64 {
            let (mut worst, mut at) = (0.0, 0.0);
            let step = 0x7ff0_0000_0000_0000u64 / 300_001;
            let everywhere = (0..300_001u64).map(|i| f64::from_bits(i * step));
            let usual = (0..400_000).map(|i| f64::from(i) * 2e-3);
            for x in everywhere.chain(usual).flat_map(|x| [x, -x]) {
                let expected = exact(x);
                if expected.is_nan() {
                    assert!(ours(x).is_nan(), "{name}({x:e}) = {:e}", ours(x));
                    continue;
                }
                let error = ulps_f64(ours(x), expected);
                assert!(
                    error.is_finite(),
                    "{name}({x:e}) = {:e}, not {expected:e}",
                    ours(x)
                );
                if error > worst {
                    (worst, at) = (error, x);
                }
            }
            println!("{name} f64: {worst:.2} ulp at {at:e}");
            assert!(worst <= bound, "{name}: {worst:.2} ulp at {at:e}");
        }
    }

    #[test]
    fn special_values() {
        let inf = f32::INFINITY;
        assert!(
            [exp, expm1, ln_1p, tanh, sigmoid, softplus, relu]
                .iter()
                .all(|f| f(f32::NAN).is_nan())
        );
        assert!(
            [exp, expm1, ln_1p, tanh, sigmoid, softplus, relu]
                .iter()
                .all(|f| f(f64::NAN).is_nan())
        );
        assert_eq!([exp(inf), exp(-inf), exp(0.0)], [inf, 0.0, 1.0]);
        assert_eq!([expm1(inf), expm1(-inf)], [inf, -1.0]);
        assert_eq!([ln_1p(inf), ln_1p(-1.0)], [inf, -inf]);
        assert!(ln_1p(-1.5f32).is_nan() && ln_1p(-inf).is_nan());
        assert_eq!([tanh(inf), tanh(-inf)], [1.0, -1.0]);
        assert_eq!([sigmoid(inf), sigmoid(-inf), sigmoid(0.0)], [1.0, 0.0, 0.5]);
        assert_eq!([softplus(inf), softplus(-inf)], [inf, 0.0]);
        for f in [expm1::<f64>, ln_1p, tanh] {
            assert!(
                f(-0.0).to_bits() == (-0.0f64).to_bits() && f(0.0).to_bits() == 0,
                "a signed zero"
            );
            assert_eq!(f(5e-324), 5e-324);
        }
    }
}
