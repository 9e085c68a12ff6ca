//! The walk backwards along the tape.
//!
//! For y = f(x) and a cotangent ȳ, every value's cotangent x̄ = Jᵀȳ follows from those of the values
//! computed from it, so one pass in reverse order finds them all. One loop serves two purposes: with
//! [`Tape::gradients`] the rules' arithmetic leaves no trace and cotangents are freed as soon as they have
//! been used; with [`Tape::differentiable_gradients`] the same arithmetic is recorded, and a gradient is one
//! more expression on the tape.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::pool::Pool;
use super::tape::{IntoValue, Origin, Pullback, Tape, Value, Var};
use crate::Scalar;

/// The cotangents that a first-order backward pass leaves: plain arrays, independent of the tape.
#[derive(Debug)]
pub struct Gradients<T: Scalar> {
    cotangents: HashMap<u32, Value<T>>,
    /// The intermediate values that were named in `keep`.
    kept: Vec<u32>,
    serial: u64,
    pool: Rc<RefCell<Pool<T>>>,
}

impl<T: Scalar> Gradients<T> {
    /// The gradient with respect to `variable`, of its shape: zeros if the result does not depend on it.
    ///
    /// # Panics
    /// If `variable` lives on another tape, or was neither made by [`Tape::variable`] nor named to
    /// [`Tape::pull_back`]: the cotangents of intermediate values are freed on the way.
    pub fn wrt(&self, variable: Var<'_, T>) -> Value<T> {
        assert_eq!(
            self.serial, variable.tape.serial,
            "wrt: these gradients belong to another tape"
        );
        match self.cotangents.get(&variable.id) {
            Some(cotangent) => cotangent.clone(),
            None => {
                assert!(
                    variable.is_variable()
                        || !variable.is_active()
                        || self.kept.contains(&variable.id),
                    "wrt: expected a variable, found the result of `{}`, whose cotangent was freed on the \
                     way: name it in `pull_back(.., keep)`, or ask for `differentiable_gradients`",
                    variable.name()
                );
                Value::zeros(variable.shape())
            }
        }
    }
}

/// Gives buffers back to the tape that lent them.
#[derive(Clone, Debug)]
pub(crate) struct Lender<T: Scalar>(Rc<RefCell<Pool<T>>>);

impl<T: Scalar> Lender<T> {
    /// Takes a value back, if nobody else holds it.
    pub(crate) fn give(&self, value: Value<T>) {
        self.0.borrow_mut().give(value);
    }
}

impl<T: Scalar> Gradients<T> {
    /// As [`wrt`](Gradients::wrt), but leaves nothing behind: whoever takes a gradient out may write to it without a
    /// copy, and gives it back to the [`Lender`] at the end.
    pub(crate) fn take(&mut self, variable: Var<'_, T>) -> Value<T> {
        let cotangent = self.wrt(variable);
        self.cotangents.remove(&variable.id);
        cotangent
    }

    /// Whom to give gradients back to.
    pub(crate) fn lender(&self) -> Lender<T> {
        Lender(Rc::clone(&self.pool))
    }
}

impl<T: Scalar> Drop for Gradients<T> {
    fn drop(&mut self) {
        let mut pool = self.pool.borrow_mut();
        for (_, cotangent) in self.cotangents.drain() {
            pool.give(cotangent);
        }
    }
}

/// The cotangents of a differentiable backward pass: expressions on the tape, of intermediate values too.
#[derive(Debug)]
pub struct DifferentiableGradients<'t, T: Scalar> {
    tape: &'t Tape<T>,
    cotangents: Vec<Option<Var<'t, T>>>,
}

impl<'t, T: Scalar> DifferentiableGradients<'t, T> {
    /// The gradient with respect to any value of the tape, as an expression: zeros if the result does not
    /// depend on it.
    ///
    /// # Panics
    /// If `var` lives on another tape.
    pub fn wrt(&self, var: Var<'t, T>) -> Var<'t, T> {
        assert!(
            std::ptr::eq(self.tape, var.tape),
            "wrt: these gradients belong to another tape"
        );
        let cotangent = self.cotangents.get(var.id as usize).copied().flatten();
        cotangent.unwrap_or_else(|| var.tape.full(&var.shape(), T::zero()))
    }
}

impl<T: Scalar> Tape<T> {
    /// ∇ of a single number with respect to every variable behind it.
    ///
    /// A pure function of the tape: asking twice gives the same answer, there is nothing to reset between.
    ///
    /// # Panics
    /// If `loss` has more or less than one entry: a gradient is that of a number. For an array, choose the
    /// cotangent and call [`pull_back`](Tape::pull_back).
    pub fn gradients(&self, loss: Var<'_, T>) -> Gradients<T> {
        let one = Value::from_elem(single(loss), T::one());
        self.pull_back(loss, one, &[])
    }

    /// Jᵀȳ: the cotangents of every variable behind `output`, and of the intermediate values in `keep`, for
    /// a given cotangent ȳ of the output.
    ///
    /// # Panics
    /// If the cotangent's shape is not the output's, or a value to keep lives on another tape.
    pub fn pull_back(
        &self,
        output: Var<'_, T>,
        cotangent: impl IntoValue<T>,
        keep: &[Var<'_, T>],
    ) -> Gradients<T> {
        assert!(
            keep.iter().all(|var| std::ptr::eq(var.tape, self)),
            "pull_back: a value to keep belongs to another tape"
        );
        let mark = self.len();
        let paused = Paused::new(&self.recording);
        let seed = self.constant(cotangent);
        let mut pass = Transient {
            tape: self,
            mark,
            cotangents: vec![None; output.id as usize + 1],
            keep: keep.iter().map(|var| var.id).collect(),
        };
        self.walk_back(output, seed, &mut pass);
        let cotangents = std::mem::take(&mut pass.cotangents);
        self.truncate(mark);
        drop(paused);
        Gradients {
            cotangents: (0..)
                .zip(cotangents)
                .filter_map(|(id, c)| Some((id, c?)))
                .collect(),
            kept: pass.keep,
            serial: self.serial,
            pool: Rc::clone(&self.pool),
        }
    }

    /// As [`gradients`](Tape::gradients), but the gradients are expressions on the tape, which can be
    /// computed with and differentiated again.
    ///
    /// ```
    /// use elbo::autodiff::Tape;
    ///
    /// let tape = Tape::new();
    /// let x = tape.variable(ndarray::arr0(2.0));
    /// let slope = tape.differentiable_gradients(x.powi(3)).wrt(x); // 3x²
    /// let curvature = tape.gradients(slope).wrt(x); // 6x
    /// assert_eq!(slope.item(), 12.0);
    /// assert_eq!(curvature.sum(), 12.0);
    /// ```
    pub fn differentiable_gradients<'t>(
        &'t self,
        loss: Var<'t, T>,
    ) -> DifferentiableGradients<'t, T> {
        self.differentiable_pull_back(loss, self.full(&single(loss), T::one()))
    }

    /// As [`pull_back`](Tape::pull_back), but the cotangents are expressions on the tape. The given cotangent
    /// may be a variable: Jᵀȳ is linear in it, and its own derivative is J.
    ///
    /// # Panics
    /// If the cotangent's shape is not the output's.
    pub fn differentiable_pull_back<'t>(
        &'t self,
        output: Var<'t, T>,
        cotangent: Var<'t, T>,
    ) -> DifferentiableGradients<'t, T> {
        let mut pass = Recorded {
            cotangents: vec![None; output.id as usize + 1],
        };
        self.walk_back(output, cotangent, &mut pass);
        DifferentiableGradients {
            tape: self,
            cotangents: pass.cotangents,
        }
    }

    fn walk_back<'t>(&'t self, output: Var<'t, T>, seed: Var<'t, T>, pass: &mut impl Pass<'t, T>) {
        assert!(
            std::ptr::eq(output.tape, self),
            "gradients: the value belongs to another tape"
        );
        assert!(
            seed.shape() == output.shape(),
            "pull_back: expected a cotangent of the output's shape {:?}, found {:?}",
            output.shape(),
            seed.shape()
        );
        if !output.is_active() {
            return;
        }
        pass.add(output.id, seed);
        for id in (0..=output.id).rev() {
            let Some(origin) = self.nodes.borrow()[id as usize].origin.clone() else {
                continue;
            };
            let Some(cotangent) = pass.take(id) else {
                continue;
            };
            for (input, contribution) in self.contributions(id, origin, cotangent) {
                pass.add(input, contribution);
            }
            pass.done();
        }
    }

    /// What the operation that made value `id` gives to its inputs, by number and in their shapes, for its cotangent.
    fn contributions<'t>(
        &'t self,
        id: u32,
        origin: Origin<T>,
        cotangent: Var<'t, T>,
    ) -> impl Iterator<Item = (u32, Var<'t, T>)> {
        let pullback = Pullback {
            cotangent,
            output: Var { tape: self, id },
            inputs: origin.inputs,
            contributions: RefCell::default(),
        };
        (origin.rule)(&pullback);
        let contributions = pullback.contributions.into_inner().into_iter();
        contributions.map(|(id, contribution)| {
            let input = Var { tape: self, id };
            // Whatever was broadcast on the way in is summed on the way back, here and nowhere else.
            (id, contribution.sum_to(&input.shape()))
        })
    }

    /// The same as plain arrays, with nothing left on the tape; none for what no operation made.
    pub(super) fn given(&self, id: u32, cotangent: &Value<T>) -> Vec<(u32, Value<T>)> {
        let Some(origin) = self.nodes.borrow()[id as usize].origin.clone() else {
            return Vec::new();
        };
        let mark = self.len();
        let paused = Paused::new(&self.recording);
        let cotangent = self.constant(cotangent.clone());
        let given = self.contributions(id, origin, cotangent);
        let given = given.map(|(input, part)| (input, part.value())).collect();
        self.truncate(mark);
        drop(paused);
        given
    }
}

/// No recording as long as it lives. A guard, because a rule may panic, and a tape that no longer records
/// would make every later gradient 0.
struct Paused<'a> {
    recording: &'a Cell<bool>,
    before: bool,
}

impl<'a> Paused<'a> {
    fn new(recording: &'a Cell<bool>) -> Self {
        let before = recording.replace(false);
        Self { recording, before }
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.recording.set(self.before);
    }
}

/// The shape of a value that must be a single number.
fn single<T: Scalar>(loss: Var<'_, T>) -> Vec<usize> {
    let shape = loss.shape();
    assert!(
        loss.size() == 1,
        "gradients: expected a single number, found shape {shape:?}: sum it, or give a cotangent to pull_back"
    );
    shape
}

/// Where a backward pass keeps cotangents. `add` is the only place where they accumulate.
trait Pass<'t, T: Scalar> {
    /// Adds a contribution to the cotangent of value `id`.
    fn add(&mut self, id: u32, contribution: Var<'t, T>);
    /// The complete cotangent of value `id`, if anything reached it.
    fn take(&mut self, id: u32) -> Option<Var<'t, T>>;
    /// One operation's rule has been applied.
    fn done(&mut self);
}

/// First order: cotangents are plain arrays, and the tape's end is a scratch pad wiped after every rule.
struct Transient<'t, T: Scalar> {
    tape: &'t Tape<T>,
    mark: usize,
    cotangents: Vec<Option<Value<T>>>,
    keep: Vec<u32>,
}

impl<'t, T: Scalar> Pass<'t, T> for Transient<'t, T> {
    fn add(&mut self, id: u32, contribution: Var<'t, T>) {
        let slot = &mut self.cotangents[id as usize];
        let contribution = contribution.value();
        *slot = Some(match slot.take() {
            None => contribution,
            Some(sum) => self.tape.add_into(sum, contribution),
        });
    }

    fn take(&mut self, id: u32) -> Option<Var<'t, T>> {
        let slot = &mut self.cotangents[id as usize];
        let cotangent = if self.keep.contains(&id) {
            slot.clone()
        } else {
            slot.take()
        };
        Some(self.tape.constant(cotangent?))
    }

    fn done(&mut self) {
        self.tape.truncate(self.mark);
    }
}

/// Any order: cotangents are expressions, and their sum is one too.
struct Recorded<'t, T: Scalar> {
    cotangents: Vec<Option<Var<'t, T>>>,
}

impl<'t, T: Scalar> Pass<'t, T> for Recorded<'t, T> {
    fn add(&mut self, id: u32, contribution: Var<'t, T>) {
        let slot = &mut self.cotangents[id as usize];
        *slot = Some(match slot.take() {
            None => contribution,
            Some(sum) => sum + contribution,
        });
    }

    fn take(&mut self, id: u32) -> Option<Var<'t, T>> {
        self.cotangents[id as usize]
    }

    fn done(&mut self) {}
}
