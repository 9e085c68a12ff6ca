//! Finding the four files of a data set in a folder.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use super::{DataError, Dataset, Images, idx};

/// Where torchvision puts the files, below the folder that it is given.
const TORCHVISION: [&str; 3] = ["MNIST/raw", "FashionMNIST/raw", "EMNIST/raw"];

impl Dataset {
    /// The data set whose four IDX files (images and labels to train on, images and labels to test on)
    /// lie in `folder`.
    ///
    /// The files are named as those of MNIST, which Fashion-MNIST and KMNIST share, or of EMNIST:
    ///
    /// | | MNIST | EMNIST |
    /// |---|---|---|
    /// | training images | `train-images-idx3-ubyte` | `emnist-letters-train-images-idx3-ubyte` |
    /// | training labels | `train-labels-idx1-ubyte` | `emnist-letters-train-labels-idx1-ubyte` |
    /// | test images | `t10k-images-idx3-ubyte` | `emnist-letters-test-images-idx3-ubyte` |
    /// | test labels | `t10k-labels-idx1-ubyte` | `emnist-letters-test-labels-idx1-ubyte` |
    ///
    /// Each may end in `.gz` (to read it takes the feature `cli`) and may be spelt with a dot, as
    /// `train-images.idx3-ubyte`. If one file is there in several forms, the plain one is taken before
    /// the gzipped one, then the dash before the dot.
    ///
    /// They are looked for in `folder` itself, then in `raw` below it, then where torchvision puts
    /// them: in `MNIST/raw`, `FashionMNIST/raw` and `EMNIST/raw`. The first of these three steps that
    /// finds anything must find one data set only; choose among several by giving a folder with one (or, among
    /// the splits of EMNIST, with `Dataset::open`).
    ///
    /// EMNIST stores its images transposed: they are turned back, so that letters stand upright.
    ///
    /// The data set is named after its folder, or the one above if that is called `raw`; EMNIST after
    /// its split, as `EMNIST letters`.
    ///
    /// # Errors
    ///
    /// Any but [`DataError::PixelsPerImage`], [`DataError::LabelsPerImage`] and [`DataError::FactorsPerImage`]: no data set in the
    /// folder, several, or one of which files are missing, unreadable, corrupt or do not fit together.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self, DataError> {
        let folder = folder.as_ref();
        if folder.is_file() {
            return Err(DataError::NotAFolder {
                path: folder.to_owned(),
            });
        }
        match find(folder)? {
            found if found.is_empty() => Err(DataError::NoDataset {
                names: Naming::Mnist.four_files().map(|[usual, ..]| usual).to_vec(),
                places: steps(folder).concat(),
            }),
            found => choose(folder, &found, None)?.read(),
        }
    }
}

/// The folders where a data set is looked for, in the steps in which they are.
fn steps(folder: &Path) -> [Vec<PathBuf>; 3] {
    [
        vec![folder.to_owned()],
        vec![folder.join("raw")],
        TORCHVISION.map(|place| folder.join(place)).to_vec(),
    ]
}

/// The data sets of four IDX files in a folder, those of the first step that finds any.
pub(super) fn find(folder: &Path) -> Result<Vec<Files>, DataError> {
    // Says why the folder cannot be read, where a search would only say that nothing is there.
    names_in(folder).map_err(|cause| DataError::Unreadable {
        path: folder.to_owned(),
        cause,
    })?;
    for places in steps(folder) {
        let mut found = Vec::new();
        for place in &places {
            found.extend(Files::all_in(place)?);
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// The one that is meant of the data sets in a folder, of which there is at least one: the split of that name, or the
/// only one.
pub(super) fn choose<'a>(
    folder: &Path,
    found: &'a [Files],
    split: Option<&str>,
) -> Result<&'a Files, DataError> {
    let splits = || -> Vec<String> {
        (found.iter().filter_map(Files::split))
            .map(str::to_owned)
            .collect()
    };
    match (split, found) {
        (Some(split), _) => match found.iter().find(|files| files.split() == Some(split)) {
            Some(files) => Ok(files),
            None if splits().is_empty() => Err(DataError::NoSplits {
                path: folder.to_owned(),
                split: split.to_owned(),
            }),
            None => Err(DataError::UnknownSplit {
                folder: folder.to_owned(),
                split: split.to_owned(),
                splits: splits(),
            }),
        },
        (None, [only]) => Ok(only),
        (None, several) => Err(DataError::SeveralDatasets {
            folder: folder.to_owned(),
            datasets: several.iter().map(Files::to_string).collect(),
            splits: splits(),
        }),
    }
}

/// The files of one data set in one folder, not necessarily all of them.
pub(super) struct Files {
    folder: PathBuf,
    naming: Naming,
    /// The names of all files in the folder.
    names: BTreeSet<String>,
}

impl Files {
    /// All data sets of which a file lies in `folder`; none if there is no such folder.
    fn all_in(folder: &Path) -> Result<Vec<Self>, DataError> {
        let names = match names_in(folder) {
            Ok(names) => names,
            Err(cause)
                if matches!(
                    cause.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Vec::new());
            }
            Err(cause) => {
                return Err(DataError::Unreadable {
                    path: folder.to_owned(),
                    cause,
                });
            }
        };
        let namings: BTreeSet<Naming> = names.iter().filter_map(|name| Naming::of(name)).collect();
        Ok(namings
            .into_iter()
            .map(|naming| Self {
                folder: folder.to_owned(),
                naming,
                names: names.clone(),
            })
            .collect())
    }

    pub(super) fn read(&self) -> Result<Dataset, DataError> {
        let spellings = self.naming.four_files();
        let (mut train, mut test) = match self.paths(&spellings)?[..] {
            [
                ref train_images,
                ref train_labels,
                ref test_images,
                ref test_labels,
            ] => (
                idx::read_labelled(train_images, train_labels)?,
                idx::read_labelled(test_images, test_labels)?,
            ),
            _ => unreachable!("a path for each spelling"),
        };

        let size = |images: &Images| (images.height(), images.width());
        if size(&train) != size(&test) {
            return Err(DataError::SizesDiffer {
                folder: self.folder.clone(),
                train: size(&train),
                test: size(&test),
            });
        }
        if let Naming::Emnist { .. } = self.naming {
            (train, test) = (train.transposed(), test.transposed());
        }
        Ok(Dataset {
            name: self.title(),
            train,
            test,
        })
    }

    /// The test set alone: the training set's files may be missing.
    #[cfg(feature = "cli")]
    pub(super) fn read_test(&self) -> Result<(String, Images), DataError> {
        let [_, _, images, labels] = self.naming.four_files();
        let test = match &self.paths(&[images, labels])?[..] {
            [images, labels] => idx::read_labelled(images, labels)?,
            _ => unreachable!("a path for each spelling"),
        };
        let test = match self.naming {
            Naming::Emnist { .. } => test.transposed(),
            Naming::Mnist => test,
        };
        Ok((self.title(), test))
    }

    /// The files of these spellings.
    ///
    /// # Errors
    /// With the usual names of those that are missing.
    fn paths(&self, spellings: &[[String; 4]]) -> Result<Vec<PathBuf>, DataError> {
        let paths: Vec<_> = spellings.iter().map(|names| self.path(names)).collect();
        let missing: Vec<String> = (spellings.iter().zip(&paths))
            .filter(|(_, path)| path.is_none())
            .map(|([usual, ..], _)| usual.clone())
            .collect();
        match missing.is_empty() {
            true => Ok(paths.into_iter().flatten().collect()),
            false => Err(DataError::MissingFiles {
                folder: self.folder.clone(),
                missing,
            }),
        }
    }

    /// The name of the split of EMNIST that these are, if any.
    fn split(&self) -> Option<&str> {
        match &self.naming {
            Naming::Emnist { split } => Some(split),
            Naming::Mnist => None,
        }
    }

    /// The first of `names` that is a file here, or else a folder: to read it says what is wrong.
    fn path(&self, names: &[String; 4]) -> Option<PathBuf> {
        let here = || {
            names
                .iter()
                .filter(|&name| self.names.contains(name))
                .map(|name| self.folder.join(name))
        };
        here().find(|path| !path.is_dir()).or_else(|| here().next())
    }

    /// What the data set is called.
    fn title(&self) -> String {
        match &self.naming {
            Naming::Emnist { split } => format!("EMNIST {split}"),
            Naming::Mnist => title(&self.folder),
        }
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.title(), self.folder.display())
    }
}

/// How the files of a data set are named.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Naming {
    /// As MNIST: `t10k-images-idx3-ubyte`.
    Mnist,
    /// As EMNIST: `emnist-letters-test-images-idx3-ubyte`.
    Emnist {
        /// `byclass`, `bymerge`, `balanced`, `letters`, `digits` or `mnist`.
        split: String,
    },
}

impl Naming {
    /// How the file of this name is named, if it belongs to a data set.
    fn of(name: &str) -> Option<Self> {
        let name = name.strip_suffix(".gz").unwrap_or(name);
        let name = name.strip_suffix("-ubyte")?;
        let name = [
            "-images-idx3",
            "-images.idx3",
            "-labels-idx1",
            "-labels.idx1",
        ]
        .iter()
        .find_map(|&ending| name.strip_suffix(ending))?;
        if matches!(name, "train" | "t10k") {
            return Some(Self::Mnist);
        }
        let name = name.strip_prefix("emnist-")?;
        let split = ["-train", "-test"]
            .iter()
            .find_map(|&ending| name.strip_suffix(ending))?;
        Some(Self::Emnist {
            split: split.to_owned(),
        })
    }

    /// The spellings of the names of training images, training labels, test images and test labels,
    /// each in the order of preference.
    fn four_files(&self) -> [[String; 4]; 4] {
        let (prefix, test) = match self {
            Self::Mnist => (String::new(), "t10k"),
            Self::Emnist { split } => (format!("emnist-{split}-"), "test"),
        };
        [
            ("train", "images", "idx3"),
            ("train", "labels", "idx1"),
            (test, "images", "idx3"),
            (test, "labels", "idx1"),
        ]
        .map(|(part, kind, idx)| {
            [("-", ""), (".", ""), ("-", ".gz"), (".", ".gz")]
                .map(|(separator, gz)| format!("{prefix}{part}-{kind}{separator}{idx}-ubyte{gz}"))
        })
    }
}

/// What a folder is called, or the one above if that is called `raw`.
pub(super) fn title(folder: &Path) -> String {
    fs::canonicalize(folder)
        .unwrap_or_else(|_| folder.to_owned())
        .ancestors()
        .filter_map(Path::file_name)
        .find(|&name| name != "raw")
        .map_or_else(
            || "images".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
}

/// The names of what lies in a folder, but for those that are not Unicode.
fn names_in(folder: &Path) -> io::Result<BTreeSet<String>> {
    fs::read_dir(folder)?
        .filter_map(|entry| {
            entry
                .map(|entry| entry.file_name().into_string().ok())
                .transpose()
        })
        .collect()
}
