//! What was not chosen has the gradient 0, whatever its value and its slope are; and the corners of powers.

use elbo::autodiff::{Mask, Tape, Var};
use ndarray::{Array1, arr1};

type Function = for<'t> fn(Var<'t, f64>) -> Var<'t, f64>;

const FUNCTIONS: [(&str, Function); 20] = [
    ("ln", |x| x.ln()),
    ("ln(1 + x)", |x| (x - 1.0).ln_1p()),
    ("sqrt", |x| x.sqrt()),
    ("1/x", |x| 1.0 / x),
    ("x/2x", |x| x / (x * 2.0)),
    ("1/x²", |x| x.powi(-2)),
    ("x^-½", |x| x.powf(-0.5)),
    ("x^x", |x| x.pow(x)),
    ("x log x", |x| x * x.ln()),
    ("exp of 1/x", |x| (1.0 / x).exp()),
    ("exp(x) - 1 of 1/x", |x| (1.0 / x).expm1()),
    ("remainder of 1/x", |x| (1.0 / x).exp_remainder()),
    ("square of 1/x", |x| (1.0 / x).square()),
    ("sin of 1/x", |x| (1.0 / x).sin()),
    ("cos of 1/x", |x| (1.0 / x).cos()),
    ("tanh of ln", |x| x.ln().tanh()),
    ("sigmoid of ln", |x| x.ln().sigmoid()),
    ("softplus of ln", |x| x.ln().softplus()),
    ("log-sigmoid of ln", |x| x.ln().log_sigmoid()),
    ("abs of ln", |x| x.ln().abs()),
];

#[test]
fn has_gradient_0_in_first_and_second_order() {
    for (name, f) in FUNCTIONS {
        let alone = Tape::new();
        let x = alone.variable(arr1(&[2.0]));
        let slope = alone.differentiable_gradients(f(x).sum()).wrt(x);
        let curvature = alone.gradients(slope.sum()).wrt(x)[0];
        let slope = slope.value()[0];
        for choose in [
            (|y, mask| y.select(mask, y.tape().scalar(0.0)))
                as for<'t> fn(Var<'t, f64>, &Mask) -> Var<'t, f64>,
            |y, mask| y.keep_where(mask),
        ] {
            let tape = Tape::new();
            let x = tape.variable(arr1(&[-1.0, -0.0, 0.0, 2.0]));
            let positive = x.value().mapv(|x| x > 0.0).into_shared();
            let y = choose(f(x), &positive).sum();
            assert_eq!(
                tape.gradients(y).wrt(x),
                arr1(&[0.0, 0.0, 0.0, slope]).into_dyn(),
                "{name}"
            );
            let recorded = tape.differentiable_gradients(y).wrt(x);
            let second = tape.gradients(recorded.sum()).wrt(x);
            assert_eq!(
                second,
                arr1(&[0.0, 0.0, 0.0, curvature]).into_dyn(),
                "{name}, second order"
            );
        }
    }
}

#[test]
fn of_two_branches_each_has_its_own() {
    // log x above 0, 1/x below.
    let tape = Tape::new();
    let x = tape.variable(arr1(&[-2.0, 4.0]));
    let positive = x.value().mapv(|x| x > 0.0).into_shared();
    let y = x.ln().select(&positive, 1.0 / x).sum();
    assert_eq!(tape.gradients(y).wrt(x), arr1(&[-0.25, 0.25]).into_dyn());
}

#[test]
fn what_was_chosen_keeps_its_infinity() {
    let tape = Tape::new();
    let x = tape.variable(arr1(&[0.0]));
    let everything = Mask::from_elem(vec![1], true);
    let y = x.sqrt().select(&everything, x);
    assert_eq!(tape.gradients(y.sum()).wrt(x)[0], f64::INFINITY);
}

/// ∂(a^b)/∂a and ∂(a^b)/∂b.
fn slopes(a: f64, b: f64) -> [f64; 2] {
    let tape = Tape::new();
    let (a, b) = (tape.variable(arr1(&[a])), tape.variable(arr1(&[b])));
    let gradients = tape.gradients(a.pow(b).sum());
    [gradients.wrt(a)[0], gradients.wrt(b)[0]]
}

#[test]
fn powers_of_0() {
    let infinity = f64::INFINITY;
    assert_eq!(slopes(0.0, 3.0), [0.0, 0.0]);
    assert_eq!(slopes(0.0, 1.0), [1.0, 0.0]);
    assert_eq!(slopes(0.0, 0.5), [infinity, 0.0]);
    assert_eq!(slopes(0.0, 0.0), [0.0, -infinity]);
    assert_eq!(slopes(0.0, -1.0), [-infinity, -infinity]);
    assert_eq!(slopes(2.0, 3.0), [12.0, 8.0 * 2f64.ln()]);
}

#[test]
fn the_least_power() {
    let tape = Tape::new();
    let x: Array1<f64> = arr1(&[1.0, -1.0, 2.0, 0.5]);
    let x = tape.variable(x);
    let y = x.powi(i32::MIN);
    assert_eq!(y.value(), arr1(&[1.0, 1.0, 0.0, f64::INFINITY]).into_dyn());
    let n = f64::from(i32::MIN);
    let expected = arr1(&[n, -n, 0.0, -f64::INFINITY]).into_dyn();
    let gradient = tape.gradients(y.sum()).wrt(x);
    assert_eq!(gradient, expected);
}
