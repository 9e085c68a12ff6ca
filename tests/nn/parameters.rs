//! Sets of named parameters.

use elbo::autodiff::{Tape, Value};
use elbo::nn::{Activation, Mismatch, Parameters};
use ndarray::{Array2, arr1, array};

use crate::common::panics::panic_message;
use crate::common::random::{random, rng};
use crate::nn::shared::{network, two_parameters};

#[test]
fn keep_their_order_and_their_names_apart() {
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
    let text = panic_message(|| {
        parameters.add("b", arr1(&[0.0]));
    });
    assert_eq!(text, "there is already a parameter `b`");
}

#[test]
fn are_set_by_name_and_shape_or_not_at_all() {
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
fn bound_as_constants_record_nothing() {
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
fn give_the_tapes_gradients_and_leave_the_tape_empty() {
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
        let (found_loss, gradients) = parameters.value_and_gradients(&mut tape, |p| {
            let loss = net.forward(p, p.tape().constant(x.clone())).square().sum();
            (loss, loss.item())
        });
        assert_eq!(found_loss, loss.item());
        assert!(tape.is_empty());
        assert_eq!(gradients.values().len(), 4);
        for (found, &var) in gradients.values().iter().zip(bound.vars()) {
            assert_eq!(found, &expected.wrt(var));
        }
    }
}

#[test]
fn that_the_loss_does_not_see_have_zero_gradients() {
    let mut parameters = two_parameters();
    let unused = parameters.add("unused", arr1(&[1.0, 2.0]));
    let (_, gradients) =
        parameters.value_and_gradients(&mut Tape::new(), |p| (p.vars()[0].sum(), ()));
    assert_eq!(gradients[unused], arr1(&[0.0, 0.0]).into_dyn());
}

#[test]
fn give_the_hessian_times_a_vector() {
    let (parameters, net) = network(&[3, 4, 2], Activation::Tanh);
    let x = random(&mut rng(54), &[5, 3]);
    let direction: Vec<Value<f64>> = parameters
        .iter()
        .map(|(_, value)| random(&mut rng(55), value.shape()).into())
        .collect();
    let gradients = |step: f64| {
        let mut moved = parameters.clone();
        for ((name, value), v) in parameters.iter().zip(&direction) {
            moved.set(name, value + &(v * step)).unwrap();
        }
        moved.value_and_gradients(&mut Tape::new(), |p| {
            let loss = net.forward(p, p.tape().constant(x.clone())).square().sum();
            (loss, ())
        })
    };
    let mut tape = Tape::new();
    let found = parameters.hessian_product(&mut tape, &direction, |p| {
        net.forward(p, p.tape().constant(x.clone())).square().sum()
    });
    assert!(tape.is_empty());
    // Central differences at h and h/2, extrapolated: the error is of order h⁴.
    let step = 1e-3;
    let difference = |step: f64, name: &str| {
        let [(_, ahead), (_, behind)] = [step, -step].map(gradients);
        (ahead.get(name).unwrap() - behind.get(name).unwrap()) / (2.0 * step)
    };
    for (name, product) in found.iter() {
        let expected = (difference(0.5 * step, name) * 4.0 - difference(step, name)) / 3.0;
        let scale = product.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        let error = (product - &expected)
            .iter()
            .fold(0.0, |m: f64, x| m.max(x.abs()));
        assert!(
            scale > 0.0 && error <= 1e-9 * scale,
            "{name}: {error:e} of {scale:e}"
        );
    }
}

#[test]
fn a_direction_of_another_shape_is_refused() {
    let (parameters, _) = network(&[3, 2], Activation::Tanh);
    let text = panic_message(|| {
        parameters.hessian_product(&mut Tape::new(), &[], |p| p.vars()[0].sum());
    });
    assert_eq!(
        text,
        "hessian_product: shapes [] (direction) and [[2, 3], [2]] (parameters) do not fit"
    );
}
