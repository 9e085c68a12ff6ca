//! Folders of PNG images, whose sub-folders may be classes.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
};

use ndarray::{Array1, Array2};
use png::{BitDepth, Decoder, Transformations};

use super::place::{Place, list};
use super::{DataError, Images, file};
use crate::distributions::noise::stream;

/// Deflate's greatest expansion: two bits can stand for 258 bytes.
const DEFLATE_RATIO: u64 = 1032;

/// Labels are bytes.
const MOST_CLASSES: usize = 256;

/// Sub-folders beside `train` that are parts of a data set, not classes.
const OTHER_PARTS: [&str; 3] = ["val", "valid", "validation"];

/// The training images of a folder, then its test images if it has any.
pub(super) fn read(folder: &Path) -> Result<Vec<Images>, DataError> {
    let sets = sets(folder)?;
    // Both sets share the numbers, even if one lacks a class.
    let classes: BTreeSet<&OsStr> = (sets.iter().flatten())
        .filter_map(|image| image.class.as_deref())
        .collect();
    let classes = Vec::from_iter(classes);
    if classes.len() > MOST_CLASSES {
        return Err(Place::file(folder).unusable(
            format!("at most {MOST_CLASSES} sub-folders, one for each class"),
            classes.len().to_string(),
            "put the images in fewer folders, or all in one",
        ));
    }

    let mut first: Option<(&Path, (u32, u32))> = None;
    let mut images = Vec::new();
    for (index, set) in sets.iter().enumerate() {
        let mut pixels = Vec::new();
        for Listed { path, .. } in set {
            let size = decode(path, first, &mut pixels)?;
            first.get_or_insert((path, size));
        }
        let (_, (height, width)) = first.expect("no set is empty");
        let (height, width) = (height as usize, width as usize);
        let pixels = Array2::from_shape_vec((set.len(), height * width), pixels)
            .expect("every image is of the size of the first");
        let labels: Option<Array1<u8>> = (set.iter())
            .map(|image| Some(classes.binary_search(&image.class.as_deref()?).ok()? as u8))
            .collect();
        let is_labelled = labels.is_some();
        let mut set = Images::new(pixels, height, width, labels)?;
        if is_labelled {
            // Pictures and estimates take the first images of a set: these must not all be of one class.
            set.shuffle(&mut stream(0, "classes", index as u64));
        }
        images.push(set);
    }
    Ok(images)
}

/// A PNG file and its class, if any.
struct Listed {
    path: PathBuf,
    class: Option<OsString>,
}

/// The images in `train` and `test` if a folder has both, else those of the folder itself. No set is empty.
fn sets(folder: &Path) -> Result<Vec<Vec<Listed>>, DataError> {
    let contents = Contents::of(folder)?;
    let has = |name: &str| contents.folders.iter().any(|folder| folder == name);
    if has("train") && has("test") {
        return Ok(vec![
            set(&folder.join("train"))?,
            set(&folder.join("test"))?,
        ]);
    }
    let is_part = |name: &OsString| name == "train" || OTHER_PARTS.iter().any(|part| name == part);
    if has("train") && contents.folders.iter().all(is_part) {
        return Err(Place::file(folder).unusable(
            "sub-folders train and test",
            list(&Vec::from_iter((contents.folders.iter()).map(|name| name.to_string_lossy()))),
            "rename the folder of test images to test, or give the folder train to hold out a part of it",
        ));
    }
    Ok(vec![set(folder)?])
}

/// The images in a folder, or those in its sub-folders, which are then their classes; at least one.
fn set(folder: &Path) -> Result<Vec<Listed>, DataError> {
    let contents = Contents::of(folder)?;
    let unlabelled: Vec<Listed> = (contents.images.iter())
        .map(|name| Listed {
            path: folder.join(name),
            class: None,
        })
        .collect();
    let mut labelled: Vec<Listed> = Vec::new();
    for class in &contents.folders {
        let path = folder.join(class);
        let members = Contents::of(&path)?;
        if members.images.is_empty() && unlabelled.is_empty() {
            return Err(nothing(&path, &members));
        }
        labelled.extend(members.images.iter().map(|name| Listed {
            path: path.join(name),
            class: Some(class.clone()),
        }));
    }
    match (unlabelled.first(), labelled.first()) {
        (None, None) => Err(nothing(folder, &contents)),
        (Some(_), None) => Ok(unlabelled),
        (None, Some(_)) => Ok(labelled),
        (Some(one), Some(other)) => Err(Place::file(folder).unusable(
            "images either in the folder or in its sub-folders",
            format!("both {} and {}", one.path.display(), other.path.display()),
            "move one kind elsewhere",
        )),
    }
}

/// The error for a folder without images; the advice depends on what it holds instead.
fn nothing(folder: &Path, contents: &Contents) -> DataError {
    let any = |endings: &[&str]| {
        let mut extensions = contents
            .others
            .iter()
            .filter_map(|name| Path::new(name).extension());
        extensions.any(|found| {
            endings
                .iter()
                .any(|ending| found.eq_ignore_ascii_case(ending))
        })
    };
    let remedy = if any(&["npy", "npz"]) {
        "give the path of the array file itself"
    } else if any(&["jpg", "jpeg", "gif", "bmp", "tif", "tiff", "webp"]) {
        "convert the images to PNG"
    } else {
        "give the folder that holds the images"
    };
    let files = contents
        .others
        .iter()
        .map(|name| name.to_string_lossy().into_owned());
    let folders = contents
        .folders
        .iter()
        .map(|name| format!("{}/", name.to_string_lossy()));
    Place::file(folder).unusable(
        "the four IDX files of a data set (train-images-idx3-ubyte, ...), PNG images, or a folder of PNG \
         images for each class",
        list(&Vec::from_iter(files.chain(folders))),
        remedy,
    )
}

/// The entries of a folder in order of name, without hidden ones.
struct Contents {
    images: Vec<OsString>,
    folders: Vec<OsString>,
    others: Vec<OsString>,
}

impl Contents {
    fn of(folder: &Path) -> Result<Self, DataError> {
        let names: io::Result<BTreeSet<OsString>> = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
        let names = names.map_err(|cause| DataError::Unreadable {
            path: folder.to_owned(),
            cause,
        })?;
        let mut contents = Self {
            images: Vec::new(),
            folders: Vec::new(),
            others: Vec::new(),
        };
        for name in names {
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let is_png = Path::new(&name)
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("png"));
            if folder.join(&name).is_dir() {
                contents.folders.push(name);
            } else if is_png {
                contents.images.push(name);
            } else {
                contents.others.push(name);
            }
        }
        Ok(contents)
    }
}

/// Appends the grey pixels of a PNG file to `pixels` and returns its height and width. They must equal those of the
/// `first` image, if there is one.
fn decode(
    path: &Path,
    first: Option<(&Path, (u32, u32))>,
    pixels: &mut Vec<u8>,
) -> Result<(u32, u32), DataError> {
    let place = Place::file(path);
    let bad = |cause: png::DecodingError| {
        place.unusable(
            "a whole PNG image",
            format!("another format or a corrupt file ({cause})"),
            "save it again as PNG",
        )
    };
    let bytes = file::read_at_most(&mut file::open(path)?, u64::MAX).map_err(|cause| {
        DataError::Unreadable {
            path: path.to_owned(),
            cause,
        }
    })?;
    let most = bytes.len() as u64 * DEFLATE_RATIO;
    let mut decoder = Decoder::new(io::Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);

    // The size is checked before anything is allocated for it.
    let header = decoder.read_header_info().map_err(bad)?;
    let (width, height) = header.size();
    if let Some((other, size)) = first
        && size != (height, width)
    {
        return Err(place.unusable(
            format!("{} x {} pixels as in {}", size.0, size.1, other.display()),
            format!("{height} x {width}"),
            "scale or crop all images to one size",
        ));
    }
    let row = header.raw_row_length() as u64;
    if row.saturating_mul(u64::from(height)) > most {
        return Err(place.unusable(
            format!("an image of {height} x {width} pixels, as its header says"),
            "a file too small for it",
            "save it again as PNG",
        ));
    }

    let mut reader = decoder.read_info().map_err(bad)?;
    // The decoder panics at it.
    if let Some(palette) = &reader.info().palette
        && !(palette.len().is_multiple_of(3) && (3..=3 * 256).contains(&palette.len()))
    {
        return Err(place.unusable(
            "a palette of 1 to 256 colours, 3 bytes each",
            format!("one of {} bytes", palette.len()),
            "save it again as PNG",
        ));
    }
    let length = reader
        .output_buffer_size()
        .expect("no more than a file expands to");
    let mut samples = vec![0; length];
    reader.next_frame(&mut samples).map_err(bad)?;
    let (colour, depth) = reader.output_color_type();
    if depth == BitDepth::Sixteen {
        // Round to the nearest of the 256 levels, which are 257 apart.
        samples = (samples.as_chunks::<2>().0.iter())
            .map(|&pair| ((u32::from(u16::from_be_bytes(pair)) + 128) / 257) as u8)
            .collect();
    }
    let channels = colour.samples();
    let opaque =
        channels % 2 == 1 || (samples.chunks_exact(channels)).all(|p| p[channels - 1] == 255);
    if !opaque {
        return Err(place.unusable(
            "an opaque image",
            "transparent pixels",
            "flatten it onto a background first",
        ));
    }
    pixels.extend(samples.chunks_exact(channels).map(|pixel| match *pixel {
        [red, green, blue, ..] => luma(red, green, blue),
        _ => pixel[0],
    }));
    Ok((height, width))
}

/// The luma of ITU-R BT.601, `0.299 R + 0.587 G + 0.114 B`. The weights are rounded to 16 bits as in Pillow, so the
/// bytes are the same; grey pixels do not change.
fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}
