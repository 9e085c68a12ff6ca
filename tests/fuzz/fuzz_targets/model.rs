//! A file that is said to hold a model, of whichever kind its description names.

#![no_main]

use elbo::cli::models::{ModelFile, VaeCommand};
use elbo_fuzz::{file, one_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    elbo_fuzz::count(bytes);
    let file = ModelFile::open(&file("model.safetensors", bytes)).expect("it was just written");
    match file.header() {
        Err(error) => one_line(&error),
        Ok(header) if header.model == "vae" => {
            if let Err(error) = file.model::<VaeCommand>() {
                one_line(&error);
            }
        }
        Ok(_) => {}
    }
});
