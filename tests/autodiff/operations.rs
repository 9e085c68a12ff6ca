//! Every operation passes the gradient checker at first and second order, crossed with shapes and broadcast pairs.

use std::collections::BTreeSet;

use elbo::autodiff::check::Check;
use elbo::autodiff::{Tape, Var};
use ndarray::arr0;

use crate::autodiff::table::{draw, table};
use crate::common::random::rng;

#[test]
fn every_operation_passes_at_first_order() {
    let mut rng = rng(2);
    let mut moved = 0;
    for row in table() {
        for shapes in &row.shapes {
            let inputs = draw(&row, shapes, &mut rng);
            match Check::new(row.name).run(&inputs, row.expression) {
                Ok(report) => {
                    assert!(report.entries > 0, "{}: nothing was compared", row.name);
                    moved += report.moved;
                }
                Err(failure) => panic!("{failure} (shapes {shapes:?})"),
            }
        }
    }
    // The zeros among the inputs put ReLU, |x| and others on their kinks; the checker must have noticed.
    assert!(
        moved > 0,
        "no kink was met: the table no longer tests that they are found"
    );
}

#[test]
fn every_operation_passes_at_second_order() {
    let mut rng = rng(3);
    for row in table() {
        for shapes in &row.shapes {
            let inputs = draw(&row, shapes, &mut rng);
            if let Err(failure) = Check::new(row.name).run_second_order(&inputs, row.expression) {
                panic!("{failure} (second order, shapes {shapes:?})");
            }
        }
    }
}

/// Names of the operations that the sources define, read from the sources themselves.
fn operations_in_the_sources() -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/autodiff/ops");
    let mut names = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| line.chars().filter(|c| !c.is_whitespace()))
            .collect();
        for opening in [".map(\"", ".record(\"", ".push(\""] {
            names.extend(code.split(opening).skip(1).map(until_quote));
        }
        for rest in code.split(".zip_with(").skip(1) {
            if let Some((first, rest)) = rest.split_once(",\"")
                && first.chars().all(char::is_alphanumeric)
            {
                names.insert(until_quote(rest));
            }
        }
    }
    names
}

fn until_quote(text: &str) -> String {
    text.split('"').next().unwrap_or_default().to_owned()
}

#[test]
fn no_operation_is_missing_from_the_table() {
    let mut seen = BTreeSet::new();
    let mut rng = rng(4);
    for row in table() {
        let tape = Tape::new();
        let inputs: Vec<Var<'_, f64>> = draw(&row, &row.shapes[0], &mut rng)
            .into_iter()
            .map(|x| tape.variable(x))
            .collect();
        let y = (row.expression)(&inputs);
        let _ = tape.differentiable_pull_back(y, tape.full(&y.shape(), 1.0));
        seen.extend(
            format!("{tape:?}")
                .lines()
                .filter_map(|line| Some(line.split_once(" = ")?.1.split_once('(')?.0.to_owned())),
        );
    }
    let mut defined = operations_in_the_sources();
    assert!(
        defined.len() > 40,
        "the scan of the sources found only {defined:?}"
    );
    // It has no derivative to check: its own test is below.
    assert!(defined.remove("stop-gradient"));
    let missing: Vec<&String> = defined.difference(&seen).collect();
    assert!(
        missing.is_empty(),
        "operations without a row in the table: {missing:?}"
    );
}

#[test]
fn third_order_is_one_more_expression() {
    let tape = Tape::new();
    let x = tape.variable(arr0(0.7));
    let mut y = (-x.square()).exp();
    for _ in 0..3 {
        y = tape.differentiable_gradients(y).wrt(x);
    }
    // y = e^(-x²): y''' = (12x - 8x³) e^(-x²).
    let expected = (12.0 * 0.7 - 8.0 * 0.7f64.powi(3)) * (-0.49f64).exp();
    assert!(
        (y.item() - expected).abs() < 1e-12,
        "{} {expected}",
        y.item()
    );
}
