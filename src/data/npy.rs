//! NumPy's `.npy` format: one array in a file.
//!
//! A file begins with `\x93NUMPY`, two bytes for the version, and the length of the header as a little-endian integer of
//! two bytes (version 1) or four. The header is the text of a Python dictionary: `descr` is the element type,
//! `fortran_order` says whether the first index varies fastest instead of the last, and `shape` is a tuple. The elements
//! follow.

use std::io::{self, Read};

use ndarray::{Array1, Array2, ArrayD, IxDyn, ShapeBuilder};

use super::place::{Place, excerpt};
use super::{DataError, Images, file};

/// The first six bytes of every file.
pub(super) const MAGIC: [u8; 6] = *b"\x93NUMPY";

/// The longest header that is accepted, in bytes. NumPy's own limit is 10,000.
const LONGEST_HEADER: u32 = 1 << 16;

/// Number of bytes read at a time, a multiple of every element size.
const CHUNK: usize = 1 << 16;

/// Advice that always works.
const AS_BYTES: &str = "save them as bytes from 0 to 255 (x.astype(np.uint8))";

/// What whole numbers say of images.
#[derive(Clone, Copy)]
enum Numbers {
    Labels,
    Factors,
}

impl Numbers {
    fn name(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Factors => "factors",
        }
    }

    /// What to do with floating-point numbers.
    fn remedy_for_floats(self) -> &'static str {
        match self {
            Self::Labels => "save them as bytes (y.astype(np.uint8))",
            Self::Factors => {
                "number the values of each factor from 0 and save them as bytes (factors.astype(np.uint8))"
            }
        }
    }

    /// What to do with numbers that are no bytes.
    fn remedy(self) -> &'static str {
        match self {
            Self::Labels => "number the classes from 0, or leave the labels out",
            Self::Factors => "number the values of each factor from 0, or leave the factors out",
        }
    }
}

/// An array whose header has been read, but not its elements.
pub(super) struct Array<'a> {
    place: Place<'a>,
    element: Element,
    fortran_order: bool,
    shape: Vec<usize>,
    source: &'a mut dyn Read,
}

/// The images of an array.
pub(super) struct Pixels {
    /// Image after image, each row by row.
    pub bytes: Vec<u8>,
    /// Whether these are the bytes of the array, not converted floating-point numbers or Booleans.
    pub verbatim: bool,
    count: usize,
    height: usize,
    width: usize,
}

impl Pixels {
    /// Height and width of an image, in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// The number of images.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The images with their labels, if there are any.
    pub fn labelled(self, labels: Option<Array1<u8>>) -> Result<Images, DataError> {
        let shape = (self.count, self.height * self.width);
        let pixels = ndarray::Array2::from_shape_vec(shape, self.bytes)
            .expect("as many elements are read as the shape says");
        Images::new(pixels, self.height, self.width, labels)
    }
}

/// Makes binary images, whose bytes are all 0 or 1 as in dSprites, black and white: 1 becomes 255. Training and test set
/// are binary together or not at all.
pub(super) fn stretch_binary(sets: &mut [Pixels]) {
    let verbatim = || sets.iter().filter(|set| set.verbatim);
    if verbatim().all(|set| set.bytes.iter().all(|&byte| byte <= 1)) {
        for set in sets.iter_mut().filter(|set| set.verbatim) {
            set.bytes.iter_mut().for_each(|byte| *byte *= 255);
        }
    }
}

impl<'a> Array<'a> {
    /// Reads the header.
    pub fn begin(place: Place<'a>, source: &'a mut dyn Read) -> Result<Self, DataError> {
        let header = read_header(place, source)?;
        let Some((description, fortran_order, shape)) = parse_header(&header) else {
            return Err(place.unusable(
                "a header like {'descr': '|u1', 'fortran_order': False, 'shape': (60000, 28, 28)}",
                excerpt(&header),
                "save one plain array with np.save or np.savez",
            ));
        };
        let Some(element) = Element::parse(description) else {
            let remedy = if description.contains('O') {
                "these are Python objects; save an array of numbers"
            } else {
                AS_BYTES
            };
            return Err(place.unusable(
                "an array of integers, floats or Booleans",
                format!("elements of type {}", excerpt(description)),
                remedy,
            ));
        };
        Ok(Self {
            place,
            element,
            fortran_order,
            shape,
            source,
        })
    }

    /// The elements as images: bytes unchanged, true as 255, `x` in `[0, 1]` as `255 x` rounded.
    pub fn into_images(mut self) -> Result<Pixels, DataError> {
        let (count, height, width) = self.images()?;
        let element = self.element;
        // From the bytes of an element to a pixel, or to the value that is out of range. Bytes are copied without it.
        type Convert = fn(&[u8]) -> Result<u8, f64>;
        let convert: Option<Convert> = match (element.kind, element.size) {
            (Kind::Unsigned, 1) => None,
            (Kind::Bool, _) => Some(|bytes| Ok(if bytes[0] == 0 { 0 } else { 255 })),
            (Kind::Float, 2) => Some(|word| unit(half(u16::from_le_bytes(array(word))))),
            (Kind::Float, 4) => Some(|word| unit(f32::from_le_bytes(array(word)).into())),
            (Kind::Float, _) => Some(|word| unit(f64::from_le_bytes(array(word)))),
            (Kind::Unsigned | Kind::Signed, _) => {
                return Err(self.place.unusable(
                    "pixels of type uint8, bool or float",
                    element.name(),
                    AS_BYTES,
                ));
            }
        };
        let mut pixels = Vec::new();
        let (place, fortran_order) = (self.place, self.fortran_order);
        let size = height.saturating_mul(width);
        self.read(&mut |chunk| {
            let Some(convert) = convert else {
                pixels.extend_from_slice(chunk);
                return Ok(());
            };
            for bytes in chunk.chunks_exact(element.size) {
                let pixel = convert(bytes).map_err(|value| {
                    let index = pixels.len();
                    let image = if fortran_order {
                        index % count
                    } else {
                        index / size
                    };
                    out_of_range(place, value, image)
                })?;
                pixels.push(pixel);
            }
            Ok(())
        })?;
        Ok(Pixels {
            bytes: if fortran_order {
                to_c_order(&self.shape, pixels)
            } else {
                pixels
            },
            verbatim: convert.is_none(),
            count,
            height,
            width,
        })
    }

    /// The elements as the labels of `count` images.
    pub fn into_labels(mut self, count: usize) -> Result<Array1<u8>, DataError> {
        if !matches!(*self.shape, [n] | [n, 1] if n == count) {
            return Err(self.place.unusable(
                format!("{count} labels, one for each image"),
                format!("an array of shape {}", shown(&self.shape)),
                "save one whole number for each image (of one-hot labels, y.argmax(axis=1))",
            ));
        }
        Ok(Array1::from_vec(
            self.whole_numbers(Numbers::Labels, [count, 1])?,
        ))
    }

    /// The elements as the factors of `count` images, one row for each.
    pub fn into_factors(mut self, count: usize) -> Result<Array2<u8>, DataError> {
        let columns = match *self.shape {
            [n, columns] if n == count => columns,
            _ => {
                return Err(self.place.unusable(
                    format!("the factors of {count} images, one row for each"),
                    format!("an array of shape {}", shown(&self.shape)),
                    "save an array of shape (images, factors)",
                ));
            }
        };
        let mut numbers = self.whole_numbers(Numbers::Factors, [count, columns])?;
        if self.fortran_order {
            numbers = to_c_order(&self.shape, numbers);
        }
        Ok(Array2::from_shape_vec((count, columns), numbers).expect("as the shape says"))
    }

    /// The elements, each a whole number from 0 to 255, in the order of the file: so many for each of `count` images.
    fn whole_numbers(
        &mut self,
        what: Numbers,
        [count, columns]: [usize; 2],
    ) -> Result<Vec<u8>, DataError> {
        let (place, element, fortran_order) = (self.place, self.element, self.fortran_order);
        let expected = || format!("{} that are whole numbers from 0 to 255", what.name());
        if element.kind == Kind::Float {
            return Err(place.unusable(expected(), element.name(), what.remedy_for_floats()));
        }
        let mut numbers = Vec::new();
        self.read(&mut |chunk| {
            for bytes in chunk.chunks_exact(element.size) {
                let value = element.integer(bytes);
                numbers.push(u8::try_from(value).map_err(|_| {
                    let index = numbers.len();
                    let image = match fortran_order {
                        true => index % count,
                        false => index / columns,
                    };
                    place.unusable(
                        expected(),
                        format!("{value} for image {image}"),
                        what.remedy(),
                    )
                })?);
            }
            Ok(())
        })?;
        Ok(numbers)
    }

    /// Number, height and width of the images, from the shape.
    fn images(&self) -> Result<(usize, usize, usize), DataError> {
        let found = || format!("an array of shape {}", shown(&self.shape));
        let (count, height, width) = match *self.shape {
            [n, h, w] | [n, h, w, 1] | [n, 1, h, w] => (n, h, w),
            [n, d] if d.isqrt().pow(2) == d => (n, d.isqrt(), d.isqrt()),
            [_, _] => {
                return Err(self.place.unusable(
                    "images of shape (n, h, w), or squares of shape (n, h*w)",
                    found(),
                    "say what the pixels are: x.reshape(n, h, w)",
                ));
            }
            [_, _, _, 2..=4] | [_, 2..=4, _, _] => {
                return Err(self.place.unusable(
                    "grey images of shape (n, h, w)",
                    format!("{}, with several channels", found()),
                    "average the channels before saving",
                ));
            }
            _ => {
                return Err(self.place.unusable(
                    "images of shape (n, h, w), (n, h, w, 1) or (n, h*w)",
                    found(),
                    "reshape them before saving",
                ));
            }
        };
        if count == 0 || height == 0 || width == 0 {
            return Err(self.place.unusable(
                "at least one image of at least one pixel",
                found(),
                "use another file",
            ));
        }
        Ok((count, height, width))
    }

    /// Passes all elements to `take` in chunks, each element little-endian. Reads what the shape says and one byte more, to
    /// notice that the file goes on.
    fn read(
        &mut self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let place = self.place;
        let elements = (self.shape.iter()).fold(1, |n: u128, &d| n.saturating_mul(d as u128));
        let expected = elements.saturating_mul(self.element.size as u128);
        let promised = || {
            format!(
                "an array of shape {} ({expected} bytes after the header)",
                shown(&self.shape)
            )
        };
        let mut buffer = vec![0; CHUNK];
        let mut left = expected;
        while left > 0 {
            let wanted = left.min(CHUNK as u128) as usize;
            let chunk = &mut buffer[..wanted];
            let found = fill(self.source, chunk).map_err(|cause| place.corrupt(&cause))?;
            if found < wanted {
                return Err(place.unusable(
                    promised(),
                    format!("{} bytes", expected - left + found as u128),
                    "the file is truncated or its header corrupt; save or download it again",
                ));
            }
            if self.element.big_endian {
                (chunk.chunks_exact_mut(self.element.size)).for_each(|word| word.reverse());
            }
            take(chunk)?;
            left -= wanted as u128;
        }
        let more = fill(self.source, &mut buffer[..1]).map_err(|cause| place.corrupt(&cause))?;
        if more > 0 {
            return Err(place.unusable(
                promised(),
                "more",
                "the file is too long or its header corrupt; save one array by itself",
            ));
        }
        Ok(())
    }
}

/// Reads until `buffer` is full or the source ends, and returns the number of bytes read.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The type of an element.
#[derive(Clone, Copy)]
struct Element {
    kind: Kind,
    /// In bytes: 1, 2, 4 or 8.
    size: usize,
    big_endian: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Unsigned,
    Signed,
    Float,
}

impl Element {
    /// Parses NumPy's notation, such as `<f4`: byte order, kind, size.
    fn parse(description: &str) -> Option<Self> {
        let big_endian = description.starts_with('>');
        let (kind, size) = match description.trim_start_matches(['<', '>', '|', '=']) {
            "b1" => (Kind::Bool, 1),
            "u1" => (Kind::Unsigned, 1),
            "u2" => (Kind::Unsigned, 2),
            "u4" => (Kind::Unsigned, 4),
            "u8" => (Kind::Unsigned, 8),
            "i1" => (Kind::Signed, 1),
            "i2" => (Kind::Signed, 2),
            "i4" => (Kind::Signed, 4),
            "i8" => (Kind::Signed, 8),
            "f2" => (Kind::Float, 2),
            "f4" => (Kind::Float, 4),
            "f8" => (Kind::Float, 8),
            _ => return None,
        };
        Some(Self {
            kind,
            size,
            big_endian,
        })
    }

    /// NumPy's name of the type, such as `int64`.
    fn name(&self) -> String {
        let kind = match self.kind {
            Kind::Bool => return "bool".to_owned(),
            Kind::Unsigned => "uint",
            Kind::Signed => "int",
            Kind::Float => "float",
        };
        format!("{kind}{}", 8 * self.size)
    }

    /// The value of an integer or Boolean from its little-endian bytes.
    fn integer(&self, bytes: &[u8]) -> i128 {
        let negative = self.kind == Kind::Signed && bytes[self.size - 1] >= 0x80;
        let mut word = if negative { [0xff; 16] } else { [0; 16] };
        word[..self.size].copy_from_slice(bytes);
        i128::from_le_bytes(word)
    }
}

/// The bytes of an element whose size is `N`.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes
        .try_into()
        .expect("chunks are of the size of an element")
}

/// The value of a half-precision number: 1 bit for the sign, 5 for the exponent, 10 for the fraction.
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match i32::from(bits >> 10 & 31) {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    };
    if bits >> 15 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// `255 x` rounded to the nearest integer, halves up; or `x` itself as an error if it is not in `[0, 1]`. So the result is
/// at least 128 exactly if `x >= 0.5`.
fn unit(x: f64) -> Result<u8, f64> {
    if (0.0..=1.0).contains(&x) {
        Ok((255.0 * x).round() as u8)
    } else {
        Err(x)
    }
}

fn out_of_range(place: Place, value: f64, image: usize) -> DataError {
    let remedy = if value.is_nan() {
        "remove or replace the NaNs"
    } else if (0.0..=255.0).contains(&value) {
        "divide by the greatest possible value, or save bytes (x.astype(np.uint8))"
    } else {
        "scale the pixels to [0, 1]"
    };
    place.unusable(
        "floating-point pixels in [0, 1]",
        format!("{value:?} in image {image}"),
        remedy,
    )
}

/// From Fortran order, in which the first index varies fastest, to C order, in which the last does.
fn to_c_order(shape: &[usize], elements: Vec<u8>) -> Vec<u8> {
    let array = ArrayD::from_shape_vec(IxDyn(shape).f(), elements)
        .expect("as many elements are read as the shape says");
    array.iter().copied().collect()
}

/// The text of the header.
fn read_header(place: Place, source: &mut dyn Read) -> Result<String, DataError> {
    let mut read = |length: u32| {
        let bytes =
            file::read_at_most(source, u64::from(length)).map_err(|cause| place.corrupt(&cause))?;
        if bytes.len() < length as usize {
            return Err(place.unusable(
                format!("{length} more bytes of the header"),
                format!("{}", bytes.len()),
                "save or download it again",
            ));
        }
        Ok(bytes)
    };
    let start = read(8)?;
    if !start.starts_with(&MAGIC) {
        return Err(place.unusable(
            "a NumPy array, which begins with \\x93NUMPY",
            excerpt(&String::from_utf8_lossy(&start)),
            "save it with np.save or np.savez",
        ));
    }
    let length = match start[6] {
        1 => u32::from(u16::from_le_bytes(array(&read(2)?))),
        2 | 3 => u32::from_le_bytes(array(&read(4)?)),
        version => {
            return Err(place.unusable(
                "version 1, 2 or 3 of NumPy's format",
                format!("version {version}"),
                "save it again with np.save or np.savez",
            ));
        }
    };
    if length > LONGEST_HEADER {
        return Err(place.unusable(
            format!("a header of at most {LONGEST_HEADER} bytes"),
            format!("one of {length}"),
            "save one plain array with np.save or np.savez",
        ));
    }
    Ok(String::from_utf8_lossy(&read(length)?).into_owned())
}

/// Element type, Fortran order and shape, if the header has these three entries and no others.
fn parse_header(header: &str) -> Option<(&str, bool, Vec<usize>)> {
    let mut text = Literal(header);
    let (mut description, mut fortran_order, mut shape) = (None, None, None);
    text.skip("{")?;
    while text.skip("}").is_none() {
        let key = text.string()?;
        text.skip(":")?;
        match key {
            "descr" => description = Some(text.string()?),
            "fortran_order" => fortran_order = Some(text.boolean()?),
            "shape" => shape = Some(text.tuple()?),
            _ => return None,
        }
        if text.skip(",").is_none() {
            text.skip("}")?;
            break;
        }
    }
    text.0.trim().is_empty().then_some(())?;
    Some((description?, fortran_order?, shape?))
}

/// The part of a Python literal that is still to be parsed.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    /// Skips `token` if it comes next.
    fn skip(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(token)?;
        Some(())
    }

    /// A string in single or double quotes, without escapes.
    fn string(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (string, rest) = text[1..].split_once(quote)?;
        self.0 = rest;
        Some(string)
    }

    fn boolean(&mut self) -> Option<bool> {
        let value = self.skip("True").is_some();
        (value || self.skip("False").is_some()).then_some(value)
    }

    /// A tuple of whole numbers; Python 2 wrote an `L` behind long ones.
    fn tuple(&mut self) -> Option<Vec<usize>> {
        let mut numbers = Vec::new();
        self.skip("(")?;
        while self.skip(")").is_none() {
            let text = self.0.trim_start();
            let end = text.find(|c: char| !c.is_ascii_digit())?;
            numbers.push(text[..end].parse().ok()?);
            self.0 = &text[end..];
            let _ = self.skip("L");
            if self.skip(",").is_none() {
                self.skip(")")?;
                break;
            }
        }
        Some(numbers)
    }
}

/// A shape in Python's notation.
fn shown(shape: &[usize]) -> String {
    match shape {
        [n] => format!("({n},)"),
        _ => {
            let numbers: Vec<String> = shape.iter().map(usize::to_string).collect();
            format!("({})", numbers.join(", "))
        }
    }
}
