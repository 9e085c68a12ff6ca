//! Values and slopes to the last digits, against a table of correctly rounded ones.

use crate::common::reporting::report;
use elbo::Scalar;
use elbo::autodiff::Tape;

use super::ALL;
use crate::gradients::shared::Function;

/// x, σ, σ', tanh, tanh', softplus and log σ, correctly rounded from 800 digits. Every x is a number of f64; all
/// but ±2⁻¹⁰⁰⁰ are numbers of f32, too. Written by
///
/// ```text
/// python3 - <<'END'
/// from decimal import Decimal as D, getcontext
/// getcontext().prec = 800
/// def row(x):
///     e = D(x).exp(); s = e / (1 + e); t = (e*e - 1) / (e*e + 1)
///     return x, *map(float, (s, s / (1 + e), t, 4*e*e / (e*e + 1)**2, (1 + e).ln(), s.ln()))
/// grid = [2.0**-1000, 2.0**-100, 2.0**-27, 2.0**-10, 0.125, 0.5, 1.0, 2.5, 5.0, 10.0, 18.25, 20.0, 36.5, 40.0,
///         80.0, 300.0, 700.0, 720.0, 745.0]
/// for x in [-x for x in grid[::-1]] + [0.0] + grid:
///     print("    [" + ", ".join(map(repr, row(x))) + "],")
/// END
/// ```
#[rustfmt::skip]
#[expect(clippy::approx_constant, reason = "log 2 is one of the results")]
const TABLE: [[f64; 7]; 39] = [
    [-745.0, 5e-324, 5e-324, -1.0, 0.0, 5e-324, -745.0],
    [-720.0, 2.0322308024e-313, 2.0322308024e-313, -1.0, 0.0, 2.0322308024e-313, -720.0],
    [-700.0, 9.85967654375977e-305, 9.85967654375977e-305, -1.0, 0.0, 9.85967654375977e-305, -700.0],
    [-300.0, 5.148200222412013e-131, 5.148200222412013e-131, -1.0, 1.0601586212017243e-260, 5.148200222412013e-131, -300.0],
    [-80.0, 1.8048513878454153e-35, 1.8048513878454153e-35, -1.0, 1.3029954128830085e-69, 1.8048513878454153e-35, -80.0],
    [-40.0, 4.248354255291589e-18, 4.248354255291589e-18, -1.0, 7.219405551381661e-35, 4.248354255291589e-18, -40.0],
    [-36.5, 1.4068617124461467e-16, 1.4068617124461464e-16, -1.0, 7.917039511787618e-32, 1.4068617124461467e-16, -36.5],
    [-20.0, 2.0611536181902037e-09, 2.061153613941849e-09, -1.0, 1.6993417021166355e-17, 2.061153620314381e-09, -20.000000002061153],
    [-18.25, 1.1861120010657661e-08, 1.1861119869971492e-08, -0.9999999999999997, 5.627446849784586e-16, 1.1861120081000745e-08, -18.25000001186112],
    [-10.0, 4.5397868702434395e-05, 4.5395807735951673e-05, -0.9999999958776927, 8.244614455767397e-09, 4.539889921686465e-05, -10.000045398899218],
    [-5.0, 0.0066928509242848554, 0.006648056670790155, -0.9999092042625951, 0.0001815832309438067, 0.006715348489118068, -5.006715348489118],
    [-2.5, 0.07585818002124355, 0.07010371654510816, -0.9866142981514303, 0.02659222668316062, 0.07888973429254963, -2.5788897342925496],
    [-1.0, 0.2689414213699951, 0.19661193324148185, -0.7615941559557649, 0.4199743416140261, 0.3132616875182228, -1.3132616875182228],
    [-0.5, 0.37754066879814546, 0.2350037122015945, -0.46211715726000974, 0.7864477329659274, 0.4740769841801067, -0.9740769841801067],
    [-0.125, 0.46879062662624377, 0.24902597501361748, -0.12435300177159621, 0.9845363309503934, 0.6325990353171691, -0.7575990353171691],
    [-0.0009765625, 0.49975585939440254, 0.2499999403953647, -0.0009765621895592603, 0.9999990463262899, 0.6926590185192302, -0.6936355810192302],
    [-7.450580596923828e-09, 0.49999999813735485, 0.25, -7.450580596923828e-09, 1.0, 0.693147176834655, -0.6931471842852356],
    [-7.888609052210118e-31, 0.5, 0.25, -7.888609052210118e-31, 1.0, 0.6931471805599453, -0.6931471805599453],
    [-9.332636185032189e-302, 0.5, 0.25, -9.332636185032189e-302, 1.0, 0.6931471805599453, -0.6931471805599453],
    [0.0, 0.5, 0.25, 0.0, 1.0, 0.6931471805599453, -0.6931471805599453],
    [9.332636185032189e-302, 0.5, 0.25, 9.332636185032189e-302, 1.0, 0.6931471805599453, -0.6931471805599453],
    [7.888609052210118e-31, 0.5, 0.25, 7.888609052210118e-31, 1.0, 0.6931471805599453, -0.6931471805599453],
    [7.450580596923828e-09, 0.5000000018626451, 0.25, 7.450580596923828e-09, 1.0, 0.6931471842852356, -0.693147176834655],
    [0.0009765625, 0.5002441406055974, 0.2499999403953647, 0.0009765621895592603, 0.9999990463262899, 0.6936355810192302, -0.6926590185192302],
    [0.125, 0.5312093733737563, 0.24902597501361748, 0.12435300177159621, 0.9845363309503934, 0.7575990353171691, -0.6325990353171691],
    [0.5, 0.6224593312018546, 0.2350037122015945, 0.46211715726000974, 0.7864477329659274, 0.9740769841801067, -0.4740769841801067],
    [1.0, 0.7310585786300049, 0.19661193324148185, 0.7615941559557649, 0.4199743416140261, 1.3132616875182228, -0.3132616875182228],
    [2.5, 0.9241418199787564, 0.07010371654510816, 0.9866142981514303, 0.02659222668316062, 2.5788897342925496, -0.07888973429254963],
    [5.0, 0.9933071490757152, 0.006648056670790155, 0.9999092042625951, 0.0001815832309438067, 5.006715348489118, -0.006715348489118068],
    [10.0, 0.9999546021312976, 4.5395807735951673e-05, 0.9999999958776927, 8.244614455767397e-09, 10.000045398899218, -4.539889921686465e-05],
    [18.25, 0.99999998813888, 1.1861119869971492e-08, 0.9999999999999997, 5.627446849784586e-16, 18.25000001186112, -1.1861120081000745e-08],
    [20.0, 0.9999999979388464, 2.061153613941849e-09, 1.0, 1.6993417021166355e-17, 20.000000002061153, -2.061153620314381e-09],
    [36.5, 0.9999999999999999, 1.4068617124461464e-16, 1.0, 7.917039511787618e-32, 36.5, -1.4068617124461467e-16],
    [40.0, 1.0, 4.248354255291589e-18, 1.0, 7.219405551381661e-35, 40.0, -4.248354255291589e-18],
    [80.0, 1.0, 1.8048513878454153e-35, 1.0, 1.3029954128830085e-69, 80.0, -1.8048513878454153e-35],
    [300.0, 1.0, 5.148200222412013e-131, 1.0, 1.0601586212017243e-260, 300.0, -5.148200222412013e-131],
    [700.0, 1.0, 9.85967654375977e-305, 1.0, 0.0, 700.0, -9.85967654375977e-305],
    [720.0, 1.0, 2.0322308024e-313, 1.0, 0.0, 720.0, -2.0322308024e-313],
    [745.0, 1.0, 5e-324, 1.0, 0.0, 745.0, -5e-324],
];

/// Value and slope at one number.
fn at<T: Scalar>(f: Function<T>, x: f64) -> [f64; 2] {
    let tape = Tape::new();
    let x = tape.variable(ndarray::arr0(T::of(x)));
    let y = f(x);
    let slope = tape.gradients(y).wrt(x);
    [y.item().as_f64(), slope.sum().as_f64()]
}

/// How many units of rounding ε off, relative to the expected value, or to the smallest normal number where the
/// expected value lies below it and numbers have fewer digits.
fn roundings<T: Scalar>(found: f64, expected: f64) -> f64 {
    assert!(found.is_finite(), "{found} instead of {expected}");
    let scale = expected.abs().max(T::min_positive_value().as_f64());
    (found - expected).abs() / (T::epsilon().as_f64() * scale)
}

/// A column of the table, as a function.
type Oracle = fn(f64) -> f64;

/// The functions with the oracles of value and derivative.
fn relative<T: Scalar>() -> [(&'static str, Function<T>, [Oracle; 2]); 3] {
    let sigmoid: [Oracle; 2] = [|x| row_at(x)[1], |x| row_at(x)[2]];
    let softplus: [Oracle; 2] = [|x| row_at(x)[5], |x| row_at(x)[1]];
    let log_sigmoid: [Oracle; 2] = [|x| row_at(x)[6], |x| row_at(-x)[1]];
    [
        ("sigmoid", |x| x.sigmoid(), sigmoid),
        ("softplus", |x| x.softplus(), softplus),
        ("log-sigmoid", |x| x.log_sigmoid(), log_sigmoid),
    ]
}

fn row_at(x: f64) -> [f64; 7] {
    *TABLE.iter().find(|row| row[0] == x).unwrap()
}

/// The rows up to ±`edge` whose x is a number of the type.
fn rows<T: Scalar>(edge: f64) -> impl Iterator<Item = [f64; 7]> {
    let exact = move |x: f64| x.abs() <= edge && T::of(x).as_f64() == x;
    TABLE.into_iter().filter(move |row| exact(row[0]))
}

fn relative_accuracy<T: Scalar>(edge: f64, least_rows: usize) {
    assert!(rows::<T>(edge).count() >= least_rows);
    for (name, f, [value, slope]) in relative::<T>() {
        let (mut worst_value, mut worst_slope) = (0.0f64, 0.0f64);
        for [x, ..] in rows::<T>(edge) {
            let [y, dy] = at(f, x);
            worst_value = worst_value.max(roundings::<T>(y, value(x)));
            worst_slope = worst_slope.max(roundings::<T>(dy, slope(x)));
        }
        report(format!(
            "{name} in {}: value {worst_value:.2} ε, derivative {worst_slope:.2} ε, relative",
            std::any::type_name::<T>()
        ));
        assert!(worst_value <= 4.0, "{name}: value off by {worst_value} ε");
        assert!(
            worst_slope <= 4.0,
            "{name}: derivative off by {worst_slope} ε"
        );
    }
}

#[test]
fn keep_their_digits() {
    relative_accuracy::<f64>(745.0, 39);
    relative_accuracy::<f32>(80.0, 29);
}

fn tanh_accuracy<T: Scalar>(edge: f64) {
    let epsilon = T::epsilon().as_f64();
    let (mut value, mut absolute) = (0.0f64, 0.0f64);
    for row in rows::<T>(edge) {
        let [y, dy] = at::<T>(|x| x.tanh(), row[0]);
        value = value.max(roundings::<T>(y, row[3]));
        assert!(dy.is_finite(), "tanh' at {} = {dy}", row[0]);
        absolute = absolute.max((dy - row[4]).abs() / epsilon);
    }
    report(format!(
        "tanh in {}: value {value:.2} ε, relative; derivative {absolute:.2} ε, absolute",
        std::any::type_name::<T>()
    ));
    assert!(value <= 4.0, "tanh: value off by {value} ε");
    assert!(absolute <= 4.0, "tanh: derivative off by {absolute} ε");
}

#[test]
fn of_tanh_keep_their_absolute_accuracy() {
    tanh_accuracy::<f64>(745.0);
    tanh_accuracy::<f32>(80.0);
    for x in [5.0, 10.0, 18.25, 20.0] {
        let [_, dy] = at::<f64>(|x| x.tanh(), x);
        let relative = (dy - row_at(x)[4]).abs() / row_at(x)[4];
        report(format!("1 - tanh² at {x}: relative error {relative:.1e}"));
    }
    let [_, dy] = at::<f64>(|x| x.tanh(), 20.0);
    assert_eq!(dy, 0.0, "the notes say that nothing is left at 20");
}

#[test]
fn of_relu() {
    for x in TABLE.map(|row| row[0]) {
        let expected = if x > 0.0 { [x, 1.0] } else { [0.0, 0.0] };
        assert_eq!(at::<f64>(|x| x.relu(), x), expected, "at {x}");
    }
}

#[test]
fn where_the_other_forms_fail() {
    let naive_sigmoid = |x: f64| x.exp() / (1.0 + x.exp());
    let naive_slope = |x: f64| naive_sigmoid(x) * (1.0 - naive_sigmoid(x));
    let naive_softplus = |x: f64| (1.0 + x.exp()).ln();
    // What the notes say of the forms that are not used.
    assert!(naive_sigmoid(745.0).is_nan());
    assert_eq!(naive_slope(40.0), 0.0);
    assert_eq!(naive_softplus(-40.0), 0.0);
    assert_eq!(naive_softplus(745.0), f64::INFINITY);
    // And of those that are, at the same points.
    assert_eq!(at::<f64>(|x| x.sigmoid(), 745.0), [1.0, 5e-324]);
    let [_, slope] = at::<f64>(|x| x.sigmoid(), 40.0);
    assert!(roundings::<f64>(slope, row_at(40.0)[2]) <= 4.0);
    let [value, _] = at::<f64>(|x| x.softplus(), -40.0);
    assert!(roundings::<f64>(value, row_at(-40.0)[5]) <= 4.0);
    assert_eq!(at::<f64>(|x| x.softplus(), 745.0), [745.0, 1.0]);
}

#[test]
fn of_second_order_are_finite_at_the_extremes() {
    for (name, f) in ALL {
        for x in TABLE.map(|row| row[0]) {
            let tape = Tape::new();
            let vx = tape.variable(ndarray::arr0(x));
            let slope = tape.differentiable_gradients(f(vx)).wrt(vx);
            let curvature = tape.gradients(slope).wrt(vx).sum();
            assert!(curvature.is_finite(), "{name}'' at {x} = {curvature}");
        }
    }
}

#[test]
fn where_the_formats_end() {
    let near = |found: f64, shown: f64, digit: f64| (found - shown).abs() <= 0.5001 * digit;
    // The largest arguments of e^x, the distance from 1 to the next number, and the smallest numbers.
    assert!(near(f64::MAX.ln(), 709.78, 0.01) && near(f64::from(f32::MAX).ln(), 88.72, 0.01));
    assert!(near(f64::EPSILON * 1e16, 2.2, 0.1) && near(f64::from(f32::EPSILON) * 1e7, 1.2, 0.1));
    assert!(
        near(f64::MIN_POSITIVE * 1e300 * 1e8, 2.2, 0.1)
            && near(f64::from_bits(1) * 1e300 * 1e24, 4.9, 0.1)
    );
    assert!((-745.0f64).exp() > 0.0 && (-746.0f64).exp() == 0.0);
    // From where the sigmoid and tanh are stored as 1.
    assert!(1.0 + (-36.8f64).exp() == 1.0 && 1.0 + (-36.7f64).exp() > 1.0);
    assert!(1.0 + (-16.7f32).exp() == 1.0 && 1.0 + (-16.6f32).exp() > 1.0);
    assert!(19.1f64.tanh() == 1.0 && 19.0f64.tanh() < 1.0);
    assert!(9.1f32.tanh() == 1.0 && 9.0f32.tanh() < 1.0);
}
