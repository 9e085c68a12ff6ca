//! docs/gradients.md#adam: Adam steps by α m̂/(√v̂ + ε), with averages corrected for their start at 0.

use elbo::autodiff::Tape;
use elbo::nn::{Adam, ParameterGradients, Parameters, Sgd};
use ndarray::{ArrayD, Axis, IxDyn, arr1};

use crate::common::arrays::owned;
use crate::common::comparing::Worst;
use crate::common::random::{random, rng};
use crate::common::reporting::report;
use crate::common::statistics::Statistics;
use crate::gradients::shared::normal_noise;

/// A step with given gradients: the loss ⟨g, θ⟩ has them.
fn step_along(
    parameters: &mut Parameters<f64>,
    g: &ArrayD<f64>,
    step: impl FnOnce(&mut Parameters<f64>, &ParameterGradients<f64>),
) {
    let mut tape = Tape::new();
    let (_, gradients) = parameters.value_and_gradients(&mut tape, |p| {
        ((p.vars()[0] * p.tape().constant(g.clone())).sum(), ())
    });
    step(parameters, &gradients);
}

fn adam_step(adam: &mut Adam<f64>, parameters: &mut Parameters<f64>, g: &ArrayD<f64>) {
    step_along(parameters, g, |p, gradients| adam.step(p, gradients));
}

fn theta(start: ArrayD<f64>) -> Parameters<f64> {
    let mut parameters = Parameters::new();
    parameters.add("θ", start);
    parameters
}

#[test]
fn three_steps_by_hand() {
    // β₁ = ½, β₂ = ¾, α = 1, ε = 0, gradients 1, 2, -1: m = ½, 5/4, 1/8 and v = ¼, 19/16, 73/64;
    // m̂ = 1, 5/3, 1/7 and v̂ = 1, 19/7, 73/37.
    let mut adam = Adam::with(1.0, 0.5, 0.75, 0.0);
    let mut parameters = theta(arr1(&[0.0]).into_dyn());
    let steps: [f64; 3] = [
        1.0,
        5.0 / 3.0 / (19f64 / 7.0).sqrt(),
        1.0 / 7.0 / (73f64 / 37.0).sqrt(),
    ];
    let mut expected = 0.0;
    for (g, step) in [1.0, 2.0, -1.0].into_iter().zip(steps) {
        adam_step(&mut adam, &mut parameters, &arr1(&[g]).into_dyn());
        expected -= step;
        let found = parameters.get("θ").unwrap()[0];
        report(format!("g = {g}: step {step:.6}, θ = {found:.6}"));
        assert!((found - expected).abs() < 1e-15 * expected.abs().max(1.0) * 4.0);
    }
}

#[test]
fn against_the_sums() {
    // m_t = (1-β₁) Σ β₁^(t-i) g_i and likewise v_t, each from all gradients so far.
    let mut rng = rng(171);
    let mut worst = Worst::default();
    for (shape, [alpha, beta1, beta2, epsilon]) in [
        (&[3, 2][..], [0.1, 0.9, 0.999, 1e-8]),
        (&[5], [0.02, 0.6, 0.8, 0.3]),
        (&[], [1.0, 0.0, 0.5, 1e-3]),
    ] {
        let mut adam = Adam::with(alpha, beta1, beta2, epsilon);
        let start = random(&mut rng, shape);
        let (mut parameters, mut expected) = (theta(start.clone()), start);
        let mut past: Vec<ArrayD<f64>> = Vec::new();
        for t in 1..=12 {
            past.push(random(&mut rng, shape));
            adam_step(&mut adam, &mut parameters, &past[t - 1]);
            let average = |beta: f64, of: fn(f64) -> f64| {
                let weight = |i: usize| beta.powi((t - 1 - i) as i32);
                let total: f64 = (0..t).map(weight).sum();
                let sum =
                    |a: ArrayD<f64>, (i, g): (usize, &ArrayD<f64>)| a + g.mapv(of) * weight(i);
                past.iter()
                    .enumerate()
                    .fold(ArrayD::zeros(IxDyn(shape)), sum)
                    / total
            };
            let (m, v) = (average(beta1, |g| g), average(beta2, |g| g * g));
            expected = expected - m / (v.mapv(f64::sqrt) + epsilon) * alpha;
            worst.entries(&owned(parameters.get("θ").unwrap().clone()), &expected);
        }
    }
    worst.within(1e-12, "12 steps = weighted averages of all gradients");
}

#[test]
fn with_a_constant_gradient() {
    let g = arr1(&[1e-9, -1e-6, 0.3, -7e5, 0.0]).into_dyn();
    let mut adam = Adam::new(1e-3);
    let mut parameters = theta(ArrayD::zeros(IxDyn(&[5])));
    let mut worst = Worst::default();
    for t in 1..=50 {
        adam_step(&mut adam, &mut parameters, &g);
        let expected = g.mapv(|g: f64| -1e-3 * f64::from(t) * g / (g.abs() + 1e-8));
        for (found, expected) in parameters.get("θ").unwrap().iter().zip(&expected) {
            worst.number(*found, *expected, expected.abs());
        }
    }
    worst.within(1e-12, "every step = α g/(|g| + ε)");
}

#[test]
fn lags_behind_a_gradient_that_drifts() {
    // g_t = t: the correction makes the weights sum to 1; the average is still one of the past.
    let mut adam = Adam::with(1e12, 0.9, 0.999, 1e12);
    let mut parameters = theta(arr1(&[0.0]).into_dyn());
    let mut before = 0.0;
    for t in 1..=200 {
        adam_step(
            &mut adam,
            &mut parameters,
            &arr1(&[f64::from(t)]).into_dyn(),
        );
        let now = parameters.get("θ").unwrap()[0];
        let (m, power) = (before - now, 0.9f64.powi(t));
        // Σ β^(t-i) i / Σ β^(t-i) = t/(1-βᵗ) - β/(1-β).
        let exact = f64::from(t) / (1.0 - power) - 9.0;
        assert!((m - exact).abs() < 1e-8 * exact, "{m} {exact}");
        before = now;
    }
    report("after 200 steps of g_t = t, m̂ is 191, 9 behind".to_owned());
}

#[test]
fn corrects_the_bias_of_its_averages() {
    // One entry, one experiment: 10⁵ of them, g ~ N(0.3, 1). With a large ε = α a step is m̂; with β₁ = 0 and ε = 0
    // it is α g/√v̂. Momentum with the rate 1 - β₁ steps by m itself.
    const DRAWS: usize = 100_000;
    let mut rng = rng(172);
    let zeros = || ArrayD::zeros(IxDyn(&[DRAWS]));
    let mut first = (Adam::with(1e12, 0.9, 0.999, 1e12), theta(zeros()));
    let mut second = (Adam::with(1.0, 0.0, 0.999, 0.0), theta(zeros()));
    let mut corrected = Worst::default();
    let mut plain = (Sgd::with_momentum(1.0 - 0.9, 0.9), theta(zeros()));
    let mut worst = 0.0f64;
    for t in 1..=4 {
        let g = normal_noise(&mut rng, DRAWS, 1)
            .remove_axis(Axis(1))
            .into_dyn()
            + 0.3;
        let step = |(adam, parameters): &mut (Adam<f64>, Parameters<f64>)| {
            let before = owned(parameters.get("θ").unwrap().clone());
            adam_step(adam, parameters, &g);
            before - owned(parameters.get("θ").unwrap().clone())
        };
        let m = step(&mut first);
        worst = worst.max(Statistics::of(&m).agree_with(0.3, &format!("m̂ after {t} steps")));
        let v = (&g / &step(&mut second)).mapv(|x| x * x);
        worst = worst.max(Statistics::of(&v).agree_with(1.09, &format!("v̂ after {t} steps")));
        // Without the correction the mean is (1 - β₁ᵗ) E g.
        let before = owned(plain.1.get("θ").unwrap().clone());
        step_along(&mut plain.1, &g, |p, gradients| plain.0.step(p, gradients));
        let raw = before - owned(plain.1.get("θ").unwrap().clone());
        let lacking = 1.0 - 0.9f64.powi(t);
        worst = worst
            .max(Statistics::of(&raw).agree_with(0.3 * lacking, &format!("m after {t} steps")));
        corrected.entries(&(m * lacking), &raw);
    }
    corrected.within(1e-11, "m̂ (1 - β₁ᵗ) = m");
    report(format!("worst: {worst:.2} standard errors"));
}

#[test]
fn can_go_the_wrong_way() {
    // Gradients 4, -1, -1 over and over: their sum is positive, so descent goes down. With β₁ = 0, β₂ = 1/(1 + 4²)
    // the large one is divided by its own size, and forgotten when the small ones come (Reddi, Kale and Kumar 2018).
    let mut adam = Adam::with(0.01, 0.0, 1.0 / 17.0, 1e-8);
    let mut usual = Adam::with(0.01, 0.9, 0.999, 1e-8);
    let [mut wrong, mut right] = [(); 2].map(|()| theta(arr1(&[0.0]).into_dyn()));
    for t in 0..3000 {
        let g = arr1(&[if t % 3 == 0 { 4.0 } else { -1.0 }]).into_dyn();
        adam_step(&mut adam, &mut wrong, &g);
        adam_step(&mut usual, &mut right, &g);
    }
    let [wrong, right] = [wrong, right].map(|p| p.get("θ").unwrap()[0]);
    report(format!(
        "3000 steps: θ = {wrong:.2} with β₂ = 1/17, {right:.2} with β₂ = 0.999"
    ));
    assert!(wrong > 1.0 && right < -1.0);
    // In units of the rate, when v has settled into its cycle of three: v = (16/17) Σ g²/17^age.
    let settled = |ages: [f64; 3]| {
        let cycle: f64 = [(16.0, ages[0]), (1.0, ages[1]), (1.0, ages[2])]
            .iter()
            .map(|(square, age)| square * 17f64.powf(-age))
            .sum();
        (16.0 / 17.0 * cycle / (1.0 - 17f64.powi(-3))).sqrt()
    };
    let steps = [
        -4.0 / settled([0.0, 2.0, 1.0]),
        1.0 / settled([1.0, 0.0, 2.0]),
        1.0 / settled([2.0, 1.0, 0.0]),
    ];
    for (step, shown) in steps.iter().zip([-1.03, 0.74, 0.98]) {
        assert!((step - shown).abs() < 0.01, "{steps:?}");
    }
    // How much longer the first step is without the corrections.
    assert!(((1.0 - 0.9) / (1.0f64 - 0.999).sqrt() - 3.16).abs() < 0.005);
}
