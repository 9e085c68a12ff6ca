//! Every operation of the engine with the shapes that it is checked at: one row each.

use elbo::autodiff::Var;
use ndarray::{Array2, ArrayD, IxDyn, arr2};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::arrays::Expression;

/// Where an operation's inputs are drawn from.
#[derive(Clone, Copy)]
pub enum Domain {
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
pub struct Row {
    pub name: &'static str,
    pub domain: Domain,
    pub shapes: Vec<Vec<Vec<usize>>>,
    pub expression: Expression,
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
pub fn table() -> Vec<Row> {
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
        binary("times_slope", Real, |v| v[0].times_slope(v[1])),
        binary("over_slope", NonZero, |v| v[0].over_slope(v[1])),
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
        unary("exp_remainder", Real, |v| v[0].exp_remainder()),
        unary("ln", Positive, |v| v[0].ln()),
        unary("ln_1p", AboveMinusOne, |v| v[0].ln_1p()),
        unary("sqrt", Positive, |v| v[0].sqrt()),
        unary("abs", Real, |v| v[0].abs()),
        unary("sigmoid", Real, |v| v[0].sigmoid()),
        unary("tanh", Real, |v| v[0].tanh()),
        unary("sin", Real, |v| v[0].sin()),
        unary("cos", Real, |v| v[0].cos()),
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

pub fn draw(row: &Row, shapes: &[Vec<usize>], rng: &mut StdRng) -> Vec<ArrayD<f64>> {
    shapes
        .iter()
        .map(|shape| ArrayD::from_shape_simple_fn(IxDyn(shape), || row.domain.draw(rng)))
        .collect()
}
