//! The contractive autoencoder ([notes](crate::autoencoders#contractive)).

use ndarray::Array2;

use super::{Autoencoder, Coding, slope_from_output};
use crate::Scalar;
use crate::autodiff::Var;
use crate::distributions::noise::standard_normal;
use crate::nn::{Batch, Bound, Model, Objective, Step};

/// How ‖J‖² of an encoder is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JacobianNorm {
    /// In closed form for one layer, else all of J for every datum.
    Exact,
    /// E ‖Jᵀv‖² over v ~ N(0, I), by so many draws: unbiased, and each as dear as a pass backwards.
    Sampled(usize),
}

impl Autoencoder {
    /// Jᵀv of the encoder at every datum, for r vectors v each: `v` of shape (batch or 1, r, code) becomes (batch, r, D).
    /// `outputs` are those of the encoder's layers.
    fn pull_back_code<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        outputs: &[Var<'t, T>],
        v: Var<'t, T>,
    ) -> Var<'t, T> {
        let layers = self.encoder_layers(p);
        layers.iter().zip(outputs).rev().fold(v, |v, (layer, &y)| {
            let (activation, weight) = *layer;
            let scaled = v * slope_from_output(activation, y).unsqueeze(1);
            let (shape, inputs) = (scaled.shape(), weight.shape()[1]);
            let flat = scaled.reshape(&[shape[0] * shape[1], shape[2]]);
            flat.matmul(weight).reshape(&[shape[0], shape[1], inputs])
        })
    }

    /// J_ji = ∂h_j/∂x_i of the encoder at every datum of x, of shape (batch, D): of shape (batch, code, D).
    ///
    /// # Panics
    /// If x is no matrix or has another number of dimensions.
    pub fn jacobian<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        let outputs = self.encoder_outputs(p, x);
        let units = Array2::<T>::eye(self.structure().code).insert_axis(ndarray::Axis(0));
        self.pull_back_code(p, &outputs, p.tape().constant(units))
    }

    /// ‖J‖²_F of the encoder at every datum of x, of shape (batch), and the code there.
    ///
    /// # Panics
    /// If x is no matrix or has another number of dimensions, or no draw is asked for.
    pub fn squared_jacobian<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        x: Var<'t, T>,
        norm: JacobianNorm,
        rng: &mut rand::rngs::StdRng,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let outputs = self.encoder_outputs(p, x);
        let code = *outputs.last().expect("an encoder has a layer");
        let layers = self.encoder_layers(p);
        let squares = match (norm, layers.as_slice()) {
            (JacobianNorm::Exact, &[(activation, weight)]) => {
                let slopes = slope_from_output(activation, code);
                (slopes.square() * weight.square().sum_last()).sum_last()
            }
            (JacobianNorm::Exact, _) => {
                let rows = Array2::<T>::eye(self.structure().code).insert_axis(ndarray::Axis(0));
                let jacobian = self.pull_back_code(p, &outputs, p.tape().constant(rows));
                jacobian.square().sum_axes(&[1, 2])
            }
            (JacobianNorm::Sampled(draws), _) => {
                assert!(draws > 0, "‖J‖² needs a draw at least");
                let shape = [code.shape()[0], draws, self.structure().code];
                let v = standard_normal(p.tape(), &shape, rng);
                let rows = self.pull_back_code(p, &outputs, v);
                rows.square().sum_axes(&[1, 2]) * T::of(1.0 / draws as f64)
            }
        };
        (squares, code)
    }
}

/// An autoencoder whose code is to change little where the data change (Rifai et al., *Contractive autoencoders*, 2011).
#[derive(Clone, Debug)]
pub struct Contractive {
    autoencoder: Autoencoder,
    weight: f64,
    norm: JacobianNorm,
}

impl Contractive {
    /// From the networks and λ.
    ///
    /// # Panics
    /// If λ is negative.
    pub fn new(autoencoder: Autoencoder, weight: f64) -> Self {
        assert!(
            weight >= 0.0,
            "a contractive autoencoder needs a weight from 0 up, found {weight}"
        );
        Self {
            autoencoder,
            weight,
            norm: JacobianNorm::Exact,
        }
    }

    /// With another way to compute ‖J‖² in training.
    pub fn with_norm(self, norm: JacobianNorm) -> Self {
        Self { norm, ..self }
    }
}

impl Coding for Contractive {
    fn autoencoder(&self) -> &Autoencoder {
        &self.autoencoder
    }
}

impl<T: Scalar> Model<T> for Contractive {
    /// The error and λ ‖J‖², the mean over the batch.
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        step: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let (networks, x) = (&self.autoencoder, batch.data);
        let (squares, code) = networks.squared_jacobian(p, x, self.norm, step.rng);
        let error = networks.error(p, code, x).mean();
        let penalty = squares.mean();
        let loss = error + penalty * T::of(self.weight);
        Objective::new(loss, vec![("error", error), ("jacobian", penalty)])
    }
}

impl Autoencoder {
    /// Jᵀv of the encoder at every datum of x, of shape (batch, D), for r vectors each: v of shape (batch or 1, r, code) becomes
    /// (batch, r, D).
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn pull_back<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        x: Var<'t, T>,
        v: Var<'t, T>,
    ) -> Var<'t, T> {
        let outputs = self.encoder_outputs(p, x);
        self.pull_back_code(p, &outputs, v)
    }
}
