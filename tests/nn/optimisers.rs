//! Adam and gradient descent against hand traces, and what they do to parameters in memory.

use elbo::autodiff::Tape;
use elbo::nn::{Activation, Adam, ParameterGradients, Parameters, Sgd};
use ndarray::{Array1, Array2, ArrayD, arr1, arr2};

use crate::common::panics::panic_message;
use crate::common::random::{random, rng};
use crate::nn::shared::{gradients_of, network, three_gradients, two_parameters};

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
    let transposed = |x: &Array2<f64>| x.t().as_standard_layout().into_owned().reversed_axes();
    let mut parameters = Parameters::new();
    parameters.add("x", transposed(&start));
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
fn pair_entries_whatever_the_layout() {
    let (mut adam, mut sgd) = (Adam::new(0.1), Sgd::with_momentum(0.01, 0.9));
    step_transposed(&mut |p, g| adam.step(p, g));
    step_transposed(&mut |p, g| sgd.step(p, g));
}

#[test]
fn refuse_gradients_and_state_of_other_parameters() {
    let gradients = |parameters: &Parameters<f64>| {
        let given: Vec<ArrayD<f64>> = parameters.iter().map(|(_, v)| v.to_owned()).collect();
        gradients_of(parameters, &given)
    };
    let (mut parameters, mut wider) = (two_parameters(), Parameters::new());
    wider.add("a", Array2::<f64>::ones((3, 4)));
    wider.add("b", Array1::<f64>::ones(2));
    let foreign = gradients(&wider);
    let text = panic_message(|| Adam::new(0.1).step(&mut parameters, &foreign));
    assert!(text.contains("[2, 3]") && text.contains("[3, 4]"), "{text}");
    // State of another set of as many parameters: steps must not be cut to the shorter of the two.
    let own = gradients(&parameters);
    let (mut adam, mut sgd) = (Adam::new(0.1), Sgd::new(0.1));
    adam.step(&mut parameters, &own);
    sgd.step(&mut parameters, &own);
    assert!(panic_message(|| adam.step(&mut wider, &foreign)).contains("one set of parameters"));
    assert!(panic_message(|| sgd.step(&mut wider, &foreign)).contains("one set of parameters"));
    parameters.add("late", arr1(&[1.0]));
    let late = gradients(&parameters);
    assert!(panic_message(|| adam.step(&mut parameters, &late)).contains("one set of parameters"));
}

#[test]
fn write_where_the_parameters_are() {
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
fn do_not_write_into_a_copy() {
    let mut parameters = two_parameters();
    let checkpoint = parameters.clone();
    let gradients = gradients_of(&parameters, &three_gradients()[0]);
    Adam::new(0.1).step(&mut parameters, &gradients);
    assert_eq!(checkpoint, two_parameters());
    assert_ne!(parameters, checkpoint);
}
