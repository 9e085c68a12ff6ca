//! The tests of everything that the notes build on: the engine and its gradient checker, densities, layers, data, the
//! training loop, the command, and the notes themselves as a document.

// The derivations need all of these, the library's tests only some.
#[allow(dead_code)]
mod common {
    pub mod arrays;
    pub mod panics;
    pub mod random;
}

// Its `main` is that of a program of its own.
#[allow(dead_code)]
mod contents;

mod autodiff {
    mod cholesky;
    mod extremes;
    mod gradients;
    mod not_chosen;
    mod operations;
    mod panics;
    mod product;
    mod table;
}

mod check {
    mod cases;
    mod conditions;
    mod kinks;
    mod mutants;
    mod scales;
    mod shared;
}

#[cfg(feature = "cli")]
mod cli {
    mod arguments;
    mod autoencoders;
    mod beta_vae;
    mod evaluation;
    mod figures;
    mod inputs;
    mod outputs;
    mod quantised;
    mod reproduce;
    mod resume;
    mod shared;
    mod td_vae;
    mod toy_model;
    mod training;
}

mod data {
    mod batches;
    mod folders;
    mod idx;
    mod images;
    mod sequences;
    mod shapes;
    mod shared;
    mod special_files;

    #[cfg(feature = "cli")]
    mod archives;
    #[cfg(feature = "cli")]
    mod arrays;
    #[cfg(feature = "cli")]
    mod bombs;
    #[cfg(feature = "cli")]
    mod command;
    #[cfg(feature = "cli")]
    mod damage;
    #[cfg(feature = "cli")]
    mod embedded;
    #[cfg(feature = "cli")]
    mod gzip;
    #[cfg(feature = "cli")]
    mod held_out;
    #[cfg(feature = "cli")]
    mod pngs;
    #[cfg(feature = "cli")]
    mod splits;
    #[cfg(feature = "cli")]
    pub mod writers;
}

mod distributions {
    mod bernoulli;
    mod categorical;
    mod digits;
    mod event_axis;
    mod gaussian;
    mod kl;
    mod multivariate;
    mod noise;
    mod shared;
}

mod nn {
    mod dense;
    mod gru;
    mod initialisation;
    mod mlp;
    mod optimisers;
    mod parameters;
    mod shared;
}

mod notes {
    mod contents;
    mod digits;
    mod example;
    mod exercises;
    mod format;
    mod page;
    mod quotes;
    mod reading;
    mod repository;
    mod sections;
    mod test_files;
}

mod train {
    mod evidence;
    mod fit;
    mod learning;
    mod resume;
    mod shared;
}
