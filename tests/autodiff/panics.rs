//! Shapes that do not fit and handles of another tape panic, with the operation and the shapes.

use elbo::autodiff::{Tape, Var};
use ndarray::{ArrayD, IxDyn, arr0, arr1, arr2};

use crate::common::panics::panic_message;

#[test]
fn name_the_operation_and_the_shapes() {
    let message = panic_message(|| {
        let tape = Tape::new();
        let _ = tape.variable(arr1(&[1.0, 2.0])) * tape.variable(arr1(&[1.0, 2.0, 3.0]));
    });
    assert_eq!(message, "mul: shapes [2] and [3] do not fit");
    let message = panic_message(|| {
        let tape = Tape::new();
        let x = tape.variable(arr2(&[[1.0, 2.0]]));
        let _ = x.matmul(x);
    });
    assert_eq!(message, "matmul: shapes [1, 2] and [1, 2] do not fit");
    let message = panic_message(|| {
        let tape = Tape::new();
        let x = tape.variable(arr1(&[1.0, 2.0]));
        let _ = tape.gradients(x);
    });
    assert!(
        message.starts_with("gradients: expected a single number, found shape [2]"),
        "{message}"
    );
    let message = panic_message(|| {
        let (one, two) = (Tape::new(), Tape::new());
        let _ = one.scalar(1.0) + two.scalar(1.0);
    });
    assert_eq!(message, "add: an operand belongs to another tape");
    let message = panic_message(|| {
        let tape = Tape::new();
        let x = tape.variable(arr0(1.0));
        let h = x.exp();
        let _ = tape.gradients(h.exp()).wrt(h);
    });
    assert!(
        message.starts_with("wrt: expected a variable, found the result of `exp`"),
        "{message}"
    );
}

#[test]
fn name_the_operation_that_was_called() {
    use elbo::autodiff::Mask;
    type Wrong = for<'t> fn(Var<'t, f64>) -> Var<'t, f64>;
    let wrong: [(&str, Wrong); 12] = [
        ("softmax: axis 2 is", |x| x.softmax(2)),
        ("softmax: axis 0 of shape [0, 3] is empty", |x| {
            x.slice(0, 0..0).softmax(0)
        }),
        ("log-softmax: axis 2 is", |x| x.log_softmax(2)),
        ("logsumexp: axis 2 is", |x| x.logsumexp_axes(&[2])),
        ("max: axis 2 is", |x| x.max_axes(&[2])),
        ("mean: axis 2 is", |x| x.mean_axes(&[2])),
        ("keep-where: shapes [2, 3] and [2] do", |x| {
            x.keep_where(&Mask::from_elem(IxDyn(&[2]), true))
        }),
        ("top-k: axis 2 is", |x| x.keep_top_k(1, 2)),
        ("stack: shapes [2, 3] and [3, 2] do", |x| {
            x.tape().stack(0, &[x, x.t()])
        }),
        ("stack: axis 3 is", |x| x.tape().stack(3, &[x])),
        ("stack: nothing", |x| x.tape().stack(0, &[])),
        ("squeeze: axis 1 of shape [2, 3] is not of length 1", |x| {
            x.squeeze(&[1])
        }),
    ];
    for (expected, operation) in wrong {
        let message = panic_message(|| {
            let tape = Tape::new();
            let _ = operation(tape.variable(ArrayD::zeros(IxDyn(&[2, 3]))));
        });
        assert!(
            message.starts_with(expected) && message.lines().count() == 1,
            "{expected}: {message}"
        );
    }
}

#[test]
fn handles_of_another_tape_are_refused() {
    let message = panic_message(|| {
        let (one, two) = (Tape::new(), Tape::new());
        let x = one.variable(arr0(1.0));
        let gradients = one.differentiable_gradients(x.exp());
        // Nothing reached the place of that number on the first tape.
        let others: Vec<_> = (0..9).map(|_| two.variable(arr0(2.0))).collect();
        let _ = gradients.wrt(others[8]);
    });
    assert_eq!(message, "wrt: these gradients belong to another tape");
    let message = panic_message(|| {
        let (one, two) = (Tape::new(), Tape::new());
        let (x, other) = (one.variable(arr0(1.0)), two.variable(arr0(1.0)));
        let _ = one.pull_back(x.exp(), arr0(1.0), &[other]);
    });
    assert_eq!(
        message,
        "pull_back: a value to keep belongs to another tape"
    );
}
