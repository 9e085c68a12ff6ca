//! IDX files of images and of labels, plain or gzipped: the first byte says which of them the others are.

#![no_main]

use elbo::data::idx;
use elbo_fuzz::{file, one_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    elbo_fuzz::count(bytes);
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let path = file(if kind & 1 == 0 { "images" } else { "images.gz" }, bytes);
    let result = match kind & 2 {
        0 => idx::read_images(path).map(drop),
        _ => idx::read_labels(path).map(drop),
    };
    if let Err(error) = result {
        one_line(&error);
    }
});
