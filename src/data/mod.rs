//! Images to learn from: IDX files, NumPy arrays, folders of PNGs, embedded digits, binarisation; [shapes] with known factors.
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
//!
//! # Accepted formats
//!
//! `Dataset::open` (with the feature `cli`) takes a file or a folder and recognises its format by the content:
//!
//! | | images | labels | test set |
//! |---|---|---|---|
//! | folder of [IDX files](Dataset::from_folder) | bytes, gzipped or not | bytes | `t10k-...`, or `...-test-...` of EMNIST |
//! | `.npy` file | the array | none | held out |
//! | `.npz` file, compressed or not | by name, see below | by name, see below | by name, or held out |
//! | folder of PNGs | all of one size | none | held out |
//! | folder with a sub-folder of PNGs for each class | all of one size | sub-folders in order of name: 0, 1, ... | held out |
//! | folder with sub-folders `train` and `test` | PNGs as in the two rows above | the same numbers in both | `test` |
//!
//! If a folder holds several splits of EMNIST, `OpenOptions::split` chooses one. If there is no test set,
//! `OpenOptions::test_fraction` of the images are held out at random. Labels are integers from 0 to 255.
//!
//! **Arrays of images** have shape (n, h, w), (n, h, w, 1), (n, 1, h, w), or (n, h·w) if the images are square; C or
//! Fortran order, little- or big-endian. The element types are
//!
//! - `uint8`: the pixel values. If no value exceeds 1, the images are taken to be binary, and 1 becomes 255;
//! - `bool`: false becomes 0, true becomes 255;
//! - `float16`, `float32`, `float64`, from 0 to 1: `x` becomes `255 x`, rounded to the nearest integer, halves up. So a
//!   pixel is at least 128 exactly if `x >= 0.5`, and bytes divided by 255 are recovered. Values outside `[0, 1]` and
//!   NaN are errors.
//!
//! **Arrays of labels** have shape (n) or (n, 1) and an integer type or `bool`.
//!
//! **Arrays of factors**, `latents_classes` of dSprites, have shape (n, factors) and the types of labels. A factor that takes
//! one value only, as dSprites' colour does, is left out.
//!
//! **Names in an `.npz` file**, upper or lower case. The first row whose images are present is used; other arrays are
//! ignored. A single array may have any name.
//!
//! | images | labels | test images | test labels | as in |
//! |---|---|---|---|---|
//! | `x_train` | `y_train` | `x_test` | `y_test` | Keras' `mnist.npz` |
//! | `train_images` | `train_labels` | `test_images` | `test_labels` | MedMNIST |
//! | `x` | `y` | | | |
//! | `images` | `labels` | | | |
//! | `imgs` | `labels` or `latents_classes` | | | dSprites |
//! | `arr_0` | `arr_1` | `arr_2` | `arr_3` | `np.savez` without names |
//!
//! **PNGs** may be grey, RGB or indexed, of any bit depth. Colour is converted by the luma of ITU-R BT.601,
//! `0.299 R + 0.587 G + 0.114 B`, to the same bytes as in Pillow and torchvision; 16 bits are rounded to 8. Transparent
//! pixels are an error, because their colour depends on the background. Hidden files and files that do not end in
//! `.png` are ignored. Images without labels are in order of file name. Classes are shuffled, in the same way in every
//! run, so that the first images of a set are a fair sample of it.
//!
//! No file is decompressed beyond the size in its header, and no memory is allocated on the word of a header alone.

mod binarisation;
mod codes;
#[cfg(feature = "cli")]
mod embedded;
mod error;
mod file;
mod folder;
pub mod idx;
mod images;
mod linear_gaussian_sequence;
#[cfg(feature = "cli")]
mod npy;
#[cfg(feature = "cli")]
mod npz;
#[cfg(feature = "cli")]
mod open;
#[cfg(feature = "cli")]
mod place;
#[cfg(feature = "cli")]
mod png_folder;
mod sequences;
pub mod shapes;
mod source;
#[cfg(feature = "cli")]
mod split;

pub use binarisation::{Binarisation, UnknownBinarisation};
pub use codes::Codes;
pub use error::DataError;
pub use images::Images;
pub use linear_gaussian_sequence::{LinearGaussianSequences, noisy_autoregression};
#[cfg(feature = "cli")]
pub use open::{OpenOptions, TEST_FRACTION};
pub use sequences::{Direction, ImageSequences, Motion, roll};
pub use shapes::Shapes;
pub use source::{Pixels, Source};

/// A named pair of image sets: one to train on, one to test on.
///
/// Made by [`Dataset::from_folder`], or with the feature `cli` by `Dataset::open` and `Dataset::embedded`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// What the data set is called, for captions: `MNIST`, `FashionMNIST`, `EMNIST letters`, `faces`, ...
    pub name: String,
    /// The images to train on.
    pub train: Images,
    /// The held-out images, of the same height and width as the training images.
    pub test: Images,
}
