//! The gated recurrent unit: a state that a network carries along a sequence.
//!
//! With the state h of the step before and the datum x of this one, and W, b for what comes from x, U, c for what comes
//! from h, the unit computes
//!
//! ```text
//! r  = σ(W_r x + b_r + U_r h + c_r)          reset gate
//! z  = σ(W_z x + b_z + U_z h + c_z)          update gate
//! n  = tanh(W_n x + b_n + r ⊙ (U_n h + c_n)) candidate
//! h' = (1 - z) ⊙ n + z ⊙ h
//! ```
//!
//! (Cho et al. 2014, eqs. 5 to 8.) Of the two places for the reset gate this is PyTorch's and cuDNN's, after the product with U;
//! in the paper it stands before, U_n (r ⊙ h). The paper's needs a second product that waits for r; this one has all three
//! products with h in one.
//!
//! # Backpropagation through time
//!
//! Write h̄_t for the whole cotangent of the state h_t: what arrives from outside, ȳ_t, and what arrives from the step after.
//! In h_t = (1 - z) ⊙ n + z ⊙ h_{t-1} the arguments of the three gates have the cotangents
//!
//! ```text
//! n: h̄_t ⊙ s_n,  s_n = (1 - z) ⊙ (1 - n²)                  as tanh' = 1 - tanh²
//! z: h̄_t ⊙ s_z,  s_z = (h_{t-1} - n) ⊙ z ⊙ (1 - z)         as σ' = σ (1 - σ)
//! r: h̄_t ⊙ s_r,  s_r = s_n ⊙ (U_n h + c_n) ⊙ r ⊙ (1 - r)   as r multiplies U_n h + c_n in n
//! ```
//!
//! and U_n h + c_n itself has h̄_t ⊙ r ⊙ s_n. With S_t = (s_r, s_z, r ⊙ s_n) the state before has the cotangent
//!
//! ```text
//! h̄_{t-1} = ȳ_{t-1} + h̄_t ⊙ z_t + Uᵀ (h̄_t ⊙ S_t)
//! ```
//!
//! a recursion from the last step to the first, and linear in the cotangents. The first way through a step, ⊙ z_t, is what the
//! unit is for: where z is near 1 a cotangent passes on as it is, however many steps there are. The weights are the same in all
//! steps, and their gradients sums over them: Ū = Σ_t (h̄_t ⊙ S_t) h_{t-1}ᵀ, W̄ = Σ_t (h̄_t ⊙ (s_r, s_z, s_n)) x_tᵀ. The tape walks this
//! recursion when it walks the steps backwards; `tests/nn/gru.rs` writes it out by hand.

use ndarray::Array1;
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::Uniform;
use rand::Rng;

use super::{Activation, Bound, ParameterId, Parameters, dense};
use crate::Scalar;
use crate::autodiff::Var;

/// A gated recurrent unit with its parameters' numbers.
#[derive(Clone, Debug)]
pub struct Gru {
    weight_ih: ParameterId,
    weight_hh: ParameterId,
    bias_ih: ParameterId,
    bias_hh: ParameterId,
    units: usize,
}

impl Gru {
    /// Adds `<name>.weight_ih_l0` of shape (3 units, inputs), `<name>.weight_hh_l0` (3 units, units), `<name>.bias_ih_l0` and
    /// `<name>.bias_hh_l0` (3 units) to the parameters: the names, the shapes and the order of the gates (r, z, n) are those of
    /// PyTorch's `GRU`, and so is the start, uniform on ±1/√units.
    ///
    /// # Panics
    /// If `inputs` or `units` is 0.
    pub fn new<T: Scalar>(
        parameters: &mut Parameters<T>,
        name: &str,
        inputs: usize,
        units: usize,
        rng: &mut impl Rng,
    ) -> Self {
        assert!(
            inputs > 0 && units > 0,
            "a recurrent unit needs inputs and units, found {inputs} and {units}"
        );
        let bound = 1.0 / (units as f64).sqrt();
        let range = Uniform::new(-bound, bound).expect("a range");
        // Drawn in f64 so that both precisions start from the same numbers.
        let mut draw = |length| Array1::<f64>::random_using(length, range, rng).mapv(T::of);
        let mut matrix = |columns: usize| {
            let shape = (3 * units, columns);
            let matrix = draw(3 * units * columns).into_shape_with_order(shape);
            matrix.expect("as many entries")
        };
        let (input, hidden) = (matrix(inputs), matrix(units));
        Self {
            weight_ih: parameters.add(format!("{name}.weight_ih_l0"), input),
            weight_hh: parameters.add(format!("{name}.weight_hh_l0"), hidden),
            bias_ih: parameters.add(format!("{name}.bias_ih_l0"), draw(3 * units)),
            bias_hh: parameters.add(format!("{name}.bias_hh_l0"), draw(3 * units)),
            units,
        }
    }

    /// How many numbers the state has.
    pub fn units(&self) -> usize {
        self.units
    }

    /// The states h_1, …, h_T of shape (batch, time, units) for X of shape (batch, time, inputs), from h_0 = 0.
    ///
    /// # Panics
    /// If X has another shape, or no time.
    pub fn forward<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        let batch = x.shape()[0];
        self.forward_from(p, x, p.tape().full(&[batch, self.units], T::zero()))
    }

    /// As [`forward`](Self::forward), from a state h_0 of shape (batch, units).
    ///
    /// # Panics
    /// If the shapes do not fit, or there is no time.
    pub fn forward_from<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        x: Var<'t, T>,
        start: Var<'t, T>,
    ) -> Var<'t, T> {
        let (shape, start_shape) = (x.shape(), start.shape());
        assert!(
            shape.len() == 3 && shape[1] > 0 && start_shape == [shape[0], self.units],
            "gru: shapes {shape:?} (batch, time, inputs) and {start_shape:?} (state of {} units) do not fit",
            self.units
        );
        // What comes from x waits for nothing: one product for all steps.
        let from_x = self.gates_of(p, x);
        let mut h = start;
        let states: Vec<Var<'t, T>> = (0..shape[1])
            .map(|t| {
                h = self.next(p, from_x.slice(1, t..t + 1).squeeze(&[1]), h);
                h
            })
            .collect();
        p.tape().stack(1, &states)
    }

    /// The next state, of shape (batch, units), for x of shape (batch, inputs) and the state h before.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn step<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        x: Var<'t, T>,
        h: Var<'t, T>,
    ) -> Var<'t, T> {
        self.next(p, self.gates_of(p, x), h)
    }

    /// W x + b, for all gates side by side.
    fn gates_of<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        dense(x, p[self.weight_ih], p[self.bias_ih], Activation::Identity)
    }

    /// h' from W x + b and h.
    fn next<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        from_x: Var<'t, T>,
        h: Var<'t, T>,
    ) -> Var<'t, T> {
        let from_h = dense(h, p[self.weight_hh], p[self.bias_hh], Activation::Identity);
        let units = self.units;
        let gates = |from: Var<'t, T>| from.slice(1, 0..2 * units);
        let candidate = |from: Var<'t, T>| from.slice(1, 2 * units..3 * units);
        let both = (gates(from_x) + gates(from_h)).sigmoid();
        let (r, z) = (both.slice(1, 0..units), both.slice(1, units..2 * units));
        let n = (candidate(from_x) + r * candidate(from_h)).tanh();
        z.subtracted_from(T::one()) * n + z * h
    }
}
