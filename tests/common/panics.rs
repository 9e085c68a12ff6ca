//! What a panic says.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The message of the panic in which `f` must end.
pub fn panic_message(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("it should panic");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().expect("a text").to_string(),
    }
}
