//! The kinds of data that `--data` takes, good and bad.

mod data {
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
    mod held_out;
    #[cfg(feature = "cli")]
    mod pngs;
    mod special_files;
    #[cfg(feature = "cli")]
    mod splits;
    #[cfg(feature = "cli")]
    mod writers;
}
