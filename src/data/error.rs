//! What can be wrong with a data set.

use std::{fmt, io, path::PathBuf};

/// Why images could not be read or made.
///
/// Every message is one line that says which file, what was expected, what was found, and what to do.
/// The cause of an input error is part of that line, hence [`source`](std::error::Error::source) is
/// `None`: reports that print the whole chain would say it twice.
#[derive(Debug)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder could not be read.
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// A folder stands where a file belongs.
    NotAFile {
        /// The folder.
        path: PathBuf,
    },
    /// A device, a pipe or a socket stands where a file belongs.
    NotRegular {
        /// The device, pipe or socket.
        path: PathBuf,
    },
    /// A file was given where a folder belongs.
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// A gzipped file, but the crate was built without gzip.
    GzipNotBuiltIn {
        /// The gzipped file.
        path: PathBuf,
    },
    /// A gzipped file that is cut short or corrupt.
    BadGzip {
        /// The gzipped file.
        path: PathBuf,
        /// What the decompressor says.
        cause: io::Error,
    },
    /// A file whose first four bytes are not those of the IDX file that belongs here.
    WrongMagic {
        /// The file.
        path: PathBuf,
        /// The magic number that belongs here, `0x00000803` for images, `0x00000801` for labels.
        expected: u32,
        /// The magic number in the file.
        found: u32,
    },
    /// A file that ends within its IDX header.
    ShortHeader {
        /// The file.
        path: PathBuf,
        /// Length of the header, in bytes.
        expected: usize,
        /// Length of the file, in bytes (after decompression).
        found: usize,
    },
    /// A header that promises no images, no labels, or images without pixels.
    NothingInside {
        /// The file.
        path: PathBuf,
        /// The dimensions in the header: `[count, height, width]` or `[count]`.
        dimensions: Vec<u32>,
    },
    /// A file that ends before all that its header promises.
    Truncated {
        /// The file.
        path: PathBuf,
        /// The dimensions in the header: `[count, height, width]` or `[count]`.
        dimensions: Vec<u32>,
        /// Bytes that the header promises; may be more than any computer addresses.
        expected: u128,
        /// Bytes that follow the header.
        found: usize,
    },
    /// A file that goes on after all that its header promises.
    TrailingBytes {
        /// The file.
        path: PathBuf,
        /// The dimensions in the header: `[count, height, width]` or `[count]`.
        dimensions: Vec<u32>,
        /// Bytes that the header promises.
        expected: u128,
        /// Bytes after the header; counting stops at one too many.
        found: usize,
    },
    /// Two files that belong together hold different numbers of images and labels.
    CountsDiffer {
        /// The file of images.
        images_path: PathBuf,
        /// Number of images.
        images: usize,
        /// The file of labels.
        labels_path: PathBuf,
        /// Number of labels.
        labels: usize,
    },
    /// No data set in a folder.
    NoDataset {
        /// The names that were looked for.
        names: Vec<String>,
        /// Where they were looked for.
        places: Vec<PathBuf>,
    },
    /// Some, but not all four files of a data set in a folder.
    MissingFiles {
        /// The folder where the others are.
        folder: PathBuf,
        /// The usual names of the missing files.
        missing: Vec<String>,
    },
    /// More than one data set in a folder.
    SeveralDatasets {
        /// The folder that was given.
        folder: PathBuf,
        /// The data sets in it, each with its place.
        datasets: Vec<String>,
        /// Those of them that are splits of EMNIST, by name: `letters`.
        splits: Vec<String>,
    },
    /// The split that was asked for is not there.
    UnknownSplit {
        /// The folder that was given.
        folder: PathBuf,
        /// The split that was asked for.
        split: String,
        /// The splits that are there.
        splits: Vec<String>,
    },
    /// A split was asked for, but there are none to choose from.
    NoSplits {
        /// The file or folder that was given.
        path: PathBuf,
        /// The split that was asked for.
        split: String,
    },
    /// A test fraction was given, but the data have a test set of their own.
    TestSetGiven {
        /// The file or folder of the data set.
        path: PathBuf,
    },
    /// A test fraction that is not between 0 and 1.
    TestFraction {
        /// The fraction.
        fraction: f64,
    },
    /// With this test fraction, the training or the test set would be empty.
    TooFewToSplit {
        /// The file or folder of the images.
        path: PathBuf,
        /// Number of images.
        images: usize,
        /// The fraction.
        fraction: f64,
        /// Number of test images that it makes.
        test: usize,
    },
    /// A file that cannot be read as images or labels: another format, corrupt, or with an element type, shape or value
    /// that images or labels cannot have.
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// The array in the file, if it holds several.
        array: Option<String>,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Training and test images differ in height or width.
    SizesDiffer {
        /// The folder of the data set.
        folder: PathBuf,
        /// Height and width of the training images, in pixels.
        train: (usize, usize),
        /// Height and width of the test images, in pixels.
        test: (usize, usize),
    },
    /// An array of pixels whose rows are not images of the given height and width.
    PixelsPerImage {
        /// Height of an image, in pixels.
        height: usize,
        /// Width of an image, in pixels.
        width: usize,
        /// Number of columns of the array.
        found: usize,
    },
    /// Not one label per image.
    LabelsPerImage {
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// Not one row of factors per image.
    FactorsPerImage {
        /// Number of images.
        images: usize,
        /// Number of rows.
        rows: usize,
    },
}

impl std::error::Error for DataError {}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, cause } => write!(
                f,
                "{}: cannot be read ({cause}); check that it exists and that you may read it",
                path.display()
            ),
            Self::NotAFile { path } => write!(
                f,
                "{}: expected a file, found a folder; put the file itself here",
                path.display()
            ),
            Self::NotRegular { path } => write!(
                f,
                "{}: expected a file, found a device, a pipe or a socket; copy the data to a file",
                path.display()
            ),
            Self::NotAFolder { path } => write!(
                f,
                "{}: expected a folder, found a file; give the folder that holds the four IDX files",
                path.display()
            ),
            Self::GzipNotBuiltIn { path } => write!(
                f,
                "{}: gzipped, and this build reads no gzip; gunzip it, or build with the feature `cli`",
                path.display()
            ),
            Self::BadGzip { path, cause } => write!(
                f,
                "{}: expected a whole gzip stream, found a cut or corrupt one ({cause}); download it again",
                path.display()
            ),
            Self::WrongMagic {
                path,
                expected,
                found,
            } => write!(
                f,
                "{}: expected the magic number {expected:#010x} ({}), found {found:#010x} ({}); \
                 check that this is the right file, or download it again",
                path.display(),
                meaning(*expected),
                meaning(*found)
            ),
            Self::ShortHeader {
                path,
                expected,
                found,
            } => write!(
                f,
                "{}: expected an IDX header of {expected} bytes, found {found} bytes in all; \
                 download it again",
                path.display()
            ),
            Self::NothingInside { path, dimensions } => write!(
                f,
                "{}: expected at least one image of at least one pixel, or one label, found a header \
                 that says {}; use another file",
                path.display(),
                contents(dimensions)
            ),
            Self::Truncated {
                path,
                dimensions,
                expected,
                found,
            } => write!(
                f,
                "{}: expected {} ({expected} bytes after the header), found {found} bytes: \
                 the file is cut short or its header corrupt; download it again",
                path.display(),
                contents(dimensions)
            ),
            Self::TrailingBytes {
                path,
                dimensions,
                expected,
                found,
            } => write!(
                f,
                "{}: expected {} ({expected} bytes after the header), found at least {found}: \
                 the file is too long or its header corrupt; download it again",
                path.display(),
                contents(dimensions)
            ),
            Self::CountsDiffer {
                images_path,
                images,
                labels_path,
                labels,
            } => write!(
                f,
                "{}: expected {images} labels, one for each image of {}, found {labels}; \
                 use two files of the same data set",
                labels_path.display(),
                images_path.display()
            ),
            Self::NoDataset { names, places } => {
                let places: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
                write!(
                    f,
                    "no IDX data set found: expected {} (gzipped or not, also spelt like \
                     train-images.idx3-ubyte, or as EMNIST names them, like \
                     emnist-letters-train-images-idx3-ubyte), found none of them in {}; \
                     give the folder that holds the four files",
                    names.join(", "),
                    places.join(", ")
                )
            }
            Self::MissingFiles { folder, missing } => write!(
                f,
                "{}: expected the four files of a data set, found no {} (gzipped or not); \
                 put what is missing beside the others",
                folder.display(),
                missing.join(", no ")
            ),
            Self::SeveralDatasets {
                folder,
                datasets,
                splits,
            } => {
                let option = match splits.first() {
                    Some(split) => format!("add --split {split} or another split, or "),
                    None => String::new(),
                };
                write!(
                    f,
                    "{}: expected one data set, found {}: {}; to choose one, {option}give a folder \
                     that holds its four files and no others",
                    folder.display(),
                    datasets.len(),
                    datasets.join(", ")
                )
            }
            Self::UnknownSplit {
                folder,
                split,
                splits,
            } => write!(
                f,
                "{}: expected one of the splits {}, found `{}`; choose one that is there, as \
                 --split {}",
                folder.display(),
                splits.join(", "),
                split.escape_debug(),
                splits.first().map_or("letters", String::as_str)
            ),
            Self::NoSplits { path, split } => write!(
                f,
                "{}: expected several splits of EMNIST, one of them `{}`, found none; leave out --split",
                path.display(),
                split.escape_debug()
            ),
            Self::TestSetGiven { path } => write!(
                f,
                "{}: expected data without a test set for --test-fraction, found one; \
                 leave out --test-fraction",
                path.display()
            ),
            Self::TestFraction { fraction } => write!(
                f,
                "expected a test fraction greater than 0 and less than 1, found {fraction:?}; \
                 try 0.1"
            ),
            Self::TooFewToSplit {
                path,
                images,
                fraction,
                test,
            } => write!(
                f,
                "{}: expected at least one training and one test image, found {images} images, of \
                 which --test-fraction {fraction} makes {test} test images; {}",
                path.display(),
                if *images < 2 {
                    "add images".to_owned()
                } else {
                    "add images, or use --test-fraction 0.5".to_owned()
                }
            ),
            Self::Unusable {
                path,
                array,
                expected,
                found,
                remedy,
            } => {
                write!(f, "{}", path.display())?;
                if let Some(array) = array {
                    write!(f, ", {array}")?;
                }
                write!(f, ": expected {expected}, found {found}; {remedy}")
            }
            Self::SizesDiffer {
                folder,
                train,
                test,
            } => write!(
                f,
                "{}: expected test images of {} x {} pixels like the training images, found {} x {}; \
                 use four files of the same data set",
                folder.display(),
                train.0,
                train.1,
                test.0,
                test.1
            ),
            Self::PixelsPerImage {
                height,
                width,
                found,
            } => write!(
                f,
                "expected images of {height} x {width} pixels, at least one pixel each, found rows of \
                 {found} pixels; give height and width whose product is the number of columns"
            ),
            Self::LabelsPerImage { images, labels } => write!(
                f,
                "expected {images} labels, one for each image, found {labels}; give as many labels \
                 as images, or none at all"
            ),
            Self::FactorsPerImage { images, rows } => write!(
                f,
                "expected {images} rows of factors, one for each image, found {rows}; give as many rows \
                 as images"
            ),
        }
    }
}

/// What the header of a file promises, in words.
fn contents(dimensions: &[u32]) -> String {
    match dimensions {
        [count, height, width] => format!("{count} images of {height} x {width} pixels"),
        [count] => format!("{count} labels"),
        other => format!("an array of dimensions {other:?}"),
    }
}

/// What a magic number stands for, in words.
fn meaning(magic: u32) -> &'static str {
    match magic {
        0x0000_0803 => "images of unsigned bytes",
        0x0000_0801 => "labels of unsigned bytes",
        _ => "neither images nor labels of unsigned bytes",
    }
}
