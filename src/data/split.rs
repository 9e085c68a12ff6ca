//! Holding out a test set.

use std::path::Path;

use super::{DataError, Images};
use crate::distributions::noise::stream;

/// The seed of every split. It does not depend on the seed of a run: runs stay comparable, and a model is never evaluated
/// on images that it was trained on.
const SEED: u64 = 0;

/// The training set and the test set, which has `round(fraction · n)` of the `n` images, chosen at random.
///
/// The choice depends on `n` and `fraction` alone, and a smaller test set is a subset of every larger one.
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
