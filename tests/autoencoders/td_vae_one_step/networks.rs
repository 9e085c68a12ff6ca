//! The model whose densities are networks.

use elbo::autodiff::Tape;
use elbo::autodiff::check::Check;
use elbo::autoencoders::{Predictive, TdStructure, TdVae, TimePair, exact_gap};
use elbo::data::{LinearGaussianSequences, noisy_autoregression};
use elbo::nn::{Activation, Bound, Parameters};
use elbo::vae::Likelihood;
use ndarray::{Array1, Array2, Array3, ArrayD, Axis, s};
use rand::rngs::StdRng;

use crate::common::comparing::{Checked, REARRANGED, Worst};
use crate::common::quadrature::gauss_hermite;
use crate::common::random::{random, rng};
use crate::common::statistics::Statistics;

/// A model with every parameter drawn.
fn model(structure: TdStructure, rng: &mut StdRng) -> (TdVae, Parameters<f64>, Vec<ArrayD<f64>>) {
    let mut parameters = Parameters::new();
    let model = TdVae::new(structure, &mut parameters, rng);
    let values: Vec<(String, ArrayD<f64>)> = (parameters.iter())
        .map(|(name, value)| (name.to_owned(), random(rng, value.shape()) * 0.5))
        .collect();
    for (name, value) in &values {
        parameters.set(name, value.clone()).unwrap();
    }
    (
        model,
        parameters,
        values.into_iter().map(|(_, value)| value).collect(),
    )
}

/// Scalars through and through.
fn scalar() -> TdStructure {
    TdStructure {
        dimensions: 1,
        hidden: Vec::new(),
        belief: 3,
        latent: 1,
        layers: 1,
        units: 4,
        activation: Activation::Tanh,
        likelihood: Likelihood::GaussianLearned,
        log_variance_start: -1.0,
        jumps: (1, 1),
    }
}

fn sequences(rng: &mut StdRng, shape: [usize; 3]) -> Array3<f64> {
    random(rng, &shape).into_dimensionality().unwrap()
}

#[test]
fn gradients_of_two_layers_by_finite_differences() {
    let mut rng = rng(920);
    let structure = TdStructure {
        dimensions: 2,
        hidden: vec![3],
        belief: 2,
        latent: 2,
        layers: 2,
        units: 3,
        likelihood: Likelihood::Bernoulli,
        jumps: (1, 2),
        ..scalar()
    };
    let (model, _, values) = model(structure, &mut rng);
    let x = sequences(&mut rng, [2, 4, 2]).mapv(|x| f64::from(u8::from(x > 0.0)));
    let pair = |sequence, earlier, later| TimePair {
        sequence,
        earlier,
        later,
    };
    let pairs = [pair(0, 0, 2), pair(1, 2, 3), pair(1, 1, 3)];
    let noise = random(&mut rng, &[2, 3, 4]);
    let report = Check::new("td-vae-one-step").run(&values, |v| {
        let p = Bound::from_vars(v);
        let [x, noise] = [x.clone().into_dyn(), noise.clone()].map(|a| p.tape().constant(a));
        let seen = (x, model.beliefs(&p, x));
        model.bound(&p, seen, &pairs, noise).value()
    });
    let mut checked = Checked::default();
    checked.add(report.unwrap());
    checked.print("bound of a model with two layers of latents, in every weight");
}

/// A network with one hidden layer, off the tape.
fn network(p: &Parameters<f64>, name: &str, input: &Array1<f64>) -> Array1<f64> {
    let of = |part: &str| p.get(&format!("{name}.{part}")).unwrap().clone();
    let layer = |index: usize, input: &Array1<f64>| {
        let weight: Array2<f64> = of(&format!("{index}.weight"))
            .into_owned()
            .into_dimensionality()
            .unwrap();
        let bias: Array1<f64> = of(&format!("{index}.bias"))
            .into_owned()
            .into_dimensionality()
            .unwrap();
        weight.dot(input) + bias
    };
    layer(2, &layer(0, input).mapv(f64::tanh))
}

/// log N(z; mean, e^s) for an output (mean, s).
fn log_n(z: &[f64], output: &Array1<f64>) -> f64 {
    let of = |i: usize| {
        let (mean, s) = (output[i], output[z.len() + i]);
        -0.5 * (std::f64::consts::TAU.ln() + s + (z[i] - mean).powi(2) * (-s).exp())
    };
    (0..z.len()).map(of).sum()
}

/// The decoder's log N(x; w z + b, e^s).
fn decoder(p: &Parameters<f64>, x: f64, z: &[f64]) -> f64 {
    let of = |name: &str| p.get(&format!("decoder.{name}")).unwrap();
    let product: f64 = of("0.weight").iter().zip(z).map(|(w, z)| w * z).sum();
    let mean = product + of("0.bias").sum();
    log_n(&[x], &Array1::from(vec![mean, of("log_variance").sum()]))
}

/// A state from top to bottom by noise, each layer from the context and those above it, and log p of it.
fn drawn(p: &Parameters<f64>, name: &str, context: &[f64], noise: &[f64]) -> (Vec<f64>, f64) {
    let (mut z, mut log_density): (Vec<f64>, f64) = (Vec::new(), 0.0);
    for layer in 0.. {
        let input = [context, &z].concat();
        if p.get(&format!("{name}.{layer}.0.weight")).is_none() {
            break;
        }
        let output = network(p, &format!("{name}.{layer}"), &Array1::from(input));
        let latent = output.len() / 2;
        let here: Vec<f64> = (0..latent)
            .map(|i| output[i] + (0.5 * output[latent + i]).exp() * noise[layer * latent + i])
            .collect();
        log_density += log_n(&here, &output);
        z.extend(here);
    }
    (z, log_density)
}

/// log p of a state that was drawn elsewhere.
fn log_density(p: &Parameters<f64>, name: &str, context: &[f64], z: &[f64]) -> f64 {
    let (mut done, mut sum) = (0, 0.0);
    for layer in 0.. {
        if done == z.len() {
            break;
        }
        let input = [context, &z[..done]].concat();
        let output = network(p, &format!("{name}.{layer}"), &Array1::from(input));
        let next = done + output.len() / 2;
        sum += log_n(&z[done..next], &output);
        done = next;
    }
    sum
}

/// One layer and one jump, of which nobody needs to be told; two layers and two jumps.
#[test]
fn the_densities_are_those_of_the_networks() {
    let mut rng = rng(921);
    let mut worst = Worst::default();
    let two = TdStructure {
        layers: 2,
        latent: 2,
        jumps: (1, 2),
        ..scalar()
    };
    for structure in [scalar(), two] {
        let jumps = structure.jumps;
        let state = structure.state();
        let (model, p, _) = model(structure, &mut rng);
        let x = sequences(&mut rng, [2, 4, 1]);
        let pairs: Vec<TimePair> = (jumps.0..=jumps.1)
            .flat_map(|jump| TimePair::all((2, 4), jump))
            .collect();
        let tape = Tape::new();
        let bound = p.bind_constant(&tape);
        let x_on = tape.constant(x.clone());
        let beliefs = model.beliefs(&bound, x_on);
        let noise = random(&mut rng, &[2, pairs.len(), state]);
        let found = model.bound(
            &bound,
            (x_on, beliefs),
            &pairs,
            tape.constant(noise.clone()),
        );
        let beliefs = beliefs.value();
        for (row, pair) in pairs.iter().enumerate() {
            let [b1, b2] = [pair.earlier, pair.later]
                .map(|t| beliefs.slice(s![pair.sequence, t, ..]).to_vec());
            let [e2, e1] = [0, 1].map(|i| noise.slice(s![i, row, ..]).to_vec());
            let told: &[f64] = match (jumps, pair.jump()) {
                ((1, 1), _) => &[],
                (_, 1) => &[1.0, 0.0],
                _ => &[0.0, 1.0],
            };
            let (z2, later) = drawn(&p, "filter", &b2, &e2);
            let back = [&b1, &b2, &z2, told].concat();
            let (z1, earlier) = drawn(&p, "smoother", &back, &e1);
            let expected = [
                decoder(&p, x[[pair.sequence, pair.later, 0]], &z2),
                log_density(&p, "filter", &b1, &z1),
                log_density(&p, "transition", &[&z1, told].concat(), &z2),
                later,
                earlier,
            ];
            let terms = [
                found.observation,
                found.belief,
                found.transition,
                found.later,
                found.earlier,
            ];
            for (term, expected) in terms.iter().zip(expected) {
                worst.number(term.value()[row], expected, expected.abs().max(1.0));
            }
        }
    }
    worst.within(REARRANGED, "five log-densities, layer by layer");
}

/// Σ over z₁ and z₂ by Gauss–Hermite: log ∫ p_B(z₁|b₁) p_T(z₂|z₁) p(x₂|z₂).
fn by_quadrature(p: &Parameters<f64>, belief: &[f64], x: f64) -> f64 {
    let rule = gauss_hermite(40);
    let at = |output: &Array1<f64>, e: f64| output[0] + (0.5 * output[1]).exp() * e;
    let first = network(p, "filter.0", &Array1::from(belief.to_vec()));
    let sum: f64 = (rule.iter())
        .map(|&(e1, w1)| {
            let next = network(p, "transition.0", &Array1::from(vec![at(&first, e1)]));
            let inner: f64 = (rule.iter())
                .map(|&(e2, w2)| w2 * decoder(p, x, &[at(&next, e2)]).exp())
                .sum();
            w1 * inner
        })
        .sum();
    sum.ln()
}

#[test]
fn predictive_density_by_quadrature() {
    let mut rng = rng(922);
    let (model, mut p, values) = model(scalar(), &mut rng);
    // Smaller weights: all densities are near N(0, 1), and the importance weights have a variance.
    let names: Vec<String> = p.iter().map(|(name, _)| name.to_owned()).collect();
    for (name, value) in names.iter().zip(values) {
        p.set(name, value * 0.4).unwrap();
    }
    let x = sequences(&mut rng, [3, 4, 1]);
    let beliefs: Array3<f64> = {
        let tape = Tape::new();
        let beliefs = model.beliefs(&p.bind_constant(&tape), tape.constant(x.clone()));
        beliefs.value().into_owned().into_dimensionality().unwrap()
    };
    let exact = Array2::from_shape_fn((3, 3), |(n, t)| {
        let belief = beliefs.slice(s![n, t, ..]).to_vec();
        by_quadrature(&p, &belief, x[[n, t + 1, 0]])
    });
    // Each repetition is one draw of the mean weight.
    let repetitions: Vec<Predictive> = (0..200)
        .map(|_| Predictive::of((&model, &p), x.view(), (1, 100), &mut rng))
        .collect();
    for (n, t) in [(0, 0), (2, 2)] {
        let weights: Vec<f64> = (repetitions.iter())
            .map(|r| (r.log_density[[n, t]] - exact[[n, t]]).exp())
            .collect();
        let what = format!("mean weight of prediction {t} of sequence {n}, over p_B(x)");
        Statistics::of(&weights).agree_with(1.0, &what);
    }
    let mean = |of: fn(&Predictive) -> &Array2<f64>| {
        let sum = (repetitions.iter()).fold(Array2::<f64>::zeros((3, 3)), |sum, r| sum + of(r));
        sum / 200.0
    };
    let (bound, log_density) = (mean(|r| &r.bound), mean(|r| &r.log_density));
    assert!(bound.iter().zip(&log_density).all(|(b, l)| b < l));
    assert!(bound.iter().zip(&exact).all(|(b, e)| b < e));
}

#[test]
fn roll_outs_by_quadrature() {
    let mut rng = rng(923);
    let (model, p, _) = model(scalar(), &mut rng);
    let tape = Tape::new();
    let bound = p.bind_constant(&tape);
    let start = tape.full(&[20_000, 1], 0.7);
    let states = model.roll_out(&bound, start, &[1, 1], &mut rng);
    let next = |z: f64| network(&p, "transition.0", &Array1::from(vec![z]));
    let first = next(0.7);
    let (mut mean, mut square) = (0.0, 0.0);
    for (e, w) in gauss_hermite(40) {
        let second = next(first[0] + (0.5 * first[1]).exp() * e);
        mean += w * second[0];
        square += w * (second[0].powi(2) + second[1].exp());
    }
    let z: Vec<f64> = states[1].value().iter().copied().collect();
    let squares: Vec<f64> = z.iter().map(|z| z * z).collect();
    Statistics::of(&z).agree_with(mean, "mean of the state two steps on");
    Statistics::of(&squares).agree_with(square, "its mean square");
}

#[test]
fn the_gap_to_the_filter() {
    let mut rng = rng(924);
    let (model, p, _) = model(scalar(), &mut rng);
    let data = LinearGaussianSequences::<f64>::new(noisy_autoregression(), (70, 6), 3);
    let gap = exact_gap(
        (&model, &p),
        data.system(),
        data.observations(),
        (1, 3),
        &mut rng,
    );
    let gap = gap.unwrap();
    let mut sum = 0.0;
    for sequence in data.observations().outer_iter() {
        let filtered = data.system().filter(sequence).unwrap();
        sum += filtered.log_densities.slice(s![1..]).sum();
    }
    let mut worst = Worst::default();
    worst.relative(gap.exact.mean, sum / (70.0 * 5.0));
    worst.within(REARRANGED, "mean log p(x_t | x before t) of 70 sequences");
    // A model that was never trained is worse than one that ignores the past, and the bound is below its own density.
    assert!(gap.bound.mean > gap.prediction.mean && gap.prediction.mean > 0.0);
    assert_eq!(gap.bound.draws, 70);
    // Beliefs have seen the past and nothing else.
    let tape = Tape::new();
    let bound = p.bind_constant(&tape);
    let x = data.observations().to_owned();
    let mut other = x.clone();
    other.slice_mut(s![.., 3.., ..]).mapv_inplace(|x| x + 1.0);
    let [a, b] = [x, other].map(|x| model.beliefs(&bound, tape.constant(x)).value());
    let until = |array: &elbo::autodiff::Value<f64>, t: usize| {
        array.slice_axis(Axis(1), (0..t).into()).to_owned()
    };
    assert_eq!(until(&a, 3), until(&b, 3));
    assert_ne!(until(&a, 4), until(&b, 4));
}
