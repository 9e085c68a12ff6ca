//! The tape: a flat list of values, each with the rule that carries its cotangent to its inputs.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::{ArcArray, Array, ArrayView, Dimension, IxDyn};

use super::pool::Pool;
use crate::Scalar;

/// An array on the tape: shared, so that handing it around copies no entry.
pub type Value<T> = ArcArray<T, IxDyn>;

/// A derivative rule: receives an operation's cotangent, gives its inputs theirs.
pub(super) type Rule<T> = Rc<dyn for<'t> Fn(&Pullback<'t, T>)>;

/// One line of the tape.
pub(super) struct Node<T: Scalar> {
    pub(super) name: &'static str,
    pub(super) value: Value<T>,
    /// Does a variable stand behind it? If not, no cotangent is ever computed for it.
    pub(super) active: bool,
    /// What it was computed from, and the rule; `None` for variables and constants.
    pub(super) origin: Option<Origin<T>>,
}

#[derive(Clone)]
pub(super) struct Origin<T: Scalar> {
    pub(super) inputs: Rc<[u32]>,
    pub(super) rule: Rule<T>,
}

/// The record of a computation, in the order in which it happened.
///
/// Values enter as [`variable`](Tape::variable) (to be differentiated) or [`constant`](Tape::constant);
/// operations on the handles append to the tape; [`gradients`](Tape::gradients) walks it backwards.
///
/// ```
/// use elbo::autodiff::Tape;
/// use ndarray::arr1;
///
/// let tape = Tape::new();
/// let x = tape.variable(arr1(&[1.0, 2.0, 3.0]));
/// let y = (x * x).sum();
/// assert_eq!(y.item(), 14.0);
/// assert_eq!(tape.gradients(y).wrt(x), arr1(&[2.0, 4.0, 6.0]).into_dyn());
/// ```
///
/// A tape keeps the buffers of the values that it drops: [`reset`](Tape::reset) it between steps instead
/// of making a new one, and a step after the first allocates nothing large.
pub struct Tape<T: Scalar> {
    pub(super) nodes: RefCell<Vec<Node<T>>>,
    /// False while a first-order backward pass runs: its arithmetic leaves no rules behind.
    pub(super) recording: Cell<bool>,
    pub(super) pool: Rc<RefCell<Pool<T>>>,
    /// Tells tapes, and the lives of one tape between resets, apart.
    pub(super) serial: u64,
}

fn next_serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A handle on one value of a tape: two words, free to copy, used like a number.
pub struct Var<'t, T: Scalar> {
    pub(super) tape: &'t Tape<T>,
    pub(super) id: u32,
}

impl<T: Scalar> Clone for Var<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Scalar> Copy for Var<'_, T> {}

/// What a derivative rule sees: the cotangent that arrives at an operation's output, that output, and the
/// inputs. The rule is written in the same handles as any other expression, so one rule serves every order
/// of differentiation.
pub struct Pullback<'t, T: Scalar> {
    /// ȳ, of the output's shape.
    pub cotangent: Var<'t, T>,
    /// The operation's output y.
    pub output: Var<'t, T>,
    pub(super) inputs: Rc<[u32]>,
    pub(super) contributions: RefCell<Vec<(u32, Var<'t, T>)>>,
}

impl<'t, T: Scalar> Pullback<'t, T> {
    /// The operation's `index`-th input.
    pub fn input(&self, index: usize) -> Var<'t, T> {
        Var {
            tape: self.cotangent.tape,
            id: self.inputs[index],
        }
    }

    /// Does the `index`-th input want a cotangent? Constants do not.
    pub fn wanted(&self, index: usize) -> bool {
        self.input(index).is_active()
    }

    /// Gives the `index`-th input its cotangent, which is computed only if it is wanted.
    ///
    /// It may still have the shape of the *broadcast* input: the engine sums it down to the input's own
    /// shape and adds it to what other uses of that input have given.
    pub fn give(&self, index: usize, cotangent: impl FnOnce() -> Var<'t, T>) {
        if self.wanted(index) {
            self.add(index, cotangent());
        }
    }

    fn add(&self, index: usize, contribution: Var<'t, T>) {
        let mut contributions = self.contributions.borrow_mut();
        contributions.push((self.inputs[index], contribution));
    }
}

impl<T: Scalar> Default for Tape<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Scalar> Tape<T> {
    /// An empty tape.
    pub fn new() -> Self {
        Self {
            nodes: RefCell::default(),
            recording: Cell::new(true),
            pool: Rc::default(),
            serial: next_serial(),
        }
    }

    /// Forgets every value and keeps the buffers for the next step.
    ///
    /// The exclusive borrow is the proof that no handle is left.
    pub fn reset(&mut self) {
        self.truncate(0);
        self.serial = next_serial();
    }

    /// How many values the tape holds.
    pub fn len(&self) -> usize {
        self.nodes.borrow().len()
    }

    /// Is nothing on the tape?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A value to differentiate with respect to.
    pub fn variable(&self, value: impl IntoValue<T>) -> Var<'_, T> {
        self.push("variable", value.into_value(), true, None)
    }

    /// A value whose derivative is never asked for: data, noise, a mask.
    pub fn constant(&self, value: impl IntoValue<T>) -> Var<'_, T> {
        self.push("constant", value.into_value(), false, None)
    }

    /// A constant number, of shape `[]`.
    pub fn scalar(&self, value: T) -> Var<'_, T> {
        self.constant(ndarray::arr0(value))
    }

    /// A constant array filled with one number.
    pub fn full(&self, shape: &[usize], value: T) -> Var<'_, T> {
        let mut array = self.buffer(shape);
        array.fill(value);
        self.constant(array)
    }

    /// An array from the tape's store of freed buffers, in standard layout. **Its entries are arbitrary**:
    /// fill it, then give it to [`constant`](Tape::constant), and no step but the first allocates it.
    pub fn buffer(&self, shape: &[usize]) -> Array<T, IxDyn> {
        self.pool.borrow_mut().take(shape)
    }

    /// Takes back the buffer of a value that was a step on the way, if nobody else holds it.
    pub(crate) fn recycle(&self, value: Value<T>) {
        self.pool.borrow_mut().give(value);
    }

    /// Appends the result of an operation: its name, its inputs, its value, and the rule that gives each
    /// input its cotangent. This is how every operation of the crate is made; yours can be too.
    ///
    /// ```
    /// use elbo::autodiff::{Tape, Var};
    ///
    /// /// x³, with its derivative 3x².
    /// fn cube<'t>(x: Var<'t, f64>) -> Var<'t, f64> {
    ///     let value = x.value().mapv(|x| x * x * x).into_shared();
    ///     x.tape().record("cube", &[x], value, |p| {
    ///         p.give(0, || p.cotangent * p.input(0) * p.input(0) * 3.0);
    ///     })
    /// }
    ///
    /// let tape = Tape::new();
    /// let x = tape.variable(ndarray::arr0(2.0));
    /// let y = cube(x);
    /// assert_eq!(y.item(), 8.0);
    /// assert_eq!(tape.gradients(y).wrt(x).sum(), 12.0);
    /// ```
    ///
    /// # Panics
    /// If an input belongs to another tape.
    pub fn record<'t>(
        &'t self,
        name: &'static str,
        inputs: &[Var<'t, T>],
        value: Value<T>,
        rule: impl for<'s> Fn(&Pullback<'s, T>) + 'static,
    ) -> Var<'t, T> {
        let active = self.is_any_active(name, inputs);
        let rule = active.then(|| -> Rule<T> { Rc::new(rule) });
        self.push_result(name, inputs, value, rule)
    }

    /// Does an operation on these inputs leave a rule behind?
    fn is_any_active(&self, name: &str, inputs: &[Var<'_, T>]) -> bool {
        for input in inputs {
            assert!(
                std::ptr::eq(input.tape, self),
                "{name}: an operand belongs to another tape"
            );
        }
        self.recording.get() && inputs.iter().any(|input| input.is_active())
    }

    fn push_result(
        &self,
        name: &'static str,
        inputs: &[Var<'_, T>],
        value: Value<T>,
        rule: Option<Rule<T>>,
    ) -> Var<'_, T> {
        let origin = rule.map(|rule| Origin {
            inputs: inputs.iter().map(|input| input.id).collect(),
            rule,
        });
        self.push(name, value, origin.is_some(), origin)
    }

    pub(super) fn push(
        &self,
        name: &'static str,
        value: Value<T>,
        active: bool,
        origin: Option<Origin<T>>,
    ) -> Var<'_, T> {
        let mut nodes = self.nodes.borrow_mut();
        let id = u32::try_from(nodes.len()).expect("a tape holds fewer than 2³² values");
        nodes.push(Node {
            name,
            value,
            active,
            origin,
        });
        Var { tape: self, id }
    }

    /// The values that value `id` was computed from, by number; none for a variable or a constant.
    pub(super) fn operands(&self, id: u32) -> Option<Rc<[u32]>> {
        let nodes = self.nodes.borrow();
        let origin = nodes[id as usize].origin.as_ref();
        origin.map(|origin| Rc::clone(&origin.inputs))
    }

    /// Drops every value from `length` on.
    pub(super) fn truncate(&self, length: usize) {
        // Last first: a view goes before the array that it looks into, which is then nobody else's.
        while self.len() > length {
            let node = self.nodes.borrow_mut().pop().expect("longer than length");
            // A rule may own anything, gradients too, which go back to the pool: nothing is borrowed while it goes.
            drop(node.origin);
            self.pool.borrow_mut().give(node.value);
        }
    }
}

impl<'t, T: Scalar> Var<'t, T> {
    /// The tape that it lives on.
    pub fn tape(self) -> &'t Tape<T> {
        self.tape
    }

    /// Its value; shared, not copied.
    pub fn value(self) -> Value<T> {
        self.tape.nodes.borrow()[self.id as usize].value.clone()
    }

    /// Its value as a number.
    ///
    /// # Panics
    /// If it has more or less than one entry.
    pub fn item(self) -> T {
        let value = self.value();
        assert_eq!(
            value.len(),
            1,
            "item: expected one entry, found shape {:?}",
            value.shape()
        );
        value.sum()
    }

    /// The lengths of its axes.
    pub fn shape(self) -> Vec<usize> {
        self.tape.nodes.borrow()[self.id as usize]
            .value
            .shape()
            .to_vec()
    }

    /// The number of its axes.
    pub fn ndim(self) -> usize {
        self.tape.nodes.borrow()[self.id as usize].value.ndim()
    }

    /// The number of its entries.
    pub fn size(self) -> usize {
        self.tape.nodes.borrow()[self.id as usize].value.len()
    }

    /// The operation that made it.
    pub fn name(self) -> &'static str {
        self.tape.nodes.borrow()[self.id as usize].name
    }

    /// Does it depend on a variable?
    pub fn is_active(self) -> bool {
        self.tape.nodes.borrow()[self.id as usize].active
    }

    /// Is it a variable itself?
    pub(super) fn is_variable(self) -> bool {
        let node = &self.tape.nodes.borrow()[self.id as usize];
        node.active && node.origin.is_none()
    }
}

impl<T: Scalar> fmt::Debug for Var<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{} = {} {:?}", self.id, self.name(), self.value())
    }
}

impl<T: Scalar> fmt::Debug for Tape<T> {
    /// One line a value: its number, operation, inputs and shape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, node) in self.nodes.borrow().iter().enumerate() {
            let inputs: Vec<String> = node
                .origin
                .iter()
                .flat_map(|o| o.inputs.iter())
                .map(|i| format!("%{i}"))
                .collect();
            writeln!(
                f,
                "%{id} = {}({}) {:?}",
                node.name,
                inputs.join(", "),
                node.value.shape()
            )?;
        }
        Ok(())
    }
}

/// Arrays that can be put on a tape: owned ones move, shared ones are shared, views are copied.
pub trait IntoValue<T> {
    /// The array as a tape holds it.
    fn into_value(self) -> Value<T>;
}

impl<T: Scalar, D: Dimension> IntoValue<T> for Array<T, D> {
    fn into_value(self) -> Value<T> {
        self.into_dyn().into_shared()
    }
}

impl<T: Scalar, D: Dimension> IntoValue<T> for ArcArray<T, D> {
    fn into_value(self) -> Value<T> {
        self.into_dyn()
    }
}

impl<T: Scalar, D: Dimension> IntoValue<T> for ArrayView<'_, T, D> {
    fn into_value(self) -> Value<T> {
        self.to_owned().into_value()
    }
}

/// A value as an array of its own with a known number of axes: a vector or a matrix, whichever the caller needs.
///
/// # Panics
/// If the value has another number of axes.
pub(crate) fn array<T: Scalar, D: Dimension>(value: Value<T>) -> Array<T, D> {
    let axes = value.ndim();
    match value.into_owned().into_dimensionality() {
        Ok(array) => array,
        Err(_) => panic!("array: found {axes} axes, not those that were expected"),
    }
}
