//! A gradient checker for any function of arrays, yours too.
//!
//! [`Check`] compares the Jacobian that a tape computes with finite differences in f64, entry by entry. What
//! makes it stricter than the usual one:
//!
//! - **No fixed tolerance.** An entry may differ from the finite difference by that difference's own error
//!   estimate (see the Richardson extrapolation in `differences.rs`) plus 10⁻⁹ of the largest entry in its row or
//!   in its column of the Jacobian, whichever is smaller. A loss scaled by 10⁻⁶ is held to a tolerance scaled by
//!   10⁻⁶, be it alone or one output of many, and a derivative that was rounded to f32 on its way (relative error
//!   up to 6·10⁻⁸) is caught.
//! - **Random signed cotangents**, one per output entry for the full Jacobian, and dense ones. All ones, the
//!   usual choice, cannot see that the backward of a softmax is 0.
//! - **Kinks are found** (the slopes to the left and to the right disagree at every step) and the
//!   point is moved, instead of a tolerance being loosened. A function that changes within 10⁻¹⁰ counts as a jump.
//! - **A second road to the finite differences**: their product with a random direction must agree with the difference
//!   along it at all steps, or else all steps are tried for each entry and the smaller ones must not contradict.
//! - **Nothing to see is not a pass**: neither an empty Jacobian, nor a slope that drowns in the rounding of a
//!   large value. A function that saturates, σ(40) for instance, passes: its slope is held to the rounding of its value, and
//!   [`Report::unresolved`] counts such entries.
//! - A second call must give the same bits; the backward pass must be linear in its cotangent;
//!   gradients must have their input's shape; inputs laid out otherwise in memory must give the same. The first call of all
//!   is made elsewhere: what a backward pass keeps from its first call is wrong at the point of the check.
//!
//! What it cannot see:
//!
//! - A gradient is compared at one point. What is wrong elsewhere only, and what is off by less than the error estimate
//!   (a wrong slope of σ at 40, by all of it), passes.
//! - A function that is another one at every number, as a mask recomputed from a hash of x makes it, is refused unless all
//!   values that the checker looks at happen to have the same mask. At 66 of them all entries are moved: a single entry that
//!   is dropped with probability 0.1 keeps its mask at all of them once in a thousand times, one that is dropped with
//!   probability 0.01 every second time.
//! - Where several entries tie for a maximum, a rule may give each the whole gradient: the point is moved to where nothing
//!   ties. [`Check::at_this_point`] refuses the tie instead.
//!
//! ```
//! use elbo::autodiff::check::Check;
//! use ndarray::arr2;
//!
//! let x = arr2(&[[0.3, -1.2], [0.8, 2.0]]).into_dyn();
//! Check::new("softplus").run(&[x], |v| v[0].softplus()).unwrap();
//! ```

mod differences;

use std::fmt;

use ndarray::{ArrayD, IxDyn};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::differences::{Along, Column, Search, along, column, entry_of, set_entry};
use super::{Tape, Value, Var};

/// The part of the largest entry in its row or its column that an entry may differ by, beyond the error estimate.
const TOLERANCE: f64 = 1e-9;

/// Rounding in a backward pass may differ by this much between two ways to the same sum.
const REARRANGEMENT: f64 = 1e-11;

/// How far away the first call is made.
const ELSEWHERE: f64 = 1e-3;

/// How often a point on a kink is moved before the checker gives up.
const ATTEMPTS: usize = 20;

/// A gradient check, named by the slug of the derivation that it belongs to.
#[derive(Clone, Debug)]
pub struct Check {
    slug: String,
    seed: u64,
    largest_step: f64,
    may_move: bool,
}

/// What a successful check looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// How many entries of the Jacobian were compared.
    pub entries: usize,
    /// The largest difference, as a part of what was allowed.
    pub worst: f64,
    /// How often the point was moved away from a kink.
    pub moved: usize,
    /// How many entries have a slope that the rounding of their output hides, by the finite differences and by the tape:
    /// they were held to that rounding and to nothing finer.
    pub unresolved: usize,
    /// The inputs at which the gradient was compared: the given ones, unless the point was moved.
    pub point: Vec<ArrayD<f64>>,
}

/// Why a check failed: one line that names the slug and the worst entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The derivation.
    pub slug: String,
    /// What was wrong.
    pub reason: Reason,
}

/// What a check can find wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// The Jacobian differs from finite differences; this is its worst entry.
    Differs {
        /// Which input.
        input: usize,
        /// The entry of that input.
        input_index: Vec<usize>,
        /// The entry of the output.
        output_index: Vec<usize>,
        /// ∂output/∂input from the tape.
        autodiff: f64,
        /// The same from finite differences.
        differences: f64,
        /// How far the finite difference itself may be off.
        error_estimate: f64,
        /// How far the two may be apart: the estimate and a part of the Jacobian's scale.
        allowed: f64,
    },
    /// Two calls with the same input gave different values or gradients.
    NotRepeatable(&'static str),
    /// The backward pass is not linear in its cotangent.
    NotLinear {
        /// Which input.
        input: usize,
        /// The cotangent from the combined backward pass.
        combined: f64,
        /// The same from the parts.
        from_parts: f64,
    },
    /// The same values in another memory layout gave something else.
    LayoutMatters {
        /// Which input's gradient, or `None` for the value.
        input: Option<usize>,
    },
    /// The gradient does not have its input's shape.
    Shape {
        /// Which input.
        input: usize,
        /// The input's shape.
        expected: Vec<usize>,
        /// The gradient's.
        found: Vec<usize>,
    },
    /// The differentiable gradient is not the plain one.
    OrdersDisagree {
        /// Which input.
        input: usize,
    },
    /// The value of a function is not that of its declared surrogate.
    SurrogateValue,
    /// A value or a gradient is NaN or infinite.
    NotFinite(&'static str),
    /// The slopes on the two sides of this point differ, and it may not be moved.
    Kink {
        /// Which input.
        input: usize,
        /// The entry of that input.
        input_index: Vec<usize>,
    },
    /// Finite differences do not settle, at this point or near it.
    Unreliable {
        /// Which input.
        input: usize,
        /// The entry of that input.
        input_index: Vec<usize>,
    },
    /// Something is added to the output that is so large that its last digit hides whatever slope the rest has.
    Drowned {
        /// The entry of the output.
        output_index: Vec<usize>,
        /// The output's value.
        value: f64,
        /// How far a finite difference of this output may be off.
        error_estimate: f64,
    },
    /// The inputs or the output have no entries.
    NothingToCompare,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.slug)?;
        match &self.reason {
            Reason::Differs {
                input,
                input_index,
                output_index,
                autodiff,
                differences,
                error_estimate,
                allowed,
            } => write!(
                f,
                "∂y{output_index:?}/∂x{input}{input_index:?}: autodiff {autodiff:e}, finite differences \
                 {differences:e} (error estimate {error_estimate:.1e}); they differ by {:.1e}, allowed {allowed:.1e}",
                (autodiff - differences).abs()
            ),
            Reason::NotRepeatable(what) => write!(
                f,
                "two calls with the same input gave two different {what}: freeze the noise outside the function"
            ),
            Reason::NotLinear {
                input,
                combined,
                from_parts,
            } => write!(
                f,
                "the backward pass to x{input} is not linear in the cotangent: {combined:e} at once, \
                 {from_parts:e} from the parts"
            ),
            Reason::LayoutMatters { input: Some(input) } => write!(
                f,
                "the gradient with respect to x{input} changes with the memory layout of the inputs"
            ),
            Reason::LayoutMatters { input: None } => {
                write!(f, "the value changes with the memory layout of the inputs")
            }
            Reason::Shape {
                input,
                expected,
                found,
            } => write!(
                f,
                "the gradient with respect to x{input} has shape {found:?}, its input has {expected:?}"
            ),
            Reason::OrdersDisagree { input } => write!(
                f,
                "the differentiable gradient with respect to x{input} is not the plain one"
            ),
            Reason::SurrogateValue => {
                write!(f, "the function and its declared surrogate differ in value")
            }
            Reason::NotFinite(what) => write!(f, "the {what} is not finite"),
            Reason::Kink { input, input_index } => write!(
                f,
                "the point lies on a kink: the slopes to the left and to the right of x{input}{input_index:?} differ"
            ),
            Reason::Unreliable { input, input_index } => write!(
                f,
                "finite differences in x{input}{input_index:?} do not settle, even after the point was moved \
                 {ATTEMPTS} times: is the function continuous there?"
            ),
            Reason::Drowned {
                output_index,
                value,
                error_estimate,
            } => write!(
                f,
                "y{output_index:?} = {value:e} is the sum of a large part and of one that is lost in its rounding: no slope \
                 below {error_estimate:.1e} can be seen; leave the large part out"
            ),
            Reason::NothingToCompare => {
                write!(
                    f,
                    "the inputs or the output have no entries: nothing to compare"
                )
            }
        }
    }
}

impl std::error::Error for Failure {}

/// A point of the input space at which a check cannot be made.
enum Outcome {
    Fails(Reason),
    /// These entries, by input, lie on kinks; there is at least one.
    Kinks(Vec<(usize, usize)>),
}

impl From<Reason> for Outcome {
    fn from(reason: Reason) -> Self {
        Outcome::Fails(reason)
    }
}

/// A function on the tape, as the checks receive it: behind a reference, so that the checker is compiled once and not
/// once for each function.
type Function<'f> = dyn for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64> + 'f;

/// A function of the live and the frozen inputs.
type Surrogate<'f> = dyn for<'t> Fn(&[Var<'t, f64>], &[Var<'t, f64>]) -> Var<'t, f64> + 'f;

/// A check at one point.
type Attempt<'f> = dyn Fn(&[ArrayD<f64>], &mut StdRng) -> Result<Report, Outcome> + 'f;

/// A function of plain arrays.
pub(super) type Values<'f> = dyn Fn(&[ArrayD<f64>]) -> ArrayD<f64> + 'f;

/// A function to be checked, as it is: for a closure that is kept in a `let`. There the compiler infers a closure that
/// serves one tape only; as the argument of a function it serves every tape, and a check makes several.
///
/// ```
/// use elbo::autodiff::check::{Check, function};
/// use ndarray::arr1;
///
/// let f = function(|v| v[0].exp() * v[0]);
/// let x = arr1(&[0.3, -1.2]).into_dyn();
/// Check::new("product-rule").run(&[x.clone()], &f).unwrap();
/// Check::new("product-rule-twice").run_second_order(&[x], &f).unwrap();
/// ```
pub fn function<F>(f: F) -> F
where
    F: for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
{
    f
}

impl Check {
    /// A check for the derivation `slug`.
    pub fn new(slug: &str) -> Self {
        Self {
            slug: slug.to_owned(),
            seed: 1,
            largest_step: f64::INFINITY,
            may_move: true,
        }
    }

    /// Another seed for the random cotangents and for moving away from kinks.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// No finite difference takes a step wider than this in any coordinate, by default any width: for a function
    /// that is not defined, or another one, further away from the point.
    ///
    /// # Panics
    /// If the step is not positive.
    pub fn largest_step(self, largest_step: f64) -> Self {
        assert!(
            largest_step > 0.0,
            "largest_step: expected a positive number, found {largest_step}"
        );
        Self {
            largest_step,
            ..self
        }
    }

    /// Fails with [`Reason::Kink`] where the point lies on a kink, instead of moving it.
    ///
    /// Equal entries under a maximum are such a point. Without this, a rule that gives each of them the whole gradient
    /// passes, since it is right where the point is moved to.
    pub fn at_this_point(self) -> Self {
        Self {
            may_move: false,
            ..self
        }
    }

    /// Compares the whole Jacobian of `f` at `inputs` with finite differences.
    ///
    /// `f` receives one variable for each input and returns an array of any shape. Noise, masks and selections
    /// must be frozen outside it.
    ///
    /// # Errors
    /// With the first thing found wrong; for the Jacobian, its worst entry.
    pub fn run(
        &self,
        inputs: &[ArrayD<f64>],
        f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
    ) -> Result<Report, Failure> {
        self.first_order(inputs, &f)
    }

    fn first_order(&self, inputs: &[ArrayD<f64>], f: &Function<'_>) -> Result<Report, Failure> {
        let value = |inputs: &[ArrayD<f64>]| evaluate(f, inputs);
        self.moving_away_from_kinks(inputs, &|inputs, rng| self.compare(inputs, f, &value, rng))
    }

    /// As [`run`](Check::run) for the second order: the gradient ∇⟨u, f⟩ for a random signed u, as an
    /// expression on the tape, is itself checked against finite differences.
    ///
    /// # Errors
    /// As [`run`](Check::run); also if the differentiable gradient differs from the plain one.
    pub fn run_second_order(
        &self,
        inputs: &[ArrayD<f64>],
        f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
    ) -> Result<Report, Failure> {
        self.second_order(inputs, &f)
    }

    fn second_order(&self, inputs: &[ArrayD<f64>], f: &Function<'_>) -> Result<Report, Failure> {
        let values = evaluate(f, inputs);
        if values.is_empty() || inputs.iter().all(ArrayD::is_empty) {
            return Err(self.failure(Reason::NothingToCompare));
        }
        let weights = signed(
            &mut StdRng::seed_from_u64(self.seed ^ 0x5eed),
            &values.raw_dim(),
        );
        self.orders_agree(inputs, f, &weights)
            .map_err(|reason| self.failure(reason))?;
        self.first_order(inputs, &|v| gradient_expression(f, v, &weights))
    }

    /// Checks a function with stopped gradients or frozen selections. Its derivative is by declaration that
    /// of `surrogate`, which receives the inputs twice: live, and frozen at the point of the check.
    ///
    /// ```
    /// use elbo::autodiff::check::Check;
    /// use ndarray::arr1;
    ///
    /// // x sg(x) has the value x² and, by declaration, the derivative of x·(x frozen).
    /// let x = arr1(&[0.5, -2.0]).into_dyn();
    /// Check::new("stop-gradient-and-selection")
    ///     .run_surrogate(
    ///         &[x],
    ///         |v| v[0] * v[0].stop_gradient(),
    ///         |live, frozen| live[0] * frozen[0],
    ///     )
    ///     .unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`run`](Check::run); also if the two differ in value.
    pub fn run_surrogate(
        &self,
        inputs: &[ArrayD<f64>],
        f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
        surrogate: impl for<'t> Fn(&[Var<'t, f64>], &[Var<'t, f64>]) -> Var<'t, f64>,
    ) -> Result<Report, Failure> {
        self.against_surrogate(inputs, &f, &surrogate)
    }

    fn against_surrogate(
        &self,
        inputs: &[ArrayD<f64>],
        f: &Function<'_>,
        surrogate: &Surrogate<'_>,
    ) -> Result<Report, Failure> {
        self.moving_away_from_kinks(inputs, &|point, rng| {
            let frozen = point.to_vec();
            let value = |inputs: &[ArrayD<f64>]| {
                let tape = Tape::new();
                let live: Vec<Var<'_, f64>> =
                    inputs.iter().map(|x| tape.constant(x.clone())).collect();
                let frozen: Vec<Var<'_, f64>> =
                    frozen.iter().map(|x| tape.constant(x.clone())).collect();
                surrogate(&live, &frozen).value().into_owned()
            };
            let (own, declared) = (evaluate(f, point), value(point));
            if own.shape() != declared.shape() || !close(&own, &declared) {
                return Err(Reason::SurrogateValue.into());
            }
            self.compare(point, f, &value, rng)
        })
    }

    fn failure(&self, reason: Reason) -> Failure {
        Failure {
            slug: self.slug.clone(),
            reason,
        }
    }

    fn moving_away_from_kinks(
        &self,
        inputs: &[ArrayD<f64>],
        attempt: &Attempt<'_>,
    ) -> Result<Report, Failure> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut point = inputs.to_vec();
        for moved in 0.. {
            match attempt(&point, &mut rng) {
                Ok(report) => return Ok(Report { moved, ..report }),
                Err(Outcome::Fails(reason)) => return Err(self.failure(reason)),
                Err(Outcome::Kinks(kinks)) if !self.may_move => {
                    let (input, entry) = kinks[0];
                    let input_index = index_of(point[input].shape(), entry);
                    return Err(self.failure(Reason::Kink { input, input_index }));
                }
                Err(Outcome::Kinks(kinks)) if moved < ATTEMPTS => {
                    for (input, entry) in kinks {
                        let x = entry_of(&point[input], entry);
                        let offset = signed_number(&mut rng) * 0.05 * x.abs().max(1.0);
                        set_entry(&mut point[input], entry, x + offset);
                    }
                }
                Err(Outcome::Kinks(kinks)) => {
                    let (input, entry) = kinks[0];
                    let input_index = index_of(point[input].shape(), entry);
                    return Err(self.failure(Reason::Unreliable { input, input_index }));
                }
            }
        }
        unreachable!("the loop ends in a return")
    }

    /// The tape's Jacobian of `f` against finite differences of `value`.
    fn compare(
        &self,
        inputs: &[ArrayD<f64>],
        f: &Function<'_>,
        value: &Values<'_>,
        rng: &mut StdRng,
    ) -> Result<Report, Outcome> {
        self.call_elsewhere(f, inputs);
        let center = value(inputs);
        if center.is_empty() || inputs.iter().all(ArrayD::is_empty) {
            return Err(Reason::NothingToCompare.into());
        }
        if !center.iter().all(|y| y.is_finite()) {
            return Err(Reason::NotFinite("value").into());
        }
        if value(inputs) != center {
            return Err(Reason::NotRepeatable("values").into());
        }
        let jacobian = jacobian(f, inputs, &center, rng)?;
        let ways: Vec<Way> = (0..center.len())
            .map(|output| Way::to(output, f, inputs))
            .collect();
        let magnitudes: Vec<f64> = ways.iter().map(|way| way.magnitude).collect();
        let columns = self.columns(inputs, value, (&center, &magnitudes))?;
        let report = every_entry(inputs, &center, &jacobian, &columns)?;
        nothing_drowns(&ways, &center, &columns)?;
        linear_in_the_cotangent(f, inputs, &center, (&jacobian, &columns), rng)?;
        indifferent_to_layout(f, inputs, &center, rng)?;
        Ok(report)
    }

    /// A forward and a backward pass near the point, of which nothing is kept: by whoever keeps something of it,
    /// the comparison notices.
    fn call_elsewhere(&self, f: &Function<'_>, inputs: &[ArrayD<f64>]) {
        let mut rng = StdRng::seed_from_u64(self.seed ^ 0xe15e);
        // As near as finite differences go anyway.
        let step = ELSEWHERE.min(self.largest_step);
        let nearby: Vec<Value<f64>> = (inputs.iter())
            .map(|x| (x + signed(&mut rng, &x.raw_dim()) * (step / 1.5)).into_shared())
            .collect();
        let tape = Tape::new();
        let v: Vec<Var<'_, f64>> = nearby.into_iter().map(|x| tape.variable(x)).collect();
        if !v.is_empty() {
            let y = f(&v);
            tape.pull_back(y, signed(&mut rng, &IxDyn(&y.shape())), &[]);
        }
    }

    /// The Jacobian by finite differences, where a second road agrees.
    fn columns(
        &self,
        inputs: &[ArrayD<f64>],
        value: &Values<'_>,
        outputs: (&ArrayD<f64>, &[f64]),
    ) -> Result<Vec<Vec<Column>>, Outcome> {
        let mut search = Search {
            largest_step: self.largest_step,
            every_step: false,
        };
        let found = columns(inputs, value, outputs, search)?;
        // Its own stream: the cotangents do not depend on it.
        let mut rng = StdRng::seed_from_u64(self.seed ^ 0xd12e);
        let direction: Vec<ArrayD<f64>> = (inputs.iter())
            .map(|x| signed(&mut rng, &x.raw_dim()) / 1.5)
            .collect();
        match along(value, inputs, outputs, &direction, (&found, search)) {
            Along::Agrees => Ok(found),
            Along::Disagrees => {
                search.every_step = true;
                columns(inputs, value, outputs, search)
            }
            Along::Rough => {
                let entries = |(input, x): (usize, &ArrayD<f64>)| {
                    (0..x.len()).map(move |entry| (input, entry))
                };
                Err(Outcome::Kinks(
                    inputs.iter().enumerate().flat_map(entries).collect(),
                ))
            }
        }
    }

    fn orders_agree(
        &self,
        inputs: &[ArrayD<f64>],
        f: &Function<'_>,
        weights: &ArrayD<f64>,
    ) -> Result<(), Reason> {
        let tape = Tape::new();
        let v: Vec<Var<'_, f64>> = inputs.iter().map(|x| tape.variable(x.clone())).collect();
        let y = f(&v);
        let plain = tape.pull_back(y, weights.clone(), &[]);
        let recorded = tape.differentiable_pull_back(y, tape.constant(weights.clone()));
        for (input, &x) in v.iter().enumerate() {
            if !close(&plain.wrt(x), &recorded.wrt(x).value()) {
                return Err(Reason::OrdersDisagree { input });
            }
        }
        Ok(())
    }
}

fn evaluate(f: &Function<'_>, inputs: &[ArrayD<f64>]) -> ArrayD<f64> {
    let tape = Tape::new();
    let v: Vec<Var<'_, f64>> = inputs.iter().map(|x| tape.variable(x.clone())).collect();
    f(&v).value().into_owned()
}

/// The gradients ∇⟨u, f⟩ of all inputs, flattened one after the other.
fn gradient_expression<'t>(
    f: &Function<'_>,
    v: &[Var<'t, f64>],
    weights: &ArrayD<f64>,
) -> Var<'t, f64> {
    let tape = v[0].tape();
    let gradients = tape.differentiable_pull_back(f(v), tape.constant(weights.clone()));
    let flat: Vec<Var<'t, f64>> = v.iter().map(|&x| gradients.wrt(x).flatten()).collect();
    tape.concatenate(0, &flat)
}

/// Jᵀȳ for every input, for values that are laid out as given.
fn cotangents(
    f: &Function<'_>,
    inputs: Vec<Value<f64>>,
    cotangent: &ArrayD<f64>,
) -> (ArrayD<f64>, Vec<ArrayD<f64>>) {
    let tape = Tape::new();
    let v: Vec<Var<'_, f64>> = inputs.into_iter().map(|x| tape.variable(x)).collect();
    let y = f(&v);
    let gradients = tape.pull_back(y, cotangent.clone(), &[]);
    let all = v.iter().map(|&x| gradients.wrt(x).into_owned()).collect();
    (y.value().into_owned(), all)
}

fn shared(inputs: &[ArrayD<f64>]) -> Vec<Value<f64>> {
    inputs.iter().map(|x| x.to_shared()).collect()
}

/// The Jacobian, by input, output entry and input entry: one backward pass for each output entry, each with a
/// random signed cotangent in that entry.
fn jacobian(
    f: &Function<'_>,
    inputs: &[ArrayD<f64>],
    center: &ArrayD<f64>,
    rng: &mut StdRng,
) -> Result<Vec<Vec<Vec<f64>>>, Reason> {
    let mut rows = vec![Vec::with_capacity(center.len()); inputs.len()];
    for output in 0..center.len() {
        let weight = signed_number(rng);
        let mut cotangent = ArrayD::zeros(center.raw_dim());
        set_entry(&mut cotangent, output, weight);
        let (_, gradients) = cotangents(f, shared(inputs), &cotangent);
        for (input, gradient) in gradients.iter().enumerate() {
            if gradient.shape() != inputs[input].shape() {
                return Err(Reason::Shape {
                    input,
                    expected: inputs[input].shape().to_vec(),
                    found: gradient.shape().to_vec(),
                });
            }
            if !gradient.iter().all(|g| g.is_finite()) {
                return Err(Reason::NotFinite("gradient"));
            }
            rows[input].push(gradient.iter().map(|g| g / weight).collect());
        }
        if output == 0 && cotangents(f, shared(inputs), &cotangent).1 != gradients {
            return Err(Reason::NotRepeatable("gradients"));
        }
    }
    Ok(rows)
}

/// The Jacobian by finite differences: a column for every entry of every input.
fn columns(
    inputs: &[ArrayD<f64>],
    value: &Values<'_>,
    (center, magnitudes): (&ArrayD<f64>, &[f64]),
    search: Search,
) -> Result<Vec<Vec<Column>>, Outcome> {
    let mut point = inputs.to_vec();
    let mut kinks = Vec::new();
    let mut columns = Vec::with_capacity(inputs.len());
    for (input, x) in inputs.iter().enumerate() {
        let own: Option<Vec<Column>> = (0..x.len())
            .map(|entry| {
                let outputs = (center, magnitudes);
                column(value, &mut point, outputs, (input, entry), search)
            })
            .collect();
        let own = own.ok_or(Reason::NotFinite("value near the point"))?;
        let scales = Scales::of(&own, center.len());
        for (entry, column) in own.iter().enumerate() {
            let mut slopes = column.entries.iter().enumerate();
            if slopes.any(|(output, slope)| slope.on_a_kink(scales.at(output, entry))) {
                kinks.push((input, entry));
            }
        }
        columns.push(own);
    }
    if kinks.is_empty() {
        Ok(columns)
    } else {
        Err(Outcome::Kinks(kinks))
    }
}

/// The largest slope of every output and with respect to every entry of one input.
struct Scales {
    outputs: Vec<f64>,
    entries: Vec<f64>,
}

impl Scales {
    fn of(columns: &[Column], outputs: usize) -> Self {
        let mut scales = Self {
            outputs: vec![0.0; outputs],
            entries: vec![0.0; columns.len()],
        };
        for (of_entry, column) in scales.entries.iter_mut().zip(columns) {
            for (of_output, entry) in scales.outputs.iter_mut().zip(&column.entries) {
                *of_output = entry.slope.abs().max(*of_output);
                *of_entry = entry.slope.abs().max(*of_entry);
            }
        }
        scales
    }

    /// What is small beside both its row and its column is small indeed; beside one of them it may be the largest
    /// of its kind.
    fn at(&self, output: usize, entry: usize) -> f64 {
        self.outputs[output].min(self.entries[entry])
    }
}

/// Every entry of the tape's Jacobian against its finite difference.
fn every_entry(
    inputs: &[ArrayD<f64>],
    center: &ArrayD<f64>,
    jacobian: &[Vec<Vec<f64>>],
    columns: &[Vec<Column>],
) -> Result<Report, Reason> {
    let mut report = Report {
        entries: 0,
        worst: 0.0,
        moved: 0,
        unresolved: 0,
        point: inputs.to_vec(),
    };
    let mut worst: Option<Reason> = None;
    for (input, (rows, columns)) in jacobian.iter().zip(columns).enumerate() {
        let scales = Scales::of(columns, center.len());
        for (entry, column) in columns.iter().enumerate() {
            for (output, (row, difference)) in rows.iter().zip(&column.entries).enumerate() {
                let (autodiff, differences) = (row[entry], difference.slope);
                let allowed = difference.error() + TOLERANCE * scales.at(output, entry);
                let part = (autodiff - differences).abs() / allowed.max(f64::MIN_POSITIVE);
                report.entries += 1;
                let hidden = |slope: f64| slope != 0.0 && slope.abs() < difference.rounding;
                report.unresolved +=
                    usize::from(hidden(autodiff) && differences.abs() < difference.error());
                if part > report.worst {
                    report.worst = part;
                    worst = Some(Reason::Differs {
                        input,
                        input_index: index_of(inputs[input].shape(), entry),
                        output_index: index_of(center.shape(), output),
                        autodiff,
                        differences,
                        error_estimate: difference.error(),
                        allowed,
                    });
                }
            }
        }
    }
    worst.filter(|_| report.worst > 1.0).map_or(Ok(report), Err)
}

/// Operations that add numbers of size 1 on their way to a result that may be small: it is exact to ε, and not to ε of
/// itself.
const AROUND_ONE: [&str; 2] = ["logsumexp", "kl-gaussian-standard"];

/// What lies between the inputs and one entry of the output.
struct Way {
    /// What rounding is relative to. Every value v on the way is off by some ε|v|, which its cotangent carries on to
    /// the output: together by ε times this, the root of Σ (v v̄)². Where large terms cancel, it exceeds the output.
    magnitude: f64,
    /// The largest entry of any cotangent on the way.
    cotangent: f64,
    /// Is a part of the output lost in the rounding of what is added to it?
    drowns: bool,
}

impl Way {
    fn to(output: usize, f: &Function<'_>, inputs: &[ArrayD<f64>]) -> Self {
        let tape = &Tape::new();
        let v: Vec<Var<'_, f64>> = inputs.iter().map(|x| tape.variable(x.clone())).collect();
        let y = f(&v);
        let mut one = ArrayD::zeros(y.shape());
        set_entry(&mut one, output, 1.0);
        let all: Vec<Var<'_, f64>> = (0..=y.id)
            .map(|id| Var { tape, id })
            .filter(|var| var.is_active())
            .collect();
        let gradients = tape.pull_back(y, one, &all);
        let mut magnitude = 0.0f64;
        let mut stations = vec![Station::default(); y.id as usize + 1];
        for &var in &all {
            let least = if AROUND_ONE.contains(&var.name()) {
                1.0
            } else {
                0.0
            };
            let station = &mut stations[var.id as usize];
            for (value, cotangent) in var.value().iter().zip(&gradients.wrt(var)) {
                // An infinite value whose cotangent is 0 was not used.
                if *cotangent != 0.0 {
                    // The squares of large values overflow.
                    magnitude = magnitude.hypot(value.abs().max(least) * cotangent);
                    let share = (value * cotangent).abs();
                    station.share = station.share.max(share);
                    station.cotangent = station.cotangent.max(cotangent.abs());
                }
            }
        }
        let on_the_way = stations[..y.id as usize].iter();
        Self {
            magnitude,
            cotangent: on_the_way.fold(0.0, |most: f64, station| most.max(station.cotangent)),
            drowns: drowns(y, &stations, LAST_DIGITS * magnitude),
        }
    }
}

/// One value on the way to an entry of the output.
#[derive(Clone, Copy, Default)]
struct Station {
    /// The largest |v v̄|: how much of the output it is.
    share: f64,
    /// The largest |v̄|.
    cotangent: f64,
}

/// What rounding hides of a value, relative to it.
const LAST_DIGITS: f64 = 16.0 * f64::EPSILON;

/// An operation that makes cotangents smaller than this saturates.
const SATURATED: f64 = 1e-6;

/// Is there an operation of which all inputs are lost in the rounding of the output, although it makes their cotangents no
/// smaller? It adds something large. (One that makes them small saturates, and has no slope to be seen.)
fn drowns(y: Var<'_, f64>, stations: &[Station], hidden: f64) -> bool {
    let tape = y.tape();
    let mut seen = vec![false; stations.len()];
    seen[y.id as usize] = true;
    let mut drowns = false;
    for id in (0..=y.id)
        .rev()
        .filter(|&id| stations[id as usize].cotangent > 0.0)
    {
        if !seen[id as usize] {
            continue;
        }
        let Some(inputs) = tape.operands(id) else {
            // A variable, in full view.
            return false;
        };
        let used = || {
            (inputs.iter().map(|&input| input as usize))
                .filter(|&input| stations[input].cotangent > 0.0)
        };
        for input in used().filter(|&input| stations[input].share >= hidden) {
            seen[input] = true;
        }
        let largest = used().fold(0.0, |most: f64, input| most.max(stations[input].cotangent));
        drowns |= used().all(|input| stations[input].share < hidden)
            && largest > SATURATED * stations[id as usize].cotangent;
    }
    drowns
}

/// Refuses an output of which a part is lost in the rounding of another, if that hides not only its slopes, but every
/// cotangent between it and the inputs: a sum that is always 1 has slopes below its rounding too, but its terms have not.
fn nothing_drowns(
    ways: &[Way],
    center: &ArrayD<f64>,
    columns: &[Vec<Column>],
) -> Result<(), Reason> {
    for (output, (way, &value)) in ways.iter().zip(center).enumerate() {
        let entries = || {
            columns
                .iter()
                .flatten()
                .map(|column| column.entries[output])
        };
        let slope = entries().fold(0.0, |most: f64, entry| most.max(entry.slope.abs()));
        let error = entries().fold(f64::INFINITY, |least, entry| least.min(entry.rounding));
        if slope < error && way.cotangent < error && way.drowns {
            return Err(Reason::Drowned {
                output_index: index_of(center.shape(), output),
                value,
                error_estimate: error,
            });
        }
    }
    Ok(())
}

fn linear_in_the_cotangent(
    f: &Function<'_>,
    inputs: &[ArrayD<f64>],
    center: &ArrayD<f64>,
    (jacobian, columns): (&[Vec<Vec<f64>>], &[Vec<Column>]),
    rng: &mut StdRng,
) -> Result<(), Reason> {
    for _ in 0..2 {
        let cotangent = signed(rng, &center.raw_dim());
        let (_, gradients) = cotangents(f, shared(inputs), &cotangent);
        for (input, rows) in jacobian.iter().enumerate() {
            let size = inputs[input].len();
            let (mut from_parts, mut scale) = (vec![0.0; size], 0.0f64);
            for (row, weight) in rows.iter().zip(&cotangent) {
                for (sum, derivative) in from_parts.iter_mut().zip(row) {
                    *sum += weight * derivative;
                    scale += (weight * derivative).abs();
                }
            }
            let pairs = gradients[input].iter().zip(&from_parts);
            for ((&combined, &from_parts), column) in pairs.zip(&columns[input]) {
                // Where terms cancel, no difference below that of the finite differences tells anything.
                let unknown: f64 = (cotangent.iter().zip(&column.entries))
                    .map(|(weight, entry)| (weight * entry.error()).abs())
                    .sum();
                if (combined - from_parts).abs() > REARRANGEMENT * scale + unknown {
                    return Err(Reason::NotLinear {
                        input,
                        combined,
                        from_parts,
                    });
                }
            }
        }
    }
    Ok(())
}

/// The same values as columns of a larger array: no slice of memory is contiguous.
fn indifferent_to_layout(
    f: &Function<'_>,
    inputs: &[ArrayD<f64>],
    center: &ArrayD<f64>,
    rng: &mut StdRng,
) -> Result<(), Reason> {
    let cotangent = signed(rng, &center.raw_dim());
    let (value, gradients) = cotangents(f, shared(inputs), &cotangent);
    let scattered = inputs.iter().map(scatter).collect();
    let (other_value, other_gradients) = cotangents(f, scattered, &cotangent);
    if !close(&value, &other_value) {
        return Err(Reason::LayoutMatters { input: None });
    }
    for (input, (a, b)) in gradients.iter().zip(&other_gradients).enumerate() {
        if !close(a, b) {
            return Err(Reason::LayoutMatters { input: Some(input) });
        }
    }
    Ok(())
}

/// Every axis of a copy runs backwards through memory, first axis fastest, and every second entry is skipped.
fn scatter(x: &ArrayD<f64>) -> Value<f64> {
    let mut wide: Vec<usize> = x.shape().iter().rev().copied().collect();
    if let Some(last) = wide.last_mut() {
        *last *= 2;
    }
    let mut copy = ArrayD::from_elem(wide, f64::NAN).reversed_axes();
    if x.ndim() > 0 {
        copy.slice_axis_inplace(ndarray::Axis(0), ndarray::Slice::new(0, None, 2));
    }
    copy.assign(x);
    copy.into_shared()
}

fn close<S, R>(a: &ndarray::ArrayBase<S, IxDyn>, b: &ndarray::ArrayBase<R, IxDyn>) -> bool
where
    S: ndarray::Data<Elem = f64>,
    R: ndarray::Data<Elem = f64>,
{
    let scale = a.iter().chain(b).fold(0.0, |s: f64, x| s.max(x.abs()));
    a.shape() == b.shape()
        && a.iter()
            .zip(b)
            .all(|(a, b)| (a - b).abs() <= REARRANGEMENT * scale)
}

/// Between ½ and 1½, of either sign: never 0, never all alike.
fn signed_number(rng: &mut StdRng) -> f64 {
    let magnitude = rng.random_range(0.5..1.5);
    if rng.random() { magnitude } else { -magnitude }
}

fn signed(rng: &mut StdRng, shape: &IxDyn) -> ArrayD<f64> {
    ArrayD::from_shape_simple_fn(shape.clone(), || signed_number(rng))
}

/// The indices of the entry at a position in row-major order.
fn index_of(shape: &[usize], mut entry: usize) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (axis, &length) in shape.iter().enumerate().rev() {
        index[axis] = entry % length;
        entry /= length;
    }
    index
}
