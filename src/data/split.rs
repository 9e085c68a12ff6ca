//! A test set from images that come without one.

use std::path::Path;

use super::{DataError, Images};
use crate::distributions::noise::stream;

/// Seed of every split, whatever the seed of a run: runs can be compared, and a model meets the images that it was
/// trained on in no later evaluation.
const SEED: u64 = 0;

/// Images to train on and to test on: `round(fraction · n)` of the `n` images, chosen at random, are for the test.
///
/// The choice depends on `n` and `fraction` only, and a smaller test set is part of every larger one.
pub(super) fn split(
    path: &Path,
    mut images: Images,
    fraction: f64,
) -> Result<(Images, Images), DataError> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(DataError::TestFraction { fraction });
    }
    let count = (fraction * images.len() as f64).round() as usize;
    if count == 0 || count == images.len() {
        return Err(DataError::TooFewToSplit {
            path: path.to_owned(),
            images: images.len(),
            fraction,
            test: count,
        });
    }
    let test = images.hold_out(count, &mut stream(SEED, "test set", 0));
    Ok((images, test))
}
