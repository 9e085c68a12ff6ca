//! `elbo reconstruct` with a VAE.

use anyhow::Result;

use super::views::{self, SavedVae};
use crate::cli::models::seen;
use crate::cli::requests::Reconstruct;

impl Reconstruct {
    /// Writes the picture of a VAE.
    pub fn vae(&self, model: &SavedVae) -> Result<()> {
        self.draw(model, |images, shown, seed| {
            let x = seen(images, shown, seed);
            let again = views::decode(model, views::encode(model, x.view()).view());
            (x, again)
        })
    }
}
