//! A density sums over the last axis, so there must be one.

use crate::common::arrays::Expression;
use crate::distributions::shared::{
    at, bernoulli_density, bernoulli_entropy, categorical_density, categorical_entropy,
    gaussian_density, gaussian_entropy, kl_bernoulli, kl_categorical, kl_diagonal, kl_standard,
};

#[test]
fn densities_need_an_event_axis() {
    let panics = |f: Expression| {
        let number = || ndarray::arr0(0.5).into_dyn();
        let inputs = [number(), number(), number(), number()];
        let result = std::panic::catch_unwind(|| at(&inputs, f));
        assert!(result.is_err());
    };
    let all: [Expression; 10] = [
        gaussian_density,
        gaussian_entropy,
        bernoulli_density,
        bernoulli_entropy,
        categorical_density,
        categorical_entropy,
        kl_standard,
        kl_diagonal,
        kl_categorical,
        kl_bernoulli,
    ];
    all.into_iter().for_each(panics);
}
