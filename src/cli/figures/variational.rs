//! The figures of chapter 2, variational inference.

use super::Figure;

/// All of them.
pub fn figures() -> Vec<Figure> {
    Vec::new()
}
