//! A computation laid out to be read: the values in the order in which they were computed, and beside each its cotangent.

use std::fmt;

use super::{Tape, Value, Var};
use crate::Scalar;

/// One value of a tape.
#[derive(Clone, Debug)]
pub struct TraceStep<T> {
    /// The operation that made it; "variable" or "constant" if none did.
    pub operation: &'static str,
    /// The numbers of the steps that it was computed from; none if no variable is behind it.
    pub inputs: Vec<usize>,
    /// Its value.
    pub value: Value<T>,
    /// What it gives back to its inputs, by their numbers, for its cotangent: one part for each use, none for constants. A
    /// step's cotangent is the sum of all parts that were given to it.
    pub given: Vec<(usize, Value<T>)>,
    /// Its cotangent: the gradient of the result with respect to it. `None` for what no variable is behind.
    pub cotangent: Option<Value<T>>,
}

/// All that was computed on a tape up to a result, with its values and cotangents: also what the result does not use, whose
/// cotangent is then 0.
///
/// Shown, it is a table: the values were computed from top to bottom, the cotangents from bottom to top.
///
/// ```
/// use elbo::autodiff::{Tape, Trace};
/// use ndarray::arr0;
///
/// let tape = Tape::new();
/// let x = tape.variable(arr0(3.0));
/// let y = x.square() - tape.scalar(1.0);
/// let expected = "
/// step  operation    value  cotangent
/// %0    variable         3          6
/// %1    square(%0)       9          1
/// %2    constant         1          -
/// %3    sub(%1, %2)      8          1
/// ";
/// assert_eq!(format!("\n{}", Trace::of(y)), expected);
/// ```
#[derive(Clone, Debug)]
pub struct Trace<T> {
    steps: Vec<TraceStep<T>>,
}

impl<T: Scalar> Trace<T> {
    /// All that is on the tape up to `result`, whether `result` uses it or not: what it does not use has the cotangent 0 (or
    /// none, if no variable is behind it).
    ///
    /// # Panics
    /// If `result` has more or less than one entry.
    pub fn of(result: Var<'_, T>) -> Self {
        let tape = result.tape();
        let vars: Vec<Var<'_, T>> = (0..=result.id).map(|id| Var { tape, id }).collect();
        assert!(
            result.size() == 1,
            "trace: expected a single number, found shape {:?}",
            result.shape()
        );
        let one = Value::from_elem(result.shape(), T::one());
        let gradients = tape.pull_back(result, one, &vars);
        let step = |var: Var<'_, T>| {
            let cotangent = var.is_active().then(|| gradients.wrt(var));
            let given = cotangent.iter().flat_map(|c| tape.given(var.id, c));
            TraceStep {
                operation: var.name(),
                inputs: tape.inputs_of(var),
                value: var.value(),
                given: given.map(|(id, part)| (id as usize, part)).collect(),
                cotangent,
            }
        };
        Self {
            steps: vars.into_iter().map(step).collect(),
        }
    }

    /// The steps, in the order in which they were computed.
    pub fn steps(&self) -> &[TraceStep<T>] {
        &self.steps
    }
}

impl<T: Scalar> Tape<T> {
    fn inputs_of(&self, var: Var<'_, T>) -> Vec<usize> {
        let origin = &self.nodes.borrow()[var.id as usize].origin;
        let inputs = origin.iter().flat_map(|origin| origin.inputs.iter());
        inputs.map(|&id| id as usize).collect()
    }
}

impl<T> TraceStep<T> {
    /// As the table says it: `mul(%0, %1)`.
    fn call(&self) -> String {
        let inputs: Vec<String> = self.inputs.iter().map(|i| format!("%{i}")).collect();
        match inputs[..] {
            [] => self.operation.to_owned(),
            _ => format!("{}({})", self.operation, inputs.join(", ")),
        }
    }
}

/// A number as it is, an array on one line.
fn shown<T: Scalar>(value: &Value<T>) -> String {
    match value.first() {
        Some(number) if value.ndim() == 0 => number.to_string(),
        _ => value.to_string().replace('\n', ""),
    }
}

impl<T: Scalar> fmt::Display for Trace<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["step", "operation", "value", "cotangent"].map(str::to_owned)];
        for (number, step) in self.steps.iter().enumerate() {
            let cotangent = step.cotangent.as_ref().map_or("-".to_owned(), shown);
            rows.push([
                format!("%{number}"),
                step.call(),
                shown(&step.value),
                cotangent,
            ]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let [a, b, c, d] = [0, 1, 2, 3].map(|column| width(column).unwrap_or(0));
        for [step, operation, value, cotangent] in &rows {
            writeln!(
                f,
                "{step:<a$}  {operation:<b$}  {value:>c$}  {cotangent:>d$}"
            )?;
        }
        Ok(())
    }
}
