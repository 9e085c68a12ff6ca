//! Options that several commands share, and how their values are read.

use std::cmp::Reverse;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::data::{Dataset, Images, OpenOptions};
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::picture::Tiles;

/// Which images.
#[derive(Args, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Data {
    /// Images: a folder with the four IDX files of MNIST, Fashion-MNIST or EMNIST, gzipped or not
    /// (torchvision's folder will do); a NumPy file (.npy or .npz); or a folder of PNGs, with a sub-folder for each class
    /// if they have labels. Without it, those that the model was trained on; for a new model, the embedded
    /// 10,000 training and 2,000 test digits of MNIST
    #[arg(long = "data", value_name = "PATH")]
    path: Option<PathBuf>,

    /// The split of EMNIST to use: byclass, bymerge, balanced, letters, digits or mnist
    #[arg(long, value_name = "NAME", requires = "path")]
    split: Option<String>,

    /// The fraction of the images to hold out as the test set if the data have none; the same images in every run
    /// [default: 0.1]
    #[arg(long, value_name = "FRACTION", requires = "path", value_parser = proper_fraction, allow_negative_numbers = true)]
    test_fraction: Option<f64>,
}

impl Data {
    /// These, or others if none were named.
    pub fn or(&self, others: &Self) -> Self {
        match self.path {
            Some(_) => self.clone(),
            None => others.clone(),
        }
    }

    /// The same images from every working folder.
    pub fn absolute(self) -> Self {
        let resolve = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        Self {
            path: self.path.map(resolve),
            ..self
        }
    }

    /// Where they are, if they are not the embedded ones.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Reads them.
    pub fn load(&self) -> Result<Dataset> {
        let Some(path) = &self.path else {
            return Ok(Dataset::embedded());
        };
        Ok(Dataset::open(path, &self.choices())?)
    }

    /// Reads the test set, with the name of the data.
    pub fn load_test(&self) -> Result<(String, Images)> {
        let Some(path) = &self.path else {
            let Dataset { name, test, .. } = Dataset::embedded();
            return Ok((name, test));
        };
        Ok(Dataset::open_test(path, &self.choices())?)
    }

    fn choices(&self) -> OpenOptions {
        OpenOptions {
            split: self.split.clone(),
            test_fraction: self.test_fraction,
        }
    }
}

/// A number greater than 0 and less than 1.
fn proper_fraction(text: &str) -> Result<f64> {
    let number: f64 = text.parse().unwrap_or(f64::NAN);
    ensure!(
        number > 0.0 && number < 1.0,
        "expected a number greater than 0 and less than 1"
    );
    Ok(number)
}

/// A number from 0 to 1.
pub fn fraction(text: &str) -> Result<f64> {
    let number: f64 = text.parse().unwrap_or(f64::NAN);
    ensure!(
        (0.0..=1.0).contains(&number),
        "expected a number from 0 to 1"
    );
    Ok(number)
}

/// How a picture is laid out.
#[derive(Args, Debug, Clone)]
pub struct Layout {
    /// Images in a row
    #[arg(long, value_name = "N", default_value = "12", value_parser = positive, allow_negative_numbers = true)]
    pub columns: usize,

    /// Enlarge every pixel to N by N (by default what suits the width of the picture)
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    scale: Option<usize>,
}

impl Layout {
    /// The images at the chosen scale.
    pub fn scale<'a>(&self, tiles: Tiles<'a>) -> Tiles<'a> {
        match self.scale {
            Some(scale) => tiles.scaled(scale),
            None => tiles,
        }
    }
}

/// A word as a shell reads it back.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A seed: any whole number that is not negative.
pub fn seed(text: &str) -> Result<u64> {
    text.parse()
        .map_err(|_| anyhow::anyhow!("expected a whole number from 0 to {}", u64::MAX))
}

/// A number of threads that a machine can have.
pub fn threads(text: &str) -> Result<usize> {
    const MOST: usize = 1024;
    let number = positive(text)?;
    ensure!(number <= MOST, "expected a whole number from 1 to {MOST}");
    Ok(number)
}

/// Refuses names of pictures that promise another format.
///
/// # Errors
/// If the name does not end in `.png`.
pub fn ensure_png(path: &Path) -> Result<()> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ensure!(
        ending.is_some_and(|ending| ending.eq_ignore_ascii_case("png")),
        "cannot write {}: expected a name that ends in .png, the format of the picture",
        path.display()
    );
    Ok(())
}

/// The widths of layers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Widths(pub Vec<usize>);

impl Widths {
    /// With the layers before and after them.
    pub fn between(&self, first: usize, last: usize) -> Self {
        Self([&[first], self.0.as_slice(), &[last]].concat())
    }

    /// How many weights, without biases, layers of these widths have; `None` if that is beyond counting.
    pub fn weights(&self) -> Option<usize> {
        self.0.windows(2).try_fold(0usize, |total, pair| {
            total.checked_add(pair[0].checked_mul(pair[1])?)
        })
    }
}

/// `784-400-20`
impl fmt::Display for Widths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&widths.join("-"))
    }
}

/// The widths of hidden layers, if there are any.
pub fn widths(text: &str) -> Result<Widths> {
    if text == "none" {
        return Ok(Widths(Vec::new()));
    }
    let widths = text.split(',').map(|width| positive(width.trim()));
    let widths = widths.collect::<Result<_>>();
    Ok(Widths(widths.context(
        "expected a positive whole number, several with commas (400,200), or none",
    )?))
}

/// What the weight of a term in the objective may be.
pub const WEIGHTS: RangeInclusive<f64> = 0.0..=1e6;

/// A number from 0 to a million.
pub fn weight(text: &str) -> Result<f64> {
    let number: f64 = text.parse().unwrap_or(f64::NAN);
    ensure!(WEIGHTS.contains(&number), "expected a number from 0 to 1e6");
    Ok(number)
}

/// A whole number that is not negative.
pub fn whole(text: &str) -> Result<usize> {
    text.parse()
        .map_err(|_| anyhow::anyhow!("expected a whole number that is not negative"))
}

/// A positive whole number.
pub fn positive(text: &str) -> Result<usize> {
    let number: usize = text
        .parse()
        .map_err(|_| anyhow::anyhow!("expected a positive whole number"))?;
    ensure!(number > 0, "expected a positive whole number");
    Ok(number)
}

/// A finite number greater than 0.
pub fn positive_real(text: &str) -> Result<f64> {
    let number: f64 = text
        .parse()
        .map_err(|_| anyhow::anyhow!("expected a number greater than 0"))?;
    ensure!(
        number.is_finite() && number > 0.0,
        "expected a number greater than 0"
    );
    Ok(number)
}

/// Of some names the one that a mistyped word comes near to: at most a third of its letters differ. Of several that are
/// equally near, the longest: a letter is left out more easily than put in.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = names.into_iter().map(|name| (edits(word, name), name));
    let (distance, name) =
        distances.min_by_key(|&(distance, name)| (distance, Reverse(name.len())))?;
    (3 * distance <= name.chars().count()).then_some(name)
}

/// How many letters are put in, taken out or replaced to make one word of another (Levenshtein's distance).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let first: Vec<usize> = (0..=to.len()).collect();
    let last = from.chars().enumerate().fold(first, |above, (i, a)| {
        let mut row = vec![i + 1];
        for (j, &b) in to.iter().enumerate() {
            let replaced = above[j] + usize::from(a != b);
            row.push(replaced.min(above[j + 1] + 1).min(row[j] + 1));
        }
        row
    });
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_near_to_one() {
        let names = ["vae", "autoencoder", "denoising", "sparse", "k-sparse"];
        let found = |word| nearest(word, names);
        assert_eq!(found("autoencodr"), Some("autoencoder"));
        assert_eq!(found("autoencoders"), Some("autoencoder"));
        assert_eq!(found("ksparse"), Some("k-sparse"));
        assert_eq!(found("vea"), None);
        assert_eq!(found("transformer"), None);
        assert_eq!([edits("kitten", "sitting"), edits("", "ab")], [3, 2]);
    }
}
