//! From grey pixels to the binary ones that a Bernoulli likelihood is about.

use std::{fmt, str::FromStr};

use rand::Rng;

/// How a pixel `p`, one of the bytes 0 to 255, becomes a number `x` in `[0, 1]`.
///
/// A Bernoulli decoder is a distribution over binary pixels only, and log-likelihoods under different
/// binarisations cannot be compared with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "cli", serde(rename_all = "lowercase"))]
pub enum Binarisation {
    /// Grey: `x = p / 255`.
    #[default]
    None,
    /// `x = 1` if `p / 255 >= 0.5`, which are the bytes 128 to 255, else `x = 0`.
    Threshold,
    /// `x ~ Bernoulli(p / 255)`, drawn afresh each time that a pixel is asked for: 0 stays 0, 255
    /// becomes 1, and the mean over many draws is the grey pixel.
    ///
    /// Burda, Grosse & Salakhutdinov, *Importance Weighted Autoencoders* (2016), section 5, binarise so
    /// and give Salakhutdinov & Murray, *On the Quantitative Analysis of Deep Belief Networks* (2008),
    /// as the origin of the procedure.
    Stochastic,
}

impl Binarisation {
    /// Every binarisation, in the order of definition.
    pub const ALL: [Self; 3] = [Self::None, Self::Threshold, Self::Stochastic];
}

impl fmt::Display for Binarisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Threshold => "threshold",
            Self::Stochastic => "stochastic",
        })
    }
}

impl FromStr for Binarisation {
    type Err = UnknownBinarisation;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|binarisation| binarisation.to_string() == name)
            .ok_or_else(|| UnknownBinarisation(name.to_owned()))
    }
}

/// A name that is not that of a [`Binarisation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBinarisation(pub String);

impl std::error::Error for UnknownBinarisation {}

impl fmt::Display for UnknownBinarisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Binarisation::ALL.map(|binarisation| binarisation.to_string());
        write!(
            f,
            "unknown binarisation `{}`: expected one of {}",
            self.0,
            names.join(", ")
        )
    }
}

/// A draw from `Bernoulli(pixel / 255)`.
///
/// Exact, since 255 divides `2^32 - 1`: of the values below `u32::MAX` just the fraction
/// `pixel / 255` lies below `pixel * (2^32 - 1) / 255`. Black and white cost no random number.
pub(super) fn bernoulli(pixel: u8, rng: &mut impl Rng) -> bool {
    const STEP: u32 = u32::MAX / 255;
    match pixel {
        0 => false,
        255 => true,
        grey => loop {
            let uniform = rng.next_u32();
            if uniform < u32::MAX {
                break uniform < u32::from(grey) * STEP;
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use rand::RngCore;

    use super::*;

    /// A generator that returns the given words, the last one first.
    struct Script(Vec<u32>);

    impl RngCore for Script {
        fn next_u32(&mut self) -> u32 {
            self.0.pop().expect("no more random numbers are drawn")
        }

        fn next_u64(&mut self) -> u64 {
            unreachable!("pixels take words of 32 bits")
        }

        fn fill_bytes(&mut self, _: &mut [u8]) {
            unreachable!("pixels take words of 32 bits")
        }
    }

    #[test]
    fn the_steps_cover_all_words_but_one() {
        assert_eq!(255 * (u32::MAX / 255), u32::MAX);
    }

    #[test]
    fn a_grey_pixel_is_one_below_its_share_of_the_words() {
        for grey in 1..=254 {
            let share = u32::from(grey) * 0x0101_0101;
            assert!(bernoulli(grey, &mut Script(vec![0])));
            assert!(bernoulli(grey, &mut Script(vec![share - 1])));
            assert!(!bernoulli(grey, &mut Script(vec![share])));
            assert!(!bernoulli(grey, &mut Script(vec![u32::MAX - 1])));
        }
    }

    #[test]
    fn the_one_word_too_many_is_drawn_again() {
        assert!(bernoulli(1, &mut Script(vec![0, u32::MAX])));
        assert!(!bernoulli(1, &mut Script(vec![u32::MAX - 1, u32::MAX])));
    }

    #[test]
    fn black_and_white_draw_nothing() {
        assert!(!bernoulli(0, &mut Script(vec![])));
        assert!(bernoulli(255, &mut Script(vec![])));
    }
}
