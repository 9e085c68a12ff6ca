//! The command line up to the point where a file would be read: the words are split at line ends, and whatever they say,
//! the data are a file that does not exist. Commands that write without reading are left out.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use elbo::cli::{registry::MODELS, run_on};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    elbo_fuzz::count(bytes);
    let words: Vec<OsString> = bytes.split(|&byte| byte == b'\n').map(|word| OsString::from_vec(word.to_vec())).collect();
    let writes = |word: &OsString| {
        let word = word.to_string_lossy();
        ["figures", "man", "completions", "models"].iter().any(|command| word == *command)
    };
    if words.iter().any(writes) {
        return;
    }
    let data = ["--data", "/nonexistent/data"].map(OsString::from);
    let arguments = [OsString::from("elbo")].into_iter().chain(words).chain(data);
    // Help and mistakes in the words are several lines, made by the parser.
    let _ = run_on(MODELS, arguments);
});
