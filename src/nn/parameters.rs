//! Named arrays that a model learns.

use std::fmt;
use std::ops::Index;
use std::rc::Rc;

use crate::Scalar;
use crate::autodiff::{Gradients, IntoValue, Lender, Tape, Value, Var};

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
    /// `f` builds the loss, a single number, from the bound parameters, and returns with it whatever else the caller
    /// needs: the loss as a number, or nothing.
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
            let (loss, result) = f(&bound);
            (result, self.take_from(tape.gradients(loss), &bound))
        };
        tape.reset();
        result
    }

    /// H v for the Hessian H of a loss with respect to all parameters: the gradient of ⟨∇L, v⟩, differentiated on the
    /// tape, which it leaves reset. The cost is that of a few gradients, whatever the number of parameters; H itself is
    /// never formed.
    ///
    /// `direction` is v: one array for each of the parameters, in their order and of their shapes. A buffer is a
    /// constant: its part of v counts for nothing, and its part of H v is 0.
    ///
    /// ```
    /// use elbo::autodiff::Tape;
    /// use elbo::nn::Parameters;
    /// use ndarray::{arr0, arr1};
    ///
    /// // L = b Σ w² has the second derivatives 2b with respect to an entry of w, 2w with respect to w and b.
    /// let mut parameters = Parameters::new();
    /// let w = parameters.add("w", arr1(&[3.0, -1.0]));
    /// let b = parameters.add("b", arr0(0.5));
    /// let direction = [arr1(&[1.0, 2.0]).into_dyn().into(), arr0(10.0).into_dyn().into()];
    /// let product = parameters.hessian_product(&mut Tape::new(), &direction, |p| p[b] * p[w].square().sum());
    /// assert_eq!(product[w], arr1(&[61.0, -18.0]).into_dyn()); // 2b v_w + 2w v_b
    /// assert_eq!(product[b], arr0(2.0).into_dyn()); // 2 ⟨w, v_w⟩
    /// ```
    ///
    /// # Panics
    /// If the loss is not a single number, or `direction` does not have the parameters' number and shapes.
    pub fn hessian_product(
        &self,
        tape: &mut Tape<T>,
        direction: &[Value<T>],
        f: impl for<'t> FnOnce(&Bound<'t, T>) -> Var<'t, T>,
    ) -> ParameterGradients<T> {
        let shapes = |values: &[Value<T>]| -> Vec<Vec<usize>> {
            values.iter().map(|value| value.shape().to_vec()).collect()
        };
        assert!(
            shapes(direction) == shapes(&self.values),
            "hessian_product: shapes {:?} (direction) and {:?} (parameters) do not fit",
            shapes(direction),
            shapes(&self.values)
        );
        let product = {
            let bound = self.bind(tape);
            let slope = tape.differentiable_gradients(f(&bound));
            let terms = bound.vars.iter().zip(direction);
            let slope_along = terms
                .map(|(&var, v)| (slope.wrt(var) * tape.constant(v.clone())).sum())
                .fold(tape.scalar(T::zero()), |sum, term| sum + term);
            self.take_from(tape.gradients(slope_along), &bound)
        };
        tape.reset();
        product
    }

    /// The gradients with respect to the bound parameters, taken out.
    fn take_from(
        &self,
        mut gradients: Gradients<T>,
        bound: &Bound<'_, T>,
    ) -> ParameterGradients<T> {
        ParameterGradients {
            names: Rc::clone(&self.names),
            values: bound.vars.iter().map(|&var| gradients.take(var)).collect(),
            lender: gradients.lender(),
        }
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
