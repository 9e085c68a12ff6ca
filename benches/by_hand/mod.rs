//! A training step of a VAE with no tape: noise, forward, backward and Adam written out, on buffers that are allocated
//! once. The products and the elementwise loops are the crate's own, so that whatever the tape's step takes longer is
//! what the tape costs.

use elbo::autodiff::{Value, product};
use elbo::distributions::noise::stream;
use elbo::kernels::{
    exp, expm1, fold_columns, ln_1p_unit, row_sums, update, update_rows, update3, zip,
};
use elbo::nn::Parameters;
use ndarray::{Array2, ArrayView2};
use ndarray_rand::rand_distr::{Distribution, StandardNormal};
use rand::rngs::StdRng;

use crate::taped::Taped;
use clock::{Clock, Part};

pub mod clock;

const RATE: f64 = 1e-3;
const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// A model in training: Bernoulli decoder, ReLU, one sample of z for each datum.
pub struct ByHand {
    /// The encoder's, then the decoder's.
    layers: Vec<Layer>,
    /// How many of them are the encoder's.
    encoder: usize,
    noise: Array2<f32>,
    /// z, and its cotangent.
    latent: [Array2<f32>; 2],
    /// One number for each datum.
    sums: Vec<f32>,
    steps: i32,
    rng: StdRng,
    /// What each part has taken so far.
    pub clock: Clock,
}

/// Y = f(X Wᵀ + b), with f = ReLU in a hidden layer.
struct Layer {
    weight: Learnt,
    bias: Learnt,
    hidden: bool,
    output: Array2<f32>,
    cotangent: Array2<f32>,
}

/// A parameter, its gradient, and Adam's two moments.
struct Learnt {
    value: Array2<f32>,
    gradient: Array2<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Learnt {
    fn new(value: Array2<f32>) -> Self {
        Self {
            gradient: Array2::zeros(value.dim()),
            first: vec![0.0; value.len()],
            second: vec![0.0; value.len()],
            value,
        }
    }

    /// θ ← θ - rate m/(√v scale + ε), with both moments brought up to date first.
    fn adam(&mut self, rate: f32, scale: f32) {
        let [beta1, beta2] = BETAS.map(|beta| beta as f32);
        let [rest1, rest2] = BETAS.map(|beta| (1.0 - beta) as f32);
        let targets = [
            slice_mut(&mut self.value),
            &mut self.first,
            &mut self.second,
        ];
        update3(targets, slice(&self.gradient), move |[x, m, v], g| {
            let m = beta1 * m + rest1 * g;
            let v = beta2 * v + rest2 * (g * g);
            [x - rate * m / (v.sqrt() * scale + EPSILON), m, v]
        });
    }
}

impl Layer {
    fn forward(&mut self, x: ArrayView2<'_, f32>, clock: &mut Clock) {
        let (weight, y) = (self.weight.value.t(), &mut self.output);
        clock.time(Part::ForwardProducts, || {
            product(1.0, x, weight, 0.0, &mut y.view_mut());
        });
        let bias = slice(&self.bias.value);
        clock.time(Part::ForwardLoops, || {
            if self.hidden {
                update_rows(slice_mut(y), bias, |a, b| {
                    let a = a + b;
                    if a <= 0.0 { 0.0 } else { a }
                });
            } else {
                update_rows(slice_mut(y), bias, |a, b| a + b);
            }
        });
    }

    /// From the output's cotangent to the gradients, and to the cotangent of X where it is asked for.
    fn backward(
        &mut self,
        x: ArrayView2<'_, f32>,
        x_cotangent: Option<&mut Array2<f32>>,
        clock: &mut Clock,
    ) {
        let a = &mut self.cotangent;
        clock.time(Part::BackwardLoops, || {
            if self.hidden {
                let gate = |g, y| if y <= 0.0 { 0.0 } else { g };
                update(slice_mut(a), slice(&self.output), gate);
            }
            let gradient = slice_mut(&mut self.bias.gradient);
            fold_columns(slice(a), 0.0, gradient, |sum, g| sum + g);
        });
        clock.time(Part::BackwardProducts, || {
            let gradient = &mut self.weight.gradient;
            product(1.0, a.t(), x, 0.0, &mut gradient.view_mut());
            if let Some(cotangent) = x_cotangent {
                let weight = self.weight.value.view();
                product(1.0, a.view(), weight, 0.0, &mut cotangent.view_mut());
            }
        });
    }
}

impl ByHand {
    /// The same model as [`Taped::new`], with the same weights and noise, for batches of one size.
    pub fn new(widths: &[usize], batch: usize) -> Self {
        let latent = *widths.last().expect("widths");
        let parameters: Parameters<f32> = Taped::new(widths).parameters;
        let mut values = parameters.iter().map(|(_, value)| matrix(value));
        let mut layers = Vec::new();
        let count = 2 * (widths.len() - 1);
        while let (Some(weight), Some(bias)) = (values.next(), values.next()) {
            let index = layers.len();
            let shape = (batch, bias.len());
            layers.push(Layer {
                weight: Learnt::new(weight),
                bias: Learnt::new(bias),
                hidden: index + 1 != count / 2 && index + 1 != count,
                output: Array2::zeros(shape),
                cotangent: Array2::zeros(shape),
            });
        }
        Self {
            layers,
            encoder: count / 2,
            noise: Array2::zeros((batch, latent)),
            latent: [
                Array2::zeros((batch, latent)),
                Array2::zeros((batch, latent)),
            ],
            sums: vec![0.0; batch],
            steps: 0,
            rng: stream(1, "noise", 0),
            clock: Clock::default(),
        }
    }

    /// One step; returns the loss before it.
    pub fn step(&mut self, x: ArrayView2<'_, f32>) -> f32 {
        let (noise, rng) = (&mut self.noise, &mut self.rng);
        self.clock.time(Part::Noise, || {
            for noise in noise {
                let draw: f64 = StandardNormal.sample(rng);
                *noise = draw as f32;
            }
        });
        let loss = self.forward(x);
        self.backward(x);
        self.adam();
        loss
    }

    fn forward(&mut self, x: ArrayView2<'_, f32>) -> f32 {
        self.forward_layers(0..self.encoder, x);
        let kl = self.sample();
        let z = std::mem::take(&mut self.latent[0]);
        self.forward_layers(self.encoder..self.layers.len(), z.view());
        self.latent[0] = z;
        let logits = &self.layers.last().expect("a decoder").output;
        let data = x.to_slice().expect("in standard layout");
        self.clock.time(Part::ForwardLoops, || {
            row_sums(data, slice(logits), &mut self.sums, |x, a| {
                let likely = if a > 0.0 { 1.0 } else { 0.0 };
                (x - likely) * a - ln_1p_unit(exp(-a.abs()))
            });
            let reconstruction: f32 = self.sums.iter().sum();
            (kl - reconstruction) / x.nrows() as f32
        })
    }

    fn forward_layers(&mut self, range: std::ops::Range<usize>, input: ArrayView2<'_, f32>) {
        for index in range.clone() {
            let (before, layer) = self.layers.split_at_mut(index);
            let x = match before {
                [.., previous] if index > range.start => previous.output.view(),
                _ => input,
            };
            layer[0].forward(x, &mut self.clock);
        }
    }

    /// z = μ + e^(s/2) ε, and the sum of KL(q(z|x) ‖ p(z)) over the batch.
    fn sample(&mut self) -> f32 {
        let width = self.noise.ncols();
        let q = slice(&self.layers[self.encoder - 1].output).chunks_exact(2 * width);
        let noise = slice(&self.noise).chunks_exact(width);
        let z = slice_mut(&mut self.latent[0]).chunks_exact_mut(width);
        self.clock.time(Part::ForwardLoops, || {
            let mut kl = 0.0;
            for ((q, e), z) in q.zip(noise).zip(z) {
                let (mu, s) = q.split_at(width);
                let mut sum = [0.0];
                row_sums(mu, s, &mut sum, |mu, s| 0.5 * (mu * mu + (expm1(s) - s)));
                kl += sum[0];
                zip(s, e, z, |s, e| exp(0.5 * s) * e);
                update(z, mu, |offset, mu| mu + offset);
            }
            kl
        })
    }

    fn backward(&mut self, x: ArrayView2<'_, f32>) {
        let weight = 1.0 / x.nrows() as f32;
        let last = self.layers.last_mut().expect("a decoder");
        let data = x.to_slice().expect("in standard layout");
        let score = move |x, a| weight * (sigmoid(a) - x);
        self.clock.time(Part::BackwardLoops, || {
            let (logits, cotangent) = (slice(&last.output), slice_mut(&mut last.cotangent));
            zip(data, logits, cotangent, score);
        });
        let [z, mut z_cotangent] = std::mem::take(&mut self.latent);
        let decoder = self.encoder..self.layers.len();
        self.backward_layers(decoder, z.view(), Some(&mut z_cotangent));
        self.latent = [z, z_cotangent];
        self.pull_back_sample(weight);
        self.backward_layers(0..self.encoder, x, None);
    }

    fn backward_layers(
        &mut self,
        range: std::ops::Range<usize>,
        input: ArrayView2<'_, f32>,
        mut cotangent: Option<&mut Array2<f32>>,
    ) {
        for index in range.clone().rev() {
            let (before, layer) = self.layers.split_at_mut(index);
            match before {
                [.., previous] if index > range.start => {
                    let cotangent = Some(&mut previous.cotangent);
                    layer[0].backward(previous.output.view(), cotangent, &mut self.clock);
                }
                _ => layer[0].backward(input, cotangent.take(), &mut self.clock),
            }
        }
    }

    /// μ̄ = z̄ + w μ and s̄ = ½ z̄ ε e^(s/2) + w ½ (e^s - 1), for the weight w of the divergence.
    fn pull_back_sample(&mut self, weight: f32) {
        let width = self.noise.ncols();
        let layer = &mut self.layers[self.encoder - 1];
        let q = slice(&layer.output).chunks_exact(2 * width);
        let q_cotangent = slice_mut(&mut layer.cotangent).chunks_exact_mut(2 * width);
        let noise = slice(&self.noise).chunks_exact(width);
        let z_cotangent = slice(&self.latent[1]).chunks_exact(width);
        self.clock.time(Part::BackwardLoops, || {
            for (((q, q_bar), e), z_bar) in q.zip(q_cotangent).zip(noise).zip(z_cotangent) {
                let ((mu, s), (mu_bar, s_bar)) = (q.split_at(width), q_bar.split_at_mut(width));
                zip(z_bar, mu, mu_bar, move |z_bar, mu| z_bar + weight * mu);
                zip(s, e, s_bar, |s, e| 0.5 * (exp(0.5 * s) * e));
                update(s_bar, z_bar, |s_bar, z_bar| s_bar * z_bar);
                update(s_bar, s, move |s_bar, s| s_bar + weight * (0.5 * expm1(s)));
            }
        });
    }

    fn adam(&mut self) {
        self.steps += 1;
        let rate = (RATE / (1.0 - BETAS[0].powi(self.steps))) as f32;
        let scale = (1.0 / (1.0 - BETAS[1].powi(self.steps)).sqrt()) as f32;
        self.clock.time(Part::Adam, || {
            for layer in &mut self.layers {
                layer.weight.adam(rate, scale);
                layer.bias.adam(rate, scale);
            }
        });
    }

    /// Weights and biases, in the order of [`Parameters`].
    fn values(&self) -> impl Iterator<Item = &Array2<f32>> {
        (self.layers.iter()).flat_map(|layer| [&layer.weight.value, &layer.bias.value])
    }
}

/// Both steps are the same step: after three of them, losses and parameters agree to 1e-4.
///
/// # Panics
/// If they do not.
pub fn assert_same_step(widths: &[usize], x: &Value<f32>) {
    let batch: ArrayView2<'_, f32> = x.view().into_dimensionality().expect("a matrix");
    let (mut taped, mut by_hand) = (Taped::new(widths), ByHand::new(widths, batch.nrows()));
    for _ in 0..3 {
        let losses = [taped.step(x), by_hand.step(batch)];
        assert!(
            (losses[0] - losses[1]).abs() <= 1e-4 * losses[0].abs(),
            "the losses differ: {losses:?}"
        );
    }
    for ((name, expected), found) in taped.parameters.iter().zip(by_hand.values()) {
        let square = |difference: f32| f64::from(difference).powi(2);
        let pairs = expected.iter().zip(found);
        let distance: f64 = pairs.map(|(a, b)| square(a - b)).sum();
        let size: f64 = expected.iter().map(|&a| square(a)).sum();
        assert!(
            distance <= 1e-8 * size,
            "{name} differs by {:e} of its size",
            (distance / size).sqrt()
        );
    }
}

/// 1/(1 + e^-x), from e^-|x| so that nothing overflows.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let numerator = if x >= 0.0 { 1.0 } else { e };
    numerator / (1.0 + e)
}

/// A parameter as a matrix; a bias as one row.
fn matrix(value: &Value<f32>) -> Array2<f32> {
    let columns = *value.shape().last().expect("an axis");
    let rows = value.len() / columns;
    let value = value.to_shape((rows, columns)).expect("as many entries");
    value.into_owned()
}

fn slice(array: &Array2<f32>) -> &[f32] {
    array.as_slice().expect("in standard layout")
}

fn slice_mut(array: &mut Array2<f32>) -> &mut [f32] {
    array.as_slice_mut().expect("in standard layout")
}
