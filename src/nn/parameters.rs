//! Named arrays that a model learns.

use std::fmt;
use std::ops::Index;
use std::rc::Rc;

use crate::Scalar;
use crate::autodiff::{IntoValue, Lender, Tape, Value, Var};

/// The number of a parameter among its [`Parameters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterId(usize);

/// The arrays of a model, in the order in which they were added, each with a name of its own: parameters, which gradients
/// change, and buffers, which the model itself changes from step to step (as PyTorch calls them: moving averages).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters<T: Scalar> {
    names: Rc<Vec<String>>,
    values: Vec<Value<T>>,
    /// Which are buffers.
    buffers: Vec<bool>,
}

/// A parameter that cannot be set: no such name, or another shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// There is no parameter of this name.
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// The parameter has another shape.
    Shape {
        /// The parameter.
        name: String,
        /// Its shape.
        expected: Vec<usize>,
        /// The shape of what it was to be set to.
        found: Vec<usize>,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => write!(f, "the model has no parameter `{name}`"),
            Self::Shape {
                name,
                expected,
                found,
            } => write!(
                f,
                "parameter `{name}`: expected shape {expected:?}, found {found:?}"
            ),
        }
    }
}

impl std::error::Error for Mismatch {}

impl<T: Scalar> Parameters<T> {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter and returns its number.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn add(&mut self, name: impl Into<String>, value: impl IntoValue<T>) -> ParameterId {
        self.push(name.into(), value.into_value(), false)
    }

    /// Adds an array that has no gradient: it is bound as a constant, and changes when an
    /// [`Objective`](super::Objective) says so. It is saved with the parameters.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn add_buffer(&mut self, name: impl Into<String>, value: impl IntoValue<T>) -> ParameterId {
        self.push(name.into(), value.into_value(), true)
    }

    fn push(&mut self, name: String, value: Value<T>, buffer: bool) -> ParameterId {
        assert!(
            !self.names.contains(&name),
            "there is already a parameter `{name}`"
        );
        Rc::make_mut(&mut self.names).push(name);
        self.values.push(value);
        self.buffers.push(buffer);
        ParameterId(self.names.len() - 1)
    }

    /// How many arrays.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many numbers, over all arrays.
    pub fn count(&self) -> usize {
        self.values.iter().map(|value| value.len()).sum()
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<T>)> {
        self.names.iter().map(String::as_str).zip(&self.values)
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&Value<T>> {
        let position = self.names.iter().position(|other| other == name)?;
        Some(&self.values[position])
    }

    /// Replaces a value by one of the same shape.
    ///
    /// # Errors
    /// If there is no parameter of that name, or its shape differs.
    pub fn set(&mut self, name: &str, value: impl IntoValue<T>) -> Result<(), Mismatch> {
        let Some(position) = self.names.iter().position(|other| other == name) else {
            return Err(Mismatch::Unknown { name: name.into() });
        };
        self.replace(ParameterId(position), value.into_value())
    }

    /// Replaces a value by one of the same shape.
    ///
    /// # Errors
    /// If its shape differs.
    pub fn replace(
        &mut self,
        ParameterId(position): ParameterId,
        value: Value<T>,
    ) -> Result<(), Mismatch> {
        let old = &mut self.values[position];
        if old.shape() != value.shape() {
            return Err(Mismatch::Shape {
                name: self.names[position].clone(),
                expected: old.shape().to_vec(),
                found: value.shape().to_vec(),
            });
        }
        *old = value;
        Ok(())
    }

    /// Puts every parameter on a tape as a variable, every buffer as a constant; shared, not copied.
    pub fn bind<'t>(&self, tape: &'t Tape<T>) -> Bound<'t, T> {
        let put = |(value, &buffer): (&Value<T>, &bool)| match buffer {
            true => tape.constant(value.clone()),
            false => tape.variable(value.clone()),
        };
        let vars = self.values.iter().zip(&self.buffers).map(put).collect();
        Bound { tape, vars }
    }

    /// Puts all of them on a tape as constants, for evaluation: nothing behind them is recorded.
    pub fn bind_constant<'t>(&self, tape: &'t Tape<T>) -> Bound<'t, T> {
        let values = self.values.iter();
        let vars = values.map(|value| tape.constant(value.clone())).collect();
        Bound { tape, vars }
    }

    /// Evaluates a loss and its gradients with respect to every parameter, and leaves the tape reset.
    ///
    /// `f` builds the loss, a single number, from the bound parameters, and returns with it whatever else it
    /// wants to tell.
    ///
    /// # Panics
    /// If the loss is not a single number.
    pub fn value_and_gradients<R>(
        &self,
        tape: &mut Tape<T>,
        f: impl for<'t> FnOnce(&Bound<'t, T>) -> (Var<'t, T>, R),
    ) -> (R, ParameterGradients<T>) {
        let result = {
            let bound = self.bind(tape);
            let (loss, told) = f(&bound);
            let mut gradients = tape.gradients(loss);
            let values = bound.vars.iter().map(|&var| gradients.take(var)).collect();
            let (names, lender) = (Rc::clone(&self.names), gradients.lender());
            let gradients = ParameterGradients {
                names,
                values,
                lender,
            };
            (told, gradients)
        };
        tape.reset();
        result
    }

    pub(super) fn values_mut(&mut self) -> &mut [Value<T>] {
        &mut self.values
    }
}

/// Parameters on a tape, for the length of a step: `bound[id]` is the handle.
#[derive(Debug)]
pub struct Bound<'t, T: Scalar> {
    tape: &'t Tape<T>,
    vars: Vec<Var<'t, T>>,
}

impl<'t, T: Scalar> Bound<'t, T> {
    /// Handles in the parameters' order, made by other means than [`Parameters::bind`]: by a gradient checker.
    ///
    /// # Panics
    /// If there is none.
    pub fn from_vars(vars: &[Var<'t, T>]) -> Self {
        Self {
            tape: vars.first().expect("at least one parameter").tape(),
            vars: vars.to_vec(),
        }
    }

    /// The tape that they are bound to.
    pub fn tape(&self) -> &'t Tape<T> {
        self.tape
    }

    /// The handles, in the parameters' order.
    pub fn vars(&self) -> &[Var<'t, T>] {
        &self.vars
    }
}

impl<'t, T: Scalar> Index<ParameterId> for Bound<'t, T> {
    type Output = Var<'t, T>;

    fn index(&self, id: ParameterId) -> &Var<'t, T> {
        &self.vars[id.0]
    }
}

/// One gradient for each array of [`Parameters`], in their order. Dropped, they go back to the tape, whose next step reuses them.
#[derive(Clone, Debug)]
pub struct ParameterGradients<T: Scalar> {
    names: Rc<Vec<String>>,
    values: Vec<Value<T>>,
    lender: Lender<T>,
}

impl<T: Scalar> Drop for ParameterGradients<T> {
    fn drop(&mut self) {
        self.values
            .drain(..)
            .for_each(|value| self.lender.give(value));
    }
}

impl<T: Scalar> ParameterGradients<T> {
    /// The gradients, in the parameters' order; a buffer's is 0.
    pub fn values(&self) -> &[Value<T>] {
        &self.values
    }

    /// Names and gradients, in the parameters' order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<T>)> {
        self.names.iter().map(String::as_str).zip(&self.values)
    }

    /// The gradient with respect to the parameter of that name.
    pub fn get(&self, name: &str) -> Option<&Value<T>> {
        let position = self.names.iter().position(|other| other == name)?;
        Some(&self.values[position])
    }
}

impl<T: Scalar> Index<ParameterId> for ParameterGradients<T> {
    type Output = Value<T>;

    fn index(&self, id: ParameterId) -> &Value<T> {
        &self.values[id.0]
    }
}
