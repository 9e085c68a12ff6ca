//! The denoising autoencoder ([notes](crate::autoencoders#denoising)).

use super::{Autoencoder, Coding, Corruption};
use crate::Scalar;
use crate::nn::{Batch, Bound, Model, Objective, Step};

/// An autoencoder that sees corrupted data and is to give the clean ones (Vincent et al., *Stacked denoising autoencoders*, 2010).
#[derive(Clone, Debug)]
pub struct Denoising {
    autoencoder: Autoencoder,
    corruption: Corruption,
}

impl Denoising {
    /// From the networks and a corruption.
    ///
    /// # Panics
    /// If the corruption is not [sound](Corruption::is_sound).
    pub fn new(autoencoder: Autoencoder, corruption: Corruption) -> Self {
        assert!(
            corruption.is_sound(),
            "a denoising autoencoder cannot draw {corruption:?}"
        );
        Self {
            autoencoder,
            corruption,
        }
    }

    /// The corruption.
    pub fn corruption(&self) -> Corruption {
        self.corruption
    }
}

impl Coding for Denoising {
    fn autoencoder(&self) -> &Autoencoder {
        &self.autoencoder
    }
}

impl<T: Scalar> Model<T> for Denoising {
    /// The error of the reconstructions of clean data from corrupted ones, the mean over the batch.
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        step: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let (networks, x) = (&self.autoencoder, batch.data);
        let corrupted = self.corruption.corrupt(x, step.rng);
        let error = networks.error(p, networks.encode(p, corrupted), x).mean();
        Objective::new(error, vec![("error", error)])
    }
}
