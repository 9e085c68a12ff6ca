//! Dense layers, networks, initialisation, parameters and optimisers, against plain loops and hand traces.

use std::panic::{AssertUnwindSafe, catch_unwind};

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Value, Var};
use elbo::nn::{
    Activation, Adam, Bound, Initialisation, Mismatch, Mlp, ParameterGradients, Parameters, Sgd,
    dense,
};
use ndarray::{Array1, Array2, ArrayD, Axis, IxDyn, Slice, arr1, arr2, array};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn random(rng: &mut StdRng, shape: &[usize]) -> ArrayD<f64> {
    ArrayD::from_shape_simple_fn(IxDyn(shape), || rng.random_range(-2.0..2.0))
}

/// The same entries, last axis slowest, every axis backwards and every second entry skipped.
fn scattered(x: &ArrayD<f64>) -> Value<f64> {
    let wide: Vec<usize> = x.shape().iter().rev().map(|n| 2 * n).collect();
    let mut copy = ArrayD::from_elem(wide, f64::NAN).reversed_axes();
    for axis in 0..x.ndim() {
        copy.slice_axis_inplace(Axis(axis), Slice::new(0, None, -2));
    }
    copy.assign(x);
    copy.into_shared()
}

fn assert_close(what: &str, found: &ArrayD<f64>, expected: &ArrayD<f64>) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    let scale = expected.iter().fold(0.0, |s: f64, x| s.max(x.abs()));
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= 1e-12 * scale, "{what}: {f} and {e}");
    }
}

/// What a panic says.
fn complaint(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("it should panic");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().expect("a text").to_string(),
    }
}

/// Leading axes, inputs, outputs.
const SHAPES: [(&[usize], usize, usize); 7] = [
    (&[4], 3, 2),
    (&[1], 5, 3),
    (&[6], 1, 4),
    (&[3], 4, 1),
    (&[2, 3], 4, 5),
    (&[3, 1, 2], 2, 3),
    (&[], 3, 4),
];

struct Layer {
    x: ArrayD<f64>,
    weight: ArrayD<f64>,
    bias: ArrayD<f64>,
}

impl Layer {
    fn random(rng: &mut StdRng, (leading, inputs, outputs): (&[usize], usize, usize)) -> Self {
        Self {
            x: random(rng, &[leading, &[inputs]].concat()),
            weight: random(rng, &[outputs, inputs]),
            bias: random(rng, &[outputs]),
        }
    }

    fn inputs(&self) -> [ArrayD<f64>; 3] {
        [self.x.clone(), self.weight.clone(), self.bias.clone()]
    }

    fn output_shape(&self) -> Vec<usize> {
        let mut shape = self.x.shape().to_vec();
        *shape.last_mut().unwrap() = self.bias.len();
        shape
    }
}

/// f and f', written out once more.
fn by_hand(activation: Activation, a: f64) -> (f64, f64) {
    let sigmoid = 1.0 / (1.0 + (-a).exp());
    match activation {
        Activation::Identity => (a, 1.0),
        Activation::Relu => (a.max(0.0), if a > 0.0 { 1.0 } else { 0.0 }),
        Activation::Tanh => (a.tanh(), 1.0 / a.cosh().powi(2)),
        Activation::Sigmoid => (sigmoid, sigmoid * (1.0 - sigmoid)),
        Activation::Softplus => ((1.0 + a.exp()).ln(), sigmoid),
    }
}

/// y, x̄, W̄ and b̄ by loops over single numbers.
fn naive(layer: &Layer, activation: Activation, cotangent: &ArrayD<f64>) -> [ArrayD<f64>; 4] {
    let (outputs, inputs) = (layer.weight.shape()[0], layer.weight.shape()[1]);
    let rows = layer.x.len() / inputs;
    let x: Vec<f64> = layer.x.iter().copied().collect();
    let c: Vec<f64> = cotangent.iter().copied().collect();
    let mut y = vec![0.0; rows * outputs];
    let mut x_bar = vec![0.0; rows * inputs];
    let mut w_bar = ArrayD::zeros(layer.weight.raw_dim());
    let mut b_bar = ArrayD::zeros(layer.bias.raw_dim());
    for r in 0..rows {
        for o in 0..outputs {
            let mut a = layer.bias[[o]];
            for i in 0..inputs {
                a += layer.weight[[o, i]] * x[r * inputs + i];
            }
            let (value, slope) = by_hand(activation, a);
            y[r * outputs + o] = value;
            let a_bar = c[r * outputs + o] * slope;
            b_bar[[o]] += a_bar;
            for i in 0..inputs {
                w_bar[[o, i]] += a_bar * x[r * inputs + i];
                x_bar[r * inputs + i] += a_bar * layer.weight[[o, i]];
            }
        }
    }
    let y = ArrayD::from_shape_vec(layer.output_shape(), y).unwrap();
    let x_bar = ArrayD::from_shape_vec(layer.x.raw_dim(), x_bar).unwrap();
    [y, x_bar, w_bar, b_bar]
}

type Build = for<'t> fn(&[Var<'t, f64>], Activation) -> Var<'t, f64>;

fn fused<'t>(v: &[Var<'t, f64>], activation: Activation) -> Var<'t, f64> {
    dense(v[0], v[1], v[2], activation)
}

fn composed<'t>(v: &[Var<'t, f64>], activation: Activation) -> Var<'t, f64> {
    activation.apply(v[0].matmul(v[1].t()) + v[2])
}

fn on_tape(
    build: Build,
    inputs: [Value<f64>; 3],
    activation: Activation,
    cotangent: &ArrayD<f64>,
) -> [ArrayD<f64>; 4] {
    let tape = Tape::new();
    let v = inputs.map(|x| tape.variable(x));
    let y = build(&v, activation);
    let gradients = tape.pull_back(y, cotangent.clone(), &[]);
    let wrt = |i: usize| gradients.wrt(v[i]).into_owned();
    [y.value().into_owned(), wrt(0), wrt(1), wrt(2)]
}

#[test]
fn dense_is_the_loop_and_the_composition_in_value_and_gradients() {
    let mut rng = rng(11);
    for shapes in SHAPES {
        for activation in Activation::ALL {
            let layer = Layer::random(&mut rng, shapes);
            let cotangent = random(&mut rng, &layer.output_shape());
            let expected = naive(&layer, activation, &cotangent);
            let plain = || layer.inputs().map(|x| x.into_shared());
            let strange = || layer.inputs().map(|x| scattered(&x));
            for (way, found) in [
                ("fused", on_tape(fused, plain(), activation, &cotangent)),
                (
                    "composed",
                    on_tape(composed, plain(), activation, &cotangent),
                ),
                (
                    "fused, strided",
                    on_tape(fused, strange(), activation, &cotangent),
                ),
            ] {
                for (part, (f, e)) in found.iter().zip(&expected).enumerate() {
                    let what = format!("{way} {activation} {shapes:?} part {part}");
                    assert_close(&what, f, e);
                }
            }
        }
    }
}

#[test]
fn dense_reads_transposed_data_and_weights_in_place() {
    let mut rng = rng(12);
    let layer = Layer::random(&mut rng, (&[5], 3, 4));
    let cotangent = random(&mut rng, &[5, 4]);
    let turned = |x: &ArrayD<f64>| {
        let stored = x.t().as_standard_layout().into_owned();
        stored.reversed_axes().into_shared()
    };
    let inputs = [turned(&layer.x), turned(&layer.weight), turned(&layer.bias)];
    assert!(!inputs[0].is_standard_layout() && !inputs[1].is_standard_layout());
    let found = on_tape(fused, inputs, Activation::Tanh, &cotangent);
    let expected = naive(&layer, Activation::Tanh, &cotangent);
    for (f, e) in found.iter().zip(&expected) {
        assert_close("transposed", f, e);
    }
}

#[test]
fn dense_passes_the_gradient_check_at_both_orders() {
    let mut rng = rng(13);
    for shapes in [SHAPES[0], SHAPES[2], SHAPES[5], SHAPES[6]] {
        for activation in Activation::ALL {
            let layer = Layer::random(&mut rng, shapes);
            let slug = format!("dense {activation} {shapes:?}");
            let check = Check::new(&slug);
            check
                .run(&layer.inputs(), |v| dense(v[0], v[1], v[2], activation))
                .unwrap_or_else(|e| panic!("{e}"));
            check
                .run_second_order(&layer.inputs(), |v| dense(v[0], v[1], v[2], activation))
                .unwrap_or_else(|e| panic!("second order: {e}"));
        }
    }
}

#[test]
fn dense_of_no_rows_has_no_rows_and_zero_gradients() {
    let tape = Tape::new();
    let x = tape.variable(Array2::<f64>::zeros((0, 3)));
    let weight = tape.variable(Array2::<f64>::ones((2, 3)));
    let bias = tape.variable(Array1::<f64>::ones(2));
    let y = dense(x, weight, bias, Activation::Relu);
    assert_eq!(y.shape(), [0, 2]);
    let gradients = tape.gradients(y.sum());
    assert_eq!(
        gradients.wrt(weight),
        Array2::<f64>::zeros((2, 3)).into_dyn()
    );
    assert_eq!(gradients.wrt(bias), Array1::<f64>::zeros(2).into_dyn());
}

#[test]
fn dense_activations_keep_a_nan() {
    // A unit whose weights are broken must not look like one that is off.
    for activation in Activation::ALL {
        let tape = Tape::new();
        let x = tape.constant(arr2(&[[1.0, 2.0]]));
        let weight = tape.constant(arr2(&[[f64::NAN, 1.0], [1.0, 1.0]]));
        let bias = tape.constant(arr1(&[0.0, 0.0]));
        let fused = dense(x, weight, bias, activation).value();
        assert!(fused[[0, 0]].is_nan(), "{activation} hides a NaN");
        assert!(!fused[[0, 1]].is_nan());
        let applied = activation.apply(tape.constant(arr1(&[f64::NAN, 1.0])));
        assert!(applied.value()[[0]].is_nan(), "{activation} hides a NaN");
    }
}

#[test]
fn dense_names_itself_and_every_shape_when_they_do_not_fit() {
    let attempt = |x: &[usize], w: &[usize], b: &[usize]| {
        complaint(|| {
            let tape = Tape::<f64>::new();
            let [x, w, b] = [x, w, b].map(|shape| tape.constant(ArrayD::zeros(shape)));
            dense(x, w, b, Activation::Relu);
        })
    };
    assert_eq!(
        attempt(&[4, 3], &[2, 5], &[2]),
        "dense: shapes [4, 3] (data), [2, 5] (weight) and [2] (bias) do not fit"
    );
    // The weight the wrong way round, a bias to be broadcast, a stack of weights, no data axis.
    for (x, w, b) in [
        (&[4, 3][..], &[3, 2][..], &[2][..]),
        (&[4, 3], &[2, 3], &[1]),
        (&[4, 3], &[2, 3], &[1, 2]),
        (&[4, 3], &[7, 2, 3], &[2]),
        (&[], &[2, 3], &[2]),
    ] {
        let text = attempt(x, w, b);
        assert!(text.starts_with("dense: "), "{text}");
        for shape in [x, w, b] {
            assert!(text.contains(&format!("{shape:?}")), "{text}");
        }
    }
}

#[test]
fn activations_are_read_by_the_names_they_are_written_with() {
    for activation in Activation::ALL {
        assert_eq!(activation.to_string().parse(), Ok(activation));
    }
    let error = "swish".parse::<Activation>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected an activation (identity, relu, tanh, sigmoid, softplus), found `swish`"
    );
}

fn network(widths: &[usize], activation: Activation) -> (Parameters<f64>, Mlp) {
    let mut parameters = Parameters::new();
    let net = Mlp::new(
        &mut parameters,
        "encoder",
        widths,
        activation,
        Initialisation::Glorot,
        &mut rng(21),
    );
    (parameters, net)
}

#[test]
fn mlp_names_and_shapes_are_those_of_a_pytorch_sequential() {
    let (parameters, _) = network(&[5, 4, 3, 2], Activation::Relu);
    let found: Vec<(&str, &[usize])> = parameters
        .iter()
        .map(|(name, value)| (name, value.shape()))
        .collect();
    let expected: [(&str, &[usize]); 6] = [
        ("encoder.0.weight", &[4, 5]),
        ("encoder.0.bias", &[4]),
        ("encoder.2.weight", &[3, 4]),
        ("encoder.2.bias", &[3]),
        ("encoder.4.weight", &[2, 3]),
        ("encoder.4.bias", &[2]),
    ];
    assert_eq!(found, expected);
    assert_eq!(parameters.count(), 20 + 4 + 12 + 3 + 6 + 2);
    for name in ["encoder.0.bias", "encoder.2.bias", "encoder.4.bias"] {
        assert!(parameters.get(name).unwrap().iter().all(|&b| b == 0.0));
    }
}

#[test]
fn mlp_activates_every_layer_but_the_last() {
    for activation in Activation::ALL {
        let (mut parameters, net) = network(&[3, 4, 5, 2], activation);
        let mut rng = rng(22);
        for (name, width) in [
            ("encoder.0.bias", 4),
            ("encoder.2.bias", 5),
            ("encoder.4.bias", 2),
        ] {
            parameters.set(name, random(&mut rng, &[width])).unwrap();
        }
        let x = random(&mut rng, &[2, 3, 3]);
        let tape = Tape::new();
        let y = net.forward(&parameters.bind(&tape), tape.constant(x.clone()));
        let mut layer = Layer {
            x,
            weight: ArrayD::zeros(IxDyn(&[])),
            bias: ArrayD::zeros(IxDyn(&[])),
        };
        for (place, last) in [(0, false), (2, false), (4, true)] {
            let part = |what: &str| parameters.get(&format!("encoder.{place}.{what}")).unwrap();
            layer.weight = part("weight").to_owned();
            layer.bias = part("bias").to_owned();
            let activation = if last {
                Activation::Identity
            } else {
                activation
            };
            let cotangent = ArrayD::zeros(layer.output_shape());
            [layer.x, ..] = naive(&layer, activation, &cotangent);
        }
        assert_close("forward", &y.value().into_owned(), &layer.x);
    }
}

#[test]
fn mlp_passes_the_gradient_check_for_every_parameter() {
    let (parameters, net) = network(&[3, 4, 2], Activation::Tanh);
    let mut inputs: Vec<ArrayD<f64>> = parameters.iter().map(|(_, v)| v.to_owned()).collect();
    inputs.push(random(&mut rng(23), &[3, 3]));
    Check::new("mlp")
        .run(&inputs, |v| net.forward(&Bound::from_vars(&v[..4]), v[4]))
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn mlp_refuses_widths_that_make_no_network() {
    assert!(complaint(|| drop(network(&[3], Activation::Relu))).contains("[3]"));
    assert!(complaint(|| drop(network(&[], Activation::Relu))).contains("[]"));
    let empty = complaint(|| drop(network(&[3, 0, 2], Activation::Relu)));
    assert!(empty.contains("found 3 and 0"), "{empty}");
}

/// Mean, variance, and the part of the draws within one deviation of 0.
fn statistics(weights: &Array2<f64>) -> [f64; 3] {
    let n = weights.len() as f64;
    let mean = weights.sum() / n;
    let variance = weights.mapv(|w| (w - mean).powi(2)).sum() / n;
    let inside = weights.iter().filter(|w| w.abs() < variance.sqrt()).count();
    [mean, variance, inside as f64 / n]
}

/// Each within four standard errors; `kurtosis` is E w⁴/σ⁴, which gives the error of a variance.
fn assert_statistics(weights: &Array2<f64>, variance: f64, kurtosis: f64, inside: f64) {
    let n = weights.len() as f64;
    let [m, v, i] = statistics(weights);
    assert!(m.abs() < 4.0 * (variance / n).sqrt(), "mean {m}");
    let error = variance * ((kurtosis - 1.0) / n).sqrt();
    assert!(
        (v - variance).abs() < 4.0 * error,
        "variance {v}, not {variance}"
    );
    let error = (inside * (1.0 - inside) / n).sqrt();
    assert!((i - inside).abs() < 4.0 * error, "inside {i}, not {inside}");
}

#[test]
fn initialisation_glorot_is_uniform_with_variance_two_by_the_sum_of_the_widths() {
    let (outputs, inputs) = (500, 260);
    let weights = Initialisation::Glorot.draw::<f64>(outputs, inputs, &mut rng(31));
    assert_eq!(weights.dim(), (outputs, inputs));
    let bound = (6.0f64 / 760.0).sqrt();
    let largest = weights.iter().fold(0.0, |m: f64, w| m.max(w.abs()));
    assert!(largest <= bound && largest > 0.9999 * bound);
    // A uniform variable: E w⁴ = 9/5 σ⁴, and within ±σ lies 1/√3 of it.
    assert_statistics(&weights, 2.0 / 760.0, 1.8, 1.0 / 3f64.sqrt());
}

#[test]
fn initialisation_he_is_normal_with_variance_two_by_the_inputs() {
    let (outputs, inputs) = (500, 260);
    let weights = Initialisation::He.draw::<f64>(outputs, inputs, &mut rng(32));
    assert_eq!(weights.dim(), (outputs, inputs));
    assert_statistics(&weights, 2.0 / 260.0, 3.0, 0.682_689_492_137_086);
}

#[test]
fn initialisation_he_keeps_the_second_moment_through_relu_layers() {
    // What its 2 is for: E y² after ReLU and the next layer is again that of before.
    let mut rng = rng(33);
    let x = random(&mut rng, &[300, 400]);
    let tape = Tape::new();
    let mut h = tape.constant(x);
    let zeros = tape.constant(Array1::<f64>::zeros(400));
    let mut moments = Vec::new();
    for _ in 0..3 {
        let weight = tape.constant(Initialisation::He.draw::<f64>(400, 400, &mut rng));
        let a = dense(h, weight, zeros, Activation::Identity);
        moments.push(a.square().mean().item());
        h = a.relu();
    }
    // The moment is random through the 160 000 weights; a factor 2 forgotten would make it a half.
    for pair in moments.windows(2) {
        assert!((pair[1] / pair[0] - 1.0).abs() < 0.15, "{moments:?}");
    }
}

#[test]
fn initialisation_is_the_seeds_and_the_same_in_both_precisions() {
    for kind in [Initialisation::Glorot, Initialisation::He] {
        let double = kind.draw::<f64>(7, 5, &mut rng(34));
        assert_eq!(double, kind.draw::<f64>(7, 5, &mut rng(34)));
        assert_ne!(double, kind.draw::<f64>(7, 5, &mut rng(35)));
        let single = kind.draw::<f32>(7, 5, &mut rng(34));
        assert_eq!(single, double.mapv(|w| w as f32));
    }
}

/// The gradients of a loss Σ g ⊙ θ, which are exactly g.
fn gradients_of(parameters: &Parameters<f64>, given: &[ArrayD<f64>]) -> ParameterGradients<f64> {
    let mut tape = Tape::new();
    let (_, gradients) = parameters.value_and_gradients(&mut tape, |p| {
        let terms = p.vars().iter().zip(given);
        let loss = terms
            .map(|(&var, g)| (var * p.tape().constant(g.clone())).sum())
            .reduce(|a, b| a + b)
            .expect("a parameter");
        (loss, ())
    });
    for (found, given) in gradients.values().iter().zip(given) {
        assert_eq!(found, given);
    }
    gradients
}

fn two_parameters() -> Parameters<f64> {
    let mut parameters = Parameters::new();
    parameters.add("a", arr2(&[[0.5, -1.5, 2.0], [1.0, 0.25, -0.75]]));
    parameters.add("b", arr1(&[3.0, -0.1]));
    parameters
}

/// Three steps' gradients for [`two_parameters`], of very different sizes.
fn three_gradients() -> Vec<[ArrayD<f64>; 2]> {
    [1.0, 1e-3, 40.0]
        .into_iter()
        .zip(41..)
        .map(|(scale, seed)| {
            let mut rng = rng(seed);
            [random(&mut rng, &[2, 3]), random(&mut rng, &[2])].map(|g| g * scale)
        })
        .collect()
}

/// Algorithm 1 of the paper for one number, line by line.
struct PaperAdam {
    m: f64,
    v: f64,
    t: i32,
}

impl PaperAdam {
    fn step(&mut self, theta: f64, g: f64, [alpha, beta1, beta2, epsilon]: [f64; 4]) -> f64 {
        self.t += 1;
        self.m = beta1 * self.m + (1.0 - beta1) * g;
        self.v = beta2 * self.v + (1.0 - beta2) * g * g;
        let m_hat = self.m / (1.0 - beta1.powi(self.t));
        let v_hat = self.v / (1.0 - beta2.powi(self.t));
        theta - alpha * m_hat / (v_hat.sqrt() + epsilon)
    }
}

fn follows_the_paper(mut adam: Adam<f64>, settings: [f64; 4]) {
    let mut parameters = two_parameters();
    let mut expected: Vec<Vec<(f64, PaperAdam)>> = parameters
        .iter()
        .map(|(_, value)| {
            let start = |&theta: &f64| {
                (
                    theta,
                    PaperAdam {
                        m: 0.0,
                        v: 0.0,
                        t: 0,
                    },
                )
            };
            value.iter().map(start).collect()
        })
        .collect();
    for given in three_gradients() {
        let gradients = gradients_of(&parameters, &given);
        adam.step(&mut parameters, &gradients);
        for (((_, value), g), expected) in parameters.iter().zip(&given).zip(&mut expected) {
            for ((&found, &g), (theta, paper)) in value.iter().zip(g).zip(expected) {
                *theta = paper.step(*theta, g, settings);
                assert!((found - *theta).abs() < 1e-15 + 1e-14 * theta.abs());
            }
        }
    }
}

#[test]
fn adam_follows_algorithm_1_of_the_paper() {
    follows_the_paper(Adam::new(0.03), [0.03, 0.9, 0.999, 1e-8]);
    let other = [0.2, 0.7, 0.95, 0.1];
    follows_the_paper(Adam::with(other[0], other[1], other[2], other[3]), other);
}

#[test]
fn adam_steps_by_the_rate_where_the_gradient_is_constant() {
    // m̂ = g and v̂ = g² at every t: without the corrections the first step would be 0.1/√0.001 = 3.2 times that.
    for g in [1e-9, -1e-6, 0.3, -1.0, 7e5] {
        let mut parameters = Parameters::new();
        parameters.add("x", arr1(&[0.0]));
        let mut adam = Adam::new(1e-3);
        for t in 1..=200 {
            parameters.set("x", arr1(&[0.0])).unwrap();
            let gradients = gradients_of(&parameters, &[arr1(&[g]).into_dyn()]);
            adam.step(&mut parameters, &gradients);
            let (step, expected) = (
                parameters.get("x").unwrap()[[0]],
                -1e-3 * g / (g.abs() + 1e-8),
            );
            assert!(
                (step / expected - 1.0).abs() < 1e-12,
                "g = {g}, t = {t}: {step}, not {expected}"
            );
        }
    }
}

#[test]
fn adam_leaves_alone_what_has_no_gradient() {
    let mut parameters = two_parameters();
    let before = parameters.clone();
    let zeros = [ArrayD::zeros(vec![2, 3]), ArrayD::zeros(vec![2])];
    let gradients = gradients_of(&parameters, &zeros);
    Adam::new(0.1).step(&mut parameters, &gradients);
    assert_eq!(parameters, before);
}

#[test]
fn adam_in_single_precision_is_the_double_one_rounded() {
    let (mut single, mut double) = (Parameters::<f32>::new(), Parameters::<f64>::new());
    single.add("x", arr1(&[1.0f32, -2.0, 0.5]));
    double.add("x", arr1(&[1.0, -2.0, 0.5]));
    let (mut adam32, mut adam64) = (Adam::new(0.01), Adam::new(0.01));
    let (mut tape32, mut tape64) = (Tape::new(), Tape::new());
    for _ in 0..100 {
        let (_, g) = single.value_and_gradients(&mut tape32, |p| (p.vars()[0].square().sum(), ()));
        adam32.step(&mut single, &g);
        let (_, g) = double.value_and_gradients(&mut tape64, |p| (p.vars()[0].square().sum(), ()));
        adam64.step(&mut double, &g);
    }
    let (single, double) = (single.get("x").unwrap(), double.get("x").unwrap());
    for (&s, &d) in single.iter().zip(double) {
        assert!((f64::from(s) - d).abs() < 1e-5, "{s} and {d}");
    }
}

fn sgd_by_hand(rate: f64, momentum: f64) -> Vec<Vec<f64>> {
    let parameters = two_parameters();
    let mut theta: Vec<Vec<f64>> = parameters
        .iter()
        .map(|(_, value)| value.iter().copied().collect())
        .collect();
    let mut velocity: Vec<Vec<f64>> = theta.iter().map(|x| vec![0.0; x.len()]).collect();
    for given in three_gradients() {
        for ((theta, velocity), g) in theta.iter_mut().zip(&mut velocity).zip(&given) {
            for ((x, v), &g) in theta.iter_mut().zip(velocity).zip(g) {
                *v = momentum * *v + g;
                *x -= rate * *v;
            }
        }
    }
    theta
}

#[test]
fn sgd_with_and_without_momentum_is_the_hand_trace() {
    let plain = (Sgd::new(0.1), sgd_by_hand(0.1, 0.0));
    let heavy = (Sgd::with_momentum(0.05, 0.8), sgd_by_hand(0.05, 0.8));
    for (mut sgd, expected) in [plain, heavy] {
        let mut parameters = two_parameters();
        for given in three_gradients() {
            let gradients = gradients_of(&parameters, &given);
            sgd.step(&mut parameters, &gradients);
        }
        for ((_, value), expected) in parameters.iter().zip(&expected) {
            for (found, expected) in value.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-14);
            }
        }
    }
    // And one number by pencil: v = 1, then 0.5 + 1; x = 2 - 0.1 - 0.15.
    let mut parameters = Parameters::new();
    parameters.add("x", arr1(&[2.0]));
    let mut sgd = Sgd::with_momentum(0.1, 0.5);
    for _ in 0..2 {
        let gradients = gradients_of(&parameters, &[arr1(&[1.0]).into_dyn()]);
        sgd.step(&mut parameters, &gradients);
    }
    assert!((parameters.get("x").unwrap()[[0]] - 1.75).abs() < 1e-15);
}

/// θ and its gradient both lie transposed in memory.
fn step_transposed(step: &mut dyn FnMut(&mut Parameters<f64>, &ParameterGradients<f64>)) {
    let (start, pull) = (
        arr2(&[[0.5, -1.5, 2.0], [1.0, 0.25, -0.75]]),
        arr2(&[[1.0, -2.0, 3.0], [-4.0, 5.0, 6.0]]),
    );
    let turned = |x: &Array2<f64>| x.t().as_standard_layout().into_owned().reversed_axes();
    let mut parameters = Parameters::new();
    parameters.add("x", turned(&start));
    parameters.add("y", start.clone());
    assert!(!parameters.get("x").unwrap().is_standard_layout());
    for _ in 0..3 {
        let (_, gradients) = parameters.value_and_gradients(&mut Tape::new(), |p| {
            let tape = p.tape();
            let x = p.vars()[0].t() * tape.constant(pull.t().as_standard_layout().into_owned());
            let y = p.vars()[1] * tape.constant(pull.clone());
            (x.square().sum() + y.square().sum(), ())
        });
        assert!(!gradients.values()[0].is_standard_layout());
        step(&mut parameters, &gradients);
    }
    assert_ne!(parameters.get("y").unwrap(), &start.into_dyn());
    assert_eq!(parameters.get("x"), parameters.get("y"));
}

#[test]
fn optimisers_pair_entries_whatever_the_layout() {
    let (mut adam, mut sgd) = (Adam::new(0.1), Sgd::with_momentum(0.01, 0.9));
    step_transposed(&mut |p, g| adam.step(p, g));
    step_transposed(&mut |p, g| sgd.step(p, g));
}

#[test]
fn optimisers_refuse_gradients_and_state_of_other_parameters() {
    let gradients = |parameters: &Parameters<f64>| {
        let given: Vec<ArrayD<f64>> = parameters.iter().map(|(_, v)| v.to_owned()).collect();
        gradients_of(parameters, &given)
    };
    let (mut parameters, mut wider) = (two_parameters(), Parameters::new());
    wider.add("a", Array2::<f64>::ones((3, 4)));
    wider.add("b", Array1::<f64>::ones(2));
    let foreign = gradients(&wider);
    let text = complaint(|| Adam::new(0.1).step(&mut parameters, &foreign));
    assert!(text.contains("[2, 3]") && text.contains("[3, 4]"), "{text}");
    // State of another set of as many parameters: steps must not be cut to the shorter of the two.
    let own = gradients(&parameters);
    let (mut adam, mut sgd) = (Adam::new(0.1), Sgd::new(0.1));
    adam.step(&mut parameters, &own);
    sgd.step(&mut parameters, &own);
    assert!(complaint(|| adam.step(&mut wider, &foreign)).contains("one set of parameters"));
    assert!(complaint(|| sgd.step(&mut wider, &foreign)).contains("one set of parameters"));
    parameters.add("late", arr1(&[1.0]));
    let late = gradients(&parameters);
    assert!(complaint(|| adam.step(&mut parameters, &late)).contains("one set of parameters"));
}

#[test]
fn optimisers_write_where_the_parameters_are() {
    let (mut parameters, net) = network(&[6, 5, 3], Activation::Relu);
    let addresses = |p: &Parameters<f64>| -> Vec<*const f64> {
        p.iter().map(|(_, value)| value.as_ptr()).collect()
    };
    let before = addresses(&parameters);
    let x = random(&mut rng(51), &[4, 6]);
    let (mut tape, mut adam, mut sgd) = (Tape::new(), Adam::new(0.01), Sgd::new(0.01));
    for step in 0..6 {
        let (_, gradients) = parameters.value_and_gradients(&mut tape, |p| {
            let y = net.forward(p, p.tape().constant(x.clone()));
            (y.square().mean(), ())
        });
        if step % 2 == 0 {
            adam.step(&mut parameters, &gradients);
        } else {
            sgd.step(&mut parameters, &gradients);
        }
        assert_eq!(addresses(&parameters), before, "step {step} copied");
    }
}

#[test]
fn optimisers_do_not_write_into_a_copy() {
    let mut parameters = two_parameters();
    let checkpoint = parameters.clone();
    let gradients = gradients_of(&parameters, &three_gradients()[0]);
    Adam::new(0.1).step(&mut parameters, &gradients);
    assert_eq!(checkpoint, two_parameters());
    assert_ne!(parameters, checkpoint);
}

#[test]
fn parameters_keep_their_order_and_their_names_apart() {
    let mut parameters = two_parameters();
    assert!(!parameters.is_empty() && Parameters::<f64>::new().is_empty());
    assert_eq!((parameters.len(), parameters.count()), (2, 8));
    let late = parameters.add("A", array![[7.0]]);
    let names: Vec<&str> = parameters.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "A"]);
    assert_eq!(parameters.get("c"), None);
    let tape = Tape::new();
    let bound = parameters.bind(&tape);
    assert_eq!(bound[late].value(), array![[7.0]].into_dyn());
    assert_eq!(bound.vars().len(), 3);
    let text = complaint(|| {
        parameters.add("b", arr1(&[0.0]));
    });
    assert_eq!(text, "there is already a parameter `b`");
}

#[test]
fn parameters_are_set_by_name_and_shape_or_not_at_all() {
    let mut parameters = two_parameters();
    let unknown = parameters.set("c", arr1(&[1.0])).unwrap_err();
    assert_eq!(unknown, Mismatch::Unknown { name: "c".into() });
    assert_eq!(unknown.to_string(), "the model has no parameter `c`");
    let shape = parameters
        .set("a", Array2::<f64>::zeros((3, 2)))
        .unwrap_err();
    assert_eq!(
        shape.to_string(),
        "parameter `a`: expected shape [2, 3], found [3, 2]"
    );
    assert_eq!(parameters, two_parameters());
    parameters.set("b", arr1(&[8.0, 9.0])).unwrap();
    assert_eq!(parameters.get("b").unwrap(), &arr1(&[8.0, 9.0]).into_dyn());
}

#[test]
fn parameters_bound_as_constants_record_nothing() {
    let (parameters, net) = network(&[3, 4, 2], Activation::Tanh);
    let tape = Tape::new();
    let bound = parameters.bind_constant(&tape);
    let y = net.forward(&bound, tape.constant(random(&mut rng(52), &[5, 3])));
    assert!(bound.vars().iter().all(|var| !var.is_active()));
    assert!(!y.is_active());
    let bound = parameters.bind(&tape);
    let z = net.forward(&bound, tape.constant(random(&mut rng(52), &[5, 3])));
    assert!(z.is_active());
    assert_eq!(y.value(), z.value());
}

#[test]
fn parameters_give_the_tapes_gradients_and_leave_the_tape_empty() {
    let (parameters, net) = network(&[3, 4, 2], Activation::Softplus);
    let x = random(&mut rng(53), &[5, 3]);
    let other = Tape::new();
    let bound = parameters.bind(&other);
    let loss = net
        .forward(&bound, other.constant(x.clone()))
        .square()
        .sum();
    let expected = other.gradients(loss);
    let mut tape = Tape::new();
    for _ in 0..3 {
        let (told, gradients) = parameters.value_and_gradients(&mut tape, |p| {
            let loss = net.forward(p, p.tape().constant(x.clone())).square().sum();
            (loss, loss.item())
        });
        assert_eq!(told, loss.item());
        assert!(tape.is_empty());
        assert_eq!(gradients.values().len(), 4);
        for (found, &var) in gradients.values().iter().zip(bound.vars()) {
            assert_eq!(found, &expected.wrt(var));
        }
    }
}

#[test]
fn parameters_that_the_loss_does_not_see_have_zero_gradients() {
    let mut parameters = two_parameters();
    let unused = parameters.add("unused", arr1(&[1.0, 2.0]));
    let (_, gradients) =
        parameters.value_and_gradients(&mut Tape::new(), |p| (p.vars()[0].sum(), ()));
    assert_eq!(gradients[unused], arr1(&[0.0, 0.0]).into_dyn());
}
