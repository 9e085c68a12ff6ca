//! The figures of the notes are those that the code draws.

use std::path::Path;

use tempfile::TempDir;

use crate::cli::shared::{elbo, files};

#[test]
fn the_figures_of_the_notes_are_those_that_the_code_draws() {
    let drawn = |folder: &TempDir| {
        let output = elbo(&["figures", "--out", folder.path().to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
        files(folder.path())
    };
    let (once, again) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let figures = drawn(&once);
    assert_eq!(figures, drawn(&again), "not the same bytes each time");

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/figures");
    let committed = match folder.exists() {
        true => files(&folder),
        false => Vec::new(),
    };
    let advice = "`cargo run --release -- figures` redraws docs/figures; look at them";
    let names = |figures: &[(String, Vec<u8>)]| -> Vec<String> {
        figures.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&committed), names(&figures), "{advice}");
    for ((name, old), (_, new)) in committed.iter().zip(&figures) {
        assert!(same_picture(old, new), "{name} is stale: {advice}");
    }
}

/// Whether two pictures differ in nothing but the last digit of coordinates, which are tenths of a pixel: another
/// processor may round the sum of a thousand numbers in another way.
fn same_picture(a: &[u8], b: &[u8]) -> bool {
    let parts = |svg: &[u8]| -> (Vec<f64>, Vec<String>) {
        let text = String::from_utf8(svg.to_vec()).unwrap();
        let number = |c: char| c.is_ascii_digit() || c == '.';
        let between = text.split(number).filter(|part| !part.is_empty());
        let numbers = text
            .split(|c| !number(c))
            .filter_map(|part| part.parse().ok());
        (numbers.collect(), between.map(str::to_owned).collect())
    };
    let ((a, words), (b, others)) = (parts(a), parts(b));
    let near = |(a, b): (&f64, &f64)| (a - b).abs() < 0.15;
    words == others && a.len() == b.len() && a.iter().zip(&b).all(near)
}
