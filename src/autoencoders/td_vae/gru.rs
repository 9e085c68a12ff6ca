//! Stand-in until nn::Gru is merged.
use rand::Rng;

use crate::Scalar;
use crate::autodiff::Var;
use crate::nn::{Activation, Bound, Dense, Initialisation, Parameters};

#[derive(Clone, Debug)]
pub struct Gru {
    input: Dense,
    hidden: Dense,
    units: usize,
}

impl Gru {
    pub fn new<T: Scalar>(
        parameters: &mut Parameters<T>,
        name: &str,
        inputs: usize,
        units: usize,
        rng: &mut impl Rng,
    ) -> Self {
        let (linear, glorot) = (Activation::Identity, Initialisation::Glorot);
        let mut dense = |part: &str, inputs| {
            let name = format!("{name}.{part}");
            Dense::new(parameters, &name, (inputs, 3 * units), linear, glorot, rng)
        };
        Self {
            input: dense("input", inputs),
            hidden: dense("hidden", units),
            units,
        }
    }

    pub fn forward<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        let shape = x.shape();
        let projected = self.input.forward(p, x);
        let mut h = p.tape().full(&[shape[0], self.units], T::zero());
        let states: Vec<Var<'t, T>> = (0..shape[1])
            .map(|t| {
                let at = projected.slice(1, t..t + 1).squeeze(&[1]);
                h = self.update(p, at, h);
                h
            })
            .collect();
        p.tape().stack(1, &states)
    }

    fn update<'t, T: Scalar>(&self, p: &Bound<'t, T>, a: Var<'t, T>, h: Var<'t, T>) -> Var<'t, T> {
        let b = self.hidden.forward(p, h);
        let part = |x: Var<'t, T>, i: usize| x.slice(1, i * self.units..(i + 1) * self.units);
        let r = (part(a, 0) + part(b, 0)).sigmoid();
        let z = (part(a, 1) + part(b, 1)).sigmoid();
        let n = (part(a, 2) + r * part(b, 2)).tanh();
        n + z * (h - n)
    }
}
