//! Networks of dense layers.

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::nn::{Activation, Bound};
use ndarray::{ArrayD, IxDyn};

use crate::common::panics::panic_message;
use crate::common::random::{random, rng};
use crate::nn::shared::{Layer, assert_close, naive, network};

#[test]
fn names_and_shapes_are_those_of_a_pytorch_sequential() {
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
fn activates_every_layer_but_the_last() {
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
fn passes_the_gradient_check_for_every_parameter() {
    let (parameters, net) = network(&[3, 4, 2], Activation::Tanh);
    let mut inputs: Vec<ArrayD<f64>> = parameters.iter().map(|(_, v)| v.to_owned()).collect();
    inputs.push(random(&mut rng(23), &[3, 3]));
    Check::new("mlp")
        .run(&inputs, |v| net.forward(&Bound::from_vars(&v[..4]), v[4]))
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn refuses_widths_that_make_no_network() {
    assert!(panic_message(|| drop(network(&[3], Activation::Relu))).contains("[3]"));
    assert!(panic_message(|| drop(network(&[], Activation::Relu))).contains("[]"));
    let empty = panic_message(|| drop(network(&[3, 0, 2], Activation::Relu)));
    assert!(empty.contains("found 3 and 0"), "{empty}");
}
