//! The command line.

// Until the commands call them.
#[allow(dead_code)]
mod output;
#[allow(dead_code)]
mod picture;
#[allow(dead_code, unused_imports)]
mod plot;
#[allow(dead_code)]
mod report;
