//! Opening a data set of any format.

use std::{fs, io::Seek, path::Path};

use super::place::Place;
use super::{DataError, Dataset, Images, file, folder, npy, npz, png_folder, split::split};

/// The default fraction of the images that is held out as the test set.
pub const TEST_FRACTION: f64 = 0.1;

/// Choices for [`Dataset::open`]. The defaults suit every source that leaves no choice.
///
/// Each field has an option of the same name on the command line, and error messages refer to that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenOptions {
    /// The split of EMNIST, for a folder that holds several: `byclass`, `bymerge`, `balanced`, `letters`, `digits` or
    /// `mnist` (`--split`).
    pub split: Option<String>,
    /// The fraction of the images to hold out as the test set, greater than 0 and less than 1, for a source without one
    /// (`--test-fraction`). By default [`TEST_FRACTION`].
    pub test_fraction: Option<f64>,
}

impl Dataset {
    /// The data set in a file or folder of any of the [accepted formats](super#accepted-formats).
    ///
    /// ```no_run
    /// use elbo::data::{Dataset, OpenOptions};
    ///
    /// # fn main() -> Result<(), elbo::data::DataError> {
    /// let digits = Dataset::open("mnist.npz", &OpenOptions::default())?;
    /// let letters = Dataset::open(
    ///     "EMNIST/raw",
    ///     &OpenOptions { split: Some("letters".to_owned()), ..OpenOptions::default() },
    /// )?;
    /// let faces = Dataset::open(
    ///     "faces",
    ///     &OpenOptions { test_fraction: Some(0.2), ..OpenOptions::default() },
    /// )?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// If the source has a single set of `n` images, `round(test_fraction · n)` of them, chosen at random with a fixed
    /// seed, become the test set. A smaller test set is a subset of every larger one.
    ///
    /// The data set is named after the file, without its extension, or after the folder, as in
    /// [`from_folder`](Self::from_folder).
    ///
    /// # Errors
    ///
    /// Any but [`DataError::NotAFolder`], [`DataError::PixelsPerImage`], [`DataError::LabelsPerImage`] and
    /// [`DataError::FactorsPerImage`].
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, DataError> {
        let path = path.as_ref();
        let is_folder = fs::metadata(path)
            .map_err(|cause| DataError::Unreadable {
                path: path.to_owned(),
                cause,
            })?
            .is_dir();
        if is_folder {
            let found = folder::find(path)?;
            if !found.is_empty() {
                let files = folder::choose(path, &found, options.split.as_deref())?;
                return match options.test_fraction {
                    Some(_) => Err(DataError::TestSetGiven {
                        path: path.to_owned(),
                    }),
                    None => files.read(),
                };
            }
        }
        if let Some(split) = &options.split {
            return Err(DataError::NoSplits {
                path: path.to_owned(),
                split: split.clone(),
            });
        }
        let (name, sets) = if is_folder {
            (folder::title(path), png_folder::read(path)?)
        } else {
            let stem = path.file_stem().unwrap_or(path.as_os_str());
            (stem.to_string_lossy().into_owned(), arrays(path)?)
        };
        let mut sets = sets.into_iter();
        let (train, test) = match (sets.next(), sets.next()) {
            (Some(_), Some(_)) if options.test_fraction.is_some() => {
                return Err(DataError::TestSetGiven {
                    path: path.to_owned(),
                });
            }
            (Some(train), Some(test)) => (train, test),
            (Some(images), None) => {
                split(path, images, options.test_fraction.unwrap_or(TEST_FRACTION))?
            }
            (None, _) => unreachable!("a source without images is an error"),
        };
        Ok(Self { name, train, test })
    }
}

impl Dataset {
    /// The name and the test set of what [`open`](Self::open) would read. Of a folder with the four IDX files, the two of
    /// the training set are not read and may be missing.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_test(
        path: impl AsRef<Path>,
        options: &OpenOptions,
    ) -> Result<(String, Images), DataError> {
        let path = path.as_ref();
        if options.test_fraction.is_none() && path.is_dir() {
            let found = folder::find(path)?;
            if !found.is_empty() {
                return folder::choose(path, &found, options.split.as_deref())?.read_test();
            }
        }
        let Self { name, test, .. } = Self::open(path, options)?;
        Ok((name, test))
    }
}

/// The training images of an array file, then its test images if it has any.
fn arrays(path: &Path) -> Result<Vec<Images>, DataError> {
    let mut file = file::open(path)?;
    let unreadable = |cause| DataError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let start = file::read_at_most(&mut file, 8).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    let place = Place::file(path);
    if start.starts_with(&npy::MAGIC) {
        let mut images = [npy::Array::begin(place, &mut file)?.into_images()?];
        npy::stretch_binary(&mut images);
        let [images] = images;
        return Ok(vec![images.labelled(None)?]);
    }
    // The first bytes of an archive, and those of an empty one.
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return npz::read(path, file);
    }
    let (found, remedy) = match *start {
        [0x1f, 0x8b, ..] | [0, 0, 8, 1 | 3, ..] => (
            "an IDX or gzip file",
            "give the folder that holds the four files",
        ),
        [0x89, b'P', b'N', b'G', ..] => ("a PNG image", "give the folder that holds the images"),
        [] => ("an empty file", "save or download it again"),
        _ => (
            "another format",
            "save the images with np.save or np.savez, or as a folder of PNGs",
        ),
    };
    Err(place.unusable(
        "a NumPy array (.npy) or an archive of arrays (.npz)",
        found,
        remedy,
    ))
}
