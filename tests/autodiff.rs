//! The engine: every operation, crossed with shapes and broadcast pairs, at first and second order, from one
//! table; and the extremes, where the checker's finite differences cannot look.

use std::collections::BTreeSet;
use std::panic::catch_unwind;

use elbo::Scalar;
use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var, top_k_mask};
use elbo::nn::{Activation, dense};
use ndarray::{Array2, ArrayD, IxDyn, arr0, arr1, arr2};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

type Expression = for<'t> fn(&[Var<'t, f64>]) -> Var<'t, f64>;

/// Where an operation's inputs are drawn from.
#[derive(Clone, Copy)]
enum Domain {
    /// Both signs, and now and then exactly 0, where ReLU and its kin have their kink.
    Real,
    Positive,
    /// Both signs, away from 0.
    NonZero,
    /// Greater than -1.
    AboveMinusOne,
}

impl Domain {
    fn draw(self, rng: &mut StdRng) -> f64 {
        let sign = if rng.random() { 1.0 } else { -1.0 };
        match self {
            Domain::Real if rng.random_ratio(1, 12) => 0.0,
            Domain::Real => rng.random_range(-2.5..2.5),
            Domain::Positive => rng.random_range(0.3..3.0),
            Domain::NonZero => sign * rng.random_range(0.4..2.5),
            Domain::AboveMinusOne => rng.random_range(-0.7..3.0),
        }
    }
}

/// One row of the table.
struct Row {
    name: &'static str,
    domain: Domain,
    shapes: Vec<Vec<Vec<usize>>>,
    expression: Expression,
}

/// Shapes for functions of one array: no axis, one, several, lengths that all differ, a length of 1.
fn single() -> Vec<Vec<Vec<usize>>> {
    [&[][..], &[1], &[5], &[3, 4], &[2, 1, 3]]
        .map(|shape| vec![shape.to_vec()])
        .into()
}

/// Every way in which two shapes can meet.
fn pairs() -> Vec<Vec<Vec<usize>>> {
    let shapes: [&[usize]; 9] = [
        &[],
        &[1],
        &[3],
        &[2, 3],
        &[2, 1],
        &[1, 3],
        &[4, 1, 3],
        &[4, 2, 1],
        &[1, 1, 1],
    ];
    shapes
        .iter()
        .flat_map(|a| shapes.iter().map(|b| vec![a.to_vec(), b.to_vec()]))
        .collect()
}

fn shapes<const N: usize>(list: [&[&[usize]]; N]) -> Vec<Vec<Vec<usize>>> {
    list.map(|inputs| inputs.iter().map(|shape| shape.to_vec()).collect())
        .into()
}

/// The table. A test below fails if an operation of the engine is not in it.
fn table() -> Vec<Row> {
    use Domain::*;
    let unary = |name, domain, expression| Row {
        name,
        domain,
        shapes: single(),
        expression,
    };
    let binary = |name, domain, expression| Row {
        name,
        domain,
        shapes: pairs(),
        expression,
    };
    let with = |name, domain, shapes, expression| Row {
        name,
        domain,
        shapes,
        expression,
    };
    let matrix_or_more = || shapes([&[&[3, 4]], &[&[1, 3]], &[&[2, 3, 2]]]);
    vec![
        binary("a + b", Real, |v| v[0] + v[1]),
        binary("a - b", Real, |v| v[0] - v[1]),
        binary("a * b", Real, |v| v[0] * v[1]),
        binary("a / b", NonZero, |v| v[0] / v[1]),
        binary("a ^ b", Positive, |v| v[0].pow(v[1])),
        unary("-x", Real, |v| -v[0]),
        unary("x + 3", Real, |v| v[0] + 3.0),
        unary("3 + x", Real, |v| 3.0 + v[0]),
        unary("x - 3", Real, |v| v[0] - 3.0),
        unary("3 - x", Real, |v| 3.0 - v[0]),
        unary("3 x", Real, |v| 3.0 * v[0]),
        unary("x 3", Real, |v| v[0] * 3.0),
        unary("x / 3", Real, |v| v[0] / 3.0),
        unary("3 / x", NonZero, |v| 3.0 / v[0]),
        unary("x x, an input used twice", Real, |v| v[0] * v[0]),
        unary("e^x / x + x e^x", NonZero, |v| {
            v[0].exp() / v[0] + v[0] * v[0].exp()
        }),
        unary("x²", Real, |v| v[0].square()),
        unary("x^3", Real, |v| v[0].powi(3)),
        unary("x^1", Real, |v| v[0].powi(1)),
        unary("x^0", Real, |v| v[0].powi(0)),
        unary("x^-2", NonZero, |v| v[0].powi(-2)),
        unary("x^1.7", Positive, |v| v[0].powf(1.7)),
        unary("x^0.0", Positive, |v| v[0].powf(0.0)),
        unary("exp", Real, |v| v[0].exp()),
        unary("expm1", Real, |v| v[0].expm1()),
        unary("ln", Positive, |v| v[0].ln()),
        unary("ln_1p", AboveMinusOne, |v| v[0].ln_1p()),
        unary("sqrt", Positive, |v| v[0].sqrt()),
        unary("abs", Real, |v| v[0].abs()),
        unary("sigmoid", Real, |v| v[0].sigmoid()),
        unary("tanh", Real, |v| v[0].tanh()),
        unary("relu", Real, |v| v[0].relu()),
        unary("relu of a square", Real, |v| (v[0] * v[0] - 1.0).relu()),
        unary("softplus", Real, |v| v[0].softplus()),
        unary("log-sigmoid", Real, |v| v[0].log_sigmoid()),
        unary("transpose", Real, |v| v[0].t()),
        unary("flatten", Real, |v| v[0].flatten()),
        unary("unsqueeze", Real, |v| v[0].unsqueeze(0)),
        unary("flatten a transpose", Real, |v| v[0].t().flatten()),
        unary("sum", Real, |v| v[0].sum()),
        unary("mean", Real, |v| v[0].mean()),
        unary("max", Real, |v| v[0].max()),
        unary("logsumexp", Real, |v| v[0].logsumexp()),
        unary("concatenated with its square", Real, |v| {
            v[0].tape()
                .concatenate(0, &[v[0].flatten(), v[0].square().flatten()])
        }),
        unary("stack", Real, |v| {
            v[0].tape().stack(0, &[v[0], v[0].exp(), v[0]])
        }),
        with(
            "permute",
            Real,
            shapes([&[&[2, 3, 4]], &[&[1, 3, 2]]]),
            |v| v[0].permute(&[1, 2, 0]),
        ),
        with(
            "reshape",
            Real,
            shapes([&[&[2, 6]], &[&[3, 4]], &[&[12]], &[&[1, 2, 6]]]),
            |v| v[0].reshape(&[4, 3]),
        ),
        with("squeeze", Real, shapes([&[&[3, 1]], &[&[1, 1]]]), |v| {
            v[0].squeeze(&[1])
        }),
        with(
            "broadcast",
            Real,
            shapes([&[&[]], &[&[1]], &[&[3]], &[&[2, 1]], &[&[4, 1, 1]]]),
            |v| v[0].broadcast_to(&[4, 2, 3]),
        ),
        with(
            "sum_to",
            Real,
            shapes([&[&[4, 2, 3]], &[&[2, 3]], &[&[2, 1]]]),
            |v| v[0].sum_to(&[2, 1]),
        ),
        with("sum over 0", Real, matrix_or_more(), |v| {
            v[0].sum_axes(&[0])
        }),
        with("sum over 0 and 1", Real, matrix_or_more(), |v| {
            v[0].sum_axes(&[0, 1])
        }),
        with("sum over 1, kept", Real, matrix_or_more(), |v| {
            v[0].sum_axes_keep(&[1])
        }),
        with("mean over 1", Real, matrix_or_more(), |v| {
            v[0].mean_axes(&[1])
        }),
        with("mean over 0, kept", Real, matrix_or_more(), |v| {
            v[0].mean_axes_keep(&[0])
        }),
        with("max over 1", Real, matrix_or_more(), |v| {
            v[0].max_axes(&[1])
        }),
        with("max over 0 and 1, kept", Real, matrix_or_more(), |v| {
            v[0].max_axes_keep(&[1, 0])
        }),
        with("logsumexp over 1", Real, matrix_or_more(), |v| {
            v[0].logsumexp_axes(&[1])
        }),
        with("logsumexp over 0, kept", Real, matrix_or_more(), |v| {
            v[0].logsumexp_axes_keep(&[0])
        }),
        with("softmax over 0", Real, matrix_or_more(), |v| {
            v[0].softmax(0)
        }),
        with("softmax over 1", Real, matrix_or_more(), |v| {
            v[0].softmax(1)
        }),
        with("log-softmax over 1", Real, matrix_or_more(), |v| {
            v[0].log_softmax(1)
        }),
        with(
            "slice of axis 0",
            Real,
            shapes([&[&[4]], &[&[3, 2]], &[&[4, 1, 2]]]),
            |v| v[0].slice(0, 1..3),
        ),
        with("slice of axis 1", Real, matrix_or_more(), |v| {
            v[0].slice(1, 1..3).exp()
        }),
        with("embed", Real, matrix_or_more(), |v| v[0].embed(1, 2, 7)),
        with(
            "concatenate",
            Real,
            shapes([&[&[2, 3], &[2, 1]], &[&[1, 2], &[1, 2]]]),
            |v| v[0].tape().concatenate(1, &[v[0], v[1], v[0]]),
        ),
        with(
            "stack along 1",
            Real,
            shapes([&[&[2, 3], &[2, 3]], &[&[4], &[4]]]),
            |v| v[0].tape().stack(1, &[v[0], v[1]]),
        ),
        with(
            "gather",
            Real,
            shapes([&[&[3]], &[&[3, 4]], &[&[4, 1, 2]]]),
            |v| v[0].gather(&[2, 0, 2, 2]),
        ),
        with("scatter-add", Real, shapes([&[&[3]], &[&[3, 4]]]), |v| {
            v[0].scatter_add(&[4, 1, 4], 6)
        }),
        with(
            "keep-where",
            Real,
            shapes([&[&[3]], &[&[2, 3]], &[&[2, 1]]]),
            |v| {
                v[0].keep_where(
                    &arr2(&[[true, false, true], [false, false, true]])
                        .into_dyn()
                        .into_shared(),
                )
            },
        ),
        with(
            "select",
            Real,
            shapes([&[&[3], &[2, 1]], &[&[], &[2, 3]], &[&[4, 2, 3], &[1]]]),
            |v| {
                v[0].select(
                    &arr2(&[[true, false, true], [false, false, true]])
                        .into_dyn()
                        .into_shared(),
                    v[1],
                )
            },
        ),
        with("top-k", Real, matrix_or_more(), |v| {
            v[0].exp().keep_top_k(2, 1)
        }),
        with(
            "matmul",
            Real,
            shapes([
                &[&[3, 4], &[4, 2]],
                &[&[1, 3], &[3, 1]],
                &[&[2, 1], &[1, 5]],
            ]),
            |v| v[0].matmul(v[1]),
        ),
        with(
            "matmul of stacks",
            Real,
            shapes([
                &[&[2, 3, 4], &[2, 4, 2]],
                &[&[2, 3, 4], &[4, 2]],
                &[&[3, 4], &[2, 4, 2]],
                &[&[2, 1, 3, 2], &[3, 2, 1]],
            ]),
            |v| v[0].matmul(v[1]),
        ),
        with(
            "matmul with vectors",
            Real,
            shapes([
                &[&[3], &[3]],
                &[&[3], &[3, 2]],
                &[&[2, 3], &[3]],
                &[&[3], &[2, 3, 2]],
                &[&[2, 4, 3], &[3]],
            ]),
            |v| v[0].matmul(v[1]),
        ),
        with(
            "matmul, both transposed",
            Real,
            shapes([&[&[4, 3], &[2, 4]]]),
            |v| v[0].t().matmul(v[1].t()),
        ),
        with(
            "xᵀx, an input used twice",
            Real,
            shapes([&[&[3, 2]], &[&[1, 3]]]),
            |v| v[0].t().matmul(v[0]),
        ),
        with(
            "cholesky",
            Real,
            shapes([&[&[4, 4]], &[&[1, 1]], &[&[2, 2]], &[&[3, 3]]]),
            |v| positive_definite(v[0]).cholesky().unwrap(),
        ),
        with(
            "log-determinant",
            Real,
            shapes([&[&[4, 4]], &[&[1, 1]]]),
            |v| {
                let factor = positive_definite(v[0]).cholesky().unwrap();
                factor.diagonal().ln().sum() * 2.0
            },
        ),
        with(
            "solve-lower",
            Positive,
            shapes([&[&[3, 3], &[3, 2]], &[&[1, 1], &[1, 4]], &[&[4, 4], &[4]]]),
            |v| v[0].solve_lower(v[1]),
        ),
        with(
            "solve-lower-transposed",
            Positive,
            shapes([&[&[3, 3], &[3, 2]], &[&[1, 1], &[1, 4]], &[&[4, 4], &[4]]]),
            |v| v[0].solve_lower_transposed(v[1]),
        ),
        with(
            "lower triangle and diagonal",
            Real,
            shapes([&[&[3, 3]], &[&[1, 1]]]),
            |v| v[0].lower_triangle() * v[0].diagonal().exp(),
        ),
        with("quadratic form", Real, shapes([&[&[3], &[3, 3]]]), |v| {
            v[0].matmul(v[1]).matmul(v[0])
        }),
        with(
            "a small network",
            Real,
            shapes([&[&[4, 3], &[5, 3], &[5], &[2, 5]]]),
            |v| {
                (v[0].matmul(v[1].t()) + v[2])
                    .tanh()
                    .matmul(v[3].t())
                    .softmax(1)
            },
        ),
    ]
}

/// A matrix, not symmetric, whose symmetric part is positive definite: its diagonal outweighs its rows.
fn positive_definite<'t>(x: Var<'t, f64>) -> Var<'t, f64> {
    x + x.tape().constant(Array2::eye(x.shape()[0]) * 12.0)
}

fn draw(row: &Row, shapes: &[Vec<usize>], rng: &mut StdRng) -> Vec<ArrayD<f64>> {
    shapes
        .iter()
        .map(|shape| ArrayD::from_shape_simple_fn(IxDyn(shape), || row.domain.draw(rng)))
        .collect()
}

#[test]
fn every_operation_passes_at_first_order() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut moved = 0;
    for row in table() {
        for shapes in &row.shapes {
            let inputs = draw(&row, shapes, &mut rng);
            match Check::new(row.name).run(&inputs, row.expression) {
                Ok(report) => {
                    assert!(report.entries > 0, "{}: nothing was compared", row.name);
                    moved += report.moved;
                }
                Err(failure) => panic!("{failure} (shapes {shapes:?})"),
            }
        }
    }
    // The zeros among the inputs put ReLU, |x| and others on their kinks; the checker must have noticed.
    assert!(
        moved > 0,
        "no kink was met: the table no longer tests that they are found"
    );
}

#[test]
fn every_operation_passes_at_second_order() {
    let mut rng = StdRng::seed_from_u64(3);
    for row in table() {
        for shapes in &row.shapes {
            let inputs = draw(&row, shapes, &mut rng);
            if let Err(failure) = Check::new(row.name).run_second_order(&inputs, row.expression) {
                panic!("{failure} (second order, shapes {shapes:?})");
            }
        }
    }
}

#[test]
fn third_order_is_one_more_expression() {
    let tape = Tape::new();
    let x = tape.variable(arr0(0.7));
    let mut y = (-x.square()).exp();
    for _ in 0..3 {
        y = tape.differentiable_gradients(y).wrt(x);
    }
    // y = e^(-x²): y''' = (12x - 8x³) e^(-x²).
    let expected = (12.0 * 0.7 - 8.0 * 0.7f64.powi(3)) * (-0.49f64).exp();
    assert!(
        (y.item() - expected).abs() < 1e-12,
        "{} {expected}",
        y.item()
    );
}

/// Names of the operations that the sources define, read from the sources themselves.
fn operations_in_the_sources() -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/autodiff/ops");
    let mut names = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| line.chars().filter(|c| !c.is_whitespace()))
            .collect();
        for opening in [".map(\"", ".record(\"", ".push(\""] {
            names.extend(code.split(opening).skip(1).map(until_quote));
        }
        for rest in code.split(".zip_with(").skip(1) {
            if let Some((first, rest)) = rest.split_once(",\"")
                && first.chars().all(char::is_alphanumeric)
            {
                names.insert(until_quote(rest));
            }
        }
    }
    names
}

fn until_quote(text: &str) -> String {
    text.split('"').next().unwrap_or_default().to_owned()
}

#[test]
fn no_operation_is_missing_from_the_table() {
    let mut seen = BTreeSet::new();
    let mut rng = StdRng::seed_from_u64(4);
    for row in table() {
        let tape = Tape::new();
        let inputs: Vec<Var<'_, f64>> = draw(&row, &row.shapes[0], &mut rng)
            .into_iter()
            .map(|x| tape.variable(x))
            .collect();
        let y = (row.expression)(&inputs);
        let _ = tape.differentiable_pull_back(y, tape.full(&y.shape(), 1.0));
        seen.extend(
            format!("{tape:?}")
                .lines()
                .filter_map(|line| Some(line.split_once(" = ")?.1.split_once('(')?.0.to_owned())),
        );
    }
    let mut defined = operations_in_the_sources();
    assert!(
        defined.len() > 40,
        "the scan of the sources found only {defined:?}"
    );
    // It has no derivative to check: its own test is below.
    assert!(defined.remove("stop-gradient"));
    let missing: Vec<&String> = defined.difference(&seen).collect();
    assert!(
        missing.is_empty(),
        "operations without a row in the table: {missing:?}"
    );
}

#[test]
fn a_stopped_gradient_is_its_surrogate() {
    let x = arr1(&[0.3, -1.7, 2.0]).into_dyn();
    let y = arr1(&[1.1, 0.4, -0.6]).into_dyn();
    Check::new("stop-gradient")
        .run_surrogate(
            &[x, y],
            |v| (v[0] * v[1]).stop_gradient() * v[0].exp() + v[1].stop_gradient(),
            |v, frozen| frozen[0] * frozen[1] * v[0].exp() + frozen[1],
        )
        .unwrap();
}

#[test]
fn asking_twice_gives_the_same_and_leaves_nothing() {
    let tape = Tape::new();
    let x = tape.variable(arr2(&[[1.0, -2.0], [0.5, 3.0]]));
    let y = (x.exp() * x).softplus().sum();
    let length = tape.len();
    let first = tape.gradients(y);
    let second = tape.gradients(y);
    assert_eq!(first.wrt(x), second.wrt(x));
    assert_eq!(tape.len(), length);
}

#[test]
fn the_gradient_of_what_is_not_involved_is_zero() {
    let tape = Tape::new();
    let (x, other) = (
        tape.variable(arr1(&[1.0, 2.0])),
        tape.variable(arr2(&[[3.0]])),
    );
    let gradients = tape.gradients(x.square().sum());
    assert_eq!(gradients.wrt(other), ArrayD::<f64>::zeros(IxDyn(&[1, 1])));
    let constant = tape.scalar(2.0);
    assert_eq!(
        tape.gradients(constant).wrt(x),
        ArrayD::<f64>::zeros(IxDyn(&[2]))
    );
    assert_eq!(
        tape.differentiable_gradients(constant).wrt(x).value(),
        ArrayD::<f64>::zeros(IxDyn(&[2]))
    );
}

#[test]
fn an_intermediate_cotangent_is_kept_when_named() {
    let tape = Tape::new();
    let x = tape.variable(arr1(&[1.0, 2.0]));
    let h = x * 3.0;
    let y = h.square();
    let gradients = tape.pull_back(y, arr1(&[1.0, 10.0]), &[h]);
    assert_eq!(gradients.wrt(h), arr1(&[6.0, 120.0]).into_dyn());
    assert_eq!(gradients.wrt(x), arr1(&[18.0, 360.0]).into_dyn());
    // Named, but the result does not depend on it.
    let other = x + 1.0;
    let gradients = tape.pull_back(y, arr1(&[1.0, 10.0]), &[other]);
    assert_eq!(gradients.wrt(other), arr1(&[0.0, 0.0]).into_dyn());
}

fn message(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = catch_unwind(f).expect_err("it should have panicked");
    payload
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_else(|| payload.downcast_ref::<&str>().unwrap().to_string())
}

#[test]
fn panics_name_the_operation_and_the_shapes() {
    let said = message(|| {
        let tape = Tape::new();
        let _ = tape.variable(arr1(&[1.0, 2.0])) * tape.variable(arr1(&[1.0, 2.0, 3.0]));
    });
    assert_eq!(said, "mul: shapes [2] and [3] do not fit");
    let said = message(|| {
        let tape = Tape::new();
        let x = tape.variable(arr2(&[[1.0, 2.0]]));
        let _ = x.matmul(x);
    });
    assert_eq!(said, "matmul: shapes [1, 2] and [1, 2] do not fit");
    let said = message(|| {
        let tape = Tape::new();
        let x = tape.variable(arr1(&[1.0, 2.0]));
        let _ = tape.gradients(x);
    });
    assert!(
        said.starts_with("gradients: expected a single number, found shape [2]"),
        "{said}"
    );
    let said = message(|| {
        let (one, two) = (Tape::new(), Tape::new());
        let _ = one.scalar(1.0) + two.scalar(1.0);
    });
    assert_eq!(said, "add: an operand belongs to another tape");
    let said = message(|| {
        let tape = Tape::new();
        let x = tape.variable(arr0(1.0));
        let h = x.exp();
        let _ = tape.gradients(h.exp()).wrt(h);
    });
    assert!(
        said.starts_with("wrt: expected a variable, found the result of `exp`"),
        "{said}"
    );
}

/// Value and gradient at one number.
fn at<T: Scalar>(x: f64, f: for<'t> fn(Var<'t, T>) -> Var<'t, T>) -> (f64, f64) {
    let tape = Tape::new();
    let x = tape.variable(arr1(&[T::of(x)]));
    let y = f(x);
    (
        y.sum().item().as_f64(),
        tape.gradients(y.sum()).wrt(x).sum().as_f64(),
    )
}

fn extremes_are_finite<T: Scalar>(edge: f64) {
    type Function<T> = for<'t> fn(Var<'t, T>) -> Var<'t, T>;
    let functions: [(&str, Function<T>); 9] = [
        ("sigmoid", |x| x.sigmoid()),
        ("tanh", |x| x.tanh()),
        ("softplus", |x| x.softplus()),
        ("log-sigmoid", |x| x.log_sigmoid()),
        ("relu", |x| x.relu()),
        ("logsumexp", |x| {
            x.tape().concatenate(0, &[x, -x, x * T::zero()]).logsumexp()
        }),
        ("softmax", |x| {
            x.tape()
                .concatenate(0, &[x, -x, x * T::zero()])
                .softmax(0)
                .slice(0, 0..1)
        }),
        ("log-softmax", |x| {
            x.tape()
                .concatenate(0, &[x, -x])
                .log_softmax(0)
                .slice(0, 0..1)
        }),
        ("abs", |x| x.abs()),
    ];
    for (name, f) in functions {
        for x in [edge, -edge, 0.0, edge / 2.0, -edge / 20.0] {
            let (y, slope) = at::<T>(x, f);
            assert!(
                y.is_finite() && slope.is_finite(),
                "{name}({x}) = {y}, slope {slope}"
            );
        }
    }
}

#[test]
fn extremes_are_finite_in_both_precisions() {
    extremes_are_finite::<f64>(700.0);
    extremes_are_finite::<f32>(80.0);
}

#[test]
fn extremes_have_the_right_limits() {
    // Below, e^-700 = 9.86e-305 is still a number, and none of its digits may be lost.
    let tiny = (-700.0f64).exp();
    assert_eq!(at::<f64>(-700.0, |x| x.sigmoid()), (tiny, tiny));
    assert_eq!(at::<f64>(700.0, |x| x.sigmoid()), (1.0, tiny));
    assert_eq!(at::<f64>(-700.0, |x| x.softplus()), (tiny, tiny));
    assert_eq!(at::<f64>(700.0, |x| x.softplus()), (700.0, 1.0));
    assert_eq!(at::<f64>(-700.0, |x| x.log_sigmoid()), (-700.0, 1.0));
    assert_eq!(at::<f64>(700.0, |x| x.log_sigmoid()), (-tiny, tiny));
    assert_eq!(at::<f64>(700.0, |x| x.tanh()), (1.0, 0.0));
    let tiny = (-80.0f32).exp();
    assert_eq!(
        at::<f32>(-80.0, |x| x.softplus()),
        (tiny.into(), tiny.into())
    );
    assert_eq!(at::<f32>(80.0, |x| x.sigmoid()), (1.0, tiny.into()));
    // Only differences between logits count, whatever they all have in common.
    for common in [80.0f32, 1e4, 1e8] {
        let tape = Tape::new();
        let x = tape.variable(arr1(&[common, common]));
        let half = x.log_softmax(0).value()[0].exp();
        assert!((half - 0.5).abs() < 1e-6, "{half} at {common}");
    }
    // An impossible outcome weighs nothing, and says nothing.
    let tape = Tape::new();
    let x = tape.variable(arr1(&[f64::NEG_INFINITY, 0.0, 1.0]));
    let y = x.logsumexp();
    assert!((y.item() - (1.0 + 1.0f64.exp()).ln()).abs() < 1e-15);
    assert_eq!(tape.gradients(y).wrt(x)[0], 0.0);
}

#[test]
fn a_nan_is_not_swallowed() {
    type Function = for<'t> fn(Var<'t, f64>) -> Var<'t, f64>;
    let functions: [(&str, Function); 8] = [
        ("sigmoid", |x| x.sigmoid()),
        ("tanh", |x| x.tanh()),
        ("relu", |x| x.relu()),
        ("softplus", |x| x.softplus()),
        ("log-sigmoid", |x| x.log_sigmoid()),
        ("abs", |x| x.abs()),
        ("max", |x| x.max()),
        ("logsumexp", |x| x.logsumexp()),
    ];
    for (name, f) in functions {
        let (y, _) = at::<f64>(f64::NAN, f);
        assert!(y.is_nan(), "{name}(NaN) = {y}");
    }
    for position in 0..3 {
        let mut entries = arr1(&[-1.0, 0.5, 2.0]);
        entries[position] = f64::NAN;
        let y = Tape::new().variable(entries).max().item();
        assert!(y.is_nan(), "max = {y} with NaN at {position}");
    }
    for activation in Activation::ALL {
        let tape = Tape::new();
        let one = |value: f64| tape.variable(arr2(&[[value]]));
        let y = dense(
            one(f64::NAN),
            one(1.0),
            tape.variable(arr1(&[0.0])),
            activation,
        )
        .item();
        assert!(y.is_nan(), "a layer with {activation} makes {y} of NaN");
    }
}

#[test]
fn top_k_takes_the_largest_and_of_equals_the_first() {
    let x = arr2(&[
        [1.0, -9.0, 3.0, 3.0, 3.0],
        [0.0, f64::NAN, -1.0, -2.0, -3.0],
    ])
    .into_dyn()
    .into_shared();
    let mask = top_k_mask(&x, 2, 1);
    let expected = arr2(&[
        [false, false, true, true, false],
        [true, false, true, false, false],
    ]);
    assert_eq!(mask, expected.into_dyn());
    let first = |x: [f64; 2]| top_k_mask(&arr1(&x).into_dyn().into_shared(), 1, 0)[0];
    assert!(first([-0.0, 0.0]) && first([0.0, -0.0]));
    assert!(!first([f64::NAN, f64::NEG_INFINITY]));
}

#[test]
fn a_step_after_the_first_reuses_its_buffers() {
    let mut tape = Tape::<f32>::new();
    let mut addresses = Vec::new();
    for _ in 0..3 {
        let x = tape.variable(ArrayD::from_elem(IxDyn(&[64, 32]), 0.5f32));
        let y = (x.exp() * x).tanh();
        addresses.push(y.value().as_ptr());
        let gradients = tape.gradients(y.sum());
        addresses.push(gradients.wrt(x).as_ptr());
        drop(gradients);
        tape.reset();
    }
    let distinct: BTreeSet<_> = addresses[2..].iter().collect();
    assert!(distinct.len() <= 3, "buffers wander: {addresses:?}");
}

#[test]
fn a_backward_pass_that_panics_leaves_the_tape_recording() {
    let tape = Tape::new();
    let x = tape.variable(arr1(&[1.0, 2.0]));
    let y = x * x;
    let wrong = std::panic::AssertUnwindSafe(|| {
        let _ = tape.pull_back(y, arr1(&[1.0]), &[]);
    });
    message(wrong);
    assert_eq!(
        tape.gradients((x * x).sum()).wrt(x),
        arr1(&[2.0, 4.0]).into_dyn()
    );
}

#[test]
fn panics_name_the_operation_that_was_called() {
    use elbo::autodiff::Mask;
    type Wrong = for<'t> fn(Var<'t, f64>) -> Var<'t, f64>;
    let wrong: [(&str, Wrong); 12] = [
        ("softmax: axis 2 is", |x| x.softmax(2)),
        ("softmax: axis 0 of shape [0, 3] is empty", |x| {
            x.slice(0, 0..0).softmax(0)
        }),
        ("log-softmax: axis 2 is", |x| x.log_softmax(2)),
        ("logsumexp: axis 2 is", |x| x.logsumexp_axes(&[2])),
        ("max: axis 2 is", |x| x.max_axes(&[2])),
        ("mean: axis 2 is", |x| x.mean_axes(&[2])),
        ("keep-where: shapes [2, 3] and [2] do", |x| {
            x.keep_where(&Mask::from_elem(IxDyn(&[2]), true))
        }),
        ("top-k: axis 2 is", |x| x.keep_top_k(1, 2)),
        ("stack: shapes [2, 3] and [3, 2] do", |x| {
            x.tape().stack(0, &[x, x.t()])
        }),
        ("stack: axis 3 is", |x| x.tape().stack(3, &[x])),
        ("stack: nothing", |x| x.tape().stack(0, &[])),
        ("squeeze: axis 1 of shape [2, 3] is not of length 1", |x| {
            x.squeeze(&[1])
        }),
    ];
    for (expected, operation) in wrong {
        let said = message(|| {
            let tape = Tape::new();
            let _ = operation(tape.variable(ArrayD::zeros(IxDyn(&[2, 3]))));
        });
        assert!(
            said.starts_with(expected) && said.lines().count() == 1,
            "{expected}: {said}"
        );
    }
}

#[test]
fn handles_of_another_tape_are_refused() {
    let said = message(|| {
        let (one, two) = (Tape::new(), Tape::new());
        let x = one.variable(arr0(1.0));
        let gradients = one.differentiable_gradients(x.exp());
        // Nothing reached the place of that number on the first tape.
        let others: Vec<_> = (0..9).map(|_| two.variable(arr0(2.0))).collect();
        let _ = gradients.wrt(others[8]);
    });
    assert_eq!(said, "wrt: these gradients belong to another tape");
    let said = message(|| {
        let (one, two) = (Tape::new(), Tape::new());
        let (x, other) = (one.variable(arr0(1.0)), two.variable(arr0(1.0)));
        let _ = one.pull_back(x.exp(), arr0(1.0), &[other]);
    });
    assert_eq!(said, "pull_back: a value to keep belongs to another tape");
}

#[test]
fn a_rule_may_own_gradients_of_its_own_tape() {
    let mut tape = Tape::new();
    let x = tape.variable(arr1(&[1.0, 2.0]));
    let owned = tape.gradients(x.square().sum());
    let _ = tape.record("owner", &[x], x.value(), move |p| {
        let _ = &owned;
        p.give(0, || p.cotangent);
    });
    tape.reset();
    assert!(tape.is_empty());
}

/// AAᵀ + shift I of a random k × k matrix A.
fn covariance(rng: &mut StdRng, k: usize, shift: f64) -> Array2<f64> {
    let a = Array2::from_shape_simple_fn((k, k), || rng.random_range(-2.0..2.0));
    a.dot(&a.t()) + Array2::<f64>::eye(k) * shift
}

fn largest(x: &ArrayD<f64>) -> f64 {
    x.iter().fold(0.0, |m, x| m.max(x.abs()))
}

#[test]
fn cholesky_and_triangular_solves_undo_their_products() {
    let mut rng = StdRng::seed_from_u64(11);
    for k in [1, 2, 3, 7, 40] {
        let a = covariance(&mut rng, k, 0.1);
        let b = Array2::from_shape_simple_fn((k, 3), || rng.random_range(-2.0..2.0));
        let tape = Tape::new();
        let (a, b) = (tape.constant(a), tape.constant(b));
        let l = a.cholesky().unwrap();
        let scale = largest(&a.value().into_owned());
        let off = largest(&(l.matmul(l.t()) - a).value().into_owned());
        assert!(off <= 1e-14 * scale * k as f64, "LLᵀ - A: {off}");
        for (i, row) in l.value().outer_iter().enumerate() {
            assert!(row[i] > 0.0 && row.iter().skip(i + 1).all(|&x| x == 0.0));
        }
        let forward = largest(&(l.matmul(l.solve_lower(b)) - b).value().into_owned());
        let backward = l.t().matmul(l.solve_lower_transposed(b)) - b;
        let backward = largest(&backward.value().into_owned());
        assert!(forward.max(backward) <= 1e-12, "{forward} {backward}");
    }
}

#[test]
fn cholesky_gradient_of_the_log_determinant_is_the_inverse() {
    // ∂ log |A| / ∂A = A⁻¹, and A⁻¹ times A is the identity.
    let mut rng = StdRng::seed_from_u64(12);
    for k in [1, 2, 5, 9] {
        let tape = Tape::new();
        let a = tape.variable(covariance(&mut rng, k, 0.5));
        let log_determinant = a.cholesky().unwrap().diagonal().ln().sum() * 2.0;
        let inverse = tape.constant(tape.gradients(log_determinant).wrt(a));
        let identity = tape.constant(Array2::<f64>::eye(k));
        let off = largest(&(inverse.matmul(a) - identity).value().into_owned());
        assert!(off <= 1e-12, "{off}");
    }
}

#[test]
fn cholesky_refuses_what_has_no_factor() {
    let refused = |rows: &[&[f64]]| {
        let k = rows.len();
        let a = Array2::from_shape_vec((k, k), rows.concat()).unwrap();
        Tape::new().constant(a).cholesky().unwrap_err()
    };
    let indefinite = refused(&[&[1.0, 2.0], &[2.0, 1.0]]);
    assert_eq!((indefinite.pivot, indefinite.value), (1, -3.0));
    let said = indefinite.to_string();
    assert!(said.contains("-3e0 as the pivot of row 1"), "{said}");
    assert_eq!(refused(&[&[0.0]]).pivot, 0);
    assert_eq!(refused(&[&[1.0, 2.0], &[2.0, 4.0]]).pivot, 1);
    // Singular but for rounding: what is left of the last pivot is 0 or noise.
    let mut rng = StdRng::seed_from_u64(13);
    for k in [2, 3, 6] {
        let v = Array2::from_shape_simple_fn((k, 1), || rng.random_range(0.5..2.0));
        let rank_one = Tape::new().constant(v.dot(&v.t())).cholesky().map(|_| ());
        assert_eq!(rank_one.unwrap_err().pivot, 1);
    }
    for bad in [f64::NAN, f64::INFINITY] {
        assert!(!refused(&[&[bad]]).value.is_finite());
        for rows in [
            [[bad, 0.0], [0.0, 1.0]],
            [[2.0, bad], [0.5, 1.0]],
            [[2.0, 0.5], [bad, 1.0]],
        ] {
            let error = refused(&[&rows[0], &rows[1]]);
            assert!(!error.value.is_finite(), "{error}");
        }
    }
    // Small or large is not singular, and two scales in one matrix are not either.
    for scale in [1e-300, 1e-20, 1e20, 1e300f64] {
        let tape = Tape::new();
        let a = tape.constant(arr2(&[
            [scale, 0.5 * scale.sqrt()],
            [0.5 * scale.sqrt(), 1.0],
        ]));
        assert!(a.cholesky().is_ok(), "{scale}");
    }
    // In single precision too, where rounding is larger.
    let a = Tape::new();
    let nearly = a.constant(arr2(&[[1.0f32, 1.0], [1.0, 1.0 + f32::EPSILON]]));
    assert!(nearly.cholesky().is_err());
}

#[test]
fn cholesky_and_solves_refuse_shapes_that_do_not_fit() {
    let ones = |shape: &[usize]| ArrayD::<f64>::ones(shape);
    let said = message(move || {
        let _ = Tape::new().variable(ones(&[2, 3])).cholesky();
    });
    assert_eq!(
        said,
        "cholesky: expected a square matrix, found shape [2, 3]"
    );
    let said = message(move || {
        let tape = Tape::new();
        let _ = tape
            .variable(ones(&[2, 2]))
            .solve_lower(tape.variable(ones(&[3, 1])));
    });
    assert_eq!(said, "solve_lower: shapes [2, 2] and [3, 1] do not fit");
    // No rows is a matrix too.
    let tape = Tape::new();
    let empty = tape.variable(ones(&[0, 0]));
    assert_eq!(empty.cholesky().unwrap().diagonal().ln().sum().item(), 0.0);
}
