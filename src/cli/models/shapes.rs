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

/// Pixels of a side, if nothing else is asked for.
const SIDE: usize = 32;

/// Shapes that are drawn for an epoch, if no other number is asked for.
const DRAWS: usize = 51_200;

/// No more are drawn for an epoch, whose order is held in memory.
const MOST_DRAWS: usize = 1 << 28;

/// Which shapes, or which images in their place.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[command(mut_arg("path", |arg| arg.help(PATH_HELP).long_help(PATH_HELP)))]
pub struct ShapeData {
    #[command(flatten)]
    #[serde(flatten)]
    images: ImageData,

    /// Pixels of a side of the shapes that are drawn: 32 or 64 [default: 32]
    #[arg(long, value_name = "PIXELS", value_parser = side, allow_negative_numbers = true)]
    size: Option<usize>,

    /// Shapes that are drawn for an epoch [default: 51200]
    #[arg(long, value_name = "N", value_parser = draws, allow_negative_numbers = true)]
    draws: Option<usize>,
}

const PATH_HELP: &str = "Images in the place of the shapes: dSprites' .npz file, whose factors are read too, or whatever the other models \
    take (`elbo train vae --help`). Without it, a square, an ellipse or a heart is drawn at random scale, orientation and position for \
    every image";

fn side(text: &str) -> Result<usize> {
    let side = positive(text).unwrap_or(0);
    ensure!(side == 32 || side == 64, "expected 32 or 64");
    Ok(side)
}

/// A number of shapes for an epoch.
pub fn draws(text: &str) -> Result<usize> {
    let draws: usize = text.parse().unwrap_or(0);
    ensure!(
        (1..=MOST_DRAWS).contains(&draws),
        "expected a whole number from 1 to {MOST_DRAWS}"
    );
    Ok(draws)
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
    /// Pixels of a side, and shapes for an epoch.
    fn numbers(&self) -> [usize; 2] {
        [self.size.unwrap_or(SIDE), self.draws.unwrap_or(DRAWS)]
    }

    /// The drawn shapes; `None` if images are read.
    ///
    /// # Errors
    /// If the numbers, which may come from a file, are none that are drawn.
    fn drawn(&self) -> Result<Option<(ImageShape, [ShapeSource; 2])>> {
        if self.path().is_some() {
            return Ok(None);
        }
        let [size, draws] = self.numbers();
        ensure!(
            [32, 64].contains(&size) && (1..=MOST_DRAWS).contains(&draws),
            "expected shapes of 32 or 64 pixels and from 1 to {MOST_DRAWS} draws for an epoch, found {size} pixels and {draws} \
             draws: choose others, or train anew if they are those of a file"
        );
        let shape = ImageShape {
            height: size,
            width: size,
        };
        let sets = Shapes::split(size, draws, HELD_OUT);
        Ok(Some((shape, sets.map(ShapeSource::Drawn))))
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

    fn check_typed(&self) -> Result<()> {
        let Some(path) = self.path() else {
            return Ok(());
        };
        let numbers = [("--size", self.size), ("--draws", self.draws)];
        for (option, number) in numbers {
            ensure!(
                number.is_none(),
                "expected {option} without --data, because it is of the shapes that are drawn, found --data {} beside it: \
                 leave out one of the two",
                path.display()
            );
        }
        Ok(())
    }

    fn load(&self) -> Result<LoadedData<Self>> {
        if let Some((shape, [train, test])) = self.drawn()? {
            // They are determined by these numbers.
            let mut checksum = flate2::Crc::new();
            let [size, draws] = self.numbers();
            for number in [size, draws, HELD_OUT] {
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
        if let Some((shape, [_, test])) = self.drawn()? {
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
