//! The `.npz` format of NumPy: a zip archive of `.npy` files, stored or deflated.
//!
//! The names of the arrays say what they hold. Arrays whose names are not in [`SETS`] are not read at all.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use flate2::read::DeflateDecoder;
use rawzip::{
    CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder,
};

use ndarray::{Array2, Axis};

use super::npy::{self, Pixels};
use super::place::{Place, list};
use super::{DataError, Images};

/// The usual names of images and labels: first of the training set, then of the test set.
///
/// The first entry whose training images are in the archive is used. Case does not matter.
const SETS: [&[[&str; 2]]; 6] = [
    &[["x_train", "y_train"], ["x_test", "y_test"]],
    &[
        ["train_images", "train_labels"],
        ["test_images", "test_labels"],
    ],
    &[["x", "y"]],
    &[["images", "labels"]],
    &[["imgs", "labels"]],
    &[["arr_0", "arr_1"], ["arr_2", "arr_3"]],
];

/// What dSprites calls the array of factors.
const FACTORS: &str = "latents_classes";

/// The training images of an archive, then its test images if it has any.
pub(super) fn read(path: &Path, file: File) -> Result<Vec<Images>, DataError> {
    let archive = Archive::open(path, file)?;
    let mut pixels: Vec<Pixels> = Vec::new();
    let mut labels = Vec::new();
    for (images, label) in archive.sets()? {
        let set = archive.read(images, |array| array.into_images())?;
        if let Some(first) = pixels.first()
            && first.size() != set.size()
        {
            let shown = |(height, width)| format!("images of {height} x {width} pixels");
            return Err(archive.place(images).unusable(
                format!("{} as in the training set", shown(first.size())),
                shown(set.size()),
                "save images of one size",
            ));
        }
        labels.push(match label {
            Some(label) => Some(archive.read(label, |array| array.into_labels(set.count()))?),
            None => None,
        });
        pixels.push(set);
    }
    npy::stretch_binary(&mut pixels);
    let factors = archive.factors(&pixels)?;
    let sets = (pixels.into_iter().zip(labels)).map(|(set, labels)| set.labelled(labels));
    let mut sets = sets.collect::<Result<Vec<Images>, _>>()?;
    if let Some(factors) = factors {
        let images = sets.pop().expect("factors are of the only set");
        sets.push(images.with_factors(factors)?);
    }
    Ok(sets)
}

/// The columns of factors that take more than one value, or none if no factor does.
fn varying(factors: Array2<u8>) -> Option<Array2<u8>> {
    let varies = |&column: &usize| {
        let column = factors.column(column);
        column.iter().any(|&value| value != column[0])
    };
    let columns: Vec<usize> = (0..factors.ncols()).filter(varies).collect();
    (!columns.is_empty()).then(|| factors.select(Axis(1), &columns))
}

/// An archive whose directory has been read.
struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<FileReader>,
    arrays: BTreeMap<String, Member>,
}

/// An array in an archive.
struct Member {
    place: ZipArchiveEntryWayfinder,
    method: CompressionMethod,
    encrypted: bool,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path, file: File) -> Result<Self, DataError> {
        let place = Place::file(path);
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let zip =
            ZipArchive::from_file(file, &mut buffer).map_err(|cause| place.corrupt(&cause))?;
        let mut arrays = BTreeMap::new();
        let mut others = Vec::new();
        let mut entries = zip.entries(&mut buffer);
        while let Some(entry) = entries
            .next_entry()
            .map_err(|cause| place.corrupt(&cause))?
        {
            let name = String::from_utf8_lossy(entry.file_path().as_bytes()).into_owned();
            let Some(name) = name.strip_suffix(".npy") else {
                others.push(name);
                continue;
            };
            // Of two with the same name the later one counts, as in Python.
            arrays.insert(
                name.to_owned(),
                Member {
                    place: entry.wayfinder(),
                    method: entry.compression_method(),
                    encrypted: entry.flags().is_encrypted(),
                },
            );
        }
        if arrays.is_empty() {
            return Err(place.unusable(
                "an archive of arrays, as np.savez writes it",
                list(&others),
                "if it is an archive of images, unpack it and give the folder",
            ));
        }
        Ok(Self { path, zip, arrays })
    }

    /// The names of the training images and their labels, then of the test images and their labels.
    fn sets(&self) -> Result<Vec<(&str, Option<&str>)>, DataError> {
        let find = |usual: &str| {
            let mut names = self.arrays.keys().map(String::as_str);
            names.find(|name| name.eq_ignore_ascii_case(usual))
        };
        for naming in SETS {
            if find(naming[0][0]).is_some() {
                return Ok(naming
                    .iter()
                    .filter_map(|&[images, labels]| Some((find(images)?, find(labels))))
                    .collect());
            }
        }
        let mut names = self.arrays.keys().map(String::as_str);
        match (names.next(), names.next()) {
            (Some(only), None) => Ok(vec![(only, None)]),
            _ => {
                let usual: Vec<&str> = SETS.iter().map(|naming| naming[0][0]).collect();
                Err(Place::file(self.path).unusable(
                    format!("images under one of the names {}", usual.join(", ")),
                    list(&Vec::from_iter(self.arrays.keys())),
                    "rename the array, or save it alone",
                ))
            }
        }
    }

    /// What the images of the only set were made from, if the archive says so as dSprites' does.
    ///
    /// # Errors
    /// If the factors do not fit, or there are two sets: nothing says then whose they are.
    fn factors(&self, sets: &[Pixels]) -> Result<Option<Array2<u8>>, DataError> {
        if !self.arrays.contains_key(FACTORS) {
            return Ok(None);
        }
        let [only] = sets else {
            return Err(self.place(FACTORS).unusable(
                "factors beside images of one set",
                "them beside a training and a test set",
                "save all images in one array, of which a test set is held out, or leave the factors out",
            ));
        };
        let factors = self.read(FACTORS, |array| array.into_factors(only.count()))?;
        Ok(varying(factors))
    }

    fn place<'b>(&'b self, name: &'b str) -> Place<'b> {
        Place {
            path: self.path,
            array: Some(name),
        }
    }

    /// Calls `read` with the array of this name. Checksum and size are verified when its last byte has been read.
    fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(npy::Array) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let place = self.place(name);
        let member = &self.arrays[name];
        if member.encrypted {
            return Err(place.unusable(
                "an unencrypted array",
                "an encrypted one",
                "save it without a password",
            ));
        }
        let entry = (self.zip.get_entry(member.place)).map_err(|cause| place.corrupt(&cause))?;
        let mut unpacked: Box<dyn Read> = match member.method {
            CompressionMethod::STORE => Box::new(entry.verifying_reader(entry.reader())),
            CompressionMethod::DEFLATE => {
                Box::new(entry.verifying_reader(DeflateDecoder::new(entry.reader())))
            }
            method => {
                return Err(place.unusable(
                    "an array stored or compressed by deflate",
                    format!("one compressed by {method}"),
                    "save it with np.savez or np.savez_compressed",
                ));
            }
        };
        read(npy::Array::begin(place, &mut unpacked)?)
    }
}
