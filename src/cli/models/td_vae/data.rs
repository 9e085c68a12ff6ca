//! Sequences as the data of a model.

use std::fmt;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::autodiff::Tape;
use crate::cli::models::images::MAX_WIDTH;
use crate::cli::models::{DataCommand, LoadedData, TestData};
use crate::cli::options::{Data, positive};
use crate::data::{
    Binarisation, ImageSequences, Images, LinearGaussianSequences, Motion, Source,
    noisy_autoregression,
};
use crate::nn::Batch;

/// No sequence is longer.
const MOST_FRAMES: usize = 1 << 12;

/// No more numbers are drawn.
const MOST_NUMBERS: usize = 1 << 26;

/// Sequences of numbers to train on, if no other number is asked for.
const SEQUENCES: usize = 2000;

/// Sequences of numbers to test on.
const TEST_SEQUENCES: usize = 500;

/// The seeds of the sequences of numbers, which do not depend on that of a run: runs stay comparable.
const TRAIN_SEED: u64 = 1;
const TEST_SEED: u64 = 1001;

/// Which sequences.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SequenceData {
    /// What the sequences are of
    #[arg(long, value_name = "WHAT", default_value = "rolling")]
    sequence: SequenceName,

    /// The length of a sequence
    #[arg(long, value_name = "N", default_value = "20", value_parser = positive, allow_negative_numbers = true)]
    frames: usize,

    /// The width of an image in pixels: that of the data's, or half of it, each pixel the mean of four [default: half;
    /// all of it if an image is one pixel high or wide]
    #[arg(long, value_name = "PIXELS", value_parser = positive, allow_negative_numbers = true)]
    size: Option<usize>,

    /// The side of the canvas that moving images move on, in pixels [default: 64/28 of an image's width]
    #[arg(long, value_name = "PIXELS", value_parser = positive, allow_negative_numbers = true)]
    canvas: Option<usize>,

    /// How many linear-Gaussian sequences to train on [default: 2000]; of images there is one sequence each
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    sequences: Option<usize>,

    #[command(flatten)]
    #[serde(flatten)]
    data: Data,

    /// What becomes of grey pixels, once for each sequence: none (they stay grey), threshold (at one half), stochastic (drawn
    /// anew whenever a sequence is seen) [default: threshold]
    #[arg(long, value_name = "HOW")]
    binarise: Option<Binarisation>,
}

/// What the sequences are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SequenceName {
    /// Images that roll one pixel to the left or right per frame and come back on the other side
    Rolling,
    /// Images that move over a larger canvas and bounce off its edges
    Moving,
    /// An autoregression seen through noise, whose exact log-density is known
    LinearGaussian,
}

impl fmt::Display for SequenceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rolling => "rolling",
            Self::Moving => "moving",
            Self::LinearGaussian => "linear-gaussian",
        })
    }
}

/// What a model must know of sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceShape {
    /// What they are of.
    pub sequence: SequenceName,
    /// Their length.
    pub frames: usize,
    /// Of a frame, in pixels; 1 for a number.
    pub height: usize,
    /// Of a frame, in pixels; 1 for a number.
    pub width: usize,
}

impl SequenceShape {
    /// How many numbers a frame has.
    pub fn dimensions(&self) -> usize {
        self.height * self.width
    }

    /// Refuses sizes that no model is built for.
    ///
    /// # Errors
    /// If there are too few or too many frames or pixels.
    pub fn check(&self) -> Result<()> {
        let Self {
            frames,
            height,
            width,
            ..
        } = self;
        let pixels = height.checked_mul(*width);
        ensure!(
            pixels.is_some_and(|pixels| (1..=MAX_WIDTH).contains(&pixels)),
            "frames may have from 1 to {MAX_WIDTH} pixels, found {height}x{width}"
        );
        ensure!(
            (2..=MOST_FRAMES).contains(frames),
            "sequences may have from 2 to {MOST_FRAMES} frames, found {frames}"
        );
        Ok(())
    }
}

/// Sequences of one kind or the other.
#[derive(Clone, Debug)]
pub enum Sequences {
    /// Made of images.
    Images(Box<ImageSequences>),
    /// Drawn from a state-space model.
    LinearGaussian(Box<LinearGaussianSequences<f32>>),
}

impl Source<f32> for Sequences {
    fn len(&self) -> usize {
        match self {
            Self::Images(sequences) => sequences.images().len(),
            Self::LinearGaussian(sequences) => sequences.len(),
        }
    }

    fn batch<'t>(
        &self,
        tape: &'t Tape<f32>,
        indices: &[usize],
        rng: &mut StdRng,
    ) -> Batch<'t, f32> {
        match self {
            Self::Images(sequences) => sequences.batch(tape, indices, rng),
            Self::LinearGaussian(sequences) => sequences.batch(tape, indices, rng),
        }
    }
}

impl SequenceData {
    /// As in training, but for what the caller wants otherwise.
    pub fn with(&self, data: &Data, binarise: Option<Binarisation>) -> Self {
        Self {
            data: data.or(&self.data),
            binarise: binarise.or(self.binarise),
            ..self.clone()
        }
    }

    /// Refuses options that belong to other sequences.
    fn check(&self) -> Result<()> {
        let name = self.sequence;
        ensure!(
            self.canvas.is_none() || name == SequenceName::Moving,
            "--canvas belongs to --sequence moving, found --sequence {name}"
        );
        let is_images = name != SequenceName::LinearGaussian;
        ensure!(
            self.sequences.is_none() || !is_images,
            "--sequences belongs to --sequence linear-gaussian; of images there is one sequence each"
        );
        ensure!(
            is_images
                || (self.size.is_none() && self.data.path().is_none() && self.binarise.is_none()),
            "--data, --size and --binarise belong to sequences of images, found --sequence {name}"
        );
        ensure!(
            (2..=MOST_FRAMES).contains(&self.frames),
            "--frames may be from 2 to {MOST_FRAMES}, found {}",
            self.frames
        );
        let most = MOST_NUMBERS / self.frames;
        let count = self.sequences.unwrap_or(SEQUENCES);
        ensure!(
            (1..=most).contains(&count),
            "--sequences may be from 1 to {most} of {} frames each, found {count}",
            self.frames
        );
        Ok(())
    }

    /// Sequences of these images.
    fn of_images(&self, images: Images) -> Result<ImageSequences> {
        let width = images.width();
        let half = (width > 1 && images.height() > 1).then_some(width / 2);
        let size = self.size.unwrap_or(half.unwrap_or(width));
        let images = match (size, half) {
            (size, _) if size == width => images,
            (size, Some(half)) if size == half => images.halved(),
            (_, Some(half)) => anyhow::bail!(
                "--size is the images' width or half of it: expected {width} or {half}, found {size}"
            ),
            (_, None) => anyhow::bail!(
                "--size is the images' width, and images one pixel high or wide have no half: expected {width}, found {size}"
            ),
        };
        let motion = match self.sequence {
            SequenceName::Moving => {
                let side = images.height().max(images.width());
                let canvas = self.canvas.unwrap_or((64 * side).div_ceil(28));
                ensure!(
                    (side..=MAX_WIDTH).contains(&canvas),
                    "--canvas holds an image of {side} pixels: expected from {side} to {MAX_WIDTH}, found {canvas}"
                );
                Motion::Moving { canvas }
            }
            _ => Motion::Rolling,
        };
        Ok(ImageSequences::new(
            images,
            self.binarise.unwrap_or(Binarisation::Threshold),
            motion,
            self.frames,
        ))
    }

    fn shape(&self, (height, width): (usize, usize)) -> Result<SequenceShape> {
        let shape = SequenceShape {
            sequence: self.sequence,
            frames: self.frames,
            height,
            width,
        };
        shape.check()?;
        Ok(shape)
    }

    fn name(&self, images: &str) -> String {
        format!("{images}, {}", self.sequence)
    }

    fn numbers(&self, count: usize, seed: u64) -> LinearGaussianSequences<f32> {
        LinearGaussianSequences::new(noisy_autoregression(), (count, self.frames), seed)
    }
}

/// What sequences of numbers are called.
const AUTOREGRESSION: &str = "an autoregression seen through noise";

impl DataCommand for SequenceData {
    type Shape = SequenceShape;
    type Source = Sequences;

    fn absolute(self) -> Self {
        Self {
            data: self.data.absolute(),
            ..self
        }
    }

    fn load(&self) -> Result<LoadedData<Self>> {
        self.check()?;
        let mut checksum = flate2::Crc::new();
        if self.sequence == SequenceName::LinearGaussian {
            let train = self.numbers(self.sequences.unwrap_or(SEQUENCES), TRAIN_SEED);
            let test = self.numbers(TEST_SEQUENCES, TEST_SEED);
            for number in train.observations().iter().chain(test.observations()) {
                checksum.update(&number.to_le_bytes());
            }
            return Ok(LoadedData {
                name: AUTOREGRESSION.to_owned(),
                shape: self.shape((1, 1))?,
                train: Sequences::LinearGaussian(Box::new(train)),
                test: Sequences::LinearGaussian(Box::new(test)),
                checksum: checksum.sum(),
            });
        }
        let data = self.data.load()?;
        for images in [&data.train, &data.test] {
            checksum.update(images.pixels().as_slice().expect("in standard layout"));
        }
        let (train, test) = (self.of_images(data.train)?, self.of_images(data.test)?);
        Ok(LoadedData {
            name: self.name(&data.name),
            shape: self.shape(train.frame())?,
            train: Sequences::Images(Box::new(train)),
            test: Sequences::Images(Box::new(test)),
            checksum: checksum.sum(),
        })
    }

    fn load_test(&self) -> Result<TestData<Self>> {
        self.check()?;
        if self.sequence == SequenceName::LinearGaussian {
            return Ok(TestData {
                name: AUTOREGRESSION.to_owned(),
                shape: self.shape((1, 1))?,
                test: Sequences::LinearGaussian(Box::new(self.numbers(TEST_SEQUENCES, TEST_SEED))),
            });
        }
        let (name, images) = self.data.load_test()?;
        let test = self.of_images(images)?;
        Ok(TestData {
            name: self.name(&name),
            shape: self.shape(test.frame())?,
            test: Sequences::Images(Box::new(test)),
        })
    }

    fn count(data: &LoadedData<Self>) -> String {
        format!("{} training and {} test", data.train.len(), data.test.len())
    }

    fn describe(shape: &SequenceShape) -> String {
        let &SequenceShape {
            sequence,
            frames,
            height,
            width,
        } = shape;
        match sequence {
            SequenceName::LinearGaussian => format!("sequences of {frames} numbers"),
            _ => format!("sequences of {frames} frames of {height}x{width} pixels"),
        }
    }
}
