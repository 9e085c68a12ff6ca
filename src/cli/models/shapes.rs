//! Shapes that are drawn, or images that are read, as the data of a model.

use std::path::Path;

use anyhow::{Result, ensure};
use clap::Args;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::images::ImageCommand;
use super::{DataCommand, ImageData, ImageShape, LoadedData, TestData};
use crate::autodiff::Tape;
use crate::cli::options::{Data, positive};
use crate::data::{Binarisation, Pixels, Shapes, Source, shapes::COMBINATIONS};
use crate::nn::Batch;

/// Combinations of factors that are held out.
const HELD_OUT: usize = 10_000;

/// Which shapes, or which images in their place.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[command(mut_arg("path", |arg| arg.help(PATH_HELP).long_help(PATH_HELP)))]
pub struct ShapeData {
    #[command(flatten)]
    #[serde(flatten)]
    images: ImageData,

    /// Pixels of a side of the shapes that are drawn: 32 or 64
    #[arg(long, value_name = "PIXELS", default_value = "32", value_parser = side, allow_negative_numbers = true)]
    size: usize,

    /// Shapes that are drawn for an epoch
    #[arg(long, value_name = "N", default_value = "51200", value_parser = positive, allow_negative_numbers = true)]
    draws: usize,
}

const PATH_HELP: &str = "Images in the place of the shapes: dSprites' .npz file, whose factors are read too, or whatever the other models \
    take (`elbo train vae --help`). Without it, a square, an ellipse or a heart is drawn at random scale, orientation and position for \
    every image";

fn side(text: &str) -> Result<usize> {
    let side = positive(text).unwrap_or(0);
    ensure!(side == 32 || side == 64, "expected 32 or 64");
    Ok(side)
}

/// Where images come from.
#[derive(Clone, Debug)]
pub enum ShapeSource {
    /// They are drawn.
    Drawn(Shapes),
    /// They were read.
    Read(Pixels),
}

impl Source<f32> for ShapeSource {
    fn len(&self) -> usize {
        match self {
            Self::Drawn(shapes) => Source::<f32>::len(shapes),
            Self::Read(pixels) => Source::<f32>::len(pixels),
        }
    }

    fn batch<'t>(
        &self,
        tape: &'t Tape<f32>,
        indices: &[usize],
        rng: &mut StdRng,
    ) -> Batch<'t, f32> {
        match self {
            Self::Drawn(shapes) => shapes.batch(tape, indices, rng),
            Self::Read(pixels) => pixels.batch(tape, indices, rng),
        }
    }
}

impl ShapeData {
    /// The drawn shapes; `None` if images are read.
    fn drawn(&self) -> Option<(ImageShape, [ShapeSource; 2])> {
        let shape = ImageShape {
            height: self.size,
            width: self.size,
        };
        (self.path().is_none()).then(|| {
            let sets = Shapes::split(self.size, self.draws, HELD_OUT);
            (shape, sets.map(ShapeSource::Drawn))
        })
    }
}

impl ImageCommand for ShapeData {
    fn with(&self, data: &Data, binarise: Option<Binarisation>) -> Self {
        Self {
            images: self.images.with(data, binarise),
            ..*self
        }
    }

    fn path(&self) -> Option<&Path> {
        self.images.path()
    }
}

/// What the drawn shapes are called.
const NAME: &str = "shapes";

impl DataCommand for ShapeData {
    type Shape = ImageShape;
    type Source = ShapeSource;

    fn absolute(self) -> Self {
        Self {
            images: self.images.absolute(),
            ..self
        }
    }

    fn load(&self) -> Result<LoadedData<Self>> {
        if let Some((shape, [train, test])) = self.drawn() {
            // They are determined by these numbers.
            let mut checksum = flate2::Crc::new();
            for number in [self.size, self.draws, HELD_OUT] {
                checksum.update(&(number as u64).to_le_bytes());
            }
            return Ok(LoadedData {
                name: NAME.to_owned(),
                shape,
                train,
                test,
                checksum: checksum.sum(),
            });
        }
        let LoadedData {
            name,
            shape,
            train,
            test,
            checksum,
        } = self.images.load()?;
        Ok(LoadedData {
            name,
            shape,
            train: ShapeSource::Read(train),
            test: ShapeSource::Read(test),
            checksum,
        })
    }

    fn load_test(&self) -> Result<TestData<Self>> {
        if let Some((shape, [_, test])) = self.drawn() {
            let name = NAME.to_owned();
            return Ok(TestData { name, shape, test });
        }
        let TestData { name, shape, test } = self.images.load_test()?;
        let test = ShapeSource::Read(test);
        Ok(TestData { name, shape, test })
    }

    fn count(data: &LoadedData<Self>) -> String {
        let (train, test) = (data.train.len(), data.test.len());
        match data.train {
            ShapeSource::Drawn(_) => format!(
                "in each epoch {train} drawn from {} combinations of factors, and {test} other ones to test on,",
                COMBINATIONS - HELD_OUT
            ),
            ShapeSource::Read(_) => format!("{train} training and {test} test"),
        }
    }

    fn describe(shape: &ImageShape) -> String {
        ImageData::describe(shape)
    }
}
