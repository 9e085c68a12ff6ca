//! A classifier on codes, or on the data with layers in between.

use ndarray::{Array2, ArrayView2};
use rand::Rng;

use crate::Scalar;
use crate::autodiff::{Tape, Value, Var, array};
use crate::distributions::Categorical;
use crate::nn::{
    Activation, Batch, Bound, Initialisation, Mlp, Model, Objective, Parameters, Step,
};

/// p(y | x) = softmax(a) with logits a from dense sigmoid layers; without hidden layers it is softmax regression.
///
/// Layer i is named `classifier.<2i>`. The label of a datum is the first of its batch's factors.
#[derive(Clone, Debug)]
pub struct Classifier {
    network: Mlp,
    classes: usize,
}

impl Classifier {
    /// With fresh weights, drawn after Glorot, for `widths` from the data to the classes: at least two.
    ///
    /// # Panics
    /// If there are fewer, or one of them is 0.
    pub fn new<T: Scalar>(
        widths: &[usize],
        parameters: &mut Parameters<T>,
        rng: &mut impl Rng,
    ) -> Self {
        let network = Mlp::new(
            parameters,
            "classifier",
            widths,
            Activation::Sigmoid,
            Initialisation::Glorot,
            rng,
        );
        let classes = widths[widths.len() - 1];
        Self { network, classes }
    }

    /// The logits a, of shape (…, classes), for data of shape (…, first width).
    ///
    /// # Panics
    /// If the data have another width.
    pub fn logits<'t, T: Scalar>(&self, p: &Bound<'t, T>, x: Var<'t, T>) -> Var<'t, T> {
        self.network.forward(p, x)
    }

    /// The most likely class of each row of data, off the tape; of equally likely ones the first.
    ///
    /// # Panics
    /// If the data have another width.
    pub fn classify<T: Scalar>(
        &self,
        parameters: &Parameters<T>,
        data: ArrayView2<'_, T>,
    ) -> Vec<usize> {
        let tape = Tape::new();
        let p = parameters.bind_constant(&tape);
        most_likely(&self.logits(&p, tape.constant(data)).value())
    }
}

fn most_likely<T: Scalar>(logits: &Value<T>) -> Vec<usize> {
    let largest = |row: ndarray::ArrayView1<'_, T>| {
        (row.iter().enumerate()).fold(0, |best, (i, &a)| if a > row[best] { i } else { best })
    };
    let logits: Array2<T> = array(logits.clone());
    logits.rows().into_iter().map(largest).collect()
}

impl<T: Scalar> Model<T> for Classifier {
    /// The mean of -log p(y | x) in nats, and the share of data that are taken for another class.
    ///
    /// # Panics
    /// If the batch has no labels.
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        _: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let labels = batch.factors.as_ref().expect("a classifier needs labels");
        let labels = labels.column(0);
        let logits = self.logits(p, batch.data);
        let one_hot =
            Array2::from_shape_fn((labels.len(), self.classes), |(i, class)| {
                match labels[i] == class {
                    true => T::one(),
                    false => T::zero(),
                }
            });
        let loss = -Categorical { logits }
            .log_density(p.tape().constant(one_hot))
            .mean();
        let found = most_likely(&logits.value());
        let wrong = found.iter().zip(labels).filter(|(a, b)| a != b).count();
        let share = T::of(wrong as f64 / labels.len().max(1) as f64);
        Objective::new(loss, vec![("wrong", p.tape().scalar(share))])
    }
}
