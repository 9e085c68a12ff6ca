//! Dense layers.

use std::fmt;
use std::str::FromStr;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use rand::Rng;

use super::{Bound, Initialisation, ParameterId, Parameters};
use crate::Scalar;
use crate::autodiff::{Var, product, relu, sigmoid, softplus};
use crate::elementary::tanh;
use crate::lanes;

/// The function after a layer's affine map, entry by entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "cli", serde(rename_all = "lowercase"))]
pub enum Activation {
    /// None.
    Identity,
    /// max(x, 0).
    #[default]
    Relu,
    /// tanh x.
    Tanh,
    /// 1/(1 + e^-x).
    Sigmoid,
    /// log(1 + e^x).
    Softplus,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 5] = [
        Self::Identity,
        Self::Relu,
        Self::Tanh,
        Self::Sigmoid,
        Self::Softplus,
    ];

    /// f(x).
    pub fn apply<T: Scalar>(self, x: Var<'_, T>) -> Var<'_, T> {
        match self {
            Self::Identity => x,
            Self::Relu => x.relu(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => x.sigmoid(),
            Self::Softplus => x.softplus(),
        }
    }

    /// f(a + b), in place, for a bias b along the last axis.
    fn add_bias_and_apply<T: Scalar>(self, a: &mut ArrayViewMut2<'_, T>, bias: &[T]) {
        match self {
            Self::Identity => add_bias_and_map(a, bias, |x| x),
            Self::Relu => add_bias_and_map(a, bias, relu),
            Self::Tanh => add_bias_and_map(a, bias, tanh),
            Self::Sigmoid => add_bias_and_map(a, bias, sigmoid),
            Self::Softplus => add_bias_and_map(a, bias, softplus),
        }
    }

    /// ȳ f'(x), from y = f(x) alone: a layer need not keep x.
    fn pull_back<'t, T: Scalar>(self, cotangent: Var<'t, T>, y: Var<'t, T>) -> Var<'t, T> {
        match self {
            Self::Identity => cotangent,
            Self::Relu => cotangent.where_positive(y),
            Self::Tanh => cotangent.times_tanh_slope(y),
            Self::Sigmoid => cotangent * (y * (y.subtracted_from(T::one()))),
            // f'(x) = σ(x) = 1 - e^-y.
            Self::Softplus => -(cotangent * (-y).expm1()),
        }
    }
}

/// A name that is not an activation's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownActivation(pub String);

impl fmt::Display for UnknownActivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Activation::ALL.map(|activation| activation.to_string());
        write!(
            f,
            "expected an activation ({}), found `{}`",
            names.join(", "),
            self.0
        )
    }
}

impl std::error::Error for UnknownActivation {}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Identity => "identity",
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Softplus => "softplus",
        })
    }
}

impl FromStr for Activation {
    type Err = UnknownActivation;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|activation| activation.to_string() == name)
            .ok_or_else(|| UnknownActivation(name.to_owned()))
    }
}

/// Y = f(X Wᵀ + b) in one operation: X of shape (…, inputs), each row a datum; W (outputs, inputs), as in
/// the mathematics W x and as PyTorch stores it; b (outputs).
///
/// With Ā = Ȳ ⊙ f'(A) for A = X Wᵀ + b: X̄ = Ā W, W̄ = Āᵀ X, b̄ = Σ_rows Ā ([notes](crate::gradients#matmul-adjoint)).
///
/// # Panics
/// If the shapes do not fit.
pub fn dense<'t, T: Scalar>(
    x: Var<'t, T>,
    weight: Var<'t, T>,
    bias: Var<'t, T>,
    activation: Activation,
) -> Var<'t, T> {
    let (shape, weight_shape) = (x.shape(), weight.shape());
    let inputs = shape.last().copied();
    assert!(
        weight_shape.len() == 2
            && inputs == Some(weight_shape[1])
            && bias.shape() == [weight_shape[0]],
        "dense: shapes {shape:?} (data), {weight_shape:?} (weight) and {:?} (bias) do not fit",
        bias.shape()
    );
    let rows: usize = shape[..shape.len() - 1].iter().product();
    let flat = x.reshape(&[rows, weight_shape[1]]);
    let y = dense_matrix(flat, weight, bias, activation);
    let mut shape = shape;
    *shape.last_mut().expect("checked above") = weight_shape[0];
    y.reshape(&shape)
}

fn dense_matrix<'t, T: Scalar>(
    x: Var<'t, T>,
    weight: Var<'t, T>,
    bias: Var<'t, T>,
    activation: Activation,
) -> Var<'t, T> {
    let tape = x.tape();
    let (data, w, b) = (x.value(), weight.value(), bias.value());
    let mut y = tape.buffer(&[data.len_of(Axis(0)), w.len_of(Axis(0))]);
    {
        let mut y = y.view_mut().into_dimensionality().expect("a matrix");
        let data: ArrayView2<'_, T> = data.view().into_dimensionality().expect("a matrix");
        let w: ArrayView2<'_, T> = w.view().into_dimensionality().expect("a matrix");
        product(T::one(), data, w.t(), T::zero(), &mut y);
        activation.add_bias_and_apply(&mut y, b.as_standard_layout().as_slice().expect("one axis"));
    }
    tape.record("dense", &[x, weight, bias], y.into_shared(), move |p| {
        let (x, weight) = (p.input(0), p.input(1));
        let a = activation.pull_back(p.cotangent, p.output);
        p.give(0, || a.matmul(weight));
        p.give(1, || a.t().matmul(x));
        p.give(2, || a.sum_axes(&[0]));
    })
}

fn add_bias_and_map<T: Scalar>(
    a: &mut ArrayViewMut2<'_, T>,
    bias: &[T],
    f: impl Fn(T) -> T + Sync,
) {
    let a = a.as_slice_mut().expect("a buffer is in standard layout");
    lanes::update_rows(a, bias, |a, b| f(a + b));
}

/// An affine map followed by an activation, with its parameters' numbers.
#[derive(Clone, Debug)]
pub struct Dense {
    weight: ParameterId,
    bias: ParameterId,
    activation: Activation,
}

impl Dense {
    /// Adds `<name>.weight` of shape (outputs, inputs) and `<name>.bias` of shape (outputs) to the parameters.
    pub fn new<T: Scalar>(
        parameters: &mut Parameters<T>,
        name: &str,
        (inputs, outputs): (usize, usize),
        activation: Activation,
        initialisation: Initialisation,
        rng: &mut impl Rng,
    ) -> Self {
        let weight = initialisation.draw::<T>(outputs, inputs, rng);
        Self {
            weight: parameters.add(format!("{name}.weight"), weight),
            bias: parameters.add(format!("{name}.bias"), ndarray::Array1::zeros(outputs)),
            activation,
        }
    }

    /// f(X Wᵀ + b), for X of shape (…, inputs).
    ///
    /// # Panics
    /// If X has another number of inputs.
    pub fn forward<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        dense(x, p[self.weight], p[self.bias], self.activation)
    }
}

/// Dense layers one after the other: an activation after each but the last.
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<Dense>,
}

impl Mlp {
    /// Layers between consecutive `widths`. Layer i is named `<name>.<2i>`: in PyTorch's
    /// `Sequential(Linear, ReLU, Linear, …)` the activations take the odd places, so that the names fit.
    ///
    /// # Panics
    /// If there are fewer than two widths, or one of them is 0.
    pub fn new<T: Scalar>(
        parameters: &mut Parameters<T>,
        name: &str,
        widths: &[usize],
        activation: Activation,
        initialisation: Initialisation,
        rng: &mut impl Rng,
    ) -> Self {
        assert!(
            widths.len() >= 2,
            "a network needs inputs and outputs, found the widths {widths:?}"
        );
        let last = widths.len() - 2;
        let layers = (widths.windows(2).enumerate())
            .map(|(index, pair)| {
                let activation = if index == last {
                    Activation::Identity
                } else {
                    activation
                };
                let name = format!("{name}.{}", 2 * index);
                Dense::new(
                    parameters,
                    &name,
                    (pair[0], pair[1]),
                    activation,
                    initialisation,
                    rng,
                )
            })
            .collect();
        Self { layers }
    }

    /// The last layer's output, for X of shape (…, first width).
    ///
    /// # Panics
    /// If X has another number of inputs.
    pub fn forward<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        self.layers.iter().fold(x, |x, layer| layer.forward(p, x))
    }
}
