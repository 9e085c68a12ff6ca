//! A conditional density of several layers of latents.

use rand::Rng;

use super::TdStructure;
use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::DiagonalGaussian;
use crate::nn::{Bound, Initialisation, Mlp, Parameters};

/// p(z|c) = p(z^L|c) p(z^(L-1)|z^L, c) … p(z¹|z², …, z^L, c): each layer a Gaussian with independent dimensions, by a network with
/// one hidden layer that reads the context c and the layers above.
///
/// z holds the layers side by side, the uppermost first.
#[derive(Clone, Debug)]
pub struct LayeredGaussian {
    networks: Vec<Mlp>,
    latent: usize,
}

impl LayeredGaussian {
    /// Adds the weights `<name>.<layer>.…`, drawn after Glorot, for a context of `inputs` numbers.
    ///
    /// # Panics
    /// If there is no layer, or a width is 0.
    pub(super) fn new<T: Scalar>(
        structure: &TdStructure,
        inputs: usize,
        parameters: &mut Parameters<T>,
        name: &str,
        rng: &mut impl Rng,
    ) -> Self {
        let &TdStructure {
            latent,
            layers,
            units,
            activation,
            ..
        } = structure;
        assert!(
            layers > 0,
            "expected at least one layer of latents, found none"
        );
        let network = |layer| {
            let widths = [inputs + layer * latent, units, 2 * latent];
            let name = format!("{name}.{layer}");
            let glorot = Initialisation::Glorot;
            Mlp::new(parameters, &name, &widths, activation, glorot, rng)
        };
        Self {
            networks: (0..layers).map(network).collect(),
            latent,
        }
    }

    /// z of shape (…, all layers) as a function of noise of the same shape, with the densities it was drawn from, the uppermost
    /// first.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn sample<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        context: Var<'t, T>,
        noise: Var<'t, T>,
    ) -> (Var<'t, T>, Vec<DiagonalGaussian<'t, T>>) {
        let axis = noise.ndim() - 1;
        let (mut parts, mut gaussians) = (vec![context], Vec::new());
        for layer in 0..self.networks.len() {
            let gaussian = self.layer(p, &parts);
            parts.push(gaussian.sample(noise.slice(axis, self.columns(layer))));
            gaussians.push(gaussian);
        }
        (side_by_side(p, &parts[1..]), gaussians)
    }

    /// log p(z|c), in nats, of shape (…).
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn log_density<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        context: Var<'t, T>,
        z: Var<'t, T>,
    ) -> Var<'t, T> {
        let axis = z.ndim() - 1;
        let mut parts = vec![context];
        let terms = (0..self.networks.len()).map(|layer| {
            let gaussian = self.layer(p, &parts);
            parts.push(z.slice(axis, self.columns(layer)));
            gaussian.log_density(parts[layer + 1])
        });
        terms
            .reduce(|sum, term| sum + term)
            .expect("at least one layer")
    }

    /// The density of the next layer, given the context and the layers above it.
    fn layer<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        above: &[Var<'t, T>],
    ) -> DiagonalGaussian<'t, T> {
        let output = self.networks[above.len() - 1].forward(p, side_by_side(p, above));
        let axis = output.ndim() - 1;
        DiagonalGaussian {
            mean: output.slice(axis, 0..self.latent),
            log_variance: output.slice(axis, self.latent..2 * self.latent),
        }
    }

    fn columns(&self, layer: usize) -> std::ops::Range<usize> {
        layer * self.latent..(layer + 1) * self.latent
    }
}

/// log p(z) of a z by the densities that its layers were drawn from.
pub(super) fn log_density_of<'t, T: Scalar>(
    gaussians: &[DiagonalGaussian<'t, T>],
    z: Var<'t, T>,
) -> Var<'t, T> {
    let axis = z.ndim() - 1;
    let latent = z.shape()[axis] / gaussians.len();
    let terms = gaussians.iter().enumerate().map(|(layer, gaussian)| {
        gaussian.log_density(z.slice(axis, layer * latent..(layer + 1) * latent))
    });
    terms
        .reduce(|sum, term| sum + term)
        .expect("at least one layer")
}

/// Arrays along their last axis; a single one as it is.
fn side_by_side<'t, T: Scalar>(p: &Bound<'t, T>, parts: &[Var<'t, T>]) -> Var<'t, T> {
    match parts {
        [one] => *one,
        several => p.tape().concatenate(several[0].ndim() - 1, several),
    }
}
