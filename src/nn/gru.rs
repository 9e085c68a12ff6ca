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
//! Write h̄_t for the whole cotangent of the state h_t: ȳ_t, what arrives from outside, and what arrives from the step after.
//! In h_t = (1 - z) ⊙ n + z ⊙ h_{t-1} the arguments of z and n have the cotangents
//!
//! ```text
//! z: h̄_t ⊙ s_z,  s_z = (h_{t-1} - n) ⊙ z ⊙ (1 - z)      as σ' = σ (1 - σ)
//! n: h̄_t ⊙ s_n,  s_n = (1 - z) ⊙ (1 - n²)               as tanh' = 1 - tanh²
//! r: h̄_t ⊙ s_r,  s_r = s_n ⊙ (U_n h + c_n) ⊙ r ⊙ (1 - r) through r, which multiplies U_n h + c_n within n
//! ```
//!
//! and U_n h + c_n has r ⊙ the cotangent of n's argument. With S_t = (s_r, s_z, r ⊙ s_n) the state before has the cotangent
//!
//! ```text
//! h̄_{t-1} = ȳ_{t-1} + h̄_t ⊙ z_t + Uᵀ (h̄_t ⊙ S_t)
//! ```
//!
//! This recursion is linear in the cotangents, and its coefficients z_t and S_t hold nothing of them: all states being known, they
//! are computed for all times at once. What must wait for the step after is one product with U for each step. The weights' gradients
//! are sums over time of outer products, Ū = Σ_t (h̄_t ⊙ S_t) h_{t-1}ᵀ, which is one product again.

use ndarray::{Array1, ArrayView2, ArrayView3, Axis, Ix2, Ix3};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::Uniform;
use rand::Rng;

use super::{Activation, Bound, ParameterId, Parameters, dense};
use crate::Scalar;
use crate::autodiff::{Pullback, Tape, Value, Var, product, sigmoid};
use crate::elementary::tanh;
use crate::lanes;

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
        let from_x = dense(x, p[self.weight_ih], p[self.bias_ih], Activation::Identity);
        recurrence(from_x, start, p[self.weight_hh], p[self.bias_hh])
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
        self.forward_from(p, x.unsqueeze(1), h).squeeze(&[1])
    }
}

/// All states from what comes of x, (batch, time, 3 units), and the first state, (batch, units), in one operation.
fn recurrence<'t, T: Scalar>(
    from_x: Var<'t, T>,
    start: Var<'t, T>,
    weight: Var<'t, T>,
    bias: Var<'t, T>,
) -> Var<'t, T> {
    let shapes = [from_x, start, weight, bias].map(|var| var.shape());
    let fit = match (&shapes[0][..], &shapes[1][..]) {
        (&[rows, time, gates], &[batch, units]) => {
            (rows, gates) == (batch, 3 * units)
                && time > 0
                && shapes[2] == [gates, units]
                && shapes[3] == [gates]
        }
        _ => false,
    };
    assert!(
        fit,
        "gru: shapes {:?} (gates of the data), {:?} (state), {:?} (weight) and {:?} (bias) do not fit",
        shapes[0], shapes[1], shapes[2], shapes[3]
    );
    let tape = from_x.tape();
    let inputs = [from_x, start, weight, bias];
    let states = states(tape, inputs.map(|var| var.value()));
    tape.record("gru", &inputs, states, pull_back)
}

/// h_1, …, h_T: a product for each step, then one pass over its rows.
fn states<T: Scalar>(tape: &Tape<T>, [from_x, start, weight, bias]: [Value<T>; 4]) -> Value<T> {
    let from_x = from_x.as_standard_layout();
    let from_x: ArrayView3<'_, T> = from_x.view().into_dimensionality::<Ix3>().expect("checked");
    let start = start.as_standard_layout();
    let start: ArrayView2<'_, T> = start.view().into_dimensionality().expect("checked");
    let weight: ArrayView2<'_, T> = weight.view().into_dimensionality().expect("checked");
    let bias = bias.as_standard_layout();
    let bias = bias.as_slice().expect("in standard layout");

    let (batch, time, _) = from_x.dim();
    let units = start.ncols();
    let mut states = tape.buffer(&[batch, time, units]);
    let mut from_h = tape.buffer(&[batch, 3 * units]);
    {
        let mut states = states.view_mut().into_dimensionality::<Ix3>().expect("so");
        let mut from_h = from_h.view_mut().into_dimensionality::<Ix2>().expect("so");
        for t in 0..time {
            let (past, mut now) = states.view_mut().split_at(Axis(1), t);
            let before = match t {
                0 => start,
                _ => past.index_axis(Axis(1), t - 1).reborrow(),
            };
            product(T::one(), before, weight.t(), T::zero(), &mut from_h);
            lanes::update_rows(from_h.as_slice_mut().expect("so"), bias, |a, c| a + c);
            for (row, mut h) in now
                .index_axis_mut(Axis(1), 0)
                .rows_mut()
                .into_iter()
                .enumerate()
            {
                let from_x = from_x.slice(ndarray::s![row, t, ..]);
                lanes::gate_row(
                    from_x.to_slice().expect("a row"),
                    from_h.row(row).to_slice().expect("a row"),
                    before.row(row).to_slice().expect("a row"),
                    h.as_slice_mut().expect("a row"),
                    next,
                );
            }
        }
    }
    tape.recycle(from_h.into_shared());
    states.into_shared()
}

/// One unit of h' from the gates' arguments (r, z, n), as far as they come from x and from h, and from h.
#[inline(always)]
fn next<T: Scalar>(x: [T; 3], a: [T; 3], h: T) -> T {
    let r = sigmoid(x[0] + a[0]);
    let z = sigmoid(x[1] + a[1]);
    let n = tanh(x[2] + r * a[2]);
    (T::one() - z) * n + z * h
}

/// The recursion of the cotangents: see the module's documentation.
fn pull_back<'t, T: Scalar>(p: &Pullback<'t, T>) {
    let [from_x, start, weight, bias] = [0, 1, 2, 3].map(|index| p.input(index));
    let tape = start.tape();
    let [batch, time, units] = <[usize; 3]>::try_from(p.output.shape()).expect("three axes");

    // All states are known, so that the gates of all times are one product and a few passes.
    let past = p.output.slice(1, 0..time - 1);
    let before = tape.concatenate(1, &[start.unsqueeze(1), past]);
    let from_h = dense(before, weight, bias, Activation::Identity);
    let gate = |from: Var<'t, T>, k: usize| from.slice(2, k * units..(k + 1) * units);
    let [r_argument, z_argument] = [0, 1].map(|k| gate(from_x, k) + gate(from_h, k));
    let (r, z, h_n) = (r_argument.sigmoid(), z_argument.sigmoid(), gate(from_h, 2));
    let n = (gate(from_x, 2) + r * h_n).tanh();
    // 1 - σ(a) is σ(-a), which keeps its digits where σ(a) rounds to 1.
    let [not_r, not_z] = [r_argument, z_argument].map(|argument| (-argument).sigmoid());
    let s_n = not_z.times_tanh_slope(n);
    let s_z = (before - n) * (z * not_z);
    let s_r = s_n * h_n * (r * not_r);
    let slopes = tape.concatenate(2, &[s_r, s_z, s_n * r]);

    // h̄_{t-1} = ȳ_{t-1} + h̄_t ⊙ z_t + Uᵀ (h̄_t ⊙ S_t), from the last state to the first.
    let at = |whole: Var<'t, T>, t: usize| whole.slice(1, t..t + 1).squeeze(&[1]);
    let for_each_gate = |h_bar: Var<'t, T>, slopes: Var<'t, T>| {
        let rows = h_bar.size() / units;
        let h_bar = h_bar.reshape(&[rows, 1, units]);
        let slopes = slopes.reshape(&[rows, 3, units]);
        h_bar.times_slope(slopes).reshape(&[rows, 3 * units])
    };
    let mut h_bars = Vec::with_capacity(time);
    let mut carried = None;
    for t in (0..time).rev() {
        let from_outside = at(p.cotangent, t);
        let h_bar = carried.map_or(from_outside, |carried| from_outside + carried);
        let gates = for_each_gate(h_bar, at(slopes, t));
        carried = Some(h_bar.times_slope(at(z, t)) + gates.matmul(weight));
        h_bars.push(h_bar);
    }
    h_bars.reverse();
    let h_bars = tape.stack(1, &h_bars);
    p.give(0, || {
        let slopes = tape.concatenate(2, &[s_r, s_z, s_n]);
        for_each_gate(h_bars, slopes).reshape(&[batch, time, 3 * units])
    });
    p.give(1, || carried.expect("a step"));
    if p.wanted(2) || p.wanted(3) {
        let gates = for_each_gate(h_bars, slopes);
        let before = before.reshape(&[batch * time, units]);
        p.give(2, || gates.t().matmul(before));
        p.give(3, || gates.sum_axes(&[0]));
    }
}
