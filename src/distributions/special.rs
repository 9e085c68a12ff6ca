//! The logarithms of the gamma and the beta function.

use std::f64::consts::TAU;

use super::limits::weighed;

/// 1 - γ, with Euler's constant γ.
const ONE_LESS_EULER: f64 = 0.422_784_335_098_467_14;

/// (-1)^k (ζ(k) - 1)/k for k = 2, 3, …: the series of log Γ(2 + z) - (1 - γ) z, as many terms as |z| <= ½ needs.
const NEAR_TWO: [f64; 26] = [
    0.322_467_033_424_113_2,
    -0.067_352_301_053_198_1,
    0.020_580_808_427_784_548,
    -0.007_385_551_028_673_985,
    0.002_890_510_330_741_523,
    -0.001_192_753_911_703_261,
    0.000_509_669_524_743_042_4,
    -0.000_223_154_758_453_579_38,
    9.945_751_278_180_853e-5,
    -4.492_623_673_813_314e-5,
    2.050_721_277_567_069e-5,
    -9.439_488_275_268_396e-6,
    4.374_866_789_907_488e-6,
    -2.039_215_753_801_366e-6,
    9.551_412_130_407_42e-7,
    -4.492_469_198_764_566e-7,
    2.120_718_480_555_466_6e-7,
    -1.004_322_482_396_81e-7,
    4.769_810_169_363_981e-8,
    -2.271_109_460_894_316_5e-8,
    1.083_865_921_489_695_5e-8,
    -5.183_475_041_970_047e-9,
    2.483_674_543_802_478_3e-9,
    -1.192_140_140_586_091_2e-9,
    5.731_367_241_678_862e-10,
    -2.759_522_885_124_233e-10,
];

/// B_2k / (2k (2k-1)) for k = 1, 2, …: Stirling's series in 1/x.
const STIRLING: [f64; 8] = [
    1.0 / 12.0,
    -1.0 / 360.0,
    1.0 / 1260.0,
    -1.0 / 1680.0,
    1.0 / 1188.0,
    -691.0 / 360_360.0,
    1.0 / 156.0,
    -3617.0 / 122_400.0,
];

/// From here on Stirling's series is exact to the last digit.
const LARGE: f64 = 10.0;

/// log Γ(x) for x > 0, where Γ(n+1) = n!. Relative error below 10⁻¹⁴, also near 1 and 2, where it is 0. ∞ at 0 and
/// at ∞.
///
/// # Panics
/// If x is negative or NaN.
pub fn ln_gamma(x: f64) -> f64 {
    assert!(x >= 0.0, "ln_gamma: expected a number from 0 up, found {x}");
    match x {
        f64::INFINITY => x,
        // Γ(x) = Γ(x+2) / (x (x+1)).
        0.0..0.5 => near_two(x) - x.ln_1p() - x.ln(),
        0.5..1.5 => near_two(x - 1.0) - (x - 1.0).ln_1p(),
        1.5..LARGE => {
            // Γ(x) = (x-1) (x-2) … Γ(x-m), down to the neighbourhood of 2.
            let (mut x, mut product) = (x, 1.0);
            while x > 2.5 {
                x -= 1.0;
                product *= x;
            }
            near_two(x - 2.0) + f64::ln(product)
        }
        _ => (x - 0.5) * x.ln() - x + 0.5 * TAU.ln() + stirling(x),
    }
}

/// log B(a, b) = log Γ(a) + log Γ(b) - log Γ(a+b) for a, b > 0. Where an argument is large it is not computed as it
/// stands, as a difference of much larger numbers.
///
/// # Panics
/// If an argument is negative or NaN.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    assert!(
        a >= 0.0 && b >= 0.0,
        "ln_beta: expected numbers from 0 up, found {a} and {b}"
    );
    let (a, b) = (a.min(b), a.max(b));
    if b == f64::INFINITY {
        // Γ(b)/Γ(a+b) falls to 0 however fast Γ(a) grows towards a = 0.
        return f64::NEG_INFINITY;
    }
    let sum = a + b;
    if b < LARGE {
        return ln_gamma(a) + ln_gamma(b) - ln_gamma(sum);
    }
    // log Γ(b) - log Γ(a+b) + a log(a+b), by Stirling's formula for both.
    let quotient = a - (b - 0.5) * (a / b).ln_1p() + stirling(b) - stirling(sum);
    if a < LARGE {
        return ln_gamma(a) + quotient - a * sum.ln();
    }
    (a - 0.5) * (a / sum).ln() - 0.5 * sum.ln() + 0.5 * TAU.ln() - a + stirling(a) + quotient
}

/// So many trials at most are taken one by one.
const FEW: u64 = 4000;

/// log B(a+k, b+m) - log B(a, b) for a, b > 0, without the difference of these much larger numbers: the logarithm of
/// a (a+1) … (a+k-1) · b (b+1) … (b+m-1) / (a+b) (a+b+1) … (a+b+k+m-1), factor by factor; of very many, by
/// Stirling's formula from where on it is exact.
pub fn ln_beta_ratio(a: f64, b: f64, k: u64, m: u64) -> f64 {
    let first = match k.saturating_add(m) <= FEW {
        true => FEW,
        false => LARGE as u64,
    };
    let (few_k, few_m) = (k.min(first), m.min(first));
    let (next_a, next_b) = (a + few_k as f64, b + few_m as f64);
    let of_a: f64 = (0..few_k).map(|i| ln_share(a + i as f64, b)).sum();
    let of_b: f64 = (0..few_m).map(|i| ln_share(b + i as f64, next_a)).sum();
    of_a + of_b + ln_beta_ratio_of_many(next_a, next_b, (k - few_k) as f64, (m - few_m) as f64)
}

/// The same by Stirling's formula, for arguments that are large, unless nothing is added to them.
fn ln_beta_ratio_of_many(a: f64, b: f64, k: f64, m: f64) -> f64 {
    let shares = [(k, ln_share(a + k, b + m)), (m, ln_share(b + m, a + k))];
    let shared: f64 = shares
        .iter()
        .map(|&(count, share)| weighed(count, share))
        .sum();
    shared + ln_rise(a, k) + ln_rise(b, m) - ln_rise(a + b, k + m)
}

/// log Γ(x+n)/Γ(x) - n log(x+n) + n, by Stirling's formula for both.
fn ln_rise(x: f64, n: f64) -> f64 {
    match n {
        0.0 => 0.0,
        _ => (x - 0.5) * (n / x).ln_1p() + stirling(x + n) - stirling(x),
    }
}

/// log a/(a+b), exact near 1.
fn ln_share(a: f64, b: f64) -> f64 {
    match b / a {
        f64::INFINITY => a.ln() - b.ln(),
        odds => -odds.ln_1p(),
    }
}

/// log n! - [(n + ½) log n - n + ½ log 2π] for n > 0: what Stirling's formula lacks.
pub fn stirling_of_factorial(n: f64) -> f64 {
    match n < LARGE {
        true => ln_gamma(n + 1.0) - ((n + 0.5) * n.ln() - n + 0.5 * TAU.ln()),
        false => stirling(n),
    }
}

/// log Γ(2 + z) for |z| <= ½.
fn near_two(z: f64) -> f64 {
    let tail = NEAR_TWO.iter().rev().fold(0.0, |sum, c| sum * z + c);
    z * (ONE_LESS_EULER + z * tail)
}

/// What Stirling's formula lacks.
fn stirling(x: f64) -> f64 {
    let z = 1.0 / (x * x);
    STIRLING.iter().rev().fold(0.0, |sum, c| sum * z + c) / x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_gamma_of_known_values() {
        // Computed with 40 digits, for the nearest f64 to each argument.
        let known = [
            (1e-300, 690.775_527_898_213_7),
            (1e-10, 23.025_850_929_882_735),
            (0.1, 2.252_712_651_734_206),
            (0.5, 0.572_364_942_924_700_1),
            (0.9, 0.066_376_239_734_742_95),
            (0.999_999, 5.772_164_873_855_652e-7),
            (1.000_001, -5.772_148_423_874_147e-7),
            (1.3, -0.108_174_809_507_860_48),
            (1.461_632_144_968_362, -0.121_486_290_535_849_61),
            (1.999_9, -0.000_042_275_208_772_153_46),
            (2.000_000_1, 4.227_843_666_532_498e-8),
            (2.5, 0.284_682_870_472_919_2),
            (2.500_01, 0.284_689_902_063_843_5),
            (3.0, std::f64::consts::LN_2),
            (7.7, 7.926_541_356_269_005),
            (9.999, 12.799_575_780_077_414),
            (10.0, 12.801_827_480_081_47),
            (10.5, 13.940_625_219_403_763),
            (25.0, 54.784_729_398_112_32),
            (100.0, 359.134_205_369_575_4),
            (1e4, 82_099.717_496_442_38),
            (1e10, 220_258_509_288.810_58),
            (1e300, 6.897_755_278_982_137e302),
        ];
        for (x, expected) in known {
            let found = ln_gamma(x);
            let error = ((found - expected) / expected).abs();
            assert!(error < 1e-14, "ln_gamma({x}) = {found}, not {expected}");
        }
        assert_eq!((ln_gamma(1.0), ln_gamma(2.0)), (0.0, 0.0));
        assert_eq!(ln_gamma(0.0), f64::INFINITY);
        assert_eq!(ln_gamma(f64::INFINITY), f64::INFINITY);
    }

    #[test]
    fn ln_gamma_is_the_logarithm_of_a_factorial() {
        let mut factorial = 1.0;
        for n in 1..=170u8 {
            factorial *= f64::from(n);
            let found = ln_gamma(f64::from(n) + 1.0);
            assert!((found - f64::ln(factorial)).abs() <= 1e-14 * found.max(1.0));
        }
    }

    #[test]
    fn ln_beta_of_known_values() {
        let known = [
            (0.5, 0.5, 1.144_729_885_849_400_2),
            (3.0, 8.0, -5.886_104_031_450_156),
            (1e-8, 2.0, 18.420_680_733_952_366),
            (2.0, 1e8, -36.841_361_497_904_73),
            (0.3, 1e12, -7.193_508_339_960_384),
            (1e6, 1e6, -1_386_300.003_362_921),
            (12.0, 2e5, -128.970_893_894_163_38),
            (1e15, 3.0, -102.923_182_004_172_1),
        ];
        for (a, b, expected) in known {
            for found in [ln_beta(a, b), ln_beta(b, a)] {
                let error = ((found - expected) / expected).abs();
                assert!(error < 2e-14, "ln_beta({a}, {b}) = {found}, not {expected}");
            }
        }
        assert!(ln_beta(1.0, 1.0).abs() < 1e-15);
        assert_eq!(ln_beta(0.0, 2.0), f64::INFINITY);
        assert_eq!(ln_beta(2.0, f64::INFINITY), f64::NEG_INFINITY);
    }

    #[test]
    fn one_step_further_across_all_branches() {
        // Γ(x+1) = x Γ(x), and B(a, b+1) = B(a, b) b/(a+b).
        let grid = || (-20..=40).map(|i| 10f64.powf(f64::from(i) / 10.0));
        for a in grid() {
            let (next, here) = (ln_gamma(a + 1.0), ln_gamma(a) + a.ln());
            assert!((next - here).abs() <= 1e-14 * here.abs().max(1.0), "{a}");
            for b in grid() {
                let (next, here) = (ln_beta(a, b + 1.0), ln_beta(a, b) + (b / (a + b)).ln());
                let error = (next - here).abs();
                assert!(error <= 2e-14 * here.abs().max(1.0), "{a} {b}: {error:e}");
            }
        }
    }
}
