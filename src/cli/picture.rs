//! Sheets of small grayscale images, as PNG.

use anyhow::{Context, Result, bail, ensure};
use ndarray::ArrayView2;

/// The gray of the sheet between and around the images: dark, so that the black ground of the digits runs together
/// into one calm surface, yet light enough to tell where one image ends.
pub const PAPER: u8 = 56;

/// The gap between two images that belong together, in pixels of the sheet.
const THIN: usize = 2;

/// The gap between two groups of images.
const WIDE: usize = 14;

/// The width that a sheet keeps to, if it can, when it chooses the enlargement by itself.
const COMFORTABLE_WIDTH: usize = 1200;

/// The largest enlargement that is chosen unasked: a 28x28 digit becomes 84x84.
const COMFORTABLE_SCALE: usize = 3;

/// The most pixels that a sheet may have.
const MOST_PIXELS: usize = 1 << 28;

/// Refuses a number of images that no sheet holds, before they are computed.
pub fn check_count(count: usize, (height, width): (usize, usize)) -> Result<()> {
    let tile = (height + THIN).checked_mul(width + THIN);
    let pixels = tile.and_then(|tile| tile.checked_mul(count));
    ensure!(
        pixels.is_some_and(|pixels| pixels <= MOST_PIXELS),
        "a sheet of {count} images of {height}x{width} pixels is too large"
    );
    Ok(())
}

/// Equally large images, ready to be laid out on a [`Sheet`].
#[derive(Debug, Clone, Copy)]
pub struct Tiles<'a> {
    images: ArrayView2<'a, f32>,
    height: usize,
    width: usize,
    scale: Option<usize>,
}

impl<'a> Tiles<'a> {
    /// One image a row of `images`, the pixels row by row, 0 black and 1 white; what is beyond is clamped.
    ///
    /// Says no to NaN, to no images at all, and to rows that are not `height * width` long.
    pub fn new(images: ArrayView2<'a, f32>, height: usize, width: usize) -> Result<Self> {
        ensure!(
            height > 0 && width > 0,
            "images of {height}x{width} pixels have nothing to show"
        );
        ensure!(images.nrows() > 0, "no images to show");
        ensure!(
            height.checked_mul(width) == Some(images.ncols()),
            "images of {height}x{width} pixels cannot have {} values each",
            images.ncols()
        );
        if let Some(position) = images.iter().position(|value| value.is_nan()) {
            bail!(
                "image {} has pixels that are not a number",
                position / images.ncols()
            );
        }
        Ok(Self {
            images,
            height,
            width,
            scale: None,
        })
    }

    /// Every pixel becomes a square of `scale` by `scale`, instead of what suits the width of the sheet.
    pub fn scaled(self, scale: usize) -> Self {
        Self {
            scale: Some(scale.max(1)),
            ..self
        }
    }

    /// How many images there are.
    pub fn count(&self) -> usize {
        self.images.nrows()
    }

    /// A plain grid, row by row, the last row as full as it gets.
    pub fn grid(&self, columns: usize) -> Result<Sheet> {
        ensure!(columns > 0, "a grid needs a column");
        let columns = columns.min(self.count());
        let rows = self.count().div_ceil(columns);
        let mut sheet = self.sheet(Gaps::even(columns, THIN), Gaps::even(rows, THIN), THIN)?;
        for index in 0..self.count() {
            sheet.put(self, index, index / columns, index % columns);
        }
        Ok(sheet)
    }

    /// Each of these images right above its counterpart in `below`: the two rows of a pair nearly touch, and a wide
    /// gap sets one pair of rows off from the next.
    pub fn above(&self, below: &Tiles, columns: usize) -> Result<Sheet> {
        ensure!(columns > 0, "a grid needs a column");
        ensure!(
            self.images.dim() == below.images.dim() && self.width == below.width,
            "{} images cannot be paired with {}, or they differ in size",
            self.count(),
            below.count()
        );
        let columns = columns.min(self.count());
        let rows = 2 * self.count().div_ceil(columns);
        let between_rows = |row: usize| if row % 2 == 1 { THIN } else { WIDE };
        // Columns stand well apart, so that the eye goes down a pair and not along a row.
        let across = Gaps::even(columns, 3 * THIN);
        let mut sheet = self.sheet(across, Gaps::of(rows, between_rows), WIDE)?;
        for index in 0..self.count() {
            let (row, column) = (2 * (index / columns), index % columns);
            sheet.put(self, index, row, column);
            sheet.put(below, index, row + 1, column);
        }
        Ok(sheet)
    }

    /// One path a row, from the image in the first column to that in the last; these two stand apart from the steps
    /// between them.
    pub fn paths(&self, columns: usize) -> Result<Sheet> {
        ensure!(
            columns >= 3,
            "a path has two ends and at least one step between them"
        );
        ensure!(
            self.count().is_multiple_of(columns),
            "{} images do not make paths of {columns}",
            self.count()
        );
        let between_columns = |column: usize| {
            if column == 1 || column == columns - 1 {
                WIDE
            } else {
                THIN
            }
        };
        let rows = Gaps::even(self.count() / columns, 3 * THIN);
        let mut sheet = self.sheet(Gaps::of(columns, between_columns), rows, WIDE)?;
        for index in 0..self.count() {
            sheet.put(self, index, index / columns, index % columns);
        }
        Ok(sheet)
    }

    /// One sequence a row, of which the first `past` images stand apart from those that follow; each `rows` rows belong together.
    pub fn groups(&self, (columns, past): (usize, usize), rows: usize) -> Result<Sheet> {
        ensure!(columns > 0 && rows > 0, "a sheet needs a row and a column");
        ensure!(
            self.count().is_multiple_of(columns),
            "{} images do not make sequences of {columns}",
            self.count()
        );
        let across = Gaps::of(columns, |column| if column == past { WIDE } else { THIN });
        let between_rows = |row: usize| {
            if row.is_multiple_of(rows) { WIDE } else { THIN }
        };
        let down = Gaps::of(self.count() / columns, between_rows);
        let mut sheet = self.sheet(across, down, WIDE)?;
        for index in 0..self.count() {
            sheet.put(self, index, index / columns, index % columns);
        }
        Ok(sheet)
    }

    /// `side` by `side` images without any gap, for a plane through the latent space.
    pub fn manifold(&self, side: usize) -> Result<Sheet> {
        ensure!(
            side.checked_mul(side) == Some(self.count()),
            "{} images do not make a square of {side}x{side}",
            self.count()
        );
        let mut sheet = self.sheet(Gaps::even(side, 0), Gaps::even(side, 0), 0)?;
        for index in 0..self.count() {
            sheet.put(self, index, index / side, index % side);
        }
        Ok(sheet)
    }

    /// An empty sheet for images of this size, with a margin all around.
    fn sheet(&self, across: Gaps, down: Gaps, margin: usize) -> Result<Sheet> {
        let scale = self.scale.unwrap_or_else(|| {
            let natural = self.width.saturating_mul(across.before.len());
            (COMFORTABLE_WIDTH / natural).clamp(1, COMFORTABLE_SCALE)
        });
        let lefts = across.starts(self.width, scale, margin);
        let tops = down.starts(self.height, scale, margin);
        let size = lefts.zip(tops).context("the sheet is too large")?;
        let ((lefts, width), (tops, height)) = size;
        match width.checked_mul(height) {
            Some(pixels) if pixels <= MOST_PIXELS => Ok(Sheet {
                width,
                height,
                scale,
                lefts,
                tops,
                pixels: vec![PAPER; pixels],
            }),
            _ => bail!("a sheet of {width}x{height} pixels is too large"),
        }
    }

    /// The gray of a pixel of an image.
    fn gray(&self, index: usize, y: usize, x: usize) -> u8 {
        // In range by the clamping, and a number by the check of `new`.
        (self.images[(index, y * self.width + x)].clamp(0.0, 1.0) * 255.0).round() as u8
    }
}

/// The gaps along one side of a sheet: that before each row (or column), the first of them zero.
struct Gaps {
    before: Vec<usize>,
}

impl Gaps {
    /// `count` rows with the same gap between them.
    fn even(count: usize, gap: usize) -> Self {
        Self::of(count, |_| gap)
    }

    /// `count` rows, with `gap(i)` before row `i`, for `i` from 1.
    fn of(count: usize, gap: impl Fn(usize) -> usize) -> Self {
        let before = (0..count)
            .map(|i| if i == 0 { 0 } else { gap(i) })
            .collect();
        Self { before }
    }

    /// Where each row begins, and the length of the whole side; nothing if that is beyond counting.
    fn starts(&self, tile: usize, scale: usize, margin: usize) -> Option<(Vec<usize>, usize)> {
        let tile = tile.checked_mul(scale)?;
        let mut end = margin;
        let mut starts = Vec::with_capacity(self.before.len());
        for gap in &self.before {
            let start = end.checked_add(*gap)?;
            starts.push(start);
            end = start.checked_add(tile)?;
        }
        Some((starts, end.checked_add(margin)?))
    }
}

/// A finished picture.
#[derive(Debug, Clone)]
pub struct Sheet {
    width: usize,
    height: usize,
    scale: usize,
    lefts: Vec<usize>,
    tops: Vec<usize>,
    pixels: Vec<u8>,
}

impl Sheet {
    /// Its width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The bytes of an 8-bit grayscale PNG file, the same for the same picture.
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(
            &mut bytes,
            u32::try_from(self.width)?,
            u32::try_from(self.height)?,
        );
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        writer.finish()?;
        Ok(bytes)
    }

    /// Draws an image in its place, every pixel a square.
    fn put(&mut self, tiles: &Tiles, index: usize, row: usize, column: usize) {
        let (top, left) = (self.tops[row], self.lefts[column]);
        let side = tiles.width * self.scale;
        for y in 0..tiles.height * self.scale {
            let start = (top + y) * self.width + left;
            for (x, pixel) in self.pixels[start..start + side].iter_mut().enumerate() {
                *pixel = tiles.gray(index, y / self.scale, x / self.scale);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};
    use std::io::Cursor;

    /// The picture in the bytes of a PNG file.
    fn decoded(bytes: &[u8]) -> Array2<u8> {
        let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(
            (info.color_type, info.bit_depth),
            (png::ColorType::Grayscale, png::BitDepth::Eight)
        );
        Array2::from_shape_vec((info.height as usize, info.width as usize), pixels).unwrap()
    }

    /// `count` images of 2x3 pixels, image `i` all of gray `first + i`.
    fn plain(count: usize, first: u8) -> Array2<f32> {
        Array2::from_shape_fn((count, 6), |(i, _)| (f32::from(first) + i as f32) / 255.0)
    }

    /// The grays met on a line through a sheet, and how long each lasts.
    fn runs<'a>(line: impl IntoIterator<Item = &'a u8>) -> Vec<(u8, usize)> {
        let mut runs: Vec<(u8, usize)> = Vec::new();
        for &gray in line {
            match runs.last_mut() {
                Some((last, length)) if *last == gray => *length += 1,
                _ => runs.push((gray, 1)),
            }
        }
        runs
    }

    #[test]
    fn pixels_are_clamped_scaled_and_put_in_order() {
        let images = array![[0.0, 1.0, 0.5, -3.0, 7.0, f32::INFINITY]];
        let sheet = Tiles::new(images.view(), 2, 3)
            .unwrap()
            .scaled(2)
            .manifold(1)
            .unwrap();
        let expected = array![
            [0, 0, 255, 255, 128, 128],
            [0, 0, 255, 255, 128, 128],
            [0, 0, 255, 255, 255, 255],
            [0, 0, 255, 255, 255, 255]
        ];
        assert_eq!(decoded(&sheet.png().unwrap()), expected);
    }

    #[test]
    fn a_grid_runs_row_by_row_and_leaves_the_rest_empty() {
        let images = plain(5, 100);
        let sheet = Tiles::new(images.view(), 2, 3)
            .unwrap()
            .scaled(1)
            .grid(3)
            .unwrap();
        let picture = decoded(&sheet.png().unwrap());
        assert_eq!(picture.dim(), (2 * 2 + 3 * THIN, 3 * 3 + 4 * THIN));
        let gap = (PAPER, THIN);
        let first = [gap, (100, 3), gap, (101, 3), gap, (102, 3), gap];
        assert_eq!(runs(picture.row(THIN)), first);
        let second = [gap, (103, 3), gap, (104, 3), (PAPER, THIN + 3 + THIN)];
        assert_eq!(runs(picture.row(2 * THIN + 2)), second);
    }

    #[test]
    fn a_pair_is_one_above_the_other_and_closer_than_the_next() {
        let (originals, reconstructions) = (plain(4, 100), plain(4, 200));
        let originals = Tiles::new(originals.view(), 2, 3).unwrap().scaled(1);
        let reconstructions = Tiles::new(reconstructions.view(), 2, 3).unwrap();
        let sheet = originals.above(&reconstructions, 2).unwrap();
        let picture = decoded(&sheet.png().unwrap());
        let (edge, pair, next) = ((PAPER, WIDE), (PAPER, THIN), (PAPER, WIDE));
        let first = [
            edge,
            (100, 2),
            pair,
            (200, 2),
            next,
            (102, 2),
            pair,
            (202, 2),
            edge,
        ];
        assert_eq!(runs(picture.column(WIDE)), first);
        let last = picture.column(picture.ncols() - 1 - WIDE);
        let second = [
            edge,
            (101, 2),
            pair,
            (201, 2),
            next,
            (103, 2),
            pair,
            (203, 2),
            edge,
        ];
        assert_eq!(runs(last), second);
    }

    #[test]
    fn the_ends_of_a_path_stand_apart() {
        let images = plain(8, 100);
        let sheet = Tiles::new(images.view(), 2, 3)
            .unwrap()
            .scaled(1)
            .paths(4)
            .unwrap();
        let picture = decoded(&sheet.png().unwrap());
        let (wide, thin) = ((PAPER, WIDE), (PAPER, THIN));
        let row = [
            wide,
            (100, 3),
            wide,
            (101, 3),
            thin,
            (102, 3),
            wide,
            (103, 3),
            wide,
        ];
        assert_eq!(runs(picture.row(WIDE)), row);
    }

    #[test]
    fn a_manifold_has_no_gaps() {
        let images = plain(9, 100);
        let sheet = Tiles::new(images.view(), 2, 3)
            .unwrap()
            .scaled(1)
            .manifold(3)
            .unwrap();
        let picture = decoded(&sheet.png().unwrap());
        assert_eq!(picture.dim(), (6, 9));
        assert_eq!(runs(picture.row(2)), [(103, 3), (104, 3), (105, 3)]);
    }

    #[test]
    fn digits_are_enlarged_unless_there_are_many_in_a_row() {
        let images = Array2::zeros((400, 784));
        let tiles = Tiles::new(images.view(), 28, 28).unwrap();
        assert_eq!(tiles.grid(10).unwrap().scale, 3);
        assert_eq!(tiles.manifold(20).unwrap().scale, 2);
        assert_eq!(tiles.grid(400).unwrap().scale, 1);
    }

    #[test]
    fn the_same_picture_is_the_same_bytes() {
        let images = plain(7, 3);
        let bytes = || Tiles::new(images.view(), 2, 3)?.grid(3)?.png();
        assert_eq!(bytes().unwrap(), bytes().unwrap());
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let mut images = plain(4, 0);
        let new = |images: &Array2<f32>, height, width| {
            Tiles::new(images.view(), height, width)
                .err()
                .map(|error| error.to_string())
        };
        assert!(new(&images, 2, 2).is_some());
        assert!(new(&images, 0, 6).is_some());
        assert!(new(&images, usize::MAX, 6).is_some());
        assert!(new(&Array2::zeros((0, 6)), 2, 3).is_some());

        let tiles = Tiles::new(images.view(), 2, 3).unwrap();
        let three = plain(3, 0);
        let fewer = Tiles::new(three.view(), 2, 3).unwrap();
        let turned = Tiles::new(images.view(), 3, 2).unwrap();
        assert!(tiles.grid(0).is_err());
        assert!(tiles.above(&fewer, 2).is_err());
        assert!(tiles.above(&turned, 2).is_err());
        assert!(tiles.paths(2).is_err());
        assert!(tiles.paths(3).is_err());
        assert!(tiles.manifold(3).is_err());
        assert!(tiles.scaled(usize::MAX).grid(2).is_err());
        assert!(tiles.scaled(1 << 20).grid(2).is_err());

        images[(2, 1)] = f32::NAN;
        assert_eq!(
            new(&images, 2, 3).unwrap(),
            "image 2 has pixels that are not a number"
        );
    }
}
