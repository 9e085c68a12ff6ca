//! A stack: each layer is trained on the codes of those below, and a classifier begins with its encoders.

use std::convert::Infallible;

use elbo::autodiff::Tape;
use elbo::autoencoders::{Classifier, Coding, Corruption, Stacked, StackedLayer};
use elbo::nn::Activation::Identity;
use elbo::nn::{Parameters, dense};
use ndarray::{Array1, Array2, Ix1, Ix2};

use crate::autoencoders::shared::sigmoid;
use crate::common::random::{matrix, random, rng};

/// σ(x Wᵀ + b) as written.
fn encoded(x: &Array2<f64>, w: &Array2<f64>, b: &Array1<f64>) -> Array2<f64> {
    (x.dot(&w.t()) + b).mapv(sigmoid)
}

#[test]
fn stacked_layers_see_the_codes_of_those_below() {
    let mut rng = rng(91);
    let sets: Vec<Array2<f64>> = [7, 3]
        .map(|n| matrix(&mut rng, [n, 5]).mapv(sigmoid))
        .into();
    let stacked = Stacked {
        widths: vec![4, 6, 2],
        corruption: Corruption::Masking { fraction: 0.25 },
    };
    let mut expected = sets.clone();
    let mut layers = Vec::new();
    // "Trained" weights, biases too, are whatever this returns.
    let train = |layer: StackedLayer<'_, f64>| -> Result<Parameters<f64>, Infallible> {
        assert_eq!(layer.index, layers.len());
        let structure = layer.model.autoencoder().structure();
        let width = [5, 4, 6][layer.index];
        assert_eq!(
            [structure.dimensions, structure.code],
            [width, stacked.widths[layer.index]]
        );
        assert_eq!(layer.model.corruption(), stacked.corruption);
        for (found, expected) in layer.sets.iter().zip(&expected) {
            assert_eq!(found.dim(), expected.dim());
            assert!((found - expected).iter().all(|e| e.abs() < 1e-14));
        }
        let mut trained = layer.parameters.clone();
        let mut draw = |name: &str| {
            let shape = layer.parameters.get(name).unwrap().shape().to_vec();
            let value = random(&mut rng, &shape);
            trained.set(name, value.clone()).unwrap();
            value
        };
        let w = draw("encoder.0.weight")
            .into_dimensionality::<Ix2>()
            .unwrap();
        let b = draw("encoder.0.bias").into_dimensionality::<Ix1>().unwrap();
        expected = expected.iter().map(|x| encoded(x, &w, &b)).collect();
        layers.push((w, b));
        Ok(trained)
    };
    let encoders = stacked
        .pretrain(sets.clone(), &mut crate::common::random::rng(92), train)
        .unwrap();

    // The classifier's hidden layers are those of the stack, to the last bit; its own last layer stays as it was drawn.
    let mut parameters = Parameters::<f64>::new();
    let classifier = Classifier::new(
        &[5, 4, 6, 2, 3],
        &mut parameters,
        &mut crate::common::random::rng(93),
    );
    let fresh = parameters.clone();
    encoders.initialise(&mut parameters);
    for (i, (w, b)) in layers.iter().enumerate() {
        let part = |kind: &str| {
            parameters
                .get(&format!("classifier.{}.{kind}", 2 * i))
                .unwrap()
        };
        assert!(part("weight") == w.clone().into_dyn() && part("bias") == b.clone().into_dyn());
    }
    let last = ["classifier.6.weight", "classifier.6.bias"];
    assert!(
        last.iter()
            .all(|name| parameters.get(name) == fresh.get(name))
    );
    let tape = Tape::new();
    let p = parameters.bind_constant(&tape);
    let logits = classifier.logits(&p, tape.constant(sets[0].clone()));
    let [w, b] = last.map(|name| tape.constant(parameters.get(name).unwrap().clone()));
    let by_hand = dense(tape.constant(expected[0].clone()), w, b, Identity);
    assert!((logits - by_hand).value().iter().all(|e| e.abs() < 1e-13));
}

#[test]
fn a_layer_that_fails_ends_the_pretraining() {
    let stacked = Stacked {
        widths: vec![4, 6],
        corruption: Corruption::Masking { fraction: 0.0 },
    };
    let sets = vec![Array2::<f64>::zeros((3, 5))];
    let mut asked = 0;
    let failed = stacked.pretrain(sets, &mut rng(94), |_| {
        asked += 1;
        Err::<Parameters<f64>, _>("diverged")
    });
    assert!(failed.is_err_and(|error| error == "diverged") && asked == 1);
}

#[test]
fn the_loss_of_a_classifier_by_hand() {
    use elbo::nn::{Batch, Model, Step};
    let mut parameters = Parameters::<f64>::new();
    let classifier = Classifier::new(&[2, 3], &mut parameters, &mut rng(95));
    let w = Array2::from_shape_vec((3, 2), vec![1.0, 0.0, 0.0, 2.0, -1.0, 0.5]).unwrap();
    parameters.set("classifier.0.weight", w).unwrap();
    let data = Array2::from_shape_vec((2, 2), vec![1.0, 0.0, 0.0, 1.0]).unwrap();
    // Logits (1, 0, -1) and (0, 2, 0.5): both choose right for labels 0 and 1, one does for 2 and 1.
    assert_eq!(classifier.classify(&parameters, data.view()), [0, 1]);
    let tape = Tape::new();
    let p = parameters.bind_constant(&tape);
    for (labels, wrong) in [([0usize, 1], 0.0), ([2, 1], 0.5)] {
        let batch = Batch {
            data: tape.constant(data.clone()),
            factors: Some(Array2::from_shape_vec((2, 1), labels.to_vec()).unwrap()),
        };
        let objective = classifier.objective(&p, &batch, &mut Step::evaluation(&mut rng(96)));
        let logits = [[1.0f64, 0.0, -1.0], [0.0, 2.0, 0.5]];
        let nats = |i: usize| {
            let total: f64 = logits[i].iter().map(|a| a.exp()).sum();
            total.ln() - logits[i][labels[i]]
        };
        let expected = 0.5 * (nats(0) + nats(1));
        assert!((objective.loss.item() - expected).abs() < 1e-14);
        assert_eq!(objective.terms[0].1.item(), wrong);
    }
}
