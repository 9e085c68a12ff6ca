//! A checkpoint, with any description.

#![no_main]

use elbo::nn::{Adam, Parameters};
use elbo::train;
use elbo_fuzz::one_line;
use libfuzzer_sys::fuzz_target;
use ndarray::{ArrayD, IxDyn};

fuzz_target!(|bytes: &[u8]| {
    elbo_fuzz::count(bytes);
    let result = train::read(bytes, |_: &serde_json::Value| {
        let mut parameters = Parameters::new();
        parameters.add("weight", ArrayD::zeros(IxDyn(&[2, 3])));
        parameters.add("bias", ArrayD::zeros(IxDyn(&[3])));
        let optimiser = Adam::new(0.001);
        Ok((parameters, optimiser))
    });
    match result {
        Err(error) => one_line(&error),
        // What was read can be written, and read again to the same bytes.
        Ok((run, description)) => {
            let written = train::write(&run, &description).expect("what was read is sound");
            assert!(!written.is_empty());
        }
    }
});
