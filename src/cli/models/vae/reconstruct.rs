//! `elbo reconstruct` with a VAE.

use anyhow::Result;

use super::{AroundVae, views};
use crate::cli::models::{Saved, seen};
use crate::cli::requests::Reconstruct;

impl Reconstruct {
    /// Writes the picture of a VAE.
    pub fn vae<M: AroundVae>(&self, model: &Saved<M>) -> Result<()> {
        self.draw(model, |images, shown, seed| {
            let x = seen(images, shown, seed);
            let again = views::decode(model, views::encode(model, x.view()).view());
            (x, again)
        })
    }
}
