//! `elbo figures`: the figures of the notes, one file for each chapter that has some.

mod autoencoders;
mod background;
mod beta_vae;
mod codes;
mod costs;
mod gradients;
mod kl;
mod td_vae;
mod vae;
mod variational;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::output::{Prepared, create_folder, prepare};
use super::progress::{say, spoken};

/// Redraw the figures of the notes
///
/// Every figure is computed by the functions that the notes derive, with fixed seeds, and written as SVG: the same
/// bytes each time. Run it in the folder of the project after changing a figure in src/cli/figures, and look at what
/// it drew; `cargo test --test library figures` fails as long as docs/figures is not what the code draws.
#[derive(Args, Debug)]
pub struct Figures {
    /// The folder that the figures go to, each as NAME.svg; it is created if it is not there
    #[arg(long, value_name = "DIR", default_value = "docs/figures")]
    out: PathBuf,
}

/// A finished figure.
pub struct Figure {
    /// The name of its file, without `.svg`.
    pub name: &'static str,
    /// The picture.
    pub svg: String,
}

/// What draws the figures of a chapter.
type Draw = fn() -> Vec<Figure>;

/// The chapters that have figures, in the order of the notes.
const CHAPTERS: [(&str, Draw); 7] = [
    ("background", background::figures),
    ("variational", variational::figures),
    ("kl", kl::figures),
    ("gradients", gradients::figures),
    ("vae", vae::figures),
    ("autoencoders", autoencoders::figures),
    ("costs", costs::figures),
];

/// Work that takes longer than this tells how far it is.
const PATIENCE: Duration = Duration::from_secs(2);

impl Figures {
    /// Draws them all, then gives each its name: a failure leaves what was there.
    pub fn run(&self) -> Result<()> {
        create_folder(&self.out)?;
        let start = Instant::now();
        let mut files = Vec::new();
        for (chapter, draw) in CHAPTERS {
            let figures = draw();
            if start.elapsed() > PATIENCE {
                let (count, time) = (figures.len(), spoken(start.elapsed()));
                say(&format!("{chapter}: {count} drawn, after {time}"))?;
            }
            for Figure { name, svg } in figures {
                let path = self.out.join(name).with_extension("svg");
                files.push(prepare(&path, |file| Ok(file.write_all(svg.as_bytes())?))?);
            }
        }
        let count = files.len();
        files.into_iter().try_for_each(Prepared::publish)?;
        say(&format!("{count} figures in {}", self.out.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_names_of_their_own() {
        let figures = CHAPTERS.iter().flat_map(|(_, draw)| draw());
        let mut names: Vec<_> = figures.map(|figure| figure.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
        let plain = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(names.iter().all(plain), "{names:?}");
    }
}
