//! Digits that need no download.

use std::path::Path;

use super::{Dataset, Images, idx};

impl Dataset {
    /// The first 10,000 training and the first 2,000 test images of MNIST with their labels, which are
    /// part of the program (2 MB). Only with the feature `cli`.
    ///
    /// By Yann LeCun, Corinna Cortes and Christopher J. C. Burges, under
    /// [CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/); `src/data/mnist/README.md`
    /// says how this subset was made.
    ///
    /// Decompresses on every call.
    pub fn embedded() -> Self {
        Self {
            name: "MNIST (embedded)".to_owned(),
            train: labelled(
                include_bytes!("mnist/train-images-idx3-ubyte.gz"),
                include_bytes!("mnist/train-labels-idx1-ubyte.gz"),
            ),
            test: labelled(
                include_bytes!("mnist/t10k-images-idx3-ubyte.gz"),
                include_bytes!("mnist/t10k-labels-idx1-ubyte.gz"),
            ),
        }
    }
}

fn labelled(mut images: &[u8], mut labels: &[u8]) -> Images {
    let path = Path::new("embedded");
    idx::decode_labelled((path, &mut images), (path, &mut labels))
        .expect("the embedded files are whole: tests/data/embedded.rs decodes them")
}
