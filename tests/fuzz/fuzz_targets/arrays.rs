//! NumPy arrays and archives of them.

#![no_main]

use elbo::data::{Dataset, OpenOptions};
use elbo_fuzz::{file, one_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    elbo_fuzz::count(bytes);
    if let Err(error) = Dataset::open(file("array", bytes), &OpenOptions::default()) {
        one_line(&error);
    }
});
