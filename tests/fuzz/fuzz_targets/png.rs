//! A folder with a PNG image.

#![no_main]

use elbo::data::{Dataset, OpenOptions};
use elbo_fuzz::{file, one_line, scratch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    elbo_fuzz::count(bytes);
    // Twice: one of them is held out.
    file("a.png", bytes);
    file("b.png", bytes);
    if let Err(error) = Dataset::open(scratch(), &OpenOptions::default()) {
        one_line(&error);
    }
});
