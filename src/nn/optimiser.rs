//! Steps downhill.

use super::{ParameterGradients, Parameters};
use crate::Scalar;
use crate::autodiff::{Value, columns};
use crate::lanes;

/// Stochastic gradient descent with momentum: v ← μv + g, θ ← θ - αv.
#[derive(Clone, Debug)]
pub struct Sgd<T: Scalar> {
    rate: T,
    momentum: T,
    velocity: Vec<Vec<T>>,
}

impl<T: Scalar> Sgd<T> {
    /// Learning rate α, no momentum.
    pub fn new(rate: f64) -> Self {
        Self::with_momentum(rate, 0.0)
    }

    /// Learning rate α and momentum μ.
    pub fn with_momentum(rate: f64, momentum: f64) -> Self {
        Self {
            rate: T::of(rate),
            momentum: T::of(momentum),
            velocity: Vec::new(),
        }
    }

    /// One step for every parameter.
    ///
    /// # Panics
    /// If the gradients are not those of these parameters, or an earlier step was for others.
    pub fn step(&mut self, parameters: &mut Parameters<T>, gradients: &ParameterGradients<T>) {
        start(&mut self.velocity, parameters);
        let (rate, momentum) = (self.rate, self.momentum);
        for ((value, gradient), velocity) in pairs(parameters, gradients).zip(&mut self.velocity) {
            for ((x, &g), v) in slice(value)
                .iter_mut()
                .zip(&*entries(gradient))
                .zip(velocity)
            {
                *v = momentum * *v + g;
                *x -= rate * *v;
            }
        }
    }
}

/// Adam (Kingma and Ba 2015, algorithm 1), with its bias correction.
///
/// m ← β₁m + (1-β₁)g, v ← β₂v + (1-β₂)g², θ ← θ - α m̂/(√v̂ + ε) with m̂ = m/(1-β₁ᵗ), v̂ = v/(1-β₂ᵗ):
/// one pass over each parameter.
#[derive(Clone, Debug)]
pub struct Adam<T: Scalar> {
    rate: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    steps: i32,
    first: Vec<Vec<T>>,
    second: Vec<Vec<T>>,
}

impl<T: Scalar> Adam<T> {
    /// Learning rate α, with β₁ = 0.9, β₂ = 0.999, ε = 1e-8 as in the paper.
    pub fn new(rate: f64) -> Self {
        Self::with(rate, 0.9, 0.999, 1e-8)
    }

    /// All of α, β₁, β₂, ε.
    pub fn with(rate: f64, beta1: f64, beta2: f64, epsilon: f64) -> Self {
        Self {
            rate,
            beta1,
            beta2,
            epsilon,
            steps: 0,
            first: Vec::new(),
            second: Vec::new(),
        }
    }

    /// Another α for the steps to come; what was averaged so far stays.
    pub fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
    }

    /// How many steps it has taken.
    pub fn steps(&self) -> usize {
        self.steps as usize
    }

    /// m and v, each with one entry for every entry of every parameter: what a checkpoint holds. Empty before the first
    /// step.
    pub fn moments(&self) -> [&[Vec<T>]; 2] {
        [&self.first, &self.second]
    }

    /// Puts back what [`steps`](Adam::steps) and [`moments`](Adam::moments) gave: the next step is the same as it would have
    /// been then.
    pub fn restore(&mut self, steps: usize, [first, second]: [Vec<Vec<T>>; 2]) {
        self.steps = i32::try_from(steps).unwrap_or(i32::MAX);
        (self.first, self.second) = (first, second);
    }

    /// One step for every parameter.
    ///
    /// # Panics
    /// If the gradients are not those of these parameters, or an earlier step was for others.
    pub fn step(&mut self, parameters: &mut Parameters<T>, gradients: &ParameterGradients<T>) {
        start(&mut self.first, parameters);
        start(&mut self.second, parameters);
        self.steps = self.steps.saturating_add(1);
        let (beta1, beta2) = (T::of(self.beta1), T::of(self.beta2));
        let (rest1, rest2) = (T::of(1.0 - self.beta1), T::of(1.0 - self.beta2));
        // α m̂/(√v̂ + ε) = rate m/(√v scale + ε): the corrections are two numbers for the whole step.
        let rate = T::of(self.rate / (1.0 - self.beta1.powi(self.steps)));
        let scale = T::of(1.0 / (1.0 - self.beta2.powi(self.steps)).sqrt());
        let epsilon = T::of(self.epsilon);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, gradient), (first, second)) in pairs(parameters, gradients).zip(moments) {
            let gradient = entries(gradient);
            lanes::update3(
                [slice(value), first, second],
                &gradient,
                move |[x, m, v], g| {
                    let m = beta1 * m + rest1 * g;
                    let v = beta2 * v + rest2 * (g * g);
                    [x - rate * m / (v.sqrt() * scale + epsilon), m, v]
                },
            );
        }
    }
}

/// Zeros of every parameter's size, before the first step.
fn start<T: Scalar>(state: &mut Vec<Vec<T>>, parameters: &Parameters<T>) {
    if state.is_empty() {
        *state = parameters
            .iter()
            .map(|(_, value)| vec![T::zero(); value.len()])
            .collect();
    }
    // Sizes, too: a pass over parameter and state together would stop at the shorter of the two.
    let sizes = parameters.iter().map(|(_, value)| value.len());
    assert!(
        sizes.eq(state.iter().map(Vec::len)),
        "an optimiser belongs to one set of parameters"
    );
}

fn pairs<'a, T: Scalar>(
    parameters: &'a mut Parameters<T>,
    gradients: &'a ParameterGradients<T>,
) -> impl Iterator<Item = (&'a mut Value<T>, &'a Value<T>)> {
    assert_eq!(
        parameters.len(),
        gradients.values().len(),
        "one gradient for each parameter"
    );
    let pairs = parameters.values_mut().iter_mut().zip(gradients.values());
    pairs.inspect(|(value, gradient)| {
        assert_eq!(
            value.shape(),
            gradient.shape(),
            "a gradient has its parameter's shape"
        );
    })
}

/// The parameter's entries in row-major order, to be written.
fn slice<T: Scalar>(value: &mut Value<T>) -> &mut [T] {
    if !value.is_standard_layout() {
        *value = value.as_standard_layout().into_owned().into_shared();
    }
    value.as_slice_mut().expect("standard layout")
}

/// The gradient's entries in row-major order; copied only if they lie otherwise.
fn entries<T: Scalar>(gradient: &Value<T>) -> std::borrow::Cow<'_, [T]> {
    if let Some(entries) = gradient.as_slice() {
        return entries.into();
    }
    let Some(columns) = columns(gradient) else {
        return gradient.iter().copied().collect::<Vec<T>>().into();
    };
    let mut rows = vec![T::zero(); columns.len()];
    lanes::transpose(columns, gradient.shape()[0], &mut rows);
    rows.into()
}
