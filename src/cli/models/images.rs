//! Images as the data of a model.

use std::path::Path;

use anyhow::{Result, ensure};
use clap::Args;
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::{DataCommand, LoadedData, ModelCommand, Saved, SourceOf, TestData, file_of};
use crate::autodiff::{Tape, array};
use crate::cli::options::{Data, ensure_png};
use crate::cli::output::{ensure_distinct, ensure_not_data, write_atomically};
use crate::cli::picture::Tiles;
use crate::cli::progress::{say, warn};
use crate::cli::requests::Reconstruct;
use crate::data::{Binarisation, Images, Pixels, Source};
use crate::distributions::noise::stream;

/// No image has more pixels, and no layer is wider.
pub const MAX_WIDTH: usize = 1 << 16;

/// Which images, and what becomes of grey pixels.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageData {
    #[command(flatten)]
    #[serde(flatten)]
    data: Data,

    /// What becomes of grey pixels: none (they stay grey), threshold (at one half), stochastic (drawn anew whenever
    /// an image is seen)
    #[arg(long, value_name = "HOW", default_value = "none")]
    pub binarise: Binarisation,
}

/// Data that are images, whether they are read or drawn.
pub trait ImageCommand: DataCommand<Shape = ImageShape> {
    /// As in training, but for what the caller wants otherwise.
    fn with(&self, data: &Data, binarise: Option<Binarisation>) -> Self;

    /// Where they are, if they are read from somewhere.
    fn path(&self) -> Option<&Path>;
}

impl ImageCommand for ImageData {
    fn with(&self, data: &Data, binarise: Option<Binarisation>) -> Self {
        Self {
            data: data.or(&self.data),
            binarise: binarise.unwrap_or(self.binarise),
        }
    }

    fn path(&self) -> Option<&Path> {
        self.data.path()
    }
}

/// The size of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageShape {
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
}

impl ImageShape {
    /// That of a set of images.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn of(images: &Images) -> Result<Self> {
        let shape = Self {
            height: images.height(),
            width: images.width(),
        };
        shape.check()?;
        Ok(shape)
    }

    /// How many pixels an image has.
    pub fn dimensions(&self) -> usize {
        self.height * self.width
    }

    /// Refuses sizes that no model is built for.
    ///
    /// # Errors
    /// If an image has no pixel or too many.
    pub fn check(&self) -> Result<()> {
        let Self { height, width } = self;
        let pixels = height.checked_mul(*width);
        ensure!(
            pixels.is_some_and(|pixels| (1..=MAX_WIDTH).contains(&pixels)),
            "images may have from 1 to {MAX_WIDTH} pixels, found {height}x{width}"
        );
        Ok(())
    }
}

impl<M: ModelCommand<Data: ImageCommand>> Saved<M> {
    /// Images of the size that the model was trained on, to be laid out.
    ///
    /// # Errors
    /// If there are too many for a picture.
    pub fn tiles<'a>(&self, images: ArrayView2<'a, f32>) -> Result<Tiles<'a>> {
        let shape = self.configuration.shape;
        Tiles::new(images, shape.height, shape.width)
    }
}

/// Images as a model sees them in training.
pub fn seen(pixels: &impl Source<f32>, indices: &[usize], seed: u64) -> Array2<f32> {
    let tape = Tape::new();
    let mut rng = stream(seed, "view", 0);
    array(pixels.batch(&tape, indices, &mut rng).data.value())
}

impl Reconstruct {
    /// Writes the picture of a model of images: from those of the test set whose indices are given, and a seed, `views` makes the
    /// upper rows and the lower ones.
    pub(super) fn draw<M: ModelCommand<Data: ImageCommand>>(
        &self,
        saved: &Saved<M>,
        views: impl FnOnce(&SourceOf<M>, &[usize], u64) -> (Array2<f32>, Array2<f32>),
    ) -> Result<()> {
        ensure_distinct([&file_of(&self.model), &self.out])?;
        ensure_png(&self.out)?;
        let configuration = &saved.configuration;
        let chosen = configuration.data.with(&self.data, self.binarise);
        ensure_not_data(&self.out, chosen.path())?;
        let images = configuration.test_data(&chosen)?.test;
        let there = images.len();
        if self.count > there {
            warn(&format!("the test set has {there} images: all are shown"));
        }
        let shown: Vec<usize> = (0..there.min(self.count)).collect();
        let (above, below) = views(&images, &shown, configuration.settings.seed);
        let above = self.layout.scale(saved.tiles(above.view())?);
        let below = self.layout.scale(saved.tiles(below.view())?);
        let png = above.above(&below, self.layout.columns)?.png()?;
        write_atomically(&self.out, |file| Ok(file.write_all(&png)?))?;
        say(&format!(
            "{} images and their reconstructions in {}",
            shown.len(),
            self.out.display()
        ))
    }
}

impl DataCommand for ImageData {
    type Shape = ImageShape;
    type Source = Pixels;

    fn absolute(self) -> Self {
        Self {
            data: self.data.absolute(),
            ..self
        }
    }

    fn load(&self) -> Result<LoadedData<Self>> {
        let data = self.data.load()?;
        let shape = ImageShape::of(&data.train)?;
        let mut checksum = flate2::Crc::new();
        for images in [&data.train, &data.test] {
            checksum.update(images.pixels().as_slice().expect("in standard layout"));
        }
        Ok(LoadedData {
            name: data.name,
            shape,
            train: data.train.pixels_as(self.binarise),
            test: data.test.pixels_as(self.binarise),
            checksum: checksum.sum(),
        })
    }

    fn load_test(&self) -> Result<TestData<Self>> {
        let (name, test) = self.data.load_test()?;
        Ok(TestData {
            name,
            shape: ImageShape::of(&test)?,
            test: test.pixels_as(self.binarise),
        })
    }

    fn count(data: &LoadedData<Self>) -> String {
        let count = |pixels: &Pixels| Images::len(&pixels.images);
        let (train, test) = (count(&data.train), count(&data.test));
        format!("{train} training and {test} test")
    }

    fn describe(ImageShape { height, width }: &ImageShape) -> String {
        format!("images of {height}x{width} pixels")
    }
}
