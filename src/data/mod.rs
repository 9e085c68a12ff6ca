//! Images to learn from: IDX files, arrays of NumPy, folders of PNGs, embedded digits, binarisation.
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
//! # What is accepted
//!
//! `Dataset::open` (with the feature `cli`) takes a file or a folder and tells from its content which of these it is:
//!
//! | | images | labels | test set |
//! |---|---|---|---|
//! | folder of [IDX files](Dataset::from_folder) | bytes, plain or gzipped | bytes | the files `t10k-...` or `...-test-...` |
//! | `.npy` file | one array | none | split off |
//! | `.npz` file, stored or deflated | arrays by the names below | arrays by the names below | arrays by the names below, or split off |
//! | folder of PNGs | PNG files, all of one size | none | split off |
//! | folder of folders of PNGs | PNG files, all of one size | the folder: the first by name is class 0, and so on | split off |
//! | folder with `train` and `test` | either of the last two in each | one numbering for both | `test` |
//!
//! Of several data sets in a folder of IDX files, `OpenOptions::split` chooses a split of EMNIST. Where there is no test
//! set, `OpenOptions::test_fraction` of the images become one. Labels are whole numbers from 0 to 255.
//!
//! **Arrays** of images have the shape (n, h, w), (n, h, w, 1), (n, 1, h, w), or (n, h·w) for squares, in C or Fortran
//! order and any byte order. Their elements are
//!
//! - `uint8`: the pixels as they are; but if no element is greater than 1, the images are binary and 1 becomes 255;
//! - `bool`: false becomes 0, true 255;
//! - `float16`, `float32` or `float64` from 0 to 1: `x` becomes the nearest byte to `255 x`, halves up. A pixel is at
//!   least 128 just if `x >= 0.5`, and bytes that were divided by 255 come back. Numbers out of range and NaN are
//!   errors.
//!
//! Arrays of labels are of integers or Booleans, and of the shape (n) or (n, 1).
//!
//! The first of these **names** of which an archive has the images decides (in either case of letters); other arrays are
//! not read. An only array may have any name.
//!
//! | images | labels | test images | test labels | as in |
//! |---|---|---|---|---|
//! | `x_train` | `y_train` | `x_test` | `y_test` | Keras' `mnist.npz` |
//! | `train_images` | `train_labels` | `test_images` | `test_labels` | MedMNIST |
//! | `x` | `y` | | | |
//! | `images` | `labels` | | | |
//! | `imgs` | `labels` | | | dSprites |
//! | `arr_0` | `arr_1` | `arr_2` | `arr_3` | `np.savez` without names |
//!
//! **PNGs** may have any depth and be grey, coloured or with a palette. Colour becomes grey by the luma of ITU-R BT.601,
//! `0.299 R + 0.587 G + 0.114 B`, as in Pillow and torchvision; 16 bits are rounded to 8. Transparent pixels are an
//! error, since their colour depends on the background. Hidden files and others than
//! `.png` are passed over. Images without labels come in the order of their names; classes are mixed, by a shuffle that
//! is the same in every run, so that the first images of a set can stand for all.
//!
//! Nothing is unpacked beyond what a header promises, and no memory is taken on the word of a header alone.

mod binarisation;
#[cfg(feature = "cli")]
mod embedded;
mod error;
mod file;
mod folder;
pub mod idx;
mod images;
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
mod source;
#[cfg(feature = "cli")]
mod split;

pub use binarisation::{Binarisation, UnknownBinarisation};
pub use error::DataError;
pub use images::Images;
#[cfg(feature = "cli")]
pub use open::{OpenOptions, TEST_FRACTION};
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
