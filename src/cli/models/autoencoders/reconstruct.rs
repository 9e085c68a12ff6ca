//! `elbo reconstruct` with an autoencoder.

use anyhow::Result;

use super::{AutoencoderCommand, Saved, views};
use crate::cli::models::seen;
use crate::cli::requests::Reconstruct;

impl Reconstruct {
    /// Writes the picture of an autoencoder: originals (corrupted, if it was trained to restore them) above what it makes of
    /// them.
    pub fn autoencoder<M: AutoencoderCommand>(&self, saved: &Saved<M>) -> Result<()> {
        self.draw(saved, |images, shown, seed| {
            let mut x = seen(images, shown, seed);
            if let Some(corruption) = saved.configuration.options.corruption() {
                x = views::corrupted(x.view(), corruption, seed);
            }
            let again = views::reconstructions(&saved.model, &saved.parameters, x.view());
            (x, again)
        })
    }
}
