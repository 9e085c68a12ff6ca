//! Images to learn from: the IDX format, folders of MNIST's kin, embedded digits, binarisation.
//!
//! A [`Dataset`] is a training and a test set of [`Images`], which stay bytes in memory (MNIST: 47 MB,
//! where `f32` would take 188 MB) and become numbers in `[0, 1]` one batch at a time:
//!
//! ```
//! use elbo::data::{Binarisation, Images};
//! use ndarray::array;
//! use rand::{SeedableRng, rngs::StdRng};
//!
//! # fn main() -> Result<(), elbo::data::DataError> {
//! // Two images of 1 x 3 pixels, without labels.
//! let images = Images::new(array![[0, 51, 255], [255, 0, 0]], 1, 3, None)?;
//! let mut rng = StdRng::seed_from_u64(0);
//! let batch = images.batch::<f64>(&[0], Binarisation::None, &mut rng);
//! assert_eq!(batch, array![[0.0, 0.2, 1.0]]);
//! # Ok(())
//! # }
//! ```

mod binarisation;
#[cfg(feature = "cli")]
mod embedded;
mod error;
mod file;
mod folder;
pub mod idx;
mod images;

pub use binarisation::{Binarisation, UnknownBinarisation};
pub use error::DataError;
pub use images::Images;

/// A named pair of image sets: one to train on, one to test on.
///
/// Made by [`Dataset::from_folder`], or with the feature `cli` by `Dataset::embedded`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// What the data set is called, for captions: `MNIST`, `FashionMNIST`, `EMNIST letters`, ...
    pub name: String,
    /// The images to train on.
    pub train: Images,
    /// The held-out images, of the same height and width as the training images.
    pub test: Images,
}
