//! docs/gradients.md#vjp-chain-rule: walking a list of steps backwards gives Jᵀȳ, added over every path, for random
//! programs.

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Trace, Var};
use elbo::gradients::{hessian_product, push_forward};
use ndarray::{Array1, arr0, arr1, s};
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::arrays::owned;
use crate::common::comparing::{Checked, Worst};
use crate::common::random::{matrix, rng, vector};
use crate::common::reporting::report;

/// One step of a program over arrays of one shape: what is computed from which of the earlier ones.
#[derive(Clone, Copy, Debug)]
enum Step {
    Add(usize, usize),
    Sub(usize, usize),
    Mul(usize, usize),
    Tanh(usize),
    Sigmoid(usize),
    Square(usize),
    Reverse(usize),
}

/// A program of `inputs` and `steps` at random, in which many values have several uses.
fn program(rng: &mut StdRng, inputs: usize, steps: usize) -> Vec<Step> {
    (inputs..inputs + steps)
        .map(|known| {
            let (a, b) = (rng.random_range(0..known), rng.random_range(0..known));
            match rng.random_range(0..7) {
                0 => Step::Add(a, b),
                1 => Step::Sub(a, b),
                2 => Step::Mul(a, b),
                3 => Step::Tanh(a),
                4 => Step::Sigmoid(a),
                5 => Step::Square(a),
                _ => Step::Reverse(a),
            }
        })
        .collect()
}

/// On the tape, from one vector that holds all inputs; the last value, scaled down so that squares of squares stay small.
fn on_tape<'t>(program: &[Step], inputs: usize, x: Var<'t, f64>) -> Var<'t, f64> {
    let length = x.size() / inputs;
    let mut values: Vec<Var<'t, f64>> = (0..inputs)
        .map(|i| x.slice(0, i * length..(i + 1) * length))
        .collect();
    for step in program {
        values.push(match *step {
            Step::Add(a, b) => (values[a] + values[b]) * 0.5,
            Step::Sub(a, b) => values[a] - values[b],
            Step::Mul(a, b) => values[a] * values[b],
            Step::Tanh(a) => values[a].tanh(),
            Step::Sigmoid(a) => values[a].sigmoid(),
            Step::Square(a) => values[a].square() * 0.5,
            Step::Reverse(a) => {
                let order: Vec<usize> = (0..length).rev().collect();
                values[a].gather(&order)
            }
        });
    }
    values[values.len() - 1]
}

/// Value and change, both forwards: (f, f' v) for every step, by the rules of differentials on plain numbers.
fn forwards(program: &[Step], inputs: usize, x: &Array1<f64>, v: &Array1<f64>) -> [Array1<f64>; 2] {
    let length = x.len() / inputs;
    let part = |x: &Array1<f64>, i: usize| x.slice(s![i * length..(i + 1) * length]).to_owned();
    let mut known: Vec<[Array1<f64>; 2]> = (0..inputs).map(|i| [part(x, i), part(v, i)]).collect();
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for step in program {
        let of = |a: usize| (&known[a][0], &known[a][1]);
        known.push(match *step {
            Step::Add(a, b) => {
                let ((x, dx), (y, dy)) = (of(a), of(b));
                [(x + y) * 0.5, (dx + dy) * 0.5]
            }
            Step::Sub(a, b) => {
                let ((x, dx), (y, dy)) = (of(a), of(b));
                [x - y, dx - dy]
            }
            Step::Mul(a, b) => {
                let ((x, dx), (y, dy)) = (of(a), of(b));
                [x * y, dx * y + x * dy]
            }
            Step::Tanh(a) => {
                let (x, dx) = of(a);
                [x.mapv(f64::tanh), dx * &x.mapv(|x| x.cosh().powi(-2))]
            }
            Step::Sigmoid(a) => {
                let (x, dx) = of(a);
                [x.mapv(sigmoid), dx * &x.mapv(|x| sigmoid(x) * sigmoid(-x))]
            }
            Step::Square(a) => {
                let (x, dx) = of(a);
                [x * x * 0.5, x * dx]
            }
            Step::Reverse(a) => {
                let (x, dx) = of(a);
                [
                    x.slice(s![..;-1]).to_owned(),
                    dx.slice(s![..;-1]).to_owned(),
                ]
            }
        });
    }
    known.pop().unwrap()
}

/// A program, the number of its inputs, a point and a direction.
type Case = (Vec<Step>, usize, Array1<f64>, Array1<f64>);

fn programs(rng: &mut StdRng) -> Vec<Case> {
    let mut found = Vec::new();
    for (inputs, steps, length) in [
        (1, 3, 1),
        (2, 6, 3),
        (3, 12, 2),
        (2, 25, 4),
        (4, 40, 3),
        (1, 30, 5),
    ] {
        for _ in 0..8 {
            let program = program(rng, inputs, steps);
            let [x, v] = [(); 2].map(|()| vector(rng, inputs * length));
            found.push((program, inputs, x, v));
        }
    }
    found
}

#[test]
fn on_three_lines() {
    let tape = Tape::new();
    let (x, w) = (tape.variable(arr0(3.0)), tape.variable(arr0(-2.0)));
    let u = x * w;
    let y = u + x;
    let loss = y.square();
    let expected = "\
step  operation    value  cotangent
%0    variable         3          6
%1    variable        -2        -18
%2    mul(%0, %1)     -6         -6
%3    add(%2, %0)     -3         -6
%4    square(%3)       9          1
";
    let trace = Trace::of(loss);
    report(format!("{trace}"));
    assert_eq!(trace.to_string(), expected);
    // The loss is x²(w + 1)²: by hand 2x(w + 1)² and 2x²(w + 1).
    let cotangent = |step: usize| trace.steps()[step].cotangent.as_ref().unwrap().sum();
    assert_eq!([cotangent(0), cotangent(1)], [6.0, -18.0]);
    assert_eq!(trace.steps()[3].inputs, [2, 0]);
    // x receives 12 from the product and -6 from the sum.
    let given = |step: usize| {
        trace.steps()[step]
            .given
            .iter()
            .map(|(i, part)| (*i, part.sum()))
    };
    assert!(given(2).eq([(0, 12.0), (1, -18.0)]) && given(3).eq([(2, -6.0), (0, -6.0)]));
    // Arrays stand on one line; what no variable is behind has no cotangent.
    let short = Tape::<f32>::new();
    let sum = (short.variable(arr1(&[1.0, 2.0])) * short.constant(arr1(&[3.0, 4.0]))).sum();
    let table = Trace::of(sum).to_string();
    assert!(
        table.contains("[1, 2]     [3, 4]") && table.contains("[3, 4]          -"),
        "{table}"
    );
    // What the result does not use is in its table as well, with the cotangent 0.
    let _ = x.exp();
    let trace = Trace::of(loss + 1.0);
    let unused = trace.steps().iter().find(|step| step.operation == "exp");
    assert_eq!(unused.unwrap().cotangent, Some(arr0(0.0).into_dyn().into()));
    // At second order: the gradient 2x(w + 1)² is on the tape, with the derivatives 2(w + 1)² and 4x(w + 1).
    let gradient = tape.differentiable_gradients(loss).wrt(x);
    let second = tape.gradients(gradient);
    assert_eq!([second.wrt(x).sum(), second.wrt(w).sum()], [2.0, -12.0]);
}

#[test]
fn against_finite_differences() {
    let mut rng = rng(162);
    let mut checked = Checked::default();
    for (program, inputs, x, _) in programs(&mut rng).into_iter().step_by(3) {
        let point = [x.into_dyn()];
        let check = Check::new("vjp-chain-rule");
        checked.add(
            check
                .run(&point, |v| on_tape(&program, inputs, v[0]))
                .unwrap(),
        );
        let second = check.run_second_order(&point, |v| on_tape(&program, inputs, v[0]).square());
        checked.add(second.unwrap());
    }
    checked.print("random graphs, first and second order");
}

#[test]
fn dot_test_on_random_graphs() {
    let mut rng = rng(161);
    let (mut value, mut dot, mut forward) = (Worst::default(), Worst::default(), Worst::default());
    let mut moving = 0;
    for (program, inputs, x, v) in programs(&mut rng) {
        let [y, jv] = forwards(&program, inputs, &x, &v);
        let y_bar = vector(&mut rng, y.len());
        let tape = Tape::new();
        let vx = tape.variable(x.clone());
        let output = on_tape(&program, inputs, vx);
        value.entries(&owned(output.value()), &y.into_dyn());
        let x_bar = owned(tape.pull_back(output, y_bar.clone(), &[]).wrt(vx));
        let left = y_bar.dot(&jv);
        let right: f64 = x_bar.iter().zip(&v).map(|(a, b)| a * b).sum();
        let terms = x_bar.iter().zip(&v).map(|(a, b)| (a * b).abs());
        let scale = terms.sum::<f64>()
            + y_bar
                .iter()
                .zip(&jv)
                .map(|(a, b)| (a * b).abs())
                .sum::<f64>();
        dot.number(right, left, scale);
        let pushed = push_forward(x, v, |x| on_tape(&program, inputs, x));
        forward.entries(&owned(pushed), &jv.clone().into_dyn());
        moving += usize::from(left != 0.0);
    }
    report(format!("48 graphs, {moving} of them with a slope"));
    assert!(moving > 30);
    value.within(1e-13, "values = plain arithmetic");
    dot.within(1e-13, "⟨ȳ, Jv⟩ = ⟨Jᵀȳ, v⟩, J v by differentials forwards");
    forward.within(1e-12, "J v from two pullbacks = J v forwards");
}

#[test]
fn adds_over_every_path() {
    // x + x, sixty times over: 2⁶⁰ paths from x to the end, each with the derivative 1, on a tape of 61 lines.
    let tape = Tape::new();
    let x = tape.variable(arr0(1.0));
    let doubled = (0..60).fold(x, |x, _| x + x);
    assert_eq!(tape.gradients(doubled).wrt(x).sum(), 2f64.powi(60));
    assert_eq!(tape.len(), 61);
    // Uses behind a stop, and uses that the result does not depend on, do not count.
    let once = x * x.stop_gradient() + x;
    let _ = x.exp();
    assert_eq!(tape.gradients(once).wrt(x).sum(), 2.0);
}

#[test]
fn gives_hessian_products() {
    // f = Σ_ij a_ij tanh(x_i) x_j²: by hand from the two slopes of each factor.
    let mut rng = rng(163);
    let mut worst = Worst::default();
    for n in [1, 3, 6] {
        let (a, x, v) = (
            matrix(&mut rng, [n, n]),
            vector(&mut rng, n),
            vector(&mut rng, n),
        );
        let product = hessian_product(x.clone(), v.clone(), |x| {
            let a = x.tape().constant(a.clone());
            x.tanh().matmul(a).matmul(x.square())
        });
        let (t, t1) = (x.mapv(f64::tanh), x.mapv(|x| 1.0 - x.tanh().powi(2)));
        let t2 = -2.0 * &t * &t1;
        let (q, q1) = (&x * &x, &x * 2.0);
        let by_hand = &t2 * &a.dot(&q) * &v
            + &t1 * &a.dot(&(&q1 * &v))
            + &q1 * &a.t().dot(&(&t1 * &v))
            + a.t().dot(&t) * 2.0 * &v;
        worst.entries(&owned(product), &by_hand.into_dyn());
    }
    worst.within(1e-12, "H v: hand = two passes");
}
