//! Hard functions with right gradients, and easy ones with wrong gradients: the same as in benches/peers/checkers.py.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};

use elbo::autodiff::Var;
use elbo::autodiff::check::Check;
use ndarray::{ArrayD, arr1};

use crate::check::shared::{mutated, sin};

/// Where a function is checked: at these numbers, or at their multiples by 1, 1.001, … 1.009.
#[derive(Clone, Copy)]
enum At {
    Exactly(&'static [f64]),
    Near(&'static [f64]),
}

impl At {
    fn point(self, trial: u64) -> ArrayD<f64> {
        match self {
            At::Exactly(x) => arr1(x).into_dyn(),
            At::Near(x) => arr1(x).into_dyn() * (1.0 + trial as f64 / 1000.0),
        }
    }
}

struct Case {
    name: &'static str,
    at: At,
    f: for<'t> fn(Var<'t, f64>) -> Var<'t, f64>,
}

/// In ten trials each.
const TRIALS: u64 = 10;

const FORTY: [f64; 40] = {
    let mut x = [0.0; 40];
    let mut i = 0;
    while i < 40 {
        x[i] = 0.1 + 0.05 * i as f64;
        i += 1;
    }
    x
};

/// A function of plain arrays, with a rule that receives x, y and ȳ.
fn operation<'t>(
    x: Var<'t, f64>,
    value: impl Fn(&ArrayD<f64>) -> ArrayD<f64>,
    rule: impl Fn(&ArrayD<f64>, &ArrayD<f64>, &ArrayD<f64>) -> ArrayD<f64> + 'static,
) -> Var<'t, f64> {
    let y = value(&x.value().into_owned()).into_shared();
    x.tape().record("operation", &[x], y, move |p| {
        p.give(0, || {
            let [x, y, g] = [p.input(0), p.output, p.cotangent].map(|v| v.value().into_owned());
            p.cotangent.tape().constant(rule(&x, &y, &g))
        });
    })
}

/// f entry by entry, with its slope.
fn entrywise(x: Var<'_, f64>, f: fn(f64) -> f64, slope: fn(f64) -> f64) -> Var<'_, f64> {
    operation(x, move |x| x.mapv(f), move |x, _, g| g * &x.mapv(slope))
}

fn elu(x: f64) -> f64 {
    if x > 0.0 { x } else { x.exp_m1() }
}

fn elu_slope(x: f64) -> f64 {
    if x > 0.0 { 1.0 } else { x.exp() }
}

fn huber(x: f64) -> f64 {
    if x < 1.0 { x * x / 2.0 } else { x - 0.5 }
}

fn bent(x: f64) -> f64 {
    (x - 1.0).max(0.0).powi(2) + x
}

const RIPPLE: f64 = 9161.005264500758;

fn ripples(x: Var<'_, f64>) -> Var<'_, f64> {
    x + sin(x * RIPPLE) * (0.1 / RIPPLE)
}

const RIGHT: [Case; 21] = [
    Case {
        name: "sigmoid at 40",
        at: At::Near(&[40.0]),
        f: |x| x.sigmoid(),
    },
    Case {
        name: "sigmoid at ±40",
        at: At::Near(&[40.0, -40.0, 0.3]),
        f: |x| x.sigmoid(),
    },
    Case {
        name: "sigmoid(x + 38) halved",
        at: At::Near(&[0.5, 1.0]),
        f: |x| (x + 38.0).sigmoid() * 0.5,
    },
    Case {
        name: "softmax of 0, -40, -100",
        at: At::Near(&[0.0, -40.0, -100.0]),
        f: |x| x.softmax(0),
    },
    Case {
        name: "softmax with a peak",
        at: At::Near(&[0.3, 30.0, -1.0]),
        f: |x| x.softmax(0),
    },
    Case {
        name: "sum of a softmax",
        at: At::Near(&[0.3, -1.0, 2.0]),
        f: |x| x.softmax(0).sum(),
    },
    Case {
        name: "log-softmax with a peak",
        at: At::Near(&[0.3, 20.0, -1.0]),
        f: |x| x.log_softmax(0),
    },
    Case {
        name: "exp at 350",
        at: At::Near(&[350.0]),
        f: |x| x.exp(),
    },
    Case {
        name: "ELU at its corner",
        at: At::Exactly(&[0.0]),
        f: |x| entrywise(x, elu, elu_slope),
    },
    Case {
        name: "Huber at its corner",
        at: At::Exactly(&[1.0]),
        f: |x| entrywise(x, huber, |x| x.min(1.0)),
    },
    Case {
        name: "relu(x - 1)² + x at its corner",
        at: At::Exactly(&[1.0]),
        f: |x| entrywise(x, bent, |x| 2.0 * (x - 1.0).max(0.0) + 1.0),
    },
    Case {
        name: "relu near its kink",
        at: At::Near(&[1e-5, -1e-4, 1.0]),
        f: |x| x.relu(),
    },
    Case {
        name: "ripples",
        at: At::Near(&[-2.958928974592051]),
        f: ripples,
    },
    Case {
        name: "sin at a million",
        at: At::Near(&[1e6 + 0.3]),
        f: sin,
    },
    Case {
        name: "ln at 1e-12",
        at: At::Near(&[1e-12]),
        f: |x| x.ln(),
    },
    Case {
        name: "sqrt at 1e-100",
        at: At::Near(&[1e-100]),
        f: |x| x.sqrt(),
    },
    Case {
        name: "tanh of 10⁷ x",
        at: At::Near(&[3e-8, -1e-7]),
        f: |x| (x * 1e7).tanh(),
    },
    Case {
        name: "a bell of width 10⁻⁶",
        at: At::Near(&[5e-7]),
        f: |x| (-(x * 1e6).square()).exp(),
    },
    Case {
        name: "tanh + 10⁶",
        at: At::Near(&[0.5, -1.0]),
        f: |x| x.tanh() + 1e6,
    },
    Case {
        name: "slopes 10⁶ and 10⁻⁴ in one array",
        at: At::Near(&[0.3]),
        f: |x| x.tape().concatenate(0, &[x * 1e6, x * 1e-4]),
    },
    Case {
        name: "10⁻³⁰ times a sum of squares",
        at: At::Near(&[0.5, -1.0]),
        f: |x| x.square().sum() * 1e-30,
    },
];

/// 0 or 1/(1-p) for p = ½, from the bits of one number.
fn dropped(x: f64) -> f64 {
    let mut hasher = DefaultHasher::new();
    x.to_bits().hash(&mut hasher);
    2.0 * (hasher.finish() % 2) as f64
}

fn dropout(x: Var<'_, f64>) -> Var<'_, f64> {
    operation(
        x,
        |x| x.mapv(|x| x * dropped(x)),
        |x, _, g| g * &x.mapv(dropped),
    )
}

thread_local! {
    /// What the mutant `cached` keeps.
    static KEPT: RefCell<Option<ArrayD<f64>>> = const { RefCell::new(None) };
}

/// tanh, with the slope at the first point that its backward pass sees.
fn cached(x: Var<'_, f64>) -> Var<'_, f64> {
    operation(
        x,
        |x| x.mapv(f64::tanh),
        |_, y, g| KEPT.with_borrow_mut(|kept| g * &*kept.get_or_insert_with(|| 1.0 - y * y)),
    )
}

fn tied(x: Var<'_, f64>) -> Var<'_, f64> {
    let most = |x: &ArrayD<f64>| x.fold(f64::MIN, |most, &x| most.max(x));
    operation(
        x,
        move |x| arr1(&[most(x)]).into_dyn(),
        |x, y, g| x.mapv(|x| f64::from(x == y[0])) * g[0],
    )
}

fn one_of_forty(g: Var<'_, f64>) -> Var<'_, f64> {
    let mut factor = ArrayD::ones(g.value().raw_dim());
    factor[[17]] = 1.01;
    g * g.tape().constant(factor)
}

const WRONG: [Case; 20] = [
    Case {
        name: "gradient × 1.0005",
        at: At::Near(&[0.3, -1.2]),
        f: |x| mutated(x.tanh(), |g| g * 1.0005),
    },
    Case {
        name: "cotangent ignored",
        at: At::Near(&[0.3, -1.2]),
        f: |x| mutated(x.exp(), |g| g.tape().full(&g.shape(), 1.0)).sum(),
    },
    Case {
        name: "softmax with gradient 0",
        at: At::Near(&[0.3, -1.2, 0.5]),
        f: |x| operation(x.softmax(0), Clone::clone, |_, _, g| g * 0.0),
    },
    Case {
        name: "one entry of forty off by 1 %",
        at: At::Near(&FORTY),
        f: |x| mutated(x.sigmoid(), one_of_forty),
    },
    Case {
        name: "sum × (1 + 10⁻⁴)",
        at: At::Near(&[0.3, -1.2]),
        f: |x| mutated(x, |g| g * (1.0 + 1e-4)).sum(),
    },
    Case {
        name: "slope rounded to f32",
        at: At::Near(&[0.3, -1.2]),
        f: |x| entrywise(x, f64::exp, |x| f64::from(x.exp() as f32)),
    },
    Case {
        name: "loss × 10⁻⁶ with gradient 0",
        at: At::Near(&[0.3, -1.2]),
        f: |x| mutated(x.square(), |g| g * 0.0).sum() * 1e-6,
    },
    Case {
        name: "not linear in the cotangent",
        at: At::Near(&[0.3, -1.2, 0.7]),
        f: |x| mutated(x, |g| g + (g.abs().sum() - g.abs().max()) * 0.1),
    },
    Case {
        name: "ripples × 1.0001",
        at: At::Near(&[-2.958928974592051]),
        f: |x| operation(ripples(x), Clone::clone, |_, _, g| g * 1.0001),
    },
    Case {
        name: "ripples with slope 1",
        at: At::Near(&[0.3]),
        f: |x| entrywise(x, |x| x + 0.1 / RIPPLE * (RIPPLE * x).sin(), |_| 1.0),
    },
    Case {
        name: "ELU at its corner × (1 + 10⁻⁶)",
        at: At::Exactly(&[0.0]),
        f: |x| entrywise(x, elu, |x| elu_slope(x) * (1.0 + 1e-6)),
    },
    Case {
        name: "mask by the bits of x, 1 entry",
        at: At::Near(&[0.7]),
        f: dropout,
    },
    Case {
        name: "mask by the bits of x, 40 entries",
        at: At::Near(&FORTY),
        f: dropout,
    },
    Case {
        name: "slope kept from the first call",
        at: At::Near(&[0.3, -1.2]),
        f: cached,
    },
    Case {
        name: "whole gradient to tied maxima",
        at: At::Exactly(&[0.5, 0.5]),
        f: tied,
    },
    Case {
        name: "exp at 350 × 1.0005",
        at: At::Near(&[350.0]),
        f: |x| mutated(x.exp(), |g| g * 1.0005),
    },
    Case {
        name: "σ at -40 × 1.0005",
        at: At::Near(&[40.0, -40.0, 0.3]),
        f: |x| {
            operation(x.sigmoid(), Clone::clone, |_, _, g| {
                g * &arr1(&[1.0, 1.0005, 1.0]).into_dyn()
            })
        },
    },
    Case {
        name: "ln at 10⁻¹² × 1.0005",
        at: At::Near(&[1e-12]),
        f: |x| mutated(x.ln(), |g| g * 1.0005),
    },
    Case {
        name: "10⁻⁴ × 0.999 beside 10⁶",
        at: At::Near(&[0.3]),
        f: |x| {
            x.tape()
                .concatenate(0, &[x * 1e6, mutated(x, |g| g * 0.999) * 1e-4])
        },
    },
    Case {
        name: "sign of one slope, relu",
        at: At::Near(&[0.3, -1.2]),
        f: |x| {
            entrywise(
                x,
                |x| x.max(0.01 * x),
                |x| if x > 0.0 { 1.0 } else { -0.01 },
            )
        },
    },
];

/// How many of the trials pass.
fn passes(case: &Case) -> u64 {
    let run = |trial: u64| {
        KEPT.set(None);
        let check = Check::new(case.name).seed(trial).at_this_point();
        let outcome = check.run(&[case.at.point(trial)], |v| (case.f)(v[0]));
        if let Err(failure) = &outcome {
            println!("        {failure}");
        }
        u64::from(outcome.is_ok())
    };
    (0..TRIALS).map(run).sum()
}

fn table(kind: &str, cases: &[Case], expected: u64) {
    let mut unexpected = Vec::new();
    for case in cases {
        let passes = passes(case);
        println!("{kind} | {} | {passes} of {TRIALS}", case.name);
        if passes != expected {
            unexpected.push((case.name, passes));
        }
    }
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

#[test]
fn right_gradients_of_hard_functions_pass() {
    table("right", &RIGHT, TRIALS);
}

#[test]
fn wrong_gradients_do_not_pass() {
    table("wrong", &WRONG, 0);
}

#[test]
fn what_saturates_is_counted_as_unresolved() {
    let logits = || [arr1(&[40.0, -40.0, 0.3]).into_dyn()];
    let report = Check::new("sigmoid").run(&logits(), |v| v[0].sigmoid());
    assert_eq!(report.unwrap().unresolved, 1);
    let report = Check::new("tanh").run(&[arr1(&[0.3]).into_dyn()], |v| v[0].tanh());
    assert_eq!(report.unwrap().unresolved, 0);
}

#[test]
fn a_mask_by_the_bits_of_x_is_refused_wherever_the_point_is_moved() {
    for x in [&[0.7][..], &FORTY] {
        for seed in 0..10 {
            let x = [arr1(x).into_dyn()];
            let outcome = Check::new("dropout").seed(seed).run(&x, |v| dropout(v[0]));
            assert!(outcome.is_err(), "{outcome:?}");
        }
    }
}
