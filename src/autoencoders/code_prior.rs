//! What codes cost: a distribution of one of K codes at each of n positions ([notes](crate::autoencoders#vq-bound)).

use ndarray::{Array1, Array2, Array3, ArrayView2};
use rand::Rng;
use rand::rngs::StdRng;

use crate::Scalar;
use crate::autodiff::{Tape, Var, array};
use crate::distributions::Categorical;
use crate::nn::{Batch, Bound, Initialisation, Model, Objective, ParameterId, Parameters, Step};

/// -log p(k) = n log K, in nats, of n codes that are drawn uniformly from K.
pub fn uniform_cost(positions: usize, codes: usize) -> f64 {
    positions as f64 * (codes as f64).ln()
}

/// Codes that are independent of each other, with probabilities of their own at each position: the relative frequencies of
/// a set of codes, which is the distribution without dependence that has the least KL(codes ‖ ·).
#[derive(Clone, Debug, PartialEq)]
pub struct FactorisedPrior {
    log_probabilities: Array2<f64>,
}

impl FactorisedPrior {
    /// From codes of shape (N, n), counted from 0, each count larger by `added` than it is: with 0 a code that did not
    /// occur is impossible.
    ///
    /// # Panics
    /// If there is nothing to count, or a code is K or more.
    pub fn fit(codes: ArrayView2<'_, usize>, size: usize, added: f64) -> Self {
        let total = codes.nrows() as f64 + added * size as f64;
        assert!(total > 0.0, "expected codes to count, found none");
        let mut counts = Array2::from_elem((codes.ncols(), size), added);
        for row in codes.rows() {
            for (position, &code) in row.iter().enumerate() {
                counts[[position, code]] += 1.0;
            }
        }
        Self {
            log_probabilities: counts.mapv(|count| (count / total).ln()),
        }
    }

    /// log p(k) of each row of codes, in nats.
    ///
    /// # Panics
    /// If the rows have another length, or a code is K or more.
    pub fn log_probability(&self, codes: ArrayView2<'_, usize>) -> Array1<f64> {
        assert_eq!(codes.ncols(), self.log_probabilities.nrows(), "positions");
        let rows = codes.rows().into_iter();
        rows.map(|row| {
            let terms = row.iter().enumerate();
            terms
                .map(|(position, &code)| self.log_probabilities[[position, code]])
                .sum()
        })
        .collect()
    }
}

/// The widths of an [`AutoregressivePrior`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct PriorStructure {
    /// n, the codes of a datum.
    pub positions: usize,
    /// K, what each is one of.
    pub codes: usize,
    /// The numbers that stand for an earlier code.
    pub embedding: usize,
    /// The hidden units of each position.
    pub hidden: usize,
}

/// p(k) = Π p(kᵢ | k₁, …, kᵢ₋₁) from one masked network (Germain et al., *MADE*, 2015): the units of a position see the
/// embeddings of earlier positions, and the logits of kᵢ see the units of its own position.
#[derive(Clone, Debug)]
pub struct AutoregressivePrior {
    structure: PriorStructure,
    embedding: ParameterId,
    mixing: [ParameterId; 2],
    output: [ParameterId; 2],
}

impl AutoregressivePrior {
    /// Adds its weights to `parameters`; before training it is nearly uniform.
    ///
    /// # Panics
    /// If a width is 0.
    pub fn new<T: Scalar>(
        structure: PriorStructure,
        parameters: &mut Parameters<T>,
        name: &str,
        rng: &mut impl Rng,
    ) -> Self {
        let PriorStructure {
            positions,
            codes,
            embedding,
            hidden,
        } = structure;
        let mut draw = |rows: usize, columns: usize| -> Array2<T> {
            Initialisation::Glorot.draw(rows, columns, rng)
        };
        let table = draw(positions * codes, embedding);
        let mixing = draw(positions * hidden, positions * embedding);
        let output = draw(positions * hidden, codes);
        let output = output.into_shape_with_order((positions, hidden, codes));
        let output: Array3<T> = output.expect("as many entries");
        Self {
            structure,
            embedding: parameters.add(format!("{name}.embedding"), table),
            mixing: [
                parameters.add(format!("{name}.mixing.weight"), mixing),
                parameters.add(
                    format!("{name}.mixing.bias"),
                    Array1::zeros(positions * hidden),
                ),
            ],
            output: [
                parameters.add(format!("{name}.output.weight"), output),
                parameters.add(
                    format!("{name}.output.bias"),
                    Array3::zeros((positions, 1, codes)),
                ),
            ],
        }
    }

    /// What it is made of.
    pub fn structure(&self) -> &PriorStructure {
        &self.structure
    }

    /// p(kᵢ | k₁, …, kᵢ₋₁) at every position, for codes of shape (N, n): logits of shape (n, N, K).
    ///
    /// # Panics
    /// If there is another number of positions, or a code is K or more.
    pub fn conditionals<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        codes: ArrayView2<'_, usize>,
    ) -> Categorical<'t, T> {
        let PriorStructure {
            positions,
            codes: size,
            embedding,
            hidden,
        } = self.structure;
        assert_eq!(codes.ncols(), positions, "codes of a datum");
        let count = codes.nrows();
        let rows = codes.indexed_iter().map(|((_, position), &code)| {
            assert!(code < size, "expected a code below {size}, found {code}");
            position * size + code
        });
        let rows: Vec<usize> = rows.collect();
        let earlier = p[self.embedding]
            .gather(&rows)
            .reshape(&[count, positions * embedding]);
        let [weight, bias] = self.mixing.map(|id| p[id]);
        let mask = p.tape().constant(self.mask());
        let units = (earlier.matmul((weight * mask).t()) + bias).relu();
        let units = units
            .reshape(&[count, positions, hidden])
            .permute(&[1, 0, 2]);
        let [weight, bias] = self.output.map(|id| p[id]);
        Categorical {
            logits: units.matmul(weight) + bias,
        }
    }

    /// 1 where a unit may see: its position is behind that of the embedding.
    fn mask<T: Scalar>(&self) -> Array2<T> {
        let PriorStructure {
            positions,
            embedding,
            hidden,
            ..
        } = self.structure;
        let shape = (positions * hidden, positions * embedding);
        Array2::from_shape_fn(shape, |(unit, input)| {
            match unit / hidden > input / embedding {
                true => T::one(),
                false => T::zero(),
            }
        })
    }

    /// log p(kᵢ | k₁, …, kᵢ₋₁) of codes of shape (N, n), in nats: of shape (n, N).
    ///
    /// # Panics
    /// If there is another number of positions, or a code is K or more.
    pub fn log_conditionals<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        codes: ArrayView2<'_, usize>,
    ) -> Var<'t, T> {
        let log_probabilities = self.conditionals(p, codes).log_probabilities();
        let (count, size) = (codes.nrows(), self.structure.codes);
        let transposed = codes.t();
        let entries = transposed.indexed_iter();
        let entries: Vec<usize> = entries
            .map(|((position, datum), &code)| (position * count + datum) * size + code)
            .collect();
        let each = log_probabilities.flatten().gather(&entries);
        each.reshape(&[self.structure.positions, count])
    }

    /// log p(k) of codes of shape (N, n), in nats: of shape (N).
    ///
    /// # Panics
    /// As [`log_conditionals`](Self::log_conditionals).
    pub fn log_probability<'t, T: Scalar>(
        &self,
        p: &Bound<'t, T>,
        codes: ArrayView2<'_, usize>,
    ) -> Var<'t, T> {
        self.log_conditionals(p, codes).sum_axes(&[0])
    }

    /// Codes drawn from p(k), position by position, of shape (count, n).
    pub fn sample<T: Scalar>(
        &self,
        parameters: &Parameters<T>,
        count: usize,
        rng: &mut StdRng,
    ) -> Array2<usize> {
        let mut codes = Array2::zeros((count, self.structure.positions));
        let mut tape = Tape::new();
        for position in 0..self.structure.positions {
            let p = parameters.bind_constant(&tape);
            let logits = self.conditionals(&p, codes.view()).logits;
            let logits = logits.slice(0, position..position + 1).squeeze(&[0]);
            let uniform = Array2::from_shape_simple_fn((count, 1), || T::of(rng.random::<f64>()));
            let drawn = Categorical { logits }.sample(tape.constant(uniform));
            let drawn: Array2<T> = array(drawn.value());
            for (code, one_hot) in codes.column_mut(position).iter_mut().zip(drawn.rows()) {
                *code = one_hot
                    .iter()
                    .position(|&x| x > T::zero())
                    .expect("one of K");
            }
            tape.reset();
        }
        codes
    }
}

impl<T: Scalar> Model<T> for AutoregressivePrior {
    /// -log p(k), the mean over a batch of codes, each a number of the data: what is least for the p with the least
    /// KL(codes ‖ p).
    fn objective<'t>(
        &self,
        p: &Bound<'t, T>,
        batch: &Batch<'t, T>,
        _: &mut Step<'_>,
    ) -> Objective<'t, T> {
        let codes: Array2<T> = array(batch.data.value());
        let codes = codes.mapv(|code| code.to_usize().expect("a code: a whole number from 0 on"));
        let log_prior = self.log_probability(p, codes.view()).mean();
        Objective::new(-log_prior, vec![("log_prior", log_prior)])
    }
}
